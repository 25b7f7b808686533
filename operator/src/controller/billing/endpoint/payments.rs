//! Payments at the billing address: telling of them, and what an account owes. Needs the database.

use super::{Refused, Request, json, read};
use crate::controller::billing::endpoint::caller::Right;
use crate::controller::context::Context;
use crate::payments;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use tenantry_billing::Books;
use tenantry_ledger::payment::ToldPayment;

/// So many payments may be told at once.
const MOST: usize = 500;

/// Payments that are told of.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PayRequest {
    /// All of them are kept, or none.
    pub(crate) payments: Vec<ToldPayment>,
}

pub(super) async fn pay(
    State(context): State<Arc<Context>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let request = Request::begin(&context, &headers).await?;
    let PayRequest { payments } = read(&body)?;
    if payments.is_empty() || payments.len() > MOST {
        let reason = format!("there are {} of them", payments.len());
        let remedy = "tell of 1 to 500 payments at once";
        return Err(Refused::new(StatusCode::UNPROCESSABLE_ENTITY, "payments", reason, remedy));
    }
    let accounts: BTreeSet<&str> = payments.iter().map(|payment| payment.account.as_str()).collect();
    if !request.caller.may(&context.client, Right::Pay, None).await? {
        for account in &accounts {
            request.must_for(Right::Pay, Some(account)).await?;
        }
    }
    let books = Books::new(request.database.clone());
    let recorded = books.pay(request.epoch, &payments, Timestamp::now()).await?;
    for one in recorded.iter().filter(|one| one.is_new) {
        let (by, id) = (request.caller.name(), &one.payment.id);
        tracing::info!(by, account = one.account, provider = one.payment.provider, id, "recorded a payment");
    }
    context.billing.paid(&accounts);
    Ok(json(&recorded))
}

pub(super) async fn balance(
    State(context): State<Arc<Context>>,
    Path(account): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let request = Request::begin(&context, &headers).await?;
    request.must_for(Right::Read, Some(&account)).await?;
    Ok(json(&payments::balance(&request.database, &account).await?))
}
