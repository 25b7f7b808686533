//! When a refused step is tried again, and how a person asks for it; pure.

use super::RetryPolicy;
use crate::time;
use jiff::{SignedDuration, Timestamp};

/// Longest wait between two attempts.
const LONGEST: SignedDuration = SignedDuration::from_hours(1);
/// Shortest wait: a status holds whole seconds, and two refusals in one second could not be told apart.
const SHORTEST: SignedDuration = SignedDuration::from_secs(1);
/// Longest token a status records.
const TOKEN_LIMIT: usize = 128;

/// What a person asked for with the annotation `tenantry.io/retry`: `ITEM@TOKEN`, or `@TOKEN` for every item. The token
/// is anything that was not there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryRequest {
    item: Option<String>,
    value: String,
}

impl RetryRequest {
    /// The request to write into the annotation.
    #[must_use]
    pub fn new(item: Option<&str>, token: &str) -> Self {
        Self::parse(&format!("{}@{token}", item.unwrap_or_default()))
    }

    /// Reads the annotation. A text without `@` asks for every item.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let item = text.split_once('@').map(|(item, _)| item).filter(|item| !item.is_empty());
        Self { item: item.map(str::to_owned), value: text.chars().take(TOKEN_LIMIT).collect() }
    }

    /// The value of the annotation, and what the status records once it was acted on.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether the request means this item.
    #[must_use]
    pub fn means(&self, item: &str) -> bool {
        self.item.as_deref().is_none_or(|wanted| wanted == item)
    }
}

impl RetryPolicy {
    /// Wait after the given number of refusals.
    pub(super) fn wait(&self, attempts: i32) -> SignedDuration {
        let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(0).min(30);
        let rounded =
            SignedDuration::from_secs(self.backoff.as_secs() + i64::from(self.backoff.subsec_nanos() > 0));
        rounded.clamp(SHORTEST, LONGEST).checked_mul(1 << doublings).unwrap_or(LONGEST).min(LONGEST)
    }

    /// When the next attempt is due after a refusal at `at` that was the given one in a row.
    pub(super) fn next(&self, at: Timestamp, attempts: i32) -> Timestamp {
        time::after(time::whole(at), self.wait(attempts))
    }

    /// Whether no attempt is left.
    pub(super) fn exhausted(&self, attempts: i32) -> bool {
        attempts >= self.attempts.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour() {
        let policy = |millis| RetryPolicy { attempts: 5, backoff: SignedDuration::from_millis(millis) };
        for (millis, attempts, seconds) in [
            (5_000, 1, 5),
            (5_000, 2, 10),
            (5_000, 5, 80),
            (5_000, 11, 3_600),
            (5_000, i32::MAX, 3_600),
            (100, 1, 1),
            (1_500, 1, 2),
            (0, 1, 1),
            (86_400_000, 1, 3_600),
        ] {
            assert_eq!(
                policy(millis).wait(attempts),
                SignedDuration::from_secs(seconds),
                "{millis} {attempts}"
            );
        }
    }

    #[test]
    fn requests_name_an_item_or_mean_all() {
        let one = RetryRequest::new(Some("network"), "2026-12-01T06:00:00Z");
        assert_eq!(one.value(), "network@2026-12-01T06:00:00Z");
        assert!(one.means("network") && !one.means("security"));
        for text in ["@1", "1", ""] {
            assert!(RetryRequest::parse(text).means("anything"), "{text}");
        }
        assert_eq!(RetryRequest::parse(&"ü".repeat(200)).value().chars().count(), 128);
    }
}
