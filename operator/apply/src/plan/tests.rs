//! Tables of single decisions, and plans executed against a simulated cluster until nothing is left to do.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::health::Health;
use crate::object::{GeneratedKey, Policy};
use crate::token::Token;

mod decisions;
mod removals;
mod simulated;

use simulated::{Cluster, Thing};

/// The objects of a small tenant: API version, kind, name, stage.
const TENANT: &[(&str, &str, &str, Stage)] = &[
    ("v1", "Namespace", "tenant-acme", Stage::Foundation),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", "manager", Stage::Foundation),
    ("v1", "LimitRange", "limits", Stage::Foundation),
    ("networking.k8s.io/v1", "NetworkPolicy", "default-deny", Stage::Foundation),
    ("v1", "ConfigMap", "settings", Stage::Ordinary),
    ("v1", "Secret", "generated", Stage::Ordinary),
    ("v1", "PersistentVolumeClaim", "data", Stage::Ordinary),
    ("apps/v1", "Deployment", "web", Stage::Ordinary),
    ("v1", "ResourceQuota", "quota", Stage::Quota),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", "people", Stage::Access),
    ("gateway.networking.k8s.io/v1", "HTTPRoute", "web", Stage::Route),
];

fn owner() -> Owner {
    Owner { tenant_id: "t-77".into(), subscription: "acme".into(), namespace: "tenant-acme".into() }
}

fn desired_at(index: usize) -> Desired {
    let (api_version, kind, name, stage) = TENANT[index];
    let body = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": {"v": 1}});
    let mut desired = Desired::new(&owner(), "item", stage, kind != "Namespace", body).unwrap();
    if kind == "Secret" {
        desired.policy = Policy::Generated(vec![GeneratedKey { name: "password".into(), length: 24 }]);
    }
    desired
}

fn tenant() -> Vec<Desired> {
    (0..TENANT.len()).map(desired_at).collect()
}

fn scopes() -> BTreeMap<Kind, Scope> {
    let scope = |desired: Desired| {
        let scope = if desired.id.namespace.is_some() { Scope::Namespaced } else { Scope::Cluster };
        (desired.id.kind, scope)
    };
    tenant().into_iter().map(scope).collect()
}

/// What may have happened to one object before the plan.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Past {
    Nothing,
    Recorded,
    CreatedUnrecorded,
    Live,
    LiveAndDeleted,
    LiveAndUnlabelled,
    LiveAndDrifted,
    LiveAndChanged,
    LiveAndReplacedByNamesake,
    Foreign,
    ForeignWithOurLabel,
    KeptBefore,
    BeingDeleted,
}

fn any_past() -> impl Strategy<Value = Past> {
    use Past::*;
    prop_oneof![
        4 => Just(Nothing), 2 => Just(Recorded), 2 => Just(CreatedUnrecorded), 4 => Just(Live),
        2 => Just(LiveAndDeleted), 1 => Just(LiveAndUnlabelled), 2 => Just(LiveAndDrifted), 2 => Just(LiveAndChanged),
        1 => Just(LiveAndReplacedByNamesake), 1 => Just(Foreign), 1 => Just(ForeignWithOurLabel),
        1 => Just(KeptBefore), 1 => Just(BeingDeleted),
    ]
}

/// A cluster and an inventory in which these things have happened.
fn world(pasts: &[Past]) -> (Cluster, Inventory) {
    let mut cluster = Cluster::new(scopes());
    let mut ledger = Ledger::default();
    for (desired, past) in tenant().iter().zip(pasts) {
        let id = &desired.id;
        match past {
            Past::Nothing => {}
            Past::Recorded => ledger.add(desired),
            Past::Foreign => cluster.insert(id, Thing::foreign(None)),
            Past::ForeignWithOurLabel => cluster.insert(id, Thing::foreign(Some("t-other"))),
            Past::CreatedUnrecorded => {
                ledger.add(desired);
                cluster.create(desired);
            }
            _ => {
                ledger.add(desired);
                let (uid, baseline) = cluster.create(desired);
                let digest = if *past == Past::LiveAndChanged { "old" } else { &desired.digest };
                ledger.live(id, "item", &uid, digest, &baseline);
                match past {
                    Past::LiveAndDeleted => cluster.vanish(id),
                    Past::LiveAndUnlabelled => cluster.thing(id).tenant_id = None,
                    Past::LiveAndDrifted => cluster.thing(id).token.ours ^= 1,
                    Past::LiveAndReplacedByNamesake => cluster.insert(id, Thing::foreign(None)),
                    Past::KeptBefore => ledger.keep(id),
                    Past::BeingDeleted => ledger.deleting(id, &uid),
                    _ => {}
                }
            }
        }
    }
    (cluster, ledger.into_inventory())
}

fn is_foreign(past: Past) -> bool {
    matches!(past, Past::Foreign | Past::ForeignWithOurLabel | Past::LiveAndReplacedByNamesake)
}

fn plan_of(cluster: &Cluster, inventory: &Inventory, desired: &[Desired]) -> Plan {
    let owner = owner();
    plan(&Input {
        owner: &owner,
        order: "order-1",
        desired,
        complete: true,
        leaving: &[],
        inventory,
        view: cluster,
        scopes: &cluster.scopes,
    })
}

/// Plans and executes until nothing changes; checks every plan on the way.
fn settle(cluster: &mut Cluster, inventory: &mut Inventory, desired: &[Desired]) -> Plan {
    for _ in 0..8 {
        let plan = plan_of(cluster, inventory, desired);
        check(&plan, inventory);
        let before = (cluster.clone(), inventory.clone());
        if let Some(record) = plan.record.clone() {
            *inventory = record;
        }
        cluster.execute(&plan, desired, inventory);
        if before == (cluster.clone(), inventory.clone()) {
            return plan;
        }
    }
    panic!("no end in sight: {:#?}", plan_of(cluster, inventory, desired));
}

/// What holds for every plan.
fn check(plan: &Plan, inventory: &Inventory) {
    let recorded = Ledger::new(plan.record.clone().unwrap_or_else(|| inventory.clone()));
    let before = Ledger::new(inventory.clone());
    assert!(plan.steps.is_sorted_by_key(|step| step.wave), "waves out of order");
    for step in &plan.steps {
        assert!(recorded.holds(&step.id), "{:?} is not recorded", step.id);
        if let Action::Delete { uid } = &step.action {
            let entry = before.entry(&step.id).expect("deleted without a record");
            assert!(entry.uid.as_ref().is_none_or(|known| known == uid), "deletes another object");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever happened before: in the end everything that is not blocked by somebody else's object stands as
    /// desired, a new plan is empty, and nothing foreign was touched.
    #[test]
    fn plans_come_to_an_end(pasts in prop::collection::vec(any_past(), TENANT.len())) {
        let (mut cluster, mut inventory) = world(&pasts);
        let foreign = cluster.foreign();
        let desired = tenant();
        let last = settle(&mut cluster, &mut inventory, &desired);
        prop_assert_eq!(cluster.foreign(), foreign, "something foreign was touched");
        prop_assert_eq!(last.record, None);
        for step in &last.steps {
            let index = desired.iter().position(|one| one.id == step.id).unwrap();
            // Blocked by a namesake, or behind something that is.
            let is_behind = step.gated && pasts.iter().any(|past| is_foreign(*past));
            prop_assert!(is_foreign(pasts[index]) || is_behind, "{:?} is left to do", step);
        }
        if !pasts.iter().any(|past| is_foreign(*past)) {
            prop_assert_eq!(last.steps, vec![]);
            prop_assert_eq!(last.waits, vec![]);
            let states = inventory.objects.iter().map(|entry| entry.state);
            prop_assert!(states.into_iter().all(|state| state == EntryState::Live));
        }
    }

    /// No person and no route before limits, default-deny and quota; nothing in a namespace that is not ours.
    #[test]
    fn nobody_enters_before_the_walls_stand(pasts in prop::collection::vec(any_past(), TENANT.len())) {
        let (mut cluster, mut inventory) = world(&pasts);
        let desired = tenant();
        settle(&mut cluster, &mut inventory, &desired);
        for created in &cluster.created {
            let stage = desired.iter().find(|one| one.id == created.id).unwrap().stage;
            for (other, past) in desired.iter().zip(&pasts) {
                let wanted = match stage {
                    Stage::Foundation => other.id.kind.is_namespace() && !created.id.kind.is_namespace(),
                    Stage::Ordinary => other.stage == Stage::Foundation,
                    Stage::Quota => matches!(other.stage, Stage::Foundation | Stage::Ordinary),
                    Stage::Access | Stage::Route => matches!(other.stage, Stage::Foundation | Stage::Quota),
                };
                // A Secret is never watched: its record is the observation.
                let is_believed = other.id.kind.is_secret() && !matches!(past, Past::Nothing | Past::Recorded);
                prop_assert!(
                    !wanted || is_believed || created.standing.contains(&other.id),
                    "{:?} was created before {:?} ({:?})", created.id, other.id, past
                );
            }
        }
    }

    /// What is dropped from the order goes, except what holds data; what is added comes.
    #[test]
    fn orders_change(before in prop::collection::vec(any::<bool>(), TENANT.len() - 1),
                     after in prop::collection::vec(any::<bool>(), TENANT.len() - 1)) {
        let pick = |chosen: &[bool]| -> Vec<Desired> {
            let all = tenant();
            let rest = all[1..].iter().zip(chosen).filter(|(_, chosen)| **chosen).map(|(one, _)| one.clone());
            std::iter::once(all[0].clone()).chain(rest).collect()
        };
        let (mut cluster, mut inventory) = (Cluster::new(scopes()), Inventory::default());
        let (first, second) = (pick(&before), pick(&after));
        settle(&mut cluster, &mut inventory, &first);
        let last = settle(&mut cluster, &mut inventory, &second);
        prop_assert_eq!(&last.steps, &vec![]);
        for one in tenant() {
            let wanted = second.iter().any(|other| other.id == one.id);
            let kept = first.iter().any(|other| other.id == one.id) && holds_data(&one.id.kind);
            prop_assert_eq!(cluster.holds(&one.id), wanted || kept, "{:?}", one.id);
        }
    }

    /// A removal ends with nothing of ours and everything of others.
    #[test]
    fn removals_come_to_an_end(pasts in prop::collection::vec(any_past(), TENANT.len()), retain: bool) {
        let (mut cluster, mut inventory) = world(&pasts);
        let foreign = cluster.foreign();
        removals::remove(&mut cluster, &mut inventory, &move |entry| {
            retain && (entry.kind == "v1/Namespace" || entry.kind == "v1/PersistentVolumeClaim")
        });
        prop_assert!(is_removed(&inventory));
        prop_assert!(retain || inventory.objects.is_empty());
        let namespace_is_foreign = is_foreign(pasts[0]);
        if retain || namespace_is_foreign {
            prop_assert_eq!(cluster.foreign(), foreign);
        }
    }
}

#[test]
fn what_waits_for_something_outside_the_tenant_holds_nothing_else_up() {
    for aside in [true, false] {
        let (mut cluster, mut inventory) = (Cluster::new(scopes()), Inventory::default());
        let mut desired = tenant();
        let is_ordinary = |one: &Desired| one.stage == Stage::Ordinary && !one.id.kind.is_secret();
        let waits = desired.iter().position(is_ordinary).unwrap();
        desired[waits].released = false;
        desired[waits].aside = aside;
        settle(&mut cluster, &mut inventory, &desired);
        for (at, one) in desired.iter().enumerate() {
            let is_behind = !aside && matches!(one.stage, Stage::Quota | Stage::Access | Stage::Route);
            assert_eq!(cluster.holds(&one.id), at != waits && !is_behind, "{:?} {aside}", one.id);
        }
    }
}
