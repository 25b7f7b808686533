//! The rules and bounds of the schemas accept and refuse what they shall, in process; `real.rs` repeats the rules on an
//! API server. Pure, needs neither client nor clock.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may fail loudly"
)]

#[path = "common/cases.rs"]
mod cases;
#[path = "common/objects.rs"]
mod objects;

use std::collections::BTreeSet;

use kube::core::cel::ValidationErrors;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tenantry_crds::{
    BillingAccount, BillingRecord, Blueprint, HostedApplication, HostedApplicationVersion, InvoiceIssuer,
    ServerPool, ServicePlan, TenantSignOff, TenantSubscription, TenantSuspension,
};

/// Runs the rules that the derive generated for the object's kind.
fn validate(old: Option<&Value>, new: &Value) -> Result<(), ValidationErrors> {
    fn read<K: DeserializeOwned>(value: &Value) -> K {
        serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"))
    }
    macro_rules! run {
        ($kind:ty) => {
            match old {
                Some(old) => read::<$kind>(new).validate_cel_update(&read(old)),
                None => read::<$kind>(new).validate_cel(),
            }
        };
    }
    match new["kind"].as_str() {
        Some("ServicePlan") => run!(ServicePlan),
        Some("Blueprint") => run!(Blueprint),
        Some("HostedApplication") => run!(HostedApplication),
        Some("HostedApplicationVersion") => run!(HostedApplicationVersion),
        Some("TenantSubscription") => run!(TenantSubscription),
        Some("InvoiceIssuer") => run!(InvoiceIssuer),
        Some("BillingAccount") => run!(BillingAccount),
        Some("BillingRecord") => run!(BillingRecord),
        Some("TenantSignOff") => run!(TenantSignOff),
        Some("TenantSuspension") => run!(TenantSuspension),
        Some("ServerPool") => run!(ServerPool),
        other => panic!("there is no kind {other:?}"),
    }
}

/// The messages with which an object or a change is refused.
fn messages(old: Option<&Value>, new: &Value) -> BTreeSet<String> {
    let errors = validate(old, new).err().map(ValidationErrors::into_vec).unwrap_or_default();
    errors.into_iter().map(|error| error.message).collect()
}

#[test]
fn rules_accept_and_refuse() {
    for cases::Case { what, old, new, refused } in cases::all() {
        let messages = messages(old.as_ref(), &new);
        match refused {
            None => assert!(messages.is_empty(), "{what}: refused with {messages:?}: {new}"),
            Some(part) => {
                assert!(
                    messages.iter().any(|message| message.contains(part)),
                    "{what}: {messages:?}, not {part:?}"
                );
            }
        }
    }
}

#[test]
fn every_rule_has_a_case_that_it_refuses() {
    let mut seen = BTreeSet::new();
    for case in cases::all() {
        let kind = case.new["kind"].as_str().expect("a kind").to_owned();
        seen.extend(
            messages(case.old.as_ref(), &case.new).into_iter().map(|message| (kind.clone(), message)),
        );
    }
    let mut rules = BTreeSet::new();
    for crd in tenantry_crds::all() {
        let kind = crd.spec.names.kind;
        rules.extend(rule_messages(&schema(&kind)).into_iter().map(|message| (kind.clone(), message)));
    }
    assert!(rules.len() > 10, "only {} rules were found", rules.len());
    assert_eq!(rules.difference(&seen).collect::<Vec<_>>(), Vec::<&(String, String)>::new());
}

/// The messages of all rules in a schema.
fn rule_messages(schema: &Value) -> Vec<String> {
    match schema {
        Value::Array(list) => list.iter().flat_map(rule_messages).collect(),
        Value::Object(map) => {
            let own = map.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten();
            let own = own.map(|rule| rule["message"].as_str().expect("a message").to_owned());
            own.chain(map.values().flat_map(rule_messages)).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn a_published_version_fixes_every_field_but_its_lifecycle() {
    let schema = schema("HostedApplicationVersion");
    let fields = schema["properties"]["spec"]["properties"].as_object().expect("fields");
    for field in fields.keys().filter(|field| *field != "lifecycle") {
        let refused = cases::all().into_iter().any(|case| {
            let changes = |old: &Value| {
                old["spec"]["lifecycle"] == "Published" && old["spec"][field] != case.new["spec"][field]
            };
            case.refused.is_some() && case.old.as_ref().is_some_and(changes)
        });
        assert!(refused, "{field} needs an immutability rule and a case that changes it");
    }
}

/// The schema of a kind.
fn schema(kind: &str) -> Value {
    let crd =
        tenantry_crds::all().into_iter().find(|crd| crd.spec.names.kind == kind).expect("the kind exists");
    let schema = crd.spec.versions[0].schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
    serde_json::to_value(schema.expect("a schema")).expect("a schema is JSON")
}

/// Where, a value that just fits, a value that just does not.
type Bound = (&'static str, &'static str, Value, Value);

fn bounds_of_orders() -> Vec<Bound> {
    let text = |length: usize| json!("n".repeat(length));
    vec![
        ("TenantSubscription", "/spec/organization/name", text(128), text(129)),
        ("TenantSubscription", "/spec/organization/name", json!("株式会社アクメ 🚀 Ünïcode"), json!("")),
        ("TenantSubscription", "/spec/organization/country", json!("DE"), json!("de")),
        ("TenantSubscription", "/spec/contacts/0/email", json!("ü@müller.example"), json!("nobody")),
        ("TenantSubscription", "/spec/contacts/0/email", json!("a@b"), json!("a b@c")),
        ("TenantSubscription", "/spec/contacts/0/role", json!("Billing"), json!("Friend")),
        (
            "TenantSubscription",
            "/spec/contacts",
            json!([{"role": "Billing", "name": "B", "email": "b@c"}]),
            json!([]),
        ),
        ("TenantSubscription", "/spec/applicationRef/version", json!("4.2.1-rc.1"), json!("4.2 1")),
        ("TenantSubscription", "/spec/applicationRef/name", json!("erp"), json!("Erp")),
        (
            "TenantSubscription",
            "/spec/network",
            json!({"hosts": ["*.acme.example"]}),
            json!({"hosts": ["acme"]}),
        ),
        (
            "TenantSubscription",
            "/spec/network",
            json!({"hosts": ["bücher.example"]}),
            json!({"hosts": ["a.*.c"]}),
        ),
        (
            "TenantSubscription",
            "/spec/network",
            json!({"allowFrom": ["::/0"]}),
            json!({"allowFrom": ["10.0.0.1"]}),
        ),
        ("TenantSubscription", "/spec/goLive", json!({"notBefore": "2026-12-01T06:00:00Z"}), json!([])),
        (
            "TenantSubscription",
            "/spec/goLive",
            json!({"targetDate": "2026-12-31"}),
            json!({"targetDate": "2026-13-01"}),
        ),
        (
            "TenantSubscription",
            "/spec/holds",
            json!([{"item": "network", "reason": "r"}]),
            json!([{"item": "network", "reason": ""}]),
        ),
        (
            "TenantSubscription",
            "/spec/training",
            json!({"participants": ["ada"]}),
            json!({"participants": [""]}),
        ),
        ("InvoiceIssuer", "/spec/series/invoices", json!("INV/26"), json!("inv")),
        (
            "InvoiceIssuer",
            "/spec/taxRates/0",
            json!({"name": "standard", "category": "AE", "percent": "0", "validFrom": "2027-01-01"}),
            json!({"name": "standard", "category": "AE", "percent": "0", "validFrom": "2027-13-01"}),
        ),
        ("InvoiceIssuer", "/spec/taxRates/0/percent", json!("7.75"), json!("-1")),
        ("BillingAccount", "/spec/currency", json!("JPY"), json!("eur")),
        ("BillingAccount", "/spec/timeZone", json!("America/Argentina/Buenos_Aires"), json!("Europe Zurich")),
        ("BillingAccount", "/spec/paymentDays", json!(0), json!(366)),
        ("BillingRecord", "/spec/net", json!("-0.05"), json!("1,50")),
        ("BillingRecord", "/spec/issued", json!("2027-02-28"), json!("28.2.2027")),
        ("BillingRecord", "/spec/lines/0/from", json!("2027-01-01T00:00:00"), json!("2027-01-01")),
        ("BillingRecord", "/spec/lines/0/effect", json!("Adjustment"), json!("Refund")),
        ("TenantSignOff", "/spec/orderDigest", json!("0af9"), json!("0AF9")),
        ("TenantSignOff", "/spec/as", json!("Partner"), json!("Friend")),
        ("TenantSuspension", "/spec/scope", json!("Compute"), json!("Disk")),
        ("TenantSuspension", "/spec/message", json!("m".repeat(512)), json!("m".repeat(513))),
        ("TenantSubscription", "/spec/deletionPolicy", json!("Delete"), json!("Shred")),
        ("TenantSubscription", "/spec/users", users(1000), users(1001)),
        ("TenantSubscription", "/spec/users", user(json!(["user"])), user(json!([]))),
        (
            "TenantSubscription",
            "/spec/users",
            user(json!(["administrator", "viewer"])),
            user(json!(["root"])),
        ),
        ("TenantSubscription", "/spec/parameters", json!({"edition": {"deep": [1, null]}}), json!("edition")),
    ]
}

fn bounds_of_definitions() -> Vec<Bound> {
    let text = |length: usize| json!("n".repeat(length));
    vec![
        ("ServicePlan", "/spec/servers/cpu", json!("1500m"), json!("-1")),
        ("ServicePlan", "/spec/servers/memory", json!("0.5Gi"), json!("16 GB")),
        ("ServicePlan", "/spec/servers/limitRatio", json!("1.25"), json!("0.5")),
        ("ServicePlan", "/spec/servers/pods", json!(1), json!(0)),
        ("ServicePlan", "/spec/servers/dedicatedNodes", json!(1), json!(0)),
        ("ServicePlan", "/spec/servers/suspendedGrace", json!("720h"), json!("a month")),
        ("ServerPool", "/spec/reserveNodes", json!(0), json!(-1)),
        ("ServerPool", "/spec/chipPower", json!("0.8"), json!("fast")),
        ("ServerPool", "/spec/priceKey", json!("hall-2"), json!("Hall 2")),
        ("ServerPool", "/spec/tenancy", json!("Shared"), json!("Common")),
        ("ServerPool", "/spec/overcommit/cpu", json!("1.25"), json!("0.5")),
        ("ServerPool", "/spec/server/memory", json!("60Gi"), json!("60 GB")),
        ("ServerPool", "/spec/nodeLabels/0/key", json!("example.org/hall"), json!("example.org/")),
        ("ServerPool", "/spec/nodeLabels/0/value", json!(""), json!("hall 2")),
        ("ServicePlan", "/spec/network/loadBalancers", json!(100), json!(101)),
        ("ServicePlan", "/spec/network/bandwidth", bandwidth("200M"), bandwidth("200Mi")),
        ("ServicePlan", "/spec/network/qualityOfService", json!("Premium"), json!("Best")),
        (
            "ServicePlan",
            "/spec/storage/classes",
            json!([{"name": "a", "totalCapacity": "1Gi", "maxVolumes": 0}]),
            json!([]),
        ),
        ("ServicePlan", "/spec/storage/backup", backup("0 2 * * *"), backup("at night")),
        ("ServicePlan", "/spec/storage/backup", backup("*/15 8-18 * * MON-FRI"), backup("0 2 * *")),
        ("ServicePlan", "/spec/accounts/roles", json!(["viewer"]), json!(["Viewer"])),
        ("ServicePlan", "/spec/monitoring/retention", json!("1h30m"), json!("30d")),
        ("ServicePlan", "/spec/serviceLevel/availability", json!("99.95"), json!("99,95")),
        ("ServicePlan", "/spec/charges", charge("249.00"), charge("-1")),
        ("ServicePlan", "/spec/charges", charge("0"), charge("2,50")),
        ("ServicePlan", "/spec/trial", json!({"days": 365}), json!({"days": 0})),
        ("Blueprint", "/spec/items/1/timeout", json!("90s"), json!("soon")),
        ("Blueprint", "/spec/items/1/retry", json!({"attempts": 100}), json!({"attempts": 0})),
        ("Blueprint", "/spec/items/1/category", json!("Platform"), json!("Party")),
        ("Blueprint", "/spec/settings/groupPrefix", json!("oidc:"), json!("oidc \"")),
        (
            "Blueprint",
            "/spec/allowedKinds",
            json!([{"group": "", "kinds": ["Pod"]}]),
            json!([{"group": "", "kinds": ["pods"]}]),
        ),
        ("HostedApplicationVersion", "/spec/secrets/0/keys/0/length", json!(16), json!(15)),
        ("HostedApplicationVersion", "/spec/endpoints/0/serviceRef/port", json!(65535), json!(65536)),
        ("HostedApplicationVersion", "/spec/manifests/0/template", text(65536), text(65537)),
        ("HostedApplicationVersion", "/spec/manifests/0/name", json!("web.yaml"), json!("../web.yaml")),
        ("HostedApplication", "/spec/displayName", text(64), text(65)),
    ]
}

fn charge(price: &str) -> Value {
    json!([{"name": "base", "type": "Recurring", "interval": "Month", "price": price}])
}

fn users(count: usize) -> Value {
    (0..count).map(|n| json!({"name": format!("u{n}"), "email": "u@x", "roles": ["user"]})).collect()
}

fn user(roles: Value) -> Value {
    json!([{"name": "ada", "email": "ada@acme.example", "roles": roles}])
}

fn bandwidth(rate: &str) -> Value {
    json!({"perPod": {"ingress": rate, "egress": "1G"}})
}

fn backup(schedule: &str) -> Value {
    json!({"schedule": schedule, "retain": 14})
}

#[test]
fn bounds_accept_and_refuse() {
    for (kind, pointer, fits, too_much) in bounds_of_orders().into_iter().chain(bounds_of_definitions()) {
        let validator = jsonschema::validator_for(&schema(kind)).expect("a JSON schema");
        let with = |value: &Value| objects::with(objects::base(kind), pointer, value.clone());
        let errors: Vec<String> =
            validator.iter_errors(&with(&fits)).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{kind} {pointer} {fits}: {errors:?}");
        assert!(!validator.is_valid(&with(&too_much)), "{kind} {pointer} accepts {too_much}");
    }
}
