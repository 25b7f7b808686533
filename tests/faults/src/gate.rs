//! The gate: what is performed side by side, and what came of it. Needs a client, a clock and processes.
//!
//! Most of what computes waits for a processor, and most of what waits does not compute: so plans, defects and jobs are performed on
//! stages of their own at the same time. Two replicas, whose times are judged, come when the plans are over.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use crate::campaign::{Judged, References, gate, gate_of_jobs, median, perform, references};
use crate::defect::Defect;
use crate::files::{read_plan, sorted};
use crate::leaders::{self, Case, Leaders};
use crate::plan::{Plan, Workload};
use crate::seedbed::{self, defects};
use crate::stage::{Rank, Stage};
use crate::trial::{Programs, Tried, trials};

/// What came of everything.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Plans.
    pub judged: Vec<Judged>,
    /// What was done to two replicas.
    pub cases: Vec<leaders::Judged>,
    /// Defects that were put in on purpose.
    pub tried: Vec<Tried>,
}

/// Where everything is performed.
struct Gate<'a> {
    started: Instant,
    directory: &'a Path,
    plain: &'a Path,
    defects: Vec<Defect>,
    programs: OnceCell<Programs>,
}

/// Performs the gate on this program. Logs, and what failed, go to `directory`.
///
/// # Errors
/// When the harness fails, or runs without a fault are not what they must be.
pub async fn pass(binary: &Path, directory: &Path, seed: u64) -> Result<Outcome> {
    let gate = Gate {
        started: Instant::now(),
        directory,
        plain: binary,
        defects: defects()?,
        programs: OnceCell::new(),
    };
    let (of_jobs, known) = regressions()?.into_iter().partition(|plan| plan.workload == Workload::HandOver);
    // Nothing is judged beside a compiler.
    gate.programs().await?;
    let (others, hand_overs) = tokio::try_join!(gate.of_tenants(known, seed), gate.of_hand_overs(of_jobs))?;
    Ok(others.and(hand_overs))
}

/// Plans that once found something.
///
/// # Errors
/// When one cannot be read.
pub fn regressions() -> Result<Vec<Plan>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    sorted(&directory)?.iter().map(|file| read_plan(file)).collect()
}

// === impl Gate ===

impl Gate<'_> {
    /// The two programs. Whoever needs them waits until they are built.
    async fn programs(&self) -> Result<&Programs> {
        let build = async || {
            let (defects, plain) = (self.defects.clone(), self.plain.to_owned());
            let directory = self.directory.to_owned();
            let seeded = spawn_blocking(move || seedbed::build(&defects, &plain, &directory)).await??;
            println!("the product with defects is built after {:.0} s", self.seconds());
            Ok(Programs { plain: self.plain.to_owned(), seeded })
        };
        self.programs.get_or_try_init(build).await
    }

    /// The plans on one stage, the defects on another and two replicas on a third.
    async fn of_tenants(&self, known: Vec<Plan>, seed: u64) -> Result<Outcome> {
        let mut stage = self.stage("logs").await?;
        // Others are for the full matrix, but for what once found something.
        let is_needed = |workload: &Workload| {
            *workload != Workload::HandOver
                && (workload.is_of_the_gate() || known.iter().any(|plan| plan.workload == *workload))
        };
        let workloads: Vec<Workload> = Workload::ALL.into_iter().filter(is_needed).collect();
        let references = references(&mut stage, &workloads).await?;
        let plans = with(gate(&references), &known);
        println!("{} plans after {:.0} s", plans.len(), self.seconds());
        let failures = self.directory.join("failed");
        let (sown, judged) = tokio::try_join!(
            self.of_defects(&references),
            perform(&mut stage, &plans, &references, &failures),
        )?;
        // Their times are judged, so they come when less is at work.
        let led = self.of_leaders(&references, seed).await?;
        println!("median {:.2} s a plan, {:.0} s so far", median(&judged).as_secs_f64(), self.seconds());
        Ok(Outcome { judged, ..led.and(sown) })
    }

    /// Two replicas, the storm apart: that is for the full matrix.
    async fn of_leaders(&self, references: &References, seed: u64) -> Result<Outcome> {
        let directory = self.directory.join("leaders");
        let mut leaders = Leaders::start(self.plain, &directory, references.clone()).await?;
        let [short @ .., _storm] = Case::ALL;
        let cases = leaders.perform(&short, seed).await?;
        let tried = leaders.trials(self.programs().await?, &self.chosen(), seed).await?;
        println!(
            "{} cases and {} defects of replicas after {:.0} s",
            cases.len(),
            tried.len(),
            self.seconds()
        );
        Ok(Outcome { cases, tried, ..Outcome::default() })
    }

    /// Whether the oracles find defects that need no jobs.
    async fn of_defects(&self, references: &References) -> Result<Outcome> {
        let programs = self.programs().await?;
        let mut stage = self.stage("defects").await?;
        let chosen: Vec<Defect> = self.chosen().into_iter().filter(|defect| !is_of_jobs(defect)).collect();
        let tried = trials(&mut stage, programs, &chosen, references).await?;
        println!("{} defects after {:.0} s", tried.len(), self.seconds());
        Ok(Outcome { tried, ..Outcome::default() })
    }

    /// What the gate has of jobs. Most of a hand-over is waiting for Kubernetes, so this costs little beside the others.
    async fn of_hand_overs(&self, known: Vec<Plan>) -> Result<Outcome> {
        let mut stage = self.stage("jobs").await?;
        let references = references(&mut stage, &[Workload::HandOver]).await?;
        let plans = with(gate_of_jobs(&references), &known);
        let judged = perform(&mut stage, &plans, &references, &self.directory.join("failed/jobs")).await?;
        let chosen: Vec<Defect> = self.chosen().into_iter().filter(is_of_jobs).collect();
        let tried = trials(&mut stage, self.programs().await?, &chosen, &references).await?;
        let (plans, defects, median) = (judged.len(), tried.len(), median(&judged).as_secs_f64());
        let seconds = self.seconds();
        println!(
            "{plans} plans and {defects} defects of jobs, median {median:.2} s a plan, after {seconds:.0} s"
        );
        Ok(Outcome { judged, tried, ..Outcome::default() })
    }

    /// A stage that makes way for the two replicas.
    async fn stage(&self, name: &str) -> Result<Stage> {
        Stage::start(self.plain, Rank::MakesWay, &self.directory.join(name)).await
    }

    /// The defects that the gate tries.
    fn chosen(&self) -> Vec<Defect> {
        let is_of_the_gate =
            |defect: &&Defect| defect.plans.iter().all(|plan| plan.workload.is_of_the_gate());
        self.defects.iter().filter(is_of_the_gate).cloned().collect()
    }

    fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

// === impl Outcome ===

impl Outcome {
    fn and(mut self, other: Self) -> Self {
        self.judged.extend(other.judged);
        self.cases.extend(other.cases);
        self.tried.extend(other.tried);
        self
    }
}

/// The plans, and those of the others that are not among them.
fn with(mut plans: Vec<Plan>, others: &[Plan]) -> Vec<Plan> {
    plans.extend(others.iter().filter(|plan| !plans.contains(plan)).cloned().collect::<Vec<_>>());
    plans
}

/// Whether only a hand-over shows a defect.
fn is_of_jobs(defect: &Defect) -> bool {
    !defect.plans.is_empty() && defect.plans.iter().all(|plan| plan.workload == Workload::HandOver)
}
