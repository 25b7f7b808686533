//! Canonical JSON and its digest, so that equal intent has equal bytes on every machine; no client or clock.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Hex digits of a digest: 128 bits, enough that two intents of one object never meet by chance.
pub const DIGEST_LENGTH: usize = 32;

/// Digest of a JSON value, as lower-case hex.
///
/// Object keys are sorted, whatever order the value holds them in, so the digest is the same for equal values.
#[must_use]
pub fn digest(value: &Value) -> String {
    let mut hasher = blake3::Hasher::new();
    feed(&mut hasher, value);
    let mut hex = hasher.finalize().to_hex().to_string();
    hex.truncate(DIGEST_LENGTH);
    hex
}

/// Removes `null` members at every depth of maps: the API server treats an absent and a null field alike.
pub(crate) fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, member| !member.is_null());
            map.values_mut().for_each(strip_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn feed(hasher: &mut blake3::Hasher, value: &Value) {
    match value {
        Value::Object(map) => feed_map(hasher, map),
        Value::Array(items) => {
            hasher.update(b"[");
            for item in items {
                feed(hasher, item);
                hasher.update(b",");
            }
            hasher.update(b"]");
        }
        // Display of a scalar is its JSON text, strings with quotes and escapes.
        scalar => {
            hasher.update(scalar.to_string().as_bytes());
        }
    }
}

fn feed_map(hasher: &mut blake3::Hasher, map: &Map<String, Value>) {
    let sorted: BTreeMap<&String, &Value> = map.iter().collect();
    hasher.update(b"{");
    for (key, member) in sorted {
        hasher.update(Value::String(key.clone()).to_string().as_bytes());
        hasher.update(b":");
        feed(hasher, member);
        hasher.update(b",");
    }
    hasher.update(b"}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn key_order_does_not_matter_and_values_do() {
        let one: Value = serde_json::from_str(r#"{"a":1,"b":{"c":[1,2],"d":"x"}}"#).unwrap();
        let two: Value = serde_json::from_str(r#"{"b":{"d":"x","c":[1,2]},"a":1}"#).unwrap();
        assert_eq!(digest(&one), digest(&two));
        assert_eq!(digest(&one).len(), DIGEST_LENGTH);
        for other in [
            json!({"a": "1", "b": {"c": [1, 2], "d": "x"}}),
            json!({"a": 1, "b": {"c": [2, 1], "d": "x"}}),
            json!({"a": 1, "b": {"c": [1, 2], "d": "x", "e": {}}}),
        ] {
            assert_ne!(digest(&one), digest(&other), "{other}");
        }
    }

    #[test]
    fn nulls_vanish_from_maps_and_stay_in_lists() {
        let mut value = json!({"a": null, "b": {"c": null, "d": [null, {"e": null}]}});
        strip_nulls(&mut value);
        assert_eq!(value, json!({"b": {"d": [null, {}]}}));
    }

    proptest! {
        /// Text is escaped before it is hashed: no string can imitate the structure around it.
        #[test]
        fn strings_never_collide_with_structure(left in ".*", right in ".*") {
            let pair = json!([left, right]);
            let joined = json!([format!("{left}\",\"{right}")]);
            prop_assert_ne!(digest(&pair), digest(&joined));
        }
    }
}
