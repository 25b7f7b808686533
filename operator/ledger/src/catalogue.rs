//! What may be charged: the account, its price lists in full, bundles and the profile, checked as a whole. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::calendar::Interval;
use crate::exact::{Decimal, whole};
use crate::money::Currency;
use crate::price::Price;
use crate::profile::Profile;
use crate::refusal::Refusal;

/// Whose bill it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Its name.
    pub id: String,
    /// The one currency of its invoices.
    pub currency: Currency,
    /// An IANA time zone, which decides on which day something happened. Fixed when the account is made.
    pub time_zone: String,
    /// The date from which billing periods count; without one, the first day that something recurring costs money.
    #[serde(default)]
    pub anchor: Option<Date>,
    /// Whether all subscriptions are billed on the account's day or each on its own.
    #[serde(default)]
    pub alignment: Alignment,
}

/// Whose anchor a subscription's periods follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Alignment {
    /// The account's: one invoice day for all.
    #[default]
    Account,
    /// Its own: the first day that it costs money.
    Subscription,
}

/// The prices of one plan, as they were pinned when it was ordered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PriceList {
    /// Its name and revision, which the event log refers to.
    pub id: String,
    /// In what its prices are written.
    pub currency: Currency,
    /// What is charged.
    pub charges: Vec<Charge>,
    /// Phases that come before the lasting one, counted from the subscription's start.
    #[serde(default)]
    pub phases: Vec<Phase>,
    /// A minimum that the fees of a period are filled up to.
    #[serde(default)]
    pub commitment: Option<Commitment>,
}

/// One thing that is charged.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Charge {
    /// Its name, one of its kind in the price list.
    pub name: String,
    /// When it is charged.
    #[serde(flatten)]
    pub kind: ChargeKind,
    /// What it costs.
    pub price: Price,
    /// The tax category and rate it falls under, named in the issuer's table.
    #[serde(default)]
    pub tax: String,
}

/// When something is charged.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum ChargeKind {
    /// Each period, for the quantity of `unit`, or for one.
    Recurring {
        /// How often.
        interval: Interval,
        /// At the period's begin or its end.
        timing: Timing,
        /// The unit whose ordered quantity multiplies the price.
        #[serde(default)]
        unit: Option<String>,
        /// The quantity that costs nothing.
        #[serde(default = "Decimal::zero")]
        included: Decimal,
    },
    /// Once, when the subscription first has this price list.
    OneTime,
    /// What a meter counted, at each period's end.
    Usage {
        /// The meter.
        meter: String,
        /// The period of aggregation.
        interval: Interval,
        /// How the counts of a period become one.
        aggregation: Aggregation,
        /// How many of the meter's units make one priced unit.
        #[serde(default = "one")]
        per: Decimal,
        /// What happens to a part of a priced unit.
        #[serde(default)]
        rounding: UnitRounding,
        /// Priced units that cost nothing.
        #[serde(default = "Decimal::zero")]
        included: Decimal,
    },
}

fn one() -> Decimal {
    Decimal::integer(1)
}

/// At which end of its period a recurring charge is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Timing {
    /// At the begin.
    Advance,
    /// At the end.
    Arrears,
}

/// How the counts of a period become one quantity.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Aggregation {
    /// All of them.
    Sum,
    /// The largest.
    Max,
    /// The latest.
    Last,
}

/// What happens to a part of a priced unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum UnitRounding {
    /// It is priced as the part it is.
    #[default]
    Exact,
    /// It counts as a whole one.
    Up,
    /// It counts as a whole one from the half on.
    Nearest,
}

/// A stretch at the begin of a subscription with other prices.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Phase {
    /// How long.
    pub length: Interval,
    /// Percent off everything recurring: 100 is a trial.
    #[serde(default = "Decimal::zero")]
    pub discount: Decimal,
    /// Prices that stand in for those of the charges named.
    #[serde(default)]
    pub prices: BTreeMap<String, Price>,
}

impl Phase {
    /// A trial of some length.
    #[must_use]
    pub fn trial(length: Interval) -> Self {
        Self { length, discount: Decimal::integer(100), prices: BTreeMap::new() }
    }
}

/// A minimum that the fees of a period are filled up to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Commitment {
    /// The minimum of a whole period.
    pub amount: Decimal,
    /// The period.
    pub interval: Interval,
    /// What is owed when the subscription ends within a period.
    #[serde(default)]
    pub early_end: EarlyEnd,
    /// The tax category and rate of the difference.
    #[serde(default)]
    pub tax: String,
}

/// What of a commitment is owed for a period that was not served to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum EarlyEnd {
    /// The share of the period that was.
    #[default]
    Prorate,
    /// All of it.
    Full,
}

/// A discount for holding applications together, counted over the account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bundle {
    /// Its name.
    pub name: String,
    /// The applications that must be held, all of them.
    pub applications: BTreeSet<String>,
    /// Percent off the recurring charges of those applications.
    pub percent: Decimal,
}

/// Everything that prices an account's event log. Only [`Catalogue::new`] makes one, so it is known to be sound.
#[derive(Clone, Debug)]
pub struct Catalogue {
    pub(crate) account: Account,
    pub(crate) zone: TimeZone,
    pub(crate) lists: BTreeMap<String, PriceList>,
    pub(crate) bundles: Vec<Bundle>,
    pub(crate) profile: Profile,
}

impl Catalogue {
    /// Checks and keeps everything.
    ///
    /// # Errors
    /// The first thing that cannot be charged, with its place, why, and what would be right.
    pub fn new(
        account: Account,
        lists: Vec<PriceList>,
        bundles: Vec<Bundle>,
        profile: Profile,
    ) -> Result<Self, Refusal> {
        let zone = TimeZone::get(&account.time_zone).map_err(|_| {
            Refusal::new(
                "account.timeZone",
                format!("there is no time zone {:?}", account.time_zone),
                "write a name of the IANA database, like Europe/Zurich",
            )
        })?;
        let mut known = BTreeMap::new();
        for list in lists {
            list.check(account.currency)
                .map_err(|refusal| refusal.within(&format!("priceLists[{}]", list.id)))?;
            if let Some(twice) = known.insert(list.id.clone(), list) {
                return Err(Refusal::new(
                    format!("priceLists[{}]", twice.id),
                    "there are two of it",
                    "keep one",
                ));
            }
        }
        for bundle in &bundles {
            percentage(&format!("bundles[{}].percent", bundle.name), &bundle.percent)?;
            if bundle.applications.is_empty() {
                return Err(Refusal::new(
                    format!("bundles[{}].applications", bundle.name),
                    "a bundle of nothing",
                    "name the applications that must be held",
                ));
            }
        }
        Ok(Self { account, zone, lists: known, bundles, profile })
    }

    /// The clock by which it is decided on which day something happened.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The profile.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Charges by what is counted, each with its meter, over all price lists.
    pub fn metered(&self) -> impl Iterator<Item = (&str, &str)> {
        let charges = self.lists.values().flat_map(|list| &list.charges);
        charges.filter_map(|charge| match &charge.kind {
            ChargeKind::Usage { meter, .. } => Some((charge.name.as_str(), meter.as_str())),
            _ => None,
        })
    }

    pub(crate) fn list(&self, id: &str) -> Result<&PriceList, Refusal> {
        self.lists.get(id).ok_or_else(|| {
            Refusal::new(
                "priceList",
                format!("there is no price list {id:?}"),
                "keep every list an event refers to, in full",
            )
        })
    }
}

impl PriceList {
    /// Refuses a list that cannot be charged to an account in `currency`.
    ///
    /// # Errors
    /// The first thing wrong with it.
    pub fn check(&self, currency: Currency) -> Result<(), Refusal> {
        if self.currency != currency {
            return Err(Refusal::new(
                "currency",
                format!("prices are in {}, the account is billed in {currency}", self.currency),
                "write the prices in the account's currency",
            ));
        }
        let mut names = BTreeSet::new();
        for charge in &self.charges {
            let field = format!("charges[{}]", charge.name);
            if charge.name.is_empty() || !names.insert(&charge.name) {
                return Err(Refusal::new(
                    field,
                    "the name is empty or used twice",
                    "give each charge a name of its own",
                ));
            }
            charge.price.check(&field, currency)?;
            charge.kind.check(&field)?;
        }
        for (index, phase) in self.phases.iter().enumerate() {
            let field = format!("phases[{index}]");
            phase.length.check(&format!("{field}.length"))?;
            percentage(&format!("{field}.discount"), &phase.discount)?;
            for (name, price) in &phase.prices {
                if !names.contains(name) {
                    return Err(Refusal::new(
                        format!("{field}.prices[{name}]"),
                        "there is no such charge",
                        "name a charge of the same list",
                    ));
                }
                price.check(&format!("{field}.prices[{name}]"), currency)?;
            }
        }
        if let Some(commitment) = &self.commitment {
            currency.price("commitment.amount", &commitment.amount)?;
            commitment.interval.check("commitment.interval")?;
        }
        Ok(())
    }
}

impl ChargeKind {
    fn check(&self, field: &str) -> Result<(), Refusal> {
        match self {
            Self::OneTime => Ok(()),
            Self::Recurring { interval, included, .. } => {
                interval.check(&format!("{field}.interval"))?;
                included.not_negative(&format!("{field}.included")).map(|_| ())
            }
            Self::Usage { interval, per, included, .. } => {
                interval.check(&format!("{field}.interval"))?;
                included.not_negative(&format!("{field}.included"))?;
                if per.value() <= &whole(0) {
                    return Err(Refusal::new(
                        format!("{field}.per"),
                        format!("{per} is no unit"),
                        "write a number above zero",
                    ));
                }
                Ok(())
            }
        }
    }
}

/// Refuses a percentage that is none of 0 to 100.
///
/// # Errors
/// It is not.
pub fn percentage(field: &str, percent: &Decimal) -> Result<(), Refusal> {
    percent.not_negative(field)?;
    if percent.value() > &whole(100) {
        return Err(Refusal::new(
            field,
            format!("{percent} percent take more than there is"),
            "write 0 to 100",
        ));
    }
    Ok(())
}
