//! The structure of rendered objects without their values: what must not change with a tenant's data; pure.

use crate::kinds::GroupKind;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

/// Type of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeType {
    /// `null`.
    Null,
    /// A boolean.
    Boolean,
    /// A number.
    Number,
    /// A string.
    Text,
    /// A list.
    List,
    /// An object.
    Object,
}

/// One node: the kind of its object, its path with the positions in lists left out, and its type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodePath {
    /// Kind of the object.
    pub kind: String,
    /// Path of the node, such as `.spec.rules[].host`.
    pub path: String,
    /// Type of the node.
    pub node: NodeType,
}

/// The set of all nodes of some objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure(BTreeSet<NodePath>);

// === impl Structure ===

impl Structure {
    /// The structure of some objects.
    pub fn of<'a>(objects: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut nodes = BTreeSet::new();
        for object in objects {
            let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
            let kind = GroupKind::new(text("apiVersion"), text("kind")).to_string();
            collect(object, &kind, String::new(), &mut nodes);
        }
        Self(nodes)
    }

    /// Nodes that only one of the two structures has, for a message. Empty when they are the same.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<NodePath> {
        self.0.symmetric_difference(&other.0).cloned().collect()
    }
}

impl fmt::Display for NodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{} ({:?})", self.kind, self.path, self.node)
    }
}

fn collect(value: &Value, kind: &str, path: String, out: &mut BTreeSet<NodePath>) {
    let node = match value {
        Value::Null => NodeType::Null,
        Value::Bool(_) => NodeType::Boolean,
        Value::Number(_) => NodeType::Number,
        Value::String(_) => NodeType::Text,
        Value::Array(items) => {
            items.iter().for_each(|item| collect(item, kind, format!("{path}[]"), out));
            NodeType::List
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| collect(field, kind, format!("{path}.{name}"), out));
            NodeType::Object
        }
    };
    out.insert(NodePath { kind: kind.to_owned(), path, node });
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_and_list_lengths_do_not_matter_and_keys_and_types_do() {
        let of = |spec: Value| Structure::of([&json!({"apiVersion": "v1", "kind": "X", "spec": spec})]);
        assert_eq!(of(json!({"a": "x", "b": [1]})), of(json!({"a": "y: z", "b": [2, 3]})));
        for other in [
            json!({"a": 1, "b": [1]}),
            json!({"a": "x", "b": [1], "c": 1}),
            json!({"a": "x", "b": ["1"]}),
            json!({"b": [1]}),
        ] {
            assert!(!of(json!({"a": "x", "b": [1]})).differences(&of(other.clone())).is_empty(), "{other}");
        }
    }
}
