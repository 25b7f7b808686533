//! From postings to a document: coupons, the most a period may cost, service credits, tax, and what is left to pay. Pure.
//!
//! The order is fixed. What comes before, unit conversion to percentage discounts, is in the lines already.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use num_traits::Zero as _;
use serde::{Deserialize, Serialize};

use crate::balance::Settlement;
use crate::coupon::{self, Coupon, Reducible};
use crate::exact::{Exact, fraction, whole};
use crate::ledger::{Effect, Posting};
use crate::line::Kind;
use crate::money::{Currency, round_minor, sum};
use crate::profile::{Profile, TaxRounding};
use crate::refusal::Refusal;
use crate::tax::{self, Rate, Rates, TaxTotal};

/// What a document needs beside its postings.
#[derive(Clone, Debug)]
pub struct Terms<'a> {
    /// The account's currency.
    pub currency: Currency,
    /// The arithmetic.
    pub profile: Profile,
    /// The issuer's tax rates.
    pub rates: &'a Rates,
    /// The coupons held, the oldest first.
    pub coupons: &'a [Coupon],
    /// The most that the period may cost.
    pub maximum: Option<Maximum>,
    /// Service credits of months gone by.
    pub service_credits: &'a [ServiceCredit],
    /// The months that were credited already.
    pub credited: &'a BTreeSet<CreditedMonth>,
    /// What coupons and maximum took off charges that credits may refer to, by entry.
    pub reduced: &'a BTreeMap<u64, Reduced>,
    /// What the account has in hand.
    pub balance: i64,
    /// What is left of a prepaid wallet.
    pub wallet: i64,
}

/// The most that a period may cost, in minor units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Maximum {
    /// The most.
    pub amount: i64,
    /// What earlier documents of the period charged.
    pub before: i64,
}

/// What was taken off a charge, in minor units.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Reduced {
    /// The charge.
    pub amount: i64,
    /// What was taken off it.
    pub reduction: i64,
    /// What earlier credits of it did not give back for this reason.
    pub returned: i64,
}

/// A month of a service of a subscription: it is credited once.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct CreditedMonth {
    /// The subscription.
    pub subscription: String,
    /// The service.
    pub service: String,
    /// The month's first day.
    pub month: Date,
}

/// A price reduction for a month in which an agreed uptime was missed. It is taxed like the fees that it reduces.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ServiceCredit {
    /// For what.
    pub of: CreditedMonth,
    /// How much, in minor units, above zero.
    pub amount: i64,
    /// The tax category and rate.
    pub tax: String,
}

/// What kind of document it is, after UNTDID 1001.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum DocumentKind {
    /// 380.
    Invoice,
    /// 381: it gives back more than it charges.
    CreditNote,
}

/// A line of a document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DocumentLine {
    /// What it is.
    pub source: Source,
    /// What coupons took off.
    pub coupons: Exact,
    /// What the maximum took off.
    pub capped: Exact,
    /// What is left, in minor units, before tax. A credit is negative.
    pub net: Exact,
    /// The tax category and rate.
    pub rate: Rate,
}

/// Where a line of a document comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A posting.
    Posting(Box<Posting>),
    /// A service credit.
    ServiceCredit(ServiceCredit),
}

/// A document that is not final yet: it has no number, and making it again gives the same one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    /// Invoice or credit note.
    pub kind: DocumentKind,
    /// Its lines; what comes to nothing is left out.
    pub lines: Vec<DocumentLine>,
    /// The sum of the lines.
    pub net: i64,
    /// The tax.
    pub tax: i64,
    /// The tax by category and rate.
    pub taxes: Vec<TaxTotal>,
    /// Net and tax.
    pub gross: i64,
    /// Who pays it with what.
    pub settlement: Settlement,
}

/// Makes a document of postings.
///
/// # Errors
/// A tax rate that the issuer does not have, a coupon or credit that makes no sense, a month credited twice.
pub fn draft(postings: &[Posting], terms: &Terms<'_>) -> Result<Draft, Refusal> {
    let mut lines = Vec::new();
    for posting in postings.iter().filter(|posting| posting.amount.minor != 0) {
        if posting.amount.currency != terms.currency {
            return Err(Refusal::new(
                "currency",
                format!("a posting in {} on a document in {}", posting.amount.currency, terms.currency),
                "keep one currency per account",
            ));
        }
        lines.push(DocumentLine {
            net: whole(posting.amount.minor) + returned(posting, terms)?,
            source: Source::Posting(Box::new(posting.clone())),
            coupons: Exact::zero(),
            capped: Exact::zero(),
            rate: tax::rate(terms.rates, &posting.tax)?.clone(),
        });
    }
    reduce(&mut lines, terms)?;
    credit_service(&mut lines, terms)?;

    let net = match terms.profile.tax {
        TaxRounding::PerCategory => sum(rounded(&lines)?.into_iter().map(|(_, net)| net))?,
        TaxRounding::OverAll => round_minor(&lines.iter().map(|line| &line.net).sum())?,
    };
    let exact: Vec<(Rate, Exact)> = lines.iter().map(|line| (line.rate.clone(), line.net.clone())).collect();
    let taxes = tax::totals(rounded(&lines)?)?;
    let tax = tax::total(&exact, terms.profile.tax)?;
    let gross = sum([net, tax])?;
    let kind = if net < 0 { DocumentKind::CreditNote } else { DocumentKind::Invoice };
    let settlement = Settlement::of(gross, terms.balance, terms.wallet);
    Ok(Draft { kind, lines, net, tax, taxes, gross, settlement })
}

fn rounded(lines: &[DocumentLine]) -> Result<Vec<(&Rate, i64)>, Refusal> {
    lines.iter().map(|line| Ok((&line.rate, round_minor(&line.net)?))).collect()
}

/// The part of a credit that is not given back, because a coupon or the maximum had paid for it.
fn returned(posting: &Posting, terms: &Terms<'_>) -> Result<Exact, Refusal> {
    let reduced = posting.refers_to.and_then(|id| terms.reduced.get(&id));
    let Some(reduced) = reduced.filter(|_| posting.effect != Effect::Charge) else {
        return Ok(Exact::zero());
    };
    let share = round_minor(&(whole(reduced.reduction) * fraction(-posting.amount.minor, reduced.amount)))?;
    Ok(whole(share.clamp(0, (reduced.reduction - reduced.returned).max(0))))
}

/// Coupons, then the maximum. Neither reduces a true-up or a claw-back: those are promises.
fn reduce(lines: &mut [DocumentLine], terms: &Terms<'_>) -> Result<(), Refusal> {
    let open = |line: &DocumentLine| match &line.source {
        Source::Posting(posting) => {
            !matches!(posting.key.kind, Kind::TrueUp | Kind::ClawBack) && posting.amount.minor > 0
        }
        Source::ServiceCredit(_) => false,
    };
    let (places, sources): (Vec<usize>, Vec<DocumentLine>) = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| open(line))
        .map(|(place, line)| (place, line.clone()))
        .unzip();
    let mut reducible: Vec<Reducible<'_>> = sources
        .iter()
        .filter_map(|line| match &line.source {
            Source::Posting(posting) => Some(Reducible {
                charge: &posting.key.charge,
                subscription: &posting.key.subscription,
                left: line.net.clone(),
            }),
            Source::ServiceCredit(_) => None,
        })
        .collect();
    let coupons = coupon::apply(terms.coupons, &mut reducible, &terms.profile)?;
    let left: Vec<Exact> = reducible.into_iter().map(|line| line.left).collect();
    let capped = match terms.maximum {
        Some(maximum) => coupon::cap(&whole(maximum.amount), &whole(maximum.before), &left),
        None => vec![Exact::zero(); left.len()],
    };
    for (place, (coupons, capped)) in places.into_iter().zip(coupons.into_iter().zip(capped)) {
        if let Some(line) = lines.get_mut(place) {
            line.net -= &coupons + &capped;
            line.coupons = coupons;
            line.capped = capped;
        }
    }
    Ok(())
}

fn credit_service(lines: &mut Vec<DocumentLine>, terms: &Terms<'_>) -> Result<(), Refusal> {
    let mut seen = terms.credited.clone();
    for credit in terms.service_credits {
        let field =
            format!("serviceCredits[{}/{}/{}]", credit.of.subscription, credit.of.service, credit.of.month);
        if credit.amount <= 0 {
            return Err(Refusal::new(
                field,
                format!("{} gives nothing back", credit.amount),
                "write an amount above zero",
            ));
        }
        if !seen.insert(credit.of.clone()) {
            return Err(Refusal::new(
                field,
                "the month was credited before",
                "credit a month of a service once",
            ));
        }
        lines.push(DocumentLine {
            source: Source::ServiceCredit(credit.clone()),
            coupons: Exact::zero(),
            capped: Exact::zero(),
            net: whole(-credit.amount),
            rate: tax::rate(terms.rates, &credit.tax)?.clone(),
        });
    }
    Ok(())
}
