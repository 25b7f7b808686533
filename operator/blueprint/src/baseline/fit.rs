//! Proof that what a tenant's objects ask for fits its quota, before the first of them is written; pure.
//!
//! The quota is applied late, so a tenant that cannot fit would come up half. Everything the API server would count
//! is counted here the way it counts: defaults of the LimitRange, all replicas, the pods a rolling update adds, the
//! most an autoscaler may ask for, volume claims of stateful sets. Pods that controllers of installed kinds create
//! later cannot be seen here.

mod pod;

use super::quota::{class_storage, class_volumes};
use super::{Limits, Quota};
use crate::decorate::pod_path;
use crate::kinds::GroupKind;
use crate::rollout::{UP, number_or_part};
use serde_json::Value;
use std::collections::BTreeMap;
use tenantry_crds::quantity::Quantity;

/// Why objects do not fit a plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Misfit {
    /// Together the objects ask for more than the quota allows.
    #[error(
        "the application needs {needed} of {resource}, and the plan allows {allowed}; order a larger plan or choose smaller parameters"
    )]
    Shortfall {
        /// Resource as the quota names it.
        resource: String,
        /// What the objects ask for.
        needed: Quantity,
        /// What the quota allows.
        allowed: Quantity,
    },
    /// A container's own numbers break the LimitRange, so its pods would be refused.
    #[error("{object}: container {container}: {resource}: {reason}")]
    Container {
        /// Kind and name of the object.
        object: String,
        /// Name of the container.
        container: String,
        /// `cpu`, `memory` or `ephemeral-storage`.
        resource: &'static str,
        /// What is wrong, with the remedy.
        reason: &'static str,
    },
    /// Nothing bounds the number of pods, so nothing can be proved.
    #[error("{object}: {reason}")]
    Unbounded {
        /// Kind and name of the object.
        object: String,
        /// Why, with the remedy.
        reason: &'static str,
    },
    /// A number of an object is not a quantity.
    #[error("{object}: a resource amount is not a quantity; write a number such as 500m, 2 or 16Gi")]
    NotAQuantity {
        /// Kind and name of the object.
        object: String,
    },
}

/// Whether objects fit a quota under the limits of each container.
///
/// # Errors
/// Everything that does not fit, in a stable order.
pub fn fits<'a>(
    objects: impl IntoIterator<Item = &'a Value>,
    quota: &Quota,
    limits: &Limits,
) -> Result<(), Vec<Misfit>> {
    let (needed, mut misfits) = needs(objects, limits, true);
    for (resource, needed) in needed {
        // A class of storage that the plan does not list cannot be used at all; what the quota does not count is free.
        let unlisted = resource.contains(".storageclass.storage.k8s.io/").then_some(Quantity::ZERO);
        match quota.get(&resource).or(unlisted) {
            Some(allowed) if needed > allowed => {
                misfits.push(Misfit::Shortfall { resource, needed, allowed })
            }
            _ => {}
        }
    }
    misfits.sort();
    misfits.dedup();
    if misfits.is_empty() { Ok(()) } else { Err(misfits) }
}

/// What objects ask for while no update is under way, by the names that a quota uses. What cannot be counted is left out.
#[must_use]
pub fn at_rest<'a>(
    objects: impl IntoIterator<Item = &'a Value>,
    limits: &Limits,
) -> BTreeMap<String, Quantity> {
    needs(objects, limits, false).0
}

/// What objects ask for at most.
#[must_use]
pub fn at_most<'a>(
    objects: impl IntoIterator<Item = &'a Value>,
    limits: &Limits,
) -> BTreeMap<String, Quantity> {
    needs(objects, limits, true).0
}

/// What the largest pod of objects requests, by the names that a quota uses. One node has to have that.
#[must_use]
pub fn largest<'a>(
    objects: impl IntoIterator<Item = &'a Value>,
    limits: &Limits,
) -> BTreeMap<&'static str, Quantity> {
    let mut most = BTreeMap::new();
    for body in objects {
        let subject = Subject::new(body);
        let spec = pod_path(&subject.kind).and_then(|path| body.pointer(&format!("{path}/spec")));
        let Some(spec) = spec else { continue };
        for (resource, amount) in pod::demand(spec, limits, "", &mut Vec::new()).into_iter().flatten() {
            let known: &mut Quantity = most.entry(resource).or_default();
            *known = (*known).max(amount);
        }
    }
    most
}

/// What objects ask for, and what cannot be counted or would be refused.
fn needs<'a>(
    objects: impl IntoIterator<Item = &'a Value>,
    limits: &Limits,
    surges: bool,
) -> (BTreeMap<String, Quantity>, Vec<Misfit>) {
    let objects: Vec<&Value> = objects.into_iter().collect();
    let scales = autoscalers(&objects);
    let mut sum = Sum { limits, surges, needed: BTreeMap::new(), misfits: Vec::new() };
    for object in objects {
        sum.object(object, &scales);
    }
    (sum.needed, sum.misfits)
}

/// The most replicas that an autoscaler may give a workload, by kind and name of the workload.
type Scales = BTreeMap<(String, String), i64>;

struct Sum<'a> {
    limits: &'a Limits,
    /// Whether pods that a rolling update adds count.
    surges: bool,
    needed: BTreeMap<String, Quantity>,
    misfits: Vec<Misfit>,
}

/// One object with its kind and a name for messages.
struct Subject<'a> {
    body: &'a Value,
    kind: GroupKind,
    name: String,
}

// === impl Subject ===

impl<'a> Subject<'a> {
    fn new(body: &'a Value) -> Self {
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let kind = GroupKind::new(text("/apiVersion"), text("/kind"));
        Self { body, kind, name: text("/metadata/name").to_owned() }
    }

    fn label(&self) -> String {
        format!("{}/{}", self.kind.kind, self.name)
    }

    fn number(&self, pointer: &str) -> Option<i64> {
        self.body.pointer(pointer).and_then(Value::as_i64)
    }

    fn text(&self, pointer: &str) -> Option<&'a str> {
        self.body.pointer(pointer).and_then(Value::as_str)
    }
}

// === impl Sum ===

impl Sum<'_> {
    fn add(&mut self, resource: impl Into<String>, amount: Quantity) {
        let sum = self.needed.entry(resource.into()).or_default();
        *sum = sum.plus(amount);
    }

    fn object(&mut self, body: &Value, scales: &Scales) {
        let subject = Subject::new(body);
        match (subject.kind.group.as_str(), subject.kind.kind.as_str()) {
            ("", "PersistentVolumeClaim") => self.claim(&subject, body, 1),
            ("", "Service") => self.service(&subject),
            _ if pod_path(&subject.kind).is_some() => self.workload(&subject, scales),
            _ => {}
        }
    }

    fn workload(&mut self, subject: &Subject<'_>, scales: &Scales) {
        let pods = match pods(subject, scales, self.surges) {
            Ok(pods) => pods,
            Err(reason) => {
                self.misfits.push(Misfit::Unbounded { object: subject.label(), reason });
                return;
            }
        };
        let spec = pod_path(&subject.kind).and_then(|path| subject.body.pointer(&format!("{path}/spec")));
        self.add("pods", Quantity::from_count(pods));
        match pod::demand(spec.unwrap_or(&Value::Null), self.limits, &subject.label(), &mut self.misfits) {
            Some(demand) => {
                for (resource, amount) in demand {
                    self.add(resource, amount.times(pods));
                }
            }
            None => self.misfits.push(Misfit::NotAQuantity { object: subject.label() }),
        }
        // Volumes that each pod makes for itself (Kubernetes, generic ephemeral volumes).
        let volumes = spec.and_then(|spec| spec.get("volumes")).and_then(Value::as_array);
        for volume in volumes.into_iter().flatten() {
            let claim = volume.pointer("/ephemeral/volumeClaimTemplate");
            claim.into_iter().for_each(|claim| self.claim(subject, claim, pods));
        }
        if subject.kind.is("apps", "StatefulSet") {
            let replicas = replicas(subject, scales);
            let claims = subject.body.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array);
            claims.into_iter().flatten().for_each(|claim| self.claim(subject, claim, replicas));
        }
    }

    fn claim(&mut self, subject: &Subject<'_>, claim: &Value, count: i64) {
        let size = claim.pointer("/spec/resources/requests/storage");
        let Some(size) = size.map_or(Some(Quantity::ZERO), quantity) else {
            self.misfits.push(Misfit::NotAQuantity { object: subject.label() });
            return;
        };
        let (size, count) = (size.times(count), Quantity::from_count(count));
        if let Some(class) = claim.pointer("/spec/storageClassName").and_then(Value::as_str) {
            self.add(class_storage(class), size);
            self.add(class_volumes(class), count);
        }
        self.add("requests.storage", size);
        self.add("persistentvolumeclaims", count);
    }

    fn service(&mut self, subject: &Subject<'_>) {
        let ports = subject.body.pointer("/spec/ports").and_then(Value::as_array).map_or(0, Vec::len);
        let ports = Quantity::from_count(i64::try_from(ports).unwrap_or(i64::MAX));
        match subject.text("/spec/type") {
            Some("LoadBalancer") => {
                self.add("services.loadbalancers", Quantity::from_count(1));
                let allocates = subject.body.pointer("/spec/allocateLoadBalancerNodePorts");
                if allocates.and_then(Value::as_bool) != Some(false) {
                    self.add("services.nodeports", ports);
                }
            }
            Some("NodePort") => self.add("services.nodeports", ports),
            _ => {}
        }
    }
}

fn autoscalers(objects: &[&Value]) -> Scales {
    let scale = |object: &&Value| {
        let subject = Subject::new(object);
        let target = (subject.text("/spec/scaleTargetRef/kind")?, subject.text("/spec/scaleTargetRef/name")?);
        subject.kind.is("autoscaling", "HorizontalPodAutoscaler").then(|| {
            ((target.0.to_owned(), target.1.to_owned()), subject.number("/spec/maxReplicas").unwrap_or(1))
        })
    };
    objects.iter().filter_map(scale).collect()
}

fn replicas(subject: &Subject<'_>, scales: &Scales) -> i64 {
    let stated = subject.number("/spec/replicas").unwrap_or(1).max(0);
    let scaled = scales.get(&(subject.kind.kind.clone(), subject.name.clone()));
    stated.max(scaled.copied().unwrap_or_default())
}

/// The most pods that exist at the same time, or why there is no bound.
fn pods(subject: &Subject<'_>, scales: &Scales, surges: bool) -> Result<i64, &'static str> {
    match subject.kind.kind.as_str() {
        "Pod" => Ok(1),
        "Deployment" => {
            let replicas = replicas(subject, scales);
            Ok(if surges { replicas.saturating_add(surge(subject, replicas)) } else { replicas })
        }
        "Job" => Ok(subject.number("/spec/parallelism").unwrap_or(1).max(0)),
        "CronJob" => match subject.text("/spec/concurrencyPolicy") {
            Some("Forbid" | "Replace") => {
                Ok(subject.number("/spec/jobTemplate/spec/parallelism").unwrap_or(1).max(0))
            }
            _ => Err("its jobs may overlap without bound; set concurrencyPolicy to Forbid or Replace"),
        },
        "DaemonSet" => Err("it has one pod for each server, which no plan bounds; use a Deployment"),
        _ => Ok(replicas(subject, scales)),
    }
}

/// Pods that a rolling update adds: 25 percent rounded up unless stated (Kubernetes, Deployment, maxSurge).
fn surge(subject: &Subject<'_>, replicas: i64) -> i64 {
    if subject.text("/spec/strategy/type") == Some("Recreate") {
        return 0;
    }
    let surge = subject.body.pointer("/spec/strategy/rollingUpdate/maxSurge");
    number_or_part(surge, replicas, UP).unwrap_or(replicas)
}

/// Reads an amount, which YAML may have typed as a number.
fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.to_string().parse().ok(),
        _ => None,
    }
}
