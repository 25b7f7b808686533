//! Builds the pinned Go tools once into the cache. Needs the `go` command, the file system and a clock for the progress
//! lines.

use std::fs::{self, File, TryLockError};
use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::cache_directory;
use super::pinned::{Set, Tool, ldflags};
use crate::logs::{say, tail};

/// Shown when `go` cannot be run. The version is that of the `go` lines in tools/*/go.mod.
const GO_MISSING: &str = "the control plane for tests is built from Go modules, and `go` was not found: install Go 1.26 or \
newer and put it on PATH, or set KUBEBUILDER_ASSETS to a directory with etcd and kube-apiserver, or set TENANTRY_KUBECONFIG \
to the kubeconfig of a test cluster";

/// The directory with the finished tools of a set, if it exists.
pub(super) fn cached(set: &Set) -> Option<PathBuf> {
    let directory = cache_directory().ok()?.join(set.key());
    directory.is_dir().then_some(directory)
}

/// The directory with the finished tools of a set; builds them when needed. Several processes may call this at once: one builds,
/// the others wait for it.
pub(super) fn ensure(set: &Set) -> Result<PathBuf> {
    if let Some(directory) = cached(set) {
        return Ok(directory);
    }
    let cache = cache_directory()?;
    fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
    let _lock = lock(&cache.join(format!("{}.lock", set.key())))?;
    if let Some(directory) = cached(set) {
        return Ok(directory);
    }
    go_version()?;
    let partial = cache.join(format!("{}.partial", set.key()));
    if partial.exists() {
        // Left by a build that was killed: the lock is ours, so nobody works in it. Go's own cache keeps what it did.
        fs::remove_dir_all(&partial).with_context(|| format!("cannot remove {}", partial.display()))?;
    }
    build_into(set, &partial)?;
    let finished = cache.join(set.key());
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

fn build_into(set: &Set, partial: &Path) -> Result<()> {
    for module in set.modules {
        let directory = partial.join("src").join(module.name);
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        fs::write(directory.join("go.mod"), module.go_mod)?;
        fs::write(directory.join("go.sum"), module.go_sum)?;
        if let Some(main) = module.main {
            fs::write(directory.join("main.go"), main)?;
        }
    }
    let output = partial.join("bin");
    fs::create_dir_all(&output)?;
    for tool in set.tools {
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
        .args(["build", "-trimpath", "-tags", tool.tags, "-ldflags", &ldflags(), "-o"])
        .arg(binary)
        .arg(tool.package)
        .current_dir(module)
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "-mod=mod")
        .env("CGO_ENABLED", if tool.cgo { "1" } else { "0" })
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
        let packages = if tool.cgo { "; it needs gcc, pkg-config and libseccomp-dev" } else { "" };
        bail!(
            "go could not build {} {} with {}{packages}:\n{reason}",
            tool.name,
            tool.version,
            go_version()?
        );
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(minutes(Duration::from_secs(59)), "59 s");
        assert_eq!(minutes(Duration::from_secs(130)), "2 min 10 s");
    }
}
