//! What of a status the journal keeps for good; pure.
//!
//! A status is its own write-ahead record: what happened can be read off it until the journal has it. Only what the next
//! status would overwrite before that is carried along ([`carry`]). A fact has one id however often it is told, and the
//! journal takes each id once, so that nothing is lost and nothing doubled, whoever crashes when.

mod plan_change;
mod servers;

pub use servers::numbered;

use crate::billing;
use crate::exit::Leftover;
use crate::forecast::Estimate;
use crate::report;
use crate::text::cut;
use crate::time;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tenantry_crds::TenantSubscriptionStatus;
use tenantry_crds::subscription::{
    AcceptedRevisions, ChecklistEntry, DeletionPolicy, JobState, JournalFact, JournalSubject, Length,
    OperationKind, OperationStatus, Outcome, SuspensionHold,
};

/// Facts that a status carries before nothing new begins for its tenant.
pub const BOUND: usize = 64;
/// Facts that a status has room for (the CRD's bound).
const ROOM: usize = 192;
/// Longest evidence (the CRD's bound).
const EVIDENCE_LIMIT: usize = 4096;
/// Longest name of who did something (the CRD's bound).
const ACTOR_LIMIT: usize = 253;
/// Who does what no person does.
const MACHINE: &str = "tenantry";

/// What an operation ends with that reached its end.
const COMPLETED: &str = "Completed";
/// What an operation ends with that something else took the place of.
const SUPERSEDED: &str = "Superseded";
/// What an operation ends with that the end of the subscription took the place of.
const ABANDONED: &str = "Abandoned";
/// What is told of an object that could not be removed at the end.
pub const LEFT: &str = "Left";
/// Hexadecimal digits of a document's checksum in its id.
const DIGITS: usize = 16;
/// What an item ends with that is done.
pub const DONE: &str = "Done";

/// Everything that a status tells of what happened, what it carries included.
#[must_use]
pub fn facts(status: &TenantSubscriptionStatus) -> Vec<JournalFact> {
    let Some(teller) = Teller::of(status) else { return Vec::new() };
    let mut facts = status.unrecorded.clone();
    facts.extend(status.operation.iter().flat_map(|operation| teller.operation(operation)));
    for entry in &status.checklist {
        facts.extend(teller.item(entry));
        facts.extend(teller.run(entry));
        facts.extend(teller.signature(entry));
    }
    facts.extend(holds(status).map(|hold| teller.suspension(hold)));
    facts.extend(teller.requested_plan(status));
    facts.extend(teller.charges(status));
    facts.extend(teller.counted(status));
    facts.extend(teller.servers(status));
    facts
}

fn holds(status: &TenantSubscriptionStatus) -> impl Iterator<Item = &SuspensionHold> {
    status.suspension.iter().flat_map(|suspension| &suspension.holds)
}

/// A status that is about to be written over `previous`: it carries what is in neither, nor in the journal yet, and what is over
/// with it.
#[must_use]
pub fn carry(
    previous: &TenantSubscriptionStatus,
    mut next: TenantSubscriptionStatus,
    now: Timestamp,
    is_recorded: impl Fn(&JournalFact) -> bool,
) -> TenantSubscriptionStatus {
    let waits = std::mem::take(&mut next.unrecorded);
    let told = facts(&next);
    let told: BTreeSet<&str> = told.iter().map(|fact| fact.id.as_str()).collect();
    let mut seen = BTreeSet::new();
    let mut carried: Vec<JournalFact> = facts(previous)
        .into_iter()
        .chain(over(previous, &next, now))
        .chain(waits)
        .filter(|fact| !told.contains(fact.id.as_str()) && !is_recorded(fact) && seen.insert(fact.id.clone()))
        .collect();
    carried.truncate(ROOM);
    next.unrecorded = carried;
    next
}

/// What ends with a status: suspensions that were lifted, a change of plan that waited or was refused, and an operation in whose
/// place another one began.
fn over(
    previous: &TenantSubscriptionStatus,
    next: &TenantSubscriptionStatus,
    now: Timestamp,
) -> Vec<JournalFact> {
    let Some(teller) = Teller::of(previous) else { return Vec::new() };
    let stays: BTreeSet<&str> = holds(next).map(|hold| hold.uid.as_str()).collect();
    let lifted = holds(previous).filter(|hold| !stays.contains(hold.uid.as_str()));
    let mut over: Vec<JournalFact> = lifted.map(|hold| teller.lifted(hold, now)).collect();
    let number = next.operation.as_ref().map_or(0, |operation| operation.number);
    let unfinished = previous.operation.as_ref();
    let unfinished =
        unfinished.filter(|operation| operation.completed_at.is_none() && operation.number < number);
    let ends = next.operation.as_ref().is_some_and(|operation| operation.kind == OperationKind::Offboard);
    let how = if ends { ABANDONED } else { SUPERSEDED };
    over.extend(unfinished.map(|operation| teller.unfinished(operation, how, now)));
    over.extend(plan_change::over(previous, next, now));
    over.extend(servers::over(previous, next, now));
    over
}

/// That a suspension began which a status has no room to name. Its end is only told where there was room before it came.
#[must_use]
pub fn suspended(status: &TenantSubscriptionStatus, hold: &SuspensionHold) -> Option<JournalFact> {
    Some(Teller::of(status)?.suspension(hold))
}

/// Whether so much waits for the journal that nothing new may begin.
#[must_use]
pub fn is_full(status: &TenantSubscriptionStatus) -> bool {
    status.unrecorded.len() >= BOUND
}

/// How a tenant ended.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// What became of the data.
    pub policy: DeletionPolicy,
    /// When the end was asked for.
    pub requested: Timestamp,
    /// What could not be removed.
    pub leftovers: &'a [Leftover],
}

/// What is told at the end of a tenant besides: that it ended, how, what was under way, and what is left.
#[must_use]
pub fn ending(status: &TenantSubscriptionStatus, end: &End<'_>, now: Timestamp) -> Vec<JournalFact> {
    let Some(teller) = Teller::of(status) else { return Vec::new() };
    let End { policy, requested, leftovers } = *end;
    let known = status.operation.as_ref().filter(|known| known.kind == OperationKind::Offboard);
    // Who ends within one look never had it in a status.
    let offboard = known
        .cloned()
        .unwrap_or_else(|| report::begun(status, OperationKind::Offboard, &format!("{policy:?}"), requested));
    let abandoned = status
        .operation
        .as_ref()
        .filter(|operation| operation.completed_at.is_none() && operation.number < offboard.number);
    let abandoned = abandoned.map(|operation| teller.unfinished(operation, ABANDONED, now));
    let took = now.duration_since(time::instant(&offboard.started_at)).as_secs().max(0);
    let teller = Teller { operation: offboard.number, ..teller };
    let offboard = teller.operation(&OperationStatus {
        completed_at: Some(time::time(now)),
        took: Some(Length { machine_seconds: took, people_seconds: 0 }),
        ..offboard
    });
    let ended = JournalFact {
        evidence: evidence(&json!({"deletionPolicy": policy})),
        ..teller.fact("ended", JournalSubject::Tenant, "Ended", now)
    };
    let left = leftovers.iter().map(|leftover| JournalFact {
        evidence: evidence(&json!(leftover)),
        ..teller.fact(&leftover.key(), JournalSubject::Leftover, LEFT, now)
    });
    let released = status.servers.as_ref().and_then(|has| teller.released(has, now));
    abandoned.into_iter().chain(offboard).chain(left).chain(released).chain([ended]).collect()
}

/// A document that the customer is given at the end. Of one with a `version`, such as a checksum, each version is kept; of
/// another one the first.
#[must_use]
pub fn document(
    status: &TenantSubscriptionStatus,
    name: &str,
    version: Option<&str>,
    evidence: &Value,
    now: Timestamp,
) -> Option<JournalFact> {
    let teller = Teller::of(status)?;
    let short = version.map(|version| version.chars().take(DIGITS).collect::<String>());
    let key = short.map_or_else(|| format!("document/{name}"), |short| format!("document/{name}/{short}"));
    Some(JournalFact {
        item: name.to_owned(),
        evidence: evidence.to_string(),
        ..teller.fact(&key, JournalSubject::Document, "Kept", now)
    })
}

/// Tells the facts of one status.
struct Teller<'a> {
    tenant: &'a str,
    operation: i32,
    accepted: &'a AcceptedRevisions,
}

// === impl Teller ===

impl<'a> Teller<'a> {
    fn of(status: &'a TenantSubscriptionStatus) -> Option<Self> {
        let operation = status.operation.as_ref().map_or(1, |operation| operation.number);
        Some(Self { tenant: &status.tenant.as_ref()?.id, operation, accepted: status.accepted.as_ref()? })
    }

    fn fact(&self, key: &str, subject: JournalSubject, outcome: &str, at: Timestamp) -> JournalFact {
        JournalFact {
            id: format!("{}/{key}", self.tenant),
            operation: self.operation,
            subject,
            item: String::new(),
            outcome: outcome.to_owned(),
            accepted: self.accepted.clone(),
            started_at: None,
            at: time::time(at),
            machine_seconds: 0,
            people_seconds: 0,
            attempts: 0,
            actor: MACHINE.to_owned(),
            evidence: String::new(),
        }
    }

    /// That it began, and that it was done.
    fn operation(&self, operation: &OperationStatus) -> Vec<JournalFact> {
        let OperationStatus {
            number,
            kind,
            cause,
            started_at,
            promise,
            estimated_completion: _,
            completed_at,
            took,
        } = operation;
        let began = JournalFact {
            evidence: evidence(
                &json!({"kind": kind, "cause": cause, "promise": promise, "accepted": self.accepted}),
            ),
            ..self.fact(
                &format!("operation/{number}/began"),
                JournalSubject::Operation,
                "Began",
                time::instant(started_at),
            )
        };
        let completed = completed_at.as_ref().map(|at| JournalFact {
            started_at: Some(started_at.clone()),
            machine_seconds: took.map_or(0, |took| took.machine_seconds),
            people_seconds: took.map_or(0, |took| took.people_seconds),
            evidence: evidence(&json!({"kind": kind, "cause": cause, "promise": promise})),
            ..self.fact(
                &format!("operation/{number}/ended"),
                JournalSubject::Operation,
                COMPLETED,
                time::instant(at),
            )
        });
        [began].into_iter().chain(completed).collect()
    }

    /// That it ended otherwise.
    fn unfinished(&self, operation: &OperationStatus, outcome: &str, now: Timestamp) -> JournalFact {
        let OperationStatus { number, kind, cause, started_at, promise, .. } = operation;
        JournalFact {
            started_at: Some(started_at.clone()),
            evidence: evidence(&json!({"kind": kind, "cause": cause, "promise": promise})),
            ..self.fact(&format!("operation/{number}/ended"), JournalSubject::Operation, outcome, now)
        }
    }

    /// That charges began, for whom and at which prices. Told anew, it is the same fact: the journal keeps the first.
    fn charges(&self, status: &TenantSubscriptionStatus) -> Option<JournalFact> {
        let (proof, since) = billing::began_evidence(status)?;
        Some(JournalFact {
            evidence: evidence(&proof),
            ..self.fact(billing::BEGAN, JournalSubject::Charges, "Began", since)
        })
    }

    /// How many of each unit are charged from an instant on.
    fn counted(&self, status: &TenantSubscriptionStatus) -> Option<JournalFact> {
        let (key, proof, since) = billing::counted_evidence(status)?;
        Some(JournalFact {
            evidence: evidence(&proof),
            ..self.fact(&key, JournalSubject::Charges, billing::COUNTED, since)
        })
    }

    /// That it was suspended, by whom and why.
    fn suspension(&self, hold: &SuspensionHold) -> JournalFact {
        JournalFact {
            actor: cut(&hold.requested_by, ACTOR_LIMIT),
            evidence: evidence(&json!(hold)),
            ..self.fact(
                &format!("suspension/{}/{}/began", hold.name, hold.uid),
                JournalSubject::Suspension,
                "Suspended",
                time::instant(&hold.at),
            )
        }
    }

    /// That this suspension is over. Who removed its object only the API server's audit log knows.
    fn lifted(&self, hold: &SuspensionHold, now: Timestamp) -> JournalFact {
        JournalFact {
            started_at: Some(hold.at.clone()),
            evidence: evidence(&json!({"name": hold.name, "reason": hold.reason})),
            ..self.fact(
                &format!("suspension/{}/{}/ended", hold.name, hold.uid),
                JournalSubject::Suspension,
                "Lifted",
                now,
            )
        }
    }

    fn item(&self, entry: &ChecklistEntry) -> Option<JournalFact> {
        let conclusion = entry.conclusion.as_ref()?;
        let took = Estimate::taken(conclusion);
        let outcome = match conclusion.outcome {
            Outcome::Done => DONE,
            Outcome::Failed => "Failed",
            Outcome::Skipped => "Skipped",
        };
        let key = format!("item/{}/{}", entry.name, conclusion.number);
        let proof = json!({
            "reason": entry.reason,
            "message": entry.message,
            "objects": entry.objects,
            "inputDigest": entry.input_digest,
            "run": entry.job.as_ref().map(|run| &run.name),
            "signature": entry.sign_off.as_ref().and_then(|request| Some(&request.signature.as_ref()?.name)),
        });
        Some(JournalFact {
            item: entry.name.clone(),
            started_at: conclusion.started_at.clone(),
            machine_seconds: took.machine.as_secs(),
            people_seconds: took.people.as_secs(),
            attempts: entry.attempts,
            evidence: evidence(&proof),
            ..self.fact(&key, JournalSubject::Item, outcome, time::instant(&conclusion.at))
        })
    }

    /// The last run of the item's job, once it ended.
    fn run(&self, entry: &ChecklistEntry) -> Option<JournalFact> {
        let run = entry.job.as_ref()?;
        let outcome = match run.state {
            JobState::Running => return None,
            JobState::Succeeded => "Succeeded",
            JobState::Failed => "Failed",
        };
        let at = time::instant(run.ended_at.as_ref()?);
        Some(JournalFact {
            item: entry.name.clone(),
            attempts: run.attempt,
            evidence: evidence(&json!({"job": run.name, "digest": run.digest, "result": run.result})),
            ..self.fact(&format!("run/{}/{}", entry.name, run.attempt), JournalSubject::Run, outcome, at)
        })
    }

    /// The signature that counts.
    fn signature(&self, entry: &ChecklistEntry) -> Option<JournalFact> {
        let request = entry.sign_off.as_ref()?;
        let signature = request.signature.as_ref()?;
        let proof = json!({
            "signOff": signature.name,
            "as": request.party,
            "orderDigest": request.order_digest,
            "via": signature.via,
        });
        let key = format!("signature/{}/{}", entry.name, signature.name);
        Some(JournalFact {
            item: entry.name.clone(),
            actor: cut(&signature.by, ACTOR_LIMIT),
            evidence: evidence(&proof),
            ..self.fact(&key, JournalSubject::Signature, "Signed", time::instant(&signature.at))
        })
    }
}

/// Evidence as JSON, without what is not known. The bounds of a status leave room for all of it; something longer, which this
/// version does not write, is left out.
fn evidence(value: &Value) -> String {
    let is_known = |value: &Value| !value.is_null() && value.as_str() != Some("");
    let fields = value.as_object().into_iter().flatten().filter(|(_, value)| is_known(value));
    let fields: serde_json::Map<String, Value> =
        fields.map(|(key, value)| (key.clone(), value.clone())).collect();
    let text = Value::Object(fields).to_string();
    if text.len() <= EVIDENCE_LIMIT { text } else { json!({"leftOut": text.len()}).to_string() }
}

#[cfg(test)]
mod tests;
