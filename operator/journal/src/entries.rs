//! What the journal holds, and how it is appended and read. Needs a connection.
//!
//! Entries are numbered when they are appended, under the lock of the fence: who reads sees them in the order in which they
//! were acknowledged, and no earlier number appears later.

use serde::{Deserialize, Serialize};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Row};

use crate::database::in_time;
use crate::{Database, DatabaseError, Epoch};

/// Columns of an entry, in the order of [`values`].
const COLUMNS: &str = "id, tenant, subscription, uid, operation, subject, item, outcome, plan, application, version, \
                       blueprint, started_at, ended_at, machine_seconds, people_seconds, attempts, actor, evidence";
/// How many columns an entry has, with its number.
const WIDTH: usize = 20;
/// Entries of one statement. SQLite takes 32,766 values.
const ROWS: usize = 500;

/// One fact. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Unique, given by whoever appends, such as `k7w3q9m2/1/item/training/1`.
    pub id: String,
    /// Random id of the tenant.
    pub tenant: String,
    /// Name of the subscription.
    pub subscription: String,
    /// UID of the subscription.
    pub uid: String,
    /// Number of the operation in the tenant's life.
    pub operation: i64,
    /// What it is about: `Operation`, `Item`, `Run`, `Signature`, `Suspension`, `Document`, `Leftover` or
    /// `Tenant`.
    pub subject: String,
    /// Name of the item, empty for an operation.
    pub item: String,
    /// How it ended: `Began`, `Completed`, `Done`, `Failed`, `Skipped`, `Signed` and so on.
    pub outcome: String,
    /// Name of the plan, without revision.
    pub plan: String,
    /// Name of the application, without revision.
    pub application: String,
    /// Name of the version, without revision.
    pub version: String,
    /// Name of the blueprint, without revision.
    pub blueprint: String,
    /// When it began, if it took time.
    pub started_at: Option<i64>,
    /// When it ended.
    pub ended_at: i64,
    /// How long machines worked.
    pub machine_seconds: i64,
    /// How long people were waited for.
    pub people_seconds: i64,
    /// How often it was tried.
    pub attempts: i64,
    /// Who did it.
    pub actor: String,
    /// What proves it, as JSON text.
    pub evidence: String,
}

/// Whose history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryOf {
    /// Every tenant that ever had this subscription's name.
    Subscription(String),
    /// The tenant with this random id.
    Tenant(String),
}

/// How long one item took once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Name of the application.
    pub application: String,
    /// Name of the version.
    pub version: String,
    /// Name of the plan.
    pub plan: String,
    /// Name of the item.
    pub item: String,
    /// How long machines worked.
    pub machine_seconds: i64,
    /// How long people were waited for.
    pub people_seconds: i64,
}

// === impl Database ===

impl Database {
    /// Appends all entries or none, and says how many were new: an id that is there already changes nothing. Without entries
    /// it only asks whether `epoch` may still write.
    ///
    /// # Errors
    /// `Superseded` when somebody has taken over since `epoch`. After an outage nobody knows whether the entries are there;
    /// they may be appended again.
    pub async fn append(&self, epoch: Epoch, entries: &[Entry]) -> Result<u64, DatabaseError> {
        self.write(epoch, async |transaction| Ok(insert(transaction, entries).await?)).await
    }

    /// The ids of all entries of these tenants.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn recorded(&self, tenants: &[String]) -> Result<Vec<String>, DatabaseError> {
        let mut ids = Vec::new();
        let mut connection = self.reader().await?;
        for tenants in tenants.chunks(ROWS) {
            let sql = format!("SELECT id FROM journal WHERE tenant IN ({})", places(1, tenants.len()));
            let mut query = sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false);
            for tenant in tenants {
                query = query.bind(tenant.as_str());
            }
            ids.append(&mut in_time(query.fetch_all(connection.raw())).await?);
        }
        connection.give_back();
        Ok(ids)
    }

    /// Everything about a subscription's name or a tenant, in the order in which it was appended.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn history(&self, of: &HistoryOf) -> Result<Vec<Entry>, DatabaseError> {
        let (column, value) = match of {
            HistoryOf::Subscription(name) => ("subscription", name),
            HistoryOf::Tenant(id) => ("tenant", id),
        };
        let sql = format!("SELECT {COLUMNS} FROM journal WHERE {column} = $1 ORDER BY sequence");
        self.entries(sqlx::query(AssertSqlSafe(sql)).bind(value.as_str())).await
    }

    /// How long items that are done took for a new tenant: the latest `per_group` of each item of each plan and version of an
    /// application.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn samples(&self, per_group: i64) -> Result<Vec<Sample>, DatabaseError> {
        let query = sqlx::query(
            "SELECT application, version, plan, item, machine_seconds, people_seconds FROM ( \
             SELECT application, version, plan, item, machine_seconds, people_seconds, \
             ROW_NUMBER() OVER (PARTITION BY application, version, plan, item \
             ORDER BY ended_at DESC, sequence DESC) AS place \
             FROM journal WHERE subject = 'Item' AND outcome = 'Done' AND operation = 1) AS done \
             WHERE place <= $1 ORDER BY application, version, plan, item, place",
        );
        let mut connection = self.reader().await?;
        let rows = in_time(query.bind(per_group).fetch_all(connection.raw())).await?;
        connection.give_back();
        rows.iter().map(|row| Sample::read(row).map_err(DatabaseError::from)).collect()
    }

    /// The operations that were completed, the latest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn ended_operations(&self, limit: i64) -> Result<Vec<Entry>, DatabaseError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM journal WHERE subject = 'Operation' AND outcome = 'Completed' \
             ORDER BY ended_at DESC, sequence DESC LIMIT $1"
        );
        self.entries(sqlx::query(AssertSqlSafe(sql)).bind(limit)).await
    }

    /// What was left of tenants that ended and is not told to be gone.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn leftovers(&self) -> Result<Vec<Entry>, DatabaseError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM journal WHERE subject = 'Leftover' AND outcome = 'Left' AND NOT EXISTS \
             (SELECT 1 FROM journal AS gone WHERE gone.id = journal.id || '/gone') ORDER BY sequence"
        );
        self.entries(sqlx::query(AssertSqlSafe(sql))).await
    }

    /// Tenants whose charges began.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn charged(&self) -> Result<Vec<String>, DatabaseError> {
        let mut connection = self.reader().await?;
        let query = sqlx::query_scalar("SELECT DISTINCT tenant FROM journal WHERE subject = 'Charges'");
        let tenants = in_time(query.fetch_all(connection.raw())).await?;
        connection.give_back();
        Ok(tenants)
    }

    /// Tenants that had a plan at some time.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn tenants_of(&self, plan: &str) -> Result<Vec<String>, DatabaseError> {
        let mut connection = self.reader().await?;
        let query = sqlx::query_scalar("SELECT DISTINCT tenant FROM journal WHERE plan = $1 ORDER BY tenant");
        let tenants = in_time(query.bind(plan.to_owned()).fetch_all(connection.raw())).await?;
        connection.give_back();
        Ok(tenants)
    }

    async fn entries(&self, query: Query<'_, Any, AnyArguments>) -> Result<Vec<Entry>, DatabaseError> {
        let mut connection = self.reader().await?;
        let rows = in_time(query.fetch_all(connection.raw())).await?;
        connection.give_back();
        rows.iter().map(|row| Entry::read(row).map_err(DatabaseError::from)).collect()
    }
}

/// Inserts what is new. The fence is held.
async fn insert(transaction: &mut AnyConnection, entries: &[Entry]) -> Result<u64, sqlx::Error> {
    let last = "SELECT COALESCE(MAX(sequence), 0) FROM journal";
    let last: i64 = sqlx::query_scalar(last).fetch_one(&mut *transaction).await?;
    let mut numbers = last.saturating_add(1)..;
    let mut new = 0;
    for rows in entries.chunks(ROWS) {
        let places: Vec<_> =
            (0..rows.len()).map(|row| format!("({})", places(row * WIDTH + 1, WIDTH))).collect();
        let sql = format!(
            "INSERT INTO journal (sequence, {COLUMNS}) VALUES {} ON CONFLICT (id) DO NOTHING",
            places.join(", ")
        );
        // Its text depends on the number of rows: kept statements would crowd out others.
        let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        for (number, entry) in numbers.by_ref().zip(rows) {
            query = values(query.bind(number), entry);
        }
        new += query.execute(&mut *transaction).await?.rows_affected();
    }
    Ok(new)
}

/// `count` placeholders from number `first` on.
fn places(first: usize, count: usize) -> String {
    let places: Vec<_> = (first..first + count).map(|place| format!("${place}")).collect();
    places.join(", ")
}

/// PostgreSQL refuses the character NUL, and an entry that is refused would be tried for ever.
fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn values<'q>(query: Query<'q, Any, AnyArguments>, entry: &Entry) -> Query<'q, Any, AnyArguments> {
    query
        .bind(text(&entry.id))
        .bind(text(&entry.tenant))
        .bind(text(&entry.subscription))
        .bind(text(&entry.uid))
        .bind(entry.operation)
        .bind(text(&entry.subject))
        .bind(text(&entry.item))
        .bind(text(&entry.outcome))
        .bind(text(&entry.plan))
        .bind(text(&entry.application))
        .bind(text(&entry.version))
        .bind(text(&entry.blueprint))
        .bind(entry.started_at)
        .bind(entry.ended_at)
        .bind(entry.machine_seconds)
        .bind(entry.people_seconds)
        .bind(entry.attempts)
        .bind(text(&entry.actor))
        .bind(text(&entry.evidence))
}

impl Entry {
    fn read(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            tenant: row.try_get("tenant")?,
            subscription: row.try_get("subscription")?,
            uid: row.try_get("uid")?,
            operation: row.try_get("operation")?,
            subject: row.try_get("subject")?,
            item: row.try_get("item")?,
            outcome: row.try_get("outcome")?,
            plan: row.try_get("plan")?,
            application: row.try_get("application")?,
            version: row.try_get("version")?,
            blueprint: row.try_get("blueprint")?,
            started_at: row.try_get("started_at")?,
            ended_at: row.try_get("ended_at")?,
            machine_seconds: row.try_get("machine_seconds")?,
            people_seconds: row.try_get("people_seconds")?,
            attempts: row.try_get("attempts")?,
            actor: row.try_get("actor")?,
            evidence: row.try_get("evidence")?,
        })
    }
}

impl Sample {
    fn read(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            application: row.try_get("application")?,
            version: row.try_get("version")?,
            plan: row.try_get("plan")?,
            item: row.try_get("item")?,
            machine_seconds: row.try_get("machine_seconds")?,
            people_seconds: row.try_get("people_seconds")?,
        })
    }
}
