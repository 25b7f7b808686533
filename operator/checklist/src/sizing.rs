//! Whether what a customer's business needs fits the plan, now and later; pure. The formulas are an application's, and are
//! evaluated elsewhere: what they gave comes in.
//!
//! Amounts are whole numbers in the unit of their resource, rounded up, so that equal inputs give equal answers on every
//! machine.

use std::str::FromStr;
use tenantry_crds::ServicePlanSpec;
use tenantry_crds::quantity::Quantity;
use tenantry_crds::subscription::{BusinessInputs, SizedResource, SizingResult, SizingStatus, SizingVerdict};

/// Months that are looked ahead.
pub const HORIZON: u32 = 60;

/// What one formula gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Need {
    /// Resource that is sized.
    pub resource: SizedResource,
    /// Text of the formula.
    pub formula: String,
    /// Its result, in the unit the resource is sized in: cores, GiB, Mbit/s, a count.
    pub amount: f64,
}

/// A plan that can be ordered.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// Name of the plan.
    pub name: &'a str,
    /// What it gives.
    pub spec: &'a ServicePlanSpec,
}

/// What a sizing is made from.
pub struct SizingInput<'a, E> {
    /// The business of the customer.
    pub inputs: &'a BusinessInputs,
    /// The plan that is ordered.
    pub plan: Offer<'a>,
    /// Plans that could be ordered instead.
    pub offers: &'a [Offer<'a>],
    /// What the formulas give so many months from now, when data has grown as stated.
    pub needs_after: &'a dyn Fn(u32) -> Result<Vec<Need>, E>,
}

/// Sizes a tenant: what is needed now, whether the plan has it, for how long, and which is the smallest plan that has it.
///
/// # Errors
/// What evaluating a formula gave.
pub fn size<E>(input: &SizingInput<'_, E>) -> Result<SizingStatus, E> {
    let now = (input.needs_after)(0)?;
    let grows = input.inputs.yearly_growth_percent > 0;
    let (verdict, months) = if !fits(&now, input.plan.spec) {
        (SizingVerdict::DoesNotFit, None)
    } else if let Some(months) = if grows { outgrown(input)? } else { None } {
        (SizingVerdict::FitsForMonths, i32::try_from(months).ok())
    } else {
        (SizingVerdict::Fits, None)
    };
    let smallest = (verdict == SizingVerdict::DoesNotFit).then(|| smallest(&now, input.offers)).flatten();
    let result = |need: &Need| SizingResult {
        resource: need.resource,
        formula: need.formula.clone(),
        needed: needed(need).to_string(),
        entitled: entitled(need.resource, input.plan.spec).map(|entitled| entitled.to_string()),
    };
    Ok(SizingStatus {
        inputs: input.inputs.clone(),
        plan: input.plan.name.to_owned(),
        verdict,
        months,
        smallest_plan: smallest,
        results: now.iter().map(result).collect(),
    })
}

/// What a sizing says, for people.
#[must_use]
pub fn told(sizing: &SizingStatus) -> String {
    let short = |result: &SizingResult| {
        let has = result.entitled.as_deref().unwrap_or("no limit");
        format!("{} {} of {has}", result.needed, word(result.resource))
    };
    let is_short = |result: &&SizingResult| {
        let read = |text: &str| Quantity::from_str(text).ok();
        result.entitled.as_deref().and_then(read) < read(&result.needed) && result.entitled.is_some()
    };
    let plan = &sizing.plan;
    let all = sizing.results.iter().map(short).collect::<Vec<_>>().join(", ");
    match (sizing.verdict, sizing.months) {
        (SizingVerdict::DoesNotFit, _) => {
            let missing: Vec<String> = sizing.results.iter().filter(is_short).map(short).collect();
            let remedy = match &sizing.smallest_plan {
                Some(smallest) => format!("the smallest plan that has it is {smallest}"),
                None => "no plan that can be ordered has it".to_owned(),
            };
            format!("plan {plan} is too small: {}; {remedy}", missing.join(", "))
        }
        (SizingVerdict::FitsForMonths, Some(months)) => {
            format!("plan {plan} fits for {months} months at the stated growth: {all}")
        }
        _ => format!("plan {plan} fits: {all}"),
    }
}

/// Months after which the plan is too small for the first time.
fn outgrown<E>(input: &SizingInput<'_, E>) -> Result<Option<u32>, E> {
    for month in 1..=HORIZON {
        if !fits(&(input.needs_after)(month)?, input.plan.spec) {
            return Ok(Some(month));
        }
    }
    Ok(None)
}

fn fits(needs: &[Need], plan: &ServicePlanSpec) -> bool {
    needs.iter().all(|need| entitled(need.resource, plan).is_none_or(|entitled| needed(need) <= entitled))
}

/// The plan that fits and gives the least: by CPU, then memory, then storage, then name.
fn smallest(needs: &[Need], offers: &[Offer<'_>]) -> Option<String> {
    let rank = |offer: &Offer<'_>| {
        let of = |resource| entitled(resource, offer.spec);
        (of(SizedResource::Cpu), of(SizedResource::Memory), of(SizedResource::Storage), offer.name.to_owned())
    };
    let fitting = offers.iter().filter(|offer| fits(needs, offer.spec));
    fitting.min_by_key(|offer| rank(offer)).map(|offer| offer.name.to_owned())
}

/// What is needed, rounded up: CPU to thousandths of a core, memory and storage to MiB, the rest to whole numbers.
fn needed(need: &Need) -> Quantity {
    const MIB: i64 = 1 << 20;
    let up = |factor: f64| {
        // What is off by less than a millionth is an artefact of binary fractions, not a need.
        let scaled = (need.amount * factor - 1e-6).ceil().clamp(0.0, 9e15);
        #[allow(clippy::cast_possible_truncation, reason = "clamped below 2^53")]
        let whole = scaled as i64;
        whole
    };
    match need.resource {
        SizedResource::Cpu => Quantity::from_milli(up(1000.0)),
        SizedResource::Memory | SizedResource::Storage => Quantity::from_count(up(1024.0)).times(MIB),
        SizedResource::Bandwidth => Quantity::from_count(up(1.0)).times(1_000_000),
        SizedResource::Instances => Quantity::from_count(up(1.0)),
    }
}

/// What a plan gives of a resource; nothing where it sets no limit, or one that cannot be read.
fn entitled(resource: SizedResource, plan: &ServicePlanSpec) -> Option<Quantity> {
    match resource {
        SizedResource::Cpu => plan.servers.cpu.parse().ok(),
        SizedResource::Memory => plan.servers.memory.parse().ok(),
        SizedResource::Storage => {
            let classes = plan.storage.classes.iter().filter_map(|class| class.total_capacity.parse().ok());
            Some(classes.fold(Quantity::ZERO, Quantity::plus))
        }
        SizedResource::Bandwidth => plan.network.bandwidth.as_ref()?.per_pod.egress.parse().ok(),
        SizedResource::Instances => Some(Quantity::from_count(plan.servers.pods.into())),
    }
}

fn word(resource: SizedResource) -> &'static str {
    match resource {
        SizedResource::Cpu => "CPU",
        SizedResource::Memory => "memory",
        SizedResource::Storage => "storage",
        SizedResource::Bandwidth => "bit/s",
        SizedResource::Instances => "instances",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use std::convert::Infallible;

    fn plan(cpu: &str, storage: &str) -> ServicePlanSpec {
        let mut plan = fixtures::plan();
        plan.servers.cpu = cpu.to_owned();
        plan.storage.classes[0].total_capacity = storage.to_owned();
        plan
    }

    fn need(resource: SizedResource, amount: f64) -> Need {
        Need { resource, formula: "f".to_owned(), amount }
    }

    fn sized(cpu: f64, storage: f64, growth: i64) -> SizingStatus {
        let (silver, gold, platinum) = (plan("2", "50Gi"), plan("8", "200Gi"), plan("32", "1Ti"));
        let offers = [
            Offer { name: "platinum", spec: &platinum },
            Offer { name: "gold", spec: &gold },
            Offer { name: "silver", spec: &silver },
        ];
        let inputs = BusinessInputs { yearly_growth_percent: growth, ..BusinessInputs::default() };
        let needs_after = |months: u32| -> Result<Vec<Need>, Infallible> {
            let grown = (1.0 + growth as f64 / 100.0).powf(f64::from(months) / 12.0);
            Ok(vec![need(SizedResource::Cpu, cpu), need(SizedResource::Storage, storage * grown)])
        };
        let input =
            SizingInput { inputs: &inputs, plan: offers[1], offers: &offers, needs_after: &needs_after };
        let Ok(sizing) = size(&input);
        sizing
    }

    #[test]
    fn a_plan_fits_or_for_so_long_or_not() {
        for (cpu, storage, growth, verdict, months, smallest) in [
            (2.1, 128.0, 0, SizingVerdict::Fits, None, None),
            (8.0, 200.0, 0, SizingVerdict::Fits, None, None),
            (2.1, 100.0, 100, SizingVerdict::FitsForMonths, Some(13), None),
            (2.1, 1.0, 20, SizingVerdict::Fits, None, None),
            (8.001, 1.0, 0, SizingVerdict::DoesNotFit, None, Some("platinum")),
            (1.0, 201.0, 20, SizingVerdict::DoesNotFit, None, Some("platinum")),
            (33.0, 1.0, 0, SizingVerdict::DoesNotFit, None, None),
        ] {
            let sizing = sized(cpu, storage, growth);
            let found = (sizing.verdict, sizing.months, sizing.smallest_plan.as_deref());
            assert_eq!(found, (verdict, months, smallest), "{cpu} {storage} {growth}");
        }
    }

    #[test]
    fn needs_are_rounded_up_and_told_beside_what_the_plan_has() {
        let sizing = sized(2.1001, 128.0, 0);
        assert_eq!(sizing.results[0].needed, "2101m");
        assert_eq!(sizing.results[1].needed, "128Gi");
        assert_eq!(told(&sizing), "plan gold fits: 2101m CPU of 8, 128Gi storage of 200Gi");
        assert_eq!(
            needed(&need(SizedResource::Cpu, 0.1 + 0.2)),
            Quantity::from_milli(300),
            "no binary artefact"
        );
        assert_eq!(needed(&need(SizedResource::Memory, 1.0001)).to_string(), "1025Mi");
        let short = told(&sized(9.0, 1.0, 0));
        assert_eq!(short, "plan gold is too small: 9 CPU of 8; the smallest plan that has it is platinum");
        assert!(
            told(&sized(2.0, 100.0, 100)).starts_with("plan gold fits for 13 months at the stated growth")
        );
    }
}
