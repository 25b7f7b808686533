//! From an order to the state of its checklist, as pure functions: no client, no clock, no randomness.
//!
//! The way of one subscription through this crate:
//!
//! 1. [`select::select`] says which stored revision of each definition the tenant runs.
//!    [`plan_change::step`] says before which plan that is, where the order names another one than the tenant runs.
//! 2. [`order::resolve`] gives the validated [`order::Order`], or every problem with its field and its remedy.
//! 3. [`item::evaluate`] derives the state of each checklist item from evidence and says which items may act now.
//!    [`forecast`] says when all of it will be done.
//! 4. [`report::report`] derives conditions, phase and the rest of the status from that.
//! 5. [`journal::facts`] says what of a status the journal keeps for good, and [`learned`] what the journal teaches about the
//!    next order.
//!
//! The present time, random bytes and everything observed come in as parameters, so each answer can be recomputed and
//! nothing here remembers anything.

pub mod access;
pub mod billing;
pub mod cidr;
pub mod due;
pub mod duration;
pub mod exit;
#[cfg(test)]
mod fixtures;
pub mod forecast;
pub mod graph;
pub mod hosts;
pub mod item;
pub mod job;
pub mod journal;
pub mod learned;
pub mod meters;
pub mod order;
pub mod pace;
pub mod plan;
pub mod plan_change;
pub mod prices;
pub mod report;
pub mod revision;
pub mod saying;
pub mod schema;
pub mod select;
pub mod sign_off;
pub mod sizing;
pub mod suspension;
mod text;
pub mod time;
pub mod windows;

/// What is wrong with one field of an order or a definition, and what a person can do about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Path of the field, such as `spec.network.hosts[1]`.
    pub field: String,
    /// One word in PascalCase for programs, such as `PlanNotFound`.
    pub reason: &'static str,
    /// What is wrong and what to do about it, in lower case, without the path.
    pub message: String,
}

impl Problem {
    /// A problem with its field, reason and message.
    pub fn new(field: impl Into<String>, reason: &'static str, message: impl Into<String>) -> Self {
        Self { field: field.into(), reason, message: message.into() }
    }

    /// Problems in one text, for people.
    #[must_use]
    pub fn list(problems: &[Self]) -> String {
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")
    }

    /// Whether the problem may go away without any change of this object, because it waits for another object to
    /// appear or to be accepted. Objects of one commit arrive in any order.
    #[must_use]
    pub fn may_resolve_itself(&self) -> bool {
        self.reason.ends_with("NotFound") || self.reason.ends_with("NotAccepted")
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}
