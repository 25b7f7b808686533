//! Bringing a tenant to what its order asks for: plan and execute in rounds, then report. Needs clients.

use super::capacity::{self, Bounds};
use super::dereference::Snapshot;
use super::evaluate::{Facts, evaluated, recorded_ids};
use super::plan_change::Change;
use super::prepare::{Prepared, PreparedItem};
use super::suspension::Otherwise;
use super::write::{self, WriteError};
use super::{
    Next, Outcome, STATUS_EVERY, backoff, deadline, earlier, jobs, offboard, secrets, servers, suspension,
    wait_after,
};
use crate::controller::billing;
use crate::controller::context::Context;
use crate::controller::servers::{Standing, leave_others};
use crate::controller::session::Session;
use kube::core::ApiResource;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tenantry_apply::classify::Verdict as Refusal;
use tenantry_apply::executor::{self, Done, Executor};
use tenantry_apply::index::Seen;
use tenantry_apply::object::{Desired, Kind, ObjectId, Policy, Stage};
use tenantry_apply::plan::{self, Plan, Wait, Waiting};
use tenantry_apply::record::Ledger;
use tenantry_apply::shared::Snapshot as View;
use tenantry_apply::streams::Mode;
use tenantry_checklist::Problem;
use tenantry_checklist::billing as payment;
use tenantry_checklist::item::Evaluation;
use tenantry_checklist::journal;
use tenantry_checklist::report::{
    Billing, Obstacle, Plan as Planned, ReportInput, Suspension, Verdict, report,
};
use tenantry_crds::inventory::Inventory;
use tenantry_crds::subscription::{ChecklistEntry, ItemState, RememberedScale};
use tokio::time::Instant;

/// Rounds of one run. Every round that does something makes the next one's work smaller, so this is never reached; it
/// bounds a mistake.
const MAX_ROUNDS: usize = 24;
/// How long to wait for the watch to deliver a namespace that was just created. Until then every creation inside it
/// would sleep 50 ms in the API server.
const NAMESPACE_WAIT: Duration = Duration::from_millis(500);

/// How long a watch may take to deliver its first set before a tenant is looked at without it. A list that is never answered
/// is asked for again before (`tenantry_apply::connection`), so that nobody is told of what only was not seen.
const SYNC_PATIENCE: Duration = Duration::from_secs(30);

/// One look at a tenant.
struct Look {
    view: View,
    evaluation: Evaluation,
    plan: Plan,
    /// How it stands with its servers.
    standing: Standing,
}

/// What a run works towards.
pub(super) struct Job {
    /// Everything that shall exist.
    pub(super) prepared: Arc<Prepared>,
    /// Why what is wished now is refused; the order is then the one that was accepted before.
    pub(super) problems: Vec<Problem>,
    /// What became of the wish for another plan.
    pub(super) change: Change,
}

// === impl Job ===

impl Job {
    fn verdict(&self) -> Verdict<'_> {
        if self.problems.is_empty() {
            Verdict::Accepted(&self.prepared.order)
        } else {
            Verdict::Refused(&self.problems)
        }
    }

    /// What the status tells of the plan, while objects of these may still stand.
    fn plan<'a>(&'a self, leaving: &'a [String]) -> Planned<'a> {
        Planned { pending: self.change.pending.as_ref(), refused: &self.change.refused, leaving }
    }
}

/// What a run found out so far.
struct Progress {
    inventory: Inventory,
    outcomes: Vec<executor::Outcome>,
    /// How many pods each workload had before it was given none.
    remembered: Vec<RememberedScale>,
    /// Digests of objects that only a suspension, or its end, changes.
    otherwise: Otherwise,
}

pub(super) async fn run(
    context: &Context,
    snapshot: &Snapshot,
    session: &mut Session,
    job: &Job,
) -> Result<(Outcome, Next), WriteError> {
    let prepared = &job.prepared;
    let recorded = snapshot.status.inventory.clone().unwrap_or_default();
    watch_kinds(context, &prepared.desired);
    jobs::watch(context, prepared);
    // What is not desired any more has to be seen to be removed, also by a process that never made any.
    offboard::watch_kinds(context, &recorded);
    await_watches(context, session, prepared).await;
    billing::ask(context, snapshot, &prepared.order);
    let mut progress = Progress {
        inventory: session.inventory.clone().unwrap_or(recorded),
        outcomes: Vec::new(),
        remembered: suspension::remembered(snapshot).to_vec(),
        otherwise: Otherwise::of(context, snapshot, prepared),
    };
    let mut current =
        Snapshot { root: Arc::clone(&snapshot.root), status: snapshot.status.clone(), ..*snapshot };
    let ledger = Ledger::new(progress.inventory.clone());
    let runs = jobs::observe(context, &current, prepared, &ledger).await;
    let mut desired = prepared.desired.clone();
    if runs.has_ended() {
        // A result is on record before anything builds on it, and what builds on it is rendered with it.
        let look = look(context, &current, prepared, &runs, &mut desired, &progress);
        return finish(context, &current, session, job, progress, look, &runs).await;
    }
    match suspension::remember(&current, prepared, &ledger, &context.executor).await {
        Ok(remembered) => {
            progress.remembered = suspension::under_another_plan(context, &current, prepared, remembered);
        }
        Err(failure) => {
            let reason = failure.verdict.as_str();
            tracing::warn!(subscription = %snapshot.root.name, reason, "workloads cannot be read before they are stopped");
            session.outages = session.outages.saturating_add(1);
            return Ok((Outcome::Failed, Some(snapshot.instant + backoff(session.outages))));
        }
    }
    let mut executor = None;
    for _ in 0..MAX_ROUNDS {
        let look = look(context, &current, prepared, &runs, &mut desired, &progress);
        let is_remembered = progress.remembered == suspension::remembered(&current);
        if look.plan.record.is_some() || !is_remembered {
            let record = look.plan.record.clone().unwrap_or_else(|| progress.inventory.clone());
            record_ahead(context, &mut current, session, job, &look.evaluation, &progress, record.clone())
                .await?;
            progress.inventory = record;
        }
        if look.plan.steps.is_empty() || progress.outcomes.iter().any(|outcome| outcome.result.is_err()) {
            return finish(context, &current, session, job, progress, look, &runs).await;
        }
        let executor = executor.get_or_insert_with(|| executor_for(context, &snapshot.root.name));
        let done = executor.execute(&prepared.owner, &look.plan, &desired, &progress.inventory).await;
        await_namespace(context, &done).await;
        session.learn(current.status.inventory.as_ref(), done.inventory.clone());
        progress.inventory = done.inventory;
        progress.outcomes = done.outcomes;
    }
    tracing::error!(subscription = %snapshot.root.name, "rounds do not end; looking again later");
    Ok((Outcome::Failed, Some(snapshot.instant + backoff(8))))
}

/// What performs a run's plans. For whoever does not wait behind a crowd it holds the others back until it is dropped.
fn executor_for(context: &Context, name: &String) -> Executor {
    if context.queue.is_fast(name) { context.executor.urgently() } else { context.executor.clone() }
}

/// Asks for the watches that the objects need.
pub(super) fn watch_kinds(context: &Context, desired: &[Desired]) {
    let mut modes: BTreeMap<_, Mode> = BTreeMap::new();
    for object in desired {
        let mode = modes.entry(object.id.kind.clone()).or_insert(Mode::Metadata);
        *mode = Mode::of(object).max(*mode);
    }
    for (kind, mode) in modes {
        if let Some(served) = context.discovery.resolve(&kind) {
            context.streams.ensure(&kind, &served.resource, mode);
        }
    }
}

/// Waits until the watches have delivered their first sets. What they have not delivered is not missing: without this a
/// leader that has just started would say of every tenant that it is degraded. Watches that do not deliver for long
/// are waited for no more, and then the checklist says what is not observed.
pub(super) async fn await_watches(context: &Context, session: &mut Session, prepared: &Prepared) {
    let is_watched = |kind: &&Kind| !kind.is_secret() && context.discovery.resolve(kind).is_some();
    let job = jobs::kind();
    let of_jobs = prepared.has_jobs().then_some(&job);
    let of_objects = prepared.desired.iter().map(|object| &object.id.kind);
    let kinds: BTreeSet<&Kind> = of_objects.chain(of_jobs).filter(is_watched).collect();
    let paying = billing::kinds(&prepared.order);
    let foreign: Vec<(&Kind, ApiResource)> = prepared
        .foreign_kinds()
        .into_iter()
        .filter_map(|kind| Some((kind, context.discovery.resolve(kind)?.resource)))
        .chain(paying.iter().map(|(kind, resource)| (kind, resource.clone())))
        .collect();
    if context.index.is_synced(kinds.iter().copied())
        && foreign.iter().all(|(kind, resource)| context.foreign.is_synced(kind, resource))
    {
        session.blind_since = None;
        return;
    }
    // One patience for all of them, however often the tenant is looked at meanwhile.
    let since = *session.blind_since.get_or_insert_with(Instant::now);
    let patience = || SYNC_PATIENCE.saturating_sub(since.elapsed());
    context.index.synced(kinds, patience()).await;
    for (kind, resource) in foreign {
        context.foreign.synced(kind, &resource, patience()).await;
    }
}

/// Looks at what exists, derives the checklist and plans what to do next.
fn look(
    context: &Context,
    snapshot: &Snapshot,
    prepared: &Prepared,
    runs: &jobs::Observed,
    desired: &mut Vec<Desired>,
    progress: &Progress,
) -> Look {
    let ledger = Ledger::new(progress.inventory.clone());
    desired.truncate(prepared.desired.len());
    let bounds = Bounds::of(prepared);
    bounds.widen(&ledger, desired);
    let view = seen(context, prepared, desired, progress);
    // What the planner would wait for is evidence, and what evidence releases the planner may do: so the plan is made
    // twice, first with everything held back.
    desired.iter_mut().for_each(|object| object.released = false);
    let held = plan(context, prepared, desired, &progress.inventory, &view, true);
    let standing = servers::standing(context, snapshot, prepared);
    let facts = Facts {
        standing: &standing,
        desired: &*desired,
        runs,
        ledger: &ledger,
        view: &view,
        waits: &held.waits,
        outcomes: &progress.outcomes,
    };
    let evaluation = evaluated(context, snapshot, prepared, &facts);
    // Which runs there are is for the checklist to say.
    let runs = jobs::desired(prepared, &evaluation, &progress.inventory);
    let view = if runs.is_empty() {
        view
    } else {
        desired.extend(runs);
        seen(context, prepared, desired, progress)
    };
    release(desired, &evaluation, &ledger, progress, &standing);
    let complete = evaluation.held.is_empty();
    let mut plan = plan(context, prepared, desired, &progress.inventory, &view, complete);
    let is_still = complete
        && plan.steps.is_empty()
        && !plan.waits.iter().any(|waiting| is_in_the_way(waiting, &ledger))
        && !evaluation.entries.iter().any(is_in_motion)
        && capacity::is_all_written(desired, &ledger);
    if is_still && bounds.narrow(desired) {
        release(desired, &evaluation, &ledger, progress, &standing);
        plan = self::plan(context, prepared, desired, &progress.inventory, &view, complete);
    }
    Look { view, evaluation, plan, standing }
}

/// Whether objects of an item may still be on their way to what they shall be.
fn is_in_motion(entry: &ChecklistEntry) -> bool {
    matches!(entry.state, ItemState::Running | ItemState::Failed)
}

/// Says of each object whether it may be written.
fn release(
    desired: &mut [Desired],
    evaluation: &Evaluation,
    ledger: &Ledger,
    progress: &Progress,
    standing: &Standing,
) {
    for object in desired.iter_mut() {
        let recorded = ledger.entry(&object.id).filter(|entry| entry.uid.is_some());
        if object.policy == Policy::Once && recorded.is_some() {
            // A run that was made is left as it is, and nothing waits for it.
            object.released = true;
            continue;
        }
        // The foundation stands before everything else, whichever items cite its parts: an item that waits for another
        // must not keep the policy back without which that other may not create anything.
        object.released = if evaluation.held.contains(&object.item) {
            // What a person holds keeps what it has, and nothing new begins. A suspension is nobody's to hold.
            let digest = recorded.and_then(|entry| entry.digest.as_deref());
            digest == Some(&*object.digest)
                || digest.is_some_and(|digest| progress.otherwise.knows(&object.id, digest))
                || progress.otherwise.is_touched(&object.id, &object.digest)
        } else {
            object.stage == Stage::Foundation || evaluation.released.contains(&object.item)
        };
        object.aside = servers::keeps_back(standing, object, ledger);
        object.released &= !object.aside;
    }
}

/// What is seen of everything that is desired or recorded, at one moment.
fn seen(context: &Context, prepared: &Prepared, desired: &[Desired], progress: &Progress) -> View {
    let ids = desired.iter().map(|desired| desired.id.clone());
    context.index.snapshot(ids.chain(recorded_ids(&progress.inventory, &prepared.owner, context)))
}

fn plan(
    context: &Context,
    prepared: &Prepared,
    desired: &[Desired],
    inventory: &Inventory,
    view: &View,
    complete: bool,
) -> Plan {
    plan::plan(&plan::Input {
        owner: &prepared.owner,
        order: &prepared.order.digest,
        desired,
        complete,
        leaving: &prepared.leaving,
        inventory,
        view,
        scopes: &*context.discovery,
    })
}

/// Writes what may come to exist before anything is created: first the finalizer, then the record.
async fn record_ahead(
    context: &Context,
    snapshot: &mut Snapshot,
    session: &mut Session,
    job: &Job,
    evaluation: &Evaluation,
    progress: &Progress,
    record: Inventory,
) -> Result<(), WriteError> {
    if let Some(root) = write::finalizer(context, snapshot, true).await? {
        snapshot.root = root;
    }
    let (known, _) = context.billing.of(job.prepared.order.tenant_id.as_str());
    let status = report(&ReportInput {
        generation: snapshot.root.generation,
        previous: &snapshot.status,
        verdict: job.verdict(),
        obstacles: &[],
        evaluation: Some(evaluation),
        sizing: job.prepared.sizing.as_ref(),
        pause: snapshot.pause(),
        plan: Some(job.plan(&job.prepared.plans_left)),
        suspension: Some(Suspension {
            effect: &job.prepared.suspension,
            in_effect: false,
            left: "",
            remembered: &progress.remembered,
        }),
        billing: Some(Billing { known: known.as_ref(), ordered: snapshot.root.created }),
        inventory: Some(record),
        now: snapshot.now,
    });
    write::status(context, snapshot, session, status).await?.settle(snapshot);
    session.inventory = None;
    Ok(())
}

/// A namespace that was just created is waited for until our own watch has it.
async fn await_namespace(context: &Context, done: &executor::Execution) {
    for outcome in &done.outcomes {
        if outcome.id.kind.is_namespace()
            && outcome.result == Ok(Done::Created)
            && let Some(uid) =
                Ledger::new(done.inventory.clone()).entry(&outcome.id).and_then(|e| e.uid.clone())
        {
            context.index.confirmed(&outcome.id, &uid, NAMESPACE_WAIT).await;
        }
    }
}

/// Reports, and says when to look again.
async fn finish(
    context: &Context,
    snapshot: &Snapshot,
    session: &mut Session,
    job: &Job,
    progress: Progress,
    look: Look,
    runs: &jobs::Observed,
) -> Result<(Outcome, Next), WriteError> {
    let prepared = &job.prepared;
    let ledger = Ledger::new(progress.inventory.clone());
    let application = prepared.items.iter().find(|prepared| prepared.item.application.is_some());
    if let Some(PreparedItem { item, .. }) = application
        && secrets::should_look(snapshot, session, &look.evaluation, &item.name)
    {
        secrets::look(context, snapshot, session, &prepared.desired, &ledger).await;
    }
    let mut obstacles = conflicts(prepared, &look, &progress.outcomes);
    obstacles.extend(secrets::obstacles(snapshot, session));
    obstacles.extend(not_removed(prepared, &look.plan, &progress.outcomes));
    let untold = |outcome: &&executor::Outcome| is_untold(&look.evaluation, outcome);
    obstacles.extend(progress.outcomes.iter().find(untold).and_then(not_written));
    let known = snapshot.status.inventory.clone().unwrap_or_default();
    let inventory = match tenantry_apply::record::differs_materially(&known, &progress.inventory) {
        true => progress.inventory.clone(),
        // What others wrote is not worth a write; it is kept in memory and goes with the next one.
        false => known,
    };
    let stands = look.plan.steps.is_empty()
        && progress.outcomes.iter().all(|outcome| outcome.result.is_ok())
        && !look.plan.waits.iter().any(|waiting| is_in_the_way(waiting, &ledger));
    let is_moving = look.evaluation.entries.iter().any(is_in_motion);
    let is_settled_in = stands
        && !is_moving
        && look.evaluation.held.is_empty()
        && capacity::is_all_written(&prepared.desired, &ledger);
    let suspended =
        suspension::found(context, snapshot, prepared, progress.remembered, stands && !runs.has_ended())
            .await;
    let (known, _) = context.billing.of(prepared.order.tenant_id.as_str());
    let mut status = report(&ReportInput {
        generation: snapshot.root.generation,
        previous: &snapshot.status,
        verdict: job.verdict(),
        obstacles: &obstacles,
        evaluation: Some(&look.evaluation),
        sizing: job.prepared.sizing.as_ref(),
        pause: snapshot.pause(),
        plan: Some(job.plan(if is_settled_in { &[] } else { &prepared.plans_left })),
        suspension: Some(Suspension {
            effect: &prepared.suspension,
            in_effect: suspended.in_effect,
            left: &suspended.left,
            remembered: &suspended.remembered,
        }),
        billing: Some(Billing { known: known.as_ref(), ordered: snapshot.root.created }),
        inventory: Some(inventory),
        now: snapshot.now,
    });
    let known = snapshot.status.servers.as_ref();
    status.servers = journal::numbered(known, look.standing.has.clone(), snapshot.now);
    let mut next = deadline(snapshot, look.evaluation.deadline);
    next = earlier(next, suspended.again.map(|wait| snapshot.instant + wait));
    next = earlier(next, job.change.again.map(|wait| snapshot.instant + wait));
    let effective_at = job.change.pending.as_ref().map(|pending| pending.effective_at);
    next = earlier(next, deadline(snapshot, effective_at.filter(|at| *at > snapshot.now)));
    let accepted = status.accepted.as_ref();
    let window = accepted.and_then(|accepted| {
        context.mover.next_window(&snapshot.root, accepted, &context.store, snapshot.now)
    });
    next = earlier(next, deadline(snapshot, window));
    let released_at = servers::released_at(prepared);
    next = earlier(next, deadline(snapshot, released_at.filter(|at| *at > snapshot.now)));
    let latest = prepared.order.billing.as_ref().and_then(payment::latest);
    next = earlier(next, deadline(snapshot, latest.filter(|at| *at > snapshot.now)));
    let outages = progress.outcomes.iter().filter_map(|outcome| {
        let failure = outcome.result.as_ref().err()?;
        let is_ours = !failure.verdict.is_definitive() || is_untold(&look.evaluation, outcome);
        (is_ours && failure.verdict != Refusal::Skipped).then_some(failure)
    });
    let mut failed = false;
    for outage in outages {
        failed = true;
        next = earlier(next, Some(snapshot.instant + wait_after(outage, session.outages)));
    }
    if runs.is_incomplete {
        failed = true;
        next = earlier(next, Some(snapshot.instant + backoff(session.outages + 1)));
    }
    session.outages = if failed { session.outages.saturating_add(1) } else { 0 };
    if runs.misses_an_end(context, &prepared.owner, &status.checklist, &ledger) {
        next = earlier(next, Some(snapshot.instant));
    }
    let result_is_new = jobs::result_is_new(&snapshot.status.checklist, &status.checklist);
    let is_busy = status.checklist.iter().any(|entry| entry.state == ItemState::Running);
    let due = session.written.map(|at| at + STATUS_EVERY).filter(|at| is_busy && *at > snapshot.instant);
    match due {
        // Written a moment ago, and more is coming.
        Some(at) => next = earlier(next, Some(at)),
        None => {
            let written = write::status(context, snapshot, session, status).await?;
            session.learn(written.status.inventory.as_ref(), progress.inventory);
            // What it had elsewhere is given back once it is on record where it is by now.
            if is_settled_in && job.problems.is_empty() {
                let again = leave_others(context, prepared, &look.standing).await;
                next = earlier(next, again.map(|wait| snapshot.instant + wait));
            }
            // What was just recorded needs to be kept no longer. What was recorded before and is kept still could not be let go,
            // and waits as after any outage.
            if result_is_new {
                next = earlier(next, Some(snapshot.instant));
            }
        }
    }
    let settled = !is_busy && !failed && suspended.again.is_none();
    if settled {
        session.settle();
    }
    let outcome = match settled {
        true if job.problems.is_empty() && job.change.refused.is_empty() => Outcome::Settled,
        true => Outcome::Refused,
        false => Outcome::Waiting,
    };
    Ok((outcome, next))
}

/// Whether what waits is an object that was made and is not known to be as it shall be. What was not made is nobody's to take away.
fn is_in_the_way(waiting: &Waiting, ledger: &Ledger) -> bool {
    let exists = ledger.entry(&waiting.id).is_some_and(|entry| entry.uid.is_some());
    exists && !matches!(waiting.wait, Wait::Kind { .. } | Wait::InventoryFull)
}

/// Objects of other people under names that the tenant needs. In a namespace that is not the tenant's nothing else is,
/// so then it is the only one. Of an object inside, the entry of its item tells: between two tries it is not looked at.
fn conflicts(prepared: &Prepared, look: &Look, outcomes: &[executor::Outcome]) -> Vec<Obstacle> {
    let waiting = look.plan.waits.iter().filter(|waiting| waiting.wait == Wait::NameConflict).map(|w| &w.id);
    let refused = outcomes
        .iter()
        .filter(|outcome| outcome.result.as_ref().is_err_and(|f| f.verdict == Refusal::NameConflict))
        .map(|outcome| &outcome.id);
    if let Some(id) = waiting.chain(refused).find(|id| id.kind.is_namespace()) {
        let namespace = &prepared.owner.namespace;
        return vec![match tenantry_apply::plan::View::see(&look.view, id) {
            Seen::Present(observed, _) if is_predecessor(prepared, &observed) => {
                Obstacle::predecessor_terminating(namespace)
            }
            _ => Obstacle::name_conflict(namespace),
        }];
    }
    let entries = look.evaluation.entries.iter();
    let in_conflict = entries.filter(|entry| entry.reason == Refusal::NameConflict.as_str());
    in_conflict.map(|entry| Obstacle::object_conflict(&entry.name, &entry.message)).collect()
}

/// What is no longer desired and still there, and has no item that would tell of it: it could not be removed, or nobody has looked at
/// its kind yet. Of several the one that a person has to look at is told.
fn not_removed(prepared: &Prepared, plan: &Plan, outcomes: &[executor::Outcome]) -> Option<Obstacle> {
    let failures = outcomes.iter().filter(|outcome| outcome.item.is_none()).filter_map(|outcome| {
        let failure = outcome.result.as_ref().err()?;
        (failure.verdict != Refusal::Skipped).then_some((&outcome.id, failure))
    });
    let named = |id: &ObjectId, why: &str| format!("{} {}: {why}", id.kind.name(), id.name);
    if let Some((id, failure)) = failures.max_by_key(|(_, failure)| failure.verdict.is_definitive()) {
        return Some(Obstacle::not_removed(&named(id, &failure.message), failure.verdict.is_definitive()));
    }
    let is_wanted =
        |id: &ObjectId| id.kind == jobs::kind() || prepared.desired.iter().any(|object| object.id == *id);
    let mut unseen = plan.waits.iter().filter(|one| one.wait == Wait::Sync && !is_wanted(&one.id));
    let one = unseen.next()?;
    Some(Obstacle::not_removed(&named(&one.id, "nothing of its kind has been looked at yet"), false))
}

/// Whether a change was refused for good and no item tells of it, because everything of its item is there: what had room for another plan, and
/// shall have it no more. No item has a next try of it either, so it is tried again like an outage.
fn is_untold(evaluation: &Evaluation, outcome: &executor::Outcome) -> bool {
    let is_refused = outcome.result.as_ref().is_err_and(|failure| failure.verdict.is_definitive());
    let is_done = |entry: &ChecklistEntry| {
        outcome.item.as_deref() == Some(entry.name.as_str())
            && matches!(entry.state, ItemState::Done | ItemState::Skipped)
    };
    is_refused && evaluation.entries.iter().any(is_done)
}

/// What is said of it.
fn not_written(outcome: &executor::Outcome) -> Option<Obstacle> {
    let why = &outcome.result.as_ref().err()?.message;
    let (kind, name) = (outcome.id.kind.name(), &outcome.id.name);
    let message = format!("{kind} {name} is not yet as the order has it: {why}; it is tried again");
    Some(Obstacle::other("ChangeRefused", message, true))
}

/// Whether a namespace is that of an earlier subscription of the same name, on its end. One that was kept does not end
/// by itself, and is somebody else's.
fn is_predecessor(prepared: &Prepared, observed: &tenantry_apply::observed::Observed) -> bool {
    observed.deleting
        && observed.subscription.as_deref() == Some(&*prepared.owner.subscription)
        && observed.tenant_id.as_deref() != Some(&*prepared.owner.tenant_id)
}
