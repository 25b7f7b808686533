//! The snapshot that a run works on, and the order it amounts to. Makes no request.

use super::plan_change::Change;
use super::prepare::{Left, Prepared, PreparedJob, Workshop};
use crate::controller::context::Context;
use crate::controller::roots::Root;
use crate::controller::session::Session;
use serde_json::{Map, Value};
use std::sync::{Arc, PoisonError};
use tenantry_apply::object::Owner;
use tenantry_blueprint::baseline::ServiceAccount;
use tenantry_checklist::Problem;
use tenantry_checklist::access::TenantId;
use tenantry_checklist::hosts::Host;
use tenantry_checklist::job;
use tenantry_checklist::order::{self, Order, OrderInput};
use tenantry_checklist::plan_change;
use tenantry_checklist::report::Pause;
use tenantry_checklist::select::{Catalogue, Definitions, Moves, SelectInput, select};
use tenantry_checklist::suspension::Effect;
use tenantry_crds::blueprint::Item;
use tenantry_crds::{TenantSubscriptionSpec, TenantSubscriptionStatus};
use tokio::time::Instant;

/// What a run works on.
pub(crate) struct Snapshot {
    pub(crate) root: Arc<Root>,
    /// The status; empty if it cannot be read.
    pub(crate) status: TenantSubscriptionStatus,
    pub(super) status_is_unreadable: bool,
    /// The present, by the calendar and by the monotonic clock.
    pub(crate) now: jiff::Timestamp,
    pub(crate) instant: Instant,
    /// Whether what is wished differs from what was last accepted.
    pub(crate) changes_wait: bool,
}

// === impl Snapshot ===

impl Snapshot {
    /// Whose the objects of the tenant are, once it has an identity on record.
    pub(crate) fn owner(&self) -> Option<Owner> {
        let tenant = self.status.tenant.as_ref()?;
        Some(Owner {
            tenant_id: tenant.id.as_str().into(),
            subscription: self.root.name.as_str().into(),
            namespace: tenant.namespace.as_str().into(),
        })
    }

    /// That a person paused the subscription.
    pub(crate) fn pause(&self) -> Option<Pause<'_>> {
        let reason = self.root.paused.as_deref()?;
        Some(Pause { reason, changes_wait: self.changes_wait })
    }
}

/// Takes the snapshot; `None` when the subscription is gone or is another one by now.
pub(crate) fn dereference(context: &Context, name: &str, uid: &str) -> Option<Snapshot> {
    let root = context.roots.get(name).filter(|root| root.uid == uid)?;
    let status = root.status();
    let (status_is_unreadable, status) = (status.is_err(), status.unwrap_or_default());
    // Only who is paused needs to know; for everybody else changes do not wait.
    let changes_wait = root.paused.is_some()
        && root.spec().ok().and_then(|spec| as_accepted(spec, &status)) != status.accepted_order;
    let (now, instant) = (jiff::Timestamp::now(), Instant::now());
    Some(Snapshot { root, status, status_is_unreadable, now, instant, changes_wait })
}

/// An order as a status would have it, where the change to another plan that it asks for is on record.
fn as_accepted(mut spec: TenantSubscriptionSpec, status: &TenantSubscriptionStatus) -> Option<String> {
    if let Some(plan) = status.plan.as_ref().filter(|plan| plan.pending.as_ref() == Some(&spec.plan_ref.name))
    {
        spec.plan_ref.name.clone_from(&plan.current);
    }
    serde_json::to_string(&spec).ok()
}

/// What a subscription amounts to.
pub(crate) struct Resolved {
    /// The order with everything that shall exist for it: as it is wished, or as it was last accepted.
    pub(crate) prepared: Option<Arc<Prepared>>,
    /// Every problem of what is wished, each with its field, reason and remedy; empty when it is accepted.
    pub(crate) problems: Vec<Problem>,
}

/// Resolves what is wished. A subscription that is paused stays on what was accepted, and so does a tenant whose
/// edited order is refused, on the revisions it runs.
pub(super) fn resolve(
    context: &Context,
    snapshot: &Snapshot,
    session: &mut Session,
    change: &Change,
) -> Resolved {
    if snapshot.root.paused.is_some()
        && let Some(prepared) = accepted_before(context, snapshot, session)
    {
        return Resolved { prepared: Some(prepared), problems: Vec::new() };
    }
    match wished(context, snapshot, session, change) {
        Ok(prepared) => Resolved { prepared: Some(prepared), problems: Vec::new() },
        Err(problems) => Resolved { prepared: accepted_before(context, snapshot, session), problems },
    }
}

fn accepted_before(context: &Context, snapshot: &Snapshot, session: &mut Session) -> Option<Arc<Prepared>> {
    let spec = serde_json::from_str(snapshot.status.accepted_order.as_deref()?).ok()?;
    let stay = Moves::default();
    match prepare(context, snapshot, session, &spec, stay) {
        Ok(prepared) => Some(prepared),
        Err(problems) => {
            let name = &snapshot.root.name;
            tracing::warn!(subscription = %name, ?problems, "what was accepted cannot be rendered any more");
            None
        }
    }
}

fn wished(
    context: &Context,
    snapshot: &Snapshot,
    session: &mut Session,
    change: &Change,
) -> Result<Arc<Prepared>, Vec<Problem>> {
    if snapshot.status_is_unreadable {
        return Err(vec![Problem::new(
            "status",
            "StatusUnreadable",
            "the status holds something this version cannot read, so nothing is touched; run the version that wrote it, \
             or restore the status",
        )]);
    }
    let mut spec = snapshot.root.spec().map_err(|error| {
        vec![Problem::new(
            "spec",
            "SpecUnreadable",
            format!("cannot be read: {error}; correct the field it names"),
        )]
    })?;
    if !change.forbidden.is_empty() {
        return Err(change.forbidden.clone());
    }
    if let Some(current) = &change.instead {
        spec.plan_ref.name.clone_from(current);
    }
    let moves = context.mover.turns(&snapshot.root, &context.store, &context.roots, snapshot.now);
    prepare(context, snapshot, session, &spec, moves).map_err(|problems| change.with(problems))
}

/// What a tenant would have under an order, as if nothing were suspended. Nothing is kept of it.
///
/// # Errors
/// Every problem of the order.
pub(super) fn trial(
    context: &Context,
    snapshot: &Snapshot,
    spec: &TenantSubscriptionSpec,
) -> Result<Prepared, Vec<Problem>> {
    let Some(tenant) = &snapshot.status.tenant else { return Err(Vec::new()) };
    let (order, outputs) = order_of(context, snapshot, spec, &tenant_id_of(&tenant.id)?)?;
    render(context, order, outputs, Effect::default(), &Left::default())
}

fn prepare(
    context: &Context,
    snapshot: &Snapshot,
    session: &mut Session,
    spec: &TenantSubscriptionSpec,
    moves: Moves,
) -> Result<Arc<Prepared>, Vec<Problem>> {
    let selection = SelectInput { spec, accepted: snapshot.status.accepted.as_ref(), moves };
    let definitions = select(&selection, &*context.store)?;
    let tenant_id = tenant_id(snapshot, session)?;
    let resolve =
        |keeps: &dyn Fn(&Order) -> bool| claim(context, snapshot, spec, &definitions, &tenant_id, keeps);
    let surroundings = context.surroundings.generation();
    let revision = definitions.plan.revision.to_string();
    let left = left(&*context.store, &snapshot.status, &revision);
    let outputs = job::outputs(&definitions.blueprint.spec.items, &snapshot.status.checklist);
    let suspension = Effect::of(&context.suspensions.of(&snapshot.root.uid));
    let known = session.prepared.clone();
    let is_known = |order: &Order| {
        known.as_ref().is_some_and(|prepared| {
            prepared.order.is_same(order)
                && prepared.surroundings == surroundings
                && prepared.outputs == outputs
                && prepared.suspension == suspension
                && prepared.plans_left == left.revisions
        })
    };
    let order = resolve(&is_known)?;
    if let (true, Some(prepared)) = (is_known(&order), &known) {
        return Ok(Arc::clone(prepared));
    }
    let prepared = Arc::new(render(context, order, outputs.clone(), suspension.clone(), &left)?);
    // Only now is it known that the order can be carried out. Until here somebody else was free to claim its hosts.
    resolve(&|_| true)?;
    session.prepared = Some(Arc::clone(&prepared));
    Ok(prepared)
}

/// The order that was accepted last, on the revisions that the tenant runs, and what its jobs found.
///
/// # Errors
/// Every problem that it has by now.
pub(super) fn accepted_order(
    context: &Context,
    snapshot: &Snapshot,
    session: &mut Session,
) -> Result<(Order, Map<String, Value>), Vec<Problem>> {
    let spec = snapshot.status.accepted_order.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let spec: TenantSubscriptionSpec = spec.ok_or_else(|| {
        let message = "holds no order that this version can read; restore the status";
        vec![Problem::new("status.acceptedOrder", "StatusUnreadable", message)]
    })?;
    order_of(context, snapshot, &spec, &tenant_id(snapshot, session)?)
}

/// An order on the revisions that the tenant runs, and what its jobs found. No host is kept for it.
fn order_of(
    context: &Context,
    snapshot: &Snapshot,
    spec: &TenantSubscriptionSpec,
    tenant_id: &TenantId,
) -> Result<(Order, Map<String, Value>), Vec<Problem>> {
    let accepted = snapshot.status.accepted.as_ref();
    let definitions = select(&SelectInput { spec, accepted, moves: Moves::default() }, &*context.store)?;
    let order = claim(context, snapshot, spec, &definitions, tenant_id, &|_| false)?;
    let outputs = job::outputs(&definitions.blueprint.spec.items, &snapshot.status.checklist);
    Ok((order, outputs))
}

/// The job that an item runs which is none of the blueprint's.
///
/// # Errors
/// Why there is none, for people.
pub(super) fn render_job(context: &Context, prepared: &Prepared, item: &Item) -> Result<PreparedJob, String> {
    with_workshop(context, |workshop| workshop.job(&prepared.order, prepared.outputs.clone(), item))
}

/// Everything that shall exist for an order while these suspensions hold.
///
/// # Errors
/// Every problem, each with its field, reason and remedy.
pub(super) fn render(
    context: &Context,
    order: Order,
    outputs: Map<String, Value>,
    suspension: Effect,
    left: &Left,
) -> Result<Prepared, Vec<Problem>> {
    with_workshop(context, |workshop| workshop.prepare(order, outputs, suspension, left))
}

fn with_workshop<T>(context: &Context, work: impl FnOnce(&Workshop<'_>) -> T) -> T {
    let workshop = Workshop {
        account: ServiceAccount {
            namespace: context.config.namespace.clone(),
            name: context.config.service_account.clone(),
        },
        compiler: &context.compiler,
        discovery: &context.discovery,
        rights: &context.surroundings.rights(),
        surroundings: context.surroundings.generation(),
        plans: &|| context.store.plans_on_offer(),
    };
    work(&workshop)
}

/// Plans whose objects may still stand beside an order that was accepted.
pub(super) fn left_of(context: &Context, snapshot: &Snapshot, order: &Order) -> Left {
    left(&*context.store, &snapshot.status, &order.definitions.accepted().plan)
}

/// Plans whose objects may still stand when a tenant goes to this revision.
fn left(catalogue: &impl Catalogue, status: &TenantSubscriptionStatus, next: &str) -> Left {
    let revisions = plan_change::leaving(status.plan.as_ref(), status.accepted.as_ref(), next);
    let plans = revisions.iter().filter_map(|revision| catalogue.plan(&revision.parse().ok()?)).collect();
    Left { revisions, plans }
}

fn tenant_id_of(id: &str) -> Result<TenantId, Vec<Problem>> {
    id.parse().map_err(|error| {
        vec![Problem::new("status.tenant.id", "StatusUnreadable", format!("{error}; restore the status"))]
    })
}

/// The tenant's identity: the recorded one, else one that is made now and recorded before anything is created.
fn tenant_id(snapshot: &Snapshot, session: &mut Session) -> Result<TenantId, Vec<Problem>> {
    if let Some(tenant) = &snapshot.status.tenant {
        return tenant_id_of(&tenant.id);
    }
    if let Some(id) = &session.tenant_id {
        return Ok(id.clone());
    }
    let mut bytes = [0; 10];
    getrandom::fill(&mut bytes).map_err(|error| {
        vec![Problem::new(
            "status.tenant.id",
            "NoRandomness",
            format!("the system gives no random bytes: {error}"),
        )]
    })?;
    let id = TenantId::from_random(bytes);
    session.tenant_id = Some(id.clone());
    Ok(id)
}

/// Resolves an order while nobody else can claim a host, and keeps its claims if `keeps` says so.
fn claim(
    context: &Context,
    snapshot: &Snapshot,
    spec: &TenantSubscriptionSpec,
    definitions: &Definitions,
    tenant_id: &TenantId,
    keeps: &dyn Fn(&Order) -> bool,
) -> Result<Order, Vec<Problem>> {
    let wished: Vec<Host> = spec.network.hosts.iter().filter_map(|host| host.parse().ok()).collect();
    let recorded = &snapshot.status.hosts;
    let uid = &snapshot.root.uid;
    let mut claims = context.claims.lock().unwrap_or_else(PoisonError::into_inner);
    claims.set(uid, recorded, &wished);
    let order = order::resolve(&OrderInput {
        name: &snapshot.root.name,
        uid,
        spec,
        definitions,
        tenant_id,
        claims: &claims,
        recorded_hosts: recorded,
    });
    if order.as_ref().is_ok_and(keeps) {
        // From here on they are as good as recorded: no other order of this process may have them.
        let all = tenantry_checklist::hosts::recorded(recorded, &wished);
        claims.set(uid, &all, &[]);
    } else {
        claims.set(uid, recorded, &[]);
    }
    order
}
