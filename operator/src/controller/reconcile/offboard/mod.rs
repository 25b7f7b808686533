//! Bringing a tenant to its end once its subscription is deleted. Needs clients.
//!
//! The end has steps, entries of the checklist (`tenantry_checklist::exit`), one after the other. What is taken away is taken by
//! the record alone; only what shall run or rest meanwhile, for an export, is rendered. The policy is read from the API server
//! before the first deletion, and every deletion carries a UID. The finalizer goes last, when everything that shall go was seen
//! gone, or was given up and is left to be removed later.

mod export;
mod over;
mod rest;
mod taking;

use super::dereference::Snapshot;
use super::write::{self, WriteError};
use super::{Next, Outcome, backoff, deadline, earlier, jobs};
use crate::controller::context::Context;
use crate::controller::roots::Root;
use crate::controller::session::Session;
use std::sync::Arc;
use std::time::Duration;
use tenantry_apply::executor::Execution;
use tenantry_apply::object::{Desired, Kind, Owner};
use tenantry_apply::plan::Plan;
use tenantry_apply::streams::Mode;
use tenantry_checklist::exit::{self, Observed, Terms, Wish};
use tenantry_checklist::item::Evaluation;
use tenantry_checklist::report::{ReportInput, Verdict, report};
use tenantry_checklist::time;
use tenantry_crds::inventory::Inventory;
use tenantry_crds::subscription::{ChecklistEntry, DeletionPolicy};
use tokio::time::Instant;

/// The end goes on without what is left only after this process has tried for so long itself: a clock that jumps is no reason to
/// give anything up.
const TRIES_FOR: Duration = Duration::from_secs(60);
/// Rounds of one run; every round that does something makes the next one's work smaller.
const MAX_ROUNDS: usize = 24;
/// Steps that one run may bring to their end.
const MAX_STEPS: usize = 8;

pub(super) async fn run(
    context: &Context,
    snapshot: &Snapshot,
    session: &mut Session,
) -> Result<(Outcome, Next), WriteError> {
    // What it has of servers is kept until everything of it is gone.
    context.servers.withdraw(&snapshot.root.uid);
    if !snapshot.root.is_finalized() {
        // Nothing of ours is to be done for it, and others may still hold it.
        return Ok((Outcome::Settled, None));
    }
    let inventory =
        session.inventory.clone().or_else(|| snapshot.status.inventory.clone()).unwrap_or_default();
    let Some(owner) = snapshot.owner() else {
        // The record is written together with the tenant's identity: without one nothing was ever made.
        write::finalizer(context, snapshot, false).await?;
        return Ok((Outcome::Settled, None));
    };
    watch_kinds(context, &inventory);
    let current = Snapshot { root: Arc::clone(&snapshot.root), status: snapshot.status.clone(), ..*snapshot };
    let terms = terms(context, &current);
    let ending = Ending {
        context,
        session,
        owner,
        terms,
        inventory,
        checklist: snapshot.status.checklist.clone(),
        wish: Wish::parse(snapshot.root.exit.as_deref()),
        is_confirmed: false,
        snapshot: current,
    };
    ending.run().await
}

/// One run over the end of a tenant.
struct Ending<'a> {
    context: &'a Context,
    session: &'a mut Session,
    snapshot: Snapshot,
    owner: Owner,
    terms: Terms,
    /// What is recorded, after the last answers.
    inventory: Inventory,
    /// The checklist, after what was seen last.
    checklist: Vec<ChecklistEntry>,
    wish: Wish,
    /// Whether the API server itself said that the subscription is being deleted, and how.
    is_confirmed: bool,
}

/// What came of a look at a step.
#[derive(Debug, Default)]
struct Found {
    observed: Observed,
    /// When to look again, besides what time alone changes.
    next: Next,
    /// Whether an answer did not come, or was a refusal.
    failed: bool,
    /// Whether the step must not be given up, however long it takes.
    endures: bool,
}

// === impl Ending ===

impl Ending<'_> {
    async fn run(mut self) -> Result<(Outcome, Next), WriteError> {
        for _ in 0..MAX_STEPS {
            let Some(step) = self.terms.open_step(&self.checklist) else { return self.over().await };
            let found = match step {
                exit::ACCESS => self.access().await?,
                exit::EXPORT => self.export().await?,
                exit::STOP => self.stop().await?,
                exit::REMOVAL => self.removal().await?,
                _ => Found::default(),
            };
            let observed = Observed { given_up: self.gives_up(step, &found), ..found.observed.clone() };
            let evaluation = self.evaluated(&observed);
            self.checklist.clone_from(&evaluation.entries);
            if self.terms.open_step(&self.checklist) != Some(step) {
                self.session.exit_step = None;
                // Who has several steps has each on record before the next one begins.
                if self.terms.steps().len() > 1 {
                    self.tell(&evaluation, &[], false, false).await?;
                }
                continue;
            }
            return self.waits(step, found, evaluation).await;
        }
        Ok((Outcome::Waiting, Some(self.snapshot.instant)))
    }

    /// Reports, and says when to look again.
    async fn waits(
        mut self,
        step: &'static str,
        found: Found,
        evaluation: Evaluation,
    ) -> Result<(Outcome, Next), WriteError> {
        let blockers: Vec<String> =
            found.observed.left.iter().map(|left| format!("{}: {}", left.object, left.why)).collect();
        let stuck_at = self.since(step) + self.terms.timeout / 2;
        let is_stuck = !blockers.is_empty() && stuck_at <= self.snapshot.now;
        self.tell(&evaluation, &blockers, is_stuck, false).await?;
        let mut next = earlier(found.next, deadline(&self.snapshot, evaluation.deadline));
        if !blockers.is_empty() && !is_stuck {
            next = earlier(next, deadline(&self.snapshot, Some(stuck_at)));
        }
        if let Some((_, since)) = self.session.exit_step.filter(|_| !found.endures && !blockers.is_empty()) {
            next = earlier(next, Some((since + TRIES_FOR).max(self.snapshot.instant + TRIES_FOR / 4)));
        }
        self.session.outages = if found.failed { self.session.outages.saturating_add(1) } else { 0 };
        if found.failed {
            next = earlier(next, Some(self.snapshot.instant + backoff(self.session.outages)));
        }
        Ok((Outcome::Waiting, next))
    }

    /// Whether the end goes on without what a step has left.
    fn gives_up(&mut self, step: &'static str, found: &Found) -> bool {
        let now = Instant::now();
        let since = match self.session.exit_step {
            Some((known, since)) if known == step => since,
            _ => {
                self.session.exit_step = Some((step, now));
                now
            }
        };
        let tried = now.duration_since(since);
        let timeout = Duration::try_from(self.terms.timeout).unwrap_or_default();
        let is_late = time::after(self.since(step), self.terms.timeout) <= self.snapshot.now;
        is_late && !found.endures && tried >= TRIES_FOR.min(timeout)
    }

    /// When a step began.
    fn since(&self, step: &str) -> jiff::Timestamp {
        let entry = self.checklist.iter().find(|entry| entry.name == step);
        entry.and_then(|entry| entry.started_at.as_ref()).map_or(self.snapshot.now, time::instant)
    }

    fn evaluated(&self, observed: &Observed) -> Evaluation {
        let status = &self.snapshot.status;
        let retries = [self.snapshot.root.retry.as_deref(), status.observed_retry.as_deref()];
        let name = &self.snapshot.root.name;
        let evaluated = exit::evaluated(
            &self.terms,
            name,
            &self.checklist,
            observed,
            self.wish,
            retries,
            self.snapshot.now,
        );
        evaluated.unwrap_or_else(|error| {
            // The schema admits no such blueprint.
            tracing::error!(subscription = %name, %error, "the end has no steps");
            Evaluation { entries: self.checklist.clone(), ..Evaluation::default() }
        })
    }

    /// Asks the API server itself whether the subscription is being deleted by these terms: what was observed may be old, and
    /// something is about to be destroyed. Ends the run where it is not so. The watch will tell, and may take a while.
    async fn confirm(&mut self) -> Result<(), WriteError> {
        if self.is_confirmed {
            return Ok(());
        }
        let live = write::live(self.context, &self.snapshot).await?;
        let is_so = |live: Root| live.deleting_since.is_some() && policy_of(&live) == self.terms.policy;
        if !live.is_some_and(is_so) {
            return Err(WriteError::Outdated { what: "the end of the subscription" });
        }
        self.is_confirmed = true;
        Ok(())
    }

    /// Plans and executes until nothing can be done at once.
    async fn rounds(&mut self, desired: &[Desired], planned: impl Fn(&Self) -> Plan) -> (Plan, Execution) {
        let mut done = Execution { outcomes: Vec::new(), inventory: self.inventory.clone() };
        let mut plan = Plan::default();
        for _ in 0..MAX_ROUNDS {
            plan = planned(self);
            if plan.steps.is_empty() || done.outcomes.iter().any(|outcome| outcome.result.is_err()) {
                break;
            }
            done = self.context.executor.execute(&self.owner, &plan, desired, &self.inventory).await;
            self.inventory = done.inventory.clone();
            self.session.learn(self.snapshot.status.inventory.as_ref(), done.inventory.clone());
        }
        (plan, done)
    }

    /// Writes what is known now.
    async fn tell(
        &mut self,
        evaluation: &Evaluation,
        blockers: &[String],
        stuck: bool,
        unrecorded: bool,
    ) -> Result<(), WriteError> {
        let status = report(&ReportInput {
            generation: self.snapshot.root.generation,
            previous: &self.snapshot.status,
            verdict: Verdict::Terminating {
                policy: self.terms.policy,
                purge_at: self.terms.purge_at,
                blockers,
                stuck,
                unrecorded,
            },
            obstacles: &[],
            evaluation: Some(evaluation),
            sizing: None,
            pause: self.snapshot.pause(),
            plan: None,
            suspension: None,
            billing: None,
            inventory: Some(self.inventory.clone()),
            now: self.snapshot.now,
        });
        let written = write::status(self.context, &self.snapshot, self.session, status).await?;
        written.settle(&mut self.snapshot);
        Ok(())
    }
}

/// By what the subscription ends: its own policy, and the revisions that it runs.
fn terms(context: &Context, snapshot: &Snapshot) -> Terms {
    let policy = policy_of(&snapshot.root);
    let requested = snapshot.root.deleting_since.unwrap_or(snapshot.now);
    let accepted = snapshot.status.accepted.as_ref();
    let plan = accepted.and_then(|accepted| context.store.plan_of(accepted));
    let blueprint = accepted.and_then(|accepted| context.store.blueprint_of(accepted));
    let purge_at = snapshot.status.purge_at.as_ref().map(time::instant);
    let plan = plan.as_ref().and_then(|plan| plan.exit.as_ref());
    let blueprint = blueprint.as_ref().and_then(|blueprint| blueprint.exit.as_ref());
    Terms::new(policy, plan, blueprint, requested, purge_at).unwrap_or_else(|error| {
        // The schema admits no such durations; what is usual is right then.
        tracing::error!(subscription = %snapshot.root.name, %error, "the terms of the end cannot be read");
        Terms::usual(policy, requested, purge_at)
    })
}

/// A spec that cannot be read says nothing about the policy, and keeping is what can be undone.
fn policy_of(root: &Root) -> DeletionPolicy {
    root.spec().map_or(DeletionPolicy::Retain, |spec| spec.deletion_policy)
}

/// Asks for watches of everything that is recorded.
pub(super) fn watch_kinds(context: &Context, inventory: &Inventory) {
    for entry in &inventory.objects {
        if let Some(kind) = Kind::parse(&entry.kind)
            && let Some(served) = context.discovery.resolve(&kind)
        {
            let mode = if jobs::is_job(entry) { Mode::Status } else { Mode::Metadata };
            context.streams.ensure(&kind, &served.resource, mode);
        }
    }
}
