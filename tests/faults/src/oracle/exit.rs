//! O15: at the end of a tenant no data goes before it was exported and kept as long as was promised.

use serde_json::Value;

use super::Finding;
use crate::history::{Key, Record, SUBSCRIPTIONS, Sort, State, is_ending};
use crate::plan::Workload;
use crate::players::acts::EXIT;

/// What holds a customer's data.
const DATA: [&str; 3] = ["namespaces", "persistentvolumeclaims", "secrets"];

/// Nothing that holds data goes before a person said that it need not be kept any longer.
#[must_use]
pub fn kept_until_a_person_says(record: &Record) -> Vec<Finding> {
    let said = |subscription: &Value| {
        subscription.pointer("/metadata/annotations").is_some_and(|all| !all[EXIT].is_null())
    };
    too_early(record, said, "while it was to be kept")
}

/// Nothing that holds data goes before it was exported, where that is agreed.
#[must_use]
pub fn exported_first(record: &Record, workload: Workload) -> Vec<Finding> {
    if workload != Workload::OffboardExport {
        return Vec::new();
    }
    let is_exported = |subscription: &Value| {
        let checklist = subscription.pointer("/status/checklist").and_then(Value::as_array);
        checklist.into_iter().flatten().any(|entry| {
            entry["name"] == "exit-export"
                && entry["state"] == "Done"
                && entry.pointer("/job/state").is_some_and(|state| state == "Succeeded")
        })
    };
    too_early(record, is_exported, "before its data was exported")
}

/// What went before the subscription was so.
fn too_early(record: &Record, may_go: impl Fn(&Value) -> bool, when: &str) -> Vec<Finding> {
    let subscription = Key::new(SUBSCRIPTIONS, "", &record.tenant);
    let mut findings = Vec::new();
    record.replay(|change, state: &State| {
        let holds_data = DATA.contains(&change.key.resource.as_str()) && record.concerns(&change.key);
        let goes = change.sort == Sort::Deleted || is_ending(&change.object);
        if holds_data && goes && !state.get(&subscription).is_some_and(|found| may_go(found)) {
            findings.push(Finding::new("O15", format!("{} went {when}", change.key)));
        }
    });
    findings.sort();
    findings.dedup();
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::testing::Story;
    use serde_json::json;

    fn story(checklist: Value, annotations: Value) -> Record {
        let subscription = json!({
            "metadata": {"uid": "s1", "annotations": annotations},
            "status": {"tenant": {"id": "t"}, "checklist": checklist},
        });
        let volume = json!({"metadata": {"uid": "v1", "labels": {"tenantry.io/tenant-id": "t"}}});
        let claim = Key::new("persistentvolumeclaims", "tenant-acme", "data");
        Story::of("acme")
            .with(Sort::Created, claim.clone(), volume.clone())
            .with(Sort::Changed, Key::new(SUBSCRIPTIONS, "", "acme"), subscription)
            .with(Sort::Deleted, claim, volume)
            .record()
    }

    #[test]
    fn data_that_goes_too_early_is_found() {
        let run = |state: &str| json!([{"name": "exit-export", "state": "Done", "job": {"state": state}}]);
        let said = json!({EXIT: "EndKeeping"});
        let what = |record: &Record| {
            let found = kept_until_a_person_says(record).into_iter();
            found.chain(exported_first(record, Workload::OffboardExport)).count()
        };
        assert_eq!(what(&story(run("Succeeded"), said.clone())), 0);
        assert_eq!(what(&story(run("Succeeded"), json!({}))), 1);
        assert_eq!(what(&story(run("Failed"), said.clone())), 1);
        assert_eq!(what(&story(json!([]), json!({}))), 2);
        assert_eq!(exported_first(&story(json!([]), said), Workload::OffboardArchive), []);
    }
}
