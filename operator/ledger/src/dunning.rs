//! Dunning: what follows from unpaid invoices. Pure.
//!
//! The [`Ladder`] says where an account stands and remembers nothing. [`decide`] says what follows: nobody is taken further than one rung
//! a day, so whoever is suspended was told before, also where the ladder is new or nobody looked for weeks; and what an account has in
//! hand is never asked for.

use jiff::civil::Date;

use crate::agreement::Agreement;
use crate::calendar::{days_between, next_day};
use crate::history::History;
use crate::ladder::{Ladder, Notice, Rung, Stage, Unpaid, check};
use crate::money::Money;
use crate::payment::Standing;
use crate::refusal::Refusal;

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
