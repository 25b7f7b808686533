//! Inert tokens: how an interpolated string travels through YAML without becoming structure; pure.
//!
//! A token is a marker, the value's UTF-8 bytes as lower-case hexadecimal digits, and a second marker. None of these
//! characters means anything to YAML, so a value can neither open a mapping, start a document nor change its own
//! type, and no quoting is needed around it. Tokens are turned back only inside parsed scalars.

use std::fmt::Write as _;
use std::io::{self, Write};

/// Opens a token. From a private use area: printable for YAML, and refused in template text.
pub(crate) const OPEN: char = '\u{E9A0}';
/// Closes a token.
pub(crate) const CLOSE: char = '\u{E9A1}';

/// Why a scalar's tokens could not be turned back. Each case is wrong data from a template that cuts or rewrites
/// captured text; none of them can come from the value itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    /// A marker without its partner.
    #[error("an interpolated value was cut")]
    Cut,
    /// Something other than pairs of lower-case hexadecimal digits between the markers.
    #[error("an interpolated value was changed after it was inserted")]
    Changed,
}

/// Writes one value as a token. This is the escape function of every template.
pub(crate) fn escape(value: &str, out: &mut dyn Write) -> io::Result<()> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut token = Vec::with_capacity(value.len() * 2 + 6);
    let mut marker = [0; 4];
    token.extend_from_slice(OPEN.encode_utf8(&mut marker).as_bytes());
    for byte in value.bytes() {
        for nibble in [byte >> 4, byte & 0x0f] {
            token.extend(DIGITS.get(usize::from(nibble)));
        }
    }
    token.extend_from_slice(CLOSE.encode_utf8(&mut marker).as_bytes());
    out.write_all(&token)
}

/// Whether a text holds a marker, and so a token or what is left of one.
pub(crate) fn present(text: &str) -> bool {
    text.contains([OPEN, CLOSE])
}

/// Turns the tokens of one parsed scalar back into the values they carry.
pub(crate) fn decode(scalar: &str) -> Result<String, TokenError> {
    replaced(scalar, |hex, out| {
        out.push_str(&unhex(hex).ok_or(TokenError::Changed)?);
        Ok(())
    })
}

/// A text with its values taken out: what is left has their numbers in their places. None where a token is not whole, or where YAML could make a
/// marker out of something else: an author may write any character by its number.
pub(crate) fn lift(text: &str) -> Option<(String, Vec<String>)> {
    if text.contains("\\u") || text.contains("\\U") {
        return None;
    }
    let mut values = Vec::new();
    let left = replaced(text, |hex, out| {
        values.push(unhex(hex).ok_or(TokenError::Changed)?);
        write!(out, "{OPEN}{:08x}{CLOSE}", values.len() - 1).map_err(|_| TokenError::Changed)
    });
    Some((left.ok()?, values))
}

/// A text in which something else stands for each token; `each` is given what is between the markers, and writes it.
fn replaced(
    text: &str,
    mut each: impl FnMut(&str, &mut String) -> Result<(), TokenError>,
) -> Result<String, TokenError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let (between, behind) = after.split_once(CLOSE).ok_or(TokenError::Cut)?;
        if before.contains(CLOSE) || between.contains(OPEN) {
            return Err(TokenError::Cut);
        }
        out.push_str(before);
        each(between, &mut out)?;
        rest = behind;
    }
    if rest.contains(CLOSE) {
        return Err(TokenError::Cut);
    }
    out.push_str(rest);
    Ok(out)
}

/// A scalar of a text whose values were taken out, with its values again. None where its tokens are not those that were put there.
pub(crate) fn put_back(scalar: &str, values: &[String]) -> Option<String> {
    let put = |number: &str, out: &mut String| {
        let number = usize::from_str_radix(number, 16).map_err(|_| TokenError::Changed)?;
        out.push_str(values.get(number).ok_or(TokenError::Changed)?);
        Ok(())
    };
    replaced(scalar, put).ok()
}

fn unhex(hex: &str) -> Option<String> {
    if !hex.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = Vec::with_capacity(hex.len() / 2);
    let mut pairs = hex.bytes();
    while let (Some(high), Some(low)) = (pairs.next(), pairs.next()) {
        bytes.push(digit(high)? << 4 | digit(low)?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(value: &str) -> String {
        let mut out = Vec::new();
        escape(value, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn broken_tokens_are_refused() {
        let whole = token("acme");
        for (broken, why) in [
            (whole.trim_end_matches(CLOSE).to_owned(), TokenError::Cut),
            (whole.trim_start_matches(OPEN).to_owned(), TokenError::Cut),
            (whole.to_uppercase().replace("61", "6A"), TokenError::Changed),
            (whole.replacen("61", "6", 1), TokenError::Changed),
            (whole.replacen("61", "ff", 1), TokenError::Changed),
            (format!("{OPEN}{whole}{CLOSE}"), TokenError::Cut),
        ] {
            assert_eq!(decode(&broken), Err(why), "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn values_come_back(before in "[a-z ]{0,5}", value in any::<String>(), after in "[a-z ]{0,5}") {
            let scalar = format!("{before}{}{after}", token(&value));
            prop_assert_eq!(decode(&scalar), Ok(format!("{before}{value}{after}")));
        }
    }
}
