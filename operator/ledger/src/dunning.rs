//! The dunning ladder: what unpaid invoices lead to. Pure.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::calendar::days_between;
use crate::money::sum;
use crate::refusal::Refusal;

/// An invoice that is not fully paid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unpaid {
    /// When it was due.
    pub due: Date,
    /// What is still to be paid, in minor units.
    pub open: i64,
}

/// A rung of the ladder. Every condition that is written must hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rung {
    /// The state it leads to.
    pub state: String,
    /// Days since the earliest unpaid invoice was due, at least.
    #[serde(default)]
    pub days: Option<i32>,
    /// Unpaid invoices, at least.
    #[serde(default)]
    pub invoices: Option<usize>,
    /// Unpaid money in minor units, at least.
    #[serde(default)]
    pub total: Option<i64>,
}

/// A ladder, from the mildest rung to the hardest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ladder(Vec<Rung>);

impl Ladder {
    /// Checks the rungs.
    ///
    /// # Errors
    /// A rung without a condition, or days that do not rise.
    pub fn new(rungs: Vec<Rung>) -> Result<Self, Refusal> {
        let mut last = None;
        for (index, rung) in rungs.iter().enumerate() {
            if rung.days.is_none() && rung.invoices.is_none() && rung.total.is_none() {
                return Err(Refusal::new(
                    format!("dunning[{index}]"),
                    "it has no condition, so everybody would stand on it",
                    "write days, invoices or total",
                ));
            }
            if rung.days.is_some() && last.is_some() && rung.days <= last {
                return Err(Refusal::new(
                    format!("dunning[{index}].days"),
                    "not later than the rung before",
                    "let days rise",
                ));
            }
            last = rung.days.or(last);
        }
        Ok(Self(rungs))
    }

    /// The hardest rung whose conditions hold, none if the account is in good standing. Paying the oldest invoice counts at
    /// once: nothing is remembered.
    ///
    /// # Errors
    /// The open amounts have more than 64 bits.
    pub fn standing(&self, unpaid: &[Unpaid], today: Date) -> Result<Option<&Rung>, Refusal> {
        let open: Vec<&Unpaid> = unpaid.iter().filter(|invoice| invoice.open > 0).collect();
        let Some(earliest) = open.iter().map(|invoice| invoice.due).min() else { return Ok(None) };
        let days = days_between(earliest.into(), today.into());
        let total = sum(open.iter().map(|invoice| invoice.open))?;
        let holds = |rung: &&Rung| {
            rung.days.is_none_or(|least| days >= least)
                && rung.invoices.is_none_or(|least| open.len() >= least)
                && rung.total.is_none_or(|least| total >= least)
        };
        Ok(self.0.iter().rev().find(holds))
    }
}
