//! Many plans one after the other, and what came of them. Needs a client, a clock and processes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use tenantry_e2e::clock::Clock;

use crate::history::Record;
use crate::oracle::outcome::Reference;
use crate::oracle::requests::is_destructive;
use crate::oracle::{Finding, judge};
use crate::plan::{Fault, HOUR, Plan, Workload};
use crate::recorder::PATIENCE;
use crate::site::{Place, Site, Verb};
use crate::stage::Stage;

/// Runs without a fault of each workload. More than two, because what happens half of the time agrees by chance.
const REFERENCES: usize = 3;

/// Tenants that are ordered together for runs that begin with one.
const STOCK: usize = 16;
/// How much longer a run may take in which the API server is away: whatever works beside the controller, such as who plays
/// the gateway, looks for it ever more seldom, up to every half a minute.
const AFTER_AN_OUTAGE: Duration = Duration::from_secs(60);
/// After so long without a word a watch is given up (operator/apply/src/connection.rs).
const SILENCE: Duration = Duration::from_secs(300);
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
            let first = first.get_or_insert_with(|| this.clone());
            // What is not there every time is no place to wait for.
            first.reads.retain(|read| this.reads.contains(read));
            first.watches.retain(|watch| this.watches.contains(watch));
        }
        references.extend(first.map(|reference| (*workload, reference)));
    }
    Ok(references)
}

/// The plans of the gate: every write of a tenant's beginning and end with a crash before, a crash after, a lost reply
/// and an arrival after a successor has finished; everything that is destructive with a look at the past; one jump of the
/// clock for each workload. Of a hand-over, every site that only jobs have, see [`gate_of_jobs`]. Suspensions, other
/// plans and ends of several steps are for the full matrix.
#[must_use]
pub fn gate(references: &References) -> Vec<Plan> {
    let mut plans = Vec::new();
    for (workload, reference) in references {
        if *workload == Workload::HandOver || !workload.is_of_the_gate() {
            continue;
        }
        let plan = |at: &Place, fault| Plan { workload: *workload, at: Some(at.clone()), fault };
        if *workload != Workload::Upgrade {
            for at in &reference.sites {
                plans.extend(Fault::GATE.map(|fault| plan(at, fault)));
            }
        }
        let destructive = reference.sites.iter().filter(|at| is_destructive(at, workload.ends()));
        plans.extend(destructive.map(|at| plan(at, Fault::TimeTravel)));
        let seconds = if workload.ends() { -HOUR } else { HOUR };
        let middle = reference.sites.iter().nth(reference.sites.len() / 2);
        plans.extend(middle.map(|at| plan(at, Fault::ClockJump { seconds })));
    }
    plans
}

/// The plans of the gate for jobs: each creation of a Job, each letting go of a pod and each status that records the end of a
/// run has one fault of a crash before, a crash after and a lost reply, and of each of the three sorts of site some have each.
/// A hand-over takes Kubernetes many seconds, so the other two are for the full matrix.
#[must_use]
pub fn gate_of_jobs(references: &References) -> Vec<Plan> {
    const FAULTS: [Fault; 3] = [Fault::CrashBefore, Fault::CrashAfter, Fault::ReplyLost];
    let workload = Workload::HandOver;
    let sites = references.get(&workload).map(|reference| &reference.sites);
    let of_sort = |holds: fn(&Site) -> bool| {
        sites.into_iter().flatten().filter(|place| holds(&place.site)).cloned().collect::<Vec<Place>>()
    };
    let sorts = [
        of_sort(|site| site.verb == Verb::Create && site.resource == "jobs.batch"),
        of_sort(|site| site.verb == Verb::Patch && site.resource == "pods"),
        of_sort(|site| {
            site.is_milestone() && (site.name.ends_with("-Failed") || site.name.ends_with("-Succeeded"))
        }),
    ];
    let mut plans = Vec::new();
    for (offset, places) in sorts.into_iter().enumerate() {
        let faults = FAULTS.into_iter().cycle().skip(offset);
        plans.extend(places.into_iter().zip(faults).map(|(at, fault)| Plan {
            workload,
            at: Some(at),
            fault,
        }));
    }
    plans
}

/// Every fault at every request, list and watch of every workload.
#[must_use]
pub fn everything(references: &References) -> Vec<Plan> {
    let mut plans: Vec<Plan> = Vec::new();
    for (workload, reference) in references {
        let lists = reference
            .watches
            .iter()
            .map(|watch| Place { site: Site { verb: Verb::List, ..watch.site.clone() }, occurrence: 1 });
        let lists: BTreeSet<Place> = lists.collect();
        let blocks = [
            (&reference.sites, Fault::of_writes()),
            (&reference.reads, Fault::of_reads()),
            (&lists, Fault::of_lists()),
            (&reference.watches, Fault::of_watches()),
        ];
        for (places, faults) in blocks {
            let each = |at: &Place| {
                let plan =
                    |fault: &Fault| Plan { workload: *workload, at: Some(at.clone()), fault: fault.clone() };
                faults.iter().map(plan).collect::<Vec<_>>()
            };
            plans.extend(places.iter().flat_map(each).filter(Plan::is_possible));
        }
        let destructive = reference.sites.iter().filter(|at| is_destructive(at, workload.ends()));
        plans.extend(destructive.map(|at| Plan {
            workload: *workload,
            at: Some(at.clone()),
            fault: Fault::TimeTravel,
        }));
        let middle = reference.sites.iter().nth(reference.sites.len() / 2);
        plans.extend(middle.map(|at| Plan {
            workload: *workload,
            at: Some(at.clone()),
            fault: Fault::StoreRestored,
        }));
        // It takes as long as a watch may be silent, so one for each workload: that of the objects whose health is waited for.
        let is_waited_for = |watch: &&Place| watch.site.resource == "deployments.apps";
        let watch = reference.watches.iter().find(is_waited_for).or(reference.watches.first());
        plans.extend(watch.map(|at| Plan {
            workload: *workload,
            at: Some(at.clone()),
            fault: Fault::WatchSilent,
        }));
        let jumps = [HOUR, -HOUR].map(|seconds| Fault::ClockJump { seconds });
        plans.extend(jumps.map(|fault| Plan { workload: *workload, at: None, fault }));
    }
    plans
}

/// A table of how many plans passed, of how many: workloads by faults.
#[must_use]
pub fn coverage(judged: &[Judged]) -> String {
    let mut cells: BTreeMap<(String, Workload), [usize; 2]> = BTreeMap::new();
    for one in judged {
        let id = one.plan.fault.id();
        // F2 before F10.
        let row = format!("{id:>4}");
        let [passed, all] = cells.entry((row, one.plan.workload)).or_default();
        *passed += usize::from(one.findings.is_empty());
        *all += 1;
    }
    let rows: BTreeSet<&String> = cells.keys().map(|(row, _)| row).collect();
    let mut table = format!("{:<5}", "");
    Workload::ALL.iter().for_each(|workload| table.push_str(&format!("{:>18}", workload.to_string())));
    for row in rows {
        table.push_str(&format!("\n{row:<5}"));
        for workload in Workload::ALL {
            let cell = cells.get(&(row.clone(), workload)).map(|[passed, all]| format!("{passed}/{all}"));
            table.push_str(&format!("{:>18}", cell.unwrap_or_else(|| "-".to_owned())));
        }
    }
    table
}

/// Performs plans, tells of each that fails, and keeps its record in `directory`. What this machine cannot do is skipped
/// by name.
///
/// # Errors
/// When the harness fails.
pub async fn perform(
    stage: &mut Stage,
    plans: &[Plan],
    references: &References,
    directory: &Path,
) -> Result<Vec<Judged>> {
    let mut all = Vec::new();
    for (place, plan) in plans.iter().enumerate() {
        if let Some(reason) = plan.jump().and_then(|_| Clock::find(directory).err()) {
            println!("skipped: {plan}: {reason}");
            continue;
        }
        let later = plans.iter().skip(place).filter(|later| later.workload == plan.workload).count();
        if plan.workload.needs_tenant() && !stage.has_stock(plan.workload) {
            stage.stock(plan.workload, later.min(STOCK)).await?;
        }
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
    // One run that the harness cannot carry out is a failure like any other; the rest of a long series goes on.
    let longer = match plan.fault {
        Fault::WatchSilent => SILENCE,
        _ if plan.outage().is_some() => AFTER_AN_OUTAGE,
        _ => Duration::ZERO,
    };
    stage.recorder.wait_at_most(PATIENCE + longer);
    let record = stage.run(plan).await;
    stage.recorder.wait_at_most(PATIENCE);
    let (record, findings) = match record {
        Ok(record) => {
            let findings = judge(plan, &record, references.get(&plan.workload));
            (Some(record), findings)
        }
        Err(error) => (None, vec![Finding::new("harness", format!("cannot be performed: {error:#}"))]),
    };
    let judged = Judged { plan: plan.clone(), findings, took: started.elapsed() };
    if !judged.findings.is_empty() {
        let file = keep(&judged, record.as_ref(), directory, number)?;
        println!("failed: {plan} ({})", file.display());
        judged.findings.iter().take(SHOWN).for_each(|finding| println!("    {finding}"));
        if let Some(more) = judged.findings.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            println!("    and {more} more");
        }
    }
    if !judged.findings.is_empty() {
        // What it left undone would be done while the next run is judged.
        stage.clear().await?;
    } else if plan.fault.is_of_a_watch() {
        // A watch that was refused waits before it begins again, and until then a fault would find none to strike.
        stage.tire();
    }
    Ok(judged)
}

/// Writes a failed plan to a file of its own, ready to be repeated, and the record beside it.
fn keep(judged: &Judged, record: Option<&Record>, directory: &Path, number: usize) -> Result<PathBuf> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let file = directory.join(format!("{number:04}.json"));
    std::fs::write(&file, serde_json::to_vec_pretty(&judged.plan)?)?;
    std::fs::write(directory.join(format!("{number:04}.findings.json")), serde_json::to_vec_pretty(judged)?)?;
    if let Some(record) = record {
        std::fs::write(directory.join(format!("{number:04}.record.json")), serde_json::to_vec(record)?)?;
    }
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
            reads: ["get a {name} #1".parse().unwrap()].into(),
            watches: ["watch a * #1".parse().unwrap()].into(),
        }
    }

    #[test]
    fn everything_has_every_fault_that_is_possible_at_every_place() {
        let references =
            References::from([(Workload::Provision, reference(&["create namespaces tenant-{name} #1"]))]);
        let plans = everything(&references);
        let of = |verb| {
            plans.iter().filter(|plan| plan.at.as_ref().is_some_and(|at| at.site.verb == verb)).count()
        };
        let at_rest = plans.iter().filter(|plan| plan.at.is_none()).map(|plan| plan.jump());
        assert_eq!(at_rest.collect::<Vec<_>>(), [Some(HOUR), Some(-HOUR)]);
        let writes = Fault::of_writes().len();
        assert_eq!(of(Verb::Create), writes, "a restored store, but no rival for what does not exist");
        let reads = [of(Verb::Get), of(Verb::List), of(Verb::Watch)];
        assert_eq!(reads, [Fault::of_reads().len(), Fault::of_lists().len(), Fault::of_watches().len() + 1]);
    }

    #[test]
    fn the_table_counts_by_fault_and_workload() {
        let judged = |fault: Fault, is_good: bool| Judged {
            plan: Plan {
                workload: Workload::ServersLeave,
                at: Some("get a {name} #1".parse().unwrap()),
                fault,
            },
            findings: if is_good { Vec::new() } else { vec![Finding { oracle: "O1", what: String::new() }] },
            took: Duration::ZERO,
        };
        let table = coverage(&[
            judged(Fault::CrashAfter, true),
            judged(Fault::CrashAfter, false),
            judged(Fault::WatchTorn, true),
        ]);
        let cells = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let rows: Vec<Vec<String>> = table.lines().skip(1).map(cells).collect();
        let last = |row: &Vec<String>| (row.first().cloned().unwrap(), row.last().cloned().unwrap());
        assert_eq!(
            rows.iter().map(last).collect::<Vec<_>>(),
            [("F2".to_owned(), "1/2".to_owned()), ("F13".to_owned(), "1/1".to_owned())]
        );
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
            .map(|workload| ["F1", "F2", "F3", "F24", "F17", "F22"].map(|fault| of(workload, fault)));
        assert_eq!(counts, [[1, 1, 1, 1, 0, 1], [2, 2, 2, 2, 2, 1], [0, 0, 0, 0, 1, 1]]);
        assert_eq!(plans.len(), 18);
    }

    #[test]
    fn the_gate_has_every_site_of_jobs_with_one_fault_each() {
        let sites = [
            "create jobs.batch tenant-{name}/a-1-{run} #1",
            "create jobs.batch tenant-{name}/a-2-{run} #1",
            "delete jobs.batch tenant-{name}/a-1-{run} #1",
            "patch pods tenant-{name}/a-1-{run}-{pod} #1",
            "patch pods tenant-{name}/a-2-{run}-{pod} #1",
            "patch tenantsubscriptions.tenantry.io/status {name}@a-1-Failed #1",
            "patch tenantsubscriptions.tenantry.io/status {name}@a-1-Running #1",
        ];
        let references = References::from([(Workload::HandOver, reference(&sites))]);
        assert_eq!(gate(&references), []);
        let told: Vec<String> = gate_of_jobs(&references).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "hand-over F1 at create jobs.batch tenant-{name}/a-1-{run} #1",
                "hand-over F2 at create jobs.batch tenant-{name}/a-2-{run} #1",
                "hand-over F2 at patch pods tenant-{name}/a-1-{run}-{pod} #1",
                "hand-over F3 at patch pods tenant-{name}/a-2-{run}-{pod} #1",
                "hand-over F3 at patch tenantsubscriptions.tenantry.io/status {name}@a-1-Failed #1",
            ]
        );
    }
}
