//! The static check of one edited definition, with what is known of those it refers to; no client or clock.

use super::content::Content;
use super::store::Store;
use tenantry_blueprint::check::{Severity, Source, check_application, check_blueprint, check_version};
use tenantry_blueprint::context::Specs;
use tenantry_blueprint::render::Compiled;
use tenantry_blueprint::source::SourceMap;
use tenantry_checklist::revision::DefinitionKind;
use tenantry_checklist::schema::ParametersSchema;
use tenantry_checklist::{meters, plan, prices};

/// What is wrong with a definition, in words for its condition. Warnings are for authors, not for clusters.
///
/// A version is checked together with its application and blueprint where these exist already. Objects of one commit
/// arrive in any order, so what is missing is no problem of the version: an order that needs it says so. A plan whose prices
/// name a meter waits for an application that declares it, and is looked at again when one does.
pub(crate) fn examine(store: &Store, name: &str, content: &Content) -> Vec<String> {
    let map = SourceMap::named(name);
    let findings = match content {
        Content::Plan(spec) => {
            let mut problems = plan::check(spec);
            problems.extend(prices::undeclared(spec, |meter| store.is_metered(meter)));
            return problems.iter().map(ToString::to_string).collect();
        }
        Content::Blueprint(spec) => check_blueprint(Source { spec: &**spec, map: &map }),
        Content::Application(spec) => {
            if let Err(problem) = ParametersSchema::compile(&spec.parameters_schema) {
                return vec![problem.to_string()];
            }
            let problems = meters::check(spec);
            if !problems.is_empty() {
                return problems.iter().map(ToString::to_string).collect();
            }
            check_application(Source { spec: &**spec, map: &map })
        }
        Content::Version(spec) => {
            let application = store.live_content(DefinitionKind::Application, &spec.application_ref.name);
            let Some(Content::Application(application)) = application else { return Vec::new() };
            let blueprint = store.live_content(DefinitionKind::Blueprint, &application.blueprint_ref.name);
            let blueprint = match blueprint {
                Some(Content::Blueprint(blueprint)) => Some(blueprint),
                _ => None,
            };
            let findings =
                check_version(Source { spec: &**spec, map: &map }, &application, blueprint.as_deref());
            if let (true, Some(blueprint)) = (findings.is_empty(), &blueprint)
                && let Err(errors) =
                    Compiled::new(Specs { blueprint, application: &application, version: spec })
            {
                return errors.iter().map(ToString::to_string).collect();
            }
            findings
        }
    };
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(ToString::to_string).collect()
}
