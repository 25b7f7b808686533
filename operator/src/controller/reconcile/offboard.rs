//! Taking a tenant away once its subscription is deleted, from the record alone. Needs clients.
//!
//! The policy is read from the API server itself before the first deletion, and every deletion carries a UID. The
//! finalizer goes last, when everything that shall go was seen gone.

use super::dereference::Snapshot;
use super::write::{self, WriteError};
use super::{Next, Outcome, backoff, earlier, jobs, sayings};
use crate::controller::context::Context;
use crate::controller::roots::Root;
use crate::controller::session::Session;
use std::time::Duration;
use tenantry_apply::classify::Verdict as Refusal;
use tenantry_apply::executor::Execution;
use tenantry_apply::object::{Kind, Owner};
use tenantry_apply::plan::{Plan, Removal, Wait, is_removed, plan_removal};
use tenantry_apply::streams::Mode;
use tenantry_apply::wave::lets_in;
use tenantry_blueprint::baseline::manager_binding_name;
use tenantry_checklist::journal;
use tenantry_checklist::report::{ReportInput, Verdict, report};
use tenantry_crds::inventory::{EntryState, Inventory, InventoryEntry};
use tenantry_crds::subscription::DeletionPolicy;

/// After so long a person should look at what holds the end of a tenant up.
const STUCK_AFTER: Duration = Duration::from_secs(600);
/// How long the end of a tenant waits for the journal before its status says so.
const JOURNAL_PATIENCE: Duration = Duration::from_secs(2);
/// Rounds of one run; every round makes the record smaller.
const MAX_ROUNDS: usize = 24;

pub(super) async fn run(
    context: &Context,
    snapshot: &Snapshot,
    session: &mut Session,
) -> Result<(Outcome, Next), WriteError> {
    if !snapshot.root.is_finalized() {
        // Nothing of ours is to be done for it, and others may still hold it.
        return Ok((Outcome::Settled, None));
    }
    let recorded =
        session.inventory.clone().or_else(|| snapshot.status.inventory.clone()).unwrap_or_default();
    let Some(tenant) = &snapshot.status.tenant else {
        // The record is written together with the tenant's identity: without one nothing was ever made.
        write::finalizer(context, snapshot, false).await?;
        return Ok((Outcome::Settled, None));
    };
    let owner = Owner {
        tenant_id: tenant.id.as_str().into(),
        subscription: snapshot.root.name.as_str().into(),
        namespace: tenant.namespace.as_str().into(),
    };
    watch_kinds(context, &recorded);
    // Our own access goes last, once the record says that everything else is gone: without it the API server would
    // not even say any more whether a route is there.
    let is_last = snapshot.status.inventory.as_ref().is_some_and(is_removed);
    let mut policy = policy_of(&snapshot.root);
    let keep = |policy: DeletionPolicy, entry: &InventoryEntry| {
        policy == DeletionPolicy::Retain && (stays(entry) || (!is_last && is_own_access(entry)))
    };
    if !planned(context, &owner, &|entry| keep(policy, entry), &recorded).steps.is_empty() {
        // What was observed may be old. Before anything is destroyed the API server itself is asked.
        let Some(live) = write::live(context, snapshot).await? else { return Ok((Outcome::Gone, None)) };
        if live.deleting_since.is_none() {
            return Ok((Outcome::Settled, None));
        }
        policy = policy_of(&live);
    }
    let keep = |entry: &InventoryEntry| keep(policy, entry);
    let mut recorded = recorded;
    if jobs::keeps_pods(&snapshot.status) && has_access(&recorded) {
        // While a Job is there it may start a pod that is kept, and without the tenant's own access nobody could let it go.
        if policy == DeletionPolicy::Delete {
            recorded = remove(context, &owner, &|entry| !jobs::is_job(entry), recorded, session).await.0;
        }
        let let_go = jobs::let_go_all(context, &owner).await;
        let is_over = !recorded.objects.iter().any(jobs::is_job) || policy != DeletionPolicy::Delete;
        if let Err(error) = &let_go {
            tracing::warn!(subscription = %snapshot.root.name, %error, "pods of jobs cannot be let go; trying again");
        }
        if let_go.is_err() || !is_over {
            session.outages = session.outages.saturating_add(1);
            return Ok((Outcome::Waiting, Some(snapshot.instant + backoff(session.outages))));
        }
    }
    let (inventory, plan, done) = remove(context, &owner, &keep, recorded, session).await;
    let is_removed = is_removed(&inventory);
    let is_over = is_removed && !inventory.objects.iter().any(is_own_access);
    let unrecorded = is_over && !is_recorded(context, snapshot, policy).await;
    if is_over && !unrecorded {
        sayings::remove(context, snapshot).await?;
        write::finalizer(context, snapshot, false).await?;
        tracing::info!(subscription = %snapshot.root.name, ?policy, "ended");
        return Ok((Outcome::Settled, None));
    }
    let blockers = blockers(&plan, &done);
    let since = snapshot.root.deleting_since.unwrap_or(snapshot.now);
    let waited = Duration::try_from(snapshot.now.duration_since(since)).unwrap_or_default();
    let status = report(&ReportInput {
        generation: snapshot.root.generation,
        previous: &snapshot.status,
        verdict: Verdict::Terminating { blockers: &blockers, stuck: waited >= STUCK_AFTER, unrecorded },
        obstacles: &[],
        evaluation: None,
        sizing: None,
        pause: snapshot.pause(),
        plan: None,
        suspension: None,
        inventory: Some(inventory),
        now: snapshot.now,
    });
    write::status(context, snapshot, session, status).await?;
    if unrecorded {
        // Woken when it is recorded.
        return Ok((Outcome::Waiting, None));
    }
    if is_removed {
        return Ok((Outcome::Waiting, Some(snapshot.instant)));
    }
    Ok((Outcome::Waiting, next(snapshot, session, &done, waited)))
}

/// Whether the journal has the tenant's history, its end included.
async fn is_recorded(context: &Context, snapshot: &Snapshot, policy: DeletionPolicy) -> bool {
    let mut facts = journal::facts(&snapshot.status);
    facts.extend(journal::ending(&snapshot.status, policy, snapshot.now));
    context.journal.record(&snapshot.root, facts, JOURNAL_PATIENCE).await
}

/// Asks for watches of everything that is recorded.
pub(super) fn watch_kinds(context: &Context, inventory: &Inventory) {
    for entry in &inventory.objects {
        if let Some(kind) = Kind::parse(&entry.kind)
            && let Some(served) = context.discovery.resolve(&kind)
        {
            context.streams.ensure(&kind, &served.resource, Mode::Metadata);
        }
    }
}

/// A spec that cannot be read says nothing about the policy, and keeping is what can be undone.
fn policy_of(root: &Root) -> DeletionPolicy {
    root.spec().map_or(DeletionPolicy::Retain, |spec| spec.deletion_policy)
}

/// What can be done now.
fn planned(
    context: &Context,
    owner: &Owner,
    keep: &dyn Fn(&InventoryEntry) -> bool,
    inventory: &Inventory,
) -> Plan {
    let ids = tenantry_apply::record::identities(inventory, owner, &*context.discovery);
    let view = context.index.snapshot(ids);
    plan_removal(&Removal { owner, inventory, view: &view, scopes: &*context.discovery, keep })
}

/// Plans and executes until nothing can be done at once.
async fn remove(
    context: &Context,
    owner: &Owner,
    keep: &(dyn Fn(&InventoryEntry) -> bool + Sync),
    recorded: Inventory,
    session: &mut Session,
) -> (Inventory, Plan, Execution) {
    let mut done = Execution { outcomes: Vec::new(), inventory: recorded };
    let mut plan = Plan::default();
    for _ in 0..MAX_ROUNDS {
        plan = planned(context, owner, keep, &done.inventory);
        if plan.steps.is_empty() || done.outcomes.iter().any(|outcome| outcome.result.is_err()) {
            break;
        }
        done = context.executor.execute(owner, &plan, &[], &done.inventory).await;
        session.inventory = Some(done.inventory.clone());
    }
    (done.inventory.clone(), plan, done)
}

/// Whether an object stays when the tenant is kept: everything but what lets people and traffic in.
fn stays(entry: &InventoryEntry) -> bool {
    Kind::parse(&entry.kind).is_none_or(|kind| !lets_in(&kind))
}

/// Whether an object is the binding that gives the controller its rights in the tenant's namespace.
fn is_own_access(entry: &InventoryEntry) -> bool {
    let is_binding = |kind: Kind| kind.is("rbac.authorization.k8s.io", "RoleBinding");
    entry.name == manager_binding_name() && Kind::parse(&entry.kind).is_some_and(is_binding)
}

/// Whether the controller has its rights in the tenant's namespace still, so that it may ask for something there.
fn has_access(inventory: &Inventory) -> bool {
    let is_live = |entry: &&InventoryEntry| entry.state == EntryState::Live;
    let is_namespace =
        |entry: &InventoryEntry| Kind::parse(&entry.kind).is_some_and(|kind| kind.is_namespace());
    let mut live = inventory.objects.iter().filter(is_live);
    live.clone().any(is_own_access) && live.any(is_namespace)
}

/// What is not gone yet and why, in a fixed order.
fn blockers(plan: &Plan, done: &Execution) -> Vec<String> {
    let waiting = plan.waits.iter().filter_map(|waiting| {
        let why = match waiting.wait {
            Wait::Terminating => "its deletion was accepted and is not finished",
            Wait::LateKind => "its kind is defined and the API server does not serve it",
            Wait::NameConflict => "an object of that name exists that is not this tenant's; it is left alone",
            _ => return None,
        };
        Some(format!("{} {}: {why}", waiting.id.kind.name(), waiting.id.name))
    });
    let failed = done.outcomes.iter().filter_map(|outcome| {
        let failure = outcome.result.as_ref().err()?;
        Some(format!("{} {}: {}", outcome.id.kind.name(), outcome.id.name, failure.message))
    });
    let mut blockers: Vec<String> = waiting.chain(failed).collect();
    blockers.sort();
    blockers.dedup();
    blockers
}

fn next(snapshot: &Snapshot, session: &mut Session, done: &Execution, waited: Duration) -> Next {
    let mut next = (waited < STUCK_AFTER).then(|| snapshot.instant + (STUCK_AFTER - waited));
    let failed = done
        .outcomes
        .iter()
        .any(|outcome| outcome.result.as_ref().is_err_and(|failure| failure.verdict != Refusal::Skipped));
    session.outages = if failed { session.outages.saturating_add(1) } else { 0 };
    if failed {
        next = earlier(next, Some(snapshot.instant + backoff(session.outages)));
    }
    next
}
