//! What bounds a tenant while objects of one plan take the place of another's; no client, no clock.
//!
//! As long as objects of a plan that was left may stand, limits, quota and namespace have room for both, and that before anything
//! else is written. When all else is as it shall be they get what the present plan says. What was narrowed stays so.

use super::prepare::Prepared;
use tenantry_apply::object::Desired;
use tenantry_apply::record::Ledger;

/// What bounds a tenant, among everything that shall exist by the present plan alone, and the same with room for another one.
#[derive(Clone, Copy)]
pub(super) struct Bounds<'a> {
    own: &'a [Desired],
    roomy: &'a [Desired],
}

// === impl Bounds ===

impl<'a> Bounds<'a> {
    pub(super) fn of(prepared: &'a Prepared) -> Self {
        Self { own: &prepared.desired, roomy: &prepared.roomy }
    }

    /// Gives what bounds the tenant room for what may still stand, where it was not taken away yet. What does not exist needs
    /// none.
    pub(super) fn widen(self, ledger: &Ledger, desired: &mut [Desired]) {
        for (object, own, room) in self.each(desired) {
            *object = if is_written(own, ledger) { own.clone() } else { room.clone() };
        }
    }

    /// Takes the room away. Gives whether that changes anything.
    pub(super) fn narrow(self, desired: &mut [Desired]) -> bool {
        let mut changes = false;
        for (object, own, _) in self.each(desired) {
            changes |= object.digest != own.digest;
            *object = own.clone();
        }
        changes
    }

    /// The objects that have room for another plan: each as it stands in a list, by the present plan alone, and with the room.
    fn each<'d>(
        self,
        desired: &'d mut [Desired],
    ) -> impl Iterator<Item = (&'d mut Desired, &'a Desired, &'a Desired)> {
        desired.iter_mut().filter_map(move |object| {
            let room = self.roomy.iter().find(|room| room.id == object.id)?;
            let own = self.own.iter().find(|own| own.id == object.id)?;
            Some((object, own, room))
        })
    }
}

/// Whether everything that exists was written as it shall be. What waits for somebody may still be as the other plan had it.
pub(super) fn is_all_written(desired: &[Desired], ledger: &Ledger) -> bool {
    desired.iter().filter(|object| object.is_managed()).all(|object| is_written(object, ledger))
}

fn is_written(object: &Desired, ledger: &Ledger) -> bool {
    let entry = ledger.entry(&object.id).filter(|entry| entry.uid.is_some());
    entry.is_none_or(|entry| entry.digest.as_deref() == Some(&*object.digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tenantry_apply::object::{Owner, Stage};
    use tenantry_apply::token::Baseline;

    fn object(kind: &str, stage: Stage, size: i64) -> Desired {
        let owner =
            Owner { tenant_id: "t".into(), subscription: "acme".into(), namespace: "tenant-acme".into() };
        let body =
            json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}, "spec": {"size": size}});
        Desired::new(&owner, "security", stage, true, body).unwrap()
    }

    fn quota(size: i64) -> Desired {
        object("ResourceQuota", Stage::Quota, size)
    }

    /// With room it is written before everything else.
    fn room(size: i64) -> Desired {
        object("ResourceQuota", Stage::Foundation, size)
    }

    fn web(size: i64) -> Desired {
        object("Service", Stage::Ordinary, size)
    }

    /// A record of what exists, as it was written last.
    fn written(objects: &[Desired]) -> Ledger {
        let mut ledger = Ledger::default();
        for object in objects {
            ledger.add(object);
            ledger.live(&object.id, &object.item, "u", &object.digest, &Baseline::default());
        }
        ledger
    }

    fn is(object: &Desired, expected: &Desired) -> bool {
        (&object.digest, object.stage) == (&expected.digest, expected.stage)
    }

    #[test]
    fn room_is_given_first_and_taken_away_when_nothing_is_as_the_other_plan_had_it() {
        // What bounds the tenant before, by the present plan, and what has room for both: more, less, and some of each.
        for (before, after, both) in [(2, 4, 4), (4, 2, 4), (2, 4, 6)] {
            let (own, roomy) = ([quota(after), web(after)], [room(both)]);
            let bounds = Bounds { own: &own, roomy: &roomy };
            let mut desired = own.to_vec();
            bounds.widen(&written(&[quota(before), web(before)]), &mut desired);
            assert!(is(&desired[0], &room(both)) && is(&desired[1], &web(after)), "{before} {after}");
            let ledger = written(&[room(both), web(before)]);
            assert!(!is_all_written(&desired, &ledger), "the service is as it was");
            assert!(is_all_written(&desired, &written(&[room(both), web(after)])));
            assert_eq!(bounds.narrow(&mut desired), both != after);
            assert!(is(&desired[0], &quota(after)));
            // The same from the start, as after a crash: what was narrowed stays so.
            bounds.widen(&written(&[quota(after), web(after)]), &mut desired);
            assert!(is(&desired[0], &quota(after)));
        }
    }

    #[test]
    fn what_does_not_exist_needs_no_room() {
        let (own, roomy) = ([quota(2), web(2)], [room(4)]);
        let bounds = Bounds { own: &own, roomy: &roomy };
        let mut recorded = Ledger::default();
        recorded.add(&own[0]);
        for ledger in [Ledger::default(), recorded] {
            let mut desired = own.to_vec();
            bounds.widen(&ledger, &mut desired);
            assert!(is(&desired[0], &own[0]));
            assert!(is_all_written(&desired, &ledger));
            assert!(!bounds.narrow(&mut desired));
        }
        let mut desired = own.to_vec();
        Bounds { own: &own, roomy: &[] }.widen(&written(&[quota(4)]), &mut desired);
        assert!(is(&desired[0], &own[0]), "no other plan is left");
    }
}
