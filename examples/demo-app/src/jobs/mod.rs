//! What jobs have in common: one attempt, a deadline, a result that Kubernetes keeps. Needs files, signals and a clock.

pub(crate) mod backup;
pub(crate) mod convert;
pub(crate) mod export;
mod folder;
pub(crate) mod restore;
pub(crate) mod verify;

use crate::client::Store;
use crate::config::StoreArgs;
use crate::names::Name;
use crate::server::{stop_signal, stopped};
use crate::sums::{Sums, sha256};
use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use clap::Args;
use folder::{Folder, finished, lock};
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Where Kubernetes reads the message of a container that ended.
const TERMINATION_LOG: &str = "/dev/termination-log";
/// Longest message that Kubernetes keeps; what is longer would be cut without a word.
const LONGEST_RESULT: usize = 4096;
/// Longest line of a result, in characters, so that one alone never fills it.
const LONGEST_LINE: usize = 300;
/// Requests to the store at once.
const AT_ONCE: usize = 16;

/// Arguments of every job.
#[derive(Args, Clone, Debug)]
pub(crate) struct JobArgs {
    /// Token of this attempt. The same token again continues the same work and never does it twice
    #[arg(long, env = "ERP_ATTEMPT", default_value = "by-hand")]
    attempt: Name,
    /// File for the result, at most 4096 bytes of JSON
    #[arg(long, env = "ERP_RESULT_FILE", default_value = TERMINATION_LOG, value_name = "FILE")]
    result: PathBuf,
    /// File for the full report; the result then holds its SHA-256
    #[arg(long, env = "ERP_REPORT_FILE", value_name = "FILE")]
    report: Option<PathBuf>,
    /// Seconds after which the job gives up
    #[arg(long, env = "ERP_DEADLINE", default_value_t = 600, value_name = "SECONDS")]
    deadline: u64,
    #[command(flatten)]
    store: StoreArgs,
}

/// What a job found. It succeeded if there are no differences.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// One sentence for people.
    pub(crate) message: String,
    /// Counts, sizes and checksums.
    pub(crate) figures: Map<String, Value>,
    /// What is not as it should be, each with its place.
    pub(crate) differences: Vec<String>,
}

/// What came of an attempt that makes a folder.
pub(crate) enum Made<T> {
    /// It was whole already.
    Earlier(Sums),
    /// It was made now.
    Now(T),
}

// === impl JobArgs ===

impl JobArgs {
    /// Does the work of a job, writes its result, and gives the exit code of the process.
    pub(crate) async fn carry_out(
        &self,
        role: &str,
        work: impl Future<Output = Result<Findings>>,
    ) -> ExitCode {
        let started = Instant::now();
        let findings = self.within_deadline(work).await.unwrap_or_else(|error| Findings {
            message: format!("{role} failed"),
            differences: vec![format!("{error:#}")],
            ..Findings::default()
        });
        let succeeded = findings.differences.is_empty();
        match self.publish(role, &findings, started.elapsed()) {
            Ok(()) if succeeded => ExitCode::SUCCESS,
            Ok(()) => ExitCode::FAILURE,
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the result is lost");
                ExitCode::FAILURE
            }
        }
    }

    async fn within_deadline(&self, work: impl Future<Output = Result<Findings>>) -> Result<Findings> {
        let mut stop = stop_signal()?;
        tokio::select! {
            biased;
            () = stopped(&mut stop) => bail!("the job was asked to end before it was done; run the same attempt again"),
            () = tokio::time::sleep(Duration::from_secs(self.deadline)) => {
                bail!("the job was not done within {} s; run the attempt again with a longer --deadline", self.deadline)
            }
            done = work => done,
        }
    }

    fn publish(&self, role: &str, findings: &Findings, took: Duration) -> Result<()> {
        let succeeded = findings.differences.is_empty();
        let mut all = findings.figures.clone();
        all.insert("role".to_owned(), role.into());
        all.insert("attempt".to_owned(), self.attempt.as_str().into());
        all.insert("outcome".to_owned(), if succeeded { "Succeeded" } else { "Failed" }.into());
        all.insert("message".to_owned(), shortened(&findings.message).into());
        all.insert("milliseconds".to_owned(), u64::try_from(took.as_millis()).unwrap_or(u64::MAX).into());
        all.insert("differencesTotal".to_owned(), findings.differences.len().into());
        if let Some(file) = &self.report {
            let mut full = all.clone();
            full.insert("differences".to_owned(), json!(findings.differences));
            let text = serde_json::to_vec_pretty(&full)?;
            fs::write(file, &text).with_context(|| {
                format!("the report {} cannot be written; mount a volume there", file.display())
            })?;
            all.insert("reportSha256".to_owned(), sha256(&text).into());
        }
        let result = bounded(all, &findings.differences);
        // For who reads the log; where nobody does, the file is enough.
        let _read_or_not = writeln!(io::stdout(), "{result}");
        write_result(&self.result, &result)
    }

    /// Makes the folder of this attempt in `parent` from the store as it is at one moment, unless it is there already.
    async fn make_once<T>(
        &self,
        role: &str,
        parent: &Path,
        make: impl AsyncFnOnce(&Store, Folder) -> Result<T>,
    ) -> Result<Made<T>> {
        let attempt = self.attempt.as_str();
        let _alone = lock(parent, attempt).await?;
        if let Some(sums) = finished(&parent.join(attempt))? {
            return Ok(Made::Earlier(sums));
        }
        let folder = Folder::begin(parent, attempt)?;
        let snapshot = self.client()?.snapshot(format!("{role}-{attempt}").parse()?).await?;
        let made = make(&snapshot, folder).await;
        // The snapshot goes whatever came of the work, whose error says more than one of the clean-up.
        let forgotten = snapshot.forget().await;
        let made = made?;
        forgotten?;
        Ok(Made::Now(made))
    }

    /// A client of the store.
    fn client(&self) -> Result<Store> {
        self.store.client()
    }
}

/// The file that Kubernetes mounts is there already; creating it elsewhere would leave a file among the devices.
fn write_result(file: &Path, result: &str) -> Result<()> {
    let ours = file != Path::new(TERMINATION_LOG);
    let mut options = fs::File::options();
    let opened = options.write(true).truncate(true).create(ours).open(file);
    opened.and_then(|mut open| open.write_all(result.as_bytes())).with_context(|| {
        format!(
            "the result cannot be written to {}; outside a pod, name a file with --result",
            file.display()
        )
    })
}

/// The result with as many differences as fit.
fn bounded(mut all: Map<String, Value>, differences: &[String]) -> String {
    let text = |all: &Map<String, Value>| Value::Object(all.clone()).to_string();
    let mut told: Vec<Value> = Vec::new();
    for difference in differences {
        told.push(shortened(difference).into());
        all.insert("differences".to_owned(), Value::Array(told.clone()));
        if text(&all).len() > LONGEST_RESULT {
            told.pop();
            break;
        }
    }
    all.insert("differences".to_owned(), Value::Array(told));
    text(&all)
}

fn shortened(line: &str) -> String {
    if line.chars().count() <= LONGEST_LINE {
        return line.to_owned();
    }
    line.chars().take(LONGEST_LINE - 1).chain(['…']).collect()
}

/// The keys of a bucket with their values, in order, a few requests at once.
async fn values(store: &Store, bucket: &Name) -> Result<impl Stream<Item = Result<(Name, Bytes)>> + use<>> {
    let (store, bucket) = (store.clone(), bucket.clone());
    let keys = store.keys(&bucket).await?;
    let fetched = stream::iter(keys).map(move |entry| {
        let (store, bucket) = (store.clone(), bucket.clone());
        async move {
            let value = store.get(&bucket, &entry.key).await?;
            // A key may go between the listing and the reading, but not from a snapshot.
            ensure!(
                value.is_some() || !store.is_snapshot(),
                "the snapshot went while it was read; run the attempt again"
            );
            Ok(value.map(|value| (entry.key, value)))
        }
    });
    Ok(fetched.buffered(AT_ONCE).try_filter_map(|found| async move { Ok(found) }))
}

/// All keys of a bucket with their values.
async fn rows(store: &Store, bucket: &Name) -> Result<BTreeMap<Name, Vec<u8>>> {
    values(store, bucket).await?.map_ok(|(key, value)| (key, value.to_vec())).try_collect().await
}

/// Stores values, a few requests at once.
async fn put_all<'a>(
    store: &Store,
    bucket: &Name,
    values: impl Iterator<Item = (&'a Name, &'a Vec<u8>)>,
) -> Result<()> {
    stream::iter(values.map(Ok))
        .try_for_each_concurrent(AT_ONCE, |(key, value)| store.put(bucket, key, value.clone()))
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_always_fits() {
        let figures: Map<String, Value> = [("rows".to_owned(), json!(7))].into_iter().collect();
        for (count, length) in [(0, 0), (3, 10), (1000, 10), (1, 100_000), (1000, 100_000)] {
            // Characters that JSON writes longer than they are.
            let differences = vec!["\u{1}".repeat(length); count];
            let result = bounded(figures.clone(), &differences);
            assert!(result.len() <= LONGEST_RESULT, "{} bytes", result.len());
            let read: Value = serde_json::from_str(&result).unwrap();
            let told = read["differences"].as_array().unwrap().len();
            assert_eq!(told == 0, count == 0, "{count} of {length}: {told} told");
            assert_eq!(read["rows"], 7);
        }
    }

    #[test]
    fn no_file_is_made_among_the_devices() {
        let error = write_result(Path::new(TERMINATION_LOG), "{}").unwrap_err();
        assert!(error.to_string().contains("--result"), "{error}");
        assert!(!Path::new(TERMINATION_LOG).exists());
    }
}
