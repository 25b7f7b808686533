//! What the static check reports; pure.

use crate::problem::{Position, cut};
use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It does not work, or not safely.
    Error,
    /// It works and does something a reader would not expect.
    Warning,
}

/// One finding at a place in an author's file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// File as the author knows it, or kind and name of the object when there is no file.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in lower case.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// One finding inside one template, before it is known which file that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) offset: usize,
    pub(crate) severity: Severity,
    pub(crate) message: String,
    pub(crate) hint: String,
}

// === impl Finding ===

impl Finding {
    /// A finding; message and hint are cut at their bound.
    pub(crate) fn new(
        (file, position): (&str, Position),
        severity: Severity,
        message: impl AsRef<str>,
        hint: impl AsRef<str>,
    ) -> Self {
        Self {
            file: file.to_owned(),
            line: position.line,
            column: position.column,
            severity,
            message: cut(message.as_ref()),
            hint: cut(hint.as_ref()),
        }
    }
}

impl fmt::Display for Finding {
    /// `file:line:column: severity: message; hint`, the form editors jump to.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}:{}:{}: {severity}: {}", self.file, self.line, self.column, self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "; {}", self.hint) }
    }
}

// === impl Note ===

impl Note {
    pub(crate) fn error(offset: usize, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { offset, severity: Severity::Error, message: message.into(), hint: hint.into() }
    }

    pub(crate) fn warning(offset: usize, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { offset, severity: Severity::Warning, message: message.into(), hint: hint.into() }
    }
}
