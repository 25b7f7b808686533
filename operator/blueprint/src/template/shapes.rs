//! What rendered texts have in common: texts that differ in the values of orders alone are read as YAML once; pure.
//!
//! A thousand tenants on the same revision give the same text but for their values, and those travel as tokens that mean nothing to YAML.
//! So the text with its values taken out is read once and remembered, and for the next order the values are put back.

use super::yaml::{self, YamlError};
use crate::token;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Most text that is remembered, in bytes. What comes from it has some three times that.
const ROOM: usize = 512 * 1024;

/// What is remembered of one set of templates.
#[derive(Debug, Default)]
pub(crate) struct Shapes(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    shapes: HashMap<String, Arc<Value>>,
    bytes: usize,
}

// === impl Shapes ===

impl Shapes {
    /// The same as [`yaml::parse`], and faster where a text of the same shape was read before.
    pub(crate) fn parse(&self, text: &str) -> Result<Option<Value>, YamlError> {
        // What is wrong with a text is said of the text itself.
        let Some((shape, values)) = token::lift(text) else { return yaml::parse(text) };
        match self.read(shape).and_then(|shape| filled(&shape, &values)) {
            Some(value) => Ok(Some(value)),
            None => yaml::parse(text),
        }
    }

    /// The value of a shape, its numbered tokens untouched. None where it is not good, or holds nothing.
    fn read(&self, shape: String) -> Option<Arc<Value>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).shapes.get(&shape).cloned();
        if known.is_some() {
            return known;
        }
        let value = Arc::new(yaml::shape(&shape).ok().flatten()?);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.bytes + shape.len() > ROOM {
            *known = Known::default();
        }
        known.bytes += shape.len();
        known.shapes.insert(shape, Arc::clone(&value));
        Some(value)
    }
}

/// A shape with its values in their places; none where that is not what was taken out.
fn filled(shape: &Value, values: &[String]) -> Option<Value> {
    Some(match shape {
        Value::String(text) => Value::String(token::put_back(text, values)?),
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| filled(item, values)).collect::<Option<_>>()?)
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, field)| Some((name.clone(), filled(field, values)?)));
            Value::Object(fields.collect::<Option<Map<_, _>>>()?)
        }
        other => other.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn token_of(value: &str) -> String {
        let mut out = Vec::new();
        token::escape(value, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// A line of a text, and one like it with another value.
    fn line(form: usize, at: usize, value: &str) -> String {
        let token = token_of(value);
        match form {
            0 => format!("k{at}: {token}\n"),
            1 => format!("k{at}: \"a {token} b\"\n"),
            2 => format!("k{at}: '{token}{token}'\n"),
            3 => format!("k{at}: [1, {token}, {{x: {token}}}]\n"),
            4 => format!("k{at}: |\n  first {token}\n  second: {token}\n"),
            5 => format!("k{at}: >-\n  folded {token}\n  {token}\n"),
            6 => format!("# {token}\nk{at}:\n  - {token} # {token}\n  - no\n"),
            7 => format!("k{at}: plain {token}\n  goes on {token}\n"),
            // None of these is good.
            8 => format!("{token}: 1\n"),
            9 => format!("kind: {token}\n"),
            10 => format!("k{at}: {token}: x\n"),
            11 => format!("k{at}: \"{token}\n"),
            12 => format!("k{at}: {}\n", token.trim_end_matches(token::CLOSE)),
            13 => format!("k{at}: {}\n", token.replacen(token::CLOSE, "0\u{E9A1}", 1)),
            14 => format!("k{at}: !{token} x\n"),
            // Markers that an author writes by their numbers.
            15 => format!("k{at}: \"{token} \\uE9A0{:08x}\\uE9A1\"\n", 0),
            16 => format!("k{at}: \"\\U0000E9A061\\U0000E9A1 {token}\"\n"),
            17 => format!("k{at}: \"{token} \\ue9a0\"\n"),
            _ => format!("k{at}: 1\nk{at}: {token}\n"),
        }
    }

    proptest! {
        #[test]
        fn a_text_is_read_as_if_nothing_had_been_read_before(
            forms in prop::collection::vec(0_usize..21, 0..6),
            one in prop::collection::vec(any::<String>(), 6),
            other in prop::collection::vec(".{0,2000}", 6),
        ) {
            let shapes = Shapes::default();
            for values in [&one, &other, &one] {
                let lines = forms.iter().enumerate().zip(values);
                let text: String = lines.map(|((at, form), value)| line(if *form > 18 { 0 } else { *form }, at, value)).collect();
                prop_assert_eq!(shapes.parse(&text), yaml::parse(&text), "{}", text);
            }
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let shapes = Shapes::default();
        let text = |n: usize| format!("a: {}\nb: {}\n", "x".repeat(ROOM / 4), n);
        for n in 0..10 {
            let value = shapes.parse(&text(n)).unwrap().unwrap();
            assert_eq!(value["b"], json!(n));
            let known = shapes.0.lock().unwrap();
            assert!(known.bytes <= ROOM && (1..4).contains(&known.shapes.len()), "{}", known.bytes);
        }
        let before = shapes.0.lock().unwrap().bytes;
        shapes.parse(&text(9)).unwrap();
        assert_eq!(shapes.0.lock().unwrap().bytes, before, "the same is remembered once");
    }
}
