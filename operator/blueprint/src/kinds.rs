//! Which kinds a template may render; pure.
//!
//! An application may render what the blueprint allows. A blueprint may render any namespaced kind but those that
//! decide about isolation or access, which Tenantry builds itself. The list below holds for both.

use tenantry_crds::blueprint::AllowedKinds;

/// Group and kind of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKind {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind, such as `ConfigMap`.
    pub kind: String,
}

/// Kinds no template may render, with the reason. A kind `*` stands for a whole group.
const DENIED: [(&str, &str, Denied); 55] = [
    ("", "Namespace", Denied::Baseline),
    ("", "ResourceQuota", Denied::Baseline),
    ("", "LimitRange", Denied::Baseline),
    ("", "Secret", Denied::Secret),
    ("", "Node", Denied::Cluster),
    ("", "PersistentVolume", Denied::Cluster),
    ("", "ComponentStatus", Denied::Cluster),
    ("", "Binding", Denied::Control),
    ("", "Event", Denied::Control),
    ("", "Endpoints", Denied::Control),
    ("apps", "ControllerRevision", Denied::Control),
    ("events.k8s.io", "*", Denied::Control),
    ("discovery.k8s.io", "*", Denied::Control),
    ("authentication.k8s.io", "*", Denied::Control),
    ("authorization.k8s.io", "*", Denied::Control),
    ("tenantry.io", "*", Denied::Control),
    ("rbac.authorization.k8s.io", "ClusterRole", Denied::Cluster),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding", Denied::Cluster),
    ("apiextensions.k8s.io", "*", Denied::Cluster),
    ("apiregistration.k8s.io", "*", Denied::Cluster),
    ("admissionregistration.k8s.io", "*", Denied::Cluster),
    ("certificates.k8s.io", "*", Denied::Cluster),
    ("flowcontrol.apiserver.k8s.io", "*", Denied::Cluster),
    ("internal.apiserver.k8s.io", "*", Denied::Cluster),
    ("migration.k8s.io", "*", Denied::Cluster),
    ("storagemigration.k8s.io", "*", Denied::Cluster),
    ("node.k8s.io", "*", Denied::Cluster),
    ("scheduling.k8s.io", "PriorityClass", Denied::Cluster),
    ("storage.k8s.io", "StorageClass", Denied::Cluster),
    ("storage.k8s.io", "CSIDriver", Denied::Cluster),
    ("storage.k8s.io", "CSINode", Denied::Cluster),
    ("storage.k8s.io", "VolumeAttachment", Denied::Cluster),
    ("storage.k8s.io", "VolumeAttributesClass", Denied::Cluster),
    ("storage.k8s.io", "CSIStorageCapacity", Denied::Control),
    ("networking.k8s.io", "IngressClass", Denied::Cluster),
    ("networking.k8s.io", "IPAddress", Denied::Cluster),
    ("networking.k8s.io", "ServiceCIDR", Denied::Cluster),
    ("resource.k8s.io", "DeviceClass", Denied::Cluster),
    ("resource.k8s.io", "ResourceSlice", Denied::Cluster),
    ("resource.k8s.io", "DeviceTaintRule", Denied::Cluster),
    ("gateway.networking.k8s.io", "GatewayClass", Denied::Cluster),
    ("gateway.networking.k8s.io", "ReferenceGrant", Denied::Grant),
    ("policy.networking.k8s.io", "*", Denied::Cluster),
    ("snapshot.storage.k8s.io", "VolumeSnapshotClass", Denied::Cluster),
    ("snapshot.storage.k8s.io", "VolumeSnapshotContent", Denied::Cluster),
    ("cert-manager.io", "ClusterIssuer", Denied::Cluster),
    ("external-secrets.io", "ClusterSecretStore", Denied::Cluster),
    ("external-secrets.io", "ClusterExternalSecret", Denied::Cluster),
    ("kyverno.io", "ClusterPolicy", Denied::Cluster),
    ("cilium.io", "CiliumClusterwideNetworkPolicy", Denied::Cluster),
    ("crd.projectcalico.org", "*", Denied::Cluster),
    ("projectcalico.org", "GlobalNetworkPolicy", Denied::Cluster),
    ("metrics.k8s.io", "*", Denied::Control),
    ("custom.metrics.k8s.io", "*", Denied::Control),
    ("velero.io", "Restore", Denied::Grant),
];

/// Why a kind is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// It reaches beyond the tenant's namespace.
    Cluster,
    /// Tenantry builds it itself.
    Baseline,
    /// A template never holds secret values.
    Secret,
    /// It is written by a controller of the cluster or acts when it is created.
    Control,
    /// It lets others reach into the namespace, or data leave it.
    Grant,
    /// The blueprint does not allow it to applications.
    NotAllowed,
}

// === impl GroupKind ===

impl GroupKind {
    /// Reads group and kind from an object's `apiVersion` and `kind`.
    #[must_use]
    pub fn new(api_version: &str, kind: &str) -> Self {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        Self { group: group.to_owned(), kind: kind.to_owned() }
    }

    /// Whether this is a kind of the given group.
    #[must_use]
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }
}

impl std::fmt::Display for GroupKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.group.is_empty() {
            f.write_str(&self.kind)
        } else {
            write!(f, "{}.{}", self.kind, self.group)
        }
    }
}

// === impl Denied ===

impl Denied {
    /// What to do instead.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::Cluster => "only namespaced kinds can belong to a tenant; install it with the cluster",
            Self::Baseline => "tenantry builds it from the plan; name it under an item's baseline",
            Self::Secret => {
                "declare it under secrets of the application version; it is generated, and templates hold its name only"
            }
            Self::Control => "it is written by the cluster itself; remove it",
            Self::Grant => "it opens the namespace to others; remove it",
            Self::NotAllowed => "add the kind to allowedKinds of the blueprint, or remove the object",
        }
    }
}

/// Whether any template may render the kind.
pub(crate) fn denied(kind: &GroupKind) -> Option<Denied> {
    DENIED
        .iter()
        .find(|(group, name, _)| *group == kind.group && (*name == "*" || *name == kind.kind))
        .map(|(_, _, why)| *why)
}

/// Whether an application's template may render the kind.
pub(crate) fn denied_to_applications(kind: &GroupKind, allowed: &[AllowedKinds]) -> Option<Denied> {
    let listed = allowed.iter().any(|group| group.group == kind.group && group.kinds.contains(&kind.kind));
    denied(kind).or((!listed).then_some(Denied::NotAllowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_beyond_a_tenant_is_denied_even_when_listed() {
        let allowed = [AllowedKinds {
            group: "rbac.authorization.k8s.io".into(),
            kinds: vec!["ClusterRole".into(), "Role".into()],
        }];
        let kind = |api: &str, kind: &str| GroupKind::new(api, kind);
        let rbac = "rbac.authorization.k8s.io/v1";
        assert_eq!(denied_to_applications(&kind(rbac, "ClusterRole"), &allowed), Some(Denied::Cluster));
        assert_eq!(denied_to_applications(&kind(rbac, "Role"), &allowed), None);
        assert_eq!(denied_to_applications(&kind("v1", "ConfigMap"), &allowed), Some(Denied::NotAllowed));
        assert_eq!(denied(&kind("v1", "ConfigMap")), None);
        assert_eq!(denied(&kind("v1", "Secret")), Some(Denied::Secret));
        assert_eq!(
            denied(&kind("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration")),
            Some(Denied::Cluster)
        );
        assert_eq!(denied(&kind("tenantry.io/v1alpha1", "TenantSubscription")), Some(Denied::Control));
        assert_eq!(kind(rbac, "Role").to_string(), "Role.rbac.authorization.k8s.io");
    }

    /// The table must cover every cluster-scoped built-in kind of the API version the workspace is built for.
    #[test]
    fn built_in_cluster_kinds_are_covered() {
        use k8s_openapi::{ClusterResourceScope, Resource};
        fn cluster<R: Resource<Scope = ClusterResourceScope>>() -> GroupKind {
            GroupKind { group: R::GROUP.to_owned(), kind: R::KIND.to_owned() }
        }
        use k8s_openapi::api::{
            admissionregistration::v1 as admission, certificates::v1 as certificates, core::v1 as core,
            flowcontrol::v1 as flow, networking::v1 as networking, node::v1 as node, rbac::v1 as rbac,
            scheduling::v1 as scheduling, storage::v1 as storage,
        };
        let kinds = [
            cluster::<core::Namespace>(),
            cluster::<core::Node>(),
            cluster::<core::PersistentVolume>(),
            cluster::<rbac::ClusterRole>(),
            cluster::<rbac::ClusterRoleBinding>(),
            cluster::<scheduling::PriorityClass>(),
            cluster::<storage::StorageClass>(),
            cluster::<storage::CSIDriver>(),
            cluster::<storage::CSINode>(),
            cluster::<storage::VolumeAttachment>(),
            cluster::<networking::IngressClass>(),
            cluster::<networking::IPAddress>(),
            cluster::<networking::ServiceCIDR>(),
            cluster::<node::RuntimeClass>(),
            cluster::<admission::ValidatingAdmissionPolicy>(),
            cluster::<admission::MutatingWebhookConfiguration>(),
            cluster::<certificates::CertificateSigningRequest>(),
            cluster::<flow::FlowSchema>(),
            cluster::<flow::PriorityLevelConfiguration>(),
            cluster::<
                k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
            >(),
            cluster::<k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService>(),
        ];
        for kind in kinds {
            assert!(denied(&kind).is_some(), "{kind}");
        }
    }
}
