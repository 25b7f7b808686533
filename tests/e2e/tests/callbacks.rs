//! From what a card processor calls back to what an account owes, on a real API server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use jiff::Timestamp;
use ring::hmac;
use serde_json::{Value, json};
use tenantry_e2e::orders::with;
use tenantry_e2e::people::tenantry;
use tenantry_e2e::priced::{account, definitions, issuer, paid_by, until_billed};
use tenantry_e2e::{NAMESPACE, Setup, World, http, process};

const SECRET: &str = "whsec_5WbX5kEWLlfzsGNjH64I8lOOqUB6e8FH";

/// What Stripe tells when an invoice of ours was paid.
fn paid(id: &str, number: &str, cents: i64) -> String {
    let invoice =
        json!({"id": id, "amount_paid": cents, "currency": "eur", "metadata": {"tenantry": number}});
    let created = Timestamp::now().as_second();
    json!({"id": "evt", "type": "invoice.paid", "created": created, "data": {"object": invoice}}).to_string()
}

/// Status and answer to a callback that is signed with a secret.
fn call(world: &World, path: &str, secret: &str, body: &str) -> (u16, Value) {
    let at = Timestamp::now().as_second();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{at}.{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let signature = format!("t={at},v1={hex}");
    let address = world.controller.as_ref().unwrap().billing();
    let address = address.strip_prefix("http://").unwrap().parse().unwrap();
    let answer = http::post(address, path, &[("Stripe-Signature", signature.as_str())], body).unwrap();
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_paid_by_card_is_told_by_whoever_took_the_card() {
    let mut world = World::start(Setup::default()).await.unwrap();
    let definitions = definitions().unwrap();
    world.apply_all(&definitions).await.unwrap();
    world.run_controller(&[]).unwrap();
    world.accepted(&definitions).await.unwrap();
    let sinks = json!([
        // Nobody is there: what is delivered is tried again, and callbacks need no delivery.
        {"name": "cards", "stripe": {"url": "http://127.0.0.1:9"}},
        {"name": "wallet", "stripe": {"url": "http://127.0.0.1:9"}},
    ]);
    let issuer = with(with(issuer(), "spec.sinks", sinks), "spec.paymentSources", json!(["bank", "cards"]));
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tenantry-sinks", "namespace": NAMESPACE},
        "stringData": {"cards.key": "sk", "cards.callback": SECRET, "wallet.key": "sk"},
    });
    // Another seller's sink has the same name, and the same key with it.
    let other =
        with(with(issuer.clone(), "metadata.name", json!("other")), "spec.series.invoices", json!("OTH"));
    world.apply_all(&[issuer, other, secret, account("EUR", "acme"), paid_by("acme", "acme")]).await.unwrap();
    let number = until_billed(&world, "acme", 1).await.unwrap()[0]["number"].as_str().unwrap().to_owned();

    // Told three times it counts once.
    let body = paid("in_1", &number, 11_000);
    for is_new in [true, false, false] {
        let (status, answer) = call(&world, "/v1/callbacks/orderly/cards", SECRET, &body);
        assert_eq!((status, &answer["payments"][0]["isNew"]), (200, &json!(is_new)), "{answer}");
    }
    // Nobody who cannot sign, of no other sink, and of no document that the ledger does not have.
    let (status, answer) =
        call(&world, "/v1/callbacks/orderly/cards", "whsec_other", &paid("in_2", &number, 1));
    assert_eq!((status, &answer["field"]), (401, &json!("signature")), "{answer}");
    let (status, answer) = call(&world, "/v1/callbacks/orderly/other", SECRET, &body);
    assert_eq!(status, 404, "{answer}");
    let (status, answer) = call(&world, "/v1/callbacks/other/cards", SECRET, &body);
    assert_eq!(status, 422, "{answer}");
    assert!(answer["reason"].as_str().unwrap().contains("account acme do not go to other/cards"), "{answer}");
    let (status, answer) = call(&world, "/v1/callbacks/orderly/wallet", SECRET, &body);
    assert_eq!(status, 503, "{answer}");
    assert!(answer["reason"].as_str().unwrap().contains("has no key wallet.callback; add it"), "{answer}");
    let (status, answer) =
        call(&world, "/v1/callbacks/orderly/cards", SECRET, &paid("in_3", "INV-009-001", 1));
    assert_eq!(status, 404, "{answer}");
    // What moves no money is answered, so that it is not told for ever.
    let other = json!({"type": "customer.created", "data": {"object": {}}}).to_string();
    let (status, answer) = call(&world, "/v1/callbacks/orderly/cards", SECRET, &other);
    assert_eq!((status, &answer["payments"]), (200, &json!([])), "{answer}");

    let database = process::journal(world.directory());
    let balance = ["billing", "balance", "acme", "-o", "json", "--database", &database];
    let said = tenantry(&world.cluster.kubeconfig(), &balance).await.unwrap();
    let balance: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&balance["open"], &balance["balance"]), (&json!("0.00"), &json!("0.00")), "{balance}");
    let payment = &balance["payments"][0];
    assert_eq!((&payment["provider"], &payment["id"]), (&json!("cards"), &json!("in_1")), "{balance}");
    let proof = ["ledger", "verify", "-o", "json", "--database", &database];
    let proof: Value =
        serde_json::from_str(&tenantry(&world.cluster.kubeconfig(), &proof).await.unwrap()).unwrap();
    assert_eq!((&proof["faults"], &proof["payments"]), (&json!([]), &json!(1)), "{proof}");
}
