//! The role `convert`: rows of CSV into a table of the store. Needs the network and the file system.
//!
//! Rows are loaded into a bucket of their own, read back and compared; only then does the table's key name that bucket.
//! That key is the cut-over. The bucket's name holds the attempt and the source's checksum, so whoever runs the attempt
//! again, even at the same time, writes the same rows to the same place.

use super::{Findings, JobArgs, put_all, rows};
use crate::client::{Http, Store};
use crate::names::{Name, name};
use crate::sums::sha256;
use crate::table::{Source, TABLES, Table, checksum, differences, read_csv};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use clap::Args;
use http::{Method, Uri};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

/// Longest source. Larger ones are split by table.
const LONGEST_SOURCE: u64 = 64 << 20;

/// Arguments of the role `convert`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConvertRole {
    /// CSV in UTF-8 with a header: a file, store:BUCKET/KEY, or http://IP:PORT/PATH
    #[arg(long, env = "ERP_SOURCE")]
    source: SourceName,
    /// Table to fill
    #[arg(long, env = "ERP_TABLE", value_name = "NAME")]
    table: Name,
    /// Column whose value identifies a row
    #[arg(long, env = "ERP_KEY_COLUMN", value_name = "NAME")]
    key_column: String,
    /// Load, compare and take away again, without cut-over
    #[arg(long, env = "ERP_TRIAL")]
    trial: bool,
    /// Rows that the source must have
    #[arg(long, env = "ERP_EXPECT_ROWS", value_name = "NUMBER")]
    expect_rows: Option<usize>,
    /// SHA-256 that the source must have, as `sha256sum` prints it
    #[arg(long, env = "ERP_EXPECT_SHA256", value_name = "HEXADECIMAL")]
    expect_sha256: Option<String>,
    #[command(flatten)]
    job: JobArgs,
}

/// Where rows come from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum SourceName {
    File(PathBuf),
    Stored(Name, Name),
    Http(std::net::SocketAddr, String),
}

// === impl ConvertRole ===

impl ConvertRole {
    /// Converts, and gives the exit code.
    pub(crate) async fn run(self) -> ExitCode {
        self.job.carry_out("convert", self.convert()).await
    }

    async fn convert(&self) -> Result<Findings> {
        let store = self.job.client()?;
        let bytes = self.source.read(&store).await?;
        let sum = sha256(&bytes);
        let source = read_csv(&bytes, &self.key_column);
        let mut findings = Findings::default();
        findings.figures.insert("trial".to_owned(), self.trial.into());
        findings.figures.insert("rows".to_owned(), source.rows.len().into());
        findings.figures.insert("sourceSha256".to_owned(), sum.as_str().into());
        findings.differences = self.unexpected(&source, &sum);
        if !findings.differences.is_empty() {
            "the source is not as it was declared; nothing was written".clone_into(&mut findings.message);
            return Ok(findings);
        }
        let kind = if self.trial { "trial" } else { "rows" };
        let bucket: Name =
            format!("{}-{kind}-{}-{}", self.table, self.job.attempt, sum.get(..12).unwrap_or(&sum))
                .parse()?;
        findings.figures.insert("bucket".to_owned(), bucket.as_str().into());
        findings.figures.insert("checksum".to_owned(), checksum(&source.rows).into());
        let current = self.current(&store).await?;
        let in_use = current.is_some_and(|table| table.bucket == bucket);
        if self.trial {
            store.delete(&bucket, None).await?;
        }
        if !in_use {
            put_all(&store, &bucket, source.rows.iter()).await?;
        }
        findings.differences = differences(&source.rows, &rows(&store, &bucket).await?);
        if self.trial {
            store.delete(&bucket, None).await?;
        }
        findings.message = match (findings.differences.is_empty(), self.trial, in_use) {
            (false, ..) => "the store holds other rows than the source; there was no cut-over".to_owned(),
            (true, true, _) => "the trial agrees with the source; its rows were taken away again".to_owned(),
            (true, false, true) => "this attempt did the cut-over earlier; the rows still agree".to_owned(),
            (true, false, false) => {
                self.cut_over(&store, bucket, source).await?;
                format!("the table {} holds the rows of the source", self.table)
            }
        };
        Ok(findings)
    }

    /// What is wrong with the source before anything is written.
    fn unexpected(&self, source: &Source, sum: &str) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(wanted) = self.expect_rows.filter(|wanted| *wanted != source.rows.len()) {
            let difference = i128::try_from(source.rows.len()).unwrap_or(i128::MAX)
                - i128::try_from(wanted).unwrap_or(i128::MAX);
            lines.push(format!(
                "rows: {} usable in the source, {wanted} declared ({difference:+})",
                source.rows.len()
            ));
        }
        if let Some(wanted) = self.expect_sha256.as_ref().filter(|wanted| !wanted.eq_ignore_ascii_case(sum)) {
            lines.push(format!("sha256: {sum} of the source, {wanted} declared"));
        }
        lines.extend(source.problems.iter().cloned());
        lines
    }

    async fn current(&self, store: &Store) -> Result<Option<Table>> {
        let stored = store.get(&name(TABLES)?, &self.table).await?;
        let table = stored.map(|stored| serde_json::from_slice(&stored)).transpose();
        table.with_context(|| format!("the key {TABLES}/{} is no table; remove it", self.table))
    }

    async fn cut_over(&self, store: &Store, bucket: Name, source: Source) -> Result<()> {
        let checksum = checksum(&source.rows);
        let table = Table { bucket, columns: source.columns, rows: source.rows.len(), checksum };
        store.put(&name(TABLES)?, &self.table, serde_json::to_vec(&table)?).await
    }
}

// === impl SourceName ===

impl FromStr for SourceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("store:") {
            let (bucket, key) = path.split_once('/').ok_or("write store:BUCKET/KEY")?;
            let part = |text: &str| text.parse::<Name>().map_err(|error| error.to_string());
            return Ok(Self::Stored(part(bucket)?, part(key)?));
        }
        if text.starts_with("http://") {
            let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
            let address = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
            let address = address.parse().map_err(|_| "write http://IP:PORT/PATH; no name is looked up")?;
            let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
            return Ok(Self::Http(address, path.to_owned()));
        }
        Ok(Self::File(text.into()))
    }
}

impl SourceName {
    async fn read(&self, store: &Store) -> Result<Bytes> {
        match self {
            Self::Stored(bucket, key) => store.get(bucket, key).await?.with_context(|| {
                format!("the source {bucket}/{key} is not in the store; put it there first")
            }),
            Self::Http(address, path) => {
                let answer = Http::new(*address).send(Method::GET, path, None, Bytes::new()).await?;
                Ok(answer.success("reading the source")?.body)
            }
            Self::File(path) => {
                let shown = path.display();
                let file = File::open(path).with_context(|| {
                    format!("the source {shown} cannot be read; mount it and name it with --source")
                })?;
                let mut bytes = Vec::new();
                file.take(LONGEST_SOURCE + 1)
                    .read_to_end(&mut bytes)
                    .with_context(|| format!("reading {shown}"))?;
                let long = u64::try_from(bytes.len()).unwrap_or(u64::MAX) > LONGEST_SOURCE;
                ensure!(
                    !long,
                    "the source {shown} is longer than {LONGEST_SOURCE} bytes; split it into tables"
                );
                Ok(bytes.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_files_keys_or_addresses() {
        let stored = SourceName::Stored("inbox".parse().unwrap(), "c.csv".parse().unwrap());
        let cases: [(&str, Result<SourceName, &str>); 7] = [
            ("/import/c.csv", Ok(SourceName::File("/import/c.csv".into()))),
            ("store:inbox/c.csv", Ok(stored)),
            ("store:inbox", Err("store:BUCKET/KEY")),
            ("store:inbox/../x", Err("is not usable")),
            ("http://[::1]:80/a?b", Ok(SourceName::Http("[::1]:80".parse().unwrap(), "/a?b".to_owned()))),
            ("http://database:80/a", Err("no name is looked up")),
            ("http://10.0.0.1/a", Err("IP:PORT")),
        ];
        for (text, wanted) in cases {
            match (text.parse::<SourceName>(), wanted) {
                (Ok(found), Ok(wanted)) => assert_eq!(found, wanted),
                (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
                (found, wanted) => panic!("{text}: {found:?} instead of {wanted:?}"),
            }
        }
    }
}
