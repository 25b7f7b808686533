//! Whether to take a lease, from what was seen and for how long; no client or clock.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;

use super::Candidate;

/// What a lease says, in the parts that show that its holder lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Identity of the holder, empty when released.
    pub identity: String,
    /// How long a renewal lasts, by the holder's own word.
    pub duration: Duration,
    /// Changes with every write.
    pub resource_version: String,
}

/// What to do about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Write ourselves into it.
    Take,
    /// Look again after this time.
    Wait(Duration),
}

impl Holder {
    /// From a Lease.
    #[must_use]
    pub fn of(lease: &Lease) -> Self {
        let spec = lease.spec.clone().unwrap_or_default();
        let seconds =
            spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0);
        Self {
            identity: spec.holder_identity.unwrap_or_default(),
            duration: Duration::from_secs(seconds),
            resource_version: lease.metadata.resource_version.clone().unwrap_or_default(),
        }
    }
}

/// Decides about a lease that has been seen unchanged for this long, by our own clock.
#[must_use]
pub fn decide(candidate: &Candidate, holder: Option<&Holder>, unchanged_for: Duration) -> Decision {
    let Some(holder) = holder else { return Decision::Take };
    if holder.identity.is_empty() || holder.identity == candidate.identity {
        return Decision::Take;
    }
    // A holder with a shorter word than ours may use other times than it says: the longer one is safe.
    let expires = holder.duration.max(candidate.timing.duration);
    if unchanged_for >= expires {
        Decision::Take
    } else {
        Decision::Wait((expires - unchanged_for).min(candidate.timing.look))
    }
}
