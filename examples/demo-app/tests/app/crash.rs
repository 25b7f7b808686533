//! The store is killed in the middle of writes, and jobs in the middle of their work.

use crate::process::{Tenant, name, until};
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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
        // Every other write is over an older value, of this life or an earlier one.
        let key = if at % 2 == 0 { format!("w{writer}-l{life}-{at}") } else { format!("w{writer}-again") };
        let value = format!("{life}-{at}-").repeat(500);
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
            assert!(
                possible,
                "life {life}, {key}: {found:.20?}, acknowledged {value:.20?}, unknown {unknown:.20?}"
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

/// In a backup there is no later write without the earlier ones, although nobody stops writing.
#[tokio::test]
async fn a_backup_under_load_is_one_moment() {
    let tenant = Tenant::new();
    let store = tenant.store();
    let (count, client) = (Arc::new(AtomicUsize::new(0)), store.store());
    let counted = Arc::clone(&count);
    let writing = tokio::spawn(async move {
        for at in 0.. {
            // The later write is listed first, so a copy that reads one key after the other would miss the earlier.
            client.put(&name("b"), &name(&format!("invoice-{at}")), "1").await.unwrap();
            client.put(&name("a"), &name(&format!("payment-{at}")), "1").await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    for (attempt, pairs) in [("one", 5), ("two", 30)] {
        until("there are pairs", || async { count.load(Ordering::SeqCst) >= pairs }).await;
        let to = tenant.path("backups");
        let (mut command, _) = tenant.job_command("backup", attempt, &store, &["--to", &to]);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{output:?}");
        let keys = |bucket: &str, prefix: &str| -> Vec<usize> {
            let entries = fs::read_dir(tenant.path(&format!("backups/{attempt}/data/{bucket}"))).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut numbers: Vec<usize> =
                names.map(|name| name.strip_prefix(prefix).unwrap().parse().unwrap()).collect();
            numbers.sort_unstable();
            numbers
        };
        let (invoices, payments) = (keys("b", "invoice-"), keys("a", "payment-"));
        assert!(payments.len() >= pairs);
        assert_eq!(invoices, (0..invoices.len()).collect::<Vec<_>>());
        assert_eq!(payments, (0..payments.len()).collect::<Vec<_>>());
        assert!(
            invoices.len() - payments.len() <= 1,
            "{} invoices, {} payments",
            invoices.len(),
            payments.len()
        );
    }
    assert!(!writing.is_finished());
    writing.abort();
    assert_eq!(fs::read_dir(tenant.path("volume/snapshots")).unwrap().count(), 0);
}
