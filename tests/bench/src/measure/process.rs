//! What processes cost: processor time and memory, from proc(5). Needs the process table.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Length of a tick of `utime` and `stime`: `USER_HZ` is 100 on every Linux that Rust runs on.
const TICK: Duration = Duration::from_millis(10);

/// Processor time that a process used so far, user and system.
///
/// # Errors
/// When the process is gone.
pub fn cpu(pid: u32) -> Result<Duration> {
    let stat = stat(&pid.to_string())?;
    ticks(&stat, UTIME).and_then(|user| Some(user + ticks(&stat, UTIME + 1)?)).context("unknown form of stat")
}

/// Processor time of several processes together.
///
/// # Errors
/// When one of them is gone.
pub fn cpu_of(pids: &[u32]) -> Result<Duration> {
    pids.iter().map(|pid| cpu(*pid)).sum()
}

/// Processor time of all children of this process that have ended and were waited for, and of theirs.
///
/// # Errors
/// When the kernel does not tell.
pub fn cpu_of_ended_children() -> Result<Duration> {
    let stat = stat("self")?;
    let children = UTIME + 2;
    ticks(&stat, children)
        .and_then(|user| Some(user + ticks(&stat, children + 1)?))
        .context("unknown form of stat")
}

/// Largest resident memory of a process so far (`VmHWM`), in MiB.
///
/// # Errors
/// When the process is gone.
pub fn peak_rss_mib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    kib(&status, "VmHWM:").map(|kib| kib / 1024.0).context("the kernel does not tell the memory of a process")
}

/// The processes of a control plane: their command lines name its directory.
///
/// # Errors
/// When the process table cannot be read.
pub fn of_control_plane(directory: &Path) -> Result<Vec<u32>> {
    let directory = directory.as_os_str().as_encoded_bytes();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process may end between the two looks.
        let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
        let is_server = line.split(|byte| *byte == 0).next().is_some_and(is_server);
        if is_server && line.windows(directory.len()).any(|window| window == directory) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Not a tool such as kubectl that was given a kubeconfig in that directory.
fn is_server(program: &[u8]) -> bool {
    ["etcd", "kube-apiserver", "kube-controller-manager"]
        .iter()
        .any(|name| program.ends_with(name.as_bytes()))
}

/// Place of `utime` behind the program's name in proc(5) stat: field 14, and the name is field 2.
const UTIME: usize = 11;

fn stat(process: &str) -> Result<String> {
    fs::read_to_string(format!("/proc/{process}/stat")).with_context(|| format!("process {process} is gone"))
}

/// A field by its place behind the program's name, which itself may hold spaces and parentheses.
fn ticks(stat: &str, place: usize) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: u32 = fields.split_whitespace().nth(place)?.parse().ok()?;
    Some(TICK * ticks)
}

fn kib(status: &str, field: &str) -> Option<f64> {
    let line = status.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_behind_a_hostile_name() {
        let stat = "42 (a) (b c) S 1 42 42 0 -1 4194560 1 2 3 4 150 50 700 300 20 0 1 0 987654 1 2";
        assert_eq!(ticks(stat, UTIME), Some(Duration::from_millis(1_500)));
        assert_eq!(ticks(stat, UTIME + 3), Some(Duration::from_secs(3)));
        assert_eq!(ticks("garbage", UTIME), None);
    }

    #[test]
    fn memory_is_found_among_other_fields() {
        assert_eq!(kib("VmPeak:\t 9 kB\nVmHWM:\t    2048 kB\n", "VmHWM:"), Some(2048.0));
        assert_eq!(kib("Name:\tx\n", "VmHWM:"), None);
    }

    #[test]
    fn this_process_has_used_memory_and_no_control_plane_lives_nowhere() {
        assert!(peak_rss_mib(std::process::id()).unwrap() > 1.0);
        assert!(cpu(std::process::id()).is_ok());
        assert_eq!(of_control_plane(Path::new("/nowhere/at/all")).unwrap(), Vec::<u32>::new());
    }
}
