//! What a suspension and the workloads of its tenant are like on a stage; pure.

use serde_json::{Value, json};

use crate::history::{Key, State, within};

/// Where suspensions are.
pub(crate) const SUSPENSIONS: &str = "tenantsuspensions.tenantry.io";
/// Where the workloads of the harness's definitions are.
pub(crate) const WORKLOADS: &str = "deployments.apps";
/// The workload whose number of pods is in no template.
pub(crate) const AUTOSCALED: &str = "web";
/// How many it is given before a run: neither none nor the one that Kubernetes gives by itself.
pub(crate) const SCALED: i64 = 3;

/// Name of the suspension of a tenant.
pub(crate) fn name(tenant: &str) -> String {
    format!("{tenant}-invoice")
}

/// A suspension of the subscription with this uid, by who has this name.
pub(crate) fn of(tenant: &str, uid: &str, by: &str) -> Value {
    json!({
        "apiVersion": "tenantry.io/v1alpha1",
        "kind": "TenantSuspension",
        "metadata": {"name": name(tenant)},
        "spec": {
            "subscriptionRef": {"name": tenant, "uid": uid},
            "reason": "Billing",
            "liftAuthority": "Operator",
            "scope": "All",
            "message": "Invoice 7 is not paid; pay it",
            "requestedBy": by,
        },
    })
}

/// Whether the number of pods that somebody else decides is what it is before a run.
pub(crate) fn is_scaled(state: &State, tenant: &str) -> bool {
    let web = state.get(&Key::new(WORKLOADS, &format!("tenant-{tenant}"), AUTOSCALED));
    web.is_some_and(|web| replicas(web) == Some(SCALED)) && are_followed(state, tenant)
}

/// Whether Kubernetes has done for every workload of a tenant what is asked for: what it does later would be taken for
/// something that the controller does.
pub(crate) fn are_followed(state: &State, tenant: &str) -> bool {
    within(state, WORKLOADS, &format!("tenant-{tenant}")).all(|(_, workload)| {
        let number = |pointer: &str| workload.pointer(pointer).and_then(Value::as_i64);
        number("/status/observedGeneration") == number("/metadata/generation")
            && number("/status/replicas").or(Some(0)) == replicas(workload)
    })
}

/// How many pods a workload is set to have.
pub(crate) fn replicas(workload: &Value) -> Option<i64> {
    workload.pointer("/spec/replicas").and_then(Value::as_i64)
}

/// Whether a status says anything of suspensions.
pub(crate) fn is_told(subscription: &Value) -> bool {
    let conditions = subscription.pointer("/status/conditions").and_then(Value::as_array);
    subscription.pointer("/status/suspension").is_some_and(|suspension| !suspension.is_null())
        || conditions.into_iter().flatten().any(|one| one["type"] == "Suspended")
}
