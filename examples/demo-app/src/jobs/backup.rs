//! The role `backup`: everything in the store as it is at one moment, as files. Needs the network and the file system.

use super::folder::{Folder, finished, lock};
use super::{Findings, JobArgs, values};
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
        let attempt = &self.job.attempt;
        let path = self.to.join(attempt);
        let _alone = lock(&self.to, attempt.as_str()).await?;
        if let Some(sums) = finished(&path)? {
            return Ok(findings(format!("{} was finished by this attempt already", path.display()), &sums));
        }
        let folder = Folder::begin(&self.to, attempt.as_str())?;
        let snapshot = self.job.client()?.snapshot(format!("backup-{attempt}").parse()?).await?;
        let copied = copy(&snapshot, folder).await;
        // The snapshot goes whatever came of the copy, whose error says more than one of the clean-up.
        let forgotten = snapshot.forget().await;
        let (sums, bytes) = copied?;
        forgotten?;
        let mut findings = findings(format!("copied to {}", path.display()), &sums);
        findings.figures.insert("bytes".to_owned(), bytes.into());
        Ok(findings)
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
