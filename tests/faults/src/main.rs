//! The fault harness as a program. Needs a client, a clock and processes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use tenantry_faults::campaign::{References, coverage, everything, perform, references};
use tenantry_faults::defect::Defect;
use tenantry_faults::files::read_plan;
use tenantry_faults::gate;
use tenantry_faults::leaders::{Case, Leaders};
use tenantry_faults::oracle::Finding;
use tenantry_faults::plan::{Plan, Workload};
use tenantry_faults::seedbed::{self, defects};
use tenantry_faults::stage::{Rank, Stage};
use tenantry_faults::stages::Stages;
use tenantry_faults::trial::{Programs, Tried, trials};

/// Stages of the full matrix side by side.
const STAGES: usize = 4;
/// So many of a hundred defects that were put in on purpose must be found.
const CAUGHT_PERCENT: usize = 95;

/// Breaks things under the controller and judges what comes of it.
#[derive(Debug, Parser)]
struct Arguments {
    /// The program to test; by default the one beside this one, or in TENANTRY_BIN_DIR.
    #[arg(long)]
    binary: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Every write of a tenant's beginning and end with a crash before, a crash after, a lost reply and a late arrival;
    /// everything destructive with a look at the past; a crash or a lost reply wherever a run of a job begins, ends and is
    /// let go; two replicas; and whether the oracles find seeded defects.
    Gate,
    /// Every fault at every request, list and watch of every workload.
    All {
        /// Only those of this workload; two replicas are left out then.
        #[arg(long)]
        workload: Option<Workload>,
        /// Only this fault, by its number, such as F2; may be given several times.
        #[arg(long)]
        fault: Vec<String>,
    },
    /// Whether the oracles find defects that were put into the product on purpose.
    Defects {
        /// Only the one of this name; may be given several times.
        #[arg(long)]
        only: Vec<String>,
    },
    /// The requests, lists and watches at which a fault can strike.
    Places,
    /// Two replicas: the leader is killed, asked to end and stopped, at rest, at work and in a storm of orders.
    Leaders {
        /// Repeats the moments and the order of an earlier storm.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Repeats a plan, or several one after the other on the same stage.
    Replay {
        /// Files with plans.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// How often.
        #[arg(long, default_value_t = 1)]
        times: usize,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: &Arguments) -> Result<bool> {
    let binary = match &arguments.binary {
        Some(binary) => binary.clone(),
        None => tenantry_e2e::process::binary("tenantry")?,
    };
    let directory = directory()?;
    match &arguments.command {
        Command::Gate => run_gate(&binary, &directory).await,
        Command::All { workload, fault } => run_all(&binary, &directory, *workload, fault).await,
        Command::Defects { only } => run_defects(&binary, &directory, only).await,
        Command::Places => places(&binary, &directory).await,
        Command::Leaders { seed } => run_leaders(&binary, &directory, *seed).await,
        Command::Replay { files, times } => replay(&binary, &directory, files, *times).await,
    }
}

/// Everything side by side. Prints what came of it.
async fn run_gate(binary: &Path, directory: &Path) -> Result<bool> {
    let started = Instant::now();
    let gate::Outcome { judged, cases, tried } = gate::pass(binary, directory, seed(None)).await?;
    tried.iter().for_each(|one| println!("{one}"));
    let plans_and_cases = judged.iter().map(|one| &one.findings).chain(cases.iter().map(|one| &one.findings));
    let failed = with_findings(plans_and_cases);
    let all = judged.len() + cases.len();
    println!("{:.0} s in all", started.elapsed().as_secs_f64());
    println!("{all} plans, {} passed, {failed} failed; {}", all - failed, told(&tried));
    Ok(failed == 0 && are_enough(&tried))
}

/// Every plan there is, on several stages side by side; of one workload and of some faults, where that is asked for.
async fn run_all(binary: &Path, directory: &Path, only: Option<Workload>, faults: &[String]) -> Result<bool> {
    let stages = Stages::new(binary, Rank::Usual, directory, STAGES);
    let references = stages.references(only.as_ref().map_or(&Workload::ALL, std::slice::from_ref)).await?;
    let mut plans = everything(&references);
    plans.retain(|plan| faults.is_empty() || faults.iter().any(|fault| plan.fault.id() == fault));
    println!("{} plans", plans.len());
    let judged = stages.perform(&plans, &references).await?;
    drop(stages);
    let skipped = plans.len() - judged.len();
    println!("{}\n", coverage(&judged));
    let cases = match only {
        Some(_) => Vec::new(),
        None => {
            let mut leaders = Leaders::start(binary, &directory.join("leaders"), references).await?;
            leaders.perform(&Case::ALL, seed(None)).await?
        }
    };
    let plans_and_cases = judged.iter().map(|one| &one.findings).chain(cases.iter().map(|one| &one.findings));
    let failed = with_findings(plans_and_cases);
    let all = judged.len() + cases.len();
    println!("{all} plans, {} passed, {failed} failed, {skipped} skipped", all - failed);
    Ok(failed == 0 && skipped == 0)
}

async fn run_defects(binary: &Path, directory: &Path, only: &[String]) -> Result<bool> {
    let defects = defects()?;
    let seeded = seedbed::build(&defects, binary, directory)?;
    let programs = Programs { plain: binary.to_owned(), seeded };
    let chosen: Vec<Defect> =
        defects.into_iter().filter(|defect| only.is_empty() || only.contains(&defect.name)).collect();
    let has_cases = chosen.iter().any(|defect| !defect.cases.is_empty());
    let is_needed = |workload: &Workload| {
        has_cases || chosen.iter().flat_map(|defect| &defect.plans).any(|plan| plan.workload == *workload)
    };
    let needed: Vec<Workload> = Workload::ALL.into_iter().filter(is_needed).collect();
    let (mut stage, references) = begin(binary, directory, &needed).await?;
    let mut tried = trials(&mut stage, &programs, &chosen, &references).await?;
    drop(stage);
    if has_cases {
        let mut leaders = Leaders::start(binary, &directory.join("leaders"), references).await?;
        tried.extend(leaders.trials(&programs, &chosen, seed(None)).await?);
    }
    tried.iter().for_each(|one| println!("{one}"));
    println!("{}", told(&tried));
    Ok(are_enough(&tried))
}

/// A stage, and what runs without a fault are like on it.
async fn begin(binary: &Path, directory: &Path, workloads: &[Workload]) -> Result<(Stage, References)> {
    let mut stage = Stage::start(binary, Rank::Usual, &directory.join("logs")).await?;
    let references = references(&mut stage, workloads).await?;
    Ok((stage, references))
}

/// How many have findings.
fn with_findings<'a>(all: impl Iterator<Item = &'a Vec<Finding>>) -> usize {
    all.filter(|findings| !findings.is_empty()).count()
}

fn caught(tried: &[Tried]) -> usize {
    tried.iter().filter(|one| one.caught.is_some()).count()
}

fn told(tried: &[Tried]) -> String {
    format!("seeded defects caught: {} of {}", caught(tried), tried.len())
}

fn are_enough(tried: &[Tried]) -> bool {
    caught(tried) * 100 >= tried.len() * CAUGHT_PERCENT
}

/// What random moments are made from: an earlier run's, or another each time.
fn seed(given: Option<u64>) -> u64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| u64::from(now.subsec_nanos()));
    let seed = given.unwrap_or_else(now);
    println!("moments are made from the seed {seed}");
    seed
}

async fn places(binary: &Path, directory: &Path) -> Result<bool> {
    let (_, references) = begin(binary, directory, &Workload::ALL).await?;
    for (workload, reference) in references {
        println!("{workload}");
        for place in reference.sites.iter().chain(&reference.reads).chain(&reference.watches) {
            println!("    {place}");
        }
    }
    Ok(true)
}

async fn run_leaders(binary: &Path, directory: &Path, seed: Option<u64>) -> Result<bool> {
    let (_, references) = begin(binary, directory, &Workload::ALL).await?;
    let mut leaders = Leaders::start(binary, &directory.join("leaders"), references).await?;
    let judged = leaders.perform(&Case::ALL, self::seed(seed)).await?;
    let failed = with_findings(judged.iter().map(|one| &one.findings));
    println!("{} cases, {} passed, {failed} failed", judged.len(), judged.len() - failed);
    Ok(failed == 0)
}

async fn replay(binary: &Path, directory: &Path, files: &[PathBuf], times: usize) -> Result<bool> {
    let plans: Vec<Plan> = files.iter().map(|file| read_plan(file)).collect::<Result<_>>()?;
    let mut stage = Stage::start(binary, Rank::Usual, &directory.join("logs")).await?;
    let workloads = plans.iter().map(|plan| plan.workload);
    let workloads: Vec<Workload> =
        Workload::ALL.into_iter().filter(|one| workloads.clone().any(|it| it == *one)).collect();
    let references = references(&mut stage, &workloads).await?;
    let plans: Vec<Plan> = plans.iter().cycle().take(plans.len() * times).cloned().collect();
    let judged = perform(&mut stage, &plans, &references, &directory.join("replayed")).await?;
    let passed = judged.len() - with_findings(judged.iter().map(|one| &one.findings));
    println!("{} times, {passed} passed, {} failed", plans.len(), plans.len() - passed);
    Ok(passed == plans.len())
}

/// Where logs, failed plans and reports go.
fn directory() -> Result<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/faults");
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    Ok(directory.canonicalize()?)
}
