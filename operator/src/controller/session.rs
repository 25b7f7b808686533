//! What is known of a tenant between two status writes; no client.
//!
//! A tenant is created in several passes within a fraction of a second, while its status is written once before and
//! once after. In between, this holds what the answers said. A crash loses it, and then the next leader finds the
//! objects by what was recorded beforehand, at the cost of one apply for each.

use super::reconcile::prepare::Prepared;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use tenantry_checklist::access::TenantId;
use tenantry_crds::inventory::Inventory;
use tokio::time::Instant;

/// What is known of one tenant between two status writes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    /// Identity given to a tenant whose status has not been written yet.
    pub(crate) tenant_id: Option<TenantId>,
    /// Inventory after the last answers.
    pub(crate) inventory: Option<Inventory>,
    /// Which one on record it goes on from, by its digest.
    pub(super) goes_on_from: u64,
    /// When the status was last written.
    pub(crate) written: Option<Instant>,
    /// What is desired, while what it is made from stays the same.
    pub(crate) prepared: Option<Arc<Prepared>>,
    /// Since when watches are waited for that have not delivered their first sets.
    pub(crate) blind_since: Option<Instant>,
    /// The step of the end that is under way, and since when this process is at it.
    pub(crate) exit_step: Option<(&'static str, Instant)>,
    /// Runs in a row in which the API server did not answer about the tenant's objects.
    pub(crate) outages: u32,
    /// Until when the last of them is waited for. Another one before that, as when an event came, makes no later wait longer.
    pub(crate) outage_until: Option<Instant>,
    /// Runs in a row whose result was made from an old view, so that it was not written.
    pub(crate) races: u32,
    /// Runs in a row whose result could not be written.
    pub(crate) failed_writes: u32,
    /// Looks in a row at what is in use that did not fit the plan that is asked for.
    pub(crate) misfits: u32,
    /// Generated secrets that were looked for and not found.
    pub(crate) lost_secrets: Vec<String>,
    /// Value of the retry annotation for which lost secrets were looked for.
    pub(crate) looked_for: Option<Option<String>>,
}

/// Sessions up to which what is desired is kept between two runs.
const PREPARED_SESSIONS: usize = 32;

/// Sessions by UID of the subscription.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<String, Session>>);

// === impl Session ===

impl Session {
    /// Whether anything in it is not in the status.
    #[must_use]
    pub(crate) fn is_worth_keeping(&self) -> bool {
        self.tenant_id.is_some()
            || self.inventory.is_some()
            || self.prepared.is_some()
            || self.blind_since.is_some()
            || self.exit_step.is_some()
            || self.outages > 0
            || self.races > 0
            || self.failed_writes > 0
            || self.misfits > 0
            || !self.lost_secrets.is_empty()
    }

    /// What the answers since the record say of what there is.
    pub(crate) fn learn(&mut self, recorded: Option<&Inventory>, inventory: Inventory) {
        self.goes_on_from = digest(recorded);
        self.inventory = Some(inventory);
    }

    /// Looks at what is on record now. Where that is neither what the inventory goes on from nor the inventory itself, this process
    /// looked at the past when it learned it, and it is dropped: a newer record knows more. Says whether it was.
    pub(crate) fn follow(&mut self, recorded: Option<&Inventory>) -> bool {
        if self.inventory.is_none() {
            return false;
        }
        let now = digest(recorded);
        let is_outdated = now != self.goes_on_from && now != digest(self.inventory.as_ref());
        if is_outdated {
            self.inventory = None;
        }
        is_outdated
    }

    /// The tenant is at rest: what was only kept to be faster is dropped. Tokens that are newer than those of the
    /// status are in the index as well.
    pub(crate) fn settle(&mut self) {
        self.tenant_id = None;
        self.inventory = None;
        self.prepared = None;
    }
}

/// A digest for this process alone.
fn digest(inventory: Option<&Inventory>) -> u64 {
    let mut hasher = DefaultHasher::new();
    // It always has a JSON form: it came as one, and becomes one.
    serde_json::to_vec(&inventory).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

// === impl Sessions ===

impl Sessions {
    /// Takes a session out, for the one run of its key.
    #[must_use]
    pub(crate) fn take(&self, uid: &str) -> Session {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid).unwrap_or_default()
    }

    /// Puts a session back. Where many tenants are worked on at once, what is desired is made anew for most of them: it
    /// takes a millisecond, and kept for all it would be most of the memory.
    pub(crate) fn put(&self, uid: &str, mut session: Session) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= PREPARED_SESSIONS {
            session.prepared = None;
        }
        sessions.insert(uid.to_owned(), session);
    }

    /// Forgets the session of a subscription that is gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory(order: &str) -> Inventory {
        Inventory { order: order.to_owned(), ..Inventory::default() }
    }

    #[test]
    fn what_was_learned_goes_with_the_record_that_it_goes_on_from() {
        let (before, learned) = (inventory("recorded"), inventory("learned"));
        let after = |recorded: Option<&Inventory>| {
            let mut session = Session::default();
            session.learn(Some(&before), learned.clone());
            let is_dropped = session.follow(recorded);
            assert_eq!(is_dropped, session.inventory.is_none());
            session.inventory
        };
        assert_eq!(after(Some(&before)), Some(learned.clone()), "nobody wrote since");
        assert_eq!(after(Some(&learned)), Some(learned.clone()), "it was written");
        assert_eq!(after(Some(&inventory("of another"))), None, "a record that is newer");
        assert_eq!(after(None), None);
        let mut session = Session::default();
        session.learn(None, learned.clone());
        assert!(!session.follow(None));
        assert_eq!(session.inventory, Some(learned), "nothing was on record yet");
    }
}
