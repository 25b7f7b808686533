//! What people say about one subscription in objects of their own: signatures and suspensions; pure.

use jiff::Timestamp;
use tenantry_crds::sign_off::{SubscriptionReference, TenantSignOffSpec};
use tenantry_crds::suspension::TenantSuspensionSpec;

/// One object, as it was observed. It is never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saying<S> {
    /// Name of the object.
    pub name: String,
    /// UID of the object.
    pub uid: String,
    /// When the API server took it in.
    pub at: Timestamp,
    /// What it says.
    pub spec: S,
}

/// What is said about a subscription.
pub trait About {
    /// Which one: that object, and no later one of its name.
    fn about(&self) -> &SubscriptionReference;
}

impl About for TenantSignOffSpec {
    fn about(&self) -> &SubscriptionReference {
        &self.subscription_ref
    }
}

impl About for TenantSuspensionSpec {
    fn about(&self) -> &SubscriptionReference {
        &self.subscription_ref
    }
}
