//! Usage from the token of a tenant's application to a line of an invoice, on a real API server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tenantry_e2e::callers::{person, token};
use tenantry_e2e::clock::Clock;
use tenantry_e2e::orders::with;
use tenantry_e2e::people::tenantry;
use tenantry_e2e::priced::{account, definitions, is_billed, issuer, paid_by, until_billed};
use tenantry_e2e::process::Controller;
use tenantry_e2e::wait::PATIENCE;
use tenantry_e2e::{NAMESPACE, Setup, World, http, metrics, process};

const AUDIENCE: &str = "usage.tenantry.io";
/// Longer than a month, shorter than two.
const SECONDS_OF_A_MONTH: i64 = 32 * 86_400;

fn address(world: &World) -> SocketAddr {
    world.controller.as_ref().unwrap().billing().strip_prefix("http://").unwrap().parse().unwrap()
}

/// Status and answer to what is sent with a token.
fn tell(world: &World, token: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
    let bearer = format!("Bearer {token}");
    let headers: Vec<(&str, &str)> =
        headers.iter().copied().chain([("Authorization", bearer.as_str())]).collect();
    let answer = http::post(address(world), "/v1/usage", &headers, body).unwrap();
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

/// What becomes of each event of a batch.
fn batch(world: &World, token: &str, events: &[Value]) -> Vec<String> {
    let headers = [("Content-Type", "application/cloudevents-batch+json")];
    let (status, answer) = tell(world, token, &headers, &json!(events).to_string());
    assert_eq!(status, 200, "{answer}");
    let word = |event: &Value| event["cause"].as_str().or(event["outcome"].as_str()).unwrap().to_owned();
    answer["events"].as_array().unwrap().iter().map(word).collect()
}

fn event(id: &str, at: Timestamp, quantity: i64, subject: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/mail/queue", "type": "io.tenantry.usage.v1", "time": at.to_string(),
        "subject": subject, "data": {"meter": "messages", "quantity": quantity, "unit": "Item", "tenant": "bolt"},
    })
}

/// What `tenantry usage` says of a subscription's one tenant.
async fn used(world: &World, name: &str) -> Value {
    let database = process::journal(world.directory());
    let arguments =
        ["usage", name, "--from", "2020-01-01", "--to", "2100-01-01", "-o", "json", "--database", &database];
    let said = tenantry(&world.cluster.kubeconfig(), &arguments).await.unwrap();
    let used: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(used["tenants"].as_array().unwrap().len(), 1, "{used}");
    used["tenants"][0].clone()
}

/// Who tells too much waits, and nobody else does.
async fn too_much_is_put_off(world: &World) {
    world
        .apply_all(&[json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "flood", "namespace": "tenant-bolt"}})])
        .await
        .unwrap();
    let flood = token(world, "tenant-bolt", "flood", Some(AUDIENCE)).await.unwrap();
    let other = token(world, "tenant-bolt", "default", Some(AUDIENCE)).await.unwrap();
    // Of another type, so that nothing of it counts.
    let event = json!({"specversion": "1.0", "id": "flood", "source": "x", "type": "com.example.other"});
    let body = json!(vec![event; 1_000]).to_string();
    let headers = [("Content-Type", "application/cloudevents-batch+json")];
    let bearer = format!("Bearer {flood}");
    let headers: Vec<(&str, &str)> =
        headers.into_iter().chain([("Authorization", bearer.as_str())]).collect();
    // A whole request fits into a bucket, and the next one does not.
    let send = || http::post(address(world), "/v1/usage", &headers, &body).unwrap();
    let (first, refused) = (send(), send());
    assert_eq!((first.status, refused.status), (200, 429), "{} {}", first.body, refused.body);
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=50).contains(&after), "{after}");
    assert!(refused.body.contains("tells more events than he may"), "{}", refused.body);
    assert_eq!(batch(world, &other, &[json!({"id": "h"})]), ["NotAnEvent"]);
    let admin = world.controller.as_ref().unwrap().admin();
    assert!(metrics::total(admin, "tenantry_usage_throttled_total").unwrap() >= 1.0);
}

/// What is kept aside is listed with what is wrong, here and by the leader, for who may read everything.
async fn what_does_not_count(world: &World) {
    let database = process::journal(world.directory());
    let days = ["--from", "2020-01-01", "--to", "2100-01-01", "-o", "json"];
    let list = |more: &[&str]| [&["usage", "--quarantined"], &days[..], more].concat().join(" ");
    let said = async |arguments: String| -> Value {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        serde_json::from_str(&tenantry(&world.cluster.kubeconfig(), &arguments).await.unwrap()).unwrap()
    };
    let all = said(list(&["--database", &database])).await;
    let own = said(list(&["acme", "--database", &database])).await;
    // Eight causes of acme's, and one that is about nobody.
    assert_eq!((all.as_array().unwrap().len(), own.as_array().unwrap().len()), (9, 8), "{all}");
    let negative = own.as_array().unwrap().iter().find(|one| one["cause"] == "BadQuantity").unwrap();
    assert_eq!((&negative["field"], &negative["id"]), (&json!("data.quantity"), &json!("e")), "{negative}");
    assert!(negative["body"].as_str().unwrap().contains("-1"), "{negative}");
    let reader =
        person(world, "all-reader", Some("tenantry-billing-reader")).await.unwrap().display().to_string();
    let server = world.controller.as_ref().unwrap().billing();
    assert_eq!(said(list(&["acme", "--server", &server, "--token-file", &reader])).await, own);
    let some = said(list(&["--limit", "4", "--server", &server, "--token-file", &reader])).await;
    assert_eq!(some.as_array().unwrap().as_slice(), &all.as_array().unwrap()[..4]);
}

/// What is left of what a tenant, and with it its plan, was sold; who may read what it used and not what it cost sees no cost.
async fn what_is_left(world: &World, silver: &Value) {
    let total = |of: &Value, currency: &str| {
        let totals = of["left"]["totals"].as_array().unwrap();
        totals.iter().find(|one| one["currency"] == currency).unwrap().clone()
    };
    // Two months of 100.00 with what was counted in the first of them; 100 messages at 0.03 for ten.
    let euros = total(silver, "EUR");
    assert_eq!(
        (&silver["plan"], &euros["sold"], &euros["cost"]),
        (&json!("silver"), &json!("204.00"), &json!("0.30"))
    );
    assert_eq!(euros["margin"], "203.70");
    assert_eq!(total(silver, "CHF")["sold"], "0.00", "currencies stay apart");
    let database = process::journal(world.directory());
    let days = ["--from", "2020-01-01", "--to", "2100-01-01", "-o", "json"];
    let plan = [&["usage", "--plan", "silver"], &days[..]].concat();
    let here = [&plan[..], &["--database", &database]].concat();
    let all: Value =
        serde_json::from_str(&tenantry(&world.cluster.kubeconfig(), &here).await.unwrap()).unwrap();
    let tenants = all["tenants"].as_array().unwrap();
    assert_eq!(tenants.len(), 2, "{all}");
    let cents = |of: &Value, field: &str| {
        let text = total(of, "EUR")[field].as_str().unwrap().to_owned();
        text.replace('.', "").parse::<i64>().unwrap()
    };
    for field in ["sold", "cost", "margin"] {
        let sum: i64 = tenants.iter().map(|one| cents(one, field)).sum();
        assert_eq!(cents(&all["total"], field), sum, "{field}: {all}");
    }
    // The leader says the same to who may see it.
    let reader =
        person(world, "reader", Some("tenantry-billing-reader")).await.unwrap().display().to_string();
    let controller =
        person(world, "controlling", Some("tenantry-controlling")).await.unwrap().display().to_string();
    let ask = async |token: &str, arguments: &[&str]| {
        let server = world.controller.as_ref().unwrap().billing();
        let more = ["--server", &server, "--token-file", token];
        tenantry(&world.cluster.kubeconfig(), &[arguments, &more].concat()).await
    };
    let said: Value = serde_json::from_str(&ask(&controller, &plan).await.unwrap()).unwrap();
    // His clock is a month ahead, so there are more hours with seats.
    assert_eq!(said["total"]["left"], all["total"]["left"], "{said}");
    let refused = ask(&reader, &plan).await.unwrap_err().to_string();
    assert!(refused.contains("may not get billingaccounts/costs of all accounts"), "{refused}");
    let own = [&["usage", "acme"], &days[..]].concat();
    let said: Value = serde_json::from_str(&ask(&reader, &own).await.unwrap()).unwrap();
    let seen = &said["tenants"][0]["plans"][0];
    assert_eq!(seen["sold"], json!([{"currency": "EUR", "amount": "204.00"}]), "{said}");
    assert!(!said.to_string().contains("cost") && seen["left"].is_null(), "{said}");
}

/// The shipped definitions, with messages that are counted and priced.
fn counted() -> Vec<Value> {
    let mut definitions = definitions().unwrap();
    for object in &mut definitions {
        let is = |kind: &str, name: &str| object["kind"] == kind && object["metadata"]["name"] == name;
        if is("HostedApplication", "mail") {
            let meters = json!([
                {"name": "messages", "source": "Events", "unit": "Item"},
                {"name": "seats", "source": "Reserved", "of": "Seats", "unit": "Seat"},
                {"name": "volume", "source": "Reserved", "of": "Storage", "unit": "MebibyteSecond"},
            ]);
            *object = with(object.clone(), "spec.meters", meters);
        } else if is("ServicePlan", "silver") {
            let charges = json!([
                {"name": "base", "type": "Recurring", "interval": "Month", "price": "100.00"},
                {"name": "sent", "type": "Usage", "interval": "Month", "meter": "messages", "price": "0.02"},
                {"name": "held", "type": "Usage", "interval": "Month", "meter": "seats", "aggregation": "Max", "price": "1.00"},
            ]);
            *object = with(object.clone(), "spec.charges", charges);
        }
    }
    definitions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_by_who_may_is_on_the_next_invoice_once() {
    let mut world = World::start(Setup::default()).await.unwrap();
    let definitions = counted();
    world.apply_all(&definitions).await.unwrap();
    let clock = Clock::find(world.directory()).unwrap();
    clock.set(0).unwrap();
    // Few events a second, so that who tells too much is found out soon.
    let slowly = ["--usage-events-per-second", "20"];
    let started = Controller::start_by(Some(&clock), world.identity(), world.directory(), &slowly);
    world.controller = Some(started.unwrap());
    // The plan names a meter: it is accepted with the application that declares it, whichever came first.
    world.accepted(&definitions).await.unwrap();
    let costs = json!([
        {"meter": {"application": "mail", "name": "messages", "per": "10", "cost": "0.03"}, "currency": "EUR"},
        {"meter": {"application": "mail", "name": "seats", "cost": "0.0000001"}, "currency": "CHF"},
    ]);
    let issuer = with(issuer(), "spec.costs", costs);
    world.apply_all(&[issuer, account("EUR", "acme"), account("EUR", "bolt")]).await.unwrap();
    let person = |name: &str| json!({"name": name, "displayName": name, "email": format!("{name}@acme.example"), "roles": ["user"]});
    let staffed = with(paid_by("acme", "acme"), "spec.users", json!([person("ada"), person("bo")]));
    world.apply_all(&[staffed, paid_by("bolt", "bolt")]).await.unwrap();
    world.until("acme", is_billed).await.unwrap();
    world.until("bolt", is_billed).await.unwrap();

    // A tenant's own application tells for its tenant and for nobody else, whatever it says.
    let acme = token(&world, "tenant-acme", "default", Some(AUDIENCE)).await.unwrap();
    let bolt = token(&world, "tenant-bolt", "default", Some(AUDIENCE)).await.unwrap();
    let now = Timestamp::now();
    let days = |days: i64| now.checked_add(SignedDuration::from_hours(24 * days)).unwrap();
    let events = [
        event("a", now, 40, "acme"),
        event("a", now, 40, "acme"),
        event("a", now, 41, "acme"),
        event("b", now, 10, "bolt"),
        event("c", days(1), 1, "acme"),
        event("d", days(-40), 1, "acme"),
        event("e", now, -1, "acme"),
        with(event("f", now, 1, "acme"), "data.meter", json!("calls")),
        with(event("i", now, 1, "acme"), "data", json!({"meter": "seats", "quantity": 1, "unit": "Seat"})),
        with(event("g", now, 1, "acme"), "data.unit", json!("Byte")),
        json!({"id": "h"}),
    ];
    let outcomes = [
        "Accepted",
        "Duplicate",
        "Conflicting",
        "Accepted",
        "Future",
        "TooOld",
        "BadQuantity",
        "ForeignMeter",
        "NotTold",
        "OtherUnit",
        "NotAnEvent",
    ];
    assert_eq!(batch(&world, &acme, &events), outcomes);
    let again = outcomes.map(|word| if word == "Accepted" { "Duplicate" } else { word });
    assert_eq!(batch(&world, &acme, &events), again);
    assert_eq!(batch(&world, &bolt, &[event("a", now, 7, "acme")]), ["Accepted"]);
    let (status, answer) = tell(
        &world,
        &acme,
        &[("Content-Type", "application/cloudevents+json")],
        &event("e", now, -1, "acme").to_string(),
    );
    assert_eq!((status, &answer["events"][0]["field"]), (200, &json!("data.quantity")), "{answer}");
    assert!(answer["events"][0]["remedy"].as_str().unwrap().contains("a whole number from 0"), "{answer}");

    // Nobody without a token for this, and no stranger without the right.
    let wide = token(&world, "tenant-acme", "default", None).await.unwrap();
    for wrong in [wide.as_str(), "eyJhbGciOiJub25lIn0.e30."] {
        let (status, answer) =
            tell(&world, wrong, &[("Content-Type", "application/cloudevents-batch+json")], "[]");
        assert_eq!(status, 401, "{answer}");
        assert!(answer["remedy"].as_str().unwrap().contains("--audience usage.tenantry.io"), "{answer}");
    }
    world
        .apply_all(&[json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "gateway", "namespace": NAMESPACE}})])
        .await
        .unwrap();
    let gateway = token(&world, NAMESPACE, "gateway", Some(AUDIENCE)).await.unwrap();
    let stated = now.to_string();
    let binary = |subject: &'static str, id: &'static str| {
        [
            ("Content-Type", "application/json"),
            ("ce-specversion", "1.0"),
            ("ce-id", id),
            ("ce-source", "edge"),
            ("ce-type", "io.tenantry.usage.v1"),
            ("ce-subject", subject),
        ]
    };
    let data = json!({"meter": "messages", "quantity": 50, "unit": "Item"}).to_string();
    let send = |world: &World, subject: &'static str, id: &'static str| {
        let headers: Vec<(&str, &str)> =
            binary(subject, id).into_iter().chain([("ce-time", stated.as_str())]).collect();
        tell(world, &gateway, &headers, &data)
    };
    let (status, answer) = send(&world, "acme", "1");
    assert_eq!(status, 403, "{answer}");
    assert!(
        answer["reason"].as_str().unwrap().contains("may not report tenantsubscriptions/usage of"),
        "{answer}"
    );
    assert!(answer["remedy"].as_str().unwrap().contains("tenantry-usage-reporter"), "{answer}");
    let subject = json!({"kind": "ServiceAccount", "name": "gateway", "namespace": NAMESPACE});
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "acme-reporter"},
        "rules": [{"apiGroups": ["tenantry.io"], "resources": ["tenantsubscriptions/usage"], "verbs": ["report"],
            "resourceNames": ["acme", "nobody"]}],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "gateway"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "acme-reporter"},
        "subjects": [subject],
    });
    world.apply_all(&[role, binding]).await.unwrap();
    // The API server has a new right a moment later.
    let accepted = async {
        loop {
            let (status, answer) = send(&world, "acme", "1");
            if status != 403 {
                break (status, answer);
            }
        }
    };
    let (status, answer) = tokio::time::timeout(PATIENCE, accepted).await.expect("the right is not known");
    assert_eq!((status, &answer["events"][0]["outcome"]), (200, &json!("Accepted")), "{answer}");
    let (status, answer) = send(&world, "bolt", "2");
    assert_eq!(status, 403, "{answer}");
    let (status, answer) = send(&world, "nobody", "3");
    assert_eq!((status, &answer["events"][0]["cause"]), (200, &json!("UnknownSubject")), "{answer}");

    // What is kept aside is seen, and counted for who looks after the address.
    let seen = used(&world, "acme").await;
    assert_eq!(
        (&seen["meters"][0]["told"], &seen["meters"][0]["unit"]),
        (&json!("100"), &json!("Item")),
        "{seen}"
    );
    assert_eq!(seen["quarantined"].as_object().unwrap().len(), 8, "{seen}");
    assert_eq!(used(&world, "bolt").await["meters"][0]["told"], "7");
    what_does_not_count(&world).await;
    too_much_is_put_off(&world).await;
    let admin = world.controller.as_ref().unwrap().admin();
    assert!(metrics::total(admin, "tenantry_usage_quarantined_total").unwrap() >= 18.0);

    // A month later it is on the invoice, and whoever tells it again tells nothing new.
    world.kill_controller().unwrap();
    world.release_lease().await.unwrap();
    clock.set(SECONDS_OF_A_MONTH).unwrap();
    world.run_controller_by(&clock).unwrap();
    let documents = until_billed(&world, "acme", 2).await.unwrap();
    // 100.00 for the month to come, 100 messages at 0.02, and two seats at 1.00.
    assert_eq!(documents[1]["net"], "104.00", "{}", documents[1]);
    let lines = documents[1]["lines"].as_array().unwrap();
    let held = lines.iter().find(|line| line["charge"] == "held").unwrap();
    assert_eq!(held["quantity"], "2", "{held}");
    let sent = lines.iter().find(|line| line["charge"] == "sent").unwrap();
    assert_eq!((&sent["quantity"], &sent["net"]), (&json!("100"), &json!("2.00")), "{sent}");
    let seen = used(&world, "acme").await;
    let meter = |name: &str| {
        let meters = seen["meters"].as_array().unwrap();
        meters.iter().find(|meter| meter["meter"] == name).unwrap()
    };
    // What the plan lets be claimed is reserved from the first hour on, whole hours and nothing less.
    let status = world.until("acme", is_billed).await.unwrap().status.unwrap();
    let size = i128::from(status.billing.unwrap().quantities.unwrap().storage_mib.unwrap());
    let volume: i128 = meter("volume")["inLedger"].as_str().unwrap().parse().unwrap();
    assert!(size > 0 && volume >= size * 3_600 * 24 * 30, "{size} MiB, {}", meter("volume"));
    let messages = meter("messages");
    assert_eq!((&messages["told"], &messages["inLedger"]), (&json!("100"), &json!("100")), "{seen}");
    let held = meter("seats");
    assert_eq!((&held["meter"], &held["source"]), (&json!("seats"), &json!("Reserved")), "{seen}");
    assert_ne!(held["inLedger"], "0", "{seen}");
    let priced = messages["priced"].as_array().unwrap();
    assert!(
        priced.iter().any(|line| line["number"] == documents[1]["number"] && line["net"] == "2.00"),
        "{seen}"
    );
    world.until("acme", is_billed).await.unwrap();
    what_is_left(&world, &seen["plans"][0]).await;
    let acme = token(&world, "tenant-acme", "default", Some(AUDIENCE)).await.unwrap();
    assert_eq!(batch(&world, &acme, &events[..1]), ["Duplicate"]);
    let database = process::journal(world.directory());
    let arguments = ["ledger", "verify", "-o", "json", "--database", &database];
    let proof: Value =
        serde_json::from_str(&tenantry(&world.cluster.kubeconfig(), &arguments).await.unwrap()).unwrap();
    assert_eq!((&proof["faults"], &proof["parked"]), (&json!([]), &json!([])), "{proof}");
}
