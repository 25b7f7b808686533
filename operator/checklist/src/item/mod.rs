//! The state of each checklist item, derived from evidence; pure, the present comes in as a parameter.
//!
//! What an earlier pass found is never taken as proof. From the previous entries come only the things that evidence
//! cannot show: since when, how often, and when to try again. An item whose evidence is gone is not done, and one that
//! failed is done as soon as evidence says so.

mod conclusion;
mod evaluate;
mod forecast;
mod jobs;
mod leaving;
mod people;
mod retry;

pub use evaluate::evaluate;
pub use retry::RetryRequest;

use crate::due::Dates;
use crate::duration::{self, DurationError};
use crate::forecast::{Estimate, Length};
use crate::learned::Usual;
use crate::sign_off::{Standing, Wanted};
use crate::time;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use tenantry_crds::blueprint::{Category, Item, OnFailure, Party};
use tenantry_crds::subscription::{ChecklistEntry, ItemState, JobResult, JobState, SignOffRequest};

/// Reason of an item that waits for its time.
pub const NOT_BEFORE: &str = "NotBefore";
/// Reason of an item that cannot start because an edit of the order was refused.
pub const ORDER_REFUSED: &str = "OrderRefused";
/// Reason of an item that waits for somebody's signature.
pub const SIGN_OFF_MISSING: &str = "SignOffMissing";
/// Reason of an item whose signature was about something that has changed since.
pub const SIGN_OFF_LAPSED: &str = "SignOffLapsed";
/// Reason of an item whose signature came without the proof that is asked for.
pub const SIGN_OFF_UNPROVEN: &str = "SignOffUnproven";
/// Reason of an item that did its work and waits for somebody to confirm that. Only going live waits for it.
pub const CONFIRMATION_MISSING: &str = "ConfirmationMissing";
/// Reason of an item that a person holds.
pub const ON_HOLD: &str = "OnHold";
/// Reason of an item of a subscription that a person paused.
pub const PAUSED: &str = "Paused";
/// Reason of an item that waits until the tenant is not suspended any more.
pub const SUSPENDED: &str = "Suspended";
/// Reason of an item that waits until a pool of servers has room.
pub const OUT_OF_CAPACITY: &str = "OutOfCapacity";
/// Reason of an item that waits for a pool of servers that nobody has made.
pub const NO_SERVER_POOL: &str = "NoServerPool";
/// Reason of an item whose pods wait for their share of the servers.
pub const SERVERS_OPEN: &str = "ServersOpen";
/// Reason of the item about servers of a tenant that was suspended for so long that its share was given back.
pub const SERVERS_RELEASED: &str = "ServersReleased";
/// Reason of an item whose outcome could not be recorded.
pub const JOURNAL_UNAVAILABLE: &str = "JournalUnavailable";
/// Reason of an item that was refused too often.
pub const ATTEMPTS_EXHAUSTED: &str = "AttemptsExhausted";
/// Reason of an item whose job runs, or will in a moment.
pub const JOB_RUNNING: &str = "JobRunning";
/// Reason of an item whose job did not do what it was asked for.
pub const JOB_FAILED: &str = "JobFailed";
/// Reason of a step of the end that waits until the data need not be kept any longer.
pub const DATA_KEPT: &str = "DataKept";
/// Reason of a step of the end that is under way.
pub const LEAVING: &str = "Leaving";
/// Reason of an item that took too long.
pub const TIMED_OUT: &str = "TimedOut";

/// One item with everything its state depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemInput {
    /// Name of the item.
    pub name: String,
    /// Part of the service it belongs to.
    pub category: Category,
    /// Who has to act when it waits for somebody.
    pub owner: Party,
    /// What it does.
    pub kind: Kind,
    /// Items that must be done or skipped before it has any effect.
    pub depends_on: Vec<String>,
    /// Why it does not apply, for people, such as `the order has no hosts`; without it the item applies.
    pub skipped: Option<String>,
    /// Digest of everything the item is made of; a change re-arms it.
    pub input_digest: String,
    /// What is observed.
    pub evidence: Evidence,
    /// How long it may take once it started.
    pub timeout: SignedDuration,
    /// How often and how fast a refused step is tried again.
    pub retry: RetryPolicy,
    /// Whether the item keeps what it has and gets nothing new, because an edit of the order was refused.
    pub frozen: bool,
    /// A person's word that the item waits: it keeps what it has and gets nothing new.
    pub hold: Option<Hold>,
    /// Signature that it asks for, and how it stands.
    pub signature: Option<SignatureInput>,
    /// What is observed of its job, where it has one.
    pub job: Option<JobInput>,
    /// What it found out, for people, such as how a plan was sized.
    pub note: Option<String>,
    /// When it should be done.
    pub due: Option<Timestamp>,
    /// What becomes of the items behind it if it fails.
    pub on_failure: OnFailure,
    /// How long it usually takes.
    pub estimate: Estimate,
    /// How long it takes at most in nine of ten cases, where that is known.
    pub nine_of_ten: Option<Estimate>,
}

/// What is observed of the last run of an item's job, which the entry before names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobInput {
    /// Name of the run that this is about.
    pub name: String,
    /// Whether its Job was made.
    pub made: bool,
    /// How it ended, once it did.
    pub ended: Option<JobEnd>,
    /// Whether its pods, which are kept for their result, were let go.
    pub let_go: bool,
    /// What has to happen outside before a run begins.
    pub waits: Option<Waiting>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobEnd {
    /// Whether it did what it was asked for.
    pub state: JobState,
    /// What it found.
    pub result: JobResult,
    /// When.
    pub at: Timestamp,
}

/// The word that an item waits, mostly a person's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// This item is held, for this reason.
    Item(String),
    /// The whole subscription is paused, for this reason.
    Subscription(String),
    /// The tenant is suspended before it was ever opened, for these reasons.
    Suspension(String),
    /// So much waits to be recorded that nothing more may happen.
    Journal,
}

/// Signature that an item asks for, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureInput {
    /// What is asked of whom.
    pub wanted: Wanted,
    /// What was given.
    pub standing: Standing,
}

/// What an item does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Needs nothing but the order.
    Check,
    /// Has objects of the blueprint.
    Objects,
    /// Has objects of the application version.
    Application,
    /// Runs a job and takes its result as evidence.
    Job,
    /// Sees to it that the ledger knows who pays.
    Billing,
    /// Waits for a person's signature.
    SignOff,
    /// Opens the tenant to its customers. It also waits for every item outside its category, so that nothing is opened
    /// that is not ready.
    GoLive {
        /// Time before which it has no effect.
        not_before: Option<Timestamp>,
    },
    /// Takes something away at the end of a subscription. What is not gone yet is among what is not healthy.
    Leaving {
        /// Time before which it has no effect.
        not_before: Option<Timestamp>,
        /// Whether it took so long, by every clock, that the end goes on without what is left.
        given_up: bool,
    },
}

/// What is observed of one item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Objects that shall exist, those of kinds that are left out not counted.
    pub desired: usize,
    /// Objects of those that exist with the content they shall have.
    pub live: usize,
    /// Objects that exist and do not work yet, or do not work any more.
    pub unhealthy: Vec<Unhealthy>,
    /// The last refusal or outage, while nothing has succeeded since: an item that was done has none until it is refused
    /// again.
    pub failure: Option<ItemFailure>,
    /// Something outside that has to happen first, such as the installation of a kind.
    pub waiting: Option<Waiting>,
    /// Optional kinds that are not installed, so that their objects are left out.
    pub missing_kinds: Vec<String>,
}

/// One object that does not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unhealthy {
    /// Kind and name, such as `Deployment web`. Names that the cluster makes up do not belong in here.
    pub object: String,
    /// Why, in one word, such as `MinimumReplicasUnavailable`.
    pub reason: String,
    /// Whether it will not become healthy by itself.
    pub failed: bool,
}

/// One failed effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemFailure {
    /// Whether the answer was a definite refusal. Outages, overload and lost connections are none and are not counted.
    pub definitive: bool,
    /// Why, in one word.
    pub reason: String,
    /// Why, for people, without names that the cluster makes up.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// Something outside that has to happen before the item can go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Why, in one word, such as `KindNotInstalled`.
    pub reason: String,
    /// What has to happen, for people.
    pub message: String,
}

/// How often and how fast a refused step is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Definite refusals after which the item fails.
    pub attempts: i32,
    /// Wait after the first refusal; it doubles with each, up to one hour.
    pub backoff: SignedDuration,
}

/// What a whole checklist is evaluated from.
#[derive(Clone, Copy, Debug)]
pub struct EvaluateInput<'a> {
    /// Name of the subscription, for the commands that messages name.
    pub subscription: &'a str,
    /// The items, in the order of the blueprint.
    pub items: &'a [ItemInput],
    /// The entries of the pass before, from the status or from an evaluation.
    pub previous: &'a [ChecklistEntry],
    /// Value of the annotation `tenantry.io/retry`.
    pub retry: Option<&'a str>,
    /// Value of that annotation that was last acted on, from the status or from an evaluation.
    pub observed_retry: Option<&'a str>,
    /// Whether the operation is over, so that nobody asks how long it takes: most looks are at such tenants.
    pub is_over: bool,
    /// The present.
    pub now: Timestamp,
}

/// The checklist as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// The entries, in the order of the blueprint.
    pub entries: Vec<ChecklistEntry>,
    /// Items that may have effects now. Others keep what they have and get nothing new.
    pub released: BTreeSet<String>,
    /// Items that a person holds: what they have is repaired where somebody else changed it, and that is all.
    pub held: BTreeSet<String>,
    /// When time alone changes something: the next retry, timeout or agreed time.
    pub deadline: Option<Timestamp>,
    /// Value of the annotation `tenantry.io/retry` that is acted on now or was before.
    pub observed_retry: Option<String>,
    /// How long all of it takes, and when it will be done.
    pub forecast: Forecast,
}

/// How long a checklist takes, and when it will be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// How long all of it usually takes, agreed times apart.
    pub length: Length,
    /// How long all of it takes at most in nine of ten cases, where that is known of any item.
    pub nine_of_ten: Option<Length>,
    /// How long all of it took, once it is done.
    pub took: Option<Length>,
    /// Time before which the tenant is not opened.
    pub not_before: Option<Timestamp>,
    /// When it will be done, as far as that can be said.
    pub completion: Option<Timestamp>,
}

// === impl ItemInput ===

impl ItemInput {
    /// The input for an item of a blueprint that applies, with the dates of its order.
    ///
    /// # Errors
    /// [`DurationError`] when a duration of the item is none.
    pub fn new(
        item: &Item,
        dates: &Dates,
        input_digest: String,
        evidence: Evidence,
    ) -> Result<Self, DurationError> {
        Ok(Self {
            name: item.name.clone(),
            category: item.category,
            owner: item.owner,
            kind: Kind::of(item, dates.not_before),
            depends_on: item.depends_on.clone(),
            skipped: None,
            input_digest,
            evidence,
            timeout: duration::parse(&item.timeout)?,
            retry: RetryPolicy {
                attempts: item.retry.attempts,
                backoff: duration::parse(&item.retry.backoff)?,
            },
            frozen: false,
            hold: None,
            signature: None,
            job: None,
            note: None,
            due: dates.due(item.due.as_ref())?,
            on_failure: item.on_failure,
            estimate: Estimate::of(item)?,
            nine_of_ten: None,
        })
    }

    /// The same with what similar orders teach of how long it takes, where they teach anything.
    #[must_use]
    pub fn learning(self, usual: Option<Usual>) -> Self {
        match usual {
            Some(Usual { typical, nine_of_ten }) => {
                Self { estimate: typical, nine_of_ten: Some(nine_of_ten), ..self }
            }
            None => self,
        }
    }

    /// How long it usually takes under its order: nothing if it does not apply, and nobody is waited for who is not asked.
    #[must_use]
    pub fn applicable(&self) -> Estimate {
        forecast::estimate(self)
    }

    /// The input for an item that stays as it was accepted, because an edit of the order was refused and nothing new can
    /// be rendered: what it is made of, and whether it applies, are those of its entry. Its evidence is what is recorded
    /// for it and what is observed of that; its signature and its due time are those of its entry.
    ///
    /// # Errors
    /// [`DurationError`] when a duration of the item is none.
    pub fn kept(item: &Item, entry: &ChecklistEntry, evidence: Evidence) -> Result<Self, DurationError> {
        let digest = entry.input_digest.clone().unwrap_or_default();
        let skipped = (entry.state == ItemState::Skipped).then(|| entry.message.clone());
        let signature = entry.sign_off.as_ref().map(SignatureInput::kept);
        let due = entry.due.as_ref().map(time::instant);
        let new = Self::new(item, &Dates::default(), digest, evidence)?;
        Ok(Self { skipped, frozen: true, signature, due, ..new })
    }
}

// === impl SignatureInput ===

impl SignatureInput {
    /// What an entry says of the signature.
    fn kept(request: &SignOffRequest) -> Self {
        let standing = request.signature.clone().map_or(Standing::Missing, Standing::Given);
        let wanted = Wanted {
            party: request.party,
            evidence_required: request.evidence_required,
            digest: request.order_digest.clone(),
        };
        Self { wanted, standing }
    }
}

// === impl Kind ===

impl Kind {
    /// What an item of a blueprint does. The API server sees to it that it does exactly one thing.
    #[must_use]
    pub fn of(item: &Item, not_before: Option<Timestamp>) -> Self {
        if item.go_live.is_some() {
            Self::GoLive { not_before }
        } else if item.sign_off.is_some() {
            Self::SignOff
        } else if item.billing.is_some() {
            Self::Billing
        } else if item.job.is_some() {
            Self::Job
        } else if item.application.is_some() {
            Self::Application
        } else if item.check.is_some() && item.baseline.is_empty() {
            Self::Check
        } else {
            Self::Objects
        }
    }
}

// === impl Evidence ===

impl Evidence {
    /// Whether everything exists and works.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.live >= self.desired && self.unhealthy.is_empty()
    }
}

#[cfg(test)]
mod tests;
