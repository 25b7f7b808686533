//! The status of a subscription, derived from an order and its evaluated checklist; pure.
//!
//! Conditions follow kstatus: `Ready` and `Live` are always there, `Reconciling` and `Stalled` only while they are true
//! and never both, and every condition is about the present generation. Nothing is read from earlier conditions but when
//! they last changed, and, for the phase that people read, whether the customer has been live.

mod conditions;
mod operation;

pub(crate) use operation::begun;

use crate::billing::{self, Known};
use crate::item::{CONFIRMATION_MISSING, DATA_KEPT, Evaluation, NOT_BEFORE};
use crate::journal;
use crate::order::Order;
use crate::plan_change::{self, Pending};
use crate::suspension::Effect;
use crate::text::cut;
use crate::{Problem, time};
use conditions::{Draft, Facts};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tenantry_crds::TenantSubscriptionStatus;
use tenantry_crds::common::{Condition, ConditionStatus};
use tenantry_crds::inventory::Inventory;
use tenantry_crds::subscription::{
    AcceptedRevisions, BillingStatus, ChecklistEntry, DeletionPolicy, GoLiveStatus, ItemState, JournalFact,
    Phase, PlanStatus, RememberedScale, SizingStatus, SuspensionHold, SuspensionStatus, TenantStatus,
};

/// Longest message of a condition (the CRD's bound, in bytes, which is never more than in characters).
const MESSAGE_LIMIT: usize = 1024;
/// Longest text of who is waited for (the CRD's bound).
const WAITING_LIMIT: usize = 128;

/// What a status is derived from.
#[derive(Clone, Debug)]
pub struct ReportInput<'a> {
    /// Generation of the subscription that was looked at.
    pub generation: i64,
    /// The status as it is.
    pub previous: &'a TenantSubscriptionStatus,
    /// What became of the order.
    pub verdict: Verdict<'a>,
    /// What stands in the way of the tenant as a whole.
    pub obstacles: &'a [Obstacle],
    /// The checklist as evidence shows it. Without it the checklist stays as it is and conditions that would follow from
    /// it are `Unknown`.
    pub evaluation: Option<&'a Evaluation>,
    /// What the customer's business needs; without it that of the status stays.
    pub sizing: Option<&'a SizingStatus>,
    /// That a person paused the subscription.
    pub pause: Option<Pause<'a>>,
    /// What became of the wish for another plan; without it what the status says of it stays.
    pub plan: Option<Plan<'a>>,
    /// What suspensions take away, and how far that is; without it what the status says of them stays.
    pub suspension: Option<Suspension<'a>>,
    /// What the ledger knows of the tenant, and when the subscription was made; without it what the status says of billing stays.
    pub billing: Option<Billing<'a>>,
    /// Everything that exists, or may exist, for the tenant; passed through.
    pub inventory: Option<Inventory>,
    /// The present.
    pub now: Timestamp,
}

/// What became of an order.
#[derive(Clone, Copy, Debug)]
pub enum Verdict<'a> {
    /// It is valid.
    Accepted(&'a Order),
    /// It is not, for these reasons. A tenant that runs already keeps running what was accepted before.
    Refused(&'a [Problem]),
    /// The subscription is being deleted.
    Terminating {
        /// What becomes of the data.
        policy: DeletionPolicy,
        /// When the data may be deleted, where it is kept for a while.
        purge_at: Option<Timestamp>,
        /// What is not gone yet and why, such as `ConfigMap web: has the finalizer example.org/keep`, in a fixed order.
        blockers: &'a [String],
        /// Whether it takes so long that a person has to look.
        stuck: bool,
        /// Whether all that is left to do is to record it.
        unrecorded: bool,
    },
}

/// A person's word that nothing new begins for a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause<'a> {
    /// Why.
    pub reason: &'a str,
    /// Whether the order was changed meanwhile.
    pub changes_wait: bool,
}

/// What became of the wish for another plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan<'a> {
    /// What waits for its time.
    pub pending: Option<&'a Pending>,
    /// Why the tenant does not change to the plan that its order names. Everything else of the order is accepted.
    pub refused: &'a [Problem],
    /// Revisions of plans whose objects may still stand.
    pub leaving: &'a [String],
}

/// What suspensions take away, and how far that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspension<'a> {
    /// What holds.
    pub effect: &'a Effect,
    /// Whether evidence shows all of it.
    pub in_effect: bool,
    /// What is not as it shall be yet, for people, such as `2 pods still run`.
    pub left: &'a str,
    /// How many pods each workload had, as long as it has to be given them again.
    pub remembered: &'a [RememberedScale],
}

/// What the status of billing is derived from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Billing<'a> {
    /// What the ledger knows, as far as it could be asked.
    pub known: Option<&'a Known>,
    /// When the subscription was made.
    pub ordered: Timestamp,
}

/// What stands in the way of a tenant as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    reason: &'static str,
    message: String,
    for_good: bool,
}

/// The status to write.
#[must_use]
pub fn report(input: &ReportInput<'_>) -> TenantSubscriptionStatus {
    let previous = input.previous;
    let checklist = match input.evaluation {
        Some(evaluation) => evaluation.entries.clone(),
        None => previous.checklist.clone(),
    };
    let facts = Facts::gather(input, &checklist);
    let drafts = conditions::derive(input, &facts, &checklist);
    let is_true = |type_: &str| drafts.iter().any(|d| d.type_ == type_ && d.status == ConditionStatus::True);
    let phase = phase(input, &facts, &checklist, &is_true);
    let (accepted, accepted_order, tenant, hosts) = match input.verdict {
        Verdict::Accepted(order) => (
            Some(order.definitions.accepted()),
            Some(order.spec.clone()),
            Some(tenant(order)),
            order.recorded_hosts.clone(),
        ),
        Verdict::Refused(_) | Verdict::Terminating { .. } => (
            previous.accepted.clone(),
            previous.accepted_order.clone(),
            previous.tenant.clone(),
            previous.hosts.clone(),
        ),
    };
    let observed_retry = input.evaluation.and_then(|evaluation| evaluation.observed_retry.clone());
    let operation = operation::operation(input, &checklist);
    let go_live = operation::go_live(input, &checklist, is_true("Live"));
    let status = TenantSubscriptionStatus {
        observed_generation: Some(input.generation),
        phase: Some(phase),
        plan: plan(input, accepted.as_ref()),
        accepted,
        accepted_order,
        tenant,
        hosts,
        progress: progress(&checklist),
        waiting_for: waiting_for(&checklist),
        conditions: drafts.into_iter().map(|draft| condition(draft, input)).collect(),
        checklist,
        operation,
        billing: billing(input, go_live.as_ref()),
        go_live,
        suspension: suspension(input),
        // What it has of servers is told by who asks the pools.
        servers: previous.servers.clone(),
        purge_at: purge_at(input),
        unrecorded: unrecorded(input),
        sizing: input.sizing.or(previous.sizing.as_ref()).cloned(),
        observed_retry: observed_retry.or_else(|| previous.observed_retry.clone()),
        inventory: input.inventory.clone(),
    };
    operation::steady_estimate(status, previous)
}

/// Whether a status is worth writing.
#[must_use]
pub fn changed(old: &TenantSubscriptionStatus, new: &TenantSubscriptionStatus) -> bool {
    old != new
}

/// The plan that the tenant runs and the one that it changes to.
fn plan(input: &ReportInput<'_>, accepted: Option<&AcceptedRevisions>) -> Option<PlanStatus> {
    match (input.plan, accepted) {
        (Some(Plan { pending, refused: _, leaving }), Some(accepted)) => {
            Some(plan_change::status(accepted, pending, leaving))
        }
        _ => input.previous.plan.clone(),
    }
}

/// Who pays, and since when.
fn billing(input: &ReportInput<'_>, live: Option<&GoLiveStatus>) -> Option<BillingStatus> {
    match (input.verdict, input.billing) {
        (Verdict::Accepted(order), Some(Billing { known, ordered })) => {
            billing::status(order, input.previous, live.map(|live| &live.at), known, ordered, input.now)
        }
        _ => input.previous.billing.clone(),
    }
}

/// What suspensions a status names, and what it has to remember for their end.
fn suspension(input: &ReportInput<'_>) -> Option<SuspensionStatus> {
    let Some(Suspension { effect, remembered, .. }) = &input.suspension else {
        return input.previous.suspension.clone();
    };
    let holds = effect.named_after(holds(input.previous));
    let status = SuspensionStatus { holds, remembered: remembered.to_vec() };
    (status != SuspensionStatus::default()).then_some(status)
}

/// When the data is deleted. What was told once stays.
fn purge_at(input: &ReportInput<'_>) -> Option<Time> {
    match input.verdict {
        Verdict::Terminating { purge_at, .. } => purge_at.map(time::time),
        Verdict::Accepted(_) | Verdict::Refused(_) => input.previous.purge_at.clone(),
    }
}

/// What waits for the journal, and with it the suspensions that no status has room to name.
fn unrecorded(input: &ReportInput<'_>) -> Vec<JournalFact> {
    let mut facts = input.previous.unrecorded.clone();
    if let Some(Suspension { effect, .. }) = input.suspension {
        let named = effect.named_after(holds(input.previous));
        let is_unnamed = |hold: &&SuspensionHold| named.iter().all(|known| known.uid != hold.uid);
        let unnamed = effect.holds.iter().filter(is_unnamed);
        facts.extend(unnamed.filter_map(|hold| journal::suspended(input.previous, hold)));
    }
    facts
}

/// The suspensions that a status names.
fn holds(status: &TenantSubscriptionStatus) -> &[SuspensionHold] {
    status.suspension.as_ref().map(|suspension| suspension.holds.as_slice()).unwrap_or_default()
}

fn tenant(order: &Order) -> TenantStatus {
    TenantStatus {
        id: order.tenant_id.to_string(),
        namespace: order.namespace.to_string(),
        endpoints: order.endpoints(),
    }
}

fn progress(checklist: &[ChecklistEntry]) -> String {
    if checklist.is_empty() {
        return String::new();
    }
    let closed = checklist.iter().filter(|entry| is_closed(entry)).count();
    format!("{closed}/{}", checklist.len())
}

/// Who is waited for: the owner of the first failed item, or else of the first that waits for somebody. An item that
/// waits for its time waits for nobody.
fn waiting_for(checklist: &[ChecklistEntry]) -> String {
    let failed = checklist.iter().find(|entry| entry.state == ItemState::Failed);
    let entry = failed.or_else(|| checklist.iter().find(|entry| waits_for_somebody(entry)));
    entry.map(|entry| cut(&format!("{:?}: {}", entry.owner, entry.name), WAITING_LIMIT)).unwrap_or_default()
}

fn phase(
    input: &ReportInput<'_>,
    facts: &Facts<'_>,
    checklist: &[ChecklistEntry],
    is_true: &impl Fn(&str) -> bool,
) -> Phase {
    // History, not evidence: whether a tenant that is not live now has been so before shows nowhere else.
    let was_live = input.previous.go_live.is_some()
        || matches!(input.previous.phase, Some(Phase::Live | Phase::Degraded));
    let is_suspended = input.suspension.is_some_and(|suspension| suspension.effect.is_some());
    match input.verdict {
        Verdict::Terminating { .. } if checklist.iter().any(|entry| entry.reason == DATA_KEPT) => {
            Phase::Archived
        }
        Verdict::Terminating { .. } => Phase::Terminating,
        Verdict::Refused(_) if !facts.running => Phase::Rejected,
        _ if is_suspended => Phase::Suspended,
        _ if was_live || is_true("Live") => {
            if is_true("Ready") && is_true("Live") {
                Phase::Live
            } else {
                Phase::Degraded
            }
        }
        _ if is_true("Ready") => Phase::Ready,
        _ if facts.failed_for_good() => Phase::Failed,
        _ => Phase::Provisioning,
    }
}

/// Since when a condition has a status: what it said of that before, or now.
#[must_use]
pub fn holds_since(before: &[Condition], type_: &str, status: ConditionStatus, now: &Time) -> Time {
    let known = before.iter().find(|condition| condition.type_ == type_ && condition.status == status);
    known.map_or(now, |condition| &condition.last_transition_time).clone()
}

fn condition(draft: Draft, input: &ReportInput<'_>) -> Condition {
    let Draft { type_, status, reason, message } = draft;
    let last_transition_time =
        holds_since(&input.previous.conditions, &type_, status, &time::time(input.now));
    let message = cut(&message, MESSAGE_LIMIT);
    Condition { type_, status, reason, message, last_transition_time, observed_generation: input.generation }
}

fn is_closed(entry: &ChecklistEntry) -> bool {
    matches!(entry.state, ItemState::Done | ItemState::Skipped)
}

/// Whether the item's part of the service is there, be it confirmed or not.
fn is_served(entry: &ChecklistEntry) -> bool {
    is_closed(entry) || entry.reason == CONFIRMATION_MISSING
}

fn waits_for_somebody(entry: &ChecklistEntry) -> bool {
    entry.state == ItemState::Waiting && entry.reason != NOT_BEFORE && entry.reason != DATA_KEPT
}

// === impl Obstacle ===

impl Obstacle {
    /// A namespace of the tenant's name exists that Tenantry did not create; it is left alone.
    #[must_use]
    pub fn name_conflict(namespace: &str) -> Self {
        let message = format!(
            "namespace {namespace} exists and was not created for this subscription, so it is left untouched; remove it, \
             or order under another name"
        );
        Self { reason: "NameConflict", message, for_good: true }
    }

    /// An object that Tenantry did not create has the name of one that an item needs; it is left alone. `told` is what the
    /// item says of it.
    #[must_use]
    pub fn object_conflict(item: &str, told: &str) -> Self {
        Self { reason: "NameConflict", message: format!("{item}: {told}"), for_good: true }
    }

    /// The tenant of an earlier subscription of the same name still ends.
    #[must_use]
    pub fn predecessor_terminating(namespace: &str) -> Self {
        let message = format!(
            "namespace {namespace} of an earlier subscription of this name still ends; this one starts when it is gone"
        );
        Self { reason: "PredecessorTerminating", message, for_good: false }
    }

    /// An object that the order no longer asks for stands still, because it could not be removed: it may open what shall be closed,
    /// so a tenant that has it is not what its order says. `told` says which and why.
    #[must_use]
    pub fn not_removed(told: &str, for_good: bool) -> Self {
        let reason = if for_good { "RemovalRefused" } else { "RemovalPending" };
        let message = format!("what the order no longer asks for is still there: {told}");
        Self { reason, message, for_good }
    }

    /// A secret that was generated once for the tenant is gone. It is never generated again silently, because data may
    /// depend on it; `remedy` says what to do.
    #[must_use]
    pub fn secret_lost(secret: &str, remedy: &str) -> Self {
        let message = format!("Secret {secret} was generated for this tenant and is gone; {remedy}");
        Self { reason: "SecretLost", message, for_good: true }
    }

    /// Anything else, with a reason in PascalCase, a message with the remedy, and whether it needs a person.
    #[must_use]
    pub fn other(reason: &'static str, message: String, for_good: bool) -> Self {
        Self { reason, message, for_good }
    }
}

#[cfg(test)]
mod tests;
