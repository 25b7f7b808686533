//! Jobs of the checklist: what a run is about, what it is called, and what its end means; pure, what was observed comes in
//! as a parameter.
//!
//! A run is about a digest of what it was made from. When that changes its result proves nothing any more, and the item
//! runs again. What a provider edits in a definition is no part of it: a label would repeat a thousand conversions.

use crate::order::Order;
use crate::text::cut;
use serde_json::{Map, Value, json};
use tenantry_crds::blueprint::{Item, JobAction, Load};
use tenantry_crds::canonical;
use tenantry_crds::subscription::{ChecklistEntry, DeclaredData, JobResult, JobState};
use tenantry_crds::version::JobRole;
use thiserror::Error;

/// Secret in the tenant's namespace with what a conversion needs in order to reach the data of the system before. Whoever brings
/// the data makes it; only that it is there is ever looked at.
pub const SOURCE_SECRET: &str = "conversion-source";

/// Hexadecimal digits of what a run is about.
const DIGITS: usize = 32;
/// Hexadecimal digits of it in a name.
const DIGITS_IN_NAME: usize = 10;
/// Letters of an item in a name. With attempt and digest it fits the 63 that the label of a Job's pods may have.
const ITEM_IN_NAME: usize = 40;
/// Longest message of a result (the CRD's bound, in bytes).
const MESSAGE_LIMIT: usize = 300;
/// Longest difference that is kept.
const DIFFERENCE_LIMIT: usize = 200;
/// Differences that are kept; the report has all.
const DIFFERENCES: usize = 5;
/// Hexadecimal digits of a SHA-256.
const SHA256_DIGITS: usize = 64;

/// How a Job ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Whether the Job completed, by its conditions.
    pub completed: bool,
    /// Why it failed, by its conditions.
    pub reason: String,
    /// What its container said when it ended; nothing when no container of it is left that did.
    pub message: Option<String>,
}

/// Why what a container said is no result.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ResultError {
    /// It is not JSON, or was cut because it has more than 4096 bytes.
    #[error("it is not one JSON object of at most 4096 bytes")]
    NotJson,
    /// A field is missing or not what it must be.
    #[error("{field} must be {expected}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

/// Digest of what a run of `item` is about under `order`: as much of the order as the item's `runs` says, and what the
/// customer declared for it.
#[must_use]
pub fn digest(order: &Order, item: &Item) -> String {
    let about = order.subject(item.runs.unwrap_or_default());
    let declared = item.job.as_ref().and_then(|job| declared(order, job));
    let whole =
        json!({"tenant": order.tenant_id.as_str(), "item": item.name, "about": about, "declared": declared});
    canonical::digest(&whole, DIGITS)
}

/// What the customer declared for a run of a conversion; nothing for other jobs, and before the final run was declared.
#[must_use]
pub fn declared<'a>(order: &'a Order, job: &JobAction) -> Option<&'a DeclaredData> {
    let data = order.data_conversion.as_ref()?;
    match job.load? {
        Load::Trial => Some(&data.trial),
        Load::CutOver => data.cut_over.as_ref(),
    }
}

/// What the result of an action is called where later items read it, as in `outputs.convert.rows`.
#[must_use]
pub const fn output_name(action: &JobAction) -> &'static str {
    match (action.role, action.load) {
        (JobRole::Convert, Some(Load::Trial)) => "trial",
        (JobRole::Convert, _) => "convert",
        (JobRole::Verify, _) => "verify",
        (JobRole::Backup, _) => "backup",
        (JobRole::Export, _) => "export",
    }
}

/// What the runs that succeeded found, by [`output_name`], for the jobs of later items. Of several items with the same action
/// the last of the checklist counts.
#[must_use]
pub fn outputs(items: &[Item], entries: &[ChecklistEntry]) -> Map<String, Value> {
    let found = items.iter().filter_map(|item| {
        let action = item.job.as_ref()?;
        let run = entries.iter().find(|entry| entry.name == item.name)?.job.as_ref()?;
        let result = run.result.as_ref().filter(|_| run.state == JobState::Succeeded)?;
        let output = json!({
            "run": run.name,
            "rows": result.rows,
            "sourceSha256": result.source_sha256,
            "checksum": result.checksum,
            "reportSha256": result.report_sha256,
        });
        Some((output_name(action).to_owned(), output))
    });
    found.collect()
}

/// Name of the Job of an attempt, which is also the token that the attempt is given.
#[must_use]
pub fn name(item: &str, attempt: i32, digest: &str) -> String {
    let short = |text: &str, length: usize| text.chars().take(length).collect::<String>();
    format!("{}-{attempt}-{}", short(item, ITEM_IN_NAME).trim_end_matches('-'), short(digest, DIGITS_IN_NAME))
}

/// Number of the attempt that a Job's name tells; nothing for names of other forms.
#[must_use]
pub fn attempt(name: &str) -> Option<i32> {
    let (before, digest) = name.rsplit_once('-')?;
    let (_, attempt) = before.rsplit_once('-')?;
    let is_digest = digest.len() == DIGITS_IN_NAME && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    attempt.parse().ok().filter(|_| is_digest)
}

/// What came of a run: whether it did what it was asked for, and what it found. A conversion must also have found what was
/// declared, whatever it says itself.
#[must_use]
pub fn judge(ended: &Ended, declared: Option<&DeclaredData>) -> (JobState, JobResult) {
    let failed =
        |message: String| JobResult { message: cut(&message, MESSAGE_LIMIT), ..JobResult::default() };
    let Some(message) = ended.message.as_deref().filter(|message| !message.is_empty()) else {
        let why = if ended.reason.is_empty() { "" } else { ": " };
        let told = format!("the job ended without a result{why}{}; its log may say more", ended.reason);
        return (JobState::Failed, failed(told));
    };
    let (succeeded, result) = match read(message) {
        Ok(read) => read,
        Err(error) => {
            let told =
                format!("the result of the job cannot be read: {error}; correct the job of the version");
            return (JobState::Failed, failed(told));
        }
    };
    if let Some(difference) =
        declared.filter(|_| succeeded).and_then(|declared| difference(declared, &result))
    {
        return (JobState::Failed, JobResult { message: difference, ..result });
    }
    (if succeeded && ended.completed { JobState::Succeeded } else { JobState::Failed }, result)
}

/// How what was found differs from what was declared.
fn difference(declared: &DeclaredData, found: &JobResult) -> Option<String> {
    let rows = found.rows.unwrap_or_default();
    if rows != declared.rows {
        return Some(format!("{rows} rows were found and {} are declared", declared.rows));
    }
    match (&declared.sha256, &found.source_sha256) {
        (Some(declared), Some(found)) if declared == found => None,
        (Some(declared), Some(found)) => {
            Some(format!("the source has the SHA-256 {found} and {declared} is declared"))
        }
        (Some(_), None) => Some("a SHA-256 of the source is declared and the job reports none".to_owned()),
        (None, _) => None,
    }
}

/// Reads a result. What is not known is left out; what is too long is cut.
fn read(message: &str) -> Result<(bool, JobResult), ResultError> {
    let Ok(Value::Object(fields)) = serde_json::from_str(message) else { return Err(ResultError::NotJson) };
    let text = |field: &str| fields.get(field).and_then(Value::as_str);
    let succeeded = match text("outcome") {
        Some("Succeeded") => true,
        Some("Failed") => false,
        _ => return Err(ResultError::Field { field: "outcome", expected: "Succeeded or Failed" }),
    };
    let count = |field: &'static str| match fields.get(field) {
        None => Ok(None),
        Some(value) => match value.as_i64().filter(|count| *count >= 0) {
            Some(count) => Ok(Some(count)),
            None => Err(ResultError::Field { field, expected: "a whole number that is not negative" }),
        },
    };
    let sum = |field: &'static str| match (fields.get(field), text(field)) {
        (None, _) => Ok(None),
        (Some(_), Some(sum)) if is_sha256(sum) => Ok(Some(sum.to_owned())),
        (Some(_), _) => Err(ResultError::Field { field, expected: "a SHA-256 of 64 hexadecimal digits" }),
    };
    let differences: Vec<String> = fields
        .get("differences")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .take(DIFFERENCES)
        .map(|one| cut(one.as_str().unwrap_or(&one.to_string()), DIFFERENCE_LIMIT))
        .collect();
    let total = count("differencesTotal")?;
    let result = JobResult {
        message: cut(text("message").unwrap_or_default(), MESSAGE_LIMIT),
        rows: count("rows")?,
        source_sha256: sum("sourceSha256")?,
        checksum: sum("checksum")?,
        report_sha256: sum("reportSha256")?,
        differences_total: total.unwrap_or_else(|| i64::try_from(differences.len()).unwrap_or(i64::MAX)),
        differences,
    };
    Ok((succeeded, result))
}

fn is_sha256(text: &str) -> bool {
    text.len() == SHA256_DIGITS
        && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use proptest::prelude::*;
    use tenantry_crds::blueprint::Runs;
    use tenantry_crds::subscription::{ConversionSource, DataConversion};

    fn ended(completed: bool, message: &str) -> Ended {
        let reason = if completed { "" } else { "BackoffLimitExceeded" };
        Ended { completed, reason: reason.to_owned(), message: Some(message.to_owned()) }
    }

    fn sum(digit: &str) -> String {
        digit.repeat(SHA256_DIGITS)
    }

    #[test]
    fn a_run_succeeded_only_if_job_result_and_declaration_say_so() {
        let result = |outcome: &str, rows: i64| {
            json!({"outcome": outcome, "message": "m", "rows": rows, "sourceSha256": sum("a")}).to_string()
        };
        let declared = |rows, sha256: Option<&str>| DeclaredData { rows, sha256: sha256.map(sum) };
        let cases = [
            (ended(true, &result("Succeeded", 3)), None, JobState::Succeeded, "m"),
            (ended(false, &result("Succeeded", 3)), None, JobState::Failed, "m"),
            (ended(true, &result("Failed", 3)), None, JobState::Failed, "m"),
            (ended(true, &result("Succeeded", 3)), Some(declared(3, None)), JobState::Succeeded, "m"),
            (ended(true, &result("Succeeded", 3)), Some(declared(3, Some("a"))), JobState::Succeeded, "m"),
            (
                ended(true, &result("Succeeded", 3)),
                Some(declared(4, None)),
                JobState::Failed,
                "3 rows were found and 4 are declared",
            ),
            (ended(true, &result("Failed", 3)), Some(declared(4, None)), JobState::Failed, "m"),
        ];
        for (ended, declared, state, message) in cases {
            let (found, result) = judge(&ended, declared.as_ref());
            assert_eq!((found, result.message.as_str()), (state, message), "{ended:?} {declared:?}");
            assert_eq!(result.rows, Some(3));
        }
        let (state, other) = judge(&ended(true, &result("Succeeded", 3)), Some(&declared(3, Some("b"))));
        assert_eq!(state, JobState::Failed);
        assert!(other.message.starts_with("the source has the SHA-256 aaaa"), "{}", other.message);
    }

    #[test]
    fn what_is_no_result_is_said() {
        let cases = [
            ("", "the job ended without a result: BackoffLimitExceeded; its log may say more"),
            ("done", "the result of the job cannot be read: it is not one JSON object of at most 4096 bytes"),
            (
                "{\"outcome\":\"Done\"}",
                "the result of the job cannot be read: outcome must be Succeeded or Failed",
            ),
            (
                "{\"outcome\":\"Succeeded\",\"rows\":-1}",
                "the result of the job cannot be read: rows must be a whole number that is not negative",
            ),
            (
                "{\"outcome\":\"Succeeded\",\"checksum\":\"x\"}",
                "the result of the job cannot be read: checksum must be a SHA-256 of 64 hexadecimal digits",
            ),
        ];
        for (message, told) in cases {
            let (state, result) = judge(&ended(false, message), None);
            assert_eq!(state, JobState::Failed);
            assert!(result.message.starts_with(told), "{}", result.message);
        }
        let lost = Ended { message: None, ..ended(false, "") };
        assert_eq!(judge(&lost, None), judge(&ended(false, ""), None));
    }

    #[test]
    fn what_a_run_is_about_is_what_the_item_says_and_what_is_declared() {
        let order = |rows, users: bool| {
            let mut spec = fixtures::subscription();
            let data = |rows| DeclaredData { rows, sha256: None };
            spec.data_conversion = Some(DataConversion {
                source: ConversionSource { system: "Old".to_owned(), format: "csv".to_owned() },
                trial: data(rows),
                cut_over: None,
            });
            if users {
                spec.users.truncate(1);
            }
            fixtures::resolved(&spec, &fixtures::definitions()).unwrap()
        };
        let item = |load, runs| Item {
            name: "data-trial".to_owned(),
            job: Some(JobAction { load, ..JobAction::default() }),
            runs: Some(runs),
            ..Item::default()
        };
        let trial = item(Some(Load::Trial), Runs::Once);
        assert_eq!(digest(&order(3, false), &trial), digest(&order(3, true), &trial));
        assert_ne!(
            digest(&order(3, false), &trial),
            digest(&order(4, false), &trial),
            "what is declared counts"
        );
        let other = item(None, Runs::Once);
        assert_eq!(digest(&order(3, false), &other), digest(&order(4, false), &other));
        assert_eq!(declared(&order(3, false), trial.job.as_ref().unwrap()).map(|data| data.rows), Some(3));
        let cut_over = item(Some(Load::CutOver), Runs::Once);
        assert_eq!(declared(&order(3, false), cut_over.job.as_ref().unwrap()), None);
    }

    proptest! {
        #[test]
        fn a_name_is_one_for_each_attempt_and_fits(item in "[a-z][a-z0-9-]{0,61}[a-z0-9]", attempt in 1..i32::MAX) {
            let (one, next) = (name(&item, attempt, &sum("a")), name(&item, attempt - 1, &sum("a")));
            prop_assert!(one.len() <= 63, "{}", one);
            prop_assert_eq!(super::attempt(&one), Some(attempt));
            prop_assert_ne!(one, next);
        }

        #[test]
        fn nothing_a_container_says_breaks_the_status(message in "\\PC{0,600}") {
            let whole = json!({"outcome": "Failed", "message": message, "differences": [message, message]}).to_string();
            let (_, result) = judge(&ended(true, &whole), None);
            prop_assert!(result.message.len() <= MESSAGE_LIMIT);
            prop_assert!(result.differences.iter().all(|one| one.len() <= DIFFERENCE_LIMIT));
        }
    }

    #[test]
    fn later_jobs_read_what_succeeded_and_nothing_else() {
        let item = |name: &str, role: JobRole, load: Option<Load>| Item {
            name: name.to_owned(),
            job: Some(JobAction { role, load }),
            ..Item::default()
        };
        let items = [
            item("rehearsal", JobRole::Convert, Some(Load::Trial)),
            item("loading", JobRole::Convert, Some(Load::CutOver)),
            item("testing", JobRole::Verify, None),
            item("again", JobRole::Verify, None),
        ];
        let entry = |name: &str, state: &str, rows: i64| -> ChecklistEntry {
            serde_json::from_value(json!({
                "name": name, "category": "Testing", "owner": "Provider", "state": "Done", "reason": "JobSucceeded",
                "since": "2026-11-27T06:00:00Z",
                "job": {"name": format!("{name}-1-d"), "attempt": 1, "digest": "d", "state": state,
                    "result": {"message": "m", "rows": rows, "checksum": sum("c")}},
            }))
            .unwrap()
        };
        let entries = [
            entry("rehearsal", "Succeeded", 3),
            entry("loading", "Failed", 4),
            entry("testing", "Succeeded", 5),
            entry("again", "Succeeded", 6),
            entry("elsewhere", "Succeeded", 7),
        ];
        let found = outputs(&items, &entries);
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            ["trial", "verify"],
            "what failed found nothing to build on"
        );
        assert_eq!((&found["trial"]["rows"], &found["trial"]["run"]), (&json!(3), &json!("rehearsal-1-d")));
        assert_eq!(found["trial"]["checksum"], json!(sum("c")));
        assert_eq!(found["verify"]["rows"], json!(6), "the last of the checklist counts");
        assert!(outputs(&items, &[]).is_empty());
    }
}
