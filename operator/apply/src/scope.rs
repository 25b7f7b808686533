//! Whether a kind is served, and in which scope, as a value for the planner; no client or clock.

use std::collections::BTreeMap;

use crate::object::Kind;

/// Where objects of a kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In none.
    Cluster,
}

/// The kinds a cluster serves.
pub trait Scopes {
    /// Scope of a kind, or nothing when the cluster does not serve it.
    fn scope(&self, kind: &Kind) -> Option<Scope>;

    /// Whether somebody installed the kind, by a definition of a custom resource.
    fn is_custom(&self, kind: &Kind) -> bool {
        let _ = kind;
        false
    }

    /// Whether a kind that is not served may be so all the same: a definition of its group is there, and nothing of it is served
    /// yet. So it is for a moment after the API server has started.
    fn is_late(&self, kind: &Kind) -> bool {
        let _ = kind;
        false
    }
}

impl Scopes for BTreeMap<Kind, Scope> {
    fn scope(&self, kind: &Kind) -> Option<Scope> {
        self.get(kind).copied()
    }
}
