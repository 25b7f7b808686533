//! Where the commands that read the journal find it; no client.

use crate::controller::{DATABASE, DatabaseUrl};
use clap::Args;
use tenantry_journal::{Database, DatabaseError};

/// Where the journal is.
#[derive(Args, Debug)]
pub(super) struct Location {
    /// Database of the controller, as it was given to it. Where that is a file in a pod, run the command there:
    /// kubectl exec deploy/tenantry -- tenantry history NAME
    #[arg(long, env = "TENANTRY_DATABASE", default_value = DATABASE, hide_env_values = true)]
    database: DatabaseUrl,
}

// === impl Location ===

impl Location {
    /// Opens it for reading.
    pub(super) async fn open(&self) -> Result<Database, DatabaseError> {
        Database::open_to_read(self.database.reveal()).await
    }
}
