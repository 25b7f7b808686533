//! Every node of every schema keeps the rules of structural schemas and has a description and bounds; pure.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may fail loudly"
)]

#[path = "common/walk.rs"]
mod walk;

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value};
use walk::{Node, nodes};

/// Runs `check` on every node and reports every complaint at once.
fn every_node(check: impl Fn(&CustomResourceDefinition, &Node) -> Vec<String>) {
    let mut complaints = Vec::new();
    let mut seen = 0;
    for crd in tenantry_crds::all() {
        for node in nodes(&crd) {
            seen += 1;
            let kind = &crd.spec.names.kind;
            complaints
                .extend(check(&crd, &node).into_iter().map(|what| format!("{kind} {}: {what}", node.path)));
        }
    }
    assert!(seen > 200, "only {seen} nodes were visited");
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

fn has(schema: &Map<String, Value>, keyword: &str) -> bool {
    schema.contains_key(keyword)
}

fn is(schema: &Map<String, Value>, keyword: &str, value: &str) -> bool {
    schema.get(keyword).and_then(Value::as_str) == Some(value)
}

fn strings(schema: &Map<String, Value>, keyword: &str) -> Vec<String> {
    let list = schema.get(keyword).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[test]
fn schemas_are_structural() {
    every_node(|_, Node { schema, .. }| {
        let mut complaints = Vec::new();
        let free = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
        let either = schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true));
        if !has(schema, "type") && !free && !either {
            complaints.push("has no type".to_owned());
        }
        for keyword in ["$ref", "definitions", "dependencies", "patternProperties", "uniqueItems", "id"] {
            if has(schema, keyword) {
                complaints.push(format!("{keyword} is not allowed in a structural schema"));
            }
        }
        if schema.get("items").is_some_and(|items| !items.is_object()) {
            complaints.push("items must be one schema, not a list of them".to_owned());
        }
        if has(schema, "properties") && has(schema, "additionalProperties") {
            complaints.push("properties and additionalProperties exclude each other".to_owned());
        }
        for keyword in ["oneOf", "anyOf", "allOf", "not"] {
            if let Some(inner) = schema.get(keyword) {
                complaints.extend(typed_inside(inner).map(|what| format!("{what} inside {keyword}")));
            }
        }
        complaints
    });
}

/// The first keyword in a logical junctor that only the structure outside of it may have.
fn typed_inside(schema: &Value) -> Option<&'static str> {
    const OUTSIDE_ONLY: [&str; 6] =
        ["type", "description", "default", "nullable", "additionalProperties", "x-kubernetes-validations"];
    match schema {
        Value::Array(list) => list.iter().find_map(typed_inside),
        Value::Object(map) => OUTSIDE_ONLY
            .into_iter()
            .find(|keyword| map.contains_key(*keyword))
            .or_else(|| map.iter().filter(|(k, _)| *k != "properties").find_map(|(_, v)| typed_inside(v)))
            .or_else(|| map.get("properties")?.as_object()?.values().find_map(typed_inside)),
        _ => None,
    }
}

#[test]
fn every_field_is_described_for_people() {
    every_node(|_, Node { path, schema, .. }| {
        let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        if path.ends_with("[]") {
            return Vec::new();
        }
        let mut complaints = Vec::new();
        if text.len() < 10 || !text.ends_with('.') || !text.starts_with(|c: char| c.is_uppercase()) {
            complaints.push(format!("needs a description in whole sentences, has {text:?}"));
        }
        if text.contains("Auto-generated") {
            complaints.push("has the derive's description; write one for people".to_owned());
        }
        complaints
    });
}

#[test]
fn every_value_is_bounded() {
    every_node(|_, Node { path, schema, .. }| {
        let mut complaints = Vec::new();
        let mut need = |keyword: &str| {
            if !has(schema, keyword) {
                complaints.push(format!("needs {keyword}"));
            }
        };
        match schema.get("type").and_then(Value::as_str) {
            Some("string") if !has(schema, "enum") && !is(schema, "format", "date-time") => need("maxLength"),
            Some("array") => need("maxItems"),
            Some("integer" | "number") => {
                need("minimum");
                if path.starts_with("spec") {
                    need("maximum");
                }
            }
            Some("object") if has(schema, "additionalProperties") => need("maxProperties"),
            Some("object") if has(schema, "x-kubernetes-preserve-unknown-fields") => need("maxProperties"),
            _ => {}
        }
        if has(schema, "format") && !["date-time", "int32", "int64"].iter().any(|f| is(schema, "format", f)) {
            complaints.push(format!("the API server does not know the format {}", schema["format"]));
        }
        complaints
    });
}

#[test]
fn required_text_is_never_empty_and_patterns_are_anchored() {
    every_node(|_, Node { path, schema, required }| {
        let mut complaints = Vec::new();
        let free_text = is(schema, "type", "string") && !has(schema, "enum") && !has(schema, "format");
        let may_be_empty = ["spec.allowedKinds[].group"].contains(&path.as_str());
        if path.starts_with("spec") && free_text && *required && !may_be_empty && !has(schema, "minLength") {
            complaints.push("is required, so it needs minLength".to_owned());
        }
        if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
            && (!pattern.starts_with('^') || !pattern.ends_with('$'))
        {
            complaints.push(format!("the pattern {pattern} matches a part of the value; anchor it"));
        }
        complaints
    });
}

#[test]
fn lists_say_how_they_merge_and_keys_are_required() {
    every_node(|_, Node { schema, .. }| {
        if !is(schema, "type", "array") {
            return Vec::new();
        }
        let item = schema["items"].as_object().expect("items of a list");
        let objects = is(item, "type", "object");
        match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
            Some("map") if objects => {
                let keys = strings(schema, "x-kubernetes-list-map-keys");
                let required: BTreeSet<String> = strings(item, "required").into_iter().collect();
                let missing: Vec<_> = keys.iter().filter(|key| !required.contains(*key)).collect();
                match (keys.is_empty(), missing.is_empty()) {
                    (true, _) => vec!["a list-map needs keys".to_owned()],
                    (_, false) => vec![format!("keys must be required: {missing:?}")],
                    _ => Vec::new(),
                }
            }
            Some("set") if !objects => Vec::new(),
            Some("atomic") => Vec::new(),
            other => vec![format!("a list of {} cannot have list type {other:?}", item["type"])],
        }
    });
}

#[test]
fn defaults_satisfy_their_own_schema() {
    every_node(|_, Node { schema, .. }| {
        let Some(default) = schema.get("default") else { return Vec::new() };
        let validator = jsonschema::validator_for(&Value::Object(schema.clone())).expect("a JSON schema");
        validator.iter_errors(default).map(|error| format!("default {default}: {error}")).collect()
    });
}

#[test]
fn no_field_of_an_order_names_a_namespace() {
    every_node(|crd, Node { path, .. }| {
        let leaf = path.rsplit('.').next().unwrap_or_default().to_lowercase();
        let order = crd.spec.names.kind == "TenantSubscription" && path.starts_with("spec");
        if order && leaf.contains("namespace") {
            return vec!["a customer could reach another tenant's namespace through this".to_owned()];
        }
        Vec::new()
    });
}

#[test]
fn definitions_follow_the_conventions() {
    for crd in tenantry_crds::all() {
        let names = &crd.spec.names;
        assert_eq!(crd.spec.group, tenantry_crds::GROUP);
        // What a tenant is told lies with him; everything else says to which tenants it belongs.
        let scope = if names.kind == "BillingRecord" { "Namespaced" } else { "Cluster" };
        assert_eq!(crd.spec.scope, scope, "{}", names.kind);
        assert_eq!(names.categories.as_deref(), Some(["tenantry".to_owned()].as_slice()), "{}", names.kind);
        let version = &crd.spec.versions[0];
        assert_eq!(version.name, tenantry_crds::VERSION);
        // A signature is a fact, and so is who pays, who sells and what was billed: nothing about it is observed.
        let has_status = version.subresources.as_ref().is_some_and(|s| s.status.is_some());
        let is_said =
            ["TenantSignOff", "TenantSuspension", "InvoiceIssuer", "BillingAccount", "BillingRecord"]
                .contains(&names.kind.as_str());
        assert_eq!(has_status, !is_said, "{}", names.kind);
        let columns = version.additional_printer_columns.as_deref().unwrap_or_default();
        assert_eq!(columns.last().map(|column| column.name.as_str()), Some("Age"), "{}", names.kind);
        // Server-side apply of a definition from a file by `kubectl apply` keeps a copy in an annotation, which is
        // limited to 256 KiB.
        let size = serde_json::to_string(&crd).expect("a definition is JSON").len();
        assert!(size < 200 * 1024, "{} has {size} bytes", names.kind);
    }
}

#[test]
fn print_columns_point_at_fields() {
    for crd in tenantry_crds::all() {
        let paths: BTreeSet<String> = nodes(&crd).into_iter().map(|node| node.path).collect();
        for column in crd.spec.versions[0].additional_printer_columns.iter().flatten() {
            let path = column.json_path.trim_start_matches('.').split("[?").next().unwrap_or_default();
            let known = path.starts_with("metadata.") || paths.contains(path);
            assert!(known, "{} {}: {} is no field", crd.spec.names.kind, column.name, column.json_path);
        }
    }
}

#[test]
fn rules_have_messages_for_people() {
    every_node(|_, Node { schema, .. }| {
        let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array);
        let mut complaints = Vec::new();
        for rule in rules.into_iter().flatten() {
            let message = rule["message"].as_str().unwrap_or_default();
            // A message says what is wrong, and after a semicolon or in other words what to do.
            if message.split_whitespace().count() < 6 || message.ends_with('.') {
                complaints.push(format!(
                    "the rule {} needs a message with a remedy, has {message:?}",
                    rule["rule"]
                ));
            }
        }
        complaints
    });
}
