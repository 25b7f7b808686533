//! Writing the ledger: accounts, what happened, and runs when they fall due. Needs the database and a clock.
//!
//! One task. While the database is away it is tried on, less and less often, and nothing else of the controller waits. At rest there
//! is no statement: the next run has a timer.

use super::feed::{Feed, feed};
use super::record::share;
use super::used::Used;
use super::{Want, price_list_of};
use crate::controller::context::Context;
use crate::controller::patience::doubled;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use tenantry_billing::{Books, BooksError, Loaded};
use tenantry_checklist::billing::Known;
use tenantry_crds::billing::DunningStage;
use tenantry_documents::standard;
use tenantry_journal::{Database, Epoch, HistoryOf};
use tenantry_ledger::agreement::Agreement;
use tenantry_ledger::document::Document;
use tenantry_ledger::dunning::decide;
use tenantry_ledger::ladder::Stage;
use tenantry_ledger::money::Money;
use tenantry_ledger::run::preview;
use tenantry_metering::intake::WAIT as WAIT_FOR_USAGE;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

/// First and longest wait after an answer that did not come.
pub(super) const WAIT: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(30)];
/// For how long usage is put off that the ledger cannot take now.
const PUT_OFF: SignedDuration = SignedDuration::from_hours(1);
/// The longest sleep of a timer: a clock that is set while it sleeps is noticed by then.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// Writes the ledger, until another process writes.
///
/// # Errors
/// When another process took over: this one must end.
pub(crate) async fn run(context: &Context) -> Result<(), BooksError> {
    let (database, epoch) = context.billing.writer(&context.billing.news).await;
    let books = Books::new(database.clone());
    let worker = Worker { context, books, database, epoch, used: Default::default() };
    let mut tries = 0;
    let mut is_begun = false;
    loop {
        let news = context.billing.news.notified();
        // The fence in the database holds as well; this keeps who has lost the lease from trying.
        if !context.executor.gate.may_write() {
            sleep(WAIT[0]).await;
            continue;
        }
        match worker.turn(&mut is_begun).await {
            Ok(next) => {
                if tries > 0 {
                    tracing::info!("the ledger is written again");
                    tries = 0;
                    worker.outage(None);
                }
                let sleep = next.map_or(LONGEST_SLEEP, until);
                if next.is_some() {
                    let _news = timeout(sleep, news).await;
                } else {
                    news.await;
                }
            }
            Err(error) if error.is_superseded() => return Err(error),
            Err(error) => {
                // What it was told may be there although the answer is not, so everybody is looked at again.
                is_begun = false;
                if tries == 0 {
                    tracing::warn!(%error, "the ledger cannot be written; what happens is billed when it can");
                    worker.outage(Some(format!("the ledger cannot be used now: {error}; it is tried again")));
                }
                sleep(doubled(WAIT, tries)).await;
                tries = tries.saturating_add(1);
            }
        }
    }
}

/// How long to sleep until an instant; a moment more, so that what is due then is due when it is looked at.
pub(super) fn until(at: Timestamp) -> Duration {
    let wait = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
    (wait + Duration::from_millis(5)).min(LONGEST_SLEEP)
}

/// Who writes the ledger.
pub(super) struct Worker<'a> {
    pub(super) context: &'a Context,
    pub(super) books: Books,
    pub(super) database: Database,
    pub(super) epoch: Epoch,
    /// What is known of what is measured.
    pub(super) used: Mutex<Used>,
}

impl Worker<'_> {
    /// Does what there is to do, and says when something falls due next.
    async fn turn(&self, is_begun: &mut bool) -> Result<Option<Timestamp>, BooksError> {
        if !*is_begun {
            // What was recorded before this process wrote.
            let charged = self.database.charged().await?;
            let mut state = self.context.billing.lock();
            state.dirty.extend(charged.iter().cloned());
            state.charged.extend(charged);
            *is_begun = true;
        }
        loop {
            while let Some(tenant) = self.next() {
                if let Err(error) = self.look_at(&tenant).await {
                    self.context.billing.lock().dirty.insert(tenant);
                    return Err(error);
                }
            }
            if !self.has_accounts() {
                return Ok(None);
            }
            let next = self.books.next_due().await?;
            let now = Timestamp::now();
            let is_due = next.is_some_and(|next| next <= now);
            // Before a period is closed the ledger is told of every hour that is over, waited for or not.
            let by = if is_due { now.saturating_add(WAIT_FOR_USAGE).unwrap_or(now) } else { now };
            let told = [
                self.tell_usage(by, now).await?,
                self.tell_reserved(by, now).await?,
                self.tell_used(now).await?,
            ];
            if !is_due {
                return Ok(told.into_iter().chain([next]).flatten().min());
            }
            let summary = self.books.run(self.epoch, now, now).await?;
            self.context.billing.closed(&summary);
        }
    }

    /// Tells the ledger of the usage that is due by an instant, and says when more of it is.
    async fn tell_usage(&self, by: Timestamp, now: Timestamp) -> Result<Option<Timestamp>, BooksError> {
        let next = self.books.next_usage().await?;
        if next.is_none_or(|next| next > by) {
            return Ok(next);
        }
        for tenant in self.books.usage_due(by).await? {
            let account = self.context.billing.lock().known.get(&tenant).map(|known| known.account.clone());
            let told = match account {
                Some(account) => self.books.roll_up(self.epoch, &tenant, &account, by).await.map(drop),
                // Nobody pays for it, at least not yet.
                None => self.put_off(&tenant, now).await,
            };
            match told {
                Ok(()) => {}
                Err(error) if error.is_outage() || error.is_superseded() => return Err(error),
                Err(error) => {
                    tracing::warn!(tenant, %error, "the ledger refused what was used; it is told again later");
                    self.put_off(&tenant, now).await?;
                }
            }
        }
        self.books.next_usage().await
    }

    async fn put_off(&self, tenant: &str, now: Timestamp) -> Result<(), BooksError> {
        let until = now.saturating_add(PUT_OFF).unwrap_or(Timestamp::MAX);
        self.books.put_off(self.epoch, tenant, until).await
    }

    fn next(&self) -> Option<String> {
        self.context.billing.lock().dirty.pop_first()
    }

    /// Whether anything can fall due at all: a cluster without prices asks the database nothing.
    fn has_accounts(&self) -> bool {
        let state = self.context.billing.lock();
        !state.charged.is_empty()
    }

    /// Tells the ledger what it is to know of a tenant, and keeps what it says.
    async fn look_at(&self, tenant: &str) -> Result<(), BooksError> {
        let want = self.context.billing.lock().wants.get(tenant).cloned();
        let entries = self.database.history(&HistoryOf::Tenant(tenant.to_owned())).await?;
        let subscription = want.as_ref().map(|want| want.subscription.clone());
        let subscription = subscription.or_else(|| entries.last().map(|entry| entry.subscription.clone()));
        let told = self.tell(tenant, want.as_ref(), feed(&entries)).await;
        let mut state = self.context.billing.lock();
        match told {
            Ok(known) => {
                state.troubles.remove(tenant);
                match known {
                    Some(known) => state.known.insert(tenant.to_owned(), known),
                    None => state.known.remove(tenant),
                };
            }
            Err(error) if error.is_outage() || error.is_superseded() => return Err(error),
            Err(error) => {
                tracing::warn!(tenant, %error, "the ledger refused what an order asks of it");
                state.troubles.insert(tenant.to_owned(), error.to_string());
            }
        }
        drop(state);
        if let Some(subscription) = subscription {
            self.context.queue.wake(subscription);
        }
        Ok(())
    }

    async fn tell(
        &self,
        tenant: &str,
        want: Option<&Want>,
        feed: Option<Feed>,
    ) -> Result<Option<Known>, BooksError> {
        let now = Timestamp::now();
        let account = match (want, &feed) {
            (Some(want), _) => want.agreement.account.id.clone(),
            (None, Some(feed)) => feed.account.clone(),
            (None, None) => return Ok(None),
        };
        if let Some(want) = want {
            self.open(&want.agreement, now).await?;
        }
        let mut lists: Vec<_> = want.iter().map(|want| want.prices.clone()).collect();
        let mut tellings = Vec::new();
        if let Some(feed) = feed {
            let stored = |name: &String| price_list_of(&self.context.store, name);
            lists.extend(feed.lists.iter().filter_map(stored));
            tellings = feed.tellings;
        }
        self.books.tell(self.epoch, &account, &lists, &tellings, now).await?;
        self.known(account, tenant).await
    }

    /// What the ledger has of a tenant and its account.
    async fn known(&self, account: String, tenant: &str) -> Result<Option<Known>, BooksError> {
        let Some(loaded) = self.books.load(&account).await? else { return Ok(None) };
        let next = next_document(&loaded, tenant)?;
        let allocation = loaded.history.allocation();
        let currency = loaded.history.agreement()?.account.currency;
        let today = loaded.history.catalogue()?.zone().to_datetime(Timestamp::now()).date();
        let stage = decide(&loaded.history, today)?.stage;
        let open = Money { minor: allocation.open(), currency };
        Ok(Some(Known {
            account,
            next_invoice: next.as_ref().map(|document| document.issued.to_string()),
            committed: next.as_ref().and_then(|document| committed(document, tenant)),
            open: (open.minor > 0).then(|| open.to_string()),
            oldest_due: allocation.oldest_due().map(|due| due.to_string()),
            dunning: stage.map(|stage| match stage {
                Stage::Reminder => DunningStage::Reminder,
                Stage::Warning => DunningStage::Warning,
                Stage::Suspended => DunningStage::Suspended,
            }),
        }))
    }

    /// Opens an account, or takes in what changed in its agreement, if documents made by it would be accepted.
    async fn open(&self, agreement: &Agreement, now: Timestamp) -> Result<(), BooksError> {
        if let Err(refusal) = standard::check(agreement, TimeZone::UTC.to_datetime(now).date()) {
            let account = &agreement.account.id;
            if self.books.load(account).await?.is_none() {
                return Err(refusal.into());
            }
            // What it was billed by stays: a slip at the issuer shall not keep what happens out of the ledger.
            tracing::warn!(account, %refusal, "the account is billed by what was agreed before");
            return Ok(());
        }
        self.books.open(self.epoch, agreement, now).await.map(drop)
    }

    /// Says to everybody who waits why the ledger cannot be used, or that it can.
    fn outage(&self, outage: Option<String>) {
        let mut state = self.context.billing.lock();
        state.outage = outage;
        let waiting: Vec<String> = state
            .wants
            .iter()
            .filter(|(tenant, _)| !state.known.contains_key(*tenant))
            .map(|(_, want)| want.subscription.clone())
            .collect();
        drop(state);
        for subscription in waiting {
            self.context.queue.wake(subscription);
        }
    }
}

/// The next document of an account, if the tenant has something on it.
fn next_document(loaded: &Loaded, tenant: &str) -> Result<Option<Document>, BooksError> {
    if !loaded.history.is_running(tenant) {
        return Ok(None);
    }
    let next = preview(&loaded.history, loaded.counted(), Vec::new())?;
    Ok(next.filter(|document| document.lines.iter().any(|line| line.subscription == tenant)))
}

/// What a tenant has on a document, without tax.
fn committed(document: &Document, tenant: &str) -> Option<String> {
    Some(format!("{} {}", share(document, tenant)?, document.currency))
}
