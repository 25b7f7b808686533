//! Oracles that look at what the controller asked for.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Finding;
use crate::history::{Record, SUBSCRIPTIONS, TENANT_LABEL, uid};
use crate::site::Verb;

/// Every write to an object that exists names its UID, so that it can never strike another object of that name.
#[must_use]
pub fn uid_is_named(record: &Record) -> Vec<Finding> {
    let nameless = |exchange: &&crate::wire::Exchange| {
        let site = &exchange.place.site;
        (exchange.tenant.is_some() || site.is_of_servers())
            && exchange.uid.is_none()
            && site.is_essential()
            && site.verb.is_write()
            && site.verb != Verb::Create
    };
    let found: BTreeSet<Finding> = record
        .exchanges
        .iter()
        .filter(nameless)
        .map(|exchange| Finding::new("uid", format!("{} names no UID", exchange.place.site)))
        .collect();
    found.into_iter().collect()
}

/// O5d: what the controller deletes is of the tenant whose subscription asks for it.
#[must_use]
pub fn deletions_are_of_the_tenant(record: &Record) -> Vec<Finding> {
    let ids = record.tenant_ids();
    let mut findings = Vec::new();
    for exchange in record.exchanges.iter().filter(|e| e.place.site.verb == Verb::Delete && e.is_effect()) {
        let Some(meant) = &exchange.uid else { continue };
        let Some((_, object)) = record.forms().find(|(_, object)| uid(object) == meant) else { continue };
        let label = object.pointer(TENANT_LABEL).and_then(Value::as_str);
        if !label.is_some_and(|label| ids.iter().any(|id| id == label)) {
            findings.push(Finding::new("O5d", format!("{} deleted an object of {label:?}", exchange.place)));
        }
    }
    findings
}

/// O8: nothing is written about another tenant, and the one that no run is about keeps every resource version.
#[must_use]
pub fn others_are_left_alone(record: &Record) -> Vec<Finding> {
    let mut found = BTreeSet::new();
    for exchange in record.exchanges.iter().filter(|exchange| exchange.is_effect()) {
        if let Some(tenant) = exchange.tenant.as_ref().filter(|tenant| **tenant != record.tenant) {
            found.insert(Finding::new("O8", format!("{} took effect on {tenant}", exchange.place.site)));
        }
    }
    let bystander = Record { tenant: record.bystander.clone(), ..Record::default() };
    for change in record.changes.iter().filter(|change| bystander.concerns(&change.key)) {
        let told = told_of(&change.object);
        found.insert(Finding::new("O8", format!("{} of the bystander changed{told}", change.key)));
    }
    found.into_iter().collect()
}

/// What an object says of itself by its conditions: why it was written may be read there.
fn told_of(object: &Value) -> String {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let mut text = String::new();
    for condition in conditions.into_iter().flatten() {
        let [kind, status, reason, message] = ["type", "status", "reason", "message"]
            .map(|field| condition[field].as_str().unwrap_or_default());
        text.push_str(&format!("; {kind} {status}, {reason}: {message}"));
    }
    text
}

/// Whether a place is where something is let go: an object is deleted, or a finalizer taken off.
#[must_use]
pub fn is_destructive(place: &crate::site::Place, ends: bool) -> bool {
    let site = &place.site;
    site.verb == Verb::Delete
        || (site.verb == Verb::Patch && site.resource == "pods")
        || (ends && site.verb == Verb::Patch && site.resource == SUBSCRIPTIONS && site.subresource.is_empty())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::oracle::testing::{Story, exchange};

    fn story() -> Story {
        Story::of("acme").created("configmaps", "settings", "u1")
    }

    #[test]
    fn a_write_without_a_uid_is_found() {
        let with = |place, uid| story().asked(exchange(place, uid, 200)).record();
        assert_eq!(uid_is_named(&with("delete configmaps tenant-{name}/settings #1", Some("u1"))), []);
        assert_eq!(uid_is_named(&with("create configmaps tenant-{name}/settings #1", None)), []);
        assert_eq!(uid_is_named(&with("create events.events.k8s.io default/* #1", None)), []);
        for place in [
            "delete configmaps tenant-{name}/settings #1",
            "apply configmaps tenant-{name}/settings #1",
            "patch tenantsubscriptions.tenantry.io/status {name} #1",
            "patch serverpools.tenantry.io/status hall-own #1",
            "patch nodes {node} #1",
        ] {
            assert_eq!(uid_is_named(&with(place, None)).len(), 1, "{place}");
        }
    }

    #[test]
    fn a_deletion_of_another_tenants_object_is_found() {
        let place = "delete configmaps tenant-{name}/settings #1";
        let good = story().asked(exchange(place, Some("u1"), 200)).record();
        assert_eq!(deletions_are_of_the_tenant(&good), []);
        let foreign = story().labelled("configmaps", "theirs", "u2", "t-other");
        let bad = foreign.clone().asked(exchange(place, Some("u2"), 200)).record();
        assert_eq!(deletions_are_of_the_tenant(&bad).len(), 1);
        let refused = foreign.asked(exchange(place, Some("u2"), 409)).record();
        assert_eq!(deletions_are_of_the_tenant(&refused), []);
    }

    #[test]
    fn an_effect_on_another_tenant_or_on_the_bystander_is_found() {
        let mut other = exchange("apply configmaps tenant-{name}/settings #1", Some("u1"), 200);
        assert_eq!(others_are_left_alone(&story().asked(other.clone()).record()), []);
        other.tenant = Some("bolt".to_owned());
        assert_eq!(others_are_left_alone(&story().asked(other.clone()).record()).len(), 1);
        other.code = Some(409);
        assert_eq!(others_are_left_alone(&story().asked(other).record()), []);
        let mut touched = story().record();
        let mut change = touched.changes.first().cloned().unwrap();
        touched.bystander = "quiet".to_owned();
        change.key.namespace = "tenant-quiet".to_owned();
        change.object = Arc::new(json!({"status": {"conditions": [
            {"type": "Ready", "status": "False", "reason": "Degraded", "message": "a kind is missing"}]}}));
        touched.changes.push(change);
        let found = others_are_left_alone(&touched);
        assert_eq!(found.len(), 1);
        assert!(found[0].what.ends_with("changed; Ready False, Degraded: a kind is missing"), "{}", found[0]);
    }

    #[test]
    fn destruction_is_a_deletion_or_the_end_of_the_finalizer() {
        let is = |place: &str, ends| is_destructive(&place.parse().unwrap(), ends);
        assert!(is("delete namespaces tenant-{name} #1", false));
        assert!(is("patch tenantsubscriptions.tenantry.io {name} #1", true));
        assert!(!is("patch tenantsubscriptions.tenantry.io {name} #1", false));
        assert!(!is("patch tenantsubscriptions.tenantry.io/status {name} #1", true));
    }
}
