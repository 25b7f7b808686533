//! The process that owns a control plane. It starts etcd, the API server and the controllers, and ends them when the
//! process that asked for them ends, in whatever way: the pipe to it closes. Needs a client, a clock and the process table.
//!
//! It runs on one thread on purpose. Its children ask the kernel to be killed with their parent, and the kernel takes the
//! *thread* that started them for the parent; here that thread lives exactly as long as the process.

mod gateway;
mod processes;
mod snapshot;
mod startup;
mod volumes;

use std::io::{BufRead, Write, stderr, stdout};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::runtime::utils::Backoff;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::protocol::{Answer, Order, Request, SOURCE};
use processes::run_as_child;
use startup::Running;

pub(crate) use processes::Processes;
pub(crate) use startup::readyz;

/// Runs a supervisor until its input ends or it is told to end. A detached one has no input but its order.
///
/// # Errors
/// Exit code 1 when the control plane could not be started or broke down.
#[must_use]
pub fn supervise(detached: bool) -> ExitCode {
    // Own session: Ctrl-C in the terminal of a test run reaches the test, and we clean up when its pipe closes. Refused
    // only if we lead a session already, which serves as well.
    let _ = rustix::process::setsid();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    match runtime.block_on(run(detached)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Becomes `program`, tied to the life of the supervisor that started this process. Returns only if that fails.
#[must_use]
pub fn become_child(supervisor: i32, program: &std::path::Path, arguments: &[String]) -> ExitCode {
    fail(&run_as_child(supervisor, program, arguments))
}

/// The test may be gone, and its standard error with it: that must not stop the clean-up.
fn fail(error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(stderr(), "control plane: {error:#}");
    ExitCode::FAILURE
}

async fn run(detached: bool) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut inbox = read_lines();
    let Some(line) = inbox.recv().await else {
        bail!("a supervisor reads its order from standard input; it is not for people");
    };
    let order: Order = serde_json::from_str(&line).context("the order cannot be read")?;
    if order.source != SOURCE {
        answer(&Answer::OtherBuild);
        return Ok(());
    }
    if order.makes_way {
        make_way();
    }
    let started = tokio::select! {
        started = start(&order) => started,
        () = gone(&mut inbox) => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    let (mut running, gateway) = match started {
        Ok(started) => started,
        Err(error) => {
            answer(&Answer::Failed(format!("{error:#}")));
            return Err(error);
        }
    };
    answer(&Answer::Ready(running.paths().clone()));
    let outcome = serve(&mut running, gateway, &mut inbox, &mut terminate, detached).await;
    running.stop().await;
    outcome
}

/// Lets others come first, with everything that is started from here on. Linux also weighs sessions against each other, and this
/// is one. Where the kernel refuses, everybody waits alike.
fn make_way() {
    const LATER: i32 = 3;
    let _ = rustix::process::nice(LATER);
    #[cfg(target_os = "linux")]
    let _ = std::fs::write("/proc/self/autogroup", LATER.to_string());
}

async fn start(order: &Order) -> Result<(Running, Option<Helper>)> {
    let running = Running::start(order).await?;
    let gateway = if order.gateway { Some(open_gateway(&running).await?) } else { None };
    Ok((running, gateway))
}

/// Carries out requests until the end.
async fn serve(
    running: &mut Running,
    mut gateway: Option<Helper>,
    inbox: &mut mpsc::UnboundedReceiver<String>,
    terminate: &mut Signal,
    detached: bool,
) -> Result<()> {
    loop {
        let line = tokio::select! {
            line = inbox.recv(), if !detached => line,
            _ = terminate.recv() => return Ok(()),
            ended = running.processes.first_end() => return Err(ended),
        };
        let Some(line) = line else { return Ok(()) };
        let outcome = carry_out(running, &mut gateway, &line).await;
        answer(&match outcome {
            Ok(()) => Answer::Done,
            Err(error) => Answer::Failed(format!("{error:#}")),
        });
    }
}

async fn carry_out(running: &mut Running, gateway: &mut Option<Helper>, line: &str) -> Result<()> {
    let request = serde_json::from_str(line).context("the request cannot be read")?;
    let opens = match request {
        Request::PlayGateway => gateway.is_none(),
        _ => {
            running.carry_out(request).await?;
            // What it remembers of the store was never there.
            request == Request::RestoreStore && gateway.is_some()
        }
    };
    if opens {
        *gateway = Some(open_gateway(running).await?);
    }
    Ok(())
}

async fn open_gateway(running: &Running) -> Result<Helper> {
    gateway::prepare(&running.client("harness").await?).await?;
    Ok(Helper::spawn("gateway player", gateway::play(running.client("gateway").await?)))
}

/// Between two attempts at a server on loopback that is away for a while. Growing pauses, made to spare a busy server,
/// would let our players sleep on for half a minute after a test ended an outage.
const RETRY: Duration = Duration::from_millis(250);

/// [`RETRY`] for watches.
struct Steadily;

impl Iterator for Steadily {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(RETRY)
    }
}

impl Backoff for Steadily {
    fn reset(&mut self) {}
}

/// A task beside the main loop; ends with its handle.
struct Helper(JoinHandle<()>);

impl Helper {
    fn spawn(name: &'static str, work: impl Future<Output = Result<()>> + 'static + Send) -> Self {
        Self(tokio::spawn(async move {
            if let Err(error) = work.await {
                let _ = writeln!(stderr(), "control plane: the {name} ended: {error:#}");
            }
        }))
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Lines of standard input from a thread of its own: a blocking read cannot be cancelled. The channel ends with the input.
fn read_lines() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Resolves when the one who gave the order is gone. Before the answer that also ends a detached control plane: nobody
/// would know of it.
async fn gone(inbox: &mut mpsc::UnboundedReceiver<String>) {
    // Nothing may be asked before the answer to the order, so a line here is a mistake and is dropped.
    while inbox.recv().await.is_some() {}
}

fn answer(answer: &Answer) {
    let Ok(mut line) = serde_json::to_string(answer) else { return };
    line.push('\n');
    let mut stream = stdout().lock();
    // If nobody reads, the closing pipe on the other side ends us next.
    let _ = stream.write_all(line.as_bytes()).and_then(|()| stream.flush());
}
