//! Plans with prices, and who sells and pays. Needs the files of the examples.

use crate::orders::{mail, with};
use crate::world;
use anyhow::Result;
use serde_json::{Value, json};

/// Somebody who sells, with a tax of ten percent.
#[must_use]
pub fn issuer() -> Value {
    json!({
        "apiVersion": "tenantry.io/v1alpha1", "kind": "InvoiceIssuer", "metadata": {"name": "orderly"},
        "spec": {
            "legalName": "Orderly Hosting AG", "country": "CH", "vatId": "CHE123456789", "series": {"invoices": "INV", "creditNotes": "CN"},
            "taxRates": [{"name": "standard", "category": "S", "percent": "10"}],
        },
    })
}

/// Somebody who pays in a currency.
#[must_use]
pub fn account(currency: &str, name: &str) -> Value {
    json!({
        "apiVersion": "tenantry.io/v1alpha1", "kind": "BillingAccount", "metadata": {"name": name},
        "spec": {
            "issuerRef": {"name": "orderly"}, "company": "Acme Ltd", "country": "DE", "currency": currency,
            "timeZone": "Europe/Berlin",
        },
    })
}

/// The shipped definitions at plain prices: silver at 100.00, gold at 300.00 a month.
///
/// # Errors
/// When a file of the examples cannot be read.
pub fn definitions() -> Result<Vec<Value>> {
    let price_of = |plan: &str| match plan {
        "silver" => Some("100.00"),
        "gold" => Some("300.00"),
        _ => None,
    };
    let mut definitions = world::definitions()?;
    for object in &mut definitions {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (kind, name) = (text("/kind").to_owned(), text("/metadata/name").to_owned());
        if let Some(price) = price_of(&name)
            && kind == "ServicePlan"
        {
            let charges = json!([{"name": "base", "type": "Recurring", "interval": "Month", "price": price}]);
            *object = with(with(object.clone(), "spec.currency", json!("EUR")), "spec.charges", charges);
        }
    }
    Ok(definitions)
}

/// An order that an account pays for.
#[must_use]
pub fn paid_by(name: &str, account: &str) -> Value {
    with(mail(name), "spec.billing", json!({"accountRef": {"name": account}}))
}
