//! What each node of a dedicated pool carries about whose it is; pure.
//!
//! A label that only the controller may set selects the node for one tenant, and a taint keeps everybody else away. Nodes
//! carry the taint from the moment they belong to the pool, so that nothing lands on one before it is given to somebody; it
//! counts as free only once it was seen empty after that.

use crate::pool::Pool;
use std::collections::BTreeMap;
use tenantry_crds::pool::Tenancy;

/// Label of a node that is one tenant's: the tenant's identity. The prefix is one that no kubelet may set on its own node
/// (Kubernetes, NodeRestriction).
pub const TENANT_LABEL: &str = "node-restriction.kubernetes.io/tenantry-tenant";
/// Taint of every node of a dedicated pool: the tenant's identity, or one of the words for nobody's.
pub const TAINT: &str = "node-restriction.kubernetes.io/tenantry-dedicated";
/// Value of the taint of a node that was not seen empty yet. Nodes are born with it where their maker puts taints on them.
pub(crate) const ENROLLING: &str = "enrolling";
/// Value of the taint of a node that is nobody's.
const FREE: &str = "free";
/// Value of the taint of a node that was a tenant's and is not cleaned yet.
const QUARANTINED: &str = "quarantined";

/// Whose a node is, as it says itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// It says nothing.
    #[default]
    None,
    /// Nobody's, and not seen empty yet.
    Enrolling,
    /// Nobody's, and seen empty.
    Free,
    /// One tenant's.
    Tenant(String),
    /// One tenant's who leaves it: what is there of it stays, and nothing new gets there.
    Leaving(String),
    /// Nobody's before it is cleaned.
    Quarantined,
}

// === impl Mark ===

impl Mark {
    /// What label and taint of a node say. A label without its taint, or with that of another, says nothing: it is put right.
    /// A tenant's taint without the label keeps everybody away, and what the tenant starts as well.
    #[must_use]
    pub fn read(label: Option<&str>, taint: Option<&str>) -> Self {
        match (taint, label) {
            (Some(ENROLLING), None) => Self::Enrolling,
            (Some(FREE), None) => Self::Free,
            (Some(QUARANTINED), None) => Self::Quarantined,
            (Some(taint), Some(label)) if taint == label => Self::Tenant(label.to_owned()),
            (Some(taint), None) if !taint.is_empty() => Self::Leaving(taint.to_owned()),
            _ => Self::None,
        }
    }

    /// Value of the label; none for a node that is nobody's.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        match self {
            Self::Tenant(id) => Some(id),
            Self::None | Self::Enrolling | Self::Free | Self::Leaving(_) | Self::Quarantined => None,
        }
    }

    /// Value of the taint; none for a node of no dedicated pool.
    #[must_use]
    pub fn taint(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Enrolling => Some(ENROLLING),
            Self::Free => Some(FREE),
            Self::Tenant(id) | Self::Leaving(id) => Some(id),
            Self::Quarantined => Some(QUARANTINED),
        }
    }
}

/// What each node has to carry that carries something else now, by name.
#[must_use]
pub fn marks(pool: &Pool) -> BTreeMap<String, Mark> {
    let mut owners: BTreeMap<&str, Mark> = BTreeMap::new();
    for (tenant, held) in &pool.reservations {
        for node in held.nodes.iter().filter(|node| pool.is_there(node)) {
            let mark = if held.leaving.contains(&node.name) { Mark::Leaving } else { Mark::Tenant };
            owners.insert(&node.name, mark(tenant.clone()));
        }
    }
    let wanted = |name: &str, uid: &str, mark: &Mark| {
        if pool.tenancy == Tenancy::Shared {
            return Mark::None;
        }
        if let Some(owner) = owners.get(name) {
            return owner.clone();
        }
        if pool.quarantined.get(name).is_some_and(|quarantine| quarantine.uid == uid) {
            return Mark::Quarantined;
        }
        match mark {
            Mark::Free => Mark::Free,
            // Whose it was is gone, or it was cleaned: it has to be seen empty first.
            Mark::None | Mark::Enrolling | Mark::Tenant(_) | Mark::Leaving(_) | Mark::Quarantined => {
                Mark::Enrolling
            }
        }
    };
    let all = pool.nodes.iter().map(|(name, node)| (name, node, wanted(name, &node.uid, &node.mark)));
    all.filter(|(_, node, wanted)| node.mark != *wanted)
        .map(|(name, _, wanted)| (name.clone(), wanted))
        .collect()
}

// What the record does not say is read off the nodes: see `record::restore`.
