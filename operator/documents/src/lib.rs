//! What people, tax offices and other programs get of the ledger's documents. Needs no client, no database and no clock.
//!
//! A [`tenantry_ledger::document::Document`] says everything in words and decimals when it is made, and never changes. This crate
//! only writes it in other forms:
//!
//! - [`page`]: a page that a person can read and print, in his language ([`language`]);
//! - [`standard`]: an invoice after EN 16931, checked by an independent implementation of its rules, and its XML;
//! - [`focus`]: rows of FOCUS 1.2, which add up to what each invoice comes to;
//! - [`statement`]: what an account was billed in a stretch of time, tenant by tenant.

pub mod focus;
pub mod language;
pub mod page;
pub mod standard;
pub mod statement;
