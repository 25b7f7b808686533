//! What a plan costs.

use crate::common::{DECIMAL, is_zero};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Pattern of an amount of money: digits and at most one point. How many decimals are right depends on the currency, or on whether
/// it is the price of a unit.
pub const AMOUNT: &str = r"^[0-9]{1,15}(\.[0-9]{1,12})?$";
/// Pattern of a currency's code.
pub const CURRENCY: &str = r"^[A-Z]{3}$";

/// Something that a plan costs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(self.type != 'OneTime') == has(self.interval)").message("interval says how often something recurs or is counted; give it for the types Recurring and Usage and for no other").field_path(".interval"),
    validation = Rule::new("self.type == 'Recurring' || !has(self.timing)").message("what is paid once has no period, and what is counted is paid at its end; remove timing, or use the type Recurring").field_path(".timing"),
    validation = Rule::new("self.type == 'Recurring' || !has(self.unit)").message("what is paid once is no matter of quantity, and what is counted has a meter; remove unit, or use the type Recurring").field_path(".unit"),
    validation = Rule::new("(self.type == 'Usage') == has(self.meter)").message("a meter says what is counted; give it for the type Usage and for no other").field_path(".meter"),
    validation = Rule::new("self.type == 'Usage' || !(has(self.aggregation) || has(self.per) || has(self.rounding))").message("aggregation, per and rounding say how counts become a quantity; remove them, or use the type Usage").field_path(".aggregation"),
    validation = Rule::new("has(self.unit) || has(self.meter) || !has(self.included)").message("units that cost nothing are units of something; give unit or meter, or remove included").field_path(".included"),
    validation = Rule::new("!has(self.model) || (has(self.unit) || has(self.meter)) == (self.model != 'Flat')").message("the model Flat has no quantity and every other one has; give unit or meter with another model than Flat, or neither").field_path(".model"),
    validation = Rule::new("has(self.tiers) == (has(self.model) && self.model in ['Graduated', 'Volume'])").message("the models Graduated and Volume have tiers and no other has; give or remove tiers").field_path(".tiers"),
    validation = Rule::new("has(self.price) != has(self.tiers)").message("a price is written either in price or in tiers; give one of them").field_path(".price"),
    validation = Rule::new("has(self.size) == (has(self.model) && self.model in ['Package', 'PrepaidBlock'])").message("the models Package and PrepaidBlock have a size and no other has; give or remove size").field_path(".size"),
    validation = Rule::new("!has(self.overage) || (has(self.model) && self.model == 'PrepaidBlock')").message("only a prepaid block can be exceeded; remove overage, or use the model PrepaidBlock").field_path(".overage"),
)]
pub struct PlanCharge {
    /// Name of the charge, which invoices show.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Whether it is paid once, again and again, or by what is counted.
    #[serde(rename = "type")]
    pub kind: ChargeType,
    /// How often it is paid. What is counted is paid at the end of each period, whether it was counted during a trial or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<ChargeInterval>,
    /// At which end of its period it is paid; at its begin where nothing is said.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub timing: ChargeTiming,
    /// What is counted, and costs the price for each. How many there are the order says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<ChargeUnit>,
    /// What is counted and costs the price for each: a meter of the application, by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub meter: Option<String>,
    /// How the hours of a period become one number: Sum where there is a meter and nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregation: Option<MeterAggregation>,
    /// How many of the meter's units make one that is priced, such as `3600000` millicore seconds for a core hour; one where nothing
    /// is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 19), regex(pattern = DECIMAL))]
    pub per: Option<String>,
    /// What becomes of a part of a priced unit: Exact where there is a meter and nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounding: Option<MeterRounding>,
    /// How many of the units cost nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 19), regex(pattern = DECIMAL))]
    pub included: Option<String>,
    /// How a quantity becomes an amount: PerUnit where there is a unit or a meter and nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<PriceModel>,
    /// Price of a period, or of the whole, without tax, such as `249.00`: of each unit where there is one, of each package or of
    /// the block by those models. It has no more decimals than the currency; that of a unit has up to twelve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 28), regex(pattern = AMOUNT))]
    pub price: Option<String>,
    /// Tiers of the models Graduated and Volume, rising; the last one has no end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub tiers: Vec<PriceTier>,
    /// Units in a package, or in the block that is paid in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 19), regex(pattern = DECIMAL))]
    pub size: Option<String>,
    /// Price of each unit beyond a prepaid block; without it each further block that is begun costs what the first does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 28), regex(pattern = AMOUNT))]
    pub overage: Option<String>,
    /// Tax rate that it falls under, by its name in the seller's list; `standard` where nothing is said.
    #[serde(default = "standard", skip_serializing_if = "is_standard")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub tax: String,
}

/// How the hours of a period become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MeterAggregation {
    /// All of them together.
    Sum,
    /// The hour with the most.
    Max,
    /// The last hour in which something was counted.
    Last,
}

/// What becomes of a part of a priced unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MeterRounding {
    /// It costs its part of the price.
    Exact,
    /// It costs as much as a whole one.
    Up,
    /// From the half on it costs as much as a whole one, below it nothing.
    Nearest,
}

/// What of an order is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ChargeUnit {
    /// People in `spec.users`.
    Seat,
    /// `spec.inputs.namedUsers`.
    NamedUser,
    /// `spec.inputs.concurrentUsers`.
    ConcurrentUser,
}

/// How a quantity becomes an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PriceModel {
    /// The price, without any quantity.
    Flat,
    /// The price for each.
    PerUnit,
    /// The price for each package; one that is begun counts.
    Package,
    /// Each tier prices the units in it.
    Graduated,
    /// The tier in which the quantity lies prices all of it.
    Volume,
    /// A block that is paid in any case, and a price for what is beyond.
    PrepaidBlock,
}

/// A tier of a price.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PriceTier {
    /// The last unit in it; the last tier has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 19), regex(pattern = DECIMAL))]
    pub up_to: Option<String>,
    /// Price of a unit, with up to twelve decimals; nothing where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 28), regex(pattern = AMOUNT))]
    pub price: Option<String>,
    /// What entering the tier costs besides; nothing where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 28), regex(pattern = AMOUNT))]
    pub flat: Option<String>,
}

/// A minimum that what a customer owes for a period is filled up to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanMinimum {
    /// The least that a whole period comes to, without tax, before coupons. Charged at its end, in the share of the time served.
    #[schemars(length(min = 1, max = 20), regex(pattern = AMOUNT))]
    pub amount: String,
    /// The period.
    pub interval: ChargeInterval,
    /// What is owed when the subscription ends within a period; the share that was served where nothing is said.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub early_end: MinimumAtEnd,
    /// Tax rate of the difference, by its name in the seller's list; `standard` where nothing is said.
    #[serde(default = "standard", skip_serializing_if = "is_standard")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub tax: String,
}

/// What of a minimum is owed for a period in which the subscription ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MinimumAtEnd {
    /// The share of the period that was served.
    #[default]
    Prorate,
    /// All of it.
    Full,
}

/// A time after a trial in which what recurs costs less.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Introduction {
    /// How many months.
    #[schemars(range(min = 1, max = 36))]
    pub months: i32,
    /// By how many percent less it costs, such as `20`.
    #[schemars(length(min = 1, max = 16), regex(pattern = DECIMAL))]
    pub percent: String,
}

/// Whether something is paid once, again and again, or by what is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ChargeType {
    /// Each period.
    #[default]
    Recurring,
    /// Once, when charges begin.
    OneTime,
    /// Each period, by what a meter counted in it.
    Usage,
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
