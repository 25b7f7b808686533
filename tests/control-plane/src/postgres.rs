//! A real PostgreSQL on loopback, from the programs of this machine. Needs the file system, the process table and a clock.
//!
//! It keeps what it acknowledged like one in production: nothing is switched off. It runs as `postgres` or `nobody` where the
//! test runs as root, because it refuses to run as root, with a password nobody else knows.
//!
//! The kernel ends it with the thread that started it, which is one of its own: that of a test may end before others that
//! use the same server. What a killed test left, the next start removes.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use ring::rand::SystemRandom;
use rustix::process::Signal;

use crate::home::{Home, ProcessId, State};
use crate::logs::tail;

/// Where Debian and its descendants put one directory a version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Starting, with what a killed server has to read again, and ending take a second; this long on a machine in distress.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// One server with its data. Both are gone when it is dropped.
pub struct Postgres {
    home: Home,
    port: u16,
    directory: PathBuf,
    programs: PathBuf,
    /// User and group the programs run as, where that is not the user of the test.
    user: Option<(u32, u32)>,
    password: String,
    process: Option<Process>,
}

struct Process {
    id: ProcessId,
    /// Ends with the process.
    thread: JoinHandle<()>,
}

impl Postgres {
    /// What this machine lacks for a PostgreSQL, and how to get it; nothing if one can run.
    #[must_use]
    pub fn missing() -> Option<String> {
        let can_start = Command::new("setpriv").arg("--version").output().is_ok();
        let package = if can_start { "postgresql" } else { "util-linux" };
        (!can_start || programs().is_none())
            .then(|| format!("a PostgreSQL needs packages: apt-get install {package}"))
    }

    /// Makes an empty server and starts it.
    ///
    /// # Errors
    /// When the programs are missing or fail.
    pub fn start() -> Result<Self> {
        let programs = programs().context("no PostgreSQL is installed")?;
        let (home, reserved) = Home::create(1, false)?;
        let port = *reserved.ports.first().context("no port")?;
        let directory = make_directory(home.paths().root())?;
        let random = ring::rand::generate(&SystemRandom::new()).map_err(|_| anyhow!("no random numbers"))?;
        let password = format!("{:032x}", u128::from_ne_bytes(random.expose()));
        let user = if rustix::process::geteuid().is_root() { Some(find_user()?) } else { None };
        let mut server = Self { home, port, directory, programs, user, password, process: None };
        server.make_data()?;
        server.restart()?;
        Ok(server)
    }

    /// URL of the database `name` for the superuser. A new server has the database `postgres`.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("postgres://tenantry:{}@127.0.0.1:{}/{name}", self.password, self.port)
    }

    /// Kills the server amid whatever it does. Its sessions notice and end.
    pub fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    /// Stops the server in order; sessions are ended.
    pub fn stop(&mut self) {
        self.end(Signal::INT);
    }

    /// Starts the server again on the same port with the data it has.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&mut self) -> Result<()> {
        let log = self.home.paths().logs().join("postgres.log");
        let deadline = Instant::now() + PATIENCE;
        // Sessions of a killed server keep the next one out until they have noticed.
        while !self.try_start(&log, deadline)? {
            if Instant::now() >= deadline {
                bail!("PostgreSQL does not start; its last words:\n{}", tail(&log, 15));
            }
            sleep(PAUSE);
        }
        Ok(())
    }

    /// Whether the server that is started now is ready; if not, it has ended.
    fn try_start(&mut self, log: &Path, deadline: Instant) -> Result<bool> {
        self.stop();
        let output = File::options().create(true).append(true).open(log)?;
        let mut command = self.command("postgres");
        command
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-c", "unix_socket_directories="])
            // Otherwise what a killed server shares in memory stays in memory.
            .args(["-c", "dynamic_shared_memory_type=mmap", "-D", "data"])
            .stdout(output.try_clone()?)
            .stderr(output);
        let (sender, receiver) = mpsc::channel();
        let thread = spawn(move || {
            let mut child = command.spawn();
            let _ = sender.send(child.as_ref().map(Child::id).map_err(|error| error.kind()));
            let _ = child.as_mut().map(Child::wait);
        });
        let pid = receiver.recv()?.map_err(|error| anyhow!("cannot start PostgreSQL: {error}"))?;
        let Some(id) = ProcessId::of(i32::try_from(pid)?) else { return Ok(false) };
        let (supervisor, ports) = (i32::try_from(std::process::id())?, vec![self.port]);
        self.home.paths().write_state(&State { supervisor, ports, network: None, children: vec![id] })?;
        self.process = Some(Process { id, thread });
        while self.process.as_ref().is_some_and(|process| !process.thread.is_finished()) {
            if self.is_ready(pid) {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                self.kill();
            }
            sleep(PAUSE);
        }
        Ok(false)
    }

    /// A server writes its process id into the first line of its lock file, and into the eighth what it does.
    fn is_ready(&self, pid: u32) -> bool {
        let text = fs::read_to_string(self.directory.join("data/postmaster.pid")).unwrap_or_default();
        let mut lines = text.lines();
        lines.next() == Some(&pid.to_string()) && lines.nth(6).is_some_and(|state| state.trim() == "ready")
    }

    fn make_data(&self) -> Result<()> {
        let password = self.directory.join("password");
        fs::write(&password, &self.password)?;
        if let Some((user, group)) = self.user {
            chown(&self.directory, Some(user), Some(group))?;
            chown(&password, Some(user), Some(group))?;
        }
        let mut command = self.command("initdb");
        command.args(["--username=tenantry", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]);
        command.args(["--pwfile=password", "-D", "data"]);
        let output = command.output().context("cannot run initdb")?;
        fs::remove_file(&password)?;
        if !output.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// One of PostgreSQL's programs as the user it may run as, which the kernel ends with the thread that starts it.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Some((user, group)) = self.user {
            command.args([
                format!("--reuid={user}"),
                format!("--regid={group}"),
                "--clear-groups".to_owned(),
            ]);
        }
        command.arg("--").arg(self.programs.join(program));
        command.current_dir(&self.directory).stdin(Stdio::null());
        command
    }

    fn end(&mut self, signal: Signal) {
        let Some(process) = self.process.take() else { return };
        process.id.signal(signal);
        let deadline = Instant::now() + PATIENCE;
        while !process.thread.is_finished() && Instant::now() < deadline {
            sleep(PAUSE);
        }
        process.id.signal(Signal::KILL);
        let _ = process.thread.join();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // At once: its data goes with it.
        self.end(Signal::QUIT);
        discard(&self.directory);
    }
}

fn find_user() -> Result<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    let find = |name: &str| {
        let mut users = users.lines().map(|line| line.split(':'));
        let mut fields = users.find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?;
        Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    find("postgres").or_else(|| find("nobody")).context("neither a user postgres nor nobody")
}

/// The directory of the newest PostgreSQL there is, or of the one on the search path.
fn programs() -> Option<PathBuf> {
    let has_them = |place: &PathBuf| place.join("initdb").is_file() && place.join("postgres").is_file();
    let place = |version: u32| Path::new(VERSIONS).join(format!("{version}/bin"));
    let versions = fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let versions = versions.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let newest = versions.filter(|version| has_them(&place(*version))).max().map(place);
    newest.or_else(|| std::env::split_paths(&std::env::var_os("PATH")?).find(has_them))
}

/// A directory that another user can enter, which the home of a control plane is not, named after that home; those whose
/// home is gone are removed.
fn make_directory(home: &Path) -> Result<PathBuf> {
    let prefix = format!("tenantry-postgres-{}-", rustix::process::geteuid().as_raw());
    let base = std::env::temp_dir();
    let own = home.file_name().and_then(|name| name.to_str()).context("a home without a name")?;
    for entry in fs::read_dir(&base)?.flatten() {
        if let Some(name) = entry.file_name().to_str().and_then(|name| name.strip_prefix(&prefix))
            && (name == own || !home.with_file_name(name).exists())
        {
            discard(&entry.path());
        }
    }
    let directory = base.join(format!("{prefix}{own}"));
    DirBuilder::new().mode(0o700).create(&directory)?;
    Ok(directory)
}

/// Removes a server's directory, and the few bytes of shared memory that one leaves that was killed: their key is the first
/// word of the seventh line of its lock file.
fn discard(directory: &Path) {
    let lock = fs::read_to_string(directory.join("data/postmaster.pid")).unwrap_or_default();
    if let Some(key) = lock.lines().nth(6).and_then(|line| line.split_whitespace().next()) {
        let _ = Command::new("ipcrm").args(["-M", key]).output();
    }
    let _ = fs::remove_dir_all(directory);
}
