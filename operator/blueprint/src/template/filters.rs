//! Filters and functions of templates: targets for text that a second parser reads, and bounded built-ins; pure.
//!
//! YAML never sees an interpolated value, but the reader of a configuration file inside a ConfigMap does. Each target
//! filter yields one complete literal of its language, quotes included (HTML has none around text), so it stands where
//! the literal stands: `title={{ order.organization.name | promql }}`. None of them marks its result as safe: the result is inserted as
//! an inert token like every other value.

use tera::{Error, Kwargs, State, Tera, TeraResult, Value};

/// Names of the target filters. A value inside a longer scalar needs one of them unless its schema restricts it.
pub(crate) const TARGETS: [&str; 6] = ["text", "json", "yaml", "html", "promql", "shell"];

/// Longest text a built-in that can multiply its input may give, in bytes.
const GROWTH_LIMIT: usize = 64 * 1024;
/// Most elements `range` gives.
const RANGE_LIMIT: i128 = 256;

/// Registers everything templates may use beyond the harmless built-ins. It comes before the templates, because the
/// engine resolves names when a template is added.
pub(super) fn register(tera: &mut Tera) {
    tera.register_filter("text", text);
    tera.register_filter("json", |value: Value, _: Kwargs, _: &State| json(&value));
    tera.register_filter("yaml", |value: Value, _: Kwargs, _: &State| {
        json(&value).map(|json| yaml_escape(&json))
    });
    tera.register_filter("html", |value: Value, _: Kwargs, _: &State| scalar(&value).map(|text| html(&text)));
    tera.register_filter("promql", |value: Value, _: Kwargs, _: &State| {
        scalar(&value).map(|text| promql(&text))
    });
    tera.register_filter("shell", |value: Value, _: Kwargs, _: &State| {
        scalar(&value).and_then(|text| shell(&text))
    });
    tera.register_filter("safe", refused);
    tera.register_filter("escape", refused);
    tera.register_filter("replace", replace);
    tera.register_filter("join", join);
    tera.register_filter("indent", indent);
    tera.register_function("range", range);
    tera.register_function("throw", |_: Kwargs, _: &State| -> TeraResult<bool> { Err(unavailable()) });
}

fn unavailable() -> Error {
    Error::message("not available")
}

fn refused(_: Value, _: Kwargs, _: &State) -> TeraResult<Value> {
    Err(unavailable())
}

/// The text of a string, number or boolean. The messages of this module never reach anybody: the caller reports the
/// author's expression instead, so no value can leak.
fn scalar(value: &Value) -> TeraResult<String> {
    match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None if value.is_number() || value.is_bool() => Ok(value.to_string()),
        None => Err(Error::message("expected a scalar")),
    }
}

/// For a scalar that nothing but people reads: the value itself.
fn text(value: Value, _: Kwargs, _: &State) -> TeraResult<String> {
    scalar(&value)
}

/// A JSON document (RFC 8259): strings with their quotes, lists and objects whole, keys sorted.
fn json(value: &Value) -> TeraResult<String> {
    let value = serde_json::to_value(value).map_err(|_| unavailable())?;
    serde_json::to_string(&value).map_err(|_| unavailable())
}

/// JSON is YAML once everything that YAML 1.1 or 1.2 treats specially inside quotes is escaped: everything that is
/// not printable ASCII. YAML knows no surrogate pairs, so characters beyond the basic plane take eight digits.
fn yaml_escape(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match u32::from(c) {
            0x20..=0x7e => out.push(c),
            code @ ..=0xffff => out.push_str(&format!("\\u{code:04x}")),
            code => out.push_str(&format!("\\U{code:08x}")),
        }
    }
    out
}

/// Text of an HTML document, between tags or inside the quotes of an attribute (HTML standard, 13.1.2.3 and 13.1.4). It
/// is the one target without quotes of its own: text has none. Whether an address may be followed is not for it to say, so
/// an `href` begins with a scheme that the author wrote.
fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '`' => out.push_str("&#96;"),
            c => out.push(c),
        }
    }
    out
}

/// A PromQL string in double quotes, which follows the escaping rules of Go.
fn promql(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// One word of a POSIX shell, in single quotes. A shell word cannot hold a NUL character.
fn shell(text: &str) -> TeraResult<String> {
    if text.contains('\0') {
        return Err(unavailable());
    }
    Ok(format!("'{}'", text.replace('\'', "'\\''")))
}

fn replace(value: &str, arguments: Kwargs, _: &State) -> TeraResult<String> {
    let from = arguments.must_get::<&str>("from")?;
    let to = arguments.must_get::<&str>("to")?;
    let grown = value.matches(from).count().saturating_mul(to.len()).saturating_add(value.len());
    bounded(grown)?;
    Ok(value.replace(from, to))
}

fn join(values: &[Value], arguments: Kwargs, _: &State) -> TeraResult<String> {
    let separator = arguments.get::<&str>("sep")?.unwrap_or_default();
    let parts = values.iter().map(scalar).collect::<TeraResult<Vec<_>>>()?;
    bounded(parts.iter().map(|part| part.len() + separator.len()).sum())?;
    Ok(parts.join(separator))
}

/// Indents every line but the first, as the built-in does.
fn indent(value: &str, arguments: Kwargs, _: &State) -> TeraResult<String> {
    let width = arguments.get::<usize>("width")?.unwrap_or(4);
    bounded(value.lines().count().saturating_mul(width).saturating_add(value.len()))?;
    Ok(value.replace('\n', &format!("\n{}", " ".repeat(width))))
}

fn bounded(bytes: usize) -> TeraResult<()> {
    if bytes <= GROWTH_LIMIT { Ok(()) } else { Err(Error::message("the result is too long")) }
}

fn range(arguments: Kwargs, _: &State) -> TeraResult<Vec<i128>> {
    let start = arguments.get::<i128>("start")?.unwrap_or_default();
    let end = arguments.must_get::<i128>("end")?;
    let step = usize::try_from(arguments.get::<i128>("step_by")?.unwrap_or(1)).unwrap_or_default();
    if step == 0 || start > end || end.saturating_sub(start) > RANGE_LIMIT {
        return Err(Error::message("the range is out of bounds"));
    }
    Ok((start..end).step_by(step).collect())
}
