//! Processes that are killed amid everything that writes: whoever comes after them ends where nobody was killed.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::process::Command;
use std::task::Poll;

use rustix::process::{Signal, getpid, kill_process};
use serde_json::json;
use tempfile::TempDir;
use tenantry_billing::{Books, Settled, State};
use tenantry_control_plane::Postgres;
use tenantry_journal::{Database, Epoch};
use tenantry_ledger::payment::{PaymentKind, ToldPayment};
use tenantry_sinks::folder::{Folder, Form};
use tenantry_sinks::{Letter, Reminder, Sink, deliver};

use crate::payments;
use crate::place::Place;
use crate::town::{at, close, edited, live_under, opened};
use crate::usage::{TENANT, event, told_about};

const URL: &str = "BOOKS_URL";
const FOLDER: &str = "BOOKS_FOLDER";
const KILL_AT: &str = "BOOKS_KILL_AT";
const ACCOUNTS: &str = "BOOKS_ACCOUNTS";

/// Everything that accounts have is told, and then closed, passed on, paid in part and delivered. Whoever is killed amid it begins anew,
/// and knows nothing of what was kept.
async fn everything(url: &str, folder: &Path, accounts: usize) {
    let (books, epoch) = opened(url).await;
    for number in 1..=accounts {
        let agreement = edited(&account(number), |value| {
            value["sinks"] = json!(["orderly/drop"]);
            value["paymentSources"] = json!(["bank"]);
            value["dunning"] = json!([{"state": "Reminder", "days": 3}]);
        });
        live_under(&books, epoch, number, &agreement).await;
        used(&books, epoch, number).await;
    }
    close(&books, epoch).await;
    for number in 1..=accounts {
        paid(&books, epoch, number).await;
    }
    delivered(&books, epoch, folder).await;
}

fn account(number: usize) -> String {
    format!("account-{number:04}")
}

/// Usage is told by the application, some of which does not count, and the ledger is told of it.
async fn used(books: &Books, epoch: Epoch, number: usize) {
    let tenant = format!("t{number}a");
    let now = at("2025-08-31T12:00:00Z");
    let events = [
        event("a", "2025-08-31T10:20:00Z", 3_600),
        event("b", "2025-08-31T11:20:00Z", 7_200),
        event("c", "2025-08-31T23:20:00Z", 1),
    ];
    told_about(&tenant, books, TENANT, &events, now).await;
    let by = at("2025-08-31T12:05:00Z");
    if books.usage_due(by).await.unwrap().contains(&tenant) {
        books.roll_up(epoch, &tenant, &account(number), by).await.unwrap();
    }
}

/// An account pays, takes some of it back, and is reminded of the rest.
async fn paid(books: &Books, epoch: Epoch, number: usize) {
    let account = account(number);
    let now = at("2025-12-20T12:00:00Z");
    let payment = payments::told(&account, &format!("{account}/1"), "100.00");
    let back = ToldPayment {
        kind: PaymentKind::Chargeback,
        ..payments::told(&account, &format!("{account}/2"), "30.00")
    };
    books.pay(epoch, &[payment], now).await.unwrap();
    books.pay(epoch, &[back], now).await.unwrap();
    books.dun(epoch, &account, now).await.unwrap();
}

/// Documents and notices are put into a folder, and noted as delivered afterwards.
async fn delivered(books: &Books, epoch: Epoch, folder: &Path) {
    let at = at("2025-12-20T12:00:00Z");
    let sink = Folder::new(folder.to_owned(), vec![Form::Json]);
    loop {
        let due = books.deliveries_due(at, 10).await.unwrap();
        if due.is_empty() {
            return;
        }
        for delivery in due {
            match delivery.stage {
                None => {
                    let document = books.document(&delivery.number).await.unwrap();
                    deliver(&sink, Letter { document: &document, answered: delivery.answered, at })
                        .await
                        .unwrap();
                }
                Some(stage) => {
                    let notice = books.notice(&delivery.number, stage).await.unwrap();
                    sink.remind(Reminder { notice: &notice, at }).unwrap().await.unwrap();
                }
            }
            books.settle(epoch, &[(delivery, Settled::Sent(None))]).await.unwrap();
        }
    }
}

/// What runs in a process of its own: it kills itself when it was polled so often, which is once for each step of a statement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other tests run it as a process of its own"]
async fn child() {
    let url = std::env::var(URL).unwrap();
    let kill_at: usize = std::env::var(KILL_AT).unwrap().parse().unwrap();
    let accounts: usize = std::env::var(ACCOUNTS).unwrap().parse().unwrap();
    let folder = std::env::var(FOLDER).unwrap();
    let mut work = pin!(everything(&url, Path::new(&folder), accounts));
    let mut polls = 0;
    poll_fn(|context| {
        polls += 1;
        if polls == kill_at {
            kill_process(getpid(), Signal::KILL).unwrap();
        }
        let poll = work.as_mut().poll(context);
        if poll == Poll::Ready(()) {
            println!("polls: {polls}");
        }
        poll
    })
    .await;
}

/// Runs the child; how often it was polled, or nothing when it was killed.
fn run_child(at: &Spot, kill_at: usize, accounts: usize) -> Option<usize> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["crash::child", "--exact", "--ignored", "--nocapture"])
        .env(URL, &at.place.url)
        .env(FOLDER, at.folder.path())
        .env(KILL_AT, kill_at.to_string())
        .env(ACCOUNTS, accounts.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let polls = said.lines().find_map(|line| line.split_once("polls: ")?.1.parse().ok());
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() == polls.is_some(), "{complained}");
    assert!(polls.is_some() || !complained.contains("panicked"), "{complained}");
    polls
}

/// Where everything is kept: the books, and what was put into the folder.
struct Spot {
    place: Place,
    folder: TempDir,
}

// === impl Spot ===

impl Spot {
    fn at(place: Place) -> Self {
        Self { place, folder: TempDir::new().unwrap() }
    }

    /// What the books come to, what is in the folder, how many deliveries there were, and what of usage does not count.
    async fn proof(&self, accounts: usize) -> (String, BTreeMap<String, String>, usize, i64) {
        let books = Books::new(Database::open_to_read(&self.place.url).await.unwrap());
        let verdict = books.verify().await.unwrap();
        assert_eq!(verdict.faults, []);
        assert_eq!(verdict.not_recomputed, 0);
        let files = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap())
        });
        // What was cut off in the midst of writing lies beside it under another name, and is fetched by nobody.
        let files: BTreeMap<_, _> = files.filter(|(name, _)| !name.starts_with('.')).collect();
        assert_eq!(books.deliveries(None).await.unwrap(), [], "everything is there");
        let mut deliveries = 0;
        for name in files.keys() {
            let number = name.split('.').next().unwrap().replace('_', "/");
            let of_it = books.deliveries(Some(&number)).await.unwrap();
            assert!(of_it.iter().all(|one| one.state == State::Sent), "{of_it:?}");
            deliveries += of_it.len();
        }
        let mut aside = 0;
        for number in 1..=accounts {
            let (from, to) = (at("2025-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z"));
            aside += books.kept_aside(&format!("t{number}a"), from, to).await.unwrap().values().sum::<i64>();
        }
        (verdict.hash, files, deliveries, aside)
    }
}

/// Kills at so many steps, spread over everything that ten accounts come to: opening, telling, usage, runs, payments, notices,
/// deliveries and what was passed on. Whoever comes next is killed as well, at another step, and the one after goes on to the end.
async fn killed_everywhere(kills: usize, make: impl AsyncFn() -> Place) {
    const ACCOUNTS: usize = 10;
    let spot = Spot::at(make().await);
    let steps = run_child(&spot, usize::MAX, ACCOUNTS).unwrap();
    let undisturbed = spot.proof(ACCOUNTS).await;
    assert!(
        undisturbed.1.len() > ACCOUNTS && undisturbed.2 > ACCOUNTS && undisturbed.3 == 10,
        "{undisturbed:?}"
    );
    let mut killed = 0;
    for number in 0..kills {
        let spot = Spot::at(make().await);
        // One step after another where there is time for it; at least no two at the same distance.
        let at = 2 + (number * steps + number * 7 % steps) / kills;
        killed += usize::from(run_child(&spot, at, ACCOUNTS).is_none());
        killed += usize::from(run_child(&spot, 2 + (at * 5 + number) % steps, ACCOUNTS).is_none());
        run_child(&spot, usize::MAX, ACCOUNTS).unwrap();
        assert!(spot.proof(ACCOUNTS).await == undisturbed, "killed at step {at} of {steps}");
    }
    assert!(killed >= kills, "{killed} of {kills} places were killed at");
    println!("{killed} kills at {steps} steps");
}

#[tokio::test]
async fn a_killed_process_leaves_a_file_from_which_the_next_ends_alike() {
    killed_everywhere(40, async || Place::file()).await;
}

#[tokio::test]
async fn a_killed_process_leaves_a_server_from_which_the_next_ends_alike() {
    let test = "a_killed_process_leaves_a_server_from_which_the_next_ends_alike";
    // Kept for the whole test, or each place would start a server of its own.
    let Some(_server) = Place::server(test).await else { return };
    assert_eq!(Postgres::missing(), None);
    killed_everywhere(15, async || Place::server(test).await.unwrap()).await;
}

/// So many kills at seeded steps of everything that so many accounts come to, one after the other on the same books until they are
/// closed.
async fn killed_again_and_again(kills: usize, accounts: usize) {
    let spot = Spot::at(Place::file());
    let steps = run_child(&spot, usize::MAX, accounts).unwrap();
    let undisturbed = spot.proof(accounts).await;
    let (mut killed, mut seed) = (0, 20_261_128_usize);
    while killed < kills {
        let spot = Spot::at(Place::file());
        loop {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let kill_at = if killed < kills { 2 + (seed >> 33) % steps } else { usize::MAX };
            match run_child(&spot, kill_at, accounts) {
                None => killed += 1,
                Some(_) => break,
            }
        }
        assert!(spot.proof(accounts).await == undisturbed, "after {killed} kills");
    }
    println!("{killed} kills, {steps} steps undisturbed");
}

#[tokio::test]
async fn whoever_is_killed_again_and_again_ends_alike() {
    killed_again_and_again(8, 30).await;
}

/// It takes long: everything of a thousand accounts is told anew after each kill.
#[tokio::test]
#[ignore = "takes long; run it by name"]
async fn fifty_kills_amid_a_thousand_accounts() {
    killed_again_and_again(50, 1_000).await;
}
