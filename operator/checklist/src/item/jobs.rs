//! The state of an item that is a job; pure.
//!
//! A run is recorded before its Job is made, under a number that is never given again, and counts by its result alone. One
//! that is under way is never cut off: not by a person who asks for another, not by an order that changed meanwhile. What is
//! done is not done again.

use super::evaluate::{Finding, History, Pass};
use super::{JOB_FAILED, JOB_RUNNING, JobInput, RetryPolicy};
use crate::job;
use crate::text::{cut, list};
use crate::time;
use tenantry_crds::subscription::{ItemState, JobResult, JobRun, JobState};

/// Longest account of a failed run in a message.
const ACCOUNT_LIMIT: usize = 360;
/// Differences named in a message.
const NAMED: usize = 2;
/// Refusals of one Job after which its item fails, at least: who wants a job to run once does not mean that.
pub(super) const REFUSALS: i32 = 5;

// === impl Pass ===

impl Pass<'_> {
    pub(super) fn job(&self, history: History) -> Finding {
        let Some(input) = &self.item.job else { return self.begins(None, history) };
        let before = self.before.and_then(|before| before.job.as_ref());
        let run = before.map(|run| observed(run, input));
        let has_just_failed = run.as_ref().is_some_and(|run| run.state == JobState::Failed)
            && before.is_some_and(|before| before.state == JobState::Running);
        let is_about_this = |run: &JobRun| run.digest == self.item.input_digest;
        match run {
            Some(run) if run.state == JobState::Succeeded && is_about_this(&run) => {
                succeeded(run, history, self)
            }
            Some(run) if run.state == JobState::Running => self.runs(run, history),
            // Its pods still wait for their result to be on record; the next pass goes on.
            Some(run) if !run.let_go => self.ended(run, history, has_just_failed),
            Some(run) if run.state == JobState::Failed && is_about_this(&run) => {
                self.ended(run, history, has_just_failed)
            }
            run => self.begins(run, history),
        }
    }

    /// A run that is under way, or that is recorded and whose Job is not made yet.
    fn runs(&self, run: JobRun, history: History) -> Finding {
        let is_made = self.item.job.as_ref().is_some_and(|input| input.made && input.name == run.name);
        if !is_made {
            if self.item.hold.is_some()
                && let Some(held) = self.held(history)
            {
                return Finding { job: Some(run), ..held };
            }
            return self.makes(run, history);
        }
        let run = JobRun { refusals: 0, ..run };
        let message = if run.digest == self.item.input_digest {
            format!("attempt {} runs as Job {}", run.attempt, run.name)
        } else {
            format!("attempt {} of an earlier order runs as Job {} and is not cut off", run.attempt, run.name)
        };
        let history = History { next_retry: None, ..history };
        let finding = Finding::new(ItemState::Running, JOB_RUNNING, message, history);
        Finding { released: true, job: Some(run), ..finding }
    }

    /// A run whose Job is not made yet. What is refused meanwhile counts for this Job alone, and is no attempt at what it does.
    fn makes(&self, run: JobRun, history: History) -> Finding {
        let refusals = if self.is_anew() { 0 } else { run.refusals };
        let policy = RetryPolicy { attempts: self.item.retry.attempts.max(REFUSALS), ..self.item.retry };
        let finding = self.open_by(self.allowed(true), policy, History { attempts: refusals, ..history });
        let run = JobRun { refusals: finding.attempts, ..run };
        Finding { job: Some(run), attempts: history.attempts, ..finding }
    }

    /// A run that ended without what was asked for, or that was about something else.
    fn ended(&self, run: JobRun, history: History, has_just_failed: bool) -> Finding {
        let policy = self.item.retry;
        let attempts = if has_just_failed { history.attempts.saturating_add(1) } else { history.attempts };
        let account = account(&run);
        if policy.exhausted(attempts) {
            let message = format!(
                "{account}; correct it, then run kubectl tenantry retry {} {}",
                self.subscription, self.item.name
            );
            let history = History { attempts, next_retry: None, ..history };
            return Finding {
                job: Some(run),
                ..Finding::new(ItemState::Failed, JOB_FAILED, message, history)
            };
        }
        let next_retry = match has_just_failed {
            true => Some(policy.next(self.now, attempts)),
            false => history.next_retry,
        };
        let history = History { attempts, next_retry, ..history };
        if run.let_go && next_retry.is_none_or(|at| at <= self.now) {
            return self.begins(Some(run), history);
        }
        let message = match next_retry {
            Some(at) => format!("{account}; tried again at {}", time::readable(at)),
            None => account,
        };
        let finding = Finding::new(ItemState::Running, JOB_FAILED, message, history);
        Finding { job: Some(run), ..finding }
    }

    /// The next run, once it is the item's turn.
    fn begins(&self, before: Option<JobRun>, history: History) -> Finding {
        if let Some(held) = self.held(History { started: None, ..history }) {
            return Finding { job: before, ..held };
        }
        let history = History { started: history.started.or(Some(self.now)), ..history };
        if let Some(waits) = self.item.job.as_ref().and_then(|input| input.waits.as_ref()) {
            let finding = Finding::new(ItemState::Waiting, &waits.reason, waits.message.clone(), history);
            return Finding { job: before, ..finding };
        }
        let attempt = before.map_or(1, |run| run.attempt.saturating_add(1));
        let run = JobRun {
            name: job::name(&self.item.name, attempt, &self.item.input_digest),
            attempt,
            digest: self.item.input_digest.clone(),
            state: JobState::Running,
            refusals: 0,
            ended_at: None,
            result: None,
            let_go: false,
        };
        self.runs(run, History { next_retry: None, ..history })
    }
}

fn succeeded(run: JobRun, history: History, pass: &Pass<'_>) -> Finding {
    let kept = History { started: history.started.or(Some(pass.now)), next_retry: None, ..history };
    let message = run.result.as_ref().map(told).unwrap_or_default();
    Finding { job: Some(run), ..Finding::new(ItemState::Done, "JobSucceeded", message, kept) }
}

/// What a result says, for people.
fn told(result: &JobResult) -> String {
    let rows = result.rows.map(|rows| format!("{rows} rows"));
    match (result.message.as_str(), rows) {
        ("", rows) => rows.unwrap_or_default(),
        (message, None) => message.to_owned(),
        (message, Some(rows)) => format!("{message} ({rows})"),
    }
}

/// A run with what was observed of it, if that is about this run.
fn observed(run: &JobRun, input: &JobInput) -> JobRun {
    let mut run = run.clone();
    if input.name != run.name {
        return run;
    }
    if let Some(end) = input.ended.as_ref().filter(|_| run.state == JobState::Running) {
        run.state = end.state;
        run.result = Some(end.result.clone());
        run.ended_at = Some(time::time(time::whole(end.at)));
    }
    run.let_go |= input.let_go && run.state != JobState::Running;
    run
}

/// Why a run counts for nothing, for people.
fn account(run: &JobRun) -> String {
    let result = run.result.clone().unwrap_or_default();
    let mut text = format!("attempt {} failed: {}", run.attempt, told(&result));
    if run.state == JobState::Succeeded {
        text = format!("attempt {} was for an earlier order", run.attempt);
    } else if !result.differences.is_empty() {
        text.push_str(&format!("; {}", list(&result.differences, NAMED)));
    }
    cut(&text, ACCOUNT_LIMIT)
}
