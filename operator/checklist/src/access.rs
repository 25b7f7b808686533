//! Identities: tenants, their namespaces and their groups of people; pure, random bytes come in as a parameter.

use std::fmt;
use std::str::FromStr;
use tenantry_crds::plan::Role;
use thiserror::Error;

/// What the namespaces of tenants begin with, and no others (policy `tenantry-controller-namespaces`).
pub const NAMESPACE_PREFIX: &str = "tenant-";
/// Longest name of a subscription: the namespace `tenant-<name>` and names made from it stay within 63 characters.
const NAME_LIMIT: usize = 50;
/// Longest tenant id a status takes.
const ID_LIMIT: usize = 32;
/// The alphabet of RFC 4648 base 32 in lower case: no two of its characters look alike in most typefaces.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Letters at the start of the alphabet.
const LETTERS: u16 = 26;

/// Random identity of a tenant. A later tenant of the same name has another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(String);

/// Name of a subscription: a DNS label of at most 50 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionName(String);

/// Namespace of a tenant, `tenant-<name>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(String);

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "is not a name of at most {limit} lower-case letters, digits and dashes that starts and ends with a letter or digit"
)]
pub struct NameError {
    limit: usize,
}

/// Name of the group of people with one role in one tenant. It is made from the tenant's id and not from its name, which
/// the next customer of that name would inherit.
///
/// `prefix` is what the API server puts before the names of groups from the identity provider.
#[must_use]
pub fn group(prefix: &str, tenant: &TenantId, role: Role) -> String {
    format!("{prefix}tenantry:{tenant}:{}", role_name(role))
}

/// Name of a role as orders write it.
#[must_use]
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Administrator => "administrator",
        Role::User => "user",
        Role::Viewer => "viewer",
    }
}

// === impl TenantId ===

impl TenantId {
    /// Sixteen characters that stand for 80 random bits and start with a letter, as a DNS label in front of which
    /// nothing stands should. (The letter costs a third of a bit.)
    #[must_use]
    pub fn from_random(bytes: [u8; 10]) -> Self {
        let mut id = String::with_capacity(16);
        let mut buffer: u16 = 0;
        let mut bits = 0_u32;
        for byte in bytes {
            buffer = (buffer << 8) | u16::from(byte);
            bits += 8;
            while bits >= 5 {
                bits -= 5;
                let five = (buffer >> bits) & 31;
                let at = if id.is_empty() { five % LETTERS } else { five };
                id.extend(ALPHABET.get(usize::from(at)).map(|c| char::from(*c)));
            }
            buffer &= (1 << bits) - 1;
        }
        Self(id)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        label(text, ID_LIMIT).map(Self)
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl SubscriptionName ===

impl SubscriptionName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Namespace of the tenant behind the subscription.
    #[must_use]
    pub fn namespace(&self) -> Namespace {
        Namespace(format!("{NAMESPACE_PREFIX}{}", self.0))
    }
}

impl FromStr for SubscriptionName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        label(text, NAME_LIMIT).map(Self)
    }
}

impl fmt::Display for SubscriptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Namespace ===

impl Namespace {
    /// The namespace as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A DNS label (RFC 1123) of at most `limit` characters.
fn label(text: &str, limit: usize) -> Result<String, NameError> {
    let inside = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let fits = !text.is_empty()
        && text.len() <= limit
        && text.bytes().all(inside)
        && !text.starts_with('-')
        && !text.ends_with('-');
    if fits { Ok(text.to_owned()) } else { Err(NameError { limit }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_labels_of_at_most_fifty_characters() {
        let long = "a".repeat(50);
        for good in ["acme", "a", "0", "a-b", long.as_str()] {
            let name: SubscriptionName = good.parse().unwrap();
            assert_eq!(name.namespace().as_str(), format!("tenant-{good}"));
        }
        let longer = "a".repeat(51);
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "ä", "a b", longer.as_str()] {
            assert!(bad.parse::<SubscriptionName>().unwrap_err().to_string().contains("50"), "{bad}");
        }
    }

    #[test]
    fn groups_carry_prefix_id_and_role() {
        let id = TenantId::from_random([0; 10]);
        assert_eq!(id.as_str(), "aaaaaaaaaaaaaaaa");
        assert_eq!(group("oidc:", &id, Role::User), "oidc:tenantry:aaaaaaaaaaaaaaaa:user");
        assert_eq!(group("", &id, Role::Administrator), "tenantry:aaaaaaaaaaaaaaaa:administrator");
    }

    #[test]
    fn each_single_bit_but_the_folded_ones_changes_the_id() {
        let mut seen = BTreeSet::new();
        for bit in 5..80_usize {
            let mut bytes = [0_u8; 10];
            bytes[bit / 8] |= 1 << (bit % 8);
            seen.insert(TenantId::from_random(bytes).to_string());
        }
        assert_eq!(seen.len(), 75);
    }

    proptest! {
        #[test]
        fn ids_are_labels_of_sixteen_characters_that_start_with_a_letter(bytes: [u8; 10]) {
            let id = TenantId::from_random(bytes);
            prop_assert_eq!(id.as_str().len(), 16);
            prop_assert!(id.as_str().starts_with(|c: char| c.is_ascii_lowercase()));
            prop_assert_eq!(id.as_str().parse::<TenantId>(), Ok(id.clone()));
        }
    }
}
