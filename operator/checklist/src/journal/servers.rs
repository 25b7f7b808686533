//! What the journal keeps of what a tenant has of the provider's servers, so that it can be charged; pure.
//!
//! Each time that is another thing it gets the next number ([`numbered`]), and is told under that number and the second from which
//! on it is so. Somebody who has what he had before has it anew.

use super::{Teller, evidence};
use crate::time;
use jiff::Timestamp;
use serde_json::json;
use tenantry_crds::TenantSubscriptionStatus;
use tenantry_crds::subscription::{JournalFact, JournalSubject, ServersStatus};

/// What a tenant has, with its number and since when it has just this.
#[must_use]
pub fn numbered(
    previous: Option<&ServersStatus>,
    has: Option<ServersStatus>,
    now: Timestamp,
) -> Option<ServersStatus> {
    let has = has?;
    let same = |known: &&ServersStatus| {
        known.number > 0
            && **known == ServersStatus { since: known.since.clone(), number: known.number, ..has.clone() }
    };
    if let Some(known) = previous.filter(same) {
        return Some(known.clone());
    }
    let number = previous.map_or(0, |known| known.number).saturating_add(1);
    Some(ServersStatus { since: Some(time::time(now)), number, ..has })
}

/// What ends with a status: that the tenant has nothing any more.
pub(super) fn over(
    previous: &TenantSubscriptionStatus,
    next: &TenantSubscriptionStatus,
    now: Timestamp,
) -> Option<JournalFact> {
    let has = previous.servers.as_ref().filter(|_| next.servers.is_none())?;
    Teller::of(previous)?.released(has, now)
}

// === impl Teller ===

impl Teller<'_> {
    /// That it has this from now on. The first time it is obtained, and later it changes.
    pub(super) fn servers(&self, status: &TenantSubscriptionStatus) -> Option<JournalFact> {
        let has = status.servers.as_ref()?;
        let outcome = if has.number == 1 { "Obtained" } else { "Changed" };
        self.share(has, "had", outcome, time::instant(has.since.as_ref()?))
    }

    /// That it has nothing any more.
    pub(super) fn released(&self, has: &ServersStatus, now: Timestamp) -> Option<JournalFact> {
        let fact = self.share(has, "released", "Released", now)?;
        Some(JournalFact { started_at: has.since.clone(), ..fact })
    }

    fn share(&self, has: &ServersStatus, what: &str, outcome: &str, at: Timestamp) -> Option<JournalFact> {
        let ServersStatus { pool, class, tenancy, price_key, amounts, nodes, since, number, chip_power: _ } =
            has;
        let since = time::instant(since.as_ref()?);
        let proof = json!({
            "pool": pool,
            "class": class,
            "tenancy": tenancy,
            "priceKey": price_key,
            "amounts": amounts,
            "nodes": nodes.len(),
            "since": time::readable(since),
        });
        let key = format!("servers/{}/{number}/{what}", since.as_second());
        Some(JournalFact {
            evidence: evidence(&proof),
            ..self.fact(&key, JournalSubject::Servers, outcome, at)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{End, carry, ending, facts};
    use super::*;
    use proptest::prelude::*;
    use tenantry_crds::subscription::{AcceptedRevisions, DeletionPolicy, TenantStatus};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn has(pool: &str, price_key: Option<&str>, nodes: usize) -> ServersStatus {
        ServersStatus {
            pool: pool.to_owned(),
            price_key: price_key.map(str::to_owned),
            nodes: (0..nodes).map(|at| format!("n{at}")).collect(),
            ..ServersStatus::default()
        }
    }

    fn status(servers: Option<ServersStatus>) -> TenantSubscriptionStatus {
        TenantSubscriptionStatus {
            tenant: Some(TenantStatus { id: "k7".to_owned(), ..TenantStatus::default() }),
            accepted: Some(AcceptedRevisions { plan: "gold@1".to_owned(), ..AcceptedRevisions::default() }),
            servers,
            ..TenantSubscriptionStatus::default()
        }
    }

    /// Everything that is told by statuses in which a tenant has this, each at its second.
    fn told(history: &[(i64, Option<ServersStatus>)]) -> Vec<JournalFact> {
        let mut told: Vec<JournalFact> = Vec::new();
        let mut known = status(None);
        for (second, servers) in history {
            let servers = numbered(known.servers.as_ref(), servers.clone(), at(*second));
            let is_recorded = |fact: &JournalFact| told.iter().any(|known| known.id == fact.id);
            let next = carry(&known, status(servers), at(*second), is_recorded);
            for fact in facts(&next) {
                if !told.iter().any(|known| known.id == fact.id) {
                    told.push(fact);
                }
            }
            known = next;
        }
        told
    }

    #[test]
    fn what_is_had_and_given_back_is_told_with_what_it_is_charged_by() {
        let told = told(&[
            (1, Some(has("hall", Some("whole"), 2))),
            (2, Some(has("hall", Some("whole"), 2))),
            (3, Some(has("hall", Some("whole"), 3))),
            (4, Some(has("hall", Some("whole"), 2))),
            (5, Some(has("side", None, 0))),
            (9, None),
        ]);
        let lines: Vec<(&str, &str)> =
            told.iter().map(|fact| (fact.id.as_str(), fact.outcome.as_str())).collect();
        assert_eq!(
            lines,
            [
                ("k7/servers/1700000001/1/had", "Obtained"),
                ("k7/servers/1700000003/2/had", "Changed"),
                ("k7/servers/1700000004/3/had", "Changed"),
                ("k7/servers/1700000005/4/had", "Changed"),
                ("k7/servers/1700000005/4/released", "Released"),
            ]
        );
        let proof: serde_json::Value = serde_json::from_str(&told[1].evidence).unwrap();
        assert_eq!(
            (&proof["pool"], &proof["priceKey"], &proof["nodes"], &proof["since"]),
            (&json!("hall"), &json!("whole"), &json!(3), &json!("2023-11-14T22:13:23Z"))
        );
        assert_eq!(told[4].started_at, Some(time::time(at(5))));
    }

    #[test]
    fn with_the_tenant_what_it_has_is_given_back_before_its_end_is_told() {
        let known = status(numbered(None, Some(has("hall", None, 1)), at(1)));
        let end = End { policy: DeletionPolicy::Delete, requested: at(5), leftovers: &[] };
        let told = ending(&known, &end, at(9));
        let outcomes: Vec<&str> = told.iter().map(|fact| fact.outcome.as_str()).collect();
        assert_eq!(outcomes[outcomes.len() - 2..], ["Released", "Ended"]);
    }

    proptest! {
        /// However it goes, what is told is what was had, each time once: between two facts nothing is missing.
        #[test]
        fn each_time_is_told_once(
            had in prop::collection::vec(prop::option::of((0_u8..3, 0_usize..3)), 1..20),
        ) {
            let history: Vec<(i64, Option<ServersStatus>)> = had
                .iter()
                .enumerate()
                .map(|(second, had)| {
                    let had = had.map(|(pool, nodes)| has(&format!("p{pool}"), None, nodes));
                    (i64::try_from(second).unwrap(), had)
                })
                .collect();
            let mut expected = Vec::new();
            let mut known: Option<ServersStatus> = None;
            for (_, now) in &history {
                match (&known, now) {
                    (before, Some(now)) if before.as_ref() != Some(now) => {
                        expected.push(if before.is_some() { "Changed" } else { "Obtained" });
                    }
                    (Some(_), None) => expected.push("Released"),
                    _ => {}
                }
                known.clone_from(now);
            }
            let told = told(&history);
            let outcomes: Vec<&str> = told.iter().map(|fact| fact.outcome.as_str()).collect();
            let sorted = |mut all: Vec<&'static str>| { all.sort_unstable(); all };
            let words = |all: &[&str]| sorted(all.iter().map(|word| match *word {
                "Obtained" => "Obtained",
                "Changed" => "Changed",
                _ => "Released",
            }).collect());
            prop_assert_eq!(words(&outcomes), words(&expected));
        }
    }
}
