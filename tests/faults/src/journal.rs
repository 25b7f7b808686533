//! Reading the journal of the controller as its own command shows it. Needs processes.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::history::Record;
use crate::oracle::journal::missing;

/// How long the journal may be behind the statuses.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// One fact of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What makes it one fact.
    pub id: String,
    /// What came of it.
    pub outcome: String,
}

/// What the journal has of the tenants of a record, once it has everything that it should have, or has had time enough.
///
/// # Errors
/// When the command fails.
pub async fn read(binary: &Path, database: &str, record: &Record) -> Result<Vec<Fact>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut facts = Vec::new();
        for tenant in record.tenant_ids() {
            facts.extend(history(binary, database, &tenant).await?);
        }
        if missing(record, &facts).is_empty() || Instant::now() > deadline {
            return Ok(facts);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn history(binary: &Path, database: &str, tenant: &str) -> Result<Vec<Fact>> {
    let output = Command::new(binary)
        .args(["history", "--tenant", tenant, "--database", database, "--output", "json"])
        .output()
        .await
        .with_context(|| format!("{} cannot be started", binary.display()))?;
    match output.status.code() {
        // Exit code 1 says that there is nothing.
        Some(0 | 1) => serde_json::from_slice(&output.stdout).context("the history is no JSON"),
        _ => bail!("the history cannot be read: {}", String::from_utf8_lossy(&output.stderr)),
    }
}
