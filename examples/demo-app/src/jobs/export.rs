//! The role `export`: everything in the store in formats that others read. Needs the network and the file system.
//!
//! The format is described in the README beside this crate.

use super::folder::{Folder, Written};
use super::{Findings, JobArgs, Made, values};
use crate::client::Store;
use crate::names::{Name, name};
use crate::sums::{Sums, list, sha256};
use crate::table::{Row, TABLES, Table};
use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use futures::TryStreamExt;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Name of the format; another meaning of a file gets another number.
const FORMAT: &str = "erp-export/1";

/// Arguments of the role `export`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ExportRole {
    /// Folder in which the export becomes a folder with the name of the attempt
    #[arg(long, env = "ERP_TO", value_name = "FOLDER")]
    to: PathBuf,
    #[command(flatten)]
    job: JobArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    format: &'static str,
    attempt: &'a Name,
    files: Vec<Exported>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Exported {
    path: String,
    records: usize,
    bytes: u64,
    sha256: String,
    /// Of a table: the checksum that its conversion was proven with.
    #[serde(skip_serializing_if = "Option::is_none")]
    table_checksum: Option<String>,
}

/// One line of a file of records: the value as JSON, else as text, else as its bytes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Content<'a> {
    Value(&'a RawValue),
    Text(&'a str),
    Base64(String),
}

#[derive(Serialize)]
struct Record<'a> {
    key: &'a Name,
    #[serde(flatten)]
    content: Content<'a>,
}

// === impl ExportRole ===

impl ExportRole {
    /// Exports, and gives the exit code.
    pub(crate) async fn run(self) -> ExitCode {
        self.job.carry_out("export", self.export()).await
    }

    async fn export(&self) -> Result<Findings> {
        let attempt = &self.job.attempt;
        let path = self.to.join(attempt);
        let make = async |snapshot: &Store, folder: Folder| write(snapshot, attempt, folder).await;
        let (sums, message) = match self.job.make_once("export", &self.to, make).await? {
            Made::Earlier(sums) => (sums, format!("{} was finished by this attempt already", path.display())),
            Made::Now(sums) => (sums, format!("exported to {}", path.display())),
        };
        let mut findings = Findings { message, ..Findings::default() };
        findings.figures.insert("files".to_owned(), sums.len().into());
        findings.figures.insert("checksum".to_owned(), sha256(list(&sums).as_bytes()).into());
        Ok(findings)
    }
}

async fn write(snapshot: &Store, attempt: &Name, mut folder: Folder) -> Result<Sums> {
    let mut files = Vec::new();
    let mut in_tables = BTreeSet::new();
    let mut tables = std::pin::pin!(values(snapshot, &name(TABLES)?).await?);
    while let Some((key, value)) = tables.try_next().await? {
        let table: Table = serde_json::from_slice(&value).with_context(|| format!("table {key}"))?;
        files.push(write_table(snapshot, &key, &table, &mut folder).await?);
        in_tables.insert(table.bucket);
    }
    for bucket in snapshot.buckets().await?.into_iter().filter(|bucket| !in_tables.contains(bucket)) {
        files.push(write_records(snapshot, &bucket, &mut folder).await?);
    }
    let mut file = folder.file("manifest.json".to_owned())?;
    serde_json::to_writer_pretty(&mut file, &Manifest { format: FORMAT, attempt, files })?;
    folder.end(file)?;
    folder.finish()
}

async fn write_table(snapshot: &Store, key: &Name, table: &Table, folder: &mut Folder) -> Result<Exported> {
    let mut writer = csv::Writer::from_writer(folder.file(format!("tables/{key}.csv"))?);
    writer.write_record(&table.columns)?;
    let mut records = 0;
    let mut rows = std::pin::pin!(values(snapshot, &table.bucket).await?);
    while let Some((id, value)) = rows.try_next().await? {
        let row: Row = serde_json::from_slice(&value).with_context(|| format!("row {id} of {key}"))?;
        let cell = |column: &String| row.get(column).map(String::as_str).unwrap_or_default();
        writer.write_record(table.columns.iter().map(cell))?;
        records += 1;
    }
    ensure!(
        records == table.rows,
        "table {key} has {records} rows and should have {}; restore it",
        table.rows
    );
    let file = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(Exported::of(folder.end(file)?, records, Some(table.checksum.clone())))
}

async fn write_records(snapshot: &Store, bucket: &Name, folder: &mut Folder) -> Result<Exported> {
    let mut file = folder.file(format!("records/{bucket}.jsonl"))?;
    let mut records = 0;
    let mut values = std::pin::pin!(values(snapshot, bucket).await?);
    while let Some((key, value)) = values.try_next().await? {
        file.write_all(line(&key, &value)?.as_bytes())?;
        records += 1;
    }
    Ok(Exported::of(folder.end(file)?, records, None))
}

fn line(key: &Name, value: &[u8]) -> Result<String> {
    let content = match (serde_json::from_slice::<&RawValue>(value), std::str::from_utf8(value)) {
        // JSON over several lines would break the line.
        (Ok(value), _) if !value.get().contains(['\n', '\r']) => Content::Value(value),
        (_, Ok(text)) => Content::Text(text),
        _ => Content::Base64(STANDARD.encode(value)),
    };
    Ok(serde_json::to_string(&Record { key, content })? + "\n")
}

// === impl Exported ===

impl Exported {
    fn of(written: Written, records: usize, table_checksum: Option<String>) -> Self {
        let Written { path, bytes, sha256 } = written;
        Self { path, records, bytes, sha256, table_checksum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_one_line() {
        let key: Name = "k".parse().unwrap();
        let cases: [(&[u8], &str); 5] = [
            (br#"{"b":1.50,"a":[]}"#, r#"{"key":"k","value":{"b":1.50,"a":[]}}"#),
            (b"{\n}", r#"{"key":"k","text":"{\n}"}"#),
            (b"a,b\n1,2\n", r#"{"key":"k","text":"a,b\n1,2\n"}"#),
            (b"", r#"{"key":"k","text":""}"#),
            (b"\xff\x00", r#"{"key":"k","base64":"/wA="}"#),
        ];
        for (value, wanted) in cases {
            assert_eq!(line(&key, value).unwrap(), format!("{wanted}\n"));
        }
    }
}
