//! Typed templates: text with expressions becomes objects, and a tenant's value never becomes structure; pure.
//!
//! A template is YAML with expressions. Every interpolated string is inserted as an inert token,
//! the result is parsed strictly, and tokens are turned back inside scalars only. So a value "no", "0123" or
//! `a: b` stays the string it is and needs no quoting; numbers and booleans stay typed. One template gives one
//! object, or a YAML list of objects, or nothing.

mod filters;
mod locate;
mod shapes;
pub(crate) mod yaml;

pub(crate) use filters::TARGETS;

use crate::problem::{Position, Problem};
use crate::{scan, token};
use serde_json::Value;
use shapes::Shapes;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use tera::{ErrorKind, Tera};

/// Longest text a template may give, in bytes. The API server refuses objects of 1.5 MiB and more.
pub(crate) const OUTPUT_LIMIT: usize = 1024 * 1024;
/// Longest template, in bytes; the schema of the manifests has the same bound.
const TEMPLATE_LIMIT: usize = 64 * 1024;
/// Most objects one template may give.
const OBJECT_LIMIT: usize = 256;

/// Compiled templates. Cloning is cheap and rendering needs no exclusive access, so one set serves all tenants that
/// run the revision it was compiled from.
#[derive(Clone, Debug)]
pub struct TemplateSet {
    tera: Tera,
    sources: BTreeMap<String, String>,
    shapes: Arc<Shapes>,
}

/// The values of one order in the form templates read. Built once for an order, used for all its templates.
#[derive(Clone, Debug)]
pub struct Values(tera::Context);

/// Why a template cannot be used, or not with these values. The problem names the template, the place and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The template engine does not understand the text.
    #[error("{0}")]
    Syntax(Problem),
    /// The text uses something that templates may not use.
    #[error("{0}")]
    Forbidden(Problem),
    /// An expression has no result with these values.
    #[error("{0}")]
    Evaluate(Problem),
    /// The result is not YAML, or YAML that readers understand differently.
    #[error("{0}")]
    Yaml(Problem),
    /// The result is YAML but not an object or a list of objects.
    #[error("{0}")]
    Shape(Problem),
    /// The template, its result or the number of its objects is too large.
    #[error("{0}")]
    TooLarge(Problem),
}

// === impl TemplateError ===

impl TemplateError {
    /// The problem with its place.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        match self {
            Self::Syntax(problem)
            | Self::Forbidden(problem)
            | Self::Evaluate(problem)
            | Self::Yaml(problem)
            | Self::Shape(problem)
            | Self::TooLarge(problem) => problem,
        }
    }
}

// === impl Values ===

impl Values {
    /// Takes a JSON object; anything else gives an empty set of values, in which every variable is unknown.
    #[must_use]
    pub fn new(context: &Value) -> Self {
        let mut values = tera::Context::new();
        for (name, value) in context.as_object().into_iter().flatten() {
            values.insert_value(name.clone(), sorted(value));
        }
        Self(values)
    }
}

/// The same value with the keys of its objects sorted: loops over objects take their keys in this order.
fn sorted(value: &Value) -> tera::Value {
    match value {
        Value::Array(items) => tera::Value::from(items.iter().map(sorted).collect::<Vec<_>>()),
        Value::Object(fields) => {
            let fields: BTreeMap<&String, &Value> = fields.iter().collect();
            let entries = fields.into_iter().map(|(name, field)| (name.clone().into(), sorted(field)));
            tera::Value::from(entries.collect::<tera::Map>())
        }
        scalar => tera::Value::from_serializable(scalar),
    }
}

// === impl TemplateSet ===

impl TemplateSet {
    /// Compiles templates, given as name and text. All problems are reported, not only the first.
    ///
    /// # Errors
    /// One error for each template that cannot be used.
    pub fn compile<'a>(
        templates: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Vec<TemplateError>> {
        let mut set = Self { tera: engine(), sources: BTreeMap::new(), shapes: Arc::default() };
        let mut errors = Vec::new();
        for (name, text) in templates {
            if let Err(error) = set.add(name, text) {
                errors.push(error);
            }
        }
        if errors.is_empty() { Ok(set) } else { Err(errors) }
    }

    fn add(&mut self, name: &str, text: &str) -> Result<(), TemplateError> {
        if text.len() > TEMPLATE_LIMIT {
            return Err(TemplateError::TooLarge(Problem::new(
                name,
                Position::START,
                format!("the template is longer than {TEMPLATE_LIMIT} bytes"),
                "split it",
            )));
        }
        // The rules come first: their messages name the remedy where the engine would only report what it expected.
        scan::tree::parse(text).map_err(|error| TemplateError::Forbidden(error.problem(name, text)))?;
        self.tera.add_raw_template(name, text).map_err(|error| syntax(name, &error))?;
        self.sources.insert(name.to_owned(), text.to_owned());
        Ok(())
    }

    /// Whether the set holds a template of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.sources.contains_key(name)
    }

    /// Renders one template into the objects it describes, in their order. They are objects of some shape; whether
    /// they are good objects of a tenant is decided afterwards, see [`crate::render::Compiled::render`].
    ///
    /// # Errors
    /// When the template is not in the set, an expression has no result, or the result is not an object.
    pub fn render(&self, name: &str, values: &Values) -> Result<Vec<Value>, TemplateError> {
        let Some(source) = self.sources.get(name) else {
            return Err(TemplateError::Syntax(Problem::new(
                name,
                Position::START,
                "there is no template of this name",
                "",
            )));
        };
        let text = self.text(name, source, values)?;
        let value = self.shapes.parse(&text).map_err(|error| {
            let position = locate::rendered(source, values, error.position);
            TemplateError::Yaml(Problem::new(name, position, &error.message, hint_for_yaml(&error.message)))
        })?;
        objects(name, value)
    }

    fn text(&self, name: &str, source: &str, values: &Values) -> Result<String, TemplateError> {
        let mut out = Capped { bytes: Vec::new(), overflow: false };
        let result = self.tera.render_to(name, &values.0, &mut out);
        if out.overflow {
            return Err(TemplateError::TooLarge(Problem::new(
                name,
                Position::START,
                format!("the result is longer than {OUTPUT_LIMIT} bytes"),
                "shorten the loops of the template",
            )));
        }
        result.map_err(|error| evaluation(name, source, &error))?;
        String::from_utf8(out.bytes).map_err(|_| {
            TemplateError::Evaluate(Problem::new(name, Position::START, "the result is not text", ""))
        })
    }

    /// A place inside the text of a template for a problem that has none of its own: where `needle` first stands.
    pub(crate) fn find(&self, name: &str, needle: &str) -> Position {
        let source = self.sources.get(name).map(String::as_str).unwrap_or_default();
        source.find(needle).map_or(Position::START, |offset| Position::at(source, offset))
    }
}

/// An engine without templates: every name escapes, and what templates may use is registered.
fn engine() -> Tera {
    let mut tera = Tera::new();
    filters::register(&mut tera);
    // Every name ends with the empty string: no template is left without the escape function.
    tera.autoescape_on([""]);
    tera.set_escape_fn(token::escape);
    tera
}

/// A writer that stops at the output limit.
struct Capped {
    bytes: Vec<u8>,
    overflow: bool,
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len().saturating_add(bytes.len()) > OUTPUT_LIMIT {
            self.overflow = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the engine says about the author's text: it quotes nothing but that text.
fn syntax(name: &str, error: &tera::Error) -> TemplateError {
    let (position, message) = match error.kind() {
        ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report) => {
            (position_of(report), report.message().to_owned())
        }
        other => reported(name, &other.to_string()),
    };
    TemplateError::Syntax(Problem::new(name, position, lower_first(&message), "check the expression"))
}

/// Unknown filters and tests come as a printed report: `error: MESSAGE`, then `--> NAME:LINE:COLUMN`.
fn reported(name: &str, report: &str) -> (Position, String) {
    let mut lines = report.lines().skip_while(|line| !line.starts_with("error: "));
    let message = lines.next().and_then(|line| line.strip_prefix("error: ")).unwrap_or("it is not valid");
    let place =
        lines.next().and_then(|line| line.split_once(&format!("--> {name}:"))).and_then(|(_, place)| {
            let (line, column) = place.split_once(':')?;
            Some(Position { line: line.parse().ok()?, column: column.parse().ok()? })
        });
    (place.unwrap_or(Position::START), message.to_owned())
}

/// What went wrong with these values. The engine's message may quote a value, so only the author's expression is
/// shown, with the kind of the failure.
fn evaluation(name: &str, source: &str, error: &tera::Error) -> TemplateError {
    let ErrorKind::RenderingError(report) = error.kind() else {
        return TemplateError::Evaluate(Problem::new(
            name,
            Position::START,
            "the template has no result with the values of this order",
            "check its filters",
        ));
    };
    let span = report.span();
    let excerpt = source.get(span.range.clone()).unwrap_or_default();
    let (message, hint) = if report.message().contains("defined") {
        (format!("`{excerpt}` is not defined"), "see the published schema of the context for what there is")
    } else {
        (
            format!("`{excerpt}` has no result with the values of this order"),
            "check that the value fits the filter or operator",
        )
    };
    TemplateError::Evaluate(Problem::new(name, position_of(report), message, hint))
}

fn position_of(report: &tera::ReportError) -> Position {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Position {
        line: number(report.span().start_line).max(1),
        column: number(report.span().start_col).saturating_add(1),
    }
}

fn lower_first(message: &str) -> String {
    let mut characters = message.chars();
    characters.next().map(|first| first.to_lowercase().chain(characters).collect()).unwrap_or_default()
}

fn hint_for_yaml(message: &str) -> &'static str {
    if message.contains("interpolated value") {
        "an interpolated value can stand only where a scalar value stands, and must not be cut or changed afterwards"
    } else {
        "check indentation and quoting around this place"
    }
}

fn objects(name: &str, value: Option<Value>) -> Result<Vec<Value>, TemplateError> {
    let objects = match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items,
        Some(object) => vec![object],
    };
    if objects.len() > OBJECT_LIMIT {
        return Err(TemplateError::TooLarge(Problem::new(
            name,
            Position::START,
            format!("the template gives more than {OBJECT_LIMIT} objects"),
            "shorten its loops",
        )));
    }
    if objects.iter().all(Value::is_object) {
        return Ok(objects);
    }
    Err(TemplateError::Shape(Problem::new(
        name,
        Position::START,
        "the result is neither an object nor a list of objects",
        "write one object, or begin each object of a list with `- `",
    )))
}

#[cfg(test)]
mod tests;
