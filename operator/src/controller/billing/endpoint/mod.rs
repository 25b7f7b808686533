//! The billing address: what was billed, what comes next, runs and a person's word, over HTTP. Needs the network, a client and the
//! database.
//!
//! Every replica listens and only the leading one answers, because only the leader posts money. Who asks is known by a bearer
//! token, which the API server reviews, and so is what he may; nothing is remembered between two requests.

mod callbacks;
mod caller;
mod payments;
mod refused;
mod usage;
mod used;

use crate::bills::{self, OtherPlan, Standing};
use crate::controller::context::Context;
use crate::plan_change::offer;
use crate::printed;
use anyhow::Context as _;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, serve as answer};
use caller::{Caller, Right};
use jiff::Timestamp;
use jiff::civil::Date;
pub(crate) use payments::PayRequest;
pub(crate) use refused::Reason;
use refused::Refused;
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::sync::Arc;
use tenantry_billing::Books;
use tenantry_checklist::revision::name_of;
use tenantry_journal::{Database, Epoch, HistoryOf};
use tenantry_ledger::document::Document;
use tenantry_ledger::history::Acceptance;

/// What a run is asked for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RunRequest {
    /// A day, or an instant.
    pub(crate) as_of: String,
    /// Whether nothing is to be written.
    #[serde(default)]
    pub(crate) dry_run: bool,
}

/// A person's word on an account that is parked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AcceptRequest {
    /// Why, for those who come later.
    pub(crate) reason: String,
}

/// A document that is to be delivered once more.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ResendRequest {
    /// Where to, as `ISSUER/NAME`.
    pub(crate) sink: String,
    /// Its number.
    pub(crate) number: String,
}

/// Longest reason of an acceptance, in characters.
const LONGEST_REASON: usize = 500;

/// Serves until `stop` is done.
///
/// # Errors
/// When the address cannot be bound or the server ends on its own.
pub(crate) async fn serve(
    context: Arc<Context>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let address = context.config.billing_address;
    let listener = tokio::net::TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; choose another address with --billing-address")
    })?;
    tracing::info!(address = %listener.local_addr()?, "billing address is open");
    answer(listener, router(context)).with_graceful_shutdown(stop).await?;
    Ok(())
}

fn router(context: Arc<Context>) -> Router {
    Router::new()
        .route("/v1/subscriptions/{name}/invoices", get(invoices))
        .route("/v1/subscriptions/{name}/next-invoice", get(next_invoice))
        .route("/v1/subscriptions/{name}/usage", get(used::used))
        .route("/v1/plans/{name}/usage", get(used::of_plan))
        .route("/v1/usage", post(usage::tell))
        .route("/v1/usage/quarantined", get(used::aside))
        .route("/v1/invoices/{*number}", get(invoice))
        .route("/v1/billing-runs", post(run))
        .route("/v1/accounts/{name}/acceptances", post(accept))
        .route("/v1/accounts/{name}/statement", get(statement))
        .route("/v1/accounts/{name}/balance", get(payments::balance))
        .route("/v1/payments", post(payments::pay))
        .route("/v1/callbacks/{issuer}/{sink}", post(callbacks::called))
        .route("/v1/focus", get(focus))
        .route("/v1/deliveries", get(deliveries).post(resend))
        .route("/v1/ledger/verification", get(verification))
        .fallback(async || {
            Refused::new(StatusCode::NOT_FOUND, "path", "there is no such thing", "see docs/billing.md")
        })
        .with_state(context)
}

/// The database of the replica that leads.
fn leading(context: &Context) -> Result<(Database, Epoch), Refused> {
    let leads = context.executor.gate.may_write();
    context.billing.database.get().filter(|_| leads).cloned().ok_or_else(Refused::not_leading)
}

/// One request of somebody who is known, to the replica that leads.
struct Request<'a> {
    context: &'a Context,
    caller: Caller,
    database: Database,
    epoch: Epoch,
}

impl<'a> Request<'a> {
    async fn begin(context: &'a Context, headers: &HeaderMap) -> Result<Self, Refused> {
        let (database, epoch) = leading(context)?;
        let caller = Caller::of(&context.client, headers).await?;
        Ok(Self { context, caller, database, epoch })
    }

    /// Refuses who may not do this to every account.
    async fn must(&self, right: Right) -> Result<(), Refused> {
        self.must_for(right, None).await
    }

    /// Refuses who may not do this to an account.
    async fn must_for(&self, right: Right, account: Option<&str>) -> Result<(), Refused> {
        match self.caller.may(&self.context.client, right, account).await? {
            true => Ok(()),
            false => Err(self.caller.forbidden(right, account)),
        }
    }

    /// Refuses who may not read every one of these documents; whoever may read none does not learn whether there are any.
    async fn must_read(&self, documents: &[Document]) -> Result<(), Refused> {
        if self.caller.may(&self.context.client, Right::Read, None).await? {
            return Ok(());
        }
        let mut accounts: Vec<&str> = documents.iter().map(|document| document.account.as_str()).collect();
        accounts.sort_unstable();
        accounts.dedup();
        if accounts.is_empty() {
            return Err(self.caller.forbidden(Right::Read, None));
        }
        for account in accounts {
            self.must_for(Right::Read, Some(account)).await?;
        }
        Ok(())
    }
}

async fn invoices(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let request = Request::begin(&context, &headers).await?;
    let documents = bills::invoices(&request.database, &meant(name, &uri)).await?;
    request.must_read(&documents).await?;
    Ok(json(&documents))
}

async fn next_invoice(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let request = Request::begin(&context, &headers).await?;
    let of = meant(name, &uri);
    let standing = standing(&context, &of);
    let other = match parameter(&uri, "plan") {
        Some(plan) => Some(other_plan(&context, standing.as_ref(), plan)?),
        None => None,
    };
    let coming =
        bills::coming(&request.database, &of, standing.as_ref(), other.as_ref(), Timestamp::now()).await?;
    request.must_read(&coming.documents).await?;
    Ok(json(&coming))
}

async fn invoice(
    State(context): State<Arc<Context>>,
    Path(number): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let request = Request::begin(&context, &headers).await?;
    let document = Books::new(request.database.clone()).document(&number).await;
    let known = document.as_ref().map_or(&[][..], std::slice::from_ref);
    request.must_read(known).await?;
    Ok(json(&document?))
}

async fn run(
    State(context): State<Arc<Context>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let request = Request::begin(&context, &headers).await?;
    let RunRequest { as_of, dry_run } = read(&body)?;
    request.must(if dry_run { Right::Read } else { Right::Run }).await?;
    let as_of = bills::as_of(&as_of).map_err(tenantry_billing::BooksError::from)?;
    if dry_run {
        return Ok(json(&Books::new(request.database.clone()).dry_run(as_of).await?));
    }
    let summary = bills::close(&request.database, request.epoch, as_of, Timestamp::now()).await?;
    tracing::info!(by = request.caller.name(), closed = summary.closed, "a billing run was asked for");
    context.billing.closed(&summary);
    Ok(json(&summary))
}

async fn accept(
    State(context): State<Arc<Context>>,
    Path(account): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let request = Request::begin(&context, &headers).await?;
    request.must_for(Right::Accept, Some(&account)).await?;
    let AcceptRequest { reason } = read(&body)?;
    let length = reason.chars().count();
    if reason.trim().is_empty() || length > LONGEST_REASON {
        let remedy = "say in up to 500 characters why what was found is right, for those who come later";
        return Err(Refused::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "reason",
            format!("it has {length} characters"),
            remedy,
        ));
    }
    let acceptance = Acceptance { by: request.caller.name().to_owned(), reason };
    let books = Books::new(request.database.clone());
    books.accept(request.epoch, &account, &acceptance, Timestamp::now()).await?;
    tracing::info!(by = acceptance.by, account, "what an account was parked for is accepted");
    context.billing.look_again();
    Ok(json(&acceptance))
}

async fn statement(
    State(context): State<Arc<Context>>,
    Path(account): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let request = Request::begin(&context, &headers).await?;
    request.must_for(Right::Read, Some(&account)).await?;
    Ok(json(&printed::billed(&request.database, &account, time(&uri)?).await?))
}

async fn focus(
    State(context): State<Arc<Context>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let request = Request::begin(&context, &headers).await?;
    let account = parameter(&uri, "account");
    request.must_for(Right::Read, account).await?;
    let rows = printed::focus(&request.database, account, time(&uri)?).await?;
    let csv = tenantry_documents::focus::csv(&rows).map_err(|error| {
        Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "answer", error.to_string(), "report this")
    })?;
    Ok(([(header::CONTENT_TYPE, "text/csv")], csv).into_response())
}

async fn deliveries(
    State(context): State<Arc<Context>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let request = Request::begin(&context, &headers).await?;
    request.must(Right::Read).await?;
    Ok(json(&Books::new(request.database.clone()).deliveries(parameter(&uri, "number")).await?))
}

async fn resend(
    State(context): State<Arc<Context>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let request = Request::begin(&context, &headers).await?;
    let ResendRequest { sink, number } = read(&body)?;
    request.must(Right::Run).await?;
    let by = request.caller.name();
    let books = Books::new(request.database.clone());
    let delivery = books.resend(request.epoch, &sink, &number, by, Timestamp::now()).await?;
    tracing::info!(by, sink, number, "a document is to be delivered once more");
    context.billing.deliverable.notify_one();
    Ok(json(&delivery))
}

async fn verification(State(context): State<Arc<Context>>, headers: HeaderMap) -> Result<Response, Refused> {
    let request = Request::begin(&context, &headers).await?;
    request.must(Right::Read).await?;
    Ok(json(&bills::verify(&request.database).await?))
}

/// The stretch of time that is asked for.
fn time(uri: &Uri) -> Result<printed::Time, Refused> {
    let day = |name: &str| {
        let text = parameter(uri, name).unwrap_or_default();
        text.parse::<Date>().map_err(|_| {
            let remedy = "write a day, such as 2027-01-31";
            Refused::new(StatusCode::BAD_REQUEST, name, format!("{text:?} is no day"), remedy)
        })
    };
    Ok(printed::Time { from: day("from")?, to: day("to")? })
}

/// Whose invoices are meant: every tenant that ever had the name, or the one of an id.
fn meant(name: String, uri: &Uri) -> HistoryOf {
    match parameter(uri, "tenant") {
        Some(tenant) => HistoryOf::Tenant(tenant.to_owned()),
        None => HistoryOf::Subscription(name),
    }
}

/// A parameter of the query; ids and names need no escapes.
fn parameter<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, value)| *key == name && !value.is_empty()).map(|(_, value)| value).next()
}

/// The subscription that is meant, as it is now.
fn standing(context: &Context, of: &HistoryOf) -> Option<Standing> {
    let root = match of {
        HistoryOf::Subscription(name) => context.roots.get(name),
        HistoryOf::Tenant(id) => {
            context.roots.all().into_iter().find(|root| root.brief.tenant_id.as_ref() == Some(id))
        }
    }?;
    Some(Standing { name: root.name.clone(), spec: root.spec().ok()?, status: root.status().ok()? })
}

fn other_plan(context: &Context, standing: Option<&Standing>, name: &str) -> Result<OtherPlan, Refused> {
    let missing = |field: &str, reason: String, remedy: &str| {
        Err(Refused::new(StatusCode::NOT_FOUND, field, reason, remedy))
    };
    let Some(standing) = standing else {
        return missing(
            "name",
            "there is no such subscription now".to_owned(),
            "ask without a plan for what was billed",
        );
    };
    let Some(spec) = offer(&*context.store, name) else {
        let reason = format!("no plan {name} is accepted");
        return missing("plan", reason, "list plans with kubectl get serviceplans");
    };
    let present =
        standing.status.accepted.as_ref().and_then(|accepted| offer(&*context.store, &accepted.plan));
    let owned = |spec: Arc<_>| Arc::unwrap_or_clone(spec);
    Ok(OtherPlan { name: name_of(name).to_owned(), spec: owned(spec), present: present.map(owned) })
}

fn read<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| {
        let remedy = "send JSON as docs/billing.md shows it";
        Refused::new(StatusCode::BAD_REQUEST, "body", error.to_string(), remedy)
    })
}

fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => {
            Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "answer", error.to_string(), "report this")
                .into_response()
        }
    }
}
