use super::*;
use proptest::prelude::*;

const HOUR: i64 = 3_600;

fn seconds(count: i64) -> SignedDuration {
    SignedDuration::from_secs(count)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A step with its machine's and its people's seconds.
fn step<'a>(name: &'a str, depends_on: &'a [String], machine: i64, people: i64) -> Step<'a> {
    Step {
        name,
        depends_on,
        estimate: Estimate { machine: seconds(machine), people: seconds(people) },
        waits_for_people: false,
        not_before: None,
        progress: Progress::Ahead,
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn what_goes_on_side_by_side_takes_as_long_as_the_longest_way() {
    let (on_a, on_b_and_c) = (names(&["a"]), names(&["b", "c"]));
    let steps = [
        step("a", &[], 10, 0),
        step("b", &on_a, 60, 0),
        step("c", &on_a, 20, 0),
        step("d", &on_b_and_c, 5, 0),
    ];
    assert_eq!(length(&steps), Length { machine: seconds(75), people: SignedDuration::ZERO });
    assert_eq!(completion(&steps, at(1_000)), Some(at(1_075)));
}

#[test]
fn people_are_apart_and_only_count_where_they_are_waited_for() {
    let (on_a, on_both) = (names(&["a"]), names(&["a", "training"]));
    // The confirmation of `a` keeps only who waits for people; the training is signed while the machines go on.
    let mut open = step("open", &on_both, 5, 0);
    open.waits_for_people = true;
    let steps =
        [step("a", &[], 10, HOUR), step("b", &on_a, 60, 0), step("training", &on_a, 0, 2 * HOUR), open];
    assert_eq!(length(&steps), Length { machine: seconds(70), people: seconds(10 + 2 * HOUR + 5 - 70) });
}

#[test]
fn a_completion_counts_what_is_done_and_what_takes_longer_than_usual() {
    let on_a = names(&["a"]);
    let completion_with = |progress| {
        let mut steps = [step("a", &[], 100, 0), step("b", &on_a, 50, 0)];
        steps[0].progress = progress;
        completion(&steps, at(1_000))
    };
    for (progress, expected) in [
        (Progress::Ahead, Some(1_150)),
        (Progress::Working(at(960)), Some(1_110)),
        (Progress::Working(at(500)), Some(1_050)),
        (Progress::Closed, Some(1_050)),
        (Progress::Stuck, None),
    ] {
        assert_eq!(completion_with(progress), expected.map(at), "{progress:?}");
    }
}

#[test]
fn who_is_waited_for_has_usually_so_long_from_when_he_was_asked() {
    let mut asked = step("training", &[], 0, 600);
    asked.progress = Progress::WaitingForPeople(at(900));
    assert_eq!(completion(&[asked.clone()], at(1_000)), Some(at(1_500)));
    assert_eq!(completion(&[asked], at(9_000)), Some(at(9_000)));
}

#[test]
fn nothing_opens_before_the_agreed_time() {
    let mut open = step("open", &[], 5, 0);
    open.not_before = Some(at(5_000));
    assert_eq!(completion(&[open.clone()], at(1_000)), Some(at(5_005)));
    assert_eq!(completion(&[open], at(6_000)), Some(at(6_005)));
}

#[test]
fn an_items_estimate_is_its_machines_or_its_peoples() {
    use tenantry_crds::blueprint::{Confirmation, SignOffAction};
    let item = |sign_off: bool, confirm: Option<&str>| Item {
        estimate: Some("2m".to_owned()),
        sign_off: sign_off.then(SignOffAction::default),
        confirm: confirm
            .map(|estimate| Confirmation { estimate: Some(estimate.to_owned()), ..Confirmation::default() }),
        ..Item::default()
    };
    let estimate = |machine, people| Estimate { machine: seconds(machine), people: seconds(people) };
    assert_eq!(Estimate::of(&item(false, None)).unwrap(), estimate(120, 0));
    assert_eq!(Estimate::of(&item(true, None)).unwrap(), estimate(0, 120));
    assert_eq!(Estimate::of(&item(false, Some("1h"))).unwrap(), estimate(120, HOUR));
    assert_eq!(Estimate::of(&Item::default()).unwrap(), Estimate::default());
}

proptest! {
    /// Steps wait for earlier ones only, so they have an order.
    #[test]
    fn a_forecast_is_never_earlier_than_now_and_progress_never_makes_it_later(
        estimates in prop::collection::vec((0_i64..1_000, 0_i64..1_000), 1..12),
        waits in prop::collection::vec(any::<u16>(), 12),
        done in 0_usize..12,
    ) {
        let all: Vec<String> = (0..estimates.len()).map(|number| format!("s{number}")).collect();
        let depends: Vec<Vec<String>> = (0..estimates.len())
            .map(|number| (0..number).filter(|before| waits[number] >> before & 1 == 1).map(|at| all[at].clone()).collect())
            .collect();
        let mut steps: Vec<Step<'_>> = estimates
            .iter()
            .enumerate()
            .map(|(number, (machine, people))| step(&all[number], &depends[number], *machine, *people))
            .collect();
        let whole = length(&steps);
        let sum: i64 = estimates.iter().map(|(machine, people)| machine + people).sum();
        prop_assert!(whole.machine.as_secs() + whole.people.as_secs() <= sum);
        prop_assert!(!whole.people.is_negative());
        let before = completion(&steps, at(10_000)).unwrap();
        prop_assert_eq!(before, at(10_000) + whole.machine + whole.people);
        steps.iter_mut().take(done).for_each(|step| step.progress = Progress::Closed);
        prop_assert!(completion(&steps, at(10_000)).unwrap() <= before);
    }
}

#[test]
fn lengths_beyond_all_reason_do_not_overflow() {
    let longest = SignedDuration::MAX;
    let on_a = names(&["a"]);
    let mut steps = [step("a", &[], 0, 0), step("b", &on_a, 0, 0)];
    for step in &mut steps {
        step.estimate = Estimate { machine: longest, people: longest };
    }
    assert_eq!(length(&steps), Length { machine: longest, people: SignedDuration::ZERO });
    assert_eq!(completion(&steps, at(0)), Some(Timestamp::MAX));
    assert_eq!(steps[0].estimate.whole(), longest);
}
