//! `HostedApplication`: what a provider hosts, and what a customer may choose about it.

use crate::common::Reference;
use crate::definition::DefinitionStatus;
use kube::{CustomResource, KubeSchema};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An application that can be ordered. Its versions are objects of their own.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "tenantry.io",
    version = "v1alpha1",
    kind = "HostedApplication",
    doc = "An application that can be ordered.",
    plural = "hostedapplications",
    shortname = "happ",
    category = "tenantry",
    status = "DefinitionStatus",
    derive = "Default",
    derive = "PartialEq",
    cel,
    validation = Rule::new("self.metadata.name.size() <= 63").message("metadata.name must be at most 63 characters; choose a shorter name"),
    printcolumn(name = "Title", type_ = "string", json_path = ".spec.displayName"),
    printcolumn(name = "Blueprint", type_ = "string", json_path = ".spec.blueprintRef.name"),
    printcolumn(name = "Accepted", type_ = "string", json_path = ".status.conditions[?(@.type=='Accepted')].status"),
    printcolumn(name = "In use", type_ = "boolean", json_path = ".status.inUse"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct HostedApplicationSpec {
    /// Name people see.
    #[schemars(length(min = 1, max = 64))]
    pub display_name: String,
    /// What the application does, in a few sentences.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub description: String,
    /// JSON Schema of the parameters a customer chooses. Its defaults are filled in.
    #[serde(default = "empty_object", skip_serializing_if = "is_empty_object")]
    #[schemars(schema_with = "free_object")]
    pub parameters_schema: Value,
    /// Checklist that carries a customer of this application to go-live.
    #[serde(default = "standard_blueprint")]
    pub blueprint_ref: Reference,
}

fn standard_blueprint() -> Reference {
    Reference { name: "standard".to_owned() }
}

pub(crate) fn empty_object() -> Value {
    Value::Object(serde_json::Map::new())
}

pub(crate) fn is_empty_object(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// An object of any shape: its own schema is data that the API server does not know.
pub(crate) fn free_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true, "maxProperties": 64 })
}
