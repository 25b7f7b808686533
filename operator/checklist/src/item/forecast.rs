//! What a checklist's items and how far they are say about when all of it will be done; pure.

use super::{
    CONFIRMATION_MISSING, Forecast, ItemInput, Kind, NO_SERVER_POOL, NOT_BEFORE, OUT_OF_CAPACITY,
    SERVERS_RELEASED,
};
use crate::forecast::{Estimate, Progress, Step, completion, length};
use crate::time;
use jiff::{SignedDuration, Timestamp};
use tenantry_crds::blueprint::OnFailure;
use tenantry_crds::subscription::{ChecklistEntry, ItemState};

/// The forecast of a checklist. `waits` holds for each item what it waits for, and `entries` how far it is; `order` names the
/// items' positions, each after those it waits for.
pub(super) fn forecast(
    items: &[ItemInput],
    waits: &[Vec<String>],
    entries: &[ChecklistEntry],
    order: &[usize],
    now: Timestamp,
) -> Forecast {
    let steps: Vec<Step<'_>> = order
        .iter()
        .filter_map(|at| Some((items.get(*at)?, waits.get(*at)?, entries.get(*at)?)))
        .map(|(item, depends_on, entry)| Step {
            name: &item.name,
            depends_on,
            estimate: estimate(item),
            waits_for_people: matches!(item.kind, Kind::GoLive { .. }),
            not_before: not_before(item),
            progress: progress(item, entry),
        })
        .collect();
    let with = |of: &dyn Fn(&ItemInput, &ChecklistEntry) -> Estimate| {
        let places = order.iter().filter_map(|at| Some((items.get(*at)?, entries.get(*at)?)));
        let steps = steps.iter().zip(places);
        let steps: Vec<Step<'_>> =
            steps.map(|(step, (item, entry))| Step { estimate: of(item, entry), ..step.clone() }).collect();
        length(&steps)
    };
    let is_done = entries.iter().all(|entry| matches!(entry.state, ItemState::Done | ItemState::Skipped));
    let is_learned = items.iter().any(|item| item.nine_of_ten.is_some());
    Forecast {
        length: length(&steps),
        nine_of_ten: is_learned
            .then(|| with(&|item, _| applying(item, item.nine_of_ten.unwrap_or(item.estimate)))),
        took: is_done.then(|| with(&|_, entry| took(entry))),
        not_before: items.iter().find_map(not_before),
        completion: completion(&steps, now),
    }
}

/// How long an item usually takes under its order: nothing if it does not apply, and nobody is waited for who is not asked.
pub(super) fn estimate(item: &ItemInput) -> Estimate {
    applying(item, item.estimate)
}

fn applying(item: &ItemInput, estimate: Estimate) -> Estimate {
    match (&item.skipped, &item.signature) {
        (Some(_), _) => Estimate::default(),
        (None, Some(_)) => estimate,
        (None, None) => Estimate { people: SignedDuration::ZERO, ..estimate },
    }
}

/// How long an item took that is done.
fn took(entry: &ChecklistEntry) -> Estimate {
    entry.conclusion.as_ref().map(Estimate::taken).unwrap_or_default()
}

fn not_before(item: &ItemInput) -> Option<Timestamp> {
    match item.kind {
        Kind::GoLive { not_before } => not_before,
        _ => None,
    }
}

fn progress(item: &ItemInput, entry: &ChecklistEntry) -> Progress {
    let began = entry.started_at.as_ref().map_or(Progress::Ahead, |at| Progress::Working(time::instant(at)));
    match entry.state {
        ItemState::Done | ItemState::Skipped => Progress::Closed,
        ItemState::Failed if item.on_failure == OnFailure::Continue => Progress::Closed,
        ItemState::Failed => Progress::Stuck,
        _ if item.hold.is_some() || item.frozen => Progress::Stuck,
        ItemState::Pending => Progress::Ahead,
        ItemState::Running => began,
        ItemState::Waiting if item.kind == Kind::SignOff || entry.reason == CONFIRMATION_MISSING => {
            Progress::WaitingForPeople(time::instant(&entry.since))
        }
        ItemState::Waiting if entry.reason == NOT_BEFORE => Progress::Ahead,
        // When somebody leaves or adds servers, or a suspension ends, nobody knows.
        ItemState::Waiting
            if [OUT_OF_CAPACITY, NO_SERVER_POOL, SERVERS_RELEASED].contains(&entry.reason.as_str()) =>
        {
            Progress::Stuck
        }
        ItemState::Waiting => began,
    }
}
