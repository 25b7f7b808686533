use super::*;
use crate::fixtures;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tenantry_crds::plan_change::Downgrade;
use tenantry_crds::quantity::Quantity;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Gold, from which one can go up to platinum and down to silver.
fn gold(effective: Option<DowngradeEffective>, months: Option<i32>) -> ServicePlanSpec {
    ServicePlanSpec {
        upgradable_to: vec!["platinum".to_owned()],
        downgradable_to: vec!["silver".to_owned()],
        term: months.map(|months| Term { months }),
        downgrade: effective.map(|effective| Downgrade { effective }),
        ..fixtures::plan()
    }
}

fn waiting(plan: &str, effective_at: &str) -> Pending {
    Pending {
        plan: plan.to_owned(),
        effective_at: at(effective_at),
        requested_at: at("2026-01-01T00:00:00Z"),
        generation: 3,
        waits_for: PlanChangeWait::TermEnd,
    }
}

/// A tenant of gold since the tenth, on the twentieth.
fn input<'a>(offer: &'a ServicePlanSpec, wished: &'a str) -> Input<'a> {
    Input {
        wished,
        current: Some("gold"),
        offer: Some(offer),
        pending: None,
        live_since: Some(at("2026-01-10T09:30:00Z")),
        generation: 7,
        now: at("2026-01-20T12:00:00.5Z"),
    }
}

fn later(plan: &str, effective_at: &str) -> Step {
    Step::Later(Pending {
        plan: plan.to_owned(),
        effective_at: at(effective_at),
        requested_at: at("2026-01-20T12:00:00Z"),
        generation: 7,
        waits_for: PlanChangeWait::TermEnd,
    })
}

#[test]
fn more_comes_at_once_and_less_when_the_term_ends_unless_the_plan_says_otherwise() {
    use DowngradeEffective::{Immediately, TermEnd};
    let cases = [
        ("gold", None, None, Step::Same),
        ("platinum", None, None, Step::Now(Direction::Upgrade)),
        ("platinum", Some(TermEnd), Some(12), Step::Now(Direction::Upgrade)),
        ("silver", None, None, later("silver", "2026-02-10T09:30:00Z")),
        ("silver", Some(TermEnd), Some(12), later("silver", "2027-01-10T09:30:00Z")),
        ("silver", Some(Immediately), Some(12), Step::Now(Direction::Downgrade)),
    ];
    for (wished, effective, months, expected) in cases {
        let offer = gold(effective, months);
        assert_eq!(step(&input(&offer, wished)), expected, "{wished} {effective:?} {months:?}");
    }
}

#[test]
fn who_runs_no_plan_or_is_not_live_waits_for_no_term() {
    let offer = gold(None, None);
    let ordered = Input { current: None, offer: None, ..input(&offer, "silver") };
    assert_eq!(step(&ordered), Step::Same);
    let not_live = Input { live_since: None, ..input(&offer, "silver") };
    assert_eq!(step(&not_live), Step::Now(Direction::Downgrade));
    let of_a_plan_that_is_gone = Input { offer: None, ..input(&offer, "silver") };
    assert_eq!(step(&of_a_plan_that_is_gone), Step::Now(Direction::Upgrade));
}

#[test]
fn what_is_not_on_offer_is_refused_with_what_is() {
    let offer = gold(None, None);
    let Step::NotOffered(problem) = step(&input(&offer, "bronze")) else { panic!("bronze is not on offer") };
    assert_eq!((problem.field.as_str(), problem.reason), (FIELD, NOT_OFFERED));
    for part in
        ["plan gold does not offer the change to bronze", "platinum (more)", "silver (less)", "or gold"]
    {
        assert!(problem.message.contains(part), "{part}: {}", problem.message);
    }
    let nothing = fixtures::plan();
    let Step::NotOffered(problem) = step(&input(&nothing, "silver")) else { panic!("nothing is on offer") };
    assert!(problem.message.contains("it offers no change"), "{}", problem.message);
}

#[test]
fn what_was_agreed_stands_until_the_customer_wants_something_else() {
    let offer = gold(None, None);
    let soon = waiting("silver", "2026-02-10T09:30:00Z");
    let due = waiting("silver", "2026-01-20T12:00:00Z");
    let with = |wished, pending: &Pending| Input { pending: Some(pending.clone()), ..input(&offer, wished) };
    assert_eq!(step(&with("silver", &soon)), Step::Waits(soon.clone()));
    assert_eq!(step(&with("silver", &due)), Step::Due(due.clone()));
    assert_eq!(step(&with("gold", &soon)), Step::Same, "reverted");
    assert_eq!(step(&with("platinum", &soon)), Step::Now(Direction::Upgrade));
    // Neither another term nor a plan that offers it no more moves what is on record.
    let nothing = fixtures::plan();
    assert_eq!(step(&Input { offer: Some(&nothing), ..with("silver", &soon) }), Step::Waits(soon));
}

#[test]
fn who_does_not_fit_stays_and_keeps_what_waits() {
    let (offer, before) = (gold(None, None), waiting("silver", "2026-02-10T09:30:00Z"));
    let stays = |pending: Option<&Pending>| Course { stays: true, pending: pending.cloned() };
    let goes = Course { stays: false, pending: None };
    let Step::NotOffered(problem) = step(&input(&offer, "bronze")) else { panic!("bronze is not on offer") };
    let other = waiting("bronze", "2026-03-01T00:00:00Z");
    // What it comes to where it fits, and where it does not, with something else waiting.
    let cases = [
        (Step::Same, &goes, &goes),
        (Step::Now(Direction::Upgrade), &goes, &stays(Some(&before))),
        (Step::Now(Direction::Downgrade), &goes, &stays(Some(&before))),
        (Step::Later(other.clone()), &stays(Some(&other)), &stays(Some(&before))),
        (Step::Waits(before.clone()), &stays(Some(&before)), &stays(Some(&before))),
        (Step::Due(before.clone()), &goes, &stays(Some(&before))),
        (Step::NotOffered(problem), &stays(Some(&before)), &stays(Some(&before))),
    ];
    for (step, fits, does_not) in cases {
        assert_eq!(&step.clone().course(Some(before.clone()), true), fits, "{step:?} fits");
        assert_eq!(&step.clone().course(Some(before.clone()), false), does_not, "{step:?} does not fit");
    }
    let refused = Step::Later(other).course(None, false);
    assert_eq!(refused, stays(None), "what is refused waits for nothing");
}

#[test]
fn a_term_ends_on_the_day_that_it_began() {
    let cases = [
        ("2026-01-10T09:30:00Z", 1, "2026-01-10T09:30:00Z", "2026-02-10T09:30:00Z"),
        ("2026-01-10T09:30:00Z", 1, "2026-02-10T09:29:59Z", "2026-02-10T09:30:00Z"),
        ("2026-01-10T09:30:00Z", 1, "2026-02-10T09:30:00Z", "2026-03-10T09:30:00Z"),
        ("2026-01-31T23:00:00Z", 1, "2026-02-01T00:00:00Z", "2026-02-28T23:00:00Z"),
        ("2026-01-31T23:00:00Z", 1, "2026-02-28T23:00:00Z", "2026-03-31T23:00:00Z"),
        ("2024-02-29T00:00:00Z", 12, "2024-06-01T00:00:00Z", "2025-02-28T00:00:00Z"),
        ("2024-02-29T00:00:00Z", 48, "2024-06-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("2026-01-10T09:30:00Z", 3, "2031-05-05T00:00:00Z", "2031-07-10T09:30:00Z"),
        // A clock that is behind: the first term is under way.
        ("2026-01-10T09:30:00Z", 3, "2025-05-05T00:00:00Z", "2026-04-10T09:30:00Z"),
    ];
    for (since, months, now, end) in cases {
        assert_eq!(term_end(at(since), Term { months }, at(now)), at(end), "{since} {months} {now}");
    }
    assert_eq!(term_end(Timestamp::MAX, Term { months: 60 }, Timestamp::MAX), Timestamp::MAX);
}

#[test]
fn a_status_says_what_waits_and_gives_it_back() {
    let accepted = AcceptedRevisions { plan: "gold@1-a".to_owned(), ..AcceptedRevisions::default() };
    let before = waiting("silver", "2026-02-10T09:30:00Z");
    let written = status(&accepted, Some(&before), &[]);
    assert_eq!(written.current, "gold");
    assert_eq!(pending(Some(&written)), Some(before.clone()));
    assert_eq!(pending(Some(&status(&accepted, None, &[]))), None);
    assert_eq!(pending(None), None);
    let told = told("gold", &before);
    assert!(told.contains("2026-02-10") && told.contains("set spec.planRef.name back to gold"), "{told}");
}

#[test]
fn plans_are_left_in_order_each_once_and_never_the_one_that_is_gone_to() {
    let accepted = |plan: &str| AcceptedRevisions { plan: plan.to_owned(), ..AcceptedRevisions::default() };
    let left = |before: &[&str], runs: &str, next: &str| {
        let before = before.iter().map(ToString::to_string).collect();
        let status = PlanStatus { leaving: before, ..PlanStatus::default() };
        leaving(Some(&status), Some(&accepted(runs)), next)
    };
    assert_eq!(leaving(None, None, "gold@1"), Vec::<String>::new());
    assert_eq!(left(&[], "gold@1", "gold@1"), Vec::<String>::new());
    assert_eq!(left(&[], "gold@1", "silver@1"), ["gold@1"]);
    assert_eq!(left(&["gold@1"], "silver@1", "silver@1"), ["gold@1"], "the same in the next look");
    assert_eq!(left(&["gold@1"], "silver@1", "gold@1"), ["silver@1"], "there and back");
    let many = ["a", "b", "c", "d", "e", "f", "g", "h"];
    assert_eq!(left(&many, "i", "j"), ["b", "c", "d", "e", "f", "g", "h", "i"]);
}

fn amounts(of: &[(&str, &str)]) -> Amounts {
    of.iter().map(|(name, amount)| ((*name).to_owned(), amount.parse().unwrap())).collect()
}

#[test]
fn what_is_in_use_and_has_no_room_is_named_with_what_to_do() {
    const STORAGE: &str = "fast.storageclass.storage.k8s.io/requests.storage";
    const VOLUMES: &str = "fast.storageclass.storage.k8s.io/persistentvolumeclaims";
    // In use, of that the order's own, what the order asks for under the other plan, what that has; and what is said.
    type Case<'a> = (
        &'a [(&'a str, &'a str)],
        &'a [(&'a str, &'a str)],
        &'a [(&'a str, &'a str)],
        &'a [(&'a str, &'a str)],
        &'a [&'a str],
    );
    let cases: [Case<'_>; 9] = [
        (&[], &[], &[], &[], &[]),
        (
            &[(STORAGE, "50Gi"), ("requests.storage", "50Gi")],
            &[],
            &[],
            &[(STORAGE, "50Gi"), ("requests.storage", "50Gi")],
            &[],
        ),
        (
            &[(STORAGE, "60Gi"), ("requests.storage", "60Gi")],
            &[],
            &[],
            &[(STORAGE, "50Gi"), ("requests.storage", "50Gi")],
            &["storage of class fast: 60Gi in use"],
        ),
        // Of a class that the plan does not have, not even an empty share counts.
        (&[(STORAGE, "0"), (VOLUMES, "1")], &[], &[], &[], &["volumes of class fast: 1 in use"]),
        // A new claim on top of those that stay.
        (
            &[(STORAGE, "40Gi")],
            &[(STORAGE, "40Gi")],
            &[(STORAGE, "55Gi")],
            &[(STORAGE, "50Gi")],
            &["55Gi with what is new under it"],
        ),
        // The order's own pods are replaced, so only what is in use besides counts.
        (&[("pods", "12")], &[("pods", "12")], &[("pods", "4")], &[("pods", "10")], &[]),
        (
            &[("pods", "19")],
            &[("pods", "12")],
            &[("pods", "4")],
            &[("pods", "10")],
            &["pods: 19 in use, 7 of that besides what the order asks for"],
        ),
        (
            &[("services.loadbalancers", "1")],
            &[],
            &[],
            &[("services.loadbalancers", "0")],
            &["load balancers: 1 in use"],
        ),
        (
            &[("services.nodeports", "2"), ("requests.cpu", "3")],
            &[],
            &[],
            &[("requests.cpu", "2")],
            &["cpu: 3 in use", "node ports: 2 in use"],
        ),
    ];
    for (used, own, wanted, allowed, said) in cases {
        let [used, own, wanted, allowed] = [used, own, wanted, allowed].map(amounts);
        let problems = excesses("silver", Use { used: &used, own: &own, wanted: &wanted, allowed: &allowed });
        assert_eq!(problems.len(), said.len(), "{used:?}: {problems:#?}");
        for (problem, part) in problems.iter().zip(said) {
            assert_eq!((problem.field.as_str(), problem.reason), (FIELD, DOES_NOT_FIT));
            assert!(problem.message.contains(part), "{part}: {}", problem.message);
            assert!(problem.message.contains("plan silver"), "{}", problem.message);
        }
    }
}

#[test]
fn an_order_that_is_too_large_for_a_plan_is_told_of_by_that_reason() {
    let problem = |reason| Problem::new("spec.users", reason, "why");
    let told = misfits(vec![problem("TooManyUsers"), problem("HostTaken"), problem("QuotaTooSmall")]);
    let reasons: Vec<&str> = told.iter().map(|problem| problem.reason).collect();
    assert_eq!(reasons, [DOES_NOT_FIT, "HostTaken", DOES_NOT_FIT]);
    assert!(told.iter().all(|problem| problem.message == "why" && problem.field == "spec.users"));
}

/// What happens to a subscription next.
#[derive(Clone, Debug)]
enum Event {
    /// The customer names a plan.
    Names(usize),
    /// Time passes.
    Passes(i64),
    /// What is in use fits a smaller plan from now on, or does not.
    Fits(bool),
    /// The controller looks, and what it finds is written before it crashes, or not.
    Looks { written: bool },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        2 => (0_usize..4).prop_map(Event::Names),
        2 => (1_i64..60 * 86_400).prop_map(Event::Passes),
        1 => any::<bool>().prop_map(Event::Fits),
        4 => any::<bool>().prop_map(|written| Event::Looks { written }),
    ];
    prop::collection::vec(event, 0..80)
}

const PLANS: [&str; 4] = ["silver", "gold", "platinum", "bronze"];

/// Each of three plans offers its neighbours; nobody offers bronze.
fn graph() -> BTreeMap<&'static str, ServicePlanSpec> {
    let plan = |up: &[&str], down: &[&str], months| ServicePlanSpec {
        upgradable_to: up.iter().map(ToString::to_string).collect(),
        downgradable_to: down.iter().map(ToString::to_string).collect(),
        term: Some(Term { months }),
        ..fixtures::plan()
    };
    BTreeMap::from([
        ("silver", plan(&["gold"], &[], 1)),
        ("gold", plan(&["platinum"], &["silver"], 1)),
        ("platinum", plan(&[], &["gold"], 12)),
    ])
}

proptest! {
    /// Whatever the customer names when, whoever crashes: a tenant only ever goes where its plan offered the way; it goes down no
    /// sooner than was promised and only while it fits; what was taken back does not come; and once everything is quiet the wish
    /// is fulfilled, or the tenant is where it was.
    #[test]
    fn nobody_goes_where_he_was_not_offered_or_sooner_than_he_was_told(events in events()) {
        let (graph, live) = (graph(), at("2026-01-31T10:00:00Z"));
        let (mut now, mut fits, mut generation) = (live, true, 1_i64);
        let (mut wished, mut current) = ("gold", "gold".to_owned());
        let mut waits: Option<Pending> = None;
        let quiet = [Event::Fits(true), Event::Looks { written: true }, Event::Passes(400 * 86_400), Event::Looks { written: true }];
        for event in events.into_iter().chain(quiet) {
            match event {
                Event::Names(plan) => {
                    wished = PLANS[plan];
                    generation += 1;
                }
                Event::Passes(seconds) => now += jiff::SignedDuration::from_secs(seconds),
                Event::Fits(does) => fits = does,
                Event::Looks { written } => {
                    let offer = graph.get(current.as_str());
                    let step = step(&Input {
                        wished, current: Some(&current), offer, pending: waits.clone(), live_since: Some(live), generation, now,
                    });
                    let course = step.clone().course(waits.clone(), fits);
                    if let Step::Later(pending) = &step {
                        prop_assert!(pending.effective_at > now && pending.plan == wished);
                    }
                    if !course.stays && wished != current {
                        let offered = offer.and_then(|offer| direction(offer, wished));
                        prop_assert!(offered.is_some(), "{} to {}", current, wished);
                        if offered == Some(Direction::Downgrade) {
                            prop_assert!(fits);
                            let promised = waits.as_ref().filter(|pending| pending.plan == wished);
                            prop_assert!(promised.is_some_and(|pending| pending.effective_at <= now));
                        }
                    }
                    if wished == current {
                        prop_assert_eq!(&course.pending, &None, "what was taken back waits no more");
                    }
                    if written {
                        if !course.stays {
                            wished.clone_into(&mut current);
                        }
                        waits = course.pending;
                    }
                }
            }
        }
        let is_offered = graph.get(current.as_str()).and_then(|offer| direction(offer, wished)).is_some();
        prop_assert!(wished == current || !is_offered, "{} wished under {}", wished, current);
    }

    /// A term has its whole length, ends after the present, and never later than the next one would.
    #[test]
    fn a_term_ends_after_the_present_and_no_later_than_it_lasts(
        since in 0_i64..4_000_000_000, passed in 0_i64..2_000_000_000, months in 1_i32..=60,
    ) {
        let (since, now) = (Timestamp::from_second(since).unwrap(), Timestamp::from_second(since + passed).unwrap());
        let end = term_end(since, Term { months }, now);
        prop_assert!(end > now);
        let zoned = |at: Timestamp| Offset::UTC.to_datetime(at);
        let before = zoned(end).checked_sub(Span::new().months(months)).unwrap();
        // The day of a short month may be earlier than that of the term before.
        prop_assert!(before <= zoned(now).checked_add(Span::new().days(3)).unwrap(), "{} {}", before, now);
        let of_month = |at: Timestamp| i64::from(zoned(at).year()) * 12 + i64::from(zoned(at).month());
        prop_assert_eq!((of_month(end) - of_month(since)) % i64::from(months), 0);
        prop_assert_eq!(zoned(end).time(), zoned(since).time());
        // Asked again at any time until then, the answer is the same.
        prop_assert_eq!(term_end(since, Term { months }, end - jiff::SignedDuration::from_secs(1)), end);
    }

    /// What fits goes on fitting when less is in use or the plan has more.
    #[test]
    fn less_use_and_a_larger_plan_fit_as_well(
        used in 0_i64..20, own in 0_i64..20, wanted in 0_i64..20, allowed in 0_i64..20, less in 0_i64..20, more in 0_i64..20,
    ) {
        for resource in ["pods", "requests.storage", "services.loadbalancers"] {
            let of = |count: i64| Amounts::from([(resource.to_owned(), Quantity::from_count(count))]);
            let fits = |used: i64, allowed: i64| {
                let (used, own, wanted, allowed) = (of(used), of(own), of(wanted), of(allowed));
                excesses("silver", Use { used: &used, own: &own, wanted: &wanted, allowed: &allowed }).is_empty()
            };
            if fits(used, allowed) {
                prop_assert!(fits((used - less).max(0), allowed));
                prop_assert!(fits(used, allowed + more));
            }
        }
    }
}

/// Saturdays from 22:00 to 02:00 in UTC; the twentieth of January 2026 is a Tuesday.
fn saturdays() -> Windows {
    let window = serde_json::json!({"schedule": "0 22 * * SAT", "duration": "4h"});
    Windows::of(&[serde_json::from_value(window).unwrap()]).unwrap()
}

#[test]
fn what_interrupts_begins_in_a_window() {
    let gold = gold(None, None);
    let window = |effective_at: &str| Pending {
        waits_for: PlanChangeWait::MaintenanceWindow,
        requested_at: at("2026-01-20T12:00:00Z"),
        generation: 7,
        ..waiting("platinum", effective_at)
    };
    let input = input(&gold, "platinum");
    let saturday = "2026-01-24T22:00:00Z";
    let now = Step::Now(Direction::Upgrade);
    assert_eq!(now.clone().within(&saturdays(), &input), Step::Later(window(saturday)));
    assert_eq!(
        now.clone().within(&Windows::default(), &input),
        now,
        "who has no windows may be worked on at any time"
    );
    let open = Input { now: at("2026-01-24T23:59:59Z"), ..input.clone() };
    assert_eq!(now.clone().within(&saturdays(), &open), now);
    // The end of the term, and then the first window.
    let later = Step::Later(waiting("silver", "2026-02-10T09:30:00Z"));
    assert_eq!(
        later.within(&saturdays(), &input),
        Step::Later(waiting("silver", "2026-02-14T22:00:00Z")),
        "money changes at the same instant"
    );
    // Nobody was there while its window was open, or it did not fit.
    let missed = Step::Due(waiting("silver", "2026-01-17T22:00:00Z"));
    let put_off = Pending { waits_for: PlanChangeWait::MaintenanceWindow, ..waiting("silver", saturday) };
    assert_eq!(missed.clone().within(&saturdays(), &input), Step::Waits(put_off));
    assert_eq!(missed.clone().within(&saturdays(), &open), missed);
}

#[test]
fn what_waits_for_a_window_follows_the_windows() {
    let waits = |effective_at: &str| {
        let waits_for = PlanChangeWait::MaintenanceWindow;
        Pending { waits_for, ..waiting("platinum", effective_at) }
    };
    let saturday = waits("2026-01-24T22:00:00Z");
    let (tuesday, in_it) = (at("2026-01-20T12:00:00Z"), at("2026-01-24T22:30:00Z"));
    for (step, windows, now, expected) in [
        (Step::Waits(saturday.clone()), saturdays(), tuesday, Step::Waits(saturday.clone())),
        (Step::Due(saturday.clone()), saturdays(), in_it, Step::Due(saturday.clone())),
        // The customer took the windows away, or changed them.
        (Step::Waits(saturday.clone()), Windows::default(), tuesday, Step::Due(saturday.clone())),
        (Step::Waits(waits("2026-06-01T00:00:00Z")), saturdays(), tuesday, Step::Waits(saturday.clone())),
        // It was missed.
        (Step::Due(waits("2026-01-17T22:00:00Z")), saturdays(), tuesday, Step::Waits(saturday)),
        // The end of a term is nobody's to move.
        (
            Step::Waits(waiting("silver", "2026-02-10T09:30:00Z")),
            Windows::default(),
            tuesday,
            Step::Waits(waiting("silver", "2026-02-10T09:30:00Z")),
        ),
    ] {
        assert_eq!(step.clone().reconsidered(&windows, now), expected, "{step:?}");
    }
}
