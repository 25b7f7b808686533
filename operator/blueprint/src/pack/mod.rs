//! Packs a folder of an author into one object, deterministically, and remembers where everything came from; pure.
//!
//! A folder holds a document, such as `blueprint.yaml` or `version.yaml`, whose manifests name files:
//! `- {name: route.yaml, file: route.yaml.tera}`. The packed object holds their texts as `template`. Reading files is
//! the caller's work, so that packing needs no I/O.

mod fields;

use crate::check::{Finding, Severity};
use crate::problem::{Position, Problem, cut};
use crate::source::SourceMap;
use crate::template::yaml;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tenantry_crds::blueprint::Item;
use tenantry_crds::common::Manifest;
use tenantry_crds::{
    BillingAccountSpec, BlueprintSpec, HostedApplicationSpec, HostedApplicationVersionSpec,
    InvoiceIssuerSpec, ServerPoolSpec, ServicePlanSpec, TenantSubscriptionSpec,
};

/// Largest packed object, in bytes of compact JSON. Clients that apply from Git store it once more in an annotation,
/// which the API server bounds to 256 KiB.
pub const SIZE_LIMIT: usize = 200 * 1024;

/// A packed object.
#[derive(Clone, Debug)]
pub struct Packed {
    /// The whole object.
    pub object: Value,
    /// Its spec as its type.
    pub definition: Definition,
    /// Where its fields and templates stand in the author's files.
    pub sources: SourceMap,
}

/// The spec of a packed object by its kind.
#[derive(Clone, Debug)]
pub enum Definition {
    /// A checklist.
    Blueprint(BlueprintSpec),
    /// An application.
    Application(HostedApplicationSpec),
    /// A version of an application.
    Version(HostedApplicationVersionSpec),
    /// A plan.
    Plan(ServicePlanSpec),
    /// An order.
    Subscription(TenantSubscriptionSpec),
    /// A pool of servers.
    Pool(ServerPoolSpec),
    /// Somebody who sells.
    Issuer(InvoiceIssuerSpec),
    /// Somebody who pays.
    Account(BillingAccountSpec),
}

// === impl Packed ===

impl Packed {
    /// Name of the object.
    #[must_use]
    pub fn name(&self) -> &str {
        self.object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether the object is a version with jobs.
    #[must_use]
    pub fn has_jobs(&self) -> bool {
        matches!(&self.definition, Definition::Version(spec) if !spec.jobs.is_empty())
    }

    /// Every template of the object, apart from those of jobs.
    pub fn templates(&self) -> impl Iterator<Item = &Manifest> {
        let (items, own): (&[Item], &[Manifest]) = match &self.definition {
            Definition::Blueprint(spec) => (&spec.items, &[]),
            Definition::Version(spec) => (&[], &spec.manifests),
            _ => (&[], &[]),
        };
        let of_items = items.iter().flat_map(|item| {
            let at_go_live =
                item.go_live.iter().flat_map(|go_live| go_live.manifests.iter().chain(&go_live.suspended));
            item.manifests.iter().flatten().chain(at_go_live)
        });
        of_items.chain(own)
    }

    /// The object as YAML, with templates as block scalars. The same folder gives the same bytes.
    ///
    /// # Errors
    /// When a text cannot be written as YAML; none that was read from YAML is such a text.
    pub fn to_yaml(&self) -> Result<String, serde_saphyr::SerializeError> {
        let options =
            serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX, compact_list_indent: false };
        serde_saphyr::to_string_with_options(&self.object, options)
    }
}

/// Packs the document `path`. `read` gives the text of a file by its path beside the document.
///
/// # Errors
/// Everything that is wrong with the document itself: not YAML, unknown fields, missing files, too large. Templates
/// are judged by [`crate::check`].
pub fn pack(
    path: &str,
    document: &str,
    read: &dyn Fn(&str) -> Option<String>,
) -> Result<Packed, Vec<Finding>> {
    let mut object = match yaml::parse(document) {
        Ok(Some(object)) => object,
        Ok(None) => {
            return Err(vec![error((path, Position::START), "the document is empty", "write an object")]);
        }
        Err(found) => {
            let position = found.position.unwrap_or(Position::START);
            return Err(vec![error((path, position), format!("not YAML: {}", found.message), "correct it")]);
        }
    };
    let mut sources = SourceMap::of_document(path, document);
    let mut findings = fields::unknown(&object, &sources);
    for pointer in manifests(&object) {
        if let Err(finding) = inline(&mut object, &pointer, path, read, &mut sources) {
            findings.push(finding);
        }
    }
    let size = serde_json::to_vec(&object).map_or(usize::MAX, |json| json.len());
    if size > SIZE_LIMIT {
        let message = format!("the packed object has {size} bytes of JSON; {SIZE_LIMIT} are allowed");
        findings.push(error(
            (path, Position::START),
            message,
            "shorten its templates, or split the application",
        ));
    }
    if !findings.is_empty() {
        return Err(findings);
    }
    let definition = definition(&object, &sources).map_err(|finding| vec![finding])?;
    Ok(Packed { object, definition, sources })
}

fn error(place: (&str, Position), message: impl AsRef<str>, hint: impl AsRef<str>) -> Finding {
    Finding::new(place, Severity::Error, message, hint)
}

/// Pointers of every manifest of the object.
fn manifests(object: &Value) -> Vec<String> {
    let below = |pointer: String| {
        let count = object.pointer(&pointer).and_then(Value::as_array).map_or(0, Vec::len);
        (0..count).map(move |index| format!("{pointer}/{index}"))
    };
    match object.get("kind").and_then(Value::as_str) {
        Some("Blueprint") => below("/spec/items".to_owned())
            .flat_map(|item| {
                ["manifests", "goLive/manifests", "goLive/suspended"].map(|list| format!("{item}/{list}"))
            })
            .flat_map(below)
            .collect(),
        Some("HostedApplicationVersion") => {
            ["/spec/manifests", "/spec/jobs"].map(str::to_owned).into_iter().flat_map(below).collect()
        }
        _ => Vec::new(),
    }
}

/// Puts the text of a manifest's file in the place of its name.
fn inline(
    object: &mut Value,
    pointer: &str,
    path: &str,
    read: &dyn Fn(&str) -> Option<String>,
    sources: &mut SourceMap,
) -> Result<(), Finding> {
    let Some(manifest) = object.pointer_mut(pointer).and_then(Value::as_object_mut) else { return Ok(()) };
    let file = match (manifest.remove("file"), manifest.contains_key("template")) {
        (None, true) => return Ok(()),
        (None, false) => {
            return Err(error(
                sources.field(pointer),
                "the manifest has neither file nor template",
                "name its file",
            ));
        }
        (Some(_), true) => {
            return Err(error(
                sources.field(pointer),
                "the manifest has both file and template",
                "remove one",
            ));
        }
        (Some(file), false) => file,
    };
    let place = sources.field(&format!("{pointer}/file"));
    let Some(name) = file.as_str().filter(|name| beside(name)) else {
        return Err(error(
            place,
            "the file is not inside the folder",
            "name a file of the folder, without leading slash or `..`",
        ));
    };
    let full = match path.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{name}"),
        None => name.to_owned(),
    };
    let Some(text) = read(&full) else {
        return Err(error(
            place,
            format!("the file `{}` cannot be read", cut(name)),
            "create it, or correct the name",
        ));
    };
    manifest.insert("template".to_owned(), Value::String(text));
    sources.set_file(&format!("{pointer}/template"), &full);
    Ok(())
}

fn beside(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('/')
        && !name.contains('\\')
        && name.split('/').all(|part| part != "..")
}

fn definition(object: &Value, sources: &SourceMap) -> Result<Definition, Finding> {
    let spec = object.get("spec").cloned().unwrap_or_default();
    match object.get("kind").and_then(Value::as_str).unwrap_or_default() {
        "Blueprint" => typed(spec, sources).map(Definition::Blueprint),
        "HostedApplication" => typed(spec, sources).map(Definition::Application),
        "HostedApplicationVersion" => typed(spec, sources).map(Definition::Version),
        "ServicePlan" => typed(spec, sources).map(Definition::Plan),
        "TenantSubscription" => typed(spec, sources).map(Definition::Subscription),
        "ServerPool" => typed(spec, sources).map(Definition::Pool),
        "InvoiceIssuer" => typed(spec, sources).map(Definition::Issuer),
        "BillingAccount" => typed(spec, sources).map(Definition::Account),
        _ => Err(error(
            sources.field("/kind"),
            "the kind is not one of tenantry",
            "write BillingAccount, Blueprint, HostedApplication, HostedApplicationVersion, InvoiceIssuer, ServerPool, ServicePlan or TenantSubscription",
        )),
    }
}

fn typed<T: DeserializeOwned>(spec: Value, sources: &SourceMap) -> Result<T, Finding> {
    serde_json::from_value(spec).map_err(|found| {
        let problem = Problem::new(sources.file(), sources.field("/spec").1, format!("spec: {found}"), "");
        error(
            (sources.file(), problem.position),
            &problem.message,
            "see the reference of the kind for its fields",
        )
    })
}

#[cfg(test)]
mod tests;
