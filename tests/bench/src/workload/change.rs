//! W5: one change that touches a few objects of every tenant. Needs a client and a clock.

use super::{Figures, milliseconds};
use crate::arena::Arena;
use crate::canonical::ObjectRef;
use crate::contender::{Offer, Set};
use crate::measure::watch::{Sighting, Watches, What};
use anyhow::{Context, Result};
use std::collections::{BTreeSet, HashMap};
use tokio::time::Instant;

pub(super) async fn plan(arena: &mut Arena) -> Result<Figures> {
    let change = arena.contender.change.clone().context("the contender describes no change")?;
    let touched: BTreeSet<&ObjectRef> = change.set.iter().map(|set| &set.object).collect();
    let kinds: BTreeSet<&str> = touched.iter().map(|object| object.kind.as_str()).collect();
    let namespaces: Result<Vec<String>> =
        arena.tenants.iter().map(|tenant| arena.actor.namespace(tenant)).collect();
    let mut missing: HashMap<String, BTreeSet<&ObjectRef>> =
        namespaces?.into_iter().map(|namespace| (namespace, touched.clone())).collect();
    let objects = missing.len() * touched.len();
    arena.until_rest().await?;
    let mut watches = Watches::open(&arena.client, &arena.targets(kinds, true)?).await?;
    let tenants = arena.tenants.clone();
    let orders = arena.actor.changes(&change, &tenants)?;
    let meter = arena.meter()?;
    let began = Instant::now();
    if let Some(file) = &change.apply {
        arena.apply_file(file).await?;
    }
    let actor = arena.actor.clone();
    let ordering = tokio::spawn(async move { actor.carry_out(orders, Offer::Burst).await });
    let mut times = Vec::new();
    while !missing.is_empty() {
        let sighting = watches.next().await?;
        let Some(rest) = missing.get_mut(&sighting.namespace) else { continue };
        rest.retain(|object| !has_changed(&sighting, object, &change.set));
        if rest.is_empty() {
            missing.remove(&sighting.namespace);
            times.push(milliseconds(sighting.at.duration_since(began)));
        }
    }
    let took = began.elapsed();
    ordering.await??;
    arena.changed = true;
    arena.until_rest().await?;
    Ok(Figures::of_times(&times)
        .with_rate(objects, took)
        .with_cost(meter.finish()?)
        .and("objects", Some(objects as f64))
        .and("seconds", Some(took.as_secs_f64())))
}

/// Whether an event shows an object with all its new values.
fn has_changed(sighting: &Sighting, object: &ObjectRef, set: &[Set]) -> bool {
    let body = serde_json::Value::Object(sighting.body.clone());
    sighting.what != What::Deleted
        && *sighting.kind == *object.kind
        && sighting.name == object.name
        && set
            .iter()
            .filter(|set| set.object == *object)
            .all(|set| body.pointer(&set.field.field) == Some(&set.field.value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_has_changed_when_all_its_fields_have() {
        let set: Vec<Set> = serde_json::from_value(json!([
            {"object": "ResourceQuota/q", "field": "/spec/hard/cpu", "value": "9"},
            {"object": "ResourceQuota/q", "field": "/spec/hard/memory", "value": "18"},
            {"object": "LimitRange/l", "field": "/spec/x", "value": 1},
        ]))
        .unwrap();
        let sighting = |name: &str, hard: serde_json::Value| Sighting {
            at: Instant::now(),
            what: What::Modified,
            kind: "ResourceQuota".into(),
            namespace: "one".into(),
            name: name.into(),
            deleting: false,
            body: json!({"spec": {"hard": hard}}).as_object().unwrap().clone(),
        };
        let quota = "ResourceQuota/q".parse().unwrap();
        let both = json!({"cpu": "9", "memory": "18"});
        assert!(has_changed(&sighting("q", both.clone()), &quota, &set));
        assert!(!has_changed(&sighting("q", json!({"cpu": "9"})), &quota, &set));
        assert!(!has_changed(&sighting("other", both.clone()), &quota, &set));
        assert!(!has_changed(&sighting("q", both), &"LimitRange/l".parse().unwrap(), &set));
    }
}
