//! Ordering tenants from a contender, changing and removing them. Needs a client, processes and a clock.

use super::{Change, Contender, Create, Set, Variables};
use crate::canonical;
use anyhow::{Context, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use http::{Method, Request};
use kube::core::{ApiResource, DynamicObject};
use kube::{Client, Discovery, Resource as _};
use serde_json::Value;
use std::collections::HashSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Connections over which objects are ordered in a burst.
const CONNECTIONS: usize = 8;
/// Tries of a command.
const TRIES: u32 = 5;

/// How orders come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// All at once.
    Burst,
    /// One each so often, however long the earlier ones take.
    Every(Duration),
}

/// Orders tenants from one contender.
#[derive(Clone)]
pub struct Actor {
    contender: Arc<Contender>,
    client: Client,
    variables: Variables,
    /// For files and as home of commands.
    directory: PathBuf,
    kubeconfig: PathBuf,
    /// Fields that the canonical file has by now.
    set: Vec<Set>,
    /// Commands that run.
    children: Arc<Mutex<HashSet<u32>>>,
}

/// One thing to do for one tenant, prepared so that nothing but sending it is measured.
#[derive(Clone, Debug)]
pub struct Order {
    /// Namespace of the tenant.
    pub namespace: String,
    call: Call,
}

#[derive(Clone, Debug)]
enum Call {
    Send { method: Method, path: String, body: String },
    Run(Vec<String>),
}

// === impl Actor ===

impl Actor {
    /// `client` acts as a person who orders, `kubeconfig` is the contender's own identity.
    #[must_use]
    pub fn new(
        contender: Arc<Contender>,
        client: Client,
        variables: Variables,
        directory: PathBuf,
        kubeconfig: PathBuf,
    ) -> Self {
        Self {
            contender,
            client,
            variables,
            directory,
            kubeconfig,
            set: Vec::new(),
            children: Arc::default(),
        }
    }

    /// Namespace of a tenant.
    ///
    /// # Errors
    /// When the contender's file names an unknown variable.
    pub fn namespace(&self, tenant: &str) -> Result<String> {
        self.variables.with("TENANT", tenant).expand(&self.contender.tenant.namespace)
    }

    /// Process ids of the commands that run now.
    #[must_use]
    pub fn children(&self) -> Vec<u32> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// The orders of new tenants.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub async fn creations(&self, tenants: &[String]) -> Result<Vec<Order>> {
        match &self.contender.tenant.create {
            Create::Object { file, .. } => {
                let resource = self.resource(file).await?;
                let path = format!("{}?fieldValidation=Ignore", DynamicObject::url_path(&resource, None));
                let post = |tenant: &String| {
                    let body = self.object(file, tenant)?.to_string();
                    self.order(tenant, Call::Send { method: Method::POST, path: path.clone(), body })
                };
                tenants.iter().map(post).collect()
            }
            Create::Command { create, .. } => self.commands(create, tenants),
        }
    }

    /// The orders that remove tenants.
    ///
    /// # Errors
    /// As [`Actor::creations`].
    pub async fn removals(&self, tenants: &[String]) -> Result<Vec<Order>> {
        match &self.contender.tenant.create {
            Create::Object { file, .. } => {
                let path = DynamicObject::url_path(&self.resource(file).await?, None);
                let delete = |tenant: &String| {
                    let call = Call::Send {
                        method: Method::DELETE,
                        path: format!("{path}/{tenant}"),
                        body: String::new(),
                    };
                    self.order(tenant, call)
                };
                tenants.iter().map(delete).collect()
            }
            Create::Command { remove, .. } => self.commands(remove, tenants),
        }
    }

    /// The orders that bring a change to tenants one by one; none where it is applied once for all. Later orders have the
    /// change in them, too.
    ///
    /// # Errors
    /// As [`Actor::creations`].
    pub fn changes(&mut self, change: &Change, tenants: &[String]) -> Result<Vec<Order>> {
        match (&change.apply, &self.contender.tenant.create) {
            (None, Create::Command { create, .. }) => {
                self.set.clone_from(&change.set);
                self.commands(create, tenants)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Carries orders out; gives the namespace of each with the moment at which it was sent.
    ///
    /// # Errors
    /// When one is refused.
    pub async fn carry_out(&self, orders: Vec<Order>, offer: Offer) -> Result<Vec<(String, Instant)>> {
        match offer {
            Offer::Burst => {
                let width = match &self.contender.tenant.create {
                    Create::Object { .. } => CONNECTIONS,
                    Create::Command { parallel, .. } => *parallel,
                };
                let calls = orders.into_iter().map(|order| self.carry_out_one(order));
                futures::stream::iter(calls).buffer_unordered(width).try_collect().await
            }
            Offer::Every(pause) => {
                let started = Instant::now();
                let mut under_way = JoinSet::new();
                for (order, number) in orders.into_iter().zip(0..) {
                    sleep_until(started + pause * number).await;
                    let actor = self.clone();
                    under_way.spawn(async move { actor.carry_out_one(order).await });
                }
                under_way.join_all().await.into_iter().collect()
            }
        }
    }

    async fn carry_out_one(&self, order: Order) -> Result<(String, Instant)> {
        let sent = Instant::now();
        match order.call {
            Call::Send { method, path, body } => {
                let request = Request::builder()
                    .method(method)
                    .uri(&path)
                    .header(http::header::CONTENT_TYPE, "application/json")
                    .body(body.into_bytes())?;
                self.client.request_text(request).await.with_context(|| format!("{path} was refused"))?;
            }
            Call::Run(words) => self.run_until_it_succeeds(&words).await?,
        }
        Ok((order.namespace, sent))
    }

    /// Whoever scripts a command runs it again when it fails; the API server refuses, for one, an object that a quota
    /// counts in the very moment in which the quota's status is written. The time of all tries is the command's.
    async fn run_until_it_succeeds(&self, words: &[String]) -> Result<()> {
        let mut tries = 1;
        loop {
            match self.run(words).await {
                Err(_) if tries < TRIES => tries += 1,
                done => return done,
            }
        }
    }

    async fn run(&self, words: &[String]) -> Result<()> {
        let (program, arguments) = words.split_first().context("a command is empty")?;
        let child = Command::new(program)
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{program} cannot be started"))?;
        let pid = child.id();
        self.children.lock().unwrap_or_else(PoisonError::into_inner).extend(pid);
        let output = child.wait_with_output().await;
        if let Some(pid) = pid {
            self.children.lock().unwrap_or_else(PoisonError::into_inner).remove(&pid);
        }
        let output = output?;
        ensure!(
            output.status.success(),
            "{} failed ({}): {}",
            words.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    fn order(&self, tenant: &str, call: Call) -> Result<Order> {
        Ok(Order { namespace: self.namespace(tenant)?, call })
    }

    fn commands(&self, words: &[String], tenants: &[String]) -> Result<Vec<Order>> {
        let command = |tenant: &String| {
            let file = self.directory.join(format!("{tenant}.yaml"));
            std::fs::write(&file, canonical_with(tenant, &self.set)?)?;
            let variables = self.variables.with("TENANT", tenant).with("FILE", file.display().to_string());
            self.order(tenant, Call::Run(variables.expand_all(words)?))
        };
        tenants.iter().map(command).collect()
    }

    /// The object that orders a tenant.
    fn object(&self, file: &str, tenant: &str) -> Result<Value> {
        let path = self.contender.directory.join(file);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let text = self.variables.with("TENANT", tenant).expand(&text)?;
        serde_saphyr::from_str(&text).with_context(|| format!("{} is not YAML", path.display()))
    }

    async fn resource(&self, file: &str) -> Result<ApiResource> {
        let object = self.object(file, "any")?;
        let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let gvk = kube::core::GroupVersionKind::gvk(group, version, &kind);
        let discovery = Discovery::new(self.client.clone()).filter(&[group]).run().await?;
        let found = discovery.resolve_gvk(&gvk);
        found.map(|(resource, _)| resource).with_context(|| format!("{api_version} {kind} is not served"))
    }
}

/// The canonical tenant as YAML documents, with fields set.
fn canonical_with(tenant: &str, set: &[Set]) -> Result<String> {
    let mut objects = canonical::render(tenant)?;
    for Set { object, field } in set {
        let found = objects.iter_mut().find(|one| canonical::ObjectRef::of(one) == *object);
        let place = found.and_then(|found| found.pointer_mut(&field.field));
        *place.with_context(|| format!("{object} has no field {} to change", field.field))? =
            field.value.clone();
    }
    // JSON is YAML.
    let documents: Vec<String> = objects.iter().map(Value::to_string).collect();
    Ok(documents.join("\n---\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_changed_tenant_is_the_canonical_one_but_for_the_fields_set() {
        let set: Vec<Set> = serde_json::from_value(json!([
            {"object": "ResourceQuota/tenant-quota", "field": "/spec/hard/requests.cpu", "value": "9"},
        ]))
        .unwrap();
        let changed: Vec<Value> = serde_saphyr::from_multiple(&canonical_with("t-1", &set).unwrap()).unwrap();
        let plain = canonical::render("t-1").unwrap();
        let differing: Vec<&Value> = changed.iter().filter(|object| !plain.contains(object)).collect();
        assert_eq!((changed.len(), differing.len()), (plain.len(), 1));
        assert_eq!(differing[0]["spec"]["hard"]["requests.cpu"], "9");
        let unknown: Vec<Set> =
            serde_json::from_value(json!([{"object": "Role/none", "field": "/rules", "value": 1}])).unwrap();
        assert!(canonical_with("t-1", &unknown).unwrap_err().to_string().contains("Role/none"));
    }
}
