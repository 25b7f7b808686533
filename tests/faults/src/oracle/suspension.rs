//! O14: a suspension takes away what it says and nothing else, and its end gives back exactly what was there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::Finding;
use crate::history::{Key, Record, SUBSCRIPTIONS, Sort, State, TENANT_LABEL, uid, within};
use crate::mask;
use crate::suspension::{self, SUSPENSIONS, WORKLOADS, is_told, replicas};
use crate::workload::is_true;

/// Where routes are.
const ROUTES: &str = "httproutes.gateway.networking.k8s.io";
/// Where bindings of people are.
const BINDINGS: &str = "rolebindings.rbac.authorization.k8s.io";
/// Where quotas are.
const QUOTAS: &str = "resourcequotas";

/// Write-ahead: no workload is set to have no pods before a committed status has how many it had.
#[must_use]
pub fn recorded_before_stopped(record: &Record) -> Vec<Finding> {
    let ids = record.tenant_ids();
    let mut last: BTreeMap<Key, i64> = BTreeMap::new();
    for (key, workload) in workloads(record, &ids, &record.before) {
        last.extend(replicas(workload).map(|had| (key.clone(), had)));
    }
    let mut findings = Vec::new();
    record.replay(|change, state| {
        let Some(now) = replicas(&change.object)
            .filter(|_| change.key.resource == WORKLOADS && is_ours(&change.object, &ids))
        else {
            return;
        };
        let had = match change.sort {
            Sort::Created | Sort::Changed => last.insert(change.key.clone(), now).unwrap_or_default(),
            Sort::Deleted => return,
        };
        if now != 0 || had == 0 {
            return;
        }
        let known = subscription(record, state).map(remembered).unwrap_or_default();
        let has_it = |entry: &Value| {
            entry["name"] == change.key.name.as_str()
                && entry["uid"] == uid(&change.object)
                && entry["replicas"] == had
        };
        if !known.iter().any(has_it) {
            let what = format!("{} was given no pods before it was on record that it had {had}", change.key);
            findings.push(Finding::new("write-ahead", what));
        }
    });
    findings
}

/// Write-ahead: how many pods a workload had is forgotten only when it has them again, or is gone.
#[must_use]
pub fn forgotten_after_given_back(record: &Record) -> Vec<Finding> {
    let mut last: Vec<Value> =
        subscription(record, &record.before).map(|found| remembered(found).to_vec()).unwrap_or_default();
    let mut findings = Vec::new();
    record.replay(|change, state| {
        if !is_subscription(record, &change.key) || change.sort == Sort::Deleted {
            return;
        }
        let now = remembered(&change.object).to_vec();
        for entry in last.iter().filter(|entry| !now.contains(entry)) {
            let name = entry["name"].as_str().unwrap_or_default();
            let workload = state.get(&Key::new(WORKLOADS, &record.namespace(), name));
            let same = workload.filter(|workload| entry["uid"] == uid(workload));
            if let Some(has) = same.map(|workload| replicas(workload))
                && has != entry["replicas"].as_i64()
            {
                let has = has.unwrap_or_default();
                let what =
                    format!("{name} had {} pods, which was forgotten when it has {has}", entry["replicas"]);
                findings.push(Finding::new("write-ahead", what));
            }
        }
        last = now;
    });
    findings
}

/// Whoever is told to be suspended is: by every status that says so while there is the suspension.
#[must_use]
pub fn suspended_is_honest(record: &Record) -> Vec<Finding> {
    let ids = record.tenant_ids();
    let suspension = Key::new(SUSPENSIONS, "", &suspension::name(&record.tenant));
    let mut found = BTreeSet::new();
    record.replay(|change, state| {
        let says_so = is_subscription(record, &change.key)
            && change.sort != Sort::Deleted
            && is_true(&change.object, "Suspended");
        if says_so && state.contains_key(&suspension) {
            let left = left(record, &ids, state).into_iter();
            found.extend(left.map(|what| Finding::new("O14", format!("told to be suspended when {what}"))));
        }
    });
    found.into_iter().collect()
}

/// At the end of a suspension's beginning nobody gets in, nothing runs, and it is on record what ran.
#[must_use]
pub fn taken_away(record: &Record) -> Vec<Finding> {
    let ids = record.tenant_ids();
    let after = record.after();
    let mut findings: Vec<Finding> =
        left(record, &ids, &after).into_iter().map(|what| Finding::new("O14", what)).collect();
    let known = subscription(record, &after).map(remembered).unwrap_or_default();
    // Where the record begins amid the suspension, as after the store went back, what it had is on record by then.
    let earlier = subscription(record, &record.before).map(remembered).unwrap_or_default();
    for (key, workload) in workloads(record, &ids, &record.before) {
        let is_it = |entry: &&Value| entry["name"] == key.name.as_str() && entry["uid"] == uid(workload);
        let told_of =
            |entries: &[Value]| entries.iter().find(is_it).and_then(|entry| entry["replicas"].as_i64());
        let had = told_of(earlier).or_else(|| replicas(workload)).unwrap_or_default();
        match told_of(known) {
            Some(told) if told == had => {}
            told => {
                findings.push(Finding::new("O14", format!("{key} had {had} pods, and on record is {told:?}")))
            }
        }
    }
    findings
}

/// At the end of a suspension the tenant has what it had before it: the same objects with the same content, and nothing more;
/// and nothing is said of suspensions any more.
#[must_use]
pub fn given_back(record: &Record) -> Vec<Finding> {
    let ids = record.tenant_ids();
    let (earlier, after) = (owned(record, &ids, &record.earlier), record.after());
    let now = owned(record, &ids, &after);
    if earlier.is_empty() {
        return vec![Finding::new("O14", "nothing is known of what the tenant had before")];
    }
    let names: BTreeSet<&Key> = earlier.keys().chain(now.keys()).copied().collect();
    let mut findings: Vec<Finding> = names
        .into_iter()
        .filter_map(|key| {
            let what = match (earlier.get(key), now.get(key)) {
                (Some(was), Some(is)) if uid(was) != uid(is) => "was made anew".to_owned(),
                (Some(was), Some(is)) => {
                    let [was, is] = [was, is].map(|object| content(record, &ids, key, object));
                    mask::difference(&is, &was)?
                }
                (Some(_), None) => "did not come back".to_owned(),
                (None, _) => "was not there before".to_owned(),
            };
            Some(Finding::new("O14", format!("{key}: {what}")))
        })
        .collect();
    if subscription(record, &after).is_none_or(is_told) {
        findings.push(Finding::new("O14", "the status still tells of a suspension"));
    }
    findings
}

/// What a suspension of everything has not taken away.
fn left(record: &Record, ids: &[String], state: &State) -> Vec<String> {
    let namespace = record.namespace();
    let ours = |resource| {
        within(state, resource, &namespace).filter(|(_, object)| is_ours(object, ids)).collect::<Vec<_>>()
    };
    let mut left = Vec::new();
    let (routes, quotas) = (ours(ROUTES), ours(QUOTAS));
    let leads_in = |route: &Value| {
        let rules = route.pointer("/spec/rules").and_then(Value::as_array);
        rules.is_none_or(|rules| rules.iter().any(|rule| rule.get("backendRefs").is_some()))
    };
    if routes.is_empty() {
        left.push("no route says why".to_owned());
    }
    left.extend(routes.iter().filter(|(_, route)| leads_in(route)).map(|(key, _)| format!("{key} leads in")));
    let is_person = |subject: &Value| subject["kind"] == "Group" || subject["kind"] == "User";
    let binds_people = |binding: &Value| binding["subjects"].as_array().into_iter().flatten().any(is_person);
    left.extend(
        ours(BINDINGS)
            .iter()
            .filter(|(_, binding)| binds_people(binding))
            .map(|(key, _)| format!("{key} binds people")),
    );
    let lets_none_start = |quota: &Value| quota.pointer("/spec/hard/pods").is_some_and(|pods| pods == "0");
    if !quotas.iter().any(|(_, quota)| lets_none_start(quota)) {
        left.push("no quota keeps pods from starting".to_owned());
    }
    let stopped = |workload: &Value| replicas(workload) == Some(0);
    left.extend(
        workloads(record, ids, state)
            .filter(|(_, workload)| !stopped(workload))
            .map(|(key, _)| format!("{key} is not stopped")),
    );
    let has_ended = |pod: &Value| {
        let phase = pod.pointer("/status/phase").and_then(Value::as_str);
        phase.is_some_and(|phase| phase == "Succeeded" || phase == "Failed")
    };
    let pods = within(state, "pods", &namespace).filter(|(_, pod)| !has_ended(pod)).count();
    if pods > 0 {
        left.push(format!("{pods} of its pods have not ended"));
    }
    left
}

/// The workloads of a tenant.
fn workloads<'a>(
    record: &Record,
    ids: &'a [String],
    state: &'a State,
) -> impl Iterator<Item = (&'a Key, &'a Value)> + use<'a> {
    let all = within(state, WORKLOADS, &record.namespace());
    all.filter(|(_, workload)| is_ours(workload, ids)).map(|(key, workload)| (key, &**workload))
}

/// What the controller made in the namespace of a tenant.
fn owned<'a>(record: &Record, ids: &[String], state: &'a State) -> BTreeMap<&'a Key, &'a Arc<Value>> {
    let namespace = record.namespace();
    state.iter().filter(|(key, object)| key.namespace == namespace && is_ours(object, ids)).collect()
}

/// What an object says, but for how often it was edited and what others tell of it.
fn content(record: &Record, ids: &[String], key: &Key, object: &Value) -> Value {
    let mut object = mask::masked(key, object, record, ids);
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("generation");
    }
    object
}

fn is_ours(object: &Value, ids: &[String]) -> bool {
    let id = object.pointer(TENANT_LABEL).and_then(Value::as_str);
    id.is_some_and(|id| ids.iter().any(|known| known == id))
}

fn is_subscription(record: &Record, key: &Key) -> bool {
    key.resource == SUBSCRIPTIONS && key.name == record.tenant
}

fn subscription<'a>(record: &Record, state: &'a State) -> Option<&'a Value> {
    state.get(&Key::new(SUBSCRIPTIONS, "", &record.tenant)).map(|found| &**found)
}

/// How many pods workloads had, as a status has it.
fn remembered(subscription: &Value) -> &[Value] {
    let remembered = subscription.pointer("/status/suspension/remembered").and_then(Value::as_array);
    remembered.map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests;
