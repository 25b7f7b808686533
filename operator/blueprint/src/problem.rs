//! Where something went wrong in an author's text and what to do about it; pure, needs neither client nor clock.
//!
//! Everything here is written from the author's own text. A value of a tenant never enters a message: errors are
//! read by people who may not read that tenant's data, and they end in logs and in the status of objects.

use std::fmt;

/// Longest message kept, in bytes. Longer ones are cut, so that one bad template cannot fill a status or a log.
const MESSAGE_LIMIT: usize = 256;

/// A place in a text: both numbers start at 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// One problem in one template or document, with its place and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Name of the template or document, as the author or the packed object names it.
    pub origin: String,
    /// Where in it.
    pub position: Position,
    /// What is wrong, in lower case, without any value of a tenant.
    pub message: String,
    /// What to do about it; empty when the message says it all.
    pub hint: String,
}

// === impl Position ===

impl Position {
    /// The first character of a text.
    pub const START: Self = Self { line: 1, column: 1 };

    /// The place of a byte offset in `text`. An offset past the end, or inside a character, gives the nearest place
    /// before it.
    #[must_use]
    pub fn at(text: &str, offset: usize) -> Self {
        let before = text.char_indices().take_while(|(at, _)| *at < offset).map(|(_, c)| c);
        let mut position = Self::START;
        for c in before {
            if c == '\n' {
                position = Self { line: position.line.saturating_add(1), column: 1 };
            } else {
                position.column = position.column.saturating_add(1);
            }
        }
        position
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

// === impl Problem ===

impl Problem {
    /// A problem at a known place. Message and hint are cut at their bound.
    pub(crate) fn new(
        origin: impl Into<String>,
        position: Position,
        message: impl AsRef<str>,
        hint: impl AsRef<str>,
    ) -> Self {
        Self { origin: origin.into(), position, message: cut(message.as_ref()), hint: cut(hint.as_ref()) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.origin, self.position, self.message)?;
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
}

/// Cuts a message at its bound, on a character boundary, without line breaks.
pub(crate) fn cut(message: &str) -> String {
    let mut out = String::with_capacity(message.len().min(MESSAGE_LIMIT));
    for c in message.chars() {
        if out.len() + c.len_utf8() > MESSAGE_LIMIT {
            out.push('…');
            break;
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_and_lines() {
        let text = "äb\ncd";
        assert_eq!(Position::at(text, 0), Position::START);
        assert_eq!(Position::at(text, 2), Position { line: 1, column: 2 });
        assert_eq!(Position::at(text, 4), Position { line: 2, column: 1 });
        assert_eq!(Position::at(text, 900), Position { line: 2, column: 3 });
    }

    #[test]
    fn long_messages_are_cut_and_stay_on_one_line() {
        let problem = Problem::new("a.yaml", Position::START, "ü\n".repeat(400), "");
        assert!(problem.message.len() <= MESSAGE_LIMIT + '…'.len_utf8());
        assert!(!problem.to_string().contains('\n'));
    }
}
