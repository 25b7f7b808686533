//! Plays the gateway controller that a provider's cluster has: it accepts every HTTPRoute by writing the status of its
//! parents. Needs a client and a clock.

use std::sync::Arc;

use anyhow::Result;
use futures::StreamExt as _;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::runtime::controller::Action;
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::volumes::create;
use super::{RETRY, Steadily};
use crate::commands::GATEWAY;

/// Name under which the player reports, as a gateway controller's `controllerName`.
const CONTROLLER: &str = "tenantry.io/harness-gateway";
const ROUTES: &str = "httproutes.gateway.networking.k8s.io";

/// Gives the player its rights. `client` acts as an administrator.
pub(super) async fn prepare(client: &Client) -> Result<()> {
    create(&Api::<ClusterRole>::all(client.clone()), &json!({
        "metadata": {"name": GATEWAY},
        "rules": [
            {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["httproutes"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["httproutes/status"], "verbs": ["patch"]},
            {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"],
             "verbs": ["get", "list", "watch"]},
        ],
    })).await?;
    create(
        &Api::<ClusterRoleBinding>::all(client.clone()),
        &json!({
            "metadata": {"name": GATEWAY},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": GATEWAY},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": GATEWAY}],
        }),
    )
    .await
}

/// Accepts routes until dropped; waits for the kind to be installed first.
pub(super) async fn play(client: Client) -> Result<()> {
    let kinds: Api<CustomResourceDefinition> = Api::all(client.clone());
    // Its rights may be a moment old and not in force everywhere, and the API server may be away.
    while await_condition(kinds.clone(), ROUTES, conditions::is_crd_established()).await.is_err() {
        sleep(RETRY).await;
    }
    let route = ApiResource::from_gvk(&GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute"));
    let routes: Api<DynamicObject> = Api::all_with(client.clone(), &route);
    Controller::new_with(routes, watcher::Config::default(), route.clone())
        .trigger_backoff(Steadily)
        .run(accept, |_, _, _| Action::requeue(RETRY), Arc::new((client, route)))
        .for_each(|_| async {})
        .await;
    Ok(())
}

async fn accept(route: Arc<DynamicObject>, context: Arc<(Client, ApiResource)>) -> kube::Result<Action> {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let generation = route.metadata.generation.unwrap_or_default();
    if let Some(parents) = parents(&route.data, generation, &now) {
        let (client, kind) = &*context;
        let routes: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), &route.namespace().unwrap_or_default(), kind);
        // The list is replaced as a whole, so it must rest on what we saw.
        let patch = json!({
            "metadata": {"resourceVersion": route.resource_version()},
            "status": {"parents": parents},
        });
        routes.patch_status(&route.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await?;
    }
    Ok(Action::await_change())
}

/// The list of parents as it should be, or nothing if it is so already. Entries of other controllers stay.
fn parents(route: &Value, generation: i64, now: &str) -> Option<Vec<Value>> {
    let list = |pointer: &str| route.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    let (ours, others): (Vec<Value>, Vec<Value>) =
        list("/status/parents").into_iter().partition(|parent| parent["controllerName"] == CONTROLLER);
    let wanted: Vec<Value> = list("/spec/parentRefs")
        .into_iter()
        .map(|reference| {
            json!({
                "parentRef": reference,
                "controllerName": CONTROLLER,
                "conditions": [condition("Accepted", generation, now), condition("ResolvedRefs", generation, now)],
            })
        })
        .collect();
    let same =
        wanted.len() == ours.len() && wanted.iter().zip(&ours).all(|(wanted, ours)| is_current(wanted, ours));
    (!same).then(|| others.into_iter().chain(wanted).collect())
}

fn condition(kind: &str, generation: i64, now: &str) -> Value {
    json!({
        "type": kind,
        "status": "True",
        "reason": kind,
        "message": "",
        "observedGeneration": generation,
        "lastTransitionTime": now,
    })
}

/// Equal but for the times.
fn is_current(wanted: &Value, present: &Value) -> bool {
    let timeless = |parent: &Value| {
        let mut parent = parent.clone();
        let conditions = parent.get_mut("conditions").and_then(Value::as_array_mut);
        for condition in conditions.into_iter().flatten().filter_map(Value::as_object_mut) {
            condition.remove("lastTransitionTime");
        }
        parent
    };
    timeless(wanted) == timeless(present)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_route_is_accepted_once_and_again_after_a_change() {
        let mut route = json!({
            "spec": {"parentRefs": [{"name": "public"}]},
            "status": {"parents": [{"controllerName": "vendor.example/gateway", "parentRef": {"name": "public"}}]},
        });
        let first = parents(&route, 1, "2030-01-01T00:00:00Z").unwrap();
        assert_eq!(first.len(), 2, "the other controller's entry stays");
        assert_eq!(first[1]["conditions"][0]["type"], "Accepted");
        route["status"]["parents"] = json!(first);
        assert_eq!(parents(&route, 1, "2030-01-01T00:00:09Z"), None);
        let again = parents(&route, 2, "2030-01-01T00:00:09Z").unwrap();
        assert_eq!(again[1]["conditions"][1]["observedGeneration"], 2);
    }

    #[test]
    fn a_route_without_parents_gets_no_status() {
        assert_eq!(parents(&json!({"spec": {}}), 1, "2030-01-01T00:00:00Z"), None);
    }
}
