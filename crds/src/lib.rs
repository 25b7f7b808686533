//! API types of Tenantry, group `tenantry.io`, version `v1alpha1`: one module per kind; no client or clock.
//! `quantity` and `canonical` hold what every room needs to read values of the API alike.
//!
//! These types are the product's face. Every field has a description and bounds, rules that cross fields are CEL
//! with a message a person can act on, and a field exists only when something reads it. The YAML beside this crate
//! is generated from here by `tenantry manifests crds`.

// The schema derive copies each type into a private scope, where its `pub` is unreachable.
#![allow(unreachable_pub)]

pub mod application;
pub mod billing;
pub mod blueprint;
pub mod canonical;
pub mod common;
pub mod cost;
pub mod definition;
pub mod exit;
pub mod inventory;
pub mod plan;
pub mod plan_change;
pub mod pool;
pub mod prices;
pub mod quantity;
pub mod record;
pub mod sign_off;
pub mod sink;
pub mod subscription;
pub mod suspension;
pub mod version;

pub use application::{HostedApplication, HostedApplicationSpec};
pub use billing::{BillingAccount, BillingAccountSpec, InvoiceIssuer, InvoiceIssuerSpec};
pub use blueprint::{Blueprint, BlueprintSpec};
pub use definition::DefinitionStatus;
pub use plan::{ServicePlan, ServicePlanSpec};
pub use pool::{ServerPool, ServerPoolSpec, ServerPoolStatus};
pub use record::{BillingRecord, BillingRecordSpec};
pub use sign_off::{TenantSignOff, TenantSignOffSpec};
pub use subscription::{TenantSubscription, TenantSubscriptionSpec, TenantSubscriptionStatus};
pub use suspension::{TenantSuspension, TenantSuspensionSpec};
pub use version::{HostedApplicationVersion, HostedApplicationVersionSpec};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// API group of every kind of Tenantry.
pub const GROUP: &str = "tenantry.io";
/// Version of every kind of Tenantry.
pub const VERSION: &str = "v1alpha1";

/// The custom resource definitions, in the order in which they are installed.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![
        ServicePlan::crd(),
        Blueprint::crd(),
        HostedApplication::crd(),
        HostedApplicationVersion::crd(),
        InvoiceIssuer::crd(),
        BillingAccount::crd(),
        BillingRecord::crd(),
        TenantSubscription::crd(),
        TenantSignOff::crd(),
        TenantSuspension::crd(),
        ServerPool::crd(),
    ]
}
