//! Histories of a subscription, made at random.

use std::collections::BTreeMap;

use jiff::ToSpan as _;
use jiff::civil::{DateTime, date};
use proptest::prelude::*;
use tenantry_ledger::calendar::{Interval, Unit};
use tenantry_ledger::catalogue::{
    Account, Aggregation, Alignment, Catalogue, Charge, ChargeKind, Commitment, EarlyEnd, Phase, PriceList,
    Timing, UnitRounding,
};
use tenantry_ledger::event::{Change, Event, FinalUsage, Unused, Usage};
use tenantry_ledger::exact::Decimal;
use tenantry_ledger::line::Line;
use tenantry_ledger::money::Currency;
use tenantry_ledger::price::Price;
use tenantry_ledger::profile::TENANTRY;

/// The plans that histories change between; the last one is only taken by a law.
pub(crate) const TERMS: [&str; 4] = ["silver", "gold", "platinum", "promo"];

/// Something that happens on a day.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Plan(usize),
    Quantity(i64),
    Pause,
    Suspend,
    Resume,
}

/// What happens to one subscription.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) prices: [i64; 4],
    pub(crate) arrears: bool,
    pub(crate) months: u16,
    pub(crate) start: i32,
    pub(crate) anchor: Option<i32>,
    pub(crate) trial: Option<u16>,
    pub(crate) commitment: Option<i64>,
    pub(crate) actions: Vec<(i32, Action)>,
    pub(crate) end: Option<i32>,
    pub(crate) used: Vec<(i32, i64)>,
    pub(crate) until: i32,
}

/// A day, counted from the begin of a leap year.
pub(crate) fn local(day: i32) -> DateTime {
    date(2024, 1, 1).checked_add(day.days()).unwrap().into()
}

fn instant(day: i32) -> jiff::Timestamp {
    jiff::tz::TimeZone::UTC.to_timestamp(local(day)).unwrap()
}

/// What lines add up to.
pub(crate) fn total(lines: &[Line]) -> i64 {
    lines.iter().map(|line| line.net.minor).sum()
}

/// Any history.
pub(crate) fn history() -> impl Strategy<Value = History> {
    let action = prop_oneof![
        4 => (0_usize..3).prop_map(Action::Plan),
        2 => (0_i64..20).prop_map(Action::Quantity),
        1 => Just(Action::Pause),
        1 => Just(Action::Suspend),
        2 => Just(Action::Resume),
    ];
    let terms = (
        [1_i64..200_000, 1_i64..200_000, 1_i64..5_000, 1_i64..200_000],
        any::<bool>(),
        prop::sample::select(vec![1_u16, 3, 12]),
        prop::option::of(-40_i32..40),
        prop::option::weighted(0.3, 1_u16..40),
        prop::option::weighted(0.3, 0_i64..300_000),
    );
    let happens = (
        0_i32..40,
        prop::collection::vec((0_i32..160, action), 0..6),
        prop::option::weighted(0.4, 1_i32..160),
        prop::collection::vec((0_i32..160, 0_i64..5_000), 0..6),
        90_i32..150,
    );
    (terms, happens).prop_map(
        |((prices, arrears, months, anchor, trial, commitment), (start, actions, end, used, until))| {
            History { prices, arrears, months, start, anchor, trial, commitment, actions, end, used, until }
        },
    )
}

impl History {
    /// The prices of the history.
    pub(crate) fn catalogue(&self) -> Catalogue {
        let currency = Currency::parse("currency", "EUR").unwrap();
        let month = |count| Interval::of(count, Unit::Month);
        let cents =
            |cents: i64| Decimal::parse("price", &format!("{}.{:02}", cents / 100, cents % 100)).unwrap();
        let charge =
            |name: &str, kind, price| Charge { name: name.to_owned(), kind, price, tax: String::new() };
        let lists = TERMS.iter().zip(self.prices).map(|(id, price)| PriceList {
            id: (*id).to_owned(),
            currency,
            charges: vec![
                charge(
                    "base",
                    ChargeKind::Recurring {
                        interval: month(self.months),
                        timing: if self.arrears { Timing::Arrears } else { Timing::Advance },
                        unit: None,
                        included: Decimal::zero(),
                    },
                    Price::Flat { price: cents(price) },
                ),
                charge(
                    "seats",
                    ChargeKind::Recurring {
                        interval: month(1),
                        timing: Timing::Advance,
                        unit: Some("seat".to_owned()),
                        included: Decimal::integer(2),
                    },
                    Price::PerUnit { price: cents(price / 7 + 1) },
                ),
                charge(
                    "storage",
                    ChargeKind::Usage {
                        meter: "storage".to_owned(),
                        interval: month(1),
                        aggregation: Aggregation::Sum,
                        per: Decimal::integer(10),
                        rounding: UnitRounding::Up,
                        included: Decimal::integer(5),
                    },
                    Price::PerUnit { price: cents(price / 100) },
                ),
            ],
            phases: self.trial.map(|days| Phase::trial(Interval::of(days, Unit::Day))).into_iter().collect(),
            commitment: self.commitment.map(|amount| Commitment {
                amount: cents(amount),
                interval: month(1),
                early_end: EarlyEnd::Prorate,
                tax: String::new(),
            }),
        });
        let account = Account {
            id: "account".to_owned(),
            currency,
            time_zone: "UTC".to_owned(),
            anchor: self.anchor.map(|day| local(day).date()),
            alignment: Alignment::Account,
        };
        Catalogue::new(account, lists.collect(), Vec::new(), TENANTRY).unwrap()
    }

    fn event(id: u64, day: i32, change: Change) -> Event {
        Event { id, subscription: "subscription".to_owned(), at: instant(day), change }
    }

    /// A change of plan.
    pub(crate) fn change(&self, id: u64, day: i32, plan: &str) -> Event {
        let last = self.end.map_or(i32::MAX, |end| self.start + end - 1);
        Self::event(
            id,
            (self.start + day).min(last).max(self.start),
            Change::ChangePlan { price_list: plan.to_owned() },
        )
    }

    /// The plan in force after everything that happens on a day.
    pub(crate) fn plan_on(&self, day: i32) -> &'static str {
        let day = day.min(self.end.map_or(i32::MAX, |end| end - 1)).max(0);
        let mut plans: Vec<(i32, usize)> = Vec::new();
        for (at, action) in &self.actions {
            if let Action::Plan(plan) = action
                && *at <= day
            {
                plans.push((*at, *plan));
            }
        }
        plans.sort_by_key(|(at, _)| *at);
        TERMS[plans.last().map_or(0, |(_, plan)| *plan)]
    }

    /// The event log, the start first.
    pub(crate) fn events(&self) -> Vec<Event> {
        let quantities = BTreeMap::from([("seat".to_owned(), Decimal::integer(5))]);
        let start =
            Change::Start { application: "erp".to_owned(), price_list: TERMS[0].to_owned(), quantities };
        let mut events = vec![Self::event(1, self.start, start)];
        for (place, (day, action)) in self.actions.iter().enumerate() {
            if self.end.is_some_and(|end| *day >= end) {
                continue;
            }
            let change = match action {
                Action::Plan(plan) => Change::ChangePlan { price_list: TERMS[*plan].to_owned() },
                Action::Quantity(quantity) => {
                    Change::SetQuantity { unit: "seat".to_owned(), quantity: Decimal::integer(*quantity) }
                }
                Action::Pause => Change::Pause,
                Action::Suspend => Change::Suspend { charged: true },
                Action::Resume => Change::Resume,
            };
            events.push(Self::event(place as u64 + 2, self.start + day, change));
        }
        if let Some(end) = self.end {
            let change = Change::Cancel { unused: Unused::Credit, usage: FinalUsage::Charge };
            events.push(Self::event(500, self.start + end, change));
        }
        events
    }

    /// What was known after each event was told, in the order of their numbers and not of their days.
    pub(crate) fn as_it_became_known(&self) -> Vec<Vec<Event>> {
        let events = self.events();
        (1..=events.len()).map(|known| events[..known].to_vec()).collect()
    }

    /// What the meter counted.
    pub(crate) fn usage(&self) -> Vec<Usage> {
        let record = |(day, quantity): &(i32, i64)| Usage {
            subscription: "subscription".to_owned(),
            meter: "storage".to_owned(),
            at: instant(self.start + day),
            quantity: *quantity,
            revision: 0,
            received: instant(self.start + day),
        };
        self.used.iter().map(record).collect()
    }
}
