//! A fresh control plane with one contender on it. Needs a client, a clock and processes.

use crate::canonical::{self, Comparison, Differences, ObjectRef, normalised};
use crate::contender::{Actor, Contender, Identity, Install, Running, Variables};
use crate::measure::meter::{self, Meter, Subject};
use crate::measure::process;
use crate::measure::watch::Target;
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Discovery};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;
use tenantry_control_plane::{Cluster, Options, Profile, await_served};
use tenantry_e2e::{install, wait};

/// Tenant that the administrator makes by hand: what the others are compared with.
const REFERENCE: &str = "reference";
/// Objects of one page of a list.
const PAGE: u32 = 500;

/// Programs that contenders run.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The operator and its offline commands.
    pub tenantry: PathBuf,
    /// kubectl of the control plane's version.
    pub kubectl: PathBuf,
}

/// A control plane with a contender.
pub struct Arena {
    /// The control plane.
    pub cluster: Cluster,
    /// A client of the administrator, who orders and observes.
    pub client: Client,
    /// Who is measured.
    pub contender: Arc<Contender>,
    /// Orders tenants.
    pub actor: Actor,
    /// Tenants that were ordered and not removed.
    pub tenants: Vec<String>,
    /// Whether the contender's change was made.
    pub changed: bool,
    differences: Differences,
    reference: BTreeMap<ObjectRef, Value>,
    resources: BTreeMap<String, ApiResource>,
    running: Option<Running>,
    servers: Vec<u32>,
    identity: PathBuf,
    variables: Variables,
    directory: TempDir,
}

// === impl Arena ===

impl Arena {
    /// Starts a control plane (etcd, API server, controller manager), installs the contender and starts its process.
    ///
    /// # Errors
    /// When a step fails.
    pub async fn open(contender: Arc<Contender>, programs: &Programs, audit: bool) -> Result<Self> {
        let cluster = Cluster::start(Options { audit, ..Options::new(Profile::P1) }).await?;
        let client = cluster.client().await?;
        let directory = tempfile::tempdir()?;
        let variables = Variables::default()
            .with("HERE", contender.directory.display().to_string())
            .with("TENANTRY", programs.tenantry.display().to_string())
            .with("KUBECTL", programs.kubectl.display().to_string());
        apply(&client, canonical::SERVICE_MONITOR).await?;
        let (resources, reference) = reference(&client).await?;
        if contender.identity.cluster_admin {
            apply(&client, &account(&contender.identity)).await?;
        }
        for step in &contender.install {
            apply(&client, &text_of(step, &contender, &variables)?).await?;
        }
        let Identity { namespace, service_account, .. } = &contender.identity;
        let identity = cluster.kubeconfig_for_service_account(namespace, service_account).await?;
        let variables = variables.with("KUBECONFIG", identity.display().to_string());
        let actor = Actor::new(
            Arc::clone(&contender),
            client.clone(),
            variables.clone(),
            directory.path().to_path_buf(),
            identity.clone(),
        );
        let servers = servers(&cluster)?;
        let differences = contender.differences()?;
        let mut arena = Self {
            cluster,
            client,
            contender,
            actor,
            tenants: Vec::new(),
            changed: false,
            differences,
            reference,
            resources,
            running: None,
            servers,
            identity,
            variables,
            directory,
        };
        arena.spawn_process()?;
        arena.until_ready().await?;
        arena.settled().await?;
        Ok(arena)
    }

    /// Waits until the objects carry the conditions that the contender's file names.
    async fn settled(&self) -> Result<()> {
        let discovery = Discovery::new(self.client.clone()).run_aggregated().await?;
        for settled in &self.contender.settled {
            let object = json!({"apiVersion": settled.api_version, "kind": settled.kind});
            let api = install::api_for(&self.client, &discovery, &object)?;
            let awaited = wait::until(api, &settled.name, |object| {
                object.is_some_and(|object| has_condition(&object.data, &settled.condition))
            });
            awaited.await.with_context(|| {
                format!(
                    "{} {} is not {}:\n{}",
                    settled.kind,
                    settled.name,
                    settled.condition,
                    self.last_words()
                )
            })?;
        }
        Ok(())
    }

    /// The end of the contender's log.
    #[must_use]
    pub fn last_words(&self) -> String {
        self.running.as_ref().map(Running::last_words).unwrap_or_default()
    }

    /// Kills the contender's process as a power cut would, and removes the lease that it leaves behind: who comes next
    /// would wait for its end, and that is a constant and no work.
    ///
    /// # Errors
    /// When there is none.
    pub async fn kill_process(&mut self) -> Result<()> {
        self.running.take().context("no process runs")?.kill()?;
        if let Some(lease) = self.contender.process.as_ref().and_then(|process| process.lease.as_ref()) {
            let leases: Api<Lease> = Api::namespaced(self.client.clone(), &lease.namespace);
            leases.delete(&lease.name, &DeleteParams::default()).await?;
        }
        Ok(())
    }

    /// Starts the contender's process, if it has one.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn_process(&mut self) -> Result<()> {
        if let Some(process) = &self.contender.process {
            let running = Running::spawn(process, &self.variables, &self.identity, self.directory.path())?;
            self.running = Some(running);
        }
        Ok(())
    }

    /// Waits until the contender's process says that it works.
    ///
    /// # Errors
    /// When it does not.
    pub async fn until_ready(&mut self) -> Result<()> {
        let path = self.contender.process.as_ref().and_then(|process| process.ready.as_ref());
        if let (Some(path), Some(running)) = (path, &mut self.running) {
            running.until_ready(path).await.with_context(|| self.contender.name.clone())?;
        }
        Ok(())
    }

    /// Whom to measure.
    #[must_use]
    pub fn subject(&self) -> Subject {
        match &self.running {
            Some(running) => Subject::Process(running.id()),
            None => Subject::Commands(Box::new(self.actor.clone())),
        }
    }

    /// Begins to measure.
    ///
    /// # Errors
    /// When a process is gone.
    pub fn meter(&self) -> Result<Meter> {
        Meter::start(self.subject(), &self.servers)
    }

    /// Waits until contender and control plane have nothing to do.
    ///
    /// # Errors
    /// When a process is gone.
    pub async fn until_rest(&self) -> Result<()> {
        let mut pids = self.servers.clone();
        pids.extend(self.running.as_ref().map(Running::id));
        meter::until_rest(&pids).await.map(|_| ())
    }

    /// The contender's name for a canonical object.
    #[must_use]
    pub fn named(&self, canonical: &ObjectRef) -> ObjectRef {
        let difference = self.differences.objects.iter().find(|difference| difference.object == *canonical);
        difference.and_then(|difference| difference.named.clone()).unwrap_or_else(|| canonical.clone())
    }

    /// The contender's names for the canonical objects.
    pub fn names(&self) -> impl Iterator<Item = ObjectRef> {
        self.reference.keys().map(|canonical| self.named(canonical))
    }

    /// What to watch in order to see objects of these kinds.
    ///
    /// # Errors
    /// When a kind is none of the canonical tenant.
    pub fn targets<'k>(
        &self,
        kinds: impl IntoIterator<Item = &'k str>,
        in_full: bool,
    ) -> Result<Vec<Target>> {
        kinds.into_iter().map(|kind| Ok(Target { resource: self.resource(kind)?.clone(), in_full })).collect()
    }

    /// Every kind of the canonical tenant.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.resources.keys().map(String::as_str)
    }

    /// A kind of the canonical tenant as it is served.
    ///
    /// # Errors
    /// When it is none.
    pub fn resource(&self, kind: &str) -> Result<&ApiResource> {
        self.resources.get(kind).with_context(|| format!("{kind} is no kind of the canonical tenant"))
    }

    /// Applies a file of the contender as the administrator.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn apply_file(&self, file: &str) -> Result<()> {
        let path = self.contender.directory.join(file);
        apply(&self.client, &std::fs::read_to_string(&path).with_context(|| path.display().to_string())?)
            .await
    }

    /// Compares all objects of all tenants with the canonical ones.
    ///
    /// # Errors
    /// When they are not the same; the message names the differences.
    pub async fn compare(&self) -> Result<()> {
        let mut comparison = Comparison::new(self.reference.clone(), &self.differences);
        if let (true, Some(change)) = (self.changed, &self.contender.change) {
            change.set.iter().for_each(|set| comparison.expect(&set.object, &set.field));
        }
        let mut tenant_of: BTreeMap<String, &str> = BTreeMap::new();
        for tenant in &self.tenants {
            tenant_of.insert(self.actor.namespace(tenant)?, tenant);
        }
        for resource in self.resources.values() {
            each(&self.client, resource, |namespace, object| {
                if let Some(tenant) = tenant_of.get(namespace) {
                    comparison.check(tenant, namespace, object);
                }
            })
            .await?;
        }
        let mismatches = comparison.finish(self.tenants.iter().map(String::as_str));
        ensure!(
            mismatches.is_empty(),
            "{} did not make the canonical objects:\n  {}",
            self.contender.name,
            mismatches.join("\n  ")
        );
        Ok(())
    }

    /// Ends contender and control plane.
    ///
    /// # Errors
    /// When something had to be killed.
    pub async fn close(mut self) -> Result<()> {
        self.running = None;
        self.cluster.stop().await
    }
}

/// Processes of a control plane.
///
/// # Errors
/// When the process table cannot be read, or holds none.
pub fn servers(cluster: &Cluster) -> Result<Vec<u32>> {
    let kubeconfig = cluster.kubeconfig();
    let directory = kubeconfig.ancestors().nth(2).unwrap_or(Path::new("/nowhere"));
    let servers = process::of_control_plane(directory)?;
    ensure!(!servers.is_empty(), "no process of the control plane was found");
    Ok(servers)
}

/// Applies YAML and waits until its custom resources are served.
///
/// # Errors
/// When an object is refused.
pub async fn apply(client: &Client, text: &str) -> Result<()> {
    let discovery = Discovery::new(client.clone()).run_aggregated().await?;
    let documents = install::documents(text)?;
    for object in install::apply(client, &discovery, &documents).await? {
        if object.types.as_ref().is_some_and(|types| types.kind == "CustomResourceDefinition") {
            await_served(client, &serde_json::from_value(serde_json::to_value(object)?)?).await?;
        }
    }
    Ok(())
}

fn text_of(step: &Install, contender: &Contender, variables: &Variables) -> Result<String> {
    match step {
        Install::File(file) => {
            let path = contender.directory.join(file);
            std::fs::read_to_string(&path).with_context(|| path.display().to_string())
        }
        Install::OutputOf(words) => {
            let words = variables.expand_all(words)?;
            let (program, arguments) = words.split_first().context("install.outputOf is empty")?;
            let output = Command::new(program).args(arguments).output();
            let output = output.with_context(|| format!("{program} cannot be started"))?;
            let told = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{} failed: {told}", words.join(" "));
            Ok(String::from_utf8(output.stdout)?)
        }
    }
}

fn account(identity: &Identity) -> String {
    let Identity { namespace, service_account: name, .. } = identity;
    let role =
        json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"});
    let documents = [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": format!("bench-{name}")}, "roleRef": role,
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        }),
    ];
    documents.map(|document| document.to_string()).join("\n---\n")
}

/// Makes one canonical tenant by hand, and reads it back.
async fn reference(client: &Client) -> Result<(BTreeMap<String, ApiResource>, BTreeMap<ObjectRef, Value>)> {
    let objects = canonical::render_in_good_order(REFERENCE)?;
    let discovery = Discovery::new(client.clone()).run_aggregated().await?;
    let mut resources = BTreeMap::new();
    let mut reference = BTreeMap::new();
    for object in install::apply(client, &discovery, &objects).await? {
        let object = serde_json::to_value(&object)?;
        let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let gvk = GroupVersionKind::gvk(group, version, &kind);
        let (resource, _) = discovery.resolve_gvk(&gvk).with_context(|| format!("{kind} is not served"))?;
        resources.insert(kind, resource);
        reference.insert(ObjectRef::of(&object), normalised(&object, &[REFERENCE], &[]));
    }
    Ok((resources, reference))
}

/// Reads all objects of a kind, page by page; gives each with its namespace.
async fn each(client: &Client, resource: &ApiResource, mut see: impl FnMut(&str, &Value)) -> Result<()> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), resource);
    let mut parameters = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&parameters).await?;
        for mut object in page.items {
            object.types = Some(kube::core::TypeMeta {
                api_version: resource.api_version.clone(),
                kind: resource.kind.clone(),
            });
            let namespace = object.metadata.namespace.clone().or_else(|| object.metadata.name.clone());
            see(&namespace.unwrap_or_default(), &serde_json::to_value(&object)?);
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(()),
        }
    }
}

/// Whether an object carries a condition that is true.
#[must_use]
pub fn has_condition(object: &Value, condition: &str) -> bool {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|one| {
        one.get("type").and_then(Value::as_str) == Some(condition)
            && one.get("status").and_then(Value::as_str) == Some("True")
    })
}
