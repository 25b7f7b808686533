//! Oracles that compare a run with runs without a fault.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::Finding;
use crate::hall::{NODES, POOLS};
use crate::history::{Record, SUBSCRIPTIONS, Sort, State, TENANT_LABEL};
use crate::mask;
use crate::plan::Workload;
use crate::site::{Place, Verb};
use crate::wire::Exchange;

/// Status writes of a run that is as fast as it can be: one before the first creation, one at the end. A slower run tells
/// of its progress once a second.
const STATUS_WRITES: u32 = 2;
/// A run with a fault may ask so many times as often as one without.
const BUDGET: usize = 3;
/// Requests that a restart costs whatever the run is about.
const ALLOWANCE: usize = 20;

/// What a run without a fault is like.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reference {
    /// Writes that are part of what the tenant needs.
    pub sites: BTreeSet<Place>,
    /// What the tenant has at the end.
    pub end: BTreeMap<String, Value>,
    /// How often each object was made and deleted.
    pub counts: BTreeMap<String, [usize; 2]>,
    /// Requests about the tenant.
    pub requests: usize,
    /// Reads of single objects, and of those in the tenant's namespace; how many there are depends on how events fall together.
    pub reads: BTreeSet<Place>,
    /// Watches that tell of the tenant, at their first event.
    pub watches: BTreeSet<Place>,
}

// === impl Reference ===

impl Reference {
    /// Of a run.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        let tells_of_runs = record.exchanges.iter().any(|exchange| exchange.place.site.is_milestone());
        let sites = record.exchanges.iter().filter(|exchange| {
            let site = &exchange.place.site;
            (exchange.tenant.as_ref() == Some(&record.tenant) || site.is_of_servers())
                && exchange.is_effect()
                && site.is_essential()
                && is_steady(&exchange.place, tells_of_runs)
        });
        Self {
            sites: sites.map(|exchange| exchange.place.clone()).collect(),
            end: mask::end_state(record),
            counts: counts(record),
            requests: requests(record),
            reads: firsts(
                record.exchanges.iter().filter(|exchange| is_read(record, exchange)).map(|e| &e.place),
            ),
            watches: firsts(record.events.iter()),
        }
    }

    /// In what another run without a fault differs: nothing may.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let one_sided = self.sites.symmetric_difference(&other.sites);
        let mut found: Vec<String> =
            one_sided.map(|site| format!("only one of two runs has {site}")).collect();
        found.extend(differing_ends(&self.end, &other.end));
        found.extend(differing_counts(&self.counts, &other.counts));
        found
    }
}

/// Whether every run makes this write. How many statuses there are while runs are under way depends on how long those take:
/// only the first that tells of each step is in every run.
fn is_steady(place: &Place, tells_of_runs: bool) -> bool {
    match (place.site.is_status(), place.site.is_milestone()) {
        (true, true) => place.occurrence == 1,
        (true, false) => !tells_of_runs && place.occurrence <= STATUS_WRITES,
        (false, _) => true,
    }
}

/// Whether it asks for one object of the tenant, or for those in its namespace.
fn is_read(record: &Record, exchange: &Exchange) -> bool {
    let site = &exchange.place.site;
    let reads = site.verb == Verb::Get || (site.verb == Verb::List && !site.namespace.is_empty());
    exchange.tenant.as_ref() == Some(&record.tenant) && reads
}

fn firsts<'a>(places: impl Iterator<Item = &'a Place>) -> BTreeSet<Place> {
    places.map(|place| Place { occurrence: 1, ..place.clone() }).collect()
}

/// O3 and O11: the run came to its end, and no controller ended by itself.
#[must_use]
pub fn convergence(record: &Record) -> Vec<Finding> {
    let trouble = record.trouble.iter().map(|trouble| Finding::new("O3", trouble.clone()));
    let ended = record
        .unasked_end
        .iter()
        .map(|how| Finding::new("O11", format!("the controller ended unasked: {how}")));
    trouble.chain(ended).collect()
}

/// O1: the tenant has at the end what it has without a fault.
#[must_use]
pub fn end_state(record: &Record, reference: &Reference) -> Vec<Finding> {
    let end = mask::end_state(record);
    differing_ends(&end, &reference.end).into_iter().map(|what| Finding::new("O1", what)).collect()
}

/// O2: every object is made and deleted as often as without a fault.
#[must_use]
pub fn made_and_deleted(record: &Record, reference: &Reference) -> Vec<Finding> {
    let found = differing_counts(&counts(record), &reference.counts);
    found.into_iter().map(|what| Finding::new("O2", what)).collect()
}

/// O7: nothing of the tenant is left, of whatever kind.
#[must_use]
pub fn nothing_is_left(record: &Record) -> Vec<Finding> {
    let ids = record.tenant_ids();
    let is_left = |object: &Value| {
        let label = object.pointer(TENANT_LABEL).and_then(Value::as_str);
        label.is_some_and(|label| ids.iter().any(|id| id == label))
    };
    let after = record.after();
    let left = after.iter().filter(|(key, object)| record.concerns(key) || is_left(object));
    left.map(|(key, _)| Finding::new("O7", format!("{key} is left"))).collect()
}

/// F17: what is there now stays what and as it is, whatever the past says. Applying what is there already is harmless, and
/// a status may tell of the past for a while: two watches that lag differently look like objects of another tenant.
#[must_use]
pub fn nothing_changed(record: &Record) -> Vec<Finding> {
    let made_or_ended =
        record.changes.iter().filter(|change| record.concerns(&change.key) && change.sort != Sort::Changed);
    let mut found: BTreeSet<Finding> = made_or_ended
        .map(|change| Finding::new("F17", format!("{} came or went because of the past", change.key)))
        .collect();
    let before = Record { changes: Vec::new(), ..record.clone() };
    let differing = differing_ends(&mask::end_state(record), &mask::end_state(&before));
    found.extend(differing.into_iter().map(|what| Finding::new("F17", what)));
    found.into_iter().collect()
}

/// O6: a request that arrives when a successor has finished changes nothing any more. What others write in their
/// statuses does not count: a refused creation is charged to the quota for a moment.
#[must_use]
pub fn late_is_harmless(record: &Record) -> Vec<Finding> {
    let Some(at) = record.let_through else { return Vec::new() };
    let ids = record.tenant_ids();
    let mut known = record.before.clone();
    let mut found = BTreeSet::new();
    for change in &record.changes {
        let before = known.insert(change.key.clone(), Arc::clone(&change.object));
        // Of what nobody but the controller writes the status counts.
        let is_pool = change.key.resource == POOLS;
        let masked = |object: &Value| match is_pool {
            true => object["status"].clone(),
            false => mask::masked(&change.key, object, record, &ids),
        };
        let is_other = change.sort != Sort::Changed
            || before.is_none_or(|before| masked(&before) != masked(&change.object));
        let is_about = record.concerns(&change.key) || is_pool || change.key.resource == NODES;
        if change.revision > at && is_about && is_other {
            let what = format!("{} changed because of a late request", change.key);
            found.insert(Finding::new("O6", what));
        }
    }
    found.into_iter().collect()
}

/// O5f: whoever says that the work is done has at that moment what it has at the end.
#[must_use]
pub fn done_is_done(record: &Record, workload: Workload, reference: &Reference) -> Vec<Finding> {
    if workload.ends() {
        return Vec::new();
    }
    let mut told: Option<State> = None;
    record.replay(|change, state| {
        if told.is_none() && record.concerns(&change.key) && workload.is_done(state, &record.tenant) {
            told = Some(state.clone());
        }
    });
    let Some(state) = told else { return Vec::new() };
    let then = mask::end_state(&Record { before: state, changes: Vec::new(), ..record.clone() });
    let without_status = |of: &BTreeMap<String, Value>| -> BTreeMap<String, Value> {
        let others = of.iter().filter(|(name, _)| !name.starts_with(SUBSCRIPTIONS));
        others.map(|(name, object)| (name.clone(), object.clone())).collect()
    };
    let found = differing_ends(&without_status(&then), &without_status(&reference.end));
    found.into_iter().map(|what| Finding::new("O5f", format!("done too early: {what}"))).collect()
}

/// O9: no more requests than a few times those of a run without a fault.
#[must_use]
pub fn budget(record: &Record, reference: &Reference) -> Vec<Finding> {
    let (asked, allowed) = (requests(record), BUDGET * reference.requests + ALLOWANCE);
    let what = format!("{asked} requests about the tenant, at most {allowed} are allowed");
    (asked > allowed).then(|| Finding::new("O9", what)).into_iter().collect()
}

fn requests(record: &Record) -> usize {
    record.exchanges.iter().filter(|exchange| exchange.tenant.as_ref() == Some(&record.tenant)).count()
}

/// How often each object of the tenant was made and deleted.
fn counts(record: &Record) -> BTreeMap<String, [usize; 2]> {
    let ids = record.tenant_ids();
    let mut counts: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    for change in &record.changes {
        let label = change.object.pointer(TENANT_LABEL).and_then(Value::as_str);
        if !label.is_some_and(|label| ids.iter().any(|id| id == label)) {
            continue;
        }
        let name = mask::text(&change.key.to_string(), record, &ids);
        let [made, deleted] = counts.entry(name).or_default();
        match change.sort {
            Sort::Created => *made += 1,
            Sort::Deleted => *deleted += 1,
            Sort::Changed => {}
        }
    }
    counts.retain(|_, count| *count != [0, 0]);
    counts
}

fn differing_ends(one: &BTreeMap<String, Value>, other: &BTreeMap<String, Value>) -> Vec<String> {
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let null = Value::Null;
    let difference = |name: &String| {
        let (first, second) = (one.get(name).unwrap_or(&null), other.get(name).unwrap_or(&null));
        mask::difference(first, second).map(|what| format!("{name}: {}", shortened(&what)))
    };
    names.into_iter().filter_map(difference).collect()
}

fn differing_counts(one: &BTreeMap<String, [usize; 2]>, other: &BTreeMap<String, [usize; 2]>) -> Vec<String> {
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let count = |of: &BTreeMap<String, [usize; 2]>, name: &String| of.get(name).copied().unwrap_or_default();
    let difference = |name: &String| {
        let ([made, deleted], [made_else, deleted_else]) = (count(one, name), count(other, name));
        ((made, deleted) != (made_else, deleted_else)).then(|| {
            format!("{name} was made {made} and deleted {deleted} times, without a fault {made_else} and {deleted_else}")
        })
    };
    names.into_iter().filter_map(difference).collect()
}

/// The whole of an object says no more than its beginning.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 160;
    match text.get(..text.floor_char_boundary(LONGEST)) {
        Some(start) if start.len() < text.len() => format!("{start} ..."),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::history::Key;
    use crate::oracle::testing::{Story, exchange};

    fn story() -> Story {
        let create = exchange("create configmaps tenant-{name}/settings #1", None, 201);
        Story::of("acme")
            .subscription("s1", &[("v1/ConfigMap", "settings", "Live", "u1")], true)
            .asked(create)
            .created("configmaps", "settings", "u1")
    }

    fn subscription() -> Key {
        Key::new(SUBSCRIPTIONS, "", "acme")
    }

    fn first(story: &Story) -> Value {
        story.clone().record().before.get(&subscription()).map(|object| (**object).clone()).unwrap()
    }

    #[test]
    fn a_run_that_does_not_end_or_a_controller_that_does_is_found() {
        assert_eq!(convergence(&story().record()), []);
        let stuck = Record { trouble: Some("it waits".to_owned()), ..story().record() };
        let ended = Record { unasked_end: Some("signal 6".to_owned()), ..story().record() };
        assert_eq!([convergence(&stuck)[0].oracle, convergence(&ended)[0].oracle], ["O3", "O11"]);
    }

    #[test]
    fn another_end_is_found() {
        let reference = Reference::of(&story().record());
        assert_eq!(end_state(&story().record(), &reference), []);
        assert_eq!(end_state(&story().created("configmaps", "extra", "u2").record(), &reference).len(), 1);
        assert_eq!(end_state(&story().deleted("configmaps", "settings").record(), &reference).len(), 1);
        assert_eq!(
            end_state(&story().content("configmaps", "settings", "other").record(), &reference).len(),
            1
        );
    }

    #[test]
    fn making_twice_is_found_even_if_the_end_is_the_same() {
        let reference = Reference::of(&story().record());
        let twice =
            story().deleted("configmaps", "settings").created("configmaps", "settings", "u9").record();
        assert_eq!(end_state(&twice, &reference), []);
        assert_eq!(made_and_deleted(&twice, &reference).len(), 1);
        assert_eq!(made_and_deleted(&story().record(), &reference), []);
    }

    #[test]
    fn what_is_left_is_found() {
        let gone = story().deleted("configmaps", "settings").ended().record();
        assert_eq!(nothing_is_left(&gone), []);
        assert_eq!(nothing_is_left(&story().ended().record()).len(), 1);
        let elsewhere = story().deleted("configmaps", "settings").ended();
        assert_eq!(nothing_is_left(&elsewhere.placed("clusterroles", "", "leak", "u3").record()).len(), 1);
    }

    #[test]
    fn a_touch_because_of_the_past_is_found() {
        let quiet = Story::of("acme");
        assert_eq!(nothing_changed(&quiet.clone().record()), []);
        let told =
            quiet.clone().subscription("s1", &[], false).with(Sort::Changed, subscription(), first(&quiet));
        assert_eq!(nothing_changed(&told.record()), [], "a status that is as it was");
        assert_eq!(nothing_changed(&quiet.clone().subscription("s1", &[], false).record()).len(), 1);
        let there = quiet.clone().created("configmaps", "a", "u").record();
        let applied = Story::from(Record { before: there.after(), ..quiet.clone().record() });
        assert_eq!(nothing_changed(&applied.clone().content("configmaps", "a", "other").record()).len(), 1);
        let repaired = quiet.clone().created("configmaps", "a", "u").deleted("configmaps", "a");
        assert_eq!(nothing_changed(&repaired.record()).len(), 1);
        assert_eq!(nothing_changed(&quiet.ended().record()).len(), 2, "it went, and the end is another");
    }

    #[test]
    fn a_late_request_that_changes_something_is_found() {
        let record = Record { let_through: Some(100), ..story().record() };
        assert_eq!(record.changes.iter().map(|change| change.revision).collect::<Vec<_>>(), [100, 101]);
        assert_eq!(late_is_harmless(&record).len(), 1, "the object is newer");
        assert_eq!(late_is_harmless(&Record { let_through: Some(101), ..record.clone() }), []);
        assert_eq!(late_is_harmless(&Record { let_through: None, ..record.clone() }), []);
        assert_eq!(late_is_harmless(&Record { tenant: "bolt".to_owned(), ..record }), []);
        let touched = |content| {
            let story =
                story().content("configmaps", "settings", "a").content("configmaps", "settings", content);
            Record { let_through: Some(102), ..story.record() }
        };
        assert_eq!([late_is_harmless(&touched("a")).len(), late_is_harmless(&touched("b")).len()], [0, 1]);
    }

    #[test]
    fn who_says_done_before_all_is_there_is_found() {
        let live = |story: Story| {
            let condition = |type_| json!({"type": type_, "status": "True", "observedGeneration": 1});
            let mut object = first(&story);
            object["status"]["accepted"] = json!({"version": "probe-1.0.0-abc"});
            object["status"]["conditions"] = json!([condition("Ready"), condition("Live")]);
            story.with(Sort::Changed, subscription(), object)
        };
        let honest = live(story()).record();
        let reference = Reference::of(&honest);
        assert_eq!(done_is_done(&honest, Workload::Provision, &reference), []);
        let early = live(Story::of("acme")).created("configmaps", "settings", "u1").record();
        assert_eq!(done_is_done(&early, Workload::Provision, &reference).len(), 1);
        assert_eq!(done_is_done(&early, Workload::OffboardDelete, &reference), [], "an end says nothing");
        assert_eq!(done_is_done(&story().record(), Workload::Provision, &reference), [], "it was never said");
    }

    #[test]
    fn too_many_requests_are_found() {
        let reference = Reference::of(&story().record());
        let read = || exchange("get configmaps tenant-{name}/settings #1", None, 200);
        let asked = |times| (0..times).fold(story(), |story, _| story.asked(read())).record();
        assert_eq!(budget(&asked(BUDGET + ALLOWANCE - 1), &reference), []);
        assert_eq!(budget(&asked(BUDGET + ALLOWANCE), &reference).len(), 1);
    }

    #[test]
    fn runs_that_differ_are_told_apart_but_for_the_cadence_of_the_status() {
        let status = |n: u32| {
            exchange(&format!("patch tenantsubscriptions.tenantry.io/status {{name}} #{n}"), Some("s1"), 200)
        };
        let reference = Reference::of(&story().asked(status(1)).asked(status(2)).record());
        let slower = Reference::of(&story().asked(status(1)).asked(status(2)).asked(status(3)).record());
        assert_eq!(reference.differences(&slower), Vec::<String>::new());
        let other = Reference::of(&story().asked(status(1)).record());
        assert_eq!(reference.differences(&other).len(), 1);
    }
}
