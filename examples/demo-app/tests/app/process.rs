//! Processes of the application. None outlives its test.

use bytes::Bytes;
use http::{Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::future::Future;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tenantry_demo_app::client::{Answer, Http, Store};
use tenantry_demo_app::names::Name;

/// Far beyond what anything here takes; only a failing test gets here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Password of every store here.
pub(crate) const PASSWORD: &str = "correct horse";
/// Name of the company here, with everything that HTML and JSON read.
pub(crate) const COMPANY: &str = "Çelik & <Sons> \"鴉\"";

/// A role that serves.
pub(crate) struct Process {
    child: Child,
    /// Where it answers, if it does.
    pub(crate) http: Option<SocketAddr>,
    /// Where it is asked for its health.
    pub(crate) admin: Http,
    fault_file: PathBuf,
}

/// A folder with the settings of a tenant, and its processes' files.
pub(crate) struct Tenant {
    pub(crate) folder: TempDir,
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// The program, in an environment in which nothing is set but the passwords.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo-app"));
    command.args(arguments).env_clear().env("DATABASE_PASSWORD", PASSWORD).env("SESSION_KEY", "k".repeat(64));
    command
}

/// Waits until a condition holds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let held = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, held).await.unwrap_or_else(|_| panic!("never: {what}"));
}

// === impl Process ===

impl Process {
    fn start(role: &str, arguments: &[&str], fault_file: PathBuf) -> Self {
        let mut command = program(&[role, "--admin-listen", "127.0.0.1:0", "--fault-file"]);
        command.arg(&fault_file).args(arguments).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: BTreeMap<String, SocketAddr> =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{role} said {line:?}: {error}"));
        Self { child, http: said.get("http").copied(), admin: Http::new(said["admin"]), fault_file }
    }

    pub(crate) fn address(&self) -> String {
        self.http.unwrap().to_string()
    }

    /// A client of what it serves.
    pub(crate) fn client(&self) -> Http {
        Http::new(self.http.unwrap())
    }

    pub(crate) fn store(&self) -> Store {
        Store::new(self.http.unwrap(), PASSWORD).unwrap()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sets a fault as `kubectl exec` would.
    pub(crate) fn fault(&self, fault: &str) {
        let status = program(&["fault", fault, "--file"]).arg(&self.fault_file).status().unwrap();
        assert!(status.success(), "{fault}");
    }

    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        // A thread of its own, because waiting must not stop the test's other tasks.
        let waiting = tokio::task::spawn_blocking(move || self.child.wait().unwrap());
        tokio::time::timeout(PATIENCE, waiting).await.expect("the process never ends").unwrap()
    }

    /// What it says at a path of its administration address.
    pub(crate) async fn ask(&self, path: &str) -> (u16, String) {
        let Answer { status, body, .. } =
            self.admin.send(Method::GET, path, None, Bytes::new()).await.unwrap();
        (status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
    }

    /// The value of a metric.
    pub(crate) async fn metric(&self, metric: &str) -> Option<u64> {
        let (_, text) = self.ask("/metrics").await;
        text.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' ')?.parse().ok())
    }

    pub(crate) async fn ready(&self) -> bool {
        self.ask("/readyz").await.0 == StatusCode::OK.as_u16()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, and then both say so.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

// === impl Tenant ===

impl Tenant {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = json!({
            "company": {"name": COMPANY, "country": "TR"}, "plan": "Gold", "version": "4.2.1", "edition": "trade",
            "fiscalYearStart": 4, "hosts": ["erp.celik.example"], "seats": 100
        });
        std::fs::write(folder.path().join("erp.json"), settings.to_string()).unwrap();
        std::fs::write(folder.path().join("people.json"), r#"[{"key": "ada", "name": "Ada"}]"#).unwrap();
        std::fs::write(folder.path().join("welcome.txt"), "Welcome!\n").unwrap();
        std::fs::create_dir(folder.path().join("client")).unwrap();
        std::fs::write(folder.path().join("client/index.html"), "<h1>Where to go</h1>\n").unwrap();
        std::fs::write(folder.path().join("client/kit.json"), r#"{"version": "4.2.1"}"#).unwrap();
        Self { folder }
    }

    /// A path in the tenant's folder.
    pub(crate) fn path(&self, path: &str) -> String {
        self.folder.path().join(path).to_str().unwrap().to_owned()
    }

    pub(crate) fn store(&self) -> Process {
        self.store_at("127.0.0.1:0", "volume")
    }

    pub(crate) fn store_at(&self, address: &str, volume: &str) -> Process {
        let data = self.path(volume);
        Process::start("store", &["--listen", address, "--data", &data], self.fault_file("store"))
    }

    pub(crate) fn web(&self, store: &Process) -> Process {
        let (settings, people) = (self.path("erp.json"), self.path("people.json"));
        let (welcome, client, store) = (self.path("welcome.txt"), self.path("client"), store.address());
        let arguments = [
            "--listen",
            "127.0.0.1:0",
            "--settings",
            &settings,
            "--people",
            &people,
            "--welcome",
            &welcome,
            "--client",
            &client,
            "--store",
            &store,
        ];
        Process::start("web", &arguments, self.fault_file("web"))
    }

    pub(crate) fn worker(&self, store: &Process) -> Process {
        let (settings, store) = (self.path("erp.json"), store.address());
        let arguments = ["--settings", &settings, "--store", &store, "--look-every", "10"];
        Process::start("worker", &arguments, self.fault_file("worker"))
    }

    /// The command of a job, and the file of its result.
    pub(crate) fn job_command(
        &self,
        role: &str,
        attempt: &str,
        store: &Process,
        arguments: &[&str],
    ) -> (Command, PathBuf) {
        let result = self.folder.path().join(format!("{role}-{attempt}.json"));
        let mut command = program(&[role, "--store", &store.address(), "--attempt", attempt, "--result"]);
        command.arg(&result).args(arguments);
        (command, result)
    }

    /// Runs a job. Gives whether its exit code is zero, and its result.
    pub(crate) fn job(
        &self,
        role: &str,
        attempt: &str,
        store: &Process,
        arguments: &[&str],
    ) -> (bool, Value) {
        let (mut command, result) = self.job_command(role, attempt, store, arguments);
        let Output { status, stderr, .. } = command.output().unwrap();
        let said = std::fs::read(&result)
            .unwrap_or_else(|error| panic!("{role}: {error}: {}", String::from_utf8_lossy(&stderr)));
        assert!(said.len() <= 4096, "{} bytes", said.len());
        let value: Value = serde_json::from_slice(&said).unwrap();
        let wanted = if status.success() { "Succeeded" } else { "Failed" };
        assert_eq!(
            (value["outcome"].as_str(), value["role"].as_str()),
            (Some(wanted), Some(role)),
            "{value:#}"
        );
        (status.success(), value)
    }

    fn fault_file(&self, role: &str) -> PathBuf {
        self.folder.path().join(format!("{role}.fault"))
    }
}

/// Runs a program that is expected to fail, and gives what it says.
pub(crate) fn refusal(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Runs a standard tool in a folder.
pub(crate) fn tool(folder: &Path, tool: &str, arguments: &[&str]) -> Output {
    Command::new(tool)
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("{tool}: {error}"))
}
