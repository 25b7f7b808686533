//! Taking away the signatures for a tenant that is gone. Needs a client.
//!
//! Nobody else may: a signature stays as long as what was signed. By now the journal has them.

use super::dereference::Snapshot;
use super::write::{DEADLINE, WriteError, request};
use crate::controller::context::Context;
use kube::api::{Api, DeleteParams, Preconditions};
use tenantry_crds::TenantSignOff;
use tokio::time::timeout;

/// Deletes every signature for the subscription, each by its UID. One that is gone already, or has given its name to another,
/// is no failure.
pub(super) async fn remove(context: &Context, snapshot: &Snapshot) -> Result<(), WriteError> {
    let what = "removing a sign-off";
    let api: Api<TenantSignOff> = Api::all(context.client.clone());
    for signed in context.sign_offs.of(&snapshot.root.uid) {
        if !context.executor.gate.may_write() {
            return Err(WriteError::NotLeader);
        }
        let only = Preconditions { uid: Some(signed.uid.clone()), resource_version: None };
        let parameters = DeleteParams { preconditions: Some(only), ..DeleteParams::default() };
        let at_most = DEADLINE.min(context.executor.gate.remaining());
        let answer = timeout(at_most, api.delete(&signed.name, &parameters)).await;
        match answer.map_err(|_| WriteError::Timeout { what })? {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
            Err(error) => return Err(request(what, error)),
        }
    }
    Ok(())
}
