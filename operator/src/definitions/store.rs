//! What is known of definitions and their stored revisions, in memory; no client or clock.

use super::content::{Content, Key};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tenantry_checklist::meters;
use tenantry_checklist::revision::{DefinitionKind, Revision};
use tenantry_checklist::select::{Catalogue, Latest};
use tenantry_crds::application::{MeterResource, MeterSource};
use tenantry_crds::common::Lifecycle;
use tenantry_crds::subscription::AcceptedRevisions;
use tenantry_crds::{
    BlueprintSpec, DefinitionStatus, HostedApplicationSpec, HostedApplicationVersionSpec, ServicePlanSpec,
};
use tenantry_metering::used::Measure;

/// Stored revisions that nothing uses and that are kept all the same, for a look back.
const KEEP_UNUSED: usize = 10;
/// Annotation of a plan: the provider told its customers what this revision takes from them.
pub(crate) const NOTICE_ANNOTATION: &str = "tenantry.io/notice-given";

/// Meters of applications that a Prometheus measures: by application and name, what each is and in which unit.
pub(crate) type UsedMeters = BTreeMap<String, BTreeMap<String, (Measure, String)>>;

/// A definition as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    /// UID of the object.
    pub(crate) uid: String,
    /// Generation of its spec.
    pub(crate) generation: i64,
    /// Its spec, or why it cannot be read.
    pub(crate) content: Result<Content, String>,
    /// Revision of which the tenants were told, where it takes something from them; the annotation
    /// [`NOTICE_ANNOTATION`].
    pub(crate) notice: Option<String>,
    /// Its status.
    pub(crate) status: DefinitionStatus,
}

/// Everything known of definitions.
#[derive(Debug, Default)]
pub(crate) struct Store {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    live: HashMap<Key, Live>,
    /// Stored revisions of each definition, by number in the order of storing.
    stored: HashMap<Key, BTreeMap<i64, (Revision, Content)>>,
    /// How often what definitions say has changed.
    edition: u64,
}

// === impl Store ===

impl Store {
    /// Takes in a definition as observed. Says whether anything but its status differs from what was known.
    pub(crate) fn observe(&self, key: Key, live: Live) -> bool {
        let mut state = self.write();
        let changed = state.live.get(&key).is_none_or(|known| {
            known.uid != live.uid
                || known.generation != live.generation
                || known.content != live.content
                || known.notice != live.notice
        });
        state.live.insert(key, live);
        state.edition += u64::from(changed);
        changed
    }

    /// Takes in a status that was written to a definition as it was then. An edit that was observed meanwhile stays, and its status
    /// comes with it.
    pub(crate) fn told(&self, key: &Key, before: &Live, status: DefinitionStatus) {
        let mut state = self.write();
        let known = state.live.get_mut(key);
        if let Some(known) =
            known.filter(|known| known.uid == before.uid && known.generation == before.generation)
        {
            known.status = status;
        }
    }

    /// A number that is another one after every change of what definitions say, their statuses apart.
    #[must_use]
    pub(crate) fn edition(&self) -> u64 {
        self.read().edition
    }

    /// Forgets a definition that is gone. Its stored revisions stay.
    pub(crate) fn remove(&self, key: &Key) {
        let mut state = self.write();
        state.live.remove(key);
        state.edition += 1;
    }

    /// Forgets every definition of a kind that is not in `names`, after a relist, and returns those.
    pub(crate) fn retain(&self, kind: DefinitionKind, names: &HashSet<String>) -> Vec<Key> {
        let mut state = self.write();
        let gone: Vec<Key> =
            state.live.keys().filter(|key| key.kind == kind && !names.contains(&key.name)).cloned().collect();
        for key in &gone {
            state.live.remove(key);
            state.edition += 1;
        }
        gone
    }

    /// Takes in a stored revision.
    pub(crate) fn observe_stored(&self, key: Key, revision: Revision, content: Content, number: i64) {
        self.write().stored.entry(key).or_default().insert(number, (revision, content));
    }

    /// Forgets a stored revision that is gone.
    pub(crate) fn remove_stored(&self, key: &Key, revision: &Revision) {
        if let Some(stored) = self.write().stored.get_mut(key) {
            stored.retain(|_, (known, _)| known != revision);
        }
    }

    /// A definition as it is now.
    #[must_use]
    pub(crate) fn live(&self, key: &Key) -> Option<Live> {
        self.read().live.get(key).cloned()
    }

    /// Every definition there is.
    #[must_use]
    pub(crate) fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.read().live.keys().cloned().collect();
        keys.sort();
        keys
    }

    /// Whether a revision is stored.
    #[must_use]
    pub(crate) fn is_stored(&self, key: &Key, revision: &Revision) -> bool {
        self.content(key, revision).is_some()
    }

    /// Number for the next revision of a definition.
    #[must_use]
    pub(crate) fn next_number(&self, key: &Key) -> i64 {
        let last = self.read().stored.get(key).and_then(|stored| stored.keys().next_back().copied());
        last.unwrap_or(0) + 1
    }

    /// Whether there are more revisions of a definition than are kept in any case.
    #[must_use]
    pub(crate) fn has_many(&self, key: &Key) -> bool {
        self.read().stored.get(key).is_some_and(|stored| stored.len() > KEEP_UNUSED)
    }

    /// Revisions that may be deleted: all that `used` does not hold, but the latest ones.
    #[must_use]
    pub(crate) fn disposable(&self, key: &Key, used: impl Fn(&Revision) -> bool) -> Vec<Revision> {
        let state = self.read();
        let Some(stored) = state.stored.get(key) else { return Vec::new() };
        let current = state.live.get(key).and_then(|live| live.status.accepted.clone());
        let unused = stored
            .values()
            .rev()
            .map(|(revision, _)| revision)
            .filter(|revision| !used(revision) && Some(revision.to_string()) != current);
        unused.skip(KEEP_UNUSED).cloned().collect()
    }

    /// The content of a stored revision.
    #[must_use]
    pub(crate) fn content(&self, key: &Key, revision: &Revision) -> Option<Content> {
        let state = self.read();
        let mut stored = state.stored.get(key)?.values();
        stored.find(|(known, _)| known == revision).map(|(_, content)| content.clone())
    }

    /// The content of every stored revision of a plan, the latest first.
    #[must_use]
    pub(crate) fn plan_revisions(&self, plan: &str) -> Vec<Arc<ServicePlanSpec>> {
        let state = self.read();
        let stored = state.stored.get(&Key::new(DefinitionKind::Plan, plan));
        let contents = stored.into_iter().flat_map(|stored| stored.values().rev());
        let plans = contents.filter_map(|(_, content)| match content {
            Content::Plan(spec) => Some(Arc::clone(spec)),
            _ => None,
        });
        plans.collect()
    }

    /// The plan that a tenant runs.
    #[must_use]
    pub(crate) fn plan_of(&self, accepted: &AcceptedRevisions) -> Option<Arc<ServicePlanSpec>> {
        self.plan(&accepted.plan.parse().ok()?)
    }

    /// The blueprint that a tenant runs.
    #[must_use]
    pub(crate) fn blueprint_of(&self, accepted: &AcceptedRevisions) -> Option<Arc<BlueprintSpec>> {
        self.blueprint(&accepted.blueprint.parse().ok()?)
    }

    /// Plans that can be ordered, in their latest accepted state, sorted by name.
    #[must_use]
    pub(crate) fn plans_on_offer(&self) -> Vec<(String, Arc<ServicePlanSpec>)> {
        let plans = self.keys().into_iter().filter(|key| key.kind == DefinitionKind::Plan);
        plans
            .filter_map(|key| match self.latest(key.kind, &key.name) {
                Latest::Accepted { revision, lifecycle: Lifecycle::Published } => {
                    Some((key.name, self.plan(&revision)?))
                }
                _ => None,
            })
            .collect()
    }

    /// Whether any application declares a meter.
    #[must_use]
    pub(crate) fn is_metered(&self, meter: &str) -> bool {
        self.read().live.values().any(|live| match &live.content {
            Ok(Content::Application(spec)) => meters::declares(spec, meter),
            _ => false,
        })
    }

    /// Whether any application counts what was reserved.
    #[must_use]
    pub(crate) fn is_reserved(&self) -> bool {
        let reserved = |spec: &HostedApplicationSpec| {
            spec.meters.iter().any(|meter| meter.source == MeterSource::Reserved)
        };
        self.read().live.values().any(|live| match &live.content {
            Ok(Content::Application(spec)) => reserved(spec),
            _ => false,
        })
    }

    /// The meters that a Prometheus measures, of the applications that have any.
    #[must_use]
    pub(crate) fn used_meters(&self) -> UsedMeters {
        let state = self.read();
        let measured = state.live.iter().filter_map(|(key, live)| match &live.content {
            Ok(Content::Application(spec)) => Some((key.name.clone(), measured(spec))),
            _ => None,
        });
        measured.filter(|(_, meters)| !meters.is_empty()).collect()
    }

    /// The live content of a definition, accepted or not.
    #[must_use]
    pub(crate) fn live_content(&self, kind: DefinitionKind, name: &str) -> Option<Content> {
        self.read().live.get(&Key::new(kind, name))?.content.clone().ok()
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a Prometheus measures of an application.
fn measured(spec: &HostedApplicationSpec) -> BTreeMap<String, (Measure, String)> {
    let used = spec.meters.iter().filter(|meter| meter.source == MeterSource::Used);
    let measured = used.filter_map(|meter| {
        let measure = match meter.of? {
            MeterResource::Cpu => Measure::Cpu,
            MeterResource::Memory => Measure::Memory,
            MeterResource::Storage => Measure::Storage,
            MeterResource::Egress => Measure::Egress,
            // The API server refuses it: nobody measures that.
            MeterResource::Seats => return None,
        };
        Some((meter.name.clone(), (measure, meter.unit.name().to_owned())))
    });
    measured.collect()
}

impl Catalogue for Store {
    fn latest(&self, kind: DefinitionKind, name: &str) -> Latest {
        let key = Key::new(kind, name);
        let state = self.read();
        let Some(live) = state.live.get(&key) else { return Latest::Missing };
        let accepted = live.status.accepted.as_deref().and_then(|text| text.parse::<Revision>().ok());
        let stored = state.stored.get(&key);
        let is_stored =
            |revision: &Revision| stored.is_some_and(|all| all.values().any(|(known, _)| known == revision));
        // An unreadable definition is out of reach for new orders only by its lifecycle, which is then the last known.
        let lifecycle = match (&live.content, stored.and_then(|all| all.values().next_back())) {
            (Ok(content), _) | (Err(_), Some((_, content))) => content.lifecycle(),
            (Err(_), None) => return Latest::NotAccepted,
        };
        match accepted.filter(is_stored) {
            Some(revision) => Latest::Accepted { revision, lifecycle },
            None => Latest::NotAccepted,
        }
    }

    fn plan(&self, revision: &Revision) -> Option<Arc<ServicePlanSpec>> {
        match self.content(&Key::new(DefinitionKind::Plan, revision.name()), revision)? {
            Content::Plan(spec) => Some(spec),
            _ => None,
        }
    }

    fn application(&self, revision: &Revision) -> Option<Arc<HostedApplicationSpec>> {
        match self.content(&Key::new(DefinitionKind::Application, revision.name()), revision)? {
            Content::Application(spec) => Some(spec),
            _ => None,
        }
    }

    fn version(&self, revision: &Revision) -> Option<Arc<HostedApplicationVersionSpec>> {
        match self.content(&Key::new(DefinitionKind::Version, revision.name()), revision)? {
            Content::Version(spec) => Some(spec),
            _ => None,
        }
    }

    fn blueprint(&self, revision: &Revision) -> Option<Arc<BlueprintSpec>> {
        match self.content(&Key::new(DefinitionKind::Blueprint, revision.name()), revision)? {
            Content::Blueprint(spec) => Some(spec),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenantry_crds::common::Lifecycle;

    /// A definition is checked again only at another edition: statuses must make none, and everything else one.
    #[test]
    fn an_edition_ends_with_what_definitions_say() {
        let store = Store::default();
        let key = Key::new(DefinitionKind::Plan, "gold");
        let live = |tier: &str, generation: i64, accepted: Option<&str>| Live {
            uid: "u".to_owned(),
            generation,
            content: Ok(plan(tier, Lifecycle::Published)),
            notice: None,
            status: DefinitionStatus { accepted: accepted.map(str::to_owned), ..DefinitionStatus::default() },
        };
        let mut editions = vec![store.edition()];
        let mut after = |change: &dyn Fn()| {
            change();
            editions.push(store.edition());
            let last: Vec<u64> = editions.iter().rev().take(2).copied().collect();
            last[0] != last[1]
        };
        assert!(after(&|| {
            store.observe(key.clone(), live("Gold", 1, None));
        }));
        assert!(!after(&|| {
            store.observe(key.clone(), live("Gold", 1, Some("gold@1")));
        }));
        assert!(after(&|| {
            store.observe(key.clone(), live("Platinum", 2, Some("gold@1")));
        }));
        assert!(!after(&|| {
            store.retain(DefinitionKind::Plan, &HashSet::from(["gold".to_owned()]));
        }));
        assert!(after(&|| {
            store.retain(DefinitionKind::Plan, &HashSet::new());
        }));
        assert!(after(&|| {
            store.observe(key.clone(), live("Gold", 3, None));
        }));
        assert!(after(&|| store.remove(&key)));
    }

    /// The answer to a status may come when the watch has told of a later edit already.
    #[test]
    fn a_status_that_was_written_takes_no_later_edit_back() {
        let store = Store::default();
        let key = Key::new(DefinitionKind::Plan, "gold");
        let live = |tier: &str, generation: i64| Live {
            uid: "u".to_owned(),
            generation,
            content: Ok(plan(tier, Lifecycle::Published)),
            notice: None,
            status: DefinitionStatus::default(),
        };
        let written =
            || DefinitionStatus { accepted: Some("gold@1".to_owned()), ..DefinitionStatus::default() };
        let known = || store.live(&key).map(|live| (live.generation, live.status.accepted));
        store.observe(key.clone(), live("Gold", 1));
        store.told(&key, &live("Gold", 1), written());
        assert_eq!(known(), Some((1, Some("gold@1".to_owned()))));
        store.observe(key.clone(), live("Platinum", 2));
        let edition = store.edition();
        store.told(&key, &live("Gold", 1), written());
        assert_eq!((known(), store.edition()), (Some((2, None)), edition));
        store.remove(&key);
        store.told(&key, &live("Platinum", 2), written());
        assert_eq!(known(), None, "what is gone does not come back");
    }

    fn plan(tier: &str, lifecycle: Lifecycle) -> Content {
        let spec = ServicePlanSpec { tier: tier.to_owned(), lifecycle, ..ServicePlanSpec::default() };
        Content::Plan(Arc::new(spec))
    }

    fn key() -> Key {
        Key::new(DefinitionKind::Plan, "gold")
    }

    fn live(content: Result<Content, String>, accepted: Option<&Revision>) -> Live {
        let status =
            DefinitionStatus { accepted: accepted.map(ToString::to_string), ..DefinitionStatus::default() };
        Live { uid: "u".to_owned(), generation: 1, content, notice: None, status }
    }

    #[test]
    fn a_definition_counts_once_its_accepted_state_is_stored() {
        let store = Store::default();
        assert_eq!(store.latest(DefinitionKind::Plan, "gold"), Latest::Missing);
        let content = plan("Gold", Lifecycle::Published);
        let revision = content.revision("gold").unwrap();
        store.observe(key(), live(Ok(content.clone()), Some(&revision)));
        assert_eq!(store.latest(DefinitionKind::Plan, "gold"), Latest::NotAccepted, "not stored yet");
        store.observe_stored(key(), revision.clone(), content, 1);
        let accepted = Latest::Accepted { revision, lifecycle: Lifecycle::Published };
        assert_eq!(store.latest(DefinitionKind::Plan, "gold"), accepted);
    }

    #[test]
    fn an_edit_into_nonsense_leaves_the_accepted_state_in_force() {
        let store = Store::default();
        let content = plan("Gold", Lifecycle::Published);
        let revision = content.revision("gold").unwrap();
        store.observe_stored(key(), revision.clone(), content, 1);
        store.observe(key(), live(Err("spec.tier: not text".to_owned()), Some(&revision)));
        let accepted = Latest::Accepted { revision: revision.clone(), lifecycle: Lifecycle::Published };
        assert_eq!(store.latest(DefinitionKind::Plan, "gold"), accepted);
        store.remove(&key());
        assert!(store.plan(&revision).is_some(), "a deleted definition goes on for those who run it");
    }

    #[test]
    fn a_price_of_a_meter_waits_for_an_application_that_declares_it() {
        use crate::definitions::examine::examine;
        let store = Store::default();
        let charge = serde_json::json!({"name": "calls", "type": "Usage", "interval": "Month", "meter": "calls", "price": "0.01"});
        let mut spec = ServicePlanSpec {
            currency: Some("EUR".to_owned()),
            charges: vec![serde_json::from_value(charge).unwrap()],
            ..ServicePlanSpec::default()
        };
        for amount in [&mut spec.servers.cpu, &mut spec.servers.memory, &mut spec.servers.disk] {
            *amount = "1".to_owned();
        }
        let text = |problems: Vec<String>| problems.join("\n");
        let plan = Content::Plan(Arc::new(spec));
        let found = text(examine(&store, "gold", &plan));
        assert!(
            found.contains("spec.charges[calls].meter: no application declares a meter calls"),
            "{found}"
        );
        let meters = serde_json::json!([{"name": "calls", "source": "Events", "unit": "Request"}]);
        let application = HostedApplicationSpec {
            meters: serde_json::from_value(meters).unwrap(),
            ..HostedApplicationSpec::default()
        };
        let key = Key::new(DefinitionKind::Application, "erp");
        store.observe(key, live(Ok(Content::Application(Arc::new(application.clone()))), None));
        assert!(!text(examine(&store, "gold", &plan)).contains("meter"));
        let twice = HostedApplicationSpec {
            meters: [application.meters.clone(), application.meters].concat(),
            parameters_schema: serde_json::json!({}),
            ..HostedApplicationSpec::default()
        };
        let found = text(examine(&store, "erp", &Content::Application(Arc::new(twice))));
        assert!(found.contains("spec.meters[1].name: is listed twice"), "{found}");
    }

    #[test]
    fn ten_unused_revisions_are_kept_and_used_ones_always() {
        let store = Store::default();
        for number in 1..=15 {
            let content = plan(&format!("Tier{number}"), Lifecycle::Published);
            store.observe_stored(key(), content.revision("gold").unwrap(), content, number);
        }
        let first = plan("Tier1", Lifecycle::Published).revision("gold").unwrap();
        assert_eq!(store.disposable(&key(), |_| false).len(), 5);
        let disposable = store.disposable(&key(), |revision| *revision == first);
        assert_eq!(disposable.len(), 4);
        assert!(!disposable.contains(&first));
        assert_eq!(store.next_number(&key()), 16);
    }
}
