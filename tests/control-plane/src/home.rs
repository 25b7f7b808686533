//! The directory of one running control plane, the ports it uses, and the removal of what dead ones left. Needs the file
//! system and the process table; no client.
//!
//! A supervisor holds a file lock in its directory for as long as it lives. The kernel gives the lock back when the
//! process ends, however it ends, so "the lock can be taken" is the proof that a directory is left over; a process id
//! alone could have been given to somebody else.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::logs::say;
use crate::node::{self, Network};
use crate::pki::PkiFiles;

/// Ports are taken from below the range from which the kernel picks ports of outgoing connections (from 32768 on Linux),
/// so that no connection of another program sits on a port between our look and the server's start.
const PORTS: std::ops::Range<u16> = 21_000..32_000;

/// Together a second: a killed process ends within milliseconds.
const REMOVE_ATTEMPTS: u32 = 50;
const REMOVE_PAUSE: Duration = Duration::from_millis(20);

/// Paths below the directory of one control plane. Any process of the same user may hold one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Paths {
    root: PathBuf,
}

/// The directory of a control plane that this process owns. Removed on drop.
pub(crate) struct Home {
    paths: Paths,
    network: Option<Network>,
    _lock: File,
}

/// What belongs to one control plane alone.
#[derive(Clone, Debug)]
pub(crate) struct Reserved {
    pub(crate) ports: Vec<u16>,
    /// Of its real node, where it has one.
    pub(crate) network: Option<Network>,
}

/// What the next start needs to clean up after a supervisor that died, and what `down` needs to stop a living one.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// Process id of the supervisor.
    pub(crate) supervisor: i32,
    /// Ports that belong to this control plane.
    pub(crate) ports: Vec<u16>,
    /// The network of its real node.
    #[serde(default)]
    pub(crate) network: Option<Network>,
    /// The processes the supervisor started.
    pub(crate) children: Vec<ProcessId>,
}

/// A process id that cannot be mistaken for a later process of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pid: i32,
    /// Clock ticks between boot and the start of the process.
    started: u64,
}

// === impl Paths ===

impl Paths {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    fn state(&self) -> PathBuf {
        self.root.join("state.json")
    }

    pub(crate) fn etcd(&self) -> PathBuf {
        self.root.join("etcd")
    }

    pub(crate) fn pki(&self) -> PkiFiles {
        PkiFiles::new(self.root.join("pki"))
    }

    /// What its real node has on this machine's file system.
    pub(crate) fn node(&self) -> PathBuf {
        self.root.join("node")
    }

    /// The volumes of claims.
    pub(crate) fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    pub(crate) fn audit_log(&self) -> PathBuf {
        self.root.join("audit.log")
    }

    pub(crate) fn config(&self, name: &str) -> PathBuf {
        self.root.join("config").join(name)
    }

    pub(crate) fn kubeconfigs(&self) -> PathBuf {
        self.root.join("kubeconfigs")
    }

    /// Whether a supervisor still lives in this directory.
    pub(crate) fn is_inhabited(&self) -> bool {
        File::open(self.lock())
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    pub(crate) fn read_state(&self) -> Result<State> {
        let path = self.state();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Replaces the state in one step: a reader sees the old or the new one.
    pub(crate) fn write_state(&self, state: &State) -> Result<()> {
        let draft = self.root.join("state.json.new");
        fs::write(&draft, serde_json::to_vec(state)?)
            .with_context(|| format!("cannot write {}", draft.display()))?;
        fs::rename(&draft, self.state()).with_context(|| format!("cannot write {}", self.state().display()))
    }
}

// === impl Home ===

impl Home {
    /// Removes what dead control planes left, then makes a directory and reserves `ports` free ports, and a network if
    /// there is to be a real node.
    pub(crate) fn create(ports: usize, real_node: bool) -> Result<(Self, Reserved)> {
        let base = base_directory()?;
        let _guard = guard(&base)?;
        let taken = reap(&base)?;
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let root = (0_u32..)
            .map(|attempt| base.join(format!("{pid}-{attempt}")))
            .find(|path| !path.exists())
            .context("no free name for a control plane")?;
        create_private(&root)?;
        let paths = Paths::new(root);
        let lock = File::create(paths.lock())?;
        lock.try_lock().with_context(|| format!("cannot lock {}", paths.lock().display()))?;
        let ports = free_ports(ports, &taken.ports)?;
        let network = if real_node { Some(Network::free(&taken.networks)?) } else { None };
        paths.write_state(&State { supervisor: pid, ports: ports.clone(), network, children: Vec::new() })?;
        for directory in [paths.logs(), paths.kubeconfigs(), paths.root().join("config")] {
            fs::create_dir(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        }
        Ok((Self { paths, network, _lock: lock }, Reserved { ports, network }))
    }

    pub(crate) fn paths(&self) -> &Paths {
        &self.paths
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(network) = self.network
            && let Err(error) = node::clean_up(&self.paths, network)
        {
            // Without its state the next start could not try again.
            say(&format!("control plane: {error:#}\n"));
            return;
        }
        // A start that was broken off has killed its processes but not seen them end: one may still make a file. What
        // cannot be removed at all is removed by the next start.
        for _ in 0..REMOVE_ATTEMPTS {
            if fs::remove_dir_all(&self.paths.root).is_ok() || !self.paths.root.exists() {
                break;
            }
            std::thread::sleep(REMOVE_PAUSE);
        }
    }
}

// === impl ProcessId ===

impl ProcessId {
    /// The identity of a running process; none if it does not run.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Some(Self { pid, started: start_time(pid)? })
    }

    /// Whether this very process still runs.
    pub(crate) fn is_alive(self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    pub(crate) fn signal(self, signal: Signal) {
        // The process may end between the two steps; then the signal is refused, which is as good.
        if let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.is_alive()) {
            let _ = kill_process(pid, signal);
        }
    }
}

/// Field 22 of /proc/PID/stat. The second field is the program's name in parentheses and may itself hold spaces and
/// parentheses, so counting starts behind the last one. A zombie counts as ended: it does nothing more.
fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_start_time(&stat)
}

fn parse_start_time(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    // `state` is field 3, so field 22 is 18 fields behind the next one.
    fields.nth(18)?.parse().ok()
}

/// Memory-backed where there is such a place: a control plane writes much and keeps nothing.
fn base_directory() -> Result<PathBuf> {
    let shared_memory = Path::new("/dev/shm");
    let parent = if is_roomy(shared_memory) { shared_memory.to_path_buf() } else { std::env::temp_dir() };
    let user = rustix::process::geteuid().as_raw();
    let base = parent.join(format!("tenantry-control-plane-{user}"));
    if !base.exists() {
        create_private(&base)?;
    }
    // Both parents are writable for everybody: a directory that another user prepared would hand them our keys.
    let owner = fs::symlink_metadata(&base).with_context(|| format!("cannot read {}", base.display()))?;
    if !owner.is_dir() || owner.uid() != user || owner.mode() & 0o077 != 0 {
        bail!("{} must be a directory that only you can enter: remove it", base.display());
    }
    Ok(base)
}

/// Containers are often given 64 MiB of shared memory, which etcd's first file fills. The size decides and not the free
/// space, so that the next start looks for left-overs in the same place.
fn is_roomy(directory: &Path) -> bool {
    rustix::fs::statvfs(directory).is_ok_and(|size| size.f_blocks.saturating_mul(size.f_frsize) >= 1 << 30)
}

fn create_private(path: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other.with_context(|| format!("cannot create {}", path.display())),
    }
}

/// Held while directories are made or removed and while ports are chosen, for milliseconds each time.
fn guard(base: &Path) -> Result<File> {
    let path = base.join("guard");
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

/// What living control planes have reserved.
#[derive(Debug, Default, PartialEq, Eq)]
struct Taken {
    ports: Vec<u16>,
    networks: Vec<Network>,
}

/// Ends the processes and removes the directories and real nodes of supervisors that died; says what the living ones have.
fn reap(base: &Path) -> Result<Taken> {
    let mut taken = Taken::default();
    for entry in fs::read_dir(base).with_context(|| format!("cannot read {}", base.display()))? {
        let paths = Paths::new(entry?.path());
        if !paths.root().is_dir() {
            continue;
        }
        let state = paths.read_state().unwrap_or_default();
        if paths.is_inhabited() {
            taken.ports.extend(state.ports);
            taken.networks.extend(state.network);
            continue;
        }
        for child in state.children {
            child.signal(Signal::KILL);
        }
        if let Some(network) = state.network {
            node::clean_up(&paths, network)
                .with_context(|| format!("cannot clean up after {}", paths.root().display()))?;
        }
        match fs::remove_dir_all(paths.root()) {
            // Another start, or the supervisor at its end, removes it at the same moment.
            Err(error) if error.kind() != ErrorKind::NotFound => {
                let what = format!("cannot remove {}, left by an earlier run", paths.root().display());
                return Err(error).context(what);
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(taken)
}

/// Removes what dead control planes of this user left behind.
pub(crate) fn clean_up() -> Result<()> {
    let base = base_directory()?;
    let _guard = guard(&base)?;
    reap(&base).map(drop)
}

fn free_ports(count: usize, taken: &[u16]) -> Result<Vec<u16>> {
    // Different starting points keep users of one machine apart; correctness does not depend on it.
    let pid = rustix::process::getpid().as_raw_nonzero().get().unsigned_abs();
    let span = u32::from(PORTS.end - PORTS.start);
    let offset = u16::try_from(pid.wrapping_mul(97) % span).unwrap_or_default();
    let mut found = Vec::with_capacity(count);
    let mut listeners = Vec::with_capacity(count);
    for port in (PORTS.start + offset..PORTS.end).chain(PORTS.start..PORTS.start + offset) {
        if found.len() == count {
            break;
        }
        if taken.contains(&port) {
            continue;
        }
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            listeners.push(listener);
            found.push(port);
        }
    }
    if found.len() < count {
        bail!("no {count} free ports on loopback between {} and {}", PORTS.start, PORTS.end);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_read_behind_a_hostile_name() {
        let stat = "42 (a) (b c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2";
        assert_eq!(parse_start_time(stat), Some(987_654));
        assert_eq!(parse_start_time(&stat.replace(" S ", " Z ")), None);
        assert_eq!(parse_start_time("garbage"), None);
    }

    #[test]
    fn own_process_is_alive_and_a_later_namesake_is_not() {
        let own = ProcessId::of(std::process::id().try_into().unwrap()).unwrap();
        assert!(own.is_alive());
        assert!(!ProcessId { started: own.started + 1, ..own }.is_alive());
    }

    #[test]
    fn ports_are_distinct_and_avoid_taken_ones() {
        let first = free_ports(4, &[]).unwrap();
        let second = free_ports(4, &first).unwrap();
        assert!(first.iter().all(|port| PORTS.contains(port) && !second.contains(port)));
    }

    #[test]
    fn left_over_directories_are_removed_and_inhabited_ones_kept() {
        let base = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let paths = Paths::new(base.path().join(name));
            fs::create_dir(paths.root()).unwrap();
            paths.write_state(&State { supervisor: 1, ports: vec![21_000], ..State::default() }).unwrap();
            let lock = File::create(paths.lock()).unwrap();
            lock.try_lock().unwrap();
            (paths, lock)
        };
        let (alive, _lock) = make("alive");
        let (dead, lock) = make("dead");
        drop(lock);
        assert_eq!(reap(base.path()).unwrap(), Taken { ports: vec![21_000], networks: Vec::new() });
        assert!(alive.root().exists() && !dead.root().exists());
    }
}
