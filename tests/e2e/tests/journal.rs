//! The journal: what happened is on record once, whatever becomes of the database and the controller meanwhile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};
use tenantry_control_plane::{Postgres, skipped};
use tenantry_crds::TenantSubscription;
use tenantry_crds::common::ConditionStatus;
use tenantry_e2e::journal::History;
use tenantry_e2e::orders::mail;
use tenantry_e2e::people::tenantry;
use tenantry_e2e::wait::{condition, is_live};
use tenantry_e2e::{Setup, World, wait};

/// Whether the subscription is live on what is ordered now.
fn is_settled(subscription: &TenantSubscription) -> bool {
    is_live(subscription)
        && subscription.status.as_ref().unwrap().operation.as_ref().unwrap().completed_at.is_some()
}

fn unrecorded(subscription: &TenantSubscription) -> usize {
    subscription.status.as_ref().unwrap().unrecorded.len()
}

/// With the database away, tenants come to life and are changed; who is deleted is taken away and stays on record until the
/// database has his history. A controller that is killed meanwhile, and one that starts without the database, lose nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_while_the_database_is_away_is_recorded_once_when_it_is_back() {
    if let Some(missing) = Postgres::missing() {
        return skipped("what_happens_while_the_database_is_away_is_recorded_once_when_it_is_back", &missing);
    }
    let mut postgres = Postgres::start().unwrap();
    let database = postgres.url("postgres");
    let mut world = World::start(Setup::default()).await.unwrap();
    world.apply_definitions().await.unwrap();
    world.run_controller(&["--database", &database]).unwrap();
    world.apply_all(&[mail("goes")]).await.unwrap();
    world.until("goes", is_settled).await.unwrap();
    let subscriptions: Api<TenantSubscription> = Api::all(world.client.clone());

    postgres.kill();
    world.apply_all(&[mail("late")]).await.unwrap();
    let late = world.until("late", is_settled).await.unwrap();
    assert_eq!(unrecorded(&late), 0, "the status tells it all itself");
    world.patch("late", json!({"spec": {"parameters": {"domain": "moved.example"}}})).await.unwrap();
    let moved = |late: &TenantSubscription| {
        let status = late.status.as_ref().unwrap();
        let numbers = status.checklist.iter().filter_map(|entry| Some(entry.conclusion.as_ref()?.number));
        is_settled(late) && numbers.max() == Some(2)
    };
    let late = world.until("late", moved).await.unwrap();
    assert!(unrecorded(&late) > 0, "what was overwritten is carried: {:#?}", late.status);

    subscriptions.delete("goes", &DeleteParams::default()).await.unwrap();
    let waits = |goes: &TenantSubscription| {
        let stalled = condition(goes, "Stalled");
        stalled.is_some_and(|c| c.status == ConditionStatus::True && c.reason == "JournalUnavailable")
    };
    world.until("goes", waits).await.unwrap();
    world.kill_controller().unwrap();
    world.release_lease().await.unwrap();
    world.run_controller(&["--database", &database]).unwrap();
    world.apply_all(&[mail("next")]).await.unwrap();
    world.until("next", is_settled).await.unwrap();

    postgres.restart().unwrap();
    wait::gone(subscriptions, "goes").await.unwrap();
    world.until("late", |late| unrecorded(late) == 0).await.unwrap();
    let history = async |name: &str| History::read(world.identity(), &database, name).await.unwrap();
    let goes = history("goes").await;
    assert_eq!(goes.outcomes("Operation", ""), ["Began", "Completed", "Began", "Completed"], "{goes:#?}");
    assert_eq!(goes.outcomes("Tenant", ""), ["Ended"], "{goes:#?}");
    let late = history("late").await;
    assert_eq!(late.outcomes("Item", "application"), ["Done", "Done"], "{late:#?}");
    assert_eq!(late.outcomes("Item", "contract"), ["Done"], "{late:#?}");
    assert_eq!(late.outcomes("Operation", ""), ["Began", "Completed"], "{late:#?}");
    assert_eq!(history("next").await.outcomes("Operation", ""), ["Began", "Completed"]);
    let log = world.controller.as_ref().unwrap().log().unwrap();
    let password = database.split([':', '@']).nth(2).unwrap();
    assert!(!log.contains(password), "the log shows the password");
    let estimates = ["estimates", "--database", &database, "--output", "json"];
    let estimates: Value =
        serde_json::from_str(&tenantry(world.identity(), &estimates).await.unwrap()).unwrap();
    assert_eq!(estimates[0]["orders"], json!(3), "{estimates}");
}
