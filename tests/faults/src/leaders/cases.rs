//! What is done to one leader, and what must come of it.

use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::try_join_all;

use super::Outcome;
use super::pair::{Pair, Replica, Seen};
use crate::history::State;
use crate::oracle::Finding;
use crate::oracle::outcome::Reference;
use crate::plan::Workload;
use crate::site::{Site, Verb};
use crate::stage::QUIET;

/// How long a lease lasts that is not renewed, and what its end may be noticed late by: seconds.
const EXPIRED: f64 = 15.0 + 1.0;
/// How long nobody may lead after the leader let go: seconds.
const RELEASED: f64 = 1.0;
/// In which a process ends that waits for nothing: far less than requests and orderly ends may take.
const A_MOMENT: Duration = Duration::from_secs(1);
/// Orders that a leader is in the midst of.
const ORDERS: usize = 12;
/// Writes after which it is disturbed. Those orders need many times as many.
const WRITES: usize = 40;

pub(super) async fn killed_at_rest(pair: &mut Pair) -> Result<Outcome> {
    let (leader, identity) = pair.begin().await?;
    leader.slot.kill();
    pair.another_leads(&identity).await?;
    let seen = pair.end().await?;
    let findings = pair.judge(&seen, &[]);
    Ok(led_in_time(seen, findings, false))
}

/// The leader is asked to end, with nothing to do or in the midst of work.
pub(super) async fn asked_to_end(pair: &mut Pair, at_work: bool) -> Result<Outcome> {
    let (leader, identity) = pair.begin().await?;
    let mut subjects = Vec::new();
    if at_work {
        subjects.push(keep_one_back(pair, &leader).await?);
        subjects.extend(order(pair, ORDERS).await?);
        pair.writes(leader.name, WRITES).await?;
    }
    leader.slot.terminate()?;
    // With a request under way it must not end. How soon it would is the same whatever else happens at the moment.
    let early = if at_work { leader.slot.gone(A_MOMENT).await.ok() } else { None };
    pair.stage.wire.holds.let_go();
    let status = match early {
        Some(status) => {
            leader.slot.kill();
            status
        }
        None => pair.gone(&leader).await?,
    };
    pair.another_leads(&identity).await?;
    done(pair, &subjects).await?;
    let seen = pair.end().await?;
    let mut findings = pair.judge(&seen, &subjects);
    if early.is_some() {
        let what = format!("{} was asked to end, and ended with a request under way", leader.name);
        findings.push(Finding::new("O6", what));
    }
    if !status.success() {
        findings.push(Finding::new("O11", format!("{} was asked to end and failed: {status}", leader.name)));
    }
    findings.extend(ended_in_order(&seen, &leader));
    Ok(led_in_time(seen, findings, true))
}

/// The leader is stopped in the midst of work until another has led and finished it.
pub(super) async fn stopped(pair: &mut Pair) -> Result<Outcome> {
    let (leader, identity) = pair.begin().await?;
    let subjects = order(pair, ORDERS).await?;
    pair.writes(leader.name, WRITES).await?;
    leader.slot.stop()?;
    pair.another_leads(&identity).await?;
    done(pair, &subjects).await?;
    pair.stage.quiet(QUIET).await?;
    let mut findings = goes_on_and_ends(pair, &leader).await?;
    let seen = pair.end().await?;
    findings.extend(pair.judge(&seen, &subjects));
    Ok(led_in_time(seen, findings, false))
}

/// One request of each kind is under way when the leader is stopped. Another leads and finishes the work; then they
/// arrive, and the old leader goes on.
pub(super) async fn late_requests(pair: &mut Pair) -> Result<Outcome> {
    let mut subjects = Vec::new();
    let mut kept = Vec::new();
    let sites = late_sites(pair)?;
    for workload in Workload::ALL.into_iter().filter(|workload| workload.needs_tenant()) {
        pair.stage.stock(workload, sites.iter().filter(|(of, _)| *of == workload).count()).await?;
    }
    for (workload, site) in sites {
        let tenant = pair.stage.subject(workload).await?;
        kept.push((tenant.clone(), site));
        subjects.push((workload, tenant));
    }
    let (leader, identity) = pair.begin().await?;
    let wire = std::sync::Arc::clone(&pair.stage.wire);
    wire.holds.keep(leader.name, kept);
    let acts = subjects.iter().map(|(workload, tenant)| pair.stage.act(*workload, tenant));
    try_join_all(acts).await?;
    all_kept_back(pair).await?;
    pair.stage.quiet(QUIET).await?;
    leader.slot.stop()?;
    pair.another_leads(&identity).await?;
    done(pair, &subjects).await?;
    pair.stage.quiet(QUIET).await?;
    pair.stage.recorder.settle(|_| true).await?;
    let let_through = pair.stage.recorder.revision();
    let (late, sent) = (wire.exchanges().len(), subjects.len());
    wire.holds.let_go();
    let answered = wire.journal(|all| {
        all.iter().skip(late).filter(|e| e.replica == leader.name && e.code.is_some()).count() >= sent
    });
    let in_time = tokio::time::timeout(crate::recorder::PATIENCE, answered).await;
    in_time.context("a request that was let go was never answered")?;
    let mut findings = goes_on_and_ends(pair, &leader).await?;
    let mut seen = pair.end().await?;
    seen.record.let_through = Some(let_through);
    findings.extend(pair.judge(&seen, &subjects));
    let codes: Vec<String> = seen
        .record
        .exchanges
        .iter()
        .skip(late)
        .filter(|exchange| exchange.replica == leader.name)
        .filter(|exchange| exchange.place.site.verb.is_write() && exchange.place.site.is_essential())
        .map(|exchange| format!("{} {}", exchange.place.site.verb, exchange.code.unwrap_or_default()))
        .collect();
    let mut outcome = led_in_time(seen, findings, false);
    outcome.figures.push_str(&format!(", late ones were answered {}", codes.join(", ")));
    Ok(outcome)
}

/// Orders a tenant, and keeps one request of the leader for it back. Returns when it is under way.
async fn keep_one_back(pair: &mut Pair, leader: &Replica) -> Result<(Workload, String)> {
    let (workload, site) = late_sites(pair)?.into_iter().next().context("no request to keep back")?;
    let tenant = pair.stage.subject(workload).await?;
    pair.stage.wire.holds.keep(leader.name, vec![(tenant.clone(), site)]);
    pair.stage.act(workload, &tenant).await?;
    all_kept_back(pair).await?;
    Ok((workload, tenant))
}

async fn all_kept_back(pair: &Pair) -> Result<()> {
    let complete = tokio::time::timeout(crate::recorder::PATIENCE, pair.stage.wire.holds.complete());
    complete.await.context("a request that is to be kept back never came")
}

/// Workloads, and to each a request that is kept back: every kind of write.
fn late_sites(pair: &Pair) -> Result<Vec<(Workload, Site)>> {
    let is = |verb| move |site: &Site| site.verb == verb && site.subresource.is_empty();
    let middle = |workload: Workload, holds: &dyn Fn(&Site) -> bool| {
        let reference: &Reference =
            pair.references.get(&workload).context("a workload without a reference")?;
        let sites: Vec<&Site> =
            reference.sites.iter().map(|place| &place.site).filter(|site| holds(site)).collect();
        let site = sites.get(sites.len() / 2).context("a workload without such a request")?;
        anyhow::Ok((workload, (*site).clone()))
    };
    let (order, move_, end) = (Workload::Provision, Workload::Upgrade, Workload::OffboardDelete);
    Ok(vec![
        middle(order, &is(Verb::Create))?,
        middle(order, &is(Verb::Patch))?,
        middle(order, &Site::is_status)?,
        middle(move_, &is(Verb::Apply))?,
        middle(move_, &is(Verb::Delete))?,
        middle(move_, &Site::is_status)?,
        middle(end, &is(Verb::Delete))?,
        middle(end, &is(Verb::Patch))?,
        middle(end, &Site::is_status)?,
    ])
}

/// Orders so many tenants at once.
pub(super) async fn order(pair: &mut Pair, count: usize) -> Result<Vec<(Workload, String)>> {
    let mut subjects = Vec::new();
    for _ in 0..count {
        subjects.push((Workload::Provision, pair.stage.subject(Workload::Provision).await?));
    }
    try_join_all(subjects.iter().map(|(workload, tenant)| pair.stage.act(*workload, tenant))).await?;
    Ok(subjects)
}

/// Waits until everything is done that was asked for.
pub(super) async fn done(pair: &Pair, subjects: &[(Workload, String)]) -> Result<()> {
    // Patience is for one order; many take longer.
    for some in subjects.chunks(ORDERS) {
        let all = |state: &State| some.iter().all(|(workload, tenant)| workload.is_done(state, tenant));
        let waited = pair.stage.recorder.until("that the work is done", all).await;
        waited.with_context(|| pair.last_words())?;
    }
    Ok(())
}

/// A leader that was stopped goes on, finds that another leads, and ends.
pub(super) async fn goes_on_and_ends(pair: &Pair, leader: &Replica) -> Result<Vec<Finding>> {
    leader.slot.resume()?;
    let status = pair.gone(leader).await?;
    let name = leader.name;
    let what = format!("{name} lost its lease and ended as if nothing had happened: {status}");
    Ok(if status.success() { vec![Finding::new("O11", what)] } else { Vec::new() })
}

/// Whoever is asked to end brings to its end what it began: no request is cut off.
pub(super) fn ended_in_order(seen: &Seen, replica: &Replica) -> Vec<Finding> {
    let is_cut = |exchange: &&crate::wire::Exchange| {
        let site = &exchange.place.site;
        exchange.replica == replica.name && site.verb.is_write() && exchange.code.is_none()
    };
    let cut = seen.record.exchanges.iter().filter(is_cut);
    cut.map(|exchange| Finding::new("O6", format!("{} was cut off by an orderly end", exchange.place)))
        .collect()
}

/// Adds how long nobody led, and whether that was too long. The one before must have let go, or must not have.
fn led_in_time(seen: Seen, mut findings: Vec<Finding>, must_release: bool) -> Outcome {
    let at_most = if must_release { RELEASED } else { EXPIRED };
    let figures = match seen.takeover() {
        Some((after, released)) => {
            if after > at_most || released != must_release {
                let what = format!("the other led after {after:.2} s, released: {released}");
                findings.push(Finding::new("O6", format!("{what}; at most {at_most} s are allowed")));
            }
            format!("the other led after {after:.2} s")
        }
        None => {
            findings.push(Finding::new("O6", "the lease does not tell when the other took it"));
            String::new()
        }
    };
    Outcome { seen, findings, figures }
}
