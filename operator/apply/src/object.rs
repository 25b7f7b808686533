//! What shall exist: kinds, identities and desired objects; no client or clock.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::canonical::{digest, strip_nulls};

/// Field manager of every object the engine writes. A persisted API: renaming it would orphan all fields.
pub const FIELD_MANAGER: &str = "tenantry";
/// Label that marks an object as ours; every watch selects by it.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY_LABEL`].
pub const MANAGED_BY: &str = "tenantry";
/// Label with the tenant's random id, the ownership nonce while an object's creation is unconfirmed.
pub const TENANT_ID_LABEL: &str = "tenantry.io/tenant-id";
/// Label with the name of the subscription, used to find whom to wake.
pub const SUBSCRIPTION_LABEL: &str = "tenantry.io/subscription";
/// Longest object name the API server accepts (DNS-1123 subdomain).
const MAX_NAME: usize = 253;

/// A kind of object: group, version and kind.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    group: Arc<str>,
    version: Arc<str>,
    name: Arc<str>,
}

/// Identity of an object by name. Which object bears the name is a matter of its UID.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// Group, version and kind.
    pub kind: Kind,
    /// Namespace, absent for cluster-scoped kinds.
    pub namespace: Option<Arc<str>>,
    /// Name.
    pub name: Arc<str>,
}

/// Whose object it is: goes into the labels, and decides the namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Random id of the tenant.
    pub tenant_id: Arc<str>,
    /// Name of the subscription.
    pub subscription: Arc<str>,
    /// Namespace of the tenant.
    pub namespace: Arc<str>,
}

/// What must stand before an object may be created, from first to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The namespace, our own access to it, limits and default-deny: before anything else.
    Foundation,
    /// Everything without a stage of its own.
    Ordinary,
    /// Quotas: after the objects they count, before anybody enters.
    Quota,
    /// Bindings that let people in.
    Access,
    /// What opens the tenant to traffic.
    Route,
}

/// How an object is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Sent when its intent changes, repaired when it drifts.
    Manage,
    /// Created once and left alone afterwards.
    Once,
    /// A Secret whose values are made when it is created and never again; not digested, not watched.
    Generated(Vec<GeneratedKey>),
}

/// One value of a generated Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedKey {
    /// Key in the Secret's `data`.
    pub name: String,
    /// Length of the value in characters.
    pub length: usize,
}

/// How an object's health is known.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum HealthRule {
    /// By the rules of its kind; a kind without status is healthy when it exists.
    #[default]
    Builtin,
    /// By a CEL predicate over `status` and `metadata.generation`, evaluated by the caller.
    ReadyWhen(String),
}

/// One object that shall exist, complete as it is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Identity.
    pub id: ObjectId,
    /// Checklist item that asks for it.
    pub item: String,
    /// What must stand before it.
    pub stage: Stage,
    /// How it is kept.
    pub policy: Policy,
    /// How its health is known.
    pub health: HealthRule,
    /// Whether its kind may be absent from the cluster.
    pub optional: bool,
    /// Whether the item's dependencies allow its effects to start.
    pub released: bool,
    /// Whether it waits for something outside the tenant, so that nothing else waits for it.
    pub aside: bool,
    /// The object as sent, with our labels, without uid, resourceVersion and status. Shared, because every look at a tenant
    /// copies what is desired.
    pub body: Arc<Value>,
    /// Digest of `body`.
    pub digest: String,
}

/// Why a rendered body cannot become a desired object.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ObjectError {
    /// The body is not a map, or `metadata` or its labels are not.
    #[error("{field} is not a map: write it as key: value pairs")]
    NotAMap {
        /// Which part.
        field: &'static str,
    },
    /// A field that names the object is absent, empty or not text.
    #[error("{field} is missing or not text: set it in the manifest")]
    Missing {
        /// Which field.
        field: &'static str,
    },
    /// The name cannot be part of a request path.
    #[error("metadata.name {name:?} is refused: use at most 253 letters, digits, '-', '.', '_' or ':'")]
    Name {
        /// The name as rendered.
        name: String,
    },
    /// `apiVersion` or `kind` has a form no API server serves.
    #[error("{field} {value:?} is refused: write it as in the API reference, such as apps/v1 and Deployment")]
    KindForm {
        /// Which field.
        field: &'static str,
        /// The value as rendered.
        value: String,
    },
}

// === impl Kind ===

impl Kind {
    /// From its three parts; the core group is empty.
    #[must_use]
    pub fn new(group: &str, version: &str, name: &str) -> Self {
        Self { group: group.into(), version: version.into(), name: name.into() }
    }

    /// From `apiVersion` and `kind` as written in a manifest.
    #[must_use]
    pub fn from_api_version(api_version: &str, name: &str) -> Self {
        match api_version.split_once('/') {
            Some((group, version)) => Self::new(group, version, name),
            None => Self::new("", api_version, name),
        }
    }

    /// From the form an inventory holds: `apps/v1/Deployment`, or `v1/ConfigMap` in the core group.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (api_version, name) = text.rsplit_once('/')?;
        (!api_version.is_empty() && !name.is_empty()).then(|| Self::from_api_version(api_version, name))
    }

    /// API group, empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Version within the group.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The kind's own name, such as `Deployment`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `apiVersion` as written in a manifest.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Whether group and kind are these, in any version.
    #[must_use]
    pub fn is(&self, group: &str, name: &str) -> bool {
        &*self.group == group && &*self.name == name
    }

    /// Whether this is the Secret of the core group, the one kind that is never watched.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.is("", "Secret")
    }

    /// Whether this is the Namespace of the core group.
    #[must_use]
    pub fn is_namespace(&self) -> bool {
        self.is("", "Namespace")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.group.is_empty() {
            write!(f, "{}/", self.group)?;
        }
        write!(f, "{}/{}", self.version, self.name)
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl ObjectId ===

impl ObjectId {
    /// From its parts.
    #[must_use]
    pub fn new(kind: Kind, namespace: Option<&str>, name: &str) -> Self {
        Self { kind, namespace: namespace.map(Arc::from), name: name.into() }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind.name(), self.name),
            None => write!(f, "{} {}", self.kind.name(), self.name),
        }
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(f, " {namespace}")?;
        }
        write!(f, "/{}", self.name)
    }
}

// === impl Desired ===

impl Desired {
    /// A desired object from a rendered body.
    ///
    /// Decides what templates may not: the namespace (the owner's when `namespaced`, none otherwise) and our labels.
    /// Strips `status`, nulls, and everything in `metadata` that the server sets. The result is released and managed;
    /// the caller changes `policy`, `health`, `optional` and `released` as the blueprint says.
    ///
    /// # Errors
    /// When the body names no object, or a name that cannot be part of a request path.
    pub fn new(
        owner: &Owner,
        item: &str,
        stage: Stage,
        namespaced: bool,
        mut body: Value,
    ) -> Result<Self, ObjectError> {
        strip_nulls(&mut body);
        let root = body.as_object_mut().ok_or(ObjectError::NotAMap { field: "the manifest" })?;
        root.remove("status");
        let kind = kind_of(root)?;
        let namespace = namespaced.then_some(&*owner.namespace);
        let name = settle_metadata(root, owner, namespace)?;
        let id = ObjectId::new(kind, namespace, &name);
        let digest = digest(&body);
        Ok(Self {
            id,
            item: item.to_owned(),
            stage,
            policy: Policy::Manage,
            health: HealthRule::Builtin,
            optional: false,
            released: true,
            aside: false,
            body: Arc::new(body),
            digest,
        })
    }

    /// Whether a changed intent is sent to an object that exists.
    #[must_use]
    pub fn is_managed(&self) -> bool {
        matches!(self.policy, Policy::Manage)
    }
}

fn kind_of(root: &Map<String, Value>) -> Result<Kind, ObjectError> {
    let api_version = text(root, "apiVersion", "apiVersion")?;
    let name = text(root, "kind", "kind")?;
    let plain = |text: &str, extra: &str| {
        text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c)) && !text.contains("..")
    };
    if !plain(api_version, "./-") || api_version.matches('/').count() > 1 {
        return Err(ObjectError::KindForm { field: "apiVersion", value: api_version.to_owned() });
    }
    if !plain(name, "") {
        return Err(ObjectError::KindForm { field: "kind", value: name.to_owned() });
    }
    Ok(Kind::from_api_version(api_version, name))
}

/// Puts namespace and labels in place and returns the name.
fn settle_metadata(
    root: &mut Map<String, Value>,
    owner: &Owner,
    namespace: Option<&str>,
) -> Result<String, ObjectError> {
    let metadata = root
        .get_mut("metadata")
        .ok_or(ObjectError::Missing { field: "metadata" })?
        .as_object_mut()
        .ok_or(ObjectError::NotAMap { field: "metadata" })?;
    let name = text(metadata, "name", "metadata.name")?.to_owned();
    if !is_path_safe(&name) {
        return Err(ObjectError::Name { name });
    }
    for set_by_server in
        ["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink"]
    {
        metadata.remove(set_by_server);
    }
    // Garbage collection must never erase a customer's data, so nothing of ours is owned by another object.
    metadata.remove("ownerReferences");
    match namespace {
        Some(namespace) => metadata.insert("namespace".to_owned(), Value::from(namespace)),
        None => metadata.remove("namespace"),
    };
    let labels = metadata
        .entry("labels")
        .or_insert_with(|| Value::Object(Map::new()))
        .as_object_mut()
        .ok_or(ObjectError::NotAMap { field: "metadata.labels" })?;
    labels.insert(MANAGED_BY_LABEL.to_owned(), Value::from(MANAGED_BY));
    labels.insert(TENANT_ID_LABEL.to_owned(), Value::from(&*owner.tenant_id));
    labels.insert(SUBSCRIPTION_LABEL.to_owned(), Value::from(&*owner.subscription));
    Ok(name)
}

fn text<'a>(map: &'a Map<String, Value>, key: &str, field: &'static str) -> Result<&'a str, ObjectError> {
    map.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).ok_or(ObjectError::Missing { field })
}

/// A name goes into request paths unescaped, so it must not contain what a path gives a meaning to.
fn is_path_safe(name: &str) -> bool {
    name.len() <= MAX_NAME
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn owner() -> Owner {
        Owner { tenant_id: "t-77".into(), subscription: "acme".into(), namespace: "tenant-acme".into() }
    }

    #[test]
    fn kinds_read_what_they_write() {
        for text in ["v1/ConfigMap", "apps/v1/Deployment", "gateway.networking.k8s.io/v1/HTTPRoute"] {
            assert_eq!(Kind::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Kind::parse("v1/ConfigMap").unwrap().api_version(), "v1");
        assert_eq!(Kind::parse("apps/v1/Deployment").unwrap().api_version(), "apps/v1");
        assert_eq!(Kind::parse("ConfigMap"), None);
        assert_eq!(Kind::parse("v1/"), None);
    }

    #[test]
    fn the_engine_decides_namespace_and_labels_and_strips_what_the_server_sets() {
        let body = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": "settings", "namespace": "kube-system", "creationTimestamp": null, "uid": "1",
                "labels": {"app": "mail", "tenantry.io/tenant-id": "someone-else"},
                "ownerReferences": [{"name": "x"}],
            },
            "data": {"a": "b", "gone": null},
            "status": {},
        });
        let desired = Desired::new(&owner(), "application", Stage::Ordinary, true, body).unwrap();
        assert_eq!(
            *desired.body,
            json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {
                    "name": "settings", "namespace": "tenant-acme",
                    "labels": {
                        "app": "mail", "app.kubernetes.io/managed-by": "tenantry",
                        "tenantry.io/tenant-id": "t-77", "tenantry.io/subscription": "acme",
                    },
                },
                "data": {"a": "b"},
            })
        );
        assert_eq!(desired.id.to_string(), "ConfigMap tenant-acme/settings");
        assert_eq!(format!("{:?}", desired.id), "v1/ConfigMap tenant-acme/settings");
    }

    #[test]
    fn cluster_scoped_objects_lose_a_namespace() {
        let body =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "namespace": "x"}});
        let desired = Desired::new(&owner(), "security", Stage::Foundation, false, body).unwrap();
        assert_eq!(desired.id.namespace, None);
        assert_eq!(desired.body.pointer("/metadata/namespace"), None);
    }

    #[test]
    fn bodies_that_name_no_object_are_refused() {
        let cases = [
            (json!([]), ObjectError::NotAMap { field: "the manifest" }),
            (json!({"kind": "ConfigMap"}), ObjectError::Missing { field: "apiVersion" }),
            (json!({"apiVersion": "v1", "kind": 7}), ObjectError::Missing { field: "kind" }),
            (json!({"apiVersion": "v1", "kind": "ConfigMap"}), ObjectError::Missing { field: "metadata" }),
            (
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ""}}),
                ObjectError::Missing { field: "metadata.name" },
            ),
            (
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": "x"}}),
                ObjectError::NotAMap { field: "metadata.labels" },
            ),
            (
                json!({"apiVersion": "v1/../x", "kind": "ConfigMap", "metadata": {"name": "a"}}),
                ObjectError::KindForm { field: "apiVersion", value: "v1/../x".into() },
            ),
            (
                json!({"apiVersion": "v1", "kind": "a/b", "metadata": {"name": "a"}}),
                ObjectError::KindForm { field: "kind", value: "a/b".into() },
            ),
        ];
        for (body, error) in cases {
            assert_eq!(
                Desired::new(&owner(), "i", Stage::Ordinary, true, body.clone()),
                Err(error),
                "{body}"
            );
        }
    }

    #[test]
    fn names_that_would_change_the_request_path_are_refused() {
        for name in ["../pods", "a/b", "a?b", "a#b", "a%2fb", ".", "..", "\u{e4}", &"a".repeat(254)] {
            let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
            let refused = Desired::new(&owner(), "i", Stage::Ordinary, true, body);
            assert_eq!(refused, Err(ObjectError::Name { name: name.to_owned() }));
        }
        let body = json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "tenantry:a_b.c-d"}});
        assert!(Desired::new(&owner(), "i", Stage::Ordinary, true, body).is_ok());
    }
}
