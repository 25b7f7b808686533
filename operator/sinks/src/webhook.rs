//! A signed POST of each document and of each notice, after Standard Webhooks 1.0. Needs the network.
//!
//! The receiver knows a document again by the header `webhook-id`, which never changes, and checks `webhook-signature`: HMAC-SHA256 over
//! id, timestamp and body. A timestamp that is old tells him of a replay.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::Method;
use jiff::Timestamp;
use ring::hmac;
use serde_json::json;
use tenantry_ledger::invoice::DocumentKind;
use tenantry_ledger::ladder::Stage;

use crate::caller::{Ask, Caller};
use crate::{Delivered, Letter, Reminder, Sink, Trouble};

/// What a secret begins with, before its base64.
const PREFIX: &str = "whsec_";
/// The specification asks for 24 to 64 bytes.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// An address that documents are sent to.
pub struct Webhook {
    caller: Caller,
    key: hmac::Key,
}

// === impl Webhook ===

impl Webhook {
    /// An address, the secret that its receiver shares, and the deadline of each request.
    ///
    /// # Errors
    /// An address without TLS, a secret that is none.
    pub fn new(url: &str, secret: &str, deadline: Duration) -> Result<Self, Trouble> {
        let bytes =
            STANDARD.decode(secret.trim().strip_prefix(PREFIX).unwrap_or(secret.trim())).unwrap_or_default();
        if !BYTES.contains(&bytes.len()) {
            return Err(Trouble::refused(format!(
                "secret: it is no key of 24 to 64 bytes in base64; make one by: echo {PREFIX}$(openssl rand -base64 32)"
            )));
        }
        let headers =
            vec![("content-type", "application/json".to_owned()), ("user-agent", "tenantry".to_owned())];
        Ok(Self {
            caller: Caller::new(url, headers, deadline)?,
            key: hmac::Key::new(hmac::HMAC_SHA256, &bytes),
        })
    }

    /// Sends something under an id by which the receiver knows it again.
    async fn post(&self, id: String, at: Timestamp, body: String) -> Result<Delivered, Trouble> {
        let at = at.as_second().to_string();
        let tag = hmac::sign(&self.key, format!("{id}.{at}.{body}").as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(tag));
        let headers =
            vec![("webhook-id", id.clone()), ("webhook-timestamp", at), ("webhook-signature", signature)];
        self.caller.send(Method::POST, "", Ask { headers, body: body.into(), ..Ask::default() }).await?;
        Ok(Delivered { foreign: Some(id) })
    }
}

impl Sink for Webhook {
    fn find<'a>(&'a self, _letter: Letter<'a>) -> BoxFuture<'a, Result<Option<Delivered>, Trouble>> {
        // Nobody can be asked: the receiver knows a document again by its id.
        async { Ok(None) }.boxed()
    }

    fn send<'a>(&'a self, letter: Letter<'a>) -> BoxFuture<'a, Result<Delivered, Trouble>> {
        async move {
            let kind = match letter.document.kind {
                DocumentKind::Invoice => "invoice.finalized",
                DocumentKind::CreditNote => "credit_note.finalized",
            };
            let body = json!({
                "type": kind,
                "timestamp": letter.document.issued.to_string(),
                "data": letter.document,
            });
            self.post(letter.number().to_owned(), letter.at, body.to_string()).await
        }
        .boxed()
    }

    fn remind<'a>(&'a self, reminder: Reminder<'a>) -> Option<BoxFuture<'a, Result<Delivered, Trouble>>> {
        let Reminder { notice, at } = reminder;
        let kind = match notice.stage {
            Stage::Reminder => "invoice.reminder",
            Stage::Warning => "invoice.warning",
            Stage::Suspended => "invoice.suspended",
        };
        let body = json!({"type": kind, "timestamp": notice.day.to_string(), "data": notice});
        Some(self.post(reminder.key(), at, body.to_string()).boxed())
    }
}
