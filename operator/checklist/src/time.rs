//! The one place where Kubernetes' time type meets ours; pure, the present comes in as a parameter.
//!
//! A status holds whole seconds. Everything that is compared with a time read back from a status is therefore cut to
//! whole seconds first, or an unchanged status would look changed.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// The instant of a Kubernetes time, in whole seconds.
#[must_use]
pub fn instant(time: &Time) -> Timestamp {
    at_second(time.0.as_second())
}

/// An instant as Kubernetes writes it, in whole seconds.
#[must_use]
pub fn time(instant: Timestamp) -> Time {
    Time(k8s_openapi::jiff::Timestamp::from_second(instant.as_second()).unwrap_or_default())
}

/// The same instant without the part below a second.
#[must_use]
pub fn whole(instant: Timestamp) -> Timestamp {
    at_second(instant.as_second())
}

/// An instant for people, such as `2026-12-01T06:00:00Z`.
#[must_use]
pub fn readable(instant: Timestamp) -> String {
    whole(instant).to_string()
}

/// How long a time lies ahead, or behind, such as `in 3d` or `2h ago`.
#[must_use]
pub fn distance(at: Timestamp, now: Timestamp) -> String {
    let ahead = at.duration_since(now);
    if ahead.is_negative() { format!("{} ago", length(ahead.abs())) } else { format!("in {}", length(ahead)) }
}

/// A length of time in the unit that fits, as kubectl prints it; none is shorter than nothing.
#[must_use]
pub fn length(duration: SignedDuration) -> String {
    match duration.as_secs().max(0) {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds @ 7200..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// `instant` moved by `by`, or the last instant there is.
#[must_use]
pub fn after(instant: Timestamp, by: SignedDuration) -> Timestamp {
    instant.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// Both libraries hold the years -9999 to 9999, so an instant of one is always an instant of the other.
fn at_second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_survives_the_way_through_a_status() {
        let now: Timestamp = "2026-12-01T06:00:00.987Z".parse().unwrap();
        assert_eq!(instant(&time(now)), whole(now));
        assert_eq!(readable(now), "2026-12-01T06:00:00Z");
        let written = serde_json::to_value(time(now)).unwrap();
        assert_eq!(written, "2026-12-01T06:00:00Z");
    }

    #[test]
    fn distances_read_at_a_glance() {
        let instant = |text: &str| -> Timestamp { text.parse().unwrap() };
        let now = instant("2026-12-01T00:00:00Z");
        for (at, expected) in [
            ("2026-12-04T00:00:00Z", "in 3d"),
            ("2026-12-01T00:01:00Z", "in 60s"),
            ("2026-11-30T21:00:00Z", "3h ago"),
            ("2026-12-01T00:00:00Z", "in 0s"),
        ] {
            assert_eq!(distance(instant(at), now), expected);
        }
    }
}
