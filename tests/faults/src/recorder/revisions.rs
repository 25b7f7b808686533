//! Which revisions of the store are known; pure.
//!
//! Every change of an object is one revision, so whoever follows all kinds and has seen every number up to one has seen every
//! change up to it, and need not ask what there is.

use std::collections::BTreeSet;

/// The revisions that were seen.
#[derive(Debug, Default)]
pub(super) struct Revisions {
    /// Nothing up to here is missing; nothing is known where a watch was interrupted since that was last sure.
    sure: Option<u64>,
    /// Those that were seen beyond.
    seen: BTreeSet<u64>,
}

// === impl Revisions ===

impl Revisions {
    /// The change that made this revision was seen.
    pub(super) fn saw(&mut self, revision: u64) {
        self.seen.insert(revision);
        self.advance();
    }

    /// Nothing up to here is missing, as lists of all kinds show.
    pub(super) fn verified(&mut self, revision: u64) {
        self.sure = self.sure.max(Some(revision));
        self.seen.retain(|seen| Some(*seen) > self.sure);
        self.advance();
    }

    /// Something may be missing.
    pub(super) fn doubt(&mut self) {
        *self = Self::default();
    }

    /// Whether anything is sure.
    pub(super) fn is_sure(&self) -> bool {
        self.sure.is_some()
    }

    /// Whether nothing up to here is missing.
    pub(super) fn have_reached(&self, revision: u64) -> bool {
        self.sure.is_some_and(|sure| sure >= revision)
    }

    fn advance(&mut self) {
        while let Some(sure) = self.sure.filter(|sure| self.seen.remove(&(sure + 1))) {
            self.sure = Some(sure + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(revisions: &[u64]) -> Revisions {
        let mut all = Revisions::default();
        revisions.iter().for_each(|revision| all.saw(*revision));
        all
    }

    #[test]
    fn nothing_is_sure_before_it_was_verified() {
        let mut revisions = seen(&[1, 2, 3]);
        assert!(!revisions.is_sure() && !revisions.have_reached(1));
        revisions.verified(2);
        assert!(revisions.have_reached(3) && !revisions.have_reached(4));
    }

    #[test]
    fn a_revision_that_was_not_seen_stops_at_it_whatever_comes_after() {
        let mut revisions = seen(&[]);
        revisions.verified(10);
        for revision in [13, 12, 15] {
            revisions.saw(revision);
            assert!(!revisions.have_reached(11), "{revision}");
        }
        revisions.saw(11);
        assert!(revisions.have_reached(13) && !revisions.have_reached(14));
        revisions.verified(14);
        assert!(revisions.have_reached(15) && !revisions.have_reached(16));
    }

    #[test]
    fn after_a_doubt_it_is_verified_anew_and_an_older_list_takes_nothing_back() {
        let mut revisions = seen(&[]);
        revisions.verified(10);
        revisions.verified(8);
        assert!(revisions.have_reached(10));
        revisions.saw(12);
        revisions.doubt();
        revisions.saw(13);
        assert!(!revisions.is_sure());
        revisions.verified(11);
        assert!(!revisions.have_reached(12), "12 was before the doubt");
    }
}
