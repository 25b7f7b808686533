//! What the kubelet of a real node shows of containers is what the controller asks a Prometheus for. Needs root on Linux; elsewhere it
//! is skipped by name.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::Kubeconfig;
use serde_json::Value;
use std::path::Path;
use tenantry_control_plane::node::REAL_NODE;
use tenantry_control_plane::{Cluster, Profile, skipped};
use tenantry_e2e::orders::erp;
use tenantry_e2e::prometheus::Prometheus;
use tenantry_e2e::wait::{PATIENCE, is_true};
use tenantry_e2e::{Setup, World};
use tenantry_metering::used::{Exporter, Measure};

const TEST: &str = "what_is_asked_is_what_a_kubelet_shows";

/// A configuration that scrapes the real node's cAdvisor through the API server, as its administrator.
fn configuration(cluster: &Cluster, directory: &Path) -> String {
    let config = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    let server = config.clusters[0].cluster.clone().unwrap();
    let user = config.auth_infos[0].auth_info.clone().unwrap();
    let key = serde_json::to_value(&user).unwrap()["client-key-data"].as_str().unwrap().to_owned();
    let files = [
        ("ca.pem", server.certificate_authority_data.unwrap()),
        ("cert.pem", user.client_certificate_data.unwrap()),
        ("key.pem", key),
    ];
    for (name, data) in files {
        std::fs::write(directory.join(name), STANDARD.decode(data).unwrap()).unwrap();
    }
    let url = server.server.unwrap();
    let target = url.strip_prefix("https://").unwrap().trim_end_matches('/');
    let path = format!("/api/v1/nodes/{REAL_NODE}/proxy/metrics/cadvisor");
    format!(
        "global: {{scrape_interval: 2s, scrape_timeout: 2s}}\nscrape_configs:\n- job_name: kubelet\n  scheme: https\n  \
         honor_labels: true\n  metrics_path: {path}\n  tls_config: {{ca_file: ca.pem, cert_file: cert.pem, key_file: key.pem}}\n  \
         static_configs: [{{targets: ['{target}']}}]\n"
    )
}

/// The number that a question gives for a tenant's namespace now; none where it is not there.
fn number(prometheus: &Prometheus, question: &str, namespace: Option<&str>) -> Option<f64> {
    let encoded: String = question.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let result = prometheus.ask(&encoded).unwrap();
    let is_meant = |one: &&Value| one["metric"]["namespace"].as_str() == namespace;
    let found = result.as_array()?.iter().find(is_meant)?;
    found["value"][1].as_str()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_is_what_a_kubelet_shows() {
    if let Some(missing) = tenantry_control_plane::node::missing().or_else(Prometheus::missing) {
        return skipped(TEST, &missing);
    }
    let mut world = World::start(Setup { profile: Profile::P3, ..Setup::default() }).await.unwrap();
    world.apply_definitions().await.unwrap();
    world.run_controller(&[]).unwrap();
    world.apply_all(&[erp("acme")]).await.unwrap();
    world.until("acme", |subscription| is_true(subscription, "Live")).await.unwrap();

    let directory = tempfile::tempdir().unwrap();
    let configuration = configuration(&world.cluster, directory.path());
    let prometheus = Prometheus::start(directory.path(), &configuration, "5m").unwrap();
    let read = async {
        loop {
            let of =
                |measure: Measure| number(&prometheus, &measure.question("tenant-"), Some("tenant-acme"));
            let all = [Measure::Cpu, Measure::Memory, Measure::Egress].map(of);
            let share = number(&prometheus, &Exporter::Cadvisor.coverage("tenant-"), None);
            if let ([Some(cpu), Some(memory), Some(egress)], Some(share)) = (all, share)
                && cpu > 0.0
            {
                break (cpu, memory, egress, share);
            }
        }
    };
    let (cpu, memory, egress, share) =
        tokio::time::timeout(PATIENCE, read).await.expect("the kubelet shows something else");
    println!("{cpu} s on cores, {memory} bytes minute by minute, {egress} bytes sent, {share} of the hour");
    assert!(memory > 0.0 && egress >= 0.0, "{memory}, {egress}");
    assert!(share > 0.0 && share < 0.5, "of an hour there was a moment: {share}");
}
