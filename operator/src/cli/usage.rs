//! `tenantry usage`: what meters counted, what of it the ledger has, what it costs, what is left of what was sold, and what is kept
//! aside. Needs the database or the billing address, and a client for tenants that are not charged yet and for what units cost.

use super::Outcome;
use super::books::{Access, Way, reading};
use super::client;
use super::invoices::{Whose, standing};
use super::output::Format;
use super::table::table;
use crate::margin::Costs;
use crate::margin::said::{OfPlan, money};
use crate::printed::Time;
use crate::usage::{Missing, OfMeter, OfTenant, OneOfPlan, Priced, Used, UsedByPlan, used, used_by_plan};
use anyhow::Context;
use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use tenantry_journal::Database;

/// Arguments of `tenantry usage`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Name of the subscription; every tenant that ever had the name is meant.
    #[arg(required_unless_present_any = ["tenant", "plan", "quarantined"])]
    name: Option<String>,
    /// Only the tenant with this id, which its namespace carries as the label tenantry.io/tenant-id.
    #[arg(long, conflicts_with = "name", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    tenant: Option<String>,
    /// All tenants of a plan, and what is left of what they were sold.
    #[arg(long, conflicts_with_all = ["name", "tenant"])]
    plan: Option<String>,
    /// What was told and does not count, with what is wrong with it and what would be right: of a subscription, or of everybody.
    #[arg(long, conflicts_with = "plan")]
    quarantined: bool,
    /// So many of it at most, the latest first.
    #[arg(long, default_value_t = 100, requires = "quarantined")]
    limit: usize,
    /// First day, such as 2026-11-01, by the clock of who pays; the first of this month without it.
    #[arg(long)]
    from: Option<Date>,
    /// First day after, such as 2026-12-01; tomorrow without it.
    #[arg(long)]
    to: Option<Date>,
    #[command(flatten)]
    access: Access,
    /// How to print it; wide shows what of it the ledger has, and events.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let Arguments { name, tenant, plan, quarantined, limit, from, to, access, output } = arguments;
    let now = Timestamp::now();
    let time = time(*from, *to, now)?;
    let whose = Whose { name: name.clone(), tenant: tenant.clone() };
    match plan {
        _ if *quarantined => super::quarantined::run(&whose, time, *limit, access, *output).await,
        Some(plan) => of_plan(plan, time, now, access, *output).await,
        None => of_subscription(&whose, time, now, access, *output).await,
    }
}

async fn of_subscription(
    whose: &Whose,
    time: Time,
    now: Timestamp,
    access: &Access,
    output: Format,
) -> anyhow::Result<Outcome> {
    let used: Used = match access.way().await? {
        Way::Database(url) => {
            // Who is charged is known by the database alone.
            let standing = standing(whose).await.ok().flatten();
            let costs = known_costs().await;
            let of = whose.history();
            let here = async |database: &Database| {
                Ok(used(database, &of, standing.as_ref(), costs.as_ref(), time, now).await?)
            };
            reading(&url, here).await?
        }
        Way::Server(server) => {
            let (from, to) = (time.from.to_string(), time.to.to_string());
            server.get(&whose.path("usage", &[("from", Some(&from)), ("to", Some(&to))])).await?
        }
    };
    output.print(&used, |wide| {
        used.tenants.iter().map(|tenant| page(tenant, wide)).collect::<Vec<_>>().join("\n")
    })?;
    if used.tenants.is_empty() {
        eprintln!("nobody of this name is known");
        return Ok(Outcome::Bad);
    }
    Ok(Outcome::Good)
}

async fn of_plan(
    plan: &str,
    time: Time,
    now: Timestamp,
    access: &Access,
    output: Format,
) -> anyhow::Result<Outcome> {
    let path = format!("/v1/plans/{plan}/usage?from={}&to={}", time.from, time.to);
    let used: UsedByPlan = match access.way().await? {
        Way::Database(url) => {
            let costs = known_costs().await;
            let here = async |database: &Database| {
                Ok(used_by_plan(database, plan, costs.as_ref(), time, now).await?)
            };
            reading(&url, here).await?
        }
        Way::Server(server) => server.get(&path).await?,
    };
    output.print(&used, |_| plan_page(&used))?;
    if used.tenants.is_empty() {
        eprintln!("no tenant had this plan in this time");
        return Ok(Outcome::Bad);
    }
    Ok(Outcome::Good)
}

/// What units cost, where the cluster says it: who has the database is the seller.
async fn known_costs() -> Option<Costs> {
    let read = async { anyhow::Ok(Costs::read(&client().await?).await?) };
    match read.await {
        Ok(costs) => Some(costs),
        Err(error) => {
            eprintln!("what units cost is not known: {error:#}");
            None
        }
    }
}

/// The days that are meant: those of this month where nothing is said.
fn time(from: Option<Date>, to: Option<Date>, now: Timestamp) -> anyhow::Result<Time> {
    let today = TimeZone::UTC.to_datetime(now).date();
    // Where clocks are ahead it is tomorrow already.
    let to = match to {
        Some(to) => to,
        None => today.checked_add(2.days()).context("--to: the calendar ends there")?,
    };
    Ok(Time { from: from.unwrap_or_else(|| today.first_of_month()), to })
}

fn page(tenant: &OfTenant, wide: bool) -> String {
    let OfTenant { tenant, account, from, to, meters, plans, quarantined } = tenant;
    let paid =
        account.as_ref().map_or_else(|| "nobody pays yet".to_owned(), |account| format!("account {account}"));
    let mut text = format!("tenant {tenant}, {paid}, from {from} to before {to}\n");
    let more = |cells: [String; 3]| if wide { cells } else { [const { String::new() }; 3] };
    let rows: Vec<[String; 8]> = meters
        .iter()
        .map(|meter| {
            let OfMeter { meter, unit, source, told, in_ledger, events, late, priced, missing: _ } = meter;
            let [in_ledger, events, late] = more([in_ledger.clone(), events.to_string(), late.to_string()]);
            let unit = unit.clone().unwrap_or_default();
            let source = source.map(|source| format!("{source:?}")).unwrap_or_default();
            [meter.clone(), source, unit, told.clone(), costs(priced), in_ledger, events, late]
        })
        .collect();
    if !rows.is_empty() {
        let [in_ledger, events, late] = more(["IN LEDGER", "EVENTS", "LATE"].map(str::to_owned));
        let [meter, source, unit, told, costs] =
            ["METER", "SOURCE", "UNIT", "COUNTED", "COSTS"].map(str::to_owned);
        text.push_str(&table(&[meter, source, unit, told, costs, in_ledger, events, late], &rows));
    }
    for meter in meters {
        for Missing { from, to, reason } in &meter.missing {
            text.push_str(&format!("{} is missing from {from} to before {to}: {reason}\n", meter.meter));
        }
    }
    for plan in plans {
        text.push_str(&of_one_plan(plan));
    }
    for (cause, count) in quarantined {
        text.push_str(&format!("{count} events do not count: {cause}\n"));
    }
    text
}

/// What there was of everything under one plan, and what is left.
fn of_one_plan(of: &OfPlan) -> String {
    let OfPlan { plan, used, sold, left } = of;
    let mut text = format!("plan {plan}");
    match left {
        Some(left) => {
            let lines = left.lines();
            text.push_str(
                &lines.first().map(|line| format!(": {line}\n")).unwrap_or_else(|| "\n".to_owned()),
            );
            for line in lines.iter().skip(1) {
                text.push_str(&format!("  {line}\n"));
            }
        }
        None if sold.is_empty() => text.push_str(": sold nothing\n"),
        None => text.push_str(&format!(": sold {}\n", money(sold))),
    }
    let rows: Vec<[String; 4]> = used
        .iter()
        .map(|one| [one.of.clone(), one.quantity.clone(), one.unit.clone(), money(&one.costs)])
        .collect();
    if !rows.is_empty() {
        let cost = if left.is_some() { "COST" } else { "" };
        text.push_str(&table(&["RESERVED AND USED", "QUANTITY", "UNIT", cost].map(str::to_owned), &rows));
    }
    text
}

/// Each tenant of a plan and each currency, and all of them together.
fn plan_page(used: &UsedByPlan) -> String {
    let UsedByPlan { from, to, tenants, total } = used;
    let mut text = format!("from {from} to before {to}\n");
    let mut rows: Vec<[String; 7]> = Vec::new();
    for OneOfPlan { tenant, name, account, of } in tenants {
        let account = account.clone().unwrap_or_default();
        let row = |sold: &str, cost: &str, margin: &str, currency: &str| {
            [name.as_str(), tenant, &account, sold, cost, margin, currency].map(str::to_owned)
        };
        match &of.left {
            Some(left) => rows
                .extend(left.totals.iter().map(|one| row(&one.sold, &one.cost, &one.margin, &one.currency))),
            None => rows.extend(of.sold.iter().map(|one| row(&one.amount, "", "", &one.currency))),
        }
    }
    let header = ["NAME", "TENANT", "ACCOUNT", "SOLD", "COST", "LEFT", "CURRENCY"].map(str::to_owned);
    text.push_str(&table(&header, &rows));
    text.push_str(&of_one_plan(total));
    text
}

/// What was charged and what comes next, document by document.
fn costs(priced: &[Priced]) -> String {
    let one = |priced: &Priced| {
        let Priced { charge: _, number, quantity: _, net, currency } = priced;
        format!("{net} {currency} ({})", number.as_deref().unwrap_or("next invoice"))
    };
    priced.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::Source;

    #[test]
    fn without_days_the_month_is_meant() {
        let now = "2026-11-28T12:00:00Z".parse().unwrap();
        let day = |text: &str| text.parse::<Date>().unwrap();
        let meant = time(None, None, now).unwrap();
        assert_eq!((meant.from, meant.to), (day("2026-11-01"), day("2026-11-30")));
        let meant = time(Some(day("2026-01-01")), Some(day("2026-02-01")), now).unwrap();
        assert_eq!((meant.from, meant.to), (day("2026-01-01"), day("2026-02-01")));
    }

    #[test]
    fn what_was_used_is_shown_with_its_costs_and_what_does_not_count() {
        let priced = |number: Option<&str>| Priced {
            charge: "calls".to_owned(),
            number: number.map(str::to_owned),
            quantity: "3".to_owned(),
            net: "0.06".to_owned(),
            currency: "EUR".to_owned(),
        };
        let calls = OfMeter {
            meter: "calls".to_owned(),
            unit: Some("Request".to_owned()),
            source: Some(Source::Events),
            told: "3".to_owned(),
            in_ledger: "2".to_owned(),
            events: 2,
            late: 1,
            priced: vec![priced(Some("INV-001-002")), priced(None)],
            missing: vec![Missing {
                from: "2026-12-01T10:00:00Z".parse().unwrap(),
                to: "2026-12-01T12:00:00Z".parse().unwrap(),
                reason: "nobody was there".to_owned(),
            }],
        };
        let tenant = OfTenant {
            tenant: "t1".to_owned(),
            meters: vec![calls],
            quarantined: [("TooOld".to_owned(), 4)].into(),
            ..OfTenant::default()
        };
        let text = page(&tenant, false);
        assert!(text.contains("nobody pays yet") && text.contains("4 events do not count: TooOld"), "{text}");
        let missing =
            "calls is missing from 2026-12-01T10:00:00Z to before 2026-12-01T12:00:00Z: nobody was there";
        assert!(text.contains(missing), "{text}");
        assert!(
            text.contains("Request") && text.contains("0.06 EUR (INV-001-002), 0.06 EUR (next invoice)"),
            "{text}"
        );
        assert!(
            !text.contains("LATE") && page(&tenant, true).contains("IN LEDGER   EVENTS   LATE"),
            "{text}"
        );
    }

    fn left() -> OfPlan {
        serde_json::from_value(serde_json::json!({
            "plan": "silver",
            "used": [{"of": "cores of hall", "quantity": "12.5", "unit": "core hours",
                "costs": [{"currency": "EUR", "amount": "0.25"}]}],
            "sold": [{"currency": "EUR", "amount": "100.00"}],
            "left": {
                "totals": [{"currency": "EUR", "sold": "100.00", "cost": "0.25", "margin": "99.75", "percent": "99.8"}],
                "withoutCost": ["memory of hall"],
            },
        }))
        .unwrap()
    }

    #[test]
    fn what_is_left_is_shown_to_who_may_see_it() {
        let text = of_one_plan(&left());
        assert!(text.starts_with("plan silver: sold 100.00, cost 0.25, left 99.75 EUR (99.8 %)\n"), "{text}");
        assert!(text.contains("nobody says what it costs: memory of hall; add it to costs"), "{text}");
        assert!(text.contains("cores of hall       12.5       core hours   0.25 EUR"), "{text}");
        let text = of_one_plan(&OfPlan { left: None, used: Vec::new(), ..left() });
        assert_eq!(text, "plan silver: sold 100.00 EUR\n");
        let one = OneOfPlan { tenant: "t1".to_owned(), name: "acme".to_owned(), account: None, of: left() };
        let day = |text: &str| text.parse::<Date>().unwrap();
        let (from, to) = (day("2026-11-01"), day("2026-12-01"));
        let text = plan_page(&UsedByPlan { from, to, tenants: vec![one], total: left() });
        assert!(text.contains("acme   t1                 100.00   0.25   99.75   EUR"), "{text}");
    }
}
