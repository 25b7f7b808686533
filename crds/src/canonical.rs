//! Digests of JSON values that do not depend on the order of keys, so that equal intent has equal bytes on every machine; no
//! client or clock.

use serde_json::{Number, Value};
use std::fmt::Write as _;

/// Largest magnitude below which every whole number is exact as a double.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The first `length` hexadecimal digits of the BLAKE3 hash of a value in canonical form: keys sorted, no spaces, and
/// whole numbers without a fraction, because the API server writes `1.0` back as `1`.
#[must_use]
pub fn digest(value: &Value, length: usize) -> String {
    let mut text = String::new();
    write(value, &mut text);
    let mut hex = blake3::hash(text.as_bytes()).to_hex().to_string();
    hex.truncate(length);
    hex
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (position, (key, inner)) in entries.into_iter().enumerate() {
                separate(position, out);
                let _ = write!(out, "{}:", Value::String(key.clone()));
                write(inner, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                separate(position, out);
                write(item, out);
            }
            out.push(']');
        }
        Value::Number(number) => write_number(number, out),
        Value::Null | Value::Bool(_) | Value::String(_) => {
            let _ = write!(out, "{value}");
        }
    }
}

fn separate(position: usize, out: &mut String) {
    if position > 0 {
        out.push(',');
    }
}

fn write_number(number: &Number, out: &mut String) {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < EXACT => {
            let _ = write!(out, "{float:.0}");
        }
        _ => {
            let _ = write!(out, "{number}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn order_of_keys_and_form_of_whole_numbers_do_not_matter() {
        let one: Value = serde_json::from_str(r#"{"b":[1.0,"x"],"a":{"d":null,"c":true}}"#).unwrap();
        let two: Value = serde_json::from_str(r#"{"a":{"c":true,"d":null},"b":[1,"x"]}"#).unwrap();
        assert_eq!(digest(&one, 32), digest(&two, 32));
        assert_eq!(digest(&one, 10).len(), 10);
    }

    #[test]
    fn different_values_differ() {
        let values = [
            json!({"a": 1}),
            json!({"a": "1"}),
            json!({"a": 1.5}),
            json!({"a": [1]}),
            json!({"a": null}),
            json!({}),
            json!([["a", 1]]),
            json!({"a": -1}),
        ];
        let digests: std::collections::BTreeSet<String> = values.iter().map(|v| digest(v, 32)).collect();
        assert_eq!(digests.len(), values.len());
    }

    proptest::proptest! {
        /// Text is escaped before it is hashed: no string can imitate the structure around it.
        #[test]
        fn strings_never_collide_with_structure(left in ".*", right in ".*") {
            let joined = json!([format!("{left}\",\"{right}")]);
            proptest::prop_assert_ne!(digest(&json!([left, right]), 32), digest(&joined, 32));
        }
    }
}
