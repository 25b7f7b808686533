//! The store on real databases: every test of `on_both` runs on a file and on a PostgreSQL server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on ends here"
)]

mod outages;
mod place;
mod polled;

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use tenantry_journal::{Database, DatabaseError, Entry, Epoch, HistoryOf, Leader};
use tokio::sync::oneshot;
use tokio::time::timeout;

use place::{Place, on_both};
use polled::polled;

on_both![
    appending_twice_inserts_once,
    everything_of_an_entry_comes_back,
    an_append_of_many_is_one_transaction,
    a_superseded_epoch_writes_nothing,
    rules_of_a_takeover,
    after_a_takeover_nothing_of_the_old_epoch_lands,
    an_append_waits_for_a_takeover_that_is_under_way,
    an_append_that_is_given_up_lands_whole_or_not_at_all,
    the_database_refuses_to_change_the_past,
    history_of_a_name_goes_over_its_tenants,
    samples_are_the_latest_of_each_group,
    recorded_ids_are_those_of_the_tenants,
    ended_operations_come_latest_first,
    several_may_open_a_new_database_at_once,
    a_schema_of_another_release_is_refused,
    what_was_written_is_there_when_it_is_opened_again,
    who_opens_to_read_cannot_write,
];

fn leader(holder: &str, lease_uid: &str, transitions: i64) -> Leader {
    Leader { holder: holder.to_owned(), lease_uid: lease_uid.to_owned(), transitions }
}

/// An entry of `tenant` with the id `tenant/number`.
fn entry(tenant: &str, number: i64) -> Entry {
    Entry {
        id: format!("{tenant}/{number}"),
        tenant: tenant.to_owned(),
        subscription: "acme".to_owned(),
        uid: format!("uid-of-{tenant}"),
        operation: 1,
        subject: "Item".to_owned(),
        item: "training".to_owned(),
        outcome: "Done".to_owned(),
        plan: "standard".to_owned(),
        application: "erp".to_owned(),
        version: "erp-1".to_owned(),
        blueprint: "onboarding".to_owned(),
        started_at: Some(1_000 + number),
        ended_at: 1_010 + number,
        machine_seconds: number,
        people_seconds: 10 * number,
        attempts: 1,
        actor: "jane@provider.example".to_owned(),
        evidence: r#"{"uid":"1"}"#.to_owned(),
    }
}

/// An open database, and the epoch of its first leader.
async fn opened(place: &Place) -> (Database, Epoch) {
    let database = Database::open(&place.url).await.unwrap();
    let epoch = database.take_over(&leader("a", "lease", 0)).await.unwrap();
    (database, epoch)
}

async fn ids(database: &Database) -> Vec<String> {
    let history = database.history(&HistoryOf::Subscription("acme".to_owned())).await.unwrap();
    history.into_iter().map(|entry| entry.id).collect()
}

/// Everything can be awaited in a task of its own.
#[test]
fn futures_can_be_sent() {
    fn can_be_sent<T: Send>(_: impl FnOnce(&'static Database) -> T) {}
    can_be_sent(|_| Database::open("sqlite:x"));
    can_be_sent(|_| Database::open_to_read("sqlite:x"));
    can_be_sent(|database| database.take_over(Box::leak(Box::new(leader("a", "lease", 0)))));
    can_be_sent(|database| database.recorded(&[]));
    can_be_sent(|database| database.history(Box::leak(Box::new(HistoryOf::Tenant(String::new())))));
    can_be_sent(|database| database.samples(1));
    can_be_sent(|database| database.ended_operations(1));
}

async fn appending_twice_inserts_once(place: Place) {
    let (database, epoch) = opened(&place).await;
    assert_eq!(database.append(epoch, &[entry("t", 1), entry("t", 2), entry("t", 1)]).await.unwrap(), 2);
    let changed = Entry { actor: "somebody else".to_owned(), ..entry("t", 1) };
    assert_eq!(database.append(epoch, &[changed, entry("t", 3)]).await.unwrap(), 1);
    let history = database.history(&HistoryOf::Tenant("t".to_owned())).await.unwrap();
    assert_eq!(history, [entry("t", 1), entry("t", 2), entry("t", 3)]);
    assert_eq!(database.append(epoch, &[]).await.unwrap(), 0);
}

async fn everything_of_an_entry_comes_back(place: Place) {
    let (database, epoch) = opened(&place).await;
    let hostile = Entry {
        id: "'); DROP TABLE journal; --".to_owned(),
        item: "Škoda \"$1\" ? {} 日本 \u{202e}".to_owned(),
        started_at: None,
        ended_at: i64::MAX,
        machine_seconds: i64::MIN,
        evidence: "{\"text\":\"a\\u0000b\"}\n".to_owned(),
        ..entry("t", 1)
    };
    database.append(epoch, std::slice::from_ref(&hostile)).await.unwrap();
    // PostgreSQL cannot hold this character.
    let nul = Entry { actor: "a\0b".to_owned(), ..entry("t", 2) };
    database.append(epoch, &[nul]).await.unwrap();
    let seen = Entry { actor: "a\u{fffd}b".to_owned(), ..entry("t", 2) };
    assert_eq!(database.history(&HistoryOf::Tenant("t".to_owned())).await.unwrap(), [hostile, seen]);
}

async fn an_append_of_many_is_one_transaction(place: Place) {
    let (database, epoch) = opened(&place).await;
    let many: Vec<_> = (1..=1_203).map(|number| entry("t", number)).collect();
    database.append(epoch, &many[..2]).await.unwrap();
    assert_eq!(database.append(epoch, &many).await.unwrap(), 1_201);
    let expected: Vec<_> = many.iter().map(|entry| entry.id.clone()).collect();
    assert_eq!(ids(&database).await, expected);
}

async fn a_superseded_epoch_writes_nothing(place: Place) {
    let (database, old) = opened(&place).await;
    let other = Database::open(&place.url).await.unwrap();
    let new = other.take_over(&leader("b", "lease", 1)).await.unwrap();
    for entries in [&[entry("t", 1)][..], &[]] {
        let error = database.append(old, entries).await.unwrap_err();
        assert!(
            error.is_superseded() && !error.is_outage() && error.to_string().contains("\"b\""),
            "{error}"
        );
    }
    assert_eq!(other.append(new, &[entry("t", 2)]).await.unwrap(), 1);
    assert_eq!(ids(&database).await, ["t/2"]);
}

async fn rules_of_a_takeover(place: Place) {
    let (database, first) = opened(&place).await;
    let second = database.take_over(&leader("a", "lease", 0)).await.unwrap();
    assert_ne!(first, second, "the same process again");
    assert!(database.append(first, &[]).await.unwrap_err().is_superseded());
    database.take_over(&leader("b", "lease", 3)).await.unwrap();
    let refused = database.take_over(&leader("a", "lease", 2)).await.unwrap_err();
    assert!(matches!(&refused, DatabaseError::Superseded { by } if by == "b"), "{refused}");
    let made_anew = database.take_over(&leader("c", "another lease", 0)).await.unwrap();
    database.append(made_anew, &[]).await.unwrap();
}

async fn after_a_takeover_nothing_of_the_old_epoch_lands(place: Place) {
    let (old, old_epoch) = opened(&place).await;
    let new = Database::open(&place.url).await.unwrap();
    let (amid, is_amid) = oneshot::channel();
    let mut amid = Some(amid);
    let appending = async {
        let mut acknowledged = Vec::new();
        let mut refused = 0;
        // However long the other waits for its turn.
        for number in 0..20_000 {
            match old.append(old_epoch, &[entry("old", number)]).await {
                Ok(_) => acknowledged.push(format!("old/{number}")),
                Err(error) => {
                    assert!(error.is_superseded(), "{error}");
                    refused += 1;
                }
            }
            if number == 5 {
                amid.take().unwrap().send(()).unwrap();
            }
            if refused == 10 {
                break;
            }
        }
        acknowledged
    };
    let taking_over = async {
        is_amid.await.unwrap();
        let epoch = loop {
            match new.take_over(&leader("b", "lease", 1)).await {
                Ok(epoch) => break epoch,
                Err(error) => assert!(error.is_outage(), "{error}"),
            }
        };
        for number in 0..20 {
            new.append(epoch, &[entry("new", number)]).await.unwrap();
        }
    };
    let (acknowledged, ()) = tokio::join!(appending, taking_over);
    assert!(acknowledged.len() >= 6, "{acknowledged:?}");
    let expected = acknowledged.into_iter().chain((0..20).map(|number| format!("new/{number}")));
    assert_eq!(ids(&old).await, expected.collect::<Vec<_>>());
}

async fn an_append_waits_for_a_takeover_that_is_under_way(place: Place) {
    let (database, epoch) = opened(&place).await;
    let mut other = place.connection().await;
    let begin = if place.is_server() { "BEGIN" } else { "BEGIN IMMEDIATE" };
    sqlx::raw_sql(begin).execute(&mut other).await.unwrap();
    sqlx::raw_sql("UPDATE fence SET epoch = epoch + 1, holder = 'b'").execute(&mut other).await.unwrap();
    let entries = [entry("t", 1)];
    let mut append = pin!(database.append(epoch, &entries));
    assert!(timeout(Duration::from_millis(300), &mut append).await.is_err(), "it is not known who may write");
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    let error = append.await.unwrap_err();
    assert!(error.is_superseded(), "{error}");
    assert!(ids(&database).await.is_empty());
}

async fn an_append_that_is_given_up_lands_whole_or_not_at_all(place: Place) {
    let (database, epoch) = opened(&place).await;
    // Further than an append on a server goes.
    for polls in 1..=40 {
        let entries: Vec<_> = (0..20).map(|number| entry(&format!("t{polls}"), number)).collect();
        let _ = polled(polls, database.append(epoch, &entries)).await;
        let again = database.append(epoch, &entries).await.unwrap();
        assert!(again == 0 || again == 20, "given up after {polls} polls: {again} of 20 were missing");
        assert_eq!(ids(&database).await.len(), 20 * polls);
    }
}

async fn the_database_refuses_to_change_the_past(place: Place) {
    let (database, epoch) = opened(&place).await;
    database.append(epoch, &[entry("t", 1), entry("t", 2)]).await.unwrap();
    let mut statements = vec!["UPDATE journal SET actor = 'me'", "DELETE FROM journal WHERE id = 't/1'"];
    if place.is_server() {
        statements.push("TRUNCATE journal");
    } else {
        statements.push("UPDATE OR REPLACE journal SET id = 't/2' WHERE id = 't/1'");
        statements.push(
            "INSERT OR REPLACE INTO journal SELECT sequence, 'other', tenant, subscription, uid, operation, \
             subject, item, outcome, plan, application, version, blueprint, started_at, ended_at, \
             machine_seconds, people_seconds, attempts, 'me', evidence FROM journal",
        );
    }
    for statement in statements {
        let error = place.run(statement).await.unwrap_err().to_string();
        assert!(error.contains("the journal is append-only"), "{statement}: {error}");
    }
    if !place.is_server() {
        // The same ids: as in an append, nothing happens.
        place
            .run(
                "INSERT OR REPLACE INTO journal SELECT sequence + 10, id, tenant, subscription, uid, operation, \
                 subject, item, outcome, plan, application, version, blueprint, started_at, ended_at, \
                 machine_seconds, people_seconds, attempts, 'me', evidence FROM journal",
            )
            .await
            .unwrap();
    }
    let history = database.history(&HistoryOf::Tenant("t".to_owned())).await.unwrap();
    assert_eq!(history, [entry("t", 1), entry("t", 2)]);
}

async fn history_of_a_name_goes_over_its_tenants(place: Place) {
    let (database, epoch) = opened(&place).await;
    let other = Entry { subscription: "acme2".to_owned(), ..entry("x", 1) };
    // Appended later, ended earlier: the order is that of the journal.
    database.append(epoch, &[entry("b", 9), other, entry("b", 8)]).await.unwrap();
    database.append(epoch, &[entry("a", 2), entry("a", 1)]).await.unwrap();
    assert_eq!(ids(&database).await, ["b/9", "b/8", "a/2", "a/1"]);
    let of_one = database.history(&HistoryOf::Tenant("a".to_owned())).await.unwrap();
    assert_eq!(of_one, [entry("a", 2), entry("a", 1)]);
    assert!(database.history(&HistoryOf::Tenant("acme".to_owned())).await.unwrap().is_empty());
}

async fn samples_are_the_latest_of_each_group(place: Place) {
    let (database, epoch) = opened(&place).await;
    let mut entries: Vec<_> = [4, 1, 5, 3, 2].map(|number| entry("t", number)).into();
    let like = |id: &str| Entry { id: id.to_owned(), ..entry("t", 7) };
    entries.push(Entry { version: "erp-2".to_owned(), ..like("version") });
    entries.push(Entry { item: "check".to_owned(), ..like("item") });
    entries.push(Entry { outcome: "Failed".to_owned(), ..like("failed") });
    entries.push(Entry { subject: "Operation".to_owned(), ..like("operation") });
    database.append(epoch, &entries).await.unwrap();
    let samples = database.samples(2).await.unwrap();
    let seen: Vec<_> = samples
        .iter()
        .map(|sample| (&*sample.version, &*sample.item, sample.machine_seconds, sample.people_seconds))
        .collect();
    assert_eq!(
        seen,
        [
            ("erp-1", "check", 7, 70),
            ("erp-1", "training", 5, 50),
            ("erp-1", "training", 4, 40),
            ("erp-2", "training", 7, 70)
        ]
    );
    assert!(samples.iter().all(|sample| sample.application == "erp" && sample.plan == "standard"));
    assert!(database.samples(0).await.unwrap().is_empty());
}

async fn recorded_ids_are_those_of_the_tenants(place: Place) {
    let (database, epoch) = opened(&place).await;
    database.append(epoch, &[entry("t1", 1), entry("t2", 1), entry("t900", 1), entry("x", 1)]).await.unwrap();
    let tenants: Vec<_> = (0..1_000).map(|number| format!("t{number}")).collect();
    let recorded: BTreeSet<_> = database.recorded(&tenants).await.unwrap().into_iter().collect();
    assert_eq!(recorded, BTreeSet::from(["t1/1", "t2/1", "t900/1"].map(str::to_owned)));
    assert!(database.recorded(&[]).await.unwrap().is_empty());
}

async fn ended_operations_come_latest_first(place: Place) {
    let (database, epoch) = opened(&place).await;
    let operation = |number, outcome: &str| Entry {
        subject: "Operation".to_owned(),
        item: String::new(),
        outcome: outcome.to_owned(),
        ..entry("t", number)
    };
    let completed = [2, 4, 3].map(|number| operation(number, "Completed"));
    database.append(epoch, &completed).await.unwrap();
    database.append(epoch, &[operation(9, "Began"), entry("t", 8)]).await.unwrap();
    let latest = database.ended_operations(2).await.unwrap();
    assert_eq!(latest, [completed[1].clone(), completed[2].clone()]);
}

async fn several_may_open_a_new_database_at_once(place: Place) {
    let opening = (0..8).map(|_| {
        let url = place.url.clone();
        tokio::spawn(async move { Database::open(&url).await.map(drop) })
    });
    for opened in opening.collect::<Vec<_>>() {
        opened.await.unwrap().unwrap();
    }
}

async fn a_schema_of_another_release_is_refused(place: Place) {
    let missing = Database::open_to_read(&place.url).await.unwrap_err();
    assert!(matches!(missing, DatabaseError::Schema { .. }), "{missing}");
    assert!(missing.to_string().contains("the controller makes it when it starts"), "{missing}");
    opened(&place).await.0.close().await;
    let latest = "DELETE FROM _sqlx_migrations WHERE version = 7";
    place.run(latest).await.unwrap();
    let older = Database::open_to_read(&place.url).await.unwrap_err().to_string();
    assert!(older.contains("of an earlier release (schema 6, needed is 7)"), "{older}");
    let yes = if place.is_server() { "TRUE" } else { "1" };
    let future = format!(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         SELECT 8, 'future', {yes}, checksum, 0 FROM _sqlx_migrations WHERE version = 1"
    );
    place.run(AssertSqlSafe(future)).await.unwrap();
    for error in [Database::open(&place.url).await, Database::open_to_read(&place.url).await] {
        let error = error.unwrap_err();
        assert!(matches!(error, DatabaseError::Schema { .. }) && !error.is_outage(), "{error:?}");
        assert!(error.to_string().contains("of a later release (schema 8): run that release"), "{error}");
    }
}

async fn what_was_written_is_there_when_it_is_opened_again(place: Place) {
    let (database, epoch) = opened(&place).await;
    database.append(epoch, &[entry("t", 1)]).await.unwrap();
    database.close().await;
    let again = Database::open(&place.url).await.unwrap();
    assert_eq!(again.append(epoch, &[entry("t", 1), entry("t", 2)]).await.unwrap(), 1, "the epoch is kept");
    assert_eq!(ids(&again).await, ["t/1", "t/2"]);
}

async fn who_opens_to_read_cannot_write(place: Place) {
    let (database, epoch) = opened(&place).await;
    database.append(epoch, &[entry("t", 1)]).await.unwrap();
    let reader = Database::open_to_read(&place.url).await.unwrap();
    assert!(reader.append(epoch, &[entry("t", 2)]).await.is_err());
    assert!(reader.take_over(&leader("b", "lease", 9)).await.is_err());
    database.append(epoch, &[entry("t", 3)]).await.unwrap();
    assert_eq!(ids(&reader).await, ["t/1", "t/3"]);
    reader.close().await;
    database.close().await;
    // While nobody has it open.
    assert_eq!(ids(&Database::open_to_read(&place.url).await.unwrap()).await, ["t/1", "t/3"]);
}
