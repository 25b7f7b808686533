//! What a status holds of the plan and of a change to another one.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Plan that a tenant runs, and the one that it changes to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStatus {
    /// Name of the plan that the tenant runs. Everything it has follows from this one.
    #[schemars(length(max = 63))]
    pub current: String,
    /// Name of the plan that was asked for and takes effect later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub pending: Option<String>,
    /// What it waits for; the end of the term where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<PlanChangeWait>,
    /// When it takes effect. It stays as it is, whatever becomes of the plan's term, unless it interrupts the service and no
    /// maintenance window is open then; in the past it means that the tenant did not fit then, and changes as soon as it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_at: Option<Time>,
    /// When it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<Time>,
    /// Generation of the order that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub requested_generation: Option<i64>,
    /// Revisions of plans whose objects may still stand. Limits and quota have room for them until the objects of the present
    /// plan have taken their place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 300)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub leaving: Vec<String>,
}

/// What a change to another plan waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PlanChangeWait {
    /// The end of the term that is paid for.
    #[default]
    TermEnd,
    /// A maintenance window, because it moves the tenant to other servers and interrupts its service.
    MaintenanceWindow,
}
