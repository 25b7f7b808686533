//! Drift tokens: whether somebody changed an object of ours, told from its metadata alone; no client or clock.
//!
//! A token has three parts, all read from the entries of the main resource in `managedFields` (entries of
//! subresources, such as status, are ignored):
//!
//! - *ours*: the fields our manager owns, by Apply or Update. Whoever changes a value we set takes its field from us.
//! - *foreign*: what other managers own outside metadata and status, except the controllers known to write this kind.
//! - *revision*: the generation, or for kinds without one the time of our newest entry.
//!
//! Manager names are chosen by clients and `managedFields` can be rewritten by any updater, so the first two parts
//! protect against accident, not against intent. The revision closes that gap for kinds with a generation, and for
//! kinds with neither generation nor status the resource version does: any write but ours causes one comparison.

use std::fmt;
use std::str::FromStr;

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use tenantry_crds::inventory::InventoryEntry;

use crate::fields::FieldSet;
use crate::object::{FIELD_MANAGER, Kind};

/// One entry of `metadata.managedFields`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ManagedEntry {
    /// Name the writer chose.
    pub manager: String,
    /// `Apply` or `Update`.
    pub operation: String,
    /// Subresource written through, empty for the main resource.
    pub subresource: String,
    /// When the entry last changed, RFC 3339.
    pub time: String,
    /// Fields it owns.
    pub fields_v1: FieldSet,
}

/// What of an object's metadata changes when somebody edits it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Token {
    /// Hash of the fields our manager owns.
    pub ours: u64,
    /// Hash of the fields others own, without metadata, status and known controllers.
    pub foreign: u64,
    /// Generation, or for kinds without one the second of our newest entry.
    pub revision: i64,
}

/// The token after our last write or successful comparison, and what it needs to be judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    /// The token then.
    pub token: Token,
    /// Hash of the fields an Update of ours owns beyond our intent: the defaults a creation filled in. A different
    /// one after an apply means that a field was dropped from the intent and is still held.
    pub leftover: u32,
    /// Resource version then.
    pub resource_version: u64,
}

/// What a token says about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Drift {
    /// Nothing of ours changed.
    None,
    /// A field of ours was taken or released: apply again.
    Ours,
    /// Something else changed: one comparison with the live object tells.
    Rest,
}

// === impl ManagedEntry ===

impl ManagedEntry {
    /// Whether it is about the main resource.
    #[must_use]
    pub fn is_main(&self) -> bool {
        self.subresource.is_empty()
    }

    /// Whether our manager wrote it to the main resource with this operation.
    #[must_use]
    pub fn is_ours(&self, operation: &str) -> bool {
        self.is_main() && self.manager == FIELD_MANAGER && self.operation == operation
    }
}

// === impl Token ===

impl Token {
    /// From the metadata of an object.
    #[must_use]
    pub fn of(kind: &Kind, entries: &[ManagedEntry], generation: Option<i64>) -> Self {
        let mut ours = FieldSet::default();
        let mut foreign = FieldSet::default();
        let mut newest = 0;
        for entry in entries.iter().filter(|entry| entry.is_main()) {
            if entry.manager == FIELD_MANAGER {
                ours.merge(&entry.fields_v1);
                newest = newest.max(second(&entry.time));
            } else if !known_controllers(kind).contains(&entry.manager.as_str()) {
                foreign.merge(&entry.fields_v1.without(&["f:metadata", "f:status"]));
            }
        }
        let (ours, foreign) = (without_replicas(&ours), without_replicas(&foreign));
        let revision = generation.filter(|generation| *generation > 0).unwrap_or(newest);
        Self { ours: ours.hash(), foreign: foreign.hash(), revision }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{:016x}.{}", self.ours, self.foreign, self.revision)
    }
}

// === impl Baseline ===

impl Baseline {
    /// As recorded in an inventory entry; nothing when the object was never written, or the text is not ours.
    #[must_use]
    pub fn of(entry: &InventoryEntry) -> Option<Self> {
        let mut baseline: Self = entry.token.as_deref()?.parse().ok()?;
        baseline.resource_version =
            entry.resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0);
        Some(baseline)
    }

    /// Writes it into an inventory entry. The resource version is kept only for kinds that need it.
    pub fn record(&self, kind: &Kind, entry: &mut InventoryEntry) {
        entry.token = Some(self.to_string());
        entry.resource_version = has_no_other_sign(kind).then(|| self.resource_version.to_string());
    }

    /// What an observed token says against this one.
    #[must_use]
    pub fn drift(&self, kind: &Kind, token: &Token, resource_version: u64) -> Drift {
        if self.token.ours != token.ours {
            Drift::Ours
        } else if self.token != *token
            || (has_no_other_sign(kind) && self.resource_version != resource_version)
        {
            Drift::Rest
        } else {
            Drift::None
        }
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:08x}", self.token, self.leftover)
    }
}

impl FromStr for Baseline {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('.');
        let mut part = || parts.next().unwrap_or_default();
        let ours = u64::from_str_radix(part(), 16)?;
        let foreign = u64::from_str_radix(part(), 16)?;
        let revision = part().parse()?;
        let leftover = u32::from_str_radix(part(), 16)?;
        Ok(Self { token: Token { ours, foreign, revision }, leftover, resource_version: 0 })
    }
}

/// A creation owns the replicas it was given by default, and scaling takes them from us. Whether they are ours to
/// keep is for the comparison to say, to which the generation leads: every kind that scales has one.
fn without_replicas(set: &FieldSet) -> FieldSet {
    set.filter(&mut |step, below| {
        Some(if step == "f:spec" { below.without(&["f:replicas"]) } else { below.clone() })
    })
}

/// Kinds with neither generation nor status: only the resource version shows a rewrite of `managedFields`.
#[must_use]
pub fn has_no_other_sign(kind: &Kind) -> bool {
    matches!(
        (kind.group(), kind.name()),
        ("", "ConfigMap" | "ServiceAccount" | "LimitRange")
            | ("rbac.authorization.k8s.io", "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding")
            | ("scheduling.k8s.io", "PriorityClass")
            | ("storage.k8s.io", "StorageClass")
    )
}

/// Controllers of Kubernetes that write the main resource of a kind as part of its normal life.
#[must_use]
pub fn known_controllers(kind: &Kind) -> &'static [&'static str] {
    match (kind.group(), kind.name()) {
        ("", "PersistentVolumeClaim") => &["kube-controller-manager", "kube-scheduler"],
        ("", "Service") => &["kube-controller-manager", "cloud-controller-manager"],
        ("", "Namespace" | "ServiceAccount" | "ResourceQuota") | ("apps" | "batch" | "policy", _) => {
            &["kube-controller-manager"]
        }
        _ => &[],
    }
}

fn second(time: &str) -> i64 {
    time.parse::<Timestamp>().map_or(0, Timestamp::as_second)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    pub(crate) fn entry(manager: &str, operation: &str, subresource: &str, fields: Value) -> ManagedEntry {
        serde_json::from_value(json!({
            "manager": manager, "operation": operation, "subresource": subresource, "apiVersion": "apps/v1",
            "time": "2026-11-24T10:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields,
        }))
        .unwrap()
    }

    fn deployment() -> Kind {
        Kind::parse("apps/v1/Deployment").unwrap()
    }

    fn ours() -> ManagedEntry {
        entry("tenantry", "Update", "", json!({"f:spec": {"f:replicas": {}, "f:paused": {}}}))
    }

    fn drift(kind: &Kind, before: &[ManagedEntry], after: &[ManagedEntry], generations: (i64, i64)) -> Drift {
        let baseline =
            Baseline { token: Token::of(kind, before, Some(generations.0)), ..Baseline::default() };
        baseline.drift(kind, &Token::of(kind, after, Some(generations.1)), 0)
    }

    #[test]
    fn who_writes_what_decides() {
        let kind = deployment();
        let status =
            entry("kube-controller-manager", "Update", "status", json!({"f:status": {"f:replicas": {}}}));
        let scale =
            entry("kube-controller-manager", "Update", "scale", json!({"f:spec": {"f:replicas": {}}}));
        let label = entry("kubectl-label", "Update", "", json!({"f:metadata": {"f:labels": {"f:team": {}}}}));
        let sidecar = entry("kubectl-edit", "Update", "", json!({"f:spec": {"f:template": {}}}));
        let unscaled = entry("tenantry", "Update", "", json!({"f:spec": {"f:paused": {}}}));
        let taken = entry("tenantry", "Update", "", json!({"f:spec": {"f:replicas": {}}}));
        let controller =
            entry("kube-controller-manager", "Update", "", json!({"f:spec": {"f:template": {}}}));
        let same = (1, 1);
        let cases = [
            ("nothing", vec![ours()], same, Drift::None),
            ("status", vec![ours(), status], same, Drift::None),
            ("foreign label", vec![ours(), label], same, Drift::None),
            ("scaled, replicas not ours", vec![ours(), scale.clone()], (1, 2), Drift::Rest),
            ("scaled, replicas ours", vec![unscaled, scale], (1, 2), Drift::Rest),
            ("sidecar", vec![ours(), sidecar.clone()], (1, 2), Drift::Rest),
            ("value taken", vec![taken, sidecar], (1, 2), Drift::Ours),
            ("known controller", vec![ours(), controller.clone()], same, Drift::None),
            ("somebody with a controller's name", vec![ours(), controller], (1, 2), Drift::Rest),
            ("managed fields cleared", vec![], same, Drift::Ours),
        ];
        for (what, after, generations, expected) in cases {
            assert_eq!(drift(&kind, &[ours()], &after, generations), expected, "{what}");
        }
    }

    #[test]
    fn moving_a_field_between_our_update_and_our_apply_is_no_drift() {
        let apply = entry("tenantry", "Apply", "", json!({"f:spec": {"f:replicas": {}}}));
        let rest = entry("tenantry", "Update", "", json!({"f:spec": {"f:paused": {}}}));
        assert_eq!(drift(&deployment(), &[ours()], &[apply, rest], (1, 1)), Drift::None);
    }

    #[test]
    fn a_kind_without_generation_shows_a_write_in_our_name_by_its_time() {
        let kind = Kind::parse("v1/Service").unwrap();
        let before = Token::of(&kind, &[ours()], None);
        let mut later = ours();
        later.time = "2026-11-24T10:00:01Z".into();
        let baseline = Baseline { token: before, ..Baseline::default() };
        assert_eq!(baseline.drift(&kind, &Token::of(&kind, &[later], None), 0), Drift::Rest);
    }

    #[test]
    fn only_kinds_without_any_other_sign_are_judged_by_resource_version() {
        let token = Token::of(&deployment(), &[ours()], Some(1));
        let baseline = Baseline { token, leftover: 0, resource_version: 7 };
        assert_eq!(baseline.drift(&deployment(), &token, 8), Drift::None);
        let role = Kind::parse("rbac.authorization.k8s.io/v1/Role").unwrap();
        assert_eq!(baseline.drift(&role, &token, 8), Drift::Rest);
        assert_eq!(baseline.drift(&role, &token, 7), Drift::None);
    }

    fn recorded() -> InventoryEntry {
        serde_json::from_value(json!({"kind": "v1/ConfigMap", "name": "a", "item": "i", "state": "Live"}))
            .unwrap()
    }

    #[test]
    fn foreign_text_in_the_record_is_no_baseline() {
        for text in ["", "abc", "1.2", "1.2.3", "x.2.3.4"] {
            let entry = InventoryEntry { token: Some(text.into()), ..recorded() };
            assert_eq!(Baseline::of(&entry), None, "{text}");
        }
        assert_eq!(Baseline::of(&recorded()), None);
    }

    proptest! {
        #[test]
        fn a_baseline_survives_its_record(
            ours: u64, foreign: u64, revision: i64, leftover: u32, resource_version: u64,
        ) {
            let kind = Kind::parse("v1/ConfigMap").unwrap();
            let baseline = Baseline { token: Token { ours, foreign, revision }, leftover, resource_version };
            let mut entry = recorded();
            baseline.record(&kind, &mut entry);
            prop_assert_eq!(Baseline::of(&entry), Some(baseline));
            // The record's schema allows 64 characters.
            prop_assert!(entry.token.unwrap().len() <= 64);
        }
    }
}
