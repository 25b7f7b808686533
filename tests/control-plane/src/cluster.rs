//! A cluster as tests use it. Needs a client, a clock and the process table.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};
use tempfile::TempDir;

use crate::audit::Audit;
use crate::commands::kubeconfig;
use crate::home::Paths;
use crate::image::Image;
use crate::k3s::K3s;
use crate::kubeconfig::{Server, client_from, file_name, write, write_impersonating, write_with_token};
use crate::link::{Link, StartError};
use crate::node;
use crate::nodes::{self, SIMULATED, Taint};
use crate::pki::Pki;
use crate::profile::{Capabilities, Options, Profile};
use crate::protocol::{Order, Request, SOURCE};
use crate::tools::Toolset;
use crate::{binary, crds, ladder};

/// Long enough for any test run, shorter than what clusters refuse.
const TOKEN_SECONDS: i64 = 24 * 3600;

/// A Kubernetes cluster for tests. One that this process started ends with this value, or with the process.
pub struct Cluster {
    capabilities: Capabilities,
    backing: Backing,
}

/// Where a cluster comes from, and so what can be asked of it.
enum Backing {
    /// Processes of a supervisor that ends with this value.
    Started { paths: Paths, link: Arc<Mutex<Link>> },
    /// Processes of a supervisor that somebody else started.
    Attached { paths: Paths },
    /// A cluster somebody else runs, known by a kubeconfig. Kubeconfigs of other identities go to a directory of ours.
    External { kubeconfig: PathBuf, directory: TempDir },
    /// A container that ends with this value.
    Container { container: K3s, directory: TempDir },
}

impl Cluster {
    /// Starts a control plane from the pinned tools; builds these first where the cache lacks them (about 11 minutes,
    /// once per machine). Takes about 4 s on an idle machine with two cores.
    ///
    /// # Errors
    /// When the tools cannot be built, or a process ends early; the message holds the end of its log.
    pub async fn start(options: Options) -> Result<Self> {
        let profile = options.profile;
        demand_machine(profile)?;
        let tools = tokio::task::spawn_blocking(move || Toolset::for_profile(profile)).await??;
        Self::start_with(tools, options).await
    }

    /// Starts a control plane from `tools`.
    ///
    /// # Errors
    /// When the tools lack a binary of the profile, or a process ends early.
    pub async fn start_with(tools: Toolset, options: Options) -> Result<Self> {
        demand_machine(options.profile)?;
        let capabilities = options.capabilities();
        let Options { profile, gateway, nodes, audit, makes_way } = options;
        let order = Order { source: SOURCE.to_owned(), profile, tools, gateway, audit, makes_way };
        let (link, paths) = tokio::task::spawn_blocking(move || start(&order)).await??;
        let backing = Backing::Started { paths, link: Arc::new(Mutex::new(link)) };
        let cluster = Self { capabilities, backing };
        cluster.add_nodes(profile, nodes).await?;
        Ok(cluster)
    }

    /// The best cluster this machine has for `profile`: the one of `TENANTRY_KUBECONFIG` (only if it opted in), one
    /// started from the cache, from `KUBEBUILDER_ASSETS` or from tools that `go` builds, or K3s in Docker where its image
    /// is present. Ask [`Cluster::capabilities`] what it can.
    ///
    /// # Errors
    /// When there is none: one message that says for each way what is missing and what to install.
    pub async fn acquire(profile: Profile) -> Result<Self> {
        ladder::acquire(profile).await
    }

    /// What tests may rely on.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Where the cluster comes from, for people.
    #[must_use]
    pub fn origin(&self) -> &'static str {
        match &self.backing {
            Backing::Started { .. } => "a control plane of its own",
            Backing::Attached { .. } => "the detached control plane",
            Backing::External { .. } => "the cluster of TENANTRY_KUBECONFIG",
            Backing::Container { .. } => "K3s in Docker",
        }
    }

    /// The kubeconfig of the administrator `admin`. Nothing of this crate acts under that name.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        match &self.backing {
            Backing::Started { paths, .. } | Backing::Attached { paths } => kubeconfig(paths, "admin"),
            Backing::External { kubeconfig, .. } => kubeconfig.clone(),
            Backing::Container { container, .. } => container.kubeconfig().to_path_buf(),
        }
    }

    /// Writes a kubeconfig for a person. On our own control planes it holds a client certificate where one can carry the
    /// groups (at most one); otherwise the administrator impersonates the person, which the audit log resolves.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn kubeconfig_for(&self, user: &str, groups: &[&str]) -> Result<PathBuf> {
        let path = self.directory().join(file_name(user, groups));
        match (self.paths(), groups) {
            (Some(paths), [] | [_]) => {
                let pki = Pki::open(&paths.pki())?;
                let identity = pki.client(user, groups.first().copied())?;
                let server = Server { url: self.url()?, authority: pki.authority().to_owned() };
                write(&path, &server, user, &identity)?;
            }
            _ => write_impersonating(&path, &self.harness_kubeconfig(), user, groups)?,
        }
        Ok(path)
    }

    /// Writes a kubeconfig with a token of an existing ServiceAccount, for the API server's audience.
    ///
    /// # Errors
    /// When the account does not exist or the file cannot be written.
    pub async fn kubeconfig_for_service_account(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.harness_client().await?, namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() },
            ..TokenRequest::default()
        };
        let answer =
            accounts.create_token_request(name, &PostParams::default(), &request).await.with_context(
                || format!("no token for ServiceAccount {namespace}/{name}: create the account first"),
            )?;
        let token = answer.status.context("the API server answered a token request without a token")?.token;
        let user = format!("system:serviceaccount:{namespace}:{name}");
        let path = self.directory().join(file_name(&user, &[]));
        write_with_token(&path, &self.kubeconfig(), &user, &token)?;
        Ok(path)
    }

    /// A client of the administrator `admin`, without kube's own retry. Belongs to the runtime it is made in.
    ///
    /// # Errors
    /// When the kubeconfig is not usable.
    pub async fn client(&self) -> Result<Client> {
        client_from(&self.kubeconfig()).await
    }

    /// Adds a simulated node and waits until pods can be scheduled on it. Beside a real node it also has the taint
    /// [`SIMULATED`], so that pods must ask for it.
    ///
    /// # Errors
    /// When the cluster does not simulate nodes, or the node is refused.
    pub async fn add_node(&self, name: &str, labels: &[(&str, &str)], taints: &[Taint<'_>]) -> Result<()> {
        if self.paths().is_none() || !self.capabilities.nodes {
            bail!("this cluster does not simulate nodes ({}): use profile P2", self.capabilities);
        }
        let mut taints = taints.to_vec();
        if self.capabilities.containers {
            taints.push(SIMULATED);
        }
        nodes::add(self.harness_client().await?, name, labels, &taints).await
    }

    /// Makes an image and offers it to the pods of the real node. An image of the same name is replaced; containers that
    /// run go on with theirs.
    ///
    /// # Errors
    /// When the cluster has no real node of ours, or the program cannot be read.
    pub async fn import(&self, image: Image) -> Result<()> {
        let paths = self.paths().filter(|_| self.capabilities.containers).cloned();
        let paths =
            paths.with_context(|| format!("no image can be given to {}: use profile P3", self.origin()))?;
        tokio::task::spawn_blocking(move || image.import(&node::read_plan(&paths)?)).await?
    }

    /// Installs kinds of other projects and waits until they are served.
    ///
    /// # Errors
    /// When the API server refuses one.
    pub async fn install_crds(&self, kinds: &[crds::Crd]) -> Result<()> {
        crds::install(self.harness_client().await?, kinds).await
    }

    /// A reader of the audit log.
    ///
    /// # Errors
    /// When the cluster gives no access to its audit log (see [`Capabilities::audit`]).
    pub async fn audit(&self) -> Result<Audit> {
        let Some(paths) = self.paths().filter(|_| self.capabilities.audit) else {
            bail!("requests cannot be counted on this cluster: it gives no access to its audit log");
        };
        Ok(Audit::new(paths.audit_log(), self.harness_client().await?))
    }

    /// Plays the gateway controller: accepts every HTTPRoute, now or once the kind is installed.
    ///
    /// # Errors
    /// When this process did not start the cluster.
    pub async fn play_gateway(&self) -> Result<()> {
        self.request(Request::PlayGateway).await
    }

    /// Freezes the API server: connections stay open, nothing answers.
    ///
    /// # Errors
    /// When this process did not start the cluster (also for the next three).
    pub async fn pause_apiserver(&self) -> Result<()> {
        self.request(Request::PauseApiServer).await
    }

    /// Lets a frozen API server go on.
    ///
    /// # Errors
    /// See [`Cluster::pause_apiserver`].
    pub async fn resume_apiserver(&self) -> Result<()> {
        self.request(Request::ResumeApiServer).await
    }

    /// Ends the API server: connections are refused until [`Cluster::start_apiserver`].
    ///
    /// # Errors
    /// See [`Cluster::pause_apiserver`].
    pub async fn stop_apiserver(&self) -> Result<()> {
        self.request(Request::StopApiServer).await
    }

    /// Starts an ended API server on the same port and waits until it is ready. The cluster's own controllers start anew
    /// with it.
    ///
    /// # Errors
    /// See [`Cluster::pause_apiserver`]; also when it does not become ready.
    pub async fn start_apiserver(&self) -> Result<()> {
        self.request(Request::StartApiServer).await
    }

    /// Ends the API server and starts it again: every watch breaks.
    ///
    /// # Errors
    /// As its two steps.
    pub async fn restart_apiserver(&self) -> Result<()> {
        self.stop_apiserver().await?;
        self.start_apiserver().await
    }

    /// Copies the store as it is at this moment.
    ///
    /// # Errors
    /// See [`Cluster::pause_apiserver`].
    pub async fn copy_store(&self) -> Result<()> {
        self.request(Request::CopyStore).await
    }

    /// Puts the copy of [`Cluster::copy_store`] in the place of the store: its revision goes back. Everything of the
    /// control plane starts anew; returns when the API server is ready.
    ///
    /// # Errors
    /// See [`Cluster::pause_apiserver`]; also when there is no copy, or the API server does not become ready.
    pub async fn restore_store(&self) -> Result<()> {
        self.request(Request::RestoreStore).await
    }

    /// Ends the cluster and waits until nothing of it is left. Dropping does the same but cannot tell of a failure. A
    /// cluster that this process did not start goes on.
    ///
    /// # Errors
    /// When the supervisor had to be killed.
    pub async fn stop(self) -> Result<()> {
        match &self.backing {
            Backing::Started { link, .. } => {
                let link = link.clone();
                tokio::task::spawn_blocking(move || lock(&link).end()).await?
            }
            Backing::Attached { .. } | Backing::External { .. } | Backing::Container { .. } => Ok(()),
        }
    }

    /// The running control plane in the directory `paths`, which another process owns.
    pub(crate) fn attached(paths: Paths, capabilities: Capabilities) -> Self {
        let capabilities = Capabilities { outages: false, ..capabilities };
        Self { capabilities, backing: Backing::Attached { paths } }
    }

    pub(crate) fn external(kubeconfig: PathBuf, capabilities: Capabilities) -> Result<Self> {
        Ok(Self { capabilities, backing: Backing::External { kubeconfig, directory: tempfile::tempdir()? } })
    }

    pub(crate) fn container(container: K3s, capabilities: Capabilities) -> Result<Self> {
        Ok(Self { capabilities, backing: Backing::Container { container, directory: tempfile::tempdir()? } })
    }

    pub(crate) async fn add_nodes(&self, profile: Profile, count: u32) -> Result<()> {
        if profile < Profile::P2 && count > 0 {
            bail!("profile {profile} has no nodes: use P2");
        }
        for index in 0..count {
            self.add_node(&format!("node-{index}"), &[], &[]).await?;
        }
        Ok(())
    }

    async fn request(&self, request: Request) -> Result<()> {
        let Backing::Started { link, .. } = &self.backing else {
            bail!("only the process that started a control plane can ask for {request:?}");
        };
        let link = link.clone();
        tokio::task::spawn_blocking(move || lock(&link).request(request)).await?
    }

    async fn harness_client(&self) -> Result<Client> {
        client_from(&self.harness_kubeconfig()).await
    }

    /// The identity under which this crate acts: not the one tests count.
    fn harness_kubeconfig(&self) -> PathBuf {
        self.paths().map_or_else(|| self.kubeconfig(), |paths| kubeconfig(paths, "harness"))
    }

    fn paths(&self) -> Option<&Paths> {
        match &self.backing {
            Backing::Started { paths, .. } | Backing::Attached { paths } => Some(paths),
            Backing::External { .. } | Backing::Container { .. } => None,
        }
    }

    fn directory(&self) -> PathBuf {
        match &self.backing {
            Backing::Started { paths, .. } | Backing::Attached { paths } => paths.kubeconfigs(),
            Backing::External { directory, .. } | Backing::Container { directory, .. } => {
                directory.path().to_path_buf()
            }
        }
    }

    fn url(&self) -> Result<String> {
        crate::kubeconfig::server_url(&self.kubeconfig())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Backing::Started { link, .. } = &self.backing {
            // Blocks for about a tenth of a second. A failure here leaves a directory that the next start removes.
            let _ = lock(link).end();
        }
    }
}

/// Says what this machine lacks for `profile`, before minutes go into building its tools.
pub(crate) fn demand_machine(profile: Profile) -> Result<()> {
    match node::missing_for(profile) {
        Some(reason) => bail!("profile {profile} cannot run here: {reason}"),
        None => Ok(()),
    }
}

/// Starts a supervisor, building its binary if it is missing or of another build.
fn start(order: &Order) -> Result<(Link, Paths)> {
    with_binary(|binary| Link::start(binary, order))
}

/// Runs `start` with the supervisor's binary; once more with a new one if that was of another build.
pub(crate) fn with_binary<T>(start: impl Fn(&Path) -> Result<T, StartError>) -> Result<T> {
    let found = match binary::find()? {
        Some(path) => path,
        None => binary::build()?,
    };
    match start(&found) {
        Ok(started) => Ok(started),
        Err(StartError::Failed(error)) => Err(error),
        Err(StartError::OtherBuild) => match start(&binary::build()?) {
            Ok(started) => Ok(started),
            Err(StartError::Failed(error)) => Err(error),
            Err(StartError::OtherBuild) => bail!(
                "{} is of another build than this program: run `cargo build -p tenantry-control-plane`",
                found.display()
            ),
        },
    }
}

/// A panic in another test of the process does not make the pipe unusable.
fn lock(link: &Mutex<Link>) -> std::sync::MutexGuard<'_, Link> {
    link.lock().unwrap_or_else(PoisonError::into_inner)
}
