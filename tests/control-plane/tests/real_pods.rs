//! Pods of a real node are containers: they run, fail, keep data and find each other as on any cluster.
//!
//! These tests need root on Linux and a few packages; where these are missing they are skipped by name, but never in CI.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly; clippy's own exception covers test functions but not what they call"
)]

mod common;
mod real;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use common::{create, in_namespace};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{
    Namespace, PersistentVolume, PersistentVolumeClaim, Pod, Service, ServiceAccount,
};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::runtime::wait::conditions;
use kube::{Api, Client, Resource, ResourceExt};
use real::{PATIENCE, possible, until};
use serde_json::{Value, json};
use tenantry_control_plane::node::{KIND_LABEL, REAL_NODE};
use tenantry_control_plane::tools::Toolset;
use tenantry_control_plane::{Cluster, Image, Options, Profile, SIMULATED, client_from};
use tokio::time::timeout;

const IMAGE: &str = "example.test/probe:1";
const NAMESPACE: &str = "tenant";

/// `probe.rs`, statically linked.
static PROBE: LazyLock<PathBuf> = LazyLock::new(|| {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (source, draft, binary) = (
        concat!(env!("CARGO_MANIFEST_DIR"), "/probe.rs"),
        directory.join("probe.new"),
        directory.join("probe"),
    );
    let flags = ["--edition=2024", "-O", "-Ctarget-feature=+crt-static"];
    let built = Command::new("rustc").args(flags).arg(source).arg("-o").arg(&draft).status().unwrap();
    assert!(built.success(), "rustc could not build {source}");
    std::fs::rename(draft, &binary).unwrap();
    binary
});

/// A cluster whose pods can use [`IMAGE`], and a namespace that takes only restricted pods.
struct Real {
    cluster: Cluster,
    client: Client,
}

impl Real {
    async fn start(nodes: u32) -> Self {
        let began = Instant::now();
        let cluster = Cluster::start(Options { nodes, ..Options::new(Profile::P3) }).await.unwrap();
        println!("P3 ready after {:.1} s", began.elapsed().as_secs_f64());
        cluster.import(Image::of(IMAGE, &PROBE).unwrap()).await.unwrap();
        let client = cluster.client().await.unwrap();
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        create(
            &Api::<Namespace>::all(client.clone()),
            json!({"metadata": {"name": NAMESPACE, "labels": labels}}),
        )
        .await;
        let accounts: Api<ServiceAccount> = in_namespace(&client, NAMESPACE);
        until(&accounts, "default", |account: Option<&ServiceAccount>| account.is_some()).await;
        Self { cluster, client }
    }

    fn api<K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>>(&self) -> Api<K> {
        in_namespace(&self.client, NAMESPACE)
    }

    async fn pod(&self, name: &str, spec: Value) -> Pod {
        create(&self.api::<Pod>(), json!({"metadata": {"name": name}, "spec": spec})).await
    }

    async fn run(&self, name: &str, spec: Value) -> Pod {
        self.pod(name, spec).await;
        until(&self.api::<Pod>(), name, conditions::is_pod_running()).await.unwrap()
    }

    /// Two pods of a web server, available, behind the Service `web`.
    async fn deploy(&self) -> String {
        let began = Instant::now();
        let labels = json!({"app": "web"});
        create(
            &self.api::<Deployment>(),
            json!({
                "metadata": {"name": "web"},
                "spec": {
                    "replicas": 2,
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": restricted(&["serve"], json!({}))},
                },
            }),
        )
        .await;
        let service = json!({"metadata": {"name": "web"}, "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]}});
        let service = create(&self.api::<Service>(), service).await;
        self.available().await;
        println!("2 restricted pods available after {:.2} s", began.elapsed().as_secs_f64());
        service.spec.unwrap().cluster_ip.unwrap()
    }

    async fn available(&self) {
        until(&self.api::<Deployment>(), "web", |deployment: Option<&Deployment>| {
            let status = deployment.and_then(|it| it.status.as_ref());
            status.is_some_and(|it| it.available_replicas == Some(2) && it.replicas == Some(2))
        })
        .await;
    }

    async fn web_pods(&self) -> Vec<Pod> {
        self.api::<Pod>().list(&ListParams::default().labels("app=web")).await.unwrap().items
    }

    /// kubectl with the administrator's kubeconfig; for what kube speaks only with a feature that nothing else here needs.
    async fn kubectl(&self, arguments: &[&str]) -> Output {
        let mut command = tokio::process::Command::new(Toolset::from_cache().unwrap().kubectl.unwrap());
        command.env("KUBECONFIG", self.cluster.kubeconfig()).args(["--namespace", NAMESPACE]).args(arguments);
        timeout(PATIENCE, command.output()).await.expect("kubectl does not end").unwrap()
    }

    async fn exec(&self, pod: &str, words: &[&str]) -> String {
        let output = self.kubectl(&[&["exec", pod, "--", "/probe"], words].concat()).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A pod that the strictest standard allows; `extra` replaces fields of its spec.
fn restricted(arguments: &[&str], extra: Value) -> Value {
    let mut spec = json!({
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": false,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [{
            "name": "main", "image": IMAGE, "args": arguments,
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true},
        }],
    });
    spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    spec
}

/// One start serves all parts; each uses objects of its own.
#[tokio::test(flavor = "multi_thread")]
async fn pods_of_a_real_node_are_containers() {
    let Some(_turn) = possible("pods_of_a_real_node_are_containers").await else { return };
    let real = Real::start(1).await;
    let address = real.deploy().await;
    tokio::join!(
        logs_and_exec_go_through_the_api(&real),
        a_service_answers_inside_and_outside(&real, &address),
        data_on_a_claim_survives_its_pod_and_goes_with_the_claim(&real),
        a_hog_is_killed_and_its_neighbour_is_not(&real),
        a_privileged_pod_is_refused(&real),
        real_and_simulated_pods_are_kept_apart(&real),
    );
    metrics_name_the_namespace(&real).await;
    bandwidth_holds_in_both_directions(&real).await;
    a_killed_pod_comes_back(&real).await;
    real.cluster.stop().await.unwrap();
}

async fn logs_and_exec_go_through_the_api(real: &Real) {
    let name = real.web_pods().await.remove(0).name_any();
    let logs = real.api::<Pod>().logs(&name, &Default::default()).await.unwrap();
    assert_eq!(logs, format!("{name} listens\n"));
    assert_eq!(real.kubectl(&["logs", &name]).await.stdout, logs.as_bytes());
    assert!(real.exec(&name, &["read", "/proc/self/status"]).await.contains("Uid:\t10001\t"));
    let failed = real.kubectl(&["exec", &name, "--", "/probe", "read", "/nowhere"]).await;
    assert_eq!(failed.status.code(), Some(101), "the exit code of the program in the container");
}

async fn a_service_answers_inside_and_outside(real: &Real, address: &str) {
    let pods = real.web_pods().await;
    let mut names: Vec<String> = pods.iter().map(ResourceExt::name_any).collect();
    names.sort();
    // From a pod, which may get itself for an answer, and from this process over the link to the node.
    let url = format!("{address}:80");
    let mut seen = [Vec::new(), Vec::new()];
    let began = Instant::now();
    while seen.iter().any(|seen| *seen != names) {
        assert!(began.elapsed() < PATIENCE, "only {seen:?} of {names:?} answered");
        let output = tokio::process::Command::new(&*PROBE).args(["get", &url, "/"]).output().await.unwrap();
        let outside = output.status.success().then(|| String::from_utf8(output.stdout).unwrap());
        let inside = Some(real.exec(&names[0], &["get", &url, "/"]).await);
        for (seen, answer) in seen.iter_mut().zip([inside, outside]) {
            // kube-proxy may not know the Service yet; afterwards every answer is one of the two pods.
            let Some(answer) = answer else { continue };
            assert!(names.contains(&answer), "{answer:?}");
            seen.push(answer);
            seen.sort();
            seen.dedup();
        }
    }
}

async fn data_on_a_claim_survives_its_pod_and_goes_with_the_claim(real: &Real) {
    let claims = real.api::<PersistentVolumeClaim>();
    create(
        &claims,
        json!({
            "metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }),
    )
    .await;
    let mut spec = restricted(
        &["serve"],
        json!({
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        }),
    );
    spec["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    real.run("writer", spec.clone()).await;
    real.exec("writer", &["write", "/data/ledger", "42"]).await;
    let pods = real.api::<Pod>();
    pods.delete("writer", &DeleteParams::default()).await.unwrap();
    until(&pods, "writer", |pod: Option<&Pod>| pod.is_none()).await;
    real.run("reader", spec).await;
    assert_eq!(real.exec("reader", &["read", "/data/ledger"]).await, "42");

    let volume = claims.get("data").await.unwrap().spec.unwrap().volume_name.unwrap();
    let volumes: Api<PersistentVolume> = Api::all(real.client.clone());
    let place = volumes.get(&volume).await.unwrap().spec.unwrap().local.unwrap().path;
    assert_eq!(std::fs::read_to_string(Path::new(&place).join("ledger")).unwrap(), "42");
    pods.delete("reader", &DeleteParams::default()).await.unwrap();
    claims.delete("data", &DeleteParams::default()).await.unwrap();
    until(&volumes, &volume, |volume: Option<&PersistentVolume>| volume.is_none()).await;
    assert!(!Path::new(&place).exists());
}

async fn a_hog_is_killed_and_its_neighbour_is_not(real: &Real) {
    let mut spec = restricted(&["serve"], json!({"restartPolicy": "Never"}));
    let mut hog = spec["containers"][0].clone();
    hog["name"] = json!("hog");
    hog["args"] = json!(["hog"]);
    hog["resources"] = json!({"limits": {"memory": "64Mi"}});
    spec["containers"].as_array_mut().unwrap().push(hog);
    real.pod("crowded", spec).await;
    let pod = until(&real.api::<Pod>(), "crowded", |pod: Option<&Pod>| {
        let statuses = pod.and_then(|pod| pod.status.as_ref()?.container_statuses.as_ref());
        statuses
            .into_iter()
            .flatten()
            .any(|it| it.state.as_ref().is_some_and(|state| state.terminated.is_some()))
    })
    .await;
    let states = pod.unwrap().status.unwrap().container_statuses.unwrap();
    let state = |name| states.iter().find(|it| it.name == name).and_then(|it| it.state.clone()).unwrap();
    let end = state("hog").terminated.unwrap();
    assert_eq!((end.reason.as_deref(), end.exit_code), (Some("OOMKilled"), 137));
    assert!(state("main").running.is_some());
    assert_eq!(real.exec("crowded", &["get", "127.0.0.1:8080", "/"]).await, "crowded");
}

async fn a_privileged_pod_is_refused(real: &Real) {
    let mut spec = restricted(&["serve"], json!({}));
    spec["containers"][0]["securityContext"] = json!({"privileged": true});
    let pod = serde_json::from_value(json!({"metadata": {"name": "mighty"}, "spec": spec})).unwrap();
    let refused = real.api::<Pod>().create(&PostParams::default(), &pod).await.unwrap_err();
    let said = refused.to_string();
    assert!(said.contains("violates PodSecurity") && said.contains("privileged"), "{said}");
}

async fn real_and_simulated_pods_are_kept_apart(real: &Real) {
    let plain = real.run("plain", restricted(&["serve"], json!({}))).await;
    assert_eq!(plain.spec.unwrap().node_name.as_deref(), Some(REAL_NODE));
    let played = restricted(
        &["serve"],
        json!({
            "nodeSelector": {KIND_LABEL: "simulated"},
            "tolerations": [{"key": SIMULATED.key, "operator": "Exists"}],
        }),
    );
    let played = real.run("played", played).await;
    assert_eq!(played.spec.unwrap().node_name.as_deref(), Some("node-0"));
}

async fn metrics_name_the_namespace(real: &Real) {
    let pod = real.web_pods().await.remove(0).name_any();
    let path = format!("/api/v1/nodes/{REAL_NODE}/proxy/metrics/cadvisor");
    let wanted =
        ["container=\"main\"".to_owned(), format!("namespace=\"{NAMESPACE}\""), format!("pod=\"{pod}\"")];
    let began = Instant::now();
    // The kubelet looks at its containers every few seconds.
    loop {
        let request = http::Request::get(&path).body(Vec::new()).unwrap();
        let text = real.client.request_text(request).await.unwrap();
        let mut lines = text.lines().filter(|line| line.starts_with("container_memory_working_set_bytes{"));
        if lines.any(|line| wanted.iter().all(|label| line.contains(label))) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{wanted:?} is missing in\n{text}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What a plan's bandwidth comes to on the wire. Sizes and rates are such that a burst of the limiter, the frames' headers
/// and a busy machine stay well below the tolerance.
async fn bandwidth_holds_in_both_directions(real: &Real) {
    const MEBIBYTES: f64 = 20.0;
    const BITS_PER_SECOND: f64 = 40e6;
    let limited = async |name: &str, direction: Option<&str>| {
        let limits = direction.map(|it| json!({format!("kubernetes.io/{it}-bandwidth"): "40M"}));
        let metadata = json!({"name": name, "annotations": limits});
        create(&real.api::<Pod>(), json!({"metadata": metadata, "spec": restricted(&["sink"], json!({}))}))
            .await;
        until(&real.api::<Pod>(), name, conditions::is_pod_running()).await.unwrap()
    };
    let (free, receiver, sender) =
        tokio::join!(limited("free", None), limited("in", Some("ingress")), limited("out", Some("egress")));
    let expected = MEBIBYTES * f64::from(1 << 23) / BITS_PER_SECOND;
    for (from, to, limited) in [("free", &receiver, true), ("out", &free, true), ("in", &sender, false)] {
        let address = format!("{}:8081", to.status.as_ref().unwrap().pod_ip.as_ref().unwrap());
        let seconds: f64 =
            real.exec(from, &["send", &address, &MEBIBYTES.to_string()]).await.parse().unwrap();
        println!("{MEBIBYTES} MiB from {from} took {seconds:.2} s, at the limit {expected:.2} s");
        if limited {
            assert!((seconds / expected - 1.0).abs() < 0.15, "{seconds:.2} s instead of {expected:.2} s");
        } else {
            assert!(
                seconds < expected / 2.0,
                "a limit holds in one direction only, but this took {seconds:.2} s"
            );
        }
    }
}

async fn a_killed_pod_comes_back(real: &Real) {
    let pods = real.api::<Pod>();
    let (first, second) = {
        let mut pods = real.web_pods().await;
        (pods.remove(0), pods.remove(0))
    };
    // The program ends by itself: its container starts anew.
    let address = format!("{}:8080", first.status.clone().unwrap().pod_ip.unwrap());
    Command::new(&*PROBE).args(["get", &address, "/exit"]).output().unwrap();
    until(&pods, &first.name_any(), |pod: Option<&Pod>| {
        let status = pod.and_then(|pod| pod.status.as_ref()?.container_statuses.as_ref()?.first().cloned());
        status.is_some_and(|it| it.restart_count == 1 && it.ready)
    })
    .await;
    // Somebody deletes the pod: another takes its place.
    pods.delete(&second.name_any(), &DeleteParams::default()).await.unwrap();
    until(&pods, &second.name_any(), |pod: Option<&Pod>| pod.is_none()).await;
    real.available().await;
    let names: Vec<String> = real.web_pods().await.iter().map(ResourceExt::name_any).collect();
    assert!(names.len() == 2 && !names.contains(&second.name_any()), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_real_nodes_at_once_do_not_see_each_other() {
    let Some(_turn) = possible("two_real_nodes_at_once_do_not_see_each_other").await else { return };
    let (first, second) = tokio::join!(Real::start(0), Real::start(0));
    let (one, two) = tokio::join!(first.deploy(), second.deploy());
    assert_ne!(one, two);
    first.cluster.stop().await.unwrap();
    let pod = second.web_pods().await.remove(0).name_any();
    let names: Vec<String> = second.web_pods().await.iter().map(ResourceExt::name_any).collect();
    assert!(names.contains(&second.exec(&pod, &["get", &format!("{two}:80"), "/"]).await));
    second.cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_can_be_given_to_a_detached_cluster() {
    let Some(_turn) = possible("an_image_can_be_given_to_a_detached_cluster").await else { return };
    let directory = tempfile::tempdir().unwrap();
    let run = async |command: &str, arguments: &[&str]| {
        let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_tenantry-control-plane"));
        program.arg(command).arg("--dir").arg(directory.path()).args(arguments);
        let output = timeout(PATIENCE, program.output()).await.expect("it does not end").unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let probe = PROBE.to_str().unwrap();
    let (ok, said) = run("up", &["--detach", "--profile", "P3"]).await;
    assert!(ok, "{said}");
    let (ok, said) = run("import", &[IMAGE, probe]).await;
    assert!(ok, "{said}");
    let client = client_from(&directory.path().join("kubeconfig")).await.unwrap();
    let pods: Api<Pod> = in_namespace(&client, "default");
    create(&pods, json!({"metadata": {"name": "guest"}, "spec": restricted(&["serve"], json!({}))})).await;
    until(&pods, "guest", conditions::is_pod_running()).await;
    let (ok, said) = run("import", &[IMAGE, "/nowhere/probe"]).await;
    assert!(!ok && said.contains("cannot read /nowhere/probe"), "{said}");
    assert!(run("down", &[]).await.0);
}
