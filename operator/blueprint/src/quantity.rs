//! Kubernetes quantities as exact integers; pure.
//!
//! A quantity is held in thousandths of its unit: milli-cores for CPU, thousandths of a byte for memory and storage,
//! thousandths of an object for counts. 128-bit integers hold every sum a tenant can reach, so nothing is rounded
//! but where Kubernetes itself rounds: up, when a value is finer than a thousandth.

use std::fmt;
use std::str::FromStr;

/// An exact amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(i128);

/// A text that is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a quantity; write a number such as 500m, 2 or 16Gi")]
pub struct QuantityError(String);

/// Suffixes with their factor over the plain unit, in thousandths.
const SUFFIXES: [(&str, i128); 14] = [
    ("Ki", 1024 * 1000),
    ("Mi", 1024 * 1024 * 1000),
    ("Gi", 1024 * 1024 * 1024 * 1000),
    ("Ti", 1024 * 1024 * 1024 * 1024 * 1000),
    ("Pi", 1024 * 1024 * 1024 * 1024 * 1024 * 1000),
    ("Ei", 1024 * 1024 * 1024 * 1024 * 1024 * 1024 * 1000),
    ("m", 1),
    ("k", 1000 * 1000),
    ("M", 1000 * 1000 * 1000),
    ("G", 1000 * 1000 * 1000 * 1000),
    ("T", 1000 * 1000 * 1000 * 1000 * 1000),
    ("P", 1000 * 1000 * 1000 * 1000 * 1000 * 1000),
    ("E", 1000 * 1000 * 1000 * 1000 * 1000 * 1000 * 1000),
    ("", 1000),
];

// === impl Quantity ===

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount of thousandths.
    #[must_use]
    pub const fn from_milli(milli: i128) -> Self {
        Self(milli)
    }

    /// A count of whole things.
    #[must_use]
    pub const fn from_count(count: i64) -> Self {
        Self(count as i128 * 1000)
    }

    /// The amount in thousandths.
    #[must_use]
    pub const fn milli(self) -> i128 {
        self.0
    }

    /// The sum; it stays at the largest amount instead of overflowing.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The amount times a whole number.
    #[must_use]
    pub const fn times(self, factor: i64) -> Self {
        Self(self.0.saturating_mul(factor as i128))
    }

    /// The amount times a ratio, rounded up to a thousandth.
    #[must_use]
    pub fn scaled(self, ratio: Self) -> Self {
        let product = self.0.saturating_mul(ratio.0);
        Self(product.div_euclid(1000).saturating_add(i128::from(product.rem_euclid(1000) > 0)))
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    /// Reads the forms that the API of Kubernetes accepts: decimal and binary suffixes and decimal exponents, with up
    /// to 18 digits after the point. What is finer than a thousandth is rounded up, as Kubernetes does.
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        parse(text).map(Self).ok_or_else(|| QuantityError(crate::problem::cut(text)))
    }
}

impl fmt::Display for Quantity {
    /// The canonical form of a decimal quantity: a whole number, or thousandths. Binary suffixes are used from one
    /// mebibyte on where they are exact.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 % 1000 != 0 {
            return write!(f, "{}m", self.0);
        }
        for (suffix, factor) in [("Ti", 1_i128 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20)] {
            if self.0 != 0 && self.0 % (factor * 1000) == 0 {
                return write!(f, "{}{suffix}", self.0 / (factor * 1000));
            }
        }
        write!(f, "{}", self.0 / 1000)
    }
}

fn parse(text: &str) -> Option<i128> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits_end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at_checked(digits_end)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty()
        || fraction.contains('.')
        || fraction.len() > 18
        || whole.len() > 18
    {
        return None;
    }
    let mut mantissa: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        mantissa = mantissa.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    let mut divisor: i128 = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let factor = match suffix.strip_prefix(['e', 'E']).filter(|exponent| !exponent.is_empty()) {
        Some(exponent) => {
            let exponent: i32 = exponent.parse().ok().filter(|exponent: &i32| exponent.abs() <= 18)?;
            let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
            if exponent < 0 {
                divisor = divisor.checked_mul(power)?;
                1000
            } else {
                power.checked_mul(1000)?
            }
        }
        None => SUFFIXES.iter().find(|(name, _)| *name == suffix).map(|(_, factor)| *factor)?,
    };
    let scaled = mantissa.checked_mul(factor)?;
    let rounded = scaled / divisor + i128::from(scaled % divisor != 0);
    Some(if negative { -rounded } else { rounded })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_kubernetes_reads() {
        for (text, milli) in [
            ("0", 0),
            ("1", 1000),
            ("250m", 250),
            ("1.5", 1500),
            (".5", 500),
            ("0.0001", 1),
            ("2k", 2_000_000),
            ("1Ki", 1_024_000),
            ("1.5Gi", 1_610_612_736_000),
            ("1e3", 1_000_000),
            ("1E3", 1_000_000),
            ("5e-1", 500),
            ("1E", 1_000_000_000_000_000_000_000),
            ("-1", -1000),
        ] {
            assert_eq!(text.parse(), Ok(Quantity(milli)), "{text}");
        }
        for text in
            ["", ".", "1.2.3", "1 Gi", "Gi", "1K", "0x10", "1e99", "1Gi1", "--1", "9999999999999999999"]
        {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
    }

    #[test]
    fn ratios_round_up() {
        let ratio: Quantity = "1.25".parse().unwrap();
        assert_eq!("100m".parse::<Quantity>().unwrap().scaled(ratio).to_string(), "125m");
        assert_eq!(Quantity::from_milli(3).scaled(ratio), Quantity::from_milli(4));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(milli in 0_i128..10_i128.pow(18)) {
            prop_assert_eq!(Quantity(milli).to_string().parse(), Ok(Quantity(milli)));
        }
    }
}
