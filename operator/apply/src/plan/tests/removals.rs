//! Taking tenants away.

use super::*;

/// Plans and executes a removal to its end; checks every plan on the way.
pub(super) fn remove(
    cluster: &mut Cluster,
    inventory: &mut Inventory,
    keep: &dyn Fn(&InventoryEntry) -> bool,
) {
    let owner = owner();
    for _ in 0..24 {
        let scopes = cluster.scopes.clone();
        let plan = plan_removal(&Removal { owner: &owner, inventory, view: cluster, scopes: &scopes, keep });
        check(&plan, inventory);
        if plan.steps.is_empty() && plan.waits.is_empty() {
            return;
        }
        cluster.execute(&plan, &[], inventory);
    }
    panic!("no end in sight: {inventory:#?}");
}

fn everything() -> (Cluster, Inventory) {
    let (mut cluster, mut inventory) = (Cluster::new(scopes()), Inventory::default());
    super::settle(&mut cluster, &mut inventory, &tenant());
    (cluster, inventory)
}

#[test]
fn a_tenant_goes_with_one_deletion() {
    let (cluster, inventory) = everything();
    let owner = owner();
    let removal = Removal {
        owner: &owner,
        inventory: &inventory,
        view: &cluster,
        scopes: &cluster.scopes,
        keep: &|_| false,
    };
    let plan = plan_removal(&removal);
    let steps: Vec<_> = plan.steps.iter().map(|step| (step.id.to_string(), &step.action)).collect();
    assert_eq!(steps.len(), 1, "{steps:?}");
    assert!(matches!(steps[0], (ref name, Action::Delete { .. }) if name == "Namespace tenant-acme"));
}

/// A cluster that is asked just after its start: routes are defined and not served yet.
struct JustStarted(BTreeMap<Kind, Scope>);

impl Scopes for JustStarted {
    fn scope(&self, kind: &Kind) -> Option<Scope> {
        self.0.scope(kind).filter(|_| kind.name() != "HTTPRoute")
    }

    fn is_late(&self, kind: &Kind) -> bool {
        kind.name() == "HTTPRoute"
    }
}

/// Found by the fault harness (F20 at the end of a tenant that is kept): the route stayed open for ever.
#[test]
fn what_is_not_served_yet_is_neither_forgotten_nor_left_behind() {
    let (cluster, inventory) = everything();
    let owner = owner();
    let scopes = JustStarted(cluster.scopes.clone());
    for stays in [true, false] {
        let keep = |entry: &InventoryEntry| stays && !lets_in(&Kind::parse(&entry.kind).unwrap());
        let removal =
            Removal { owner: &owner, inventory: &inventory, view: &cluster, scopes: &scopes, keep: &keep };
        let plan = plan_removal(&removal);
        let is_route = |id: &ObjectId| id.kind.name() == "HTTPRoute";
        assert!(!plan.steps.iter().any(|step| is_route(&step.id) || step.id.kind.is_namespace() && !stays));
        assert!(plan.waits.iter().any(|waiting| is_route(&waiting.id) && waiting.wait == Wait::LateKind));
    }
}

/// A cluster in which HTTPRoute was installed by somebody.
struct Installed(BTreeMap<Kind, Scope>);

impl Scopes for Installed {
    fn scope(&self, kind: &Kind) -> Option<Scope> {
        self.0.scope(kind)
    }

    fn is_custom(&self, kind: &Kind) -> bool {
        kind.name() == "HTTPRoute"
    }
}

#[test]
fn objects_of_custom_kinds_go_before_their_namespace() {
    let (mut cluster, mut inventory) = everything();
    let (owner, installed) = (owner(), Installed(scopes()));
    let plan_now = |cluster: &Cluster, inventory: &Inventory| {
        plan_removal(&Removal {
            owner: &owner,
            inventory,
            view: cluster,
            scopes: &installed,
            keep: &|_| false,
        })
    };
    let deleted = |plan: &Plan| -> Vec<String> {
        let deletions = plan.steps.iter().filter(|step| matches!(step.action, Action::Delete { .. }));
        deletions.map(|step| step.id.to_string()).collect()
    };
    let first = plan_now(&cluster, &inventory);
    assert_eq!(deleted(&first), ["HTTPRoute tenant-acme/web"]);
    cluster.execute(&first, &[], &mut inventory);
    let second = plan_now(&cluster, &inventory);
    assert_eq!(deleted(&second), ["Namespace tenant-acme"], "{second:#?}");
    // A successor that knows nothing of it has no rights left in a namespace that is gone.
    let (mut cluster, inventory) = everything();
    cluster.vanish(&ObjectId::new(
        Kind::parse("gateway.networking.k8s.io/v1/HTTPRoute").unwrap(),
        Some("tenant-acme"),
        "web",
    ));
    assert_eq!(deleted(&plan_now(&cluster, &inventory)), ["Namespace tenant-acme"]);
}

#[test]
fn the_end_of_a_namespace_is_confirmed_before_anything_is_forgotten() {
    let (mut cluster, mut inventory) = everything();
    let namespace = tenant()[0].id.clone();
    let uid = cluster.thing(&namespace).uid.clone();
    let mut ledger = Ledger::new(inventory);
    ledger.deleting(&namespace, &uid);
    inventory = ledger.into_inventory();
    // It lost our label while it ends: out of the index, and still there.
    cluster.thing(&namespace).tenant_id = None;
    let owner = owner();
    let removal = Removal {
        owner: &owner,
        inventory: &inventory,
        view: &cluster,
        scopes: &cluster.scopes,
        keep: &|_| false,
    };
    let plan = plan_removal(&removal);
    assert_eq!(plan.steps.iter().map(|step| &step.action).collect::<Vec<_>>(), [&Action::Delete { uid }]);
}

#[test]
fn a_kept_namespace_is_emptied_from_the_last_wave_to_the_first() {
    let (mut cluster, mut inventory) = everything();
    let keep =
        |entry: &InventoryEntry| entry.kind == "v1/Namespace" || entry.kind == "v1/PersistentVolumeClaim";
    let owner = owner();
    let removal = Removal {
        owner: &owner,
        inventory: &inventory,
        view: &cluster,
        scopes: &cluster.scopes,
        keep: &keep,
    };
    let plan = plan_removal(&removal);
    let mut deleted = plan.steps.iter().filter(|step| matches!(step.action, Action::Delete { .. }));
    assert_eq!(deleted.next().map(|step| step.id.to_string()), Some("HTTPRoute tenant-acme/web".to_owned()));
    assert_eq!(deleted.next(), None);
    remove(&mut cluster, &mut inventory, &keep);
    let left: Vec<&str> = inventory.objects.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(left, ["tenant-acme", "data"]);
    assert!(cluster.holds(&desired_at(6).id));
}

#[test]
fn a_namespace_that_was_never_ours_is_left_alone() {
    let mut pasts = [Past::Recorded; 11];
    pasts[0] = Past::Foreign;
    let (mut cluster, _) = world(&pasts);
    let mut ledger = Ledger::default();
    tenant().iter().for_each(|one| ledger.add(one));
    let mut inventory = ledger.into_inventory();
    remove(&mut cluster, &mut inventory, &|_| false);
    assert!(inventory.objects.is_empty());
    assert!(cluster.holds(&tenant()[0].id));
}
