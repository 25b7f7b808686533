//! What tenants use, from a real Prometheus to the ledger: a load that is known beforehand, hour by hour.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a test may fail loudly"
)]

use jiff::Timestamp;
use kube::api::Api;
use serde_json::{Value, json};
use std::path::Path;
use tenantry_control_plane::skipped;
use tenantry_crds::HostedApplication;
use tenantry_e2e::clock::Clock;
use tenantry_e2e::load::{Claim, Exporter, Job, Load, Pod};
use tenantry_e2e::orders::with;
use tenantry_e2e::people::tenantry;
use tenantry_e2e::priced::{account, definitions, is_billed, issuer, paid_by};
use tenantry_e2e::prometheus::{Prometheus, backfill, promtool};
use tenantry_e2e::wait::PATIENCE;
use tenantry_e2e::{Controller, Setup, World, metrics, process};
use tenantry_metering::used::{Exporter as Measuring, Measure};

const HOUR: i64 = 3600;
const GIB: f64 = 1_073_741_824.0;
const MIB: f64 = 1_048_576.0;
/// Seconds between two scrapes, and for how long a series is there after the last one: see [`Prometheus::start`].
const SCRAPE: usize = 15;
const LOOKBACK: &str = "16s";
/// Nothing is scraped: everything is there already.
const SILENT: &str = "global: {scrape_interval: 15s}\n";
/// How far what is told may be off what was used.
const CLOSE: f64 = 0.005;
const METERS: [&str; 4] = ["cores", "held", "kept", "sent"];

/// Whether a test that needs a Prometheus can run here.
fn can_run(test: &str) -> bool {
    let missing = Prometheus::missing();
    if let Some(missing) = &missing {
        skipped(test, missing);
    }
    missing.is_none()
}

/// The shipped definitions, where the mail service's use is measured and priced.
fn measured() -> Vec<Value> {
    let mut definitions = definitions().unwrap();
    for object in &mut definitions {
        let is = |kind: &str, name: &str| object["kind"] == kind && object["metadata"]["name"] == name;
        if is("HostedApplication", "mail") {
            let meters = json!([
                {"name": "cores", "source": "Used", "of": "Cpu", "unit": "MillicoreSecond"},
                {"name": "held", "source": "Used", "of": "Memory", "unit": "MebibyteSecond"},
                {"name": "kept", "source": "Used", "of": "Storage", "unit": "MebibyteSecond"},
                {"name": "sent", "source": "Used", "of": "Egress", "unit": "Byte"},
            ]);
            *object = with(object.clone(), "spec.meters", meters);
        } else if is("ServicePlan", "silver") {
            let charges = json!([
                {"name": "base", "type": "Recurring", "interval": "Month", "price": "100.00"},
                {"name": "computing", "type": "Usage", "interval": "Month", "meter": "cores", "per": "3600000", "price": "0.10"},
            ]);
            *object = with(object.clone(), "spec.charges", charges);
        }
    }
    definitions
}

/// A load around the hours that begin at `first`: two tenants, somebody who is none, pods that are there all the time, and some that
/// come and go amid the second hour.
fn load(first: i64) -> Load {
    let pod =
        |namespace, name, there, cores, memory, egress| Pod { namespace, name, there, cores, memory, egress };
    let always = first - HOUR..first + 8 * HOUR;
    let within = |from: i64, to: i64| first + HOUR + from..first + HOUR + to;
    Load {
        pods: vec![
            pod("tenant-acme", "web", always.clone(), 0.25, 2.0 * GIB, 40_000.0),
            pod("tenant-acme", "batch", within(1203, 2403), 2.0, 3.0 * GIB, 900_000.0),
            pod("tenant-acme", "spike", within(601, 1801), 0.75, GIB, 1_000.0),
            pod("tenant-bolt", "web", first - HOUR..first + 3 * HOUR, 0.1, GIB / 2.0, 5_000.0),
            pod("kube-system", "dns", always.clone(), 0.3, GIB, 70_000.0),
            pod("shop", "web", always.clone(), 4.0, 9.0 * GIB, 9e6),
        ],
        claims: vec![
            Claim { namespace: "tenant-acme", there: always.clone(), bytes: 5.0 * GIB },
            Claim { namespace: "tenant-bolt", there: within(1803, 9 * HOUR), bytes: 2.0 * GIB },
            Claim { namespace: "shop", there: always, bytes: 70.0 * GIB },
        ],
    }
}

/// What of a load the ledger is to have of some hours, by meter, in the meters' units.
fn expected(load: &Load, namespace: &str, hours: &[i64]) -> [f64; 4] {
    hours.iter().fold([0.0; 4], |sum, hour| {
        let time = *hour..*hour + HOUR;
        let [cores, memory, egress] = load.used(namespace, &time);
        let kept = load.claimed(namespace, &time);
        let of_hour = [cores * 1000.0, memory / MIB, kept / MIB, egress];
        std::array::from_fn(|at| sum[at] + of_hour[at])
    })
}

/// What `tenantry usage` says of each meter of a subscription's one tenant.
async fn meters(world: &World, name: &str) -> Vec<Value> {
    let database = process::journal(world.directory());
    let arguments =
        ["usage", name, "--from", "2020-01-01", "--to", "2100-01-01", "-o", "json", "--database", &database];
    let said = tenantry(&world.cluster.kubeconfig(), &arguments).await.unwrap();
    let used: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(used["tenants"].as_array().unwrap().len(), 1, "{used}");
    used["tenants"][0]["meters"].as_array().unwrap().clone()
}

fn number(meters: &[Value], name: &str) -> f64 {
    let meter = meters.iter().find(|meter| meter["meter"] == name);
    meter.map_or(-1.0, |meter| meter["inLedger"].as_str().unwrap().parse().unwrap())
}

/// Waits until the ledger has of a tenant what a load comes to in some hours.
async fn until_told(world: &World, name: &str, expected: [f64; 4]) -> Vec<Value> {
    let mut seen = Vec::new();
    let is_close = |seen: &[Value]| {
        METERS.iter().zip(expected).all(|(meter, expected)| {
            let told = number(seen, meter);
            (told - expected).abs() <= expected * CLOSE
        })
    };
    let waiting = async {
        loop {
            seen = meters(world, name).await;
            if is_close(&seen) {
                break;
            }
        }
    };
    let told = tokio::time::timeout(PATIENCE, waiting).await;
    let controller = world.controller.as_ref().unwrap().log().unwrap();
    assert!(told.is_ok(), "{name}: expected {expected:?}, and there is {seen:#?}\n{controller}");
    for (meter, expected) in METERS.iter().zip(expected) {
        let told = number(&seen, meter);
        println!(
            "{name} {meter}: told {told}, used {expected:.0}, off by {:.4} %",
            100.0 * (told - expected) / expected.max(1.0)
        );
    }
    seen
}

/// Waits until the mail service's condition `Measured` has a reason, and gives its message.
async fn until_said(world: &World, reason: &str) -> String {
    let applications: Api<HostedApplication> = Api::all(world.client.clone());
    let said = async {
        loop {
            let conditions = applications.get("mail").await.unwrap().status.unwrap_or_default().conditions;
            let measured = conditions.into_iter().find(|one| one.type_ == "Measured" && one.reason == reason);
            if let Some(measured) = measured {
                break measured.message;
            }
        }
    };
    tokio::time::timeout(PATIENCE, said).await.unwrap_or_else(|_| panic!("it is never {reason}"))
}

/// Ends the controller, and starts one by whose clock so many seconds went by since the test began.
async fn go_on(world: &mut World, clock: &Clock, seconds: i64, arguments: &[&str]) {
    world.kill_controller().unwrap();
    world.release_lease().await.unwrap();
    clock.set(seconds).unwrap();
    let controller =
        Controller::start_by(Some(clock), world.identity(), world.directory(), arguments).unwrap();
    world.controller = Some(controller);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_used_in_an_hour_is_in_the_ledger_once_and_what_was_not_measured_is_missing() {
    if !can_run("what_was_used_in_an_hour_is_in_the_ledger_once_and_what_was_not_measured_is_missing") {
        return;
    }
    let mut world = World::start(Setup::default()).await.unwrap();
    let definitions = measured();
    world.apply_all(&definitions).await.unwrap();
    let clock = Clock::find(world.directory()).unwrap();
    clock.set(0).unwrap();
    let begun = Timestamp::now().as_second();
    let first = begun - begun.rem_euclid(HOUR);
    world.run_controller_by(&clock).unwrap();
    world.accepted(&definitions).await.unwrap();
    // Nobody can be asked, and that is said where the meters are declared.
    let said = until_said(&world, "PrometheusNotConfigured").await;
    assert!(said.contains("cores, held, kept, sent") && said.contains("--prometheus-url"), "{said}");
    world.apply_all(&[issuer(), account("EUR", "acme"), account("EUR", "bolt")]).await.unwrap();
    world.apply_all(&[paid_by("acme", "acme"), paid_by("bolt", "bolt")]).await.unwrap();
    world.until("acme", is_billed).await.unwrap();
    world.until("bolt", is_billed).await.unwrap();
    // Whoever runs this at the end of an hour is charged from the next one on.
    let status = world.until("bolt", is_billed).await.unwrap().status.unwrap();
    let since = status.billing.unwrap().since.unwrap().0.as_second();
    let begin = first.max(since - since.rem_euclid(HOUR));
    let until = |hours: i64, minutes: i64| begin + hours * HOUR + minutes * 60 - begun;

    // Two hours are over. What one node used amid the second one comes late; of the third a half will never have been scraped.
    let known = load(begin);
    let late = Pod {
        namespace: "tenant-bolt",
        name: "late",
        there: begin + HOUR + 903..begin + HOUR + 2703,
        cores: 1.0,
        memory: GIB,
        egress: 20_000.0,
    };
    let data = world.directory().join("prometheus");
    let hole = begin + 2 * HOUR + 600..begin + 2 * HOUR + 2400;
    backfill(&data, &known.history(&(begin - HOUR..hole.start), SCRAPE)).unwrap();
    backfill(&data, &known.history(&(hole.end..begin + 4 * HOUR + 600), SCRAPE)).unwrap();
    let prometheus = Prometheus::start(&data, SILENT, LOOKBACK).unwrap();
    let url = prometheus.url();
    go_on(&mut world, &clock, until(2, 6), &["--prometheus-url", &url]).await;
    let two = [begin, begin + HOUR];
    until_told(&world, "acme", expected(&known, "tenant-acme", &two)).await;
    let seen = until_told(&world, "bolt", expected(&known, "tenant-bolt", &two)).await;
    let cores = seen.iter().find(|meter| meter["meter"] == "cores").unwrap();
    assert_eq!(
        (&cores["source"], &cores["unit"], &cores["missing"]),
        (&json!("Used"), &json!("MillicoreSecond"), &json!([]))
    );
    until_said(&world, "Told").await;
    let all = [meters(&world, "acme").await, meters(&world, "bolt").await];

    // Who begins anew reads an hour once more, and tells nothing twice.
    let answered = prometheus.answered().unwrap();
    go_on(&mut world, &clock, until(2, 10), &["--prometheus-url", &url]).await;
    let read = async { while prometheus.answered().unwrap() < answered + 4.0 {} };
    tokio::time::timeout(PATIENCE, read).await.expect("it reads nothing once more");
    assert_eq!([meters(&world, "acme").await, meters(&world, "bolt").await], all);

    // What came late is a difference of its hour; an hour that was half measured is missing and not guessed.
    drop(prometheus);
    let came = Load { pods: vec![late.clone()], claims: Vec::new() };
    backfill(&data, &came.history(&(late.there.start - 3..late.there.end), SCRAPE)).unwrap();
    let all_known = Load { pods: [known.pods.clone(), vec![late]].concat(), ..known.clone() };
    let prometheus = Prometheus::start(&data, SILENT, LOOKBACK).unwrap();
    let url = prometheus.url();
    go_on(&mut world, &clock, until(3, 6), &["--prometheus-url", &url]).await;
    let said = until_said(&world, "HoursMissing").await;
    assert!(said.contains("the cAdvisor of the kubelets measured less than 90 %"), "{said}");
    until_told(&world, "acme", expected(&known, "tenant-acme", &two)).await;
    let seen = until_told(&world, "bolt", expected(&all_known, "tenant-bolt", &two)).await;
    let at = |second: i64| Timestamp::from_second(second).unwrap().to_string();
    for meter in &seen {
        let missing = meter["missing"].as_array().unwrap();
        assert_eq!(missing.len(), 1, "{meter}");
        assert_eq!(
            (&missing[0]["from"], &missing[0]["to"]),
            (&json!(at(begin + 2 * HOUR)), &json!(at(begin + 3 * HOUR)))
        );
    }
    let admin = world.controller.as_ref().unwrap().admin();
    assert_eq!(metrics::total(admin, "tenantry_usage_missing_hours").unwrap(), 4.0);

    // Once it can be read it is told, together with an hour in which one tenant had nothing that runs.
    drop(prometheus);
    backfill(&data, &all_known.history(&hole, SCRAPE)).unwrap();
    let prometheus = Prometheus::start(&data, SILENT, LOOKBACK).unwrap();
    let url = prometheus.url();
    go_on(&mut world, &clock, until(4, 6), &["--prometheus-url", &url]).await;
    let four = [begin, begin + HOUR, begin + 2 * HOUR, begin + 3 * HOUR];
    let seen = until_told(&world, "acme", expected(&all_known, "tenant-acme", &four)).await;
    let cores = seen.iter().find(|meter| meter["meter"] == "cores").unwrap();
    assert!(
        cores["priced"].as_array().is_some_and(|priced| !priced.is_empty()),
        "it costs something: {cores}"
    );
    let seen = until_told(&world, "bolt", expected(&all_known, "tenant-bolt", &four)).await;
    assert!(seen.iter().all(|meter| meter["missing"] == json!([])), "{seen:#?}");
    until_said(&world, "Told").await;
    let admin = world.controller.as_ref().unwrap().admin();
    assert_eq!(metrics::total(admin, "tenantry_usage_missing_hours").unwrap(), 0.0);
    let database = process::journal(world.directory());
    let arguments = ["ledger", "verify", "-o", "json", "--database", &database];
    let proof: Value =
        serde_json::from_str(&tenantry(&world.cluster.kubeconfig(), &arguments).await.unwrap()).unwrap();
    assert_eq!((&proof["faults"], &proof["parked"]), (&json!([]), &json!([])), "{proof}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prometheus_scrapes_the_load_as_it_is() {
    if !can_run("a_prometheus_scrapes_the_load_as_it_is") {
        return;
    }
    let exporter = Exporter::start(load(Timestamp::now().as_second())).await.unwrap();
    let job = |job: Job| {
        let (name, target) = (job.name(), exporter.address);
        format!(
            "- {{job_name: {name}, metrics_path: /{name}, static_configs: [{{targets: ['{target}']}}]}}\n"
        )
    };
    let jobs: String = Job::ALL.into_iter().map(job).collect();
    let configuration =
        format!("global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\nscrape_configs:\n{jobs}");
    let directory = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(directory.path(), &configuration, "5m").unwrap();
    let result = |query: &str| prometheus.ask(query).unwrap();
    let waiting = async {
        loop {
            let scraped = result(
                "min(count_over_time(container_cpu_usage_seconds_total%7Bnamespace=\"tenant-acme\"%7D[1m]))",
            );
            let scrapes: f64 = scraped[0]["value"][1].as_str().unwrap_or("0").parse().unwrap();
            if scrapes >= 5.0 {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it scrapes nothing");
    let up = result("up");
    assert_eq!(up.as_array().unwrap().len(), 2, "{up}");
    assert!(up.as_array().unwrap().iter().all(|one| one["value"][1] == "1"), "{up}");
    let rate =
        result("sum(rate(container_cpu_usage_seconds_total%7Bnamespace=\"shop\",container!=\"\"%7D[1m]))");
    let rate: f64 = rate[0]["value"][1].as_str().unwrap().parse().unwrap();
    // Whole seconds of a counter over a few scrapes: it goes up, by four cores or thereabouts.
    assert!(rate >= 0.0, "{rate}");
    let claims = result("sum(kube_persistentvolumeclaim_resource_requests_storage_bytes)");
    assert_eq!(claims[0]["value"][1], json!(format!("{:.0}", 75.0 * GIB)), "{claims}");
}

/// What questions say of series that promtool makes up, minute by minute.
fn rules(directory: &Path, series: &Value, expected: &[(String, Value)]) {
    let expression = |(expression, samples): &(String, Value)| json!({"expr": format!("round({expression}, 0.001)"), "eval_time": "60m", "exp_samples": samples});
    let expressions: Vec<Value> = expected.iter().map(expression).collect();
    let tests = json!({
        "rule_files": [], "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": expressions}],
    });
    let file = directory.join("tests.yml");
    std::fs::write(&file, tests.to_string()).unwrap();
    promtool(&["test", "rules", &file.display().to_string()]).unwrap();
}

#[test]
fn every_question_counts_minutes_in_which_somebody_was_there() {
    if !can_run("every_question_counts_minutes_in_which_somebody_was_there") {
        return;
    }
    let of = |measure: Measure| measure.question("tenant-");
    let one = |namespace: &str, value: f64| json!({"labels": format!("{{namespace=\"{namespace}\"}}"), "value": value});
    let series = |series: &str, values: &str| json!({"series": series, "values": values});
    let memory = |namespace: &str, values: &str| {
        series(
            &format!(
                "container_memory_working_set_bytes{{namespace=\"{namespace}\",pod=\"p\",container=\"c\"}}"
            ),
            values,
        )
    };
    let cpu = |namespace: &str, container: &str, values: &str| {
        let labels = format!("namespace=\"{namespace}\",pod=\"p\",container=\"{container}\"");
        series(&format!("container_cpu_usage_seconds_total{{{labels}}}"), values)
    };
    let directory = tempfile::tempdir().unwrap();
    // One tenant is there all the time, one for the last twenty minutes, one takes off what it used by a series of its own.
    rules(
        directory.path(),
        &json!([
            memory("tenant-t1", "2147483648x60"),
            memory("tenant-t2", "_x41 3221225472x19"),
            memory("tenant-t3", "-1073741824x60"),
            memory("shop", "1x60"),
            cpu("tenant-t1", "c", "0+30x60"),
            cpu("tenant-t1", "", "0+30x60"),
            cpu("tenant-t1", "POD", "0+1x60"),
            cpu("shop", "c", "0+60x60"),
            // It began anew after half an hour.
            cpu("tenant-t2", "c", "0+30x30 30+30x29"),
            series(
                "container_network_transmit_bytes_total{namespace=\"tenant-t1\",pod=\"p\",interface=\"eth0\"}",
                "0+1000x60"
            ),
            series(
                "container_network_transmit_bytes_total{namespace=\"tenant-t1\",pod=\"p\",interface=\"lo\"}",
                "0+9000x60"
            ),
            series(
                "kube_persistentvolumeclaim_resource_requests_storage_bytes{namespace=\"tenant-t2\"}",
                "_x41 10737418240x19"
            ),
        ]),
        &[
            (
                of(Measure::Memory),
                json!([one("tenant-t1", 60.0 * 2.0 * GIB), one("tenant-t2", 20.0 * 3.0 * GIB)]),
            ),
            (of(Measure::Cpu), json!([one("tenant-t1", 1800.0), one("tenant-t2", 1800.0)])),
            (of(Measure::Egress), json!([one("tenant-t1", 60_000.0)])),
            (of(Measure::Storage), json!([one("tenant-t2", 20.0 * 10.0 * GIB)])),
        ],
    );
    let share = |value: f64| json!([{"labels": "{}", "value": value}]);
    let covered = Measuring::Cadvisor.coverage("tenant-");
    let own = |values: &str| series("container_cpu_usage_seconds_total{job=\"kubelet\",id=\"/\"}", values);
    let up = |instance: &str, values: &str| {
        series(&format!("up{{job=\"kubelet\",instance=\"{instance}\"}}"), values)
    };
    let theirs = [
        series("up{job=\"evil\",namespace=\"tenant-t1\"}", "0x60"),
        series("container_cpu_usage_seconds_total{job=\"evil\",namespace=\"tenant-t1\"}", "0x60"),
        series("up{job=\"other\"}", "0x60"),
    ];
    for (of_kubelets, expected) in [
        // All of it, one of two nodes for half of it, nothing known of half of it, nobody there at all.
        (vec![own("0x60"), up("a", "1x60"), up("b", "1x60")], share(1.0)),
        (vec![own("0x60"), up("a", "1x60"), up("b", "1x30 0x29")], share(0.75)),
        (vec![own("0x30 stale"), up("a", "1x30 stale")], share(0.5)),
        (Vec::new(), json!([])),
    ] {
        let series: Vec<Value> = of_kubelets.into_iter().chain(theirs.clone()).collect();
        rules(directory.path(), &json!(series), &[(covered.clone(), expected)]);
    }
}
