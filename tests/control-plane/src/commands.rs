//! Command lines and configuration files of the processes of a control plane. Pure but for writing the files.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::home::Paths;
use crate::kubeconfig::{Server, write};
use crate::node::{self, Network, NodePlan};
use crate::nodes;
use crate::pki::Pki;
use crate::profile::Profile;
use crate::tools::Toolset;

/// Ports each control plane reserves: [`Ports`] has as many fields.
pub(crate) const PORT_COUNT: usize = 4;

/// Plays nodes and pods; see the comments in the file.
const STAGES: &str = include_str!("../stages.yaml");

/// The identity that people and tests use; nothing of this crate acts under it, so that its requests can be counted.
pub(crate) const ADMIN: &str = "admin";
/// The identity under which this crate itself acts as an administrator.
pub(crate) const HARNESS: &str = "tenantry-harness";
/// The identity of the volume provisioner.
pub(crate) const VOLUMES: &str = "tenantry-harness:volumes";
/// The identity of the gateway player.
pub(crate) const GATEWAY: &str = "tenantry-harness:gateway";

/// The authorizer for nodes reads the node's name from it.
const KUBELET: &str = "system:node:real-0";

const MASTERS: Option<&str> = Some("system:masters");

/// Who gets a kubeconfig: file name, user, group.
const IDENTITIES: [(&str, &str, Option<&str>); 9] = [
    ("admin", ADMIN, MASTERS),
    ("harness", HARNESS, MASTERS),
    ("controller-manager", "system:kube-controller-manager", None),
    ("scheduler", "system:kube-scheduler", None),
    ("kwok", "kwok", MASTERS),
    ("kubelet", KUBELET, Some("system:nodes")),
    ("kube-proxy", "system:kube-proxy", None),
    ("volumes", VOLUMES, None),
    ("gateway", GATEWAY, None),
];

/// One process of a control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Etcd,
    ApiServer,
    ControllerManager,
    Scheduler,
    Kwok,
    /// The real node, as far as its supervisor sees it: the parent of its first process.
    Node,
}

/// A program and its arguments.
#[derive(Clone, Debug)]
pub(crate) struct CommandLine {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
}

/// The ports of one control plane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    etcd_clients: u16,
    etcd_peers: u16,
    pub(crate) api_server: u16,
    kwok: u16,
}

/// Everything a command line depends on.
pub(crate) struct Plan<'a> {
    pub(crate) paths: &'a Paths,
    pub(crate) ports: Ports,
    /// Of the real node.
    pub(crate) network: Option<Network>,
    pub(crate) tools: &'a Toolset,
    pub(crate) profile: Profile,
    pub(crate) audit: bool,
}

// === impl Role ===

impl Role {
    /// The binary's name; also the name of its log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kwok => "kwok",
            Self::Node => "node",
        }
    }
}

// === impl Ports ===

impl Ports {
    pub(crate) fn assign(ports: &[u16]) -> Result<Self> {
        let &[etcd_clients, etcd_peers, api_server, kwok] = ports else {
            anyhow::bail!("{PORT_COUNT} ports are needed, {} were reserved", ports.len());
        };
        Ok(Self { etcd_clients, etcd_peers, api_server, kwok })
    }
}

// === impl Plan ===

impl Plan<'_> {
    /// The address of the API server.
    pub(crate) fn url(&self) -> String {
        format!("https://{}:{}", self.address(), self.ports.api_server)
    }

    /// Where the API server listens: a real node must reach it.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.network.map_or(Ipv4Addr::LOCALHOST, Network::host)
    }

    /// What the real node needs to know, where there is to be one.
    pub(crate) fn node(&self) -> Result<Option<NodePlan>> {
        let Some(network) = self.network else { return Ok(None) };
        let tools = self.tools.node.clone().with_context(|| {
            format!("profile {} needs the tools of a real node, which these tools lack", self.profile)
        })?;
        let (paths, supervisor) = (self.paths.clone(), std::process::id());
        Ok(Some(NodePlan { paths, network, tools, supervisor }))
    }

    /// Processes that need a running API server.
    pub(crate) fn followers(&self) -> &'static [Role] {
        match self.profile {
            Profile::P0 => &[],
            Profile::P1 => &[Role::ControllerManager],
            Profile::P2 | Profile::P3 => &[Role::ControllerManager, Role::Scheduler, Role::Kwok],
        }
    }

    /// Writes certificates, kubeconfigs and configuration files.
    pub(crate) fn write_files(&self) -> Result<()> {
        let service = self.network.map_or(Ipv4Addr::new(10, 0, 0, 1), Network::api_service);
        let pki = Pki::create(&self.paths.pki(), &[self.address(), service])?;
        let server = Server { url: self.url(), authority: pki.authority().to_owned() };
        for (name, user, group) in IDENTITIES {
            let identity = pki.client(user, group)?;
            write(&self.kubeconfig(name), &server, user, &identity)?;
        }
        put(&self.paths.config("audit-policy.json"), &audit_policy().to_string())?;
        put(&self.paths.config("scheduler.json"), &self.scheduler_configuration().to_string())?;
        put(&self.paths.config("stages.yaml"), STAGES)?;
        self.node()?.map_or(Ok(()), |node| node::write_files(&node, &pki))
    }

    /// How to start `role`.
    pub(crate) fn command(&self, role: Role) -> Result<CommandLine> {
        let unshare = PathBuf::from("unshare");
        let (program, arguments) = match role {
            Role::Etcd => (Some(&self.tools.etcd), self.etcd()),
            Role::ApiServer => (Some(&self.tools.kube_apiserver), self.api_server()),
            Role::ControllerManager => {
                (self.tools.kube_controller_manager.as_ref(), self.controller_manager())
            }
            Role::Scheduler => (self.tools.kube_scheduler.as_ref(), self.scheduler()),
            Role::Kwok => (self.tools.kwok.as_ref(), self.kwok()),
            Role::Node => (Some(&unshare), self.unshare()),
        };
        let program = program.with_context(|| {
            format!("profile {} needs {}, which these tools lack", self.profile, role.name())
        })?;
        Ok(CommandLine { program: program.clone(), arguments })
    }

    fn kubeconfig(&self, name: &str) -> PathBuf {
        kubeconfig(self.paths, name)
    }

    fn etcd(&self) -> Vec<String> {
        let Ports { etcd_clients: clients, etcd_peers: peers, .. } = self.ports;
        vec![
            flag("data-dir", self.paths.etcd().display()),
            flag("listen-client-urls", format!("http://127.0.0.1:{clients}")),
            flag("advertise-client-urls", format!("http://127.0.0.1:{clients}")),
            flag("listen-peer-urls", format!("http://127.0.0.1:{peers}")),
            flag("initial-advertise-peer-urls", format!("http://127.0.0.1:{peers}")),
            flag("initial-cluster", format!("default=http://127.0.0.1:{peers}")),
            flag("log-level", "warn"),
            // Nothing is kept, so nothing need reach a disk.
            "--unsafe-no-fsync".to_owned(),
        ]
    }

    fn api_server(&self) -> Vec<String> {
        let pki = self.paths.pki();
        let mut arguments = vec![
            flag("etcd-servers", format!("http://127.0.0.1:{}", self.ports.etcd_clients)),
            flag("bind-address", self.address()),
            flag("advertise-address", self.address()),
            flag("secure-port", self.ports.api_server),
            flag("tls-cert-file", pki.server().display()),
            flag("tls-private-key-file", pki.server_key().display()),
            flag("client-ca-file", pki.authority().display()),
            flag("service-account-issuer", "https://kubernetes.default.svc"),
            flag("service-account-key-file", pki.accounts_public_key().display()),
            flag("service-account-signing-key-file", pki.accounts_key().display()),
            // A /24 would run out after 254 Services.
            flag(
                "service-cluster-ip-range",
                self.network.map_or("10.0.0.0/16".to_owned(), Network::services),
            ),
            flag("allow-privileged", true),
        ];
        arguments.extend(if self.network.is_some() {
            vec![
                flag("authorization-mode", "Node,RBAC"),
                flag("enable-admission-plugins", "NodeRestriction"),
                flag("kubelet-preferred-address-types", "InternalIP"),
                flag("kubelet-certificate-authority", pki.authority().display()),
                flag("kubelet-client-certificate", pki.kubelet_client().display()),
                flag("kubelet-client-key", pki.kubelet_client_key().display()),
            ]
        } else {
            // A loopback address cannot be an endpoint of the API's own Service.
            vec![flag("authorization-mode", "RBAC"), flag("endpoint-reconciler-type", "none")]
        });
        if self.audit {
            arguments.extend([
                flag("audit-policy-file", self.paths.config("audit-policy.json").display()),
                flag("audit-log-path", self.paths.audit_log().display()),
                // A request's line is written before its answer is complete, so whoever has the answer can count it.
                flag("audit-log-mode", "blocking"),
                // Megabytes. Rotation would move lines away under the reader; the log goes with the cluster.
                flag("audit-log-maxsize", 1_000_000),
            ]);
        }
        if self.profile == Profile::P0 {
            // Without the controller manager no ServiceAccount `default` appears, and every pod would be refused.
            arguments.push(flag("disable-admission-plugins", "ServiceAccount"));
        }
        arguments
    }

    fn controller_manager(&self) -> Vec<String> {
        let pki = self.paths.pki();
        vec![
            flag("kubeconfig", self.kubeconfig("controller-manager").display()),
            flag("leader-elect", false),
            flag("secure-port", 0),
            flag("service-account-private-key-file", pki.accounts_key().display()),
            flag("root-ca-file", pki.authority().display()),
            flag("use-service-account-credentials", true),
            // The defaults protect a production server from its controllers; here they only make tests wait.
            flag("kube-api-qps", 500),
            flag("kube-api-burst", 1000),
            flag("concurrent-namespace-syncs", 20),
            flag("concurrent-resource-quota-syncs", 10),
            flag("concurrent-deployment-syncs", 10),
            flag("concurrent-gc-syncs", 20),
            // Simulated nodes send no heartbeats: by default each would be taken for dead after 50 s, and its pods with it.
            flag("node-monitor-grace-period", "24h"),
        ]
    }

    fn scheduler(&self) -> Vec<String> {
        vec![flag("config", self.paths.config("scheduler.json").display()), flag("secure-port", 0)]
    }

    fn scheduler_configuration(&self) -> Value {
        json!({
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "leaderElection": {"leaderElect": false},
            "clientConnection": {"kubeconfig": self.kubeconfig("scheduler"), "qps": 500, "burst": 500},
        })
    }

    /// The namespaces of the node are made here. The supervisor's death reaches its first process through this one.
    fn unshare(&self) -> Vec<String> {
        let namespaces =
            ["--mount", "--propagation=private", "--net", "--pid", "--fork", "--kill-child=KILL"];
        // Through the process table the program is found even when a build replaced its file meanwhile.
        let own = format!("/proc/{}/exe", std::process::id());
        let plan = node::plan_file(self.paths).display().to_string();
        let program = [own, "node".to_owned(), plan];
        namespaces.map(str::to_owned).into_iter().chain(program).collect()
    }

    fn kwok(&self) -> Vec<String> {
        vec![
            flag("kubeconfig", self.kubeconfig("kwok").display()),
            flag("config", self.paths.config("stages.yaml").display()),
            flag("manage-all-nodes", false),
            flag("manage-nodes-with-annotation-selector", nodes::ANNOTATION),
            flag("server-address", format!("127.0.0.1:{}", self.ports.kwok)),
            flag("node-ip", "127.0.0.1"),
            flag("cidr", "10.244.0.0/16"),
        ]
    }
}

/// The kubeconfig of one of the control plane's own identities.
pub(crate) fn kubeconfig(paths: &Paths, name: &str) -> PathBuf {
    paths.kubeconfigs().join(format!("{name}.kubeconfig"))
}

/// Who did what to which object and how it ended, for every request. `RequestReceived` carries nothing that the later
/// stages lack.
fn audit_policy() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata"}],
    })
}

fn flag(name: &str, value: impl std::fmt::Display) -> String {
    format!("--{name}={value}")
}

/// Writes a configuration file.
pub(crate) fn put(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
