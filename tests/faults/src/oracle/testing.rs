//! Small records to show oracles failing.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::history::{Change, Key, Record, SUBSCRIPTIONS, Sort};
use crate::wire::Exchange;

/// A run, told step by step. The tenant's id is `t-acme` for the tenant `acme`.
#[derive(Clone)]
pub(crate) struct Story {
    record: Record,
}

/// A request about `acme` and its answer.
pub(crate) fn exchange(place: &str, uid: Option<&str>, code: u16) -> Exchange {
    Exchange {
        replica: "a".to_owned(),
        place: place.parse().unwrap(),
        tenant: Some("acme".to_owned()),
        code: Some(code),
        revision: None,
        uid: uid.map(str::to_owned),
        struck: false,
        known: 0,
        kept_back: false,
    }
}

impl From<Record> for Story {
    fn from(record: Record) -> Self {
        Self { record }
    }
}

impl Story {
    pub(crate) fn of(tenant: &str) -> Self {
        let subscription = json!({
            "metadata": {"name": tenant, "uid": "s1", "generation": 1, "finalizers": ["tenantry.io/tenant"]},
            "spec": {"deletionPolicy": "Delete"},
            "status": {"tenant": {"id": format!("t-{tenant}")}},
        });
        let before = [(Key::new(SUBSCRIPTIONS, "", tenant), Arc::new(subscription))].into_iter().collect();
        Self { record: Record { tenant: tenant.to_owned(), before, ..Record::default() } }
    }

    pub(crate) fn record(self) -> Record {
        self.record
    }

    pub(crate) fn asked(mut self, exchange: Exchange) -> Self {
        self.record.exchanges.push(exchange);
        self
    }

    /// Any change.
    pub(crate) fn with(mut self, sort: Sort, key: Key, mut object: Value) -> Self {
        let revision = 100 + u64::try_from(self.record.changes.len()).unwrap();
        object["metadata"]["name"] = json!(key.name);
        object["metadata"]["resourceVersion"] = json!(revision.to_string());
        if !key.namespace.is_empty() {
            object["metadata"]["namespace"] = json!(key.namespace);
        }
        self.record.changes.push(Change { revision, sort, key, object: Arc::new(object) });
        self
    }

    /// A labelled object in the tenant's namespace.
    pub(crate) fn created(self, resource: &str, name: &str, uid: &str) -> Self {
        let id = format!("t-{}", self.record.tenant);
        self.labelled(resource, name, uid, &id)
    }

    /// An object in the tenant's namespace with the label of some tenant.
    pub(crate) fn labelled(self, resource: &str, name: &str, uid: &str, id: &str) -> Self {
        let namespace = self.record.namespace();
        self.put(resource, &namespace, name, uid, id)
    }

    /// A labelled object somewhere.
    pub(crate) fn placed(self, resource: &str, namespace: &str, name: &str, uid: &str) -> Self {
        let id = format!("t-{}", self.record.tenant);
        self.put(resource, namespace, name, uid, &id)
    }

    pub(crate) fn deleted(self, resource: &str, name: &str) -> Self {
        let key = Key::new(resource, &self.record.namespace(), name);
        let object = self.record.after().get(&key).map(|object| (**object).clone()).unwrap();
        self.with(Sort::Deleted, key, object)
    }

    pub(crate) fn content(self, resource: &str, name: &str, content: &str) -> Self {
        let key = Key::new(resource, &self.record.namespace(), name);
        let mut object = self.record.after().get(&key).map(|object| (**object).clone()).unwrap();
        object["data"] = json!({ "content": content });
        self.with(Sort::Changed, key, object)
    }

    /// The subscription with this record of objects: kind, name, state and UID of each.
    pub(crate) fn subscription(
        self,
        uid: &str,
        objects: &[(&str, &str, &str, &str)],
        is_ready: bool,
    ) -> Self {
        let entry = |(kind, name, state, uid): &(&str, &str, &str, &str)| {
            let mut entry = json!({"kind": kind, "name": name, "state": state});
            if !uid.is_empty() {
                entry["uid"] = json!(uid);
            }
            entry
        };
        let condition = |type_| json!({"type": type_, "status": if is_ready { "True" } else { "False" }, "observedGeneration": 1});
        let tenant = self.record.tenant.clone();
        let object = json!({
            "metadata": {"uid": uid, "generation": 1, "finalizers": ["tenantry.io/tenant"]},
            "spec": {"deletionPolicy": "Delete"},
            "status": {
                "tenant": {"id": format!("t-{tenant}")},
                "conditions": [condition("Ready"), condition("Live")],
                "inventory": {"objects": objects.iter().map(entry).collect::<Vec<_>>()},
            },
        });
        self.with(Sort::Changed, Key::new(SUBSCRIPTIONS, "", &tenant), object)
    }

    /// The subscription is gone.
    pub(crate) fn ended(self) -> Self {
        let key = Key::new(SUBSCRIPTIONS, "", &self.record.tenant);
        let object = self.record.after().get(&key).map(|object| (**object).clone()).unwrap();
        self.with(Sort::Deleted, key, object)
    }

    fn put(self, resource: &str, namespace: &str, name: &str, uid: &str, id: &str) -> Self {
        let kind = match resource {
            "configmaps" => "ConfigMap",
            "namespaces" => "Namespace",
            _ => "Other",
        };
        let labels = json!({"tenantry.io/tenant-id": id});
        let object = json!({"kind": kind, "metadata": {"uid": uid, "labels": labels}});
        self.with(Sort::Created, Key::new(resource, namespace, name), object)
    }
}
