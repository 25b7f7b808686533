//! The orders of a file, rendered with what they refer to; no client.

use super::check::{Schemas, is_error, problems};
use super::files::{Library, finding};
use clap::Args;
use std::path::PathBuf;
use tenantry_blueprint::check::{Finding, Severity};
use tenantry_blueprint::context::Specs;
use tenantry_blueprint::pack::Packed;
use tenantry_blueprint::render::{Compiled, RenderedItem};
use tenantry_checklist::hosts::Claims;
use tenantry_checklist::order::Order;
use tenantry_crds::TenantSubscriptionSpec;

/// Which orders.
#[derive(Args, Debug)]
pub(super) struct Source {
    /// File with the subscription, or with several.
    #[arg(short, long, value_name = "SUBSCRIPTION")]
    filename: PathBuf,
    /// Folder or file with what the subscription refers to: plan, application, version and blueprint. May be given
    /// several times.
    #[arg(long, value_name = "DIR")]
    with: Vec<PathBuf>,
}

/// An order and what its checklist consists of.
pub(super) struct Rendered {
    pub(super) order: Order,
    pub(super) items: Vec<RenderedItem>,
}

// === impl Source ===

impl Source {
    /// The orders. What is wrong with them is printed, and then there are none.
    pub(super) fn read(&self) -> anyhow::Result<Option<Vec<Rendered>>> {
        // The subscription's file comes first, so that it counts and not a copy of it in the folders.
        let library = Library::read(std::iter::once(&self.filename).chain(&self.with))?;
        let schemas = Schemas::new()?;
        let file = self.filename.to_string_lossy();
        let mut findings = library.findings().to_vec();
        let mut all = Vec::new();
        let mut is_empty = true;
        for (packed, spec) in library.orders().filter(|(packed, _)| file == packed.sources.file()) {
            is_empty = false;
            match rendered(&library, &schemas, packed, spec) {
                Ok(rendered) => all.push(rendered),
                Err(found) => findings.extend(found),
            }
        }
        for finding in &findings {
            eprintln!("{finding}");
        }
        if findings.iter().any(is_error) {
            return Ok(None);
        }
        if is_empty {
            anyhow::bail!("{file} holds no TenantSubscription; name the file of one");
        }
        Ok(Some(all))
    }
}

/// One order, or what is wrong with it.
fn rendered(
    library: &Library,
    schemas: &Schemas,
    packed: &Packed,
    spec: &TenantSubscriptionSpec,
) -> Result<Rendered, Vec<Finding>> {
    let map = &packed.sources;
    let shape = schemas.check(packed);
    if shape.iter().any(is_error) {
        return Err(shape);
    }
    let order =
        library.resolve(packed.name(), spec, &Claims::default()).map_err(|found| problems(map, &found))?;
    let failed = |error: &dyn ToString| finding(map.field("/spec"), Severity::Error, error.to_string(), "");
    let definitions = &order.definitions;
    let specs = Specs {
        blueprint: &definitions.blueprint.spec,
        application: &definitions.application.spec,
        version: &definitions.version.spec,
    };
    let compiled = Compiled::new(specs)
        .map_err(|errors| errors.iter().map(|error| failed(error)).collect::<Vec<_>>())?;
    let items = compiled.render(&compiled.context(&order)).map_err(|error| vec![failed(&error)])?;
    Ok(Rendered { order, items })
}

/// An order of the examples.
#[cfg(test)]
pub(super) fn example(tenant: &str) -> Rendered {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let library = Library::read([&examples]).unwrap();
    let (packed, spec) = library.orders().find(|(packed, _)| packed.name() == tenant).unwrap();
    rendered(&library, &Schemas::new().unwrap(), packed, spec).unwrap()
}
