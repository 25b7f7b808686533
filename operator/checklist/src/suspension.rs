//! What suspensions ask for together; pure, the records come in as a parameter.
//!
//! Every record asks for its own; what holds is all of them together. So it does not matter in which order they come and go:
//! what a tenant looks like depends on the set alone.

use crate::saying::Saying;
use crate::text::{cut, list};
use crate::time;
use std::collections::BTreeSet;
use tenantry_crds::subscription::SuspensionHold;
use tenantry_crds::suspension::{LiftAuthority, SuspensionScope, TenantSuspensionSpec};

/// Records that a status names (the CRD's bound). Those beyond it hold all the same.
pub const NAMED: usize = 64;
/// Longest text of all messages together.
const MESSAGE_LIMIT: usize = 600;
/// Records told of in one message.
const TOLD: usize = 3;

/// One record, as it was observed.
pub type Record = Saying<TenantSuspensionSpec>;

/// What holds for a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Nobody gets in.
    pub network: bool,
    /// Nothing runs.
    pub compute: bool,
    /// What the customer is told, in one text.
    pub message: String,
    /// All records, as a status names them, by their names.
    pub holds: Vec<SuspensionHold>,
}

// === impl Effect ===

impl Effect {
    /// What these records ask for together.
    #[must_use]
    pub fn of(records: &[Record]) -> Self {
        let mut sorted: Vec<&Record> = records.iter().collect();
        sorted.sort_by(|one, other| (&one.name, &one.uid).cmp(&(&other.name, &other.uid)));
        let holds: Vec<SuspensionHold> = sorted.into_iter().map(named).collect();
        Self::of_holds(&holds)
    }

    /// The same of what a status names.
    #[must_use]
    pub fn of_holds(holds: &[SuspensionHold]) -> Self {
        let asks = |scope: SuspensionScope| {
            holds.iter().any(|hold| hold.scope == scope || hold.scope == SuspensionScope::All)
        };
        let messages: BTreeSet<&str> = holds.iter().map(|hold| hold.message.as_str()).collect();
        let message = messages.into_iter().collect::<Vec<_>>().join(" | ");
        Self {
            network: asks(SuspensionScope::Network),
            compute: asks(SuspensionScope::Compute),
            message: cut(&message, MESSAGE_LIMIT),
            holds: holds.to_vec(),
        }
    }

    /// The records that a status names after one that named these. Whoever is named stays so until he is lifted, or his end could
    /// not be told; others come where there is room, the oldest first.
    #[must_use]
    pub fn named_after(&self, before: &[SuspensionHold]) -> Vec<SuspensionHold> {
        let is_new = |hold: &&SuspensionHold| before.iter().all(|known| known.uid != hold.uid);
        let mut named: Vec<&SuspensionHold> = self.holds.iter().collect();
        named.sort_by_key(|hold| (is_new(hold), hold.at.0));
        named.truncate(NAMED);
        named.sort_by(|one, other| (&one.name, &one.uid).cmp(&(&other.name, &other.uid)));
        named.into_iter().cloned().collect()
    }

    /// Whether anything is taken away.
    #[must_use]
    pub fn is_some(&self) -> bool {
        self.network || self.compute
    }

    /// Why, and who can lift it, for people.
    #[must_use]
    pub fn told(&self) -> String {
        let told: Vec<String> = self
            .holds
            .iter()
            .map(|hold| {
                let who = match hold.lift_authority {
                    LiftAuthority::Operator => "the provider",
                    LiftAuthority::Consumer => "the customer",
                };
                format!(
                    "{} ({:?}, {:?}, {who} can lift it): {}",
                    hold.name, hold.reason, hold.scope, hold.message
                )
            })
            .collect();
        list(&told, TOLD)
    }
}

/// A record as a status names it.
fn named(record: &Record) -> SuspensionHold {
    let TenantSuspensionSpec { subscription_ref: _, reason, lift_authority, scope, message, requested_by } =
        record.spec.clone();
    let (name, uid, at) = (record.name.clone(), record.uid.clone(), time::time(record.at));
    SuspensionHold { name, uid, reason, lift_authority, scope, message, requested_by, at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use proptest::prelude::*;
    use tenantry_crds::suspension::SuspensionReason;

    fn record(name: &str, scope: SuspensionScope, message: &str) -> Record {
        let spec = TenantSuspensionSpec {
            reason: SuspensionReason::Billing,
            scope,
            message: message.to_owned(),
            requested_by: "otto".to_owned(),
            ..TenantSuspensionSpec::default()
        };
        Record { name: name.to_owned(), uid: format!("u-{name}"), at: Timestamp::UNIX_EPOCH, spec }
    }

    #[test]
    fn each_record_asks_for_its_own_and_all_hold_together() {
        use SuspensionScope::{All, Compute, Network};
        let cases: [(&[SuspensionScope], bool, bool); 6] = [
            (&[], false, false),
            (&[Network], true, false),
            (&[Compute], false, true),
            (&[All], true, true),
            (&[Network, Compute], true, true),
            (&[Network, Network], true, false),
        ];
        for (scopes, network, compute) in cases {
            let name = |(at, scope): (usize, &SuspensionScope)| record(&format!("s{at}"), *scope, "pay");
            let records: Vec<Record> = scopes.iter().enumerate().map(name).collect();
            let effect = Effect::of(&records);
            assert_eq!((effect.network, effect.compute), (network, compute), "{scopes:?}");
            assert_eq!(effect.is_some(), !scopes.is_empty());
            assert_eq!(effect.holds.len(), scopes.len());
        }
        let both = Effect::of(&[record("b", Network, "pay invoice 7"), record("a", Compute, "call us")]);
        assert_eq!(both.message, "call us | pay invoice 7");
        assert_eq!(
            both.told(),
            "a (Billing, Compute, the provider can lift it): call us and b (Billing, Network, the provider can lift it): pay invoice 7"
        );
    }

    /// However many come, and whatever their names: nobody who holds loses his place, and whoever waits for one gets it.
    #[test]
    fn whoever_is_named_stays_named_until_he_is_lifted() {
        let numbered = |number: usize| record(&format!("s{number:03}"), SuspensionScope::All, "pay");
        let names = |holds: &[SuspensionHold]| holds.iter().map(|hold| hold.name.clone()).collect::<Vec<_>>();
        let mut records: Vec<Record> = (100..100 + NAMED).map(numbered).collect();
        let first = Effect::of(&records).named_after(&[]);
        assert_eq!(first.len(), NAMED);
        // Before all others by their names, and one of them older than all.
        records.push(numbered(1));
        records
            .push(Record { at: Timestamp::UNIX_EPOCH - jiff::SignedDuration::from_secs(1), ..numbered(2) });
        let effect = Effect::of(&records);
        assert_eq!(effect.holds.len(), NAMED + 2, "all of them hold");
        assert_eq!(names(&effect.named_after(&first)), names(&first));
        records.remove(0);
        let next = Effect::of(&records).named_after(&first);
        assert_eq!(names(&next), [&["s002".to_owned()], &names(&first)[1..]].concat());
        // Another one under the same name is a new one.
        let mut again = records.clone();
        again[0].uid = "other".to_owned();
        let uids = |holds: &[SuspensionHold]| holds.iter().filter(|hold| hold.uid == "other").count();
        assert_eq!(uids(&Effect::of(&again).named_after(&next[..1])), 1);
    }

    proptest! {
        /// Records come and go in any order: what holds in the end depends on which are there, and on nothing else.
        #[test]
        fn only_the_set_counts(
            scopes in prop::collection::vec(0..3_usize, 0..5),
            order in prop::collection::vec(any::<prop::sample::Index>(), 8),
            lifted in prop::collection::vec(any::<bool>(), 5),
        ) {
            let all = [SuspensionScope::Network, SuspensionScope::Compute, SuspensionScope::All];
            let records: Vec<Record> = scopes
                .iter()
                .enumerate()
                .map(|(at, scope)| record(&format!("s{at}"), all[*scope], &format!("m{scope}")))
                .collect();
            let mut stays: Vec<Record> =
                records.iter().zip(&lifted).filter(|(_, lifted)| !**lifted).map(|(one, _)| one.clone()).collect();
            let expected = Effect::of(&stays);
            for index in &order {
                if stays.len() > 1 {
                    let at = index.index(stays.len());
                    stays.swap(0, at);
                }
                prop_assert_eq!(&Effect::of(&stays), &expected);
            }
            // The rest of a lifted one is what the others ask for.
            let asks = |scope: SuspensionScope| {
                stays.iter().any(|one| one.spec.scope == scope || one.spec.scope == SuspensionScope::All)
            };
            prop_assert_eq!(expected.network, asks(SuspensionScope::Network));
            prop_assert_eq!(expected.compute, asks(SuspensionScope::Compute));
        }
    }
}
