//! What people read of an operation's progress: promise and forecast, and the checklist as a tree. No client or clock.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tenantry_checklist::item::{NO_SERVER_POOL, OUT_OF_CAPACITY};
use tenantry_checklist::plan_change::pending;
use tenantry_checklist::time::{self, distance, length, readable};
use tenantry_crds::TenantSubscriptionStatus;
use tenantry_crds::subscription::{ChecklistEntry, GoLiveStatus, ItemState, OperationStatus};

/// One character that shows a state at a glance.
pub(super) fn mark(state: ItemState) -> char {
    match state {
        ItemState::Done => '✔',
        ItemState::Failed => '✘',
        ItemState::Skipped => '–',
        ItemState::Running => '▸',
        ItemState::Waiting => '…',
        ItemState::Pending => '·',
    }
}

/// An operation in one line: what was promised, and what came of it or is expected. `checklist` says why nothing is.
pub(super) fn operation(operation: &OperationStatus, checklist: &[ChecklistEntry], now: Timestamp) -> String {
    let kind = operation.kind;
    let started = time::instant(&operation.started_at);
    let Some(promise) = &operation.promise else { return unpromised(operation, started) };
    let machine = length(SignedDuration::from_secs(promise.machine_seconds));
    let promised = match promise.people_seconds {
        0 => format!("{machine} of work"),
        people => format!("{machine} of work and {} for people", length(SignedDuration::from_secs(people))),
    };
    if let Some(completed) = &operation.completed_at {
        let completed = time::instant(completed);
        let took = length(completed.duration_since(started));
        return format!("{kind:?} done on {} after {took}; promised were {promised}", readable(completed));
    }
    let expected = match &operation.estimated_completion {
        Some(at) => format!("expected {}", distance(time::instant(at), now)),
        None => match checklist.iter().find(|entry| waits_for_servers(entry)) {
            Some(entry) => {
                format!("it waits for servers, and nobody can say until when, see item {}", entry.name)
            }
            None => "nobody can say when it will be done, see the checklist".to_owned(),
        },
    };
    let due = time::instant(&promise.completion);
    let late = if due < now { ", which is over" } else { "" };
    format!("{kind:?}, promised for {}{late} ({promised}); {expected}", readable(due))
}

fn waits_for_servers(entry: &ChecklistEntry) -> bool {
    entry.state == ItemState::Waiting && [OUT_OF_CAPACITY, NO_SERVER_POOL].contains(&entry.reason.as_str())
}

/// The same where nothing was promised.
fn unpromised(operation: &OperationStatus, started: Timestamp) -> String {
    let OperationStatus { kind, cause, completed_at, .. } = operation;
    let about = if cause.is_empty() { String::new() } else { format!(" ({cause})") };
    match completed_at {
        Some(completed) => {
            let completed = time::instant(completed);
            let took = length(completed.duration_since(started));
            format!("{kind:?}{about} done on {} after {took}", readable(completed))
        }
        None => format!("{kind:?}{about} since {}", readable(started)),
    }
}

/// The plan that a tenant runs and the one that it changes to, in one line; nothing where no change waits.
pub(super) fn plan_change(status: &TenantSubscriptionStatus, now: Timestamp) -> Option<String> {
    let pending = pending(status.plan.as_ref())?;
    let (current, at) = (&status.plan.as_ref()?.current, pending.effective_at);
    let when = match at > now {
        true => format!("on {} ({})", readable(at), distance(at, now)),
        false => format!("as soon as it fits (was due {})", distance(at, now)),
    };
    Some(format!("from {current} to {} {when}", pending.plan))
}

/// The hand-over in one line.
pub(super) fn go_live(go_live: &GoLiveStatus, now: Timestamp) -> String {
    let mut text = readable(time::instant(&go_live.at));
    if !go_live.signed_by.is_empty() {
        text.push_str(&format!("; signed: {}", go_live.signed_by.join(", ")));
    }
    if let Some(until) = ahead(go_live.hypercare_until.as_ref(), now) {
        text.push_str(&format!("; looked after more closely until {}", readable(until)));
    }
    text
}

/// A time that lies ahead.
pub(super) fn ahead(time: Option<&Time>, now: Timestamp) -> Option<Timestamp> {
    time.map(time::instant).filter(|at| *at > now)
}

/// How long an item took, or takes by now, and how long it usually takes, such as `12s of 60s`.
pub(super) fn elapsed(entry: &ChecklistEntry, now: Timestamp) -> String {
    let until = match entry.state {
        ItemState::Done => Some(time::instant(&entry.since)),
        ItemState::Running | ItemState::Waiting | ItemState::Failed => Some(now),
        ItemState::Pending | ItemState::Skipped => None,
    };
    let began = entry.started_at.as_ref().map(time::instant);
    let took = began.zip(until).map(|(began, until)| length(until.duration_since(began)));
    let usual = entry.estimated_seconds.map(|seconds| length(SignedDuration::from_secs(seconds)));
    match (took, usual) {
        (Some(took), Some(usual)) => format!("{took} of {usual}"),
        (Some(took), None) => took,
        (None, Some(usual)) if entry.state == ItemState::Pending => format!("usually {usual}"),
        (None, _) => String::new(),
    }
}

/// The checklist as a tree: a subscription, the parts of its service, and their items with owner, due time, elapsed time
/// and estimate.
pub(super) fn tree(name: &str, status: &TenantSubscriptionStatus, now: Timestamp) -> Vec<String> {
    let phase = status.phase.map(|phase| format!("{phase:?}")).unwrap_or_default();
    let mut lines = vec![format!("{name}: {phase} {}", status.progress).trim_end().to_owned()];
    if let Some(running) = &status.operation {
        lines.push(format!("  {}", operation(running, &status.checklist, now)));
    }
    lines.extend(plan_change(status, now).map(|change| format!("  plan changes {change}")));
    let mut parts: Vec<(String, Vec<&ChecklistEntry>)> = Vec::new();
    for entry in &status.checklist {
        let category = format!("{:?}", entry.category);
        match parts.iter_mut().find(|(part, _)| *part == category) {
            Some((_, entries)) => entries.push(entry),
            None => parts.push((category, vec![entry])),
        }
    }
    let last_part = parts.len().saturating_sub(1);
    for (at, (part, entries)) in parts.iter().enumerate() {
        let (branch, stem) = if at == last_part { ("└─", "   ") } else { ("├─", "│  ") };
        lines.push(format!("{branch} {part}"));
        let last = entries.len().saturating_sub(1);
        for (at, entry) in entries.iter().enumerate() {
            let branch = if at == last { "└─" } else { "├─" };
            lines.push(format!("{stem}{branch} {}", leaf(entry, now)));
        }
    }
    lines
}

fn leaf(entry: &ChecklistEntry, now: Timestamp) -> String {
    let mut facts = vec![format!("{:?}", entry.owner)];
    facts.extend(Some(elapsed(entry, now)).filter(|text| !text.is_empty()));
    if let Some(due) = &entry.due {
        let due = time::instant(due);
        facts.push(format!("{}due {}", if entry.overdue { "overdue: " } else { "" }, distance(due, now)));
    }
    let text = format!(
        "{} {:<14} {:<8} {}  {}",
        mark(entry.state),
        entry.name,
        format!("{:?}", entry.state),
        facts.join(", "),
        entry.message
    );
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn status() -> TenantSubscriptionStatus {
        let time = |second: i64| readable(at(second));
        let entry = |name: &str, category: &str, owner: &str, state: &str, further: serde_json::Value| {
            let mut entry = json!({
                "name": name, "category": category, "owner": owner, "state": state, "reason": "x", "since": time(30),
            });
            entry.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
            entry
        };
        serde_json::from_value(json!({
            "phase": "Provisioning", "progress": "1/4",
            "operation": {
                "kind": "Provision", "startedAt": time(0), "estimatedCompletion": time(4_000),
                "promise": {"machineSeconds": 75, "peopleSeconds": 7_200, "completion": time(7_275)},
            },
            "checklist": [
                entry("network", "Network", "Provider", "Done", json!({"startedAt": time(10), "estimatedSeconds": 60})),
                entry("application", "Application", "Provider", "Running", json!({"startedAt": time(30), "message": "1 of 3"})),
                entry("training", "Training", "Customer", "Waiting",
                      json!({"startedAt": time(40), "estimatedSeconds": 7_200, "due": time(60), "overdue": true})),
                entry("hand-over", "Training", "Partner", "Pending", json!({"estimatedSeconds": 5})),
            ],
        }))
        .unwrap()
    }

    #[test]
    fn a_tree_shows_owner_due_time_elapsed_and_estimate() {
        assert_eq!(
            tree("acme", &status(), at(100)).join("\n"),
            "acme: Provisioning 1/4\n  \
             Provision, promised for 1970-01-01T02:01:15Z (75s of work and 2h for people); expected in 65m\n\
             ├─ Network\n\
             │  └─ ✔ network        Done     Provider, 20s of 60s\n\
             ├─ Application\n\
             │  └─ ▸ application    Running  Provider, 70s  1 of 3\n\
             └─ Training\n   \
                ├─ … training       Waiting  Customer, 60s of 2h, overdue: due 40s ago\n   \
                └─ · hand-over      Pending  Partner, usually 5s"
        );
    }

    #[test]
    fn an_operation_says_what_was_promised_and_what_came_of_it() {
        let mut told = status().operation.unwrap();
        assert!(
            operation(&told, &[], at(10_000))
                .contains("promised for 1970-01-01T02:01:15Z, which is over (75s")
        );
        told.estimated_completion = None;
        assert!(
            operation(&told, &[], at(10))
                .ends_with("; nobody can say when it will be done, see the checklist")
        );
        let mut checklist = status().checklist;
        checklist[1].state = ItemState::Waiting;
        checklist[1].reason = OUT_OF_CAPACITY.to_owned();
        let waits = "; it waits for servers, and nobody can say until when, see item application";
        assert!(operation(&told, &checklist, at(10)).ends_with(waits));
        told.completed_at = Some(time::time(at(90)));
        assert_eq!(
            operation(&told, &[], at(200)),
            "Provision done on 1970-01-01T00:01:30Z after 90s; promised were 75s of work and 2h for people"
        );
    }

    #[test]
    fn a_hand_over_names_who_signed_and_how_long_the_customer_is_looked_after() {
        let told: GoLiveStatus = serde_json::from_value(json!({
            "at": "2026-12-01T06:00:00Z", "signedBy": ["training: ada"], "hypercareUntil": "2026-12-15T06:00:00Z",
        }))
        .unwrap();
        let now = |text: &str| -> Timestamp { text.parse().unwrap() };
        assert_eq!(
            go_live(&told, now("2026-12-02T00:00:00Z")),
            "2026-12-01T06:00:00Z; signed: training: ada; looked after more closely until 2026-12-15T06:00:00Z"
        );
        assert_eq!(
            go_live(&told, now("2027-01-01T00:00:00Z")),
            "2026-12-01T06:00:00Z; signed: training: ada"
        );
    }
}
