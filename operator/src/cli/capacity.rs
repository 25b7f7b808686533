//! `tenantry capacity`: what pools of servers have, who has it, who waits, and what is ordered for later. Needs a client.

use super::output::Format;
use super::table::table;
use super::{Outcome, client, explain};
use crate::controller::servers::{promised, tenancy};
use clap::Args;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::api::{Api, ListParams};
use serde::Serialize;
use std::collections::BTreeMap;
use tenantry_apply::object::{MANAGED_BY, MANAGED_BY_LABEL};
use tenantry_checklist::access::NAMESPACE_PREFIX;
use tenantry_crds::common::ConditionStatus;
use tenantry_crds::pool::{PoolAmounts, Tenancy};
use tenantry_crds::{ServerPool, ServicePlan, TenantSubscription};
use tenantry_servers::record::{amounts, written};
use tenantry_servers::{Amounts, Room};

/// Arguments of `tenantry capacity`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Only this pool.
    pool: Option<String>,
    /// How to print it; wide shows disk, pods, quarantined nodes and what is ordered for later.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// One pool.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    pool: String,
    class: String,
    tenancy: Tenancy,
    #[serde(skip_serializing_if = "Option::is_none")]
    chip_power: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    price_key: Option<String>,
    nodes: i32,
    free_nodes: i32,
    /// Nodes that are being made, and those that could be made besides.
    coming: i32,
    makable: i32,
    /// Objects that nodes were made by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    made: Vec<String>,
    tenants: i32,
    waiting: i32,
    quarantined: Vec<String>,
    /// What tenants may request, without what is held back.
    capacity: PoolAmounts,
    /// What they are promised.
    reserved: PoolAmounts,
    /// What is left.
    free: PoolAmounts,
    /// What pods of its tenants request now, as their quotas count it; none where quotas may not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<PoolAmounts>,
    /// What is ordered and has no share yet, by the date for which going live is planned.
    forecast: Vec<Later>,
    /// What is wrong with the pool, or what it lacks.
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
}

/// Orders for one date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Later {
    /// The date; none where the orders say none.
    #[serde(skip_serializing_if = "Option::is_none")]
    date: Option<String>,
    orders: usize,
    /// What they are promised.
    needs: PoolAmounts,
    /// Whole nodes that they are promised.
    nodes: i32,
    /// Whether it is there, for them and for everybody before them.
    fits: bool,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let client = client().await?;
    let pools: Api<ServerPool> = Api::all(client.clone());
    let all = ListParams::default();
    let pools = match &arguments.pool {
        Some(name) => vec![pools.get(name).await.map_err(|error| explain(error, "cannot read the pool"))?],
        None => pools.list(&all).await.map_err(|error| explain(error, "cannot list pools"))?.items,
    };
    let plans: Api<ServicePlan> = Api::all(client.clone());
    let plans = plans.list(&all).await.map_err(|error| explain(error, "cannot list plans"))?.items;
    let quotas: Api<ResourceQuota> = Api::all(client.clone());
    let ours = ListParams::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}"));
    // Who may not read them is told everything else.
    let quotas = quotas.list(&ours).await.ok().map(|quotas| used(&quotas.items));
    let orders: Api<TenantSubscription> = Api::all(client);
    let orders = orders.list(&all).await.map_err(|error| explain(error, "cannot list subscriptions"))?.items;
    if pools.is_empty() {
        eprintln!("there are no pools of servers");
    }
    let lines: Vec<Line> = pools.iter().map(|pool| line(pool, &plans, &orders, quotas.as_ref())).collect();
    arguments.output.print(&lines, |wide| text(&lines, wide))?;
    Ok(Outcome::Good)
}

/// What is used by namespace: the sum of what its quotas count.
fn used(quotas: &[ResourceQuota]) -> BTreeMap<String, Amounts> {
    let mut used: BTreeMap<String, Amounts> = BTreeMap::new();
    for quota in quotas {
        let counted = quota.status.as_ref().and_then(|status| status.used.clone()).unwrap_or_default();
        let of = |name: &str| counted.get(name).and_then(|amount| amount.0.parse().ok()).unwrap_or_default();
        let requests = Room {
            cpu: of("requests.cpu"),
            memory: of("requests.memory"),
            disk: of("requests.ephemeral-storage"),
            pods: of("pods"),
        };
        let amounts = Amounts { requests, cpu_limits: of("limits.cpu"), memory_limits: of("limits.memory") };
        let sum = used.entry(quota.metadata.namespace.clone().unwrap_or_default()).or_default();
        // Those that count pods of one kind each share none of them.
        *sum = sum.plus(amounts);
    }
    used
}

fn line(
    pool: &ServerPool,
    plans: &[ServicePlan],
    orders: &[TenantSubscription],
    quotas: Option<&BTreeMap<String, Amounts>>,
) -> Line {
    let status = pool.status.clone().unwrap_or_default();
    let of = |known: &Option<PoolAmounts>| known.as_ref().and_then(amounts).unwrap_or_default();
    let (capacity, reserved) = (of(&status.capacity), of(&status.reserved));
    let free = capacity.minus(reserved);
    let wrong = status.conditions.iter().filter(|condition| condition.status != ConditionStatus::True);
    let wrong: Vec<&str> = wrong.map(|condition| condition.message.as_str()).collect();
    Line {
        pool: pool.metadata.name.clone().unwrap_or_default(),
        class: pool.spec.class.clone(),
        tenancy: pool.spec.tenancy,
        chip_power: pool.spec.chip_power.clone(),
        price_key: pool.spec.price_key.clone(),
        nodes: status.nodes,
        free_nodes: status.free_nodes,
        coming: status.coming,
        makable: makable(pool),
        made: status.made.iter().map(|one| one.name.clone()).collect(),
        tenants: status.tenants,
        waiting: status.queue,
        quarantined: status.quarantined.iter().map(|known| known.node.clone()).collect(),
        capacity: written(capacity),
        reserved: written(reserved),
        free: written(free),
        used: quotas.map(|quotas| {
            let namespaces =
                status.reservations.iter().map(|held| format!("{NAMESPACE_PREFIX}{}", held.subscription));
            written(
                namespaces
                    .filter_map(|name| quotas.get(&name))
                    .fold(Amounts::default(), |sum, one| sum.plus(*one)),
            )
        }),
        forecast: forecast(pool, free, plans, orders),
        message: wrong.join("; "),
    }
}

/// Nodes that could be made by the template besides those that are made already.
fn makable(pool: &ServerPool) -> i32 {
    let made = pool.status.as_ref().map_or(0, |status| status.made.len());
    let most = pool.spec.template.as_ref().map_or(0, |template| template.max_nodes);
    most.saturating_sub(i32::try_from(made).unwrap_or(i32::MAX)).max(0)
}

/// What is ordered and has no share yet: those without a date first, because nothing says that they wait.
fn forecast(
    pool: &ServerPool,
    free: Amounts,
    plans: &[ServicePlan],
    orders: &[TenantSubscription],
) -> Vec<Later> {
    let status = pool.status.clone().unwrap_or_default();
    let mut by_date: BTreeMap<Option<String>, (usize, Amounts, i32)> = BTreeMap::new();
    for order in orders.iter().filter(|order| order.metadata.deletion_timestamp.is_none()) {
        let uid = order.metadata.uid.as_deref().unwrap_or_default();
        if status.reservations.iter().any(|held| held.uid == uid) {
            continue;
        }
        let plan = plans.iter().find(|plan| plan.metadata.name.as_ref() == Some(&order.spec.plan_ref.name));
        let Some(plan) = plan.map(|plan| &plan.spec) else { continue };
        if plan.servers.class != pool.spec.class || tenancy(plan) != pool.spec.tenancy {
            continue;
        }
        let Ok(needs) = promised(plan) else { continue };
        let (count, sum, nodes) = by_date.entry(order.spec.go_live.target_date.clone()).or_default();
        *count += 1;
        *sum = sum.plus(needs);
        *nodes += plan.servers.dedicated_nodes.unwrap_or_default();
    }
    let (mut all, mut all_nodes) = (Amounts::default(), 0);
    let later = |(date, (orders, needs, nodes)): (Option<String>, (usize, Amounts, i32))| {
        all = all.plus(needs);
        all_nodes += nodes;
        let fits = match pool.spec.tenancy {
            Tenancy::Shared => free.covers(all),
            Tenancy::Dedicated => {
                let there = status.free_nodes + status.coming + makable(pool);
                there - pool.spec.reserve_nodes >= all_nodes
            }
        };
        Later { date, orders, needs: written(needs), nodes, fits }
    };
    by_date.into_iter().map(later).collect()
}

fn text(lines: &[Line], wide: bool) -> String {
    let more = |text: &str| if wide { text.to_owned() } else { String::new() };
    let header = ["POOL", "CLASS", "TENANCY", "NODES", "FREE NODES", "TENANTS", "WAITING", "CPU", "MEMORY"]
        .map(str::to_owned);
    let [pool, class, tenancy, nodes, free_nodes, tenants, waiting, cpu, memory] = header;
    let header = [
        pool,
        class,
        tenancy,
        nodes,
        free_nodes,
        tenants,
        waiting,
        cpu,
        memory,
        more("DISK"),
        more("PODS"),
        more("USED"),
        more("QUARANTINED"),
        more("ORDERED FOR LATER"),
    ];
    let of = |reserved: &str, capacity: &str| format!("{reserved}/{capacity}");
    let rows: Vec<[String; 14]> = lines
        .iter()
        .map(|line| {
            let free = match line.tenancy {
                Tenancy::Dedicated => line.free_nodes.to_string(),
                Tenancy::Shared => "-".to_owned(),
            };
            [
                line.pool.clone(),
                line.class.clone(),
                format!("{:?}", line.tenancy),
                line.nodes.to_string(),
                free,
                line.tenants.to_string(),
                line.waiting.to_string(),
                of(&line.reserved.cpu, &line.capacity.cpu),
                of(&line.reserved.memory, &line.capacity.memory),
                more(&of(&line.reserved.disk, &line.capacity.disk)),
                more(&of(&line.reserved.pods, &line.capacity.pods)),
                more(
                    &line
                        .used
                        .as_ref()
                        .map(|used| format!("{} cpu, {}", used.cpu, used.memory))
                        .unwrap_or_default(),
                ),
                more(&line.quarantined.join(", ")),
                more(&line.forecast.iter().map(Later::told).collect::<Vec<_>>().join("; ")),
            ]
        })
        .collect();
    let mut text = table(&header, &rows);
    for line in lines.iter().filter(|line| !line.message.is_empty()) {
        text.push_str(&format!("{}: {}\n", line.pool, line.message));
    }
    text
}

// === impl Later ===

impl Later {
    fn told(&self) -> String {
        let date = self.date.as_deref().unwrap_or("no date");
        let nodes = if self.nodes > 0 { format!(", {} nodes", self.nodes) } else { String::new() };
        let fits = if self.fits { "" } else { " (lacking)" };
        format!("{date}: {} of {} cpu, {}{nodes}{fits}", self.orders, self.needs.cpu, self.needs.memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pool(status: Value) -> ServerPool {
        serde_json::from_value(json!({
            "apiVersion": "tenantry.io/v1alpha1", "kind": "ServerPool", "metadata": {"name": "hall-2"},
            "spec": {"class": "standard", "tenancy": "Shared"}, "status": status,
        }))
        .unwrap()
    }

    fn amount(cpu: &str) -> Value {
        json!({"cpu": cpu, "memory": "64Gi", "disk": "1Ti", "pods": "500", "cpuLimits": "64", "memoryLimits": "128Gi"})
    }

    fn order(name: &str, target: Option<&str>) -> TenantSubscription {
        let mut order: TenantSubscription = serde_json::from_value(json!({
            "apiVersion": "tenantry.io/v1alpha1", "kind": "TenantSubscription", "metadata": {"name": name, "uid": name},
            "spec": {"organization": {"name": "A", "country": "DE"}, "contacts": [], "planRef": {"name": "silver"},
                "applicationRef": {"name": "erp", "version": "1"}},
        }))
        .unwrap();
        order.spec.go_live.target_date = target.map(str::to_owned);
        order
    }

    fn silver() -> ServicePlan {
        serde_json::from_value(json!({
            "apiVersion": "tenantry.io/v1alpha1", "kind": "ServicePlan", "metadata": {"name": "silver"},
            "spec": {"displayName": "Silver", "tier": "Silver", "lifecycle": "Published",
                "network": {"qualityOfService": "BestEffort"},
                "servers": {"class": "standard", "cpu": "2", "memory": "4Gi", "limitRatio": "2", "disk": "10Gi", "pods": 10},
                "storage": {"classes": []}, "accounts": {"seats": 1, "roles": ["viewer"]},
                "security": {"profile": "restricted"}, "monitoring": {"mode": "Historical", "retention": "24h"},
                "serviceLevel": {"availability": "99", "support": {"firstResponse": "1h"}}},
        }))
        .unwrap()
    }

    #[test]
    fn nodes_that_are_made_are_there_for_what_is_ordered() {
        let own = |max: i32, coming: i32| {
            let mut object = pool(json!({"nodes": 0, "queue": 2, "coming": coming}));
            object.spec.tenancy = Tenancy::Dedicated;
            object.spec.template = serde_json::from_value(json!({"maxNodes": max, "nodePool": {}})).unwrap();
            let since = "2026-12-01T06:00:00Z";
            let status = object.status.as_mut().unwrap();
            status.made = (0..coming)
                .map(|at| {
                    let one = json!({"name": format!("m{at}"), "kind": "NodePool", "since": since});
                    serde_json::from_value(one).unwrap()
                })
                .collect();
            object
        };
        let mut whole = silver();
        whole.spec.servers.dedicated_nodes = Some(1);
        let orders = [order("acme", None), order("bolt", None)];
        let fits = |pool: &ServerPool| line(pool, &[whole.clone()], &orders, None).forecast[0].fits;
        assert!(fits(&own(2, 0)) && fits(&own(2, 1)) && fits(&own(2, 2)));
        assert!(!fits(&own(1, 1)) && !fits(&own(1, 0)));
        assert_eq!(line(&own(2, 1), &[], &[], None).makable, 1);
    }

    #[test]
    fn what_is_ordered_for_later_is_told_by_date_and_whether_it_is_there() {
        let since = "2026-12-01T06:00:00Z";
        let held = json!({"tenant": "t1", "subscription": "acme", "uid": "acme", "amounts": amount("2"), "since": since});
        let pool = pool(
            json!({"nodes": 2, "tenants": 1, "queue": 1, "capacity": amount("6"), "reserved": amount("3"),
            "reservations": [held]}),
        );
        let mut orders =
            vec![order("acme", None), order("bolt", Some("2027-02-01")), order("corvus", Some("2027-01-04"))];
        orders.push(order("dune", Some("2027-02-01")));
        let quota = |namespace: &str, cpu: &str| -> ResourceQuota {
            serde_json::from_value(json!({"metadata": {"name": "q", "namespace": namespace},
                "status": {"used": {"requests.cpu": cpu, "requests.memory": "1Gi", "pods": "3"}}}))
            .unwrap()
        };
        let quotas =
            used(&[quota("tenant-acme", "500m"), quota("tenant-acme", "1"), quota("tenant-bolt", "9")]);
        let found = line(&pool, &[silver()], &orders, Some(&quotas));
        let uses = found.used.as_ref().unwrap();
        assert_eq!((uses.cpu.as_str(), uses.memory.as_str(), uses.pods.as_str()), ("1500m", "2Gi", "6"));
        let later: Vec<(Option<&str>, usize, &str)> = found
            .forecast
            .iter()
            .map(|later| (later.date.as_deref(), later.orders, later.needs.cpu.as_str()))
            .collect();
        assert_eq!(later, [(Some("2027-01-04"), 1, "2"), (Some("2027-02-01"), 2, "4")]);
        assert_eq!((found.free.cpu.as_str(), found.free.memory.as_str()), ("3", "0"));
        assert!(found.forecast.iter().all(|later| !later.fits), "there is no memory left");
        let shown = text(&[found], true);
        assert!(
            shown.contains("3/6")
                && shown.contains("1500m cpu, 2Gi")
                && shown.contains("2027-01-04: 1 of 2 cpu, 4Gi (lacking)"),
            "{shown}"
        );
    }
}
