//! Requests by verb out of the audit log. Pure.

use std::collections::BTreeMap;
use tenantry_control_plane::AuditEvent;

/// Under this word requests for leases are counted: a controller renews its lease for as long as it lives, whatever it
/// has to do.
pub const LEASE: &str = "lease";

/// Requests by verb, those of `user` only.
#[must_use]
pub fn by_verb(events: &[AuditEvent], user: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for event in events.iter().filter(|event| event.user == user) {
        let word = if event.resource == "leases" { LEASE } else { &event.verb };
        *counts.entry(word.to_owned()).or_default() += 1;
    }
    counts
}

/// Writes that succeeded of `user` to one of these resources (plurals), or to any when none is named; leases, events and
/// token requests apart.
#[must_use]
pub fn object_writes(events: &[AuditEvent], user: &str, resources: &[&str]) -> u64 {
    let aside = ["leases", "events", "tokenreviews"];
    let counts = |event: &&AuditEvent| {
        event.user == user
            && event.is_successful_write()
            && event.subresource.is_empty()
            && !aside.contains(&event.resource.as_str())
            && (resources.is_empty() || resources.contains(&event.resource.as_str()))
    };
    events.iter().filter(counts).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(user: &str, verb: &str, resource: &str, subresource: &str, code: u16) -> AuditEvent {
        AuditEvent {
            user: user.to_owned(),
            verb: verb.to_owned(),
            group: String::new(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: String::new(),
            name: String::new(),
            code,
            at: jiff::Timestamp::UNIX_EPOCH,
            uri: String::new(),
        }
    }

    fn events() -> Vec<AuditEvent> {
        vec![
            event("us", "create", "configmaps", "", 201),
            event("us", "create", "secrets", "", 409),
            event("us", "patch", "tenants", "status", 200),
            event("us", "update", "leases", "", 200),
            event("us", "create", "events", "", 201),
            event("us", "get", "configmaps", "", 200),
            event("others", "create", "configmaps", "", 201),
        ]
    }

    #[test]
    fn requests_are_counted_by_verb_and_leases_apart() {
        let expected = [("create", 3), ("get", 1), ("lease", 1), ("patch", 1)];
        assert_eq!(by_verb(&events(), "us"), expected.map(|(verb, count)| (verb.to_owned(), count)).into());
    }

    #[test]
    fn writes_are_those_that_changed_an_object() {
        assert_eq!(object_writes(&events(), "us", &[]), 1);
        assert_eq!(object_writes(&events(), "us", &["secrets"]), 0);
        assert_eq!(object_writes(&events(), "others", &["configmaps"]), 1);
    }
}
