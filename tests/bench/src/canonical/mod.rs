//! The canonical tenant: 24 objects of 15 kinds in one namespace, the same for whoever is measured. Pure.

mod compare;

pub use compare::{Comparison, Differences, FieldDifference, normalised};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;
use std::fmt;
use std::str::FromStr;

/// The objects as files hold them, with [`PLACEHOLDER`] for the tenant's name.
pub const TEXT: &str = include_str!("../../canonical/tenant.yaml");
/// The one kind among them that Kubernetes does not bring.
pub const SERVICE_MONITOR: &str = include_str!("../../canonical/servicemonitor-crd.yaml");
/// Stands for the tenant's name.
pub const PLACEHOLDER: &str = "TENANT";
/// Objects of one tenant.
pub const OBJECTS: usize = 24;

/// Kind and name of an object within one tenant, written `ConfigMap/dashboard`. The name of the namespace itself is the
/// placeholder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct ObjectRef {
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
}

/// One object of one tenant, ready to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// Which one it is.
    pub id: ObjectRef,
    /// `v1`, `apps/v1` and so on.
    pub api_version: String,
    /// Its namespace; none for the namespace itself.
    pub namespace: Option<String>,
    /// Name within the cluster.
    pub name: String,
    /// JSON.
    pub body: String,
}

// === impl ObjectRef ===

impl ObjectRef {
    /// Kind and name of an object; the namespace is called by the placeholder.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (kind, name) = (text("/kind"), text("/metadata/name"));
        let name = if kind == "Namespace" { PLACEHOLDER } else { name };
        Self { kind: kind.to_owned(), name: name.to_owned() }
    }
}

impl FromStr for ObjectRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((kind, name)) if !kind.is_empty() && !name.is_empty() => {
                Ok(Self { kind: kind.to_owned(), name: name.to_owned() })
            }
            _ => Err(format!("{text:?} names no object: write KIND/NAME")),
        }
    }
}

impl TryFrom<String> for ObjectRef {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.kind, self.name)
    }
}

/// The objects of one tenant in the order of the file.
///
/// # Errors
/// When the file is not YAML.
pub fn render(tenant: &str) -> Result<Vec<Value>> {
    let objects: Vec<Value> = serde_saphyr::from_multiple(&TEXT.replace(PLACEHOLDER, tenant))
        .context("the canonical tenant is not YAML")?;
    Ok(objects.into_iter().filter(|object| !object.is_null()).collect())
}

/// [`render`] with the quota behind everything that it counts: the API server writes the quota's status for each of those,
/// and refuses one that comes at the same moment as another.
///
/// # Errors
/// As there.
pub fn render_in_good_order(tenant: &str) -> Result<Vec<Value>> {
    let mut objects = render(tenant)?;
    objects.sort_by_key(|object| object.get("kind").and_then(Value::as_str) == Some("ResourceQuota"));
    Ok(objects)
}

/// [`render`], serialised.
///
/// # Errors
/// As there.
pub fn rendered(tenant: &str) -> Result<Vec<Rendered>> {
    let text =
        |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    render(tenant)?
        .iter()
        .map(|object| {
            Ok(Rendered {
                id: ObjectRef::of(object),
                api_version: text(object, "/apiVersion").context("an object has no apiVersion")?,
                namespace: text(object, "/metadata/namespace"),
                name: text(object, "/metadata/name").context("an object has no name")?,
                body: object.to_string(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_tenant_has_its_objects_and_no_placeholder() {
        let objects = rendered("t-00001").unwrap();
        let kinds: BTreeSet<&str> = objects.iter().map(|object| object.id.kind.as_str()).collect();
        let names: BTreeSet<&ObjectRef> = objects.iter().map(|object| &object.id).collect();
        assert_eq!((objects.len(), kinds.len(), names.len()), (OBJECTS, 15, OBJECTS));
        for object in &objects {
            assert!(!object.body.contains(PLACEHOLDER), "{}", object.body);
            match &object.namespace {
                Some(namespace) => assert_eq!(namespace, "t-00001"),
                None => assert_eq!(object.id.to_string(), "Namespace/TENANT"),
            }
        }
    }

    #[test]
    fn the_quota_comes_last_and_the_rest_stays_in_order() {
        let kinds = |objects: Vec<Value>| -> Vec<String> {
            objects.iter().map(|object| object["kind"].as_str().unwrap().to_owned()).collect()
        };
        let mut expected = kinds(render("a").unwrap());
        expected.retain(|kind| kind != "ResourceQuota");
        expected.push("ResourceQuota".to_owned());
        assert_eq!(kinds(render_in_good_order("a").unwrap()), expected);
    }

    #[test]
    fn references_read_as_they_are_written() {
        let reference: ObjectRef = "RoleBinding/worker".parse().unwrap();
        assert_eq!(reference.to_string(), "RoleBinding/worker");
        for bad in ["worker", "/worker", "Role/"] {
            assert!(bad.parse::<ObjectRef>().unwrap_err().contains("KIND/NAME"), "{bad}");
        }
    }
}
