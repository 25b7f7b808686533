use super::*;
use crate::time;
use proptest::prelude::*;

mod conclusion;
mod forecast;
mod jobs;
mod people;
mod properties;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn item(name: &str, depends_on: &[&str]) -> ItemInput {
    ItemInput {
        name: name.to_owned(),
        category: Category::Network,
        owner: Party::Provider,
        kind: Kind::Objects,
        depends_on: depends_on.iter().map(|name| (*name).to_owned()).collect(),
        skipped: None,
        input_digest: "d1".to_owned(),
        evidence: Evidence { desired: 3, ..Evidence::default() },
        timeout: MINUTE * 10,
        retry: RetryPolicy { attempts: 3, backoff: SignedDuration::from_secs(5) },
        frozen: false,
        hold: None,
        signature: None,
        job: None,
        note: None,
        due: None,
        on_failure: OnFailure::Stop,
        estimate: Estimate::default(),
        nine_of_ten: None,
    }
}

fn complete() -> Evidence {
    Evidence { desired: 3, live: 3, ..Evidence::default() }
}

fn refusal(seconds: i64) -> Evidence {
    let message = "the quota does not allow it".to_owned();
    let failure =
        ItemFailure { definitive: true, reason: "QuotaExceeded".to_owned(), message, at: at(seconds) };
    Evidence { failure: Some(failure), desired: 3, ..Evidence::default() }
}

/// One subscription whose checklist is evaluated again and again.
#[derive(Clone)]
struct World {
    items: Vec<ItemInput>,
    entries: Vec<ChecklistEntry>,
    observed_retry: Option<String>,
    retry: Option<String>,
}

impl World {
    fn new(items: Vec<ItemInput>) -> Self {
        Self { items, entries: Vec::new(), observed_retry: None, retry: None }
    }

    fn pass(&mut self, seconds: i64) -> Evaluation {
        let run = |entries: &[ChecklistEntry], observed: Option<&str>| {
            let input = EvaluateInput {
                subscription: "acme",
                items: &self.items,
                previous: entries,
                retry: self.retry.as_deref(),
                observed_retry: observed,
                is_over: false,
                now: at(seconds),
            };
            evaluate(&input).unwrap()
        };
        let evaluation = run(&self.entries, self.observed_retry.as_deref());
        assert_eq!(
            run(&evaluation.entries, evaluation.observed_retry.as_deref()),
            evaluation,
            "not idempotent"
        );
        self.entries.clone_from(&evaluation.entries);
        self.observed_retry.clone_from(&evaluation.observed_retry);
        for (item, entry) in self.items.iter_mut().zip(&self.entries) {
            if entry.state == ItemState::Done {
                item.evidence.failure = None;
            }
        }
        evaluation
    }

    /// State and reason of one item.
    fn state(&self, name: &str) -> (ItemState, &str) {
        let entry = self.entry(name);
        (entry.state, entry.reason.as_str())
    }

    fn entry(&self, name: &str) -> &ChecklistEntry {
        self.entries.iter().find(|entry| entry.name == name).unwrap()
    }

    fn evidence(&mut self, name: &str, evidence: Evidence) {
        self.items.iter_mut().find(|item| item.name == name).unwrap().evidence = evidence;
    }
}

#[test]
fn items_start_when_what_they_wait_for_is_done() {
    let mut world = World::new(vec![item("c", &["b"]), item("b", &["a"]), item("a", &[])]);
    let evaluation = world.pass(0);
    assert_eq!(evaluation.released, BTreeSet::from(["a".to_owned()]));
    assert_eq!(world.state("a"), (ItemState::Running, "ObjectsMissing"));
    assert_eq!(world.state("b"), (ItemState::Pending, "DependenciesOpen"));
    assert_eq!(world.entry("b").message, "waits for a");
    assert_eq!(evaluation.deadline, Some(at(600)));
    world.evidence("a", complete());
    assert_eq!(world.pass(1).released, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    assert_eq!(world.state("a"), (ItemState::Done, "ObjectsObserved"));
    assert_eq!(world.entry("a").objects, 3);
    assert_eq!(world.state("b").0, ItemState::Running);
    assert_eq!(evaluation.entries.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["c", "b", "a"]);
}

#[test]
fn skipped_items_count_as_done_for_others() {
    let mut world = World::new(vec![item("a", &[]), item("b", &["a"])]);
    world.items[0].skipped = Some("the order has no hosts".to_owned());
    assert_eq!(world.pass(0).released, BTreeSet::from(["b".to_owned()]));
    assert_eq!(world.state("a"), (ItemState::Skipped, "NotNeeded"));
    assert_eq!(world.entry("a").message, "the order has no hosts");
}

#[test]
fn nothing_to_show_is_done_only_in_its_turn() {
    let mut world = World::new(vec![item("a", &[]), item("check", &["a"])]);
    world.items[1].kind = Kind::Check;
    world.evidence("check", Evidence::default());
    world.pass(0);
    assert_eq!(world.state("check").0, ItemState::Pending);
    world.evidence("a", complete());
    world.pass(1);
    assert_eq!(world.state("check"), (ItemState::Done, "OrderValid"));
}

#[test]
fn kinds_that_are_not_installed_are_named() {
    let mut world = World::new(vec![item("monitoring", &[])]);
    world.evidence(
        "monitoring",
        Evidence { missing_kinds: vec!["ServiceMonitor".to_owned()], ..Evidence::default() },
    );
    world.pass(0);
    assert_eq!(world.state("monitoring"), (ItemState::Done, "NotInstalled"));
    assert!(world.entry("monitoring").message.contains("without ServiceMonitor"));
}

#[test]
fn refusals_are_counted_once_each_and_the_wait_doubles() {
    let mut world = World::new(vec![item("a", &[])]);
    world.pass(0);
    for (pass, failed_at, attempts, next, released) in [
        (1, 1, 1, Some(6), false),
        (3, 1, 1, Some(6), false),
        (6, 1, 1, Some(6), true),
        (7, 7, 2, Some(17), false),
        (17, 7, 2, Some(17), true),
        (18, 18, 3, None, false),
        (9_999, 18, 3, None, false),
    ] {
        world.evidence("a", refusal(failed_at));
        let evaluation = world.pass(pass);
        let entry = world.entry("a");
        assert_eq!(
            (entry.attempts, entry.next_retry_at.as_ref().map(time::instant)),
            (attempts, next.map(at)),
            "{pass}"
        );
        assert_eq!(evaluation.released.contains("a"), released, "{pass}");
    }
    assert_eq!(world.state("a"), (ItemState::Failed, ATTEMPTS_EXHAUSTED));
    assert_eq!(
        world.entry("a").message,
        "the quota does not allow it; refused 3 times: correct it, then run kubectl tenantry retry acme a"
    );
    // A restart forgets what the last refusal said, and nothing else.
    world.evidence("a", Evidence { desired: 3, ..Evidence::default() });
    assert!(world.pass(10_000).released.is_empty());
    assert!(world.entry("a").message.contains("quota"));
}

#[test]
fn what_was_refused_before_an_item_was_done_counts_no_more() {
    let mut world = World::new(vec![item("a", &[])]);
    world.pass(0);
    world.evidence("a", refusal(1));
    world.pass(1);
    world.evidence("a", complete());
    world.pass(6);
    assert_eq!(
        (world.state("a").0, world.entry("a").attempts),
        (ItemState::Done, 1),
        "it is told what it took"
    );
    // Opened again, such as by somebody who removed an object, and refused: once, and no more than once.
    for second in [10, 11] {
        world.evidence("a", refusal(10));
        world.pass(second);
        let entry = world.entry("a");
        assert_eq!((entry.state, entry.attempts), (ItemState::Running, 1));
        assert_eq!(entry.next_retry_at.as_ref().map(time::instant), Some(at(15)));
    }
}

#[test]
fn the_wait_and_its_message_survive_a_restart() {
    let mut world = World::new(vec![item("a", &[])]);
    world.evidence("a", refusal(0));
    world.pass(0);
    let before = world.entries.clone();
    world.evidence("a", Evidence { desired: 3, ..Evidence::default() });
    let evaluation = world.pass(2);
    assert_eq!(world.entries, before);
    assert!(evaluation.released.is_empty());
    assert_eq!(evaluation.deadline, Some(at(5)));
    assert!(world.pass(5).released.contains("a"));
}

#[test]
fn a_clock_that_is_put_back_makes_no_longer_wait() {
    let mut world = World::new(vec![item("a", &[])]);
    world.evidence("a", refusal(10_000));
    world.pass(10_000);
    assert_eq!(world.entry("a").next_retry_at.as_ref().map(time::instant), Some(at(10_005)));
    world.evidence("a", Evidence { desired: 3, ..Evidence::default() });
    let evaluation = world.pass(100);
    assert_eq!((evaluation.deadline, evaluation.released.len()), (Some(at(105)), 0));
    let said = format!("refused 1 of 3 times, tried again at {}", time::readable(at(105)));
    assert!(world.entry("a").message.ends_with(&said), "{}", world.entry("a").message);
    assert_eq!(world.pass(102).deadline, Some(at(105)), "it is put off no further");
    assert!(world.pass(105).released.contains("a"));
    world.evidence("a", refusal(105));
    world.pass(105);
    let entry = world.entry("a");
    assert_eq!((entry.attempts, entry.next_retry_at.as_ref().map(time::instant)), (2, Some(at(115))));
}

#[test]
fn outages_are_not_counted() {
    let mut world = World::new(vec![item("a", &[])]);
    for second in 0..20 {
        let mut evidence = refusal(second);
        evidence.failure.as_mut().unwrap().definitive = false;
        world.evidence("a", evidence);
        assert!(world.pass(second).released.contains("a"));
        assert_eq!((world.entry("a").attempts, world.state("a").0), (0, ItemState::Running));
    }
}

fn exhausted() -> World {
    let mut world = World::new(vec![item("a", &[]), item("b", &[])]);
    for second in [0, 10, 30] {
        world.evidence("a", refusal(second));
        world.evidence("b", refusal(second));
        world.pass(second);
    }
    assert_eq!(world.state("a").0, ItemState::Failed);
    world
}

#[test]
fn a_changed_input_starts_anew() {
    let mut world = exhausted();
    world.items[0].input_digest = "d2".to_owned();
    assert_eq!(world.pass(31).released, BTreeSet::from(["a".to_owned()]));
    assert_eq!((world.state("a").0, world.entry("a").attempts), (ItemState::Running, 0));
    assert_eq!(world.state("b").0, ItemState::Failed);
}

#[test]
fn a_person_can_ask_for_one_item_or_all() {
    for (request, items) in [("a@1", vec!["a"]), ("@1", vec!["a", "b"]), ("other@1", vec![])] {
        let mut world = exhausted();
        world.retry = Some(request.to_owned());
        let evaluation = world.pass(40);
        assert_eq!(evaluation.released.iter().map(String::as_str).collect::<Vec<_>>(), items, "{request}");
        assert_eq!(evaluation.observed_retry.as_deref(), Some(request));
        // The same request again means nothing, a new one does.
        for name in ["a", "b"] {
            world.evidence(name, refusal(41));
        }
        world.pass(41);
        assert!(
            world
                .entries
                .iter()
                .all(|entry| entry.attempts == if items.contains(&entry.name.as_str()) { 1 } else { 3 })
        );
    }
}

#[test]
fn evidence_wins_over_every_failure() {
    let mut world = exhausted();
    world.evidence("a", complete());
    world.pass(50);
    assert_eq!(world.state("a").0, ItemState::Done);
    // When it drifts it may act at once, and has all its attempts: what ended it before is over.
    world.evidence("a", Evidence { desired: 3, live: 2, ..Evidence::default() });
    assert!(world.pass(60).released.contains("a"));
    assert_eq!((world.state("a").0, world.entry("a").attempts), (ItemState::Running, 0));
    world.evidence("a", refusal(61));
    world.pass(61);
    assert_eq!((world.state("a").0, world.entry("a").attempts), (ItemState::Running, 1));
}

#[test]
fn a_timeout_fails_the_item_and_evidence_recovers_it() {
    let mut world = World::new(vec![item("a", &[])]);
    world.evidence("a", Evidence { live: 1, ..refusal(0) });
    world.evidence("a", Evidence { desired: 3, live: 1, ..Evidence::default() });
    assert_eq!(world.pass(0).deadline, Some(at(600)));
    world.pass(599);
    assert_eq!(world.state("a").0, ItemState::Running);
    // It may still act: repair goes on.
    assert!(world.pass(600).released.contains("a"));
    assert_eq!(world.state("a"), (ItemState::Failed, TIMED_OUT));
    assert!(world.entry("a").message.contains("1 of 3 objects are there"), "{}", world.entry("a").message);
    world.pass(5_000);
    assert_eq!(world.state("a"), (ItemState::Failed, TIMED_OUT));
    world.evidence("a", complete());
    world.pass(5_001);
    assert_eq!(world.state("a").0, ItemState::Done);
    // Lost again, it has its whole time again.
    world.evidence("a", Evidence { desired: 3, live: 2, ..Evidence::default() });
    assert_eq!(world.pass(6_000).deadline, Some(at(6_600)));
    assert_eq!(world.state("a").0, ItemState::Running);
}

#[test]
fn a_retry_gives_a_running_item_its_whole_time_again() {
    let mut world = World::new(vec![item("a", &[])]);
    world.pass(0);
    world.retry = Some("@1".to_owned());
    assert_eq!(world.pass(500).deadline, Some(at(1_100)));
    assert_eq!(time::instant(&world.entry("a").since), at(0));
}

#[test]
fn unhealthy_objects_are_named_and_hopeless_ones_fail() {
    let mut world = World::new(vec![item("a", &[])]);
    let object = |failed| Unhealthy {
        object: "Deployment web".to_owned(),
        reason: "ProgressDeadlineExceeded".to_owned(),
        failed,
    };
    world.evidence("a", Evidence { unhealthy: vec![object(false)], ..complete() });
    world.pass(0);
    assert_eq!(world.state("a"), (ItemState::Running, "ObjectsNotReady"));
    assert_eq!(world.entry("a").message, "waits for Deployment web (ProgressDeadlineExceeded)");
    world.evidence("a", Evidence { unhealthy: vec![object(true)], ..complete() });
    world.pass(1);
    assert_eq!(world.state("a"), (ItemState::Failed, "ObjectFailed"));
    world.evidence("a", Evidence { unhealthy: vec![object(false)], ..complete() });
    world.pass(2);
    assert_eq!(world.state("a").0, ItemState::Running);
}

#[test]
fn waiting_for_something_outside_is_no_failure_and_takes_no_time() {
    let mut world = World::new(vec![item("a", &[])]);
    let waiting =
        Waiting { reason: "KindNotInstalled".to_owned(), message: "install the kind Route".to_owned() };
    world.evidence("a", Evidence { desired: 3, live: 2, waiting: Some(waiting), ..Evidence::default() });
    assert_eq!(world.pass(0).deadline, None);
    world.pass(5_000);
    assert_eq!(world.state("a"), (ItemState::Waiting, "KindNotInstalled"));
    world.evidence("a", complete());
    world.pass(5_001);
    assert_eq!(world.state("a").0, ItemState::Done);
}

/// An application that restarts does not keep a lost object of a later item from being repaired, but one that is not
/// there at all does: whatever guards a later item has to exist first.
#[test]
fn a_started_item_needs_its_dependencies_to_exist_but_not_to_be_healthy() {
    let mut world = World::new(vec![item("guard", &[]), item("people", &["guard"])]);
    world.evidence("guard", complete());
    world.evidence("people", complete());
    world.pass(0);
    let sick =
        Unhealthy { object: "Deployment web".to_owned(), reason: "NotReady".to_owned(), failed: false };
    world.evidence("guard", Evidence { unhealthy: vec![sick], ..complete() });
    world.evidence("people", Evidence { desired: 3, live: 2, ..Evidence::default() });
    assert!(world.pass(1).released.contains("people"));
    world.evidence("guard", Evidence { desired: 3, live: 2, ..Evidence::default() });
    assert!(!world.pass(2).released.contains("people"));
    // With a changed input it has to wait for health as well.
    world.evidence(
        "guard",
        Evidence {
            unhealthy: vec![Unhealthy { object: "x".to_owned(), reason: "y".to_owned(), failed: false }],
            ..complete()
        },
    );
    world.items[1].input_digest = "d2".to_owned();
    assert!(!world.pass(3).released.contains("people"));
    assert_eq!(world.state("people").0, ItemState::Pending);
}

fn gate(not_before: Option<i64>) -> ItemInput {
    let kind = Kind::GoLive { not_before: not_before.map(at) };
    ItemInput { kind, category: Category::GoLive, ..item("go-live", &[]) }
}

#[test]
fn going_live_waits_for_everything_and_for_its_time() {
    let mut world = World::new(vec![gate(Some(100)), item("a", &[])]);
    world.pass(0);
    assert_eq!(world.entry("go-live").message, "waits for a");
    world.evidence("a", complete());
    let evaluation = world.pass(1);
    assert_eq!(world.state("go-live"), (ItemState::Waiting, NOT_BEFORE));
    assert!(world.entry("go-live").message.contains(&time::readable(at(100))));
    assert_eq!(evaluation.deadline, Some(at(100)));
    assert!(!evaluation.released.contains("go-live"));
    assert!(world.pass(100).released.contains("go-live"));
    world.evidence("go-live", complete());
    world.pass(101);
    assert_eq!(world.state("go-live").0, ItemState::Done);
    // The time moves after the route opened: it stays open and is repaired.
    world.items[0].kind = Kind::GoLive { not_before: Some(at(9_000)) };
    world.evidence("go-live", Evidence { desired: 3, live: 2, ..Evidence::default() });
    assert!(world.pass(102).released.contains("go-live"));
    // Nothing is open any more: it waits for its time.
    world.evidence("go-live", Evidence { desired: 3, ..Evidence::default() });
    assert!(!world.pass(103).released.contains("go-live"));
    assert_eq!(world.state("go-live"), (ItemState::Waiting, NOT_BEFORE));
}

#[test]
fn going_live_without_objects_is_done_in_its_turn() {
    let mut world = World::new(vec![gate(Some(100)), item("a", &[])]);
    world.evidence("go-live", Evidence::default());
    world.evidence("a", complete());
    world.pass(99);
    assert_eq!(world.state("go-live").0, ItemState::Waiting);
    world.pass(100);
    assert_eq!(world.state("go-live").0, ItemState::Done);
}

#[test]
fn an_item_that_waits_for_going_live_is_no_cycle() {
    let mut world = World::new(vec![gate(None), item("a", &[]), item("after", &["go-live"])]);
    world.evidence("a", complete());
    assert!(world.pass(0).released.contains("go-live"));
    assert_eq!(world.entry("after").message, "waits for go-live");
}

fn frozen(name: &str, entry: &ChecklistEntry, evidence: Evidence) -> ItemInput {
    let mut blueprint_item = Item { name: name.to_owned(), timeout: "10m".to_owned(), ..Item::default() };
    blueprint_item.category = entry.category;
    ItemInput::kept(&blueprint_item, entry, evidence).unwrap()
}

#[test]
fn a_refused_edit_starts_nothing_and_proves_nothing() {
    let mut world = World::new(vec![item("a", &[]), item("b", &["a"]), item("c", &[])]);
    world.evidence("a", complete());
    world.items[2].skipped = Some("not ordered".to_owned());
    world.items[1].input_digest = "d2".to_owned();
    world.pass(0);
    let mut early = World::new(vec![item("a", &[]), item("b", &["a"])]);
    early.pass(0);
    // Running before: nothing changes but that it starts nothing.
    let entries = world.entries.clone();
    world.items = vec![
        frozen("a", &entries[0], complete()),
        frozen("b", &entries[1], Evidence { desired: 3, live: 1, ..Evidence::default() }),
        frozen("c", &entries[2], Evidence::default()),
    ];
    assert!(world.pass(1).released.is_empty());
    assert_eq!(world.state("a").0, ItemState::Done);
    assert_eq!(world.state("b").0, ItemState::Running);
    assert_eq!(world.state("c").0, ItemState::Skipped);
    // Not started before: an empty record is no proof.
    let entries = early.entries.clone();
    early.items = vec![frozen("a", &entries[0], complete()), frozen("b", &entries[1], Evidence::default())];
    early.pass(1);
    assert_eq!(early.state("b"), (ItemState::Waiting, ORDER_REFUSED));
}

#[test]
fn the_kind_comes_from_the_action() {
    let with = |change: fn(&mut Item)| {
        let mut item = Item::default();
        change(&mut item);
        Kind::of(&item, Some(at(1)))
    };
    use tenantry_crds::blueprint::{ApplicationAction, Baseline, CheckAction, GoLiveAction};
    assert_eq!(with(|i| i.check = Some(CheckAction::default())), Kind::Check);
    assert_eq!(
        with(|i| {
            i.check = Some(CheckAction::default());
            i.baseline = vec![Baseline::Namespace];
        }),
        Kind::Objects
    );
    assert_eq!(with(|i| i.manifests = Some(Vec::new())), Kind::Objects);
    assert_eq!(with(|i| i.application = Some(ApplicationAction {})), Kind::Application);
    assert_eq!(with(|i| i.go_live = Some(GoLiveAction::default())), Kind::GoLive { not_before: Some(at(1)) });
}

#[test]
fn messages_fit_whatever_the_cluster_says() {
    let mut world = World::new(vec![item("a", &[])]);
    for second in [0, 10, 30] {
        let mut evidence = refusal(second);
        evidence.failure.as_mut().unwrap().message = "ü".repeat(2_000);
        evidence.failure.as_mut().unwrap().reason = "403 no way!".to_owned();
        world.evidence("a", evidence);
        world.pass(second);
        assert!(world.entry("a").message.len() <= 512);
        assert!(world.entry("a").reason.chars().all(|c| c.is_ascii_alphabetic()));
    }
    assert!(world.entry("a").message.ends_with("kubectl tenantry retry acme a"));
}
