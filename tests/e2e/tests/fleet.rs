//! Two hundred tenants and a restart: nothing is written, and nothing of theirs is asked for but by the watches.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tenantry_control_plane::{Crd, Profile};
use tenantry_crds::TenantSubscription;
use tenantry_e2e::{Setup, World, install, metrics, process, traffic, wait};

const TENANTS: usize = 200;

/// The definitions of the benchmark: 24 objects a tenant, no pod and no route, so that nobody else has to act.
fn canonical() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/contenders/tenantry")
}

fn documents(file: &str) -> Vec<Value> {
    install::documents(&std::fs::read_to_string(canonical().join(file)).unwrap()).unwrap()
}

fn definitions() -> Vec<Value> {
    let mut all = documents("plan.yaml");
    for folder in ["blueprint", "application"] {
        let mut build = Command::new(process::binary("tenantry").unwrap());
        let built = build.arg("build").arg(canonical().join(folder)).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        all.extend(install::documents(&String::from_utf8(built.stdout).unwrap()).unwrap());
    }
    all
}

fn order(number: usize) -> Value {
    let text = std::fs::read_to_string(canonical().join("subscription.yaml")).unwrap();
    install::documents(&text.replace("${TENANT}", &format!("t-{number:05}"))).unwrap().remove(0)
}

fn is_ready(subscription: &TenantSubscription) -> bool {
    wait::is_true(subscription, "Ready")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_with_two_hundred_tenants_writes_nothing() {
    let setup = Setup { profile: Profile::P1, optional_kinds: &[Crd::ServiceMonitor] };
    let mut world = World::start(setup).await.unwrap();
    let definitions = definitions();
    world.apply_all(&documents("rights.yaml")).await.unwrap();
    world.apply_all(&definitions).await.unwrap();
    world.run_controller(&[]).unwrap();
    world.accepted(&definitions).await.unwrap();
    let orders: Vec<Value> = (0..TENANTS).map(order).collect();
    world.apply_all(&orders).await.unwrap();
    for number in 0..TENANTS {
        world.until(&format!("t-{number:05}"), is_ready).await.unwrap();
    }
    world.kill_controller().unwrap();
    world.release_lease().await.unwrap();
    let mark = traffic::mark(&world).await.unwrap();
    world.run_controller(&[]).unwrap();
    let touched = looked_at_everything(&world).await;
    let events = traffic::by_controller(&world, mark).await.unwrap();
    let of_tenants: Vec<String> = events
        .iter()
        .filter(|event| event.namespace.starts_with("tenant-") || event.resource == "tenantsubscriptions")
        .filter(|event| event.verb != "watch" && (event.verb != "list" || !event.namespace.is_empty()))
        .map(traffic::line)
        .collect();
    assert_eq!(of_tenants, [format!("patch configmaps/ {touched}: 200")], "the repair alone");
}

/// Waits until every tenant was looked at, by what the controller counts, and then for the repair of one. Gives what was
/// repaired.
async fn looked_at_everything(world: &World) -> String {
    let admin = world.controller.as_ref().unwrap().admin();
    let all = async {
        let mut often = tokio::time::interval(Duration::from_millis(50));
        // Before it serves its address, and before it leads, it has counted nothing.
        while metrics::total(admin, "tenantry_reconciles_total").unwrap_or_default() < TENANTS as f64 {
            often.tick().await;
        }
    };
    tokio::time::timeout(wait::PATIENCE, all).await.expect("every tenant is looked at");
    let namespace = format!("tenant-t-{:05}", TENANTS - 1);
    let configs: Api<ConfigMap> = wait::namespaced(&world.client, &namespace);
    let ours = ListParams::default().labels("app.kubernetes.io/managed-by=tenantry");
    let config = configs.list(&ours).await.unwrap().items.remove(0);
    let name = config.metadata.name.unwrap();
    let key = config.data.unwrap().into_keys().next().unwrap();
    let patch = json!({"data": {&key: "changed by somebody"}});
    configs.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    let is_repaired = |config: Option<&ConfigMap>| {
        let value = config.and_then(|config| config.data.as_ref()?.get(&key));
        value.is_some_and(|value| value != "changed by somebody")
    };
    wait::until(configs, &name, is_repaired).await.unwrap();
    format!("{namespace}/{name}")
}
