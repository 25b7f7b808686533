//! A copy of the product with defects in it, and the program built from it. Needs processes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::defect::{Defect, sow};
use crate::files::sorted;

/// What the program with defects is called, so that it does not take the place of the one without.
const PROGRAM: &str = "tenantry-seeded";
/// Parts of the repository that are copied; the rest is only looked at.
const COPIED: [&str; 2] = ["operator", "crds"];

/// The defects of the repository, in a fixed order.
///
/// # Errors
/// When a file of defects cannot be read.
pub fn defects() -> Result<Vec<Defect>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("defects");
    let mut all: Vec<Defect> = Vec::new();
    for file in sorted(&directory)? {
        let text = std::fs::read_to_string(&file)?;
        let read: Vec<Defect> = serde_saphyr::from_str(&text)
            .with_context(|| format!("{} is no list of defects", file.display()))?;
        all.extend(read);
    }
    let names: BTreeSet<&str> = all.iter().map(|defect| defect.name.as_str()).collect();
    if names.len() != all.len() {
        bail!("two defects have one name");
    }
    Ok(all)
}

/// The sources that the defects change, with the defects in them.
///
/// # Errors
/// When a source cannot be read, or is not what it was when a defect was written.
pub fn sown(defects: &[Defect]) -> Result<BTreeMap<String, String>> {
    let root = repository();
    let files: BTreeSet<&str> =
        defects.iter().flat_map(|defect| &defect.edits).map(|edit| edit.file.as_str()).collect();
    let read = |file: &str| {
        let text = std::fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {file}"))?;
        Ok((file.to_owned(), text))
    };
    let sources = files.into_iter().map(read).collect::<Result<BTreeMap<_, _>>>()?;
    Ok(sow(defects, &sources)?)
}

/// Builds the program with all defects in it, below `directory` and with the profile of `plain`, and gives its path. None
/// takes effect by itself.
///
/// # Errors
/// When a defect finds no place, or what comes of them does not compile.
pub fn build(defects: &[Defect], plain: &Path, directory: &Path) -> Result<PathBuf> {
    let output = plain.parent().and_then(Path::file_name).context("a program without a directory")?;
    let profile = if output == "debug" { "dev".into() } else { output.to_owned() };
    let (root, bed) = (repository().canonicalize()?, directory.join("seeded"));
    let sown = sown(defects)?;
    std::fs::create_dir_all(&bed).with_context(|| format!("cannot create {}", bed.display()))?;
    for entry in std::fs::read_dir(&root)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_copied = COPIED.iter().any(|copied| name == *copied);
        if name == "Cargo.toml" {
            replace(&bed.join(&name), &versioned(&std::fs::read_to_string(entry.path())?)?)?;
        } else if name == "Cargo.lock" {
            replace(&bed.join(&name), &std::fs::read_to_string(entry.path())?)?;
        } else if is_copied {
            copy(&entry.path(), &bed.join(&name), &root, &sown)?;
        } else if name != "target" && name != ".git" && std::fs::symlink_metadata(bed.join(&name)).is_err() {
            std::os::unix::fs::symlink(entry.path(), bed.join(&name))?;
        }
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    // Of the whole workspace, so that dependencies have the features they are built with already.
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--offline", "--workspace", "--bin", PROGRAM, "--profile"])
        .arg(profile)
        .current_dir(&bed)
        .env("CARGO_TARGET_DIR", &target)
        .status()
        .context("cargo cannot be started")?;
    if !status.success() {
        bail!("the product with defects does not compile; its sources are in {}", bed.display());
    }
    Ok(target.join(output).join(PROGRAM))
}

/// Copies a directory; files that are the same already are left alone, so that nothing is built again for them, and those that
/// are not there any more go.
fn copy(from: &Path, to: &Path, root: &Path, sown: &BTreeMap<String, String>) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(to)? {
        let entry = entry?;
        if !from.join(entry.file_name()).exists() {
            let (path, is_directory) = (entry.path(), entry.file_type()?.is_dir());
            let gone =
                if is_directory { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            gone.with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target, root, sown)?;
            continue;
        }
        let path = entry.path();
        let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
        let mut content = std::fs::read(&path)?;
        if let Some(changed) = sown.get(&name) {
            content = changed.clone().into_bytes();
        }
        if name == "operator/Cargo.toml" {
            content = renamed(&String::from_utf8(content)?)?.into_bytes();
        }
        if std::fs::read(&target).ok().as_ref() != Some(&content) {
            std::fs::write(&target, content).with_context(|| format!("cannot write {}", target.display()))?;
        }
    }
    Ok(())
}

/// The manifest of the workspace with another version. Cargo names what it builds by package, version and place in the
/// workspace, not by where that is: with the version of the product the copy would be taken for the product, and the
/// product for the copy.
fn versioned(manifest: &str) -> Result<String> {
    let version = format!("version = \"{}\"\n", env!("CARGO_PKG_VERSION"));
    let (head, tail) =
        manifest.split_once(&version).context("Cargo.toml has not the version of this program")?;
    Ok(format!("{head}version = \"0.0.0-seeded\"\n{tail}"))
}

/// Puts a file in place of whatever is there, and leaves one alone that is the same.
fn replace(file: &Path, content: &str) -> Result<()> {
    let is_link = std::fs::symlink_metadata(file).is_ok_and(|found| found.is_symlink());
    if is_link {
        std::fs::remove_file(file)?;
    } else if std::fs::read_to_string(file).is_ok_and(|found| found == content) {
        return Ok(());
    }
    std::fs::write(file, content).with_context(|| format!("cannot write {}", file.display()))
}

/// The manifest with one program, under another name.
fn renamed(manifest: &str) -> Result<String> {
    let (head, tail) = manifest.split_once("\n[lints]").context("operator/Cargo.toml has no [lints]")?;
    Ok(format!(
        "{head}autobins = false\n\n[[bin]]\nname = \"{PROGRAM}\"\npath = \"src/main.rs\"\n\n[lints]{tail}"
    ))
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_defect_finds_its_place_in_the_present_source() {
        let defects = defects().unwrap();
        assert!(defects.len() >= 30, "{}", defects.len());
        assert!(!sown(&defects).unwrap().is_empty());
    }
}
