//! Reading the journal of the controller as its own command shows it. Needs processes.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::Instant;

use crate::history::Record;
use crate::oracle::journal::missing;

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
/// A controller that has just started offers nothing of a tenant before its watches have delivered their first sets. So the journal
/// may be behind for as long as anything else of a run may take.
///
/// # Errors
/// When the command fails.
pub async fn read(binary: &Path, database: &str, record: &Record, patience: Duration) -> Result<Vec<Fact>> {
    let tenants = record.tenant_ids();
    let look = async || {
        let mut facts = Vec::new();
        for tenant in &tenants {
            facts.extend(history(binary, database, tenant).await?);
        }
        anyhow::Ok(facts)
    };
    once_complete(record, patience, look).await
}

/// Looks until nothing is missing, and for the last time when `patience` is over.
async fn once_complete(
    record: &Record,
    patience: Duration,
    look: impl AsyncFn() -> Result<Vec<Fact>>,
) -> Result<Vec<Fact>> {
    let deadline = Instant::now() + patience;
    loop {
        // A look itself takes long on a busy machine, and what comes during it may not be in it.
        let is_last = Instant::now() >= deadline;
        let facts = look().await?;
        if is_last || missing(record, &facts).is_empty() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Key, SUBSCRIPTIONS, Sort};
    use crate::oracle::testing::Story;
    use serde_json::json;

    /// A tenant whose first operation began.
    fn begun() -> Record {
        let status = json!({"metadata": {"uid": "s1"}, "status": {
            "tenant": {"id": "t"}, "operation": {"number": 1}}});
        Story::of("acme").with(Sort::Changed, Key::new(SUBSCRIPTIONS, "", "acme"), status).record()
    }

    /// What is read of a journal that has the fact after so many seconds, and how many seconds that takes.
    async fn read_of_one_that_is_behind(seconds: u64, each_look: Duration) -> (usize, u64) {
        let (began, record) = (Instant::now(), begun());
        let facts = once_complete(&record, Duration::from_secs(60), async || {
            let is_there = began.elapsed() >= Duration::from_secs(seconds);
            tokio::time::sleep(each_look).await;
            let fact = Fact { id: "t/operation/1/began".to_owned(), outcome: "Began".to_owned() };
            Ok(is_there.then_some(fact).into_iter().collect())
        });
        let facts = facts.await.unwrap();
        (facts.len(), began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_journal_that_is_behind_is_waited_for_as_long_as_anything_else() {
        let quick = Duration::ZERO;
        assert_eq!(read_of_one_that_is_behind(0, quick).await, (1, 0));
        assert_eq!(read_of_one_that_is_behind(30, quick).await, (1, 30));
        assert_eq!(read_of_one_that_is_behind(1000, quick).await, (0, 60), "it is given up");
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_during_the_look_at_which_time_is_over_is_not_missed() {
        let slow = Duration::from_secs(40);
        assert_eq!(read_of_one_that_is_behind(50, slow).await.0, 1);
    }
}
