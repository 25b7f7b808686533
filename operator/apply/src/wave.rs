//! In which order released objects are written, by kind; no client or clock.
//!
//! A wave starts when every request of the one before has been answered. Stages are the outer order (what must stand
//! before an object may exist at all); waves order the objects within a stage. Ordinary objects have two: what pods need,
//! and everything else. A finer order would spare nobody anything, and each wave costs a tenant a round trip.

use crate::object::{Kind, Stage};

/// Position of an object in the order of writes; deletion goes the other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wave {
    /// Outer order.
    pub stage: Stage,
    /// Order within the stage.
    pub rank: u8,
}

/// Rank of workloads; what they need is below it.
const WORKLOADS: u8 = 4;
/// Rank of kinds that nobody here knows.
const UNKNOWN: u8 = 6;

/// Wave of a desired object.
#[must_use]
pub fn wave(kind: &Kind, stage: Stage) -> Wave {
    let rank = match stage {
        Stage::Foundation => foundation(kind),
        Stage::Ordinary if rank(kind) < WORKLOADS => 0,
        Stage::Ordinary => WORKLOADS,
        Stage::Quota => 7,
        Stage::Access => 8,
        Stage::Route => 9,
    };
    Wave { stage, rank }
}

/// Rank by kind alone, for entries of the inventory, which hold no stage: deletion goes from high to low.
#[must_use]
pub fn rank(kind: &Kind) -> u8 {
    match (kind.group(), kind.name()) {
        ("", "Namespace") | ("apiextensions.k8s.io", "CustomResourceDefinition") => 0,
        ("", "LimitRange") | ("scheduling.k8s.io", "PriorityClass") | ("storage.k8s.io", "StorageClass") => 1,
        ("networking.k8s.io", "NetworkPolicy")
        | ("", "ServiceAccount")
        | ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => 2,
        ("", "ConfigMap" | "Secret" | "PersistentVolumeClaim") => 3,
        ("", "Service" | "Pod") | ("apps" | "batch", _) => 4,
        ("autoscaling", "HorizontalPodAutoscaler") | ("policy", "PodDisruptionBudget") => 5,
        ("", "ResourceQuota") => 7,
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => 8,
        ("networking.k8s.io", "Ingress") | ("gateway.networking.k8s.io", _) => 9,
        _ => UNKNOWN,
    }
}

/// Whether objects of a kind let people or traffic in.
#[must_use]
pub fn lets_in(kind: &Kind) -> bool {
    rank(kind) >= 8
}

/// Whether objects of a kind may hold a customer's data, or run what does: volumes, workloads, and every kind that is not known to
/// hold settings only. What a job works on is somebody else's.
#[must_use]
pub fn may_hold_data(kind: &Kind) -> bool {
    match (kind.group(), kind.name()) {
        ("", "PersistentVolumeClaim" | "Pod") | ("apps", _) => true,
        ("monitoring.coreos.com" | "gateway.envoyproxy.io" | "cert-manager.io", _) => false,
        _ => rank(kind) == UNKNOWN,
    }
}

/// Within the foundation our own role binding comes first of all, because it lets us write the rest.
fn foundation(kind: &Kind) -> u8 {
    match (kind.group(), kind.name()) {
        ("", "Namespace") => 0,
        ("rbac.authorization.k8s.io", "RoleBinding") => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_kinds() {
        let order = [
            "v1/Namespace",
            "v1/LimitRange",
            "networking.k8s.io/v1/NetworkPolicy",
            "v1/ConfigMap",
            "apps/v1/StatefulSet",
            "autoscaling/v2/HorizontalPodAutoscaler",
            "monitoring.coreos.com/v1/ServiceMonitor",
            "v1/ResourceQuota",
            "rbac.authorization.k8s.io/v1/RoleBinding",
            "gateway.networking.k8s.io/v1/HTTPRoute",
        ];
        let ranks: Vec<u8> = order.iter().map(|text| rank(&Kind::parse(text).unwrap())).collect();
        assert_eq!(ranks, (0..10).collect::<Vec<u8>>());
    }

    #[test]
    fn what_may_hold_data_is_all_that_is_not_known_to_hold_none() {
        let may = |text: &&str| may_hold_data(&Kind::parse(text).unwrap());
        let with = ["v1/PersistentVolumeClaim", "apps/v1/Deployment", "example.com/v1/Database"];
        let without = [
            "v1/Namespace",
            "v1/ResourceQuota",
            "v1/ConfigMap",
            "v1/Service",
            "batch/v1/Job",
            "rbac.authorization.k8s.io/v1/RoleBinding",
            "networking.k8s.io/v1/NetworkPolicy",
            "gateway.networking.k8s.io/v1/HTTPRoute",
            "monitoring.coreos.com/v1/ServiceMonitor",
        ];
        assert!(with.iter().all(may) && !without.iter().any(may));
    }

    #[test]
    fn stages_outrank_kinds() {
        let binding = Kind::parse("rbac.authorization.k8s.io/v1/RoleBinding").unwrap();
        let workload = Kind::parse("apps/v1/Deployment").unwrap();
        let namespace = Kind::parse("v1/Namespace").unwrap();
        let deny = Kind::parse("networking.k8s.io/v1/NetworkPolicy").unwrap();
        let mut waves = [
            wave(&binding, Stage::Access),
            wave(&workload, Stage::Ordinary),
            wave(&deny, Stage::Foundation),
            wave(&binding, Stage::Foundation),
            wave(&namespace, Stage::Foundation),
        ];
        waves.reverse();
        assert!(waves.is_sorted());
        assert_eq!(wave(&binding, Stage::Foundation).rank, 1);
        assert_eq!(wave(&binding, Stage::Access).rank, 8);
    }
}
