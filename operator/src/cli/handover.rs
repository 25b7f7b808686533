//! `tenantry handover`: writes what the customer of a subscription that ended, or is ending, is given besides his data. Needs the
//! database.

use super::Outcome;
use super::database::History;
use super::history::without_contents;
use crate::handover::{Kept, SUBJECT as DOCUMENT, sha256};
use anyhow::{Context, bail};
use clap::Args;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use tenantry_journal::Entry;

/// File of everything that the journal has besides.
const HISTORY: &str = "history.json";

/// Arguments of `tenantry handover`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    history: History,
    /// Folder to write to; it is made if it does not exist.
    #[arg(long)]
    to: PathBuf,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let entries = arguments.history.read().await?;
    let tenants: BTreeSet<&str> = entries.iter().map(|entry| entry.tenant.as_str()).collect();
    if tenants.len() > 1 {
        let tenants: Vec<&str> = tenants.into_iter().collect();
        bail!("several tenants had this name; choose one with --tenant: {}", tenants.join(", "));
    }
    let files = files(&entries)?;
    if files.is_empty() {
        eprintln!(
            "the journal has no documents under this name; they are made when a subscription of the policy ExportThenDelete or \
             Archive ends, and a receipt for each end"
        );
        return Ok(Outcome::Bad);
    }
    fs::create_dir_all(&arguments.to).with_context(|| format!("cannot make {}", arguments.to.display()))?;
    for (name, content) in &files {
        write(&arguments.to, name, content)?;
    }
    Ok(Outcome::Good)
}

/// The files: the latest of each document, and what happened.
fn files(entries: &[Entry]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.subject == DOCUMENT) {
        let kept: Kept = serde_json::from_str(&entry.evidence)
            .with_context(|| format!("{} cannot be read in the journal", entry.item))?;
        if sha256(kept.content.as_bytes()) != kept.sha256 {
            bail!("{} was changed in the journal: its checksum is not {}", entry.item, kept.sha256);
        }
        files.insert(entry.item.clone(), kept.content);
    }
    if !files.is_empty() {
        let history = serde_json::to_string_pretty(&without_contents(entries))?;
        files.insert(HISTORY.to_owned(), history + "\n");
    }
    Ok(files)
}

fn write(to: &Path, name: &str, content: &str) -> anyhow::Result<()> {
    // A name is a file's, never a path.
    let file = Path::new(name).file_name().with_context(|| format!("{name:?} is no name of a file"))?;
    let path = to.join(file);
    fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}  {}", sha256(content.as_bytes()), path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document(name: &str, content: &str, checksum: &str) -> Entry {
        let evidence = json!({"mediaType": "application/json", "sha256": checksum, "content": content});
        Entry {
            id: String::new(),
            tenant: "k7w3q9m2".to_owned(),
            subscription: "acme".to_owned(),
            uid: "u".to_owned(),
            operation: 2,
            subject: DOCUMENT.to_owned(),
            item: name.to_owned(),
            outcome: "Kept".to_owned(),
            plan: "gold".to_owned(),
            application: "erp".to_owned(),
            version: "erp-4.2.1".to_owned(),
            blueprint: "standard".to_owned(),
            started_at: None,
            ended_at: 90,
            machine_seconds: 0,
            people_seconds: 0,
            attempts: 0,
            actor: "tenantry".to_owned(),
            evidence: evidence.to_string(),
        }
    }

    #[test]
    fn the_latest_of_each_document_is_given_and_none_that_was_changed() {
        let of = |content: &str| sha256(content.as_bytes());
        let entries = [document("a.json", "1", &of("1")), document("a.json", "2", &of("2"))];
        let files = files(&entries).unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["a.json", HISTORY]);
        assert_eq!(files["a.json"], "2");
        assert!(
            files[HISTORY].contains(&of("1")) && !files[HISTORY].contains("content"),
            "{}",
            files[HISTORY]
        );
        let changed = super::files(&[document("a.json", "3", &of("1"))]);
        assert!(changed.unwrap_err().to_string().contains("was changed"));
        assert!(super::files(&[]).unwrap().is_empty());
    }
}
