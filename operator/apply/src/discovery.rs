//! Which kinds the cluster serves: asked once, then again when a custom resource definition comes or goes; uses the
//! client.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{PoisonError, RwLock};

use kube::Client;
use kube::core::ApiResource;
use kube::discovery;

use crate::object::Kind;
use crate::scope::{Scope, Scopes};

/// A kind as the cluster serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// What requests need: group, version, plural.
    pub resource: ApiResource,
    /// Namespaced or cluster-scoped.
    pub scope: Scope,
}

/// What the last refresh changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// Kinds now served that were not before, sorted.
    pub appeared: Vec<Kind>,
    /// Kinds no longer served, sorted.
    pub vanished: Vec<Kind>,
}

/// The kinds the cluster serves, cached.
pub struct Discovery {
    client: Client,
    kinds: RwLock<HashMap<Kind, Served>>,
    /// Definitions of custom resources by name, and whether each exists; those that are gone until they are not served.
    definitions: RwLock<BTreeMap<String, bool>>,
}

impl Discovery {
    /// Nothing is known before the first [`Discovery::refresh`].
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, kinds: RwLock::default(), definitions: RwLock::default() }
    }

    /// A kind as served, or nothing when the cluster does not serve it. Makes no request.
    #[must_use]
    pub fn resolve(&self, kind: &Kind) -> Option<Served> {
        self.kinds.read().unwrap_or_else(PoisonError::into_inner).get(kind).cloned()
    }

    /// Whether the cluster serves the kind of a custom resource definition, which is named `<plural>.<group>`. Makes no
    /// request.
    #[must_use]
    pub fn serves(&self, definition: &str) -> bool {
        let Some((plural, group)) = definition.split_once('.') else { return false };
        let known = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
        known.values().any(|served| served.resource.plural == plural && served.resource.group == group)
    }

    /// Takes in that the definition of a custom resource, which is named `<plural>.<group>`, exists or is gone.
    pub fn defined(&self, definition: &str, exists: bool) {
        let mut definitions = self.definitions.write().unwrap_or_else(PoisonError::into_inner);
        definitions.insert(definition.to_owned(), exists);
    }

    /// Takes in which definitions of custom resources there are; others are gone.
    pub fn all_defined(&self, there: &HashSet<String>) {
        let mut definitions = self.definitions.write().unwrap_or_else(PoisonError::into_inner);
        definitions.iter_mut().for_each(|(name, exists)| *exists = there.contains(name));
        definitions.extend(there.iter().map(|name| (name.clone(), true)));
    }

    /// Whether the cluster serves a kind whose definition is gone, or does not serve one whose definition exists. Makes no
    /// request.
    #[must_use]
    pub fn lags(&self) -> bool {
        let mut definitions = self.definitions.write().unwrap_or_else(PoisonError::into_inner);
        definitions.retain(|name, exists| *exists || self.serves(name));
        definitions.iter().any(|(name, exists)| *exists != self.serves(name))
    }

    /// Asks the cluster again, with two requests. On an error everything known stays known. So does a kind that the cluster
    /// does not name although its definition is there: an API server that has just started serves custom kinds a moment later
    /// than all others, and whoever took them for uninstalled would forget their objects.
    ///
    /// # Errors
    /// When the API server does not answer, or answers nonsense.
    pub async fn refresh(&self) -> Result<Refreshed, kube::Error> {
        let found = discovery::Discovery::new(self.client.clone()).run_aggregated().await?;
        let mut kinds = HashMap::new();
        for group in found.groups() {
            for version in group.versions() {
                for (resource, capabilities) in group.versioned_resources(version) {
                    let kind = Kind::new(&resource.group, &resource.version, &resource.kind);
                    let scope = match capabilities.scope {
                        discovery::Scope::Cluster => Scope::Cluster,
                        discovery::Scope::Namespaced => Scope::Namespaced,
                    };
                    // Kinds of requests (reviews, bindings) cannot be listed and are never objects of ours.
                    if capabilities.supports_operation(discovery::verbs::LIST) {
                        kinds.insert(kind, Served { resource, scope });
                    }
                }
            }
        }
        let mut known = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
        let late: Vec<(Kind, Served)> = {
            let definitions = self.definitions.read().unwrap_or_else(PoisonError::into_inner);
            let named: HashSet<String> = kinds.values().map(definition).collect();
            let is_late = |served: &Served| {
                let name = definition(served);
                definitions.get(&name) == Some(&true) && !named.contains(&name)
            };
            let late = known.iter().filter(|(_, served)| is_late(served));
            late.map(|(kind, served)| (kind.clone(), served.clone())).collect()
        };
        kinds.extend(late);
        let missing_in = |one: &HashMap<Kind, Served>, other: &HashMap<Kind, Served>| {
            let mut missing: Vec<Kind> =
                one.keys().filter(|kind| !other.contains_key(kind)).cloned().collect();
            missing.sort();
            missing
        };
        let refreshed =
            Refreshed { appeared: missing_in(&kinds, &known), vanished: missing_in(&known, &kinds) };
        *known = kinds;
        Ok(refreshed)
    }
}

#[cfg(test)]
impl Discovery {
    /// Kinds as if they had been asked for.
    pub(crate) fn knowing(client: Client, kinds: impl IntoIterator<Item = (Kind, Scope)>) -> Self {
        let served = |(kind, scope): (Kind, Scope)| {
            let gvk = kube::core::GroupVersionKind::gvk(kind.group(), kind.version(), kind.name());
            (kind, Served { resource: ApiResource::from_gvk(&gvk), scope })
        };
        let kinds = RwLock::new(kinds.into_iter().map(served).collect());
        Self { client, kinds, definitions: RwLock::default() }
    }
}

impl Scopes for Discovery {
    fn scope(&self, kind: &Kind) -> Option<Scope> {
        self.resolve(kind).map(|served| served.scope)
    }

    fn is_custom(&self, kind: &Kind) -> bool {
        let Some(served) = self.resolve(kind) else { return false };
        let definitions = self.definitions.read().unwrap_or_else(PoisonError::into_inner);
        definitions.get(&definition(&served)) == Some(&true)
    }

    fn is_late(&self, kind: &Kind) -> bool {
        let definitions = self.definitions.read().unwrap_or_else(PoisonError::into_inner);
        let of_group = |name: &str| name.split_once('.').is_some_and(|(_, group)| group == kind.group());
        self.resolve(kind).is_none()
            && definitions.iter().any(|(name, exists)| *exists && of_group(name) && !self.serves(name))
    }
}

/// Name of the definition that a kind has if it is a custom one.
fn definition(served: &Served) -> String {
    format!("{}.{}", served.resource.plural, served.resource.group)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::Script;

    fn group(name: &str, version: &str, resources: Value) -> Value {
        json!({"metadata": {"name": name}, "versions": [{"version": version, "resources": resources}]})
    }

    fn resource(plural: &str, group: &str, kind: &str, scope: &str) -> Value {
        json!({
            "resource": plural, "scope": scope, "verbs": ["get", "list", "watch"], "singularResource": "",
            "responseKind": {"group": group, "version": "v1", "kind": kind},
        })
    }

    #[tokio::test]
    async fn kinds_appear_and_vanish() {
        let core = || group("", "v1", json!([resource("namespaces", "", "Namespace", "Cluster")]));
        let monitors = group(
            "monitoring.coreos.com",
            "v1",
            json!([resource("servicemonitors", "monitoring.coreos.com", "ServiceMonitor", "Namespaced")]),
        );
        let list = |items: Vec<Value>| json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": items});
        let script = Script::default();
        script.answer(200, list(vec![]));
        script.answer(200, list(vec![core()]));
        script.answer(200, list(vec![monitors]));
        script.answer(200, list(vec![core()]));
        script.answer(200, list(vec![]));
        script.answer(200, list(vec![core()]));
        let discovery = Discovery::new(script.client());
        let namespace = Kind::parse("v1/Namespace").unwrap();
        let monitor = Kind::parse("monitoring.coreos.com/v1/ServiceMonitor").unwrap();
        assert_eq!(discovery.scope(&namespace), None);

        let first = discovery.refresh().await.unwrap();
        assert_eq!(first, Refreshed { appeared: vec![namespace.clone()], vanished: vec![] });
        assert_eq!(discovery.scope(&namespace), Some(Scope::Cluster));
        assert_eq!(discovery.resolve(&monitor), None);

        let second = discovery.refresh().await.unwrap();
        assert_eq!(second, Refreshed { appeared: vec![monitor.clone()], vanished: vec![] });
        assert_eq!(discovery.resolve(&monitor).unwrap().resource.plural, "servicemonitors");
        assert!(discovery.serves("servicemonitors.monitoring.coreos.com"));
        assert!(!discovery.serves("servicemonitors.coreos.com") && !discovery.serves("servicemonitors"));
        assert_eq!(discovery.scope(&monitor), Some(Scope::Namespaced));
        assert!(!discovery.is_custom(&monitor) && !discovery.lags());
        discovery.defined("servicemonitors.monitoring.coreos.com", true);
        assert!(discovery.is_custom(&monitor) && !discovery.is_custom(&namespace) && !discovery.lags());
        discovery.defined("servicemonitors.monitoring.coreos.com", false);
        assert!(!discovery.is_custom(&monitor) && discovery.lags());

        let third = discovery.refresh().await.unwrap();
        assert_eq!(third, Refreshed { appeared: vec![], vanished: vec![monitor] });
        assert!(!discovery.lags());
    }

    /// Found by the fault harness (F20): just after its start the API server names no custom kinds, and whoever took them for
    /// uninstalled forgot a tenant's open route.
    #[tokio::test]
    async fn a_kind_that_is_defined_stays_known_until_the_api_server_names_it_again() {
        let list = |items: Vec<Value>| json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": items});
        let monitors = |version: &str| {
            group(
                "monitoring.coreos.com",
                version,
                json!([resource("servicemonitors", "monitoring.coreos.com", "ServiceMonitor", "Namespaced")]),
            )
        };
        let script = Script::default();
        for groups in [vec![monitors("v1")], vec![], vec![monitors("v2")], vec![]] {
            script.answer(200, list(vec![]));
            script.answer(200, list(groups));
        }
        let discovery = Discovery::new(script.client());
        let [old, new] = ["v1", "v2"]
            .map(|version| Kind::parse(&format!("monitoring.coreos.com/{version}/ServiceMonitor")).unwrap());
        let name = "servicemonitors.monitoring.coreos.com".to_owned();
        discovery.all_defined(&HashSet::from([name.clone()]));
        assert!(discovery.is_late(&old), "nothing is served yet");
        discovery.refresh().await.unwrap();
        assert!(!discovery.is_late(&old));
        assert_eq!(discovery.refresh().await.unwrap(), Refreshed::default(), "it has just started");
        assert!(discovery.resolve(&old).is_some());
        let moved = discovery.refresh().await.unwrap();
        assert_eq!(moved, Refreshed { appeared: vec![new.clone()], vanished: vec![old.clone()] });
        assert!(!discovery.is_late(&old), "that version is not served any more");
        discovery.all_defined(&HashSet::new());
        assert_eq!(discovery.refresh().await.unwrap().vanished, std::slice::from_ref(&new));
        assert!(!discovery.is_late(&new), "its definition is gone");
    }
}
