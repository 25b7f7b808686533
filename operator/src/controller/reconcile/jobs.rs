//! Jobs of the checklist as the cluster has them: what became of a run, its result from the pod that is kept for it, and
//! letting that pod go once the result is on record. Needs clients.
//!
//! A Job tells by its conditions that it ended, and its pod what came of it. The pod is kept by a finalizer until the status
//! holds the result, so neither a crash nor a collector of old pods loses it.

use super::dereference::Snapshot;
use super::prepare::{Prepared, PreparedItem, PreparedJob};
use crate::controller::context::Context;
use crate::controller::foreign::Sight;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use tenantry_apply::index::Seen;
use tenantry_apply::object::{Desired, Kind, ObjectId, Owner, Policy, Stage};
use tenantry_apply::record::Ledger;
use tenantry_apply::streams::Mode;
use tenantry_blueprint::render::{RESULT_FINALIZER, RUN_LABEL};
use tenantry_checklist::item::{self, Evaluation, JobEnd, JobInput, Waiting};
use tenantry_checklist::job::{self, Ended};
use tenantry_crds::TenantSubscriptionStatus;
use tenantry_crds::inventory::{EntryState, Inventory, InventoryEntry};
use tenantry_crds::subscription::{ChecklistEntry, JobRun, JobState};

/// Reason of a run whose Job is gone, for the account of the item.
const GONE: &str = "its Job was removed before the result was read";

/// Jobs of earlier runs that an item keeps. A creation that arrives late, from a controller that has ended meanwhile, is refused
/// as long as its name is taken; otherwise the run would be made again. While so many more come and go nothing is under way any
/// longer.
const EARLIER: usize = 8;

/// What was observed of the runs that the status names.
#[derive(Debug, Default)]
pub(super) struct Observed {
    ends: HashMap<String, JobEnd>,
    /// Runs under way whose Job was on record, so that it could be asked about.
    asked: HashSet<String>,
    let_go: HashSet<String>,
    /// Whether something could not be asked, so that it has to be asked again.
    pub(super) is_incomplete: bool,
}

/// The kind of all runs.
pub(super) fn kind() -> Kind {
    Kind::new("batch", "v1", "Job")
}

/// Whether an entry of the record is a run.
pub(super) fn is_job(entry: &InventoryEntry) -> bool {
    Kind::parse(&entry.kind).is_some_and(|kind| kind.is("batch", "Job"))
}

/// Asks for the watch of Jobs, with their status, where the order has any.
pub(super) fn watch(context: &Context, prepared: &Prepared) {
    if !prepared.has_jobs() {
        return;
    }
    if let Some(served) = context.discovery.resolve(&kind()) {
        context.streams.ensure(&kind(), &served.resource, Mode::Status);
    }
}

/// Reads the results of runs that ended, and lets go of the pods whose result is on record.
pub(super) async fn observe(
    context: &Context,
    snapshot: &Snapshot,
    prepared: &Prepared,
    ledger: &Ledger,
) -> Observed {
    let mut observed = Observed::default();
    for PreparedItem { item, job, .. } in &prepared.items {
        let Some(job) = job else { continue };
        let run = run_of(&snapshot.status.checklist, &item.name).filter(|run| !run.let_go);
        let Some(run) = run else { continue };
        let done = match run.state {
            JobState::Running => observed.read(context, snapshot, prepared, job, run, ledger).await,
            JobState::Succeeded | JobState::Failed => {
                let done = let_go(context, &prepared.owner, &format!("{RUN_LABEL}={}", run.name)).await;
                done.map(|()| observed.let_go.extend([run.name.clone()]))
            }
        };
        if let Err(error) = done {
            let (subscription, run) = (&snapshot.root.name, &run.name);
            tracing::warn!(%subscription, run, %error, "the pods of a run cannot be asked; asking again");
            observed.is_incomplete = true;
        }
    }
    observed
}

/// Lets go of every pod of the tenant that is kept for its result.
pub(super) async fn let_go_all(context: &Context, owner: &Owner) -> Result<(), kube::Error> {
    let_go(context, owner, RUN_LABEL).await
}

/// Whether pods of the tenant may be kept for a result.
pub(super) fn keeps_pods(status: &TenantSubscriptionStatus) -> bool {
    status.checklist.iter().filter_map(|entry| entry.job.as_ref()).any(|run| !run.let_go)
}

/// Whether the second checklist holds the result of a run that the first does not.
pub(super) fn result_is_new(before: &[ChecklistEntry], after: &[ChecklistEntry]) -> bool {
    let has_ended = |entry: &ChecklistEntry| {
        entry.job.as_ref().filter(|run| run.state != JobState::Running).map(|run| run.name.clone())
    };
    let known: HashSet<String> = before.iter().filter_map(has_ended).collect();
    after.iter().filter_map(has_ended).any(|name| !known.contains(&name))
}

/// What is observed of an item's job, for its state.
pub(super) fn input(
    context: &Context,
    subscription: &str,
    checklist: &[ChecklistEntry],
    prepared: &Prepared,
    item: &PreparedItem,
    observed: &Observed,
    ledger: &Ledger,
) -> Option<JobInput> {
    let job = item.job.as_ref()?;
    let run = run_of(checklist, &item.item.name);
    // Who has what he needs, or is at it, is asked for nothing.
    let begins = run.is_none_or(|run| run.state == JobState::Failed || run.digest != job.digest);
    let missing =
        || job.source.as_ref().filter(|_| begins).and_then(|id| missing_source(context, subscription, id));
    let waits = suspended(prepared).or_else(|| job.waits.clone()).or_else(missing);
    let Some(run) = run else {
        return Some(JobInput { waits, ..JobInput::default() });
    };
    Some(JobInput {
        name: run.name.clone(),
        made: made(&prepared.owner, ledger, run).is_some(),
        ended: observed.ends.get(&run.name).cloned(),
        let_go: observed.let_go.contains(&run.name),
        waits,
    })
}

/// The Jobs of the runs that an evaluation names, and those of some runs before them. One that was made is left as it is, and
/// never made again.
pub(super) fn desired(prepared: &Prepared, evaluation: &Evaluation, inventory: &Inventory) -> Vec<Desired> {
    let mut all = Vec::new();
    for PreparedItem { item, job, .. } in &prepared.items {
        let (Some(job), Some(run)) = (job, run_of(&evaluation.entries, &item.name)) else { continue };
        for name in [run.name.as_str()].into_iter().chain(earlier(inventory, &item.name, run)) {
            let body = job.rendered.of_run(name);
            // Its parts were judged when the order was prepared.
            if let Ok(mut desired) = Desired::new(&prepared.owner, &item.name, Stage::Ordinary, true, body) {
                desired.policy = Policy::Once;
                all.push(desired);
            }
        }
    }
    all
}

/// No run begins while nothing of the tenant may run.
fn suspended(prepared: &Prepared) -> Option<Waiting> {
    let effect = Some(&prepared.suspension).filter(|effect| effect.compute)?;
    let message = format!("runs when the suspension is lifted: {}", effect.told());
    Some(Waiting { reason: item::SUSPENDED.to_owned(), message })
}

/// What a conversion waits for that whoever brings the data has to hand over.
fn missing_source(context: &Context, subscription: &str, id: &ObjectId) -> Option<Waiting> {
    let served = context.discovery.resolve(&id.kind)?;
    let namespace = id.namespace.as_deref().unwrap_or_default();
    let (reason, message) = match context.foreign.look(id, &served.resource, subscription) {
        Sight::There(_) => return None,
        Sight::Absent => (
            "SourceMissing",
            format!(
                "what the conversion reads is not there: put the data, or how to reach it, into the Secret {} of the namespace \
                 {namespace}, as with kubectl create secret generic {} -n {namespace} --from-file=FILE",
                id.name, id.name
            ),
        ),
        Sight::NotSynced => (
            "NotObserved",
            format!("the Secret {} of the namespace {namespace} has not been looked for yet", id.name),
        ),
    };
    Some(Waiting { reason: reason.to_owned(), message })
}

/// The latest runs of an item beside this one whose Jobs were made, by the record.
fn earlier<'a>(inventory: &'a Inventory, item: &str, run: &JobRun) -> Vec<&'a str> {
    let was_made = |entry: &&InventoryEntry| {
        let stands = entry.state == EntryState::Live && entry.uid.is_some();
        stands && is_job(entry) && entry.item == item && entry.name != run.name
    };
    let made = inventory.objects.iter().filter(was_made);
    let mut all: Vec<(i32, &str)> =
        made.filter_map(|entry| Some((job::attempt(&entry.name)?, entry.name.as_str()))).collect();
    all.sort_unstable_by(|one, other| other.cmp(one));
    all.into_iter().take(EARLIER).map(|(_, name)| name).collect()
}

/// The last run of an item.
fn run_of<'a>(entries: &'a [ChecklistEntry], item: &str) -> Option<&'a JobRun> {
    entries.iter().find(|entry| entry.name == item)?.job.as_ref()
}

fn id(owner: &Owner, run: &JobRun) -> ObjectId {
    ObjectId::new(kind(), Some(&owner.namespace), &run.name)
}

/// UID of the Job of a run, once it was made.
fn made(owner: &Owner, ledger: &Ledger, run: &JobRun) -> Option<String> {
    ledger.entry(&id(owner, run)).and_then(|entry| entry.uid.clone())
}

// === impl Observed ===

impl Observed {
    /// Whether a run ended whose result is not on record.
    pub(super) fn has_ended(&self) -> bool {
        !self.ends.is_empty()
    }

    async fn read(
        &mut self,
        context: &Context,
        snapshot: &Snapshot,
        prepared: &Prepared,
        job: &PreparedJob,
        run: &JobRun,
        ledger: &Ledger,
    ) -> Result<(), kube::Error> {
        let Some(uid) = made(&prepared.owner, ledger, run) else { return Ok(()) };
        self.asked.insert(run.name.clone());
        let ended = match context.index.see(&id(&prepared.owner, run)) {
            Seen::Absent => Some(Ended { reason: GONE.to_owned(), ..Ended::default() }),
            Seen::Present(observed, _) if *observed.uid == *uid => {
                observed.retained.as_deref().and_then(ended)
            }
            // Another Job of that name is nobody's run.
            Seen::Present(..) => Some(Ended { reason: GONE.to_owned(), ..Ended::default() }),
            Seen::NotSynced | Seen::Unwatched => None,
        };
        let Some(mut ended) = ended else { return Ok(()) };
        ended.message = message(context, &prepared.owner, run).await?;
        // A run about something else is judged by its own word: what was declared then is not known any more.
        let declared = job.declared.as_ref().filter(|_| run.digest == job.digest);
        let (state, result) = job::judge(&ended, declared);
        self.ends.insert(run.name.clone(), JobEnd { state, result, at: snapshot.now });
        Ok(())
    }

    /// Whether a run has ended whose Job was not on record when this look at the tenant began, as after a crash amid its creation:
    /// no further change of the Job will tell, so it has to be looked again.
    pub(super) fn misses_an_end(
        &self,
        context: &Context,
        owner: &Owner,
        checklist: &[ChecklistEntry],
        ledger: &Ledger,
    ) -> bool {
        let runs = checklist.iter().filter_map(|entry| entry.job.as_ref());
        let mut open = runs.filter(|run| run.state == JobState::Running && !self.asked.contains(&run.name));
        open.any(|run| match (made(owner, ledger, run), context.index.see(&id(owner, run))) {
            (Some(uid), Seen::Present(observed, _)) => {
                *observed.uid == *uid && observed.retained.as_deref().and_then(ended).is_some()
            }
            _ => false,
        })
    }
}

/// How a Job ended, by its status; nothing while it has not.
fn ended(retained: &Value) -> Option<Ended> {
    let conditions = retained.pointer("/status/conditions").and_then(Value::as_array)?;
    let is_true = |kind: &str| {
        conditions.iter().find(|condition| condition["type"] == kind && condition["status"] == "True")
    };
    let text = |condition: &Value, field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    match (is_true("Complete"), is_true("Failed")) {
        (Some(_), _) => Some(Ended { completed: true, ..Ended::default() }),
        (None, Some(failed)) => {
            let reason = format!("{} ({})", text(failed, "reason"), text(failed, "message"));
            Some(Ended { reason, ..Ended::default() })
        }
        (None, None) => None,
    }
}

/// What the container of a run said when it ended. Of several pods, as after a loss of the node, the one that succeeded counts,
/// else the last.
async fn message(context: &Context, owner: &Owner, run: &JobRun) -> Result<Option<String>, kube::Error> {
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &owner.namespace);
    let list = pods.list(&ListParams::default().labels(&format!("{RUN_LABEL}={}", run.name))).await?;
    let mut ended: Vec<(i32, Option<String>)> = Vec::new();
    for pod in list.items {
        let statuses = pod.status.and_then(|status| status.container_statuses).unwrap_or_default();
        let terminated = statuses.into_iter().find_map(|status| status.state?.terminated);
        ended.extend(terminated.map(|end| (end.exit_code, end.message)));
    }
    ended.sort_by_key(|(code, _)| *code == 0);
    Ok(ended.pop().and_then(|(_, message)| message))
}

/// Takes our finalizer off the pods that a selector names, and leaves those of others.
async fn let_go(context: &Context, owner: &Owner, selector: &str) -> Result<(), kube::Error> {
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &owner.namespace);
    for pod in pods.list_metadata(&ListParams::default().labels(selector)).await?.items {
        let kept: Vec<String> = pod.metadata.finalizers.unwrap_or_default();
        let (Some(name), true) = (pod.metadata.name, kept.iter().any(|one| one == RESULT_FINALIZER)) else {
            continue;
        };
        let others: Vec<&String> = kept.iter().filter(|one| *one != RESULT_FINALIZER).collect();
        // By uid and version, so that no other pod and no other finalizer is meant.
        let metadata = json!({
            "uid": pod.metadata.uid, "resourceVersion": pod.metadata.resource_version, "finalizers": others,
        });
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        match pods.patch_metadata(&name, &PatchParams::default(), &patch).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What could not be let go is tried again after a while, not at once and for ever.
    #[test]
    fn a_result_is_new_once() {
        let entry = |state: &str, let_go: bool| -> ChecklistEntry {
            serde_json::from_value(json!({
                "name": "testing", "category": "Testing", "owner": "Provider", "state": "Running", "reason": "JobRunning",
                "since": "2026-11-27T06:00:00Z",
                "job": {"name": "testing-1-d", "attempt": 1, "digest": "d", "state": state, "letGo": let_go},
            }))
            .unwrap()
        };
        let [running, ended, gone] = [entry("Running", false), entry("Failed", false), entry("Failed", true)];
        let is_new = |before: &ChecklistEntry, after: &ChecklistEntry| {
            result_is_new(std::slice::from_ref(before), std::slice::from_ref(after))
        };
        assert!(is_new(&running, &ended));
        assert!(!is_new(&ended, &ended) && !is_new(&ended, &gone) && !is_new(&running, &running));
    }

    #[test]
    fn an_item_keeps_the_jobs_of_its_latest_runs() {
        let run: JobRun = serde_json::from_value(
            json!({"name": "testing-12-0123456789", "attempt": 12, "digest": "d", "state": "Running"}),
        )
        .unwrap();
        let of = |kind: &str, name: &str, item: &str, state: &str| {
            let uid = (state != "Pending").then_some("u");
            json!({"kind": kind, "name": name, "item": item, "state": state, "uid": uid})
        };
        let entry = |name: &str, item: &str, state: &str| of("batch/v1/Job", name, item, state);
        let mut objects: Vec<Value> = (2..=12)
            .map(|attempt| entry(&format!("testing-{attempt}-0123456789"), "testing", "Live"))
            .collect();
        objects.extend([
            entry("testing-1-0123456789", "testing", "Deleting"),
            entry("testing-11-abcdefabcd", "testing", "Pending"),
            entry("testing-11-abcdefabcd", "other", "Live"),
            entry("nightly", "testing", "Live"),
            of("v1/ConfigMap", "testing-11-abcdefabcd", "testing", "Live"),
        ]);
        let inventory: Inventory = serde_json::from_value(json!({"order": "o", "objects": objects})).unwrap();
        let kept = earlier(&inventory, "testing", &run);
        let expected: Vec<String> =
            (4..=11).rev().map(|attempt| format!("testing-{attempt}-0123456789")).collect();
        assert_eq!(kept, expected);
    }

    #[test]
    fn a_job_has_ended_when_a_condition_says_so() {
        let status = |conditions: Value| json!({"status": {"active": 1, "conditions": conditions}});
        assert_eq!(ended(&json!({"status": {"active": 1}})), None);
        assert_eq!(ended(&status(json!([{"type": "Complete", "status": "False"}]))), None);
        assert_eq!(
            ended(&status(json!([{"type": "SuccessCriteriaMet", "status": "True"}]))),
            None,
            "its pods are not all ended yet"
        );
        let complete = ended(&status(json!([{"type": "Complete", "status": "True"}])));
        assert!(complete.is_some_and(|ended| ended.completed));
        let failed = status(
            json!([{"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "too long"}]),
        );
        assert_eq!(ended(&failed).map(|ended| ended.reason), Some("DeadlineExceeded (too long)".to_owned()));
    }
}
