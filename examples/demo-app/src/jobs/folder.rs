//! A folder of files with a list of their checksums, which is there as a whole or not at all. Needs the file system.

use crate::sums::{Sha256, Sums, list, read_list};
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The list, as `sha256sum --check` reads it.
const LIST: &str = "SHA256SUMS";

/// Between two looks at whether another process is done.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A folder that is being written, under another name than it will have.
#[derive(Debug)]
pub(crate) struct Folder {
    partial: PathBuf,
    path: PathBuf,
    sums: Sums,
}

/// A file that is being written.
pub(crate) struct Summed {
    file: BufWriter<File>,
    path: String,
    sum: Sha256,
    bytes: u64,
}

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// Waits until no other process works on the folder `name` in `parent`: a pod may be started twice. The one that waited
/// finds what the other finished. The lock is held until the file is dropped.
///
/// # Errors
/// When the folder cannot be written.
pub(crate) async fn lock(parent: &Path, name: &str) -> Result<File> {
    let path = parent.join(format!(".{name}.lock"));
    let opened = fs::create_dir_all(parent)
        .and_then(|()| File::options().create(true).truncate(false).write(true).open(&path));
    let lock = opened.with_context(|| {
        format!(
            "the folder {} cannot be written; mount a volume there that the pod's group may write",
            parent.display()
        )
    })?;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOOK_EVERY).await,
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("{} cannot be locked", path.display()));
            }
        }
    }
}

// === impl Folder ===

impl Folder {
    /// Begins the folder `name` in `parent`. What an earlier attempt left unfinished is begun anew.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn begin(parent: &Path, name: &str) -> Result<Self> {
        let partial = parent.join(format!(".{name}.partial"));
        let begun = || {
            if partial.exists() {
                fs::remove_dir_all(&partial)?;
            }
            fs::create_dir_all(&partial)
        };
        begun().with_context(|| format!("{} cannot be written", partial.display()))?;
        Ok(Self { partial, path: parent.join(name), sums: Sums::new() })
    }

    /// Begins a file in it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn file(&self, path: String) -> Result<Summed> {
        let full = self.partial.join(&path);
        let opened = full.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| File::create_new(&full));
        let file = opened.with_context(|| format!("{} cannot be written", full.display()))?;
        Ok(Summed { file: BufWriter::new(file), path, sum: Sha256::default(), bytes: 0 })
    }

    /// Ends a file.
    ///
    /// # Errors
    /// When it does not reach the disk.
    pub(crate) fn end(&mut self, summed: Summed) -> Result<Written> {
        let Summed { file, path, sum, bytes } = summed;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error);
        file.and_then(|file| file.sync_all()).with_context(|| format!("{path} cannot be written"))?;
        let written = Written { path, bytes, sha256: sum.finish() };
        self.sums.insert(written.path.clone(), written.sha256.clone());
        Ok(written)
    }

    /// Writes the list and gives the folder its name.
    ///
    /// # Errors
    /// When it does not reach the disk.
    pub(crate) fn finish(self) -> Result<Sums> {
        let Self { partial, path, sums } = self;
        let finished = || {
            let mut file = File::create_new(partial.join(LIST))?;
            file.write_all(list(&sums).as_bytes())?;
            file.sync_all()?;
            sync_folders(&partial)?;
            fs::rename(&partial, &path)?;
            path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
        };
        finished().with_context(|| format!("the folder {} cannot be finished", path.display()))?;
        Ok(sums)
    }
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sum.update(bytes.get(..written).unwrap_or_default());
        self.bytes += u64::try_from(written).unwrap_or(u64::MAX);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Names of files are on disk only when their folder is.
fn sync_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    File::open(folder)?.sync_all()
}

/// The sums of a folder that was finished earlier, or nothing where there is none. Every file is read and compared.
///
/// # Errors
/// When the folder is not as it was finished.
pub(crate) fn finished(path: &Path) -> Result<Option<Sums>> {
    if !path.exists() {
        return Ok(None);
    }
    let file = path.join(LIST);
    let text = fs::read_to_string(&file).with_context(|| {
        format!("{} cannot be read; name a folder that a job of this program finished", file.display())
    })?;
    let sums = match read_list(&text) {
        Ok(sums) => sums,
        Err(line) => bail!("{} has a line that is no checksum: {line:?}", file.display()),
    };
    for (name, wanted) in &sums {
        let found = sum_of(&path.join(name))
            .with_context(|| format!("{name} of {} cannot be read", path.display()))?;
        ensure!(
            &found == wanted,
            "{name} of {} was changed: its SHA-256 is {found}, not {wanted}",
            path.display()
        );
    }
    Ok(Some(sums))
}

fn sum_of(path: &Path) -> io::Result<String> {
    let (mut file, mut sum, mut buffer) = (File::open(path)?, Sha256::default(), vec![0; 64 << 10]);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(sum.finish());
        }
        sum.update(buffer.get(..read).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_there_as_a_whole_or_not_at_all() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("one");
        let unfinished = Folder::begin(parent.path(), "one").unwrap();
        drop(unfinished.file("data/a".to_owned()).unwrap());
        assert_eq!(finished(&path).unwrap(), None);

        let mut folder = Folder::begin(parent.path(), "one").unwrap();
        let mut file = folder.file("data/a".to_owned()).unwrap();
        file.write_all(b"abc").unwrap();
        assert_eq!(folder.end(file).unwrap().bytes, 3);
        let sums = folder.finish().unwrap();
        assert_eq!(finished(&path).unwrap(), Some(sums));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);

        fs::write(path.join("data/a"), "abd").unwrap();
        assert!(finished(&path).unwrap_err().to_string().contains("data/a of"));
    }
}
