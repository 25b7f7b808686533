//! What holds for every checklist, whatever is observed in whatever order.

use super::*;

/// What happens to one item between two passes.
#[derive(Clone, Debug)]
enum Event {
    Live(usize),
    Unhealthy(bool),
    Failure(bool),
    Cleared,
    Input(u8),
    Retry(u8),
    Skip(bool),
    Waiting(bool),
    Sign(bool),
    Hold(bool),
}

fn events() -> impl Strategy<Value = Vec<(usize, i64, Event)>> {
    let event = prop_oneof![
        4 => (0_usize..4).prop_map(Event::Live),
        1 => any::<bool>().prop_map(Event::Unhealthy),
        4 => any::<bool>().prop_map(Event::Failure),
        1 => Just(Event::Cleared),
        1 => (0_u8..3).prop_map(Event::Input),
        1 => (0_u8..3).prop_map(Event::Retry),
        1 => any::<bool>().prop_map(Event::Skip),
        1 => any::<bool>().prop_map(Event::Waiting),
        2 => any::<bool>().prop_map(Event::Sign),
        1 => any::<bool>().prop_map(Event::Hold),
    ];
    proptest::collection::vec((0_usize..4, 0_i64..700, event), 1..40)
}

fn world() -> World {
    let check = ItemInput { kind: Kind::Check, evidence: Evidence::default(), ..item("check", &[]) };
    let go_live = ItemInput {
        kind: Kind::GoLive { not_before: Some(at(2_000)) },
        category: Category::GoLive,
        ..item("go-live", &["a"])
    };
    // One item waits to be confirmed, another for a signature.
    let confirmed = ItemInput { signature: Some(people::asks(Standing::Missing)), ..item("a", &["check"]) };
    let signed = ItemInput {
        kind: Kind::SignOff,
        evidence: Evidence::default(),
        signature: Some(people::asks(Standing::Missing)),
        ..item("b", &["a"])
    };
    World::new(vec![go_live, signed, confirmed, check])
}

fn happen(world: &mut World, which: usize, now: i64, event: Event) {
    let item = &mut world.items[which];
    match event {
        Event::Live(live) => item.evidence.live = live.min(item.evidence.desired),
        Event::Unhealthy(failed) => {
            item.evidence.unhealthy =
                vec![Unhealthy { object: "Job x".to_owned(), reason: "Broken".to_owned(), failed }];
        }
        Event::Failure(definitive) => {
            item.evidence.failure = Some(ItemFailure {
                definitive,
                reason: "Refused".to_owned(),
                message: "no".to_owned(),
                at: at(now),
            });
        }
        Event::Cleared => {
            item.evidence = Evidence {
                live: item.evidence.desired,
                desired: item.evidence.desired,
                ..Evidence::default()
            };
        }
        Event::Input(digest) => item.input_digest = format!("d{digest}"),
        Event::Retry(token) => world.retry = Some(format!("@{token}")),
        Event::Skip(skip) => item.skipped = skip.then(|| "not needed".to_owned()),
        Event::Sign(signed) => {
            let standing = if signed { people::given() } else { Standing::Missing };
            item.signature = item.signature.as_ref().map(|_| people::asks(standing));
        }
        Event::Hold(held) => item.hold = held.then(|| Hold::Item("why".to_owned())),
        Event::Waiting(waits) => {
            item.evidence.waiting =
                waits.then(|| Waiting { reason: "Outside".to_owned(), message: "do it".to_owned() });
        }
    }
}

/// What a pass may and may not say.
fn check(
    world: &World,
    before: &[ChecklistEntry],
    evaluation: &Evaluation,
    now: i64,
) -> Result<(), TestCaseError> {
    for (item, entry) in world.items.iter().zip(&evaluation.entries) {
        prop_assert_eq!(&item.name, &entry.name);
        if entry.state == ItemState::Done {
            let shown = item.kind == Kind::SignOff || item.evidence.is_complete();
            prop_assert!(item.skipped.is_none() && shown);
            let signed = item.signature.as_ref().is_none_or(|s| matches!(s.standing, Standing::Given(_)));
            prop_assert!(signed, "done without the signature that is asked for");
        }
        prop_assert_eq!(entry.state == ItemState::Skipped, item.skipped.is_some());
        prop_assert!((0..=item.retry.attempts).contains(&entry.attempts));
        prop_assert!(time::instant(&entry.since) <= at(now));
        if let Some(old) = before.iter().find(|old| old.name == entry.name) {
            if old.state == entry.state {
                prop_assert_eq!(&old.since, &entry.since);
            } else {
                prop_assert_eq!(time::instant(&entry.since), at(now));
            }
        }
        if evaluation.released.contains(&item.name) {
            prop_assert!(item.skipped.is_none() && item.hold.is_none());
            prop_assert!(entry.next_retry_at.as_ref().is_none_or(|next| time::instant(next) <= at(now)));
            prop_assert!(entry.reason != ATTEMPTS_EXHAUSTED);
            // Whatever it waits for exists.
            for name in &item.depends_on {
                let needed = world.items.iter().find(|other| other.name == *name).unwrap();
                prop_assert!(needed.skipped.is_some() || needed.evidence.live >= needed.evidence.desired);
            }
        }
        if item.name == "go-live" && evaluation.released.contains("go-live") {
            prop_assert!(now >= 2_000 || item.evidence.live > 0);
        }
    }
    prop_assert!(evaluation.deadline.is_none_or(|deadline| deadline > at(now)));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// `World::pass` also proves that each evaluation, fed its own output, gives that output again.
    #[test]
    fn states_follow_evidence(events in events()) {
        let mut world = world();
        let mut now = 0;
        for (which, later, event) in events {
            now += later;
            happen(&mut world, which, now, event);
            let before = world.entries.clone();
            let evaluation = world.pass(now);
            check(&world, &before, &evaluation, now)?;
        }
    }

    /// When everything is there, everything is done, whatever happened before.
    #[test]
    fn good_evidence_recovers_every_item(events in events()) {
        let mut world = world();
        let mut now = 2_000;
        for (which, later, event) in events {
            now += later;
            happen(&mut world, which, now, event);
            world.pass(now);
        }
        for item in &mut world.items {
            let desired = item.evidence.desired;
            item.evidence = Evidence { desired, live: desired, ..Evidence::default() };
            item.skipped = None;
            item.hold = None;
            item.signature = item.signature.as_ref().map(|_| people::asks(people::given()));
        }
        world.pass(now + 1);
        prop_assert!(world.entries.iter().all(|entry| entry.state == ItemState::Done), "{:?}", world.entries);
    }

    /// The order in which items are written changes nothing about their states.
    #[test]
    fn the_written_order_does_not_matter(events in events()) {
        let (mut one, mut two) = (world(), world());
        two.items.reverse();
        let mut now = 0;
        for (which, later, event) in events {
            now += later;
            happen(&mut one, which, now, event.clone());
            happen(&mut two, 3 - which, now, event);
            let (first, mut second) = (one.pass(now), two.pass(now));
            second.entries.reverse();
            let states = |e: &Evaluation| e.entries.iter().map(|e| (e.name.clone(), e.state, e.attempts)).collect::<Vec<_>>();
            prop_assert_eq!(states(&first), states(&second));
            prop_assert_eq!(first.released, second.released);
            prop_assert_eq!(first.deadline, second.deadline);
        }
    }
}
