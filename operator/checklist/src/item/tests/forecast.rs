use super::*;
use crate::sign_off::{Standing, Wanted};

fn seconds(count: i64) -> SignedDuration {
    SignedDuration::from_secs(count)
}

/// Security, an application behind it that the customer confirms, a training behind that, and the opening.
fn world() -> World {
    let takes = |machine, people| Estimate { machine: seconds(machine), people: seconds(people) };
    let signature = || {
        let wanted = Wanted { party: Party::Customer, evidence_required: false, digest: "d1".to_owned() };
        Some(SignatureInput { wanted, standing: Standing::Missing })
    };
    let mut go_live = item("go-live", &["application"]);
    go_live.kind = Kind::GoLive { not_before: None };
    go_live.category = Category::GoLive;
    go_live.estimate = takes(5, 0);
    World::new(vec![
        ItemInput { estimate: takes(10, 0), ..item("security", &[]) },
        ItemInput {
            estimate: takes(60, 3_600),
            signature: signature(),
            ..item("application", &["security"])
        },
        ItemInput {
            kind: Kind::SignOff,
            estimate: takes(0, 7_200),
            signature: signature(),
            evidence: Evidence::default(),
            ..item("training", &["application"])
        },
        go_live,
    ])
}

#[test]
fn a_new_checklist_is_as_long_as_its_longest_way() {
    let mut world = world();
    let forecast = world.pass(0).forecast;
    assert_eq!(forecast.length, crate::forecast::Length { machine: seconds(75), people: seconds(7_200) });
    // Security has begun, and everything else is ahead.
    assert_eq!(forecast.completion, Some(at(10 + 60 + 7_200 + 5)));
    assert_eq!(world.entry("application").estimated_seconds, Some(3_660));
}

#[test]
fn what_does_not_apply_takes_no_time_and_who_is_not_asked_is_not_waited_for() {
    let mut world = world();
    world.items[2].skipped = Some("no training was ordered".to_owned());
    world.items[1].signature = None;
    let forecast = world.pass(0).forecast;
    assert_eq!(forecast.length, crate::forecast::Length { machine: seconds(75), people: seconds(0) });
    assert_eq!(world.entry("training").estimated_seconds, None);
    assert_eq!(world.entry("application").estimated_seconds, Some(60));
}

#[test]
fn the_completion_follows_what_happens() {
    let mut world = world();
    world.pass(0);
    world.items[0].evidence = complete();
    assert_eq!(world.pass(4).forecast.completion, Some(at(4 + 60 + 7_200 + 5)));
    world.items[1].evidence = complete();
    let asked = world.pass(30).forecast.completion;
    assert_eq!(asked, Some(at(30 + 7_200 + 5)), "the training was asked for, and the confirmation is");
    world.items[2].hold = Some(Hold::Item("the trainer is ill".to_owned()));
    assert_eq!(world.pass(40).forecast.completion, None, "while something is held nobody can say");
    world.items[2].hold = None;
    world.items[0].evidence = refusal(50);
    for _ in 0..3 {
        world.pass(50);
        world.items[0].evidence = refusal(500);
    }
    assert!(world.pass(600).forecast.completion.is_some(), "it is tried again");
}

#[test]
fn what_it_took_is_the_longest_way_through_what_happened() {
    let mut world = world();
    assert_eq!(world.pass(0).forecast.took, None);
    world.items[0].evidence = complete();
    world.pass(4);
    world.items[1].evidence = complete();
    assert_eq!(world.pass(30).forecast.took, None, "people are waited for");
    let signed = |item: &mut ItemInput| {
        if let Some(signature) = &mut item.signature {
            signature.standing = super::people::given();
        }
    };
    world.items.iter_mut().for_each(signed);
    world.pass(1_030);
    world.items[3].evidence = complete();
    let took = world.pass(1_033).forecast.took;
    // 4 s and 26 s of work, 3 s to open; the confirmation and the training took 1000 s side by side.
    assert_eq!(took, Some(crate::forecast::Length { machine: seconds(33), people: seconds(1_000) }));
}

#[test]
fn what_is_learned_is_promised_beside_what_nine_of_ten_keep() {
    let mut world = world();
    assert_eq!(world.pass(0).forecast.nine_of_ten, None);
    world.items[0].nine_of_ten = Some(Estimate::of_seconds(40, 0));
    let forecast = world.pass(1).forecast;
    assert_eq!(forecast.length.machine, seconds(75));
    assert_eq!(forecast.nine_of_ten.map(|length| length.machine), Some(seconds(105)));
    // What was said stays, while the journal learns on.
    world.items[0].estimate = Estimate::of_seconds(20, 0);
    world.pass(2);
    assert_eq!(world.entry("security").estimated_seconds, Some(10));
    // Found by the fault harness: of an item without an estimate nothing was said, and that stays as well.
    world.items[0].estimate = Estimate::default();
    world.items[0].nine_of_ten = None;
    world.items[0].input_digest = "another".to_owned();
    world.pass(3);
    assert_eq!(world.entry("security").estimated_seconds, None);
    world.items[0].estimate = Estimate::of_seconds(20, 0);
    world.items[0].nine_of_ten = Some(Estimate::of_seconds(40, 0));
    world.pass(4);
    assert_eq!(world.entry("security").estimated_seconds, None);
}

#[test]
fn of_what_is_over_nobody_asks_how_long_it_takes() {
    let mut world = world();
    let under_way = world.pass(0);
    let input = EvaluateInput {
        subscription: "acme",
        items: &world.items,
        previous: &under_way.entries,
        retry: None,
        observed_retry: None,
        is_over: true,
        now: at(0),
    };
    let over = evaluate(&input).unwrap();
    assert_ne!(under_way.forecast, Forecast::default());
    assert_eq!(over, Evaluation { forecast: Forecast::default(), ..under_way });
}

#[test]
fn an_agreed_time_moves_the_completion_and_is_no_work() {
    let mut world = world();
    world.items[3].kind = Kind::GoLive { not_before: Some(at(100_000)) };
    let forecast = world.pass(0).forecast;
    assert_eq!(forecast.completion, Some(at(100_005)));
    assert_eq!(forecast.not_before, Some(at(100_000)));
    assert_eq!(forecast.length.machine, seconds(75));
}
