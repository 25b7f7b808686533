//! Who is woken by what, and whose word holds.

use proptest::prelude::*;

use super::*;
use crate::token::Token;

fn kind() -> Kind {
    Kind::parse("apps/v1/Deployment").unwrap()
}

fn id(name: &str) -> ObjectId {
    ObjectId::new(kind(), Some("tenant-acme"), name)
}

fn object(uid: &str, resource_version: u64, ours: u64) -> Observed {
    Observed {
        uid: uid.into(),
        resource_version,
        token: Token { ours, foreign: 0, revision: 1 },
        deleting: false,
        health: Health::Current,
        tenant_id: Some("t-77".into()),
        subscription: Some("acme".into()),
        retained: None,
    }
}

fn synced() -> Index {
    let mut index = Index::default();
    index.begin(&kind());
    index.finish(&kind());
    index
}

fn version(index: &Index, name: &str) -> Option<u64> {
    match index.see(&id(name)) {
        Seen::Present(observed, _) => Some(observed.resource_version),
        _ => None,
    }
}

#[test]
fn a_set_of_a_weaker_watch_is_not_the_set_of_a_stronger() {
    let mut index = synced();
    index.deliver(&id("a"), Observed { health: Health::Unknown, ..object("u", 1, 1) });
    index.unsettle(&kind());
    assert!(!index.is_synced(&kind()));
    assert_eq!(version(&index, "a"), Some(1), "what is known stays");
    assert_eq!(index.see(&id("b")), Seen::NotSynced);
    index.begin(&kind());
    index.deliver(&id("a"), object("u", 1, 1));
    index.finish(&kind());
    assert!(index.is_synced(&kind()));
    assert!(matches!(index.see(&id("a")), Seen::Present(observed, _) if observed.health == Health::Current));
}

#[test]
fn nothing_is_absent_before_the_first_set() {
    let mut index = Index::default();
    assert_eq!(index.see(&id("a")), Seen::NotSynced);
    index.begin(&kind());
    index.deliver(&id("b"), object("u", 1, 1));
    assert_eq!(index.see(&id("a")), Seen::NotSynced);
    assert_eq!(version(&index, "b"), Some(1));
    index.finish(&kind());
    assert_eq!(index.see(&id("a")), Seen::Absent);
    assert!(index.is_synced(&kind()));
    let secret = ObjectId::new(Kind::parse("v1/Secret").unwrap(), Some("n"), "s");
    assert_eq!(index.see(&secret), Seen::Unwatched);
    index.forget(&kind());
    assert_eq!(index.see(&id("b")), Seen::NotSynced);
}

#[test]
fn only_what_matters_wakes_somebody() {
    let mut index = synced();
    let woken =
        Some(Change { id: id("a"), subscription: Some("acme".into()), tenant_id: Some("t-77".into()) });
    assert_eq!(index.deliver(&id("a"), object("u", 1, 1)), woken);
    assert_eq!(index.deliver(&id("a"), object("u", 2, 1)), None, "only the version moved");
    assert_eq!(index.deliver(&id("a"), object("u", 3, 2)), woken, "a field was taken");
    let failed = Observed { health: Health::Failed("no image".into()), ..object("u", 4, 2) };
    assert_eq!(index.deliver(&id("a"), failed.clone()), woken, "health changed");
    let ending = Observed { deleting: true, resource_version: 5, ..failed };
    assert_eq!(index.deliver(&id("a"), ending), woken, "it is ending");
    assert_eq!(index.deliver(&id("a"), object("v", 9, 2)), woken, "another object");
    assert_eq!(index.remove(&id("a"), "v", 9), woken, "it is gone");
    assert_eq!(index.remove(&id("a"), "v", 9), None);
}

#[test]
fn our_own_writes_wake_nobody_and_are_seen_at_once() {
    let mut index = synced();
    let baseline =
        Baseline { token: Token { ours: 1, foreign: 0, revision: 1 }, leftover: 0, resource_version: 5 };
    index.record(&id("a"), object("u", 5, 1), baseline);
    assert_eq!(version(&index, "a"), Some(5));
    assert!(!index.is_confirmed(&id("a"), "u"));
    assert_eq!(index.deliver(&id("a"), object("u", 5, 1)), None);
    assert!(index.is_confirmed(&id("a"), "u"));
    assert!(!index.is_confirmed(&id("a"), "v"));
    assert!(matches!(index.see(&id("a")), Seen::Present(_, Some(known)) if known == baseline));
}

#[test]
fn an_event_that_overtook_the_answer_keeps_the_last_word() {
    let mut index = synced();
    assert!(index.deliver(&id("a"), object("u", 7, 9)).is_some());
    let baseline =
        Baseline { token: Token { ours: 1, foreign: 0, revision: 1 }, leftover: 0, resource_version: 5 };
    index.record(&id("a"), object("u", 5, 1), baseline);
    assert_eq!(version(&index, "a"), Some(7));
    let Seen::Present(observed, Some(known)) = index.see(&id("a")) else { panic!("no baseline") };
    assert_ne!(observed.token, known.token, "the drift after our write is seen");
}

#[test]
fn an_answer_keeps_the_health_and_an_equal_version_may_bring_it() {
    let mut index = synced();
    let unknown = |rv| Observed { health: Health::Unknown, ..object("u", rv, 1) };
    index.record(&id("a"), unknown(1), Baseline::default());
    assert!(index.deliver(&id("a"), object("u", 1, 1)).is_some(), "the watch knows the health");
    index.record(&id("a"), unknown(2), Baseline::default());
    assert!(matches!(index.see(&id("a")), Seen::Present(observed, _) if observed.health == Health::Current));
}

#[test]
fn a_late_answer_keeps_the_status_that_the_watch_brought() {
    let mut index = synced();
    let kept = Some(Box::new(serde_json::json!({"status": {"phase": "Ready"}})));
    let status = |index: &Index| match index.see(&id("a")) {
        Seen::Present(observed, _) => observed.retained,
        _ => None,
    };
    index.deliver(&id("a"), Observed { retained: kept.clone(), ..object("u", 2, 1) });
    index.record(&id("a"), object("u", 2, 1), Baseline::default());
    assert_eq!(status(&index), kept, "no event will come to bring it again");
    let next = Token { ours: 1, foreign: 0, revision: 2 };
    index.record(&id("a"), Observed { token: next, ..object("u", 3, 1) }, Baseline::default());
    assert_eq!(status(&index), None, "it was that of another generation");
}

#[test]
fn health_of_an_earlier_generation_says_nothing_of_a_new_one() {
    let mut index = synced();
    index.deliver(&id("a"), object("u", 1, 1));
    let token = Token { revision: 2, ..object("u", 2, 1).token };
    let changed = Observed { health: Health::Unknown, token, ..object("u", 2, 1) };
    index.record(&id("a"), changed, Baseline::default());
    assert!(matches!(index.see(&id("a")), Seen::Present(observed, _) if observed.health == Health::Unknown));
    let rolling = Observed { health: Health::InProgress("rolling".into()), token, ..object("u", 2, 1) };
    assert!(index.deliver(&id("a"), rolling).is_some(), "the same version, and it tells more");
}

#[test]
fn what_a_new_set_lacks_is_gone_unless_we_just_wrote_it() {
    let mut index = synced();
    index.deliver(&id("old"), object("u1", 1, 1));
    index.deliver(&id("stays"), object("u2", 2, 1));
    index.begin(&kind());
    index.deliver(&id("stays"), object("u2", 2, 1));
    index.record(&id("new"), object("u3", 3, 1), Baseline::default());
    let gone: Vec<ObjectId> = index.finish(&kind()).into_iter().map(|change| change.id).collect();
    assert_eq!(gone, [id("old")]);
    assert_eq!(version(&index, "stays"), Some(2));
    assert_eq!(version(&index, "new"), Some(3));
    assert_eq!(index.sizes().map(|(_, size)| size).sum::<usize>(), 2);
}

#[test]
fn the_dead_stay_dead() {
    let mut index = synced();
    index.deliver(&id("a"), object("u", 1, 1));
    index.remove(&id("a"), "u", 9);
    index.record(&id("a"), object("u", 1, 1), Baseline::default());
    assert_eq!(index.see(&id("a")), Seen::Absent, "a late answer");
    assert_eq!(index.deliver(&id("a"), object("u", 1, 1)), None, "an old list");
    // Its deletion came before we knew of it.
    index.remove(&id("b"), "v", 9);
    index.record(&id("b"), object("v", 1, 1), Baseline::default());
    assert_eq!(index.see(&id("b")), Seen::Absent);
    // It had lost our label, and has it back.
    index.deliver(&id("a"), object("u", 10, 1));
    assert_eq!(version(&index, "a"), Some(10));
    index.remove(&id("a"), "u", 11);
    // Another object of that name lives.
    index.deliver(&id("a"), object("w", 4, 1));
    assert_eq!(version(&index, "a"), Some(4));
    assert_eq!(index.remove(&id("a"), "u", 9), None, "a late deletion of the first one");
    assert_eq!(version(&index, "a"), Some(4));
}

#[test]
fn a_stripped_label_wakes_by_the_label_it_had() {
    let mut index = synced();
    index.deliver(&id("a"), object("u", 1, 1));
    let change =
        index.deliver(&id("a"), Observed { subscription: None, tenant_id: None, ..object("u", 2, 1) });
    assert_eq!(change.unwrap().subscription.as_deref(), Some("acme"));
}

proptest! {
    /// In whatever order versions of one object arrive, the newest is kept.
    #[test]
    fn the_newest_version_wins(versions in prop::collection::vec((1_u64..50, any::<bool>()), 1..20)) {
        let mut index = synced();
        for (version, written) in &versions {
            if *written {
                index.record(&id("a"), object("u", *version, 1), Baseline::default());
            } else {
                index.deliver(&id("a"), object("u", *version, 1));
            }
        }
        prop_assert_eq!(version(&index, "a"), versions.iter().map(|(version, _)| *version).max());
    }
}

/// A record of a typical child must stay small: the index holds one for every object of every tenant.
#[test]
fn a_record_is_compact() {
    assert!(size_of::<Record>() + size_of::<Key>() <= 256, "{}", size_of::<Record>() + size_of::<Key>());
}

#[test]
fn an_accepted_deletion_is_recorded_of_what_is_watched_and_meant() {
    let mut index = synced();
    index.deliver(&id("a"), object("u", 5, 1));
    let ending = |uid, version| Some(Observed { health: Health::Unknown, ..object(uid, version, 2) });
    index.deletion_accepted(&id("a"), "other", ending("other", 6));
    index.deletion_accepted(&id("a"), "u", ending("u", 4));
    let deleting = |index: &Index| match index.see(&id("a")) {
        Seen::Present(observed, _) => Some((observed.deleting, observed.health)),
        _ => None,
    };
    assert_eq!(deleting(&index), Some((false, Health::Current)), "another object, and an old answer");
    index.deletion_accepted(&id("a"), "u", ending("u", 6));
    assert_eq!(deleting(&index), Some((true, Health::Current)));
    let told = Observed { deleting: true, ..object("u", 6, 2) };
    assert_eq!(index.deliver(&id("a"), told), None, "the event of our own deletion wakes nobody");
    // What no watch tells of is not recorded: nobody would tell of its end.
    index.deletion_accepted(&id("stripped"), "s", ending("s", 8));
    assert_eq!(index.see(&id("stripped")), Seen::Absent);
    index.deletion_accepted(&id("a"), "u", None);
    assert_eq!(index.see(&id("a")), Seen::Absent);
    assert_eq!(index.deliver(&id("a"), object("u", 6, 2)), None, "an old event does not bring it back");
    assert_eq!(index.see(&id("a")), Seen::Absent);
}

#[test]
fn a_second_write_in_the_same_second_is_told_where_nothing_else_tells() {
    let observed = |version: u64| object("u1", version, 1);
    for (kind, is_told) in [("v1/LimitRange", true), ("v1/ResourceQuota", false)] {
        let kind = Kind::parse(kind).unwrap();
        assert_eq!(observed(8).tells_more_than(&kind, &observed(7)), is_told, "{kind}");
        assert!(!observed(8).tells_more_than(&kind, &observed(8)));
    }
}
