//! The journal as its own command shows it. Needs processes.

use crate::people::tenantry;
use crate::process;
use crate::wait::PATIENCE;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::Path;

/// One fact of the journal, in the parts that tests ask for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Fact {
    /// What makes it one fact.
    pub id: String,
    /// What it is about.
    pub subject: String,
    /// Item it is about.
    pub item: String,
    /// What came of it.
    pub outcome: String,
    /// Who did it.
    pub actor: String,
    /// What proves it.
    pub evidence: String,
}

/// Everything that the journal has of a subscription's name; each fact once.
#[derive(Clone, Debug)]
pub struct History(pub Vec<Fact>);

// === impl History ===

impl History {
    /// From the database of a URL.
    ///
    /// # Errors
    /// When the command fails, which it does where there is nothing, or a fact is there twice.
    pub async fn read(kubeconfig: &Path, database: &str, name: &str) -> Result<Self> {
        let arguments = ["history", name, "--database", database, "--output", "json"];
        let facts: Vec<Fact> = serde_json::from_str(&tenantry(kubeconfig, &arguments).await?)?;
        let ids: BTreeSet<&str> = facts.iter().map(|fact| fact.id.as_str()).collect();
        ensure!(ids.len() == facts.len(), "a fact is there twice: {facts:#?}");
        Ok(Self(facts))
    }

    /// From the file of the controllers that log to a directory.
    ///
    /// # Errors
    /// As [`History::read`].
    pub async fn of(kubeconfig: &Path, directory: &Path, name: &str) -> Result<Self> {
        Self::read(kubeconfig, &process::journal(directory), name).await
    }

    /// From the same, once it has what is waited for: a journal is written beside the work.
    ///
    /// # Errors
    /// As [`History::read`], and when it does not within [`PATIENCE`]; the message shows what it has.
    pub async fn until(
        kubeconfig: &Path,
        directory: &Path,
        name: &str,
        holds: impl Fn(&Self) -> bool,
    ) -> Result<Self> {
        let mut last = Self::of(kubeconfig, directory, name).await?;
        let reading = async {
            while !holds(&last) {
                last = Self::of(kubeconfig, directory, name).await?;
            }
            Ok(())
        };
        let read = tokio::time::timeout(PATIENCE, reading).await;
        read.unwrap_or_else(|_| bail!("the journal has not got what was waited for"))
            .with_context(|| format!("{last:#?}"))?;
        Ok(last)
    }

    /// What came of a subject, in the order in which it was recorded.
    #[must_use]
    pub fn outcomes(&self, subject: &str, item: &str) -> Vec<&str> {
        let of = self.0.iter().filter(|fact| fact.subject == subject && fact.item == item);
        of.map(|fact| fact.outcome.as_str()).collect()
    }
}
