//! Keeping the write-ahead inventory: what is added before a creation and what an answer changes; no client or clock.

use std::collections::HashMap;

use tenantry_crds::inventory::{EntryState, Inventory, InventoryEntry};

use crate::object::{Desired, Kind, ObjectId, Owner};
use crate::scope::{Scope, Scopes};
use crate::token::Baseline;

/// Most objects an inventory holds; its schema refuses more.
pub const MAX_OBJECTS: usize = 512;

/// An inventory in which entries are found by identity.
///
/// An entry holds no namespace: it is the tenant's for namespaced kinds. Kind and name are therefore the identity.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    inventory: Inventory,
    places: HashMap<(Kind, String), usize>,
}

impl Ledger {
    /// Takes an inventory as recorded. Entries of a kind that cannot be read are kept and never acted on.
    #[must_use]
    pub fn new(inventory: Inventory) -> Self {
        let places = places(&inventory);
        Self { inventory, places }
    }

    /// The inventory to persist.
    #[must_use]
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// The inventory to persist, taken out.
    #[must_use]
    pub fn into_inventory(self) -> Inventory {
        self.inventory
    }

    /// The entry of an object.
    #[must_use]
    pub fn entry(&self, id: &ObjectId) -> Option<&InventoryEntry> {
        let place = self.places.get(&(id.kind.clone(), id.name.to_string()))?;
        self.inventory.objects.get(*place)
    }

    /// Whether the object is recorded.
    #[must_use]
    pub fn holds(&self, id: &ObjectId) -> bool {
        self.entry(id).is_some()
    }

    /// Adds what may come to exist, as pending.
    pub fn add(&mut self, desired: &Desired) {
        if self.holds(&desired.id) {
            return;
        }
        self.places
            .insert((desired.id.kind.clone(), desired.id.name.to_string()), self.inventory.objects.len());
        self.inventory.objects.push(InventoryEntry {
            kind: desired.id.kind.to_string(),
            name: desired.id.name.to_string(),
            item: desired.item.clone(),
            state: EntryState::Pending,
            uid: None,
            digest: None,
            token: None,
            resource_version: None,
        });
    }

    /// Names the order the record is a superset of.
    pub fn set_order(&mut self, order: &str) {
        order.clone_into(&mut self.inventory.order);
    }

    /// The object exists with this uid, as last sent with this digest.
    pub fn live(&mut self, id: &ObjectId, item: &str, uid: &str, digest: &str, baseline: &Baseline) {
        let Some(entry) = self.entry_mut(id) else { return };
        entry.state = EntryState::Live;
        item.clone_into(&mut entry.item);
        entry.uid = Some(uid.to_owned());
        entry.digest = Some(digest.to_owned());
        baseline.record(&id.kind, entry);
    }

    /// A deletion was sent for the object with this uid.
    pub fn deleting(&mut self, id: &ObjectId, uid: &str) {
        if let Some(entry) = self.entry_mut(id) {
            entry.state = EntryState::Deleting;
            entry.uid = Some(uid.to_owned());
        }
    }

    /// The object is left in place on purpose.
    pub fn keep(&mut self, id: &ObjectId) {
        if let Some(entry) = self.entry_mut(id) {
            entry.state = EntryState::Kept;
        }
    }

    /// The object's absence was observed.
    pub fn forget(&mut self, id: &ObjectId) {
        if let Some(place) = self.places.get(&(id.kind.clone(), id.name.to_string())).copied() {
            self.inventory.objects.remove(place);
            self.places = places(&self.inventory);
        }
    }

    fn entry_mut(&mut self, id: &ObjectId) -> Option<&mut InventoryEntry> {
        let place = self.places.get(&(id.kind.clone(), id.name.to_string()))?;
        self.inventory.objects.get_mut(*place)
    }
}

/// The identities of everything recorded. Entries of a kind that cannot be read have none.
#[must_use]
pub fn identities(inventory: &Inventory, owner: &Owner, scopes: &dyn Scopes) -> Vec<ObjectId> {
    let read = |entry: &InventoryEntry| {
        let kind = Kind::parse(&entry.kind)?;
        Some(identity(&kind, entry, scopes.scope(&kind), owner))
    };
    inventory.objects.iter().filter_map(read).collect()
}

/// Identity of a recorded object: the entry holds no namespace, its kind's scope tells.
pub(crate) fn identity(kind: &Kind, entry: &InventoryEntry, scope: Option<Scope>, owner: &Owner) -> ObjectId {
    let namespace = (scope != Some(Scope::Cluster)).then_some(&*owner.namespace);
    ObjectId::new(kind.clone(), namespace, &entry.name)
}

/// Whether two inventories differ in anything a crash would miss.
///
/// What of a token tells of others' writes, and a resource version, do not count: they save a comparison after a
/// restart, and are persisted with the next write that has another reason. So the repair of drifted objects costs no
/// status write. Which fields are ours does count. An apply owns more than the creation did, where a value is an empty
/// map, and the next leader would take that for drift and apply once more.
#[must_use]
pub fn differs_materially(before: &Inventory, after: &Inventory) -> bool {
    let bare =
        |entry: &InventoryEntry| InventoryEntry { token: None, resource_version: None, ..entry.clone() };
    let ours = |entry: &InventoryEntry| Baseline::of(entry).map(|baseline| baseline.token.ours);
    let differ =
        |(one, two): (&InventoryEntry, &InventoryEntry)| bare(one) != bare(two) || ours(one) != ours(two);
    before.order != after.order
        || before.objects.len() != after.objects.len()
        || before.objects.iter().zip(&after.objects).any(differ)
}

fn places(inventory: &Inventory) -> HashMap<(Kind, String), usize> {
    let read = |(place, entry): (usize, &InventoryEntry)| {
        Some(((Kind::parse(&entry.kind)?, entry.name.clone()), place))
    };
    inventory.objects.iter().enumerate().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::{Owner, Stage};
    use crate::token::Token;

    fn desired(name: &str) -> Desired {
        let owner = Owner { tenant_id: "t".into(), subscription: "s".into(), namespace: "n".into() };
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        Desired::new(&owner, "item", Stage::Ordinary, true, body).unwrap()
    }

    #[test]
    fn an_object_is_pending_then_live_then_gone() {
        let mut ledger = Ledger::default();
        let (a, b) = (desired("a"), desired("b"));
        ledger.add(&a);
        ledger.add(&b);
        ledger.add(&a);
        assert_eq!(ledger.inventory().objects.len(), 2);
        assert_eq!(ledger.entry(&a.id).unwrap().state, EntryState::Pending);
        ledger.live(&b.id, "other", "u", "d", &Baseline { resource_version: 7, ..Baseline::default() });
        let entry = ledger.entry(&b.id).unwrap();
        assert_eq!(
            (entry.state, entry.uid.as_deref(), entry.digest.as_deref()),
            (EntryState::Live, Some("u"), Some("d"))
        );
        assert_eq!((entry.item.as_str(), entry.resource_version.as_deref()), ("other", Some("7")));
        ledger.forget(&a.id);
        assert!(!ledger.holds(&a.id));
        assert_eq!(ledger.entry(&b.id).unwrap().uid.as_deref(), Some("u"));
        ledger.deleting(&b.id, "u");
        assert_eq!(ledger.entry(&b.id).unwrap().state, EntryState::Deleting);
    }

    #[test]
    fn of_a_token_only_the_fields_that_are_ours_are_a_reason_to_write() {
        let mut before = Ledger::default();
        before.add(&desired("a"));
        let id = desired("a").id;
        before.live(&id, "item", "u", "d", &Baseline::default());
        let differs = |token: Token| {
            let mut after = before.clone();
            after.live(&id, "item", "u", "d", &Baseline { token, leftover: 1, resource_version: 9 });
            assert_ne!(before.inventory(), after.inventory());
            differs_materially(before.inventory(), after.inventory())
        };
        assert!(!differs(Token { ours: 0, foreign: 2, revision: 3 }));
        assert!(differs(Token { ours: 1, foreign: 0, revision: 0 }));
        let mut after = before.clone();
        after.live(&id, "item", "u2", "d", &Baseline::default());
        assert!(differs_materially(before.inventory(), after.inventory()));
    }
}
