//! Many plans one after the other, and what came of them. Needs a client, a clock and processes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::history::Record;
use crate::oracle::outcome::Reference;
use crate::oracle::requests::is_destructive;
use crate::oracle::{Finding, judge};
use crate::plan::{Fault, Plan, Workload};
use crate::stage::Stage;

/// Runs without a fault of each workload. More than two, because what happens half of the time agrees by chance.
const REFERENCES: usize = 3;

/// Findings that are shown of a failed run; the rest is in its file.
const SHOWN: usize = 6;

/// What runs without a fault are like, by workload.
pub type References = BTreeMap<Workload, Reference>;

/// A run and what is wrong with it.
#[derive(Debug, Serialize)]
pub struct Judged {
    /// What was done.
    pub plan: Plan,
    /// What is wrong; nothing when it passed.
    pub findings: Vec<Finding>,
    /// How long it took.
    pub took: Duration,
}

/// A run without a fault that is not like the others, or not right.
#[derive(Debug, thiserror::Error)]
#[error("runs of {workload} without a fault are not what they must be:\n{}", findings.join("\n"))]
pub struct Unsteady {
    workload: Workload,
    findings: Vec<String>,
}

/// Runs each workload without a fault, several times, and demands that the runs do not differ.
///
/// # Errors
/// When they do, when an oracle finds something, or when the harness fails.
pub async fn references(stage: &mut Stage, workloads: &[Workload]) -> Result<References> {
    let mut references = References::new();
    for workload in workloads {
        let plan = Plan::reference(*workload);
        if workload.needs_tenant() {
            stage.stock(*workload, REFERENCES).await?;
        }
        let mut first: Option<Reference> = None;
        for _ in 0..REFERENCES {
            let record = stage.run(&plan).await?;
            let this = Reference::of(&record);
            let mut findings: Vec<String> =
                judge(&plan, &record, None).iter().map(ToString::to_string).collect();
            findings.extend(first.iter().flat_map(|first| first.differences(&this)));
            if !findings.is_empty() {
                return Err(Unsteady { workload: *workload, findings }.into());
            }
            first.get_or_insert(this);
        }
        references.extend(first.map(|reference| (*workload, reference)));
    }
    Ok(references)
}

/// The plans of the gate: every write of a tenant's beginning and end with a crash before, a crash after and a lost
/// reply; everything that is destructive with a look at the past.
#[must_use]
pub fn gate(references: &References) -> Vec<Plan> {
    let mut plans = Vec::new();
    for (workload, reference) in references {
        let plan = |at: &crate::site::Place, fault| Plan { workload: *workload, at: Some(at.clone()), fault };
        if *workload != Workload::Upgrade {
            for at in &reference.sites {
                plans.extend(
                    [Fault::CrashBefore, Fault::CrashAfter, Fault::ReplyLost].map(|fault| plan(at, fault)),
                );
            }
        }
        let destructive = reference.sites.iter().filter(|at| is_destructive(at, workload.ends()));
        plans.extend(destructive.map(|at| plan(at, Fault::TimeTravel)));
    }
    plans
}

/// Performs plans, tells of each that fails, and keeps its record in `directory`.
///
/// # Errors
/// When the harness fails.
pub async fn perform(
    stage: &mut Stage,
    plans: &[Plan],
    references: &References,
    directory: &Path,
) -> Result<Vec<Judged>> {
    for workload in plans.iter().map(|plan| plan.workload).collect::<BTreeSet<_>>() {
        let count = plans.iter().filter(|plan| plan.workload == workload).count();
        if workload.needs_tenant() {
            stage.stock(workload, count).await?;
        }
    }
    let mut all = Vec::new();
    for plan in plans {
        all.push(one(stage, plan, references, directory, all.len()).await?);
    }
    Ok(all)
}

async fn one(
    stage: &mut Stage,
    plan: &Plan,
    references: &References,
    directory: &Path,
    number: usize,
) -> Result<Judged> {
    let started = Instant::now();
    let record = stage.run(plan).await.with_context(|| format!("{plan} cannot be performed"))?;
    let findings = judge(plan, &record, references.get(&plan.workload));
    let judged = Judged { plan: plan.clone(), findings, took: started.elapsed() };
    if !judged.findings.is_empty() {
        let file = keep(&judged, &record, directory, number)?;
        println!("failed: {plan} ({})", file.display());
        judged.findings.iter().take(SHOWN).for_each(|finding| println!("    {finding}"));
        if let Some(more) = judged.findings.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            println!("    and {more} more");
        }
        // What it left undone must not disturb the next.
        stage.restart().await?;
    }
    Ok(judged)
}

/// Writes a failed plan to a file of its own, ready to be repeated, and the record beside it.
fn keep(judged: &Judged, record: &Record, directory: &Path, number: usize) -> Result<PathBuf> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let file = directory.join(format!("{number:04}.json"));
    std::fs::write(&file, serde_json::to_vec_pretty(&judged.plan)?)?;
    std::fs::write(directory.join(format!("{number:04}.findings.json")), serde_json::to_vec_pretty(judged)?)?;
    std::fs::write(directory.join(format!("{number:04}.record.json")), serde_json::to_vec(record)?)?;
    Ok(file)
}

/// The median of how long runs took.
#[must_use]
pub fn median(judged: &[Judged]) -> Duration {
    let mut times: Vec<Duration> = judged.iter().map(|judged| judged.took).collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(sites: &[&str]) -> Reference {
        Reference {
            sites: sites.iter().map(|site| site.parse().unwrap()).collect(),
            end: BTreeMap::new(),
            counts: BTreeMap::new(),
            requests: 1,
        }
    }

    #[test]
    fn the_gate_has_every_write_and_every_destruction() {
        let end = ["delete namespaces tenant-{name} #1", "patch tenantsubscriptions.tenantry.io {name} #1"];
        let references = References::from([
            (Workload::Provision, reference(&["create namespaces tenant-{name} #1"])),
            (Workload::OffboardDelete, reference(&end)),
            (
                Workload::Upgrade,
                reference(&["delete configmaps tenant-{name}/a #1", "apply configmaps tenant-{name}/b #1"]),
            ),
        ]);
        let plans = gate(&references);
        let of = |workload, fault: &str| {
            plans.iter().filter(|plan| plan.workload == workload && plan.fault.id() == fault).count()
        };
        let counts = [Workload::Provision, Workload::OffboardDelete, Workload::Upgrade]
            .map(|workload| ["F1", "F2", "F3", "F17"].map(|fault| of(workload, fault)));
        assert_eq!(counts, [[1, 1, 1, 0], [2, 2, 2, 2], [0, 0, 0, 1]]);
        assert_eq!(plans.len(), 12);
    }
}
