//! Fault injection for Tenantry: the real binary against a real API server, through a proxy that breaks things. Needs a
//! client, a clock and processes.
//!
//! A run is one customer's act (an order, a move, an end) with at most one fault at one named request. What the store
//! held at every revision and what the controller asked for make a record, and pure oracles judge it. See
//! docs/reliability.md.

mod board;
pub mod campaign;
pub mod defect;
pub mod files;
pub mod gate;
mod hall;
pub mod history;
pub mod holds;
pub mod journal;
pub mod leaders;
pub mod mask;
pub mod oracle;
pub mod plan;
mod players;
pub mod process;
pub mod proxy;
pub mod recorder;
pub mod runs;
pub mod seedbed;
pub mod site;
pub mod stage;
pub mod stages;
mod suspension;
pub mod trial;
pub mod wire;
pub mod workload;
