//! Signatures, confirmations, holds and due times.

use super::*;
use crate::sign_off::{Standing, Wanted};
use tenantry_crds::subscription::Signature;

fn signature(seconds: i64) -> Signature {
    Signature { name: "acme-x".to_owned(), by: "cora".to_owned(), via: None, at: time::time(at(seconds)) }
}

pub(super) fn asks(standing: Standing) -> SignatureInput {
    let wanted = Wanted { party: Party::Customer, evidence_required: false, digest: "s1".to_owned() };
    SignatureInput { wanted, standing }
}

pub(super) fn given() -> Standing {
    Standing::Given(signature(1))
}

fn training(depends_on: &[&str]) -> ItemInput {
    ItemInput {
        kind: Kind::SignOff,
        category: Category::Training,
        evidence: Evidence::default(),
        signature: Some(asks(Standing::Missing)),
        ..item("training", depends_on)
    }
}

fn go_live() -> ItemInput {
    let kind = Kind::GoLive { not_before: None };
    ItemInput { kind, category: Category::GoLive, ..item("go-live", &[]) }
}

fn index(world: &World, name: &str) -> usize {
    world.items.iter().position(|item| item.name == name).unwrap()
}

fn sign(world: &mut World, name: &str, standing: Standing) {
    let at = index(world, name);
    world.items[at].signature = Some(asks(standing));
}

#[test]
fn a_signature_is_waited_for_in_its_turn_and_counts_from_then_on() {
    let mut world =
        World::new(vec![item("application", &[]), training(&["application"]), item("after", &["training"])]);
    sign(&mut world, "training", given());
    world.pass(0);
    assert_eq!(world.state("training"), (ItemState::Pending, "DependenciesOpen"), "signed before its turn");
    sign(&mut world, "training", Standing::Missing);
    world.evidence("application", complete());
    let evaluation = world.pass(1);
    assert_eq!(world.state("training"), (ItemState::Waiting, SIGN_OFF_MISSING));
    assert_eq!(world.entry("training").owner, Party::Customer);
    assert_eq!(
        world.entry("training").message,
        "the customer's sign-off is missing: kubectl tenantry sign-off acme training"
    );
    assert_eq!(world.state("after").0, ItemState::Pending);
    assert_eq!(evaluation.deadline, None, "nobody signs faster for being timed out");
    sign(&mut world, "training", given());
    world.pass(9_000);
    assert_eq!(world.state("training"), (ItemState::Done, "SignedOff"));
    assert!(world.entry("training").message.starts_with("signed by cora on 2023-"));
    assert_eq!(world.state("after").0, ItemState::Running);
    world.evidence("application", Evidence { desired: 3, live: 2, ..Evidence::default() });
    world.pass(9_001);
    assert_eq!(world.state("training").0, ItemState::Done, "what was signed stays signed");
}

#[test]
fn a_signature_that_does_not_count_says_why() {
    let mut world = World::new(vec![training(&[])]);
    for (standing, reason, part) in [
        (
            Standing::Lapsed(signature(1)),
            SIGN_OFF_LAPSED,
            "what was signed has changed since; the customer signs again",
        ),
        (Standing::Unproven(signature(1)), SIGN_OFF_UNPROVEN, "without proof, which is asked for"),
        (Standing::Missing, SIGN_OFF_MISSING, "is missing"),
    ] {
        sign(&mut world, "training", standing);
        world.pass(0);
        assert_eq!(world.state("training"), (ItemState::Waiting, reason));
        assert!(world.entry("training").message.contains(part), "{}", world.entry("training").message);
        assert!(world.entry("training").sign_off.as_ref().unwrap().signature.is_none());
    }
    let wanted = world.items[0].signature.as_mut().unwrap();
    wanted.wanted.evidence_required = true;
    world.pass(0);
    assert!(world.entry("training").message.ends_with("sign-off acme training --document FILE"));
}

#[test]
fn a_confirmation_keeps_nobody_but_the_opening() {
    let network = ItemInput { signature: Some(asks(Standing::Missing)), ..item("network", &[]) };
    let mut world = World::new(vec![go_live(), network, item("application", &["network"])]);
    world.pass(0);
    assert_eq!(world.state("network"), (ItemState::Running, "ObjectsMissing"), "its own work comes first");
    world.evidence("network", complete());
    world.evidence("application", complete());
    let evaluation = world.pass(1);
    assert_eq!(world.state("network"), (ItemState::Waiting, CONFIRMATION_MISSING));
    assert_eq!(world.state("application").0, ItemState::Done);
    assert_eq!(world.entry("go-live").message, "waits for network");
    assert!(evaluation.released.contains("network") && !evaluation.released.contains("go-live"));
    sign(&mut world, "network", given());
    assert!(world.pass(2).released.contains("go-live"));
    assert_eq!(world.state("network"), (ItemState::Done, "ObjectsObserved"));
    // An open route stays open when what was confirmed changes.
    world.evidence("go-live", complete());
    sign(&mut world, "network", Standing::Lapsed(signature(1)));
    world.pass(3);
    assert_eq!(world.state("network"), (ItemState::Waiting, CONFIRMATION_MISSING));
    assert_eq!(world.state("go-live").0, ItemState::Done);
}

#[test]
fn what_is_held_keeps_what_it_has_and_gets_nothing_new() {
    let mut world = World::new(vec![item("network", &[]), item("application", &["network"])]);
    world.pass(0);
    world.items[0].hold = Some(Hold::Item("the customer asked".to_owned()));
    let evaluation = world.pass(1);
    assert_eq!(world.state("network"), (ItemState::Waiting, ON_HOLD));
    assert!(world.entry("network").message.contains("the customer asked"));
    assert!(evaluation.released.is_empty() && evaluation.held.contains("network"));
    assert_eq!(evaluation.deadline, None, "what waits for a person does not time out");
    world.evidence("network", complete());
    world.pass(2);
    assert_eq!(world.state("network").0, ItemState::Done, "what is there is there");
    assert!(world.pass(3).released.contains("application"));
    for item in &mut world.items {
        item.hold = Some(Hold::Subscription("migration".to_owned()));
    }
    assert!(world.pass(4).released.is_empty());
    assert_eq!(world.state("application"), (ItemState::Waiting, PAUSED));
    assert!(world.entry("application").message.contains("kubectl tenantry unpause acme"));
    world.items.iter_mut().for_each(|item| item.hold = None);
    world.pass(10_000);
    assert_eq!(world.state("application").0, ItemState::Running, "it has its whole time again");
}

#[test]
fn what_is_late_is_told_and_nothing_stops() {
    let mut world = World::new(vec![training(&[])]);
    world.items[0].due = Some(at(100));
    assert_eq!(world.pass(0).deadline, Some(at(100)));
    assert!(!world.entry("training").overdue);
    assert_eq!(world.entry("training").due, Some(time::time(at(100))));
    assert_eq!(world.pass(100).deadline, None);
    assert!(world.entry("training").overdue);
    assert_eq!(world.state("training").0, ItemState::Waiting);
    sign(&mut world, "training", given());
    world.pass(101);
    assert_eq!((world.entry("training").overdue, &world.entry("training").due), (false, &None));
}

#[test]
fn a_failure_that_may_be_passed_over_keeps_nobody() {
    let mut world =
        World::new(vec![item("monitoring", &[]), item("application", &["monitoring"]), go_live()]);
    world.items[0].on_failure = OnFailure::Continue;
    world.pass(0);
    assert_eq!(world.state("application").0, ItemState::Pending);
    world.pass(600);
    assert_eq!(world.state("monitoring"), (ItemState::Failed, TIMED_OUT));
    assert_eq!(world.state("application").0, ItemState::Running);
    world.evidence("application", complete());
    assert!(world.pass(601).released.contains("go-live"));
    world.items[0].on_failure = OnFailure::Stop;
    assert!(!world.pass(602).released.contains("go-live"));
}
