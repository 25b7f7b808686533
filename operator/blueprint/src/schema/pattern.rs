//! Whether a regular expression allows only characters that no second parser treats specially; pure.
//!
//! The answer decides whether a value may stand inside a longer text without a target filter, so it errs on the side
//! of no: an expression that is not understood restricts nothing.

/// Whether a character may stand in any text without changing its meaning for the readers we know: configuration
/// files, PromQL, shells, addresses.
pub(crate) fn harmless(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '@' | '/' | '-')
}

/// Whether every text that matches `pattern` consists of harmless characters. The pattern must be anchored at both
/// ends, because JSON Schema looks for a match anywhere.
pub(crate) fn restricts(pattern: &str) -> bool {
    let Some(inner) = pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix('$')) else { return false };
    if inner.ends_with('\\') {
        return false;
    }
    let mut reader = Reader { rest: inner.chars().collect::<Vec<_>>(), at: 0 };
    let mut depth = 0_usize;
    while let Some(c) = reader.next() {
        let good = match c {
            '[' => reader.class(),
            '(' => {
                depth += 1;
                reader.group()
            }
            ')' => {
                let open = depth > 0;
                depth = depth.saturating_sub(1);
                open
            }
            // Outside a group the anchors would belong to the first and the last alternative only.
            '|' => depth > 0,
            '?' | '*' | '+' => true,
            '{' => reader.repetition(),
            '\\' => reader.next().is_some_and(|escaped| {
                escaped == 'd' || (harmless(escaped) && !escaped.is_ascii_alphanumeric())
            }),
            '.' | '^' | '$' => false,
            literal => harmless(literal),
        };
        if !good {
            return false;
        }
    }
    depth == 0
}

struct Reader {
    rest: Vec<char>,
    at: usize,
}

// === impl Reader ===

impl Reader {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.get(self.at).copied();
        self.at += 1;
        c
    }

    fn peek(&self) -> Option<char> {
        self.rest.get(self.at).copied()
    }

    /// A group's head: plain or non-capturing. Look-around and flags are not understood.
    fn group(&mut self) -> bool {
        if self.peek() != Some('?') {
            return true;
        }
        self.at += 1;
        self.next() == Some(':')
    }

    /// A repetition count such as `{1,63}`.
    fn repetition(&mut self) -> bool {
        while let Some(c) = self.next() {
            match c {
                '}' => return true,
                c if c.is_ascii_digit() || c == ',' => {}
                _ => return false,
            }
        }
        false
    }

    /// A character class without negation, nesting or named sets.
    fn class(&mut self) -> bool {
        let mut previous = None;
        while let Some(c) = self.next() {
            match c {
                ']' => return previous.is_some(),
                '^' | '[' | '&' | '~' => return false,
                '-' if previous.is_some() && self.peek().is_some_and(|next| next != ']') => {
                    let (Some(from), Some(to)) = (previous, self.next()) else { return false };
                    if !range(from, to) {
                        return false;
                    }
                    previous = Some(to);
                }
                '\\' => match self.next() {
                    Some('d') => previous = Some('0'),
                    Some(escaped) if harmless(escaped) && !escaped.is_ascii_alphanumeric() => {
                        previous = Some(escaped)
                    }
                    _ => return false,
                },
                c if harmless(c) => previous = Some(c),
                _ => return false,
            }
        }
        false
    }
}

/// Whether all characters of a range are harmless. Only ranges inside the letters or digits are.
fn range(from: char, to: char) -> bool {
    from <= to && (from..=to).all(harmless)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchored_harmless_patterns_restrict() {
        for pattern in [
            r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
            r"^[0-9A-Fa-f.:]+/[0-9]{1,3}$",
            r"^(a|b-c)$",
            r"^\d{2}\.[0-9]$",
            r"^(?:[A-Z]{2})+$",
            r"^[a-z0-9]([-._a-z0-9]*[a-z0-9])?$",
        ] {
            assert!(restricts(pattern), "{pattern}");
        }
    }

    #[test]
    fn everything_else_does_not() {
        for pattern in [
            "",
            "[a-z]+",
            "^[a-z]+",
            r"^a|b$",
            r"^[^@\s]+@[^@\s]+$",
            r"^.*$",
            r"^\w+$",
            r"^[ -~]+$",
            r"^[A-z]+$",
            r"^(?i)[a-z]+$",
            r"^[a-z]+\$",
            r#"^["a]+$"#,
            r"^[]a]+$",
            r"^(?=a).$",
            r"^[a-z&&[b]]$",
            r"^a\n$",
            r"^a{1$",
            r"^(a$",
        ] {
            assert!(!restricts(pattern), "{pattern}");
        }
    }
}
