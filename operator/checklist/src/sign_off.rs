//! Which signature counts for an item, and what is signed; pure, the signatures come in as a parameter.
//!
//! A signature is about a digest of what was to be signed at its time. When that changes it lapses: it stays as a record
//! and counts no more.

use crate::order::Order;
use crate::saying::Saying;
use crate::time;
use serde_json::json;
use tenantry_crds::blueprint::{EvidenceRequirement, Item, Party};
use tenantry_crds::canonical;
use tenantry_crds::sign_off::TenantSignOffSpec;
use tenantry_crds::subscription::{Signature, SizingStatus};

/// Hexadecimal digits of a digest that is signed.
const DIGITS: usize = 32;

/// A signature as it was observed.
pub type Signed = Saying<TenantSignOffSpec>;

/// What signature an item asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Who signs.
    pub party: Party,
    /// Whether proof has to come with it.
    pub evidence_required: bool,
    /// Digest of what is to be signed.
    pub digest: String,
}

/// How an item stands with its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody signed.
    Missing,
    /// Somebody signed without the proof that is asked for.
    Unproven(Signature),
    /// Somebody signed, and what was signed has changed since.
    Lapsed(Signature),
    /// Somebody signed what is to be signed.
    Given(Signature),
}

/// What is asked of whom for `item` under `order`; nothing for an item that needs no signature.
#[must_use]
pub fn wanted(order: &Order, item: &Item) -> Option<Wanted> {
    let (party, evidence) = match (&item.sign_off, &item.confirm) {
        (Some(action), _) => (action.by, action.evidence),
        (None, Some(confirm)) => (confirm.by, confirm.evidence),
        (None, None) => return None,
    };
    let evidence_required = evidence == EvidenceRequirement::Required;
    Some(Wanted { party, evidence_required, digest: digest(order, item, party) })
}

/// What is asked of the provider where the plan does not have what the customer's business needs.
#[must_use]
pub fn approval(order: &Order, item: &Item, sizing: &SizingStatus) -> Wanted {
    // The smallest plan that would do is advice, and changes with the catalogue.
    let about = SizingStatus { smallest_plan: None, ..sizing.clone() };
    let whole = json!({"tenant": order.tenant_id.as_str(), "item": item.name, "sizing": about});
    Wanted { party: Party::Provider, evidence_required: false, digest: canonical::digest(&whole, DIGITS) }
}

/// Digest of what is signed: the item as its signer reads it, and as much of the order as the item's `runs` says.
fn digest(order: &Order, item: &Item, party: Party) -> String {
    let about = order.subject(item.runs.unwrap_or_default());
    let whole = json!({"tenant": order.tenant_id.as_str(), "item": item.name, "as": party, "about": about});
    canonical::digest(&whole, DIGITS)
}

/// How an item stands, by every signature for the subscription. Of several that count the first does, so that signing
/// again changes nothing; of those that do not, the latest says what is wrong.
#[must_use]
pub fn standing(item: &str, wanted: &Wanted, signatures: &[Signed]) -> Standing {
    let fits = |signed: &&Signed| signed.spec.item == item && signed.spec.party == wanted.party;
    let mut fitting: Vec<&Signed> = signatures.iter().filter(fits).collect();
    fitting.sort_by(|a, b| (a.at, &a.name).cmp(&(b.at, &b.name)));
    let is_current = |signed: &Signed| signed.spec.order_digest == wanted.digest;
    let is_proven = |signed: &Signed| !wanted.evidence_required || !signed.spec.evidence.is_empty();
    if let Some(signed) = fitting.iter().find(|signed| is_current(signed) && is_proven(signed)) {
        return Standing::Given(signature(signed));
    }
    match fitting.last() {
        None => Standing::Missing,
        Some(signed) if is_current(signed) => Standing::Unproven(signature(signed)),
        Some(signed) => Standing::Lapsed(signature(signed)),
    }
}

/// A signature as a status holds it.
fn signature(signed: &Signed) -> Signature {
    Signature {
        name: signed.name.clone(),
        by: signed.spec.by.clone(),
        via: signed.spec.via.clone(),
        at: time::time(signed.at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use jiff::Timestamp;
    use tenantry_crds::blueprint::Runs;
    use tenantry_crds::sign_off::SignOffEvidence;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn signed(name: &str, digest: &str, seconds: i64) -> Signed {
        let spec = TenantSignOffSpec {
            item: "training".to_owned(),
            party: Party::Customer,
            order_digest: digest.to_owned(),
            by: "ada".to_owned(),
            ..TenantSignOffSpec::default()
        };
        Signed { name: name.to_owned(), uid: format!("uid-{name}"), at: at(seconds), spec }
    }

    fn wants(evidence_required: bool) -> Wanted {
        Wanted { party: Party::Customer, evidence_required, digest: "d2".to_owned() }
    }

    fn told(standing: &Standing) -> (&'static str, &str) {
        match standing {
            Standing::Missing => ("missing", ""),
            Standing::Unproven(signature) => ("unproven", &signature.name),
            Standing::Lapsed(signature) => ("lapsed", &signature.name),
            Standing::Given(signature) => ("given", &signature.name),
        }
    }

    #[test]
    fn the_first_that_counts_counts_and_the_latest_tells_what_is_wrong() {
        let proof = |mut signed: Signed| {
            signed.spec.evidence = vec![SignOffEvidence::default()];
            signed
        };
        let other = |mut signed: Signed, party, item: &str| {
            signed.spec.party = party;
            signed.spec.item = item.to_owned();
            signed
        };
        for (signatures, evidence_required, expected) in [
            (vec![], false, ("missing", "")),
            (vec![signed("b", "d2", 2), signed("a", "d2", 1)], false, ("given", "a")),
            (vec![signed("a", "d1", 1)], false, ("lapsed", "a")),
            (vec![signed("a", "d1", 9), signed("b", "d2", 2)], false, ("given", "b")),
            (vec![signed("a", "d2", 1)], true, ("unproven", "a")),
            (vec![signed("a", "d2", 1), proof(signed("b", "d2", 2))], true, ("given", "b")),
            (vec![proof(signed("a", "d1", 1)), signed("b", "d1", 2)], true, ("lapsed", "b")),
            (vec![other(signed("a", "d2", 1), Party::Provider, "training")], false, ("missing", "")),
            (vec![other(signed("a", "d2", 1), Party::Customer, "contract")], false, ("missing", "")),
        ] {
            let found = standing("training", &wants(evidence_required), &signatures);
            assert_eq!(told(&found), expected, "{signatures:?}");
        }
    }

    fn item(runs: Runs) -> Item {
        let sign_off = Some(tenantry_crds::blueprint::SignOffAction {
            by: Party::Customer,
            evidence: EvidenceRequirement::Required,
        });
        Item { name: "training".to_owned(), sign_off, runs: Some(runs), ..Item::default() }
    }

    #[test]
    fn what_is_signed_follows_what_the_item_says() {
        let order = fixtures::order();
        let mut parameters = fixtures::subscription();
        parameters.parameters["language"] = "de".into();
        let mut people = fixtures::subscription();
        people.users.pop();
        let mut date = fixtures::subscription();
        date.go_live.target_date = Some("2027-01-01".to_owned());
        for (what, spec, changes) in [
            ("parameters", parameters, [false, true, false]),
            ("people", people, [false, false, false]),
            ("date", date, [false, false, false]),
        ] {
            let changed = fixtures::resolved(&spec, &fixtures::definitions()).unwrap();
            let lapses = [Runs::Once, Runs::OnChange, Runs::EveryUpgrade]
                .map(|runs| wanted(&order, &item(runs)) != wanted(&changed, &item(runs)));
            assert_eq!(lapses, changes, "{what}");
        }
        let asked = wanted(&order, &item(Runs::Once)).unwrap();
        assert!(asked.evidence_required && asked.party == Party::Customer);
        assert_eq!(wanted(&order, &Item::default()), None);
    }
}
