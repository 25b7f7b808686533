//! What people say about subscriptions in objects of their own, as last observed, by the subscription; no client or clock.

use kube::Resource;
use kube::core::object::HasSpec;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{PoisonError, RwLock};
use tenantry_checklist::saying::{About, Saying};
use tenantry_checklist::time;

/// Every object of one kind. What is said is about one object, not about a name: what was said of an earlier subscription of
/// a name says nothing about a later one.
#[derive(Debug)]
pub(crate) struct Sayings<S> {
    by_subscription: RwLock<HashMap<String, BTreeMap<String, Saying<S>>>>,
}

impl<S> Default for Sayings<S> {
    fn default() -> Self {
        Self { by_subscription: RwLock::default() }
    }
}

// === impl Sayings ===

impl<S: About + Clone + PartialEq> Sayings<S> {
    /// Takes in an object. Gives the name of the subscription that has to look at it.
    pub(crate) fn observe<K: Resource + HasSpec<Spec = S>>(&self, object: &K) -> Option<String> {
        let metadata = object.meta();
        let name = metadata.name.clone()?;
        let uid = metadata.uid.clone().unwrap_or_default();
        let at = time::instant(metadata.creation_timestamp.as_ref()?);
        let reference = object.spec().about().clone();
        let said = Saying { name: name.clone(), uid, at, spec: object.spec().clone() };
        let mut all = self.by_subscription.write().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(reference.uid).or_default();
        if known.get(&name) == Some(&said) {
            return None;
        }
        known.insert(name, said);
        Some(reference.name)
    }

    /// Forgets an object that is gone. Gives the name of the subscription that has to look.
    pub(crate) fn remove<K: Resource + HasSpec<Spec = S>>(&self, object: &K) -> Option<String> {
        let name = object.meta().name.as_ref()?;
        let reference = object.spec().about();
        let mut all = self.by_subscription.write().unwrap_or_else(PoisonError::into_inner);
        let known = all.get_mut(&reference.uid)?;
        known.remove(name)?;
        if known.is_empty() {
            all.remove(&reference.uid);
        }
        Some(reference.name.clone())
    }

    /// Forgets every object whose UID is not in `uids`, after a relist: a name may be that of another object by now, about
    /// another subscription. Gives the subscriptions that have to look.
    pub(crate) fn retain(&self, uids: &HashSet<String>) -> Vec<String> {
        let mut all = self.by_subscription.write().unwrap_or_else(PoisonError::into_inner);
        let mut touched = Vec::new();
        for known in all.values_mut() {
            known.retain(|_, said| {
                let stays = uids.contains(&said.uid);
                if !stays {
                    touched.push(said.spec.about().name.clone());
                }
                stays
            });
        }
        all.retain(|_, known| !known.is_empty());
        touched.sort();
        touched.dedup();
        touched
    }

    /// What is said about the subscription with this UID, sorted by name.
    #[must_use]
    pub(crate) fn of(&self, uid: &str) -> Vec<Saying<S>> {
        let all = self.by_subscription.read().unwrap_or_else(PoisonError::into_inner);
        all.get(uid).map(|known| known.values().cloned().collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tenantry_crds::TenantSignOff;
    use tenantry_crds::sign_off::TenantSignOffSpec;

    fn signed(name: &str, uid: &str) -> TenantSignOff {
        serde_json::from_value(json!({
            "apiVersion": "tenantry.io/v1alpha1", "kind": "TenantSignOff",
            "metadata": {"name": name, "uid": format!("{name}-{uid}"), "creationTimestamp": "2026-12-01T06:00:00Z"},
            "spec": {"subscriptionRef": {"name": "acme", "uid": uid}, "item": "training", "as": "Customer",
                "orderDigest": "d1", "by": "ada"},
        }))
        .unwrap()
    }

    fn names(known: &Sayings<TenantSignOffSpec>, uid: &str) -> Vec<String> {
        known.of(uid).into_iter().map(|signed| signed.name).collect()
    }

    #[test]
    fn signatures_belong_to_one_object_and_wake_it_once() {
        let known = Sayings::default();
        assert_eq!(known.observe(&signed("a", "u1")).as_deref(), Some("acme"));
        assert_eq!(known.observe(&signed("a", "u1")), None, "the same again is no news");
        known.observe(&signed("b", "u2"));
        assert_eq!((names(&known, "u1"), names(&known, "u2")), (vec!["a".to_owned()], vec!["b".to_owned()]));
        assert_eq!(known.remove(&signed("a", "u1")).as_deref(), Some("acme"));
        assert_eq!(known.remove(&signed("a", "u1")), None);
        known.observe(&signed("c", "u2"));
        assert_eq!(known.retain(&HashSet::from(["c-u2".to_owned()])), ["acme"]);
        assert_eq!(names(&known, "u2"), ["c"]);
    }

    #[test]
    fn after_a_relist_a_name_that_is_about_somebody_else_says_nothing_about_who_had_it() {
        let known = Sayings::default();
        known.observe(&signed("a", "u1"));
        known.observe(&signed("a", "u2"));
        assert_eq!(known.retain(&HashSet::from(["a-u2".to_owned()])), ["acme"]);
        assert_eq!((names(&known, "u1"), names(&known, "u2")), (Vec::new(), vec!["a".to_owned()]));
    }
}
