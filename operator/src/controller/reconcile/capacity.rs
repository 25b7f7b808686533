//! What bounds a tenant while objects of one plan take the place of another's; no client, no clock.
//!
//! As long as objects of a plan that was left may stand, limits, quota and namespace have room for both, and that before anything
//! else is written. When all else is as it shall be they get what the present plan says. What was narrowed stays so.

use super::prepare::Prepared;
use tenantry_apply::object::{Desired, Policy};
use tenantry_apply::record::Ledger;

/// Gives what bounds the tenant room for what may still stand, where it was not taken away yet. What does not exist needs none.
pub(super) fn widen(prepared: &Prepared, ledger: &Ledger, desired: &mut [Desired]) {
    for (object, own, room) in bounds(prepared, desired) {
        *object = if is_narrow(own, ledger) { own.clone() } else { room.clone() };
    }
}

/// Takes the room away. Gives whether that changes anything.
pub(super) fn narrow(prepared: &Prepared, desired: &mut [Desired]) -> bool {
    let mut changes = false;
    for (object, own, _) in bounds(prepared, desired) {
        changes |= object.digest != own.digest;
        *object = own.clone();
    }
    changes
}

/// Whether everything that exists was written as it shall be. What waits for somebody may still be as the other plan had it.
pub(super) fn is_all_written(desired: &[Desired], ledger: &Ledger) -> bool {
    desired.iter().filter(|object| object.policy == Policy::Manage).all(|object| {
        let entry = ledger.entry(&object.id).filter(|entry| entry.uid.is_some());
        entry.is_none_or(|entry| entry.digest.as_deref() == Some(&*object.digest))
    })
}

/// The objects that have room for another plan: each as it stands in a list, by the present plan alone, and with the room.
fn bounds<'d>(
    prepared: &'d Prepared,
    desired: &'d mut [Desired],
) -> impl Iterator<Item = (&'d mut Desired, &'d Desired, &'d Desired)> {
    desired.iter_mut().filter_map(|object| {
        let room = prepared.roomy.iter().find(|room| room.id == object.id)?;
        let own = prepared.desired.iter().find(|own| own.id == object.id)?;
        Some((object, own, room))
    })
}

fn is_narrow(own: &Desired, ledger: &Ledger) -> bool {
    let entry = ledger.entry(&own.id).filter(|entry| entry.uid.is_some());
    entry.is_none_or(|entry| entry.digest.as_deref() == Some(&*own.digest))
}
