//! The child processes: starting, freezing, ending, and noticing that one ended by itself. Needs the process table.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result, anyhow};
use futures::future::select_all;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::process::{Child, Command};

use crate::commands::{CommandLine, Role};
use crate::home::ProcessId;
use crate::logs::tail;

/// Lines of a log that usually hold the reason.
const LOG_LINES: usize = 15;

/// The running children of one supervisor.
#[derive(Default)]
pub(crate) struct Processes {
    running: Vec<Process>,
}

struct Process {
    role: Role,
    child: Child,
    log: PathBuf,
}

impl Processes {
    /// Starts `command` as `role`, its output appended to `log`.
    pub(super) fn start(&mut self, role: Role, command: &CommandLine, log: PathBuf) -> Result<()> {
        let output = File::options().create(true).append(true).open(&log)?;
        let child = Command::new(own_binary()?)
            .arg("child")
            .arg(std::process::id().to_string())
            .arg(&command.program)
            .arg("--")
            .args(&command.arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", role.name()))?;
        self.running.push(Process { role, child, log });
        Ok(())
    }

    /// Identities of all children, for whoever cleans up after us.
    pub(super) fn ids(&self) -> Vec<ProcessId> {
        self.running
            .iter()
            .filter_map(|process| ProcessId::of(i32::try_from(process.child.id()?).ok()?))
            .collect()
    }

    /// Resolves when a child ends by itself; gives the reason as its log tells it. May be dropped at any time.
    pub(super) async fn first_end(&mut self) -> anyhow::Error {
        if self.running.is_empty() {
            return std::future::pending().await;
        }
        let ends = self.running.iter_mut().map(|process| Box::pin(process.end()));
        let (error, _, _) = select_all(ends).await;
        error
    }

    /// Sends `signal` to the child with `role`.
    pub(super) fn signal(&self, role: Role, signal: Signal) -> Result<()> {
        kill_process(self.pid(role)?, signal).with_context(|| format!("cannot signal {}", role.name()))
    }

    /// Freezes the child with `role`, and returns when it does nothing any more.
    pub(super) fn freeze(&self, role: Role) -> Result<()> {
        self.signal(role, Signal::STOP)?;
        let stopped = waitid(WaitId::Pid(self.pid(role)?), WaitIdOptions::STOPPED);
        stopped.with_context(|| format!("{} does not freeze", role.name()))?;
        Ok(())
    }

    fn pid(&self, role: Role) -> Result<Pid> {
        self.running
            .iter()
            .find(|process| process.role == role)
            .and_then(|process| process.child.id())
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
            .with_context(|| format!("{} does not run", role.name()))
    }

    /// Whether a child with `role` was started and not ended.
    pub(super) fn has(&self, role: Role) -> bool {
        self.running.iter().any(|process| process.role == role)
    }

    /// Ends the child with `role` and waits for its end.
    pub(super) async fn end(&mut self, role: Role) -> Result<()> {
        let index = self
            .running
            .iter()
            .position(|process| process.role == role)
            .with_context(|| format!("{} does not run", role.name()))?;
        self.running.remove(index).child.kill().await.with_context(|| format!("cannot end {}", role.name()))
    }

    /// Ends all children at once, without asking: everything they hold is thrown away with them. SIGKILL also ends a
    /// frozen process. Returns when they are gone.
    pub(super) async fn end_all(&mut self) {
        for process in &mut self.running {
            // Fails only for a child that has ended already.
            let _ = process.child.start_kill();
        }
        for process in &mut self.running {
            let _ = process.child.wait().await;
        }
        self.running.clear();
    }
}

impl Process {
    async fn end(&mut self) -> anyhow::Error {
        let how = match self.child.wait().await {
            Ok(status) => describe(status),
            Err(error) => format!("cannot be watched: {error}"),
        };
        anyhow!("{} {how}; its last words:\n{}", self.role.name(), tail(&self.log, LOG_LINES))
    }
}

fn describe(status: ExitStatus) -> String {
    format!("ended unasked ({status})")
}

/// The file this process runs from. Through /proc it stays valid when a build replaces the binary meanwhile.
fn own_binary() -> Result<PathBuf> {
    let link = Path::new("/proc/self/exe");
    if link.exists() { Ok(link.to_path_buf()) } else { Ok(std::env::current_exe()?) }
}

/// Runs in the new process between its creation and the tool's first instruction: asks the kernel for the parent-death
/// signal, which survives the change of program, then becomes the tool. A step of its own because doing it between fork
/// and exec takes unsafe code.
pub(super) fn run_as_child(supervisor: i32, program: &Path, arguments: &[String]) -> anyhow::Error {
    use std::os::unix::process::CommandExt;

    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        return anyhow::Error::new(error).context("cannot ask for the parent-death signal");
    }
    // The supervisor may have died before the request above; then no signal would ever come.
    if rustix::process::getppid().map(|parent| parent.as_raw_nonzero().get()) != Some(supervisor) {
        return anyhow!("the supervisor ended before {} began", program.display());
    }
    let error = std::process::Command::new(program).args(arguments).exec();
    anyhow::Error::new(error).context(format!("cannot run {}", program.display()))
}
