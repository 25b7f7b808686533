//! A copy of the store, and its return: as an administrator restores a backup. Needs the file system.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::home::Paths;

/// Copies the files of the store. Nobody may write to them meanwhile.
pub(super) fn take(paths: &Paths) -> Result<()> {
    let copy = copy_of(paths);
    if copy.exists() {
        fs::remove_dir_all(&copy).with_context(|| format!("cannot remove {}", copy.display()))?;
    }
    copy_directory(&paths.etcd(), &copy)
}

/// Whether there is a copy.
pub(super) fn demand(paths: &Paths) -> Result<()> {
    if !copy_of(paths).exists() {
        bail!("there is no copy of the store to restore: take one first");
    }
    Ok(())
}

/// Puts the copy in the place of the store. The copy stays.
pub(super) fn restore(paths: &Paths) -> Result<()> {
    let store = paths.etcd();
    fs::remove_dir_all(&store).with_context(|| format!("cannot remove {}", store.display()))?;
    copy_directory(&copy_of(paths), &store)
}

fn copy_of(paths: &Paths) -> PathBuf {
    paths.etcd().with_extension("copy")
}

fn copy_directory(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_directory(&source, &target)?;
        } else {
            fs::copy(&source, &target).with_context(|| format!("cannot copy {}", source.display()))?;
        }
    }
    // etcd insists on being the only one who may look into its directory.
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    Ok(())
}
