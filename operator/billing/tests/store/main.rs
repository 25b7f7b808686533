//! The books on real databases: every test of `on_both` runs on a file and on a PostgreSQL server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on ends here"
)]

mod crash;
mod deliveries;
mod payments;
#[path = "../../../journal/tests/store/place.rs"]
mod place;
#[path = "../../../journal/tests/store/polled.rs"]
mod polled;
mod races;
mod town;
mod usage;

use std::collections::BTreeSet;

use serde_json::json;
use sqlx::AssertSqlSafe;
use tenantry_billing::{AsOf, BooksError, RECORDS, Summary};
use tenantry_ledger::catalogue::PriceList;
use tenantry_ledger::history::Acceptance;
use tenantry_ledger::run::RULES;

use deliveries::a_delivery_begins_with_its_document_and_ends_once;
use payments::{
    a_notice_is_made_once_and_goes_to_every_sink, a_payment_is_kept_once,
    payments_told_in_any_order_and_at_once_stand_the_same, told as pays,
};
use place::{Place, on_both};
use town::{agreement, at, close, day, edited, list, live, opened, start, telling};
use usage::{
    a_period_with_usage_is_closed_when_its_last_hours_are_told, each_event_ends_where_the_rules_say,
    hours_that_nobody_measured_are_noted_until_they_are_told,
    hours_told_again_are_the_same_and_other_numbers_are_a_difference, usage_of_whom_nobody_pays_for_waits,
    usage_replayed_in_any_order_is_the_same_ledger, what_is_kept_aside_is_listed_page_by_page,
    what_was_told_of_usage_stays_as_it_was,
    whoever_takes_it_in_it_counts_once_and_the_leader_tells_the_ledger,
};

on_both![
    a_life_is_billed_boundary_by_boundary,
    telling_and_running_twice_changes_nothing,
    a_dry_run_says_what_a_run_does_and_writes_nothing,
    a_day_ends_by_each_account_s_own_clock,
    what_cannot_be_charged_is_refused_and_nothing_is_kept,
    an_account_that_cannot_be_billed_is_parked_alone,
    usage_is_told_once,
    the_database_refuses_to_change_the_past,
    verifying_finds_what_was_changed,
    runs_of_other_rules_are_not_recomputed,
    documents_are_found_by_subscription_and_by_number,
    a_delivery_begins_with_its_document_and_ends_once,
    each_event_ends_where_the_rules_say,
    hours_that_nobody_measured_are_noted_until_they_are_told,
    a_period_with_usage_is_closed_when_its_last_hours_are_told,
    what_is_kept_aside_is_listed_page_by_page,
    usage_replayed_in_any_order_is_the_same_ledger,
    whoever_takes_it_in_it_counts_once_and_the_leader_tells_the_ledger,
    usage_of_whom_nobody_pays_for_waits,
    what_was_told_of_usage_stays_as_it_was,
    hours_told_again_are_the_same_and_other_numbers_are_a_difference,
    a_notice_is_made_once_and_goes_to_every_sink,
    a_payment_is_kept_once,
    payments_told_in_any_order_and_at_once_stand_the_same,
];

/// Number, date and what is left to pay of each document.
fn told(summary: &Summary) -> Vec<String> {
    let documents = summary.documents.iter();
    documents
        .map(|document| format!("{} {} {}", document.issued, document.number, document.payable))
        .collect()
}

async fn a_life_is_billed_boundary_by_boundary(place: Place) {
    let (books, epoch) = opened(&place.url).await;
    let now = at("2025-01-01T00:00:00Z");
    assert!(books.open(epoch, &agreement("acme"), now).await.unwrap());
    assert!(!books.open(epoch, &agreement("acme"), now).await.unwrap());
    assert_eq!(books.next_due().await.unwrap(), None);
    let lists = [list("silver@1", "99.00"), list("gold@1", "249.00")];
    // In Zurich it is the second of January already.
    let begins = [start("t1", "2025-01-01T23:30:00Z", "silver@1")];
    assert_eq!(books.tell(epoch, "acme", &lists, &begins, now).await.unwrap(), 3);
    assert_eq!(books.next_due().await.unwrap(), Some(at("2025-01-01T23:00:00Z")));
    let as_of = at("2025-02-15T00:00:00Z");
    let summary = books.run(epoch, as_of, as_of).await.unwrap();
    // 99.00 and 150.00 for the setup, with 8.1 % tax; then 99.00 and 19.90.
    assert_eq!(told(&summary), ["2025-01-02 INV-001-001 269.17", "2025-02-02 INV-001-002 128.53"]);
    assert_eq!((summary.closed, summary.parked.len()), (2, 0));
    assert_eq!(books.next_due().await.unwrap(), Some(at("2025-03-01T23:00:00Z")));
    let loaded = books.load("acme").await.unwrap().unwrap();
    assert_eq!(loaded.history.anchor().unwrap().to_string(), "2025-01-02");
    assert!(books.verify().await.unwrap().is_sound());

    // What ends gives back, and the account is not looked at any more.
    let end = telling("t1/end", "t1", "2025-02-12T12:00:00Z", json!({"type": "Cancel"}));
    books.tell(epoch, "acme", &[], &[end], as_of).await.unwrap();
    let summary = books.run(epoch, as_of, as_of).await.unwrap();
    assert_eq!(told(&summary), ["2025-02-12 CN-001-001 0.00"]);
    assert_eq!(books.next_due().await.unwrap(), None);
    let verdict = books.verify().await.unwrap();
    assert_eq!((verdict.accounts, verdict.facts, verdict.recomputed, verdict.documents), (1, 8, 3, 3));
    assert_eq!(verdict.faults, []);

    // A second account has the second place.
    books.open(epoch, &agreement("other"), now).await.unwrap();
    let begins = [start("t2", "2025-02-01T10:00:00Z", "silver@1")];
    books.tell(epoch, "other", &lists[..1], &begins, now).await.unwrap();
    assert_eq!(told(&books.run(epoch, as_of, as_of).await.unwrap()), ["2025-02-01 INV-002-001 269.17"]);
}

async fn telling_and_running_twice_changes_nothing(place: Place) {
    let (books, epoch) = opened(&place.url).await;
    live(&books, epoch, 3).await;
    close(&books, epoch).await;
    let before = books.verify().await.unwrap();
    assert_eq!(before.faults, []);
    live(&books, epoch, 3).await;
    close(&books, epoch).await;
    assert_eq!(books.verify().await.unwrap(), before);
    assert_eq!(books.to_tell(RECORDS, 0, 500).await.unwrap(), []);
}

async fn a_dry_run_says_what_a_run_does_and_writes_nothing(place: Place) {
    let (books, epoch) = opened(&place.url).await;
    for number in 1..=3 {
        live(&books, epoch, number).await;
    }
    let as_of = at("2025-09-30T00:00:00Z");
    let before = books.verify().await.unwrap();
    let dry = books.dry_run(as_of).await.unwrap();
    assert_eq!(books.verify().await.unwrap(), before);
    assert!(dry.documents.len() > 10, "{}", dry.documents.len());
    assert_eq!(books.run(epoch, as_of, as_of).await.unwrap(), dry);
}

async fn a_day_ends_by_each_account_s_own_clock(place: Place) {
    let (books, epoch) = opened(&place.url).await;
    let now = at("2025-01-01T00:00:00Z");
    for (account, zone, begin) in [
        ("auckland", "Pacific/Auckland", "2025-01-01T00:00:00Z"),
        ("honolulu", "Pacific/Honolulu", "2025-01-01T20:00:00Z"),
        ("samoa", "Pacific/Pago_Pago", "2025-01-01T20:00:00Z"),
    ] {
        let agreement = edited(account, |value| value["account"]["timeZone"] = json!(zone));
        books.open(epoch, &agreement, now).await.unwrap();
        let begins = [start(account, begin, "silver@1")];
        books.tell(epoch, account, &[list("silver@1", "99.00")], &begins, now).await.unwrap();
    }
    // Each began on the first of January of its own calendar.
    let days = |summary: &Summary| {
        let mut days: Vec<String> = summary
            .documents
            .iter()
            .map(|document| format!("{} {}", document.account, document.issued))
            .collect();
        days.sort();
        days
    };
    let all = |day: &str| ["auckland", "honolulu", "samoa"].map(|account| format!("{account} {day}"));
    let first = AsOf::end_of("2025-01-01".parse().unwrap()).unwrap();
    let nothing = first.no_later_than(at("2025-01-01T09:00:00Z"));
    assert_eq!(days(&books.dry_run(nothing).await.unwrap()), ["auckland 2025-01-01"]);
    assert_eq!(days(&books.run(epoch, first, now).await.unwrap()), all("2025-01-01"));
    let january = AsOf::end_of("2025-01-31".parse().unwrap()).unwrap();
    assert_eq!(books.run(epoch, january, now).await.unwrap(), Summary::default());
    let next = AsOf::end_of("2025-02-01".parse().unwrap()).unwrap();
    assert_eq!(days(&books.run(epoch, next, now).await.unwrap()), all("2025-02-01"));
    // A day has begun as soon as it has anywhere.
    assert!(next.is_ahead_of(at("2025-01-31T09:59:59Z")) && !next.is_ahead_of(at("2025-01-31T10:00:00Z")));
    assert!(AsOf::from(now).is_ahead_of(at("2024-12-31T23:59:59Z")) && !AsOf::from(now).is_ahead_of(now));
}

async fn what_cannot_be_charged_is_refused_and_nothing_is_kept(place: Place) {
    let (books, epoch) = opened(&place.url).await;
    let now = at("2025-01-01T00:00:00Z");
    let nowhere = edited("acme", |value| value["account"]["timeZone"] = json!("Europe/Zuerich"));
    let BooksError::Refused(refusal) = books.open(epoch, &nowhere, now).await.unwrap_err() else {
        panic!("an account in no time zone was opened")
    };
    assert_eq!(refusal.field, "account.timeZone");
    assert_eq!(books.accounts().await.unwrap(), Vec::<String>::new());
    books.open(epoch, &agreement("acme"), now).await.unwrap();
    let before = books.verify().await.unwrap();

    let with = |edit: fn(&mut serde_json::Value)| -> PriceList {
        let mut value = serde_json::to_value(list("silver@1", "99.00")).unwrap();
        edit(&mut value);
        serde_json::from_value(value).unwrap()
    };
    let cases: [(PriceList, &str, &str); 4] = [
        (list("silver@1", "99.005"), "priceLists[silver@1].charges[base].price", "at most 2 decimals"),
        (with(|list| list["currency"] = json!("CHF")), "priceLists[silver@1].currency", "account's currency"),
        (
            with(|list| {
                list["charges"][2]["price"] = json!({"model": "Graduated", "tiers": [
                    {"upTo": "100", "price": "1"}, {"upTo": "50", "price": "2"}, {"price": "3"},
                ]});
            }),
            "priceLists[silver@1].charges[storage]",
            "",
        ),
        (
            with(|list| list["charges"][0]["price"]["price"] = json!("-1.00")),
            "priceLists[silver@1].charges[base].price",
            "zero or more",
        ),
    ];
    for (list, field, remedy) in cases {
        let begins = [start("t1", "2025-01-01T10:00:00Z", "silver@1")];
        let BooksError::Refused(refusal) =
            books.tell(epoch, "acme", &[list], &begins, now).await.unwrap_err()
        else {
            panic!("{field} was taken in")
        };
        assert!(refusal.field.starts_with(field), "{refusal}");
        assert!(refusal.remedy.contains(remedy) && !refusal.remedy.is_empty(), "{refusal}");
    }
    assert!(
        serde_json::from_value::<PriceList>(json!({"id": "x", "currency": "XYZ", "charges": []})).is_err()
    );
    let seats = json!({"type": "SetQuantity", "unit": "seat", "quantity": "-3"});
    let tellings =
        [start("t1", "2025-01-01T10:00:00Z", "silver@1"), telling("x", "t1", "2025-01-02T10:00:00Z", seats)];
    let lists = [list("silver@1", "99.00")];
    let BooksError::Refused(refusal) = books.tell(epoch, "acme", &lists, &tellings, now).await.unwrap_err()
    else {
        panic!("a negative quantity was taken in")
    };
    assert_eq!(refusal.field, "events[2].quantity");
    let unknown = books.tell(epoch, "nobody", &[], &[], now).await.unwrap_err();
    assert!(matches!(unknown, BooksError::Unknown { .. }), "{unknown}");
    let other_series = edited("acme", |value| value["series"]["invoice"] = json!("RE"));
    assert!(matches!(books.open(epoch, &other_series, now).await, Err(BooksError::Refused(_))));
    assert_eq!(books.verify().await.unwrap(), before, "nothing of all this was kept");
}

async fn an_account_that_cannot_be_billed_is_parked_alone(place: Place) {
    let (books, epoch) = opened(&place.url).await;
    let now = at("2025-01-01T00:00:00Z");
    let untaxed = edited("bad", |value| value["rates"] = json!([]));
    for agreement in [&untaxed, &agreement("good")] {
        books.open(epoch, agreement, now).await.unwrap();
        let begins = [start("t1", "2025-01-01T10:00:00Z", "silver@1")];
        books.tell(epoch, &agreement.account.id, &[list("silver@1", "99.00")], &begins, now).await.unwrap();
    }
    let as_of = at("2025-01-02T00:00:00Z");
    let summary = books.run(epoch, as_of, as_of).await.unwrap();
    assert_eq!(told(&summary), ["2025-01-01 INV-002-001 269.17"]);
    let parked = books.parked().await.unwrap();
    assert_eq!(parked, summary.parked);
    assert!(parked[0].1.contains("the issuer has no rate \"\""), "{parked:?}");
    assert_eq!(books.run(epoch, as_of, as_of).await.unwrap(), Summary::default(), "it waits");
    assert_eq!(books.next_due().await.unwrap(), Some(at("2025-01-31T23:00:00Z")), "and nobody waits for it");
    // What was missing is told, and it goes on by itself.
    books.open(epoch, &agreement("bad"), now).await.unwrap();
    assert_eq!(told(&books.run(epoch, as_of, as_of).await.unwrap()), ["2025-01-01 INV-001-001 269.17"]);
    let word = Acceptance { by: "jane".to_owned(), reason: "why not".to_owned() };
    let refused = books.accept(epoch, "good", &word, now).await.unwrap_err();
    assert!(refused.to_string().contains("it waits for nobody"), "{refused}");
    place.run("UPDATE ledger_state SET parked = 'a breaker' WHERE account = 'good'").await.unwrap();
    books.accept(epoch, "good", &word, now).await.unwrap();
    assert_eq!(books.parked().await.unwrap(), []);
    let verdict = books.verify().await.unwrap();
    assert_eq!(verdict.faults, []);
}

async fn usage_is_told_once(place: Place) {
    let (books, epoch) = opened(&place.url).await;
    let now = at("2025-01-01T00:00:00Z");
    books.open(epoch, &agreement("acme"), now).await.unwrap();
    let begins = [start("t1", "2025-01-01T10:00:00Z", "silver@1")];
    books.tell(epoch, "acme", &[list("silver@1", "99.00")], &begins, now).await.unwrap();
    let counted = day("t1", "2025-01-05T00:00:00Z", 36_000);
    assert_eq!(books.record_usage(epoch, "acme", std::slice::from_ref(&counted)).await.unwrap(), 1);
    assert_eq!(books.record_usage(epoch, "acme", std::slice::from_ref(&counted)).await.unwrap(), 0);
    type Edit = fn(&mut tenantry_billing::Batch);
    let cases: [(Edit, &str); 5] = [
        (|batch| batch.from = at("2025-01-05T01:00:00Z"), "the next revision"),
        (|batch| batch.quantities[3] += 1, "the next revision"),
        (|batch| batch.quantities.clear(), "at least one hour"),
        (|batch| batch.from = at("2025-01-06T00:30:00Z"), "whole hours"),
        (|batch| batch.quantities[0] = -1, "zero or more"),
    ];
    for (edit, remedy) in cases {
        let mut edited = counted.clone();
        edit(&mut edited);
        let refused = books.record_usage(epoch, "acme", &[edited]).await.unwrap_err();
        assert!(refused.to_string().contains(remedy), "{refused}");
    }
    assert!(books.record_usage(epoch, "nobody", std::slice::from_ref(&counted)).await.is_err());
    let as_of = at("2025-02-02T00:00:00Z");
    let summary = books.run(epoch, as_of, as_of).await.unwrap();
    let lines = &summary.documents[1].lines;
    let storage = lines.iter().find(|line| line.charge == "storage").unwrap();
    // 24 hours of ten, at 0.00125 each.
    assert_eq!((storage.net.as_str(), storage.quantity.as_str()), ("0.30", "240"));
    // A correction comes on the next document, with the dates of its own period.
    let mut corrected = day("t1", "2025-01-05T00:00:00Z", -18_000);
    corrected.revision = 1;
    books.record_usage(epoch, "acme", &[corrected]).await.unwrap();
    let as_of = at("2025-03-02T00:00:00Z");
    let summary = books.run(epoch, as_of, as_of).await.unwrap();
    let lines = &summary.documents[0].lines;
    let storage = lines.iter().find(|line| line.charge == "storage").unwrap();
    assert_eq!((storage.net.as_str(), storage.from.to_string().as_str()), ("-0.15", "2025-01-01T00:00:00"));
    assert_eq!(books.verify().await.unwrap().faults, []);
}

async fn the_database_refuses_to_change_the_past(place: Place) {
    let (books, epoch) = opened(&place.url).await;
    live(&books, epoch, 3).await;
    close(&books, epoch).await;
    books.pay(epoch, &[pays("account-0003", "1", "12.00")], at("2025-10-01T00:00:00Z")).await.unwrap();
    let before = books.verify().await.unwrap();
    let tables =
        ["account", "log", "usage", "payment", "posting", "document", "share", "series", "state", "outbox"];
    let mut statements: Vec<String> =
        tables.iter().map(|table| format!("DELETE FROM ledger_{table}")).collect();
    statements.extend(
        [
            "UPDATE ledger_log SET body = '{}'",
            "UPDATE ledger_posting SET minor = 0",
            "UPDATE ledger_payment SET minor = 1",
            "UPDATE ledger_document SET body = '{}'",
            "UPDATE ledger_account SET place = place + 5",
            "UPDATE ledger_usage SET hours = 1",
            "UPDATE ledger_share SET number = 'x'",
            "UPDATE ledger_series SET count = count + 2",
            "UPDATE ledger_series SET count = count - 1",
            "INSERT INTO ledger_series (series, count) VALUES ('new', 7)",
            "UPDATE ledger_state SET sequence = sequence - 1",
            "UPDATE ledger_state SET hash = 'x'",
            "UPDATE ledger_outbox SET is_done = 0",
            "UPDATE ledger_outbox SET number = 'x'",
        ]
        .map(str::to_owned),
    );
    if place.is_server() {
        statements.extend(tables.iter().map(|table| format!("TRUNCATE ledger_{table} CASCADE")));
    } else {
        statements.extend(
            [
                "INSERT OR REPLACE INTO ledger_log SELECT * FROM ledger_log",
                "INSERT OR REPLACE INTO ledger_posting SELECT * FROM ledger_posting",
                "INSERT OR REPLACE INTO ledger_payment SELECT * FROM ledger_payment",
                "INSERT OR REPLACE INTO ledger_document SELECT * FROM ledger_document",
                "INSERT OR REPLACE INTO ledger_usage SELECT * FROM ledger_usage",
                "INSERT OR REPLACE INTO ledger_account SELECT * FROM ledger_account",
                "INSERT OR REPLACE INTO ledger_series SELECT series, 1 FROM ledger_series",
            ]
            .map(str::to_owned),
        );
    }
    let words =
        ["append-only", "has it already", "counts on by one", "only grows", "stays told", "begins once"];
    for statement in statements {
        let error = place.run(AssertSqlSafe(statement.clone())).await.unwrap_err().to_string();
        assert!(words.iter().any(|word| error.contains(word)), "{statement}: {error}");
    }
    assert_eq!(books.verify().await.unwrap(), before);
}

/// As somebody would who has the database and takes the triggers away first.
async fn unguarded(place: &Place, table: &str, statement: &str) {
    let mut connection = place.connection().await;
    let run = async |connection: &mut sqlx::AnyConnection, sql: String| {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
    };
    if place.is_server() {
        run(&mut connection, format!("ALTER TABLE {table} DISABLE TRIGGER USER")).await;
        run(&mut connection, statement.to_owned()).await;
        run(&mut connection, format!("ALTER TABLE {table} ENABLE TRIGGER USER")).await;
        return;
    }
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = $1";
    let triggers: Vec<String> =
        sqlx::query_scalar(sql).bind(table.to_owned()).fetch_all(&mut connection).await.unwrap();
    for trigger in triggers {
        run(&mut connection, format!("DROP TRIGGER {trigger}")).await;
    }
    run(&mut connection, statement.to_owned()).await;
}

async fn verifying_finds_what_was_changed(place: Place) {
    let (books, epoch) = opened(&place.url).await;
    live(&books, epoch, 3).await;
    close(&books, epoch).await;
    books.pay(epoch, &[pays("account-0003", "1", "12.00")], at("2025-10-01T00:00:00Z")).await.unwrap();
    assert!(books.verify().await.unwrap().is_sound());
    // Each change stays, so what was found before is found again.
    for (table, statement, found) in [
        ("ledger_posting", "UPDATE ledger_posting SET minor = minor + 1 WHERE entry = 2", "postings are not"),
        ("ledger_payment", "UPDATE ledger_payment SET minor = minor + 1", "payments are not"),
        (
            "ledger_document",
            "UPDATE ledger_document SET body = replace(body, 'Orderly', 'Evil') WHERE place = 2",
            "documents are not",
        ),
        (
            "ledger_series",
            "UPDATE ledger_series SET count = count + 3 WHERE series = 'INV-001'",
            "its counter says",
        ),
        ("ledger_usage", "UPDATE ledger_usage SET quantities = zeroblob(192)", "computed again"),
        ("ledger_log", "UPDATE ledger_log SET body = replace(body, '99.00', '98.00')", "the hash of fact"),
    ] {
        let statement = match place.is_server() {
            true => statement.replace("zeroblob(192)", "decode(repeat('00', 192), 'hex')"),
            false => statement.to_owned(),
        };
        unguarded(&place, table, &statement).await;
        let verdict = books.verify().await.unwrap();
        assert!(
            verdict.faults.iter().any(|fault| fault.what.contains(found)),
            "{statement}: {:?}",
            verdict.faults
        );
    }
}

async fn runs_of_other_rules_are_not_recomputed(place: Place) {
    let (books, epoch) = opened(&place.url).await;
    live(&books, epoch, 3).await;
    close(&books, epoch).await;
    let before = books.verify().await.unwrap();
    assert_eq!(before.not_recomputed, 0);
    // The last run, as an earlier release would have closed it.
    let loaded = books.load("account-0003").await.unwrap().unwrap();
    let mut connection = place.connection().await;
    let last: (i64, String) =
        sqlx::query_as("SELECT sequence, body FROM ledger_log ORDER BY sequence DESC LIMIT 1")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    let earlier: String =
        sqlx::query_scalar("SELECT hash FROM ledger_log ORDER BY sequence DESC LIMIT 1 OFFSET 1")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    let body = last.1.replace(&format!("\"rules\":{RULES}"), "\"rules\":0");
    assert_ne!(body, last.1);
    let hash = tenantry_ledger::history::chained(&earlier, "Closed", &body);
    let quoted = body.replace('\'', "''");
    let statement =
        format!("UPDATE ledger_log SET body = '{quoted}', hash = '{hash}' WHERE sequence = {}", last.0);
    unguarded(&place, "ledger_log", &statement).await;
    unguarded(&place, "ledger_state", &format!("UPDATE ledger_state SET hash = '{hash}'")).await;
    let verdict = books.verify().await.unwrap();
    assert_eq!(verdict.faults, []);
    assert_eq!((verdict.not_recomputed, verdict.recomputed), (1, before.recomputed - 1));
    assert_eq!(loaded.history.closed(), books.load("account-0003").await.unwrap().unwrap().history.closed());
}

async fn documents_are_found_by_subscription_and_by_number(place: Place) {
    let (books, epoch) = opened(&place.url).await;
    live(&books, epoch, 3).await;
    for as_of in ["2025-07-15T00:00:00Z", "2025-09-30T23:59:59Z"] {
        books.run(epoch, at(as_of), at(as_of)).await.unwrap();
    }
    let of_one = books.documents_of("t3a").await.unwrap();
    let numbers: BTreeSet<&str> = of_one.iter().map(|document| document.number.as_str()).collect();
    assert_eq!(numbers.len(), of_one.len());
    for document in &of_one {
        assert!(document.lines.iter().any(|line| line.subscription == "t3a"), "{}", document.number);
        assert_eq!(&books.document(&document.number).await.unwrap(), document);
    }
    assert_eq!(books.documents_of("nobody").await.unwrap(), []);
    let missing = books.document("INV-999-001").await.unwrap_err().to_string();
    assert!(missing.contains("no document \"INV-999-001\""), "{missing}");
    let to_tell = books.to_tell(RECORDS, 0, 1_000).await.unwrap();
    let mine = to_tell.iter().filter(|told| told.subscription == "t3a").count();
    assert_eq!(mine, of_one.len());
}
