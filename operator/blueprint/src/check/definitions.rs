//! Checks whole definitions: their checklist, expressions and templates, with places in the author's files; pure.

use super::finding::{Finding, Note, Severity};
use super::graph;
use crate::expression::{Expression, ExpressionError};
use crate::kinds::{self, GroupKind};
use crate::problem::Position;
use crate::render::{blueprint_origin, job_origin, suspended_origin, version_origin};
use crate::schema::{ContextSchema, OUTPUTS, Shape};
use crate::sizing::formulas;
use crate::source::SourceMap;
use crate::suggest;
use crate::template::TemplateSet;
use serde_json::Value;
use std::collections::BTreeSet;
use tenantry_crds::application::HostedApplicationSpec;
use tenantry_crds::blueprint::{BlueprintSpec, Item};
use tenantry_crds::common::Manifest;
use tenantry_crds::version::HostedApplicationVersionSpec;

/// A definition with the places of its fields.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a, T> {
    /// The definition.
    pub spec: &'a T,
    /// Where its fields and templates stand.
    pub map: &'a SourceMap,
}

/// Checks a blueprint on its own. Its templates and conditions serve every application, so they cannot read
/// parameters.
#[must_use]
pub fn check_blueprint(source: Source<'_, BlueprintSpec>) -> Vec<Finding> {
    let schema = ContextSchema::new(None);
    let mut checker = Checker { map: source.map, findings: Vec::new() };
    checker.findings.extend(graph::check(source.spec, source.map));
    checker.allowed_kinds(source.spec);
    for (index, item) in source.spec.items.iter().enumerate() {
        checker.item(item, &format!("/spec/items/{index}"), &schema);
    }
    checker.sorted()
}

/// Checks an application on its own.
#[must_use]
pub fn check_application(source: Source<'_, HostedApplicationSpec>) -> Vec<Finding> {
    let mut checker = Checker { map: source.map, findings: Vec::new() };
    let schema = &source.spec.parameters_schema;
    let pointer = "/spec/parametersSchema";
    let empty = schema.as_object().is_some_and(serde_json::Map::is_empty);
    if !empty && schema.get("type").and_then(Value::as_str) != Some("object") {
        checker.error(pointer, "the parameters are not an object", "begin the schema with `type: object`");
    }
    let context = ContextSchema::of_sizing(schema);
    for (_, field, formula) in source.spec.sizing.as_ref().map(formulas).unwrap_or_default() {
        checker.expression(formula, &format!("/spec/sizing/{field}"), &context);
    }
    if let Shape::Object(fields) = Shape::from_json_schema(schema) {
        for (name, _) in fields.iter().filter(|(_, shape)| **shape == Shape::Any) {
            let message = format!("the schema does not say what `{name}` is");
            checker.error(&format!("{pointer}/properties/{name}"), message, "give it a type");
        }
    }
    checker.sorted()
}

/// Checks a version against its application and, when it is known, the blueprint the application runs on.
#[must_use]
pub fn check_version(
    source: Source<'_, HostedApplicationVersionSpec>,
    application: &HostedApplicationSpec,
    blueprint: Option<&BlueprintSpec>,
) -> Vec<Finding> {
    let schema = ContextSchema::new(Some(&application.parameters_schema));
    let mut checker = Checker { map: source.map, findings: Vec::new() };
    checker.manifests(&source.spec.manifests, "/spec/manifests", version_origin, &schema);
    for (index, job) in source.spec.jobs.iter().enumerate() {
        let known = blueprint
            .map_or_else(|| BTreeSet::from(OUTPUTS), |blueprint| graph::found_before(blueprint, job.role));
        let schema = ContextSchema::of_job(&application.parameters_schema, &known);
        checker.template(&job.template, &format!("/spec/jobs/{index}"), &job_origin(job.role), &schema);
    }
    if let Some(blueprint) = blueprint {
        for (index, manifest) in source.spec.manifests.iter().enumerate() {
            checker.item_of(manifest, &format!("/spec/manifests/{index}/item"), blueprint);
        }
    }
    checker.sorted()
}

struct Checker<'a> {
    map: &'a SourceMap,
    findings: Vec<Finding>,
}

// === impl Checker ===

impl Checker<'_> {
    fn sorted(mut self) -> Vec<Finding> {
        self.findings.sort();
        self.findings.dedup();
        self.findings
    }

    fn error(&mut self, pointer: &str, message: impl AsRef<str>, hint: impl AsRef<str>) {
        self.findings.push(Finding::new(self.map.field(pointer), Severity::Error, message, hint));
    }

    /// Kinds that are allowed in vain, because no template may ever render them.
    fn allowed_kinds(&mut self, blueprint: &BlueprintSpec) {
        for (index, group) in blueprint.allowed_kinds.iter().enumerate() {
            for (position, kind) in group.kinds.iter().enumerate() {
                let kind = GroupKind { group: group.group.clone(), kind: kind.clone() };
                if let Some(why) = kinds::denied(&kind) {
                    let pointer = format!("/spec/allowedKinds/{index}/kinds/{position}");
                    self.error(&pointer, format!("the kind {kind} cannot be allowed"), why.hint());
                }
            }
        }
    }

    fn item(&mut self, item: &Item, pointer: &str, schema: &ContextSchema) {
        let named = |manifest: &str| blueprint_origin(&item.name, manifest);
        if let Some(when) = &item.when {
            self.expression(when, &format!("{pointer}/when"), schema);
        }
        if let Some(when) = item.confirm.as_ref().and_then(|confirm| confirm.when.as_ref()) {
            self.expression(when, &format!("{pointer}/confirm/when"), schema);
        }
        if let Some(action) = &item.external {
            let object = ContextSchema::from_shapes([("object", Shape::Any)]);
            self.expression(&action.until, &format!("{pointer}/external/until"), &object);
        }
        let suspended = |manifest: &str| suspended_origin(&item.name, manifest);
        let own = item.manifests.as_deref().unwrap_or_default();
        self.own_manifests(own, &format!("{pointer}/manifests"), named, schema);
        if let Some(action) = &item.go_live {
            self.own_manifests(&action.manifests, &format!("{pointer}/goLive/manifests"), named, schema);
            self.own_manifests(&action.suspended, &format!("{pointer}/goLive/suspended"), suspended, schema);
        }
    }

    /// Manifests that stand in an item of a blueprint.
    fn own_manifests(
        &mut self,
        manifests: &[Manifest],
        pointer: &str,
        origin: impl Fn(&str) -> String,
        schema: &ContextSchema,
    ) {
        self.manifests(manifests, pointer, origin, schema);
        for (index, _) in manifests.iter().enumerate().filter(|(_, manifest)| manifest.item.is_some()) {
            self.error(
                &format!("{pointer}/{index}/item"),
                "a manifest of a blueprint belongs to the item it stands in",
                "remove `item`",
            );
        }
    }

    fn manifests(
        &mut self,
        manifests: &[Manifest],
        pointer: &str,
        origin: impl Fn(&str) -> String,
        schema: &ContextSchema,
    ) {
        let object = ContextSchema::from_shapes([("object", Shape::Any)]);
        let mut names = BTreeSet::new();
        for (index, manifest) in manifests.iter().enumerate() {
            let pointer = format!("{pointer}/{index}");
            if !names.insert(&manifest.name) {
                let message = format!("the manifest `{}` is there twice", manifest.name);
                self.error(&format!("{pointer}/name"), message, "rename one of them");
            }
            self.template(&manifest.template, &pointer, &origin(&manifest.name), schema);
            if let Some(ready) = &manifest.ready_when {
                self.expression(ready, &format!("{pointer}/readyWhen"), &object);
            }
        }
    }

    fn template(&mut self, text: &str, pointer: &str, origin: &str, schema: &ContextSchema) {
        let pointer = format!("{pointer}/template");
        let notes = super::template(text, schema);
        let clean = notes.iter().all(|note| note.severity != Severity::Error);
        for Note { offset, severity, message, hint } in notes {
            let place = self.map.text(&pointer, Position::at(text, offset), origin);
            self.findings.push(Finding::new(place, severity, message, hint));
        }
        // The engine's own opinion counts where ours had none: unknown filters, tests and arguments.
        if clean && let Err(errors) = TemplateSet::compile([(origin, text)]) {
            for error in errors {
                let problem = error.problem();
                let place = self.map.text(&pointer, problem.position, origin);
                self.findings.push(Finding::new(place, Severity::Error, &problem.message, &problem.hint));
            }
        }
    }

    fn expression(&mut self, source: &str, pointer: &str, schema: &ContextSchema) {
        let place = |position: Position| self.map.text(pointer, position, self.map.file());
        let expression = match Expression::compile(source) {
            Ok(expression) => expression,
            Err(error) => {
                let position = match &error {
                    ExpressionError::Syntax { position, .. } => *position,
                    _ => Position::START,
                };
                self.findings.push(Finding::new(place(position), Severity::Error, error.to_string(), ""));
                return;
            }
        };
        let unknown = expression.unknown_paths(schema).into_iter().map(|unknown| {
            let hint = match unknown.suggestion {
                Some(near) => format!("did you mean `{near}`?"),
                None => "see the published schema of the context for what there is".to_owned(),
            };
            let message = format!("the expression reads `{}`, which is not there", unknown.path);
            Finding::new(place(unknown.position), Severity::Error, message, hint)
        });
        let unknown: Vec<Finding> = unknown.collect();
        self.findings.extend(unknown);
    }

    /// The item a manifest of a version names must be there and must hold objects.
    fn item_of(&mut self, manifest: &Manifest, pointer: &str, blueprint: &BlueprintSpec) {
        let Some(name) = &manifest.item else { return };
        match blueprint.items.iter().find(|item| item.name == *name) {
            Some(item)
                if item.check.is_some()
                    || item.job.is_some()
                    || item.external.is_some()
                    || item.billing.is_some() =>
            {
                let does = match (&item.check, &item.job, &item.billing) {
                    (Some(_), ..) => "checks",
                    (None, Some(_), _) => "runs a job",
                    (None, None, Some(_)) => "tells the ledger",
                    (None, None, None) => "waits for what others make",
                };
                self.error(
                    pointer,
                    format!("the item `{name}` only {does} and holds no objects"),
                    "name another item",
                );
            }
            Some(_) => {}
            None => {
                let near = suggest::nearest(name, blueprint.items.iter().map(|item| item.name.as_str()));
                let hint = near.map_or_else(
                    || "name one of its items, or leave it out".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                self.error(pointer, format!("the blueprint has no item `{name}`"), hint);
            }
        }
    }
}
