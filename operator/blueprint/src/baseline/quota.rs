//! The tenant's share as a ResourceQuota; pure.

use super::{PlanError, namespaced};
use crate::render::{JOB_PRIORITY, RenderedObject};
use serde_json::json;
use std::collections::BTreeMap;
use tenantry_crds::ServicePlanSpec;
use tenantry_crds::quantity::Quantity;

/// The resource that counts what pods write beside their volumes.
const DISK_OF_PODS: &str = "requests.ephemeral-storage";
/// Most of it that a job of the checklist may ask for.
pub(crate) const JOB_DISK: Quantity = Quantity::from_count(1 << 30);

/// What all objects of the tenant together may ask for, by the names a ResourceQuota uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota(BTreeMap<String, Quantity>);

// === impl Quota ===

impl Quota {
    /// Derives the quota from a plan: `servers` are requests, limits are requests times `limitRatio`, storage is
    /// counted by class and in total, load balancers and node ports are counts.
    ///
    /// # Errors
    /// When a number of the plan is not a quantity.
    pub fn new(plan: &ServicePlanSpec) -> Result<Self, PlanError> {
        let cpu = amount("servers.cpu", &plan.servers.cpu)?;
        let memory = amount("servers.memory", &plan.servers.memory)?;
        let ratio = amount("servers.limitRatio", &plan.servers.limit_ratio)?;
        let count = |count: i32| Quantity::from_count(count.into());
        let mut hard = BTreeMap::from([
            ("requests.cpu".to_owned(), cpu),
            ("requests.memory".to_owned(), memory),
            ("limits.cpu".to_owned(), cpu.scaled(ratio)),
            ("limits.memory".to_owned(), memory.scaled(ratio)),
            (DISK_OF_PODS.to_owned(), amount("servers.disk", &plan.servers.disk)?),
            ("pods".to_owned(), count(plan.servers.pods)),
            ("services.loadbalancers".to_owned(), count(plan.network.load_balancers)),
            ("services.nodeports".to_owned(), count(plan.network.node_ports)),
        ]);
        let (mut capacity, mut volumes) = (Quantity::ZERO, Quantity::ZERO);
        for class in &plan.storage.classes {
            let share =
                amount(&format!("storage.classes[{}].totalCapacity", class.name), &class.total_capacity)?;
            capacity = capacity.plus(share);
            volumes = volumes.plus(count(class.max_volumes));
            hard.insert(class_storage(&class.name), share);
            hard.insert(class_volumes(&class.name), count(class.max_volumes));
        }
        hard.insert("requests.storage".to_owned(), capacity);
        hard.insert("persistentvolumeclaims".to_owned(), volumes);
        Ok(Self(hard))
    }

    /// The same with no pod: whatever starts one, the API server refuses it.
    pub(super) fn without_pods(mut self) -> Self {
        self.0.insert("pods".to_owned(), Quantity::ZERO);
        self
    }

    /// The larger of both bounds of each resource.
    pub(super) fn with_room(mut self, other: &Self) -> Self {
        for (resource, bound) in &other.0 {
            let known = self.0.entry(resource.clone()).or_default();
            *known = (*known).max(*bound);
        }
        self
    }

    /// The bound of a resource; `None` when the quota does not count it.
    #[must_use]
    pub fn get(&self, resource: &str) -> Option<Quantity> {
        self.0.get(resource).copied()
    }

    /// Resources with their bounds.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Quantity)> {
        self.0.iter().map(|(name, bound)| (name.as_str(), *bound))
    }

    /// The quota as objects. A version with jobs has two: what pods ask for is counted apart from the rest, so that it can leave
    /// the pods of jobs out. They have other names, because the scope of a quota can never be changed. Disk of pods cannot be
    /// counted by their class (Kubernetes, `IsResourceQuotaScopeValidForResource`), so there is room for one job besides.
    pub(super) fn objects(&self, namespace: &str, has_jobs: bool) -> Vec<RenderedObject> {
        let hard = |of_pods: Option<bool>| -> BTreeMap<&str, String> {
            let counted =
                self.iter().filter(|(name, _)| of_pods.is_none_or(|wanted| counts_pods(name) == wanted));
            let room = |name: &str| if has_jobs && name == DISK_OF_PODS { JOB_DISK } else { Quantity::ZERO };
            counted.map(|(name, bound)| (name, bound.plus(room(name)).to_string())).collect()
        };
        let quota = |name, body| namespaced("v1", "ResourceQuota", namespace, name, body);
        if !has_jobs {
            return vec![quota("quota", json!({"spec": {"hard": hard(None)}}))];
        }
        let others = json!({"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": "NotIn", "values": [JOB_PRIORITY]},
        ]});
        vec![
            quota("quota-pods", json!({"spec": {"hard": hard(Some(true)), "scopeSelector": others}})),
            quota("quota-objects", json!({"spec": {"hard": hard(Some(false))}})),
        ]
    }
}

/// Whether a resource is counted by pods.
fn counts_pods(resource: &str) -> bool {
    let of_pods = ["cpu", "memory"];
    let asked = resource.strip_prefix("requests.").or_else(|| resource.strip_prefix("limits."));
    resource == "pods" || asked.is_some_and(|asked| of_pods.contains(&asked))
}

/// The resource that counts the storage of one class.
pub(super) fn class_storage(class: &str) -> String {
    format!("{class}.storageclass.storage.k8s.io/requests.storage")
}

/// The resource that counts the volumes of one class.
pub(super) fn class_volumes(class: &str) -> String {
    format!("{class}.storageclass.storage.k8s.io/persistentvolumeclaims")
}

pub(super) fn amount(field: &str, text: &str) -> Result<Quantity, PlanError> {
    text.parse().map_err(|error| PlanError { field: field.to_owned(), error })
}
