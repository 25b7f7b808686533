//! What a plan costs, as the ledger reads it; pure.
//!
//! The prices of a plan are a list of their own, named by the plan and the digest of what they say. A tenant is pinned to the list of
//! its order, so that neither an edit of the plan nor a new revision of it changes what a customer pays.

use crate::Problem;
use serde_json::json;
use tenantry_crds::canonical;
use tenantry_crds::plan::ServicePlanSpec;
use tenantry_crds::prices::{ChargeInterval, ChargeTiming, ChargeType, PlanCharge};
use tenantry_ledger::calendar::{Interval, Unit};
use tenantry_ledger::catalogue::{Charge, ChargeKind, Phase, PriceList, Timing};
use tenantry_ledger::exact::Decimal;
use tenantry_ledger::money::Currency;
use tenantry_ledger::price::Price;
use tenantry_ledger::refusal::Refusal;

/// Hexadecimal digits of a price list's digest, as many as of a revision's.
const DIGITS: usize = 10;

/// The name of a plan's price list; none where the plan has no prices.
#[must_use]
pub fn name(plan: &str, spec: &ServicePlanSpec) -> Option<String> {
    let currency = spec.currency.as_ref()?;
    let content = json!({"currency": currency, "charges": spec.charges, "trial": spec.trial});
    Some(format!("{plan}@{}", canonical::digest(&content, DIGITS)))
}

/// The price list of a plan; none where the plan has no prices.
///
/// # Errors
/// What of it cannot be charged.
pub fn list(plan: &str, spec: &ServicePlanSpec) -> Result<Option<PriceList>, Refusal> {
    let (Some(id), Some(code)) = (name(plan, spec), &spec.currency) else { return Ok(None) };
    let currency = Currency::parse("currency", code)?;
    let charges = spec.charges.iter().map(charge).collect::<Result<Vec<_>, _>>()?;
    // The schema admits only what fits.
    let days = spec.trial.iter().filter_map(|trial| u16::try_from(trial.days).ok());
    let trial = days.map(|days| Phase::trial(Interval::of(days, Unit::Day)));
    let list = PriceList { id, currency, charges, phases: trial.collect(), commitment: None };
    list.check(currency)?;
    Ok(Some(list))
}

/// What is wrong with the prices of a plan beyond what its schema can say.
#[must_use]
pub fn check(spec: &ServicePlanSpec) -> Option<Problem> {
    let Refusal { field, reason, remedy } = list("plan", spec).err()?;
    Some(Problem::new(format!("spec.{field}"), "PlanInvalid", format!("{reason}; {remedy}")))
}

fn charge(charge: &PlanCharge) -> Result<Charge, Refusal> {
    let PlanCharge { name, kind, interval, timing, price, tax } = charge;
    let price = Decimal::parse(&format!("charges[{name}].price"), price)?;
    let kind = match kind {
        ChargeType::OneTime => ChargeKind::OneTime,
        ChargeType::Recurring => ChargeKind::Recurring {
            interval: match interval.unwrap_or_default() {
                ChargeInterval::Month => Interval::of(1, Unit::Month),
                ChargeInterval::Quarter => Interval::of(3, Unit::Month),
                ChargeInterval::Year => Interval::of(1, Unit::Year),
            },
            timing: match timing {
                ChargeTiming::Advance => Timing::Advance,
                ChargeTiming::Arrears => Timing::Arrears,
            },
            unit: None,
            included: Decimal::zero(),
        },
    };
    Ok(Charge { name: name.clone(), kind, price: Price::Flat { price }, tax: tax.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use tenantry_crds::prices::Trial;

    fn priced(price: &str, currency: &str) -> ServicePlanSpec {
        let base = PlanCharge {
            name: "base".to_owned(),
            interval: Some(ChargeInterval::Month),
            price: price.to_owned(),
            tax: "standard".to_owned(),
            ..PlanCharge::default()
        };
        ServicePlanSpec {
            currency: Some(currency.to_owned()),
            charges: vec![base],
            trial: Some(Trial { days: 14 }),
            ..fixtures::plan()
        }
    }

    #[test]
    fn a_list_is_named_by_what_it_says_and_by_nothing_else() {
        let plan = priced("249.00", "EUR");
        let name = name("gold", &plan).unwrap();
        assert!(name.starts_with("gold@") && name.len() == 15, "{name}");
        let described = ServicePlanSpec { description: "Other words.".to_owned(), ..plan.clone() };
        assert_eq!(super::name("gold", &described).unwrap(), name);
        assert_ne!(super::name("gold", &priced("250.00", "EUR")).unwrap(), name);
        assert_eq!(super::name("gold", &fixtures::plan()), None);
        let list = list("gold", &plan).unwrap().unwrap();
        assert_eq!((list.id, list.charges.len(), list.phases.len()), (name, 1, 1));
        assert_eq!(super::list("gold", &fixtures::plan()), Ok(None));
    }

    #[test]
    fn what_cannot_be_charged_is_a_problem_of_its_field() {
        assert_eq!(check(&fixtures::plan()), None);
        for (price, currency, field, remedy) in [
            ("249.00", "XYZ", "spec.currency", "ISO 4217"),
            ("249.005", "EUR", "spec.charges[base].price", "at most 2 decimals"),
            ("1.5", "JPY", "spec.charges[base].price", "at most 0 decimals"),
        ] {
            let problem = check(&priced(price, currency)).unwrap();
            assert_eq!(problem.field, field, "{problem}");
            assert!(problem.message.contains(remedy), "{problem}");
        }
    }
}
