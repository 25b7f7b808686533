//! Typed templates, expressions and the static check: blueprints and applications become Kubernetes objects; pure.
//!
//! Nothing here has a client, a clock or randomness. The order, the tenant's identity and the time come in as values.
//!
//! The way through this crate:
//!
//! 1. [`pack::pack`] turns an author's folder into one object and remembers where everything stood.
//! 2. [`check`] says what is wrong with it, in the author's files and lines.
//! 3. [`render::Compiled`] is one accepted revision of blueprint, application and version, compiled once.
//! 4. [`render::Compiled::render`] gives the objects of an order; [`baseline::objects`] those that Tenantry builds itself.
//! 5. [`baseline::fits`] proves that they fit the plan before the first one is written.

pub mod baseline;
pub mod check;
pub mod context;
pub mod decorate;
pub mod expression;
pub mod kinds;
mod object;
pub mod pack;
pub mod problem;
pub mod render;
pub mod rollout;
mod scan;
pub mod schema;
pub mod sizing;
pub mod source;
pub mod structure;
mod suggest;
pub mod suspend;
pub mod template;
mod token;
