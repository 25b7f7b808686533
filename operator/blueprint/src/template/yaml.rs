//! Strict YAML: the text a template gives becomes a JSON value, with tokens turned back inside scalars; pure.

use crate::problem::Position;
use crate::token::{self, TokenError};
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Options, budget, options};
use std::fmt;
use std::marker::PhantomData;

/// Deepest nesting of an object. The API server's own types stay below 20; free-form objects rarely pass it.
const MAX_DEPTH: usize = 32;
/// Most nodes in one rendered text.
const MAX_NODES: usize = 20_000;

/// Why a rendered text is not a value, with the place in the *rendered* text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct YamlError {
    pub(crate) position: Option<Position>,
    pub(crate) message: String,
}

/// Options under which a text means the same to every reader of YAML: no anchors, no merge keys, no duplicate keys,
/// one document, `no` and `0123` and dates stay strings, unknown tags are errors.
pub(crate) fn strict() -> Options {
    options! {
        budget: budget! {
            max_documents: 1,
            max_depth: MAX_DEPTH,
            max_aliases: 0,
            max_anchors: 0,
            max_nodes: MAX_NODES,
            max_total_scalar_bytes: super::OUTPUT_LIMIT,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        non_finite_float_policy: NonFiniteFloatPolicy::Reject,
        with_snippet: false,
    }
}

/// Parses one rendered text. `None` when it holds nothing but comments and blanks.
pub(crate) fn parse(text: &str) -> Result<Option<Value>, YamlError> {
    read::<TurnedBack>(text)
}

fn read<T: Tokens>(text: &str) -> Result<Option<Value>, YamlError> {
    let blank = text.lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "---"
    });
    if blank {
        return Ok(None);
    }
    match serde_saphyr::from_str_with_options::<Decoded<T>>(text, strict()) {
        Ok(Decoded(value, _)) => Ok(Some(value)),
        Err(error) => Err(YamlError { position: error.location().map(position), message: message(&error) }),
    }
}

fn position(location: serde_saphyr::Location) -> Position {
    let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).max(1);
    Position { line: number(location.line()), column: number(location.column()) }
}

/// The parser's message without what it quotes, which may come from a value, and without its place, which is in the
/// rendered text. Single quoted characters are indicators of YAML itself and stay.
fn message(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().render();
    let line = text.lines().next().unwrap_or_default();
    let line = line.rsplit_once(" at line ").map_or(line, |(message, _)| message);
    let quoted = |(index, part): (usize, &str)| match index % 2 {
        1 if part.chars().nth(1).is_some() || token::present(part) => "…".to_owned(),
        1 => format!("`{part}`"),
        _ => part.replace([token::OPEN, token::CLOSE], ""),
    };
    line.split(['`', '"', '\'']).enumerate().map(quoted).collect()
}

/// Parses the shape of a rendered text, whose values were taken out: tokens stay as they are.
pub(crate) fn shape(text: &str) -> Result<Option<Value>, YamlError> {
    read::<Kept>(text)
}

/// What becomes of tokens in a value while it is read.
trait Tokens: Copy {
    fn turn(scalar: &str) -> Result<String, TokenError>;
}

/// They are turned back.
#[derive(Clone, Copy)]
struct TurnedBack;

/// They stay.
#[derive(Clone, Copy)]
struct Kept;

/// A value, and what became of its tokens.
struct Decoded<T>(Value, PhantomData<T>);

/// A node, where it stands.
#[derive(Clone, Copy)]
struct Node<T>(Place, PhantomData<T>);

/// Where in an object a node stands, as far as that decides what it may hold.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// The document, or one object of a list of objects.
    Object,
    /// `metadata` of an object.
    Metadata,
    /// `apiVersion`, `kind` or `metadata.namespace`: the author's own words, never a value.
    Literal,
    /// Anything else.
    Inside,
}

impl Tokens for TurnedBack {
    fn turn(scalar: &str) -> Result<String, TokenError> {
        token::decode(scalar)
    }
}

impl Tokens for Kept {
    fn turn(scalar: &str) -> Result<String, TokenError> {
        Ok(scalar.to_owned())
    }
}

// === impl Decoded ===

impl<'de, T: Tokens> Deserialize<'de> for Decoded<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Node::<T>(Place::Object, PhantomData).deserialize(deserializer).map(|value| Self(value, PhantomData))
    }
}

// === impl Place ===

impl Place {
    fn below(self, key: &str) -> Self {
        match (self, key) {
            (Self::Object, "apiVersion" | "kind") | (Self::Metadata, "namespace") => Self::Literal,
            (Self::Object, "metadata") => Self::Metadata,
            _ => Self::Inside,
        }
    }
}

// === impl Node ===

impl<'de, T: Tokens> DeserializeSeed<'de> for Node<T> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Tokens> Visitor<'de> for Node<T> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        if self.0 == Place::Literal && token::present(value) {
            return Err(E::custom("an interpolated value stands in apiVersion, kind or metadata.namespace"));
        }
        T::turn(value).map(Value::String).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let below = if self.0 == Place::Object { Place::Object } else { Place::Inside };
        let mut out = Vec::new();
        while let Some(item) = items.next_element_seed(Self(below, PhantomData))? {
            out.push(item);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if token::present(&key) {
                return Err(de::Error::custom("an interpolated value is used as a key"));
            }
            let value = entries.next_value_seed(Self(self.0.below(&key), PhantomData))?;
            out.insert(key, value);
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_other_readers_of_yaml_would_retype_stays_a_string() {
        let value =
            parse("a: no\nb: 0123\nc: 2026-01-01\nd: yes\ne: 1_000\nf: 12\ng: true\nh: ~\ni: 1.5\n").unwrap();
        assert_eq!(
            value,
            Some(
                json!({"a": "no", "b": "0123", "c": "2026-01-01", "d": "yes", "e": "1_000", "f": 12, "g": true,
                        "h": null, "i": 1.5})
            )
        );
    }

    #[test]
    fn ambiguous_yaml_is_an_error() {
        for text in [
            "a: &x 1\nb: *x",
            "a: 1\na: 2",
            "<<: {a: 1}",
            "a: 1\n---\nb: 2",
            "a: !foo 1",
            "a: .inf",
            "a: [1",
            &format!("{}1{}", "[".repeat(40), "]".repeat(40)),
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_is_nothing() {
        for text in ["", "\n \n", "# only a comment\n", "---\n"] {
            assert_eq!(parse(text), Ok(None), "{text:?}");
        }
    }
}
