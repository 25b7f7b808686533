//! Who asks, and what he may, as the API server says. Needs a client.

use super::refused::Refused;
use axum::http::{HeaderMap, StatusCode, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Client;
use kube::api::{Api, PostParams};
use std::time::Duration;
use tokio::time::timeout;

/// Deadline of one review.
const DEADLINE: Duration = Duration::from_secs(10);
/// Longest token: more than the API server itself would take in a header.
const LONGEST_TOKEN: usize = 64 * 1024;

/// Somebody whom the API server knows.
#[derive(Debug)]
pub(super) struct Caller {
    user: UserInfo,
}

/// What somebody may do, as rights over `billingaccounts` of the group `tenantry.io`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// Read documents, previews and the proof: `get` on `billingaccounts/invoices`.
    Read,
    /// Close what is due: `create` on `billingaccounts/invoices`.
    Run,
    /// Let a parked account go on: `create` on `billingaccounts/acceptances`.
    Accept,
    /// Tell of payments: `create` on `billingaccounts/payments`.
    Pay,
}

impl Right {
    /// Verb and subresource.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Read => ("get", "invoices"),
            Self::Run => ("create", "invoices"),
            Self::Accept => ("create", "acceptances"),
            Self::Pay => ("create", "payments"),
        }
    }
}

impl Caller {
    /// Whose token a request carries.
    ///
    /// # Errors
    /// There is none, or the API server does not know it, or does not answer.
    pub(super) async fn of(client: &Client, headers: &HeaderMap) -> Result<Self, Refused> {
        let unknown = |reason: &str| {
            let remedy = "send Authorization: Bearer TOKEN with a token of the cluster, as kubectl create token makes one";
            Refused::new(StatusCode::UNAUTHORIZED, "Authorization", reason, remedy)
        };
        let token = token(headers).ok_or_else(|| unknown("there is no bearer token"))?;
        let spec = TokenReviewSpec { token: Some(token.to_owned()), audiences: None };
        let review = TokenReview { spec, ..TokenReview::default() };
        let status = asked(client, &review).await?.status.unwrap_or_default();
        match status.user.filter(|_| status.authenticated == Some(true)) {
            Some(user) => Ok(Self { user }),
            None => Err(unknown("the cluster does not know the token, or it has expired")),
        }
    }

    /// His name.
    pub(super) fn name(&self) -> &str {
        self.user.username.as_deref().unwrap_or_default()
    }

    /// Whether he may do this to an account, or to all of them.
    ///
    /// # Errors
    /// The API server does not say.
    pub(super) async fn may(
        &self,
        client: &Client,
        right: Right,
        account: Option<&str>,
    ) -> Result<bool, Refused> {
        let (verb, subresource) = right.words();
        let attributes = ResourceAttributes {
            group: Some("tenantry.io".to_owned()),
            version: Some("v1alpha1".to_owned()),
            resource: Some("billingaccounts".to_owned()),
            subresource: Some(subresource.to_owned()),
            verb: Some(verb.to_owned()),
            name: account.map(str::to_owned),
            ..ResourceAttributes::default()
        };
        let UserInfo { username, uid, groups, extra } = self.user.clone();
        let spec = SubjectAccessReviewSpec {
            user: username,
            uid,
            groups,
            extra,
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        Ok(asked(client, &review).await?.status.is_some_and(|status| status.allowed))
    }

    /// That he may not.
    pub(super) fn forbidden(&self, right: Right, account: Option<&str>) -> Refused {
        let (verb, subresource) = right.words();
        let of = account.map_or_else(|| "all accounts".to_owned(), |account| format!("account {account}"));
        let reason = format!("{} may not {verb} billingaccounts/{subresource} of {of}", self.name());
        let role = match right {
            Right::Read => "tenantry-billing-reader",
            Right::Run | Right::Accept => "tenantry-billing-clerk",
            Right::Pay => "tenantry-payment-source",
        };
        let remedy = format!("ask an administrator of the cluster for the ClusterRole {role}");
        Refused::new(StatusCode::FORBIDDEN, "Authorization", reason, &remedy)
    }
}

async fn asked<K>(client: &Client, review: &K) -> Result<K, Refused>
where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::all(client.clone());
    let parameters = PostParams::default();
    let why = match timeout(DEADLINE, api.create(&parameters, review)).await {
        Ok(Ok(answer)) => return Ok(answer),
        // What the client says of a request holds no token.
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    let reason = format!("the API server does not say who asks and what he may: {why}");
    Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, "server", reason, "try again in a moment"))
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    let fits = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= LONGEST_TOKEN;
    fits.then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_from_its_scheme_alone() {
        let of = |value: &str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            token(&headers).map(str::to_owned)
        };
        assert_eq!(of("Bearer abc.def").as_deref(), Some("abc.def"));
        assert_eq!(of("bearer  abc").as_deref(), Some("abc"));
        for other in ["Basic abc", "Bearer", "Bearer ", "abc"] {
            assert_eq!(of(other), None, "{other:?}");
        }
        assert_eq!(of(&format!("Bearer {}", "a".repeat(LONGEST_TOKEN + 1))), None);
        assert_eq!(token(&HeaderMap::new()), None);
    }
}
