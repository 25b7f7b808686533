//! What a change costs: one write for each object that it touches, two of the status, and nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tenantry_control_plane::{AuditEvent, Mark};
use tenantry_crds::inventory::EntryState;
use tenantry_crds::{ServicePlan, TenantSubscription};
use tenantry_e2e::census::{Census, differences, key_of};
use tenantry_e2e::report::is_for;
use tenantry_e2e::{CONTROLLER_USER, Setup, World, wait, world};

const QUOTA: &str = "resourcequotas/tenantry-quota";
const LIMITS: &str = "limitranges/tenantry-limits";
const DASHBOARD: &str = "configmaps/dashboard";
const SETTINGS: &str = "configmaps/mail-settings";

fn order(name: &str, plan: &str) -> Value {
    json!({
        "apiVersion": "tenantry.io/v1alpha1",
        "kind": "TenantSubscription",
        "metadata": {"name": name},
        "spec": {
            "organization": {"name": "Change & Søn", "country": "DK"},
            "contacts": [{"role": "Technical", "name": "Zoë", "email": "zoe@change.example"}],
            "planRef": {"name": plan},
            "applicationRef": {"name": "mail", "version": "1.8.0"},
            "parameters": {"domain": format!("{name}.example")},
            "users": [{"name": "zoe", "email": "zoe@change.example", "roles": ["administrator"]}],
            "network": {"hosts": [format!("mail.{name}.example")]},
            "deletionPolicy": "Delete",
            "deletionProtection": false,
        },
    })
}

/// The definitions of the examples. In the blueprint, one ConfigMap is for tenants of Silver only and another for those
/// of Gold, so that a change of plan also takes something away.
fn definitions() -> Vec<Value> {
    let mut documents = world::definitions_without_terms().unwrap();
    let only = |tier: &str, name: &str| {
        let template = format!(
            "{{% if plan.tier == \"{tier}\" %}}\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n{{% endif %}}\n"
        );
        json!({"name": format!("{name}.yaml"), "template": template})
    };
    let blueprint = documents.iter_mut().find(|document| document["kind"] == "Blueprint").unwrap();
    let items = blueprint["spec"]["items"].as_array_mut().unwrap();
    let monitoring = items.iter_mut().find(|item| item["name"] == "monitoring").unwrap();
    let manifests = monitoring["manifests"].as_array_mut().unwrap();
    manifests.extend([only("Silver", "only-silver"), only("Gold", "only-gold")]);
    documents
}

/// Live for the present spec, and nothing is on its way. What the cluster does not serve stays pending for ever.
fn is_settled(subscription: &TenantSubscription) -> bool {
    let inventory = subscription.status.as_ref().and_then(|status| status.inventory.as_ref());
    let is_live = wait::is_true(subscription, "Live") && wait::is_true(subscription, "Ready");
    let mut made = inventory.iter().flat_map(|inventory| &inventory.objects);
    is_live && made.all(|entry| entry.state == EntryState::Live || entry.kind == "k8up.io/v1/Schedule")
}

/// A tenant before a change.
struct Before<'a> {
    world: &'a World,
    name: &'a str,
    mark: Mark,
    census: Census,
}

/// What a change came to.
struct Cost {
    /// Verbs of the writes to each object.
    objects: BTreeMap<String, Vec<String>>,
    after: Census,
}

// === impl Before ===

impl<'a> Before<'a> {
    async fn look(world: &'a World, name: &'a str) -> Self {
        let settled = world.until(name, is_settled).await.unwrap();
        let census = Census::of(&world.client, &settled).await.unwrap();
        let mark = world.cluster.audit().await.unwrap().mark().await.unwrap();
        Self { world, name, mark, census }
    }

    /// Waits for the end of the change and holds its requests against what it changed.
    async fn cost(self, also: impl Fn(&TenantSubscription) -> bool) -> Cost {
        let Self { world, name, mark, census: before } = self;
        let settled = world.until(name, |s| is_settled(s) && also(s)).await.unwrap();
        let after = Census::of(&world.client, &settled).await.unwrap();
        let events = world.cluster.audit().await.unwrap().since(mark).await.unwrap();
        let writes: Vec<&AuditEvent> =
            events.iter().filter(|event| event.is_successful_write() && is_for(event, name)).collect();
        let (statuses, objects): (Vec<&AuditEvent>, Vec<&AuditEvent>) =
            writes.iter().copied().partition(|event| event.resource == "tenantsubscriptions");
        // A change that takes longer than a second may write the status once a second.
        let first_and_last = writes.first().zip(writes.last());
        let seconds = first_and_last.map_or(0, |(first, last)| last.at.duration_since(first.at).as_secs());
        assert!(
            statuses.len() <= 2 + usize::try_from(seconds).unwrap(),
            "{name}: {} writes of the status in {seconds} s: {writes:#?}",
            statuses.len()
        );
        assert!(statuses.iter().all(|event| event.subresource == "status"), "{name}: {statuses:#?}");
        let mut cost = Cost { objects: BTreeMap::new(), after };
        for event in objects {
            cost.objects.entry(key_of(event)).or_default().push(event.verb.clone());
        }
        let changed = differences(&content(&before), &content(&cost.after));
        let one_write = |(key, [was, is]): (&String, &[Value; 2])| {
            let verb = if was.is_null() {
                "create"
            } else if is.is_null() {
                "delete"
            } else {
                "patch"
            };
            (key.clone(), vec![verb.to_owned()])
        };
        let expected: BTreeMap<_, _> = changed.iter().map(one_write).collect();
        assert_eq!(cost.objects, expected, "{name}: one write for each changed object: {changed:#?}");
        // Kubernetes itself writes to what the change does not touch: a volume knows whether a pod uses it.
        let by_others =
            events.iter().filter(|event| event.is_successful_write() && event.user != CONTROLLER_USER);
        let in_namespace = by_others.filter(|event| event.namespace == format!("tenant-{name}"));
        let written: BTreeSet<String> = changed.into_keys().chain(in_namespace.map(key_of)).collect();
        let versions = cost.after.versions();
        for (key, version) in before.versions().iter().filter(|(key, _)| !written.contains(*key)) {
            assert_eq!(versions.get(key), Some(version), "{name}: {key} was touched");
        }
        cost
    }
}

// === impl Cost ===

impl Cost {
    fn touched(&self) -> BTreeSet<&str> {
        self.objects.keys().map(String::as_str).collect()
    }
}

/// What stands in the objects, without how often they changed.
fn content(census: &Census) -> BTreeMap<String, Value> {
    let mut content = census.content().unwrap();
    for object in content.values_mut() {
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.remove("generation");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("deployment.kubernetes.io/revision");
        }
    }
    content
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_costs_one_write_for_each_object_it_touches() {
    let mut world = World::start(Setup::default()).await.unwrap();
    world.apply_all(&definitions()).await.unwrap();
    world.run_controller(&[]).unwrap();
    world.definitions_accepted().await.unwrap();
    for (name, plan) in [("anton", "silver"), ("berta", "silver"), ("cesar", "gold")] {
        world.apply_all(&[order(name, plan)]).await.unwrap();
        world.until(name, is_settled).await.unwrap();
    }
    another_plan_and_back(&world).await;
    an_edited_plan(&world).await;
    a_parameter(&world).await;
    people(&world).await;
    a_host(&world).await;
}

async fn another_plan_and_back(world: &World) {
    let before = Before::look(world, "anton").await;
    let original = content(&before.census);
    world.patch("anton", json!({"spec": {"planRef": {"name": "gold"}}})).await.unwrap();
    let cost = before.cost(|_| true).await;
    let touched = [
        DASHBOARD,
        "configmaps/only-gold",
        "configmaps/only-silver",
        "deployments.apps/mail",
        LIMITS,
        "prometheusrules.monitoring.coreos.com/application",
        QUOTA,
        "servicemonitors.monitoring.coreos.com/application",
    ];
    assert_eq!(cost.touched(), BTreeSet::from(touched));

    let before = Before::look(world, "anton").await;
    world.patch("anton", json!({"spec": {"planRef": {"name": "silver"}}})).await.unwrap();
    let cost = before.cost(|_| true).await;
    assert_eq!(cost.touched(), BTreeSet::from(touched));
    let unlike = differences(&original, &content(&cost.after));
    assert!(unlike.is_empty(), "going back restores what was: {unlike:#?}");
}

/// A plan that gives more reaches the tenants that have it, and no others.
async fn an_edited_plan(world: &World) {
    let before = [Before::look(world, "anton").await, Before::look(world, "berta").await];
    let spectator = Before::look(world, "cesar").await;
    let accepted =
        |s: &TenantSubscription| s.status.as_ref().unwrap().accepted.as_ref().unwrap().plan.clone();
    let old = accepted(&world.until("anton", is_settled).await.unwrap());
    let plans: Api<ServicePlan> = Api::all(world.client.clone());
    let more = json!({"spec": {"servers": {"memory": "6Gi", "pods": 12}}});
    plans.patch("silver", &PatchParams::default(), &Patch::Merge(more)).await.unwrap();
    for before in before {
        let cost = before.cost(|s| accepted(s) != old).await;
        assert_eq!(cost.touched(), BTreeSet::from([DASHBOARD, LIMITS, QUOTA]));
    }
    let cost = spectator.cost(|_| true).await;
    assert_eq!(cost.touched(), BTreeSet::new());
}

async fn a_parameter(world: &World) {
    let before = Before::look(world, "anton").await;
    world.patch("anton", json!({"spec": {"parameters": {"greeting": "Grüß Gott"}}})).await.unwrap();
    assert_eq!(before.cost(|_| true).await.touched(), BTreeSet::from([SETTINGS]));
}

/// A binding is for a role that somebody has: it comes with the first person and goes with the last.
async fn people(world: &World) {
    let person = |name: &str, roles: &[&str]| json!({"name": name, "email": format!("{name}@change.example"), "roles": roles});
    let (zoe, bea, kim) =
        (person("zoe", &["administrator"]), person("bea", &["administrator"]), person("kim", &["user"]));
    let binding = "rolebindings.rbac.authorization.k8s.io/tenantry-access-user";
    let steps = [
        (json!([zoe, bea]), BTreeSet::new()),
        (json!([zoe, bea, kim]), BTreeSet::from([binding])),
        (json!([zoe]), BTreeSet::from([binding])),
    ];
    for (users, touched) in steps {
        let before = Before::look(world, "anton").await;
        world.patch("anton", json!({"spec": {"users": users}})).await.unwrap();
        assert_eq!(before.cost(|_| true).await.touched(), touched, "{users}");
    }
}

async fn a_host(world: &World) {
    let before = Before::look(world, "anton").await;
    let hosts = json!(["mail.anton.example", "post.anton.example"]);
    world.patch("anton", json!({"spec": {"network": {"hosts": hosts}}})).await.unwrap();
    let route = "httproutes.gateway.networking.k8s.io/public";
    assert_eq!(before.cost(|_| true).await.touched(), BTreeSet::from([SETTINGS, route]));
}
