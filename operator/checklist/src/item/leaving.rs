//! The state of a step that takes something away at the end of a subscription; pure.

use super::evaluate::{Finding, History, Pass};
use super::{DATA_KEPT, LEAVING, TIMED_OUT};
use crate::text::list;
use crate::time;
use jiff::Timestamp;
use tenantry_crds::subscription::ItemState;

/// Objects named in one message.
const NAMED: usize = 4;

// === impl Pass ===

impl Pass<'_> {
    /// What is left when its time is over is told, and holds nothing up any more.
    pub(super) fn leaving(&self, not_before: Option<Timestamp>, given_up: bool, history: History) -> Finding {
        if let Some(held) = self.held(history) {
            return held;
        }
        let history = History { started: history.started.or(Some(self.now)), ..history };
        if let Some(at) = not_before.filter(|at| *at > self.now) {
            let message = format!(
                "the data is kept until {}; kubectl tenantry exit {} --end-keeping deletes it now",
                time::readable(at),
                self.subscription
            );
            let finding = Finding::new(ItemState::Waiting, DATA_KEPT, message, history);
            return Finding { changes: Some(at), ..finding };
        }
        let evidence = &self.item.evidence;
        if evidence.is_complete() {
            return Finding::new(
                ItemState::Done,
                "Gone",
                self.item.note.clone().unwrap_or_default(),
                history,
            );
        }
        let left: Vec<String> =
            evidence.unhealthy.iter().map(|left| format!("{}: {}", left.object, left.reason)).collect();
        let left = list(&left, NAMED);
        if given_up {
            let message = format!(
                "not gone within {:#}: {left}; the end goes on, and what is left is removed as soon as that is possible",
                self.item.timeout
            );
            return Finding::new(ItemState::Failed, TIMED_OUT, message, history);
        }
        let finding = Finding::new(ItemState::Running, LEAVING, left, history);
        Finding { released: true, changes: Some(self.too_long(history)), ..finding }
    }
}
