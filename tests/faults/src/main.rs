//! The fault harness as a program. Needs a client, a clock and processes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use tenantry_faults::campaign::{coverage, everything, gate, median, perform, references};
use tenantry_faults::defect::Defect;
use tenantry_faults::leaders::{self, Case};
use tenantry_faults::plan::{Plan, Workload};
use tenantry_faults::seedbed::{self, defects};
use tenantry_faults::stage::Stage;
use tenantry_faults::trial::{Programs, trials};

/// Plans on one cluster. Every order leaves a tenant, and a restart looks at all of them.
const A_STAGE: usize = 80;
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
    /// everything destructive with a look at the past.
    Gate,
    /// Every fault at every request, list and watch of every workload.
    All,
    /// Whether the oracles find defects that were put into the product on purpose.
    Defects {
        /// Only the one of this name.
        #[arg(long)]
        only: Option<String>,
    },
    /// The requests, lists and watches at which a fault can strike.
    Places,
    /// Two replicas: the leader is killed, asked to end and stopped, at rest, at work and in a storm of orders.
    Leaders {
        /// Repeats the moments and the order of an earlier storm.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Repeats one plan.
    Replay {
        /// File with the plan.
        file: PathBuf,
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
        Command::All => run_all(&binary, &directory).await,
        Command::Defects { only } => run_defects(&binary, &directory, only.as_deref()).await,
        Command::Places => places(&binary, &directory).await,
        Command::Leaders { seed } => run_leaders(&binary, &directory, *seed).await,
        Command::Replay { file, times } => replay(&binary, &directory, file, *times).await,
    }
}

async fn run_gate(binary: &Path, directory: &Path) -> Result<bool> {
    let started = Instant::now();
    let mut stage = Stage::start(binary, &[], &directory.join("logs")).await?;
    let references = references(&mut stage, &Workload::ALL).await?;
    let mut plans = gate(&references);
    let known = regressions()?;
    plans.extend(known.into_iter().filter(|plan| !plans.contains(plan)).collect::<Vec<_>>());
    println!("{} plans after {:.1} s", plans.len(), started.elapsed().as_secs_f64());
    let judged = perform(&mut stage, &plans, &references, &directory.join("failed")).await?;
    let failed = judged.iter().filter(|judged| !judged.findings.is_empty()).count();
    println!(
        "median {:.2} s a plan, {:.0} s in all",
        median(&judged).as_secs_f64(),
        started.elapsed().as_secs_f64()
    );
    println!("{} plans, {} passed, {failed} failed", judged.len(), judged.len() - failed);
    Ok(failed == 0)
}

async fn run_all(binary: &Path, directory: &Path) -> Result<bool> {
    let mut stage = Stage::start(binary, &[], &directory.join("logs")).await?;
    let references = references(&mut stage, &Workload::ALL).await?;
    let plans = everything(&references);
    println!("{} plans", plans.len());
    drop(stage);
    let mut judged = Vec::new();
    for (number, chunk) in plans.chunks(A_STAGE).enumerate() {
        let mut stage = Stage::start(binary, &[], &directory.join("logs")).await?;
        let failed = directory.join("failed").join(format!("{number:03}"));
        judged.extend(perform(&mut stage, chunk, &references, &failed).await?);
    }
    let failed = judged.iter().filter(|judged| !judged.findings.is_empty()).count();
    println!(
        "{}\n\n{} plans, {} passed, {failed} failed",
        coverage(&judged),
        judged.len(),
        judged.len() - failed
    );
    Ok(failed == 0)
}

async fn run_defects(binary: &Path, directory: &Path, only: Option<&str>) -> Result<bool> {
    let defects = defects()?;
    let seeded = seedbed::build(&defects, binary, directory)?;
    let mut stage = Stage::start(binary, &[], &directory.join("logs")).await?;
    let references = references(&mut stage, &Workload::ALL).await?;
    let chosen: Vec<Defect> =
        defects.into_iter().filter(|defect| only.is_none_or(|only| defect.name == only)).collect();
    let programs = Programs { plain: binary.to_owned(), seeded };
    let tried = trials(&mut stage, &programs, &chosen, &references).await?;
    for one in &tried {
        match &one.caught {
            Some((plan, finding)) => println!("caught: {} by {plan}: {finding}", one.defect.name),
            None => println!("MISSED: {}: {}", one.defect.name, one.defect.wrong),
        }
    }
    let caught = tried.iter().filter(|one| one.caught.is_some()).count();
    println!("seeded defects caught: {caught} of {}", tried.len());
    Ok(caught * 100 >= tried.len() * CAUGHT_PERCENT)
}

async fn places(binary: &Path, directory: &Path) -> Result<bool> {
    let mut stage = Stage::start(binary, &[], &directory.join("logs")).await?;
    for (workload, reference) in references(&mut stage, &Workload::ALL).await? {
        println!("{workload}");
        for place in reference.sites.iter().chain(&reference.reads).chain(&reference.watches) {
            println!("    {place}");
        }
    }
    Ok(true)
}

async fn run_leaders(binary: &Path, directory: &Path, seed: Option<u64>) -> Result<bool> {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| u64::from(now.subsec_nanos()));
    let seed = seed.unwrap_or_else(now);
    println!("repeat this with --seed {seed}");
    let judged = leaders::perform(binary, &directory.join("leaders"), &Case::ALL, seed).await?;
    let failed = judged.iter().filter(|judged| !judged.findings.is_empty()).count();
    println!("{} cases, {} passed, {failed} failed", judged.len(), judged.len() - failed);
    Ok(failed == 0)
}

async fn replay(binary: &Path, directory: &Path, file: &Path, times: usize) -> Result<bool> {
    let plan = read(file)?;
    let mut stage = Stage::start(binary, &[], &directory.join("logs")).await?;
    let references = references(&mut stage, &[plan.workload]).await?;
    let plans = vec![plan; times];
    let judged = perform(&mut stage, &plans, &references, &directory.join("replayed")).await?;
    let passed = judged.iter().filter(|judged| judged.findings.is_empty()).count();
    println!("{times} times, {passed} passed, {} failed", times - passed);
    Ok(passed == times)
}

fn read(file: &Path) -> Result<Plan> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no plan", file.display()))
}

/// Plans that once found something.
fn regressions() -> Result<Vec<Plan>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let entries =
        std::fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

/// Where logs, failed plans and reports go.
fn directory() -> Result<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/faults");
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    Ok(directory.canonicalize()?)
}
