//! Usage: as CloudEvents 1.0, as what was reserved, and as what a Prometheus measured. Needs neither client, database nor clock.
//!
//! An event counts in the hour of UTC in which it happened, once, whoever tells it how often. What cannot count is kept aside with the
//! reason and never dropped.
//!
//! - [`cloud_event`] reads what came over HTTP: one event, a batch of them, or one in headers and body.
//! - [`intake`] decides: it counts, it was told before, or it is kept aside.
//! - [`reserved`] integrates what was ordered or reserved.
//! - [`used`] asks a Prometheus what was used, and makes whole numbers of its answers.
//! - [`hours`] gives the ledger what it does not have of an hour: the count, and later the differences, each as a revision of its own.

pub mod cloud_event;
pub mod hours;
pub mod intake;
pub mod reserved;
pub mod used;
