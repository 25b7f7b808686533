//! Compiles the definitions a tenant runs, once for each revision; pure.

use crate::context::{self, Context, Specs, Tenant};
use crate::expression::{Expression, ExpressionError};
use crate::object::Author;
use crate::schema::ContextSchema;
use crate::sizing::{Sizing, SizingError, formulas};
use crate::template::{TemplateError, TemplateSet};
use serde_json::Value;
use tenantry_checklist::order::Order;
use tenantry_checklist::sizing::{self, Offer, SizingInput};
use tenantry_crds::ServicePlanSpec;
use tenantry_crds::application::HostedApplicationSpec;
use tenantry_crds::blueprint::{AllowedKinds, Baseline, BlueprintSpec, GoLiveAction, Item, JobAction};
use tenantry_crds::common::Manifest;
use tenantry_crds::subscription::{SizedResource, SizingStatus};
use tenantry_crds::version::{HostedApplicationVersionSpec, JobRole, VersionJob};

/// What the names of manifests begin with, in the keys of their templates, that stand in the place of others for a while.
const SUSPENDED: &str = "suspended/";

/// One accepted revision of blueprint, application and version, ready to render. It never changes, so one copy behind
/// an `Arc` serves all tenants that run it.
#[derive(Clone, Debug)]
pub struct Compiled {
    blueprint: BlueprintSpec,
    application: HostedApplicationSpec,
    version: HostedApplicationVersionSpec,
    schema: ContextSchema,
    templates: TemplateSet,
    items: Vec<CompiledItem>,
    readiness: Vec<Expression>,
    sizing: Sizing,
}

/// One item of the checklist.
#[derive(Clone, Debug)]
pub(crate) struct CompiledItem {
    pub(crate) name: String,
    pub(crate) when: Option<Expression>,
    /// When a confirmation is asked for; with no expression, whenever the item has one.
    pub(crate) confirm_when: Option<Expression>,
    pub(crate) baseline: Vec<Baseline>,
    pub(crate) manifests: Vec<CompiledManifest>,
    /// Whether its objects open the tenant.
    pub(crate) opens: bool,
    /// What stands in the place of its objects while nobody is let in.
    pub(crate) suspended: Vec<CompiledManifest>,
    /// The job it runs.
    pub(crate) job: Option<CompiledJob>,
    /// What is waited for of somebody else's object.
    pub(crate) external: Option<usize>,
}

/// The job of an item.
#[derive(Clone, Debug)]
pub(crate) struct CompiledJob {
    pub(crate) action: JobAction,
    /// How long it may take.
    pub(crate) timeout: String,
    /// Its template; nothing where the version has no job of that role.
    pub(crate) origin: Option<String>,
}

/// One template with what is known about it.
#[derive(Clone, Debug)]
pub(crate) struct CompiledManifest {
    pub(crate) origin: String,
    pub(crate) author: Author,
    pub(crate) optional: bool,
    pub(crate) ready_when: Option<usize>,
}

/// Why definitions cannot be used together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// A template is not good.
    #[error("{0}")]
    Template(#[from] TemplateError),
    /// An expression is not good.
    #[error("{field}: {error}")]
    Expression {
        /// Which one, such as `items[network].when`.
        field: String,
        /// What is wrong.
        error: ExpressionError,
    },
    /// A manifest of a version names an item that the blueprint does not have.
    #[error(
        "manifests[{manifest}].item: the blueprint has no item `{item}`; name one of its items, or leave it out"
    )]
    UnknownItem {
        /// Name of the manifest.
        manifest: String,
        /// Name of the item.
        item: String,
    },
    /// The blueprint has no item that installs the application.
    #[error(
        "items: no item has the action `application`; add one, or the version's manifests belong nowhere"
    )]
    NoApplicationItem,
}

/// Where the template of a blueprint's manifest comes from, for messages and as its key.
pub(crate) fn blueprint_origin(item: &str, manifest: &str) -> String {
    format!("blueprint/{item}/{manifest}")
}

/// The same for a manifest that stands in the place of the open ones while nobody is let in.
pub(crate) fn suspended_origin(item: &str, manifest: &str) -> String {
    blueprint_origin(item, &format!("{SUSPENDED}{manifest}"))
}

/// Where the template of a version's manifest comes from, for messages and as its key.
pub(crate) fn version_origin(manifest: &str) -> String {
    format!("version/{manifest}")
}

/// Where the template of a version's job comes from, for messages and as its key.
pub(crate) fn job_origin(role: JobRole) -> String {
    format!("version/jobs/{role:?}")
}

/// The job that an item runs, of those that a version has.
pub(super) fn compiled_job(item: &Item, action: &JobAction, jobs: &[VersionJob]) -> CompiledJob {
    CompiledJob {
        action: action.clone(),
        timeout: item.timeout.clone(),
        origin: jobs.iter().find(|job| job.role == action.role).map(|job| job_origin(job.role)),
    }
}

/// The manifests an item of a blueprint holds itself, whatever its action, while the tenant is served.
pub(crate) fn own_manifests(item: &Item) -> impl Iterator<Item = &Manifest> {
    let opening = item.go_live.as_ref().map(|action| &action.manifests);
    item.manifests.iter().chain(opening).flatten()
}

/// Those that stand in the place of some of them while nobody is let in.
pub(crate) fn suspended_manifests(item: &Item) -> impl Iterator<Item = &Manifest> {
    item.go_live.iter().flat_map(|action| &action.suspended)
}

/// The item a manifest of a version belongs to: the one it names, else the one that installs the application.
pub(crate) fn item_of<'a>(manifest: &'a Manifest, blueprint: &'a BlueprintSpec) -> Option<&'a str> {
    match &manifest.item {
        Some(name) => {
            blueprint.items.iter().map(|item| &item.name).find(|item| *item == name).map(String::as_str)
        }
        None => blueprint.items.iter().find(|item| item.application.is_some()).map(|item| item.name.as_str()),
    }
}

// === impl Compiled ===

impl Compiled {
    /// Compiles definitions that shall run together.
    ///
    /// # Errors
    /// Everything that is wrong with them, not only the first.
    pub fn new(specs: Specs<'_>) -> Result<Self, Vec<CompileError>> {
        let Specs { blueprint, application, version } = specs;
        let mut builder = Builder::default();
        for item in &blueprint.items {
            builder.item(item, &version.jobs);
        }
        builder.texts.extend(version.jobs.iter().map(|job| (job_origin(job.role), job.template.as_str())));
        for manifest in &version.manifests {
            builder.version_manifest(manifest, blueprint);
        }
        builder.formulas(application);
        let Builder { texts, items, readiness, sizing, mut errors } = builder;
        let pairs = texts.iter().map(|(origin, text)| (origin.as_str(), *text));
        match TemplateSet::compile(pairs) {
            Ok(templates) if errors.is_empty() => Ok(Self {
                blueprint: blueprint.clone(),
                application: application.clone(),
                version: version.clone(),
                schema: ContextSchema::new(Some(&application.parameters_schema)),
                templates,
                items,
                readiness,
                sizing: Sizing(sizing),
            }),
            Ok(_) => Err(errors),
            Err(found) => {
                errors.extend(found.into_iter().map(CompileError::Template));
                Err(errors)
            }
        }
    }

    /// The context of an order under this revision.
    #[must_use]
    pub fn context(&self, order: &Order) -> Context {
        self.context_from(Tenant::of(order), &order.definitions.plan.spec, context::of_order(order))
    }

    /// The context of an order that is given as templates see it. Paths it does not have are empty.
    #[must_use]
    pub fn context_from(&self, tenant: Tenant, plan: &ServicePlanSpec, order: Value) -> Context {
        Context::new(&self.schema, &self.blueprint.settings, tenant, plan, order)
    }

    /// The specs it was compiled from.
    #[must_use]
    pub fn specs(&self) -> Specs<'_> {
        Specs { blueprint: &self.blueprint, application: &self.application, version: &self.version }
    }

    /// Schema of the context its templates read.
    #[must_use]
    pub fn schema(&self) -> &ContextSchema {
        &self.schema
    }

    /// What the customer's business needs, and whether the plan has it; nothing where the order states no business, or
    /// the application has no formulas. `offers` are the plans that could be ordered instead.
    ///
    /// # Errors
    /// The first formula that has no result.
    pub fn size(
        &self,
        context: &Context,
        order: &Order,
        offers: &[Offer<'_>],
    ) -> Result<Option<SizingStatus>, SizingError> {
        let Some(inputs) = order.inputs.as_ref().filter(|_| !self.sizing.is_empty()) else {
            return Ok(None);
        };
        let plan = &order.definitions.plan;
        sizing::size(&SizingInput {
            inputs,
            plan: Offer { name: plan.revision.name(), spec: &plan.spec },
            offers,
            needs_after: &|months| self.sizing.needs(&context.variables, inputs, months),
        })
        .map(Some)
    }

    /// The expression that says when an object is ready, by [`super::RenderedObject::ready_when`].
    #[must_use]
    pub fn readiness(&self, index: usize) -> Option<&Expression> {
        self.readiness.get(index)
    }

    /// JSON pointer of the template with this origin, in the blueprint or in the version.
    pub(crate) fn pointer(&self, origin: &str) -> Option<String> {
        let named =
            |manifests: &[Manifest], name: &str| manifests.iter().position(|manifest| manifest.name == name);
        if let Some(role) = origin.strip_prefix("version/jobs/") {
            let index = self.version.jobs.iter().position(|job| format!("{:?}", job.role) == role)?;
            return Some(format!("/spec/jobs/{index}/template"));
        }
        if let Some(name) = origin.strip_prefix("version/") {
            let index = named(&self.version.manifests, name)?;
            return Some(format!("/spec/manifests/{index}/template"));
        }
        let (item, name) = origin.strip_prefix("blueprint/")?.split_once('/')?;
        let at = self.blueprint.items.iter().position(|known| known.name == item)?;
        let item = self.blueprint.items.get(at)?;
        let own = item.manifests.as_ref().and_then(|manifests| named(manifests, name));
        let of_opening = |manifests: &dyn Fn(&GoLiveAction) -> &[Manifest], name: &str| {
            item.go_live.as_ref().and_then(|action| named(manifests(action), name))
        };
        let (list, index) = match (own, name.strip_prefix(SUSPENDED)) {
            (Some(index), _) => ("manifests", index),
            (None, Some(name)) => ("goLive/suspended", of_opening(&|action| &action.suspended, name)?),
            (None, None) => ("goLive/manifests", of_opening(&|action| &action.manifests, name)?),
        };
        Some(format!("/spec/items/{at}/{list}/{index}/template"))
    }

    pub(super) fn items(&self) -> &[CompiledItem] {
        &self.items
    }

    pub(super) fn templates(&self) -> &TemplateSet {
        &self.templates
    }

    pub(super) fn allowed_kinds(&self) -> &[AllowedKinds] {
        &self.blueprint.allowed_kinds
    }
}

/// What is gathered while the definitions are read.
#[derive(Default)]
struct Builder<'a> {
    texts: Vec<(String, &'a str)>,
    items: Vec<CompiledItem>,
    readiness: Vec<Expression>,
    sizing: Vec<(SizedResource, &'static str, Expression)>,
    errors: Vec<CompileError>,
}

// === impl Builder ===

impl<'a> Builder<'a> {
    fn item(&mut self, item: &'a Item, jobs: &[VersionJob]) {
        let when = item
            .when
            .as_deref()
            .and_then(|source| self.expression(source, || format!("items[{}].when", item.name)));
        let confirm_when = item
            .confirm
            .as_ref()
            .and_then(|confirm| confirm.when.as_deref())
            .and_then(|source| self.expression(source, || format!("items[{}].confirm.when", item.name)));
        let external = item.external.as_ref().and_then(|action| {
            self.readiness(&action.until, || format!("items[{}].external.until", item.name))
        });
        let manifests = own_manifests(item)
            .map(|manifest| {
                self.manifest(manifest, blueprint_origin(&item.name, &manifest.name), Author::Blueprint)
            })
            .collect();
        let suspended = suspended_manifests(item)
            .map(|manifest| {
                self.manifest(manifest, suspended_origin(&item.name, &manifest.name), Author::Blueprint)
            })
            .collect();
        self.items.push(CompiledItem {
            name: item.name.clone(),
            when,
            confirm_when,
            external,
            baseline: item.baseline.clone(),
            manifests,
            opens: item.go_live.is_some(),
            suspended,
            job: item.job.as_ref().map(|action| compiled_job(item, action, jobs)),
        });
    }

    fn version_manifest(&mut self, manifest: &'a Manifest, blueprint: &'a BlueprintSpec) {
        let compiled = self.manifest(manifest, version_origin(&manifest.name), Author::Application);
        match (item_of(manifest, blueprint), &manifest.item) {
            (Some(name), _) => {
                let item = self.items.iter_mut().find(|item| item.name == name);
                item.into_iter().for_each(|item| item.manifests.push(compiled.clone()));
            }
            (None, Some(item)) => {
                self.errors
                    .push(CompileError::UnknownItem { manifest: manifest.name.clone(), item: item.clone() });
            }
            (None, None) => {
                if !self.errors.contains(&CompileError::NoApplicationItem) {
                    self.errors.push(CompileError::NoApplicationItem);
                }
            }
        }
    }

    fn formulas(&mut self, application: &HostedApplicationSpec) {
        for (resource, field, formula) in application.sizing.as_ref().map(formulas).unwrap_or_default() {
            let compiled = self.expression(formula, || format!("sizing.{field}"));
            self.sizing.extend(compiled.map(|expression| (resource, field, expression)));
        }
    }

    fn manifest(&mut self, manifest: &'a Manifest, origin: String, author: Author) -> CompiledManifest {
        let ready_when = manifest
            .ready_when
            .as_deref()
            .and_then(|source| self.readiness(source, || format!("{origin}: readyWhen")));
        self.texts.push((origin.clone(), &manifest.template));
        CompiledManifest { origin, author, optional: manifest.optional, ready_when }
    }

    /// An expression over an object, by its place among those.
    fn readiness(&mut self, source: &str, field: impl FnOnce() -> String) -> Option<usize> {
        let expression = self.expression(source, field)?;
        self.readiness.push(expression);
        Some(self.readiness.len() - 1)
    }

    fn expression(&mut self, source: &str, field: impl FnOnce() -> String) -> Option<Expression> {
        match Expression::compile(source) {
            Ok(expression) => Some(expression),
            Err(error) => {
                self.errors.push(CompileError::Expression { field: field(), error });
                None
            }
        }
    }
}
