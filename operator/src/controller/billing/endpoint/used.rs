//! What was used, at the billing address. Needs the database, and a client for what units cost.

use super::caller::Right;
use super::refused::Refused;
use super::{Request, json, meant, parameter, standing, time};
use crate::controller::context::Context;
use crate::margin::Costs;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use jiff::Timestamp;
use std::sync::Arc;
use tenantry_billing::BooksError;
use tenantry_journal::HistoryOf;
use tenantry_ledger::refusal::Refusal;

/// What a subscription used. What it cost the seller is in it for who may see that, and for nobody else.
pub(super) async fn used(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let request = Request::begin(&context, &headers).await?;
    let of = meant(name, &uri);
    let standing = standing(&context, &of);
    let costs = match request.caller.may(&context.client, Right::Costs, None).await? {
        true => Some(costs(&context).await?),
        false => None,
    };
    let (time, now) = (time(&uri)?, Timestamp::now());
    let used =
        crate::usage::used(&request.database, &of, standing.as_ref(), costs.as_ref(), time, now).await?;
    let mut accounts: Vec<Option<&str>> =
        used.tenants.iter().map(|tenant| tenant.account.as_deref()).collect();
    accounts.dedup();
    // Of whom nobody pays for, and of nobody, only who may read everything learns.
    if accounts.is_empty() {
        accounts.push(None);
    }
    for account in accounts {
        request.must_for(Right::Read, account).await?;
    }
    Ok(json(&used))
}

/// What the tenants of a plan used, and what is left of what they were sold.
pub(super) async fn of_plan(
    State(context): State<Arc<Context>>,
    Path(plan): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let request = Request::begin(&context, &headers).await?;
    request.must(Right::Read).await?;
    request.must(Right::Costs).await?;
    let costs = costs(&context).await?;
    let (time, now) = (time(&uri)?, Timestamp::now());
    Ok(json(&crate::usage::used_by_plan(&request.database, &plan, Some(&costs), time, now).await?))
}

/// What was told of usage and does not count, page by page; for who may read everything, because what is about nobody is in it.
pub(super) async fn aside(
    State(context): State<Arc<Context>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let request = Request::begin(&context, &headers).await?;
    request.must(Right::Read).await?;
    let of = match (parameter(&uri, "tenant"), parameter(&uri, "subscription")) {
        (Some(tenant), _) => Some(HistoryOf::Tenant(tenant.to_owned())),
        (None, Some(name)) => Some(HistoryOf::Subscription(name.to_owned())),
        (None, None) => None,
    };
    let number = |text: &str| {
        text.parse().map_err(|_| Refusal::new("limit", format!("{text:?} is no number"), "write 1 to 500"))
    };
    let limit = parameter(&uri, "limit").map_or(Ok(100), number).map_err(BooksError::from)?;
    let after = parameter(&uri, "after").map(str::parse).transpose().map_err(BooksError::from)?;
    Ok(json(&crate::usage::aside(&request.database, of.as_ref(), time(&uri)?, after, limit).await?))
}

async fn costs(context: &Context) -> Result<Costs, Refused> {
    Costs::read(&context.client).await.map_err(|error| {
        let reason = format!("the API server does not say what units cost: {error}");
        Refused::new(StatusCode::SERVICE_UNAVAILABLE, "server", reason, "try again in a moment")
    })
}
