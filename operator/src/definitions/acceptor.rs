//! Checks an edited definition, stores its revision, writes its status. Needs a client.
//!
//! One run for one definition: observe, decide, act. It writes only what differs, so a run without news makes no
//! request.

use super::content::{self, Content, Key};
use super::examine::examine;
use super::mover::{Mover, runs};
use super::store::{Live, NOTICE_ANNOTATION, Store};
use crate::controller::billing::used::measuring::{Measuring, NOT_CONFIGURED, NOT_READ};
use crate::controller::roots::Roots;
use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::core::{ClusterResourceScope, Resource};
use kube::{Client, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use tenantry_checklist::pace::Pace;
use tenantry_checklist::report::holds_since;
use tenantry_checklist::revision::{DefinitionKind, Revision};
use tenantry_checklist::time;
use tenantry_crds::common::{Condition, ConditionStatus};
use tenantry_crds::{Blueprint, DefinitionStatus, HostedApplication, HostedApplicationVersion, ServicePlan};
use thiserror::Error;

/// Field manager of the status of definitions.
const STATUS_MANAGER: &str = "tenantry-status";
/// Longest message of a condition.
const MESSAGE_BYTES: usize = 1024;

/// Condition of applications that measure something: whether it is told.
const MEASURED: &str = "Measured";

/// What the acceptor works with.
pub(crate) struct Acceptor {
    /// Client without a retry layer of its own.
    pub(crate) client: Client,
    /// Namespace of the stored revisions.
    pub(crate) namespace: String,
    /// What is known of definitions.
    pub(crate) store: Arc<Store>,
    /// Who runs what.
    pub(crate) roots: Arc<Roots>,
    /// How far moves are.
    pub(crate) mover: Arc<Mover>,
    /// How far what was used is told.
    pub(crate) measuring: Arc<Measuring>,
    /// What was decided of each definition, and at which edition of all of them.
    pub(crate) decided: Mutex<HashMap<Key, (u64, Verdict)>>,
}

/// Why a run has to be repeated.
#[derive(Debug, Error)]
pub(crate) enum AcceptError {
    /// The API server refused or did not answer.
    #[error("{what} failed")]
    Request {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: Box<kube::Error>,
    },
    /// The content has no JSON form.
    #[error("the definition cannot be stored")]
    Content(#[from] serde_json::Error),
}

/// What a run decided about the latest edit.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// It may be run, as this revision.
    Accepted(Revision, Content),
    /// It may not, for this reason.
    Refused(String),
}

// === impl Acceptor ===

impl Acceptor {
    /// Looks at one definition. A definition that is gone needs nothing.
    ///
    /// # Errors
    /// When a request failed; the caller tries again later.
    pub(crate) async fn run(&self, key: &Key, now: jiff::Timestamp) -> Result<(), AcceptError> {
        // Read first: what changes after it is decided anew in the next run.
        let edition = self.store.edition();
        let Some(live) = self.store.live(key) else { return Ok(()) };
        let verdict = self.decided(key, &live, edition);
        if let Verdict::Accepted(revision, content) = &verdict {
            self.store_revision(key, revision, content).await?;
        }
        let status = self.status(key, &live, &verdict, now);
        if status != live.status {
            self.write_status(key, &live, &status).await?;
            self.store.told(key, &live, status);
        }
        self.prune(key).await
    }

    /// What is decided of a definition. Its templates are checked again only when some definition says something else: most
    /// runs come from the statuses of tenants, a thousand of them in a minute on a busy day.
    fn decided(&self, key: &Key, live: &Live, edition: u64) -> Verdict {
        let mut decided = self.decided.lock().unwrap_or_else(PoisonError::into_inner);
        match decided.get(key) {
            Some((known, verdict)) if *known == edition => verdict.clone(),
            _ => {
                let verdict = self.decide(key, live);
                decided.insert(key.clone(), (edition, verdict.clone()));
                verdict
            }
        }
    }

    fn decide(&self, key: &Key, live: &Live) -> Verdict {
        let content = match &live.content {
            Ok(content) => content,
            Err(why) => return Verdict::Refused(format!("the spec cannot be read: {why}; correct it")),
        };
        let revision = match content.revision(&key.name) {
            Ok(revision) => revision,
            Err(error) => return Verdict::Refused(error.to_string()),
        };
        let problems = examine(&self.store, &key.name, content);
        match problems.is_empty() {
            true => Verdict::Accepted(revision, content.clone()),
            false => Verdict::Refused(problems.join("; ")),
        }
    }

    async fn store_revision(
        &self,
        key: &Key,
        revision: &Revision,
        content: &Content,
    ) -> Result<(), AcceptError> {
        if self.store.is_stored(key, revision) {
            return Ok(());
        }
        let number = self.store.next_number(key);
        let object = content::to_object(key, revision, content, number)?;
        match self.revisions().create(&PostParams::default(), &object).await {
            Ok(_) => {}
            // Stored by an earlier run whose answer was lost. Names carry the digest, so it is the same content.
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(source) => return Err(request("storing a revision", source)),
        }
        self.store.observe_stored(key.clone(), revision.clone(), content.clone(), number);
        tracing::info!(definition = %key, %revision, "accepted");
        Ok(())
    }

    fn status(&self, key: &Key, live: &Live, verdict: &Verdict, now: jiff::Timestamp) -> DefinitionStatus {
        let accepted = match verdict {
            Verdict::Accepted(revision, _) => Some(revision.to_string()),
            Verdict::Refused(_) => live.status.accepted.clone(),
        };
        let generation = live.generation;
        let mut conditions = vec![accepted_condition(verdict, accepted.as_deref(), generation)];
        if let Some(revision) = accepted.as_ref().and_then(|text| text.parse().ok()) {
            conditions.extend(self.rollout(key, &revision, generation));
        }
        conditions.extend(self.measured(key, live, generation));
        for condition in &mut conditions {
            let before = &live.status.conditions;
            condition.last_transition_time =
                holds_since(before, &condition.type_, condition.status, &time::time(now));
        }
        DefinitionStatus {
            observed_generation: Some(generation),
            accepted,
            in_use: self.is_used(key),
            conditions,
        }
    }

    /// How far the move to a revision is, when there is anybody to move.
    fn rollout(&self, key: &Key, revision: &Revision, generation: i64) -> Option<Condition> {
        let pace = self.mover.progress(key, revision, &self.store, &self.roots, jiff::Timestamp::now());
        let taken = self.mover.taken(key, revision, &self.store, &self.roots);
        (pace.total > 0).then(|| rollout_condition(&pace, &taken, revision, generation))
    }

    /// Whether what the application measures is told. Before that was looked at, what was said by the process before this one stands.
    fn measured(&self, key: &Key, live: &Live, generation: i64) -> Option<Condition> {
        let Ok(Content::Application(spec)) = &live.content else { return None };
        let (status, reason, mut message) = self.measuring.condition(&key.name, spec)?;
        let mut before = live.status.conditions.iter().filter(|condition| condition.type_ == MEASURED);
        match before.find(|before| reason == NOT_READ && before.reason != NOT_CONFIGURED) {
            Some(before) => Some(before.clone()),
            None => {
                message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
                Some(condition(MEASURED, status, reason, message, generation))
            }
        }
    }

    /// Whether a tenant runs a revision of the definition.
    fn is_used(&self, key: &Key) -> bool {
        self.roots
            .any(|root| root.brief.accepted.as_ref().is_some_and(|accepted| runs(accepted, key).is_some()))
    }

    async fn write_status(
        &self,
        key: &Key,
        live: &Live,
        status: &DefinitionStatus,
    ) -> Result<(), AcceptError> {
        let patch = json!({"metadata": {"uid": live.uid}, "status": status});
        let client = self.client.clone();
        let name = &key.name;
        match key.kind {
            DefinitionKind::Plan => patch_status::<ServicePlan>(client, name, patch).await,
            DefinitionKind::Application => patch_status::<HostedApplication>(client, name, patch).await,
            DefinitionKind::Version => patch_status::<HostedApplicationVersion>(client, name, patch).await,
            DefinitionKind::Blueprint => patch_status::<Blueprint>(client, name, patch).await,
        }
    }

    /// Deletes revisions that nothing uses, but the latest few.
    async fn prune(&self, key: &Key) -> Result<(), AcceptError> {
        if !self.store.has_many(key) {
            return Ok(());
        }
        let used: Vec<Revision> = self
            .roots
            .all()
            .iter()
            .filter_map(|root| root.brief.accepted.as_ref().and_then(|accepted| runs(accepted, key)))
            .collect();
        for revision in self.store.disposable(key, |revision| used.contains(revision)) {
            let name = content::object_name(key, &revision);
            match self.revisions().delete(&name, &DeleteParams::default()).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                Err(source) => return Err(request("deleting an unused revision", source)),
            }
            self.store.remove_stored(key, &revision);
        }
        Ok(())
    }

    fn revisions(&self) -> Api<ControllerRevision> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

fn accepted_condition(verdict: &Verdict, accepted: Option<&str>, generation: i64) -> Condition {
    match verdict {
        Verdict::Accepted(revision, _) => condition(
            "Accepted",
            ConditionStatus::True,
            "Accepted",
            format!("stored as {revision}"),
            generation,
        ),
        Verdict::Refused(why) => {
            let kept = accepted.map(|revision| format!("; tenants stay on {revision}")).unwrap_or_default();
            // What to correct comes last in no case: the message is cut at its end.
            let mut message = why.clone();
            message.truncate(message.floor_char_boundary(MESSAGE_BYTES - kept.len().min(400)));
            condition("Accepted", ConditionStatus::False, "Invalid", format!("{message}{kept}"), generation)
        }
    }
}

/// Says how far a move is, without numbers that would change with every tenant.
fn rollout_condition(
    pace: &Pace,
    taken: &BTreeSet<String>,
    revision: &Revision,
    generation: i64,
) -> Condition {
    let moved = pace.ready + pace.in_flight + pace.failed == pace.total;
    let waiting = pace.ready + pace.in_flight + pace.failed + pace.held;
    let (status, reason, message) = if pace.stopped && !moved {
        let message = format!(
            "{} tenants failed on the latest revision, so no further one moves; correct the definition, or retry those tenants",
            pace.failed
        );
        (ConditionStatus::False, "StoppedAfterFailures", message)
    } else if moved {
        (ConditionStatus::True, "AllMoved", "every tenant runs the latest revision".to_owned())
    } else if waiting == pace.total && !taken.is_empty() {
        (ConditionStatus::False, "NoticeRequired", notice(taken, revision))
    } else if waiting + pace.closed == pace.total && pace.closed > 0 {
        let message = "the other tenants move when a maintenance window of theirs opens".to_owned();
        (ConditionStatus::False, "WaitingForWindows", message)
    } else {
        (ConditionStatus::False, "Moving", "tenants move to the latest revision a few at a time".to_owned())
    };
    condition("RolledOut", status, reason, message, generation)
}

/// What to do before tenants lose something.
fn notice(taken: &BTreeSet<String>, revision: &Revision) -> String {
    let remedy = format!(
        "tenants that run this plan stay on the revision they have until they are told: tell them, then annotate the plan \
         with {NOTICE_ANNOTATION}={revision}, or raise it again"
    );
    let mut list = taken.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    list.truncate(list.floor_char_boundary(MESSAGE_BYTES - remedy.len().min(700) - 40));
    format!("the latest revision lowers {list}; {remedy}")
}

fn condition(
    type_: &str,
    status: ConditionStatus,
    reason: &str,
    message: String,
    observed_generation: i64,
) -> Condition {
    let last_transition_time = time::time(jiff::Timestamp::UNIX_EPOCH);
    Condition {
        type_: type_.to_owned(),
        status,
        reason: reason.to_owned(),
        message,
        last_transition_time,
        observed_generation,
    }
}

async fn patch_status<K>(client: Client, name: &str, patch: Value) -> Result<(), AcceptError>
where
    K: Resource<Scope = ClusterResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let api: Api<K> = Api::all(client);
    let parameters = PatchParams { field_manager: Some(STATUS_MANAGER.to_owned()), ..PatchParams::default() };
    match api.patch_status(name, &parameters, &Patch::Merge(patch)).await {
        Ok(object) => {
            tracing::debug!(kind = %K::kind(&()), name = %object.name_any(), "status written");
            Ok(())
        }
        // Deleted, or replaced by another of the same name: its own run looks at that one.
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(source) => Err(request("writing the status of a definition", source)),
    }
}

fn request(what: &'static str, source: kube::Error) -> AcceptError {
    AcceptError::Request { what, source: Box::new(source) }
}
