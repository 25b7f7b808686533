//! What tenants had, used, were sold and cost, from the journal, the books and the seller's costs. Needs the database, and a client for
//! costs.
//!
//! What a tenant had of servers the journal says, whether a meter counts it or not. Costs are the seller's alone: who may read what was
//! used of an account does not see them.

pub(crate) mod said;

use crate::printed::Time;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use tenantry_billing::Hourly as Counted;
use tenantry_checklist::revision::name_of;
use tenantry_crds::cost::{IssuerCost, MeterCost, ServersCost};
use tenantry_crds::quantity::Quantity;
use tenantry_crds::{BillingAccount, InvoiceIssuer};
use tenantry_journal::Entry;
use tenantry_ledger::document::{Document, Item};
use tenantry_ledger::exact::Decimal;
use tenantry_ledger::margin::{Amount, CostRate, Life, Resource, Sale, Share, Stretch, shares};
use tenantry_ledger::money::{Currency, Money};
use tenantry_ledger::refusal::Refusal;
use tenantry_metering::reserved::{Hourly, Level, hours};

/// Millicore seconds of a core for an hour.
pub(crate) const CORE_HOUR: i64 = 1_000 * 3_600;
/// MiB seconds of a GiB for an hour.
pub(crate) const GIBIBYTE_HOUR: i64 = 1_024 * 3_600;

/// What units cost whoever sells, and who sells to whom.
#[derive(Clone, Debug, Default)]
pub(crate) struct Costs {
    issuers: BTreeMap<String, Vec<IssuerCost>>,
    accounts: BTreeMap<String, String>,
}

/// What is known of a tenant.
pub(crate) struct Known<'a> {
    /// Its id.
    pub(crate) tenant: &'a str,
    /// Its facts, in the order in which the journal took them in.
    pub(crate) entries: &'a [Entry],
    /// What its meters counted.
    pub(crate) meters: &'a BTreeMap<String, Counted>,
    /// Documents that it may have lines on.
    pub(crate) documents: &'a [Document],
    /// By whose clock days are told.
    pub(crate) zone: &'a TimeZone,
    /// The first moment and the first one after.
    pub(crate) between: [Timestamp; 2],
}

/// A share of servers, as the journal has it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Had {
    pool: String,
    #[serde(default)]
    price_key: Option<String>,
    amounts: Amounts,
}

#[derive(Deserialize)]
struct Amounts {
    cpu: String,
    memory: String,
}

/// What somebody had of servers at a time.
struct Portion {
    /// What price lists call it.
    key: String,
    /// Thousandths of cores.
    cpu: i64,
    /// MiB.
    memory: i64,
}

// === impl Costs ===

impl Costs {
    /// Reads what every seller says.
    ///
    /// # Errors
    /// When the API server does not answer, or the caller may not list issuers and accounts.
    pub(crate) async fn read(client: &Client) -> Result<Self, kube::Error> {
        let all = ListParams::default();
        let issuers: Api<InvoiceIssuer> = Api::all(client.clone());
        let accounts: Api<BillingAccount> = Api::all(client.clone());
        let issuers = issuers.list(&all).await?.items.into_iter();
        let accounts = accounts.list(&all).await?.items.into_iter();
        Ok(Self {
            issuers: issuers.map(|issuer| (issuer.name_any(), issuer.spec.costs)).collect(),
            accounts: accounts.map(|account| (account.name_any(), account.spec.issuer_ref.name)).collect(),
        })
    }

    /// What units cost the seller of an account. Where nobody pays, or the account is gone, the only seller that there is is meant.
    ///
    /// # Errors
    /// What no unit can cost, with its field.
    pub(crate) fn of(&self, account: Option<&str>) -> Result<Vec<CostRate>, Refusal> {
        let named =
            account.and_then(|account| self.accounts.get_key_value(account)).map(|(_, issuer)| issuer);
        let only = || self.issuers.keys().next().filter(|_| self.issuers.len() == 1);
        let Some(issuer) = named.or_else(only) else { return Ok(Vec::new()) };
        let mut rates = Vec::new();
        for (index, cost) in self.issuers.get(issuer).into_iter().flatten().enumerate() {
            let field = format!("costs[{index}]");
            rates.extend(read(cost).map_err(|refusal| refusal.within(&field))?);
        }
        Ok(rates)
    }
}

/// The rates that a cost comes to: one for cores and one for memory, or one for a meter.
fn read(cost: &IssuerCost) -> Result<Vec<CostRate>, Refusal> {
    let IssuerCost { servers, meter, currency, valid_from } = cost;
    let currency = Currency::parse("currency", currency)?;
    let from = valid_from.as_deref().map(str::parse::<Date>).transpose().map_err(|_| {
        let reason = format!("{} is no day of the calendar", valid_from.as_deref().unwrap_or_default());
        Refusal::new("validFrom", reason, "write an existing day, such as 2027-01-01")
    })?;
    let rate = |resource: Resource, field: &str, cost: &str, per: Decimal| {
        let rate = CostRate { resource, from, per, cost: Decimal::parse("cost", cost)?, currency };
        rate.check().map(|()| rate).map_err(|refusal| refusal.within(field))
    };
    let mut rates = Vec::new();
    if let Some(ServersCost { key, core_hour, gibibyte_hour }) = servers {
        if let Some(cost) = core_hour {
            let cpu = Resource::Cpu { servers: key.clone() };
            rates.push(rate(cpu, "servers.coreHour", cost, Decimal::integer(CORE_HOUR))?);
        }
        if let Some(cost) = gibibyte_hour {
            let memory = Resource::Memory { servers: key.clone() };
            rates.push(rate(memory, "servers.gibibyteHour", cost, Decimal::integer(GIBIBYTE_HOUR))?);
        }
    }
    if let Some(MeterCost { application, name, per, cost }) = meter {
        let counted = Resource::Meter { application: application.clone(), meter: name.clone() };
        let per = Decimal::parse("meter.per", per.as_deref().unwrap_or("1"))?;
        rates.push(rate(counted, "meter", cost, per)?);
    }
    Ok(rates)
}

/// What a tenant had, used, was sold and cost, by the plan that it had. Without rates nothing is known to cost anything.
///
/// # Errors
/// Amounts that no ledger holds.
pub(crate) fn of_tenant(known: &Known<'_>, rates: &[CostRate], time: Time) -> Result<Vec<Share>, Refusal> {
    let Known { tenant, entries, meters, documents, zone, between } = known;
    let mut amounts = servers(entries, *between);
    let application = entries.last().map(|entry| entry.application.clone()).unwrap_or_default();
    for (meter, counted) in *meters {
        let resource = Resource::Meter { application: application.clone(), meter: meter.clone() };
        let hours = counted.hours.iter();
        amounts.extend(hours.map(|(at, quantity)| Amount {
            resource: resource.clone(),
            at: *at,
            quantity: *quantity,
        }));
    }
    let sales = documents.iter().flat_map(|document| {
        let own = document.lines.iter().filter(|line| line.subscription == *tenant);
        own.map(|line| sale(document.currency, line))
    });
    let sales = sales.collect::<Result<Vec<Sale>, Refusal>>()?;
    let life = Life { plans: &plans(entries), amounts: &amounts, sales: &sales, zone };
    shares(life, rates, [time.from, time.to])
}

/// From when on a tenant had which plan.
fn plans(entries: &[Entry]) -> Vec<Stretch> {
    let at = |entry: &Entry| Timestamp::from_second(entry.ended_at).unwrap_or(Timestamp::MIN);
    let stretch = |entry: &Entry| Stretch { from: at(entry), plan: entry.plan.clone() };
    let changes =
        entries.iter().filter(|entry| entry.subject == "PlanChange" && entry.outcome == "TookEffect");
    let mut plans: Vec<Stretch> = entries.first().into_iter().chain(changes).map(stretch).collect();
    plans.sort_by_key(|stretch| stretch.from);
    plans
}

/// What a tenant had of servers, hour by hour.
fn servers(entries: &[Entry], [from, to]: [Timestamp; 2]) -> Vec<Amount> {
    let mut changes: Vec<(Timestamp, Option<Portion>)> = Vec::new();
    for entry in entries {
        let Ok(at) = Timestamp::from_second(entry.ended_at) else { continue };
        match (entry.subject.as_str(), entry.outcome.as_str()) {
            ("Servers", "Released") | ("Tenant", "Ended") => changes.push((at, None)),
            ("Servers", _) => changes.extend(had(entry).map(|had| (at, Some(had)))),
            _ => {}
        }
    }
    let keys: BTreeSet<&String> =
        changes.iter().filter_map(|(_, had)| had.as_ref()).map(|had| &had.key).collect();
    let mut amounts = Vec::new();
    for key in keys {
        let cpu = Resource::Cpu { servers: key.clone() };
        let memory = Resource::Memory { servers: key.clone() };
        type Pick = fn(&Portion) -> i64;
        let picks: [(Resource, Pick); 2] = [(cpu, |had| had.cpu), (memory, |had| had.memory)];
        for (resource, pick) in picks {
            // Whoever has a share of other servers has none of these any more.
            let level = |had: &Option<Portion>| had.as_ref().filter(|had| had.key == *key).map_or(0, pick);
            let levels: Vec<Level> =
                changes.iter().map(|(at, had)| Level { at: *at, level: level(had) }).collect();
            let counted = hours(&levels, Hourly::Seconds, from, to).into_iter();
            let counted = counted.filter(|(_, quantity)| *quantity != 0);
            amounts.extend(counted.map(|(at, quantity)| Amount { resource: resource.clone(), at, quantity }));
        }
    }
    amounts
}

fn had(entry: &Entry) -> Option<Portion> {
    let Had { pool, price_key, amounts } = serde_json::from_str(&entry.evidence).ok()?;
    let cpu = amounts.cpu.parse::<Quantity>().ok()?.thousandths();
    let memory = amounts.memory.parse::<Quantity>().ok()?.mebibytes();
    Some(Portion { key: price_key.unwrap_or(pool), cpu, memory })
}

/// A line of a document as what was sold. Its terms begin with the price list of a plan, where it has the prices of one.
fn sale(currency: Currency, line: &Item) -> Result<Sale, Refusal> {
    let list = line.terms.split(' ').next().filter(|list| list.contains('@'));
    let minor = currency.round(Decimal::parse("net", &line.net)?.value())?;
    Ok(Sale {
        plan: list.map(|list| name_of(list).to_owned()),
        from: line.from,
        to: line.to,
        net: Money { minor, currency },
    })
}

#[cfg(test)]
mod tests;
