//! Suspensions as far as objects do not say them: how many pods each workload had, that none runs any more, and that each has
//! its own again. Needs a client.
//!
//! What a suspended tenant is like is rendered (`blueprint::suspend`, `blueprint::baseline`). Only how many pods a workload was
//! set to have at the moment is in no template: an autoscaler, or a person, may have changed it. It is read and recorded before
//! the workload is given none, and set again once nothing is suspended any more.

use super::dereference::{self, Snapshot};
use super::prepare::{Left, Prepared};
use crate::controller::context::Context;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use std::collections::HashMap;
use std::time::Duration;
use tenantry_apply::classify::Failure;
use tenantry_apply::executor::Executor;
use tenantry_apply::object::{Desired, Kind, ObjectId};
use tenantry_apply::record::Ledger;
use tenantry_blueprint::suspend::is_scaled;
use tenantry_checklist::revision::name_of;
use tenantry_checklist::suspension::Effect;
use tenantry_crds::common::{Condition, ConditionStatus};
use tenantry_crds::subscription::RememberedScale;

/// Pods that have not come to their end.
pub(crate) const RUNNING: &str = "status.phase!=Succeeded,status.phase!=Failed";
/// Between two looks at pods that still run: at first, and at most.
const LOOK_AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// How far a suspension, or its end, is.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Whether evidence shows everything that is taken away.
    pub(super) in_effect: bool,
    /// What is not as it shall be yet, for people.
    pub(super) left: String,
    /// What has to be remembered from here on.
    pub(super) remembered: Vec<RememberedScale>,
    /// After how long somebody has to look again.
    pub(super) again: Option<Duration>,
}

/// What a status remembers.
pub(super) fn remembered(snapshot: &Snapshot) -> &[RememberedScale] {
    snapshot.status.suspension.as_ref().map(|status| status.remembered.as_slice()).unwrap_or_default()
}

/// What objects are otherwise, for who is held or paused: he is suspended and resumed all the same, and in nothing else changed.
/// Empty where nobody holds anything, or nothing is suspended.
#[derive(Debug, Default)]
pub(super) struct Otherwise {
    /// Digests without any suspension.
    plain: HashMap<ObjectId, String>,
    /// Digests as suspended as the status says.
    before: HashMap<ObjectId, String>,
}

impl Otherwise {
    /// Renders what there is besides the present state.
    pub(super) fn of(context: &Context, snapshot: &Snapshot, prepared: &Prepared) -> Self {
        let is_held = snapshot.root.paused.is_some() || !prepared.order.holds.is_empty();
        let before = snapshot.status.suspension.as_ref().map(|status| Effect::of_holds(&status.holds));
        if !is_held || (before.is_none() && !prepared.suspension.is_some()) {
            return Self::default();
        }
        let digests = |effect: Effect| {
            let (order, outputs) = (prepared.order.clone(), prepared.outputs.clone());
            // What could not be rendered now was not rendered then.
            let objects = dereference::render(context, order, outputs, effect, &Left::default())
                .map(|other| other.desired);
            objects.into_iter().flatten().map(|object| (object.id, object.digest)).collect()
        };
        Self { plain: digests(Effect::default()), before: before.map(digests).unwrap_or_default() }
    }

    /// Whether an object of this digest differs from the present one by nothing but suspensions.
    pub(super) fn knows(&self, id: &ObjectId, digest: &str) -> bool {
        [&self.plain, &self.before]
            .into_iter()
            .any(|known| known.get(id).is_some_and(|known| known == digest))
    }

    /// Whether an object as it shall be is another by the suspension, or is there only for it. It is more than a hold: whoever is
    /// suspended is, also where that brings along what was held back.
    pub(super) fn is_touched(&self, id: &ObjectId, digest: &str) -> bool {
        !self.plain.is_empty() && self.plain.get(id).is_none_or(|plain| plain != digest)
    }
}

/// What has to be remembered before workloads are given no pods: what is remembered already, and what is read now of those that
/// are not at rest yet.
///
/// # Errors
/// When the API server does not say.
pub(super) async fn remember(
    snapshot: &Snapshot,
    prepared: &Prepared,
    ledger: &Ledger,
    executor: &Executor,
) -> Result<Vec<RememberedScale>, Failure> {
    let mut all = remembered(snapshot).to_vec();
    if !prepared.suspension.compute {
        return Ok(all);
    }
    for object in &prepared.desired {
        let Some(uid) = awake(object, ledger) else { continue };
        if all.iter().any(|known| is_of(known, &object.id) && known.uid == uid) {
            continue;
        }
        if let Some(replicas) = executor.replicas(&object.id, &uid).await? {
            all.retain(|known| !is_of(known, &object.id));
            let (kind, name) = (object.id.kind.to_string(), object.id.name.to_string());
            all.push(RememberedScale { kind, name, uid, replicas });
        }
    }
    Ok(all)
}

/// The same under another plan: what its objects say of how many pods there are is what the workloads get at the end. Nobody who
/// left a plan is given back what only that had.
pub(super) fn under_another_plan(
    context: &Context,
    snapshot: &Snapshot,
    prepared: &Prepared,
    mut remembered: Vec<RememberedScale>,
) -> Vec<RememberedScale> {
    let before = snapshot.status.accepted.as_ref().map(|accepted| name_of(&accepted.plan));
    if remembered.is_empty() || before == Some(prepared.order.definitions.plan.revision.name()) {
        return remembered;
    }
    let (order, outputs) = (prepared.order.clone(), prepared.outputs.clone());
    let Ok(awake) = dereference::render(context, order, outputs, Effect::default(), &Left::default()) else {
        return remembered;
    };
    for one in &mut remembered {
        let object = awake.desired.iter().find(|object| is_of(one, &object.id));
        let replicas = object.and_then(|object| object.body.pointer("/spec/replicas")?.as_i64());
        if let Some(replicas) = replicas.and_then(|replicas| i32::try_from(replicas).ok()) {
            one.replicas = replicas;
        }
    }
    remembered
}

/// UID of a workload that exists and was not given to rest.
fn awake(object: &Desired, ledger: &Ledger) -> Option<String> {
    let kind = &object.id.kind;
    let entry = ledger.entry(&object.id).filter(|_| is_scaled(kind.group(), kind.name()))?;
    entry.uid.clone().filter(|_| entry.digest.as_deref() != Some(&*object.digest))
}

fn is_of(known: &RememberedScale, id: &ObjectId) -> bool {
    known.name == *id.name && Kind::parse(&known.kind).is_some_and(|kind| kind == id.kind)
}

/// How far it is, once every object is as it shall be (`stands`): whether no pod runs any more, or that workloads have again
/// what they had.
pub(super) async fn found(
    context: &Context,
    snapshot: &Snapshot,
    prepared: &Prepared,
    remembered: Vec<RememberedScale>,
    stands: bool,
) -> Found {
    let effect = &prepared.suspension;
    if !effect.is_some() || !effect.compute {
        let (remembered, again) =
            if stands { restored(context, prepared, remembered).await } else { (remembered, None) };
        return Found { in_effect: stands && again.is_none(), remembered, again, left: String::new() };
    }
    if !stands {
        return Found { remembered, ..Found::default() };
    }
    let (left, is_seen) = match running(context, &prepared.owner.namespace).await {
        Ok(0) => return Found { in_effect: true, remembered, ..Found::default() },
        Ok(1) => ("1 pod still runs".to_owned(), true),
        Ok(count) => (format!("{count} pods still run"), true),
        Err(error) => {
            tracing::warn!(subscription = %snapshot.root.name, %error, "the pods of a suspended tenant cannot be seen");
            ("its pods cannot be looked at".to_owned(), false)
        }
    };
    // What was seen at rest is not said to run because nobody can look for a moment: everything that keeps it at rest stands.
    let in_effect = !is_seen && was_at_rest(snapshot);
    // They come to their end in seconds; what does not is looked at less and less often.
    let [first, longest] = LOOK_AGAIN;
    let since =
        snapshot.status.suspension.iter().flat_map(|status| &status.holds).map(|hold| hold.at.0).max();
    let passed = since.map(|at| snapshot.now.as_second().saturating_sub(at.as_second())).unwrap_or_default();
    let again = Duration::from_secs(u64::try_from(passed / 8).unwrap_or_default()).clamp(first, longest);
    Found { left, remembered, again: Some(again), in_effect }
}

/// Whether the last status had seen that nothing runs.
fn was_at_rest(snapshot: &Snapshot) -> bool {
    let held = snapshot.status.suspension.as_ref().map(|status| status.holds.as_slice()).unwrap_or_default();
    let is_told =
        |condition: &Condition| condition.type_ == "Suspended" && condition.status == ConditionStatus::True;
    Effect::of_holds(held).compute && snapshot.status.conditions.iter().any(is_told)
}

/// Pods of a namespace that have not come to their end.
pub(super) async fn running(context: &Context, namespace: &str) -> Result<usize, kube::Error> {
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    Ok(pods.list_metadata(&ListParams::default().fields(RUNNING)).await?.items.len())
}

/// Gives workloads back what they had. What could not be given stays remembered.
pub(super) async fn restored(
    context: &Context,
    prepared: &Prepared,
    remembered: Vec<RememberedScale>,
) -> (Vec<RememberedScale>, Option<Duration>) {
    let mut left = Vec::new();
    for one in remembered {
        // What is not desired any more, or is rendered with as many, needs nothing.
        let Some(object) = prepared.desired.iter().find(|object| is_of(&one, &object.id)) else { continue };
        let rendered = object.body.pointer("/spec/replicas").and_then(serde_json::Value::as_i64);
        if rendered == Some(i64::from(one.replicas)) {
            continue;
        }
        match context.executor.scale(&object.id, &one.uid, one.replicas).await {
            Ok(_) => {}
            Err(failure) => {
                tracing::warn!(object = %object.id, reason = failure.verdict.as_str(), "cannot be scaled back yet");
                left.push(one);
            }
        }
    }
    let again = (!left.is_empty()).then_some(LOOK_AGAIN[0]);
    (left, again)
}
