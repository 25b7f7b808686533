//! Which revisions of definitions a tenant runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Revisions of definitions that a tenant runs, each as name and digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AcceptedRevisions {
    /// Revision of the plan.
    #[schemars(length(max = 300))]
    pub plan: String,
    /// Revision of the application.
    #[schemars(length(max = 300))]
    pub application: String,
    /// Revision of the application version.
    #[schemars(length(max = 300))]
    pub version: String,
    /// Revision of the blueprint.
    #[schemars(length(max = 300))]
    pub blueprint: String,
    /// Prices that were pinned when the plan was ordered, as the plan's name and their digest; absent where it had none. They
    /// stay when the plan's revision moves on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub price_list: Option<String>,
}
