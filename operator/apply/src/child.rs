//! The two shapes in which watches deliver objects of ours, parsed lean; kube types, no requests.

use std::borrow::Cow;
use std::fmt;

use kube::Resource;
use kube::core::{ApiResource, DynamicResourceScope, ObjectMeta};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::health::health;
use crate::object::{Kind, ObjectId};
use crate::observed::{Metadata, Observed};

/// Fields of a spec that health depends on; everything else is skipped while parsing.
const SPEC_FIELDS: &[&str] = &["replicas", "type", "updateStrategy", "parentRefs"];

/// An object of which only the metadata is asked for.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "RawMeta")]
pub struct ChildMeta {
    parsed: Parsed,
    meta: ObjectMeta,
}

/// An object asked for in full, of which metadata, status and a few fields of the spec are kept while it is judged.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "RawFull")]
pub struct ChildFull {
    parsed: Parsed,
    spec: Value,
    status: Value,
    meta: ObjectMeta,
}

/// What the streams need of either shape.
pub trait Child:
    Resource<DynamicType = ApiResource> + Clone + fmt::Debug + for<'de> Deserialize<'de> + Send
{
    /// Identity, given the kind of the stream.
    fn id(&self, kind: &Kind) -> ObjectId;
    /// UID and resource version.
    fn version(&self) -> (&str, u64);
    /// What the index keeps; `retain` keeps the status for a predicate.
    fn observe(&self, kind: &Kind, retain: bool) -> Observed;
}

#[derive(Clone, Debug)]
struct Parsed {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct RawMeta {
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Deserialize)]
struct RawFull {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: LeanSpec,
    #[serde(default)]
    status: Value,
}

#[derive(Default)]
struct LeanSpec(Map<String, Value>);

// === impl ChildMeta ===

impl From<RawMeta> for ChildMeta {
    fn from(raw: RawMeta) -> Self {
        Self { meta: bare(&raw.metadata), parsed: Parsed { metadata: raw.metadata } }
    }
}

impl Child for ChildMeta {
    fn id(&self, kind: &Kind) -> ObjectId {
        self.parsed.id(kind)
    }

    fn version(&self) -> (&str, u64) {
        self.parsed.version()
    }

    fn observe(&self, kind: &Kind, _retain: bool) -> Observed {
        Observed::of(kind, &self.parsed.metadata)
    }
}

// === impl ChildFull ===

impl From<RawFull> for ChildFull {
    fn from(raw: RawFull) -> Self {
        Self {
            meta: bare(&raw.metadata),
            parsed: Parsed { metadata: raw.metadata },
            spec: Value::Object(raw.spec.0),
            status: raw.status,
        }
    }
}

impl Child for ChildFull {
    fn id(&self, kind: &Kind) -> ObjectId {
        self.parsed.id(kind)
    }

    fn version(&self) -> (&str, u64) {
        self.parsed.version()
    }

    fn observe(&self, kind: &Kind, retain: bool) -> Observed {
        let metadata = &self.parsed.metadata;
        let generation = metadata.generation;
        let mut observed = Observed::of(kind, metadata);
        // Also where the status is kept: one application's predicate must not hide the health of everybody else's objects.
        observed.health = health(kind, generation, &self.spec, &self.status);
        if retain {
            let object = json!({"metadata": {"generation": generation}, "status": self.status});
            observed.retained = Some(Box::new(object));
        }
        observed
    }
}

impl Parsed {
    fn version(&self) -> (&str, u64) {
        (&self.metadata.uid, self.metadata.version())
    }

    fn id(&self, kind: &Kind) -> ObjectId {
        ObjectId::new(kind.clone(), self.metadata.namespace.as_deref(), &self.metadata.name)
    }
}

/// The watcher of kube asks the object for its resource version and name, and for nothing else.
fn bare(metadata: &Metadata) -> ObjectMeta {
    ObjectMeta {
        name: Some(metadata.name.clone()),
        resource_version: Some(metadata.resource_version.clone()),
        ..ObjectMeta::default()
    }
}

impl<'de> Deserialize<'de> for LeanSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lean;

        impl<'de> Visitor<'de> for Lean {
            type Value = LeanSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a spec")
            }

            fn visit_unit<E>(self) -> Result<LeanSpec, E> {
                Ok(LeanSpec::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LeanSpec, A::Error> {
                let mut kept = Map::new();
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    if SPEC_FIELDS.contains(&&*key) {
                        kept.insert(key.into_owned(), map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(LeanSpec(kept))
            }
        }

        deserializer.deserialize_any(Lean)
    }
}

macro_rules! dynamic_resource {
    ($child:ty, $metadata_only:literal) => {
        impl Resource for $child {
            type DynamicType = ApiResource;
            type Scope = DynamicResourceScope;

            fn kind(resource: &ApiResource) -> Cow<'_, str> {
                resource.kind.as_str().into()
            }

            fn group(resource: &ApiResource) -> Cow<'_, str> {
                resource.group.as_str().into()
            }

            fn version(resource: &ApiResource) -> Cow<'_, str> {
                resource.version.as_str().into()
            }

            fn plural(resource: &ApiResource) -> Cow<'_, str> {
                resource.plural.as_str().into()
            }

            fn metadata_api() -> bool {
                $metadata_only
            }

            fn meta(&self) -> &ObjectMeta {
                &self.meta
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.meta
            }
        }
    };
}

dynamic_resource!(ChildMeta, true);
dynamic_resource!(ChildFull, false);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Health;

    fn deployment() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "web", "namespace": "tenant-acme", "uid": "u1", "resourceVersion": "12", "generation": 3,
                "labels": {"tenantry.io/tenant-id": "t-77", "tenantry.io/subscription": "acme"},
                "managedFields": [{"manager": "tenantry", "operation": "Update", "apiVersion": "apps/v1",
                                   "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}}}}],
            },
            "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "a"}]}}},
            "status": {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2},
        })
    }

    fn kind() -> Kind {
        Kind::parse("apps/v1/Deployment").unwrap()
    }

    #[test]
    fn both_shapes_agree_on_the_token_and_only_the_full_one_knows_health() {
        let full: ChildFull = serde_json::from_value(deployment()).unwrap();
        let meta: ChildMeta = serde_json::from_value(deployment()).unwrap();
        let (full_seen, meta_seen) = (full.observe(&kind(), false), meta.observe(&kind(), false));
        assert_eq!(full_seen.token, meta_seen.token);
        assert_eq!(full_seen.health, Health::Current);
        assert_eq!(meta_seen.health, Health::Unknown);
        assert_eq!(full_seen.resource_version, 12);
        assert_eq!(full_seen.tenant_id.as_deref(), Some("t-77"));
        assert_eq!(full_seen.subscription.as_deref(), Some("acme"));
        assert_eq!(full.id(&kind()), ObjectId::new(kind(), Some("tenant-acme"), "web"));
        assert_eq!(full.spec, json!({"replicas": 2}));
        assert_eq!(full.meta().resource_version.as_deref(), Some("12"));
    }

    #[test]
    fn a_predicate_gets_status_and_generation() {
        let full: ChildFull = serde_json::from_value(deployment()).unwrap();
        let seen = full.observe(&kind(), true);
        assert_eq!(
            seen.health,
            Health::Current,
            "who asks for no predicate is judged by the rules of the kind"
        );
        let retained = seen.retained.unwrap();
        assert_eq!(retained.pointer("/metadata/generation"), Some(&json!(3)));
        assert_eq!(retained.pointer("/status/replicas"), Some(&json!(2)));
    }

    #[test]
    fn objects_without_spec_and_status_parse() {
        for object in [
            json!({"metadata": {"name": "a"}}),
            json!({"metadata": {"name": "a"}, "spec": null, "status": null}),
        ] {
            let full: ChildFull = serde_json::from_value(object).unwrap();
            assert_eq!(full.spec, json!({}));
        }
    }
}
