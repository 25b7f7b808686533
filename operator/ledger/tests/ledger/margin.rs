//! What is left of what was sold: tables, and laws over any tenants.

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tenantry_ledger::exact::Decimal;
use tenantry_ledger::margin::{
    Amount, CostRate, Life, Resource, Sale, Share, Stretch, shares, together, totals,
};
use tenantry_ledger::money::{Currency, Money};

fn currency(code: &str) -> Currency {
    Currency::parse("currency", code).unwrap()
}

fn cores() -> Resource {
    Resource::Cpu { servers: "hall".to_owned() }
}

fn mails() -> Resource {
    Resource::Meter { application: "mail".to_owned(), meter: "messages".to_owned() }
}

fn rate(resource: Resource, from: Option<&str>, per: &str, cost: &str, code: &str) -> CostRate {
    CostRate {
        resource,
        from: from.map(|day| day.parse().unwrap()),
        per: Decimal::parse("per", per).unwrap(),
        cost: Decimal::parse("cost", cost).unwrap(),
        currency: currency(code),
    }
}

fn hour(text: &str, resource: Resource, quantity: i128) -> Amount {
    Amount { resource, at: text.parse().unwrap(), quantity }
}

fn plans(stretches: &[(&str, &str)]) -> Vec<Stretch> {
    let stretch =
        |(from, plan): &(&str, &str)| Stretch { from: from.parse().unwrap(), plan: (*plan).to_owned() };
    stretches.iter().map(stretch).collect()
}

fn sale(plan: Option<&str>, from: &str, to: &str, minor: i64, code: &str) -> Sale {
    Sale {
        plan: plan.map(str::to_owned),
        from: from.parse::<Date>().unwrap().into(),
        to: to.parse::<Date>().unwrap().into(),
        net: Money { minor, currency: currency(code) },
    }
}

const DECEMBER: [Date; 2] = [date(2026, 12, 1), date(2027, 1, 1)];

#[test]
fn a_core_for_an_hour_costs_what_holds_on_its_day_by_the_account_s_clock() {
    let zurich = TimeZone::get("Europe/Zurich").unwrap();
    let rates = [
        rate(cores(), None, "3600000", "0.02", "EUR"),
        rate(cores(), Some("2026-12-02"), "3600000", "0.05", "EUR"),
        rate(mails(), None, "1000", "0.4", "EUR"),
    ];
    let plans = plans(&[("2026-11-01T00:00:00Z", "silver"), ("2026-12-10T12:30:00Z", "gold")]);
    let amounts = [
        // Before the first of December in Zurich, and just after it began there.
        hour("2026-11-30T22:00:00Z", cores(), 3_600_000),
        hour("2026-11-30T23:00:00Z", cores(), 2 * 3_600_000),
        hour("2026-12-01T22:00:00Z", cores(), 3_600_000),
        hour("2026-12-01T23:00:00Z", cores(), 3_600_000),
        // An hour counts for the plan that was there when it began.
        hour("2026-12-10T12:00:00Z", mails(), 1_000),
        hour("2026-12-10T13:00:00Z", mails(), 12),
        hour("2026-12-31T23:00:00Z", mails(), 9_999),
    ];
    let life = Life { plans: &plans, amounts: &amounts, sales: &[], zone: &zurich };
    let shares = shares(life, &rates, DECEMBER).unwrap();
    let [gold, silver] = shares.as_slice() else { panic!("{shares:?}") };
    assert_eq!((gold.plan.as_str(), silver.plan.as_str()), ("gold", "silver"));
    assert_eq!(silver.used, BTreeMap::from([(cores(), 4 * 3_600_000), (mails(), 1_000)]));
    let euro = currency("EUR");
    // 3 hours at 0.02 and one at 0.05; 12 of 1,000 at 0.4 are half a cent, which is rounded away from zero.
    assert_eq!(silver.costs, BTreeMap::from([((cores(), euro), 11), ((mails(), euro), 40)]));
    assert_eq!(gold.costs, BTreeMap::from([((mails(), euro), 0)]));
    assert!(silver.unpriced.is_empty() && gold.unpriced.is_empty());
}

#[test]
fn what_was_sold_counts_in_the_time_that_it_is_for() {
    let sales = [
        // A year ahead: 31 of 365 days of 3,650.00.
        sale(Some("gold"), "2026-12-01", "2027-12-01", 365_000, "EUR"),
        // Half of it is before, and the rest is not asked for.
        sale(Some("gold"), "2026-11-21", "2026-12-11", 1_001, "EUR"),
        // Sold once, given back, of another currency, and of another time.
        sale(None, "2026-12-24", "2026-12-24", 15_000, "EUR"),
        sale(Some("silver"), "2026-12-05", "2026-12-15", -100, "EUR"),
        sale(Some("gold"), "2026-12-05", "2026-12-06", 70, "CHF"),
        sale(Some("gold"), "2027-01-01", "2027-02-01", 9_999, "EUR"),
        sale(None, "2027-01-01", "2027-01-01", 9_999, "EUR"),
    ];
    let plans = plans(&[("2026-11-01T00:00:00Z", "gold")]);
    let life = Life { plans: &plans, amounts: &[], sales: &sales, zone: &TimeZone::UTC };
    let shares = shares(life, &[], DECEMBER).unwrap();
    let sold = |plan: &str| &shares.iter().find(|share| share.plan == plan).unwrap().sold;
    let (euro, franc) = (currency("EUR"), currency("CHF"));
    // Of 10.01 the first half is 5.01, so that the second is 5.00.
    assert_eq!(*sold("gold"), BTreeMap::from([(franc, 70), (euro, 31_000 + 500 + 15_000)]));
    assert_eq!(*sold("silver"), BTreeMap::from([(euro, -100)]));
    let totals = totals(&shares).unwrap();
    let said: Vec<_> =
        totals.iter().map(|one| (one.currency.code(), one.sold, one.cost, one.margin)).collect();
    assert_eq!(said, [("CHF", 70, 0, 70), ("EUR", 46_400, 0, 46_400)]);
}

#[test]
fn what_costs_nothing_that_is_known_is_named_and_currencies_stay_apart() {
    let rates = [
        rate(cores(), None, "1", "0.01", "EUR"),
        rate(cores(), None, "1", "0.03", "CHF"),
        rate(cores(), Some("2026-12-01"), "1", "0.02", "EUR"),
        // Of one day the last one holds.
        rate(cores(), Some("2026-12-01"), "1", "0.04", "EUR"),
        rate(mails(), Some("2027-01-01"), "1", "1", "EUR"),
    ];
    let amounts = [hour("2026-12-05T00:00:00Z", cores(), 100), hour("2026-12-05T00:00:00Z", mails(), 3)];
    let life = Life { plans: &[], amounts: &amounts, sales: &[], zone: &TimeZone::UTC };
    let shares = shares(life, &rates, DECEMBER).unwrap();
    assert_eq!((shares.len(), shares[0].plan.as_str()), (1, ""), "nobody knows the plan");
    assert_eq!(shares[0].unpriced.iter().collect::<Vec<_>>(), [&mails()]);
    let totals = totals(&shares).unwrap();
    let said: Vec<_> = totals.iter().map(|one| (one.currency.code(), one.cost, one.margin)).collect();
    assert_eq!(said, [("CHF", 300, -300), ("EUR", 400, -400)]);
}

#[test]
fn what_nothing_can_cost_is_refused_with_its_field() {
    for (per, cost, field) in [
        ("0", "1", "costs[1].per"),
        ("-1", "1", "costs[1].per"),
        ("1", "-1", "costs[1].cost"),
        ("1", "0.0000000000001", "costs[1].cost"),
    ] {
        let rates = [rate(cores(), None, "1", "1", "EUR"), rate(cores(), None, per, cost, "EUR")];
        let life = Life { plans: &[], amounts: &[], sales: &[], zone: &TimeZone::UTC };
        assert_eq!(shares(life, &rates, DECEMBER).unwrap_err().field, field);
    }
}

/// One tenant of a random provider.
#[derive(Clone, Debug)]
struct Tenant {
    change: Option<i64>,
    hours: Vec<(i64, bool, u32)>,
    sales: Vec<(i64, i64, i32, bool)>,
}

fn tenant() -> impl Strategy<Value = Tenant> {
    let hours = prop::collection::vec((0_i64..90 * 24, any::<bool>(), 0_u32..10_000_000), 0..12);
    let sales = prop::collection::vec((0_i64..90, 0_i64..40, -90_000_i32..900_000, any::<bool>()), 0..8);
    (prop::option::of(0_i64..90 * 24), hours, sales).prop_map(|(change, hours, sales)| Tenant {
        change,
        hours,
        sales,
    })
}

fn of(tenant: &Tenant, days: [Date; 2]) -> Vec<Share> {
    let begin: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
    let first = date(2026, 11, 1);
    let at = |hours: i64| begin.checked_add(SignedDuration::from_hours(hours)).unwrap();
    let mut plans = vec![Stretch { from: begin, plan: "silver".to_owned() }];
    plans.extend(tenant.change.map(|hours| Stretch { from: at(hours), plan: "gold".to_owned() }));
    let amounts: Vec<Amount> = tenant
        .hours
        .iter()
        .map(|(hours, is_cpu, quantity)| Amount {
            resource: if *is_cpu { cores() } else { mails() },
            at: at(*hours),
            quantity: i128::from(*quantity),
        })
        .collect();
    let day = |days: i64| first.checked_add(days.days()).unwrap().into();
    let sales: Vec<Sale> = tenant
        .sales
        .iter()
        .map(|(from, length, minor, has_plan)| Sale {
            plan: has_plan.then(|| "gold".to_owned()),
            from: day(*from),
            to: day(from + length),
            net: Money {
                minor: i64::from(*minor),
                currency: currency(if from % 3 == 0 { "CHF" } else { "EUR" }),
            },
        })
        .collect();
    let rates = [
        rate(cores(), None, "3600000", "0.021", "EUR"),
        rate(cores(), Some("2026-12-05"), "3600000", "0.0337", "EUR"),
        rate(mails(), None, "7", "0.0001", "CHF"),
    ];
    shares(Life { plans: &plans, amounts: &amounts, sales: &sales, zone: &TimeZone::UTC }, &rates, days)
        .unwrap()
}

/// Sold, cost and margin by currency.
fn sums(shares: &[Share]) -> BTreeMap<&'static str, [i64; 3]> {
    totals(shares)
        .unwrap()
        .iter()
        .map(|one| (one.currency.code(), [one.sold, one.cost, one.margin]))
        .collect()
}

fn add(into: &mut BTreeMap<&'static str, [i64; 3]>, more: BTreeMap<&'static str, [i64; 3]>) {
    for (code, more) in more {
        let known = into.entry(code).or_default();
        *known = [known[0] + more[0], known[1] + more[1], known[2] + more[2]];
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// What tenants of a plan come to is what the plan comes to, and plans come to what all tenants come to.
    #[test]
    fn tenants_add_up_to_their_plan(tenants in prop::collection::vec(tenant(), 0..6)) {
        let each: Vec<Vec<Share>> = tenants.iter().map(|tenant| of(tenant, DECEMBER)).collect();
        let mut all = BTreeMap::new();
        for plan in ["silver", "gold"] {
            let own: Vec<Share> = each.iter().flatten().filter(|share| share.plan == plan).cloned().collect();
            let mut one_by_one = BTreeMap::new();
            for share in &own {
                add(&mut one_by_one, sums(std::slice::from_ref(share)));
            }
            prop_assert_eq!(&sums(&own), &one_by_one);
            prop_assert_eq!(&sums(&[together(&own).unwrap()]), &one_by_one);
            add(&mut all, one_by_one);
        }
        prop_assert_eq!(sums(&each.concat()), all.clone());
        for [sold, cost, margin] in all.values() {
            prop_assert_eq!(sold - cost, *margin);
        }
    }

    /// Stretches of time that follow each other are sold as much as all of it, whatever they are; costs are rounded once for each,
    /// and amounts are not rounded at all.
    #[test]
    fn days_add_up_to_their_months(tenant in tenant(), cut in 1_i64..30) {
        let middle = DECEMBER[0].checked_add(cut.days()).unwrap();
        let whole = of(&tenant, DECEMBER);
        let parts = [of(&tenant, [DECEMBER[0], middle]), of(&tenant, [middle, DECEMBER[1]])].concat();
        let mut used = BTreeMap::new();
        for (resource, quantity) in parts.iter().flat_map(|share| &share.used) {
            *used.entry(resource.clone()).or_insert(0) += quantity;
        }
        let mut of_whole = BTreeMap::new();
        for (resource, quantity) in whole.iter().flat_map(|share| &share.used) {
            *of_whole.entry(resource.clone()).or_insert(0) += quantity;
        }
        prop_assert_eq!(used, of_whole);
        let (whole, parts) = (sums(&whole), sums(&parts));
        for code in ["CHF", "EUR"] {
            let (whole, parts) =
                (whole.get(code).copied().unwrap_or_default(), parts.get(code).copied().unwrap_or_default());
            prop_assert_eq!(whole[0], parts[0]);
            // Two plans and two parts: at most four numbers are rounded instead of two.
            prop_assert!((whole[1] - parts[1]).abs() <= 4, "{:?} {:?}", whole, parts);
        }
    }
}
