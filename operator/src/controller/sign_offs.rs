//! Signatures as last observed, by the subscription they are for; no client or clock.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{PoisonError, RwLock};
use tenantry_checklist::sign_off::Signed;
use tenantry_checklist::time;
use tenantry_crds::TenantSignOff;

/// Every signature. A signature is for one object, not for a name: what was signed for an earlier subscription of a name
/// says nothing about a later one.
#[derive(Debug, Default)]
pub(crate) struct SignOffs {
    by_subscription: RwLock<HashMap<String, BTreeMap<String, Signed>>>,
}

// === impl SignOffs ===

impl SignOffs {
    /// Takes in a signature. Gives the name of the subscription that has to look at it.
    pub(crate) fn observe(&self, object: TenantSignOff) -> Option<String> {
        let name = object.metadata.name?;
        let uid = object.metadata.uid.unwrap_or_default();
        let at = time::instant(object.metadata.creation_timestamp.as_ref()?);
        let reference = object.spec.subscription_ref.clone();
        let signed = Signed { name: name.clone(), uid, at, spec: object.spec };
        let mut all = self.by_subscription.write().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(reference.uid).or_default();
        if known.get(&name) == Some(&signed) {
            return None;
        }
        known.insert(name, signed);
        Some(reference.name)
    }

    /// Forgets a signature that is gone. Gives the name of the subscription that has to look.
    pub(crate) fn remove(&self, object: &TenantSignOff) -> Option<String> {
        let name = object.metadata.name.as_ref()?;
        let reference = &object.spec.subscription_ref;
        let mut all = self.by_subscription.write().unwrap_or_else(PoisonError::into_inner);
        let known = all.get_mut(&reference.uid)?;
        known.remove(name)?;
        if known.is_empty() {
            all.remove(&reference.uid);
        }
        Some(reference.name.clone())
    }

    /// Forgets every signature that is not in `names`, after a relist. Gives the subscriptions that have to look.
    pub(crate) fn retain(&self, names: &HashSet<String>) -> Vec<String> {
        let mut all = self.by_subscription.write().unwrap_or_else(PoisonError::into_inner);
        let mut touched = Vec::new();
        for known in all.values_mut() {
            known.retain(|name, signed| {
                let stays = names.contains(name);
                if !stays {
                    touched.push(signed.spec.subscription_ref.name.clone());
                }
                stays
            });
        }
        all.retain(|_, known| !known.is_empty());
        touched.sort();
        touched.dedup();
        touched
    }

    /// The signatures for the subscription with this UID, sorted by name.
    #[must_use]
    pub(crate) fn of(&self, uid: &str) -> Vec<Signed> {
        let all = self.by_subscription.read().unwrap_or_else(PoisonError::into_inner);
        all.get(uid).map(|known| known.values().cloned().collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn signed(name: &str, uid: &str) -> TenantSignOff {
        serde_json::from_value(json!({
            "apiVersion": "tenantry.io/v1alpha1", "kind": "TenantSignOff",
            "metadata": {"name": name, "creationTimestamp": "2026-12-01T06:00:00Z"},
            "spec": {"subscriptionRef": {"name": "acme", "uid": uid}, "item": "training", "as": "Customer",
                "orderDigest": "d1", "by": "ada"},
        }))
        .unwrap()
    }

    fn names(known: &SignOffs, uid: &str) -> Vec<String> {
        known.of(uid).into_iter().map(|signed| signed.name).collect()
    }

    #[test]
    fn signatures_belong_to_one_object_and_wake_it_once() {
        let known = SignOffs::default();
        assert_eq!(known.observe(signed("a", "u1")).as_deref(), Some("acme"));
        assert_eq!(known.observe(signed("a", "u1")), None, "the same again is no news");
        known.observe(signed("b", "u2"));
        assert_eq!((names(&known, "u1"), names(&known, "u2")), (vec!["a".to_owned()], vec!["b".to_owned()]));
        assert_eq!(known.remove(&signed("a", "u1")).as_deref(), Some("acme"));
        assert_eq!(known.remove(&signed("a", "u1")), None);
        known.observe(signed("c", "u2"));
        assert_eq!(known.retain(&HashSet::from(["c".to_owned()])), ["acme"]);
        assert_eq!(names(&known, "u2"), ["c"]);
    }
}
