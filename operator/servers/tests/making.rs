//! Nodes that are made for who waits and given back after him.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may fail loudly"
)]

mod common;

use common::{node, pool, wants_nodes};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tenantry_crds::pool::{MadeNode, NodeMaker, ServerPoolSpec, Tenancy};
use tenantry_servers::making::{MADE_LABEL, Origins, makable, plan, render};
use tenantry_servers::record::take_back;
use tenantry_servers::{Mark, Pool, Want, marks, settle};

fn spec(template: Value, reserve: i32) -> ServerPoolSpec {
    serde_json::from_value(json!({"class": "hall", "tenancy": "Dedicated", "reserveNodes": reserve,
        "nodeLabels": [{"key": "example.org/use", "value": "own"}], "template": template}))
    .unwrap()
}

fn time(seconds: i64) -> Time {
    Time(Timestamp::from_second(seconds).unwrap())
}

fn made(name: &str, kind: NodeMaker, namespace: Option<&str>) -> MadeNode {
    let namespace = namespace.map(str::to_owned);
    MadeNode { name: name.to_owned(), kind, namespace, uid: None, since: time(1), removing: false }
}

/// A pool whose nodes are made, and the cloud that makes them.
struct World {
    spec: ServerPoolSpec,
    pool: Pool,
    made: Vec<MadeNode>,
    origins: Origins,
    now: i64,
}

impl World {
    fn new(max: i32, reserve: i32) -> Self {
        let mut pool = pool(Tenancy::Dedicated, 0, 16);
        pool.reserve_nodes = usize::try_from(reserve).unwrap();
        let spec = spec(json!({"maxNodes": max, "nodePool": {}}), reserve);
        Self { spec, pool, made: Vec::new(), origins: Origins::new(), now: 0 }
    }

    /// What the desk does in one look, with what follows of it for nodes.
    fn look(&mut self, wants: Vec<Want>) {
        self.now += 1;
        take_back(&mut self.pool, &self.spec);
        self.pool.makable = makable(&self.spec, &self.made, &self.pool, &self.origins);
        settle(&mut self.pool, wants);
        let more = plan(&mut self.pool, &self.spec, &mut self.made, &self.origins, self.now);
        for at in 0..more {
            let mut one = made(&format!("m{}-{at}", self.now), NodeMaker::NodePool, None);
            one.since = time(self.now);
            self.made.push(one);
        }
        for (name, mark) in marks(&self.pool) {
            self.pool.nodes.get_mut(&name).unwrap().mark = mark;
        }
    }

    /// The cloud has made the node of an object that has none.
    fn makes(&mut self, at: usize) {
        let there: BTreeSet<String> = self.origins.values().cloned().collect();
        let without: Vec<String> = self
            .made
            .iter()
            .filter(|one| !one.removing && !there.contains(&one.name))
            .map(|one| one.name.clone())
            .collect();
        if let Some(object) = without.get(at % without.len().max(1)) {
            self.now += 1;
            let name = format!("{object}-{}", self.now);
            self.pool.nodes.insert(name.clone(), node(&format!("u-{name}"), 16, Mark::Enrolling));
            self.origins.insert(name, object.clone());
        }
    }

    fn empties(&mut self) {
        for node in self.pool.nodes.values_mut().filter(|node| node.mark == Mark::Enrolling) {
            node.mark = Mark::Free;
        }
    }

    /// The cloud has removed what is given back, machine and all.
    fn removes(&mut self) {
        let gone: BTreeSet<String> =
            self.made.iter().filter(|one| one.removing).map(|one| one.name.clone()).collect();
        self.made.retain(|one| !one.removing);
        let Self { pool, origins, .. } = self;
        pool.nodes.retain(|name, _| origins.get(name).is_none_or(|object| !gone.contains(object)));
        origins.retain(|name, _| pool.nodes.contains_key(name));
    }

    fn loses(&mut self, at: usize) {
        let names: Vec<String> = self.pool.nodes.keys().cloned().collect();
        if let Some(name) = names.get(at % names.len().max(1)) {
            self.pool.nodes.remove(name);
            self.origins.remove(name);
        }
    }

    /// As often as it takes, with a cloud that does what it is asked for.
    fn settles(&mut self) {
        for _ in 0..40 {
            self.look(Vec::new());
            for _ in 0..self.made.len() {
                self.makes(0);
            }
            self.look(Vec::new());
            self.empties();
            self.removes();
        }
    }

    fn has(&self, tenant: &str) -> usize {
        let held = self.pool.reservations.get(tenant);
        held.map_or(0, |held| held.nodes.iter().filter(|node| self.pool.is_there(node)).count())
    }
}

#[test]
fn as_many_are_made_as_who_waits_lacks_and_all_go_back_after_him() {
    let mut world = World::new(3, 0);
    world.look(vec![wants_nodes("a", 2, 1)]);
    assert_eq!(world.made.len(), 2);
    world.look(Vec::new());
    assert_eq!(world.made.len(), 2, "what is awaited is not asked for again");
    world.makes(0);
    world.look(Vec::new());
    assert_eq!(world.has("a"), 0, "its node was not seen empty");
    world.settles();
    assert_eq!((world.has("a"), world.made.len()), (2, 2));
    // One more is all that may be: who waits for two gets nothing of it, and who comes after him does not go ahead.
    world.look(vec![wants_nodes("b", 2, 2), wants_nodes("c", 1, 3)]);
    assert_eq!(world.made.len(), 2);
    // Whom the pool can never serve keeps nobody back.
    world.pool.waiting.remove("b");
    world.look(vec![wants_nodes("d", 4, 2), wants_nodes("c", 1, 3)]);
    assert_eq!(world.made.len(), 3);
    world.settles();
    assert_eq!((world.has("c"), world.has("d")), (1, 0));
    world.pool.waiting.clear();
    world.look(vec![wants_nodes("b", 2, 4)]);
    // What was a's is given back, not to others, and what b then needs is made anew.
    let before: BTreeSet<String> =
        world.pool.reservations["a"].nodes.iter().map(|node| node.name.clone()).collect();
    world.pool.release("a", 9);
    world.look(Vec::new());
    assert_eq!(world.made.iter().filter(|one| one.removing).count(), 2);
    assert_eq!(world.pool.quarantined.len(), 2);
    world.settles();
    assert_eq!(
        (world.has("b"), world.pool.quarantined.len()),
        (2, 0),
        "with the machine its quarantine goes"
    );
    assert!(world.pool.reservations["b"].nodes.iter().all(|node| !before.contains(&node.name)));
    world.pool.release("b", 10);
    world.pool.release("c", 10);
    world.settles();
    assert!(world.made.is_empty() && world.pool.nodes.is_empty());
}

#[test]
fn who_waits_no_more_has_nothing_made_for_him() {
    let mut world = World::new(3, 0);
    world.look(vec![wants_nodes("a", 2, 1)]);
    world.makes(0);
    world.pool.waiting.clear();
    world.look(Vec::new());
    assert!(world.made.iter().all(|one| one.removing));
    assert_eq!(world.pool.quarantined.len(), 1, "nobody gets a node that is on its way out");
    world.look(vec![wants_nodes("b", 1, 2)]);
    assert_eq!((world.has("b"), world.made.len()), (0, 3), "the two that go count until they are gone");
}

#[test]
fn what_is_held_back_is_made_with_what_somebody_waits_for_and_stays() {
    let mut world = World::new(4, 1);
    world.look(Vec::new());
    assert!(world.made.is_empty(), "nobody waits");
    world.look(vec![wants_nodes("a", 1, 1)]);
    assert_eq!(world.made.len(), 2);
    world.settles();
    assert_eq!((world.has("a"), world.made.len(), world.pool.free_nodes().len()), (1, 2, 1));
    // It takes the place of one that is lost, whose object makes another one.
    let lost = world.pool.reservations["a"].nodes[0].name.clone();
    world.pool.nodes.remove(&lost);
    world.origins.remove(&lost);
    world.look(Vec::new());
    assert_eq!(world.has("a"), 1);
    world.settles();
    assert_eq!((world.made.len(), world.pool.free_nodes().len()), (2, 1));
}

#[test]
fn what_somebody_leaves_is_nothing_of_what_he_waits_for() {
    let mut world = World::new(6, 0);
    world.look(vec![wants_nodes("a", 2, 1)]);
    world.settles();
    let left = world.pool.reservations["a"].nodes[0].name.clone();
    world.pool.nodes.get_mut(&left).unwrap().ready = false;
    world.pool.reservations.get_mut("a").unwrap().leaving.insert(left);
    world.look(vec![wants_nodes("a", 3, 2)]);
    assert_eq!(world.made.len(), 4, "he keeps one of two and asks for three");
}

#[test]
fn a_label_alone_takes_no_quarantine_away() {
    let mut world = World::new(3, 0);
    world.pool.nodes.insert("n0".to_owned(), node("u0", 16, Mark::Free));
    world.look(vec![wants_nodes("a", 1, 1)]);
    assert!(world.made.is_empty());
    // Somebody says of a machine that is nobody's work that it was made.
    world.origins.insert("n0".to_owned(), "elsewhere".to_owned());
    world.pool.release("a", 2);
    world.settles();
    assert_eq!(world.pool.quarantined["n0"].tenant, "a");
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Ask(u8, usize),
    Leave(u8),
    Makes(usize),
    Empties,
    Removes,
    Loses(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0_u8..6, 1_usize..4).prop_map(|(tenant, nodes)| Event::Ask(tenant, nodes)),
        3 => (0_u8..6).prop_map(Event::Leave),
        5 => (0_usize..8).prop_map(Event::Makes),
        3 => Just(Event::Empties),
        3 => Just(Event::Removes),
        1 => (0_usize..8).prop_map(Event::Loses),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn never_more_than_may_be_and_never_what_somebody_has(
        events in prop::collection::vec(event(), 1..80), max in 1_i32..7, reserve in 0_i32..2,
    ) {
        let mut world = World::new(max, reserve);
        for event in events {
            let mut asks = Vec::new();
            match event {
                Event::Ask(tenant, nodes) => asks.push(wants_nodes(&format!("t{tenant}"), nodes, world.now)),
                Event::Leave(tenant) => world.pool.release(&format!("t{tenant}"), world.now),
                Event::Makes(at) => world.makes(at),
                Event::Empties => world.empties(),
                Event::Removes => world.removes(),
                Event::Loses(at) => world.loses(at),
            }
            world.look(asks);
            prop_assert!(world.made.len() <= usize::try_from(max).unwrap(), "{:?}", world.made);
            for (tenant, held) in &world.pool.reservations {
                for node in &held.nodes {
                    let by = world.origins.get(&node.name);
                    let goes = world.made.iter().any(|one| one.removing && Some(&one.name) == by);
                    prop_assert!(!goes, "{tenant} has {} that is given back", node.name);
                }
            }
        }
        // Who could be served is served in the end, and when all have left, all is given back.
        world.settles();
        let first = world.pool.waiting.values().min_by_key(|want| (want.since, want.uid.clone()));
        if let Some(want) = first {
            let has = world.pool.reservations.get(&want.tenant).map_or(0, |held| held.nodes.len());
            let room = usize::try_from(max).unwrap() - world.made.len();
            let there = room + world.pool.free_nodes().len();
            prop_assert!(want.nodes - has + world.pool.reserve_nodes > there, "{want:?} waits while there is room");
        }
        let tenants: Vec<String> = (0..6).map(|tenant| format!("t{tenant}")).collect();
        for tenant in &tenants {
            world.pool.release(tenant, world.now);
        }
        world.settles();
        prop_assert!(world.made.len() <= usize::try_from(reserve).unwrap(), "{:?}", world.made);
        prop_assert!(world.pool.quarantined.is_empty());
    }
}

#[test]
fn an_object_says_what_its_node_has_to_carry_and_is_alone_with_it() {
    let requirements = json!([{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}]);
    let own = json!({"key": "example.org/spot", "effect": "NoSchedule"});
    let node_pool = json!({"template": {"metadata": {"labels": {"team": "hall"}}, "spec": {
        "nodeClassRef": {"group": "example.org", "kind": "NodeClass", "name": "large"},
        "requirements": requirements, "taints": [own]}}});
    let named = made("hall-own-k7", NodeMaker::NodePool, None);
    let spec_of = spec(json!({"maxNodes": 3, "nodePool": node_pool}), 0);
    let body = render("hall-own", "u1", &spec_of, &named).unwrap();
    assert_eq!((&body["apiVersion"], &body["kind"]), (&json!("karpenter.sh/v1"), &json!("NodePool")));
    assert_eq!(
        body["metadata"],
        json!({"name": "hall-own-k7", "labels": {"tenantry.io/server-pool": "hall-own", "tenantry.io/server-pool-uid": "u1"}})
    );
    let carried = json!({"team": "hall", "tenantry.io/server-class": "hall", "example.org/use": "own",
        MADE_LABEL: "hall-own-k7"});
    assert_eq!(body["spec"]["template"]["metadata"]["labels"], carried);
    let template = &body["spec"]["template"]["spec"];
    let taint = json!({"key": "node-restriction.kubernetes.io/tenantry-dedicated", "value": "enrolling", "effect": "NoSchedule"});
    assert_eq!(template["taints"], json!([own, taint]));
    assert_eq!((&template["requirements"], &template["expireAfter"]), (&requirements, &json!("Never")));
    assert_eq!(
        (&body["spec"]["replicas"], &body["spec"]["disruption"]),
        (&json!(1), &json!({"budgets": [{"nodes": "0"}]}))
    );
    // What the template says about it counts.
    let mut says = spec_of.clone();
    let says_so = says.template.as_mut().unwrap().node_pool.as_mut().unwrap();
    says_so["template"]["spec"]["expireAfter"] = json!("720h");
    says_so["disruption"] = json!({"budgets": [{"nodes": "1"}]});
    let body = render("hall-own", "u1", &says, &named).unwrap();
    assert_eq!(body["spec"]["template"]["spec"]["expireAfter"], json!("720h"));
    assert_eq!(body["spec"]["disruption"]["budgets"][0]["nodes"], json!("1"));

    let machines = made("hall-own-m2", NodeMaker::MachineDeployment, Some("machines"));
    assert_eq!(render("hall-own", "u1", &spec_of, &machines), None, "nodes are made in another way by now");
    let deployment = json!({"clusterName": "hall", "replicas": 9, "selector": {"matchLabels": {"all": "of them"}},
        "template": {"spec": {"clusterName": "hall"}}});
    let template = json!({"maxNodes": 3, "machineDeployment": {"namespace": "machines", "spec": deployment}});
    let body = render("hall-own", "u1", &spec(template, 0), &machines).unwrap();
    assert_eq!(
        (&body["apiVersion"], &body["metadata"]["namespace"]),
        (&json!("cluster.x-k8s.io/v1beta2"), &json!("machines"))
    );
    let selected = json!({"matchLabels": {MADE_LABEL: "hall-own-m2"}});
    assert_eq!((&body["spec"]["selector"], &body["spec"]["replicas"]), (&selected, &json!(1)));
    let labels =
        json!({"tenantry.io/server-class": "hall", "example.org/use": "own", MADE_LABEL: "hall-own-m2"});
    assert_eq!(body["spec"]["template"]["metadata"]["labels"], labels);
}
