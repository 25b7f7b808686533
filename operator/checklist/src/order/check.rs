//! The rules an order keeps beyond what its schema can say; pure.

use super::OrderInput;
use crate::Problem;
use crate::access::{SubscriptionName, role_name};
use crate::cidr::Cidr;
use crate::due;
use crate::hosts::{self, Host};
use crate::schema::ParametersSchema;
use crate::windows::Windows;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use tenantry_crds::blueprint::AllowList;
use tenantry_crds::subscription::{DeletionPolicy, User};
use tenantry_crds::version::JobRole;

/// Host names a status can record (the CRD's bound).
const RECORDED_LIMIT: usize = 64;

/// Entries of a list or a map among the parameters: what templates loop over is bounded, so that no customer's order can
/// keep a render busy. The lists of the order itself are bounded by its schema.
const ENTRIES_LIMIT: usize = 1000;

/// The parts of an order that were turned into types of their own.
pub(super) struct Checked {
    pub(super) name: SubscriptionName,
    pub(super) hosts: Vec<Host>,
    pub(super) allow_from: Vec<Cidr>,
    pub(super) parameters: Value,
    pub(super) target: Option<Timestamp>,
}

pub(super) fn check(input: &OrderInput<'_>) -> Result<Checked, Vec<Problem>> {
    let mut problems = Vec::new();
    let name = name(input, &mut problems);
    version(input, &mut problems);
    let parameters = parameters(input, &mut problems);
    users(input, &mut problems);
    let hosts = hosts(input, &mut problems);
    let allow_from = allow_from(input, &mut problems);
    participants(input, &mut problems);
    if let Err(found) = Windows::of(&input.spec.maintenance_windows) {
        problems.extend(found);
    }
    let target = target(input, &mut problems);
    holds(input, &mut problems);
    export(input, &mut problems);
    match (name, parameters) {
        (Some(name), Some(parameters)) if problems.is_empty() => {
            Ok(Checked { name, hosts, allow_from, parameters, target })
        }
        _ => Err(problems),
    }
}

fn name(input: &OrderInput<'_>, problems: &mut Vec<Problem>) -> Option<SubscriptionName> {
    let parsed = input.name.parse::<SubscriptionName>();
    parsed
        .map_err(|error| {
            let message =
                format!("{error}, which the tenant's namespace is named after; choose another name");
            problems.push(Problem::new("metadata.name", "NameInvalid", message));
        })
        .ok()
}

/// `erp` with version `x-1` and `erp-x` with version `1` lead to one object name, so the name alone proves nothing.
fn version(input: &OrderInput<'_>, problems: &mut Vec<Problem>) {
    let wanted = &input.spec.application_ref.name;
    let version = &input.definitions.version.spec;
    if version.application_ref.name != *wanted || version.version != input.spec.application_ref.version {
        let message = format!(
            "leads to version {} of application {}, not of {wanted}; correct the name or the version",
            version.version, version.application_ref.name
        );
        problems.push(Problem::new("spec.applicationRef.version", "VersionOfAnotherApplication", message));
    }
}

fn parameters(input: &OrderInput<'_>, problems: &mut Vec<Problem>) -> Option<Value> {
    let schema = &input.definitions.application.spec.parameters_schema;
    let filled = ParametersSchema::compile(schema)
        .map_err(|problem| {
            // The customer cannot correct the application's schema, so the message says who can.
            let application = &input.spec.application_ref.name;
            let message = format!(
                "cannot be checked: {} of application {application} {}",
                problem.field, problem.message
            );
            vec![Problem::new("spec.parameters", problem.reason, message)]
        })
        .and_then(|schema| schema.fill(&input.spec.parameters))
        .and_then(|filled| match too_long("spec.parameters", &filled) {
            None => Ok(filled),
            Some(problem) => Err(vec![problem]),
        });
    filled.map_err(|found| problems.extend(found)).ok()
}

/// A list or map with more entries than a template may loop over.
fn too_long(field: &str, value: &Value) -> Option<Problem> {
    let (entries, inner): (usize, Vec<(String, &Value)>) = match value {
        Value::Array(items) => (
            items.len(),
            items.iter().enumerate().map(|(at, item)| (format!("{field}[{at}]"), item)).collect(),
        ),
        Value::Object(map) => {
            (map.len(), map.iter().map(|(key, item)| (format!("{field}.{key}"), item)).collect())
        }
        _ => return None,
    };
    if entries > ENTRIES_LIMIT {
        let message = format!("has {entries} entries and may have {ENTRIES_LIMIT}; shorten it");
        return Some(Problem::new(field, "ParameterInvalid", message));
    }
    inner.iter().find_map(|(field, item)| too_long(field, item))
}

fn users(input: &OrderInput<'_>, problems: &mut Vec<Problem>) {
    let plan = &input.definitions.plan;
    let (plan_name, accounts) = (plan.revision.name(), &plan.spec.accounts);
    let users = &input.spec.users;
    let seats = usize::try_from(accounts.seats).unwrap_or(0);
    if users.len() > seats {
        let message = format!(
            "names {} people and plan {plan_name} covers {seats}; remove some or choose a larger plan",
            users.len()
        );
        problems.push(Problem::new("spec.users", "TooManyUsers", message));
    }
    repeated(users, "name", |user| user.name.clone(), problems);
    repeated(users, "email", |user| user.email.to_lowercase(), problems);
    for (at, user) in users.iter().enumerate() {
        for (position, role) in user.roles.iter().enumerate() {
            let field = format!("spec.users[{at}].roles[{position}]");
            if !accounts.roles.contains(role) {
                let offered: Vec<&str> = accounts.roles.iter().map(|role| role_name(*role)).collect();
                let message = format!(
                    "plan {plan_name} has no role {}; choose from {} or choose another plan",
                    role_name(*role),
                    offered.join(", ")
                );
                problems.push(Problem::new(field, "RoleNotInPlan", message));
            } else if user.roles.iter().take(position).any(|earlier| earlier == role) {
                problems.push(Problem::new(field, "RoleRepeated", "is given twice; remove one"));
            }
        }
    }
}

/// People are told apart by their key and by their mail address, whose letter case does not count.
fn repeated(users: &[User], part: &str, key: fn(&User) -> String, problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (at, user) in users.iter().enumerate() {
        if let Some(first) = seen.get(&key(user)) {
            let message =
                format!("is that of spec.users[{first}] as well; remove one of the two or correct it");
            problems.push(Problem::new(format!("spec.users[{at}].{part}"), "UserRepeated", message));
        } else {
            seen.insert(key(user), at);
        }
    }
}

fn hosts(input: &OrderInput<'_>, problems: &mut Vec<Problem>) -> Vec<Host> {
    let mut valid: Vec<Host> = Vec::new();
    for (at, text) in input.spec.network.hosts.iter().enumerate() {
        let field = format!("spec.network.hosts[{at}]");
        match text.parse::<Host>() {
            Err(error) => problems.push(Problem::new(field, "HostInvalid", error.to_string())),
            Ok(host) if valid.contains(&host) => {
                let message = format!("is {host} again, in another spelling; remove one of them");
                problems.push(Problem::new(field, "HostRepeated", message));
            }
            Ok(host) => {
                if input.claims.taken(input.uid, &host) {
                    let message = "belongs to somebody else; choose another host name, or ask the provider if you own it";
                    problems.push(Problem::new(field, "HostTaken", message));
                }
                valid.push(host);
            }
        }
    }
    let recorded = hosts::recorded(input.recorded_hosts, &valid).len();
    if recorded > RECORDED_LIMIT {
        let message = format!(
            "with all names this tenant ever held there are {recorded}, and at most {RECORDED_LIMIT} can be recorded; go \
             back to a name it held before, or order a new subscription"
        );
        problems.push(Problem::new("spec.network.hosts", "TooManyHosts", message));
    }
    valid
}

fn allow_from(input: &OrderInput<'_>, problems: &mut Vec<Problem>) -> Vec<Cidr> {
    let mut valid = Vec::new();
    for (at, text) in input.spec.network.allow_from.iter().enumerate() {
        match text.parse::<Cidr>() {
            Ok(range) if valid.contains(&range) => {}
            Ok(range) => valid.push(range),
            Err(error) => {
                let field = format!("spec.network.allowFrom[{at}]");
                problems.push(Problem::new(field, "AddressRangeInvalid", error.to_string()));
            }
        }
    }
    if input.spec.network.allow_from.is_empty() {
        return valid;
    }
    let blueprint = input.definitions.blueprint.revision.name();
    let plan = &input.definitions.plan;
    let message = match input.definitions.blueprint.spec.settings.gateway.allow_list {
        AllowList::EnvoySecurityPolicy => return valid,
        AllowList::LoadBalancerSourceRanges if plan.spec.network.load_balancers > 0 => return valid,
        AllowList::LoadBalancerSourceRanges => format!(
            "would be enforced by the tenant's load balancers (settings.gateway.allowList of blueprint {blueprint}), and \
             plan {} has none; choose a plan with load balancers or remove the list",
            plan.revision.name()
        ),
        AllowList::None => format!(
            "would not be enforced, because settings.gateway.allowList of blueprint {blueprint} is None; remove the list, \
             or ask the provider to set it to EnvoySecurityPolicy or LoadBalancerSourceRanges"
        ),
    };
    problems.push(Problem::new("spec.network.allowFrom", "AllowListNotEnforced", message));
    valid
}

fn participants(input: &OrderInput<'_>, problems: &mut Vec<Problem>) {
    for (at, name) in input.spec.training.participants.iter().enumerate() {
        if !input.spec.users.iter().any(|user| user.name == *name) {
            let field = format!("spec.training.participants[{at}]");
            let message =
                format!("names {name}, who is not in spec.users; add the person there, or remove the name");
            problems.push(Problem::new(field, "ParticipantUnknown", message));
        }
    }
}

fn target(input: &OrderInput<'_>, problems: &mut Vec<Problem>) -> Option<Timestamp> {
    let day = input.spec.go_live.target_date.as_deref()?;
    let target = due::beginning_of(day);
    if target.is_none() {
        let message = format!("{day} is no day of the calendar; write an existing day, such as 2026-12-01");
        problems.push(Problem::new("spec.goLive.targetDate", "DateInvalid", message));
    }
    target
}

/// What is promised for the end can be done.
fn export(input: &OrderInput<'_>, problems: &mut Vec<Problem>) {
    let version = &input.definitions.version;
    let exports = version.spec.jobs.iter().any(|job| job.role == JobRole::Export);
    if input.spec.deletion_policy == DeletionPolicy::ExportThenDelete && !exports {
        let message = format!(
            "asks for an export before the data is deleted, and version {} has no job of the role Export; choose Archive, \
             Delete or Retain, or a version that has one",
            version.revision.name()
        );
        problems.push(Problem::new("spec.deletionPolicy", "ExportNotOffered", message));
    }
}

fn holds(input: &OrderInput<'_>, problems: &mut Vec<Problem>) {
    let blueprint = &input.definitions.blueprint;
    let items: Vec<&str> = blueprint.spec.items.iter().map(|item| item.name.as_str()).collect();
    for (at, hold) in input.spec.holds.iter().enumerate() {
        if !items.contains(&hold.item.as_str()) {
            let message = format!(
                "names {}, and blueprint {} has no such item; choose from {}, or remove the hold",
                hold.item,
                blueprint.revision.name(),
                items.join(", ")
            );
            problems.push(Problem::new(format!("spec.holds[{at}].item"), "HoldUnknownItem", message));
        }
    }
}
