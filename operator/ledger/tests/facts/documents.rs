//! Documents: coupons, tax, credit notes, refunds, minimum and maximum of a period.

use anyhow::Result;
use num_traits::Zero as _;
use serde_json::{Map, Value, json};
use tenantry_ledger::balance::{CreditNote, Settlement, refund};
use tenantry_ledger::commitment::true_up;
use tenantry_ledger::coupon::{Coupon, Off, Reducible, Target, apply, cap};
use tenantry_ledger::exact::{Decimal, Exact, fraction, whole};
use tenantry_ledger::money::round_minor;
use tenantry_ledger::tax::{Rate, total};

use super::terms::{Terms, decimal, exact, results};
use super::time::{cents, field, share};
use super::{missing, number};

type Results = Result<Option<Map<String, Value>>>;

/// Facts about documents.
pub(crate) fn facts(terms: &Terms) -> Results {
    if terms.has("fees") {
        return fees(terms);
    }
    let reduced =
        ["line_coupon_percent", "invoice_coupon", "invoice_coupon_percent", "coupons_percent", "tax_rate"];
    if (terms.has("lines") || terms.has("subtotal")) && reduced.into_iter().any(|key| terms.has(key)) {
        return taxed(terms);
    }
    if terms.has("paid_cents") && terms.has("used_value_cents") {
        return refunded(terms);
    }
    if terms.has("commitment_cents") {
        return committed(terms);
    }
    if terms.has("plan_amount_cents") && (terms.has("unused_days") || terms.wants("credit_total_cents")) {
        return credit_note(terms);
    }
    if terms.has("plan_amount_cents") {
        let amount = terms.need_integer("plan_amount_cents")?;
        return Ok(Some(results([("amount_cents", json!(round_minor(&(whole(amount) * share(terms)?))?))])));
    }
    if terms.has("minimum") && terms.wants("minimum_line") {
        return minimum(terms);
    }
    if terms.has("maximum") && terms.has("lines") {
        return maximum(terms);
    }
    if terms.has("unit") && terms.has("quantity") {
        return unit_price(terms);
    }
    Ok(None)
}

fn rate_of(value: Option<Exact>) -> Result<Rate> {
    Ok(Rate { category: "S".to_owned(), percent: decimal(&value.unwrap_or_default())?, reason: None })
}

/// A hundredth of a percentage.
fn hundredth(percent: &Exact) -> Exact {
    percent * fraction(1, 100)
}

fn name_of(value: &Value, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| match value.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// Names in a list, or a single one.
fn names(value: Option<&Value>) -> Vec<String> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match value {
        Some(Value::Array(values)) => values.iter().filter_map(one).collect(),
        Some(value) => one(value).into_iter().collect(),
        None => Vec::new(),
    }
}

fn coupon(value: &Value, place: usize) -> Result<Coupon> {
    let name = name_of(value, &["name"]).unwrap_or_else(|| place.to_string());
    let percent = field(value, &["percent", "percentage", "percentage_rate"]);
    let off = match percent {
        Some(percent) => Off::Percent(decimal(&percent)?),
        None => Off::Amount(cents(&field(value, &["amount_cents"]).ok_or_else(|| missing("amount_cents"))?)?),
    };
    let charges = names(value.get("limited_to").or_else(|| value.get("limited_to_metrics")));
    let plans = names(value.get("limited_to_plan").or_else(|| value.get("limited_to_plans")));
    let target = match (charges.is_empty(), plans.is_empty()) {
        (false, _) => Target::Charges(charges.into_iter().collect()),
        (true, false) => Target::Subscriptions(plans.into_iter().collect()),
        (true, true) => Target::All,
    };
    Ok(Coupon { name, off, target })
}

/// Fees of several plans, coupons over them, and the tax of what is left.
fn fees(terms: &Terms) -> Results {
    let fees = terms.list("fees");
    let named: Vec<(String, String, Exact, Rate)> = fees
        .iter()
        .enumerate()
        .map(|(place, fee)| {
            Ok((
                name_of(fee, &["name"]).unwrap_or_else(|| place.to_string()),
                name_of(fee, &["plan", "subscription"]).unwrap_or_default(),
                field(fee, &["amount_cents"]).ok_or_else(|| missing("amount_cents"))?,
                rate_of(field(fee, &["tax_rate"]).or_else(|| terms.number("tax_rate")))?,
            ))
        })
        .collect::<Result<_>>()?;
    let mut lines: Vec<Reducible<'_>> = named
        .iter()
        .map(|(charge, subscription, left, _)| Reducible { charge, subscription, left: left.clone() })
        .collect();
    let coupons: Vec<Coupon> = terms
        .list("coupons")
        .iter()
        .enumerate()
        .map(|(place, value)| coupon(value, place))
        .collect::<Result<_>>()?;
    let taken = apply(&coupons, &mut lines, &terms.profile)?;

    let mut shares = Map::new();
    let mut taxes = Map::new();
    let mut bases = Vec::new();
    for ((charge, _, _, rate), (line, taken)) in named.iter().zip(lines.iter().zip(&taken)) {
        shares.insert(charge.clone(), exact(taken));
        let tax = round_minor(&(&line.left * hundredth(rate.percent.value())))?;
        taxes.insert(charge.clone(), json!(tax));
        bases.push((rate.clone(), line.left.clone()));
    }
    let gross: Exact = named.iter().map(|(_, _, amount, _)| amount).sum();
    let off = round_minor(&taken.iter().sum())?;
    let subtotal = round_minor(&bases.iter().map(|(_, base)| base).sum())?;
    let tax = total(&bases, terms.profile.tax)?;
    let settled = Settlement::of(
        subtotal + tax,
        terms.integer("credit_cents").unwrap_or(0),
        terms.integer("wallet_cents").unwrap_or(0),
    );
    Ok(Some(results([
        ("coupon_share_cents", Value::Object(shares)),
        ("fee_tax_cents", Value::Object(taxes)),
        ("fees_cents", exact(&gross)),
        ("coupons_cents", json!(off)),
        ("subtotal_cents", json!(subtotal)),
        ("tax_cents", json!(tax)),
        ("total_cents", json!(subtotal + tax)),
        ("payable_cents", json!(settled.payable)),
    ])))
}

/// Lines or a subtotal in major units: coupons of a line, of the invoice, tax, then what a wallet pays.
fn taxed(terms: &Terms) -> Results {
    let currency = terms.currency()?;
    let amounts: Vec<Exact> = match terms.list("lines") {
        [] => vec![currency.minor(&terms.need("subtotal")?)],
        lines => lines
            .iter()
            .filter_map(|line| number(line).or_else(|| field(line, &["amount"])))
            .map(|major| currency.minor(&major))
            .collect(),
    };
    let places: Vec<String> = (0..amounts.len()).map(|place| place.to_string()).collect();
    let mut lines: Vec<Reducible<'_>> = places
        .iter()
        .zip(&amounts)
        .map(|(place, amount)| Reducible { charge: place, subscription: "", left: amount.clone() })
        .collect();
    let mut coupons = Vec::new();
    let percent = |value: &Exact, target: Target| -> Result<Coupon> {
        Ok(Coupon { name: "percent".to_owned(), off: Off::Percent(decimal(value)?), target })
    };
    let amount = |value: &Exact, target: Target| -> Result<Coupon> {
        Ok(Coupon { name: "amount".to_owned(), off: Off::Amount(currency.round(value)?), target })
    };
    for (key, make) in [
        ("line_coupon_percent", &percent as &dyn Fn(&Exact, Target) -> Result<Coupon>),
        ("line_coupon", &amount),
        ("line_coupon_amount", &amount),
    ] {
        for (place, value) in terms.input.get(key).and_then(Value::as_object).into_iter().flatten() {
            let target = Target::Charges([place.clone()].into());
            coupons.push(make(&number(value).ok_or_else(|| missing(key))?, target)?);
        }
    }
    for value in
        terms.list("coupons_percent").iter().filter_map(number).chain(terms.number("invoice_coupon_percent"))
    {
        coupons.push(percent(&value, Target::All)?);
    }
    for value in terms.list("coupons").iter().filter_map(number).chain(terms.number("invoice_coupon")) {
        coupons.push(amount(&value, Target::All)?);
    }
    let taken: Exact = apply(&coupons, &mut lines, &terms.profile)?.iter().sum();
    let rate = rate_of(terms.number("tax_rate"))?;
    let bases: Vec<(Rate, Exact)> = lines.iter().map(|line| (rate.clone(), line.left.clone())).collect();
    let taxable = round_minor(&bases.iter().map(|(_, base)| base).sum())?;
    let tax = total(&bases, terms.profile.tax)?;
    let minor = |key: &str| terms.number(key).map_or(Ok(0), |major| currency.round(&major));
    let settled = Settlement::of(taxable + tax, minor("balance")?, minor("wallet_credit")?);
    let major = |minor: i64| exact(&currency.major(minor));
    Ok(Some(results([
        ("subtotal", exact(&(amounts.iter().sum::<Exact>() * currency.major(1)))),
        ("discount", exact(&(taken * currency.major(1)))),
        ("taxable", major(taxable)),
        ("net", major(taxable)),
        ("tax", major(tax)),
        ("gross", major(taxable + tax)),
        ("wallet", major(settled.wallet)),
        ("total", major(settled.payable)),
        ("payable", major(settled.payable)),
    ])))
}

/// What was paid for time not used, in money and in credit.
fn refunded(terms: &Terms) -> Results {
    let paid = terms.need_integer("paid_cents")?;
    let used = terms.need_integer("used_value_cents")?;
    let unused = terms.need_integer("unused_value_cents")?;
    let (back, credit) = refund(paid, used, unused);
    Ok(Some(results([("refund_cents", json!(back)), ("credit_cents", json!(credit))])))
}

/// A credit note for unused days and what it pays of the final invoice.
fn credit_note(terms: &Terms) -> Results {
    let amount = terms.need_integer("plan_amount_cents")?;
    let unused = match (terms.integer("unused_days"), terms.integer("of")) {
        (Some(days), Some(of)) => fraction(days, of),
        _ => whole(1) - share(terms)?,
    };
    let tax_rate = hundredth(&terms.number_or_zero("tax_rate"));
    // Coupons lowered what was charged, so they lower what is given back.
    let charged = (amount - terms.integer("coupon_cents").unwrap_or(0)).max(0);
    let note = CreditNote::of(charged, &unused, &tax_rate)?;
    let usage = terms.integer("usage_cents").unwrap_or(0);
    let usage_tax = round_minor(&(whole(usage) * &tax_rate))?;
    let stated =
        ["final_invoice_total_cents", "usage_total_cents"].into_iter().find_map(|key| terms.integer(key));
    let settled = Settlement::of(stated.unwrap_or(usage + usage_tax), note.total(), 0);
    Ok(Some(results([
        ("credit_subtotal_cents", json!(note.net)),
        ("credit_tax_cents", json!(note.tax)),
        ("credit_total_cents", json!(note.total())),
        ("subtotal_cents", json!(note.net)),
        ("tax_cents", json!(note.tax)),
        ("total_cents", json!(note.total())),
        ("usage_subtotal_cents", json!(usage)),
        ("usage_tax_cents", json!(usage_tax)),
        ("usage_total_cents", json!(usage + usage_tax)),
        ("credit_applied_cents", json!(settled.drawn)),
        ("credit_left_cents", json!(note.total() - settled.drawn)),
        ("payable_cents", json!(settled.payable)),
    ])))
}

/// A minimum in minor units and the fees that count towards it.
fn committed(terms: &Terms) -> Results {
    let share = share(terms)?;
    let minimum = whole(terms.need_integer("commitment_cents")?) * &share;
    let plan = match terms.integer("subscription_billed_cents") {
        Some(billed) => billed,
        None => round_minor(&(whole(terms.integer("plan_amount_cents").unwrap_or(0)) * share))?,
    };
    let others: i64 = ["usage_cents", "fixed_cents", "fixed_charges_cents", "charges_cents", "fees_cents"]
        .into_iter()
        .filter_map(|key| terms.integer(key))
        .sum();
    let missing = round_minor(&true_up(&minimum, &whole(plan + others)))?;
    Ok(Some(results([
        ("subscription_cents", json!(plan)),
        ("commitment_cents", json!(round_minor(&minimum)?)),
        ("true_up_cents", json!(missing)),
        ("total_cents", json!(plan + others + missing)),
    ])))
}

fn gross(terms: &Terms) -> Exact {
    terms.number_or_zero("unit") * terms.number_or_zero("quantity")
}

/// What is missing from a minimum when earlier parts of the period were billed.
fn minimum(terms: &Terms) -> Results {
    let lines: Exact = terms.list("lines").iter().filter_map(number).sum();
    let amount = gross(terms) + terms.number_or_zero("amount") + lines;
    let missing = true_up(&terms.need("minimum")?, &(terms.number_or_zero("previously_billed") + &amount));
    Ok(Some(results([
        ("amount", exact(&amount)),
        ("minimum_line", exact(&missing)),
        ("total", exact(&(amount + missing))),
    ])))
}

/// What a maximum takes off each line.
fn maximum(terms: &Terms) -> Results {
    let lines: Vec<Exact> = terms.list("lines").iter().filter_map(number).collect();
    let taken = cap(&terms.need("maximum")?, &terms.number_or_zero("previously_billed"), &lines);
    let net: Vec<Value> = lines.iter().zip(&taken).map(|(line, taken)| exact(&(line - taken))).collect();
    let sum: Exact = lines.iter().sum::<Exact>() - taken.iter().sum::<Exact>();
    Ok(Some(results([
        ("discounts", taken.iter().map(exact).collect()),
        ("net", Value::Array(net)),
        ("total", exact(&sum)),
    ])))
}

/// A unit price with everything that comes after it: discount, maximum, minimum, credits.
fn unit_price(terms: &Terms) -> Results {
    let gross = gross(terms);
    let percent = ["discount_percent", "percentage_discount"].into_iter().find_map(|key| terms.number(key));
    let percent: Decimal = decimal(&percent.unwrap_or_default())?;
    let after = &gross * (whole(1) - hundredth(percent.value()));
    let billed = terms.number_or_zero("previously_billed");
    let capped = match terms.number("maximum") {
        Some(maximum) => cap(&maximum, &billed, std::slice::from_ref(&after)).into_iter().sum(),
        None => Exact::zero(),
    };
    let net = &after - &capped;
    let filled =
        terms.number("minimum").map_or_else(Exact::zero, |minimum| true_up(&minimum, &(&billed + &net)));
    let credits = terms.number_or_zero("credits").min(&net + &filled);
    Ok(Some(results([
        ("gross", exact(&gross)),
        ("amount", exact(&(&net + &filled))),
        ("discount", exact(&(&gross - &after + capped))),
        ("minimum_line", exact(&filled)),
        ("credits", exact(&credits)),
        ("net", exact(&(net + filled - credits))),
    ])))
}
