//! What a checklist's items and how far they are say about when all of it will be done; pure.

use super::{CONFIRMATION_MISSING, Forecast, ItemInput, Kind, NOT_BEFORE};
use crate::forecast::{Estimate, Progress, Step, completion, length};
use crate::time;
use jiff::Timestamp;
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
    Forecast {
        length: length(&steps),
        not_before: items.iter().find_map(not_before),
        completion: completion(&steps, now),
    }
}

/// How long an item usually takes under its order: nothing if it does not apply, and nobody is waited for who is not asked.
pub(super) fn estimate(item: &ItemInput) -> Estimate {
    match (&item.skipped, &item.signature) {
        (Some(_), _) => Estimate::default(),
        (None, Some(_)) => item.estimate,
        (None, None) => Estimate { people: jiff::SignedDuration::ZERO, ..item.estimate },
    }
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
        ItemState::Waiting => began,
    }
}
