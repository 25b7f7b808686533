//! What the journal keeps of changes to another plan: that one was asked for or refused, and what came of it; pure.
//!
//! A change goes by the generation of the order that asked for it: every edit of an order has another one. A change that takes
//! effect at once never waits in a status, so that both of its facts are read off the two statuses around it.

use super::{Teller, evidence};
use crate::plan_change::{self, Pending};
use crate::revision::name_of;
use crate::time;
use jiff::Timestamp;
use serde_json::json;
use tenantry_crds::TenantSubscriptionStatus;
use tenantry_crds::common::{Condition, ConditionStatus};
use tenantry_crds::subscription::{JournalFact, JournalSubject, PlanChangeWait};

/// What came of a change.
#[derive(Clone, Copy)]
enum End {
    TookEffect,
    Cancelled,
    Replaced,
}

/// What became of changes between two statuses.
pub(super) fn over(
    previous: &TenantSubscriptionStatus,
    next: &TenantSubscriptionStatus,
    now: Timestamp,
) -> Vec<JournalFact> {
    let (Some(before), Some(teller)) = (&previous.accepted, Teller::of(next)) else { return Vec::new() };
    let (from, to) = (name_of(&before.plan), name_of(&teller.accepted.plan));
    let has_changed = from != to;
    let waited = plan_change::pending(previous.plan.as_ref());
    let waits = plan_change::pending(next.plan.as_ref());
    let mut facts = Vec::new();
    let mut is_told = !has_changed;
    // One that is put off to another window is the same change.
    let is_same =
        |one: &Pending, other: &Pending| (&one.plan, one.generation) == (&other.plan, other.generation);
    if let (Some(waited), Some(waits)) = (&waited, &waits)
        && is_same(waited, waits)
        && waited.effective_at != waits.effective_at
    {
        facts.push(teller.put_off(from, waits, now));
    }
    if let Some(waited) = waited.filter(|waited| !waits.as_ref().is_some_and(|waits| is_same(waited, waits)))
    {
        let end = match (has_changed && waited.plan == to, has_changed || waits.is_some()) {
            (true, _) => End::TookEffect,
            (false, true) => End::Replaced,
            (false, false) => End::Cancelled,
        };
        is_told |= matches!(end, End::TookEffect);
        facts.push(teller.ended_plan(from, &waited, end, now));
    }
    if !is_told {
        let generation = next.observed_generation.unwrap_or_default();
        let waits_for = PlanChangeWait::default();
        let at_once =
            Pending { plan: to.to_owned(), effective_at: now, requested_at: now, generation, waits_for };
        facts.push(teller.requested(from, &at_once));
        facts.push(teller.ended_plan(from, &at_once, End::TookEffect, now));
    }
    facts.extend(refusal(next).and_then(|refusal| {
        let is_same = |before: &Condition| before.observed_generation == refusal.observed_generation;
        let fact = teller.refused(refusal, now);
        let is_told = self::refusal(previous).is_some_and(is_same)
            || previous.unrecorded.iter().any(|told| told.id == fact.id);
        (!is_told).then_some(fact)
    }));
    facts
}

/// Why a change is refused, when it is asked for or when its time has come. That is told once for each edit of the order, however
/// what is in use goes up and down meanwhile.
fn refusal(status: &TenantSubscriptionStatus) -> Option<&Condition> {
    status.conditions.iter().find(|condition| {
        condition.type_ == "Accepted"
            && condition.status == ConditionStatus::False
            && [plan_change::NOT_OFFERED, plan_change::DOES_NOT_FIT].contains(&condition.reason.as_str())
    })
}

// === impl Teller ===

impl Teller<'_> {
    /// That a change was asked for that waits for its time.
    pub(super) fn requested_plan(&self, status: &TenantSubscriptionStatus) -> Option<JournalFact> {
        let pending = plan_change::pending(status.plan.as_ref())?;
        Some(self.requested(name_of(&self.accepted.plan), &pending))
    }

    fn refused(&self, condition: &Condition, now: Timestamp) -> JournalFact {
        let from = name_of(&self.accepted.plan);
        let proof = json!({"from": from, "reason": condition.reason, "message": condition.message});
        JournalFact {
            evidence: evidence(&proof),
            ..self.fact(
                &format!("plan-change/{}/refused", condition.observed_generation),
                JournalSubject::PlanChange,
                "Refused",
                now,
            )
        }
    }

    fn requested(&self, from: &str, pending: &Pending) -> JournalFact {
        let Pending { plan, effective_at, requested_at, generation, .. } = pending;
        JournalFact {
            evidence: evidence(
                &json!({"from": from, "to": plan, "effectiveAt": time::readable(*effective_at), "generation": generation}),
            ),
            ..self.fact(
                &format!("plan-change/{generation}/requested"),
                JournalSubject::PlanChange,
                "Requested",
                *requested_at,
            )
        }
    }

    fn put_off(&self, from: &str, pending: &Pending, now: Timestamp) -> JournalFact {
        let Pending { plan, effective_at, generation, .. } = pending;
        let proof = json!({"from": from, "to": plan, "effectiveAt": time::readable(*effective_at)});
        let key = format!("plan-change/{generation}/put-off/{}", effective_at.as_second());
        JournalFact {
            evidence: evidence(&proof),
            ..self.fact(&key, JournalSubject::PlanChange, "PutOff", now)
        }
    }

    fn ended_plan(&self, from: &str, pending: &Pending, end: End, now: Timestamp) -> JournalFact {
        let Pending { plan, effective_at, requested_at, generation, .. } = pending;
        let outcome = match end {
            End::TookEffect => "TookEffect",
            End::Cancelled => "Cancelled",
            End::Replaced => "Replaced",
        };
        // The teller tells of the status after it, which has the prices from here on.
        let price_list = self.accepted.price_list.as_ref().filter(|_| matches!(end, End::TookEffect));
        JournalFact {
            started_at: Some(time::time(*requested_at)),
            evidence: evidence(&json!({
                "from": from,
                "to": plan,
                "effectiveAt": time::readable(*effective_at),
                "priceList": price_list,
            })),
            ..self.fact(&format!("plan-change/{generation}/ended"), JournalSubject::PlanChange, outcome, now)
        }
    }
}

#[cfg(test)]
mod tests;
