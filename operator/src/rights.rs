//! Which rights an object set needs and which of them are missing; no client or clock.
//!
//! The controller holds no rights over kinds that nobody installed a fragment for. What is missing is found before
//! the first write, so that an order is refused as a whole and with the remedy, instead of failing half-way.

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tenantry_apply::object::Kind;

/// Group of the role-based access control API.
const RBAC: &str = "rbac.authorization.k8s.io";

/// ClusterRole bound in each tenant's namespace; aggregated from fragments.
pub(crate) const MANAGER_ROLE: &str = "tenantry-tenant-manager";
/// ClusterRole bound cluster-wide, for watches; aggregated from fragments.
pub(crate) const WATCHER_ROLE: &str = "tenantry-watcher";
/// Verbs that managing an object takes: creating, comparing, applying, replacing and deleting it.
pub(crate) const MANAGER_VERBS: [&str; 5] = ["create", "get", "patch", "update", "delete"];
/// Verbs that observing a kind takes.
pub(crate) const WATCHER_VERBS: [&str; 2] = ["list", "watch"];

/// A kind of object as RBAC names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Resource {
    /// API group, empty for the core group.
    pub(crate) group: String,
    /// Plural name.
    pub(crate) plural: String,
}

/// Rights of the two aggregated ClusterRoles.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rights {
    /// Rules of the role bound in each tenant's namespace.
    pub(crate) manager: Vec<PolicyRule>,
    /// Rules of the role bound cluster-wide.
    pub(crate) watcher: Vec<PolicyRule>,
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.group.as_str() {
            "" => f.write_str(&self.plural),
            group => write!(f, "{}.{group}", self.plural),
        }
    }
}

/// Verbs by resource.
pub(crate) type Wanted = BTreeMap<Resource, BTreeSet<String>>;

/// What an object set needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// In the tenant's namespace.
    pub(crate) manager: Wanted,
    /// Cluster-wide, for watches.
    pub(crate) watcher: Wanted,
}

// === impl Needs ===

impl Needs {
    /// Takes in that objects of a kind are made, observed and kept. Secrets, namespaces and role bindings are not counted:
    /// the controller has narrower rights of its own over them.
    pub(crate) fn add_kind(&mut self, kind: &Kind, resource: &Resource) {
        if kind.is_namespace() || kind.is_secret() || kind.is(RBAC, "RoleBinding") {
            return;
        }
        let words = |verbs: &[&str]| verbs.iter().map(|&verb| verb.to_owned()).collect::<BTreeSet<_>>();
        self.manager.entry(resource.clone()).or_default().extend(words(&MANAGER_VERBS));
        self.watcher.entry(resource.clone()).or_default().extend(words(&WATCHER_VERBS));
    }

    /// Takes in that objects of a kind are observed, which others make and keep.
    pub(crate) fn add_observed(&mut self, resource: Resource) {
        self.watcher.entry(resource).or_default().extend(WATCHER_VERBS.map(str::to_owned));
    }

    /// Takes in that jobs are run, and results read from the pods that are kept for them.
    pub(crate) fn add_jobs(&mut self) {
        let job = Resource { group: "batch".to_owned(), plural: "jobs".to_owned() };
        self.add_kind(&Kind::new("batch", "v1", "Job"), &job);
        let pods = Resource { group: String::new(), plural: "pods".to_owned() };
        self.manager.entry(pods).or_default().extend(["list", "patch"].map(str::to_owned));
    }

    /// Takes in what a Role gives: the API server lets nobody give rights that he does not hold himself (Kubernetes,
    /// privilege escalation prevention).
    pub(crate) fn add_role(&mut self, role: &Value) {
        let words = |rule: &Value, field: &str| -> Vec<String> {
            let list = rule.get(field).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        for rule in role.get("rules").and_then(Value::as_array).into_iter().flatten() {
            for group in words(rule, "apiGroups") {
                for plural in words(rule, "resources") {
                    let resource = Resource { group: group.clone(), plural };
                    self.manager.entry(resource).or_default().extend(words(rule, "verbs"));
                }
            }
        }
    }

    /// Whether nothing is needed.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.manager.is_empty() && self.watcher.is_empty()
    }

    /// The ClusterRoles that give it; they join the aggregated roles by their labels.
    #[must_use]
    pub(crate) fn cluster_roles(&self, name: &str) -> Vec<Value> {
        let parts = [("tenant-manager", &self.manager), ("watcher", &self.watcher)];
        let role = |(suffix, wanted): (&str, &Wanted)| {
            let rule = |(Resource { group, plural }, verbs): (&Resource, &BTreeSet<String>)| json!({"apiGroups": [group], "resources": [plural], "verbs": verbs});
            let label = format!("tenantry.io/aggregate-to-{suffix}");
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "metadata": {"name": format!("tenantry-{name}-{suffix}"), "labels": {label: "true"}},
                "rules": wanted.iter().map(rule).collect::<Vec<_>>(),
            })
        };
        parts.into_iter().filter(|(_, wanted)| !wanted.is_empty()).map(role).collect()
    }
}

// === impl Rights ===

impl Rights {
    /// What of `needs` is not held.
    #[must_use]
    pub(crate) fn missing(&self, needs: &Needs) -> Needs {
        let lacks = |rules: &[PolicyRule], wanted: &Wanted| {
            let missing = wanted.iter().map(|(resource, verbs)| {
                let verbs = verbs.iter().filter(|verb| !allows(rules, resource, verb)).cloned();
                (resource.clone(), verbs.collect::<BTreeSet<_>>())
            });
            missing.filter(|(_, verbs)| !verbs.is_empty()).collect()
        };
        Needs { manager: lacks(&self.manager, &needs.manager), watcher: lacks(&self.watcher, &needs.watcher) }
    }
}

fn allows(rules: &[PolicyRule], resource: &Resource, verb: &str) -> bool {
    let has = |list: &Option<Vec<String>>, wanted: &str| {
        list.iter().flatten().any(|entry| entry == "*" || entry == wanted)
    };
    rules.iter().any(|rule| {
        has(&rule.api_groups, &resource.group)
            && has(&rule.resources, &resource.plural)
            && rule.verbs.iter().any(|entry| entry == "*" || entry == verb)
            && rule.resource_names.as_ref().is_none_or(Vec::is_empty)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(group: &str, plural: &str) -> Resource {
        Resource { group: group.to_owned(), plural: plural.to_owned() }
    }

    fn rule(group: &str, plural: &str, verbs: &[&str]) -> PolicyRule {
        PolicyRule {
            api_groups: Some(vec![group.to_owned()]),
            resources: Some(vec![plural.to_owned()]),
            verbs: verbs.iter().map(|&v| v.to_owned()).collect(),
            ..PolicyRule::default()
        }
    }

    fn needs(kinds: &[(&str, &str, &str)]) -> Needs {
        let mut needs = Needs::default();
        for (api_version, kind, plural) in kinds {
            let kind = Kind::from_api_version(api_version, kind);
            let group = api_version.split_once('/').map_or("", |(group, _)| group);
            needs.add_kind(&kind, &resource(group, plural));
        }
        needs
    }

    #[test]
    fn a_right_may_come_from_several_rules_and_one_missing_verb_is_found() {
        let rights = Rights {
            manager: vec![
                rule("apps", "deployments", &["create", "get"]),
                rule("apps", "deployments", &["patch", "update", "delete"]),
                rule("batch", "jobs", &["create", "get", "patch", "update"]),
            ],
            watcher: vec![rule("apps", "deployments", &["list", "watch"])],
        };
        let needs = needs(&[("apps/v1", "Deployment", "deployments"), ("batch/v1", "Job", "jobs")]);
        let missing = rights.missing(&needs);
        let words = |verbs: &[&str]| verbs.iter().map(|&verb| verb.to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(missing.manager, Wanted::from([(resource("batch", "jobs"), words(&["delete"]))]));
        assert_eq!(missing.watcher, Wanted::from([(resource("batch", "jobs"), words(&["list", "watch"]))]));
    }

    #[test]
    fn a_rule_for_single_names_is_no_right_over_the_kind() {
        let mut named = rule("", "configmaps", &MANAGER_VERBS);
        named.resource_names = Some(vec!["one".to_owned()]);
        let rights = Rights { manager: vec![named], watcher: Vec::new() };
        let needs = needs(&[("v1", "ConfigMap", "configmaps")]);
        assert_eq!(rights.missing(&needs).manager, needs.manager);
    }

    #[test]
    fn what_a_role_gives_must_be_held_and_is_never_watched() {
        let mut needs = needs(&[("rbac.authorization.k8s.io/v1", "Role", "roles")]);
        let leases = json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "update"]});
        needs.add_role(&json!({"rules": [leases]}));
        let leases = resource("coordination.k8s.io", "leases");
        assert_eq!(needs.manager.get(&leases).map(BTreeSet::len), Some(2));
        assert!(!needs.watcher.contains_key(&leases));
    }

    #[test]
    fn what_the_controller_has_rights_of_its_own_over_needs_no_fragment() {
        let own = needs(&[
            ("v1", "Namespace", "namespaces"),
            ("v1", "Secret", "secrets"),
            ("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"),
        ]);
        assert!(own.is_empty());
    }

    #[test]
    fn installing_the_fragment_gives_what_was_missing() {
        let mut needs = needs(&[("v1", "ConfigMap", "configmaps"), ("example.org/v1", "Widget", "widgets")]);
        needs.add_role(&json!({"rules": [{"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]}]}));
        let roles = Rights::default().missing(&needs).cluster_roles("widgets");
        let mut rights = Rights::default();
        for role in &roles {
            let role: k8s_openapi::api::rbac::v1::ClusterRole = serde_json::from_value(role.clone()).unwrap();
            let labels = role.metadata.labels.unwrap();
            let into = if labels.contains_key("tenantry.io/aggregate-to-watcher") {
                &mut rights.watcher
            } else {
                &mut rights.manager
            };
            into.extend(role.rules.unwrap());
        }
        assert!(rights.missing(&needs).is_empty(), "{roles:#?}");
    }
}
