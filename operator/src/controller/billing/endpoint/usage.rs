//! `POST /v1/usage`: whoever may, tells what was used. Needs a client and the database.
//!
//! The token says for whom: an application of a tenant speaks for its tenant and nobody else, whatever its events say. Everybody else
//! speaks for the subscriptions that the API server says he may `report`.

use super::caller::Caller;
use super::refused::{Reason, Refused};
use super::{json, leading};
use crate::controller::billing::records::namespace;
use crate::controller::context::Context;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tenantry_billing::{Books, Heard, Subject, Who};
use tenantry_checklist::access::NAMESPACE_PREFIX;
use tenantry_checklist::select::Catalogue;
use tenantry_crds::application::MeterSource;
use tenantry_crds::{HostedApplicationSpec, TenantSubscriptionStatus};
use tenantry_ledger::refusal::Refusal;
use tenantry_metering::cloud_event::{Received, read};
use tenantry_metering::hours::hour_of;
use tenantry_metering::intake::{Cause, Meter, Meters, Reporter, Verdict};

/// What became of what was told, event by event in the order in which it was told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Each event.
    pub(crate) events: Vec<Became>,
}

/// What became of one event.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Became {
    /// Its source, where it is an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
    /// Its id, where it is an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// `Accepted`, `Duplicate` or `Quarantined`.
    pub(crate) outcome: String,
    /// The begin of the hour in which it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hour: Option<Timestamp>,
    /// Whether its hour was over when it was told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) late: bool,
    /// Why it is kept aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<Cause>,
    /// What is wrong with it and what would be right.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<Reason>,
}

/// Whom usage is about.
struct Target {
    tenant: String,
    meters: Meters,
}

pub(super) async fn tell(
    State(context): State<Arc<Context>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let (database, _) = leading(&context)?;
    let caller = Caller::for_usage(&context.client, &headers).await?;
    let received = received(&headers, &body)?;
    context.limits.admit(caller.name(), received.len()).map_err(|after| {
        context.metrics.throttled();
        let reason = format!("{} tells more events than he may", caller.name());
        let remedy =
            "keep them, and tell them after as many seconds as Retry-After says, in fewer and larger batches";
        Refused::too_much(reason, remedy, after)
    })?;
    let own = caller.namespace().and_then(|namespace| of_namespace(&context, namespace));
    let (reporter, targets) = match own {
        Some(_) => (Reporter::Tenant, BTreeMap::new()),
        None => (Reporter::Provider, subjects(&context, &caller, &received).await?),
    };
    let target = |received: &Received| {
        let named = || targets.get(received.event.as_ref().ok()?.subject.as_deref()?)?.as_ref();
        own.as_ref().or_else(named).map(|Target { tenant, meters }| Subject { tenant, meters })
    };
    let heard: Vec<Heard<'_>> =
        received.iter().map(|received| Heard { received, subject: target(received) }).collect();
    let who = Who { reporter, name: caller.name() };
    let verdicts = Books::new(database).take_in(who, &heard, Timestamp::now()).await?;
    for verdict in &verdicts {
        context.metrics.told(verdict);
    }
    if verdicts.iter().any(|verdict| matches!(verdict, Verdict::Accepted { .. })) {
        context.billing.look_again();
    }
    let events = received.iter().zip(verdicts).map(|(received, verdict)| became(received, verdict)).collect();
    Ok(json(&Answer { events }))
}

fn received(headers: &HeaderMap, body: &[u8]) -> Result<Vec<Received>, Refused> {
    let pairs: Vec<(&str, String)> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
    read(&pairs, body).map_err(|Refusal { field, reason, remedy }| {
        Refused::new(StatusCode::BAD_REQUEST, &field, reason, &remedy)
    })
}

/// Whom a stranger's events are about, by the names in them, if he may report for all of these.
async fn subjects(
    context: &Context,
    caller: &Caller,
    received: &[Received],
) -> Result<BTreeMap<String, Option<Target>>, Refused> {
    let subject = |received: &Received| received.event.as_ref().ok().and_then(|event| event.subject.clone());
    let subjects: Vec<Option<String>> = received.iter().map(subject).collect();
    if !caller.may_report(&context.client, None).await? {
        let mut named: Vec<Option<&str>> = subjects.iter().map(Option::as_deref).collect();
        named.sort_unstable();
        named.dedup();
        // What is about nobody may be told by who may tell of everybody.
        for name in named {
            if name.is_none() || !caller.may_report(&context.client, name).await? {
                return Err(caller.may_not_report(name));
            }
        }
        if subjects.is_empty() {
            return Err(caller.may_not_report(None));
        }
    }
    Ok(subjects.into_iter().flatten().map(|name| (name.clone(), of_subscription(context, &name))).collect())
}

/// The tenant whose namespace this is.
fn of_namespace(context: &Context, wanted: &str) -> Option<Target> {
    let root = context.roots.get(wanted.strip_prefix(NAMESPACE_PREFIX)?)?;
    let status = root.status().ok()?;
    // One that somebody else made has the name alone.
    target(context, &status).filter(|_| namespace(&status) == Some(wanted))
}

fn of_subscription(context: &Context, name: &str) -> Option<Target> {
    target(context, &context.roots.get(name)?.status().ok()?)
}

fn target(context: &Context, status: &TenantSubscriptionStatus) -> Option<Target> {
    let tenant = status.tenant.as_ref()?.id.clone();
    let revision = status.accepted.as_ref().and_then(|accepted| accepted.application.parse().ok());
    let application = revision.and_then(|revision| context.store.application(&revision));
    Some(Target { tenant, meters: application.map(|spec| meters(&spec)).unwrap_or_default() })
}

fn meters(spec: &HostedApplicationSpec) -> Meters {
    let meters = spec.meters.iter().map(|meter| {
        let is_told = match meter.source {
            MeterSource::Events => true,
            MeterSource::Reserved | MeterSource::Used => false,
        };
        (meter.name.clone(), Meter { unit: meter.unit.name().to_owned(), is_told })
    });
    meters.collect()
}

fn became(received: &Received, verdict: Verdict) -> Became {
    let event = received.event.as_ref().ok();
    let became = Became {
        source: event.map(|event| event.source.clone()),
        id: event.map(|event| event.id.clone()),
        ..Became::default()
    };
    match verdict {
        Verdict::Accepted { count, is_late } => {
            Became { outcome: "Accepted".to_owned(), hour: Some(hour_of(count.at)), late: is_late, ..became }
        }
        Verdict::Duplicate => Became { outcome: "Duplicate".to_owned(), ..became },
        Verdict::Quarantined(aside) => {
            let Refusal { field, reason, remedy } = aside.refusal;
            Became {
                outcome: "Quarantined".to_owned(),
                cause: Some(aside.cause),
                why: Some(Reason { field, reason, remedy }),
                ..became
            }
        }
    }
}
