//! How the billing commands reach the books: the database beside them, or the billing address of the leading controller. Needs
//! either.

use crate::controller::billing::endpoint::Reason;
use crate::controller::{DATABASE, DatabaseUrl};
use anyhow::{Context, anyhow, bail, ensure};
use clap::Args;
use http::{Method, Request, StatusCode, Uri, header};
use kube::client::Body;
use kube::config::AuthInfo;
use kube::{Client, Config};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tenantry_billing::Books;
use tenantry_journal::Database;
use tenantry_ledger::document::Document;
use tenantry_sinks::caller::is_private;

/// How long the controller may take: a proof of a large ledger takes its time.
const PATIENCE: Duration = Duration::from_secs(600);

/// Where the books are.
#[derive(Args, Debug)]
pub(super) struct Access {
    /// Database of the controller, as it was given to it; the file that it has by default where one is there.
    #[arg(long, env = "TENANTRY_DATABASE", hide_env_values = true)]
    database: Option<DatabaseUrl>,
    /// Billing address of the leading controller, such as <http://127.0.0.1:8086> behind
    /// kubectl -n tenantry-system port-forward deploy/tenantry-controller 8086. It goes before a database.
    #[arg(long, env = "TENANTRY_SERVER")]
    server: Option<Uri>,
    /// File with the token to show there, as kubectl create token makes one; that of the kubeconfig without it.
    #[arg(long, requires = "server")]
    token_file: Option<PathBuf>,
}

/// One of both ways.
pub(super) enum Way {
    /// The database is here.
    Database(DatabaseUrl),
    /// The leading controller is asked.
    Server(Server),
}

/// A billing address.
pub(super) struct Server {
    client: Client,
}

// === impl Access ===

impl Access {
    /// The way that is open.
    pub(super) async fn way(&self) -> anyhow::Result<Way> {
        match (&self.server, &self.database) {
            (Some(server), _) => {
                Ok(Way::Server(Server { client: client(server, self.token_file.as_deref()).await? }))
            }
            (None, Some(database)) => Ok(Way::Database(database.clone())),
            (None, None) if is_here(DATABASE) => Ok(Way::Database(DATABASE.into())),
            (None, None) => bail!(
                "there is no database here; forward the billing address of the controller with \
                 kubectl -n tenantry-system port-forward deploy/tenantry-controller 8086, and add --server http://127.0.0.1:8086"
            ),
        }
    }

    /// What the database says, or the leading controller at a path of its billing address.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        here: impl AsyncFnOnce(&Database) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        match self.way().await? {
            Way::Database(url) => reading(&url, here).await,
            Way::Server(server) => server.get(path).await,
        }
    }

    /// The document of a number.
    pub(super) async fn document(&self, number: &str) -> anyhow::Result<Document> {
        let path = format!("/v1/invoices/{number}");
        self.ask(&path, async |database| Ok(Books::new(database.clone()).document(number).await?)).await
    }
}

fn is_here(url: &str) -> bool {
    url.strip_prefix("sqlite:").is_some_and(|path| Path::new(path).exists())
}

/// Reads in a database, and closes it again.
pub(super) async fn reading<T>(
    url: &DatabaseUrl,
    work: impl AsyncFnOnce(&Database) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let database = Database::open_to_read(url.reveal()).await?;
    let read = work(&database).await;
    database.close().await;
    read
}

/// A client that shows the address a token, by the rules of the kubeconfig.
async fn client(server: &Uri, token_file: Option<&Path>) -> anyhow::Result<Client> {
    let mut config = Config::new(server.clone());
    config.read_timeout = Some(PATIENCE);
    config.auth_info = match token_file {
        Some(file) => AuthInfo { token_file: Some(file.display().to_string()), ..AuthInfo::default() },
        None => token_of(
            Config::infer().await.context("no token: there is no kubeconfig; add --token-file")?.auth_info,
        )?,
    };
    ensure!(
        is_private(server),
        "--server: {server} would be sent a token that everybody on the way can read; use https, or forward the address with \
         kubectl port-forward and name it as http://127.0.0.1:PORT"
    );
    Ok(Client::try_from(config)?)
}

/// What of a kubeconfig gives a token. Anything else of it is for the API server alone.
fn token_of(auth: AuthInfo) -> anyhow::Result<AuthInfo> {
    let AuthInfo { token, token_file, exec, auth_provider, .. } = auth;
    ensure!(
        token.is_some() || token_file.is_some() || exec.is_some() || auth_provider.is_some(),
        "your kubeconfig shows a certificate and no token; add --token-file with a token, as \
         kubectl -n NAMESPACE create token SERVICEACCOUNT makes one"
    );
    Ok(AuthInfo { token, token_file, exec, auth_provider, ..AuthInfo::default() })
}

// === impl Server ===

impl Server {
    /// Asks for something.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.send(Method::GET, path, Vec::new()).await
    }

    /// Orders something.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        self.send(Method::POST, path, serde_json::to_vec(body)?).await
    }

    /// Asks for a file.
    pub(super) async fn text(&self, path: &str) -> anyhow::Result<String> {
        Ok(String::from_utf8(self.answer(Method::GET, path, Vec::new()).await?)?)
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<T> {
        Ok(serde_json::from_slice(&self.answer(method, path, body).await?)?)
    }

    async fn answer(&self, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))?;
        let answer = self.client.send(request).await.context("the billing address does not answer")?;
        let status = answer.status();
        let body = answer.into_body().collect_bytes().await.context("the billing address broke off")?;
        if status == StatusCode::OK {
            return Ok(body.into());
        }
        Err(match serde_json::from_slice::<Reason>(&body) {
            Ok(Reason { field, reason, remedy }) => anyhow!("{field}: {reason}; {remedy}"),
            Err(_) => anyhow!("{status} from the billing address; is it that of a controller?"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_to_this_machine_or_through_tls_alone() {
        for (server, is) in [
            ("http://127.0.0.1:8086", true),
            ("http://[::1]:8086", true),
            ("http://localhost:8086", true),
            ("http://10.0.0.1:8086", false),
            ("http://127.0.0.1.example:8086", false),
            ("https://10.0.0.1:8086", true),
            ("localhost:8086", false),
        ] {
            assert_eq!(is_private(&server.parse().unwrap()), is, "{server}");
        }
    }

    #[test]
    fn a_certificate_is_shown_to_nobody_but_the_api_server() {
        let certificate = AuthInfo { client_certificate: Some("a".to_owned()), ..AuthInfo::default() };
        assert!(token_of(certificate.clone()).unwrap_err().to_string().contains("--token-file"));
        let both = AuthInfo { token_file: Some("b".to_owned()), ..certificate };
        let taken = token_of(both).unwrap();
        assert_eq!((taken.client_certificate, taken.token_file.as_deref()), (None, Some("b")));
    }
}
