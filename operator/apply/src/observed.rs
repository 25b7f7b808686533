//! What the index keeps of an object: no body, only what decides; no client or clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::health::Health;
use crate::object::{Kind, MANAGED_BY, MANAGED_BY_LABEL, SUBSCRIPTION_LABEL, TENANT_ID_LABEL};
use crate::token::{ManagedEntry, Token, has_no_other_sign};

/// Metadata of an object as the API server sends it, in the parts that matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// Name.
    pub name: String,
    /// Namespace, absent for cluster-scoped kinds.
    pub namespace: Option<String>,
    /// UID.
    pub uid: String,
    /// Resource version.
    pub resource_version: String,
    /// Generation, for kinds that have one.
    pub generation: Option<i64>,
    /// When its deletion was asked for.
    pub deletion_timestamp: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Who owns which fields.
    pub managed_fields: Vec<ManagedEntry>,
}

/// What is known of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// UID: which object bears the name.
    pub uid: Box<str>,
    /// Resource version as a number; the API server of Kubernetes counts upwards. Zero when it is none.
    pub resource_version: u64,
    /// Drift token.
    pub token: Token,
    /// Whether its deletion was asked for.
    pub deleting: bool,
    /// Health by the rules of its kind.
    pub health: Health,
    /// Tenant id by its label.
    pub tenant_id: Option<Arc<str>>,
    /// Subscription by its label.
    pub subscription: Option<Arc<str>>,
    /// `status` and `metadata.generation`, kept for kinds whose readiness is a predicate of the blueprint.
    pub retained: Option<Box<Value>>,
}

impl Metadata {
    /// Resource version as a number.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.resource_version.parse().unwrap_or(0)
    }

    /// Whether our label and this tenant's id are on it.
    #[must_use]
    pub fn belongs_to(&self, tenant_id: &str) -> bool {
        let is = |label: &str, value: &str| self.labels.get(label).is_some_and(|found| found == value);
        is(MANAGED_BY_LABEL, MANAGED_BY) && is(TENANT_ID_LABEL, tenant_id)
    }
}

impl Observed {
    /// From metadata alone: health stays unknown where it is in the status.
    #[must_use]
    pub fn of(kind: &Kind, metadata: &Metadata) -> Self {
        let label = |name: &str| metadata.labels.get(name).map(|value| Arc::from(value.as_str()));
        Self {
            uid: metadata.uid.as_str().into(),
            resource_version: metadata.version(),
            token: Token::of(kind, &metadata.managed_fields, metadata.generation),
            deleting: metadata.deletion_timestamp.is_some(),
            health: if crate::health::has_status(kind) { Health::Unknown } else { Health::Current },
            tenant_id: label(TENANT_ID_LABEL),
            subscription: label(SUBSCRIPTION_LABEL),
            retained: None,
        }
    }

    /// Whether somebody who acts on this object of a kind would have to look again.
    #[must_use]
    pub fn tells_more_than(&self, kind: &Kind, before: &Self) -> bool {
        // Compared member by member without `..`, so that a new member is not forgotten.
        let Self { uid, resource_version, token, deleting, health, tenant_id, subscription, retained } = self;
        *uid != before.uid
            || *token != before.token
            // Tokens tell seconds apart, and of these kinds nothing else tells of a second write in the same one.
            || (has_no_other_sign(kind) && *resource_version != before.resource_version)
            || *deleting != before.deleting
            || *health != before.health
            || *tenant_id != before.tenant_id
            || *subscription != before.subscription
            || *retained != before.retained
    }
}
