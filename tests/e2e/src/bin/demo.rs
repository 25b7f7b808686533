//! The demo: tenants from manifest to Live on a real Kubernetes API. Needs a client, a clock and processes.

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use futures::TryStreamExt;
use kube::api::{Api, DynamicObject, ListParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Discovery, ResourceExt};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tenantry_control_plane::{Cluster, Mark, Profile, detached};
use tenantry_crds::TenantSubscription;
use tenantry_e2e::kept::{self, Kept};
use tenantry_e2e::people::Signer;
use tenantry_e2e::report::{Page, Report, Tenant};
use tenantry_e2e::world::{self, examples};
use tenantry_e2e::{Setup, World, install, node, process, wait};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

const STARTING: &str =
    "Starting a Kubernetes API (the first time on a machine, its programs are built: about 11 minutes) ...";
/// From the first subscription to the last one live.
const LIMIT: Duration = Duration::from_secs(120);
/// The display hears of the last change when we do; this is for drawing it.
const LAST_FRAME: Duration = Duration::from_secs(2);

/// Takes tenants from manifest to Live on a real Kubernetes API, and says how long that took and what it cost.
#[derive(Parser, Debug)]
struct Arguments {
    /// Leave the cluster, the controller and the tenants running.
    #[arg(long, conflicts_with = "stop")]
    keep: bool,
    /// Stop what --keep left running.
    #[arg(long)]
    stop: bool,
    /// Whether pods are simulated, or run on a real node: as root on Linux, and with those tenants whose servers it has.
    #[arg(long, value_enum, default_value_t = Nodes::Simulated)]
    node: Nodes,
}

/// What pods run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Nodes {
    /// On nodes that kwok plays.
    Simulated,
    /// In containers.
    Real,
}

/// A subscription's name and when it was sent, or how many seconds later it was live.
type Times<T> = BTreeMap<String, T>;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let Arguments { keep, stop, node } = Arguments::parse();
    let directory = directory()?;
    if stop {
        end_kept(&directory)?;
        return Ok(ExitCode::SUCCESS);
    }
    let setup = setup(node)?;
    let all_live = if keep {
        start_kept(setup, &directory).await?
    } else {
        interruptible(run(setup, &directory)).await?
    };
    Ok(if all_live { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the demo is shown on.
fn setup(nodes: Nodes) -> Result<Setup> {
    if nodes == Nodes::Simulated {
        return Ok(Setup::default());
    }
    if let Some(missing) = tenantry_control_plane::node::missing() {
        bail!("{missing}; without NODE=real the demo runs anywhere");
    }
    Ok(Setup { profile: Profile::P3, ..Setup::default() })
}

/// Gives up `demo` when a signal asks this process to end. What it started ends when it is dropped, so a signal leaves no
/// more behind than success does.
async fn interruptible(demo: impl Future<Output = Result<bool>>) -> Result<bool> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        outcome = demo => outcome,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

/// The demo that leaves nothing running. Says whether every tenant is live.
async fn run(setup: Setup, directory: &Path) -> Result<bool> {
    println!("{STARTING}");
    let mut world = World::start(setup).await?;
    apply_priced(&world).await?;
    let mark = world.cluster.audit().await?.mark().await?;
    world.run_controller(&[])?;
    let all_live = show(&world, setup, mark, directory).await?;
    if all_live {
        show_bills(&world, &process::journal(world.directory())).await?;
    }
    if let Some(controller) = world.controller.take() {
        if !all_live {
            std::fs::write(kept::log_file(directory), controller.log()?)?;
            println!("The controller's log is in {}.", kept::log_file(directory).display());
        }
        controller.terminate()?;
    }
    world.cluster.stop().await?;
    Ok(all_live)
}

/// The demo that leaves everything running, unless it breaks off.
async fn start_kept(setup: Setup, directory: &Path) -> Result<bool> {
    let home = detached::default_directory()?;
    if detached::attach(&home).is_ok() {
        bail!("a demo is running already: stop it with `make down` first");
    }
    // One whose Kubernetes API is gone.
    Kept::stop(directory)?;
    println!("{STARTING}");
    let cluster = detached::up(&home, setup.options()).await?;
    let outcome = interruptible(run_kept(cluster, setup, directory)).await;
    if outcome.is_err()
        && let Err(error) = end_kept(directory)
    {
        eprintln!("{error:#}");
    }
    outcome
}

/// Takes the tenants to Live on `cluster`, and says how to use and how to stop what is left running.
async fn run_kept(cluster: Cluster, setup: Setup, directory: &Path) -> Result<bool> {
    let world = World::on(cluster, setup).await?;
    apply_priced(&world).await?;
    let mark = world.cluster.audit().await?.mark().await?;
    let kept = Kept::start(world.identity(), directory)?;
    let all_live = show(&world, setup, mark, directory).await?;
    if all_live {
        show_bills(&world, &process::journal(directory)).await?;
    }
    println!(
        "Left running: the Kubernetes API and the controller (process {}, http://{}/metrics,",
        kept.pid, kept.admin
    );
    println!("log in {}). To look around, and to stop both:", kept::log_file(directory).display());
    let kubeconfig = detached::kubeconfig(&detached::default_directory()?);
    println!("  export KUBECONFIG={}", kubeconfig.display());
    println!("  {} get", process::binary("tenantry")?.display());
    println!("  make down");
    Ok(all_live)
}

/// Ends the controller first: it gives its lease back while there is an API server to take it.
fn end_kept(directory: &Path) -> Result<()> {
    let controller = Kept::stop(directory);
    let cluster = detached::down(&detached::default_directory()?);
    let said = |ran| if ran { "stopped" } else { "did not run" };
    println!("The controller {}, the Kubernetes API {}.", said(controller?), said(cluster?));
    Ok(())
}

/// Orders the tenants, shows how they come to be, and reports. Says whether every one is live.
async fn show(world: &World, setup: Setup, mark: Mark, directory: &Path) -> Result<bool> {
    let is_real = setup.profile == Profile::P3;
    let subscriptions =
        if is_real { node::subscriptions()? } else { install::directory(&examples().join("tenants"))? };
    let sent = order(&world.client, subscriptions).await?;
    let mut display = display(&world.cluster.kubeconfig())?;
    let mut signer = Signer::new(world.cluster.kubeconfig());
    let live = until_live(&world.client, &sent, &mut signer).await?;
    if live.len() == sent.len() {
        // It ends by itself, unless it is slower than it should be.
        let _ = tokio::time::timeout(LAST_FRAME, display.wait()).await;
    }
    // Fails if it has ended, which is what is wanted.
    let _ = display.kill().await;
    let mut report = report(world, mark, &live).await?;
    if is_real {
        for tenant in report.tenants.iter_mut().filter(|tenant| tenant.seconds_to_live.is_some()) {
            let answer = node::page(&world.client, &tenant.name, "/").await?;
            tenant.page = Some(Page { status: answer.status, bytes: answer.body.len() });
        }
    }
    let file = directory.join("report.json");
    std::fs::write(&file, serde_json::to_vec_pretty(&report)?)
        .with_context(|| format!("{} cannot be written", file.display()))?;
    println!("\nKubernetes {}\n\n{}\n{}", report.kubernetes_version, report.checklists(), report.table());
    println!("Report: {}", file.display());
    if !report.all_live() {
        println!("Not every tenant was live within {} s.", LIMIT.as_secs());
    }
    Ok(report.all_live())
}

/// Applies the definitions with their prices, and who sells and pays.
async fn apply_priced(world: &World) -> Result<()> {
    world.apply_all(&world::shipped()?).await?;
    world.apply_all(&install::directory(&examples().join("billing"))?).await
}

/// What each tenant's first invoice will be, as the ledger knows it by now. Nothing was invoiced yet: each plan begins with a trial.
async fn show_bills(world: &World, database: &str) -> Result<()> {
    let subscriptions: Api<TenantSubscription> = Api::all(world.client.clone());
    for subscription in subscriptions.list(&ListParams::default()).await? {
        let name = subscription.name_any();
        let is_billed = |subscription: Option<&TenantSubscription>| {
            let billing =
                subscription.and_then(|subscription| subscription.status.as_ref()?.billing.as_ref());
            billing.is_some_and(|billing| billing.next_invoice_date.is_some())
        };
        wait::until(subscriptions.clone(), &name, is_billed)
            .await
            .with_context(|| format!("nothing will be invoiced to {name}"))?;
        let page = world.tenantry(&["preview-invoice", &name, "--database", database]).await?;
        println!("\nThe first invoice of {name} will be:\n{page}");
    }
    Ok(())
}

/// Creates subscriptions as the administrator; gives when each was sent.
async fn order(client: &Client, subscriptions: Vec<Value>) -> Result<Times<Instant>> {
    let discovery = Discovery::new(client.clone()).run_aggregated().await?;
    let mut sent = Times::new();
    for document in subscriptions {
        let api = install::api_for(client, &discovery, &document)?;
        let object: DynamicObject = serde_json::from_value(document)?;
        let name = object.name_any();
        let at = Instant::now();
        api.create(&PostParams::default(), &object).await.with_context(|| format!("{name} was refused"))?;
        println!("Ordered {name}.");
        sent.insert(name, at);
    }
    Ok(sent)
}

/// `tenantry watch`: bars on a terminal, lines elsewhere. It ends with the value.
fn display(kubeconfig: &Path) -> Result<Child> {
    Command::new(process::binary("tenantry")?)
        .args(["watch", "--until-live"])
        .env("KUBECONFIG", kubeconfig)
        .kill_on_drop(true)
        .spawn()
        .context("tenantry watch cannot be started")
}

/// Seconds from sending to Live, of those subscriptions that are live within [`LIMIT`]. What people have to sign on the way
/// is signed as soon as it is asked for.
async fn until_live(client: &Client, sent: &Times<Instant>, signer: &mut Signer) -> Result<Times<f64>> {
    let mut live = Times::new();
    let api: Api<TenantSubscription> = Api::all(client.clone());
    let watching = async {
        let mut stream = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
        while let Some(event) = stream.try_next().await? {
            let (watcher::Event::Apply(object) | watcher::Event::InitApply(object)) = event else { continue };
            let name = object.name_any();
            for said in signer.look(&object).await? {
                println!("{said}");
            }
            if let Some(at) = sent.get(&name).filter(|_| wait::is_true(&object, "Live")) {
                live.entry(name).or_insert_with(|| at.elapsed().as_secs_f64());
            }
            if live.len() == sent.len() {
                break;
            }
        }
        anyhow::Ok(())
    };
    // Out of time is no error here: the report says which tenants are not live.
    if let Ok(ended) = tokio::time::timeout(LIMIT, watching).await {
        ended?;
    }
    Ok(live)
}

async fn report(world: &World, mark: Mark, live: &Times<f64>) -> Result<Report> {
    let events = world.cluster.audit().await?.since(mark).await?;
    let api: Api<TenantSubscription> = Api::all(world.client.clone());
    let subscriptions = api.list(&ListParams::default()).await?;
    let tenants = subscriptions
        .iter()
        .map(|subscription| Tenant::new(subscription, live.get(&subscription.name_any()).copied(), &events))
        .collect();
    Ok(Report { kubernetes_version: world.client.apiserver_version().await?.git_version, tenants })
}

/// Where the report and the record of a controller that was left running are.
fn directory() -> Result<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/demo");
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    Ok(directory.canonicalize()?)
}
