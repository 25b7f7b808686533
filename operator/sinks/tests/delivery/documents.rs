//! Documents, and delivering them as the controller does: again and again until they are there.

use std::time::Duration;

use serde_json::json;
use tenantry_ledger::document::Document;
use tenantry_ledger::ladder::Notice;
use tenantry_sinks::{Delivered, Letter, Sink, Trouble, deliver};

/// The deadline of a request to the peer, which answers at once or never.
pub(crate) const DEADLINE: Duration = Duration::from_millis(150);

/// An invoice over so much.
pub(crate) fn invoice(number: &str, account: &str, payable: &str) -> Document {
    serde_json::from_value(json!({
        "number": number, "kind": "Invoice", "typeCode": 380, "issued": "2026-12-01", "due": "2026-12-31", "currency": "EUR",
        "account": account,
        "seller": {"name": "Orderly Hosting AG", "country": "CH", "vatId": "CHE123456789"},
        "buyer": {"name": "Acme & Söhne", "country": "DE", "email": "Billing@acme.example"},
        "lines": [{
            "entry": 1, "subscription": "t1", "name": "acme", "charge": "base", "kind": "Recurring", "effect": "Charge",
            "from": "2026-12-01T00:00:00", "to": "2027-01-01T00:00:00", "quantity": "1", "terms": "gold-3", "amount": payable,
            "reduction": "0.00", "net": payable, "taxCategory": "Z", "taxPercent": "0",
        }],
        "taxes": [{"category": "Z", "percent": "0", "base": payable, "tax": "0.00"}],
        "net": payable, "tax": "0.00", "gross": payable, "drawn": "0.00", "surplus": "0.00", "payable": payable,
    }))
    .unwrap()
}

/// That an invoice is not paid.
pub(crate) fn notice(number: &str) -> Notice {
    serde_json::from_value(json!({
        "number": number, "stage": "Reminder", "day": "2027-01-07", "account": "acme", "seller": "Orderly Hosting AG",
        "buyer": "Acme & Söhne", "due": "2026-12-31", "days": 7, "open": "10.00", "currency": "EUR",
    }))
    .unwrap()
}

/// A moment in December.
pub(crate) fn now() -> jiff::Timestamp {
    "2026-12-01T00:01:00Z".parse().unwrap()
}

/// Delivers until it is there, or is refused for good; with how often it was tried.
pub(crate) async fn until_there(sink: &dyn Sink, document: &Document) -> (usize, Result<Delivered, Trouble>) {
    let mut answered = 0;
    for tries in 1..=100 {
        match deliver(sink, Letter { document, answered, at: now() }).await {
            Err(trouble) if !trouble.is_final => answered += u32::from(trouble.was_answered),
            end => return (tries, end),
        }
    }
    panic!("{} was tried a hundred times", document.number);
}
