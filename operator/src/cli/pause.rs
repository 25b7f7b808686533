//! `tenantry pause` and `tenantry unpause`: nothing new begins for a subscription, and goes on. Needs a client.

use super::{Outcome, client, explain};
use crate::controller::roots::PAUSED_ANNOTATION;
use clap::Args;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tenantry_crds::TenantSubscription;

/// Arguments of `tenantry pause`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Name of the subscription.
    name: String,
    /// Why, for people who look at the subscription.
    #[arg(long)]
    reason: String,
}

/// Arguments of `tenantry unpause`.
#[derive(Args, Debug)]
pub(crate) struct Unpause {
    /// Name of the subscription.
    name: String,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    annotate(&arguments.name, Some(&arguments.reason)).await?;
    println!("{} is paused: what it has is kept and repaired, and nothing new begins", arguments.name);
    Ok(Outcome::Good)
}

pub(crate) async fn end(arguments: &Unpause) -> anyhow::Result<Outcome> {
    annotate(&arguments.name, None).await?;
    println!("{} goes on", arguments.name);
    Ok(Outcome::Good)
}

async fn annotate(name: &str, reason: Option<&str>) -> anyhow::Result<()> {
    let api: Api<TenantSubscription> = Api::all(client().await?);
    let patch = json!({"metadata": {"annotations": {PAUSED_ANNOTATION: reason}}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(|e| explain(e, "cannot annotate the subscription"))?;
    Ok(())
}
