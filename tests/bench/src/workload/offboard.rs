//! W7: tenants are removed. Needs a client and a clock.

use super::onboard::at_least;
use super::{Figures, milliseconds};
use crate::arena::Arena;
use crate::canonical::OBJECTS;
use crate::contender::Offer;
use crate::measure::statistics::percentile;
use crate::measure::watch::{Watches, What};
use anyhow::Result;
use std::collections::{HashMap, HashSet};
use tokio::time::Instant;

/// Removes the tenants that were ordered last.
pub(super) async fn remove(arena: &mut Arena, count: usize) -> Result<Figures> {
    at_least(arena, count).await?;
    let tenants = arena.tenants.split_off(arena.tenants.len() - count);
    let namespaces: Result<HashSet<String>> =
        tenants.iter().map(|tenant| arena.actor.namespace(tenant)).collect();
    let namespaces = namespaces?;
    arena.until_rest().await?;
    let orders = arena.actor.removals(&tenants).await?;
    let mut watches = Watches::open(&arena.client, &arena.targets(["Namespace"], false)?).await?;
    let meter = arena.meter()?;
    let began = Instant::now();
    let actor = arena.actor.clone();
    let ordering = tokio::spawn(async move { actor.carry_out(orders, Offer::Burst).await });
    let (mut asked, mut gone) = (HashMap::new(), HashMap::new());
    while gone.len() < namespaces.len() {
        let sighting = watches.next().await?;
        if !namespaces.contains(&sighting.namespace) {
            continue;
        }
        if sighting.deleting {
            asked.entry(sighting.namespace.clone()).or_insert(sighting.at);
        }
        if sighting.what == What::Deleted {
            gone.insert(sighting.namespace, sighting.at);
        }
    }
    let took = began.elapsed();
    let sent: HashMap<String, Instant> = ordering.await??.into_iter().collect();
    let cost = meter.finish()?;
    arena.until_rest().await?;
    let until = |moments: &HashMap<String, Instant>| -> Vec<f64> {
        let wait = |(namespace, sent): (&String, &Instant)| {
            Some(milliseconds(moments.get(namespace)?.saturating_duration_since(*sent)))
        };
        sent.iter().filter_map(wait).collect()
    };
    // What the contender does ends with the deletion of the namespace; the rest is the controller manager's work.
    let until_asked = until(&asked);
    Ok(Figures::of_times(&until(&gone))
        .with_rate(count * OBJECTS, took)
        .with_cost(cost)
        .and("askedP50Ms", percentile(&until_asked, 0.5))
        .and("askedP99Ms", percentile(&until_asked, 0.99)))
}
