//! The checklist as a graph: names, dependencies, what Tenantry builds itself, and the order safety needs; pure.

use super::finding::{Finding, Severity};
use crate::decorate::pod_path;
use crate::kinds::GroupKind;
use crate::render::own_manifests;
use crate::source::SourceMap;
use crate::suggest;
use std::collections::{BTreeMap, BTreeSet};
use tenantry_checklist::graph::{GraphError, nodes, order};
use tenantry_checklist::job::output_name;
use tenantry_crds::blueprint::{Baseline, BlueprintSpec, Item};
use tenantry_crds::version::JobRole;

/// Every object Tenantry builds itself, in the order of a checklist.
const BASELINE: [Baseline; 5] = [
    Baseline::Namespace,
    Baseline::DefaultDeny,
    Baseline::LimitRange,
    Baseline::ResourceQuota,
    Baseline::AccessBindings,
];

/// What must exist before any pod runs.
const BEFORE_PODS: [Baseline; 3] = [Baseline::Namespace, Baseline::DefaultDeny, Baseline::LimitRange];
/// What must exist before a person has access or a route is open.
const BEFORE_PEOPLE: [Baseline; 4] =
    [Baseline::Namespace, Baseline::DefaultDeny, Baseline::LimitRange, Baseline::ResourceQuota];

/// Checks the graph of a blueprint.
pub(super) fn check(blueprint: &BlueprintSpec, map: &SourceMap) -> Vec<Finding> {
    let mut graph = Graph { items: &blueprint.items, map, findings: Vec::new() };
    graph.actions();
    graph.baseline();
    let broken = graph.dependencies();
    graph.unreachable(&broken);
    graph.order();
    graph.late_quota();
    graph.findings
}

/// Whether a template names a built-in kind that runs pods.
fn starts_pods(template: &str) -> bool {
    template.split("kind:").skip(1).any(|rest| {
        let kind = rest.trim_start().split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        ["", "apps", "batch"]
            .into_iter()
            .any(|group| pod_path(&GroupKind { group: group.to_owned(), kind: kind.to_owned() }).is_some())
    })
}

/// What is certainly found before an item runs the job of this role: the results of the jobs that every such item waits for.
pub(super) fn found_before(blueprint: &BlueprintSpec, role: JobRole) -> BTreeSet<&'static str> {
    let items = &blueprint.items;
    let output = |index: &usize| Some(output_name(items.get(*index)?.job.as_ref()?));
    let runs = |item: &Item| item.job.as_ref().is_some_and(|job| job.role == role);
    let before = items.iter().enumerate().filter(|(_, item)| runs(item)).map(|(index, _)| {
        let awaited = closure(items, index).into_iter().filter(|awaited| *awaited != index);
        awaited.filter_map(|index| output(&index)).collect::<BTreeSet<_>>()
    });
    before.reduce(|known, other| known.intersection(&other).copied().collect()).unwrap_or_default()
}

fn position(items: &[Item], name: &str) -> Option<usize> {
    items.iter().position(|item| item.name == name)
}

/// Everything an item waits for, itself included.
fn closure(items: &[Item], index: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open = vec![index];
    while let Some(at) = open.pop() {
        if reached.insert(at) {
            let needs = items.get(at).into_iter().flat_map(|item| &item.depends_on);
            open.extend(needs.filter_map(|name| position(items, name)));
        }
    }
    reached
}

struct Graph<'a> {
    items: &'a [Item],
    map: &'a SourceMap,
    findings: Vec<Finding>,
}

// === impl Graph ===

impl<'a> Graph<'a> {
    fn error(&mut self, pointer: &str, message: impl AsRef<str>, hint: impl AsRef<str>) {
        self.findings.push(Finding::new(self.map.field(pointer), Severity::Error, message, hint));
    }

    fn index(&self, name: &str) -> Option<usize> {
        position(self.items, name)
    }

    fn actions(&mut self) {
        for (index, item) in self.items.iter().enumerate() {
            let actions = usize::from(item.check.is_some())
                + usize::from(item.manifests.is_some())
                + usize::from(item.application.is_some())
                + usize::from(item.job.is_some())
                + usize::from(item.sign_off.is_some())
                + usize::from(item.external.is_some())
                + usize::from(item.billing.is_some())
                + usize::from(item.servers.is_some())
                + usize::from(item.go_live.is_some());
            if actions != 1 {
                let message = format!("the item `{}` has {actions} actions", item.name);
                self.error(
                    &format!("/spec/items/{index}"),
                    message,
                    "give it exactly one of check, manifests, application, job, signOff, external, servers, billing and goLive",
                );
            }
        }
        let installs: Vec<usize> = (0..self.items.len())
            .filter(|index| self.items.get(*index).is_some_and(|item| item.application.is_some()))
            .collect();
        match installs.as_slice() {
            [_] => {}
            [] => self.error(
                "/spec/items",
                "no item installs the application",
                "add an item with the action `application: {}`",
            ),
            [_, second, ..] => {
                let pointer = format!("/spec/items/{second}/application");
                self.error(&pointer, "a second item installs the application", "keep one");
            }
        }
    }

    /// Every object Tenantry builds is cited once, by an item that always applies.
    fn baseline(&mut self) {
        let mut cited: BTreeMap<Baseline, &str> = BTreeMap::new();
        for (index, item) in self.items.iter().enumerate() {
            for (position, part) in item.baseline.iter().enumerate() {
                let pointer = format!("/spec/items/{index}/baseline/{position}");
                if let Some(first) = cited.insert(*part, &item.name) {
                    self.error(
                        &pointer,
                        format!("{part:?} is already cited by the item `{first}`"),
                        "cite it once",
                    );
                }
            }
            if item.when.is_some() && !item.baseline.is_empty() {
                let message = format!(
                    "the item `{}` cites objects that every tenant has, and applies only to some",
                    item.name
                );
                self.error(
                    &format!("/spec/items/{index}/when"),
                    message,
                    "remove `when`, or move the baseline to another item",
                );
            }
        }
        for part in BASELINE.into_iter().filter(|part| !cited.contains_key(part)) {
            self.error(
                "/spec/items",
                format!("no item cites {part:?}"),
                format!("add `baseline: [{part:?}]` to the item that answers for it"),
            );
        }
    }

    /// Unknown names and cycles, as the engine orders the items. Gives the items that can never start because of them.
    fn dependencies(&mut self) -> BTreeSet<usize> {
        let errors = order(&nodes(self.items)).err().unwrap_or_default();
        errors.iter().flat_map(|error| self.dependency(error)).collect()
    }

    fn dependency(&mut self, error: &GraphError) -> Vec<usize> {
        match error {
            GraphError::Duplicate { name } => {
                let second = self.items.iter().rposition(|item| item.name == *name).unwrap_or_default();
                let message = format!("the item `{name}` is there twice");
                self.error(&format!("/spec/items/{second}/name"), message, "rename one of them");
                Vec::new()
            }
            GraphError::Unknown { item, dependency } => {
                let Some((index, found)) =
                    self.items.iter().enumerate().find(|(_, found)| found.name == *item)
                else {
                    return Vec::new();
                };
                let position =
                    found.depends_on.iter().position(|name| name == dependency).unwrap_or_default();
                let near = suggest::nearest(dependency, self.items.iter().map(|item| item.name.as_str()));
                let hint = near.map_or_else(
                    || "name an item of this blueprint".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                let message = format!("the item `{item}` depends on `{dependency}`, which is not there");
                self.error(&format!("/spec/items/{index}/dependsOn/{position}"), message, hint);
                vec![index]
            }
            GraphError::Cycle { path } => {
                let around: Vec<usize> = path.iter().filter_map(|name| self.index(name)).collect();
                let first = around.first().copied().unwrap_or_default();
                let message = format!("these items wait for each other: {}", path.join(" -> "));
                self.error(
                    &format!("/spec/items/{first}/dependsOn"),
                    message,
                    "remove one of the dependencies",
                );
                around
            }
        }
    }

    fn closure(&self, index: usize) -> BTreeSet<usize> {
        closure(self.items, index)
    }

    fn unreachable(&mut self, broken: &BTreeSet<usize>) {
        for (index, item) in self.items.iter().enumerate().filter(|(index, _)| !broken.contains(index)) {
            let because = self.closure(index).into_iter().find(|needed| broken.contains(needed));
            if let Some(because) = because.and_then(|because| self.items.get(because)) {
                let message = format!(
                    "the item `{}` can never start, because it waits for `{}`",
                    item.name, because.name
                );
                self.error(&format!("/spec/items/{index}/dependsOn"), message, "mend the item it waits for");
            }
        }
    }

    /// The quota comes after the objects it counts, so that it never refuses one of them. An item with such objects that
    /// waited for it would wait for itself.
    fn late_quota(&mut self) {
        let quota = self.items.iter().position(|item| item.baseline.contains(&Baseline::ResourceQuota));
        let Some(quota) = quota else { return };
        for (index, item) in self.items.iter().enumerate().filter(|(index, _)| *index != quota) {
            let has_objects =
                item.application.is_some() || item.manifests.as_ref().is_some_and(|all| !all.is_empty());
            if has_objects && self.closure(index).contains(&quota) {
                let citing = self.items.get(quota).map(|item| item.name.as_str()).unwrap_or_default();
                let message = format!(
                    "the item `{}` waits for ResourceQuota of `{citing}`, which is created after the objects of `{}`",
                    item.name, item.name
                );
                let hint = "leave that dependency out, or cite ResourceQuota by an item that nothing with objects waits for";
                self.error(&format!("/spec/items/{index}/dependsOn"), message, hint);
            }
        }
    }

    /// No pod before limits, default-deny and pod security; nobody in and no route open before the quota as well.
    fn order(&mut self) {
        for (index, item) in self.items.iter().enumerate() {
            let (needed, what): (&[Baseline], &str) = if item.go_live.is_some() {
                (&BEFORE_PEOPLE, "opens the route")
            } else if item.baseline.contains(&Baseline::AccessBindings) {
                (&BEFORE_PEOPLE, "gives people access")
            } else if item.application.is_some()
                || item.job.is_some()
                || own_manifests(item).any(|manifest| starts_pods(&manifest.template))
            {
                (&BEFORE_PODS, "may start pods")
            } else {
                continue;
            };
            let before: BTreeSet<Baseline> = self
                .closure(index)
                .into_iter()
                .filter_map(|needed| self.items.get(needed))
                .flat_map(|item| item.baseline.iter().copied())
                .collect();
            // Parts nobody cites are reported on their own.
            let late = needed.iter().filter(|part| !before.contains(part)).find_map(|part| {
                self.items.iter().find(|item| item.baseline.contains(part)).map(|citing| (part, citing))
            });
            if let Some((part, citing)) = late {
                let message = format!("the item `{}` {what} and does not wait for {part:?}", item.name);
                self.error(
                    &format!("/spec/items/{index}"),
                    message,
                    format!("add `{}` to its dependsOn", citing.name),
                );
            }
        }
    }
}
