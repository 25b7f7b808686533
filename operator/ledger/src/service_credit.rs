//! Service credits: what an agreed uptime that was missed takes off the month it was missed in. Pure.

use num_traits::Zero as _;
use serde::{Deserialize, Serialize};

use crate::exact::{Decimal, Exact};
use crate::money::{percent, round_minor};
use crate::refusal::Refusal;

/// From this uptime on, this much is given back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Percent of the month, and it is enough to reach it.
    pub uptime: Decimal,
    /// Percent of the month's fees.
    pub credit: Decimal,
}

/// A schedule, from the best uptime to the worst.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Schedule(Vec<Step>);

impl Schedule {
    /// Checks the steps.
    ///
    /// # Errors
    /// A percentage out of range, uptimes that do not fall, or none that every month reaches.
    pub fn new(steps: Vec<Step>) -> Result<Self, Refusal> {
        for (index, step) in steps.iter().enumerate() {
            crate::catalogue::percentage(&format!("schedule[{index}].uptime"), &step.uptime)?;
            crate::catalogue::percentage(&format!("schedule[{index}].credit"), &step.credit)?;
        }
        let falls =
            |pair: &[Step]| matches!(pair, [better, worse] if better.uptime.value() > worse.uptime.value());
        if !steps.windows(2).all(falls) {
            return Err(Refusal::new(
                "schedule",
                "the uptimes do not fall from step to step",
                "order them, each once",
            ));
        }
        if steps.last().is_none_or(|step| !step.uptime.value().is_zero()) {
            return Err(Refusal::new("schedule", "some months reach no step", "let the last step be at 0"));
        }
        Ok(Self(steps))
    }

    /// The percentage that a month's uptime gives back.
    #[must_use]
    pub fn credit(&self, uptime: &Exact) -> Decimal {
        self.0
            .iter()
            .find(|step| uptime >= step.uptime.value())
            .map_or_else(Decimal::zero, |step| step.credit.clone())
    }

    /// What is given back of a month's fees, in minor units and never more than they are.
    ///
    /// # Errors
    /// The amount has more than 64 bits.
    pub fn amount(&self, uptime: &Exact, fees: i64) -> Result<i64, Refusal> {
        Ok(round_minor(&(crate::exact::whole(fees) * percent(&self.credit(uptime))))?.clamp(0, fees.max(0)))
    }
}
