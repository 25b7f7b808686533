//! Whose hours the ledger lacks of what is measured, and what is told of them; no client, database or clock.

use super::super::reserved::{charged, ended};
use crate::definitions::UsedMeters;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tenantry_billing::MissingHour;
use tenantry_checklist::access::NAMESPACE_PREFIX;
use tenantry_journal::Entry;
use tenantry_metering::hours::{end_of, hour_of};
use tenantry_metering::used::Measure;

/// An hour.
pub(super) const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// How long ago an hour began that is read once more: the last one that was told, when one more is over.
const LOOKED_BACK: SignedDuration = SignedDuration::from_hours(2);

/// What one hour is asked for, by its begin.
pub(super) type Wanted = BTreeMap<Timestamp, BTreeSet<Measure>>;

/// Counts of a tenant's meters that the ledger is to be told.
pub(super) type Counts = BTreeMap<String, BTreeMap<Timestamp, i128>>;

/// A tenant of whom something is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stake {
    pub(super) application: String,
    /// Where its pods are.
    namespace: String,
    /// What each of its meters is.
    meters: BTreeMap<String, Measure>,
    /// Since when it is charged.
    since: Timestamp,
    /// When it ended, if it has.
    ended: Option<Timestamp>,
    /// When others had its namespace: from, and until when if they are gone.
    others: Vec<(Timestamp, Option<Timestamp>)>,
    /// Hours before this are in the ledger, or lacking.
    to: Timestamp,
    /// What the ledger lacks.
    lacking: BTreeMap<Timestamp, BTreeSet<String>>,
    /// What it was told of hours that are read once more when another one is over: what measures may be late.
    again: BTreeMap<Timestamp, BTreeSet<String>>,
}

/// What was read of hours.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reading {
    /// The number of each namespace.
    pub(super) numbers: BTreeMap<(Timestamp, Measure), BTreeMap<String, f64>>,
    /// Why an hour could not be read.
    pub(super) missing: BTreeMap<(Timestamp, Measure), String>,
    /// Whether more can be read at once.
    pub(super) is_cut: bool,
}

/// Everybody of whom something is measured. Of tenants without that it is known that they are.
#[derive(Debug, Default)]
pub(super) struct Stakes(pub(super) HashMap<String, Option<Stake>>);

// === impl Stake ===

impl Stake {
    /// What is measured of a tenant, from what the journal has of everybody who ever had its name; none where no charges began or
    /// nothing is measured of its application.
    pub(super) fn new(tenant: &str, entries: &[Entry], meters: &UsedMeters) -> Option<Self> {
        let of = |whose: &str| -> Vec<Entry> {
            entries.iter().filter(|entry| entry.tenant == whose).cloned().collect()
        };
        let own = of(tenant);
        let (application, since) = charged(&own)?;
        let meters = meters.get(&application)?.clone();
        let names: BTreeSet<&str> = entries.iter().map(|entry| entry.tenant.as_str()).collect();
        let others = names.into_iter().filter(|other| *other != tenant).filter_map(|other| {
            let all = of(other);
            let first = all.iter().map(|entry| entry.started_at.unwrap_or(entry.ended_at)).min()?;
            Some((Timestamp::from_second(first).ok()?, ended(&all)))
        });
        Some(Self {
            namespace: format!("{NAMESPACE_PREFIX}{}", own.last()?.subscription),
            application,
            meters: meters.into_iter().map(|(meter, (measure, _))| (meter, measure)).collect(),
            since,
            ended: ended(&own),
            others: others.collect(),
            to: hour_of(since),
            lacking: BTreeMap::new(),
            again: BTreeMap::new(),
        })
    }

    /// Hours to before an instant are over: those that the ledger does not have are lacking. What is older than it looks back is
    /// not told any more.
    pub(super) fn extend(
        &mut self,
        told: &BTreeMap<String, BTreeSet<Timestamp>>,
        oldest: Timestamp,
        to: Timestamp,
    ) {
        let until = self.ended.map_or(to, |ended| end_of(ended).min(to));
        let mut hour = self.to.max(hour_of(oldest));
        while hour < until {
            let has = |meter: &&String| told.get(*meter).is_some_and(|hours| hours.contains(&hour));
            let lacks: BTreeSet<String> = self.meters.keys().filter(|meter| !has(meter)).cloned().collect();
            let has: BTreeSet<String> =
                self.meters.keys().filter(|meter| !lacks.contains(*meter)).cloned().collect();
            for (meters, into) in [(lacks, &mut self.lacking), (has, &mut self.again)] {
                if !meters.is_empty() {
                    into.insert(hour, meters);
                }
            }
            hour = hour.saturating_add(HOUR).unwrap_or(Timestamp::MAX);
        }
        self.to = self.to.max(to);
        self.lacking.retain(|hour, _| *hour >= hour_of(oldest));
        let last = self.to.saturating_sub(LOOKED_BACK).unwrap_or(self.to);
        self.again.retain(|hour, _| *hour >= last);
    }

    /// What is to be read: what is lacking, and what was told before another hour was over.
    fn asked(&self) -> impl Iterator<Item = (Timestamp, &String, Measure)> {
        let is_due = |hour: &Timestamp| hour.saturating_add(HOUR).is_ok_and(|end| end < self.to);
        let again = self.again.iter().filter(move |(hour, _)| is_due(hour));
        let all = self.lacking.iter().chain(again);
        let all = all.flat_map(|(hour, meters)| meters.iter().map(|meter| (*hour, meter)));
        all.filter_map(|(hour, meter)| Some((hour, meter, *self.meters.get(meter)?)))
    }

    /// Since when it is charged.
    pub(super) fn since(&self) -> Timestamp {
        self.since
    }

    /// What the ledger is told by a reading, and why it is not told the rest of what was read.
    pub(super) fn counts(&self, reading: &Reading) -> (Counts, BTreeMap<(Timestamp, String), String>) {
        let (mut counts, mut refused) = (Counts::new(), BTreeMap::new());
        for (hour, meter, measure) in self.asked() {
            let Some(numbers) = reading.numbers.get(&(hour, measure)) else { continue };
            // The hour was measured, so who is not there used nothing.
            let number = numbers.get(&self.namespace).copied().unwrap_or_default();
            let count = match self.is_shared(hour) {
                true => {
                    Err("another tenant had this namespace in the same hour, and nothing says whose it was"
                        .to_owned())
                }
                false => measure.count(number).map_err(|refusal| refusal.to_string()),
            };
            match count {
                Ok(count) => {
                    counts.entry(meter.clone()).or_default().insert(hour, i128::from(count));
                }
                Err(reason) => {
                    refused.insert((hour, meter.clone()), reason);
                }
            }
        }
        (counts, refused)
    }

    /// The ledger has these.
    pub(super) fn told(&mut self, counts: &Counts) {
        for (meter, hour) in
            counts.iter().flat_map(|(meter, hours)| hours.keys().map(move |hour| (meter, hour)))
        {
            let lacked = self.lacking.get_mut(hour).is_some_and(|lacks| lacks.remove(meter));
            if lacked && end_of(*hour) == self.to {
                self.again.entry(*hour).or_default().insert(meter.clone());
            } else if let Some(again) = self.again.get_mut(hour) {
                again.remove(meter);
            }
        }
        self.lacking.retain(|_, meters| !meters.is_empty());
        self.again.retain(|_, meters| !meters.is_empty());
    }

    /// Whether somebody else had the namespace in an hour, too.
    fn is_shared(&self, hour: Timestamp) -> bool {
        let end = end_of(hour);
        self.others.iter().any(|(from, until)| *from < end && until.is_none_or(|until| until >= hour))
    }
}

// === impl Stakes ===

impl Stakes {
    /// What is to be read.
    pub(super) fn wanted(&self) -> Wanted {
        let mut wanted = Wanted::new();
        for stake in self.0.values().flatten() {
            for (hour, _, measure) in stake.asked() {
                wanted.entry(hour).or_default().insert(measure);
            }
        }
        wanted
    }

    /// Whether the ledger lacks anything.
    pub(super) fn is_lacking(&self) -> bool {
        self.0.values().flatten().any(|stake| !stake.lacking.is_empty())
    }

    /// Which hours could not be told, and why: what a reading says, or what was said before where it says nothing.
    pub(super) fn missing(
        &self,
        reading: &Reading,
        refused: &BTreeMap<String, BTreeMap<(Timestamp, String), String>>,
        before: &BTreeMap<MissingHour, String>,
    ) -> BTreeMap<MissingHour, String> {
        let mut missing = BTreeMap::new();
        for (tenant, stake) in self.0.iter().filter_map(|(tenant, stake)| Some((tenant, stake.as_ref()?))) {
            for (hour, meters) in &stake.lacking {
                for meter in meters {
                    let key = |tenant: Option<&String>| MissingHour {
                        application: stake.application.clone(),
                        meter: meter.clone(),
                        hour: *hour,
                        tenant: tenant.cloned(),
                    };
                    let own = refused.get(tenant).and_then(|all| all.get(&(*hour, meter.clone())));
                    let measure = stake.meters.get(meter).copied();
                    let read = measure.and_then(|measure| reading.missing.get(&(*hour, measure)));
                    let (key, reason) = match (own, read) {
                        (Some(reason), _) => (key(Some(tenant)), Some(reason)),
                        (None, Some(reason)) => (key(None), Some(reason)),
                        (None, None) => {
                            let everybody = key(None);
                            let known = before.get(&everybody);
                            (everybody, known)
                        }
                    };
                    if let Some(reason) = reason {
                        missing.insert(key, reason.clone());
                    }
                }
            }
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::billing::fixtures;
    use serde_json::json;
    use tenantry_metering::hours::HOUR as SECONDS;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(hours * SECONDS).unwrap()
    }

    fn meters() -> UsedMeters {
        let of = |measure, unit: &str| (measure, unit.to_owned());
        let erp = BTreeMap::from([
            ("cores".to_owned(), of(Measure::Cpu, "MillicoreSecond")),
            ("sent".to_owned(), of(Measure::Egress, "Byte")),
        ]);
        UsedMeters::from([("erp".to_owned(), erp)])
    }

    fn began(hours: i64) -> Entry {
        let terms = json!({"account": "acme", "priceList": "gold@1", "application": "erp"});
        fixtures::entry("charges/began", "Charges", "Began", hours * SECONDS + 60, &terms)
    }

    fn gone(hours: i64) -> Entry {
        fixtures::entry("tenant/ended", "Tenant", "Ended", hours * SECONDS + 60, &json!({}))
    }

    fn stake(entries: &[Entry], to: i64) -> Stake {
        let mut stake = Stake::new("t1", entries, &meters()).unwrap();
        stake.extend(&BTreeMap::new(), at(0), at(to));
        stake
    }

    fn hours(stake: &Stake) -> Vec<i64> {
        stake.lacking.keys().map(|hour| hour.as_second() / SECONDS).collect()
    }

    #[test]
    fn hours_are_lacking_from_the_begin_of_charges_to_the_end_unless_the_ledger_has_them() {
        assert_eq!(hours(&stake(&[began(10)], 13)), [10, 11, 12]);
        assert_eq!(hours(&stake(&[began(10), gone(11)], 20)), [10, 11]);
        assert_eq!(hours(&stake(&[began(10)], 10)), [0_i64; 0]);
        let mut known = Stake::new("t1", &[began(10)], &meters()).unwrap();
        let all = BTreeSet::from([at(10), at(12)]);
        let told = BTreeMap::from([("cores".to_owned(), all.clone()), ("sent".to_owned(), all)]);
        known.extend(&told, at(0), at(14));
        assert_eq!(hours(&known), [11, 13]);
        // What is too old is not told any more.
        known.extend(&told, at(12), at(15));
        assert_eq!(hours(&known), [13, 14]);
        // Of another application nothing is measured, and who is not charged is not measured either.
        assert_eq!(Stake::new("t1", &[began(10)], &UsedMeters::new()), None);
        assert_eq!(Stake::new("t1", &[gone(10)], &meters()), None);
    }

    fn read(hour: i64, numbers: &[(&str, f64)]) -> Reading {
        let numbers = numbers.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
        Reading { numbers: BTreeMap::from([((at(hour), Measure::Cpu), numbers)]), ..Reading::default() }
    }

    #[test]
    fn who_is_not_in_a_measured_hour_used_nothing_and_others_are_left_alone() {
        let mut stake = stake(&[began(10)], 12);
        let reading = read(10, &[("tenant-acme", 1.5), ("tenant-acme-2", 7.0), ("kube-system", 9.0)]);
        let (counts, refused) = stake.counts(&reading);
        assert_eq!(counts, Counts::from([("cores".to_owned(), BTreeMap::from([(at(10), 1_500)]))]));
        assert!(refused.is_empty());
        stake.told(&counts);
        assert_eq!(stake.lacking[&at(10)], BTreeSet::from(["sent".to_owned()]));
        let (counts, _) = stake.counts(&read(11, &[("tenant-bolt", 3.0)]));
        assert_eq!(counts["cores"][&at(11)], 0);
    }

    #[test]
    fn a_number_that_is_none_is_missing_of_this_tenant_alone() {
        let stakes = Stakes(HashMap::from([("t1".to_owned(), Some(stake(&[began(10)], 11)))]));
        let reading = read(10, &[("tenant-acme", f64::NAN)]);
        let (counts, refused) = stakes.0["t1"].as_ref().unwrap().counts(&reading);
        assert!(counts.is_empty());
        let refused = BTreeMap::from([("t1".to_owned(), refused)]);
        let unread = BTreeMap::from([((at(10), Measure::Egress), "away".to_owned())]);
        let reading = Reading { missing: unread, ..reading };
        let missing = stakes.missing(&reading, &refused, &BTreeMap::new());
        let said: Vec<_> = missing.keys().map(|key| (key.meter.as_str(), key.tenant.as_deref())).collect();
        assert_eq!(said, [("cores", Some("t1")), ("sent", None)]);
        assert!(missing.values().any(|reason| reason.contains("NaN")), "{missing:?}");
        // What was not asked this time is missing as before.
        let again = stakes.missing(&Reading::default(), &BTreeMap::new(), &missing);
        assert_eq!(again.values().collect::<Vec<_>>(), ["away"]);
    }

    #[test]
    fn an_hour_in_which_somebody_else_had_the_namespace_is_nobodys() {
        let other = |mut entry: Entry| {
            entry.tenant = "t0".to_owned();
            entry
        };
        let before = [other(began(3)), other(gone(10)), began(10)];
        let stake = stake(&before, 12);
        let (counts, refused) = stake.counts(&read(10, &[("tenant-acme", 1.0)]));
        assert!(counts.is_empty() && refused.len() == 1, "{refused:?}");
        let (counts, _) = stake.counts(&read(11, &[("tenant-acme", 1.0)]));
        assert_eq!(counts["cores"][&at(11)], 1_000);
    }

    #[test]
    fn an_hour_is_read_once_more_when_the_next_one_is_over() {
        let asked = |stake: &Stake| -> Vec<i64> {
            stake.asked().filter(|one| one.2 == Measure::Cpu).map(|one| one.0.as_second() / SECONDS).collect()
        };
        let mut stake = stake(&[began(10)], 12);
        assert_eq!(asked(&stake), [10, 11]);
        let all = |hours: &[i64]| {
            let hours: BTreeMap<Timestamp, i128> = hours.iter().map(|hour| (at(*hour), 7)).collect();
            Counts::from([("cores".to_owned(), hours.clone()), ("sent".to_owned(), hours)])
        };
        stake.told(&all(&[10, 11]));
        assert_eq!(asked(&stake), [0_i64; 0]);
        stake.extend(&BTreeMap::new(), at(0), at(13));
        assert_eq!(asked(&stake), [12, 11]);
        let mut late = read(11, &[("tenant-acme", 0.009)]);
        late.numbers.extend(read(12, &[]).numbers);
        let (counts, _) = stake.counts(&late);
        assert_eq!(counts["cores"], BTreeMap::from([(at(11), 9), (at(12), 0)]));
        stake.told(&all(&[11, 12]));
        stake.extend(&BTreeMap::new(), at(0), at(14));
        assert_eq!(asked(&stake), [13, 12]);
        // Whoever begins anew looks at what the one before him told last.
        let told = BTreeMap::from(
            ["cores", "sent"].map(|meter| (meter.to_owned(), BTreeSet::from([10, 11, 12].map(at)))),
        );
        let mut next = Stake::new("t1", &[began(10)], &meters()).unwrap();
        next.extend(&told, at(0), at(13));
        assert_eq!(asked(&next), [11]);
        next.extend(&BTreeMap::new(), at(0), at(14));
        assert_eq!(asked(&next), [13, 12]);
        next.extend(&BTreeMap::new(), at(0), at(17));
        assert_eq!(asked(&next), [13, 14, 15, 16]);
    }

    #[test]
    fn what_is_wanted_is_asked_once_for_everybody() {
        let one = stake(&[began(10)], 12);
        let mut two = stake(&[began(11)], 12);
        two.told(&Counts::from([("cores".to_owned(), BTreeMap::from([(at(11), 0)]))]));
        let stakes = Stakes(HashMap::from([
            ("t1".to_owned(), Some(one)),
            ("t2".to_owned(), Some(two)),
            ("t3".to_owned(), None),
        ]));
        let both = BTreeSet::from([Measure::Cpu, Measure::Egress]);
        assert_eq!(stakes.wanted(), Wanted::from([(at(10), both.clone()), (at(11), both)]));
    }
}
