//! The planner: what has to be done so that a tenant's objects are as desired; no client or clock.
//!
//! It compares three things: what shall exist, what the index says exists, and what the inventory says was made.
//!
//! - What is new is recorded before it is created, and created by POST: nothing that exists is ever adopted by name.
//! - What exists is ours by the uid in the inventory, or, while its creation is unconfirmed, by our label with the
//!   tenant's random id.
//! - What is as sent and has not drifted costs nothing.
//! - What is no longer desired is deleted only if it is in the inventory, only with its uid, and only when the render
//!   was complete. Claims and Secrets are kept: they hold what cannot be made again.
//!
//! Executing a plan and planning again gives an empty plan.

use tenantry_crds::inventory::{EntryState, Inventory, InventoryEntry};

use crate::index::Seen;
use crate::object::{Desired, Kind, ObjectId, Owner, Stage};
use crate::observed::Observed;
use crate::record::{Ledger, MAX_OBJECTS, identity};
use crate::scope::{Scope, Scopes};
use crate::token::{Baseline, Drift};
use crate::wave::{Wave, lets_in, rank, wave};

mod removal;
#[cfg(test)]
mod tests;

pub use removal::{Removal, is_removed, plan_removal};

/// What the index says, object by object.
pub trait View {
    /// What is known of one object.
    fn see(&self, id: &ObjectId) -> Seen;
}

/// Everything a plan is made from.
pub struct Input<'a> {
    /// Whose objects.
    pub owner: &'a Owner,
    /// Digest of the accepted order; an inventory of another one is extended before anything is created.
    pub order: &'a str,
    /// What shall exist, released or not.
    pub desired: &'a [Desired],
    /// Whether `desired` is everything: only then may anything be deleted.
    pub complete: bool,
    /// What is not desired and goes even so: what lets people in while nobody shall get in.
    pub leaving: &'a [ObjectId],
    /// What was recorded.
    pub inventory: &'a Inventory,
    /// What exists.
    pub view: &'a dyn View,
    /// What the cluster serves.
    pub scopes: &'a dyn Scopes,
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The inventory to persist before anything else; absent when the recorded one covers the plan.
    pub record: Option<Inventory>,
    /// The steps, in the order of their waves.
    pub steps: Vec<Step>,
    /// What cannot be done yet, and why.
    pub waits: Vec<Waiting>,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// When.
    pub wave: Wave,
    /// With which object.
    pub id: ObjectId,
    /// Whether it is skipped when a step it depends on failed: new objects and changed ones depend on the stages before theirs (see
    /// [`must_stand`]), most deletions on everything; what exists is repaired regardless.
    pub gated: bool,
    /// What.
    pub action: Action,
}

/// What to do with one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// POST it.
    Create,
    /// Server-side apply with this uid. Absent from the index it may only have lost its label: if the answer says that
    /// it is gone, it is created.
    Apply {
        /// UID of the object that is meant.
        uid: String,
        /// Why.
        why: Cause,
    },
    /// GET it and repair what differs.
    Compare {
        /// UID of the object that is meant.
        uid: String,
    },
    /// DELETE it with this uid.
    Delete {
        /// UID of the object that is meant.
        uid: String,
    },
    /// Leave it in place and say so in the record.
    Keep,
    /// Take it out of the record: it is not there.
    Forget,
}

/// Why an object is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The intent changed.
    Changed,
    /// Somebody took a field of ours.
    Drifted,
    /// It exists and what was sent is not recorded: a creation whose answer was lost.
    Unrecorded,
    /// It is not among the objects with our label: deleted, or the label was stripped.
    Missing,
}

/// Something that cannot be done yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The object.
    pub id: ObjectId,
    /// What it waits for.
    pub wait: Wait,
}

/// What an object waits for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Wait {
    /// Its item's dependencies.
    Release,
    /// The stage named stands first.
    Stage(Stage),
    /// The watch of its kind.
    Sync,
    /// Its own deletion, which others finish.
    Terminating,
    /// The cluster to serve its kind.
    Kind {
        /// Whether the blueprint can do without.
        optional: bool,
    },
    /// The cluster to serve its kind again, which is defined.
    LateKind,
    /// A person: an object of that name exists that we did not make.
    NameConflict,
    /// A person: the inventory is full.
    InventoryFull,
}

// === impl Step ===

impl Step {
    /// Whether an object that exists gets another content. That waits for what fails before it, such as more room, and not for what
    /// a person holds back.
    fn is_another_intent(&self) -> bool {
        matches!(self.action, Action::Apply { why: Cause::Changed, .. })
    }
}

/// Makes the plan.
#[must_use]
pub fn plan(input: &Input<'_>) -> Plan {
    let mut planner = Planner::new(input);
    for desired in input.desired {
        planner.tend(desired);
    }
    planner.gate();
    if input.complete || !input.leaving.is_empty() {
        planner.prune();
    }
    planner.finish()
}

struct Planner<'a> {
    input: &'a Input<'a>,
    ledger: Ledger,
    plan: Plan,
    /// Desired objects that do not stand and get no step that makes them.
    unmet: Vec<Wave>,
    /// The inventory as recorded, when it has no room for all that is desired.
    full: Option<Ledger>,
}

impl<'a> Planner<'a> {
    fn new(input: &'a Input<'a>) -> Self {
        let recorded = Ledger::new(input.inventory.clone());
        let mut planner =
            Self { input, ledger: recorded, plan: Plan::default(), unmet: Vec::new(), full: None };
        if input.desired.iter().all(|desired| planner.ledger.holds(&desired.id)) {
            return planner;
        }
        let mut superset = planner.ledger.clone();
        input.desired.iter().for_each(|desired| superset.add(desired));
        superset.set_order(input.order);
        if superset.inventory().objects.len() <= MAX_OBJECTS {
            planner.plan.record = Some(superset.inventory().clone());
        } else {
            planner.full = Some(planner.ledger);
        }
        planner.ledger = superset;
        planner
    }

    /// Decides about one desired object.
    fn tend(&mut self, desired: &Desired) {
        let wave = wave(&desired.id.kind, desired.stage);
        let seen = self.input.view.see(&desired.id);
        match self.decide(desired, seen) {
            Ok(None) => {}
            Ok(Some(action)) => {
                let gated = match &action {
                    Action::Create => true,
                    Action::Apply { why, .. } => matches!(why, Cause::Missing | Cause::Changed),
                    Action::Compare { .. } | Action::Delete { .. } | Action::Keep | Action::Forget => false,
                };
                self.plan.steps.push(Step { wave, id: desired.id.clone(), gated, action });
            }
            Err(wait) => {
                // What the cluster does not serve and the blueprint can do without holds nothing up, nor does what waits for
                // something that is not the tenant's.
                if wait != (Wait::Kind { optional: true }) && !desired.aside {
                    self.unmet.push(wave);
                }
                self.plan.waits.push(Waiting { id: desired.id.clone(), wait });
            }
        }
    }

    /// The action for a desired object, nothing when it is as it should be, or why it has to wait.
    fn decide(&self, desired: &Desired, seen: Seen) -> Result<Option<Action>, Wait> {
        if self.input.scopes.scope(&desired.id.kind).is_none() {
            return Err(Wait::Kind { optional: desired.optional });
        }
        let Some(entry) = self.ledger.entry(&desired.id) else { return Err(Wait::InventoryFull) };
        let is_full = self.full.as_ref().is_some_and(|recorded| !recorded.holds(&desired.id));
        match seen {
            Seen::NotSynced => Err(Wait::Sync),
            Seen::Unwatched | Seen::Absent if entry.uid.is_none() => match (desired.released, is_full) {
                (false, _) => Err(Wait::Release),
                (true, true) => Err(Wait::InventoryFull),
                (true, false) => Ok(Some(Action::Create)),
            },
            Seen::Unwatched => Ok(unwatched(desired, entry)),
            Seen::Absent => missing(desired, entry),
            Seen::Present(observed, written) => self.present(desired, entry, &observed, written),
        }
    }

    fn present(
        &self,
        desired: &Desired,
        entry: &InventoryEntry,
        observed: &Observed,
        written: Option<Baseline>,
    ) -> Result<Option<Action>, Wait> {
        let uid = observed.uid.to_string();
        let recorded = Baseline::of(entry);
        match entry.uid.as_deref() {
            Some(known) if *known == *observed.uid => {}
            Some(_) if self.is_recreation_of_ours(observed, recorded) => {
                return Ok(Some(Action::Apply { uid, why: Cause::Unrecorded }));
            }
            Some(_) => return Err(Wait::NameConflict),
            None if observed.tenant_id.as_deref() == Some(&*self.input.owner.tenant_id) => {
                return if observed.deleting {
                    Err(Wait::Terminating)
                } else {
                    Ok(Some(Action::Apply { uid, why: Cause::Unrecorded }))
                };
            }
            None => return Err(Wait::NameConflict),
        }
        if observed.deleting {
            return Err(Wait::Terminating);
        }
        // What exists is ours to repair even while its item is held back; a new intent waits for the release.
        let changed = entry.digest.as_deref() != Some(&*desired.digest) || entry.state != EntryState::Live;
        if changed && !desired.released {
            return Err(Wait::Release);
        }
        if !desired.is_managed() && entry.state == EntryState::Live {
            return Ok(None);
        }
        if changed {
            return Ok(Some(Action::Apply { uid, why: Cause::Changed }));
        }
        let Some(baseline) = written.or(recorded) else {
            return Ok(Some(Action::Compare { uid }));
        };
        Ok(match baseline.drift(&desired.id.kind, &observed.token, observed.resource_version) {
            Drift::None => None,
            Drift::Ours => Some(Action::Apply { uid, why: Cause::Drifted }),
            Drift::Rest => Some(Action::Compare { uid }),
        })
    }

    /// An object with another uid that carries our label, this tenant's id and exactly the fields we last wrote: we
    /// created it anew after it was deleted, and crashed before that was recorded.
    fn is_recreation_of_ours(&self, observed: &Observed, recorded: Option<Baseline>) -> bool {
        observed.tenant_id.as_deref() == Some(&*self.input.owner.tenant_id)
            && !observed.deleting
            && recorded.is_some_and(|baseline| baseline.token.ours == observed.token.ours)
    }

    /// Takes out the gated steps whose stages before them will not stand when this plan is done.
    ///
    /// Quota waits for every ordinary object, so that the objects it counts are never refused by it. People and routes
    /// wait for foundation and quota.
    fn gate(&mut self) {
        let mut steps = std::mem::take(&mut self.plan.steps);
        steps.sort_by_key(|step| step.wave);
        for step in steps {
            match self.unmet.iter().filter(|unmet| must_stand(**unmet, step.wave)).min() {
                Some(unmet) if step.gated && !step.is_another_intent() => {
                    self.plan.waits.push(Waiting { id: step.id, wait: Wait::Stage(unmet.stage) });
                    self.unmet.push(step.wave);
                }
                _ => self.plan.steps.push(step),
            }
        }
    }

    /// Decides about what is recorded and no longer desired, as far as it may be said.
    fn prune(&mut self) {
        let desired: std::collections::HashSet<&ObjectId> =
            self.input.desired.iter().map(|d| &d.id).collect();
        let mut steps = Vec::new();
        for entry in &self.input.inventory.objects {
            let Some(kind) = Kind::parse(&entry.kind) else { continue };
            let scope = self.input.scopes.scope(&kind);
            let id = identity(&kind, entry, scope, self.input.owner);
            let may_go = self.input.complete || self.input.leaving.contains(&id);
            if !may_go || desired.contains(&id) || entry.state == EntryState::Kept {
                continue;
            }
            match superfluous(&id, entry, scope, self.input) {
                Ok(action) => {
                    let wave = Wave { stage: Stage::Route, rank: u8::MAX - rank(&kind) };
                    // Losing access or a route must not wait for an unrelated failure; losing the rest may.
                    let gated = !lets_in(&kind);
                    steps.push(Step { wave, id, gated, action });
                }
                Err(wait) => self.plan.waits.push(Waiting { id, wait }),
            }
        }
        steps.sort_by_key(|step| step.wave);
        self.plan.steps.extend(steps);
    }

    fn finish(self) -> Plan {
        self.plan
    }
}

/// Whether the first has to stand before the second is created.
///
/// The foundation stands in its own order: without the namespace, which may be somebody else's, nothing is put into it.
#[must_use]
pub fn must_stand(first: Wave, second: Wave) -> bool {
    match second.stage {
        Stage::Foundation => first.stage == Stage::Foundation && first.rank < second.rank,
        Stage::Ordinary => first.stage == Stage::Foundation,
        Stage::Quota => matches!(first.stage, Stage::Foundation | Stage::Ordinary),
        Stage::Access | Stage::Route => matches!(first.stage, Stage::Foundation | Stage::Quota),
    }
}

/// A recorded object of a kind that is never watched: the record is the observation.
fn unwatched(desired: &Desired, entry: &InventoryEntry) -> Option<Action> {
    let uid = entry.uid.clone().filter(|_| desired.released)?;
    let is_live = entry.state == EntryState::Live;
    if !desired.is_managed() {
        // One that was kept is wanted again: a look at it is enough.
        return (!is_live).then_some(Action::Compare { uid });
    }
    let changed = entry.digest.as_deref() != Some(&*desired.digest) || !is_live;
    changed.then_some(Action::Apply { uid, why: Cause::Changed })
}

fn missing(desired: &Desired, entry: &InventoryEntry) -> Result<Option<Action>, Wait> {
    // Created once and gone, as a finished job may be: that is not ours to repeat.
    if !desired.is_managed() && entry.state == EntryState::Live {
        return Ok(None);
    }
    match &entry.uid {
        Some(uid) if desired.released => Ok(Some(Action::Apply { uid: uid.clone(), why: Cause::Missing })),
        _ => Err(Wait::Release),
    }
}

/// What pruning does about a recorded object that is no longer desired.
fn superfluous(
    id: &ObjectId,
    entry: &InventoryEntry,
    scope: Option<Scope>,
    input: &Input<'_>,
) -> Result<Action, Wait> {
    if scope.is_none() {
        return unserved(&id.kind, input.scopes);
    }
    match dispose(entry, input.view.see(id), input.owner)? {
        Action::Delete { .. } if holds_data(&id.kind) => Ok(Action::Keep),
        action => Ok(action),
    }
}

/// What becomes of a recorded object whose kind is not served: with its definition all objects of a kind are gone.
fn unserved(kind: &Kind, scopes: &dyn Scopes) -> Result<Action, Wait> {
    if scopes.is_late(kind) { Err(Wait::LateKind) } else { Ok(Action::Forget) }
}

/// How a recorded object is got rid of: never without its uid, and never another object of that name.
fn dispose(entry: &InventoryEntry, seen: Seen, owner: &Owner) -> Result<Action, Wait> {
    match (seen, &entry.uid) {
        (Seen::NotSynced, _) => Err(Wait::Sync),
        (Seen::Unwatched, None) => Ok(Action::Keep),
        (Seen::Unwatched, Some(uid)) => Ok(Action::Delete { uid: uid.clone() }),
        // Out of the index may mean out of our label: the answer to a deletion tells.
        (Seen::Absent, Some(uid)) if entry.state != EntryState::Deleting => {
            Ok(Action::Delete { uid: uid.clone() })
        }
        (Seen::Absent, _) => Ok(Action::Forget),
        (Seen::Present(observed, _), Some(uid)) if **uid != *observed.uid => Ok(Action::Forget),
        (Seen::Present(observed, _), None) if observed.tenant_id.as_deref() != Some(&*owner.tenant_id) => {
            Ok(Action::Forget)
        }
        (Seen::Present(observed, _), _) if observed.deleting => Err(Wait::Terminating),
        (Seen::Present(observed, _), _) => Ok(Action::Delete { uid: observed.uid.to_string() }),
    }
}

/// Kinds whose objects are never deleted by pruning: they hold data, or values that were made once.
#[must_use]
pub fn holds_data(kind: &Kind) -> bool {
    kind.is("", "PersistentVolumeClaim") || kind.is_secret()
}
