//! How items come to an end, for the journal.

use super::people::{asks, given};
use super::*;
use crate::sign_off::Standing;
use tenantry_crds::subscription::{Conclusion, Outcome};

fn conclusion<'a>(world: &'a World, name: &str) -> Option<&'a Conclusion> {
    world.entry(name).conclusion.as_ref()
}

/// Number, outcome, and when it began, was worked on, and ended, in seconds.
fn told(world: &World, name: &str) -> Option<(i32, Outcome, Option<i64>, i64, i64)> {
    let second = |time: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Time| {
        time::instant(time).as_second() - at(0).as_second()
    };
    let Conclusion { number, outcome, started_at, worked_at, at, reopened: _ } = conclusion(world, name)?;
    Some((*number, *outcome, started_at.as_ref().map(second), second(worked_at), second(at)))
}

#[test]
fn an_item_ends_once_and_a_repair_is_no_end() {
    let mut world = World::new(vec![item("a", &[])]);
    world.pass(0);
    assert_eq!(told(&world, "a"), None, "it runs");
    world.evidence("a", complete());
    world.pass(5);
    assert_eq!(told(&world, "a"), Some((1, Outcome::Done, Some(0), 5, 5)));
    world.evidence("a", Evidence { desired: 3, live: 1, ..Evidence::default() });
    world.pass(10);
    assert_eq!(world.state("a").0, ItemState::Running);
    assert_eq!(
        told(&world, "a"),
        Some((1, Outcome::Done, Some(0), 5, 5)),
        "its end stays while it is repaired"
    );
    world.evidence("a", complete());
    world.pass(20);
    assert_eq!(told(&world, "a"), Some((1, Outcome::Done, Some(0), 5, 5)), "and afterwards");
}

#[test]
fn failing_being_done_after_all_and_another_order_are_ends_of_their_own() {
    let mut world = World::new(vec![item("a", &[])]);
    world.pass(0);
    world.pass(601);
    assert_eq!(world.state("a"), (ItemState::Failed, TIMED_OUT));
    assert_eq!(told(&world, "a"), Some((1, Outcome::Failed, Some(0), 601, 601)));
    world.evidence("a", complete());
    world.pass(700);
    assert_eq!(told(&world, "a"), Some((2, Outcome::Done, Some(0), 700, 700)));
    world.items[0].input_digest = "another".to_owned();
    world.pass(800);
    assert_eq!(told(&world, "a"), Some((3, Outcome::Done, Some(800), 800, 800)));
    world.items[0].skipped = Some("not ordered any more".to_owned());
    world.pass(900);
    assert_eq!(told(&world, "a"), Some((4, Outcome::Skipped, None, 900, 900)));
}

#[test]
fn two_ends_within_a_second_are_two() {
    let mut world = World::new(vec![item("a", &[])]);
    world.evidence("a", complete());
    world.pass(0);
    world.items[0].input_digest = "another".to_owned();
    world.evidence("a", Evidence { desired: 3, ..Evidence::default() });
    world.pass(0);
    assert_eq!(world.state("a").0, ItemState::Running);
    assert!(conclusion(&world, "a").is_some_and(|known| known.number == 1 && known.reopened));
    world.evidence("a", complete());
    world.pass(0);
    assert_eq!(told(&world, "a"), Some((2, Outcome::Done, Some(0), 0, 0)));
    world.items[0].skipped = Some("not ordered any more".to_owned());
    world.pass(0);
    world.items[0].input_digest = "yet another".to_owned();
    world.pass(1);
    assert_eq!(
        told(&world, "a"),
        Some((3, Outcome::Skipped, None, 0, 0)),
        "what does not apply does not end again"
    );
}

#[test]
fn waiting_for_people_is_apart_from_the_work() {
    let confirmed = ItemInput { signature: Some(asks(Standing::Missing)), ..item("a", &[]) };
    let signed = ItemInput {
        kind: Kind::SignOff,
        evidence: Evidence::default(),
        signature: Some(asks(Standing::Missing)),
        ..item("b", &[])
    };
    let mut world = World::new(vec![confirmed, signed]);
    world.pass(0);
    world.evidence("a", complete());
    world.pass(10);
    assert_eq!((told(&world, "a"), told(&world, "b")), (None, None));
    world.items.iter_mut().for_each(|item| item.signature = Some(asks(given())));
    world.pass(100);
    assert_eq!(told(&world, "a"), Some((1, Outcome::Done, Some(0), 10, 100)));
    assert_eq!(told(&world, "b"), Some((1, Outcome::Done, Some(0), 0, 100)));
}

#[test]
fn what_ended_under_a_version_without_ends_has_no_date() {
    let mut world = World::new(vec![item("a", &[])]);
    world.evidence("a", complete());
    world.pass(0);
    world.entries[0].conclusion = None;
    world.pass(1000);
    assert_eq!(told(&world, "a"), None);
}
