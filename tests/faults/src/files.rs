//! Files: those of a directory, and plans. Needs the file system.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::plan::Plan;

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

/// The plan in a file.
///
/// # Errors
/// When it cannot be read, or is none.
pub fn read_plan(file: &Path) -> Result<Plan> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no plan", file.display()))
}
