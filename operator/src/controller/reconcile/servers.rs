//! What a tenant asks for of servers, and what of it waits until it has them. Makes no request.

use super::dereference::Snapshot;
use super::prepare::{Left, Prepared, PreparedItem, group_kind};
use crate::controller::context::Context;
use crate::controller::servers::{Standing, Told, Wish, promised, tenancy};
use jiff::Timestamp;
use tenantry_apply::object::{Desired, Policy};
use tenantry_apply::record::Ledger;
use tenantry_blueprint::baseline::{self, Limits, PlanError};
use tenantry_blueprint::decorate::runs_pods;
use tenantry_checklist::Problem;
use tenantry_checklist::duration;
use tenantry_checklist::item::{self, Evidence, OUT_OF_CAPACITY, SERVERS_OPEN};
use tenantry_checklist::order::Order;
use tenantry_checklist::time::instant;
use tenantry_crds::subscription::ItemState;
use tenantry_crds::suspension::SuspensionScope;
use tenantry_servers::Room;

/// What an order asks for: what its plan promises and, while objects of another plan may stand in the same pool, the larger of
/// both. Nothing where no item of the checklist is about servers.
///
/// # Errors
/// When the plan promises whole servers and nothing would see to them, or its numbers cannot be read.
pub(super) fn wish(
    order: &Order,
    left: &Left,
    items: &[PreparedItem],
    desired: &[Desired],
) -> Result<Option<Wish>, Problem> {
    let plan = &order.definitions.plan.spec;
    if !items.iter().any(|prepared| prepared.item.servers.is_some() && prepared.skipped.is_none()) {
        return match plan.servers.dedicated_nodes {
            None => Ok(None),
            Some(_) => Err(Problem::new(
                "spec.planRef.name",
                "NoServersItem",
                "the plan promises servers of its own, and no item of the blueprint sees to them; use a blueprint that has an \
                 item with the action servers, or another plan",
            )),
        };
    }
    let unreadable = |error: PlanError| Problem::new("spec.planRef.name", "CannotRender", error.to_string());
    let mut amounts = promised(plan).map_err(unreadable)?;
    let mut nodes = plan.servers.dedicated_nodes;
    let (class, kind) = (&plan.servers.class, tenancy(plan));
    for other in &left.plans {
        if other.servers.class == *class && tenancy(other) == kind {
            amounts = amounts.max(promised(other).map_err(unreadable)?);
            nodes = nodes.max(other.servers.dedicated_nodes);
        }
    }
    let limits = Limits::new(plan).map_err(unreadable)?;
    let largest = baseline::largest(desired.iter().map(|object| &*object.body), &limits);
    let of = |resource: &str| largest.get(resource).copied().unwrap_or_default();
    Ok(Some(Wish {
        subscription: order.name.to_string(),
        uid: order.uid.clone(),
        tenant: order.tenant_id.clone(),
        class: class.clone(),
        tenancy: kind,
        amounts,
        largest: Room {
            cpu: of("requests.cpu"),
            memory: of("requests.memory"),
            disk: of("requests.ephemeral-storage"),
            ..Room::default()
        },
        nodes: usize::try_from(nodes.unwrap_or_default()).unwrap_or_default(),
    }))
}

/// How the tenant stands. What it has where it was before is told until it has something where it goes.
pub(super) fn standing(context: &Context, snapshot: &Snapshot, prepared: &Prepared) -> Standing {
    let Some(wish) = &prepared.wish else {
        context.servers.withdraw(&snapshot.root.uid);
        return Standing { granted: true, ..Standing::default() };
    };
    if let Some(grace) = Grace::of(prepared).filter(|grace| grace.ends <= snapshot.now) {
        // What is told first is given back by `leave_others`, when none of its pods is there: nothing is restored by a status that
        // says it has nothing.
        context.servers.withdraw(&snapshot.root.uid);
        let waits = Some(Told::released(&grace.told, grace.since));
        return Standing { granted: true, idle: true, waits, ..Standing::default() };
    }
    let recorded = snapshot.status.tenant.as_ref().is_some_and(|tenant| tenant.id == wish.tenant.as_str());
    let since = waits_since(snapshot, prepared).unwrap_or(snapshot.now);
    let mut standing = context.servers.ask(wish, recorded, since.as_second());
    if !standing.granted && standing.has.is_none() {
        standing.has.clone_from(&snapshot.status.servers);
    }
    Standing { idle: prepared.suspension.compute, ..standing }
}

/// Since when the tenant waits, by its own checklist: a pool whose record is full has not taken it up.
fn waits_since(snapshot: &Snapshot, prepared: &Prepared) -> Option<Timestamp> {
    let mut entries = snapshot.status.checklist.iter();
    let waits = entries.find(|entry| {
        entry.state == ItemState::Waiting
            && entry.reason == OUT_OF_CAPACITY
            && prepared.items.iter().any(|one| one.item.servers.is_some() && one.item.name == entry.name)
    })?;
    Some(instant(&waits.since))
}

/// When a tenant loses its share because it is suspended and runs nothing; nothing where it does not.
pub(super) fn released_at(prepared: &Prepared) -> Option<Timestamp> {
    prepared.wish.as_ref()?;
    Grace::of(prepared).map(|grace| grace.ends)
}

/// For how long a plan keeps the share of a tenant that is suspended.
struct Grace {
    told: String,
    since: Timestamp,
    ends: Timestamp,
}

impl Grace {
    /// From the suspensions that let nothing run. A new one beside an older one prolongs nothing.
    fn of(prepared: &Prepared) -> Option<Self> {
        let told = prepared.order.definitions.plan.spec.servers.suspended_grace.clone()?;
        let stops = |scope: SuspensionScope| scope != SuspensionScope::Network;
        let holds = prepared.suspension.holds.iter().filter(|hold| stops(hold.scope));
        let since = holds.map(|hold| instant(&hold.at)).min()?;
        let ends = since.checked_add(duration::parse(&told).ok()?).ok()?;
        Some(Self { told, since, ends })
    }
}

/// Whether an object waits for servers: what runs pods, and what bounds those that run already. What was written stays as it is.
pub(super) fn keeps_back(standing: &Standing, object: &Desired, ledger: &Ledger) -> bool {
    if standing.granted || standing.idle {
        return false;
    }
    let kind = &object.id.kind;
    let recorded = ledger.entry(&object.id).filter(|entry| entry.uid.is_some());
    let is_as_written = recorded.is_some_and(|entry| entry.digest.as_deref() == Some(&*object.digest));
    let runs = group_kind(kind);
    let bounds = kind.is_namespace() || kind.is("", "ResourceQuota") || kind.is("", "LimitRange");
    match recorded {
        Some(_) if object.policy == Policy::Once || is_as_written => false,
        Some(_) => bounds || runs_pods(&runs),
        None => runs_pods(&runs),
    }
}

/// Evidence of the item that is about servers: one thing more, which is there when the tenant has what it asks for.
pub(super) fn prove(standing: &Standing, proof: &mut Evidence) {
    let is_had = standing.granted && standing.waits.is_none();
    if standing.has.is_some() || !is_had {
        proof.desired += 1;
        proof.live += usize::from(is_had);
    }
    if let Some(told) = &standing.waits {
        proof.waiting = Some(item::Waiting { reason: told.reason.to_owned(), message: told.message.clone() });
    }
}

/// Evidence of an item whose pods wait for servers.
pub(super) fn wait(standing: &Standing, proof: &mut Evidence) {
    if proof.failure.is_none() {
        proof.waiting = proof.waiting.take().or_else(|| waiting(standing));
    }
}

/// What whatever runs pods waits for; nothing where they may run.
pub(super) fn waiting(standing: &Standing) -> Option<item::Waiting> {
    (!standing.granted && !standing.idle).then(|| item::Waiting {
        reason: SERVERS_OPEN.to_owned(),
        message: "its pods wait for their share of the servers; the item that is about servers says what is missing"
            .to_owned(),
    })
}
