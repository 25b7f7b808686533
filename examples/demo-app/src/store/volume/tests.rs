//! What a volume keeps, and what it forgets. Needs the file system.

use super::*;
use std::sync::atomic::AtomicBool;
use std::thread;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn keys(volume: &Volume, tree: &Tree, bucket: &str) -> Vec<String> {
    let (entries, more) = volume.list(tree, &name(bucket), None, 100).unwrap();
    assert!(!more);
    entries.into_iter().map(|entry| entry.key.into()).collect()
}

#[test]
fn values_outlive_the_process_and_unfinished_writes_do_not() {
    let folder = tempfile::tempdir().unwrap();
    {
        let volume = Volume::open(folder.path()).unwrap();
        assert!(volume.put(&name("b"), &name("k"), b"one").unwrap());
        assert!(!volume.put(&name("b"), &name("k"), b"two").unwrap(), "the key was there");
        assert!(matches!(Volume::open(folder.path()), Err(OpenError::InUse { .. })));
        volume.incoming(b"half").unwrap();
    }
    let volume = Volume::open(folder.path()).unwrap();
    assert_eq!(volume.get(&None, &name("b"), &name("k")).unwrap().as_deref(), Some(&b"two"[..]));
    assert_eq!(fs::read_dir(folder.path().join("incoming")).unwrap().count(), 0);
    assert!(volume.delete(&name("b"), &name("k")).unwrap());
    assert!(!volume.delete(&name("b"), &name("k")).unwrap());
    assert_eq!(volume.get(&None, &name("b"), &name("k")).unwrap(), None);
    assert!(volume.delete_bucket(&name("b")).unwrap());
    assert!(!volume.delete_bucket(&name("b")).unwrap());
    assert!(volume.put(&name("b"), &name("k"), b"again").unwrap(), "a bucket may come again");
}

#[test]
fn pages_join_without_gap() {
    let folder = tempfile::tempdir().unwrap();
    let volume = Volume::open(folder.path()).unwrap();
    for number in 0..7 {
        volume.put(&name("b"), &name(&format!("k{number}")), b"x").unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let (entries, more) = volume.list(&None, &name("b"), after.as_ref(), 3).unwrap();
        after = entries.last().map(|entry| entry.key.clone());
        seen.extend(entries.into_iter().map(|entry| String::from(entry.key)));
        if !more {
            break;
        }
    }
    assert_eq!(seen, ["k0", "k1", "k2", "k3", "k4", "k5", "k6"]);
    let (entries, _) = volume.list(&None, &name("b"), Some(&name("k3x")), 9).unwrap();
    assert_eq!(entries.first().map(|entry| entry.key.as_str()), Some("k4"), "the last key may be gone");
}

#[test]
fn a_snapshot_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let volume = Volume::open(folder.path()).unwrap();
    volume.put(&name("b"), &name("k"), b"old").unwrap();
    volume.snapshot(&name("s")).unwrap();
    volume.put(&name("b"), &name("k"), b"new").unwrap();
    volume.put(&name("c"), &name("k"), b"new").unwrap();
    let tree = Some(name("s"));
    assert_eq!(volume.get(&tree, &name("b"), &name("k")).unwrap().as_deref(), Some(&b"old"[..]));
    assert_eq!(volume.buckets(&tree).unwrap(), Some(vec![name("b")]));
    assert_eq!(keys(&volume, &tree, "c"), [""; 0]);
    volume.snapshot(&name("s")).unwrap();
    assert_eq!(keys(&volume, &tree, "c"), ["k"], "a snapshot of the same name takes its place");
    assert!(volume.delete_snapshot(&name("s")).unwrap());
    assert_eq!(volume.buckets(&tree).unwrap(), None);
    for number in 0..MOST_SNAPSHOTS {
        volume.snapshot(&name(&format!("s{number}"))).unwrap();
    }
    let refused = volume.snapshot(&name("one-more")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::QuotaExceeded);
}
#[test]
fn a_snapshot_is_one_moment() {
    /// Keys between the two buckets, so that a copy which is no single moment takes a while from one to the other.
    const BETWEEN: usize = 4000;
    let folder = tempfile::tempdir().unwrap();
    let volume = Volume::open(folder.path()).unwrap();
    let between = folder.path().join("data/b");
    fs::create_dir(&between).unwrap();
    (0..BETWEEN).for_each(|at| fs::write(between.join(at.to_string()), "x").unwrap());
    let (written, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let key = name(&written.fetch_add(1, Ordering::SeqCst).to_string());
                    volume.put(&name("a"), &key, b"earlier").unwrap();
                    volume.put(&name("c"), &key, b"later").unwrap();
                }
            });
        }
        for snapshot in ["s1", "s2", "s3"] {
            let before = written.load(Ordering::SeqCst);
            while written.load(Ordering::SeqCst) < before + 20 {
                thread::yield_now();
            }
            volume.snapshot(&name(snapshot)).unwrap();
        }
        stop.store(true, Ordering::SeqCst);
    });
    for snapshot in ["s1", "s2", "s3"].map(name) {
        let keys = |bucket: &str| names(&volume.tree(&Some(snapshot.clone())).join(bucket)).unwrap().unwrap();
        let (earlier, later) = (keys("a"), keys("c"));
        let early: Vec<_> = later.difference(&earlier).collect();
        assert!(early.is_empty() && !later.is_empty(), "later writes without the earlier ones: {early:?}");
    }
}
