//! Which tenants a changed definition moves now; no client or clock.
//!
//! How far a move is can be read off the subscriptions' statuses at any time, so nothing is remembered that a restart
//! would lose. Turns that were given and have not shown in a status yet are kept in memory, so that two tenants woken
//! at the same time do not take the same turn; after a restart such a turn is given again.

use super::content::Key;
use super::store::Store;
use crate::controller::roots::{Maintenance, Root, Roots};
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use tenantry_checklist::pace::{Limits, Pace, Tenant, pace};
use tenantry_checklist::plan::lowers;
use tenantry_checklist::revision::{DefinitionKind, Revision};
use tenantry_checklist::select::{Catalogue, Latest, Moves};
use tenantry_crds::subscription::AcceptedRevisions;

/// Gives out turns.
#[derive(Debug)]
pub(crate) struct Mover {
    limits: Limits,
    given: Mutex<HashMap<Key, Turns>>,
}

/// Turns that were given for the move to one revision.
#[derive(Debug)]
struct Turns {
    revision: Revision,
    names: BTreeSet<String>,
}

impl Turns {
    fn new(revision: Revision) -> Self {
        Self { revision, names: BTreeSet::new() }
    }
}

// === impl Mover ===

impl Mover {
    /// With these bounds, for every definition on its own.
    #[must_use]
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, given: Mutex::default() }
    }

    /// Which definitions may move this tenant now.
    #[must_use]
    pub(crate) fn turns(&self, root: &Root, store: &Store, roots: &Roots, now: Timestamp) -> Moves {
        let Some(accepted) = &root.brief.accepted else { return Moves::default() };
        let may = |kind| self.has_turn(kind, accepted, root, store, roots, now);
        Moves {
            plan: may(DefinitionKind::Plan),
            application: may(DefinitionKind::Application),
            version: may(DefinitionKind::Version),
            blueprint: may(DefinitionKind::Blueprint),
        }
    }

    fn has_turn(
        &self,
        kind: DefinitionKind,
        accepted: &AcceptedRevisions,
        root: &Root,
        store: &Store,
        roots: &Roots,
        now: Timestamp,
    ) -> bool {
        let Some((key, latest)) = pending_move(kind, accepted, store) else { return false };
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let turns = given.entry(key.clone()).or_insert_with(|| Turns::new(latest.clone()));
        if turns.revision != latest {
            *turns = Turns::new(latest.clone());
        }
        let pace = pace(&tenants(&key, &latest, store, roots, &turns.names, now), self.limits);
        let has_turn =
            !pace.stopped && (turns.names.contains(&root.name) || pace.may_move.contains(&root.name));
        if has_turn {
            turns.names.insert(root.name.clone());
        } else {
            turns.names.remove(&root.name);
        }
        has_turn
    }

    /// Tenants that are not on the latest revision, as many as may move at the same time: those to wake when another
    /// one has moved.
    #[must_use]
    pub(crate) fn candidates(&self, key: &Key, store: &Store, roots: &Roots, now: Timestamp) -> Vec<String> {
        let Latest::Accepted { revision, .. } = store.latest(key.kind, &key.name) else { return Vec::new() };
        // Asked with every status that is written, and mostly nobody is behind.
        let latest = revision.to_string();
        let is_behind = |accepted: &AcceptedRevisions| {
            let text = text(key.kind, accepted);
            text != latest && is_of(text, &key.name)
        };
        if !roots.any(|root| root.brief.accepted.as_ref().is_some_and(is_behind)) {
            return Vec::new();
        }
        let tenants = tenants(key, &revision, store, roots, &BTreeSet::new(), now);
        let behind = tenants
            .into_iter()
            .filter(|tenant| !tenant.on_latest && !tenant.held && !tenant.closed)
            .map(|tenant| tenant.name);
        behind.take(self.limits.max_in_flight.max(1)).collect()
    }

    /// How far the move to a revision of a definition is.
    #[must_use]
    pub(crate) fn progress(
        &self,
        key: &Key,
        revision: &Revision,
        store: &Store,
        roots: &Roots,
        now: Timestamp,
    ) -> Pace {
        pace(&tenants(key, revision, store, roots, &BTreeSet::new(), now), self.limits)
    }

    /// When a maintenance window of a tenant opens in which it may move, where some definition that it runs has a later revision;
    /// nothing where it needs none. While one is open already others are let go before it, which wakes it, and this is the next.
    #[must_use]
    pub(crate) fn next_window(
        &self,
        root: &Root,
        accepted: &AcceptedRevisions,
        store: &Store,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let Maintenance::In(windows) = &root.brief.maintenance else { return None };
        let kinds = [
            DefinitionKind::Plan,
            DefinitionKind::Application,
            DefinitionKind::Version,
            DefinitionKind::Blueprint,
        ];
        if !kinds.into_iter().any(|kind| pending_move(kind, accepted, store).is_some()) {
            return None;
        }
        windows.opens(now).filter(|at| *at > now).or_else(|| windows.opens_again(now))
    }

    /// What a revision of a plan takes from tenants that were not told of it, each entitlement once.
    #[must_use]
    pub(crate) fn taken(
        &self,
        key: &Key,
        revision: &Revision,
        store: &Store,
        roots: &Roots,
    ) -> BTreeSet<String> {
        let all = roots.all();
        let texts = all.iter().filter_map(|root| Some(text(key.kind, root.brief.accepted.as_ref()?)));
        // Many tenants run few revisions.
        let texts: BTreeSet<&str> = texts.filter(|text| is_of(text, &key.name)).collect();
        let run: BTreeSet<Revision> = texts.into_iter().filter_map(|text| text.parse().ok()).collect();
        run.iter().flat_map(|old| unannounced(key, old, revision, store)).collect()
    }
}

/// The tenants that run a definition. One that was given a turn counts as on its way.
fn tenants(
    key: &Key,
    latest: &Revision,
    store: &Store,
    roots: &Roots,
    turns: &BTreeSet<String>,
    now: Timestamp,
) -> Vec<Tenant> {
    let mut held: HashMap<Revision, bool> = HashMap::new();
    let mut tenant = |root: &Arc<Root>| {
        let runs = runs(root.brief.accepted.as_ref()?, key)?;
        let moved = runs == *latest;
        let is_held = || !unannounced(key, &runs, latest, store).is_empty();
        Some(Tenant {
            name: root.name.clone(),
            on_latest: moved || turns.contains(&root.name),
            // Who is suspended cannot be ready, and holds nobody up.
            moved_and_ready: moved && (root.brief.ready || root.brief.suspended),
            moved_and_failed: moved && root.brief.stalled,
            closed: !moved && !turns.contains(&root.name) && root.brief.maintenance.is_closed(now),
            held: !moved && *held.entry(runs.clone()).or_insert_with(is_held),
        })
    };
    roots.all().iter().filter_map(&mut tenant).collect()
}

/// What a move from one revision of a plan to another takes, unless its tenants were told.
fn unannounced(key: &Key, old: &Revision, new: &Revision, store: &Store) -> Vec<String> {
    if key.kind != DefinitionKind::Plan || old == new {
        return Vec::new();
    }
    let told = store.live(key).and_then(|live| live.notice);
    if told.as_deref() == Some(&*new.to_string()) {
        return Vec::new();
    }
    match (store.plan(old), store.plan(new)) {
        (Some(old), Some(new)) => lowers(&old, &new),
        _ => Vec::new(),
    }
}

/// The definition of a kind that a tenant runs, when a later revision of it is accepted.
fn pending_move(
    kind: DefinitionKind,
    accepted: &AcceptedRevisions,
    store: &Store,
) -> Option<(Key, Revision)> {
    let current: Revision = text(kind, accepted).parse().ok()?;
    match store.latest(kind, current.name()) {
        Latest::Accepted { revision, .. } if revision != current => {
            Some((Key::new(kind, current.name()), revision))
        }
        _ => None,
    }
}

/// The revision of a definition that a tenant runs, when it runs one.
#[must_use]
pub(crate) fn runs(accepted: &AcceptedRevisions, key: &Key) -> Option<Revision> {
    let text = text(key.kind, accepted);
    if !is_of(text, &key.name) {
        return None;
    }
    text.parse().ok()
}

/// Whether a text names a revision of the definition of this name.
fn is_of(text: &str, name: &str) -> bool {
    text.strip_prefix(name).is_some_and(|digest| digest.starts_with('@'))
}

fn text(kind: DefinitionKind, accepted: &AcceptedRevisions) -> &str {
    match kind {
        DefinitionKind::Plan => &accepted.plan,
        DefinitionKind::Application => &accepted.application,
        DefinitionKind::Version => &accepted.version,
        DefinitionKind::Blueprint => &accepted.blueprint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definitions::content::Content;
    use crate::definitions::store::Live;
    use jiff::SignedDuration;
    use tenantry_crds::common::Lifecycle;
    use tenantry_crds::{DefinitionStatus, ServicePlanSpec};

    /// A Saturday at noon.
    const NOW: Timestamp = Timestamp::constant(1_795_867_200, 0);

    fn plan(tier: &str) -> (Content, Revision) {
        let lifecycle = Lifecycle::Published;
        let spec = ServicePlanSpec { tier: tier.to_owned(), lifecycle, ..ServicePlanSpec::default() };
        let content = Content::Plan(Arc::new(spec));
        let revision = content.revision("gold").unwrap();
        (content, revision)
    }

    /// A store in which the plan `gold` has an old and a latest revision.
    fn store() -> (Store, Revision, Revision) {
        store_of(plan("Old"), plan("New"), None)
    }

    fn store_of(
        (old, old_revision): (Content, Revision),
        (new, new_revision): (Content, Revision),
        notice: Option<String>,
    ) -> (Store, Revision, Revision) {
        let store = Store::default();
        let key = Key::new(DefinitionKind::Plan, "gold");
        store.observe_stored(key.clone(), old_revision.clone(), old, 1);
        store.observe_stored(key.clone(), new_revision.clone(), new.clone(), 2);
        let status =
            DefinitionStatus { accepted: Some(new_revision.to_string()), ..DefinitionStatus::default() };
        store.observe(key, Live { uid: "u".to_owned(), generation: 2, content: Ok(new), notice, status });
        (store, old_revision, new_revision)
    }

    fn set(roots: &Roots, name: &str, rv: u32, revision: &Revision, condition: &str) {
        let text = format!(
            r#"{{"metadata":{{"name":"{name}","uid":"{name}","resourceVersion":"{rv}"}},"status":{{"accepted":{{"plan":
            "{revision}","application":"","version":"","blueprint":""}},"conditions":[{{"type":"{condition}","status":"True"}}]}}}}"#
        );
        roots.observe(Root::from_object(serde_json::from_str(&text).unwrap()).unwrap());
    }

    fn with_turn(mover: &Mover, store: &Store, roots: &Roots) -> Vec<String> {
        let all = roots.all();
        let may = all.iter().filter(|root| mover.turns(root, store, roots, NOW).plan);
        may.map(|root| root.name.clone()).collect()
    }

    #[test]
    fn turns_are_given_a_few_at_a_time_and_stop_at_failures() {
        let (store, old, new) = store();
        let roots = Roots::default();
        for name in ["a", "b", "c", "d"] {
            set(&roots, name, 1, &old, "Ready");
        }
        let mover = Mover::new(Limits { max_in_flight: 2, stop_after_failures: 1 });
        assert_eq!(with_turn(&mover, &store, &roots), ["a", "b"]);
        assert_eq!(
            with_turn(&mover, &store, &roots),
            ["a", "b"],
            "a turn that has not shown is not given again"
        );
        set(&roots, "a", 2, &new, "Ready");
        assert_eq!(with_turn(&mover, &store, &roots), ["b", "c"]);
        set(&roots, "b", 2, &new, "Stalled");
        assert_eq!(with_turn(&mover, &store, &roots), Vec::<String>::new(), "one failure stops the move");
    }

    #[test]
    fn a_plan_that_takes_something_moves_nobody_who_was_not_told() {
        let seats = |seats| {
            let mut spec = ServicePlanSpec { lifecycle: Lifecycle::Published, ..ServicePlanSpec::default() };
            spec.accounts.seats = seats;
            let content = Content::Plan(Arc::new(spec));
            let revision = content.revision("gold").unwrap();
            (content, revision)
        };
        let key = Key::new(DefinitionKind::Plan, "gold");
        let mover = Mover::new(Limits { max_in_flight: 5, stop_after_failures: 1 });
        let roots = Roots::default();
        let (store, old, new) = store_of(seats(100), seats(50), None);
        set(&roots, "a", 1, &old, "Ready");
        assert!(with_turn(&mover, &store, &roots).is_empty());
        assert!(mover.candidates(&key, &store, &roots, NOW).is_empty());
        assert_eq!(
            mover.taken(&key, &new, &store, &roots),
            BTreeSet::from(["accounts.seats from 100 to 50".to_owned()])
        );
        let (store, ..) = store_of(seats(100), seats(50), Some(old.to_string()));
        assert!(with_turn(&mover, &store, &roots).is_empty(), "they were told of another revision");
        let (store, ..) = store_of(seats(100), seats(50), Some(new.to_string()));
        assert_eq!(with_turn(&mover, &store, &roots), ["a"]);
        assert!(mover.taken(&key, &new, &store, &roots).is_empty());
    }

    #[test]
    fn who_is_served_moves_in_a_maintenance_window() {
        let (store, old, _) = store();
        let roots = Roots::default();
        let served = |name: &str, status: &str, schedule: &str| {
            let text = format!(
                r#"{{"metadata":{{"name":"{name}","uid":"{name}","resourceVersion":"1"}},
                "spec":{{"maintenanceWindows":[{{"schedule":"{schedule}","duration":"2h"}}]}},
                "status":{{"accepted":{{"plan":"{old}","application":"","version":"","blueprint":""}}{status}}}}}"#
            );
            roots.observe(Root::from_object(serde_json::from_str(&text).unwrap()).unwrap());
        };
        let live = r#","goLive":{"at":"2026-01-01T00:00:00Z"}"#;
        served("a", live, "0 22 * * *");
        served("b", live, "0 11 * * SAT");
        served("c", "", "0 22 * * *");
        let suspended = format!(r#"{live},"suspension":{{"holds":[]}}"#);
        served("d", &suspended, "0 22 * * *");
        let mover = Mover::new(Limits { max_in_flight: 9, stop_after_failures: 1 });
        assert_eq!(with_turn(&mover, &store, &roots), ["b", "c", "d"], "a waits for its window");
        let root = |name: &str| roots.get(name).unwrap();
        let next = |name: &str| {
            let root = root(name);
            let accepted = root.brief.accepted.clone().unwrap();
            mover.next_window(&root, &accepted, &store, NOW).map(|at| at.to_string())
        };
        assert_eq!(next("a").as_deref(), Some("2026-11-28T22:00:00Z"));
        assert_eq!(next("b").as_deref(), Some("2026-12-05T11:00:00Z"), "should it not get its turn today");
        assert_eq!((next("c"), next("d")), (None, None));
        assert!(mover.turns(&root("a"), &store, &roots, NOW + SignedDuration::from_hours(10)).plan);
    }

    #[test]
    fn a_restart_gives_no_more_turns_than_before() {
        let (store, old, new) = store();
        let roots = Roots::default();
        set(&roots, "a", 2, &new, "Reconciling");
        set(&roots, "b", 1, &old, "Ready");
        set(&roots, "c", 1, &old, "Ready");
        let mover = Mover::new(Limits { max_in_flight: 2, stop_after_failures: 1 });
        assert_eq!(with_turn(&mover, &store, &roots), ["b"], "a is still on its way, by its status");
    }
}
