//! Defaults and bounds of each container as a LimitRange; pure.

use super::quota::{JOB_DISK, amount};
use super::{PlanError, namespaced};
use crate::render::RenderedObject;
use serde_json::json;
use tenantry_crds::ServicePlanSpec;
use tenantry_crds::quantity::Quantity;

/// Request of a container that states none. Small, so that a forgotten side container does not eat a plan.
const DEFAULT_CPU: Quantity = Quantity::from_milli(100);
/// The same for memory: 128 MiB.
const DEFAULT_MEMORY: Quantity = Quantity::from_count(128 << 20);
/// The same for scratch disk: 64 MiB. The quota counts scratch disk, so every container has to ask for some.
const DEFAULT_DISK: Quantity = Quantity::from_count(64 << 20);

/// What a container gets that states nothing, and what it may state at most.
///
/// Derived from the plan like this: the default request is 100m CPU, 128Mi memory and 64Mi scratch disk, or the whole
/// plan where that is smaller. The default limit is the default request times `limitRatio`. No container may have a
/// limit above the plan's amount times `limitRatio`, nor above its own request times `limitRatio`; so what a plan
/// promises to overcommit is what can be overcommitted. Of scratch disk, which is not overcommitted, a container may have what the
/// plan says, whatever it requests. No volume may be larger than the largest class share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Request of a container that states none.
    pub default_request: Amounts,
    /// Limit of a container that states none.
    pub default_limit: Amounts,
    /// Largest limit of a container.
    pub max: Amounts,
    /// How far a limit may exceed its request.
    pub ratio: Quantity,
    /// Largest volume.
    pub max_volume: Quantity,
}

/// An amount of each compute resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amounts {
    /// Processors.
    pub cpu: Quantity,
    /// Memory.
    pub memory: Quantity,
    /// Scratch disk.
    pub disk: Quantity,
}

// === impl Limits ===

impl Limits {
    /// Derives the limits from a plan.
    ///
    /// # Errors
    /// When a number of the plan is not a quantity.
    pub fn new(plan: &ServicePlanSpec) -> Result<Self, PlanError> {
        let total = Amounts {
            cpu: amount("servers.cpu", &plan.servers.cpu)?,
            memory: amount("servers.memory", &plan.servers.memory)?,
            disk: amount("servers.disk", &plan.servers.disk)?,
        };
        let ratio = amount("servers.limitRatio", &plan.servers.limit_ratio)?;
        let default_request = Amounts {
            cpu: DEFAULT_CPU.min(total.cpu),
            memory: DEFAULT_MEMORY.min(total.memory),
            disk: DEFAULT_DISK.min(total.disk),
        };
        let mut max_volume = Quantity::ZERO;
        for class in &plan.storage.classes {
            let share =
                amount(&format!("storage.classes[{}].totalCapacity", class.name), &class.total_capacity)?;
            max_volume = max_volume.max(share);
        }
        // No container writes more beside its volumes than the tenant has in all: a node's disk is its neighbours' as well. Jobs
        // have room for themselves.
        let disk = total.disk.max(JOB_DISK);
        Ok(Self {
            default_request,
            default_limit: Amounts { disk, ..default_request.scaled(ratio) },
            max: Amounts { disk, ..total.scaled(ratio) },
            ratio,
            max_volume,
        })
    }

    /// The same with the larger of both bounds. What a container gets that states nothing stays as it is, but for scratch disk: what
    /// still stands is bounded by nothing else.
    pub(super) fn with_room(self, other: &Self) -> Self {
        let max = Amounts {
            cpu: self.max.cpu.max(other.max.cpu),
            memory: self.max.memory.max(other.max.memory),
            disk: self.max.disk.max(other.max.disk),
        };
        let (ratio, max_volume) = (self.ratio.max(other.ratio), self.max_volume.max(other.max_volume));
        let disk = self.default_limit.disk.max(other.default_limit.disk);
        let default_limit = Amounts { disk, ..self.default_limit };
        Self { default_limit, max, ratio, max_volume, ..self }
    }

    pub(super) fn object(&self, namespace: &str) -> RenderedObject {
        let all = |amounts: Amounts| {
            let Amounts { cpu, memory, disk } = amounts;
            json!({"cpu": cpu.to_string(), "memory": memory.to_string(), "ephemeral-storage": disk.to_string()})
        };
        let ratio = self.ratio.to_string();
        let container = json!({
            "type": "Container",
            "defaultRequest": all(self.default_request),
            "default": all(self.default_limit),
            "max": all(self.max),
            "maxLimitRequestRatio": {"cpu": ratio, "memory": ratio},
        });
        let volume =
            json!({"type": "PersistentVolumeClaim", "max": {"storage": self.max_volume.to_string()}});
        namespaced("v1", "LimitRange", namespace, "limits", json!({"spec": {"limits": [container, volume]}}))
    }
}

impl Amounts {
    fn scaled(self, ratio: Quantity) -> Self {
        Self { cpu: self.cpu.scaled(ratio), memory: self.memory.scaled(ratio), disk: self.disk.scaled(ratio) }
    }
}
