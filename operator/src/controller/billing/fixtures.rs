//! Facts of the journal for tests.

use serde_json::Value;
use tenantry_journal::Entry;

/// A fact of the tenant `t1`.
pub(super) fn entry(key: &str, subject: &str, outcome: &str, at: i64, evidence: &Value) -> Entry {
    Entry {
        id: format!("t1/{key}"),
        tenant: "t1".to_owned(),
        subscription: "acme".to_owned(),
        uid: "u".to_owned(),
        operation: 1,
        subject: subject.to_owned(),
        item: String::new(),
        outcome: outcome.to_owned(),
        plan: "gold".to_owned(),
        application: "erp".to_owned(),
        version: "erp-1".to_owned(),
        blueprint: "standard".to_owned(),
        started_at: None,
        ended_at: at,
        machine_seconds: 0,
        people_seconds: 0,
        attempts: 0,
        actor: "tenantry".to_owned(),
        evidence: evidence.to_string(),
    }
}
