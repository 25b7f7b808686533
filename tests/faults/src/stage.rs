//! A cluster with the product installed, a controller behind a proxy, and a recorder; and how one run goes on it. Needs a
//! client, a clock and processes.

mod disasters;
mod hall;
mod suspensions;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use http::Request;
use kube::Client;
use serde_json::{Value, json};
use tenantry_control_plane::{Cluster, Crd, Options, Profile};
use tenantry_e2e::clock::Clock;
use tenantry_e2e::{World, install, world};

use crate::history::{Record, SUBSCRIPTIONS, State, is_ending};
use crate::journal;
use crate::plan::{Fault, Plan, Workload};
use crate::players::Players;
use crate::process::{self, Slot, Start};
use crate::proxy::{Proxy, Setup};
use crate::recorder::{PATIENCE, Recorder};
use crate::site::{Site, Verb};
use crate::wire::{Exchange, Wire};
use crate::workload::VERSIONS;

/// Nothing is sent for so long when a run is over. What comes later is seen by the runs after it: the tenant of this one is
/// a bystander to them, and none of its objects may change.
pub(crate) const QUIET: Duration = Duration::from_millis(150);
/// A status is written once a second at most, so after this nothing is left to be written.
const SETTLED: Duration = Duration::from_millis(1200);
/// How long a controller that sees the past may take to act on it.
const TRAVEL: Duration = Duration::from_secs(3);
/// How much later than its effect the answer to a request may come.
const LATE: Duration = Duration::from_secs(5);
/// Name of the replica.
pub(crate) const REPLICA: &str = "a";
/// Path of the lease.
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/tenantry-system/leases/tenantry-controller";
const DEFINITIONS: [&str; 4] =
    ["serviceplans", "blueprints", "hostedapplications", "hostedapplicationversions"];

/// Who comes first where there are too few processors for all stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// Whoever asks first.
    Usual,
    /// Other stages: nothing here is judged by how long it takes.
    MakesWay,
}

/// A stage. Everything on it ends when it is dropped.
pub struct Stage {
    /// The recorder.
    pub recorder: Recorder,
    /// Journal and armed fault.
    pub wire: Arc<Wire>,
    pub(crate) slot: Arc<Slot>,
    pub(crate) proxy: Proxy,
    pub(crate) client: Client,
    pub(crate) binary: PathBuf,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) directory: PathBuf,
    rank: Rank,
    tenants: u32,
    pool: Vec<(Workload, String)>,
    /// What tenants had before they were suspended, by name.
    earlier: HashMap<String, State>,
    bystander: String,
    /// Whether the next run begins with another controller: another program was chosen than the one that runs, or what the last run
    /// did to it lasts.
    is_stale: bool,
    /// The wall clock of the controller, where it is not the machine's.
    clock: Option<Clock>,
    /// Customers and nodes.
    players: Players,
    /// Scheduler, nodes and who cleans them, once there is somebody who needs them.
    housekeepers: Option<Players>,
    /// Servers so far.
    servers: u32,
    pub(crate) world: World,
}

// === impl Stage ===

impl Stage {
    /// Starts a cluster, installs the product and the harness's definitions, and starts `binary` as the controller. Logs go to
    /// `directory`.
    ///
    /// # Errors
    /// When a step fails.
    pub async fn start(binary: &Path, rank: Rank, directory: &Path) -> Result<Self> {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        process::forget_journal(directory)?;
        let setup = world::Setup { profile: Profile::P1, optional_kinds: &[Crd::HttpRoute] };
        // Requests are counted by the proxy.
        let options = Options { audit: false, makes_way: rank == Rank::MakesWay, ..setup.options() };
        let world = World::on(Cluster::start(options).await?, setup).await?;
        world.cluster.play_gateway().await?;
        let client = world.client.clone();
        let recorder = Recorder::start(client.clone()).await?;
        let (wire, slot) = (Arc::<Wire>::default(), Arc::<Slot>::default());
        let proxy = Proxy::start(Setup {
            replica: REPLICA,
            original: world.identity(),
            directory,
            wire: Arc::clone(&wire),
            victim: Arc::clone(&slot),
            administrator: client.clone(),
        })
        .await?;
        let definitions = Path::new(env!("CARGO_MANIFEST_DIR")).join("definitions");
        world.apply_all(&install::directory(&definitions)?).await?;
        let mut stage = Self {
            recorder,
            wire,
            slot,
            proxy,
            client,
            binary: binary.to_owned(),
            environment: Vec::new(),
            rank,
            directory: directory.to_owned(),
            tenants: 0,
            pool: Vec::new(),
            earlier: HashMap::new(),
            bystander: String::new(),
            is_stale: false,
            clock: None,
            players: Players::start(world.client.clone()).await?,
            housekeepers: None,
            servers: 0,
            world,
        };
        stage.begin_anew().await?;
        Ok(stage)
    }

    /// Chooses another program, with this further environment. The next run begins with its start; until then the one
    /// that runs goes on.
    pub fn choose(&mut self, binary: &Path, environment: &[(String, String)]) {
        binary.clone_into(&mut self.binary);
        environment.clone_into(&mut self.environment);
        self.is_stale = true;
    }

    /// The next run begins with another controller.
    pub fn tire(&mut self) {
        self.is_stale = true;
    }

    /// Ends the controller, takes all subscriptions away without anybody's doing anything about it, and begins with the
    /// chosen program and a new bystander. What was made for the others stays and is nobody's.
    ///
    /// # Errors
    /// When a subscription cannot be taken away, or the new bystander does not come to life.
    pub async fn clear(&mut self) -> Result<()> {
        self.slot.kill();
        self.recorder.settle(|resource| resource == SUBSCRIPTIONS).await?;
        let now = self.recorder.now();
        for (key, object) in now.iter().filter(|(key, _)| key.resource == SUBSCRIPTIONS) {
            let path = subscription(&key.name);
            self.send("PATCH", &path, &json!({"metadata": {"finalizers": null}})).await?;
            // One that is being deleted goes with its finalizer.
            if !is_ending(object) {
                self.send("DELETE", &path, &Value::Null).await?;
            }
        }
        let gone = |state: &State| !state.keys().any(|key| key.resource == SUBSCRIPTIONS);
        self.recorder.until("that all subscriptions are gone", gone).await?;
        self.close_hall().await?;
        self.pool.clear();
        self.earlier.clear();
        self.wire.begin(&Plan::reference(Workload::Provision), "");
        self.begin_anew().await
    }

    async fn begin_anew(&mut self) -> Result<()> {
        self.is_stale = false;
        self.restart().await?;
        self.accepted().await?;
        // A name of its own: the namespace of the one before may still be there.
        self.bystander = format!("bystander-{}", self.fresh());
        let bystander = self.bystander.clone();
        self.ordered(Workload::Provision, &[bystander]).await
    }

    /// Orders so many tenants for runs of this workload, all at once, and waits until they are as such runs begin with.
    ///
    /// # Errors
    /// When one does not get there.
    pub async fn stock(&mut self, workload: Workload, count: usize) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        let names: Vec<String> = (0..count).map(|_| self.fresh()).collect();
        self.ordered(workload, &names).await?;
        self.pool.extend(names.into_iter().map(|name| (workload, name)));
        Ok(())
    }

    async fn ordered(&mut self, workload: Workload, names: &[String]) -> Result<()> {
        if workload.is_of_servers() {
            self.open_hall(Self::servers_for(workload, names.len())).await?;
        }
        try_join_all(names.iter().map(|name| self.order(workload, name))).await?;
        let mut quiet = QUIET;
        if workload.is_of_suspensions() {
            self.are_prepared(Workload::Provision, names).await?;
            self.furnish(workload, names).await?;
            // A status that is still to be written would be the first of the run.
            quiet = SETTLED;
        }
        self.are_prepared(workload, names).await?;
        if workload.begins_with_a_server() {
            self.guest().await?;
        }
        self.quiet(quiet).await?;
        Ok(())
    }

    /// Waits until tenants are as runs of this workload begin with.
    async fn are_prepared(&self, workload: Workload, names: &[String]) -> Result<()> {
        let prepared = |state: &State| names.iter().all(|name| workload.is_prepared(state, name));
        let waited = self.recorder.until("that the tenants are prepared", prepared).await;
        waited.with_context(|| self.last_words())
    }

    /// Whether there is a tenant for a run of this workload.
    #[must_use]
    pub fn has_stock(&self, workload: Workload) -> bool {
        self.pool.iter().any(|(for_workload, _)| *for_workload == workload)
    }

    /// Performs a plan and gives the record of it.
    ///
    /// # Errors
    /// When the harness itself fails; what the controller does wrong is in the record.
    pub async fn run(&mut self, plan: &Plan) -> Result<Record> {
        let tenant = self.subject(plan.workload).await?;
        self.begin(plan, &tenant).await?;
        if plan.jump().is_some() {
            self.clock = Some(Clock::find(&self.directory)?);
        }
        if std::mem::take(&mut self.is_stale) || plan.needs_restart() {
            self.restart().await?;
        }
        let is_watched =
            |site: &Site| site.verb == Verb::Watch && !plan.workload.is_watched_late(&site.resource);
        if let Some(at) = plan.at.as_ref().filter(|at| is_watched(&at.site)) {
            self.watches(&at.site).await?;
        }
        if plan.at.is_none()
            && let Some(seconds) = plan.jump()
        {
            self.jump_at_rest(seconds).await?;
        }
        self.act(plan.workload, &tenant).await?;
        let mut trouble = self.converge(plan, &tenant).await;
        let mut let_through = None;
        if plan.fault == Fault::Late && trouble.is_none() {
            self.recorder.settle(|_| true).await?;
            let_through = Some(self.recorder.revision());
            self.wire.let_late_ones_through().await;
            trouble = self.quiet(QUIET).await.err().map(|error| format!("{error:#}"));
        }
        if let (Some(seconds), None) = (plan.jump(), &trouble) {
            trouble = self.leads_and_rests(seconds).await.err().map(|error| format!("{error:#}"));
        }
        if plan.fault == Fault::StoreRestored && trouble.is_none() {
            trouble = self.restore_store(plan, &tenant).await.err().map(|error| format!("{error:#}"));
        }
        if plan.fault == Fault::TimeTravel && trouble.is_none() {
            trouble = self.travel(plan, &tenant).await.err().map(|error| format!("{error:#}"));
        }
        if plan.at.is_some() && !self.wire.has_struck() {
            trouble = trouble.or(Some("the fault did not strike: the request never came".to_owned()));
        }
        self.recorder.settle(|_| true).await?;
        let (before, changes) = self.recorder.take();
        let unasked_end = self.slot.ended().map(|status| status.to_string());
        if unasked_end.is_some() || self.clock.take().is_some() {
            self.restart().await?;
        }
        let exchanges = self.wire.exchanges();
        let events = self.wire.events();
        let bystander = self.bystander.clone();
        let earlier = self.earlier.remove(&tenant).unwrap_or_default();
        let mut record = Record {
            tenant,
            bystander,
            before,
            earlier,
            changes,
            exchanges,
            events,
            let_through,
            trouble,
            unasked_end,
            restored: plan.fault == Fault::StoreRestored,
            journal: None,
        };
        let (database, patience) = (process::journal(&self.directory), self.recorder.patience());
        record.journal = Some(journal::read(&self.binary, &database, &record, patience).await?);
        Ok(record)
    }

    /// The end of what the controller logged.
    #[must_use]
    pub fn last_words(&self) -> String {
        format!("the controller's last words:\n{}", self.slot.last_words(&self.directory, REPLICA))
    }

    /// Waits until the controller, just started, watches: what it is told by a list is no event.
    async fn watches(&self, site: &Site) -> Result<()> {
        let begins = |exchange: &Exchange| exchange.place.site == *site && exchange.code.is_some();
        let watches = self.wire.journal(|all| all.iter().any(begins));
        tokio::time::timeout(self.recorder.patience(), watches)
            .await
            .with_context(|| format!("the controller does not begin to {site}"))
    }

    /// Waits until nothing was sent for so long.
    pub(crate) async fn quiet(&self, for_so_long: Duration) -> Result<()> {
        self.wire.quiet(for_so_long, self.recorder.patience()).await
    }

    /// A tenant for a workload: a new name, or one that is live.
    pub(crate) async fn subject(&mut self, workload: Workload) -> Result<String> {
        if !workload.needs_tenant() {
            if workload.is_of_servers() {
                self.open_hall(1).await?;
            }
            return Ok(self.fresh());
        }
        if !self.has_stock(workload) {
            self.stock(workload, 1).await?;
        }
        if workload == Workload::ServersMove {
            self.open_hall(1).await?;
        }
        let place = self.pool.iter().position(|(for_workload, _)| *for_workload == workload);
        Ok(self.pool.remove(place.context("a tenant was just ordered")?).1)
    }

    async fn begin(&self, plan: &Plan, tenant: &str) -> Result<()> {
        // What the run before left to be written comes first: on a busy machine a controller that has just started looks at all
        // tenants for longer than the silence that ends a run.
        self.quiet(SETTLED).await?;
        self.recorder.settle(|_| true).await?;
        self.recorder.begin();
        self.wire.begin(plan, tenant);
        Ok(())
    }

    pub(crate) async fn act(&self, workload: Workload, tenant: &str) -> Result<()> {
        match workload {
            Workload::Provision | Workload::ServersOrder => self.order(workload, tenant).await,
            // That his data is not kept any longer a person says when he is asked.
            Workload::OffboardDelete
            | Workload::OffboardRetain
            | Workload::OffboardExport
            | Workload::OffboardArchive
            | Workload::ServersLeave => self.send("DELETE", &subscription(tenant), &Value::Null).await,
            Workload::Upgrade => {
                let [_, version] = VERSIONS;
                let patch = json!({"spec": {"applicationRef": {"version": version}}});
                self.send("PATCH", &subscription(tenant), &patch).await
            }
            Workload::PlanUp | Workload::PlanDown | Workload::ServersMove | Workload::ServersBack => {
                let patch = json!({"spec": {"planRef": {"name": workload.next_plan()}}});
                self.send("PATCH", &subscription(tenant), &patch).await
            }
            // What customers do besides, the players do when they are asked.
            Workload::HandOver => {
                let patch = json!({"spec": {"holds": null}});
                self.send("PATCH", &subscription(tenant), &patch).await
            }
            Workload::Suspend => self.suspend(tenant).await,
            Workload::Resume => self.lift(tenant).await,
        }
    }

    /// Waits until the workload is done and nothing more is sent. Gives what went wrong.
    async fn converge(&self, plan: &Plan, tenant: &str) -> Option<String> {
        let done =
            self.recorder.until("that the workload is done", |state| plan.workload.is_done(state, tenant));
        let mut done = std::pin::pin!(done);
        let mut outage = plan.outage();
        let result = tokio::select! {
            result = &mut done => result,
            () = self.wire.struck(), if plan.fault.is_crash() => match self.restart().await {
                Ok(()) => done.await,
                Err(error) => Err(error),
            },
            // What was begun is brought to its end, whatever becomes of the workload meanwhile: nobody else would start the
            // API server again.
            () = self.wire.struck(), if outage.is_some() => match self.outage(outage.take()).await {
                Ok(()) => done.await,
                Err(error) => Err(error),
            },
            copied = self.copy_store(plan) => match copied {
                Ok(()) => done.await,
                Err(error) => Err(error),
            },
        };
        if let Err(error) = result {
            return Some(format!("{error:#}"));
        }
        // The effect of the last request is seen before its answer is, and the crash strikes with the answer.
        if plan.fault.is_crash() {
            let _never = tokio::time::timeout(LATE, self.wire.struck()).await;
            if self.slot.is_empty()
                && let Err(error) = self.restart().await
            {
                return Some(format!("{error:#}"));
            }
        }
        if outage.is_some() {
            let struck = tokio::time::timeout(LATE, self.wire.struck()).await;
            if struck.is_ok()
                && let Err(error) = self.outage(outage).await
            {
                return Some(format!("{error:#}"));
            }
        }
        self.quiet(QUIET).await.err().map(|error| format!("{error:#}"))
    }

    /// Takes the API server away for so long, where a plan says so.
    async fn outage(&self, away: Option<Duration>) -> Result<()> {
        let Some(away) = away else { return Ok(()) };
        // One that has just started tells nobody of what was before. So what was committed last is on record before it goes, and
        // for the controller it is away until its record goes on.
        self.wire.set_away(true);
        self.recorder.settle(|_| true).await?;
        self.world.cluster.stop_apiserver().await?;
        tokio::time::sleep(away).await;
        self.world.cluster.start_apiserver().await?;
        self.recorder.follows().await?;
        self.wire.set_away(false);
        Ok(())
    }

    /// The customer orders anew under the same name, where that is free; then the controller is restarted and sees the
    /// past, and after a while the present again.
    async fn travel(&self, plan: &Plan, tenant: &str) -> Result<()> {
        let Some(past) = self.wire.noted() else { return Ok(()) };
        if plan.workload == Workload::OffboardDelete {
            self.order(plan.workload, tenant).await?;
            let live = |state: &State| Workload::Provision.is_done(state, tenant);
            self.recorder.until("that the new tenant is live", live).await?;
            self.quiet(QUIET).await?;
        }
        self.recorder.settle(|_| true).await?;
        self.recorder.begin();
        let before = self.wire.exchanges().len();
        self.wire.freeze(Some(past));
        self.restart().await?;
        let has_acted = |all: &[Exchange]| {
            all.iter().skip(before).any(|exchange| exchange.tenant.as_deref() == Some(tenant))
        };
        // One that does not even look at the tenant has nothing to be wrong about.
        let _late = tokio::time::timeout(TRAVEL, self.wire.journal(has_acted)).await;
        self.quiet(QUIET).await?;
        let held = self.wire.exchanges();
        self.wire.freeze(None);
        let follows_again = |all: &[Exchange]| {
            let later =
                |site: &Site| all.iter().skip(held.len()).any(|exchange| exchange.place.site == *site);
            let sites = held.iter().skip(before).map(|exchange| &exchange.place.site);
            sites.filter(|site| site.verb == Verb::Watch).all(later)
        };
        tokio::time::timeout(PATIENCE, self.wire.journal(follows_again))
            .await
            .context("watches did not go on")?;
        self.quiet(SETTLED).await?;
        Ok(())
    }

    /// Starts the controller, killing it first where it runs. The lease of one that was killed is given back for it: how
    /// long another would wait is for the tests of leadership.
    ///
    /// # Errors
    /// When the lease cannot be given back or the controller not be started.
    pub async fn restart(&self) -> Result<()> {
        self.slot.kill();
        let request = Request::delete(LEASE).body(Vec::new())?;
        match self.client.request_text(request).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error).context("the lease cannot be given back"),
        }
        self.slot.start(&Start {
            binary: self.binary.clone(),
            kubeconfig: self.proxy.kubeconfig().to_owned(),
            directory: self.directory.clone(),
            replica: REPLICA.to_owned(),
            environment: self.environment.clone(),
            makes_way: self.rank == Rank::MakesWay,
            clock: self.clock.clone(),
        })
    }

    async fn accepted(&self) -> Result<()> {
        let all = |state: &State| {
            let of_ours =
                |resource: &str| DEFINITIONS.iter().any(|plural| resource == format!("{plural}.tenantry.io"));
            let mut definitions = state.iter().filter(|(key, _)| of_ours(&key.resource)).peekable();
            definitions.peek().is_some()
                && definitions.all(|(_, object)| {
                    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
                    conditions
                        .into_iter()
                        .flatten()
                        .any(|one| one["type"] == "Accepted" && one["status"] == "True")
                })
        };
        self.recorder.until("that the definitions are accepted", all).await.with_context(|| self.last_words())
    }

    fn fresh(&mut self) -> String {
        self.tenants += 1;
        format!("case-{:04}", self.tenants)
    }

    async fn order(&self, workload: Workload, tenant: &str) -> Result<()> {
        self.send("POST", &subscription(""), &workload.order(tenant)).await
    }

    /// Sends something as the administrator.
    async fn send(&self, method: &str, path: &str, body: &Value) -> Result<()> {
        let content = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, content)
            .body(body)?;
        self.client.request_text(request).await.with_context(|| format!("{method} {path} was refused"))?;
        Ok(())
    }
}

/// Path of a subscription, or of all.
fn subscription(tenant: &str) -> String {
    let path = "/apis/tenantry.io/v1alpha1/tenantsubscriptions";
    if tenant.is_empty() { path.to_owned() } else { format!("{path}/{tenant}") }
}
