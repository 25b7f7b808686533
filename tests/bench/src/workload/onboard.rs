//! Workloads that create tenants: one by one (W1), many at once (W2), one by one behind a queue (W8). Needs a client and
//! a clock.

use super::board::Board;
use super::{Figures, milliseconds, names};
use crate::arena::{Arena, has_condition};
use crate::canonical::OBJECTS;
use crate::contender::{Create, Offer};
use crate::measure::statistics::percentile;
use crate::measure::watch::{Target, Watches};
use anyhow::{Context, Result};
use kube::Discovery;
use kube::core::GroupVersionKind;
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// A wait that a customer does not notice.
const SERVED_WITHIN: f64 = 1_000.0;

/// How much of W8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mixed {
    /// Orders that are queued.
    pub queued: usize,
    /// Orders that come one by one meanwhile.
    pub single: usize,
    /// How far apart these are.
    pub every: Duration,
}

/// When orders were sent, and when everything existed, by namespace.
pub(super) struct Onboarded {
    sent: HashMap<String, Instant>,
    board: Board,
    /// When the contender itself said that the tenant is ready.
    ready: HashMap<String, Instant>,
}

// === impl Onboarded ===

impl Onboarded {
    /// Milliseconds from order to last object.
    pub(super) fn waits(&self) -> Vec<f64> {
        let wait = |(namespace, sent): (&String, &Instant)| {
            let complete = self.board.complete_since(namespace)?;
            Some(milliseconds(complete.duration_since(*sent)))
        };
        self.sent.iter().filter_map(wait).collect()
    }

    fn waits_until_ready(&self) -> Vec<f64> {
        let wait = |(namespace, sent): (&String, &Instant)| {
            Some(milliseconds(self.ready.get(namespace)?.duration_since(*sent)))
        };
        self.sent.iter().filter_map(wait).collect()
    }

    /// From the first order to the last object.
    fn time(&self) -> Duration {
        let first = self.sent.values().min();
        let last = self.sent.keys().filter_map(|namespace| self.board.complete_since(namespace)).max();
        first.zip(last).map(|(first, last)| last.duration_since(*first)).unwrap_or_default()
    }
}

pub(super) async fn one_by_one(arena: &mut Arena, (count, every): (usize, Duration)) -> Result<Figures> {
    let tenants = next_names(arena, count);
    arena.until_rest().await?;
    let meter = arena.meter()?;
    let onboarded = onboard(arena, &tenants, Offer::Every(every), true).await?;
    // What follows the last object, such as the last status, is part of the cost.
    arena.until_rest().await?;
    let cost = meter.finish()?;
    let until_ready = onboarded.waits_until_ready();
    Ok(Figures::of_times(&onboarded.waits())
        .with_rate(count * OBJECTS, onboarded.time())
        .with_cost(cost)
        .and("readyP50Ms", percentile(&until_ready, 0.5))
        .and("readyP99Ms", percentile(&until_ready, 0.99)))
}

pub(super) async fn burst(arena: &mut Arena, count: usize) -> Result<Figures> {
    let tenants = next_names(arena, count);
    arena.until_rest().await?;
    let meter = arena.meter()?;
    let onboarded = onboard(arena, &tenants, Offer::Burst, false).await?;
    arena.until_rest().await?;
    let cost = meter.finish()?;
    Ok(Figures::of_times(&onboarded.waits()).with_rate(count * OBJECTS, onboarded.time()).with_cost(cost))
}

/// Orders that come one by one while many are queued: the figures are those of the former.
pub(super) async fn mixed(arena: &mut Arena, mixed: Mixed) -> Result<Figures> {
    let mut queued = next_names(arena, mixed.queued + mixed.single);
    let single = queued.split_off(mixed.queued);
    arena.until_rest().await?;
    let (queued_orders, single_orders) =
        (arena.actor.creations(&queued).await?, arena.actor.creations(&single).await?);
    let mut watches = Watches::open(&arena.client, &arena.targets(arena.kinds(), false)?).await?;
    let namespaces: Result<Vec<String>> =
        queued.iter().chain(&single).map(|tenant| arena.actor.namespace(tenant)).collect();
    let mut board = Board::new(arena.names(), namespaces?);
    let meter = arena.meter()?;
    let actor = arena.actor.clone();
    let ordering = tokio::spawn(async move {
        let queued = actor.carry_out(queued_orders, Offer::Burst).await?;
        let single = actor.carry_out(single_orders, Offer::Every(mixed.every)).await?;
        anyhow::Ok((queued, single))
    });
    while board.incomplete() > 0 {
        let sighting = watches.next().await?;
        board.see(&sighting);
    }
    let (sent_queued, sent_single) = ordering.await??;
    arena.until_rest().await?;
    let cost = meter.finish()?;
    arena.tenants.extend(queued.into_iter().chain(single));
    let last_of_queue = sent_queued.iter().filter_map(|(namespace, _)| board.complete_since(namespace)).max();
    let begun = sent_queued.iter().map(|(_, sent)| *sent).min();
    let drained = last_of_queue.zip(begun).map(|(last, begun)| last.duration_since(begun));
    let onboarded = Onboarded { sent: sent_single.into_iter().collect(), board, ready: HashMap::new() };
    let waits = onboarded.waits();
    let in_time = waits.iter().filter(|wait| **wait <= SERVED_WITHIN).count();
    Ok(Figures::of_times(&waits)
        .with_rate((mixed.queued + mixed.single) * OBJECTS, drained.unwrap_or_default())
        .with_cost(cost)
        .and("servedWithinOneSecond", Some(in_time as f64 / waits.len() as f64))
        .and("queueDrainedSeconds", drained.map(|drained| drained.as_secs_f64())))
}

/// Orders tenants and waits until everything exists, and where it is asked for, until the contender says so too.
pub(super) async fn onboard(
    arena: &mut Arena,
    tenants: &[String],
    offer: Offer,
    until_ready: bool,
) -> Result<Onboarded> {
    let orders = arena.actor.creations(tenants).await?;
    let mut targets = arena.targets(arena.kinds(), false)?;
    let condition = match (&arena.contender.tenant.create, until_ready) {
        (Create::Object { file, ready: Some(condition) }, true) => {
            targets.push(ordered_kind(arena, file).await?);
            Some(condition.clone())
        }
        _ => None,
    };
    let namespaces: Result<HashMap<String, String>> =
        tenants.iter().map(|tenant| Ok((tenant.clone(), arena.actor.namespace(tenant)?))).collect();
    let namespaces = namespaces?;
    let mut board = Board::new(arena.names(), namespaces.values().cloned());
    let mut watches = Watches::open(&arena.client, &targets).await?;
    let actor = arena.actor.clone();
    let ordering = tokio::spawn(async move { actor.carry_out(orders, offer).await });
    let mut ready = HashMap::new();
    while board.incomplete() > 0 || (condition.is_some() && ready.len() < tenants.len()) {
        let sighting = watches.next().await?;
        board.see(&sighting);
        if let (Some(condition), Some(namespace)) = (&condition, namespaces.get(&sighting.name))
            && sighting.namespace.is_empty()
            && has_condition(&Value::Object(sighting.body), condition)
        {
            ready.entry(namespace.clone()).or_insert(sighting.at);
        }
    }
    let sent = ordering.await??.into_iter().collect();
    arena.tenants.extend(tenants.iter().cloned());
    Ok(Onboarded { sent, board, ready })
}

/// Orders as many tenants as are missing: workloads that concern tenants find some also where nothing ordered any before them.
pub(super) async fn at_least(arena: &mut Arena, tenants: usize) -> Result<()> {
    let missing = next_names(arena, tenants.saturating_sub(arena.tenants.len()));
    if !missing.is_empty() {
        onboard(arena, &missing, Offer::Burst, false).await?;
    }
    Ok(())
}

/// Names for tenants that do not exist yet.
pub(super) fn next_names(arena: &Arena, count: usize) -> Vec<String> {
    let last = arena.tenants.iter().filter_map(|name| name.strip_prefix("t-")?.parse::<usize>().ok()).max();
    names(last.map_or(0, |last| last + 1), count)
}

/// The kind of the object that orders a tenant, in full: its conditions are looked at.
async fn ordered_kind(arena: &Arena, file: &str) -> Result<Target> {
    let text = std::fs::read_to_string(arena.contender.directory.join(file))?;
    let object: Value = serde_saphyr::from_str(&text)?;
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
    let gvk = GroupVersionKind::gvk(group, version, text("kind"));
    let discovery = Discovery::new(arena.client.clone()).filter(&[group]).run().await?;
    let (resource, _) =
        discovery.resolve_gvk(&gvk).with_context(|| format!("{} is not served", text("kind")))?;
    Ok(Target { resource, in_full: true })
}
