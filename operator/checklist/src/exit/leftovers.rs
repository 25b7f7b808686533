//! What could not be removed at the end of a subscription, and who removes it later; pure.

use serde::{Deserialize, Serialize};
use tenantry_crds::inventory::{EntryState, Inventory, InventoryEntry};

/// One object that outlives its tenant although it shall not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leftover {
    /// Kind, such as `apps/v1/Deployment`.
    pub kind: String,
    /// Namespace of it; none for what is cluster-scoped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// UID: another object of that name is somebody else's.
    pub uid: String,
}

/// What of a record is left when a subscription ends without it. What lies in a namespace that is left itself goes with that;
/// what was never seen to exist has no UID to remove it by, and is in there as well.
#[must_use]
pub fn leftovers(
    inventory: &Inventory,
    namespace: &str,
    is_namespaced: impl Fn(&InventoryEntry) -> bool,
) -> Vec<Leftover> {
    let is_left = |entry: &&InventoryEntry| entry.state != EntryState::Kept;
    let ends = |entry: &InventoryEntry| entry.kind == "v1/Namespace" && entry.name == namespace;
    let with_namespace = inventory.objects.iter().filter(is_left).any(ends);
    let mut left: Vec<Leftover> = inventory
        .objects
        .iter()
        .filter(is_left)
        .filter_map(|entry| {
            let namespaced = is_namespaced(entry);
            Some(Leftover {
                kind: entry.kind.clone(),
                namespace: namespaced.then(|| namespace.to_owned()),
                name: entry.name.clone(),
                uid: entry.uid.clone().filter(|_| !(namespaced && with_namespace))?,
            })
        })
        .collect();
    left.sort();
    left
}

// === impl Leftover ===

impl Leftover {
    /// What makes it one, in the ids of the journal.
    #[must_use]
    pub fn key(&self) -> String {
        format!("leftover/{}", self.uid)
    }
}
