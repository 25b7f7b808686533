//! Exact numbers: fractions that never round, and the decimals that people write. Pure.
//!
//! A fraction of big integers cannot overflow, so the only places where a number may be too large are the ones where it
//! becomes money.

use std::fmt;
use std::str::FromStr as _;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Pow as _, Signed as _, ToPrimitive as _, Zero as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::refusal::Refusal;

/// An exact fraction.
pub type Exact = BigRational;

/// Decimals of a unit price at most.
pub const UNIT_PRICE_DECIMALS: u32 = 12;

/// Digits of a number in a price list or of a quantity at most: beyond every price, and short enough to stay cheap.
const DIGITS: usize = 40;

/// The fraction of two integers; zero where the lower one is zero, which only an empty period gives.
#[must_use]
pub fn fraction(upper: i64, lower: i64) -> Exact {
    if lower == 0 { Exact::zero() } else { Exact::new(BigInt::from(upper), BigInt::from(lower)) }
}

/// An integer as a fraction.
#[must_use]
pub fn whole(value: impl Into<BigInt>) -> Exact {
    Exact::from_integer(value.into())
}

/// Ten to the power of `digits`.
#[must_use]
pub fn power_of_ten(digits: u32) -> BigInt {
    BigInt::from(10).pow(digits)
}

/// How many units of so many decimals a number comes to, rounded half away from zero.
#[must_use]
pub fn units(value: &Exact, decimals: u32) -> BigInt {
    // Nearly every number of a bill fits into two machine words, where this is a division instead of three.
    let small = || {
        let (upper, lower) = (value.numer().to_i128()?, value.denom().to_i128()?);
        let twice = upper.checked_mul(10_i128.checked_pow(decimals)?)?.checked_mul(2)?;
        let half_away = twice.checked_add(if upper < 0 { -lower } else { lower })?;
        Some(BigInt::from(half_away / lower.checked_mul(2)?))
    };
    // `Ratio::round` goes away from zero at the half, as the commercial rule does.
    small().unwrap_or_else(|| (value * whole(power_of_ten(decimals))).round().to_integer())
}

/// Rounds to so many decimals, half away from zero.
#[must_use]
pub fn to_decimals(value: &Exact, decimals: u32) -> Exact {
    Exact::new(units(value, decimals), power_of_ten(decimals))
}

/// Rounds to so many decimals and writes them.
#[must_use]
pub fn to_text(value: &Exact, decimals: u32) -> String {
    let scaled = units(value, decimals);
    let sign = if scaled.is_negative() { "-" } else { "" };
    let digits = format!("{:0>width$}", scaled.abs().to_string(), width = decimals as usize + 1);
    let (before, after) = digits.split_at(digits.len() - decimals as usize);
    if after.is_empty() { format!("{sign}{before}") } else { format!("{sign}{before}.{after}") }
}

/// Writes a number for people: six decimals at most, and none that say nothing.
#[must_use]
pub fn shown(value: &Exact) -> String {
    if value.is_integer() {
        return value.numer().to_string();
    }
    let text = to_text(value, 6);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A decimal number as somebody wrote it: "249.00", "0.12".
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal {
    value: Exact,
    decimals: u32,
}

impl Decimal {
    /// Reads a decimal number: digits, at most one point, at most one sign. No exponent and no thousands separator.
    ///
    /// # Errors
    /// The text is no such number, or longer than any price is.
    pub fn parse(field: &str, text: &str) -> Result<Self, Refusal> {
        let refuse = || {
            Refusal::new(
                field,
                format!("{text:?} is no decimal number"),
                "write digits and at most one point, like \"249.00\"",
            )
        };
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (before, after) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if before.is_empty()
            || !digits(before)
            || !digits(after)
            || (after.is_empty() && unsigned.contains('.'))
        {
            return Err(refuse());
        }
        if unsigned.len() > DIGITS {
            return Err(Refusal::new(
                field,
                format!("{} digits are too many", unsigned.len()),
                format!("write at most {DIGITS}"),
            ));
        }
        let decimals = u32::try_from(after.len()).map_err(|_| refuse())?;
        let number = BigInt::from_str(&format!("{before}{after}")).map_err(|_| refuse())?;
        let number = if text.starts_with('-') { -number } else { number };
        Ok(Self { value: Exact::new(number, power_of_ten(decimals)), decimals })
    }

    /// An integer.
    #[must_use]
    pub fn integer(value: i64) -> Self {
        Self { value: whole(value), decimals: 0 }
    }

    /// Zero.
    #[must_use]
    pub fn zero() -> Self {
        Self::integer(0)
    }

    /// The number.
    #[must_use]
    pub fn value(&self) -> &Exact {
        &self.value
    }

    /// How many decimals were written.
    #[must_use]
    pub fn decimals(&self) -> u32 {
        self.decimals
    }

    /// Refuses what is below zero.
    pub(crate) fn not_negative(&self, field: &str) -> Result<&Self, Refusal> {
        if self.value.is_negative() {
            return Err(Refusal::new(
                field,
                format!("{self} is negative"),
                "write zero or more; a credit is an event of its own",
            ));
        }
        Ok(self)
    }

    /// Refuses more decimals than allowed.
    pub(crate) fn at_most(&self, field: &str, decimals: u32, of: &str) -> Result<&Self, Refusal> {
        if self.decimals > decimals {
            return Err(Refusal::new(
                field,
                format!("{self} has {} decimals, {of} has {decimals}", self.decimals),
                format!("write at most {decimals} decimals"),
            ));
        }
        Ok(self)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&to_text(&self.value, self.decimals))
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse("number", &text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_away_from_zero_in_small_and_in_large_numbers() {
        let far = whole(power_of_ten(60));
        for (upper, lower, wanted) in
            [(5, 10, 1), (-5, 10, -1), (49, 100, 0), (-49, 100, 0), (15, 10, 2), (-25, 10, -3), (7, 1, 7)]
        {
            let value = fraction(upper, lower);
            assert_eq!(units(&value, 0), BigInt::from(wanted), "{upper}/{lower}");
            // Beyond 128 bits the other way is taken.
            let large = if upper < 0 { &value - &far } else { &value + &far };
            let base = if upper < 0 { -far.to_integer() } else { far.to_integer() };
            assert_eq!(units(&large, 0) - base, BigInt::from(wanted), "{upper}/{lower} far away");
        }
        assert_eq!(to_text(&fraction(-5, 1000), 2), "-0.01");
        assert_eq!(to_text(&fraction(74_985, 1000), 2), "74.99");
        assert_eq!(
            (shown(&fraction(1, 3)), shown(&fraction(120, 1)), shown(&fraction(5, 2))),
            ("0.333333".into(), "120".into(), "2.5".into())
        );
    }
}
