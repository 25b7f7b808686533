//! Storage classes and the provisioner behind them: every claim of these classes gets a volume at once, grows when asked,
//! and the volume goes with the claim. Needs a client and, where there is a real node, the file system.
//!
//! It is what an external provisioner of any vendor is to Kubernetes: the controller manager binds claims to the volumes
//! made here and marks a volume Released when its claim is gone.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use futures::StreamExt as _;
use futures::future::join;
use k8s_openapi::api::core::v1::{
    HostPathVolumeSource, LocalVolumeSource, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm,
    ObjectReference, PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec, VolumeNodeAffinity,
};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::controller::Action;
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{RETRY, Steadily};
use crate::commands::VOLUMES;
use crate::node::KIND_LABEL;

/// Name of the provisioner in storage classes, claims and volumes.
const PROVISIONER: &str = "tenantry.io/harness";
/// Set by the controller manager on a claim whose class names an external provisioner: the order to make a volume.
const ORDERED_FROM: &str = "volume.kubernetes.io/storage-provisioner";
/// Tells the controller manager that deleting the volume is the provisioner's work.
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// `standard` is the class of claims that name none.
const CLASSES: [(&str, bool); 2] = [("standard", true), ("premium", false)];

/// What the provisioner works with.
struct Storage {
    client: Client,
    /// Where volumes lie that containers really mount. The real node sees the same directory.
    directory: Option<PathBuf>,
}

/// Creates the storage classes and the rights of the provisioner. `client` acts as an administrator.
pub(super) async fn prepare(client: &Client) -> Result<()> {
    let classes: Api<StorageClass> = Api::all(client.clone());
    for (name, default) in CLASSES {
        create(
            &classes,
            &json!({
                "metadata": {
                    "name": name,
                    "annotations": {"storageclass.kubernetes.io/is-default-class": default.to_string()},
                },
                "provisioner": PROVISIONER,
                "reclaimPolicy": "Delete",
                "volumeBindingMode": "Immediate",
                "allowVolumeExpansion": true,
            }),
        )
        .await?;
    }
    create(&Api::<ClusterRole>::all(client.clone()), &json!({
        "metadata": {"name": VOLUMES},
        "rules": [
            {"apiGroups": [""], "resources": ["persistentvolumes"],
             "verbs": ["get", "list", "watch", "create", "patch", "delete"]},
            {"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": [""], "resources": ["persistentvolumeclaims/status"], "verbs": ["patch"]},
        ],
    })).await?;
    create(
        &Api::<ClusterRoleBinding>::all(client.clone()),
        &json!({
            "metadata": {"name": VOLUMES},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": VOLUMES},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": VOLUMES}],
        }),
    )
    .await
}

/// Serves claims until dropped. With a `directory` each volume is a directory in it, without one nothing can be kept.
pub(super) async fn provision(client: Client, directory: Option<PathBuf>) -> Result<()> {
    let context = Arc::new(Storage { client: client.clone(), directory });
    let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
    let claims = Controller::new(claims, watcher::Config::default())
        .trigger_backoff(Steadily)
        .run(serve_claim, |_, _, _| Action::requeue(RETRY), context.clone())
        .for_each(|_| async {});
    let volumes: Api<PersistentVolume> = Api::all(client);
    let volumes = Controller::new(volumes, watcher::Config::default())
        .trigger_backoff(Steadily)
        .run(reclaim, |_, _, _| Action::requeue(RETRY), context)
        .for_each(|_| async {});
    join(claims, volumes).await;
    Ok(())
}

/// Creates an object of the harness unless it exists.
pub(super) async fn create<K>(api: &Api<K>, body: &serde_json::Value) -> Result<()>
where
    K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    match api.create(&PostParams::default(), &serde_json::from_value(body.clone())?).await {
        // Made by an earlier attempt.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(()),
    }
}

async fn serve_claim(claim: Arc<PersistentVolumeClaim>, storage: Arc<Storage>) -> kube::Result<Action> {
    let Storage { client, directory } = &*storage;
    if let Some(volume) = volume_for(&claim, directory.as_deref()) {
        if let Some(place) = place(&volume, directory.as_deref()) {
            fs::create_dir_all(place).map_err(local)?;
        }
        let volumes: Api<PersistentVolume> = Api::all(client.clone());
        match volumes.create(&PostParams::default(), &volume).await {
            // Made by an earlier run that saw the claim before the controller manager bound it.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            other => drop(other?),
        }
    } else if let Some((volume, size)) = growth(&claim) {
        let capacity = json!({"capacity": {"storage": size}});
        let volumes: Api<PersistentVolume> = Api::all(client.clone());
        volumes.patch(&volume, &PatchParams::default(), &Patch::Merge(json!({"spec": capacity}))).await?;
        let claims: Api<PersistentVolumeClaim> =
            Api::namespaced(client.clone(), &claim.namespace().unwrap_or_default());
        let status = Patch::Merge(json!({"status": capacity}));
        claims.patch_status(&claim.name_any(), &PatchParams::default(), &status).await?;
    }
    Ok(Action::await_change())
}

async fn reclaim(volume: Arc<PersistentVolume>, storage: Arc<Storage>) -> kube::Result<Action> {
    let ours = volume.annotations().get(PROVISIONED_BY).is_some_and(|by| by == PROVISIONER);
    let released = volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Released");
    let deletable = volume.spec.as_ref().and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref())
        == Some("Delete");
    if ours && released && deletable && volume.metadata.deletion_timestamp.is_none() {
        if let Some(place) = place(&volume, storage.directory.as_deref()) {
            match fs::remove_dir_all(place) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                other => other.map_err(local)?,
            }
        }
        let volumes: Api<PersistentVolume> = Api::all(storage.client.clone());
        match volumes.delete(&volume.name_any(), &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            other => drop(other?),
        }
    }
    Ok(Action::await_change())
}

/// The directory of a volume, where volumes have one.
fn place(volume: &PersistentVolume, directory: Option<&Path>) -> Option<PathBuf> {
    Some(directory?.join(volume.metadata.name.as_deref()?))
}

/// The error type of the two loops has a place for whatever went wrong beside the API server.
fn local(error: std::io::Error) -> kube::Error {
    kube::Error::Service(error.into())
}

/// The volume a claim waits for, if it waits for one of ours.
fn volume_for(claim: &PersistentVolumeClaim, directory: Option<&Path>) -> Option<PersistentVolume> {
    let spec = claim.spec.as_ref()?;
    let ordered = claim.annotations().get(ORDERED_FROM).is_some_and(|from| from == PROVISIONER);
    if !ordered || spec.volume_name.is_some() || claim.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let uid = claim.uid()?;
    let name = format!("pvc-{uid}");
    let host_path = directory.is_none().then(|| HostPathVolumeSource {
        // Never mounted: simulated nodes start no containers. A host path needs no attaching.
        path: format!("/nonexistent/{name}"),
        type_: None,
    });
    // Unlike a host path, a local volume is given to the group that the pod names, as a vendor's would be.
    let on_disk = directory.map(|directory| LocalVolumeSource {
        fs_type: None,
        path: directory.join(&name).display().to_string(),
    });
    Some(PersistentVolume {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            annotations: Some(BTreeMap::from([(PROVISIONED_BY.to_owned(), PROVISIONER.to_owned())])),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeSpec {
            access_modes: spec.access_modes.clone(),
            capacity: spec.resources.as_ref().and_then(|resources| resources.requests.clone()),
            claim_ref: Some(ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("PersistentVolumeClaim".to_owned()),
                namespace: claim.namespace(),
                name: Some(claim.name_any()),
                uid: Some(uid),
                ..ObjectReference::default()
            }),
            host_path,
            node_affinity: on_disk.is_some().then(any_node),
            local: on_disk,
            persistent_volume_reclaim_policy: Some("Delete".to_owned()),
            storage_class_name: spec.storage_class_name.clone(),
            volume_mode: spec.volume_mode.clone(),
            ..PersistentVolumeSpec::default()
        }),
        status: None,
    })
}

/// A local volume must say where it is. There is one real node, and simulated ones mount nothing, so pods with claims may
/// be on any.
fn any_node() -> VolumeNodeAffinity {
    let known =
        NodeSelectorRequirement { key: KIND_LABEL.to_owned(), operator: "Exists".to_owned(), values: None };
    let term = NodeSelectorTerm { match_expressions: Some(vec![known]), match_fields: None };
    VolumeNodeAffinity { required: Some(NodeSelector { node_selector_terms: vec![term] }) }
}

/// The volume of a bound claim and the size it shall grow to. The API server lets a request only grow, so "different"
/// means "more".
fn growth(claim: &PersistentVolumeClaim) -> Option<(String, String)> {
    let spec = claim.spec.as_ref()?;
    let ours = claim.annotations().get(ORDERED_FROM).is_some_and(|from| from == PROVISIONER);
    let status = claim.status.as_ref().filter(|status| ours && status.phase.as_deref() == Some("Bound"))?;
    let wanted = spec.resources.as_ref()?.requests.as_ref()?.get("storage")?;
    let present = status.capacity.as_ref()?.get("storage")?;
    (wanted != present).then(|| Some((spec.volume_name.clone()?, wanted.0.clone())))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(from: &str, volume: Option<&str>, capacity: Option<&str>) -> PersistentVolumeClaim {
        serde_json::from_value(json!({
            "metadata": {"name": "data", "namespace": "t", "uid": "u1", "annotations": {ORDERED_FROM: from}},
            "spec": {
                "storageClassName": "standard", "accessModes": ["ReadWriteOnce"], "volumeName": volume,
                "resources": {"requests": {"storage": "2Gi"}},
            },
            "status": capacity.map(|size| json!({"phase": "Bound", "capacity": {"storage": size}})),
        }))
        .unwrap()
    }

    #[test]
    fn only_waiting_claims_of_ours_get_a_volume_and_it_names_the_claim() {
        let volume = volume_for(&claim(PROVISIONER, None, None), None).unwrap();
        let reference = volume.spec.unwrap().claim_ref.unwrap();
        assert_eq!(volume.metadata.name.as_deref(), Some("pvc-u1"));
        assert_eq!(reference.uid.as_deref(), Some("u1"));
        assert!(volume_for(&claim("vendor.example/disk", None, None), None).is_none());
        assert!(volume_for(&claim(PROVISIONER, Some("pvc-u1"), None), None).is_none());
    }

    #[test]
    fn beside_a_real_node_a_volume_is_a_directory_that_the_node_knows() {
        let volume = volume_for(&claim(PROVISIONER, None, None), Some(Path::new("/volumes"))).unwrap();
        assert_eq!(place(&volume, Some(Path::new("/volumes"))), Some(PathBuf::from("/volumes/pvc-u1")));
        let spec = volume.spec.unwrap();
        assert_eq!(spec.local.unwrap().path, "/volumes/pvc-u1");
        assert!(spec.host_path.is_none() && spec.node_affinity.is_some());
    }

    #[test]
    fn a_bound_claim_grows_only_when_it_asks_for_another_size() {
        let grown = growth(&claim(PROVISIONER, Some("pvc-u1"), Some("1Gi")));
        assert_eq!(grown, Some(("pvc-u1".to_owned(), "2Gi".to_owned())));
        assert_eq!(growth(&claim(PROVISIONER, Some("pvc-u1"), Some("2Gi"))), None);
        assert_eq!(growth(&claim(PROVISIONER, None, None)), None);
        assert_eq!(growth(&claim("vendor.example/disk", Some("pvc-u1"), Some("1Gi"))), None);
    }
}
