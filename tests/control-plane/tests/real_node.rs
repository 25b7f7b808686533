//! A real node and its machine: whatever becomes of the harness, nothing of a node is left.
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
mod machine;
mod real;

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{create, in_namespace};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::wait::conditions;
use kube::{Api, Client};
use machine::Machine;
use real::{PATIENCE, possible, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tenantry_control_plane::node::PAUSE_IMAGE;
use tenantry_control_plane::{Cluster, Options, Profile, client_from};

const BINARY: &str = env!("CARGO_BIN_EXE_tenantry-control-plane");

/// `up` in a process of its own, with a pod on its node. Gives the process and the directory of the control plane.
async fn up_with_a_pod() -> (std::process::Child, PathBuf) {
    let (child, kubeconfig) = tokio::task::spawn_blocking(|| {
        let mut child =
            Command::new(BINARY).args(["up", "--profile", "P3"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (child, PathBuf::from(line.trim()))
    })
    .await
    .unwrap();
    idle_pod(&client_from(&kubeconfig).await.unwrap()).await;
    (child, kubeconfig.parent().unwrap().parent().unwrap().to_path_buf())
}

/// A running pod that needs no image but the one every node has.
async fn idle_pod(client: &Client) {
    let pods: Api<Pod> = in_namespace(client, "default");
    let spec = json!({"containers": [{"name": "main", "image": PAUSE_IMAGE}]});
    create(&pods, json!({"metadata": {"name": "idle"}, "spec": spec})).await;
    until(&pods, "idle", conditions::is_pod_running()).await;
}

/// Only the kernel and a supervisor act here, so there is nobody to ask when they are done.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "{what} did not come true: {:#?}", Machine::look());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_test_leaves_nothing_of_its_node() {
    let Some(_turn) = possible("a_killed_test_leaves_nothing_of_its_node").await else { return };
    let before = Machine::look();
    let (mut child, home) = up_with_a_pod().await;
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("the supervisor's clean-up", || !home.exists() && Machine::look() == before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_supervisor_takes_its_node_along_and_the_next_start_removes_the_rest() {
    let name = "a_killed_supervisor_takes_its_node_along_and_the_next_start_removes_the_rest";
    let Some(_turn) = possible(name).await else { return };
    let before = Machine::look();
    let living = Cluster::start(Options::new(Profile::P3)).await.unwrap();
    let client = living.client().await.unwrap();
    idle_pod(&client).await;
    let with_living = Machine::look();
    let [seen, unseen] = [&with_living, &before].map(Machine::counts);
    assert!(
        seen.iter().zip(unseen).all(|(now, then)| *now > then),
        "a living node is not seen: {with_living:#?}"
    );

    let (mut child, home) = up_with_a_pod().await;
    let state: Value = serde_json::from_slice(&std::fs::read(home.join("state.json")).unwrap()).unwrap();
    let supervisor = i32::try_from(state["supervisor"].as_i64().unwrap()).unwrap();
    kill_process(Pid::from_raw(supervisor).unwrap(), Signal::KILL).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    // The kernel ends the node and all that hangs on its namespaces; nobody is left to remove control groups and files.
    eventually("the end of the node's namespaces", || {
        let ([processes, links, _], [processes_before, links_before, _]) =
            (Machine::look().counts(), with_living.counts());
        (processes, links) == (processes_before, links_before)
    })
    .await;
    assert!(home.exists() && Machine::look().counts()[2] > with_living.counts()[2]);

    let next = Cluster::start(Options { nodes: 0, ..Options::new(Profile::P0) }).await.unwrap();
    assert!(!home.exists());
    next.stop().await.unwrap();
    Machine::look().assert_same(&with_living);
    let pods: Api<Pod> = in_namespace(&client, "default");
    let status = pods.get("idle").await.unwrap().status.unwrap();
    let container = status.container_statuses.unwrap().remove(0);
    assert!(container.ready && container.restart_count == 0, "the living cluster was touched: {container:?}");
    living.stop().await.unwrap();
    Machine::look().assert_same(&before);
}

/// Two at once, ten times: as many starts, in half the time.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_nodes_leave_the_machine_as_it_was() {
    let Some(_turn) = possible("twenty_nodes_leave_the_machine_as_it_was").await else { return };
    let began = Instant::now();
    let before = Machine::look();
    let one = || async {
        let cluster = Cluster::start(Options::new(Profile::P3)).await.unwrap();
        idle_pod(&cluster.client().await.unwrap()).await;
        cluster.stop().await.unwrap();
    };
    for _ in 0..10 {
        tokio::join!(one(), one());
        Machine::look().assert_same(&before);
    }
    println!("20 starts and stops took {:.0} s", began.elapsed().as_secs_f64());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_store_finds_a_node_again() {
    let Some(_turn) = possible("a_restored_store_finds_a_node_again").await else { return };
    let before = Machine::look();
    let cluster = Cluster::start(Options::new(Profile::P3)).await.unwrap();
    cluster.copy_store().await.unwrap();
    cluster.restore_store().await.unwrap();
    idle_pod(&cluster.client().await.unwrap()).await;
    cluster.stop().await.unwrap();
    Machine::look().assert_same(&before);
}
