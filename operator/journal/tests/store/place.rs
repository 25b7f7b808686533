//! Where a test's database is: a file or a database of its own on a server that the tests share.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use sqlx::any::{AnyConnectOptions, install_default_drivers};
use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions, SqlSafeStr};
use tempfile::TempDir;
use tenantry_control_plane::{Postgres, skipped};

/// Ended when the last test that uses it ends: one that is never dropped would leave its data behind.
static SERVER: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
/// Databases made so far.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// An empty database.
pub(crate) struct Place {
    pub(crate) url: String,
    server: Option<Arc<Postgres>>,
    /// Removed with this.
    _directory: Option<TempDir>,
}

/// Makes two tests of each function: on a file and on a server.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Place::file()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                if let Some(place) = super::Place::server(concat!("postgres::", stringify!($name))).await {
                    super::$name(place).await;
                }
            })*
        }
    };
}
pub(crate) use on_both;

impl Place {
    pub(crate) fn file() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/new folder/journal.db", directory.path().display());
        Self { url, server: None, _directory: Some(directory) }
    }

    /// A database on the shared server; nothing, and counted as skipped, where there can be none.
    pub(crate) async fn server(test: &str) -> Option<Self> {
        if let Some(reason) = Postgres::missing() {
            skipped(test, &reason);
            return None;
        }
        let server = {
            // A start that failed failed its own test.
            let mut shared = SERVER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match shared.upgrade() {
                Some(server) => server,
                None => {
                    let server = Arc::new(Postgres::start().unwrap());
                    *shared = Arc::downgrade(&server);
                    server
                }
            }
        };
        let name = format!("journal_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        run(&server.url("postgres"), AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        Some(Self { url: server.url(&name), server: Some(server), _directory: None })
    }

    pub(crate) fn is_server(&self) -> bool {
        self.server.is_some()
    }

    /// Runs a statement as somebody who has the database open.
    pub(crate) async fn run(&self, statement: impl SqlSafeStr) -> Result<(), sqlx::Error> {
        run(&self.url, statement).await
    }

    /// A connection beside those of the store.
    pub(crate) async fn connection(&self) -> AnyConnection {
        connect(&self.url).await.unwrap()
    }
}

async fn run(url: &str, statement: impl SqlSafeStr) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(statement).execute(&mut connect(url).await?).await.map(drop)
}

async fn connect(url: &str) -> Result<AnyConnection, sqlx::Error> {
    install_default_drivers();
    url.parse::<AnyConnectOptions>()?.connect().await
}
