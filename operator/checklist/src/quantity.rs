//! Kubernetes quantities, compared exactly; pure, needs neither client nor clock.

use std::cmp::Ordering;
use std::str::FromStr;
use thiserror::Error;

/// A quantity without a sign, such as `500m` or `16Gi`, as an exact fraction.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    numerator: u128,
    denominator: u128,
}

/// Why a text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("is not a quantity; write a number with an optional unit, such as 500m, 2 or 16Gi")]
pub struct QuantityError;

/// Units and what a number with the unit is multiplied by. Two letters first, or `Mi` would read as `M` and a rest.
const UNITS: [(&str, u128); 10] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
];

impl Quantity {
    /// Whether the quantity is nothing at all.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.numerator == 0
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unit = UNITS.iter().find_map(|(unit, factor)| text.strip_suffix(unit).map(|n| (n, *factor, 1)));
        let (number, factor, divisor) =
            unit.or_else(|| text.strip_suffix('m').map(|n| (n, 1, 1_000))).unwrap_or((text, 1, 1));
        let (whole, fraction) = match number.split_once('.') {
            Some((_, "")) => return Err(QuantityError),
            Some((whole, fraction)) => (whole, fraction),
            None => (number, ""),
        };
        if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
            return Err(QuantityError);
        }
        let digits: u128 = format!("{whole}{fraction}").parse().map_err(|_| QuantityError)?;
        let places = u32::try_from(fraction.len()).map_err(|_| QuantityError)?;
        let scale = 10_u128.checked_pow(places).and_then(|s| s.checked_mul(divisor)).ok_or(QuantityError)?;
        let numerator = digits.checked_mul(factor).ok_or(QuantityError)?;
        Ok(Self { numerator, denominator: scale })
    }
}

impl Ord for Quantity {
    /// Compares whole parts, then the reciprocals of what remains (Euclid), so that no product can overflow.
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut a, mut b) = (self.numerator, self.denominator);
        let (mut c, mut d) = (other.numerator, other.denominator);
        loop {
            let wholes = (a / b).cmp(&(c / d));
            if wholes != Ordering::Equal {
                return wholes;
            }
            (a, c) = (a % b, c % d);
            match (a, c) {
                (0, 0) => return Ordering::Equal,
                (0, _) => return Ordering::Less,
                (_, 0) => return Ordering::Greater,
                // a/b < c/d exactly when d/c < b/a.
                _ => (a, b, c, d) = (d, c, b, a),
            }
        }
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn q(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    #[test]
    fn the_same_amount_written_differently_is_equal() {
        for (a, b) in [("1", "1000m"), ("1Gi", "1024Mi"), ("0.5", "500m"), ("1.5Ki", "1536"), ("0", "0Pi")] {
            assert_eq!(q(a), q(b), "{a} {b}");
        }
    }

    #[test]
    fn amounts_are_ordered_exactly() {
        for (less, more) in [
            ("999m", "1"),
            ("1G", "1Gi"),
            ("16Gi", "16.1Gi"),
            ("0", "1m"),
            ("9007199254740992", "9007199254740993"),
            ("0.00000000000001", "0.0000000000001"),
            ("9999999999999Pi", "99999999999999Pi"),
        ] {
            assert!(q(less) < q(more), "{less} {more}");
            assert!(q(more) > q(less), "{less} {more}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "m", "-1", "1.", ".5", "1e3", "1 Gi", "1GiB", "1K", "1.2.3", "٣"] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_cross_multiplication(a in 0_u64..1_000_000, b in 0_u64..1_000_000, ua in 0_usize..10, ub in 0_usize..10) {
            let (unit_a, factor_a) = UNITS[ua];
            let (unit_b, factor_b) = UNITS[ub];
            let wanted = (u128::from(a) * factor_a * 1_000).cmp(&(u128::from(b) * factor_b * 1_000));
            prop_assert_eq!(q(&format!("{a}{unit_a}")).cmp(&q(&format!("{b}{unit_b}"))), wanted);
            let milli = (u128::from(a) * factor_a * 1_000).cmp(&u128::from(b));
            prop_assert_eq!(q(&format!("{a}{unit_a}")).cmp(&q(&format!("{b}m"))), milli);
        }
    }
}
