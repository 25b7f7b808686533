//! Steps and series: service credits by uptime, document numbers, dunning.

use anyhow::{Context as _, Result};
use jiff::civil::Date;
use serde_json::{Map, Value, json};
use tenantry_ledger::exact::Exact;
use tenantry_ledger::ladder::{Ladder, Rung, Unpaid};
use tenantry_ledger::series::Series;
use tenantry_ledger::service_credit::{Schedule, Step};

use super::terms::{Terms, decimal, exact, moment, results};
use super::time::field;
use super::{missing, number};

/// Facts about steps and series.
pub(crate) fn facts(terms: &Terms) -> Result<Option<Map<String, Value>>> {
    if terms.has("uptime_percent") {
        return service_credit(terms).map(Some);
    }
    if terms.has("prefix") {
        return numbers(terms).map(Some);
    }
    if terms.has("overdue_stages_days") && (terms.wants("state") || terms.wants("states")) {
        return standing(terms).map(Some);
    }
    Ok(None)
}

fn service_credit(terms: &Terms) -> Result<Map<String, Value>> {
    let mut steps = Vec::new();
    for step in terms.list("schedule") {
        let (uptime, credit) = match step {
            Value::Array(pair) => (pair.first().and_then(number), pair.get(1).and_then(number)),
            step => (field(step, &["uptime", "from", "min"]), field(step, &["credit", "credit_percent"])),
        };
        let uptime = uptime.context("a step without an uptime")?;
        steps.push(Step {
            uptime: decimal(&uptime)?,
            credit: decimal(&credit.context("a step without a credit")?)?,
        });
    }
    steps.sort_by(|one, other| other.uptime.value().cmp(one.uptime.value()));
    // A schedule may leave out what it gives below its last step: nothing more.
    if let Some(last) = steps.last().filter(|last| *last.uptime.value() != Exact::default()) {
        let below = Step { uptime: decimal(&Exact::default())?, credit: last.credit.clone() };
        steps.push(below);
    }
    let schedule = Schedule::new(steps)?;
    let credit = schedule.credit(&terms.need("uptime_percent")?);
    let mut out = results([("credit_percent", exact(credit.value()))]);
    if let Some(fees) = ["fees_cents", "monthly_fee_cents"].into_iter().find_map(|key| terms.integer(key)) {
        out.insert("credit_cents".to_owned(), json!(schedule.amount(&terms.need("uptime_percent")?, fees)?));
    }
    Ok(out)
}

/// The numbers of every run: each account has a series of its own.
fn numbers(terms: &Terms) -> Result<Map<String, Value>> {
    let prefix = terms.text("prefix").ok_or_else(|| missing("prefix"))?;
    let customers = u32::try_from(terms.integer("customers").unwrap_or(1))?;
    let runs = u32::try_from(terms.list("runs").len().max(1))?;
    let series = |account| Series { prefix: prefix.to_owned(), account };
    let numbers: Vec<Vec<String>> =
        (1..=runs).map(|run| (1..=customers).map(|account| series(account).number(run)).collect()).collect();
    Ok(results([("numbers", json!(numbers)), ("draft_number", json!(series(1).draft()))]))
}

/// The rung on which an account stands, on one day or on several.
fn standing(terms: &Terms) -> Result<Map<String, Value>> {
    let stages = terms.input.get("overdue_stages_days").and_then(Value::as_object).context("no stages")?;
    let mut rungs: Vec<Rung> = Vec::new();
    for (state, days) in stages.iter().filter(|(state, _)| *state != "clear_until") {
        let days = number(days).as_ref().and_then(super::terms::integer).context("no days")?;
        rungs.push(Rung {
            state: state.clone(),
            days: Some(i32::try_from(days)?),
            invoices: None,
            total: None,
        });
    }
    rungs.sort_by_key(|rung| rung.days);
    let ladder = Ladder::new(rungs)?;
    let date = |value: &Value| value.as_str().and_then(moment).map(|moment| moment.date());
    let due: Vec<Unpaid> =
        terms.list("unpaid").iter().filter_map(date).map(|due| Unpaid { due, open: 1 }).collect();
    let state = |day: Date| -> Result<Value> {
        Ok(json!(ladder.standing(&due, day)?.map_or("CLEAR", |rung| rung.state.as_str())))
    };
    let mut out = Map::new();
    if let Some(day) = terms.input.get("on").and_then(date) {
        out.insert("state".to_owned(), state(day)?);
    }
    let days: Vec<Value> = terms.list("days").iter().filter_map(date).map(state).collect::<Result<_>>()?;
    out.insert("states".to_owned(), Value::Array(days));
    Ok(out)
}
