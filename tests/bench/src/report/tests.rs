//! The form of the report, and that its numbers are those of the runs.

use super::*;
use crate::session::Count;
use crate::workload::Figures;
use serde_json::{Value, json};

fn run(contender: &str, workload: &str, repetition: usize, rate: f64, beside: f64) -> Run {
    let figures = Figures {
        objects_per_second: Some(rate),
        cpu_seconds: Some(2.0),
        peak_rss_mib: Some(40.0),
        ..Figures::of_times(&[10.0, 20.0, rate])
    };
    let figures = figures.and("storm", Some(7.0)).and("zeal", Some(1.0));
    let (contender, workload) = (contender.to_owned(), workload.to_owned());
    Run { contender, workload, repetition, figures, blast_beside: Some(beside) }
}

fn shot(profile: Profile, mode: Mode, objects_per_second: f64) -> Shot {
    Shot {
        profile,
        mode,
        sweep: false,
        in_flight: 32,
        objects: 240,
        objects_per_second,
        p50_ms: 1.0,
        p99_ms: 9.0,
        control_plane_cpu_seconds: 1.0,
    }
}

pub(super) fn record() -> Record {
    let count = Count { by_verb: [("create".to_owned(), 25)].into(), object_writes: 25, tenants: 1 };
    Record {
        blast: vec![shot(Profile::P0, Mode::Post, 900.0), shot(Profile::P1, Mode::Post, 400.0)],
        runs: vec![
            run("a<b", "W2", 0, 300.0, 400.0),
            run("a<b", "W2", 1, 200.0, 400.0),
            run("a<b", "W2", 2, 360.0, 400.0),
            run("a<b", "W1", 0, 48.0, 400.0),
            run("other", "W2", 0, 30.0, 300.0),
        ],
        counts: [("a<b".to_owned(), [("W2".to_owned(), count)].into())].into(),
    }
}

fn machine() -> Machine {
    Machine::read(&|_| None)
}

fn json_of(report: &Report) -> Value {
    serde_json::to_value(report).unwrap()
}

#[test]
fn medians_are_reported_under_the_agreed_keys() {
    let report = json_of(&Report::of(&record(), machine()));
    let outcome = &report["contenders"]["a<b"]["W2"];
    let expected = json!({
        "objectsPerSecond": 300.0, "ratioToBlast": 0.75, "p50Ms": 20.0, "p99Ms": 300.0,
        "requestsByVerb": {"create": 25}, "cpuSeconds": 2.0, "peakRssMiB": 40.0, "repetitions": 3,
    });
    assert_eq!(*outcome, expected);
    let keys: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["blast", "contenders", "machine"]);
    assert_eq!(report["blast"]["P1"]["post"]["objectsPerSecond"], 400.0);
    assert_eq!(report["blast"]["P0"]["post"]["inFlight"], 32);
}

#[test]
fn only_what_makes_objects_is_compared_with_the_limit() {
    let report = json_of(&Report::of(&record(), machine()));
    assert_eq!(report["contenders"]["a<b"]["W1"]["ratioToBlast"], Value::Null);
    assert_eq!(report["contenders"]["other"]["W2"]["ratioToBlast"], 0.1, "by the series of the same turn");
    assert_eq!(report["contenders"]["other"]["W2"]["requestsByVerb"], json!({}));
}

#[test]
fn the_files_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let (record, target) = (record(), directory.path().join("bench"));
    Report::of(&record, machine()).write(&record, &target).unwrap();
    let read = |name: &str| std::fs::read_to_string(target.join(name)).unwrap();
    let runs: Value = serde_json::from_str(&read("runs.json")).unwrap();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 5);
    assert_eq!(runs["runs"][0]["figures"]["objectsPerSecond"], 300.0);
    assert!(serde_json::from_str::<Value>(&read("report.json")).is_ok());
    assert!(read("report.html").contains("<svg"));
}
