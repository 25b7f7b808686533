//! Writes the reference page of a kind from its schema; pure, needs neither client nor clock.

use std::fmt::Write as _;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value};

use crate::walk::{Node, nodes};

/// The page of one kind, as Markdown.
pub(crate) fn page(crd: &CustomResourceDefinition) -> String {
    let names = &crd.spec.names;
    let all = nodes(crd);
    let mut out = format!("# {}\n\n<!-- {} -->\n\n", names.kind, super::NOTICE);
    writeln!(out, "{}\n", all.first().map(|root| text(&root.schema, "description")).unwrap_or_default())
        .unwrap();
    out.push_str(&facts(crd));
    for (part, title) in [("spec", "What you write: `spec`"), ("status", "What Tenantry writes: `status`")] {
        writeln!(out, "\n## {title}\n").unwrap();
        out.push_str("| Field | Type | Required or default | Meaning |\n|---|---|---|---|\n");
        let prefix = format!("{part}.");
        for node in all.iter().filter(|node| node.path.starts_with(&prefix) && !node.path.ends_with("[]")) {
            out.push_str(&row(node, &all));
        }
    }
    out.push_str(&rules(&all));
    out
}

/// The list of pages.
pub(crate) fn index(crds: &[CustomResourceDefinition]) -> String {
    let mut out = format!("# Reference of the objects\n\n<!-- {} -->\n\n", super::NOTICE);
    out.push_str("| Kind | What it is |\n|---|---|\n");
    for crd in crds {
        let root = &nodes(crd)[0];
        let names = &crd.spec.names;
        let what = text(&root.schema, "description");
        writeln!(out, "| [{}]({}.md) | {} |", names.kind, names.plural, cell(&what)).unwrap();
    }
    out
}

fn facts(crd: &CustomResourceDefinition) -> String {
    let names = &crd.spec.names;
    let version = &crd.spec.versions[0];
    let mut out = format!("- `apiVersion: {}/{}`, `kind: {}`\n", crd.spec.group, version.name, names.kind);
    writeln!(out, "- scope: {}", crd.spec.scope).unwrap();
    let mut ways = vec![names.plural.clone()];
    ways.extend(names.short_names.iter().flatten().cloned());
    let ways: Vec<String> = ways.iter().map(|name| format!("`kubectl get {name}`")).collect();
    writeln!(out, "- {}", ways.join(" or ")).unwrap();
    let columns: Vec<String> = version
        .additional_printer_columns
        .iter()
        .flatten()
        .map(|column| format!("{} (`{}`)", column.name, column.json_path))
        .collect();
    writeln!(out, "- columns: {}", columns.join(", ")).unwrap();
    out
}

fn row(node: &Node, all: &[Node]) -> String {
    let schema = &node.schema;
    let required = match (schema.get("default"), node.required) {
        (Some(default), _) => format!("default `{default}`"),
        (None, true) => "required".to_owned(),
        (None, false) => "optional".to_owned(),
    };
    format!(
        "| `{}` | {} | {} | {} |\n",
        node.path,
        cell(&kind_of(node, all)),
        cell(&required),
        cell(&text(schema, "description")),
    )
}

/// The type of a node with its bounds, in words.
fn kind_of(node: &Node, all: &[Node]) -> String {
    let schema = &node.schema;
    let mut parts = vec![base(schema)];
    parts.extend(range(schema, "minLength", "maxLength", "characters"));
    parts.extend(range(schema, "minimum", "maximum", ""));
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
        parts.push(format!("pattern `{pattern}`"));
    }
    if text(schema, "type") == "array" {
        let items = format!("{}[]", node.path);
        if let Some(item) = all.iter().find(|node| node.path == items) {
            parts = vec![format!("list of {}", kind_of(item, all))];
        }
        parts.extend(range(schema, "minItems", "maxItems", "entries"));
        match text(schema, "x-kubernetes-list-type").as_str() {
            "map" => parts.push(format!("by {}", names(schema, "x-kubernetes-list-map-keys").join(" and "))),
            "set" => parts.push("no entry twice".to_owned()),
            _ => {}
        }
    }
    if let Some(most) = schema.get("maxProperties") {
        parts.push(format!("at most {most} keys"));
    }
    parts.join(", ")
}

fn base(schema: &Map<String, Value>) -> String {
    let allowed = names(schema, "enum");
    match (text(schema, "type").as_str(), allowed.is_empty()) {
        ("string", false) => format!("one of {}", allowed.join(", ")),
        ("string", true) if text(schema, "format") == "date-time" => "time (RFC 3339)".to_owned(),
        ("object", _) if schema.contains_key("x-kubernetes-preserve-unknown-fields") => {
            "any object".to_owned()
        }
        (name, _) => name.to_owned(),
    }
}

fn range(schema: &Map<String, Value>, low: &str, high: &str, unit: &str) -> Option<String> {
    // Bounds of numbers come as floating point numbers from the schema library, and all of ours are whole.
    let number = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
    let bounds = match (number(low), number(high)) {
        (Some(low), Some(high)) if (low - high).abs() < f64::EPSILON => format!("exactly {low}"),
        (Some(low), Some(high)) => format!("{low} to {high}"),
        (Some(low), None) => format!("at least {low}"),
        (None, Some(high)) => format!("at most {high}"),
        (None, None) => return None,
    };
    Some(format!("{bounds} {unit}").trim_end().to_owned())
}

fn rules(all: &[Node]) -> String {
    let mut out = String::from("\n## Rules\n\n| Where | When | Message | Rule |\n|---|---|---|---|\n");
    for node in all {
        for rule in
            node.schema.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten()
        {
            let expression = rule["rule"].as_str().unwrap_or_default();
            let place = format!("{}{}", node.path, rule["fieldPath"].as_str().unwrap_or_default());
            let place = if place.is_empty() { "metadata.name".to_owned() } else { place };
            let when = if expression.contains("oldSelf") { "on change" } else { "always" };
            let message = cell(rule["message"].as_str().unwrap_or_default());
            writeln!(out, "| `{place}` | {when} | {message} | `{}` |", cell(expression)).unwrap();
        }
    }
    out
}

fn text(schema: &Map<String, Value>, keyword: &str) -> String {
    schema.get(keyword).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn names(schema: &Map<String, Value>, keyword: &str) -> Vec<String> {
    let list = schema.get(keyword).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(|name| format!("`{name}`")).collect()
}

/// A table cell: one line, and bars that do not end it.
fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}
