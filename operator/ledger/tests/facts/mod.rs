//! Facts of other billing systems: a file of cases, each with the profile it is computed under and what must come out.
//!
//! A case is read by the terms in its input, never by its name. In what is expected, the type, dates and price of an item may
//! be terms as well (the day up to which a new plan is billed, say); amounts are only ever compared.

mod changes;
mod charges;
mod documents;
mod ladders;
mod terms;
mod time;

use std::fmt::Write as _;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Map, Value};
use tenantry_ledger::exact::Exact;
use tenantry_ledger::profile::{ALL, Profile};

use terms::Terms;

/// How many facts a file has, how many came out, and a line for each that did not.
pub(crate) struct Tally {
    /// Facts that came out.
    pub(crate) met: usize,
    /// Facts in the file.
    pub(crate) all: usize,
    /// Why the others did not.
    pub(crate) misses: Vec<String>,
}

/// One way of computing cases: their results by key, or nothing where the terms are not its own.
type Family = fn(&Terms) -> Result<Option<Map<String, Value>>>;

/// Every family, the more particular terms first.
const FAMILIES: [Family; 6] =
    [ladders::facts, changes::facts, time::facts, documents::facts, charges::priced, charges::rounded];

/// Computes every fact of a file.
pub(crate) fn run(text: &str) -> Result<Tally> {
    let file: Value = serde_json::from_str(text).context("the file is no JSON")?;
    let mut tally = Tally { met: 0, all: 0, misses: Vec::new() };
    for case in list(&file, "vectors") {
        let id = case.get("id").and_then(Value::as_str).unwrap_or("a case without id");
        tally.count(id, scenario(case));
    }
    for bulk in list(&file, "bulk") {
        let prefix = bulk.get("id_prefix").and_then(Value::as_str).unwrap_or("bulk");
        let columns: Vec<&str> = list(bulk, "columns").iter().filter_map(Value::as_str).collect();
        for (index, row) in list(bulk, "rows").iter().enumerate() {
            let row: Map<String, Value> = match row {
                Value::Object(row) => row.clone(),
                _ => columns
                    .iter()
                    .map(|column| (*column).to_owned())
                    .zip(row.as_array().cloned().unwrap_or_default())
                    .collect(),
            };
            let number = row.get("n").map_or_else(|| index.to_string(), Value::to_string);
            tally.count(&format!("{prefix}-{number}"), bulk_row(bulk, &row));
        }
    }
    Ok(tally)
}

impl Tally {
    fn count(&mut self, id: &str, outcome: Result<Vec<String>>) {
        self.all += 1;
        match outcome {
            Ok(differences) if differences.is_empty() => self.met += 1,
            Ok(differences) => self.misses.push(format!("{id}: {}", differences.join("; "))),
            Err(error) => self.misses.push(format!("{id}: {error:#}")),
        }
    }
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn profile_of(case: &Value) -> Result<Profile> {
    let name = case.get("profile").and_then(Value::as_str).unwrap_or("tenantry");
    let known = ALL.map(|profile| profile.name).join(", ");
    Profile::named(name).with_context(|| format!("there is no profile {name:?}; known are {known}"))
}

fn scenario(case: &Value) -> Result<Vec<String>> {
    let expected = case.get("expected").and_then(Value::as_object).context("nothing is expected")?;
    let input = case.get("input").and_then(Value::as_object).context("there is no input")?;
    let feature = case.get("feature").and_then(Value::as_str).unwrap_or_default();
    let terms = Terms { input, expected, feature, profile: profile_of(case)? };
    outcome(&terms)
}

/// A row of a table: mostly the periods of a recurring charge and the sum of their ratios, otherwise a scenario of which each
/// column that begins with `expected_` is a result.
fn bulk_row(bulk: &Value, row: &Map<String, Value>) -> Result<Vec<String>> {
    let wanted: Map<String, Value> = row
        .iter()
        .filter_map(|(column, value)| Some((column.strip_prefix("expected_")?.to_owned(), value.clone())))
        .collect();
    let feature = bulk.get("feature").and_then(Value::as_str).unwrap_or_default();
    let terms = Terms { input: row, expected: &wanted, feature, profile: profile_of(bulk)? };
    if wanted.is_empty() {
        bail!("nothing is expected");
    }
    if wanted.contains_key("cycles") {
        let cycles = Map::from_iter([("cycles".to_owned(), Value::String(time::cycles(&terms)?))]);
        return Ok(differences(&wanted, &cycles));
    }
    outcome(&terms)
}

/// What the first family that has the terms computes, against what is expected.
fn outcome(terms: &Terms) -> Result<Vec<String>> {
    for family in FAMILIES {
        if let Some(computed) = family(terms)? {
            return Ok(differences(terms.expected, &computed));
        }
    }
    let keys: Vec<&str> = terms.input.keys().map(String::as_str).collect();
    bail!("no family has the terms {}", keys.join(", "))
}

/// Everything expected that did not come out, with both values.
fn differences(expected: &Map<String, Value>, computed: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    for (key, wanted) in expected {
        match computed.get(key) {
            None => found.push(format!("{key}: expected {wanted}, nothing was computed")),
            Some(got) if key == "items" => items(wanted, got, &mut found),
            Some(got) if !same(wanted, got) => {
                found.push(format!("{key}: expected {wanted}, computed {got}"))
            }
            Some(_) => {}
        }
    }
    found
}

/// A number, however it is written: 5, "5.00", "14/28".
pub(crate) fn number(value: &Value) -> Option<Exact> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let decimal = |text: &str| tenantry_ledger::exact::Decimal::parse("number", text.trim()).ok();
    match text.split_once('/') {
        Some((upper, lower)) => {
            let lower = decimal(lower)?;
            (*lower.value() != Exact::default())
                .then(|| decimal(upper).map(|upper| upper.value() / lower.value()))?
        }
        None => decimal(text.strip_prefix('+').unwrap_or(&text)).map(|decimal| decimal.value().clone()),
    }
}

/// Equal as numbers where both are, otherwise equal piece by piece. A tier that nothing fell in may be left out.
fn same(wanted: &Value, got: &Value) -> bool {
    match (wanted, got) {
        (Value::Array(wanted), Value::Array(got)) => {
            let zero = Value::String("0".to_owned());
            (0..wanted.len().max(got.len()))
                .all(|index| same(wanted.get(index).unwrap_or(&zero), got.get(index).unwrap_or(&zero)))
        }
        (Value::Object(wanted), Value::Object(got)) => wanted.keys().chain(got.keys()).all(|key| {
            let zero = Value::String("0".to_owned());
            same(wanted.get(key).unwrap_or(&zero), got.get(key).unwrap_or(&zero))
        }),
        _ => match (number(wanted), number(got)) {
            (Some(wanted), Some(got)) => wanted == got,
            _ => wanted == got || when(wanted).is_some_and(|wanted| Some(wanted) == when(got)),
        },
    }
}

/// A date or an instant; a date is its midnight.
fn when(value: &Value) -> Option<jiff::civil::DateTime> {
    value.as_str().and_then(terms::moment)
}

/// Items are compared without regard to order. Balance items may come out beside those expected.
fn items(wanted: &Value, got: &Value, found: &mut Vec<String>) {
    let mut left: Vec<&Value> = got.as_array().map(|items| items.iter().collect()).unwrap_or_default();
    let mut missing = Vec::new();
    for item in wanted.as_array().into_iter().flatten() {
        match left.iter().position(|other| same_item(item, other)) {
            Some(place) => drop(left.remove(place)),
            None => missing.push(item),
        }
    }
    left.retain(|item| {
        item.get("type").and_then(Value::as_str) != Some("ACCOUNT_CREDIT") || !missing.is_empty()
    });
    if missing.is_empty() && left.is_empty() {
        return;
    }
    let mut text = String::from("items: expected");
    for item in missing {
        let _ = write!(text, " {}", brief(item));
    }
    text.push_str(", computed");
    for item in left {
        let _ = write!(text, " {}", brief(item));
    }
    found.push(text);
}

fn same_item(wanted: &Value, got: &Value) -> bool {
    let equal =
        |key: &str| wanted.get(key).is_none_or(|value| got.get(key).is_none_or(|other| same(value, other)));
    wanted.get("type") == got.get("type")
        && got.get("amount").is_some()
        && ["amount", "from", "to"].into_iter().all(equal)
}

fn brief(item: &Value) -> String {
    let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or("?").to_owned();
    format!("[{} {}..{} {}]", text("type"), text("from"), text("to"), text("amount"))
}

/// What a family refuses to guess.
pub(crate) fn missing(key: &str) -> anyhow::Error {
    anyhow!("{key} is missing or cannot be read")
}
