//! The one error of this crate: an input that cannot become money. Pure.

use std::fmt;

/// Why something was refused. Nothing was computed and nothing may be posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where in the input, for example `charges[storage].tiers[1].upTo`.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
    /// What would be right.
    pub remedy: String,
}

impl Refusal {
    /// A refusal of `field`.
    pub fn new(field: impl Into<String>, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into(), remedy: remedy.into() }
    }

    /// The same refusal, seen from one level further out.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        self.field = format!("{outer}.{}", self.field);
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}; {}", self.field, self.reason, self.remedy)
    }
}

impl std::error::Error for Refusal {}
