//! How far what is measured was told, for conditions of applications and for metrics; no client or clock.

use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use tenantry_billing::MissingHour;
use tenantry_crds::HostedApplicationSpec;
use tenantry_crds::application::MeterSource;
use tenantry_crds::common::ConditionStatus;

/// Reason where nobody can be asked.
pub(crate) const NOT_CONFIGURED: &str = "PrometheusNotConfigured";
/// Reason before it was looked at.
pub(crate) const NOT_READ: &str = "NotRead";

/// How far what is measured was told.
#[derive(Debug, Default)]
pub(crate) struct Measuring {
    /// Whether there is a Prometheus to ask.
    is_configured: OnceLock<bool>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether it was looked at.
    is_known: bool,
    /// Applications that measure something.
    applications: BTreeSet<String>,
    /// Hours that are missing, of whatever meter.
    missing: usize,
    /// Since when hours of an application are missing, and why.
    behind: BTreeMap<String, (Timestamp, String)>,
}

// === impl Measuring ===

impl Measuring {
    /// Says whether there is a Prometheus to ask.
    pub(crate) fn configure(&self, is_configured: bool) {
        let _same = self.is_configured.set(is_configured);
    }

    /// Hours that are missing.
    pub(crate) fn missing(&self) -> usize {
        self.lock().missing
    }

    /// Takes in which applications measure something and which hours are missing, and gives those of which something else is to be
    /// said.
    pub(super) fn settle(
        &self,
        applications: BTreeSet<String>,
        missing: &BTreeMap<MissingHour, String>,
    ) -> BTreeSet<String> {
        let mut behind: BTreeMap<String, (Timestamp, String)> = BTreeMap::new();
        for (key, reason) in missing {
            let oldest = behind.entry(key.application.clone()).or_insert_with(|| (key.hour, reason.clone()));
            if key.hour < oldest.0 {
                *oldest = (key.hour, reason.clone());
            }
        }
        let mut state = self.lock();
        let names = state.behind.keys().chain(behind.keys());
        let changed = names.filter(|name| state.behind.get(*name) != behind.get(*name));
        let changed = changed.chain(applications.difference(&state.applications)).cloned().collect();
        *state = State { is_known: true, applications, missing: missing.len(), behind };
        changed
    }

    /// Whether hours of an application's meters that are measured are told: state, reason and message. Nothing where it has none.
    pub(crate) fn condition(
        &self,
        name: &str,
        spec: &HostedApplicationSpec,
    ) -> Option<(ConditionStatus, &'static str, String)> {
        let used = spec.meters.iter().filter(|meter| meter.source == MeterSource::Used);
        let meters: Vec<&str> = used.map(|meter| meter.name.as_str()).collect();
        if meters.is_empty() {
            return None;
        }
        if self.is_configured.get() == Some(&false) {
            let message = format!(
                "spec.meters {}: they are read from a Prometheus and the controller knows none, so nothing is charged for them; \
                 start it with --prometheus-url",
                meters.join(", ")
            );
            return Some((ConditionStatus::False, NOT_CONFIGURED, message));
        }
        let state = self.lock();
        Some(match state.behind.get(name) {
            Some((since, reason)) => {
                let message = format!(
                    "hours are missing, the first one {since}: {reason}; each is told when it can be read, and kubectl tenantry \
                     usage lists them"
                );
                (ConditionStatus::False, "HoursMissing", message)
            }
            None if state.is_known => {
                (ConditionStatus::True, "Told", "no hour that is over is missing".to_owned())
            }
            None => {
                let message =
                    "nothing was read yet: an hour is read five minutes after its end, once charges began";
                (ConditionStatus::Unknown, NOT_READ, message.to_owned())
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn missing(application: &str, hours: &[i64]) -> BTreeMap<MissingHour, String> {
        let key = |hour: &i64| MissingHour {
            application: application.to_owned(),
            meter: "cores".to_owned(),
            hour: Timestamp::from_second(hour * 3_600).unwrap(),
            tenant: None,
        };
        hours.iter().map(|hour| (key(hour), format!("reason of {hour}"))).collect()
    }

    #[test]
    fn an_application_says_since_when_hours_are_missing_and_which_remedy_there_is() {
        let measured: HostedApplicationSpec = serde_json::from_value(json!({
            "displayName": "ERP",
            "meters": [{"name": "cores", "source": "Used", "of": "Cpu", "unit": "MillicoreSecond"}],
        }))
        .unwrap();
        let other = HostedApplicationSpec { meters: Vec::new(), ..measured.clone() };
        let measuring = Measuring::default();
        let said = |measuring: &Measuring| measuring.condition("erp", &measured).map(|(_, reason, _)| reason);
        let settle =
            |missing: &BTreeMap<MissingHour, String>| measuring.settle(["erp".to_owned()].into(), missing);
        let erp = BTreeSet::from(["erp".to_owned()]);
        assert_eq!(said(&measuring), Some(NOT_READ), "nobody looked yet");
        assert_eq!(settle(&BTreeMap::new()), erp, "it is known now");
        assert!(settle(&BTreeMap::new()).is_empty());
        assert_eq!(said(&measuring), Some("Told"));
        assert_eq!(settle(&missing("erp", &[7, 5, 9])), erp);
        assert_eq!((said(&measuring), measuring.missing()), (Some("HoursMissing"), 3));
        let (_, _, message) = measuring.condition("erp", &measured).unwrap();
        assert!(message.contains("1970-01-01T05:00:00Z: reason of 5"), "{message}");
        // An hour more changes nothing of what is said.
        assert!(settle(&missing("erp", &[7, 5, 9, 10])).is_empty());
        assert_eq!(measuring.condition("erp", &other), None);
        measuring.configure(false);
        let (status, reason, message) = measuring.condition("erp", &measured).unwrap();
        assert_eq!((status, reason), (ConditionStatus::False, "PrometheusNotConfigured"));
        assert!(message.contains("spec.meters cores") && message.contains("--prometheus-url"), "{message}");
    }
}
