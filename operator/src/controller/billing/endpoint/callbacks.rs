//! Callbacks of systems that collect money. Needs a client, the database and the network.
//!
//! Nobody who calls back has a token of the cluster: the sink's own proof stands in its place, and lets him tell of payments of his own
//! sink and do nothing else. What cannot be taken in now is refused, so that it is told again; what is nothing for the ledger is
//! answered with success, because it would be told for ever.

use super::refused::Refused;
use super::{json, leading, parameter};
use crate::controller::billing::deliveries::{Collector, collector};
use crate::controller::context::Context;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::json as value;
use std::collections::BTreeSet;
use std::sync::Arc;
use tenantry_billing::{Books, BooksError};
use tenantry_ledger::payment::ToldPayment;
use tenantry_ledger::refusal::Refusal;
use tenantry_sinks::Trouble;
use tenantry_sinks::callback::{Call, Meaning, Moved, Of, Refused as NotTaken};

pub(super) async fn called(
    State(context): State<Arc<Context>>,
    Path((issuer, name)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let (database, epoch) = leading(&context)?;
    let at = Timestamp::now();
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let meaning = match collector(&context, &issuer, &name).await.map_err(trouble)? {
        Some(Collector::Stripe(sink, secret)) => {
            sink.called(Call { proof: header("stripe-signature"), body: &body, at }, &secret).await
        }
        Some(Collector::KillBill(sink, word)) => {
            let proof = parameter(&uri, "word").unwrap_or_default();
            sink.called(Call { proof, body: &body, at }, &word).await
        }
        None => {
            let reason = format!("InvoiceIssuer {issuer} has no sink {name} that collects money");
            let remedy = "call back a sink of the kind stripe or killBill, as /v1/callbacks/ISSUER/SINK";
            return Err(Refused::new(StatusCode::NOT_FOUND, "path", reason, remedy));
        }
    };
    let moved = match meaning.map_err(|refused| not_taken(&name, refused))? {
        Meaning::Nothing(reason) => {
            tracing::info!(issuer, sink = name, reason, "a callback is nothing for the ledger");
            return Ok(json(&value!({"payments": [], "reason": reason})));
        }
        Meaning::Moved(moved) => moved,
    };
    let books = Books::new(database);
    let told = told(&books, &issuer, &name, &moved).await;
    let recorded = match told {
        Ok(told) => books.pay(epoch, &told, at).await,
        Err(error) => Err(error),
    };
    let recorded = recorded.inspect_err(|error| {
        tracing::warn!(issuer, sink = name, %error, "a callback is refused, so that it is told again");
    })?;
    for one in recorded.iter().filter(|one| one.is_new) {
        tracing::info!(account = one.account, provider = name, id = one.payment.id, "recorded a payment");
    }
    let accounts: BTreeSet<&str> = recorded.iter().map(|one| one.account.as_str()).collect();
    context.billing.paid(&accounts);
    Ok(json(&value!({"payments": recorded})))
}

/// As it is told to the ledger, under the name of the sink: the accounts of documents are known by their numbers.
///
/// # Errors
/// An account that the ledger does not have, or whose documents do not go to this sink: sinks of several issuers may have one name.
async fn told(
    books: &Books,
    issuer: &str,
    name: &str,
    moved: &[Moved],
) -> Result<Vec<ToldPayment>, BooksError> {
    let sink = format!("{issuer}/{name}");
    let mut told = Vec::with_capacity(moved.len());
    for one in moved {
        let account = match &one.of {
            Of::Account(account) => account.clone(),
            Of::Document(number) => books.document(number).await?.account,
        };
        let unknown = || BooksError::Unknown { what: format!("account {account:?}") };
        let loaded = books.load(&account).await?.ok_or_else(unknown)?;
        if !loaded.history.agreement()?.sinks.contains(&sink) {
            let reason = format!("documents of account {account} do not go to {sink}");
            let remedy = "call back the sink of the InvoiceIssuer whose account it is";
            return Err(Refusal::new("path", reason, remedy).into());
        }
        told.push(one.told(name, &account));
    }
    Ok(told)
}

fn not_taken(sink: &str, refused: NotTaken) -> Refused {
    match refused {
        NotTaken::Forged(reason) => {
            tracing::warn!(sink, reason, "somebody calls back who is not who he says");
            let remedy =
                "send what the key callback of the sink in the Secret tenantry-sinks proves, and now";
            Refused::new(StatusCode::UNAUTHORIZED, "signature", reason, remedy)
        }
        NotTaken::Unreadable(reason) => {
            Refused::new(StatusCode::BAD_REQUEST, "body", reason, "send what docs/billing.md names")
        }
        NotTaken::Trouble(why) => trouble(why),
    }
}

fn trouble(trouble: Trouble) -> Refused {
    Refused::new(StatusCode::SERVICE_UNAVAILABLE, "server", trouble.reason, "call back again in a while")
}
