//! What systems tell us of payments by calling us back; what it means, and what is wrong with it. Pure.
//!
//! A callback is taken for a hint that something happened. Whoever calls proves that he is the system ([`Refused::Forged`] otherwise), and
//! each payment has an id that is the same however often and in whatever order it is told, so the ledger has it once.

use jiff::Timestamp;
use ring::{digest, hmac};
use serde_json::Value;
use tenantry_ledger::money::{Currency, Money};
use tenantry_ledger::payment::{PaymentKind, ToldPayment};
use tenantry_ledger::refusal::Refusal;
use thiserror::Error;

use crate::Trouble;

/// A request of a system that calls back.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// What proves who calls: the signature of the body, or the word that is shared.
    pub proof: &'a str,
    /// What is told.
    pub body: &'a [u8],
    /// Now.
    pub at: Timestamp,
}

/// What a callback means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing for the ledger, with the reason: it would be told again for ever if it were refused.
    Nothing(String),
    /// Money went somewhere.
    Moved(Vec<Moved>),
}

/// Money that went somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// By which the system knows it, whoever tells of it how often.
    pub id: String,
    /// Which way it went.
    pub kind: PaymentKind,
    /// How much.
    pub amount: Money,
    /// When.
    pub at: Option<Timestamp>,
    /// Whose it is.
    pub of: Of,
}

/// Whose money it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// Of who pays a document, by its number.
    Document(String),
    /// Of an account.
    Account(String),
}

/// Why a callback was not taken in.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// Whoever calls is not the system, or it is an old call that somebody kept.
    #[error("{0}")]
    Forged(String),
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// The system had to be asked and did not say; it shall call again.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

// === impl Moved ===

impl Moved {
    /// As it is told to the ledger, for an account, under the name of who tells of it.
    #[must_use]
    pub fn told(&self, provider: &str, account: &str) -> ToldPayment {
        ToldPayment {
            account: account.to_owned(),
            amount: self.amount.decimal(),
            currency: self.amount.currency.to_string(),
            provider: provider.to_owned(),
            id: self.id.clone(),
            kind: self.kind,
            invoice: match &self.of {
                Of::Document(number) => Some(number.clone()),
                Of::Account(_) => None,
            },
            received: self.at.map(|at| at.to_string()),
        }
    }
}

// === impl Refused ===

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Unreadable(refusal.to_string())
    }
}

/// Refuses a word that is not the one that is shared. How long it takes says nothing of it.
///
/// # Errors
/// It is another one.
pub(crate) fn is_shared(word: &str, secret: &str) -> Result<(), Refused> {
    // Both are signed by a key that nobody knows, which takes as long however alike they are.
    let key = hmac::Key::new(hmac::HMAC_SHA256, digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
    let tag = hmac::sign(&key, secret.trim().as_bytes());
    hmac::verify(&key, word.as_bytes(), tag.as_ref())
        .map_err(|_| Refused::Forged("the word is not the one that is shared".to_owned()))
}

/// Reads JSON.
///
/// # Errors
/// It is none.
pub(crate) fn json(body: &[u8]) -> Result<Value, Refused> {
    serde_json::from_slice(body).map_err(|error| Refused::Unreadable(format!("it is no JSON: {error}")))
}

/// The text of a field, which the system always writes.
///
/// # Errors
/// It is not there.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> Result<&'a str, Refused> {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
        .ok_or_else(|| Refused::Unreadable(format!("it has no {}", pointer.trim_start_matches('/'))))
}

/// A currency by its code in any letters.
///
/// # Errors
/// There is none of it.
pub(crate) fn currency(object: &Value) -> Result<Currency, Refused> {
    Ok(Currency::parse("currency", &text(object, "/currency")?.to_uppercase())?)
}
