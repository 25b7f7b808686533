//! Runs of jobs as their names and statuses tell of them; pure.
//!
//! A run is called `ITEM-ATTEMPT-DIGEST`, its pod has five letters more. The digest is over the tenant's random id, so names
//! of places and compared objects have placeholders for both.

use serde_json::Value;

/// Label of a Job and its pods with the name of the run.
pub const RUN_LABEL: &str = "/metadata/labels/tenantry.io~1run";
/// Finalizer that keeps a pod until its result is on record.
pub const RESULT_FINALIZER: &str = "tenantry.io/job-result";
/// Hexadecimal digits of the digest in a name.
const DIGITS: usize = 10;
/// Letters that Kubernetes adds to the name of a Job for the name of its pod.
const ADDED: usize = 5;
/// Stands for the digest.
const RUN: &str = "{run}";
/// Stands for the letters of a pod.
const POD: &str = "{pod}";

/// One run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run {
    /// Item that it is of.
    pub item: String,
    /// Number of the attempt, from 1.
    pub attempt: i64,
    /// Beginning of the digest of what it is about.
    pub digest: String,
}

// === impl Run ===

impl Run {
    /// From the name of its Job.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.rsplitn(3, '-');
        let (digest, attempt, item) = (parts.next()?, parts.next()?, parts.next()?);
        let attempt = attempt.parse().ok()?;
        is_digest(digest).then(|| Self { item: item.to_owned(), attempt, digest: digest.to_owned() })
    }

    /// Of a Job or a pod.
    #[must_use]
    pub fn of(object: &Value) -> Option<Self> {
        Self::parse(name_of(object)?)
    }
}

/// Name of the run that a Job or a pod is of.
#[must_use]
pub fn name_of(object: &Value) -> Option<&str> {
    object.pointer(RUN_LABEL).and_then(Value::as_str)
}

/// Whether a pod is kept for its result.
#[must_use]
pub fn is_kept(pod: &Value) -> bool {
    let finalizers = pod.pointer("/metadata/finalizers").and_then(Value::as_array);
    finalizers.into_iter().flatten().any(|one| one == RESULT_FINALIZER)
}

/// Whether a Job has ended, by its conditions.
#[must_use]
pub fn has_ended(job: &Value) -> bool {
    let conditions = job.pointer("/status/conditions").and_then(Value::as_array);
    let ends =
        |one: &Value| (one["type"] == "Complete" || one["type"] == "Failed") && one["status"] == "True";
    conditions.into_iter().flatten().any(ends)
}

/// The text with placeholders for what differs from run to run in names of Jobs and their pods.
#[must_use]
pub fn masked(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        match tail_of_run(rest) {
            Some((attempt, after)) => {
                result.push_str(&format!("-{attempt}-{RUN}"));
                rest = after;
                if let Some(after) = tail_of_pod(rest) {
                    result.push_str(&format!("-{POD}"));
                    rest = after;
                }
            }
            None => {
                result.push(first);
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
            }
        }
    }
    result
}

/// Where `-ATTEMPT-DIGEST` begins: the attempt, and what comes after.
fn tail_of_run(text: &str) -> Option<(&str, &str)> {
    let (attempt, rest) = text.strip_prefix('-')?.split_once('-')?;
    let is_number = !attempt.is_empty() && attempt.bytes().all(|byte| byte.is_ascii_digit());
    let (digest, after) = rest.split_at_checked(DIGITS)?;
    (is_number && is_digest(digest) && is_end(after)).then_some((attempt, after))
}

fn tail_of_pod(text: &str) -> Option<&str> {
    let (letters, after) = text.strip_prefix('-')?.split_at_checked(ADDED)?;
    let are_letters = letters.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    (are_letters && is_end(after)).then_some(after)
}

fn is_digest(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Whether a word ends here.
fn is_end(after: &str) -> bool {
    !after.starts_with(|next: char| next.is_ascii_alphanumeric())
}

/// How far a hand-over or a suspension is by a status that is written, such as `testing-1-Failed` or `InEffect`; nothing for one
/// that tells of neither.
/// Statuses come once a second while something runs, so how many there are says nothing, but each of these is written
/// first at one moment of every run. That the tenant is live may be told with the last signature or after it, as the
/// gateway is fast or slow, so it has no name of its own.
#[must_use]
pub fn milestone(body: &Value) -> Option<String> {
    let status = body.get("status")?;
    if let Some(how) = suspended(status) {
        return Some(how);
    }
    let checklist = status.get("checklist")?.as_array()?;
    let last = |pointer: &str| {
        let mut entries = checklist.iter().rev();
        entries.find_map(|entry| Some((entry["name"].as_str()?, entry.pointer(pointer)?)))
    };
    let (item, run) = last("/job")?;
    if let Some((item, _)) = last("/signOff/signature/name") {
        return Some(format!("{item}-signed"));
    }
    Some(format!("{item}-{}-{}", run["attempt"].as_i64()?, run["state"].as_str()?))
}

/// How far a suspension is, or its end. Only what changed is in a patch, and what is taken away is null there.
fn suspended(status: &Value) -> Option<String> {
    if status.get("suspension").is_some_and(Value::is_null) {
        return Some("Resumed".to_owned());
    }
    let conditions = status.get("conditions")?.as_array()?;
    let told = conditions.iter().find(|condition| condition["type"] == "Suspended")?;
    told["reason"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_run_is_read_off_its_name() {
        let run = Run::parse("data-trial-2-0123456789").unwrap();
        assert_eq!((run.item.as_str(), run.attempt, run.digest.as_str()), ("data-trial", 2, "0123456789"));
        for name in ["web", "data-trial-2", "data-trial-x-0123456789", "data-trial-2-0123456789-abcde"] {
            assert_eq!(Run::parse(name), None, "{name}");
        }
    }

    #[test]
    fn digests_and_letters_of_pods_are_replaced_and_nothing_else() {
        for (text, expected) in [
            ("data-trial-1-0a1b2c3d4e", "data-trial-1-{run}"),
            ("data-trial-1-0a1b2c3d4e-x7k2p", "data-trial-1-{run}-{pod}"),
            ("data-trial-1-0a1b2c3d4e-", "data-trial-1-{run}-"),
            ("attempt 1 runs as Job testing-12-ffffffffff; é", "attempt 1 runs as Job testing-12-{run}; é"),
            ("web-7d4b9c6f8d-abcde", "web-7d4b9c6f8d-abcde"),
            ("a-1-0123456789a", "a-1-0123456789a"),
            ("a-1-012345678", "a-1-012345678"),
            ("a-1-0123456789-abcdef", "a-1-{run}-abcdef"),
            ("0f8fad5b-1234-469f-a165-70867728950e", "0f8fad5b-1234-469f-a165-70867728950e"),
        ] {
            assert_eq!(masked(text), expected);
        }
    }

    #[test]
    fn a_milestone_is_the_last_thing_that_a_status_tells() {
        let run = |item: &str, attempt: i64, state: &str| json!({"name": item, "job": {"attempt": attempt, "state": state}});
        let body = |checklist: Value| json!({"status": {"checklist": checklist}});
        let signed = |signature: Value| json!({"name": "training", "signOff": {"as": "Customer", "signature": signature}});
        assert_eq!(milestone(&json!({"status": {"conditions": []}})), None);
        let told =
            |reason: &str| json!({"status": {"conditions": [{"type": "Suspended", "reason": reason}]}});
        assert_eq!(milestone(&told("InEffect")).as_deref(), Some("InEffect"));
        let lifted = json!({"status": {"conditions": [], "suspension": null}});
        assert_eq!(milestone(&lifted).as_deref(), Some("Resumed"));
        assert_eq!(milestone(&body(json!([{"name": "network"}]))), None);
        let both =
            body(json!([run("trial", 2, "Succeeded"), run("testing", 1, "Failed"), {"name": "go-live"}]));
        assert_eq!(milestone(&both).as_deref(), Some("testing-1-Failed"));
        let asked = body(json!([run("testing", 2, "Succeeded"), signed(Value::Null)]));
        assert_eq!(milestone(&asked).as_deref(), Some("testing-2-Succeeded"));
        let given = body(json!([run("testing", 2, "Succeeded"), signed(json!({"name": "x"}))]));
        assert_eq!(milestone(&given).as_deref(), Some("training-signed"));
    }
}
