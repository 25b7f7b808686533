//! The objects of Tenantry in files, packed and by name. Needs the file system, neither client nor clock.

use anyhow::Context;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tenantry_blueprint::check::{Finding, Severity, Source};
use tenantry_blueprint::pack::{Definition, Packed, pack};
use tenantry_blueprint::problem::Position;
use tenantry_checklist::Problem;
use tenantry_checklist::access::TenantId;
use tenantry_checklist::hosts::Claims;
use tenantry_checklist::order::{Order, OrderInput, resolve};
use tenantry_checklist::revision::{DefinitionKind, Revision};
use tenantry_checklist::select::{Catalogue, Latest, Moves, SelectInput, select};
use tenantry_crds::common::Lifecycle;
use tenantry_crds::{
    BlueprintSpec, GROUP, HostedApplicationSpec, HostedApplicationVersionSpec, InvoiceIssuerSpec,
    ServicePlanSpec, TenantSubscriptionSpec,
};

/// Kinds of Tenantry, for documents that forgot their group.
const KINDS: [&str; 8] = [
    "BillingAccount",
    "Blueprint",
    "HostedApplication",
    "HostedApplicationVersion",
    "InvoiceIssuer",
    "ServerPool",
    "ServicePlan",
    "TenantSubscription",
];

/// Everything that was read from some paths. As a [`Catalogue`] each definition has one revision, accepted as it is.
#[derive(Debug, Default)]
pub(super) struct Library {
    objects: Vec<Packed>,
    findings: Vec<Finding>,
    seen: BTreeSet<PathBuf>,
    files: usize,
}

// === impl Library ===

impl Library {
    /// Reads files, and the YAML files of folders and the folders in them. Objects of other groups are passed over.
    ///
    /// # Errors
    /// When a file or folder cannot be read, or holds nothing of Tenantry at all. What is wrong with an object is among
    /// the [`Self::findings`].
    pub(super) fn read<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> anyhow::Result<Self> {
        let mut library = Self::default();
        for path in paths {
            let before = library.files;
            let known = library.seen.len();
            library.add(path)?;
            if library.files == before && (library.seen.len() > known || known == 0) {
                anyhow::bail!(
                    "{} holds no object of {GROUP}; name a YAML file or a folder with some",
                    path.display()
                );
            }
        }
        Ok(library)
    }

    /// Reads one more path.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn add(&mut self, path: &Path) -> anyhow::Result<()> {
        let mut files = Vec::new();
        collect(path, &mut files).with_context(|| format!("cannot read {}", path.display()))?;
        for file in files {
            let unreadable = || format!("cannot read {}", file.display());
            // A file that is named twice, such as on its own and by its folder, is one file.
            if self.seen.insert(fs::canonicalize(&file).with_context(unreadable)?) {
                let text = fs::read_to_string(&file).with_context(unreadable)?;
                self.file(&file.to_string_lossy(), &text);
            }
        }
        Ok(())
    }

    fn file(&mut self, name: &str, text: &str) {
        let documents: Vec<String> = split(text).into_iter().filter(|document| is_ours(document)).collect();
        self.files += usize::from(!documents.is_empty());
        for document in documents {
            match pack(name, &document, &|path| fs::read_to_string(path).ok()) {
                Ok(packed) => self.take(packed),
                Err(findings) => self.findings.extend(findings),
            }
        }
    }

    /// Takes an object in, unless there is one of its name: an equal one, such as a packed folder beside the folder, is
    /// left out, and any other is an error.
    fn take(&mut self, packed: Packed) {
        let kind = |packed: &Packed| packed.object.get("kind").cloned();
        let same = |other: &&Packed| kind(other) == kind(&packed) && other.name() == packed.name();
        match self.objects.iter().find(same) {
            None => self.objects.push(packed),
            Some(other) if other.object == packed.object => {}
            Some(other) => {
                let file = other.sources.file();
                let message = format!("{} `{}` differs from the one in {file}", noun(&packed), packed.name());
                let hint = "remove one of them; if one is packed from the other, run `tenantry build` again";
                self.findings.push(finding(
                    packed.sources.field("/metadata/name"),
                    Severity::Error,
                    message,
                    hint,
                ));
            }
        }
    }

    /// The objects in the order of the paths, within a folder in the order of their names.
    pub(super) fn objects(&self) -> &[Packed] {
        &self.objects
    }

    /// Why some objects could not be taken in.
    pub(super) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many files held an object of Tenantry.
    pub(super) fn files(&self) -> usize {
        self.files
    }

    /// The orders.
    pub(super) fn orders(&self) -> impl Iterator<Item = (&Packed, &TenantSubscriptionSpec)> {
        self.objects.iter().filter_map(|packed| match &packed.definition {
            Definition::Subscription(spec) => Some((packed, spec)),
            _ => None,
        })
    }

    /// The blueprint of this name.
    pub(super) fn blueprint_named(&self, name: &str) -> Option<Source<'_, BlueprintSpec>> {
        self.named(name, |definition| match definition {
            Definition::Blueprint(spec) => Some(spec),
            _ => None,
        })
    }

    /// The application of this name.
    pub(super) fn application_named(&self, name: &str) -> Option<Source<'_, HostedApplicationSpec>> {
        self.named(name, |definition| match definition {
            Definition::Application(spec) => Some(spec),
            _ => None,
        })
    }

    /// Every application.
    pub(super) fn applications(&self) -> impl Iterator<Item = &HostedApplicationSpec> {
        self.objects.iter().filter_map(|packed| match &packed.definition {
            Definition::Application(spec) => Some(spec),
            _ => None,
        })
    }

    /// The issuer of this name.
    pub(super) fn issuer_named(&self, name: &str) -> Option<&InvoiceIssuerSpec> {
        let named = self.named(name, |definition| match definition {
            Definition::Issuer(spec) => Some(spec),
            _ => None,
        });
        named.map(|source| source.spec)
    }

    /// The application version whose object has this name, such as `erp-4.2.1`.
    pub(super) fn version_named(&self, name: &str) -> Option<Source<'_, HostedApplicationVersionSpec>> {
        self.named(name, |definition| match definition {
            Definition::Version(spec) => Some(spec),
            _ => None,
        })
    }

    /// Plans that can be ordered, by name.
    pub(super) fn plans(&self) -> impl Iterator<Item = (&str, &ServicePlanSpec)> {
        self.objects.iter().filter_map(|packed| match &packed.definition {
            Definition::Plan(spec) if spec.lifecycle == Lifecycle::Published => Some((packed.name(), spec)),
            _ => None,
        })
    }

    fn plan_named(&self, name: &str) -> Option<Source<'_, ServicePlanSpec>> {
        self.named(name, |definition| match definition {
            Definition::Plan(spec) => Some(spec),
            _ => None,
        })
    }

    fn named<'a, T>(
        &'a self,
        name: &str,
        pick: fn(&'a Definition) -> Option<&'a T>,
    ) -> Option<Source<'a, T>> {
        let mut fitting = self.objects.iter().filter(|packed| packed.name() == name);
        fitting.find_map(|packed| pick(&packed.definition).map(|spec| Source { spec, map: &packed.sources }))
    }

    /// Resolves an order as the controller would, for a new tenant with a tenant id of its own.
    ///
    /// # Errors
    /// Everything that is wrong with the order.
    pub(super) fn resolve(
        &self,
        name: &str,
        spec: &TenantSubscriptionSpec,
        claims: &Claims,
    ) -> Result<Order, Vec<Problem>> {
        let definitions = select(&SelectInput { spec, accepted: None, moves: Moves::default() }, self)?;
        resolve(&OrderInput {
            name,
            // An order in a file has no UID yet; its name stands for it, here and among the claims.
            uid: name,
            spec,
            definitions: &definitions,
            tenant_id: &TenantId::from_random([0; 10]),
            claims,
            recorded_hosts: &[],
        })
    }
}

impl Catalogue for Library {
    fn latest(&self, kind: DefinitionKind, name: &str) -> Latest {
        let found = match kind {
            DefinitionKind::Plan => {
                self.plan_named(name).map(|found| (Revision::of(name, found.spec), found.spec.lifecycle))
            }
            DefinitionKind::Version => {
                self.version_named(name).map(|found| (Revision::of(name, found.spec), found.spec.lifecycle))
            }
            DefinitionKind::Application => self
                .application_named(name)
                .map(|found| (Revision::of(name, found.spec), Lifecycle::Published)),
            DefinitionKind::Blueprint => {
                self.blueprint_named(name).map(|found| (Revision::of(name, found.spec), Lifecycle::Published))
            }
        };
        match found {
            None => Latest::Missing,
            // What was read from YAML has a JSON form, so this is no state a reader could meet.
            Some((Err(_), _)) => Latest::NotAccepted,
            Some((Ok(revision), lifecycle)) => Latest::Accepted { revision, lifecycle },
        }
    }

    fn plan(&self, revision: &Revision) -> Option<Arc<ServicePlanSpec>> {
        self.plan_named(revision.name()).map(|found| Arc::new(found.spec.clone()))
    }

    fn application(&self, revision: &Revision) -> Option<Arc<HostedApplicationSpec>> {
        self.application_named(revision.name()).map(|found| Arc::new(found.spec.clone()))
    }

    fn version(&self, revision: &Revision) -> Option<Arc<HostedApplicationVersionSpec>> {
        self.version_named(revision.name()).map(|found| Arc::new(found.spec.clone()))
    }

    fn blueprint(&self, revision: &Revision) -> Option<Arc<BlueprintSpec>> {
        self.blueprint_named(revision.name()).map(|found| Arc::new(found.spec.clone()))
    }
}

/// A finding at a place of a file.
pub(super) fn finding(
    (file, position): (&str, Position),
    severity: Severity,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> Finding {
    let Position { line, column } = position;
    Finding { file: file.to_owned(), line, column, severity, message: message.into(), hint: hint.into() }
}

/// What people call the kind of an object.
pub(super) fn noun(packed: &Packed) -> &'static str {
    match packed.definition {
        Definition::Blueprint(_) => "blueprint",
        Definition::Application(_) => "application",
        Definition::Version(_) => "application version",
        Definition::Plan(_) => "plan",
        Definition::Pool(_) => "pool",
        Definition::Subscription(_) => "subscription",
        Definition::Issuer(_) => "issuer",
        Definition::Account(_) => "account",
    }
}

/// YAML files of paths.
///
/// # Errors
/// When a folder cannot be read.
pub(super) fn yaml_files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files).with_context(|| format!("cannot read {}", path.display()))?;
    }
    Ok(files)
}

/// YAML files of a path, sorted, so that every machine reports alike.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !fs::metadata(path)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries = fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let below = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        // A linked folder may lead back to where we are; a linked file is a file.
        let linked_folder = entry.file_type()?.is_symlink() && below.is_dir();
        let is_yaml = below.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
        if !hidden && !linked_folder && (is_yaml || below.is_dir()) {
            collect(&below, files)?;
        }
    }
    Ok(())
}

/// The documents of a text. Each stands behind as many blank lines as keep it on its own line numbers.
fn split(text: &str) -> Vec<String> {
    let mut documents = Vec::new();
    let mut current = String::new();
    for (index, line) in text.split_inclusive('\n').enumerate() {
        // At the beginning of a line these are markers wherever they stand, even inside a text.
        let marker = ["---", "..."].into_iter().find_map(|marker| line.strip_prefix(marker));
        match marker.filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace)) {
            Some(rest) => {
                let next = format!("{}   {rest}", "\n".repeat(index));
                documents.push(std::mem::replace(&mut current, next));
            }
            None => current.push_str(line),
        }
    }
    documents.push(current);
    documents
}

/// Whether a document is an object of Tenantry, or was meant to be one.
fn is_ours(document: &str) -> bool {
    let ours = |version: &str| version.split('/').next() == Some(GROUP);
    match serde_saphyr::from_str::<Value>(document) {
        Ok(object) => match object.get("apiVersion").and_then(Value::as_str) {
            Some(version) => ours(version),
            None => object.get("kind").and_then(Value::as_str).is_some_and(|kind| KINDS.contains(&kind)),
        },
        // Not YAML: templates of other tools are not ours to judge.
        Err(_) => document
            .lines()
            .filter_map(|line| line.strip_prefix("apiVersion:"))
            .any(|version| ours(version.trim().trim_matches(['"', '\'']))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_keep_their_lines() {
        let text = "# head\n---\nkind: A\ntext: |\n  ---\n--- # next\nkind: B\n...\n---\n---no: marker\n";
        let documents = split(text);
        let line_of =
            |index: usize, part: &str| documents[index].lines().position(|line| line.contains(part));
        assert_eq!(documents.len(), 5);
        assert_eq!(line_of(1, "kind: A"), Some(2));
        assert_eq!(line_of(1, "  ---"), Some(4), "indented dashes belong to the text");
        assert_eq!(line_of(2, "kind: B"), Some(6));
        assert_eq!(line_of(4, "---no: marker"), Some(9));
        assert_eq!(split("kind: A"), ["kind: A"]);
    }

    #[test]
    fn only_objects_of_tenantry_are_taken() {
        let cases = [
            ("apiVersion: tenantry.io/v1alpha1\nkind: Blueprint\n", true),
            ("apiVersion: tenantry.io/v9\nkind: Nonsense\n", true),
            ("kind: ServicePlan\n", true),
            ("apiVersion: tenantry.io/v1alpha1\nkind: [\n", true),
            ("apiVersion: v1\nkind: ConfigMap\nmetadata: {labels: {tenantry.io/a: b}}\n", false),
            ("apiVersion: {{ .Values.version }}\nkind: [\n", false),
            ("apiVersion: tenantry.io.example/v1\nkind: Blueprint\n", false),
            ("# nothing\n", false),
            ("", false),
        ];
        for (document, expected) in cases {
            assert_eq!(is_ours(document), expected, "{document}");
        }
    }

    #[test]
    fn an_object_with_two_contents_is_an_error_and_an_equal_one_is_not() {
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/applications/mail/application.yaml");
        let text = fs::read_to_string(example).unwrap();
        let mut library = Library::default();
        library.file("a.yaml", &text);
        library.file("b.yaml", &format!("# The same.\n---\n{text}"));
        assert_eq!((library.objects().len(), library.findings()), (1, &[][..]));
        library.file("c.yaml", &text.replace("name: standard", "name: other"));
        let found: Vec<String> = library.findings().iter().map(ToString::to_string).collect();
        assert_eq!(library.objects().len(), 1);
        let start = "c.yaml:4:9: error: application `mail` differs from the one in a.yaml";
        assert!(found.len() == 1 && found[0].starts_with(start), "{found:?}");
    }
}
