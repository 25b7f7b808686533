//! Visits every node of the schemas; pure, needs neither client nor clock.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value};

/// One schema node and where it is.
pub(crate) struct Node {
    /// Dotted path from the root, `[]` for the items of a list and `{}` for the values of a map; empty for the root.
    pub(crate) path: String,
    /// The schema itself.
    pub(crate) schema: Map<String, Value>,
    /// Whether the node is a field of an object whose `required` names it.
    pub(crate) required: bool,
}

/// Every node of a definition's schema, parents first and fields in the order of their names.
pub(crate) fn nodes(crd: &CustomResourceDefinition) -> Vec<Node> {
    let mut found = Vec::new();
    visit(&root(crd), String::new(), true, &mut found);
    found
}

/// The schema of the only version.
pub(crate) fn root(crd: &CustomResourceDefinition) -> Value {
    let [version] = crd.spec.versions.as_slice() else {
        panic!("{}: one version expected", crd.spec.names.kind)
    };
    let schema = version.schema.as_ref().and_then(|s| s.open_api_v3_schema.as_ref()).expect("a schema");
    serde_json::to_value(schema).expect("a schema is JSON")
}

fn visit(schema: &Value, path: String, required: bool, found: &mut Vec<Node>) {
    let Value::Object(map) = schema else { panic!("{path}: a schema must be an object, not {schema}") };
    found.push(Node { path: path.clone(), schema: map.clone(), required });
    let names = map.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    for (name, property) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let child = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        visit(property, child, names.contains(&Value::from(name.as_str())), found);
    }
    if let Some(items) = map.get("items") {
        visit(items, format!("{path}[]"), true, found);
    }
    if let Some(values) = map.get("additionalProperties") {
        visit(values, format!("{path}{{}}"), true, found);
    }
}
