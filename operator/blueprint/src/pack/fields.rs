//! Fields of a document that its kind does not have, with the nearest that it has; pure.
//!
//! The API server drops unknown fields with a warning that nobody reads in a pipeline; here they are errors.

use super::error;
use crate::check::Finding;
use crate::schema::{Shape, shape_of};
use crate::source::SourceMap;
use crate::suggest;
use serde_json::Value;
use std::collections::BTreeMap;
use tenantry_crds::{
    BillingAccountSpec, BlueprintSpec, HostedApplicationSpec, HostedApplicationVersionSpec,
    InvoiceIssuerSpec, ServerPoolSpec, ServicePlanSpec, TenantSubscriptionSpec,
};

/// Actions that an item may have in a later release.
const LATER_ACTIONS: [&str; 1] = ["accounts"];

/// Everything unknown in a document.
pub(super) fn unknown(object: &Value, sources: &SourceMap) -> Vec<Finding> {
    let spec = match object.get("kind").and_then(Value::as_str) {
        Some("Blueprint") => shape_of::<BlueprintSpec>(),
        Some("HostedApplication") => shape_of::<HostedApplicationSpec>(),
        Some("HostedApplicationVersion") => shape_of::<HostedApplicationVersionSpec>(),
        Some("ServicePlan") => shape_of::<ServicePlanSpec>(),
        Some("ServerPool") => shape_of::<ServerPoolSpec>(),
        Some("InvoiceIssuer") => shape_of::<InvoiceIssuerSpec>(),
        Some("BillingAccount") => shape_of::<BillingAccountSpec>(),
        Some("TenantSubscription") => shape_of::<TenantSubscriptionSpec>(),
        _ => return Vec::new(),
    };
    let top = [("apiVersion", Shape::Any), ("kind", Shape::Any), ("metadata", Shape::Any), ("spec", spec)];
    let shape = Shape::Object(
        top.into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect::<BTreeMap<_, _>>(),
    );
    let mut findings = Vec::new();
    walk(object, &shape, String::new(), sources, &mut findings);
    findings
}

fn walk(value: &Value, shape: &Shape, pointer: String, sources: &SourceMap, out: &mut Vec<Finding>) {
    match (value, shape) {
        (Value::Array(items), Shape::List(item)) => {
            for (index, value) in items.iter().enumerate() {
                walk(value, item, format!("{pointer}/{index}"), sources, out);
            }
        }
        (Value::Object(given), Shape::Object(known)) => {
            for (name, value) in given {
                let below = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                match known.get(name) {
                    Some(shape) => walk(value, shape, below, sources, out),
                    None if name == "file" && known.contains_key("template") => {}
                    None => out.push(finding(name, known, &below, sources)),
                }
            }
        }
        _ => {}
    }
}

fn finding(name: &str, known: &BTreeMap<String, Shape>, pointer: &str, sources: &SourceMap) -> Finding {
    let place = sources.key(pointer);
    let shown = crate::problem::cut(name);
    if known.contains_key("dependsOn") && LATER_ACTIONS.contains(&name) {
        return error(
            place,
            format!("the action `{shown}` is not available in this version"),
            "use check, manifests, application, job, signOff, external, servers, billing or goLive",
        );
    }
    let hint = match suggest::nearest(name, known.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("fields are {}", known.keys().map(String::as_str).collect::<Vec<_>>().join(", ")),
    };
    error(place, format!("there is no field `{shown}`"), hint)
}
