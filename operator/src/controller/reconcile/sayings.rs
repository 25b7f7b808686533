//! Taking away what people said about a subscription that ends. Needs a client.
//!
//! Nobody else may take a signature: it stays as long as what was signed. By now the journal has it.

use super::dereference::Snapshot;
use super::write::{DEADLINE, WriteError, request};
use crate::controller::context::Context;
use crate::controller::sayings::Sayings;
use kube::Resource;
use kube::api::{Api, DeleteParams, Preconditions};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use tenantry_checklist::saying::About;
use tenantry_crds::{TenantSignOff, TenantSuspension};
use tokio::time::timeout;

/// Deletes every signature and every suspension of the subscription.
pub(super) async fn remove(context: &Context, snapshot: &Snapshot) -> Result<(), WriteError> {
    each::<TenantSignOff, _>(context, snapshot, "removing a sign-off", &context.sign_offs).await?;
    each::<TenantSuspension, _>(context, snapshot, "removing a suspension", &context.suspensions).await
}

/// Deletes each object by its UID. One that is gone already, or has given its name to another, is no failure.
async fn each<K, S>(
    context: &Context,
    snapshot: &Snapshot,
    what: &'static str,
    sayings: &Sayings<S>,
) -> Result<(), WriteError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    S: About + Clone + PartialEq,
{
    let api: Api<K> = Api::all(context.client.clone());
    for said in sayings.of(&snapshot.root.uid) {
        if !context.executor.gate.may_write() {
            return Err(WriteError::NotLeader);
        }
        let only = Preconditions { uid: Some(said.uid.clone()), resource_version: None };
        let parameters = DeleteParams { preconditions: Some(only), ..DeleteParams::default() };
        let at_most = DEADLINE.min(context.executor.gate.remaining());
        let answer = timeout(at_most, api.delete(&said.name, &parameters)).await;
        match answer.map_err(|_| WriteError::Timeout { what })? {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
            Err(error) => return Err(request(what, error)),
        }
    }
    Ok(())
}
