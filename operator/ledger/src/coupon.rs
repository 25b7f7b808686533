//! Reductions of an invoice: coupons and the most that a period may cost. Pure.

use std::collections::BTreeSet;

use num_traits::Zero as _;
use serde::{Deserialize, Serialize};

use crate::exact::{Decimal, Exact, to_decimals, whole};
use crate::money::{percent, round_minor, split};
use crate::profile::Profile;
use crate::refusal::Refusal;

/// What a coupon takes off.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Off {
    /// Percent of what is left when its turn comes.
    Percent(Decimal),
    /// An amount in minor units, spread over its target by what is left there.
    Amount(i64),
}

/// What a coupon is for, the narrowest first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Target {
    /// Some charges, by name.
    Charges(BTreeSet<String>),
    /// Some subscriptions, by name.
    Subscriptions(BTreeSet<String>),
    /// Everything.
    All,
}

/// A reduction that somebody holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Coupon {
    /// Its name.
    pub name: String,
    /// How much.
    pub off: Off,
    /// For what.
    pub target: Target,
}

/// A line as coupons see it.
#[derive(Clone, Debug)]
pub struct Reducible<'a> {
    /// The charge's name.
    pub charge: &'a str,
    /// The subscription.
    pub subscription: &'a str,
    /// What is left of the line, in minor units. Negative lines are never reduced.
    pub left: Exact,
}

impl Target {
    fn rank(&self) -> u8 {
        match self {
            Self::Charges(_) => 0,
            Self::Subscriptions(_) => 1,
            Self::All => 2,
        }
    }

    fn holds(&self, line: &Reducible<'_>) -> bool {
        match self {
            Self::Charges(names) => names.contains(line.charge),
            Self::Subscriptions(names) => names.contains(line.subscription),
            Self::All => true,
        }
    }
}

/// Takes the coupons off the lines and says how much each line lost. Percentages come first, then amounts; within both the
/// narrower target first and then the older coupon, which is the earlier one in `coupons`.
///
/// A coupon never takes more than there is, and what it could not take is gone.
///
/// # Errors
/// A percentage below zero or above a hundred; an amount below zero.
pub fn apply(
    coupons: &[Coupon],
    lines: &mut [Reducible<'_>],
    profile: &Profile,
) -> Result<Vec<Exact>, Refusal> {
    let before: Vec<Exact> = lines.iter().map(|line| line.left.clone()).collect();
    let mut order: Vec<&Coupon> = coupons.iter().collect();
    order.sort_by_key(|coupon| (matches!(coupon.off, Off::Amount(_)), coupon.target.rank()));
    for coupon in order {
        let held = |line: &Reducible<'_>| coupon.target.holds(line) && line.left > Exact::zero();
        let weights: Vec<Exact> =
            lines.iter().map(|line| if held(line) { line.left.clone() } else { Exact::zero() }).collect();
        let total: Exact = weights.iter().sum();
        if total.is_zero() {
            continue;
        }
        let taken = match &coupon.off {
            Off::Percent(off) => {
                crate::catalogue::percentage(&format!("coupons[{}].percent", coupon.name), off)?;
                &total * percent(off)
            }
            Off::Amount(amount) if *amount < 0 => {
                return Err(Refusal::new(
                    format!("coupons[{}].amount", coupon.name),
                    format!("{amount} is negative"),
                    "write zero or more",
                ));
            }
            Off::Amount(amount) => whole(*amount).min(total.clone()),
        };
        for (line, share) in lines.iter_mut().zip(shares(&taken, &total, &weights, profile)?) {
            line.left -= share;
        }
    }
    Ok(before.into_iter().zip(lines.iter()).map(|(before, line)| before - &line.left).collect())
}

/// Spreads what a coupon takes over its lines: in whole minor units by the largest remainder, or each share rounded for
/// itself where a profile says to how many decimals.
fn shares(taken: &Exact, total: &Exact, weights: &[Exact], profile: &Profile) -> Result<Vec<Exact>, Refusal> {
    match profile.coupon_step_scale {
        Some(decimals) => {
            Ok(weights.iter().map(|weight| to_decimals(&(taken * weight / total), decimals)).collect())
        }
        None => Ok(split(round_minor(taken)?, weights)?.into_iter().map(whole).collect()),
    }
}

/// What a maximum takes off each line, in order, when `before` was already charged in the period.
#[must_use]
pub fn cap(maximum: &Exact, before: &Exact, lines: &[Exact]) -> Vec<Exact> {
    let mut room = (maximum - before).max(Exact::zero());
    lines
        .iter()
        .map(|line| {
            if *line <= Exact::zero() {
                return Exact::zero();
            }
            let kept = line.clone().min(room.clone());
            room -= &kept;
            line - kept
        })
        .collect()
}
