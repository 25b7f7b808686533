//! The gate: what is performed side by side, and what came of it. Needs a client, a clock and processes.
//!
//! Most of what computes waits for a processor, and most of what waits does not compute: so plans, defects and jobs are performed on
//! stages of their own at the same time. Two replicas, whose times are judged, come when the plans are over.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use crate::campaign::{Judged, References, gate, gate_of_jobs, median};
use crate::defect::Defect;
use crate::files::{read_plan, sorted};
use crate::leaders::{self, Case, Leaders};
use crate::plan::{Plan, Workload};
use crate::seedbed::{self, defects};
use crate::stage::Rank;
use crate::stages::Stages;
use crate::trial::{Programs, Tried};

/// Stages for plans.
const FOR_PLANS: usize = 4;
/// Stages for defects.
const FOR_DEFECTS: usize = 4;
/// Stages for what has jobs.
const FOR_JOBS: usize = 2;

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

    /// Plans and defects, and the two replicas after them.
    async fn of_tenants(&self, known: Vec<Plan>, seed: u64) -> Result<Outcome> {
        let stages = self.stages("plans", FOR_PLANS);
        // Others are for the full matrix, but for what once found something.
        let is_needed = |workload: &Workload| {
            *workload != Workload::HandOver
                && (workload.is_of_the_gate() || known.iter().any(|plan| plan.workload == *workload))
        };
        let workloads: Vec<Workload> = Workload::ALL.into_iter().filter(is_needed).collect();
        let references = stages.references(&workloads).await?;
        let plans = with(gate(&references), &known);
        println!("{} plans after {:.0} s", plans.len(), self.seconds());
        let (sown, (judged, led)) = tokio::try_join!(self.of_defects(&references), async {
            let judged = self.of_plans(stages, &plans, &references).await?;
            // Their times are judged, so they come when less is at work.
            Ok((judged, self.of_leaders(&references, seed).await?))
        })?;
        println!("median {:.2} s a plan, {:.0} s so far", median(&judged).as_secs_f64(), self.seconds());
        Ok(Outcome { judged, ..led.and(sown) })
    }

    /// Plans. Their stages end with them.
    async fn of_plans(
        &self,
        stages: Stages<'_>,
        plans: &[Plan],
        references: &References,
    ) -> Result<Vec<Judged>> {
        let judged = stages.perform(plans, references).await?;
        println!("{} plans performed after {:.0} s", judged.len(), self.seconds());
        Ok(judged)
    }

    /// Two replicas, the storm apart: that is for the full matrix. Most of it is waiting for a lease to run out, so the defects are
    /// tried on two others.
    async fn of_leaders(&self, references: &References, seed: u64) -> Result<Outcome> {
        let leaders = async |name: &str| {
            Leaders::start(self.plain, &self.directory.join(name), references.clone()).await
        };
        let [short @ .., _storm] = Case::ALL;
        let (programs, chosen) = (self.programs().await?, self.chosen());
        let (cases, tried) =
            tokio::try_join!(async { leaders("leaders").await?.perform(&short, seed).await }, async {
                leaders("leaders-with-defects").await?.trials(programs, &chosen, seed).await
            },)?;
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
        let stages = self.stages("defects", FOR_DEFECTS);
        let chosen: Vec<Defect> = self.chosen().into_iter().filter(|defect| !is_of_jobs(defect)).collect();
        let tried = stages.trials(self.programs().await?, &chosen, references).await?;
        println!("{} defects after {:.0} s", tried.len(), self.seconds());
        Ok(Outcome { tried, ..Outcome::default() })
    }

    /// What the gate has of jobs. Most of a hand-over is waiting for Kubernetes, so this costs little beside the others.
    async fn of_hand_overs(&self, known: Vec<Plan>) -> Result<Outcome> {
        let stages = self.stages("jobs", FOR_JOBS);
        let references = stages.references(&[Workload::HandOver]).await?;
        let plans = with(gate_of_jobs(&references), &known);
        let judged = stages.perform(&plans, &references).await?;
        let chosen: Vec<Defect> = self.chosen().into_iter().filter(is_of_jobs).collect();
        let tried = stages.trials(self.programs().await?, &chosen, &references).await?;
        let (plans, defects, median) = (judged.len(), tried.len(), median(&judged).as_secs_f64());
        let seconds = self.seconds();
        println!(
            "{plans} plans and {defects} defects of jobs, median {median:.2} s a plan, after {seconds:.0} s"
        );
        Ok(Outcome { judged, tried, ..Outcome::default() })
    }

    /// Stages that make way for the two replicas.
    fn stages(&self, name: &str, count: usize) -> Stages<'_> {
        Stages::new(self.plain, Rank::MakesWay, &self.directory.join(name), count)
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
