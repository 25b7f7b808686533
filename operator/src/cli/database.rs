//! Where the commands that read the journal find it; no client.

use crate::controller::{DATABASE, DatabaseUrl};
use clap::Args;
use tenantry_journal::{Database, DatabaseError, Entry, HistoryOf};

/// Where the journal is.
#[derive(Args, Debug)]
pub(super) struct Location {
    /// Database of the controller, as it was given to it. Where that is a file in a pod, run the command there:
    /// kubectl exec deploy/tenantry-controller -- tenantry history NAME
    #[arg(long, env = "TENANTRY_DATABASE", default_value = DATABASE, hide_env_values = true)]
    database: DatabaseUrl,
}

/// Whose history, and where the journal is.
#[derive(Args, Debug)]
pub(super) struct History {
    /// Name of the subscription; every tenant that ever had the name is meant.
    #[arg(required_unless_present = "tenant")]
    name: Option<String>,
    /// Only the tenant with this id, which its namespace carries as the label tenantry.io/tenant-id.
    #[arg(long, conflicts_with = "name")]
    tenant: Option<String>,
    #[command(flatten)]
    location: Location,
}

// === impl History ===

impl History {
    /// Reads it.
    pub(super) async fn read(&self) -> Result<Vec<Entry>, DatabaseError> {
        let of = match (&self.tenant, &self.name) {
            (Some(tenant), _) => HistoryOf::Tenant(tenant.clone()),
            (None, name) => HistoryOf::Subscription(name.clone().unwrap_or_default()),
        };
        let database = self.location.open().await?;
        let entries = database.history(&of).await?;
        database.close().await;
        Ok(entries)
    }
}

// === impl Location ===

impl Location {
    /// Opens it for reading.
    pub(super) async fn open(&self) -> Result<Database, DatabaseError> {
        Database::open_to_read(self.database.reveal()).await
    }
}
