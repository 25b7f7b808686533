//! The first process of a real node. It makes the node's network and file systems, starts its programs and stays, because
//! the kernel ends the node with it. Needs Linux and root.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::mount::{MountFlags, mount, mount_bind};
use rustix::process::{WaitOptions, wait};

use super::config::{
    BANDWIDTH_PLUGIN, OWN_PLUGINS, bandwidth_plugin, containerd_file, kubelet_file, proxy_file, socket,
};
use super::{NodePlan, REAL_NODE, first_process_file};
use crate::commands::kubeconfig;
use crate::home::ProcessId;
use crate::image::Image;
use crate::kubeconfig::client_from;
use crate::logs::{say, tail};
use crate::supervisor::readyz;

/// Between two looks at a program that is not up yet; there is nothing to watch before it is.
const PAUSE: Duration = Duration::from_millis(10);
/// Lines of a log that usually hold the reason.
const LOG_LINES: usize = 15;
/// What the kubelet wants of the kernel. It would set it for the whole machine; here it finds it set, in files of ours.
const TUNABLES: [(&str, &str); 6] = [
    ("/proc/sys/vm/overcommit_memory", "1"),
    ("/proc/sys/vm/panic_on_oom", "0"),
    ("/proc/sys/kernel/panic", "10"),
    ("/proc/sys/kernel/panic_on_oops", "1"),
    ("/proc/sys/kernel/keys/root_maxkeys", "1000000"),
    ("/proc/sys/kernel/keys/root_maxbytes", "25000000"),
];

/// A program of the node.
struct Program {
    name: &'static str,
    child: Child,
}

/// Becomes the first process of a node, in fresh namespaces for processes, mounts and network. Returns only if something
/// went wrong.
#[must_use]
pub fn become_node(plan: &Path) -> ExitCode {
    let Err(error) = run(plan);
    say(&format!("{error:#}\n"));
    ExitCode::FAILURE
}

fn run(plan: &Path) -> Result<std::convert::Infallible> {
    let text = fs::read(plan).with_context(|| format!("cannot read {}", plan.display()))?;
    let plan: NodePlan = serde_json::from_slice(&text)?;
    // Both need the process table of the host, which the node's own replaces next.
    record(&plan).context("cannot tell which process this is")?;
    connect(&plan)?;
    mount_file_systems(&plan).context("cannot make the node's file systems")?;
    let mut programs = Vec::new();
    programs.push(start(
        &plan,
        "containerd",
        &[&format!("--config={}", containerd_file(&plan.paths).display())],
    )?);
    while UnixStream::connect(socket(&plan.paths)).is_err() {
        all_run(&plan, &mut programs)?;
        std::thread::sleep(PAUSE);
    }
    Image::pause(&plan.tools)?.import(&plan)?;
    await_api_server(&plan)?;
    programs.push(start(
        &plan,
        "kubelet",
        &[
            &format!("--config={}", kubelet_file(&plan.paths).display()),
            &format!("--kubeconfig={}", kubeconfig(&plan.paths, "kubelet").display()),
            &format!("--hostname-override={REAL_NODE}"),
            &format!("--node-ip={}", plan.network.node()),
            &format!("--node-labels={}=real", super::KIND_LABEL),
        ],
    )?);
    programs.push(start(&plan, "kube-proxy", &[&format!("--config={}", proxy_file(&plan.paths).display())])?);
    loop {
        // Also collects what shims leave behind: the first process inherits all orphans.
        let ended = wait(WaitOptions::empty())?.map(|(pid, _)| pid.as_raw_nonzero().get().unsigned_abs());
        if let Some(program) = programs.iter().find(|program| Some(program.child.id()) == ended) {
            bail!(last_words(&plan, program.name));
        }
    }
}

/// Tells whoever cleans up which process of the host this is.
fn record(plan: &NodePlan) -> Result<()> {
    let own: i32 = fs::read_link("/proc/self")?.to_string_lossy().parse()?;
    let id = ProcessId::of(own).context("the process table lacks this process")?;
    let (file, draft) = (first_process_file(&plan.paths), plan.paths.node().join("first-process.json.new"));
    fs::write(&draft, serde_json::to_vec(&id)?)?;
    Ok(fs::rename(&draft, &file)?)
}

/// Makes the link to the host, from this side: it then goes with this side.
fn connect(plan: &NodePlan) -> Result<()> {
    let network = plan.network;
    let (link, prefix, node) = (network.link(), super::Network::LINK_PREFIX, network.node());
    let host_namespace = format!("/proc/{}/ns/net", plan.supervisor);
    ip(None, &format!("link add eth0 type veth peer name {link} netns {host_namespace}"))?;
    let on_host = |line: String| ip(Some(&host_namespace), &line);
    on_host(format!("address add {}/{prefix} dev {link}", network.host()))?;
    on_host(format!("link set {link} up"))?;
    ip(None, &format!("address add {node}/{prefix} dev eth0"))?;
    ip(None, "link set lo up")?;
    ip(None, "link set eth0 up")?;
    ip(None, &format!("route add default via {}", network.host()))?;
    for range in [network.pods(), network.services()] {
        on_host(format!("route add {range} via {node} dev {link}"))?;
    }
    Ok(())
}

/// Runs `ip` here or in another network namespace.
fn ip(namespace: Option<&str>, line: &str) -> Result<()> {
    let mut command = match namespace {
        Some(namespace) => {
            let mut command = Command::new("nsenter");
            command.arg(format!("--net={namespace}")).arg("ip");
            command
        }
        None => Command::new("ip"),
    };
    let output = command.args(line.split_whitespace()).output().context("cannot run `ip`")?;
    if !output.status.success() {
        bail!("`ip {line}` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Gives the node directories of its own wherever its programs would write into the machine's.
fn mount_file_systems(plan: &NodePlan) -> Result<()> {
    let none = MountFlags::empty();
    mount("proc", "/proc", "proc", none, None)?;
    mount("tmpfs", "/run", "tmpfs", none, None)?;
    fs::create_dir("/run/tmp")?;
    fs::create_dir(OWN_PLUGINS)?;
    let plugin = Path::new(OWN_PLUGINS).join(BANDWIDTH_PLUGIN);
    fs::write(&plugin, bandwidth_plugin())?;
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755))?;
    // The kubelet's collector of container metrics looks for it there and nowhere else.
    fs::create_dir("/run/containerd")?;
    symlink(socket(&plan.paths), "/run/containerd/containerd.sock")?;
    let var = plan.paths.node().join("var");
    for directory in ["lib/containerd", "log", "tmp"] {
        fs::create_dir_all(var.join(directory))?;
    }
    symlink("/run", var.join("run"))?;
    mount_bind(&var, "/var")?;
    // Layers of images cannot lie on every file system the control plane's directory may be on.
    mount("tmpfs", "/var/lib/containerd", "tmpfs", none, None)?;
    for (entry, value) in TUNABLES {
        let file = Path::new("/run/tmp").join(entry.replace('/', "-"));
        fs::write(&file, format!("{value}\n"))?;
        mount_bind(&file, entry).with_context(|| format!("cannot cover {entry}"))?;
    }
    // This one belongs to the network namespace.
    Ok(fs::write("/proc/sys/net/ipv4/ip_forward", "1")?)
}

fn start(plan: &NodePlan, name: &'static str, arguments: &[&str]) -> Result<Program> {
    let output = File::options().create(true).append(true).open(log(plan, name))?;
    let tools = plan.tools.directory();
    let path = std::env::join_paths(
        std::iter::once(tools.to_path_buf())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )?;
    let child = Command::new(plan.tools.binary(name))
        .args(arguments)
        .env("PATH", path)
        .env("TMPDIR", "/run/tmp")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    Ok(Program { name, child })
}

/// A kubelet that finds no server tries again after growing pauses.
fn await_api_server(plan: &NodePlan) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { readyz(&client_from(&kubeconfig(&plan.paths, "kubelet")).await?).await })
}

fn all_run(plan: &NodePlan, programs: &mut [Program]) -> Result<()> {
    for program in programs {
        if program.child.try_wait()?.is_some() {
            bail!(last_words(plan, program.name));
        }
    }
    Ok(())
}

fn last_words(plan: &NodePlan, name: &str) -> String {
    format!("{name} ended unasked; its last words:\n{}", tail(&log(plan, name), LOG_LINES))
}

fn log(plan: &NodePlan, name: &str) -> std::path::PathBuf {
    plan.paths.logs().join(format!("{name}.log"))
}
