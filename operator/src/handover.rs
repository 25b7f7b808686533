//! What a customer is given at the end besides his data: documents in formats that others read; no client or clock.
//!
//! | document | content |
//! |---|---|
//! | `subscription.json` | the order as it was accepted last, the revisions that it ran, and when it went live |
//! | `accounts.json` | the people who had access, with their roles |
//! | `manifests.json` | every object of the tenant as a `List` of Kubernetes, without the values of Secrets |
//! | `invoices.json` | what was billed, if anything was charged |
//! | `receipt.jws` | what became of everything, signed; see [`crate::receipt`] |

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_apply::object::Desired;
use tenantry_crds::{TenantSubscriptionSpec, TenantSubscriptionStatus};
use tenantry_ledger::document::Document as Billed;

/// The order.
pub(crate) const SUBSCRIPTION: &str = "subscription.json";
/// The people.
pub(crate) const ACCOUNTS: &str = "accounts.json";
/// The objects.
pub(crate) const MANIFESTS: &str = "manifests.json";
/// What was billed.
pub(crate) const INVOICES: &str = "invoices.json";
/// What documents are in the journal.
pub(crate) const SUBJECT: &str = "Document";

const JSON: &str = "application/json";

/// One document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Document {
    /// Name of its file.
    pub(crate) name: &'static str,
    /// Media type of the content.
    pub(crate) media_type: &'static str,
    /// The content.
    pub(crate) content: String,
    /// SHA-256 of the content, as hexadecimal digits.
    pub(crate) sha256: String,
}

/// A document, as the journal keeps it.
#[derive(Debug, Deserialize)]
pub(crate) struct Kept {
    /// SHA-256 of the content, as hexadecimal digits.
    pub(crate) sha256: String,
    /// The content.
    pub(crate) content: String,
}

/// The tenant that it is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// Name of the subscription.
    pub(crate) subscription: &'a str,
    /// UID of the subscription.
    pub(crate) uid: &'a str,
    /// Its status.
    pub(crate) status: &'a TenantSubscriptionStatus,
}

// === impl Document ===

impl Document {
    pub(crate) fn new(name: &'static str, media_type: &'static str, content: String) -> Self {
        let sha256 = sha256(content.as_bytes());
        Self { name, media_type, content, sha256 }
    }

    fn json(name: &'static str, content: &impl Serialize) -> Self {
        let mut text = serde_json::to_string_pretty(content).unwrap_or_default();
        text.push('\n');
        Self::new(name, JSON, text)
    }

    /// How the journal keeps it.
    pub(crate) fn evidence(&self) -> Value {
        json!({"mediaType": self.media_type, "sha256": self.sha256, "content": self.content})
    }
}

// === impl Subject ===

impl Subject<'_> {
    /// The order that was accepted last.
    pub(crate) fn order(&self) -> Option<TenantSubscriptionSpec> {
        serde_json::from_str(self.status.accepted_order.as_deref()?).ok()
    }

    /// Identity of the tenant.
    pub(crate) fn tenant(&self) -> &str {
        self.status.tenant.as_ref().map(|tenant| tenant.id.as_str()).unwrap_or_default()
    }
}

/// The documents of a tenant; `objects` are those that it had, where that can still be said.
pub(crate) fn documents(subject: &Subject<'_>, objects: Option<&[Desired]>) -> Vec<Document> {
    let order = subject.order();
    let subscription = json!({
        "name": subject.subscription,
        "uid": subject.uid,
        "tenant": subject.tenant(),
        "order": order,
        "accepted": subject.status.accepted,
        "goLive": subject.status.go_live,
    });
    let people = order.map(|order| order.users).unwrap_or_default();
    let list = objects.map(|objects| {
        let items: Vec<&Value> = objects.iter().map(|object| &*object.body).collect();
        Document::json(MANIFESTS, &json!({"apiVersion": "v1", "kind": "List", "items": items}))
    });
    let always = [Document::json(SUBSCRIPTION, &subscription), Document::json(ACCOUNTS, &people)];
    always.into_iter().chain(list).collect()
}

/// What was billed: the document whose evidence is on record, or else one of these.
pub(crate) fn invoices(recorded: Option<&str>, billed: &[Billed]) -> Document {
    match recorded.and_then(|evidence| serde_json::from_str::<Kept>(evidence).ok()) {
        Some(kept) => Document::new(INVOICES, JSON, kept.content),
        None => Document::json(INVOICES, &billed),
    }
}

/// SHA-256, as hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_hold_the_order_and_who_had_access() {
        let order = json!({
            "organization": {"name": "Acme", "country": "DE"}, "contacts": [],
            "planRef": {"name": "gold"}, "applicationRef": {"name": "erp", "version": "1"},
            "users": [{"name": "ada", "email": "ada@acme.example", "roles": ["administrator"]}],
        });
        let status: TenantSubscriptionStatus = serde_json::from_value(json!({
            "acceptedOrder": order.to_string(), "tenant": {"id": "k7", "namespace": "tenant-acme"},
        }))
        .unwrap();
        let subject = Subject { subscription: "acme", uid: "u", status: &status };
        let documents = documents(&subject, None);
        let names: Vec<&str> = documents.iter().map(|document| document.name).collect();
        assert_eq!(names, [SUBSCRIPTION, ACCOUNTS]);
        let [subscription, accounts] = &documents[..] else { panic!("two documents") };
        let subscription: Value = serde_json::from_str(&subscription.content).unwrap();
        assert_eq!(subscription["order"]["planRef"]["name"], "gold");
        let people: Value = serde_json::from_str(&accounts.content).unwrap();
        assert_eq!(people[0]["email"], "ada@acme.example");
        assert_eq!(accounts.sha256, sha256(accounts.content.as_bytes()));
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn of_what_was_billed_the_first_on_record_stays() {
        let billed: Billed = serde_json::from_value(json!({
            "number": "INV-001-002", "kind": "Invoice", "typeCode": 380, "issued": "2026-12-01", "currency": "EUR",
            "account": "books", "seller": {"name": "Orderly AG", "country": "CH"},
            "buyer": {"name": "Acme Ltd", "country": "DE"}, "lines": [], "taxes": [], "net": "0.00", "tax": "0.00",
            "gross": "0.00", "drawn": "0.00", "surplus": "0.00", "payable": "0.00",
        }))
        .unwrap();
        let first = invoices(None, std::slice::from_ref(&billed));
        assert!(first.name == INVOICES && first.content.contains("INV-001-002"), "{first:?}");
        assert_eq!(invoices(Some(&first.evidence().to_string()), &[]), first);
        assert_eq!(invoices(None, &[]).content, "[]\n");
    }
}
