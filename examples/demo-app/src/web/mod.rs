//! The role `web`: the tenant's page, and orders. Needs the network and the file system.

mod page;
pub(crate) mod session;

pub(crate) use page::escape;

use crate::admin::{AdminArgs, Metrics, Ready};
use crate::client::Store;
use crate::config::{Settings, StoreArgs, json_file};
use crate::names::{Name, name};
use crate::orders::{LOOKED_AT, Order, WAITING};
use crate::server::stop_signal;
use crate::table::{TABLES, Table};
use anyhow::{Context, Result};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Args;
use page::{Page, language};
use prometheus_client::metrics::counter::Counter;
use serde::Deserialize;
use session::{COOKIE, Sessions, random_id};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Longest body of a request: an order is far shorter.
const LONGEST_BODY: usize = 16 << 10;
/// Most tables that the page shows.
const MOST_TABLES: usize = 50;
/// The page needs nothing from elsewhere, and stands in nobody's frame.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// Arguments of the role `web`.
#[derive(Args, Clone, Debug)]
pub(crate) struct WebRole {
    /// Address to answer on; in a pod 0.0.0.0:8080
    #[arg(long, env = "ERP_LISTEN", default_value = "127.0.0.1:8080", value_name = "IP:PORT")]
    listen: SocketAddr,
    /// What the provider rendered for the tenant, JSON
    #[arg(long, env = "ERP_SETTINGS", value_name = "FILE")]
    settings: PathBuf,
    /// People who may sign in, JSON
    #[arg(long, env = "ERP_PEOPLE", value_name = "FILE")]
    people: Option<PathBuf>,
    /// Words at the top of the page
    #[arg(long, env = "ERP_WELCOME", value_name = "FILE")]
    welcome: Option<PathBuf>,
    /// Folder with the customer's client kit: index.html and kit.json
    #[arg(long, env = "ERP_CLIENT", value_name = "FOLDER")]
    client: Option<PathBuf>,
    /// Language of the page
    #[arg(long, env = "LANG", default_value = "en", value_name = "LOCALE")]
    language: String,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    admin: AdminArgs,
}

struct Shared {
    settings: Settings,
    people: usize,
    welcome: String,
    language: String,
    client: Option<ClientKit>,
    sessions: Sessions,
    store: Store,
    orders: Counter,
}

/// What the customer's people need to begin, as the provider rendered it.
struct ClientKit {
    page: String,
    kit: String,
}

/// One of the people; only how many they are is shown.
#[derive(Deserialize)]
struct Person {}

/// The store did not answer, or refused.
struct Unavailable(anyhow::Error);

// === impl WebRole ===

impl WebRole {
    /// Serves until the process shall end.
    ///
    /// # Errors
    /// When a setting is missing or wrong, or an address is taken.
    pub(crate) async fn run(self) -> Result<()> {
        let stop = stop_signal()?;
        let settings: Settings = json_file(&self.settings, "--settings")?;
        let people: Vec<Person> = match &self.people {
            Some(file) => json_file(file, "--people")?,
            None => Vec::new(),
        };
        let welcome = match &self.welcome {
            Some(file) => std::fs::read_to_string(file).with_context(|| {
                format!("{} cannot be read; name the right file with --welcome", file.display())
            })?,
            None => String::new(),
        };
        let client = self.client.as_deref().map(ClientKit::read).transpose()?;
        let sessions = Sessions::new(&std::env::var("SESSION_KEY").unwrap_or_default())?;
        let store = self.store.client()?;
        let mut metrics = Metrics::new("web", &settings.version);
        let shared = Arc::new(Shared {
            people: people.len(),
            welcome,
            language: language(&self.language),
            client,
            sessions,
            store: store.clone(),
            orders: metrics.counter("orders", "Orders taken"),
            settings,
        });
        let router = Router::new()
            .route("/", get(show))
            .route("/client", get(client_page))
            .route("/client/kit.json", get(client_kit))
            .route("/orders", post(take))
            .route("/orders/{id}", get(look))
            .with_state(shared);
        self.admin.serve(Some((self.listen, router, LONGEST_BODY)), metrics, answers(store), stop).await
    }
}

/// Ready while the store answers, and takes our password.
pub(crate) fn answers(store: Store) -> Ready {
    Arc::new(move || {
        let store = store.clone();
        Box::pin(async move { store.page(&name(TABLES)?, None, 1).await.map(drop) })
    })
}

async fn show(State(shared): State<Arc<Shared>>) -> Result<Response, Unavailable> {
    let bucket = name(TABLES)?;
    let mut tables = Vec::new();
    for entry in shared.store.page(&bucket, None, MOST_TABLES).await?.0 {
        if let Some(value) = shared.store.get(&bucket, &entry.key).await? {
            let table: Table =
                serde_json::from_slice(&value).with_context(|| format!("table {}", entry.key))?;
            tables.push((entry.key.to_string(), table));
        }
    }
    let page = Page {
        settings: &shared.settings,
        language: &shared.language,
        welcome: &shared.welcome,
        people: shared.people,
        tables: &tables,
    };
    let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict", shared.sessions.begin()?);
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, [(header::SET_COOKIE, cookie)], page.html()).into_response())
}

async fn client_page(State(shared): State<Arc<Shared>>) -> Response {
    kit(&shared, "text/html; charset=utf-8", |kit| &kit.page)
}

async fn client_kit(State(shared): State<Arc<Shared>>) -> Response {
    kit(&shared, "application/json", |kit| &kit.kit)
}

fn kit(shared: &Shared, content_type: &'static str, part: impl Fn(&ClientKit) -> &String) -> Response {
    let headers = [(header::CONTENT_TYPE, content_type), (header::CONTENT_SECURITY_POLICY, POLICY)];
    match &shared.client {
        Some(kit) => (headers, part(kit).clone()).into_response(),
        None => (StatusCode::NOT_FOUND, "there is no client kit; start with --client\n").into_response(),
    }
}

async fn take(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Json(order): Json<Order>,
) -> Result<Response, Unavailable> {
    let cookies = headers.get(header::COOKIE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !shared.sessions.admits(cookies) {
        let message = "there is no session; open the page first and send its cookie\n";
        return Ok((StatusCode::UNAUTHORIZED, message).into_response());
    }
    if let Some(problem) = order.problem() {
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, format!("{problem}\n")).into_response());
    }
    let id = random_id()?;
    let bytes = serde_json::to_vec(&order).context("the order")?;
    shared.store.put(&name(WAITING)?, &name(&id)?, bytes).await?;
    shared.orders.inc();
    Ok((StatusCode::ACCEPTED, Json(serde_json::json!({"id": id}))).into_response())
}

/// The id is known only to who ordered. The worker stores its decision before it takes the order off, so who looks in the
/// other order misses neither.
async fn look(State(shared): State<Arc<Shared>>, Path(id): Path<Name>) -> Result<Response, Unavailable> {
    if shared.store.get(&name(WAITING)?, &id).await?.is_some() {
        return Ok(StatusCode::ACCEPTED.into_response());
    }
    Ok(match shared.store.get(&name(LOOKED_AT)?, &id).await? {
        Some(decision) => ([(header::CONTENT_TYPE, "application/json")], decision).into_response(),
        None => (StatusCode::NOT_FOUND, "there is no such order\n").into_response(),
    })
}

// === impl ClientKit ===

impl ClientKit {
    fn read(folder: &std::path::Path) -> Result<Self> {
        let file = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).with_context(|| {
                format!("{} cannot be read; name the right folder with --client", path.display())
            })
        };
        Ok(Self { page: file("index.html")?, kit: file("kit.json")? })
    }
}

// === impl Unavailable ===

impl<E: Into<anyhow::Error>> From<E> for Unavailable {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Unavailable {
    fn into_response(self) -> Response {
        // The reason names addresses of the inside, which are nothing for visitors.
        tracing::error!(error = format!("{:#}", self.0), "a request failed");
        (StatusCode::SERVICE_UNAVAILABLE, "the application cannot answer now; try again soon\n")
            .into_response()
    }
}
