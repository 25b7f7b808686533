//! Performs a plan: the only place that writes a tenant's objects; uses the client and tokio.
//!
//! Waves run one after the other, the steps of a wave side by side, bounded by one semaphore for all tenants. Every
//! request has its own deadline and is preceded by a look at the write gate. Nothing is created that is not recorded,
//! and no request names an object without its uid. What came of it is in the outcomes, the index and the returned
//! inventory; when an answer is lost, the next plan looks at what the watches say instead of assuming.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use kube::Client;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use tenantry_crds::inventory::Inventory;
use tokio::time::Instant;

use crate::classify::{Failure, Verdict};
use crate::counters::Counters;
use crate::discovery::Discovery;
use crate::gate::WriteGate;
use crate::index::Seen;
use crate::object::{Desired, FIELD_MANAGER, GeneratedKey, ObjectId, Owner};
use crate::observed::Metadata;
use crate::permits::Permits;
use crate::plan::{Action, Plan, Step, must_stand};
use crate::record::Ledger;
use crate::shared::SharedIndex;
use crate::token::{Baseline, ManagedEntry};
use crate::wave::Wave;

mod request;
mod steps;

use request::Call;
#[cfg(test)]
mod tests;

/// How long after the creation of our own role binding a refusal may be the authorizer's lag.
const BINDING_LAG: Duration = Duration::from_secs(10);

/// Makes one value of a generated Secret, of the length asked for, from a cryptographic source.
pub type Values = Arc<dyn Fn(&GeneratedKey) -> String + Send + Sync>;

/// What an executor works with. Clones work with the same.
#[derive(Clone)]
pub struct Executor {
    /// Client without a retry layer of its own.
    pub client: Client,
    /// Kinds as the cluster serves them.
    pub discovery: Arc<Discovery>,
    /// What exists.
    pub index: Arc<SharedIndex>,
    /// Whether this process may write.
    pub gate: Arc<dyn WriteGate>,
    /// Source of generated values.
    pub values: Values,
    /// Requests in flight over all tenants.
    pub permits: Permits,
    /// Counts for metrics.
    pub counters: Arc<Counters>,
    /// When our own role binding was created, by namespace.
    pub bindings: Arc<Bindings>,
}

/// When our own role bindings were created, by namespace; old ones are dropped.
#[derive(Debug, Default)]
pub struct Bindings(Mutex<HashMap<Arc<str>, Instant>>);

/// What came of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    /// Outcome of every step, in order.
    pub outcomes: Vec<Outcome>,
    /// The inventory after it, to be persisted when it differs materially.
    pub inventory: Inventory,
}

/// What came of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The object.
    pub id: ObjectId,
    /// The item that asks for the object; absent for what is no longer desired.
    pub item: Option<String>,
    /// What was done, or why not.
    pub result: Result<Done, Failure>,
}

/// What was done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Done {
    /// Created.
    Created,
    /// Applied.
    Applied,
    /// Replaced, because something had been added to it.
    Replaced,
    /// Compared and found as intended.
    Verified,
    /// Its deletion was accepted.
    Deleting,
    /// Not there any more.
    Gone,
    /// Left in place on purpose.
    Kept,
}

/// A workload as far as it says who it is and who decided about it.
#[derive(Deserialize)]
struct Workload {
    #[serde(default)]
    metadata: Metadata,
}

/// What a step leaves in the record.
pub(crate) struct Settled {
    pub(crate) done: Done,
    /// Uid and baseline of the object as it is now.
    pub(crate) written: Option<(String, Baseline)>,
}

// === impl Executor ===

impl Executor {
    /// The same for a piece of urgent work, which is under way until it is dropped; see [`Permits::urgently`].
    #[must_use]
    pub fn urgently(&self) -> Self {
        Self { permits: self.permits.urgently(), ..self.clone() }
    }

    /// Performs a plan. `inventory` is the recorded one: the plan's `record` must have been persisted before.
    pub async fn execute(
        &self,
        owner: &Owner,
        plan: &Plan,
        desired: &[Desired],
        inventory: &Inventory,
    ) -> Execution {
        let desired: HashMap<&ObjectId, &Desired> = desired.iter().map(|one| (&one.id, one)).collect();
        let mut ledger = Ledger::new(inventory.clone());
        let mut outcomes = Vec::with_capacity(plan.steps.len());
        let mut failed: Vec<Wave> = Vec::new();
        for wave in plan.steps.chunk_by(|one, two| one.wave == two.wave) {
            let deleted: Vec<Option<&str>> = wave.iter().map(|step| self.deletes(step)).collect();
            let steps = wave
                .iter()
                .map(|step| self.attempt(owner, step, desired.get(&step.id).copied(), &ledger, &failed));
            let results = join_all(steps).await;
            for ((step, deleted), result) in wave.iter().zip(deleted).zip(results) {
                let wanted = desired.get(&step.id).copied();
                match (&result, deleted) {
                    (Ok(settled), _) => settle(&mut ledger, step, wanted, settled),
                    (Err(failure), deleted) => {
                        tracing::debug!(object = %step.id, verdict = failure.verdict.as_str(), "step failed");
                        failed.push(step.wave);
                        // It may have happened: the object is not one any more that the tenant surely has.
                        if let (Verdict::Unknown, Some(uid)) = (failure.verdict, deleted) {
                            ledger.deleting(&step.id, uid);
                        }
                    }
                }
                let item = wanted.map(|wanted| wanted.item.clone());
                outcomes.push(Outcome {
                    id: step.id.clone(),
                    item,
                    result: result.map(|settled| settled.done),
                });
            }
        }
        Execution { outcomes, inventory: ledger.into_inventory() }
    }

    /// Reads how many pods a workload is set to have, from the API server itself. That it has none because we said so, and
    /// nobody else, is no number that it had: it was made, or made anew, while nothing shall run.
    ///
    /// # Errors
    /// When it does not answer, refuses, or has another object of that name.
    pub async fn replicas(&self, id: &ObjectId, uid: &str) -> Result<Option<i32>, Failure> {
        let resource = self.resource(id)?;
        let object: Value = match self.send(id, &Call::get(&resource, id, true)?).await {
            Ok(object) => object,
            Err(refusal) if is_gone(refusal.failure.verdict) => return Ok(None),
            Err(refusal) => return Err(refusal.into()),
        };
        let Workload { metadata } = Workload::deserialize(&object)
            .map_err(|error| Failure::new(Verdict::Unknown, &format!("unreadable answer: {error}")))?;
        let replicas = object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
        let is_told = replicas != 0 || !is_stopped_by_us(&metadata.managed_fields);
        Ok((metadata.uid == uid && is_told).then(|| i32::try_from(replicas).unwrap_or(i32::MAX)))
    }

    /// Sets how many pods a workload has. Says whether there is that object.
    ///
    /// # Errors
    /// When the API server does not answer, or refuses.
    pub async fn scale(&self, id: &ObjectId, uid: &str, replicas: i32) -> Result<bool, Failure> {
        let call = Call::scale(&self.resource(id)?, id, uid, replicas)?;
        match self.send::<IgnoredAny>(id, &call).await {
            Ok(_) => Ok(true),
            // Gone, or another object of that name.
            Err(refusal) if is_gone(refusal.failure.verdict) => Ok(false),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// UID of what a step deletes, if it is seen. Of what is not, because it lost our label, only the answer tells that it is
    /// gone, so without one nothing is recorded.
    fn deletes<'a>(&self, step: &'a Step) -> Option<&'a str> {
        let Action::Delete { uid } = &step.action else { return None };
        let is_seen =
            matches!(self.index.see(&step.id), Seen::Present(observed, _) if *observed.uid == **uid);
        is_seen.then_some(uid.as_str())
    }

    /// One step, unless what it depends on failed or the record does not allow it.
    async fn attempt(
        &self,
        owner: &Owner,
        step: &Step,
        desired: Option<&Desired>,
        ledger: &Ledger,
        failed: &[Wave],
    ) -> Result<Settled, Failure> {
        let blocked = match step.action {
            Action::Delete { .. } => !failed.is_empty(),
            _ => failed.iter().any(|failed| must_stand(*failed, step.wave)),
        };
        if step.gated && blocked {
            return Err(Failure::new(Verdict::Skipped, "not attempted, because a step before it failed"));
        }
        let Some(entry) = ledger.entry(&step.id) else {
            return Err(Failure::new(
                Verdict::Skipped,
                "not attempted, because the inventory does not record it",
            ));
        };
        let known = match self.index.see(&step.id) {
            Seen::Present(observed, Some(baseline)) if entry.uid.as_deref() == Some(&*observed.uid) => {
                Some(baseline)
            }
            _ => Baseline::of(entry),
        };
        match (&step.action, desired) {
            (Action::Keep, _) => Ok(Settled { done: Done::Kept, written: None }),
            (Action::Forget, _) => Ok(Settled { done: Done::Gone, written: None }),
            (Action::Delete { uid }, _) => self.delete(&step.id, uid).await,
            (Action::Create, Some(desired)) => self.create(owner, desired).await,
            (Action::Apply { uid, why }, Some(desired)) => {
                self.apply_or_create(owner, desired, uid, *why, known).await
            }
            (Action::Compare { uid }, Some(desired)) => self.compare(owner, desired, uid, known).await,
            (Action::Create | Action::Apply { .. } | Action::Compare { .. }, None) => Err(Failure::new(
                Verdict::Skipped,
                "not attempted, because the object is not among the desired ones",
            )),
        }
    }
}

/// Whether it is only us who says how many pods a workload has.
fn is_stopped_by_us(entries: &[ManagedEntry]) -> bool {
    let says = |entry: &&ManagedEntry| {
        let spec = entry.fields_v1.children().find(|(step, _)| *step == "f:spec");
        spec.is_some_and(|(_, fields)| fields.children().any(|(step, _)| step == "f:replicas"))
    };
    let mut who = entries.iter().filter(says).peekable();
    who.peek().is_some() && who.all(|entry| entry.manager == FIELD_MANAGER)
}

/// Whether an answer says that there is no such object, or another one of its name.
fn is_gone(verdict: Verdict) -> bool {
    matches!(
        verdict,
        Verdict::NotFound | Verdict::Precondition | Verdict::KindMissing | Verdict::NamespaceMissing
    )
}

// === impl Bindings ===

impl Bindings {
    fn created(&self, namespace: Arc<str>, now: Instant) {
        let mut created = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        created.retain(|_, at| now.duration_since(*at) < BINDING_LAG);
        created.insert(namespace, now);
    }

    fn is_fresh(&self, namespace: Option<&Arc<str>>, now: Instant) -> bool {
        let created = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = namespace.and_then(|namespace| created.get(namespace));
        at.is_some_and(|at| now.duration_since(*at) < BINDING_LAG)
    }
}

/// Writes the outcome of a step into the record.
fn settle(ledger: &mut Ledger, step: &Step, desired: Option<&Desired>, settled: &Settled) {
    match (settled.done, &settled.written, desired) {
        (Done::Gone, ..) => ledger.forget(&step.id),
        (Done::Kept, ..) => ledger.keep(&step.id),
        (Done::Deleting, ..) => {
            if let Action::Delete { uid } = &step.action {
                ledger.deleting(&step.id, uid);
            }
        }
        (
            Done::Created | Done::Applied | Done::Replaced | Done::Verified,
            Some((uid, baseline)),
            Some(desired),
        ) => {
            ledger.live(&step.id, &desired.item, uid, &desired.digest, baseline);
        }
        (Done::Created | Done::Applied | Done::Replaced | Done::Verified, ..) => {}
    }
}
