//! Changes to another plan: which are on offer, and when they take effect; pure, the time comes in as a parameter.
//!
//! A tenant runs its current plan, and its status names it. What its order names besides is a wish: the current plan says
//! whether it offers that way. More is given at once; less when the term ends, unless the plan says at once, or the customer is
//! not live and pays for nothing yet. What waits for its time is on record with it, so that neither a crash nor another term
//! moves it.

mod fit;
mod volumes;

pub use fit::{Amounts, Use, excesses, misfits};
pub use volumes::{CANNOT_CHANGE, Volume, unchangeable};

use crate::revision::name_of;
use crate::text::list;
use crate::windows::Windows;
use crate::{Problem, time};
use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{Span, Timestamp};
use serde::Serialize;
use tenantry_crds::ServicePlanSpec;
use tenantry_crds::plan_change::{DowngradeEffective, Term};
use tenantry_crds::subscription::{AcceptedRevisions, PlanChangeWait, PlanStatus};

/// Field that names the plan.
pub const FIELD: &str = "spec.planRef.name";
/// The current plan does not offer the change.
pub const NOT_OFFERED: &str = "PlanChangeNotOffered";
/// What the tenant has is more than the plan asked for.
pub const DOES_NOT_FIT: &str = "DowngradeDoesNotFit";
/// Revisions of plans that a status names as leaving (the CRD's bound).
const LEAVING: usize = 8;
/// Plans named in one message.
const NAMED: usize = 8;

/// A change that was asked for and takes effect later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Name of the plan.
    pub plan: String,
    /// When it takes effect.
    pub effective_at: Timestamp,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// Generation of the order that asked for it.
    pub generation: i64,
    /// What it waits for.
    pub waits_for: PlanChangeWait,
}

/// What a change depends on.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    /// Plan that the order names.
    pub wished: &'a str,
    /// Plan that the tenant runs; none before its order was accepted.
    pub current: Option<&'a str>,
    /// That plan as it was accepted last, or as the tenant runs it when it is gone; none when neither is stored.
    pub offer: Option<&'a ServicePlanSpec>,
    /// What waits for its time.
    pub pending: Option<Pending>,
    /// Since when the customer is served.
    pub live_since: Option<Timestamp>,
    /// Generation of the order.
    pub generation: i64,
    /// The present.
    pub now: Timestamp,
}

/// Whether a customer gets more or less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Direction {
    /// More.
    Upgrade,
    /// Less.
    Downgrade,
}

/// What the wish for a plan comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The tenant runs that plan, or nothing yet. What waited is cancelled.
    Same,
    /// It changes now.
    Now(Direction),
    /// It changes at a later time, which goes on record now.
    Later(Pending),
    /// It waits for its time already.
    Waits(Pending),
    /// It waited, and its time has come.
    Due(Pending),
    /// The current plan does not offer it.
    NotOffered(Problem),
}

/// What becomes of an order's plan in one look at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// Whether the tenant stays on its current plan, whatever the order names.
    pub stays: bool,
    /// What waits for its time from here on.
    pub pending: Option<Pending>,
}

/// What the wish for a plan comes to.
#[must_use]
pub fn step(input: &Input<'_>) -> Step {
    let Input { wished, current, offer, pending, live_since, generation, now } = input;
    let Some(current) = current.filter(|current| current != wished) else { return Step::Same };
    // What was agreed stands, whatever the plan offers by now.
    if let Some(pending) = pending.clone().filter(|pending| pending.plan == *wished) {
        return if pending.effective_at <= *now { Step::Due(pending) } else { Step::Waits(pending) };
    }
    // Of a plan that is not stored any more nothing can be rendered: it keeps nobody.
    let Some(offer) = offer else { return Step::Now(Direction::Upgrade) };
    let Some(direction) = direction(offer, wished) else {
        return Step::NotOffered(not_offered(current, offer, wished));
    };
    let effective = offer.downgrade.unwrap_or_default().effective;
    match (direction, live_since, effective) {
        (Direction::Downgrade, Some(since), DowngradeEffective::TermEnd) => Step::Later(Pending {
            plan: (*wished).to_owned(),
            effective_at: term_end(*since, offer.term.unwrap_or_default(), *now),
            requested_at: time::whole(*now),
            generation: *generation,
            waits_for: PlanChangeWait::TermEnd,
        }),
        _ => Step::Now(direction),
    }
}

/// The way from a plan to another one, if it is on offer.
#[must_use]
pub fn direction(offer: &ServicePlanSpec, wished: &str) -> Option<Direction> {
    let is_in = |plans: &[String]| plans.iter().any(|plan| plan == wished);
    match (is_in(&offer.upgradable_to), is_in(&offer.downgradable_to)) {
        (true, _) => Some(Direction::Upgrade),
        (false, true) => Some(Direction::Downgrade),
        (false, false) => None,
    }
}

fn not_offered(current: &str, offer: &ServicePlanSpec, wished: &str) -> Problem {
    let more = offer.upgradable_to.iter().map(|plan| format!("{plan} (more)"));
    let offered: Vec<String> =
        more.chain(offer.downgradable_to.iter().map(|plan| format!("{plan} (less)"))).collect();
    let offered = match offered.as_slice() {
        [] => "it offers no change".to_owned(),
        some => format!("it offers {}", list(some, NAMED)),
    };
    let message = format!(
        "plan {current} does not offer the change to {wished}, {offered}; name one of those, or {current}, or ask the provider to \
         list {wished} in upgradableTo or downgradableTo of plan {current}"
    );
    Problem::new(FIELD, NOT_OFFERED, message)
}

/// End of the term that is under way: whole months of the calendar after the tenant went live, in UTC. A month that is too short
/// for its day ends on its last one.
#[must_use]
pub fn term_end(live_since: Timestamp, term: Term, now: Timestamp) -> Timestamp {
    let live_since = Offset::UTC.to_datetime(time::whole(live_since));
    let present = Offset::UTC.to_datetime(now);
    let months = |of: &DateTime| i64::from(of.year()) * 12 + i64::from(of.month());
    let length = i64::from(term.months.max(1));
    let passed = (months(&present) - months(&live_since)).max(0) / length;
    // The one that begins before the present may end after it, on a later day of its month.
    let ends = (passed.max(1)..).take(3).filter_map(|terms| {
        let span = Span::new().try_months(terms.saturating_mul(length)).ok()?;
        Offset::UTC.to_timestamp(live_since.checked_add(span).ok()?).ok()
    });
    // Beyond the calendar nothing ends.
    ends.into_iter().find(|end| *end > now).unwrap_or(Timestamp::MAX)
}

// === impl Step ===

impl Step {
    /// What becomes of a change that waits for a maintenance window. The windows are those of the order as it is now, and of somebody
    /// whose service nothing can interrupt there are none: it goes as soon as one is open, and otherwise waits for the next.
    #[must_use]
    pub fn reconsidered(self, windows: &Windows, now: Timestamp) -> Self {
        match self {
            Self::Waits(pending) | Self::Due(pending)
                if pending.waits_for == PlanChangeWait::MaintenanceWindow =>
            {
                match windows.opens(now) {
                    Some(at) if at > now => Self::Waits(Pending { effective_at: time::whole(at), ..pending }),
                    _ => Self::Due(pending),
                }
            }
            step => step,
        }
    }

    /// What becomes of a change that interrupts the service: it begins in a maintenance window. One that waits for the end of a term
    /// takes effect in the first window after it, whole, so that machines and money change at the same instant.
    #[must_use]
    pub fn within(self, windows: &Windows, input: &Input<'_>) -> Self {
        let now = input.now;
        let put_off = |from: Timestamp| windows.opens(from).filter(|at| *at > from).map(time::whole);
        match self {
            Self::Now(direction) => match put_off(now) {
                None => Self::Now(direction),
                Some(effective_at) => Self::Later(Pending {
                    plan: input.wished.to_owned(),
                    effective_at,
                    requested_at: time::whole(now),
                    generation: input.generation,
                    waits_for: PlanChangeWait::MaintenanceWindow,
                }),
            },
            Self::Later(pending) => {
                let effective_at = put_off(pending.effective_at).unwrap_or(pending.effective_at);
                Self::Later(Pending { effective_at, ..pending })
            }
            Self::Due(pending) => match put_off(now) {
                None => Self::Due(pending),
                Some(effective_at) => Self::Waits(Pending {
                    effective_at,
                    waits_for: PlanChangeWait::MaintenanceWindow,
                    ..pending
                }),
            },
            step @ (Self::Same | Self::Waits(_) | Self::NotOffered(_)) => step,
        }
    }

    /// Whether the tenant has to be held against the plan that is asked for now.
    #[must_use]
    pub fn asks_to_fit(&self) -> bool {
        matches!(self, Self::Now(Direction::Downgrade) | Self::Later(_) | Self::Due(_))
    }

    /// Whether the tenant's volumes have to be held against the plan that is asked for now.
    #[must_use]
    pub fn is_a_change(&self) -> bool {
        self.asks_to_fit() || matches!(self, Self::Now(Direction::Upgrade))
    }

    /// What becomes of it, where `before` was waiting and the tenant fits the other plan or does not. What is refused changes
    /// nothing.
    #[must_use]
    pub fn course(self, before: Option<Pending>, fits: bool) -> Course {
        let refused = self.is_a_change() && !fits;
        match self {
            Self::Due(pending) if refused => Course { stays: true, pending: Some(pending) },
            _ if refused => Course { stays: true, pending: before },
            Self::Same | Self::Now(_) | Self::Due(_) => Course { stays: false, pending: None },
            Self::Later(pending) | Self::Waits(pending) => Course { stays: true, pending: Some(pending) },
            Self::NotOffered(_) => Course { stays: true, pending: before },
        }
    }
}

/// What a status says is waiting.
#[must_use]
pub fn pending(status: Option<&PlanStatus>) -> Option<Pending> {
    let status = status?;
    Some(Pending {
        plan: status.pending.clone()?,
        effective_at: time::instant(status.effective_at.as_ref()?),
        requested_at: time::instant(status.requested_at.as_ref()?),
        generation: status.requested_generation?,
        waits_for: status.waits_for.unwrap_or_default(),
    })
}

/// Revisions of plans whose objects may still stand when a tenant goes to `next`.
#[must_use]
pub fn leaving(status: Option<&PlanStatus>, accepted: Option<&AcceptedRevisions>, next: &str) -> Vec<String> {
    let before = status.map(|status| status.leaving.as_slice()).unwrap_or_default();
    let mut all: Vec<String> = Vec::new();
    for revision in before.iter().chain(accepted.map(|accepted| &accepted.plan)) {
        if revision != next && !all.contains(revision) {
            all.push(revision.clone());
        }
    }
    all.drain(..all.len().saturating_sub(LEAVING));
    all
}

/// The plan as a status tells of it, once revisions are accepted.
#[must_use]
pub(crate) fn status(
    accepted: &AcceptedRevisions,
    pending: Option<&Pending>,
    leaving: &[String],
) -> PlanStatus {
    PlanStatus {
        current: name_of(&accepted.plan).to_owned(),
        pending: pending.map(|pending| pending.plan.clone()),
        waits_for: pending
            .map(|pending| pending.waits_for)
            .filter(|waits_for| *waits_for != PlanChangeWait::TermEnd),
        effective_at: pending.map(|pending| time::time(pending.effective_at)),
        requested_at: pending.map(|pending| time::time(pending.requested_at)),
        requested_generation: pending.map(|pending| pending.generation),
        leaving: leaving.to_vec(),
    }
}

/// What a customer is told of a change that waits.
#[must_use]
pub fn told(current: &str, pending: &Pending) -> String {
    let Pending { plan, effective_at, waits_for, .. } = pending;
    let why = match waits_for {
        PlanChangeWait::TermEnd => "",
        PlanChangeWait::MaintenanceWindow => {
            ", when a maintenance window opens, because it moves workloads that cannot run at both places"
        }
    };
    format!(
        "the change to plan {plan} takes effect on {}{why}, until then everything is under plan {current}; set {FIELD} back to \
         {current} to cancel it",
        time::readable(*effective_at)
    )
}

#[cfg(test)]
mod tests;
