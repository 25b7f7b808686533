//! Writing the journal. Needs the database and a clock.
//!
//! One task, one transaction at a time: what comes while one is under way goes with the next. While the database is away it
//! is tried on, less and less often, and the controller's other work goes on. At rest there is no statement.

use super::learned;
use crate::controller::context::Context;
use crate::controller::patience::doubled;
use std::time::Duration;
use tenantry_apply::lease::Tenure;
use tenantry_checklist::learned::MOST;
use tenantry_journal::{Database, DatabaseError, Entry, Epoch, Leader};

/// Facts of one transaction.
const BATCH: usize = 250;
/// First and longest wait after an answer that did not come.
const WAIT: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(30)];

/// Waits in a row.
#[derive(Debug, Default)]
struct Outage {
    tries: u32,
}

/// Writes what is offered, until another process writes.
///
/// # Errors
/// [`DatabaseError`] when another process took over: this one must end.
pub(crate) async fn run(context: &Context, tenure: &Tenure) -> Result<(), DatabaseError> {
    let leader = Leader {
        holder: tenure.holder.clone(),
        lease_uid: tenure.lease_uid.clone(),
        transitions: tenure.transitions.into(),
    };
    let journal = &context.journal;
    let mut outage = Outage::default();
    let (database, epoch) = loop {
        match begin(context, &leader).await {
            Ok(begun) => break begun,
            Err(error) => outage.wait(context, error).await?,
        }
    };
    outage.over(context);
    loop {
        let offered = journal.offered.notified();
        let (places, entries): (Vec<u64>, Vec<Entry>) = journal.next(BATCH).into_iter().unzip();
        if entries.is_empty() {
            offered.await;
            continue;
        }
        // The fence in the database holds as well; this keeps who has lost the lease from trying.
        if !context.executor.gate.may_write() {
            tokio::time::sleep(WAIT[0]).await;
            continue;
        }
        match database.append(epoch, &entries).await {
            Ok(_new) => {
                outage.over(context);
                let recorded: Vec<_> = places.into_iter().zip(entries).collect();
                context.billing.recorded(&recorded);
                let (subscriptions, everybody) = journal.recorded(recorded);
                wake(context, subscriptions, everybody);
            }
            Err(error) => outage.wait(context, error).await?,
        }
    }
}

/// Opens the database, takes over, and takes in what it has.
async fn begin(context: &Context, leader: &Leader) -> Result<(Database, Epoch), DatabaseError> {
    let database = Database::open(context.config.database.reveal()).await?;
    let epoch = database.take_over(leader).await?;
    let learned = learned(database.samples(i64::try_from(MOST).unwrap_or(i64::MAX)).await?);
    // Until here it went on beside the first lists of the watches; whose facts are asked for, these say.
    context.wait_synced().await;
    let tenants: Vec<String> =
        context.roots.all().iter().filter_map(|root| root.brief.tenant_id.clone()).collect();
    let recorded = database.recorded(&tenants).await?;
    context.leftovers.add(database.leftovers().await?);
    tracing::info!(facts = recorded.len(), "the journal is open");
    context.billing.opened(database.clone(), epoch);
    let is_late = context.journal.load(recorded, learned);
    if is_late {
        wake(context, Vec::new(), true);
    }
    Ok((database, epoch))
}

/// Everybody whose facts may be missing looks again.
fn wake(context: &Context, subscriptions: Vec<String>, everybody: bool) {
    for name in subscriptions {
        context.queue.wake(name);
    }
    if everybody {
        context.wake_everybody();
    }
}

// === impl Outage ===

impl Outage {
    /// Waits a while, longer each time.
    ///
    /// # Errors
    /// The error itself, when another process took over.
    async fn wait(&mut self, context: &Context, error: DatabaseError) -> Result<(), DatabaseError> {
        if error.is_superseded() {
            return Err(error);
        }
        if self.tries == 0 {
            tracing::warn!(%error, "the journal cannot be written; what happens is kept in the subscriptions until it can");
        }
        context.metrics.journal_available.set(0);
        let wait = doubled(WAIT, self.tries);
        self.tries = self.tries.saturating_add(1);
        tokio::time::sleep(wait).await;
        Ok(())
    }

    fn over(&mut self, context: &Context) {
        if self.tries > 0 {
            tracing::info!("the journal is written again");
        }
        self.tries = 0;
        context.metrics.journal_available.set(1);
    }
}
