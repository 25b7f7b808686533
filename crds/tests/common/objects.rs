//! A valid object of each kind, to be changed by the tests; data only.

use serde_json::{Value, json};

/// A valid object of each kind.
pub(crate) fn base(kind: &str) -> Value {
    match kind {
        "ServicePlan" => plan(),
        "Blueprint" => blueprint(),
        "HostedApplication" => object(kind, "erp", json!({"displayName": "Orderly ERP"})),
        "HostedApplicationVersion" => version(),
        "TenantSubscription" => order(),
        "InvoiceIssuer" => issuer(),
        "BillingAccount" => account(),
        "BillingRecord" => record(),
        "TenantSignOff" => sign_off(),
        "TenantSuspension" => suspension(),
        "ServerPool" => pool(),
        other => panic!("there is no kind {other}"),
    }
}

/// The same object with another value at a JSON pointer; the last step may be new.
pub(crate) fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer starts with a slash");
    let parent = object.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}: no such place"));
    match parent {
        Value::Object(map) => drop(map.insert(key.to_owned(), value)),
        Value::Array(list) => list[key.parse::<usize>().expect("an index")] = value,
        _ => panic!("{pointer}: its parent holds nothing"),
    }
    object
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "tenantry.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn plan() -> Value {
    let spec = json!({
        "displayName": "Gold",
        "tier": "Gold",
        "lifecycle": "Published",
        "network": {"qualityOfService": "Assured"},
        "servers": {"class": "standard", "cpu": "8", "memory": "16Gi", "limitRatio": "2", "disk": "40Gi", "pods": 40},
        "storage": {"classes": [{"name": "standard", "totalCapacity": "200Gi", "maxVolumes": 10}]},
        "accounts": {"seats": 100, "roles": ["administrator", "user", "viewer"]},
        "security": {"profile": "restricted"},
        "monitoring": {"mode": "RealTime", "retention": "720h"},
        "serviceLevel": {"availability": "99.9", "support": {"firstResponse": "30m"}},
    });
    object("ServicePlan", "gold", spec)
}

fn blueprint() -> Value {
    let spec = json!({
        "allowedKinds": [{"group": "apps", "kinds": ["Deployment"]}],
        "settings": {"gateway": {"name": "public", "namespace": "ingress-system"}},
        "items": [
            {"name": "contract", "title": "Contract", "category": "Contract", "check": {}},
            {
                "name": "application",
                "title": "Application",
                "category": "Application",
                "dependsOn": ["contract"],
                "application": {},
            },
        ],
    });
    object("Blueprint", "standard", spec)
}

fn version() -> Value {
    let spec = json!({
        "applicationRef": {"name": "erp"},
        "version": "4.2.1",
        "lifecycle": "Draft",
        "manifests": [{"name": "web.yaml", "template": "kind: Service"}],
        "jobs": [{"role": "Verify", "template": "kind: Job"}],
        "secrets": [{"name": "database", "keys": [{"name": "password", "length": 32}]}],
        "endpoints": [{"name": "web", "serviceRef": {"name": "web", "port": 8080}}],
    });
    object("HostedApplicationVersion", "erp-4.2.1", spec)
}

fn order() -> Value {
    let spec = json!({
        "organization": {"name": "Acme Ltd", "country": "DE"},
        "contacts": [{"role": "Technical", "name": "Ada Admin", "email": "ada@acme.example"}],
        "planRef": {"name": "gold"},
        "applicationRef": {"name": "erp", "version": "4.2.1"},
    });
    object("TenantSubscription", "acme", spec)
}

fn issuer() -> Value {
    let spec = json!({
        "legalName": "Orderly Hosting AG",
        "address": ["Hauptstrasse 1", "8000 Zürich"],
        "country": "CH",
        "series": {"invoices": "INV", "creditNotes": "CN"},
        "taxRates": [{"name": "standard", "category": "S", "percent": "8.1"}],
    });
    object("InvoiceIssuer", "orderly", spec)
}

fn account() -> Value {
    let spec = json!({
        "issuerRef": {"name": "orderly"},
        "company": "Acme Ltd",
        "country": "DE",
        "currency": "EUR",
        "timeZone": "Europe/Berlin",
    });
    object("BillingAccount", "acme", spec)
}

fn record() -> Value {
    let spec = json!({
        "number": "INV-001-002",
        "kind": "Invoice",
        "issued": "2026-12-01",
        "due": "2026-12-31",
        "account": "acme",
        "seller": "Orderly Hosting AG",
        "currency": "EUR",
        "lines": [{
            "charge": "base", "effect": "Charge", "from": "2026-12-01T00:00:00", "to": "2027-01-01T00:00:00",
            "quantity": "1", "terms": "gold@3f9a", "amount": "249.00", "reduction": "0.00", "net": "249.00",
            "taxCategory": "S", "taxPercent": "8.1",
        }],
        "net": "249.00",
    });
    with(object("BillingRecord", "inv-001-002", spec), "/metadata/namespace", json!("default"))
}

fn sign_off() -> Value {
    let spec = json!({
        "subscriptionRef": {"name": "acme", "uid": "6c1d2f0a-0000-4000-8000-000000000000"},
        "item": "training",
        "as": "Customer",
        "orderDigest": "3f9a",
        "by": "cora",
    });
    object("TenantSignOff", "acme-training-x7k2q", spec)
}

fn suspension() -> Value {
    let spec = json!({
        "subscriptionRef": {"name": "acme", "uid": "6c1d2f0a-0000-4000-8000-000000000000"},
        "reason": "Billing",
        "liftAuthority": "Operator",
        "scope": "All",
        "message": "Invoice 2026-7 is not paid; pay it, and write to books@provider.example.",
        "requestedBy": "oskar",
    });
    object("TenantSuspension", "acme-8fj2k", spec)
}

fn pool() -> Value {
    let spec = json!({
        "class": "standard",
        "tenancy": "Shared",
        "nodeLabels": [{"key": "example.org/hall", "value": "2"}],
        "server": {"architecture": "amd64", "cpu": "16", "memory": "64Gi", "disk": "200Gi", "accelerator": "example.org/gpu"},
        "overcommit": {"cpu": "2", "memory": "1.2"},
        "reserveNodes": 1,
        "chipPower": "1.25",
        "priceKey": "standard-share",
    });
    object("ServerPool", "standard", spec)
}
