//! What a tenant's months come to, told as it happens.

use crate::shop::{Shop, list, monthly, on};
use serde_json::json;
use tenantry_ledger::breaker;
use tenantry_ledger::event::Event;
use tenantry_ledger::ledger::{Effect, Ledger};
use tenantry_ledger::metered::quarantined;
use tenantry_ledger::profile::OPEN_METER;

fn plan(id: &str) -> serde_json::Value {
    json!({"type": "ChangePlan", "priceList": id})
}

#[test]
fn an_upgrade_credits_the_rest_and_charges_the_new_plan() {
    let mut shop = Shop::new(vec![
        list("silver", &[monthly("base", "99.00")]),
        list("gold", &[monthly("base", "249.00")]),
    ]);
    shop.starts("one", "2025-01-10", "erp", "silver");
    assert_eq!(shop.run("2025-01-10"), ["one base 2025-01-10..2025-02-01 70.26 EUR"]);
    assert_eq!(shop.run("2025-02-01"), ["one base 2025-02-01..2025-03-01 99.00 EUR"]);
    shop.happens("one", "2025-02-15", plan("gold"));
    assert_eq!(
        shop.run("2025-02-15"),
        ["credit one base 2025-02-15..2025-03-01 -49.50 EUR", "one base 2025-02-15..2025-03-01 124.50 EUR"]
    );
    assert_eq!(shop.run("2025-02-15"), Vec::<String>::new());
}

#[test]
fn a_cancellation_keeps_or_credits_what_was_paid_ahead() {
    for (unused, wanted) in
        [("Credit", vec!["credit one base 2025-01-22..2025-02-01 -32.26 EUR"]), ("Keep", vec![])]
    {
        let mut shop = Shop::new(vec![list("silver", &[monthly("base", "100.00")])]);
        shop.starts("one", "2025-01-01", "erp", "silver");
        shop.run("2025-01-01");
        shop.happens("one", "2025-01-22", json!({"type": "Cancel", "unused": unused}));
        assert_eq!(shop.run("2025-01-22"), wanted);
        assert_eq!(shop.run("2025-03-01"), Vec::<String>::new());
    }
}

#[test]
fn seats_above_those_included_cost_from_the_day_they_are_ordered() {
    let seats = json!({
        "name": "seats", "type": "Recurring", "interval": {"unit": "Month", "count": 1}, "timing": "Advance",
        "unit": "seat", "included": "25", "price": {"model": "PerUnit", "price": "6.50"},
    });
    let setup = json!({"name": "setup", "type": "OneTime", "price": {"model": "Flat", "price": "150.00"}});
    let mut shop = Shop::new(vec![list("gold", &[monthly("base", "249.00"), seats, setup])]);
    let start =
        json!({"type": "Start", "application": "erp", "priceList": "gold", "quantities": {"seat": "25"}});
    shop.happens("one", "2025-01-01", start);
    assert_eq!(
        shop.run("2025-01-01"),
        ["one base 2025-01-01..2025-02-01 249.00 EUR", "one setup 2025-01-01 150.00 EUR"]
    );
    shop.happens("one", "2025-01-17", json!({"type": "SetQuantity", "unit": "seat", "quantity": "35"}));
    assert_eq!(shop.run("2025-01-17"), ["one seats 2025-01-17..2025-02-01 31.45 EUR"]);
    // What changed for the seats does not cut the base fee, also where both are billed at once.
    shop.ledger = Ledger::default();
    assert_eq!(
        shop.run("2025-01-17"),
        [
            "one base 2025-01-01..2025-02-01 249.00 EUR",
            "one seats 2025-01-17..2025-02-01 31.45 EUR",
            "one setup 2025-01-01 150.00 EUR",
        ]
    );
}

#[test]
fn the_account_s_zone_decides_the_day() {
    let mut shop = Shop::new(vec![list("silver", &[monthly("base", "31.00")])]);
    shop.events.push(Event {
        id: 1,
        subscription: "one".to_owned(),
        at: "2025-01-30T23:30:00Z".parse().unwrap(),
        change: serde_json::from_value(json!({"type": "Start", "application": "erp", "priceList": "silver"}))
            .unwrap(),
    });
    assert_eq!(shop.run("2025-01-31"), ["one base 2025-01-31..2025-02-01 1.00 EUR"]);
}

#[test]
fn seconds_are_charged_where_seconds_are_measured() {
    let mut shop = Shop::new(vec![list("silver", &[monthly("base", "31.00")])]);
    shop.profile = OPEN_METER;
    shop.account["timeZone"] = "UTC".into();
    shop.starts("one", "2025-01-31", "erp", "silver");
    let postings = shop.preview("2025-02-01").unwrap();
    // Thirteen hours of the last day.
    assert_eq!(postings[0].amount.minor, 54);
}

#[test]
fn a_bundle_is_counted_over_the_account_and_ends_when_one_of_it_goes() {
    let mut shop = Shop::new(vec![
        list("silver", &[monthly("base", "100.00")]),
        list("wiki", &[monthly("base", "50.00")]),
    ]);
    shop.bundles = vec![json!({"name": "suite", "applications": ["erp", "wiki"], "percent": "20"})];
    shop.starts("one", "2025-01-01", "erp", "silver");
    assert_eq!(shop.run("2025-01-01"), ["one base 2025-01-01..2025-02-01 100.00 EUR"]);
    shop.starts("two", "2025-01-16", "wiki", "wiki");
    assert_eq!(
        shop.run("2025-01-16"),
        [
            "credit one base 2025-01-16..2025-02-01 -51.61 EUR",
            "one base 2025-01-16..2025-02-01 41.29 EUR",
            "two base 2025-01-16..2025-02-01 20.65 EUR",
        ]
    );
    assert_eq!(
        shop.run("2025-02-01"),
        ["one base 2025-02-01..2025-03-01 80.00 EUR", "two base 2025-02-01..2025-03-01 40.00 EUR"]
    );
    shop.happens("two", "2025-02-15", json!({"type": "Cancel"}));
    assert_eq!(
        shop.run("2025-02-15"),
        [
            "credit one base 2025-02-15..2025-03-01 -40.00 EUR",
            "credit two base 2025-02-15..2025-03-01 -20.00 EUR",
            "one base 2025-02-15..2025-03-01 50.00 EUR",
        ]
    );
}

#[test]
fn platinum_at_the_price_of_silver_from_a_monthly_minimum_on() {
    let mut shop = Shop::new(vec![
        list("silver", &[monthly("base", "100.00")]),
        list("platinum", &[monthly("base", "400.00")]),
    ]);
    shop.starts("one", "2025-01-01", "erp", "platinum");
    let promotion = json!({
        "type": "Promote", "name": "platinum for silver", "atPricesOf": "silver", "minimum": "150.00",
        "interval": {"unit": "Month", "count": 1}, "term": {"unit": "Year", "count": 1}, "clawBack": "50",
    });
    shop.happens("one", "2025-01-01", promotion);
    assert_eq!(shop.run("2025-01-01"), ["one base 2025-01-01..2025-02-01 100.00 EUR"]);
    assert_eq!(
        shop.run("2025-02-01"),
        [
            "one base 2025-02-01..2025-03-01 100.00 EUR",
            "one platinum for silver 2025-01-01..2025-02-01 50.00 EUR"
        ]
    );
    shop.happens("one", "2025-03-01", json!({"type": "EndPromotion"}));
    // 600.00 were granted in two months, 306 of 365 days of the term are not served, and half of that share is owed.
    assert_eq!(
        shop.run("2025-03-01"),
        [
            "one base 2025-03-01..2025-04-01 400.00 EUR",
            "one platinum for silver 2025-02-01..2025-03-01 50.00 EUR",
            "one platinum for silver 2025-03-01 251.51 EUR",
        ]
    );
}

#[test]
fn a_trial_promises_nothing() {
    let mut list = list("silver", &[monthly("base", "30.00")]);
    list["phases"] = json!([
        {"length": {"unit": "Day", "count": 31}, "discount": "100"},
        {"length": {"unit": "Month", "count": 1}, "discount": "50"},
    ]);
    list["commitment"] = json!({"amount": "100.00", "interval": {"unit": "Month", "count": 1}});
    let mut shop = Shop::new(vec![list]);
    shop.starts("one", "2025-01-01", "erp", "silver");
    assert_eq!(shop.run("2025-02-01"), ["one base 2025-02-01..2025-03-01 15.00 EUR"]);
    let second =
        ["one base 2025-03-01..2025-04-01 30.00 EUR", "one commitment 2025-02-01..2025-03-01 85.00 EUR"];
    assert_eq!(shop.run("2025-03-01"), second);
}

#[test]
fn a_commitment_is_filled_up_and_prorated_or_owed_in_full_at_the_end() {
    // Half of March's base fee stayed, 14.52; 15 of 31 days of the minimum are 48.39.
    for (early_end, filled) in [("Prorate", "33.87"), ("Full", "85.48")] {
        let mut shop = Shop::new(vec![{
            let mut list = list("silver", &[monthly("base", "30.00")]);
            list["commitment"] =
                json!({"amount": "100.00", "interval": {"unit": "Month", "count": 1}, "earlyEnd": early_end});
            list
        }]);
        shop.starts("one", "2025-01-01", "erp", "silver");
        shop.run("2025-01-01");
        assert_eq!(
            shop.run("2025-02-01"),
            ["one base 2025-02-01..2025-03-01 30.00 EUR", "one commitment 2025-01-01..2025-02-01 70.00 EUR"]
        );
        shop.run("2025-03-01");
        shop.happens("one", "2025-03-16", json!({"type": "Cancel"}));
        let run = shop.run("2025-03-16");
        assert_eq!(run[0], "credit one base 2025-03-16..2025-04-01 -15.48 EUR");
        assert_eq!(run[1], format!("one commitment 2025-03-01..2025-03-16 {filled} EUR"));
    }
}

fn storage() -> serde_json::Value {
    json!({
        "name": "storage", "type": "Usage", "meter": "storage", "interval": {"unit": "Month", "count": 1},
        "aggregation": "Sum", "per": "1000", "rounding": "Up", "included": "10",
        "price": {"model": "Graduated", "tiers": [{"upTo": "90", "price": "0.5"}, {"price": "0.1", "flat": "1.00"}]},
    })
}

#[test]
fn usage_is_converted_rounded_freed_and_then_priced() {
    let mut shop = Shop::new(vec![list("silver", &[storage()])]);
    shop.starts("one", "2025-01-01", "erp", "silver");
    // 110.001 thousands are 111, 101 after those included: 90 at 0.5, 11 at 0.1 and the second tier's entry.
    shop.counts("2025-01-05T00:00:00Z", 110_001, "2025-01-05T01:00:00Z");
    assert_eq!(shop.run("2025-02-01"), ["one storage 2025-01-01..2025-02-01 47.10 EUR"]);
}

#[test]
fn a_month_without_usage_is_rated_once() {
    let mut shop = Shop::new(vec![list("silver", &[storage()])]);
    shop.starts("one", "2025-01-01", "erp", "silver");
    assert_eq!(shop.run("2025-02-01"), ["one storage 2025-01-01..2025-02-01 0.00 EUR"]);
    assert_eq!(shop.run("2025-02-02"), Vec::<String>::new());
}

#[test]
fn late_usage_is_a_new_line_with_the_old_dates_and_too_late_is_kept_aside() {
    let mut shop = Shop::new(vec![list("silver", &[storage()])]);
    shop.starts("one", "2025-01-01", "erp", "silver");
    shop.counts("2025-01-05T00:00:00Z", 20_000, "2025-01-05T01:00:00Z");
    assert_eq!(shop.run("2025-02-01"), ["one storage 2025-01-01..2025-02-01 5.00 EUR"]);
    shop.counts("2025-01-31T00:00:00Z", 4_000, "2025-02-20T00:00:00Z");
    shop.counts("2025-01-07T00:00:00Z", 8_000, "2025-02-20T00:00:00Z");
    assert_eq!(
        shop.run("2025-03-01"),
        ["one storage 2025-01-01..2025-02-01 2.00 EUR", "one storage 2025-02-01..2025-03-01 0.00 EUR"]
    );
    let revision = shop.ledger.entries()[1].posting.revision;
    assert_eq!(revision, 1);
    let late = quarantined(&shop.events, &shop.catalogue().unwrap(), &shop.usage).unwrap();
    assert_eq!(late.iter().map(|record| record.quantity).collect::<Vec<_>>(), [8_000]);
}

#[test]
fn a_corrected_count_is_credited() {
    let mut shop = Shop::new(vec![list("silver", &[storage()])]);
    shop.starts("one", "2025-01-01", "erp", "silver");
    shop.counts("2025-01-05T00:00:00Z", 20_000, "2025-01-05T01:00:00Z");
    shop.run("2025-02-01");
    shop.counts("2025-01-05T00:00:00Z", -6_000, "2025-02-03T00:00:00Z");
    shop.usage[1].revision = 1;
    assert_eq!(shop.run("2025-02-03"), ["credit one storage 2025-01-01..2025-02-01 -3.00 EUR"]);
}

#[test]
fn an_adjustment_by_hand_is_never_charged_again_and_limits_credits() {
    let mut shop = Shop::new(vec![list("silver", &[monthly("base", "31.00")])]);
    shop.starts("one", "2025-01-01", "erp", "silver");
    shop.run("2025-01-01");
    let adjustment = shop.ledger.adjustment(1, 2_500).unwrap();
    shop.ledger.post(vec![adjustment]);
    assert_eq!(shop.run("2025-01-15"), Vec::<String>::new());
    let refused = shop.ledger.adjustment(1, 601).unwrap_err();
    assert_eq!(refused.field, "amount");
    shop.happens("one", "2025-01-11", json!({"type": "Cancel"}));
    assert_eq!(shop.run("2025-01-15"), ["credit one base 2025-01-11..2025-02-01 -6.00 EUR"]);
    assert_eq!(shop.run("2025-01-16"), Vec::<String>::new());
}

#[test]
fn breakers_park_what_no_history_gives() {
    let mut shop = Shop::new(vec![list("silver", &[monthly("base", "31.00")])]);
    shop.starts("one", "2025-01-01", "erp", "silver");
    let postings = shop.preview("2025-01-01").unwrap();
    breaker::check(&postings, &shop.ledger, 1).unwrap();
    let twice = [postings.clone(), postings.clone()].concat();
    let refused = breaker::check(&twice, &shop.ledger, 1).unwrap_err();
    assert_eq!(refused.reason, "base is charged twice from 2025-01-01T00:00:00");
    let months = shop.preview("2026-06-01").unwrap();
    assert_eq!(breaker::check(&months, &shop.ledger, 1).unwrap_err().field, "subscriptions[one]");
    breaker::check(&months, &shop.ledger, 18).unwrap();
    assert!(months.iter().all(|posting| posting.effect == Effect::Charge));
    assert_eq!(months.last().unwrap().key.period.from, on("2026-06-01"));
}

#[test]
fn what_a_charge_costs_at_all_is_owed_once_in_a_period_that_was_cut() {
    let block = json!({
        "name": "storage", "type": "Usage", "meter": "storage", "interval": {"unit": "Month", "count": 1},
        "aggregation": "Sum", "price": {"model": "PrepaidBlock", "size": "100", "price": "20.00", "overage": "0.50"},
    });
    let mut shop = Shop::new(vec![list("silver", &[block])]);
    shop.starts("one", "2025-01-01", "erp", "silver");
    shop.happens("one", "2025-01-10", json!({"type": "Pause"}));
    shop.happens("one", "2025-01-20", json!({"type": "Resume"}));
    shop.counts("2025-01-12T00:00:00Z", 1_000, "2025-01-12T00:00:00Z");
    shop.counts("2025-01-25T00:00:00Z", 110, "2025-01-25T00:00:00Z");
    assert_eq!(
        shop.run("2025-02-01"),
        ["one storage 2025-01-01..2025-01-10 20.00 EUR", "one storage 2025-01-20..2025-02-01 5.00 EUR"]
    );
}

#[test]
fn periods_count_from_the_end_of_the_trial() {
    let mut silver = list("silver", &[monthly("base", "30.00")]);
    silver["phases"] = json!([
        {"length": {"unit": "Day", "count": 14}, "discount": "100"},
        {"length": {"unit": "Month", "count": 1}, "discount": "50"},
    ]);
    let mut shop = Shop::new(vec![silver, list("gold", &[monthly("base", "60.00")])]);
    shop.account["anchor"] = serde_json::Value::Null;
    shop.starts("one", "2025-01-17", "erp", "silver");
    let anchor = tenantry_ledger::lines::anchor(&shop.events, &shop.catalogue().unwrap()).unwrap();
    assert_eq!(anchor, Some("2025-01-31".parse().unwrap()));
    assert_eq!(shop.run("2025-01-30"), Vec::<String>::new());
    assert_eq!(shop.run("2025-01-31"), ["one base 2025-01-31..2025-02-28 15.00 EUR"]);
    assert_eq!(shop.run("2025-02-28"), ["one base 2025-02-28..2025-03-31 30.00 EUR"]);
}
