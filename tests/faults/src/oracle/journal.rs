//! O12: the journal has what happened, once, and nothing else. What happened is read off every status that the store ever held.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Finding;
use crate::history::{Key, Record, SUBSCRIPTIONS, Sort};
use crate::journal::Fact;

/// What a customer is given whose data is kept for a while, besides the receipt.
const DOCUMENTS: [&str; 3] = ["subscription.json", "accounts.json", "manifests.json"];

/// What must be on record, by id, with what may have come of it.
type Told = BTreeMap<String, BTreeSet<String>>;

/// Everything that a status told is on record once, and nothing else.
#[must_use]
pub fn recorded_once(record: &Record) -> Vec<Finding> {
    let Some(journal) = &record.journal else { return Vec::new() };
    let told = told(record);
    // A suspension that was lifted before the record began is told by nothing but the operation that it ended with.
    let resumed = operates(record, "Resume");
    // A change of plan that was over when the copy of the store was taken is, too.
    let changed = record.restored && operates(record, "ChangePlan");
    let mut findings: Vec<Finding> = missing(record, journal)
        .into_iter()
        .map(|id| Finding::new("O12", format!("{id} is not in the journal")))
        .collect();
    let mut seen = BTreeSet::new();
    for fact in journal {
        if !seen.insert(&fact.id) {
            findings.push(Finding::new("O12", format!("{} is twice in the journal", fact.id)));
        }
        match told.get(plain(&fact.id)) {
            Some(outcomes) if !outcomes.contains(&fact.outcome) => {
                let what = format!("{} is in the journal as {}, which nobody said", fact.id, fact.outcome);
                findings.push(Finding::new("O12", what));
            }
            // What happened before the record began is known by its latest form only.
            None if !(is_earlier(&fact.id, &told)
                || (resumed && is_whole(&fact.id, "/suspension/", ["began", "ended"], journal))
                || (changed && is_whole(&fact.id, "/plan-change/", ["requested", "ended"], journal))
                || (record.restored && is_forgotten(&fact.id, &told))) =>
            {
                findings.push(Finding::new("O12", format!("{} never happened", fact.id)));
            }
            Some(_) | None => {}
        }
    }
    findings
}

/// What happened and is not in the journal.
#[must_use]
pub fn missing(record: &Record, journal: &[Fact]) -> Vec<String> {
    let known: BTreeSet<&str> = journal.iter().map(|fact| plain(&fact.id)).collect();
    told(record).into_keys().filter(|id| !known.contains(id.as_str())).collect()
}

fn told(record: &Record) -> Told {
    let key = Key::new(SUBSCRIPTIONS, "", &record.tenant);
    let mut told = Told::new();
    let mut last = Value::Null;
    for (_, object) in record.forms().filter(|(known, _)| **known == key) {
        let Some(tenant) = object.pointer("/status/tenant/id").and_then(Value::as_str) else { continue };
        let status = &object["status"];
        tell(tenant, status, &mut told);
        tell_of_ends(tenant, &last, status, &mut told);
        last = status.clone();
    }
    let ended = record.changes.iter().filter(|change| change.key == key && change.sort == Sort::Deleted);
    for change in ended {
        let Some(tenant) = change.object.pointer("/status/tenant/id").and_then(Value::as_str) else {
            continue;
        };
        tell_of_the_end(tenant, &change.object, &mut told);
    }
    told
}

fn tell(tenant: &str, status: &Value, told: &mut Told) {
    let mut say = |what: String, outcome: &str| {
        told.entry(format!("{tenant}/{what}")).or_default().insert(outcome.to_owned());
    };
    if let Some(number) = status.pointer("/operation/number").and_then(Value::as_i64) {
        say(format!("operation/{number}/began"), "Began");
        if status.pointer("/operation/completedAt").is_some() {
            say(format!("operation/{number}/ended"), "Completed");
        }
    }
    let checklist = status.get("checklist").and_then(Value::as_array);
    for entry in checklist.into_iter().flatten() {
        let text = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str);
        let number = |pointer: &str| entry.pointer(pointer).and_then(Value::as_i64);
        let Some(name) = text("/name") else { continue };
        if let (Some(number), Some(outcome)) = (number("/conclusion/number"), text("/conclusion/outcome")) {
            say(format!("item/{name}/{number}"), outcome);
        }
        if let (Some(attempt), Some(state @ ("Succeeded" | "Failed"))) =
            (number("/job/attempt"), text("/job/state"))
        {
            say(format!("run/{name}/{attempt}"), state);
        }
        if let Some(signature) = text("/signOff/signature/name") {
            say(format!("signature/{name}/{signature}"), "Signed");
        }
    }
    for hold in holds(status) {
        say(format!("suspension/{hold}/began"), "Suspended");
    }
    if let Some((share, number)) = share(status) {
        say(format!("{share}/had"), if number == 1 { "Obtained" } else { "Changed" });
    }
}

/// How the journal calls what a status says that the tenant has of servers, and its number.
fn share(status: &Value) -> Option<(String, i64)> {
    let number = status.pointer("/servers/number")?.as_i64()?;
    let since: jiff::Timestamp = status.pointer("/servers/since")?.as_str()?.parse().ok()?;
    Some((format!("servers/{}/{number}", since.as_second()), number))
}

/// What the end of a subscription says.
fn tell_of_the_end(tenant: &str, subscription: &Value, told: &mut Told) {
    let mut say = |what: String, outcome: &str| {
        told.entry(format!("{tenant}/{what}")).or_default().insert(outcome.to_owned());
    };
    say("ended".to_owned(), "Ended");
    say("document/receipt.jws".to_owned(), "Kept");
    let policy = subscription.pointer("/spec/deletionPolicy").and_then(Value::as_str);
    // The last step is over when nobody writes the status any more.
    let last = if policy == Some("Retain") { "exit-access" } else { "exit-removal" };
    say(format!("item/{last}/1"), "Done");
    if matches!(policy, Some("ExportThenDelete" | "Archive")) {
        DOCUMENTS.iter().for_each(|name| say(format!("document/{name}"), "Kept"));
    }
    if let Some((share, _)) = share(&subscription["status"]) {
        say(format!("{share}/released"), "Released");
    }
    let Some(operation) = subscription.pointer("/status/operation") else { return };
    let Some(number) = operation.get("number").and_then(Value::as_i64) else { return };
    if operation.get("kind").is_some_and(|kind| kind == "Offboard") {
        say(format!("operation/{number}/ended"), "Completed");
        return;
    }
    if operation.get("completedAt").is_none() {
        say(format!("operation/{number}/ended"), "Abandoned");
    }
    say(format!("operation/{}/began", number + 1), "Began");
    say(format!("operation/{}/ended", number + 1), "Completed");
}

/// The id of a fact, for a document without the version of its content.
fn plain(id: &str) -> &str {
    let version = id
        .rsplit_once('/')
        .filter(|(what, _)| DOCUMENTS.iter().any(|name| what.ends_with(&format!("/document/{name}"))));
    version.map_or(id, |(what, _)| what)
}

/// What a status says by not telling of it any more.
fn tell_of_ends(tenant: &str, last: &Value, status: &Value, told: &mut Told) {
    let mut say = |what: String, outcome: &str| {
        told.entry(format!("{tenant}/{what}")).or_default().insert(outcome.to_owned());
    };
    let stays: BTreeSet<String> = holds(status).collect();
    for hold in holds(last).filter(|hold| !stays.contains(hold)) {
        say(format!("suspension/{hold}/ended"), "Lifted");
    }
    if let (Some((share, _)), None) = (share(last), share(status)) {
        say(format!("{share}/released"), "Released");
    }
    let plan = |of: &Value| {
        let revision = of.pointer("/accepted/plan")?.as_str()?;
        Some(revision.rsplit_once('@').map_or(revision, |(name, _)| name).to_owned())
    };
    let generation = status.get("observedGeneration").and_then(Value::as_i64);
    if let (Some(_), Some(generation)) =
        (plan(last).filter(|before| plan(status).as_ref() != Some(before)), generation)
    {
        say(format!("plan-change/{generation}/requested"), "Requested");
        say(format!("plan-change/{generation}/ended"), "TookEffect");
    }
    let number = |of: &Value| of.pointer("/operation/number").and_then(Value::as_i64);
    if let Some(before) = number(last).filter(|before| number(status).is_some_and(|now| now > *before))
        && last.pointer("/operation/completedAt").is_none()
    {
        let ends = status.pointer("/operation/kind").is_some_and(|kind| kind == "Offboard");
        say(format!("operation/{before}/ended"), if ends { "Abandoned" } else { "Superseded" });
    }
}

/// The suspensions that a status says hold: each is one by its name and its UID.
fn holds(status: &Value) -> impl Iterator<Item = String> {
    let holds = status.pointer("/suspension/holds").and_then(Value::as_array);
    let called = |hold: &Value| Some(format!("{}/{}", hold["name"].as_str()?, hold["uid"].as_str()?));
    holds.into_iter().flatten().filter_map(called)
}

/// Whether any status tells of an operation of this kind.
fn operates(record: &Record, kind: &str) -> bool {
    record
        .forms()
        .any(|(_, object)| object.pointer("/status/operation/kind").is_some_and(|known| known == kind))
}

/// Whether an id is that of something of this sort of which the journal has the begin and the end.
fn is_whole(id: &str, sort: &str, [begins, ends]: [&str; 2], journal: &[Fact]) -> bool {
    let Some((what, end)) = id.rsplit_once('/').filter(|(what, _)| what.contains(sort)) else { return false };
    [begins, ends].contains(&end)
        && [begins, ends].iter().all(|end| journal.iter().any(|fact| fact.id == format!("{what}/{end}")))
}

/// Whether an id is that of servers that a tenant got, and that the store forgot when it was restored: it got them once more then.
fn is_forgotten(id: &str, told: &Told) -> bool {
    let split = |id: &str| {
        let (tenant, share) = id.strip_suffix("/had")?.split_once("/servers/")?;
        let (since, number) = share.split_once('/')?;
        Some((tenant.to_owned(), number.to_owned(), since.parse::<i64>().ok()?))
    };
    let Some((tenant, number, since)) = split(id) else { return false };
    let again = told.keys().filter_map(|known| split(known));
    again.into_iter().any(|(who, which, later)| who == tenant && which == number && since < later)
}

/// Whether an id is that of an earlier end of what was told of a later one.
fn is_earlier(id: &str, told: &Told) -> bool {
    let split = |id: &str| {
        let ends = ["/began", "/ended", "/had", "/released"];
        let numbered = ends.into_iter().find_map(|end| id.strip_suffix(end)).unwrap_or(id);
        let (what, number) = numbered.rsplit_once('/')?;
        // Of servers it is told since when as well.
        let what = what.split_once("/servers/").map_or(what, |(tenant, _)| tenant);
        Some((what.to_owned(), number.parse::<i64>().ok()?))
    };
    let Some((what, number)) = split(id) else { return false };
    told.keys().filter_map(|known| split(known)).any(|(known, latest)| known == what && number < latest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::testing::Story;
    use serde_json::json;

    fn status(number: i64, outcome: &str) -> Value {
        json!({"metadata": {"uid": "s1"}, "status": {
            "tenant": {"id": "t"},
            "operation": {"number": 1},
            "checklist": [
                {"name": "a", "conclusion": {"number": number, "outcome": outcome},
                 "job": {"attempt": 2, "state": "Succeeded"}, "signOff": {"signature": {"name": "acme-x"}}},
                {"name": "b", "job": {"attempt": 1, "state": "Running"}}]}})
    }

    fn told_by(statuses: &[Value]) -> Story {
        let key = Key::new(SUBSCRIPTIONS, "", "acme");
        statuses
            .iter()
            .fold(Story::of("acme"), |story, status| story.with(Sort::Changed, key.clone(), status.clone()))
    }

    fn judged(story: Story, facts: &[(&str, &str)]) -> Vec<String> {
        let fact =
            |(id, outcome): &(&str, &str)| Fact { id: (*id).to_owned(), outcome: (*outcome).to_owned() };
        let record = Record { journal: Some(facts.iter().map(fact).collect()), ..story.record() };
        recorded_once(&record).into_iter().map(|finding| finding.what).collect()
    }

    const ALL: [(&str, &str); 4] = [
        ("t/operation/1/began", "Began"),
        ("t/item/a/1", "Failed"),
        ("t/run/a/2", "Succeeded"),
        ("t/signature/a/acme-x", "Signed"),
    ];

    #[test]
    fn everything_that_was_told_is_on_record_once() {
        let story = || told_by(&[status(1, "Failed")]);
        assert_eq!(judged(story(), &ALL), Vec::<String>::new());
        assert_eq!(judged(story(), &ALL[1..]), ["t/operation/1/began is not in the journal"]);
        let [first, ..] = ALL;
        assert_eq!(
            judged(story(), &[&ALL[..], &[first]].concat()),
            ["t/operation/1/began is twice in the journal"]
        );
        let never = ("t/item/b/1", "Done");
        assert_eq!(judged(story(), &[&ALL[..], &[never]].concat()), ["t/item/b/1 never happened"]);
        let other = ("t/item/a/1", "Done");
        let wrong = [ALL[0], other, ALL[2], ALL[3]];
        assert_eq!(judged(story(), &wrong), ["t/item/a/1 is in the journal as Done, which nobody said"]);
    }

    #[test]
    fn what_was_overwritten_is_missed_and_what_was_before_the_record_is_not() {
        let twice = told_by(&[status(1, "Failed"), status(2, "Done")]);
        let latest = [ALL[0], ("t/item/a/2", "Done"), ALL[2], ALL[3]];
        assert_eq!(judged(twice, &latest), ["t/item/a/1 is not in the journal"]);
        let earlier = [&latest[..], &[("t/run/a/1", "Failed"), ("t/item/a/1", "Failed")]].concat();
        assert_eq!(judged(told_by(&[status(2, "Done")]), &earlier), Vec::<String>::new());
    }

    #[test]
    fn what_a_tenant_has_of_servers_is_on_record_each_time_that_it_is_another_thing() {
        let has = |share: Option<(&str, i64)>| {
            let servers = share.map(|(since, number)| json!({"pool": "p", "since": since, "number": number}));
            json!({"metadata": {"uid": "s1"}, "status": {"tenant": {"id": "t"}, "servers": servers}})
        };
        let (first, second) = (("2026-11-28T10:00:00Z", 1), ("2026-11-28T11:00:00Z", 2));
        let story = || told_by(&[has(Some(first)), has(Some(second)), has(None)]);
        let all = [
            ("t/servers/1795860000/1/had", "Obtained"),
            ("t/servers/1795863600/2/had", "Changed"),
            ("t/servers/1795863600/2/released", "Released"),
        ];
        assert_eq!(judged(story(), &all), Vec::<String>::new());
        assert_eq!(judged(story(), &all[..2]), ["t/servers/1795863600/2/released is not in the journal"]);
        let later = told_by(&[has(Some(second))]);
        assert_eq!(judged(later, &all[..2]), Vec::<String>::new(), "what was before the record");
        let never = judged(told_by(&[has(Some(first))]), &all[..2]);
        assert_eq!(never, ["t/servers/1795863600/2/had never happened"]);

        // A change of plan that was over when the store was copied.
        let over = json!({"metadata": {"uid": "s1"}, "status": {"tenant": {"id": "t"},
            "operation": {"number": 2, "kind": "ChangePlan", "completedAt": "2026-01-01T00:00:00Z"}}});
        let operation = [("t/operation/2/began", "Began"), ("t/operation/2/ended", "Completed")];
        let change = [("t/plan-change/2/requested", "Requested"), ("t/plan-change/2/ended", "TookEffect")];
        let facts = |known: &[(&str, &str)]| {
            let all = operation.iter().chain(known);
            all.map(|(id, outcome)| Fact { id: (*id).into(), outcome: (*outcome).into() }).collect::<Vec<_>>()
        };
        let record = |restored, known: &[(&str, &str)]| Record {
            journal: Some(facts(known)),
            restored,
            ..told_by(std::slice::from_ref(&over)).record()
        };
        assert_eq!(recorded_once(&record(true, &change)), []);
        assert_eq!(recorded_once(&record(false, &change)).len(), 2);
        assert_eq!(recorded_once(&record(true, &change[..1])).len(), 1, "it has no end");

        // What a store had forgotten when it was restored.
        let twice = [all[0], ("t/servers/1795863600/1/had", "Obtained")];
        let again = || told_by(&[has(Some(("2026-11-28T11:00:00Z", 1)))]);
        assert_eq!(judged(again(), &twice), ["t/servers/1795860000/1/had never happened"]);
        let journal = twice.iter().map(|(id, outcome)| Fact { id: (*id).into(), outcome: (*outcome).into() });
        let record = Record { journal: Some(journal.collect()), restored: true, ..again().record() };
        assert_eq!(recorded_once(&record), []);
        let later = told_by(&[has(Some(first))]).record();
        let record = Record { journal: record.journal, restored: true, ..later };
        assert_eq!(recorded_once(&record).len(), 1, "what came later did not happen before");
    }

    #[test]
    fn a_suspension_has_a_beginning_and_an_end_and_so_has_what_it_supersedes() {
        let suspended = |number: i64, holds: &[&str]| {
            let holds: Vec<Value> = holds.iter().map(|name| json!({"name": name, "uid": "u"})).collect();
            json!({"metadata": {"uid": "s1"}, "status": {
                "tenant": {"id": "t"}, "operation": {"number": number}, "suspension": {"holds": holds}}})
        };
        let story = || told_by(&[suspended(2, &["a", "b"]), suspended(3, &["b"])]);
        let all = [
            ("t/operation/1/began", "Began"),
            ("t/operation/1/ended", "Completed"),
            ("t/operation/2/began", "Began"),
            ("t/operation/2/ended", "Superseded"),
            ("t/operation/3/began", "Began"),
            ("t/suspension/a/u/began", "Suspended"),
            ("t/suspension/a/u/ended", "Lifted"),
            ("t/suspension/b/u/began", "Suspended"),
        ];
        assert_eq!(judged(story(), &all), Vec::<String>::new());
        assert_eq!(judged(story(), &all[..7]), ["t/suspension/b/u/began is not in the journal"]);
        let never = ("t/suspension/b/u/ended", "Lifted");
        assert_eq!(
            judged(story(), &[&all[..], &[never]].concat()),
            ["t/suspension/b/u/ended never happened"]
        );
    }

    #[test]
    fn a_suspension_that_was_lifted_before_the_record_began_is_known_by_the_operation_that_ended_it() {
        let resumed = json!({"metadata": {"uid": "s1"}, "status": {
            "tenant": {"id": "t"}, "operation": {"number": 3, "kind": "Resume", "completedAt": "2026-01-01T00:00:00Z"}}});
        let all = [
            ("t/operation/3/began", "Began"),
            ("t/operation/3/ended", "Completed"),
            ("t/suspension/a/u/began", "Suspended"),
            ("t/suspension/a/u/ended", "Lifted"),
        ];
        assert_eq!(judged(told_by(std::slice::from_ref(&resumed)), &all), Vec::<String>::new());
        let half = judged(told_by(&[resumed]), &all[..3]);
        assert_eq!(half, ["t/suspension/a/u/began never happened"]);
    }

    #[test]
    fn an_end_is_on_record() {
        let story = || told_by(&[status(1, "Failed")]).ended();
        let end = [
            ("t/document/receipt.jws", "Kept"),
            ("t/ended", "Ended"),
            ("t/item/exit-removal/1", "Done"),
            ("t/operation/1/ended", "Abandoned"),
            ("t/operation/2/began", "Began"),
            ("t/operation/2/ended", "Completed"),
        ];
        assert_eq!(judged(story(), &ALL), end.map(|(id, _)| format!("{id} is not in the journal")));
        assert_eq!(judged(story(), &[&ALL[..], &end].concat()), Vec::<String>::new());
    }

    #[test]
    fn what_is_handed_over_is_on_record_in_each_version() {
        let kept = |operation: Value| {
            json!({"metadata": {"uid": "s1"}, "spec": {"deletionPolicy": "Archive"},
                "status": {"tenant": {"id": "t"}, "operation": operation}})
        };
        let statuses = [kept(json!({"number": 1})), kept(json!({"number": 2, "kind": "Offboard"}))];
        let all = [
            ("t/document/accounts.json/0a", "Kept"),
            ("t/document/manifests.json/0a", "Kept"),
            ("t/document/manifests.json/0b", "Kept"),
            ("t/document/receipt.jws", "Kept"),
            ("t/document/subscription.json/0a", "Kept"),
            ("t/ended", "Ended"),
            ("t/item/exit-removal/1", "Done"),
            ("t/operation/1/began", "Began"),
            ("t/operation/1/ended", "Abandoned"),
            ("t/operation/2/began", "Began"),
            ("t/operation/2/ended", "Completed"),
        ];
        assert_eq!(judged(told_by(&statuses).ended(), &all), Vec::<String>::new());
        assert_eq!(
            judged(told_by(&statuses).ended(), &all[1..]),
            ["t/document/accounts.json is not in the journal"]
        );
    }
}
