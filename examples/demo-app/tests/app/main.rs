//! The application as processes on loopback: what it promises, and what it does when it is broken. Needs processes, the
//! network, files and a clock.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

mod crash;
mod jobs;
mod process;
mod serving;
