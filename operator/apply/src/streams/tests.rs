//! Watches against a scripted API server.

use std::sync::mpsc;

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::*;
use crate::health::Health;
use crate::index::Seen;
use crate::object::{ObjectId, Owner, Stage};
use crate::testing::Script;

fn kind() -> Kind {
    Kind::parse("v1/ConfigMap").unwrap()
}

fn resource() -> ApiResource {
    ApiResource::erase::<k8s_openapi::api::core::v1::ConfigMap>(&())
}

fn object(name: &str, version: &str) -> Value {
    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
           "metadata": {"name": name, "namespace": "n", "uid": name, "resourceVersion": version,
                        "labels": {"tenantry.io/subscription": "acme"}}})
}

fn list(version: &str, items: &[Value]) -> Value {
    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList",
           "metadata": {"resourceVersion": version}, "items": items})
}

struct Bench {
    script: Script,
    streams: Streams,
    index: Arc<SharedIndex>,
    counters: Arc<Counters>,
    changes: mpsc::Receiver<String>,
    changed: Arc<Notify>,
}

fn bench() -> Bench {
    let script = Script::default();
    let (sender, changes) = mpsc::channel();
    let changed = Arc::new(Notify::new());
    let notify = changed.clone();
    let index = Arc::new(SharedIndex::new(Box::new(move |change| {
        sender
            .send(format!("{} {}", change.id.name, change.subscription.clone().unwrap_or_default()))
            .unwrap();
        notify.notify_one();
    })));
    let counters = Arc::new(Counters::default());
    let streams = Streams::new(script.client(), index.clone(), counters.clone());
    Bench { script, streams, index, counters, changes, changed }
}

/// Runs until something holds; the clock is paused, so this ends at once or the test fails.
async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never came to hold");
}

#[tokio::test(start_paused = true)]
async fn a_kind_is_listed_and_watched_by_label_metadata_only() {
    let bench = bench();
    bench.script.answer(200, list("5", &[object("a", "4")]));
    bench.script.answer(200, json!({"type": "MODIFIED", "object": object("b", "6")}));
    bench.script.silence();
    bench.streams.ensure(&kind(), &resource(), Mode::Metadata);
    assert_eq!(bench.streams.pending(), [kind()]);
    while bench.changes.try_recv() != Ok("b acme".into()) {
        bench.changed.notified().await;
    }
    assert!(bench.streams.synced());
    let asked = bench.script.asked();
    assert_eq!(
        asked[0].uri,
        "/api/v1/configmaps?&labelSelector=app.kubernetes.io%2Fmanaged-by%3Dtenantry&limit=250"
    );
    assert_eq!(asked[0].accept, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
    assert!(
        asked[1].uri.contains("watch=true") && asked[1].uri.contains("timeoutSeconds=290"),
        "{}",
        asked[1].uri
    );
    assert!(asked[1].uri.contains("resourceVersion=5"), "{}", asked[1].uri);
    let id = ObjectId::new(kind(), Some("n"), "a");
    assert!(matches!(bench.index.see(&id), Seen::Present(..)));
    bench.streams.remove(&kind());
    assert_eq!(bench.index.see(&id), Seen::NotSynced);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_cannot_start_three_times_is_built_anew() {
    let bench = bench();
    bench.script.answer(200, list("5", &[object("a", "4"), object("b", "4")]));
    for _ in 0..3 {
        bench.script.refuse(400, "BadRequest", "resource version is nonsense");
    }
    bench.script.answer(200, list("9", &[object("b", "4")]));
    bench.script.silence();
    bench.streams.ensure(&kind(), &resource(), Mode::Metadata);
    until(|| bench.script.asked().len() == 6).await;
    assert_eq!(bench.counters.watch_restarts(), 1);
    assert_eq!(bench.index.see(&ObjectId::new(kind(), Some("n"), "a")), Seen::Absent, "missed deletion");
    assert!(matches!(bench.index.see(&ObjectId::new(kind(), Some("n"), "b")), Seen::Present(..)));
}

/// After a restart a tenant that ends may be looked at first, and asks for less than those that go on.
#[tokio::test(start_paused = true)]
async fn a_stronger_watch_counts_only_with_its_own_first_set() {
    let bench = bench();
    let kind = Kind::parse("apps/v1/Deployment").unwrap();
    let resource = ApiResource::erase::<k8s_openapi::api::apps::v1::Deployment>(&());
    bench.script.answer(200, list("5", &[object("a", "4")]));
    bench.script.silence();
    bench.streams.ensure(&kind, &resource, Mode::Metadata);
    until(|| bench.script.asked().len() == 2).await;
    assert!(bench.streams.synced());
    let health = || match bench.index.see(&ObjectId::new(kind.clone(), Some("n"), "a")) {
        Seen::Present(observed, _) => observed.health.clone(),
        seen => panic!("{seen:?}"),
    };
    assert_eq!(health(), Health::Unknown);
    let mut full = object("a", "4");
    full["spec"] = json!({"replicas": 0});
    full["status"] = json!({"observedGeneration": 1});
    bench.script.answer(200, list("6", &[full]));
    bench.script.silence();
    bench.streams.ensure(&kind, &resource, Mode::Health);
    assert_eq!(bench.streams.pending(), std::slice::from_ref(&kind));
    until(|| bench.streams.synced()).await;
    assert_eq!(health(), Health::Current);
}

#[test]
fn a_watch_that_was_replaced_has_no_word_any_more() {
    let turn = Turn::default();
    let mut said = Vec::new();
    let first = turn.next(|| ());
    turn.speak(first, || said.push("first"));
    let second = turn.next(|| ());
    turn.speak(first, || said.push("too late"));
    turn.speak(second, || said.push("second"));
    assert_eq!(said, ["first", "second"]);
}

#[tokio::test(start_paused = true)]
async fn secrets_are_never_watched_and_a_kind_only_once() {
    let bench = bench();
    let secret = Kind::parse("v1/Secret").unwrap();
    bench.streams.ensure(&secret, &resource(), Mode::Status);
    assert_eq!(bench.streams.pending(), []);
    bench.script.answer(200, list("5", &[]));
    bench.script.silence();
    bench.streams.ensure(&kind(), &resource(), Mode::Health);
    bench.streams.ensure(&kind(), &resource(), Mode::Metadata);
    until(|| bench.script.asked().len() == 2).await;
    assert!(
        bench
            .script
            .asked()
            .iter()
            .all(|asked| asked.accept.is_empty() || asked.accept == "application/json")
    );
}

#[test]
fn the_mode_follows_from_health() {
    let owner = Owner { tenant_id: "t".into(), subscription: "s".into(), namespace: "n".into() };
    let desired = |api_version: &str, kind: &str| {
        let body = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}});
        Desired::new(&owner, "i", Stage::Ordinary, true, body).unwrap()
    };
    assert_eq!(Mode::of(&desired("v1", "ConfigMap")), Mode::Metadata);
    assert_eq!(Mode::of(&desired("apps/v1", "Deployment")), Mode::Health);
    let mut custom = desired("example.com/v1", "Database");
    custom.health = HealthRule::ReadyWhen("object.status.ready".into());
    assert_eq!(Mode::of(&custom), Mode::Status);
}

#[test]
fn a_minute_of_failures_is_enough() {
    let mut trouble = Trouble::default();
    let error = || watcher::Error::NoResourceVersion;
    let now = Instant::now();
    assert!(!trouble.is_hopeless(&error(), now));
    assert!(!trouble.is_hopeless(&error(), now + Duration::from_secs(59)));
    assert!(trouble.is_hopeless(&error(), now + Duration::from_secs(60)));
    let listing = || watcher::Error::InitialListFailed(kube::Error::Service("gone".into()));
    assert!(!Trouble::default().is_hopeless(&listing(), now), "a list starts anew by itself");
}

/// Every page of a first list is in memory, so few are asked for at once; and who is refused keeps nobody waiting.
#[tokio::test(start_paused = true)]
async fn first_lists_take_turns() {
    let bench = bench();
    let kinds: Vec<Kind> = (0..LISTS_AT_ONCE + 2)
        .map(|n| Kind::parse(&format!("x{n}.example.org/v1/ConfigMap")).unwrap())
        .collect();
    (0..LISTS_AT_ONCE).for_each(|_| bench.script.silence());
    kinds.iter().for_each(|kind| bench.streams.ensure(kind, &resource(), Mode::Metadata));
    until(|| bench.script.asked().len() == LISTS_AT_ONCE).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(bench.script.asked().len(), LISTS_AT_ONCE, "the others wait");
    drop(bench);

    let bench = self::bench();
    (0..LISTS_AT_ONCE).for_each(|_| bench.script.refuse(403, "Forbidden", "not yours"));
    bench.script.answer(200, list("5", &[]));
    (0..=LISTS_AT_ONCE).for_each(|_| bench.script.silence());
    let (last, refused) = (&kinds[LISTS_AT_ONCE], &kinds[..LISTS_AT_ONCE]);
    refused.iter().chain([last]).for_each(|kind| bench.streams.ensure(kind, &resource(), Mode::Metadata));
    until(|| !bench.streams.pending().contains(last)).await;
    assert_eq!(bench.streams.pending(), refused);
}
