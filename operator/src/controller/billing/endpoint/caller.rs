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
/// For whom tokens are made with which usage is told: one that is meant for the API server, and may do more there, is not sent around.
const USAGE: &str = "usage.tenantry.io";
/// What the API server calls ServiceAccounts.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";
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
    /// See what tenants cost the seller: `get` on `billingaccounts/costs`. It is asked for over all accounts alone, so that nobody has
    /// it by a right to read his own.
    Costs,
}

impl Right {
    /// Verb and subresource.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Read => ("get", "invoices"),
            Self::Run => ("create", "invoices"),
            Self::Accept => ("create", "acceptances"),
            Self::Pay => ("create", "payments"),
            Self::Costs => ("get", "costs"),
        }
    }
}

impl Caller {
    /// Whose token a request carries.
    ///
    /// # Errors
    /// There is none, or the API server does not know it, or does not answer.
    pub(super) async fn of(client: &Client, headers: &HeaderMap) -> Result<Self, Refused> {
        let remedy =
            "send Authorization: Bearer TOKEN with a token of the cluster, as kubectl create token makes one";
        Self::reviewed(client, headers, None, remedy).await
    }

    /// Whose token, made for telling usage, a request carries.
    ///
    /// # Errors
    /// There is none, or it is meant for others, or the API server does not know it, or does not answer.
    pub(super) async fn for_usage(client: &Client, headers: &HeaderMap) -> Result<Self, Refused> {
        let remedy = format!(
            "send Authorization: Bearer TOKEN with a token for the audience {USAGE}, as a projected volume of the type \
             serviceAccountToken has it, or kubectl create token --audience {USAGE} makes one"
        );
        Self::reviewed(client, headers, Some(USAGE), &remedy).await
    }

    async fn reviewed(
        client: &Client,
        headers: &HeaderMap,
        audience: Option<&str>,
        remedy: &str,
    ) -> Result<Self, Refused> {
        let unknown = |reason: &str| Refused::new(StatusCode::UNAUTHORIZED, "Authorization", reason, remedy);
        let token = token(headers).ok_or_else(|| unknown("there is no bearer token"))?;
        let audiences = audience.map(|audience| vec![audience.to_owned()]);
        let spec = TokenReviewSpec { token: Some(token.to_owned()), audiences };
        let review = TokenReview { spec, ..TokenReview::default() };
        let status = asked(client, &review).await?.status.unwrap_or_default();
        // An API server that knows no audiences does not name the one it was asked for.
        let is_meant = audience
            .is_none_or(|audience| status.audiences.iter().flatten().any(|confirmed| confirmed == audience));
        match status.user.filter(|_| status.authenticated == Some(true) && is_meant) {
            Some(user) => Ok(Self { user }),
            None => Err(unknown("the cluster does not know the token for this, or it has expired")),
        }
    }

    /// The namespace of his ServiceAccount, if he is one.
    pub(super) fn namespace(&self) -> Option<&str> {
        let (namespace, _) = self.name().strip_prefix(SERVICE_ACCOUNT)?.split_once(':')?;
        Some(namespace)
    }

    /// Whether he may tell the usage of a subscription, or of all of them.
    ///
    /// # Errors
    /// The API server does not say.
    pub(super) async fn may_report(
        &self,
        client: &Client,
        subscription: Option<&str>,
    ) -> Result<bool, Refused> {
        let attributes = ResourceAttributes {
            group: Some("tenantry.io".to_owned()),
            version: Some("v1alpha1".to_owned()),
            resource: Some("tenantsubscriptions".to_owned()),
            subresource: Some("usage".to_owned()),
            verb: Some("report".to_owned()),
            name: subscription.map(str::to_owned),
            ..ResourceAttributes::default()
        };
        self.is_allowed(client, attributes).await
    }

    /// That he may not.
    pub(super) fn may_not_report(&self, subscription: Option<&str>) -> Refused {
        let of = subscription
            .map_or_else(|| "all subscriptions".to_owned(), |name| format!("subscription {name}"));
        let reason = format!("{} may not report tenantsubscriptions/usage of {of}", self.name());
        let remedy = "tell it as a ServiceAccount in the tenant's namespace, or ask an administrator of the cluster for the \
                      ClusterRole tenantry-usage-reporter";
        Refused::new(StatusCode::FORBIDDEN, "Authorization", reason, remedy)
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
        self.is_allowed(client, attributes).await
    }

    async fn is_allowed(&self, client: &Client, attributes: ResourceAttributes) -> Result<bool, Refused> {
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
            Right::Costs => "tenantry-controlling",
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
    fn a_service_account_has_a_namespace_and_nobody_else_has() {
        let of = |name: &str| {
            let user = UserInfo { username: Some(name.to_owned()), ..UserInfo::default() };
            Caller { user }.namespace().map(str::to_owned)
        };
        assert_eq!(of("system:serviceaccount:tenant-acme:app").as_deref(), Some("tenant-acme"));
        for other in
            ["jane", "system:node:tenant-acme:x", "tenant-acme:app", "system:serviceaccount:tenant-acme", ""]
        {
            assert_eq!(of(other), None, "{other:?}");
        }
    }

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
