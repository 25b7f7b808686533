//! Money: whole minor units of an ISO 4217 currency. Pure.

use std::cmp::Ordering;
use std::fmt;

use num_traits::{Signed as _, ToPrimitive as _, Zero as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::exact::{Decimal, Exact, fraction, power_of_ten, to_text, units, whole};
use crate::refusal::Refusal;

/// A currency that has a minor unit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Currency {
    code: iso_currency::Currency,
    decimals: u16,
}

impl Currency {
    /// Reads an ISO 4217 code.
    ///
    /// # Errors
    /// There is no such currency, it is no longer in use, or it has no minor unit (gold, test codes).
    pub fn parse(field: &str, code: &str) -> Result<Self, Refusal> {
        let remedy = "write a code of ISO 4217 that is in use, like EUR";
        let known = iso_currency::Currency::from_code(code)
            .ok_or_else(|| Refusal::new(field, format!("there is no currency {code:?}"), remedy))?;
        if let Some(newer) = known.is_superseded() {
            return Err(Refusal::new(field, format!("{code} was replaced by {}", newer.code()), remedy));
        }
        let decimals = known
            .exponent()
            .ok_or_else(|| Refusal::new(field, format!("{code} has no minor unit to invoice in"), remedy))?;
        Ok(Self { code: known, decimals })
    }

    /// The code, for example `EUR`.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.code.code()
    }

    /// Decimals of the minor unit: 2 for EUR, 0 for JPY, 3 for KWD.
    #[must_use]
    pub fn decimals(self) -> u32 {
        u32::from(self.decimals)
    }

    /// An amount in major units, rounded once to the minor unit, half away from zero.
    ///
    /// # Errors
    /// More than 64 bits of minor units.
    pub fn round(self, major: &Exact) -> Result<i64, Refusal> {
        units(major, self.decimals()).to_i64().ok_or_else(too_large)
    }

    /// An amount in major units as an exact number of minor units.
    #[must_use]
    pub fn minor(self, major: &Exact) -> Exact {
        major * whole(power_of_ten(self.decimals()))
    }

    /// Minor units as an amount in major units.
    #[must_use]
    pub fn major(self, minor: i64) -> Exact {
        whole(minor) / whole(power_of_ten(self.decimals()))
    }

    /// Refuses what is no fixed price: it is never negative, and has no more decimals than the currency.
    ///
    /// # Errors
    /// It is, or has.
    pub fn price(self, field: &str, price: &Decimal) -> Result<(), Refusal> {
        price.not_negative(field)?.at_most(field, self.decimals(), self.code()).map(|_| ())
    }
}

impl PartialOrd for Currency {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Currency {
    fn cmp(&self, other: &Self) -> Ordering {
        self.code().cmp(other.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.code())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse("currency", &text).map_err(de::Error::custom)
    }
}

/// An amount of money.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// Minor units; negative for what is given back.
    pub minor: i64,
    /// Of what.
    pub currency: Currency,
}

impl Money {
    /// In major units, without the currency.
    #[must_use]
    pub fn decimal(&self) -> String {
        to_text(&self.currency.major(self.minor), self.currency.decimals())
    }
}

impl fmt::Display for Money {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.decimal(), self.currency)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// An exact number of minor units, rounded half away from zero.
///
/// # Errors
/// More than 64 bits.
pub fn round_minor(minor: &Exact) -> Result<i64, Refusal> {
    units(minor, 0).to_i64().ok_or_else(too_large)
}

/// Adds amounts of one currency.
///
/// # Errors
/// The sum has more than 64 bits.
pub fn sum(amounts: impl IntoIterator<Item = i64>) -> Result<i64, Refusal> {
    let total: i128 = amounts.into_iter().map(i128::from).sum();
    i64::try_from(total).map_err(|_| too_large())
}

fn too_large() -> Refusal {
    Refusal::new("amount", "more than 9.2 quintillion minor units", "check the price and the quantity")
}

/// Splits an amount over weights by the largest remainder, so that the parts add up to the whole. Equal remainders go to the
/// earlier part.
///
/// # Errors
/// A weight is negative; or all are zero and the amount is not.
pub fn split(total: i64, weights: &[Exact]) -> Result<Vec<i64>, Refusal> {
    if weights.iter().any(Exact::is_negative) {
        return Err(Refusal::new("weights", "a share is negative", "split over shares of zero or more"));
    }
    let all: Exact = weights.iter().sum();
    if all.is_zero() {
        if total == 0 {
            return Ok(vec![0; weights.len()]);
        }
        return Err(Refusal::new(
            "weights",
            "there is nothing to spread an amount over",
            "name a part with a weight",
        ));
    }
    let exact: Vec<Exact> = weights.iter().map(|weight| whole(total) * weight / &all).collect();
    let mut parts = exact
        .iter()
        .map(|part| part.trunc().to_integer().to_i64().ok_or_else(too_large))
        .collect::<Result<Vec<_>, _>>()?;
    let mut left = total - sum(parts.iter().copied())?;
    let mut order: Vec<(usize, Exact)> = exact.iter().map(|part| part.fract().abs()).enumerate().collect();
    order.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(&other.0)));
    for (index, _) in order {
        if left == 0 {
            break;
        }
        if let Some(part) = parts.get_mut(index) {
            *part += left.signum();
            left -= left.signum();
        }
    }
    Ok(parts)
}

/// A percentage as a fraction of one.
#[must_use]
pub fn percent(decimal: &Decimal) -> Exact {
    decimal.value() * fraction(1, 100)
}
