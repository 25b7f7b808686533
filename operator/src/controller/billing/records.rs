//! Telling tenants what they have on documents: a record of each in the tenant's namespace. Needs the database and a client.
//!
//! The outbox says what is still to be told. A record is written first and taken off the outbox afterwards; its name comes from the
//! document's number, so one that is there already was written before a crash. What cannot be written is tried again, less and less
//! often, and holds up nobody else. A tenant that is gone is told nothing.

use super::record::record;
use super::worker::WAIT;
use crate::controller::context::Context;
use crate::controller::patience::doubled;
use crate::controller::roots::Root;
use futures::StreamExt;
use futures::stream;
use kube::Api;
use kube::api::PostParams;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tenantry_apply::object::FIELD_MANAGER;
use tenantry_billing::{Books, BooksError, RECORDS, Told};
use tenantry_crds::{BillingRecord, TenantSubscriptionStatus};
use tenantry_journal::Epoch;
use tokio::time::{sleep, timeout};

/// Deadline of one request.
const DEADLINE: Duration = Duration::from_secs(10);
/// So many are read at once.
const PAGE: i64 = 200;
/// So many are written at once.
const AT_ONCE: usize = 4;

/// What became of one of them.
enum Delivery {
    /// It is written, or there is nobody to be told.
    Told,
    /// The tenant has no namespace yet.
    Waits,
    /// It could not be written.
    Failed(String),
}

/// Writes records, until another process writes.
///
/// # Errors
/// When another process took over: this one must end.
pub(crate) async fn run(context: &Context) -> Result<(), BooksError> {
    let (database, epoch) = context.billing.writer(&context.billing.posted).await;
    let teller = Teller { context, books: Books::new(database), epoch };
    let mut tries = 0;
    loop {
        let posted = context.billing.posted.notified();
        // The client holds back who has lost the lease as well; this keeps him from trying.
        if !context.executor.gate.may_write() {
            sleep(WAIT[0]).await;
            continue;
        }
        let trouble = match teller.pass().await {
            Ok(trouble) => trouble,
            Err(error) if error.is_superseded() => return Err(error),
            Err(error) => Some(error.to_string()),
        };
        let Some(trouble) = trouble else {
            tries = 0;
            posted.await;
            continue;
        };
        if tries == 0 {
            tracing::warn!(trouble, "a record of a document cannot be written; it is tried again");
        }
        sleep(doubled(WAIT, tries)).await;
        tries = tries.saturating_add(1);
    }
}

struct Teller<'a> {
    context: &'a Context,
    books: Books,
    epoch: Epoch,
}

impl Teller<'_> {
    /// Tells everything that can be told now, and says what is in the way of the rest.
    async fn pass(&self) -> Result<Option<String>, BooksError> {
        let mut trouble = None;
        let mut after = 0;
        loop {
            let page = self.books.to_tell(RECORDS, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(trouble) };
            after = last.sequence;
            let roots = self.context.roots.all();
            let tenant_of = |root: &Arc<Root>| Some((root.brief.tenant_id.clone()?, Arc::clone(root)));
            let tenants: HashMap<String, Arc<Root>> = roots.iter().filter_map(tenant_of).collect();
            // In a list: the compiler does not see through a closure over borrowed items in a task.
            let mut deliveries = Vec::with_capacity(page.len());
            for one in &page {
                deliveries.push(self.deliver(one, tenants.get(&one.subscription)));
            }
            let deliveries: Vec<_> = stream::iter(deliveries).buffered(AT_ONCE).collect().await;
            let mut told = Vec::new();
            for (one, delivery) in page.iter().zip(deliveries) {
                match delivery? {
                    Delivery::Told => told.push(one.id.clone()),
                    Delivery::Waits => {}
                    Delivery::Failed(why) => trouble = Some(why),
                }
            }
            if !told.is_empty() {
                self.books.told(self.epoch, &told).await?;
            }
        }
    }

    async fn deliver(&self, one: &Told, root: Option<&Arc<Root>>) -> Result<Delivery, BooksError> {
        let Some(root) = root else { return Ok(Delivery::Told) };
        let status = match root.status() {
            Ok(status) => status,
            Err(error) => return Ok(Delivery::Failed(format!("the status of {}: {error}", root.name))),
        };
        let Some(namespace) = namespace(&status) else {
            if root.deleting_since.is_some() {
                return Ok(Delivery::Told);
            }
            self.context.billing.waits_for_namespace(&one.subscription);
            return Ok(Delivery::Waits);
        };
        let document = self.books.document(&one.number).await?;
        let Some(record) = record(&document, &one.subscription, &root.name) else {
            return Ok(Delivery::Told);
        };
        let records: Api<BillingRecord> = Api::namespaced(self.context.client.clone(), namespace);
        let parameters =
            PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        Ok(match timeout(DEADLINE, records.create(&parameters, &record)).await {
            Ok(Ok(_)) => Delivery::Told,
            Ok(Err(kube::Error::Api(status))) if status.is_already_exists() => Delivery::Told,
            Ok(Err(error)) => Delivery::Failed(format!("{} in {namespace}: {error}", one.number)),
            Err(_) => Delivery::Failed(format!("{} in {namespace}: no answer", one.number)),
        })
    }
}

/// The tenant's namespace, once it is there.
pub(super) fn namespace(status: &TenantSubscriptionStatus) -> Option<&str> {
    let mut objects = status.inventory.iter().flat_map(|inventory| &inventory.objects);
    let namespace = status.tenant.as_ref()?.namespace.as_str();
    objects
        .any(|entry| entry.kind == "v1/Namespace" && entry.name == namespace && entry.uid.is_some())
        .then_some(namespace)
}
