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
mod servers;
pub(crate) mod suspension;
mod work;
mod write;

use super::context::Context;
use super::patience::doubled;
use super::session::Session;
use dereference::{Resolved, Snapshot, dereference};
use std::time::Duration;
use tenantry_apply::classify::{Failure, Verdict as Refusal};
use tenantry_checklist::Problem;
use tenantry_checklist::report::{ReportInput, Verdict, report};
use tokio::time::Instant;
use work::Job;
use write::WriteError;

/// Between two status writes of a tenant that is being worked on.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// First and longest wait after an answer that did not come.
const OUTAGE_WAIT: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(300)];
/// The longest wait that an answer may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(30);

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
    let outages = session.outages;
    let result = run(context, &root.uid, name, &mut session).await;
    let (outcome, next) = match result {
        Ok(done) => {
            came_to_its_end(&mut session, outages, Instant::now());
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

/// A run came to its end and its result is written, whatever it found: that is the end of races and of failed writes. Whether the
/// API server answered about the tenant's objects the run itself has counted; there were so many `outages` in a row before it.
fn came_to_its_end(session: &mut Session, outages: u32, now: Instant) {
    session.races = 0;
    session.failed_writes = 0;
    if session.outages == 0 {
        session.outage_until = None;
    } else if session.outages > outages {
        match session.outage_until {
            Some(until) if now < until => session.outages = outages,
            _ => session.outage_until = Some(now + backoff(session.outages)),
        }
    }
}

/// Wait after so many outages in a row.
fn backoff(outages: u32) -> Duration {
    doubled(OUTAGE_WAIT, outages.saturating_sub(1))
}

/// Wait after so many lost races in a row: a race with another writer is over at once.
fn again_after_race(races: u32) -> Duration {
    doubled(RACE_WAIT, races)
}

/// How long to wait after an answer that settles nothing: as long as it asks for, up to a bound. An API server asks for seconds
/// (API priority and fairness); what asks for an hour stands before it, and does not know how it is there then.
fn wait_after(outage: &Failure, outages: u32) -> Duration {
    let asked = outage.retry_after.unwrap_or_default().min(LONGEST_ASKED);
    asked.max(again_after(outage.verdict, outages))
}

/// A race with another writer is over at once; an outage is not.
fn again_after(verdict: Refusal, outages: u32) -> Duration {
    match verdict {
        Refusal::Contention | Refusal::Precondition | Refusal::AlreadyExists => again_after_race(outages),
        _ => backoff(outages + 1),
    }
}

async fn run(
    context: &Context,
    uid: &str,
    name: &str,
    session: &mut Session,
) -> Result<(Outcome, Next), WriteError> {
    let Some(snapshot) = dereference(context, name, uid) else { return Ok((Outcome::Gone, None)) };
    if session.follow(snapshot.status.inventory.as_ref())
        && let Some(inventory) = evaluate::written(context, &snapshot)
    {
        session.learn(snapshot.status.inventory.as_ref(), inventory);
    }
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
        billing: None,
        inventory: session.inventory.clone().or_else(|| snapshot.status.inventory.clone()),
        now: snapshot.now,
    });
    write::status(context, snapshot, session, status).await?;
    // Nothing was asked about the tenant's objects.
    session.outages = 0;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a run does that comes to its end although the API server did not answer about an object. Gives what is waited.
    fn fails(session: &mut Session, now: Instant) -> Duration {
        let before = session.outages;
        session.outages = session.outages.saturating_add(1);
        came_to_its_end(session, before, now);
        backoff(session.outages)
    }

    #[test]
    fn every_further_outage_is_waited_for_longer_until_there_is_an_answer() {
        let (mut session, mut now) = (Session::default(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..11 {
            let wait = fails(&mut session, now);
            waits.push(wait.as_secs());
            now += wait;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert!(session.is_worth_keeping());
        session.outages = 0;
        came_to_its_end(&mut session, 11, now);
        assert!(!session.is_worth_keeping());
        assert_eq!(fails(&mut session, now), OUTAGE_WAIT[0], "an answer ends the row");
    }

    #[test]
    fn who_asks_for_an_hour_is_asked_again_before() {
        let answer = |verdict, asks: Option<u64>| Failure {
            retry_after: asks.map(Duration::from_secs),
            ..Failure::new(verdict, "too many requests")
        };
        let waits = |failure: &Failure, outages| wait_after(failure, outages).as_secs_f64();
        for (asks, expected) in [(None, 1.0), (Some(0), 1.0), (Some(8), 8.0), (Some(3600), 30.0)] {
            assert_eq!(waits(&answer(Refusal::Throttled, asks), 0), expected, "{asks:?}");
        }
        assert_eq!(waits(&answer(Refusal::Throttled, Some(3600)), 7), 128.0, "it fails again and again");
        assert!(waits(&answer(Refusal::Contention, None), 0) < 1.0);
    }

    #[test]
    fn events_amid_an_outage_make_no_wait_longer() {
        let (mut session, start) = (Session::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(fails(&mut session, start), Duration::from_secs(1));
        for millis in [1, 200, 400, 600, 999] {
            fails(&mut session, at(millis));
            assert_eq!(session.outages, 1, "{millis}");
        }
        assert_eq!(fails(&mut session, at(1000)), Duration::from_secs(2));
        fails(&mut session, at(2999));
        assert_eq!(fails(&mut session, at(3000)), Duration::from_secs(4));
    }

    #[test]
    fn a_run_that_comes_to_its_end_ends_races_and_failed_writes() {
        let mut session = Session { races: 3, failed_writes: 2, ..Session::default() };
        came_to_its_end(&mut session, 0, Instant::now());
        assert!(!session.is_worth_keeping());
    }
}
