//! What runs on a full control plane: pods, jobs, claims, nodes, routes, identities. One cluster for all of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly; clippy's own exception covers test functions but not what they call"
)]

mod common;

use std::time::{Duration, Instant};

use common::{create, in_namespace};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolume, PersistentVolumeClaim, Pod, ServiceAccount};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::runtime::wait::{Condition, await_condition, conditions};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tenantry_control_plane::{Cluster, Crd, Options, Profile, Taint, client_from};
use tokio::time::timeout;

/// Far beyond what anything here takes; only a failing test gets here.
const PATIENCE: Duration = Duration::from_secs(60);

/// One start serves all parts; each uses objects of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_control_plane_does_what_a_cluster_does() {
    let cluster = Cluster::start(Options::new(Profile::P2)).await.unwrap();
    let client = cluster.client().await.unwrap();
    tokio::join!(
        deployment_becomes_available(&client),
        job_reports_its_message(&client),
        claims_bind_grow_and_take_their_volume_along(&client),
        namespace_with_pods_and_claims_ends(&client),
        pods_follow_labels_and_taints(&cluster, &client),
        routes_are_accepted(&cluster, &client),
        identities_are_who_they_say(&cluster),
        every_kind_installs_and_keeps_its_status(&cluster),
    );
    everything_goes_on_after_an_outage(&cluster, &client).await;
    cluster.stop().await.unwrap();
}

async fn everything_goes_on_after_an_outage(cluster: &Cluster, client: &Client) {
    cluster.restart_apiserver().await.unwrap();
    let began = Instant::now();
    let claims: Api<PersistentVolumeClaim> = in_namespace(client, "default");
    create(&claims, claim("later", None)).await;
    let pods: Api<Pod> = in_namespace(client, "default");
    let volume = json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "later"}}]});
    create(&pods, json!({"metadata": {"name": "later"}, "spec": pod_spec(volume)})).await;
    until(&pods, "later", conditions::is_pod_running()).await;
    let routes = routes(client);
    let other = json!({"spec": {"hostnames": ["shop3.example.test"]}});
    routes.patch("shop", &PatchParams::default(), &Patch::Merge(other)).await.unwrap();
    accepted_at(&routes, 3).await;
    println!(
        "pod with a claim ran and a route was accepted {:.1} s after an outage",
        began.elapsed().as_secs_f64()
    );
}

fn routes(client: &Client) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute"));
    Api::namespaced_with(client.clone(), "default", &kind)
}

async fn until<K>(api: &Api<K>, name: &str, condition: impl Condition<K>) -> Option<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    timeout(PATIENCE, await_condition(api.clone(), name, condition))
        .await
        .unwrap_or_else(|_| panic!("{name} did not get there"))
        .unwrap()
}

fn pod_spec(extra: Value) -> Value {
    let mut spec = json!({"containers": [{"name": "main", "image": "example.test/none"}]});
    spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    spec
}

async fn deployment_becomes_available(client: &Client) {
    let deployments: Api<Deployment> = in_namespace(client, "default");
    let began = Instant::now();
    create(
        &deployments,
        json!({
            "metadata": {"name": "web"},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod_spec(json!({}))},
            },
        }),
    )
    .await;
    until(&deployments, "web", |deployment: Option<&Deployment>| {
        deployment.and_then(|it| it.status.as_ref()?.available_replicas) == Some(2)
    })
    .await;
    println!("2 replicas available after {:.2} s", began.elapsed().as_secs_f64());
}

async fn job_reports_its_message(client: &Client) {
    let jobs: Api<Job> = in_namespace(client, "default");
    create(&jobs, json!({
        "metadata": {"name": "convert"},
        "spec": {"template": {
            "metadata": {"annotations": {"kwok.x-k8s.io/termination-message": "{\"rows\": 7, \"note\": \"a \\\"b\\\"\"}"}},
            "spec": pod_spec(json!({"restartPolicy": "Never"})),
        }},
    })).await;
    until(&jobs, "convert", conditions::is_job_completed()).await;
    let pods: Api<Pod> = in_namespace(client, "default");
    let pod = pods.list(&ListParams::default().labels("job-name=convert")).await.unwrap().items.remove(0);
    let state = pod.status.unwrap().container_statuses.unwrap().remove(0).state.unwrap();
    let message: Value = serde_json::from_str(&state.terminated.unwrap().message.unwrap()).unwrap();
    assert_eq!(message, json!({"rows": 7, "note": "a \"b\""}));
    jobs.delete("convert", &DeleteParams::background()).await.unwrap();
    until(&jobs, "convert", |job: Option<&Job>| job.is_none()).await;
}

fn claim(name: &str, class: Option<&str>) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "storageClassName": class,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    })
}

async fn claims_bind_grow_and_take_their_volume_along(client: &Client) {
    let claims: Api<PersistentVolumeClaim> = in_namespace(client, "default");
    let bound = |claim: Option<&PersistentVolumeClaim>| {
        claim.and_then(|it| it.status.as_ref()?.phase.as_deref()) == Some("Bound")
    };
    for (name, class) in [("plain", None), ("fast", Some("premium"))] {
        let began = Instant::now();
        create(&claims, claim(name, class)).await;
        let claim = until(&claims, name, bound).await.unwrap();
        println!("claim bound after {:.2} s", began.elapsed().as_secs_f64());
        assert_eq!(claim.spec.unwrap().storage_class_name.as_deref(), class.or(Some("standard")));
    }
    let more = json!({"spec": {"resources": {"requests": {"storage": "3Gi"}}}});
    claims.patch("plain", &PatchParams::default(), &Patch::Merge(more)).await.unwrap();
    let grown = until(&claims, "plain", |claim: Option<&PersistentVolumeClaim>| {
        claim.and_then(|it| Some(it.status.as_ref()?.capacity.as_ref()?.get("storage")?.0 == "3Gi"))
            == Some(true)
    })
    .await;
    let volume = grown.unwrap().spec.unwrap().volume_name.unwrap();
    claims.delete("plain", &DeleteParams::default()).await.unwrap();
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    until(&volumes, &volume, |volume: Option<&PersistentVolume>| volume.is_none()).await;
}

async fn namespace_with_pods_and_claims_ends(client: &Client) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    create(&namespaces, json!({"metadata": {"name": "ending"}})).await;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "ending");
    until(&accounts, "default", |account: Option<&ServiceAccount>| account.is_some()).await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), "ending");
    create(&claims, claim("data", None)).await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), "ending");
    // The namespace controller waits half the longest grace period of the pods before it looks again.
    let volume = json!({"terminationGracePeriodSeconds": 1, "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]});
    create(&pods, json!({"metadata": {"name": "user"}, "spec": pod_spec(volume)})).await;
    until(&pods, "user", conditions::is_pod_running()).await;
    let began = Instant::now();
    namespaces.delete("ending", &DeleteParams::default()).await.unwrap();
    until(&namespaces, "ending", |namespace: Option<&Namespace>| namespace.is_none()).await;
    println!("namespace with a pod and a claim ended after {:.1} s", began.elapsed().as_secs_f64());
}

async fn pods_follow_labels_and_taints(cluster: &Cluster, client: &Client) {
    let taint = Taint { key: "example.test/dedicated", value: "acme", effect: "NoSchedule" };
    cluster.add_node("big-0", &[("example.test/class", "big")], &[taint]).await.unwrap();
    let pods: Api<Pod> = in_namespace(client, "default");
    let selector = json!({"nodeSelector": {"example.test/class": "big"}});
    create(&pods, json!({"metadata": {"name": "stranger"}, "spec": pod_spec(selector.clone())})).await;
    let mut tolerant = selector;
    tolerant["tolerations"] = json!([{"key": "example.test/dedicated", "operator": "Exists"}]);
    create(&pods, json!({"metadata": {"name": "guest"}, "spec": pod_spec(tolerant)})).await;
    let guest = until(&pods, "guest", conditions::is_pod_running()).await.unwrap();
    assert_eq!(guest.spec.unwrap().node_name.as_deref(), Some("big-0"));
    until(&pods, "stranger", |pod: Option<&Pod>| {
        let conditions = pod.and_then(|it| it.status.as_ref()?.conditions.as_ref());
        conditions.into_iter().flatten().any(|it| it.reason.as_deref() == Some("Unschedulable"))
    })
    .await;
}

async fn routes_are_accepted(cluster: &Cluster, client: &Client) {
    // Before the kind exists: the player waits for it.
    cluster.play_gateway().await.unwrap();
    cluster.play_gateway().await.unwrap();
    cluster.install_crds(&[Crd::HttpRoute]).await.unwrap();
    let routes = routes(client);
    let route = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "shop"},
        "spec": {"parentRefs": [{"name": "public"}], "hostnames": ["shop.example.test"], "rules": []},
    });
    routes.create(&PostParams::default(), &serde_json::from_value(route).unwrap()).await.unwrap();
    accepted_at(&routes, 1).await;
    let other = json!({"spec": {"hostnames": ["shop2.example.test"]}});
    routes.patch("shop", &PatchParams::default(), &Patch::Merge(other)).await.unwrap();
    accepted_at(&routes, 2).await;
}

async fn accepted_at(routes: &Api<DynamicObject>, generation: i64) {
    let accepted = |route: Option<&DynamicObject>| {
        let condition = route.and_then(|it| it.data.pointer("/status/parents/0/conditions/0")).cloned();
        condition.is_some_and(|it| {
            it["type"] == "Accepted" && it["status"] == "True" && it["observedGeneration"] == generation
        })
    };
    let wait = await_condition(routes.clone(), "shop", accepted);
    timeout(PATIENCE, wait).await.expect("the route was not accepted").unwrap();
}

async fn who_am_i(kubeconfig: &std::path::Path) -> (String, Vec<String>) {
    let reviews: Api<SelfSubjectReview> = Api::all(client_from(kubeconfig).await.unwrap());
    let review = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await.unwrap();
    let info = review.status.unwrap().user_info.unwrap();
    (info.username.unwrap(), info.groups.unwrap_or_default())
}

async fn identities_are_who_they_say(cluster: &Cluster) {
    let has = |groups: &[String], wanted: &str| groups.iter().any(|group| group == wanted);

    let (user, groups) = who_am_i(&cluster.kubeconfig()).await;
    assert!(user == "admin" && has(&groups, "system:masters"));

    let (user, groups) = who_am_i(&cluster.kubeconfig_for("olga", &["staff"]).unwrap()).await;
    assert!(user == "olga" && has(&groups, "staff") && !has(&groups, "system:masters"));

    let (user, groups) = who_am_i(&cluster.kubeconfig_for("eva", &["staff", "people"]).unwrap()).await;
    assert!(
        user == "eva" && has(&groups, "staff") && has(&groups, "people") && !has(&groups, "system:masters")
    );

    let account = cluster.kubeconfig_for_service_account("default", "default").await.unwrap();
    assert_eq!(who_am_i(&account).await.0, "system:serviceaccount:default:default");
    let missing = cluster.kubeconfig_for_service_account("default", "nobody").await.unwrap_err();
    assert!(missing.to_string().contains("create the account first"), "{missing}");
}

async fn every_kind_installs_and_keeps_its_status(cluster: &Cluster) {
    cluster.install_crds(&Crd::ALL).await.unwrap();
    cluster.install_crds(&Crd::ALL).await.unwrap();
    let client = cluster.client().await.unwrap();
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("monitoring.coreos.com", "v1", "ServiceMonitor"));
    let monitors: Api<DynamicObject> = Api::namespaced_with(client, "default", &kind);
    let monitor = json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor",
        "metadata": {"name": "shop"}, "spec": {"endpoints": [{"port": "http"}]},
    });
    let made =
        monitors.create(&PostParams::default(), &serde_json::from_value(monitor).unwrap()).await.unwrap();
    assert_eq!(made.data["spec"]["endpoints"][0]["port"], "http", "an open spec keeps unknown fields");
}
