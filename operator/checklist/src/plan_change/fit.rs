//! Whether what a tenant has and uses fits a smaller plan; pure, what is used comes in as a parameter.
//!
//! That what shall be fits is proved by rendering it under the other plan. What is in use beside that is read from the quota,
//! which counts pods, claims and services whoever made them. The application's own pods and services are replaced by those of
//! the other plan; claims stay as they are.

use super::{DOES_NOT_FIT, FIELD};
use crate::Problem;
use std::collections::BTreeMap;
use tenantry_crds::quantity::Quantity;

/// Amounts by the names that a ResourceQuota uses.
pub type Amounts = BTreeMap<String, Quantity>;

/// Reasons of problems that say no more than that the plan is too small.
const TOO_SMALL: [&str; 3] = ["TooManyUsers", "RoleNotInPlan", "QuotaTooSmall"];
/// What ends the name of a resource that is counted by class of storage, and what it counts.
const BY_CLASS: [(&str, &str); 2] = [
    (".storageclass.storage.k8s.io/requests.storage", "storage"),
    (".storageclass.storage.k8s.io/persistentvolumeclaims", "volumes"),
];
/// The same of all classes together.
const OF_ALL_CLASSES: [(&str, &str); 2] =
    [("requests.storage", "storage"), ("persistentvolumeclaims", "volumes")];
/// What is counted besides, for people.
const COUNTED: [(&str, &str); 5] = [
    ("pods", "pods"),
    ("requests.cpu", "cpu"),
    ("requests.memory", "memory"),
    ("services.loadbalancers", "load balancers"),
    ("services.nodeports", "node ports"),
];

/// What a tenant uses, and what it would under another plan.
#[derive(Clone, Copy, Debug)]
pub struct Use<'a> {
    /// Everything in use.
    pub used: &'a Amounts,
    /// What its objects ask for at rest.
    pub own: &'a Amounts,
    /// What they would ask for at most.
    pub wanted: &'a Amounts,
    /// What the other plan has.
    pub allowed: &'a Amounts,
}

/// Everything that is in use and that a plan has no room for.
#[must_use]
pub fn excesses(plan: &str, in_use: Use<'_>) -> Vec<Problem> {
    let of = |amounts: &Amounts, resource: &str| amounts.get(resource).copied().unwrap_or_default();
    let mut found = Vec::new();
    let mut exceeded = Vec::new();
    for resource in in_use.used.keys() {
        for (suffix, noun) in BY_CLASS {
            let Some(class) = resource.strip_suffix(suffix) else { continue };
            let what = format!("{noun} of class {class}");
            if let Some(problem) = storage(plan, resource, &what, in_use) {
                exceeded.push(noun);
                found.push(problem);
            }
        }
    }
    // What is over in a class is over in all of them together, and said already.
    for (resource, noun) in OF_ALL_CLASSES.into_iter().filter(|(_, noun)| !exceeded.contains(noun)) {
        found.extend(storage(plan, resource, noun, in_use));
    }
    for (resource, noun) in COUNTED {
        let (used, wanted) = (of(in_use.used, resource), of(in_use.wanted, resource));
        let besides = used.minus(of(in_use.own, resource));
        let allowed = of(in_use.allowed, resource);
        if besides != Quantity::ZERO && besides.plus(wanted) > allowed {
            let message = format!(
                "{noun}: {used} in use, {besides} of that besides what the order asks for, which needs {wanted} under plan \
                 {plan}, and that has {allowed}; {}",
                remedy(resource)
            );
            found.push(problem(message));
        }
    }
    found
}

fn storage(plan: &str, resource: &str, what: &str, in_use: Use<'_>) -> Option<Problem> {
    let of = |amounts: &Amounts| amounts.get(resource).copied().unwrap_or_default();
    let (used, allowed) = (of(in_use.used), of(in_use.allowed));
    // A claim is never made smaller, and stays when nothing asks for it any more; what is new comes on top.
    let then = used.plus(of(in_use.wanted).minus(of(in_use.own)));
    (used != Quantity::ZERO && then > allowed).then(|| {
        let more = if then > used { format!(", {then} with what is new under it") } else { String::new() };
        problem(format!(
            "{what}: {used} in use{more}, and plan {plan} has {allowed}; delete claims that are not needed any more (one that \
             nothing asks for stays, with its data), or choose a larger plan"
        ))
    })
}

fn remedy(resource: &str) -> &'static str {
    match resource {
        "services.loadbalancers" => "delete Services of type LoadBalancer that are not the application's",
        "services.nodeports" => "delete Services with node ports that are not the application's",
        _ => "end pods that are not the application's own, or choose a larger plan",
    }
}

fn problem(message: String) -> Problem {
    Problem::new(FIELD, DOES_NOT_FIT, message)
}

/// Problems of an order under a smaller plan, by the reason that it does not fit where they say no more than that.
#[must_use]
pub fn misfits(problems: Vec<Problem>) -> Vec<Problem> {
    let renamed = |problem: Problem| match TOO_SMALL.contains(&problem.reason) {
        true => Problem { reason: DOES_NOT_FIT, ..problem },
        false => problem,
    };
    problems.into_iter().map(renamed).collect()
}
