//! What can go wrong with the database, and what may be tried again; pure.

use std::error::Error;

use sqlx::migrate::MigrateError;

/// Errors of SQLite that pass: permissions, locks, memory, a disk that is full, read-only or fails.
const SQLITE_OUTAGES: [i64; 9] = [3, 5, 6, 7, 8, 10, 13, 14, 15];
/// Classes of PostgreSQL's errors that pass: connection, log-in, database not there, rollback for another's sake, lack of
/// resources, shut down or cancelled, failure of the system.
const POSTGRES_OUTAGES: [&str; 7] = ["08", "28", "3D", "40", "53", "57", "58"];
/// More such errors: a server that became a standby, a transaction that stood still, a lock that was not had.
const MORE_POSTGRES_OUTAGES: [&str; 3] = ["25006", "25P03", "55P03"];

/// Why the database did not do what it was asked. No text of it holds the password of a URL.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The URL cannot be used.
    #[error("the database URL {reason}; write sqlite:/path/file.db or postgres://user@host/database")]
    Url {
        /// What is wrong.
        reason: String,
    },
    /// The database cannot be reached, or was lost on the way: what was asked may have been done or not.
    #[error("the database cannot be used now: {source}")]
    Unavailable {
        /// What the connection says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The database, or the schema in it, is not one for this program.
    #[error("{reason}")]
    Schema {
        /// What is the matter, and the remedy.
        reason: String,
    },
    /// Somebody else has taken over: this process must write no more.
    #[error("{by:?} writes to the database now: this process must end")]
    Superseded {
        /// The other's identity.
        by: String,
    },
    /// The database refused a statement.
    #[error("the database refused a statement: {source}")]
    Query {
        /// What it says.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl DatabaseError {
    /// Whether the same may work later.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Whether somebody else has taken over.
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        matches!(self, Self::Superseded { .. })
    }

    pub(crate) fn url(reason: impl Into<String>) -> Self {
        Self::Url { reason: reason.into() }
    }

    pub(crate) fn schema(reason: impl Into<String>) -> Self {
        Self::Schema { reason: reason.into() }
    }

    pub(crate) fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable { source: source.into() }
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Configuration(source) => Self::url(format!("cannot be used: {source}")),
            sqlx::Error::PoolTimedOut => Self::unavailable("no connection to it was had within 5 s"),
            error if passes(&error) => Self::unavailable(error),
            error => Self::Query { source: error.into() },
        }
    }
}

impl From<MigrateError> for DatabaseError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            MigrateError::VersionMissing(version) => newer(version),
            error => Self::schema(format!(
                "the schema of the database was changed by somebody else: restore the database from a copy ({error})"
            )),
        }
    }
}

/// The database was made by a later release.
pub(crate) fn newer(version: i64) -> DatabaseError {
    DatabaseError::schema(format!(
        "the database is of a later release (schema {version}): run that release, or restore the copy made before it"
    ))
}

fn passes(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            // SQLite counts its errors, with details in the higher bits; PostgreSQL names them with five characters.
            match code.parse::<i64>() {
                Ok(number) if code.len() < 5 => SQLITE_OUTAGES.contains(&(number & 0xff)),
                _ => {
                    code.get(..2).is_some_and(|class| POSTGRES_OUTAGES.contains(&class))
                        || MORE_POSTGRES_OUTAGES.contains(&code.as_ref())
                }
            }
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}
