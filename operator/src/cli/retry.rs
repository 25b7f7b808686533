//! `tenantry retry`: arms a failed item again. Needs a client.

use super::{Outcome, client, explain};
use crate::controller::roots::RETRY_ANNOTATION;
use anyhow::bail;
use clap::Args;
use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tenantry_checklist::item::RetryRequest;
use tenantry_crds::TenantSubscription;

/// Arguments of `tenantry retry`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Name of the subscription.
    name: String,
    /// Item to try again; without it every item that failed.
    item: Option<String>,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let api: Api<TenantSubscription> = Api::all(client().await?);
    let subscription =
        api.get(&arguments.name).await.map_err(|e| explain(e, "cannot read the subscription"))?;
    let items: Vec<String> =
        subscription.status.unwrap_or_default().checklist.into_iter().map(|entry| entry.name).collect();
    if let Some(item) = &arguments.item
        && !items.contains(item)
    {
        bail!("subscription {} has no item {item:?}; it has: {}", arguments.name, items.join(", "));
    }
    // The time makes the value new, so that a second request for the same item is seen.
    let request = RetryRequest::new(arguments.item.as_deref(), &Timestamp::now().to_string());
    let patch = json!({"metadata": {"annotations": {RETRY_ANNOTATION: request.value()}}});
    api.patch(&arguments.name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(|e| explain(e, "cannot ask for another try"))?;
    match &arguments.item {
        Some(item) => println!("item {item} of {} will be tried again", arguments.name),
        None => println!("every failed item of {} will be tried again", arguments.name),
    }
    Ok(Outcome::Good)
}
