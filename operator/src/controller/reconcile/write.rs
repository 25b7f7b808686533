//! Writes to the subscription itself: its status, and our finalizer. Needs a client.

use super::dereference::Snapshot;
use crate::controller::context::Context;
use crate::controller::patch::merge_patch;
use crate::controller::roots::{FINALIZER, Root, RootObject};
use crate::controller::session::Session;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tenantry_checklist::journal::{carry, facts};
use tenantry_checklist::report::changed;
use tenantry_crds::TenantSubscriptionStatus;
use thiserror::Error;
use tokio::time::{Instant, timeout};

/// Field manager of statuses.
const STATUS_MANAGER: &str = "tenantry-status";
/// Deadline of one request.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// Why a write did not happen, or may not have.
#[derive(Debug, Error)]
pub(crate) enum WriteError {
    /// This process may not write any more.
    #[error("the lease is not held any more")]
    NotLeader,
    /// Somebody else wrote meanwhile: what was to be written was made from an old view.
    #[error("{what}: the subscription is newer than what was looked at")]
    Outdated {
        /// What was tried.
        what: &'static str,
    },
    /// No answer in time.
    #[error("{what}: no answer in {} s", DEADLINE.as_secs())]
    Timeout {
        /// What was tried.
        what: &'static str,
    },
    /// The API server refused.
    #[error("{what}: {source}")]
    Request {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: Box<kube::Error>,
    },
    /// The status has no JSON form.
    #[error("the status cannot be written")]
    Content(#[from] serde_json::Error),
}

/// A status after it was written.
#[derive(Debug)]
pub(crate) struct Written {
    /// The subscription as it is then; nothing when there was nothing to write.
    pub(crate) root: Option<Arc<Root>>,
    /// What it holds, with what it carries for the journal. The next write of the same run is made from this: made from less, it
    /// would drop what is carried.
    pub(crate) status: TenantSubscriptionStatus,
}

// === impl Written ===

impl Written {
    /// Makes it what the run goes on from.
    pub(crate) fn settle(self, snapshot: &mut Snapshot) {
        if let Some(root) = self.root {
            snapshot.root = root;
        }
        snapshot.status = self.status;
    }
}

/// Writes the status if it differs from the one that is there, and only over the one it was made from: a process that
/// looks at the past, or has lost the lease without knowing it yet, tells nothing.
pub(crate) async fn status(
    context: &Context,
    snapshot: &Snapshot,
    session: &mut Session,
    new: TenantSubscriptionStatus,
) -> Result<Written, WriteError> {
    let old = &snapshot.status;
    let new = match changed(old, &new) || !old.unrecorded.is_empty() {
        true => carry(old, new, snapshot.now, |fact| context.journal.has(fact)),
        false => new,
    };
    // The usual case, and the JSON of both is what a run without work would cost most.
    if !changed(old, &new) {
        told(context, snapshot, old);
        return Ok(Written { root: None, status: new });
    }
    let Some(mut patch) = merge_patch(&json!({"status": old}), &json!({"status": new})) else {
        return Ok(Written { root: None, status: new });
    };
    let metadata = json!({"uid": snapshot.root.uid, "resourceVersion": snapshot.root.resource_version});
    if let Some(patch) = patch.as_object_mut() {
        patch.insert("metadata".to_owned(), metadata);
    }
    let what = "writing the status";
    let root = send(context, snapshot, what, |api, name, parameters| async move {
        api.patch_status(&name, &parameters, &Patch::Merge(patch)).await
    })
    .await?;
    context.metrics.status_writes.inc();
    session.written = Some(Instant::now());
    told(context, snapshot, &new);
    if let Some(root) = &root {
        context.wake_definitions_after(&snapshot.root, root);
    }
    context.events.transition(&snapshot.root, &old.conditions, &new.conditions).await;
    context.events.overdue(&snapshot.root, &old.checklist, &new.checklist).await;
    context.events.released(&snapshot.root, &old.checklist, &new.checklist).await;
    Ok(Written { root, status: new })
}

/// Offers the journal what a status that is written tells. What it carries besides is dropped when it is recorded.
fn told(context: &Context, snapshot: &Snapshot, status: &TenantSubscriptionStatus) {
    if !status.unrecorded.is_empty() {
        context.journal.waits(&snapshot.root.name);
    }
    context.journal.offer(&snapshot.root, facts(status));
}

/// Puts our finalizer on the subscription, or takes it off. The UID in the body makes sure that it is the one we mean,
/// the resource version that no other finalizer is lost. Gives the subscription as it is then; nothing when there was
/// nothing to do.
pub(crate) async fn finalizer(
    context: &Context,
    snapshot: &Snapshot,
    wanted: bool,
) -> Result<Option<Arc<Root>>, WriteError> {
    let root = &snapshot.root;
    if root.is_finalized() == wanted {
        return Ok(None);
    }
    let mut finalizers: Vec<&str> =
        root.finalizers.iter().map(String::as_str).filter(|finalizer| *finalizer != FINALIZER).collect();
    if wanted {
        finalizers.push(FINALIZER);
    }
    let metadata =
        json!({"uid": root.uid, "resourceVersion": root.resource_version, "finalizers": finalizers});
    let patch: Value = json!({ "metadata": metadata });
    let what = if wanted { "adding the finalizer" } else { "removing the finalizer" };
    send(context, snapshot, what, |api, name, parameters| async move {
        api.patch(&name, &parameters, &Patch::Merge(patch)).await
    })
    .await
}

/// Reads the subscription from the API server itself, before anything is destroyed because of it.
pub(crate) async fn live(context: &Context, snapshot: &Snapshot) -> Result<Option<Root>, WriteError> {
    let what = "reading the subscription";
    let api: Api<RootObject> = Api::all(context.client.clone());
    let answer = timeout(DEADLINE, api.get_opt(&snapshot.root.name)).await;
    let object = answer.map_err(|_| WriteError::Timeout { what })?.map_err(|source| request(what, source))?;
    Ok(object.and_then(Root::from_object).filter(|root| root.uid == snapshot.root.uid))
}

/// Sends one write of the subscription, records its answer and gives it.
async fn send<F, R>(
    context: &Context,
    snapshot: &Snapshot,
    what: &'static str,
    write: F,
) -> Result<Option<Arc<Root>>, WriteError>
where
    F: FnOnce(Api<RootObject>, String, PatchParams) -> R,
    R: Future<Output = Result<RootObject, kube::Error>>,
{
    if !context.executor.gate.may_write() {
        return Err(WriteError::NotLeader);
    }
    let api: Api<RootObject> = Api::all(context.client.clone());
    let parameters = PatchParams { field_manager: Some(STATUS_MANAGER.to_owned()), ..PatchParams::default() };
    let at_most = DEADLINE.min(context.executor.gate.remaining());
    let answer = timeout(at_most, write(api, snapshot.root.name.clone(), parameters)).await;
    let object = answer.map_err(|_| WriteError::Timeout { what })?.map_err(|source| request(what, source))?;
    let root = Root::from_object(object);
    if let Some(root) = root.clone() {
        context.roots.record_write(root);
    }
    Ok(root.map(Arc::new))
}

pub(super) fn request(what: &'static str, source: kube::Error) -> WriteError {
    match &source {
        kube::Error::Api(status) if status.code == 409 => WriteError::Outdated { what },
        _ => WriteError::Request { what, source: Box::new(source) },
    }
}
