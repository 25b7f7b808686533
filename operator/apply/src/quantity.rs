//! Kubernetes quantities compared by value, because the server writes "1000m" back as "1"; no client or clock.

/// Powers of ten up to the largest an `i128` of nano units has room for.
const NANO: u32 = 9;

/// Whether two texts are the same quantity, such as "1000m" and "1", or "1Gi" and "1024Mi".
///
/// False when either is not a quantity, or needs more than nano precision.
#[must_use]
pub fn same_quantity(left: &str, right: &str) -> bool {
    matches!((nanos(left), nanos(right)), (Some(left), Some(right)) if left == right)
}

/// A quantity in units of 10^-9, or nothing when the text is none or does not fit.
#[must_use]
pub fn nanos(text: &str) -> Option<i128> {
    let split = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let (mantissa, decimals) = mantissa(number)?;
    let (binary, ten) = scale(suffix)?;
    let exponent = ten + NANO as i32 - decimals;
    let value = mantissa.checked_mul(binary)?;
    let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
    if exponent >= 0 { value.checked_mul(power) } else { (value % power == 0).then(|| value / power) }
}

/// Digits as a number, and how many of them follow the point.
fn mantissa(number: &str) -> Option<(i128, i32)> {
    let unsigned = number.strip_prefix(['+', '-']).unwrap_or(number);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: i128 = digits.parse().ok()?;
    let signed = if number.starts_with('-') { -value } else { value };
    Some((signed, i32::try_from(fraction.len()).ok()?))
}

/// A suffix as a binary factor and a power of ten.
fn scale(suffix: &str) -> Option<(i128, i32)> {
    let decimal = |power| Some((1, power));
    let binary = |power: u32| Some((1_i128 << (10 * power), 0));
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => decimal(suffix.strip_prefix(['e', 'E'])?.parse().ok().filter(|power: &i32| power.abs() <= 27)?),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equal_by_value() {
        for (left, right) in [
            ("1000m", "1"),
            ("1Gi", "1024Mi"),
            ("0.5", "500m"),
            ("1e3", "1k"),
            ("1E3", "1000"),
            ("1.5Gi", "1536Mi"),
            ("-1", "-1000m"),
            ("0", "0m"),
            ("+2", "2"),
            ("1E", "1000P"),
            ("8Ei", "8192Pi"),
            (".5", "0.50"),
        ] {
            assert!(same_quantity(left, right), "{left} {right}");
        }
    }

    #[test]
    fn different_or_no_quantities() {
        for (left, right) in [
            ("1", "2"),
            ("1G", "1Gi"),
            ("1", ""),
            ("", ""),
            ("a", "a"),
            ("1x", "1x"),
            ("1.2.3", "1.2.3"),
            ("-", "-"),
            ("1e99", "1e99"),
            ("99999999999999999999999999999999999999999", "99999999999999999999999999999999999999999"),
        ] {
            assert!(!same_quantity(left, right), "{left} {right}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".{0,48}") {
            let _ = nanos(&text);
        }

        #[test]
        fn milli_units_are_thousandths(number in -1_000_000_000_i64..1_000_000_000) {
            prop_assert_eq!(nanos(&format!("{number}m")).map(|n| n * 1000), nanos(&number.to_string()));
        }
    }
}
