//! The operation and the hand-over in a status: what was promised, what came of it, and since when the customer is served;
//! pure.

use super::{ReportInput, Suspension, Verdict, is_closed};
use crate::item::Forecast;
use crate::order::Order;
use crate::revision::name_of;
use crate::text::cut;
use crate::{duration, forecast, time};
use jiff::Timestamp;
use tenantry_crds::TenantSubscriptionStatus;
use tenantry_crds::subscription::{
    ChecklistEntry, GoLiveStatus, Length, OperationKind, OperationStatus, Promise, SuspensionHold,
};

/// Most signatures that a hand-over names (the CRD's bound).
const SIGNATURES: usize = 32;
/// Longest of them (the CRD's bound).
const SIGNATURE_LIMIT: usize = 320;
/// Longest text of why an operation began (the CRD's bound).
const CAUSE_LIMIT: usize = 512;

/// The operation as it stands. One begins when an order is accepted for the first time, with a promise that stays, when the
/// plan is another one, and when suspensions come or go; and it ends when evidence shows what it is about. There is one at a
/// time: a suspension amid another operation interrupts that, and it goes on afterwards. A tenant that was accepted by a version
/// without operations has none until something of it changes.
pub(super) fn operation(input: &ReportInput<'_>, checklist: &[ChecklistEntry]) -> Option<OperationStatus> {
    let begun = match next(input) {
        Some((kind, cause)) => begin(input, kind, cause)?,
        None => input.previous.operation.clone()?,
    };
    if begun.completed_at.is_some() {
        return Some(begun);
    }
    let forecast = match (&input.verdict, input.evaluation) {
        (Verdict::Terminating { .. }, _) | (_, None) => None,
        (Verdict::Accepted(_) | Verdict::Refused(_), Some(evaluation)) => Some(evaluation.forecast),
    };
    let is_done = forecast.is_some() && !checklist.is_empty() && is_reached(input, begun.kind, checklist);
    let took = match begun.kind {
        OperationKind::Provision => forecast.and_then(|forecast| forecast.took).map(written),
        OperationKind::ChangePlan
        | OperationKind::Suspend
        | OperationKind::Resume
        | OperationKind::Offboard => {
            let passed = input.now.duration_since(time::instant(&begun.started_at));
            Some(Length { machine_seconds: passed.as_secs().max(0), people_seconds: 0 })
        }
    };
    let is_suspended = suspended(input).is_some();
    Some(OperationStatus {
        estimated_completion: forecast
            .and_then(|forecast| forecast.completion)
            .filter(|_| !is_done && !is_suspended)
            .map(time::time),
        completed_at: is_done.then(|| time::time(input.now)),
        took: took.filter(|_| is_done),
        ..begun
    })
}

/// Whether what an operation is about is there.
fn is_reached(input: &ReportInput<'_>, kind: OperationKind, checklist: &[ChecklistEntry]) -> bool {
    let is_whole = || checklist.iter().all(is_closed);
    match (kind, suspended(input)) {
        // Its end is the end of the status.
        (OperationKind::Offboard, _) => false,
        (OperationKind::Provision, held) => held.is_none() && is_whole(),
        // As long as something of the other plan may stand, there is room for it.
        (OperationKind::ChangePlan, held) => {
            held.is_none() && is_whole() && input.plan.is_none_or(|plan| plan.leaving.is_empty())
        }
        (OperationKind::Suspend | OperationKind::Resume, Some(held)) => held.in_effect,
        (OperationKind::Suspend | OperationKind::Resume, None) => {
            is_whole() && input.suspension.is_none_or(|suspension| suspension.remembered.is_empty())
        }
    }
}

/// The suspensions that hold.
fn suspended<'a>(input: &ReportInput<'a>) -> Option<Suspension<'a>> {
    input.suspension.filter(|suspension| suspension.effect.is_some())
}

/// The operation that begins now, and why.
fn next(input: &ReportInput<'_>) -> Option<(OperationKind, String)> {
    let previous = input.previous;
    if let Verdict::Terminating { policy, .. } = input.verdict {
        let is_known = previous.operation.as_ref().is_some_and(|known| known.kind == OperationKind::Offboard);
        let begins = !is_known && previous.accepted.is_some();
        return begins.then(|| (OperationKind::Offboard, format!("{policy:?}")));
    }
    let Some(accepted) = &previous.accepted else {
        return Some((OperationKind::Provision, String::new())).filter(|_| previous.operation.is_none());
    };
    let under_way = previous.operation.as_ref().filter(|operation| operation.completed_at.is_none());
    let under_way = under_way.map(|operation| operation.kind);
    let is_interruptible = !matches!(under_way, Some(OperationKind::Provision | OperationKind::ChangePlan));
    if let (Some(suspension), true) = (input.suspension, is_interruptible) {
        let before = super::holds(previous);
        let now = suspension.effect.named_after(before);
        let only_in = |these: &[SuspensionHold], those: &[SuspensionHold]| {
            let is_new = |hold: &&SuspensionHold| those.iter().all(|other| other.uid != hold.uid);
            let told = |hold: &SuspensionHold| format!("{} ({:?})", hold.name, hold.reason);
            these.iter().filter(is_new).map(told).collect::<Vec<_>>().join(", ")
        };
        let (come, gone) = (only_in(&now, before), only_in(before, &now));
        if !come.is_empty() {
            return Some((OperationKind::Suspend, come));
        }
        if !gone.is_empty() {
            return Some((OperationKind::Resume, gone));
        }
    }
    let Verdict::Accepted(order) = input.verdict else { return None };
    let (from, to) = (name_of(&accepted.plan), order.definitions.plan.revision.name());
    let is_plan_free = under_way != Some(OperationKind::Provision);
    (from != to && is_plan_free).then(|| (OperationKind::ChangePlan, format!("{from} to {to}")))
}

fn begin(input: &ReportInput<'_>, kind: OperationKind, cause: String) -> Option<OperationStatus> {
    let evaluation = match (&input.verdict, input.evaluation) {
        (Verdict::Terminating { .. }, _) => None,
        (Verdict::Accepted(_), Some(evaluation)) => Some(evaluation),
        (Verdict::Refused(_), Some(evaluation)) if kind != OperationKind::Provision => Some(evaluation),
        _ => return input.previous.operation.clone(),
    };
    let promise = evaluation.filter(|_| kind == OperationKind::Provision).map(|evaluation| {
        let Forecast { length, nine_of_ten, took: _, not_before, completion: _ } = evaluation.forecast;
        let whole = time::after(input.now, length.machine.saturating_add(length.people));
        let Length { machine_seconds, people_seconds } = written(length);
        Promise {
            machine_seconds,
            people_seconds,
            completion: time::time(not_before.map_or(whole, |at| at.max(whole))),
            nine_of_ten: nine_of_ten.map(written),
        }
    });
    Some(OperationStatus { promise, ..begun(input.previous, kind, &cause, input.now) })
}

/// The operation that follows the one in a status.
pub(crate) fn begun(
    previous: &TenantSubscriptionStatus,
    kind: OperationKind,
    cause: &str,
    at: Timestamp,
) -> OperationStatus {
    OperationStatus {
        number: previous.operation.as_ref().map_or(1, |before| before.number.saturating_add(1)),
        kind,
        cause: cut(cause, CAUSE_LIMIT),
        started_at: time::time(at),
        promise: None,
        estimated_completion: None,
        completed_at: None,
        took: None,
    }
}

/// A length as a status holds it.
fn written(length: forecast::Length) -> Length {
    Length { machine_seconds: length.machine.as_secs(), people_seconds: length.people.as_secs() }
}

/// The hand-over, once it happened. What becomes of the tenant later does not undo it.
pub(super) fn go_live(
    input: &ReportInput<'_>,
    checklist: &[ChecklistEntry],
    is_live: bool,
) -> Option<GoLiveStatus> {
    if let Some(known) = &input.previous.go_live {
        return Some(known.clone());
    }
    let Verdict::Accepted(order) = input.verdict else { return None };
    let signed = |entry: &ChecklistEntry| {
        let signature = entry.sign_off.as_ref()?.signature.as_ref()?;
        Some(cut(&format!("{}: {}", entry.name, signature.by), SIGNATURE_LIMIT))
    };
    is_live.then(|| GoLiveStatus {
        at: time::time(input.now),
        signed_by: checklist.iter().filter_map(signed).take(SIGNATURES).collect(),
        hypercare_until: hypercare(order).map(|lasts| time::time(time::after(input.now, lasts))),
    })
}

/// How long the customer is looked after more closely.
fn hypercare(order: &Order) -> Option<jiff::SignedDuration> {
    let items = &order.definitions.blueprint.spec.items;
    let lasts = items.iter().find_map(|item| item.go_live.as_ref()?.hypercare.as_ref())?;
    // The schema admits only durations that can be read.
    duration::parse(lasts).ok()
}

/// Keeps the estimate that is written if nothing else is new: it moves with every second that something takes longer, and
/// that is no reason to write.
pub(super) fn steady_estimate(
    mut status: TenantSubscriptionStatus,
    previous: &TenantSubscriptionStatus,
) -> TenantSubscriptionStatus {
    let (Some(new), Some(old)) = (&mut status.operation, &previous.operation) else { return status };
    if new.estimated_completion == old.estimated_completion || old.estimated_completion.is_none() {
        return status;
    }
    let moved = std::mem::replace(&mut new.estimated_completion, old.estimated_completion.clone());
    if status != *previous
        && let Some(operation) = &mut status.operation
    {
        operation.estimated_completion = moved;
    }
    status
}
