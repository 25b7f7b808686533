//! The Kubernetes binaries a control plane is made of: where they come from and how they are found. Needs the file
//! system and, for the one-time build, the `go` command; no client.

mod build;
mod pinned;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::profile::Profile;

/// Version of kube-apiserver, kube-controller-manager, kube-scheduler, kubectl, kubelet and kube-proxy that the pinned
/// modules build.
pub const KUBERNETES_VERSION: &str = "1.37.2";
/// Version of etcd that the pinned modules build.
pub const ETCD_VERSION: &str = "3.7.3";
/// Version of kwok that the pinned modules build.
pub const KWOK_VERSION: &str = "0.8.0";
/// Version of containerd that the pinned modules build.
pub const CONTAINERD_VERSION: &str = "2.4.2";
/// Version of runc that the pinned modules build.
pub const RUNC_VERSION: &str = "1.5.2";

/// Paths of the binaries; what is absent limits the profiles that can be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toolset {
    /// The store.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// Needed from P1 on.
    pub kube_controller_manager: Option<PathBuf>,
    /// Needed for P2.
    pub kube_scheduler: Option<PathBuf>,
    /// Plays the nodes of P2.
    pub kwok: Option<PathBuf>,
    /// For people: `tenantry-control-plane kubectl`.
    pub kubectl: Option<PathBuf>,
    /// What runs the real node of P3.
    pub node: Option<NodeTools>,
}

/// The binaries of a real node: they are built apart from the others, only once somebody asks for such a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeTools {
    directory: PathBuf,
}

impl Toolset {
    /// The tools of the profiles without a real node, built from the pinned Go modules. Builds them when the cache does
    /// not have them: about 11 minutes on two cores, once per machine; progress goes to standard error. Blocks.
    ///
    /// # Errors
    /// When `go` is missing (the message says what to install) or a build fails.
    pub fn from_cache_or_build() -> Result<Self> {
        Ok(Self::in_directory(&build::ensure(&pinned::CONTROL_PLANE)?))
    }

    /// As [`Toolset::from_cache_or_build`], with everything that `profile` needs: a real node takes some minutes more.
    ///
    /// # Errors
    /// As there.
    pub fn for_profile(profile: Profile) -> Result<Self> {
        let mut tools = Self::from_cache_or_build()?;
        if profile >= Profile::P3 {
            tools.node = Some(NodeTools { directory: build::ensure(&pinned::NODE)? });
        }
        Ok(tools)
    }

    /// The tools of the cache, if they were built before.
    #[must_use]
    pub fn from_cache() -> Option<Self> {
        let mut tools = Self::in_directory(&build::cached(&pinned::CONTROL_PLANE)?);
        tools.node = build::cached(&pinned::NODE).map(|directory| NodeTools { directory });
        Some(tools)
    }

    /// The tools of a directory as `KUBEBUILDER_ASSETS` names one: kube-apiserver and etcd, perhaps more.
    ///
    /// # Errors
    /// When kube-apiserver or etcd is not there.
    pub fn from_assets(directory: &Path) -> Result<Self> {
        let tools = Self::in_directory(directory);
        for needed in [&tools.etcd, &tools.kube_apiserver] {
            if !needed.is_file() {
                bail!(
                    "{} does not exist; KUBEBUILDER_ASSETS must name a directory with etcd and kube-apiserver",
                    needed.display()
                );
            }
        }
        Ok(tools)
    }

    /// Whether every process of `profile` can be started with these tools.
    #[must_use]
    pub fn supports(&self, profile: Profile) -> bool {
        match profile {
            Profile::P0 => true,
            Profile::P1 => self.kube_controller_manager.is_some(),
            Profile::P2 => {
                self.kube_controller_manager.is_some() && self.kube_scheduler.is_some() && self.kwok.is_some()
            }
            Profile::P3 => self.supports(Profile::P2) && self.node.is_some(),
        }
    }

    fn in_directory(directory: &Path) -> Self {
        let optional = |name: &str| Some(directory.join(name)).filter(|path| path.is_file());
        Self {
            etcd: directory.join("etcd"),
            kube_apiserver: directory.join("kube-apiserver"),
            kube_controller_manager: optional("kube-controller-manager"),
            kube_scheduler: optional("kube-scheduler"),
            kwok: optional("kwok"),
            kubectl: optional("kubectl"),
            node: None,
        }
    }
}

impl NodeTools {
    /// The binary with this name.
    pub(crate) fn binary(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Where the binaries lie: containerd looks for its shim, and that for runc, on the search path.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

/// Whether the `go` command can be run.
#[must_use]
pub fn go_is_installed() -> bool {
    build::go_version().is_ok()
}

/// The directory for everything this crate keeps between runs: `$TENANTRY_CACHE`, else `$XDG_CACHE_HOME/tenantry`, else
/// `~/.cache/tenantry`, and in it `control-plane`.
///
/// # Errors
/// When none of the three variables is set.
pub fn cache_directory() -> Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let root = variable("TENANTRY_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("tenantry")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/tenantry")))
        .context("no place for the tool cache: set TENANTRY_CACHE to a directory")?;
    Ok(root.join("control-plane"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_need_etcd_and_apiserver_and_more_for_higher_profiles() {
        let directory = tempfile::tempdir().unwrap();
        let touch = |name: &str| std::fs::write(directory.path().join(name), "").unwrap();
        assert!(
            Toolset::from_assets(directory.path()).unwrap_err().to_string().contains("KUBEBUILDER_ASSETS")
        );
        touch("etcd");
        touch("kube-apiserver");
        let tools = Toolset::from_assets(directory.path()).unwrap();
        assert!(tools.supports(Profile::P0) && !tools.supports(Profile::P1));
        touch("kube-controller-manager");
        let tools = Toolset::from_assets(directory.path()).unwrap();
        assert!(tools.supports(Profile::P1) && !tools.supports(Profile::P2));
        touch("kube-scheduler");
        touch("kwok");
        assert!(Toolset::from_assets(directory.path()).unwrap().supports(Profile::P2));
    }
}
