//! What is known of an account: the log of its facts, folded. Pure.
//!
//! The log is the truth and everything else is read off it: who agreed on what, which prices were pinned, what happened, and what
//! each run closed. Facts are chained by hashes: each is that of the fact before it and of its own text. The text holds
//! neither who wrote it, nor when, nor the number of a row, so that the same facts give the same hash on every machine.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, DateTime};
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};

use crate::agreement::Agreement;
use crate::catalogue::{Catalogue, PriceList};
use crate::document::Document;
use crate::event::{Change, Event};
use crate::invoice::{DocumentKind, Reduced};
use crate::ladder::{Notice, Stage};
use crate::ledger::{Entry, Ledger};
use crate::payment::{Allocation, Claim, Payment, allocate};
use crate::profile::TENANTRY;
use crate::refusal::Refusal;

/// One fact of an account's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fact {
    /// What holds from here on between account and seller.
    Agreed(Box<Agreement>),
    /// A price list, in full, that events may refer to from here on.
    Priced(PriceList),
    /// Something happened to a subscription.
    Happened(Happening),
    /// A person looked at an account that was parked: the next run may post what it finds.
    Accepted(Acceptance),
    /// A run closed everything up to a boundary.
    Closed(Box<Closing>),
    /// Money came in, or went out again.
    Paid(Payment),
    /// It was told that an invoice is not paid.
    Noticed(Box<Notice>),
}

/// Something that happened, with the name by which people know the subscription.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Happening {
    /// The subscription's name; a tenant keeps its id where a later subscription has the same name.
    pub name: String,
    /// What happened.
    pub event: Event,
}

/// A person's word on an account that was parked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Acceptance {
    /// Who.
    pub by: String,
    /// Why, for those who come later.
    pub reason: String,
}

/// What a run closed, in full: it is never computed again to be shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Closing {
    /// The boundary, by the account's clock.
    pub boundary: DateTime,
    /// The boundary, as an instant.
    pub at: Timestamp,
    /// Version of the rules by which it was computed.
    pub rules: u32,
    /// The date from which the account's periods count, with the first run that charged something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<Date>,
    /// What meters counted that no run knew before, by `subscription/meter`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub usage: BTreeMap<String, String>,
    /// What was posted.
    pub entries: Vec<Entry>,
    /// What coupons took off entries, where that changed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reduced: BTreeMap<u64, Reduced>,
    /// The document, where there was anything to put on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Document>,
    /// What the account has in hand afterwards, in minor units.
    pub balance: i64,
}

/// The folded log of one account.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct History {
    place: u32,
    agreement: Option<Box<Agreement>>,
    lists: Vec<PriceList>,
    events: Vec<Event>,
    names: BTreeMap<String, String>,
    ledger: Ledger,
    reduced: BTreeMap<u64, Reduced>,
    documents: BTreeMap<u64, String>,
    numbers: BTreeMap<DocumentKind, u32>,
    credit: i64,
    claims: Vec<Claim>,
    payments: BTreeMap<(Timestamp, String, String), Payment>,
    notices: BTreeMap<String, BTreeMap<Stage, Date>>,
    anchor: Option<Date>,
    closed: Option<DateTime>,
    told: Told,
}

/// What was written down since the last run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Told {
    /// Subscriptions that something happened to.
    pub(crate) subscriptions: BTreeSet<String>,
    /// The earliest of it.
    pub(crate) earliest: Option<Timestamp>,
    /// Whether the agreement changed.
    pub(crate) agreement: bool,
    /// Whether a person lets the next run post what it finds.
    pub(crate) accepted: bool,
}

/// The hash of a fact: of the hash before it, its kind and its text.
#[must_use]
pub fn chained(before: &str, kind: &str, text: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    // Neither a hash nor a kind holds a line break, so nothing can be moved from one part to another.
    for part in [before, "\n", kind, "\n", text] {
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

// === impl Fact ===

impl Fact {
    /// What kind of fact it is.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Agreed(_) => "Agreed",
            Self::Priced(_) => "Priced",
            Self::Happened(_) => "Happened",
            Self::Accepted(_) => "Accepted",
            Self::Closed(_) => "Closed",
            Self::Paid(_) => "Paid",
            Self::Noticed(_) => "Noticed",
        }
    }

    /// Its text, which is what is kept and hashed.
    ///
    /// # Errors
    /// It has no JSON form.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        match self {
            Self::Agreed(agreement) => serde_json::to_string(agreement),
            Self::Priced(list) => serde_json::to_string(list),
            Self::Happened(happening) => serde_json::to_string(happening),
            Self::Accepted(acceptance) => serde_json::to_string(acceptance),
            Self::Closed(closing) => serde_json::to_string(closing),
            Self::Paid(payment) => serde_json::to_string(payment),
            Self::Noticed(notice) => serde_json::to_string(notice),
        }
    }

    /// Reads it back.
    ///
    /// # Errors
    /// The kind is unknown, or the text is none of it.
    pub fn read(kind: &str, text: &str) -> Result<Self, Refusal> {
        let read = match kind {
            "Agreed" => serde_json::from_str(text).map(Self::Agreed),
            "Priced" => serde_json::from_str(text).map(Self::Priced),
            "Happened" => serde_json::from_str(text).map(Self::Happened),
            "Accepted" => serde_json::from_str(text).map(Self::Accepted),
            "Closed" => serde_json::from_str(text).map(Self::Closed),
            "Paid" => serde_json::from_str(text).map(Self::Paid),
            "Noticed" => serde_json::from_str(text).map(Self::Noticed),
            _ => return Err(unreadable(kind, "this version knows no such fact".to_owned())),
        };
        read.map_err(|error| unreadable(kind, error.to_string()))
    }
}

fn unreadable(kind: &str, reason: String) -> Refusal {
    Refusal::new(
        format!("log[{kind}]"),
        reason,
        "run the version that wrote it, or restore the database from a copy",
    )
}

// === impl History ===

impl History {
    /// An account of which nothing is known yet but its place among those whose numbers begin alike.
    #[must_use]
    pub fn new(place: u32) -> Self {
        Self { place, ..Self::default() }
    }

    /// Takes in the next fact.
    pub fn apply(&mut self, fact: Fact) {
        match fact {
            Fact::Agreed(agreement) => {
                self.told.agreement = self.agreement.is_some();
                self.agreement = Some(agreement);
            }
            Fact::Priced(list) => self.lists.push(list),
            Fact::Happened(Happening { name, event }) => {
                self.names.insert(event.subscription.clone(), name);
                self.told.subscriptions.insert(event.subscription.clone());
                self.told.earliest = Some(self.told.earliest.map_or(event.at, |at| at.min(event.at)));
                self.events.push(event);
            }
            Fact::Accepted(_) => self.told.accepted = true,
            Fact::Closed(closing) => self.close(*closing),
            Fact::Paid(payment) => {
                let key = (payment.received, payment.provider.clone(), payment.id.clone());
                self.payments.insert(key, payment);
            }
            Fact::Noticed(notice) => {
                self.notices.entry(notice.number.clone()).or_default().insert(notice.stage, notice.day);
            }
        }
    }

    fn close(&mut self, closing: Closing) {
        self.anchor = self.anchor.or(closing.anchor);
        self.closed = Some(closing.boundary);
        let drawn = self.settle(closing.balance - self.balance_at(closing.at));
        self.reduced.extend(closing.reduced);
        if let Some(document) = closing.document {
            *self.numbers.entry(document.kind).or_default() += 1;
            let numbered = document.lines.iter().map(|line| (line.entry, document.number.clone()));
            self.documents.extend(numbered);
            self.claim(&document, drawn);
        }
        self.ledger.extend(closing.entries);
        self.told = Told::default();
    }

    /// Takes in what a document did to the balance, and says what of it was the money of payments: credits are used up first.
    fn settle(&mut self, change: i64) -> i64 {
        let credits = change.max(-self.credit);
        self.credit += credits;
        credits - change
    }

    fn claim(&mut self, document: &Document, drawn: i64) {
        // A document whose amounts cannot be read is found by who verifies.
        let payable = document.left_to_pay().unwrap_or_default();
        if document.kind != DocumentKind::Invoice || (payable == 0 && drawn == 0) {
            return;
        }
        let days = self.agreement.as_ref().map_or(0, |agreement| agreement.payment_days);
        let later = document.issued.checked_add(i64::from(days).days());
        let due = document.due.unwrap_or_else(|| later.unwrap_or(document.issued));
        self.claims.push(Claim { number: document.number.clone(), due, payable, drawn });
    }

    /// The account's place among those whose numbers begin alike, from one on.
    #[must_use]
    pub fn place(&self) -> u32 {
        self.place
    }

    /// What was agreed last.
    ///
    /// # Errors
    /// Nothing was.
    pub fn agreement(&self) -> Result<&Agreement, Refusal> {
        self.agreement.as_deref().ok_or_else(|| {
            Refusal::new("account", "nothing was agreed with it", "open the account before anything else")
        })
    }

    /// Everything that prices the account's events.
    ///
    /// # Errors
    /// Something that cannot be charged.
    pub fn catalogue(&self) -> Result<Catalogue, Refusal> {
        let agreement = self.agreement()?;
        let mut account = agreement.account.clone();
        account.anchor = account.anchor.or(self.anchor);
        Catalogue::new(account, self.lists.clone(), agreement.bundles.clone(), TENANTRY)
    }

    /// What happened, in the order in which it was written down.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Whether there is a price list of this name.
    #[must_use]
    pub fn has_list(&self, id: &str) -> bool {
        self.lists.iter().any(|list| list.id == id)
    }

    /// What was posted.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What coupons took off entries.
    #[must_use]
    pub fn reduced(&self) -> &BTreeMap<u64, Reduced> {
        &self.reduced
    }

    /// What the account has in hand, in minor units: credits, and what payments left over. Negative where more was given back
    /// than it had.
    #[must_use]
    pub fn balance(&self) -> i64 {
        self.allocation().balance
    }

    /// What it had in hand at an instant, as far as payments are concerned: what came in later was not there yet, so a run that is
    /// late draws what it would have drawn in time.
    #[must_use]
    pub fn balance_at(&self, at: Timestamp) -> i64 {
        let until = self.payments.values().take_while(|payment| payment.received <= at);
        allocate(&self.claims, self.credit, until).balance
    }

    /// Which invoices are paid, and what is left over of payments.
    #[must_use]
    pub fn allocation(&self) -> Allocation {
        allocate(&self.claims, self.credit, self.payments.values())
    }

    /// What was told of an invoice that is not paid, and on which days.
    pub fn noticed(&self, number: &str) -> impl Iterator<Item = (Stage, Date)> {
        self.notices.get(number).into_iter().flatten().map(|(stage, day)| (*stage, *day))
    }

    /// The payment that a provider knows by an id.
    #[must_use]
    pub fn payment(&self, provider: &str, id: &str) -> Option<&Payment> {
        self.payments.values().find(|payment| payment.provider == provider && payment.id == id)
    }

    /// What came in and went out again, in the order in which it was received.
    pub fn payments(&self) -> impl Iterator<Item = &Payment> {
        self.payments.values()
    }

    /// The date from which its periods count, once something was charged.
    #[must_use]
    pub fn anchor(&self) -> Option<Date> {
        self.anchor
    }

    /// Up to where it is closed.
    #[must_use]
    pub fn closed(&self) -> Option<DateTime> {
        self.closed
    }

    /// The name by which people know a subscription.
    #[must_use]
    pub fn name_of<'a>(&'a self, subscription: &'a str) -> &'a str {
        self.names.get(subscription).map_or(subscription, String::as_str)
    }

    /// The number of the document that an entry is on.
    #[must_use]
    pub fn document_of(&self, entry: u64) -> Option<&str> {
        self.documents.get(&entry).map(String::as_str)
    }

    /// How many documents of a kind there are.
    #[must_use]
    pub fn numbered(&self, kind: DocumentKind) -> u32 {
        self.numbers.get(&kind).copied().unwrap_or(0)
    }

    /// Which document of its kind the next one is.
    #[must_use]
    pub fn next_number(&self, kind: DocumentKind) -> u32 {
        self.numbered(kind).saturating_add(1)
    }

    /// Whether charges of a subscription began and did not end.
    #[must_use]
    pub fn is_running(&self, subscription: &str) -> bool {
        let mut own = self.events.iter().filter(|event| event.subscription == subscription);
        let begins = |event: &Event| matches!(event.change, Change::Start { .. });
        let ends = |event: &Event| matches!(event.change, Change::Cancel { .. });
        own.clone().any(begins) && !own.any(ends)
    }

    pub(crate) fn told(&self) -> &Told {
        &self.told
    }
}
