//! Two breakers: postings that no sound history gives, whatever the reason. Pure.

use std::collections::BTreeMap;

use crate::calendar::Period;
use crate::ledger::{Effect, Ledger, Posting};
use crate::line::Kind;
use crate::refusal::Refusal;

/// The most new lines of one subscription in one run.
pub const LINES_OF_A_RUN: usize = 15;

/// Refuses postings of which one charges a stretch of time that the ledger, or another of them, charges already for the same
/// charge; and more lines of a subscription than its boundaries explain. A hit parks the account until a person has looked.
///
/// `boundaries` is how many boundaries the run catches up with, at least one: each may have so many lines.
///
/// # Errors
/// A breaker is hit. Nothing may be posted.
pub fn check(postings: &[Posting], ledger: &Ledger, boundaries: usize) -> Result<(), Refusal> {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for posting in postings.iter().filter(|posting| posting.amount.minor != 0) {
        *count.entry(&posting.key.subscription).or_default() += 1;
    }
    let most = LINES_OF_A_RUN.saturating_mul(boundaries.max(1));
    if let Some((subscription, lines)) = count.into_iter().find(|(_, lines)| *lines > most) {
        return Err(parked(subscription, format!("{lines} new lines in one run, {most} are the most")));
    }
    let mut after = ledger.clone();
    after.post(postings.to_vec());
    let mut credited: BTreeMap<u64, Vec<Period>> = BTreeMap::new();
    let mut left: BTreeMap<u64, i128> = BTreeMap::new();
    for entry in after.entries() {
        let posting = &entry.posting;
        *left.entry(posting.refers_to.unwrap_or(entry.id)).or_default() += i128::from(posting.amount.minor);
        if let Some(id) = posting.refers_to.filter(|_| posting.effect == Effect::Credit) {
            credited.entry(id).or_default().push(posting.key.period);
        }
    }
    let mut covered: BTreeMap<(&str, &str), Vec<Period>> = BTreeMap::new();
    for entry in after.entries() {
        let key = &entry.posting.key;
        // A charge of which nothing is left covers its time without charging for it.
        let charges =
            entry.posting.effect == Effect::Charge && left.get(&entry.id).is_some_and(|left| *left != 0);
        if key.kind != Kind::Recurring || !charges {
            continue;
        }
        let parts = key.period.without(credited.get(&entry.id).map_or(&[], Vec::as_slice));
        covered.entry((&key.subscription, &key.charge)).or_default().extend(parts);
    }
    for ((subscription, charge), mut parts) in covered {
        parts.sort();
        let twice = parts.windows(2).find(|pair| matches!(pair, [one, next] if next.from < one.to));
        if let Some([_, next]) = twice {
            return Err(parked(subscription, format!("{charge} is charged twice from {}", next.from)));
        }
    }
    Ok(())
}

fn parked(subscription: &str, reason: String) -> Refusal {
    Refusal::new(
        format!("subscriptions[{subscription}]"),
        reason,
        "compare the event log with the ledger; the account stays parked until a person lets it go on",
    )
}
