//! Definitions become compiled revisions, and a compiled revision and an order become objects; pure.

mod compile;
mod job;

pub use compile::{CompileError, Compiled};
pub(crate) use compile::{blueprint_origin, job_origin, own_manifests, suspended_origin, version_origin};
pub use job::{ATTEMPT_VARIABLE, JOB_PRIORITY, RESULT_FINALIZER, RUN_LABEL, RenderedJob};

use crate::context::Context;
use crate::decorate;
use crate::expression::{Expression, ExpressionError};
use crate::kinds::{self, GroupKind};
use crate::object::{self, Author, Fault, Identity, Owner};
use crate::problem::{Position, Problem};
use crate::rollout;
use crate::suspend::rest;
use crate::template::TemplateError;
use compile::{CompiledItem, CompiledManifest};
use serde_json::Value;
use std::collections::BTreeMap;
use tenantry_crds::blueprint::Baseline;

/// Most objects a tenant's templates may give. The record of a tenant's objects in its status holds 512, and an
/// upgrade needs room for old and new ones.
const OBJECT_LIMIT: usize = 256;

/// One item of the checklist with what it brings.
#[derive(Clone, Debug, PartialEq)]
pub struct RenderedItem {
    /// Name of the item.
    pub name: String,
    /// Why the item does not apply to this order; `None` when it does.
    pub skipped: Option<String>,
    /// Whether a confirmation of the item, where it has one, is asked for under this order.
    pub confirmed: bool,
    /// Objects Tenantry builds itself that this item answers for, see [`crate::baseline`].
    pub baseline: Vec<Baseline>,
    /// Objects of the item's templates, in the order of the templates.
    pub objects: Vec<RenderedObject>,
    /// Objects that would stand in the place of some of them if the tenant were suspended, or were not: what they need is asked
    /// for beforehand, so that a suspension is never refused.
    pub standby: Vec<RenderedObject>,
    /// The job that it runs.
    pub job: Option<RenderedJob>,
    /// Index of the expression that says whether somebody else's object is as it should be, for [`Compiled::readiness`].
    pub external: Option<usize>,
}

/// One object of a tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct RenderedObject {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Name. The namespace is the tenant's, or none for the namespace itself.
    pub name: String,
    /// The whole object.
    pub body: Value,
    /// Whether it is left out where its kind is not installed.
    pub optional: bool,
    /// Index of the expression that says when it is ready, for [`Compiled::readiness`].
    pub ready_when: Option<usize>,
    /// Template it came from, such as `blueprint/network/route.yaml`; `baseline` for objects Tenantry builds itself.
    pub origin: String,
}

/// Why an order cannot be rendered. No message holds a value of the order, apart from the names of objects.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A template has no result.
    #[error("{0}")]
    Template(#[from] TemplateError),
    /// An object is not what a tenant's object must be, or its kind is not allowed.
    #[error("{0}")]
    Object(Problem),
    /// Two templates give an object of the same kind and name.
    #[error("{first} and {second} both give {kind}/{name}; rename one of them")]
    Duplicate {
        /// Template of the first object.
        first: String,
        /// Template of the second object.
        second: String,
        /// Kind of both.
        kind: String,
        /// Name of both.
        name: String,
    },
    /// The condition of an item has no result.
    #[error("item {item}: {field}: {error}")]
    When {
        /// Name of the item.
        item: String,
        /// Which condition: `when` or `confirm.when`.
        field: &'static str,
        /// What went wrong.
        error: ExpressionError,
    },
    /// There are more objects than a tenant may have.
    #[error("the templates give {0} objects; a tenant may have {OBJECT_LIMIT}, so split the application")]
    TooMany(usize),
}

/// First template of each object, by kind and name.
type Seen = BTreeMap<(GroupKind, String), String>;

// === impl Compiled ===

impl Compiled {
    /// Renders everything an order asks for, item by item in the order of the blueprint. The same order and revision
    /// give the same bytes every time.
    ///
    /// # Errors
    /// The first template, condition or object that is not good, or two objects of one name.
    pub fn render(&self, context: &Context) -> Result<Vec<RenderedItem>, RenderError> {
        let mut seen = Seen::new();
        let mut items = self
            .items()
            .iter()
            .map(|item| self.render_item(item, context, &mut seen))
            .collect::<Result<Vec<_>, _>>()?;
        if seen.len() > OBJECT_LIMIT {
            return Err(RenderError::TooMany(seen.len()));
        }
        settle(&mut items);
        Ok(items)
    }

    fn render_item(
        &self,
        item: &CompiledItem,
        context: &Context,
        seen: &mut Seen,
    ) -> Result<RenderedItem, RenderError> {
        let holds = |field, when: &Option<Expression>| match when {
            None => Ok(true),
            Some(when) => when.evaluate(&context.variables).map_err(|error| RenderError::When {
                item: item.name.clone(),
                field,
                error,
            }),
        };
        let applies = holds("when", &item.when)?;
        let confirmed = applies && holds("confirm.when", &item.confirm_when)?;
        let (mut objects, mut standby) = (Vec::new(), Vec::new());
        if applies {
            let closed = context.network_suspended && item.opens;
            let (stands, waits) =
                if closed { (&item.suspended, &item.manifests) } else { (&item.manifests, &item.suspended) };
            // They never stand side by side, so their names may be the same.
            let mut seen_otherwise = if waits.is_empty() { Seen::new() } else { seen.clone() };
            for manifest in stands {
                self.render_manifest(manifest, context, seen, &mut objects)?;
            }
            if item.opens {
                for manifest in waits {
                    self.render_manifest(manifest, context, &mut seen_otherwise, &mut standby)?;
                }
            }
        }
        let mut skipped = (!applies).then(|| "does not apply to this order".to_owned());
        let mut job = None;
        if let Some(compiled) = item.job.as_ref().filter(|_| applies) {
            match self.render_job(compiled, context)? {
                Ok(rendered) => job = Some(rendered),
                Err(why) => skipped = Some(why.to_owned()),
            }
        }
        Ok(RenderedItem {
            name: item.name.clone(),
            skipped,
            confirmed,
            baseline: item.baseline.clone(),
            objects,
            standby,
            job,
            external: item.external.filter(|_| applies),
        })
    }

    fn render_manifest(
        &self,
        manifest: &CompiledManifest,
        context: &Context,
        seen: &mut Seen,
        out: &mut Vec<RenderedObject>,
    ) -> Result<(), RenderError> {
        for mut body in self.templates().render(&manifest.origin, &context.values)? {
            let identity = self
                .permitted(&body, manifest.author)
                .and_then(|()| tenants_own(&mut body, manifest.author, context))
                .map_err(|fault| self.object_error(&manifest.origin, &fault))?;
            if context.compute_suspended && !rest(&mut body, &identity.kind) {
                continue;
            }
            let key = (identity.kind.clone(), identity.name.clone());
            if let Some(first) = seen.insert(key, manifest.origin.clone()) {
                return Err(RenderError::Duplicate {
                    first,
                    second: manifest.origin.clone(),
                    kind: identity.kind.to_string(),
                    name: identity.name,
                });
            }
            out.push(RenderedObject {
                api_version: identity.api_version,
                kind: identity.kind.kind,
                name: identity.name,
                body,
                optional: manifest.optional,
                ready_when: manifest.ready_when,
                origin: manifest.origin.clone(),
            });
        }
        Ok(())
    }

    /// Whether the author of a template may render the kind of an object.
    fn permitted(&self, body: &Value, author: Author) -> Result<(), Fault> {
        let kind = object::identity(body)?.kind;
        let denied = match author {
            Author::Blueprint => kinds::denied(&kind),
            Author::Application => kinds::denied_to_applications(&kind, self.allowed_kinds()),
        };
        match denied {
            None => Ok(()),
            Some(why) => Err(Fault {
                field: "kind",
                message: format!("the kind {kind} is not allowed"),
                hint: why.hint(),
            }),
        }
    }

    fn object_error(&self, origin: &str, fault: &Fault) -> RenderError {
        let position = match fault.field {
            "" => Position::START,
            field => self.templates().find(origin, &format!("{field}:")),
        };
        RenderError::Object(Problem::new(origin, position, &fault.message, fault.hint))
    }
}

/// Says of every workload how it replaces its pods, which depends on the volumes of all.
fn settle(items: &mut [RenderedItem]) {
    let all = items.iter().flat_map(|item| item.objects.iter().chain(&item.standby));
    let claims = rollout::Claims::of(all.map(|object| &object.body));
    for object in items.iter_mut().flat_map(|item| item.objects.iter_mut().chain(&mut item.standby)) {
        let kind = GroupKind::new(&object.api_version, &object.kind);
        rollout::settle(&mut object.body, &kind, &claims);
    }
}

/// Makes a rendered object the tenant's: holds it to the rules, and puts on it what the plan says.
fn tenants_own(body: &mut Value, author: Author, context: &Context) -> Result<Identity, Fault> {
    let groups = context.tenant.groups(&context.settings.group_prefix);
    let owner = Owner { namespace: context.tenant.namespace.as_str(), groups: &groups, author };
    let identity = object::admit(body, owner)?;
    let allow_list = context.settings.gateway.allow_list;
    decorate::decorate(
        body,
        &identity.kind,
        &context.plan,
        &context.tenant.id,
        allow_list,
        &context.allow_from,
    );
    Ok(identity)
}

#[cfg(test)]
mod tests;
