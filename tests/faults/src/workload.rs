//! What a customer does, and when it is done; pure.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::{Value, json};
use thiserror::Error;

use crate::hall;
use crate::history::{Key, SUBSCRIPTIONS, State, within};
use crate::plan::Workload;
use crate::players::acts::is_at_rest;
use crate::suspension;

/// Version that tenants are ordered with, and the one they move to.
pub const VERSIONS: [&str; 2] = ["1.0.0", "1.1.0"];
/// Plan that tenants are ordered on, and the larger one.
pub const PLANS: [&str; 2] = ["probe", "probe-large"];
/// Rows of what a customer of a hand-over brings.
pub(crate) const ROWS: u32 = 3;
/// Rows that such a customer declares first.
pub(crate) const DECLARED_FIRST: u32 = 4;

/// A text that names no workload.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{text:?} is no workload: use one of {}", Workload::ALL.map(|workload| workload.to_string()).join(", "))]
pub struct WorkloadError {
    text: String,
}

// === impl Workload ===

impl Workload {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Provision,
        Self::OffboardDelete,
        Self::OffboardRetain,
        Self::OffboardExport,
        Self::OffboardArchive,
        Self::Upgrade,
        Self::PlanUp,
        Self::PlanDown,
        Self::HandOver,
        Self::Suspend,
        Self::Resume,
        Self::ServersOrder,
        Self::ServersMove,
        Self::ServersBack,
        Self::ServersLeave,
    ];

    /// Whether the gate performs it. Suspensions, other plans, servers and the ends of several steps are for the full matrix.
    #[must_use]
    pub fn is_of_the_gate(self) -> bool {
        !self.is_of_suspensions() && !self.has_steps() && self.next_plan().is_none() && !self.is_of_servers()
    }

    /// Whether a kind is watched only once the workload is under way, and there is nothing of it when the watch begins.
    #[must_use]
    pub fn is_watched_late(self, resource: &str) -> bool {
        self == Self::OffboardExport && resource == "jobs.batch"
    }

    /// Whether it is about who has which servers.
    #[must_use]
    pub fn is_of_servers(self) -> bool {
        matches!(self, Self::ServersOrder | Self::ServersMove | Self::ServersBack | Self::ServersLeave)
    }

    /// Whether it begins with a tenant that has a server of its own.
    #[must_use]
    pub fn begins_with_a_server(self) -> bool {
        matches!(self, Self::ServersBack | Self::ServersLeave)
    }

    /// The plan that it moves a tenant to.
    #[must_use]
    pub fn next_plan(self) -> Option<&'static str> {
        let [small, large] = PLANS;
        let [own, shared] = hall::PLANS;
        match self {
            Self::PlanUp => Some(large),
            Self::PlanDown => Some(small),
            Self::ServersMove => Some(own),
            Self::ServersBack => Some(shared),
            _ => None,
        }
    }

    /// Whether it ends a tenant in several steps, during which its data is kept.
    #[must_use]
    pub fn has_steps(self) -> bool {
        matches!(self, Self::OffboardExport | Self::OffboardArchive)
    }

    /// Whether it is about a suspension.
    #[must_use]
    pub fn is_of_suspensions(self) -> bool {
        matches!(self, Self::Suspend | Self::Resume)
    }

    /// Whether it begins with a tenant that is live already.
    #[must_use]
    pub fn needs_tenant(self) -> bool {
        !matches!(self, Self::Provision | Self::ServersOrder)
    }

    /// Whether it ends a tenant.
    #[must_use]
    pub fn ends(self) -> bool {
        matches!(self, Self::OffboardDelete | Self::OffboardRetain | Self::ServersLeave) || self.has_steps()
    }

    /// What is ordered for it.
    #[must_use]
    pub fn order(self, tenant: &str) -> Value {
        let policy = match self {
            Self::OffboardRetain => "Retain",
            Self::OffboardExport => "ExportThenDelete",
            Self::OffboardArchive => "Archive",
            _ => "Delete",
        };
        let [version, _] = VERSIONS;
        let [small, large] = PLANS;
        let [own, shared] = hall::PLANS;
        let plan = match self {
            Self::PlanDown => large,
            Self::ServersMove => shared,
            Self::ServersOrder | Self::ServersBack | Self::ServersLeave => own,
            _ => small,
        };
        let application = match self {
            Self::HandOver => "handover",
            Self::Suspend | Self::Resume => "autoscaled",
            _ if self.is_of_servers() => "housed",
            _ => "probe",
        };
        let mut order = json!({
            "apiVersion": "tenantry.io/v1alpha1",
            "kind": "TenantSubscription",
            "metadata": {"name": tenant},
            "spec": {
                "organization": {"name": "Ünïcode & Søn", "country": "DE"},
                "contacts": [{"role": "Technical", "name": "Zoë", "email": "zoe@example.test"}],
                "planRef": {"name": plan},
                "applicationRef": {"name": application, "version": version},
                "users": [{"name": "ada", "email": "ada@example.test", "roles": ["administrator"]}],
                "network": {"hosts": [format!("{tenant}.probe.example")]},
                "deletionPolicy": policy,
                "deletionProtection": false,
            },
        });
        let own = match self {
            Self::HandOver => json!({
                "dataConversion": {
                    "source": {"system": "Ledger 2", "format": "csv"},
                    "trial": {"rows": DECLARED_FIRST},
                },
                "holds": [{"item": "data-trial", "reason": "the hand-over begins later"}],
            }),
            Self::Suspend | Self::Resume => json!({}),
            _ if self.is_of_servers() => json!({}),
            _ => {
                json!({"parameters": {"volume": self != Self::OffboardDelete}})
            }
        };
        if let (Some(Value::Object(spec)), Value::Object(own)) = (order.get_mut("spec"), own) {
            spec.extend(own);
        }
        order
    }

    /// Whether a tenant that was ordered for it is as it has to be when it begins.
    #[must_use]
    pub fn is_prepared(self, state: &State, tenant: &str) -> bool {
        match self {
            Self::HandOver => {
                let source = Key::new("secrets", &format!("tenant-{tenant}"), "conversion-source");
                let subscription = state.get(&Key::new(SUBSCRIPTIONS, "", tenant));
                subscription.is_some_and(|found| is_true(found, "Ready")) && state.contains_key(&source)
            }
            Self::Suspend => Self::Provision.is_done(state, tenant) && suspension::is_scaled(state, tenant),
            Self::Resume => Self::Suspend.is_done(state, tenant),
            Self::ServersMove => is_in(state, tenant, hall::PLANS[1]),
            Self::ServersBack | Self::ServersLeave => Self::ServersOrder.is_done(state, tenant),
            _ => Self::Provision.is_done(state, tenant),
        }
    }

    /// Whether it is done.
    #[must_use]
    pub fn is_done(self, state: &State, tenant: &str) -> bool {
        let subscription = state.get(&Key::new(SUBSCRIPTIONS, "", tenant));
        // What the journal has by then is dropped by one more write, however long the journal takes.
        let is_carrying = |found: &&Arc<Value>| found.pointer("/status/unrecorded").is_some();
        let at_rest = subscription.filter(|found| !is_carrying(found));
        let [first, second] = VERSIONS;
        match self {
            Self::Provision => at_rest.is_some_and(|found| is_live(found, first)),
            Self::Upgrade => at_rest.is_some_and(|found| is_live(found, second)),
            Self::PlanUp | Self::PlanDown => {
                at_rest.is_some_and(|found| is_live(found, first) && self.next_plan() == settled_plan(found))
            }
            Self::HandOver => {
                at_rest.is_some_and(|found| is_live(found, first) && keeps_nothing(found))
                    && within(state, "pods", &format!("tenant-{tenant}"))
                        .all(|(_, pod)| is_at_rest(state, pod))
            }
            Self::Suspend => {
                // Nobody gets in as soon as the route leads to the page; that the route was accepted is told a moment later.
                let is_over = |found: &Value| is_true(found, "Suspended") && !is_true(found, "Reconciling");
                at_rest.is_some_and(|found| is_over(found)) && suspension::are_followed(state, tenant)
            }
            Self::Resume => {
                let is_over = |found: &Value| found.pointer("/status/operation/completedAt").is_some();
                let is_back =
                    |found: &Value| is_live(found, first) && !suspension::is_told(found) && is_over(found);
                at_rest.is_some_and(|found| is_back(found)) && suspension::are_followed(state, tenant)
            }
            Self::ServersOrder => is_in(state, tenant, hall::PLANS[0]),
            Self::ServersMove | Self::ServersBack => self.next_plan().is_some_and(|plan| {
                at_rest.and_then(|found| settled_plan(found)) == Some(plan) && is_in(state, tenant, plan)
            }),
            Self::ServersLeave => {
                Self::OffboardDelete.is_done(state, tenant)
                    && hall::is_settled(state)
                    && hall::shares(state, tenant).is_empty()
            }
            Self::OffboardRetain => subscription.is_none(),
            Self::OffboardDelete | Self::OffboardExport | Self::OffboardArchive => {
                let namespace = Key::new("namespaces", "", &format!("tenant-{tenant}"));
                subscription.is_none() && !state.contains_key(&namespace)
            }
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Provision => "provision",
            Self::OffboardDelete => "offboard-delete",
            Self::OffboardRetain => "offboard-retain",
            Self::OffboardExport => "offboard-export",
            Self::OffboardArchive => "offboard-archive",
            Self::Upgrade => "upgrade",
            Self::PlanUp => "plan-up",
            Self::PlanDown => "plan-down",
            Self::HandOver => "hand-over",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::ServersOrder => "servers-order",
            Self::ServersMove => "servers-move",
            Self::ServersBack => "servers-back",
            Self::ServersLeave => "servers-leave",
        })
    }
}

impl FromStr for Workload {
    type Err = WorkloadError;

    fn from_str(text: &str) -> Result<Self, WorkloadError> {
        let found = Self::ALL.into_iter().find(|workload| workload.to_string() == text);
        found.ok_or_else(|| WorkloadError { text: text.to_owned() })
    }
}

/// Whether a tenant is live, has its share in the pool of this plan and nowhere else, and runs there.
fn is_in(state: &State, tenant: &str, plan: &str) -> bool {
    let [version, _] = VERSIONS;
    let subscription = state.get(&Key::new(SUBSCRIPTIONS, "", tenant));
    subscription.is_some_and(|found| is_live(found, version))
        && hall::shares(state, tenant) == [plan]
        && hall::is_settled(state)
        && hall::is_housed(state, tenant)
}

/// The plan that a subscription runs, once nothing of another one may stand any more and that is over.
fn settled_plan(subscription: &Value) -> Option<&str> {
    let status = subscription.get("status")?;
    let plan = status.get("plan").filter(|plan| plan.get("leaving").is_none())?;
    status.pointer("/operation/completedAt")?;
    plan.get("current")?.as_str()
}

/// Whether no run keeps its pods any more.
fn keeps_nothing(subscription: &Value) -> bool {
    let checklist = subscription.pointer("/status/checklist").and_then(Value::as_array);
    let mut runs = checklist.into_iter().flatten().filter_map(|entry| entry.get("job"));
    runs.all(|run| run["letGo"] == true)
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

    #[test]
    fn workloads_read_and_print() {
        for workload in Workload::ALL {
            assert_eq!(workload.to_string().parse(), Ok(workload));
            assert_eq!(serde_json::to_string(&workload).unwrap(), format!("\"{workload}\""));
        }
        assert!(
            "nonsense".parse::<Workload>().unwrap_err().to_string().ends_with("servers-back, servers-leave")
        );
    }

    #[test]
    fn a_hand_over_is_done_when_nothing_is_kept_and_nothing_is_on_its_way_out() {
        let key = Key::new(SUBSCRIPTIONS, "", "acme");
        let with = |let_go: bool| {
            let mut state = state("1.0.0", 2);
            let mut subscription = state.get(&key).map(|found| (**found).clone()).unwrap();
            subscription["status"]["checklist"] =
                json!([{"name": "network"}, {"name": "a", "job": {"letGo": let_go}}]);
            state.insert(key.clone(), Arc::new(subscription));
            state
        };
        let mut rests = with(true);
        assert!(Workload::HandOver.is_done(&rests, "acme"));
        assert!(!Workload::HandOver.is_done(&with(false), "acme"));
        let run = "a-1-0123456789";
        let pod = json!({"metadata": {"namespace": "tenant-acme", "labels": {"tenantry.io/run": run}}});
        rests.insert(Key::new("pods", "tenant-acme", "a-1-0123456789-abcde"), Arc::new(pod));
        assert!(!Workload::HandOver.is_done(&rests, "acme"), "its Job is gone, and it will go");
        rests.insert(Key::new("jobs.batch", "tenant-acme", run), Arc::new(json!({})));
        assert!(Workload::HandOver.is_done(&rests, "acme"));
    }

    #[test]
    fn a_suspension_is_done_when_it_is_said_and_kubernetes_has_followed() {
        let key = Key::new(SUBSCRIPTIONS, "", "acme");
        let with = |conditions: &[&str], suspension: Value, [wanted, has]: [u64; 2]| {
            let mut state = state("1.0.0", 2);
            let mut subscription = state.get(&key).map(|found| (**found).clone()).unwrap();
            let condition = |name: &&str| json!({"type": name, "status": "True", "observedGeneration": 2});
            subscription["status"]["conditions"] = conditions.iter().map(condition).collect();
            subscription["status"]["suspension"] = suspension;
            subscription["status"]["operation"] = json!({"completedAt": "2026-01-01T00:00:00Z"});
            state.insert(key.clone(), Arc::new(subscription));
            let web = json!({"metadata": {"generation": 3}, "spec": {"replicas": wanted},
                "status": {"observedGeneration": 3, "replicas": has}});
            state.insert(Key::new("deployments.apps", "tenant-acme", "web"), Arc::new(web));
            state
        };
        let holds = json!({"holds": [{"name": "acme-invoice"}]});
        let suspended = with(&["Suspended"], holds.clone(), [0, 0]);
        assert!(
            Workload::Suspend.is_done(&suspended, "acme") && Workload::Resume.is_prepared(&suspended, "acme")
        );
        assert!(!Workload::Suspend.is_done(&with(&["Suspended"], holds.clone(), [0, 3]), "acme"));
        let going_on = with(&["Suspended", "Reconciling"], holds.clone(), [0, 0]);
        assert!(!Workload::Suspend.is_done(&going_on, "acme"), "its route is not accepted yet");
        let live = with(&["Ready", "Live"], Value::Null, [3, 3]);
        assert!(Workload::Resume.is_done(&live, "acme") && Workload::Suspend.is_prepared(&live, "acme"));
        let others = [
            suspended,
            with(&["Ready", "Live"], holds, [3, 3]),
            with(&["Ready", "Live", "Suspended"], Value::Null, [3, 3]),
            with(&["Ready", "Live"], Value::Null, [3, 1]),
        ];
        assert!(others.iter().all(|state| !Workload::Resume.is_done(state, "acme")));
        assert!(!Workload::Suspend.is_prepared(&with(&["Ready", "Live"], Value::Null, [1, 1]), "acme"));
    }

    #[test]
    fn a_hand_over_begins_with_a_tenant_that_is_ready_and_has_its_data() {
        let mut begun = state("1.0.0", 2);
        assert!(
            Workload::Upgrade.is_prepared(&begun, "acme") && !Workload::HandOver.is_prepared(&begun, "acme")
        );
        begun.insert(Key::new("secrets", "tenant-acme", "conversion-source"), Arc::new(json!({})));
        assert!(Workload::HandOver.is_prepared(&begun, "acme"));
    }
}
