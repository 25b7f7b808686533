//! What one pod asks for, after the defaults of the LimitRange; pure.

use super::{Misfit, quantity};
use crate::baseline::Limits;
use serde_json::Value;
use tenantry_crds::quantity::Quantity;

/// What a pod or a container asks for, in the order of [`RESOURCES`]: requests, then limits.
#[derive(Clone, Copy, Default)]
struct Demand {
    requests: [Quantity; 3],
    limits: [Quantity; 3],
}

/// Compute resources with the names the quota gives their requests and limits. The quota does not count limits of
/// scratch disk.
const RESOURCES: [(&str, &str, Option<&str>); 3] = [
    ("cpu", "requests.cpu", Some("limits.cpu")),
    ("memory", "requests.memory", Some("limits.memory")),
    ("ephemeral-storage", "requests.ephemeral-storage", None),
];

/// What a pod asks for, by the names of the quota. `None` when a number is not a quantity. Containers that break the
/// limits are added to `misfits`.
pub(super) fn demand(
    spec: &Value,
    limits: &Limits,
    object: &str,
    misfits: &mut Vec<Misfit>,
) -> Option<Vec<(&'static str, Quantity)>> {
    let mut container = |container: &Value| container_demand(container, limits, object, misfits);
    let mut running = Demand::default();
    for each in list(spec, "containers") {
        running = running.plus(container(each)?);
    }
    // Init containers run one after the other, beside those that were told to stay (Kubernetes, sidecar containers).
    let (mut staying, mut starting) = (Demand::default(), Demand::default());
    for each in list(spec, "initContainers") {
        let own = container(each)?;
        if each.get("restartPolicy").and_then(Value::as_str) == Some("Always") {
            staying = staying.plus(own);
            starting = starting.max(staying);
        } else {
            starting = starting.max(staying.plus(own));
        }
    }
    let pod = running.plus(staying).max(starting);
    Some(pod.named().collect())
}

fn list<'a>(spec: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    spec.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn container_demand(
    container: &Value,
    limits: &Limits,
    object: &str,
    misfits: &mut Vec<Misfit>,
) -> Option<Demand> {
    let mut demand = Demand::default();
    let (request, limit, max) = (limits.default_request, limits.default_limit, limits.max);
    let defaults = [
        (request.cpu, limit.cpu, max.cpu, Some(limits.ratio)),
        (request.memory, limit.memory, max.memory, Some(limits.ratio)),
        (request.disk, limit.disk, max.disk, None),
    ];
    let slots = RESOURCES.iter().zip(defaults).zip(demand.requests.iter_mut().zip(&mut demand.limits));
    for (((name, _, _), (default_request, default_limit, max, ratio)), (request, limit)) in slots {
        let stated = |part: &str| {
            let value = container.get("resources").and_then(|resources| resources.get(part)?.get(name));
            value.map(|value| quantity(value).ok_or(())).transpose()
        };
        let (own_request, own_limit) = (stated("requests").ok()?, stated("limits").ok()?);
        // A limit alone is also the request: the API server fills that in before the LimitRange is asked.
        *request = own_request.or(own_limit).unwrap_or(default_request);
        *limit = own_limit.unwrap_or(default_limit);
        if let Some(reason) = broken(*request, *limit, max, ratio) {
            let container = container.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            misfits.push(Misfit::Container { object: object.to_owned(), container, resource: name, reason });
        }
    }
    Some(demand)
}

/// What the LimitRange would refuse.
fn broken(
    request: Quantity,
    limit: Quantity,
    max: Quantity,
    ratio: Option<Quantity>,
) -> Option<&'static str> {
    if request > limit {
        Some("its request is above its limit; state a limit, because the default one is smaller")
    } else if limit > max {
        Some("its limit is above what the plan allows one container; lower it or order a larger plan")
    } else if ratio.is_some_and(|ratio| limit > request.scaled(ratio)) {
        Some(
            "its limit exceeds its request by more than the plan's limitRatio; raise the request or lower the limit",
        )
    } else {
        None
    }
}

// === impl Demand ===

impl Demand {
    fn combine(self, other: Self, with: impl Fn(Quantity, Quantity) -> Quantity) -> Self {
        let mut out = self;
        out.requests.iter_mut().zip(other.requests).for_each(|(a, b)| *a = with(*a, b));
        out.limits.iter_mut().zip(other.limits).for_each(|(a, b)| *a = with(*a, b));
        out
    }

    fn plus(self, other: Self) -> Self {
        self.combine(other, Quantity::plus)
    }

    fn max(self, other: Self) -> Self {
        self.combine(other, Ord::max)
    }

    fn named(self) -> impl Iterator<Item = (&'static str, Quantity)> {
        let amounts = self.requests.into_iter().zip(self.limits);
        RESOURCES.into_iter().zip(amounts).flat_map(|((_, request, limit), (requested, limited))| {
            [Some((request, requested)), limit.map(|limit| (limit, limited))].into_iter().flatten()
        })
    }
}
