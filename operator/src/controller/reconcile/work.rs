//! Bringing a tenant to what its order asks for: plan and execute in rounds, then report. Needs clients.

use super::dereference::Snapshot;
use super::evidence::{Observations, evidence};
use super::prepare::{Prepared, PreparedExternal, PreparedItem, external_id};
use super::write::{self, WriteError};
use super::{
    Next, Outcome, STATUS_EVERY, again_after_race, backoff, deadline, earlier, jobs, offboard, secrets,
};
use crate::controller::context::Context;
use crate::controller::session::Session;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tenantry_apply::canonical::digest;
use tenantry_apply::classify::Verdict as Refusal;
use tenantry_apply::executor::{self, Done, Executor};
use tenantry_apply::index::Seen;
use tenantry_apply::object::{Desired, Kind, ObjectId, Owner, Policy, Stage};
use tenantry_apply::plan::{self, Plan, Wait, Waiting};
use tenantry_apply::record::Ledger;
use tenantry_apply::scope::{Scope, Scopes};
use tenantry_apply::shared::Snapshot as View;
use tenantry_apply::streams::Mode;
use tenantry_blueprint::expression::Expression;
use tenantry_checklist::Problem;
use tenantry_checklist::item::{
    self, EvaluateInput, Evaluation, Evidence, Hold, ItemInput, SignatureInput, evaluate,
};
use tenantry_checklist::journal;
use tenantry_checklist::learned::Similar;
use tenantry_checklist::report::{Obstacle, ReportInput, Verdict, report};
use tenantry_checklist::sign_off;
use tenantry_crds::inventory::Inventory;
use tenantry_crds::subscription::ItemState;
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
}

/// What the state of the checklist is derived from, besides the order.
struct Facts<'a> {
    /// What became of the runs of jobs.
    runs: &'a jobs::Observed,
    /// What is recorded.
    ledger: &'a Ledger,
    /// What is seen.
    view: &'a View,
    /// What a plan would wait for if nothing were released.
    waits: &'a [Waiting],
    /// What came of what was done last.
    outcomes: &'a [executor::Outcome],
}

/// What a run works towards.
pub(super) struct Job {
    /// Everything that shall exist.
    pub(super) prepared: Arc<Prepared>,
    /// Why what is wished now is refused; the order is then the one that was accepted before.
    pub(super) problems: Vec<Problem>,
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
}

/// What a run found out so far.
struct Progress {
    inventory: Inventory,
    outcomes: Vec<executor::Outcome>,
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
    let mut progress =
        Progress { inventory: session.inventory.clone().unwrap_or(recorded), outcomes: Vec::new() };
    let mut current =
        Snapshot { root: Arc::clone(&snapshot.root), status: snapshot.status.clone(), ..*snapshot };
    let ledger = Ledger::new(progress.inventory.clone());
    let runs = jobs::observe(context, &current, prepared, &ledger).await;
    let mut desired = prepared.desired.clone();
    let mut executor = None;
    for _ in 0..MAX_ROUNDS {
        let look = look(context, &current, prepared, &runs, &mut desired, &progress);
        if let Some(record) = &look.plan.record {
            record_ahead(context, &mut current, session, job, &look.evaluation, record.clone()).await?;
            progress.inventory = record.clone();
        }
        if look.plan.steps.is_empty() || progress.outcomes.iter().any(|outcome| outcome.result.is_err()) {
            return finish(context, &current, session, job, progress, look, &runs).await;
        }
        let executor = executor.get_or_insert_with(|| executor_for(context, &snapshot.root.name));
        let done = executor.execute(&prepared.owner, &look.plan, &desired, &progress.inventory).await;
        await_namespace(context, &done).await;
        session.inventory = Some(done.inventory.clone());
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
fn watch_kinds(context: &Context, desired: &[Desired]) {
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
/// leader that has just started would say of every tenant that it is degraded. A watch that does not deliver for long
/// is waited for no more, and then the checklist says what is not observed.
async fn await_watches(context: &Context, session: &mut Session, prepared: &Prepared) {
    let is_watched = |kind: &&Kind| !kind.is_secret() && context.discovery.resolve(kind).is_some();
    let job = jobs::kind();
    let of_jobs = prepared.has_jobs().then_some(&job);
    let of_objects = prepared.desired.iter().map(|object| &object.id.kind);
    let kinds: BTreeSet<&Kind> = of_objects.chain(of_jobs).filter(is_watched).collect();
    let externals = prepared.items.iter().filter_map(|item| item.external.as_ref());
    for kind in externals.map(|external| &external.id.kind) {
        if let Some(served) = context.discovery.resolve(kind) {
            context.foreign.synced(kind, &served.resource, SYNC_PATIENCE).await;
        }
    }
    if context.index.is_synced(kinds.iter().copied()) {
        session.blind_since = None;
        return;
    }
    let since = *session.blind_since.get_or_insert_with(Instant::now);
    context.index.synced(kinds, SYNC_PATIENCE.saturating_sub(since.elapsed())).await;
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
    let view = seen(context, prepared, desired, progress);
    // What the planner would wait for is evidence, and what evidence releases the planner may do: so the plan is made
    // twice, first with everything held back.
    desired.iter_mut().for_each(|object| object.released = false);
    let held = plan(context, prepared, desired, &progress.inventory, &view, true);
    let facts =
        Facts { runs, ledger: &ledger, view: &view, waits: &held.waits, outcomes: &progress.outcomes };
    let evaluation = evaluated(context, snapshot, prepared, &facts);
    // Which runs there are is for the checklist to say.
    let runs = jobs::desired(prepared, &evaluation, &progress.inventory);
    let view = if runs.is_empty() {
        view
    } else {
        desired.extend(runs);
        seen(context, prepared, desired, progress)
    };
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
            // What a person holds keeps what it has, and nothing new begins.
            recorded.is_some_and(|entry| entry.digest.as_deref() == Some(&*object.digest))
        } else {
            object.stage == Stage::Foundation || evaluation.released.contains(&object.item)
        };
    }
    let complete = evaluation.held.is_empty();
    let plan = plan(context, prepared, desired, &progress.inventory, &view, complete);
    Look { view, evaluation, plan }
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
        inventory,
        view,
        scopes: &*context.discovery,
    })
}

fn evaluated(context: &Context, snapshot: &Snapshot, prepared: &Prepared, facts: &Facts<'_>) -> Evaluation {
    let Facts { runs, ledger, view, waits, outcomes } = *facts;
    let application = prepared.items.iter().find(|prepared| prepared.item.application.is_some());
    let binds_late = |claim: &Desired| {
        let class = claim.body.pointer("/spec/storageClassName").and_then(serde_json::Value::as_str);
        class.is_some_and(|class| context.surroundings.binds_late(class))
    };
    let observations =
        Observations { view, ledger, ready_when: &prepared.ready_when, waits_for_consumer: &binds_late };
    let application = application.map(|prepared| prepared.item.name.as_str());
    let mut evidence = evidence(&prepared.desired, application, &observations, waits, outcomes, snapshot.now);
    let dates = prepared.order.dates(snapshot.root.created);
    let signatures = context.sign_offs.of(&snapshot.root.uid);
    let similar = Similar::of(&prepared.order.definitions.accepted());
    let inputs: Vec<ItemInput> = prepared
        .items
        .iter()
        .filter_map(|prepared_item| {
            let PreparedItem { item, skipped, wanted, is_sign_off, job, external, note } = prepared_item;
            let mut proof = evidence.remove(&item.name).unwrap_or_default();
            let digest = match (wanted.as_ref().filter(|_| *is_sign_off), job, external) {
                (Some(wanted), ..) => wanted.digest.clone(),
                (None, Some(job), _) => job.digest.clone(),
                (None, None, Some(external)) => external.digest.clone(),
                (None, None, None) => input_digest(prepared, &item.name),
            };
            if let Some(PreparedExternal { id, until, .. }) = external {
                proof = external_evidence(context, &snapshot.root.name, id, until);
            }
            let run = jobs::input(snapshot, prepared_item, runs, &prepared.owner, ledger);
            if let Some(run) = &run {
                proof.desired += 1;
                proof.live += usize::from(run.made);
            }
            let input = ItemInput::new(item, &dates, digest, proof);
            let signature = wanted.clone().map(|wanted| SignatureInput {
                standing: sign_off::standing(&item.name, &wanted, &signatures),
                wanted,
            });
            let hold = hold(snapshot, prepared, &item.name);
            let usual = context.journal.usual(&similar, &item.name);
            // The schema admits only durations that can be read, so none is left out.
            input.ok().map(|input| ItemInput {
                kind: if *is_sign_off { item::Kind::SignOff } else { input.kind },
                skipped: skipped.clone(),
                signature,
                hold,
                job: run,
                note: note.clone(),
                ..input.learning(usual)
            })
        })
        .collect();
    evaluate_items(snapshot, &inputs)
}

/// A person's word that an item waits, or the journal's, which cannot take in what would come of it.
fn hold(snapshot: &Snapshot, prepared: &Prepared, item: &str) -> Option<Hold> {
    if journal::is_full(&snapshot.status) {
        return Some(Hold::Journal);
    }
    let held = prepared.order.holds.iter().find(|hold| hold.item == item);
    let of_item = held.map(|hold| Hold::Item(hold.reason.clone()));
    of_item.or_else(|| snapshot.root.paused.clone().map(Hold::Subscription))
}

fn evaluate_items(snapshot: &Snapshot, items: &[ItemInput]) -> Evaluation {
    let input = EvaluateInput {
        subscription: &snapshot.root.name,
        items,
        previous: &snapshot.status.checklist,
        retry: snapshot.root.retry.as_deref(),
        observed_retry: snapshot.status.observed_retry.as_deref(),
        is_over: match &snapshot.status.operation {
            Some(operation) => operation.completed_at.is_some(),
            // A tenant from before there were operations has none, and gets none.
            None => snapshot.status.accepted.is_some(),
        },
        now: snapshot.now,
    };
    evaluate(&input).unwrap_or_else(|errors| {
        // The static check refuses such blueprints, so none is ever accepted.
        tracing::error!(subscription = %snapshot.root.name, ?errors, "the blueprint has no order");
        Evaluation::default()
    })
}

/// Digest of the objects an item is made of.
fn input_digest(prepared: &Prepared, item: &str) -> String {
    let digests: Vec<&str> = prepared
        .desired
        .iter()
        .filter(|object| object.item == item)
        .map(|object| object.digest.as_str())
        .collect();
    digest(&serde_json::json!(digests))
}

/// Writes what may come to exist before anything is created: first the finalizer, then the record.
async fn record_ahead(
    context: &Context,
    snapshot: &mut Snapshot,
    session: &mut Session,
    job: &Job,
    evaluation: &Evaluation,
    record: Inventory,
) -> Result<(), WriteError> {
    if let Some(root) = write::finalizer(context, snapshot, true).await? {
        snapshot.root = root;
    }
    let status = report(&ReportInput {
        generation: snapshot.root.generation,
        previous: &snapshot.status,
        verdict: job.verdict(),
        obstacles: &[],
        evaluation: Some(evaluation),
        sizing: job.prepared.sizing.as_ref(),
        pause: snapshot.pause(),
        inventory: Some(record),
        now: snapshot.now,
    });
    if let Some(root) = write::status(context, snapshot, session, status.clone()).await? {
        snapshot.root = root;
    }
    snapshot.status = status;
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
    let known = snapshot.status.inventory.clone().unwrap_or_default();
    let inventory = match tenantry_apply::record::differs_materially(&known, &progress.inventory) {
        true => progress.inventory.clone(),
        // What others wrote is not worth a write; it is kept in memory and goes with the next one.
        false => known,
    };
    let status = report(&ReportInput {
        generation: snapshot.root.generation,
        previous: &snapshot.status,
        verdict: job.verdict(),
        obstacles: &obstacles,
        evaluation: Some(&look.evaluation),
        sizing: job.prepared.sizing.as_ref(),
        pause: snapshot.pause(),
        inventory: Some(inventory),
        now: snapshot.now,
    });
    let mut next = deadline(snapshot, look.evaluation.deadline);
    let failures = progress.outcomes.iter().filter_map(|outcome| outcome.result.as_ref().err());
    let outages =
        failures.filter(|failure| !failure.verdict.is_definitive() && failure.verdict != Refusal::Skipped);
    let mut failed = false;
    for outage in outages {
        failed = true;
        let wait = outage.retry_after.unwrap_or_default().max(again_after(outage.verdict, session.outages));
        next = earlier(next, Some(snapshot.instant + wait));
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
    let busy = status.checklist.iter().any(|entry| entry.state == ItemState::Running);
    let due = session.written.map(|at| at + STATUS_EVERY).filter(|at| busy && *at > snapshot.instant);
    match due {
        // Written a moment ago, and more is coming.
        Some(at) => next = earlier(next, Some(at)),
        None => {
            write::status(context, snapshot, session, status).await?;
            session.inventory = Some(progress.inventory);
            // What was just recorded needs to be kept no longer. What was recorded before and is kept still could not be let go,
            // and waits as after any outage.
            if result_is_new {
                next = earlier(next, Some(snapshot.instant));
            }
        }
    }
    let settled = !busy && !failed;
    if settled {
        session.settle();
    }
    let outcome = match settled {
        true if job.problems.is_empty() => Outcome::Settled,
        true => Outcome::Refused,
        false => Outcome::Waiting,
    };
    Ok((outcome, next))
}

/// A race with another writer is over at once; an outage is not.
fn again_after(verdict: Refusal, outages: u32) -> Duration {
    match verdict {
        Refusal::Contention | Refusal::Precondition | Refusal::AlreadyExists => again_after_race(outages),
        _ => backoff(outages + 1),
    }
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

/// Whether a namespace is that of an earlier subscription of the same name, on its end. One that was kept does not end
/// by itself, and is somebody else's.
fn is_predecessor(prepared: &Prepared, observed: &tenantry_apply::observed::Observed) -> bool {
    observed.deleting
        && observed.subscription.as_deref() == Some(&*prepared.owner.subscription)
        && observed.tenant_id.as_deref() != Some(&*prepared.owner.tenant_id)
}

/// The identities of everything recorded.
fn recorded_ids(inventory: &Inventory, owner: &Owner, context: &Context) -> Vec<ObjectId> {
    tenantry_apply::record::identities(inventory, owner, &*context.discovery)
}

/// The checklist of a tenant whose edited order was refused: what was accepted before, by its evidence.
pub(super) fn kept(context: &Context, snapshot: &Snapshot, session: &Session) -> Option<Evaluation> {
    let accepted = snapshot.status.accepted.as_ref()?;
    let blueprint = context.store.blueprint_of(accepted)?;
    let tenant = snapshot.status.tenant.as_ref()?;
    let owner = Owner {
        tenant_id: tenant.id.as_str().into(),
        subscription: snapshot.root.name.as_str().into(),
        namespace: tenant.namespace.as_str().into(),
    };
    let inventory = session.inventory.clone().or_else(|| snapshot.status.inventory.clone())?;
    let view = context.index.snapshot(recorded_ids(&inventory, &owner, context));
    let items: Vec<ItemInput> = snapshot
        .status
        .checklist
        .iter()
        .filter_map(|entry| {
            let item = blueprint.items.iter().find(|item| item.name == entry.name)?;
            // What others make is not in the record and is looked at as always.
            let evidence = match &item.external {
                Some(action) => {
                    let is_namespaced = |kind: &Kind| context.discovery.scope(kind) != Some(Scope::Cluster);
                    let id = external_id(action, &owner, is_namespaced);
                    let until = Expression::compile(&action.until).ok()?;
                    external_evidence(context, &snapshot.root.name, &id, &until)
                }
                None => recorded_evidence(&inventory, &owner, &view, context, &entry.name),
            };
            ItemInput::kept(item, entry, evidence).ok()
        })
        .collect();
    Some(evaluate_items(snapshot, &items))
}

/// Evidence of an item that waits for somebody else's object.
fn external_evidence(context: &Context, subscription: &str, id: &ObjectId, until: &Expression) -> Evidence {
    let served = context.discovery.resolve(&id.kind);
    let sight = served.map(|served| context.foreign.look(id, &served.resource, subscription));
    super::evidence::external(id, until, sight)
}

/// Evidence by the record alone, for an item that nothing can be rendered for.
fn recorded_evidence(
    inventory: &Inventory,
    owner: &Owner,
    view: &View,
    context: &Context,
    item: &str,
) -> Evidence {
    super::evidence::recorded(inventory, owner, view, &*context.discovery, item)
}
