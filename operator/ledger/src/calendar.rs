//! Time: half-open periods of local time, and the boundaries that a billing anchor gives. Pure.
//!
//! Boundary k is always computed from the anchor and never from boundary k - 1. Stepping would drift: 31 January plus a month
//! plus a month is 28 March, while the second boundary after 31 January is 31 March.

use jiff::civil::{Date, DateTime};
use jiff::{Span, ToSpan as _};
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// A half-open stretch of local time, `[from, to)`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Period {
    /// The first moment inside.
    pub from: DateTime,
    /// The first moment after.
    pub to: DateTime,
}

impl Period {
    /// From one moment to another.
    #[must_use]
    pub fn new(from: DateTime, to: DateTime) -> Self {
        Self { from, to }
    }

    /// Whole days, `[from, to)`.
    #[must_use]
    pub fn days(from: Date, to: Date) -> Self {
        Self { from: from.into(), to: to.into() }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.from >= self.to
    }

    /// What both have in common.
    #[must_use]
    pub fn common(&self, other: &Self) -> Option<Self> {
        let common = Self { from: self.from.max(other.from), to: self.to.min(other.to) };
        (!common.is_empty()).then_some(common)
    }

    /// Whether the moment lies inside.
    #[must_use]
    pub fn contains(&self, at: DateTime) -> bool {
        self.from <= at && at < self.to
    }

    /// What is left of this when `others` are taken away, in order.
    #[must_use]
    pub fn without(&self, others: &[Self]) -> Vec<Self> {
        let mut left = vec![*self];
        for other in others {
            left = left
                .into_iter()
                .flat_map(|part| match part.common(other) {
                    None => vec![part],
                    Some(gone) => vec![Self::new(part.from, gone.from), Self::new(gone.to, part.to)],
                })
                .filter(|part| !part.is_empty())
                .collect();
        }
        left.sort();
        left
    }
}

/// The unit of a recurrence.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Unit {
    /// Days.
    Day,
    /// Weeks of seven days.
    Week,
    /// Calendar months.
    Month,
    /// Calendar years.
    Year,
}

/// How often something recurs, or how long it lasts: so many units.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Interval {
    /// The unit.
    pub unit: Unit,
    /// How many of it, at least one.
    pub count: u16,
}

impl Interval {
    /// So many units.
    #[must_use]
    pub const fn of(count: u16, unit: Unit) -> Self {
        Self { unit, count }
    }

    /// The length in months, where it is made of months.
    #[must_use]
    pub fn months(self) -> Option<i32> {
        match self.unit {
            Unit::Month => Some(i32::from(self.count)),
            Unit::Year => Some(12 * i32::from(self.count)),
            Unit::Day | Unit::Week => None,
        }
    }

    /// One step from a moment, forwards or backwards, by the calendar's own rule (31 March less a month is 28 February).
    ///
    /// # Errors
    /// The calendar ends before.
    pub fn step(self, from: DateTime, steps: i32) -> Result<DateTime, Refusal> {
        let amount = i64::from(self.count) * i64::from(steps);
        let span = match self.unit {
            Unit::Day => Span::new().try_days(amount),
            Unit::Week => Span::new().try_weeks(amount),
            Unit::Month => Span::new().try_months(amount),
            Unit::Year => Span::new().try_years(amount),
        };
        span.and_then(|span| from.checked_add(span)).map_err(|_| out_of_calendar())
    }

    pub(crate) fn check(self, field: &str) -> Result<(), Refusal> {
        if self.count == 0 {
            return Err(Refusal::new(
                format!("{field}.count"),
                "an interval of nothing",
                "write one or more",
            ));
        }
        Ok(())
    }
}

fn out_of_calendar() -> Refusal {
    Refusal::new("date", "outside the years -9999 to 9999", "check the dates and the interval")
}

/// The boundaries of recurring periods: an anchor and an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cycle {
    anchor: DateTime,
    day: i8,
    interval: Interval,
}

impl Cycle {
    /// Boundaries on the anchor's own day.
    #[must_use]
    pub fn new(anchor: DateTime, interval: Interval) -> Self {
        Self { anchor, day: anchor.day(), interval }
    }

    /// Boundaries on a day of the month, 1 to 31, counted from the month in which `month` lies. Weeks and days count from
    /// `month` itself.
    #[must_use]
    pub fn on_day(month: DateTime, day: i8, interval: Interval) -> Self {
        Self { anchor: month, day, interval }
    }

    /// Boundary k, which may be negative: the anchor plus k intervals, on the month's last day where the day is missing.
    ///
    /// # Errors
    /// The calendar ends before.
    pub fn boundary(&self, k: i32) -> Result<DateTime, Refusal> {
        let Some(months) = self.interval.months() else { return self.interval.step(self.anchor, k) };
        let month = i32::from(self.anchor.year()) * 12 + i32::from(self.anchor.month()) - 1;
        let month =
            k.checked_mul(months).and_then(|steps| steps.checked_add(month)).ok_or_else(out_of_calendar)?;
        let year = i16::try_from(month.div_euclid(12)).map_err(|_| out_of_calendar())?;
        let number = i8::try_from(month.rem_euclid(12) + 1).map_err(|_| out_of_calendar())?;
        let first = Date::new(year, number, 1).map_err(|_| out_of_calendar())?;
        let day = self.day.clamp(1, first.days_in_month());
        let date = Date::new(year, number, day).map_err(|_| out_of_calendar())?;
        Ok(date.to_datetime(self.anchor.time()))
    }

    /// The last boundary at or before a moment.
    ///
    /// # Errors
    /// The calendar ends before.
    pub fn index(&self, at: DateTime) -> Result<i32, Refusal> {
        let mut k = match self.interval.months() {
            Some(months) => {
                let apart = (i32::from(at.year()) - i32::from(self.anchor.year())) * 12
                    + i32::from(at.month())
                    - i32::from(self.anchor.month());
                apart.div_euclid(months.max(1))
            }
            None => {
                let length = i32::from(self.interval.count.max(1))
                    * if self.interval.unit == Unit::Week { 7 } else { 1 };
                days_between(self.anchor, at).div_euclid(length)
            }
        };
        while self.boundary(k)? > at {
            k -= 1;
        }
        while self.boundary(k + 1)? <= at {
            k += 1;
        }
        Ok(k)
    }

    /// Period k, between boundary k and the next.
    ///
    /// # Errors
    /// The calendar ends before.
    pub fn period(&self, k: i32) -> Result<Period, Refusal> {
        Ok(Period::new(self.boundary(k)?, self.boundary(k + 1)?))
    }

    /// The interval.
    #[must_use]
    pub fn interval(&self) -> Interval {
        self.interval
    }
}

/// Whole days between the dates of two moments.
#[must_use]
pub fn days_between(from: DateTime, to: DateTime) -> i32 {
    // Two dates are at most 7.3 million days apart, and the default unit of a difference of dates is the day.
    (to.date() - from.date()).get_days()
}

/// The day after.
///
/// # Errors
/// The calendar ends there.
pub fn next_day(date: Date) -> Result<Date, Refusal> {
    date.checked_add(1.day()).map_err(|_| out_of_calendar())
}
