//! The hand-over of an ERP on a real node: a conversion of data that fails its count once, an acceptance test that fails once, a
//! training, and the opening; all of it by jobs and people as in production. Needs root on Linux; elsewhere it is skipped by
//! name.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::api::{Api, ListParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tenantry_control_plane::tools::Toolset;
use tenantry_control_plane::{Profile, skipped};
use tenantry_crds::TenantSubscription;
use tenantry_crds::subscription::{ChecklistEntry, ItemState, JobRun, JobState, Phase};
use tenantry_e2e::journal::History;
use tenantry_e2e::orders::{erp, with};
use tenantry_e2e::people::{Signer, asked, tenantry};
use tenantry_e2e::wait::stands;
use tenantry_e2e::{Setup, World, node, wait};

const NAMESPACE: &str = "tenant-acme";
/// What the system before had.
const CUSTOMERS: &str = "number,name\n1,Anvil & Sons\n2,\"Bolt, Nut & Co\"\n3,Çelik A.Ş.\n";

/// The item as it stands, and its run.
async fn item(
    world: &World,
    name: &'static str,
    state: ItemState,
    reason: &'static str,
) -> (ChecklistEntry, Option<JobRun>) {
    let subscription = world.until("acme", stands(name, state, reason)).await.unwrap();
    let entry = wait::entry(&subscription, name).unwrap().clone();
    (entry.clone(), entry.job)
}

/// An order that brings data along, trains somebody, and whose acceptance test waits for a word.
fn order() -> Value {
    let ada = json!({"name": "ada", "email": "ada@acme.example", "roles": ["administrator"]});
    let data = json!({"source": {"system": "Orderly 3", "format": "csv"}, "trial": {"rows": 4}});
    let hold = json!([{"item": "testing", "reason": "the test itself is tested"}]);
    let order = with(erp("acme"), "spec.users", json!([ada]));
    let order = with(order, "spec.network.hosts", json!(["acme.erp.example"]));
    let order = with(order, "spec.goLive", json!({"notBefore": "2099-01-01T06:00:00Z"}));
    let order = with(order, "spec.training", json!({"participants": ["ada"]}));
    with(with(order, "spec.dataConversion", data), "spec.holds", hold)
}

/// The customer hands over the data, into the tenant's own namespace.
async fn hand_over(client: &Client) {
    let secret =
        json!({"metadata": {"name": "conversion-source"}, "stringData": {"customers.csv": CUSTOMERS}});
    let secret: Secret = serde_json::from_value(secret).unwrap();
    let api: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    api.create(&PostParams::default(), &secret).await.unwrap();
}

/// Breaks every web server, or mends it, by the application's own means.
async fn set_fault(world: &World, fault: &str) {
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), NAMESPACE);
    for pod in pods.list(&ListParams::default().labels("app=web")).await.unwrap() {
        let output = tokio::process::Command::new(Toolset::from_cache().unwrap().kubectl.unwrap())
            .env("KUBECONFIG", world.cluster.kubeconfig())
            .args(["--namespace", NAMESPACE, "exec", &pod.name_any(), "--", "/demo-app", "fault", fault])
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The Jobs that there are, by the item they are for.
async fn jobs(client: &Client) -> BTreeMap<String, Vec<String>> {
    let api: Api<Job> = Api::namespaced(client.clone(), NAMESPACE);
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for job in api.list(&ListParams::default().labels("tenantry.io/run")).await.unwrap() {
        let name = job.name_any();
        let item = name.rsplitn(3, '-').nth(2).unwrap().to_owned();
        all.entry(item).or_default().push(name);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_test_training_and_opening() {
    if let Some(missing) = tenantry_control_plane::node::missing() {
        return skipped("data_test_training_and_opening", &missing);
    }
    let mut world = World::start(Setup { profile: Profile::P3, ..Setup::default() }).await.unwrap();
    world.apply_definitions().await.unwrap();
    world.run_controller(&[]).unwrap();
    world.apply_all(&[order()]).await.unwrap();

    conversion(&world).await;
    acceptance(&mut world).await;

    let trained = |subscription: &TenantSubscription| asked(subscription) == ["training"];
    let waiting = world.until("acme", trained).await.unwrap();
    Signer::new(world.cluster.kubeconfig()).look(&waiting).await.unwrap();
    // Everything is done, and the agreed day is not there yet; then it is.
    let (agreed, _) = item(&world, "go-live", ItemState::Waiting, "NotBefore").await;
    assert!(agreed.message.contains("2099-01-01"), "{}", agreed.message);
    world.patch("acme", json!({"spec": {"goLive": {"notBefore": "2026-01-01T06:00:00Z"}}})).await.unwrap();
    world.until("acme", wait::is_live).await.unwrap();
    assert_eq!(node::page(&world.client, "acme", "/").await.unwrap().status, 200);
    client_kit(&world).await;
    kept_copies(&world).await;
    suspended_and_back(&world).await;

    let kubeconfig = world.cluster.kubeconfig();
    tenantry(&kubeconfig, &["describe", "acme"]).await.unwrap();
    world.patch("acme", json!({"spec": {"deletionPolicy": "ExportThenDelete"}})).await.unwrap();
    let subscriptions: Api<TenantSubscription> = Api::all(world.client.clone());
    subscriptions.delete("acme", &Default::default()).await.unwrap();
    exported(&world).await;
    tenantry(&kubeconfig, &["exit", "acme", "--end-keeping"]).await.unwrap();
    wait::gone(subscriptions, "acme").await.unwrap();
    wait::gone(Api::<Namespace>::all(world.client.clone()), NAMESPACE).await.unwrap();
    remembered(&world).await;
}

/// What the customer's people need to begin is a page of their own application, by their own order.
async fn client_kit(world: &World) {
    let page = node::page(&world.client, "acme", "/client").await.unwrap();
    assert_eq!(page.status, 200);
    for part in ["acme Ltd", "https://acme.erp.example/", "/downloads/orderly-4.2.1.msi", "What is new"] {
        assert!(page.body.contains(part), "no {part:?} in {}", page.body);
    }
    let kit = node::page(&world.client, "acme", "/client/kit.json").await.unwrap();
    let kit: Value = serde_json::from_str(&kit.body).unwrap();
    assert_eq!(
        (&kit["version"], &kit["addresses"]),
        (&json!("4.2.1"), &json!(["acme.erp.example"])),
        "{kit}"
    );
}

/// A backup and an export were made before the tenant opened, each with its checksum and its report; and the acceptance test was
/// given what the conversion found.
async fn kept_copies(world: &World) {
    for name in ["backup", "export-trial"] {
        let (_, run) = item(world, name, ItemState::Done, "JobSucceeded").await;
        let run = run.unwrap();
        let result = run.result.clone().unwrap();
        assert_eq!((run.attempt, run.state), (1, JobState::Succeeded), "{run:?}");
        assert!(result.checksum.is_some() && result.report_sha256.is_some(), "{run:?}");
    }
    let (_, run) = item(world, "testing", ItemState::Done, "JobSucceeded").await;
    let api: Api<Job> = Api::namespaced(world.client.clone(), NAMESPACE);
    let job = serde_json::to_value(api.get(&run.unwrap().name).await.unwrap()).unwrap();
    let given = job.pointer("/spec/template/spec/containers/0/args").unwrap();
    assert!(given.as_array().unwrap().contains(&json!("--expect-table=customers=3")), "{given}");
}

/// The containers of who is suspended end, and who is not any more is served again by as many.
async fn suspended_and_back(world: &World) {
    let kubeconfig = world.cluster.kubeconfig();
    let before = world.running(NAMESPACE).await.unwrap();
    assert!(before > 0);
    let message = "invoice 7 is not paid";
    tenantry(&kubeconfig, &["suspend", "acme", "--reason", "billing", "--message", message]).await.unwrap();
    world.until("acme", |acme| wait::is_true(acme, "Suspended")).await.unwrap();
    assert_eq!(world.running(NAMESPACE).await.unwrap(), 0);
    tenantry(&kubeconfig, &["resume", "acme", "--all"]).await.unwrap();
    let is_back =
        |acme: &TenantSubscription| wait::is_live(acme) && wait::condition(acme, "Suspended").is_none();
    world.until("acme", is_back).await.unwrap();
    assert_eq!(world.running(NAMESPACE).await.unwrap(), before);
    assert_eq!(node::page(&world.client, "acme", "/").await.unwrap().status, 200);
}

/// At the end the customer's data is exported by the application itself, and then nothing runs any more while it is kept.
async fn exported(world: &World) {
    let kept = |acme: &TenantSubscription| acme.status.as_ref().unwrap().phase == Some(Phase::Archived);
    world.until("acme", kept).await.unwrap();
    let (_, run) = item(world, "exit-export", ItemState::Done, "JobSucceeded").await;
    let run = run.unwrap();
    let result = run.result.clone().unwrap();
    assert_eq!((run.attempt, run.state), (1, JobState::Succeeded), "{run:?}");
    assert!(result.checksum.is_some() && result.report_sha256.is_some(), "{run:?}");
    assert_eq!(world.running(NAMESPACE).await.unwrap(), 0);
}

/// What was found, who signed and that it ended is on record when nothing of the tenant is left.
async fn remembered(world: &World) {
    let history = History::of(world.identity(), world.directory(), "acme").await.unwrap();
    assert_eq!(history.outcomes("Run", "data-trial"), ["Failed", "Succeeded"], "{history:#?}");
    assert_eq!(history.outcomes("Item", "data-trial"), ["Failed", "Done"], "{history:#?}");
    assert_eq!(history.outcomes("Run", "data-cutover"), ["Succeeded"], "{history:#?}");
    assert_eq!(history.outcomes("Run", "testing"), ["Failed", "Succeeded"], "{history:#?}");
    assert_eq!(history.outcomes("Signature", "training"), ["Signed"], "{history:#?}");
    assert_eq!(history.outcomes("Operation", ""), ["Began", "Completed"].repeat(4), "{history:#?}");
    assert_eq!(history.outcomes("Run", "exit-export"), ["Succeeded"], "{history:#?}");
    assert_eq!(history.outcomes("Tenant", ""), ["Ended"], "{history:#?}");
    let cutover = history.0.iter().find(|fact| fact.subject == "Run" && fact.item == "data-cutover").unwrap();
    let proof: Value = serde_json::from_str(&cutover.evidence).unwrap();
    assert_eq!(proof["result"]["rows"], json!(3), "{proof}");
    for sum in ["checksum", "sourceSha256", "reportSha256"] {
        assert!(proof["result"][sum].is_string(), "no {sum}: {proof}");
    }
    assert_eq!(history.outcomes("Run", "backup"), ["Succeeded"], "{history:#?}");
    assert_eq!(history.outcomes("Run", "export-trial"), ["Succeeded"], "{history:#?}");
}

/// The trial finds another count than was declared; corrected, it passes; the final run waits for what is declared for it.
async fn conversion(world: &World) {
    let (waiting, run) = item(world, "data-trial", ItemState::Waiting, "SourceMissing").await;
    assert!(waiting.message.contains("Secret conversion-source") && run.is_none(), "{waiting:?}");
    hand_over(&world.client).await;
    let (failed, run) = item(world, "data-trial", ItemState::Failed, "JobFailed").await;
    let run = run.unwrap();
    assert_eq!((run.attempt, run.state), (1, JobState::Failed), "{run:?}");
    assert_eq!(run.result.as_ref().and_then(|result| result.rows), Some(3), "{run:?}");
    assert!(failed.message.contains('4') && failed.message.contains('3'), "{}", failed.message);
    assert!(failed.message.ends_with("kubectl tenantry retry acme data-trial"), "{}", failed.message);

    world.patch("acme", json!({"spec": {"dataConversion": {"trial": {"rows": 3}}}})).await.unwrap();
    let (_, run) = item(world, "data-trial", ItemState::Done, "JobSucceeded").await;
    let run = run.unwrap();
    assert_eq!((run.attempt, run.state), (2, JobState::Succeeded));
    let sum = run.result.and_then(|result| result.source_sha256).unwrap();

    let (waiting, run) = item(world, "data-cutover", ItemState::Waiting, "NotDeclared").await;
    assert!(waiting.message.contains("spec.dataConversion.cutOver") && run.is_none(), "{waiting:?}");
    let declared = json!({"rows": 3, "sha256": sum});
    world.patch("acme", json!({"spec": {"dataConversion": {"cutOver": declared}}})).await.unwrap();
    let (done, run) = item(world, "data-cutover", ItemState::Done, "JobSucceeded").await;
    assert_eq!(run.map(|run| run.attempt), Some(1));
    assert!(done.message.contains("3 rows"), "{}", done.message);
}

/// The acceptance test fails while the web servers answer with errors, and passes when a person asks for another attempt. The
/// controller is killed in its midst, and no run is repeated for that.
async fn acceptance(world: &mut World) {
    item(world, "testing", ItemState::Waiting, "OnHold").await;
    set_fault(world, "error").await;
    world.patch("acme", json!({"spec": {"holds": null}})).await.unwrap();
    // It may have ended already: statuses of a tenant that is worked on come once a second.
    let has_run = |subscription: &TenantSubscription| {
        wait::entry(subscription, "testing").is_some_and(|entry| entry.job.is_some())
    };
    world.until("acme", has_run).await.unwrap();
    world.kill_controller().unwrap();
    world.release_lease().await.unwrap();
    world.run_controller(&[]).unwrap();
    let (failed, run) = item(world, "testing", ItemState::Running, "JobFailed").await;
    assert_eq!(run.map(|run| (run.attempt, run.state)), Some((1, JobState::Failed)));
    assert!(failed.message.starts_with("attempt 1 failed"), "{}", failed.message);
    assert!(
        !wait::is_live(&world.until("acme", |_| true).await.unwrap()),
        "nothing opens before its test passed"
    );

    set_fault(world, "none").await;
    tenantry(&world.cluster.kubeconfig(), &["retry", "acme", "testing"]).await.unwrap();
    let (_, run) = item(world, "testing", ItemState::Done, "JobSucceeded").await;
    assert_eq!(run.map(|run| run.attempt), Some(2));
    world.until("acme", wait::keeps_nothing).await.unwrap();
    let left = jobs(&world.client).await;
    let count = |name: &str| left.get(name).map(Vec::as_slice).unwrap_or_default().len();
    // A creation that arrives late must find its name taken, so what came before stays.
    assert_eq!(["data-trial", "data-cutover", "testing"].map(count), [2, 1, 2], "{left:?}");
}
