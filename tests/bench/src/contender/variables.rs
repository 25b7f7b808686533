//! Variables in the texts of a contender's file: `${TENANT}` and so on. Pure.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;

/// Values by name. There are `HERE` (directory of the file), `KUBECONFIG` (of the contender's identity), `KUBECTL`,
/// `TENANTRY`, `PORT` (free on loopback), and for one tenant `TENANT` and `FILE`.
#[derive(Clone, Debug, Default)]
pub struct Variables(BTreeMap<&'static str, String>);

// === impl Variables ===

impl Variables {
    /// These and one more.
    #[must_use]
    pub fn with(&self, name: &'static str, value: impl Into<String>) -> Self {
        let mut more = self.clone();
        more.0.insert(name, value.into());
        more
    }

    /// A text with values for its variables.
    ///
    /// # Errors
    /// When a variable does not exist; the message lists those that do.
    pub fn expand(&self, text: &str) -> Result<String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, tail) =
                after.split_once('}').with_context(|| format!("{text:?} has no closing brace"))?;
            let Some(value) = self.0.get(name) else {
                let known: Vec<&str> = self.0.keys().copied().collect();
                bail!("{text:?}: there is no variable {name}; here there are {}", known.join(", "));
            };
            expanded.push_str(before);
            expanded.push_str(value);
            rest = tail;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    /// [`Variables::expand`] for the words of a command.
    ///
    /// # Errors
    /// As there.
    pub fn expand_all(&self, words: &[String]) -> Result<Vec<String>> {
        words.iter().map(|word| self.expand(word)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_and_unknown_ones_named() {
        let variables = Variables::default().with("TENANT", "t-1").with("PORT", "80");
        assert_eq!(variables.expand("a ${TENANT}:${PORT} $x {y}").unwrap(), "a t-1:80 $x {y}");
        assert_eq!(variables.expand_all(&["${TENANT}".into(), "b".into()]).unwrap(), ["t-1", "b"]);
        let error = variables.expand("${FILE}").unwrap_err().to_string();
        assert!(error.contains("FILE") && error.contains("PORT, TENANT"), "{error}");
        assert!(variables.expand("${PORT").is_err());
    }

    #[test]
    fn a_value_is_not_expanded_again() {
        let variables = Variables::default().with("TENANT", "${TENANT}");
        assert_eq!(variables.expand("${TENANT}").unwrap(), "${TENANT}");
    }
}
