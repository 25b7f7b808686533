//! The dunning ladder: which stages there are, and where an account stands that does not pay. Pure; remembers nothing.

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
        Ok(self.place(unpaid, today)?.and_then(|place| self.0.get(place)))
    }

    /// The place of that rung, from zero on.
    pub(crate) fn place(&self, unpaid: &[Unpaid], today: Date) -> Result<Option<usize>, Refusal> {
        let open: Vec<&Unpaid> = unpaid.iter().filter(|invoice| invoice.open > 0).collect();
        let Some(earliest) = open.iter().map(|invoice| invoice.due).min() else { return Ok(None) };
        let days = days_between(earliest.into(), today.into());
        let total = sum(open.iter().map(|invoice| invoice.open))?;
        let holds = |rung: &&Rung| {
            rung.days.is_none_or(|least| days >= least)
                && rung.invoices.is_none_or(|least| open.len() >= least)
                && rung.total.is_none_or(|least| total >= least)
        };
        Ok(self.0.iter().rposition(|rung| holds(&rung)))
    }
}

/// How far an account is taken that does not pay.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Stage {
    /// It is reminded.
    Reminder,
    /// It is warned.
    Warning,
    /// It is not served. Anything beyond is a person's act.
    Suspended,
}

/// What is told of an invoice that is not paid.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// The invoice.
    pub number: String,
    /// What it is.
    pub stage: Stage,
    /// The day on which it was made, by the account's clock.
    pub day: Date,
    /// The account.
    pub account: String,
    /// Who sends it.
    pub seller: String,
    /// Who is to pay.
    pub buyer: String,
    /// His mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The language that he is written to in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// When the invoice was to be paid.
    pub due: Date,
    /// Days since then.
    pub days: i32,
    /// What is open of it and not in hand.
    pub open: String,
    /// Of what.
    pub currency: String,
    /// Where and how it is paid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payment: Vec<String>,
}

// === impl Stage ===

impl Stage {
    const ALL: [Self; 3] = [Self::Reminder, Self::Warning, Self::Suspended];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reminder => "Reminder",
            Self::Warning => "Warning",
            Self::Suspended => "Suspended",
        }
    }

    /// The stage of a name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == name)
    }
}

/// Refuses rungs that [`decide`](crate::dunning::decide) could not follow.
///
/// # Errors
/// A state that is no stage, stages that do not get harder, and whatever is no ladder.
pub fn check(rungs: &[Rung]) -> Result<Vec<Stage>, Refusal> {
    Ladder::new(rungs.to_vec())?;
    let mut stages: Vec<Stage> = Vec::with_capacity(rungs.len());
    for (index, rung) in rungs.iter().enumerate() {
        let stage = Stage::of(&rung.state).filter(|stage| stages.last().is_none_or(|last| last < stage));
        let Some(stage) = stage else {
            return Err(Refusal::new(
                format!("dunning[{index}].stage"),
                format!("{} is no stage, or none that is harder than the one before", rung.state),
                "write Reminder, Warning and Suspended, each at most once and in this order",
            ));
        };
        stages.push(stage);
    }
    Ok(stages)
}
