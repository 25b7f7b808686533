//! Instruments: watches for what exists and when, proc(5) for what it cost, the audit log for who asked what, and the
//! arithmetic on all of it.

pub mod meter;
pub mod process;
pub mod statistics;
pub mod tally;
pub mod watch;
