//! JSON that is kept for long and seldom read, compressed; no client or clock.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::sync::Arc;

/// A JSON value as it came from the API server, compressed with LZ4 to about a third. Equal texts are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packed(Arc<[u8]>);

// === impl Packed ===

impl Packed {
    /// Reads the value.
    ///
    /// # Errors
    /// When it is no such value; the text names the place.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        let text = lz4_flex::block::decompress_size_prepended(&self.0).map_err(serde::de::Error::custom)?;
        serde_json::from_slice(&text)
    }
}

impl From<&RawValue> for Packed {
    fn from(raw: &RawValue) -> Self {
        Self(lz4_flex::block::compress_prepend_size(raw.get().as_bytes()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn packed(value: &Value) -> Packed {
        Packed::from(&*serde_json::value::to_raw_value(value).unwrap())
    }

    #[test]
    fn a_value_comes_back_as_it_was_and_smaller() {
        let entries: Vec<Value> = (0..24)
            .map(
                |number| json!({"kind": "v1/ConfigMap", "name": format!("config-{number}"), "state": "Live"}),
            )
            .collect();
        let value = json!({"inventory": {"objects": entries}});
        let kept = packed(&value);
        assert_eq!(kept.read::<Value>().unwrap(), value);
        assert!(kept.0.len() * 2 < value.to_string().len(), "{} bytes", kept.0.len());
        assert_eq!(kept, packed(&value));
        assert_ne!(kept, packed(&json!({})));
    }

    #[test]
    fn what_cannot_be_read_names_the_place() {
        let error = packed(&json!({"hosts": 7})).read::<std::collections::BTreeMap<String, String>>();
        assert!(error.unwrap_err().to_string().contains("column"), "a place is named");
    }
}
