//! Reading the terms of a case.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use serde_json::{Map, Value, json};
use tenantry_ledger::calendar::{Interval, Period, Unit, next_day};
use tenantry_ledger::catalogue::{Account, Alignment, Catalogue, Charge, ChargeKind, PriceList, Timing};
use tenantry_ledger::event::{Change, Event, Unused};
use tenantry_ledger::exact::{Decimal, Exact, to_text};
use tenantry_ledger::money::Currency;
use tenantry_ledger::price::Price;
use tenantry_ledger::profile::Profile;

use super::{missing, number};

/// A case: its input, what is expected (for terms that stand only there), and the profile.
pub(crate) struct Terms<'a> {
    pub(crate) input: &'a Map<String, Value>,
    pub(crate) expected: &'a Map<String, Value>,
    /// What the case is about, which is where some sources name the price model.
    pub(crate) feature: &'a str,
    pub(crate) profile: Profile,
}

impl Terms<'_> {
    /// Whether there is something under the key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.input.get(key).is_some_and(|value| !value.is_null())
    }

    /// Whether something is expected under the key.
    pub(crate) fn wants(&self, key: &str) -> bool {
        self.expected.contains_key(key)
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.input.get(key).and_then(Value::as_str)
    }

    pub(crate) fn number(&self, key: &str) -> Option<Exact> {
        self.input.get(key).and_then(number)
    }

    pub(crate) fn need(&self, key: &str) -> Result<Exact> {
        self.number(key).ok_or_else(|| missing(key))
    }

    pub(crate) fn number_or_zero(&self, key: &str) -> Exact {
        self.number(key).unwrap_or_default()
    }

    pub(crate) fn integer(&self, key: &str) -> Option<i64> {
        integer(&self.number(key)?)
    }

    pub(crate) fn need_integer(&self, key: &str) -> Result<i64> {
        self.integer(key).ok_or_else(|| missing(key))
    }

    pub(crate) fn list(&self, key: &str) -> &[Value] {
        self.input.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn moment(&self, key: &str) -> Option<DateTime> {
        self.text(key).and_then(moment)
    }

    pub(crate) fn need_moment(&self, key: &str) -> Result<DateTime> {
        self.moment(key).ok_or_else(|| missing(key))
    }

    /// A period under `from` and `to`, or as a pair under `pair`; both days of a pair of dates count.
    pub(crate) fn pair(&self, pair: &str) -> Option<Period> {
        match self.list(pair) {
            [from, to] => inclusive(from.as_str()?, to.as_str()?),
            _ => None,
        }
    }

    pub(crate) fn currency(&self) -> Result<Currency> {
        Ok(Currency::parse("currency", self.text("currency").unwrap_or("USD"))?)
    }

    /// The items expected, for terms that stand only there.
    pub(crate) fn items(&self) -> &[Value] {
        self.expected.get("items").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The dates of the items expected.
    pub(crate) fn item_dates(&self, key: &str) -> Vec<DateTime> {
        self.items()
            .iter()
            .filter_map(|item| item.get(key).and_then(Value::as_str).and_then(moment))
            .collect()
    }

    pub(crate) fn interval(&self) -> Option<Interval> {
        ["period", "interval", "cadence", "billing_period"]
            .into_iter()
            .find_map(|key| self.text(key).and_then(interval))
    }
}

pub(crate) fn integer(value: &Exact) -> Option<i64> {
    value.is_integer().then(|| value.to_integer().try_into().ok()).flatten()
}

/// A date, a local time or an instant, as local time of the case.
pub(crate) fn moment(text: &str) -> Option<DateTime> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(jiff::tz::TimeZone::UTC.to_datetime(instant));
    }
    text.parse::<DateTime>().ok().or_else(|| text.parse::<Date>().ok().map(Into::into))
}

/// From one day to another, and both count.
pub(crate) fn inclusive(from: &str, to: &str) -> Option<Period> {
    Some(Period::new(moment(from)?, next_day(moment(to)?.date()).ok()?.into()))
}

/// A moment as it is written: a date where it is midnight.
pub(crate) fn written(at: DateTime) -> String {
    if at == at.date().into() { at.date().to_string() } else { format!("{at}Z") }
}

/// The names that systems give to how often something recurs.
pub(crate) fn interval(name: &str) -> Option<Interval> {
    let name = name.to_ascii_uppercase();
    let (count, unit) = match name.as_str() {
        "DAILY" | "DAY" | "P1D" => (1, Unit::Day),
        "WEEKLY" | "WEEK" | "P1W" | "P7D" => (1, Unit::Week),
        "BIWEEKLY" | "P2W" => (2, Unit::Week),
        "THIRTY_DAYS" | "P30D" => (30, Unit::Day),
        "SIXTY_DAYS" => (60, Unit::Day),
        "NINETY_DAYS" => (90, Unit::Day),
        "MONTHLY" | "MONTH" | "P1M" => (1, Unit::Month),
        "BIMESTRIAL" | "P2M" => (2, Unit::Month),
        "QUARTERLY" | "QUARTER" | "P3M" => (3, Unit::Month),
        "TRIANNUAL" | "P4M" => (4, Unit::Month),
        "BIANNUAL" | "SEMIANNUAL" | "SEMI_ANNUAL" | "HALF_YEARLY" | "P6M" => (6, Unit::Month),
        "ANNUAL" | "YEARLY" | "YEAR" | "P1Y" | "P12M" => (1, Unit::Year),
        "SESQUIENNIAL" => (18, Unit::Month),
        "BIENNIAL" | "P2Y" => (2, Unit::Year),
        "TRIENNIAL" | "P3Y" => (3, Unit::Year),
        _ => return None,
    };
    Some(Interval::of(count, unit))
}

/// The decimal of a number that has an end.
pub(crate) fn decimal(value: &Exact) -> Result<Decimal> {
    let text = to_text(value, 18);
    Ok(Decimal::parse("number", text.trim_end_matches('0').trim_end_matches('.'))?)
}

/// A recurring charge.
pub(crate) fn recurring(price: &Exact, interval: Interval, timing: Timing) -> Result<Charge> {
    let kind =
        ChargeKind::Recurring { interval, timing, unit: Some("unit".to_owned()), included: Decimal::zero() };
    Ok(Charge {
        name: "base".to_owned(),
        kind,
        price: Price::PerUnit { price: decimal(price)? },
        tax: String::new(),
    })
}

/// An account in UTC whose periods count from `anchor`.
pub(crate) fn catalogue(
    lists: Vec<PriceList>,
    currency: Currency,
    anchor: Option<Date>,
    profile: Profile,
) -> Result<Catalogue> {
    let account = Account {
        id: "account".to_owned(),
        currency,
        time_zone: "UTC".to_owned(),
        anchor,
        alignment: Alignment::Account,
    };
    Ok(Catalogue::new(account, lists, Vec::new(), profile)?)
}

/// A price list of one recurring charge.
pub(crate) fn price_list(id: &str, charge: Charge, currency: Currency) -> PriceList {
    PriceList { id: id.to_owned(), currency, charges: vec![charge], phases: Vec::new(), commitment: None }
}

/// Something that happened to the one subscription of a case.
pub(crate) fn event(id: u64, at: DateTime, change: Change) -> Result<Event> {
    let at = jiff::tz::TimeZone::UTC.to_timestamp(at).context("a moment outside the calendar")?;
    Ok(Event { id, subscription: "subscription".to_owned(), at, change })
}

/// The start of the one subscription.
pub(crate) fn start(price_list: &str, quantity: &Exact) -> Result<Change> {
    Ok(Change::Start {
        application: "application".to_owned(),
        price_list: price_list.to_owned(),
        quantities: BTreeMap::from([("unit".to_owned(), decimal(quantity)?)]),
    })
}

/// Its end.
pub(crate) fn cancel() -> Change {
    Change::Cancel { unused: Unused::Credit, usage: tenantry_ledger::event::FinalUsage::Charge }
}

/// An item as the file writes it.
pub(crate) fn item(kind: &str, period: Option<Period>, minor: i64, currency: Currency) -> Value {
    let amount = to_text(&currency.major(minor), currency.decimals());
    match period {
        Some(period) => {
            json!({"type": kind, "from": written(period.from), "to": written(period.to), "amount": amount})
        }
        None => json!({"type": kind, "amount": amount}),
    }
}

/// Results by key.
pub(crate) fn results<const N: usize>(entries: [(&str, Value); N]) -> Map<String, Value> {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A number as text that loses nothing a case can state.
pub(crate) fn exact(value: &Exact) -> Value {
    Value::String(to_text(value, 18))
}

/// An account's item of money put on it or drawn.
pub(crate) fn balance_item(change: i64, currency: Currency) -> Value {
    item("ACCOUNT_CREDIT", None, change, currency)
}

/// Days of the month, 1 to 31.
pub(crate) fn day(value: i64) -> Result<i8> {
    match i8::try_from(value) {
        Ok(day @ 1..=31) => Ok(day),
        _ => bail!("{value} is no day of a month"),
    }
}
