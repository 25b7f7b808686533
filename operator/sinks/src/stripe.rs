//! What is left to pay of each document, as an invoice of Stripe. Needs the network.
//!
//! Only totals are sent: taxes, coupons and the account's balance are computed here, and there nothing shall be computed again. A credit
//! note goes to the balance here, with which the next invoice is smaller, so nothing of it is sent.
//!
//! An invoice there is found by its metadata in the list of the customer's invoices, because a search may be a minute behind. It is
//! made as a draft, gets one line, and is finalised: whoever is cut off between two of these finds the draft and goes on.

pub mod callback;

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::Method;
use jiff::tz::TimeZone;
use serde_json::Value;
use tenantry_ledger::document::Document;
use tenantry_ledger::exact::{Decimal, whole};
use tenantry_ledger::money::round_minor;

use crate::caller::{Ask, Caller};
use crate::{Delivered, Letter, Reminder, Sink, Trouble};

/// The key of our metadata at Stripe's objects.
const METADATA: &str = "tenantry";
/// Objects of one page, the most that Stripe gives.
const PAGE: usize = 100;
/// The version of Stripe's interface that this is written for.
const VERSION: &str = "2024-06-20";

/// An account at Stripe.
pub struct Stripe {
    caller: Caller,
}

// === impl Stripe ===

impl Stripe {
    /// An address of Stripe's interface, without `/v1`, the secret key, and the deadline of each request.
    ///
    /// # Errors
    /// An address without TLS.
    pub fn new(url: &str, key: &str, deadline: Duration) -> Result<Self, Trouble> {
        let headers = vec![
            ("authorization", format!("Bearer {}", key.trim())),
            ("content-type", "application/x-www-form-urlencoded".to_owned()),
            ("stripe-version", VERSION.to_owned()),
        ];
        Ok(Self { caller: Caller::new(url, headers, deadline)? })
    }

    async fn post(&self, path: &str, key: String, fields: &[(&str, String)]) -> Result<Value, Trouble> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let headers = vec![("idempotency-key", key)];
        self.caller.json(Method::POST, path, Ask { headers, body: body.into(), ..Ask::default() }).await
    }

    async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, Trouble> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        self.caller.json(Method::GET, &format!("{path}?{query}"), Ask::default()).await
    }

    /// Pages through a list, from the newest on, to what has our metadata.
    async fn listed(
        &self,
        path: &str,
        query: &[(&str, String)],
        known_as: &str,
    ) -> Result<Option<Value>, Trouble> {
        let mut after: Option<String> = None;
        loop {
            let mut query = query.to_vec();
            query.push(("limit", PAGE.to_string()));
            query.extend(after.take().map(|id| ("starting_after", id)));
            let page = self.get(path, &query).await?;
            let objects = page.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
            let ours = |object: &&Value| {
                object.pointer(&format!("/metadata/{METADATA}")).is_some_and(|value| value == known_as)
            };
            if let Some(found) = objects.iter().find(ours) {
                return Ok(Some(found.clone()));
            }
            if page.get("has_more") != Some(&Value::Bool(true)) {
                return Ok(None);
            }
            after = Some(id(objects.last().unwrap_or(&Value::Null))?);
        }
    }

    /// The customer of an account, if there is one.
    async fn customer(&self, document: &Document) -> Result<Option<String>, Trouble> {
        let mut query = Vec::new();
        query.extend(document.buyer.email.iter().map(|email| ("email", email.to_lowercase())));
        let found = self.listed("/v1/customers", &query, &document.account).await?;
        found.as_ref().map(id).transpose()
    }

    async fn make_customer(&self, letter: Letter<'_>) -> Result<String, Trouble> {
        let Document { account, buyer, .. } = letter.document;
        let metadata = format!("metadata[{METADATA}]");
        let mut fields = vec![("name", buyer.name.clone()), (metadata.as_str(), account.clone())];
        fields.extend(buyer.email.iter().map(|email| ("email", email.to_lowercase())));
        // The key is the account's: two documents of one account make one customer.
        let key = format!("{account}/customer/{}", letter.answered);
        id(&self.post("/v1/customers", key, &fields).await?)
    }

    async fn invoice(&self, customer: &str, number: &str) -> Result<Option<Value>, Trouble> {
        self.listed("/v1/invoices", &[("customer", customer.to_owned())], number).await
    }

    async fn draft(&self, letter: Letter<'_>, customer: &str) -> Result<Value, Trouble> {
        let Document { number, currency, issued, due, .. } = letter.document;
        let metadata = format!("metadata[{METADATA}]");
        let due = due.unwrap_or(*issued).at(23, 59, 59, 0);
        let due = TimeZone::UTC.to_timestamp(due).map_err(|error| Trouble::refused(error.to_string()))?;
        // Stripe refuses a day that is over.
        let due = due.max(letter.at + Duration::from_secs(3600));
        let fields = [
            ("customer", customer.to_owned()),
            ("collection_method", "send_invoice".to_owned()),
            ("due_date", due.as_second().to_string()),
            ("auto_advance", "false".to_owned()),
            ("pending_invoice_items_behavior", "exclude".to_owned()),
            ("currency", currency.code().to_lowercase()),
            ("description", number.clone()),
            (metadata.as_str(), number.clone()),
        ];
        self.post("/v1/invoices", letter.key("invoice"), &fields).await
    }

    /// Gives a draft its line, unless it has it, and finalises it.
    async fn finish(&self, letter: Letter<'_>, customer: &str, draft: &Value) -> Result<String, Trouble> {
        let Document { number, currency, .. } = letter.document;
        let invoice = id(draft)?;
        let owed = owed(letter.document)?;
        match draft.get("total").and_then(Value::as_i64) {
            Some(total) if total == owed => {}
            None | Some(0) => {
                let fields = [
                    ("customer", customer.to_owned()),
                    ("invoice", invoice.clone()),
                    ("amount", owed.to_string()),
                    ("currency", currency.code().to_lowercase()),
                    ("description", number.clone()),
                ];
                self.post("/v1/invoiceitems", letter.key("item"), &fields).await?;
            }
            Some(total) => {
                return Err(Trouble::refused(format!(
                    "the draft {invoice} comes to {total} instead of {owed}; delete it there and send the document again"
                )));
            }
        }
        let finalised =
            self.post(&format!("/v1/invoices/{invoice}/finalize"), letter.key("finalize"), &[]).await?;
        check(&finalised, owed)?;
        Ok(invoice)
    }
}

impl Sink for Stripe {
    fn find<'a>(&'a self, letter: Letter<'a>) -> BoxFuture<'a, Result<Option<Delivered>, Trouble>> {
        async move {
            let owed = owed(letter.document)?;
            if owed == 0 {
                return Ok(Some(Delivered { foreign: None }));
            }
            let Some(customer) = self.customer(letter.document).await? else { return Ok(None) };
            let Some(invoice) = self.invoice(&customer, letter.number()).await? else { return Ok(None) };
            if is_draft(&invoice) {
                return Ok(None);
            }
            check(&invoice, owed)?;
            Ok(Some(Delivered { foreign: Some(id(&invoice)?) }))
        }
        .boxed()
    }

    fn send<'a>(&'a self, letter: Letter<'a>) -> BoxFuture<'a, Result<Delivered, Trouble>> {
        async move {
            let customer = match self.customer(letter.document).await? {
                Some(customer) => customer,
                None => self.make_customer(letter).await?,
            };
            let draft = match self.invoice(&customer, letter.number()).await? {
                Some(draft) => draft,
                None => self.draft(letter, &customer).await?,
            };
            Ok(Delivered { foreign: Some(self.finish(letter, &customer, &draft).await?) })
        }
        .boxed()
    }

    fn remind<'a>(&'a self, _reminder: Reminder<'a>) -> Option<BoxFuture<'a, Result<Delivered, Trouble>>> {
        // Stripe reminds of its own invoices, by its own rules: twice would be once too often.
        None
    }
}

fn is_draft(invoice: &Value) -> bool {
    invoice.get("status").is_some_and(|status| status == "draft")
}

/// Refuses an invoice there that is not over what is owed here.
fn check(invoice: &Value, owed: i64) -> Result<(), Trouble> {
    match invoice.get("total").and_then(Value::as_i64) {
        Some(total) if total == owed => Ok(()),
        total => Err(Trouble::refused(format!(
            "the invoice {} there comes to {total:?} instead of {owed}; void it there and send the document again",
            id(invoice)?
        ))),
    }
}

fn id(object: &Value) -> Result<String, Trouble> {
    let id = object.get("id").and_then(Value::as_str);
    id.map(str::to_owned).ok_or_else(|| Trouble::later("the answer names no id"))
}

/// What is left to pay, in minor units, as Stripe counts.
fn owed(document: &Document) -> Result<i64, Trouble> {
    let payable = Decimal::parse("payable", &document.payable)?;
    Ok(round_minor(&(payable.value() * whole(10_i64.pow(document.currency.decimals()))))?)
}
