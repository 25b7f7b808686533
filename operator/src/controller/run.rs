//! Wiring: from settings to running tasks, and the orderly end. Needs clients, signals and a clock.

use super::admin::{self, Readiness};
use super::billing;
use super::billing::used::prometheus::Prometheus;
use super::config::{Config, LogFormat};
use super::context::{Context, Surroundings};
use super::events::Events;
use super::foreign::Foreign;
use super::journal::writer;
use super::leadership::Leadership;
use super::leftovers;
use super::metrics::{Counted, Metrics};
use super::queue::{Lane, Queue};
use super::receipts::Receipts;
use super::reconcile::{self, Outcome};
use super::sayings::Sayings;
use super::servers;
use super::session::Sessions;
use super::watches;
use crate::definitions::acceptor::Acceptor;
use crate::definitions::compiler::Compiler;
use crate::definitions::mover::Mover;
use crate::definitions::{Key, Store};
use anyhow::Context as _;
use std::sync::Arc;
use std::time::Duration;
use tenantry_apply::connection::{connect, connect_fenced};
use tenantry_apply::discovery::Discovery;
use tenantry_apply::executor::Executor;
use tenantry_apply::gate::WriteGate;
use tenantry_apply::lease::{Candidate, LeaseGate, Standing, Tenure, Timing};
use tenantry_apply::object::{GeneratedKey, Kind};
use tenantry_apply::permits::Permits;
use tenantry_apply::shared::SharedIndex;
use tenantry_apply::streams::Streams;
use tenantry_checklist::pace::Limits;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Name of the lease.
const LEASE: &str = "tenantry-controller";
/// How long running work may take to end.
const DRAIN: Duration = Duration::from_secs(10);
/// For so many workers there is one more that serves only those who do not wait behind a crowd.
const FAST_SHARE: u16 = 4;
/// Wait after a definition whose run failed.
const DEFINITION_RETRY: Duration = Duration::from_secs(2);
/// Further changes of kinds within this time are looked at together: a chart installs many at once.
const KINDS_TOGETHER: Duration = Duration::from_millis(100);
/// Looks at kinds after a change, while a definition exists that is not served: they span about six seconds.
const LOOKS_AT_A_LATE_KIND: u32 = 6;
/// Between two looks at whether our own kinds are installed.
const KINDS_EVERY: Duration = Duration::from_secs(2);
/// How long the work may wait for the journal to be read at a start. Without it nothing is lost, only everybody is looked at
/// once more when it is there.
const JOURNAL_PATIENCE: Duration = Duration::from_secs(2);
/// Letters of generated values.
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Runs the controller until it is told to end, or loses its lease.
///
/// # Errors
/// When it cannot start, when the lease is lost, or when a part of it ends on its own.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    start_log(config.log_format);
    tracing::info!(?config, version = env!("CARGO_PKG_VERSION"), "starting");
    let readiness = Arc::new(Readiness::default());
    let counted = Counted::default();
    let metrics = Arc::new(Metrics::new(counted.clone()));
    readiness.wait_for("lease", "another replica works");
    let mut tasks = JoinSet::new();
    let stop = Arc::new(Notify::new());
    {
        let (readiness, metrics, stop) = (Arc::clone(&readiness), Arc::clone(&metrics), Arc::clone(&stop));
        let address = config.admin_address;
        let served = async move { stop.notified().await };
        tasks.spawn(async move {
            if let Err(error) = admin::serve(address, readiness, metrics, served).await {
                tracing::error!(error = format!("{error:#}"), "the administration address is closed");
            }
            "admin"
        });
    }
    let candidate = candidate(&config.namespace, &config.identity)?;
    let cluster = kube::Config::infer().await.context("no cluster is configured; set KUBECONFIG")?;
    let gate = Arc::<LeaseGate>::default();
    let context = context(config, cluster.clone(), readiness, metrics, counted, Arc::clone(&gate))?;
    let context = Arc::new(context);
    {
        let (context, stop) = (Arc::clone(&context), Arc::clone(&stop));
        let served = async move { stop.notified().await };
        tasks.spawn(async move {
            if let Err(error) = billing::endpoint::serve(context, served).await {
                tracing::error!(error = format!("{error:#}"), "the billing address is closed");
            }
            "billing-address"
        });
    }
    tasks.spawn({
        let context = Arc::clone(&context);
        async move {
            watches::kinds(context).await;
            "kinds"
        }
    });
    tokio::select! {
        biased;
        signal = stop_signal() => return signal,
        ended = tasks.join_next() => return ended_early(ended),
        () = own_kinds(&context) => {}
    }
    let told = {
        let context = Arc::clone(&context);
        move |standing| lease_changed(&context, standing)
    };
    let mut leadership = Leadership::begin(cluster, candidate, gate, told)?;
    let tenure = tokio::select! {
        biased;
        signal = stop_signal() => return signal,
        ended = tasks.join_next() => return ended_early(ended),
        acquired = leadership.acquired() => acquired?,
    };
    context.readiness.is_ready("lease");
    context.metrics.leader.set(1);
    tracing::info!("leading");
    start_work(&context, tenure, &mut tasks);
    tokio::select! {
        biased;
        // Losing the lease ends the process at once: whoever holds it now may be writing already.
        lost = leadership.ended() => lost?,
        signal = stop_signal() => signal?,
        ended = tasks.join_next() => ended_early(ended)?,
    }
    tracing::info!("stopping");
    context.queue.close();
    context.definition_queue.close();
    let idle = async {
        while context.running.load(std::sync::atomic::Ordering::SeqCst) > 0 {
            context.went_idle.notified().await;
        }
        context.events.settled().await;
    };
    let _late = tokio::time::timeout(DRAIN, idle).await;
    leadership.release();
    let _released = tokio::time::timeout(DRAIN, leadership.ended()).await;
    stop.notify_waiters();
    Ok(())
}

fn start_log(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::Text => log.init(),
    }
}

/// Somebody who would lead, under a name that no other process has.
pub(crate) fn candidate(namespace: &str, identity: &str) -> anyhow::Result<Candidate> {
    let mut unique = [0; 4];
    getrandom::fill(&mut unique)
        .map_err(|error| anyhow::anyhow!("the system gives no random bytes: {error}"))?;
    Ok(Candidate {
        namespace: namespace.to_owned(),
        name: LEASE.to_owned(),
        identity: format!("{identity}-{:08x}", u32::from_be_bytes(unique)),
        timing: Timing::default(),
    })
}

fn context(
    config: Config,
    cluster: kube::Config,
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
    counted: Counted,
    gate: Arc<LeaseGate>,
) -> anyhow::Result<Context> {
    let Counted { counters, roots, queue, journal, leftovers, servers, measuring } = counted;
    let prometheus = prometheus(&config)?;
    measuring.configure(prometheus.is_some());
    let watch_client = connect(cluster.clone())?;
    let client = connect_fenced(cluster, Arc::clone(&gate) as Arc<dyn WriteGate>)?;
    let listener = {
        let queue = Arc::clone(&queue);
        move |change: &tenantry_apply::index::Change| {
            if let Some(subscription) = &change.subscription {
                queue.wake(subscription.to_string());
            }
        }
    };
    let index = Arc::new(SharedIndex::new(Box::new(listener)));
    let discovery = Arc::new(Discovery::new(watch_client.clone()));
    let executor = Executor {
        client: client.clone(),
        discovery: Arc::clone(&discovery),
        index: Arc::clone(&index),
        gate,
        values: Arc::new(random_value),
        permits: Permits::new(usize::from(config.max_in_flight)),
        counters: Arc::clone(&counters),
        bindings: Arc::default(),
    };
    let usage_events_per_second = config.usage_events_per_second;
    let limits = Limits {
        max_in_flight: usize::from(config.move_max_in_flight),
        stop_after_failures: usize::from(config.move_stop_after_failures),
    };
    Ok(Context {
        events: Events::new(client.clone(), &config.identity),
        streams: Streams::new(watch_client.clone(), Arc::clone(&index), counters),
        foreign: Foreign::new(watch_client.clone(), Arc::clone(&queue)),
        config,
        client,
        watch_client,
        roots,
        sign_offs: Sayings::default(),
        suspensions: Sayings::default(),
        store: Arc::new(Store::default()),
        compiler: Compiler::default(),
        mover: Arc::new(Mover::new(limits)),
        claims: Default::default(),
        sessions: Sessions::default(),
        queue,
        journal,
        billing: Default::default(),
        prometheus,
        measuring,
        limits: billing::limits::Limits::new(usage_events_per_second),
        leftovers,
        servers,
        receipts: Receipts::default(),
        definition_queue: Queue::default(),
        index,
        discovery,
        executor,
        metrics,
        readiness,
        kinds_changed: Arc::default(),
        surroundings: Surroundings::default(),
        refused: Default::default(),
        syncing: Default::default(),
        all_synced: Notify::new(),
        running: Default::default(),
        went_idle: Notify::new(),
    })
}

/// Who is asked what was used, if anybody is configured.
fn prometheus(config: &Config) -> anyhow::Result<Option<Prometheus>> {
    let Some(url) = &config.prometheus_url else { return Ok(None) };
    let (token_file, percent) = (config.prometheus_token_file.clone(), config.prometheus_coverage);
    Prometheus::new(url, token_file, percent).map(Some).context("--prometheus-url cannot be used")
}

/// One value of a generated Secret. Bytes that would favour some letters are thrown away.
fn random_value(key: &GeneratedKey) -> String {
    let mut value = String::with_capacity(key.length);
    let mut bytes = [0_u8; 64];
    while value.len() < key.length {
        // Without randomness there is no secret; the creation fails and is tried again.
        if getrandom::fill(&mut bytes).is_err() {
            return String::new();
        }
        let fair = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < 4 * ALPHABET.len());
        let letters = fair.filter_map(|byte| ALPHABET.get(byte % ALPHABET.len()));
        value.extend(letters.map(|letter| char::from(*letter)).take(key.length - value.len()));
    }
    value
}

/// Waits until the cluster serves our own kinds, and a moment longer if it serves others late: an API server that has just
/// started does, and tenants would be told that these are not installed.
async fn own_kinds(context: &Context) {
    let mut looks: u32 = 0;
    loop {
        let changed = context.kinds_changed.notified();
        match context.discovery.refresh().await {
            Ok(_) => {
                let missing: Vec<String> = watches::own_kinds()
                    .into_iter()
                    .filter(|kind| {
                        Kind::parse(kind).is_none_or(|kind| context.discovery.resolve(&kind).is_none())
                    })
                    .collect();
                if missing.is_empty() {
                    if looks >= LOOKS_AT_A_LATE_KIND || !context.discovery.lags() {
                        context.readiness.is_ready("kinds");
                        return;
                    }
                    let again = KINDS_TOGETHER * 2_u32.saturating_pow(looks);
                    looks += 1;
                    let _changed = tokio::time::timeout(again, changed).await;
                    continue;
                }
                let reason = format!("{} not installed; run tenantry manifests crds", missing.join(", "));
                context.readiness.wait_for("kinds", reason);
            }
            Err(error) => {
                context.readiness.wait_for("kinds", format!("the API server does not answer: {error}"))
            }
        }
        let _changed = tokio::time::timeout(KINDS_EVERY, changed).await;
    }
}

/// While the API server is away, nothing is written; when it is back, everybody who waited out an outage goes on at once.
fn lease_changed(context: &Context, standing: Standing) {
    match standing {
        Standing::Interrupted { seconds, error } => {
            let why = error.map_or_else(|| "no answer".to_owned(), |error| error.to_string());
            tracing::warn!(seconds, why, "the lease cannot be renewed, so nothing is written");
            context.readiness.wait_for("lease", format!("it cannot be renewed: {why}"));
            context.metrics.leader.set(0);
        }
        Standing::Resumed => {
            tracing::info!("leading again");
            context.readiness.is_ready("lease");
            context.metrics.leader.set(1);
            context.outage_over();
        }
    }
}

fn start_work(context: &Arc<Context>, tenure: Tenure, tasks: &mut JoinSet<&'static str>) {
    watches::start(context, tasks);
    let recording = Arc::clone(context);
    tasks.spawn(async move {
        if let Err(error) = writer::run(&recording, &tenure).await {
            tracing::error!(%error, "the journal is written by another process");
        }
        "journal"
    });
    let billing = Arc::clone(context);
    tasks.spawn(async move {
        if let Err(error) = billing::worker::run(&billing).await {
            tracing::error!(%error, "the ledger is written by another process");
        }
        "billing"
    });
    let delivering = Arc::clone(context);
    tasks.spawn(async move {
        if let Err(error) = billing::deliveries::run(&delivering).await {
            tracing::error!(%error, "the ledger is written by another process");
        }
        "deliveries"
    });
    let dunning = Arc::clone(context);
    tasks.spawn(async move {
        if let Err(error) = billing::dunning::run(&dunning).await {
            tracing::error!(%error, "the ledger is written by another process");
        }
        "dunning"
    });
    let telling = Arc::clone(context);
    tasks.spawn(async move {
        if let Err(error) = billing::records::run(&telling).await {
            tracing::error!(%error, "the ledger is written by another process");
        }
        "records"
    });
    let looking_after = Arc::clone(context);
    tasks.spawn(async move {
        leftovers::run(&looking_after).await;
        "leftovers"
    });
    let following = Arc::clone(context);
    tasks.spawn(async move {
        servers::follow_nodes(following).await;
        "nodes"
    });
    let starting = Arc::clone(context);
    tasks.spawn(async move {
        starting.wait_synced().await;
        starting.load_claims();
        starting.journal.opened(JOURNAL_PATIENCE).await;
        let mut workers = JoinSet::new();
        for _ in 0..starting.config.concurrency {
            workers.spawn(work(Arc::clone(&starting), Lane::All));
        }
        for _ in 0..starting.config.concurrency.div_ceil(FAST_SHARE) {
            workers.spawn(work(Arc::clone(&starting), Lane::Fast));
        }
        workers.spawn(accept(Arc::clone(&starting)));
        let desk = Arc::clone(&starting);
        workers.spawn(async move { servers::run(&desk).await });
        workers.spawn(follow_kinds(Arc::clone(&starting)));
        workers.spawn(follow_first_sets(Arc::clone(&starting)));
        tracing::info!("working");
        // Workers end only with the queue, or by a panic, and then the process ends too. When the queue is closed, those
        // with nothing to do end first, and must not cut off what others are in the midst of.
        while let Some(Ok(())) = workers.join_next().await {}
        "workers"
    });
}

async fn work(context: Arc<Context>, lane: Lane) {
    while let Some(name) = context.queue.take(lane).await {
        let _running = context.begin();
        let started = Instant::now();
        let (outcome, next) = reconcile::reconcile(&context, &name).await;
        context.metrics.reconciled(outcome.as_str(), started.elapsed());
        if outcome == Outcome::Gone {
            tracing::debug!(subscription = name, "gone");
        }
        context.queue.done(&name, next);
    }
}

async fn accept(context: Arc<Context>) {
    let acceptor = Acceptor {
        client: context.client.clone(),
        namespace: context.config.namespace.clone(),
        store: Arc::clone(&context.store),
        roots: Arc::clone(&context.roots),
        mover: Arc::clone(&context.mover),
        measuring: Arc::clone(&context.measuring),
        decided: Default::default(),
    };
    for key in context.store.keys() {
        context.definition_queue.wake(key);
    }
    while let Some(key) = context.definition_queue.take(Lane::All).await {
        let _running = context.begin();
        let next = accept_one(&context, &acceptor, &key).await;
        context.definition_queue.done(&key, next);
    }
}

async fn accept_one(context: &Context, acceptor: &Acceptor, key: &Key) -> Option<Instant> {
    use tenantry_checklist::select::Catalogue;
    if !context.executor.gate.may_write() {
        return Some(Instant::now() + DEFINITION_RETRY);
    }
    let before = context.store.latest(key.kind, &key.name);
    let result = acceptor.run(key, jiff::Timestamp::now()).await;
    if before != context.store.latest(key.kind, &key.name) {
        context.wake_users_of(key);
    }
    match result {
        Ok(()) => None,
        Err(error) => {
            tracing::warn!(definition = %key, error = %error, "a definition will be looked at again");
            Some(Instant::now() + DEFINITION_RETRY)
        }
    }
}

/// Asks the cluster which kinds it serves whenever a custom resource definition comes or goes.
async fn follow_kinds(context: Arc<Context>) {
    let mut looks: u32 = 0;
    loop {
        // What the API server says about its kinds is a little behind what it stores. A definition that is not served
        // after some looks, such as one whose names are taken, is looked at with the next change.
        let is_late = looks > 0 && looks < LOOKS_AT_A_LATE_KIND && context.discovery.lags();
        if is_late {
            let again = KINDS_TOGETHER * 2_u32.saturating_pow(looks);
            if tokio::time::timeout(again, context.kinds_changed.notified()).await.is_ok() {
                looks = 0;
            }
        } else {
            context.kinds_changed.notified().await;
            looks = 0;
        }
        tokio::time::sleep(KINDS_TOGETHER).await;
        looks += 1;
        match context.discovery.refresh().await {
            Ok(refreshed) => {
                for kind in &refreshed.vanished {
                    context.streams.remove(kind);
                    context.foreign.remove(kind);
                }
                if !refreshed.appeared.is_empty() || !refreshed.vanished.is_empty() {
                    context.wake_all();
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the cluster does not say which kinds it serves; asking again");
                tokio::time::sleep(KINDS_EVERY).await;
                context.kinds_changed.notify_one();
            }
        }
    }
}

/// Wakes those who wait for a watch to deliver what exists. Asking again and again instead would keep a thousand tenants
/// busy for as long as the API server prepares a kind.
async fn follow_first_sets(context: Arc<Context>) {
    loop {
        context.index.first_set().await;
        context.wake_everybody();
    }
}

async fn stop_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn ended_early(ended: Option<Result<&'static str, tokio::task::JoinError>>) -> anyhow::Result<()> {
    match ended {
        Some(Ok(task)) => anyhow::bail!("the task {task:?} ended on its own"),
        Some(Err(error)) => Err(anyhow::anyhow!(error).context("a task failed")),
        None => anyhow::bail!("no task is left"),
    }
}
