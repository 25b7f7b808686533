//! Price models: what a quantity costs, exactly. Pure.

use num_traits::{Signed as _, Zero as _};
use serde::{Deserialize, Serialize};

use crate::exact::{Decimal, Exact, UNIT_PRICE_DECIMALS};
use crate::money::{Currency, percent};
use crate::refusal::Refusal;

/// How a quantity becomes an amount.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "model", rename_all_fields = "camelCase")]
pub enum Price {
    /// The same amount for any quantity.
    Flat {
        /// The amount.
        price: Decimal,
    },
    /// So much per unit.
    PerUnit {
        /// The price of one.
        price: Decimal,
    },
    /// Whole packages; one that is begun counts.
    Package {
        /// Units in a package.
        size: Decimal,
        /// The price of a package.
        price: Decimal,
    },
    /// Each tier prices the units that lie in it.
    Graduated {
        /// The tiers, rising; the last one has no upper border.
        tiers: Vec<Tier>,
    },
    /// The tier in which the quantity lies prices all of it.
    Volume {
        /// The tiers, rising; the last one has no upper border.
        tiers: Vec<Tier>,
    },
    /// A share of an amount of money that passes through, which is the quantity.
    Percentage {
        /// Percent.
        percent: Decimal,
        /// The part of the amount that is free.
        #[serde(default = "Decimal::zero")]
        free: Decimal,
    },
    /// A block of units paid whether used or not, and a price for each unit beyond it.
    PrepaidBlock {
        /// Units in the block.
        size: Decimal,
        /// The price of the block.
        price: Decimal,
        /// The price of a unit beyond; without one, each further block that is begun costs what the first does.
        #[serde(default)]
        overage: Option<Decimal>,
    },
}

/// One tier of a graduated or volume price.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tier {
    /// The last unit in it; none for the last tier.
    #[serde(default)]
    pub up_to: Option<Decimal>,
    /// The price of a unit, or of a block where there is one.
    #[serde(default = "Decimal::zero")]
    pub price: Decimal,
    /// What entering the tier costs.
    #[serde(default = "Decimal::zero")]
    pub flat: Decimal,
    /// Units of a block; a block that is begun counts.
    #[serde(default)]
    pub block: Option<Decimal>,
}

/// An exact amount in major units, and which tier gave which part of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rated {
    /// The amount.
    pub amount: Exact,
    /// The tiers entered, counted from one.
    pub tiers: Vec<(usize, Exact)>,
}

impl Price {
    /// What `quantity` costs, when `before` was already charged for an earlier part of the same period.
    ///
    /// Tiers, packages and blocks go on where the earlier part stopped. What is owed for having the charge at all, a flat price
    /// or the first tier's entry, is owed in the first part, whether or not anything was used in it.
    #[must_use]
    pub fn rate(&self, before: Option<&Exact>, quantity: &Exact) -> Rated {
        let used = before.cloned().unwrap_or_default();
        let after = &used + quantity;
        match self {
            Self::Flat { price } if before.is_none() => Rated::of(price.value().clone()),
            Self::Flat { .. } => Rated::default(),
            Self::PerUnit { price } => Rated::of(price.value() * quantity),
            Self::Package { size, price } => {
                Rated::of((blocks(&after, size) - blocks(&used, size)) * price.value())
            }
            Self::Graduated { tiers } => graduated(tiers, before, &after),
            Self::Volume { tiers } => {
                let mut rated = volume(tiers, &after);
                if let Some(before) = before {
                    rated.amount -= volume(tiers, before).amount;
                }
                rated
            }
            Self::Percentage { percent: rate, free } => {
                let above = |amount: &Exact| (amount - free.value()).max(Exact::zero());
                Rated::of((above(&after) - above(&used)) * percent(rate))
            }
            Self::PrepaidBlock { size, price, overage } => {
                let total = |used: &Exact| match overage {
                    Some(each) => price.value() + (used - size.value()).max(Exact::zero()) * each.value(),
                    None => blocks(used, size).max(crate::exact::whole(1)) * price.value(),
                };
                Rated::of(total(&after) - before.map_or_else(Exact::zero, total))
            }
        }
    }

    /// What `quantity` costs in a period of its own.
    #[must_use]
    pub fn amount(&self, quantity: &Exact) -> Exact {
        self.rate(None, quantity).amount
    }

    /// Whether every quantity costs nothing.
    #[must_use]
    pub fn is_free(&self) -> bool {
        let nothing = |decimal: &Decimal| decimal.value().is_zero();
        match self {
            Self::Flat { price } | Self::PerUnit { price } | Self::Package { price, .. } => nothing(price),
            Self::Graduated { tiers } | Self::Volume { tiers } => {
                tiers.iter().all(|tier| nothing(&tier.price) && nothing(&tier.flat))
            }
            Self::Percentage { percent, .. } => nothing(percent),
            Self::PrepaidBlock { price, overage, .. } => {
                nothing(price) && overage.as_ref().is_none_or(nothing)
            }
        }
    }

    /// Refuses a price that cannot be charged in `currency`.
    ///
    /// # Errors
    /// A negative number, too many decimals, a package of nothing, tiers that overlap or leave a gap.
    pub fn check(&self, field: &str, currency: Currency) -> Result<(), Refusal> {
        let unit = |name: &str, price: &Decimal| {
            let field = format!("{field}.{name}");
            price.not_negative(&field)?.at_most(&field, UNIT_PRICE_DECIMALS, "a unit price").map(|_| ())
        };
        let fixed = |name: &str, price: &Decimal| currency.price(&format!("{field}.{name}"), price);
        let size = |name: &str, size: &Decimal| positive(&format!("{field}.{name}"), size);
        match self {
            Self::Flat { price } => fixed("price", price),
            Self::PerUnit { price } => unit("price", price),
            Self::Package { size: units, price } => size("size", units).and_then(|()| fixed("price", price)),
            Self::Percentage { percent, free } => {
                unit("percent", percent)?;
                free.not_negative(&format!("{field}.free")).map(|_| ())
            }
            Self::PrepaidBlock { size: units, price, overage } => {
                size("size", units)?;
                fixed("price", price)?;
                overage.as_ref().map_or(Ok(()), |price| unit("overage", price))
            }
            Self::Graduated { tiers } | Self::Volume { tiers } => check_tiers(field, tiers, currency),
        }
    }
}

impl Rated {
    fn of(amount: Exact) -> Self {
        Self { amount, tiers: Vec::new() }
    }
}

fn positive(field: &str, size: &Decimal) -> Result<(), Refusal> {
    if size.value().is_positive() {
        return Ok(());
    }
    Err(Refusal::new(field, format!("{size} units are no package"), "write a number above zero"))
}

fn check_tiers(field: &str, tiers: &[Tier], currency: Currency) -> Result<(), Refusal> {
    let Some((last, rest)) = tiers.split_last() else {
        return Err(Refusal::new(
            format!("{field}.tiers"),
            "there is none",
            "write at least one tier without upTo",
        ));
    };
    if last.up_to.is_some() {
        return Err(Refusal::new(
            format!("{field}.tiers[{}].upTo", rest.len()),
            "quantities above the last tier have no price",
            "leave upTo out of the last tier",
        ));
    }
    let mut below = Decimal::zero();
    for (index, tier) in tiers.iter().enumerate() {
        let at = |name: &str| format!("{field}.tiers[{index}].{name}");
        tier.price.not_negative(&at("price"))?.at_most(&at("price"), UNIT_PRICE_DECIMALS, "a unit price")?;
        currency.price(&at("flat"), &tier.flat)?;
        if let Some(block) = &tier.block {
            positive(&at("block"), block)?;
        }
        match &tier.up_to {
            Some(up_to) if up_to.value() <= below.value() => {
                return Err(Refusal::new(
                    at("upTo"),
                    format!("{up_to} overlaps the tier before, which ends at {below}"),
                    "let each tier end above the one before",
                ));
            }
            Some(up_to) => below = up_to.clone(),
            None if index < rest.len() => {
                return Err(Refusal::new(
                    at("upTo"),
                    "the tiers after it are never reached",
                    "write where it ends",
                ));
            }
            None => {}
        }
    }
    Ok(())
}

/// Blocks begun by a quantity.
fn blocks(quantity: &Exact, size: &Decimal) -> Exact {
    if size.value().is_zero() { Exact::zero() } else { (quantity / size.value()).ceil() }
}

impl Tier {
    fn units(&self, quantity: &Exact) -> Exact {
        match &self.block {
            Some(block) => blocks(quantity, block) * self.price.value(),
            None => quantity * self.price.value(),
        }
    }
}

fn graduated(tiers: &[Tier], before: Option<&Exact>, after: &Exact) -> Rated {
    let used = before.cloned().unwrap_or_default();
    let mut rated = Rated::default();
    let mut low = Exact::zero();
    for (index, tier) in tiers.iter().enumerate() {
        let high = tier.up_to.as_ref().map(Decimal::value);
        let within = |quantity: &Exact| {
            let capped = high.map_or_else(|| quantity.clone(), |high| quantity.clone().min(high.clone()));
            (capped - &low).max(Exact::zero())
        };
        let (old, new) = (within(&used), within(after));
        let mut part = tier.units(&new) - tier.units(&old);
        // The first tier is entered by having the charge at all, the others by a unit in them.
        let entered = if index == 0 { before.is_none() } else { old.is_zero() && !new.is_zero() };
        if entered {
            part += tier.flat.value();
        }
        if entered || new != old {
            rated.amount += &part;
            rated.tiers.push((index + 1, part));
        }
        let Some(high) = high else { break };
        low = high.clone();
    }
    rated
}

fn volume(tiers: &[Tier], quantity: &Exact) -> Rated {
    let inside = |tier: &Tier| tier.up_to.as_ref().is_none_or(|up_to| quantity <= up_to.value());
    let Some((index, tier)) = tiers.iter().enumerate().find(|(_, tier)| inside(tier)) else {
        return Rated::default();
    };
    let amount = tier.units(quantity) + tier.flat.value();
    Rated { amount: amount.clone(), tiers: vec![(index + 1, amount)] }
}
