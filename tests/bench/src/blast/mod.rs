//! The raw limit of the control plane on this machine: the canonical objects, rendered beforehand, sent as fast as they go
//! over the operator's own HTTP stack, with no watching and no thinking. Needs a client, a clock and processes.

mod requests;

use crate::arena::{apply, servers};
use crate::canonical;
use crate::measure::meter::until_rest;
use crate::measure::process;
use crate::measure::statistics::{median, percentile};
use crate::workload::names;
use anyhow::{Context, Result, ensure};
use kube::{Client, Discovery};
use requests::{Phase, Prepared};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tenantry_apply::connection::connect;
use tenantry_control_plane::{Cluster, Options, Profile, config_from};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Who sends: of the same class as a contender, never a member of `system:masters`.
const NAMESPACE: &str = "bench";
const ACCOUNT: &str = "blast";

/// How objects are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// New objects by POST.
    Post,
    /// New objects by server-side apply.
    Apply,
    /// The same objects by server-side apply again: nothing changes.
    ApplyAgain,
    /// Each object by DELETE.
    Delete,
}

/// How much is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Requests in flight that are tried.
    pub sweep: Vec<usize>,
    /// Tenants sent for each of them.
    pub sweep_tenants: usize,
    /// Tenants sent with the best of them.
    pub tenants: usize,
    /// How often.
    pub repetitions: usize,
}

/// One series of requests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shot {
    /// What the control plane consists of.
    #[serde(serialize_with = "as_text")]
    pub profile: Profile,
    /// How they were sent.
    pub mode: Mode,
    /// Whether this was a try to find the best number in flight.
    pub sweep: bool,
    /// Requests in flight.
    pub in_flight: usize,
    /// How many.
    pub objects: usize,
    /// Objects a second.
    pub objects_per_second: f64,
    /// Time of the middle request.
    pub p50_ms: f64,
    /// All but one in a hundred took no longer.
    pub p99_ms: f64,
    /// Processor seconds of the control plane.
    pub control_plane_cpu_seconds: f64,
}

/// A control plane that objects are sent to.
pub struct Range {
    cluster: Cluster,
    client: Client,
    discovery: Discovery,
    profile: Profile,
    servers: Vec<u32>,
    /// Tenants sent so far.
    sent: usize,
}

fn as_text<S: serde::Serializer>(profile: &Profile, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(profile)
}

// === impl Mode ===

impl Mode {
    /// All of them, in an order in which each finds what it needs.
    pub const ALL: [Self; 4] = [Self::Post, Self::Apply, Self::ApplyAgain, Self::Delete];

    /// Its key in the report.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::Apply => "apply",
            Self::ApplyAgain => "applyAgain",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.key())
    }
}

// === impl Sizes ===

impl Sizes {
    /// What `make bench` does: at least 20,000 objects a series.
    #[must_use]
    pub fn full() -> Self {
        Self { sweep: vec![4, 8, 16, 32, 64, 128], sweep_tenants: 100, tenants: 834, repetitions: 3 }
    }

    /// What `make bench QUICK=1` does.
    #[must_use]
    pub fn quick() -> Self {
        Self { sweep: vec![16, 32, 64], sweep_tenants: 15, tenants: 40, repetitions: 1 }
    }
}

// === impl Range ===

impl Range {
    /// Starts a control plane without an audit log.
    ///
    /// # Errors
    /// When a step fails.
    pub async fn open(profile: Profile) -> Result<Self> {
        let cluster = Cluster::start(Options { audit: false, ..Options::new(profile) }).await?;
        let admin = cluster.client().await?;
        apply(&admin, canonical::SERVICE_MONITOR).await?;
        apply(&admin, &identity()).await?;
        let kubeconfig = cluster.kubeconfig_for_service_account(NAMESPACE, ACCOUNT).await?;
        let client = connect(config_from(&kubeconfig).await?)?;
        let discovery = Discovery::new(admin).run_aggregated().await?;
        let servers = servers(&cluster)?;
        Ok(Self { cluster, client, discovery, profile, servers, sent: 0 })
    }

    /// Sends `tenants` new tenants by POST or by server-side apply.
    ///
    /// # Errors
    /// When an object is refused.
    pub async fn create(&mut self, mode: Mode, tenants: usize, in_flight: usize) -> Result<Shot> {
        ensure!(matches!(mode, Mode::Post | Mode::Apply), "{mode} needs objects that exist");
        let first = self.sent;
        self.sent += tenants;
        self.fire(mode, first, tenants, in_flight).await
    }

    /// Sends the tenants that were sent last once more, or deletes them.
    ///
    /// # Errors
    /// As [`Range::create`].
    pub async fn again(&self, mode: Mode, tenants: usize, in_flight: usize) -> Result<Shot> {
        let first = self.sent.checked_sub(tenants).context("so many tenants were not sent")?;
        self.fire(mode, first, tenants, in_flight).await
    }

    async fn fire(&self, mode: Mode, first: usize, tenants: usize, in_flight: usize) -> Result<Shot> {
        let phases = requests::prepare(&self.discovery, mode, &names(first, tenants))?;
        until_rest(&self.servers).await?;
        let used = process::cpu_of(&self.servers)?;
        let began = Instant::now();
        let mut times = Vec::new();
        for phase in phases {
            times.extend(send(&self.client, phase, in_flight).await?);
        }
        let seconds = began.elapsed().as_secs_f64();
        Ok(Shot {
            profile: self.profile,
            mode,
            sweep: false,
            in_flight,
            objects: times.len(),
            objects_per_second: times.len() as f64 / seconds,
            p50_ms: percentile(&times, 0.5).unwrap_or_default(),
            p99_ms: percentile(&times, 0.99).unwrap_or_default(),
            control_plane_cpu_seconds: process::cpu_of(&self.servers)?.saturating_sub(used).as_secs_f64(),
        })
    }

    /// Ends the control plane.
    ///
    /// # Errors
    /// When something had to be killed.
    pub async fn close(self) -> Result<()> {
        self.cluster.stop().await
    }
}

/// Tries how many requests in flight are best, then sends series in every mode. `told` hears of each series.
///
/// # Errors
/// When an object is refused.
pub async fn series(profile: Profile, sizes: &Sizes, mut told: impl FnMut(&Shot)) -> Result<Vec<Shot>> {
    let mut shots = Vec::new();
    let mut keep = |shot: Shot| {
        told(&shot);
        shots.push(shot);
    };
    let mut range = Range::open(profile).await?;
    // The first requests of a new control plane find every cache cold.
    range.create(Mode::Post, sizes.sweep_tenants, 32).await?;
    for mode in [Mode::Post, Mode::Apply] {
        for in_flight in &sizes.sweep {
            let shot = range.create(mode, sizes.sweep_tenants, *in_flight).await?;
            keep(Shot { sweep: true, ..shot });
        }
    }
    range.close().await?;
    let best: Vec<usize> =
        [Mode::Post, Mode::Apply].iter().map(|mode| best_in_flight(&shots, profile, *mode)).collect();
    let [post, apply] = *best.as_slice() else { return Ok(shots) };
    for _ in 0..sizes.repetitions {
        let mut range = Range::open(profile).await?;
        let mut keep = |shot: Shot| {
            told(&shot);
            shots.push(shot);
        };
        keep(range.create(Mode::Post, sizes.tenants, post).await?);
        keep(range.create(Mode::Apply, sizes.tenants, apply).await?);
        keep(range.again(Mode::ApplyAgain, sizes.tenants, apply).await?);
        keep(range.again(Mode::Delete, sizes.tenants, post).await?);
        range.close().await?;
    }
    Ok(shots)
}

/// The number in flight with the most objects a second; 32 where nothing was tried.
#[must_use]
pub fn best_in_flight(shots: &[Shot], profile: Profile, mode: Mode) -> usize {
    let tried = shots.iter().filter(|shot| shot.sweep && shot.profile == profile && shot.mode == mode);
    let best = tried.max_by(|one, other| one.objects_per_second.total_cmp(&other.objects_per_second));
    best.map_or(32, |shot| shot.in_flight)
}

/// Median objects a second of the series of a mode, tries apart.
#[must_use]
pub fn rate(shots: &[Shot], profile: Profile, mode: Mode) -> Option<f64> {
    let rates: Vec<f64> = shots
        .iter()
        .filter(|shot| !shot.sweep && shot.profile == profile && shot.mode == mode)
        .map(|shot| shot.objects_per_second)
        .collect();
    median(&rates)
}

/// Sends a phase with so many requests in flight; gives the time of each in milliseconds.
async fn send(client: &Client, phase: Phase, in_flight: usize) -> Result<Vec<f64>> {
    let phase: Arc<[Prepared]> = phase.into();
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..in_flight {
        let (client, phase, next) = (client.clone(), Arc::clone(&phase), Arc::clone(&next));
        workers.spawn(async move {
            let mut times = Vec::new();
            while let Some(prepared) = phase.get(next.fetch_add(1, Ordering::Relaxed)) {
                let sent = Instant::now();
                client
                    .request_text(prepared.request()?)
                    .await
                    .with_context(|| format!("{} was refused", prepared.path))?;
                times.push(sent.elapsed().as_secs_f64() * 1_000.0);
            }
            anyhow::Ok(times)
        });
    }
    let mut all = Vec::with_capacity(phase.len());
    while let Some(worker) = workers.join_next().await {
        all.extend(worker??);
    }
    Ok(all)
}

fn identity() -> String {
    let role =
        json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"});
    let subject = json!({"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE});
    [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": NAMESPACE}}),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "bench-blast"}, "roleRef": role, "subjects": [subject],
        }),
    ]
    .map(|document| document.to_string())
    .join("\n---\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shot(mode: Mode, sweep: bool, in_flight: usize, objects_per_second: f64) -> Shot {
        let profile = Profile::P1;
        Shot {
            profile,
            mode,
            sweep,
            in_flight,
            objects: 1,
            objects_per_second,
            p50_ms: 1.0,
            p99_ms: 2.0,
            control_plane_cpu_seconds: 1.0,
        }
    }

    #[test]
    fn the_best_number_in_flight_is_the_fastest_try() {
        let shots = [
            shot(Mode::Post, true, 8, 100.0),
            shot(Mode::Post, true, 64, 300.0),
            shot(Mode::Apply, true, 16, 900.0),
            shot(Mode::Post, false, 128, 500.0),
        ];
        assert_eq!(best_in_flight(&shots, Profile::P1, Mode::Post), 64);
        assert_eq!(best_in_flight(&shots, Profile::P0, Mode::Post), 32, "nothing was tried there");
    }

    #[test]
    fn the_rate_is_the_median_without_the_tries() {
        let rates = [(true, 1.0), (false, 10.0), (false, 30.0), (false, 20.0)];
        let shots = rates.map(|(sweep, rate)| shot(Mode::Post, sweep, 32, rate));
        assert_eq!(rate(&shots, Profile::P1, Mode::Post), Some(20.0));
        assert_eq!(rate(&shots, Profile::P1, Mode::Delete), None);
    }

    #[test]
    fn keys_are_those_of_the_serialised_form() {
        for mode in Mode::ALL {
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.key());
        }
    }
}
