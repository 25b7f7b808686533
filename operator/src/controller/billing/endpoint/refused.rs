//! What the billing address refuses, for programs and people; pure.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tenantry_billing::BooksError;

/// What is refused, why, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reason {
    /// Where in the request.
    pub(crate) field: String,
    /// What is wrong with it.
    pub(crate) reason: String,
    /// What would be right.
    pub(crate) remedy: String,
}

/// A refusal with its status.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    why: Reason,
    /// After how long it is worth to ask again.
    after: Option<Duration>,
}

impl Refused {
    pub(super) fn new(status: StatusCode, field: &str, reason: impl Into<String>, remedy: &str) -> Self {
        let why = Reason { field: field.to_owned(), reason: reason.into(), remedy: remedy.to_owned() };
        Self { status, why, after: None }
    }

    /// Somebody asks too much, and may again after a while.
    pub(super) fn too_much(reason: impl Into<String>, remedy: &str, after: Duration) -> Self {
        let refused = Self::new(StatusCode::TOO_MANY_REQUESTS, "server", reason, remedy);
        Self { after: Some(after), ..refused }
    }

    /// This replica must not speak for the ledger.
    pub(super) fn not_leading() -> Self {
        let remedy = "ask the replica that is Ready, or try again in a moment: kubectl get pods";
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "server",
            "this replica does not lead now, or its database is away",
            remedy,
        )
    }
}

impl From<BooksError> for Refused {
    fn from(error: BooksError) -> Self {
        let again = "try again in a moment";
        match error {
            BooksError::Refused(refusal) => Self {
                status: StatusCode::UNPROCESSABLE_ENTITY,
                why: Reason { field: refusal.field, reason: refusal.reason, remedy: refusal.remedy },
                after: None,
            },
            BooksError::Unknown { what } => {
                let remedy = "list what there is first";
                Self::new(StatusCode::NOT_FOUND, "name", format!("there is no {what}"), remedy)
            }
            error if error.is_superseded() => Self::not_leading(),
            error if error.is_outage() => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "server", error.to_string(), again)
            }
            error => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "server",
                error.to_string(),
                "look into the log of the controller",
            ),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.why).unwrap_or_default();
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        if let Some(after) = self.after {
            // Whole seconds: whoever waits for fewer is refused once more.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
