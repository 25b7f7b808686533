//! Documents of an account with one or two tenants, made by runs over random histories.

use jiff::ToSpan as _;
use jiff::civil::{Date, date};
use proptest::prelude::*;
use serde_json::{Value, json};
use tenantry_ledger::document::Document;
use tenantry_ledger::event::{Event, Usage};
use tenantry_ledger::history::{Fact, Happening, History};
use tenantry_ledger::run::{Counted, next_boundary, run};

/// What happens to a tenant on a day of the year.
#[derive(Clone, Debug)]
pub(crate) struct Happens {
    tenant: u8,
    day: i64,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Plan(bool),
    Seats(u32),
    Extra(u32),
    Count(u32),
    End,
}

/// The account of a random history.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    currency: &'static str,
    category: &'static str,
    prices: [u32; 3],
    coupon: Option<u8>,
    happens: Vec<Happens>,
}

/// Any life of an account, over half a year.
pub(crate) fn life() -> impl Strategy<Value = Life> {
    let what = prop_oneof![
        3 => any::<bool>().prop_map(What::Plan),
        3 => (0_u32..40).prop_map(What::Seats),
        1 => (1_u32..90_000).prop_map(What::Extra),
        3 => (1_u32..5_000).prop_map(What::Count),
        1 => Just(What::End),
    ];
    let happens = (0_u8..2, 1_i64..170, what).prop_map(|(tenant, day, what)| Happens { tenant, day, what });
    (
        prop::sample::select(vec!["EUR", "CHF", "JPY"]),
        prop::sample::select(vec!["S", "Z", "E", "AE", "G", "O"]),
        [1_u32..50_000, 1_u32..9_000, 1_u32..500],
        prop::option::of(1_u8..60),
        prop::collection::vec(happens, 0..10),
    )
        .prop_map(|(currency, category, prices, coupon, happens)| Life {
            currency,
            category,
            prices,
            coupon,
            happens,
        })
}

/// What holds for an account whose issuer charges taxes of a category, beside one of seven percent.
pub(crate) fn agreement(currency: &str, category: &str) -> Value {
    let percent = if category == "S" { "19" } else { "0" };
    let reason = (category == "E").then_some("Training is exempt, § 4 Nr. 21 UStG");
    let is_taxed = category != "O";
    let vat = |number: &str| is_taxed.then(|| number.to_owned());
    // What is outside the scope of tax stands on a document by itself.
    let other = if is_taxed {
        json!({"name": "reduced", "category": "S", "percent": "7"})
    } else {
        json!({"name": "reduced", "category": "O", "percent": "0"})
    };
    json!({
        "account": {"id": "acme", "currency": currency, "timeZone": "Europe/Zurich"},
        "seller": {
            "name": "Orderly Hosting AG", "address": ["Hauptstrasse 1", "8000 Zürich"], "country": "CH",
            "vatId": vat("CHE123456789"), "registration": "CH-020.3.001.234-5", "email": "billing@orderly.example",
        },
        "buyer": {
            "name": "Acme <Handel> & Söhne", "address": ["Hof 3", "Hinterhaus", "10115 Berlin", "Tor 2"], "country": "DE",
            "vatId": vat("DE123456789"),
        },
        "series": {"invoice": "INV", "creditNote": "CN"},
        "paymentDays": 30,
        "payment": ["IBAN CH93 0076 2011 6238 5295 7"],
        "rates": [
            {"name": "standard", "category": category, "percent": percent, "reason": reason},
            other,
        ],
    })
}

impl Life {
    /// What the ledger invoices of it until July.
    pub(crate) fn documents(&self) -> Vec<Document> {
        let mut history = History::new(7);
        let mut agreed = agreement(self.currency, self.category);
        agreed["coupons"] = self.coupon.map_or_else(
            || json!([]),
            |percent| json!([{"name": "spring", "off": {"Percent": percent.to_string()}, "target": "All"}]),
        );
        history.apply(Fact::Agreed(Box::new(serde_json::from_value(agreed).unwrap())));
        for (name, times) in [("silver", 1), ("gold", 3)] {
            history.apply(Fact::Priced(serde_json::from_value(self.list(name, times)).unwrap()));
        }
        let mut usage = Vec::new();
        let mut happens = self.happens.clone();
        happens.sort_by_key(|happens| happens.day);
        let mut ended = [false; 2];
        for tenant in 0..2_u8 {
            let start = json!({"type": "Start", "application": "erp", "priceList": "silver", "quantities": {"seat": "3"}});
            tell(&mut history, tenant, 0, start);
        }
        for Happens { tenant, day, what } in happens {
            if ended[usize::from(tenant)] {
                continue;
            }
            match what {
                What::Plan(is_gold) => {
                    let list = if is_gold { "gold" } else { "silver" };
                    tell(&mut history, tenant, day, json!({"type": "ChangePlan", "priceList": list}));
                }
                What::Seats(seats) => {
                    let change =
                        json!({"type": "SetQuantity", "unit": "seat", "quantity": seats.to_string()});
                    tell(&mut history, tenant, day, change);
                }
                What::Extra(minor) => {
                    let change = json!({"type": "Extra", "name": "training", "price": self.price(minor), "tax": "reduced"});
                    tell(&mut history, tenant, day, change);
                }
                What::Count(quantity) => usage.push(Usage {
                    subscription: format!("t{tenant}"),
                    meter: "storage".to_owned(),
                    at: instant(day),
                    quantity: quantity.into(),
                    revision: 0,
                    received: instant(day),
                }),
                What::End => {
                    ended[usize::from(tenant)] = true;
                    tell(&mut history, tenant, day, json!({"type": "Cancel"}));
                }
            }
        }
        let mut documents = Vec::new();
        let until: Date = date(2026, 7, 1);
        while let Some(boundary) = next_boundary(&history).unwrap().filter(|at| at.date() <= until) {
            let closing = run(&history, Counted { usage: &usage, known: 0 }, boundary).unwrap();
            documents.extend(closing.document.clone());
            history.apply(Fact::Closed(Box::new(closing)));
        }
        documents
    }

    fn price(&self, minor: u32) -> String {
        if self.currency == "JPY" { minor.to_string() } else { format!("{}.{:02}", minor / 100, minor % 100) }
    }

    fn list(&self, name: &str, times: u32) -> Value {
        let [base, seat, storage] = self.prices.map(|price| self.price(price * times));
        let month = json!({"unit": "Month", "count": 1});
        json!({"id": name, "currency": self.currency, "charges": [
            {"name": "base", "type": "Recurring", "interval": month, "timing": "Advance", "tax": "standard",
             "price": {"model": "Flat", "price": base}},
            {"name": "seats", "type": "Recurring", "interval": month, "timing": "Advance", "unit": "seat", "tax": "standard",
             "price": {"model": "PerUnit", "price": seat}},
            {"name": "storage", "type": "Usage", "meter": "storage", "interval": month, "aggregation": "Sum", "per": "7",
             "rounding": "Up", "tax": "reduced", "price": {"model": "PerUnit", "price": storage}},
        ]})
    }
}

fn instant(day: i64) -> jiff::Timestamp {
    let day = date(2026, 1, 1).checked_add(day.days()).unwrap();
    format!("{day}T11:00:00Z").parse().unwrap()
}

fn tell(history: &mut History, tenant: u8, day: i64, change: Value) {
    let event = Event {
        id: history.next_event(),
        subscription: format!("t{tenant}"),
        at: instant(day),
        change: serde_json::from_value(change).unwrap(),
    };
    history.apply(Fact::Happened(Happening { name: format!("tenant-{tenant}"), event }));
}
