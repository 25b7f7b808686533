//! Everything that exists of a tenant, in a form that can be compared with another tenant's and with an earlier look.
//! Needs a client.

use anyhow::{Context, Result, bail};
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::ApiResource;
use kube::discovery::{Scope, verbs};
use kube::{Client, Discovery, ResourceExt};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tenantry_control_plane::AuditEvent;
use tenantry_crds::TenantSubscription;

/// Label that says whose an object is.
const TENANT_ID: &str = "tenantry.io/tenant-id";
/// What Kubernetes itself writes about others, and what it makes of a Service under the same name.
const DERIVED: [&str; 2] = ["events", "endpoints"];

/// What the API server asks for while the cache of a kind is filled, and more often than that takes.
const CACHE_PAUSE: Duration = Duration::from_secs(1);
const CACHE_ATTEMPTS: u32 = 30;

/// Everything that existed of a tenant at one moment, by [`key`].
#[derive(Clone, Debug)]
pub struct Census {
    objects: BTreeMap<String, Found>,
    words: Words,
}

/// An object as it was found.
#[derive(Clone, Debug)]
struct Found {
    resource: ApiResource,
    object: DynamicObject,
}

/// What differs between two tenants that are otherwise the same.
#[derive(Clone, Debug)]
struct Words {
    subscription: String,
    tenant_id: String,
    uids: BTreeSet<String>,
    /// What the names of jobs end with: digests of what they are about, the tenant among it.
    runs: BTreeSet<String>,
}

/// What identifies an object in the API server, in one word: `deployments.apps/web`.
#[must_use]
pub fn key(group: &str, resource: &str, name: &str) -> String {
    if group.is_empty() { format!("{resource}/{name}") } else { format!("{resource}.{group}/{name}") }
}

/// The object that a request was about, as [`key`].
#[must_use]
pub fn key_of(event: &AuditEvent) -> String {
    key(&event.group, &event.resource, &event.name)
}

// === impl Census ===

impl Census {
    /// Looks at everything in the tenant's namespace, and at everything anywhere that carries the tenant's id.
    ///
    /// What controllers of Kubernetes make of the tenant's objects is left out: pods, for example, are owned by what
    /// made them and have random names.
    ///
    /// # Errors
    /// When the API server does not answer, or the tenant has no identity yet.
    pub async fn of(client: &Client, subscription: &TenantSubscription) -> Result<Self> {
        let tenant = subscription.status.as_ref().and_then(|status| status.tenant.as_ref());
        let tenant = tenant.context("the tenant has no identity yet")?;
        let labelled = ListParams::default().labels(&format!("{TENANT_ID}={}", tenant.id));
        let mut found = Vec::new();
        for (resource, scope) in listable(client).await? {
            let mut objects = list(Api::all_with(client.clone(), &resource), &labelled).await?;
            if scope == Scope::Namespaced {
                let api = Api::namespaced_with(client.clone(), &tenant.namespace, &resource);
                objects.extend(list(api, &ListParams::default()).await?);
            }
            found.extend(objects.into_iter().map(|object| Found { resource: resource.clone(), object }));
        }
        let uids = found.iter().filter_map(|found| found.object.uid()).collect();
        let checklist = subscription.status.iter().flat_map(|status| &status.checklist);
        let names = checklist.filter_map(|entry| Some(&entry.job.as_ref()?.name));
        let runs = names.filter_map(|name| Some(name.rsplit_once('-')?.1.to_owned())).collect();
        let words = Words { subscription: subscription.name_any(), tenant_id: tenant.id.clone(), uids, runs };
        let own = found.into_iter().filter(|found| !found.is_owned());
        let objects = own.map(|found| (found.key(), found)).collect();
        Ok(Self { objects, words })
    }

    /// The objects that carry the tenant's id: kind as an inventory writes it, name and UID.
    #[must_use]
    pub fn labelled(&self) -> BTreeSet<(String, String, String)> {
        let ours = self.objects.values().filter(|found| found.is_labelled(&self.words.tenant_id));
        ours.map(Found::identity).collect()
    }

    /// The keys of the objects that carry the tenant's id.
    #[must_use]
    pub fn labelled_keys(&self) -> BTreeSet<String> {
        let ours = self.objects.iter().filter(|(_, found)| found.is_labelled(&self.words.tenant_id));
        ours.map(|(key, _)| key.clone()).collect()
    }

    /// Resource versions of the objects that carry the tenant's id, by key.
    #[must_use]
    pub fn versions(&self) -> BTreeMap<String, String> {
        let ours = self.objects.iter().filter(|(_, found)| found.is_labelled(&self.words.tenant_id));
        ours.map(|(key, found)| (key.clone(), found.object.resource_version().unwrap_or_default())).collect()
    }

    /// The Secrets with their UIDs and values.
    #[must_use]
    pub fn secrets(&self) -> BTreeMap<String, (String, Value)> {
        let secrets = self.objects.iter().filter(|(_, found)| found.resource.plural == "secrets");
        let values = |found: &Found| found.object.data.get("data").cloned().unwrap_or_default();
        secrets
            .map(|(key, found)| (key.clone(), (found.object.uid().unwrap_or_default(), values(found))))
            .collect()
    }

    /// What stands in the objects, by key, without what is each object's own: identity, versions, times, addresses,
    /// generated values, and what others report in `status`. Two tenants of the same order have the same content.
    ///
    /// # Errors
    /// When an object has no JSON form.
    pub fn content(&self) -> Result<BTreeMap<String, Value>> {
        let content =
            |(key, found): (&String, &Found)| Ok((self.words.mask(key), found.content(&self.words)?));
        self.objects.iter().map(content).collect()
    }
}

/// What is different between two contents: the key, and both sides.
#[must_use]
pub fn differences(
    one: &BTreeMap<String, Value>,
    two: &BTreeMap<String, Value>,
) -> BTreeMap<String, [Value; 2]> {
    let keys: BTreeSet<&String> = one.keys().chain(two.keys()).collect();
    let sides = |key: &String| [one, two].map(|content| content.get(key).cloned().unwrap_or_default());
    keys.into_iter().map(|key| (key.clone(), sides(key))).filter(|(_, [one, two])| one != two).collect()
}

/// Every kind that can be listed, in its preferred version, but those that hold what follows from others.
async fn listable(client: &Client) -> Result<Vec<(ApiResource, Scope)>> {
    let discovery = Discovery::new(client.clone()).run_aggregated().await?;
    let resources = discovery.groups().flat_map(kube::discovery::ApiGroup::recommended_resources);
    let wanted = resources.filter(|(resource, capabilities)| {
        capabilities.supports_operation(verbs::LIST) && !DERIVED.contains(&resource.plural.as_str())
    });
    Ok(wanted.map(|(resource, capabilities)| (resource, capabilities.scope)).collect())
}

/// Lists objects. The API server asks those who list a kind for the first time to come back when its cache is filled.
async fn list(api: Api<DynamicObject>, parameters: &ListParams) -> Result<Vec<DynamicObject>> {
    for _ in 0..CACHE_ATTEMPTS {
        match api.list(parameters).await {
            Err(kube::Error::Api(status)) if status.code == 429 => tokio::time::sleep(CACHE_PAUSE).await,
            answer => return Ok(answer?.items),
        }
    }
    bail!("{}: the API server's cache is not filled", api.resource_url())
}

// === impl Found ===

impl Found {
    fn key(&self) -> String {
        key(&self.resource.group, &self.resource.plural, &self.object.name_any())
    }

    fn identity(&self) -> (String, String, String) {
        let kind = format!("{}/{}", self.resource.api_version, self.resource.kind);
        (kind, self.object.name_any(), self.object.uid().unwrap_or_default())
    }

    fn is_labelled(&self, tenant_id: &str) -> bool {
        self.object.labels().get(TENANT_ID).is_some_and(|id| id == tenant_id)
    }

    fn is_owned(&self) -> bool {
        self.object.owner_references().iter().any(|owner| owner.controller == Some(true))
    }

    fn content(&self, words: &Words) -> Result<Value> {
        let mut value = serde_json::to_value(&self.object)?;
        if let Some(root) = value.as_object_mut() {
            root.remove("status");
            for field in ["uid", "resourceVersion", "managedFields", "creationTimestamp"] {
                root.get_mut("metadata")
                    .and_then(Value::as_object_mut)
                    .and_then(|metadata| metadata.remove(field));
            }
            if self.resource.plural == "secrets" {
                root.get_mut("data").and_then(Value::as_object_mut).into_iter().for_each(hide_values);
            }
            if self.resource.plural == "services" {
                root.get_mut("spec").and_then(Value::as_object_mut).into_iter().for_each(hide_addresses);
            }
        }
        words.mask_all(&mut value);
        Ok(value)
    }
}

/// Of a generated value only its length is the same for all tenants.
fn hide_values(data: &mut Map<String, Value>) {
    for value in data.values_mut() {
        *value = json!(value.as_str().map_or(0, str::len));
    }
}

/// An address is given by the cluster, unless there shall be none.
fn hide_addresses(spec: &mut Map<String, Value>) {
    if spec.get("clusterIP").is_some_and(|address| address != "None") {
        spec.remove("clusterIP");
        spec.remove("clusterIPs");
    }
}

// === impl Words ===

impl Words {
    fn mask(&self, text: &str) -> String {
        let mut masked = text.replace(&self.tenant_id, "(id)").replace(&self.subscription, "(name)");
        for uid in &self.uids {
            masked = masked.replace(uid, "(uid)");
        }
        for run in &self.runs {
            masked = masked.replace(run, "(run)");
        }
        masked
    }

    fn mask_all(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.mask(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask_all(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.mask_all(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}
