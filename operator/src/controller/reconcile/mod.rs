//! One run for one subscription: dereference, resolve, render, plan, execute, report. Needs clients; time comes from
//! the context.
//!
//! A run reads nothing from the API server but what a plan asks for. It ends with at most one status write, and only
//! if the status changed. Everything it knows afterwards can be found again by the next leader.

mod capacity;
pub(crate) mod dereference;
mod evaluate;
pub(crate) mod evidence;
mod jobs;
mod offboard;
mod plan_change;
pub(crate) mod prepare;
mod sayings;
mod secrets;
mod suspension;
mod work;
mod write;

use super::context::Context;
use super::session::Session;
use dereference::{Resolved, Snapshot, dereference};
use std::time::Duration;
use tenantry_checklist::Problem;
use tenantry_checklist::report::{ReportInput, Verdict, report};
use tokio::time::Instant;
use work::Job;
use write::WriteError;

/// Between two status writes of a tenant that is being worked on.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// First and longest wait after an answer that did not come.
const OUTAGE_WAIT: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(300)];

/// First and longest wait after a write that lost a race.
const RACE_WAIT: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(10)];

/// When the subscription has to be looked at again if nothing happens before.
pub(crate) type Next = Option<Instant>;

/// What a run came to, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There was nothing to do, or it was done.
    Settled,
    /// The run ended where something else has to happen first.
    Waiting,
    /// The order was refused.
    Refused,
    /// The API server did not answer, or refused.
    Failed,
    /// The subscription is gone.
    Gone,
}

// === impl Outcome ===

impl Outcome {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Waiting => "waiting",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Gone => "gone",
        }
    }
}

/// Looks at one subscription and does what is to be done.
pub(crate) async fn reconcile(context: &Context, name: &str) -> (Outcome, Next) {
    let Some(root) = context.roots.get(name) else { return (Outcome::Gone, None) };
    // What would come of it could not be written. Whoever loses the lease has this for every tenant.
    if !context.executor.gate.may_write() {
        return (Outcome::Waiting, Some(Instant::now() + OUTAGE_WAIT[0]));
    }
    let mut session = context.sessions.take(&root.uid);
    let result = run(context, &root.uid, name, &mut session).await;
    let (outcome, next) = match result {
        Ok(done) => {
            session.outages = 0;
            session.races = 0;
            session.failed_writes = 0;
            done
        }
        // The newer subscription is on its way, or here already.
        Err(WriteError::Outdated { what }) => {
            session.races = session.races.saturating_add(1);
            tracing::debug!(subscription = name, what, "made from an old view; looking again");
            (Outcome::Waiting, Some(Instant::now() + again_after_race(session.races)))
        }
        Err(error) => {
            session.failed_writes = session.failed_writes.saturating_add(1);
            tracing::warn!(subscription = name, error = %error, "a write failed and will be tried again");
            (Outcome::Failed, Some(Instant::now() + backoff(session.failed_writes)))
        }
    };
    // A session is kept while there is something in it that the status does not say.
    if context.roots.get(name).is_some_and(|now| now.uid == root.uid) && session.is_worth_keeping() {
        context.sessions.put(&root.uid, session);
    }
    (outcome, next)
}

/// Wait after so many outages in a row.
fn backoff(outages: u32) -> Duration {
    let [first, longest] = OUTAGE_WAIT;
    (first * 2_u32.saturating_pow(outages.saturating_sub(1).min(16))).min(longest)
}

/// Wait after so many lost races in a row: a race with another writer is over at once.
fn again_after_race(races: u32) -> Duration {
    let [first, longest] = RACE_WAIT;
    (first * 2_u32.saturating_pow(races.min(10))).min(longest)
}

async fn run(
    context: &Context,
    uid: &str,
    name: &str,
    session: &mut Session,
) -> Result<(Outcome, Next), WriteError> {
    let Some(snapshot) = dereference(context, name, uid) else { return Ok((Outcome::Gone, None)) };
    if snapshot.root.deleting_since.is_some() {
        return offboard::run(context, &snapshot, session).await;
    }
    let change = plan_change::decide(context, &snapshot, session).await;
    let Resolved { prepared, problems } = dereference::resolve(context, &snapshot, session, &change);
    if problems.is_empty() && change.refused.is_empty() {
        context.accepted(name);
    } else {
        context.refused(name);
    }
    match prepared {
        Some(prepared) => work::run(context, &snapshot, session, &Job { prepared, problems, change }).await,
        None => refuse(context, &snapshot, session, &problems).await,
    }
}

/// Says why an order is refused. A tenant that runs already and for which nothing can be rendered keeps what it has.
async fn refuse(
    context: &Context,
    snapshot: &Snapshot,
    session: &mut Session,
    problems: &[Problem],
) -> Result<(Outcome, Next), WriteError> {
    let evaluation = evaluate::kept(context, snapshot, session);
    let status = report(&ReportInput {
        generation: snapshot.root.generation,
        previous: &snapshot.status,
        verdict: Verdict::Refused(problems),
        obstacles: &[],
        evaluation: evaluation.as_ref(),
        sizing: None,
        pause: snapshot.pause(),
        plan: None,
        // Nothing can be rendered, so nothing is taken away or given back.
        suspension: None,
        inventory: session.inventory.clone().or_else(|| snapshot.status.inventory.clone()),
        now: snapshot.now,
    });
    write::status(context, snapshot, session, status).await?;
    Ok((Outcome::Refused, deadline(snapshot, evaluation.as_ref().and_then(|e| e.deadline))))
}

/// A point of the calendar as one of the monotonic clock.
fn deadline(snapshot: &Snapshot, at: Option<jiff::Timestamp>) -> Next {
    let wait = at?.duration_since(snapshot.now);
    // A little later, so that what is due then is due when it is looked at.
    Some(snapshot.instant + Duration::try_from(wait).unwrap_or_default() + Duration::from_millis(5))
}

/// The earlier of two times.
fn earlier(one: Next, other: Next) -> Next {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
