//! Everything the controller would know, read once from the API server. Needs a client.

use crate::controller::reconcile::prepare::{Left, Prepared, Workshop};
use crate::controller::roots::{Root, RootObject};
use crate::controller::sayings::Sayings;
use crate::controller::servers::nodes_with_volumes;
use crate::definitions::compiler::Compiler;
use crate::definitions::content;
use crate::definitions::examine::examine;
use crate::definitions::live::{Definition, read};
use crate::definitions::mover::runs;
use crate::definitions::store::Live;
use crate::definitions::{Key, Store};
use crate::plan_change::{Misfit, interrupts, moves, offer, pinned, stuck, unchangeable, used, windows};
use crate::preview::changes::Changes;
use crate::rights::{MANAGER_ROLE, Rights, WATCHER_ROLE};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use serde::Serialize;
use serde_json::Map;
use std::sync::Arc;
use tenantry_apply::discovery::Discovery;
use tenantry_apply::object::{Kind, MANAGED_BY, MANAGED_BY_LABEL};
use tenantry_blueprint::baseline::ServiceAccount;
use tenantry_checklist::Problem;
use tenantry_checklist::access::TenantId;
use tenantry_checklist::hosts::Claims;
use tenantry_checklist::job;
use tenantry_checklist::order::{OrderInput, resolve};
use tenantry_checklist::plan_change::{self, Direction, Step, step};
use tenantry_checklist::revision::{DefinitionKind, Revision, name_of};
use tenantry_checklist::select::{Moves, SelectInput, select};
use tenantry_checklist::suspension::Effect;
use tenantry_checklist::time;
use tenantry_crds::{
    Blueprint, HostedApplication, HostedApplicationVersion, ServicePlan, ServicePlanSpec,
    TenantSubscriptionSpec, TenantSubscriptionStatus, TenantSuspension, TenantSuspensionSpec,
};

/// Everything the controller would know.
pub(crate) struct Known {
    store: Store,
    compiler: Compiler,
    roots: Vec<Root>,
    discovery: Discovery,
    rights: Rights,
    suspensions: Sayings<TenantSuspensionSpec>,
    account: ServiceAccount,
}

/// A change to another plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlanChange {
    pub(crate) from: String,
    pub(crate) to: String,
    /// Whether the customer gets more or less.
    pub(crate) direction: Direction,
    /// When it takes effect; at once where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) effective_at: Option<Time>,
}

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KnownError {
    /// The API server did not answer, or refused.
    #[error("cannot read {what}: {source}")]
    Request {
        /// What was asked for.
        what: &'static str,
        /// Why it failed.
        source: kube::Error,
    },
}

// === impl Known ===

impl Known {
    /// Reads definitions with their stored revisions, subscriptions, suspensions, kinds and rights. `account` is the controller's:
    /// in its namespace the revisions are.
    ///
    /// # Errors
    /// When the API server does not answer, or the caller may not read something of it.
    pub(crate) async fn load(client: &Client, account: ServiceAccount) -> Result<Self, KnownError> {
        let failed = |what| move |source| KnownError::Request { what, source };
        let store = Store::default();
        definitions::<ServicePlan>(client, &store).await.map_err(failed("service plans"))?;
        definitions::<HostedApplication>(client, &store).await.map_err(failed("hosted applications"))?;
        definitions::<HostedApplicationVersion>(client, &store)
            .await
            .map_err(failed("application versions"))?;
        definitions::<Blueprint>(client, &store).await.map_err(failed("blueprints"))?;
        let revisions: Api<ControllerRevision> = Api::namespaced(client.clone(), &account.namespace);
        let ours = ListParams::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}"));
        for object in revisions.list(&ours).await.map_err(failed("stored revisions"))? {
            if let Some((key, revision, content, number)) = content::from_object(&object) {
                store.observe_stored(key, revision, content, number);
            }
        }
        let subscriptions: Api<RootObject> = Api::all(client.clone());
        let subscriptions =
            subscriptions.list(&ListParams::default()).await.map_err(failed("subscriptions"))?;
        let suspensions = Sayings::default();
        let all: Api<TenantSuspension> = Api::all(client.clone());
        for object in all.list(&ListParams::default()).await.map_err(failed("suspensions"))? {
            suspensions.observe(&object);
        }
        let discovery = Discovery::new(client.clone());
        discovery.refresh().await.map_err(failed("which kinds there are"))?;
        let roles: Api<ClusterRole> = Api::all(client.clone());
        let role =
            async |name: &str| Ok(roles.get_opt(name).await?.and_then(|role| role.rules).unwrap_or_default());
        let rights = Rights {
            manager: role(MANAGER_ROLE).await.map_err(failed("the controller's roles"))?,
            watcher: role(WATCHER_ROLE).await.map_err(failed("the controller's roles"))?,
        };
        let roots = subscriptions.items.into_iter().filter_map(Root::from_object).collect();
        Ok(Self { store, compiler: Compiler::default(), roots, discovery, rights, suspensions, account })
    }

    /// A subscription by its name.
    pub(crate) fn root(&self, name: &str) -> Option<&Root> {
        self.roots.iter().find(|root| root.name == name)
    }

    /// Takes in a definition as it would be, as if it were accepted. Gives the subscriptions that run it, and what is wrong with
    /// it; what is wrong is not taken in.
    pub(crate) fn suppose<D: Definition>(&self, object: DynamicObject) -> Result<Vec<String>, Vec<String>> {
        let Some((key, live)) = read::<D>(object) else { return Ok(Vec::new()) };
        let name = key.name.clone();
        let content = live.content.clone().map_err(|error| vec![error])?;
        let found = examine(&self.store, &name, &content);
        if !found.is_empty() {
            return Err(found);
        }
        let revision = content.revision(&name).map_err(|error| vec![error.to_string()])?;
        let mut status = live.status.clone();
        status.accepted = Some(revision.to_string());
        let number = self.store.next_number(&key);
        self.store.observe_stored(key.clone(), revision, content, number);
        self.store.observe(key.clone(), Live { status, ..live });
        Ok(self.users(&key))
    }

    /// The subscriptions whose tenants run a definition.
    fn users(&self, key: &Key) -> Vec<String> {
        let is_user =
            |root: &&Root| root.brief.accepted.as_ref().is_some_and(|accepted| runs(accepted, key).is_some());
        self.roots.iter().filter(is_user).map(|root| root.name.clone()).collect()
    }

    /// What a tenant has: its accepted order on the revisions it runs. Nothing for one that was never accepted.
    ///
    /// # Errors
    /// Why it cannot be rendered.
    pub(crate) fn present(&self, root: &Root) -> Result<Option<Prepared>, Vec<Problem>> {
        let status = status_of(root)?;
        let Some(order) = &status.accepted_order else { return Ok(None) };
        let spec = serde_json::from_str(order).map_err(|error| unreadable("status.acceptedOrder", &error))?;
        self.prepare(Some(root), &root.name, &spec, &status, Moves::default()).map(Some)
    }

    /// When the change to the plan that an order names would take effect, and what of the tenant does not fit it; nothing where
    /// it names the plan that the tenant runs. It is the controller's own answer, given now.
    ///
    /// # Errors
    /// Why the change would be refused.
    pub(crate) async fn plan_change(
        &self,
        client: &Client,
        root: &Root,
        spec: &TenantSubscriptionSpec,
    ) -> Result<Option<PlanChange>, Vec<Problem>> {
        let status = status_of(root)?;
        let Some(accepted) = &status.accepted else { return Ok(None) };
        let (current, wished) = (name_of(&accepted.plan), spec.plan_ref.name.as_str());
        let offer = offer(&self.store, &accepted.plan);
        let now = jiff::Timestamp::now();
        let windows = windows(&status, spec)?;
        let input = plan_change::Input {
            wished,
            current: Some(current),
            offer: offer.as_deref(),
            pending: plan_change::pending(status.plan.as_ref()),
            live_since: status.go_live.as_ref().map(|live| time::instant(&live.at)),
            generation: root.generation,
            now,
        };
        let step = step(&input).reconsidered(&windows, now);
        match &step {
            Step::Same => return Ok(None),
            Step::NotOffered(problem) => return Err(vec![problem.clone()]),
            Step::Now(_) | Step::Later(_) | Step::Waits(_) | Step::Due(_) => {}
        }
        let (before, after) = (self.awake(root, &status, None), self.awake(root, &status, Some(spec)));
        let step = match (&before, &after) {
            (Some(before), Some(after)) if interrupts(before, after) => step.within(&windows, &input),
            _ => step,
        };
        let direct = offer.as_deref().and_then(|offer| plan_change::direction(offer, wished));
        let effective_at = match &step {
            Step::Later(pending) | Step::Waits(pending) | Step::Due(pending) => {
                Some(pending.effective_at).filter(|at| *at > now)
            }
            Step::Same | Step::Now(_) | Step::NotOffered(_) => None,
        };
        // Of what a plan offered once, and offers no more, less is left.
        let direction = match step {
            Step::Now(direction) => direction,
            _ => direct.unwrap_or(Direction::Downgrade),
        };
        if let (Some(before), Some(plan)) = (before, self.plan(wished)) {
            let record = status.inventory.as_ref();
            let frozen = after.as_ref().map(|after| unchangeable(wished, &before, after, record));
            let mut problems = frozen.unwrap_or_default();
            problems.extend(after.iter().flat_map(|after| stuck(wished, &before, after)));
            if after.as_ref().is_some_and(|after| moves(&before, after))
                && let Ok(nodes) = nodes_with_volumes(client, &before.owner.namespace).await
            {
                problems.extend(pinned(wished, Ok(nodes)));
            }
            if direction == Direction::Downgrade {
                let misfit = Misfit { name: wished, plan: &plan, before: &before, after: after.as_ref() };
                problems.extend(misfit.of(used(client, &before).await));
            }
            if !problems.is_empty() {
                return Err(problems);
            }
        }
        Ok(Some(PlanChange {
            from: current.to_owned(),
            to: wished.to_owned(),
            direction,
            effective_at: effective_at.map(time::time),
        }))
    }

    fn plan(&self, name: &str) -> Option<Arc<ServicePlanSpec>> {
        offer(&self.store, name)
    }

    /// What a tenant has, or would have under an order, as if nothing were suspended.
    fn awake(
        &self,
        root: &Root,
        status: &TenantSubscriptionStatus,
        spec: Option<&TenantSubscriptionSpec>,
    ) -> Option<Prepared> {
        let accepted = || serde_json::from_str(status.accepted_order.as_deref()?).ok();
        let spec = spec.cloned().or_else(accepted)?;
        self.prepare_with(Some(root), &root.name, &spec, status, Moves::default(), Effect::default()).ok()
    }

    /// What a tenant would have under an order, on the latest revisions of `moved`; `root` is the subscription as it is, if there
    /// is one.
    ///
    /// # Errors
    /// Why the order would be refused.
    pub(crate) fn wished(
        &self,
        root: Option<&Root>,
        name: &str,
        spec: &TenantSubscriptionSpec,
        moved: &[DefinitionKind],
    ) -> Result<Prepared, Vec<Problem>> {
        let status = root.map_or_else(|| Ok(TenantSubscriptionStatus::default()), status_of)?;
        let moves = Moves {
            plan: moved.contains(&DefinitionKind::Plan),
            application: moved.contains(&DefinitionKind::Application),
            version: moved.contains(&DefinitionKind::Version),
            blueprint: moved.contains(&DefinitionKind::Blueprint),
        };
        self.prepare(root, name, spec, &status, moves)
    }

    fn prepare(
        &self,
        root: Option<&Root>,
        name: &str,
        spec: &TenantSubscriptionSpec,
        status: &TenantSubscriptionStatus,
        moves: Moves,
    ) -> Result<Prepared, Vec<Problem>> {
        let uid = root.map_or("", |root| root.uid.as_str());
        self.prepare_with(root, name, spec, status, moves, Effect::of(&self.suspensions.of(uid)))
    }

    fn prepare_with(
        &self,
        root: Option<&Root>,
        name: &str,
        spec: &TenantSubscriptionSpec,
        status: &TenantSubscriptionStatus,
        moves: Moves,
        suspension: Effect,
    ) -> Result<Prepared, Vec<Problem>> {
        let definitions =
            select(&SelectInput { spec, accepted: status.accepted.as_ref(), moves }, &self.store)?;
        // A tenant that does not exist yet has a random identity later.
        let tenant_id = match &status.tenant {
            Some(tenant) => tenant.id.parse().map_err(|error| unreadable("status.tenant.id", &error))?,
            None => TenantId::from_random([0; 10]),
        };
        let uid = root.map_or("", |root| root.uid.as_str());
        let mut claims = Claims::default();
        for other in &self.roots {
            claims.set(&other.uid, &other.brief.claimed_hosts, &[]);
        }
        let wished: Vec<_> = spec.network.hosts.iter().filter_map(|host| host.parse().ok()).collect();
        claims.set(uid, &status.hosts, &wished);
        let order = resolve(&OrderInput {
            name,
            uid,
            spec,
            definitions: &definitions,
            tenant_id: &tenant_id,
            claims: &claims,
            recorded_hosts: &status.hosts,
        })?;
        let outputs = match root {
            Some(_) => job::outputs(&definitions.blueprint.spec.items, &status.checklist),
            None => Map::new(),
        };
        let workshop = Workshop {
            account: self.account.clone(),
            compiler: &self.compiler,
            discovery: &self.discovery,
            rights: &self.rights,
            surroundings: 0,
            plans: &|| self.store.plans_on_offer(),
        };
        let mut prepared = workshop.prepare(order, outputs, suspension, &Left::default())?;
        // What the blueprint can do without is left out where its kind is not installed.
        let is_there = |kind: &Kind| self.discovery.resolve(kind).is_some();
        prepared.desired.retain(|object| !object.optional || is_there(&object.id.kind));
        Ok(prepared)
    }

    /// Tries each change of an object that exists, as a dry run, so that what the API server would refuse is said.
    pub(crate) async fn try_out(&self, client: &Client, manager: &str, changes: &mut Changes) {
        for changed in &mut changes.changed {
            let kind = Kind::from_api_version(&changed.object.api_version, &changed.object.kind);
            let Some(served) = self.discovery.resolve(&kind) else { continue };
            let namespace = changed.body.pointer("/metadata/namespace").and_then(serde_json::Value::as_str);
            let api: Api<DynamicObject> = match namespace {
                Some(namespace) => Api::namespaced_with(client.clone(), namespace, &served.resource),
                None => Api::all_with(client.clone(), &served.resource),
            };
            let parameters = PatchParams::apply(manager).force().dry_run();
            let tried = api.patch(&changed.object.name, &parameters, &Patch::Apply(&*changed.body)).await;
            changed.refused = match tried {
                Ok(_) => None,
                // Who may not write it cannot try it either.
                Err(kube::Error::Api(status)) if status.code == 403 => {
                    Some(format!("cannot be tried: {}", status.message))
                }
                Err(kube::Error::Api(status)) => Some(status.message.clone()),
                Err(error) => Some(format!("cannot be tried: {error}")),
            };
        }
    }

    /// The revision that a definition would have.
    pub(crate) fn revision(&self, kind: DefinitionKind, name: &str) -> Option<Revision> {
        use tenantry_checklist::select::{Catalogue, Latest};
        match self.store.latest(kind, name) {
            Latest::Accepted { revision, .. } => Some(revision),
            Latest::Missing | Latest::NotAccepted => None,
        }
    }
}

async fn definitions<D: Definition>(client: &Client, store: &Store) -> Result<(), kube::Error> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &D::resource());
    for object in api.list(&ListParams::default()).await? {
        if let Some((key, live)) = read::<D>(object) {
            store.observe(key, live);
        }
    }
    Ok(())
}

fn status_of(root: &Root) -> Result<TenantSubscriptionStatus, Vec<Problem>> {
    root.status().map_err(|error| unreadable("status", &error))
}

fn unreadable(field: &str, error: &dyn std::fmt::Display) -> Vec<Problem> {
    vec![Problem::new(field, "StatusUnreadable", format!("cannot be read: {error}"))]
}
