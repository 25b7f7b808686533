//! What GitOps tools make of our objects, found out as they do it themselves. Pure: neither client nor clock.

pub mod argocd;
