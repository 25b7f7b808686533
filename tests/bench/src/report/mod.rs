//! Numbers and pictures of a run. Needs the file system; the rest is pure.

pub mod machine;
mod page;
mod svg;

use crate::blast::{self, Mode, Shot};
use crate::measure::statistics::{Summary, median, ratio};
use crate::session::{Record, Run};
use anyhow::{Context, Result};
use machine::Machine;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use tenantry_control_plane::Profile;

/// Workloads that make objects, and so can be compared with the raw limit.
const WITH_RATIO: [&str; 4] = ["W2", "W5", "W6", "W8"];

/// What `report.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Where it ran.
    pub machine: Machine,
    /// The raw limit, by profile and mode.
    pub blast: BTreeMap<String, BTreeMap<&'static str, Limit>>,
    /// By contender and workload.
    pub contenders: BTreeMap<String, BTreeMap<String, Outcome>>,
}

/// Medians of the series of one mode of blast.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limit {
    /// Objects a second.
    pub objects_per_second: f64,
    /// Requests in flight.
    pub in_flight: usize,
    /// Time of the middle request.
    pub p50_ms: f64,
    /// All but one in a hundred took no longer.
    pub p99_ms: f64,
    /// How many series.
    pub repetitions: usize,
}

/// Medians of the runs of one contender in one workload. Absent numbers are `null`: the workload has no such thing.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Objects a second.
    pub objects_per_second: Option<f64>,
    /// That as a share of what blast made in the same turn.
    pub ratio_to_blast: Option<f64>,
    /// Middle of the waits.
    pub p50_ms: Option<f64>,
    /// All but one in a hundred waited no longer.
    pub p99_ms: Option<f64>,
    /// Requests of the counting run.
    pub requests_by_verb: BTreeMap<String, u64>,
    /// Processor seconds.
    pub cpu_seconds: Option<f64>,
    /// Largest memory.
    #[serde(rename = "peakRssMiB")]
    pub peak_rss_mib: Option<f64>,
    /// How many runs.
    pub repetitions: usize,
}

// === impl Report ===

impl Report {
    /// Sums a record up.
    #[must_use]
    pub fn of(record: &Record, machine: Machine) -> Self {
        let mut blast: BTreeMap<String, BTreeMap<&'static str, Limit>> = BTreeMap::new();
        for profile in [Profile::P0, Profile::P1] {
            let limits =
                Mode::ALL.iter().filter_map(|mode| Some((mode.key(), limit(&record.blast, profile, *mode)?)));
            blast.insert(profile.to_string(), limits.collect());
        }
        let mut contenders: BTreeMap<String, BTreeMap<String, Outcome>> = BTreeMap::new();
        for (contender, workload) in keys(record) {
            let counts = record.counts.get(&contender).and_then(|counts| counts.get(&workload));
            let requests = counts.map(|count| count.by_verb.clone()).unwrap_or_default();
            let outcome = Outcome::of(&runs(record, &contender, &workload), requests);
            contenders.entry(contender).or_default().insert(workload, outcome);
        }
        Self { machine, blast, contenders }
    }

    /// Writes `report.json`, `runs.json` (every run and series with all its figures) and `report.html`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, record: &Record, directory: &Path) -> Result<()> {
        std::fs::create_dir_all(directory)?;
        let files = [
            ("report.json", serde_json::to_string_pretty(self)?),
            ("runs.json", serde_json::to_string_pretty(record)?),
            ("report.html", page::page(self, record)),
        ];
        for (name, text) in files {
            let path = directory.join(name);
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

// === impl Outcome ===

impl Outcome {
    fn of(runs: &[&Run], requests_by_verb: BTreeMap<String, u64>) -> Self {
        let middle = |figure: Figure| median(&samples(runs, figure));
        Self {
            objects_per_second: middle(Figure::ObjectsPerSecond),
            ratio_to_blast: middle(Figure::RatioToBlast),
            p50_ms: middle(Figure::P50),
            p99_ms: middle(Figure::P99),
            requests_by_verb,
            cpu_seconds: middle(Figure::Cpu),
            peak_rss_mib: middle(Figure::Memory),
            repetitions: runs.len(),
        }
    }
}

/// One figure of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    ObjectsPerSecond,
    RatioToBlast,
    P50,
    P99,
    Cpu,
    ControlPlaneCpu,
    Memory,
}

// === impl Figure ===

impl Figure {
    fn of(self, run: &Run) -> Option<f64> {
        let figures = &run.figures;
        match self {
            Self::ObjectsPerSecond => figures.objects_per_second,
            Self::RatioToBlast => {
                let workload = run.workload.split('-').next().unwrap_or_default();
                let rate = figures.objects_per_second.filter(|_| WITH_RATIO.contains(&workload))?;
                ratio(rate, run.blast_beside?)
            }
            Self::P50 => figures.p50_ms,
            Self::P99 => figures.p99_ms,
            Self::Cpu => figures.cpu_seconds,
            Self::ControlPlaneCpu => figures.control_plane_cpu_seconds,
            Self::Memory => figures.peak_rss_mib,
        }
    }
}

/// What the runs of one contender in one workload came to.
pub(crate) fn summary(record: &Record, contender: &str, workload: &str, figure: Figure) -> Option<Summary> {
    Summary::of(&samples(&runs(record, contender, workload), figure))
}

fn samples(runs: &[&Run], figure: Figure) -> Vec<f64> {
    runs.iter().filter_map(|run| figure.of(run)).collect()
}

fn runs<'a>(record: &'a Record, contender: &str, workload: &str) -> Vec<&'a Run> {
    record.runs.iter().filter(|run| run.contender == contender && run.workload == workload).collect()
}

/// Contenders and workloads that were run or counted.
fn keys(record: &Record) -> Vec<(String, String)> {
    let run = record.runs.iter().map(|run| (run.contender.clone(), run.workload.clone()));
    let mut keys: Vec<_> = run.collect();
    keys.sort();
    keys.dedup();
    keys
}

fn limit(shots: &[Shot], profile: Profile, mode: Mode) -> Option<Limit> {
    let series: Vec<&Shot> =
        shots.iter().filter(|shot| !shot.sweep && shot.profile == profile && shot.mode == mode).collect();
    let middle = |of: fn(&Shot) -> f64| median(&series.iter().map(|shot| of(shot)).collect::<Vec<_>>());
    Some(Limit {
        objects_per_second: blast::rate(shots, profile, mode)?,
        in_flight: series.first()?.in_flight,
        p50_ms: middle(|shot| shot.p50_ms)?,
        p99_ms: middle(|shot| shot.p99_ms)?,
        repetitions: series.len(),
    })
}

#[cfg(test)]
mod tests;
