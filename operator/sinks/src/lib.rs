//! Delivering finished documents to other systems. Needs the network or a file system, and no database.
//!
//! A document is delivered at least once, and there at most once: whoever delivers asks first whether it is there already
//! ([`Sink::find`]), sends it under a key by which the other side knows it again ([`Letter::key`]), and keeps the id that it has
//! there. An answer that never came is the same as one that was lost: the next delivery finds what the last one left.
//!
//! - [`webhook`]: a POST signed after Standard Webhooks;
//! - [`folder`]: files, each there whole or not at all;
//! - [`stripe`]: what is left to pay, as an invoice of Stripe;
//! - [`kill_bill`]: what is left to pay, as an external charge of Kill Bill.
//!
//! The last two collect money, and call back when they did: [`callback`].

pub mod callback;
pub mod caller;
pub mod folder;
pub mod kill_bill;
pub mod stripe;
pub mod webhook;

use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use tenantry_ledger::document::Document;
use tenantry_ledger::ladder::Notice;
use tenantry_ledger::refusal::Refusal;
use thiserror::Error;

/// A document on its way to a sink.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// The document. It is final: it has a number.
    pub document: &'a Document,
    /// How often the other side answered that it failed. Somebody who remembers answers by their key would give the same one
    /// for ever, so the key of what is tried anew after such an answer is another one.
    pub answered: u32,
    /// Now.
    pub at: Timestamp,
}

/// A notice that an invoice is not paid, on its way to a sink.
#[derive(Clone, Copy, Debug)]
pub struct Reminder<'a> {
    /// The notice.
    pub notice: &'a Notice,
    /// Now.
    pub at: Timestamp,
}

/// What became of a document at a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The id that it has there; none where nothing had to be made, such as for a payment of nothing.
    pub foreign: Option<String>,
}

/// Why a document was not delivered.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{reason}")]
pub struct Trouble {
    /// What happened.
    pub reason: String,
    /// Whether trying again can help.
    pub is_final: bool,
    /// Whether the other side answered that it failed, so that nothing of the request took effect.
    pub was_answered: bool,
    /// When the other side wants to be asked again.
    pub after: Option<Duration>,
}

/// A system that is told of documents.
pub trait Sink: Send + Sync {
    /// Whether a document is there already.
    ///
    /// # Errors
    /// When it cannot be found out.
    fn find<'a>(&'a self, letter: Letter<'a>) -> BoxFuture<'a, Result<Option<Delivered>, Trouble>>;

    /// Makes the document there, or finishes what an earlier delivery began.
    ///
    /// # Errors
    /// When it is not known to be there.
    fn send<'a>(&'a self, letter: Letter<'a>) -> BoxFuture<'a, Result<Delivered, Trouble>>;

    /// Tells that an invoice is not paid, by the key of the notice; `None` where such a system is told nothing of that.
    fn remind<'a>(&'a self, reminder: Reminder<'a>) -> Option<BoxFuture<'a, Result<Delivered, Trouble>>>;
}

/// Delivers a document, unless it is there already.
///
/// # Errors
/// When it is not known to be there; it may be.
pub async fn deliver(sink: &dyn Sink, letter: Letter<'_>) -> Result<Delivered, Trouble> {
    match sink.find(letter).await? {
        Some(delivered) => Ok(delivered),
        None => sink.send(letter).await,
    }
}

// === impl Letter ===

impl Letter<'_> {
    /// By which the document is known, wherever it goes.
    #[must_use]
    pub fn number(&self) -> &str {
        &self.document.number
    }

    /// The key of a step of the delivery: the same as long as nobody answered that it failed.
    #[must_use]
    pub fn key(&self, step: &str) -> String {
        format!("{}/{step}/{}", self.document.number, self.answered)
    }
}

// === impl Reminder ===

impl Reminder<'_> {
    /// By which the notice is known, wherever it goes.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}", self.notice.number, self.notice.stage.as_str())
    }
}

// === impl Trouble ===

impl Trouble {
    /// Something that may be otherwise later; whether it took effect is not known.
    #[must_use]
    pub fn later(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_final: false, was_answered: false, after: None }
    }

    /// Something that stays as it is until a person acts.
    #[must_use]
    pub fn refused(reason: impl Into<String>) -> Self {
        Self { is_final: true, was_answered: true, ..Self::later(reason) }
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::refused(refusal.to_string())
    }
}
