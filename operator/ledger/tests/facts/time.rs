//! Recurring charges, ratios and the boundaries of periods.

use anyhow::{Result, bail};
use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use num_traits::{Signed as _, Zero as _};
use serde_json::{Map, Value};
use tenantry_ledger::calendar::{Cycle, Interval, Period, Unit, next_day};
use tenantry_ledger::catalogue::{Account, Alignment, Catalogue, Phase, Timing};
use tenantry_ledger::diff::diff;
use tenantry_ledger::event::Event;
use tenantry_ledger::exact::{Exact, fraction, to_decimals, to_text, whole};
use tenantry_ledger::ledger::Ledger;
use tenantry_ledger::lines::lines;
use tenantry_ledger::money::Currency;
use tenantry_ledger::price::Price;
use tenantry_ledger::profile::{LastDay, Measure, Profile};

use super::terms::{
    Terms, cancel, catalogue, day, decimal, event, exact, integer, item, price_list, recurring, results,
    start, written,
};
use super::{missing, number};

type Results = Result<Option<Map<String, Value>>>;

/// Facts about time.
pub(crate) fn facts(terms: &Terms) -> Results {
    if terms.has("created") {
        return local_day(terms);
    }
    if terms.has("price") && terms.has("start") {
        let (items, _) = charged(terms, &terms.need("price")?, terms.currency()?)?;
        return Ok(Some(results([("items", Value::Array(items))])));
    }
    if terms.has("price") && (terms.has("service_from") || terms.has("period_from")) {
        return elapsed(terms);
    }
    if terms.has("from") && terms.has("to") {
        return ratios(terms);
    }
    if terms.wants("periods") || terms.wants("bills_on") {
        return boundaries(terms);
    }
    if terms.has("anchor") && terms.has("start") {
        return imagined(terms);
    }
    Ok(None)
}

/// The profile with the case's own length of a month.
fn measured(terms: &Terms) -> Profile {
    let measure = terms
        .integer("fixed_days")
        .filter(|days| *days > 0)
        .map_or(terms.profile.measure, Measure::FixedMonths);
    Profile { measure, ..terms.profile }
}

/// The items of a recurring charge up to its target date, and their sum in minor units.
fn charged(terms: &Terms, price: &Exact, currency: Currency) -> Result<(Vec<Value>, i64)> {
    let interval = terms.interval().unwrap_or(Interval::of(1, Unit::Month));
    let arrears = terms.text("billing_mode").is_some_and(|mode| mode.to_ascii_uppercase().contains("ARREAR"));
    let begin = terms.need_moment("start")?;
    let target = ["target_date", "target"].into_iter().find_map(|key| terms.moment(key));
    let target = target
        .or_else(|| terms.item_dates("from").into_iter().max())
        .ok_or_else(|| missing("target_date"))?;
    let charge = recurring(price, interval, if arrears { Timing::Arrears } else { Timing::Advance })?;
    // A month of 31 days, so that every billing day can be an anchor.
    let anchor = match terms.integer("bill_cycle_day") {
        Some(number) => Date::new(begin.year(), 1, day(number)?)?,
        None => begin.date(),
    };
    let catalogue =
        catalogue(vec![price_list("list", charge, currency)], currency, Some(anchor), measured(terms))?;
    let quantity = terms.number("quantity").unwrap_or_else(|| whole(1));
    let mut events = vec![event(1, begin, start("list", &quantity)?)?];
    if let Some(end) = terms.moment("end") {
        events.push(event(2, end, cancel())?);
    }
    let lines = lines(&events, &catalogue, &[], target)?;
    let items =
        lines.iter().map(|line| item("RECURRING", Some(line.key.period), line.net.minor, currency)).collect();
    Ok((items, lines.iter().map(|line| line.net.minor).sum()))
}

/// How many periods a charge is charged for, in nine decimals: what a price of a thousand million yen comes to.
pub(crate) fn cycles(terms: &Terms) -> Result<String> {
    let price = 1_000_000_000;
    let (_, sum) = charged(terms, &whole(price), Currency::parse("currency", "JPY")?)?;
    Ok(to_text(&fraction(sum, price), 9))
}

/// A subscription made at an instant, in an account whose zone is named, or only described by the local date that it gives.
fn local_day(terms: &Terms) -> Results {
    let instant: jiff::Timestamp =
        terms.text("created").and_then(|text| text.parse().ok()).ok_or_else(|| missing("created"))?;
    let named = ["account_timezone", "timezone", "time_zone"]
        .into_iter()
        .find_map(|key| terms.text(key))
        .unwrap_or("UTC");
    let zone = if TimeZone::get(named).is_ok() { named.to_owned() } else { zone_with(named, instant)? };
    let currency = terms.currency()?;
    let charge = recurring(
        &terms.need("price")?,
        terms.interval().unwrap_or(Interval::of(1, Unit::Month)),
        Timing::Advance,
    )?;
    let mut list = price_list("list", charge, currency);
    if let (Some(price), Some(months)) = (terms.number("discount_price"), terms.integer("discount_months")) {
        list.phases.push(Phase {
            length: Interval::of(u16::try_from(months)?, Unit::Month),
            discount: decimal(&Exact::zero())?,
            prices: [("base".to_owned(), Price::PerUnit { price: decimal(&price)? })].into(),
        });
    }
    let account = Account {
        id: "account".to_owned(),
        currency,
        time_zone: zone,
        anchor: None,
        alignment: Alignment::Account,
    };
    let catalogue = Catalogue::new(account, vec![list], Vec::new(), terms.profile)?;
    let events = [Event {
        id: 1,
        subscription: "subscription".to_owned(),
        at: instant,
        change: start("list", &whole(1))?,
    }];
    let target = terms.item_dates("from").into_iter().max();
    let target = terms.moment("target_date").or(target).ok_or_else(|| missing("target_date"))?;
    let postings = diff(&lines(&events, &catalogue, &[], target)?, &Ledger::default(), &terms.profile)?;
    let items = postings
        .iter()
        .map(|posting| item("RECURRING", Some(posting.key.period), posting.amount.minor, currency))
        .collect();
    Ok(Some(results([("items", Value::Array(items))])))
}

/// A zone in which the instant falls on the date that a description names, or west or east of UTC.
fn zone_with(description: &str, instant: jiff::Timestamp) -> Result<String> {
    let words = || description.split(|letter: char| !(letter.is_ascii_digit() || letter == '-'));
    let date = words().find_map(|word| word.parse::<Date>().ok());
    let east = description.to_ascii_lowercase().contains("east");
    for hours in 1..=12 {
        let name = format!("Etc/GMT{}{hours}", if east { '-' } else { '+' });
        if date.is_none_or(|date| {
            TimeZone::get(&name).is_ok_and(|zone| zone.to_datetime(instant).date() == date)
        }) {
            return Ok(name);
        }
    }
    bail!("no time zone is {description:?}")
}

/// A flat price for the part of a period that was served.
fn elapsed(terms: &Terms) -> Results {
    let whole_period = Period::new(terms.need_moment("period_from")?, terms.need_moment("period_to")?);
    let from = terms.moment("service_from").unwrap_or(whole_period.from);
    let to = terms.moment("service_to").unwrap_or(whole_period.to);
    let modes = ["mode", "proration", "proration_mode", "billing"];
    let mode = modes.into_iter().find_map(|key| terms.text(key)).unwrap_or_default().to_ascii_lowercase();
    let in_full = mode.contains("full") || mode.contains("no_") || mode == "none";
    let in_full = in_full || terms.input.get("prorate").and_then(Value::as_bool) == Some(false);
    let ratio = if in_full { whole(1) } else { terms.profile.ratio(Period::new(from, to), whole_period) };
    let currency = terms.currency()?;
    let quantity = terms.number("quantity").unwrap_or_else(|| whole(1));
    let minor = currency.round(&(terms.need("price")? * quantity * ratio))?;
    Ok(Some(results([("amount", exact(&currency.major(minor)))])))
}

/// The share of a period that ends on a boundary (leading) or begins on one (trailing), and what a price comes to.
fn ratios(terms: &Terms) -> Results {
    let profile = measured(terms);
    let part = Period::new(terms.need_moment("from")?, terms.need_moment("to")?);
    let interval = terms.interval().unwrap_or(Interval::of(1, Unit::Month));
    let leading = profile.ratio(part, Period::new(interval.step(part.to, -1)?, part.to));
    let trailing = profile.ratio(part, Period::new(part.from, interval.step(part.from, 1)?));
    let mut out = results([
        ("leading_ratio", exact(&leading)),
        ("trailing_ratio", exact(&trailing)),
        ("ratio", exact(&trailing)),
    ]);
    if let Some(price) = terms.number("price") {
        let currency = terms.currency()?;
        let quantity = terms.number("quantity").unwrap_or_else(|| whole(1));
        let minor = currency.round(&(price * quantity * trailing))?;
        // Whether the span is charged or given back is a term of the case.
        let kind = terms
            .items()
            .first()
            .and_then(|item| item.get("type"))
            .and_then(Value::as_str)
            .unwrap_or("RECURRING");
        let sign = if kind.starts_with("CREDIT") { -1 } else { 1 };
        out.insert("items".to_owned(), Value::Array(vec![item(kind, Some(part), sign * minor, currency)]));
        out.insert("amount".to_owned(), exact(&currency.major(sign * minor)));
    }
    Ok(Some(out))
}

/// The periods from a start on, or the days on which an anchor bills.
fn boundaries(terms: &Terms) -> Results {
    let interval = terms.interval().ok_or_else(|| missing("interval"))?;
    let anchor = terms.moment("anchor");
    let begin = terms.moment("start").or(anchor).ok_or_else(|| missing("start"))?;
    let calendar = terms.text("billing_time").is_some_and(|time| time.eq_ignore_ascii_case("calendar"));
    let cycle = match anchor {
        Some(anchor) => Cycle::new(anchor, interval),
        None if calendar => Cycle::new(calendar_start(begin, interval)?, interval),
        None => Cycle::new(begin, interval),
    };
    let mut out = Map::new();
    let count = |key: &str| terms.expected.get(key).and_then(Value::as_array).map_or(0, Vec::len);
    let mut periods = Vec::new();
    for k in (cycle.index(begin)?..).take(count("periods")) {
        let Period { from, to } = cycle.period(k)?;
        let to = match terms.profile.last_day {
            LastDay::Free => to,
            LastDay::Charged => to.date().yesterday()?.into(),
        };
        periods.push(Value::from(vec![written(from.max(begin)), written(to)]));
    }
    out.insert("periods".to_owned(), Value::Array(periods));
    let first = cycle.index(begin)? + 1;
    let days: Vec<String> =
        (first..).take(count("bills_on")).map(|k| Ok(written(cycle.boundary(k)?))).collect::<Result<_>>()?;
    out.insert("bills_on".to_owned(), Value::from(days));
    if terms.wants("leap_february") {
        let found = (first..first + 200).map(|k| cycle.boundary(k)).find(|boundary| {
            boundary.as_ref().is_ok_and(|boundary| boundary.month() == 2 && boundary.date().in_leap_year())
        });
        let boundary = found.ok_or_else(|| missing("a boundary in February"))??;
        out.insert("leap_february".to_owned(), Value::String(format!("02-{:02}", boundary.day())));
    }
    Ok(Some(out))
}

/// Where the calendar's own period begins in which a moment lies.
pub(crate) fn calendar_start(at: DateTime, interval: Interval) -> Result<DateTime> {
    let date = at.date();
    let first = match interval.months() {
        Some(months) => {
            let month = (i32::from(date.month()) - 1) / months.max(1) * months.max(1) + 1;
            Date::new(date.year(), if months >= 12 { 1 } else { i8::try_from(month)? }, 1)?
        }
        None if interval.unit == Unit::Week => {
            let mut monday = date;
            while monday.weekday() != jiff::civil::Weekday::Monday {
                monday = monday.yesterday()?;
            }
            monday
        }
        None => date,
    };
    Ok(first.into())
}

/// The share that a start before the anchor is charged.
fn imagined(terms: &Terms) -> Results {
    let interval = terms.interval().unwrap_or(Interval::of(1, Unit::Month));
    let (begin, anchor) = (terms.need_moment("start")?, terms.need_moment("anchor")?);
    let cycle = Cycle::new(anchor, interval);
    let enclosing = cycle.period(cycle.index(begin)?)?;
    let part = Period::new(begin, enclosing.to);
    let ratio = terms.profile.ratio(part, terms.profile.whole_of(part, enclosing, interval)?);
    let mut out = results([("ratio", exact(&ratio))]);
    // Thirds have no end as decimals, so a ratio is given as the fraction it is.
    out.insert("ratio".to_owned(), Value::String(format!("{}/{}", ratio.numer(), ratio.denom())));
    if let Some(price) = terms.number("price") {
        let currency = terms.currency()?;
        out.insert("amount".to_owned(), exact(&currency.major(currency.round(&(price * ratio))?)));
    }
    Ok(Some(out))
}

/// Days of a case: stated, or counted from its dates, both ends included.
pub(crate) fn share(terms: &Terms) -> Result<Exact> {
    let interval = terms.interval().unwrap_or(Interval::of(1, Unit::Month));
    let stated = |keys: &[&str]| keys.iter().find_map(|key| terms.integer(key));
    let trial = terms.moment("start").zip(terms.integer("trial_days"));
    let trial_end = trial.and_then(|(begin, days)| begin.checked_add(days.days()).ok());
    let begin = terms
        .moment("trial_end")
        .or(trial_end)
        .or_else(|| terms.moment("started"))
        .or_else(|| terms.moment("start"));
    let end = ["terminated", "applied_at", "end", "ended"].into_iter().find_map(|key| terms.moment(key));
    let period = match (terms.pair("period"), begin) {
        (Some(period), _) => Some(period),
        (None, Some(begin)) => {
            let from = calendar_start(begin, interval)?;
            Some(Period::new(from, interval.step(from, 1)?))
        }
        (None, None) => None,
    };
    let days = stated(&["days", "days_inclusive", "used_days", "billed_days"]);
    let of = stated(&["of", "period_days"])
        .or(period.map(|period| Profile { measure: Measure::Days, ..terms.profile }.length(period)));
    if let (Some(days), Some(of)) = (days, of) {
        return Ok(fraction(days, of));
    }
    let Some(period) = period else { return Ok(whole(1)) };
    let from = begin.map_or(period.from, |begin| begin.date().into()).max(period.from);
    let to = match end {
        Some(end) if period.contains(end) => next_day(end.date())?.into(),
        _ => period.to,
    };
    let ratio = terms.profile.ratio(Period::new(from, to), period);
    Ok(if ratio.is_negative() { Exact::zero() } else { ratio })
}

/// A number of an object in a list of the input.
pub(crate) fn field(value: &Value, keys: &[&str]) -> Option<Exact> {
    keys.iter().find_map(|key| value.get(key).and_then(number))
}

/// A whole number of minor units, where a case counts in them.
pub(crate) fn cents(value: &Exact) -> Result<i64> {
    integer(&to_decimals(value, 0)).ok_or_else(|| missing("an amount of 64 bits"))
}
