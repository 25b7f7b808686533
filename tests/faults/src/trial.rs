//! Whether the oracles find defects that were put into the product on purpose. Needs a client, a clock and processes.
//!
//! The reference is the plain program. A tenant that a run begins with is made by the plain program as well, so that a
//! defect has only the run itself to show.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::campaign::References;
use crate::defect::{Defect, VARIABLE};
use crate::oracle::{Finding, judge};
use crate::plan::{Fault, Plan, Workload};
use crate::recorder;
use crate::stage::Stage;

/// How long a run may take to come to its end, beside what its fault takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// It may take so many times as long as it took without a defect, so that a busy machine is not taken for one.
const LONGER: u32 = 3;
/// How much longer a hand-over may take: Kubernetes looks at a Job once a second, and there are five.
const FIVE_JOBS: Duration = Duration::from_secs(20);
/// After so long a request that is never answered is given up.
const DEADLINE: Duration = Duration::from_secs(10);

/// The two programs.
#[derive(Clone, Debug)]
pub struct Programs {
    /// Without defects.
    pub plain: PathBuf,
    /// With all of them, none of which takes effect by itself.
    pub seeded: PathBuf,
}

/// What came of one defect.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The defect.
    pub defect: Defect,
    /// By what it was found, and what was found first; nothing when nothing was.
    pub caught: Option<(String, Finding)>,
}

/// How long runs took in which no defect took effect.
#[derive(Default)]
struct Lasting(Vec<(Plan, Duration)>);

// === impl Lasting ===

impl Lasting {
    /// How long the same run may take with a defect, beside what its fault takes on any machine.
    fn patience(&self, plan: &Plan) -> Duration {
        let took = self.0.iter().find(|(known, _)| known == plan).map(|(_, took)| *took);
        let beside = took.unwrap_or_default().saturating_sub(of_the_fault(plan));
        match plan.fault {
            // Without the deadline a request is given up by the connection, a deadline later.
            Fault::BlackHole => beside + DEADLINE / 2,
            _ => PATIENCE.max(beside * LONGER),
        }
    }
}

/// Tries every defect that has runs until one of them finds something.
///
/// The same runs are made first with the program in which no defect takes effect: it must pass them, or what is found
/// would say nothing of the defects.
///
/// # Errors
/// When it does not, or the harness fails.
pub async fn trials(
    stage: &mut Stage,
    programs: &Programs,
    defects: &[Defect],
    references: &References,
) -> Result<Vec<Tried>> {
    // Defects that were tried here before are none of these.
    anew(stage, programs).await?;
    let lasting = control(stage, programs, defects, references).await?;
    let mut all = Vec::new();
    for defect in defects.iter().filter(|defect| !defect.plans.is_empty()) {
        let mut caught = None;
        for plan in &defect.plans {
            anew(stage, programs).await?;
            let environment = [(VARIABLE.to_owned(), defect.name.clone())];
            let patience = lasting.patience(plan);
            let found = try_one(stage, plan, &programs.seeded, &environment, references, patience).await?;
            caught = found.into_iter().next().map(|finding| (plan.to_string(), finding));
            if caught.is_some() {
                break;
            }
        }
        all.push(Tried { defect: defect.clone(), caught });
    }
    Ok(all)
}

/// Takes away what was, and goes on with the plain program.
async fn anew(stage: &mut Stage, programs: &Programs) -> Result<()> {
    stage.choose(&programs.plain, &[]);
    stage.clear().await
}

async fn control(
    stage: &mut Stage,
    programs: &Programs,
    defects: &[Defect],
    references: &References,
) -> Result<Lasting> {
    let mut lasting = Lasting::default();
    let mut plans: Vec<&Plan> = Vec::new();
    for plan in defects.iter().flat_map(|defect| &defect.plans) {
        if !plans.contains(&plan) {
            plans.push(plan);
        }
    }
    for plan in plans {
        let started = Instant::now();
        let findings = try_one(stage, plan, &programs.seeded, &[], references, recorder::PATIENCE).await?;
        lasting.0.push((plan.clone(), started.elapsed()));
        if !findings.is_empty() {
            let all: Vec<String> = findings.iter().map(ToString::to_string).collect();
            let words = stage.last_words();
            bail!("{plan} finds something although no defect takes effect:\n{}\n{words}", all.join("\n"));
        }
    }
    Ok(lasting)
}

/// How long a run waits because of its fault, however fast the machine is.
fn of_the_fault(plan: &Plan) -> Duration {
    if plan.fault == Fault::BlackHole { DEADLINE } else { Duration::ZERO }
}

async fn try_one(
    stage: &mut Stage,
    plan: &Plan,
    program: &Path,
    environment: &[(String, String)],
    references: &References,
    patience: Duration,
) -> Result<Vec<Finding>> {
    if plan.workload.needs_tenant() && !stage.has_stock(plan.workload) {
        stage.stock(plan.workload, 1).await?;
    }
    stage.choose(program, environment);
    let for_the_work = match plan.workload {
        Workload::HandOver => FIVE_JOBS,
        Workload::OffboardExport => FIVE_JOBS / 4,
        // What a tenant left is looked at every five seconds.
        _ if plan.workload.is_of_servers() => FIVE_JOBS / 2,
        _ => Duration::ZERO,
    };
    stage.recorder.wait_at_most(patience + of_the_fault(plan) + for_the_work);
    let record = stage.run(plan).await;
    stage.recorder.wait_at_most(recorder::PATIENCE);
    let record = record.with_context(|| format!("{plan} cannot be performed"))?;
    Ok(judge(plan, &record, references.get(&plan.workload)))
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Defect { name, wrong, .. } = &self.defect;
        match &self.caught {
            // What a finding goes on to say are the last words of processes.
            Some((by, finding)) => {
                let finding = finding.to_string();
                write!(f, "caught: {name}, by {by}: {}", finding.lines().next().unwrap_or_default())
            }
            None => write!(f, "MISSED: {name}: {wrong}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_may_take_thrice_as_long_as_without_a_defect() {
        let slow = Plan::reference(Workload::Upgrade);
        let quick = Plan::reference(Workload::Provision);
        let seconds = Duration::from_secs;
        let lasting = Lasting(vec![(slow.clone(), seconds(8)), (quick.clone(), seconds(1))]);
        let never = Plan::reference(Workload::HandOver);
        assert_eq!(
            [slow, quick, never].map(|plan| lasting.patience(&plan)),
            [seconds(24), PATIENCE, PATIENCE]
        );
        let unanswered = Plan { fault: Fault::BlackHole, ..Plan::reference(Workload::Provision) };
        let lasting = Lasting(vec![(unanswered.clone(), seconds(15))]);
        assert_eq!(lasting.patience(&unanswered), seconds(10), "the ten of the deadline are no slowness");
    }
}
