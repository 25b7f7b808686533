//! `tenantry-bench`: measures Tenantry beside the raw limit of the control plane and beside other tools. Needs a client, a
//! clock and processes.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tenantry_bench::arena::Programs;
use tenantry_bench::blast;
use tenantry_bench::contender::Contender;
use tenantry_bench::report::Report;
use tenantry_bench::report::machine::Machine;
use tenantry_bench::session::{self, Plan};
use tenantry_bench::workload::Workload;
use tenantry_control_plane::Profile;
use tenantry_control_plane::tools::Toolset;

/// Measures Tenantry beside the raw limit of the control plane and beside other tools.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure everything and write report.json, runs.json and report.html.
    Run(Run),
    /// Measure the raw limit only.
    Blast {
        /// P0: etcd and API server. P1: and the controller manager.
        #[arg(long, default_value = "P1")]
        profile: Profile,
        /// Less of everything.
        #[arg(long)]
        quick: bool,
    },
}

#[derive(clap::Args)]
struct Run {
    /// Blast and W1 to W4, small: at most eight minutes on two cores.
    #[arg(long)]
    quick: bool,
    /// Files of contenders. The first one runs twice in each turn, to show what is noise.
    #[arg(long = "contender", value_name = "FILE")]
    contenders: Vec<PathBuf>,
    /// Workloads to do, such as W1,W2 [default: all of the plan].
    #[arg(long, value_delimiter = ',', value_parser = workload)]
    workloads: Vec<Workload>,
    /// Turns of W1 and W2 [default: those of the plan].
    #[arg(long)]
    repetitions: Option<usize>,
    /// Orders at once in W2 [default: those of the plan].
    #[arg(long)]
    burst: Option<usize>,
    /// Tenants that exist in W4 and whatever comes after it [default: those of the plan].
    #[arg(long)]
    tenants: Option<usize>,
    /// Orders that are queued in W8 [default: those of the plan].
    #[arg(long)]
    queued: Option<usize>,
    /// Measure the raw limit with the amounts of --quick: the full ones take twenty minutes.
    #[arg(long)]
    quick_limit: bool,
    /// Directory for the report.
    #[arg(long, default_value = "target/bench")]
    output: PathBuf,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(run) => measure(&run),
        Command::Blast { profile, quick } => measure_limit(profile, quick),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn measure(run: &Run) -> Result<()> {
    let machine = Machine::here();
    let mut plan = if run.quick { Plan::quick() } else { Plan::full() };
    if !run.workloads.is_empty() {
        plan.workloads = run.workloads.iter().copied().collect();
    }
    if run.quick_limit {
        plan.blast = blast::Sizes::quick();
    }
    if let Some(repetitions) = run.repetitions {
        plan.repetitions = repetitions;
    }
    if let Some(burst) = run.burst {
        plan.sizes.bursts = vec![burst];
    }
    if let Some(tenants) = run.tenants {
        plan.sizes.restart = tenants;
    }
    if let Some(queued) = run.queued {
        plan.sizes.mixed.queued = queued;
    }
    let contenders: Result<Vec<Arc<Contender>>> = match run.contenders.as_slice() {
        [] => {
            ["tenantry.yaml", "kubectl.yaml"].iter().map(|name| session::contender(&shipped(name))).collect()
        }
        files => files.iter().map(|file| session::contender(file)).collect(),
    };
    let record = session::carry_out(&plan, &contenders?, &programs()?, &say).await?;
    Report::of(&record, machine).write(&record, &run.output)?;
    say(&format!("written: {}", run.output.join("report.html").display()));
    Ok(())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn measure_limit(profile: Profile, quick: bool) -> Result<()> {
    let sizes = if quick { blast::Sizes::quick() } else { blast::Sizes::full() };
    blast::series(profile, &sizes, |shot| session::tell_shot(shot, &say)).await?;
    Ok(())
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contenders").join(name)
}

fn programs() -> Result<Programs> {
    let kubectl = Toolset::from_cache_or_build()?.kubectl.context("these tools have no kubectl")?;
    Ok(Programs { tenantry: tenantry_e2e::process::binary("tenantry")?, kubectl })
}

fn workload(text: &str) -> Result<Workload, String> {
    let found = Workload::ALL.into_iter().find(|workload| workload.to_string().eq_ignore_ascii_case(text));
    found.ok_or_else(|| format!("{text:?} is no workload: use W1 to W8"))
}

/// Progress for people. When nobody reads it, the report still tells everything.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
