//! Counting requests: a reader of the API server's audit log. Needs a client for its own marker requests, and the file
//! system.
//!
//! The server writes a request's line before it completes the answer, so a request whose answer was read is in the log.
//! What other clients have under way is not; [`Audit::since`] therefore ends with a request of its own and reads up to it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::Request;
use jiff::Timestamp;
use kube::Client;
use serde::Deserialize;
use tokio::time::sleep;

use crate::follow::Follower;

/// The marker's line is there when its answer is; this bounds the surprise if a server buffers after all.
const FLUSH_ATTEMPTS: u32 = 200;
const FLUSH_PAUSE: Duration = Duration::from_millis(10);

/// Reads the audit log of one control plane.
pub struct Audit {
    log: PathBuf,
    client: Client,
}

/// A moment in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub(crate) u64);

/// One request as the API server saw it. Empty strings stand for what a request does not have: a list has no name, a
/// health check no resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// Who asked; for an impersonated request the person acted for.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// API group, empty for the core group.
    pub group: String,
    /// Plural of the kind.
    pub resource: String,
    /// `status`, `scale`, `token` and so on.
    pub subresource: String,
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object. A create by POST has it only once the server knows it.
    pub name: String,
    /// HTTP status of the answer.
    pub code: u16,
    /// When the request arrived.
    pub at: Timestamp,
    /// Path and query, for messages of failed tests.
    pub uri: String,
}

/// Requests by what they do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// `get`, `list` and `watch` (counted when it begins).
    pub reads: usize,
    /// Every other verb.
    pub writes: usize,
    /// Requests per verb.
    pub by_verb: BTreeMap<String, usize>,
}

/// The fields of audit.k8s.io/v1 Event that are read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    stage: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: User,
    impersonated_user: Option<User>,
    #[serde(default)]
    object_ref: Object,
    response_status: Option<Status>,
    request_received_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Object {
    resource: String,
    namespace: String,
    name: String,
    api_group: String,
    subresource: String,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

// === impl Audit ===

impl Audit {
    pub(crate) fn new(log: PathBuf, client: Client) -> Self {
        Self { log, client }
    }

    /// Now. Everything answered before is before the mark.
    ///
    /// # Errors
    /// When the API server does not answer or the log cannot be read.
    pub async fn mark(&self) -> Result<Mark> {
        let (_, end) = self.read_to_marker(Mark(self.length()?)).await?;
        Ok(end)
    }

    /// The requests from `mark` to now, in the order of their answers, without the reader's own.
    ///
    /// # Errors
    /// When the API server does not answer or the log cannot be read.
    pub async fn since(&self, mark: Mark) -> Result<Vec<AuditEvent>> {
        let (text, _) = self.read_to_marker(mark).await?;
        text.lines().filter_map(|line| parse(line).transpose()).collect()
    }

    /// [`Audit::since`], one user only.
    ///
    /// # Errors
    /// As there.
    pub async fn since_by(&self, mark: Mark, user: &str) -> Result<Vec<AuditEvent>> {
        let mut events = self.since(mark).await?;
        events.retain(|event| event.user == user);
        Ok(events)
    }

    /// How many requests of each sort `user` made since `mark`.
    ///
    /// # Errors
    /// As [`Audit::since`].
    pub async fn count(&self, mark: Mark, user: &str) -> Result<Tally> {
        Ok(Tally::of(&self.since(mark).await?, user))
    }

    /// The requests from `mark` on, each as soon as it was answered: to act right after a certain one.
    ///
    /// # Errors
    /// When the log cannot be read or watched.
    pub fn follow(&self, mark: Mark) -> Result<Follower> {
        Follower::new(&self.log, mark)
    }

    /// Makes a request that nobody else makes and reads from `from` to its line.
    async fn read_to_marker(&self, from: Mark) -> Result<(String, Mark)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let serial = NEXT.fetch_add(1, Ordering::Relaxed);
        let uri = format!("/version?tenantry-marker={}-{serial}", std::process::id());
        self.client
            .request_text(Request::get(&uri).body(Vec::new())?)
            .await
            .context("no answer to a marker request")?;
        for _ in 0..FLUSH_ATTEMPTS {
            let text = self.read(from)?;
            if let Some(end) = end_of_marker(&text, &uri) {
                let end_mark = Mark(from.0 + u64::try_from(end)?);
                return Ok((text.get(..end).unwrap_or_default().to_owned(), end_mark));
            }
            sleep(FLUSH_PAUSE).await;
        }
        bail!("the audit log {} does not show the marker request", self.log.display())
    }

    fn length(&self) -> Result<u64> {
        match std::fs::metadata(&self.log) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", self.log.display())),
        }
    }

    fn read(&self, from: Mark) -> Result<String> {
        let mut file =
            File::open(&self.log).with_context(|| format!("cannot read {}", self.log.display()))?;
        file.seek(SeekFrom::Start(from.0))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The end of the line that holds the marker, its line feed included.
fn end_of_marker(text: &str, uri: &str) -> Option<usize> {
    let quoted = format!("\"{uri}\"");
    let start = text.find(&quoted)?;
    let rest = text.get(start..)?;
    Some(start + rest.find('\n')? + 1)
}

/// One request per line that counts: a watch when it began, everything else when it ended.
pub(crate) fn parse(line: &str) -> Result<Option<AuditEvent>> {
    let line: Line = serde_json::from_str(line).with_context(|| format!("unknown audit line {line}"))?;
    let counts = match line.stage.as_str() {
        "ResponseStarted" => line.verb == "watch",
        "ResponseComplete" => line.verb != "watch",
        _ => true,
    };
    if !counts || line.request_uri.contains("tenantry-marker=") {
        return Ok(None);
    }
    let Object { resource, namespace, name, api_group, subresource } = line.object_ref;
    Ok(Some(AuditEvent {
        user: line.impersonated_user.unwrap_or(line.user).username,
        verb: line.verb,
        group: api_group,
        resource,
        subresource,
        namespace,
        name,
        code: line.response_status.map_or(0, |status| status.code),
        at: line.request_received_timestamp,
        uri: line.request_uri,
    }))
}

// === impl AuditEvent ===

impl AuditEvent {
    /// Whether the request could not change anything.
    #[must_use]
    pub fn is_read(&self) -> bool {
        matches!(self.verb.as_str(), "get" | "list" | "watch")
    }

    /// Whether the request did change something, or would have if it were no dry run.
    #[must_use]
    pub fn is_successful_write(&self) -> bool {
        !self.is_read() && (200..300).contains(&self.code)
    }
}

// === impl Tally ===

impl Tally {
    /// Counts the requests of `user`.
    #[must_use]
    pub fn of(events: &[AuditEvent], user: &str) -> Self {
        let mut tally = Self::default();
        for event in events.iter().filter(|event| event.user == user) {
            *if event.is_read() { &mut tally.reads } else { &mut tally.writes } += 1;
            *tally.by_verb.entry(event.verb.clone()).or_default() += 1;
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(stage: &str, verb: &str, extra: &str) -> String {
        format!(
            r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"1","stage":"{stage}","requestURI":"/api/v1/x","verb":"{verb}","user":{{"username":"olga","groups":["a"]}},"sourceIPs":["127.0.0.1"],"requestReceivedTimestamp":"2030-01-01T00:00:00.123456Z","stageTimestamp":"2030-01-01T00:00:00.2Z"{extra}}}"#
        )
    }

    #[test]
    fn a_watch_counts_at_its_begin_and_others_at_their_end() {
        let counted = |stage: &str, verb: &str| parse(&line(stage, verb, "")).unwrap().is_some();
        assert!(counted("ResponseStarted", "watch") && !counted("ResponseComplete", "watch"));
        assert!(!counted("ResponseStarted", "get") && counted("ResponseComplete", "get"));
        assert!(counted("Panic", "get"));
    }

    #[test]
    fn fields_come_from_the_object_the_status_and_the_person_acted_for() {
        let extra = r#","objectRef":{"resource":"deployments","namespace":"n","name":"d","apiGroup":"apps","subresource":"scale"},"responseStatus":{"metadata":{},"code":409},"impersonatedUser":{"username":"eva"}"#;
        let event = parse(&line("ResponseComplete", "patch", extra)).unwrap().unwrap();
        assert_eq!(
            (event.user.as_str(), event.group.as_str(), event.subresource.as_str()),
            ("eva", "apps", "scale")
        );
        assert!(event.code == 409 && !event.is_read() && !event.is_successful_write());
    }

    #[test]
    fn tally_is_per_user_and_splits_reads_from_writes() {
        let events: Vec<AuditEvent> =
            ["get", "list", "watch", "create", "patch", "patch", "deletecollection"]
                .iter()
                .map(|verb| {
                    let stage = if *verb == "watch" { "ResponseStarted" } else { "ResponseComplete" };
                    parse(&line(stage, verb, "")).unwrap().unwrap()
                })
                .collect();
        let tally = Tally::of(&events, "olga");
        assert_eq!((tally.reads, tally.writes, tally.by_verb["patch"]), (3, 4, 2));
        assert_eq!(Tally::of(&events, "eva"), Tally::default());
    }

    #[test]
    fn the_marker_is_found_only_when_its_line_is_complete() {
        let text = "first\n{\"requestURI\":\"/version?m=1\"}\nlater\n";
        assert_eq!(end_of_marker(text, "/version?m=1"), Some(text.len() - "later\n".len()));
        assert_eq!(end_of_marker(text.trim_end_matches("\nlater\n"), "/version?m=1"), None);
        assert_eq!(end_of_marker(text, "/version?m="), None);
    }
}
