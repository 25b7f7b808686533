//! A tenant on a real API server: plans and executes as the controller does, and lets the admin meddle.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tenantry_apply::counters::{Counters, Ending, Verb};
use tenantry_apply::discovery::Discovery;
use tenantry_apply::executor::{Done, Execution, Executor};
use tenantry_apply::gate::Open;
use tenantry_apply::index::Seen;
use tenantry_apply::object::{Desired, GeneratedKey, Kind, ObjectId, Owner, Policy, Stage};
use tenantry_apply::permits::Permits;
use tenantry_apply::plan::{Action, Input, Plan, Removal, plan, plan_removal};
use tenantry_apply::shared::SharedIndex;
use tenantry_apply::streams::{Mode, Streams};
use tenantry_crds::inventory::Inventory;
use tokio::sync::Notify;

/// Longer than any event takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything the engine needs, once for all tenants.
pub(crate) struct Bench {
    pub(crate) client: Client,
    discovery: Arc<Discovery>,
    index: Arc<SharedIndex>,
    streams: Streams,
    counters: Arc<Counters>,
    executor: Executor,
    changed: Arc<Notify>,
}

/// One tenant: what it shall have and what was recorded.
pub(crate) struct Tenant<'a> {
    bench: &'a Bench,
    owner: Owner,
    pub(crate) desired: Vec<Desired>,
    pub(crate) inventory: Inventory,
}

impl Bench {
    pub(crate) async fn new(client: Client) -> Self {
        let discovery = Arc::new(Discovery::new(client.clone()));
        discovery.refresh().await.unwrap();
        let changed = Arc::new(Notify::new());
        let notify = changed.clone();
        let index = Arc::new(SharedIndex::new(Box::new(move |_| notify.notify_one())));
        let counters = Arc::new(Counters::default());
        let executor = Executor {
            client: client.clone(),
            discovery: discovery.clone(),
            index: index.clone(),
            gate: Arc::new(Open),
            values: Arc::new(|key| "x".repeat(key.length)),
            permits: Permits::new(32),
            counters: counters.clone(),
            bindings: Arc::default(),
        };
        let streams = Streams::new(client.clone(), index.clone(), counters.clone());
        Self { client, discovery, index, streams, counters, executor, changed }
    }

    pub(crate) fn tenant(&self, name: &str) -> Tenant<'_> {
        let owner = Owner {
            tenant_id: format!("id-of-{name}").into(),
            subscription: name.into(),
            namespace: format!("tenant-{name}").into(),
        };
        Tenant { bench: self, owner, desired: Vec::new(), inventory: Inventory::default() }
    }

    /// Waits for something the watches have to bring.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let wait = async {
            while !holds() {
                // An event may change nothing anybody is told of: look again now and then.
                let _ = tokio::time::timeout(Duration::from_millis(100), self.changed.notified()).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "it never came to hold: {what}");
    }

    fn api(&self, id: &ObjectId) -> Api<DynamicObject> {
        let served = self.discovery.resolve(&id.kind).unwrap();
        match &id.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &served.resource),
            None => Api::all_with(self.client.clone(), &served.resource),
        }
    }

    pub(crate) async fn get(&self, id: &ObjectId) -> DynamicObject {
        self.api(id).get(&id.name).await.unwrap()
    }

    /// Somebody changes an object, under this manager's name.
    pub(crate) async fn meddle(&self, id: &ObjectId, manager: &str, patch: Value) -> u64 {
        let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        let patched = self.api(id).patch(&id.name, &params, &Patch::Merge(patch)).await.unwrap();
        patched.resource_version().unwrap().parse().unwrap()
    }

    pub(crate) async fn scale(&self, id: &ObjectId, replicas: i64) -> u64 {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let params = PatchParams { field_manager: Some("autoscaler".to_owned()), ..PatchParams::default() };
        let scaled = self.api(id).patch_subresource("scale", &id.name, &params, &patch).await.unwrap();
        scaled.resource_version().unwrap().parse().unwrap()
    }

    pub(crate) async fn delete(&self, id: &ObjectId) {
        self.api(id).delete(&id.name, &DeleteParams::default()).await.unwrap();
    }

    pub(crate) async fn create(&self, id: &ObjectId, body: Value) {
        self.api(id).create(&PostParams::default(), &serde_json::from_value(body).unwrap()).await.unwrap();
    }

    pub(crate) fn seen_version(&self, id: &ObjectId) -> u64 {
        match self.index.see(id) {
            Seen::Present(observed, _) => observed.resource_version,
            _ => 0,
        }
    }

    pub(crate) fn is_absent(&self, id: &ObjectId) -> bool {
        self.index.see(id) == Seen::Absent
    }

    /// Requests so far by verb, refused ones apart: a lost race is the same intent again.
    pub(crate) fn requests(&self) -> BTreeMap<Verb, u64> {
        let mut counts = BTreeMap::new();
        for (key, count) in self.counters.requests().into_iter().filter(|(key, _)| key.ending == Ending::Done)
        {
            *counts.entry(key.verb).or_default() += count;
        }
        counts
    }
}

impl Tenant<'_> {
    /// Adds a desired object; returns its identity.
    pub(crate) fn want(&mut self, stage: Stage, body: Value) -> ObjectId {
        let kind = body.get("kind").and_then(Value::as_str).unwrap();
        let desired = Desired::new(&self.owner, "item", stage, kind != "Namespace", body).unwrap();
        let served = self.bench.discovery.resolve(&desired.id.kind).unwrap();
        self.bench.streams.ensure(&desired.id.kind, &served.resource, Mode::of(&desired));
        let id = desired.id.clone();
        self.desired.retain(|other| other.id != id);
        self.desired.push(desired);
        id
    }

    pub(crate) fn want_namespace(&mut self) -> ObjectId {
        let name = self.owner.namespace.to_string();
        self.want(
            Stage::Foundation,
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
        )
    }

    pub(crate) fn want_generated_secret(&mut self) -> ObjectId {
        let id = self.want(
            Stage::Ordinary,
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "generated"}, "type": "Opaque"}),
        );
        let secret = self.desired.iter_mut().find(|desired| desired.id == id).unwrap();
        secret.policy = Policy::Generated(vec![GeneratedKey { name: "password".into(), length: 24 }]);
        id
    }

    /// What would be done now.
    pub(crate) fn plan(&self) -> Plan {
        let recorded = self
            .inventory
            .objects
            .iter()
            .filter_map(|entry| Kind::parse(&entry.kind).map(|kind| (kind, entry)));
        let recorded = recorded.map(|(kind, entry)| {
            let namespace = (!kind.is_namespace()).then_some(&*self.owner.namespace);
            ObjectId::new(kind, namespace, &entry.name)
        });
        let ids = self.desired.iter().map(|desired| desired.id.clone()).chain(recorded);
        plan(&Input {
            owner: &self.owner,
            order: "order",
            desired: &self.desired,
            complete: true,
            leaving: &[],
            inventory: &self.inventory,
            view: &self.bench.index.snapshot(ids),
            scopes: &*self.bench.discovery,
        })
    }

    pub(crate) fn actions(&self) -> Vec<(String, Action)> {
        self.plan().steps.into_iter().map(|step| (step.id.kind.name().to_owned(), step.action)).collect()
    }

    /// Plans and executes once.
    pub(crate) async fn pass(&mut self) -> Execution {
        self.bench.until("the watches deliver their first sets", || self.bench.streams.synced()).await;
        let plan = self.plan();
        self.perform(&plan).await
    }

    async fn perform(&mut self, plan: &Plan) -> Execution {
        let recorded = plan.record.clone().unwrap_or_else(|| self.inventory.clone());
        let execution = self.bench.executor.execute(&self.owner, plan, &self.desired, &recorded).await;
        self.inventory = execution.inventory.clone();
        execution
    }

    /// One pass in which everything must succeed; what was done, by kind.
    pub(crate) async fn done(&mut self) -> Vec<(String, Done)> {
        let execution = self.pass().await;
        let done = |outcome: tenantry_apply::executor::Outcome| {
            (outcome.id.kind.name().to_owned(), outcome.result.unwrap())
        };
        execution.outcomes.into_iter().map(done).collect()
    }

    /// Waits until the index has seen this version.
    pub(crate) async fn sees(&self, id: &ObjectId, version: u64) {
        self.bench.until("the watch delivers the change", || self.bench.seen_version(id) >= version).await;
    }

    /// One pass of the removal.
    pub(crate) async fn remove(&mut self) -> Plan {
        let plan = {
            let kinds = self
                .inventory
                .objects
                .iter()
                .filter_map(|entry| Kind::parse(&entry.kind).map(|kind| (kind, entry)));
            let ids = kinds.map(|(kind, entry)| {
                let namespace = (!kind.is_namespace()).then_some(&*self.owner.namespace);
                ObjectId::new(kind, namespace, &entry.name)
            });
            plan_removal(&Removal {
                owner: &self.owner,
                inventory: &self.inventory,
                view: &self.bench.index.snapshot(ids),
                scopes: &*self.bench.discovery,
                keep: &|_| false,
            })
        };
        self.perform(&plan).await;
        plan
    }
}
