//! Several stages side by side, to which work is shared out. Needs a client, a clock and processes.
//!
//! Most of a run is waiting: for a controller that starts, for a second in which nothing is sent, for Kubernetes. So a machine with
//! few processors performs many runs at once, each on a control plane of its own.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use futures::future::try_join_all;

use crate::campaign::{Judged, References, perform, references};
use crate::defect::Defect;
use crate::plan::{Plan, Workload};
use crate::stage::{Rank, Stage};
use crate::trial::{Programs, Tried, trials};

/// Plans on one stage. Every order leaves a tenant, and a restart looks at all of them.
const A_STAGE: usize = 40;
/// Plans that are given out at a time: few, so that all stages end at about the same time, and several, because those that begin with
/// a tenant have them ordered together.
const A_SHARE: usize = 10;
/// Defects that are given out at a time. One that brings a run to no end takes as long as that is waited for.
const A_FEW: usize = 3;

/// Stages that are started when they are needed. They end when this is dropped.
pub struct Stages<'a> {
    binary: &'a Path,
    rank: Rank,
    directory: PathBuf,
    /// So many at once.
    count: usize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    started: usize,
    idle: Vec<Used>,
}

/// A stage, and how many plans were performed on it.
struct Used {
    stage: Stage,
    plans: usize,
}

/// What is to be done on one stage, one thing after the other.
struct Share<T> {
    number: usize,
    parts: Vec<T>,
}

// === impl Stages ===

impl<'a> Stages<'a> {
    /// At most `count` stages at once, for this program. Their logs, and what failed on them, go below `directory`.
    #[must_use]
    pub fn new(binary: &'a Path, rank: Rank, directory: &Path, count: usize) -> Self {
        Self { binary, rank, directory: directory.to_owned(), count, known: Mutex::default() }
    }

    /// Runs of each workload without a fault, see [`references`].
    ///
    /// # Errors
    /// When they are not what they must be, or the harness fails.
    pub async fn references(&self, workloads: &[Workload]) -> Result<References> {
        let shares = workloads.chunks(1);
        let all = self.share(shares, async |stage, share| references(stage, &share.parts).await).await?;
        Ok(all.into_iter().flatten().collect())
    }

    /// Performs plans, see [`perform`].
    ///
    /// # Errors
    /// When the harness fails.
    pub async fn perform(&self, plans: &[Plan], references: &References) -> Result<Vec<Judged>> {
        let of_one_workload = plans.chunk_by(|one, next| one.workload == next.workload);
        let shares = of_one_workload.flat_map(|plans| plans.chunks(A_SHARE));
        let failed = self.directory.join("failed");
        let all = self.share(shares, async |stage, share| {
            perform(stage, &share.parts, references, &failed.join(format!("{:03}", share.number))).await
        });
        Ok(all.await?.into_iter().flatten().collect())
    }

    /// Tries defects, see [`trials`]. Those that are shown by the same runs are tried on the same stage, because those runs are
    /// made without a defect first.
    ///
    /// # Errors
    /// When the harness fails.
    pub async fn trials(
        &self,
        programs: &Programs,
        defects: &[Defect],
        references: &References,
    ) -> Result<Vec<Tried>> {
        let mut sorted: Vec<Defect> =
            defects.iter().filter(|defect| !defect.plans.is_empty()).cloned().collect();
        sorted.sort_by_cached_key(|defect| defect.plans.first().map(ToString::to_string));
        let by_the_same = sorted.chunk_by(|one, next| one.plans.first() == next.plans.first());
        let shares = by_the_same.flat_map(|defects| defects.chunks(A_FEW));
        let all =
            self.share(shares, async |stage, share| trials(stage, programs, &share.parts, references).await);
        Ok(all.await?.into_iter().flatten().collect())
    }

    /// Gives out the shares, each to the next stage that has nothing to do, and gives what came of them in their order.
    async fn share<'t, T: Clone + 't, R>(
        &self,
        shares: impl Iterator<Item = &'t [T]>,
        work: impl AsyncFn(&mut Stage, &Share<T>) -> Result<R>,
    ) -> Result<Vec<R>> {
        let shares = shares.enumerate().map(|(number, parts)| Share { number, parts: parts.to_vec() });
        let left: Mutex<VecDeque<Share<T>>> = Mutex::new(shares.collect());
        let next = || left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let workers = (0..self.count).map(|_| async {
            let mut done = Vec::new();
            while let Some(share) = next() {
                let mut used = self.take(share.parts.len()).await?;
                done.push((share.number, work(&mut used.stage, &share).await?));
                self.lock().idle.push(used);
            }
            anyhow::Ok(done)
        });
        let mut done: Vec<(usize, R)> = try_join_all(workers).await?.into_iter().flatten().collect();
        done.sort_by_key(|(number, _)| *number);
        Ok(done.into_iter().map(|(_, result)| result).collect())
    }

    /// A stage for so many more plans: one that is idle, or a new one.
    async fn take(&self, plans: usize) -> Result<Used> {
        let number = {
            let mut known = self.lock();
            if let Some(mut used) = known.idle.pop() {
                used.plans += plans;
                if used.plans <= A_STAGE {
                    return Ok(used);
                }
            }
            known.started += 1;
            known.started
        };
        let directory = self.directory.join(format!("stage-{number:03}"));
        Ok(Used { stage: Stage::start(self.binary, self.rank, &directory).await?, plans })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
