//! From an order to everything that shall exist for it; no client, no clock.

use super::servers;
use crate::controller::servers::Wish;
use crate::definitions::compiler::Compiler;
use crate::rights::{Needs, Resource, Rights};
use kube::core::ApiResource;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use tenantry_apply::canonical::digest;
use tenantry_apply::discovery::Discovery;
use tenantry_apply::object::{Desired, GeneratedKey, HealthRule, Kind, ObjectId, Owner, Policy, Stage};
use tenantry_apply::scope::{Scope, Scopes};
use tenantry_blueprint::baseline::{self, BaselineInput, Limits, Quota, ServiceAccount};
use tenantry_blueprint::context::{Context as Values, Tenant};
use tenantry_blueprint::decorate::claims;
use tenantry_blueprint::expression::Expression;
use tenantry_blueprint::kinds::GroupKind;
use tenantry_blueprint::render::{Compiled, RenderedItem, RenderedJob, RenderedObject};
use tenantry_checklist::Problem;
use tenantry_checklist::billing::{self, Payer};
use tenantry_checklist::item::Waiting;
use tenantry_checklist::job;
use tenantry_checklist::order::Order;
use tenantry_checklist::sign_off::{self, Wanted};
use tenantry_checklist::sizing::{self, Offer};
use tenantry_checklist::suspension::Effect;
use tenantry_crds::ServicePlanSpec;
use tenantry_crds::blueprint::{Baseline, CheckSubject, ExternalAction, Item};
use tenantry_crds::subscription::{DeclaredData, DeletionPolicy, SizingStatus, SizingVerdict};
use tenantry_crds::version::{GeneratedSecret, JobRole};

/// Group of the role-based access control API.
const RBAC: &str = "rbac.authorization.k8s.io";
/// What an item says that has nothing to compute.
const NOT_SIZED: &str = "nothing to size by: the order states no inputs, or the application has no formulas";
/// Longest list of roles that goes whole into the message of a condition.
const FRAGMENT_LIMIT: usize = 900;

/// Everything that shall exist for one tenant.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The order it was made from.
    pub(crate) order: Order,
    /// Whose objects.
    pub(crate) owner: Owner,
    /// The checklist items.
    pub(crate) items: Vec<PreparedItem>,
    /// What the customer's business needs.
    pub(crate) sizing: Option<SizingStatus>,
    /// The objects, all released.
    pub(crate) desired: Vec<Desired>,
    /// Compiled readiness expressions by their text.
    pub(crate) ready_when: HashMap<String, Expression>,
    /// Claims whose volumes only jobs mount.
    pub(crate) claims_of_jobs: BTreeSet<String>,
    /// What jobs that are done found, as later ones read it.
    pub(crate) outputs: Map<String, Value>,
    /// What is taken away from the tenant.
    pub(crate) suspension: Effect,
    /// What lets people in and goes while nobody shall get in.
    pub(crate) leaving: Vec<ObjectId>,
    /// Revisions of plans whose objects may still stand.
    pub(crate) plans_left: Vec<String>,
    /// What bounds the tenant as long as these stand, with room for them, to be written before everything that may grow.
    pub(crate) roomy: Vec<Desired>,
    /// What it asks for of servers, where its checklist has an item for them.
    pub(crate) wish: Option<Wish>,
    /// What it depends on besides the order: kinds that are served and rights that are held.
    pub(crate) surroundings: u64,
}

/// One checklist item under an order.
#[derive(Clone, Debug)]
pub(crate) struct PreparedItem {
    pub(crate) item: Item,
    /// Why it does not apply.
    pub(crate) skipped: Option<String>,
    /// The signature it asks for.
    pub(crate) wanted: Option<Wanted>,
    /// Whether the signature is all that the item waits for: nothing behind it begins before.
    pub(crate) is_sign_off: bool,
    /// The job that it runs.
    pub(crate) job: Option<PreparedJob>,
    /// Somebody else's object that it waits for.
    pub(crate) external: Option<PreparedExternal>,
    /// What it found out, for people.
    pub(crate) note: Option<String>,
}

/// The job of an item under an order.
#[derive(Clone, Debug)]
pub(crate) struct PreparedJob {
    /// The Job, apart from what belongs to one run.
    pub(crate) rendered: RenderedJob,
    /// What a run of it is about.
    pub(crate) digest: String,
    /// What the customer declared that it has to find.
    pub(crate) declared: Option<DeclaredData>,
    /// What has to happen outside before it runs.
    pub(crate) waits: Option<Waiting>,
    /// The Secret without which it does not begin.
    pub(crate) source: Option<ObjectId>,
}

/// Somebody else's object that an item waits for under an order.
#[derive(Clone, Debug)]
pub(crate) struct PreparedExternal {
    /// Which object.
    pub(crate) id: ObjectId,
    /// Says whether it is as it should be.
    pub(crate) until: Expression,
    /// Digest of what is waited for.
    pub(crate) digest: String,
}

/// Plans whose objects may still stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Left {
    /// Their revisions.
    pub(crate) revisions: Vec<String>,
    /// Their content, of those that are stored.
    pub(crate) plans: Vec<Arc<ServicePlanSpec>>,
}

/// What orders are prepared with.
pub(crate) struct Workshop<'a> {
    /// Who writes what is rendered.
    pub(crate) account: ServiceAccount,
    pub(crate) compiler: &'a Compiler,
    pub(crate) discovery: &'a Discovery,
    pub(crate) rights: &'a Rights,
    pub(crate) surroundings: u64,
    /// Plans that can be ordered.
    pub(crate) plans: &'a dyn Fn() -> Vec<(String, Arc<ServicePlanSpec>)>,
}

// === impl Prepared ===

impl Prepared {
    /// Whether an item runs a job.
    pub(crate) fn has_jobs(&self) -> bool {
        self.items.iter().any(|item| item.job.is_some())
    }

    /// Whether an item opens the tenant.
    pub(crate) fn opens(&self, item: &str) -> bool {
        self.items.iter().any(|known| known.item.name == item && known.item.go_live.is_some())
    }

    /// The kinds of objects that others make and that its items wait for.
    pub(crate) fn foreign_kinds(&self) -> BTreeSet<&Kind> {
        let externals = self.items.iter().filter_map(|item| Some(&item.external.as_ref()?.id.kind));
        let sources = self.items.iter().filter_map(|item| Some(&item.job.as_ref()?.source.as_ref()?.kind));
        externals.chain(sources).collect()
    }
}

// === impl Workshop ===

impl Workshop<'_> {
    /// Renders an order and checks that the result fits the plan and that it can be written.
    ///
    /// # Errors
    /// Every problem, each with its field, reason and remedy.
    pub(crate) fn prepare(
        &self,
        order: Order,
        outputs: Map<String, Value>,
        suspension: Effect,
        left: &Left,
    ) -> Result<Prepared, Vec<Problem>> {
        let compiled = self.compiler.compile(&order.definitions)?;
        let tenant = Tenant::of(&order);
        let plan = Arc::clone(&order.definitions.plan.spec);
        let values = compiled.context(&order).with_outputs(outputs.clone()).with_suspension(&suspension);
        let rendered = compiled.render(&values).map_err(cannot_render)?;
        let sizing = self.size(&compiled, &values, &order)?;
        let base =
            baseline::objects(BaselineInput::of(&tenant, &order, &suspension)).map_err(cannot_render)?;
        let roomy = match left.plans.as_slice() {
            [] => BTreeMap::new(),
            plans => {
                let input = BaselineInput::of(&tenant, &order, &suspension);
                baseline::with_room(input, plans.iter().map(|plan| &**plan)).map_err(cannot_render)?
            }
        };
        fits(&rendered, &plan)?;

        let mut assembly = Assembly::new(self, &order, &compiled);
        let items = assembly.items(rendered, base, roomy, &tenant, &order, sizing.as_ref());
        let Assembly { desired, standby, mut roomy, mut problems, ready_when, owner, .. } = assembly;
        roomy.retain(|room| desired.iter().any(|one| one.id == room.id));
        let exports = order.deletion_policy == DeletionPolicy::ExportThenDelete;
        let has_jobs = exports || items.iter().any(|item| item.job.is_some());
        let claims_of_jobs = claims_of_jobs(&items, &desired);
        problems.extend(self.missing_rights(
            desired.iter().chain(&standby),
            &items,
            has_jobs,
            order.definitions.application.revision.name(),
        ));
        let wish = match servers::wish(&order, left, &items, &desired) {
            Ok(wish) => wish,
            Err(problem) => {
                problems.push(problem);
                None
            }
        };
        let stands: HashSet<&ObjectId> = desired.iter().map(|object| &object.id).collect();
        let leaving = standby.into_iter().map(|object| object.id).filter(|id| !stands.contains(id)).collect();
        if problems.is_empty() {
            let surroundings = self.surroundings;
            Ok(Prepared {
                order,
                owner,
                items,
                sizing,
                desired,
                ready_when,
                claims_of_jobs,
                outputs,
                leaving: if suspension.network { leaving } else { Vec::new() },
                plans_left: left.revisions.clone(),
                roomy,
                suspension,
                wish,
                surroundings,
            })
        } else {
            Err(problems)
        }
    }

    /// The job of an item that is none of the blueprint's.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub(crate) fn job(
        &self,
        order: &Order,
        outputs: Map<String, Value>,
        item: &Item,
    ) -> Result<PreparedJob, String> {
        let compiled =
            self.compiler.compile(&order.definitions).map_err(|problems| Problem::list(&problems))?;
        let values = compiled.context(order).with_outputs(outputs);
        let rendered = compiled.job_of(item, &values).map_err(|error| error.to_string())??;
        let owner = Owner {
            tenant_id: order.tenant_id.as_str().into(),
            subscription: order.name.as_str().into(),
            namespace: order.namespace.as_str().into(),
        };
        Ok(prepared_job(order, item, rendered, &owner))
    }

    /// What the customer's business needs, where the application says how to compute it and the order states it.
    fn size(
        &self,
        compiled: &Compiled,
        values: &Values,
        order: &Order,
    ) -> Result<Option<SizingStatus>, Vec<Problem>> {
        let plans = if order.inputs.is_some() { (self.plans)() } else { Vec::new() };
        let offers: Vec<Offer<'_>> = plans.iter().map(|(name, spec)| Offer { name, spec }).collect();
        compiled.size(values, order, &offers).map_err(|error| {
            let application = order.definitions.application.revision.name();
            let message = format!("cannot be sized by application {application}: {error}");
            vec![Problem::new("spec.inputs", "CannotSize", message)]
        })
    }

    /// Rights that the controller lacks, as one problem that holds the remedy.
    fn missing_rights<'d>(
        &self,
        desired: impl Iterator<Item = &'d Desired>,
        items: &[PreparedItem],
        has_jobs: bool,
        application: &str,
    ) -> Option<Problem> {
        let mut needs = Needs::default();
        for external in items.iter().filter_map(|item| item.external.as_ref()) {
            if let Some(served) = self.discovery.resolve(&external.id.kind) {
                let ApiResource { group, plural, .. } = served.resource;
                needs.add_observed(Resource { group, plural });
            }
        }
        if has_jobs {
            needs.add_jobs();
        }
        for object in desired {
            let kind = &object.id.kind;
            let Some(served) = self.discovery.resolve(kind) else { continue };
            let resource = Resource { group: served.resource.group, plural: served.resource.plural };
            needs.add_kind(kind, &resource);
            if kind.is(RBAC, "Role") {
                needs.add_role(&object.body);
            }
        }
        let missing = self.rights.missing(&needs);
        (!missing.is_empty()).then(|| {
            let roles = missing.cluster_roles(application);
            // On one line and as JSON, so that it can be given to kubectl as it stands.
            let list = json!({"apiVersion": "v1", "kind": "List", "items": roles}).to_string();
            let remedy = if list.len() <= FRAGMENT_LIMIT {
                format!("apply {list}")
            } else {
                let resources = missing.manager.keys().map(ToString::to_string).collect::<Vec<_>>();
                let resources = resources.join(", ");
                format!("over {resources}: apply what `tenantry build DIR --rights FILE` writes")
            };
            let message = format!("the controller lacks rights that this order needs; {remedy}");
            Problem::new("spec.applicationRef", "MissingRights", message)
        })
    }
}

/// Desired objects as they come together.
struct Assembly<'a> {
    shop: &'a Workshop<'a>,
    compiled: &'a Compiled,
    owner: Owner,
    desired: Vec<Desired>,
    /// What would stand in the place of some of them.
    standby: Vec<Desired>,
    /// What bounds the tenant while objects of another plan may stand.
    roomy: Vec<Desired>,
    ready_when: HashMap<String, Expression>,
    problems: Vec<Problem>,
}

// === impl Assembly ===

impl<'a> Assembly<'a> {
    fn new(shop: &'a Workshop<'a>, order: &Order, compiled: &'a Compiled) -> Self {
        let owner = Owner {
            tenant_id: order.tenant_id.as_str().into(),
            subscription: order.name.as_str().into(),
            namespace: order.namespace.as_str().into(),
        };
        let (desired, standby, roomy) = (Vec::new(), Vec::new(), Vec::new());
        let (ready_when, problems) = (HashMap::new(), Vec::new());
        Self { shop, compiled, owner, desired, standby, roomy, ready_when, problems }
    }

    /// Takes in the objects of every item, and gives the items with why one does not apply.
    fn items(
        &mut self,
        rendered: Vec<RenderedItem>,
        mut base: BTreeMap<Baseline, Vec<RenderedObject>>,
        mut roomy: BTreeMap<Baseline, Vec<RenderedObject>>,
        tenant: &Tenant,
        order: &Order,
        sizing: Option<&SizingStatus>,
    ) -> Vec<PreparedItem> {
        let definitions = self.compiled.specs();
        let mut items = Vec::new();
        for (item, rendered) in definitions.blueprint.items.iter().zip(rendered) {
            for part in &rendered.baseline {
                for object in base.remove(part).unwrap_or_default() {
                    self.add(&item.name, stage_of(*part), object);
                }
                for object in roomy.remove(part).unwrap_or_default() {
                    // Before everything that may grow.
                    let made = self.made(&item.name, Stage::Foundation, object);
                    self.roomy.extend(made);
                }
                if *part == Baseline::Namespace {
                    self.add(
                        &item.name,
                        Stage::Foundation,
                        baseline::manager_binding(tenant, &self.shop.account),
                    );
                }
            }
            if item.application.is_some() && rendered.skipped.is_none() {
                definitions.version.secrets.iter().for_each(|secret| self.secret(&item.name, secret));
            }
            for object in rendered.objects {
                self.add(&item.name, stage_in(item, &object), object);
            }
            for object in rendered.standby {
                let stage = stage_in(item, &object);
                let made = self.made(&item.name, stage, object);
                self.standby.extend(made);
            }
            let job = rendered.job.map(|rendered| prepared_job(order, item, rendered, &self.owner));
            let external = rendered.external.and_then(|index| self.external(item, index));
            let sizing = sizing.filter(|_| checks_size(item));
            let too_small = sizing.filter(|sizing| sizing.verdict == SizingVerdict::DoesNotFit);
            let (free, billed) = match billing::payer(order) {
                _ if item.billing.is_none() => (None, None),
                Payer::Free => (Some(billing::FREE.to_owned()), None),
                Payer::Missing => (None, None),
                Payer::Account { account, price_list } => {
                    (None, Some(format!("account {account}, prices {price_list}")))
                }
            };
            let is_sign_off = item.sign_off.is_some() || too_small.is_some();
            let asked = sign_off::wanted(order, item).filter(|_| is_sign_off || rendered.confirmed);
            items.push(PreparedItem {
                item: item.clone(),
                skipped: rendered.skipped.or(free),
                wanted: too_small.map(|sizing| sign_off::approval(order, item, sizing)).or(asked),
                is_sign_off,
                job,
                external,
                note: sizing
                    .map(sizing::told)
                    .or_else(|| checks_size(item).then(|| NOT_SIZED.to_owned()))
                    .or(billed),
            });
        }
        items
    }

    fn add(&mut self, item: &str, stage: Stage, object: RenderedObject) {
        let made = self.made(item, stage, object);
        self.desired.extend(made);
    }

    fn made(&mut self, item: &str, stage: Stage, object: RenderedObject) -> Option<Desired> {
        let RenderedObject { api_version, kind, name: _, body, optional, ready_when, origin } = object;
        let kind = Kind::from_api_version(&api_version, &kind);
        // A kind that is not served is taken for a namespaced one: the planner waits for it, or goes without.
        let namespaced = self.shop.discovery.scope(&kind) != Some(Scope::Cluster);
        let mut desired = match Desired::new(&self.owner, item, stage, namespaced, body) {
            Ok(desired) => desired,
            Err(error) => {
                self.problems.push(cannot_render_one(&format!("{origin}: {error}")));
                return None;
            }
        };
        desired.optional = optional;
        if let Some(expression) = ready_when.and_then(|index| self.compiled.readiness(index)) {
            desired.health = HealthRule::ReadyWhen(expression.source().to_owned());
            self.ready_when.insert(expression.source().to_owned(), expression.clone());
        }
        Some(desired)
    }

    /// What an item waits for of somebody else.
    fn external(&self, item: &Item, until: usize) -> Option<PreparedExternal> {
        let action = item.external.as_ref()?;
        let is_namespaced = |kind: &Kind| self.shop.discovery.scope(kind) != Some(Scope::Cluster);
        Some(PreparedExternal {
            id: external_id(action, &self.owner, is_namespaced),
            until: self.compiled.readiness(until)?.clone(),
            digest: digest(&json!(action)),
        })
    }

    fn secret(&mut self, item: &str, secret: &GeneratedSecret) {
        let body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret.name}, "type": "Opaque"});
        match Desired::new(&self.owner, item, Stage::Ordinary, true, body) {
            Ok(mut desired) => {
                let key = |key: &tenantry_crds::version::SecretKey| GeneratedKey {
                    name: key.name.clone(),
                    length: usize::try_from(key.length).unwrap_or_default(),
                };
                desired.policy = Policy::Generated(secret.keys.iter().map(key).collect());
                self.desired.push(desired);
            }
            Err(error) => self.problems.push(cannot_render_one(&format!("secret {}: {error}", secret.name))),
        }
    }
}

/// Which object an item waits for. A kind that is not served is taken for a namespaced one; it is waited for.
pub(super) fn external_id(
    action: &ExternalAction,
    owner: &Owner,
    is_namespaced: impl Fn(&Kind) -> bool,
) -> ObjectId {
    let kind = Kind::from_api_version(&action.api_version, &action.kind);
    let namespace = is_namespaced(&kind).then(|| owner.namespace.clone());
    let name = action.name.as_deref().unwrap_or(&owner.subscription);
    ObjectId { kind, namespace, name: name.into() }
}

fn prepared_job(order: &Order, item: &Item, rendered: RenderedJob, owner: &Owner) -> PreparedJob {
    let action = item.job.clone().unwrap_or_default();
    let secret = || ObjectId::new(Kind::new("", "v1", "Secret"), Some(&owner.namespace), job::SOURCE_SECRET);
    let declared = job::declared(order, &action).cloned();
    let waits = (action.load.is_some() && declared.is_none()).then(|| Waiting {
        reason: "NotDeclared".to_owned(),
        message:
            "the final run waits until the order states what it has to find, in spec.dataConversion.cutOver"
                .to_owned(),
    });
    let source = (action.role == JobRole::Convert).then(secret);
    PreparedJob { rendered, digest: job::digest(order, item), declared, waits, source }
}

/// The kind as the blueprint's rules know it.
pub(crate) fn group_kind(kind: &Kind) -> GroupKind {
    GroupKind { group: kind.group().to_owned(), kind: kind.name().to_owned() }
}

/// The claims that jobs mount and nothing that runs for long does.
fn claims_of_jobs(items: &[PreparedItem], desired: &[Desired]) -> BTreeSet<String> {
    let of_jobs = items.iter().filter_map(|item| item.job.as_ref()).flat_map(|job| job.rendered.claims());
    let mut all: BTreeSet<String> = of_jobs.map(str::to_owned).collect();
    if !all.is_empty() {
        for object in desired {
            claims(&object.body, &group_kind(&object.id.kind)).for_each(|claim| {
                all.remove(claim);
            });
        }
    }
    all
}

/// Whether an item compares what the customer's business needs with the plan.
fn checks_size(item: &Item) -> bool {
    item.check.is_some_and(|check| check.of == CheckSubject::Sizing)
}

/// What must stand before an object that Tenantry builds itself.
fn stage_of(part: Baseline) -> Stage {
    match part {
        Baseline::Namespace | Baseline::DefaultDeny | Baseline::LimitRange => Stage::Foundation,
        Baseline::ResourceQuota => Stage::Quota,
        Baseline::AccessBindings => Stage::Access,
    }
}

/// What must stand before an object of a template. Nobody gets rights, an application's own accounts included, before
/// the namespace is closed and bounded.
fn stage_in(item: &Item, object: &RenderedObject) -> Stage {
    match object.kind.as_str() {
        _ if item.go_live.is_some() => Stage::Route,
        "RoleBinding" => Stage::Access,
        _ => Stage::Ordinary,
    }
}

/// Proves that what the application asks for fits the plan, before the first object is written.
fn fits(rendered: &[RenderedItem], plan: &ServicePlanSpec) -> Result<(), Vec<Problem>> {
    let quota = Quota::new(plan).map_err(cannot_render)?;
    let limits = Limits::new(plan).map_err(cannot_render)?;
    let bodies = rendered.iter().flat_map(|item| &item.objects).map(|object| &object.body);
    baseline::fits(bodies, &quota, &limits).map_err(|misfits| {
        misfits
            .iter()
            .map(|misfit| Problem::new("spec.planRef.name", "QuotaTooSmall", misfit.to_string()))
            .collect()
    })
}

fn cannot_render(error: impl std::fmt::Display) -> Vec<Problem> {
    vec![cannot_render_one(&error.to_string())]
}

fn cannot_render_one(error: &str) -> Problem {
    Problem::new("spec", "CannotRender", format!("the objects cannot be rendered: {error}"))
}
