//! An account's log, told as a store tells it: facts in order, and boundary by boundary.

use jiff::civil::DateTime;
use serde_json::{Value, json};
use tenantry_ledger::agreement::Agreement;
use tenantry_ledger::catalogue::PriceList;
use tenantry_ledger::document::Document;
use tenantry_ledger::event::{Event, Usage};
use tenantry_ledger::history::{Closing, Fact, Happening, History, chained};
use tenantry_ledger::refusal::Refusal;
use tenantry_ledger::run::{Counted, next_boundary, run};

use crate::shop::on;

/// An account's log and what it folds to.
pub(crate) struct Book {
    pub(crate) facts: Vec<Fact>,
    pub(crate) history: History,
    pub(crate) usage: Vec<Usage>,
    known: usize,
}

pub(crate) fn agreement() -> Value {
    json!({
        "account": {"id": "acme", "currency": "EUR", "timeZone": "Europe/Zurich"},
        "seller": {"name": "Orderly Hosting AG", "address": ["Hauptstrasse 1", "8000 Zürich"], "country": "CH"},
        "buyer": {"name": "Acme Ltd", "country": "DE"},
        "series": {"invoice": "INV", "creditNote": "CN"},
        "paymentDays": 30,
        "rates": [{"name": "", "category": "S", "percent": "20"}],
    })
}

pub(crate) fn read_agreement(value: Value) -> Agreement {
    serde_json::from_value(value).unwrap()
}

impl Book {
    pub(crate) fn new(lists: &[Value]) -> Self {
        Self::under(agreement(), lists)
    }

    pub(crate) fn under(agreement: Value, lists: &[Value]) -> Self {
        let mut book = Self { facts: Vec::new(), history: History::new(3), usage: Vec::new(), known: 0 };
        book.tell(Fact::Agreed(Box::new(read_agreement(agreement))));
        for list in lists {
            let list: PriceList = serde_json::from_value(list.clone()).unwrap();
            book.tell(Fact::Priced(list));
        }
        book
    }

    /// As a store does: only what can be read back is known.
    pub(crate) fn tell(&mut self, fact: Fact) {
        let fact = Fact::read(fact.kind(), &fact.text().unwrap()).unwrap();
        self.facts.push(fact.clone());
        self.history.apply(fact);
    }

    pub(crate) fn happening(&self, day: &str, change: Value) -> Happening {
        let event = Event {
            id: self.history.next_event(),
            subscription: "t1".to_owned(),
            at: format!("{day}T11:00:00Z").parse().unwrap(),
            change: serde_json::from_value(change).unwrap(),
        };
        Happening { name: "acme".to_owned(), event }
    }

    pub(crate) fn happens(&mut self, day: &str, change: Value) {
        let happening = self.happening(day, change);
        self.tell(Fact::Happened(happening));
    }

    pub(crate) fn starts(&mut self, day: &str, price_list: &str) {
        self.happens(day, json!({"type": "Start", "application": "erp", "priceList": price_list}));
    }

    pub(crate) fn counted(&self) -> Counted<'_> {
        Counted { usage: &self.usage, known: self.known }
    }

    pub(crate) fn run(&self, boundary: DateTime) -> Result<Closing, Refusal> {
        run(&self.history, self.counted(), boundary)
    }

    /// Catches up, boundary by boundary, and gives each one's date, number, gross and payable.
    pub(crate) fn catch_up(&mut self, until: &str) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(boundary) = next_boundary(&self.history).unwrap().filter(|at| *at <= on(until)) {
            let closing = self.run(boundary).unwrap();
            said.push(match &closing.document {
                None => format!("{}: nothing", boundary.date()),
                Some(document) => {
                    format!(
                        "{}: {} {} {}",
                        document.issued, document.number, document.gross, document.payable
                    )
                }
            });
            self.known = self.usage.len();
            self.tell(Fact::Closed(Box::new(closing)));
        }
        said
    }

    pub(crate) fn last_document(&self) -> &Document {
        let mut documents = self.facts.iter().filter_map(|fact| match fact {
            Fact::Closed(closing) => closing.document.as_ref(),
            _ => None,
        });
        documents.next_back().unwrap()
    }

    pub(crate) fn hash(&self) -> String {
        self.facts.iter().fold(String::new(), |hash, fact| chained(&hash, fact.kind(), &fact.text().unwrap()))
    }
}
