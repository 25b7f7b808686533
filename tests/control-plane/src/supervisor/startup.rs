//! From nothing to a ready control plane, and the few things that happen to it afterwards. Needs a client and a clock.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::Request as HttpRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use rustix::process::Signal;
use tokio::time::{sleep, timeout};

use super::{Helper, Processes, snapshot, volumes};
use crate::commands::{PORT_COUNT, Plan, Ports, Role, kubeconfig};
use crate::home::{Home, Paths, Reserved};
use crate::kubeconfig::client_from;
use crate::node::{self, REAL_NODE};
use crate::nodes::await_usable;
use crate::profile::Profile;
use crate::protocol::{Order, Request};
use crate::tools::Toolset;

/// A start takes about 4 s on an idle machine; a build on all cores beside it may slow it down tenfold.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// Between two looks at a server that is not up yet; there is nothing to watch before it is.
const READY_PAUSE: Duration = Duration::from_millis(25);
/// Somebody else may take one of our ports between the look and the start; this often in a row nobody does.
const START_ATTEMPTS: u32 = 4;

/// A control plane that is up.
pub(super) struct Running {
    pub(super) processes: Processes,
    home: Home,
    reserved: Reserved,
    profile: Profile,
    audit: bool,
    tools: Toolset,
    helpers: Vec<Helper>,
}

impl Running {
    /// Starts the processes of the order's profile and waits until they work.
    pub(super) async fn start(order: &Order) -> Result<Self> {
        let mut attempt = 1;
        loop {
            match Self::start_once(order).await {
                Err(error) if attempt < START_ATTEMPTS && is_port_conflict(&error) => attempt += 1,
                other => return other,
            }
        }
    }

    async fn start_once(order: &Order) -> Result<Self> {
        let (home, reserved) = Home::create(PORT_COUNT, order.profile >= Profile::P3)?;
        let mut running = Self {
            processes: Processes::default(),
            home,
            reserved,
            profile: order.profile,
            audit: order.audit,
            tools: order.tools.clone(),
            helpers: Vec::new(),
        };
        let outcome = timeout(START_TIMEOUT, running.bring_up()).await;
        match outcome.unwrap_or_else(|_| Err(running.not_ready())) {
            Ok(()) => Ok(running),
            Err(error) => {
                running.stop().await;
                Err(error)
            }
        }
    }

    async fn bring_up(&mut self) -> Result<()> {
        let plan = self.plan()?;
        plan.write_files()?;
        let followers = plan.followers();
        self.launch_all(followers).await?;
        if self.profile >= Profile::P1 {
            let harness = self.client("harness").await?;
            volumes::prepare(&harness).await?;
            self.provision_volumes().await?;
            tokio::select! {
                begun = controllers_work(harness) => begun?,
                ended = self.processes.first_end() => return Err(ended),
            }
        }
        self.real_node_works().await
    }

    /// Starts the real node, if there is to be one, and waits until the API server can listen on the link to it.
    async fn launch_node(&mut self) -> Result<()> {
        let Some(node) = self.plan()?.node()? else { return Ok(()) };
        // What an earlier one left that ended together with the store.
        node::clean_up(&node.paths, node.network)?;
        node::prepare(&node)?;
        self.launch(Role::Node)?;
        tokio::select! {
            () = is_local(node.network.host()) => Ok(()),
            ended = self.processes.first_end() => Err(ended),
        }
    }

    async fn real_node_works(&mut self) -> Result<()> {
        if self.reserved.network.is_none() {
            return Ok(());
        }
        let nodes = Api::all(self.client("harness").await?);
        tokio::select! {
            usable = await_usable(nodes, REAL_NODE) => usable.context("the real node does not work"),
            ended = self.processes.first_end() => Err(ended),
        }
    }

    async fn launch_all(&mut self, followers: &[Role]) -> Result<()> {
        self.launch_node().await?;
        self.launch(Role::Etcd)?;
        self.launch(Role::ApiServer)?;
        self.until_ready().await?;
        for role in followers {
            self.launch(*role)?;
        }
        Ok(())
    }

    async fn provision_volumes(&mut self) -> Result<()> {
        let client = self.client("volumes").await?;
        let directory = self.reserved.network.map(|_| self.paths().volumes());
        self.helpers.push(Helper::spawn("volume provisioner", volumes::provision(client, directory)));
        Ok(())
    }

    /// Starts the controller manager anew. After some seconds without an API server it looks for it only every half a minute,
    /// and whoever waits for what it does would wait with it.
    async fn relaunch_controllers(&mut self) -> Result<()> {
        if self.processes.has(Role::ControllerManager) {
            self.processes.end(Role::ControllerManager).await?;
            self.launch(Role::ControllerManager)?;
        }
        Ok(())
    }

    /// Copies the store while nothing writes to it; whoever asks it something waits for a moment.
    fn copy_store(&self) -> Result<()> {
        self.processes.freeze(Role::Etcd)?;
        let copied = snapshot::take(self.paths());
        self.processes.signal(Role::Etcd, Signal::CONT)?;
        copied
    }

    /// Everything that looks at the store starts anew with it: what they remember was never there.
    async fn restore_store(&mut self) -> Result<()> {
        snapshot::demand(self.paths())?;
        self.helpers.clear();
        self.processes.end_all().await;
        snapshot::restore(self.paths())?;
        let followers = self.plan()?.followers();
        let launched = timeout(START_TIMEOUT, self.launch_all(followers)).await;
        launched.unwrap_or_else(|_| Err(self.not_ready()))?;
        self.real_node_works().await?;
        if self.profile >= Profile::P1 {
            self.provision_volumes().await?;
        }
        Ok(())
    }

    pub(super) fn paths(&self) -> &Paths {
        self.home.paths()
    }

    /// A client under one of the control plane's own identities.
    pub(super) async fn client(&self, identity: &str) -> Result<Client> {
        client_from(&kubeconfig(self.paths(), identity)).await
    }

    /// Carries out a request about the API server or its store.
    pub(super) async fn carry_out(&mut self, request: Request) -> Result<()> {
        match request {
            Request::PauseApiServer => self.processes.freeze(Role::ApiServer),
            Request::ResumeApiServer => self.processes.signal(Role::ApiServer, Signal::CONT),
            Request::StopApiServer => {
                self.processes.end(Role::ApiServer).await?;
                self.record()
            }
            Request::StartApiServer => {
                if self.processes.has(Role::ApiServer) {
                    bail!("the API server runs already");
                }
                self.launch(Role::ApiServer)?;
                timeout(START_TIMEOUT, self.until_ready()).await.unwrap_or_else(|_| Err(self.not_ready()))?;
                self.relaunch_controllers().await
            }
            Request::CopyStore => self.copy_store(),
            Request::RestoreStore => self.restore_store().await,
            Request::PlayGateway => bail!("the gateway is not part of the control plane"),
        }
    }

    /// Ends everything; the directory goes with `self`.
    pub(super) async fn stop(&mut self) {
        self.helpers.clear();
        self.processes.end_all().await;
    }

    fn plan(&self) -> Result<Plan<'_>> {
        let ports = Ports::assign(&self.reserved.ports)?;
        let Self { home, reserved, tools, profile, audit, .. } = self;
        let (paths, network) = (home.paths(), reserved.network);
        Ok(Plan { paths, ports, network, tools, profile: *profile, audit: *audit })
    }

    fn launch(&mut self, role: Role) -> Result<()> {
        let command = self.plan()?.command(role)?;
        let log = self.paths().logs().join(format!("{}.log", role.name()));
        self.processes.start(role, &command, log)?;
        self.record()
    }

    /// Keeps on file what must be cleaned up if this process is killed.
    fn record(&self) -> Result<()> {
        let mut state = self.paths().read_state()?;
        state.children = self.processes.ids();
        self.paths().write_state(&state)
    }

    /// Waits until the API server says it is ready, or a process ends.
    async fn until_ready(&mut self) -> Result<()> {
        let client = self.client("harness").await?;
        tokio::select! {
            ready = readyz(&client) => ready,
            ended = self.processes.first_end() => Err(ended),
        }
    }

    fn not_ready(&self) -> anyhow::Error {
        let log = self.paths().logs().join(format!("{}.log", Role::ApiServer.name()));
        anyhow::anyhow!(
            "the control plane was not ready after {} s; last words of the API server:\n{}",
            START_TIMEOUT.as_secs(),
            crate::logs::tail(&log, 15)
        )
    }
}

/// Waits until the API server says it is ready.
pub(crate) async fn readyz(client: &Client) -> Result<()> {
    loop {
        let request = HttpRequest::get("/readyz").body(Vec::new())?;
        if client.request_text(request).await.is_ok() {
            return Ok(());
        }
        sleep(READY_PAUSE).await;
    }
}

/// The controllers work when their first product is there. Pods also depend on this one.
async fn controllers_work(client: Client) -> Result<()> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client, "default");
    await_condition(accounts, "default", |account: Option<&ServiceAccount>| account.is_some())
        .await
        .context("the controller manager does not work")?;
    Ok(())
}

/// Waits until `address` is one of this machine's.
async fn is_local(address: Ipv4Addr) {
    while TcpListener::bind((address, 0)).is_err() {
        sleep(READY_PAUSE).await;
    }
}

/// The words of Go's net package in the log of the process that ended.
fn is_port_conflict(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("address already in use")
}
