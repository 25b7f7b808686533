//! Changes to what was already charged: credits, new plans, pauses, corrections by hand, and the account's balance.

use anyhow::Result;
use jiff::civil::{Date, DateTime};
use serde_json::{Map, Value};
use tenantry_ledger::balance::{Settlement, tax_of_adjustment};
use tenantry_ledger::calendar::{Cycle, Interval, Period, Unit, days_between};
use tenantry_ledger::catalogue::{Catalogue, PriceList, Timing};
use tenantry_ledger::diff::diff;
use tenantry_ledger::event::{Change, Event};
use tenantry_ledger::exact::{Exact, whole};
use tenantry_ledger::ledger::{Effect, Ledger, Posting};
use tenantry_ledger::lines::lines;
use tenantry_ledger::money::Currency;

use super::terms::{
    Terms, balance_item, cancel, catalogue, event, exact, item, moment, price_list, recurring, results, start,
};
use super::{missing, number};

/// Facts about changes.
pub(crate) fn facts(terms: &Terms) -> Result<Option<Map<String, Value>>> {
    if terms.has("billed_from") && terms.has("billed_to") {
        return changed(terms).map(Some);
    }
    if terms.has("annual_price") && terms.has("monthly_price") {
        return switched(terms).map(Some);
    }
    if terms.has("old") && terms.has("new") {
        return midway(terms).map(Some);
    }
    if terms.has("adjustment") && terms.has("tax") {
        return adjusted(terms).map(Some);
    }
    if terms.has("recurring") {
        return taxed(terms).map(Some);
    }
    Ok(None)
}

/// An account as its runs go by: what is posted, what is in hand, and the items that came of it.
struct Account<'a> {
    terms: &'a Terms<'a>,
    catalogue: Catalogue,
    currency: Currency,
    events: Vec<Event>,
    ledger: Ledger,
    balance: i64,
    items: Vec<Value>,
}

impl Account<'_> {
    fn happens(&mut self, at: DateTime, change: Change) -> Result<()> {
        let id = self.events.len() as u64 + 1;
        self.events.push(event(id, at, change)?);
        Ok(())
    }

    /// Posts what is still to be posted.
    fn run(&mut self, as_of: DateTime) -> Result<()> {
        let postings =
            diff(&lines(&self.events, &self.catalogue, &[], as_of)?, &self.ledger, &self.terms.profile)?;
        self.post(postings);
        Ok(())
    }

    fn post(&mut self, postings: Vec<Posting>) {
        let blocked = self.terms.moment("blocked_from").zip(self.terms.moment("blocked_to"));
        let mut net = 0;
        for posting in postings.iter().filter(|posting| posting.amount.minor != 0) {
            net += posting.amount.minor;
            let period = posting.key.period;
            let kind = match posting.effect {
                Effect::Charge => "RECURRING",
                Effect::Credit if blocked == Some((period.from, period.to)) => "CREDIT_FOR_BLOCKED",
                Effect::Credit => "CREDIT_FOR_UNUSED",
                Effect::Adjustment => "ITEM_ADJUSTMENT",
            };
            let period = (posting.effect != Effect::Adjustment).then_some(period);
            self.items.push(item(kind, period, posting.amount.minor, self.currency));
        }
        self.ledger.post(postings);
        let change = Settlement::of(net, self.balance, 0).change();
        if change != 0 {
            self.balance += change;
            self.items.push(balance_item(change, self.currency));
        }
    }
}

/// A charge for a period, and what a change within it credits and charges.
fn changed(terms: &Terms) -> Result<Map<String, Value>> {
    let opening = ["balance", "account_balance", "account_credit", "credit_balance"]
        .into_iter()
        .find_map(|key| terms.number(key));
    let opening =
        opening.map(|opening| terms.currency()?.round(&opening).map_err(anyhow::Error::from)).transpose()?;
    let items = changed_with(terms, opening.unwrap_or(0))?;
    let balance = |items: &[Value]| items.iter().any(|item| kind(item) == "ACCOUNT_CREDIT");
    // A draw where nothing was put on the account before: it had enough in hand, and the case does not say how much.
    let draws = terms.items().iter().any(|item| {
        kind(item) == "ACCOUNT_CREDIT"
            && item.get("amount").and_then(number).is_some_and(|amount| amount < Exact::default())
    });
    let items = if draws && opening.is_none() && !balance(&items) {
        changed_with(terms, i64::MAX / 4)?
    } else {
        items
    };
    Ok(results([("items", Value::Array(items))]))
}

fn kind(item: &Value) -> &str {
    item.get("type").and_then(Value::as_str).unwrap_or_default()
}

fn changed_with(terms: &Terms, balance: i64) -> Result<Vec<Value>> {
    let currency = terms.currency()?;
    let billed = Period::new(terms.need_moment("billed_from")?, terms.need_moment("billed_to")?);
    let (interval, anchor_day) = recurrence(terms, billed);
    let old = recurring(&terms.need("price")?, interval, Timing::Advance)?;
    let mut lists = vec![price_list("old", old, currency)];

    let on = ["effective", "change_on", "upgrade_on", "downgrade_on", "cancel_on"]
        .into_iter()
        .find_map(|key| terms.moment(key));
    let new = NewPlan::read(terms, on, interval, anchor_day, billed)?;
    if let Some(new) = &new {
        lists.push(new.list(currency)?);
    }
    let anchor = anchor(billed.from, anchor_day)?;
    let catalogue = catalogue(lists, currency, Some(anchor), terms.profile)?;
    let mut account = Account {
        terms,
        catalogue,
        currency,
        events: Vec::new(),
        ledger: Ledger::default(),
        balance,
        items: Vec::new(),
    };
    let quantity = terms.number("quantity").unwrap_or_else(|| whole(1));
    account.happens(billed.from, start("old", &quantity)?)?;
    account.run(billed.from)?;
    // What was charged before is a term of the case and none of its items.
    account.items.clear();
    account.balance = balance;

    for adjustment in adjustments(terms) {
        let minor = currency.round(&adjustment)?.saturating_abs();
        let posting = account.ledger.adjustment(1, minor)?;
        account.post(vec![posting]);
    }
    if let (Some(from), Some(to)) = (terms.moment("blocked_from"), terms.moment("blocked_to")) {
        account.happens(from, Change::Suspend { charged: false })?;
        account.happens(to, Change::Resume)?;
        account.run(to)?;
    }
    let at = |keys: [&str; 3]| keys.into_iter().find_map(|key| terms.moment(key));
    if let Some(paused) = at(["pause_on", "paused_on", "paused"]) {
        account.happens(paused, Change::Pause)?;
        account.run(paused)?;
        if let Some(resumed) = at(["resume_on", "resumed_on", "resumed"]) {
            account.happens(resumed, Change::Resume)?;
            account.run(resumed)?;
        }
    }
    if let Some(on) = on {
        match &new {
            Some(new) => {
                account.happens(on, Change::ChangePlan { price_list: "new".to_owned() })?;
                if let Some(day) = new.moved {
                    account.happens(on, Change::MoveAnchor { day })?;
                }
            }
            None => account.happens(on, cancel())?,
        }
        account.run(on)?;
    }
    for later in later_runs(terms, on.unwrap_or(billed.from)) {
        account.run(later)?;
    }
    Ok(account.items)
}

/// Renewals that a case lists: the begins of recurring items after the change.
fn later_runs(terms: &Terms, after: DateTime) -> Vec<DateTime> {
    let recurring = terms.items().iter().filter(|item| kind(item) == "RECURRING");
    let mut runs: Vec<DateTime> = recurring
        .filter_map(|item| moment(item.get("from")?.as_str()?))
        .filter(|from| *from > after)
        .collect();
    runs.sort();
    runs.dedup();
    runs
}

fn adjustments(terms: &Terms) -> Vec<Exact> {
    let one = ["manual_adjustment", "adjustment"].into_iter().find_map(|key| terms.number(key));
    let many = ["manual_adjustments", "adjustments"].into_iter().flat_map(|key| terms.list(key));
    one.into_iter()
        .chain(many.filter_map(|value| number(value).or_else(|| value.get("amount").and_then(number))))
        .collect()
}

/// An anchor with a day of the month that the month itself may lack: the month before or after has it.
fn anchor(near: DateTime, day: i8) -> Result<Date> {
    Ok(Date::new(near.year(), near.month(), day).or_else(|_| Date::new(near.year(), 1, day))?)
}

/// How a billed period recurs, and on which day of the month: stated, or as its two ends show.
fn recurrence(terms: &Terms, billed: Period) -> (Interval, i8) {
    let stated = terms.integer("bill_cycle_day").and_then(|day| i8::try_from(day).ok());
    let months = (i32::from(billed.to.year()) - i32::from(billed.from.year())) * 12
        + i32::from(billed.to.month())
        - i32::from(billed.from.month());
    let interval =
        terms.interval().or_else(|| u16::try_from(months).ok().filter(|months| *months > 0).map(monthly));
    let day = stated.unwrap_or_else(|| billed.from.day().max(billed.to.day()));
    if let Some(interval) = interval
        && Cycle::on_day(billed.from, day, interval).period(0).is_ok_and(|period| period == billed)
    {
        return (interval, day);
    }
    // A stub: its price is for its own length.
    let days = u16::try_from(days_between(billed.from, billed.to).max(1)).unwrap_or(u16::MAX);
    (Interval::of(days, Unit::Day), billed.from.day())
}

fn monthly(months: u16) -> Interval {
    if months.is_multiple_of(12) {
        Interval::of(months / 12, Unit::Year)
    } else {
        Interval::of(months, Unit::Month)
    }
}

/// The plan that a change leads to.
struct NewPlan {
    price: Exact,
    interval: Interval,
    /// The billing day, where the change moves it.
    moved: Option<i8>,
}

impl NewPlan {
    fn read(
        terms: &Terms,
        on: Option<DateTime>,
        old: Interval,
        day: i8,
        billed: Period,
    ) -> Result<Option<Self>> {
        let charged = terms.items().iter().find(|item| kind(item) == "RECURRING");
        let price =
            ["new_price", "upgrade_price", "downgrade_price"].into_iter().find_map(|key| terms.number(key));
        let price = price.or_else(|| charged?.get("price").and_then(number));
        let (Some(price), Some(on)) = (price, on) else { return Ok(None) };
        let stated = ["new_period", "new_interval"]
            .into_iter()
            .find_map(|key| terms.text(key).and_then(super::terms::interval));
        let moved = ["new_bill_cycle_day", "new_billing_day"].into_iter().find_map(|key| terms.integer(key));
        let to = charged.and_then(|item| moment(item.get("to")?.as_str()?)).unwrap_or(billed.to);
        if let Some(moved) = moved {
            let moved = Some(super::terms::day(moved)?);
            return Ok(Some(Self { price, interval: stated.unwrap_or(old), moved }));
        }
        let usual = [old, monthly(1), monthly(3), monthly(6), monthly(12), monthly(24)];
        let candidates = stated.map_or(usual.to_vec(), |stated| vec![stated]);
        let ends = |interval: &Interval, day: i8| {
            let from = if interval.months().is_some() { on } else { billed.from };
            let cycle = Cycle::on_day(from, day, *interval);
            cycle.index(on).and_then(|k| cycle.boundary(k + 1)).is_ok_and(|end| end == to)
        };
        for (day, moved) in [(day, None), (to.day(), Some(to.day()))] {
            if let Some(interval) = candidates.iter().find(|interval| ends(interval, day)) {
                return Ok(Some(Self { price, interval: *interval, moved }));
            }
        }
        Ok(Some(Self { price, interval: stated.unwrap_or(old), moved: None }))
    }

    fn list(&self, currency: Currency) -> Result<PriceList> {
        Ok(price_list("new", recurring(&self.price, self.interval, Timing::Advance)?, currency))
    }
}

/// A switch between a yearly and a monthly plan on the day the first one began.
fn switched(terms: &Terms) -> Result<Map<String, Value>> {
    let currency = terms.currency()?;
    let on = terms.need_moment("switch_on")?;
    let yearly = recurring(&terms.need("annual_price")?, monthly(12), Timing::Advance)?;
    let month = recurring(&terms.need("monthly_price")?, monthly(1), Timing::Advance)?;
    let lists = vec![price_list("annual", yearly, currency), price_list("monthly", month, currency)];
    // Which of both is left shows in the time that is credited.
    let credited = terms.items().iter().find(|item| kind(item) == "CREDIT_FOR_UNUSED");
    let until = credited.and_then(|item| moment(item.get("to")?.as_str()?));
    let left_monthly = until.is_some_and(|until| days_between(on, until) <= 31);
    let (first, second) = if left_monthly { ("monthly", "annual") } else { ("annual", "monthly") };
    let catalogue = catalogue(lists, currency, Some(on.date()), terms.profile)?;
    let mut account = Account {
        terms,
        catalogue,
        currency,
        events: Vec::new(),
        ledger: Ledger::default(),
        balance: 0,
        items: Vec::new(),
    };
    account.happens(on, start(first, &whole(1))?)?;
    account.run(on)?;
    account.items.clear();
    account.happens(on, Change::ChangePlan { price_list: second.to_owned() })?;
    account.run(on)?;
    for later in later_runs(terms, on) {
        account.run(later)?;
    }
    Ok(results([("items", Value::Array(account.items))]))
}

/// A change when a share of the period has gone by.
fn midway(terms: &Terms) -> Result<Map<String, Value>> {
    let currency = terms.currency()?;
    let parts = |part: &str, all: &str| {
        Some(terms.number(part)? / terms.number(all).filter(|all| *all != Exact::default())?)
    };
    let elapsed = terms
        .number("elapsed")
        .or_else(|| terms.number("remaining").map(|remaining| whole(1) - remaining))
        .or_else(|| parts("elapsed_seconds", "period_seconds"))
        .or_else(|| parts("elapsed_days", "period_days"));
    let rest = whole(1) - elapsed.ok_or_else(|| missing("elapsed"))?;
    let rest = terms.profile.round_ratio(&rest);
    let credit = -currency.round(&(terms.need("old")? * &rest))?;
    let charge = currency.round(&(terms.need("new")? * rest))?;
    let items =
        vec![item("CREDIT_FOR_UNUSED", None, credit, currency), item("RECURRING", None, charge, currency)];
    Ok(results([("items", Value::Array(items)), ("net", exact(&currency.major(credit + charge)))]))
}

/// A correction of a taxed charge by hand.
fn adjusted(terms: &Terms) -> Result<Map<String, Value>> {
    let currency = terms.currency()?;
    let charged = ["recurring", "price", "amount"].into_iter().find_map(|key| terms.number(key));
    let charged = currency.round(&charged.ok_or_else(|| missing("recurring"))?)?;
    let tax = currency.round(&terms.need("tax")?)?;
    let adjustment = currency.round(&terms.need("adjustment")?)?.saturating_abs().min(charged);
    let refund = tax_of_adjustment(charged, tax, adjustment)?;
    // A case may say what its tax system gave back instead.
    let refund = terms
        .number("tax_refund")
        .map_or(Ok(refund), |stated| currency.round(&stated).map(i64::saturating_abs))?;
    let surplus = Settlement::of(-(adjustment + refund), 0, 0).change();
    let items = vec![
        item("ITEM_ADJUSTMENT", None, -adjustment, currency),
        item("TAX", None, -refund, currency),
        balance_item(surplus, currency),
    ];
    Ok(results([("items", Value::Array(items))]))
}

/// A charge and its tax, and what the account's balance pays of both.
fn taxed(terms: &Terms) -> Result<Map<String, Value>> {
    let currency = terms.currency()?;
    let charged = currency.round(&terms.need("recurring")?)?;
    let tax = match (terms.number("tax"), terms.number("tax_rate")) {
        (Some(tax), _) => currency.round(&tax)?,
        (None, Some(rate)) => currency.round(&(currency.major(charged) * rate / whole(100)))?,
        (None, None) => 0,
    };
    let held = ["account_credit", "balance", "account_balance", "credit", "credit_balance"];
    let held =
        held.into_iter().find_map(|key| terms.number(key)).map_or(Ok(0), |held| currency.round(&held))?;
    let settled = Settlement::of(charged + tax, held, 0);
    let mut items = vec![item("RECURRING", None, charged, currency), item("TAX", None, tax, currency)];
    if settled.change() != 0 {
        items.push(balance_item(settled.change(), currency));
    }
    let major = |minor: i64| exact(&currency.major(minor));
    Ok(results([
        ("items", Value::Array(items)),
        ("total", major(charged + tax)),
        ("payable", major(settled.payable)),
        ("balance", major(held + settled.change())),
    ]))
}
