//! Deliveries to a peer on this machine that fails, hangs, cuts answers off after it acted, and remembers answers by their keys: each
//! document is there exactly once in the end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on ends here"
)]

mod callbacks;
mod documents;
mod folder;
mod kill_bill;
mod peer;
mod stripe;
mod webhook;
