//! How fast Tenantry is, beside the raw limit of the control plane and beside other tools. Needs a client, a clock and
//! processes.
//!
//! A run goes like this: [`session`] takes contenders (read by [`contender`]) one after the other onto a fresh control
//! plane ([`arena`]), lets each do the [`workload`]s under the instruments of [`measure`], sees to it that everyone made
//! the same objects ([`canonical`]), and sends the same bytes as fast as they go in between ([`blast`]). [`report`] makes
//! numbers and pictures of it.

pub mod arena;
pub mod blast;
pub mod canonical;
pub mod contender;
pub mod measure;
pub mod report;
pub mod session;
pub mod workload;
