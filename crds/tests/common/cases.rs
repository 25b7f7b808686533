//! Objects that the rules accept and refuse; data only. The same table runs in process and on a real API server.

mod payers;

use serde_json::{Value, json};

use crate::objects::{base, with};

/// One object, or one change of an object, and what the rules say to it.
pub(crate) struct Case {
    /// What is tried.
    pub(crate) what: &'static str,
    /// The object before the change; absent for a new object.
    pub(crate) old: Option<Value>,
    /// The object as it shall be.
    pub(crate) new: Value,
    /// Part of the message of the rule that refuses it; absent where it is accepted.
    pub(crate) refused: Option<&'static str>,
}

const FORWARD: &str = "spec.lifecycle only moves forward";

/// Every case, accepted ones beside the refused ones.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = names();
    cases.extend(lifecycles());
    cases.extend(frozen());
    cases.extend(items());
    cases.extend(plan_changes());
    cases.extend(people());
    cases.extend(orders());
    cases.extend(prices());
    cases.extend(meters());
    cases.extend(payers::payers());
    cases.extend(sign_offs());
    cases.extend(suspensions());
    cases.extend(pools());
    cases
}

fn accepted(what: &'static str, new: Value) -> Case {
    Case { what, old: None, new, refused: None }
}

fn refused(what: &'static str, new: Value, message: &'static str) -> Case {
    Case { what, old: None, new, refused: Some(message) }
}

fn change(what: &'static str, old: Value, new: Value, message: Option<&'static str>) -> Case {
    Case { what, old: Some(old), new, refused: message }
}

fn names() -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, most, message) in [
        ("ServicePlan", 63, "metadata.name must be at most 63 characters"),
        ("Blueprint", 63, "metadata.name must be at most 63 characters"),
        ("HostedApplication", 63, "metadata.name must be at most 63 characters"),
        ("ServerPool", 63, "metadata.name must be at most 63 characters"),
        ("TenantSubscription", 50, "metadata.name must be at most 50 characters"),
    ] {
        let named = |length: usize| with(base(kind), "/metadata/name", json!("n".repeat(length)));
        cases.push(accepted("longest name", named(most)));
        cases.push(refused("name one character too long", named(most + 1), message));
    }
    let version = |text: &str| {
        let named = with(base("HostedApplicationVersion"), "/spec/version", json!(text));
        with(named, "/metadata/name", json!(format!("erp-{text}")))
    };
    let long = |application: usize, digits: usize| {
        let (application, digits) = ("a".repeat(application), "1".repeat(digits));
        let named = with(version(&digits), "/spec/applicationRef/name", json!(application));
        with(named, "/metadata/name", json!(format!("{application}-{digits}")))
    };
    cases.extend([
        accepted("longest name of a version", long(63, 63)),
        refused("version name too long", long(64, 63), "metadata.name must be at most 127 characters"),
        refused(
            "version named after another application",
            with(version("4.2.1"), "/metadata/name", json!("crm-4.2.1")),
            "metadata.name must be the application's name, a dash and the version",
        ),
        refused(
            "tenant name with a dot",
            with(base("TenantSubscription"), "/metadata/name", json!("acme.eu")),
            "metadata.name must not contain a dot",
        ),
    ]);
    cases
}

fn lifecycles() -> Vec<Case> {
    const ORDER: [&str; 4] = ["Draft", "Published", "Deprecated", "Retired"];
    let mut cases = Vec::new();
    for object in [base("ServicePlan"), base("HostedApplicationVersion")] {
        for (before, from) in ORDER.into_iter().enumerate() {
            for (after, to) in ORDER.into_iter().enumerate() {
                let at = |state: &str| with(object.clone(), "/spec/lifecycle", json!(state));
                cases.push(change("lifecycle", at(from), at(to), (after < before).then_some(FORWARD)));
            }
        }
    }
    cases
}

/// Changes of everything that a published version fixes.
fn frozen() -> Vec<Case> {
    let published = with(base("HostedApplicationVersion"), "/spec/lifecycle", json!("Published"));
    let moved = |pointer: &str, value: Value| {
        (
            with(base("HostedApplicationVersion"), pointer, value.clone()),
            with(published.clone(), pointer, value),
        )
    };
    let without = |field: &str| {
        let cut = |mut object: Value| {
            object["spec"].as_object_mut().expect("a spec").remove(field);
            object
        };
        (cut(base("HostedApplicationVersion")), cut(published.clone()))
    };
    let secret = json!([{"name": "database", "keys": [{"name": "password", "length": 64}]}]);
    let endpoint = json!([{"name": "web", "serviceRef": {"name": "web", "port": 8081}}]);
    let mut cases = Vec::new();
    for ((draft, fixed), message) in [
        (moved("/spec/manifests/0/template", json!("kind: Secret")), "manifests of a published version"),
        (moved("/spec/manifests/0/optional", json!(true)), "manifests of a published version"),
        (moved("/spec/secrets", secret), "secrets of a published version"),
        (without("secrets"), "secrets of a published version"),
        (moved("/spec/jobs/0/template", json!("kind: Pod")), "jobs of a published version"),
        (without("jobs"), "jobs of a published version"),
        (moved("/spec/endpoints", endpoint), "endpoints of a published version"),
        (without("endpoints"), "endpoints of a published version"),
    ] {
        cases.push(change("of a draft", base("HostedApplicationVersion"), draft, None));
        cases.push(change("of a published version", published.clone(), fixed.clone(), Some(message)));
        let retired = with(fixed, "/spec/lifecycle", json!("Retired"));
        cases.push(change("while it is retired", published.clone(), retired, Some(message)));
    }
    // The name follows application and version, and a name cannot change: both rules refuse these, so the version
    // rule is told apart by its message.
    for (pointer, value) in [("/spec/version", "4.2.2"), ("/spec/applicationRef/name", "crm")] {
        let new = with(published.clone(), pointer, json!(value));
        cases.push(change("identity", published.clone(), new, Some("a published version cannot be changed")));
    }
    let bare = with(without("secrets").1, "/spec/lifecycle", json!("Published"));
    let added = with(bare.clone(), "/spec/secrets", published["spec"]["secrets"].clone());
    cases.push(change("secrets added later", bare.clone(), added, Some("secrets of a published version")));
    let labelled = with(bare.clone(), "/metadata/labels", json!({"team": "erp"}));
    cases.push(change("labels stay free", bare, labelled, None));
    cases
}

fn items() -> Vec<Case> {
    const ONE: &str = "an item has exactly one action";
    let item = |action: Value| {
        let mut item = json!({"name": "contract", "title": "Contract", "category": "Contract"});
        item.as_object_mut().expect("an object").extend(action.as_object().expect("an object").clone());
        with(base("Blueprint"), "/spec/items/0", item)
    };
    let manifests = json!([{"name": "a.yaml", "template": "kind: Service"}]);
    const EXIT: &str = "the end of a subscription is no item of the checklist";
    vec![
        accepted("check", item(json!({"check": {}}))),
        accepted("manifests", item(json!({"manifests": manifests}))),
        accepted(
            "baseline with an empty list of manifests",
            item(json!({"manifests": [], "baseline": ["Namespace"]})),
        ),
        accepted("go-live", item(json!({"goLive": {"manifests": manifests}}))),
        accepted(
            "external",
            item(
                json!({"external": {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "until": "object.status.ready"}}),
            ),
        ),
        accepted("billing", item(json!({"billing": {}}))),
        refused(
            "billing with a baseline",
            item(json!({"billing": {}, "baseline": ["Namespace"]})),
            "a sign-off and billing make no objects",
        ),
        refused(
            "an external Secret",
            item(json!({"external": {"apiVersion": "v1", "kind": "Secret", "until": "true"}})),
            "Secrets are not read",
        ),
        refused(
            "external with a baseline",
            item(
                json!({"external": {"apiVersion": "v1", "kind": "ConfigMap", "until": "true"}, "baseline": ["Namespace"]}),
            ),
            "what is external is made by others",
        ),
        refused("no action", item(json!({})), ONE),
        refused("baseline alone", item(json!({"baseline": ["Namespace"]})), ONE),
        refused("two actions", item(json!({"check": {}, "manifests": manifests})), ONE),
        refused(
            "four actions",
            item(json!({"check": {}, "manifests": [], "application": {}, "goLive": {}})),
            ONE,
        ),
        refused(
            "a step of the end by its name",
            with(base("Blueprint"), "/spec/items/0/name", json!("exit-contract")),
            EXIT,
        ),
        refused(
            "a step of the end by its category",
            with(base("Blueprint"), "/spec/items/0/category", json!("Exit")),
            EXIT,
        ),
        refused(
            "waits for itself",
            with(base("Blueprint"), "/spec/items/1/dependsOn", json!(["contract", "application"])),
            "an item cannot depend on itself",
        ),
    ]
}

/// Plans that customers may change to.
fn plan_changes() -> Vec<Case> {
    let plan = |up: Value, down: Value| {
        let plan = with(base("ServicePlan"), "/spec/upgradableTo", up);
        with(plan, "/spec/downgradableTo", down)
    };
    let own = base("ServicePlan")["metadata"]["name"].clone();
    const ITSELF: &str = "the plan names itself";
    vec![
        accepted("up and down", plan(json!(["platinum"]), json!(["silver"]))),
        refused("up to itself", plan(json!([own]), json!([])), ITSELF),
        refused("down to itself", plan(json!([]), json!([own])), ITSELF),
        refused(
            "up and down to one",
            plan(json!(["platinum"]), json!(["platinum"])),
            "leave it in the one that says",
        ),
    ]
}

/// What plans cost.
fn prices() -> Vec<Case> {
    let priced = |charges: Value, more: Value| {
        let plan = with(base("ServicePlan"), "/spec/charges", charges);
        let mut plan = with(plan, "/spec/currency", json!("EUR"));
        let spec = plan["spec"].as_object_mut().expect("an object");
        spec.extend(more.as_object().expect("an object").clone());
        plan
    };
    let monthly = json!({"name": "base", "type": "Recurring", "interval": "Month", "price": "249.00"});
    let setup = json!({"name": "setup", "type": "OneTime", "price": "150.00", "tax": "reduced"});
    let without = |mut charge: Value, field: &str| {
        charge.as_object_mut().expect("an object").remove(field);
        charge
    };
    let seats = |name: &str, more: Value| {
        let mut charge = json!({"name": name, "type": "Recurring", "interval": "Month", "unit": "Seat"});
        charge.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        charge
    };
    let counted = |more: Value| {
        let mut charge = json!({"name": "calls", "type": "Usage", "interval": "Month", "meter": "calls"});
        charge.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        charge
    };
    let tiers = json!([{"upTo": "10", "price": "5.00", "flat": "20.00"}, {"price": "3.00"}]);
    const TOGETHER: &str = "give currency and charges together, or neither";
    const TRIAL: &str = "a trial is a time without charges";
    vec![
        accepted("prices", priced(json!([monthly, setup]), json!({"trial": {"days": 14}}))),
        accepted(
            "in arrears",
            priced(json!([with(monthly.clone(), "/timing", json!("Arrears"))]), json!({})),
        ),
        refused("a currency without prices", priced(json!([]), json!({})), TOGETHER),
        refused(
            "prices without a currency",
            with(base("ServicePlan"), "/spec/charges", json!([monthly])),
            TOGETHER,
        ),
        refused(
            "a trial of what is paid once",
            priced(json!([setup]), json!({"trial": {"days": 14}})),
            TRIAL,
        ),
        refused("a trial of nothing", with(base("ServicePlan"), "/spec/trial", json!({"days": 14})), TRIAL),
        refused(
            "recurring without an interval",
            priced(json!([without(monthly.clone(), "interval")]), json!({})),
            "interval says how often something recurs",
        ),
        refused(
            "once every month",
            priced(json!([with(setup.clone(), "/interval", json!("Month"))]), json!({})),
            "interval says how often something recurs",
        ),
        refused(
            "once for each seat",
            priced(json!([with(setup.clone(), "/unit", json!("Seat"))]), json!({})),
            "what is paid once is no matter of quantity",
        ),
        accepted(
            "each model",
            priced(
                json!([
                    seats("a", json!({"price": "6.50", "included": "25"})),
                    seats("b", json!({"model": "Graduated", "tiers": tiers})),
                    seats("c", json!({"model": "Volume", "tiers": tiers})),
                    seats("d", json!({"model": "Package", "size": "25", "price": "100.00"})),
                    seats(
                        "e",
                        json!({"model": "PrepaidBlock", "size": "25", "price": "100.00", "overage": "5.123456789012"})
                    ),
                ]),
                json!({
                    "introduction": {"months": 3, "percent": "20"},
                    "minimum": {"amount": "500.00", "interval": "Quarter", "earlyEnd": "Full"},
                }),
            ),
        ),
        accepted(
            "by what is counted",
            priced(
                json!([
                    counted(json!({"price": "0.02", "included": "1000"})),
                    with(
                        counted(json!({"model": "Volume", "tiers": tiers, "aggregation": "Max"})),
                        "/name",
                        json!("b")
                    ),
                    with(
                        counted(
                            json!({"price": "1", "per": "3600000", "rounding": "Up", "aggregation": "Sum"})
                        ),
                        "/name",
                        json!("c")
                    ),
                ]),
                json!({}),
            ),
        ),
        refused(
            "counted by no meter",
            priced(json!([without(counted(json!({"price": "1"})), "meter")]), json!({})),
            "a meter says what is counted",
        ),
        refused(
            "a meter of what recurs",
            priced(json!([with(monthly.clone(), "/meter", json!("calls"))]), json!({})),
            "a meter says what is counted",
        ),
        refused(
            "counted without an interval",
            priced(json!([without(counted(json!({"price": "1"})), "interval")]), json!({})),
            "interval says how often something recurs or is counted",
        ),
        refused(
            "counted ahead",
            priced(json!([counted(json!({"price": "1", "timing": "Arrears"}))]), json!({})),
            "what is counted is paid at its end",
        ),
        refused(
            "counted by the seat",
            priced(json!([counted(json!({"price": "1", "unit": "Seat"}))]), json!({})),
            "what is counted has a meter",
        ),
        refused(
            "a flat price of what is counted",
            priced(json!([counted(json!({"model": "Flat", "price": "1"}))]), json!({})),
            "the model Flat has no quantity",
        ),
        refused(
            "so many seats to one",
            priced(json!([seats("a", json!({"price": "1", "per": "10"}))]), json!({})),
            "aggregation, per and rounding say how counts become a quantity",
        ),
        refused(
            "included in nothing",
            priced(json!([with(monthly.clone(), "/included", json!("5"))]), json!({})),
            "units that cost nothing are units of something",
        ),
        refused(
            "a flat price for each seat",
            priced(json!([seats("a", json!({"model": "Flat", "price": "1"}))]), json!({})),
            "the model Flat has no quantity",
        ),
        refused(
            "a volume of nothing",
            priced(json!([with(monthly.clone(), "/model", json!("PerUnit"))]), json!({})),
            "the model Flat has no quantity",
        ),
        refused(
            "tiers without a model",
            priced(json!([seats("a", json!({"tiers": tiers}))]), json!({})),
            "the models Graduated and Volume have tiers",
        ),
        refused(
            "tiers and a price",
            priced(json!([seats("a", json!({"model": "Volume", "tiers": tiers, "price": "1"}))]), json!({})),
            "a price is written either in price or in tiers",
        ),
        refused(
            "a package without a size",
            priced(json!([seats("a", json!({"model": "Package", "price": "1"}))]), json!({})),
            "the models Package and PrepaidBlock have a size",
        ),
        refused(
            "beyond no block",
            priced(json!([seats("a", json!({"price": "1", "overage": "1"}))]), json!({})),
            "only a prepaid block can be exceeded",
        ),
        refused(
            "an introduction of what is paid once",
            priced(json!([setup]), json!({"introduction": {"months": 3, "percent": "20"}})),
            "an introduction is a discount on what recurs",
        ),
        refused(
            "a minimum in no currency",
            with(base("ServicePlan"), "/spec/minimum", json!({"amount": "500.00", "interval": "Month"})),
            "a minimum is an amount of money",
        ),
        refused(
            "once in arrears",
            priced(json!([with(setup, "/timing", json!("Arrears"))]), json!({})),
            "what is paid once has no period",
        ),
    ]
}

/// What applications count.
fn meters() -> Vec<Case> {
    let reserved = |meters: Value| with(base("HostedApplication"), "/spec/meters", meters);
    let counts = |unit: &str| {
        let meters = json!([{"name": "calls", "source": "Events", "unit": unit}]);
        with(base("HostedApplication"), "/spec/meters", meters)
    };
    vec![
        accepted("a meter", counts("Request")),
        change("a meter more", base("HostedApplication"), counts("Item"), None),
        change("a meter less", counts("Item"), base("HostedApplication"), None),
        accepted(
            "what is reserved",
            reserved(json!([
                {"name": "cpu", "source": "Reserved", "of": "Cpu", "unit": "MillicoreSecond"},
                {"name": "memory", "source": "Reserved", "of": "Memory", "unit": "MebibyteSecond"},
                {"name": "storage", "source": "Reserved", "of": "Storage", "unit": "MebibyteSecond"},
                {"name": "seats", "source": "Reserved", "of": "Seats", "unit": "Seat"},
            ])),
        ),
        refused(
            "reserved of nothing",
            reserved(json!([{"name": "cpu", "source": "Reserved", "unit": "MillicoreSecond"}])),
            "of says what was ordered, reserved or used",
        ),
        accepted(
            "what is used",
            reserved(json!([
                {"name": "cpu", "source": "Used", "of": "Cpu", "unit": "MillicoreSecond"},
                {"name": "memory", "source": "Used", "of": "Memory", "unit": "MebibyteSecond"},
                {"name": "storage", "source": "Used", "of": "Storage", "unit": "MebibyteSecond"},
                {"name": "egress", "source": "Used", "of": "Egress", "unit": "Byte"},
            ])),
        ),
        refused(
            "a use of nothing",
            reserved(json!([{"name": "cpu", "source": "Used", "unit": "MillicoreSecond"}])),
            "of says what was ordered, reserved or used",
        ),
        refused(
            "reserved traffic",
            reserved(json!([{"name": "egress", "source": "Reserved", "of": "Egress", "unit": "Byte"}])),
            "Cpu, Memory, Storage and Seats can be reserved",
        ),
        refused(
            "used seats",
            reserved(json!([{"name": "seats", "source": "Used", "of": "Seats", "unit": "Seat"}])),
            "are measured while they are used",
        ),
        refused(
            "storage in bytes",
            reserved(json!([{"name": "storage", "source": "Used", "of": "Storage", "unit": "Byte"}])),
            "Memory and Storage in MebibyteSecond",
        ),
        refused(
            "events of a reservation",
            reserved(json!([{"name": "cpu", "source": "Events", "of": "Cpu", "unit": "MillicoreSecond"}])),
            "of says what was ordered, reserved or used",
        ),
        refused(
            "seats in bytes",
            reserved(json!([{"name": "seats", "source": "Reserved", "of": "Seats", "unit": "Byte"}])),
            "Seats in Seat; correct unit",
        ),
        change(
            "another source",
            reserved(json!([{"name": "seats", "source": "Reserved", "of": "Seats", "unit": "Seat"}])),
            reserved(json!([{"name": "seats", "source": "Events", "unit": "Seat"}])),
            Some("give another source to another meter"),
        ),
        change(
            "used instead of reserved",
            reserved(json!([{"name": "cpu", "source": "Reserved", "of": "Cpu", "unit": "MillicoreSecond"}])),
            reserved(json!([{"name": "cpu", "source": "Used", "of": "Cpu", "unit": "MillicoreSecond"}])),
            Some("give another source to another meter"),
        ),
        change("another unit", counts("Request"), counts("Byte"), Some("give another unit to another meter")),
    ]
}

/// What items ask of people, and when.
fn people() -> Vec<Case> {
    let item = |more: Value| {
        let mut item = json!({"name": "contract", "title": "Contract", "category": "Contract"});
        item.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        with(base("Blueprint"), "/spec/items/0", item)
    };
    let due = |due: Value| item(json!({"check": {}, "due": due}));
    let by = json!({"by": "Customer"});
    const EITHER: &str = "an item is due before or after something";
    const FITTING: &str = "lead goes with before and lag with after";
    vec![
        accepted(
            "sign-off",
            item(json!({"signOff": {"by": "Customer", "evidence": "Required"}, "runs": "Once"})),
        ),
        accepted("confirmation", item(json!({"check": {}, "confirm": by, "runs": "EveryUpgrade"}))),
        refused(
            "two actions, one a sign-off",
            item(json!({"check": {}, "signOff": by})),
            "an item has exactly one action",
        ),
        refused(
            "confirmed sign-off",
            item(json!({"signOff": by, "confirm": by})),
            "a sign-off needs no confirmation",
        ),
        refused(
            "confirmed go-live",
            item(json!({"goLive": {}, "confirm": by})),
            "a sign-off needs no confirmation",
        ),
        refused(
            "runs without a signature",
            item(json!({"check": {}, "runs": "Once"})),
            "runs says when somebody has to sign again",
        ),
        accepted("job", item(json!({"job": {"role": "Verify"}, "runs": "EveryUpgrade"}))),
        accepted("conversion", item(json!({"job": {"role": "Convert", "load": "Trial"}, "runs": "Once"}))),
        refused(
            "conversion of no sort",
            item(json!({"job": {"role": "Convert"}})),
            "load says how a conversion runs",
        ),
        refused(
            "test with a load",
            item(json!({"job": {"role": "Verify", "load": "Trial"}})),
            "load says how a conversion runs",
        ),
        refused(
            "job with objects",
            item(json!({"job": {"role": "Verify"}, "baseline": ["Namespace"]})),
            "a job none but itself",
        ),
        refused(
            "sign-off with objects",
            item(json!({"signOff": by, "baseline": ["Namespace"]})),
            "a sign-off and billing make no objects",
        ),
        accepted("due before", due(json!({"before": "GoLive", "lead": "72h"}))),
        accepted("due after", due(json!({"after": "Order", "lag": "48h"}))),
        refused(
            "due both ways",
            due(json!({"before": "GoLive", "lead": "1h", "after": "Order", "lag": "1h"})),
            EITHER,
        ),
        refused("due no way", due(json!({})), EITHER),
        refused("due before without a lead", due(json!({"before": "GoLive"})), FITTING),
        refused("due after with a lead", due(json!({"after": "Order", "lead": "1h"})), FITTING),
    ]
}

fn sign_offs() -> Vec<Case> {
    let sign_off = || base("TenantSignOff");
    let proof = |evidence: Value| with(sign_off(), "/spec/evidence", json!([evidence]));
    let carried = |object: Value| with(object, "/spec/via", json!("portal"));
    let identity = json!({"kind": "Identity", "name": "cora", "issuer": "https://id.acme.example"});
    vec![
        accepted("signed in person", sign_off()),
        accepted("document", proof(json!({"kind": "Document", "name": "a.pdf", "sha256": "0".repeat(64)}))),
        accepted("commit", proof(json!({"kind": "Commit", "name": "4f2a"}))),
        accepted("carried with an identity", carried(proof(identity))),
        refused("carried without proof", carried(sign_off()), "states how that person was recognised"),
        refused(
            "document without a digest",
            proof(json!({"kind": "Document", "name": "a.pdf"})),
            "add sha256",
        ),
        refused(
            "identity without an issuer",
            proof(json!({"kind": "Identity", "name": "cora"})),
            "add issuer",
        ),
        change("label", sign_off(), with(sign_off(), "/metadata/labels", json!({"a": "b"})), None),
        change(
            "edited note",
            sign_off(),
            with(sign_off(), "/spec/note", json!("never mind")),
            Some("a sign-off cannot be changed"),
        ),
    ]
}

fn suspensions() -> Vec<Case> {
    let suspension = || base("TenantSuspension");
    let asked = |lift: &str| {
        with(with(suspension(), "/spec/reason", json!("Customer")), "/spec/liftAuthority", json!(lift))
    };
    vec![
        accepted("by the provider", suspension()),
        accepted("by the customer", asked("Consumer")),
        refused(
            "asked for by who cannot lift it",
            asked("Operator"),
            "what a customer asks for the customer can lift",
        ),
        change(
            "edited scope",
            suspension(),
            with(suspension(), "/spec/scope", json!("Network")),
            Some("a suspension cannot be changed"),
        ),
    ]
}

fn orders() -> Vec<Case> {
    const RANGE: &str = "every entry must be an address range in CIDR form";
    let allow =
        |ranges: Value| with(base("TenantSubscription"), "/spec/network", json!({"allowFrom": ranges}));
    let reference = |value: Value| with(base("TenantSubscription"), "/spec/applicationRef", value);
    let many: Vec<String> = (0..64).map(|n| format!("2001:db8:{n:x}::/48")).collect();
    vec![
        accepted("address ranges", allow(json!(["203.0.113.0/24", "2001:db8::/32", "198.51.100.7/32"]))),
        accepted("as many ranges as there may be", allow(json!(many))),
        accepted("no ranges", allow(json!([]))),
        refused("prefix too long", allow(json!(["203.0.113.0/33"])), RANGE),
        refused("octet too large", allow(json!(["203.0.113.256/24"])), RANGE),
        refused("one bad range of two", allow(json!(["203.0.113.0/24", "::::/8"])), RANGE),
        change(
            "new version",
            base("TenantSubscription"),
            reference(json!({"name": "erp", "version": "4.3.0"})),
            None,
        ),
        change(
            "other application",
            base("TenantSubscription"),
            reference(json!({"name": "mail", "version": "4.2.1"})),
            Some("a subscription cannot change to another application"),
        ),
        change(
            "other plan",
            base("TenantSubscription"),
            with(base("TenantSubscription"), "/spec/planRef/name", json!("silver")),
            None,
        ),
    ]
}

fn pools() -> Vec<Case> {
    const ONE_WAY: &str = "a node is made in one way";
    let made = || json!({"maxNodes": 2, "nodePool": {"template": {"spec": {}}}});
    let shared = base("ServerPool");
    let mut dedicated = with(shared.clone(), "/spec/tenancy", json!("Dedicated"));
    let message = "class and tenancy of a pool cannot be changed";
    let overcommitted = dedicated.clone();
    dedicated["spec"].as_object_mut().expect("an object").remove("overcommit");
    vec![
        accepted("a shared pool that is overcommitted", shared.clone()),
        accepted("a dedicated pool", dedicated.clone()),
        refused(
            "a dedicated pool that is overcommitted",
            overcommitted,
            "whole servers are not overcommitted",
        ),
        accepted("nodes by a template", with(dedicated.clone(), "/spec/template", made())),
        refused(
            "a shared pool with a template",
            with(shared.clone(), "/spec/template", made()),
            "nodes are made for tenants that have whole ones",
        ),
        refused(
            "a template of nothing",
            with(dedicated.clone(), "/spec/template", json!({"maxNodes": 1})),
            ONE_WAY,
        ),
        refused(
            "a template of both",
            with(
                with(dedicated.clone(), "/spec/template", made()),
                "/spec/template/machineDeployment",
                json!({"namespace": "machines", "spec": {}}),
            ),
            ONE_WAY,
        ),
        change("more held back", shared.clone(), with(shared.clone(), "/spec/reserveNodes", json!(2)), None),
        change("another class", shared.clone(), with(shared, "/spec/class", json!("other")), Some(message)),
        change(
            "another tenancy",
            dedicated.clone(),
            with(dedicated, "/spec/tenancy", json!("Shared")),
            Some(message),
        ),
    ]
}
