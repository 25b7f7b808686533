//! The role `restore`: a backup into an empty store. Needs the network and the file system.

use super::backup::place;
use super::folder::finished;
use super::{Findings, JobArgs};
use crate::client::Store;
use crate::names::Name;
use crate::sums::{list, sha256};
use anyhow::{Context, Result, ensure};
use clap::Args;
use futures::stream::{self, TryStreamExt};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

/// Values sent at once.
const AT_ONCE: usize = 8;

/// Arguments of the role `restore`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RestoreRole {
    /// Folder of one backup
    #[arg(long, env = "ERP_FROM", value_name = "FOLDER")]
    from: PathBuf,
    #[command(flatten)]
    job: JobArgs,
}

// === impl RestoreRole ===

impl RestoreRole {
    /// Restores, and gives the exit code.
    pub(crate) async fn run(self) -> ExitCode {
        self.job.carry_out("restore", self.restore()).await
    }

    async fn restore(&self) -> Result<Findings> {
        let sums = finished(&self.from)?.with_context(|| {
            format!("{} is not there; name the folder of one backup with --from", self.from.display())
        })?;
        let keys: BTreeSet<(Name, Name)> = sums.keys().map(|path| key_at(path)).collect::<Result<_>>()?;
        let store = self.job.client()?;
        let foreign = present(&store).await?.into_iter().find(|there| !keys.contains(there));
        if let Some((bucket, key)) = foreign {
            let difference =
                format!("{bucket}/{key}: is in the store and not in the backup; restore into an empty store");
            let message = "nothing was restored".to_owned();
            return Ok(Findings { message, differences: vec![difference], ..Findings::default() });
        }
        stream::iter(keys.iter().map(Ok))
            .try_for_each_concurrent(AT_ONCE, |(bucket, key)| {
                let store = &store;
                async move {
                    let path = self.from.join(place(bucket, key));
                    let value =
                        std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
                    store.put(bucket, key, value).await
                }
            })
            .await?;
        let now = present(&store).await?;
        let mut findings =
            Findings { message: format!("restored {}", self.from.display()), ..Findings::default() };
        findings.differences = keys
            .symmetric_difference(&now)
            .map(|(bucket, key)| {
                format!(
                    "{bucket}/{key}: is not in both; stop what writes to the store and run the attempt again"
                )
            })
            .collect();
        findings.figures.insert("keys".to_owned(), keys.len().into());
        findings.figures.insert("checksum".to_owned(), sha256(list(&sums).as_bytes()).into());
        Ok(findings)
    }
}

/// Every key that a store has.
async fn present(store: &Store) -> Result<BTreeSet<(Name, Name)>> {
    let mut all = BTreeSet::new();
    for bucket in store.buckets().await? {
        all.extend(store.keys(&bucket).await?.into_iter().map(|entry| (bucket.clone(), entry.key)));
    }
    Ok(all)
}

/// The bucket and key of a path that a backup wrote.
fn key_at(path: &str) -> Result<(Name, Name)> {
    let parts: Vec<&str> = path.split('/').collect();
    let [data, bucket, key] = parts.as_slice() else { return Err(foreign(path)) };
    ensure!(*data == "data", foreign(path));
    Ok((bucket.parse()?, key.parse()?))
}

fn foreign(path: &str) -> anyhow::Error {
    anyhow::anyhow!("{path} is no file of a backup; an export cannot be restored")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_backups_are_understood_and_no_others() {
        let (bucket, key): (Name, Name) = ("b".parse().unwrap(), "k.1".parse().unwrap());
        assert_eq!(key_at(&place(&bucket, &key)).unwrap(), (bucket, key));
        for path in ["manifest.json", "tables/t.csv", "data/b", "data/b/k/x", "data/../k", "data/b/"] {
            assert!(key_at(path).is_err(), "{path}");
        }
    }
}
