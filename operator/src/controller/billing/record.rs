//! What a tenant has on a document, as its people are shown it; pure.

use std::collections::BTreeMap;
use tenantry_apply::object::{MANAGED_BY, MANAGED_BY_LABEL, SUBSCRIPTION_LABEL, TENANT_ID_LABEL};
use tenantry_crds::record::{RecordEffect, RecordKind, RecordLine};
use tenantry_crds::{BillingRecord, BillingRecordSpec};
use tenantry_ledger::document::{Document, Item};
use tenantry_ledger::exact::{Decimal, Exact, to_text};
use tenantry_ledger::invoice::DocumentKind;
use tenantry_ledger::ledger::Effect;

/// The record of a tenant's part of a document; none if it has no part in it.
pub(super) fn record(document: &Document, tenant: &str, subscription: &str) -> Option<BillingRecord> {
    let spec = BillingRecordSpec {
        number: document.number.clone(),
        kind: match document.kind {
            DocumentKind::Invoice => RecordKind::Invoice,
            DocumentKind::CreditNote => RecordKind::CreditNote,
        },
        issued: document.issued.to_string(),
        due: document.due.map(|due| due.to_string()),
        account: document.account.clone(),
        seller: document.seller.name.clone(),
        currency: document.currency.to_string(),
        lines: own(document, tenant).map(line).collect(),
        net: share(document, tenant).filter(|_| own(document, tenant).next().is_some())?,
    };
    let mut record = BillingRecord::new(&name(&document.number), spec);
    record.metadata.labels = Some(BTreeMap::from(
        [(MANAGED_BY_LABEL, MANAGED_BY), (TENANT_ID_LABEL, tenant), (SUBSCRIPTION_LABEL, subscription)]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
    ));
    Some(record)
}

/// What a tenant has on a document, without tax.
pub(super) fn share(document: &Document, tenant: &str) -> Option<String> {
    let nets = own(document, tenant).map(|line| Some(Decimal::parse("net", &line.net).ok()?.value().clone()));
    let sum: Exact = nets.sum::<Option<_>>()?;
    Some(to_text(&sum, document.currency.decimals()))
}

fn own<'a>(document: &'a Document, tenant: &'a str) -> impl Iterator<Item = &'a Item> {
    document.lines.iter().filter(move |line| line.subscription == tenant)
}

/// The name of the record: prefixes of numbers hold capitals, digits and slashes, so no two numbers have one name.
fn name(number: &str) -> String {
    number.to_lowercase().replace('/', "-")
}

fn line(item: &Item) -> RecordLine {
    RecordLine {
        charge: item.charge.clone(),
        effect: match item.effect {
            Effect::Charge => RecordEffect::Charge,
            Effect::Credit => RecordEffect::Credit,
            Effect::Adjustment => RecordEffect::Adjustment,
        },
        from: item.from.to_string(),
        to: item.to.to_string(),
        quantity: item.quantity.clone(),
        terms: item.terms.clone(),
        amount: item.amount.clone(),
        reduction: item.reduction.clone(),
        net: item.net.clone(),
        tax_category: item.tax_category.clone(),
        tax_percent: item.tax_percent.clone(),
        corrects: item.corrects.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn item(tenant: &str, net: &str) -> Value {
        json!({
            "entry": 1, "subscription": tenant, "name": "acme", "charge": "base", "kind": "Recurring", "effect": "Charge",
            "from": "2026-12-01T00:00:00", "to": "2027-01-01T00:00:00", "quantity": "1", "terms": "gold@1",
            "amount": net, "reduction": "0.00", "net": net, "taxCategory": "S", "taxPercent": "8.1",
        })
    }

    #[test]
    fn a_record_has_the_tenants_own_lines_and_their_sum() {
        let document: Document = serde_json::from_value(json!({
            "number": "INV/26-001-002", "kind": "CreditNote", "typeCode": 381, "issued": "2026-12-01",
            "currency": "EUR", "account": "books", "seller": {"name": "Orderly AG", "country": "CH"},
            "buyer": {"name": "Acme Ltd", "country": "DE"},
            "lines": [item("t1", "249.00"), item("t2", "7.00"), item("t1", "-250.50")], "taxes": [],
            "net": "5.50", "tax": "0.00", "gross": "5.50", "drawn": "0.00", "surplus": "0.00", "payable": "5.50",
        }))
        .unwrap();
        let record = record(&document, "t1", "acme").unwrap();
        assert_eq!(record.metadata.name.as_deref(), Some("inv-26-001-002"));
        let labels = record.metadata.labels.unwrap();
        assert_eq!(labels["tenantry.io/tenant-id"], "t1");
        let spec = record.spec;
        assert_eq!((spec.kind, spec.net.as_str(), spec.lines.len()), (RecordKind::CreditNote, "-1.50", 2));
        assert_eq!(spec.lines[0].from, "2026-12-01T00:00:00");
        assert_eq!(super::record(&document, "t3", "other"), None);
    }
}
