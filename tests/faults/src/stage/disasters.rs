//! What happens to the controller's clock and to the store behind its back.

use anyhow::{Context, Result, ensure};
use http::Request;
use jiff::Timestamp;
use serde_json::Value;

use super::{LEASE, QUIET, SETTLED, Stage};
use crate::history::{SUBSCRIPTIONS, State};
use crate::plan::{Fault, HOUR, Plan};
use crate::players::Players;
use crate::recorder::{PATIENCE, Recorder};
use crate::site::Verb;
use crate::wire::Exchange;

impl Stage {
    /// Copies the store when the plan says so; for other plans it has nothing to do for ever.
    pub(super) async fn copy_store(&self, plan: &Plan) -> Result<()> {
        if plan.fault != Fault::StoreRestored {
            return std::future::pending().await;
        }
        self.wire.struck().await;
        self.world.cluster.copy_store().await?;
        self.wire.let_late_ones_through().await;
        Ok(())
    }

    /// Everything since the copy of the store was never there, but the controller has seen it. It must find out by itself
    /// and end; whoever looks after it starts it again. A new recorder sees what there is now.
    pub(super) async fn restore_store(&mut self, plan: &Plan, tenant: &str) -> Result<()> {
        // The lease tells. Nobody restores what was there two seconds ago, so it was renewed since.
        self.renewed().await?;
        self.world.cluster.restore_store().await?;
        self.recorder = Recorder::start(self.client.clone()).await?;
        self.recorder.begin();
        // They as well have seen what was never there.
        self.players = Players::start(self.client.clone()).await?;
        if self.housekeepers.is_some() {
            self.housekeepers = Some(Players::housekeepers(self.client.clone()).await?);
        }
        let ended =
            self.slot.gone(PATIENCE).await.context("it does not find out that the store went back")?;
        ensure!(!ended.success(), "the store went back and it ended as if nothing had happened: {ended}");
        self.restart().await?;
        let done = |state: &State| plan.workload.is_done(state, tenant);
        self.recorder.until("that the work is done again", done).await.with_context(|| self.last_words())?;
        self.quiet(QUIET).await?;
        Ok(())
    }

    /// Lets the clock jump when the controller, just started, has nothing left to do.
    pub(super) async fn jump_at_rest(&self, seconds: i64) -> Result<()> {
        let is_watch = |exchange: &Exchange| {
            let site = &exchange.place.site;
            site.verb == Verb::Watch && site.resource == SUBSCRIPTIONS && exchange.code.is_some()
        };
        let works = self.wire.journal(|all| all.iter().any(is_watch));
        tokio::time::timeout(PATIENCE, works).await.context("the controller does not begin to work")?;
        self.quiet(SETTLED).await?;
        self.slot.jump(seconds)?;
        self.quiet(SETTLED).await
    }

    /// A clock that jumps is no reason to lose the lease, or to do anything when all is done. The next renewal shows that
    /// the clock is another.
    pub(super) async fn leads_and_rests(&self, seconds: i64) -> Result<()> {
        self.quiet(SETTLED).await?;
        self.renewed().await?;
        let lease: Value = self.client.request(Request::get(LEASE).body(Vec::new())?).await?;
        let changes = lease.pointer("/spec/leaseTransitions").and_then(Value::as_u64).unwrap_or_default();
        ensure!(changes == 0, "the lease was lost and taken again");
        let time =
            lease.pointer("/spec/renewTime").and_then(Value::as_str).context("a lease without a time")?;
        let off = time.parse::<Timestamp>()?.duration_since(Timestamp::now()).as_secs() - seconds;
        ensure!(off.abs() < HOUR / 2, "the clock of the controller did not jump: it says {time}");
        Ok(())
    }

    /// Waits until the lease is renewed once more.
    async fn renewed(&self) -> Result<()> {
        let renewals = |all: &[Exchange]| {
            all.iter().filter(|e| e.is_effect() && e.place.site.resource.starts_with("leases.")).count()
        };
        let before = renewals(&self.wire.exchanges());
        let renewed = self.wire.journal(|all| renewals(all) > before);
        tokio::time::timeout(PATIENCE, renewed).await.context("the lease is not renewed any more")
    }
}
