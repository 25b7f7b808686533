//! What was used, as a Prometheus measured it: what it is asked of an hour, and how its answers become whole numbers; pure.
//!
//! One question for all tenants: it gives a number for each namespace. Whether the hour was measured at all is another question,
//! because a series that is missing looks the same as one of somebody who used nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use tenantry_ledger::refusal::Refusal;

use crate::intake::LARGEST;

/// What can be measured while it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Time on cores, in thousandths of a core for a second.
    Cpu,
    /// Working sets of containers, in MiB for a second.
    Memory,
    /// What volume claims ask for, in MiB for a second.
    Storage,
    /// What pods sent, in bytes.
    Egress,
}

/// Who measures: an hour is measured by all of one kind or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exporter {
    /// The cAdvisor of every kubelet.
    Cadvisor,
    /// kube-state-metrics.
    KubeStateMetrics,
}

/// What an answer gives for each label that was asked for.
#[derive(Deserialize)]
struct Answer<T> {
    status: String,
    #[serde(default)]
    error: String,
    /// An answer of a part of what there is has them, such as one of Thanos while a store is away.
    #[serde(default)]
    warnings: Vec<String>,
    data: Option<Data<T>>,
}

#[derive(Deserialize)]
struct Data<T> {
    result: Vec<T>,
}

#[derive(Deserialize)]
struct Instant {
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

#[derive(Deserialize)]
struct Range {
    values: Vec<(f64, String)>,
}

// === impl Measure ===

impl Measure {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Memory, Self::Storage, Self::Egress];

    /// Its name, as meters write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "Cpu",
            Self::Memory => "Memory",
            Self::Storage => "Storage",
            Self::Egress => "Egress",
        }
    }

    /// Who measures it.
    #[must_use]
    pub fn exporter(self) -> Exporter {
        match self {
            Self::Cpu | Self::Memory | Self::Egress => Exporter::Cadvisor,
            Self::Storage => Exporter::KubeStateMetrics,
        }
    }

    /// What is asked at the end of an hour: by namespace, of those whose name begins with `prefix`.
    ///
    /// Levels are added up minute by minute, so that who was there for 20 minutes counts for a third; an average would count the minutes
    /// in which he was there alone. `[59m59s:1m]` has 60 of them with every version: `[1h:1m]` has 61 before Prometheus 3, whose
    /// ranges were closed at both ends. Below zero there is nothing, so nobody takes off what he used by a series of his own.
    #[must_use]
    pub fn question(self, prefix: &str) -> String {
        let ours = format!("namespace=~\"{prefix}.+\"");
        let containers = "container!=\"\",container!=\"POD\"";
        match self {
            Self::Cpu => format!(
                "sum by (namespace) (increase(container_cpu_usage_seconds_total{{{ours},{containers}}}[1h]))"
            ),
            Self::Egress => format!(
                "sum by (namespace) (increase(container_network_transmit_bytes_total{{{ours},interface=\"eth0\"}}[1h]))"
            ),
            Self::Memory => minutes(&format!("container_memory_working_set_bytes{{{ours},{containers}}}")),
            Self::Storage => {
                minutes(&format!("kube_persistentvolumeclaim_resource_requests_storage_bytes{{{ours}}}"))
            }
        }
    }

    /// What an hour comes to, in the whole base unit of the measure, from the number that was answered: seconds on cores, bytes minute
    /// by minute, or bytes. Halves are rounded up.
    ///
    /// # Errors
    /// A number that is none, below zero, or more than 2^53 - 1 of the base unit: nothing is told then.
    pub fn count(self, number: f64) -> Result<i64, Refusal> {
        let scaled = match self {
            Self::Cpu => number * 1000.0,
            Self::Memory | Self::Storage => number * 60.0 / f64::from(1 << 20),
            Self::Egress => number,
        };
        let rounded = scaled.round();
        // Whole numbers up to the largest are exact as a double (IEEE 754), so nothing is lost on either side.
        #[allow(clippy::cast_precision_loss, reason = "2^53 - 1 is exact")]
        let largest = LARGEST as f64;
        // What is no number is neither.
        if !(rounded >= 0.0 && rounded <= largest) {
            return Err(Refusal::new(
                self.name(),
                format!("{number} is no number that can be charged"),
                "look at the series of the namespace, and correct what writes them",
            ));
        }
        #[allow(clippy::cast_possible_truncation, reason = "it is whole and not larger than 2^53")]
        Ok(rounded as i64)
    }
}

// === impl Exporter ===

impl Exporter {
    /// What is asked at the end of an hour: which share of it was measured, from 0 to 1. Each minute counts with the share of its
    /// targets that were up, and one of which nothing is known with nothing.
    ///
    /// A target belongs to it when its job delivers what only the cluster itself has: series and targets in namespaces of tenants are
    /// left out, because these could be there to be down.
    #[must_use]
    pub fn coverage(self, prefix: &str) -> String {
        let theirs = format!("namespace!~\"{prefix}.+\"");
        let delivered = match self {
            Self::Cadvisor => "container_cpu_usage_seconds_total",
            Self::KubeStateMetrics => "kube_namespace_created",
        };
        format!("sum_over_time(avg(up{{{theirs}}} and on (job) {delivered}{{{theirs}}})[59m59s:1m]) / 60")
    }

    /// What it is, for people.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::Cadvisor => "the cAdvisor of the kubelets",
            Self::KubeStateMetrics => "kube-state-metrics",
        }
    }
}

/// The level of each namespace, added up minute by minute.
fn minutes(of: &str) -> String {
    format!("sum_over_time(sum by (namespace) ({of} >= 0)[59m59s:1m])")
}

/// The number of each namespace, from the answer to a question at one instant.
///
/// # Errors
/// An answer that is none, that says why it is none, or that is of a part of what there is.
pub fn by_namespace(body: &[u8]) -> Result<BTreeMap<String, f64>, Refusal> {
    let result: Vec<Instant> = result(body)?;
    let mut numbers = BTreeMap::new();
    for Instant { mut metric, value: (_, text) } in result {
        let Some(namespace) = metric.remove("namespace") else { continue };
        numbers.insert(namespace, number(&text)?);
    }
    Ok(numbers)
}

/// The number at each end of an hour, from the answer to a question over many; none where there is nothing.
///
/// # Errors
/// As [`by_namespace`].
pub fn by_hour(body: &[u8]) -> Result<BTreeMap<Timestamp, f64>, Refusal> {
    let result: Vec<Range> = result(body)?;
    let mut numbers = BTreeMap::new();
    for (at, text) in result.into_iter().flat_map(|range| range.values) {
        #[allow(clippy::cast_possible_truncation, reason = "ends of hours are whole seconds")]
        if let Ok(at) = Timestamp::from_second(at.round() as i64) {
            numbers.insert(at, number(&text)?);
        }
    }
    Ok(numbers)
}

fn result<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<Vec<T>, Refusal> {
    let refused = |reason: String| {
        Refusal::new(
            "answer",
            reason,
            "make sure that --prometheus-url leads to the HTTP API of a Prometheus",
        )
    };
    let Answer { status, error, warnings, data } = serde_json::from_slice(body)
        .map_err(|wrong| refused(format!("it is none of a Prometheus: {wrong}")))?;
    if status != "success" {
        return Err(refused(format!("it says {status}: {error}")));
    }
    if let Some(warning) = warnings.first() {
        return Err(Refusal::new(
            "answer",
            format!("it may be a part of what there is: {warning}"),
            "bring back what it could not ask; the hour is read again",
        ));
    }
    data.map(|data| data.result).ok_or_else(|| refused("it has no data".to_owned()))
}

/// A number as Prometheus writes it, `NaN` and `+Inf` among them.
fn number(text: &str) -> Result<f64, Refusal> {
    text.parse().map_err(|_| {
        Refusal::new("answer", format!("{text:?} is no number"), "look at what answers at --prometheus-url")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_become_whole_ones_in_the_base_unit() {
        let mib = f64::from(1 << 20);
        for (measure, number, count) in [
            (Measure::Cpu, 0.0, Some(0)),
            (Measure::Cpu, -0.0, Some(0)),
            (Measure::Cpu, 1800.0, Some(1_800_000)),
            (Measure::Cpu, 0.0004, Some(0)),
            (Measure::Cpu, 0.0005, Some(1)),
            (Measure::Cpu, 1.234_567, Some(1_235)),
            // 3 GiB for 20 minutes is 1 GiB for the hour.
            (Measure::Memory, 20.0 * 3.0 * 1024.0 * mib, Some(1_024 * 3_600)),
            (Measure::Storage, 60.0 * 10.0 * 1024.0 * mib, Some(10 * 1_024 * 3_600)),
            (Measure::Storage, 1.0, Some(0)),
            (Measure::Egress, 1_073_741_824.4, Some(1_073_741_824)),
            (Measure::Egress, 9_007_199_254_740_991.0, Some(LARGEST)),
            (Measure::Egress, 9_007_199_254_740_992.0, None),
            (Measure::Egress, 1e300, None),
            (Measure::Cpu, 1e307, None),
            (Measure::Cpu, -0.001, None),
            (Measure::Memory, f64::NAN, None),
            (Measure::Memory, f64::INFINITY, None),
            (Measure::Memory, f64::NEG_INFINITY, None),
        ] {
            assert_eq!(measure.count(number).ok(), count, "{measure:?} {number}");
        }
        let refusal = Measure::Cpu.count(f64::NAN).unwrap_err();
        assert!(refusal.field == "Cpu" && !refusal.remedy.is_empty(), "{refusal}");
    }

    #[test]
    fn every_question_is_about_our_namespaces_and_sixty_minutes() {
        for measure in Measure::ALL {
            let question = measure.question("tenant-");
            assert!(question.contains("sum by (namespace)"), "{question}");
            assert!(question.contains("namespace=~\"tenant-.+\""), "{question}");
            assert!(question.contains("[1h]") != question.contains("[59m59s:1m]"), "{question}");
            assert!(!question.contains("avg_over_time"), "{question}");
        }
        for exporter in [Exporter::Cadvisor, Exporter::KubeStateMetrics] {
            let question = exporter.coverage("tenant-");
            assert_eq!(question.matches("namespace!~\"tenant-.+\"").count(), 2, "{question}");
        }
    }

    fn vector(result: serde_json::Value) -> Vec<u8> {
        json!({"status": "success", "data": {"resultType": "vector", "result": result}}).to_string().into()
    }

    #[test]
    fn an_answer_has_a_number_for_each_namespace() {
        let body = vector(json!([
            {"metric": {"namespace": "tenant-acme"}, "value": [1_796_119_200, "1800.5"]},
            {"metric": {"namespace": "tenant-bolt"}, "value": [1_796_119_200.0, "+Inf"]},
            {"metric": {}, "value": [1_796_119_200, "7"]},
        ]));
        let numbers = by_namespace(&body).unwrap();
        assert_eq!(
            numbers,
            BTreeMap::from([("tenant-acme".to_owned(), 1800.5), ("tenant-bolt".to_owned(), f64::INFINITY)])
        );
        assert_eq!(by_namespace(&vector(json!([]))).unwrap(), BTreeMap::new());
    }

    #[test]
    fn an_answer_over_hours_has_those_that_are_there() {
        let result = json!([{"metric": {}, "values": [[1_796_119_200, "0.95"], [1_796_122_800, "1"]]}]);
        let body =
            json!({"status": "success", "data": {"resultType": "matrix", "result": result}}).to_string();
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(
            by_hour(body.as_bytes()).unwrap(),
            BTreeMap::from([(at(1_796_119_200), 0.95), (at(1_796_122_800), 1.0)])
        );
    }

    #[test]
    fn an_answer_that_is_none_or_a_part_is_refused() {
        let warned = json!({"status": "success", "warnings": ["store a is away"], "data": {"resultType": "vector", "result": []}});
        let failed = json!({"status": "error", "errorType": "bad_data", "error": "parse error"});
        for (body, reason) in [
            ("<html>".to_owned(), "none of a Prometheus"),
            ("{}".to_owned(), "none of a Prometheus"),
            (warned.to_string(), "a part of what there is: store a is away"),
            (failed.to_string(), "says error: parse error"),
            (json!({"status": "success"}).to_string(), "has no data"),
        ] {
            let refusal = by_namespace(body.as_bytes()).unwrap_err();
            assert!(refusal.reason.contains(reason) && !refusal.remedy.is_empty(), "{refusal}");
        }
        let body = vector(json!([{"metric": {"namespace": "a"}, "value": [1, "many"]}]));
        assert!(by_namespace(&body).unwrap_err().reason.contains("no number"));
    }
}
