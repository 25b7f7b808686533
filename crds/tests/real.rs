//! A real API server accepts the definitions, and their rules accept and refuse there what they do in process. Needs a
//! client and a clock.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail loudly")]

#[path = "common/cases.rs"]
mod cases;
#[path = "common/objects.rs"]
mod objects;
#[path = "common/server.rs"]
mod server;

use http::Method;
use objects::{base, with};
use serde_json::{Value, json};
use server::{Speaker, collection, path};

#[tokio::test(flavor = "multi_thread")]
async fn definitions_on_a_real_api_server() {
    let Some(cluster) = server::cluster("definitions on a real API server").await else { return };
    let admin = Speaker::new(&cluster.kubeconfig()).await;
    server::install_definitions(&admin).await;
    rules_accept_and_refuse(&admin).await;
    the_largest_objects_stay_within_the_cost_of_rules(&admin).await;
    text_of_every_language_comes_back_unchanged(&admin).await;
    the_examples_are_accepted(&admin).await;
    cluster.stop().await.expect("a clean end");
}

async fn rules_accept_and_refuse(admin: &Speaker) {
    for cases::Case { what, old, new, refused } in cases::all() {
        let answer = match &old {
            None => admin.call(&Method::POST, &format!("{}?dryRun=All", collection(&new)), Some(&new)).await,
            Some(old) => {
                let created = admin.create(old).await;
                let version = created["metadata"]["resourceVersion"].clone();
                let new = with(
                    with(new.clone(), "/metadata/resourceVersion", version),
                    "/metadata/name",
                    old["metadata"]["name"].clone(),
                );
                let answer = admin.call(&Method::PUT, &path(old), Some(&new)).await;
                admin.call(&Method::DELETE, &path(old), None).await.good();
                answer
            }
        };
        match refused {
            None => drop(answer.good()),
            Some(message) => {
                assert_eq!(answer.code, 422, "{what}: {answer:?}");
                assert!(answer.message().contains(message), "{what}: {}", answer.message());
            }
        }
    }
}

/// Creates the object, changes it by `change` and deletes it: rules on creation and on change both run.
async fn create_and_change(admin: &Speaker, object: Value, change: impl FnOnce(Value) -> Value) {
    let created = admin.create(&object).await;
    admin.call(&Method::PUT, &path(&object), Some(&change(created))).await.good();
    admin.call(&Method::DELETE, &path(&object), None).await.good();
}

async fn the_largest_objects_stay_within_the_cost_of_rules(admin: &Speaker) {
    let names: Vec<String> = (0..32).map(|n| format!("{n:0>63}")).collect();
    let items: Vec<Value> = names
        .iter()
        .map(|name| {
            let others: Vec<&String> = names.iter().filter(|other| *other != name).collect();
            json!({"name": name, "title": "t", "category": "Network", "dependsOn": others, "manifests": []})
        })
        .collect();
    let blueprint = with(base("Blueprint"), "/spec/items", json!(items));
    create_and_change(admin, blueprint, |object| with(object, "/spec/items/0/title", json!("changed"))).await;

    // As large as the store accepts: 64 manifests with 1 MiB of templates together.
    let manifests: Vec<Value> =
        (0..64).map(|n| json!({"name": format!("m{n}"), "template": "x".repeat(16 * 1024)})).collect();
    let version = with(base("HostedApplicationVersion"), "/spec/manifests", json!(manifests));
    let version = with(version, "/spec/lifecycle", json!("Published"));
    create_and_change(admin, version, |object| with(object, "/spec/lifecycle", json!("Deprecated"))).await;

    let ranges: Vec<String> =
        (0..64).map(|n| format!("2001:db8:ffff:ffff:ffff:ffff:ffff:{n:x}/128")).collect();
    let users: Vec<Value> = (0..1000)
        .map(|n| json!({"name": format!("u{n:0>62}"), "email": "u@x.example", "roles": ["administrator", "user", "viewer"]}))
        .collect();
    let order = with(base("TenantSubscription"), "/spec/network", json!({"allowFrom": ranges}));
    let order = with(order, "/spec/users", json!(users));
    create_and_change(admin, order, |object| with(object, "/spec/planRef/name", json!("silver"))).await;
}

async fn text_of_every_language_comes_back_unchanged(admin: &Speaker) {
    // Scripts, right-to-left marks, combining marks, an emoji of several code points, separators and YAML look-alikes.
    let texts = [
        "Ünïcode & Söhne",
        "株式会社アクメ",
        "شركة \u{202e}مثال",
        "e\u{301}\u{200b}",
        "👩‍👩‍👧 #1",
        "a\u{2028}b\u{85}c",
        "no: {x} | &y *z",
    ];
    for text in texts {
        let order = with(base("TenantSubscription"), "/spec/organization/name", json!(text));
        let order = with(order, "/spec/contacts/0/name", json!(text));
        let order = with(order, "/spec/contacts/0/email", json!("jörg@müller.example"));
        let order = with(order, "/spec/network", json!({"hosts": ["bücher.example", "*.日本.example"]}));
        let order = with(order, "/spec/parameters", json!({text: [text, {"nested": text}]}));
        let user =
            json!({"name": "ada", "displayName": text, "email": "ада@пример.example", "roles": ["user"]});
        let order = with(order, "/spec/users", json!([user]));
        let plan = with(base("ServicePlan"), "/spec/displayName", json!(text));
        let plan = with(plan, "/spec/description", json!(text));
        let application = with(base("HostedApplication"), "/spec/displayName", json!(text));
        let blueprint = with(base("Blueprint"), "/spec/items/0/title", json!(text));
        let version = with(base("HostedApplicationVersion"), "/spec/manifests/0/template", json!(text));
        for object in [order, plan, application, blueprint, version] {
            admin.create(&object).await;
            let back = admin.get(&path(&object)).await.good();
            assert_eq!(subset(&back["spec"], &object["spec"]), object["spec"]);
            admin.call(&Method::DELETE, &path(&object), None).await.good();
        }
    }
}

async fn the_examples_are_accepted(admin: &Speaker) {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let mut accepted = 0;
    for folder in ["plans", "packed", "tenants"] {
        for entry in std::fs::read_dir(format!("{root}/{folder}")).expect("a folder") {
            let name = entry.expect("an entry").file_name();
            for object in server::documents(&format!("examples/{folder}/{}", name.to_string_lossy())) {
                admin.create(&object).await;
                accepted += 1;
            }
        }
    }
    assert!(accepted > 8, "only {accepted} examples were found");
}

/// What is left of `value` without the fields that `like` lacks: defaults of the server.
fn subset(value: &Value, like: &Value) -> Value {
    match (value, like) {
        (Value::Object(value), Value::Object(like)) => {
            like.iter().filter_map(|(key, like)| Some((key.clone(), subset(value.get(key)?, like)))).collect()
        }
        (Value::Array(value), Value::Array(like)) => {
            value.iter().zip(like).map(|(v, l)| subset(v, l)).collect()
        }
        (value, _) => value.clone(),
    }
}
