//! Starting and ending: every profile leaves nothing, also when the process that asked for it is killed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly; clippy's own exception covers test functions but not what they call"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use rustix::process::{Pid, Signal, kill_process};
use tenantry_control_plane::{Cluster, Options, Profile};

const BINARY: &str = env!("CARGO_BIN_EXE_tenantry-control-plane");

/// The directory a control plane lives in, from the path of its kubeconfig.
fn home(kubeconfig: &Path) -> PathBuf {
    kubeconfig.parent().unwrap().parent().unwrap().to_path_buf()
}

/// Processes whose command line mentions `home`. Zombies have no command line.
fn processes_of(home: &Path) -> Vec<String> {
    let home = home.to_str().unwrap();
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(home))
        .collect()
}

async fn starts_and_leaves_nothing(profile: Profile, processes: usize) {
    let began = Instant::now();
    let cluster = Cluster::start(Options::new(profile)).await.unwrap();
    println!("{profile} ready after {:.1} s", began.elapsed().as_secs_f64());
    assert_eq!(cluster.capabilities(), profile.capabilities());
    cluster.client().await.unwrap().apiserver_version().await.unwrap();
    let home = home(&cluster.kubeconfig());
    assert_eq!(processes_of(&home).len(), processes, "{:?}", processes_of(&home));
    cluster.stop().await.unwrap();
    assert!(processes_of(&home).is_empty() && !home.exists());
}

#[tokio::test]
async fn p0_is_two_processes_and_leaves_nothing() {
    starts_and_leaves_nothing(Profile::P0, 2).await;
}

#[tokio::test]
async fn p1_is_three_processes_and_leaves_nothing() {
    starts_and_leaves_nothing(Profile::P1, 3).await;
}

#[tokio::test]
async fn p2_is_five_processes_and_leaves_nothing() {
    starts_and_leaves_nothing(Profile::P2, 5).await;
}

#[tokio::test]
async fn two_clusters_at_once_are_two_and_dropping_one_leaves_the_other() {
    let (first, second) =
        tokio::join!(Cluster::start(Options::new(Profile::P0)), Cluster::start(Options::new(Profile::P0)));
    let (first, second) = (first.unwrap(), second.unwrap());
    let gone = home(&first.kubeconfig());
    assert_ne!(gone, home(&second.kubeconfig()));
    drop(first);
    assert!(processes_of(&gone).is_empty() && !gone.exists());
    second.client().await.unwrap().apiserver_version().await.unwrap();
}

#[tokio::test]
async fn an_outage_of_the_api_server_ends_when_asked() {
    let cluster = Cluster::start(Options::new(Profile::P0)).await.unwrap();
    let client = cluster.client().await.unwrap();

    cluster.pause_apiserver().await.unwrap();
    let silent = tokio::time::timeout(Duration::from_millis(300), client.apiserver_version()).await;
    assert!(silent.is_err(), "a frozen server answers nothing, but it answered {silent:?}");
    cluster.resume_apiserver().await.unwrap();
    client.apiserver_version().await.unwrap();

    cluster.stop_apiserver().await.unwrap();
    assert!(client.apiserver_version().await.is_err());
    assert!(cluster.stop_apiserver().await.is_err(), "it is stopped already");
    cluster.start_apiserver().await.unwrap();
    client.apiserver_version().await.unwrap();
}

#[tokio::test]
async fn a_restored_store_is_as_it_was_copied() {
    let cluster = Cluster::start(Options::new(Profile::P0)).await.unwrap();
    assert!(cluster.restore_store().await.is_err(), "there is no copy yet");
    let namespaces: Api<Namespace> = Api::all(cluster.client().await.unwrap());
    let named = |name: &str| -> Namespace {
        serde_json::from_value(serde_json::json!({"metadata": {"name": name}})).unwrap()
    };
    let kept = namespaces.create(&Default::default(), &named("kept")).await.unwrap();
    cluster.copy_store().await.unwrap();
    namespaces.create(&Default::default(), &named("lost")).await.unwrap();
    cluster.restore_store().await.unwrap();
    assert_eq!(namespaces.get("kept").await.unwrap().metadata.uid, kept.metadata.uid);
    assert!(namespaces.get_opt("lost").await.unwrap().is_none());
}

/// `up` in a process of its own, as a test process that dies without a chance to clean up.
fn up() -> (Child, PathBuf) {
    let mut child = Command::new(BINARY)
        .args(["up", "--profile", "P0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, home(Path::new(line.trim())))
}

/// Only the kernel and the supervisor act here, so there is nobody to ask when they are done.
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come true");
        std::thread::yield_now();
    }
}

#[test]
fn a_killed_test_leaves_nothing() {
    let (mut child, home) = up();
    assert_eq!(processes_of(&home).len(), 2);
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("the supervisor's clean-up", || processes_of(&home).is_empty() && !home.exists());
}

/// Process ids of the children of `parent`. The fourth field of the status line, behind the name, is the parent's id.
fn children_of(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id: &u32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        behind_name.split_whitespace().nth(1) == Some(&parent.to_string())
    })
    .collect()
}

/// The directory of the control plane that the supervisor of `parent` is starting, as soon as its etcd has it.
fn starting_home(parent: u32) -> Option<PathBuf> {
    children_of(parent).into_iter().flat_map(children_of).find_map(|child| {
        let line = fs::read_to_string(format!("/proc/{child}/cmdline")).ok()?;
        let directory = line.split('\0').find_map(|argument| argument.strip_prefix("--data-dir="))?;
        Some(Path::new(directory).parent()?.to_path_buf())
    })
}

#[test]
fn a_test_killed_while_it_starts_leaves_nothing() {
    let mut child =
        Command::new(BINARY).args(["up", "--profile", "P0"]).stdout(Stdio::null()).spawn().unwrap();
    eventually("the start of etcd", || starting_home(child.id()).is_some());
    let home = starting_home(child.id()).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("the supervisor's clean-up", || processes_of(&home).is_empty() && !home.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_supervisor_takes_its_children_along_and_the_next_start_removes_the_rest() {
    let (mut child, home) = up();
    let state: serde_json::Value =
        serde_json::from_slice(&fs::read(home.join("state.json")).unwrap()).unwrap();
    let supervisor = i32::try_from(state["supervisor"].as_i64().unwrap()).unwrap();
    kill_process(Pid::from_raw(supervisor).unwrap(), Signal::KILL).unwrap();
    eventually("the parent-death signal", || processes_of(&home).is_empty());
    assert!(home.exists(), "nobody was left to remove it");
    child.kill().unwrap();
    child.wait().unwrap();
    let next = Cluster::start(Options::new(Profile::P0)).await.unwrap();
    assert!(!home.exists());
    drop(next);
}

#[test]
fn a_detached_control_plane_goes_on_until_down() {
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(BINARY)
            .args(&arguments[..1])
            .arg("--dir")
            .arg(directory.path())
            .args(&arguments[1..])
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (ok, kubeconfig, error) = run(&["up", "--detach", "--profile", "P0", "--gateway", "--crds"]);
    assert!(ok, "{error}");
    assert_eq!(Path::new(kubeconfig.trim()), directory.path().join("kubeconfig"));
    let (ok, _, error) = run(&["up", "--detach", "--profile", "P0"]);
    assert!(!ok && error.contains("down"), "{error}");
    let (ok, names, error) = run(&["kubectl", "get", "namespaces", "-o", "name"]);
    assert!(ok && names.contains("namespace/kube-system"), "{names}{error}");
    let route = directory.path().join("route.json");
    fs::write(
        &route,
        r#"{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "shop"},
            "spec": {"parentRefs": [{"name": "public"}]}}"#,
    )
    .unwrap();
    let (ok, _, error) = run(&["kubectl", "apply", "-f", route.to_str().unwrap()]);
    assert!(ok, "{error}");
    let accepted = "--for=jsonpath={.status.parents[0].conditions[?(@.type=='Accepted')].status}=True";
    let (ok, _, error) = run(&["kubectl", "wait", accepted, "--timeout=30s", "httproute/shop"]);
    assert!(ok, "{error}");
    fs::remove_file(&route).unwrap();
    assert_eq!(run(&["down"]).1.trim(), "stopped");
    assert_eq!(run(&["down"]).1.trim(), "nothing was running");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
