//! The operation and the hand-over in a status: what was promised, what came of it, and since when the customer is served;
//! pure.

use super::{ReportInput, Verdict, is_closed};
use crate::item::Forecast;
use crate::order::Order;
use crate::text::cut;
use crate::{duration, forecast, time};
use tenantry_crds::subscription::{
    ChecklistEntry, GoLiveStatus, Length, OperationKind, OperationStatus, Promise,
};

/// Most signatures that a hand-over names (the CRD's bound).
const SIGNATURES: usize = 32;
/// Longest of them (the CRD's bound).
const SIGNATURE_LIMIT: usize = 320;

/// The operation as it stands. It begins when an order is accepted for the first time, with a promise that stays, and ends
/// when every item is done or does not apply. A tenant that was accepted by a version without operations has none.
pub(super) fn operation(input: &ReportInput<'_>, checklist: &[ChecklistEntry]) -> Option<OperationStatus> {
    let begun = match &input.previous.operation {
        Some(operation) => operation.clone(),
        None => begin(input)?,
    };
    if begun.completed_at.is_some() {
        return Some(begun);
    }
    let forecast = match (&input.verdict, input.evaluation) {
        (Verdict::Terminating { .. }, _) | (_, None) => None,
        (Verdict::Accepted(_) | Verdict::Refused(_), Some(evaluation)) => Some(evaluation.forecast),
    };
    let is_done = forecast.is_some() && !checklist.is_empty() && checklist.iter().all(is_closed);
    Some(OperationStatus {
        estimated_completion: forecast
            .and_then(|forecast| forecast.completion)
            .filter(|_| !is_done)
            .map(time::time),
        completed_at: is_done.then(|| time::time(input.now)),
        took: forecast.and_then(|forecast| forecast.took).filter(|_| is_done).map(written),
        ..begun
    })
}

fn begin(input: &ReportInput<'_>) -> Option<OperationStatus> {
    let (Verdict::Accepted(_), Some(evaluation), None) =
        (&input.verdict, input.evaluation, &input.previous.accepted)
    else {
        return None;
    };
    let Forecast { length, nine_of_ten, took: _, not_before, completion: _ } = evaluation.forecast;
    let whole = time::after(input.now, length.machine.saturating_add(length.people));
    let Length { machine_seconds, people_seconds } = written(length);
    Some(OperationStatus {
        number: 1,
        kind: OperationKind::Provision,
        started_at: time::time(input.now),
        promise: Promise {
            machine_seconds,
            people_seconds,
            completion: time::time(not_before.map_or(whole, |at| at.max(whole))),
            nine_of_ten: nine_of_ten.map(written),
        },
        estimated_completion: None,
        completed_at: None,
        took: None,
    })
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
    mut status: tenantry_crds::TenantSubscriptionStatus,
    previous: &tenantry_crds::TenantSubscriptionStatus,
) -> tenantry_crds::TenantSubscriptionStatus {
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
