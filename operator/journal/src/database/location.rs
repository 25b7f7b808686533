//! Where a database is, from its URL. Needs the file system.
//!
//! Nothing here repeats a part of a URL that may hold a password, even where a URL was written wrongly: a `#`, `?` or `/` in
//! a password that is not percent-encoded moves the rest of it into other parts.

use std::path::{Path, PathBuf};

use sqlx::ConnectOptions;
use sqlx::any::AnyConnectOptions;

use crate::DatabaseError;
use crate::dialect::Dialect;

/// What may follow the `?` of a URL.
const PARAMETERS: [&str; 4] = ["sslmode", "sslrootcert", "sslcert", "sslkey"];

/// Where a database is.
pub(super) enum Location {
    File(PathBuf),
    Server(AnyConnectOptions),
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Write,
    Read,
}

impl Location {
    pub(super) fn parse(url: &str) -> Result<Self, DatabaseError> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            return file(path.strip_prefix("//").unwrap_or(path));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return server(url);
        }
        Err(DatabaseError::url("names no known database"))
    }

    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::File(_) => Dialect::Sqlite,
            Self::Server(_) => Dialect::Postgres,
        }
    }

    /// Makes the file, for its user alone, and its directory. What SQLite puts beside it gets the same mode.
    pub(super) async fn create(&self) -> Result<(), DatabaseError> {
        let Self::File(path) = self else { return Ok(()) };
        let cannot = |error| {
            DatabaseError::unavailable(format!("{} cannot be made or written: {error}", path.display()))
        };
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            tokio::fs::create_dir_all(directory).await.map_err(cannot)?;
        }
        let mut options = tokio::fs::OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        options.open(path).await.map_err(cannot).map(drop)
    }

    /// How to connect. A file must be there.
    pub(super) async fn options(&self, purpose: Purpose) -> Result<AnyConnectOptions, DatabaseError> {
        let options = match self {
            Self::Server(options) => options.clone(),
            Self::File(path) => {
                // Absolute and without `..`, which the parser of URLs would take away without looking at the disk.
                let path = tokio::fs::canonicalize(path).await.map_err(|error| {
                    DatabaseError::schema(format!(
                        "there is no database at {}: the controller makes it when it starts ({error})",
                        path.display()
                    ))
                })?;
                let mode = if purpose == Purpose::Write { "rw" } else { "ro" };
                format!("sqlite:{}?mode={mode}", encoded(&path)).parse()?
            }
        };
        // Statements that are slow would be logged in full.
        Ok(options.disable_statement_logging())
    }
}

fn file(path: &str) -> Result<Location, DatabaseError> {
    if path.is_empty() || path.starts_with(':') {
        return Err(DatabaseError::url("names no file"));
    }
    if path.contains(['?', '#', '%']) {
        return Err(DatabaseError::url("has a ?, # or % in its path, which is taken as it stands"));
    }
    Ok(Location::File(path.into()))
}

fn server(url: &str) -> Result<Location, DatabaseError> {
    let encode = "percent-encode what is special in the password";
    let options: AnyConnectOptions =
        url.parse().map_err(|_| DatabaseError::url(format!("cannot be read: {encode}")))?;
    let parts = &options.database_url;
    let database = parts.path().strip_prefix('/').unwrap_or_default();
    if parts.fragment().is_some() || database.contains(['/', '@']) {
        return Err(DatabaseError::url(format!("has a / or # in the wrong place: {encode}")));
    }
    if parts.query_pairs().any(|(key, _)| !PARAMETERS.contains(&key.as_ref())) {
        return Err(DatabaseError::url(format!(
            "has a parameter that is not one of {}: {encode}",
            PARAMETERS.join(", ")
        )));
    }
    for (name, part) in
        [("user", parts.username()), ("host", parts.host_str().unwrap_or_default()), ("database", database)]
    {
        if part.is_empty() {
            return Err(DatabaseError::url(format!("names no {name}")));
        }
    }
    Ok(Location::Server(options))
}

/// The path with everything percent-encoded that means something in a URL.
fn encoded(path: &Path) -> String {
    let mut text = String::new();
    for &byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(url: &str) -> String {
        Location::parse(url).err().map(|error| format!("{error} {error:?}")).unwrap_or_default()
    }

    #[test]
    fn forms_that_are_accepted() {
        for url in ["sqlite:/var/lib/journal.db", "sqlite:///var/lib/journal.db", "sqlite:journal.db"] {
            let location = Location::parse(url).ok();
            assert!(matches!(location, Some(Location::File(path)) if path.ends_with("journal.db")), "{url}");
        }
        for url in [
            "postgres://tenantry@db.example/journal",
            "postgresql://tenantry:s%2Fcret@127.0.0.1:5433/journal?sslmode=verify-full&sslrootcert=/etc/ca.crt",
            "postgres://tenantry@%2Frun%2Fpostgresql/journal",
        ] {
            assert!(matches!(Location::parse(url), Ok(Location::Server(_))), "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (url, expected) in [
            ("", "names no known database"),
            ("mysql://user:hunter2@host/db", "names no known database"),
            ("hunter2", "names no known database"),
            ("sqlite:", "names no file"),
            ("sqlite::memory:", "names no file"),
            ("sqlite:/journal.db?mode=rwc", "taken as it stands"),
            ("postgres://user:hunter2@host", "names no database"),
            ("postgres://user:hunter2@host/", "names no database"),
            ("postgres://:hunter2@host/db", "names no user"),
            ("postgres://user:hunter2@/db", "cannot be read"),
            ("postgres://user:hunt/er2@host/db", "cannot be read"),
            ("postgres://user:1/hunter2@host/db", "in the wrong place"),
            ("postgres://user:1#hunter2@host/db", "in the wrong place"),
            ("postgres://user:1?hunter2@host/db", "parameter"),
            ("postgres://user@host/db?password=hunter2", "parameter"),
        ] {
            let reason = reason(url);
            assert!(reason.contains(expected), "{url}: {reason}");
            assert!(!reason.contains("hunter2") && !reason.contains("er2@"), "{reason}");
            assert!(
                reason.contains("write sqlite:/path/file.db or postgres://user@host/database"),
                "{reason}"
            );
        }
    }

    #[test]
    fn a_path_is_no_url() {
        assert_eq!(encoded(Path::new("/a b/ü?#%.db")), "/a%20b/%C3%BC%3F%23%25.db");
    }
}
