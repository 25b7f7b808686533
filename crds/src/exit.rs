//! What definitions say about the end of a subscription.

use crate::blueprint::{OnFailure, Retry};
use crate::common::DURATION;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long the customer's data is kept after the end of a subscription of this plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanExit {
    /// Under the policy `ExportThenDelete`: how long the customer may fetch what was exported, counted from the deletion of the
    /// subscription.
    #[serde(default = "thirty_days")]
    #[schemars(length(min = 2, max = 16), regex(pattern = DURATION))]
    pub grace_period: String,
    /// Under the policy `Archive`: how long the data is kept, counted from the deletion of the subscription.
    #[serde(default = "one_year")]
    #[schemars(length(min = 2, max = 16), regex(pattern = DURATION))]
    pub retention: String,
}

/// How a subscription is brought to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlueprintExit {
    /// How long one step of the end may wait for others, such as for a controller that takes a finalizer off. What is left then
    /// is recorded, and the end goes on without it.
    #[serde(default = "ten_minutes")]
    #[schemars(length(min = 2, max = 16), regex(pattern = DURATION))]
    pub timeout: String,
    /// The version's job of the role `Export`, which the policy `ExportThenDelete` runs.
    #[serde(default)]
    pub export: ExitExport,
}

/// How the data is exported at the end of a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExitExport {
    /// How long one attempt may take.
    #[serde(default = "one_hour")]
    #[schemars(length(min = 2, max = 16), regex(pattern = DURATION))]
    pub timeout: String,
    /// How often and how fast a failed attempt is followed by another one.
    #[serde(default = "three_attempts")]
    pub retry: Retry,
    /// What becomes of the end if the export fails for good: it stops, and no data is deleted, until a person says otherwise; or
    /// it goes on without.
    #[serde(default, skip_serializing_if = "OnFailure::is_stop")]
    pub on_failure: OnFailure,
}

// === defaults ===

impl Default for PlanExit {
    fn default() -> Self {
        Self { grace_period: thirty_days(), retention: one_year() }
    }
}

impl Default for BlueprintExit {
    fn default() -> Self {
        Self { timeout: ten_minutes(), export: ExitExport::default() }
    }
}

impl Default for ExitExport {
    fn default() -> Self {
        Self { timeout: one_hour(), retry: three_attempts(), on_failure: OnFailure::default() }
    }
}

fn thirty_days() -> String {
    "720h".to_owned()
}

fn one_year() -> String {
    "8760h".to_owned()
}

fn ten_minutes() -> String {
    "10m".to_owned()
}

fn one_hour() -> String {
    "1h".to_owned()
}

fn three_attempts() -> Retry {
    Retry { attempts: 3, backoff: "1m".to_owned() }
}
