//! Delivering documents to the sinks of their issuers. Needs the database, a client, the network and a clock.
//!
//! One task of the leader. A document is there first and noted as delivered afterwards, and whoever delivers looks there first, so a
//! crash between loses nothing and doubles nothing. What cannot be delivered is tried again, less and less often, and holds up nobody
//! else. At rest there is no statement: the next delivery has a timer. Credentials are in one Secret of the controller's own
//! namespace, are read when they are needed, and are in no log and no database.

use super::worker::{WAIT, until};
use crate::controller::context::Context;
use crate::controller::patience::doubled;
use futures::StreamExt;
use futures::stream;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::Api;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tenantry_billing::{Books, BooksError, Delivery, Settled};
use tenantry_crds::InvoiceIssuer;
use tenantry_crds::sink::{DocumentForm, Sink as Wanted, SinkAddress};
use tenantry_journal::Epoch;
use tenantry_sinks::caller::DEADLINE;
use tenantry_sinks::folder::{Folder, Form};
use tenantry_sinks::kill_bill::{Credentials, KillBill};
use tenantry_sinks::stripe::Stripe;
use tenantry_sinks::webhook::Webhook;
use tenantry_sinks::{Delivered, Letter, Reminder, Sink, Trouble, deliver};
use tokio::time::{sleep, timeout};

/// The Secret with the credentials of all sinks.
pub(crate) const SECRET: &str = "tenantry-sinks";
/// First and longest wait before a delivery is tried again.
const AGAIN: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(6 * 3600)];
/// Deadline of one request to the API server.
const API_DEADLINE: Duration = Duration::from_secs(10);
/// So many are read at once.
const PAGE: i64 = 100;
/// So many are delivered at once.
const AT_ONCE: usize = 4;

/// Delivers documents, until another process writes.
///
/// # Errors
/// When another process took over: this one must end.
pub(crate) async fn run(context: &Context) -> Result<(), BooksError> {
    let (database, epoch) = context.billing.writer(&context.billing.deliverable).await;
    let carrier = Carrier { context, books: Books::new(database), epoch };
    let mut tries = 0;
    loop {
        let news = context.billing.deliverable.notified();
        // Nobody but the leader sends anything: the address that is told twice is told by two leaders.
        if !context.executor.gate.may_write() {
            sleep(WAIT[0]).await;
            continue;
        }
        match carrier.pass().await {
            Ok(Some(next)) => {
                tries = 0;
                let _news = timeout(until(next), news).await;
            }
            Ok(None) => {
                tries = 0;
                news.await;
            }
            Err(error) if error.is_superseded() => return Err(error),
            Err(error) => {
                if tries == 0 {
                    tracing::warn!(%error, "deliveries cannot be read or noted; it is tried again");
                }
                sleep(doubled(WAIT, tries)).await;
                tries = tries.saturating_add(1);
            }
        }
    }
}

struct Carrier<'a> {
    context: &'a Context,
    books: Books,
    epoch: Epoch,
}

impl Carrier<'_> {
    /// Tries everything that is due, and says when the next one is.
    async fn pass(&self) -> Result<Option<Timestamp>, BooksError> {
        loop {
            let now = Timestamp::now();
            let due = self.books.deliveries_due(now, PAGE).await?;
            if due.is_empty() {
                return self.books.next_delivery().await;
            }
            let sinks = self.sinks(&due).await;
            // In a list: the compiler does not see through a closure over borrowed items in a task.
            let mut tries = Vec::with_capacity(due.len());
            for delivery in &due {
                tries.push(self.deliver(delivery, sinks.get(&delivery.sink), now));
            }
            let mut settled = Vec::with_capacity(due.len());
            let mut done = stream::iter(tries).buffered(AT_ONCE).zip(stream::iter(&due));
            while let Some((what, delivery)) = done.next().await {
                settled.push((delivery.clone(), what?));
                // What is there is noted before more is sent: a crash would have it looked up again.
                if settled.len() >= AT_ONCE {
                    self.books.settle(self.epoch, &std::mem::take(&mut settled)).await?;
                }
            }
            if !settled.is_empty() {
                self.books.settle(self.epoch, &settled).await?;
            }
        }
    }

    async fn deliver(
        &self,
        delivery: &Delivery,
        sink: Option<&Result<Arc<dyn Sink>, Trouble>>,
        now: Timestamp,
    ) -> Result<Settled, BooksError> {
        let Delivery { number, .. } = delivery;
        let trouble = match sink {
            Some(Ok(sink)) => match self.send(delivery, &**sink, now).await? {
                Ok(Some(delivered)) => {
                    tracing::info!(number, sink = delivery.sink, "delivered a document");
                    return Ok(Settled::Sent(delivered.foreign));
                }
                Ok(None) => return Ok(Settled::Skipped("such a sink takes no notices".to_owned())),
                Err(trouble) => trouble,
            },
            Some(Err(trouble)) => trouble.clone(),
            None => Trouble::later("its issuer has not been looked at"),
        };
        let Trouble { reason, is_final, was_answered, after } = trouble;
        tracing::warn!(number, sink = delivery.sink, reason, is_final, "a document is not delivered");
        if is_final {
            return Ok(Settled::Failed(reason));
        }
        let wait = after.unwrap_or_default().max(doubled(AGAIN, delivery.tries));
        Ok(Settled::Again { at: now + wait, reason, was_answered })
    }

    /// Sends a document, or a notice of it; nothing where the sink takes no notices.
    async fn send(
        &self,
        delivery: &Delivery,
        sink: &dyn Sink,
        at: Timestamp,
    ) -> Result<Result<Option<Delivered>, Trouble>, BooksError> {
        let Delivery { number, answered, stage, .. } = delivery;
        let Some(stage) = stage else {
            let document = self.books.document(number).await?;
            return Ok(deliver(sink, Letter { document: &document, answered: *answered, at })
                .await
                .map(Some));
        };
        let notice = self.books.notice(number, *stage).await?;
        let reminding = sink.remind(Reminder { notice: &notice, at });
        Ok(match reminding {
            Some(reminding) => reminding.await.map(Some),
            None => Ok(None),
        })
    }

    /// The sinks of these deliveries, as their issuers have them now, or why there is none.
    async fn sinks(&self, due: &[Delivery]) -> BTreeMap<String, Result<Arc<dyn Sink>, Trouble>> {
        let client = &self.context.client;
        let secret = secret(client, &self.context.config.namespace).await;
        let mut issuers: BTreeMap<String, Result<Option<InvoiceIssuer>, Trouble>> = BTreeMap::new();
        let mut sinks = BTreeMap::new();
        for delivery in due {
            if sinks.contains_key(&delivery.sink) {
                continue;
            }
            let (issuer, name) = delivery.sink.split_once('/').unwrap_or((&delivery.sink, ""));
            if !issuers.contains_key(issuer) {
                let api: Api<InvoiceIssuer> = Api::all(client.clone());
                issuers.insert(issuer.to_owned(), answer(api.get_opt(issuer)).await);
            }
            let wanted = match issuers.get(issuer) {
                Some(Ok(Some(found))) => {
                    let sink = found.spec.sinks.iter().find(|sink| sink.name == name).cloned();
                    sink.ok_or_else(|| {
                        Trouble::refused(format!("InvoiceIssuer {issuer} has no sink {name} any more"))
                    })
                }
                Some(Err(trouble)) => Err(trouble.clone()),
                Some(Ok(None)) | None => {
                    Err(Trouble::refused(format!("there is no InvoiceIssuer {issuer} any more")))
                }
            };
            let sink = wanted.and_then(|wanted| made(&wanted, &secret));
            sinks.insert(delivery.sink.clone(), sink);
        }
        sinks
    }
}

/// A system that collects money, and what proves that a call is its own.
pub(super) enum Collector {
    /// Stripe, and the secret by which it signs.
    Stripe(Stripe, String),
    /// Kill Bill, and the word that is in the address which it calls.
    KillBill(KillBill, String),
}

/// The sink of an issuer that collects money; none where there is no such sink, or it collects none.
///
/// # Errors
/// What is missing, or the API server does not answer.
pub(super) async fn collector(
    context: &Context,
    issuer: &str,
    name: &str,
) -> Result<Option<Collector>, Trouble> {
    let api: Api<InvoiceIssuer> = Api::all(context.client.clone());
    let Some(found) = answer(api.get_opt(issuer)).await? else { return Ok(None) };
    let Some(sink) = found.spec.sinks.into_iter().find(|sink| sink.name == name) else { return Ok(None) };
    let secret = secret(&context.client, &context.config.namespace).await;
    let proof = || key(&sink.name, "callback", &secret);
    if let Some(address) = &sink.stripe {
        return Ok(Some(Collector::Stripe(stripe(&sink.name, address, &secret)?, proof()?)));
    }
    match &sink.kill_bill {
        Some(address) => Ok(Some(Collector::KillBill(kill_bill(&sink.name, address, &secret)?, proof()?))),
        None => Ok(None),
    }
}

/// The credentials, by key.
async fn secret(client: &Client, namespace: &str) -> Secrets {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = answer(api.get_opt(SECRET)).await?;
    let data = secret.and_then(|secret| secret.data).unwrap_or_default();
    Ok(data.into_iter().filter_map(|(key, value)| Some((key, String::from_utf8(value.0).ok()?))).collect())
}

async fn answer<T>(
    request: impl Future<Output = Result<Option<T>, kube::Error>>,
) -> Result<Option<T>, Trouble> {
    match timeout(API_DEADLINE, request).await {
        Ok(Ok(object)) => Ok(object),
        Ok(Err(error)) => Err(Trouble::later(format!("the API server refuses: {error}"))),
        Err(_) => Err(Trouble::later("the API server does not answer")),
    }
}

/// Credentials by key, or why they are not known.
type Secrets = Result<BTreeMap<String, String>, Trouble>;

/// A credential of a sink.
fn key(name: &str, word: &str, secret: &Secrets) -> Result<String, Trouble> {
    let key = format!("{name}.{word}");
    let missing = || {
        // Whoever adds it need not send every document again.
        Trouble::later(format!("Secret {SECRET} has no key {key}; add it, and it goes on"))
    };
    secret.as_ref().map_err(Clone::clone)?.get(&key).cloned().ok_or_else(missing)
}

fn stripe(name: &str, address: &SinkAddress, secret: &Secrets) -> Result<Stripe, Trouble> {
    Stripe::new(&address.url, &key(name, "key", secret)?, DEADLINE)
}

fn kill_bill(name: &str, address: &SinkAddress, secret: &Secrets) -> Result<KillBill, Trouble> {
    let credentials = Credentials {
        api_key: key(name, "apiKey", secret)?,
        api_secret: key(name, "apiSecret", secret)?,
        user: key(name, "user", secret)?,
        password: key(name, "password", secret)?,
    };
    KillBill::new(&address.url, &credentials, DEADLINE)
}

/// A sink as it is configured.
fn made(wanted: &Wanted, secret: &Secrets) -> Result<Arc<dyn Sink>, Trouble> {
    let Wanted { name, webhook, folder, stripe, kill_bill } = wanted;
    if let Some(webhook) = webhook {
        return Ok(Arc::new(Webhook::new(&webhook.url, &key(name, "secret", secret)?, DEADLINE)?));
    }
    if let Some(address) = stripe {
        return Ok(Arc::new(self::stripe(name, address, secret)?));
    }
    if let Some(address) = kill_bill {
        return Ok(Arc::new(self::kill_bill(name, address, secret)?));
    }
    let folder = folder.as_ref().ok_or_else(|| Trouble::refused(format!("sinks[{name}] is of no kind")))?;
    let forms = folder.forms.iter().map(|form| match form {
        DocumentForm::Json => Form::Json,
        DocumentForm::Html => Form::Html,
        DocumentForm::Ubl => Form::Ubl,
        DocumentForm::Cii => Form::Cii,
    });
    Ok(Arc::new(Folder::new(folder.path.clone().into(), forms.collect())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_sink_is_made_of_its_configuration_and_its_keys_and_says_what_is_missing() {
        let secret: Result<BTreeMap<String, String>, Trouble> = Ok([
            ("erp.secret".to_owned(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
            ("pay.key".to_owned(), "sk".to_owned()),
        ]
        .into());
        let sink = |value: serde_json::Value| made(&serde_json::from_value(value).unwrap(), &secret).err();
        assert_eq!(sink(json!({"name": "erp", "webhook": {"url": "https://erp.example/in"}})), None);
        assert_eq!(sink(json!({"name": "pay", "stripe": {"url": "https://pay.example"}})), None);
        assert_eq!(sink(json!({"name": "drop", "folder": {"path": "/srv/invoices"}})), None);
        let missing = sink(json!({"name": "kb", "killBill": {"url": "https://kb.example"}})).unwrap();
        assert!(!missing.is_final && missing.reason.contains("has no key kb.apiKey; add it"), "{missing}");
        let plain = sink(json!({"name": "erp", "webhook": {"url": "http://erp.example/in"}})).unwrap();
        assert!(plain.is_final && plain.reason.contains("without TLS"), "{plain}");
        let away: Result<BTreeMap<String, String>, Trouble> = Err(Trouble::later("no answer"));
        let wanted =
            serde_json::from_value(json!({"name": "pay", "stripe": {"url": "https://pay.example"}})).unwrap();
        assert_eq!(made(&wanted, &away).err().unwrap().reason, "no answer");
    }
}
