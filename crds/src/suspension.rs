//! `TenantSuspension`: one reason why a tenant is not served.

use crate::sign_off::SubscriptionReference;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

// The lint takes equal words of two print columns for one attribute written twice.
#[allow(clippy::duplicated_attributes, reason = "each print column has a type of its own")]
/// One reason why a tenant is not served. Several may hold at once; removing one lifts what it alone asks for.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "tenantry.io",
    version = "v1alpha1",
    kind = "TenantSuspension",
    doc = "One reason why a tenant is not served, until it is removed.",
    plural = "tenantsuspensions",
    shortname = "tsus",
    category = "tenantry",
    derive = "Default",
    derive = "PartialEq",
    cel,
    printcolumn(name = "Subscription", type_ = "string", json_path = ".spec.subscriptionRef.name"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason"),
    printcolumn(name = "Scope", type_ = "string", json_path = ".spec.scope"),
    printcolumn(name = "Lift", type_ = "string", json_path = ".spec.liftAuthority"),
    printcolumn(name = "By", type_ = "string", json_path = ".spec.requestedBy"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    cel,
    validation = Rule::new("self == oldSelf").message("a suspension cannot be changed; make another one, and remove this one"),
    validation = Rule::new("self.reason != 'Customer' || self.liftAuthority == 'Consumer'").message("what a customer asks for the customer can lift; use the liftAuthority Consumer, or another reason").field_path(".liftAuthority"),
)]
pub struct TenantSuspensionSpec {
    /// Subscription whose tenant is suspended.
    pub subscription_ref: SubscriptionReference,
    /// Why the tenant is not served.
    pub reason: SuspensionReason,
    /// Who may lift it, by removing this object.
    pub lift_authority: LiftAuthority,
    /// How much is taken away.
    pub scope: SuspensionScope,
    /// What happened and what to do about it, for the customer.
    #[schemars(length(min = 1, max = 512))]
    pub message: String,
    /// Name of who asks for it, as the API server knows it.
    #[schemars(length(min = 1, max = 253))]
    pub requested_by: String,
}

/// Why a tenant is suspended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SuspensionReason {
    /// Something is not paid.
    Billing,
    /// The service is misused.
    Abuse,
    /// Somebody pretends to be somebody else.
    Fraud,
    /// A law or a contract asks for it.
    Compliance,
    /// Anything else the provider decides.
    #[default]
    Administrative,
    /// The customer asks for it.
    Customer,
}

/// Who may lift a suspension.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LiftAuthority {
    /// The provider.
    #[default]
    Operator,
    /// The customer, and the provider.
    Consumer,
}

/// How much a suspension takes away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SuspensionScope {
    /// Nobody gets in: the route shows why, and the customer's people have no access. Everything goes on running.
    Network,
    /// Nothing runs: every workload has no pods. Data stays.
    Compute,
    /// Both.
    #[default]
    All,
}
