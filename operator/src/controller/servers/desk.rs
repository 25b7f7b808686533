//! The desk: decides for everybody who asked, writes it down, and puts nodes right. Needs a client and a clock.
//!
//! There is one, so decisions come one after the other, and what waits while one is written is decided together. A pool is
//! written before any tenant is told, over the record that was looked at.

use super::leaving::{is_empty, is_gone, traces};
use super::looks::{LOOK_AGAIN, Looks, Subject};
use super::making;
use super::nodes::of_pool;
use super::say::{self, conditions};
use super::write::{self, ServersError};
use crate::controller::context::Context;
use crate::controller::patience::doubled;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tenantry_checklist::time;
use tenantry_crds::ServerPool;
use tenantry_crds::pool::{PoolReservation, ServerPoolStatus};
use tenantry_servers::making::makable;
use tenantry_servers::record::{self, Known, restore, take_back};
use tenantry_servers::{Decision, Mark, Pool, leave, marks, settle, to_look_at};
use tokio::time::Instant;

/// First and longest wait after a write that did not happen.
const WRITE_AGAIN: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(30)];

/// What is being waited for.
#[derive(Debug, Default)]
struct Desk {
    /// Writes that did not happen in a row, by pool.
    failed: HashMap<String, u32>,
    /// What is looked at again.
    looks: Looks,
}

/// A pool as it is looked at.
struct Look {
    name: String,
    pool: Pool,
    decisions: BTreeMap<String, Decision>,
    /// Those whose share was given back.
    left: BTreeSet<String>,
    /// Those about whom it has to be seen what is on their own servers.
    open: BTreeSet<String>,
}

/// Sits at the desk for as long as this process leads.
pub(crate) async fn run(context: &Context) {
    let mut desk = Desk::default();
    loop {
        let next = desk.look(context).await;
        let changed = context.servers.changed.notified();
        match next {
            Some(at) => tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(at) => {}
            },
            None => changed.await,
        }
    }
}

// === impl Desk ===

impl Desk {
    /// Looks at every pool. Gives when to look again if nothing happens before.
    async fn look(&mut self, context: &Context) -> Option<Instant> {
        let names: Vec<String> = {
            let state = context.servers.lock();
            if !state.nodes_known {
                return None;
            }
            state.pools.keys().cloned().collect()
        };
        if names.is_empty() {
            return None;
        }
        if !context.executor.gate.may_write() {
            return Some(Instant::now() + LOOK_AGAIN[0]);
        }
        let mut next = None;
        for name in names {
            let again = self.pool(context, &name).await;
            next = [next, again].into_iter().flatten().min();
        }
        next
    }

    async fn pool(&mut self, context: &Context, name: &str) -> Option<Instant> {
        let now = jiff::Timestamp::now();
        let known = tenants(context, name);
        let (object, status, look) = decide(context, name, &known, now)?;
        if object.status.as_ref() != Some(&status) {
            match write::record(context, &object, &status).await {
                Ok(written) => {
                    self.failed.remove(name);
                    context.servers.record(written);
                }
                Err(error) => {
                    let failed = self.failed.entry(name.to_owned()).or_default();
                    let wait = doubled(WRITE_AGAIN, *failed);
                    *failed = failed.saturating_add(1);
                    match error {
                        ServersError::Outdated => {
                            tracing::debug!(pool = name, "the record is newer; looking again")
                        }
                        error => {
                            tracing::warn!(pool = name, %error, "the record of a pool is not written yet")
                        }
                    }
                    return Some(Instant::now() + wait);
                }
            }
        }
        let look = look?;
        tell(context, &object, &status, &look);
        let marked = self.mark(context, &look).await;
        let freed = self.look_after_left(context, &look, &known, &status).await;
        let left = self.look_at_own(context, &look).await;
        let made = making::carry_out(&mut self.looks, context, &object, &status).await;
        [marked, freed, left, made].into_iter().flatten().min()
    }

    /// Looks at what is on servers that tenants have too much of, leave, or shall have exchanged. What is left is looked at until
    /// nothing is on it; the others again only when something else happened.
    async fn look_at_own(&mut self, context: &Context, look: &Look) -> Option<Instant> {
        self.looks.keep_own(&look.name, &look.open);
        let (mut next, mut unused) = (None, None);
        for tenant in &look.open {
            let Some(held) = look.pool.reservations.get(tenant) else { continue };
            let next = if held.leaving.is_empty() { &mut unused } else { &mut next };
            let what = Subject::Own { pool: look.name.clone(), tenant: tenant.clone() };
            if !self.looks.is_due(&what, next) {
                continue;
            }
            // What is not marked yet may still get something.
            let is_closed = |name: &&String| {
                look.pool.nodes.get(*name).is_some_and(|node| node.mark == Mark::Leaving(tenant.clone()))
            };
            let closed: BTreeSet<String> = held.leaving.iter().filter(is_closed).cloned().collect();
            match traces(context, held).await {
                Ok(traces) => context.servers.has_traces(&look.name, tenant, traces, closed),
                Err(error) => {
                    tracing::warn!(tenant, %error, "what is on a tenant's servers cannot be looked at yet")
                }
            }
            self.looks.again(what, next);
        }
        next
    }

    /// Puts on each node what it has to carry, and looks at those that were not seen empty yet.
    async fn mark(&mut self, context: &Context, look: &Look) -> Option<Instant> {
        let mut wanted = marks(&look.pool);
        let mut next = None;
        for (name, node) in &look.pool.nodes {
            let what = Subject::Node(name.clone());
            if node.mark != Mark::Enrolling
                || wanted.contains_key(name)
                || !self.looks.is_due(&what, &mut next)
            {
                continue;
            }
            match is_empty(context, name).await {
                Ok(true) => {
                    wanted.insert(name.clone(), Mark::Free);
                }
                Ok(false) => self.looks.again(what, &mut next),
                Err(error) => {
                    tracing::warn!(node = name, %error, "it cannot be seen yet whether a node is empty");
                    self.looks.again(what, &mut next);
                }
            }
        }
        for (name, mark) in wanted {
            let seen = context.servers.lock().nodes.get(&name).cloned();
            let Some(seen) = seen.filter(|seen| seen.mark != mark) else { continue };
            let what = Subject::Node(name.clone());
            match write::mark(context, &name, &seen, &mark).await {
                Ok(Some(seen)) => {
                    self.looks.forget(&what);
                    let tenants = context.servers.observe_node(name, seen);
                    tenants.into_iter().for_each(|tenant| context.queue.wake(tenant));
                }
                Ok(None) => {}
                // The node itself comes with the watch, or is gone.
                Err(ServersError::Outdated) => self.looks.again(what, &mut next),
                Err(error) => {
                    tracing::warn!(node = name, %error, "a node is not marked yet");
                    self.looks.again(what, &mut next);
                }
            }
        }
        next
    }

    /// Looks whether those whose subscription nobody knows any more have left their share.
    async fn look_after_left(
        &mut self,
        context: &Context,
        look: &Look,
        known: &BTreeMap<String, Known>,
        status: &ServerPoolStatus,
    ) -> Option<Instant> {
        let is_orphan = |held: &&PoolReservation| {
            known.get(&held.tenant).is_none_or(|who| who.uid != held.uid)
                && context.roots.get(&held.subscription).is_none_or(|root| root.uid != held.uid)
        };
        let mut next = None;
        for held in status.reservations.iter().filter(is_orphan) {
            let what = Subject::Left { pool: look.name.clone(), tenant: held.tenant.clone() };
            if !self.looks.is_due(&what, &mut next) {
                continue;
            }
            match is_gone(context, held, look.pool.tenancy).await {
                Ok(true) => {
                    self.looks.forget(&what);
                    context.servers.has_left(&look.name, &held.tenant);
                }
                Ok(false) => self.looks.again(what, &mut next),
                Err(error) => {
                    tracing::warn!(tenant = held.tenant, %error, "what a tenant left cannot be looked at yet");
                    self.looks.again(what, &mut next);
                }
            }
        }
        next
    }
}

/// Everybody who is known to be a tenant, by identity, with what he says that he has in a pool.
fn tenants(context: &Context, pool: &str) -> BTreeMap<String, Known> {
    let all = context.roots.all();
    let known = all.iter().filter_map(|root| {
        let has = root.brief.servers.as_ref().filter(|servers| servers.pool == pool);
        let has = has.and_then(|has| Some((record::amounts(&has.amounts)?, has.nodes.clone())));
        let who = Known { subscription: root.name.clone(), uid: root.uid.clone(), has };
        Some((root.brief.tenant_id.clone()?, who))
    });
    known.collect()
}

/// What the record of a pool becomes, and what was decided, where the pool is in use.
fn decide(
    context: &Context,
    name: &str,
    known: &BTreeMap<String, Known>,
    now: jiff::Timestamp,
) -> Option<(Arc<ServerPool>, ServerPoolStatus, Option<Look>)> {
    let mut state = context.servers.lock();
    let object = Arc::clone(state.pools.get(name)?);
    let (seen, closed) = state.traces.remove(name).unwrap_or_default();
    let before = object.status.clone().unwrap_or_default();
    let nodes = of_pool(name, write::specs(state.pools.values().map(|pool| &**pool)), &state.nodes);
    let at = time::time(now);
    let generation = object.metadata.generation;
    let refused = |why: String| {
        let conditions =
            conditions(&object.spec, generation.unwrap_or_default(), Err(why), &[], &before.conditions, &at);
        let status = ServerPoolStatus { observed_generation: generation, conditions, ..before.clone() };
        Some((Arc::clone(&object), status, None))
    };
    if let Some(other) = state.in_place_of(&object) {
        return refused(format!(
            "pool {other} has the servers of class {} already; give this one another class, or remove one of them",
            object.spec.class
        ));
    }
    let mut pool = match record::pool(&object.spec, &before, nodes) {
        Ok(pool) => pool,
        Err(unreadable) => {
            return refused(format!(
                "{} cannot be read; restore it, and the pool is used again",
                unreadable.field
            ));
        }
    };
    let seconds = now.as_second();
    restore(&mut pool, &object.spec, known, seconds);
    take_back(&mut pool, &object.spec);
    let left: BTreeSet<String> =
        state.left.iter().filter(|(of, _)| of == name).map(|(_, tenant)| tenant.clone()).collect();
    for tenant in &left {
        pool.release(tenant, seconds);
    }
    // Who asks elsewhere by now, or is on his way out, does not wait here.
    pool.waiting.retain(|_, want| {
        let root = context.roots.get(&want.subscription).filter(|root| root.uid == want.uid);
        let elsewhere = state
            .wishes
            .get(&want.uid)
            .is_some_and(|(wish, _)| wish.class != object.spec.class || wish.tenancy != object.spec.tenancy);
        root.is_some_and(|root| root.deleting_since.is_none()) && !elsewhere
    });
    let mut made = making::known(&state, name, &before);
    let wants = state.wants(&object);
    leave(&mut pool, &wants, &object.spec, &seen, &closed, seconds);
    pool.makable = makable(&object.spec, &made, &pool, &making::origins(&state.nodes));
    let decisions = settle(&mut pool, wants.iter().cloned());
    let open = to_look_at(&pool, &wants, &object.spec);
    let making = making::decide(&state, &object, &mut pool, &mut made, &before, &at);
    let in_order: Vec<Decision> = decisions.values().cloned().collect();
    let mut status = record::status(&pool, &before, generation);
    status.conditions = conditions(
        &object.spec,
        generation.unwrap_or_default(),
        Ok(&pool),
        &in_order,
        &before.conditions,
        &at,
    );
    status.made = made;
    if let Some((condition, coming)) = making {
        status.conditions.push(condition);
        status.coming = coming;
    }
    let look = Look { name: name.to_owned(), pool, decisions, left, open };
    Some((Arc::clone(&object), status, Some(look)))
}

/// Keeps what was decided, now that it is written, and wakes those for whom something is new.
fn tell(context: &Context, before: &ServerPool, status: &ServerPoolStatus, look: &Look) {
    let mut state = context.servers.lock();
    for tenant in &look.left {
        state.left.remove(&(look.name.clone(), tenant.clone()));
    }
    let told: BTreeMap<(String, String), Decision> = look
        .decisions
        .iter()
        .filter(|(_, decision)| **decision != Decision::Held)
        .map(|(tenant, decision)| ((look.name.clone(), tenant.clone()), decision.clone()))
        .collect();
    let mut news: BTreeSet<String> = BTreeSet::new();
    let is_here = |key: &(String, String)| key.0 == look.name;
    for (key, decision) in &told {
        if state.decisions.get(key) != Some(decision) {
            news.insert(key.1.clone());
        }
    }
    news.extend(
        state
            .decisions
            .keys()
            .filter(|key| is_here(key) && !told.contains_key(*key))
            .map(|key| key.1.clone()),
    );
    state.decisions.retain(|key, _| !is_here(key));
    state.decisions.extend(told);
    state.recorded(&look.name, status);
    // What is awaited for those who wait is told to them.
    let said = before.status.as_ref().and_then(say::making);
    if said != say::making(status) {
        news.extend(status.waiting.iter().map(|wish| wish.tenant.clone()));
    }
    let known: HashMap<&str, &PoolReservation> = before
        .status
        .iter()
        .flat_map(|status| status.reservations.iter().map(|held| (held.tenant.as_str(), held)))
        .collect();
    let changed = status.reservations.iter().filter(|held| known.get(held.tenant.as_str()) != Some(held));
    news.extend(changed.map(|held| held.tenant.clone()));
    let asked = state.wishes.values().filter(|(wish, _)| news.contains(wish.tenant.as_str()));
    let names: Vec<String> = asked.map(|(wish, _)| wish.subscription.clone()).collect();
    drop(state);
    names.into_iter().for_each(|name| context.queue.wake(name));
}
