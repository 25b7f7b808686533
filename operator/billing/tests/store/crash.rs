//! Processes that are killed amid everything that writes: whoever comes after them ends where nobody was killed.

use std::future::poll_fn;
use std::pin::pin;
use std::process::Command;
use std::task::Poll;

use rustix::process::{Signal, getpid, kill_process};
use tenantry_billing::Books;
use tenantry_control_plane::Postgres;
use tenantry_journal::Database;

use crate::place::Place;
use crate::town::{close, live, opened};

const URL: &str = "BOOKS_URL";
const KILL_AT: &str = "BOOKS_KILL_AT";
const ACCOUNTS: &str = "BOOKS_ACCOUNTS";

/// Everything that accounts have is told, and then closed and passed on. Whoever is killed amid it begins anew, and knows nothing of
/// what was kept.
async fn everything(url: &str, accounts: usize) {
    let (books, epoch) = opened(url).await;
    for number in 1..=accounts {
        live(&books, epoch, number).await;
    }
    close(&books, epoch).await;
}

/// What runs in a process of its own: it kills itself when it was polled so often, which is once for each step of a statement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other tests run it as a process of its own"]
async fn child() {
    let url = std::env::var(URL).unwrap();
    let kill_at: usize = std::env::var(KILL_AT).unwrap().parse().unwrap();
    let accounts: usize = std::env::var(ACCOUNTS).unwrap().parse().unwrap();
    let mut work = pin!(everything(&url, accounts));
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
fn run_child(url: &str, kill_at: usize, accounts: usize) -> Option<usize> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["crash::child", "--exact", "--ignored", "--nocapture"])
        .env(URL, url)
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

async fn proof(place: &Place) -> String {
    let books = Books::new(Database::open_to_read(&place.url).await.unwrap());
    let verdict = books.verify().await.unwrap();
    assert_eq!(verdict.faults, []);
    assert_eq!(verdict.not_recomputed, 0);
    verdict.hash
}

/// Kills at so many steps, spread over everything that ten accounts come to: opening, telling, usage, runs and what was passed on.
/// Whoever comes next is killed as well, at another step, and the one after goes on to the end.
async fn killed_everywhere(kills: usize, make: impl AsyncFn() -> Place) {
    const ACCOUNTS: usize = 10;
    let place = make().await;
    let steps = run_child(&place.url, usize::MAX, ACCOUNTS).unwrap();
    let undisturbed = proof(&place).await;
    let mut killed = 0;
    for number in 0..kills {
        let place = make().await;
        // One step after another where there is time for it; at least no two at the same distance.
        let at = 2 + (number * steps + number * 7 % steps) / kills;
        killed += usize::from(run_child(&place.url, at, ACCOUNTS).is_none());
        killed += usize::from(run_child(&place.url, 2 + (at * 5 + number) % steps, ACCOUNTS).is_none());
        run_child(&place.url, usize::MAX, ACCOUNTS).unwrap();
        assert_eq!(proof(&place).await, undisturbed, "killed at step {at} of {steps}");
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
    let place = Place::file();
    let steps = run_child(&place.url, usize::MAX, accounts).unwrap();
    let undisturbed = proof(&place).await;
    let (mut killed, mut seed) = (0, 20_261_128_usize);
    while killed < kills {
        let place = Place::file();
        loop {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let kill_at = if killed < kills { 2 + (seed >> 33) % steps } else { usize::MAX };
            match run_child(&place.url, kill_at, accounts) {
                None => killed += 1,
                Some(_) => break,
            }
        }
        assert_eq!(proof(&place).await, undisturbed, "after {killed} kills");
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
