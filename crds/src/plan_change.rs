//! What a `ServicePlan` says of the way to other plans.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// For how long a plan is ordered at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Term {
    /// Months of the calendar, counted in UTC from when the tenant went live.
    #[schemars(range(min = 1, max = 60))]
    pub months: i32,
}

/// How a customer goes down to a smaller plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Downgrade {
    /// When it takes effect.
    pub effective: DowngradeEffective,
}

/// When a change to a smaller plan takes effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DowngradeEffective {
    /// At the end of the term under way. Until then the tenant has all of the plan it leaves.
    #[default]
    TermEnd,
    /// At once.
    Immediately,
}

// === impl Term ===

impl Default for Term {
    fn default() -> Self {
        Self { months: 1 }
    }
}
