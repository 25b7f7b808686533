//! What a plan promises of servers; no client or clock.

use tenantry_blueprint::baseline::{PlanError, Quota};
use tenantry_crds::ServicePlanSpec;
use tenantry_crds::pool::Tenancy;
use tenantry_servers::{Amounts, Room};

/// Whether a plan's tenants share servers.
pub(crate) fn tenancy(plan: &ServicePlanSpec) -> Tenancy {
    match plan.servers.dedicated_nodes {
        Some(_) => Tenancy::Dedicated,
        None => Tenancy::Shared,
    }
}

/// What a plan promises of servers: what its quota bounds.
///
/// # Errors
/// When a number of the plan is not a quantity; the schema of the plan prevents that.
pub(crate) fn promised(plan: &ServicePlanSpec) -> Result<Amounts, PlanError> {
    let quota = Quota::new(plan)?;
    let of = |resource: &str| quota.get(resource).unwrap_or_default();
    Ok(Amounts {
        requests: Room {
            cpu: of("requests.cpu"),
            memory: of("requests.memory"),
            disk: of("requests.ephemeral-storage"),
            pods: of("pods"),
        },
        cpu_limits: of("limits.cpu"),
        memory_limits: of("limits.memory"),
    })
}
