//! Room for two plans at once, while the objects of one take the place of another's; pure.
//!
//! Pods of both stand side by side for a while. What bounds a tenant has the larger of the two amounts meanwhile, so that no pod
//! of either is refused: what a plan raises is raised before anything grows, and what it lowers is lowered when everything
//! has shrunk.

use super::{BaselineInput, Limits, PlanError, Quota, namespace_object};
use crate::render::RenderedObject;
use std::collections::BTreeMap;
use tenantry_crds::ServicePlanSpec;
use tenantry_crds::blueprint::Baseline;
use tenantry_crds::plan::SecurityProfile;

/// The objects that bound a tenant, with room for the objects of these plans besides its own.
///
/// # Errors
/// When a number of a plan is not a quantity; the schema of the plan prevents that.
pub fn with_room<'a>(
    input: BaselineInput<'_>,
    plans: impl IntoIterator<Item = &'a ServicePlanSpec>,
) -> Result<BTreeMap<Baseline, Vec<RenderedObject>>, PlanError> {
    let (mut quota, mut limits) = (Quota::new(input.plan)?, Limits::new(input.plan)?);
    let mut profile = input.plan.security.profile;
    let mut has_servers = input.plan.servers.dedicated_nodes.is_some();
    for plan in plans {
        // As long as pods of a plan with shared servers stand, they may stand there.
        has_servers &= plan.servers.dedicated_nodes.is_some();
        quota = quota.with_room(&Quota::new(plan)?);
        limits = limits.with_room(&Limits::new(plan)?);
        if plan.security.profile == SecurityProfile::Baseline {
            profile = SecurityProfile::Baseline;
        }
    }
    if input.compute_suspended {
        quota = quota.without_pods();
    }
    let namespace = input.tenant.namespace.as_str();
    Ok(BTreeMap::from([
        (Baseline::Namespace, vec![namespace_object(input.tenant, profile, has_servers)]),
        (Baseline::LimitRange, vec![limits.object(namespace)]),
        (Baseline::ResourceQuota, quota.objects(namespace, input.has_jobs)),
    ]))
}
