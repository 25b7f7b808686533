//! What was told of usage, and what it costs, as commands and the endpoint answer it. Needs the database.

use crate::bills::{Standing, coming, invoices};
use crate::controller::billing::feed::feed;
use crate::printed::Time;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use tenantry_billing::{Books, BooksError};
use tenantry_journal::{Database, HistoryOf};
use tenantry_ledger::document::Document;
use tenantry_ledger::refusal::Refusal;

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
    /// How much of what was told in this time is kept aside, by cause.
    pub(crate) quarantined: BTreeMap<String, i64>,
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
/// # Errors
/// When the database cannot be read, or the days are none.
pub(crate) async fn used(
    database: &Database,
    of: &HistoryOf,
    standing: Option<&Standing>,
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
        let mut meters: BTreeMap<String, OfMeter> = BTreeMap::new();
        for (meter, told) in books.told_of(&tenant, account.as_deref(), from, to).await? {
            // No event stands in for what was reserved, so a meter has numbers of one source.
            let (source, all) = match told.events {
                0 => (Source::Reserved, told.in_ledger),
                _ => (Source::Events, told.quantity),
            };
            let one = OfMeter {
                meter: meter.clone(),
                unit: told.unit,
                source: Some(source),
                told: all.to_string(),
                in_ledger: told.in_ledger.to_string(),
                events: told.events,
                late: told.late,
                priced: Vec::new(),
            };
            meters.insert(meter, one);
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
        used.tenants.push(OfTenant { tenant, account, from, to, meters, quarantined });
    }
    Ok(used)
}

impl OfMeter {
    /// A meter that counted nothing.
    fn nothing(meter: &str) -> Self {
        let zero = || "0".to_owned();
        Self { meter: meter.to_owned(), told: zero(), in_ledger: zero(), ..Self::default() }
    }
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
