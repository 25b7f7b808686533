//! A contender's process. Needs processes and, for its readiness, the network on loopback.

use super::{Process, Variables};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tenantry_e2e::http;
use tokio::time::{Instant, sleep};

/// A start takes a second; this long only on a machine in distress.
const READY_TIMEOUT: Duration = Duration::from_secs(120);
/// Between two looks at a process that is not ready: over HTTP there is nothing to watch.
const READY_PAUSE: Duration = Duration::from_millis(10);
/// Lines of the log that a failure shows.
const LAST_LINES: usize = 20;

/// A running process. Dropping it kills it.
pub struct Running {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

// === impl Running ===

impl Running {
    /// Starts a process. Its output goes to a file in `directory`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(
        process: &Process,
        variables: &Variables,
        kubeconfig: &Path,
        directory: &Path,
    ) -> Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let variables = variables
            .with("PORT", address.port().to_string())
            .with("DIRECTORY", directory.display().to_string());
        let words = variables.expand_all(&process.command)?;
        let (program, arguments) = words.split_first().context("process.command is empty")?;
        let log = directory.join(format!("process-{}.log", address.port()));
        let output = File::create(&log)?;
        let mut command = Command::new(program);
        command.args(arguments).env_clear().env("HOME", directory).env("KUBECONFIG", kubeconfig);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        for (name, value) in &process.environment {
            command.env(name, variables.expand(value)?);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("{program} cannot be started"))?;
        Ok(Self { child, address, log })
    }

    /// Waits until the process answers 200 on `path`.
    ///
    /// # Errors
    /// When it ends before, or takes too long; the message holds the end of its log.
    pub async fn until_ready(&mut self, path: &str) -> Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        while !answers(self.address, path).await {
            if let Some(status) = self.child.try_wait()? {
                bail!("the process ended before it was ready ({status}):\n{}", self.last_words());
            }
            if Instant::now() > deadline {
                bail!("not ready after {} s:\n{}", READY_TIMEOUT.as_secs(), self.last_words());
            }
            sleep(READY_PAUSE).await;
        }
        Ok(())
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends the process at once, as a power cut would.
    ///
    /// # Errors
    /// When it cannot be reaped.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// The end of what it wrote.
    #[must_use]
    pub fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An already ended process makes both fail, which is what was wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn answers(address: SocketAddr, path: &str) -> bool {
    let path = path.to_owned();
    let asked = tokio::task::spawn_blocking(move || http::get(address, &path)).await;
    matches!(asked, Ok(Ok(answer)) if answer.status == 200)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    fn process(script: &str) -> Process {
        Process {
            command: vec!["sh".into(), "-c".into(), script.into()],
            environment: BTreeMap::from([("GREETING".into(), "hello ${PORT}".into())]),
            ready: Some("/ready".into()),
            lease: None,
        }
    }

    #[tokio::test]
    async fn a_process_that_ends_is_told_with_its_last_words() {
        let directory = tempfile::tempdir().unwrap();
        let process = process("echo \"$GREETING $KUBECONFIG\"; exit 3");
        let kubeconfig = Path::new("/some/kubeconfig");
        let mut running =
            Running::spawn(&process, &Variables::default(), kubeconfig, directory.path()).unwrap();
        let error = format!("{:#}", running.until_ready("/ready").await.unwrap_err());
        assert!(
            error.contains("hello ") && error.contains("/some/kubeconfig") && error.contains('3'),
            "{error}"
        );
    }

    #[tokio::test]
    async fn readiness_is_an_answer_of_200() {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = tokio::spawn(async move {
            for status in ["503 Service Unavailable", "200 OK"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let length = stream.read(&mut request).await.unwrap();
                assert!(request[..length].starts_with(b"GET /ready "));
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        assert!(!answers(address, "/ready").await);
        assert!(answers(address, "/ready").await);
        serve.await.unwrap();
        assert!(!answers(address, "/ready").await, "nobody listens any more");
    }
}
