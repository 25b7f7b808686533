//! The store is killed in the middle of writes, and jobs in the middle of their work.

use crate::process::{Tenant, name, until};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tenantry_demo_app::client::Store;

/// Writers at once, each of which writes one key after the other.
const WRITERS: usize = 8;
/// Acknowledged writes after which the store is killed, one number for each life.
const KILLS: [usize; 5] = [1, 40, 7, 100, 23];

/// What a writer had acknowledged when the store died, by key: for a key written again, the last value acknowledged and
/// the one whose answer never came.
type Acknowledged = BTreeMap<String, (String, Option<String>)>;

async fn write(store: Store, writer: usize, life: usize, count: Arc<AtomicUsize>) -> Acknowledged {
    let mut acknowledged = Acknowledged::new();
    for at in 0.. {
        // Every other write is over an older value, of this life or an earlier one, and takes long enough to be cut off.
        let again = at % 2 == 1;
        let key = if again { format!("w{writer}-again") } else { format!("w{writer}-l{life}-{at}") };
        let value = format!("{life}-{at}-").repeat(if again { 300_000 } else { 100 });
        if store.put(&name("b"), &name(&key), value.clone()).await.is_err() {
            let before = acknowledged.remove(&key).map_or_else(String::new, |(before, _)| before);
            acknowledged.insert(key, (before, Some(value)));
            break;
        }
        acknowledged.insert(key, (value, None));
        count.fetch_add(1, Ordering::SeqCst);
    }
    acknowledged
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_store_is_killed() {
    let tenant = Tenant::new();
    let mut all = Acknowledged::new();
    for (life, kill_after) in KILLS.into_iter().enumerate() {
        let mut store = tenant.store();
        let count = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| tokio::spawn(write(store.store(), writer, life, Arc::clone(&count))))
            .collect();
        until("enough is acknowledged", || async { count.load(Ordering::SeqCst) >= kill_after }).await;
        store.kill();
        for writer in writers {
            for (key, (value, unknown)) in writer.await.unwrap() {
                let before = all.remove(&key).map_or_else(String::new, |(before, _)| before);
                let last = if value.is_empty() { before } else { value };
                all.insert(key, (last, unknown));
            }
        }
        let store = tenant.store();
        assert_eq!(fs::read_dir(tenant.path("volume/incoming")).unwrap().count(), 0);
        for (key, (value, unknown)) in &all {
            let found = store.store().get(&name("b"), &name(key)).await.unwrap();
            let found = found.map(|found| String::from_utf8(found.to_vec()).unwrap()).unwrap_or_default();
            let possible = &found == value || Some(&found) == unknown.as_ref();
            let told = (found.len(), value.len(), unknown.as_ref().map(String::len));
            assert!(
                possible,
                "life {life}, {key}: bytes found, acknowledged and without an answer: {told:?}"
            );
        }
        // What the answer did not say, the store does; the next life builds on it.
        for (key, (value, unknown)) in &mut all {
            if unknown.take().is_some() {
                let found = store.store().get(&name("b"), &name(key)).await.unwrap().unwrap_or_default();
                *value = String::from_utf8(found.to_vec()).unwrap();
            }
        }
        assert!(count.load(Ordering::SeqCst) >= kill_after);
    }
}

#[tokio::test]
async fn a_killed_conversion_cuts_nothing_over_and_is_continued() {
    const ROWS: usize = 400;
    let tenant = Tenant::new();
    let store = tenant.store();
    let rows: String = (0..ROWS).map(|at| format!("C-{at},name {at}\n")).collect();
    fs::write(tenant.path("customers.csv"), format!("id,name\n{rows}")).unwrap();
    let source = tenant.path("customers.csv");
    let arguments = ["--source", &source, "--table", "customers", "--key-column", "id"];
    let (mut command, _) = tenant.job_command("convert", "a1", &store, &arguments);
    let mut job = command.spawn().unwrap();
    until("rows are there", || async { store.metric("erp_store_writes_total").await.unwrap() > 20 }).await;
    job.kill().unwrap();
    job.wait().unwrap();
    let written = store.metric("erp_store_writes_total").await.unwrap();
    assert!(written < ROWS as u64, "the job was done before it could be killed");
    assert_eq!(store.store().keys(&name("tables")).await.unwrap(), []);

    let (succeeded, result) = tenant.job("convert", "a1", &store, &arguments);
    assert!(succeeded && result["rows"] == ROWS, "{result:#}");
    let buckets = store.store().buckets().await.unwrap();
    assert_eq!(buckets, [name(result["bucket"].as_str().unwrap()), name("tables")]);
}

/// Kubernetes may start the pod of a job twice, and both run at once.
#[tokio::test]
async fn a_job_that_runs_twice_at_once_is_done_once() {
    let tenant = Tenant::new();
    let store = tenant.store();
    let rows: String = (0..200).map(|at| format!("C-{at},name {at}\n")).collect();
    fs::write(tenant.path("customers.csv"), format!("id,name\n{rows}")).unwrap();
    let (source, to) = (tenant.path("customers.csv"), tenant.path("backups"));
    let convert = ["--source", &source, "--table", "customers", "--key-column", "id"];
    for (role, arguments) in [("convert", &convert[..]), ("backup", &["--to", &to])] {
        let both = [(); 2].map(|()| tenant.job_command(role, "a1", &store, arguments).0.spawn().unwrap());
        for mut job in both {
            assert!(job.wait().unwrap().success(), "{role}");
        }
    }
    assert_eq!(store.store().keys(&name("tables")).await.unwrap().len(), 1);
    assert_eq!(store.store().buckets().await.unwrap().len(), 2);
    let rows = fs::read_dir(tenant.path("backups/a1/data")).unwrap().map(|entry| entry.unwrap().path());
    let keys: usize = rows.map(|bucket| fs::read_dir(bucket).unwrap().count()).sum();
    assert_eq!(keys, 201);
    assert_eq!(fs::read_dir(tenant.path("volume/snapshots")).unwrap().count(), 0);
}

/// Who bills first and is paid then, for ever, until told to stop.
async fn trade(client: Store, trader: usize, count: Arc<AtomicUsize>, stop: Arc<AtomicBool>) {
    for _ in 0.. {
        let key = name(&format!("{trader}-{}", count.fetch_add(1, Ordering::SeqCst)));
        client.put(&name("a-invoices"), &key, "1").await.unwrap();
        client.put(&name("c-payments"), &key, "1").await.unwrap();
        if stop.load(Ordering::SeqCst) {
            return;
        }
    }
}

/// In a backup there is no later write without the earlier ones, although nobody stops writing for it.
#[tokio::test]
async fn a_backup_under_load_is_one_moment() {
    const TRADERS: usize = 4;
    let tenant = Tenant::new();
    let store = tenant.store();
    let client = store.store();
    let count = Arc::new(AtomicUsize::new(0));
    for attempt in 1..=3 {
        let (stop, before) = (Arc::new(AtomicBool::new(false)), count.load(Ordering::SeqCst));
        let traders: Vec<_> = (0..TRADERS)
            .map(|trader| tokio::spawn(trade(client.clone(), trader, Arc::clone(&count), Arc::clone(&stop))))
            .collect();
        until("they trade", || async { count.load(Ordering::SeqCst) > before + 2 * TRADERS }).await;
        let to = tenant.path("backups");
        let (mut command, _) = tenant.job_command("backup", &attempt.to_string(), &store, &["--to", &to]);
        let mut job = command.spawn().unwrap();
        let snapshots = tenant.path("volume/snapshots");
        until("the moment is kept", || async { fs::read_dir(&snapshots).unwrap().count() == 1 }).await;
        assert!(traders.iter().all(|trader| !trader.is_finished()), "they still trade");
        // From here on it cannot matter, and what they would add had to be copied the next time.
        stop.store(true, Ordering::SeqCst);
        for trader in traders {
            trader.await.unwrap();
        }
        let status = tokio::task::spawn_blocking(move || job.wait().unwrap()).await.unwrap();
        assert!(status.success());
        let keys = |bucket: &str| -> BTreeSet<String> {
            let entries = fs::read_dir(tenant.path(&format!("backups/{attempt}/data/{bucket}"))).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        let (invoices, payments) = (keys("a-invoices"), keys("c-payments"));
        let early: Vec<_> = payments.difference(&invoices).collect();
        assert!(early.is_empty(), "paid before it was billed: {early:?}");
        assert!(invoices.len() - payments.len() <= TRADERS, "each trader is between two writes at most");
        assert!(payments.len() > before, "{} payments, {before} earlier", payments.len());
    }
    assert_eq!(fs::read_dir(tenant.path("volume/snapshots")).unwrap().count(), 0);
}
