//! Which stored revision of each definition a tenant runs; pure, the stored revisions come in through [`Catalogue`].
//!
//! A tenant keeps the revisions it was accepted with while its references stay as they are, whatever becomes of the live
//! definitions. A new or changed reference takes the latest accepted revision, and only then does the lifecycle count.

use crate::Problem;
use crate::plan::orderable;
use crate::prices;
use crate::revision::{DefinitionKind, Revision, name_of};
use std::sync::Arc;
use tenantry_crds::common::Lifecycle;
use tenantry_crds::subscription::AcceptedRevisions;
use tenantry_crds::{
    BlueprintSpec, HostedApplicationSpec, HostedApplicationVersionSpec, ServicePlanSpec,
    TenantSubscriptionSpec,
};

/// The stored revisions of definitions.
pub trait Catalogue {
    /// The latest accepted revision of a definition, if there is one.
    fn latest(&self, kind: DefinitionKind, name: &str) -> Latest;
    /// The content of a revision of a plan.
    fn plan(&self, revision: &Revision) -> Option<Arc<ServicePlanSpec>>;
    /// The content of a revision of an application.
    fn application(&self, revision: &Revision) -> Option<Arc<HostedApplicationSpec>>;
    /// The content of a revision of an application version.
    fn version(&self, revision: &Revision) -> Option<Arc<HostedApplicationVersionSpec>>;
    /// The content of a revision of a blueprint.
    fn blueprint(&self, revision: &Revision) -> Option<Arc<BlueprintSpec>>;
}

/// What is known of a live definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Latest {
    /// No definition has this name.
    Missing,
    /// The definition exists and no state of it was ever accepted.
    NotAccepted,
    /// This state was accepted last.
    Accepted {
        /// The revision.
        revision: Revision,
        /// Lifecycle of the live definition; `Published` for kinds without one.
        lifecycle: Lifecycle,
    },
}

/// What the selection depends on.
#[derive(Clone, Copy, Debug)]
pub struct SelectInput<'a> {
    /// The order.
    pub spec: &'a TenantSubscriptionSpec,
    /// Revisions the tenant runs, from its status.
    pub accepted: Option<&'a AcceptedRevisions>,
    /// Definitions whose turn it is to move this tenant to their latest revision.
    pub moves: Moves,
}

/// Definitions that may move a tenant to their latest revision now, as the pace allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// The plan may.
    pub plan: bool,
    /// The application may.
    pub application: bool,
    /// The application version may.
    pub version: bool,
    /// The blueprint may.
    pub blueprint: bool,
}

/// One selected definition.
#[derive(Clone, Debug)]
pub struct Selected<T> {
    /// Which state of it.
    pub revision: Revision,
    /// Its content in that state.
    pub spec: Arc<T>,
}

/// The definitions an order is resolved against.
#[derive(Clone, Debug)]
pub struct Definitions {
    /// The plan.
    pub plan: Selected<ServicePlanSpec>,
    /// The application.
    pub application: Selected<HostedApplicationSpec>,
    /// The application version.
    pub version: Selected<HostedApplicationVersionSpec>,
    /// The blueprint that the application names.
    pub blueprint: Selected<BlueprintSpec>,
    /// The prices that were pinned when the plan was ordered, by the name of their list.
    pub price_list: Option<String>,
    /// What the customer should know about the choice, such as that a plan is deprecated.
    pub warnings: Vec<String>,
}

/// What one kind of definition is called, where it is referred to, and its reasons.
struct Words {
    kind: DefinitionKind,
    noun: &'static str,
    field: &'static str,
    not_found: &'static str,
    not_accepted: &'static str,
    not_orderable: [&'static str; 2],
    lost: &'static str,
}

const PLAN: Words = Words {
    kind: DefinitionKind::Plan,
    noun: "service plan",
    field: "spec.planRef.name",
    not_found: "PlanNotFound",
    not_accepted: "PlanNotAccepted",
    not_orderable: ["PlanNotPublished", "PlanRetired"],
    lost: "PlanRevisionLost",
};
const APPLICATION: Words = Words {
    kind: DefinitionKind::Application,
    noun: "hosted application",
    field: "spec.applicationRef.name",
    not_found: "ApplicationNotFound",
    not_accepted: "ApplicationNotAccepted",
    not_orderable: ["ApplicationNotPublished", "ApplicationRetired"],
    lost: "ApplicationRevisionLost",
};
const VERSION: Words = Words {
    kind: DefinitionKind::Version,
    noun: "application version",
    field: "spec.applicationRef.version",
    not_found: "VersionNotFound",
    not_accepted: "VersionNotAccepted",
    not_orderable: ["VersionNotPublished", "VersionRetired"],
    lost: "VersionRevisionLost",
};
const BLUEPRINT: Words = Words {
    kind: DefinitionKind::Blueprint,
    noun: "blueprint",
    field: "spec.applicationRef.name",
    not_found: "BlueprintNotFound",
    not_accepted: "BlueprintNotAccepted",
    not_orderable: ["BlueprintNotPublished", "BlueprintRetired"],
    lost: "BlueprintRevisionLost",
};

/// Selects the revision of each definition an order refers to.
///
/// # Errors
/// Every reference that leads nowhere or may not be ordered, with its field and the remedy.
pub fn select(input: &SelectInput<'_>, catalogue: &impl Catalogue) -> Result<Definitions, Vec<Problem>> {
    let SelectInput { spec, accepted, moves } = *input;
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    let mut pick = |words: &Words, name: &str, pinned: Option<&String>, moves: bool| match revision(
        words,
        name,
        pinned.map(String::as_str),
        moves,
        catalogue,
    ) {
        Ok((revision, warning)) => {
            warnings.extend(warning);
            Some(revision)
        }
        Err(problem) => {
            problems.push(problem);
            None
        }
    };
    let version_name = format!("{}-{}", spec.application_ref.name, spec.application_ref.version);
    let plan = pick(&PLAN, &spec.plan_ref.name, accepted.map(|a| &a.plan), moves.plan);
    let application =
        pick(&APPLICATION, &spec.application_ref.name, accepted.map(|a| &a.application), moves.application);
    let version = pick(&VERSION, &version_name, accepted.map(|a| &a.version), moves.version);
    let application = application.and_then(|revision| {
        let spec = catalogue.application(&revision);
        content(&APPLICATION, revision, spec).map_err(|problem| problems.push(problem)).ok()
    });
    let blueprint = application.as_ref().and_then(|application| {
        let pinned = accepted.map(|a| a.blueprint.as_str());
        match revision(&BLUEPRINT, &application.spec.blueprint_ref.name, pinned, moves.blueprint, catalogue) {
            Ok((revision, _)) => Some(revision),
            Err(problem) => {
                problems.push(problem);
                None
            }
        }
    });
    let plan = plan.map(|r| (catalogue.plan(&r), r)).map(|(spec, r)| content(&PLAN, r, spec));
    let version = version.map(|r| (catalogue.version(&r), r)).map(|(spec, r)| content(&VERSION, r, spec));
    let blueprint =
        blueprint.map(|r| (catalogue.blueprint(&r), r)).map(|(spec, r)| content(&BLUEPRINT, r, spec));
    match (plan, application, version, blueprint) {
        (Some(Ok(plan)), Some(application), Some(Ok(version)), Some(Ok(blueprint)))
            if problems.is_empty() =>
        {
            let price_list = pinned(accepted, &plan);
            Ok(Definitions { plan, application, version, blueprint, price_list, warnings })
        }
        (plan, _, version, blueprint) => {
            problems.extend(plan.and_then(Result::err));
            problems.extend(version.and_then(Result::err));
            problems.extend(blueprint.and_then(Result::err));
            Err(problems)
        }
    }
}

/// The prices of a tenant: those of its order for as long as it keeps the plan, whatever becomes of the plan's own.
fn pinned(accepted: Option<&AcceptedRevisions>, plan: &Selected<ServicePlanSpec>) -> Option<String> {
    match accepted.filter(|accepted| name_of(&accepted.plan) == plan.revision.name()) {
        Some(accepted) => accepted.price_list.clone(),
        None => prices::name(plan.revision.name(), &plan.spec),
    }
}

/// The revision that applies to one reference, with a warning where the definition is on its way out.
fn revision(
    words: &Words,
    name: &str,
    pinned: Option<&str>,
    moves: bool,
    catalogue: &impl Catalogue,
) -> Result<(Revision, Option<String>), Problem> {
    let pinned =
        pinned.and_then(|text| text.parse::<Revision>().ok()).filter(|revision| revision.name() == name);
    let latest = catalogue.latest(words.kind, name);
    let (noun, named) = (words.noun, format!("{} {name}", words.noun));
    match (pinned, latest) {
        (Some(pinned), Latest::Accepted { revision, lifecycle }) => {
            let leaving = matches!(lifecycle, Lifecycle::Deprecated | Lifecycle::Retired);
            let state = if lifecycle == Lifecycle::Retired { "retired" } else { "deprecated" };
            let warning = leaving.then(|| {
                format!("{named} is {state}; this tenant keeps it, plan the change to another {noun}")
            });
            Ok((if moves { revision } else { pinned }, warning))
        }
        (Some(pinned), Latest::Missing | Latest::NotAccepted) => Ok((pinned, None)),
        (None, Latest::Accepted { revision, lifecycle }) => match orderable(lifecycle) {
            Ok(warning) => Ok((revision, warning.map(|warning| format!("{named} {warning}")))),
            Err(why) => {
                let [unpublished, retired] = words.not_orderable;
                let reason = if lifecycle == Lifecycle::Draft { unpublished } else { retired };
                Err(Problem::new(words.field, reason, format!("{named} {why}")))
            }
        },
        (None, Latest::Missing) => {
            let message = format!("there is no {named}; correct the reference or create the {noun}");
            Err(Problem::new(words.field, words.not_found, message))
        }
        (None, Latest::NotAccepted) => {
            let message = format!(
                "{named} has no accepted revision yet; if this stays, its own condition Accepted says what to correct"
            );
            Err(Problem::new(words.field, words.not_accepted, message))
        }
    }
}

fn content<T>(words: &Words, revision: Revision, spec: Option<Arc<T>>) -> Result<Selected<T>, Problem> {
    match spec {
        Some(spec) => Ok(Selected { revision, spec }),
        None => {
            let message = format!(
                "revision {revision} of the {} is not stored any more; restore its ControllerRevision, or refer to \
                 another {}",
                words.noun, words.noun
            );
            Err(Problem::new(words.field, words.lost, message))
        }
    }
}

// === impl Definitions ===

impl Definitions {
    /// The revisions as a status records them.
    #[must_use]
    pub fn accepted(&self) -> AcceptedRevisions {
        AcceptedRevisions {
            plan: self.plan.revision.to_string(),
            application: self.application.revision.to_string(),
            version: self.version.revision.to_string(),
            blueprint: self.blueprint.revision.to_string(),
            price_list: self.price_list.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
