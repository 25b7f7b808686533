//! The control groups of one node's pods. Needs the file system.
//!
//! Both layouts of Linux: one tree for everything (version 2), or a tree for each kind of resource (version 1).

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

const ROOT: &str = "/sys/fs/cgroup";
/// A group can be removed once the kernel has forgotten its last process: milliseconds after its end. Together two seconds.
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// Makes the group `name` in every tree.
pub(super) fn create(name: &str) -> Result<()> {
    for tree in trees()? {
        let group = tree.join(name);
        fs::create_dir(&group).with_context(|| format!("cannot create {}", group.display()))?;
        let offered = tree.join("cgroup.controllers");
        if let Ok(controllers) = fs::read_to_string(&offered) {
            // Version 2: a group has only what its parent passes on.
            let wanted = ["cpu", "cpuset", "memory", "pids", "hugetlb"];
            let passed = controllers.split_whitespace().filter(|name| wanted.contains(name));
            for controller in passed {
                for parent in [&tree, &group] {
                    let file = parent.join("cgroup.subtree_control");
                    fs::write(&file, format!("+{controller}"))
                        .with_context(|| format!("cannot pass {controller} on in {}", file.display()))?;
                }
            }
        }
    }
    Ok(())
}

/// Removes the group `name` and all groups in it. None of its processes may live any more.
pub(super) fn remove(name: &str) -> Result<()> {
    for tree in trees()? {
        let mut attempt = 1;
        while let Err(error) = remove_tree(&tree.join(name)) {
            if attempt == ATTEMPTS || error.kind() != ErrorKind::ResourceBusy {
                return Err(error)
                    .with_context(|| format!("cannot remove cgroup {name} from {}", tree.display()));
            }
            attempt += 1;
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}

/// The files of a group vanish with it; only the groups in it must go first.
fn remove_tree(group: &Path) -> std::io::Result<()> {
    let entries = match fs::read_dir(group) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

/// The directories in which a group must be made.
fn trees() -> Result<Vec<PathBuf>> {
    let root = PathBuf::from(ROOT);
    if root.join("cgroup.controllers").exists() {
        return Ok(vec![root]);
    }
    let mut trees = Vec::new();
    for entry in fs::read_dir(&root).with_context(|| format!("cannot read {ROOT}"))? {
        // `cpu` and the like may be links to a tree that several share.
        let tree = entry?.path().canonicalize()?;
        if tree.join("cgroup.procs").exists() && !trees.contains(&tree) {
            trees.push(tree);
        }
    }
    if trees.is_empty() {
        bail!("no cgroup hierarchy is mounted at {ROOT}");
    }
    Ok(trees)
}
