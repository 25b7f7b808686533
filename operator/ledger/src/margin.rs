//! What units cost the seller, and what is left of what was sold. Pure.
//!
//! Costs are no facts of an account: nobody is billed by them, and what is written down of an account is for who pays as well. They are
//! the seller's own data, each from a day on, so that a month that is over keeps the costs that it had.
//!
//! What was sold counts in the time that it is for and not in that of its document: a year that was paid ahead is sold month by
//! month. Each cost is rounded once, by what it is for, and everything else is a sum of such numbers. So tenants add up to
//! their plan, months to their year, and no currency is ever turned into another one.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use num_traits::Zero as _;
use serde::{Deserialize, Serialize};

use crate::exact::{Decimal, Exact, UNIT_PRICE_DECIMALS, fraction, whole};
use crate::money::{Currency, Money, round_minor, sum};
use crate::refusal::Refusal;

/// What costs the seller something.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Resource {
    /// Cores that a share of servers lets somebody request: thousandths of one, for a second.
    Cpu {
        /// What price lists call a share of these servers.
        servers: String,
    },
    /// Memory that a share of servers lets somebody request: MiB, for a second.
    Memory {
        /// What price lists call a share of these servers.
        servers: String,
    },
    /// What a meter counts, in the meter's unit.
    Meter {
        /// The application that declares it.
        application: String,
        /// The meter.
        meter: String,
    },
}

/// What a unit costs from a day on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CostRate {
    /// Of what.
    pub resource: Resource,
    /// The first day on which it holds; from ever without one.
    pub from: Option<Date>,
    /// How many of what is counted have the cost together.
    pub per: Decimal,
    /// What they cost, in major units.
    pub cost: Decimal,
    /// Of what.
    pub currency: Currency,
}

/// What there was of something in an hour of UTC.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Amount {
    /// Of what.
    pub resource: Resource,
    /// The begin of the hour.
    pub at: Timestamp,
    /// How much.
    pub quantity: i128,
}

/// A line of a document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sale {
    /// The plan whose prices it has, where it has a plan's.
    pub plan: Option<String>,
    /// The first moment that it is for, by the account's clock.
    pub from: DateTime,
    /// The first moment after; the same for what was sold once.
    pub to: DateTime,
    /// What is left of it after coupons, before tax; negative for what was given back.
    pub net: Money,
}

/// From when on a tenant had a plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stretch {
    /// The instant.
    pub from: Timestamp,
    /// The plan.
    pub plan: String,
}

/// The life of one tenant, as far as it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Life<'a> {
    /// Its plans, in order of time. The first one holds before as well.
    pub plans: &'a [Stretch],
    /// What it had and used.
    pub amounts: &'a [Amount],
    /// What it was billed, at any time.
    pub sales: &'a [Sale],
    /// By whose clock days are told.
    pub zone: &'a TimeZone,
}

/// What a tenant had, used, paid and cost while it had one plan.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Share {
    /// The plan.
    pub plan: String,
    /// What it had and used.
    pub used: BTreeMap<Resource, i128>,
    /// What was sold, in minor units.
    pub sold: BTreeMap<Currency, i64>,
    /// What it cost, in minor units.
    pub costs: BTreeMap<(Resource, Currency), i64>,
    /// What there was of which nobody says what it costs.
    pub unpriced: BTreeSet<Resource>,
}

/// What is left in one currency.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Total {
    /// The currency.
    pub currency: Currency,
    /// What was sold, in minor units.
    pub sold: i64,
    /// What it cost, in minor units.
    pub cost: i64,
    /// What is left, in minor units.
    pub margin: i64,
}

// === impl CostRate ===

impl CostRate {
    /// Refuses what nothing can cost.
    ///
    /// # Errors
    /// The first thing wrong with it.
    pub fn check(&self) -> Result<(), Refusal> {
        self.cost.not_negative("cost")?.at_most("cost", UNIT_PRICE_DECIMALS, "what a unit costs")?;
        if self.per.not_negative("per")?.value().is_zero() {
            return Err(Refusal::new(
                "per",
                "nothing would have the cost",
                "write how many units cost so much, above zero",
            ));
        }
        Ok(())
    }

    fn holds_on(&self, day: Date) -> bool {
        self.from.is_none_or(|from| from <= day)
    }

    fn of(&self, quantity: i128) -> Exact {
        whole(quantity) * self.cost.value() / self.per.value()
    }
}

/// What a tenant had, used, paid and cost from one day to before another, by the plan that it had. An hour counts for the plan that was
/// there when it began, and costs what holds on its day.
///
/// # Errors
/// A rate that is none; and amounts of more than 64 bits.
pub fn shares(life: Life<'_>, rates: &[CostRate], [from, to]: [Date; 2]) -> Result<Vec<Share>, Refusal> {
    for (index, rate) in rates.iter().enumerate() {
        rate.check().map_err(|refusal| refusal.within(&format!("costs[{index}]")))?;
    }
    let Life { amounts, sales, zone, .. } = life;
    let mut shares: BTreeMap<String, Share> = BTreeMap::new();
    let mut by_rate: BTreeMap<(String, usize), i128> = BTreeMap::new();
    for Amount { resource, at, quantity } in amounts {
        let day = zone.to_datetime(*at).date();
        if day < from || day >= to {
            continue;
        }
        let plan = life.plan_at(*at);
        let share = of(&mut shares, plan);
        *share.used.entry(resource.clone()).or_default() += quantity;
        let holding = holding(rates, resource, day);
        if holding.is_empty() && *quantity != 0 {
            share.unpriced.insert(resource.clone());
        }
        for rate in holding {
            *by_rate.entry((plan.to_owned(), rate)).or_default() += quantity;
        }
    }
    let mut costs: BTreeMap<(String, Resource, Currency), Exact> = BTreeMap::new();
    for ((plan, index), quantity) in by_rate {
        let Some(rate) = rates.get(index) else { continue };
        let cost = costs.entry((plan, rate.resource.clone(), rate.currency)).or_default();
        *cost += rate.of(quantity);
    }
    for ((plan, resource, currency), cost) in costs {
        of(&mut shares, &plan).costs.insert((resource, currency), currency.round(&cost)?);
    }
    let bounds = [from, to].map(|day| day.to_datetime(Time::midnight()));
    for sale in sales {
        let sold = sale.within(bounds)?;
        if sold != 0 {
            let plan = sale.plan.as_deref().unwrap_or_else(|| life.plan_on(sale.from));
            let known = of(&mut shares, plan).sold.entry(sale.net.currency).or_default();
            *known = sum([*known, sold])?;
        }
    }
    Ok(shares.into_values().collect())
}

/// What is left of what was sold, currency by currency.
///
/// # Errors
/// Amounts of more than 64 bits.
pub fn totals<'a>(shares: impl IntoIterator<Item = &'a Share>) -> Result<Vec<Total>, Refusal> {
    let mut sums: BTreeMap<Currency, [i64; 2]> = BTreeMap::new();
    for share in shares {
        for (currency, amount) in &share.sold {
            let [sold, _] = sums.entry(*currency).or_default();
            *sold = sum([*sold, *amount])?;
        }
        for ((_, currency), amount) in &share.costs {
            let [_, cost] = sums.entry(*currency).or_default();
            *cost = sum([*cost, *amount])?;
        }
    }
    let total = |(currency, [sold, cost]): (Currency, [i64; 2])| {
        let margin = sum([sold, cost.saturating_neg()])?;
        Ok(Total { currency, sold, cost, margin })
    };
    sums.into_iter().map(total).collect()
}

/// Several shares as one, under the name of the first one's plan.
///
/// # Errors
/// Amounts of more than 64 bits.
pub fn together<'a>(shares: impl IntoIterator<Item = &'a Share>) -> Result<Share, Refusal> {
    let mut all = Share::default();
    for Share { plan, used, sold, costs, unpriced } in shares {
        if all.plan.is_empty() {
            all.plan.clone_from(plan);
        }
        for (resource, quantity) in used {
            *all.used.entry(resource.clone()).or_default() += quantity;
        }
        for (currency, amount) in sold {
            let known = all.sold.entry(*currency).or_default();
            *known = sum([*known, *amount])?;
        }
        for (what, amount) in costs {
            let known = all.costs.entry(what.clone()).or_default();
            *known = sum([*known, *amount])?;
        }
        all.unpriced.extend(unpriced.iter().cloned());
    }
    Ok(all)
}

fn of<'a>(shares: &'a mut BTreeMap<String, Share>, plan: &str) -> &'a mut Share {
    shares.entry(plan.to_owned()).or_insert_with(|| Share { plan: plan.to_owned(), ..Share::default() })
}

/// The rates that hold for something on a day, one of each currency: the latest, and of those of one day the last.
fn holding(rates: &[CostRate], resource: &Resource, day: Date) -> Vec<usize> {
    let mut latest: BTreeMap<Currency, (Option<Date>, usize)> = BTreeMap::new();
    for (index, rate) in rates.iter().enumerate() {
        if rate.resource == *resource && rate.holds_on(day) {
            let known = latest.entry(rate.currency).or_insert((rate.from, index));
            if rate.from >= known.0 {
                *known = (rate.from, index);
            }
        }
    }
    latest.into_values().map(|(_, index)| index).collect()
}

// === impl Life ===

impl Life<'_> {
    fn plan_at(&self, at: Timestamp) -> &str {
        let begun = self.plans.partition_point(|stretch| stretch.from <= at);
        let stretch = self.plans.get(begun.saturating_sub(1));
        stretch.map_or("", |stretch| stretch.plan.as_str())
    }

    fn plan_on(&self, at: DateTime) -> &str {
        self.plan_at(self.zone.to_timestamp(at).unwrap_or(Timestamp::MIN))
    }
}

// === impl Sale ===

impl Sale {
    /// What of it is for a stretch of time, in minor units. Stretches that follow each other add up to the whole.
    fn within(&self, [from, to]: [DateTime; 2]) -> Result<i64, Refusal> {
        Ok(self.before(to)? - self.before(from)?)
    }

    /// What of it is for the time before a moment.
    fn before(&self, at: DateTime) -> Result<i64, Refusal> {
        let length = self.to.duration_since(self.from).as_secs();
        if length <= 0 {
            return Ok(if self.from < at { self.net.minor } else { 0 });
        }
        let passed = at.duration_since(self.from).as_secs().clamp(0, length);
        round_minor(&(whole(self.net.minor) * fraction(passed, length)))
    }
}
