//! The static check: what is wrong with blueprints and applications before anybody orders them; pure.
//!
//! Four parts: one follows values through expressions against the published schema; a symbolic render
//! reads every branch as YAML; the checklist's graph is walked; and example orders are rendered for real. What only a
//! value can show (a name that is no DNS name, a total that does not fit a plan) is found by the examples, or when a
//! tenant is ordered.

mod canary;
mod definitions;
mod finding;
mod graph;
mod symbolic;
mod types;

pub use canary::{Example, check_examples};
pub use definitions::{Source, check_application, check_blueprint, check_version};
pub use finding::{Finding, Severity};

use crate::scan;
use crate::schema::ContextSchema;
use finding::Note;

/// Checks one template against the schema of its context.
pub(crate) fn template(source: &str, schema: &ContextSchema) -> Vec<Note> {
    let nodes = match scan::tree::parse(source) {
        Ok(nodes) => nodes,
        Err(error) => return vec![Note::error(error.offset, error.message, error.hint)],
    };
    let types::Types { prints, mut notes } = types::follow(&nodes, schema);
    notes.extend(symbolic::check(&nodes, &prints));
    notes
}

/// Every object that a template may give, whatever the order, with placeholders where values stand: enough to know kinds
/// and roles. Parts that no variant renders as YAML are missing; the check of the template reports those.
#[must_use]
pub fn sketches(template: &str) -> Vec<serde_json::Value> {
    scan::tree::parse(template).map(|nodes| symbolic::sketches(&nodes)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
