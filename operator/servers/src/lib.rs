//! Servers: which pool has room for a tenant, who waits, and which node is whose; no client, clock or randomness.
//!
//! A [`pool::Pool`] is what its record and the nodes that are seen come to. [`settle::settle`] decides about everybody who
//! asks for a share of it, at once and in the order in which they came; [`marks::marks`] says what each node has to carry
//! for that, [`mod@leave`] how somebody gives back a part of it, and [`making::plan`] which nodes are made or given back. The record of
//! the pool is the truth: what is decided counts only once it is written, and whoever has a share keeps it whatever else happens, so an
//! unrelated tenant moves nobody.

pub mod amounts;
pub mod leave;
pub mod making;
pub mod marks;
pub mod pool;
pub mod record;
pub mod settle;

pub use amounts::{Amounts, Resource, Room};
pub use leave::{Traces, leave, to_look_at};
pub use marks::{Mark, marks};
pub use pool::{Node, NodeRef, Overcommit, Pool, Quarantine, Reservation, Want};
pub use settle::{Decision, Lack, settle};
