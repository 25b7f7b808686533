//! What was told of usage, and what it costs, as commands and the endpoint answer it. Needs the database.

use crate::bills::{Standing, coming, invoices};
use crate::controller::billing::feed::feed;
use crate::controller::billing::reserved::{charged, ended};
use crate::margin::said::{OfPlan, said};
use crate::margin::{Costs, Known, of_tenant};
use crate::printed::Time;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use tenantry_billing::{AsidePage, AsideWanted, Books, BooksError, Cursor, MissingHour};
use tenantry_journal::{Database, Entry, HistoryOf};
use tenantry_ledger::document::Document;
use tenantry_ledger::margin::{Share, together};
use tenantry_ledger::refusal::Refusal;
use tenantry_metering::hours::{end_of, hour_of};

/// What was used by everybody who is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Used {
    /// Each tenant that ever had the name.
    pub(crate) tenants: Vec<OfTenant>,
}

/// What was used by one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfTenant {
    /// Its id.
    pub(crate) tenant: String,
    /// Who pays, once charges began.
    pub(crate) account: Option<String>,
    /// The first moment.
    pub(crate) from: Timestamp,
    /// The first moment after.
    pub(crate) to: Timestamp,
    /// Its meters, by name.
    pub(crate) meters: Vec<OfMeter>,
    /// What it had, used and was sold, by the plan that it had.
    #[serde(default)]
    pub(crate) plans: Vec<OfPlan>,
    /// How much of what was told in this time is kept aside, by cause.
    pub(crate) quarantined: BTreeMap<String, i64>,
}

/// What was used of one plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UsedByPlan {
    /// The first day, by the clock of each account.
    pub(crate) from: Date,
    /// The first day after.
    pub(crate) to: Date,
    /// Each tenant that had the plan in this time.
    pub(crate) tenants: Vec<OneOfPlan>,
    /// All of them together.
    pub(crate) total: OfPlan,
}

/// One tenant of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OneOfPlan {
    /// Its id.
    pub(crate) tenant: String,
    /// The name of its subscription.
    pub(crate) name: String,
    /// Who pays, once charges began.
    pub(crate) account: Option<String>,
    /// What it had, used, was sold and cost.
    #[serde(flatten)]
    pub(crate) of: OfPlan,
}

/// What one meter counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfMeter {
    /// The meter.
    pub(crate) meter: String,
    /// What it counts, where that was told.
    pub(crate) unit: Option<String>,
    /// Where its numbers came from, where there are any.
    pub(crate) source: Option<Source>,
    /// All that was told, or was reserved.
    pub(crate) told: String,
    /// What of it the ledger has.
    pub(crate) in_ledger: String,
    /// How many events.
    pub(crate) events: i64,
    /// How many of them came late.
    pub(crate) late: i64,
    /// Hours of which nothing could be told yet.
    #[serde(default)]
    pub(crate) missing: Vec<Missing>,
    /// What was charged for it in this time, and what comes next.
    pub(crate) priced: Vec<Priced>,
}

/// Where numbers came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Source {
    /// Somebody told them.
    Events,
    /// The journal has them.
    Reserved,
    /// A Prometheus measured them.
    Used,
}

/// Hours in a row that are missing for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Missing {
    /// The begin of the first one.
    pub(crate) from: Timestamp,
    /// The end of the last one.
    pub(crate) to: Timestamp,
    /// Why.
    pub(crate) reason: String,
}

/// What a meter's count costs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Priced {
    /// The charge.
    pub(crate) charge: String,
    /// The document, none while it is a draft.
    pub(crate) number: Option<String>,
    /// How many priced units.
    pub(crate) quantity: String,
    /// Before tax, after coupons.
    pub(crate) net: String,
    /// In what it is written.
    pub(crate) currency: String,
}

/// What was used by every tenant that is meant, in whole days by the clock of who pays, or of UTC where nobody does.
///
/// With costs, for who may see them, it is said what is left.
///
/// # Errors
/// When the database cannot be read, or the days are none.
pub(crate) async fn used(
    database: &Database,
    of: &HistoryOf,
    standing: Option<&Standing>,
    costs: Option<&Costs>,
    time: Time,
    now: Timestamp,
) -> Result<Used, BooksError> {
    let books = Books::new(database.clone());
    let mut tenants: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for entry in database.history(of).await? {
        tenants.entry(entry.tenant.clone()).or_default().push(entry);
    }
    if let Some(tenant) = standing.and_then(|standing| standing.status.tenant.as_ref()) {
        tenants.entry(tenant.id.clone()).or_default();
    }
    let (measured, missing) = (books.measured().await?, books.missing().await?);
    let mut used = Used::default();
    for (tenant, entries) in tenants {
        let account = feed(&entries).map(|feed| feed.account);
        let loaded = match &account {
            Some(account) => books.load(account).await?,
            None => None,
        };
        let zone = match &loaded {
            Some(loaded) => loaded.history.catalogue()?.zone().clone(),
            None => TimeZone::UTC,
        };
        let [from, to] = bounds(time, &zone)?;
        let lives = Lives::of(&entries);
        let measured_unit = |meter: &str| {
            let application = lives.as_ref()?.application.clone();
            measured.get(&(application, meter.to_owned())).cloned()
        };
        let mut meters: BTreeMap<String, OfMeter> = BTreeMap::new();
        for (meter, told) in books.told_of(&tenant, account.as_deref(), from, to).await? {
            // No event stands in for what was reserved, so a meter has numbers of one source.
            let (source, all) = match told.events {
                0 => (Source::Reserved, told.in_ledger),
                _ => (Source::Events, told.quantity),
            };
            let unit = measured_unit(&meter);
            let one = OfMeter {
                meter: meter.clone(),
                source: Some(unit.as_ref().map_or(source, |_| Source::Used)),
                unit: told.unit.or(unit),
                told: all.to_string(),
                in_ledger: told.in_ledger.to_string(),
                events: told.events,
                late: told.late,
                ..OfMeter::default()
            };
            meters.insert(meter, one);
        }
        for (meter, hours) in lives.iter().flat_map(|lives| lives.lacked(&missing, &tenant, [from, to])) {
            let told = books.hours_told(account.as_deref().unwrap_or_default(), &tenant, from).await?;
            let has = |hour: &Timestamp| told.get(meter).is_some_and(|hours| hours.contains(hour));
            let hours = in_a_row(hours.into_iter().filter(|(hour, _)| !has(hour)));
            if hours.is_empty() {
                continue;
            }
            let of_meter = meters.entry(meter.to_owned()).or_insert_with(|| OfMeter {
                source: Some(Source::Used),
                unit: measured_unit(meter),
                ..OfMeter::nothing(meter)
            });
            of_meter.missing = hours;
        }
        if let Some(loaded) = &loaded {
            let catalogue = loaded.history.catalogue()?;
            let metered: BTreeSet<(&str, &str)> = catalogue.metered().collect();
            let whose = HistoryOf::Tenant(tenant.clone());
            let made = invoices(database, &whose).await?;
            let next = coming(database, &whose, None, None, now).await?.documents;
            for (charge, meter) in metered {
                let mut priced = self::priced(&made, &tenant, charge, time);
                // A draft has no number yet.
                priced.extend(
                    self::priced(&next, &tenant, charge, time)
                        .into_iter()
                        .map(|line| Priced { number: None, ..line }),
                );
                if !priced.is_empty() {
                    let of_meter = meters.entry(meter.to_owned()).or_insert_with(|| OfMeter::nothing(meter));
                    of_meter.priced.extend(priced);
                }
            }
        }
        let quarantined = books.kept_aside(&tenant, from, to).await?;
        let meters = meters.into_values().collect();
        let life = Told { tenant: &tenant, entries: &entries, account: account.as_deref(), zone: &zone };
        let shares = life.shares(&books, costs, time, [from, to.min(now)]).await?;
        let plans = shares.iter().map(|share| said(share, costs.is_some()));
        let plans = plans.collect::<Result<_, _>>()?;
        used.tenants.push(OfTenant { tenant, account, from, to, meters, plans, quarantined });
    }
    Ok(used)
}

/// What all tenants of a plan had, used, were sold and cost while they had it, in whole days by the clock of who pays, or of UTC where
/// nobody does.
///
/// # Errors
/// When the database cannot be read, or the days are none.
pub(crate) async fn used_by_plan(
    database: &Database,
    plan: &str,
    costs: Option<&Costs>,
    time: Time,
    now: Timestamp,
) -> Result<UsedByPlan, BooksError> {
    let books = Books::new(database.clone());
    let (mut tenants, mut all) = (Vec::new(), Vec::new());
    for tenant in database.tenants_of(plan).await? {
        let entries = database.history(&HistoryOf::Tenant(tenant.clone())).await?;
        let account = feed(&entries).map(|feed| feed.account);
        let zone = match &account {
            Some(account) => match books.load(account).await? {
                Some(loaded) => loaded.history.catalogue()?.zone().clone(),
                None => TimeZone::UTC,
            },
            None => TimeZone::UTC,
        };
        let [from, to] = bounds(time, &zone)?;
        let life = Told { tenant: &tenant, entries: &entries, account: account.as_deref(), zone: &zone };
        let shares = life.shares(&books, costs, time, [from, to.min(now)]).await?;
        let Some(share) = shares.into_iter().find(|share| share.plan == plan) else { continue };
        let name = entries.last().map(|entry| entry.subscription.clone()).unwrap_or_default();
        tenants.push(OneOfPlan { tenant, name, account, of: said(&share, costs.is_some())? });
        all.push(share);
    }
    let total = Share { plan: plan.to_owned(), ..together(&all)? };
    Ok(UsedByPlan { from: time.from, to: time.to, tenants, total: said(&total, costs.is_some())? })
}

/// What was told of usage and does not count, by when it was received, in days of UTC: of one subscription, or of everybody and nobody.
///
/// # Errors
/// When the database cannot be read, the days are none, or the page is.
pub(crate) async fn aside(
    database: &Database,
    of: Option<&HistoryOf>,
    time: Time,
    after: Option<Cursor>,
    limit: u32,
) -> Result<AsidePage, BooksError> {
    let tenants = match of {
        None => None,
        // What was told before anything happened to a tenant is known by its id alone.
        Some(HistoryOf::Tenant(tenant)) => Some(vec![tenant.clone()]),
        Some(of) => {
            let known: BTreeSet<String> =
                database.history(of).await?.into_iter().map(|entry| entry.tenant).collect();
            Some(known.into_iter().collect())
        }
    };
    let [from, to] = bounds(time, &TimeZone::UTC)?;
    Books::new(database.clone()).aside(&AsideWanted { tenants, from, to, after, limit }).await
}

/// What is told of a tenant.
struct Told<'a> {
    tenant: &'a str,
    entries: &'a [Entry],
    account: Option<&'a str>,
    zone: &'a TimeZone,
}

impl Told<'_> {
    /// What it had, used, was sold and cost, by plan. What it will have of servers nobody knows, so its time ends now at the latest.
    async fn shares(
        &self,
        books: &Books,
        costs: Option<&Costs>,
        time: Time,
        between: [Timestamp; 2],
    ) -> Result<Vec<Share>, BooksError> {
        let Self { tenant, entries, account, zone } = *self;
        let [from, to] = between;
        let meters = books.hourly(tenant, account, from, to).await?;
        let documents = books.documents_of(tenant).await?;
        let rates = costs.map(|costs| costs.of(account)).transpose()?.unwrap_or_default();
        let known = Known { tenant, entries, meters: &meters, documents: &documents, zone, between };
        Ok(of_tenant(&known, &rates, time)?)
    }
}

impl OfMeter {
    /// A meter that counted nothing.
    fn nothing(meter: &str) -> Self {
        let zero = || "0".to_owned();
        Self { meter: meter.to_owned(), told: zero(), in_ledger: zero(), ..Self::default() }
    }
}

/// When a tenant is measured, and by which application's meters.
struct Lives {
    application: String,
    from: Timestamp,
    to: Option<Timestamp>,
}

impl Lives {
    fn of(entries: &[Entry]) -> Option<Self> {
        let (application, since) = charged(entries)?;
        Some(Self { application, from: hour_of(since), to: ended(entries) })
    }

    /// Hours of a tenant between two instants that are noted as missing, with the reason, by meter.
    fn lacked<'m>(
        &self,
        missing: &'m BTreeMap<MissingHour, String>,
        tenant: &str,
        [from, to]: [Timestamp; 2],
    ) -> BTreeMap<&'m str, Vec<(Timestamp, &'m str)>> {
        let is_own = |key: &MissingHour| {
            key.application == self.application && key.tenant.as_ref().is_none_or(|own| own == tenant)
        };
        let is_in_time = |hour: Timestamp| {
            from.max(self.from) <= hour && hour < to && self.to.is_none_or(|ended| hour < ended)
        };
        let mut lacked: BTreeMap<&str, Vec<(Timestamp, &str)>> = BTreeMap::new();
        for (key, reason) in missing.iter().filter(|(key, _)| is_own(key) && is_in_time(key.hour)) {
            lacked.entry(&key.meter).or_default().push((key.hour, reason));
        }
        lacked
    }
}

/// Hours as stretches of one reason.
fn in_a_row<'a>(hours: impl Iterator<Item = (Timestamp, &'a str)>) -> Vec<Missing> {
    let mut all: Vec<Missing> = Vec::new();
    for (hour, reason) in hours {
        match all.last_mut() {
            Some(last) if last.to == hour && last.reason == reason => last.to = end_of(hour),
            // Of one hour that is missing of everybody and of this tenant alone, one reason is enough.
            Some(last) if last.to > hour => {}
            _ => all.push(Missing { from: hour, to: end_of(hour), reason: reason.to_owned() }),
        }
    }
    all
}

/// The instants between which days lie.
fn bounds(time: Time, zone: &TimeZone) -> Result<[Timestamp; 2], Refusal> {
    if time.to <= time.from {
        let reason = format!("no day lies from {} to before {}", time.from, time.to);
        return Err(Refusal::new("to", reason, "write a later day; it is the first one that does not count"));
    }
    let instant = |field: &str, day: jiff::civil::Date| {
        zone.to_timestamp(day.at(0, 0, 0, 0)).map_err(|_| {
            Refusal::new(field, format!("{day} is outside the calendar"), "write a day such as 2027-01-31")
        })
    };
    Ok([instant("from", time.from)?, instant("to", time.to)?])
}

/// The lines of a charge whose time has a part in common with the one that is asked for.
fn priced(documents: &[Document], tenant: &str, charge: &str, time: Time) -> Vec<Priced> {
    let lines = documents.iter().flat_map(|document| document.lines.iter().map(move |line| (document, line)));
    let own = lines.filter(|(_, line)| line.subscription == tenant && line.charge == charge);
    let within = own.filter(|(_, line)| line.from.date() < time.to && line.to > time.from.at(0, 0, 0, 0));
    let priced = within.map(|(document, line)| Priced {
        charge: charge.to_owned(),
        number: Some(document.number.clone()),
        quantity: line.quantity.clone(),
        net: line.net.clone(),
        currency: document.currency.to_string(),
    });
    priced.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3_600).unwrap()
    }

    #[test]
    fn hours_that_are_missing_for_one_reason_are_said_together() {
        let key = |application: &str, hour: i64, tenant: Option<&str>| MissingHour {
            application: application.to_owned(),
            meter: "cores".to_owned(),
            hour: at(hour),
            tenant: tenant.map(str::to_owned),
        };
        let away = |key: MissingHour| (key, "away".to_owned());
        let mut missing: BTreeMap<MissingHour, String> =
            [4, 5, 6, 7, 9, 12].map(|hour| away(key("erp", hour, None))).into();
        missing.insert(key("erp", 10, Some("t1")), "it is no number".to_owned());
        missing.extend([away(key("erp", 11, Some("t2"))), away(key("mail", 11, None))]);
        let lives = Lives { application: "erp".to_owned(), from: at(5), to: Some(at(12)) };
        let mut lacked = lives.lacked(&missing, "t1", [at(0), at(100)]);
        let stretch =
            |from, to, reason: &str| Missing { from: at(from), to: at(to), reason: reason.to_owned() };
        let all = [stretch(5, 8, "away"), stretch(9, 10, "away"), stretch(10, 11, "it is no number")];
        assert_eq!(in_a_row(lacked.remove("cores").unwrap().into_iter()), all);
        assert!(lives.lacked(&missing, "t1", [at(8), at(9)]).is_empty());
    }
}
