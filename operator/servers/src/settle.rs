//! Who gets a share of a pool and who waits; pure.
//!
//! Whoever has a share keeps it. The others are served in the order in which they came. Who comes later may go ahead only
//! where that leaves the start of everybody before him where it was: nobody knows when somebody leaves, so what one before
//! him is short of he must not take at all, and of the rest there must be enough for both. Whom the pool could not serve if it
//! were empty keeps nobody back.

use crate::amounts::{Amounts, Resource};
use crate::leave;
use crate::pool::{NodeRef, Pool, Reservation, Want};
use std::collections::{BTreeMap, BTreeSet};
use tenantry_crds::pool::{MAX_RESERVATIONS, MAX_WAITING, Tenancy};
use tenantry_crds::quantity::Quantity;

/// What becomes of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The tenant has what it asks for.
    Held,
    /// It has what it asks for but some of its nodes, which are gone and which no free one takes the place of.
    Short {
        /// Nodes that are missing.
        nodes: usize,
    },
    /// It waits.
    Waits {
        /// What is missing.
        lacks: Vec<Lack>,
        /// Whether no node is large enough for the largest of its pods.
        pod_too_large: bool,
        /// How many wait before it and would start later if it went ahead.
        ahead: usize,
    },
    /// More than can be recorded have a share, or wait.
    Full,
}

/// One resource that a pool is short of for a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lack {
    /// Which.
    pub resource: Resource,
    /// How much is missing.
    pub missing: Quantity,
}

/// Somebody who waits, as those behind him have to see him.
struct Blocked {
    needs: Amounts,
    nodes: usize,
}

/// Decides about everybody who asks for a share and everybody who waits for one, and changes the pool accordingly. Gives
/// what becomes of each, by tenant.
pub fn settle(pool: &mut Pool, wants: impl IntoIterator<Item = Want>) -> BTreeMap<String, Decision> {
    let mut decisions = BTreeMap::new();
    leave::forget_gone(pool);
    for tenant in replace_lost_nodes(pool) {
        let decision = held(pool, &tenant);
        decisions.insert(tenant, decision);
    }
    let mut asking: BTreeMap<String, Want> = pool.waiting.clone();
    // Whoever waits already came before whoever comes now, also within one second. His place is the one on record: what he
    // says himself is the second in which he came, and that may be another's who was there before him.
    let last = asking.values().map(|want| want.since).max();
    let mut newcomers = Vec::new();
    for want in wants {
        match asking.get(&want.tenant).filter(|known| known.uid == want.uid) {
            Some(known) => {
                let since = known.since;
                asking.insert(want.tenant.clone(), Want { since, ..want });
            }
            None => newcomers.push(want),
        }
    }
    // They stay in the order in which they came, however long ago that was: a record that is full takes nobody up.
    newcomers.sort_by(Want::turn);
    let mut place = last.map_or(i64::MIN, |last| last.saturating_add(1));
    let mut before = None;
    for want in newcomers {
        if before.is_some_and(|before| want.since > before) && place > want.since {
            place = place.saturating_add(1);
        }
        before = Some(want.since);
        place = place.max(want.since);
        asking.insert(want.tenant.clone(), Want { since: place, ..want });
    }
    let mut queue: Vec<Want> = asking.into_values().collect();
    queue.sort_by(Want::turn);
    queue.iter().for_each(|want| leave::take_again(pool, want));
    // What somebody gives back is there for everybody, wherever in the queue he is.
    queue.retain(|want| match has_already(pool, want) {
        false => true,
        true => {
            let tenant = want.tenant.clone();
            give(pool, want.clone(), Vec::new());
            let decision = held(pool, &tenant);
            decisions.insert(tenant, decision);
            false
        }
    });
    let mut free = pool.free();
    let mut blocked: Vec<Blocked> = Vec::new();
    for want in queue {
        let tenant = want.tenant.clone();
        let decision = decide(pool, &mut free, &mut blocked, want);
        decisions.insert(tenant, decision);
    }
    decisions
}

fn decide(pool: &mut Pool, free: &mut Amounts, blocked: &mut Vec<Blocked>, want: Want) -> Decision {
    let held = pool.reservations.get(&want.tenant);
    if held.is_none() && pool.reservations.len() >= MAX_RESERVATIONS {
        return Decision::Full;
    }
    let has = held.map(|held| held.amounts).unwrap_or_default();
    // Nodes that are gone count: others were given in their place already, or there are none.
    let given = held.map_or(0, Reservation::kept);
    let more = want.amounts.minus(has);
    let more_nodes = want.nodes.saturating_sub(given);
    let blocks = Blocked { needs: more, nodes: more_nodes };
    let tries = match pool.tenancy {
        Tenancy::Shared => share(pool, *free, &want, more, blocked),
        Tenancy::Dedicated => whole_nodes(pool, &want, more_nodes, blocked),
    };
    match tries {
        Ok(nodes) => {
            if pool.tenancy == Tenancy::Shared {
                *free = free.minus(more).plus(has.minus(want.amounts));
            }
            give(pool, want, nodes);
            Decision::Held
        }
        Err((lacks, pod_too_large)) => {
            let ahead = blocked.len();
            // Whom the pool could not serve if it were empty starts when it grows, whoever goes ahead meanwhile.
            if could_ever(pool, &want) {
                blocked.push(blocks);
            }
            // Nobody goes ahead of who came when the record was full.
            if pool.waiting.len() >= MAX_WAITING && !pool.waiting.contains_key(&want.tenant) {
                return Decision::Full;
            }
            pool.waiting.insert(want.tenant.clone(), want);
            Decision::Waits { lacks, pod_too_large, ahead }
        }
    }
}

/// Whether a tenant has all that it asks for.
fn has_already(pool: &Pool, want: &Want) -> bool {
    pool.reservations
        .get(&want.tenant)
        .is_some_and(|held| held.amounts.covers(want.amounts) && held.kept() >= want.nodes)
}

/// Whether the pool as it is, with what can be made, could serve a wish if nobody else had anything of it.
pub(crate) fn could_ever(pool: &Pool, want: &Want) -> bool {
    match pool.tenancy {
        Tenancy::Shared => pool.capacity().covers(want.amounts),
        Tenancy::Dedicated => {
            want.nodes <= (pool.nodes.len() + pool.makable).saturating_sub(pool.reserve_nodes)
        }
    }
}

/// What a wish fails at: what is missing, and whether a pod of it is larger than every node.
type Misses = (Vec<Lack>, bool);

/// Whether a share of common nodes can be had.
fn share(
    pool: &Pool,
    free: Amounts,
    want: &Want,
    more: Amounts,
    blocked: &[Blocked],
) -> Result<Vec<NodeRef>, Misses> {
    let lacks: Vec<Lack> = free
        .pairs(more)
        .filter(|(_, has, needs)| needs > has)
        .map(|(resource, has, needs)| Lack { resource, missing: needs.minus(has) })
        .collect();
    let pod_too_large = !pool.has_node_for(want.largest);
    let delays = |head: &Blocked| {
        let taken = more.pairs(head.needs).zip(free.pairs(head.needs));
        taken.into_iter().any(|((_, takes, needs), (_, has, _))| {
            takes > Quantity::ZERO && needs > Quantity::ZERO && (needs > has || has.minus(takes) < needs)
        })
    };
    if lacks.is_empty() && !pod_too_large && !blocked.iter().any(delays) {
        return Ok(Vec::new());
    }
    Err((lacks, pod_too_large))
}

/// Which nodes a tenant can have for itself besides those it has.
fn whole_nodes(pool: &Pool, want: &Want, more: usize, blocked: &[Blocked]) -> Result<Vec<NodeRef>, Misses> {
    let free = pool.free_nodes();
    let available = free.len().saturating_sub(pool.reserve_nodes);
    let count = |nodes: usize| Quantity::from_count(i64::try_from(nodes).unwrap_or(i64::MAX));
    if more > available {
        let lack = Lack { resource: Resource::Nodes, missing: count(more - available) };
        return Err((vec![lack], false));
    }
    let delays = |head: &Blocked| more > 0 && head.nodes > 0 && available.saturating_sub(more) < head.nodes;
    if blocked.iter().any(delays) {
        return Err((Vec::new(), false));
    }
    let mine: BTreeSet<&str> = pool
        .reservations
        .get(&want.tenant)
        .into_iter()
        .flat_map(|held| held.nodes.iter().filter(|node| !held.leaving.contains(&node.name)))
        .map(|node| node.name.as_str())
        .collect();
    let room = |name: &str| pool.nodes.get(name).map(|node| node.allocatable).unwrap_or_default();
    let mut by_size = free.clone();
    by_size.sort_by(|one, other| {
        let (one_room, other_room) = (room(one), room(other));
        (other_room.cpu, other_room.memory).cmp(&(one_room.cpu, one_room.memory)).then(one.cmp(other))
    });
    // By name where that is enough, so that which node comes next can be told; else the largest.
    let mut misses = (Vec::new(), false);
    for order in [&free, &by_size] {
        let chosen: Vec<&str> = order.iter().copied().take(more).collect();
        let all: Vec<&str> = mine.iter().copied().chain(chosen.iter().copied()).collect();
        let sum = all.iter().map(|name| room(name)).fold(Default::default(), crate::Room::plus);
        let largest_fits = all.iter().any(|name| room(name).covers(want.largest));
        let requests = Amounts { requests: sum, ..Amounts::default() };
        let asked = Amounts { requests: want.amounts.requests, ..Amounts::default() };
        let lacks: Vec<Lack> = requests
            .pairs(asked)
            .filter(|(_, has, needs)| needs > has)
            .map(|(resource, has, needs)| Lack { resource, missing: needs.minus(has) })
            .collect();
        if lacks.is_empty() && largest_fits {
            return Ok(chosen.into_iter().filter_map(|name| node_ref(pool, name)).collect());
        }
        misses = (lacks, !largest_fits);
    }
    Err(misses)
}

/// Records a share, with these nodes besides those that the tenant has.
fn give(pool: &mut Pool, want: Want, nodes: Vec<NodeRef>) {
    pool.waiting.remove(&want.tenant);
    let before = pool.reservations.remove(&want.tenant);
    let since = before.as_ref().map_or(want.since, |held| held.since);
    let leaving = before.as_ref().map(|held| held.leaving.clone()).unwrap_or_default();
    let mut all: Vec<NodeRef> = before.into_iter().flat_map(|held| held.nodes).chain(nodes).collect();
    all.sort();
    let Want { tenant, subscription, uid, amounts, .. } = want;
    pool.reservations.insert(tenant, Reservation { subscription, uid, amounts, nodes: all, leaving, since });
}

/// Gives tenants whose nodes are gone others in their place, also of those that are held back. Gives the tenants that lost one.
fn replace_lost_nodes(pool: &mut Pool) -> Vec<String> {
    let mut order: Vec<(i64, String, String)> = Vec::new();
    for (tenant, held) in &pool.reservations {
        if held.nodes.iter().any(|node| !pool.is_there(node)) {
            order.push((held.since, held.uid.clone(), tenant.clone()));
        }
    }
    order.sort();
    for (_, _, tenant) in &order {
        let free: Vec<NodeRef> =
            pool.free_nodes().into_iter().filter_map(|name| node_ref(pool, name)).collect();
        let there: BTreeSet<NodeRef> = pool
            .reservations
            .get(tenant)
            .into_iter()
            .flat_map(|held| held.nodes.iter().filter(|node| pool.is_there(node)).cloned())
            .collect();
        if let Some(held) = pool.reservations.get_mut(tenant) {
            let mut free = free.into_iter();
            for node in &mut held.nodes {
                if !there.contains(node)
                    && let Some(another) = free.next()
                {
                    *node = another;
                }
            }
            held.nodes.sort();
        }
    }
    order.into_iter().map(|(_, _, tenant)| tenant).collect()
}

/// What becomes of somebody who has a share: some of its nodes may be gone.
fn held(pool: &Pool, tenant: &str) -> Decision {
    let nodes = pool.reservations.get(tenant).into_iter().flat_map(|held| &held.nodes);
    match nodes.filter(|node| !pool.is_there(node)).count() {
        0 => Decision::Held,
        nodes => Decision::Short { nodes },
    }
}

fn node_ref(pool: &Pool, name: &str) -> Option<NodeRef> {
    pool.nodes.get(name).map(|node| NodeRef { name: name.to_owned(), uid: node.uid.clone() })
}
