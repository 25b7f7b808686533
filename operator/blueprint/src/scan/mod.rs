//! Our own reading of template text: pieces, tree and expressions with their places; pure.
//!
//! The template engine keeps its syntax tree private and reports variables without places, so the static check reads
//! the text itself. The engine parses every template first; this reader follows its lexical rules exactly (comments,
//! `raw`, trimming, string escapes), refuses what it does not know, and therefore never sees less than the engine.

pub(crate) mod expression;
pub(crate) mod lexer;
pub(crate) mod tree;

use crate::problem::{Position, Problem};

/// Text this reader does not understand, or does not allow, at a byte offset of the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScanError {
    /// Byte offset in the template.
    pub(crate) offset: usize,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do instead.
    pub(crate) hint: &'static str,
}

impl ScanError {
    pub(crate) fn new(offset: usize, message: impl Into<String>, hint: &'static str) -> Self {
        Self { offset, message: message.into(), hint }
    }

    /// The problem this is in the template `origin` with the text `source`.
    pub(crate) fn problem(&self, origin: &str, source: &str) -> Problem {
        Problem::new(origin, Position::at(source, self.offset), &self.message, self.hint)
    }
}
