//! What contenders have to do, W1 to W8. Needs a client and a clock.

pub mod board;
mod change;
mod drift;
mod offboard;
mod onboard;
mod rest;

pub use onboard::Mixed;

use crate::arena::Arena;
use crate::measure::meter::Cost;
use crate::measure::statistics::percentile;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Most numbers a tenant's name can hold.
const DIGITS: usize = 5;

/// A workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Workload {
    /// Orders that come one by one to an idle cluster: how long until everything exists.
    W1,
    /// Many orders at once: objects a second.
    W2,
    /// Nothing to do: what that costs.
    W3,
    /// The process is killed and started again: how long until it has nothing to do.
    W4,
    /// A plan changes: two objects of every tenant.
    W5,
    /// Somebody deletes and edits objects of tenants: how long until they are as before.
    W6,
    /// Tenants are removed.
    W7,
    /// Orders that come one by one while many are queued.
    W8,
}

/// How much of each workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// W1: how many orders, and how far apart.
    pub single: (usize, Duration),
    /// W2: orders of each burst; the last one is the headline.
    pub bursts: Vec<usize>,
    /// W3: how long.
    pub rest: Duration,
    /// W4: tenants that exist.
    pub restart: usize,
    /// W4: whether the process is killed a second time and an order comes while it starts.
    pub first_order: bool,
    /// W6: single repairs one after the other, and tenants hit at once.
    pub drift: (usize, usize),
    /// W7: tenants removed.
    pub offboard: usize,
    /// W8: queued orders, and those that come one by one.
    pub mixed: Mixed,
}

/// What one run of a workload came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Objects made, changed, repaired or removed a second.
    pub objects_per_second: Option<f64>,
    /// Middle of the times that a customer waits.
    pub p50_ms: Option<f64>,
    /// All but one in a hundred wait no longer.
    pub p99_ms: Option<f64>,
    /// Processor seconds of the contender.
    pub cpu_seconds: Option<f64>,
    /// Processor seconds of the control plane.
    pub control_plane_cpu_seconds: Option<f64>,
    /// Largest memory of the contender.
    pub peak_rss_mib: Option<f64>,
    /// What else was measured, by name.
    pub further: BTreeMap<&'static str, f64>,
}

// === impl Workload ===

impl Workload {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::W1, Self::W2, Self::W3, Self::W4, Self::W5, Self::W6, Self::W7, Self::W8];

    /// Whether it measures a process that runs on its own.
    #[must_use]
    pub fn needs_process(self) -> bool {
        matches!(self, Self::W3 | Self::W4 | Self::W6)
    }

    /// What it is, for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::W1 => "one order at a time",
            Self::W2 => "a burst of orders",
            Self::W3 => "at rest",
            Self::W4 => "restart",
            Self::W5 => "plan change",
            Self::W6 => "drift",
            Self::W7 => "offboarding",
            Self::W8 => "orders behind a queue",
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

// === impl Sizes ===

impl Sizes {
    /// What `make bench` does.
    #[must_use]
    pub fn full() -> Self {
        Self {
            single: (200, Duration::from_millis(500)),
            bursts: vec![500, 1_000],
            rest: Duration::from_secs(600),
            restart: 2_000,
            first_order: true,
            drift: (50, 500),
            offboard: 500,
            mixed: Mixed { queued: 1_000, single: 40, every: Duration::from_millis(500) },
        }
    }

    /// What `make bench QUICK=1` does.
    #[must_use]
    pub fn quick() -> Self {
        Self {
            single: (20, Duration::from_millis(500)),
            bursts: vec![40],
            rest: Duration::from_secs(15),
            restart: 60,
            first_order: true,
            drift: (10, 20),
            offboard: 20,
            mixed: Mixed { queued: 40, single: 8, every: Duration::from_millis(250) },
        }
    }
}

// === impl Figures ===

impl Figures {
    /// The percentiles of times in milliseconds.
    #[must_use]
    pub fn of_times(times: &[f64]) -> Self {
        Self { p50_ms: percentile(times, 0.5), p99_ms: percentile(times, 0.99), ..Self::default() }
    }

    /// With what it cost.
    #[must_use]
    pub fn with_cost(self, cost: Cost) -> Self {
        Self {
            cpu_seconds: Some(cost.contender),
            control_plane_cpu_seconds: Some(cost.control_plane),
            peak_rss_mib: Some(cost.peak_rss_mib),
            ..self
        }
    }

    /// With objects a second.
    #[must_use]
    pub fn with_rate(self, objects: usize, time: Duration) -> Self {
        Self { objects_per_second: Some(objects as f64 / time.as_secs_f64()), ..self }
    }

    /// With one more figure.
    #[must_use]
    pub fn and(mut self, name: &'static str, value: Option<f64>) -> Self {
        self.further.extend(value.map(|value| (name, value)));
        self
    }
}

/// Does one workload on an arena, W2 with the orders of `burst`.
///
/// # Errors
/// When something does not come about; the message holds the contender's last words.
pub async fn perform(workload: Workload, arena: &mut Arena, sizes: &Sizes, burst: usize) -> Result<Figures> {
    let done = match workload {
        Workload::W1 => onboard::one_by_one(arena, sizes.single).await,
        Workload::W2 => onboard::burst(arena, burst).await,
        Workload::W3 => rest::at_rest(arena, sizes.rest).await,
        Workload::W4 => rest::restart(arena, sizes.restart, sizes.first_order).await,
        Workload::W5 => change::plan(arena).await,
        Workload::W6 => drift::storm(arena, sizes.drift).await,
        Workload::W7 => offboard::remove(arena, sizes.offboard).await,
        Workload::W8 => onboard::mixed(arena, sizes.mixed).await,
    };
    done.map_err(|error| match arena.last_words() {
        words if words.is_empty() => error,
        words => error.context(format!("{workload}; the contender's last words:\n{words}")),
    })
}

/// Names of new tenants, none of them the beginning of another.
#[must_use]
pub fn names(first: usize, count: usize) -> Vec<String> {
    (first..first + count).map(|number| format!("t-{number:0DIGITS$}")).collect()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_length() {
        assert_eq!(names(0, 1), ["t-00000"]);
        assert_eq!(names(9, 2), ["t-00009", "t-00010"]);
    }

    #[test]
    fn figures_come_together() {
        let cost = Cost { contender: 1.0, control_plane: 2.0, peak_rss_mib: 3.0 };
        let figures = Figures::of_times(&[1.0, 2.0, 3.0])
            .with_rate(48, Duration::from_secs(2))
            .with_cost(cost)
            .and("more", Some(5.0))
            .and("none", None);
        let value = serde_json::to_value(&figures).unwrap();
        let expected = serde_json::json!({
            "objectsPerSecond": 24.0, "p50Ms": 2.0, "p99Ms": 3.0, "cpuSeconds": 1.0,
            "controlPlaneCpuSeconds": 2.0, "peakRssMib": 3.0, "further": {"more": 5.0},
        });
        assert_eq!(value, expected);
    }
}
