//! Laws of intake: what is counted does not depend on how often, in which order and when it is told.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;
use tenantry_ledger::catalogue::{Account, Catalogue, PriceList};
use tenantry_ledger::event::{Change, Event, Usage};
use tenantry_ledger::lines::lines;
use tenantry_ledger::profile::TENANTRY;
use tenantry_metering::cloud_event::CloudEvent;
use tenantry_metering::hours::{end_of, hour_of, revisions};
use tenantry_metering::intake::{Count, Meter, Meters, TYPE, Verdict, judge};
use tenantry_metering::reserved::{Hourly, Level, hours};
use tenantry_metering::used::Measure;

fn begin() -> Timestamp {
    "2026-12-01T00:00:00Z".parse().unwrap()
}

fn after(seconds: i64) -> Timestamp {
    begin().checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

fn meters() -> Meters {
    Meters::from([("calls".to_owned(), Meter { unit: "Request".to_owned(), is_told: true })])
}

/// So many of an event's id, the second at which it happened, and how much.
type Told = (u8, i64, i64);

fn event(told: Told) -> CloudEvent {
    let (id, second, quantity) = told;
    CloudEvent {
        id: id.to_string(),
        source: "web".to_owned(),
        kind: TYPE.to_owned(),
        subject: None,
        time: Some(after(second).to_string()),
        data: json!({"meter": "calls", "quantity": quantity, "unit": "Request"}),
    }
}

/// A store in memory: what was counted by id, and what the ledger was told of each hour.
#[derive(Default)]
struct Store {
    counts: BTreeMap<String, Count>,
    aside: BTreeSet<String>,
    ledger: Vec<Usage>,
}

impl Store {
    fn tell(&mut self, told: Told, received: Timestamp) -> Verdict {
        let event = event(told);
        let verdict = judge(&event, &meters(), self.counts.get(&event.id), received);
        match &verdict {
            Verdict::Accepted { count, .. } => drop(self.counts.insert(event.id, count.clone())),
            Verdict::Quarantined(_) => drop(self.aside.insert(format!("{event:?}"))),
            Verdict::Duplicate => {}
        }
        verdict
    }

    /// Tells the ledger what it does not have of the hours that are over.
    fn roll_up(&mut self, now: Timestamp) {
        let mut over: BTreeMap<Timestamp, i128> = BTreeMap::new();
        for count in self.counts.values().filter(|count| end_of(count.at) <= now) {
            *over.entry(hour_of(count.at)).or_default() += i128::from(count.quantity);
        }
        for (at, told) in over {
            let known = self.ledger.iter().filter(|usage| usage.at == at);
            let next = u32::try_from(known.clone().count()).unwrap();
            let known = known.map(|usage| i128::from(usage.quantity)).sum();
            let new = revisions(told, known, next).into_iter().map(|(revision, quantity)| Usage {
                subscription: "t1".to_owned(),
                meter: "calls".to_owned(),
                at,
                quantity,
                revision,
                received: now,
            });
            self.ledger.extend(new);
        }
    }

    /// What the ledger charges for it.
    fn charged(&self) -> Vec<String> {
        let month = json!({"unit": "Month", "count": 1});
        let list: PriceList = serde_json::from_value(json!({
            "id": "gold@1", "currency": "EUR",
            "charges": [{"name": "calls", "type": "Usage", "meter": "calls", "interval": month, "aggregation": "Sum",
                "price": {"model": "PerUnit", "price": "0.013"}}],
        }))
        .unwrap();
        let account: Account =
            serde_json::from_value(json!({"id": "acme", "currency": "EUR", "timeZone": "Europe/Zurich"}))
                .unwrap();
        let catalogue = Catalogue::new(account, vec![list], Vec::new(), TENANTRY).unwrap();
        let start = Change::Start {
            application: "erp".to_owned(),
            price_list: "gold@1".to_owned(),
            quantities: BTreeMap::new(),
        };
        let events = [Event { id: 1, subscription: "t1".to_owned(), at: after(-3600), change: start }];
        let as_of = "2027-03-01T00:00:00".parse().unwrap();
        let lines = lines(&events, &catalogue, &self.ledger, as_of).unwrap();
        lines.iter().map(|line| format!("{:?} {} {:?}", line.key, line.quantity, line.net)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Told three times in another order, with the ledger told in between, it is the same ledger.
    #[test]
    fn replay_changes_nothing(
        told in vec((any::<u8>(), 0..40 * 86_400_i64, 0..1_000_i64), 1..60),
        order in vec(any::<prop::sample::Index>(), 180..=180),
        rolled in vec(any::<bool>(), 180..=180),
    ) {
        // One event an id.
        let told: Vec<Told> = told.into_iter().map(|one| (one.0, one)).collect::<BTreeMap<_, _>>().into_values().collect();
        let now = after(40 * 86_400);
        let mut once = Store::default();
        for one in &told {
            once.tell(*one, now);
        }
        once.roll_up(now);
        let mut thrice = Store::default();
        let mut all: Vec<Told> = [&told[..], &told[..], &told[..]].concat();
        for (turn, index) in order.iter().enumerate() {
            if all.is_empty() {
                break;
            }
            let one = all.swap_remove(index.index(all.len()));
            thrice.tell(one, now);
            if rolled[turn] {
                thrice.roll_up(now);
            }
        }
        thrice.roll_up(now);
        prop_assert_eq!(&once.counts, &thrice.counts);
        prop_assert_eq!(&once.aside, &thrice.aside);
        prop_assert_eq!(once.charged(), thrice.charged());
    }

    /// What was used is a whole number within half a unit of what was measured, or nothing is told; more is never less.
    #[test]
    fn what_was_used_is_rounded_once_or_not_told(bits in any::<u64>(), other in any::<u64>(), which in 0..4_usize) {
        let measure = Measure::ALL[which];
        let (one, two) = (f64::from_bits(bits), f64::from_bits(other));
        let scale = match measure {
            Measure::Cpu => 1000.0,
            Measure::Memory | Measure::Storage => 60.0 / 1_048_576.0,
            Measure::Egress => 1.0,
        };
        if let Ok(count) = measure.count(one) {
            prop_assert!((0..(1_i64 << 53)).contains(&count));
            let off = (count as f64 - one * scale).abs();
            prop_assert!(off <= 0.5 * (1.0 + f64::EPSILON * one * scale), "{} of {} is off by {}", count, one, off);
        } else {
            prop_assert!(!one.is_finite() || one < 0.0 || one * scale > 9_007_199_254_740_990.0, "{}", one);
        }
        if let (Ok(low), Ok(high)) = (measure.count(one.min(two)), measure.count(one.max(two))) {
            prop_assert!(low <= high);
        }
    }

    /// The usual numbers of an hour, of which random bits are seldom one.
    #[test]
    fn what_an_hour_usually_has_is_told(number in 0.0..1e12_f64, which in 0..4_usize) {
        prop_assert!(Measure::ALL[which].count(number).is_ok());
    }

    /// Nothing is dropped: each event that was told is counted or kept aside.
    #[test]
    fn everything_is_somewhere(told in vec((0..20_u8, -86_400..80 * 86_400_i64, -5..1_000_i64), 1..60), seconds in 0..80 * 86_400_i64) {
        let mut store = Store::default();
        for one in &told {
            match store.tell(*one, after(seconds)) {
                Verdict::Accepted { count, .. } => prop_assert_eq!(&store.counts[&one.0.to_string()], &count),
                Verdict::Duplicate => prop_assert_eq!(store.counts[&one.0.to_string()].quantity, one.2),
                Verdict::Quarantined(_) => {
                    let kept = format!("{:?}", event(*one));
                    prop_assert!(store.aside.contains(&kept));
                }
            }
        }
    }

    /// Computed at once, in parts, or anew from any hour on, an hour is the same, and together they are what was there.
    #[test]
    fn what_was_reserved_is_the_same_however_it_is_computed(
        changes in vec((0..40 * 3_600_i64, 0..5_000_i64), 1..12),
        cut in 0..48_i64,
        highest in any::<bool>(),
    ) {
        let how = if highest { Hourly::Highest } else { Hourly::Seconds };
        let levels: Vec<Level> = changes.iter().map(|(at, level)| Level { at: after(*at), level: *level }).collect();
        let (from, to, between) = (begin(), after(48 * 3_600), after(cut * 3_600));
        let all = hours(&levels, how, from, to);
        let mut parts = hours(&levels, how, from, between);
        parts.extend(hours(&levels, how, between, to));
        prop_assert_eq!(&all, &parts);
        if !highest {
            let mut sorted = levels;
            sorted.sort_by_key(|level| level.at);
            let ends = sorted.iter().skip(1).map(|level| level.at).chain([to]);
            let there: i128 = sorted
                .iter()
                .zip(ends)
                .map(|(level, end)| i128::from(level.level) * i128::from(end.as_second() - level.at.as_second()))
                .sum();
            prop_assert_eq!(all.values().sum::<i128>(), there);
        }
    }
}
