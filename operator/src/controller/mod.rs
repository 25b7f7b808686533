//! The operator: watches in, one reconciler, writes out. Needs clients and a clock.
//!
//! ```text
//! watches -> queue -> dereference -> resolve -> render -> plan -> execute -> report
//!            roots, definitions,     checklist  blueprint  apply    apply     checklist
//!            index: in memory        pure       pure       pure     all I/O   pure
//! ```
//! [`run`](run()) wires it together. [`reconcile`] is the way of one subscription.

mod admin;
pub(crate) mod billing;
mod config;
mod context;
mod events;
mod foreign;
pub(crate) mod journal;
pub(crate) mod leadership;
mod leftovers;
mod metrics;
mod packed;
mod patch;
mod patience;
mod queue;
mod receipts;
pub(crate) mod reconcile;
pub(crate) mod roots;
pub(crate) mod run;
pub(crate) mod sayings;
pub(crate) mod servers;
mod session;
mod watches;

pub(crate) use config::{Config, DATABASE, DatabaseUrl};
pub(crate) use receipts::{PUBLIC as RECEIPT_PUBLIC_KEY, SECRET as RECEIPT_KEY};
pub(crate) use run::run;
