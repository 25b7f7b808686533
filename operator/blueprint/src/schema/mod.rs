//! The context that templates and expressions read: which paths there are and what they hold; pure.
//!
//! The schema is derived from the schemas of the kinds a person writes and from the application's own
//! `parametersSchema`, so it cannot drift from them. It is published by `tenantry` for authors, decides the static
//! check, and makes every context total: a path of the schema always has a value.

mod pattern;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tenantry_crds::blueprint::Settings;
use tenantry_crds::subscription::BusinessInputs;
use tenantry_crds::{ServicePlanSpec, TenantSubscriptionSpec};

/// Parts of the subscription that templates see, under `order`.
const ORDER_PARTS: [&str; 7] =
    ["organization", "contacts", "users", "network", "training", "dataConversion", "goLive"];

/// What a value of the context is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A string. Restricted ones hold only `[A-Za-z0-9._:@/-]`, by their schema.
    Text {
        /// Whether the schema restricts it.
        restricted: bool,
    },
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A list.
    List(Box<Shape>),
    /// An object with known fields.
    Object(BTreeMap<String, Shape>),
    /// An object whose keys are data.
    Map(Box<Shape>),
    /// Something the schema does not describe.
    Any,
}

/// One path of the context, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathEntry {
    /// The path, such as `order.users[].name`.
    pub path: String,
    /// What it holds: `text`, `integer`, `number`, `boolean`, `list`, `object`, `map` or `any`.
    pub kind: &'static str,
    /// Whether it holds only `[A-Za-z0-9._:@/-]`, so that it may stand inside a longer text as it is.
    pub restricted: bool,
}

/// Schema of the whole context for one application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextSchema(BTreeMap<String, Shape>);

// === impl Shape ===

impl Shape {
    /// Reads a JSON Schema as far as it describes a tree. What it does not understand is [`Shape::Any`].
    #[must_use]
    pub fn from_json_schema(schema: &Value) -> Self {
        if let Some(alternatives) =
            schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array)
        {
            return one_of(alternatives);
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            return constants(values.iter());
        }
        if let Some(value) = schema.get("const") {
            return constants(std::iter::once(value));
        }
        match type_of(schema) {
            Some("string") => Self::Text {
                restricted: schema.get("pattern").and_then(Value::as_str).is_some_and(pattern::restricts),
            },
            Some("integer") => Self::Integer,
            Some("number") => Self::Number,
            Some("boolean") => Self::Boolean,
            Some("array") => {
                Self::List(Box::new(schema.get("items").map_or(Self::Any, Self::from_json_schema)))
            }
            Some("object") => object(schema),
            _ => Self::Any,
        }
    }

    /// The value a missing or null value of this shape has: nothing a template could stumble over.
    #[must_use]
    pub fn empty(&self) -> Value {
        match self {
            Self::Text { .. } | Self::Any => json!(""),
            Self::Integer | Self::Number => json!(0),
            Self::Boolean => json!(false),
            Self::List(_) => json!([]),
            Self::Map(_) => json!({}),
            Self::Object(fields) => {
                Value::Object(fields.iter().map(|(name, field)| (name.clone(), field.empty())).collect())
            }
        }
    }

    /// Gives every path of the shape a value, and keeps no path that the shape does not have.
    fn complete(&self, value: Option<Value>) -> Value {
        match (self, value) {
            (_, None | Some(Value::Null)) => self.empty(),
            (Self::Object(fields), Some(Value::Object(mut value))) => {
                let complete =
                    |(name, field): (&String, &Self)| (name.clone(), field.complete(value.remove(name)));
                Value::Object(fields.iter().map(complete).collect())
            }
            (Self::List(item), Some(Value::Array(items))) => {
                Value::Array(items.into_iter().map(|given| item.complete(Some(given))).collect())
            }
            (Self::Map(item), Some(Value::Object(entries))) => Value::Object(
                entries.into_iter().map(|(key, given)| (key, item.complete(Some(given)))).collect(),
            ),
            (_, Some(value)) => value,
        }
    }

    fn paths(&self, path: &str, out: &mut Vec<PathEntry>) {
        let (kind, restricted) = match self {
            Self::Text { restricted } => ("text", *restricted),
            Self::Integer => ("integer", true),
            Self::Number => ("number", true),
            Self::Boolean => ("boolean", true),
            Self::List(_) => ("list", false),
            Self::Object(_) => ("object", false),
            Self::Map(_) => ("map", false),
            Self::Any => ("any", false),
        };
        out.push(PathEntry { path: path.to_owned(), kind, restricted });
        match self {
            Self::List(item) | Self::Map(item) => item.paths(&format!("{path}[]"), out),
            Self::Object(fields) => {
                fields.iter().for_each(|(name, field)| field.paths(&format!("{path}.{name}"), out));
            }
            _ => {}
        }
    }
}

// === impl ContextSchema ===

impl ContextSchema {
    /// The context of an application with this `parametersSchema`; without one there are no parameters.
    #[must_use]
    pub fn new(parameters_schema: Option<&Value>) -> Self {
        let order = shape_of::<TenantSubscriptionSpec>();
        let parameters = match parameters_schema.map(Shape::from_json_schema) {
            Some(shape @ (Shape::Object(_) | Shape::Map(_))) => shape,
            _ => Shape::Object(BTreeMap::new()),
        };
        Self(BTreeMap::from([
            (
                "tenant".to_owned(),
                fields([("id", RESTRICTED), ("name", RESTRICTED), ("namespace", RESTRICTED)]),
            ),
            ("order".to_owned(), only(order, &ORDER_PARTS)),
            ("inputs".to_owned(), numbers(shape_of::<BusinessInputs>())),
            ("parameters".to_owned(), parameters),
            ("plan".to_owned(), without(shape_of::<ServicePlanSpec>(), "lifecycle")),
            ("application".to_owned(), application()),
            ("settings".to_owned(), shape_of::<Settings>()),
            ("suspension".to_owned(), suspension()),
        ]))
    }

    /// The same for a job of a version, which also reads what its run is, and of what the jobs before it found the parts that
    /// `known` names.
    #[must_use]
    pub fn of_job(parameters_schema: &Value, known: &BTreeSet<&str>) -> Self {
        let Self(mut roots) = Self::new(Some(parameters_schema));
        let job = fields([("load", RESTRICTED), ("rows", Shape::Integer), ("sha256", RESTRICTED)]);
        roots.insert("job".to_owned(), job);
        if let Shape::Object(mut outputs) = output_shapes() {
            outputs.retain(|name, _| known.contains(name.as_str()));
            roots.insert("outputs".to_owned(), Shape::Object(outputs));
        }
        Self(roots)
    }

    /// The part of it that the formulas of an application read.
    #[must_use]
    pub fn of_sizing(parameters_schema: &Value) -> Self {
        let Self(mut roots) = Self::new(Some(parameters_schema));
        roots.retain(|name, _| ["inputs", "plan", "parameters"].contains(&name.as_str()));
        Self(roots)
    }

    /// A schema from shapes, for contexts of another kind such as `object` of a readiness expression.
    pub(crate) fn from_shapes<const N: usize>(shapes: [(&str, Shape); N]) -> Self {
        Self(shapes.into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect())
    }

    /// The variables.
    pub(crate) fn roots(&self) -> &BTreeMap<String, Shape> {
        &self.0
    }

    /// Every path with what it holds, sorted, for the published reference.
    #[must_use]
    pub fn paths(&self) -> Vec<PathEntry> {
        let mut out = Vec::new();
        self.0.iter().for_each(|(name, shape)| shape.paths(name, &mut out));
        out
    }

    /// Makes a context total and closed: every path of the schema gets a value, an empty one where the order has
    /// none, and what the schema does not publish is left out.
    #[must_use]
    pub fn complete(&self, context: Value) -> Value {
        let mut given = match context {
            Value::Object(given) => given,
            _ => Map::new(),
        };
        let complete = |(name, shape): (&String, &Shape)| (name.clone(), shape.complete(given.remove(name)));
        Value::Object(self.0.iter().map(complete).collect())
    }
}

/// What jobs can have found, by [`tenantry_checklist::job::output_name`].
pub const OUTPUTS: [&str; 5] = ["trial", "convert", "verify", "backup", "export"];

fn output_shapes() -> Shape {
    let output = || {
        fields([
            ("run", RESTRICTED),
            ("rows", Shape::Integer),
            ("sourceSha256", RESTRICTED),
            ("checksum", RESTRICTED),
            ("reportSha256", RESTRICTED),
        ])
    };
    fields(OUTPUTS.map(|name| (name, output())))
}

/// What jobs found, made total: who did not find something has 0 or an empty text there.
pub(crate) fn outputs(found: Map<String, Value>) -> Value {
    output_shapes().complete(Some(Value::Object(found)))
}

const RESTRICTED: Shape = Shape::Text { restricted: true };

fn fields<const N: usize>(fields: [(&str, Shape); N]) -> Shape {
    Shape::Object(fields.into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect())
}

fn suspension() -> Shape {
    fields([
        ("network", Shape::Boolean),
        ("compute", Shape::Boolean),
        ("message", Shape::Text { restricted: false }),
    ])
}

fn application() -> Shape {
    let endpoint = fields([("name", RESTRICTED), ("service", RESTRICTED), ("port", Shape::Integer)]);
    fields([
        ("name", RESTRICTED),
        ("displayName", Shape::Text { restricted: false }),
        ("version", RESTRICTED),
        ("endpoints", Shape::List(Box::new(endpoint))),
        ("secrets", Shape::List(Box::new(RESTRICTED))),
    ])
}

/// The shape of a type by its schema.
pub(crate) fn shape_of<T: JsonSchema>() -> Shape {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    Shape::from_json_schema(settings.into_generator().into_root_schema_for::<T>().as_value())
}

fn only(shape: Shape, names: &[&str]) -> Shape {
    match shape {
        Shape::Object(mut known) => {
            known.retain(|name, _| names.contains(&name.as_str()));
            Shape::Object(known)
        }
        other => other,
    }
}

/// Every field a number: the business is computed with in fractions.
fn numbers(shape: Shape) -> Shape {
    match shape {
        Shape::Object(known) => Shape::Object(known.into_keys().map(|name| (name, Shape::Number)).collect()),
        other => other,
    }
}

/// Templates never see the lifecycle of a plan: it may change while everything a tenant runs stays as it is.
fn without(shape: Shape, name: &str) -> Shape {
    match shape {
        Shape::Object(mut known) => {
            known.remove(name);
            Shape::Object(known)
        }
        other => other,
    }
}

fn type_of(schema: &Value) -> Option<&str> {
    match schema.get("type")? {
        Value::String(name) => Some(name),
        Value::Array(names) => {
            let mut known = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            known.next().filter(|_| known.next().is_none())
        }
        _ => None,
    }
}

fn object(schema: &Value) -> Shape {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let field = |(name, schema): (&String, &Value)| (name.clone(), Shape::from_json_schema(schema));
        return Shape::Object(properties.iter().map(field).collect());
    }
    Shape::Map(Box::new(
        schema
            .get("additionalProperties")
            .filter(|rest| rest.is_object())
            .map_or(Shape::Any, Shape::from_json_schema),
    ))
}

/// Alternatives: null apart they must agree, or all be constants.
fn one_of(alternatives: &[Value]) -> Shape {
    let mut shapes = alternatives
        .iter()
        .filter(|alternative| alternative.get("type").and_then(Value::as_str) != Some("null"))
        .map(Shape::from_json_schema);
    let Some(first) = shapes.next() else { return Shape::Any };
    shapes.fold(first, merge)
}

fn constants<'a>(values: impl Iterator<Item = &'a Value>) -> Shape {
    let mut shapes = values.filter(|value| !value.is_null()).map(|value| match value {
        Value::String(text) => Shape::Text { restricted: text.chars().all(pattern::harmless) },
        Value::Bool(_) => Shape::Boolean,
        Value::Number(number) if number.is_f64() => Shape::Number,
        Value::Number(_) => Shape::Integer,
        _ => Shape::Any,
    });
    let Some(first) = shapes.next() else { return Shape::Any };
    shapes.fold(first, merge)
}

/// The shape of a value that is of one or the other shape.
pub(crate) fn merge(left: Shape, right: Shape) -> Shape {
    match (left, right) {
        (left, right) if left == right => left,
        (Shape::Text { restricted: a }, Shape::Text { restricted: b }) => Shape::Text { restricted: a && b },
        (Shape::Integer | Shape::Number, Shape::Integer | Shape::Number) => Shape::Number,
        (Shape::List(a), Shape::List(b)) => Shape::List(Box::new(merge(*a, *b))),
        _ => Shape::Any,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenantry_checklist::job::output_name;
    use tenantry_crds::blueprint::{JobAction, Load};
    use tenantry_crds::version::JobRole;

    fn entry(schema: &ContextSchema, path: &str) -> PathEntry {
        schema
            .paths()
            .into_iter()
            .find(|entry| entry.path == path)
            .unwrap_or_else(|| panic!("no path {path}"))
    }

    #[test]
    fn the_kinds_decide_what_is_restricted() {
        let parameters = json!({"type": "object", "properties": {
            "edition": {"type": "string", "enum": ["standard", "trade"]},
            "motto": {"type": "string"},
            "seats": {"type": "integer"},
            "code": {"type": "string", "pattern": "^[a-z]+$"},
            "tags": {"type": "object", "additionalProperties": {"type": "string"}},
        }});
        let schema = ContextSchema::new(Some(&parameters));
        for (path, kind, restricted) in [
            ("tenant.namespace", "text", true),
            ("order.organization.name", "text", false),
            ("order.organization.country", "text", true),
            ("order.contacts[].role", "text", true),
            ("order.users[].name", "text", true),
            ("order.users[].email", "text", false),
            ("order.users[].roles[]", "text", true),
            ("order.network.allowFrom[]", "text", true),
            ("order.network.hosts[]", "text", false),
            ("plan.servers.cpu", "text", true),
            ("plan.network.loadBalancers", "integer", true),
            ("plan.network.bandwidth.perPod.egress", "text", true),
            ("plan.security.profile", "text", true),
            ("plan.displayName", "text", false),
            ("application.endpoints[].port", "integer", true),
            ("application.secrets[]", "text", true),
            ("settings.gateway.allowList", "text", true),
            ("settings.groupPrefix", "text", true),
            ("parameters.edition", "text", true),
            ("parameters.motto", "text", false),
            ("parameters.seats", "integer", true),
            ("parameters.code", "text", true),
            ("parameters.tags[]", "text", false),
        ] {
            let entry = entry(&schema, path);
            assert_eq!((entry.kind, entry.restricted), (kind, restricted), "{path}");
        }
        assert!(!schema.paths().iter().any(|entry| entry.path.starts_with("order.parameters")));
        assert!(!schema.paths().iter().any(|entry| entry.kind == "any"), "{:?}", schema.paths());
    }

    #[test]
    fn contexts_become_total() {
        let schema =
            ContextSchema::new(Some(&json!({"type": "object", "properties": {"n": {"type": "integer"}}})));
        let context = schema.complete(json!({
            "tenant": {"id": "k7"}, "order": {"users": [{"name": "ada"}], "organization": null}, "parameters": {"extra": 1},
        }));
        assert_eq!(context["tenant"], json!({"id": "k7", "name": "", "namespace": ""}));
        assert_eq!(
            context["order"]["users"][0],
            json!({"name": "ada", "displayName": "", "email": "", "roles": []})
        );
        assert_eq!(context["order"]["network"], json!({"hosts": [], "allowFrom": []}));
        assert_eq!(context["order"]["goLive"]["notBefore"], json!(""));
        assert_eq!(context["parameters"], json!({"n": 0}), "what is not published is not there");
        assert_eq!(context["plan"]["network"]["bandwidth"]["perPod"]["ingress"], json!(""));
    }

    #[test]
    fn jobs_read_what_was_found_before_them_and_every_action_has_a_name() {
        let roles = [JobRole::Convert, JobRole::Verify, JobRole::Backup, JobRole::Export];
        let mut named: BTreeSet<&str> =
            roles.map(|role| output_name(&JobAction { role, load: None })).into_iter().collect();
        named.insert(output_name(&JobAction { role: JobRole::Convert, load: Some(Load::Trial) }));
        assert_eq!(named, BTreeSet::from(OUTPUTS));

        let schema = ContextSchema::of_job(&Value::Null, &BTreeSet::from(["convert"]));
        let rows = entry(&schema, "outputs.convert.rows");
        assert_eq!((rows.kind, rows.restricted), ("integer", true));
        assert!(!schema.paths().iter().any(|entry| entry.path.starts_with("outputs.trial")));

        let given = json!({"convert": {"run": "c-1-d", "rows": null, "checksum": "ab"}});
        let found = outputs(given.as_object().cloned().unwrap());
        assert_eq!(
            found["convert"],
            json!({"run": "c-1-d", "rows": 0, "sourceSha256": "", "checksum": "ab", "reportSha256": ""})
        );
        assert_eq!(found["export"]["run"], json!(""));
    }
}
