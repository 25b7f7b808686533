//! A real Prometheus on loopback, from the programs of this machine. Needs processes and the file system.

use crate::http;
use crate::process::free_address;
use crate::wait::PATIENCE;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tenantry_control_plane::tools::cache_directory;

const PAUSE: Duration = Duration::from_millis(20);

/// One server with the data of a directory. Dropping it kills it; the data stays.
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
}

// === impl Prometheus ===

impl Prometheus {
    /// What this machine lacks for a Prometheus, and how to get it; nothing if one can run.
    #[must_use]
    pub fn missing() -> Option<String> {
        programs().is_none().then(|| "a Prometheus needs a package: apt-get install prometheus".to_owned())
    }

    /// Starts one with this configuration over what is in `directory`, and waits until it answers.
    ///
    /// A series that nobody scrapes any more is there for `lookback` after its last sample. One that scrapes marks its end; what was
    /// written by `promtool` has no such marks, so a little more than the time between two samples takes their place.
    ///
    /// # Errors
    /// When the programs are missing or it does not start.
    pub fn start(directory: &Path, configuration: &str, lookback: &str) -> Result<Self> {
        let programs = programs().context("no Prometheus is installed")?;
        std::fs::create_dir_all(directory)?;
        let (file, log) = (directory.join("prometheus.yml"), directory.join("prometheus.log"));
        std::fs::write(&file, configuration)?;
        let address = free_address()?;
        let child = Command::new(programs.join("prometheus"))
            .arg(format!("--web.listen-address={address}"))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--query.lookback-delta={lookback}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("Prometheus cannot be started")?;
        let server = Self { child, address };
        let deadline = Instant::now() + PATIENCE;
        while !http::get(address, "/-/ready").is_ok_and(|answer| answer.status == 200) {
            ensure!(
                Instant::now() < deadline,
                "Prometheus does not start:\n{}",
                std::fs::read_to_string(&log).unwrap_or_default()
            );
            std::thread::sleep(PAUSE);
        }
        Ok(server)
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many questions about one instant it answered.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn answered(&self) -> Result<f64> {
        let text = http::get(self.address, "/metrics")?.body;
        let is_meant = |line: &&str| {
            line.starts_with("prometheus_http_requests_total{")
                && line.contains("handler=\"/api/v1/query\"")
                && line.contains("code=\"200\"")
        };
        let line = text.lines().find(is_meant);
        Ok(line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default())
    }

    /// The result of a question without characters that an address has not.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn ask(&self, query: &str) -> Result<Value> {
        let answer = http::get(self.address, &format!("/api/v1/query?query={query}"))?;
        let answer: Value = serde_json::from_str(&answer.body)?;
        Ok(answer.pointer("/data/result").cloned().unwrap_or_default())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // An already ended process makes both fail, which is what was wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Adds what OpenMetrics says to the data of a directory in which no server runs.
///
/// # Errors
/// When `promtool` is missing or refuses it.
pub fn backfill(directory: &Path, history: &str) -> Result<()> {
    std::fs::create_dir_all(directory)?;
    let file = directory.join("history.txt");
    std::fs::write(&file, history)?;
    let data = directory.join("data");
    promtool(&[
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        &file.display().to_string(),
        &data.display().to_string(),
    ])
}

/// Runs `promtool`.
///
/// # Errors
/// When it is missing or ends with an error; the message is what it said.
pub fn promtool(arguments: &[&str]) -> Result<()> {
    let programs = programs().context("no promtool is installed")?;
    let output = Command::new(programs.join("promtool")).args(arguments).output()?;
    ensure!(
        output.status.success(),
        "promtool {arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// The directory of its programs: one on the search path, or where `scripts/lib` takes Debian's package apart.
fn programs() -> Option<PathBuf> {
    let has_them = |place: &PathBuf| place.join("prometheus").is_file() && place.join("promtool").is_file();
    let path = std::env::var_os("PATH")?;
    let apart = cache_directory().ok().and_then(|cache| Some(cache.parent()?.join("prometheus/usr/bin")));
    std::env::split_paths(&path).chain(apart).find(has_them)
}
