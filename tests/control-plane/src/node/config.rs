//! Configuration files of the programs of a real node. Pure but for writing the files.
//!
//! Each program is left its usual places below `/var` and `/run`, which are the node's own (see `init`).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{CNI_PLUGINS, NodePlan, REAL_NODE, cgroup};
use crate::commands::{kubeconfig, put};
use crate::home::Paths;
use crate::pki::Pki;

/// The image of the first container of every pod, which every real node has: a program that waits to be ended.
pub const PAUSE_IMAGE: &str = "tenantry.invalid/pause:1";

/// Where the node has a network plugin of its own: a file system of the node, because others may forbid programs.
pub(super) const OWN_PLUGINS: &str = "/run/cni-bin";
/// Its name.
pub(super) const BANDWIDTH_PLUGIN: &str = "tenantry-bandwidth";
/// Bits a pod may send at once before its bandwidth limit holds: some of the largest packets.
const BURST: u32 = 4 << 20;

/// Writes the configuration files and the kubelet's certificate.
pub(crate) fn write_files(plan: &NodePlan, pki: &Pki) -> Result<()> {
    let paths = &plan.paths;
    let directory = cni(paths);
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let identity = pki.server(&[REAL_NODE], &[plan.network.node()])?;
    put(&kubelet_certificate(paths), &identity.certificate)?;
    put(&kubelet_key(paths), &identity.key)?;
    put(&containerd_file(paths), &containerd(plan))?;
    put(&cni(paths).join("10-tenantry.conflist"), &network(plan).to_string())?;
    put(&kubelet_file(paths), &kubelet(plan).to_string())?;
    put(&proxy_file(paths), &proxy(plan).to_string())
}

/// The socket of containerd. The directory is the host's, too, so that images can be imported from there.
pub(crate) fn socket(paths: &Paths) -> PathBuf {
    paths.node().join("containerd.sock")
}

pub(super) fn containerd_file(paths: &Paths) -> PathBuf {
    paths.config("containerd.toml")
}

pub(super) fn kubelet_file(paths: &Paths) -> PathBuf {
    paths.config("kubelet.json")
}

pub(super) fn proxy_file(paths: &Paths) -> PathBuf {
    paths.config("kube-proxy.json")
}

fn cni(paths: &Paths) -> PathBuf {
    paths.config("cni")
}

fn kubelet_certificate(paths: &Paths) -> PathBuf {
    paths.config("kubelet.crt")
}

fn kubelet_key(paths: &Paths) -> PathBuf {
    paths.config("kubelet.key")
}

fn containerd(plan: &NodePlan) -> String {
    let quoted = |path: &Path| Value::from(path.display().to_string()).to_string();
    let socket = quoted(&socket(&plan.paths));
    let runc = quoted(&plan.tools.binary("runc"));
    let cni = quoted(&cni(&plan.paths));
    format!(
        r#"version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
# It would make a directory in /opt.
disabled_plugins = ["io.containerd.internal.v1.opt"]

[grpc]
address = {socket}

[plugins.'io.containerd.cri.v1.images']
snapshotter = "overlayfs"

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{PAUSE_IMAGE}"

[plugins.'io.containerd.cri.v1.runtime']
# Without CAP_SYS_RESOURCE a score cannot be lowered, and no pod would start.
restrict_oom_score_adj = true
# A profile would be loaded into the kernel that the whole machine shares.
disable_apparmor = true
netns_mounts_under_state_dir = true

[plugins.'io.containerd.cri.v1.runtime'.containerd]
default_runtime_name = "runc"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = {runc}
SystemdCgroup = false

[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["{OWN_PLUGINS}", "{CNI_PLUGINS}"]
conf_dir = {cni}
"#
    )
}

/// The usual plugin for the bandwidth that a pod's annotations promise, but for one number: containerd asks it to let half a
/// gigabyte through first, and has no setting for that.
pub(super) fn bandwidth_plugin() -> String {
    format!(
        "#!/bin/sh\nsed -E 's/\"([Ii]n|[Ee])gressBurst\":[1-9][0-9]*/\"\\1gressBurst\":{BURST}/g' | exec {CNI_PLUGINS}/bandwidth\n"
    )
}

/// A pair of interfaces for each pod instead of a bridge: all traffic between pods then passes the node's packet filter,
/// and a pod can reach itself and its neighbours through a Service without the kernel's bridge filter.
fn network(plan: &NodePlan) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "tenantry",
        "plugins": [
            {
                "type": "ptp",
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": plan.network.pods()}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": BANDWIDTH_PLUGIN, "capabilities": {"bandwidth": true}},
        ],
    })
}

fn kubelet(plan: &NodePlan) -> Value {
    let paths = &plan.paths;
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": plan.network.node(),
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": paths.pki().authority()},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": kubelet_certificate(paths),
        "tlsPrivateKeyFile": kubelet_key(paths),
        "containerRuntimeEndpoint": format!("unix://{}", socket(paths).display()),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", cgroup(paths)),
        "enforceNodeAllocatable": ["pods"],
        "failCgroupV1": false,
        "failSwapOn": false,
        // kube-proxy makes what it needs.
        "makeIPTablesUtilChains": false,
        // There is no name server on the node, and pods must not ask the machine's.
        "resolvConf": "/dev/null",
        // The machine is shared: what others leave free is no business of ours until it really runs out.
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        // The directory would be made in /usr.
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "syncFrequency": "10s",
    })
}

fn proxy(plan: &NodePlan) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": kubeconfig(&plan.paths, "kube-proxy")},
        "hostnameOverride": REAL_NODE,
        "clusterCIDR": plan.network.pods(),
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        // The limits are those of the whole machine.
        "conntrack": {"maxPerCore": 0, "min": 0},
        "oomScoreAdj": 0,
    })
}
