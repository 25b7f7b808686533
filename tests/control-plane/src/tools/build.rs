//! Builds the pinned Go tools once into the cache. Needs the `go` command, the file system and a clock for the progress
//! lines.

use std::fs::{self, File, TryLockError};
use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{ETCD_VERSION, KUBERNETES_VERSION, KWOK_VERSION, cache_directory};
use crate::logs::{say, tail};

/// One Go module that pins tools. There are three because one module for all would lift the dependencies of Kubernetes.
struct Module {
    name: &'static str,
    go_mod: &'static str,
    go_sum: &'static str,
}

/// One binary: the module it is built in, its package, and what to tell people who wait for it.
struct Tool {
    name: &'static str,
    module: &'static str,
    package: &'static str,
    version: &'static str,
    expectation: &'static str,
}

const MODULES: [Module; 3] = [
    Module {
        name: "etcd",
        go_mod: include_str!("../../tools/etcd/go.mod"),
        go_sum: include_str!("../../tools/etcd/go.sum"),
    },
    Module {
        name: "kubernetes",
        go_mod: include_str!("../../tools/kubernetes/go.mod"),
        go_sum: include_str!("../../tools/kubernetes/go.sum"),
    },
    Module {
        name: "kwok",
        go_mod: include_str!("../../tools/kwok/go.mod"),
        go_sum: include_str!("../../tools/kwok/go.sum"),
    },
];

const TOOLS: [Tool; 6] = [
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
];

/// Shown when `go` cannot be run. The version is that of the `go` lines in tools/*/go.mod.
const GO_MISSING: &str = "the control plane for tests is built from Go modules, and `go` was not found: install Go 1.26 or \
newer and put it on PATH, or set KUBEBUILDER_ASSETS to a directory with etcd and kube-apiserver, or set TENANTRY_KUBECONFIG \
to the kubeconfig of a test cluster";

impl Tool {
    const fn new(
        name: &'static str,
        module: &'static str,
        package: &'static str,
        version: &'static str,
        expectation: &'static str,
    ) -> Self {
        Self { name, module, package, version, expectation }
    }

    const fn kubernetes(name: &'static str, package: &'static str, expectation: &'static str) -> Self {
        Self::new(name, "kubernetes", package, KUBERNETES_VERSION, expectation)
    }
}

/// The directory with the finished tools, if it exists.
pub(super) fn cached() -> Option<PathBuf> {
    let directory = cache_directory().ok()?.join(key());
    directory.is_dir().then_some(directory)
}

/// The directory with the finished tools; builds them when needed. Several processes may call this at once: one builds,
/// the others wait for it.
pub(super) fn ensure() -> Result<PathBuf> {
    if let Some(directory) = cached() {
        return Ok(directory);
    }
    let cache = cache_directory()?;
    fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
    let _lock = lock(&cache.join(format!("{}.lock", key())))?;
    if let Some(directory) = cached() {
        return Ok(directory);
    }
    go_version()?;
    let partial = cache.join(format!("{}.partial", key()));
    if partial.exists() {
        // Left by a build that was killed: the lock is ours, so nobody works in it. Go's own cache keeps what it did.
        fs::remove_dir_all(&partial).with_context(|| format!("cannot remove {}", partial.display()))?;
    }
    build_into(&partial)?;
    let finished = cache.join(key());
    fs::rename(partial.join("bin"), &finished)
        .with_context(|| format!("cannot create {}", finished.display()))?;
    fs::remove_dir_all(&partial).with_context(|| format!("cannot remove {}", partial.display()))?;
    Ok(finished)
}

/// What `go version` says.
pub(super) fn go_version() -> Result<String> {
    let output = Command::new("go").arg("version").stderr(Stdio::null()).output().context(GO_MISSING)?;
    if !output.status.success() {
        bail!(GO_MISSING);
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => {
            say("waiting for another process that builds the control plane's tools\n")
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", path.display()));
        }
    }
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

fn build_into(partial: &Path) -> Result<()> {
    for module in &MODULES {
        let directory = partial.join("src").join(module.name);
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        fs::write(directory.join("go.mod"), module.go_mod)?;
        fs::write(directory.join("go.sum"), module.go_sum)?;
    }
    let output = partial.join("bin");
    fs::create_dir_all(&output)?;
    for tool in &TOOLS {
        build(
            tool,
            &partial.join("src").join(tool.module),
            &output.join(tool.name),
            &partial.join("build.log"),
        )?;
    }
    Ok(())
}

fn build(tool: &Tool, module: &Path, binary: &Path, log: &Path) -> Result<()> {
    let mut child = Command::new("go")
        .args(["build", "-trimpath", "-ldflags", &ldflags(), "-o"])
        .arg(binary)
        .arg(tool.package)
        .current_dir(module)
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "-mod=mod")
        .env("CGO_ENABLED", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(log)?)
        .spawn()
        .context(GO_MISSING)?;
    let mut progress = Progress::new(tool);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        progress.tick();
        std::thread::sleep(Duration::from_millis(200));
    };
    if !status.success() {
        let reason = tail(log, 20);
        bail!("go could not build {} {} with {}:\n{reason}", tool.name, tool.version, go_version()?);
    }
    progress.finish();
    Ok(())
}

/// One line per tool: rewritten each second on a terminal, repeated each half minute elsewhere.
struct Progress {
    label: String,
    started: Instant,
    shown: Option<Instant>,
    terminal: bool,
}

impl Progress {
    fn new(tool: &Tool) -> Self {
        let label = format!("building {} {} ({} once)", tool.name, tool.version, tool.expectation);
        Self { label, started: Instant::now(), shown: None, terminal: stderr().is_terminal() }
    }

    fn tick(&mut self) {
        let pause = Duration::from_secs(if self.terminal { 1 } else { 30 });
        if self.shown.is_some_and(|shown| shown.elapsed() < pause) {
            return;
        }
        self.shown = Some(Instant::now());
        let elapsed = minutes(self.started.elapsed());
        let label = &self.label;
        say(&if self.terminal {
            format!("\r{label} ... {elapsed}  ")
        } else {
            format!("{label} ... {elapsed}\n")
        });
    }

    fn finish(&self) {
        let start = if self.terminal { "\r" } else { "" };
        say(&format!("{start}{} ... done in {}\n", self.label, minutes(self.started.elapsed())));
    }
}

fn minutes(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    if seconds < 60 { format!("{seconds} s") } else { format!("{} min {} s", seconds / 60, seconds % 60) }
}

/// Without these the server reports v0.0.0-master and version checks of charts and clients go wrong. The commit is not
/// known for a module build; zeros say so.
fn ldflags() -> String {
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

/// The name of the tools' directory: everything that decides the bytes of the binaries.
fn key() -> String {
    let mut hasher = blake3::Hasher::new();
    for module in &MODULES {
        for text in [module.name, module.go_mod, module.go_sum] {
            hasher.update(&text.len().to_le_bytes()).update(text.as_bytes());
        }
    }
    for text in [ldflags().as_str(), std::env::consts::OS, std::env::consts::ARCH] {
        hasher.update(&text.len().to_le_bytes()).update(text.as_bytes());
    }
    hasher.finalize().to_hex().chars().take(24).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_shown_are_the_versions_pinned() {
        for tool in &TOOLS {
            let module = MODULES.iter().find(|module| module.name == tool.module).unwrap();
            let pinned = module.go_mod.lines().any(|line| {
                let line = line.trim().trim_start_matches("require ");
                line.split_once(" v").is_some_and(|(path, version)| {
                    tool.package.starts_with(path) && version.split_whitespace().next() == Some(tool.version)
                })
            });
            assert!(pinned, "{} {} is not what {}/go.mod pins", tool.name, tool.version, tool.module);
        }
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(minutes(Duration::from_secs(59)), "59 s");
        assert_eq!(minutes(Duration::from_secs(130)), "2 min 10 s");
    }
}
