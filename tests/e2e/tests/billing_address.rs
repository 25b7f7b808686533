//! The billing address and the commands behind it: who may ask what, what is refused, and who writes where nobody leads.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};
use std::path::Path;
use tenantry_crds::subscription::ItemState;
use tenantry_e2e::callers::person;
use tenantry_e2e::clock::Clock;
use tenantry_e2e::orders::with;
use tenantry_e2e::people::tenantry;
use tenantry_e2e::priced::{account, definitions, is_billed, issuer, paid_by, until_billed};
use tenantry_e2e::wait::{PATIENCE, stands};
use tenantry_e2e::{Setup, World, process};
use tokio::process::Command;

/// Longer than a month, shorter than two.
const DAYS_OF_A_MONTH: i64 = 32;

/// What a command says as JSON that asks the billing address with a token, or why it was refused.
async fn asks(world: &World, token: &Path, arguments: &[&str]) -> Result<Value, String> {
    let server = world.controller.as_ref().unwrap().billing();
    let more = ["--server", &server, "--token-file", token.to_str().unwrap()];
    let arguments: Vec<&str> = arguments.iter().copied().chain(more).collect();
    let said = tenantry(&world.cluster.kubeconfig(), &arguments).await.map_err(|error| error.to_string())?;
    Ok(serde_json::from_str(&said).unwrap_or(Value::String(said)))
}

/// What a command says as JSON that has the database at hand and goes by a clock, or why it ended otherwise.
async fn has(world: &World, clock: &Clock, arguments: &[&str]) -> Result<Value, String> {
    let output = Command::new(process::binary("tenantry").unwrap())
        .args(arguments)
        .args(["--database", &process::journal(world.directory())])
        .env("KUBECONFIG", world.cluster.kubeconfig())
        .envs(clock.environment())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    match output.status.success() || !said.is_empty() {
        true => Ok(serde_json::from_str(&said).unwrap_or(Value::String(said))),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn day(days: i64) -> String {
    let at = Timestamp::now().checked_add((days * 24).hours()).unwrap();
    jiff::tz::Offset::UTC.to_datetime(at).date().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_asks_the_leader_and_whoever_writes_leads() {
    let mut world = World::start(Setup::default()).await.unwrap();
    let definitions = definitions().unwrap();
    world.apply_all(&definitions).await.unwrap();
    let clock = Clock::find(world.directory()).unwrap();
    clock.set(0).unwrap();
    world.run_controller_by(&clock).unwrap();
    world.accepted(&definitions).await.unwrap();
    world.apply_all(&[issuer(), account("EUR", "acme"), paid_by("acme", "acme")]).await.unwrap();
    world.until("acme", is_billed).await.unwrap();
    let first = until_billed(&world, "acme", 1).await.unwrap();
    let number = first[0]["number"].as_str().unwrap().to_owned();

    // Nobody without a token, nobody without a right, and everybody no more than that.
    let nobody = person(&world, "nobody", None).await.unwrap();
    let reader = person(&world, "reader", Some("tenantry-billing-reader")).await.unwrap();
    let clerk = person(&world, "clerk", Some("tenantry-billing-clerk")).await.unwrap();
    let forged = world.directory().join("forged.token");
    std::fs::write(&forged, "eyJhbGciOiJub25lIn0.e30.").unwrap();
    let list = ["invoices", "acme", "-o", "json"];
    let refused = asks(&world, &forged, &list).await.unwrap_err();
    assert!(refused.contains("the cluster does not know the token"), "{refused}");
    let refused = asks(&world, &nobody, &list).await.unwrap_err();
    assert!(refused.contains("may not get billingaccounts/invoices of account acme"), "{refused}");
    for unknown in [["invoices", "other"], ["invoice", "INV-009-001"]] {
        let refused = asks(&world, &nobody, &unknown).await.unwrap_err();
        assert!(refused.contains("may not get billingaccounts/invoices of all accounts"), "{refused}");
    }
    assert_eq!(asks(&world, &reader, &list).await.unwrap(), json!(first));
    assert_eq!(asks(&world, &reader, &["invoice", &number, "-o", "json"]).await.unwrap(), first[0]);
    let refused = asks(&world, &reader, &["invoice", "INV-009-001"]).await.unwrap_err();
    assert!(refused.contains("there is no document"), "{refused}");
    let today = day(0);
    let refused = asks(&world, &reader, &["billing", "run", "--as-of", &today]).await.unwrap_err();
    assert!(refused.contains("may not create billingaccounts/invoices"), "{refused}");
    let refused = asks(&world, &reader, &["ledger", "accept", "acme", "--reason", "seen"]).await.unwrap_err();
    assert!(refused.contains("may not create billingaccounts/acceptances of account acme"), "{refused}");

    // A look ahead writes nothing, and nobody closes what has not come.
    let before = asks(&world, &reader, &["ledger", "verify", "-o", "json"]).await.unwrap();
    assert_eq!((&before["faults"], &before["documents"]), (&json!([]), &json!(1)), "{before}");
    let later = day(DAYS_OF_A_MONTH);
    let dry = ["billing", "run", "--as-of", &later, "--dry-run", "-o", "json"];
    let drafts = asks(&world, &reader, &dry).await.unwrap();
    assert_eq!(
        (&drafts["closed"], &drafts["documents"][0]["net"]),
        (&json!(1), &json!("100.00")),
        "{drafts}"
    );
    assert_eq!(has(&world, &clock, &dry).await.unwrap(), drafts);
    let refused = asks(&world, &clerk, &["billing", "run", "--as-of", &later]).await.unwrap_err();
    assert!(refused.contains("asOf: nobody knows yet what will happen by then"), "{refused}");
    let refused = asks(&world, &clerk, &["billing", "run", "--as-of", "tomorrow"]).await.unwrap_err();
    assert!(refused.contains("asOf: \"tomorrow\" is neither a day nor an instant"), "{refused}");

    // Another plan is computed by the same function and changes nothing.
    let upgrade = ["preview-invoice", "acme", "--plan", "gold", "-o", "json"];
    let supposed = asks(&world, &reader, &upgrade).await.unwrap();
    let said: Vec<String> = supposed[0]["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| format!("{} {}", line["effect"].as_str().unwrap(), line["net"].as_str().unwrap()))
        .collect();
    assert_eq!(said, ["Credit -100.00", "Charge 300.00"], "on the first day");
    assert_eq!(has(&world, &clock, &upgrade).await.unwrap()[0]["lines"], supposed[0]["lines"]);
    let refused = asks(&world, &reader, &["preview-invoice", "acme", "--plan", "tin"]).await.unwrap_err();
    assert!(refused.contains("plan: no plan tin is accepted"), "{refused}");
    let asked = asks(&world, &clerk, &["billing", "run", "--as-of", &today, "-o", "json"]).await.unwrap();
    assert_eq!(asked, json!({"closed": 0, "documents": [], "parked": []}));
    assert_eq!(asks(&world, &reader, &["ledger", "verify", "-o", "json"]).await.unwrap(), before);

    // Who is not charged yet sees what his first invoice would be if he were from now on.
    let later_on = Timestamp::now().checked_add((DAYS_OF_A_MONTH * 48).hours()).unwrap().to_string();
    let waits = with(paid_by("carl", "acme"), "spec.goLive", json!({"notBefore": later_on}));
    world.apply_all(&[waits]).await.unwrap();
    world.until("carl", stands("billing", ItemState::Done, "InLedger")).await.unwrap();
    let first = ["preview-invoice", "carl", "-o", "json"];
    let shown = asks(&world, &reader, &first).await.unwrap();
    assert_eq!(
        (&shown[0]["lines"][0]["name"], &shown[0]["net"]),
        (&json!("carl"), &json!("100.00")),
        "{shown}"
    );
    assert_eq!(has(&world, &clock, &first).await.unwrap()[0]["net"], "100.00");

    // Who has the database does not write while a controller leads, and leads himself where none does.
    let close = ["billing", "run", "--as-of", &later, "-o", "json"];
    let refused = has(&world, &clock, &close).await.unwrap_err();
    assert!(refused.contains("leads and alone may write"), "{refused}");
    world.kill_controller().unwrap();
    world.release_lease().await.unwrap();
    clock.set(DAYS_OF_A_MONTH * 86_400).unwrap();
    let made = has(&world, &clock, &close).await.unwrap();
    assert_eq!((&made["closed"], &made["documents"][0]["net"]), (&json!(1), &json!("100.00")), "{made}");
    let again = has(&world, &clock, &close).await.unwrap();
    assert_eq!(again["documents"], json!([]), "{again}");
    world.run_controller_by(&clock).unwrap();
    world.until("acme", is_billed).await.unwrap();
    assert_eq!(until_billed(&world, "acme", 2).await.unwrap().len(), 2);

    // Who cannot be charged is parked, and a person's word lets him go on until the next time.
    let rates = json!([{"name": "reduced", "category": "S", "percent": "5"}]);
    let untaxed = with(issuer(), "spec.taxRates", rates);
    let untaxed = with(with(untaxed, "metadata.name", json!("other")), "spec.series.invoices", json!("OTH"));
    let other = with(account("EUR", "other"), "spec.issuerRef.name", json!("other"));
    world.apply_all(&[untaxed, other, paid_by("bolt", "other")]).await.unwrap();
    let parked = async {
        loop {
            let proof = has(&world, &clock, &["ledger", "verify", "-o", "json"]).await.unwrap();
            if proof["parked"] != json!([]) {
                break proof;
            }
        }
    };
    let proof = tokio::time::timeout(PATIENCE, parked).await.expect("bolt is parked");
    assert_eq!(proof["parked"][0][0], "other", "{proof}");
    let refused = asks(&world, &clerk, &["ledger", "accept", "acme", "--reason", "seen"]).await.unwrap_err();
    assert!(refused.contains("accounts[acme]: it waits for nobody"), "{refused}");
    asks(&world, &clerk, &["ledger", "accept", "other", "--reason", "seen"]).await.unwrap();
    let accepted = async {
        loop {
            let now = has(&world, &clock, &["ledger", "verify", "-o", "json"]).await.unwrap();
            if now["parked"] == proof["parked"] && now["facts"] != proof["facts"] {
                break now;
            }
        }
    };
    let now = tokio::time::timeout(PATIENCE, accepted).await.expect("the rate is still missing");
    assert_eq!((&now["documents"], &now["faults"]), (&json!(2), &json!([])), "{now}");
}
