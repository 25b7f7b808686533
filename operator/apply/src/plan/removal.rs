//! Taking a tenant away, from its inventory alone: no template is rendered for it.
//!
//! What lies in a namespace that goes away is not deleted one by one: cluster-scoped objects go first, then the
//! namespace, and when that is gone so is the rest. Objects of custom kinds are the exception: for a moment after the API
//! server has started it does not say that it serves them, and a namespace that ends just then leaves them behind for ever
//! (found by the fault harness), where nobody has rights over them any more. Where the namespace is kept, the others go from the last wave to
//! the first, each wave gone before the next.

use tenantry_crds::inventory::{EntryState, Inventory, InventoryEntry};

use super::{Action, Plan, Step, View, Wait, Waiting, dispose, identity, unserved};
use crate::index::Seen;
use crate::object::{Kind, ObjectId, Owner, Stage};
use crate::scope::{Scope, Scopes};
use crate::wave::{Wave, rank};

/// Everything a removal is planned from.
pub struct Removal<'a> {
    /// Whose objects.
    pub owner: &'a Owner,
    /// What was recorded.
    pub inventory: &'a Inventory,
    /// What exists.
    pub view: &'a dyn View,
    /// What the cluster serves.
    pub scopes: &'a dyn Scopes,
    /// Which entries the policy leaves in place.
    pub keep: &'a dyn Fn(&InventoryEntry) -> bool,
}

/// One recorded object on its way out.
struct Leaving<'a> {
    entry: &'a InventoryEntry,
    id: ObjectId,
    scope: Option<Scope>,
    is_custom: bool,
    rank: u8,
}

/// Plans the next steps of a removal. It is complete when the inventory holds nothing but what is kept.
#[must_use]
pub fn plan_removal(input: &Removal<'_>) -> Plan {
    let mut plan = Plan::default();
    let mut leaving = Vec::new();
    for entry in &input.inventory.objects {
        let Some(kind) = Kind::parse(&entry.kind) else { continue };
        let scope = input.scopes.scope(&kind);
        let id = identity(&kind, entry, scope, input.owner);
        match ((input.keep)(entry), entry.state) {
            (true, EntryState::Kept) => {}
            (true, _) => plan.steps.push(step(&id, Action::Keep)),
            // Never confirmed and never watched: without a uid there is nothing to delete it by.
            (false, EntryState::Kept) if entry.uid.is_none() && !ends_with_namespace(input) => {}
            (false, _) => {
                let is_custom = input.scopes.is_custom(&kind);
                leaving.push(Leaving { entry, rank: rank(&kind), id, scope, is_custom });
            }
        }
    }
    let namespace = input.inventory.objects.iter().find(|entry| is_namespace(entry, input.owner));
    match namespace {
        Some(entry) if !(input.keep)(entry) => with_namespace(input, &leaving, &mut plan),
        Some(_) => one_by_one(input, &leaving, &mut plan),
        // Recorded first and forgotten only when gone: without it nothing of ours is in a namespace of that name.
        None => without_namespace(input, &leaving, &mut plan),
    }
    plan.steps.sort_by_key(|step| step.wave);
    plan
}

/// Whether a removal has nothing left to do: every entry is kept.
#[must_use]
pub fn is_removed(inventory: &Inventory) -> bool {
    inventory.objects.iter().all(|entry| entry.state == EntryState::Kept)
}

/// Whether the namespace goes away, and with it everything in it.
fn ends_with_namespace(input: &Removal<'_>) -> bool {
    input
        .inventory
        .objects
        .iter()
        .find(|entry| is_namespace(entry, input.owner))
        .is_none_or(|entry| !(input.keep)(entry))
}

fn with_namespace(input: &Removal<'_>, leaving: &[Leaving<'_>], plan: &mut Plan) {
    let is_ours = |one: &&Leaving<'_>| is_namespace(one.entry, input.owner);
    // Nobody can say where their objects are, and in a moment everybody can.
    let late = leaving.iter().filter(|one| one.scope.is_none() && input.scopes.is_late(&one.id.kind));
    let late: Vec<Waiting> = late.map(|one| Waiting { id: one.id.clone(), wait: Wait::LateKind }).collect();
    if !late.is_empty() {
        plan.waits.extend(late);
        return;
    }
    let cluster: Vec<&Leaving<'_>> =
        leaving.iter().filter(|one| one.scope == Some(Scope::Cluster)).filter(|one| !is_ours(one)).collect();
    if !last_wave(input, &cluster, plan) || !customs(input, leaving, plan) {
        return;
    }
    for namespace in leaving.iter().filter(is_ours) {
        let confirmed = match (input.view.see(&namespace.id), &namespace.entry.uid) {
            // The end of a tenant is confirmed by the API server itself: a namespace that lost our label while it
            // ends is out of the index and still there.
            (Seen::Absent, Some(uid)) => Ok(Action::Delete { uid: uid.clone() }),
            (seen, _) => dispose(namespace.entry, seen, input.owner),
        };
        take(plan, namespace, confirmed);
    }
}

/// Steps for objects of custom kinds that are seen in the namespace; true when all of them are gone or on their way out. What
/// is not seen goes with the namespace, or went with it: our rights in there may be gone as well. Whatever holds up the end of
/// one is no reason to keep the rest.
fn customs(input: &Removal<'_>, leaving: &[Leaving<'_>], plan: &mut Plan) -> bool {
    let mut all_end = true;
    for one in leaving.iter().filter(|one| one.is_custom && one.scope == Some(Scope::Namespaced)) {
        let seen = input.view.see(&one.id);
        if seen == Seen::Absent {
            continue;
        }
        let action = dispose(one.entry, seen, input.owner);
        all_end &= matches!(action, Ok(Action::Forget) | Err(Wait::Terminating));
        take(plan, one, action);
    }
    all_end
}

fn one_by_one(input: &Removal<'_>, leaving: &[Leaving<'_>], plan: &mut Plan) {
    last_wave(input, &leaving.iter().collect::<Vec<_>>(), plan);
}

fn without_namespace(input: &Removal<'_>, leaving: &[Leaving<'_>], plan: &mut Plan) {
    let (cluster, namespaced): (Vec<_>, Vec<_>) =
        leaving.iter().partition(|one| one.scope == Some(Scope::Cluster));
    last_wave(input, &cluster, plan);
    plan.steps.extend(namespaced.iter().map(|one| step(&one.id, Action::Forget)));
}

/// Steps for the highest wave among these; true when there is none left.
fn last_wave(input: &Removal<'_>, leaving: &[&Leaving<'_>], plan: &mut Plan) -> bool {
    let Some(highest) = leaving.iter().map(|one| one.rank).max() else { return true };
    for one in leaving.iter().filter(|one| one.rank == highest) {
        let action = match one.scope {
            None => unserved(&one.id.kind, input.scopes),
            Some(_) => dispose(one.entry, input.view.see(&one.id), input.owner),
        };
        take(plan, one, action);
    }
    false
}

fn take(plan: &mut Plan, leaving: &Leaving<'_>, action: Result<Action, Wait>) {
    match action {
        Ok(action) => plan.steps.push(step(&leaving.id, action)),
        Err(wait) => plan.waits.push(Waiting { id: leaving.id.clone(), wait }),
    }
}

fn step(id: &ObjectId, action: Action) -> Step {
    let wave = Wave { stage: Stage::Route, rank: u8::MAX - rank(&id.kind) };
    Step { wave, id: id.clone(), gated: false, action }
}

fn is_namespace(entry: &InventoryEntry, owner: &Owner) -> bool {
    entry.kind == "v1/Namespace" && entry.name == *owner.namespace
}
