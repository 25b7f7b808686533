//! What was ordered and reserved, told to the ledger hour by hour: [`levels`] is pure, the rest needs the database.
//!
//! The journal has when it changed, so an hour can be computed again at any time: told again it is the same, and what the journal took
//! in later is a difference. An hour that could not be told is told with the next one.

use super::worker::Worker;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use std::collections::BTreeMap;
use tenantry_billing::BooksError;
use tenantry_checklist::billing::{COUNTED, STORAGE, Terms};
use tenantry_checklist::revision::DefinitionKind;
use tenantry_crds::application::{ApplicationMeter, MeterResource, MeterSource};
use tenantry_crds::quantity::Quantity;
use tenantry_journal::{Entry, HistoryOf};
use tenantry_metering::hours::{end_of, hour_of};
use tenantry_metering::intake::{LATEST, WAIT};
use tenantry_metering::reserved::{Hourly, Level, hours};

use crate::definitions::content::Content;

/// A share of servers, as the journal has it.
#[derive(Deserialize)]
struct Share {
    amounts: Amounts,
}

#[derive(Deserialize)]
struct Amounts {
    cpu: String,
    memory: String,
}

/// Whether a fact says what a tenant had ordered or reserved.
pub(super) fn concerns(entry: &Entry) -> bool {
    ["Servers", "Charges", "Tenant"].contains(&entry.subject.as_str())
}

/// How much there was of something, from each instant at which that changed.
fn levels(entries: &[Entry], of: MeterResource) -> Vec<Level> {
    let level = |entry: &Entry| {
        let level = match (entry.subject.as_str(), entry.outcome.as_str(), of) {
            ("Servers", "Released", MeterResource::Cpu | MeterResource::Memory) => 0,
            ("Servers", _, MeterResource::Cpu) => share(entry)?.cpu.parse::<Quantity>().ok()?.thousandths(),
            ("Servers", _, MeterResource::Memory) => {
                share(entry)?.memory.parse::<Quantity>().ok()?.mebibytes()
            }
            ("Charges", COUNTED, MeterResource::Seats) => quantity(entry, "Seat")?,
            ("Charges", COUNTED, MeterResource::Storage) => quantity(entry, STORAGE)?,
            ("Tenant", "Ended", _) => 0,
            _ => return None,
        };
        Some(Level { at: Timestamp::from_second(entry.ended_at).ok()?, level })
    };
    entries.iter().filter_map(level).collect()
}

fn quantity(entry: &Entry, of: &str) -> Option<i64> {
    serde_json::from_str::<BTreeMap<String, i64>>(&entry.evidence).ok()?.get(of).copied()
}

fn share(entry: &Entry) -> Option<Amounts> {
    serde_json::from_str::<Share>(&entry.evidence).ok().map(|share| share.amounts)
}

/// The application of a tenant, and since when it is charged.
pub(crate) fn charged(entries: &[Entry]) -> Option<(String, Timestamp)> {
    let began = entries.iter().find(|entry| entry.subject == "Charges" && entry.outcome == "Began")?;
    let terms: Terms = serde_json::from_str(&began.evidence).ok()?;
    Some((terms.application, Timestamp::from_second(began.ended_at).ok()?))
}

/// When the tenant ended, if it has.
pub(crate) fn ended(entries: &[Entry]) -> Option<Timestamp> {
    let ended = entries.iter().find(|entry| entry.subject == "Tenant" && entry.outcome == "Ended")?;
    Timestamp::from_second(ended.ended_at).ok()
}

/// What each meter comes to in the hours from one instant to before another.
fn counted(
    meters: &[ApplicationMeter],
    entries: &[Entry],
    from: Timestamp,
    to: Timestamp,
) -> BTreeMap<String, BTreeMap<Timestamp, i128>> {
    let counted = meters.iter().filter(|meter| meter.source == MeterSource::Reserved).filter_map(|meter| {
        let of = meter.of?;
        let how = match of {
            MeterResource::Cpu | MeterResource::Memory | MeterResource::Storage => Hourly::Seconds,
            MeterResource::Seats => Hourly::Highest,
            // The API server refuses it: nobody reserves traffic.
            MeterResource::Egress => return None,
        };
        Some((meter.name.clone(), hours(&levels(entries, of), how, from, to)))
    });
    counted.collect()
}

// === impl Worker ===

impl Worker<'_> {
    /// Tells the ledger what was reserved in the hours that were over by an instant, less the time that is waited, and says when more
    /// of it is to be told.
    pub(super) async fn tell_reserved(
        &self,
        by: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, BooksError> {
        if !self.context.store.is_reserved() {
            return Ok(None);
        }
        let to = hour_of(by.saturating_sub(WAIT).unwrap_or(by));
        for (tenant, account, told) in self.behind(to) {
            let entries = self.database.history(&HistoryOf::Tenant(tenant.clone())).await?;
            let ended = ended(&entries);
            if let Some((application, since)) = charged(&entries) {
                // What is older than the ledger looks back is not told any more.
                let oldest = now.saturating_sub(LATEST).unwrap_or(now).saturating_add(HOUR).unwrap_or(now);
                let from = told.unwrap_or(since).max(since).max(oldest);
                let until = ended.map_or(to, |ended| end_of(ended).min(to));
                let meters = self.counted(&application, &entries, from, until);
                if !meters.is_empty() {
                    match self.books.tell_hours(self.epoch, &tenant, &account, &meters, now).await {
                        Ok(_) => {}
                        Err(error) if error.is_outage() || error.is_superseded() => return Err(error),
                        Err(error) => {
                            tracing::warn!(tenant, %error, "the ledger refused what was reserved; it is told again");
                            continue;
                        }
                    }
                }
            }
            let told = if ended.is_some_and(|ended| end_of(ended) <= to) { Timestamp::MAX } else { to };
            self.context.billing.lock().reserved.insert(tenant, told);
        }
        Ok(to.saturating_add(HOUR).and_then(|next| next.saturating_add(WAIT)).ok())
    }

    /// Tenants of whom something was not told, each with its account and up to when it was.
    fn behind(&self, to: Timestamp) -> Vec<(String, String, Option<Timestamp>)> {
        let state = self.context.billing.lock();
        let known = state.known.iter().filter_map(|(tenant, known)| {
            let told = state.reserved.get(tenant).copied();
            told.is_none_or(|told| told < to).then(|| (tenant.clone(), known.account.clone(), told))
        });
        known.collect()
    }

    fn counted(
        &self,
        application: &str,
        entries: &[Entry],
        from: Timestamp,
        to: Timestamp,
    ) -> BTreeMap<String, BTreeMap<Timestamp, i128>> {
        match self.context.store.live_content(DefinitionKind::Application, application) {
            Some(Content::Application(spec)) => counted(&spec.meters, entries, from, to),
            _ => BTreeMap::new(),
        }
    }
}

/// An hour.
const HOUR: SignedDuration = SignedDuration::from_hours(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::billing::fixtures;
    use serde_json::{Value, json};

    fn entry(subject: &str, outcome: &str, at: i64, evidence: Value) -> Entry {
        fixtures::entry(&format!("{subject}/{at}"), subject, outcome, at, &evidence)
    }

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(hours * 3_600).unwrap()
    }

    #[test]
    fn the_journal_says_what_was_reserved_in_each_hour() {
        let has =
            |cpu: &str, memory: &str| json!({"pool": "standard", "amounts": {"cpu": cpu, "memory": memory}});
        let entries = [
            entry("Servers", "Obtained", 1_800, has("500m", "1Gi")),
            entry(
                "Charges",
                "Began",
                3_600,
                json!({"account": "acme", "priceList": "gold@1", "application": "erp"}),
            ),
            entry("Charges", "Counted", 3_600, json!({"Seat": 3, "NamedUser": 0, "storageMiB": 512})),
            entry("Servers", "Changed", 2 * 3_600, has("2", "4Gi")),
            entry(
                "Charges",
                "Counted",
                2 * 3_600 + 60,
                json!({"Seat": 2, "NamedUser": 0, "ConcurrentUser": 0}),
            ),
            entry("Servers", "Released", 3 * 3_600 + 1_800, has("2", "4Gi")),
            entry("Tenant", "Ended", 3 * 3_600 + 2_400, json!({})),
        ];
        let meters: Vec<ApplicationMeter> = serde_json::from_value(json!([
            {"name": "cores", "source": "Reserved", "of": "Cpu", "unit": "MillicoreSecond"},
            {"name": "memory", "source": "Reserved", "of": "Memory", "unit": "MebibyteSecond"},
            {"name": "seats", "source": "Reserved", "of": "Seats", "unit": "Seat"},
            {"name": "disk", "source": "Reserved", "of": "Storage", "unit": "MebibyteSecond"},
            {"name": "used", "source": "Used", "of": "Cpu", "unit": "MillicoreSecond"},
            {"name": "calls", "source": "Events", "unit": "Request"},
        ]))
        .unwrap();
        let (application, since) = charged(&entries).unwrap();
        assert_eq!((application.as_str(), since), ("erp", at(1)));
        let all = counted(&meters, &entries, since, at(5));
        let numbers = |meter: &str| all[meter].values().copied().collect::<Vec<_>>();
        assert_eq!(numbers("cores"), [500 * 3_600, 2_000 * 3_600, 2_000 * 1_800, 0]);
        assert_eq!(numbers("memory"), [1_024 * 3_600, 4_096 * 3_600, 4_096 * 1_800, 0]);
        assert_eq!(numbers("seats"), [3, 3, 2, 0]);
        // Of storage the last count says nothing, so it is as it was until the tenant ended.
        assert_eq!(numbers("disk"), [512 * 3_600, 512 * 3_600, 512 * 2_400, 0]);
        assert_eq!(all.len(), 4, "what is told or measured comes from others");
        assert_eq!(charged(&entries[..1]), None);
        assert_eq!((ended(&entries).map(end_of), ended(&entries[..6])), (Some(at(4)), None));
    }
}
