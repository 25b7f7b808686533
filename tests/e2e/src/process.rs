//! The controller as a process that a test starts, kills and starts again. Needs processes.

use crate::clock::Clock;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// Where the controllers of one directory keep their journal, as they are told it.
#[must_use]
pub fn journal(directory: &Path) -> String {
    format!("sqlite:{}", directory.join("journal.db").display())
}

/// A running controller. Dropping it kills it.
pub struct Controller {
    child: Child,
    admin: SocketAddr,
    billing: SocketAddr,
    log: PathBuf,
}

// === impl Controller ===

impl Controller {
    /// Starts `tenantry controller` with this kubeconfig. What it logs goes to a file in `directory`.
    ///
    /// # Errors
    /// When the binary is missing or no process can be started.
    pub fn start(kubeconfig: &Path, directory: &Path, arguments: &[&str]) -> Result<Self> {
        Self::start_by(None, kubeconfig, directory, arguments)
    }

    /// The same with a wall clock of its own.
    ///
    /// # Errors
    /// As there.
    pub fn start_by(
        clock: Option<&Clock>,
        kubeconfig: &Path,
        directory: &Path,
        arguments: &[&str],
    ) -> Result<Self> {
        let admin = free_address()?;
        let billing = free_address()?;
        let log = directory.join(format!("controller-{}.log", admin.port()));
        let child = Command::new(binary("tenantry")?)
            .args(["controller", "--admin-address", &admin.to_string()])
            .args(["--billing-address", &billing.to_string()])
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            .env("TENANTRY_DATABASE", journal(directory))
            .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned()))
            .envs(clock.into_iter().flat_map(Clock::environment))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("the controller cannot be started")?;
        Ok(Self { child, admin, billing, log })
    }

    /// Address of `/readyz` and `/metrics`.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// URL of the billing address.
    #[must_use]
    pub fn billing(&self) -> String {
        format!("http://{}", self.billing)
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process still runs.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Ends the process at once, as a power cut would.
    ///
    /// # Errors
    /// When the process cannot be reaped.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks the process to end and waits for it.
    ///
    /// # Errors
    /// When the process cannot be signalled or reaped.
    pub fn terminate(mut self) -> Result<ExitStatus> {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        if !status.success() {
            bail!("the controller could not be signalled");
        }
        Ok(self.child.wait()?)
    }

    /// What it logged so far.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.log)?)
    }

    /// Largest resident memory so far and at present, in KiB (`VmHWM` and `VmRSS` of proc(5)).
    ///
    /// # Errors
    /// When the process is gone.
    pub fn memory_kib(&self) -> Result<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        field("VmHWM:").zip(field("VmRSS:")).context("the kernel does not tell the memory of the controller")
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // An already ended process makes both fail, which is what was wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Path of a binary of this workspace, built when it is missing.
///
/// # Errors
/// When it cannot be built.
pub fn binary(name: &str) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("TENANTRY_BIN_DIR") {
        return Ok(Path::new(&path).join(name));
    }
    // A test runs as target/<profile>/deps/<test>, a program as target/<profile>/<program>.
    let executable = std::env::current_exe()?;
    let directory = executable.parent().context("the test has no directory")?;
    let directory =
        if directory.ends_with("deps") { directory.parent().unwrap_or(directory) } else { directory };
    let path = directory.join(name);
    if !path.exists() {
        let built = Command::new("cargo").args(["build", "--quiet", "-p", "tenantry", "--bins"]).status()?;
        if !built.success() || !path.exists() {
            bail!("{} is missing: run cargo build --workspace --bins", path.display());
        }
    }
    Ok(path)
}

pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
