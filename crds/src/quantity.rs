//! Kubernetes quantities as exact integers; no client or clock.
//!
//! A quantity is held in billionths of its unit (of a core, a byte, an object), which is the finest that Kubernetes keeps
//! (apimachinery, resource.Quantity). 128-bit integers hold every sum a tenant can reach, so nothing is rounded but where
//! Kubernetes itself rounds: up, when a value is finer than that.

use std::fmt;
use std::str::FromStr;

/// An exact amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(i128);

/// A text that is not a quantity. The text itself is not repeated: it may be long and hold anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a quantity; write a number with an optional unit, such as 500m, 2 or 16Gi")]
pub struct QuantityError;

/// Billionths in a whole.
const WHOLE: i128 = 1_000_000_000;
/// Billionths in a thousandth.
const MILLI: i128 = WHOLE / 1000;

/// Suffixes with their factor in billionths.
const SUFFIXES: [(&str, i128); 16] = [
    ("Ki", WHOLE << 10),
    ("Mi", WHOLE << 20),
    ("Gi", WHOLE << 30),
    ("Ti", WHOLE << 40),
    ("Pi", WHOLE << 50),
    ("Ei", WHOLE << 60),
    ("n", 1),
    ("u", 1000),
    ("m", MILLI),
    ("k", WHOLE * 1000),
    ("M", WHOLE * 1_000_000),
    ("G", WHOLE * 1_000_000_000),
    ("T", WHOLE * 1_000_000_000_000),
    ("P", WHOLE * 1_000_000_000_000_000),
    ("E", WHOLE * 1_000_000_000_000_000_000),
    ("", WHOLE),
];

// === impl Quantity ===

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount of thousandths.
    #[must_use]
    pub const fn from_milli(milli: i64) -> Self {
        Self(milli as i128 * MILLI)
    }

    /// A count of whole things.
    #[must_use]
    pub const fn from_count(count: i64) -> Self {
        Self(count as i128 * WHOLE)
    }

    /// Whole thousandths, those that are begun included; it stays at the largest number instead of overflowing.
    #[must_use]
    pub fn thousandths(self) -> i64 {
        Self::whole(self.0, MILLI)
    }

    /// Whole mebibytes, those that are begun included; it stays at the largest number instead of overflowing.
    #[must_use]
    pub fn mebibytes(self) -> i64 {
        Self::whole(self.0, WHOLE << 20)
    }

    fn whole(amount: i128, unit: i128) -> i64 {
        let whole = amount.div_euclid(unit) + i128::from(amount.rem_euclid(unit) > 0);
        i64::try_from(whole).unwrap_or(i64::MAX)
    }

    /// The sum; it stays at the largest amount instead of overflowing.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left when the other is taken away; never less than nothing.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0).max(0))
    }

    /// The amount as a floating point number, for figures that are only shown.
    #[must_use]
    pub fn approximate(self) -> f64 {
        self.0 as f64 / WHOLE as f64
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
        let unit = WHOLE * MILLI;
        let milli = product.div_euclid(unit).saturating_add(i128::from(product.rem_euclid(unit) > 0));
        Self(milli.saturating_mul(MILLI))
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    /// Reads the forms that the API of Kubernetes accepts: decimal and binary suffixes and decimal exponents, with up
    /// to 18 digits after the point. What is finer than a billionth is rounded up, as Kubernetes does.
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        parse(text).map(Self).ok_or(QuantityError)
    }
}

impl fmt::Display for Quantity {
    /// The canonical form of a decimal quantity: a whole number, or thousandths, or billionths. Binary suffixes are used
    /// from one mebibyte on where they are exact.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 % MILLI != 0 {
            return write!(f, "{}n", self.0);
        }
        if self.0 % WHOLE != 0 {
            return write!(f, "{}m", self.0 / MILLI);
        }
        for (suffix, factor) in [("Ti", WHOLE << 40), ("Gi", WHOLE << 30), ("Mi", WHOLE << 20)] {
            if self.0 != 0 && self.0 % factor == 0 {
                return write!(f, "{}{suffix}", self.0 / factor);
            }
        }
        write!(f, "{}", self.0 / WHOLE)
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
    let factor = match SUFFIXES.iter().find(|(name, _)| *name == suffix) {
        Some((_, factor)) => *factor,
        None => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_i128.checked_pow(exponent.unsigned_abs()).filter(|_| exponent.abs() <= 18)?;
            if exponent < 0 {
                divisor = divisor.checked_mul(power)?;
                WHOLE
            } else {
                power.checked_mul(WHOLE)?
            }
        }
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
    fn what_is_begun_is_whole() {
        for (text, thousandths, mebibytes) in [
            ("0", 0, 0),
            ("500m", 500, 1),
            ("1u", 1, 1),
            ("2", 2_000, 1),
            ("16Gi", 17_179_869_184_000, 16_384),
        ] {
            let quantity = text.parse::<Quantity>().unwrap();
            assert_eq!((quantity.thousandths(), quantity.mebibytes()), (thousandths, mebibytes), "{text}");
        }
        let largest = Quantity(i128::MAX);
        assert_eq!((largest.thousandths(), largest.mebibytes()), (i64::MAX, i64::MAX));
    }

    #[test]
    fn reads_what_kubernetes_reads() {
        for (text, nano) in [
            ("0", 0),
            ("1", WHOLE),
            ("250m", 250 * MILLI),
            ("1.5", 1500 * MILLI),
            (".5", 500 * MILLI),
            ("0.0001", MILLI / 10),
            ("0.00000000001", 1),
            ("7u", 7000),
            ("2k", 2000 * WHOLE),
            ("1Ki", 1024 * WHOLE),
            ("1.5Gi", 1_610_612_736 * WHOLE),
            ("1e3", 1000 * WHOLE),
            ("1E3", 1000 * WHOLE),
            ("5e-1", 500 * MILLI),
            ("1E", 1_000_000_000_000_000_000 * WHOLE),
            ("-1", -WHOLE),
            ("+2", 2 * WHOLE),
        ] {
            assert_eq!(text.parse(), Ok(Quantity(nano)), "{text}");
        }
        for text in
            ["", ".", "-", "1.2.3", "1 Gi", "Gi", "1K", "0x10", "1e99", "1Gi1", "--1", "9999999999999999999"]
        {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_same_amount_written_differently_is_equal_and_another_is_not() {
        let q = |text: &str| text.parse::<Quantity>().unwrap_or_else(|error| panic!("{text} {error}"));
        for (left, right) in [
            ("1000m", "1"),
            ("1Gi", "1024Mi"),
            ("0.5", "500m"),
            ("1e3", "1k"),
            ("1.5Gi", "1536Mi"),
            ("-1", "-1000m"),
            ("0", "0m"),
            ("1E", "1000P"),
            ("8Ei", "8192Pi"),
        ] {
            assert_eq!(q(left), q(right), "{left} {right}");
        }
        for (less, more) in [("1G", "1Gi"), ("999m", "1"), ("1n", "2n"), ("-1", "0"), ("16G", "16Gi")] {
            assert!(q(less) < q(more), "{less} {more}");
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
        fn what_is_written_is_read_back(nano in -(10_i128.pow(17))..10_i128.pow(17)) {
            prop_assert_eq!(Quantity(nano).to_string().parse(), Ok(Quantity(nano)));
        }

        #[test]
        fn any_text_is_answered(text in ".{0,48}") {
            let _ = text.parse::<Quantity>();
        }
    }
}
