//! When something is looked at again that others bring about: less and less often, until it is as it shall be. Needs a clock.

use crate::controller::patience::doubled;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tokio::time::Instant;

/// First and longest wait before something is looked at again.
pub(super) const LOOK_AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(300)];

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    /// A node that does not carry what it has to yet.
    Node(String),
    /// What is on the own servers of a tenant.
    Own {
        /// Name of the pool.
        pool: String,
        /// Identity of the tenant.
        tenant: String,
    },
    /// What is left of a tenant whose subscription nobody knows any more.
    Left {
        /// Name of the pool.
        pool: String,
        /// Identity of the tenant.
        tenant: String,
    },
    /// An object that makes a node. By another template, or on its way out, it is another one.
    Made {
        /// Name of the pool.
        pool: String,
        /// Name of the object.
        object: String,
        /// Generation of the pool.
        generation: i64,
        /// Whether it is given back.
        removing: bool,
    },
}

/// When what is looked at again, and how often it was.
#[derive(Debug, Default)]
pub(super) struct Looks(HashMap<Subject, (Instant, u32)>);

// === impl Looks ===

impl Looks {
    /// Whether something may be looked at now; else when.
    pub(super) fn is_due(&self, what: &Subject, next: &mut Option<Instant>) -> bool {
        match self.0.get(what) {
            Some((at, _)) if *at > Instant::now() => {
                sooner(next, *at);
                false
            }
            _ => true,
        }
    }

    /// It was looked at and has to be looked at again.
    pub(super) fn again(&mut self, what: Subject, next: &mut Option<Instant>) {
        let (at, looks) = self.0.entry(what).or_insert_with(|| (Instant::now(), 0));
        *at = Instant::now() + doubled(LOOK_AGAIN, *looks);
        *looks = looks.saturating_add(1);
        sooner(next, *at);
    }

    /// It is as it shall be.
    pub(super) fn forget(&mut self, what: &Subject) {
        self.0.remove(what);
    }

    /// Of the own servers in a pool only those of these tenants are looked at any more.
    pub(super) fn keep_own(&mut self, name: &str, tenants: &BTreeSet<String>) {
        self.0.retain(|what, _| match what {
            Subject::Own { pool, tenant } => pool != name || tenants.contains(tenant),
            _ => true,
        });
    }

    /// Of the objects of a pool only these are looked at any more.
    pub(super) fn keep_made(&mut self, name: &str, made: &[Subject]) {
        self.0.retain(|what, _| match what {
            Subject::Made { pool, .. } => pool != name || made.contains(what),
            _ => true,
        });
    }
}

fn sooner(next: &mut Option<Instant>, at: Instant) {
    *next = Some(next.map_or(at, |earlier| earlier.min(at)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(tenant: &str) -> Subject {
        Subject::Own { pool: "hall".to_owned(), tenant: tenant.to_owned() }
    }

    fn made(generation: i64) -> Subject {
        Subject::Made { pool: "hall".to_owned(), object: "hall-1".to_owned(), generation, removing: false }
    }

    fn is_due(looks: &Looks, what: &Subject) -> bool {
        looks.is_due(what, &mut None)
    }

    /// So often that nobody looks again for minutes.
    fn looked_at(all: &[Subject]) -> Looks {
        let mut looks = Looks::default();
        for what in all {
            (0..16).for_each(|_| looks.again(what.clone(), &mut None));
        }
        looks
    }

    #[test]
    fn it_takes_longer_every_time_and_what_comes_first_is_next() {
        let mut looks = looked_at(&[own("t1")]);
        let (begin, mut next) = (Instant::now(), None);
        assert!(!looks.is_due(&own("t1"), &mut next));
        assert!(next.unwrap() > begin + LOOK_AGAIN[1] / 2);
        looks.again(own("t2"), &mut next);
        assert!(next.unwrap() < begin + LOOK_AGAIN[1] / 2, "the other one is looked at before");
        looks.forget(&own("t1"));
        assert!(is_due(&looks, &own("t1")));
    }

    #[test]
    fn what_is_looked_at_no_more_takes_nothing_else_along() {
        let node = Subject::Node("n0".to_owned());
        let left = Subject::Left { pool: "hall".to_owned(), tenant: "t2".to_owned() };
        let mut looks = looked_at(&[own("t1"), own("t2"), made(1), made(2), node.clone(), left.clone()]);
        looks.keep_own("hall", &BTreeSet::from(["t1".to_owned()]));
        assert!(is_due(&looks, &own("t2")));
        assert!([own("t1"), made(1), made(2)].iter().all(|what| !is_due(&looks, what)));
        looks.keep_made("hall", &[made(2)]);
        assert!(is_due(&looks, &made(1)), "by another template it is tried at once");
        assert!([own("t1"), made(2), node, left].iter().all(|what| !is_due(&looks, what)));
        looks.keep_own("other", &BTreeSet::new());
        looks.keep_made("other", &[]);
        assert!([own("t1"), made(2)].iter().all(|what| !is_due(&looks, what)));
    }
}
