//! Durations as Go writes them (`90s`, `1h30m`); pure, needs neither client nor clock.

use jiff::SignedDuration;
use thiserror::Error;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is not a duration; write numbers with the units ms, s, m or h, such as 90s or 1h30m")]
pub struct DurationError {
    text: String,
}

/// Reads a duration without a sign, with the units `ms`, `s`, `m` and `h`, exact to the nanosecond.
///
/// # Errors
/// [`DurationError`] when the text has another form, or is longer than about 292 thousand million years.
pub fn parse(text: &str) -> Result<SignedDuration, DurationError> {
    let refused = || DurationError { text: text.chars().take(32).collect() };
    let mut rest = text;
    let mut nanos: u128 = 0;
    if rest.is_empty() {
        return Err(refused());
    }
    while !rest.is_empty() {
        let (part, left) = component(rest).ok_or_else(refused)?;
        nanos = nanos.checked_add(part).ok_or_else(refused)?;
        rest = left;
    }
    let seconds = i64::try_from(nanos / NANOS_PER_SECOND).map_err(|_| refused())?;
    let below = i32::try_from(nanos % NANOS_PER_SECOND).map_err(|_| refused())?;
    Ok(SignedDuration::new(seconds, below))
}

/// One number with its unit, in nanoseconds, and what follows it.
fn component(text: &str) -> Option<(u128, &str)> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(after) => {
            let (fraction, rest) = digits(after);
            if fraction.is_empty() {
                return None;
            }
            (fraction, rest)
        }
        None => ("", rest),
    };
    let (unit, rest) = unit(rest)?;
    let whole = whole.parse::<u128>().ok()?.checked_mul(unit)?;
    if fraction.is_empty() {
        return Some((whole, rest));
    }
    // Digits below a nanosecond are dropped, as Go does.
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = fraction.parse::<u128>().ok()?.checked_mul(unit)? / scale;
    Some((whole.checked_add(part)?, rest))
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

fn unit(text: &str) -> Option<(u128, &str)> {
    // `ms` before `m`, or milliseconds would read as minutes.
    [
        ("ms", 1_000_000),
        ("s", NANOS_PER_SECOND),
        ("m", 60 * NANOS_PER_SECOND),
        ("h", 3_600 * NANOS_PER_SECOND),
    ]
    .into_iter()
    .find_map(|(name, nanos)| text.strip_prefix(name).map(|rest| (nanos, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, millis) in [
            ("90s", 90_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("250ms", 250),
            ("1m250ms", 60_250),
            ("0s", 0),
            ("0.1s0.1s", 200),
        ] {
            assert_eq!(parse(text).unwrap(), SignedDuration::from_millis(millis), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in
            ["", "5", "s", "-5s", "5d", "5 s", "1.s", ".5s", "5s ", "99999999999999999999999999999999h", "٣s"]
        {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains("90s"), "{text}: {error}");
        }
    }
}
