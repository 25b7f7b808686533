//! `tenantry check`: everything that is wrong with definitions and orders in files. Needs neither client nor clock.

use super::Outcome;
use super::files::{Library, finding};
use crate::controller::billing::agreement::agreement;
use anyhow::{Context, anyhow};
use clap::Args;
use jsonschema::Validator;
use kube::CustomResourceExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tenantry_blueprint::check::{
    Example, Finding, Severity, Source, check_application, check_blueprint, check_examples, check_version,
};
use tenantry_blueprint::context::{Context as Values, Specs};
use tenantry_blueprint::pack::{Definition, Packed};
use tenantry_blueprint::render::Compiled;
use tenantry_blueprint::source::SourceMap;
use tenantry_checklist::hosts::{Claims, Host};
use tenantry_checklist::order::Order;
use tenantry_checklist::schema::ParametersSchema;
use tenantry_checklist::sizing::{Offer, told};
use tenantry_checklist::{Problem, meters, plan, prices};
use tenantry_crds::subscription::SizingVerdict;
use tenantry_crds::{
    BillingAccount, BillingAccountSpec, Blueprint, GROUP, HostedApplication, HostedApplicationSpec,
    HostedApplicationVersion, HostedApplicationVersionSpec, InvoiceIssuer, ServerPool, ServicePlan,
    ServicePlanSpec, TenantSubscription, TenantSubscriptionSpec, VERSION,
};

/// Longest message about one value, in characters: some quote the value, which may be a whole object.
const MESSAGE_LIMIT: usize = 256;

/// Arguments of `tenantry check`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Files and folders: definitions, the orders to try them with, and what these refer to.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// How much of what definitions refer to must be among the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// All of it.
    Everything,
    /// Whatever happens to be there. Only a version that cannot be checked for lack of its application is worth a
    /// warning.
    Part,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let library = Library::read(&arguments.paths)?;
    let findings = check(&library)?;
    for finding in &findings {
        println!("{finding}");
    }
    let errors = findings.iter().filter(|finding| is_error(finding)).count();
    let count = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let counts = [(library.files(), "file"), (errors, "error"), (findings.len() - errors, "warning")];
    println!("{}", counts.map(|(number, noun)| count(number, noun)).join(", "));
    Ok(if errors == 0 { Outcome::Good } else { Outcome::Bad })
}

/// Whether something does not work.
pub(super) fn is_error(finding: &Finding) -> bool {
    finding.severity == Severity::Error
}

/// Everything that is wrong, by file and line.
fn check(library: &Library) -> anyhow::Result<Vec<Finding>> {
    let schemas = Schemas::new()?;
    let mut findings = definitions(library, &schemas, Given::Everything);
    let claims = claims(library);
    for (packed, spec) in library.orders() {
        let shape = schemas.check(packed);
        if shape.iter().any(is_error) {
            findings.extend(shape);
        } else {
            findings.extend(order(library, packed, spec, &claims));
        }
    }
    Ok(sorted(findings))
}

/// What is wrong with everything but the orders.
pub(super) fn definitions(library: &Library, schemas: &Schemas, given: Given) -> Vec<Finding> {
    let mut findings = library.findings().to_vec();
    for packed in library.objects() {
        let map = &packed.sources;
        let own = match &packed.definition {
            Definition::Subscription(_) => continue,
            // Its schema and rules say all.
            Definition::Pool(_) | Definition::Issuer(_) => Vec::new(),
            Definition::Account(spec) => problems(map, &account(library, packed.name(), spec)),
            Definition::Blueprint(spec) => check_blueprint(Source { spec, map }),
            Definition::Application(spec) => application(library, Source { spec, map }, given),
            Definition::Version(spec) => version(library, Source { spec, map }, given),
            Definition::Plan(spec) => problems(map, &self::plan(library, spec, given)),
        };
        findings.extend(schemas.check(packed));
        findings.extend(own);
    }
    sorted(findings)
}

fn sorted(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort();
    findings.dedup();
    findings
}

/// What an account cannot be billed by, if its issuer is there as well.
fn account(library: &Library, name: &str, spec: &BillingAccountSpec) -> Vec<Problem> {
    let issuer = &spec.issuer_ref.name;
    let Some(refusal) = library.issuer_named(issuer).and_then(|issuer| agreement(name, spec, issuer).err())
    else {
        return Vec::new();
    };
    // What is agreed has a name of its own for each field of both.
    let own = ["currency", "timeZone"].into_iter().find(|field| refusal.field == format!("account.{field}"));
    let (field, of) = match own {
        Some(field) => (format!("spec.{field}"), String::new()),
        None if refusal.field.starts_with("coupons") => (format!("spec.{}", refusal.field), String::new()),
        None => ("spec.issuerRef.name".to_owned(), format!("{} of InvoiceIssuer {issuer}: ", refusal.field)),
    };
    vec![Problem::new(field, "AccountInvalid", format!("{of}{}; {}", refusal.reason, refusal.remedy))]
}

/// What is wrong with a plan, and which of its prices nothing is counted for.
fn plan(library: &Library, spec: &ServicePlanSpec, given: Given) -> Vec<Problem> {
    let mut problems = plan::check(spec);
    if given == Given::Everything && library.findings().is_empty() {
        let is_declared = |meter: &str| library.applications().any(|spec| meters::declares(spec, meter));
        problems.extend(prices::undeclared(spec, is_declared));
    }
    problems
}

fn application(library: &Library, source: Source<'_, HostedApplicationSpec>, given: Given) -> Vec<Finding> {
    let Source { spec, map } = source;
    let mut findings = match ParametersSchema::compile(&spec.parameters_schema) {
        Ok(_) => Vec::new(),
        Err(problem) => problems(map, &[problem]),
    };
    findings.extend(problems(map, &meters::check(spec)));
    findings.extend(check_application(Source { spec, map }));
    let name = &spec.blueprint_ref.name;
    let there = given == Given::Part || library.blueprint_named(name).is_some();
    if !there && library.findings().is_empty() {
        let place = map.field("/spec/blueprintRef/name");
        let message = format!("there is no blueprint `{name}` among the files");
        findings.push(finding(
            place,
            Severity::Error,
            message,
            "name its folder as well, or correct the reference",
        ));
    }
    findings
}

fn version(
    library: &Library,
    source: Source<'_, HostedApplicationVersionSpec>,
    given: Given,
) -> Vec<Finding> {
    let Source { spec, map } = source;
    let name = &spec.application_ref.name;
    let Some(application) = library.application_named(name) else {
        if !library.findings().is_empty() {
            // It may be among what could not be read, which is reported already.
            return Vec::new();
        }
        let message =
            format!("there is no application `{name}` among the files, so the templates cannot be checked");
        let hint = "name its folder as well, or correct the reference";
        let severity = if given == Given::Part { Severity::Warning } else { Severity::Error };
        return vec![finding(map.field("/spec/applicationRef/name"), severity, message, hint)];
    };
    let blueprint = library.blueprint_named(&application.spec.blueprint_ref.name);
    let blueprint = blueprint.map(|blueprint| blueprint.spec);
    let mut findings = check_version(Source { spec, map }, application.spec, blueprint);
    if let (false, Some(blueprint)) = (findings.iter().any(is_error), blueprint) {
        let specs = Specs { blueprint, application: application.spec, version: spec };
        // The blueprint's own faults are reported at the blueprint.
        if let (Err(errors), true) = (Compiled::new(specs), blueprint_is_good(library, application.spec)) {
            let at = |error: &dyn ToString| {
                finding(map.field("/spec/manifests"), Severity::Error, error.to_string(), "")
            };
            findings.extend(errors.iter().map(|error| at(error)));
        }
    }
    findings
}

fn blueprint_is_good(library: &Library, application: &HostedApplicationSpec) -> bool {
    let blueprint = library.blueprint_named(&application.blueprint_ref.name);
    blueprint.is_some_and(|blueprint| !check_blueprint(blueprint).iter().any(is_error))
}

/// Host names that the orders wish, so that two orders with one name are found.
fn claims(library: &Library) -> Claims {
    let mut claims = Claims::default();
    for (packed, spec) in library.orders() {
        let hosts: Vec<Host> = spec.network.hosts.iter().filter_map(|host| host.parse().ok()).collect();
        claims.set(packed.name(), &[], &hosts);
    }
    claims
}

/// Resolves an order and renders it for real.
fn order(library: &Library, packed: &Packed, spec: &TenantSubscriptionSpec, claims: &Claims) -> Vec<Finding> {
    let map = &packed.sources;
    let order = match library.resolve(packed.name(), spec, claims) {
        Ok(order) => order,
        Err(mut found) => {
            // What is not found may be among what could not be read, which is reported already.
            found.retain(|problem| library.findings().is_empty() || !problem.reason.ends_with("NotFound"));
            return problems(map, &found);
        }
    };
    let definitions = &order.definitions;
    let warnings = definitions.warnings.iter();
    let mut findings: Vec<Finding> =
        warnings.map(|text| finding(map.field("/spec"), Severity::Warning, text, "")).collect();
    let specs = Specs {
        blueprint: &definitions.blueprint.spec,
        application: &definitions.application.spec,
        version: &definitions.version.spec,
    };
    let sources = (
        library.blueprint_named(definitions.blueprint.revision.name()),
        library.version_named(definitions.version.revision.name()),
    );
    // Definitions that do not compile are reported where they stand.
    if let (Ok(compiled), (Some(blueprint), Some(version))) = (Compiled::new(specs), sources) {
        let context = compiled.context(&order);
        let example = Example { name: map.file(), context: &context };
        findings.extend(check_examples(&compiled, blueprint.map, version.map, &[example]));
        findings.extend(size(library, map, &order, &compiled, &context));
    }
    findings
}

/// What the customer's business needs and the plan does not have.
fn size(
    library: &Library,
    map: &SourceMap,
    order: &Order,
    compiled: &Compiled,
    context: &Values,
) -> Option<Finding> {
    let plans: Vec<(&str, &ServicePlanSpec)> = library.plans().collect();
    let offers: Vec<Offer<'_>> = plans.iter().map(|(name, spec)| Offer { name, spec }).collect();
    let place = map.field("/spec/inputs");
    match compiled.size(context, order, &offers) {
        Err(error) => {
            Some(finding(place, Severity::Error, error.to_string(), "correct the application's formula"))
        }
        Ok(Some(sizing)) if sizing.verdict == SizingVerdict::DoesNotFit => {
            let hint = "order that plan, or have the provider approve it";
            Some(finding(place, Severity::Warning, told(&sizing), hint))
        }
        Ok(_) => None,
    }
}

/// Problems of an object as findings at its fields.
pub(super) fn problems(map: &SourceMap, problems: &[Problem]) -> Vec<Finding> {
    let at = |problem: &Problem| {
        finding(map.field(&pointer(&problem.field)), Severity::Error, problem.to_string(), "")
    };
    problems.iter().map(at).collect()
}

/// The JSON pointer of a field such as `spec.network.hosts[1]`.
fn pointer(field: &str) -> String {
    format!("/{}", field.replace(['.', '['], "/").replace(']', ""))
}

/// The schemas of all kinds: types, bounds, patterns and rules, as the API server holds every object against them.
pub(super) struct Schemas(BTreeMap<String, Validator>);

// === impl Schemas ===

impl Schemas {
    /// Compiles the schemas of this build.
    ///
    /// # Errors
    /// When one is no schema: a fault of this build.
    pub(super) fn new() -> anyhow::Result<Self> {
        let mut validators = BTreeMap::new();
        for crd in tenantry_crds::all() {
            let kind = crd.spec.names.kind;
            let broken =
                || format!("the schema of {kind} cannot be used; this build is broken, please report it");
            let validation = crd.spec.versions.first().and_then(|version| version.schema.as_ref());
            let schema =
                validation.and_then(|schema| schema.open_api_v3_schema.as_ref()).with_context(broken)?;
            let schema = serde_json::to_value(schema).with_context(broken)?;
            let validator = jsonschema::validator_for(&schema)
                .map_err(|error| anyhow!("{error}"))
                .with_context(broken)?;
            validators.insert(kind, validator);
        }
        Ok(Self(validators))
    }

    /// What the API server would refuse an object for.
    pub(super) fn check(&self, packed: &Packed) -> Vec<Finding> {
        let (object, map) = (&packed.object, &packed.sources);
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let error =
            |pointer: &str, message: String| finding(map.field(pointer), Severity::Error, message, "");
        let mut findings = Vec::new();
        let version = format!("{GROUP}/{VERSION}");
        if text("/apiVersion") != version {
            findings.push(error("/apiVersion", format!("apiVersion: write {version}")));
        }
        if !is_name(packed.name()) {
            let message = "metadata.name: is not a name; write lower-case letters, digits, dashes and dots";
            findings.push(error("/metadata/name", message.to_owned()));
        }
        let validator = self.0.get(text("/kind"));
        for wrong in validator.into_iter().flat_map(|validator| validator.iter_errors(object)) {
            let path = wrong.instance_path().as_str();
            let message = format!("{}: {wrong}", path.trim_start_matches('/').replace('/', "."));
            findings.push(error(path, message.chars().take(MESSAGE_LIMIT).collect()));
        }
        // Rules presume what types and bounds promise.
        if findings.is_empty() {
            let broken = broken_rules(packed).into_iter();
            findings.extend(broken.map(|(field, message)| error(&pointer(&field), message)));
        }
        findings
    }
}

fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let label = |label: &str| {
        !label.is_empty() && label.chars().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// Rules that an object breaks: field and message.
fn broken_rules(packed: &Packed) -> Vec<(String, String)> {
    let object = &packed.object;
    match packed.definition {
        Definition::Blueprint(_) => rules::<Blueprint>(object),
        Definition::Application(_) => rules::<HostedApplication>(object),
        Definition::Version(_) => rules::<HostedApplicationVersion>(object),
        Definition::Plan(_) => rules::<ServicePlan>(object),
        Definition::Pool(_) => rules::<ServerPool>(object),
        Definition::Subscription(_) => rules::<TenantSubscription>(object),
        Definition::Issuer(_) => rules::<InvoiceIssuer>(object),
        Definition::Account(_) => rules::<BillingAccount>(object),
    }
}

fn rules<K: DeserializeOwned + Serialize + CustomResourceExt>(object: &Value) -> Vec<(String, String)> {
    // Through the type, so that rules see the defaults as they do on an API server.
    let typed: K = match serde_json::from_value(object.clone()) {
        Ok(typed) => typed,
        Err(error) => return vec![(String::new(), error.to_string())],
    };
    let errors = kube::core::cel::validate_cel(&typed).err().map(|errors| errors.into_vec());
    errors.unwrap_or_default().into_iter().map(|error| (error.field_path, error.message)).collect()
}

#[cfg(test)]
mod tests;
