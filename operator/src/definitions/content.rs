//! One state of a definition of any kind; no client or clock.

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tenantry_apply::object::{MANAGED_BY, MANAGED_BY_LABEL};
use tenantry_checklist::revision::{DefinitionKind, Revision, RevisionError};
use tenantry_crds::common::Lifecycle;
use tenantry_crds::{BlueprintSpec, HostedApplicationSpec, HostedApplicationVersionSpec, ServicePlanSpec};

/// Label of a stored revision with the kind of the definition.
pub(crate) const KIND_LABEL: &str = "tenantry.io/definition-kind";

/// A definition by kind and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// Kind.
    pub(crate) kind: DefinitionKind,
    /// Name.
    pub(crate) name: String,
}

/// One state of a definition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    /// Of a plan.
    Plan(Arc<ServicePlanSpec>),
    /// Of an application.
    Application(Arc<HostedApplicationSpec>),
    /// Of an application version.
    Version(Arc<HostedApplicationVersionSpec>),
    /// Of a blueprint.
    Blueprint(Arc<BlueprintSpec>),
}

// === impl Key ===

impl Key {
    /// A definition by kind and name.
    pub(crate) fn new(kind: DefinitionKind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", noun(self.kind), self.name)
    }
}

/// What a kind of definition is called in messages.
#[must_use]
pub(crate) fn noun(kind: DefinitionKind) -> &'static str {
    match kind {
        DefinitionKind::Plan => "service plan",
        DefinitionKind::Application => "hosted application",
        DefinitionKind::Version => "application version",
        DefinitionKind::Blueprint => "blueprint",
    }
}

fn word(kind: DefinitionKind) -> &'static str {
    match kind {
        DefinitionKind::Plan => "plan",
        DefinitionKind::Application => "application",
        DefinitionKind::Version => "version",
        DefinitionKind::Blueprint => "blueprint",
    }
}

fn from_word(word: &str) -> Option<DefinitionKind> {
    [DefinitionKind::Plan, DefinitionKind::Application, DefinitionKind::Version, DefinitionKind::Blueprint]
        .into_iter()
        .find(|kind| self::word(*kind) == word)
}

// === impl Content ===

impl Content {
    /// The revision this state is.
    ///
    /// # Errors
    /// When the content has no JSON form.
    pub(crate) fn revision(&self, name: &str) -> Result<Revision, RevisionError> {
        match self {
            Self::Plan(spec) => Revision::of(name, &**spec),
            Self::Application(spec) => Revision::of(name, &**spec),
            Self::Version(spec) => Revision::of(name, &**spec),
            Self::Blueprint(spec) => Revision::of(name, &**spec),
        }
    }

    /// How far the definition is in its life; kinds without a lifecycle are always published.
    #[must_use]
    pub(crate) fn lifecycle(&self) -> Lifecycle {
        match self {
            Self::Plan(spec) => spec.lifecycle,
            Self::Version(spec) => spec.lifecycle,
            Self::Application(_) | Self::Blueprint(_) => Lifecycle::Published,
        }
    }

    fn to_json(&self) -> Result<Value, serde_json::Error> {
        match self {
            Self::Plan(spec) => serde_json::to_value(&**spec),
            Self::Application(spec) => serde_json::to_value(&**spec),
            Self::Version(spec) => serde_json::to_value(&**spec),
            Self::Blueprint(spec) => serde_json::to_value(&**spec),
        }
    }

    fn from_json(kind: DefinitionKind, spec: Value) -> Result<Self, serde_json::Error> {
        Ok(match kind {
            DefinitionKind::Plan => Self::Plan(Arc::new(serde_json::from_value(spec)?)),
            DefinitionKind::Application => Self::Application(Arc::new(serde_json::from_value(spec)?)),
            DefinitionKind::Version => Self::Version(Arc::new(serde_json::from_value(spec)?)),
            DefinitionKind::Blueprint => Self::Blueprint(Arc::new(serde_json::from_value(spec)?)),
        })
    }
}

/// Name of the ControllerRevision that stores a revision.
#[must_use]
pub(crate) fn object_name(key: &Key, revision: &Revision) -> String {
    format!("{}-{}-{}", word(key.kind), key.name, revision.digest())
}

/// The ControllerRevision that stores a state of a definition.
///
/// # Errors
/// When the content has no JSON form.
pub(crate) fn to_object(
    key: &Key,
    revision: &Revision,
    content: &Content,
    number: i64,
) -> Result<ControllerRevision, serde_json::Error> {
    let labels = BTreeMap::from([
        (MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned()),
        (KIND_LABEL.to_owned(), word(key.kind).to_owned()),
    ]);
    let metadata =
        ObjectMeta { name: Some(object_name(key, revision)), labels: Some(labels), ..ObjectMeta::default() };
    let data = json!({"definition": key.name, "revision": revision.to_string(), "spec": content.to_json()?});
    let data = k8s_openapi::apimachinery::pkg::runtime::RawExtension(data);
    Ok(ControllerRevision { metadata, data: Some(data), revision: number })
}

/// A stored state of a definition, with its number in the order of storing; `None` for an object that is none of
/// ours, and for one whose content is not what its name says.
#[must_use]
pub(crate) fn from_object(object: &ControllerRevision) -> Option<(Key, Revision, Content, i64)> {
    let kind = from_word(object.metadata.labels.as_ref()?.get(KIND_LABEL)?)?;
    let data = &object.data.as_ref()?.0;
    let key = Key::new(kind, data.get("definition")?.as_str()?);
    let content = Content::from_json(kind, data.get("spec")?.clone()).ok()?;
    let revision: Revision = data.get("revision")?.as_str()?.parse().ok()?;
    (Some(&object_name(&key, &revision)) == object.metadata.name.as_ref()).then_some(())?;
    Some((key, revision, content, object.revision))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gold() -> (Key, Content) {
        let spec = ServicePlanSpec { tier: "Gold".to_owned(), ..ServicePlanSpec::default() };
        (Key::new(DefinitionKind::Plan, "gold"), Content::Plan(Arc::new(spec)))
    }

    #[test]
    fn a_stored_state_comes_back_as_it_was() {
        let (key, content) = gold();
        let revision = content.revision("gold").unwrap();
        let object = to_object(&key, &revision, &content, 3).unwrap();
        assert_eq!(from_object(&object), Some((key, revision, content, 3)));
    }

    #[test]
    fn an_object_whose_name_is_not_its_content_is_no_revision() {
        let (key, content) = gold();
        let revision = content.revision("gold").unwrap();
        let mut object = to_object(&key, &revision, &content, 3).unwrap();
        object.metadata.name = Some("plan-silver-0123456789".to_owned());
        assert_eq!(from_object(&object), None);
    }
}
