//! O13: no run of a job is made twice, none runs beside another of its item, none is begun whose result is there already, and
//! no result is lost. Everything is read off the store and the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::Finding;
use crate::history::{Change, Key, Record, SUBSCRIPTIONS, Sort, State, is_ending, uid};
use crate::runs::{self, Run};

/// Plural of Jobs.
const JOBS: &str = "jobs.batch";

/// What is known of the runs of a record, change by change.
#[derive(Default)]
struct Known {
    /// UIDs of the Jobs that a run had, by its name.
    made: BTreeMap<String, BTreeSet<String>>,
    /// Names of the runs that an attempt of an item had.
    attempts: BTreeMap<(String, i64), BTreeSet<String>>,
    /// What statuses told of each run that ended: its state, and its result.
    told: BTreeMap<String, (Value, Value)>,
    /// What containers said when they ended, by run.
    said: BTreeMap<String, String>,
    /// Runs that were over before the record begins: their pods were let go by then, and which status told of it is not on it.
    over: BTreeSet<String>,
    /// Items and digests that a run succeeded for.
    done: BTreeSet<(String, String)>,
    /// Pods that were kept when they were last seen.
    kept: BTreeMap<Key, String>,
    findings: BTreeSet<Finding>,
}

/// Everything that is promised of runs.
#[must_use]
pub fn once_and_recorded(record: &Record) -> Vec<Finding> {
    let namespace = record.namespace();
    let mut known = Known::default();
    for (key, object) in &record.before {
        known.look(record, &namespace, key, object);
        let name = runs::name_of(object).filter(|_| key.resource == "pods" && key.namespace == namespace);
        if let Some(name) = name.filter(|_| said(object).is_some() && !runs::is_kept(object)) {
            known.over.insert(name.to_owned());
        }
    }
    record.replay(|change, state| known.change(record, &namespace, change, state));
    known.conclude(record);
    known.findings.into_iter().collect()
}

// === impl Known ===

impl Known {
    fn find(&mut self, what: String) {
        self.findings.insert(Finding::new("O13", what));
    }

    fn change(&mut self, record: &Record, namespace: &str, change: &Change, state: &State) {
        let Change { key, object, sort, .. } = change;
        if key.namespace == namespace && key.resource == JOBS && runs::name_of(object).is_some() {
            if *sort == Sort::Created {
                self.begun(record, &key.name, state);
            }
            self.one_at_a_time(namespace, state);
        }
        if *sort == Sort::Deleted {
            // An object goes with its last finalizer, and that is told as its end alone.
            self.let_go(key);
            return;
        }
        self.look(record, namespace, key, object);
    }

    /// Takes in one object as it is now.
    fn look(&mut self, record: &Record, namespace: &str, key: &Key, object: &Arc<Value>) {
        if key.resource == SUBSCRIPTIONS && key.name == record.tenant {
            self.status(object);
        }
        let Some(name) = runs::name_of(object).filter(|_| key.namespace == namespace) else { return };
        if key.resource == JOBS {
            self.made.entry(name.to_owned()).or_default().insert(uid(object).to_owned());
            if let Some(run) = Run::parse(name) {
                self.attempts.entry((run.item, run.attempt)).or_default().insert(name.to_owned());
            }
        }
        if key.resource == "pods" {
            if let Some(message) = said(object) {
                self.said.insert(name.to_owned(), message.to_owned());
            }
            if runs::is_kept(object) {
                self.kept.insert(key.clone(), name.to_owned());
            } else {
                self.let_go(key);
            }
        }
    }

    /// Takes in what a status tells of runs that ended.
    fn status(&mut self, subscription: &Value) {
        for run in runs_of(subscription).filter(|run| run["state"] != "Running") {
            let Some(name) = run["name"].as_str() else { continue };
            if let Some(parsed) = Run::parse(name).filter(|_| run["state"] == "Succeeded") {
                self.done.insert((parsed.item, parsed.digest));
            }
            let now = (run["state"].clone(), run["result"].clone());
            let first = self.told.entry(name.to_owned()).or_insert_with(|| now.clone());
            if *first != now {
                self.find(format!("{name} is told to have ended in two ways"));
            }
        }
    }

    /// A Job is made: its run is recorded, and is not about what is done already.
    fn begun(&mut self, record: &Record, name: &str, state: &State) {
        let subscription = state.get(&Key::new(SUBSCRIPTIONS, "", &record.tenant));
        let is_it = |run: &Value| run["name"] == name && run["state"] == "Running";
        if !subscription.is_some_and(|subscription| runs_of(subscription).any(is_it)) {
            self.find(format!("the Job {name} was made and no status told of it as a run under way"));
        }
        if Run::parse(name).is_some_and(|run| self.done.contains(&(run.item, run.digest))) {
            self.find(format!("the Job {name} was made for what was done already"));
        }
    }

    fn one_at_a_time(&mut self, namespace: &str, state: &State) {
        let is_of_tenant = |key: &Key| key.resource == JOBS && key.namespace == namespace;
        let jobs = state.range(Key::new(JOBS, namespace, "")..).take_while(|(key, _)| is_of_tenant(key));
        let mut under_way: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (key, job) in jobs.filter(|(_, job)| !runs::has_ended(job) && !is_ending(job)) {
            if let Some(run) = Run::of(job) {
                under_way.entry(run.item).or_default().push(&key.name);
            }
        }
        for (item, names) in under_way.into_iter().filter(|(_, names)| names.len() > 1) {
            self.find(format!("{item} has runs side by side: {}", names.join(", ")));
        }
    }

    /// A pod is kept no more: its result is on record by now.
    fn let_go(&mut self, pod: &Key) {
        let Some(run) = self.kept.remove(pod) else { return };
        if !self.told.contains_key(&run) {
            self.find(format!("{pod} was let go before the result of {run} was recorded"));
        }
    }

    /// What can be said when everything is over.
    fn conclude(&mut self, record: &Record) {
        let mut found: Vec<String> = Vec::new();
        let twice = self.made.iter().filter(|(_, uids)| uids.len() > 1);
        found.extend(twice.map(|(name, uids)| format!("the Job {name} was made {} times", uids.len())));
        let under_two = self.attempts.iter().filter(|(_, names)| names.len() > 1);
        found.extend(under_two.map(|((item, attempt), names)| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            format!("attempt {attempt} of {item} was made more than once: {}", names.join(", "))
        }));
        found.extend(self.kept.keys().map(|pod| format!("{pod} is kept for ever")));
        for (name, message) in &self.said {
            match self.told.get(name) {
                None if self.over.contains(name) => {}
                None => found.push(format!("{name} ended and no status ever told of its result")),
                Some((state, result)) if !agree(message, state, result) => {
                    found.push(format!("{name} said {message} and is recorded as {state} with {result}"));
                }
                Some(_) => {}
            }
        }
        found.extend(self.journal(record));
        found.into_iter().for_each(|what| self.find(what));
    }

    /// What is wrong with what the journal has of runs that ended: each is there once, as it was told.
    fn journal(&self, record: &Record) -> Vec<String> {
        let Some(journal) = &record.journal else { return Vec::new() };
        let mut found = Vec::new();
        for (name, (state, _)) in &self.told {
            let Some(run) = Run::parse(name) else { continue };
            let end = format!("/run/{}/{}", run.item, run.attempt);
            let facts: Vec<&str> = journal
                .iter()
                .filter(|fact| fact.id.ends_with(&end))
                .map(|fact| fact.outcome.as_str())
                .collect();
            if facts.as_slice() != [state.as_str().unwrap_or_default()] {
                found.push(format!("{name} ended as {state} and the journal has {facts:?}"));
            }
        }
        found
    }
}

/// The runs that a status tells of.
fn runs_of(subscription: &Value) -> impl Iterator<Item = &Value> {
    let checklist = subscription.pointer("/status/checklist").and_then(Value::as_array);
    checklist.into_iter().flatten().filter_map(|entry| entry.get("job"))
}

/// What the container of a pod said when it ended.
fn said(pod: &Value) -> Option<&str> {
    pod.pointer("/status/containerStatuses/0/state/terminated/message")?.as_str()
}

/// Whether what is recorded of a run is what its container said. One that found another count than was declared has failed,
/// whatever it said itself.
fn agree(message: &str, state: &Value, result: &Value) -> bool {
    let said: Value = serde_json::from_str(message).unwrap_or_default();
    let outcome = said.get("outcome");
    let is_refuted = state == "Failed" && outcome.is_some_and(|outcome| outcome == "Succeeded");
    let is_same = Some(state) == outcome && result.get("message") == said.get("message");
    said.get("rows") == result.get("rows") && (is_same || is_refuted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Fact;
    use crate::oracle::testing::Story;
    use serde_json::json;

    const FIRST: &str = "testing-1-0123456789";
    const SECOND: &str = "testing-2-0123456789";

    fn subscription() -> Key {
        Key::new(SUBSCRIPTIONS, "", "acme")
    }

    fn job(name: &str) -> Key {
        Key::new(JOBS, "tenant-acme", name)
    }

    fn pod(run: &str) -> Key {
        Key::new("pods", "tenant-acme", &format!("{run}-abcde"))
    }

    trait Runs {
        fn told(self, name: &str, state: &str, message: &str) -> Self;
        fn made(self, name: &str, uid: &str) -> Self;
        fn finished(self, name: &str) -> Self;
        fn pod(self, sort: Sort, run: &str, is_kept: bool) -> Self;
        fn first_fails(self) -> Self;
        fn findings(self) -> Vec<String>;
    }

    impl Runs for Story {
        fn told(self, name: &str, state: &str, message: &str) -> Self {
            let result = json!({"message": message});
            let run = match state {
                "Running" => json!({"name": name, "state": state}),
                _ => json!({"name": name, "state": state, "result": result}),
            };
            let status = json!({"tenant": {"id": "t-acme"}, "checklist": [{"name": "testing", "job": run}]});
            self.with(Sort::Changed, subscription(), json!({"metadata": {"uid": "s1"}, "status": status}))
        }

        fn made(self, name: &str, uid: &str) -> Self {
            let labels = json!({"tenantry.io/run": name});
            self.with(Sort::Created, job(name), json!({"metadata": {"uid": uid, "labels": labels}}))
        }

        fn finished(self, name: &str) -> Self {
            let labels = json!({"tenantry.io/run": name});
            let conditions = json!([{"type": "Failed", "status": "True"}]);
            let object = json!({"metadata": {"uid": format!("u-{name}"), "labels": labels}, "status": {"conditions": conditions}});
            self.with(Sort::Changed, job(name), object)
        }

        fn pod(self, sort: Sort, run: &str, is_kept: bool) -> Self {
            let message = json!({"outcome": "Failed", "message": "lost"}).to_string();
            let ended = json!([{"state": {"terminated": {"message": message}}}]);
            let finalizers = if is_kept { json!([runs::RESULT_FINALIZER]) } else { json!([]) };
            let metadata = json!({"uid": "p", "labels": {"tenantry.io/run": run}, "finalizers": finalizers});
            self.with(sort, pod(run), json!({"metadata": metadata, "status": {"containerStatuses": ended}}))
        }

        fn first_fails(self) -> Self {
            self.told(FIRST, "Running", "")
                .made(FIRST, &format!("u-{FIRST}"))
                .pod(Sort::Created, FIRST, true)
                .finished(FIRST)
                .told(FIRST, "Failed", "lost")
                .pod(Sort::Changed, FIRST, false)
        }

        fn findings(self) -> Vec<String> {
            once_and_recorded(&self.record()).into_iter().map(|finding| finding.what).collect()
        }
    }

    fn story() -> Story {
        Story::of("acme")
    }

    #[test]
    fn a_run_after_another_is_as_it_must_be() {
        let second = story().first_fails().told(SECOND, "Running", "").made(SECOND, "u2");
        assert_eq!(second.findings(), Vec::<String>::new());
    }

    #[test]
    fn a_run_that_is_made_twice_is_found() {
        let twice = story().first_fails().told(FIRST, "Running", "").made(FIRST, "u9").findings();
        assert_eq!(twice, [format!("the Job {FIRST} was made 2 times")]);
        let other = "testing-1-abcdefabcd";
        let found = story().first_fails().told(other, "Running", "").made(other, "u9").findings();
        assert_eq!(found, [format!("attempt 1 of testing was made more than once: {FIRST}, {other}")]);
    }

    #[test]
    fn runs_side_by_side_are_found() {
        let both = story().told(FIRST, "Running", "").made(FIRST, "u1").told(SECOND, "Running", "");
        let found = both.made(SECOND, "u2").findings();
        assert_eq!(found, [format!("testing has runs side by side: {FIRST}, {SECOND}")]);
    }

    #[test]
    fn a_run_that_is_not_recorded_or_not_needed_is_found() {
        let unrecorded = story().made(FIRST, "u1").findings();
        assert_eq!(
            unrecorded,
            [format!("the Job {FIRST} was made and no status told of it as a run under way")]
        );
        let done = story().told(FIRST, "Succeeded", "").told(SECOND, "Running", "").made(SECOND, "u2");
        assert_eq!(done.findings(), [format!("the Job {SECOND} was made for what was done already")]);
    }

    #[test]
    fn a_result_that_is_lost_is_found() {
        let begun = || story().told(FIRST, "Running", "").made(FIRST, "u1").pod(Sort::Created, FIRST, true);
        let pod = pod(FIRST);
        assert_eq!(
            begun().findings(),
            [
                format!("{pod} is kept for ever"),
                format!("{FIRST} ended and no status ever told of its result")
            ]
        );
        let early = begun().pod(Sort::Changed, FIRST, false).told(FIRST, "Failed", "lost").findings();
        assert_eq!(early, [format!("{pod} was let go before the result of {FIRST} was recorded")]);
        let gone = begun().pod(Sort::Deleted, FIRST, false).told(FIRST, "Failed", "lost").findings();
        assert_eq!(gone, [format!("{pod} was let go before the result of {FIRST} was recorded")]);
        let other = begun().told(FIRST, "Failed", "it is gone").pod(Sort::Changed, FIRST, false).findings();
        assert_eq!(other.len(), 1, "{other:?}");
        assert!(other[0].contains("is recorded as \"Failed\" with"), "{}", other[0]);
        let two_ways = story().first_fails().told(FIRST, "Succeeded", "lost").findings();
        assert_eq!(two_ways, [format!("{FIRST} is told to have ended in two ways")]);
    }

    #[test]
    fn what_was_over_before_the_record_begins_was_told_then() {
        let begins_with = |is_kept: bool| {
            let before = story().pod(Sort::Created, FIRST, is_kept).record();
            let state = before.changes.into_iter().map(|change| (change.key, change.object)).collect();
            let record = Record { before: state, ..story().record() };
            once_and_recorded(&record).into_iter().map(|finding| finding.what).collect::<Vec<_>>()
        };
        assert_eq!(begins_with(false), Vec::<String>::new());
        assert!(begins_with(true).contains(&format!("{FIRST} ended and no status ever told of its result")));
    }

    #[test]
    fn every_end_is_in_the_journal_once() {
        let judged = |facts: &[(&str, &str)]| {
            let fact =
                |(id, outcome): &(&str, &str)| Fact { id: (*id).to_owned(), outcome: (*outcome).to_owned() };
            let journal = Some(facts.iter().map(fact).collect());
            let record = Record { journal, ..story().first_fails().record() };
            once_and_recorded(&record).len()
        };
        let right = ("t-acme/run/testing/1", "Failed");
        assert_eq!(judged(&[right, ("t-acme/run/testing/11", "Failed")]), 0);
        let wrong: [&[(&str, &str)]; 3] = [&[], &[right, right], &[("t-acme/run/testing/1", "Succeeded")]];
        assert_eq!(wrong.map(judged), [1, 1, 1]);
    }

    #[test]
    fn a_count_that_was_not_declared_refutes_what_a_run_says() {
        let said = r#"{"outcome": "Succeeded", "message": "loaded", "rows": 3}"#;
        let result = |message: &str, rows: i64| json!({"message": message, "rows": rows});
        assert!(agree(said, &json!("Succeeded"), &result("loaded", 3)));
        assert!(agree(said, &json!("Failed"), &result("3 rows were found and 4 are declared", 3)));
        assert!(!agree(said, &json!("Succeeded"), &result("loaded", 4)));
        assert!(!agree(said, &json!("Succeeded"), &result("other", 3)));
    }
}
