//! Settings of `tenantry controller`, validated once; no client or clock.

use clap::Args;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

/// Settings of the controller.
#[derive(Args, Clone, Debug)]
pub(crate) struct Config {
    /// Namespace of the controller: its lease and the revisions of definitions live there.
    #[arg(long, env = "TENANTRY_NAMESPACE", default_value = "tenantry-system")]
    pub(crate) namespace: String,
    /// Service account that the controller runs as. Its rights in each tenant's namespace are bound to this name.
    #[arg(long, env = "TENANTRY_SERVICE_ACCOUNT", default_value = "tenantry-controller")]
    pub(crate) service_account: String,
    /// Name of this replica in the lease; made unique for each start.
    #[arg(long, env = "HOSTNAME", default_value = "tenantry")]
    pub(crate) identity: String,
    /// Address of /livez, /readyz and /metrics.
    #[arg(long, env = "TENANTRY_ADMIN_ADDRESS", default_value = "127.0.0.1:8085")]
    pub(crate) admin_address: SocketAddr,
    /// Address at which the leading replica answers what was billed and takes orders to bill. It speaks HTTP without TLS and is
    /// sent tokens, so it is reached through kubectl port-forward, or behind something that ends TLS.
    #[arg(long, env = "TENANTRY_BILLING_ADDRESS", default_value = "127.0.0.1:8086")]
    pub(crate) billing_address: SocketAddr,
    /// Events of usage that one caller may tell in a second, for as long as he likes; ten times as many at once. A request has up to
    /// 1,000 of them and always fits, if its caller told nothing for long enough.
    #[arg(long, env = "TENANTRY_USAGE_EVENTS_PER_SECOND", default_value_t = NonZeroU32::MIN.saturating_add(999))]
    pub(crate) usage_events_per_second: NonZeroU32,
    /// Database of the journal: a file of SQLite for one replica, or PostgreSQL, as in postgres://tenantry@host/tenantry.
    #[arg(long, env = "TENANTRY_DATABASE", default_value = DATABASE, hide_env_values = true)]
    pub(crate) database: DatabaseUrl,
    /// Address of the HTTP API of a Prometheus, or of what answers like one, that scrapes the cAdvisor of every kubelet and
    /// kube-state-metrics: meters of the source Used are read from it.
    #[arg(long, env = "TENANTRY_PROMETHEUS_URL")]
    pub(crate) prometheus_url: Option<String>,
    /// File with a bearer token for it; then it is asked through TLS alone.
    #[arg(long, env = "TENANTRY_PROMETHEUS_TOKEN_FILE", requires = "prometheus_url")]
    pub(crate) prometheus_token_file: Option<PathBuf>,
    /// How many per cent of an hour it has to have measured for the hour to be told; less is missing until it is there.
    #[arg(long, env = "TENANTRY_PROMETHEUS_COVERAGE", default_value_t = 90, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) prometheus_coverage: u8,
    /// Subscriptions that are worked on at the same time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) concurrency: u16,
    /// Requests to the API server in flight at the same time, watches apart; those for somebody who does not wait behind a crowd
    /// have as many places of their own.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) max_in_flight: u16,
    /// Tenants that a changed definition moves at the same time.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) move_max_in_flight: u16,
    /// Tenants that may fail on a changed definition before no further one is moved to it.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) move_stop_after_failures: u16,
    /// Form of the log.
    #[arg(long, value_enum, default_value_t = LogFormat::Json)]
    pub(crate) log_format: LogFormat,
}

/// Where a database is. It may hold a password, so it is never shown.
#[derive(Clone)]
pub(crate) struct DatabaseUrl(String);

/// Where the journal is unless somebody says otherwise: the usual place for what a service keeps (Filesystem Hierarchy
/// Standard 3.0, section 5.8).
pub(crate) const DATABASE: &str = "sqlite:/var/lib/tenantry/journal.db";

// === impl DatabaseUrl ===

impl DatabaseUrl {
    /// For whoever connects.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for DatabaseUrl {
    fn from(url: &str) -> Self {
        Self(url.to_owned())
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.split_once(':').map_or("", |(scheme, _)| scheme))
    }
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Text for people.
    Text,
}
