//! The schema of an application's parameters: bounded, closed, with its defaults filled in; pure.
//!
//! A parameter the schema does not know is refused even where JSON Schema would let it pass: a misspelt name would
//! otherwise have no effect and no message. An author who wants free names says so with `additionalProperties`.

use crate::Problem;
use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value, json};

/// Longest schema, as compact JSON.
const BYTES_LIMIT: usize = 32 * 1024;
/// Deepest nesting of a schema.
const DEPTH_LIMIT: usize = 16;
/// Largest compiled regular expression, in bytes.
const REGEX_LIMIT: usize = 64 * 1024;
/// Problems reported for one set of parameters.
const PROBLEM_LIMIT: usize = 16;
const FIELD: &str = "spec.parametersSchema";
const INVALID: &str = "SchemaInvalid";
/// Keywords that say themselves which names are allowed.
const OPENING: [&str; 8] = [
    "additionalProperties",
    "patternProperties",
    "unevaluatedProperties",
    "$ref",
    "allOf",
    "anyOf",
    "oneOf",
    "if",
];

/// A schema that parameters can be checked against.
#[derive(Debug)]
pub struct ParametersSchema {
    schema: Value,
    validator: Validator,
}

impl ParametersSchema {
    /// Compiles the schema of an application's parameters. References stay inside the document, regular expressions run
    /// in linear time, and the document is bounded in size and depth.
    ///
    /// # Errors
    /// What is wrong with the schema, for its author: field `spec.parametersSchema`, reason `SchemaInvalid`.
    pub fn compile(schema: &Value) -> Result<Self, Problem> {
        let refused = |message: String| Problem::new(FIELD, INVALID, message);
        let bytes = schema.to_string().len();
        if bytes > BYTES_LIMIT {
            return Err(refused(format!("is {bytes} bytes long; keep it under {BYTES_LIMIT}")));
        }
        if depth(schema) > DEPTH_LIMIT {
            return Err(refused(format!("is nested more than {DEPTH_LIMIT} deep; flatten it")));
        }
        if let Some(reference) = foreign_reference(schema) {
            return Err(refused(format!(
                "refers to {reference:?} outside the document; copy what it needs into $defs and refer to #/$defs/..."
            )));
        }
        if schema.get("type").is_some_and(|kind| kind != "object") {
            return Err(refused("describes something else than an object; write type: object".to_owned()));
        }
        let mut closed = schema.clone();
        close(&mut closed);
        let validator = jsonschema::draft202012::options()
            .with_pattern_options(PatternOptions::regex().size_limit(REGEX_LIMIT))
            .should_validate_formats(true)
            .offline()
            .build(&closed)
            .map_err(|error| refused(format!("is not a JSON Schema: {error}; correct it")))?;
        let compiled = Self { schema: closed, validator };
        match compiled.check_defaults() {
            Some(problem) => Err(problem),
            None => Ok(compiled),
        }
    }

    /// The parameters with the schema's defaults filled in, or every violation with the path of its parameter.
    ///
    /// Defaults are taken from `properties` and `items`, in objects that are there; values that are there are kept.
    ///
    /// # Errors
    /// One problem per violation, reason `ParameterInvalid`, at most sixteen.
    pub fn fill(&self, parameters: &Value) -> Result<Value, Vec<Problem>> {
        let mut filled = match parameters {
            Value::Null => Value::Object(Map::new()),
            other => other.clone(),
        };
        defaults(&self.schema, &mut filled);
        let problems: Vec<Problem> = self
            .validator
            .iter_errors(&filled)
            .flat_map(|error| problems(&error, &filled))
            .take(PROBLEM_LIMIT)
            .collect();
        if problems.is_empty() { Ok(filled) } else { Err(problems) }
    }

    /// A default that the schema itself refuses would make every order fail, so it is the author's problem.
    fn check_defaults(&self) -> Option<Problem> {
        let mut filled = Value::Object(Map::new());
        defaults(&self.schema, &mut filled);
        let wrong = self.validator.iter_errors(&filled).find(|error| !incomplete(error.kind()))?;
        Some(Problem::new(
            FIELD,
            INVALID,
            format!(
                "has a default at {} that it refuses itself: {wrong}; correct the default",
                wrong.instance_path()
            ),
        ))
    }
}

/// Whether an error only says that something is missing, as nothing but defaults is there.
fn incomplete(kind: &ValidationErrorKind) -> bool {
    matches!(
        kind,
        ValidationErrorKind::Required { .. }
            | ValidationErrorKind::MinProperties { .. }
            | ValidationErrorKind::AnyOf { .. }
            | ValidationErrorKind::OneOfNotValid { .. }
    )
}

/// Problems of one violation. A missing or unknown parameter is reported at its own path.
fn problems(error: &ValidationError<'_>, filled: &Value) -> Vec<Problem> {
    let path = error.instance_path().as_str().to_owned();
    let one = |path: &str, message: &str| Problem::new(field(path), "ParameterInvalid", message);
    let unknown = |names: &[String]| -> Vec<Problem> {
        let message = "is not a parameter of the application; remove it or correct its name";
        names.iter().map(|name| one(&child(&path, name), message)).collect()
    };
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![one(&child(&path, name), "is missing and has no default; set it")]
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => unknown(unexpected),
        // Where an object may have no properties at all, the validator reports the object and not their names.
        ValidationErrorKind::FalseSchema
            if error.schema_path().as_str().ends_with("/additionalProperties") =>
        {
            let object = filled.pointer(&path).and_then(Value::as_object);
            unknown(&object.map(|map| map.keys().cloned().collect::<Vec<_>>()).unwrap_or_default())
        }
        // The value itself may be long and is the reader's own; the rule it breaks is what helps.
        _ => vec![one(&path, &format!("{}; correct it", error.masked_with("the value")))],
    }
}

fn child(path: &str, name: &str) -> String {
    format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// A JSON pointer below the parameters as a field path.
fn field(pointer: &str) -> String {
    let mut path = "spec.parameters".to_owned();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) {
            path.push_str(&format!("[{part}]"));
        } else if !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        {
            path.push_str(&format!(".{part}"));
        } else {
            path.push_str(&format!("[{:?}]", part.chars().take(64).collect::<String>()));
        }
    }
    path
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// The first reference that leaves the document, or a new base that would make local references leave it.
fn foreign_reference(value: &Value) -> Option<&str> {
    match value {
        Value::Object(map) => map.iter().find_map(|(key, inner)| match (key.as_str(), inner.as_str()) {
            ("$ref" | "$dynamicRef", Some(target)) if !target.starts_with('#') => Some(target),
            ("$id", Some(base)) => Some(base),
            _ => foreign_reference(inner),
        }),
        Value::Array(items) => items.iter().find_map(foreign_reference),
        _ => None,
    }
}

/// Refuses unknown names in every object of the schema that does not say itself what it allows.
fn close(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    if !OPENING.iter().any(|keyword| map.contains_key(*keyword)) {
        map.insert("additionalProperties".to_owned(), json!(false));
    }
    let names_properties = |inner: &&mut Value| inner.get("properties").is_some();
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        properties.values_mut().filter(names_properties).for_each(close);
    }
    map.get_mut("items").filter(names_properties).into_iter().for_each(close);
}

fn defaults(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            let Some(Value::Object(properties)) = schema.get("properties") else { return };
            for (name, inner) in properties {
                if let Some(default) = inner.get("default")
                    && !map.contains_key(name)
                {
                    map.insert(name.clone(), default.clone());
                }
                if let Some(present) = map.get_mut(name) {
                    defaults(inner, present);
                }
            }
        }
        Value::Array(items) => {
            let Some(inner) = schema.get("items") else { return };
            items.iter_mut().for_each(|item| defaults(inner, item));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn erp() -> ParametersSchema {
        ParametersSchema::compile(&json!({
            "type": "object",
            "required": ["edition"],
            "properties": {
                "edition": {"type": "string", "enum": ["standard", "trade"]},
                "language": {"type": "string", "default": "en", "maxLength": 5},
                "seats": {"type": "integer", "minimum": 1, "maximum": 10},
                "mail": {
                    "type": "object",
                    "default": {},
                    "properties": {"port": {"type": "integer", "default": 25}, "from": {"type": "string", "format": "email"}},
                },
                "sites": {
                    "type": "array",
                    "items": {"type": "object", "properties": {"name": {"type": "string"}, "open": {"type": "boolean", "default": true}}},
                },
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        }))
        .unwrap()
    }

    #[test]
    fn defaults_are_filled_at_every_depth_and_values_are_kept() {
        let given = json!({"edition": "trade", "sites": [{"name": "a"}, {"open": false}], "labels": {"any": "thing"}});
        let filled = erp().fill(&given).unwrap();
        assert_eq!(
            filled,
            json!({
                "edition": "trade", "language": "en", "mail": {"port": 25}, "labels": {"any": "thing"},
                "sites": [{"name": "a", "open": true}, {"open": false}],
            })
        );
        assert_eq!(erp().fill(&filled).unwrap(), filled);
    }

    #[test]
    fn each_violation_has_its_path_and_a_remedy() {
        let given = json!({
            "language": "toolong", "seats": 11, "sites": [{"name": 3}], "langauge": "de",
            "mail": {"prot": 1, "a b": 2, "from": "nobody"}, "labels": {"x/y": 1},
        });
        let problems = erp().fill(&given).unwrap_err();
        let mut fields: Vec<&str> = problems.iter().map(|p| p.field.as_str()).collect();
        fields.sort_unstable();
        assert_eq!(
            fields,
            [
                "spec.parameters.edition",
                "spec.parameters.labels[\"x/y\"]",
                "spec.parameters.langauge",
                "spec.parameters.language",
                "spec.parameters.mail.from",
                "spec.parameters.mail.prot",
                "spec.parameters.mail[\"a b\"]",
                "spec.parameters.seats",
                "spec.parameters.sites[0].name",
            ]
        );
        for problem in &problems {
            assert_eq!(problem.reason, "ParameterInvalid");
            assert!(problem.message.contains("; "), "{problem}");
            assert!(!problem.message.contains("toolong"), "{problem}");
        }
    }

    #[test]
    fn an_application_without_a_schema_takes_no_parameters() {
        let schema = ParametersSchema::compile(&json!({})).unwrap();
        assert_eq!(schema.fill(&Value::Null).unwrap(), json!({}));
        assert_eq!(schema.fill(&json!({"x": 1})).unwrap_err()[0].field, "spec.parameters.x");
        assert_eq!(schema.fill(&json!({"x": 1, "y": 2})).unwrap_err().len(), 2);
    }

    #[test]
    fn parameters_that_are_no_object_are_refused() {
        for given in [json!([]), json!("x"), json!(1)] {
            let problems = erp().fill(&given).unwrap_err();
            assert_eq!(problems[0].field, "spec.parameters");
        }
    }

    #[test]
    fn schemas_that_cannot_be_trusted_are_refused() {
        let mut deep = json!({});
        for _ in 0..20 {
            deep = json!({"properties": {"a": deep}});
        }
        let long = json!({"description": "x".repeat(BYTES_LIMIT)});
        for (schema, part) in [
            (json!({"$ref": "https://elsewhere.example/schema.json"}), "outside the document"),
            (json!({"properties": {"a": {"$ref": "file:///etc/passwd"}}}), "outside the document"),
            (json!({"$id": "https://elsewhere.example/"}), "outside the document"),
            (json!({"type": "array"}), "type: object"),
            (json!({"type": "nonsense"}), "type: object"),
            (json!({"properties": {"a": {"type": "nonsense"}}}), "not a JSON Schema"),
            (json!({"properties": {"a": {"pattern": "("}}}), "not a JSON Schema"),
            (json!({"properties": {"a": {"pattern": "(a{1000}){1000}"}}}), "not a JSON Schema"),
            (json!({"properties": {"a": {"type": "string", "default": 5}}}), "default"),
            (deep, "deep"),
            (long, "bytes long"),
        ] {
            let problem = ParametersSchema::compile(&schema).unwrap_err();
            assert_eq!((problem.field.as_str(), problem.reason), (FIELD, INVALID));
            assert!(problem.message.contains(part), "{problem}");
        }
    }

    #[test]
    fn local_references_work() {
        let schema = ParametersSchema::compile(&json!({
            "$defs": {"size": {"enum": ["s", "m"]}},
            "properties": {"size": {"$ref": "#/$defs/size"}},
        }))
        .unwrap();
        assert!(schema.fill(&json!({"size": "s"})).is_ok());
        assert_eq!(schema.fill(&json!({"size": "x"})).unwrap_err()[0].field, "spec.parameters.size");
    }
}
