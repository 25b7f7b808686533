//! Host names and who holds them; pure, needs neither client nor clock.
//!
//! A name belongs to one tenant at a time. A claim that is recorded wins over one that is not, and of two newcomers the
//! one with the smaller UID wins, so every replica and every restart decides alike. Nobody learns who holds a name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::str::FromStr;
use thiserror::Error;

const WILDCARD: &str = "*.";
/// Longest host name (RFC 1035), the wildcard included.
const HOST_LIMIT: usize = 253;

/// A host name in lower-case ASCII, perhaps with a wildcard as its first label.
///
/// A wildcard stands for one label or several, as in a route of the Gateway API: `*.acme.example` covers
/// `a.b.acme.example` and not `acme.example` itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host {
    name: String,
}

/// Why a text is not a host name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HostError {
    /// The text breaks the rules for internationalised domain names (UTS 46) or host names (RFC 1123).
    #[error(
        "is not a host name; write letters, digits and dashes in labels of at most 63 characters, such as erp.acme.example"
    )]
    Malformed,
    /// A name of one label belongs to nobody in particular.
    #[error("has only one label; write a full name such as erp.acme.example")]
    OneLabel,
    /// The name would be read as an address.
    #[error("is an address; write a host name such as erp.acme.example")]
    Address,
}

/// Which subscription holds or wishes which host names.
///
/// Wishes belong in here only while nothing else is wrong with the order, or a refused order would keep names from
/// others.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    /// Holders by name with the labels reversed, so that everything under a name is one range.
    by_name: BTreeMap<String, BTreeMap<String, Standing>>,
    by_holder: BTreeMap<String, BTreeSet<String>>,
}

/// How strong a claim is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Wished,
    Recorded,
}

/// The names to record for a tenant: what is recorded already, which is kept to its end, and what it wishes now.
#[must_use]
pub fn recorded(previous: &[String], wished: &[Host]) -> Vec<String> {
    let mut names = previous.to_vec();
    for host in wished {
        if !names.iter().any(|name| name == host.as_str()) {
            names.push(host.as_str().to_owned());
        }
    }
    names
}

// === impl Host ===

impl Host {
    /// The name in lower-case ASCII.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Whether the name stands for more than one host.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.name.starts_with(WILDCARD)
    }

    /// Whether some host belongs to both names.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// Whether every host of `other` belongs to this name.
    fn covers(&self, other: &Self) -> bool {
        if self == other {
            return true;
        }
        let Some(parent) = self.name.strip_prefix(WILDCARD) else { return false };
        let below = other.name.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'));
        // `*.a.example` ends in `.a.example` as well, and is covered only by itself, which was asked above.
        below && other.name.strip_prefix(WILDCARD) != Some(parent)
    }

    /// The name with its labels reversed; the wildcard of `*.a.example` gives `example.a.*`.
    fn key(&self) -> String {
        self.name.rsplit('.').collect::<Vec<_>>().join(".")
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (prefix, bare) = match text.strip_prefix(WILDCARD) {
            Some(rest) => (WILDCARD, rest),
            None => ("", text),
        };
        let ascii = idna::domain_to_ascii_strict(bare).map_err(|_| HostError::Malformed)?;
        let last = ascii.rsplit('.').next().unwrap_or_default();
        if ascii.is_empty() || ascii.ends_with('.') || prefix.len() + ascii.len() > HOST_LIMIT {
            return Err(HostError::Malformed);
        }
        if !ascii.contains('.') {
            return Err(HostError::OneLabel);
        }
        if last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(HostError::Address);
        }
        Ok(Self { name: format!("{prefix}{ascii}") })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

// === impl Claims ===

impl Claims {
    /// Replaces everything known about one subscription. `recorded` is what its status holds, in whatever form; entries
    /// that are no host names are ignored, since nobody can wish them.
    pub fn set(&mut self, uid: &str, recorded: &[String], wished: &[Host]) {
        self.remove(uid);
        for host in wished {
            self.put(uid, host, Standing::Wished);
        }
        for host in recorded.iter().filter_map(|name| name.parse::<Host>().ok()) {
            self.put(uid, &host, Standing::Recorded);
        }
    }

    /// Forgets one subscription.
    pub fn remove(&mut self, uid: &str) {
        for key in self.by_holder.remove(uid).unwrap_or_default() {
            if let Some(holders) = self.by_name.get_mut(&key) {
                holders.remove(uid);
                if holders.is_empty() {
                    self.by_name.remove(&key);
                }
            }
        }
    }

    /// Whether the subscription may not have the name, because another one holds it or comes first.
    #[must_use]
    pub fn taken(&self, uid: &str, host: &Host) -> bool {
        let own = self
            .by_name
            .get(&host.key())
            .and_then(|holders| holders.get(uid))
            .copied()
            .unwrap_or(Standing::Wished);
        self.overlapping(host)
            .any(|(other, standing)| other != uid && (standing > own || (standing == own && other < uid)))
    }

    fn put(&mut self, uid: &str, host: &Host, standing: Standing) {
        let key = host.key();
        self.by_holder.entry(uid.to_owned()).or_default().insert(key.clone());
        self.by_name.entry(key).or_default().insert(uid.to_owned(), standing);
    }

    /// Every claim on a name that shares a host with `host`: the name itself, the wildcards above it, and for a wildcard
    /// everything below it.
    fn overlapping(&self, host: &Host) -> impl Iterator<Item = (&str, Standing)> {
        let key = host.key();
        let above = key.match_indices('.').map(|(at, _)| format!("{}.*", key.get(..at).unwrap_or_default()));
        let mut names: BTreeSet<String> = above.collect();
        names.insert(key.clone());
        let below = key.strip_suffix('*').map(|parent| {
            let range = (Bound::Included(parent.to_owned()), Bound::Unbounded);
            let parent = parent.to_owned();
            self.by_name.range(range).take_while(move |(name, _)| name.starts_with(&parent))
        });
        let exact = names.into_iter().filter_map(|name| self.by_name.get(&name));
        exact
            .chain(below.into_iter().flatten().map(|(_, holders)| holders))
            .flat_map(|holders| holders.iter().map(|(uid, standing)| (uid.as_str(), *standing)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn host(text: &str) -> Host {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_compared_in_one_form() {
        for (text, wanted) in [
            ("ERP.Acme.Example", "erp.acme.example"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("*.Acme.Example", "*.acme.example"),
            ("erp。acme.example", "erp.acme.example"),
        ] {
            assert_eq!(host(text).as_str(), wanted);
        }
    }

    #[test]
    fn other_texts_are_refused_with_a_remedy() {
        let long_label = format!("{}.example", "a".repeat(64));
        let long_name = format!("{}example", "abcdefg.".repeat(32));
        for (text, wanted) in [
            ("", HostError::Malformed),
            ("acme", HostError::OneLabel),
            ("*.example", HostError::OneLabel),
            ("203.0.113.7", HostError::Address),
            ("a.203", HostError::Address),
            ("a..example", HostError::Malformed),
            ("-a.example", HostError::Malformed),
            ("a_b.example", HostError::Malformed),
            ("a b.example", HostError::Malformed),
            ("a.example.", HostError::Malformed),
            ("a.*.example", HostError::Malformed),
            ("*.*.example", HostError::Malformed),
            ("xn--.example", HostError::Malformed),
            ("a\u{202e}b.example", HostError::Malformed),
            (long_label.as_str(), HostError::Malformed),
            (long_name.as_str(), HostError::Malformed),
        ] {
            assert_eq!(text.parse::<Host>(), Err(wanted), "{text}");
        }
    }

    #[test]
    fn wildcards_overlap_what_is_below_them() {
        for (a, b, wanted) in [
            ("erp.acme.example", "erp.acme.example", true),
            ("erp.acme.example", "mail.acme.example", false),
            ("*.acme.example", "erp.acme.example", true),
            ("*.acme.example", "a.b.acme.example", true),
            ("*.acme.example", "acme.example", false),
            ("*.acme.example", "erp.otheracme.example", false),
            ("*.acme.example", "*.b.acme.example", true),
            ("*.acme.example", "*.acme.example", true),
            ("*.a.example", "*.b.example", false),
        ] {
            assert_eq!(host(a).overlaps(&host(b)), wanted, "{a} {b}");
            let mut claims = Claims::default();
            claims.set("1", &[a.to_owned()], &[]);
            assert_eq!(claims.taken("2", &host(b)), wanted, "{a} {b}");
        }
    }

    #[test]
    fn recorded_claims_win_and_newcomers_go_by_uid() {
        let name = host("erp.acme.example");
        let mut claims = Claims::default();
        claims.set("b", &[], std::slice::from_ref(&name));
        claims.set("a", &[], std::slice::from_ref(&name));
        assert!(claims.taken("b", &name));
        assert!(!claims.taken("a", &name));
        claims.set("b", &["erp.acme.example".to_owned()], std::slice::from_ref(&name));
        assert!(!claims.taken("b", &name));
        assert!(claims.taken("a", &name));
        claims.remove("b");
        assert!(!claims.taken("a", &name));
    }

    #[test]
    fn recorded_names_are_kept_and_listed_once() {
        let names =
            recorded(&["old.acme.example".to_owned()], &[host("a.example"), host("old.acme.example")]);
        assert_eq!(names, ["old.acme.example", "a.example"]);
    }

    fn any_host() -> impl Strategy<Value = Host> {
        "(\\*\\.)?([ab]\\.){1,3}example".prop_map(|text| text.parse().unwrap())
    }

    fn any_claims() -> impl Strategy<Value = Vec<(String, bool, Host)>> {
        proptest::collection::vec(("[a-d]", any::<bool>(), any_host()), 0..8)
    }

    proptest! {
        #[test]
        fn overlap_is_symmetric_and_the_form_is_stable(a in any_host(), b in any_host()) {
            prop_assert_eq!(a.overlaps(&b), b.overlaps(&a));
            prop_assert!(a.overlaps(&a));
            prop_assert_eq!(a.as_str().parse::<Host>(), Ok(a));
        }

        /// The index answers what a look at every pair would, and of two that want the same at most one gets it.
        #[test]
        fn the_index_agrees_with_the_rule(given in any_claims(), one in any_host(), two in any_host()) {
            let mut held: BTreeMap<String, (Vec<String>, Vec<Host>)> = BTreeMap::new();
            for (uid, is_recorded, host) in given {
                let entry = held.entry(uid).or_default();
                if is_recorded { entry.0.push(host.to_string()) } else { entry.1.push(host) }
            }
            held.entry("x".to_owned()).or_default().1.push(one.clone());
            held.entry("y".to_owned()).or_default().1.push(two.clone());
            let mut claims = Claims::default();
            for (uid, (recorded, wished)) in &held {
                claims.set(uid, recorded, wished);
            }
            for (uid, host) in [("x", &one), ("y", &two)] {
                let wanted = held.iter().filter(|(other, _)| *other != uid).any(|(other, (recorded, wished))| {
                    recorded.iter().any(|r| r.parse::<Host>().unwrap().overlaps(host))
                        || (other.as_str() < uid && wished.iter().any(|w| w.overlaps(host)))
                });
                prop_assert_eq!(claims.taken(uid, host), wanted);
            }
            if one.overlaps(&two) {
                prop_assert!(claims.taken("x", &one) || claims.taken("y", &two));
            }
        }
    }
}
