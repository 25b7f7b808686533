//! Deliveries to a peer on this machine that fails, hangs, cuts answers off after it acted, and remembers answers by their keys: each
//! document is there exactly once in the end.

mod documents;
mod folder;
mod kill_bill;
mod peer;
mod stripe;
mod webhook;
