//! People who work with a tenant's checklist: they use the command line as it is shipped. Needs processes.

use crate::process;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tenantry_crds::TenantSubscription;
use tenantry_crds::subscription::{ChecklistEntry, ItemState};
use tokio::process::Command;

/// Runs `tenantry` with a kubeconfig, and gives what it printed.
///
/// # Errors
/// When it cannot be started or ends with an error; the message is what it said.
pub async fn tenantry(kubeconfig: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(process::binary("tenantry")?)
        .args(arguments)
        .env("KUBECONFIG", kubeconfig)
        .kill_on_drop(true)
        .output()
        .await
        .context("tenantry cannot be started")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "tenantry {}: {said}", arguments.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}

/// Somebody who signs whatever is asked for, once.
#[derive(Debug)]
pub struct Signer {
    kubeconfig: PathBuf,
    signed: BTreeSet<(String, String)>,
}

// === impl Signer ===

impl Signer {
    /// A signer with the identity of a kubeconfig.
    #[must_use]
    pub fn new(kubeconfig: PathBuf) -> Self {
        Self { kubeconfig, signed: BTreeSet::new() }
    }

    /// Signs every item of a subscription that waits for a signature now. Gives what the command said of each.
    ///
    /// # Errors
    /// When a signature is refused.
    pub async fn look(&mut self, subscription: &TenantSubscription) -> Result<Vec<String>> {
        let name = subscription.metadata.name.clone().unwrap_or_default();
        let mut said = Vec::new();
        for item in asked(subscription) {
            if self.signed.insert((name.clone(), item.clone())) {
                let arguments = ["sign-off", &name, &item, "--note", "as agreed"];
                said.push(tenantry(&self.kubeconfig, &arguments).await?.trim_end().to_owned());
            }
        }
        Ok(said)
    }
}

/// Items of a subscription that wait for a signature now.
#[must_use]
pub fn asked(subscription: &TenantSubscription) -> Vec<String> {
    let entries = subscription.status.iter().flat_map(|status| &status.checklist);
    let asks = |entry: &&ChecklistEntry| {
        let open = entry.sign_off.as_ref().is_some_and(|request| request.signature.is_none());
        open && entry.state == ItemState::Waiting
    };
    entries.filter(asks).map(|entry| entry.name.clone()).collect()
}
