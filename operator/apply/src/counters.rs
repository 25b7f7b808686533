//! Counts of what the engine did, for the binary to export; no client or clock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// POST of a new object.
    Create,
    /// Server-side apply.
    Apply,
    /// JSON patch that hands a creation's fields over to the apply.
    Takeover,
    /// PUT of a repaired object.
    Replace,
    /// DELETE with the UID.
    Delete,
    /// GET of a live object, for a comparison or a question of ownership.
    Get,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// Answered with success.
    Done,
    /// Answered with a refusal.
    Refused,
    /// Not answered in time, or the connection broke: it may have happened.
    Unknown,
}

/// One line of the request counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestKey {
    /// What was asked.
    pub verb: Verb,
    /// Of which kind, such as `apps/v1/Deployment`.
    pub kind: String,
    /// How it ended.
    pub ending: Ending,
}

/// The counts. Shared by executor and streams.
#[derive(Debug, Default)]
pub struct Counters {
    requests: Mutex<BTreeMap<RequestKey, u64>>,
    repairs: Mutex<BTreeMap<String, u64>>,
    watch_restarts: AtomicU64,
}

impl Verb {
    /// Lower-case name, for a metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Apply => "apply",
            Self::Takeover => "takeover",
            Self::Replace => "replace",
            Self::Delete => "delete",
            Self::Get => "get",
        }
    }
}

impl Ending {
    /// Lower-case name, for a metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

impl Counters {
    /// Counts a request.
    pub fn request(&self, verb: Verb, kind: String, ending: Ending) {
        add(&self.requests, RequestKey { verb, kind, ending });
    }

    /// Counts the repair of an object that had drifted.
    pub fn repair(&self, kind: String) {
        add(&self.repairs, kind);
    }

    /// Counts a watch that was rebuilt from nothing.
    pub fn watch_restart(&self) {
        self.watch_restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests so far by verb, kind and ending.
    #[must_use]
    pub fn requests(&self) -> BTreeMap<RequestKey, u64> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Repairs so far by kind.
    #[must_use]
    pub fn repairs(&self) -> BTreeMap<String, u64> {
        self.repairs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Watches rebuilt from nothing so far.
    #[must_use]
    pub fn watch_restarts(&self) -> u64 {
        self.watch_restarts.load(Ordering::Relaxed)
    }
}

fn add<K: Ord>(counts: &Mutex<BTreeMap<K, u64>>, key: K) {
    *counts.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += 1;
}
