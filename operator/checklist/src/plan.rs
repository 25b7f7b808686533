//! What a plan promises: whether its amounts make sense and what a new revision takes away; pure.

use crate::access::role_name;
use crate::{Problem, duration, prices};
use std::collections::BTreeSet;
use std::fmt::Display;
use tenantry_crds::ServicePlanSpec;
use tenantry_crds::common::Lifecycle;
use tenantry_crds::plan::{
    Bandwidth, MonitoringMetric, MonitoringMode, PlanServers, PlanStorage, QualityOfService, SecurityProfile,
};
use tenantry_crds::quantity::Quantity;

const INVALID: &str = "PlanInvalid";

/// Entitlements that `new` lowers, as sentences such as `servers.cpu from 8 to 4`; empty when nobody loses anything.
///
/// Quantities are compared exactly: `1` and `1000m` are the same. An amount that cannot be read counts as lowered when it
/// changed at all.
#[must_use]
pub fn lowers(old: &ServicePlanSpec, new: &ServicePlanSpec) -> Vec<String> {
    let mut found = Vec::new();
    lowered_network(old, new, &mut found);
    for (field, before, after) in [
        ("servers.cpu", &old.servers.cpu, &new.servers.cpu),
        ("servers.memory", &old.servers.memory, &new.servers.memory),
        ("servers.limitRatio", &old.servers.limit_ratio, &new.servers.limit_ratio),
        ("servers.disk", &old.servers.disk, &new.servers.disk),
        ("serviceLevel.availability", &old.service_level.availability, &new.service_level.availability),
    ] {
        less(field, before, after, &mut found);
    }
    fewer("servers.pods", old.servers.pods, new.servers.pods, &mut found);
    let whole = |plan: &ServicePlanSpec| plan.servers.dedicated_nodes.unwrap_or_default();
    fewer("servers.dedicatedNodes", whole(old), whole(new), &mut found);
    shorter_grace(&old.servers, &new.servers, &mut found);
    lowered_storage(&old.storage, &new.storage, &mut found);
    lowered_people_and_promises(old, new, &mut found);
    found
}

/// What is wrong with a plan beyond what its schema can say.
#[must_use]
pub fn check(plan: &ServicePlanSpec) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (field, amount) in [
        ("spec.servers.cpu", &plan.servers.cpu),
        ("spec.servers.memory", &plan.servers.memory),
        ("spec.servers.limitRatio", &plan.servers.limit_ratio),
        ("spec.servers.disk", &plan.servers.disk),
    ] {
        amount_problem(field, amount, &mut problems);
    }
    let mut classes = BTreeSet::new();
    for (at, class) in plan.storage.classes.iter().enumerate() {
        let field = format!("spec.storage.classes[{at}]");
        if !classes.insert(class.name.as_str()) {
            let message = "is listed twice; merge the two entries of this class";
            problems.push(Problem::new(format!("{field}.name"), INVALID, message));
        }
        if let Err(error) = class.total_capacity.parse::<Quantity>() {
            problems.push(Problem::new(format!("{field}.totalCapacity"), INVALID, error.to_string()));
        }
    }
    let grace = plan.servers.suspended_grace.iter().map(|text| ("spec.servers.suspendedGrace", text));
    for (field, text) in grace.chain([
        ("spec.monitoring.retention", &plan.monitoring.retention),
        ("spec.serviceLevel.support.firstResponse", &plan.service_level.support.first_response),
    ]) {
        if let Err(error) = duration::parse(text) {
            problems.push(Problem::new(field, INVALID, error.to_string()));
        }
    }
    problems.extend(prices::check(plan));
    let whole: Quantity = match "100".parse() {
        Ok(whole) => whole,
        Err(_) => return problems,
    };
    if plan.service_level.availability.parse::<Quantity>().is_ok_and(|availability| availability > whole) {
        let message = "is more than 100 percent; write a percentage such as 99.9";
        problems.push(Problem::new("spec.serviceLevel.availability", INVALID, message));
    }
    problems
}

/// Whether a definition in this state can be ordered, and a warning where it can but should not.
pub(crate) fn orderable(lifecycle: Lifecycle) -> Result<Option<&'static str>, &'static str> {
    match lifecycle {
        Lifecycle::Published => Ok(None),
        Lifecycle::Deprecated => {
            Ok(Some("is deprecated and will be retired; plan the change to another one"))
        }
        Lifecycle::Draft => Err("is a draft; choose a published one or ask the provider to publish it"),
        Lifecycle::Retired => Err("is retired and cannot be ordered any more; choose a published one"),
    }
}

fn lowered_network(old: &ServicePlanSpec, new: &ServicePlanSpec, found: &mut Vec<String>) {
    match (&old.network.bandwidth, &new.network.bandwidth) {
        (_, None) => {}
        (None, Some(Bandwidth { per_pod })) => {
            let limits = format!("{} in and {} out", per_pod.ingress, per_pod.egress);
            found.push(format!("network.bandwidth.perPod from unlimited to {limits}"));
        }
        (Some(before), Some(after)) => {
            let field = "network.bandwidth.perPod";
            less(&format!("{field}.ingress"), &before.per_pod.ingress, &after.per_pod.ingress, found);
            less(&format!("{field}.egress"), &before.per_pod.egress, &after.per_pod.egress, found);
        }
    }
    let (before, after) = (old.network.quality_of_service, new.network.quality_of_service);
    if rank(after) < rank(before) {
        found.push(format!("network.qualityOfService from {before:?} to {after:?}"));
    }
    fewer("network.loadBalancers", old.network.load_balancers, new.network.load_balancers, found);
    fewer("network.nodePorts", old.network.node_ports, new.network.node_ports, found);
}

fn lowered_storage(old: &PlanStorage, new: &PlanStorage, found: &mut Vec<String>) {
    for class in &old.classes {
        let field = format!("storage.classes[{}]", class.name);
        match new.classes.iter().find(|other| other.name == class.name) {
            None => found.push(format!("{field} removed")),
            Some(other) => {
                less(&format!("{field}.totalCapacity"), &class.total_capacity, &other.total_capacity, found);
                fewer(&format!("{field}.maxVolumes"), class.max_volumes, other.max_volumes, found);
            }
        }
    }
    match (&old.backup, &new.backup) {
        (Some(_), None) => found.push("storage.backup removed".to_owned()),
        (Some(before), Some(after)) => fewer("storage.backup.retain", before.retain, after.retain, found),
        (None, _) => {}
    }
}

fn lowered_people_and_promises(old: &ServicePlanSpec, new: &ServicePlanSpec, found: &mut Vec<String>) {
    fewer("accounts.seats", old.accounts.seats, new.accounts.seats, found);
    for role in old.accounts.roles.iter().filter(|role| !new.accounts.roles.contains(role)) {
        found.push(format!("accounts.roles without {}", role_name(*role)));
    }
    if old.security.profile == SecurityProfile::Baseline
        && new.security.profile == SecurityProfile::Restricted
    {
        found.push("security.profile from baseline to restricted".to_owned());
    }
    if old.monitoring.mode == MonitoringMode::RealTime && new.monitoring.mode == MonitoringMode::Historical {
        found.push("monitoring.mode from RealTime to Historical".to_owned());
    }
    for metric in old.monitoring.metrics.iter().filter(|metric| !new.monitoring.metrics.contains(metric)) {
        found.push(format!("monitoring.metrics without {}", metric_name(*metric)));
    }
    let shorter = |before: &str, after: &str| match (duration::parse(before), duration::parse(after)) {
        (Ok(before), Ok(after)) => after < before,
        _ => before != after,
    };
    let (before, after) = (&old.monitoring.retention, &new.monitoring.retention);
    if shorter(before, after) {
        found.push(format!("monitoring.retention from {before} to {after}"));
    }
    let support = (&old.service_level.support.first_response, &new.service_level.support.first_response);
    if shorter(support.1, support.0) {
        found.push(format!("serviceLevel.support.firstResponse from {} to {}", support.0, support.1));
    }
}

fn less(field: &str, before: &str, after: &str, found: &mut Vec<String>) {
    let lowered = match (before.parse::<Quantity>(), after.parse::<Quantity>()) {
        (Ok(before), Ok(after)) => after < before,
        _ => before != after,
    };
    if lowered {
        found.push(format!("{field} from {before} to {after}"));
    }
}

fn fewer<N: PartialOrd + Display>(field: &str, before: N, after: N, found: &mut Vec<String>) {
    if after < before {
        found.push(format!("{field} from {before} to {after}"));
    }
}

fn amount_problem(field: &str, amount: &str, problems: &mut Vec<Problem>) {
    match amount.parse::<Quantity>() {
        Ok(amount) if amount <= Quantity::ZERO => {
            problems.push(Problem::new(
                field,
                INVALID,
                "is not positive, so nothing could run; write a positive amount",
            ));
        }
        Ok(_) => {}
        Err(error) => problems.push(Problem::new(field, INVALID, error.to_string())),
    }
}

/// Without a grace a suspended tenant keeps its share for ever.
fn shorter_grace(old: &PlanServers, new: &PlanServers, found: &mut Vec<String>) {
    let read =
        |servers: &PlanServers| servers.suspended_grace.as_ref().and_then(|text| duration::parse(text).ok());
    let (before, after) = (read(old), read(new));
    if after.is_some_and(|after| before.is_none_or(|before| after < before)) {
        let told =
            |servers: &PlanServers| servers.suspended_grace.clone().unwrap_or_else(|| "for ever".to_owned());
        found.push(format!("servers.suspendedGrace from {} to {}", told(old), told(new)));
    }
}

fn rank(quality: QualityOfService) -> u8 {
    match quality {
        QualityOfService::BestEffort => 0,
        QualityOfService::Assured => 1,
        QualityOfService::Premium => 2,
    }
}

fn metric_name(metric: MonitoringMetric) -> &'static str {
    match metric {
        MonitoringMetric::Availability => "availability",
        MonitoringMetric::Latency => "latency",
        MonitoringMetric::Errors => "errors",
        MonitoringMetric::Saturation => "saturation",
    }
}

#[cfg(test)]
mod tests;
