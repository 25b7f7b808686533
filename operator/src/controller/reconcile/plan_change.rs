//! The wish for another plan: which way is on offer, whether it is time, and whether the tenant fits. Needs a client for the last,
//! at the moment that a smaller plan is asked for and at the one that it takes effect, and for nothing else.

use super::dereference::{self, Snapshot};
use super::prepare::Prepared;
use crate::controller::context::Context;
use crate::controller::patience::doubled;
use crate::controller::servers::nodes_with_volumes;
use crate::controller::session::Session;
use crate::plan_change::{self, Misfit, offer, unchangeable, used, windows};
use std::time::Duration;
use tenantry_checklist::item::JOURNAL_UNAVAILABLE;
use tenantry_checklist::plan_change::{Course, FIELD, Input, Pending, Step, misfits, pending, step};
use tenantry_checklist::revision::name_of;
use tenantry_checklist::select::{Moves, SelectInput, select};
use tenantry_checklist::{Problem, journal};
use tenantry_crds::TenantSubscriptionSpec;

/// Between two looks at what is in use and does not fit: at first, and at most. The quota counts what ended a little later than
/// its watch tells, and what others made it tells of nothing at all.
const LOOK_AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3600)];

/// What the wish for a plan comes to in one run.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// Plan under which the order is resolved, in the place of the one it names.
    pub(super) instead: Option<String>,
    /// What waits for its time.
    pub(super) pending: Option<Pending>,
    /// Why the tenant does not change to the plan that its order names, while everything else of the order holds.
    pub(super) refused: Vec<Problem>,
    /// Why nothing of the order holds.
    pub(super) forbidden: Vec<Problem>,
    /// After how long somebody has to look again.
    pub(super) again: Option<Duration>,
}

// === impl Change ===

impl Change {
    /// These problems of the order besides those of the plan, each once.
    pub(super) fn with(&self, problems: Vec<Problem>) -> Vec<Problem> {
        let mut all = self.refused.clone();
        all.extend(problems.into_iter().filter(|problem| !self.refused.contains(problem)));
        all
    }
}

/// What the wish for a plan comes to now. Who is paused stays as he is.
pub(super) async fn decide(context: &Context, snapshot: &Snapshot, session: &mut Session) -> Change {
    let status = &snapshot.status;
    let before = pending(status.plan.as_ref());
    let stays = || Change { pending: before.clone(), ..Change::default() };
    let Some(accepted) = status.accepted.as_ref().filter(|_| snapshot.root.paused.is_none()) else {
        return stays();
    };
    let Ok(spec) = snapshot.root.spec() else { return stays() };
    let current = name_of(&accepted.plan);
    // With windows that cannot be understood the order is refused.
    let Ok(windows) = windows(status, &spec) else { return stays() };
    let offer = offer(&*context.store, &accepted.plan);
    let input = Input {
        wished: &spec.plan_ref.name,
        current: Some(current),
        offer: offer.as_deref(),
        pending: before.clone(),
        live_since: status.go_live.as_ref().map(|live| tenantry_checklist::time::instant(&live.at)),
        generation: snapshot.root.generation,
        now: snapshot.now,
    };
    let step = step(&input).reconsidered(&windows, snapshot.now);
    if let Step::NotOffered(problem) = step {
        // A plan that nobody can order is the plainer reason.
        let selection = SelectInput { spec: &spec, accepted: Some(accepted), moves: Moves::default() };
        let forbidden = select(&selection, &*context.store).err().unwrap_or_else(|| vec![problem]);
        return Change { forbidden, ..stays() };
    }
    let is_unrecorded = !matches!(step, Step::Same | Step::Waits(_)) && journal::is_full(status);
    let Found { refused, again, interrupts } = match &step {
        _ if is_unrecorded => Found { refused: vec![unrecorded()], ..Found::default() },
        step if step.is_a_change() => {
            misfit(context, snapshot, session, &spec, current, step.asks_to_fit()).await
        }
        _ => Found::default(),
    };
    let step = if interrupts { step.within(&windows, &input) } else { step };
    if again.is_none() {
        session.misfits = 0;
    }
    let course = match is_unrecorded {
        true => Course { stays: true, pending: before },
        false => step.course(before, refused.is_empty()),
    };
    Change {
        instead: course.stays.then(|| current.to_owned()),
        pending: course.pending,
        refused,
        forbidden: Vec::new(),
        again,
    }
}

/// What is known of a tenant beside another plan.
#[derive(Default)]
struct Found {
    /// What does not fit.
    refused: Vec<Problem>,
    /// When to look again at what is in use.
    again: Option<Duration>,
    /// Whether the change interrupts the service.
    interrupts: bool,
}

fn unrecorded() -> Problem {
    let message = "the journal cannot take in that the plan changes, so it waits; see to the controller's database, and it \
                   goes on by itself";
    Problem::new(FIELD, JOURNAL_UNAVAILABLE, message)
}

/// What of a tenant does not fit the plan that its order names, and whether the change interrupts its service. Where the plan gives
/// less, what is in use is asked for.
async fn misfit(
    context: &Context,
    snapshot: &Snapshot,
    session: &mut Session,
    spec: &TenantSubscriptionSpec,
    current: &str,
    gives_less: bool,
) -> Found {
    let name = &spec.plan_ref.name;
    let before: Option<Prepared> = snapshot
        .status
        .accepted_order
        .as_deref()
        .and_then(|order| serde_json::from_str(order).ok())
        .and_then(|spec| dereference::trial(context, snapshot, &spec).ok());
    let after = dereference::trial(context, snapshot, spec);
    let plan = offer(&*context.store, name).filter(|_| gives_less);
    let live = match (&before, &plan) {
        (Some(before), Some(plan)) => {
            let used = used(&context.client, before).await;
            Misfit { name, plan, before, after: after.as_ref().ok() }.of(used)
        }
        // Nothing is known of what runs, or of the plan; the order says what is wrong.
        _ => Vec::new(),
    };
    let lying = match (&before, &after) {
        (Some(before), Ok(after)) if plan_change::moves(before, after) => {
            let nodes = nodes_with_volumes(&context.client, &before.owner.namespace).await;
            plan_change::pinned(name, nodes.map_err(|error| error.to_string()))
        }
        _ => Vec::new(),
    };
    let again = (!live.is_empty() || !lying.is_empty()).then(|| {
        let wait = doubled(LOOK_AGAIN, session.misfits);
        session.misfits = session.misfits.saturating_add(1);
        wait
    });
    let frozen = match (&before, &after) {
        (Some(before), Ok(after)) => {
            let frozen = unchangeable(name, before, after, snapshot.status.inventory.as_ref());
            frozen.into_iter().chain(plan_change::stuck(name, before, after)).collect()
        }
        _ => Vec::new(),
    };
    let interrupts = match (&before, &after) {
        (Some(before), Ok(after)) => plan_change::interrupts(before, after),
        _ => false,
    };
    // What is wrong with an order under a plan that gives more is said when it is resolved under it.
    let mut problems = if gives_less { misfits(after.err().unwrap_or_default()) } else { Vec::new() };
    problems.extend(frozen.into_iter().chain(live).chain(lying));
    if !problems.is_empty() {
        tracing::debug!(subscription = %snapshot.root.name, current, ?problems, "does not fit the plan it asks for");
    }
    Found { refused: problems, again, interrupts }
}
