//! The knobs of the arithmetic: what we do, and the settings under which the engine reproduces what other billing systems
//! do. Pure.

use crate::calendar::{Interval, Period, days_between};
use crate::exact::{Exact, fraction, to_decimals};
use crate::refusal::Refusal;

/// How the length of a period is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Measure {
    /// Days of the calendar.
    Days,
    /// Days, where every month has so many, usually 30.
    FixedMonths(i64),
    /// Seconds of local time, without the hour that daylight saving takes or gives.
    Seconds,
}

/// The whole that an incomplete period is a part of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StubDenominator {
    /// The anchored period that encloses it.
    Enclosing,
    /// One interval, counted back from the boundary at which it ends or on from the one at which it begins; where neither is
    /// a boundary, back from its own end.
    Stepped,
    /// One interval counted on from its own begin.
    FromStart,
}

/// What a period already charged is credited with when its rest is no longer owed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CreditShare {
    /// What was charged less what the used part costs, so that charge and credit add up to the used part.
    Remainder,
    /// The unused share of the charge, rounded for itself.
    Proportional,
}

/// Where the boundaries of a recurring charge lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Anchoring {
    /// On the full date of the anchor: a year that began on 15 March ends on 15 March.
    FullDate,
    /// On the anchor's day in the month in which the charge began: a year that began on 15 March, with the anchor's day 1,
    /// ends on 1 March.
    DayOfMonth,
}

/// Whether the day on which something ends is charged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LastDay {
    /// It is not.
    Free,
    /// It is, so an end on the first day still costs one day.
    Charged,
}

/// How tax is rounded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaxRounding {
    /// Once per category and rate, as EN 16931 demands.
    PerCategory,
    /// Once over all rates.
    OverAll,
}

/// Until when usage that arrives late is charged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LookBack {
    /// So many days after it happened.
    Days(i32),
    /// So many periods before the last one that was closed when it arrived.
    Periods(i32),
}

/// One way of doing the arithmetic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    /// The measure of time.
    pub measure: Measure,
    /// Decimals to which a ratio is rounded before it is used; exact without.
    pub ratio_decimals: Option<u32>,
    /// The denominator of incomplete periods.
    pub stub_denominator: StubDenominator,
    /// How unused time is credited.
    pub credit: CreditShare,
    /// Where boundaries lie.
    pub anchoring: Anchoring,
    /// Whether the last day costs.
    pub last_day: LastDay,
    /// How tax is rounded.
    pub tax: TaxRounding,
    /// Decimals of a minor unit to which each step of spreading a coupon is rounded; whole minor units, by the largest
    /// remainder, without.
    pub coupon_step_scale: Option<u32>,
    /// How far back late usage counts.
    pub look_back: LookBack,
}

/// What Tenantry does.
pub const TENANTRY: Profile = Profile {
    name: "tenantry",
    measure: Measure::Days,
    ratio_decimals: None,
    stub_denominator: StubDenominator::Enclosing,
    credit: CreditShare::Remainder,
    anchoring: Anchoring::FullDate,
    last_day: LastDay::Free,
    tax: TaxRounding::PerCategory,
    coupon_step_scale: None,
    look_back: LookBack::Days(35),
};

/// Kill Bill: ratios of nine decimals, unused time credited by its share.
pub const KILL_BILL: Profile = Profile {
    name: "killbill",
    ratio_decimals: Some(9),
    stub_denominator: StubDenominator::Stepped,
    credit: CreditShare::Proportional,
    anchoring: Anchoring::DayOfMonth,
    look_back: LookBack::Periods(2),
    ..TENANTRY
};

/// Kill Bill with months of 30 days.
pub const KILL_BILL_FIXED_30: Profile =
    Profile { name: "killbill-fixed30", measure: Measure::FixedMonths(30), ..KILL_BILL };

/// Lago: the last day costs, tax is rounded once, coupons are spread in five decimals.
pub const LAGO: Profile = Profile {
    name: "lago",
    last_day: LastDay::Charged,
    credit: CreditShare::Proportional,
    tax: TaxRounding::OverAll,
    coupon_step_scale: Some(5),
    ..TENANTRY
};

/// OpenMeter: by the second.
pub const OPEN_METER: Profile = Profile { name: "openmeter", measure: Measure::Seconds, ..TENANTRY };

/// Stripe: by the second, and a start before the anchor imagines a period from the start.
pub const STRIPE: Profile = Profile {
    name: "stripe",
    measure: Measure::Seconds,
    stub_denominator: StubDenominator::FromStart,
    credit: CreditShare::Proportional,
    ..TENANTRY
};

/// Flexprice.
pub const FLEXPRICE: Profile = Profile { name: "flexprice", ..TENANTRY };

/// Schedules of service credits, which are steps and know no arithmetic of time.
pub const SLA: Profile = Profile { name: "sla", ..TENANTRY };

/// Every profile.
pub const ALL: [Profile; 8] =
    [TENANTRY, KILL_BILL, KILL_BILL_FIXED_30, LAGO, OPEN_METER, STRIPE, FLEXPRICE, SLA];

impl Profile {
    /// The profile of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|profile| profile.name == name)
    }

    /// The length of a period, in the profile's measure.
    #[must_use]
    pub fn length(&self, period: Period) -> i64 {
        let Period { from, to } = period;
        match self.measure {
            Measure::Days => i64::from(days_between(from, to)),
            Measure::FixedMonths(days) => {
                let months = (i64::from(to.year()) - i64::from(from.year())) * 12 + i64::from(to.month())
                    - i64::from(from.month());
                months * days + i64::from(to.day()) - i64::from(from.day())
            }
            Measure::Seconds => to.duration_since(from).as_secs(),
        }
    }

    /// The share of `part` in `whole`.
    #[must_use]
    pub fn ratio(&self, part: Period, whole: Period) -> Exact {
        self.round_ratio(&fraction(self.length(part), self.length(whole)))
    }

    /// A ratio as this profile uses it.
    #[must_use]
    pub fn round_ratio(&self, ratio: &Exact) -> Exact {
        self.ratio_decimals.map_or_else(|| ratio.clone(), |decimals| to_decimals(ratio, decimals))
    }

    /// The whole of which `part` is a part, when the anchored period around it is `enclosing`.
    ///
    /// # Errors
    /// The calendar ends before.
    pub fn whole_of(&self, part: Period, enclosing: Period, interval: Interval) -> Result<Period, Refusal> {
        if part == enclosing {
            return Ok(enclosing);
        }
        match self.stub_denominator {
            StubDenominator::Enclosing => Ok(enclosing),
            StubDenominator::FromStart => Ok(Period::new(part.from, interval.step(part.from, 1)?)),
            StubDenominator::Stepped if part.from == enclosing.from => {
                Ok(Period::new(part.from, interval.step(part.from, 1)?))
            }
            StubDenominator::Stepped => Ok(Period::new(interval.step(part.to, -1)?, part.to)),
        }
    }
}
