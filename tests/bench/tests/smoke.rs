//! Every workload once, small, on a real control plane: everyone makes the canonical objects, and costs the requests it
//! may cost. Times are not looked at.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tenantry_bench::arena::Programs;
use tenantry_bench::blast::{self, Mode, Range};
use tenantry_bench::canonical::OBJECTS;
use tenantry_bench::session::{Count, Plan, contender, count};
use tenantry_bench::workload::{Mixed, Sizes, Workload};
use tenantry_control_plane::Profile;
use tenantry_control_plane::tools::Toolset;

/// Orders of W1 and of W2.
const ONE_BY_ONE: usize = 2;
const BURST: usize = 3;

fn plan(workloads: &[Workload]) -> Plan {
    let sizes = Sizes {
        single: (ONE_BY_ONE, Duration::from_millis(50)),
        bursts: vec![BURST],
        rest: Duration::from_secs(2),
        restart: 0,
        first_order: false,
        drift: (2, 3),
        offboard: 2,
        mixed: Mixed { queued: 2, single: 1, every: Duration::from_millis(50) },
    };
    Plan { counted: sizes.clone(), sizes, workloads: workloads.iter().copied().collect(), ..Plan::quick() }
}

async fn counts(file: &str, workloads: &[Workload]) -> BTreeMap<String, Count> {
    let kubectl = Toolset::from_cache_or_build().unwrap().kubectl.unwrap();
    let programs = Programs { tenantry: tenantry_e2e::process::binary("tenantry").unwrap(), kubectl };
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("contenders").join(file);
    count(&plan(workloads), &contender(&file).unwrap(), &programs).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenantry_does_every_workload_with_the_writes_it_needs() {
    let counts = counts("tenantry.yaml", &Workload::ALL).await;
    let writes = |workload: &str| usize::try_from(counts[workload].object_writes).unwrap();
    // The canonical objects, the controller's role binding, and the finalizer.
    let per_order = OBJECTS + 2;
    let tenants = ONE_BY_ONE + BURST;
    for (workload, expected) in [
        ("W1", ONE_BY_ONE * per_order),
        ("W2", BURST * per_order),
        ("W3", 0),
        ("W4", 0),
        // Two objects of each tenant, and the stored revision of the plan.
        ("W5", 2 * tenants + 1),
        ("W6", 2 + 2 * 3),
        ("W8", 3 * per_order),
        // What is of a custom kind, the namespace, and that once more to be told that it is gone.
        ("W7", 2 * 3),
    ] {
        assert_eq!(writes(workload), expected, "{workload}: {:?}", counts[workload]);
    }
    let at_rest: Vec<&str> = counts["W3"].by_verb.keys().map(String::as_str).collect();
    assert!(at_rest.iter().all(|verb| ["lease", "watch"].contains(verb)), "{at_rest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_makes_the_same_objects() {
    let counts = counts("kubectl.yaml", &[Workload::W1, Workload::W5, Workload::W7]).await;
    let writes = |workload: &str| usize::try_from(counts[workload].object_writes).unwrap();
    assert_eq!(writes("W1"), ONE_BY_ONE * OBJECTS);
    // A script applies everything again, whatever changed.
    assert_eq!(writes("W5"), ONE_BY_ONE * OBJECTS);
    assert_eq!(writes("W7"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blast_sends_every_object_in_every_mode() {
    let mut range = Range::open(Profile::P0).await.unwrap();
    let mut objects = Vec::new();
    for mode in Mode::ALL {
        let shot = match mode {
            Mode::Post | Mode::Apply => range.create(mode, 2, 8).await.unwrap(),
            Mode::ApplyAgain | Mode::Delete => range.again(mode, 2, 8).await.unwrap(),
        };
        assert!(shot.objects_per_second > 0.0 && shot.p50_ms <= shot.p99_ms, "{shot:?}");
        objects.push(shot.objects);
    }
    assert_eq!(objects, [2 * OBJECTS; 4]);
    assert!(range.again(Mode::Delete, 5, 8).await.is_err(), "so many were not sent");
    assert_eq!(blast::best_in_flight(&[], Profile::P0, Mode::Post), 32);
    range.close().await.unwrap();
}
