//! When items should be done, by the dates of an order; pure, the present comes in as a parameter.

use crate::duration::{self, DurationError};
use crate::time;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tenantry_crds::blueprint::{Due, DueAfter, DueBefore};

/// Times of an order that its items refer to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dates {
    /// When the subscription was made.
    pub ordered: Timestamp,
    /// When going live is planned.
    pub target: Option<Timestamp>,
    /// Time before which the tenant is not opened.
    pub not_before: Option<Timestamp>,
}

// === impl Dates ===

impl Dates {
    /// When an item with these terms should be done; nothing when the order has no date to count from.
    ///
    /// # Errors
    /// [`DurationError`] when the lead or lag is no duration.
    pub fn due(&self, due: Option<&Due>) -> Result<Option<Timestamp>, DurationError> {
        let Some(due) = due else { return Ok(None) };
        let by = |text: &Option<String>| text.as_deref().map(duration::parse).transpose();
        if let (Some(DueBefore::GoLive), Some(lead)) = (due.before, by(&due.lead)?) {
            let moved = |target: Timestamp| target.checked_sub(lead).unwrap_or(Timestamp::MIN);
            return Ok(self.target.map(moved));
        }
        if let (Some(DueAfter::Order), Some(lag)) = (due.after, by(&due.lag)?) {
            return Ok(Some(time::after(self.ordered, lag)));
        }
        Ok(None)
    }
}

/// The beginning of a day such as `2026-12-01`, in UTC; nothing when there is no such day.
#[must_use]
pub fn beginning_of(day: &str) -> Option<Timestamp> {
    let date: Date = day.parse().ok()?;
    TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn before(lead: &str) -> Due {
        Due { before: Some(DueBefore::GoLive), lead: Some(lead.to_owned()), ..Due::default() }
    }

    #[test]
    fn due_times_are_counted_from_the_dates_of_the_order() {
        let ordered = instant("2026-11-01T12:00:00Z");
        let dates = Dates { ordered, target: beginning_of("2026-12-01"), not_before: None };
        let after = Due { after: Some(DueAfter::Order), lag: Some("48h".to_owned()), ..Due::default() };
        for (due, expected) in [
            (Some(before("72h")), Some("2026-11-28T00:00:00Z")),
            (Some(after), Some("2026-11-03T12:00:00Z")),
            (None, None),
        ] {
            assert_eq!(dates.due(due.as_ref()).unwrap(), expected.map(instant), "{due:?}");
        }
        let undated = Dates { target: None, ..dates };
        assert_eq!(undated.due(Some(&before("72h"))).unwrap(), None);
        assert!(dates.due(Some(&before("3d"))).is_err());
    }

    #[test]
    fn days_that_do_not_exist_have_no_beginning() {
        assert_eq!(beginning_of("2026-12-01"), Some(instant("2026-12-01T00:00:00Z")));
        for day in ["2026-02-30", "2027-02-29", "tomorrow", ""] {
            assert_eq!(beginning_of(day), None, "{day}");
        }
    }
}
