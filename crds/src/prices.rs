//! What a plan costs.

use crate::common::is_zero;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Pattern of an amount of money: digits and at most one point.
pub const AMOUNT: &str = r"^[0-9]{1,15}(\.[0-9]{1,4})?$";
/// Pattern of a currency's code.
pub const CURRENCY: &str = r"^[A-Z]{3}$";

/// Something that a plan costs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(self.type == 'Recurring') == has(self.interval)").message("interval says how often something recurs; give it for the type Recurring and for no other").field_path(".interval"),
    validation = Rule::new("self.type == 'Recurring' || !has(self.timing)").message("what is paid once has no period; remove timing, or use the type Recurring").field_path(".timing"),
)]
pub struct PlanCharge {
    /// Name of the charge, which invoices show.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Whether it is paid once or again and again.
    #[serde(rename = "type")]
    pub kind: ChargeType,
    /// How often it is paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<ChargeInterval>,
    /// At which end of its period it is paid; at its begin where nothing is said.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub timing: ChargeTiming,
    /// Price of a period, or of the whole, without tax, such as `249.00`. It has no more decimals than the currency.
    #[schemars(length(min = 1, max = 20), regex(pattern = AMOUNT))]
    pub price: String,
    /// Tax rate that it falls under, by its name in the seller's list; `standard` where nothing is said.
    #[serde(default = "standard", skip_serializing_if = "is_standard")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub tax: String,
}

/// Whether something is paid once or again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ChargeType {
    /// Each period.
    #[default]
    Recurring,
    /// Once, when charges begin.
    OneTime,
}

/// How often something is paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ChargeInterval {
    /// Every month of the calendar.
    #[default]
    Month,
    /// Every three months.
    Quarter,
    /// Every year.
    Year,
}

/// At which end of its period something is paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ChargeTiming {
    /// At its begin.
    #[default]
    Advance,
    /// At its end.
    Arrears,
}

/// A time at the begin of a subscription in which nothing that recurs is charged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trial {
    /// How many days.
    #[schemars(range(min = 1, max = 365))]
    pub days: i32,
}

fn standard() -> String {
    "standard".to_owned()
}

fn is_standard(tax: &str) -> bool {
    tax == "standard"
}
