use super::*;
use crate::fixtures;
use std::collections::BTreeMap;

/// A catalogue by hand: what is live, and what is stored.
#[derive(Default)]
struct Shelf {
    live: BTreeMap<(DefinitionKind, String), Latest>,
    plans: BTreeMap<Revision, Arc<ServicePlanSpec>>,
    applications: BTreeMap<Revision, Arc<HostedApplicationSpec>>,
    versions: BTreeMap<Revision, Arc<HostedApplicationVersionSpec>>,
    blueprints: BTreeMap<Revision, Arc<BlueprintSpec>>,
}

impl Catalogue for Shelf {
    fn latest(&self, kind: DefinitionKind, name: &str) -> Latest {
        self.live.get(&(kind, name.to_owned())).cloned().unwrap_or(Latest::Missing)
    }
    fn plan(&self, revision: &Revision) -> Option<Arc<ServicePlanSpec>> {
        self.plans.get(revision).cloned()
    }
    fn application(&self, revision: &Revision) -> Option<Arc<HostedApplicationSpec>> {
        self.applications.get(revision).cloned()
    }
    fn version(&self, revision: &Revision) -> Option<Arc<HostedApplicationVersionSpec>> {
        self.versions.get(revision).cloned()
    }
    fn blueprint(&self, revision: &Revision) -> Option<Arc<BlueprintSpec>> {
        self.blueprints.get(revision).cloned()
    }
}

impl Shelf {
    fn full() -> Self {
        let mut shelf = Self::default();
        let Definitions { plan, application, version, blueprint, price_list: _, warnings: _ } =
            fixtures::definitions();
        shelf.publish(DefinitionKind::Plan, &plan.revision, Lifecycle::Published);
        shelf.publish(DefinitionKind::Application, &application.revision, Lifecycle::Published);
        shelf.publish(DefinitionKind::Version, &version.revision, Lifecycle::Published);
        shelf.publish(DefinitionKind::Blueprint, &blueprint.revision, Lifecycle::Published);
        shelf.plans.insert(plan.revision, plan.spec);
        shelf.applications.insert(application.revision, application.spec);
        shelf.versions.insert(version.revision, version.spec);
        shelf.blueprints.insert(blueprint.revision, blueprint.spec);
        shelf
    }

    fn publish(&mut self, kind: DefinitionKind, revision: &Revision, lifecycle: Lifecycle) {
        let latest = Latest::Accepted { revision: revision.clone(), lifecycle };
        self.live.insert((kind, revision.name().to_owned()), latest);
    }

    /// Stores and publishes another state of the plan.
    fn new_plan(&mut self) -> Revision {
        let spec = ServicePlanSpec { tier: "Better".to_owned(), ..fixtures::plan() };
        let revision = Revision::of("gold", &spec).unwrap();
        self.plans.insert(revision.clone(), Arc::new(spec));
        self.publish(DefinitionKind::Plan, &revision, Lifecycle::Published);
        revision
    }

    fn select(
        &self,
        accepted: Option<&AcceptedRevisions>,
        moves: Moves,
    ) -> Result<Definitions, Vec<Problem>> {
        select(&SelectInput { spec: &fixtures::subscription(), accepted, moves }, self)
    }
}

fn gold() -> Revision {
    fixtures::definitions().plan.revision
}

#[test]
fn a_new_order_takes_the_latest_accepted_revisions() {
    let selected = Shelf::full().select(None, Moves::default()).unwrap();
    assert_eq!(selected.accepted(), fixtures::definitions().accepted());
    assert!(selected.warnings.is_empty());
}

#[test]
fn what_a_new_order_cannot_have_is_named() {
    let shelf = |change: fn(&mut Shelf)| {
        let mut shelf = Shelf::full();
        change(&mut shelf);
        shelf.select(None, Moves::default()).unwrap_err()
    };
    type Change = fn(&mut Shelf);
    let table: [(Change, &str, &str); 9] = [
        (
            |s| drop(s.live.remove(&(DefinitionKind::Plan, "gold".to_owned()))),
            "spec.planRef.name",
            "PlanNotFound",
        ),
        (
            |s| drop(s.live.insert((DefinitionKind::Plan, "gold".to_owned()), Latest::NotAccepted)),
            "spec.planRef.name",
            "PlanNotAccepted",
        ),
        (
            |s| s.publish(DefinitionKind::Plan, &gold(), Lifecycle::Retired),
            "spec.planRef.name",
            "PlanRetired",
        ),
        (
            |s| s.publish(DefinitionKind::Plan, &gold(), Lifecycle::Draft),
            "spec.planRef.name",
            "PlanNotPublished",
        ),
        (|s| s.plans.clear(), "spec.planRef.name", "PlanRevisionLost"),
        (
            |s| drop(s.live.remove(&(DefinitionKind::Application, "erp".to_owned()))),
            "spec.applicationRef.name",
            "ApplicationNotFound",
        ),
        (
            |s| drop(s.live.remove(&(DefinitionKind::Version, "erp-4.2.1".to_owned()))),
            "spec.applicationRef.version",
            "VersionNotFound",
        ),
        (
            |s| {
                s.publish(
                    DefinitionKind::Version,
                    &fixtures::definitions().version.revision,
                    Lifecycle::Retired,
                )
            },
            "spec.applicationRef.version",
            "VersionRetired",
        ),
        (
            |s| drop(s.live.remove(&(DefinitionKind::Blueprint, "ground".to_owned()))),
            "spec.applicationRef.name",
            "BlueprintNotFound",
        ),
    ];
    for (change, field, reason) in table {
        let problems = shelf(change);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!((problems[0].field.as_str(), problems[0].reason), (field, reason));
        assert!(problems[0].message.contains(';'), "{}", problems[0]);
    }
}

#[test]
fn all_missing_definitions_are_reported_at_once_and_may_still_come() {
    let problems = Shelf::default().select(None, Moves::default()).unwrap_err();
    let reasons: Vec<&str> = problems.iter().map(|p| p.reason).collect();
    assert_eq!(reasons, ["PlanNotFound", "ApplicationNotFound", "VersionNotFound"]);
    assert!(problems.iter().all(Problem::may_resolve_itself));
}

#[test]
fn a_tenant_keeps_its_revisions_until_it_is_its_turn() {
    let mut shelf = Shelf::full();
    let accepted = fixtures::definitions().accepted();
    let better = shelf.new_plan();
    let kept = shelf.select(Some(&accepted), Moves::default()).unwrap();
    assert_eq!(kept.accepted(), accepted);
    let moved = shelf.select(Some(&accepted), Moves { plan: true, ..Moves::default() }).unwrap();
    assert_eq!(moved.plan.revision, better);
    assert_eq!(moved.plan.spec.tier, "Better");
    assert_eq!(moved.accepted().application, accepted.application);
}

#[test]
fn whatever_becomes_of_live_definitions_a_tenant_runs_on() {
    let accepted = fixtures::definitions().accepted();
    let every = Moves { plan: true, application: true, version: true, blueprint: true };
    for moves in [Moves::default(), every] {
        let mut gone = Shelf::full();
        gone.live.clear();
        assert_eq!(gone.select(Some(&accepted), moves).unwrap().accepted(), accepted);
        let mut nonsense = Shelf::full();
        nonsense.live.values_mut().for_each(|latest| *latest = Latest::NotAccepted);
        assert_eq!(nonsense.select(Some(&accepted), moves).unwrap().accepted(), accepted);
    }
    let mut retired = Shelf::full();
    retired.publish(DefinitionKind::Plan, &gold(), Lifecycle::Retired);
    let kept = retired.select(Some(&accepted), Moves::default()).unwrap();
    assert_eq!(kept.accepted(), accepted);
    assert_eq!(kept.warnings.len(), 1);
    assert!(kept.warnings[0].contains("service plan gold is retired"), "{:?}", kept.warnings);
}

#[test]
fn a_changed_reference_is_checked_anew_and_takes_the_latest() {
    let mut shelf = Shelf::full();
    let accepted =
        AcceptedRevisions { plan: "silver@0123456789".to_owned(), ..fixtures::definitions().accepted() };
    let better = shelf.new_plan();
    assert_eq!(shelf.select(Some(&accepted), Moves::default()).unwrap().plan.revision, better);
    shelf.publish(DefinitionKind::Plan, &better, Lifecycle::Retired);
    assert_eq!(shelf.select(Some(&accepted), Moves::default()).unwrap_err()[0].reason, "PlanRetired");
}

#[test]
fn a_deprecated_plan_can_be_ordered_with_a_warning() {
    let mut shelf = Shelf::full();
    shelf.publish(DefinitionKind::Plan, &gold(), Lifecycle::Deprecated);
    let selected = shelf.select(None, Moves::default()).unwrap();
    assert_eq!(selected.warnings.len(), 1);
    assert!(selected.warnings[0].contains("is deprecated"), "{:?}", selected.warnings);
    let running = shelf.select(Some(&selected.accepted()), Moves::default()).unwrap();
    assert!(running.warnings[0].contains("this tenant keeps it"), "{:?}", running.warnings);
}
