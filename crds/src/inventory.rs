//! The write-ahead inventory of a tenant's objects, kept in `status.inventory`; no client or clock.
//!
//! An object that may exist is recorded as `Pending` before it is created, and its entry is removed only after its
//! absence was observed. Deletion reads this record and never a template.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything that exists, or may exist, for one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    /// Digest of the order whose objects this record is a superset of.
    #[schemars(length(max = 64))]
    pub order: String,
    /// The objects, in the order in which they were first recorded.
    // Not a map by name: while an object is being replaced, the old one and its successor are both recorded.
    #[schemars(length(max = 512))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub objects: Vec<InventoryEntry>,
}

/// One object of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InventoryEntry {
    /// Group, version and kind joined by slashes, such as `apps/v1/Deployment`, or `v1/ConfigMap` in the core group.
    #[schemars(length(max = 317))]
    pub kind: String,
    /// Name of the object. Its namespace is the tenant's; cluster-scoped kinds have none.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Checklist item that asked for the object.
    #[schemars(length(max = 63))]
    pub item: String,
    /// Whether the object may exist, exists, is being deleted, or is left in place on purpose.
    pub state: EntryState,
    /// UID the API server gave; absent while the creation has not been observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub uid: Option<String>,
    /// Digest of what was last sent for the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub digest: Option<String>,
    /// Drift token after our last write: which fields are ours, what others own, and the generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub token: Option<String>,
    /// Resource version our last write produced, for kinds whose changes show nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub resource_version: Option<String>,
}

/// State of one recorded object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum EntryState {
    /// Recorded before its creation was attempted.
    Pending,
    /// Created and observed.
    Live,
    /// A deletion was sent and absence has not been observed.
    Deleting,
    /// No longer managed and left in place on purpose.
    Kept,
}
