//! Conditions from facts: issues before unknowns before information, in a fixed order; pure.

use super::{Obstacle, ReportInput, Suspension, Verdict, is_closed, is_served, waits_for_somebody};
use crate::Problem;
use crate::exit;
use crate::item::{JOURNAL_UNAVAILABLE, PAUSED};
use crate::plan_change;
use crate::text::{list, party, word};
use std::collections::BTreeMap;
use tenantry_crds::blueprint::Category;
use tenantry_crds::common::ConditionStatus;
use tenantry_crds::subscription::{ChecklistEntry, ItemState};

/// Items named in one message.
const NAMED: usize = 4;

/// A condition without its times.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) type_: String,
    pub(super) status: ConditionStatus,
    pub(super) reason: String,
    pub(super) message: String,
}

/// What conditions are derived from.
pub(super) struct Facts<'a> {
    /// Whether a tenant runs behind the subscription.
    pub(super) running: bool,
    /// Whether the checklist is what evidence shows.
    observed: bool,
    /// Items that `Ready` asks for.
    service: Vec<&'a ChecklistEntry>,
    /// Items that open the tenant.
    go_live: Vec<&'a ChecklistEntry>,
    /// Items that only the opening of the tenant waits for, those that open it among them.
    hand_over: Vec<&'a ChecklistEntry>,
    obstacle: Option<&'a Obstacle>,
}

// === impl Facts ===

impl<'a> Facts<'a> {
    pub(super) fn gather(input: &ReportInput<'a>, checklist: &'a [ChecklistEntry]) -> Self {
        let (hand_over, service): (Vec<_>, Vec<_>) =
            checklist.iter().partition(|entry| entry.category.is_hand_over());
        let is_opening = |entry: &&&ChecklistEntry| entry.category == Category::GoLive;
        let go_live = hand_over.iter().filter(is_opening).copied().collect();
        // The service is there; that somebody confirms it belongs to the hand-over.
        let to_confirm = service.iter().filter(|entry| is_served(entry) && !is_closed(entry)).copied();
        let hand_over = hand_over.iter().copied().chain(to_confirm).collect();
        let lasting = input.obstacles.iter().find(|obstacle| obstacle.for_good);
        Self {
            running: input.previous.accepted.is_some(),
            observed: input.evaluation.is_some(),
            service,
            go_live,
            hand_over,
            obstacle: lasting.or(input.obstacles.first()),
        }
    }

    /// Whether something needs a person before it can go on.
    pub(super) fn failed_for_good(&self) -> bool {
        self.obstacle.is_some_and(|obstacle| obstacle.for_good) || self.first_failed().is_some()
    }

    fn first_failed(&self) -> Option<&'a ChecklistEntry> {
        self.service.iter().chain(&self.hand_over).find(|entry| entry.state == ItemState::Failed).copied()
    }

    fn is_open(&self) -> bool {
        self.service.iter().chain(&self.hand_over).any(|entry| !is_closed(entry))
    }

    fn working(&self) -> Vec<&'a str> {
        let all = self.service.iter().chain(&self.hand_over);
        all.filter(|entry| entry.state == ItemState::Running).map(|entry| entry.name.as_str()).collect()
    }
}

/// Every condition, in the order they are shown.
pub(super) fn derive(input: &ReportInput<'_>, facts: &Facts<'_>, checklist: &[ChecklistEntry]) -> Vec<Draft> {
    let mut drafts = vec![accepted(input)];
    if let Verdict::Terminating { blockers, stuck, unrecorded, .. } = input.verdict {
        let step = checklist.iter().find(|entry| is_step(entry) && !is_closed(entry));
        drafts.extend(match (unrecorded, step) {
            (true, _) => unrecorded_end(),
            (false, Some(step)) if exit::blocks(step) => blocked(step),
            (false, _) if stuck => stuck_end(blockers),
            (false, step) => terminating(blockers, step),
        });
        return drafts;
    }
    drafts.extend(suspended(input));
    drafts.extend(categories(facts));
    let holds = input.suspension.map(|suspension| suspension.effect).filter(|effect| effect.is_some());
    match holds {
        Some(effect) => drafts.extend(unserved_on_purpose(&effect.told())),
        None => drafts.extend([ready(input, facts), live(facts)]),
    }
    drafts.extend(motion(input, facts));
    drafts
}

fn accepted(input: &ReportInput<'_>) -> Draft {
    match input.verdict {
        Verdict::Accepted(order) if input.plan.is_some_and(|plan| !plan.refused.is_empty()) => {
            let refused = input.plan.map(|plan| plan.refused).unwrap_or_default();
            let reason = refused.first().map_or("OrderRefused", |problem| problem.reason);
            let plan = order.definitions.plan.revision.name();
            let message =
                format!("everything else of the order holds, under plan {plan} | {}", Problem::list(refused));
            Draft::new("Accepted", ConditionStatus::False, reason, message)
        }
        Verdict::Accepted(order) => {
            let mut message = "the order is valid".to_owned();
            if let Some(pending) = input.plan.and_then(|plan| plan.pending) {
                let current = order.definitions.plan.revision.name();
                message = format!("{message}; {}", plan_change::told(current, pending));
            }
            for warning in &order.definitions.warnings {
                message.push_str("; ");
                message.push_str(warning);
            }
            Draft::new("Accepted", ConditionStatus::True, "OrderValid", message)
        }
        Verdict::Refused(problems) => {
            let reason = problems.first().map_or("OrderRefused", |problem| problem.reason);
            Draft::new("Accepted", ConditionStatus::False, reason, Problem::list(problems))
        }
        Verdict::Terminating { .. } => {
            let message = "the subscription is being deleted and its order is not looked at any more";
            Draft::new("Accepted", ConditionStatus::Unknown, "Terminating", message)
        }
    }
}

/// Whether the tenant is suspended: true as soon as evidence shows it, and false while it is on the way there or back. Without
/// a suspension there is no such condition.
fn suspended(input: &ReportInput<'_>) -> Option<Draft> {
    let Suspension { effect, in_effect, left, remembered } = input.suspension?;
    if !effect.is_some() {
        return (!remembered.is_empty()).then(|| {
            let message = "no suspension holds any more; workloads are given back what they had";
            Draft::new("Suspended", ConditionStatus::False, "Resuming", message)
        });
    }
    Some(match in_effect {
        true => Draft::new("Suspended", ConditionStatus::True, "InEffect", effect.told()),
        false => {
            let left = if left.is_empty() { "objects are being changed" } else { left };
            Draft::new(
                "Suspended",
                ConditionStatus::False,
                "Suspending",
                format!("{left}; {}", effect.told()),
            )
        }
    })
}

fn unserved_on_purpose(told: &str) -> [Draft; 2] {
    let why = format!("suspended: {told}");
    ["Ready", "Live"].map(|type_| Draft::new(type_, ConditionStatus::False, "Suspended", why.clone()))
}

fn over() -> Vec<Draft> {
    let gone = "the subscription is being deleted";
    ["Ready", "Live"].map(|type_| Draft::new(type_, ConditionStatus::False, "Terminating", gone)).into()
}

/// Everything that shall go is gone, and the journal does not know yet.
fn unrecorded_end() -> Vec<Draft> {
    let message = "everything is gone that shall go; the subscription stays until the journal has its history: see to the \
                   controller's database, and it goes by itself";
    let mut drafts = over();
    drafts.push(Draft::new("Stalled", ConditionStatus::True, JOURNAL_UNAVAILABLE, message));
    drafts
}

/// The end goes on.
fn terminating(blockers: &[String], step: Option<&ChecklistEntry>) -> Vec<Draft> {
    let mut drafts = over();
    let (reason, message) = match step {
        _ if !blockers.is_empty() => ("Terminating", not_gone(blockers)),
        Some(step) => (step.reason.as_str(), with_message(step)),
        None => ("Terminating", String::new()),
    };
    drafts.push(Draft::new("Reconciling", ConditionStatus::True, reason, message));
    drafts
}

/// Something holds the end up for so long that a person should look.
fn stuck_end(blockers: &[String]) -> Vec<Draft> {
    let message = format!(
        "{}; remove what holds it and the deletion goes on, or it goes on later without that",
        not_gone(blockers)
    );
    let mut drafts = over();
    drafts.push(Draft::new("Stalled", ConditionStatus::True, "DeletionBlocked", message));
    drafts
}

/// A step of the end needs a person.
fn blocked(step: &ChecklistEntry) -> Vec<Draft> {
    let message = format!(
        "{}; no data is deleted before it succeeds, or a person lets the end go on without it: kubectl tenantry exit \
         --skip-export",
        with_message(step)
    );
    let mut drafts = over();
    drafts.push(Draft::new("Stalled", ConditionStatus::True, "ExportFailed", message));
    drafts
}

fn not_gone(blockers: &[String]) -> String {
    format!("not gone yet: {}", blockers.join(" | "))
}

fn is_step(entry: &ChecklistEntry) -> bool {
    entry.category == Category::Exit
}

/// One condition for each category of the checklist. The category of going live has `Live` instead.
fn categories(facts: &Facts<'_>) -> Vec<Draft> {
    let mut by_category: BTreeMap<Category, Vec<&ChecklistEntry>> = BTreeMap::new();
    let has_its_own =
        |entry: &&&ChecklistEntry| entry.category.is_hand_over() && entry.category != Category::GoLive;
    for entry in facts.service.iter().chain(facts.hand_over.iter().filter(has_its_own)) {
        by_category.entry(entry.category).or_default().push(entry);
    }
    by_category
        .into_iter()
        .map(|(category, entries)| {
            let type_ = format!("{category:?}Ready");
            match problem(&unserved(&entries), facts.observed) {
                Some(draft) => Draft { type_, ..draft },
                None => Draft::new(&type_, ConditionStatus::True, "ItemsDone", closed(&entries)),
            }
        })
        .collect()
}

fn ready(input: &ReportInput<'_>, facts: &Facts<'_>) -> Draft {
    if let Some(Obstacle { reason, message, .. }) = facts.obstacle {
        return Draft::new("Ready", ConditionStatus::False, reason, message.clone());
    }
    match (input.verdict, problem(&unserved(&facts.service), facts.observed)) {
        (Verdict::Refused(_), _) if !facts.running => {
            let message = "the order was not accepted; the condition Accepted says what to correct";
            Draft::new("Ready", ConditionStatus::False, "OrderRefused", message)
        }
        (_, Some(draft)) => Draft { type_: "Ready".to_owned(), ..draft },
        (_, None) if facts.service.is_empty() => {
            let message = "nothing of the checklist was looked at yet";
            Draft::new("Ready", ConditionStatus::False, "NotStarted", message)
        }
        (_, None) => {
            Draft::new("Ready", ConditionStatus::True, "ProvisionedAndHealthy", closed(&facts.service))
        }
    }
}

fn live(facts: &Facts<'_>) -> Draft {
    if problem(&facts.go_live, facts.observed).is_some()
        && let Some(draft) = problem(&facts.hand_over, facts.observed)
    {
        return Draft { type_: "Live".to_owned(), ..draft };
    }
    if facts.go_live.iter().any(|entry| entry.state == ItemState::Done) {
        return Draft::new("Live", ConditionStatus::True, "RouteOpen", closed(&facts.go_live));
    }
    match facts.go_live.first() {
        None => {
            let message = "the checklist has no item that opens the tenant, or it was not looked at yet";
            Draft::new("Live", ConditionStatus::False, "NotStarted", message)
        }
        Some(entry) => {
            let message = format!("{}: {}", entry.name, entry.message);
            Draft::new("Live", ConditionStatus::False, "GoLiveSkipped", message)
        }
    }
}

/// `Stalled` or `Reconciling`, or neither.
fn motion(input: &ReportInput<'_>, facts: &Facts<'_>) -> Option<Draft> {
    if let Some(Obstacle { reason, message, for_good }) = facts.obstacle {
        let type_ = if *for_good { "Stalled" } else { "Reconciling" };
        return Some(Draft::new(type_, ConditionStatus::True, reason, message.clone()));
    }
    if let Verdict::Refused(problems) = input.verdict
        && let Some(first) = problems.iter().find(|problem| !problem.may_resolve_itself())
    {
        return Some(Draft::new("Stalled", ConditionStatus::True, first.reason, first.to_string()));
    }
    if let Some(failed) = facts.first_failed() {
        let message = format!("{}: {}", failed.name, failed.message);
        return Some(Draft::new("Stalled", ConditionStatus::True, &failed.reason, message));
    }
    if let Verdict::Refused(problems) = input.verdict {
        let reason = problems.first().map_or("OrderRefused", |problem| problem.reason);
        return Some(Draft::new("Reconciling", ConditionStatus::True, reason, Problem::list(problems)));
    }
    if let Some(pause) = input.pause
        && (pause.changes_wait || facts.is_open())
    {
        let message = format!(
            "paused: {}; nothing new begins until the annotation tenantry.io/paused is removed",
            pause.reason
        );
        return Some(Draft::new("Reconciling", ConditionStatus::True, PAUSED, message));
    }
    if let Some(Suspension { effect, in_effect: false, .. }) = input.suspension
        && effect.is_some()
    {
        let message = "the suspension is taking effect";
        return Some(Draft::new("Reconciling", ConditionStatus::True, "Suspending", message));
    }
    if let Some(Suspension { effect, remembered: [_, ..], .. }) = input.suspension
        && !effect.is_some()
    {
        let message = "workloads are given back what they had before the suspension";
        return Some(Draft::new("Reconciling", ConditionStatus::True, "Resuming", message));
    }
    let working = facts.working();
    if !working.is_empty() {
        let message = format!("working on {}", list(&working, NAMED));
        return Some(Draft::new("Reconciling", ConditionStatus::True, "Progressing", message));
    }
    if facts.service.is_empty() && facts.go_live.is_empty() {
        let message = "the order was accepted and its checklist starts";
        return Some(Draft::new("Reconciling", ConditionStatus::True, "Progressing", message));
    }
    None
}

/// Items whose part of the service is there, and that only wait to be confirmed, are left out.
fn unserved<'a>(entries: &[&'a ChecklistEntry]) -> Vec<&'a ChecklistEntry> {
    entries.iter().filter(|entry| is_closed(entry) || !is_served(entry)).copied().collect()
}

/// What keeps some items from being done, the worst first: failed, waiting for people, open; then that it is not known.
fn problem(entries: &[&ChecklistEntry], observed: bool) -> Option<Draft> {
    let named = |test: &dyn Fn(&ChecklistEntry) -> bool| -> Vec<String> {
        entries.iter().filter(|entry| test(entry)).map(|entry| with_message(entry)).collect()
    };
    let draft = |status, reason: &str, message| Some(Draft::new("", status, reason, message));
    if let Some(failed) = entries.iter().find(|entry| entry.state == ItemState::Failed) {
        let all = named(&|entry| entry.state == ItemState::Failed);
        return draft(ConditionStatus::False, &failed.reason, list(&all, NAMED));
    }
    if let Some(waiting) = entries.iter().find(|entry| waits_for_somebody(entry)) {
        let owner = party(waiting.owner);
        let message = format!("waiting for the {owner}: {}", with_message(waiting));
        return draft(ConditionStatus::False, "WaitingForPeople", message);
    }
    let open = named(&|entry| !is_closed(entry));
    if !open.is_empty() {
        let reason =
            entries.iter().find(|entry| entry.state == ItemState::Waiting).map(|entry| entry.reason.as_str());
        let message = format!("{} of {} items are open: {}", open.len(), entries.len(), list(&open, NAMED));
        return draft(ConditionStatus::False, reason.unwrap_or("ItemsOpen"), message);
    }
    if !observed && !entries.is_empty() {
        let message = "the objects of the tenant were not looked at in this pass".to_owned();
        return draft(ConditionStatus::Unknown, "NotObserved", message);
    }
    None
}

fn with_message(entry: &ChecklistEntry) -> String {
    if entry.message.is_empty() { entry.name.clone() } else { format!("{} ({})", entry.name, entry.message) }
}

fn closed(entries: &[&ChecklistEntry]) -> String {
    let skipped = entries.iter().filter(|entry| entry.state == ItemState::Skipped).count();
    let done = entries.len().saturating_sub(skipped);
    let items = |count: usize| if count == 1 { "1 item is".to_owned() } else { format!("{count} items are") };
    if skipped == 0 {
        format!("{} done", items(done))
    } else {
        format!("{} done and {} not needed", items(done), items(skipped))
    }
}

// === impl Draft ===

impl Draft {
    fn new(type_: &str, status: ConditionStatus, reason: &str, message: impl Into<String>) -> Self {
        Self { type_: type_.to_owned(), status, reason: word(reason, "Unknown"), message: message.into() }
    }
}
