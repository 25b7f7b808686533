//! Removing what could not be removed when its tenant ended, until it is gone. Needs clients and a clock.
//!
//! What is left is in the journal, so that a restart forgets none of it, and so is that it is gone. In between each is looked at
//! less and less often. Nothing is deleted but the very object that is meant, by its UID.

use super::context::Context;
use super::patience::doubled;
use kube::api::{Api, DeleteParams, DynamicObject, Preconditions};
use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tenantry_apply::object::Kind;
use tenantry_apply::scope::Scopes;
use tenantry_blueprint::baseline::manager_binding_name;
use tenantry_checklist::exit::Leftover;
use tenantry_journal::Entry;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

/// First and longest wait between two looks at one.
const WAIT: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(3600)];
/// Deadline of one request.
const DEADLINE: Duration = Duration::from_secs(10);
/// What is told of one that is gone.
const REMOVED: &str = "Removed";

/// What is left of tenants that ended.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    open: Mutex<BTreeMap<String, Open>>,
    came: Notify,
}

/// One of them.
#[derive(Clone, Debug)]
struct Open {
    /// As the journal has it.
    entry: Entry,
    leftover: Leftover,
    looks: u32,
    at: Instant,
}

/// Why one could not be looked at.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("no answer in {} s", DEADLINE.as_secs())]
    Timeout,
    #[error(transparent)]
    Request(#[from] kube::Error),
}

// === impl Leftovers ===

impl Leftovers {
    /// Takes in what the journal has of them.
    pub(crate) fn add(&self, entries: impl IntoIterator<Item = Entry>) {
        let mut open = self.lock();
        for entry in entries {
            let Ok(leftover) = serde_json::from_str::<Leftover>(&entry.evidence) else {
                tracing::error!(id = entry.id, "what is left of a tenant cannot be read");
                continue;
            };
            let new = Open { entry, leftover, looks: 0, at: Instant::now() };
            open.entry(new.entry.id.clone()).or_insert(new);
        }
        drop(open);
        self.came.notify_one();
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those whose turn it is, and when the next one's is.
    fn due(&self, now: Instant) -> (Vec<Open>, Option<Instant>) {
        let open = self.lock();
        let due = open.values().filter(|one| one.at <= now).cloned().collect();
        (due, open.values().map(|one| one.at).filter(|at| *at > now).min())
    }

    /// Whether others of the same tenant are left besides our own access to them.
    fn has_others(&self, one: &Open) -> bool {
        let open = self.lock();
        open.values().any(|other| other.entry.tenant == one.entry.tenant && !is_own_access(&other.leftover))
    }
}

/// Looks after them for as long as this process leads.
pub(crate) async fn run(context: &Context) {
    // Whoever checks receipts can be given the key before there is one; an end makes it as well.
    let namespace = &context.config.namespace;
    if let Err(error) = context.receipts.signer(&context.client, namespace).await {
        tracing::warn!(%error, "the key that signs receipts cannot be made yet");
    }
    loop {
        let came = context.leftovers.came.notified();
        let (due, next) = context.leftovers.due(Instant::now());
        for one in due {
            look(context, one).await;
        }
        let wait = async {
            match context.leftovers.due(Instant::now()) {
                (due, _) if !due.is_empty() => {}
                (_, soon) => match soon.or(next) {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                },
            }
        };
        tokio::select! {
            () = came => {}
            () = wait => {}
        }
    }
}

async fn look(context: &Context, mut one: Open) {
    let is_last = !is_own_access(&one.leftover) || !context.leftovers.has_others(&one);
    let is_gone = match is_last && context.executor.gate.may_write() {
        true => remove(context, &one.leftover).await,
        false => Ok(false),
    };
    let (subscription, leftover) = (&one.entry.subscription, &one.leftover);
    let (kind, name) = (&leftover.kind, &leftover.name);
    match is_gone {
        Ok(true) => {
            tracing::info!(subscription, kind, name, "what was left is gone");
            let now = jiff::Timestamp::now().as_second();
            let id = format!("{}/gone", one.entry.id);
            let gone = Entry { id, outcome: REMOVED.to_owned(), ended_at: now, ..one.entry.clone() };
            context.journal.append(gone);
            context.leftovers.lock().remove(&one.entry.id);
            return;
        }
        Ok(false) => {}
        Err(error) => tracing::warn!(subscription, kind, name, %error, "what is left cannot be removed yet"),
    }
    one.at = Instant::now() + doubled(WAIT, one.looks);
    one.looks = one.looks.saturating_add(1);
    context.leftovers.lock().insert(one.entry.id.clone(), one);
}

/// Asks for the deletion of one; whether it is gone already.
async fn remove(context: &Context, leftover: &Leftover) -> Result<bool, LookError> {
    let Some(kind) = Kind::parse(&leftover.kind) else { return Ok(true) };
    let Some(served) = context.discovery.resolve(&kind) else {
        // With its definition all objects of a kind are gone.
        return Ok(!context.discovery.is_late(&kind));
    };
    let client = context.client.clone();
    let api: Api<DynamicObject> = match &leftover.namespace {
        Some(namespace) => {
            let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
            if answer(namespaces.get_metadata_opt(namespace)).await?.is_none() {
                return Ok(true);
            }
            Api::namespaced_with(client, namespace, &served.resource)
        }
        None => Api::all_with(client, &served.resource),
    };
    let Some(there) = answer(api.get_metadata_opt(&leftover.name)).await? else { return Ok(true) };
    if there.metadata.uid.as_deref() != Some(&leftover.uid) {
        return Ok(true);
    }
    if there.metadata.deletion_timestamp.is_some() {
        return Ok(false);
    }
    let only = Preconditions { uid: Some(leftover.uid.clone()), resource_version: None };
    let parameters = DeleteParams { preconditions: Some(only), ..DeleteParams::background() };
    match answer(api.delete(&leftover.name, &parameters)).await {
        Ok(_) => Ok(false),
        Err(LookError::Request(kube::Error::Api(status))) if status.code == 404 || status.code == 409 => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Whether it is the binding by which the controller may remove the others: it goes last.
fn is_own_access(leftover: &Leftover) -> bool {
    leftover.name == manager_binding_name() && leftover.namespace.is_some()
}

async fn answer<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, LookError> {
    Ok(timeout(DEADLINE, request).await.map_err(|_| LookError::Timeout)??)
}
