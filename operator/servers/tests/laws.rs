//! Laws of pools over many histories: nothing is promised twice, nobody is moved, the same gives the same.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may fail loudly"
)]

mod common;

use common::{cores, node, pool, want};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tenantry_crds::pool::Tenancy;
use tenantry_servers::{Decision, Mark, Pool, Want, marks, settle};

/// One thing that happens to a pool.
#[derive(Clone, Debug)]
enum Event {
    Ask(Box<Want>),
    Leave(u8),
    Lose(u8),
    Add(u8),
    Clean,
}

fn event() -> impl Strategy<Value = Event> {
    let asks = (0_u8..24, 1_i64..9, 1_i64..4, 0_i64..40).prop_map(|(tenant, size, nodes, since)| {
        let mut want = want(&format!("t{tenant}"), size, since);
        want.nodes = usize::try_from(nodes).unwrap();
        Event::Ask(Box::new(want))
    });
    prop_oneof![
        5 => asks,
        2 => (0_u8..24).prop_map(Event::Leave),
        1 => (0_u8..8).prop_map(Event::Lose),
        1 => (0_u8..8).prop_map(Event::Add),
        1 => Just(Event::Clean),
    ]
}

fn start(tenancy: Tenancy, overcommit: i64, reserve: usize) -> Pool {
    let mut start = pool(tenancy, 6, 16);
    start.overcommit.cpu = tenantry_crds::quantity::Quantity::from_count(overcommit);
    start.overcommit.memory = start.overcommit.cpu;
    start.reserve_nodes = reserve;
    start
}

/// What a controller does with what is said about nodes.
fn carry(pool: &mut Pool) {
    for _ in 0..2 {
        for (name, mark) in marks(pool) {
            // Seen empty at once.
            let mark = if mark == Mark::Enrolling { Mark::Free } else { mark };
            pool.nodes.get_mut(&name).unwrap().mark = mark;
        }
    }
}

fn apply(pool: &mut Pool, event: &Event, number: usize) -> BTreeMap<String, Decision> {
    let mut asks = Vec::new();
    match event {
        Event::Ask(want) => {
            let mut want = want.clone();
            if pool.tenancy == Tenancy::Shared {
                want.nodes = 0;
            }
            asks.push(*want);
        }
        Event::Leave(tenant) => pool.release(&format!("t{tenant}"), 0),
        Event::Lose(at) => drop(pool.nodes.remove(&format!("n{at}"))),
        Event::Add(at) => {
            let name = format!("n{at}");
            pool.nodes.entry(name.clone()).or_insert_with(|| {
                let mark = if pool.tenancy == Tenancy::Dedicated { Mark::Free } else { Mark::None };
                node(&format!("{name}-{number}"), 16, mark)
            });
        }
        Event::Clean => pool.quarantined.clear(),
    }
    let decisions = settle(pool, asks);
    if pool.tenancy == Tenancy::Dedicated {
        carry(pool);
        // Who waited has what became free by that.
        settle(pool, []);
        carry(pool);
    }
    decisions
}

/// Tenants of nodes, each node by name with those who have it.
fn owners(pool: &Pool) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut owners: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (tenant, held) in &pool.reservations {
        for node in &held.nodes {
            if pool.is_there(node) {
                owners.entry(&node.name).or_default().insert(tenant);
            }
        }
    }
    owners
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// While no node is lost, what is promised never exceeds what there is, limits included at the stated ratio.
    #[test]
    fn nothing_is_promised_beyond_the_ratio(
        events in prop::collection::vec(event(), 1..60), overcommit in 1_i64..4, reserve in 0_usize..2,
    ) {
        let mut pool = start(Tenancy::Shared, overcommit, reserve);
        for (number, event) in events.iter().enumerate() {
            if matches!(event, Event::Lose(_)) {
                continue;
            }
            apply(&mut pool, event, number);
            let (has, promised) = (pool.capacity(), pool.reserved());
            prop_assert!(has.covers(promised), "{promised:?} of {has:?} after {event:?}");
            let whole = pool.total();
            prop_assert!(whole.covers(promised.requests), "requests are never overcommitted");
        }
    }

    /// Nobody gets anything more while more is promised than there is, as after a node was lost.
    #[test]
    fn what_is_lost_is_not_promised_again(events in prop::collection::vec(event(), 1..60)) {
        let mut pool = start(Tenancy::Shared, 2, 0);
        for (number, event) in events.iter().enumerate() {
            let before = pool.reserved();
            apply(&mut pool, event, number);
            let (has, promised) = (pool.capacity(), pool.reserved());
            for (resource, now, has) in promised.pairs(has) {
                let (_, _, earlier) = promised.pairs(before).find(|(other, ..)| *other == resource).unwrap();
                prop_assert!(now <= has.max(earlier), "{resource}: {now} of {has}, {earlier} before {event:?}");
            }
        }
    }

    #[test]
    fn a_node_is_one_tenants(events in prop::collection::vec(event(), 1..80), reserve in 0_usize..2) {
        let mut pool = start(Tenancy::Dedicated, 1, reserve);
        for (number, event) in events.iter().enumerate() {
            apply(&mut pool, event, number);
            for (node, tenants) in owners(&pool) {
                prop_assert_eq!(tenants.len(), 1, "{} after {:?}", node, event);
                prop_assert!(!pool.quarantined.contains_key(node), "{} is given before it is cleaned", node);
                let mark = &pool.nodes[node].mark;
                prop_assert_eq!(mark, &Mark::Tenant((*tenants.first().unwrap()).to_owned()));
            }
            for (name, known) in &pool.quarantined {
                if pool.nodes.get(name).is_some_and(|node| node.uid == known.uid) {
                    prop_assert_eq!(&pool.nodes[name].mark, &Mark::Quarantined);
                }
            }
        }
    }

    /// What somebody asks for, gets or gives back moves nobody else: what others have of nodes that are there stays theirs.
    #[test]
    fn nobody_is_moved_by_others(events in prop::collection::vec(event(), 1..60), dedicated in any::<bool>()) {
        let tenancy = if dedicated { Tenancy::Dedicated } else { Tenancy::Shared };
        let mut pool = start(tenancy, 2, 1);
        for (number, event) in events.iter().enumerate() {
            let before = pool.clone();
            apply(&mut pool, event, number);
            for (tenant, held) in &before.reservations {
                let is_own = match event {
                    Event::Ask(want) => want.tenant == *tenant,
                    Event::Leave(who) => format!("t{who}") == *tenant,
                    Event::Lose(_) | Event::Add(_) | Event::Clean => false,
                };
                if is_own || before.waiting.contains_key(tenant) {
                    continue;
                }
                let now = pool.reservations.get(tenant);
                prop_assert!(now.is_some(), "{tenant} lost its share by {event:?}");
                let now = now.unwrap();
                prop_assert_eq!(&now.amounts, &held.amounts);
                for node in held.nodes.iter().filter(|node| pool.is_there(node)) {
                    prop_assert!(now.nodes.contains(node), "{tenant} was moved off {node:?} by {event:?}");
                }
            }
        }
    }

    /// Who asks in which order in one batch, and in how many batches what is known already is asked again, changes nothing.
    #[test]
    fn the_same_gives_the_same(events in prop::collection::vec(event(), 1..40), dedicated in any::<bool>()) {
        let tenancy = if dedicated { Tenancy::Dedicated } else { Tenancy::Shared };
        let (mut one, mut other) = (start(tenancy, 2, 1), start(tenancy, 2, 1));
        for (number, event) in events.iter().enumerate() {
            let first = apply(&mut one, event, number);
            let second = apply(&mut other, event, number);
            prop_assert_eq!(first, second);
            prop_assert_eq!(&one, &other);
            let again = one.clone();
            settle(&mut one, []);
            prop_assert_eq!(&one, &again, "a further look changes nothing");
        }
        let asks: Vec<Want> = (0..6).map(|at| want(&format!("n{at}"), 3, at)).collect();
        let mut backwards = asks.clone();
        backwards.reverse();
        settle(&mut one, asks);
        settle(&mut other, backwards);
        prop_assert_eq!(one, other);
    }

    /// Who waits keeps his place, however often everybody says again what he wants and since when: who comes later, be it
    /// within the same second, is behind him.
    #[test]
    fn who_waits_keeps_his_place(orders in prop::collection::vec((0_u8..24, 1_i64..40, 0_i64..2), 1..24)) {
        let mut pool = start(Tenancy::Shared, 1, 0);
        let mut wishes: BTreeMap<String, Want> = BTreeMap::new();
        let mut queue: Vec<String> = Vec::new();
        let mut clock = 0;
        for (tenant, size, passes) in orders {
            clock += passes;
            let want = want(&format!("t{tenant}"), size, clock);
            let asks = want.tenant.clone();
            wishes.insert(asks.clone(), want);
            for _ in 0..2 {
                settle(&mut pool, wishes.values().cloned());
                queue.retain(|waits| pool.waiting.contains_key(waits));
                if pool.waiting.contains_key(&asks) && !queue.contains(&asks) {
                    queue.push(asks.clone());
                }
                let mut now: Vec<&Want> = pool.waiting.values().collect();
                now.sort_by(|one, other| (one.since, &one.uid).cmp(&(other.since, &other.uid)));
                let now: Vec<&String> = now.into_iter().map(|want| &want.tenant).collect();
                prop_assert_eq!(now, queue.iter().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn what_is_given_back_can_be_had_again(sizes in prop::collection::vec(1_i64..9, 1..12)) {
        let mut pool = start(Tenancy::Shared, 2, 0);
        let wants: Vec<Want> =
            sizes.iter().enumerate().map(|(at, size)| want(&format!("t{at}"), *size, 0)).collect();
        settle(&mut pool, wants.clone());
        let (free, held) = (pool.free(), pool.reservations.len());
        let leaves = pool.reservations.keys().next().cloned();
        if let Some(tenant) = leaves {
            let waits = std::mem::take(&mut pool.waiting);
            pool.release(&tenant, 1);
            let again = wants.iter().find(|want| want.tenant == tenant).unwrap().clone();
            prop_assert_eq!(settle(&mut pool, [again]).remove(&tenant), Some(Decision::Held));
            prop_assert_eq!((pool.free(), pool.reservations.len()), (free, held));
            pool.waiting = waits;
        }
    }

    /// Whoever goes ahead leaves everybody before him where he was: he would have got his share at the same moment without.
    #[test]
    fn nobody_starts_later_because_another_goes_ahead(
        sizes in prop::collection::vec((1_i64..12, any::<bool>()), 2..16), leaves in 0_usize..16,
    ) {
        let mut pool = start(Tenancy::Shared, 1, 0);
        let wants: Vec<Want> = sizes
            .iter()
            .enumerate()
            .map(|(at, (size, large))| {
                let mut want = want(&format!("t{at:02}"), 4 * size, i64::try_from(at).unwrap());
                if *large {
                    want.largest.cpu = cores(64);
                }
                want
            })
            .collect();
        settle(&mut pool, wants);
        let Some(head) = pool.waiting.values().min_by_key(|want| want.since).cloned() else { return Ok(()) };
        prop_assume!(pool.capacity().covers(head.amounts));
        let ahead = pool.reservations.iter().filter(|(_, held)| held.since > head.since);
        let mut without = pool.clone();
        for tenant in ahead.map(|(tenant, _)| tenant.clone()).collect::<Vec<_>>() {
            without.reservations.remove(&tenant);
        }
        let with = {
            let mut with = pool.clone();
            // A node that is large enough for everybody's pods, and somebody who leaves.
            with.nodes.insert("large".to_owned(), node("large", 64, Mark::None));
            without.nodes.insert("large".to_owned(), node("large", 64, Mark::None));
            let earlier: Vec<String> = without.reservations.keys().cloned().collect();
            if let Some(tenant) = earlier.get(leaves) {
                with.release(tenant, 0);
                without.release(tenant, 0);
            }
            settle(&mut with, []);
            with
        };
        settle(&mut without, []);
        if without.reservations.contains_key(&head.tenant) {
            prop_assert!(with.reservations.contains_key(&head.tenant), "{head:?} would have had its share");
        }
    }
}
