//! Keys and values as files on a volume. Needs the file system; no network, no clock.
//!
//! A value is written to a file of its own, synced, renamed over the old one, and then the folder is synced; only after
//! that is a write acknowledged. Whatever ends the process, a value is the old one or the new one. Files are never changed
//! in place, so a snapshot is a tree of hard links.

use crate::names::Name;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

/// Snapshots that may exist at once: one for each job that could run, and room for what killed jobs left.
const MOST_SNAPSHOTS: usize = 8;

/// A folder that this process alone writes.
#[derive(Debug)]
pub(crate) struct Volume {
    root: PathBuf,
    /// Writers of single keys share it; snapshots and removals of whole buckets hold it alone.
    changes: RwLock<()>,
    /// Buckets whose folder is known to be on disk.
    buckets: Mutex<BTreeSet<Name>>,
    next: AtomicU64,
    /// Held as long as the process lives, so that no second store writes here.
    _lock: File,
}

/// What is read: the present, or a snapshot.
pub(crate) type Tree = Option<Name>;

/// One key of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The key.
    pub key: Name,
    /// Size of its value.
    pub bytes: u64,
}

/// Why a volume cannot be used.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// Nothing can be written there.
    NotWritable { path: PathBuf, source: io::Error },
    /// Another store has it.
    InUse { path: PathBuf },
}

// === impl Volume ===

impl Volume {
    /// Opens a folder, which it creates if need be, and clears away writes that were never acknowledged.
    ///
    /// # Errors
    /// When it cannot be written, or when another store has it.
    pub(crate) fn open(root: &Path) -> Result<Self, OpenError> {
        let not_writable = |source| OpenError::NotWritable { path: root.to_owned(), source };
        let prepared = || {
            for folder in ["data", "snapshots"] {
                fs::create_dir_all(root.join(folder))?;
            }
            let lock = File::options().create(true).truncate(false).write(true).open(root.join("lock"))?;
            Ok(lock)
        };
        let lock = prepared().map_err(not_writable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path: root.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(not_writable(source)),
        }
        let volume = Self {
            root: root.to_owned(),
            changes: RwLock::default(),
            buckets: Mutex::default(),
            next: AtomicU64::default(),
            _lock: lock,
        };
        let cleared = || {
            let incoming = root.join("incoming");
            if incoming.exists() {
                fs::remove_dir_all(&incoming)?;
            }
            fs::create_dir(&incoming)?;
            sync(root)?;
            volume.probe()
        };
        cleared().map_err(not_writable)?;
        Ok(volume)
    }

    /// Proves that the volume takes writes.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn probe(&self) -> io::Result<()> {
        fs::remove_file(self.incoming(b"probe")?)
    }

    /// Stores a value durably. Gives whether the key is new.
    ///
    /// # Errors
    /// When the volume fails; the key then has its old value or the new one.
    pub(crate) fn put(&self, bucket: &Name, key: &Name, value: &[u8]) -> io::Result<bool> {
        let _shared = self.changes.read().unwrap_or_else(PoisonError::into_inner);
        let folder = self.bucket_folder(bucket)?;
        let incoming = self.incoming(value)?;
        let target = folder.join(key);
        let new = !target.exists();
        fs::rename(incoming, target)?;
        sync(&folder)?;
        Ok(new)
    }

    /// The value of a key.
    ///
    /// # Errors
    /// When the volume fails.
    pub(crate) fn get(&self, tree: &Tree, bucket: &Name, key: &Name) -> io::Result<Option<Vec<u8>>> {
        found(fs::read(self.tree(tree).join(bucket).join(key)))
    }

    /// Removes a key durably. Gives whether it was there.
    ///
    /// # Errors
    /// When the volume fails.
    pub(crate) fn delete(&self, bucket: &Name, key: &Name) -> io::Result<bool> {
        let _shared = self.changes.read().unwrap_or_else(PoisonError::into_inner);
        let folder = self.root.join("data").join(bucket);
        if found(fs::remove_file(folder.join(key)))?.is_none() {
            return Ok(false);
        }
        sync(&folder)?;
        Ok(true)
    }

    /// Removes a bucket with all its keys at once. Gives whether it was there.
    ///
    /// # Errors
    /// When the volume fails.
    pub(crate) fn delete_bucket(&self, bucket: &Name) -> io::Result<bool> {
        let doomed = {
            let _alone = self.changes.write().unwrap_or_else(PoisonError::into_inner);
            self.buckets.lock().unwrap_or_else(PoisonError::into_inner).remove(bucket);
            let doomed = self.incoming_path();
            let data = self.root.join("data");
            if found(fs::rename(data.join(bucket), &doomed))?.is_none() {
                return Ok(false);
            }
            sync(&data)?;
            doomed
        };
        fs::remove_dir_all(doomed)?;
        Ok(true)
    }

    /// Names of the buckets, sorted; nothing where there is no such snapshot.
    ///
    /// # Errors
    /// When the volume fails.
    pub(crate) fn buckets(&self, tree: &Tree) -> io::Result<Option<Vec<Name>>> {
        Ok(names(&self.tree(tree))?.map(|names| names.into_iter().collect()))
    }

    /// Up to `limit` keys of a bucket after `after`, sorted, and whether there are more. A bucket that is not there has none.
    ///
    /// # Errors
    /// When the volume fails.
    pub(crate) fn list(
        &self,
        tree: &Tree,
        bucket: &Name,
        after: Option<&Name>,
        limit: usize,
    ) -> io::Result<(Vec<Entry>, bool)> {
        let folder = self.tree(tree).join(bucket);
        let mut keys = names(&folder)?.unwrap_or_default();
        if let Some(after) = after {
            keys = keys.split_off(after);
            keys.remove(after);
        }
        let more = keys.len() > limit;
        let mut entries = Vec::new();
        for key in keys.into_iter().take(limit) {
            // A key may go while the folder is read.
            if let Some(metadata) = found(fs::metadata(folder.join(&key)))? {
                entries.push(Entry { key, bytes: metadata.len() });
            }
        }
        Ok((entries, more))
    }

    /// Keeps the present state of all buckets under a name, in place of an earlier snapshot of that name.
    ///
    /// # Errors
    /// When there are too many, or the volume fails.
    pub(crate) fn snapshot(&self, name: &Name) -> io::Result<()> {
        let _alone = self.changes.write().unwrap_or_else(PoisonError::into_inner);
        let (snapshots, data) = (self.root.join("snapshots"), self.root.join("data"));
        self.remove_snapshot(name)?;
        if names(&snapshots)?.is_some_and(|names| names.len() >= MOST_SNAPSHOTS) {
            let message =
                format!("there are {MOST_SNAPSHOTS} snapshots already; delete one that no job uses");
            return Err(io::Error::new(ErrorKind::QuotaExceeded, message));
        }
        let incoming = self.incoming_path();
        fs::create_dir(&incoming)?;
        for bucket in names(&data)?.unwrap_or_default() {
            let (from, to) = (data.join(&bucket), incoming.join(&bucket));
            fs::create_dir(&to)?;
            for key in names(&from)?.unwrap_or_default() {
                fs::hard_link(from.join(&key), to.join(&key))?;
            }
        }
        fs::rename(incoming, snapshots.join(name))?;
        sync(&snapshots)
    }

    /// Forgets a snapshot. Gives whether it was there.
    ///
    /// # Errors
    /// When the volume fails.
    pub(crate) fn delete_snapshot(&self, name: &Name) -> io::Result<bool> {
        let _alone = self.changes.write().unwrap_or_else(PoisonError::into_inner);
        self.remove_snapshot(name)
    }

    fn remove_snapshot(&self, name: &Name) -> io::Result<bool> {
        let doomed = self.incoming_path();
        if found(fs::rename(self.root.join("snapshots").join(name), &doomed))?.is_none() {
            return Ok(false);
        }
        fs::remove_dir_all(doomed)?;
        Ok(true)
    }

    fn tree(&self, tree: &Tree) -> PathBuf {
        match tree {
            None => self.root.join("data"),
            Some(snapshot) => self.root.join("snapshots").join(snapshot),
        }
    }

    /// The folder of a bucket, which is on disk before the first key in it is acknowledged.
    fn bucket_folder(&self, bucket: &Name) -> io::Result<PathBuf> {
        let data = self.root.join("data");
        let folder = data.join(bucket);
        let mut known = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(bucket) {
            fs::create_dir_all(&folder)?;
            sync(&data)?;
            known.insert(bucket.clone());
        }
        Ok(folder)
    }

    fn incoming_path(&self) -> PathBuf {
        self.root.join("incoming").join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// A new synced file with these bytes. Where that fails, nothing stays behind.
    fn incoming(&self, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.incoming_path();
        let written = File::create_new(&path).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        if let Err(error) = written {
            let _gone_or_never_there = fs::remove_file(&path);
            return Err(error);
        }
        Ok(path)
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Nothing where the file or folder is not there.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Names in a folder. What is no name of ours (`lost+found` has a '+') is not ours.
fn names(folder: &Path) -> io::Result<Option<BTreeSet<Name>>> {
    let Some(entries) = found(fs::read_dir(folder))? else { return Ok(None) };
    let mut names = BTreeSet::new();
    for entry in entries {
        names.extend(entry?.file_name().to_str().and_then(|name| name.parse().ok()));
    }
    Ok(Some(names))
}

// === impl OpenError ===

impl fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWritable { path, source } => write!(
                formatter,
                "the volume {} cannot be written: {source}; give the pod the volume's group as securityContext.fsGroup, \
                 mount it without readOnly, and see that it is not full",
                path.display()
            ),
            Self::InUse { path } => write!(
                formatter,
                "the volume {} is in use by another store; run one replica, and wait until the old pod has ended",
                path.display()
            ),
        }
    }
}

impl std::error::Error for OpenError {}

#[cfg(test)]
mod tests;
