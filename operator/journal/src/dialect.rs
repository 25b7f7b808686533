//! Where SQLite and PostgreSQL differ; pure.

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{SqlSafeStr, SqlStr};

/// Which database speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// What a connection that writes says first.
    ///
    /// A process that is stopped amid a transaction must not keep the next leader out: PostgreSQL ends its session. A
    /// server that acknowledges before it has written is asked not to; one that waits for more than that is left alone.
    /// SQLite sorts in memory, because the controller's image may have no place that can be written, and keeps half a MiB of
    /// pages: what is written is never read again but at a start.
    pub(crate) fn to_write(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                 PRAGMA temp_store = MEMORY; PRAGMA cache_size = -512"
            }
            Self::Postgres => {
                "SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '5s'; \
                 SELECT set_config('synchronous_commit', 'on', false) \
                 WHERE current_setting('synchronous_commit') = 'off'"
            }
        }
    }

    /// What a connection that reads says first. A file is opened for reading only.
    pub(crate) fn to_read(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "PRAGMA busy_timeout = 5000; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -512"
            }
            Self::Postgres => "SET lock_timeout = '10s'; SET default_transaction_read_only = on",
        }
    }

    /// Bounds the statements of a connection; none for the one that migrates, which may take long.
    pub(crate) fn bounded(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => "SET statement_timeout = '10s'",
        }
    }

    /// Begins a transaction that writes. SQLite takes its lock at once: one that reads first and finds out later that
    /// another wrote meanwhile could only begin anew.
    pub(crate) fn begin(self) -> SqlStr {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE".into_sql_str(),
            Self::Postgres => "BEGIN".into_sql_str(),
        }
    }

    /// Reads the fence and keeps others from changing it until the transaction ends.
    pub(crate) fn fence(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT epoch, holder, lease_uid, transitions FROM fence",
            Self::Postgres => "SELECT epoch, holder, lease_uid, transitions FROM fence FOR UPDATE",
        }
    }

    /// The schema, embedded.
    pub(crate) fn migrator(self) -> Migrator {
        let steps = match self {
            Self::Sqlite => [
                ("journal", include_str!("../migrations/sqlite/0001_journal.sql")),
                ("leftovers", include_str!("../migrations/sqlite/0002_leftovers.sql")),
                ("ledger", include_str!("../migrations/sqlite/0003_ledger.sql")),
                ("deliveries", include_str!("../migrations/sqlite/0004_deliveries.sql")),
                ("payments", include_str!("../migrations/sqlite/0005_payments.sql")),
                ("usage", include_str!("../migrations/sqlite/0006_usage.sql")),
                ("usage measured", include_str!("../migrations/sqlite/0007_usage_measured.sql")),
            ],
            Self::Postgres => [
                ("journal", include_str!("../migrations/postgres/0001_journal.sql")),
                ("leftovers", include_str!("../migrations/postgres/0002_leftovers.sql")),
                ("ledger", include_str!("../migrations/postgres/0003_ledger.sql")),
                ("deliveries", include_str!("../migrations/postgres/0004_deliveries.sql")),
                ("payments", include_str!("../migrations/postgres/0005_payments.sql")),
                ("usage", include_str!("../migrations/postgres/0006_usage.sql")),
                ("usage measured", include_str!("../migrations/postgres/0007_usage_measured.sql")),
            ],
        };
        let migrations = (1..).zip(steps).map(|(version, (name, sql))| {
            Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        });
        Migrator::with_migrations(migrations.collect())
    }
}
