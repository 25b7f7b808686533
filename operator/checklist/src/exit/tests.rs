use super::*;
use crate::item::JobEnd;
use proptest::prelude::*;
use tenantry_crds::inventory::{EntryState, Inventory, InventoryEntry};
use tenantry_crds::subscription::{JobResult, JobState, Outcome};

const POLICIES: [DeletionPolicy; 4] = [
    DeletionPolicy::ExportThenDelete,
    DeletionPolicy::Archive,
    DeletionPolicy::Delete,
    DeletionPolicy::Retain,
];

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn terms(policy: DeletionPolicy) -> Terms {
    let plan = PlanExit { grace_period: "1h".to_owned(), retention: "2h".to_owned() };
    Terms::new(policy, Some(&plan), None, at(0), None).unwrap()
}

/// An end that is looked at again and again.
struct World {
    terms: Terms,
    entries: Vec<ChecklistEntry>,
    wish: Wish,
}

impl World {
    fn new(policy: DeletionPolicy) -> Self {
        Self { terms: terms(policy), entries: Vec::new(), wish: Wish::default() }
    }

    fn look(&mut self, observed: &Observed, seconds: i64) -> Option<&'static str> {
        let run = |entries: &[ChecklistEntry]| {
            evaluated(&self.terms, "acme", entries, observed, self.wish, [None, None], at(seconds)).unwrap()
        };
        self.entries = run(&self.entries).entries;
        self.terms.open_step(&self.entries)
    }

    fn entry(&self, step: &str) -> &ChecklistEntry {
        self.entries.iter().find(|entry| entry.name == step).unwrap()
    }
}

fn nothing_left() -> Observed {
    Observed::default()
}

fn left(given_up: bool) -> Observed {
    let left = vec![Left { object: "ConfigMap web".to_owned(), why: "has a finalizer".to_owned() }];
    Observed { left, given_up, ..Observed::default() }
}

/// What is observed of an export whose run, if one is under way, was made and ended so.
fn exported(entries: &[ChecklistEntry], ended: Option<bool>, seconds: i64) -> Observed {
    let run = entries.iter().find(|entry| entry.name == EXPORT).and_then(|entry| entry.job.as_ref());
    let job = run.map(|run| JobInput {
        name: run.name.clone(),
        made: true,
        let_go: run.state != JobState::Running,
        ended: ended.filter(|_| run.state == JobState::Running).map(|success| JobEnd {
            state: if success { JobState::Succeeded } else { JobState::Failed },
            result: JobResult { message: "told".to_owned(), ..JobResult::default() },
            at: at(seconds),
        }),
        ..JobInput::default()
    });
    let export = Export { digest: "d".to_owned(), job: job.unwrap_or_default(), ..Export::default() };
    Observed { export, ..Observed::default() }
}

#[test]
fn steps_follow_one_another() {
    let mut world = World::new(DeletionPolicy::Archive);
    assert_eq!(world.terms.open_step(&[]), Some(ACCESS));
    assert_eq!(world.look(&left(false), 1), Some(ACCESS));
    assert_eq!(world.entry(ACCESS).state, ItemState::Running);
    assert!(world.entry(ACCESS).message.contains("ConfigMap web: has a finalizer"));
    assert_eq!(world.entry(STOP).state, ItemState::Pending);
    assert_eq!(world.look(&nothing_left(), 2), Some(STOP));
    assert_eq!(world.look(&nothing_left(), 3), Some(KEEP));
    assert_eq!(world.look(&nothing_left(), 4), Some(KEEP));
    let kept = world.entry(KEEP);
    assert_eq!((kept.state, kept.reason.as_str()), (ItemState::Waiting, crate::item::DATA_KEPT));
    assert!(kept.message.contains("exit acme --end-keeping"), "{}", kept.message);
    assert_eq!(world.look(&nothing_left(), 7199), Some(KEEP));
    assert_eq!(world.look(&nothing_left(), 7200), Some(REMOVAL));
    // A clock that is put back brings nothing back.
    assert_eq!(world.look(&left(false), 10), Some(REMOVAL));
    assert_eq!(world.look(&nothing_left(), 7300), None);
    assert!(world.entries.iter().all(|entry| entry.state == ItemState::Done));
    let frozen = world.entries.clone();
    world.look(&left(false), 9000);
    assert_eq!(world.entries, frozen);
}

#[test]
fn what_cannot_be_taken_away_in_time_holds_nothing_up() {
    let mut world = World::new(DeletionPolicy::Archive);
    world.look(&left(false), 0);
    assert_eq!(world.look(&left(true), 700), Some(STOP));
    let given_up = world.entry(ACCESS);
    assert_eq!((given_up.state, given_up.reason.as_str()), (ItemState::Failed, "TimedOut"));
    assert_eq!(given_up.conclusion.as_ref().map(|conclusion| conclusion.outcome), Some(Outcome::Failed));
    assert!(given_up.message.contains("ConfigMap web"), "{}", given_up.message);
}

#[test]
fn nothing_is_deleted_before_the_export_succeeded() {
    let mut world = World::new(DeletionPolicy::ExportThenDelete);
    world.look(&nothing_left(), 0);
    let mut seconds = 1;
    while world.entries.iter().all(|entry| entry.name != EXPORT || entry.state != ItemState::Failed) {
        let observed = exported(&world.entries, Some(false), seconds);
        assert_eq!(world.look(&observed, seconds), Some(EXPORT));
        seconds += 60;
        assert!(seconds < 10_000, "{:?}", world.entry(EXPORT));
    }
    assert_eq!(world.entry(EXPORT).job.as_ref().map(|run| run.attempt), Some(3));
    assert!(blocks(world.entry(EXPORT)));
    assert_eq!(world.look(&exported(&world.entries, None, 99_999), 99_999), Some(EXPORT));
    world.wish.skip_export = true;
    assert_eq!(world.look(&nothing_left(), 100_000), Some(STOP));
    assert_eq!(world.entry(EXPORT).state, ItemState::Skipped);
}

#[test]
fn an_export_that_cannot_begin_waits_for_a_person_or_goes_on_without_as_the_blueprint_says() {
    let cannot = Observed {
        export: Export { impossible: Some("the version has no export".to_owned()), ..Export::default() },
        ..Observed::default()
    };
    let mut world = World::new(DeletionPolicy::ExportThenDelete);
    world.look(&nothing_left(), 0);
    assert_eq!(world.look(&cannot, 1), Some(EXPORT));
    let entry = world.entry(EXPORT);
    assert_eq!((entry.state, blocks(entry)), (ItemState::Waiting, true));
    assert!(entry.message.contains("the version has no export"));
    let mut world = World::new(DeletionPolicy::ExportThenDelete);
    world.terms.export.on_failure = OnFailure::Continue;
    world.look(&nothing_left(), 0);
    assert_eq!(world.look(&cannot, 1), Some(STOP));
    assert_eq!(world.entry(EXPORT).state, ItemState::Skipped);
}

#[test]
fn who_never_had_data_is_not_exported() {
    let mut world = World::new(DeletionPolicy::ExportThenDelete);
    world.look(&nothing_left(), 0);
    let export = Export { needless: Some("nothing was ever made".to_owned()), ..Export::default() };
    assert_eq!(world.look(&Observed { export, ..Observed::default() }, 1), Some(STOP));
    let entry = world.entry(EXPORT);
    assert_eq!((entry.state, entry.job.is_none()), (ItemState::Skipped, true));
    assert!(entry.message.contains("nothing was ever made"), "{}", entry.message);
}

#[test]
fn the_time_of_deletion_is_told_once() {
    let first = terms(DeletionPolicy::Archive).purge_at;
    assert_eq!(first, Some(at(7200)));
    let shorter = PlanExit { retention: "1h".to_owned(), ..PlanExit::default() };
    let later = Terms::new(DeletionPolicy::Archive, Some(&shorter), None, at(0), first).unwrap();
    assert_eq!(later.purge_at, first);
    assert_eq!(terms(DeletionPolicy::Delete).purge_at, None);
    assert_eq!(Terms::usual(DeletionPolicy::Archive, at(0), None).purge_at, Some(at(30 * 86_400)));
}

#[test]
fn what_a_person_says_about_an_end_is_read_as_it_is_written() {
    for (skip_export, end_keeping) in [(false, false), (true, false), (false, true), (true, true)] {
        let wish = Wish { skip_export, end_keeping };
        assert_eq!(Wish::parse(Some(&wish.annotation())), wish);
    }
    assert_eq!(Wish::parse(None), Wish::default());
    assert_eq!(Wish::parse(Some("skip-export, EndKeeping")), Wish { end_keeping: true, skip_export: false });
}

#[test]
fn what_is_left_is_named_once_and_can_be_found_again() {
    let entry = |kind: &str, name: &str, uid: Option<&str>, state| InventoryEntry {
        kind: kind.to_owned(),
        name: name.to_owned(),
        item: "web".to_owned(),
        uid: uid.map(str::to_owned),
        state,
        digest: None,
        token: None,
        resource_version: None,
    };
    let present = EntryState::Live;
    let mut inventory = Inventory {
        objects: vec![
            entry("v1/ConfigMap", "web", Some("u1"), present),
            entry("v1/ConfigMap", "never-seen", None, present),
            entry("v1/PersistentVolumeClaim", "data", Some("u2"), EntryState::Kept),
            entry("example.org/v1/Zone", "zone", Some("u3"), present),
        ],
        ..Inventory::default()
    };
    let namespaced =
        |entry: &InventoryEntry| entry.kind != "example.org/v1/Zone" && entry.kind != "v1/Namespace";
    let keys = |inventory: &Inventory| {
        let left = leftovers(inventory, "tenant-acme", namespaced);
        left.iter().map(|left| (left.key(), left.namespace.clone())).collect::<Vec<_>>()
    };
    let zone = ("leftover/u3".to_owned(), None);
    let web = ("leftover/u1".to_owned(), Some("tenant-acme".to_owned()));
    assert_eq!(keys(&inventory), [zone.clone(), web]);
    // What lies in a namespace that is left goes with it.
    inventory.objects.push(entry("v1/Namespace", "tenant-acme", Some("u4"), present));
    assert_eq!(keys(&inventory), [zone, ("leftover/u4".to_owned(), None)]);
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Gone,
    Left,
    GivenUp,
    Export(Option<bool>),
    Skip,
    EndKeeping,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => Just(Event::Gone),
        2 => Just(Event::Left),
        1 => Just(Event::GivenUp),
        3 => prop::option::of(any::<bool>()).prop_map(Event::Export),
        1 => Just(Event::Skip),
        1 => Just(Event::EndKeeping),
    ]
}

proptest! {
    #[test]
    fn an_end_goes_forward_only_and_deletes_nothing_too_early(
        policy in prop::sample::select(POLICIES.to_vec()),
        events in prop::collection::vec((event(), 0_i64..4000), 1..40),
    ) {
        let mut world = World::new(policy);
        let (mut seconds, mut succeeded) = (0, false);
        for (event, passed) in events {
            seconds += passed;
            let before = world.terms.open_step(&world.entries);
            let is_export = before == Some(EXPORT);
            let observed = match event {
                Event::Left if !is_export => left(false),
                Event::GivenUp if !is_export => left(true),
                Event::Export(ended) if is_export => exported(&world.entries, ended, seconds),
                Event::Skip => { world.wish.skip_export = true; nothing_left() }
                Event::EndKeeping => { world.wish.end_keeping = true; nothing_left() }
                _ if is_export => exported(&world.entries, None, seconds),
                _ => nothing_left(),
            };
            let ended: Vec<ChecklistEntry> = world.entries.iter().filter(|entry| {
                let position = |name: &str| world.terms.steps().iter().position(|step| *step == name);
                before.is_none_or(|open| position(&entry.name) < position(open))
            }).cloned().collect();
            let after = world.look(&observed, seconds);
            for entry in &ended {
                prop_assert_eq!(world.entry(&entry.name), entry, "a step that ended changed");
            }
            let active = world.entries.iter().filter(|entry| matches!(entry.state, ItemState::Running | ItemState::Waiting));
            prop_assert!(active.count() <= 1);
            let position = |step: Option<&str>| {
                step.map_or(usize::MAX, |step| world.terms.steps().iter().position(|one| *one == step).unwrap())
            };
            prop_assert!(position(before) <= position(after));
            succeeded |= world.entries.iter().any(|entry| entry.name == EXPORT && entry.state == ItemState::Done);
            if after == Some(REMOVAL) && world.terms.purge_at.is_some() {
                let is_time = world.terms.purge_at <= Some(at(seconds));
                let has_begun = before == Some(REMOVAL);
                prop_assert!(is_time || world.wish.end_keeping || has_begun);
                let needs_export = policy == DeletionPolicy::ExportThenDelete;
                prop_assert!(!needs_export || succeeded || world.wish.skip_export);
            }
        }
    }
}
