//! When what interrupts a tenant's service may begin.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Time that comes again and again, in which work on the tenant may begin, or may not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MaintenanceWindow {
    /// Whether work may begin then. Where both say something, it may not.
    #[serde(default)]
    pub kind: WindowKind,
    /// When the time begins, as the five fields of cron: minute, hour, day of the month, month, day of the week. `0 22 * * SAT`
    /// is each Saturday at 22:00. What falls into the hour that a change of the clocks leaves out begins right after it; what
    /// falls into the one that comes twice begins once.
    #[schemars(length(min = 9, max = 128))]
    pub schedule: String,
    /// How long it lasts, such as `4h`: from one minute to seven days.
    #[schemars(length(min = 2, max = 16))]
    pub duration: String,
    /// Time zone of the schedule, by its IANA name.
    #[serde(default = "utc", skip_serializing_if = "is_utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
}

/// What a window says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WindowKind {
    /// Work may begin.
    #[default]
    Allow,
    /// Work may not begin, whatever else says so.
    Deny,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn is_utc(zone: &str) -> bool {
    zone == "UTC"
}
