//! Two replicas: one leads, it is ended, stopped or asked to end, and the other goes on. Needs a client, a clock and
//! processes.
//!
//! How long nobody led is told by the lease itself, so that a busy machine does not make it longer than it was.

mod cases;
mod pair;
mod storm;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::campaign::References;
use crate::defect::Defect;
use crate::history::Record;
use crate::oracle::Finding;
use crate::oracle::fencing::Word;
use crate::trial::{Programs, Tried};
use pair::{Pair, Seen};

/// One case and what is wrong with it.
#[derive(Debug, Serialize)]
pub struct Judged {
    /// What was done.
    pub case: Case,
    /// What is wrong; nothing when it passed.
    pub findings: Vec<Finding>,
    /// What was measured, for people.
    pub figures: String,
    /// How long it took.
    pub took: Duration,
}

/// What is done to the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Case {
    /// It is killed while there is nothing to do.
    KilledAtRest,
    /// It is asked to end while there is nothing to do.
    AskedToEndAtRest,
    /// It is asked to end in the midst of work.
    AskedToEndAtWork,
    /// It is stopped in the midst of work until another has finished it, and goes on then.
    StoppedAtWork,
    /// As before, and requests of it arrive when the other has finished.
    LateRequests,
    /// The leader changes several times while there are many orders.
    Storm,
}

/// What a case gives.
struct Outcome {
    seen: Seen,
    findings: Vec<Finding>,
    figures: String,
}

/// What is kept of a case that failed.
#[derive(Serialize)]
struct Kept<'a> {
    judged: &'a Judged,
    record: Option<&'a Record>,
    lease: &'a [Word],
}

// === impl Case ===

impl Case {
    /// All of them, the longest last.
    pub const ALL: [Self; 6] = [
        Self::KilledAtRest,
        Self::AskedToEndAtRest,
        Self::AskedToEndAtWork,
        Self::StoppedAtWork,
        Self::LateRequests,
        Self::Storm,
    ];

    fn words(self) -> &'static str {
        match self {
            Self::KilledAtRest => "the leader is killed at rest",
            Self::AskedToEndAtRest => "the leader is asked to end at rest",
            Self::AskedToEndAtWork => "the leader is asked to end at work",
            Self::StoppedAtWork => "the leader is stopped past its lease at work",
            Self::LateRequests => "requests of the old leader arrive when the new one has finished",
            Self::Storm => "the leader changes in a storm of orders",
        }
    }

    async fn perform(self, pair: &mut Pair, seed: u64) -> Result<Outcome> {
        match self {
            Self::KilledAtRest => cases::killed_at_rest(pair).await,
            Self::AskedToEndAtRest => cases::asked_to_end(pair, false).await,
            Self::AskedToEndAtWork => cases::asked_to_end(pair, true).await,
            Self::StoppedAtWork => cases::stopped(pair).await,
            Self::LateRequests => cases::late_requests(pair).await,
            Self::Storm => storm::storm(pair, seed).await,
        }
    }
}

/// A stage with two replicas on it.
pub struct Leaders {
    pair: Pair,
    directory: PathBuf,
}

impl Leaders {
    /// Starts the stage. What is seen of cases that fail is kept in `directory`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start(binary: &Path, directory: &Path, references: References) -> Result<Self> {
        let pair = Pair::start(binary, &directory.join("logs"), references).await?;
        Ok(Self { pair, directory: directory.to_owned() })
    }

    /// Performs cases, and tells of each.
    ///
    /// # Errors
    /// When the harness fails; what the controller does wrong is among the findings.
    pub async fn perform(&mut self, cases: &[Case], seed: u64) -> Result<Vec<Judged>> {
        let mut all = Vec::new();
        for case in cases {
            all.push(one(&mut self.pair, *case, &self.directory, seed).await?);
        }
        Ok(all)
    }

    /// Tries every defect that has cases until one of them finds something.
    ///
    /// # Errors
    /// When the harness fails.
    pub async fn trials(&mut self, programs: &Programs, defects: &[Defect], seed: u64) -> Result<Vec<Tried>> {
        let mut all = Vec::new();
        for defect in defects.iter().filter(|defect| !defect.cases.is_empty()) {
            let mut caught = None;
            for case in &defect.cases {
                self.pair.begin_anew_with(&programs.plain, &programs.seeded, &defect.name).await?;
                let found = match case.perform(&mut self.pair, seed).await {
                    Ok(outcome) => outcome.findings,
                    Err(error) => vec![Finding::new("O3", format!("{error:#}"))],
                };
                caught = found.into_iter().next().map(|finding| (case.words().to_owned(), finding));
                if caught.is_some() {
                    break;
                }
            }
            all.push(Tried { defect: defect.clone(), caught });
        }
        Ok(all)
    }
}

async fn one(pair: &mut Pair, case: Case, directory: &Path, seed: u64) -> Result<Judged> {
    let started = Instant::now();
    let (findings, figures, seen) = match case.perform(pair, seed).await {
        Ok(outcome) => (outcome.findings, outcome.figures, Some(outcome.seen)),
        Err(error) => (vec![Finding::new("O3", format!("{error:#}"))], String::new(), None),
    };
    let judged = Judged { case, findings, figures, took: started.elapsed() };
    let (words, took) = (case.words(), judged.took.as_secs_f64());
    if judged.findings.is_empty() {
        println!("passed in {took:.1} s: {words}; {}", judged.figures);
        return Ok(judged);
    }
    println!("failed in {took:.1} s: {words}; {}", judged.figures);
    judged.findings.iter().for_each(|finding| println!("    {finding}"));
    keep(&judged, seen.as_ref(), directory)?;
    pair.reset().await.context("the replicas cannot be started anew")?;
    Ok(judged)
}

fn keep(judged: &Judged, seen: Option<&Seen>, directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let name = serde_json::to_value(judged.case)?;
    let file = directory.join(format!("{}.json", name.as_str().unwrap_or_default()));
    let record = seen.map(|seen| &seen.record);
    let lease = seen.map(|seen| seen.words.as_slice()).unwrap_or_default();
    std::fs::write(&file, serde_json::to_vec(&Kept { judged, record, lease })?)
        .with_context(|| format!("cannot write {}", file.display()))
}
