//! The role `backup`: everything in the store as it is at one moment, as files. Needs the network and the file system.

use super::folder::Folder;
use super::{Findings, JobArgs, Made, values};
use crate::client::Store;
use crate::names::Name;
use crate::sums::{Sums, list, sha256};
use anyhow::Result;
use clap::Args;
use futures::TryStreamExt;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of the role `backup`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BackupRole {
    /// Folder in which the backup becomes a folder with the name of the attempt
    #[arg(long, env = "ERP_TO", value_name = "FOLDER")]
    to: PathBuf,
    #[command(flatten)]
    job: JobArgs,
}

// === impl BackupRole ===

impl BackupRole {
    /// Copies, and gives the exit code.
    pub(crate) async fn run(self) -> ExitCode {
        self.job.carry_out("backup", self.back_up()).await
    }

    async fn back_up(&self) -> Result<Findings> {
        let path = self.to.join(&self.job.attempt);
        Ok(match self.job.make_once("backup", &self.to, copy).await? {
            Made::Earlier(sums) => {
                findings(format!("{} was finished by this attempt already", path.display()), &sums)
            }
            Made::Now((sums, bytes)) => {
                let mut findings = findings(format!("copied to {}", path.display()), &sums);
                findings.figures.insert("bytes".to_owned(), bytes.into());
                findings
            }
        })
    }
}

/// The root checksum is that of the list, so two backups with the same content have the same.
fn findings(message: String, sums: &Sums) -> Findings {
    let mut findings = Findings { message, ..Findings::default() };
    findings.figures.insert("keys".to_owned(), sums.len().into());
    findings.figures.insert("checksum".to_owned(), sha256(list(sums).as_bytes()).into());
    findings
}

async fn copy(snapshot: &Store, mut folder: Folder) -> Result<(Sums, u64)> {
    let mut bytes = 0;
    for bucket in snapshot.buckets().await? {
        let mut values = std::pin::pin!(values(snapshot, &bucket).await?);
        while let Some((key, value)) = values.try_next().await? {
            let mut file = folder.file(place(&bucket, &key))?;
            file.write_all(&value)?;
            bytes += folder.end(file)?.bytes;
        }
    }
    Ok((folder.finish()?, bytes))
}

/// Where the value of a key lies in a backup.
pub(super) fn place(bucket: &Name, key: &Name) -> String {
    format!("data/{bucket}/{key}")
}
