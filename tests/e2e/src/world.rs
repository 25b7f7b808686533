//! A cluster with the product installed. Needs a client, a clock and processes.

use crate::census::Census;
use crate::clock::Clock;
use crate::orders::with;
use crate::people::tenantry;
use crate::{Controller, NAMESPACE, install, node, process, wait};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::{Client, Discovery};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use tenantry_control_plane::{Cluster, Crd, Options, Profile, await_served};
use tenantry_crds::TenantSubscription;

/// What a world consists of.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Processes of the control plane.
    pub profile: Profile,
    /// Optional kinds that are installed from the start.
    pub optional_kinds: &'static [Crd],
}

/// A cluster with the product installed, and perhaps a running controller.
pub struct World {
    /// The cluster.
    pub cluster: Cluster,
    /// A client of the administrator.
    pub client: Client,
    /// The controller, while one runs.
    pub controller: Option<Controller>,
    identity: PathBuf,
    directory: TempDir,
}

impl Default for Setup {
    fn default() -> Self {
        let optional_kinds = &Crd::ALL;
        Self { profile: Profile::P2, optional_kinds }
    }
}

// === impl Setup ===

impl Setup {
    /// How a cluster for this setup is started: where pods run, somebody has to play the gateway, too.
    #[must_use]
    pub fn options(self) -> Options {
        Options { gateway: self.profile >= Profile::P2, ..Options::new(self.profile) }
    }
}

// === impl World ===

impl World {
    /// Starts a cluster with the optional kinds, simulated nodes of each server class or a real one, and the product's own
    /// manifests.
    ///
    /// # Errors
    /// When a step fails.
    pub async fn start(setup: Setup) -> Result<Self> {
        Self::on(Cluster::start(setup.options()).await?, setup).await
    }

    /// [`World::start`] on a cluster that was started with [`Setup::options`].
    ///
    /// # Errors
    /// When a step fails.
    pub async fn on(cluster: Cluster, setup: Setup) -> Result<Self> {
        // Beside a real node no pod of a tenant would be put on a simulated one.
        if setup.profile == Profile::P2 {
            for (node, class) in [("node-standard", "standard"), ("node-performance", "performance")] {
                cluster.add_node(node, &[("tenantry.io/server-class", class)], &[]).await?;
            }
        }
        cluster.install_crds(setup.optional_kinds).await?;
        let client = cluster.client().await?;
        if setup.profile == Profile::P3 {
            node::prepare(&cluster, &client).await?;
        }
        install_product(&client).await?;
        let identity = cluster.kubeconfig_for_service_account(NAMESPACE, "tenantry-controller").await?;
        Ok(Self { cluster, client, controller: None, identity, directory: tempfile::tempdir()? })
    }

    /// The kubeconfig of the controller's service account.
    #[must_use]
    pub fn identity(&self) -> &Path {
        &self.identity
    }

    /// Where controllers log, and keep their journal.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Starts the controller.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run_controller(&mut self, arguments: &[&str]) -> Result<()> {
        self.controller = Some(Controller::start(&self.identity, self.directory.path(), arguments)?);
        Ok(())
    }

    /// Starts the controller with a wall clock of its own.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run_controller_by(&mut self, clock: &Clock) -> Result<()> {
        self.controller =
            Some(Controller::start_by(Some(clock), &self.identity, self.directory.path(), &[])?);
        Ok(())
    }

    /// Kills the controller as a power cut would.
    ///
    /// # Errors
    /// When none runs.
    pub fn kill_controller(&mut self) -> Result<()> {
        self.controller.take().context("no controller runs")?.kill()
    }

    /// Asks the controller to end and waits until it has, so that the next one need not wait for its lease.
    ///
    /// # Errors
    /// When none runs or it ends with an error.
    pub fn stop_controller(&mut self) -> Result<()> {
        let status = self.controller.take().context("no controller runs")?.terminate()?;
        ensure!(status.success(), "the controller ended with {status}");
        Ok(())
    }

    /// Takes the lease away that a killed controller left behind. Nobody else can hold it, so waiting for it to expire
    /// would take 15 s and prove nothing.
    ///
    /// # Errors
    /// When the API server refuses, or there is none.
    pub async fn release_lease(&self) -> Result<()> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), NAMESPACE);
        leases.delete("tenantry-controller", &DeleteParams::default()).await?;
        Ok(())
    }

    /// Applies YAML as the administrator.
    ///
    /// # Errors
    /// When the API server refuses an object.
    pub async fn apply(&self, yaml: &str) -> Result<()> {
        self.apply_all(&install::documents(yaml)?).await
    }

    /// Applies objects as the administrator.
    ///
    /// # Errors
    /// When the API server refuses an object.
    pub async fn apply_all(&self, documents: &[Value]) -> Result<()> {
        let discovery = Discovery::new(self.client.clone()).run_aggregated().await?;
        install::apply(&self.client, &discovery, documents).await.map(|_| ())
    }

    /// Applies the definitions of the examples, without prices: plans, blueprint, applications and versions.
    ///
    /// # Errors
    /// When the API server refuses an object.
    pub async fn apply_definitions(&self) -> Result<()> {
        self.apply_all(&definitions()?).await
    }

    /// Waits until the controller has accepted every definition of the examples.
    ///
    /// # Errors
    /// When one is not accepted within [`wait::PATIENCE`].
    pub async fn definitions_accepted(&self) -> Result<()> {
        self.accepted(&definitions()?).await
    }

    /// Waits until the controller has accepted each of these definitions.
    ///
    /// # Errors
    /// When one is not accepted within [`wait::PATIENCE`].
    pub async fn accepted(&self, definitions: &[Value]) -> Result<()> {
        let discovery = Discovery::new(self.client.clone()).run_aggregated().await?;
        for document in definitions {
            let api = install::api_for(&self.client, &discovery, document)?;
            let name = document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            wait::until(api, name, |object| {
                let conditions =
                    object.and_then(|object| object.data.pointer("/status/conditions")?.as_array());
                let accepted = |c: &Value| c["type"] == "Accepted" && c["status"] == "True";
                conditions.is_some_and(|all| all.iter().any(accepted))
            })
            .await
            .with_context(|| self.last_words())?;
        }
        Ok(())
    }

    /// Changes a subscription by a merge patch.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn patch(&self, name: &str, patch: Value) -> Result<TenantSubscription> {
        let api: Api<TenantSubscription> = Api::all(self.client.clone());
        Ok(api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?)
    }

    /// Waits until a subscription satisfies `holds`. When it does not, the end of the controller's log says more.
    ///
    /// # Errors
    /// When it does not within [`wait::PATIENCE`].
    pub async fn until(
        &self,
        name: &str,
        holds: impl FnMut(&TenantSubscription) -> bool,
    ) -> Result<TenantSubscription> {
        wait::subscription(&self.client, name, holds).await.with_context(|| self.last_words())
    }

    /// Runs `tenantry` as the administrator, and gives what it printed.
    ///
    /// # Errors
    /// When it cannot be started or ends with an error; the message is what it said.
    pub async fn tenantry(&self, arguments: &[&str]) -> Result<String> {
        tenantry(&self.cluster.kubeconfig(), arguments).await
    }

    /// Resource versions of everything that exists of a tenant.
    ///
    /// # Errors
    /// When the API server does not say.
    pub async fn versions(&self, name: &str) -> Result<BTreeMap<String, String>> {
        let subscription = self.until(name, |_| true).await?;
        Ok(Census::of(&self.client, &subscription).await?.versions())
    }

    /// How many pods in a namespace have not come to their end.
    ///
    /// # Errors
    /// When the API server does not say.
    pub async fn running(&self, namespace: &str) -> Result<usize> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let open = ListParams::default().fields("status.phase!=Succeeded,status.phase!=Failed");
        Ok(pods.list(&open).await?.items.len())
    }

    fn last_words(&self) -> String {
        let log = self.controller.as_ref().and_then(|controller| controller.log().ok()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let end = lines.get(lines.len().saturating_sub(25)..).unwrap_or_default();
        format!("the controller's last words:\n{}", end.join("\n"))
    }
}

/// The examples of this repository.
#[must_use]
pub fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// The definitions of the examples as they are shipped: plans with their prices, blueprint, applications and versions.
///
/// # Errors
/// When a file cannot be read or is not YAML.
pub fn shipped() -> Result<Vec<Value>> {
    let mut documents = install::directory(&examples().join("plans"))?;
    documents.extend(install::directory(&examples().join("packed"))?);
    Ok(documents)
}

/// The same without prices: most orders of tests name nobody who pays.
///
/// # Errors
/// As [`shipped`].
pub fn definitions() -> Result<Vec<Value>> {
    let mut documents = shipped()?;
    let plans = documents
        .iter_mut()
        .filter(|document| document.get("kind").is_some_and(|kind| kind == "ServicePlan"));
    for spec in plans.filter_map(|plan| plan.get_mut("spec")?.as_object_mut()) {
        for field in ["currency", "charges", "trial", "introduction", "minimum"] {
            spec.remove(field);
        }
    }
    Ok(documents)
}

/// The same, where every plan lets its customers go down to a smaller one at once.
///
/// # Errors
/// As [`definitions`].
pub fn definitions_without_terms() -> Result<Vec<Value>> {
    let at_once = json!({"effective": "Immediately"});
    let loosened = |document: Value| match document.get("kind").is_some_and(|kind| kind == "ServicePlan") {
        true => with(document, "spec.downgrade", at_once.clone()),
        false => document,
    };
    Ok(definitions()?.into_iter().map(loosened).collect())
}

/// Installs what `tenantry manifests` prints, and waits until the kinds are served.
///
/// # Errors
/// When the command fails or the API server refuses an object.
pub async fn install_product(client: &Client) -> Result<()> {
    for group in ["crds", "install"] {
        let output = Command::new(process::binary("tenantry")?).args(["manifests", group]).output()?;
        ensure!(
            output.status.success(),
            "tenantry manifests {group}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let documents = install::documents(&String::from_utf8(output.stdout)?)?;
        let discovery = Discovery::new(client.clone()).run_aggregated().await?;
        for object in install::apply(client, &discovery, &documents).await? {
            if group == "crds" {
                await_served(client, &serde_json::from_value(serde_json::to_value(object)?)?).await?;
            }
        }
    }
    Ok(())
}
