//! The role `worker`: takes orders from the store and decides on them. Needs the network and a clock.
//!
//! A decision is stored before the order is taken off, under the same id. So an order that was cut off in between is
//! decided again with the same outcome, and only who took it off counts it.

use crate::admin::{AdminArgs, Metrics};
use crate::client::Store;
use crate::config::{Settings, StoreArgs, json_file};
use crate::fault::{Fault, FaultArgs};
use crate::names::{Name, name};
use crate::orders::{Decision, LOOKED_AT, WAITING};
use crate::server::{Stop, stop_signal, stopped};
use crate::web::answers;
use anyhow::{Context, Result};
use clap::Args;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use std::path::PathBuf;
use std::time::Duration;

/// Orders that are asked for at once.
const BATCH: usize = 100;

/// Arguments of the role `worker`.
#[derive(Args, Clone, Debug)]
pub(crate) struct WorkerRole {
    /// What the provider rendered for the tenant, JSON
    #[arg(long, env = "ERP_SETTINGS", value_name = "FILE")]
    settings: PathBuf,
    /// Milliseconds between two looks for work while there is none
    #[arg(long, env = "ERP_LOOK_EVERY", default_value_t = 500, value_name = "MILLISECONDS")]
    look_every: u64,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    admin: AdminArgs,
}

struct Worker {
    store: Store,
    seller: String,
    faults: FaultArgs,
    confirmed: Counter,
    refused: Counter,
    failed: Counter,
    waiting: Gauge,
}

// === impl WorkerRole ===

impl WorkerRole {
    /// Works until the process shall end.
    ///
    /// # Errors
    /// When a setting is missing or wrong, or an address is taken.
    pub(crate) async fn run(self) -> Result<()> {
        let mut stop = stop_signal()?;
        let settings: Settings = json_file(&self.settings, "--settings")?;
        let store = self.store.client()?;
        let mut metrics = Metrics::new("worker", &settings.version);
        let worker = Worker {
            store: store.clone(),
            seller: settings.company.name,
            faults: self.admin.faults(),
            confirmed: metrics.counter("orders_confirmed", "Orders confirmed"),
            refused: metrics.counter("orders_refused", "Orders refused"),
            failed: metrics.counter("looks_failed", "Looks for work that the store did not answer"),
            waiting: metrics.gauge("orders_waiting", "Orders that waited at the last look, at most 100"),
        };
        let pause = Duration::from_millis(self.look_every.max(1));
        let serving = self.admin.serve(None, metrics, answers(store), stop.clone());
        let working = async {
            while !*stop.borrow() {
                let looked = worker.look(&stop).await;
                if let Err(error) = &looked {
                    worker.failed.inc();
                    tracing::warn!(error = format!("{error:#}"), "there is no work to be had");
                }
                if !matches!(looked, Ok(done) if done > 0) {
                    let _ended_or_waited = tokio::time::timeout(pause, stopped(&mut stop)).await;
                }
            }
            Ok(())
        };
        tokio::try_join!(serving, working).map(drop)
    }
}

// === impl Worker ===

impl Worker {
    /// Decides on the orders that wait, up to a batch of them. Gives on how many.
    async fn look(&self, stop: &Stop) -> Result<usize> {
        let bucket = name(WAITING)?;
        let (entries, _more) = self.store.page(&bucket, None, BATCH).await?;
        self.waiting.set(i64::try_from(entries.len()).unwrap_or(i64::MAX));
        let mut done = 0;
        for entry in entries {
            match self.faults.current() {
                Fault::Error => return Ok(0),
                Fault::Slow(by) => tokio::time::sleep(by).await,
                _ => {}
            }
            if *stop.borrow() {
                break;
            }
            self.decide(&bucket, &entry.key).await?;
            done += 1;
        }
        Ok(done)
    }

    async fn decide(&self, bucket: &Name, id: &Name) -> Result<()> {
        let Some(bytes) = self.store.get(bucket, id).await? else { return Ok(()) };
        let decision = Decision::on(&bytes, &self.seller);
        let stored = serde_json::to_vec(&decision).context("a decision")?;
        self.store.put(&name(LOOKED_AT)?, id, stored).await?;
        if self.store.delete(bucket, Some(id)).await? {
            match decision {
                Decision::Confirmed { .. } => self.confirmed.inc(),
                Decision::Refused { .. } => self.refused.inc(),
            };
        }
        Ok(())
    }
}
