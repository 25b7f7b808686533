//! The controller as a process that is killed, stopped and continued. Needs processes.

use std::fs::File;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tenantry_e2e::clock::Clock;

/// File of the journal.
const JOURNAL: &str = "journal.db";

/// Where the controllers that log to a directory keep their journal, as they are told it.
#[must_use]
pub fn journal(directory: &Path) -> String {
    format!("sqlite:{}", directory.join(JOURNAL).display())
}

/// Takes the journal of earlier controllers away: another cluster's facts are none of the next.
///
/// # Errors
/// When it stays.
pub fn forget_journal(directory: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let file = directory.join(format!("{JOURNAL}{suffix}"));
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("{} cannot be removed", file.display()));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// The place of one replica: empty, or with a running process in it. Dropping it kills the process.
#[derive(Default)]
pub struct Slot {
    process: Mutex<Option<Process>>,
}

struct Process {
    child: Child,
    log: PathBuf,
    clock: Option<Clock>,
}

/// How a controller is started.
#[derive(Clone, Debug)]
pub struct Start {
    /// The program.
    pub binary: PathBuf,
    /// The cluster, or a proxy before it.
    pub kubeconfig: PathBuf,
    /// Directory for logs.
    pub directory: PathBuf,
    /// Name of the replica.
    pub replica: String,
    /// Further environment.
    pub environment: Vec<(String, String)>,
    /// Whether other processes come first.
    pub makes_way: bool,
    /// A wall clock that can be made to jump; the machine's where there is none.
    pub clock: Option<Clock>,
}

// === impl Slot ===

impl Slot {
    /// Starts a controller here; one that is there is killed first.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, start: &Start) -> Result<()> {
        self.kill();
        let log = start.directory.join(format!("{}.log", start.replica));
        let output = File::options().create(true).append(true).open(&log)?;
        if let Some(clock) = &start.clock {
            clock.set(0)?;
        }
        let mut command =
            if start.makes_way { behind_others(&start.binary) } else { Command::new(&start.binary) };
        let child = command
            .args([
                "controller",
                "--identity",
                &start.replica,
                "--admin-address",
                &free_address()?.to_string(),
                "--billing-address",
                "127.0.0.1:0",
            ])
            .env("KUBECONFIG", &start.kubeconfig)
            .env("TENANTRY_DATABASE", journal(&start.directory))
            .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned()))
            .envs(start.environment.iter().map(|(name, value)| (name, value)))
            .envs(start.clock.iter().flat_map(Clock::environment))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .with_context(|| format!("{} cannot be started", start.binary.display()))?;
        *self.lock() = Some(Process { child, log, clock: start.clock.clone() });
        Ok(())
    }

    /// Ends the process at once, as a power cut would.
    pub fn kill(&self) {
        if let Some(mut process) = self.lock().take() {
            process.end();
        }
    }

    /// Freezes the process.
    ///
    /// # Errors
    /// When none runs.
    pub fn stop(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets a frozen process go on.
    ///
    /// # Errors
    /// When none runs.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Asks the process to end.
    ///
    /// # Errors
    /// When none runs.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Lets the wall clock of the process jump, and no other.
    ///
    /// # Errors
    /// When none runs that has a clock of its own.
    pub fn jump(&self, seconds: i64) -> Result<()> {
        let clock = self.lock().as_ref().and_then(|process| process.clock.clone());
        clock.context("no controller with a clock of its own runs here")?.set(seconds)
    }

    /// Whether no process is here: none was started, or it was killed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_none()
    }

    /// How the process ended, if it ended by itself.
    #[must_use]
    pub fn ended(&self) -> Option<ExitStatus> {
        self.lock().as_mut().and_then(|process| process.child.try_wait().ok().flatten())
    }

    /// Waits until the process ends, and says how.
    ///
    /// # Errors
    /// When none runs, or it does not end within `at_most`.
    pub async fn gone(&self, at_most: Duration) -> Result<ExitStatus> {
        // The descriptor of a process becomes readable when it ends.
        let process = pidfd_open(self.pid()?, PidfdFlags::empty())?;
        let at_most = at_most.try_into().context("a time that is too long")?;
        let ended = move || poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&at_most));
        tokio::task::spawn_blocking(ended).await??;
        self.ended().context("the controller did not end")
    }

    /// The end of what it logged, for people.
    #[must_use]
    pub fn last_words(&self, directory: &Path, replica: &str) -> String {
        let log = self.lock().as_ref().map(|process| process.log.clone());
        let log = log.unwrap_or_else(|| directory.join(format!("{replica}.log")));
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n")
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(self.pid()?, signal)?)
    }

    fn pid(&self) -> Result<Pid> {
        let pid =
            self.lock().as_ref().map(|process| process.child.id()).context("no controller runs here")?;
        i32::try_from(pid).ok().and_then(Pid::from_raw).context("a process id that is none")
    }

    fn lock(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Process ===

impl Process {
    fn end(&mut self) {
        // A process that has ended already makes both fail, which is what was wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// A command for a program that runs when no other wants to.
fn behind_others(program: &Path) -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", "3"]).arg(program);
    command
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
