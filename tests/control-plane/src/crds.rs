//! Definitions of kinds that other projects own and tenants use: enough of them to accept the objects and to keep their
//! status, without the projects' controllers; and the real ones of kinds that make nodes. Needs a client to install them.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, Discovery, ResourceExt as _};
use tokio::time::timeout;

use crate::commands::HARNESS;

/// The API server establishes a definition within a second.
const ESTABLISHED_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks at what is served.
const LOOK: Duration = Duration::from_millis(20);

/// A kind of another project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crd {
    /// `gateway.networking.k8s.io/v1`.
    HttpRoute,
    /// `gateway.envoyproxy.io/v1alpha1`.
    HttpRouteFilter,
    /// `gateway.envoyproxy.io/v1alpha1`.
    SecurityPolicy,
    /// `monitoring.coreos.com/v1`.
    ServiceMonitor,
    /// `monitoring.coreos.com/v1`.
    PrometheusRule,
    /// `karpenter.sh/v1`, the real one.
    NodePool,
    /// `cluster.x-k8s.io/v1beta2`, the real one.
    MachineDeployment,
}

impl Crd {
    /// Those that make nodes.
    pub const MAKERS: [Self; 2] = [Self::NodePool, Self::MachineDeployment];
    /// Those that tenants use.
    pub const ALL: [Self; 5] = [
        Self::HttpRoute,
        Self::HttpRouteFilter,
        Self::SecurityPolicy,
        Self::ServiceMonitor,
        Self::PrometheusRule,
    ];

    /// The definition's manifest.
    #[must_use]
    pub fn yaml(self) -> &'static str {
        match self {
            Self::HttpRoute => include_str!("../crds/httproutes.yaml"),
            Self::HttpRouteFilter => include_str!("../crds/httproutefilters.yaml"),
            Self::SecurityPolicy => include_str!("../crds/securitypolicies.yaml"),
            Self::ServiceMonitor => include_str!("../crds/servicemonitors.yaml"),
            Self::PrometheusRule => include_str!("../crds/prometheusrules.yaml"),
            Self::NodePool => include_str!("../crds/nodepools.yaml"),
            Self::MachineDeployment => include_str!("../crds/machinedeployments.yaml"),
        }
    }

    fn definition(self) -> Result<CustomResourceDefinition> {
        serde_saphyr::from_str(self.yaml())
            .with_context(|| format!("the definition of {self:?} is not valid"))
    }
}

pub(crate) async fn install(client: Client, kinds: &[Crd]) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for kind in kinds {
        let definition = kind.definition()?;
        let apply = PatchParams::apply(HARNESS).force().validation_strict();
        definitions
            .patch(&definition.name_any(), &apply, &Patch::Apply(&definition))
            .await
            .with_context(|| format!("the API server refuses the definition of {kind:?}"))?;
    }
    for kind in kinds {
        await_served(&client, &kind.definition()?).await?;
    }
    Ok(())
}

/// Waits until the kind of a definition is established and among those that the API server says it serves, which comes a
/// little later.
///
/// # Errors
/// When it is not within half a minute.
pub async fn await_served(client: &Client, definition: &CustomResourceDefinition) -> Result<()> {
    let (name, group) = (definition.name_any(), definition.spec.group.as_str());
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let served = async {
        await_condition(definitions, &name, conditions::is_crd_established()).await?;
        let mut often = tokio::time::interval(LOOK);
        loop {
            often.tick().await;
            // Both ways of asking are answered from caches of their own.
            let whole = Discovery::new(client.clone()).run_aggregated().await?;
            let alone = match Discovery::new(client.clone()).filter(&[group]).run().await {
                // The group is listed a moment before its versions are found.
                Err(kube::Error::Api(status)) if status.code == 404 => continue,
                found => found?,
            };
            if [whole, alone].iter().all(|found| serves(found, definition)) {
                return anyhow::Ok(());
            }
        }
    };
    let in_time = timeout(ESTABLISHED_TIMEOUT, served).await;
    in_time.with_context(|| format!("{name} is not served after {} s", ESTABLISHED_TIMEOUT.as_secs()))?
}

fn serves(discovery: &Discovery, definition: &CustomResourceDefinition) -> bool {
    let Some(group) = discovery.get(&definition.spec.group) else { return false };
    let plural = &definition.spec.names.plural;
    let is_there = |version: &str| {
        group.versioned_resources(version).iter().any(|(resource, _)| resource.plural == *plural)
    };
    definition.spec.versions.iter().filter(|version| version.served).all(|version| is_there(&version.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_parse_and_are_named_after_plural_and_group() {
        for kind in Crd::ALL.into_iter().chain(Crd::MAKERS) {
            let definition = kind.definition().unwrap();
            let expected = format!("{}.{}", definition.spec.names.plural, definition.spec.group);
            assert_eq!(definition.name_any(), expected);
            assert_eq!(definition.spec.names.kind.to_lowercase(), format!("{kind:?}").to_lowercase());
        }
    }
}
