//! The SQL store of what outlives a subscription: an append-only journal of operations and checklist items. Needs a
//! database, a runtime and a clock.
//!
//! Two things are kept apart. [`Database`] opens, migrates and knows who may write; it does not know what is written.
//! [`Entry`] and what appends and reads entries is the journal. The ledger is kept in the same database, under the same fence, by a
//! crate of its own; its tables are here, because a database has one schema.
//!
//! The database is SQLite in one file, or PostgreSQL 15 or later. The same statements run on both; the few that differ are
//! in `dialect`. A file must lie on a disk of the machine: SQLite's locks are not safe on network file systems.
//!
//! # Who may write
//! The lease of the controller is no lock: whoever held it can wake up after another took over. So each takeover has a
//! number, the [`Epoch`], kept in the database, and every append is one transaction that locks that row and asks whether the
//! number is still its own. After a takeover nothing of an earlier epoch lands.
//!
//! # Growing
//! A migration only adds, because the leader of the previous release goes on writing until it is replaced. Migrations are
//! never edited: the database remembers their checksums.

mod database;
mod dialect;
mod entries;
mod error;

pub use database::{Borrowed, Database, Epoch, Leader, in_time};
pub use entries::{Entry, HistoryOf, Sample};
pub use error::DatabaseError;
