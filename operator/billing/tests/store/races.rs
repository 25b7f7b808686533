//! Several who write at once, and some who are cut off.

use std::collections::BTreeSet;

use tenantry_billing::{Books, BooksError};
use tenantry_journal::Database;

use crate::place::{Place, on_both};
use crate::polled::polled;
use crate::town::{agreement, at, leader, list, live, opened, start};

on_both![eight_who_finalise_and_are_cut_off_leave_no_gap, after_a_takeover_nothing_of_the_old_leader_lands,];

/// An account with sixty months to bill, and eight who bill it, each with connections of his own. Every other try is given up
/// somewhere on its way, which rolls back.
async fn eight_who_finalise_and_are_cut_off_leave_no_gap(place: Place) {
    let (books, epoch) = opened(&place.url).await;
    let now = at("2020-01-01T00:00:00Z");
    for account in ["one", "two"] {
        books.open(epoch, &agreement(account), now).await.unwrap();
        let begins = [start(account, "2020-01-01T10:00:00Z", "silver@1")];
        books.tell(epoch, account, &[list("silver@1", "99.00")], &begins, now).await.unwrap();
    }
    let as_of = at("2024-12-15T00:00:00Z");
    let finalising = (0..8_usize).map(|number| {
        let url = place.url.clone();
        tokio::spawn(async move {
            let books = Books::new(Database::open(&url).await.unwrap());
            let mut cut = 0;
            for turn in 0_usize.. {
                let polls = 3 + (turn * 31 + number * 17) % 120;
                match polled(if turn % 2 == 0 { polls } else { usize::MAX }, books.run(epoch, as_of, now))
                    .await
                {
                    None => cut += 1,
                    Some(Ok(_)) => break,
                    Some(Err(BooksError::Contended { .. })) => {}
                    Some(Err(error)) => assert!(error.is_outage(), "{error}"),
                }
            }
            cut
        })
    });
    let mut cut = 0;
    for finalising in finalising.collect::<Vec<_>>() {
        cut += finalising.await.unwrap();
    }
    // Who begins first has three polls, in which nobody closes anything; how many more are cut off depends on who is faster.
    assert!(cut > 0, "nobody was cut off");
    for account in ["one", "two"] {
        let numbers: Vec<String> =
            books.documents_of(account).await.unwrap().into_iter().map(|document| document.number).collect();
        let series = if account == "one" { "INV-001" } else { "INV-002" };
        let expected: Vec<String> = (1..=60).map(|number| format!("{series}-{number:03}")).collect();
        assert_eq!(numbers, expected);
    }
    let verdict = books.verify().await.unwrap();
    assert_eq!(verdict.faults, []);
    assert_eq!(verdict.documents, 120);
}

/// The old leader goes on for as long as he can; the new one finishes. What comes of it is what one alone would have made.
async fn after_a_takeover_nothing_of_the_old_leader_lands(place: Place) {
    let (old, old_epoch) = opened(&place.url).await;
    let new = Books::new(Database::open(&place.url).await.unwrap());
    for number in 1..=10 {
        live(&old, old_epoch, number).await;
    }
    let as_of = at("2025-09-30T23:59:59Z");
    let taking_over = async {
        let other = Database::open(&place.url).await.unwrap();
        // Amid the other's work.
        while new.accounts().await.unwrap().is_empty() || new.documents_of("t1a").await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let epoch = other.take_over(&leader("b", 1)).await.unwrap();
        new.run(epoch, as_of, as_of).await.unwrap();
        epoch
    };
    let working = async {
        // Month by month, so that there is always something left.
        for month in 2..=9 {
            let as_of = at(&format!("2025-{month:02}-28T00:00:00Z"));
            if let Err(error) = old.run(old_epoch, as_of, as_of).await {
                return error;
            }
        }
        loop {
            let Err(error) = old.run(old_epoch, as_of, as_of).await else {
                let nothing = old.tell(old_epoch, "account-0001", &[list("x@1", "1.00")], &[], as_of).await;
                match nothing {
                    Err(error) => return error,
                    Ok(_) => continue,
                }
            };
            return error;
        }
    };
    let (epoch, error) = tokio::join!(taking_over, working);
    assert!(error.is_superseded() && error.to_string().contains("\"b\""), "{error}");
    let heads: BTreeSet<String> = old.accounts().await.unwrap().into_iter().collect();
    assert_eq!(heads.len(), 10);
    let before = new.verify().await.unwrap();
    assert_eq!(before.faults, []);
    assert!(old.open(old_epoch, &agreement("late"), as_of).await.unwrap_err().is_superseded());
    assert!(old.record_usage(old_epoch, "account-0001", &[]).await.unwrap_err().is_superseded());
    assert!(old.told(old_epoch, &[]).await.unwrap_err().is_superseded());
    assert_eq!(new.verify().await.unwrap(), before);
    new.open(epoch, &agreement("late"), as_of).await.unwrap();
}
