//! What would happen, before anything does: the controller's own code up to the point where it would make requests.
//!
//! - [`known`]: everything the controller would know, read once. Needs a client.
//! - [`changes`]: what differs between two states of one tenant. No client.

pub(crate) mod changes;
pub(crate) mod known;
