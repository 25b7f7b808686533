//! What a customer does, and when it is done; pure.

use serde_json::{Value, json};

use crate::history::{Key, SUBSCRIPTIONS, State};
use crate::plan::Workload;

/// Version that tenants are ordered with, and the one they move to.
pub const VERSIONS: [&str; 2] = ["1.0.0", "1.1.0"];

// === impl Workload ===

impl Workload {
    /// Whether it begins with a tenant that is live already.
    #[must_use]
    pub fn needs_tenant(self) -> bool {
        self != Self::Provision
    }

    /// Whether it ends a tenant.
    #[must_use]
    pub fn ends(self) -> bool {
        matches!(self, Self::OffboardDelete | Self::OffboardRetain)
    }

    /// What is ordered for it.
    #[must_use]
    pub fn order(self, tenant: &str) -> Value {
        let policy = if self == Self::OffboardRetain { "Retain" } else { "Delete" };
        let [version, _] = VERSIONS;
        json!({
            "apiVersion": "tenantry.io/v1alpha1",
            "kind": "TenantSubscription",
            "metadata": {"name": tenant},
            "spec": {
                "organization": {"name": "Ünïcode & Søn", "country": "DE"},
                "contacts": [{"role": "Technical", "name": "Zoë", "email": "zoe@example.test"}],
                "planRef": {"name": "probe"},
                "applicationRef": {"name": "probe", "version": version},
                "parameters": {"volume": self != Self::OffboardDelete},
                "users": [{"name": "ada", "email": "ada@example.test", "roles": ["administrator"]}],
                "network": {"hosts": [format!("{tenant}.probe.example")]},
                "deletionPolicy": policy,
                "deletionProtection": false,
            },
        })
    }

    /// Whether it is done.
    #[must_use]
    pub fn is_done(self, state: &State, tenant: &str) -> bool {
        let subscription = state.get(&Key::new(SUBSCRIPTIONS, "", tenant));
        let [first, second] = VERSIONS;
        match self {
            Self::Provision => subscription.is_some_and(|found| is_live(found, first)),
            Self::Upgrade => subscription.is_some_and(|found| is_live(found, second)),
            Self::OffboardRetain => subscription.is_none(),
            Self::OffboardDelete => {
                let namespace = Key::new("namespaces", "", &format!("tenant-{tenant}"));
                subscription.is_none() && !state.contains_key(&namespace)
            }
        }
    }
}

/// Whether a subscription is live, at this version and by its present spec.
#[must_use]
pub fn is_live(subscription: &Value, version: &str) -> bool {
    let runs = subscription.pointer("/status/accepted/version").and_then(Value::as_str);
    runs.is_some_and(|runs| runs.contains(version))
        && is_true(subscription, "Ready")
        && is_true(subscription, "Live")
}

/// Whether a condition is true for the present spec.
#[must_use]
pub fn is_true(subscription: &Value, condition: &str) -> bool {
    let generation = subscription.pointer("/metadata/generation");
    let conditions = subscription.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|one| {
        one["type"] == condition && one["status"] == "True" && Some(&one["observedGeneration"]) == generation
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn state(version: &str, observed: u64) -> State {
        let condition = |type_| json!({"type": type_, "status": "True", "observedGeneration": observed});
        let subscription = json!({
            "metadata": {"name": "acme", "generation": 2},
            "status": {"accepted": {"version": format!("probe-{version}-abc")}, "conditions": [condition("Ready"), condition("Live")]},
        });
        State::from([(Key::new(SUBSCRIPTIONS, "", "acme"), Arc::new(subscription))])
    }

    #[test]
    fn done_is_about_the_present_spec_and_version() {
        assert!(Workload::Provision.is_done(&state("1.0.0", 2), "acme"));
        assert!(!Workload::Provision.is_done(&state("1.0.0", 1), "acme"));
        assert!(!Workload::Upgrade.is_done(&state("1.0.0", 2), "acme"));
        assert!(Workload::Upgrade.is_done(&state("1.1.0", 2), "acme"));
        assert!(!Workload::OffboardRetain.is_done(&state("1.0.0", 2), "acme"));
        let mut gone = State::new();
        assert!(Workload::OffboardDelete.is_done(&gone, "acme"));
        gone.insert(Key::new("namespaces", "", "tenant-acme"), Arc::new(json!({})));
        assert!(!Workload::OffboardDelete.is_done(&gone, "acme"));
        assert!(Workload::OffboardRetain.is_done(&gone, "acme"));
    }
}
