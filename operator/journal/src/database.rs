//! Opening and closing, and connections that are known to be sound. Needs a database, a runtime and a clock.
//!
//! One connection writes: whoever appends waits for it in the order of arrival and never for readers. At rest nothing is
//! sent, and connections that nobody used for a while are closed.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions, install_default_drivers};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, ConnectOptions, Connection, Transaction};
use tokio::time::timeout;

use crate::DatabaseError;
use crate::dialect::Dialect;

pub(crate) mod fence;
mod location;
mod schema;

pub use fence::{Epoch, Leader};
use location::{Location, Purpose};

/// How long somebody waits for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long somebody waits for what is asked over one: longer than the server lets a statement take, so that the server
/// gives the reason, and bounded because a connection into nowhere says nothing for a quarter of an hour.
const ANSWER: Duration = Duration::from_secs(15);
/// How long a connection is tested before others may have it.
const TEST: Duration = Duration::from_secs(2);
/// How long bringing the schema up to date may take, with what is in the database.
const MIGRATION: Duration = Duration::from_secs(600);
/// After how long unused a connection is closed.
const IDLE: Duration = Duration::from_secs(600);
/// Connections of those who read.
const READERS: u32 = 3;

/// A database of Tenantry's. Clones share its connections.
#[derive(Clone)]
pub struct Database {
    pub(crate) dialect: Dialect,
    write: AnyPool,
    read: AnyPool,
}

/// A connection that goes back to the others only if it was used to the end. After an error, a deadline or a caller who left,
/// nobody knows what is still on its way on it: it is closed. (With sqlx 0.9.0 one that was given up while its transaction
/// began would even hand that transaction to the next: transact-rs/sqlx#4393.)
#[derive(Debug)]
pub struct Borrowed {
    dialect: Dialect,
    connection: PoolConnection<Any>,
    is_sound: bool,
}

// === impl Database ===

impl Database {
    /// Opens for writing. A file is made, with its directory, and the schema is brought up to date.
    ///
    /// A URL is `sqlite:/path/file.db` or `postgres://user:password@host:port/database`, with the parameters `sslmode`,
    /// `sslrootcert`, `sslcert` and `sslkey`; only `sslmode=verify-full` makes sure who answers. Without a password in it that
    /// of the environment (`PGPASSWORD`) is used. A pooler in between must keep sessions together.
    ///
    /// # Errors
    /// When the URL is wrong, the database cannot be reached or is of a later release.
    pub async fn open(url: &str) -> Result<Self, DatabaseError> {
        let location = Location::parse(url)?;
        location.create().await?;
        let dialect = location.dialect();
        let write = location.options(Purpose::Write).await?;
        let read = location.options(Purpose::Read).await?;
        // The first connection is not one of a pool, which would not say why there is none.
        let mut connection = connect(&write, dialect.to_write()).await?;
        bounded(MIGRATION, schema::migrate(dialect, &mut connection)).await?;
        close(connection).await;
        Ok(Self {
            dialect,
            write: pool(write, 1, dialect.to_write(), dialect),
            read: pool(read, READERS, dialect.to_read(), dialect),
        })
    }

    /// Opens for reading only: whoever tries to write is refused by the database.
    ///
    /// # Errors
    /// When the URL is wrong, the database cannot be reached, or its schema is missing or of another release.
    pub async fn open_to_read(url: &str) -> Result<Self, DatabaseError> {
        let location = Location::parse(url)?;
        let dialect = location.dialect();
        let options = location.options(Purpose::Read).await?;
        let mut connection = connect(&options, dialect.to_read()).await?;
        in_time(schema::check(dialect, &mut connection)).await?;
        close(connection).await;
        let read = pool(options, READERS, dialect.to_read(), dialect);
        Ok(Self { dialect, write: read.clone(), read })
    }

    /// Closes all connections, after what is under way on them.
    pub async fn close(self) {
        self.read.close().await;
        self.write.close().await;
    }

    /// The connection that writes, for whatever else is kept in the same database.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn writer(&self) -> Result<Borrowed, DatabaseError> {
        Ok(Borrowed { dialect: self.dialect, connection: self.write.acquire().await?, is_sound: false })
    }

    /// Writes under the fence, in one transaction and in time: all that `work` writes, or nothing when it fails.
    ///
    /// # Errors
    /// `Superseded` when somebody has taken over since `epoch`, and what `work` says. After an outage nobody knows whether it is
    /// written.
    pub async fn write<T, E: From<DatabaseError>>(
        &self,
        epoch: Epoch,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.write_all_or_nothing(Some(epoch), work).await
    }

    /// Writes in one transaction and in time without asking the fence: for what is unique by itself, whoever writes it. All that
    /// `work` writes, or nothing when it fails.
    ///
    /// # Errors
    /// What `work` says. After an outage nobody knows whether it is written.
    pub async fn write_unfenced<T, E: From<DatabaseError>>(
        &self,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.write_all_or_nothing(None, work).await
    }

    async fn write_all_or_nothing<T, E: From<DatabaseError>>(
        &self,
        fence: Option<Epoch>,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.writer().await?;
        let done = in_time(async {
            let mut transaction = match fence {
                Some(epoch) => connection.begin_held(epoch).await?,
                None => connection.begin().await?,
            };
            let done = work(&mut transaction).await;
            if done.is_ok() {
                transaction.commit().await?;
            }
            Ok::<_, DatabaseError>(done)
        })
        .await??;
        connection.give_back();
        Ok(done)
    }

    /// A connection that reads.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn reader(&self) -> Result<Borrowed, DatabaseError> {
        Ok(Borrowed { dialect: self.dialect, connection: self.read.acquire().await?, is_sound: false })
    }
}

/// The options hold a password, so they are not shown.
impl fmt::Debug for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Database").field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

// === impl Borrowed ===

impl Borrowed {
    /// The connection itself.
    pub fn raw(&mut self) -> &mut AnyConnection {
        &mut self.connection
    }

    pub(crate) async fn begin(&mut self) -> Result<Transaction<'_, Any>, sqlx::Error> {
        self.connection.begin_with(self.dialect.begin()).await
    }

    /// Begins a transaction that writes under the fence: nobody takes over until it ends.
    ///
    /// # Errors
    /// `Superseded` when somebody has taken over since `epoch`.
    pub async fn begin_held(&mut self, epoch: Epoch) -> Result<Transaction<'_, Any>, DatabaseError> {
        let dialect = self.dialect;
        let mut transaction = self.begin().await?;
        fence::hold(dialect, &mut transaction, epoch).await?;
        Ok(transaction)
    }

    /// What it was borrowed for is done. The pool tests what comes back, and would wait for ever for the answer of a server
    /// that was lost just now (its own method is hidden because few need it).
    pub fn give_back(mut self) {
        self.is_sound = true;
        tokio::spawn(timeout(TEST, self.connection.return_to_pool()));
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if !self.is_sound {
            self.connection.close_on_drop();
        }
    }
}

/// Bounds what is asked of the database.
///
/// # Errors
/// Those of what is asked, and `Unavailable` when there is no answer in time.
pub async fn in_time<T, E: Into<DatabaseError>>(
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, DatabaseError> {
    bounded(ANSWER, work).await
}

async fn bounded<T, E: Into<DatabaseError>>(
    longest: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, DatabaseError> {
    match timeout(longest, work).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => {
            let seconds = longest.as_secs();
            Err(DatabaseError::unavailable(format!("it does not answer within {seconds} s")))
        }
    }
}

async fn connect(
    options: &AnyConnectOptions,
    greeting: &'static str,
) -> Result<AnyConnection, DatabaseError> {
    install_default_drivers();
    bounded(CONNECT, async {
        let mut connection = options.connect().await?;
        sqlx::raw_sql(greeting).execute(&mut connection).await?;
        Ok::<_, sqlx::Error>(connection)
    })
    .await
}

/// The server learns of it sooner; a connection that cannot be closed is gone all the same.
async fn close(connection: AnyConnection) {
    let _ = timeout(CONNECT, connection.close()).await;
}

fn pool(options: AnyConnectOptions, most: u32, greeting: &'static str, dialect: Dialect) -> AnyPool {
    AnyPoolOptions::new()
        .max_connections(most)
        .min_connections(0)
        .acquire_timeout(CONNECT)
        .idle_timeout(IDLE)
        .max_lifetime(None)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                sqlx::raw_sql(greeting).execute(&mut *connection).await?;
                sqlx::raw_sql(dialect.bounded()).execute(connection).await?;
                Ok(())
            })
        })
        .connect_lazy_with(options)
}
