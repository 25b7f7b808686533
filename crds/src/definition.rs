//! Status that plans, blueprints, applications and versions share: which revision of them is accepted.

use crate::common::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What Tenantry observed of a definition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DefinitionStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// Latest accepted revision, as name and digest of its content. Tenants run accepted revisions, so an edit that is
    /// not accepted changes nothing for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub accepted: Option<String>,
    /// Whether tenants run a revision of this definition. Deleting it is refused while this is true.
    #[serde(default)]
    pub in_use: bool,
    /// Observations; `Accepted` says whether the latest edit can be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
