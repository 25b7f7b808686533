//! `tenantry render`: the objects an order would have, as YAML. Needs neither client nor clock.

use super::Outcome;
use super::orders::{Rendered, Source};
use crate::manifests::{DEFAULT_NAMESPACE, SERVICE_ACCOUNT};
use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use std::fmt::Write;
use tenantry_apply::object::{Desired, Kind, Owner, Stage};
use tenantry_blueprint::baseline::{self, BaselineInput, ServiceAccount};
use tenantry_blueprint::context::Tenant;
use tenantry_blueprint::render::{RenderedItem, RenderedObject};
use tenantry_checklist::order::Order;
use tenantry_checklist::suspension::Effect;
use tenantry_crds::blueprint::Baseline;

/// Arguments of `tenantry render`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    source: Source,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let Some(orders) = arguments.source.read()? else { return Ok(Outcome::Bad) };
    let texts: anyhow::Result<Vec<String>> = orders.into_iter().map(preview).collect();
    print!("{}", texts?.concat());
    Ok(Outcome::Good)
}

/// The objects of one order as YAML.
fn preview(Rendered { order, items }: Rendered) -> anyhow::Result<String> {
    Preview::new(&order).text(items)
}

/// A text that grows object by object.
struct Preview<'a> {
    order: &'a Order,
    owner: Owner,
    out: String,
}

// === impl Preview ===

impl<'a> Preview<'a> {
    fn new(order: &'a Order) -> Self {
        let owner = Owner {
            tenant_id: order.tenant_id.as_str().into(),
            subscription: order.name.as_str().into(),
            namespace: order.namespace.as_str().into(),
        };
        Self { order, owner, out: String::new() }
    }

    /// What Tenantry builds itself comes first, then the items in the order of the blueprint.
    fn text(mut self, items: Vec<RenderedItem>) -> anyhow::Result<String> {
        let (name, id) = (self.order.name.as_str(), self.order.tenant_id.as_str());
        writeln!(
            self.out,
            "# Preview of subscription {name}: the tenant id {id} stands for the random one that a cluster gives."
        )?;
        let tenant = Tenant::of(self.order);
        let mut built = baseline::objects(BaselineInput::of(&tenant, self.order, &Effect::default()))?;
        let controller =
            ServiceAccount { namespace: DEFAULT_NAMESPACE.to_owned(), name: SERVICE_ACCOUNT.to_owned() };
        for item in &items {
            for part in &item.baseline {
                for object in built.remove(part).unwrap_or_default() {
                    self.object(&item.name, object)?;
                }
                if *part == Baseline::Namespace {
                    self.object(&item.name, baseline::manager_binding(&tenant, &controller))?;
                }
            }
        }
        let order = self.order;
        let blueprint = &order.definitions.blueprint.spec;
        for (item, RenderedItem { name, skipped, objects, .. }) in blueprint.items.iter().zip(items) {
            if let Some(why) = skipped {
                writeln!(self.out, "# item {name}: {why}")?;
                continue;
            }
            if item.application.is_some() {
                self.secrets(&name)?;
            }
            for object in objects {
                self.object(&name, object)?;
            }
        }
        Ok(self.out)
    }

    fn object(&mut self, item: &str, object: RenderedObject) -> anyhow::Result<()> {
        let RenderedObject { api_version, kind, body, optional, origin, .. } = object;
        let kind = Kind::from_api_version(&api_version, &kind);
        let note = if optional { "; left out where its kind is not installed" } else { "" };
        // Templates give nothing outside the tenant's namespace, and the namespace itself is built.
        self.write(item, &format!("{origin}{note}"), !kind.is_namespace(), body)
    }

    /// Secrets as they are before the cluster fills them: their values are never anywhere else.
    fn secrets(&mut self, item: &str) -> anyhow::Result<()> {
        let order = self.order;
        for secret in &order.definitions.version.spec.secrets {
            let keys: Vec<&str> = secret.keys.iter().map(|key| key.name.as_str()).collect();
            let origin = format!("generated once, in the cluster, with the keys {}", keys.join(", "));
            let metadata = json!({"name": secret.name});
            let body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque"});
            self.write(item, &origin, true, body)?;
        }
        Ok(())
    }

    fn write(&mut self, item: &str, origin: &str, namespaced: bool, body: Value) -> anyhow::Result<()> {
        let desired = Desired::new(&self.owner, item, Stage::Ordinary, namespaced, body)
            .with_context(|| format!("item {item}: {origin}"))?;
        let options =
            serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX, compact_list_indent: false };
        let yaml = serde_saphyr::to_string_with_options(&*desired.body, options)?;
        write!(self.out, "---\n# item {item}: {origin}\n{yaml}")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::orders::example;

    fn rendered(tenant: &str) -> String {
        preview(example(tenant)).unwrap()
    }

    #[test]
    fn the_objects_of_an_order_come_with_the_namespace_first() {
        let text = rendered("acme");
        assert!(text.starts_with("# Preview of subscription acme: the tenant id "), "{text}");
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let kinds: Vec<&str> = objects.iter().filter_map(|object| object["kind"].as_str()).collect();
        assert_eq!(kinds[..2], ["Namespace", "RoleBinding"]);
        for kind in ["ResourceQuota", "LimitRange", "NetworkPolicy", "StatefulSet", "HTTPRoute", "Secret"] {
            assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
        }
        let namespace = &objects[0]["metadata"]["name"];
        for object in &objects[1..] {
            assert_eq!(&object["metadata"]["namespace"], namespace, "{object}");
        }
        assert_eq!(text, rendered("acme"), "the same order gives the same text");
    }

    #[test]
    fn secrets_have_no_values() {
        let objects: Vec<Value> = serde_saphyr::from_multiple(&rendered("acme")).unwrap();
        let secrets: Vec<&Value> = objects.iter().filter(|object| object["kind"] == "Secret").collect();
        assert_eq!(secrets.len(), 2);
        assert!(secrets.iter().all(|secret| secret.get("data").or(secret.get("stringData")).is_none()));
    }
}
