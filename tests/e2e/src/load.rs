//! A load that is known beforehand, as kubelets and kube-state-metrics would show it: to a Prometheus that scrapes it, and as what one
//! would have scraped. Pure, but for the server, which needs the network.

use anyhow::Result;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A stretch of time in Unix seconds: from, and before.
pub type Time = std::ops::Range<i64>;

/// A pod that uses the same amount for as long as it is there.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Its namespace.
    pub namespace: &'static str,
    /// Its name.
    pub name: &'static str,
    /// When it is there.
    pub there: Time,
    /// Cores that it uses.
    pub cores: f64,
    /// Its working set, in bytes.
    pub memory: f64,
    /// What it sends, in bytes a second.
    pub egress: f64,
}

/// A volume claim.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Its namespace.
    pub namespace: &'static str,
    /// When it is there.
    pub there: Time,
    /// What it asks for, in bytes.
    pub bytes: f64,
}

/// Everything that uses something.
#[derive(Clone, Debug, Default)]
pub struct Load {
    /// Pods.
    pub pods: Vec<Pod>,
    /// Claims.
    pub claims: Vec<Claim>,
}

/// Who shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// The cAdvisor of a kubelet.
    Kubelet,
    /// kube-state-metrics.
    State,
}

/// One value of one series.
struct Sample {
    name: &'static str,
    labels: String,
    value: f64,
}

/// A server that shows a load as it is now. Dropping it ends it.
pub struct Exporter {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

// === impl Job ===

impl Job {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Kubelet, Self::State];

    /// Its name, as a Prometheus labels what it scraped.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kubelet => "kubelet",
            Self::State => "kube-state-metrics",
        }
    }
}

// === impl Load ===

impl Load {
    /// What of it is cores, bytes of memory and sent bytes, each times seconds, in a namespace and a time.
    #[must_use]
    pub fn used(&self, namespace: &str, time: &Time) -> [f64; 3] {
        let own = self.pods.iter().filter(|pod| pod.namespace == namespace);
        own.fold([0.0; 3], |[cores, memory, egress], pod| {
            let seconds = common(&pod.there, time);
            [cores + pod.cores * seconds, memory + pod.memory * seconds, egress + pod.egress * seconds]
        })
    }

    /// Bytes of claims times seconds, in a namespace and a time.
    #[must_use]
    pub fn claimed(&self, namespace: &str, time: &Time) -> f64 {
        let own = self.claims.iter().filter(|claim| claim.namespace == namespace);
        own.map(|claim| claim.bytes * common(&claim.there, time)).sum()
    }

    /// What `/metrics` says at an instant.
    #[must_use]
    pub fn exposition(&self, job: Job, at: i64) -> String {
        let line = |sample: Sample| format!("{}{{{}}} {}\n", sample.name, sample.labels, sample.value);
        self.samples(job, at).into_iter().map(line).collect()
    }

    /// What a Prometheus has of a time that scraped each job every so many seconds, as OpenMetrics: also that its targets were up.
    #[must_use]
    pub fn history(&self, time: &Time, every: usize) -> String {
        let mut text = String::new();
        for at in time.clone().step_by(every) {
            for job in Job::ALL {
                let up = Sample { name: "up", labels: String::new(), value: 1.0 };
                for Sample { name, labels, value } in self.samples(job, at).into_iter().chain([up]) {
                    let comma = if labels.is_empty() { "" } else { "," };
                    let job = job.name();
                    // Writing to a string cannot fail.
                    let _ = writeln!(
                        text,
                        "{name}{{{labels}{comma}job=\"{job}\",instance=\"{job}:1\"}} {value} {at}"
                    );
                }
            }
        }
        text + "# EOF\n"
    }

    fn samples(&self, job: Job, at: i64) -> Vec<Sample> {
        let sample = |name, labels: &str, value| Sample { name, labels: labels.to_owned(), value };
        if job == Job::State {
            let own = sample("kube_namespace_created", "namespace=\"kube-system\"", 1.0);
            let claims = self.claims.iter().filter(|claim| claim.there.contains(&at)).map(|claim| {
                let labels = format!("namespace=\"{}\",persistentvolumeclaim=\"data\"", claim.namespace);
                sample("kube_persistentvolumeclaim_resource_requests_storage_bytes", &labels, claim.bytes)
            });
            return std::iter::once(own).chain(claims).collect();
        }
        #[allow(clippy::cast_precision_loss, reason = "seconds of a test are exact")]
        let since = |from: i64| (at - from) as f64;
        let mut samples = vec![sample("container_cpu_usage_seconds_total", "id=\"/\"", since(0))];
        for pod in self.pods.iter().filter(|pod| pod.there.contains(&at)) {
            let whose = format!("namespace=\"{}\",pod=\"{}\"", pod.namespace, pod.name);
            let (container, group) =
                (format!("{whose},container=\"main\""), format!("{whose},container=\"\""));
            let seconds = since(pod.there.start);
            // The kubelet shows the control group of a pod beside its containers.
            for labels in [&container, &group] {
                samples.push(sample("container_cpu_usage_seconds_total", labels, pod.cores * seconds));
                samples.push(sample("container_memory_working_set_bytes", labels, pod.memory));
            }
            for (interface, factor) in [("eth0", 1.0), ("lo", 5.0)] {
                let labels = format!("{whose},interface=\"{interface}\"");
                let sent = pod.egress * seconds * factor;
                samples.push(sample("container_network_transmit_bytes_total", &labels, sent));
            }
        }
        samples
    }
}

fn common(one: &Time, other: &Time) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "seconds of a test are exact")]
    let seconds = (one.end.min(other.end) - one.start.max(other.start)).max(0) as f64;
    seconds
}

// === impl Exporter ===

impl Exporter {
    /// Shows a load on loopback at `/kubelet` and `/kube-state-metrics`, each time as it is at that moment.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(load: Load) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let load = load.clone();
                tokio::spawn(async move {
                    let mut request = Vec::new();
                    let mut part = [0; 1024];
                    // A request without a body ends with an empty line.
                    while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                        match stream.read(&mut part).await {
                            Ok(count) if count > 0 => request.extend(part.iter().take(count)),
                            _ => return,
                        }
                    }
                    let request = String::from_utf8_lossy(&request).into_owned();
                    let path = request.split_whitespace().nth(1).unwrap_or_default();
                    let job = Job::ALL.into_iter().find(|job| path.trim_matches('/') == job.name());
                    let now = jiff::Timestamp::now().as_second();
                    let body = job.map(|job| load.exposition(job, now));
                    let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
                    let body = body.unwrap_or_default();
                    let answer = format!(
                        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                        body.len()
                    );
                    // Whoever does not listen any more is told nothing.
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_shown_while_it_is_there_and_adds_up() {
        let pod = Pod { namespace: "a", name: "p", there: 30..90, cores: 0.5, memory: 8.0, egress: 2.0 };
        let load = Load { pods: vec![pod], claims: vec![Claim { namespace: "a", there: 0..60, bytes: 3.0 }] };
        assert_eq!(load.used("a", &(0..60)), [15.0, 240.0, 60.0]);
        assert_eq!((load.used("b", &(0..60)), load.claimed("a", &(30..100))), ([0.0; 3], 90.0));
        let shown = load.exposition(Job::Kubelet, 50);
        assert!(shown.contains(
            "container_cpu_usage_seconds_total{namespace=\"a\",pod=\"p\",container=\"main\"} 10\n"
        ));
        assert!(!load.exposition(Job::Kubelet, 90).contains("pod="));
        let history = load.history(&(0..31), 15);
        assert!(
            history.contains("up{job=\"kubelet\",instance=\"kubelet:1\"} 1 15\n")
                && history.ends_with("# EOF\n")
        );
        assert_eq!(history.matches("container_memory_working_set_bytes").count(), 2);
    }
}
