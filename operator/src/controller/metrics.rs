//! Metrics of the controller, in the OpenMetrics text format; no client or clock.
//!
//! No label names a tenant: a thousand tenants would make a thousand series of each.

use super::billing::used::measuring::Measuring;
use super::journal::Journal;
use super::leftovers::Leftovers;
use super::queue::Queue;
use super::roots::Roots;
use super::servers::Servers;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;
use tenantry_apply::counters::Counters;
use tenantry_crds::blueprint::Party;
use tenantry_crds::pool::{PoolAmounts, ServerPoolStatus};
use tenantry_crds::quantity::Quantity;
use tenantry_metering::intake::Verdict;

/// Label of one outcome.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OutcomeLabel {
    /// What came of it.
    pub(crate) outcome: &'static str,
}

/// Label of one cause.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CauseLabel {
    /// Why.
    pub(crate) cause: &'static str,
}

/// Metrics of the controller.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    /// Runs of the reconciler by outcome.
    pub(crate) reconciles: Family<OutcomeLabel, Counter>,
    /// Seconds that runs took.
    pub(crate) reconcile_seconds: Histogram,
    /// Writes of a status.
    pub(crate) status_writes: Counter,
    /// One while this process holds the lease.
    pub(crate) leader: Gauge,
    /// One while the journal can be written.
    pub(crate) journal_available: Gauge,
    /// Events of usage by what became of them.
    usage_events: Family<OutcomeLabel, Counter>,
    /// Events of usage that are kept aside, by cause.
    usage_quarantined: Family<CauseLabel, Counter>,
    /// Requests with usage that were refused because their callers tell too much.
    usage_throttled: Counter,
}

/// What is counted when metrics are asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    /// What the apply engine did.
    pub(crate) counters: Arc<Counters>,
    /// Subscriptions that are known.
    pub(crate) roots: Arc<Roots>,
    /// Subscriptions that wait for a worker.
    pub(crate) queue: Arc<Queue<String>>,
    /// Facts that wait to be recorded.
    pub(crate) journal: Arc<Journal>,
    /// What could not be removed when its tenant ended.
    pub(crate) leftovers: Arc<Leftovers>,
    /// Pools of servers.
    pub(crate) servers: Arc<Servers>,
    /// How far what was used is told.
    pub(crate) measuring: Arc<Measuring>,
}

/// Pools of servers, as their records have them.
#[derive(Debug)]
struct Pools(Arc<Servers>);

/// What is known and what waits.
#[derive(Debug)]
struct Present {
    roots: Arc<Roots>,
    queue: Arc<Queue<String>>,
    journal: Arc<Journal>,
    leftovers: Arc<Leftovers>,
    measuring: Arc<Measuring>,
}

/// Counts of the apply engine, read when metrics are asked for.
#[derive(Debug)]
struct Engine(Arc<Counters>);

// === impl Metrics ===

impl Metrics {
    /// Registers every metric, what the apply engine counts, and what is known and waits.
    #[must_use]
    pub(crate) fn new(counted: Counted) -> Self {
        let Counted { counters, roots, queue, journal, leftovers, servers, measuring } = counted;
        let mut registry = Registry::with_prefix("tenantry");
        // A reconcile without work takes well under a millisecond, one that creates a tenant some tens.
        let reconcile_seconds = Histogram::new([0.0005, 0.002, 0.01, 0.05, 0.25, 1.0, 5.0]);
        let reconciles = Family::default();
        let status_writes = Counter::default();
        let leader = Gauge::default();
        let journal_available = Gauge::default();
        registry.register("reconciles", "Runs of the reconciler", reconciles.clone());
        registry.register("reconcile_seconds", "Seconds that runs took", reconcile_seconds.clone());
        registry.register("status_writes", "Writes of a subscription's status", status_writes.clone());
        registry.register("leader", "One while this process holds the lease", leader.clone());
        let help = "One while the journal can be written";
        registry.register("journal_available", help, journal_available.clone());
        let usage_events = Family::default();
        let usage_quarantined = Family::default();
        registry.register("usage_events", "Events of usage by what became of them", usage_events.clone());
        let help = "Events of usage that do not count and are kept aside, by cause";
        registry.register("usage_quarantined", help, usage_quarantined.clone());
        let usage_throttled = Counter::default();
        let help = "Requests with usage that were refused because their callers tell too much";
        registry.register("usage_throttled", help, usage_throttled.clone());
        registry.register_collector(Box::new(Engine(counters)));
        registry.register_collector(Box::new(Present { roots, queue, journal, leftovers, measuring }));
        registry.register_collector(Box::new(Pools(servers)));
        Self {
            registry,
            reconciles,
            reconcile_seconds,
            status_writes,
            leader,
            journal_available,
            usage_events,
            usage_quarantined,
            usage_throttled,
        }
    }

    /// Counts what became of one event of usage.
    pub(crate) fn told(&self, verdict: &Verdict) {
        let outcome = match verdict {
            Verdict::Accepted { is_late: false, .. } => "accepted",
            Verdict::Accepted { is_late: true, .. } => "late",
            Verdict::Duplicate => "duplicate",
            Verdict::Quarantined(aside) => {
                self.usage_quarantined.get_or_create(&CauseLabel { cause: aside.cause.name() }).inc();
                "quarantined"
            }
        };
        self.usage_events.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Counts a request with usage of somebody who tells too much.
    pub(crate) fn throttled(&self) {
        self.usage_throttled.inc();
    }

    /// Counts one run of the reconciler.
    pub(crate) fn reconciled(&self, outcome: &'static str, took: Duration) {
        self.reconciles.get_or_create(&OutcomeLabel { outcome }).inc();
        self.reconcile_seconds.observe(took.as_secs_f64());
    }

    /// All metrics as text.
    ///
    /// # Errors
    /// When formatting fails, which it does only when memory runs out.
    pub(crate) fn render(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

// === impl Present ===

impl Collector for Present {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let roots = self.roots.all();
        for (name, help, count) in [
            ("queue_depth", "Subscriptions that wait for a worker", self.queue.depth()),
            ("subscriptions", "Subscriptions known", roots.len()),
            ("journal_waiting", "Facts that wait for the journal", self.journal.waiting()),
            ("leftovers", "Objects of tenants that ended which are not gone", self.leftovers.count()),
            (
                "usage_missing_hours",
                "Hours of meters that no Prometheus measured yet",
                self.measuring.missing(),
            ),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX)).encode(metric)?;
        }
        let help = "Checklist items that should be done already, by who has to act";
        let mut metric = encoder.encode_descriptor("overdue_items", help, None, MetricType::Gauge)?;
        for (owner, word) in
            [(Party::Provider, "provider"), (Party::Customer, "customer"), (Party::Partner, "partner")]
        {
            let of_owner = roots.iter().flat_map(|root| &root.brief.overdue).filter(|late| **late == owner);
            let count = i64::try_from(of_owner.count()).unwrap_or(i64::MAX);
            ConstGauge::new(count).encode(metric.encode_family(&[("owner", word)])?)?;
        }
        Ok(())
    }
}

// === impl Pools ===

impl Collector for Pools {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let pools = self.0.pools();
        let named =
            || pools.iter().filter_map(|pool| Some((pool.metadata.name.as_deref()?, pool.status.as_ref()?)));
        type Count = fn(&ServerPoolStatus) -> i32;
        let counts: [(&str, &str, Count); 5] = [
            ("pool_nodes", "Nodes of a pool that can take pods", |status| status.nodes),
            ("pool_free_nodes", "Nodes of a dedicated pool that are nobody's", |status| status.free_nodes),
            ("pool_coming_nodes", "Nodes that are being made for a pool", |status| status.coming),
            ("pool_tenants", "Tenants that have a share of a pool", |status| status.tenants),
            ("pool_waiting", "Tenants that wait for a share of a pool", |status| status.queue),
        ];
        for (name, help, count) in counts {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (pool, status) in named() {
                let gauge = ConstGauge::new(i64::from(count(status)));
                gauge.encode(metric.encode_family(&[("pool", pool)])?)?;
            }
        }
        type Amounts = fn(&ServerPoolStatus) -> Option<&PoolAmounts>;
        let amounts: [(&str, &str, Amounts); 2] = [
            ("pool_capacity", "What tenants may request of a pool, in cores, bytes and pods", |status| {
                status.capacity.as_ref()
            }),
            ("pool_reserved", "What tenants are promised of a pool, in cores, bytes and pods", |status| {
                status.reserved.as_ref()
            }),
        ];
        for (name, help, of) in amounts {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (pool, status) in named() {
                let Some(amounts) = of(status) else { continue };
                let each = [
                    ("cpu", &amounts.cpu),
                    ("memory", &amounts.memory),
                    ("disk", &amounts.disk),
                    ("pods", &amounts.pods),
                ];
                for (resource, text) in each {
                    let amount = text.parse::<Quantity>().unwrap_or_default().approximate();
                    let gauge = ConstGauge::new(amount);
                    gauge.encode(metric.encode_family(&[("pool", pool), ("resource", resource)])?)?;
                }
            }
        }
        Ok(())
    }
}

// === impl Engine ===

impl Collector for Engine {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut metric = encoder.encode_descriptor(
            "requests",
            "Requests for tenants' objects",
            None,
            MetricType::Counter,
        )?;
        for (key, count) in self.0.requests() {
            let labels = [("verb", key.verb.as_str()), ("kind", &key.kind), ("result", key.ending.as_str())];
            ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
        }
        let mut metric = encoder.encode_descriptor(
            "repairs",
            "Objects that were not as intended",
            None,
            MetricType::Counter,
        )?;
        for (kind, count) in self.0.repairs() {
            ConstCounter::new(count).encode(metric.encode_family(&[("kind", kind.as_str())])?)?;
        }
        let restarts = ConstCounter::new(self.0.watch_restarts());
        let metric = encoder.encode_descriptor(
            "watch_restarts",
            "Watches that began anew",
            None,
            restarts.metric_type(),
        )?;
        restarts.encode(metric)
    }
}
