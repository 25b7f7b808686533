//! Files of a directory. Needs the file system.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// What is in a directory, in the order of the names.
///
/// # Errors
/// When it cannot be read.
pub fn sorted(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}
