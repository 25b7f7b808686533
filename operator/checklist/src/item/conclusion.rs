//! How an item came to an end, once for each end; pure.

use super::evaluate::Pass;
use super::{CONFIRMATION_MISSING, Kind};
use crate::time;
use jiff::Timestamp;
use tenantry_crds::subscription::{ChecklistEntry, Conclusion, ItemState, Outcome};

// === impl Pass ===

impl Pass<'_> {
    /// The item's last end: that of the entry before, unless the item ended anew. One that is repaired and done again has not.
    pub(super) fn conclusion(&self, state: ItemState, started: Option<Timestamp>) -> Option<Conclusion> {
        let known = self.before.and_then(|before| before.conclusion.clone());
        let known = known.map(|known| Conclusion { reopened: known.reopened || self.begins_anew(), ..known });
        let Some(outcome) = outcome(state) else { return known };
        match (&known, self.before) {
            (Some(known), _) if known.outcome == outcome && !known.reopened => return Some(known.clone()),
            // It ended under a version that kept no ends, and nobody knows when.
            (None, Some(before)) if before.state == state => return None,
            _ => {}
        }
        let worked = match self.item.kind {
            Kind::SignOff => started.unwrap_or(self.now),
            _ => self.before.and_then(waits_to_be_confirmed).unwrap_or(self.now),
        };
        Some(Conclusion {
            number: known.map_or(1, |known| known.number.saturating_add(1)),
            outcome,
            started_at: started.map(time::time),
            worked_at: time::time(worked),
            at: time::time(self.now),
            reopened: false,
        })
    }

    /// Whether the item is about something else than before, or a person asked to try again what did not succeed.
    fn begins_anew(&self) -> bool {
        let Some(before) = self.before else { return false };
        // What does not apply has no input that could change.
        let digest = before.input_digest.as_ref().filter(|_| self.item.skipped.is_none());
        let is_other = digest.is_some_and(|digest| *digest != self.item.input_digest);
        is_other || (self.asked && before.state != ItemState::Done)
    }
}

fn outcome(state: ItemState) -> Option<Outcome> {
    match state {
        ItemState::Done => Some(Outcome::Done),
        ItemState::Failed => Some(Outcome::Failed),
        ItemState::Skipped => Some(Outcome::Skipped),
        ItemState::Pending | ItemState::Running | ItemState::Waiting => None,
    }
}

/// Since when an item that did its work waits for somebody to confirm that.
fn waits_to_be_confirmed(entry: &ChecklistEntry) -> Option<Timestamp> {
    (entry.state == ItemState::Waiting && entry.reason == CONFIRMATION_MISSING)
        .then(|| time::instant(&entry.since))
}
