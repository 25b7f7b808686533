//! The dunning ladder: what unpaid invoices lead to. Pure.
//!
//! [`Ladder`] says where an account stands and remembers nothing. [`decide`] says what follows: nobody is taken further than one rung a
//! day, so whoever is suspended was told before, also where the ladder is new or nobody looked for weeks; and what an account has in
//! hand is never asked for.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::agreement::Agreement;
use crate::calendar::{days_between, next_day};
use crate::history::History;
use crate::money::{Money, sum};
use crate::payment::Standing;
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
    fn place(&self, unpaid: &[Unpaid], today: Date) -> Result<Option<usize>, Refusal> {
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

/// What follows from what an account owes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Decision {
    /// How far it is taken; none in good standing.
    pub stage: Option<Stage>,
    /// What is to be told, and was not yet.
    pub notices: Vec<Notice>,
    /// The next day on which something else may follow although nothing happens.
    pub next: Option<Date>,
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

/// Refuses rungs that [`decide`] could not follow.
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

/// What follows on a day, by the account's clock, from what it owes. Nothing where nobody tells of payments.
///
/// # Errors
/// The open amounts have more than 64 bits; or the ladder is none.
pub fn decide(history: &History, today: Date) -> Result<Decision, Refusal> {
    let agreement = history.agreement()?;
    if !agreement.is_dunned() {
        return Ok(Decision::default());
    }
    let stages = check(&agreement.dunning)?;
    let ladder = Ladder::new(agreement.dunning.clone())?;
    let (overdue, ahead): (Vec<_>, Vec<_>) =
        owed(history).into_iter().partition(|(invoice, _)| invoice.due < today);
    let unpaid: Vec<Unpaid> =
        overdue.iter().map(|(invoice, open)| Unpaid { due: invoice.due, open: *open }).collect();
    let standing = ladder.place(&unpaid, today)?;
    let told = |stage: Stage, by: Date| {
        let is_told = |number: &str| history.noticed(number).any(|(told, day)| told >= stage && day < by);
        overdue.iter().any(|(invoice, _)| is_told(&invoice.number))
    };
    // One rung a day: whoever comes to the next one was told of the one before on an earlier day.
    let place = standing.map(|place| {
        let milder = stages.iter().take(place);
        milder.enumerate().find(|(_, stage)| !told(**stage, today)).map_or(place, |(milder, _)| milder)
    });
    let stage = place.and_then(|place| stages.get(place).copied());
    // What can be told of what he came to: a suspension tells of itself.
    let reached = stages.iter().take(place.map_or(0, |place| place + 1));
    let hardest = reached.filter(|stage| **stage < Stage::Suspended).max().copied();
    let notices = hardest.map_or_else(Vec::new, |stage| {
        let is_new = |number: &str| !history.noticed(number).any(|(told, _)| told >= stage);
        let new = overdue.iter().filter(|(invoice, _)| is_new(&invoice.number));
        new.map(|(invoice, open)| notice(agreement, invoice, *open, stage, today)).collect()
    });
    let next = [
        (place < standing).then_some(today),
        ahead.iter().map(|(invoice, _)| invoice.due).min(),
        rungs_ahead(&agreement.dunning, overdue.first().map(|(invoice, _)| invoice.due), today),
    ];
    // A day after each of them: what is due on a day is overdue on the next.
    let next = next.into_iter().flatten().min().map(next_day).transpose()?;
    Ok(Decision { stage, notices, next })
}

/// What is open of each invoice and not in hand, in minor units, those first that are due first.
fn owed(history: &History) -> Vec<(Standing, i64)> {
    let allocation = history.allocation();
    let mut in_hand = allocation.balance.max(0);
    let mut invoices = allocation.invoices;
    invoices.sort_by(|one, other| (one.due, &one.number).cmp(&(other.due, &other.number)));
    let mut owed = Vec::new();
    for invoice in invoices {
        let covered = in_hand.min(invoice.open);
        in_hand -= covered;
        let open = invoice.open - covered;
        if open > 0 {
            owed.push((invoice, open));
        }
    }
    owed
}

/// The day before the next one on which a rung's days have passed.
fn rungs_ahead(rungs: &[Rung], earliest: Option<Date>, today: Date) -> Option<Date> {
    use jiff::ToSpan as _;
    let days = rungs.iter().filter_map(|rung| rung.days);
    let reached = days.filter_map(|days| earliest?.checked_add((i64::from(days) - 1).days()).ok());
    reached.filter(|day| *day >= today).min()
}

fn notice(agreement: &Agreement, invoice: &Standing, open: i64, stage: Stage, today: Date) -> Notice {
    let currency = agreement.account.currency;
    Notice {
        number: invoice.number.clone(),
        stage,
        day: today,
        account: agreement.account.id.clone(),
        seller: agreement.seller.name.clone(),
        buyer: agreement.buyer.name.clone(),
        email: agreement.buyer.email.clone(),
        language: agreement.language.clone(),
        due: invoice.due,
        days: days_between(invoice.due.into(), today.into()),
        open: Money { minor: open, currency }.decimal(),
        currency: currency.to_string(),
        payment: agreement.payment.clone(),
    }
}
