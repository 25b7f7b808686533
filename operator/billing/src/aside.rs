//! What was told of usage and is kept aside, page by page. Needs a connection.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use tenantry_journal::in_time;
use tenantry_ledger::refusal::Refusal;

use crate::{Books, BooksError};

/// The most of one page.
pub const PAGE: u32 = 500;
/// So many characters of what was told are shown: the numbers of an event are in its first lines.
const SHOWN: usize = 4_096;

/// What of it is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Whom it is about, by id; everybody and nobody without one. What is about nobody has an empty id.
    pub tenants: Option<Vec<String>>,
    /// The first moment at which it was received.
    pub from: Timestamp,
    /// The first moment after.
    pub to: Timestamp,
    /// Where the page before ended; the first page without it.
    pub after: Option<Cursor>,
    /// How many, from 1 to [`PAGE`].
    pub limit: u32,
}

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    received: i64,
    tenant: String,
    reporter: String,
    digest: String,
}

/// A page of it, the latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// What does not count.
    pub events: Vec<KeptAside>,
    /// Where the next page begins; none where this is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Something that was told and does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptAside {
    /// When it was received.
    pub received: Timestamp,
    /// Whom it is about; empty where nobody is known.
    pub tenant: String,
    /// For whom it was told: `Tenant` or `Provider`.
    pub reporter: String,
    /// The name by which the API server knows who told it.
    pub told_by: String,
    /// Its source, where it has one.
    pub source: String,
    /// Its id, where it has one.
    pub id: String,
    /// Whom it says that it is about.
    pub subject: String,
    /// Why it does not count.
    pub cause: String,
    /// Where in it.
    pub field: String,
    /// What is wrong with that.
    pub reason: String,
    /// What would be right.
    pub remedy: String,
    /// What was told, or its beginning.
    pub body: String,
    /// Whether there is more of it than is shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
}

// === impl Cursor ===

impl std::fmt::Display for Cursor {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { received, tenant, reporter, digest } = self;
        write!(out, "{received}.{tenant}.{reporter}.{digest}")
    }
}

impl std::str::FromStr for Cursor {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let parts: Vec<&str> = text.split('.').collect();
        let read = match parts.as_slice() {
            [received, tenant, reporter, digest] => received.parse().ok().map(|received| Self {
                received,
                tenant: (*tenant).to_owned(),
                reporter: (*reporter).to_owned(),
                digest: (*digest).to_owned(),
            }),
            _ => None,
        };
        read.ok_or_else(|| {
            Refusal::new(
                "after",
                format!("{text:?} is where no page ended"),
                "write what a page has as next, or leave it out",
            )
        })
    }
}

impl Books {
    /// What was told of usage in a stretch of time and does not count, the latest first; what was told rightly since is not in it.
    ///
    /// # Errors
    /// A page of nothing or of too much; when the database cannot be read.
    pub async fn aside(&self, wanted: &Wanted) -> Result<Page, BooksError> {
        let Wanted { tenants, from, to, after, limit } = wanted;
        if *limit == 0 || *limit > PAGE {
            let remedy = format!("write 1 to {PAGE}, and ask for the next page with after");
            return Err(Refusal::new("limit", format!("{limit} are no page"), remedy).into());
        }
        let whose = match tenants {
            None => String::new(),
            Some(tenants) => {
                let places: Vec<String> = (0..tenants.len()).map(|at| format!("${}", at + 8)).collect();
                // No tenant at all is no tenant, and not every one.
                format!(
                    "AND tenant IN ({})",
                    if places.is_empty() { "NULL".to_owned() } else { places.join(", ") }
                )
            }
        };
        let sql = format!(
            "SELECT tenant, reporter, digest, source, event_id, subject, cause, field, reason, remedy, \
             SUBSTR(body, 1, {more}) AS body, received_at, told_by FROM usage_quarantine AS aside \
             WHERE received_at >= $1 AND received_at < $2 {whose} \
             AND (received_at < $3 OR (received_at = $3 AND (tenant, reporter, digest) > ($4, $5, $6))) \
             AND (cause = 'Conflicting' OR NOT EXISTS \
             (SELECT 1 FROM usage_event AS told WHERE told.tenant = aside.tenant AND told.reporter = aside.reporter \
             AND told.source = aside.source AND told.event_id = aside.event_id)) \
             ORDER BY received_at DESC, tenant, reporter, digest LIMIT $7",
            more = SHOWN + 1
        );
        let first = Cursor {
            received: i64::MAX,
            tenant: String::new(),
            reporter: String::new(),
            digest: String::new(),
        };
        let Cursor { received, tenant, reporter, digest } = after.clone().unwrap_or(first);
        let mut query = sqlx::query(AssertSqlSafe(sql))
            .bind(from.as_second())
            .bind(to.as_second())
            .bind(received)
            .bind(tenant)
            .bind(reporter)
            .bind(digest)
            // One more than is wanted says whether there is another page.
            .bind(i64::from(*limit) + 1);
        for tenant in tenants.iter().flatten() {
            query = query.bind(tenant.clone());
        }
        let mut connection = self.database.reader().await?;
        let rows = in_time(query.fetch_all(connection.raw())).await?;
        connection.give_back();
        let shown = rows.get(..*limit as usize).unwrap_or(&rows);
        let next = match shown.last() {
            Some(last) if rows.len() > shown.len() => Some(cursor(last)?.to_string()),
            _ => None,
        };
        Ok(Page { events: shown.iter().map(read).collect::<Result<_, _>>()?, next })
    }
}

fn cursor(row: &AnyRow) -> Result<Cursor, sqlx::Error> {
    Ok(Cursor {
        received: row.try_get("received_at")?,
        tenant: row.try_get("tenant")?,
        reporter: row.try_get("reporter")?,
        digest: row.try_get("digest")?,
    })
}

fn read(row: &AnyRow) -> Result<KeptAside, sqlx::Error> {
    let received = Timestamp::from_second(row.try_get("received_at")?);
    let body: String = row.try_get("body")?;
    let is_cut = body.chars().count() > SHOWN;
    Ok(KeptAside {
        received: received.map_err(|error| sqlx::Error::Decode(error.into()))?,
        tenant: row.try_get("tenant")?,
        reporter: row.try_get("reporter")?,
        told_by: row.try_get("told_by")?,
        source: row.try_get("source")?,
        id: row.try_get("event_id")?,
        subject: row.try_get("subject")?,
        cause: row.try_get("cause")?,
        field: row.try_get("field")?,
        reason: row.try_get("reason")?,
        remedy: row.try_get("remedy")?,
        body: if is_cut { body.chars().take(SHOWN).collect() } else { body },
        is_cut,
    })
}
