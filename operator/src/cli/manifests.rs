//! `tenantry manifests`: what a cluster needs installed, as YAML. Needs no client.

use super::Outcome;
use crate::manifests::{self, Group, Journal};
use clap::{Args, ValueEnum};

/// Arguments of `tenantry manifests`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Only this part; without it everything.
    #[arg(value_enum)]
    part: Option<Part>,
    /// Namespace of the controller.
    #[arg(long, default_value = manifests::DEFAULT_NAMESPACE)]
    namespace: String,
    /// Image of the controller; without one its Deployment is left out.
    #[arg(long)]
    image: Option<String>,
    /// Secret in that namespace with the URL of a PostgreSQL for the journal, under the key url; then there are two replicas.
    /// Without one the journal is a file on a volume, and there is one replica.
    #[arg(long, requires = "image")]
    database_secret: Option<String>,
    /// Address of the HTTP API of a Prometheus, from which meters of the source Used are read.
    #[arg(long, requires = "image")]
    prometheus_url: Option<String>,
    /// Namespace of the Cluster object of Cluster API, in which machines are made: for cluster-api.
    #[arg(long, default_value = "default")]
    machines_namespace: String,
}

/// A part of what is installed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Part {
    /// The custom resource definitions.
    Crds,
    /// Everything but the custom resource definitions.
    Install,
    /// The namespace of the controller.
    Namespace,
    /// Roles and bindings.
    Rbac,
    /// Priority classes.
    Classes,
    /// Admission policies.
    Policies,
    /// Mutating admission policies, for API servers that have them (Kubernetes 1.36 and newer). They are in no other part.
    Mutating,
    /// Rights to make nodes by Karpenter, for pools of servers whose template says nodePool. They are in no other part.
    Karpenter,
    /// Rights to make nodes by Cluster API, for pools of servers whose template says machineDeployment. They are in no other part.
    ClusterApi,
    /// A health check for Argo CD, in Lua.
    Argocd,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let Arguments { part, namespace, image, database_secret, prometheus_url, machines_namespace } = arguments;
    let journal = database_secret.as_deref().map_or(Journal::Volume, Journal::Secret);
    let everything = || {
        let mut objects = manifests::all(namespace, image.as_deref(), journal)?;
        if let Some(url) = prometheus_url {
            manifests::measured_by(&mut objects, url)?;
        }
        Ok::<_, manifests::Error>(objects)
    };
    let objects = match part {
        None => everything()?,
        Some(Part::Argocd) => {
            print!("{}", manifests::ARGOCD_HEALTH);
            return Ok(Outcome::Good);
        }
        Some(Part::Install) => {
            let is_crd = |object: &serde_json::Value| object["kind"] == "CustomResourceDefinition";
            everything()?.into_iter().filter(|object| !is_crd(object)).collect()
        }
        Some(Part::Crds) => Group::Crds.objects(namespace)?,
        Some(Part::Namespace) => Group::Namespace.objects(namespace)?,
        Some(Part::Rbac) => Group::Rbac.objects(namespace)?,
        Some(Part::Classes) => Group::Classes.objects(namespace)?,
        Some(Part::Karpenter) => manifests::karpenter(namespace)?,
        Some(Part::ClusterApi) => manifests::cluster_api(namespace, machines_namespace)?,
        Some(Part::Mutating) => manifests::mutating(namespace)?,
        Some(Part::Policies) => Group::Policies.objects(namespace)?,
    };
    print!("{}", manifests::yaml(&objects)?);
    Ok(Outcome::Good)
}
