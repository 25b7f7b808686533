//! Renders example orders for real and proves that they fit their plans; pure.

use super::finding::{Finding, Severity};
use crate::baseline::{Limits, Quota, fits};
use crate::context::Context;
use crate::problem::{Position, Problem};
use crate::render::{Compiled, RenderError, RenderedItem};
use crate::source::SourceMap;

/// One order to try.
#[derive(Clone, Copy, Debug)]
pub struct Example<'a> {
    /// What findings call it: its file, or its name.
    pub name: &'a str,
    /// Its context, from [`Compiled::context`].
    pub context: &'a Context,
}

/// Renders every example and reports what does not work. Places are mapped through the sources of the blueprint and
/// of the version.
#[must_use]
pub fn check_examples(
    compiled: &Compiled,
    blueprint: &SourceMap,
    version: &SourceMap,
    examples: &[Example<'_>],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for example in examples {
        match compiled.render(example.context) {
            Ok(items) => {
                findings.extend(misfits(example, &items));
                findings.extend(endpoints(compiled, version, &items));
            }
            Err(error) => findings.push(failure(compiled, blueprint, version, example, &error)),
        }
    }
    findings.sort();
    findings.dedup();
    findings
}

/// What an example asks for beyond its plan.
fn misfits(example: &Example<'_>, items: &[RenderedItem]) -> Vec<Finding> {
    let finding =
        |message: String| Finding::new((example.name, Position::START), Severity::Error, message, "");
    let (quota, limits) = match (Quota::new(example.context.plan()), Limits::new(example.context.plan())) {
        (Ok(quota), Ok(limits)) => (quota, limits),
        (Err(error), _) | (_, Err(error)) => return vec![finding(error.to_string())],
    };
    let objects = items.iter().flat_map(|item| &item.objects).map(|object| &object.body);
    match fits(objects, &quota, &limits) {
        Ok(()) => Vec::new(),
        Err(misfits) => misfits.iter().map(|misfit| finding(misfit.to_string())).collect(),
    }
}

/// Endpoints whose service, or whose port, no template renders.
fn endpoints(compiled: &Compiled, version: &SourceMap, items: &[RenderedItem]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let services: Vec<_> = items
        .iter()
        .flat_map(|item| &item.objects)
        .filter(|object| object.api_version == "v1" && object.kind == "Service")
        .collect();
    for (index, endpoint) in compiled.specs().version.endpoints.iter().enumerate() {
        let wanted = &endpoint.service_ref;
        let found = services.iter().find(|service| service.name == wanted.name).map(|service| {
            let ports = service.body.pointer("/spec/ports").and_then(|ports| ports.as_array());
            ports
                .into_iter()
                .flatten()
                .any(|port| port.get("port").and_then(|port| port.as_i64()) == Some(wanted.port.into()))
        });
        let message = match found {
            Some(true) => continue,
            Some(false) => format!("the service `{}` has no port {}", wanted.name, wanted.port),
            None => format!("no template gives the service `{}`", wanted.name),
        };
        let place = version.field(&format!("/spec/endpoints/{index}/serviceRef"));
        findings.push(Finding::new(
            place,
            Severity::Error,
            message,
            "correct serviceRef, or the template of the service",
        ));
    }
    findings
}

fn failure(
    compiled: &Compiled,
    blueprint: &SourceMap,
    version: &SourceMap,
    example: &Example<'_>,
    error: &RenderError,
) -> Finding {
    let shown = |message: &str| format!("{message} (order {})", example.name);
    let in_template = |problem: &Problem| {
        let origin = problem.origin.as_str();
        let sources = if origin.starts_with("blueprint/") { blueprint } else { version };
        let pointer = compiled.pointer(origin).unwrap_or_default();
        let place = sources.text(&pointer, problem.position, origin);
        Finding::new(place, Severity::Error, shown(&problem.message), &problem.hint)
    };
    match error {
        RenderError::Template(error) => in_template(error.problem()),
        RenderError::Object(problem) => in_template(problem),
        RenderError::When { item, field, .. } => {
            let items = &compiled.specs().blueprint.items;
            let index = items.iter().position(|known| known.name == *item).unwrap_or_default();
            let place = blueprint.field(&format!("/spec/items/{index}/{}", field.replace('.', "/")));
            Finding::new(place, Severity::Error, shown(&error.to_string()), "")
        }
        RenderError::Duplicate { .. } | RenderError::TooMany(_) => {
            Finding::new((example.name, Position::START), Severity::Error, error.to_string(), "")
        }
    }
}
