//! Revisions: accepted states of definitions, named by what they contain; pure, needs neither client nor clock.

use serde::Serialize;
use serde_json::Value;
use std::fmt;
use std::str::FromStr;
use tenantry_crds::canonical;
use thiserror::Error;

/// Hexadecimal digits of a revision's digest: 40 bits, for a handful of revisions under each name.
const DIGITS: usize = 10;

/// One accepted state of a definition, written `name@digest`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    name: String,
    digest: String,
}

/// Which kind a definition is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DefinitionKind {
    /// A `ServicePlan`.
    Plan,
    /// A `HostedApplication`.
    Application,
    /// A `HostedApplicationVersion`.
    Version,
    /// A `Blueprint`.
    Blueprint,
}

/// Why a revision cannot be named.
#[derive(Debug, Error)]
pub enum RevisionError {
    /// The text is not `name@digest`.
    #[error("{text:?} is not a revision; a revision is written name@digest, such as gold@1f0c9a2e00")]
    Malformed {
        /// The beginning of the text.
        text: String,
    },
    /// The content has no JSON form.
    #[error("definition {name} cannot be written as JSON")]
    Content {
        /// Name of the definition.
        name: String,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
}

/// Name of the definition in the text of a revision; a text that is none is taken for the name.
#[must_use]
pub fn name_of(text: &str) -> &str {
    text.rsplit_once('@').map_or(text, |(name, _)| name)
}

// === impl Revision ===

impl Revision {
    /// The revision of a definition's spec. The lifecycle is left out: it says what may be ordered and nothing about what
    /// runs, so retiring a plan moves no tenant.
    ///
    /// # Errors
    /// [`RevisionError::Content`] when the spec has no JSON form.
    pub fn of<T: Serialize>(name: &str, spec: &T) -> Result<Self, RevisionError> {
        let mut content = serde_json::to_value(spec)
            .map_err(|source| RevisionError::Content { name: name.to_owned(), source })?;
        if let Value::Object(fields) = &mut content {
            fields.remove("lifecycle");
        }
        Ok(Self { name: name.to_owned(), digest: canonical::digest(&content, DIGITS) })
    }

    /// Name of the definition.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Digest of its content, ten hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

impl FromStr for Revision {
    type Err = RevisionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = |digest: &str| digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        text.rsplit_once('@')
            .filter(|(name, digest)| !name.is_empty() && digest.len() == DIGITS && hex(digest))
            .map(|(name, digest)| Self { name: name.to_owned(), digest: digest.to_owned() })
            .ok_or_else(|| RevisionError::Malformed { text: text.chars().take(80).collect() })
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenantry_crds::ServicePlanSpec;
    use tenantry_crds::common::Lifecycle;

    #[test]
    fn content_counts_and_lifecycle_does_not() {
        let plan = ServicePlanSpec { lifecycle: Lifecycle::Published, ..ServicePlanSpec::default() };
        let retired = ServicePlanSpec { lifecycle: Lifecycle::Retired, ..plan.clone() };
        let other = ServicePlanSpec { tier: "Gold".to_owned(), ..plan.clone() };
        let revision = Revision::of("gold", &plan).unwrap();
        assert_eq!(revision, Revision::of("gold", &retired).unwrap());
        assert_ne!(revision, Revision::of("gold", &other).unwrap());
        assert_eq!(revision.to_string().parse::<Revision>().unwrap(), revision);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", "gold", "gold@", "@0123456789", "gold@012345678", "gold@0123456789a", "gold@012345678G"]
        {
            assert!(text.parse::<Revision>().is_err(), "{text}");
        }
        let versioned: Revision = "erp-4.2.1@0123456789".parse().unwrap();
        assert_eq!((versioned.name(), versioned.digest()), ("erp-4.2.1", "0123456789"));
    }
}
