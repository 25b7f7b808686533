//! The rules that lead from evidence to an item's state; pure.

use super::forecast::{estimate, forecast};
use super::{
    ATTEMPTS_EXHAUSTED, CONFIRMATION_MISSING, EvaluateInput, Evaluation, Evidence, Forecast, ItemFailure,
    ItemInput, Kind, NOT_BEFORE, ORDER_REFUSED, RetryPolicy, RetryRequest, SignatureInput, TIMED_OUT,
};
use crate::graph::{self, GraphError, Node};
use crate::text::{cut, list, word};
use crate::time;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use tenantry_crds::blueprint::{Category, OnFailure};
use tenantry_crds::subscription::{ChecklistEntry, ItemState, JobRun};

/// Longest message of an entry (the CRD's bound, in bytes, which is never more than in characters).
const MESSAGE_LIMIT: usize = 512;
/// Objects or items named in one message.
const NAMED: usize = 3;

/// Derives every entry of the checklist and which items may act now.
///
/// Calling it with its own output as the previous entries gives that output again. A caller that executes what was
/// released evaluates a second time with what came of it and hands in the first evaluation, so that each refusal is
/// counted once.
///
/// # Errors
/// What is wrong with the dependencies: the static check of a blueprint finds the same before anybody orders.
pub fn evaluate(input: &EvaluateInput<'_>) -> Result<Evaluation, Vec<GraphError>> {
    let waits = dependencies(input.items);
    let names: Vec<Node<'_>> = input
        .items
        .iter()
        .zip(&waits)
        .map(|(item, depends_on)| Node { name: &item.name, depends_on })
        .collect();
    let order = graph::order(&names)?;
    let request = input.retry.map(RetryRequest::parse);
    let fresh_request = request.as_ref().filter(|request| Some(request.value()) != input.observed_retry);
    let previous: BTreeMap<&str, &ChecklistEntry> =
        input.previous.iter().map(|entry| (entry.name.as_str(), entry)).collect();
    let mut progress = Progress::default();
    let mut entries: BTreeMap<usize, ChecklistEntry> = BTreeMap::new();
    for at in order.iter().copied() {
        let (Some(item), Some(depends_on)) = (input.items.get(at), waits.get(at)) else { continue };
        // What only waits to be confirmed keeps nobody but the opening of the tenant.
        let closed = match item.kind {
            Kind::GoLive { .. } => &progress.done,
            _ => &progress.served,
        };
        let pass = Pass {
            item,
            subscription: input.subscription,
            now: time::whole(input.now),
            open: depends_on.iter().filter(|name| !closed.contains(name.as_str())).collect(),
            present: depends_on.iter().all(|name| progress.present.contains(name.as_str())),
            before: previous.get(item.name.as_str()).copied(),
            asked: fresh_request.is_some_and(|request| request.means(&item.name)),
        };
        entries.insert(at, progress.add(&pass));
    }
    let entries: Vec<ChecklistEntry> = entries.into_values().collect();
    Ok(Evaluation {
        forecast: match input.is_over {
            true => Forecast::default(),
            false => forecast(input.items, &waits, &entries, &order, time::whole(input.now)),
        },
        entries,
        released: progress.released,
        held: progress.held,
        deadline: progress.deadline,
        observed_retry: request
            .map(|request| request.value().to_owned())
            .or_else(|| input.observed_retry.map(str::to_owned)),
    })
}

/// What each item waits for. The item that opens the tenant waits for everything outside its category, but for items
/// that wait for it.
fn dependencies(items: &[ItemInput]) -> Vec<Vec<String>> {
    let nodes: Vec<Node<'_>> =
        items.iter().map(|item| Node { name: &item.name, depends_on: &item.depends_on }).collect();
    let waits = |item: &ItemInput| {
        let mut waits = item.depends_on.clone();
        if matches!(item.kind, Kind::GoLive { .. }) {
            let behind = graph::dependents(&nodes, &item.name);
            for other in items {
                let ready_needs_it =
                    other.category != Category::GoLive && !behind.contains(other.name.as_str());
                if ready_needs_it && !waits.contains(&other.name) {
                    waits.push(other.name.clone());
                }
            }
        }
        waits
    };
    items.iter().map(waits).collect()
}

/// What is known of the items that were evaluated so far.
#[derive(Default)]
struct Progress<'a> {
    /// Items that are done or skipped, or failed and hold nobody back by that.
    done: BTreeSet<&'a str>,
    /// The same, and those that only wait to be confirmed.
    served: BTreeSet<&'a str>,
    /// Items whose objects exist, healthy or not, with those of everything they wait for.
    present: BTreeSet<&'a str>,
    released: BTreeSet<String>,
    held: BTreeSet<String>,
    deadline: Option<Timestamp>,
}

/// One item in one evaluation.
pub(super) struct Pass<'a> {
    pub(super) item: &'a ItemInput,
    pub(super) subscription: &'a str,
    pub(super) now: Timestamp,
    /// Items it waits for that are not done.
    pub(super) open: Vec<&'a String>,
    /// Whether everything it waits for exists, be it healthy or not.
    present: bool,
    pub(super) before: Option<&'a ChecklistEntry>,
    /// Whether a person asked to try it again.
    pub(super) asked: bool,
}

/// What earlier passes tell about the item as it is now: nothing, if its input changed.
#[derive(Clone, Copy, Default)]
pub(super) struct History {
    pub(super) started: Option<Timestamp>,
    pub(super) attempts: i32,
    pub(super) next_retry: Option<Timestamp>,
}

/// What a pass finds.
pub(super) struct Finding {
    pub(super) state: ItemState,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) started: Option<Timestamp>,
    pub(super) attempts: i32,
    pub(super) next_retry: Option<Timestamp>,
    pub(super) released: bool,
    /// When time alone changes it, besides the next retry.
    pub(super) changes: Option<Timestamp>,
    /// The last run of its job.
    pub(super) job: Option<JobRun>,
}

// === impl Progress ===

impl<'a> Progress<'a> {
    fn add(&mut self, pass: &Pass<'a>) -> ChecklistEntry {
        let finding = pass.confirmed(pass.find());
        let name = pass.item.name.as_str();
        let evidence = &pass.item.evidence;
        let skipped = finding.state == ItemState::Skipped;
        let passed_over = finding.state == ItemState::Failed && pass.item.on_failure == OnFailure::Continue;
        if skipped || passed_over || finding.state == ItemState::Done {
            self.done.insert(name);
            self.served.insert(name);
        }
        if finding.reason == CONFIRMATION_MISSING {
            self.served.insert(name);
        }
        if skipped || (pass.present && finding.started.is_some() && evidence.live >= evidence.desired) {
            self.present.insert(name);
        }
        if finding.released {
            self.released.insert(name.to_owned());
        }
        if pass.item.hold.is_some() {
            self.held.insert(name.to_owned());
        }
        let due = pass.due(finding.state);
        let times = [finding.next_retry, finding.changes, due];
        let times = times.into_iter().flatten().filter(|at| *at > pass.now);
        self.deadline = times.chain(self.deadline).min();
        pass.entry(finding)
    }
}

// === impl Pass ===

impl<'a> Pass<'a> {
    fn find(&self) -> Finding {
        let history = self.history();
        if let Some(why) = &self.item.skipped {
            return Finding::new(ItemState::Skipped, "NotNeeded", why.clone(), History::default());
        }
        match self.item.kind {
            Kind::SignOff => return self.sign_off(history),
            Kind::Job => return self.job(history),
            Kind::Leaving { not_before, given_up } => return self.leaving(not_before, given_up, history),
            Kind::Check | Kind::Objects | Kind::Application | Kind::Billing | Kind::GoLive { .. } => {}
        }
        let evidence = &self.item.evidence;
        // Objects that are all there prove that the item started, whatever an entry says.
        let shown = evidence.is_complete() && evidence.desired > 0;
        let allowed = self.allowed(shown || history.started.is_some());
        if shown || (evidence.is_complete() && (allowed || history.started.is_some())) {
            return self.done(allowed, history);
        }
        if let Some(held) = self.held(history) {
            return held;
        }
        let history = History { started: history.started.or(allowed.then_some(self.now)), ..history };
        // What was refused before it was done is over: in a year's changes nobody's attempts shall run out by ones and twos.
        let history = match self.continues(ItemState::Done) {
            Some(_) => History { attempts: 0, next_retry: None, ..history },
            None => history,
        };
        self.open_item(allowed, history)
    }

    /// The past of the item with its present input. A changed input, or a person's request, starts it anew.
    fn history(&self) -> History {
        let Some(before) = self.before else { return History::default() };
        let same = before.input_digest.as_deref() == Some(self.item.input_digest.as_str());
        let started = before.started_at.as_ref().map(time::instant).filter(|_| same);
        if !same {
            return History::default();
        }
        if self.asked {
            return History { started: started.map(|_| self.now), ..History::default() };
        }
        let attempts = before.attempts.max(0);
        let refusals = before.job.as_ref().map_or(0, |run| run.refusals);
        // A clock that is put back must not turn a wait of seconds into one of hours.
        let longest = self.item.retry.next(self.now, attempts.max(refusals));
        let next_retry = before.next_retry_at.as_ref().map(|at| time::instant(at).min(longest));
        History { started, attempts, next_retry }
    }

    /// Whether the item starts anew: its input is another, or a person asks for it.
    pub(super) fn is_anew(&self) -> bool {
        let digest = self.before.and_then(|before| before.input_digest.as_deref());
        self.asked || digest != Some(self.item.input_digest.as_str())
    }

    /// Whether the state of the entry before is still about this input and this attempt.
    fn continues(&self, state: ItemState) -> Option<&'a ChecklistEntry> {
        let before = self.before?;
        let same = before.input_digest.as_deref() == Some(self.item.input_digest.as_str());
        (same && !self.asked && before.state == state).then_some(before)
    }

    /// Whether the item may act. Once it started, what it waits for needs to exist but not to be healthy: an application
    /// that restarts must not keep a lost role binding from being repaired.
    pub(super) fn allowed(&self, started: bool) -> bool {
        let in_turn = self.open.is_empty() || (started && self.present);
        in_turn && self.gate().is_none() && !self.item.frozen && self.item.hold.is_none()
    }

    /// The agreed time, while it lies ahead and nothing has been opened. A time that moves after the route opened does not
    /// keep the rest of it from being repaired.
    fn gate(&self) -> Option<Timestamp> {
        match self.item.kind {
            Kind::GoLive { not_before } => {
                not_before.filter(|at| *at > self.now && self.item.evidence.live == 0)
            }
            Kind::Check
            | Kind::Objects
            | Kind::Application
            | Kind::Job
            | Kind::Billing
            | Kind::SignOff
            | Kind::Leaving { .. } => None,
        }
    }

    fn done(&self, released: bool, history: History) -> Finding {
        let evidence = &self.item.evidence;
        let (reason, message) = match (self.item.kind, evidence.missing_kinds.is_empty()) {
            (_, false) => {
                let kinds = list(&evidence.missing_kinds, NAMED);
                ("NotInstalled", format!("without {kinds}, which this cluster does not have installed"))
            }
            (Kind::Check, true) => ("OrderValid", self.item.note.clone().unwrap_or_default()),
            (Kind::Billing, true) => ("InLedger", self.item.note.clone().unwrap_or_default()),
            (_, true) => ("ObjectsObserved", String::new()),
        };
        let started = history.started.or(Some(self.now));
        let kept = History { started, next_retry: None, ..history };
        Finding { released, ..Finding::new(ItemState::Done, reason, message, kept) }
    }

    /// The finding for an item that may not start yet, or that a person holds.
    pub(super) fn held(&self, history: History) -> Option<Finding> {
        let gate = self.gate();
        if let Some(hold) = &self.item.hold
            && (history.started.is_some() || self.open.is_empty())
        {
            let (reason, message) = hold.told(self.subscription);
            let history = History { next_retry: None, ..history };
            return Some(Finding::new(ItemState::Waiting, reason, message, history));
        }
        if history.started.is_some() && gate.is_none() {
            return None;
        }
        if !self.open.is_empty() {
            let message = format!("waits for {}", list(&self.open, NAMED));
            return Some(Finding::new(ItemState::Pending, "DependenciesOpen", message, history));
        }
        if let Some(at) = gate {
            let message = format!("opens at {}, as spec.goLive.notBefore asks", time::readable(at));
            let finding = Finding::new(ItemState::Waiting, NOT_BEFORE, message, history);
            return Some(Finding { changes: Some(at), ..finding });
        }
        self.item.frozen.then(|| {
            let message = "waits until the order is corrected; the condition Accepted says how".to_owned();
            Finding::new(ItemState::Waiting, ORDER_REFUSED, message, history)
        })
    }

    /// The finding for an item that started and whose evidence is not complete.
    fn open_item(&self, allowed: bool, history: History) -> Finding {
        self.open_by(allowed, self.item.retry, history)
    }

    /// The same, where refusals count by another policy than the item's.
    pub(super) fn open_by(&self, allowed: bool, policy: RetryPolicy, history: History) -> Finding {
        let failure = self.item.evidence.failure.as_ref().filter(|failure| !self.is_stale(failure, history));
        let history = self.count(failure, policy, history);
        let exhausted = policy.exhausted(history.attempts)
            && (failure.is_some_and(|failure| failure.definitive)
                || self
                    .continues(ItemState::Failed)
                    .is_some_and(|before| before.reason == ATTEMPTS_EXHAUSTED));
        if exhausted {
            return self.exhausted(failure, history);
        }
        let backing_off = history.next_retry.is_some_and(|at| at > self.now);
        let late = self.too_long(history);
        let (state, reason, message) = self.describe(failure, policy, late, backing_off, history);
        let changes = (state == ItemState::Running).then_some(late);
        let finding = Finding::new(state, &reason, message, history);
        Finding { released: allowed && !backing_off, changes, ..finding }
    }

    /// Whether a failure belongs to an earlier input, or to the time before a person asked to try again. Nothing that fails now does,
    /// also where the clock was put back since the item started.
    fn is_stale(&self, failure: &ItemFailure, history: History) -> bool {
        history.started.is_some_and(|started| time::whole(failure.at) < started.min(self.now))
    }

    /// Counts a refusal that was not counted yet.
    fn count(&self, failure: Option<&ItemFailure>, policy: RetryPolicy, history: History) -> History {
        let Some(failure) = failure.filter(|failure| failure.definitive) else { return history };
        let at = time::whole(failure.at).min(self.now);
        let counted = match history.next_retry {
            Some(next) => policy.next(at, history.attempts) <= next,
            None => {
                self.continues(ItemState::Failed).is_some_and(|before| before.reason == ATTEMPTS_EXHAUSTED)
            }
        };
        if counted {
            return history;
        }
        let attempts = history.attempts.saturating_add(1).min(policy.attempts.max(1));
        let next_retry = (!policy.exhausted(attempts)).then(|| policy.next(at, attempts));
        History { attempts, next_retry, ..history }
    }

    fn exhausted(&self, failure: Option<&ItemFailure>, history: History) -> Finding {
        // After a restart only the entry before knows what the last refusal said.
        let message = match (failure, self.continues(ItemState::Failed)) {
            (None, Some(before)) => before.message.clone(),
            (failure, _) => {
                let remedy = format!(
                    "; refused {} times: correct it, then run kubectl tenantry retry {} {}",
                    history.attempts, self.subscription, self.item.name
                );
                let why = failure.map(|failure| failure.message.as_str()).unwrap_or_default();
                format!("{}{remedy}", cut(why, MESSAGE_LIMIT.saturating_sub(remedy.len())))
            }
        };
        let history = History { next_retry: None, ..history };
        Finding::new(ItemState::Failed, ATTEMPTS_EXHAUSTED, message, history)
    }

    /// When the item has taken too long. An item that was done and is repaired has its whole time again, and so has one
    /// that started anew.
    pub(super) fn too_long(&self, history: History) -> Timestamp {
        let running = self.before.filter(|before| before.state == ItemState::Running);
        let started = history.started.unwrap_or(self.now);
        let from = running.map_or(self.now, |before| time::instant(&before.since).max(started));
        time::after(from, self.item.timeout)
    }

    /// State, reason and message of an item that is not complete and not exhausted.
    fn describe(
        &self,
        failure: Option<&ItemFailure>,
        policy: RetryPolicy,
        late: Timestamp,
        backing_off: bool,
        history: History,
    ) -> (ItemState, String, String) {
        let evidence = &self.item.evidence;
        let broken: Vec<String> =
            evidence.unhealthy.iter().filter(|object| object.failed).map(told).collect();
        if !broken.is_empty() && failure.is_none() {
            let message =
                format!("{} failed; correct what it needs and it recovers by itself", list(&broken, NAMED));
            return (ItemState::Failed, "ObjectFailed".to_owned(), message);
        }
        let (reason, message) = match (failure, history.next_retry) {
            (Some(failure), Some(next)) if failure.definitive => {
                (failure.reason.clone(), refused(failure, policy, next, history))
            }
            (Some(failure), _) => {
                (failure.reason.clone(), format!("{}; tried again by itself", failure.message))
            }
            (None, _) => match self.before.filter(|_| backing_off) {
                Some(before) if before.state == ItemState::Running => {
                    (before.reason.clone(), said_again(before, history))
                }
                _ => self.missing(evidence),
            },
        };
        if let (Some(waiting), None) = (&evidence.waiting, failure) {
            return (ItemState::Waiting, waiting.reason.clone(), waiting.message.clone());
        }
        let timed_out = self.continues(ItemState::Failed).is_some_and(|before| before.reason == TIMED_OUT);
        if timed_out || late <= self.now {
            let timeout = self.item.timeout;
            let message =
                format!("not done within {timeout:#}: {message}; it becomes done as soon as that is there");
            return (ItemState::Failed, TIMED_OUT.to_owned(), message);
        }
        (ItemState::Running, reason, message)
    }

    /// What is missing to be done.
    fn missing(&self, evidence: &Evidence) -> (String, String) {
        if evidence.live < evidence.desired {
            let message = format!("{} of {} objects are there", evidence.live, evidence.desired);
            return ("ObjectsMissing".to_owned(), message);
        }
        if self.item.kind == Kind::Job {
            return ("ObjectsMissing".to_owned(), "its Job is made next".to_owned());
        }
        let objects: Vec<String> = evidence.unhealthy.iter().map(told).collect();
        ("ObjectsNotReady".to_owned(), format!("waits for {}", list(&objects, NAMED)))
    }

    /// Seconds that it usually takes. What is learned moves with every order, and that is no reason to write: an item keeps
    /// what was said of it.
    fn estimated(&self) -> Option<i64> {
        let said = self.before.filter(|before| {
            self.item.nine_of_ten.is_some()
                && before.input_digest.as_deref() == Some(self.item.input_digest.as_str())
        });
        said.map_or_else(|| Some(estimate(self.item).whole().as_secs()), |before| before.estimated_seconds)
    }

    fn entry(&self, finding: Finding) -> ChecklistEntry {
        let due = self.due(finding.state);
        let Finding { state, reason, message, started, attempts, next_retry, released: _, changes: _, job } =
            finding;
        // A run stays on record also where the item does not apply any more: its number is never given again.
        let job = job.or_else(|| self.before.and_then(|before| before.job.clone()));
        let since =
            self.before.filter(|before| before.state == state).map_or(self.now, |b| time::instant(&b.since));
        let applies = state != ItemState::Skipped;
        let conclusion = self.conclusion(state, started);
        ChecklistEntry {
            name: self.item.name.clone(),
            category: self.item.category,
            owner: self.waits_for(&reason),
            state,
            reason: word(&reason, "Unknown"),
            message: cut(&message, MESSAGE_LIMIT),
            since: time::time(since),
            started_at: started.map(time::time),
            attempts,
            next_retry_at: next_retry.map(time::time),
            input_digest: applies.then(|| self.item.input_digest.clone()),
            objects: if applies { i32::try_from(self.item.evidence.live).unwrap_or(i32::MAX) } else { 0 },
            sign_off: self.item.signature.as_ref().filter(|_| applies).map(SignatureInput::request),
            job: job.filter(|_| self.item.kind == Kind::Job),
            due: due.map(time::time),
            overdue: due.is_some_and(|due| due <= self.now),
            estimated_seconds: self.estimated().filter(|seconds| *seconds > 0),
            conclusion,
        }
    }
}

// === impl Finding ===

impl Finding {
    pub(super) fn new(state: ItemState, reason: &str, message: String, history: History) -> Self {
        Self {
            state,
            reason: reason.to_owned(),
            message,
            started: history.started,
            attempts: history.attempts,
            next_retry: history.next_retry,
            released: false,
            changes: None,
            job: None,
        }
    }
}

/// The message of an entry that waits for its next attempt, with the time that it waits for now.
fn said_again(before: &ChecklistEntry, history: History) -> String {
    let time_of = |at: Option<Timestamp>| at.map(time::readable).unwrap_or_default();
    let (said, now) =
        (time_of(before.next_retry_at.as_ref().map(time::instant)), time_of(history.next_retry));
    if said == now { before.message.clone() } else { before.message.replace(&said, &now) }
}

/// A refusal after which it is tried again.
fn refused(failure: &ItemFailure, policy: RetryPolicy, next: Timestamp, history: History) -> String {
    let next = time::readable(next);
    let tail = format!("; refused {} of {} times, tried again at {next}", history.attempts, policy.attempts);
    format!("{}{tail}", cut(&failure.message, MESSAGE_LIMIT.saturating_sub(tail.len())))
}

fn told(object: &super::Unhealthy) -> String {
    format!("{} ({})", object.object, object.reason)
}
