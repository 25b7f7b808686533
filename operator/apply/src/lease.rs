//! One leader at a time, by a Lease; uses the client and a monotonic clock.
//!
//! Wall clocks are never compared. Another's lease has expired when *we* have not seen it change for its duration; our
//! own is valid for its duration counted from when the last successful renewal was *sent*, so we stop before anybody
//! else may start. A lease is still no lock: every write carries a uid, and a request gets no more time than the lease
//! has left.
//!
//! Losing the lease to another ends the process: [`Elector::hold`] returns an error, and main exits with it. So does a
//! lease that is older than it was: somebody restored the store from a copy. A lease that only cannot be renewed, because
//! the API server is away, closes the gate and is tried on: a process that ended then would lose what it knows, and would
//! be kept waiting by whoever restarts it when the API server is back.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, PostParams};
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout};

use crate::gate::WriteGate;
use crate::object::FIELD_MANAGER;

mod decide;
#[cfg(test)]
mod tests;

pub use decide::{Decision, Holder, decide};

/// How long before its expiry our own lease counts as gone: what a write needs to arrive.
const MARGIN: Duration = Duration::from_secs(1);

/// How long a process that shall end waits for the answer to a renewal that is under way.
const LAST_ANSWER: Duration = Duration::from_secs(2);

/// Times of an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a renewal lasts.
    pub duration: Duration,
    /// After how long without a successful renewal the holder writes no more.
    pub deadline: Duration,
    /// Between two renewals.
    pub period: Duration,
    /// Between two looks at another's lease. Whoever is asked to end releases it, and the next one leads that soon.
    pub look: Duration,
}

/// Who takes part in which election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Unique per process start, so that a restarted pod never takes itself for its predecessor.
    pub identity: String,
    /// Times.
    pub timing: Timing,
}

/// Why a held lease ended.
#[derive(Debug, Error)]
pub enum LeaseError {
    /// Somebody else holds it.
    #[error("the lease is held by {holder:?} now: this process must end")]
    Taken {
        /// The other's identity, empty when the lease is gone.
        holder: String,
    },
    /// The store holds an older state of the lease than this process has written.
    #[error(
        "the store went back to an earlier state: what this process knows was never there, and it must end"
    )]
    WentBack,
}

/// What whoever holds a lease is told about it.
#[derive(Debug)]
pub enum Standing {
    /// It could not be renewed in time, and nothing is written until it is.
    Interrupted {
        /// For how long.
        seconds: u64,
        /// The last error, when there was one.
        error: Option<kube::Error>,
    },
    /// It is held again.
    Resumed,
}

/// How long this process may write: what the executor asks.
#[derive(Debug, Default)]
pub struct LeaseGate {
    renewal: Mutex<Option<Renewal>>,
}

/// How long the last renewal says what.
#[derive(Clone, Copy, Debug)]
struct Renewal {
    /// This process may write.
    valid_until: Instant,
    /// The next renewal is not late yet.
    fresh_until: Instant,
}

/// Takes part in an election.
pub struct Elector {
    api: Api<Lease>,
    candidate: Candidate,
    gate: Arc<LeaseGate>,
}

/// Whose turn it is to lead, as the lease counts turns: what fences a write to anything that knows no lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// Identity of who leads.
    pub holder: String,
    /// UID of the lease. One that was deleted and made again counts anew.
    pub lease_uid: String,
    /// How often the lease had changed its holder when this turn began.
    pub transitions: i32,
}

/// A lease this process holds.
pub struct Held {
    lease: Lease,
    sent: Instant,
}

impl Default for Timing {
    /// As Kubernetes' own controllers: 15, 10 and 2 seconds. Looks are more frequent than theirs: while nobody leads,
    /// nothing is repaired, and one read costs the API server next to nothing.
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            deadline: Duration::from_secs(10),
            period: Duration::from_secs(2),
            look: Duration::from_millis(250),
        }
    }
}

impl WriteGate for LeaseGate {
    fn remaining(&self) -> Duration {
        let until = self.last().map(|renewal| renewal.valid_until);
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    fn is_fresh(&self) -> bool {
        self.last().is_some_and(|renewal| Instant::now() < renewal.fresh_until)
    }
}

impl LeaseGate {
    fn last(&self) -> Option<Renewal> {
        *self.renewal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, renewal: Option<Renewal>) {
        *self.renewal.lock().unwrap_or_else(PoisonError::into_inner) = renewal;
    }
}

// === impl Held ===

impl Held {
    /// Whose turn it is.
    #[must_use]
    pub fn tenure(&self) -> Tenure {
        let spec = self.lease.spec.as_ref();
        Tenure {
            holder: spec.and_then(|spec| spec.holder_identity.clone()).unwrap_or_default(),
            lease_uid: self.lease.metadata.uid.clone().unwrap_or_default(),
            transitions: spec.and_then(|spec| spec.lease_transitions).unwrap_or_default(),
        }
    }
}

// === impl Elector ===

impl Elector {
    /// `client` should be one of its own without a retry layer: a renewal that waits behind other requests is late. The
    /// gate is opened and closed by this election.
    #[must_use]
    pub fn new(client: Client, candidate: Candidate, gate: Arc<LeaseGate>) -> Self {
        let api = Api::namespaced(client, &candidate.namespace);
        Self { api, candidate, gate }
    }

    /// Waits until this process is the leader.
    pub async fn acquire(&self) -> Held {
        let mut seen: Option<Holder> = None;
        let mut seen_at = Instant::now();
        loop {
            let pause = match self.look().await {
                Ok(lease) => {
                    let holder = lease.as_ref().map(Holder::of);
                    if holder != seen {
                        seen = holder;
                        seen_at = Instant::now();
                    }
                    match decide(&self.candidate, seen.as_ref(), seen_at.elapsed()) {
                        Decision::Wait(pause) => pause,
                        Decision::Take => match self.write(lease).await {
                            Ok(held) => return held,
                            Err(error) => {
                                tracing::debug!(%error, "lease not taken");
                                self.candidate.timing.period
                            }
                        },
                    }
                }
                Err(error) => {
                    tracing::debug!(?error, "lease cannot be read");
                    self.candidate.timing.period
                }
            };
            sleep(pause).await;
        }
    }

    /// Renews until `stop` resolves, then releases the lease. `told` hears when the lease is interrupted and resumed.
    ///
    /// # Errors
    /// When another holds the lease. The gate is closed before this returns.
    pub async fn hold(
        &self,
        held: Held,
        stop: impl Future<Output = ()>,
        told: impl Fn(Standing),
    ) -> Result<(), LeaseError> {
        let mut stop = pin!(stop);
        let mut held = held;
        let result = loop {
            tokio::select! {
                biased;
                () = &mut stop => break Ok(()),
                () = sleep(self.candidate.timing.period) => {}
            }
            let (renewed, stops) = {
                let mut renewing = pin!(self.renew(&held, &told));
                tokio::select! {
                    biased;
                    renewed = &mut renewing => (Some(renewed), false),
                    // Its answer says which lease is to be given back; cut off, whoever is next would have to wait for it to
                    // expire. While the API server is away there is nothing to wait for.
                    () = &mut stop => (timeout(LAST_ANSWER, renewing).await.ok(), true),
                }
            };
            match renewed {
                Some(Ok(renewed)) => held = renewed,
                Some(Err(error)) => break Err(error),
                None => {}
            }
            if stops {
                break Ok(());
            }
        };
        self.gate.set(None);
        if result.is_ok() {
            self.release(held).await;
        }
        result
    }

    /// Renews, trying again until it is renewed or another holds it.
    async fn renew(&self, held: &Held, told: &impl Fn(Standing)) -> Result<Held, LeaseError> {
        let mut last = held.lease.clone();
        let mut interrupted = false;
        loop {
            let mut error = None;
            match self.write(Some(last.clone())).await {
                Ok(renewed) => {
                    if interrupted {
                        told(Standing::Resumed);
                    }
                    return Ok(renewed);
                }
                Err(WriteError::Api(refused)) => error = Some(refused),
                Err(WriteError::Late) => {}
            }
            // Our own write may have landed without its answer, or somebody else's did: look before trying again.
            match self.look().await {
                // The server reads its newest state, so an older one than ours means that a copy of the store was
                // put in its place. Every cache of this process is ahead of it, and no watch would ever say so.
                Ok(Some(lease)) if version(&lease) < version(&held.lease) => {
                    self.gate.set(None);
                    return Err(LeaseError::WentBack);
                }
                Ok(Some(lease)) if self.is_mine(&lease) => last = lease,
                Ok(lease) => {
                    self.gate.set(None);
                    let holder = lease.as_ref().map(|lease| Holder::of(lease).identity).unwrap_or_default();
                    return Err(LeaseError::Taken { holder });
                }
                Err(_) => sleep(self.candidate.timing.period).await,
            }
            let elapsed = held.sent.elapsed();
            if !interrupted && elapsed >= self.candidate.timing.deadline {
                interrupted = true;
                self.gate.set(None);
                told(Standing::Interrupted { seconds: elapsed.as_secs(), error });
            }
        }
    }

    fn is_mine(&self, lease: &Lease) -> bool {
        Holder::of(lease).identity == self.candidate.identity
    }

    async fn look(&self) -> Result<Option<Lease>, WriteError> {
        let answer = timeout(self.patience(), self.api.get_opt(&self.candidate.name)).await;
        answer.map_err(|_| WriteError::Late)?.map_err(WriteError::Api)
    }

    /// Writes ourselves into the lease, with the resource version of what we saw: of two candidates one wins.
    async fn write(&self, seen: Option<Lease>) -> Result<Held, WriteError> {
        let sent = Instant::now();
        let body = self.body(seen.as_ref());
        let params = self.params();
        let request = async {
            match seen {
                Some(_) => self.api.replace(&self.candidate.name, &params, &body).await,
                None => self.api.create(&params, &body).await,
            }
        };
        let lease = timeout(self.patience(), request)
            .await
            .map_err(|_| WriteError::Late)?
            .map_err(WriteError::Api)?;
        let Timing { duration, period, .. } = self.candidate.timing;
        let valid_until = sent + duration.saturating_sub(MARGIN);
        self.gate.set(Some(Renewal { valid_until, fresh_until: sent + period + period / 2 }));
        Ok(Held { lease, sent })
    }

    async fn release(&self, held: Held) {
        let mut lease = held.lease;
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            // When it was let go, so that the lease itself tells how long nobody led.
            spec.renew_time = Some(MicroTime(Timestamp::now()));
        }
        let params = self.params();
        let request = self.api.replace(&self.candidate.name, &params, &lease);
        // Unreleased it expires by itself.
        if !matches!(timeout(self.patience(), request).await, Ok(Ok(_))) {
            tracing::debug!("lease not released");
        }
    }

    fn params(&self) -> PostParams {
        PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
    }

    fn body(&self, seen: Option<&Lease>) -> Lease {
        let spec = seen.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let now = MicroTime(Timestamp::now());
        let is_renewal = spec.holder_identity.as_deref() == Some(&self.candidate.identity);
        let transitions = spec.lease_transitions.unwrap_or(0);
        let spec = LeaseSpec {
            holder_identity: Some(self.candidate.identity.clone()),
            lease_duration_seconds: i32::try_from(self.candidate.timing.duration.as_secs()).ok(),
            acquire_time: if is_renewal { spec.acquire_time } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(if is_renewal || seen.is_none() { transitions } else { transitions + 1 }),
            ..spec
        };
        let metadata = match seen {
            Some(lease) => ObjectMeta { managed_fields: None, ..lease.metadata.clone() },
            None => ObjectMeta { name: Some(self.candidate.name.clone()), ..ObjectMeta::default() },
        };
        Lease { metadata, spec: Some(spec) }
    }

    /// Deadline of one request: half of what is left to give up, so that a lost answer leaves time for another try.
    fn patience(&self) -> Duration {
        self.candidate.timing.deadline / 2
    }
}

/// Which state of the store a lease is of. Versions are compared only of one lease.
fn version(lease: &Lease) -> u64 {
    let version = lease.metadata.resource_version.as_deref();
    version.and_then(|version| version.parse().ok()).unwrap_or_default()
}

#[derive(Debug, Error)]
enum WriteError {
    #[error("no answer in time")]
    Late,
    #[error("refused or failed: {0}")]
    Api(#[source] kube::Error),
}
