//! Laws that hold whatever happens to a subscription: each with ten thousand histories.

#[cfg(test)]
mod history;

use history::{Action, History, TERMS, history, local, total};
use proptest::prelude::*;
use tenantry_ledger::balance::Settlement;
use tenantry_ledger::calendar::{Cycle, Interval, Period, Unit};
use tenantry_ledger::diff::diff;
use tenantry_ledger::exact::{Decimal, Exact, whole};
use tenantry_ledger::ledger::{Effect, Ledger};
use tenantry_ledger::lines::lines;
use tenantry_ledger::money::{round_minor, split};
use tenantry_ledger::price::{Price, Tier};
use tenantry_ledger::profile::TENANTRY;
use tenantry_ledger::tax::{Rate, totals};

fn config() -> ProptestConfig {
    ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    /// Cutting a period anywhere changes what it costs by at most a minor unit for each further part.
    #[test]
    fn parts_cost_what_the_whole_costs(
        price in 0_i64..10_000_000,
        months in 1_u16..=12,
        begin in 0_i32..2_000,
        mut cuts in prop::collection::vec(1_i32..400, 0..5),
    ) {
        let cycle = Cycle::new(local(begin), Interval::of(months, Unit::Month));
        let period = cycle.period(0).unwrap();
        cuts.sort_unstable();
        let mut edges = vec![period.from];
        edges.extend(cuts.iter().map(|cut| local(begin + cut)).filter(|at| *at < period.to));
        edges.dedup();
        edges.push(period.to);
        let parts: Vec<Exact> =
            edges.windows(2).map(|pair| TENANTRY.ratio(Period::new(pair[0], pair[1]), period)).collect();
        let sum: i64 = parts.iter().map(|part| round_minor(&(whole(price) * part)).unwrap()).sum();
        prop_assert!((sum - price).unsigned_abs() < parts.len() as u64, "{sum} of {price}");
        prop_assert_eq!(split(price, &parts).unwrap().iter().sum::<i64>(), price);
    }

    /// An upgrade that is taken back on the same day nets to nothing, even if both were posted.
    #[test]
    fn up_and_down_on_one_day_is_nothing(history in history(), day in 0_i32..120) {
        let (catalogue, mut events, mut ledger) = (history.catalogue(), history.events(), Ledger::default());
        let run = |events: &[_], ledger: &mut Ledger| {
            let postings = diff(&lines(events, &catalogue, &history.usage(), local(history.until)).unwrap(), ledger, &TENANTRY);
            ledger.post(postings.unwrap());
        };
        run(&events, &mut ledger);
        let before = ledger.total().unwrap();
        let plan = history.plan_on(day);
        for (id, plan) in [(1_000, "promo"), (1_001, plan)] {
            events.push(history.change(id, day, plan));
            run(&events, &mut ledger);
        }
        prop_assert_eq!(ledger.total().unwrap(), before);
    }

    /// The order in which events become known changes nothing: neither the lines nor what the ledger adds up to.
    #[test]
    fn told_in_any_order_the_ledger_is_the_same(history in history(), seed in prop::collection::vec(0_u32..1_000, 10)) {
        let (catalogue, events) = (history.catalogue(), history.events());
        let as_of = local(history.until);
        let in_order = lines(&events, &catalogue, &history.usage(), as_of).unwrap();
        // The start is known first; the others in an order of their own, each with a run after it.
        let (start, others) = events.split_first().unwrap();
        let mut others: Vec<_> = others.iter().zip(seed.iter().cycle()).collect();
        others.sort_by_key(|(event, seed)| (**seed, event.id));
        let mut known = vec![start.clone()];
        let mut ledger = Ledger::default();
        for event in others.into_iter().map(|(event, _)| Some(event.clone())).chain([None]) {
            if let Ok(lines) = lines(&known, &catalogue, &history.usage(), as_of) {
                ledger.post(diff(&lines, &ledger, &TENANTRY).unwrap());
            }
            known.extend(event);
        }
        prop_assert_eq!(&lines(&known, &catalogue, &history.usage(), as_of).unwrap(), &in_order);
        ledger.post(diff(&in_order, &ledger, &TENANTRY).unwrap());
        prop_assert_eq!(ledger.total().unwrap(), total(&in_order));
    }

    /// No charge is ever given back beyond what it was, also where a person gave some of it back before.
    #[test]
    fn credits_never_exceed_their_charge(history in history(), by_hand in prop::collection::vec((0_usize..8, 1_i64..100), 0..3)) {
        let catalogue = history.catalogue();
        let mut ledger = Ledger::default();
        for (run, known) in history.as_it_became_known().into_iter().enumerate() {
            let lines = lines(&known, &catalogue, &history.usage(), local(history.until)).unwrap();
            ledger.post(diff(&lines, &ledger, &TENANTRY).unwrap());
            for (entry, percent) in by_hand.iter().filter(|(entry, _)| entry % 2 == run % 2) {
                let charge = ledger.entries().iter().filter(|entry| entry.posting.effect == Effect::Charge).nth(*entry);
                let Some(charge) = charge else { continue };
                let amount = charge.posting.amount.minor * percent / 100;
                if let Ok(posting) = ledger.adjustment(charge.id, amount) {
                    ledger.post(vec![posting]);
                }
            }
        }
        for entry in ledger.entries().iter().filter(|entry| entry.posting.effect == Effect::Charge) {
            prop_assert!(ledger.left(entry.id).unwrap() >= 0, "{entry:?}");
        }
    }

    /// What was billed is what was paid, drawn and put on the account; and an account never owes itself.
    #[test]
    fn billed_less_paid_is_the_balance(grosses in prop::collection::vec(-1_000_000_i64..1_000_000, 0..30), wallet in 0_i64..500_000) {
        let (mut balance, mut wallet_left, mut paid) = (0, wallet, 0);
        for gross in &grosses {
            let settled = Settlement::of(*gross, balance, wallet_left);
            prop_assert_eq!(*gross, settled.payable + settled.wallet + settled.drawn - settled.surplus);
            balance += settled.change();
            wallet_left -= settled.wallet;
            paid += settled.payable + settled.wallet;
            prop_assert!(balance >= 0 && wallet_left >= 0 && settled.payable >= 0);
        }
        prop_assert_eq!(grosses.iter().sum::<i64>(), paid - balance);
    }

    /// A phase without a price changes nothing: what follows a trial is what a start at its end gives.
    #[test]
    fn a_trial_changes_nothing(history in history(), days in 1_u16..60) {
        let with_trial = History { trial: Some(days), actions: Vec::new(), end: None, ..history.clone() };
        let without = History { start: history.start + i32::from(days), trial: None, ..with_trial.clone() };
        let recurring = |history: &History| {
            let lines = lines(&history.events(), &history.catalogue(), &[], local(history.until)).unwrap();
            let kept = lines.into_iter().filter(|line| line.key.kind == tenantry_ledger::line::Kind::Recurring);
            kept.map(|line| (line.key.charge, line.key.period, line.net.minor)).collect::<Vec<_>>()
        };
        prop_assert_eq!(recurring(&with_trial), recurring(&without));
    }

    /// Running at every boundary, or once at the end: the ledger adds up to the lines, and there is nothing left to post.
    #[test]
    fn replaying_the_log_is_the_ledger(history in history(), mut runs in prop::collection::vec(0_i32..200, 0..6)) {
        let (catalogue, events, usage) = (history.catalogue(), history.events(), history.usage());
        runs.push(history.until);
        runs.retain(|run| *run <= history.until);
        runs.sort_unstable();
        let mut ledger = Ledger::default();
        for run in runs {
            let postings = diff(&lines(&events, &catalogue, &usage, local(run)).unwrap(), &ledger, &TENANTRY).unwrap();
            prop_assert!(postings.iter().all(|posting| posting.effect == Effect::Charge), "nothing new was told: {postings:?}");
            ledger.post(postings);
        }
        let lines = lines(&events, &catalogue, &usage, local(history.until)).unwrap();
        prop_assert_eq!(ledger.total().unwrap(), total(&lines));
        prop_assert_eq!(diff(&lines, &ledger, &TENANTRY).unwrap(), Vec::new());
    }

    /// After a difference was posted there is none, whatever became known since.
    #[test]
    fn posting_twice_posts_nothing(history in history()) {
        let catalogue = history.catalogue();
        let mut ledger = Ledger::default();
        for known in history.as_it_became_known() {
            let lines = lines(&known, &catalogue, &history.usage(), local(history.until)).unwrap();
            ledger.post(diff(&lines, &ledger, &TENANTRY).unwrap());
            prop_assert_eq!(diff(&lines, &ledger, &TENANTRY).unwrap(), Vec::new());
            prop_assert_eq!(ledger.total().unwrap(), total(&lines));
            let mut keys: Vec<_> = ledger.entries().iter().map(|entry| (&entry.posting.key, entry.posting.effect == Effect::Charge, entry.posting.revision)).collect();
            keys.sort();
            let all = keys.len();
            keys.dedup();
            prop_assert_eq!(keys.len(), all, "a natural key was used twice");
        }
    }

    /// A quantity charged in two parts of a period costs what it costs at once, under every model.
    #[test]
    fn models_go_on_where_a_period_was_cut(price in price(), first in 0_i64..5_000, second in 0_i64..5_000) {
        let (first, second) = (whole(first), whole(second));
        let parts = price.amount(&first) + price.rate(Some(&first), &second).amount;
        prop_assert_eq!(parts, price.amount(&(first + second)));
    }

    /// Tax by category is the same in any order of lines, and its base is the sum of them.
    #[test]
    fn tax_adds_up(lines in prop::collection::vec((0_usize..3, -100_000_i64..1_000_000), 0..20)) {
        let rates = ["0", "7.7", "19"].map(|percent| Rate { category: "S".to_owned(), percent: Decimal::parse("rate", percent).unwrap(), reason: None });
        let of = |lines: &[(usize, i64)]| totals(lines.iter().map(|(rate, net)| (&rates[*rate], *net))).unwrap();
        let mut turned = lines.clone();
        turned.reverse();
        prop_assert_eq!(of(&lines), of(&turned));
        prop_assert_eq!(of(&lines).iter().map(|total| total.base).sum::<i64>(), lines.iter().map(|(_, net)| net).sum::<i64>());
    }
}

fn price() -> impl Strategy<Value = Price> {
    let number = |high: i64| (0..high).prop_map(Decimal::integer);
    let size = || (1_i64..200).prop_map(Decimal::integer);
    let tiers = (prop::collection::vec((1_i64..1_000, 0_i64..50, 0_i64..50), 0..4), 0_i64..50, 0_i64..50);
    let tiers = tiers.prop_map(|(rising, price, flat)| {
        let mut border = 0;
        let mut tiers: Vec<Tier> = Vec::new();
        for (width, price, flat) in rising {
            border += width;
            tiers.push(Tier {
                up_to: Some(Decimal::integer(border)),
                price: Decimal::integer(price),
                flat: Decimal::integer(flat),
                block: None,
            });
        }
        tiers.push(Tier {
            up_to: None,
            price: Decimal::integer(price),
            flat: Decimal::integer(flat),
            block: None,
        });
        tiers
    });
    prop_oneof![
        number(1_000).prop_map(|price| Price::Flat { price }),
        number(1_000).prop_map(|price| Price::PerUnit { price }),
        (size(), number(1_000)).prop_map(|(size, price)| Price::Package { size, price }),
        tiers.clone().prop_map(|tiers| Price::Graduated { tiers }),
        tiers.prop_map(|tiers| Price::Volume { tiers }),
        (number(100), number(1_000)).prop_map(|(percent, free)| Price::Percentage { percent, free }),
        (size(), number(1_000), prop::option::of(number(10)))
            .prop_map(|(size, price, overage)| Price::PrepaidBlock { size, price, overage }),
    ]
}

/// The generator reaches what the laws are about; otherwise they would hold for want of cases.
#[test]
fn histories_are_eventful() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let histories: Vec<History> =
        (0..500).map(|_| history().new_tree(&mut runner).unwrap().current()).collect();
    let with = |test: fn(&Action) -> bool| {
        histories.iter().filter(|history| history.actions.iter().any(|(_, action)| test(action))).count()
    };
    assert!(with(|action| matches!(action, Action::Plan(_))) > 100);
    assert!(with(|action| matches!(action, Action::Pause)) > 50);
    assert!(histories.iter().filter(|history| history.end.is_some()).count() > 50);
    assert!(histories.iter().filter(|history| history.trial.is_some()).count() > 50);
    assert!(TERMS.len() > 1);
}
