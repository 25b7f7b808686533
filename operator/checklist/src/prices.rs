//! What a plan costs, as the ledger reads it; pure.
//!
//! The prices of a plan are a list of their own, named by the plan and the digest of what they say. A tenant is pinned to the list of
//! its order, so that neither an edit of the plan nor a new revision of it changes what a customer pays.

use crate::Problem;
use crate::billing::unit_name;
use serde_json::json;
use std::collections::BTreeMap;
use tenantry_crds::canonical;
use tenantry_crds::plan::ServicePlanSpec;
use tenantry_crds::prices::{
    ChargeInterval, ChargeTiming, ChargeType, Introduction, MeterAggregation, MeterRounding, MinimumAtEnd,
    PlanCharge, PlanMinimum, PriceModel, PriceTier,
};
use tenantry_ledger::calendar::{Interval, Unit};
use tenantry_ledger::catalogue::{
    Aggregation, Charge, ChargeKind, Commitment, EarlyEnd, Phase, PriceList, Timing, UnitRounding, percentage,
};
use tenantry_ledger::exact::Decimal;
use tenantry_ledger::money::Currency;
use tenantry_ledger::price::{Price, Tier};
use tenantry_ledger::refusal::Refusal;

/// Hexadecimal digits of a price list's digest, as many as of a revision's.
const DIGITS: usize = 10;

/// The name of a plan's price list; none where the plan has no prices.
#[must_use]
pub fn name(plan: &str, spec: &ServicePlanSpec) -> Option<String> {
    let currency = spec.currency.as_ref()?;
    let mut content = json!({"currency": currency, "charges": spec.charges, "trial": spec.trial});
    // Left out where there is none, so that lists keep the names that they had before there was such a field.
    let more = [
        ("introduction", spec.introduction.as_ref().map(|introduction| json!(introduction))),
        ("minimum", spec.minimum.as_ref().map(|minimum| json!(minimum))),
    ];
    if let Some(content) = content.as_object_mut() {
        content.extend(more.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?))));
    }
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
    let mut phases: Vec<Phase> = days.map(|days| Phase::trial(Interval::of(days, Unit::Day))).collect();
    if let Some(Introduction { months, percent }) = &spec.introduction {
        let length = Interval::of(u16::try_from(*months).unwrap_or(1), Unit::Month);
        let discount = Decimal::parse("introduction.percent", percent)?;
        percentage("introduction.percent", &discount)?;
        phases.push(Phase { length, discount, prices: BTreeMap::new() });
    }
    let commitment = spec.minimum.as_ref().map(|minimum| commitment(minimum, currency)).transpose()?;
    let list = PriceList { id, currency, charges, phases, commitment };
    list.check(currency)?;
    Ok(Some(list))
}

/// What is wrong with the prices of a plan beyond what its schema can say.
#[must_use]
pub fn check(spec: &ServicePlanSpec) -> Option<Problem> {
    let Refusal { field, reason, remedy } = list("plan", spec).err()?;
    Some(Problem::new(format!("spec.{field}"), "PlanInvalid", format!("{reason}; {remedy}")))
}

/// Prices of meters that no application declares: nothing would ever be charged by them.
#[must_use]
pub fn undeclared(spec: &ServicePlanSpec, is_declared: impl Fn(&str) -> bool) -> Vec<Problem> {
    let meters = spec.charges.iter().filter_map(|charge| Some((charge, charge.meter.as_deref()?)));
    let unknown = meters.filter(|(_, meter)| !is_declared(meter)).map(|(charge, meter)| {
        let message = format!(
            "no application declares a meter {meter}; add it to spec.meters of the HostedApplication that counts it, or correct \
             the name"
        );
        Problem::new(format!("spec.charges[{}].meter", charge.name), "MeterNotDeclared", message)
    });
    unknown.collect()
}

fn charge(charge: &PlanCharge) -> Result<Charge, Refusal> {
    let PlanCharge { name, kind, interval, timing, unit, included, tax, .. } = charge;
    let included = || number(&format!("charges[{name}].included"), included.as_deref());
    let kind = match kind {
        ChargeType::OneTime => ChargeKind::OneTime,
        ChargeType::Recurring => ChargeKind::Recurring {
            interval: length(interval.unwrap_or_default()),
            timing: match timing {
                ChargeTiming::Advance => Timing::Advance,
                ChargeTiming::Arrears => Timing::Arrears,
            },
            unit: unit.map(unit_name),
            included: included()?,
        },
        ChargeType::Usage => usage(charge, included()?)?,
    };
    Ok(Charge { name: name.clone(), kind, price: price(charge)?, tax: tax.clone() })
}

/// How what is counted becomes a quantity. The schema says which fields come with a meter.
fn usage(charge: &PlanCharge, included: Decimal) -> Result<ChargeKind, Refusal> {
    let PlanCharge { name, interval, meter, aggregation, per, rounding, .. } = charge;
    let per = match per {
        Some(per) => Decimal::parse(&format!("charges[{name}].per"), per)?,
        None => Decimal::integer(1),
    };
    Ok(ChargeKind::Usage {
        meter: meter.clone().unwrap_or_default(),
        interval: length(interval.unwrap_or_default()),
        aggregation: match aggregation.unwrap_or(MeterAggregation::Sum) {
            MeterAggregation::Sum => Aggregation::Sum,
            MeterAggregation::Max => Aggregation::Max,
            MeterAggregation::Last => Aggregation::Last,
        },
        per,
        rounding: match rounding.unwrap_or(MeterRounding::Exact) {
            MeterRounding::Exact => UnitRounding::Exact,
            MeterRounding::Up => UnitRounding::Up,
            MeterRounding::Nearest => UnitRounding::Nearest,
        },
        included,
    })
}

/// What a charge costs, by its model.
fn price(charge: &PlanCharge) -> Result<Price, Refusal> {
    let PlanCharge { name, unit, meter, model, price, tiers, size, overage, .. } = charge;
    let at = |field: &str| format!("charges[{name}].{field}");
    let price = || number(&at("price"), price.as_deref());
    let size = || number(&at("size"), size.as_deref());
    let tiers = || -> Result<Vec<Tier>, Refusal> {
        tiers
            .iter()
            .enumerate()
            .map(|(index, tier)| self::tier(&at(&format!("tiers[{index}]")), tier))
            .collect()
    };
    // The schema says which fields come with which model.
    let usual = if unit.is_some() || meter.is_some() { PriceModel::PerUnit } else { PriceModel::Flat };
    Ok(match model.unwrap_or(usual) {
        PriceModel::Flat => Price::Flat { price: price()? },
        PriceModel::PerUnit => Price::PerUnit { price: price()? },
        PriceModel::Package => Price::Package { size: size()?, price: price()? },
        PriceModel::Graduated => Price::Graduated { tiers: tiers()? },
        PriceModel::Volume => Price::Volume { tiers: tiers()? },
        PriceModel::PrepaidBlock => Price::PrepaidBlock {
            size: size()?,
            price: price()?,
            overage: overage.as_deref().map(|text| Decimal::parse(&at("overage"), text)).transpose()?,
        },
    })
}

fn tier(field: &str, tier: &PriceTier) -> Result<Tier, Refusal> {
    let PriceTier { up_to, price, flat } = tier;
    Ok(Tier {
        up_to: up_to.as_deref().map(|text| Decimal::parse(&format!("{field}.upTo"), text)).transpose()?,
        price: number(&format!("{field}.price"), price.as_deref())?,
        flat: number(&format!("{field}.flat"), flat.as_deref())?,
        block: None,
    })
}

fn commitment(minimum: &PlanMinimum, currency: Currency) -> Result<Commitment, Refusal> {
    let PlanMinimum { amount, interval, early_end, tax } = minimum;
    let amount = Decimal::parse("minimum.amount", amount)?;
    currency.price("minimum.amount", &amount)?;
    let early_end = match early_end {
        MinimumAtEnd::Prorate => EarlyEnd::Prorate,
        MinimumAtEnd::Full => EarlyEnd::Full,
    };
    Ok(Commitment { amount, interval: length(*interval), early_end, tax: tax.clone() })
}

fn length(interval: ChargeInterval) -> Interval {
    match interval {
        ChargeInterval::Month => Interval::of(1, Unit::Month),
        ChargeInterval::Quarter => Interval::of(3, Unit::Month),
        ChargeInterval::Year => Interval::of(1, Unit::Year),
    }
}

/// A number that may be left out, and is nothing then.
fn number(field: &str, text: Option<&str>) -> Result<Decimal, Refusal> {
    text.map_or_else(|| Ok(Decimal::zero()), |text| Decimal::parse(field, text))
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
            price: Some(price.to_owned()),
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

    /// A plan of one charge and more, as a provider writes it.
    fn written(charge: serde_json::Value, more: serde_json::Value) -> ServicePlanSpec {
        let mut spec = json!(fixtures::plan());
        let charged = json!({"currency": "EUR", "charges": [charge]});
        for part in [charged, more] {
            spec.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        }
        serde_json::from_value(spec).unwrap()
    }

    fn per_seat(more: serde_json::Value) -> serde_json::Value {
        let mut charge = json!({"name": "seats", "type": "Recurring", "interval": "Month", "unit": "Seat"});
        charge.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        charge
    }

    #[test]
    fn each_model_costs_what_it_says() {
        let tiers = json!([{"upTo": "10", "price": "5.00", "flat": "20.00"}, {"price": "3.00"}]);
        for (charge, quantity, cost) in [
            (json!({"price": "6.50"}), 30, "195"),
            (json!({"price": "0.000000000001"}), 30, "0.00000000003"),
            (json!({"model": "Package", "size": "25", "price": "100.00"}), 30, "200"),
            (json!({"model": "Graduated", "tiers": tiers}), 30, "130"),
            (json!({"model": "Volume", "tiers": tiers}), 30, "90"),
            (json!({"model": "PrepaidBlock", "size": "25", "price": "100.00", "overage": "5"}), 30, "125"),
            (json!({"model": "PrepaidBlock", "size": "25", "price": "100.00"}), 30, "200"),
        ] {
            let plan = written(per_seat(charge.clone()), json!({}));
            let list = list("gold", &plan).unwrap().unwrap();
            let amount = list.charges[0].price.amount(Decimal::integer(quantity).value());
            assert_eq!(amount, *Decimal::parse("cost", cost).unwrap().value(), "{charge}");
        }
        let included = written(per_seat(json!({"price": "6.50", "included": "25"})), json!({}));
        let list = list("gold", &included).unwrap().unwrap();
        let ChargeKind::Recurring { unit, included, .. } = &list.charges[0].kind else { panic!("{list:?}") };
        assert_eq!((unit.as_deref(), included.to_string().as_str()), (Some("Seat"), "25"));
    }

    #[test]
    fn what_is_counted_is_priced_by_its_meter() {
        let usage = |more: serde_json::Value| {
            let mut charge = json!({"name": "calls", "type": "Usage", "interval": "Month", "meter": "calls", "price": "0.02"});
            charge.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            written(charge, json!({}))
        };
        let list_of = |more: serde_json::Value| list("gold", &usage(more)).unwrap().unwrap();
        let plain = list_of(json!({}));
        let ChargeKind::Usage { meter, aggregation, per, rounding, included, .. } = &plain.charges[0].kind
        else {
            panic!("{plain:?}")
        };
        assert_eq!(
            (meter.as_str(), *aggregation, *rounding),
            ("calls", Aggregation::Sum, UnitRounding::Exact)
        );
        assert_eq!((per.to_string().as_str(), included.to_string().as_str()), ("1", "0"));
        let more = list_of(
            json!({"per": "1000", "rounding": "Up", "aggregation": "Last", "included": "5", "model": "Package", "size": "10"}),
        );
        let ChargeKind::Usage { aggregation, per, rounding, .. } = &more.charges[0].kind else {
            panic!("{more:?}")
        };
        assert_eq!((*aggregation, *rounding), (Aggregation::Last, UnitRounding::Up));
        assert_eq!(per.to_string(), "1000");
        assert_ne!(plain.id, more.id);
        let problem = check(&usage(json!({"per": "0"}))).unwrap();
        assert_eq!(problem.field, "spec.charges[calls].per");
        let spec = usage(json!({}));
        assert_eq!(undeclared(&spec, |meter| meter == "calls"), []);
        let problems = undeclared(&spec, |_| false);
        assert_eq!(problems[0].field, "spec.charges[calls].meter");
        assert!(problems[0].message.contains("spec.meters of the HostedApplication"), "{problems:?}");
        assert_eq!(undeclared(&fixtures::plan(), |_| false), [], "a plan without prices needs no meter");
    }

    #[test]
    fn phases_and_a_minimum_are_part_of_the_list_and_of_its_name() {
        let charge = || per_seat(json!({"price": "6.50"}));
        let minimum = json!({"amount": "500.00", "interval": "Quarter", "earlyEnd": "Full"});
        let plain = written(charge(), json!({}));
        let introduced = json!({"trial": {"days": 14}, "introduction": {"months": 3, "percent": "20"}});
        let introduced = written(charge(), introduced);
        let committed = written(charge(), json!({"minimum": minimum}));
        let list_of = |plan: &ServicePlanSpec| list("gold", plan).unwrap().unwrap();
        let discounts: Vec<String> =
            list_of(&introduced).phases.iter().map(|phase| phase.discount.to_string()).collect();
        assert_eq!(discounts, ["100", "20"]);
        let commitment = list_of(&committed).commitment.unwrap();
        assert_eq!(
            (commitment.amount.to_string(), commitment.early_end),
            ("500.00".to_owned(), EarlyEnd::Full)
        );
        let names = [&plain, &introduced, &committed].map(|plan| list_of(plan).id);
        assert!(names[0] != names[1] && names[0] != names[2] && names[1] != names[2], "{names:?}");
    }

    #[test]
    fn a_price_that_cannot_be_charged_is_a_problem_of_its_field() {
        let none = json!({});
        let tiers = |tiers: serde_json::Value| json!({"model": "Graduated", "tiers": tiers});
        for (charge, more, field, remedy) in [
            (
                tiers(json!([{"upTo": "10"}, {"upTo": "5"}, {}])),
                &none,
                "spec.charges[seats].tiers[1].upTo",
                "above the one before",
            ),
            (tiers(json!([{"upTo": "10"}])), &none, "spec.charges[seats].tiers[0].upTo", "leave upTo out"),
            (tiers(json!([{}, {}])), &none, "spec.charges[seats].tiers[0].upTo", "write where it ends"),
            (
                tiers(json!([{"flat": "0.005"}])),
                &none,
                "spec.charges[seats].tiers[0].flat",
                "at most 2 decimals",
            ),
            (
                json!({"model": "Package", "size": "0", "price": "1"}),
                &none,
                "spec.charges[seats].size",
                "above zero",
            ),
            (json!({"price": "-1"}), &none, "spec.charges[seats].price", "zero or more"),
            (json!({"price": "1", "included": "-1"}), &none, "spec.charges[seats].included", "zero or more"),
            (
                json!({"price": "1"}),
                &json!({"introduction": {"months": 3, "percent": "101"}}),
                "spec.introduction.percent",
                "0 to 100",
            ),
            (
                json!({"price": "1"}),
                &json!({"minimum": {"amount": "0.001", "interval": "Month"}}),
                "spec.minimum.amount",
                "at most 2 decimals",
            ),
        ] {
            let problem = check(&written(per_seat(charge), more.clone())).unwrap();
            assert_eq!(problem.field, field, "{problem}");
            assert!(problem.message.contains(remedy), "{problem}");
        }
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
