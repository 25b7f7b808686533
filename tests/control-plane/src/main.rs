//! `tenantry-control-plane`: builds, starts and stops a control plane on loopback. Needs a client and the process table.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use tenantry_control_plane::tools::Toolset;
use tenantry_control_plane::{Cluster, Crd, Image, Options, Profile, detached, supervisor};
use tokio::signal::unix::{SignalKind, signal};

/// A real Kubernetes control plane on loopback, without containers.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the tools into the cache, if they are not there yet.
    Build {
        /// P3 also needs the tools of a real node, some minutes more.
        #[arg(long, default_value = "P2")]
        profile: Profile,
    },
    /// Say which cluster tests of a profile get on this machine, and what it can.
    Check {
        /// P0: etcd and API server. P1: and controllers. P2: and simulated nodes. P3: and a real node (root).
        #[arg(long, default_value = "P2")]
        profile: Profile,
    },
    /// Start a control plane and print the path of its kubeconfig.
    Up {
        /// P0: etcd and API server. P1: and controllers. P2: and simulated nodes. P3: and a real node (root).
        #[arg(long, default_value = "P2")]
        profile: Profile,
        /// Return at once and leave it running until `down`; otherwise it ends with this command.
        #[arg(long)]
        detach: bool,
        /// Simulated nodes (default: one for P2, none beside the real node of P3).
        #[arg(long)]
        nodes: Option<u32>,
        /// Accept every HTTPRoute, as a gateway controller would.
        #[arg(long)]
        gateway: bool,
        /// Install the kinds of other projects that tenants may use: HTTPRoute, SecurityPolicy, ServiceMonitor,
        /// PrometheusRule.
        #[arg(long)]
        crds: bool,
        /// Where a detached one leaves its kubeconfig (default: in the cache).
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Stop a detached control plane and remove what it left.
    Down {
        /// As for `up`.
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Run kubectl against the detached control plane.
    Kubectl {
        /// As for `up`; before the arguments of kubectl.
        #[arg(long)]
        dir: Option<PathBuf>,
        /// Arguments of kubectl.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Make an image of a statically linked program and offer it to the pods on the real node of the detached control plane.
    Import {
        /// As for `up`.
        #[arg(long)]
        dir: Option<PathBuf>,
        /// What pods name it, with a host and a tag: example.test/shop:1.
        name: String,
        /// The program. Its arguments are those of the container.
        binary: PathBuf,
    },
    /// Own a control plane on behalf of another process.
    #[command(hide = true)]
    Supervise {
        #[arg(long)]
        detached: bool,
    },
    /// Become a tool whose life is tied to the supervisor's.
    #[command(hide = true)]
    Child {
        supervisor: i32,
        program: PathBuf,
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Become the first process of a real node.
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    Node { plan: PathBuf },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        #[cfg(target_os = "linux")]
        Command::Node { plan } => return tenantry_control_plane::node::become_node(&plan),
        Command::Supervise { detached } => return supervisor::supervise(detached),
        Command::Child { supervisor, program, arguments } => {
            return supervisor::become_child(supervisor, &program, &arguments);
        }
        Command::Build { profile } => Toolset::for_profile(profile).and_then(|tools| {
            say(&tools.kube_apiserver.parent().unwrap_or(&tools.kube_apiserver).display().to_string())
        }),
        Command::Check { profile } => check(profile),
        Command::Up { profile, detach, nodes, gateway, crds, dir } => {
            let nodes = nodes.unwrap_or(Options::new(profile).nodes);
            let crds = if crds { &Crd::ALL[..] } else { &[] };
            up(Options { gateway, nodes, ..Options::new(profile) }, crds, detach, dir)
        }
        Command::Down { dir } => down(dir),
        Command::Kubectl { dir, arguments } => kubectl(dir, &arguments),
        Command::Import { dir, name, binary } => import(dir, &name, &binary),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn check(profile: Profile) -> Result<()> {
    let cluster = Cluster::acquire(profile).await?;
    say(&format!("{}: {}", cluster.origin(), cluster.capabilities()))?;
    cluster.stop().await
}

#[tokio::main]
async fn up(options: Options, crds: &[Crd], detach: bool, directory: Option<PathBuf>) -> Result<()> {
    if detach {
        let directory = directory_or_default(directory)?;
        detached::up(&directory, options).await?.install_crds(crds).await?;
        return say(&detached::kubeconfig(&directory).display().to_string());
    }
    // Before the signals: Ctrl-C ends a build.
    let tools = Toolset::for_profile(options.profile)?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let cluster = tokio::select! {
        cluster = Cluster::start_with(tools, options) => cluster?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    cluster.install_crds(crds).await?;
    say(&cluster.kubeconfig().display().to_string())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    cluster.stop().await
}

fn down(directory: Option<PathBuf>) -> Result<()> {
    let directory = directory_or_default(directory)?;
    let ran = detached::down(&directory)?;
    say(if ran { "stopped" } else { "nothing was running" })
}

#[tokio::main]
async fn import(directory: Option<PathBuf>, name: &str, binary: &Path) -> Result<()> {
    detached::attach(&directory_or_default(directory)?)?.import(Image::of(name, binary)?).await
}

/// Becomes kubectl. Returns only if that fails.
fn kubectl(directory: Option<PathBuf>, arguments: &[OsString]) -> Result<()> {
    use std::os::unix::process::CommandExt as _;

    let directory = directory_or_default(directory)?;
    let cluster = detached::attach(&directory)?;
    let tool = Toolset::from_cache().and_then(|tools| tools.kubectl);
    let program = tool.unwrap_or_else(|| PathBuf::from("kubectl"));
    let error =
        std::process::Command::new(&program).env("KUBECONFIG", cluster.kubeconfig()).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

fn directory_or_default(directory: Option<PathBuf>) -> Result<PathBuf> {
    directory.map_or_else(detached::default_directory, Ok)
}

fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").context("cannot write to standard output")
}
