//! The line from a test process to its supervisor. Blocking, so that a cluster can be shared by tests that each have a
//! runtime of their own and can be ended in `Drop`. Needs the process table.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::home::Paths;
use crate::protocol::{Answer, Order, Request};

/// Ending a control plane takes a tenth of a second; this long only on a machine in distress.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// How a start can fail.
pub(crate) enum StartError {
    /// The binary was built from other sources: build it and try again.
    OtherBuild,
    /// For good.
    Failed(anyhow::Error),
}

/// A supervisor that ends when this value does.
pub(crate) struct Link {
    child: Child,
    /// Closing it is the order to stop.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl<E: Into<anyhow::Error>> From<E> for StartError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Starts a supervisor that outlives this process and waits until its control plane is ready. Its messages go to `log`.
pub(crate) fn start_detached(binary: &Path, order: &Order, log: &Path) -> Result<Paths, StartError> {
    let log = std::fs::File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    let mut link = Link::spawn(Command::new(binary).args(["supervise", "--detached"]).stderr(log))?;
    let answer = link.order(order);
    if answer.is_ok() {
        // Without a child to wait for, dropping the rest leaves the supervisor alone.
        return answer;
    }
    link.end()?;
    answer
}

impl Link {
    /// Starts a supervisor and waits until its control plane is ready.
    pub(crate) fn start(binary: &Path, order: &Order) -> Result<(Self, Paths), StartError> {
        let mut link = Self::spawn(Command::new(binary).arg("supervise"))?;
        match link.order(order) {
            Ok(paths) => Ok((link, paths)),
            Err(error) => {
                link.end()?;
                Err(error)
            }
        }
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn request(&mut self, request: Request) -> Result<()> {
        match self.exchange(&serde_json::to_string(&request)?)? {
            Answer::Done => Ok(()),
            Answer::Failed(reason) => bail!(reason),
            answer @ (Answer::Ready(_) | Answer::OtherBuild) => bail!("the supervisor answered {answer:?}"),
        }
    }

    /// Ends the control plane and waits until nothing of it is left.
    pub(crate) fn end(&mut self) -> Result<()> {
        drop(self.input.take());
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                // Its children die with it, and the next start removes its directory.
                self.child.kill()?;
                self.child.wait()?;
                bail!("the supervisor did not end within {} s and was killed", STOP_TIMEOUT.as_secs());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn spawn(command: &mut Command) -> Result<Self> {
        let program = command.get_program().to_owned();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("a supervisor has no output")?);
        Ok(Self { child, input, output })
    }

    fn order(&mut self, order: &Order) -> Result<Paths, StartError> {
        match self.exchange(&serde_json::to_string(order)?)? {
            Answer::Ready(paths) => Ok(paths),
            Answer::OtherBuild => Err(StartError::OtherBuild),
            Answer::Failed(reason) => Err(anyhow::anyhow!(reason).into()),
            Answer::Done => {
                Err(anyhow::anyhow!("the supervisor answered an order as if it were a request").into())
            }
        }
    }

    fn exchange(&mut self, line: &str) -> Result<Answer> {
        let input = self.input.as_mut().context("the control plane was stopped")?;
        writeln!(input, "{line}").context("the supervisor has ended")?;
        let mut answer = String::new();
        if self.output.read_line(&mut answer)? == 0 {
            bail!("the supervisor has ended; its reason is on standard error");
        }
        serde_json::from_str(&answer).with_context(|| format!("the supervisor answered {answer:?}"))
    }
}
