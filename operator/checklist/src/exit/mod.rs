//! The end of a subscription: which steps it has, in which order, and how far each is; pure, what was observed comes in as a
//! parameter.
//!
//! Each step is an entry of the checklist like any other. A step that has ended stays ended, and at most one is under way. What a
//! step cannot take away in its time is left to be removed later ([`leftovers`]), so that nothing that is broken outside holds an
//! end up for ever. Only an export that fails does, unless the blueprint says otherwise: no data is deleted that was promised.

mod leftovers;

pub use leftovers::{Leftover, leftovers};

use crate::due::Dates;
use crate::duration::{self, DurationError};
use crate::item::{
    EvaluateInput, Evaluation, Evidence, ItemInput, JobInput, Kind, Unhealthy, Waiting, evaluate,
};
use crate::time;
use jiff::{SignedDuration, Timestamp};
use tenantry_crds::blueprint::{Category, Item, JobAction, OnFailure};
use tenantry_crds::exit::{BlueprintExit, PlanExit};
use tenantry_crds::subscription::{ChecklistEntry, DeletionPolicy, ItemState};
use tenantry_crds::version::JobRole;

/// Nobody gets in any more.
pub const ACCESS: &str = "exit-access";
/// The application's own job exports the data.
pub const EXPORT: &str = "exit-export";
/// Nothing runs any more.
pub const STOP: &str = "exit-stop";
/// The data is kept for a while.
pub const KEEP: &str = "exit-keep";
/// Everything is deleted.
pub const REMOVAL: &str = "exit-removal";

/// Reason of an export that cannot begin.
const CANNOT_EXPORT: &str = "CannotExport";
/// Word of the annotation `tenantry.io/exit` by which a person lets the end go on without an export.
const SKIP_EXPORT: &str = "SkipExport";
/// Word of it by which a person has the data deleted that is kept for a while.
const END_KEEPING: &str = "EndKeeping";

/// What a person said about the end of a subscription, by the annotation `tenantry.io/exit`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// The end goes on without an export.
    pub skip_export: bool,
    /// The data is not kept any longer.
    pub end_keeping: bool,
}

/// How a subscription ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What becomes of the data.
    pub policy: DeletionPolicy,
    /// When its end was asked for.
    pub requested: Timestamp,
    /// When the data may be deleted, where it is kept for a while.
    pub purge_at: Option<Timestamp>,
    /// How long a step may wait for others.
    pub timeout: SignedDuration,
    /// The export, as an item of a blueprint.
    pub export: Item,
}

/// What was observed of the step that is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// What is not gone yet, each with why.
    pub left: Vec<Left>,
    /// Whether the step took so long, by every clock, that the end goes on without that.
    pub given_up: bool,
    /// The export.
    pub export: Export,
    /// What came of the step, for people.
    pub note: Option<String>,
}

/// Something that is not gone yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Kind and name, such as `Namespace tenant-acme`.
    pub object: String,
    /// Why.
    pub why: String,
}

/// What was observed of the export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Export {
    /// What a run of it is about.
    pub digest: String,
    /// Its run.
    pub job: JobInput,
    /// Why there can be none.
    pub impossible: Option<String>,
    /// Why none is needed.
    pub needless: Option<String>,
}

// === impl Wish ===

impl Wish {
    /// Reads the annotation. Words that are not known mean nothing.
    #[must_use]
    pub fn parse(annotation: Option<&str>) -> Self {
        let says =
            |word: &str| annotation.is_some_and(|text| text.split(',').any(|part| part.trim() == word));
        Self { skip_export: says(SKIP_EXPORT), end_keeping: says(END_KEEPING) }
    }

    /// The annotation that says it.
    #[must_use]
    pub fn annotation(self) -> String {
        let words = [(self.skip_export, SKIP_EXPORT), (self.end_keeping, END_KEEPING)];
        words.into_iter().filter(|(says, _)| *says).map(|(_, word)| word).collect::<Vec<_>>().join(",")
    }
}

// === impl Terms ===

impl Terms {
    /// What plan and blueprint say about an end that was asked for at `requested`. `recorded` is the time of deletion that the
    /// status names already; it counts, whatever the plan says by now.
    ///
    /// # Errors
    /// [`DurationError`] when a duration is none; the schema admits no such plan or blueprint.
    pub fn new(
        policy: DeletionPolicy,
        plan: Option<&PlanExit>,
        blueprint: Option<&BlueprintExit>,
        requested: Timestamp,
        recorded: Option<Timestamp>,
    ) -> Result<Self, DurationError> {
        let (plan, blueprint) = (plan.cloned().unwrap_or_default(), blueprint.cloned().unwrap_or_default());
        let kept = match policy {
            DeletionPolicy::ExportThenDelete => Some(duration::parse(&plan.grace_period)?),
            DeletionPolicy::Archive => Some(duration::parse(&plan.retention)?),
            DeletionPolicy::Delete | DeletionPolicy::Retain => None,
        };
        Ok(Self {
            policy,
            requested,
            purge_at: kept.map(|kept| recorded.unwrap_or_else(|| time::after(requested, kept))),
            timeout: duration::parse(&blueprint.timeout)?,
            export: Item {
                name: EXPORT.to_owned(),
                category: Category::Exit,
                job: Some(JobAction { role: JobRole::Export, ..JobAction::default() }),
                timeout: blueprint.export.timeout,
                retry: blueprint.export.retry,
                on_failure: blueprint.export.on_failure,
                ..Item::default()
            },
        })
    }

    /// The terms of who says nothing.
    #[must_use]
    pub fn usual(policy: DeletionPolicy, requested: Timestamp, recorded: Option<Timestamp>) -> Self {
        let day = SignedDuration::from_hours(24);
        let keeps = matches!(policy, DeletionPolicy::ExportThenDelete | DeletionPolicy::Archive);
        let purge_at = keeps.then(|| recorded.unwrap_or_else(|| time::after(requested, day * 30)));
        Self { policy, requested, purge_at, timeout: day / 24, export: Item::default() }
    }

    /// The steps, in their order.
    #[must_use]
    pub fn steps(&self) -> &'static [&'static str] {
        match self.policy {
            DeletionPolicy::ExportThenDelete => &[ACCESS, EXPORT, STOP, KEEP, REMOVAL],
            DeletionPolicy::Archive => &[ACCESS, STOP, KEEP, REMOVAL],
            DeletionPolicy::Delete => &[REMOVAL],
            DeletionPolicy::Retain => &[ACCESS],
        }
    }

    /// The step that is under way or comes next; nothing once all have ended.
    #[must_use]
    pub fn open_step(&self, checklist: &[ChecklistEntry]) -> Option<&'static str> {
        let has_ended = |step: &&str| {
            let entry = checklist.iter().find(|entry| entry.name == **step);
            entry.is_some_and(|entry| match entry.state {
                ItemState::Done | ItemState::Skipped => true,
                ItemState::Failed => self.goes_on_without(step),
                ItemState::Pending | ItemState::Running | ItemState::Waiting => false,
            })
        };
        self.steps().iter().copied().find(|step| !has_ended(step))
    }

    /// Whether the end goes on if a step fails.
    fn goes_on_without(&self, step: &str) -> bool {
        step != EXPORT || self.export.on_failure == OnFailure::Continue
    }
}

/// The checklist of a subscription that ends, as far as it is known now.
///
/// # Errors
/// [`DurationError`] when a duration of the export is none; the schema admits no such blueprint.
pub fn evaluated(
    terms: &Terms,
    subscription: &str,
    previous: &[ChecklistEntry],
    observed: &Observed,
    wish: Wish,
    retries: [Option<&str>; 2],
    now: Timestamp,
) -> Result<Evaluation, DurationError> {
    let Some(open) = terms.open_step(previous) else {
        return Ok(Evaluation { entries: previous.to_vec(), ..Evaluation::default() });
    };
    let item = match open {
        EXPORT => export(terms, observed, wish)?,
        _ => leaving(terms, open, observed, wish)?,
    };
    let [retry, observed_retry] = retries;
    let input = |items: &[ItemInput]| {
        let input =
            EvaluateInput { subscription, items, previous, retry, observed_retry, is_over: true, now };
        evaluate(&input).unwrap_or_default()
    };
    // What comes later was not looked at, so it cannot have ended: it waits, however far this step is.
    let under_way =
        Observed { left: vec![Left { object: String::new(), why: String::new() }], ..Observed::default() };
    let mut later = vec![leaving(terms, open, &under_way, wish)?];
    for step in terms.steps().iter().copied().skip_while(|step| *step != open).skip(1) {
        let before = later.last().map(|item| item.name.clone());
        let new = match step {
            EXPORT => export(terms, &Observed::default(), Wish::default())?,
            _ => leaving(terms, step, &under_way, wish)?,
        };
        later.push(ItemInput { depends_on: before.into_iter().collect(), ..new });
    }
    let later = input(&later).entries.into_iter().skip(1);
    let evaluation = input(&[item]);
    let stays = |entry: &&ChecklistEntry| {
        !terms.steps().iter().skip_while(|step| **step != open).any(|step| *step == entry.name)
    };
    let entries = previous.iter().filter(stays).cloned().chain(evaluation.entries).chain(later).collect();
    Ok(Evaluation { entries, ..evaluation })
}

fn leaving(terms: &Terms, step: &str, observed: &Observed, wish: Wish) -> Result<ItemInput, DurationError> {
    let not_before = terms.purge_at.filter(|_| step == KEEP && !wish.end_keeping);
    let unhealthy = observed.left.iter().map(|left| Unhealthy {
        object: left.object.clone(),
        reason: left.why.clone(),
        failed: false,
    });
    let evidence = Evidence { unhealthy: unhealthy.collect(), ..Evidence::default() };
    let digest = format!("{:?}", terms.policy);
    let new = ItemInput::new(&terms.export, &Dates::default(), digest, evidence)?;
    Ok(ItemInput {
        name: step.to_owned(),
        kind: Kind::Leaving { not_before, given_up: observed.given_up },
        timeout: terms.timeout,
        on_failure: OnFailure::Continue,
        note: observed.note.clone(),
        ..new
    })
}

fn export(terms: &Terms, observed: &Observed, wish: Wish) -> Result<ItemInput, DurationError> {
    let Export { digest, job, impossible, needless } = observed.export.clone();
    let new = ItemInput::new(&terms.export, &Dates::default(), digest, Evidence::default())?;
    let goes_on = terms.export.on_failure == OnFailure::Continue;
    let skipped = if wish.skip_export {
        Some("a person let the end go on without an export".to_owned())
    } else {
        needless.or_else(|| impossible.clone().filter(|_| goes_on))
    };
    let waits = impossible.map(|why| Waiting { reason: CANNOT_EXPORT.to_owned(), message: why });
    Ok(ItemInput { skipped, job: Some(JobInput { waits: waits.or(job.waits), ..job }), ..new })
}

/// Whether a step needs a person before the end can go on.
#[must_use]
pub fn blocks(entry: &ChecklistEntry) -> bool {
    entry.name == EXPORT && (entry.state == ItemState::Failed || entry.reason == CANNOT_EXPORT)
}

#[cfg(test)]
mod tests;
