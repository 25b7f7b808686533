//! From what the journal has of a tenant to what the ledger is told of it; pure.
//!
//! Each event carries the id of the fact that it comes from, and facts come in the order in which the journal took them in. What is
//! made of the first facts stays as it is when more of them come, so the ledger can be told again at any time.

use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;
use tenantry_billing::Telling;
use tenantry_checklist::billing::{COUNTED, STORAGE, Terms};
use tenantry_crds::subscription::OperationKind;
use tenantry_crds::suspension::SuspensionReason;
use tenantry_journal::Entry;
use tenantry_ledger::event::{Change, Event, FinalUsage, Unused};
use tenantry_ledger::exact::Decimal;
use tenantry_ledger::history::Happening;

/// What the ledger is told of a tenant.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Feed {
    /// The account that pays.
    pub(crate) account: String,
    /// What happened.
    pub(crate) tellings: Vec<Telling>,
    /// Names of the price lists that this refers to.
    pub(crate) lists: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Changed {
    price_list: Option<String>,
}

#[derive(Deserialize)]
struct Suspended {
    reason: SuspensionReason,
}

#[derive(Deserialize)]
struct Operated {
    kind: OperationKind,
}

/// What comes of a tenant's facts; none as long as no charges began.
pub(crate) fn feed(entries: &[Entry]) -> Option<Feed> {
    let mut teller = Teller::default();
    for entry in entries {
        teller.take(entry);
    }
    teller.feed
}

/// Whether the ledger has to know of a fact of this kind.
pub(crate) fn concerns(entry: &Entry) -> bool {
    ["Charges", "PlanChange", "Suspension", "Operation"].contains(&entry.subject.as_str())
}

#[derive(Default)]
struct Teller {
    feed: Option<Feed>,
    since: Option<Timestamp>,
    /// Suspensions that hold, and whether their time is charged.
    holds: BTreeMap<String, bool>,
    /// Whether the plan costs nothing.
    is_free: bool,
    is_stopped: bool,
    is_over: bool,
    /// How many there are of each unit.
    quantities: BTreeMap<String, i64>,
    /// What was counted before it is known that charges began.
    early: Vec<Entry>,
}

impl Teller {
    fn take(&mut self, entry: &Entry) {
        match (entry.subject.as_str(), entry.outcome.as_str()) {
            ("Charges", "Began") if self.feed.is_none() => {
                let Terms { account, price_list, application } = read(entry).unwrap_or_default();
                self.since = Timestamp::from_second(entry.ended_at).ok();
                self.feed = Some(Feed { account, ..Feed::default() });
                self.refer(&price_list);
                self.tell(entry, "", Change::Start { application, price_list, quantities: BTreeMap::new() });
                for early in std::mem::take(&mut self.early) {
                    self.count(&early);
                }
                self.stop_or_go(entry);
            }
            // Of the facts of one moment this one may come before the one that charges began.
            ("Charges", COUNTED) if self.feed.is_none() => self.early.push(entry.clone()),
            ("Charges", COUNTED) => self.count(entry),
            ("PlanChange", "TookEffect") => {
                let Changed { price_list } = read(entry).unwrap_or_default();
                self.is_free = self.feed.is_some() && price_list.is_none();
                if let Some(price_list) = price_list {
                    self.refer(&price_list);
                    self.tell(entry, "", Change::ChangePlan { price_list });
                }
                self.stop_or_go(entry);
            }
            ("Suspension", "Suspended") => {
                let charged = read::<Suspended>(entry).is_some_and(|held| is_charged(held.reason));
                self.holds.insert(hold_of(entry), charged);
                self.stop_or_go(entry);
            }
            ("Suspension", "Lifted") => {
                self.holds.remove(&hold_of(entry));
                self.stop_or_go(entry);
            }
            ("Operation", "Began") if is_end(entry) => {
                self.tell(entry, "", Change::Cancel { unused: Unused::Credit, usage: FinalUsage::Charge });
                self.is_over = true;
            }
            _ => {}
        }
    }

    /// Tells of each unit of which there are more or less than before.
    fn count(&mut self, entry: &Entry) {
        let counted = read::<BTreeMap<String, i64>>(entry).unwrap_or_default();
        for (unit, count) in counted.into_iter().filter(|(unit, _)| unit != STORAGE) {
            if self.quantities.insert(unit.clone(), count).unwrap_or_default() != count {
                let what = format!("/{unit}");
                self.tell(entry, &what, Change::SetQuantity { unit, quantity: Decimal::integer(count) });
            }
        }
    }

    /// Stops charges or lets them go on, where that is another thing than before.
    fn stop_or_go(&mut self, entry: &Entry) {
        let stops = self.is_free || self.holds.values().any(|charged| !charged);
        if self.feed.is_none() || stops == self.is_stopped {
            return;
        }
        self.is_stopped = stops;
        match stops {
            true if self.is_free => self.tell(entry, "/stopped", Change::Pause),
            true => self.tell(entry, "/stopped", Change::Suspend { charged: false }),
            false => self.tell(entry, "/resumed", Change::Resume),
        }
    }

    fn refer(&mut self, price_list: &str) {
        if let Some(feed) = &mut self.feed
            && !feed.lists.iter().any(|known| known == price_list)
        {
            feed.lists.push(price_list.to_owned());
        }
    }

    fn tell(&mut self, entry: &Entry, what: &str, change: Change) {
        let at = Timestamp::from_second(entry.ended_at).unwrap_or(Timestamp::UNIX_EPOCH);
        // What happened before charges began is true from their begin on.
        let at = self.since.map_or(at, |since| at.max(since));
        if let Some(feed) = self.feed.as_mut().filter(|_| !self.is_over) {
            // Its number is given when it is kept.
            let event = Event { id: 0, subscription: entry.tenant.clone(), at, change };
            let happening = Happening { name: entry.subscription.clone(), event };
            feed.tellings.push(Telling { id: format!("{}{what}", entry.id), happening });
        }
    }
}

/// Whether the time of a suspension is charged: who did not pay, or misused the service, keeps what he has and owes it; where the
/// provider or the customer wants it so, nothing is charged.
fn is_charged(reason: SuspensionReason) -> bool {
    match reason {
        SuspensionReason::Billing | SuspensionReason::Abuse | SuspensionReason::Fraud => true,
        SuspensionReason::Compliance | SuspensionReason::Administrative | SuspensionReason::Customer => false,
    }
}

/// Which suspension a fact is about: its id without what came of it.
fn hold_of(entry: &Entry) -> String {
    entry.id.rsplit_once('/').map_or_else(String::new, |(hold, _)| hold.to_owned())
}

fn is_end(entry: &Entry) -> bool {
    read::<Operated>(entry).is_some_and(|operated| operated.kind == OperationKind::Offboard)
}

fn read<T: for<'de> Deserialize<'de>>(entry: &Entry) -> Option<T> {
    serde_json::from_str(&entry.evidence).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::billing::fixtures::entry;
    use serde_json::json;

    fn began(at: i64) -> Entry {
        let proof = json!({"account": "acme", "priceList": "gold@1", "application": "erp"});
        entry("charges/began", "Charges", "Began", at, &proof)
    }

    fn suspended(name: &str, reason: &str, at: i64) -> Entry {
        let key = format!("suspension/{name}/u-{name}/began");
        entry(&key, "Suspension", "Suspended", at, &json!({"reason": reason}))
    }

    fn lifted(name: &str, at: i64) -> Entry {
        entry(
            &format!("suspension/{name}/u-{name}/ended"),
            "Suspension",
            "Lifted",
            at,
            &json!({"name": name}),
        )
    }

    fn changed(generation: i64, price_list: Option<&str>, at: i64) -> Entry {
        let proof = price_list.map_or_else(|| json!({}), |list| json!({"priceList": list}));
        entry(&format!("plan-change/{generation}/ended"), "PlanChange", "TookEffect", at, &proof)
    }

    fn ended(at: i64) -> Entry {
        entry("operation/9/began", "Operation", "Began", at, &json!({"kind": "Offboard"}))
    }

    /// Id, second and kind of each event.
    fn told(entries: &[Entry]) -> Vec<String> {
        let feed = feed(entries).unwrap_or_default();
        let said = feed.tellings.iter().map(|telling| {
            let event = &telling.happening.event;
            let what = match &event.change {
                Change::Start { price_list, .. } => format!("start {price_list}"),
                Change::ChangePlan { price_list } => format!("change {price_list}"),
                Change::Suspend { charged: false } => "suspend".to_owned(),
                Change::Pause => "pause".to_owned(),
                Change::Resume => "resume".to_owned(),
                Change::SetQuantity { unit, quantity } => format!("{unit} {quantity}"),
                Change::Cancel { .. } => "cancel".to_owned(),
                other => format!("{other:?}"),
            };
            format!("{} {what} {}", event.at.as_second(), telling.id)
        });
        said.collect()
    }

    #[test]
    fn a_life_is_told_with_the_instants_at_which_it_happened() {
        let operation = entry("operation/1/began", "Operation", "Began", 5, &json!({"kind": "Provision"}));
        let entries =
            [operation, began(10), changed(4, Some("platinum@2"), 20), ended(30), changed(5, None, 40)];
        assert_eq!(
            told(&entries),
            [
                "10 start gold@1 t1/charges/began",
                "20 change platinum@2 t1/plan-change/4/ended",
                "30 cancel t1/operation/9/began",
            ]
        );
        assert_eq!(feed(&entries).unwrap().lists, ["gold@1", "platinum@2"]);
        assert_eq!(feed(&entries).unwrap().account, "acme");
        assert_eq!(feed(&entries[..1]), None, "nothing is charged yet");
    }

    #[test]
    fn what_is_counted_is_told_where_it_changes_and_never_before_charges_begin() {
        let counted = |revision: i64, seats: i64, users: i64, at: i64| {
            let proof = json!({"Seat": seats, "NamedUser": users, "ConcurrentUser": 0, "storageMiB": at});
            entry(&format!("charges/quantities/{revision}"), "Charges", "Counted", at, &proof)
        };
        let entries =
            [counted(1, 3, 120, 10), began(10), counted(2, 4, 120, 20), counted(3, 0, 120, 30), ended(40)];
        assert_eq!(told(&entries[..1]), Vec::<String>::new());
        assert_eq!(
            told(&entries),
            [
                "10 start gold@1 t1/charges/began",
                "10 NamedUser 120 t1/charges/quantities/1/NamedUser",
                "10 Seat 3 t1/charges/quantities/1/Seat",
                "20 Seat 4 t1/charges/quantities/2/Seat",
                "30 Seat 0 t1/charges/quantities/3/Seat",
                "40 cancel t1/operation/9/began",
            ]
        );
    }

    #[test]
    fn charges_stop_while_any_suspension_holds_that_is_not_the_customer_s_doing() {
        let entries = [
            began(10),
            suspended("debt", "Billing", 20),
            suspended("law", "Compliance", 30),
            suspended("wish", "Customer", 40),
            lifted("law", 50),
            lifted("wish", 60),
            lifted("debt", 70),
        ];
        assert_eq!(
            told(&entries),
            [
                "10 start gold@1 t1/charges/began",
                "30 suspend t1/suspension/law/u-law/began/stopped",
                "60 resume t1/suspension/wish/u-wish/ended/resumed",
            ]
        );
        for known in 1..entries.len() {
            let (some, all) = (told(&entries[..known]), told(&entries));
            assert!(all.starts_with(&some), "what was told stays: {some:?}");
        }
    }

    #[test]
    fn what_holds_when_charges_begin_stops_them_at_once() {
        let entries = [suspended("wish", "Customer", 5), began(10), lifted("wish", 20)];
        assert_eq!(
            told(&entries),
            [
                "10 start gold@1 t1/charges/began",
                "10 suspend t1/charges/began/stopped",
                "20 resume t1/suspension/wish/u-wish/ended/resumed",
            ]
        );
        // Told later than charges began, about a time before.
        let late = [began(10), suspended("wish", "Customer", 5)];
        assert_eq!(told(&late)[1], "10 suspend t1/suspension/wish/u-wish/began/stopped");
    }

    #[test]
    fn a_plan_without_prices_costs_nothing_for_as_long_as_it_lasts() {
        let entries = [changed(2, None, 5), began(10), changed(3, None, 20), changed(4, Some("gold@3"), 30)];
        assert_eq!(
            told(&entries),
            [
                "10 start gold@1 t1/charges/began",
                "20 pause t1/plan-change/3/ended/stopped",
                "30 change gold@3 t1/plan-change/4/ended",
                "30 resume t1/plan-change/4/ended/resumed",
            ]
        );
    }
}
