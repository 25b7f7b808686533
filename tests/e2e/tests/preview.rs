//! Preview: what it shows is what happens, it changes nothing, and what would be refused is said with the reason.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use tenantry_crds::TenantSubscription;
use tenantry_e2e::census::{Census, differences};
use tenantry_e2e::orders::{erp, mail, with};
use tenantry_e2e::process::binary;
use tenantry_e2e::wait::is_live;
use tenantry_e2e::{Setup, World, wait, world};

/// What `tenantry preview` gives, and whether all of it would be accepted.
async fn preview(world: &World, arguments: &[&str]) -> (Value, bool) {
    let output = tokio::process::Command::new(binary("tenantry").unwrap())
        .env("KUBECONFIG", world.cluster.kubeconfig())
        .arg("preview")
        .args(arguments)
        .args(["-o", "json"])
        .stderr(Stdio::inherit())
        .output()
        .await
        .unwrap();
    (serde_json::from_slice(&output.stdout).unwrap(), output.status.success())
}

async fn content(world: &World, name: &str) -> BTreeMap<String, Value> {
    let subscription = world.until(name, |_| true).await.unwrap();
    Census::of(&world.client, &subscription).await.unwrap().content().unwrap()
}

/// Kind and name of the objects of a list, in one word each.
fn objects(tenant: &Value, list: &str) -> BTreeSet<String> {
    let one = |object: &Value| {
        format!("{}/{}", object["kind"].as_str().unwrap().to_lowercase(), object["name"].as_str().unwrap())
    };
    tenant[list].as_array().unwrap().iter().map(one).collect()
}

/// The same of what differs between two looks at a tenant, by what happened to it: made, changed, gone.
fn happened(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> [BTreeSet<String>; 3] {
    let word = |key: &String| {
        let (resource, name) = key.split_once('/').unwrap();
        let plural = resource.split('.').next().unwrap();
        let kind = plural
            .strip_suffix("ies")
            .map_or_else(|| plural.strip_suffix('s').unwrap_or(plural).to_owned(), |stem| format!("{stem}y"));
        format!("{kind}/{name}")
    };
    let differing = differences(before, after);
    let of = |test: &dyn Fn(&String) -> bool| differing.keys().filter(|key| test(key)).map(word).collect();
    [
        of(&|key| !before.contains_key(key)),
        of(&|key| before.contains_key(key) && after.contains_key(key)),
        of(&|key| !after.contains_key(key)),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_previewed_is_what_happens() {
    let mut world = World::start(Setup::default()).await.unwrap();
    world.apply_all(&world::definitions_without_terms().unwrap()).await.unwrap();
    world.run_controller(&[]).unwrap();
    let ada = json!({"name": "ada", "email": "ada@acme.example", "roles": ["administrator"]});
    let acme =
        with(with(erp("acme"), "spec.users", json!([ada])), "spec.network.hosts", json!(["acme.example"]));
    world.apply_all(&[acme.clone(), mail("bolt")]).await.unwrap();
    world.until("acme", is_live).await.unwrap();
    world.until("bolt", is_live).await.unwrap();

    another_plan(&world).await;
    another_order(&world, &acme).await;
    another_definition(&world).await;
    refused(&world).await;
    somebody_new(&world).await;
}

/// Another plan: the objects that differ afterwards are those that were named.
async fn another_plan(world: &World) {
    let before = content(world, "acme").await;
    let version = world.until("acme", |_| true).await.unwrap().metadata.resource_version;
    let (told, good) = preview(world, &["acme", "--plan", "silver"]).await;
    assert!(good, "{told:#}");
    let still = world.until("acme", |_| true).await.unwrap().metadata.resource_version;
    assert_eq!(version, still, "nothing was written");
    world.patch("acme", json!({"spec": {"planRef": {"name": "silver"}}})).await.unwrap();
    let moved = |acme: &TenantSubscription| {
        let accepted = acme.status.as_ref().and_then(|status| status.accepted.as_ref());
        is_live(acme) && accepted.is_some_and(|accepted| accepted.plan.starts_with("silver@"))
    };
    world.until("acme", moved).await.unwrap();
    compare(&told["tenants"][0], &before, &content(world, "acme").await);
}

/// What was told against what happened. Generations count edits, and are Kubernetes' own.
fn compare(told: &Value, before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) {
    let without = |content: &BTreeMap<String, Value>| -> BTreeMap<String, Value> {
        let mut content = content.clone();
        for metadata in content.values_mut().filter_map(|object| object.get_mut("metadata")?.as_object_mut())
        {
            metadata.remove("generation");
            metadata.remove("annotations");
        }
        content.retain(|key, _| !key.starts_with("jobs.") && !key.starts_with("leases."));
        content
    };
    let [made, changed, gone] = happened(&without(before), &without(after));
    assert_eq!(objects(told, "added"), made, "{told:#}");
    assert_eq!(objects(told, "removed"), gone, "{told:#}");
    // Annotations alone make a change as well, and are left out of the comparison because others write them too.
    let announced = objects(told, "changed");
    assert!(changed.is_subset(&announced), "{changed:?} is not all in {announced:?}");
    let silent: BTreeSet<_> = announced.difference(&changed).cloned().collect();
    for object in told["changed"].as_array().unwrap() {
        let name = format!(
            "{}/{}",
            object["kind"].as_str().unwrap().to_lowercase(),
            object["name"].as_str().unwrap()
        );
        let only_annotations = object["fields"]
            .as_array()
            .unwrap()
            .iter()
            .all(|field| field["path"].as_str().unwrap().contains("annotations"));
        assert!(
            !silent.contains(&name) || only_annotations,
            "{name} was announced and is the same: {object:#}"
        );
    }
}

/// An order as its file has it, with fewer hosts and more people.
async fn another_order(world: &World, acme: &Value) {
    let uwe = json!({"name": "uwe", "email": "uwe@acme.example", "roles": ["user"]});
    let order = with(with(acme.clone(), "spec.users", json!([uwe])), "spec.network.hosts", json!([]));
    let order = with(order, "spec.planRef", json!({"name": "silver"}));
    let file = write(world, "order.yaml", std::slice::from_ref(&order));
    let before = content(world, "acme").await;
    let (told, good) = preview(world, &["-f", &file]).await;
    assert!(good, "{told:#}");
    assert!(objects(&told["tenants"][0], "removed").contains("httproute/public"), "{told:#}");
    let generation = world.until("acme", |_| true).await.unwrap().metadata.generation;
    world.apply_all(&[order]).await.unwrap();
    let done = |acme: &TenantSubscription| acme.metadata.generation > generation && is_live(acme);
    world.until("acme", done).await.unwrap();
    compare(&told["tenants"][0], &before, &content(world, "acme").await);
}

fn write(world: &World, name: &str, documents: &[Value]) -> String {
    let file: &Path = world.directory();
    let file = file.join(name);
    let text: String = documents.iter().map(|document| format!("---\n{document}\n")).collect();
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

/// A changed blueprint: every tenant that it touches, and no other.
async fn another_definition(world: &World) {
    let mut standard = definition("standard");
    standard["spec"]["settings"]["dnsNamespace"] = json!("dns-system");
    let file = write(world, "blueprint.yaml", &[standard]);
    let (told, good) = preview(world, &["-f", &file]).await;
    assert!(good, "{told:#}");
    let names: Vec<_> = told["tenants"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["acme", "bolt"], "{told:#}");
    for tenant in told["tenants"].as_array().unwrap() {
        let changed = objects(tenant, "changed");
        assert!(
            !changed.is_empty() && changed.iter().all(|one| one.starts_with("networkpolicy/")),
            "{tenant:#}"
        );
        let fields = tenant["changed"][0]["fields"].to_string();
        assert!(fields.contains("dns-system") && fields.contains("kube-system"), "{fields}");
    }
    let mut silver = definition("silver");
    silver["spec"]["accounts"]["seats"] = json!(silver["spec"]["accounts"]["seats"].as_i64().unwrap() + 1);
    let (told, _) = preview(world, &["-f", &write(world, "plan.yaml", &[silver])]).await;
    let names: Vec<_> = told["tenants"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["acme", "bolt"], "who has the plan: {told:#}");
}

fn definition(name: &str) -> Value {
    world::definitions().unwrap().into_iter().find(|one| one["metadata"]["name"] == name).unwrap()
}

/// What would be refused is said as the controller, or the API server, would say it.
async fn refused(world: &World) {
    let (told, good) = preview(world, &["acme", "--plan", "silver", "--application-version", "9.9.9"]).await;
    assert!(!good);
    let why = told["tenants"][0]["refused"].to_string();
    assert!(
        why.contains("spec.applicationRef.version") && why.contains("there is no application version"),
        "{why}"
    );
    // A volume never changes its class: the plan would be accepted, and two objects of its tenant would not.
    let mut silver = definition("silver");
    let classes = silver["spec"]["storage"]["classes"].as_array_mut().unwrap();
    let mut premium = classes[0].clone();
    premium["name"] = json!("premium");
    classes.insert(0, premium);
    let (told, good) = preview(world, &["-f", &write(world, "silver.yaml", &[silver])]).await;
    assert!(!good);
    let volumes =
        told["tenants"][0]["changed"].as_array().unwrap().iter().filter(|one| one["refused"].is_string());
    let volumes: BTreeSet<_> = volumes.map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(volumes, BTreeSet::from(["archive", "database"]), "{told:#}");
    let mut broken = definition("standard");
    broken["spec"]["items"][0]["dependsOn"] = json!(["nothing"]);
    let (told, good) = preview(world, &["-f", &write(world, "broken.yaml", &[broken])]).await;
    assert!(!good);
    let why = told["refused"]["Blueprint standard"].to_string();
    assert!(why.contains("depends on `nothing`, which is not there"), "{told:#}");
    let other = with(
        with(erp("acme"), "spec.applicationRef.name", json!("mail")),
        "spec.applicationRef.version",
        json!("1.8.0"),
    );
    let (told, good) = preview(world, &["-f", &write(world, "other.yaml", &[other])]).await;
    assert!(!good);
    let why = told["tenants"][0]["refused"].to_string();
    assert!(why.contains("a subscription cannot change to another application"), "{why}");
}

/// An order of somebody new: everything that would be made, and nothing is.
async fn somebody_new(world: &World) {
    let file = write(world, "new.yaml", &[mail("corvus")]);
    let (told, good) = preview(world, &["-f", &file]).await;
    assert!(good, "{told:#}");
    let added = objects(&told["tenants"][0], "added");
    for one in ["namespace/tenant-corvus", "deployment/mail", "resourcequota/tenantry-quota"] {
        assert!(added.contains(one), "{one} is not in {added:?}");
    }
    let api: Api<TenantSubscription> = Api::all(world.client.clone());
    assert!(api.get_opt("corvus").await.unwrap().is_none());
    let text =
        tenantry_e2e::people::tenantry(&world.cluster.kubeconfig(), &["preview", "-f", &file]).await.unwrap();
    assert!(text.contains("+ Namespace tenant-corvus") && text.contains("usually takes at most"), "{text}");
    world.apply_all(&[mail("corvus")]).await.unwrap();
    let corvus = world.until("corvus", is_live).await.unwrap();
    let made = Census::of(&world.client, &corvus).await.unwrap();
    assert_eq!(made.labelled().len(), added.len(), "{:?} and {added:?}", made.labelled_keys());
    api.delete("corvus", &DeleteParams::default()).await.unwrap();
    wait::gone(api, "corvus").await.unwrap();
}
