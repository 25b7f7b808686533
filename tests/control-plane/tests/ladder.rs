//! Which cluster a test gets, and what is said where there is none. The choice reads the environment, which belongs to a
//! whole process, so each case runs the binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly; clippy's own exception covers test functions but not what they call"
)]

use std::path::Path;
use std::process::Command;

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tenantry_control_plane::{Cluster, Options, Profile};

const BINARY: &str = env!("CARGO_BIN_EXE_tenantry-control-plane");

/// Runs the binary; gives its success and everything it said.
fn run(arguments: &[&str], environment: &[(&str, &Path)]) -> (bool, String) {
    let output = Command::new(BINARY).args(arguments).envs(environment.iter().copied()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn a_foreign_cluster_is_used_only_after_its_owner_opted_in() {
    let cluster = Cluster::start(Options::new(Profile::P1)).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    std::fs::copy(cluster.kubeconfig(), &kubeconfig).unwrap();
    let environment = [("TENANTRY_KUBECONFIG", kubeconfig.as_path())];

    let (ok, said) = run(&["check", "--profile", "P1"], &environment);
    assert!(!ok && said.contains("not marked as a cluster for tests"), "{said}");
    assert!(said.contains("label namespace kube-system tenantry.io/test-cluster=true"), "{said}");

    let namespaces: Api<Namespace> = Api::all(cluster.client().await.unwrap());
    let mark = json!({"metadata": {"labels": {"tenantry.io/test-cluster": "true"}}});
    namespaces.patch("kube-system", &PatchParams::default(), &Patch::Merge(mark)).await.unwrap();
    let (ok, said) = run(&["check", "--profile", "P1"], &environment);
    assert!(ok && said.trim() == "the cluster of TENANTRY_KUBECONFIG: controllers", "{said}");

    let (ok, said) = run(&["check", "--profile", "P2"], &environment);
    assert!(!ok && said.contains("cannot stand in for profile P2: it has [controllers]"), "{said}");

    cluster.stop().await.unwrap();
    // Whoever names a cluster gets that one or none.
    let (ok, said) = run(&["check", "--profile", "P0"], &environment);
    assert!(!ok && said.contains("does not answer"), "{said}");
    std::fs::remove_file(&kubeconfig).unwrap();
    let (ok, said) = run(&["check", "--profile", "P0"], &environment);
    assert!(!ok && said.contains("TENANTRY_KUBECONFIG must name a kubeconfig file"), "{said}");
}

#[test]
fn without_anything_one_message_names_every_way() {
    let empty = tempfile::tempdir().unwrap();
    let environment = [
        ("PATH", empty.path()),
        ("TENANTRY_CACHE", empty.path()),
        ("KUBEBUILDER_ASSETS", empty.path()),
        ("TENANTRY_KUBECONFIG", Path::new("")),
        ("DOCKER_HOST", Path::new("tcp://127.0.0.1:1")),
    ];
    let (ok, said) = run(&["check"], &environment);
    assert!(!ok);
    for way in [
        "Install Go 1.26",
        "TENANTRY_KUBECONFIG: not set",
        "KUBEBUILDER_ASSETS: ",
        "Docker: no Docker engine",
    ] {
        assert!(said.contains(way), "{way:?} is missing in {said}");
    }
    let (ok, said) = run(&["build"], &environment);
    assert!(!ok && said.contains("install Go 1.26"), "{said}");
}

#[test]
fn the_binaries_of_kubebuilder_are_enough_for_their_profile() {
    let tools = tenantry_control_plane::tools::Toolset::from_cache_or_build().unwrap();
    let (empty, assets) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for binary in [&tools.etcd, &tools.kube_apiserver] {
        std::os::unix::fs::symlink(binary, assets.path().join(binary.file_name().unwrap())).unwrap();
    }
    let environment = [
        ("PATH", empty.path()),
        ("TENANTRY_CACHE", empty.path()),
        ("KUBEBUILDER_ASSETS", assets.path()),
        ("TENANTRY_KUBECONFIG", Path::new("")),
        ("DOCKER_HOST", Path::new("tcp://127.0.0.1:1")),
    ];
    let (ok, said) = run(&["check", "--profile", "P0"], &environment);
    assert!(ok && said.trim() == "a control plane of its own: audit, etcd, outages", "{said}");
    let (ok, said) = run(&["check", "--profile", "P1"], &environment);
    assert!(!ok && said.contains("lacks binaries for P1"), "{said}");
}
