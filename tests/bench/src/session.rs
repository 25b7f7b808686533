//! One whole run: blast, contenders in turn on fresh control planes, a counting run. Needs a client, a clock and
//! processes.
//!
//! Runs of different contenders alternate, so that what changes on the machine meanwhile meets all of them, and the first
//! contender runs twice in each turn: what lies between these two is noise.

use crate::arena::{Arena, Programs};
use crate::blast::{self, Mode, Range, Shot};
use crate::contender::Contender;
use crate::measure::tally::{by_verb, object_writes};
use crate::workload::{Figures, Mixed, Sizes, Workload, perform};
use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tenantry_control_plane::Profile;

/// Order of the workloads on one control plane: each finds the tenants it needs, and the last ones disturb most.
const ORDER: [Workload; 8] = [
    Workload::W1,
    Workload::W2,
    Workload::W4,
    Workload::W3,
    Workload::W5,
    Workload::W6,
    Workload::W8,
    Workload::W7,
];
/// What is added to the first contender's name for its second run of a turn.
const AGAIN: &str = "again";

/// What a run consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Amounts of the timed runs.
    pub sizes: Sizes,
    /// Amounts of the counting run.
    pub counted: Sizes,
    /// Amounts of blast.
    pub blast: blast::Sizes,
    /// Turns of W1 and W2.
    pub repetitions: usize,
    /// Turns in which the other workloads follow.
    pub long_repetitions: usize,
    /// Workloads that are done.
    pub workloads: BTreeSet<Workload>,
}

/// One timed run of one workload.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Who; the first contender's second run of a turn has `again` behind its name.
    pub contender: String,
    /// Which workload; bursts besides the largest carry their size.
    pub workload: String,
    /// Number of the turn.
    pub repetition: usize,
    /// What it came to.
    pub figures: Figures,
    /// Objects a second that blast made in the same turn by POST.
    pub blast_beside: Option<f64>,
}

/// Requests of one workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    /// Requests by verb; those for leases under `lease`.
    pub by_verb: BTreeMap<String, u64>,
    /// Successful writes of objects, without status, events and leases.
    pub object_writes: u64,
    /// Tenants they were for.
    pub tenants: usize,
}

/// Everything that was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Series of blast, those beside the turns included.
    pub blast: Vec<Shot>,
    /// Timed runs.
    pub runs: Vec<Run>,
    /// Counts by contender and workload.
    pub counts: BTreeMap<String, BTreeMap<String, Count>>,
}

// === impl Plan ===

impl Plan {
    /// What `make bench` does: about four hours on two cores.
    #[must_use]
    pub fn full() -> Self {
        let counted = Sizes {
            single: (20, Duration::from_millis(500)),
            bursts: vec![200],
            restart: 0,
            first_order: false,
            drift: (10, 50),
            offboard: 50,
            mixed: Mixed { queued: 50, single: 10, every: Duration::from_millis(500) },
            ..Sizes::full()
        };
        Self {
            sizes: Sizes::full(),
            counted,
            blast: blast::Sizes::full(),
            repetitions: 7,
            long_repetitions: 3,
            workloads: Workload::ALL.into(),
        }
    }

    /// What `make bench QUICK=1` does: blast, W1, W2, W3 and W4 in at most eight minutes.
    #[must_use]
    pub fn quick() -> Self {
        let counted = Sizes { bursts: vec![20], restart: 0, first_order: false, ..Sizes::quick() };
        Self {
            sizes: Sizes::quick(),
            counted,
            blast: blast::Sizes::quick(),
            repetitions: 2,
            long_repetitions: 1,
            workloads: [Workload::W1, Workload::W2, Workload::W3, Workload::W4].into(),
        }
    }

    /// The steps for a contender on one control plane: workloads, bursts with their sizes.
    fn steps(&self, contender: &Contender, sizes: &Sizes, long: bool) -> Vec<(Workload, usize)> {
        let wanted = ORDER.into_iter().filter(|workload| {
            self.workloads.contains(workload)
                && contender.workloads.contains(workload)
                && (long || matches!(workload, Workload::W1 | Workload::W2))
        });
        wanted
            .flat_map(|workload| match workload {
                Workload::W2 => sizes.bursts.iter().map(|burst| (workload, *burst)).collect(),
                _ => vec![(workload, 0)],
            })
            .collect()
    }
}

/// The key of a step in the report.
fn key(workload: Workload, burst: usize, sizes: &Sizes) -> String {
    match workload {
        Workload::W2 if sizes.bursts.last() != Some(&burst) => format!("{workload}-{burst}"),
        _ => workload.to_string(),
    }
}

/// Carries a plan out. `told` hears of every step as it ends.
///
/// # Errors
/// When a contender fails, or makes other objects than the canonical ones.
pub async fn carry_out(
    plan: &Plan,
    contenders: &[Arc<Contender>],
    programs: &Programs,
    told: &dyn Fn(&str),
) -> Result<Record> {
    let mut record = Record::default();
    for profile in [Profile::P0, Profile::P1] {
        record.blast.extend(blast::series(profile, &plan.blast, |shot| tell_shot(shot, told)).await?);
    }
    for repetition in 0..plan.repetitions {
        let beside = beside(&record.blast, &plan.blast).await?;
        tell_shot(&beside, told);
        record.blast.push(beside);
        let again = contenders.first().map(|first| (first, format!("{} {AGAIN}", first.name), false));
        let legs = contenders.iter().map(|one| (one, one.name.clone(), repetition < plan.long_repetitions));
        for (contender, name, long) in legs.chain(again) {
            let steps = plan.steps(contender, &plan.sizes, long);
            if steps.is_empty() {
                continue;
            }
            let mut arena = Arena::open(Arc::clone(contender), programs, false).await?;
            for (workload, burst) in steps {
                let figures = perform(workload, &mut arena, &plan.sizes, burst).await?;
                let workload = key(workload, burst, &plan.sizes);
                tell(told, &name, &workload, &figures);
                let (contender, blast_beside) = (name.clone(), Some(beside.objects_per_second));
                record.runs.push(Run { contender, workload, repetition, figures, blast_beside });
            }
            arena.compare().await?;
            arena.close().await?;
        }
    }
    for contender in contenders {
        let counts = count(plan, contender, programs).await?;
        told(&format!("{}: requests counted", contender.name));
        record.counts.insert(contender.name.clone(), counts);
    }
    Ok(record)
}

/// A series by POST on a fresh control plane, as the contenders get one.
async fn beside(shots: &[Shot], sizes: &blast::Sizes) -> Result<Shot> {
    let mut range = Range::open(Profile::P1).await?;
    let in_flight = blast::best_in_flight(shots, Profile::P1, Mode::Post);
    let shot = range.create(Mode::Post, sizes.tenants, in_flight).await?;
    range.close().await?;
    Ok(shot)
}

/// The same workloads once more, smaller and with the audit log on: exact numbers of requests, and no times.
///
/// # Errors
/// As [`carry_out`].
pub async fn count(
    plan: &Plan,
    contender: &Arc<Contender>,
    programs: &Programs,
) -> Result<BTreeMap<String, Count>> {
    let mut arena = Arena::open(Arc::clone(contender), programs, true).await?;
    let audit = arena.cluster.audit().await?;
    let user = contender.user();
    let mut counts = BTreeMap::new();
    for (workload, burst) in plan.steps(contender, &plan.counted, true) {
        arena.until_rest().await?;
        let before = arena.tenants.len();
        let mark = audit.mark().await?;
        perform(workload, &mut arena, &plan.counted, burst).await?;
        arena.until_rest().await?;
        let events = audit.since(mark).await?;
        // Orders add tenants, offboarding takes some away, and the rest concerns all of them.
        let changed = before.abs_diff(arena.tenants.len());
        let count = Count {
            by_verb: by_verb(&events, &user),
            object_writes: object_writes(&events, &user, &[]),
            tenants: if changed == 0 { before } else { changed },
        };
        counts.insert(key(workload, burst, &plan.counted), count);
    }
    arena.compare().await?;
    arena.close().await?;
    Ok(counts)
}

/// Reads a contender's file.
///
/// # Errors
/// When it does not describe one.
pub fn contender(path: &std::path::Path) -> Result<Arc<Contender>> {
    Contender::read(path).map(Arc::new).with_context(|| format!("contender {}", path.display()))
}

/// Tells of a series in one line.
pub fn tell_shot(shot: &Shot, told: &dyn Fn(&str)) {
    let Shot { profile, mode, in_flight, objects, objects_per_second, p99_ms, sweep, .. } = shot;
    let cpu = shot.control_plane_cpu_seconds;
    let tried = if *sweep { " (tried)" } else { "" };
    told(&format!(
        "blast {profile} {mode}: {objects_per_second:.0} objects/s, {objects} objects, {in_flight} in flight, \
         p99 {p99_ms:.0} ms, {cpu:.1} CPU s of the control plane{tried}"
    ));
}

fn tell(told: &dyn Fn(&str), name: &str, workload: &str, figures: &Figures) {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
    told(&format!(
        "{name} {workload}: {} objects/s, p50 {} ms, p99 {} ms, {} CPU s ({} of the control plane), {} MiB, {:.3?}",
        number(figures.objects_per_second),
        number(figures.p50_ms),
        number(figures.p99_ms),
        number(figures.cpu_seconds),
        number(figures.control_plane_cpu_seconds),
        number(figures.peak_rss_mib),
        figures.further,
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn shipped(name: &str) -> Arc<Contender> {
        contender(&Path::new(env!("CARGO_MANIFEST_DIR")).join("contenders").join(name)).unwrap()
    }

    #[test]
    fn short_turns_have_the_first_two_workloads_and_long_ones_all() {
        let plan = Plan::full();
        let tenantry = shipped("tenantry.yaml");
        let short = plan.steps(&tenantry, &plan.sizes, false);
        assert_eq!(short, [(Workload::W1, 0), (Workload::W2, 500), (Workload::W2, 1_000)]);
        let long: BTreeSet<Workload> =
            plan.steps(&tenantry, &plan.sizes, true).into_iter().map(|(workload, _)| workload).collect();
        assert_eq!(long, Workload::ALL.into());
        let kubectl = plan.steps(&shipped("kubectl.yaml"), &plan.sizes, true);
        assert!(kubectl.iter().all(|(workload, _)| !workload.needs_process()), "{kubectl:?}");
    }

    #[test]
    fn the_quick_plan_does_what_it_must() {
        let plan = Plan::quick();
        let steps = plan.steps(&shipped("tenantry.yaml"), &plan.sizes, true);
        let workloads: Vec<String> = steps.iter().map(|(workload, _)| workload.to_string()).collect();
        assert_eq!(workloads, ["W1", "W2", "W4", "W3"]);
    }

    #[test]
    fn the_largest_burst_is_the_headline() {
        let sizes = Sizes::full();
        assert_eq!(key(Workload::W2, 1_000, &sizes), "W2");
        assert_eq!(key(Workload::W2, 500, &sizes), "W2-500");
        assert_eq!(key(Workload::W7, 0, &sizes), "W7");
    }
}
