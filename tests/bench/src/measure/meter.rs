//! What a stretch of time cost the contender and the control plane, and when they are done with their work. Needs the
//! process table and a clock.

use super::process;
use crate::contender::Actor;
use anyhow::Result;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

/// Between two looks at commands, which live for less than a second.
const SAMPLE: Duration = Duration::from_millis(50);
/// Between two looks at processes that are to come to rest.
const LOOK: Duration = Duration::from_millis(20);
/// Rest is this long without work.
const REST: Duration = Duration::from_secs(1);
/// Share of a core that processes at rest use, together.
const REST_SHARE: f64 = 0.10;
/// When processes have not come to rest after so long, they have something to do for good.
const REST_PATIENCE: Duration = Duration::from_secs(300);

/// Whose cost it is.
#[derive(Clone)]
pub enum Subject {
    /// A process.
    Process(u32),
    /// The commands that an actor runs.
    Commands(Box<Actor>),
}

/// Cost of a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Processor seconds of the contender.
    pub contender: f64,
    /// Processor seconds of etcd, API server and controller manager together.
    pub control_plane: f64,
    /// Largest resident memory of the contender so far, in MiB; of commands, of all that ran at the same time.
    pub peak_rss_mib: f64,
}

/// Measures from its start to [`Meter::finish`].
pub struct Meter {
    subject: Subject,
    servers: Vec<u32>,
    began: (Duration, Duration),
    sampler: Option<AbortHandle>,
    sampled: Arc<Mutex<f64>>,
}

// === impl Meter ===

impl Meter {
    /// Begins to measure.
    ///
    /// # Errors
    /// When a process is gone.
    pub fn start(subject: Subject, servers: &[u32]) -> Result<Self> {
        let sampled: Arc<Mutex<f64>> = Arc::default();
        let sampler = match &subject {
            Subject::Process(_) => None,
            Subject::Commands(actor) => {
                Some(tokio::spawn(sample(Actor::clone(actor), Arc::clone(&sampled))).abort_handle())
            }
        };
        let began = (used(&subject)?, process::cpu_of(servers)?);
        Ok(Self { subject, servers: servers.to_vec(), began, sampler, sampled })
    }

    /// What was used since the start.
    ///
    /// # Errors
    /// When a process is gone.
    pub fn finish(&self) -> Result<Cost> {
        let (contender, control_plane) = self.began;
        let peak_rss_mib = match &self.subject {
            Subject::Process(pid) => process::peak_rss_mib(*pid)?,
            Subject::Commands(_) => *self.sampled.lock().unwrap_or_else(PoisonError::into_inner),
        };
        Ok(Cost {
            contender: used(&self.subject)?.saturating_sub(contender).as_secs_f64(),
            control_plane: process::cpu_of(&self.servers)?.saturating_sub(control_plane).as_secs_f64(),
            peak_rss_mib,
        })
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(sampler) = &self.sampler {
            sampler.abort();
        }
    }
}

async fn sample(actor: Actor, largest: Arc<Mutex<f64>>) {
    loop {
        // A command that ends between the two looks is not counted this time.
        let together: f64 =
            actor.children().into_iter().filter_map(|pid| process::peak_rss_mib(pid).ok()).sum();
        {
            let mut largest = largest.lock().unwrap_or_else(PoisonError::into_inner);
            *largest = largest.max(together);
        }
        sleep(SAMPLE).await;
    }
}

fn used(subject: &Subject) -> Result<Duration> {
    match subject {
        Subject::Process(pid) => process::cpu(*pid),
        Subject::Commands(_) => process::cpu_of_ended_children(),
    }
}

/// Waits until these processes have nothing to do; gives the moment at which their rest began. Work shows nowhere but in
/// the time they use, so this looks at it again and again.
///
/// # Errors
/// When a process is gone.
pub async fn until_rest(pids: &[u32]) -> Result<Instant> {
    let limit = Instant::now() + REST_PATIENCE;
    let allowed = REST.mul_f64(REST_SHARE);
    let (mut since, mut used_before) = (Instant::now(), process::cpu_of(pids)?);
    loop {
        sleep(LOOK).await;
        let used = process::cpu_of(pids)?;
        if used.saturating_sub(used_before) > allowed {
            (since, used_before) = (Instant::now(), used);
        } else if since.elapsed() >= REST || Instant::now() > limit {
            return Ok(since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[tokio::test]
    async fn a_process_that_only_waits_is_at_rest_and_costs_nothing() {
        let mut child = Command::new("sh").args(["-c", "read line"]).stdin(Stdio::piped()).spawn().unwrap();
        let began = Instant::now();
        let meter = Meter::start(Subject::Process(child.id()), &[]).unwrap();
        let since = until_rest(&[child.id()]).await.unwrap();
        assert!(since >= began && since.elapsed() >= REST);
        let cost = meter.finish().unwrap();
        assert!(cost.contender <= REST_SHARE && cost.peak_rss_mib > 0.0, "{cost:?}");
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(meter.finish().is_err(), "it is gone");
    }
}
