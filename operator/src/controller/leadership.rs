//! Taking part in the election, on a thread of its own. Needs a client, a thread and a clock.
//!
//! Work on a thousand tenants may keep every thread of the runtime busy for seconds. A renewal that waited behind it would
//! be late and leadership lost for nothing, and whoever lost it would hear of it late.

use anyhow::{Context as _, Result, anyhow};
use futures::FutureExt;
use kube::Config;
use std::sync::Arc;
use tenantry_apply::connection::connect;
use tenantry_apply::lease::{Candidate, Elector, LeaseGate, Standing, Tenure};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// An election that this process takes part in.
pub(crate) struct Leadership {
    acquired: oneshot::Receiver<Tenure>,
    ended: oneshot::Receiver<Result<()>>,
    /// Taken when the lease is to be let go; dropped with the rest, which means the same.
    release: Option<oneshot::Sender<()>>,
}

// === impl Leadership ===

impl Leadership {
    /// Begins to take part. The gate is open while the lease is held; `told` hears when it is interrupted and resumed.
    ///
    /// # Errors
    /// When there can be no such thread.
    pub(crate) fn begin(
        config: Config,
        candidate: Candidate,
        gate: Arc<LeaseGate>,
        told: impl Fn(Standing) + Send + Sync + 'static,
    ) -> Result<Self> {
        let runtime =
            Builder::new_current_thread().enable_all().build().context("no runtime for the lease")?;
        let (tell_acquired, acquired) = oneshot::channel();
        let (tell_ended, ended) = oneshot::channel();
        let (release, released) = oneshot::channel::<()>();
        let taking_part = async move {
            let elector = Elector::new(connect(config)?, candidate, gate);
            let mut released = released.map(drop);
            let held = tokio::select! {
                biased;
                () = &mut released => return Ok(()),
                held = elector.acquire() => held,
            };
            // Nobody listens any more when the process ends at this very moment.
            let _heard = tell_acquired.send(held.tenure());
            elector.hold(held, released, told).await.context("leadership was lost")
        };
        let thread = std::thread::Builder::new().name("lease".to_owned());
        thread
            .spawn(move || {
                let _heard = tell_ended.send(runtime.block_on(taking_part));
            })
            .context("no thread for the lease")?;
        Ok(Self { acquired, ended, release: Some(release) })
    }

    /// Waits until this process leads.
    ///
    /// # Errors
    /// When it cannot take part.
    pub(crate) async fn acquired(&mut self) -> Result<Tenure> {
        match (&mut self.acquired).await {
            Ok(tenure) => Ok(tenure),
            Err(_) => self.ended().await.and_then(|()| Err(anyhow!("the election ended before it was won"))),
        }
    }

    /// Waits until this process leads no more.
    ///
    /// # Errors
    /// When it did not let go itself.
    pub(crate) async fn ended(&mut self) -> Result<()> {
        (&mut self.ended).await.unwrap_or_else(|_| Err(anyhow!("nobody renews the lease any more")))
    }

    /// Lets go; [`ended`](Self::ended) tells when that is done.
    pub(crate) fn release(&mut self) {
        self.release.take();
    }
}
