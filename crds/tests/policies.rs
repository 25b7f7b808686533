//! Every admission policy refuses what it shall and nothing else, on a real API server, and it is the policy that refuses:
//! without it the same request passes. Needs a client and a clock.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail loudly")]

#[path = "common/attempts.rs"]
mod attempts;
#[path = "common/isolation.rs"]
mod isolation;
#[path = "common/objects.rs"]
mod objects;
#[path = "common/server.rs"]
mod server;
#[path = "common/servers.rs"]
mod servers;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use attempts::{Attempt, Who, attempts};
use http::Method;
use serde_json::{Value, json};
use server::{Answer, Speaker, condition, documents, path};
use tenantry_control_plane::Cluster;

/// Policies take effect within about a second of their creation.
const PATIENCE: Duration = Duration::from_secs(30);
const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const CONTROLLER: &str = "system:serviceaccount:tenantry-system:tenantry-controller";

/// Who speaks in the attempts.
struct Speakers(BTreeMap<Who, Speaker>);

impl Speakers {
    fn of(&self, who: Who) -> &Speaker {
        &self.0[&who]
    }

    /// What an attempt gives. It is a dry run, so that no attempt changes what the others meet.
    async fn attempt(&self, attempt: &Attempt) -> Answer {
        let path = format!("{}?dryRun=All", attempt.path);
        self.of(attempt.who).call(&attempt.method, &path, attempt.body.as_ref()).await
    }

    /// Repeats an attempt until its outcome is the expected one: policies and rights take effect with a delay.
    async fn expect(&self, attempt: &Attempt, refusal: Option<&str>) {
        let started = Instant::now();
        loop {
            let answer = self.attempt(attempt).await;
            let fits = match refusal {
                None => answer.accepted(),
                Some(message) => !answer.accepted() && answer.message().contains(message),
            };
            if fits {
                return;
            }
            let Attempt { policy, what, who, .. } = attempt;
            assert!(
                started.elapsed() < PATIENCE,
                "{policy}: {what} by {who:?}: expected {refusal:?}, got {answer:?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_on_a_real_api_server() {
    let Some(cluster) = server::cluster("admission policies on a real API server").await else { return };
    let admin = Speaker::new(&cluster.kubeconfig()).await;
    server::install_definitions(&admin).await;
    install(&admin).await;
    let speakers = speakers(&cluster).await;
    attempts::prepare(&admin).await;
    the_controller_has_the_rights_it_needs_and_no_more(&admin, &speakers).await;
    // From here on the controller may do everything, so that only policies stand in its way.
    let everything = binding("everything-for-the-controller", json!({"kind": "User", "name": CONTROLLER}));
    admin.create(&everything).await;
    policies_refuse_and_let_through(&speakers).await;
    each_refusal_comes_from_its_policy(&admin, &speakers).await;
    many_keys_stay_within_the_cost_of_rules(&admin, &speakers).await;
    kubernetes_own_controllers_pass(&admin, &speakers).await;
    cluster.stop().await.expect("a clean end");
}

/// Everything of `operator/manifests` but the Deployment.
fn installed() -> Vec<Value> {
    let mut objects = Vec::new();
    for file in
        ["namespace", "rbac-controller", "rbac-tenants", "rbac-sign-offs", "rbac-suspensions", "classes"]
    {
        objects.extend(documents(&format!("operator/manifests/{file}.yaml")));
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../operator/manifests/policies");
    let entries = std::fs::read_dir(folder).expect("the policies");
    let names: BTreeSet<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
    for name in names {
        objects.extend(documents(&format!("operator/manifests/policies/{}", name.to_string_lossy())));
    }
    objects
}

async fn install(admin: &Speaker) {
    for object in installed() {
        admin.create(&object).await;
        if object["kind"] == "ValidatingAdmissionPolicy" {
            let checked = |answer: &Answer| answer.body.pointer("/status/typeChecking").is_some();
            let answer = admin.until(&path(&object), "type checks of the expressions", checked).await;
            let warnings = &answer.body["status"]["typeChecking"]["expressionWarnings"];
            assert!(warnings.is_null(), "{}: {warnings}", object["metadata"]["name"]);
        }
    }
    let deployment = &documents("operator/manifests/controller.yaml")[0];
    admin.create(deployment).await;
}

async fn speakers(cluster: &Cluster) -> Speakers {
    let admin = Speaker::new(&cluster.kubeconfig()).await;
    let file = cluster.kubeconfig_for_service_account("tenantry-system", "tenantry-controller").await;
    let controller = Speaker::new(&file.expect("a token")).await;
    let people = |user: &'static str, group: &'static str| {
        let file = cluster.kubeconfig_for(user, &[group]).expect("a certificate");
        async move { Speaker::new(&file).await }
    };
    // These have every right in Kubernetes, so that only a policy can refuse.
    let person = people("ada", attempts::PEOPLE).await;
    let staff = people("oskar", "provider:staff").await;
    for group in [attempts::PEOPLE, "provider:staff"] {
        let name = format!("everything-for-{}", group.replace(':', "-"));
        admin.create(&binding(&name, json!({"kind": "Group", "name": group}))).await;
    }
    // These may make sign-offs, and sign or carry for one subscription.
    let mut signers = Vec::new();
    for (who, user, verbs) in [
        (Who::Customer, "cora", &["signoff-customer", "suspend-own"][..]),
        (Who::Portal, "portal", &["carry"]),
    ] {
        for object in attempts::signer(user, verbs) {
            admin.create(&object).await;
        }
        let file = cluster.kubeconfig_for(user, &[]).expect("a certificate");
        signers.push((who, Speaker::new(&file).await));
    }
    Speakers(BTreeMap::from_iter(signers.into_iter().chain([
        (Who::Admin, admin),
        (Who::Controller, controller),
        (Who::Person, person),
        (Who::Staff, staff),
    ])))
}

fn binding(name: &str, mut subject: Value) -> Value {
    subject["apiGroup"] = json!("rbac.authorization.k8s.io");
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [subject],
    })
}

async fn the_controller_has_the_rights_it_needs_and_no_more(admin: &Speaker, speakers: &Speakers) {
    let aggregated = |answer: &Answer| answer.body["rules"].as_array().is_some_and(|rules| !rules.is_empty());
    for role in ["tenantry-tenant-manager", "tenantry-watcher"] {
        let role = format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{role}");
        admin.until(&role, "aggregation", aggregated).await;
    }
    let bound =
        attempts::role_binding("tenant-acme", "tenantry-tenant-manager", attempts::controller_subject());
    speakers.of(Who::Controller).create(&bound).await;
    for attempt in
        attempts().iter().filter(|attempt| attempt.who == Who::Controller && attempt.refused.is_none())
    {
        speakers.expect(attempt, None).await;
    }
    for (allowed, verb, group, resource, namespace) in [
        (true, "create", "apps", "deployments", "tenant-acme"),
        (true, "create", "", "secrets", "tenant-acme"),
        (true, "watch", "apps", "deployments", ""),
        (true, "list", "apiextensions.k8s.io", "customresourcedefinitions", ""),
        (true, "create", "coordination.k8s.io", "leases", "tenantry-system"),
        (true, "create", "events.k8s.io", "events", "default"),
        (false, "list", "", "secrets", ""),
        (false, "list", "", "secrets", "tenant-acme"),
        (false, "get", "", "secrets", "tenantry-system"),
        (false, "create", "apps", "deployments", "default"),
        (false, "create", "apps", "deployments", "tenant-bolt"),
        (false, "create", "", "pods", "tenant-acme"),
        (false, "create", "", "pods/exec", "tenant-acme"),
        (false, "escalate", "rbac.authorization.k8s.io", "clusterroles", ""),
        (false, "bind", "rbac.authorization.k8s.io", "clusterroles", ""),
        (false, "create", "rbac.authorization.k8s.io", "clusterrolebindings", ""),
        (false, "impersonate", "", "users", ""),
        (false, "update", "tenantry.io", "serviceplans", ""),
        (false, "delete", "tenantry.io", "tenantsubscriptions", ""),
    ] {
        let attributes = json!({"verb": verb, "group": group, "resource": resource.split('/').next(), "subresource": resource.split('/').nth(1), "namespace": namespace});
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": CONTROLLER, "groups": ["system:serviceaccounts", "system:authenticated"], "resourceAttributes": attributes},
        });
        let started = Instant::now();
        while admin.create(&review).await["status"]["allowed"] != allowed {
            assert!(
                started.elapsed() < PATIENCE,
                "{verb} {group}/{resource} in {namespace:?} should be {allowed}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn policies_refuse_and_let_through(speakers: &Speakers) {
    for attempt in &attempts() {
        speakers.expect(attempt, attempt.refused).await;
    }
}

async fn each_refusal_comes_from_its_policy(admin: &Speaker, speakers: &Speakers) {
    let mut proven = BTreeSet::new();
    let all = attempts();
    for binding in installed().into_iter().filter(|o| o["kind"] == "ValidatingAdmissionPolicyBinding") {
        let policy = binding["spec"]["policyName"].as_str().expect("a policy").to_owned();
        admin.call(&Method::DELETE, &path(&binding), None).await.good();
        for attempt in all.iter().filter(|attempt| attempt.policy == policy && attempt.refused.is_some()) {
            speakers.expect(attempt, None).await;
            proven.insert(policy.clone());
        }
        admin.create(&binding).await;
        for attempt in all.iter().filter(|attempt| attempt.policy == policy) {
            speakers.expect(attempt, attempt.refused).await;
        }
    }
    let policies = admin.get(POLICIES).await.good();
    let names = policies["items"].as_array().expect("a list").iter().map(|p| p["metadata"]["name"].as_str());
    let names: BTreeSet<String> =
        names.flatten().filter(|name| name.starts_with("tenantry-")).map(str::to_owned).collect();
    assert_eq!(proven, names, "every policy needs an attempt that it refuses");
}

/// Keys of labels and annotations are not ours to bound, and a rule that costs too much refuses everything.
async fn many_keys_stay_within_the_cost_of_rules(admin: &Speaker, speakers: &Speakers) {
    let keys: serde_json::Map<String, Value> =
        (0..3000).map(|n| (format!("example.org/key-{n}"), json!("v"))).collect();
    let namespace = json!({"metadata": {"labels": keys, "annotations": keys}});
    let attempt = Attempt {
        policy: "tenantry-reserved-keys",
        what: "thousands of foreign keys",
        who: Who::Staff,
        method: Method::PATCH,
        path: "/api/v1/namespaces/tenant-acme".to_owned(),
        body: Some(namespace.clone()),
        refused: None,
    };
    speakers.expect(&attempt, None).await;
    admin.call(&Method::PATCH, &attempt.path, Some(&namespace)).await.good();
    let changed =
        Attempt { body: Some(json!({"metadata": {"labels": {"example.org/key-1": "w"}}})), ..attempt };
    speakers.expect(&changed, None).await;
}

/// The quota controller writes status, the namespace controller deletes what is in a namespace and then the namespace.
async fn kubernetes_own_controllers_pass(admin: &Speaker, speakers: &Speakers) {
    let quota = "/api/v1/namespaces/tenant-bolt/resourcequotas/tenantry";
    admin.until(quota, "status of the quota", |answer| answer.body["status"]["hard"].is_object()).await;
    let namespace = "/api/v1/namespaces/tenant-bolt";
    speakers.of(Who::Controller).call(&Method::DELETE, namespace, None).await.good();
    admin.until(namespace, "end of the namespace", |answer| answer.code == 404).await;
    let deployment = "/apis/apps/v1/namespaces/tenantry-system/deployments/tenantry-controller";
    let answer = admin
        .until(deployment, "pods of the controller", |a| !condition(&a.body, "Progressing").is_empty())
        .await;
    assert_ne!(condition(&answer.body, "ReplicaFailure"), "True", "{}", answer.body["status"]);
}
