//! Tenantry: a Kubernetes operator that carries a customer's subscription from sign-up to go-live.
//!
//! `cli` reads the command line, `bills` and `printed` say what was billed, `payments` what was paid, `usage` what was used and `margin`
//! what it cost, `controller` runs the operator, `definitions` keeps the accepted revisions of plans, applications and blueprints,
//! `preview` says what a change would do, `rights` computes what the controller must be allowed, and `manifests` holds what a cluster
//! needs installed. The rooms beside this crate hold the logic: `checklist`, `blueprint` and `apply`.

mod bills;
mod cli;
mod controller;
mod definitions;
mod handover;
pub mod manifests;
mod margin;
mod payments;
mod plan_change;
mod preview;
mod printed;
mod receipt;
mod rights;
mod usage;

pub use cli::main;
