//! A provider's catalogue and an account's event log, written as a store keeps them: JSON.

use jiff::civil::{Date, DateTime};
use serde_json::{Value, json};
use tenantry_ledger::catalogue::{Account, Bundle, Catalogue, PriceList};
use tenantry_ledger::diff::diff;
use tenantry_ledger::event::{Event, Usage};
use tenantry_ledger::ledger::{Effect, Ledger, Posting};
use tenantry_ledger::lines::lines;
use tenantry_ledger::profile::{Profile, TENANTRY};
use tenantry_ledger::refusal::Refusal;

/// An account with everything that prices it.
pub(crate) struct Shop {
    pub(crate) account: Value,
    pub(crate) lists: Vec<Value>,
    pub(crate) bundles: Vec<Value>,
    pub(crate) events: Vec<Event>,
    pub(crate) usage: Vec<Usage>,
    pub(crate) profile: Profile,
    pub(crate) ledger: Ledger,
}

/// A day at midnight.
pub(crate) fn on(text: &str) -> DateTime {
    text.parse::<Date>().unwrap().into()
}

/// A monthly charge in advance.
pub(crate) fn monthly(name: &str, price: &str) -> Value {
    json!({
        "name": name, "type": "Recurring", "interval": {"unit": "Month", "count": 1}, "timing": "Advance",
        "price": {"model": "Flat", "price": price},
    })
}

/// A price list in euros.
pub(crate) fn list(id: &str, charges: &[Value]) -> Value {
    json!({"id": id, "currency": "EUR", "charges": charges})
}

impl Shop {
    /// An account in Zurich, billed in euros from the first of January on.
    pub(crate) fn new(lists: Vec<Value>) -> Self {
        Self {
            account: json!({"id": "acme", "currency": "EUR", "timeZone": "Europe/Zurich", "anchor": "2025-01-01"}),
            lists,
            bundles: Vec::new(),
            events: Vec::new(),
            usage: Vec::new(),
            profile: TENANTRY,
            ledger: Ledger::default(),
        }
    }

    pub(crate) fn catalogue(&self) -> Result<Catalogue, Refusal> {
        let lists: Vec<PriceList> =
            self.lists.iter().map(|list| serde_json::from_value(list.clone()).unwrap()).collect();
        let bundles: Vec<Bundle> =
            self.bundles.iter().map(|bundle| serde_json::from_value(bundle.clone()).unwrap()).collect();
        let account: Account = serde_json::from_value(self.account.clone()).unwrap();
        Catalogue::new(account, lists, bundles, self.profile)
    }

    /// Something happens to a subscription, at noon in Zurich's winter.
    pub(crate) fn happens(&mut self, subscription: &str, day: &str, change: Value) {
        self.events.push(Event {
            id: self.events.len() as u64 + 1,
            subscription: subscription.to_owned(),
            at: format!("{day}T11:00:00Z").parse().unwrap(),
            change: serde_json::from_value(change).unwrap(),
        });
    }

    /// A subscription starts.
    pub(crate) fn starts(&mut self, subscription: &str, day: &str, application: &str, price_list: &str) {
        let change = json!({"type": "Start", "application": application, "priceList": price_list});
        self.happens(subscription, day, change);
    }

    /// A meter counts.
    pub(crate) fn counts(&mut self, at: &str, quantity: i64, received: &str) {
        self.usage.push(Usage {
            subscription: "one".to_owned(),
            meter: "storage".to_owned(),
            at: at.parse().unwrap(),
            quantity,
            revision: 0,
            received: received.parse().unwrap(),
        });
    }

    /// What a run would post.
    pub(crate) fn preview(&self, day: &str) -> Result<Vec<Posting>, Refusal> {
        let lines = lines(&self.events, &self.catalogue()?, &self.usage, on(day))?;
        diff(&lines, &self.ledger, &self.profile)
    }

    /// Posts, and says what: charge, dates and minor units.
    pub(crate) fn run(&mut self, day: &str) -> Vec<String> {
        let postings = self.preview(day).unwrap();
        let said = postings.iter().map(said).collect();
        self.ledger.post(postings);
        said
    }
}

/// A posting in one line.
pub(crate) fn said(posting: &Posting) -> String {
    let period = posting.key.period;
    let days = if period.is_empty() {
        period.from.date().to_string()
    } else {
        format!("{}..{}", period.from.date(), period.to.date())
    };
    let effect = match posting.effect {
        Effect::Charge => "",
        Effect::Credit => "credit ",
        Effect::Adjustment => "adjustment ",
    };
    format!("{effect}{} {} {days} {}", posting.key.subscription, posting.key.charge, posting.amount)
}
