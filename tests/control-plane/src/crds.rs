//! Definitions of kinds that other projects own and tenants use: enough of them to accept the objects and to keep their
//! status, without the projects' controllers. Needs a client to install them.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, ResourceExt as _};
use tokio::time::timeout;

use crate::commands::HARNESS;

/// The API server establishes a definition within a second.
const ESTABLISHED_TIMEOUT: Duration = Duration::from_secs(30);

/// A kind of another project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crd {
    /// `gateway.networking.k8s.io/v1`.
    HttpRoute,
    /// `gateway.envoyproxy.io/v1alpha1`.
    SecurityPolicy,
    /// `monitoring.coreos.com/v1`.
    ServiceMonitor,
    /// `monitoring.coreos.com/v1`.
    PrometheusRule,
}

impl Crd {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::HttpRoute, Self::SecurityPolicy, Self::ServiceMonitor, Self::PrometheusRule];

    /// The definition's manifest.
    #[must_use]
    pub fn yaml(self) -> &'static str {
        match self {
            Self::HttpRoute => include_str!("../crds/httproutes.yaml"),
            Self::SecurityPolicy => include_str!("../crds/securitypolicies.yaml"),
            Self::ServiceMonitor => include_str!("../crds/servicemonitors.yaml"),
            Self::PrometheusRule => include_str!("../crds/prometheusrules.yaml"),
        }
    }

    fn definition(self) -> Result<CustomResourceDefinition> {
        serde_saphyr::from_str(self.yaml())
            .with_context(|| format!("the definition of {self:?} is not valid"))
    }
}

pub(crate) async fn install(client: Client, kinds: &[Crd]) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client);
    for kind in kinds {
        let definition = kind.definition()?;
        let apply = PatchParams::apply(HARNESS).force().validation_strict();
        definitions
            .patch(&definition.name_any(), &apply, &Patch::Apply(&definition))
            .await
            .with_context(|| format!("the API server refuses the definition of {kind:?}"))?;
    }
    for kind in kinds {
        let name = kind.definition()?.name_any();
        timeout(
            ESTABLISHED_TIMEOUT,
            await_condition(definitions.clone(), &name, conditions::is_crd_established()),
        )
        .await
        .with_context(|| format!("{name} is not served after {} s", ESTABLISHED_TIMEOUT.as_secs()))??;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_parse_and_are_named_after_plural_and_group() {
        for kind in Crd::ALL {
            let definition = kind.definition().unwrap();
            let expected = format!("{}.{}", definition.spec.names.plural, definition.spec.group);
            assert_eq!(definition.name_any(), expected);
            assert_eq!(definition.spec.names.kind.to_lowercase(), format!("{kind:?}").to_lowercase());
        }
    }
}
