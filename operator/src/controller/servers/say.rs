//! What tenants and pools are told; no client or clock.

use super::Wish;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::BTreeSet;
use tenantry_checklist::item::{NO_SERVER_POOL, OUT_OF_CAPACITY, SERVERS_RELEASED};
use tenantry_checklist::report::holds_since;
use tenantry_crds::common::{Condition, ConditionStatus};
use tenantry_crds::pool::{ServerPoolSpec, ServerPoolStatus, Tenancy};
use tenantry_servers::{Decision, Lack, Pool};

/// Condition about the nodes that are made by a template.
const NODES_MADE: &str = "NodesMade";
/// Characters of what is said about made nodes, which becomes a part of what who waits is told.
const LONGEST: usize = 640;
/// Nodes named in one message.
const NAMED: usize = 3;

/// Why a tenant waits, as reason and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// Why, in one word.
    pub(crate) reason: &'static str,
    /// Why, for people.
    pub(crate) message: String,
}

/// What can be done about nodes that are not as they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Nothing: they will be.
    Wait,
    /// There has to be another one.
    Add,
    /// Somebody has to want another one.
    Exchange,
    /// Somebody does, and it is not possible yet.
    AddOrUnpin,
}

// === impl Told ===

impl Told {
    /// No pool has whole servers of a class.
    pub(super) fn no_pool(wish: &Wish) -> Self {
        let message = format!(
            "the plan promises {} whole servers of class {} ({} of cpu), and there is no ServerPool of that class whose \
             tenancy is Dedicated; make one",
            wish.nodes,
            wish.class,
            wish.promised().cpu
        );
        Self { reason: NO_SERVER_POOL, message }
    }

    /// Somebody who just asked.
    pub(super) fn deciding(pool: &str) -> Self {
        Self { reason: "Reserving", message: format!("asks pool {pool} for its share") }
    }

    /// Somebody who was suspended for longer than his plan keeps servers for him.
    pub(crate) fn released(grace: &str, since: jiff::Timestamp) -> Self {
        let message = format!(
            "its share was given back, because it is suspended since {since} and its plan keeps servers for {grace}; it asks for \
             them again when it is resumed, and waits where there is no room then"
        );
        Self { reason: SERVERS_RELEASED, message }
    }

    /// Somebody who waits. `making` is what the pool says of nodes that are made.
    pub(super) fn waits(pool: &str, decision: &Decision, making: Option<&str>) -> Self {
        let message = match decision {
            Decision::Held | Decision::Short { .. } => return Self::deciding(pool),
            Decision::Full => format!(
                "the record of pool {pool} is full; move tenants to a class of its own with another pool, and it goes on"
            ),
            Decision::Waits { lacks, pod_too_large, ahead } => {
                let mut why = Vec::new();
                if !lacks.is_empty() {
                    why.push(format!("lacks {}", listed(lacks)));
                }
                if *pod_too_large {
                    why.push("has no node that is large enough for the largest pod".to_owned());
                }
                if why.is_empty() {
                    why.push("has room that would be missing for who waits longer".to_owned());
                }
                let before = match ahead {
                    0 => String::new(),
                    1 => "; 1 waits before it".to_owned(),
                    ahead => format!("; {ahead} wait before it"),
                };
                let why = why.join(" and ");
                let remedy = making.unwrap_or("add nodes to the pool");
                format!("pool {pool} {why}{before}; {remedy}, and it goes on by itself")
            }
        };
        Self { reason: OUT_OF_CAPACITY, message }
    }

    /// Somebody whose nodes are not all as they should be.
    pub(super) fn nodes(pool: &str, wrong: &[String], remedy: Remedy) -> Self {
        let more = wrong.len().saturating_sub(NAMED);
        let mut names = wrong.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        if more > 0 {
            names = format!("{names} and {more} more");
        }
        let remedy = match remedy {
            Remedy::Wait => "",
            Remedy::Add => "; no free node takes its place, so add one to the pool",
            Remedy::Exchange => {
                "; what is on it is kept for its return, or name it in spec.exchange of the pool to have another in its place"
            }
            Remedy::AddOrUnpin => {
                "; another takes its place when one is free that has as much and no volume is pinned to this one"
            }
        };
        Self { reason: "NodesNotReady", message: format!("of its servers in pool {pool}, {names}{remedy}") }
    }
}

/// What a pool says of the nodes that are made for who waits.
pub(super) fn making(status: &ServerPoolStatus) -> Option<&str> {
    let told = status
        .conditions
        .iter()
        .find(|one| one.type_ == NODES_MADE && one.status == ConditionStatus::False)?;
    Some(told.message.as_str())
}

/// The condition about nodes that are made: what is awaited of which objects, what is in the way, and whether as many are there as
/// there may be (`full`).
pub(super) fn making_condition(
    awaited: &[String],
    in_the_way: &BTreeSet<&str>,
    full: Option<i32>,
    generation: i64,
    before: &[Condition],
    now: &Time,
) -> Condition {
    let few = |all: Vec<&str>| {
        let more = all.len().saturating_sub(NAMED);
        let named = all.into_iter().take(NAMED).collect::<Vec<_>>().join("; ");
        if more > 0 { format!("{named}; and {more} more") } else { named }
    };
    let said = few(awaited.iter().map(String::as_str).collect());
    let (status, reason, message) = match (in_the_way.is_empty(), awaited.is_empty(), full) {
        (false, ..) => (ConditionStatus::False, "Hindered", few(in_the_way.iter().copied().collect())),
        (true, false, _) => (ConditionStatus::False, "Awaited", said),
        (true, true, Some(most)) => {
            let message = format!(
                "as many nodes are made as may be ({most}); raise spec.template.maxNodes, or add nodes"
            );
            (ConditionStatus::False, "AtTheMost", message)
        }
        (true, true, None) => (ConditionStatus::True, "NothingAwaited", String::new()),
    };
    Condition {
        type_: NODES_MADE.to_owned(),
        status,
        reason: reason.to_owned(),
        message: message.chars().take(LONGEST).collect(),
        last_transition_time: holds_since(before, NODES_MADE, status, now),
        observed_generation: generation,
    }
}

fn listed(lacks: &[Lack]) -> String {
    let each = lacks.iter().map(|lack| format!("{} {}", lack.resource, lack.missing));
    each.collect::<Vec<_>>().join(", ")
}

/// The conditions of a pool. Those that say the same as before keep their time.
pub(super) fn conditions(
    spec: &ServerPoolSpec,
    generation: i64,
    verdict: Result<&Pool, String>,
    decisions: &[Decision],
    before: &[Condition],
    now: &Time,
) -> Vec<Condition> {
    let (accepted, reason, message) = match &verdict {
        Ok(_) => (true, "InUse", String::new()),
        Err(why) => (false, "NotInUse", why.clone()),
    };
    let mut drafts = vec![("Accepted", accepted, reason, message)];
    if let Ok(pool) = verdict {
        let waiting = pool.waiting.len();
        let longest = decisions.iter().find_map(|decision| match decision {
            Decision::Waits { lacks, ahead: 0, .. } if !lacks.is_empty() => Some(listed(lacks)),
            _ => None,
        });
        let what = if spec.tenancy == Tenancy::Shared { "share" } else { "server" };
        drafts.push(match (waiting, longest) {
            (0, _) => ("Available", true, "NobodyWaits", String::new()),
            (count, lacks) => {
                let lacks =
                    lacks.map(|lacks| format!("; who waits longest lacks {lacks}")).unwrap_or_default();
                let message = format!("waiting for a {what}: {count}{lacks}; add nodes to the pool");
                ("Available", false, OUT_OF_CAPACITY, message)
            }
        });
    }
    let condition = |(type_, holds, reason, message): (&str, bool, &str, String)| {
        let status = if holds { ConditionStatus::True } else { ConditionStatus::False };
        Condition {
            type_: type_.to_owned(),
            status,
            reason: reason.to_owned(),
            message,
            last_transition_time: holds_since(before, type_, status, now),
            observed_generation: generation,
        }
    };
    drafts.into_iter().map(condition).collect()
}
