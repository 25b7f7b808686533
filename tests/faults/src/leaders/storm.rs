//! Many orders, and the leader changes several times while they are worked on.

use anyhow::{Context, Result};
use tenantry_e2e::seed::Seed;

use super::Outcome;
use super::cases::{done, goes_on_and_ends, order};
use super::pair::Pair;
use crate::oracle::Finding;
use crate::oracle::fencing::takeovers;

/// Orders, all at once.
const ORDERS: usize = 200;
/// Writes of a leader after which it is disturbed. All changes together happen long before the orders are done.
const WRITES: std::ops::RangeInclusive<usize> = 50..=900;

/// What is done to a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Kill,
    AskToEnd,
    Stop,
}

/// What is done to which leader after how many of its writes: each way once, and one twice.
fn changes(seed: u64) -> Vec<(Change, usize)> {
    let all = [Change::Kill, Change::AskToEnd, Change::Stop, Change::AskToEnd];
    let mut seed = Seed::new(seed);
    let order = seed.distinct(all.len(), 0..=all.len() - 1);
    let writes = seed.distinct(all.len(), WRITES);
    order.into_iter().filter_map(|at| all.get(at).copied()).zip(writes).collect()
}

pub(super) async fn storm(pair: &mut Pair, seed: u64) -> Result<Outcome> {
    let (mut leader, mut identity) = pair.begin().await?;
    let subjects = order(pair, ORDERS).await?;
    let mut findings = Vec::new();
    let mut told = Vec::new();
    let changes = changes(seed);
    for (change, writes) in &changes {
        // Both have led before, so only what it writes from now on is counted.
        let before = pair.written(leader.name);
        pair.writes(leader.name, before + writes)
            .await
            .context("the storm was over before the last change")?;
        told.push(format!("{change:?} after {writes} writes"));
        let old = leader.clone();
        let next = match change {
            Change::Kill => {
                old.slot.kill();
                pair.run(&old)?;
                pair.another_leads(&identity).await?
            }
            Change::AskToEnd => {
                old.slot.terminate()?;
                let status = pair.gone(&old).await?;
                if !status.success() {
                    let what = format!("{} was asked to end and failed: {status}", old.name);
                    findings.push(Finding::new("O11", what));
                }
                pair.run(&old)?;
                pair.another_leads(&identity).await?
            }
            Change::Stop => {
                old.slot.stop()?;
                let next = pair.another_leads(&identity).await?;
                findings.extend(goes_on_and_ends(pair, &old).await?);
                pair.run(&old)?;
                next
            }
        };
        (leader, identity) = next;
    }
    done(pair, &subjects).await?;
    let seen = pair.end().await?;
    findings.extend(pair.judge(&seen, &subjects));
    let happened = takeovers(&seen.words).len();
    if happened != changes.len() {
        let what = format!("{} changes of the leader were made and {happened} happened", changes.len());
        findings.push(Finding::new("O6", what));
    }
    let figures = format!("seed {seed}: {}", told.join(", "));
    Ok(Outcome { seen, findings, figures })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_a_storm_in_which_every_change_happens() {
        for seed in 0..50 {
            let made = changes(seed);
            assert_eq!(made, changes(seed));
            let times = |change| made.iter().filter(|(made, _)| *made == change).count();
            assert_eq!([Change::Kill, Change::AskToEnd, Change::Stop].map(times), [1, 2, 1], "{seed}");
            assert!(made.iter().all(|(_, writes)| WRITES.contains(writes)), "{made:?}");
        }
        assert_ne!(changes(1), changes(2));
    }
}
