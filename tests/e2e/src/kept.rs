//! A controller that outlives the command that started it, known by a record in a directory. Needs processes.

use crate::process::{binary, free_address, journal};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The controller gives its lease back and ends; that takes a second.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
const STOP_PAUSE: Duration = Duration::from_millis(20);

/// A controller that was left running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Process id.
    pub pid: u32,
    /// Address of `/readyz` and `/metrics`. Being on its command line, it proves that the id is still this process.
    pub admin: SocketAddr,
}

// === impl Kept ===

impl Kept {
    /// Starts `tenantry controller` with this kubeconfig in a process group of its own, so that Ctrl-C in a terminal does
    /// not reach it. Its log and its record go to `directory`.
    ///
    /// # Errors
    /// When the binary is missing or a file cannot be written.
    pub fn start(kubeconfig: &Path, directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let admin = free_address()?;
        let mut child = Command::new(binary("tenantry")?)
            .args(["controller", "--admin-address", &admin.to_string(), "--billing-address", "127.0.0.1:0"])
            .env("KUBECONFIG", kubeconfig)
            .env("TENANTRY_DATABASE", journal(directory))
            .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(log_file(directory))?)
            .process_group(0)
            .spawn()
            .context("the controller cannot be started")?;
        let kept = Self { pid: child.id(), admin };
        if let Err(error) = fs::write(record_file(directory), serde_json::to_vec(&kept)?) {
            // Nobody could find it again.
            child.kill()?;
            child.wait()?;
            return Err(error).context("the controller's process id cannot be recorded");
        }
        Ok(kept)
    }

    /// Asks the controller that was started for `directory` to end, waits for it and removes its record. Says whether
    /// one ran.
    ///
    /// # Errors
    /// When the record is damaged or the process had to be killed.
    pub fn stop(directory: &Path) -> Result<bool> {
        let file = record_file(directory);
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", file.display())),
        };
        let kept: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{} is damaged: remove it", file.display()))?;
        let ran = kept.is_running();
        if ran {
            kept.end()?;
        }
        fs::remove_file(&file)?;
        Ok(ran)
    }

    /// Whether the process of this id is still the controller that was started: after a restart of the machine the
    /// same id may belong to anybody.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let Ok(command_line) = fs::read(format!("/proc/{}/cmdline", self.pid)) else { return false };
        let admin = self.admin.to_string();
        command_line.split(|byte| *byte == 0).any(|argument| argument == admin.as_bytes())
    }

    fn end(&self) -> Result<()> {
        self.signal("-TERM")?;
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.is_running() {
            if Instant::now() > deadline {
                self.signal("-KILL")?;
                bail!("the controller did not end within {} s and was killed", STOP_TIMEOUT.as_secs());
            }
            std::thread::sleep(STOP_PAUSE);
        }
        Ok(())
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let status = Command::new("kill").args([signal, &self.pid.to_string()]).status()?;
        if !status.success() && self.is_running() {
            bail!("the controller (process {}) could not be signalled", self.pid);
        }
        Ok(())
    }
}

/// Where the controller of `directory` logs.
#[must_use]
pub fn log_file(directory: &Path) -> PathBuf {
    directory.join("controller.log")
}

fn record_file(directory: &Path) -> PathBuf {
    directory.join("controller.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_foreign_process_with_the_recorded_id_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let admin = free_address().unwrap();
        let ours = Kept { pid: std::process::id(), admin };
        fs::write(record_file(directory.path()), serde_json::to_vec(&ours).unwrap()).unwrap();
        assert!(!ours.is_running());
        assert!(!Kept::stop(directory.path()).unwrap());
        assert!(!record_file(directory.path()).exists());
    }

    #[test]
    fn a_recorded_process_is_ended() {
        let directory = tempfile::tempdir().unwrap();
        let admin = free_address().unwrap();
        // `sh -c SCRIPT NAME` carries the address on its command line as a controller does.
        let mut child = Command::new("sh")
            .args(["-c", "echo; read line", &admin.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // The kernel shows a command line a moment after the process exists; what it says comes later still.
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let kept = Kept { pid: child.id(), admin };
        fs::write(record_file(directory.path()), serde_json::to_vec(&kept).unwrap()).unwrap();
        assert!(kept.is_running());
        // Waiting for a child closes what it reads from, and this one would end by itself.
        let stdin = child.stdin.take();
        let reaper = std::thread::spawn(move || child.wait().unwrap());
        assert!(Kept::stop(directory.path()).unwrap());
        assert!(!reaper.join().unwrap().success() && !kept.is_running());
        assert!(!Kept::stop(directory.path()).unwrap(), "nothing is left to stop");
        drop(stdin);
    }
}
