//! What happened: the event log of an account and the usage of its meters. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::calendar::Interval;
use crate::exact::Decimal;

/// One thing that happened to a subscription. Events are never changed; the log is their order of effect.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Unique, and what decides between two events of one instant.
    pub id: u64,
    /// The subscription.
    pub subscription: String,
    /// When it took effect, which may be earlier than when it was written down.
    pub at: Timestamp,
    /// What.
    pub change: Change,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum Change {
    /// Charges begin.
    Start {
        /// The application, which counts for bundles.
        application: String,
        /// The price list.
        price_list: String,
        /// Quantities ordered, by unit.
        #[serde(default)]
        quantities: BTreeMap<String, Decimal>,
    },
    /// Another plan, or the same with another price list.
    ChangePlan {
        /// The price list from now on.
        price_list: String,
    },
    /// Another quantity of one unit.
    SetQuantity {
        /// The unit.
        unit: String,
        /// How many from now on.
        quantity: Decimal,
    },
    /// Charges stop for a while. Whether the service stops as well is no matter of the ledger.
    Pause,
    /// A suspension by the provider. It is charged where it keeps what the tenant stores, otherwise it is like a pause.
    Suspend {
        /// Whether the time is charged.
        charged: bool,
    },
    /// Charges go on after [`Change::Pause`] or [`Change::Suspend`].
    Resume,
    /// Charges end for good.
    Cancel {
        /// What happens to time already charged.
        #[serde(default)]
        unused: Unused,
        /// Whether usage of the last period is charged.
        #[serde(default)]
        usage: FinalUsage,
    },
    /// Billing periods end on this day of the month from now on.
    MoveAnchor {
        /// 1 to 31.
        day: i8,
    },
    /// Something sold once: a migration, a training.
    Extra {
        /// What.
        name: String,
        /// For how much.
        price: Decimal,
        /// The tax category and rate.
        #[serde(default)]
        tax: String,
    },
    /// A promotion begins.
    Promote(Promotion),
    /// The promotion ends before its term, without the subscription ending.
    EndPromotion,
}

/// What happens to time that was charged in advance and is not served.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Unused {
    /// It is credited.
    #[default]
    Credit,
    /// It is kept.
    Keep,
}

/// What happens to the usage of the period in which a subscription ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum FinalUsage {
    /// It is charged.
    #[default]
    Charge,
    /// It is not.
    Skip,
}

/// Better prices against a promise: so much a period at least, for so long. Leaving early costs a share of what was granted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Promotion {
    /// Its name.
    pub name: String,
    /// The price list whose prices are charged instead, for charges of the same name.
    pub at_prices_of: String,
    /// The least that each period's fees come to.
    pub minimum: Decimal,
    /// The period of the minimum.
    pub interval: Interval,
    /// For how long the promise is.
    pub term: Interval,
    /// Percent of the unserved share of what was granted that an early end costs.
    pub claw_back: Decimal,
    /// The tax category and rate of true-up and claw-back.
    #[serde(default)]
    pub tax: String,
}

/// What a meter counted, and when it was told. Records of one instant add up: a correction is one more of them, with the
/// difference, which may be negative as long as the sum is not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// The subscription.
    pub subscription: String,
    /// The meter.
    pub meter: String,
    /// The begin of the hour it belongs to, or the instant.
    pub at: Timestamp,
    /// In the meter's base unit.
    pub quantity: i64,
    /// 0 for what was counted, more for corrections.
    #[serde(default)]
    pub revision: u32,
    /// When it was told.
    pub received: Timestamp,
}
