//! What controller and preview share of changes to another plan: what a plan offers, and what a tenant uses. Needs a client for the
//! latter.

use crate::controller::reconcile::prepare::{Prepared, group_kind};
use crate::preview::changes::{Pods, pods};
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::Client;
use kube::api::Api;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tenantry_apply::object::Desired;
use tenantry_blueprint::baseline::{Limits, Quota, at_most, at_rest};
use tenantry_blueprint::rollout::{Claims, is_bound_to_a_node, waits_for_ever};
use tenantry_checklist::Problem;
use tenantry_checklist::plan_change::{self, Amounts, FIELD, Use, Volume, excesses};
use tenantry_checklist::revision::{DefinitionKind, name_of};
use tenantry_checklist::select::{Catalogue, Latest};
use tenantry_checklist::windows::Windows;
use tenantry_crds::inventory::{Inventory, InventoryEntry};
use tenantry_crds::{ServicePlanSpec, TenantSubscriptionSpec, TenantSubscriptionStatus};

/// Deadline of one request.
const DEADLINE: Duration = Duration::from_secs(10);
/// The disk that a volume is on stays where it is.
const VOLUME_CANNOT_MOVE: &str = "VolumeCannotMove";
/// The API server does not say what is in use.
const UNKNOWN: &str = "LiveUseUnknown";

/// A plan as it was accepted last, or in the revision that a tenant runs when it is gone. `text` is that revision, or a plan's name.
pub(crate) fn offer(catalogue: &impl Catalogue, text: &str) -> Option<Arc<ServicePlanSpec>> {
    let latest = match catalogue.latest(DefinitionKind::Plan, name_of(text)) {
        Latest::Accepted { revision, .. } => catalogue.plan(&revision),
        Latest::Missing | Latest::NotAccepted => None,
    };
    latest.or_else(|| catalogue.plan(&text.parse().ok()?))
}

/// When what interrupts the service of a tenant may begin: at any time, where nobody is served.
///
/// # Errors
/// Windows that cannot be understood; the order is refused for the same.
pub(crate) fn windows(
    status: &TenantSubscriptionStatus,
    spec: &TenantSubscriptionSpec,
) -> Result<Windows, Vec<Problem>> {
    match status.go_live.is_some() && status.suspension.is_none() {
        true => Windows::of(&spec.maintenance_windows),
        false => Ok(Windows::default()),
    }
}

/// What a tenant uses of what its quotas count: one request for each of them.
///
/// # Errors
/// When the API server does not say.
pub(crate) async fn used(client: &Client, tenant: &Prepared) -> Result<Amounts, String> {
    let quotas: Api<ResourceQuota> = Api::namespaced(client.clone(), &tenant.owner.namespace);
    let mut all = Amounts::new();
    for quota in tenant.desired.iter().filter(|object| object.id.kind.is("", "ResourceQuota")) {
        let answer = tokio::time::timeout(DEADLINE, quotas.get_opt(&quota.id.name)).await;
        let found = answer.map_err(|_| "no answer in time".to_owned())?.map_err(|error| error.to_string())?;
        // Before there is one nothing counts.
        let used = found.and_then(|quota| quota.status?.used).unwrap_or_default();
        all.extend(used.into_iter().filter_map(|(name, amount)| Some((name, amount.0.parse().ok()?))));
    }
    Ok(all)
}

/// What of the volumes that a tenant has, by its record, cannot become what it would have under a plan.
pub(crate) fn unchangeable(
    plan: &str,
    before: &Prepared,
    after: &Prepared,
    inventory: Option<&Inventory>,
) -> Vec<Problem> {
    let volumes = |prepared: &Prepared| -> Vec<Volume> {
        let claims = prepared.desired.iter().filter(|object| object.id.kind.is("", "PersistentVolumeClaim"));
        claims.map(|claim| Volume::of(&claim.id.name, &claim.body)).collect()
    };
    let was_made = |name: &str| {
        let is_it = |entry: &InventoryEntry| entry.kind == "v1/PersistentVolumeClaim" && entry.name == name;
        let mut entries = inventory.into_iter().flat_map(|inventory| &inventory.objects);
        entries.any(|entry| is_it(entry) && entry.uid.is_some())
    };
    let mut has = volumes(before);
    has.retain(|volume| was_made(&volume.name));
    plan_change::unchangeable(plan, &has, &volumes(after))
}

/// Whether a change moves a tenant to other servers.
pub(crate) fn moves(before: &Prepared, after: &Prepared) -> bool {
    let place = |prepared: &Prepared| prepared.wish.as_ref().map(|wish| (wish.class.clone(), wish.tenancy));
    place(before) != place(after)
}

/// Whether a change moves a tenant to other servers and interrupts its service by that: a pod of some workload ends before its
/// successor starts, because its kind does it so or because its volume is for one node at a time.
pub(crate) fn interrupts(before: &Prepared, after: &Prepared) -> bool {
    let volumes = Claims::of(bodies(&after.desired));
    moves(before, after)
        && after.desired.iter().any(|object| {
            let present = before.desired.iter().find(|present| present.id == object.id);
            let pods = present.and_then(|present| pods(present, object));
            pods == Some(Pods::Interrupted)
                || (pods.is_some()
                    && is_bound_to_a_node(&object.body, &group_kind(&object.id.kind), &volumes))
        })
}

/// Why a tenant cannot move to other servers: pods that would wait for each other's volume for ever.
pub(crate) fn stuck(plan: &str, before: &Prepared, after: &Prepared) -> Vec<Problem> {
    let volumes = Claims::of(bodies(&after.desired));
    let stuck = |object: &Desired| {
        let present = before.desired.iter().find(|present| present.id == object.id)?;
        pods(present, object)?;
        let volume = waits_for_ever(&object.body, &group_kind(&object.id.kind), &volumes)?;
        let message = format!(
            "plan {plan} is on other servers, and new pods of {} {} would wait there for the volume {volume}, which one node may use at \
             a time and old pods keep until the new ones are ready; have the application end its pods first (a Deployment with the strategy \
             Recreate, a StatefulSet with one replica), or give it a volume for several nodes (ReadWriteMany)",
            object.id.kind.name(),
            object.id.name
        );
        Some(Problem::new(FIELD, VOLUME_CANNOT_MOVE, message))
    };
    match moves(before, after) {
        true => after.desired.iter().filter_map(stuck).collect(),
        false => Vec::new(),
    }
}

/// Why a tenant cannot move to other servers: volumes on the disks of single nodes stay where they are.
pub(crate) fn pinned(plan: &str, nodes: Result<BTreeSet<String>, String>) -> Vec<Problem> {
    let problem = |reason, message| vec![Problem::new(FIELD, reason, message)];
    match nodes {
        Ok(nodes) if nodes.is_empty() => Vec::new(),
        Ok(nodes) => {
            let nodes: Vec<String> = nodes.into_iter().collect();
            let message = format!(
                "plan {plan} is on other servers, and volumes of the tenant lie on the disks of {}, which no other node can use; bring \
                 the data to volumes of a class that is not bound to a node, or order anew under {plan} and bring it there",
                nodes.join(", ")
            );
            problem(VOLUME_CANNOT_MOVE, message)
        }
        Err(why) => {
            let message =
                format!("it cannot be read where the tenant's volumes are: {why}; it is tried again");
            problem(UNKNOWN, message)
        }
    }
}

/// A tenant beside a plan that may be too small for it.
pub(crate) struct Misfit<'a> {
    /// Name of the plan.
    pub(crate) name: &'a str,
    /// What it has.
    pub(crate) plan: &'a ServicePlanSpec,
    /// What the tenant has.
    pub(crate) before: &'a Prepared,
    /// What it would have; none where that cannot be rendered.
    pub(crate) after: Option<&'a Prepared>,
}

// === impl Misfit ===

impl Misfit<'_> {
    /// What of everything in use the plan has no room for.
    pub(crate) fn of(&self, used: Result<Amounts, String>) -> Vec<Problem> {
        let unknown = |why: &dyn std::fmt::Display| {
            let message = format!(
                "what is in use cannot be read, so it is not known whether it fits: {why}; it is tried again"
            );
            vec![Problem::new(FIELD, UNKNOWN, message)]
        };
        let used = match used {
            Ok(used) => used,
            Err(why) => return unknown(&why),
        };
        let present = &self.before.order.definitions.plan.spec;
        let (quota, limits) = match (Quota::new(self.plan), Limits::new(self.plan)) {
            (Ok(quota), Ok(limits)) => (quota, limits),
            (Err(error), _) | (_, Err(error)) => return unknown(&error),
        };
        let own = Limits::new(present).map(|limits| at_rest(bodies(&self.before.desired), &limits));
        let own = own.unwrap_or_default();
        let wanted = match self.after {
            Some(after) => at_most(bodies(&after.desired), &limits),
            // What is wrong with the order is said besides; until that is mended it asks for what it has.
            None => own.clone(),
        };
        let allowed: Amounts = quota.iter().map(|(name, bound)| (name.to_owned(), bound)).collect();
        excesses(self.name, Use { used: &used, own: &own, wanted: &wanted, allowed: &allowed })
    }
}

fn bodies(desired: &[Desired]) -> impl Iterator<Item = &serde_json::Value> {
    desired.iter().map(|object| &*object.body)
}
