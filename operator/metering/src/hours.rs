//! Hours of UTC, and what the ledger is told of each; pure.

use jiff::{SignedDuration, Timestamp};

/// Seconds of an hour.
pub const HOUR: i64 = 3600;

/// The begin of the hour that an instant is in.
#[must_use]
pub fn hour_of(at: Timestamp) -> Timestamp {
    // Seconds are cut off towards 1970.
    let second = at.as_second() - i64::from(at.subsec_nanosecond() < 0);
    Timestamp::from_second(second.div_euclid(HOUR) * HOUR).unwrap_or(Timestamp::MIN)
}

/// The end of the hour that an instant is in.
#[must_use]
pub fn end_of(at: Timestamp) -> Timestamp {
    hour_of(at).saturating_add(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MAX)
}

/// What the ledger is still to be told of an hour, when it was told `known` in all by revisions below `next`: nothing where it has
/// it all, and more than one revision only where the difference is larger than one can say.
#[must_use]
pub fn revisions(told: i128, known: i128, next: u32) -> Vec<(u32, i64)> {
    let mut left = told - known;
    let mut revisions = Vec::new();
    let mut revision = next;
    while left != 0 {
        let part = i64::try_from(left).unwrap_or(if left > 0 { i64::MAX } else { i64::MIN });
        revisions.push((revision, part));
        left -= i128::from(part);
        revision = revision.saturating_add(1);
    }
    revisions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_in_one_hour() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for (instant, hour) in [
            ("2026-12-01T10:00:00Z", "2026-12-01T10:00:00Z"),
            ("2026-12-01T10:59:59.999999999Z", "2026-12-01T10:00:00Z"),
            ("1969-12-31T23:59:59.5Z", "1969-12-31T23:00:00Z"),
        ] {
            assert_eq!(hour_of(at(instant)), at(hour));
            assert_eq!(end_of(at(instant)).as_second() - at(hour).as_second(), HOUR);
        }
        assert!(hour_of(Timestamp::MAX) <= Timestamp::MAX && end_of(Timestamp::MAX) <= Timestamp::MAX);
    }

    #[test]
    fn a_revision_says_the_difference() {
        assert_eq!(revisions(7, 0, 0), [(0, 7)]);
        assert_eq!(revisions(7, 7, 1), []);
        assert_eq!(revisions(9, 7, 1), [(1, 2)]);
        assert_eq!(revisions(4, 7, 3), [(3, -3)]);
        assert_eq!(revisions(0, 0, 0), []);
        let much = 2 * i128::from(i64::MAX) + 5;
        let told = revisions(much, 0, 0);
        assert_eq!(told.len(), 3);
        assert_eq!(told.iter().map(|(_, part)| i128::from(*part)).sum::<i128>(), much);
        let parts: Vec<u32> = told.iter().map(|(revision, _)| *revision).collect();
        assert_eq!(parts, [0, 1, 2]);
    }
}
