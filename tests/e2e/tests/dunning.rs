//! From an invoice that nobody pays to a suspension, and back: by the clock, on a real API server and a real database, with payments
//! that are told again and out of order.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use futures::future::join_all;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use std::path::Path;
use tenantry_crds::billing::DunningStage;
use tenantry_crds::subscription::BillingStatus;
use tenantry_crds::suspension::SuspensionReason;
use tenantry_crds::{TenantSubscription, TenantSuspension};
use tenantry_e2e::callers::person;
use tenantry_e2e::clock::Clock;
use tenantry_e2e::journal::History;
use tenantry_e2e::orders::with;
use tenantry_e2e::people::tenantry;
use tenantry_e2e::priced::{account, definitions, issuer, paid_by, until_billed};
use tenantry_e2e::wait::{self, PATIENCE, is_live};
use tenantry_e2e::{Setup, World};

const DAY: i64 = 86_400;

fn billing(subscription: &TenantSubscription) -> BillingStatus {
    subscription.status.as_ref().and_then(|status| status.billing.clone()).unwrap_or_default()
}

fn is_suspended(subscription: &TenantSubscription) -> bool {
    wait::is_true(subscription, "Suspended")
}

fn is_back(subscription: &TenantSubscription) -> bool {
    is_live(subscription) && wait::condition(subscription, "Suspended").is_none()
}

/// What a command says as JSON that asks the billing address with a token, or why it was refused.
async fn asks(world: &World, token: &Path, arguments: &[&str]) -> Result<Value, String> {
    let server = world.controller.as_ref().unwrap().billing();
    let more = ["--server", &server, "--token-file", token.to_str().unwrap(), "-o", "json"];
    let arguments: Vec<&str> = arguments.iter().copied().chain(more).collect();
    let said = tenantry(&world.cluster.kubeconfig(), &arguments).await.map_err(|error| error.to_string())?;
    Ok(serde_json::from_str(&said).unwrap())
}

/// What somebody tells of a payment to the account.
fn payment<'a>(id: &'a str, amount: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let told =
        ["billing", "payment", "--account", "acme", "--currency", "EUR", "--id", id, "--amount", amount];
    told.iter().copied().chain(more.iter().copied()).collect()
}

/// So many days later, with a controller that knows nothing but what is kept.
async fn later(world: &mut World, clock: &Clock, days: i64) {
    world.kill_controller().unwrap();
    world.release_lease().await.unwrap();
    clock.set(days * DAY).unwrap();
    world.run_controller_by(clock).unwrap();
}

/// Names of suspensions for debt, with which each of them was made.
async fn held(world: &World) -> Vec<(String, String)> {
    let api: Api<TenantSuspension> = Api::all(world.client.clone());
    let all = api.list(&ListParams::default()).await.unwrap().items;
    let ours = all.into_iter().filter(|one| one.spec.reason == SuspensionReason::Billing);
    ours.map(|one| (one.metadata.name.unwrap(), one.metadata.uid.unwrap())).collect()
}

/// Waits until there are so many of them.
async fn until_held(world: &World, count: usize) {
    let waiting = async { while held(world).await.len() != count {} };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.unwrap_or_else(|_| panic!("there are not {count} suspensions for debt"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_pay_is_reminded_and_suspended_and_served_again_when_he_has() {
    let mut world = World::start(Setup::default()).await.unwrap();
    let definitions = definitions().unwrap();
    world.apply_all(&definitions).await.unwrap();
    let clock = Clock::find(world.directory()).unwrap();
    clock.set(0).unwrap();
    world.run_controller_by(&clock).unwrap();
    world.accepted(&definitions).await.unwrap();
    let folder = world.directory().join("documents");
    std::fs::create_dir_all(&folder).unwrap();
    let issuer =
        with(issuer(), "spec.sinks", json!([{"name": "drop", "folder": {"path": folder, "forms": ["Ubl"]}}]));
    let issuer = with(issuer, "spec.paymentSources", json!(["bank", "cards"]));
    let rungs = json!([{"stage": "Reminder", "days": 1}, {"stage": "Suspended", "days": 5}]);
    let issuer = with(issuer, "spec.dunning", rungs);
    let account = with(account("EUR", "acme"), "spec.paymentDays", json!(0));
    world
        .apply_all(&[issuer, account.clone(), paid_by("acme", "acme"), paid_by("bolt", "acme")])
        .await
        .unwrap();
    let first = until_billed(&world, "acme", 1).await.unwrap();
    until_billed(&world, "bolt", 1).await.unwrap();
    let owes = |one: &TenantSubscription| billing(one).open_amount.as_deref() == Some("220.00 EUR");
    let acme = world.until("acme", owes).await.unwrap();
    assert_eq!(billing(&acme).oldest_due_date.as_deref(), first[0]["due"].as_str());
    assert_eq!(billing(&acme).dunning, None);

    // Overdue: each invoice is reminded of, and nobody is suspended who was not told before.
    later(&mut world, &clock, 8).await;
    let reminded = |one: &TenantSubscription| billing(one).dunning == Some(DunningStage::Reminder);
    world.until("acme", reminded).await.unwrap();
    let number = first[0]["number"].as_str().unwrap().to_owned();
    let file = folder.join(format!("{number}.reminder.json"));
    let reader = person(&world, "reader", Some("tenantry-billing-reader")).await.unwrap();
    let delivered = async {
        loop {
            let all = asks(&world, &reader, &["deliveries", "list", &number]).await.unwrap_or_default();
            let is_sent = |one: &Value| one["stage"] == "Reminder" && one["state"] == "Sent";
            if all.as_array().is_some_and(|all| all.iter().any(is_sent)) {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, delivered).await.expect("the reminder is not delivered");
    let notice: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!((&notice["stage"], &notice["number"]), (&json!("Reminder"), &json!(number)), "{notice}");
    assert_eq!(held(&world).await, []);

    // A person suspends one of both for another reason, and the next day both are suspended for debt.
    let why = ["suspend", "bolt", "--reason", "abuse", "--scope", "network", "--message", "it sends spam"];
    world.tenantry(&why).await.unwrap();
    later(&mut world, &clock, 9).await;
    world.until("acme", is_suspended).await.unwrap();
    let stands = |one: &TenantSubscription| billing(one).dunning == Some(DunningStage::Suspended);
    world.until("acme", stands).await.unwrap();
    world.until("bolt", stands).await.unwrap();
    until_held(&world, 2).await;
    let suspended = held(&world).await;
    // Whoever takes over makes no second.
    later(&mut world, &clock, 10).await;
    world.until("bolt", stands).await.unwrap();
    assert_eq!(held(&world).await, suspended);

    // While something is argued about nothing follows, and afterwards what followed before does.
    world.apply_all(&[with(account.clone(), "spec.dunning", json!("Off"))]).await.unwrap();
    until_held(&world, 0).await;
    world.until("acme", is_back).await.unwrap();
    world.apply_all(&[with(account, "spec.dunning", json!("On"))]).await.unwrap();
    until_held(&world, 2).await;
    world.until("acme", is_suspended).await.unwrap();
    // The controller itself may suspend for debt alone.
    let why = ["suspend", "acme", "--reason", "abuse", "--message", "it sends spam"];
    let refused = tenantry(world.identity(), &why).await.unwrap_err().to_string();
    assert!(refused.contains("you may not suspend acme"), "{refused}");

    // Who tells of payments may do nothing else, and not under any name.
    let bank = person(&world, "bank", Some("tenantry-payment-source")).await.unwrap();
    let refused = asks(&world, &bank, &["billing", "balance", "acme"]).await.unwrap_err();
    assert!(refused.contains("may not get billingaccounts/invoices of account acme"), "{refused}");
    let told = payment("1", "1.00", &["--provider", "bank"]);
    let refused = asks(&world, &reader, &told).await.unwrap_err();
    assert!(refused.contains("may not create billingaccounts/payments of account acme"), "{refused}");
    let refused = asks(&world, &bank, &payment("1", "1.00", &["--provider", "Bank"])).await.unwrap_err();
    assert!(refused.contains("payments[0].provider: \"Bank\" does not tell of payments"), "{refused}");
    let refused = asks(&world, &bank, &payment("1", "0.00", &["--provider", "bank"])).await.unwrap_err();
    assert!(refused.contains("payments[0].amount"), "{refused}");

    // Callbacks come at once, each of them three times and in no order.
    let callbacks = [
        payment("ch_1", "110.00", &["--provider", "cards", "--invoice", &number]),
        payment("7", "145.00", &["--provider", "bank"]),
        payment("ch_2", "40.00", &["--provider", "cards", "--kind", "chargeback"]),
        payment("8", "35.00", &["--provider", "bank"]),
    ];
    let orders = [[2, 0, 3, 1], [3, 1, 2, 0], [0, 1, 2, 3]];
    let told = orders.into_iter().flatten().map(|place| asks(&world, &bank, &callbacks[place]));
    let told = join_all(told).await;
    let new = told.iter().filter(|told| told.as_ref().unwrap()[0]["isNew"] == true).count();
    assert_eq!(new, 4, "{told:?}");
    let refused = asks(&world, &bank, &payment("7", "146.00", &["--provider", "bank"])).await.unwrap_err();
    assert!(refused.contains("payments[0].amount: bank told of payment \"7\" before"), "{refused}");

    // Paid: what was made for debt is lifted, and what a person made is not.
    world.until("acme", is_back).await.unwrap();
    until_held(&world, 0).await;
    let api: Api<TenantSuspension> = Api::all(world.client.clone());
    let people: Vec<TenantSuspension> = api.list(&ListParams::default()).await.unwrap().items;
    let people: Vec<_> =
        people.iter().map(|one| (one.spec.reason, &*one.spec.subscription_ref.name)).collect();
    assert_eq!(people, [(SuspensionReason::Abuse, "bolt")]);
    let owes_nothing = |bolt: &TenantSubscription| {
        is_suspended(bolt) && billing(bolt).open_amount.is_none() && billing(bolt).dunning.is_none()
    };
    world.until("bolt", owes_nothing).await.unwrap();
    let balance = asks(&world, &reader, &["billing", "balance", "acme"]).await.unwrap();
    assert_eq!((&balance["open"], &balance["balance"]), (&json!("0.00"), &json!("30.00")), "{balance}");
    assert_eq!(balance["payments"].as_array().unwrap().len(), 4, "{balance}");
    let proof = asks(&world, &reader, &["ledger", "verify"]).await.unwrap();
    assert_eq!((&proof["faults"], &proof["payments"]), (&json!([]), &json!(4)), "{proof}");
    // Each time suspended once and lifted once, whoever was killed between.
    let of = |history: &History, outcome: &str| {
        let of_suspensions = history.0.iter().filter(|fact| fact.subject == "Suspension");
        of_suspensions.filter(|fact| fact.outcome == outcome).count()
    };
    let is_lifted = |history: &History| of(history, "Lifted") > 1;
    let history = History::until(world.identity(), world.directory(), "acme", is_lifted).await.unwrap();
    assert_eq!((of(&history, "Suspended"), of(&history, "Lifted")), (2, 2), "{history:#?}");
    assert_eq!(held(&world).await, []);
}
