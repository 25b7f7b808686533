//! The schema in the database: brought up to date by whoever writes, looked at by whoever reads. Needs a connection.

use sqlx::{AnyConnection, Connection};

use crate::DatabaseError;
use crate::dialect::Dialect;
use crate::error::newer;

/// Brings the schema up to date. Of several that start at once, one does.
pub(super) async fn migrate(dialect: Dialect, connection: &mut AnyConnection) -> Result<(), DatabaseError> {
    let migrator = dialect.migrator();
    // `run` is generic over how a connection is had, so its future cannot be sent (sqlx made this hidden method for that).
    match dialect {
        // The migrator takes no lock here.
        Dialect::Sqlite => {
            // Whoever is later waits for who migrates, which writes to disk once for each step.
            sqlx::raw_sql("PRAGMA busy_timeout = 60000").execute(&mut *connection).await?;
            let mut transaction = connection.begin_with(dialect.begin()).await?;
            migrator.run_direct(None, &mut *transaction, false).await?;
            transaction.commit().await?;
        }
        Dialect::Postgres => {
            suits(connection).await?;
            migrator.run_direct(None, connection, false).await?;
        }
    }
    Ok(())
}

/// Looks whether this program can read what is there.
pub(super) async fn check(dialect: Dialect, connection: &mut AnyConnection) -> Result<(), DatabaseError> {
    let tables = match dialect {
        Dialect::Sqlite => "SELECT COUNT(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'",
        Dialect::Postgres => "SELECT COUNT(to_regclass('_sqlx_migrations'))",
    };
    let tables: i64 = sqlx::query_scalar(tables).fetch_one(&mut *connection).await?;
    if tables == 0 {
        return Err(DatabaseError::schema(
            "the database holds no journal: the controller makes it when it starts",
        ));
    }
    let there = "SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations";
    let there: i64 = sqlx::query_scalar(there).fetch_one(connection).await?;
    let known = dialect.migrator().iter().map(|migration| migration.version).max().unwrap_or_default();
    if there > known {
        return Err(newer(there));
    }
    if there < known {
        return Err(DatabaseError::schema(format!(
            "the database is of an earlier release (schema {there}, needed is {known}): the controller of this release \
             brings it up to date when it starts"
        )));
    }
    Ok(())
}

/// Names and texts are of all languages: a database that cannot hold them all would refuse some entry one day.
async fn suits(connection: &mut AnyConnection) -> Result<(), DatabaseError> {
    let encoding = "SELECT current_setting('server_encoding')";
    let encoding: String = sqlx::query_scalar(encoding).fetch_one(&mut *connection).await?;
    if encoding != "UTF8" {
        return Err(DatabaseError::schema(format!(
            "the database is encoded as {encoding}: create one with ENCODING 'UTF8' TEMPLATE template0"
        )));
    }
    let version = "SELECT current_setting('server_version_num')::BIGINT / 10000";
    let version: i64 = sqlx::query_scalar(version).fetch_one(connection).await?;
    if version < 15 {
        return Err(DatabaseError::schema(format!(
            "the server is PostgreSQL {version}: 15 or later is needed"
        )));
    }
    Ok(())
}
