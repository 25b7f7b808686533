//! Looking for generated secrets that a tenant may have lost. Needs a client.
//!
//! Secrets are not watched, because a watch would carry their values. When a workload turns unhealthy one metadata-only
//! GET a secret says whether it is there. A lost one is never generated again silently: data may depend on it.

use super::dereference::Snapshot;
use crate::controller::context::Context;
use crate::controller::session::Session;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use tenantry_apply::object::{Desired, Policy, TENANT_ID_LABEL};
use tenantry_apply::record::Ledger;
use tenantry_checklist::item::Evaluation;
use tenantry_checklist::report::Obstacle;
use tenantry_crds::common::ConditionStatus;
use tenantry_crds::subscription::ItemState;

/// Whether it is time to look: the application was fine and is not any more, or secrets were missed before and a
/// person asks for another try.
pub(super) fn should_look(
    snapshot: &Snapshot,
    session: &Session,
    evaluation: &Evaluation,
    item: &str,
) -> bool {
    let was_done = snapshot.status.checklist.iter().any(|e| e.name == item && e.state == ItemState::Done);
    let is_done = evaluation.entries.iter().any(|entry| entry.name == item && entry.state == ItemState::Done);
    let missed = snapshot
        .status
        .conditions
        .iter()
        .any(|c| c.type_ == "Stalled" && c.status == ConditionStatus::True && c.reason == "SecretLost");
    let asked = session.looked_for.as_ref() != Some(&snapshot.root.retry);
    (was_done && !is_done && asked) || (missed && asked)
}

/// Looks for the generated secrets that exist by the record. An answer that does not come changes nothing.
pub(super) async fn look(
    context: &Context,
    snapshot: &Snapshot,
    session: &mut Session,
    desired: &[Desired],
    ledger: &Ledger,
) {
    let mut lost = Vec::new();
    for object in desired.iter().filter(|object| matches!(object.policy, Policy::Generated(_))) {
        let made = ledger.entry(&object.id).and_then(|entry| entry.uid.clone());
        let (Some(uid), Some(namespace)) = (made, &object.id.namespace) else { continue };
        let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
        match api.get_metadata_opt(&object.id.name).await {
            // One that was restored from a backup has another UID and our label.
            Ok(Some(found))
                if found.metadata.uid.as_deref() == Some(&*uid) || has_our_label(&found, snapshot) => {}
            Ok(_) => lost.push(object.id.name.to_string()),
            Err(error) => {
                tracing::warn!(subscription = %snapshot.root.name, %error, "a secret could not be looked for");
                return;
            }
        }
    }
    session.lost_secrets = lost;
    session.looked_for = Some(snapshot.root.retry.clone());
}

fn has_our_label(found: &PartialObjectMeta<Secret>, snapshot: &Snapshot) -> bool {
    let id = snapshot.status.tenant.as_ref().map(|tenant| &tenant.id);
    found.metadata.labels.as_ref().and_then(|labels| labels.get(TENANT_ID_LABEL)) == id
}

/// The obstacles that lost secrets are.
pub(super) fn obstacles(snapshot: &Snapshot, session: &Session) -> Vec<Obstacle> {
    let name = &snapshot.root.name;
    let remedy = format!(
        "restore it from a backup and run kubectl tenantry retry {name}, or delete the subscription and order again"
    );
    session.lost_secrets.iter().map(|secret| Obstacle::secret_lost(secret, &remedy)).collect()
}
