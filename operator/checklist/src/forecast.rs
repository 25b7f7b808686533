//! When a checklist will be done, from how long its items usually take; pure, the present comes in as a parameter.
//!
//! Items that do not wait for each other go on side by side, so a checklist takes as long as the longest way through it.
//! The work of machines and waiting for people are kept apart: the first is what a provider can promise by himself.
//!
//! Steps come in an order where each stands after everything it waits for, as [`crate::graph::order`] gives it.

use crate::duration::{self, DurationError};
use crate::time;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use tenantry_crds::blueprint::Item;
use tenantry_crds::subscription::Conclusion;

/// How long an item usually takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Until its work is done.
    pub machine: SignedDuration,
    /// Until somebody signed, after that.
    pub people: SignedDuration,
}

/// One item, as far as time is concerned.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// Name of the item.
    pub name: &'a str,
    /// Items that it waits for.
    pub depends_on: &'a [String],
    /// How long it usually takes; nothing for one that does not apply.
    pub estimate: Estimate,
    /// Whether the signatures of others keep it, and not only their work: the opening of the tenant.
    pub waits_for_people: bool,
    /// Time before which it does not begin.
    pub not_before: Option<Timestamp>,
    /// How far it is.
    pub progress: Progress,
}

/// How far an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It has not begun.
    Ahead,
    /// Its work began then.
    Working(Timestamp),
    /// Its work is done, and since then somebody is waited for.
    WaitingForPeople(Timestamp),
    /// It is done, or does not apply.
    Closed,
    /// Nobody can say when it will be done: it failed, or a person holds it.
    Stuck,
}

/// How long a whole checklist takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Length {
    /// If everybody who is waited for acts at once.
    pub machine: SignedDuration,
    /// How much longer it takes because people do not.
    pub people: SignedDuration,
}

/// How long a checklist takes that has not begun, apart from agreed times.
#[must_use]
pub fn length(steps: &[Step<'_>]) -> Length {
    let whole = |people: bool| {
        let ends = walk(steps, |step, served, closed| {
            let begins = if step.waits_for_people { closed } else { served };
            let works = begins.saturating_add(step.estimate.machine);
            let asks = if people { step.estimate.people } else { SignedDuration::ZERO };
            Ends { served: works, closed: works.saturating_add(asks) }
        });
        ends.into_values().map(|ends| ends.closed).max().unwrap_or_default()
    };
    let machine = whole(false);
    Length { machine, people: whole(true).saturating_sub(machine) }
}

/// When a checklist will be done if everything goes on as it usually does; nothing while something is stuck.
#[must_use]
pub fn completion(steps: &[Step<'_>], now: Timestamp) -> Option<Timestamp> {
    if steps.iter().any(|step| step.progress == Progress::Stuck) {
        return None;
    }
    let ends = walk(steps, |step, served, closed| {
        let in_turn = time::after(now, if step.waits_for_people { closed } else { served });
        let begins = in_turn.max(step.not_before.unwrap_or(now));
        let Estimate { machine, people } = step.estimate;
        let (served, closed) = match step.progress {
            Progress::Closed | Progress::Stuck => (now, now),
            Progress::Ahead => {
                let works = time::after(begins, machine);
                (works, time::after(works, people))
            }
            // What takes longer than usual is taken to be done at any moment.
            Progress::Working(since) => {
                let works = time::after(since, machine).max(now);
                (works, time::after(works, people))
            }
            Progress::WaitingForPeople(since) => (now, time::after(since, people).max(now)),
        };
        Ends { served: served.duration_since(now), closed: closed.duration_since(now) }
    });
    ends.into_values().map(|ends| time::after(now, ends.closed)).max()
}

/// When the work of an item is done, and when it is signed as well, counted from the beginning of the walk.
#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    served: SignedDuration,
    closed: SignedDuration,
}

/// Goes through the steps in their order.
fn walk<'a>(
    steps: &'a [Step<'a>],
    end: impl Fn(&Step<'a>, SignedDuration, SignedDuration) -> Ends,
) -> HashMap<&'a str, Ends> {
    let mut ends: HashMap<&str, Ends> = HashMap::new();
    for step in steps {
        let before = || step.depends_on.iter().filter_map(|name| ends.get(name.as_str()));
        let served = before().map(|ends| ends.served).max().unwrap_or_default();
        let closed = before().map(|ends| ends.closed).max().unwrap_or_default();
        ends.insert(step.name, end(step, served, closed));
    }
    ends
}

// === impl Estimate ===

impl Estimate {
    /// What a blueprint says of an item: of one that is a signature, its whole time is waiting for people.
    ///
    /// # Errors
    /// [`DurationError`] when an estimate is no duration.
    pub fn of(item: &Item) -> Result<Self, DurationError> {
        let read =
            |text: Option<&String>| text.map_or(Ok(SignedDuration::ZERO), |text| duration::parse(text));
        let takes = read(item.estimate.as_ref())?;
        if item.sign_off.is_some() {
            return Ok(Self { machine: SignedDuration::ZERO, people: takes });
        }
        let confirmed = item.confirm.as_ref().and_then(|confirm| confirm.estimate.as_ref());
        Ok(Self { machine: takes, people: read(confirmed)? })
    }

    /// So many seconds of work and of waiting for people.
    #[must_use]
    pub fn of_seconds(machine: i64, people: i64) -> Self {
        Self { machine: SignedDuration::from_secs(machine), people: SignedDuration::from_secs(people) }
    }

    /// What an item took that came to an end.
    #[must_use]
    pub fn taken(conclusion: &Conclusion) -> Self {
        let worked = time::instant(&conclusion.worked_at);
        let began = conclusion.started_at.as_ref().map_or(worked, time::instant);
        let lasted = |from: Timestamp, to: Timestamp| to.duration_since(from).max(SignedDuration::ZERO);
        Self { machine: lasted(began, worked), people: lasted(worked, time::instant(&conclusion.at)) }
    }

    /// Both together.
    #[must_use]
    pub fn whole(&self) -> SignedDuration {
        self.machine.saturating_add(self.people)
    }
}

#[cfg(test)]
mod tests;
