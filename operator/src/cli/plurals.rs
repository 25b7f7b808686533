//! Plural names of kinds, without a cluster: those of Kubernetes itself, and those of given custom resource definitions.
//! Needs neither client nor clock.

use crate::rights::{Needs, Resource};
use anyhow::Context;
use k8s_openapi::api::{apps, autoscaling, batch, coordination, core, networking, policy, rbac};
use serde_json::Value;
use std::collections::HashMap;
use std::path::PathBuf;
use tenantry_apply::object::Kind;

/// Resources by group and kind.
pub(crate) struct Plurals(HashMap<(String, String), String>);

// === impl Plurals ===

impl Plurals {
    /// The kinds of Kubernetes that a tenant may have, and those of the custom resource definitions in `paths`.
    ///
    /// # Errors
    /// When a file cannot be read or is not YAML.
    pub(crate) fn read(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut plurals = Self::builtin();
        for file in super::files::yaml_files(paths)? {
            let shown = file.display().to_string();
            let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {shown}"))?;
            let documents: Vec<Value> =
                serde_saphyr::from_multiple(&text).with_context(|| format!("{shown} is not YAML"))?;
            documents.iter().for_each(|document| plurals.take(document));
        }
        Ok(plurals)
    }

    fn builtin() -> Self {
        let mut plurals = Self(HashMap::new());
        plurals.add::<core::v1::ConfigMap>();
        plurals.add::<core::v1::PersistentVolumeClaim>();
        plurals.add::<core::v1::Pod>();
        plurals.add::<core::v1::Secret>();
        plurals.add::<core::v1::Service>();
        plurals.add::<core::v1::ServiceAccount>();
        plurals.add::<apps::v1::DaemonSet>();
        plurals.add::<apps::v1::Deployment>();
        plurals.add::<apps::v1::ReplicaSet>();
        plurals.add::<apps::v1::StatefulSet>();
        plurals.add::<autoscaling::v2::HorizontalPodAutoscaler>();
        plurals.add::<batch::v1::CronJob>();
        plurals.add::<batch::v1::Job>();
        plurals.add::<coordination::v1::Lease>();
        plurals.add::<networking::v1::Ingress>();
        plurals.add::<networking::v1::NetworkPolicy>();
        plurals.add::<policy::v1::PodDisruptionBudget>();
        plurals.add::<rbac::v1::Role>();
        plurals.add::<rbac::v1::RoleBinding>();
        plurals
    }

    fn add<K: k8s_openapi::Resource>(&mut self) {
        self.0.insert((K::GROUP.to_owned(), K::KIND.to_owned()), K::URL_PATH_SEGMENT.to_owned());
    }

    fn take(&mut self, document: &Value) {
        let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        if document["kind"] == "CustomResourceDefinition"
            && let (Some(group), Some(kind), Some(plural)) =
                (text("/spec/group"), text("/spec/names/kind"), text("/spec/names/plural"))
        {
            self.0.insert((group, kind), plural);
        }
    }

    /// The rights that objects like these need.
    ///
    /// # Errors
    /// When the plural of a kind is not known; the text names the kind and the remedy.
    pub(crate) fn needs(&self, objects: &[Value]) -> anyhow::Result<Needs> {
        let mut needs = Needs::default();
        for object in objects {
            let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
            let (api_version, kind) = (text("apiVersion"), text("kind"));
            let group = api_version.split_once('/').map_or("", |(group, _)| group);
            let plural = self.0.get(&(group.to_owned(), kind.to_owned())).with_context(|| {
                format!(
                    "the plural of {api_version} {kind} is not known; name the file of its CustomResourceDefinition by --kinds"
                )
            })?;
            let resource = Resource { group: group.to_owned(), plural: plural.clone() };
            needs.add_kind(&Kind::from_api_version(api_version, kind), &resource);
            if kind == "Role" {
                needs.add_role(object);
            }
        }
        Ok(needs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_role_brings_what_it_gives_and_an_unknown_kind_is_named() {
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "a"},
            "rules": [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get"]}]});
        let plurals = Plurals::builtin();
        let needs = plurals.needs(&[role]).unwrap();
        let verbs = |group: &str, plural: &str| {
            let resource = Resource { group: group.to_owned(), plural: plural.to_owned() };
            needs.manager.get(&resource).map(|verbs| verbs.len())
        };
        assert_eq!(verbs("rbac.authorization.k8s.io", "roles"), Some(5));
        assert_eq!(verbs("coordination.k8s.io", "leases"), Some(1));
        let monitor = json!({"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor"});
        let error = plurals.needs(std::slice::from_ref(&monitor)).unwrap_err().to_string();
        assert!(error.contains("ServiceMonitor") && error.contains("--kinds"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let text = "kind: CustomResourceDefinition\nspec: {group: monitoring.coreos.com, names: {kind: ServiceMonitor, plural: servicemonitors}}\n";
        std::fs::write(folder.path().join("monitor.yaml"), text).unwrap();
        let plurals = Plurals::read(&[folder.path().to_owned()]).unwrap();
        let resources: Vec<_> = plurals.needs(&[monitor]).unwrap().watcher.into_keys().collect();
        assert_eq!(resources.iter().map(|r| r.plural.as_str()).collect::<Vec<_>>(), ["servicemonitors"]);
    }
}
