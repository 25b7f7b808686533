//! Usage as it is told: where each event ends, and that telling it again changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tenantry_billing::{AsidePage, AsideWanted, Books, BooksError, Heard, MissingHour, Subject, Who};
use tenantry_journal::{Database, Epoch};
use tenantry_metering::cloud_event::{BATCH, Received, read};
use tenantry_metering::intake::{Meter, Meters, Reporter, TYPE, Verdict};

use crate::place::Place;
use crate::town::{agreement, at, edited, leader, list, opened, start};

pub(crate) const TENANT: Who<'static> =
    Who { reporter: Reporter::Tenant, name: "system:serviceaccount:tenant-acme:app" };
const PROVIDER: Who<'static> =
    Who { reporter: Reporter::Provider, name: "system:serviceaccount:edge:gateway" };

fn meters() -> Meters {
    Meters::from([("storage".to_owned(), Meter { unit: "Item".to_owned(), is_told: true })])
}

pub(crate) fn event(id: &str, time: &str, quantity: i64) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "web", "type": TYPE, "time": time,
        "data": {"meter": "storage", "quantity": quantity, "unit": "Item"},
    })
}

fn received(events: &[Value]) -> Vec<Received> {
    read(&[("content-type", BATCH)], json!(events).to_string().as_bytes()).unwrap()
}

/// What becomes of each event that is told of the first tenant: `Accepted`, `Late`, `Duplicate`, or the cause.
async fn told(books: &Books, who: Who<'_>, events: &[Value], now: Timestamp) -> Vec<&'static str> {
    told_about("t1", books, who, events, now).await
}

/// The same about any tenant.
pub(crate) async fn told_about(
    tenant: &str,
    books: &Books,
    who: Who<'_>,
    events: &[Value],
    now: Timestamp,
) -> Vec<&'static str> {
    let (received, meters) = (received(events), meters());
    let subject = Some(Subject { tenant, meters: &meters });
    let heard: Vec<Heard<'_>> = received.iter().map(|received| Heard { received, subject }).collect();
    let verdicts = books.take_in(who, &heard, now).await.unwrap();
    let word = |verdict: &Verdict| match verdict {
        Verdict::Accepted { is_late: false, .. } => "Accepted",
        Verdict::Accepted { .. } => "Late",
        Verdict::Duplicate => "Duplicate",
        Verdict::Quarantined(aside) => aside.cause.name(),
    };
    verdicts.iter().map(word).collect()
}

/// Books in which somebody pays for the tenant since January.
async fn paid(place: &Place) -> (Books, Epoch) {
    let (books, epoch) = opened(&place.url).await;
    let now = at("2025-01-01T00:00:00Z");
    books.open(epoch, &agreement("acme"), now).await.unwrap();
    let begins = [start("t1", "2025-01-01T10:00:00Z", "silver@1")];
    books.tell(epoch, "acme", &[list("silver@1", "99.00")], &begins, now).await.unwrap();
    (books, epoch)
}

/// Tells the ledger everything that is due by an instant.
async fn rolled(books: &Books, epoch: Epoch, by: &str) -> usize {
    let mut told = 0;
    for tenant in books.usage_due(at(by)).await.unwrap() {
        told += books.roll_up(epoch, &tenant, "acme", at(by)).await.unwrap();
    }
    told
}

pub(crate) async fn each_event_ends_where_the_rules_say(place: Place) {
    let (books, epoch) = paid(&place).await;
    let now = at("2025-02-10T10:30:00Z");
    let mut foreign = event("f", "2025-02-10T10:00:00Z", 1);
    foreign["data"]["meter"] = json!("other");
    let events = [
        event("a", "2025-02-10T10:20:00Z", 3_600),
        event("a", "2025-02-10T10:20:00Z", 3_600),
        event("a", "2025-02-10T10:20:00Z", 7_200),
        event("b", "2025-02-08T09:20:00Z", 3_600),
        event("c", "2025-02-10T10:36:00Z", 1),
        event("d", "2025-01-05T10:00:00Z", 1),
        event("e", "2025-02-10T10:00:00Z", -1),
        foreign,
        json!({"specversion": "1.0"}),
    ];
    let outcomes = [
        "Accepted",
        "Duplicate",
        "Conflicting",
        "Late",
        "Future",
        "TooOld",
        "BadQuantity",
        "ForeignMeter",
        "NotAnEvent",
    ];
    assert_eq!(told(&books, TENANT, &events, now).await, outcomes);
    let kept = async |books: &Books| {
        let kept =
            books.kept_aside("t1", at("2025-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z")).await.unwrap();
        kept.into_iter().map(|(cause, count)| format!("{cause} {count}")).collect::<Vec<_>>()
    };
    let aside = ["BadQuantity 1", "Conflicting 1", "ForeignMeter 1", "Future 1", "NotAnEvent 1", "TooOld 1"];
    assert_eq!(kept(&books).await, aside);
    // Told again, everything is where it was.
    let again: Vec<&str> = outcomes
        .iter()
        .map(|word| if ["Accepted", "Late"].contains(word) { "Duplicate" } else { word })
        .collect();
    assert_eq!(told(&books, TENANT, &events, now).await, again);
    assert_eq!(kept(&books).await, aside);
    // What was ahead of its time counts when it is told again, and is not held to be wrong any more.
    assert_eq!(told(&books, TENANT, &events[4..5], at("2025-02-10T10:40:00Z")).await, ["Accepted"]);
    assert_eq!(kept(&books).await.len(), aside.len() - 1);
    // A tenant's ids never stand in the way of the provider's.
    assert_eq!(told(&books, PROVIDER, &events[..1], now).await, ["Accepted"]);
    // Whom nobody knows is kept as well.
    let received = received(&events[..1]);
    let heard = [Heard { received: &received[0], subject: None }];
    let verdicts = books.take_in(PROVIDER, &heard, now).await.unwrap();
    assert!(
        matches!(&verdicts[0], Verdict::Quarantined(aside) if aside.refusal.field == "subject"),
        "{verdicts:?}"
    );
    let nobody = books.kept_aside("", at("2025-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z")).await.unwrap();
    assert_eq!(nobody["UnknownSubject"], 1);

    // The hour that runs is waited for; the one that is over is told.
    assert_eq!(books.next_usage().await.unwrap(), Some(at("2025-02-10T10:35:00Z")));
    assert_eq!(rolled(&books, epoch, "2025-02-10T10:35:00Z").await, 1);
    assert_eq!(books.next_usage().await.unwrap(), Some(at("2025-02-10T11:05:00Z")));
    assert_eq!(rolled(&books, epoch, "2025-02-10T11:05:00Z").await, 1);
    assert_eq!(books.next_usage().await.unwrap(), None);
    // Late: a further revision with the difference.
    assert_eq!(
        told(&books, TENANT, &[event("g", "2025-02-10T10:59:00Z", 36_000)], at("2025-02-10T12:00:00Z")).await,
        ["Late"]
    );
    assert_eq!(rolled(&books, epoch, "2025-02-10T12:05:00Z").await, 1);
    let all = books
        .told_of("t1", Some("acme"), at("2025-02-01T00:00:00Z"), at("2025-03-01T00:00:00Z"))
        .await
        .unwrap();
    let storage = &all["storage"];
    // 3,600 of each who told it, the one that was ahead, two that came late.
    assert_eq!((storage.quantity, storage.in_ledger), (46_801, 46_801));
    assert_eq!((storage.events, storage.late), (5, 2));
    let as_of = at("2025-03-02T00:00:00Z");
    let summary = books.run(epoch, as_of, as_of).await.unwrap();
    let lines = summary.documents.iter().flat_map(|document| &document.lines);
    let counted: Vec<String> = lines
        .filter(|line| line.charge == "storage")
        .map(|line| format!("{} {}", line.quantity, line.net))
        .collect();
    // 46,801 by 3,600 at 0.00125 each.
    assert_eq!(counted.last().map(String::as_str), Some("13.000278 0.02"), "{counted:?}");
    assert_eq!(books.verify().await.unwrap().faults, []);
}

pub(crate) async fn what_is_kept_aside_is_listed_page_by_page(place: Place) {
    let (books, _) = paid(&place).await;
    let mut long = event("long", "2025-02-10T10:00:00Z", -1);
    long["data"]["note"] = json!("ä".repeat(10_000));
    for minute in 0..4 {
        let events: Vec<Value> =
            (0..3).map(|number| event(&format!("{minute}-{number}"), "2025-02-10T10:00:00Z", -1)).collect();
        let now = at(&format!("2025-02-10T10:0{minute}:00Z"));
        assert_eq!(told(&books, TENANT, &events, now).await, ["BadQuantity"; 3]);
    }
    let now = at("2025-02-10T10:30:00Z");
    told(&books, TENANT, &[long], now).await;
    let received = received(&[event("x", "2025-02-10T10:00:00Z", 1)]);
    books.take_in(PROVIDER, &[Heard { received: &received[0], subject: None }], now).await.unwrap();
    let wanted = |tenants: Option<&[&str]>, limit: u32| AsideWanted {
        tenants: tenants.map(|tenants| tenants.iter().map(|tenant| (*tenant).to_owned()).collect()),
        from: at("2025-02-10T00:00:00Z"),
        to: at("2025-02-11T00:00:00Z"),
        after: None,
        limit,
    };
    let whole = books.aside(&wanted(None, 500)).await.unwrap();
    assert_eq!((whole.events.len(), &whole.next), (14, &None));
    for limit in [1, 2, 5, 13, 14] {
        let (mut pages, mut wanted) = (Vec::new(), wanted(None, limit));
        loop {
            let AsidePage { events, next } = books.aside(&wanted).await.unwrap();
            assert!(events.len() <= limit as usize);
            pages.extend(events);
            let Some(next) = next else { break };
            wanted.after = Some(next.parse().unwrap());
        }
        assert_eq!(pages, whole.events, "by {limit}");
    }
    // Of one tenant, of nobody, and of no tenant at all.
    let count = async |tenants: &[&str]| books.aside(&wanted(Some(tenants), 500)).await.unwrap().events.len();
    assert_eq!((count(&["t1"]).await, count(&[""]).await, count(&["t1", ""]).await), (13, 1, 14));
    assert_eq!((count(&["t2"]).await, count(&[]).await), (0, 0));
    // The latest first, with what is wrong and what was told, as far as that can be looked at.
    let long = whole.events.iter().find(|one| one.id == "long").unwrap();
    assert_eq!(
        (long.received, long.cause.as_str(), long.field.as_str()),
        (now, "BadQuantity", "data.quantity")
    );
    assert!(long.is_cut && long.body.chars().count() == 4_096 && long.body.starts_with('{'));
    assert!(long.remedy.contains("a whole number") && long.told_by.ends_with(":app"));
    let short = whole.events.last().unwrap();
    assert_eq!((short.received, short.is_cut), (at("2025-02-10T10:00:00Z"), false));
    assert!(short.body.contains("\"quantity\":-1"), "{}", short.body);
    // What was told rightly since is not listed any more.
    assert_eq!(told(&books, TENANT, &[event("0-0", "2025-02-10T10:00:00Z", 1)], now).await, ["Accepted"]);
    assert_eq!(count(&["t1"]).await, 12);
    for limit in [0, 501] {
        let refused = books.aside(&wanted(None, limit)).await.unwrap_err().to_string();
        assert!(refused.contains("limit"), "{refused}");
    }
    assert!("1.t1.Tenant".parse::<tenantry_billing::Cursor>().is_err());
}

/// The last hour of a month is told after it, and is on the document of the month; what has no usage is not waited for.
pub(crate) async fn a_period_with_usage_is_closed_when_its_last_hours_are_told(place: Place) {
    let mut hashes = Vec::new();
    // In time, and by somebody who was away for days: the boundary is the moment, so it is the same ledger.
    for close in ["2025-02-01T01:00:00Z", "2025-02-04T00:00:00Z"] {
        let other = match place.is_server() {
            true => Place::server("collection_delay").await,
            false => Some(Place::file()),
        };
        let Some(other) = other else { return };
        let (books, epoch) = opened(&other.url).await;
        let begin = at("2025-01-01T00:00:00Z");
        let patient = edited("acme", |agreement| {
            agreement["account"]["timeZone"] = json!("UTC");
            agreement["collectionDelay"] = json!(3_600);
        });
        books.open(epoch, &patient, begin).await.unwrap();
        let begins = [start("t1", "2025-01-01T00:00:00Z", "silver@1")];
        books.tell(epoch, "acme", &[list("silver@1", "99.00")], &begins, begin).await.unwrap();
        // The first boundary has no usage and is closed at once.
        assert_eq!(books.load("acme").await.unwrap().unwrap().standing.next_due, Some(begin));
        assert_eq!(books.run(epoch, begin, begin).await.unwrap().documents.len(), 1);
        assert_eq!(books.next_due().await.unwrap(), Some(at("2025-02-01T01:00:00Z")));
        let early = at("2025-02-01T00:59:59Z");
        let nothing = tenantry_billing::Summary::default();
        assert_eq!(books.dry_run(early).await.unwrap(), nothing);
        assert_eq!(books.run(epoch, early, early).await.unwrap(), nothing);
        let now = at("2025-02-01T00:30:00Z");
        let last = event("last", "2025-01-31T23:59:59Z", 36_000_000);
        assert_eq!(told(&books, TENANT, &[last], now).await, ["Late"]);
        assert_eq!(rolled(&books, epoch, "2025-02-01T00:35:00Z").await, 1);
        let close = at(close);
        let made = books.run(epoch, close, close).await.unwrap();
        let lines = made.documents.iter().flat_map(|document| &document.lines);
        let counted: Vec<&str> =
            lines.filter(|line| line.charge == "storage").map(|line| line.quantity.as_str()).collect();
        assert_eq!((made.documents.len(), counted), (1, vec!["10000"]));
        assert_eq!(made.documents[0].issued.to_string(), "2025-02-01");
        assert_eq!(books.next_due().await.unwrap(), Some(at("2025-03-01T01:00:00Z")));
        let verdict = books.verify().await.unwrap();
        assert_eq!(verdict.faults, []);
        hashes.push(verdict.hash);
    }
    assert_eq!(hashes[0], hashes[1]);
}

/// A generator of places in a list, the same in every run.
fn shuffled(events: &[Value], mut seed: u64) -> Vec<Value> {
    let mut left = [events, events, events].concat();
    let mut order = Vec::with_capacity(left.len());
    while !left.is_empty() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let place = usize::try_from(seed >> 33).unwrap() % left.len();
        order.push(left.swap_remove(place));
    }
    order
}

pub(crate) async fn usage_replayed_in_any_order_is_the_same_ledger(place: Place) {
    let events: Vec<Value> = (0..40_i64)
        .map(|number| {
            let time = format!("2025-01-{:02}T{:02}:{:02}:00Z", 2 + number % 20, number % 24, number % 60);
            event(&format!("e-{number}"), &time, number * 1_000)
        })
        .collect();
    let as_of = at("2025-02-02T00:00:00Z");
    let mut hashes = Vec::new();
    for seed in [None, Some(1), Some(2)] {
        // A file or database of its own: only the first place was given.
        let other = match place.is_server() {
            true => Place::server("usage_replayed").await,
            false => Some(Place::file()),
        };
        let Some(other) = other else { return };
        let (books, epoch) = paid(&other).await;
        let order = seed.map_or_else(|| events.clone(), |seed| shuffled(&events, seed));
        for (turn, part) in order.chunks(7).enumerate() {
            told(&books, TENANT, part, at("2025-01-25T10:00:00Z")).await;
            if seed.is_some() && turn % 3 == 0 {
                rolled(&books, epoch, "2025-01-25T10:05:00Z").await;
            }
        }
        rolled(&books, epoch, "2025-01-25T10:05:00Z").await;
        assert_eq!(rolled(&books, epoch, "2025-01-25T10:05:00Z").await, 0);
        let all = books.told_of("t1", Some("acme"), at("2025-01-01T00:00:00Z"), as_of).await.unwrap();
        assert_eq!((all["storage"].quantity, all["storage"].in_ledger), (780_000, 780_000));
        books.run(epoch, as_of, as_of).await.unwrap();
        let verdict = books.verify().await.unwrap();
        assert_eq!(verdict.faults, []);
        hashes.push(verdict.hash);
    }
    assert!(hashes.windows(2).all(|two| two[0] == two[1]), "{hashes:?}");
}

/// Two processes are told the same at once, and one of them does not lead any more.
pub(crate) async fn whoever_takes_it_in_it_counts_once_and_the_leader_tells_the_ledger(place: Place) {
    let (books, epoch) = paid(&place).await;
    let other = Database::open(&place.url).await.unwrap();
    let newer = other.take_over(&leader("b", 1)).await.unwrap();
    let new = Books::new(other);
    let events: Vec<Value> =
        (0..200).map(|number| event(&format!("e-{number}"), "2025-01-20T10:20:00Z", 1)).collect();
    let now = at("2025-01-20T10:30:00Z");
    let telling = |books: Books, events: Vec<Value>| {
        tokio::spawn(async move {
            let mut accepted = 0;
            for part in events.chunks(3) {
                accepted +=
                    told(&books, TENANT, part, now).await.iter().filter(|word| **word == "Accepted").count();
            }
            accepted
        })
    };
    let (one, two) = (telling(books.clone(), events.clone()), telling(new.clone(), events));
    assert_eq!(one.await.unwrap() + two.await.unwrap(), 200);
    let refused = books.roll_up(epoch, "t1", "acme", at("2025-01-20T11:05:00Z")).await.unwrap_err();
    assert!(refused.is_superseded(), "{refused}");
    assert_eq!(new.roll_up(newer, "t1", "acme", at("2025-01-20T11:05:00Z")).await.unwrap(), 1);
    let all = new
        .told_of("t1", Some("acme"), at("2025-01-20T10:00:00Z"), at("2025-01-20T11:00:00Z"))
        .await
        .unwrap();
    assert_eq!((all["storage"].quantity, all["storage"].in_ledger), (200, 200));
}

pub(crate) async fn usage_of_whom_nobody_pays_for_waits(place: Place) {
    let (books, epoch) = opened(&place.url).await;
    let now = at("2025-01-20T10:30:00Z");
    assert_eq!(told(&books, TENANT, &[event("a", "2025-01-20T10:20:00Z", 3_600)], now).await, ["Accepted"]);
    let unknown = books.roll_up(epoch, "t1", "acme", at("2025-01-20T11:05:00Z")).await.unwrap_err();
    assert!(matches!(unknown, BooksError::Unknown { .. }), "{unknown}");
    books.put_off(epoch, "t1", at("2025-01-21T00:00:00Z")).await.unwrap();
    assert_eq!(books.usage_due(at("2025-01-20T12:00:00Z")).await.unwrap(), Vec::<String>::new());
    let (books, epoch) = paid(&place).await;
    assert_eq!(books.next_usage().await.unwrap(), Some(at("2025-01-21T00:00:00Z")));
    assert_eq!(rolled(&books, epoch, "2025-01-21T00:00:00Z").await, 1);
}

pub(crate) async fn what_was_told_of_usage_stays_as_it_was(place: Place) {
    let (books, _) = paid(&place).await;
    let now = at("2025-01-20T10:30:00Z");
    let events = [event("a", "2025-01-20T10:20:00Z", 1), event("b", "2025-01-20T10:20:00Z", -1)];
    assert_eq!(told(&books, TENANT, &events, now).await, ["Accepted", "BadQuantity"]);
    let mut statements: Vec<String> = Vec::new();
    for table in ["usage_event", "usage_quarantine"] {
        statements.push(format!("DELETE FROM {table}"));
        statements.push(format!("UPDATE {table} SET told_by = 'x'"));
        statements.push(match place.is_server() {
            true => format!("TRUNCATE {table}"),
            false => format!("INSERT OR REPLACE INTO {table} SELECT * FROM {table}"),
        });
    }
    for statement in statements {
        let error = place.run(sqlx::AssertSqlSafe(statement.clone())).await.unwrap_err().to_string();
        assert!(error.contains("append-only") || error.contains("told already"), "{statement}: {error}");
    }
}

pub(crate) async fn hours_told_again_are_the_same_and_other_numbers_are_a_difference(place: Place) {
    let (books, epoch) = paid(&place).await;
    let hours = |numbers: &[i128]| {
        let hours = numbers.iter().enumerate().map(|(hour, number)| {
            let begin = format!("2025-01-20T{hour:02}:00:00Z");
            (at(&begin), *number)
        });
        BTreeMap::from([("storage".to_owned(), hours.collect::<BTreeMap<_, _>>())])
    };
    let told = async |numbers: &[i128], now: &str| {
        books.tell_hours(epoch, "t1", "acme", &hours(numbers), at(now)).await.unwrap()
    };
    assert_eq!(told(&[3_600, 0, 7_200], "2025-01-20T03:05:00Z").await, 3);
    assert_eq!(told(&[3_600, 0, 7_200], "2025-01-20T03:10:00Z").await, 0);
    // One became known later, and one was not so.
    assert_eq!(told(&[3_600, 1_800, 0, 5], "2025-01-20T04:05:00Z").await, 3);
    assert_eq!(told(&[3_600, 1_800, 0, 5], "2025-01-20T04:05:00Z").await, 0);
    let loaded = books.load("acme").await.unwrap().unwrap();
    let mut records: Vec<(i64, u32, i64)> = loaded
        .counted()
        .usage
        .iter()
        .map(|usage| ((usage.at.as_second() / 3_600).rem_euclid(24), usage.revision, usage.quantity))
        .collect();
    records.sort_unstable();
    assert_eq!(records, [(0, 0, 3_600), (1, 0, 0), (1, 1, 1_800), (2, 0, 7_200), (2, 1, -7_200), (3, 0, 5)]);
    let as_of = at("2025-02-02T00:00:00Z");
    books.run(epoch, as_of, as_of).await.unwrap();
    assert_eq!(books.verify().await.unwrap().faults, []);
}

pub(crate) async fn hours_that_nobody_measured_are_noted_until_they_are_told(place: Place) {
    let (books, epoch) = paid(&place).await;
    let begin = |hour: i64| at("2025-01-20T00:00:00Z").checked_add(SignedDuration::from_hours(hour)).unwrap();
    let key = |hour: i64, tenant: Option<&str>| MissingHour {
        application: "erp".to_owned(),
        meter: "cores".to_owned(),
        hour: begin(hour),
        tenant: tenant.map(str::to_owned),
    };
    let why = |reason: &str| reason.to_owned();
    let first = BTreeMap::from([
        (key(1, None), why("away")),
        (key(2, None), why("away")),
        (key(2, Some("t1")), why("NaN")),
    ]);
    books.note_missing(epoch, &[], &first).await.unwrap();
    assert_eq!(books.missing().await.unwrap(), first);
    // Noted again with another reason it is one note; what was told is none.
    let again = BTreeMap::from([(key(2, None), why("half of it"))]);
    books.note_missing(epoch, &[key(1, None)], &again).await.unwrap();
    let left = BTreeMap::from([(key(2, None), why("half of it")), (key(2, Some("t1")), why("NaN"))]);
    assert_eq!(books.missing().await.unwrap(), left);

    let meters = |unit: &str| BTreeMap::from([(("erp".to_owned(), "cores".to_owned()), unit.to_owned())]);
    books.note_measured(epoch, &meters("Item")).await.unwrap();
    books.note_measured(epoch, &meters("MillicoreSecond")).await.unwrap();
    assert_eq!(books.measured().await.unwrap(), meters("MillicoreSecond"));

    // The ledger says which hours it has, corrected or not, from the hour on that is asked for.
    let hours = |numbers: [(i64, i128); 3]| {
        let hours = numbers.map(|(hour, number)| (begin(hour), number));
        BTreeMap::from([("cores".to_owned(), BTreeMap::from(hours))])
    };
    for numbers in [[(1, 5), (2, 0), (7, 9)], [(1, 4), (2, 0), (7, 9)]] {
        books.tell_hours(epoch, "t1", "acme", &hours(numbers), at("2025-01-20T09:00:00Z")).await.unwrap();
    }
    let told = async |from: i64| books.hours_told("acme", "t1", begin(from)).await.unwrap();
    assert_eq!(told(0).await, BTreeMap::from([("cores".to_owned(), BTreeSet::from([1, 2, 7].map(begin)))]));
    assert_eq!(told(3).await, BTreeMap::from([("cores".to_owned(), BTreeSet::from([begin(7)]))]));
    assert_eq!(told(8).await, BTreeMap::new());
    let other = books.hours_told("acme", "t2", begin(0)).await.unwrap();
    assert_eq!(other, BTreeMap::new());
}
