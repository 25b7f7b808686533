//! Plans with prices, who sells and pays, and what was billed. Needs the files of the examples, processes and a clock.

use crate::orders::{mail, with};
use crate::people::tenantry;
use crate::wait::{PATIENCE, is_live};
use crate::{World, process, world};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use tenantry_crds::TenantSubscription;

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

/// Whether a tenant is live and it is known when it is billed next.
#[must_use]
pub fn is_billed(subscription: &TenantSubscription) -> bool {
    let billing = subscription.status.as_ref().and_then(|status| status.billing.as_ref());
    is_live(subscription) && billing.is_some_and(|billing| billing.next_invoice_date.is_some())
}

/// Waits until a tenant has so many documents in the file beside the controllers.
///
/// # Errors
/// When it has not within [`PATIENCE`].
pub async fn until_billed(world: &World, name: &str, count: usize) -> Result<Vec<Value>> {
    let (kubeconfig, database) = (world.cluster.kubeconfig(), process::journal(world.directory()));
    let arguments = ["invoices", name, "--database", &database, "-o", "json"];
    let waiting = async {
        loop {
            // Before the first one there may be no database, and the command ends with an error.
            let said = tenantry(&kubeconfig, &arguments).await.unwrap_or_default();
            let documents: Vec<Value> = serde_json::from_str(&said).unwrap_or_default();
            if documents.len() >= count {
                break documents;
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.with_context(|| format!("{name} has no {count} documents"))
}
