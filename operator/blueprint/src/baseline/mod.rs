//! Objects Tenantry builds itself, because its safety rules depend on them; pure.
//!
//! Namespace, default-deny, limits, quota and people's bindings are derived from the plan and nothing else. No
//! template can change them, and items of the blueprint only cite them.

mod fit;
mod limits;
mod quota;
mod room;

pub use fit::{Misfit, at_most, at_rest, fits, largest};
pub use limits::Limits;
pub(crate) use quota::JOB_DISK;
pub use quota::Quota;
pub use room::with_room;

use crate::context::Tenant;
use crate::object::{RBAC, RESERVED_NAME};
use crate::render::RenderedObject;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tenantry_checklist::access::{group, role_name};
use tenantry_checklist::order::Order;
use tenantry_checklist::suspension::Effect;
use tenantry_crds::ServicePlanSpec;
use tenantry_crds::blueprint::{Baseline, Settings};
use tenantry_crds::plan::{Role, SecurityProfile};
use tenantry_crds::quantity::QuantityError;
use tenantry_crds::subscription::User;

/// Version of the Pod Security Standards that is enforced: the one of the running API server. Decided here alone, for
/// enforcing, auditing and warning alike.
pub const POD_SECURITY_VERSION: &str = "latest";
/// Cluster role that gives the controller its rights inside a tenant's namespace.
pub const MANAGER_ROLE: &str = "tenantry-tenant-manager";
/// Label of the namespace of a tenant that has servers of its own: its pods run nowhere else.
pub const TENANCY_LABEL: &str = "tenantry.io/tenancy";
/// Value of it.
const DEDICATED: &str = "dedicated";
/// Name of the binding to it, without the reserved beginning.
const MANAGER: &str = "manager";

/// A service account of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Namespace of the account.
    pub namespace: String,
    /// Name of the account.
    pub name: String,
}

/// What the objects are built from.
#[derive(Clone, Copy, Debug)]
pub struct BaselineInput<'a> {
    /// Who the tenant is.
    pub tenant: &'a Tenant,
    /// What the customer is entitled to.
    pub plan: &'a ServicePlanSpec,
    /// The customer's people.
    pub users: &'a [User],
    /// The provider's constants.
    pub settings: &'a Settings,
    /// Whether the application version has jobs.
    pub has_jobs: bool,
    /// Whether nobody gets in.
    pub network_suspended: bool,
    /// Whether nothing runs.
    pub compute_suspended: bool,
}

impl<'a> BaselineInput<'a> {
    /// What an order gives, for its tenant, while these suspensions hold.
    #[must_use]
    pub fn of(tenant: &'a Tenant, order: &'a Order, suspension: &Effect) -> Self {
        let definitions = &order.definitions;
        let settings = &definitions.blueprint.spec.settings;
        let has_jobs = !definitions.version.spec.jobs.is_empty();
        Self {
            tenant,
            plan: &definitions.plan.spec,
            users: &order.users,
            settings,
            has_jobs,
            network_suspended: suspension.network,
            compute_suspended: suspension.compute,
        }
    }
}

/// A plan whose numbers cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("plan: {field}: {error}")]
pub struct PlanError {
    /// Field of the plan, such as `servers.cpu`.
    pub field: String,
    /// What is wrong with it.
    pub error: QuantityError,
}

/// Builds the objects of every part. Parts without work for this plan, such as bindings when there are no people,
/// have an empty list.
///
/// # Errors
/// When a number of the plan is not a quantity; the schema of the plan prevents that.
pub fn objects(input: BaselineInput<'_>) -> Result<BTreeMap<Baseline, Vec<RenderedObject>>, PlanError> {
    let BaselineInput { tenant, plan, users, settings, has_jobs, network_suspended, compute_suspended } =
        input;
    let mut quota = Quota::new(plan)?;
    if compute_suspended {
        quota = quota.without_pods();
    }
    let namespace = tenant.namespace.as_str();
    Ok(BTreeMap::from([
        (
            Baseline::Namespace,
            vec![namespace_object(tenant, plan.security.profile, plan.servers.dedicated_nodes.is_some())],
        ),
        (Baseline::DefaultDeny, vec![default_deny(namespace)]),
        (Baseline::LimitRange, vec![Limits::new(plan)?.object(namespace)]),
        (Baseline::ResourceQuota, quota.objects(namespace, has_jobs)),
        (Baseline::AccessBindings, access_bindings(tenant, users, settings, network_suspended)),
    ]))
}

/// The binding that gives the controller its rights in the tenant's namespace. It is the first object after the
/// namespace, because every other one is written with these rights.
#[must_use]
pub fn manager_binding(tenant: &Tenant, controller: &ServiceAccount) -> RenderedObject {
    let subject =
        json!({"kind": "ServiceAccount", "name": controller.name, "namespace": controller.namespace});
    binding(tenant.namespace.as_str(), MANAGER, MANAGER_ROLE, vec![subject])
}

/// Name of the [`manager_binding`].
#[must_use]
pub fn manager_binding_name() -> String {
    format!("{RESERVED_NAME}{MANAGER}")
}

fn namespace_object(tenant: &Tenant, profile: SecurityProfile, has_servers: bool) -> RenderedObject {
    let profile = match profile {
        SecurityProfile::Restricted => "restricted",
        SecurityProfile::Baseline => "baseline",
    };
    let mut labels = serde_json::Map::new();
    for mode in ["enforce", "audit", "warn"] {
        labels.insert(format!("pod-security.kubernetes.io/{mode}"), json!(profile));
        labels.insert(format!("pod-security.kubernetes.io/{mode}-version"), json!(POD_SECURITY_VERSION));
    }
    if has_servers {
        labels.insert(TENANCY_LABEL.to_owned(), json!(DEDICATED));
    }
    let body = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": tenant.namespace.as_str(), "labels": labels},
    });
    built("v1", "Namespace", tenant.namespace.as_str(), body)
}

/// Denies all traffic of all pods; policies of the blueprint and the application allow what is needed.
fn default_deny(namespace: &str) -> RenderedObject {
    namespaced(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        namespace,
        "default-deny",
        json!({"spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}),
    )
}

/// One binding for each role somebody has. People come and go in the group; the binding stays as it is. While nobody gets in it
/// binds nobody.
fn access_bindings(
    tenant: &Tenant,
    users: &[User],
    settings: &Settings,
    is_closed: bool,
) -> Vec<RenderedObject> {
    let roles: BTreeSet<Role> = users.iter().flat_map(|user| user.roles.iter().copied()).collect();
    let bind = |role: Role| {
        let subject = json!({"kind": "Group", "name": group(&settings.group_prefix, &tenant.id, role), "apiGroup": RBAC});
        let role = role_name(role);
        let namespace = tenant.namespace.as_str();
        let subjects = if is_closed { Vec::new() } else { vec![subject] };
        binding(namespace, &format!("access-{role}"), &format!("{RESERVED_NAME}{role}"), subjects)
    };
    roles.into_iter().map(bind).collect()
}

fn binding(namespace: &str, name: &str, role: &str, subjects: Vec<Value>) -> RenderedObject {
    let body =
        json!({"roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role}, "subjects": subjects});
    namespaced("rbac.authorization.k8s.io/v1", "RoleBinding", namespace, name, body)
}

/// An object in the tenant's namespace, under a name no template may use.
fn namespaced(api_version: &str, kind: &str, namespace: &str, name: &str, body: Value) -> RenderedObject {
    let name = format!("{RESERVED_NAME}{name}");
    let mut object = json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
    });
    if let (Some(object), Value::Object(body)) = (object.as_object_mut(), body) {
        object.extend(body);
    }
    built(api_version, kind, &name, object)
}

fn built(api_version: &str, kind: &str, name: &str, body: Value) -> RenderedObject {
    RenderedObject {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        body,
        optional: false,
        ready_when: None,
        origin: "baseline".to_owned(),
    }
}

#[cfg(test)]
mod tests;
