//! What cannot be reached: servers that are killed, wrong addresses, passwords that must not be shown.

use std::os::unix::fs::PermissionsExt;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenantry_control_plane::{Postgres, skipped};
use tenantry_journal::{Database, DatabaseError, Entry, HistoryOf};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::time::timeout;

use super::place::Place;
use super::{entry, ids, leader, opened};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_server_acknowledged_is_there() {
    if let Some(reason) = Postgres::missing() {
        skipped("what_a_killed_server_acknowledged_is_there", &reason);
        return;
    }
    let mut server = Postgres::start().unwrap();
    let database = Database::open(&server.url("postgres")).await.unwrap();
    let epoch = database.take_over(&leader("a", "lease", 0)).await.unwrap();
    assert!(ids(&database).await.is_empty());
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let appending = {
        let (database, acknowledged) = (database.clone(), Arc::clone(&acknowledged));
        tokio::spawn(async move {
            let mut number = 0;
            loop {
                if let Err(error) = database.append(epoch, &[entry("t", number)]).await {
                    break (number, error);
                }
                acknowledged.lock().unwrap().push(format!("t/{number}"));
                number += 1;
            }
        })
    };
    while acknowledged.lock().unwrap().len() < 20 {
        tokio::task::yield_now().await;
    }
    server.kill();
    let (unknown, error) = appending.await.unwrap();
    assert!(error.is_outage(), "{error:?}");
    let (entries, tenant) = ([entry("t", unknown)], HistoryOf::Tenant("t".to_owned()));
    let (append, history) = tokio::join!(database.append(epoch, &entries), database.history(&tenant));
    for error in [append.unwrap_err(), history.unwrap_err()] {
        assert!(error.is_outage(), "{error:?}");
    }

    server.restart().unwrap();
    assert!(database.append(epoch, &[entry("t", unknown)]).await.unwrap() <= 1);
    let mut expected = acknowledged.lock().unwrap().clone();
    expected.push(format!("t/{unknown}"));
    assert_eq!(ids(&database).await, expected);

    // Connections that the server closes while nobody uses them are noticed before they are used.
    server.stop();
    server.restart().unwrap();
    assert_eq!(ids(&database).await, expected);
    assert_eq!(database.append(epoch, &[entry("t", unknown + 1)]).await.unwrap(), 1);
}

/// Entries that take a moment to append.
fn many() -> Vec<Entry> {
    (0..500).map(|number| entry("t", number)).collect()
}

/// Polls an append until it holds the fence.
async fn until_amid<F: Future>(place: &Place, mut append: Pin<&mut F>) {
    let mut other = place.connection().await;
    // Nobody has the row while this reads it, unless the append does.
    let free = "SELECT id FROM fence FOR UPDATE SKIP LOCKED";
    while sqlx::query(free).fetch_optional(&mut other).await.unwrap().is_some() {
        let ended = timeout(Duration::from_micros(100), append.as_mut()).await;
        assert!(ended.is_err(), "the append ended before it could be stopped");
    }
}

/// As a process that is frozen does, or one whose network is gone. A file has nobody who could end its session.
#[tokio::test]
async fn a_leader_that_stands_still_does_not_keep_the_next_one_out() {
    let test = "a_leader_that_stands_still_does_not_keep_the_next_one_out";
    let Some(place) = Place::server(test).await else { return };
    let (database, epoch) = opened(&place).await;
    let entries = many();
    let mut append = pin!(database.append(epoch, &entries));
    until_amid(&place, append.as_mut()).await;
    let next = Database::open(&place.url).await.unwrap();
    let epoch = next.take_over(&leader("b", "lease", 1)).await.unwrap();
    let error = append.await.unwrap_err();
    assert!(error.is_outage(), "{error:?}");
    assert!(ids(&next).await.is_empty());
    next.append(epoch, &[entry("t", 1)]).await.unwrap();
}

/// As behind a firewall that lost its state: nothing says that such a connection is gone.
#[tokio::test]
async fn a_connection_that_says_nothing_is_left_behind() {
    let Some(place) = Place::server("a_connection_that_says_nothing_is_left_behind").await else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (before, after) = place.url.split_once('@').unwrap();
    let (server, name) = after.split_once('/').unwrap();
    let url = format!("{before}@{}/{name}", listener.local_addr().unwrap());
    let (silence, _) = broadcast::channel::<()>(1);
    let (server, silenced) = (server.to_owned(), silence.clone());
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let (server, mut silenced) = (server.clone(), silenced.subscribe());
            tokio::spawn(async move {
                let mut far = TcpStream::connect(server).await.unwrap();
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    // Both ends stay open.
                    _ = silenced.recv() => std::future::pending().await,
                }
            });
        }
    });
    let database = Database::open(&url).await.unwrap();
    let epoch = database.take_over(&leader("a", "lease", 0)).await.unwrap();
    // One that goes back.
    silence.send(()).unwrap();
    assert_eq!(database.append(epoch, &[entry("u", 1)]).await.unwrap(), 1, "over another connection");
    // One amid its work, which is given up. The server ends its session.
    let entries = many();
    {
        let mut append = pin!(database.append(epoch, &entries));
        until_amid(&place, append.as_mut()).await;
        silence.send(()).unwrap();
    }
    assert_eq!(database.append(epoch, &entries).await.unwrap(), 500, "over another connection");
}

#[tokio::test]
async fn no_error_shows_a_password() {
    let mut urls = vec![
        "postgres://tenantry:hunter2@127.0.0.1:1/journal".to_owned(),
        "postgres://tenantry:hunter2@127.0.0.1:1/journal?sslmode=hunter".to_owned(),
        "postgres://tenantry:hunter2@127.0.0.1:1/journal?sslmode=require&sslrootcert=/none".to_owned(),
        "postgres://tenantry:hunter2@host.invalid/journal".to_owned(),
        "postgres://tenantry:hunter2".to_owned(),
    ];
    let place = Place::server("no_error_shows_a_password (with a server)").await;
    if let Some(place) = &place {
        let (before, after) = place.url.split_once('@').unwrap();
        let (user, password) = before.rsplit_once(':').unwrap();
        urls.push(format!("{user}:hunter2@{after}"));
        urls.push(format!("{}-hunter2", place.url));
        let database = Database::open(&place.url).await.unwrap();
        assert!(!format!("{database:?}").contains(password));
    }
    for url in urls {
        let error = Database::open(&url).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(error.is_outage() || matches!(error, DatabaseError::Url { .. }), "{shown}");
        assert!(!shown.contains("tenantry:") && !shown.contains(":hunter2"), "{shown}");
        if !url.contains("-hunter2") {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}

#[tokio::test]
async fn a_file_is_for_its_user_alone_and_one_that_cannot_be_made_is_named() {
    let place = Place::file();
    let (database, epoch) = opened(&place).await;
    database.append(epoch, &[entry("t", 1)]).await.unwrap();
    let path = place.url.strip_prefix("sqlite:").unwrap();
    for file in [path.to_owned(), format!("{path}-wal")] {
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    let below = format!("{}/below/journal.db", place.url);
    let error = Database::open(&below).await.unwrap_err();
    assert!(error.is_outage() && error.to_string().contains("cannot be made or written"), "{error}");
    std::fs::write(
        path.replace("journal.db", "text.db"),
        "this is no database, however long it may be".repeat(99),
    )
    .unwrap();
    let error = Database::open(&place.url.replace("journal.db", "text.db")).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Query { .. }), "{error:?}");
}
