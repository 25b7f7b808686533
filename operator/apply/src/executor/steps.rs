//! What each action does, request by request.

use std::time::Duration;

use k8s_openapi::ByteString;
use kube::core::ApiResource;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::request::{Call, Refusal};
use super::{Done, Executor, Settled};
use crate::classify::{Failure, Verdict};
use crate::compare::{additions, compare, repaired};
use crate::fields::FieldSet;
use crate::index::Seen;
use crate::object::{Desired, Kind, ObjectId, Owner, Policy, Stage};
use crate::observed::{Metadata, Observed};
use crate::plan::Cause;
use crate::token::{Baseline, ManagedEntry, Token};

/// How long to wait for the watch to deliver a new namespace. More than it takes on a busy cluster; when it does not
/// come, going on costs the API server a look-up per request and nothing else.
const NAMESPACE_EVENT: Duration = Duration::from_secs(1);

/// Looks at a live object that somebody else keeps writing.
const MAX_LOOKS: u32 = 4;

/// An answer of which the metadata matters.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    metadata: Metadata,
}

/// A live object in full, and its metadata read out of it.
struct Live {
    metadata: Metadata,
    body: Value,
}

impl Executor {
    /// Creates an object. If one of that name exists, it is ours only when it carries our label with this tenant's id:
    /// then the answer to an earlier creation was lost.
    pub(super) async fn create(&self, owner: &Owner, desired: &Desired) -> Result<Settled, Failure> {
        let resource = self.resource(&desired.id)?;
        let body = self.body_to_create(desired);
        let call = Call::create(&resource, &desired.id, &body)?;
        match self.send::<Answer>(&desired.id, &call).await {
            Ok(answer) => {
                let held =
                    entry(&answer.metadata, "Update").map(|(_, entry)| entry.fields_v1.absent_from(&body));
                let settled = self.written(Done::Created, desired, &answer.metadata, leftover(held.as_ref()));
                self.after_creation(desired, &answer.metadata.uid).await;
                Ok(settled)
            }
            Err(refusal) if refusal.failure.verdict == Verdict::AlreadyExists => {
                self.claim(owner, desired, &resource).await
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// An object of that name exists: asks whose it is.
    async fn claim(
        &self,
        owner: &Owner,
        desired: &Desired,
        resource: &ApiResource,
    ) -> Result<Settled, Failure> {
        let call = Call::get(resource, &desired.id, false)?;
        let found = match self.send::<Answer>(&desired.id, &call).await {
            Ok(answer) => answer.metadata,
            Err(refusal) if refusal.failure.verdict == Verdict::NotFound => {
                return Err(Failure::new(Verdict::Contention, &format!("{} came and went", desired.id)));
            }
            Err(refusal) => return Err(refusal.into()),
        };
        if found.deletion_timestamp.is_some() {
            let what = format!("another {} is still being deleted", desired.id);
            return Err(Failure::new(Verdict::NamespaceTerminating, &what));
        }
        if !found.belongs_to(&owner.tenant_id) {
            return Err(name_conflict(&desired.id));
        }
        if !desired.is_managed() {
            return Ok(self.written(Done::Created, desired, &found, 0));
        }
        // What was sent then may not be what is meant now.
        match self.apply(desired, &found.uid, None, resource).await? {
            Some(settled) => Ok(settled),
            None => Err(came_between(&desired.id)),
        }
    }

    /// Applies to the object with this uid; when that is gone, creates it anew.
    pub(super) async fn apply_or_create(
        &self,
        owner: &Owner,
        desired: &Desired,
        uid: &str,
        why: Cause,
        known: Option<Baseline>,
    ) -> Result<Settled, Failure> {
        let resource = self.resource(&desired.id)?;
        let result = match self.apply(desired, uid, known, &resource).await {
            Ok(Some(settled)) => Ok(settled),
            Ok(None) => return self.compare(owner, desired, uid, known).await,
            Err(refusal) if is_absent(&refusal) => self.create(owner, desired).await,
            Err(refusal) if refusal.failure.verdict == Verdict::Precondition && why == Cause::Missing => {
                Err(name_conflict(&desired.id))
            }
            Err(refusal) => Err(refusal.into()),
        };
        if result.is_ok() && matches!(why, Cause::Drifted | Cause::Missing) {
            self.counters.repair(desired.id.kind.to_string());
        }
        result
    }

    /// Server-side apply with the uid in the body, so that nothing is ever created or changed by name alone.
    ///
    /// Fields that left the intent stay as long as the entry of our creation holds them. That shows in the answer:
    /// the entry holds more beside the apply's than it did. Then it is handed over, and the next apply drops them.
    ///
    /// Gives nothing when the answer shows that others have added to the object: an apply leaves that in place, so it
    /// must not become the baseline.
    async fn apply(
        &self,
        desired: &Desired,
        uid: &str,
        known: Option<Baseline>,
        resource: &ApiResource,
    ) -> Result<Option<Settled>, Refusal> {
        let mut answer = match self.apply_once(desired, uid, resource, self.version(&desired.id, uid)).await {
            Err(refusal) if refusal.failure.verdict == Verdict::Invalid => {
                self.apply_without_rests(desired, uid, resource, refusal).await?
            }
            result => result?,
        };
        let held = held_beside(&answer.metadata);
        if held != 0 && known.map(|known| known.leftover) != Some(held) {
            let version = self.take_over(desired, uid, resource, &answer.metadata).await?;
            answer = self.apply_once(desired, uid, resource, Some(version)).await?;
        }
        if !additions(&desired.id.kind, &desired.body, &answer.metadata.managed_fields).is_empty() {
            return Ok(None);
        }
        let held = held_beside(&answer.metadata);
        Ok(Some(self.written(Done::Applied, desired, &answer.metadata, held)))
    }

    /// After an apply that was refused as invalid: what left the intent is still there where the entry of our creation holds it, and may be
    /// what does not go with the rest, such as one source of a volume beside another. It is handed over first, and applied again.
    async fn apply_without_rests(
        &self,
        desired: &Desired,
        uid: &str,
        resource: &ApiResource,
        refusal: Refusal,
    ) -> Result<Answer, Refusal> {
        let found: Answer = self.send(&desired.id, &Call::get(resource, &desired.id, false)?).await?;
        if found.metadata.uid != uid || held_beside(&found.metadata) == 0 {
            return Err(refusal);
        }
        let version = self.take_over(desired, uid, resource, &found.metadata).await?;
        self.apply_once(desired, uid, resource, Some(version)).await
    }

    /// One server-side apply. What bounds a tenant is something else in between while it changes plans, so there it is made over the
    /// version that is known and no other: one that arrives late, from a controller that has ended meanwhile, would put back what
    /// was right for a moment.
    async fn apply_once(
        &self,
        desired: &Desired,
        uid: &str,
        resource: &ApiResource,
        version: Option<u64>,
    ) -> Result<Answer, Refusal> {
        let mut version = version.filter(|_| is_bound(&desired.id.kind));
        for look in 1.. {
            let mut body = Value::clone(&desired.body);
            if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.insert("uid".to_owned(), Value::from(uid));
                if let Some(version) = version {
                    metadata.insert("resourceVersion".to_owned(), Value::from(version.to_string()));
                }
            }
            match self.send::<Answer>(&desired.id, &Call::apply(resource, &desired.id, &body)?).await {
                // Its status is written by others all the time.
                Err(refusal)
                    if refusal.failure.verdict == Verdict::Contention
                        && version.is_some()
                        && look < MAX_LOOKS =>
                {
                    let found: Answer =
                        self.send(&desired.id, &Call::get(resource, &desired.id, false)?).await?;
                    if found.metadata.uid != uid {
                        let what = format!("{} is another object now", desired.id);
                        return Err(Failure::new(Verdict::Precondition, &what).into());
                    }
                    version = Some(found.metadata.version());
                }
                result => return result,
            }
        }
        Err(came_between(&desired.id).into())
    }

    /// The latest version of an object that is known.
    fn version(&self, id: &ObjectId, uid: &str) -> Option<u64> {
        match self.index.see(id) {
            Seen::Present(observed, _) if *observed.uid == *uid => Some(observed.resource_version),
            _ => None,
        }
    }

    /// Hands the entry of our creation over to our apply. Where it stands in the list of owners is told by the last
    /// answer; a status write in between may have moved it, which the patch's tests refuse: then it is looked up. Gives the version
    /// of the object then.
    async fn take_over(
        &self,
        desired: &Desired,
        uid: &str,
        resource: &ApiResource,
        answer: &Metadata,
    ) -> Result<u64, Refusal> {
        let mut place = entry(answer, "Update").map(|(index, _)| index);
        let mut version = answer.version();
        for look in 1.. {
            let Some(index) = place else { break };
            let call = Call::takeover(resource, &desired.id, &takeover(index, uid))?;
            match self.send::<Answer>(&desired.id, &call).await {
                Err(refusal) if refusal.failure.verdict == Verdict::Invalid && look < MAX_LOOKS => {
                    let look: Answer =
                        self.send(&desired.id, &Call::get(resource, &desired.id, false)?).await?;
                    place = entry(&look.metadata, "Update").map(|(index, _)| index);
                    version = look.metadata.version();
                }
                Err(refusal) => return Err(refusal),
                Ok(taken) => {
                    version = taken.metadata.version();
                    break;
                }
            }
        }
        Ok(version)
    }

    /// Compares the live object with the intent and repairs what differs. A replacement that loses a race, as against
    /// a controller that writes its status after the very edit, is made from a new look.
    pub(super) async fn compare(
        &self,
        owner: &Owner,
        desired: &Desired,
        uid: &str,
        known: Option<Baseline>,
    ) -> Result<Settled, Failure> {
        let mut looks = 1;
        loop {
            match self.compare_once(owner, desired, uid, known).await {
                Err(failure) if failure.verdict == Verdict::Contention && looks < MAX_LOOKS => looks += 1,
                result => return result,
            }
        }
    }

    async fn compare_once(
        &self,
        owner: &Owner,
        desired: &Desired,
        uid: &str,
        known: Option<Baseline>,
    ) -> Result<Settled, Failure> {
        let resource = self.resource(&desired.id)?;
        let Some(live) = self.live(desired, &resource).await? else {
            return if desired.is_managed() {
                self.counters.repair(desired.id.kind.to_string());
                self.create(owner, desired).await
            } else {
                Err(Failure::new(
                    Verdict::NotFound,
                    &format!("{} is gone and cannot be made again", desired.id),
                ))
            };
        };
        if live.metadata.uid != uid {
            return Err(Failure::new(
                Verdict::Precondition,
                &format!("{} is another object now", desired.id),
            ));
        }
        let leftover = known.map_or(0, |known| known.leftover);
        if !desired.is_managed() {
            return Ok(self.written(Done::Verified, desired, &live.metadata, leftover));
        }
        let difference = compare(&desired.id.kind, &desired.body, &live.body, &live.metadata.managed_fields);
        if difference.is_none() {
            return Ok(self.written(Done::Verified, desired, &live.metadata, leftover));
        }
        tracing::info!(object = %desired.id, changed = ?difference.changed, added = ?difference.added.paths(), "drift");
        let settled = if difference.added.is_empty() {
            self.apply(desired, uid, known, &resource).await?.ok_or_else(|| came_between(&desired.id))?
        } else {
            let body = repaired(&desired.body, &live.body, &difference.added);
            let answer: Answer =
                self.send(&desired.id, &Call::replace(&resource, &desired.id, &body)?).await?;
            let held = match entry(&answer.metadata, "Apply") {
                Some(_) => held_beside(&answer.metadata),
                None => leftover,
            };
            self.written(Done::Replaced, desired, &answer.metadata, held)
        };
        self.counters.repair(desired.id.kind.to_string());
        Ok(settled)
    }

    /// Deletes the object with this uid. One that is gone, or another of that name, means that it is gone.
    ///
    /// The answer goes into the index: a plan made before the watch tells of the deletion would ask for it again.
    pub(super) async fn delete(&self, id: &ObjectId, uid: &str) -> Result<Settled, Failure> {
        let gone = Settled { done: Done::Gone, written: None };
        let Some(served) = self.discovery.resolve(&id.kind) else { return Ok(gone) };
        match self.send::<Answer>(id, &Call::delete(&served.resource, id, uid)?).await {
            Ok(Answer { metadata }) => {
                // What is removed at once is answered with a Status, or with the object as it was.
                let is_ending = metadata.deletion_timestamp.is_some();
                self.index.deletion_accepted(id, uid, is_ending.then(|| Observed::of(&id.kind, &metadata)));
                Ok(Settled { done: Done::Deleting, written: None })
            }
            Err(refusal) => match refusal.failure.verdict {
                Verdict::NotFound
                | Verdict::Precondition
                | Verdict::KindMissing
                | Verdict::NamespaceMissing => Ok(gone),
                _ => Err(refusal.into()),
            },
        }
    }

    /// The live object, or nothing when there is none. Of what is not managed only metadata is asked for: a Secret's
    /// values are nobody's business here.
    async fn live(&self, desired: &Desired, resource: &ApiResource) -> Result<Option<Live>, Failure> {
        let call = Call::get(resource, &desired.id, desired.is_managed())?;
        let body: Value = match self.send(&desired.id, &call).await {
            Ok(body) => body,
            Err(refusal) if refusal.failure.verdict == Verdict::NotFound => return Ok(None),
            Err(refusal) => return Err(refusal.into()),
        };
        let answer = Answer::deserialize(&body)
            .map_err(|error| Failure::new(Verdict::Unknown, &format!("unreadable answer: {error}")))?;
        Ok(Some(Live { metadata: answer.metadata, body }))
    }

    pub(super) fn resource(&self, id: &ObjectId) -> Result<ApiResource, Failure> {
        let missing =
            || Failure::new(Verdict::KindMissing, &format!("the cluster does not serve {}", id.kind));
        self.discovery.resolve(&id.kind).map(|served| served.resource).ok_or_else(missing)
    }

    /// The body with generated values in it. They exist here, on the wire and in the Secret, and nowhere else.
    fn body_to_create(&self, desired: &Desired) -> Value {
        let mut body = Value::clone(&desired.body);
        let Policy::Generated(keys) = &desired.policy else { return body };
        let value = |key| json!(ByteString((self.values)(key).into_bytes()));
        let data: Map<String, Value> = keys.iter().map(|key| (key.name.clone(), value(key))).collect();
        if let Some(root) = body.as_object_mut() {
            root.insert("data".to_owned(), Value::Object(data));
        }
        body
    }

    /// Puts the answer into the index and makes it the baseline.
    fn written(&self, done: Done, desired: &Desired, metadata: &Metadata, leftover: u32) -> Settled {
        let kind = &desired.id.kind;
        let token = Token::of(kind, &metadata.managed_fields, metadata.generation);
        let baseline = Baseline { token, leftover, resource_version: metadata.version() };
        if !kind.is_secret() {
            self.index.record(&desired.id, Observed::of(kind, metadata), baseline);
        }
        Settled { done, written: Some((metadata.uid.clone(), baseline)) }
    }

    async fn after_creation(&self, desired: &Desired, uid: &str) {
        if desired.id.kind.is_namespace() {
            self.index.confirmed(&desired.id, uid, NAMESPACE_EVENT).await;
        }
        if let (Stage::Foundation, true, Some(namespace)) = (
            desired.stage,
            desired.id.kind.is("rbac.authorization.k8s.io", "RoleBinding"),
            desired.id.namespace.clone(),
        ) {
            self.bindings.created(namespace, Instant::now());
        }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { failure, code: 0 }
    }
}

/// An apply with a uid: an absent object is a conflict, another uid an invalid object.
fn is_absent(refusal: &Refusal) -> bool {
    refusal.failure.verdict == Verdict::NotFound
        || (refusal.failure.verdict == Verdict::Precondition && refusal.code == 409)
}

/// Whether objects of a kind bound what a tenant may have.
fn is_bound(kind: &Kind) -> bool {
    kind.is("", "ResourceQuota") || kind.is("", "LimitRange")
}

fn came_between(id: &ObjectId) -> Failure {
    Failure::new(Verdict::Contention, &format!("{id} was changed by somebody at the same moment"))
}

fn name_conflict(id: &ObjectId) -> Failure {
    Failure::new(Verdict::NameConflict, &format!("{id} exists and was not created for this tenant"))
}

/// Our entry of the main resource with this operation, and its place in the list.
fn entry<'a>(metadata: &'a Metadata, operation: &str) -> Option<(usize, &'a ManagedEntry)> {
    metadata.managed_fields.iter().enumerate().find(|(_, entry)| entry.is_ours(operation))
}

/// What our Update holds beside our Apply.
fn held_beside(metadata: &Metadata) -> u32 {
    let apply = entry(metadata, "Apply").map(|(_, entry)| entry.fields_v1.clone()).unwrap_or_default();
    leftover(entry(metadata, "Update").map(|(_, update)| update.fields_v1.difference(&apply)).as_ref())
}

/// Half a hash is enough to see whether the same fields are held; zero is none.
fn leftover(held: Option<&FieldSet>) -> u32 {
    held.filter(|held| !held.is_empty()).map_or(0, |held| (held.hash() >> 32) as u32 | 1)
}

/// Makes the entry of our creation one of our apply. The tests refuse it if the list has changed meanwhile.
fn takeover(index: usize, uid: &str) -> Value {
    let at = |field: &str| format!("/metadata/managedFields/{index}/{field}");
    json!([
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "test", "path": at("manager"), "value": crate::object::FIELD_MANAGER},
        {"op": "test", "path": at("operation"), "value": "Update"},
        {"op": "replace", "path": at("operation"), "value": "Apply"},
    ])
}
