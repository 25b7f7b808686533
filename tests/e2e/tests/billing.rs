//! Who pays for what: from an order to invoices by the clock, on a real API server and a real database.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams, PostParams};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tenantry_control_plane::{Postgres, skipped};
use tenantry_crds::subscription::{BillingStatus, ItemState, Phase};
use tenantry_crds::{BillingRecord, TenantSubscription};
use tenantry_e2e::clock::Clock;
use tenantry_e2e::journal::History;
use tenantry_e2e::orders::{erp, mail, with};
use tenantry_e2e::people::tenantry;
use tenantry_e2e::priced::{account, definitions, issuer, paid_by, until_billed};
use tenantry_e2e::wait::{self, PATIENCE, is_live, stands};
use tenantry_e2e::{NAMESPACE, Setup, World, process};

/// Longer than a month, shorter than two.
const SECONDS_OF_A_MONTH: i64 = 32 * 86_400;

fn billing(subscription: &TenantSubscription) -> BillingStatus {
    subscription.status.as_ref().and_then(|status| status.billing.clone()).unwrap_or_default()
}

/// What a command shows as JSON of the file beside the controllers.
async fn shown(world: &World, arguments: &[&str]) -> Value {
    shown_of(world, &process::journal(world.directory()), arguments).await
}

/// What a command shows as JSON of a database.
async fn shown_of(world: &World, database: &str, arguments: &[&str]) -> Value {
    let more = ["--database", database, "-o", "json"];
    let arguments: Vec<&str> = arguments.iter().copied().chain(more).collect();
    let said = tenantry(&world.cluster.kubeconfig(), &arguments).await;
    said.map_or(Value::Null, |said| serde_json::from_str(&said).unwrap())
}

/// Number, kind, net and gross of each document, once there are so many.
async fn documents(world: &World, name: &str, count: usize) -> Vec<[String; 4]> {
    let said = |document: &Value, field: &str| document[field].as_str().unwrap().to_owned();
    let fields = ["number", "kind", "net", "gross"];
    let documents = until_billed(world, name, count).await.unwrap();
    documents.iter().map(|document| fields.map(|field| said(document, field))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_billed_from_its_first_day_to_its_last() {
    let mut world = World::start(Setup::default()).await.unwrap();
    let definitions = definitions().unwrap();
    world.apply_all(&definitions).await.unwrap();
    let clock = Clock::find(world.directory()).unwrap();
    clock.set(0).unwrap();
    world.run_controller_by(&clock).unwrap();
    world.accepted(&definitions).await.unwrap();

    // Nobody pays, then somebody who is not there, then one who cannot be billed in this currency.
    world.apply_all(&[mail("acme")]).await.unwrap();
    world.until("acme", stands("billing", ItemState::Waiting, "AccountNotNamed")).await.unwrap();
    world.patch("acme", json!({"spec": {"billing": {"accountRef": {"name": "acme"}}}})).await.unwrap();
    world.until("acme", stands("billing", ItemState::Waiting, "LedgerPending")).await.unwrap();
    let folder = world.directory().join("documents");
    std::fs::create_dir_all(&folder).unwrap();
    let sinks = json!([{"name": "drop", "folder": {"path": folder, "forms": ["Json", "Ubl"]}}]);
    let issuer = with(issuer(), "spec.sinks", sinks);
    world.apply_all(&[issuer, account("CHF", "other"), paid_by("bolt", "other")]).await.unwrap();
    let refused = |bolt: &TenantSubscription| {
        let entry = tenantry_e2e::wait::entry(bolt, "billing");
        entry.is_some_and(|entry| entry.message.contains("the account is billed in CHF"))
    };
    world.until("bolt", refused).await.unwrap();
    world.apply_all(&[account("EUR", "acme")]).await.unwrap();
    world.until("acme", stands("billing", ItemState::Done, "InLedger")).await.unwrap();

    // It is billed when it is live, at the prices of its order whatever becomes of the plan's.
    let billed = |acme: &TenantSubscription| is_live(acme) && billing(acme).next_invoice_date.is_some();
    let acme = world.until("acme", billed).await.unwrap();
    let told = billing(&acme);
    assert_eq!((told.account.as_str(), told.committed_amount.as_deref()), ("acme", Some("100.00 EUR")));
    let since = acme.status.as_ref().unwrap().go_live.as_ref().unwrap().at.clone();
    assert_eq!(told.since, Some(since));
    let first = ["INV-002-001", "Invoice", "100.00", "110.00"].map(str::to_owned);
    assert_eq!(documents(&world, "acme", 1).await, std::slice::from_ref(&first));
    let next = shown(&world, &["preview-invoice", "acme"]).await;
    assert_eq!((&next[0]["net"], &next[0]["lines"][0]["name"]), (&json!("100.00"), &json!("acme")), "{next}");
    let pinned = acme.status.as_ref().unwrap().accepted.as_ref().unwrap().price_list.clone().unwrap();
    assert!(pinned.starts_with("silver@"), "{pinned}");
    let dearer = definitions.iter().find(|object| object["metadata"]["name"] == "silver").unwrap();
    world
        .apply_all(&[with(
            dearer.clone(),
            "spec.charges",
            json!([
                {"name": "base", "type": "Recurring", "interval": "Month", "price": "999.00"},
            ]),
        )])
        .await
        .unwrap();

    // A month later, and whoever is killed meanwhile bills it once.
    world.kill_controller().unwrap();
    world.release_lease().await.unwrap();
    clock.set(SECONDS_OF_A_MONTH).unwrap();
    world.run_controller_by(&clock).unwrap();
    let second = ["INV-002-002", "Invoice", "100.00", "110.00"].map(str::to_owned);
    assert_eq!(documents(&world, "acme", 2).await, [first, second]);

    // Another plan from now on, and then the end: what was paid for and not had is given back.
    world.patch("acme", json!({"spec": {"planRef": {"name": "gold"}}})).await.unwrap();
    let upgraded = documents(&world, "acme", 3).await;
    assert_eq!(upgraded[2][1], "Invoice");
    let page = shown(&world, &["invoice", &upgraded[2][0]]).await;
    let effects: Vec<&str> =
        page["lines"].as_array().unwrap().iter().map(|line| line["effect"].as_str().unwrap()).collect();
    assert_eq!(effects, ["Credit", "Charge"]);
    assert_eq!(page["lines"][0]["corrects"], "INV-002-002");
    delete(&world, "acme").await;
    let ended = documents(&world, "acme", 4).await;
    assert_eq!(ended[3][1], "CreditNote", "{ended:?}");

    let proof = shown(&world, &["ledger", "verify"]).await;
    assert_eq!((&proof["faults"], &proof["parked"]), (&json!([]), &json!([])), "{proof}");
    assert_eq!((&proof["documents"], &proof["runsNotRecomputed"]), (&json!(4), &json!(0)), "{proof}");
    in_every_form(&world, &ended).await;
    delivered(&world, &ended).await;
}

/// Every document is in the folder of its issuer, once, whoever was killed meanwhile; and again when a person asks for it.
async fn delivered(world: &World, documents: &[[String; 4]]) {
    let all = async {
        loop {
            let open = shown(world, &["deliveries", "list"]).await;
            let last = shown(world, &["deliveries", "list", &documents[documents.len() - 1][0]]).await;
            if open == json!([]) && last[0]["state"] == "Sent" {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("documents are not delivered");
    let mut wanted: Vec<String> = documents
        .iter()
        .flat_map(|[number, ..]| ["json", "ubl.xml"].map(|form| format!("{number}.{form}")))
        .collect();
    let folder = world.directory().join("documents");
    let mut names: Vec<String> =
        folder.read_dir().unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    wanted.sort();
    assert_eq!(names, wanted);
    for [number, ..] in documents {
        let of_one = shown(world, &["deliveries", "list", number]).await;
        assert_eq!(
            (&of_one[0]["sink"], &of_one[0]["tries"]),
            (&json!("orderly/drop"), &json!(1)),
            "{of_one}"
        );
    }
}

/// Documents as people, tax offices and other programs get them: each of them, and all of an account together.
async fn in_every_form(world: &World, documents: &[[String; 4]]) {
    let database = process::journal(world.directory());
    let printed = async |arguments: &[&str]| {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--database", &database]).collect();
        tenantry(&world.cluster.kubeconfig(), &arguments).await.unwrap()
    };
    for [number, kind, _, _] in documents {
        let page = printed(&["print", number, "--language", "de"]).await;
        let title = if kind == "Invoice" { "Rechnung" } else { "Gutschrift" };
        assert!(page.contains(&format!("<h1>{title}</h1>{number}")), "{page}");
        let ubl = printed(&["print", number, "--as", "ubl"]).await;
        assert!(ubl.contains(&format!("<cbc:ID>{number}</cbc:ID>")), "{ubl}");
        let cii = printed(&["print", number, "--as", "cii"]).await;
        assert!(cii.contains(&format!("<ram:ID>{number}</ram:ID>")), "{cii}");
    }
    let cents = |amount: &str| (amount.parse::<f64>().unwrap() * 100.0).round();
    let total: f64 = documents.iter().map(|[.., gross]| cents(gross)).sum();
    let time = ["--from", "2000-01-01", "--to", "2100-01-01"];
    let statement = printed(&[&["statement", "acme", "-o", "json"], &time[..]].concat()).await;
    let statement: Value = serde_json::from_str(&statement).unwrap();
    assert_eq!(cents(statement["billed"].as_str().unwrap()), total, "{statement}");
    assert_eq!(statement["tenants"].as_array().unwrap().len(), 1, "{statement}");
    let rows = printed(&[&["focus", "acme"], &time[..]].concat()).await;
    let mut rows = csv::Reader::from_reader(rows.as_bytes());
    let header = rows.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|column| column == name).unwrap();
    let billed =
        rows.records().map(|row| cents(row.unwrap().get(column("BilledCost")).unwrap())).sum::<f64>();
    assert_eq!((header.len(), billed), (57, total));
}

/// Each document is told to its tenants, once, whoever is killed between writing and noting that it was written; who has no namespace
/// yet is told when he has one, and who is gone holds nobody up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_are_told_what_they_have_on_documents() {
    let mut world = World::start(Setup::default()).await.unwrap();
    let definitions = definitions().unwrap();
    world.apply_all(&definitions).await.unwrap();
    let clock = Clock::find(world.directory()).unwrap();
    clock.set(0).unwrap();
    world.run_controller_by(&clock).unwrap();
    world.accepted(&definitions).await.unwrap();
    // Two tenants of one account, so that each is told his own part; one is billed before he has a namespace.
    let early = with(paid_by("acme", "acme"), "spec.billing.startOn", json!("SignUp"));
    let bolt = with(paid_by("bolt", "acme"), "spec.planRef.name", json!("gold"));
    world.apply_all(&[issuer(), account("EUR", "acme"), early, bolt]).await.unwrap();
    documents(&world, "acme", 1).await;
    documents(&world, "bolt", 1).await;
    told(&world, &["acme", "bolt"]).await;
    let own = records(&world, "tenant-acme").await;
    assert_eq!(
        own.iter().map(|record| record.spec.number.clone()).collect::<Vec<_>>(),
        numbers(&world, "acme").await
    );
    assert!(own.iter().all(|record| record.spec.net == "100.00" && record.spec.lines.len() == 1), "{own:?}");
    let others = records(&world, "tenant-bolt").await;
    assert!(
        others.iter().all(|record| record.spec.net == "300.00" && record.spec.lines.len() == 1),
        "{others:?}"
    );

    // A month later: one record is there already, as after a crash before it was noted, and stays as it is.
    world.kill_controller().unwrap();
    world.release_lease().await.unwrap();
    let before = numbers(&world, "acme").await;
    let all: BTreeSet<String> = before.iter().cloned().chain(numbers(&world, "bolt").await).collect();
    let next = format!("INV-001-{:03}", all.len() + 1);
    let mut early = own[0].clone();
    early.metadata.name = Some(next.to_lowercase());
    early.metadata.resource_version = None;
    early.metadata.uid = None;
    early.spec.number.clone_from(&next);
    let api = Api::<BillingRecord>::namespaced(world.client.clone(), "tenant-acme");
    let early = api.create(&PostParams::default(), &early).await.unwrap();
    clock.set(SECONDS_OF_A_MONTH).unwrap();
    world.run_controller_by(&clock).unwrap();
    documents(&world, "acme", before.len() + 1).await;
    told(&world, &["acme", "bolt"]).await;
    let now = records(&world, "tenant-acme").await;
    assert!(now.contains(&early), "{now:?}");
    assert_eq!(now.len(), before.len() + 1);

    // Records go with the namespace, and what is billed at the end is told to nobody.
    delete(&world, "bolt").await;
    wait::gone(Api::<TenantSubscription>::all(world.client.clone()), "bolt").await.unwrap();
    documents(&world, "bolt", others.len() + 2).await;
    told(&world, &["acme"]).await;
    assert_eq!(records(&world, "tenant-bolt").await, []);
}

/// Numbers of a tenant's documents.
async fn numbers(world: &World, name: &str) -> Vec<String> {
    let shown = shown(world, &["invoices", name]).await;
    shown.as_array().unwrap().iter().map(|one| one["number"].as_str().unwrap().to_owned()).collect()
}

/// Records of a namespace, by number.
async fn records(world: &World, namespace: &str) -> Vec<BillingRecord> {
    let api = Api::<BillingRecord>::namespaced(world.client.clone(), namespace);
    api.list(&ListParams::default()).await.unwrap().items
}

/// Waits until nothing is to be told, and proves that each of these has a record of each document.
async fn told(world: &World, names: &[&str]) {
    let waiting = async { while shown(world, &["ledger", "verify"]).await["untold"] != 0 {} };
    tokio::time::timeout(PATIENCE, waiting).await.expect("a record is not written");
    for name in names {
        let documents = shown(world, &["invoices", name]).await.as_array().unwrap().len();
        assert_eq!(records(world, &format!("tenant-{name}")).await.len(), documents, "{name}");
    }
}

/// Who ends is given what was billed until then, once, by a checksum that the receipt has; the last document comes after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_ends_is_given_his_invoices() {
    let mut world = World::start(Setup::default()).await.unwrap();
    let definitions = definitions().unwrap();
    world.apply_all(&definitions).await.unwrap();
    world.run_controller(&[]).unwrap();
    world.accepted(&definitions).await.unwrap();
    let archived = |order: Value| with(order, "spec.deletionPolicy", json!("Archive"));
    let free = archived(mail("bolt"));
    world
        .apply_all(&[issuer(), account("EUR", "acme"), archived(paid_by("acme", "acme")), free])
        .await
        .unwrap();
    let first = documents(&world, "acme", 1).await;
    world.until("acme", is_live).await.unwrap();
    world.until("bolt", stands("billing", ItemState::Waiting, "AccountNotNamed")).await.unwrap();

    delete(&world, "acme").await;
    delete(&world, "bolt").await;
    world.until("acme", is_archived).await.unwrap();
    world.until("bolt", is_archived).await.unwrap();
    let all = documents(&world, "acme", 2).await;
    assert_eq!((&all[..1], all[1][1].as_str()), (&first[..], "CreditNote"));
    // What is given stays as it was, whoever makes the receipt and whatever was billed since.
    world.kill_controller().unwrap();
    world.release_lease().await.unwrap();
    world.run_controller(&[]).unwrap();
    for name in ["acme", "bolt"] {
        world.tenantry(&["exit", name, "--end-keeping"]).await.unwrap();
        wait::gone(Api::<TenantSubscription>::all(world.client.clone()), name).await.unwrap();
    }
    let (given, documented) = handed_over(&world, "acme").await;
    let given: Value = serde_json::from_str(&given.unwrap()).unwrap();
    let shown = shown(&world, &["invoices", "acme"]).await;
    let count = given.as_array().unwrap().len();
    assert!((1..=2).contains(&count), "{given}");
    assert_eq!(
        (shown.as_array().unwrap().len(), &shown.as_array().unwrap()[..count]),
        (2, &given.as_array().unwrap()[..])
    );
    assert_eq!(documented, ["subscription.json", "accounts.json", "manifests.json", "invoices.json"]);
    let history = History::of(world.identity(), world.directory(), "acme").await.unwrap();
    assert_eq!(history.outcomes("Document", "invoices.json"), ["Kept"]);
    let (given, documented) = handed_over(&world, "bolt").await;
    assert_eq!((given, documented.len()), (None, 3), "nothing was charged");
}

async fn delete(world: &World, name: &str) {
    let subscriptions: Api<TenantSubscription> = Api::all(world.client.clone());
    subscriptions.delete(name, &kube::api::DeleteParams::default()).await.unwrap();
}

fn is_archived(subscription: &TenantSubscription) -> bool {
    subscription.status.as_ref().is_some_and(|status| status.phase == Some(Phase::Archived))
}

/// The invoices that are handed over, and the names of the documents whose checksums the receipt has right.
async fn handed_over(world: &World, name: &str) -> (Option<String>, Vec<String>) {
    let to = world.directory().join("handover").join(name);
    let database = process::journal(world.directory());
    let listed = world
        .tenantry(&["handover", name, "--to", to.to_str().unwrap(), "--database", &database])
        .await
        .unwrap();
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), NAMESPACE);
    let public = secrets.get("tenantry-receipt-key").await.unwrap().data.unwrap()["public.pem"].clone();
    let (key, receipt) = (to.join("key.pem"), to.join("receipt.jws"));
    std::fs::write(&key, public.0).unwrap();
    let verify = ["receipt", receipt.to_str().unwrap(), "--key", key.to_str().unwrap()];
    let says: Value = serde_json::from_str(&world.tenantry(&verify).await.unwrap()).unwrap();
    let documents = says["documents"].as_array().unwrap().iter().map(|document| {
        let (name, sum) = (document["name"].as_str().unwrap(), document["sha256"].as_str().unwrap());
        assert!(listed.contains(&format!("{sum}  {}", to.join(name).display())), "{name}: {listed}");
        name.to_owned()
    });
    (std::fs::read_to_string(to.join("invoices.json")).ok(), documents.collect())
}

/// While the database is away, tenants go on: only who is new waits for the ledger, and says so. When it is back, what happened
/// meanwhile is billed with the instants at which it happened, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_while_the_database_is_away_is_billed_once_when_it_is_back() {
    if let Some(missing) = Postgres::missing() {
        return skipped("what_happens_while_the_database_is_away_is_billed_once_when_it_is_back", &missing);
    }
    let mut postgres = Postgres::start().unwrap();
    let database = postgres.url("postgres");
    let mut world = World::start(Setup::default()).await.unwrap();
    let definitions = definitions().unwrap();
    world.apply_all(&definitions).await.unwrap();
    world.apply_all(&[issuer(), account("EUR", "acme")]).await.unwrap();
    world.run_controller(&["--database", &database]).unwrap();
    world.accepted(&definitions).await.unwrap();
    world.apply_all(&[paid_by("acme", "acme")]).await.unwrap();
    let billed = |acme: &TenantSubscription| is_live(acme) && billing(acme).next_invoice_date.is_some();
    world.until("acme", billed).await.unwrap();
    // The day's first charge is invoiced before the database goes, or the last of the day would be the only one.
    let invoiced = async {
        while shown_of(&world, &database, &["invoices", "acme"]).await.as_array().is_none_or(Vec::is_empty) {}
    };
    tokio::time::timeout(PATIENCE, invoiced).await.expect("acme is invoiced");

    postgres.kill();
    world.apply_all(&[paid_by("late", "acme")]).await.unwrap();
    let waits = |late: &TenantSubscription| {
        let entry = tenantry_e2e::wait::entry(late, "billing");
        let pending = stands("billing", ItemState::Waiting, "LedgerPending")(late);
        pending && entry.is_some_and(|entry| entry.message.contains("the ledger cannot be used now"))
    };
    world.until("late", waits).await.unwrap();
    world.until("late", stands("application", ItemState::Done, "ObjectsObserved")).await.unwrap();
    world.patch("acme", json!({"spec": {"planRef": {"name": "gold"}}})).await.unwrap();
    let gold = |acme: &TenantSubscription| {
        let plan = acme.status.as_ref().unwrap().plan.as_ref();
        is_live(acme) && plan.is_some_and(|plan| plan.current == "gold" && plan.leaving.is_empty())
    };
    let acme = world.until("acme", gold).await.unwrap();
    assert!(stands("billing", ItemState::Done, "InLedger")(&acme), "what the ledger has it keeps");
    world.kill_controller().unwrap();
    world.release_lease().await.unwrap();
    world.run_controller(&["--database", &database]).unwrap();

    postgres.restart().unwrap();
    world.until("late", billed).await.unwrap();
    let upgraded =
        |acme: &TenantSubscription| billing(acme).committed_amount.as_deref() == Some("300.00 EUR");
    world.until("acme", upgraded).await.unwrap();
    let proof = shown_of(&world, &database, &["ledger", "verify"]).await;
    assert_eq!((&proof["faults"], &proof["parked"]), (&json!([]), &json!([])), "{proof}");
    let documents = shown_of(&world, &database, &["invoices", "acme"]).await;
    let lines =
        documents.as_array().unwrap().iter().flat_map(|document| document["lines"].as_array().unwrap());
    let mine = lines.filter(|line| line["name"] == "acme");
    let said: Vec<String> = mine
        .map(|line| format!("{} {}", line["effect"].as_str().unwrap(), line["net"].as_str().unwrap()))
        .collect();
    assert_eq!(said, ["Charge 100.00", "Credit -100.00", "Charge 300.00"], "all on one day");

    // Who ends meanwhile is not stopped before his invoices are on record.
    world.patch("acme", json!({"spec": {"deletionPolicy": "Archive"}})).await.unwrap();
    postgres.kill();
    delete(&world, "acme").await;
    let waits = |acme: &TenantSubscription| {
        let entry = tenantry_e2e::wait::entry(acme, "exit-stop");
        entry.is_some_and(|entry| entry.message.contains("the customer's invoices: wait for the ledger"))
    };
    world.until("acme", waits).await.unwrap();
    assert!(world.running("tenant-acme").await.unwrap() > 0);
    postgres.restart().unwrap();
    world.until("acme", is_archived).await.unwrap();
    assert_eq!(world.running("tenant-acme").await.unwrap(), 0);
}

/// Without prices nothing of all this is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_without_prices_is_billed_by_nobody() {
    let mut world = World::start(Setup::default()).await.unwrap();
    let mut definitions = definitions().unwrap();
    for plan in definitions.iter_mut().filter(|object| object["kind"] == "ServicePlan") {
        let spec = plan["spec"].as_object_mut().unwrap();
        spec.remove("currency");
        spec.remove("charges");
    }
    world.apply_all(&definitions).await.unwrap();
    world.run_controller(&[]).unwrap();
    world.accepted(&definitions).await.unwrap();
    world.apply_all(&[mail("acme")]).await.unwrap();
    let acme = world.until("acme", is_live).await.unwrap();
    let status = acme.status.as_ref().unwrap();
    assert_eq!((&status.billing, &status.accepted.as_ref().unwrap().price_list), (&None, &None));
    assert!(stands("billing", ItemState::Skipped, "NotNeeded")(&acme));
    let proof = shown(&world, &["ledger", "verify"]).await;
    assert_eq!((&proof["accounts"], &proof["faults"]), (&json!(0), &json!([])), "{proof}");
}

/// What is counted in an order is charged by its price, from the day on which it changes; a minimum fills up what is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_are_charged_by_tiers_from_the_day_on_which_they_come() {
    let mut world = World::start(Setup::default()).await.unwrap();
    let tiers = json!([{"upTo": "1", "price": "10.00"}, {"price": "7.50"}]);
    let seats = json!({
        "name": "seats", "type": "Recurring", "interval": "Month", "unit": "Seat", "model": "Graduated", "tiers": tiers,
    });
    let by_seats = |plan: Value| match plan["metadata"]["name"] == "silver" && plan["kind"] == "ServicePlan" {
        true => {
            let minimum = json!({"amount": "40.00", "interval": "Month"});
            let plan = with(with(plan, "spec.charges", json!([seats])), "spec.minimum", minimum);
            with(plan, "spec.introduction", json!({"months": 3, "percent": "20"}))
        }
        false => plan,
    };
    let definitions: Vec<Value> = definitions().unwrap().into_iter().map(by_seats).collect();
    world.apply_all(&definitions).await.unwrap();
    let clock = Clock::find(world.directory()).unwrap();
    clock.set(0).unwrap();
    world.run_controller_by(&clock).unwrap();
    world.accepted(&definitions).await.unwrap();
    let person =
        |name: &str| json!({"name": name, "email": format!("{name}@acme.example"), "roles": ["user"]});
    let two = with(paid_by("acme", "acme"), "spec.users", json!([person("ada"), person("bo")]));
    world.apply_all(&[issuer(), account("EUR", "acme"), two]).await.unwrap();
    let counted = |seats: i64| {
        move |acme: &TenantSubscription| {
            let quantities = billing(acme).quantities;
            is_live(acme) && quantities.is_some_and(|counted| counted.seats == seats)
        }
    };
    world.until("acme", counted(2)).await.unwrap();
    // 10.00 and 7.50, less 20 %.
    let first = documents(&world, "acme", 1).await;
    assert_eq!((first[0][1].as_str(), first[0][2].as_str()), ("Invoice", "14.00"));

    // Whoever is killed before the journal has it counts it once.
    world
        .patch("acme", json!({"spec": {"users": [person("ada"), person("bo"), person("cy")]}}))
        .await
        .unwrap();
    world.until("acme", counted(3)).await.unwrap();
    world.kill_controller().unwrap();
    world.release_lease().await.unwrap();
    world.run_controller_by(&clock).unwrap();
    let second = documents(&world, "acme", 2).await;
    assert_eq!(second[1][2], "6.00", "7.50 less 20 %, for the whole of the first month");
    let page = shown(&world, &["invoice", &second[1][0]]).await;
    let said: Vec<String> = page["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| format!("{} {} {}", line["effect"].as_str().unwrap(), line["quantity"], line["net"]))
        .collect();
    assert_eq!(said, ["Credit \"-2\" \"-14.00\"", "Charge \"3\" \"20.00\""]);

    // A month later the minimum fills up what is missing, and the next month costs 20.00 again.
    world.kill_controller().unwrap();
    world.release_lease().await.unwrap();
    clock.set(SECONDS_OF_A_MONTH).unwrap();
    world.run_controller_by(&clock).unwrap();
    let third = documents(&world, "acme", 3).await;
    assert_eq!(third[2][2], "40.00");
    assert_eq!(billing(&world.until("acme", counted(3)).await.unwrap()).quantities.unwrap().revision, 2);
    let proof = shown(&world, &["ledger", "verify"]).await;
    assert_eq!((&proof["faults"], &proof["parked"]), (&json!([]), &json!([])), "{proof}");
}

/// Who holds two applications pays less for both, and what a coupon takes off it takes off once the order of computation says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bundles_and_coupons_reduce_what_an_account_pays() {
    let mut world = World::start(Setup::default()).await.unwrap();
    let definitions = definitions().unwrap();
    world.apply_all(&definitions).await.unwrap();
    world.run_controller(&[]).unwrap();
    world.accepted(&definitions).await.unwrap();
    let bundle = json!([{"name": "office", "applications": ["erp", "mail"], "percent": "10"}]);
    let coupons = json!([{"name": "partner", "percent": "50", "charges": ["base"]}, {"name": "welcome", "amount": "5.00"}]);
    let account = with(account("EUR", "acme"), "spec.coupons", coupons);
    let sign_up = |order: Value| {
        with(order, "spec.billing", json!({"accountRef": {"name": "acme"}, "startOn": "SignUp"}))
    };
    world.apply_all(&[with(issuer(), "spec.bundles", bundle), account, sign_up(mail("acme"))]).await.unwrap();
    // 100.00, less 50 %, less 5.00.
    assert_eq!(documents(&world, "acme", 1).await[0][2], "45.00");
    world.apply_all(&[sign_up(erp("bolt"))]).await.unwrap();
    // 300.00 less 10 %, 50 % and 5.00; and what mail costs less from today on is given back in the share in which it was paid.
    let all = documents(&world, "bolt", 1).await;
    let page = shown(&world, &["invoice", &all[0][0]]).await;
    let mut said: Vec<String> = page["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            let text = |field: &str| line[field].as_str().unwrap();
            format!("{} {} {} {}", text("name"), text("effect"), text("amount"), text("net"))
        })
        .collect();
    said.sort();
    assert_eq!(said[..2], ["acme Charge 90.00 43.75", "acme Credit -100.00 -45.00"], "{page}");
    assert_eq!(said[2..], ["bolt Charge 270.00 131.25"], "{page}");
    assert_eq!(page["net"], "130.00");
    let proof = shown(&world, &["ledger", "verify"]).await;
    assert_eq!((&proof["faults"], &proof["parked"]), (&json!([]), &json!([])), "{proof}");
}
