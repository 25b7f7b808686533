//! Apply engine of Tenantry: turns a tenant's desired objects into cluster state with few requests, survives a crash
//! at any of them, repairs drift, and deletes safely.
//!
//! | part | modules | needs |
//! |---|---|---|
//! | what shall be | [`object`], [`wave`], [`scope`], [`canonical`] | nothing |
//! | what is | [`index`], [`observed`], [`health`], [`token`], [`fields`] | nothing |
//! | what to do | [`plan`], [`record`], [`compare`] | nothing |
//! | what went wrong | [`classify`] | kube's error type |
//! | doing it | [`executor`], [`streams`], [`discovery`], [`shared`], [`child`] | client, tokio |
//! | who may | [`gate`], [`lease`] | client, tokio, monotonic clock |
//!
//! The contract:
//! - A [`plan::Plan`] is made from values alone. Its `record` is persisted before it is executed.
//! - Every request for an object that exists carries its uid; nothing is adopted by name.
//! - An unchanged object costs no request. Drift is told from metadata that watches deliver anyway.
//! - Executing a plan and planning again gives an empty plan.

pub mod canonical;
pub mod child;
pub mod classify;
pub mod compare;
pub mod connection;
pub mod counters;
pub mod discovery;
pub mod executor;
pub mod fields;
pub mod gate;
pub mod health;
pub mod index;
pub mod lease;
pub mod object;
pub mod observed;
pub mod permits;
pub mod plan;
pub mod record;
pub mod scope;
pub mod shared;
pub mod streams;
#[cfg(test)]
mod testing;
pub mod token;
pub mod wave;
