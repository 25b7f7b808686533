//! What was used, read from a Prometheus hour by hour and told to the ledger. Needs the database, the network and a clock.
//!
//! Which hours were told the ledger says, so whoever is killed meanwhile tells nothing twice. An hour that was not measured, or of
//! which no answer comes, is missing: it is noted with the reason, tried again, and told when it can be. Nothing stands in for it.

pub(crate) mod measuring;
pub(crate) mod prometheus;
mod stakes;

use super::worker::Worker;
use crate::controller::patience::doubled;
use crate::definitions::Key;
use crate::definitions::UsedMeters;
use jiff::{SignedDuration, Timestamp};
use stakes::{HOUR, Reading, Stake, Stakes, Wanted};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tenantry_billing::{BooksError, Measured, MissingHour};
use tenantry_checklist::revision::DefinitionKind;
use tenantry_journal::{Entry, HistoryOf};
use tenantry_metering::hours::hour_of;
use tenantry_metering::intake::{LATEST, WAIT};

/// First and longest wait before hours that are missing are read again.
const AGAIN: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(3600)];
/// Why hours are missing where nobody can be asked.
const NOBODY: &str = "no Prometheus is configured; start the controller with --prometheus-url";

/// What is known of what is measured, until something of it was lost.
#[derive(Debug, Default)]
pub(super) struct Used {
    stakes: Stakes,
    /// What applications measure.
    meters: UsedMeters,
    /// Hours before this were looked at.
    to: Option<Timestamp>,
    /// When missing hours are read again.
    again: Option<Timestamp>,
    tries: u32,
    /// Which hours are noted as missing, once it is known.
    noted: Option<BTreeMap<MissingHour, String>>,
    /// Which meters are noted.
    measured: Measured,
}

/// Whether a fact says since when a tenant is measured, or up to when.
pub(super) fn concerns(entry: &Entry) -> bool {
    matches!((entry.subject.as_str(), entry.outcome.as_str()), ("Charges", "Began") | ("Tenant", "Ended"))
}

// === impl Worker ===

impl Worker<'_> {
    /// Tells the ledger what was used in the hours that are over and waited for, and says when more of it is to be told.
    pub(super) async fn tell_used(&self, now: Timestamp) -> Result<Option<Timestamp>, BooksError> {
        let mut used = self.used.lock().await;
        let told = self.tell_used_of(&mut used, now).await;
        if told.is_err() {
            // What was written may be there although the answer is not.
            *used = Used::default();
        }
        told
    }

    async fn tell_used_of(&self, used: &mut Used, now: Timestamp) -> Result<Option<Timestamp>, BooksError> {
        let meters = self.context.store.used_meters();
        if meters.is_empty() && used.meters.is_empty() {
            self.context.billing.lock().measured_anew.clear();
            return Ok(None);
        }
        let to = hour_of(now.saturating_sub(WAIT).unwrap_or(now));
        let next = to.saturating_add(HOUR).and_then(|next| next.saturating_add(WAIT)).ok();
        if !self.is_news(used, &meters, to, now) {
            return Ok(next.into_iter().chain(used.again).min());
        }
        if used.meters != meters {
            // A meter that is new may have hours that are over.
            used.stakes = Stakes::default();
            used.meters = meters;
        }
        self.note_meters(used).await?;
        self.acquaint(used, to, now).await?;
        let wanted = used.stakes.wanted();
        let reading = match &self.context.prometheus {
            Some(prometheus) => prometheus.read(&wanted).await,
            None => unread(&wanted, NOBODY),
        };
        let refused = self.tell_reading(used, &reading, now).await?;
        self.note_hours(used, &reading, &refused, oldest(now)).await?;
        used.to = Some(to);
        let is_behind = used.stakes.is_lacking() && self.context.prometheus.is_some();
        used.again = match (is_behind, reading.is_cut) {
            (false, _) => None,
            (true, true) => Some(now),
            (true, false) => {
                let wait = SignedDuration::try_from(doubled(AGAIN, used.tries)).unwrap_or(HOUR);
                now.saturating_add(wait).ok()
            }
        };
        used.tries = if is_behind && !reading.is_cut { used.tries.saturating_add(1) } else { 0 };
        Ok(next.into_iter().chain(used.again).min())
    }

    /// Whether anything may be told that was not looked at, or is to be tried again.
    fn is_news(&self, used: &mut Used, meters: &UsedMeters, to: Timestamp, now: Timestamp) -> bool {
        let mut state = self.context.billing.lock();
        for tenant in std::mem::take(&mut state.measured_anew) {
            used.stakes.0.remove(&tenant);
        }
        used.to != Some(to)
            || used.meters != *meters
            || used.again.is_some_and(|again| again <= now)
            || state.known.keys().any(|tenant| !used.stakes.0.contains_key(tenant))
    }

    /// Looks at tenants that are not known yet, and at the hours that are over by now.
    async fn acquaint(&self, used: &mut Used, to: Timestamp, now: Timestamp) -> Result<(), BooksError> {
        let known: Vec<(String, String)> = {
            let state = self.context.billing.lock();
            state.known.iter().map(|(tenant, known)| (tenant.clone(), known.account.clone())).collect()
        };
        let oldest = oldest(now);
        for (tenant, account) in known {
            match used.stakes.0.get_mut(&tenant) {
                Some(stake) => {
                    if let Some(stake) = stake {
                        stake.extend(&BTreeMap::new(), oldest, to);
                    }
                }
                None => {
                    let stake = self.stake(&tenant, &account, &used.meters, oldest, to).await?;
                    used.stakes.0.insert(tenant, stake);
                }
            }
        }
        Ok(())
    }

    async fn stake(
        &self,
        tenant: &str,
        account: &str,
        meters: &UsedMeters,
        oldest: Timestamp,
        to: Timestamp,
    ) -> Result<Option<Stake>, BooksError> {
        let own = self.database.history(&HistoryOf::Tenant(tenant.to_owned())).await?;
        let Some(name) = own.last().map(|entry| entry.subscription.clone()) else { return Ok(None) };
        if Stake::new(tenant, &own, meters).is_none() {
            return Ok(None);
        }
        let all = self.database.history(&HistoryOf::Subscription(name)).await?;
        let Some(mut stake) = Stake::new(tenant, &all, meters) else { return Ok(None) };
        let told = self.books.hours_told(account, tenant, oldest.max(hour_of(stake.since()))).await?;
        stake.extend(&told, oldest, to);
        Ok(Some(stake))
    }

    /// Tells the ledger what was read, and gives what it was not told and why, by tenant.
    async fn tell_reading(
        &self,
        used: &mut Used,
        reading: &Reading,
        now: Timestamp,
    ) -> Result<BTreeMap<String, BTreeMap<(Timestamp, String), String>>, BooksError> {
        let mut all = BTreeMap::new();
        for (tenant, stake) in &mut used.stakes.0 {
            let Some(stake) = stake else { continue };
            let (counts, mut refused) = stake.counts(reading);
            let account = self.context.billing.lock().known.get(tenant).map(|known| known.account.clone());
            if let Some(account) = account.filter(|_| !counts.is_empty()) {
                match self.books.tell_hours(self.epoch, tenant, &account, &counts, now).await {
                    Ok(_) => stake.told(&counts),
                    Err(error) if error.is_outage() || error.is_superseded() => return Err(error),
                    Err(error) => {
                        tracing::warn!(tenant, %error, "the ledger refused what was used; it is told again");
                        let keys = counts
                            .iter()
                            .flat_map(|(meter, hours)| hours.keys().map(move |hour| (*hour, meter.clone())));
                        let reason = format!("the ledger refused it: {error}");
                        refused.extend(keys.map(|key| (key, reason.clone())));
                    }
                }
            }
            if !refused.is_empty() {
                all.insert(tenant.clone(), refused);
            }
        }
        Ok(all)
    }

    /// Notes which hours are missing, and says so where people look.
    async fn note_hours(
        &self,
        used: &mut Used,
        reading: &Reading,
        refused: &BTreeMap<String, BTreeMap<(Timestamp, String), String>>,
        oldest: Timestamp,
    ) -> Result<(), BooksError> {
        let mut noted = match used.noted.take() {
            Some(noted) => noted,
            None => self.books.missing().await?,
        };
        let missing = used.stakes.missing(reading, refused, &noted);
        // What is too old to be told stays noted: it is missing for ever.
        let is_settled = |key: &&MissingHour| !missing.contains_key(*key) && key.hour >= hour_of(oldest);
        let gone: Vec<MissingHour> = noted.keys().filter(is_settled).cloned().collect();
        let new: BTreeMap<MissingHour, String> = missing
            .iter()
            .filter(|(key, reason)| noted.get(*key) != Some(*reason))
            .map(|(key, reason)| (key.clone(), reason.clone()))
            .collect();
        if !gone.is_empty() || !new.is_empty() {
            self.books.note_missing(self.epoch, &gone, &new).await?;
        }
        for application in self.context.measuring.settle(used.meters.keys().cloned().collect(), &missing) {
            self.context.definition_queue.wake(Key::new(DefinitionKind::Application, application));
        }
        // They come in the order of their keys.
        noted.retain(|key, _| gone.binary_search(key).is_err());
        noted.extend(new);
        used.noted = Some(noted);
        Ok(())
    }

    async fn note_meters(&self, used: &mut Used) -> Result<(), BooksError> {
        let of = |(application, meters): (&String, &BTreeMap<String, (_, String)>)| {
            let meters = meters.iter();
            meters
                .map(|(meter, (_, unit))| ((application.clone(), meter.clone()), unit.clone()))
                .collect::<Vec<_>>()
        };
        let meters: Measured = used.meters.iter().flat_map(of).collect();
        if used.measured != meters {
            if self.books.measured().await? != meters {
                self.books.note_measured(self.epoch, &meters).await?;
            }
            used.measured = meters;
        }
        Ok(())
    }
}

/// The oldest instant of which the ledger is told: what it would not look back at is not told any more.
fn oldest(now: Timestamp) -> Timestamp {
    now.saturating_sub(LATEST).unwrap_or(now).saturating_add(HOUR).unwrap_or(now)
}

/// A reading that could not be made.
fn unread(wanted: &Wanted, reason: &str) -> Reading {
    let each = |(hour, measures): (&Timestamp, &BTreeSet<_>)| {
        let hour = *hour;
        measures.iter().map(move |measure| ((hour, *measure), reason.to_owned())).collect::<Vec<_>>()
    };
    Reading { missing: wanted.iter().flat_map(each).collect(), ..Reading::default() }
}
