//! Tax: rates by name, and totals as EN 16931 adds them up. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::exact::{Decimal, Exact, whole};
use crate::money::{Currency, percent, round_minor, sum};
use crate::profile::TaxRounding;
use crate::refusal::Refusal;

/// A category of EN 16931 (S, Z, E, AE, ...) and its rate.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Rate {
    /// The category's code.
    pub category: String,
    /// Percent.
    pub percent: Decimal,
    /// Why nothing is taxed, as the law wants it written on documents (BT-120).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The issuer's rates, by the name that charges use.
pub type Rates = BTreeMap<String, Rate>;

/// The total of one category and rate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TaxTotal {
    /// The category and rate.
    pub rate: Rate,
    /// What is taxed, in minor units.
    pub base: i64,
    /// The tax, in minor units.
    pub tax: i64,
}

/// Refuses a currency that an invoice after EN 16931 cannot be written in: its amounts have two decimals at most.
///
/// # Errors
/// The currency has three.
pub fn check_currency(currency: Currency) -> Result<(), Refusal> {
    if currency.decimals() <= 2 {
        return Ok(());
    }
    Err(Refusal::new(
        "currency",
        format!("{currency} has {} decimals, EN 16931 knows two", currency.decimals()),
        "bill the account in a currency with at most two",
    ))
}

/// The rate of a name.
///
/// # Errors
/// The issuer has no such rate, or it is below zero or above a hundred.
pub fn rate<'r>(rates: &'r Rates, name: &str) -> Result<&'r Rate, Refusal> {
    let rate = rates.get(name).ok_or_else(|| {
        Refusal::new(
            "tax",
            format!("the issuer has no rate {name:?}"),
            "name one of the issuer's rates, or add it there",
        )
    })?;
    crate::catalogue::percentage(&format!("rates[{name}].percent"), &rate.percent)?;
    Ok(rate)
}

/// The totals of lines, each with its net amount in minor units.
///
/// The base of a category is the sum of its lines, each rounded; its tax is rounded once. The invoice's tax is the sum over
/// the categories: it is exact, and no line is ever taxed for itself.
///
/// # Errors
/// A sum has more than 64 bits.
pub fn totals<'r>(lines: impl IntoIterator<Item = (&'r Rate, i64)>) -> Result<Vec<TaxTotal>, Refusal> {
    let mut bases: BTreeMap<&Rate, Vec<i64>> = BTreeMap::new();
    for (rate, net) in lines {
        bases.entry(rate).or_default().push(net);
    }
    bases
        .into_iter()
        .map(|(rate, nets)| {
            let base = sum(nets)?;
            Ok(TaxTotal {
                rate: rate.clone(),
                base,
                tax: round_minor(&(whole(base) * percent(&rate.percent)))?,
            })
        })
        .collect()
}

/// The tax of lines whose nets may be parts of a minor unit, as a profile rounds it.
///
/// # Errors
/// An amount has more than 64 bits.
pub fn total(lines: &[(Rate, Exact)], rounding: TaxRounding) -> Result<i64, Refusal> {
    let mut bases: BTreeMap<&Rate, Exact> = BTreeMap::new();
    for (rate, net) in lines {
        *bases.entry(rate).or_default() += net;
    }
    let taxes = bases.into_iter().map(|(rate, base)| base * percent(&rate.percent));
    match rounding {
        TaxRounding::OverAll => round_minor(&taxes.sum()),
        TaxRounding::PerCategory => sum(taxes.map(|tax| round_minor(&tax)).collect::<Result<Vec<_>, _>>()?),
    }
}
