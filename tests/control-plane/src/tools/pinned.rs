//! Which tools there are: the Go modules that pin them and how each is built. Pure data.

use super::{CONTAINERD_VERSION, ETCD_VERSION, KUBERNETES_VERSION, KWOK_VERSION, RUNC_VERSION};

/// Tools that are built together and lie in one directory of the cache.
pub(super) struct Set {
    pub(super) modules: &'static [Module],
    pub(super) tools: &'static [Tool],
}

/// One Go module that pins tools. There are several because one module for all would lift the dependencies of Kubernetes.
pub(super) struct Module {
    pub(super) name: &'static str,
    pub(super) go_mod: &'static str,
    pub(super) go_sum: &'static str,
    /// A program of this crate, which the module then consists of.
    pub(super) main: Option<&'static str>,
}

/// One binary: the module it is built in, its package, how it is built, and what to tell people who wait for it.
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) module: &'static str,
    pub(super) package: &'static str,
    pub(super) version: &'static str,
    pub(super) expectation: &'static str,
    /// Build tags, separated by spaces.
    pub(super) tags: &'static str,
    /// Whether it links to C.
    pub(super) cgo: bool,
}

const ETCD: Module = Module {
    name: "etcd",
    go_mod: include_str!("../../tools/etcd/go.mod"),
    go_sum: include_str!("../../tools/etcd/go.sum"),
    main: None,
};
const KUBERNETES: Module = Module {
    name: "kubernetes",
    go_mod: include_str!("../../tools/kubernetes/go.mod"),
    go_sum: include_str!("../../tools/kubernetes/go.sum"),
    main: None,
};
const KWOK: Module = Module {
    name: "kwok",
    go_mod: include_str!("../../tools/kwok/go.mod"),
    go_sum: include_str!("../../tools/kwok/go.sum"),
    main: None,
};
const CONTAINERD: Module = Module {
    name: "containerd",
    go_mod: include_str!("../../tools/containerd/go.mod"),
    go_sum: include_str!("../../tools/containerd/go.sum"),
    main: None,
};
const RUNC: Module = Module {
    name: "runc",
    go_mod: include_str!("../../tools/runc/go.mod"),
    go_sum: include_str!("../../tools/runc/go.sum"),
    main: None,
};
const PAUSE: Module = Module {
    name: "pause",
    go_mod: include_str!("../../tools/pause/go.mod"),
    go_sum: include_str!("../../tools/pause/go.sum"),
    main: Some(include_str!("../../tools/pause/main.go")),
};

/// What the profiles without a real node consist of.
pub(super) const CONTROL_PLANE: Set = Set {
    modules: &[ETCD, KUBERNETES, KWOK],
    tools: &[
        Tool::new("etcd", "etcd", "go.etcd.io/etcd/server/v3", ETCD_VERSION, "about 1 min"),
        Tool::kubernetes("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", "about 5 min"),
        Tool::kubernetes(
            "kube-controller-manager",
            "k8s.io/kubernetes/cmd/kube-controller-manager",
            "about 2 min",
        ),
        Tool::kubernetes("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler", "about 30 s"),
        Tool::kubernetes("kubectl", "k8s.io/kubernetes/cmd/kubectl", "about 30 s"),
        Tool::new("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok", KWOK_VERSION, "about 2 min"),
    ],
};

/// What a real node adds to them.
pub(super) const NODE: Set = Set {
    modules: &[KUBERNETES, CONTAINERD, RUNC, PAUSE],
    tools: &[
        Tool::kubernetes("kubelet", "k8s.io/kubernetes/cmd/kubelet", "about 2 min"),
        Tool::kubernetes("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy", "about 30 s"),
        Tool::containerd("containerd", "github.com/containerd/containerd/v2/cmd/containerd", "about 1 min"),
        Tool::containerd(
            "containerd-shim-runc-v2",
            "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
            "some seconds",
        ),
        Tool::containerd("ctr", "github.com/containerd/containerd/v2/cmd/ctr", "some seconds"),
        Tool {
            // Pods ask for the seccomp profile of the runtime, and only libseccomp can compile it.
            tags: "seccomp",
            cgo: true,
            ..Tool::new("runc", "runc", "github.com/opencontainers/runc", RUNC_VERSION, "about 30 s")
        },
        Tool::new("pause", "pause", ".", env!("CARGO_PKG_VERSION"), "some seconds"),
    ],
};

impl Tool {
    const fn new(
        name: &'static str,
        module: &'static str,
        package: &'static str,
        version: &'static str,
        expectation: &'static str,
    ) -> Self {
        Self { name, module, package, version, expectation, tags: "", cgo: false }
    }

    const fn kubernetes(name: &'static str, package: &'static str, expectation: &'static str) -> Self {
        Self::new(name, "kubernetes", package, KUBERNETES_VERSION, expectation)
    }

    const fn containerd(name: &'static str, package: &'static str, expectation: &'static str) -> Self {
        let tool = Self::new(name, "containerd", package, CONTAINERD_VERSION, expectation);
        // Snapshotters that nothing here uses and that need libraries of their own.
        Self { tags: "no_btrfs no_zfs no_devmapper", ..tool }
    }
}

impl Set {
    /// The name of the set's directory: everything that decides the bytes of the binaries.
    pub(super) fn key(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut add = |text: &str| {
            hasher.update(&text.len().to_le_bytes()).update(text.as_bytes());
        };
        for module in self.modules {
            [module.name, module.go_mod, module.go_sum].into_iter().chain(module.main).for_each(&mut add);
        }
        [ldflags().as_str(), std::env::consts::OS, std::env::consts::ARCH].into_iter().for_each(&mut add);
        for tool in self.tools.iter().filter(|tool| tool.cgo || !tool.tags.is_empty()) {
            [tool.name, tool.tags].into_iter().for_each(&mut add);
        }
        hasher.finalize().to_hex().chars().take(24).collect()
    }
}

/// Without these the server reports v0.0.0-master and version checks of charts and clients go wrong. The commit is not
/// known for a module build; zeros say so.
pub(super) fn ldflags() -> String {
    let mut parts = KUBERNETES_VERSION.split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut flags = "-s -w".to_owned();
    for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
        let commit = "0".repeat(40);
        flags.push_str(&format!(
            " -X {package}.gitVersion=v{KUBERNETES_VERSION} -X {package}.gitMajor={major} -X {package}.gitMinor={minor} \
             -X {package}.gitTreeState=clean -X {package}.gitCommit={commit}"
        ));
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_shown_are_the_versions_pinned() {
        for set in [&CONTROL_PLANE, &NODE] {
            for tool in set.tools {
                let module = set.modules.iter().find(|module| module.name == tool.module).unwrap();
                let pinned = module.go_mod.lines().any(|line| {
                    let line = line.trim().trim_start_matches("require ");
                    line.split_once(" v").is_some_and(|(path, version)| {
                        tool.package.starts_with(path)
                            && version.split_whitespace().next() == Some(tool.version)
                    })
                });
                assert!(
                    pinned || module.main.is_some(),
                    "{} {} is not what {}/go.mod pins",
                    tool.name,
                    tool.version,
                    tool.module
                );
            }
        }
    }

    #[test]
    fn the_sets_lie_apart() {
        assert_ne!(CONTROL_PLANE.key(), NODE.key());
    }
}
