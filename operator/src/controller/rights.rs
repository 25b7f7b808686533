//! Which rights an object set needs and which of them are missing; no client or clock.
//!
//! The controller holds no rights over kinds that nobody installed a fragment for. What is missing is found before
//! the first write, so that an order is refused as a whole and with the remedy, instead of failing half-way.

use k8s_openapi::api::rbac::v1::PolicyRule;
use std::collections::BTreeSet;

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

/// Rights that are missing, by the role that should have them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Missing {
    /// Resources that cannot be managed in a tenant's namespace.
    pub(crate) manager: BTreeSet<Resource>,
    /// Resources that cannot be watched.
    pub(crate) watcher: BTreeSet<Resource>,
}

// === impl Rights ===

impl Rights {
    /// What is missing to manage `managed` and to watch `watched`.
    #[must_use]
    pub(crate) fn missing(&self, managed: &BTreeSet<Resource>, watched: &BTreeSet<Resource>) -> Missing {
        let lacks = |rules: &[PolicyRule], verbs: &[&str], wanted: &BTreeSet<Resource>| {
            wanted
                .iter()
                .filter(|resource| !verbs.iter().all(|verb| allows(rules, resource, verb)))
                .cloned()
                .collect()
        };
        Missing {
            manager: lacks(&self.manager, &MANAGER_VERBS, managed),
            watcher: lacks(&self.watcher, &WATCHER_VERBS, watched),
        }
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

// === impl Missing ===

impl Missing {
    /// Whether nothing is missing.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.manager.is_empty() && self.watcher.is_empty()
    }

    /// The ClusterRoles to install, as YAML; the fragments join the aggregated roles by their labels.
    #[must_use]
    pub(crate) fn fragment(&self, name: &str) -> String {
        let mut text = String::new();
        for (suffix, label, verbs, resources) in [
            ("tenant-manager", "aggregate-to-tenant-manager", &MANAGER_VERBS[..], &self.manager),
            ("watcher", "aggregate-to-watcher", &WATCHER_VERBS[..], &self.watcher),
        ] {
            if resources.is_empty() {
                continue;
            }
            text.push_str(&format!(
                "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: tenantry-{name}-{suffix}\n  \
                 labels: {{tenantry.io/{label}: \"true\"}}\nrules:\n"
            ));
            for Resource { group, plural } in resources {
                text.push_str(&format!(
                    "  - {{apiGroups: [\"{group}\"], resources: [{plural}], verbs: [{}]}}\n",
                    verbs.join(", ")
                ));
            }
        }
        text
    }
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
        let wanted = BTreeSet::from([resource("apps", "deployments"), resource("batch", "jobs")]);
        let missing = rights.missing(&wanted, &wanted);
        assert_eq!(missing.manager, BTreeSet::from([resource("batch", "jobs")]));
        assert_eq!(missing.watcher, BTreeSet::from([resource("batch", "jobs")]));
    }

    #[test]
    fn a_rule_for_single_names_is_no_right_over_the_kind() {
        let mut named = rule("", "configmaps", &MANAGER_VERBS);
        named.resource_names = Some(vec!["one".to_owned()]);
        let rights = Rights { manager: vec![named], watcher: Vec::new() };
        let wanted = BTreeSet::from([resource("", "configmaps")]);
        assert_eq!(rights.missing(&wanted, &BTreeSet::new()).manager, wanted);
    }

    #[test]
    fn installing_the_fragment_gives_what_was_missing() {
        let wanted = BTreeSet::from([resource("", "configmaps"), resource("example.org", "widgets")]);
        let missing = Rights::default().missing(&wanted, &wanted);
        let documents = missing.fragment("widgets");
        let mut rights = Rights::default();
        for text in documents.split("---\n").filter(|text| !text.is_empty()) {
            let role: k8s_openapi::api::rbac::v1::ClusterRole = serde_saphyr::from_str(text).unwrap();
            let labels = role.metadata.labels.unwrap();
            let into = if labels.contains_key("tenantry.io/aggregate-to-watcher") {
                &mut rights.watcher
            } else {
                &mut rights.manager
            };
            into.extend(role.rules.unwrap());
        }
        assert!(rights.missing(&wanted, &wanted).is_empty(), "{documents}");
    }
}
