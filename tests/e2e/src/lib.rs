//! What end-to-end tests and the demo share: a world of a real Kubernetes API, the installed product, and the real
//! binary running as its own service account. Needs a client, a clock and processes.

pub mod callers;
pub mod census;
pub mod clock;
pub mod hall;
pub mod holdings;
pub mod http;
pub mod install;
pub mod journal;
pub mod kept;
pub mod load;
pub mod meddling;
pub mod metrics;
pub mod node;
pub mod orders;
pub mod people;
pub mod priced;
pub mod process;
pub mod prometheus;
pub mod report;
pub mod seed;
pub mod traffic;
pub mod wait;
pub mod world;

pub use process::Controller;
pub use world::{Setup, World};

/// The name under which the API server's audit log knows the controller.
pub const CONTROLLER_USER: &str = "system:serviceaccount:tenantry-system:tenantry-controller";
/// Namespace of the controller.
pub const NAMESPACE: &str = "tenantry-system";
