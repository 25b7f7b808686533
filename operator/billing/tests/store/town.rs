//! Accounts with a year behind them: what was agreed, what happened, what meters counted.

use jiff::Timestamp;
use serde_json::{Value, json};
use tenantry_billing::{Batch, Books, RECORDS, Telling};
use tenantry_journal::{Database, Epoch, Leader};
use tenantry_ledger::agreement::Agreement;
use tenantry_ledger::catalogue::PriceList;
use tenantry_ledger::event::Event;
use tenantry_ledger::history::Happening;

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn agreement(account: &str) -> Agreement {
    edited(account, |_| {})
}

/// An agreement with something else in it.
pub(crate) fn edited(account: &str, edit: impl FnOnce(&mut Value)) -> Agreement {
    let mut value = json!({
        "account": {"id": account, "currency": "EUR", "timeZone": "Europe/Zurich"},
        "seller": {"name": "Orderly Hosting AG", "address": ["Hauptstrasse 1", "8000 Zürich"], "country": "CH"},
        "buyer": {"name": format!("{account} Ltd"), "country": "DE"},
        "series": {"invoice": "INV", "creditNote": "CN"},
        "paymentDays": 30,
        "rates": [{"name": "", "category": "S", "percent": "8.1"}],
    });
    edit(&mut value);
    serde_json::from_value(value).unwrap()
}

pub(crate) fn list(id: &str, base: &str) -> PriceList {
    let month = json!({"unit": "Month", "count": 1});
    let value = json!({
        "id": id,
        "currency": "EUR",
        "charges": [
            {"name": "base", "type": "Recurring", "interval": month, "timing": "Advance",
             "price": {"model": "Flat", "price": base}},
            {"name": "support", "type": "Recurring", "interval": month, "timing": "Arrears",
             "price": {"model": "Flat", "price": "19.90"}},
            {"name": "storage", "type": "Usage", "meter": "storage", "interval": month, "aggregation": "Sum",
             "per": "3600", "price": {"model": "PerUnit", "price": "0.00125"}},
            {"name": "setup", "type": "OneTime", "price": {"model": "Flat", "price": "150.00"}},
        ],
    });
    serde_json::from_value(value).unwrap()
}

pub(crate) fn telling(id: &str, subscription: &str, at: &str, change: Value) -> Telling {
    let event = Event {
        id: 0,
        subscription: subscription.to_owned(),
        at: self::at(at),
        change: serde_json::from_value(change).unwrap(),
    };
    Telling { id: id.to_owned(), happening: Happening { name: format!("name of {subscription}"), event } }
}

pub(crate) fn start(subscription: &str, at: &str, price_list: &str) -> Telling {
    let change = json!({"type": "Start", "application": "erp", "priceList": price_list});
    telling(&format!("{subscription}/start"), subscription, at, change)
}

/// A day of a meter.
pub(crate) fn day(subscription: &str, from: &str, quantity: i64) -> Batch {
    Batch {
        subscription: subscription.to_owned(),
        meter: "storage".to_owned(),
        from: at(from),
        revision: 0,
        quantities: vec![quantity; 24],
        received: at(from).saturating_add(jiff::SignedDuration::from_hours(25)).unwrap(),
    }
}

pub(crate) fn leader(holder: &str, transitions: i64) -> Leader {
    Leader { holder: holder.to_owned(), lease_uid: "lease".to_owned(), transitions }
}

/// Open books, and the epoch of their first leader.
pub(crate) async fn opened(url: &str) -> (Books, Epoch) {
    let database = Database::open(url).await.unwrap();
    let epoch = database.take_over(&leader("a", 0)).await.unwrap();
    (Books::new(database), epoch)
}

/// Everything that account number `number` has until the autumn, told whole again if it was told in part: whoever tells it
/// knows nothing of what was kept.
pub(crate) async fn live(books: &Books, epoch: Epoch, number: usize) {
    live_under(books, epoch, number, &agreement(&format!("account-{number:04}"))).await;
}

/// The same under another agreement.
pub(crate) async fn live_under(books: &Books, epoch: Epoch, number: usize, agreement: &Agreement) {
    let account = format!("account-{number:04}");
    let (one, two) = (format!("t{number}a"), format!("t{number}b"));
    let now = at("2025-09-01T00:00:00Z");
    books.open(epoch, agreement, now).await.unwrap();
    let begin = format!("2025-{:02}-{:02}T10:00:00Z", 1 + number % 6, 1 + number % 28);
    let tellings = [start(&one, &begin, "silver@1"), start(&two, "2025-03-31T22:30:00Z", "gold@1")];
    books
        .tell(epoch, &account, &[list("silver@1", "99.00"), list("gold@1", "249.00")], &tellings, now)
        .await
        .unwrap();
    let counted = [day(&one, "2025-07-01T00:00:00Z", 3_600), day(&two, "2025-07-31T00:00:00Z", 7_200)];
    books.record_usage(epoch, &account, &counted).await.unwrap();
    let change = json!({"type": "ChangePlan", "priceList": "gold@1"});
    let change = telling(&format!("{one}/plan/1"), &one, "2025-08-10T12:00:00Z", change);
    books.tell(epoch, &account, &[], &[change], now).await.unwrap();
    if number.is_multiple_of(3) {
        let end = telling(&format!("{two}/end"), &two, "2025-08-20T12:00:00Z", json!({"type": "Cancel"}));
        books.tell(epoch, &account, &[], &[end], now).await.unwrap();
    }
}

/// Closes everything until the autumn, and lets the documents be told.
pub(crate) async fn close(books: &Books, epoch: Epoch) {
    for as_of in ["2025-07-15T00:00:00Z", "2025-09-30T23:59:59Z"] {
        let summary = books.run(epoch, at(as_of), at(as_of)).await.unwrap();
        assert_eq!(summary.parked, []);
    }
    loop {
        let told: Vec<String> =
            books.to_tell(RECORDS, 0, 500).await.unwrap().into_iter().map(|told| told.id).collect();
        if told.is_empty() {
            break;
        }
        books.told(epoch, &told).await.unwrap();
    }
}
