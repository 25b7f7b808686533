//! A Prometheus that is asked over its HTTP API. Needs the network.
//!
//! For each exporter one question says which of the hours were measured, for each hour and measure one says what it came to, for all
//! tenants. Nothing is asked of an hour that was not measured, and after an answer that did not come nothing more.

use super::stakes::{HOUR, Reading, Wanted};
use http::Method;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;
use tenantry_checklist::access::NAMESPACE_PREFIX;
use tenantry_metering::used::{Exporter, Measure, by_hour, by_namespace};
use tenantry_sinks::Trouble;
use tenantry_sinks::caller::{Ask, Caller};

/// Deadline of a question. A Prometheus gives up itself after two minutes; who writes bills does not wait as long.
const DEADLINE: Duration = Duration::from_secs(30);
/// The most hours that are read in one go: a Prometheus that comes late is caught up with, and the ledger is written meanwhile.
const MOST_HOURS: usize = 48;

/// Where it is, and how it is asked.
pub(crate) struct Prometheus {
    caller: Caller,
    /// Read anew for each reading, because tokens change.
    token_file: Option<PathBuf>,
    /// Which share of an hour has to be measured.
    share: f64,
}

// === impl Prometheus ===

impl Prometheus {
    /// At an address, with a file that has a bearer token where it asks for one, and how many per cent of an hour have to be measured.
    ///
    /// # Errors
    /// An address that is none, and one on another machine without TLS where there is a token.
    pub(crate) fn new(url: &str, token_file: Option<PathBuf>, percent: u8) -> Result<Self, Trouble> {
        let caller = match token_file.is_some() {
            true => Caller::new(url, Vec::new(), DEADLINE)?,
            false => Caller::open(url, Vec::new(), DEADLINE)?,
        };
        Ok(Self { caller, token_file, share: f64::from(percent) / 100.0 })
    }

    /// Reads what is wanted, as far as it was measured and answers come.
    pub(super) async fn read(&self, wanted: &Wanted) -> Reading {
        let mut reading = Reading::default();
        if let Err(trouble) = self.read_into(wanted, &mut reading).await {
            // Nothing more is asked, so nothing more is known.
            for (hour, measures) in wanted {
                for measure in measures {
                    let key = (*hour, *measure);
                    if !reading.numbers.contains_key(&key) && !reading.missing.contains_key(&key) {
                        reading.missing.insert(key, format!("the Prometheus cannot be asked: {trouble}"));
                    }
                }
            }
        }
        reading
    }

    async fn read_into(&self, wanted: &Wanted, reading: &mut Reading) -> Result<(), Trouble> {
        let headers = self.headers().await?;
        let mut covered: BTreeMap<Exporter, BTreeSet<Timestamp>> = BTreeMap::new();
        for exporter in [Exporter::Cadvisor, Exporter::KubeStateMetrics] {
            let measured =
                |measures: &BTreeSet<Measure>| measures.iter().any(|one| one.exporter() == exporter);
            let hours = wanted.iter().filter(|(_, measures)| measured(measures)).map(|(hour, _)| *hour);
            let hours: Vec<Timestamp> = hours.collect();
            let (Some(first), Some(last)) = (hours.first(), hours.last()) else { continue };
            let shares = self.shares(exporter, *first, *last, &headers).await?;
            for hour in hours {
                let share = shares.get(&end(hour)).copied().unwrap_or_default();
                // What is no number is not enough.
                if share >= self.share {
                    covered.entry(exporter).or_default().insert(hour);
                    continue;
                }
                let own = wanted.get(&hour).into_iter().flatten().filter(|one| one.exporter() == exporter);
                let reason = format!(
                    "{} measured less than {:.0} % of it, by what up says of its targets",
                    exporter.noun(),
                    self.share * 100.0
                );
                reading.missing.extend(own.map(|measure| ((hour, *measure), reason.clone())));
            }
        }
        let mut hours = BTreeSet::new();
        for (hour, measures) in wanted {
            for measure in measures {
                if !covered.get(&measure.exporter()).is_some_and(|hours| hours.contains(hour)) {
                    continue;
                }
                hours.insert(*hour);
                if hours.len() > MOST_HOURS {
                    reading.is_cut = true;
                    return Ok(());
                }
                let numbers = self.numbers(*measure, *hour, &headers).await?;
                reading.numbers.insert((*hour, *measure), numbers);
            }
        }
        Ok(())
    }

    /// Which share of each hour was measured, by its end.
    async fn shares(
        &self,
        exporter: Exporter,
        first: Timestamp,
        last: Timestamp,
        headers: &[(&'static str, String)],
    ) -> Result<BTreeMap<Timestamp, f64>, Trouble> {
        let query = exporter.coverage(NAMESPACE_PREFIX);
        let [start, end] = [first, last].map(|hour| end(hour).as_second().to_string());
        let parameters = [("query", query.as_str()), ("start", &start), ("end", &end), ("step", "3600")];
        Ok(by_hour(&self.ask("/api/v1/query_range", &parameters, headers).await?)?)
    }

    /// What an hour came to in each of our namespaces.
    async fn numbers(
        &self,
        measure: Measure,
        hour: Timestamp,
        headers: &[(&'static str, String)],
    ) -> Result<BTreeMap<String, f64>, Trouble> {
        let (query, time) = (measure.question(NAMESPACE_PREFIX), end(hour).as_second().to_string());
        let parameters = [("query", query.as_str()), ("time", &time)];
        Ok(by_namespace(&self.ask("/api/v1/query", &parameters, headers).await?)?)
    }

    async fn ask(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
        headers: &[(&'static str, String)],
    ) -> Result<Vec<u8>, Trouble> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        let ask = Ask { headers: headers.to_vec(), ..Ask::default() };
        let answer = self.caller.send(Method::GET, &format!("{path}?{query}"), ask).await?;
        Ok(answer.body.to_vec())
    }

    async fn headers(&self) -> Result<Vec<(&'static str, String)>, Trouble> {
        let Some(file) = &self.token_file else { return Ok(Vec::new()) };
        let token = tokio::fs::read_to_string(file).await.map_err(|error| {
            Trouble::later(format!("the token in {} cannot be read: {error}", file.display()))
        })?;
        Ok(vec![("authorization", format!("Bearer {}", token.trim()))])
    }
}

/// The instant at which an hour is asked for.
fn end(hour: Timestamp) -> Timestamp {
    hour.saturating_add(HOUR).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::http::Uri;
    use serde_json::{Value, json};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use tokio::net::TcpListener;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3_600).unwrap()
    }

    fn wanted(hours: std::ops::Range<i64>, measures: &[Measure]) -> Wanted {
        hours.map(|hour| (at(hour), measures.iter().copied().collect())).collect()
    }

    /// Somebody who answers each question by a function of it, and counts them.
    async fn answering(answer: impl Fn(&str) -> Value + Send + Sync + 'static) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (count, answer) = (Arc::new(AtomicUsize::new(0)), Arc::new(answer));
        let counted = Arc::clone(&count);
        let app = Router::new().fallback(move |uri: Uri| {
            counted.fetch_add(1, Ordering::SeqCst);
            let text = answer(&uri.to_string()).to_string();
            async move { text }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        (url, count)
    }

    fn shares(hours: std::ops::Range<i64>, share: &str) -> Value {
        let values: Vec<Value> = hours.map(|hour| json!([(hour + 1) * 3_600, share])).collect();
        json!({"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": values}]}})
    }

    #[tokio::test]
    async fn what_was_not_measured_is_not_asked_for_and_the_rest_in_parts() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let (url, count) = answering(move |uri| {
            log.lock().unwrap().push(uri.to_owned());
            match uri.contains("query_range") {
                true if uri.contains("kube_namespace_created") => shares(0..60, "0.89"),
                true => shares(0..60, "0.9"),
                false => json!({"status": "success", "data": {"resultType": "vector", "result": [
                    {"metric": {"namespace": "tenant-acme"}, "value": [0, "1.5"]},
                ]}}),
            }
        })
        .await;
        let prometheus = Prometheus::new(&url, None, 90).unwrap();
        let reading = prometheus.read(&wanted(0..60, &[Measure::Cpu, Measure::Storage])).await;
        assert!(reading.is_cut);
        assert_eq!((reading.numbers.len(), count.load(Ordering::SeqCst)), (MOST_HOURS, MOST_HOURS + 2));
        assert_eq!(
            reading.numbers[&(at(0), Measure::Cpu)],
            BTreeMap::from([("tenant-acme".to_owned(), 1.5)])
        );
        assert_eq!(reading.missing.len(), 60, "what is left of the cores is read next, and is not missing");
        let reason = &reading.missing[&(at(3), Measure::Storage)];
        assert!(reason.contains("kube-state-metrics measured less than 90 %"), "{reason}");
        // The hour is asked for at its end.
        let asked = asked.lock().unwrap();
        assert!(asked[0].contains("start=3600&end=216000&step=3600"), "{}", asked[0]);
        assert!(asked[2].ends_with("time=3600") && asked[2].contains("%5B1h%5D"), "{}", asked[2]);
    }

    #[tokio::test]
    async fn after_an_answer_that_is_none_nothing_more_is_asked_and_all_of_it_is_missing() {
        let (url, count) = answering(|uri| match uri.contains("query_range") {
            true => shares(0..9, "1"),
            false => json!({"status": "success", "warnings": ["a store is away"], "data": {"result": []}}),
        })
        .await;
        let all = wanted(0..9, &[Measure::Cpu, Measure::Memory]);
        let reading = Prometheus::new(&url, None, 90).unwrap().read(&all).await;
        assert_eq!((reading.numbers.len(), reading.missing.len(), count.load(Ordering::SeqCst)), (0, 18, 2));
        assert!(reading.missing.values().all(|reason| reason.contains("a store is away")), "{reading:?}");
        // Nobody is there at all, or nobody may be told the token.
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let reading = Prometheus::new(&format!("http://{gone}"), None, 90).unwrap().read(&all).await;
        assert!(reading.missing.values().all(|reason| reason.contains("cannot be asked: no answer")));
        assert_eq!(reading.missing.len(), 18);
        let plain = Prometheus::new("http://prometheus.monitoring:9090", Some("/token".into()), 90);
        assert!(plain.is_err_and(|trouble| trouble.reason.contains("without TLS")));
        let unread = Prometheus::new(&url, Some("/nowhere/token".into()), 90).unwrap().read(&all).await;
        assert!(unread.missing.values().all(|reason| reason.contains("/nowhere/token cannot be read")));
    }
}
