//! The ledger of an account: what was posted, in order, and what is left of it. Pure.

use serde::{Deserialize, Serialize};

use crate::line::LineKey;
use crate::money::{Money, sum};
use crate::refusal::Refusal;

/// What an entry does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Effect {
    /// It charges. Positive, or zero for a period that was rated and had no usage.
    Charge,
    /// It gives back what a charge took for time that is not owed, or for a quantity that was corrected. Negative.
    Credit,
    /// It gives back by a person's decision. Negative.
    Adjustment,
}

/// Something to be posted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Posting {
    /// What it is for. For a credit, its period is the time that is given back.
    pub key: LineKey,
    /// Charge, credit or adjustment.
    pub effect: Effect,
    /// How often the same key had this effect before. Together with both it is the natural key: unique.
    pub revision: u32,
    /// The entry it corrects.
    pub refers_to: Option<u64>,
    /// How much.
    pub amount: Money,
    /// The priced quantity, for people.
    pub quantity: String,
    /// The tax category and rate.
    pub tax: String,
}

impl Posting {
    /// What makes it one of its kind in an account, as text.
    #[must_use]
    pub fn natural_key(&self) -> String {
        let LineKey { subscription, kind, charge, terms, period } = &self.key;
        let effect = self.effect;
        let (from, to) = (period.from, period.to);
        // Lengths keep names from imitating each other's borders.
        let names = [subscription, charge, terms].map(|name| format!("{}:{name}", name.len())).join("/");
        format!("{names}/{kind:?}/{from}/{to}/{effect:?}/{}", self.revision)
    }
}

/// Something posted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its number in the ledger.
    pub id: u64,
    /// What was posted.
    #[serde(flatten)]
    pub posting: Posting,
}

/// What was posted for an account, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ledger {
    entries: Vec<Entry>,
}

impl Ledger {
    /// A ledger that holds these entries.
    #[must_use]
    pub fn of(entries: Vec<Entry>) -> Self {
        Self { entries }
    }

    /// What was posted, in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Adds postings, numbered on from what is there.
    pub fn post(&mut self, postings: Vec<Posting>) {
        let entries = self.numbered(postings);
        self.entries.extend(entries);
    }

    /// Adds what was posted elsewhere already.
    pub fn extend(&mut self, entries: Vec<Entry>) {
        self.entries.extend(entries);
    }

    /// Postings with the numbers that they would get.
    #[must_use]
    pub fn numbered(&self, postings: Vec<Posting>) -> Vec<Entry> {
        let next = self.entries.iter().map(|entry| entry.id).max().map_or(1, |last| last + 1);
        (next..).zip(postings).map(|(id, posting)| Entry { id, posting }).collect()
    }

    /// All of it.
    ///
    /// # Errors
    /// The sum has more than 64 bits.
    pub fn total(&self) -> Result<i64, Refusal> {
        sum(self.entries.iter().map(|entry| entry.posting.amount.minor))
    }

    /// What is left of a charge after its credits and adjustments.
    ///
    /// # Errors
    /// The sum has more than 64 bits.
    pub fn left(&self, id: u64) -> Result<i64, Refusal> {
        let of = |entry: &&Entry| entry.id == id || entry.posting.refers_to == Some(id);
        sum(self.entries.iter().filter(of).map(|entry| entry.posting.amount.minor))
    }

    /// A person's correction of a charge.
    ///
    /// # Errors
    /// There is no such charge, or less of it is left than is to be given back.
    pub fn adjustment(&self, id: u64, give_back: i64) -> Result<Posting, Refusal> {
        let entry =
            self.entries.iter().find(|entry| entry.id == id && entry.posting.effect == Effect::Charge);
        let Some(entry) = entry else {
            return Err(Refusal::new(
                "refersTo",
                format!("entry {id} is no charge"),
                "name the charge to correct",
            ));
        };
        let left = self.left(id)?;
        if give_back <= 0 || give_back > left {
            return Err(Refusal::new(
                "amount",
                format!("{give_back} cannot be given back of the {left} that are left"),
                "give back something above zero and no more than is left",
            ));
        }
        let before = self.entries.iter().filter(|other| other.posting.refers_to == Some(id)).count();
        Ok(Posting {
            effect: Effect::Adjustment,
            revision: revision(before),
            refers_to: Some(id),
            amount: Money { minor: -give_back, ..entry.posting.amount },
            ..entry.posting.clone()
        })
    }
}

fn revision(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
