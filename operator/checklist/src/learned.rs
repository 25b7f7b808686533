//! How long items really take, by what the journal has of similar orders; pure.
//!
//! Orders are similar when they are for the same version of the same application under the same plan. Twenty of them teach
//! more than an estimate in a blueprint; the latest two hundred count, so that what was long ago does not.

use crate::forecast::Estimate;
use crate::revision::name_of;
use serde::Serialize;
use std::collections::{HashMap, VecDeque};
use tenantry_crds::subscription::AcceptedRevisions;

/// Orders that it takes to teach something.
pub const ENOUGH: usize = 20;
/// Orders that count at most.
pub const MOST: usize = 200;

/// Which orders are similar.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Similar {
    /// Name of the application.
    pub application: String,
    /// Name of its version.
    pub version: String,
    /// Name of the plan.
    pub plan: String,
}

/// How long an item takes in similar orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usual {
    /// In one of two at most.
    pub typical: Estimate,
    /// In nine of ten at most.
    pub nine_of_ten: Estimate,
}

/// Everything that is learned.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    items: HashMap<Similar, HashMap<String, Samples>>,
}

/// The latest samples of one item, and what they say.
#[derive(Clone, Debug, Default)]
struct Samples {
    latest: VecDeque<Estimate>,
    usual: Option<Usual>,
}

// === impl Similar ===

impl Similar {
    /// By the revisions that an order runs on.
    #[must_use]
    pub fn of(accepted: &AcceptedRevisions) -> Self {
        let AcceptedRevisions { plan, application, version, blueprint: _, price_list: _ } = accepted;
        let name = |revision: &str| name_of(revision).to_owned();
        Self { application: name(application), version: name(version), plan: name(plan) }
    }
}

// === impl Learned ===

impl Learned {
    /// Takes in how long an item took, the latest last.
    pub fn add(&mut self, similar: &Similar, item: &str, took: Estimate) {
        if !self.items.contains_key(similar) {
            self.items.insert(similar.clone(), HashMap::new());
        }
        if let Some(items) = self.items.get_mut(similar) {
            items.entry(item.to_owned()).or_default().add(took);
        }
    }

    /// What similar orders say of an item, once there are enough of them.
    #[must_use]
    pub fn usual(&self, similar: &Similar, item: &str) -> Option<Usual> {
        self.items.get(similar)?.get(item)?.usual
    }
}

// === impl Samples ===

impl Samples {
    fn add(&mut self, took: Estimate) {
        if self.latest.len() == MOST {
            self.latest.pop_front();
        }
        self.latest.push_back(took);
        if self.latest.len() >= ENOUGH {
            let at = |percent: usize| Estimate {
                machine: percentile(self.latest.iter().map(|took| took.machine), percent),
                people: percentile(self.latest.iter().map(|took| took.people), percent),
            };
            self.usual = Some(Usual { typical: at(50), nine_of_ten: at(90) });
        }
    }
}

/// The smallest value that so many percent of all do not exceed (nearest rank); nothing of none.
pub fn percentile<T: Ord + Copy + Default>(values: impl IntoIterator<Item = T>, percent: usize) -> T {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_unstable();
    let rank = (values.len() * percent).div_ceil(100);
    values.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn took(machine: i64, people: i64) -> Estimate {
        Estimate::of_seconds(machine, people)
    }

    #[test]
    fn twenty_similar_orders_teach_and_others_do_not() {
        let erp = Similar { application: "erp".into(), version: "erp-4".into(), plan: "gold".into() };
        let silver = Similar { plan: "silver".into(), ..erp.clone() };
        let mut learned = Learned::default();
        for seconds in 1..20 {
            learned.add(&erp, "network", took(seconds, 0));
            assert_eq!(learned.usual(&erp, "network"), None, "{seconds} are not enough");
        }
        learned.add(&silver, "network", took(99, 0));
        learned.add(&erp, "application", took(99, 0));
        assert_eq!(learned.usual(&erp, "network"), None);
        learned.add(&erp, "network", took(20, 60));
        let usual = learned.usual(&erp, "network").unwrap();
        assert_eq!(usual, Usual { typical: took(10, 0), nine_of_ten: took(18, 0) });
        assert_eq!(learned.usual(&silver, "network"), None);
    }

    #[test]
    fn what_was_long_ago_does_not_count() {
        let mut learned = Learned::default();
        let similar = Similar::default();
        (0..MOST).for_each(|_| learned.add(&similar, "a", took(100, 100)));
        (0..MOST).for_each(|_| learned.add(&similar, "a", took(1, 2)));
        let usual = learned.usual(&similar, "a").unwrap();
        assert_eq!(usual, Usual { typical: took(1, 2), nine_of_ten: took(1, 2) });
    }

    proptest! {
        #[test]
        fn a_percentile_is_the_smallest_that_so_many_do_not_exceed(values in prop::collection::vec(0_u32..50, 1..60), percent in 1_usize..=100) {
            let found = percentile(values.iter().copied(), percent);
            let within = |limit: u32| values.iter().filter(|value| **value <= limit).count() * 100;
            prop_assert!(within(found) >= values.len() * percent);
            prop_assert!(found == 0 || within(found - 1) < values.len() * percent || !values.contains(&found));
            prop_assert!(values.contains(&found));
        }
    }
}
