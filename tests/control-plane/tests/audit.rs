//! Counting is exact: a known sequence of requests gives exactly its numbers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly; clippy's own exception covers test functions but not what they call"
)]

mod common;

use std::collections::BTreeMap;

use common::{create, in_namespace};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchParams};
use serde_json::json;
use tenantry_control_plane::{Audit, AuditEvent, Cluster, Options, Profile, Tally, client_from};

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_counts_its_requests() {
    let cluster = Cluster::start(Options::new(Profile::P1)).await.unwrap();
    let audit = cluster.audit().await.unwrap();
    counting_is_exact(&cluster, &audit).await;
    a_watch_is_counted_once_when_it_begins(&cluster, &audit).await;
    other_identities_are_counted_apart(&cluster, &audit).await;
    many_requests_at_once_are_all_counted(&cluster, &audit).await;
}

fn map(name: &str) -> serde_json::Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}})
}

fn shape(event: &AuditEvent) -> (&str, &str, &str, u16) {
    (&event.verb, &event.resource, &event.name, event.code)
}

async fn counting_is_exact(cluster: &Cluster, audit: &Audit) {
    let maps: Api<ConfigMap> = in_namespace(&cluster.client().await.unwrap(), "default");
    let mark = audit.mark().await.unwrap();
    assert_eq!(audit.since_by(mark, "admin").await.unwrap(), Vec::new());

    create(&maps, map("one")).await;
    maps.create(&PostParams::default(), &serde_json::from_value(map("one")).unwrap()).await.unwrap_err();
    maps.get("one").await.unwrap();
    maps.get_opt("two").await.unwrap();
    maps.list(&ListParams::default()).await.unwrap();
    maps.patch("one", &PatchParams::apply("test").force(), &Patch::Apply(map("one"))).await.unwrap();
    maps.delete("one", &DeleteParams::default()).await.unwrap();

    let events = audit.since_by(mark, "admin").await.unwrap();
    let shapes: Vec<_> = events.iter().map(shape).collect();
    let expected = [
        ("create", "configmaps", "one", 201),
        ("create", "configmaps", "one", 409),
        ("get", "configmaps", "one", 200),
        ("get", "configmaps", "two", 404),
        ("list", "configmaps", "", 200),
        ("patch", "configmaps", "one", 200),
        ("delete", "configmaps", "one", 200),
    ];
    assert_eq!(shapes, expected);
    assert!(events.is_sorted_by_key(|event| event.at));
    assert!(events.iter().all(|event| event.namespace == "default" && event.group.is_empty()));
    let by_verb = [("create", 2), ("get", 2), ("list", 1), ("patch", 1), ("delete", 1)];
    let tally = audit.count(mark, "admin").await.unwrap();
    let by_verb: BTreeMap<String, usize> =
        by_verb.into_iter().map(|(verb, count)| (verb.to_owned(), count)).collect();
    assert_eq!(tally, Tally { reads: 3, writes: 4, by_verb });
    assert_eq!(events.iter().filter(|event| event.is_successful_write()).count(), 3);
    assert_eq!(audit.count(audit.mark().await.unwrap(), "admin").await.unwrap(), Tally::default());
}

async fn a_watch_is_counted_once_when_it_begins(cluster: &Cluster, audit: &Audit) {
    let maps: Api<ConfigMap> = in_namespace(&cluster.client().await.unwrap(), "default");
    let before = audit.mark().await.unwrap();
    let stream = maps.watch(&WatchParams::default().timeout(60), "0").await.unwrap();
    let mut stream = Box::pin(stream);
    stream.next().await.unwrap().unwrap();
    let during = audit.mark().await.unwrap();
    assert_eq!(
        audit.count(before, "admin").await.unwrap().by_verb,
        BTreeMap::from([("watch".to_owned(), 1)])
    );
    drop(stream);
    // A short watch after it ends within the count: its end must not count, and neither must that of the first.
    let short = maps.watch(&WatchParams::default().timeout(1), "0").await.unwrap();
    short.for_each(|_| async {}).await;
    assert_eq!(audit.count(during, "admin").await.unwrap().reads, 1);
}

async fn other_identities_are_counted_apart(cluster: &Cluster, audit: &Audit) {
    let mark = audit.mark().await.unwrap();
    for kubeconfig in [
        cluster.kubeconfig_for("olga", &["staff"]).unwrap(),
        cluster.kubeconfig_for("eva", &["staff", "people"]).unwrap(),
        cluster.kubeconfig_for_service_account("default", "default").await.unwrap(),
    ] {
        let maps: Api<ConfigMap> = in_namespace(&client_from(&kubeconfig).await.unwrap(), "default");
        maps.get("one").await.unwrap_err();
    }
    for user in ["olga", "eva", "system:serviceaccount:default:default"] {
        let events = audit.since_by(mark, user).await.unwrap();
        assert_eq!(
            events.iter().map(shape).collect::<Vec<_>>(),
            [("get", "configmaps", "one", 403)],
            "{user}"
        );
    }
    assert_eq!(audit.count(mark, "admin").await.unwrap(), Tally::default());
}

/// Answers and log lines of concurrent requests interleave; whoever has the answer must find the line.
async fn many_requests_at_once_are_all_counted(cluster: &Cluster, audit: &Audit) {
    let maps: Api<ConfigMap> = in_namespace(&cluster.client().await.unwrap(), "default");
    let mark = audit.mark().await.unwrap();
    let creates = (0..200).map(|index| {
        let maps = maps.clone();
        async move {
            let mut body = map(&format!("many-{index}"));
            body["data"]["padding"] = "x".repeat(index * 100).into();
            create(&maps, body).await;
        }
    });
    futures::stream::iter(creates).buffer_unordered(32).collect::<Vec<()>>().await;
    let tally = audit.count(mark, "admin").await.unwrap();
    assert_eq!((tally.reads, tally.writes), (0, 200));
}
