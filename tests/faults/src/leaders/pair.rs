//! Two replicas of the controller, each behind a proxy of its own, and a recorder of their lease.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::time::timeout;

use crate::campaign::References;
use crate::defect::VARIABLE;
use crate::history::{Change, Key, Record, SUBSCRIPTIONS, Sort, State, TENANT_LABEL, revision};
use crate::oracle::fencing::{
    LEASES, Word, one_leader, only_the_leader_sends, only_the_leader_writes, replica, takeovers,
};
use crate::oracle::{Finding, judge};
use crate::plan::{Plan, Workload};
use crate::process::{Slot, Start};
use crate::proxy::{Proxy, Setup};
use crate::recorder::{PATIENCE, Recorder};
use crate::site::Verb;
use crate::stage::{QUIET, REPLICA, Rank, Stage};
use crate::wire::Exchange;

/// How long is waited for two replicas with a defect.
const A_LEASE_AND_MORE: Duration = Duration::from_secs(25);
/// Name of the other replica.
const OTHER: &str = "b";

/// Two replicas on a stage.
pub(super) struct Pair {
    pub(super) stage: Stage,
    pub(super) references: References,
    leases: Recorder,
    replicas: [Replica; 2],
    patience: Duration,
    _proxy: Proxy,
}

/// One of them.
#[derive(Clone)]
pub(super) struct Replica {
    pub(super) name: &'static str,
    pub(super) slot: Arc<Slot>,
    kubeconfig: PathBuf,
}

/// What was seen of one case.
pub(super) struct Seen {
    pub(super) record: Record,
    pub(super) words: Vec<Word>,
    /// Replicas that ended by themselves, and how.
    ended: Vec<(&'static str, ExitStatus)>,
}

// === impl Pair ===

impl Pair {
    /// Starts a stage and the proxy of the second replica.
    pub(super) async fn start(binary: &Path, directory: &Path, references: References) -> Result<Self> {
        let stage = Stage::start(binary, Rank::Usual, directory).await?;
        let leases = Recorder::of(stage.client.clone(), |plural| plural == LEASES).await?;
        let slot = Arc::<Slot>::default();
        let proxy = Proxy::start(Setup {
            replica: OTHER,
            original: stage.world.identity(),
            directory,
            wire: Arc::clone(&stage.wire),
            victim: Arc::clone(&slot),
            administrator: stage.client.clone(),
        })
        .await?;
        let replicas = [
            Replica {
                name: REPLICA,
                slot: Arc::clone(&stage.slot),
                kubeconfig: stage.proxy.kubeconfig().to_owned(),
            },
            Replica { name: OTHER, slot, kubeconfig: proxy.kubeconfig().to_owned() },
        ];
        Ok(Self { stage, references, leases, replicas, patience: PATIENCE, _proxy: proxy })
    }

    /// Sees to it that both replicas run, one leads and the other waits; then begins to take down. Gives the leader.
    pub(super) async fn begin(&self) -> Result<(Replica, String)> {
        for replica in &self.replicas {
            if replica.slot.is_empty() || replica.slot.ended().is_some() {
                self.run(replica)?;
            }
        }
        let lives = |state: &State| self.alive(&holder(state)).is_some();
        self.leases.until("that a replica leads", lives).await.with_context(|| self.last_words())?;
        self.stage.recorder.settle(|_| true).await?;
        self.leases.settle(|_| true).await?;
        self.stage.recorder.begin();
        self.leases.begin();
        self.stage.wire.begin(&Plan::reference(Workload::Provision), "");
        let identity = holder(&self.leases.now());
        let leader = self.alive(&identity).context("the leader has ended meanwhile")?;
        self.waits(leader.name).await?;
        self.stage.quiet(QUIET).await?;
        Ok((leader, identity))
    }

    /// Starts a replica; one that is there is killed first.
    pub(super) fn run(&self, replica: &Replica) -> Result<()> {
        replica.slot.start(&Start {
            binary: self.stage.binary.clone(),
            kubeconfig: replica.kubeconfig.clone(),
            directory: self.stage.directory.clone(),
            replica: replica.name.to_owned(),
            environment: self.stage.environment.clone(),
            makes_way: false,
            clock: None,
        })
    }

    /// Waits until somebody leads who has another identity, and gives it.
    pub(super) async fn another_leads(&self, than: &str) -> Result<(Replica, String)> {
        let another = |state: &State| {
            let holder = holder(state);
            holder != than && self.alive(&holder).is_some()
        };
        self.leases.until("that another replica leads", another).await.with_context(|| self.last_words())?;
        let identity = holder(&self.leases.now());
        let leader = self.alive(&identity).context("the new leader has ended meanwhile")?;
        Ok((leader, identity))
    }

    /// How many writes of this replica have taken effect.
    pub(super) fn written(&self, replica: &str) -> usize {
        self.stage.wire.exchanges().iter().filter(|exchange| is_write_of(replica, exchange)).count()
    }

    /// Waits until so many writes of this replica have taken effect.
    pub(super) async fn writes(&self, replica: &str, count: usize) -> Result<()> {
        let written = self
            .stage
            .wire
            .journal(|all| all.iter().filter(|exchange| is_write_of(replica, exchange)).count() >= count);
        timeout(self.patience, written)
            .await
            .with_context(|| format!("{replica} did not write {count} times"))
    }

    /// How a replica ended by itself, or because it was asked to. Its place is empty afterwards.
    pub(super) async fn gone(&self, replica: &Replica) -> Result<ExitStatus> {
        let status = replica.slot.gone(self.patience).await.with_context(|| replica.name)?;
        replica.slot.kill();
        Ok(status)
    }

    /// Waits until nothing more happens and gives what was seen.
    pub(super) async fn end(&self) -> Result<Seen> {
        self.stage.quiet(QUIET).await?;
        self.stage.recorder.settle(|_| true).await?;
        self.leases.settle(|_| true).await?;
        let (before, changes) = self.stage.recorder.take();
        let exchanges = self.stage.wire.exchanges();
        let record = Record { before, changes, exchanges, ..Record::default() };
        let (before, changes) = self.leases.take();
        let first = before.get(&lease()).map(|object| Change {
            revision: revision(object),
            sort: Sort::Changed,
            key: lease(),
            object: Arc::clone(object),
        });
        let later = changes.into_iter().filter(|change| change.key == lease());
        let words = first.into_iter().chain(later).map(|change| Word::of(&change)).collect();
        let ended =
            self.replicas.iter().filter_map(|replica| Some((replica.name, replica.slot.ended()?))).collect();
        Ok(Seen { record, words, ended })
    }

    /// What is wrong with what was seen: these tenants went through these workloads, and nothing else happened.
    pub(super) fn judge(&self, seen: &Seen, tenants: &[(Workload, String)]) -> Vec<Finding> {
        let mut findings = one_leader(&seen.words);
        findings.extend(only_the_leader_writes(&seen.record, &seen.words));
        findings.extend(only_the_leader_sends(&seen.record, &seen.words));
        let ended = seen.ended.iter().map(|(name, how)| Finding::new("O11", format!("{name} ended: {how}")));
        findings.extend(ended);
        let mut parts = seen.by_tenant();
        for (workload, tenant) in tenants {
            let record = parts.remove(tenant).unwrap_or_default();
            let record = Record { tenant: tenant.clone(), ..record };
            let found = judge(&Plan::reference(*workload), &record, self.references.get(workload));
            findings.extend(
                found
                    .into_iter()
                    .map(|Finding { oracle, what }| Finding::new(oracle, format!("tenant {tenant}: {what}"))),
            );
        }
        for (tenant, record) in parts {
            if record.exchanges.iter().any(Exchange::is_effect) || !record.changes.is_empty() {
                findings.push(Finding::new("O8", format!("something of {tenant} changed")));
            }
        }
        findings
    }

    /// Begins anew after a case that did not come to its end.
    pub(super) async fn reset(&self) -> Result<()> {
        self.stage.wire.holds.let_go();
        self.replicas.iter().for_each(|replica| replica.slot.kill());
        self.stage.restart().await?;
        self.another_leads("").await?;
        self.stage.quiet(QUIET).await?;
        Ok(())
    }

    /// Takes away all tenants, and begins with two replicas in which a defect takes effect. From then on it is waited
    /// less long for what shall happen: longer than a lease lasts, and than work takes that nothing is wrong with.
    pub(super) async fn begin_anew_with(&mut self, plain: &Path, seeded: &Path, defect: &str) -> Result<()> {
        self.stage.wire.holds.let_go();
        self.replicas.iter().for_each(|replica| replica.slot.kill());
        self.wait_at_most(PATIENCE);
        self.stage.choose(plain, &[]);
        self.stage.clear().await?;
        self.stage.choose(seeded, &[(VARIABLE.to_owned(), defect.to_owned())]);
        self.wait_at_most(A_LEASE_AND_MORE);
        self.reset().await
    }

    fn wait_at_most(&mut self, patience: Duration) {
        self.patience = patience;
        self.stage.recorder.wait_at_most(patience);
        self.leases.wait_at_most(patience);
    }

    /// The ends of what both logged.
    pub(super) fn last_words(&self) -> String {
        let words = |replica: &Replica| {
            format!("{}:\n{}", replica.name, replica.slot.last_words(&self.stage.directory, replica.name))
        };
        self.replicas.iter().map(words).collect::<Vec<_>>().join("\n")
    }

    /// Waits until the replica that does not lead has seen the leader renew its lease: how long it waits is counted from
    /// then.
    async fn waits(&self, leader: &str) -> Result<()> {
        let looked = self.stage.wire.journal(|all| {
            let mut of_lease = all.iter().filter(|exchange| exchange.place.site.resource == LEASES);
            let looks = |e: &&Exchange| e.replica != leader && e.place.site.verb == Verb::Get;
            let renews = |e: &&Exchange| e.replica == leader && e.is_effect();
            of_lease.any(|e| looks(&e)) && of_lease.any(|e| renews(&e)) && of_lease.any(|e| looks(&e))
        });
        timeout(self.patience, looked).await.with_context(|| format!("nobody waits\n{}", self.last_words()))
    }

    /// The replica with this identity, if it runs.
    fn alive(&self, identity: &str) -> Option<Replica> {
        let runs = |known: &&Replica| {
            known.name == replica(identity) && !known.slot.is_empty() && known.slot.ended().is_none()
        };
        self.replicas.iter().find(runs).cloned()
    }
}

// === impl Seen ===

impl Seen {
    /// How long nobody led at the first change of the leader, in seconds, and whether the one before had let go.
    pub(super) fn takeover(&self) -> Option<(f64, bool)> {
        let first = takeovers(&self.words).into_iter().next()?;
        Some((first.after?.as_secs_f64(), first.released))
    }

    /// The record cut up by tenants, the bystander among them: to each its objects and what was asked for about it.
    fn by_tenant(&self) -> BTreeMap<String, Record> {
        let mut parts: BTreeMap<String, Record> = BTreeMap::new();
        let mut ids: BTreeMap<String, String> = BTreeMap::new();
        for (key, object) in self.record.forms() {
            let Some(tenant) = tenant_of(key) else { continue };
            if let Some(id) = object.pointer("/status/tenant/id").and_then(Value::as_str) {
                ids.insert(id.to_owned(), tenant);
            }
        }
        let owner = |key: &Key, object: &Value| {
            let id = object.pointer(TENANT_LABEL).and_then(Value::as_str);
            tenant_of(key).or_else(|| ids.get(id?).cloned())
        };
        for (key, object) in &self.record.before {
            let Some(tenant) = owner(key, object) else { continue };
            parts.entry(tenant).or_default().before.insert(key.clone(), Arc::clone(object));
        }
        for change in &self.record.changes {
            let Some(tenant) = owner(&change.key, &change.object) else { continue };
            parts.entry(tenant).or_default().changes.push(change.clone());
        }
        for exchange in &self.record.exchanges {
            let Some(tenant) = exchange.tenant.clone() else { continue };
            parts.entry(tenant).or_default().exchanges.push(exchange.clone());
        }
        parts.values_mut().for_each(|part| part.let_through = self.record.let_through);
        parts
    }
}

fn is_write_of(replica: &str, exchange: &Exchange) -> bool {
    exchange.replica == replica && exchange.is_effect() && exchange.place.site.is_essential()
}

/// The tenant that an object is about by its name or its namespace.
fn tenant_of(key: &Key) -> Option<String> {
    let named = match key.resource.as_str() {
        SUBSCRIPTIONS => Some(key.name.as_str()),
        "namespaces" => key.name.strip_prefix("tenant-"),
        _ => key.namespace.strip_prefix("tenant-"),
    };
    named.map(str::to_owned)
}

fn lease() -> Key {
    Key::new(LEASES, "tenantry-system", "tenantry-controller")
}

fn holder(state: &State) -> String {
    let held = state.get(&lease()).and_then(|object| object.pointer("/spec/holderIdentity")?.as_str());
    held.unwrap_or_default().to_owned()
}
