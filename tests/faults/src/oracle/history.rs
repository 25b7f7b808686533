//! Oracles that look at every committed revision.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Finding;
use crate::history::{Key, Record, SUBSCRIPTIONS, Sort, State, TENANT_LABEL, is_ending, uid};
use crate::workload::is_true;

/// Shorter values may be in other texts by chance.
const SECRET_LENGTH: usize = 16;
/// Where blueprints are.
const BLUEPRINTS: &str = "blueprints.tenantry.io";
/// Where applications are.
const APPLICATIONS: &str = "hostedapplications.tenantry.io";
/// Label of pod security that is enforced.
const POD_SECURITY: &str = "/metadata/labels/pod-security.kubernetes.io~1enforce";

/// What stands in the namespace of a tenant at one revision.
struct Standing {
    limits: bool,
    quota: bool,
    default_deny: bool,
    pod_security: bool,
    people: bool,
    routes: bool,
    workloads: bool,
}

/// O5a: no person has access and no route is open before quota, limits, default-deny and pod security exist; no workload
/// before limits, default-deny and pod security.
#[must_use]
pub fn isolation_before_access(record: &Record) -> Vec<Finding> {
    let mut found = BTreeSet::new();
    record.replay(|change, state| {
        if !record.concerns(&change.key) {
            return;
        }
        let Some(standing) = Standing::of(record, state) else { return };
        let isolated = standing.limits && standing.default_deny && standing.pod_security;
        let closed = isolated && standing.quota;
        for (is_open, is_allowed, what) in [
            (standing.people, closed, "people have access before the tenant is isolated"),
            (standing.routes, closed, "a route is open before the tenant is isolated"),
            (standing.workloads, isolated, "a workload exists before the tenant is isolated"),
        ] {
            if is_open && !is_allowed {
                found.insert(Finding::new("O5a", format!("{what}, first at revision {}", change.revision)));
            }
        }
    });
    first_of_each(found)
}

/// O5b: a namespace never changes its tenant.
#[must_use]
pub fn one_tenant_a_namespace(record: &Record) -> Vec<Finding> {
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    let mut findings = Vec::new();
    for (key, object) in record.forms().filter(|(key, _)| key.resource == "namespaces") {
        let Some(owner) = object.pointer(TENANT_LABEL).and_then(Value::as_str) else { continue };
        let known = owners.entry(uid(object).to_owned()).or_insert_with(|| owner.to_owned());
        if known != owner {
            findings.push(Finding::new("O5b", format!("{key} went from tenant {known} to {owner}")));
        }
    }
    findings
}

/// Write-ahead: what is created for a tenant is in its record, and the finalizer is in place.
#[must_use]
pub fn recorded_before_created(record: &Record) -> Vec<Finding> {
    let mut findings = Vec::new();
    record.replay(|change, state| {
        if change.sort != Sort::Created || !is_ours(record, &change.object) {
            return;
        }
        let Some(subscription) = subscription(record, state) else {
            findings.push(Finding::new(
                "write-ahead",
                format!("{} was created without a subscription", change.key),
            ));
            return;
        };
        let kind = change.object.get("kind").and_then(Value::as_str).unwrap_or_default();
        let is_entry = |entry: &Value| {
            let recorded = entry["kind"].as_str().unwrap_or_default();
            entry["name"] == change.key.name && recorded.rsplit('/').next() == Some(kind)
        };
        if !entries(subscription).iter().any(is_entry) {
            findings.push(Finding::new(
                "write-ahead",
                format!("{} was created before it was recorded", change.key),
            ));
        }
        if !has_finalizer(subscription) {
            findings.push(Finding::new(
                "write-ahead",
                format!("{} was created without the finalizer", change.key),
            ));
        }
    });
    findings
}

/// Checklist: an object is created only when everything of the items that its item depends on is there. What closes the
/// namespace comes before everything, whichever item it belongs to.
#[must_use]
pub fn items_wait_for_items(record: &Record) -> Vec<Finding> {
    let depends_on = dependencies(record);
    let mut found = BTreeSet::new();
    record.replay(|change, state| {
        if change.sort != Sort::Created || !is_ours(record, &change.object) {
            return;
        }
        let Some(subscription) = subscription(record, state) else { return };
        let entries = entries(subscription);
        let is_it = |entry: &&Value| place(entry, record).is_some_and(|place| place == change.key);
        let Some(entry) = entries.iter().find(is_it).filter(|entry| !closes_the_namespace(entry)) else {
            return;
        };
        let Some(needed) = entry["item"].as_str().and_then(|item| depends_on.get(item)) else { return };
        for other in
            entries.iter().filter(|other| other["item"].as_str().is_some_and(|item| needed.contains(item)))
        {
            let is_wanted = other["state"] == "Pending" || other["state"] == "Live";
            if is_wanted && place(other, record).is_some_and(|place| !state.contains_key(&place)) {
                let what = format!("{} was created before {} {}", change.key, other["kind"], other["name"]);
                found.insert(Finding::new("checklist", what));
            }
        }
    });
    found.into_iter().collect()
}

/// The items that each item depends on, by the blueprint of the tenant's application; where that is not known, by all.
fn dependencies(record: &Record) -> BTreeMap<String, BTreeSet<String>> {
    let name = blueprint(record);
    let is_it = |key: &Key| key.resource == BLUEPRINTS && name.is_none_or(|name| key.name == name);
    let blueprints = record.before.iter().filter(|(key, _)| is_it(key));
    let items = blueprints.filter_map(|(_, blueprint)| blueprint.pointer("/spec/items")?.as_array());
    let names = |list: &Value| -> BTreeSet<String> {
        list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let read = |item: &Value| Some((item["name"].as_str()?.to_owned(), names(&item["dependsOn"])));
    items.flatten().filter_map(read).collect()
}

/// Name of the blueprint of the tenant's application.
fn blueprint(record: &Record) -> Option<&str> {
    let key = subscription_key(record);
    let (_, subscription) = record.forms().find(|(known, _)| **known == key)?;
    let application = subscription.pointer("/spec/applicationRef/name")?.as_str()?;
    let application = record.before.get(&Key::new(APPLICATIONS, "", application))?;
    application.pointer("/spec/blueprintRef/name")?.as_str()
}

/// Where the object of an entry of the record is.
fn place(entry: &Value, record: &Record) -> Option<Key> {
    let (api_version, kind) = entry["kind"].as_str()?.rsplit_once('/')?;
    let lower = kind.to_lowercase();
    let plural = match lower.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{lower}s"),
    };
    let resource = match api_version.split_once('/') {
        Some((group, _)) => format!("{plural}.{group}"),
        None => plural,
    };
    let namespace = if kind == "Namespace" { String::new() } else { record.namespace() };
    Some(Key::new(&resource, &namespace, entry["name"].as_str()?))
}

/// Whether an entry is of the foundation, which stands first of all.
fn closes_the_namespace(entry: &Value) -> bool {
    const FOUNDATION: [&str; 3] = ["tenantry-limits", "tenantry-default-deny", "tenantry-manager"];
    entry["kind"] == "v1/Namespace" || FOUNDATION.iter().any(|name| entry["name"] == *name)
}

/// Write-ahead: an entry goes from the record, and a subscription from the store, only after the object is gone.
#[must_use]
pub fn forgotten_after_gone(record: &Record) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut last: Option<Arc<Value>> = subscription(record, &record.before).cloned();
    record.replay(|change, state| {
        if change.key != subscription_key(record) {
            return;
        }
        let uids: BTreeSet<&str> =
            state.iter().filter(|(key, _)| record.concerns(key)).map(|(_, o)| uid(o)).collect();
        let kept = match change.sort {
            Sort::Deleted => Vec::new(),
            Sort::Created | Sort::Changed => entries(&change.object).to_vec(),
        };
        let was = last.as_deref().map(entries).unwrap_or_default();
        for entry in was {
            // A tenant that is kept loses its doors alone.
            let stays = is_retained(&change.object) && !is_door(entry);
            let is_kept = stays
                || entry["state"] == "Kept"
                || kept.iter().any(|now| now["kind"] == entry["kind"] && now["name"] == entry["name"]);
            let exists = entry["uid"].as_str().is_some_and(|uid| uids.contains(uid));
            if !is_kept && exists {
                let what = format!("{} {} was forgotten while it exists", entry["kind"], entry["name"]);
                findings.push(Finding::new("write-ahead", what));
            }
        }
        last = (change.sort != Sort::Deleted).then(|| Arc::clone(&change.object));
    });
    findings
}

/// O5f: whoever is Ready has everything that is recorded, apart from what comes with the hand-over: that is promised by
/// Live.
#[must_use]
pub fn ready_is_honest(record: &Record) -> Vec<Finding> {
    let mut found = BTreeSet::new();
    record.replay(|change, state| {
        if !record.concerns(&change.key) {
            return;
        }
        let Some(subscription) = subscription(record, state) else { return };
        if is_ending(subscription) || !is_true(subscription, "Ready") {
            return;
        }
        let uids: BTreeSet<&str> =
            state.iter().filter(|(key, _)| record.concerns(key)).map(|(_, o)| uid(o)).collect();
        let entries = entries(subscription);
        if entries.is_empty() {
            found.insert(Finding::new("O5f", "Ready without a record"));
        }
        let handed_over: BTreeSet<&str> =
            if is_true(subscription, "Live") { BTreeSet::new() } else { items_beyond_ready(subscription) };
        // What is left in place, or goes, is nothing that the tenant is promised.
        let promised = |entry: &&Value| {
            entry["state"] != "Kept"
                && entry["state"] != "Deleting"
                && !entry["item"].as_str().is_some_and(|item| handed_over.contains(item))
        };
        for entry in entries.iter().filter(promised) {
            if !entry["uid"].as_str().is_some_and(|uid| uids.contains(uid)) {
                found.insert(Finding::new(
                    "O5f",
                    format!("Ready without {} {}", entry["kind"], entry["name"]),
                ));
            }
        }
    });
    found.into_iter().collect()
}

/// Items that may be open while the tenant is Ready, because they are work with people and the opening itself.
fn items_beyond_ready(subscription: &Value) -> BTreeSet<&str> {
    const CATEGORIES: [&str; 5] = ["DataConversion", "Customization", "Testing", "Training", "GoLive"];
    let checklist = subscription.pointer("/status/checklist").and_then(Value::as_array);
    let is_beyond = |entry: &&Value| CATEGORIES.iter().any(|category| entry["category"] == *category);
    checklist.into_iter().flatten().filter(is_beyond).filter_map(|entry| entry["name"].as_str()).collect()
}

/// O5h: no value of a Secret is anywhere else in the store.
#[must_use]
pub fn secrets_stay_secret(record: &Record) -> Vec<Finding> {
    let values = secret_values(record);
    let mut found = BTreeSet::new();
    for change in record.changes.iter().filter(|change| change.key.resource != "secrets") {
        let text = change.object.to_string();
        if values.iter().any(|value| text.contains(value)) {
            found.insert(Finding::new("O5h", format!("{} holds the value of a Secret", change.key)));
        }
    }
    found.into_iter().collect()
}

/// The values of the tenant's Secrets, as they are and as they are written.
#[must_use]
pub fn secret_values(record: &Record) -> BTreeSet<String> {
    let secrets = record.forms().filter(|(key, _)| key.resource == "secrets" && record.concerns(key));
    let mut values = BTreeSet::new();
    for (_, secret) in secrets {
        let data = secret.get("data").and_then(Value::as_object);
        for encoded in data.into_iter().flatten().filter_map(|(_, value)| value.as_str()) {
            let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            values.extend(decoded.into_iter().chain([encoded.to_owned()]));
        }
    }
    values.retain(|value| value.len() >= SECRET_LENGTH);
    values
}

// === impl Standing ===

impl Standing {
    /// Nothing when there is no namespace, or it is on its way out with everything in it.
    fn of(record: &Record, state: &State) -> Option<Self> {
        let name = record.namespace();
        let namespace = state.get(&Key::new("namespaces", "", &name))?;
        if is_ending(namespace) || subscription(record, state).is_none_or(|found| is_ending(found)) {
            return None;
        }
        let inside = |resource: &str| {
            let first = Key::new(resource, &name, "");
            let is_inside = move |(key, _): &(&Key, &Arc<Value>)| {
                key.resource == first.resource && key.namespace == first.namespace
            };
            state.range(Key::new(resource, &name, "")..).take_while(is_inside).map(|(_, object)| object)
        };
        let is_person = |subject: &Value| subject["kind"] == "Group" || subject["kind"] == "User";
        let binds_people =
            |binding: &Arc<Value>| binding["subjects"].as_array().into_iter().flatten().any(is_person);
        Some(Self {
            limits: inside("limitranges").next().is_some(),
            quota: inside("resourcequotas").next().is_some(),
            default_deny: inside("networkpolicies.networking.k8s.io").any(|policy| denies_everything(policy)),
            pod_security: namespace.pointer(POD_SECURITY).is_some(),
            people: inside("rolebindings.rbac.authorization.k8s.io").any(binds_people),
            routes: inside("httproutes.gateway.networking.k8s.io").next().is_some(),
            workloads: ["deployments.apps", "statefulsets.apps", "jobs.batch", "pods"]
                .iter()
                .any(|resource| inside(resource).next().is_some()),
        })
    }
}

fn denies_everything(policy: &Value) -> bool {
    let spec = &policy["spec"];
    let is_empty = |value: &Value| value.as_object().is_none_or(serde_json::Map::is_empty);
    is_empty(&spec["podSelector"])
        && spec.get("ingress").is_none()
        && spec.get("egress").is_none()
        && spec["policyTypes"].as_array().is_some_and(|types| types.len() == 2)
}

fn subscription_key(record: &Record) -> Key {
    Key::new(SUBSCRIPTIONS, "", &record.tenant)
}

fn subscription<'a>(record: &Record, state: &'a State) -> Option<&'a Arc<Value>> {
    state.get(&subscription_key(record))
}

/// Whether an object carries the id of this tenant.
fn is_ours(record: &Record, object: &Value) -> bool {
    let id = object.pointer(TENANT_LABEL).and_then(Value::as_str);
    id.is_some_and(|id| record.tenant_ids().iter().any(|known| known == id))
}

fn entries(subscription: &Value) -> &[Value] {
    subscription
        .pointer("/status/inventory/objects")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn is_retained(subscription: &Value) -> bool {
    is_ending(subscription)
        && subscription.pointer("/spec/deletionPolicy").is_none_or(|policy| policy == "Retain")
}

fn is_door(entry: &Value) -> bool {
    let kind = entry["kind"].as_str().unwrap_or_default();
    kind.ends_with("/RoleBinding") || kind.ends_with("/HTTPRoute")
}

fn has_finalizer(subscription: &Value) -> bool {
    let finalizers = subscription.pointer("/metadata/finalizers").and_then(Value::as_array);
    finalizers.into_iter().flatten().filter_map(Value::as_str).any(|one| one.starts_with("tenantry.io/"))
}

/// One finding of each sort is enough: those that follow say the same of later revisions.
fn first_of_each(found: BTreeSet<Finding>) -> Vec<Finding> {
    let mut firsts: Vec<Finding> = Vec::new();
    let sort = |finding: &Finding| finding.what.split(", first").next().map(str::to_owned);
    for finding in found {
        if !firsts.iter().any(|first| sort(first) == sort(&finding)) {
            firsts.push(finding);
        }
    }
    firsts
}

#[cfg(test)]
mod tests;
