//! Intent of an object in the form that is compared and hashed; no client or clock.

use serde_json::Value;

/// Hex digits of a digest: 128 bits, enough that two intents of one object never meet by chance.
pub const DIGEST_LENGTH: usize = 32;

/// Digest of a JSON value, as lower-case hex; the same for equal values, whatever the order of keys.
#[must_use]
pub fn digest(value: &Value) -> String {
    tenantry_crds::canonical::digest(value, DIGEST_LENGTH)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nulls_vanish_from_maps_and_stay_in_lists() {
        let mut value = json!({"a": null, "b": {"c": null, "d": [null, {"e": null}]}});
        strip_nulls(&mut value);
        assert_eq!(value, json!({"b": {"d": [null, {}]}}));
    }
}
