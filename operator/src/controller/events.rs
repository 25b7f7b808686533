//! Kubernetes events at transitions. Needs a client.

use super::roots::Root;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use std::sync::Arc;
use tenantry_checklist::item::SERVERS_RELEASED;
use tenantry_crds::common::{Condition, ConditionStatus};
use tenantry_crds::subscription::ChecklistEntry;
use tokio::sync::Semaphore;

/// Longest note the API server accepts is one KiB.
const NOTE_BYTES: usize = 1000;

/// Events that are under way at once. Nobody waits for them unless there are more.
const UNDER_WAY: u32 = 32;

/// Publishes events.
#[derive(Clone)]
pub(crate) struct Events {
    recorder: Recorder,
    places: Arc<Semaphore>,
}

/// What happened to a subscription, in order of importance.
const TELLING: [(&str, ConditionStatus, EventType); 6] = [
    ("Stalled", ConditionStatus::True, EventType::Warning),
    ("Live", ConditionStatus::True, EventType::Normal),
    ("Ready", ConditionStatus::True, EventType::Normal),
    ("Accepted", ConditionStatus::False, EventType::Warning),
    ("Ready", ConditionStatus::False, EventType::Warning),
    ("Accepted", ConditionStatus::True, EventType::Normal),
];

// === impl Events ===

impl Events {
    /// Publishes in the name of this replica.
    #[must_use]
    pub(crate) fn new(client: Client, identity: &str) -> Self {
        let reporter = Reporter { controller: "tenantry".to_owned(), instance: Some(identity.to_owned()) };
        Self {
            recorder: Recorder::new(client, reporter),
            places: Arc::new(Semaphore::new(UNDER_WAY as usize)),
        }
    }

    /// Publishes the most important transition between two sets of conditions, if there is one, and does not wait for it:
    /// what comes next for the tenant does not depend on it. An event that cannot be published is lost: the conditions
    /// say the same.
    pub(crate) async fn transition(&self, root: &Root, old: &[Condition], new: &[Condition]) {
        let Some((condition, kind)) = transition(old, new) else { return };
        self.publish(root, kind, &condition.type_, &condition.reason, &condition.message).await;
    }

    /// Publishes that items should have been done by now, once for each.
    pub(crate) async fn overdue(&self, root: &Root, old: &[ChecklistEntry], new: &[ChecklistEntry]) {
        for entry in newly_overdue(old, new) {
            let note = format!("{} should be done already: {}", entry.name, entry.message);
            self.publish(root, EventType::Warning, "Checklist", "Overdue", &note).await;
        }
    }

    /// Publishes that a tenant lost its share of the servers, because it was suspended for too long.
    pub(crate) async fn released(&self, root: &Root, old: &[ChecklistEntry], new: &[ChecklistEntry]) {
        for entry in newly(old, new, |entry| entry.reason == SERVERS_RELEASED) {
            self.publish(root, EventType::Warning, "Servers", SERVERS_RELEASED, &entry.message).await;
        }
    }

    async fn publish(&self, root: &Root, kind: EventType, action: &str, reason: &str, note: &str) {
        let mut note = note.to_owned();
        note.truncate(note.floor_char_boundary(NOTE_BYTES));
        let event = Event {
            type_: kind,
            reason: reason.to_owned(),
            note: Some(note),
            action: action.to_owned(),
            secondary: None,
        };
        // Closed never, and then there is nobody left to tell.
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
        let (recorder, reference) = (self.recorder.clone(), root.reference());
        tokio::spawn(async move {
            if let Err(error) = recorder.publish(&event, &reference).await {
                tracing::warn!(subscription = ?reference.name, %error, "event not published");
            }
            drop(place);
        });
    }

    /// Waits until no event is under way.
    pub(crate) async fn settled(&self) {
        let _all = self.places.acquire_many(UNDER_WAY).await;
    }
}

/// Entries that are overdue and were not before.
fn newly_overdue<'a>(old: &[ChecklistEntry], new: &'a [ChecklistEntry]) -> Vec<&'a ChecklistEntry> {
    newly(old, new, |entry| entry.overdue)
}

/// Entries of which something holds that did not before.
fn newly<'a>(
    old: &[ChecklistEntry],
    new: &'a [ChecklistEntry],
    holds: impl Fn(&ChecklistEntry) -> bool,
) -> Vec<&'a ChecklistEntry> {
    let was = |name: &str| old.iter().any(|entry| entry.name == name && holds(entry));
    new.iter().filter(|entry| holds(entry) && !was(&entry.name)).collect()
}

/// The most important condition that changed, with the kind of its event.
fn transition<'a>(old: &[Condition], new: &'a [Condition]) -> Option<(&'a Condition, EventType)> {
    let find = |all: &[Condition], type_: &str| all.iter().find(|c| c.type_ == type_).map(|c| c.status);
    TELLING.iter().find_map(|(type_, status, kind)| {
        let condition = new.iter().find(|c| c.type_ == *type_ && c.status == *status)?;
        // That something new is not ready yet is no event.
        let before = find(old, type_);
        let is_news = match status {
            ConditionStatus::False if *type_ == "Ready" => before == Some(ConditionStatus::True),
            _ => before != Some(*status),
        };
        is_news.then_some((condition, *kind))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(list: &[(&str, ConditionStatus)]) -> Vec<Condition> {
        let condition = |(type_, status): &(&str, ConditionStatus)| Condition {
            type_: (*type_).to_owned(),
            status: *status,
            reason: "Because".to_owned(),
            message: String::new(),
            last_transition_time: tenantry_checklist::time::time(jiff::Timestamp::UNIX_EPOCH),
            observed_generation: 1,
        };
        list.iter().map(condition).collect()
    }

    fn told(old: &[(&str, ConditionStatus)], new: &[(&str, ConditionStatus)]) -> Option<String> {
        let (old, new) = (conditions(old), conditions(new));
        transition(&old, &new).map(|(condition, _)| condition.type_.clone())
    }

    #[test]
    fn one_event_tells_the_most_important_transition() {
        use ConditionStatus::{False, True};
        let accepted = [("Accepted", True), ("Ready", False), ("Live", False)];
        let live = [("Accepted", True), ("Ready", True), ("Live", True)];
        assert_eq!(told(&[], &accepted).as_deref(), Some("Accepted"));
        assert_eq!(told(&accepted, &live).as_deref(), Some("Live"));
        assert_eq!(told(&live, &live), None);
        assert_eq!(told(&live, &accepted).as_deref(), Some("Ready"), "it was ready and is not any more");
        assert_eq!(told(&[], &[("Accepted", False)]).as_deref(), Some("Accepted"));
    }
}
