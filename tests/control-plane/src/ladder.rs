//! Which cluster a test gets: the first rung that this machine has. Needs a client and the environment.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Namespace, Node, ServiceAccount};
use kube::api::{ListParams, PartialObjectMeta};
use kube::{Api, ResourceExt as _};

use crate::cluster::Cluster;
use crate::k3s::K3s;
use crate::kubeconfig::client_from;
use crate::node;
use crate::nodes::SIMULATED;
use crate::profile::{Capabilities, Options, Profile};
use crate::tools::{Toolset, go_is_installed};

/// On the namespace `kube-system` of a cluster whose owner allows tests on it.
const OPT_IN: (&str, &str) = ("tenantry.io/test-cluster", "true");

pub(crate) async fn acquire(profile: Profile) -> Result<Cluster> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // Whoever names a cluster means it: no silent step to another rung.
    if let Some(kubeconfig) = variable("TENANTRY_KUBECONFIG") {
        return external(kubeconfig, profile).await;
    }
    let mut missing = Vec::new();
    // A cluster that somebody else runs needs nothing of this machine.
    let unfit = node::missing_for(profile);
    let may_start = |tools: &Toolset| unfit.is_none() && tools.supports(profile);
    if let Some(tools) = Toolset::from_cache().filter(may_start) {
        return Cluster::start_with(tools, Options::new(profile)).await;
    }
    match variable("KUBEBUILDER_ASSETS") {
        Some(directory) => match Toolset::from_assets(&directory) {
            Ok(tools) if may_start(&tools) => {
                return Cluster::start_with(tools, Options::new(profile)).await;
            }
            Ok(_) => missing
                .push(format!("KUBEBUILDER_ASSETS: {} lacks binaries for {profile}", directory.display())),
            Err(error) => missing.push(format!("KUBEBUILDER_ASSETS: {error:#}")),
        },
        None => missing.push("KUBEBUILDER_ASSETS: not set".to_owned()),
    }
    match unfit {
        Some(reason) => missing.push(format!("this machine: {reason}")),
        None if go_is_installed() => return Cluster::start(Options::new(profile)).await,
        None => missing.push("Go: `go` was not found".to_owned()),
    }
    match K3s::local_tag().await {
        Ok(tag) => {
            let capabilities = Capabilities {
                audit: false,
                etcd: false,
                controllers: true,
                nodes: true,
                containers: true,
                outages: false,
            };
            return Cluster::container(K3s::start(&tag).await?, capabilities);
        }
        Err(error) => missing.push(format!("Docker: {error:#}")),
    }
    bail!(
        "no Kubernetes for tests of profile {profile}. Install Go 1.26 or newer (the control plane is then built once, about \
         11 minutes), or give one of the others:\n  TENANTRY_KUBECONFIG: not set\n  {}",
        missing.join("\n  ")
    )
}

/// A cluster somebody else runs, if it is marked as one for tests: they create and delete cluster-wide objects.
async fn external(kubeconfig: PathBuf, profile: Profile) -> Result<Cluster> {
    let shown = kubeconfig.display().to_string();
    let client = client_from(&kubeconfig)
        .await
        .context("TENANTRY_KUBECONFIG must name a kubeconfig file, or be unset")?;
    let namespace = Api::<Namespace>::all(client.clone())
        .get("kube-system")
        .await
        .with_context(|| format!("the cluster of TENANTRY_KUBECONFIG ({shown}) does not answer"))?;
    let (label, value) = OPT_IN;
    if namespace.labels().get(label).is_none_or(|present| present != value) {
        bail!(
            "the cluster of TENANTRY_KUBECONFIG ({shown}) is not marked as a cluster for tests, which create and delete \
             cluster-wide objects. If it may be used for that: kubectl --kubeconfig {shown} label namespace kube-system \
             {label}={value}"
        );
    }
    let controllers =
        Api::<ServiceAccount>::namespaced(client.clone(), "default").get_opt("default").await?.is_some();
    let members = Api::<Node>::all(client).list_metadata(&ListParams::default()).await?.items;
    let nodes = !members.is_empty();
    let simulated = |node: &PartialObjectMeta<Node>| node.annotations().contains_key(SIMULATED.key);
    let containers = members.iter().any(|node| !simulated(node));
    let capabilities =
        Capabilities { audit: false, etcd: false, controllers, nodes, containers, outages: false };
    let wanted = profile.capabilities();
    if (wanted.controllers && !controllers) || (wanted.nodes && !nodes) || (wanted.containers && !containers)
    {
        bail!(
            "the cluster of TENANTRY_KUBECONFIG ({shown}) cannot stand in for profile {profile}: it has [{capabilities}]"
        );
    }
    Cluster::external(kubeconfig, capabilities)
}
