//! Plans, applications, versions and blueprints, and the revisions of them that tenants run.
//!
//! Every state of a definition that passed the check is stored as an immutable ControllerRevision before any tenant
//! may run it. Rendering and repair use stored revisions only, so an edit into nonsense, or a deletion, never disarms
//! a live tenant.
//!
//! - [`store`]: what is known, in memory, and the answers to questions about it. No client.
//! - [`live`]: reads them as objects. No client.
//! - [`acceptor`]: checks an edited definition, stores its revision, writes its status. Needs a client.
//! - [`compiler`]: compiled definitions, shared by the tenants that run them. No client.
//! - [`mover`]: says which tenants a changed definition moves now. No client.

pub(crate) mod acceptor;
pub(crate) mod compiler;
pub(crate) mod content;
pub(crate) mod examine;
pub(crate) mod live;
pub(crate) mod mover;
pub(crate) mod store;

pub(crate) use content::Key;
pub(crate) use store::{Store, UsedMeters};
