//! One decision at a time.

use super::*;

/// A view that says the same of every object of one name, and "absent" of all others.
struct Says(&'static str, Seen);

impl View for Says {
    fn see(&self, id: &ObjectId) -> Seen {
        if *id.name == *self.0 { self.1.clone() } else { Seen::Absent }
    }
}

fn observed(uid: &str, tenant_id: Option<&str>) -> Observed {
    Observed {
        uid: uid.into(),
        resource_version: 5,
        token: Token { ours: 1, foreign: 2, revision: 3 },
        deleting: false,
        health: Health::Current,
        tenant_id: tenant_id.map(Into::into),
        subscription: Some("acme".into()),
        retained: None,
    }
}

fn present(observed: Observed) -> Seen {
    Seen::Present(Box::new(observed), None)
}

fn baseline() -> Baseline {
    Baseline { token: Token { ours: 1, foreign: 2, revision: 3 }, leftover: 0, resource_version: 5 }
}

/// Plans for one ConfigMap with a record of this state and one observation.
fn decide(change: impl FnOnce(&mut Desired), state: EntryState, uid: Option<&str>, seen: Seen) -> Plan {
    let mut desired = desired_at(4);
    let mut ledger = Ledger::default();
    ledger.add(&desired);
    if let Some(uid) = uid {
        ledger.live(&desired.id, "item", uid, &desired.digest, &baseline());
    }
    let mut inventory = ledger.into_inventory();
    inventory.objects[0].state = state;
    change(&mut desired);
    let (owner, scopes) = (owner(), scopes());
    plan(&Input {
        owner: &owner,
        order: "o",
        desired: &[desired],
        complete: true,
        leaving: &[],
        inventory: &inventory,
        view: &Says("settings", seen),
        scopes: &scopes,
    })
}

fn action(plan: &Plan) -> Result<Option<&Action>, &Wait> {
    match (plan.steps.as_slice(), plan.waits.as_slice()) {
        ([step], []) => Ok(Some(&step.action)),
        ([], []) => Ok(None),
        ([], [waiting]) => Err(&waiting.wait),
        other => panic!("{other:?}"),
    }
}

type Expected = Result<Option<Action>, Wait>;

fn apply(why: Cause) -> Action {
    Action::Apply { uid: "u".into(), why }
}

#[test]
fn what_exists_is_judged_by_uid_label_and_token() {
    use EntryState::{Kept, Live, Pending};
    let same = |_: &mut Desired| {};
    let ours = || observed("u", Some("t-77"));
    let taken = || Observed { token: Token { ours: 8, ..ours().token }, ..ours() };
    let edited = || Observed { token: Token { foreign: 8, ..ours().token }, ..ours() };
    let cases: Vec<(&str, Plan, Expected)> = vec![
        ("as sent", decide(same, Live, Some("u"), present(ours())), Ok(None)),
        ("a field taken", decide(same, Live, Some("u"), present(taken())), Ok(Some(apply(Cause::Drifted)))),
        (
            "edited beside",
            decide(same, Live, Some("u"), present(edited())),
            Ok(Some(Action::Compare { uid: "u".into() })),
        ),
        (
            "written by somebody, with no other sign",
            decide(same, Live, Some("u"), present(Observed { resource_version: 6, ..ours() })),
            Ok(Some(Action::Compare { uid: "u".into() })),
        ),
        (
            "intent changed",
            decide(|d| d.digest = "new".into(), Live, Some("u"), present(ours())),
            Ok(Some(apply(Cause::Changed))),
        ),
        (
            "intent changed, not released",
            decide(
                |d| {
                    d.digest = "new".into();
                    d.released = false;
                },
                Live,
                Some("u"),
                present(ours()),
            ),
            Err(Wait::Release),
        ),
        (
            "drifted, not released",
            decide(|d| d.released = false, Live, Some("u"), present(taken())),
            Ok(Some(apply(Cause::Drifted))),
        ),
        ("made once", decide(|d| d.policy = Policy::Once, Live, Some("u"), present(taken())), Ok(None)),
        ("made once, gone", decide(|d| d.policy = Policy::Once, Live, Some("u"), Seen::Absent), Ok(None)),
        ("out of the index", decide(same, Live, Some("u"), Seen::Absent), Ok(Some(apply(Cause::Missing)))),
        (
            "ending",
            decide(same, Live, Some("u"), present(Observed { deleting: true, ..ours() })),
            Err(Wait::Terminating),
        ),
        ("not synced", decide(same, Live, Some("u"), Seen::NotSynced), Err(Wait::Sync)),
        (
            "a namesake",
            decide(
                same,
                Live,
                Some("u"),
                present(Observed { token: taken().token, ..observed("v", Some("t-77")) }),
            ),
            Err(Wait::NameConflict),
        ),
        (
            "our own recreation, unrecorded",
            decide(same, Live, Some("u"), present(observed("v", Some("t-77")))),
            Ok(Some(Action::Apply { uid: "v".into(), why: Cause::Unrecorded })),
        ),
        (
            "another tenant's of the same fields",
            decide(same, Live, Some("u"), present(observed("v", Some("t-1")))),
            Err(Wait::NameConflict),
        ),
        ("new", decide(same, Pending, None, Seen::Absent), Ok(Some(Action::Create))),
        (
            "new, not released",
            decide(|d| d.released = false, Pending, None, Seen::Absent),
            Err(Wait::Release),
        ),
        ("answer lost", decide(same, Pending, None, present(ours())), Ok(Some(apply(Cause::Unrecorded)))),
        (
            "somebody else's label",
            decide(same, Pending, None, present(observed("u", Some("t-1")))),
            Err(Wait::NameConflict),
        ),
        (
            "kept and wanted again",
            decide(same, Kept, Some("u"), present(ours())),
            Ok(Some(apply(Cause::Changed))),
        ),
    ];
    for (what, plan, expected) in cases {
        assert_eq!(action(&plan), expected.as_ref().map(Option::as_ref), "{what}");
        assert_eq!(plan.record, None, "{what}");
    }
}

#[test]
fn a_baseline_of_this_process_goes_before_the_recorded_one() {
    let seen = observed("u", Some("t-77"));
    let moved = Observed { token: Token { revision: 9, ..seen.token }, ..seen };
    let ours = Baseline { token: moved.token, leftover: 0, resource_version: 5 };
    let plan = decide(|_| {}, EntryState::Live, Some("u"), Seen::Present(Box::new(moved), Some(ours)));
    assert_eq!(action(&plan), Ok(None));
}

#[test]
fn one_record_covers_the_whole_order_released_or_not() {
    let mut desired = tenant();
    desired.iter_mut().skip(4).for_each(|one| one.released = false);
    let cluster = Cluster::new(scopes());
    let plan = plan_of(&cluster, &Inventory::default(), &desired);
    let record = plan.record.unwrap();
    assert_eq!((record.order.as_str(), record.objects.len()), ("order-1", TENANT.len()));
    assert!(record.objects.iter().all(|entry| entry.state == EntryState::Pending));
    assert_eq!(plan.steps.len(), 4);
}

#[test]
fn a_missing_kind_waits_and_an_optional_one_holds_nothing_up() {
    for (optional, quota_stands) in [(true, true), (false, false)] {
        let mut desired = tenant();
        let monitor = json!({"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": {"name": "m"}});
        let mut monitor = Desired::new(&owner(), "monitoring", Stage::Ordinary, true, monitor).unwrap();
        monitor.optional = optional;
        desired.push(monitor.clone());
        let (mut cluster, mut inventory) = (Cluster::new(scopes()), Inventory::default());
        let last = settle(&mut cluster, &mut inventory, &desired);
        assert!(last.waits.contains(&Waiting { id: monitor.id, wait: Wait::Kind { optional } }));
        assert_eq!(cluster.holds(&desired_at(8).id), quota_stands);
    }
}

#[test]
fn a_full_inventory_stops_what_is_new_and_nothing_else() {
    let mut ledger = Ledger::default();
    for number in 0..MAX_OBJECTS {
        let body =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("c{number}")}});
        ledger.add(&Desired::new(&owner(), "item", Stage::Ordinary, true, body).unwrap());
    }
    let first =
        Kind::parse("v1/ConfigMap").map(|kind| ObjectId::new(kind, Some("tenant-acme"), "c0")).unwrap();
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c0"}});
    let recorded = Desired::new(&owner(), "item", Stage::Ordinary, true, body).unwrap();
    let (owner, scopes, inventory) = (owner(), scopes(), ledger.into_inventory());
    let plan = plan(&Input {
        owner: &owner,
        order: "o",
        desired: &[recorded, desired_at(4)],
        complete: false,
        leaving: &[],
        inventory: &inventory,
        view: &Says("none", Seen::Absent),
        scopes: &scopes,
    });
    assert_eq!(plan.record, None);
    assert_eq!(plan.steps.iter().map(|step| &step.id).collect::<Vec<_>>(), [&first]);
    assert_eq!(plan.waits, [Waiting { id: desired_at(4).id, wait: Wait::InventoryFull }]);
}

#[test]
fn an_incomplete_render_deletes_nothing() {
    let (mut cluster, mut inventory) = (Cluster::new(scopes()), Inventory::default());
    settle(&mut cluster, &mut inventory, &tenant());
    let owner = owner();
    let plan = plan(&Input {
        owner: &owner,
        order: "o",
        desired: &[],
        complete: false,
        leaving: &[],
        inventory: &inventory,
        view: &cluster,
        scopes: &cluster.scopes,
    });
    assert_eq!(plan, Plan::default());
}

/// What lets people in goes although a person holds everything else.
#[test]
fn what_is_leaving_goes_even_so_and_nothing_else_does() {
    let (mut cluster, mut inventory) = (Cluster::new(scopes()), Inventory::default());
    settle(&mut cluster, &mut inventory, &tenant());
    let (owner, all) = (owner(), tenant());
    let route = all.iter().find(|object| object.id.kind.name() == "HTTPRoute").unwrap().id.clone();
    let plan = plan(&Input {
        owner: &owner,
        order: "o",
        desired: &[],
        complete: false,
        leaving: std::slice::from_ref(&route),
        inventory: &inventory,
        view: &cluster,
        scopes: &cluster.scopes,
    });
    let steps: Vec<_> = plan.steps.iter().map(|step| (&step.id, step.gated)).collect();
    assert_eq!(steps, [(&route, false)]);
    assert!(matches!(plan.steps[0].action, Action::Delete { .. }));
}

#[test]
fn losing_access_does_not_wait_for_others_and_losing_the_rest_does() {
    let (mut cluster, mut inventory) = (Cluster::new(scopes()), Inventory::default());
    settle(&mut cluster, &mut inventory, &tenant());
    let plan = plan_of(&cluster, &inventory, &tenant()[..4]);
    let gated: BTreeMap<String, bool> =
        plan.steps.iter().map(|step| (step.id.to_string(), step.gated)).collect();
    assert!(!gated["RoleBinding tenant-acme/people"]);
    assert!(!gated["HTTPRoute tenant-acme/web"]);
    assert!(gated["Deployment tenant-acme/web"]);
    let keeps = plan.steps.iter().filter(|step| step.action == Action::Keep).map(|step| step.id.kind.name());
    assert_eq!(keeps.collect::<Vec<_>>(), ["Secret", "PersistentVolumeClaim"]);
}

#[test]
fn another_content_waits_for_what_fails_before_it_and_not_for_what_a_person_holds() {
    let (mut cluster, mut inventory) = (Cluster::new(scopes()), Inventory::default());
    settle(&mut cluster, &mut inventory, &tenant());
    let mut all = tenant();
    for object in &mut all {
        object.digest = "another".into();
        // A person holds what is before the rest.
        object.released = object.id.kind.name() != "LimitRange";
    }
    let plan = plan_of(&cluster, &inventory, &all);
    let web = plan.steps.iter().find(|step| step.id.kind.name() == "Deployment").unwrap();
    assert!(matches!(web.action, Action::Apply { why: Cause::Changed, .. }) && web.gated, "{web:?}");
}
