//! The state of a tenant's checklist: what evidence, people and jobs amount to, for the rules of `tenantry_checklist::item`. Makes no
//! request.

use super::dereference::Snapshot;
use super::evidence::{self, Consumer, Observations};
use super::jobs;
use super::prepare::{Prepared, PreparedExternal, PreparedItem, external_id};
use super::servers;
use crate::controller::context::Context;
use crate::controller::servers::Standing;
use crate::controller::session::Session;
use std::collections::BTreeSet;
use tenantry_apply::canonical::digest;
use tenantry_apply::executor;
use tenantry_apply::index::Seen;
use tenantry_apply::object::{Desired, Kind, ObjectId, Owner};
use tenantry_apply::plan::Waiting;
use tenantry_apply::record::Ledger;
use tenantry_apply::scope::{Scope, Scopes};
use tenantry_apply::shared::Snapshot as View;
use tenantry_blueprint::expression::Expression;
use tenantry_checklist::billing as payment;
use tenantry_checklist::item::{
    self, EvaluateInput, Evaluation, Evidence, Hold, ItemInput, SignatureInput, evaluate,
};
use tenantry_checklist::learned::Similar;
use tenantry_checklist::{journal, sign_off};
use tenantry_crds::inventory::{Inventory, InventoryEntry};

/// What the state of the checklist is derived from, besides the order.
pub(super) struct Facts<'a> {
    /// What shall exist for now.
    pub(super) desired: &'a [Desired],
    /// What became of the runs of jobs.
    pub(super) runs: &'a jobs::Observed,
    /// What is recorded.
    pub(super) ledger: &'a Ledger,
    /// What is seen.
    pub(super) view: &'a View,
    /// What a plan would wait for if nothing were released.
    pub(super) waits: &'a [Waiting],
    /// What came of what was done last.
    pub(super) outcomes: &'a [executor::Outcome],
    /// How the tenant stands with its servers.
    pub(super) standing: &'a Standing,
}

/// What every item comes to.
pub(super) fn evaluated(
    context: &Context,
    snapshot: &Snapshot,
    prepared: &Prepared,
    facts: &Facts<'_>,
) -> Evaluation {
    let Facts { desired, runs, ledger, view, waits, outcomes, standing } = *facts;
    let application = prepared.items.iter().find(|prepared| prepared.item.application.is_some());
    let application = application.map(|prepared| prepared.item.name.as_str());
    let consumer = |claim: &Desired| {
        let class = claim.body.pointer("/spec/storageClassName").and_then(serde_json::Value::as_str);
        let binds_late = class.is_some_and(|class| context.surroundings.binds_late(class));
        match application {
            _ if !binds_late => Consumer::None,
            _ if prepared.claims_of_jobs.contains(&*claim.id.name) => Consumer::Job,
            Some(item) => Consumer::Item(item),
            None => Consumer::None,
        }
    };
    let observations = Observations { view, ledger, ready_when: &prepared.ready_when, consumer: &consumer };
    let mut evidence = evidence::evidence(desired, &observations, waits, outcomes, snapshot.now);
    let kept_back: BTreeSet<&str> = desired
        .iter()
        .filter(|object| servers::keeps_back(standing, object, ledger))
        .map(|object| object.item.as_str())
        .collect();
    let dates = prepared.order.dates(snapshot.root.created);
    let signatures = context.sign_offs.of(&snapshot.root.uid);
    let similar = Similar::of(&prepared.order.definitions.accepted());
    let (known, trouble) = context.billing.of(prepared.order.tenant_id.as_str());
    let paid = payment::evidence(&payment::payer(&prepared.order), &snapshot.status, known.as_ref(), trouble);
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
            if item.billing.is_some() {
                proof = paid.clone();
            }
            if item.servers.is_some() {
                servers::prove(standing, &mut proof);
            } else if kept_back.contains(item.name.as_str()) {
                servers::wait(standing, &mut proof);
            }
            if let Some(PreparedExternal { id, until, .. }) = external {
                proof = external_evidence(context, &snapshot.root.name, id, until);
            }
            let mut run = jobs::input(
                context,
                &snapshot.root.name,
                &snapshot.status.checklist,
                prepared,
                prepared_item,
                runs,
                ledger,
            );
            if let Some(run) = &mut run {
                run.waits = run.waits.take().or_else(|| servers::waiting(standing));
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
    if prepared.suspension.network && snapshot.status.go_live.is_none() && prepared.opens(item) {
        return Some(Hold::Suspension(prepared.suspension.told()));
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

/// The identities of everything recorded.
pub(super) fn recorded_ids(inventory: &Inventory, owner: &Owner, context: &Context) -> Vec<ObjectId> {
    tenantry_apply::record::identities(inventory, owner, &*context.discovery)
}

/// What is on record, with what the answers to this process's own writes said of these very objects: what was written while it looked
/// at the past was written all the same, and whoever comes next would take that for drift.
pub(super) fn written(context: &Context, snapshot: &Snapshot) -> Option<Inventory> {
    let mut inventory = snapshot.status.inventory.clone()?;
    let owner = snapshot.owner()?;
    for id in recorded_ids(&inventory, &owner, context) {
        let Seen::Present(observed, Some(baseline)) = context.index.see(&id) else { continue };
        let is_it = |entry: &&mut InventoryEntry| {
            entry.name == *id.name
                && entry.uid.as_deref() == Some(&*observed.uid)
                && Kind::parse(&entry.kind).as_ref() == Some(&id.kind)
        };
        if let Some(entry) = inventory.objects.iter_mut().find(is_it) {
            baseline.record(&id.kind, entry);
        }
    }
    Some(inventory)
}

/// The checklist of a tenant whose edited order was refused: what was accepted before, by its evidence.
pub(super) fn kept(context: &Context, snapshot: &Snapshot, session: &Session) -> Option<Evaluation> {
    let accepted = snapshot.status.accepted.as_ref()?;
    let blueprint = context.store.blueprint_of(accepted)?;
    let owner = snapshot.owner()?;
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
                None if item.billing.is_some() => payment::kept(&snapshot.status),
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
    evidence::external(id, until, sight)
}

/// Evidence by the record alone, for an item that nothing can be rendered for.
fn recorded_evidence(
    inventory: &Inventory,
    owner: &Owner,
    view: &View,
    context: &Context,
    item: &str,
) -> Evidence {
    evidence::recorded(inventory, owner, view, &*context.discovery, item)
}
