//! A line: something that is owed for a stretch of time, and what identifies it. Pure.

use serde::{Deserialize, Serialize};

use crate::calendar::Period;
use crate::money::Money;

/// What a line is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Kind {
    /// A recurring price.
    Recurring,
    /// Sold once.
    OneTime,
    /// What a meter counted.
    Usage,
    /// What fills the fees of a period up to a minimum.
    TrueUp,
    /// What leaving a promotion early costs.
    ClawBack,
}

/// What makes a line the same line.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct LineKey {
    /// The subscription.
    pub subscription: String,
    /// What it is for.
    pub kind: Kind,
    /// The charge's name.
    pub charge: String,
    /// The terms: price list, phase, quantity and discounts. Other terms make another line, so a change is a credit and a new
    /// line and never an edit.
    pub terms: String,
    /// For which time.
    pub period: Period,
}

/// Something that is owed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// What identifies it.
    pub key: LineKey,
    /// Before discounts.
    pub list: Money,
    /// What is owed, after every discount of the line. Never negative.
    pub net: Money,
    /// What a promotion took off, which an early end may claw back in part.
    pub granted: i64,
    /// The priced quantity, as decimals.
    pub quantity: String,
    /// The tax category and rate, named in the issuer's table.
    pub tax: String,
    /// When it is due: the begin of its period in advance, the end in arrears.
    pub due: jiff::civil::DateTime,
}
