//! Price models: blocks, packages, tiers, percentages; and amounts rounded to a currency.

use anyhow::{Result, bail};
use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime};
use num_traits::Zero as _;
use serde_json::{Map, Value};
use tenantry_ledger::calendar::{Cycle, Interval, Unit};
use tenantry_ledger::catalogue::{Aggregation, Charge, ChargeKind, PriceList, UnitRounding};
use tenantry_ledger::commitment::true_up;
use tenantry_ledger::coupon::cap;
use tenantry_ledger::diff::diff;
use tenantry_ledger::event::Usage;
use tenantry_ledger::exact::{Decimal, Exact};
use tenantry_ledger::ledger::Ledger;
use tenantry_ledger::lines::lines;
use tenantry_ledger::price::{Price, Rated, Tier};
use tenantry_ledger::profile::{LookBack, Profile};

use super::terms::{Terms, cancel, catalogue, decimal, event, exact, integer, item, moment, results, start};
use super::time::field;
use super::{missing, number};

type Results = Result<Option<Map<String, Value>>>;

/// Facts about price models.
pub(crate) fn priced(terms: &Terms) -> Results {
    let Some(price) = price(terms)? else { return Ok(None) };
    if terms.has("events") {
        return metered(terms, price);
    }
    let free = if matches!(price, Price::Percentage { .. }) { Exact::zero() } else { free_units(terms) };
    let before = (terms.number_or_zero("previous_quantity") - &free).max(Exact::zero());
    let units = ["quantity", "units", "amount"]
        .into_iter()
        .find_map(|key| terms.number(key))
        .ok_or_else(|| missing("quantity"))?;
    let after = (terms.number_or_zero("previous_quantity") + units - free).max(Exact::zero());
    let earlier = terms.number("previous_quantity").filter(|earlier| !earlier.is_zero()).map(|_| &before);
    let rated = price.rate(earlier, &(after - &before));
    let mut amount = &rated.amount + fixed_fee(terms);
    let gross = amount.clone();
    let billed = terms.number_or_zero("previously_billed");
    if let Some(maximum) = terms.number("maximum") {
        amount -= cap(&maximum, &billed, std::slice::from_ref(&amount)).into_iter().sum::<Exact>();
    }
    if let Some(minimum) = terms.number("minimum") {
        amount += true_up(&minimum, &(&billed + &amount));
    }
    // A case in a currency is about its minor unit; the others are about the model alone.
    if terms.has("currency") {
        let currency = terms.currency()?;
        amount = currency.major(currency.round(&amount)?);
    }
    Ok(Some(results([
        ("amount", exact(&amount)),
        ("gross", exact(&gross)),
        ("tier_amounts", tier_amounts(terms, &rated)),
    ])))
}

/// An amount that only has to be rounded.
pub(crate) fn rounded(terms: &Terms) -> Results {
    let Some(amount) = terms.number("amount") else { return Ok(None) };
    let currency = terms.currency()?;
    Ok(Some(results([("amount", exact(&currency.major(currency.round(&amount)?)))])))
}

fn free_units(terms: &Terms) -> Exact {
    ["free_units", "included", "free"].into_iter().find_map(|key| terms.number(key)).unwrap_or_default()
}

fn fixed_fee(terms: &Terms) -> Exact {
    let fee = ["fixed_amount", "fixed_fee"].into_iter().find_map(|key| terms.number(key)).unwrap_or_default();
    let times = ["transactions", "events_count"].into_iter().find_map(|key| terms.number(key));
    times.map_or_else(|| fee.clone(), |times| &fee * times)
}

/// Tier amounts in the shape that is expected: by number, or in order.
fn tier_amounts(terms: &Terms, rated: &Rated) -> Value {
    if terms.expected.get("tier_amounts").is_some_and(Value::is_object) {
        return rated
            .tiers
            .iter()
            .map(|(tier, amount)| (tier.to_string(), exact(amount)))
            .collect::<Map<_, _>>()
            .into();
    }
    rated.tiers.iter().map(|(_, amount)| exact(amount)).collect()
}

fn decimal_at(value: &Value, keys: &[&str]) -> Result<Decimal> {
    decimal(&field(value, keys).unwrap_or_default())
}

/// The price model that the terms write down.
fn price(terms: &Terms) -> Result<Option<Price>> {
    let at = |key: &str| decimal(&terms.need(key)?);
    if terms.has("tiers") || terms.has("ranges") {
        let tiers = tiers(terms)?;
        return Ok(Some(if is_volume(terms) { Price::Volume { tiers } } else { Price::Graduated { tiers } }));
    }
    if terms.has("block_size") {
        return Ok(Some(Price::Package { size: at("block_size")?, price: at("block_price")? }));
    }
    if terms.has("package_size") {
        return Ok(Some(Price::Package { size: at("package_size")?, price: at("package_price")? }));
    }
    for key in ["percent", "percentage", "rate"] {
        if terms.has(key) {
            let free =
                ["free_amount", "free"].into_iter().find_map(|key| terms.number(key)).unwrap_or_default();
            return Ok(Some(Price::Percentage { percent: at(key)?, free: decimal(&free)? }));
        }
    }
    for key in ["unit", "unit_price", "per_unit"] {
        if terms.has(key) {
            return Ok(Some(Price::PerUnit { price: at(key)? }));
        }
    }
    Ok(None)
}

/// Whether one tier prices everything: as the terms say, otherwise as the case describes itself.
fn is_volume(terms: &Terms) -> bool {
    let stated =
        ["policy", "model", "mode", "charge_model", "tier_mode"].into_iter().find_map(|key| terms.text(key));
    let name = stated.unwrap_or(terms.feature).to_ascii_lowercase();
    name.contains("volume") || name.contains("top_tier")
}

/// Tiers, however a system writes them: an upper border, a first and a last unit, or a number of blocks.
fn tiers(terms: &Terms) -> Result<Vec<Tier>> {
    let written = if terms.has("tiers") { terms.list("tiers") } else { terms.list("ranges") };
    let mut tiers = Vec::new();
    let mut reached = Exact::zero();
    for (place, tier) in written.iter().enumerate() {
        let last = place + 1 == written.len();
        let block = field(tier, &["block_size"]);
        let border = match (&block, field(tier, &["max_blocks", "max"])) {
            (Some(size), Some(blocks)) => {
                reached += size * blocks;
                Some(reached.clone())
            }
            _ => field(tier, &["up_to", "to_value", "to", "upto"]),
        };
        tiers.push(Tier {
            // Above the last border the last tier goes on.
            up_to: border.filter(|_| !last).as_ref().map(decimal).transpose()?,
            price: decimal_at(tier, &["block_price", "unit", "per_unit", "unit_price", "price"])?,
            flat: decimal_at(tier, &["flat", "flat_amount", "flat_fee"])?,
            block: block.as_ref().map(decimal).transpose()?,
        });
    }
    if tiers.is_empty() {
        bail!("there are no tiers");
    }
    Ok(tiers)
}

/// Usage as it happens and as it arrives, charged month by month; the items are those of the last run.
fn metered(terms: &Terms, price: Price) -> Results {
    let currency = terms.currency()?;
    let interval = terms.interval().unwrap_or(Interval::of(1, Unit::Month));
    let events = terms.list("events");
    let when = |event: &Value, key: &str| event.get(key).and_then(Value::as_str).and_then(moment);
    let first = events.iter().filter_map(|event| when(event, "at")).min().ok_or_else(|| missing("events"))?;
    let begin = terms.moment("start").map_or_else(|| month_of(first, terms), Ok)?;
    let cancelled = ["cancel_on", "cancelled_on", "end"].into_iter().find_map(|key| terms.moment(key));
    let last = match terms.moment("run_on").or(cancelled) {
        Some(run) => run,
        None => {
            let cycle = Cycle::new(begin, interval);
            let latest = events.iter().filter_map(|event| when(event, "at")).max().unwrap_or(first);
            cycle.boundary(cycle.index(latest)? + 1)?
        }
    };
    let charge = Charge {
        name: "usage".to_owned(),
        kind: ChargeKind::Usage {
            meter: "meter".to_owned(),
            interval,
            aggregation: Aggregation::Sum,
            per: Decimal::integer(1),
            rounding: UnitRounding::Exact,
            included: decimal(&free_units(terms))?,
        },
        price,
        tax: String::new(),
    };
    let look_back = match terms.integer("look_back_periods") {
        Some(periods) => LookBack::Periods(i32::try_from(periods)?),
        None => terms.profile.look_back,
    };
    let profile = Profile { look_back, ..terms.profile };
    let list = PriceList {
        id: "list".to_owned(),
        currency,
        charges: vec![charge],
        phases: Vec::new(),
        commitment: None,
    };
    let catalogue = catalogue(vec![list], currency, Some(begin.date()), profile)?;
    let mut log = vec![event(1, begin, start("list", &Exact::zero())?)?];
    if let Some(at) = cancelled {
        log.push(event(2, at, cancel())?);
    }
    let mut usage = Vec::new();
    for record in events {
        let at = when(record, "at").ok_or_else(|| missing("at"))?;
        let quantity = record.get("qty").or_else(|| record.get("quantity")).and_then(number);
        // What arrived after a run was not there for it.
        let received = when(record, "arrived_after").map_or(Ok(at), |after| after.checked_add(1.second()))?;
        usage.push((
            received,
            instant(at)?,
            quantity.as_ref().and_then(integer).ok_or_else(|| missing("qty"))?,
        ));
    }
    let mut ledger = Ledger::default();
    let mut posted = Vec::new();
    for run in runs(Cycle::new(begin, interval), begin, last)? {
        let known: Vec<Usage> = usage
            .iter()
            .filter(|(received, ..)| *received <= run)
            .map(|(received, at, quantity)| {
                Ok(Usage {
                    subscription: "subscription".to_owned(),
                    meter: "meter".to_owned(),
                    at: *at,
                    quantity: *quantity,
                    revision: 0,
                    received: instant(*received)?,
                })
            })
            .collect::<Result<_>>()?;
        posted = diff(&lines(&log, &catalogue, &known, run)?, &ledger, &profile)?;
        ledger.post(posted.clone());
    }
    let items = posted
        .iter()
        .filter(|posting| posting.amount.minor != 0)
        .map(|posting| item("USAGE", Some(posting.key.period), posting.amount.minor, currency))
        .collect();
    Ok(Some(results([("items", Value::Array(items))])))
}

fn instant(at: DateTime) -> Result<jiff::Timestamp> {
    Ok(jiff::tz::TimeZone::UTC.to_timestamp(at)?)
}

/// The billing day at or before a moment: the day on which the items begin, otherwise the month's first.
fn month_of(at: DateTime, terms: &Terms) -> Result<DateTime> {
    let day = terms.item_dates("from").first().map_or(1, |from| from.day());
    let cycle = Cycle::on_day(Date::new(at.year(), at.month(), 1)?.into(), day, Interval::of(1, Unit::Month));
    Ok(cycle.boundary(cycle.index(at)?)?)
}

/// Every boundary after the begin up to the last run, and the last run.
fn runs(cycle: Cycle, begin: DateTime, last: DateTime) -> Result<Vec<DateTime>> {
    let mut runs = Vec::new();
    let mut k = cycle.index(begin)? + 1;
    loop {
        let boundary = cycle.boundary(k)?;
        k += 1;
        if boundary >= last {
            runs.push(last);
            return Ok(runs);
        }
        runs.push(boundary);
    }
}
