//! The health script for Argo CD tells the truth.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use serde_json::{Value, json};
use tenantry_gitops::argocd;

const SCRIPT: &str = include_str!("../../../operator/manifests/argocd-health.lua");

/// Status and message for an object.
fn health(object: &Value) -> (String, String) {
    let health = argocd::health(SCRIPT, object).unwrap();
    (health.status, health.message)
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": 2})
}

fn subscription(observed: i64, conditions: &[Value]) -> Value {
    json!({
        "metadata": {"name": "acme", "generation": 2},
        "status": {"observedGeneration": observed, "conditions": conditions},
    })
}

/// What is observed, the generation it was observed for, the conditions, and the health they give with its message.
type Case = (&'static str, i64, Vec<Value>, &'static str, &'static str);

fn cases() -> Vec<Case> {
    let accepted = condition("Accepted", "True", "OrderValid", "fine");
    let refused = condition("Accepted", "False", "UnknownPlan", "spec.planRef.name: there is no plan bronze");
    let ready = condition("Ready", "True", "ProvisionedAndHealthy", "12 of 12");
    let unready = condition("Ready", "False", "Provisioning", "3 of 12");
    let people = condition("Ready", "False", "WaitingForPeople", "Customer: network");
    let stalled = condition("Stalled", "True", "ItemFailed", "run kubectl tenantry retry acme");
    let not_stalled = condition("Stalled", "False", "Progressing", "");
    let reconciling = condition("Reconciling", "True", "Running", "network");
    let settled = condition("Reconciling", "False", "Settled", "");
    let bare = json!({"type": "Ready", "status": "False", "reason": "Unhealthy"});
    vec![
        (
            "refused",
            2,
            vec![refused.clone(), unready.clone()],
            "Degraded",
            "spec.planRef.name: there is no plan bronze",
        ),
        (
            "refused while it runs",
            2,
            vec![refused, ready.clone()],
            "Degraded",
            "spec.planRef.name: there is no plan bronze",
        ),
        (
            "stalled",
            2,
            vec![accepted.clone(), stalled, unready.clone()],
            "Degraded",
            "run kubectl tenantry retry acme",
        ),
        (
            "at work",
            2,
            vec![accepted.clone(), not_stalled.clone(), reconciling.clone(), unready.clone()],
            "Progressing",
            "network",
        ),
        (
            "broken, not yet at work",
            2,
            vec![accepted.clone(), settled.clone(), unready],
            "Progressing",
            "3 of 12",
        ),
        ("no message", 2, vec![bare], "Progressing", "Unhealthy"),
        ("people", 2, vec![accepted.clone(), reconciling, people], "Suspended", "Customer: network"),
        ("ready", 2, vec![accepted.clone(), not_stalled, settled, ready.clone()], "Healthy", "12 of 12"),
        (
            "ready for an older spec",
            1,
            vec![accepted.clone(), ready],
            "Progressing",
            "Waiting for Tenantry to look at the latest change",
        ),
        ("no word about readiness", 2, vec![accepted], "Progressing", "Waiting for Tenantry to report"),
        ("no conditions", 2, vec![], "Progressing", "Waiting for Tenantry to report"),
    ]
}

#[test]
fn health_follows_the_conditions() {
    for (what, observed, conditions, status, message) in cases() {
        let got = health(&subscription(observed, &conditions));
        assert_eq!(got, (status.to_owned(), message.to_owned()), "{what}");
    }
}

#[test]
fn a_condition_for_an_older_spec_says_nothing() {
    let mut old = condition("Ready", "True", "ProvisionedAndHealthy", "12 of 12");
    old["observedGeneration"] = json!(1);
    let new = condition("Accepted", "True", "OrderValid", "fine");
    assert_eq!(health(&subscription(2, &[new, old])).0, "Progressing");
}

#[test]
fn objects_that_nobody_looked_at_yet_and_those_that_end_are_in_progress() {
    let ready = condition("Ready", "True", "ProvisionedAndHealthy", "12 of 12");
    let mut ending = subscription(2, &[ready]);
    ending["metadata"]["deletionTimestamp"] = json!("2026-12-01T06:00:00Z");
    for object in
        [ending, json!({"metadata": {"generation": 1}}), json!({"metadata": {"generation": 1}, "status": {}})]
    {
        assert_eq!(health(&object).0, "Progressing", "{object}");
    }
}
