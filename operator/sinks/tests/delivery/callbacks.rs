//! Callbacks: who is believed, what each means, and that repeats in any order are the same payments.

use std::collections::BTreeMap;

use http::StatusCode;
use jiff::Timestamp;
use ring::hmac;
use serde_json::{Value, json};
use tenantry_ledger::payment::{Payment, ToldPayment, allocate};
use tenantry_sinks::callback::{Call, Meaning, Of, Refused};
use tenantry_sinks::kill_bill::{Credentials, KillBill};
use tenantry_sinks::stripe::Stripe;

use crate::documents::{DEADLINE, now};
use crate::peer::{Asked, Mischief, Peer, System};

const SECRET: &str = "whsec_5WbX5kEWLlfzsGNjH64I8lOOqUB6e8FH";

/// What a system has by its path.
struct Shelf(BTreeMap<&'static str, Value>);

impl System for Shelf {
    fn serve(&mut self, asked: &Asked) -> (StatusCode, Value) {
        match self.0.get(asked.path.as_str()) {
            Some(value) => (StatusCode::OK, value.clone()),
            None => (StatusCode::NOT_FOUND, json!({"error": {"message": "none"}})),
        }
    }
}

/// One invoice of ours with a charge, and one of somebody else.
fn shop() -> Shelf {
    Shelf(BTreeMap::from([
        ("/v1/charges/ch_1", json!({"id": "ch_1", "invoice": "in_1", "currency": "eur"})),
        ("/v1/charges/ch_2", json!({"id": "ch_2", "invoice": null, "currency": "eur"})),
        ("/v1/invoices/in_1", json!({"id": "in_1", "metadata": {"tenantry": "INV-001-001"}})),
        ("/v1/invoices/in_9", json!({"id": "in_9", "metadata": {}})),
    ]))
}

fn signature(body: &str, at: Timestamp, secret: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let at = at.as_second();
    let tag = hmac::sign(&key, format!("{at}.{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={at},v1=00ff,v1={hex},v0=ignored")
}

fn event(kind: &str, object: Value, before: Value) -> String {
    let created = now().as_second();
    json!({"id": "evt_1", "type": kind, "created": created, "data": {"object": object, "previous_attributes": before}})
        .to_string()
}

async fn called(sink: &Stripe, body: &str) -> Result<Meaning, Refused> {
    let proof = signature(body, now(), SECRET);
    sink.called(Call { proof: &proof, body: body.as_bytes(), at: now() }, SECRET).await
}

fn invoice_paid() -> String {
    let paid = json!({
        "id": "in_1", "amount_paid": 11_900, "currency": "eur", "paid_out_of_band": false, "metadata": {"tenantry": "INV-001-001"},
    });
    event("invoice.paid", paid, Value::Null)
}

fn refunded(all: i64, before: i64) -> String {
    let charge = json!({"id": "ch_1", "invoice": "in_1", "currency": "eur", "amount_refunded": all});
    event("charge.refunded", charge, json!({"amount_refunded": before}))
}

fn disputed(word: &str) -> String {
    let dispute = json!({"id": "dp_1", "charge": "ch_1", "amount": 2_000, "currency": "eur"});
    event(&format!("charge.dispute.{word}"), dispute, Value::Null)
}

#[tokio::test]
async fn only_what_stripe_signed_a_moment_ago_is_believed() {
    let peer = Peer::start(shop(), []).await;
    let sink = Stripe::new(&peer.url, "sk_test", DEADLINE).unwrap();
    let body = invoice_paid();
    let good = signature(&body, now(), SECRET);
    let later = |seconds: i64| Timestamp::from_second(now().as_second() + seconds).unwrap();
    let cases = [
        (good.as_str(), body.as_str(), later(0), true),
        (&good, &body, later(300), true),
        (&good, &body, later(-300), true),
        (&good, &body, later(301), false),
        (&good, &body, later(-301), false),
        (&good, &body.replace("11900", "11901"), later(0), false),
        (&signature(&body, now(), "whsec_other"), &body, later(0), false),
        (&good.replace("t=", "t=1"), &body, later(0), false),
        (&good.replace("v1=", "v0="), &body, later(0), false),
        ("", &body, later(0), false),
        ("t=yesterday,v1=00", &body, later(0), false),
        ("v1=0", &body, later(0), false),
    ];
    for (proof, body, at, is_believed) in cases {
        let said = sink.called(Call { proof, body: body.as_bytes(), at }, SECRET).await;
        assert_eq!(matches!(said, Err(Refused::Forged(_))), !is_believed, "{proof} at {at}: {said:?}");
        assert_eq!(said.is_ok(), is_believed, "{proof} at {at}");
    }
    assert!(peer.asked().is_empty(), "an invoice that was paid says everything");
}

#[tokio::test]
async fn each_event_of_stripe_means_money_or_says_why_it_does_not() {
    let peer = Peer::start(shop(), []).await;
    let sink = Stripe::new(&peer.url, "sk_test", DEADLINE).unwrap();
    let says = async |body: &str| match called(&sink, body).await {
        Ok(Meaning::Moved(moved)) => {
            let one = &moved[0];
            assert_eq!((moved.len(), &one.of), (1, &Of::Document("INV-001-001".to_owned())));
            assert_eq!(one.at, Timestamp::from_second(now().as_second()).ok());
            format!("{:?} {} {}", one.kind, one.id, one.amount)
        }
        Ok(Meaning::Nothing(why)) => why,
        Err(refused) => format!("{refused:?}"),
    };
    assert_eq!(says(&invoice_paid()).await, "Payment in_1 119.00 EUR");
    assert_eq!(says(&refunded(1_000, 0)).await, "Refund ch_1/refunded/1000 10.00 EUR");
    assert_eq!(says(&refunded(2_500, 1_000)).await, "Refund ch_1/refunded/2500 15.00 EUR");
    assert!(says(&refunded(1_000, 1_000)).await.contains("no more money went than before"));
    assert_eq!(says(&disputed("funds_withdrawn")).await, "Chargeback dp_1/withdrawn 20.00 EUR");
    assert_eq!(says(&disputed("funds_reinstated")).await, "Payment dp_1/reinstated 20.00 EUR");
    assert!(says(&disputed("created")).await.contains("charge.dispute.created moves no money"));
    let elsewhere = invoice_paid().replace("\"paid_out_of_band\":false", "\"paid_out_of_band\":true");
    assert!(says(&elsewhere).await.contains("it was paid elsewhere"));
    assert!(says(&invoice_paid().replace("tenantry", "other")).await.contains("none of ours"));
    let alone = refunded(1, 0).replace("\"in_1\"", "null");
    assert!(says(&alone).await.contains("the charge is of no invoice"));
    assert!(says(&refunded(1, 0).replace("in_1", "in_9")).await.contains("none of ours"));
    for wrong in [
        "nothing".to_owned(),
        invoice_paid().replace("amount_paid", "paid"),
        invoice_paid().replace("eur", "eux"),
    ] {
        assert!(says(&wrong).await.starts_with("Unreadable"), "{wrong}");
    }
    // Away, or without the charge: it shall be told again.
    assert!(says(&disputed("funds_withdrawn").replace("ch_1", "ch_3")).await.starts_with("Trouble"));
    for mischief in [Mischief::Fails, Mischief::Hangs, Mischief::CutsAfter, Mischief::Throttles] {
        let peer = Peer::start(shop(), [mischief]).await;
        let sink = Stripe::new(&peer.url, "sk_test", DEADLINE).unwrap();
        assert!(
            matches!(called(&sink, &disputed("funds_withdrawn")).await, Err(Refused::Trouble(_))),
            "{mischief:?}"
        );
        assert!(
            matches!(called(&sink, &disputed("funds_withdrawn")).await, Ok(Meaning::Moved(_))),
            "{mischief:?}"
        );
    }
}

/// A ledger's memory of payments: each once by what its provider calls it, and never another one under the same id.
fn take(known: &mut BTreeMap<String, Payment>, told: &ToldPayment) {
    let payment = told.read(currency(), &jiff::tz::TimeZone::UTC, now()).unwrap();
    match known.get(&told.id) {
        Some(before) => before.repeats("acme", told, &payment).unwrap(),
        None => drop(known.insert(told.id.clone(), payment)),
    }
}

fn currency() -> tenantry_ledger::money::Currency {
    tenantry_ledger::money::Currency::parse("currency", "EUR").unwrap()
}

#[tokio::test]
async fn callbacks_that_repeat_in_any_order_give_the_same_balance() {
    let peer = Peer::start(shop(), []).await;
    let sink = Stripe::new(&peer.url, "sk_test", DEADLINE).unwrap();
    let all = [
        invoice_paid(),
        refunded(1_000, 0),
        refunded(2_500, 1_000),
        disputed("funds_withdrawn"),
        disputed("funds_reinstated"),
    ];
    let mut seed: usize = 7;
    for _ in 0..20 {
        let mut known = BTreeMap::new();
        // Each three times, in an order that is another one each time.
        let mut left: Vec<&String> = all.iter().chain(&all).chain(&all).collect();
        while !left.is_empty() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let body = left.swap_remove((seed >> 33) % left.len());
            let Meaning::Moved(moved) = called(&sink, body).await.unwrap() else { panic!("{body}") };
            for one in moved {
                take(&mut known, &one.told("cards", "acme"));
            }
        }
        assert_eq!(known.len(), 5);
        assert_eq!(allocate(&[], 0, known.values()).balance, 11_900 - 2_500);
    }
}

/// A payment that was carried out, given back in part, and taken back by a bank that changed its mind.
fn bill() -> Shelf {
    let transaction = |id: &str, kind: &str, amount: Value, status: &str| {
        json!({
            "transactionId": id, "transactionType": kind, "amount": amount, "currency": "EUR", "status": status,
            "effectiveDate": "2026-12-01T00:00:30.000Z",
        })
    };
    let transactions = [
        transaction("a", "AUTHORIZE", json!(119), "SUCCESS"),
        transaction("b", "PURCHASE", json!(119.5), "SUCCESS"),
        transaction("c", "PURCHASE", json!(119.5), "PAYMENT_FAILURE"),
        transaction("d", "REFUND", json!(20), "SUCCESS"),
        transaction("e", "CHARGEBACK", json!(0.1), "SUCCESS"),
    ];
    Shelf(BTreeMap::from([
        (
            "/1.0/kb/payments/p-1",
            json!({"paymentId": "p-1", "accountId": "k-1", "transactions": transactions}),
        ),
        (
            "/1.0/kb/payments/p-2",
            json!({"paymentId": "p-2", "accountId": "k-1", "transactions": transactions[..1]}),
        ),
        ("/1.0/kb/accounts/k-1", json!({"accountId": "k-1", "externalKey": "acme"})),
    ]))
}

fn pushed(payment: &str) -> String {
    json!({"eventType": "PAYMENT_SUCCESS", "accountId": "k-1", "objectType": "PAYMENT", "objectId": payment})
        .to_string()
}

#[tokio::test]
async fn kill_bill_says_itself_what_its_notification_is_about() {
    let credentials = Credentials {
        api_key: "bob".to_owned(),
        api_secret: "lazar".to_owned(),
        user: "admin".to_owned(),
        password: "pass".to_owned(),
    };
    let peer = Peer::start(bill(), []).await;
    let sink = KillBill::new(&peer.url, &credentials, DEADLINE).unwrap();
    let called = async |proof: &str, body: &str| {
        sink.called(Call { proof, body: body.as_bytes(), at: now() }, "open sesame").await
    };
    for wrong in ["", "open", "open sesame "] {
        assert!(matches!(called(wrong, &pushed("p-1")).await, Err(Refused::Forged(_))), "{wrong:?}");
    }
    assert!(peer.asked().is_empty(), "nobody is asked for a stranger");
    let mut known = BTreeMap::new();
    for _ in 0..3 {
        let Meaning::Moved(moved) = called("open sesame", &pushed("p-1")).await.unwrap() else { panic!() };
        let said: Vec<String> =
            moved.iter().map(|one| format!("{:?} {} {}", one.kind, one.id, one.amount)).collect();
        assert_eq!(said, ["Payment b 119.50 EUR", "Refund d 20.00 EUR", "Chargeback e 0.10 EUR"]);
        for one in &moved {
            assert_eq!(one.of, Of::Account("acme".to_owned()));
            take(&mut known, &one.told("bill", "acme"));
        }
    }
    assert_eq!(allocate(&[], 0, known.values()).balance, 11_950 - 2_000 - 10);
    let nothing = called("open sesame", &pushed("p-2")).await.unwrap();
    assert_eq!(nothing, Meaning::Nothing("nothing of the payment was carried out".to_owned()));
    let other =
        json!({"eventType": "INVOICE_CREATION", "objectType": "INVOICE", "objectId": "i-1"}).to_string();
    let nothing = called("open sesame", &other).await.unwrap();
    assert_eq!(nothing, Meaning::Nothing("INVOICE_CREATION is about no payment".to_owned()));
    assert!(matches!(called("open sesame", &pushed("../accounts")).await, Err(Refused::Unreadable(_))));
    assert!(matches!(called("open sesame", &pushed("p-9")).await, Err(Refused::Trouble(_))));
    assert!(matches!(called("open sesame", "[]").await, Err(Refused::Unreadable(_))));
}
