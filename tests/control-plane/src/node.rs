//! The real node of P3: a network, mount and process namespace of its own, in which containerd, kubelet and kube-proxy run.
//! Needs the file system, the process table and, to tell what is missing, the search path.
//!
//! The kernel ends everything in a process namespace with its first process, and mounts, links and packet filters go with
//! the namespaces they are in. So a node that is killed, in whatever way, leaves only control groups and files, both named
//! after the directory of its control plane; `clean_up` removes them.

mod cgroups;
mod config;
#[cfg(target_os = "linux")]
mod init;
mod network;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::home::{Paths, ProcessId};
use crate::profile::Profile;
use crate::tools::NodeTools;

pub use config::PAUSE_IMAGE;
pub(crate) use config::{socket, write_files};
#[cfg(target_os = "linux")]
pub use init::become_node;
pub(crate) use network::Network;

/// Name of the real node.
pub const REAL_NODE: &str = "real-0";
/// Label of every node of this crate: `real` or `simulated`.
pub const KIND_LABEL: &str = "tenantry.io/node";

/// Where Debian and its descendants put the plugins of `containernetworking-plugins`.
const CNI_PLUGINS: &str = "/usr/lib/cni";
/// A killed process namespace is empty within milliseconds; this long only on a machine in distress.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// Everything the first process of a node needs to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NodePlan {
    pub(crate) paths: Paths,
    pub(crate) network: Network,
    pub(crate) tools: NodeTools,
    /// Process id of the supervisor, in whose network namespace the link ends.
    pub(crate) supervisor: u32,
}

/// What this machine lacks for a real node, and how to get it; nothing if a node can run.
#[must_use]
pub fn missing() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("a real node needs Linux".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        return Some("a real node needs root, for namespaces and control groups".to_owned());
    }
    let commands =
        [("unshare", "util-linux"), ("nsenter", "util-linux"), ("ip", "iproute2"), ("nft", "nftables")];
    let commands =
        commands.into_iter().filter(|(command, _)| !is_on_path(command)).map(|(_, package)| package);
    let plugins = ["ptp", "host-local", "bandwidth", "loopback"];
    let has_plugins = plugins.into_iter().all(|plugin| Path::new(CNI_PLUGINS).join(plugin).is_file());
    let mut packages: Vec<&str> = commands.collect();
    if !has_plugins {
        packages.push("containernetworking-plugins");
    }
    packages.dedup();
    (!packages.is_empty())
        .then(|| format!("a real node needs packages: apt-get install {}", packages.join(" ")))
}

/// What this machine lacks for `profile`; nothing if it can be started here.
pub(crate) fn missing_for(profile: Profile) -> Option<String> {
    missing().filter(|_| profile >= Profile::P3)
}

/// Makes what the node's first process expects. What an earlier node of the same control plane left must be gone.
pub(crate) fn prepare(plan: &NodePlan) -> Result<()> {
    let directory = plan.paths.node();
    fs::create_dir(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    cgroups::create(&cgroup(&plan.paths))?;
    let file = plan_file(&plan.paths);
    fs::write(&file, serde_json::to_vec(plan)?).with_context(|| format!("cannot write {}", file.display()))
}

/// Where the first process finds its [`NodePlan`].
pub(crate) fn plan_file(paths: &Paths) -> PathBuf {
    paths.config("node.json")
}

/// The plan of the node of a running control plane, if it has one.
pub(crate) fn read_plan(paths: &Paths) -> Result<NodePlan> {
    let file = plan_file(paths);
    let text = fs::read_to_string(&file).with_context(|| {
        format!("this cluster has no real node ({} cannot be read): use profile P3", file.display())
    })?;
    serde_json::from_str(&text).with_context(|| format!("{} is damaged", file.display()))
}

/// Ends what still runs of a node and removes all it left but the volumes. Its supervisor must have ended or given it up.
/// Does nothing where there was no node.
pub(crate) fn clean_up(paths: &Paths, network: Network) -> Result<()> {
    if let Some(first) = first_process(paths) {
        first.signal(Signal::KILL);
        let deadline = Instant::now() + END_TIMEOUT;
        while first.is_alive() {
            if Instant::now() > deadline {
                bail!("the first process of a real node ({first:?}) does not end");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    network.remove_link()?;
    cgroups::remove(&cgroup(paths))?;
    match fs::remove_dir_all(paths.node()) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", paths.node().display()))
        }
        _ => Ok(()),
    }
}

/// Name of the control group that holds the node's pods: it tells whose they are.
fn cgroup(paths: &Paths) -> String {
    let name = paths.root().file_name().unwrap_or_default().to_string_lossy();
    format!("tenantry-{name}")
}

fn first_process_file(paths: &Paths) -> PathBuf {
    paths.node().join("first-process.json")
}

fn first_process(paths: &Paths) -> Option<ProcessId> {
    serde_json::from_slice(&fs::read(first_process_file(paths)).ok()?).ok()
}

fn is_on_path(command: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(command).is_file())
}
