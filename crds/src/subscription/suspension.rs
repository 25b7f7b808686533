//! What a status holds of suspensions.

use crate::suspension::{LiftAuthority, SuspensionReason, SuspensionScope};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a tenant is suspended for, and what it had before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SuspensionStatus {
    /// The suspensions that hold. One that is named here stays until it is lifted; of more than there is room for, the others hold
    /// all the same and are named when there is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub holds: Vec<SuspensionHold>,
    /// How many pods each workload was set to have before it was given none. It is set to that again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub remembered: Vec<RememberedScale>,
}

/// One suspension that holds, as its object says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SuspensionHold {
    /// Name of the TenantSuspension.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// UID of the TenantSuspension: another one may have its name later.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
    /// Why the tenant is not served.
    pub reason: SuspensionReason,
    /// Who may lift it.
    pub lift_authority: LiftAuthority,
    /// How much is taken away.
    pub scope: SuspensionScope,
    /// What happened and what to do about it, for the customer.
    #[schemars(length(max = 512))]
    pub message: String,
    /// Who asked for it.
    #[schemars(length(max = 253))]
    pub requested_by: String,
    /// Since when.
    pub at: Time,
}

/// How many pods a workload was set to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RememberedScale {
    /// Kind of the workload, such as `apps/v1/Deployment`.
    #[schemars(length(max = 317))]
    pub kind: String,
    /// Name of the workload.
    #[schemars(length(max = 253))]
    pub name: String,
    /// UID of the workload: another one of that name was never scaled.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// How many pods it was set to have.
    #[schemars(range(min = 0))]
    pub replicas: i32,
}
