//! Maintenance windows: when what interrupts a tenant's service may begin; pure, the time comes in as a parameter.
//!
//! A window bounds when work begins, never how long it takes. Schedules are times of a wall clock: they are driven as civil times and
//! only then become instants, so that a change of the clocks neither loses a window nor doubles it. A time that such a change leaves
//! out becomes the moment of the change, one that comes twice the first of the two (as Vixie's cron does for its fixed times).

use crate::Problem;
use crate::duration;
use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use tenantry_crds::subscription::{MaintenanceWindow, WindowKind};

/// A window cannot be understood.
const INVALID: &str = "MaintenanceWindowInvalid";
/// Nothing could ever begin.
const NEVER: &str = "MaintenanceNeverAllowed";
/// Bounds of how long a window lasts.
const SHORTEST: SignedDuration = SignedDuration::from_mins(1);
const LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How far ahead is looked for a moment: as far as a leap day may be away.
const HORIZON: SignedDuration = SignedDuration::from_hours((4 * 366 + 1) * 24);
/// From when on is looked whether windows leave any moment: an order is valid or not, whenever it is looked at. A leap year
/// begins.
const SAMPLE: Timestamp = Timestamp::constant(1_704_067_200, 0);
/// Edges of windows that are looked at before it is said that there is no such moment.
const EDGES: usize = 20_000;

/// The maintenance windows of one order.
#[derive(Clone, Debug, Default)]
pub struct Windows {
    allow: Vec<Window>,
    deny: Vec<Window>,
    source: Vec<MaintenanceWindow>,
}

#[derive(Clone, Debug)]
struct Window {
    /// In UTC, which stands for the wall clock of the zone.
    schedule: Crontab,
    duration: SignedDuration,
    zone: TimeZone,
}

// === impl Windows ===

impl Windows {
    /// The windows of an order.
    ///
    /// # Errors
    /// Every window that cannot be understood, with its field and the remedy; or that they leave no moment at all.
    pub fn of(windows: &[MaintenanceWindow]) -> Result<Self, Vec<Problem>> {
        let (mut found, mut problems) = (Self { source: windows.to_vec(), ..Self::default() }, Vec::new());
        for (at, window) in windows.iter().enumerate() {
            match Window::of(window, &format!("spec.maintenanceWindows[{at}]")) {
                Ok(parsed) if window.kind == WindowKind::Allow => found.allow.push(parsed),
                Ok(parsed) => found.deny.push(parsed),
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        if found.opens(SAMPLE).is_none() {
            let message = "leave no moment at which work may begin; add a window of kind Allow, or shorten those of \
                           kind Deny";
            return Err(vec![Problem::new("spec.maintenanceWindows", NEVER, message)]);
        }
        Ok(found)
    }

    /// Whether nothing is said, so that anything may begin at any time.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.source.is_empty()
    }

    /// Whether work may begin at a moment.
    #[must_use]
    pub fn is_open(&self, at: Timestamp) -> bool {
        let covers = |windows: &[Window]| windows.iter().any(|window| window.covering(at).is_some());
        (self.allow.is_empty() || covers(&self.allow)) && !covers(&self.deny)
    }

    /// The first moment from `from` on at which work may begin; nothing where there is none within four years.
    #[must_use]
    pub fn opens(&self, from: Timestamp) -> Option<Timestamp> {
        self.first(from, |windows, at| {
            if let Some(end) = windows.deny.iter().filter_map(|window| window.covering(at)).max() {
                return Some(end);
            }
            let is_allowed =
                windows.allow.is_empty() || windows.allow.iter().any(|w| w.covering(at).is_some());
            if is_allowed {
                return Some(at);
            }
            windows.allow.iter().filter_map(|window| window.next(at)).min()
        })
    }

    /// The first moment from `from` on at which work may not begin; nothing where there is none within four years.
    #[must_use]
    pub fn closes(&self, from: Timestamp) -> Option<Timestamp> {
        self.first(from, |windows, at| {
            if !windows.is_open(at) {
                return Some(at);
            }
            let denied = windows.deny.iter().filter_map(|window| window.next(at));
            let over = windows.allow.iter().filter_map(|window| window.covering(at)).max();
            denied.chain(over).min()
        })
    }

    /// The first moment after `from` at which work may begin that may not begin right before; nothing where there is none within a
    /// year.
    #[must_use]
    pub fn opens_again(&self, from: Timestamp) -> Option<Timestamp> {
        self.opens(self.closes(from)?)
    }

    /// Follows edges of windows until one is the answer, which is where `step` stays.
    fn first(
        &self,
        from: Timestamp,
        step: impl Fn(&Self, Timestamp) -> Option<Timestamp>,
    ) -> Option<Timestamp> {
        let horizon = from.checked_add(HORIZON).ok()?;
        let mut at = from;
        for _ in 0..EDGES {
            let next = step(self, at)?;
            if next == at {
                return Some(at);
            }
            at = next;
            if at > horizon {
                return None;
            }
        }
        None
    }
}

/// By what they were read from.
impl PartialEq for Windows {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Windows {}

// === impl Window ===

impl Window {
    fn of(window: &MaintenanceWindow, field: &str) -> Result<Self, Problem> {
        let problem = |part: &str, message: String| Problem::new(format!("{field}.{part}"), INVALID, message);
        let zone = TimeZone::get(&window.time_zone).map_err(|_| {
            let message = format!(
                "{:?} is no time zone; write its IANA name, such as Europe/Berlin, or leave it out for UTC",
                window.time_zone
            );
            problem("timeZone", message)
        })?;
        let fields = window.schedule.split_ascii_whitespace().count();
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let schedule = match cronexpr::parse_crontab_with(&window.schedule, options) {
            Ok(schedule) if fields == 5 => schedule,
            Ok(_) => {
                let message =
                    format!("has {fields} fields; write the five of cron, and the time zone in timeZone");
                return Err(problem("schedule", message));
            }
            Err(_) => {
                let message = format!(
                    "{:?} is no schedule; write minute, hour, day of the month, month and day of the week, such as 0 22 * * SAT",
                    window.schedule
                );
                return Err(problem("schedule", message));
            }
        };
        let duration =
            duration::parse(&window.duration).map_err(|error| problem("duration", error.to_string()))?;
        if !(SHORTEST..=LONGEST).contains(&duration) {
            let message = format!("{} is not from one minute to seven days (168h)", window.duration);
            return Err(problem("duration", format!("{message}; write such a duration")));
        }
        let found = Self { schedule, duration, zone };
        // The thirtieth of February, say.
        if found.next(SAMPLE).is_none() {
            let message = format!("{:?} never comes; correct day and month", window.schedule);
            return Err(problem("schedule", message));
        }
        Ok(found)
    }

    /// When the first of its times after a moment begins.
    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let mut civil = self.zone.to_datetime(after);
        // While the clock shows an hour for the second time, its times of the first are passed over.
        loop {
            civil = self.next_civil(civil)?;
            let at = self.instant(civil)?;
            if at > after {
                return Some(at);
            }
        }
    }

    fn next_civil(&self, after: DateTime) -> Option<DateTime> {
        let seconds = Offset::UTC.to_timestamp(after).ok()?.as_second();
        let next = self.schedule.find_next(MakeTimestamp::from_second(seconds).ok()?).ok()?;
        let next = Timestamp::from_second(next.timestamp().as_second()).ok()?;
        Some(Offset::UTC.to_datetime(next))
    }

    fn instant(&self, civil: DateTime) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(civil);
        match ambiguous.offset() {
            AmbiguousOffset::Gap { .. } => {
                let before = ambiguous.earlier().ok()?;
                self.zone.following(before).next().map(|change| change.timestamp())
            }
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => ambiguous.earlier().ok(),
        }
    }

    /// When the time that a moment lies in ends; nothing where it lies in none.
    fn covering(&self, at: Timestamp) -> Option<Timestamp> {
        let start = self.next(at.checked_sub(self.duration).ok()?)?;
        if start > at { None } else { start.checked_add(self.duration).ok() }
    }
}

#[cfg(test)]
mod tests;
