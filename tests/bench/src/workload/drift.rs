//! W6: somebody deletes and edits objects of tenants. Needs a client and a clock.

use super::onboard::at_least;
use super::{Figures, milliseconds};
use crate::arena::Arena;
use crate::canonical::ObjectRef;
use crate::measure::statistics::percentile;
use crate::measure::watch::{Sighting, Watches, What};
use anyhow::{Result, ensure};
use futures::future::try_join_all;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::json;
use std::collections::HashMap;
use tokio::time::Instant;

/// What is deleted: an object that nothing hangs on.
const DELETED: &str = "Service/web";
/// What is edited, and which key of its data.
const EDITED: &str = "ConfigMap/app-config";
const KEY: &str = "application.yaml";
/// What is written over the value.
const INTRUDER: &str = "edited by somebody";

/// One act against one object of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Act {
    Delete,
    Edit,
}

/// Acts whose repair was not seen yet, with the moment of each.
type Open = HashMap<(String, Act), Instant>;

pub(super) async fn storm(arena: &mut Arena, (single, together): (usize, usize)) -> Result<Figures> {
    let (deleted, edited) = (victim(arena, DELETED)?, victim(arena, EDITED)?);
    at_least(arena, together).await?;
    let namespaces: Result<Vec<String>> =
        arena.tenants.iter().take(together).map(|tenant| arena.actor.namespace(tenant)).collect();
    let namespaces = namespaces?;
    arena.until_rest().await?;
    let mut targets = arena.targets([edited.kind.as_str()], true)?;
    targets.extend(arena.targets([deleted.kind.as_str()], false)?);
    let mut watches = Watches::open(&arena.client, &targets).await?;
    let meter = arena.meter()?;
    let mut alone = Vec::new();
    for (number, namespace) in namespaces.iter().cycle().take(single).enumerate() {
        let act = if number % 2 == 0 { Act::Delete } else { Act::Edit };
        let sent = Instant::now();
        perform(arena, namespace, act).await?;
        alone.extend(repaired(&mut watches, Open::from([((namespace.clone(), act), sent)])).await?);
    }
    arena.until_rest().await?;
    let began = Instant::now();
    let acts = namespaces.iter().flat_map(|namespace| [(namespace, Act::Delete), (namespace, Act::Edit)]);
    let acts = acts.map(|(namespace, act)| {
        let arena = &*arena;
        async move {
            let sent = Instant::now();
            perform(arena, namespace, act).await?;
            anyhow::Ok(((namespace.clone(), act), sent))
        }
    });
    let open: Open = try_join_all(acts).await?.into_iter().collect();
    let objects = open.len();
    let storm = repaired(&mut watches, open).await?;
    let took = began.elapsed();
    let cost = meter.finish()?;
    arena.until_rest().await?;
    Ok(Figures::of_times(&alone)
        .with_rate(objects, took)
        .with_cost(cost)
        .and("objects", Some((single + objects) as f64))
        .and("stormP50Ms", percentile(&storm, 0.5))
        .and("stormP99Ms", percentile(&storm, 0.99)))
}

async fn perform(arena: &Arena, namespace: &str, act: Act) -> Result<()> {
    let victim = victim(arena, if act == Act::Delete { DELETED } else { EDITED })?;
    let resource = arena.resource(&victim.kind)?;
    let api: Api<DynamicObject> = Api::namespaced_with(arena.client.clone(), namespace, resource);
    match act {
        Act::Delete => {
            api.delete(&victim.name, &DeleteParams::default()).await?;
        }
        Act::Edit => {
            let patch = Patch::Merge(json!({"data": {KEY: INTRUDER}}));
            api.patch(&victim.name, &PatchParams::default(), &patch).await?;
        }
    }
    Ok(())
}

fn victim(arena: &Arena, object: &str) -> Result<ObjectRef> {
    let canonical: ObjectRef = object.parse().map_err(anyhow::Error::msg)?;
    let named = arena.named(&canonical);
    ensure!(named == canonical, "drift is played on {canonical}, which the contender calls {named}");
    Ok(canonical)
}

/// Waits until the watches have shown the repair of each act. Events of before an act was sent count for nothing, but
/// there are none: nobody else touches these objects. The watches run while acts are sent, so none is missed.
async fn repaired(watches: &mut Watches, mut open: Open) -> Result<Vec<f64>> {
    let mut times = Vec::with_capacity(open.len());
    while !open.is_empty() {
        let sighting = watches.next().await?;
        if let Some(act) = repair_of(&sighting)
            && let Some(sent) = open.remove(&(sighting.namespace.clone(), act))
        {
            times.push(milliseconds(sighting.at.saturating_duration_since(sent)));
        }
    }
    Ok(times)
}

/// What an event repairs.
fn repair_of(sighting: &Sighting) -> Option<Act> {
    let is = |object: &str| object.split_once('/') == Some((&*sighting.kind, sighting.name.as_str()));
    let value = || sighting.body.get("data")?.get(KEY)?.as_str();
    match sighting.what {
        What::Added if is(DELETED) => Some(Act::Delete),
        What::Modified if is(EDITED) && value().is_some_and(|value| value != INTRUDER) => Some(Act::Edit),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sighting(what: What, kind: &str, name: &str, value: &str) -> Sighting {
        Sighting {
            at: Instant::now(),
            what,
            kind: kind.into(),
            namespace: "one".into(),
            name: name.into(),
            deleting: false,
            body: json!({"data": {KEY: value}}).as_object().unwrap().clone(),
        }
    }

    #[test]
    fn a_repair_is_a_new_object_or_the_old_value() {
        let cases = [
            (sighting(What::Added, "Service", "web", ""), Some(Act::Delete)),
            (sighting(What::Deleted, "Service", "web", ""), None),
            (sighting(What::Added, "Service", "db", ""), None),
            (sighting(What::Modified, "ConfigMap", "app-config", INTRUDER), None),
            (sighting(What::Modified, "ConfigMap", "app-config", "as before"), Some(Act::Edit)),
            (sighting(What::Modified, "ConfigMap", "dashboard", "as before"), None),
        ];
        for (sighting, act) in cases {
            assert_eq!(repair_of(&sighting), act, "{sighting:?}");
        }
    }
}
