//! What is left to pay of each document, as an external charge of Kill Bill. Needs the network.
//!
//! Only totals are sent, as with Stripe. The account there has our account's name as its `externalKey`, which is unique there; the
//! charge has the document's number as `itemDetails`, by which it is found again.

pub mod callback;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tenantry_ledger::document::Document;
use tenantry_ledger::exact::Decimal;

use crate::caller::{Ask, Caller};
use crate::{Delivered, Letter, Reminder, Sink, Trouble};

/// A tenant of a Kill Bill.
pub struct KillBill {
    caller: Caller,
}

/// What Kill Bill asks of whoever calls it.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The key of the tenant there.
    pub api_key: String,
    /// Its secret.
    pub api_secret: String,
    /// A user there.
    pub user: String,
    /// Her password.
    pub password: String,
}

// === impl KillBill ===

impl KillBill {
    /// An address, without `/1.0/kb`, and the deadline of each request.
    ///
    /// # Errors
    /// An address without TLS.
    pub fn new(url: &str, credentials: &Credentials, deadline: Duration) -> Result<Self, Trouble> {
        let Credentials { api_key, api_secret, user, password } = credentials;
        let headers = vec![
            ("authorization", format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))),
            ("x-killbill-apikey", api_key.clone()),
            ("x-killbill-apisecret", api_secret.clone()),
            ("x-killbill-createdby", "tenantry".to_owned()),
            ("content-type", "application/json".to_owned()),
            ("accept", "application/json".to_owned()),
        ];
        Ok(Self { caller: Caller::new(url, headers, deadline)? })
    }

    /// The account there, if there is one.
    async fn account(&self, name: &str) -> Result<Option<String>, Trouble> {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("externalKey", name).finish();
        let ask = Ask { admits: vec![StatusCode::NOT_FOUND], ..Ask::default() };
        let answer = self.caller.send(Method::GET, &format!("/1.0/kb/accounts?{query}"), ask).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let account: Value =
            serde_json::from_slice(&answer.body).map_err(|error| Trouble::later(error.to_string()))?;
        text(&account, "accountId").map(Some)
    }

    async fn make_account(&self, document: &Document) -> Result<String, Trouble> {
        let mut account = json!({
            "externalKey": document.account, "name": document.buyer.name, "currency": document.currency.code(),
        });
        if let (Some(email), Some(fields)) = (&document.buyer.email, account.as_object_mut()) {
            fields.insert("email".to_owned(), json!(email));
        }
        // Whoever was faster made the same one: its external key is unique there.
        let ask =
            Ask { body: account.to_string().into(), admits: vec![StatusCode::CONFLICT], ..Ask::default() };
        self.caller.send(Method::POST, "/1.0/kb/accounts", ask).await?;
        self.account(&document.account)
            .await?
            .ok_or_else(|| Trouble::later("the account was made and is not there"))
    }

    /// The id of the invoice there that has the charge of a document.
    async fn charged(&self, account: &str, document: &Document) -> Result<Option<String>, Trouble> {
        let path = format!("/1.0/kb/accounts/{account}/invoices?includeInvoiceComponents=true");
        let invoices = self.caller.json(Method::GET, &path, Ask::default()).await?;
        for invoice in invoices.as_array().into_iter().flatten() {
            let mut items = invoice.get("items").and_then(Value::as_array).into_iter().flatten();
            let is_it =
                |item: &&Value| item.get("itemDetails").is_some_and(|details| *details == document.number);
            if let Some(item) = items.find(is_it) {
                let amount = item.get("amount").map(Value::to_string).unwrap_or_default();
                if Decimal::parse("amount", &amount)?.value()
                    != Decimal::parse("payable", &document.payable)?.value()
                {
                    return Err(Trouble::refused(format!(
                        "the charge there is {amount} instead of {}; void its invoice and send the document again",
                        document.payable
                    )));
                }
                return text(invoice, "invoiceId").map(Some);
            }
        }
        Ok(None)
    }
}

impl Sink for KillBill {
    fn find<'a>(&'a self, letter: Letter<'a>) -> BoxFuture<'a, Result<Option<Delivered>, Trouble>> {
        async move {
            if is_nothing(&letter.document.payable) {
                return Ok(Some(Delivered { foreign: None }));
            }
            let Some(account) = self.account(&letter.document.account).await? else { return Ok(None) };
            let found = self.charged(&account, letter.document).await?;
            Ok(found.map(|invoice| Delivered { foreign: Some(invoice) }))
        }
        .boxed()
    }

    fn send<'a>(&'a self, letter: Letter<'a>) -> BoxFuture<'a, Result<Delivered, Trouble>> {
        async move {
            let Document { number, account, currency, payable, .. } = letter.document;
            let account = match self.account(account).await? {
                Some(account) => account,
                None => self.make_account(letter.document).await?,
            };
            // As a number with all its decimals: Kill Bill reads JSON numbers as decimals.
            let amount: Value = serde_json::from_str(payable).map_err(|error| Trouble::refused(error.to_string()))?;
            let charge = json!([{
                "accountId": account, "amount": amount, "currency": currency.code(), "description": number, "itemDetails": number,
            }]);
            let ask = Ask { body: charge.to_string().into(), ..Ask::default() };
            let made =
                self.caller.json(Method::POST, &format!("/1.0/kb/invoices/charges/{account}?autoCommit=true"), ask).await?;
            let item = made.get(0).unwrap_or(&Value::Null);
            Ok(Delivered { foreign: Some(text(item, "invoiceId")?) })
        }
        .boxed()
    }

    fn remind<'a>(&'a self, _reminder: Reminder<'a>) -> Option<BoxFuture<'a, Result<Delivered, Trouble>>> {
        // Kill Bill goes by its own overdue states.
        None
    }
}

fn text(object: &Value, field: &str) -> Result<String, Trouble> {
    let text = object.get(field).and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| Trouble::later(format!("the answer has no {field}")))
}

fn is_nothing(decimal: &str) -> bool {
    decimal.bytes().all(|byte| matches!(byte, b'0' | b'.' | b'-'))
}
