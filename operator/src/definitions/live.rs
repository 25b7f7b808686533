//! Definitions as objects of the API server, whatever they hold; no client or clock.

use super::content::{Content, Key};
use super::store::{Live, NOTICE_ANNOTATION};
use kube::api::DynamicObject;
use kube::core::ApiResource;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tenantry_checklist::revision::DefinitionKind;
use tenantry_crds::{
    Blueprint, BlueprintSpec, DefinitionStatus, HostedApplication, HostedApplicationSpec,
    HostedApplicationVersion, HostedApplicationVersionSpec, ServicePlan, ServicePlanSpec,
};

/// A kind of definition.
pub(crate) trait Definition {
    /// Which.
    const KIND: DefinitionKind;
    /// What one of it says.
    type Spec: DeserializeOwned;
    /// The content of a spec.
    fn content(spec: Self::Spec) -> Content;
    /// What requests need.
    fn resource() -> ApiResource;
}

macro_rules! definition {
    ($object:ty, $spec:ty, $variant:ident) => {
        impl Definition for $object {
            const KIND: DefinitionKind = DefinitionKind::$variant;
            type Spec = $spec;

            fn content(spec: $spec) -> Content {
                Content::$variant(Arc::new(spec))
            }

            fn resource() -> ApiResource {
                ApiResource::erase::<Self>(&())
            }
        }
    };
}
definition!(ServicePlan, ServicePlanSpec, Plan);
definition!(HostedApplication, HostedApplicationSpec, Application);
definition!(HostedApplicationVersion, HostedApplicationVersionSpec, Version);
definition!(Blueprint, BlueprintSpec, Blueprint);

/// Reads one definition, of which the content may be nonsense; nothing for an object without name or UID.
pub(crate) fn read<D: Definition>(mut object: DynamicObject) -> Option<(Key, Live)> {
    let name = object.metadata.name?;
    let spec = object.data.get_mut("spec").map(serde_json::Value::take).unwrap_or_default();
    let content = serde_json::from_value::<D::Spec>(spec).map(D::content).map_err(|error| error.to_string());
    let status = object.data.get_mut("status").map(serde_json::Value::take).unwrap_or_default();
    let notice = object.metadata.annotations.as_mut().and_then(|all| all.remove(NOTICE_ANNOTATION));
    let live = Live {
        uid: object.metadata.uid?,
        generation: object.metadata.generation.unwrap_or_default(),
        content,
        notice,
        status: serde_json::from_value::<Option<DefinitionStatus>>(status).ok().flatten().unwrap_or_default(),
    };
    Some((Key::new(D::KIND, name), live))
}
