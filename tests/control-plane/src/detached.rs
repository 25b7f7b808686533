//! A control plane that outlives the command that started it: `up --detach` and `down`. Needs the file system and the
//! process table.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::cluster::{Cluster, demand_machine, with_binary};
use crate::home::{Paths, clean_up};
use crate::link::start_detached;
use crate::profile::{Capabilities, Options};
use crate::protocol::{Order, SOURCE};
use crate::tools::{Toolset, cache_directory};

/// Ending a control plane takes a tenth of a second.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// What the directory of a detached control plane remembers.
#[derive(Serialize, Deserialize)]
struct Record {
    paths: Paths,
    capabilities: Capabilities,
}

/// The directory that is used when none is named: one detached control plane per user.
///
/// # Errors
/// When there is no cache directory.
pub fn default_directory() -> Result<PathBuf> {
    Ok(cache_directory()?.join("up"))
}

/// Starts a control plane that goes on until [`down`], and leaves `kubeconfig` and a record in `directory`.
///
/// # Errors
/// When one runs there already, or the start fails.
pub async fn up(directory: &Path, options: Options) -> Result<Cluster> {
    if attach(directory).is_ok() {
        bail!("a control plane runs already for {}: stop it with `down` first", directory.display());
    }
    demand_machine(options.profile)?;
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let log = directory.join("supervisor.log");
    let capabilities = options.capabilities();
    let Options { profile, gateway, nodes, audit, makes_way } = options;
    let paths = tokio::task::spawn_blocking(move || {
        let tools = Toolset::for_profile(profile)?;
        let order = Order { source: SOURCE.to_owned(), profile, tools, gateway, audit, makes_way };
        with_binary(|binary| start_detached(binary, &order, &log))
    })
    .await??;
    let record = Record { paths: paths.clone(), capabilities };
    fs::write(record_file(directory), serde_json::to_vec(&record)?)?;
    let cluster = Cluster::attached(paths, capabilities);
    fs::copy(cluster.kubeconfig(), kubeconfig(directory))?;
    cluster.add_nodes(profile, nodes).await?;
    Ok(cluster)
}

/// The control plane that [`up`] started for `directory`, if it still runs. It goes on when the value is dropped.
///
/// # Errors
/// When none runs.
pub fn attach(directory: &Path) -> Result<Cluster> {
    let Record { paths, capabilities } = running(directory)?;
    Ok(Cluster::attached(paths, capabilities))
}

/// The administrator's kubeconfig of the control plane that [`up`] started for `directory`.
#[must_use]
pub fn kubeconfig(directory: &Path) -> PathBuf {
    directory.join("kubeconfig")
}

/// Ends the control plane that [`up`] started for `directory` and removes what it left. Says whether one ran.
///
/// # Errors
/// When it does not end.
pub fn down(directory: &Path) -> Result<bool> {
    let ran = match running(directory) {
        Ok(Record { paths, .. }) => {
            end(&paths)?;
            true
        }
        Err(_) => false,
    };
    clean_up()?;
    for file in [record_file(directory), kubeconfig(directory), directory.join("supervisor.log")] {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", file.display()));
            }
            _ => {}
        }
    }
    Ok(ran)
}

fn running(directory: &Path) -> Result<Record> {
    let file = record_file(directory);
    let text = fs::read_to_string(&file).with_context(|| {
        format!("no control plane was started for {}: use `up --detach`", directory.display())
    })?;
    let record: Record =
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", file.display()))?;
    if !record.paths.is_inhabited() {
        bail!("the control plane of {} has ended: use `up --detach`", directory.display());
    }
    Ok(record)
}

/// The lock in its directory proves that the supervisor lives, so the recorded id is its own.
fn end(paths: &Paths) -> Result<()> {
    let state = paths.read_state()?;
    let supervisor =
        Pid::from_raw(state.supervisor).context("the state of the control plane names no supervisor")?;
    kill_process(supervisor, Signal::TERM).context("cannot signal the supervisor")?;
    let deadline = Instant::now() + STOP_TIMEOUT;
    while paths.is_inhabited() {
        if Instant::now() > deadline {
            // Its children die with it.
            kill_process(supervisor, Signal::KILL).context("cannot kill the supervisor")?;
            bail!("the supervisor did not end within {} s and was killed", STOP_TIMEOUT.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn record_file(directory: &Path) -> PathBuf {
    directory.join("control-plane.json")
}
