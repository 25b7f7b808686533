//! Failures on demand, so that tests and drills can break a running pod. Needs the file system and a clock.
//!
//! A role starts with the fault of its environment. `demo-app fault KIND` writes another one to a file that every request
//! looks at; the image holds no shell, so that command is what `kubectl exec` runs.

use anyhow::{Context, Result};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use clap::Args;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at faults that act without a request.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// One MiB.
const MIB: usize = 1 << 20;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// `/readyz` says no: traffic goes elsewhere.
    Unready,
    /// `/healthz` says no: the container is restarted.
    Unhealthy,
    /// Requests are answered with 500; a worker leaves its work undone.
    Error,
    /// Requests, and pieces of work, take this much longer.
    Slow(Duration),
    /// This many MiB are taken and held.
    Memory(usize),
    /// The process ends with code 1. A fault from the file does that once, one from the environment at every start.
    Crash,
}

/// Where faults come from.
#[derive(Args, Clone, Debug)]
pub(crate) struct FaultArgs {
    /// Fault from the start: none, unready, unhealthy, error, slow:MILLISECONDS, memory:MIB or crash
    #[arg(long, env = "ERP_FAULT", default_value = "none")]
    fault: Fault,
    /// File that overrides it while it is there; `demo-app fault` writes it
    #[arg(long, env = "ERP_FAULT_FILE", default_value = "/tmp/fault")]
    fault_file: PathBuf,
}

// === impl Fault ===

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, amount) = text.split_once(':').map_or((text, None), |(kind, amount)| (kind, Some(amount)));
        let number = || amount.and_then(|amount| amount.parse::<u32>().ok());
        let found = match (kind, amount, number()) {
            ("none", None, _) => Some(Self::None),
            ("unready", None, _) => Some(Self::Unready),
            ("unhealthy", None, _) => Some(Self::Unhealthy),
            ("error", None, _) => Some(Self::Error),
            ("slow", _, Some(number)) => Some(Self::Slow(Duration::from_millis(number.into()))),
            ("memory", _, Some(number)) => Some(Self::Memory(number.try_into().unwrap_or(usize::MAX))),
            ("crash", None, _) => Some(Self::Crash),
            _ => None,
        };
        found.ok_or_else(|| {
            format!(
                "{text:?} is no fault; choose none, unready, unhealthy, error, slow:MILLISECONDS, memory:MIB or crash"
            )
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => formatter.write_str("none"),
            Self::Unready => formatter.write_str("unready"),
            Self::Unhealthy => formatter.write_str("unhealthy"),
            Self::Error => formatter.write_str("error"),
            Self::Slow(by) => write!(formatter, "slow:{}", by.as_millis()),
            Self::Memory(mib) => write!(formatter, "memory:{mib}"),
            Self::Crash => formatter.write_str("crash"),
        }
    }
}

// === impl FaultArgs ===

impl FaultArgs {
    /// The fault of this moment.
    pub(crate) fn current(&self) -> Fault {
        let Ok(text) = fs::read_to_string(&self.fault_file) else { return self.fault };
        text.trim().parse().unwrap_or_else(|error: String| {
            tracing::warn!(file = %self.fault_file.display(), error, "the fault file is not understood");
            self.fault
        })
    }

    /// Carries out the faults that act without a request. Never ends.
    pub(crate) async fn act(self: Arc<Self>) {
        let mut held: Vec<Vec<u8>> = Vec::new();
        loop {
            match self.current() {
                Fault::Crash => {
                    tracing::error!("ending, because the fault `crash` is set");
                    let _gone_or_from_the_environment = fs::remove_file(&self.fault_file);
                    std::process::exit(1);
                }
                Fault::Memory(mib) => {
                    while held.len() < mib {
                        // Not zero, because pages of zeros are not backed before they are written.
                        held.push(vec![1; MIB]);
                        tokio::task::yield_now().await;
                    }
                }
                _ => held.clear(),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Sets the fault of a role that looks at `file`.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn set(file: &Path, fault: Fault) -> Result<()> {
    let beside = file.with_extension("new");
    fs::write(&beside, fault.to_string())
        .and_then(|()| fs::rename(&beside, file))
        .with_context(|| format!("cannot write {}; name the file of the role with --file", file.display()))
}

/// Middleware that breaks requests as the fault of the moment says.
pub(crate) async fn strike(State(faults): State<Arc<FaultArgs>>, request: Request, next: Next) -> Response {
    match faults.current() {
        Fault::Error => {
            return (StatusCode::INTERNAL_SERVER_ERROR, "the fault `error` is set\n").into_response();
        }
        Fault::Slow(by) => tokio::time::sleep(by).await,
        _ => {}
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_as_they_are_written() {
        for text in ["none", "unready", "unhealthy", "error", "slow:250", "memory:64", "crash"] {
            assert_eq!(text.parse::<Fault>().map(|fault| fault.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "Crash", "crash:1", "slow", "slow:", "slow:-1", "memory:many", "error:500"] {
            assert!(text.parse::<Fault>().unwrap_err().contains("choose none"), "{text}");
        }
    }

    #[test]
    fn the_file_overrides_the_environment_while_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let fault_file = folder.path().join("fault");
        let faults = FaultArgs { fault: Fault::Unready, fault_file: fault_file.clone() };
        assert_eq!(faults.current(), Fault::Unready);
        set(&fault_file, Fault::None).unwrap();
        assert_eq!(faults.current(), Fault::None);
        fs::write(&fault_file, "nonsense").unwrap();
        assert_eq!(faults.current(), Fault::Unready);
        fs::remove_file(&fault_file).unwrap();
        assert_eq!(faults.current(), Fault::Unready);
    }
}
