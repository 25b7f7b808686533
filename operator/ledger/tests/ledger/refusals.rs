//! Bad input is refused with its place, why, and what would be right; then nothing is computed.

use crate::shop::{Shop, list, monthly};
use serde_json::{Value, json};
use tenantry_ledger::exact::Decimal;
use tenantry_ledger::money::Currency;
use tenantry_ledger::refusal::Refusal;
use tenantry_ledger::tax::check_currency;

fn refused(shop: &Shop) -> Refusal {
    let refusal = shop.preview("2025-06-01").unwrap_err();
    assert!(!refusal.reason.is_empty() && !refusal.remedy.is_empty(), "{refusal:?}");
    refusal
}

fn with_charge(charge: Value) -> Shop {
    let mut shop = Shop::new(vec![list("silver", &[charge])]);
    shop.starts("one", "2025-01-01", "erp", "silver");
    shop
}

fn with_price(price: Value) -> Shop {
    let mut charge = monthly("base", "1.00");
    charge["price"] = price;
    with_charge(charge)
}

#[test]
fn prices_that_cannot_be_charged() {
    let at = "priceLists[silver].charges[base].";
    let tiers = |tiers: Value| json!({"model": "Graduated", "tiers": tiers});
    for (price, field, reason) in [
        (json!({"model": "Flat", "price": "1.005"}), "price", "1.005 has 3 decimals, EUR has 2"),
        (json!({"model": "Flat", "price": "-1.00"}), "price", "-1.00 is negative"),
        (
            json!({"model": "PerUnit", "price": "0.0000000000001"}),
            "price",
            "0.0000000000001 has 13 decimals, a unit price has 12",
        ),
        (json!({"model": "Package", "size": "0", "price": "1.00"}), "size", "0 units are no package"),
        (json!({"model": "Percentage", "percent": "-3"}), "percent", "-3 is negative"),
        (tiers(json!([])), "tiers", "there is none"),
        (
            tiers(json!([{"upTo": "10", "price": "1"}, {"upTo": "10", "price": "2"}, {"price": "3"}])),
            "tiers[1].upTo",
            "10 overlaps the tier before, which ends at 10",
        ),
        (
            tiers(json!([{"price": "1"}, {"price": "2"}])),
            "tiers[0].upTo",
            "the tiers after it are never reached",
        ),
        (
            tiers(json!([{"upTo": "10", "price": "1"}])),
            "tiers[0].upTo",
            "quantities above the last tier have no price",
        ),
        (tiers(json!([{"price": "1", "flat": "0.001"}])), "tiers[0].flat", "0.001 has 3 decimals, EUR has 2"),
    ] {
        let refusal = refused(&with_price(price));
        assert_eq!((refusal.field, refusal.reason), (format!("{at}{field}"), reason.to_owned()));
    }
}

#[test]
fn charges_and_phases_that_make_no_sense() {
    let mut nothing = monthly("base", "1.00");
    nothing["interval"]["count"] = 0.into();
    assert_eq!(refused(&with_charge(nothing)).field, "priceLists[silver].charges[base].interval.count");

    let mut shop = Shop::new(vec![list("silver", &[monthly("base", "1.00"), monthly("base", "2.00")])]);
    assert_eq!(refused(&shop).field, "priceLists[silver].charges[base]");

    shop.lists[0] = list("silver", &[monthly("base", "1.00")]);
    shop.lists[0]["phases"] = json!([{"length": {"unit": "Day", "count": 14}, "discount": "101"}]);
    assert_eq!(refused(&shop).field, "priceLists[silver].phases[0].discount");

    shop.lists[0]["phases"] = json!([{"length": {"unit": "Day", "count": 14}, "prices": {"bse": {"model": "Flat", "price": "1.00"}}}]);
    assert_eq!(refused(&shop).field, "priceLists[silver].phases[0].prices[bse]");

    shop.lists[0]["phases"] = json!([]);
    shop.lists[0]["currency"] = "CHF".into();
    assert_eq!(refused(&shop).reason, "prices are in CHF, the account is billed in EUR");
}

#[test]
fn a_time_zone_that_does_not_exist() {
    let mut shop = with_price(json!({"model": "Flat", "price": "1.00"}));
    shop.account["timeZone"] = "Europe/Zürich".into();
    let refusal = refused(&shop);
    assert_eq!(refusal.field, "account.timeZone");
    assert_eq!(
        refusal.to_string(),
        "account.timeZone: there is no time zone \"Europe/Zürich\"; write a name of the IANA database, like Europe/Zurich"
    );
}

#[test]
fn currencies() {
    for (code, reason) in [
        ("EUX", "there is no currency \"EUX\""),
        ("eur", "there is no currency \"eur\""),
        ("XAU", "XAU has no minor unit to invoice in"),
    ] {
        let refusal = Currency::parse("currency", code).unwrap_err();
        assert_eq!((refusal.field.as_str(), refusal.reason.as_str()), ("currency", reason));
    }
    let decimals = ["JPY", "EUR", "KWD"].map(|code| Currency::parse("currency", code).unwrap().decimals());
    assert_eq!(decimals, [0, 2, 3]);
    check_currency(Currency::parse("currency", "EUR").unwrap()).unwrap();
    let refusal = check_currency(Currency::parse("currency", "KWD").unwrap()).unwrap_err();
    assert_eq!(refusal.reason, "KWD has 3 decimals, EN 16931 knows two");
}

#[test]
fn numbers() {
    for text in ["", "-", "1.", ".5", "1e3", "1,000", "+1", " 1", "1.2.3", "٣", "1/2"] {
        assert_eq!(Decimal::parse("price", text).unwrap_err().field, "price", "{text:?}");
    }
    assert_eq!(Decimal::parse("price", &"9".repeat(41)).unwrap_err().reason, "41 digits are too many");
    for text in ["0", "-1.50", "249.00", "0.000000000001"] {
        assert_eq!(Decimal::parse("price", text).unwrap().to_string(), text);
    }
}

#[test]
fn events_that_cannot_have_happened() {
    let of = |events: &[(&str, Value)]| {
        let mut shop = Shop::new(vec![list("silver", &[monthly("base", "1.00")])]);
        for (day, change) in events {
            shop.happens("one", day, change.clone());
        }
        refused(&shop)
    };
    let start = json!({"type": "Start", "application": "erp", "priceList": "silver"});
    let cases = [
        (vec![("2025-01-01", json!({"type": "Pause"}))], "events[1]", "the subscription is not running"),
        (
            vec![("2025-01-01", start.clone()), ("2025-01-02", start.clone())],
            "events[2]",
            "the subscription was started before",
        ),
        (
            vec![
                ("2025-01-01", start.clone()),
                ("2025-01-02", json!({"type": "Cancel"})),
                ("2025-01-03", json!({"type": "Resume"})),
            ],
            "events[3]",
            "the subscription is not running",
        ),
        (
            vec![
                ("2025-01-01", start.clone()),
                ("2025-01-02", json!({"type": "SetQuantity", "unit": "seat", "quantity": "-1"})),
            ],
            "events[2].quantity",
            "-1 is negative",
        ),
        (
            vec![("2025-01-01", start.clone()), ("2025-01-02", json!({"type": "MoveAnchor", "day": 32}))],
            "events[2]",
            "no month has that day",
        ),
        (
            vec![("2025-01-01", json!({"type": "Start", "application": "erp", "priceList": "gold"}))],
            "priceList",
            "there is no price list \"gold\"",
        ),
        (
            vec![
                ("2025-01-01", start),
                ("2025-01-02", json!({"type": "Extra", "name": "training", "price": "0.001"})),
            ],
            "events[2].price",
            "0.001 has 3 decimals, EUR has 2",
        ),
    ];
    for (events, field, reason) in cases {
        let refusal = of(&events);
        assert_eq!((refusal.field.as_str(), refusal.reason.as_str()), (field, reason));
    }
}

#[test]
fn usage_below_zero() {
    let usage = json!({
        "name": "storage", "type": "Usage", "meter": "storage", "interval": {"unit": "Month", "count": 1},
        "aggregation": "Sum", "price": {"model": "PerUnit", "price": "0.1"},
    });
    let mut shop = with_charge(usage);
    shop.counts("2025-01-05T00:00:00Z", -1, "2025-01-05T00:00:00Z");
    assert_eq!(refused(&shop).field, "usage[0].quantity");
    shop.usage[0].revision = 1;
    assert_eq!(refused(&shop).reason, "corrections leave -1");
    shop.usage[0].quantity = i64::MAX;
    shop.counts("2025-01-05T01:00:00Z", i64::MAX, "2025-01-05T01:00:00Z");
    assert_eq!(refused(&shop).field, "amount");
}
