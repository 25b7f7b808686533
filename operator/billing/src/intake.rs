//! Usage as it is told: events, each once, and what of them is kept aside. Needs a connection.
//!
//! It is told without the fence, because the key of an event says whether it was told before: whoever writes it, it counts once. What
//! the ledger is told of it is written under the fence ([`crate::Books::roll_up`]).

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use sqlx::{AnyConnection, Row};
use tenantry_journal::{DatabaseError, in_time};
use tenantry_metering::cloud_event::{CloudEvent, Received};
use tenantry_metering::hours::{end_of, hour_of};
use tenantry_metering::intake::{
    Aside, Count, Meters, Reporter, Verdict, WAIT, digest, judge, not_an_event, unknown_subject,
};

use crate::batch::{Value, insert};
use crate::{Books, BooksError};

/// How often something is written anew because somebody else told the same at the same moment.
const ATTEMPTS: usize = 3;

/// Who tells something.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// For whom he speaks.
    pub reporter: Reporter,
    /// The name by which the API server knows him.
    pub name: &'a str,
}

/// Whom something is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The tenant, as the ledger knows it.
    pub tenant: &'a str,
    /// What its application counts.
    pub meters: &'a Meters,
}

/// Something that was told.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// What came.
    pub received: &'a Received,
    /// Whom it is about; none where nobody is known.
    pub subject: Option<Subject<'a>>,
}

/// What was told of one meter of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// What the meter counts; unknown where the ledger alone has something of it.
    pub unit: Option<String>,
    /// All of it, in the meter's unit.
    pub quantity: i128,
    /// What of it the ledger has.
    pub in_ledger: i128,
    /// How many events.
    pub events: i64,
    /// How many of them came late.
    pub late: i64,
}

/// By what an event is known: the tenant, who told it, its source and its id.
type Key<'a> = (&'a str, Reporter, &'a str, &'a str);

/// What is written of one request.
#[derive(Default)]
struct Rows {
    events: Vec<[Value; 12]>,
    aside: Vec<[Value; 13]>,
    /// When the ledger is told, by tenant, meter and hour.
    pending: BTreeMap<(String, String, i64), i64>,
}

impl Books {
    /// Takes in what somebody told, all of it or nothing, and says what became of each. Told again, it changes nothing.
    ///
    /// # Errors
    /// When the database cannot be used; then nothing was taken in, or the answer is lost and it may be told again.
    pub async fn take_in(
        &self,
        who: Who<'_>,
        heard: &[Heard<'_>],
        now: Timestamp,
    ) -> Result<Vec<Verdict>, BooksError> {
        let mut tries = 1;
        loop {
            let take_in = async |transaction: &mut AnyConnection| {
                let (verdicts, rows) = decide(transaction, who, heard, now).await?;
                rows.write(transaction).await?;
                Ok::<_, BooksError>(verdicts)
            };
            match self.database.write_unfenced(take_in).await {
                // Somebody else told the same at the same moment; it is there now.
                Err(BooksError::Database(DatabaseError::Query { .. })) if tries < ATTEMPTS => tries += 1,
                done => return done,
            }
        }
    }

    /// What was told of the meters of a tenant in a stretch of time, whole hours of UTC, by meter, and what the ledger has of it in the
    /// account that pays.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn told_of(
        &self,
        tenant: &str,
        account: Option<&str>,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<BTreeMap<String, Told>, BooksError> {
        let mut connection = self.database.reader().await?;
        let query = sqlx::query(
            "SELECT meter, MAX(unit) AS unit, CAST(SUM(quantity / 1000000000) AS BIGINT) AS high, \
             CAST(SUM(quantity % 1000000000) AS BIGINT) AS low, COUNT(*) AS events, \
             CAST(SUM(is_late) AS BIGINT) AS late FROM usage_event \
             WHERE tenant = $1 AND hour_at >= $2 AND hour_at < $3 GROUP BY meter",
        );
        let query = query.bind(tenant.to_owned()).bind(from.as_second()).bind(to.as_second());
        let rows = in_time(query.fetch_all(connection.raw())).await?;
        let kept = crate::usage::kept(connection.raw(), account, tenant, from, to).await?;
        connection.give_back();
        let mut told: BTreeMap<String, Told> = BTreeMap::new();
        for row in &rows {
            let one = told.entry(row.try_get("meter")?).or_default();
            one.quantity = sum(row.try_get("high")?, row.try_get("low")?);
            one.events = row.try_get("events")?;
            one.late = row.try_get("late")?;
            one.unit = Some(row.try_get("unit")?);
        }
        for record in kept {
            told.entry(record.meter).or_default().in_ledger += i128::from(record.quantity);
        }
        Ok(told)
    }

    /// How much of what was told of a tenant in a stretch of time is kept aside, by cause; what was told rightly since is not counted.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn kept_aside(
        &self,
        tenant: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<BTreeMap<String, i64>, BooksError> {
        let mut connection = self.database.reader().await?;
        let query = sqlx::query(
            "SELECT cause, COUNT(*) AS events FROM usage_quarantine AS aside \
             WHERE tenant = $1 AND received_at >= $2 AND received_at < $3 AND (cause = 'Conflicting' OR NOT EXISTS \
             (SELECT 1 FROM usage_event AS told WHERE told.tenant = aside.tenant AND told.reporter = aside.reporter \
             AND told.source = aside.source AND told.event_id = aside.event_id)) GROUP BY cause",
        );
        let query = query.bind(tenant.to_owned()).bind(from.as_second()).bind(to.as_second());
        let rows = in_time(query.fetch_all(connection.raw())).await?;
        connection.give_back();
        rows.iter().map(|row| Ok((row.try_get("cause")?, row.try_get("events")?))).collect()
    }
}

/// What becomes of each event, and what is written for it.
async fn decide(
    transaction: &mut AnyConnection,
    who: Who<'_>,
    heard: &[Heard<'_>],
    now: Timestamp,
) -> Result<(Vec<Verdict>, Rows), BooksError> {
    let mut rows = Rows::default();
    let mut verdicts = Vec::with_capacity(heard.len());
    let mut taken: BTreeMap<Key<'_>, Count> = BTreeMap::new();
    let mut put_aside = BTreeSet::new();
    for Heard { received, subject } in heard {
        let verdict = match (&received.event, subject) {
            (Err(refusal), _) => Verdict::Quarantined(not_an_event(refusal.clone())),
            (Ok(event), None) => Verdict::Quarantined(unknown_subject(event.subject.as_deref())),
            (Ok(event), Some(subject)) => {
                let key = (subject.tenant, who.reporter, event.source.as_str(), event.id.as_str());
                let before = match taken.get(&key) {
                    Some(count) => Some(count.clone()),
                    None => counted(transaction, key).await?,
                };
                let verdict = judge(event, subject.meters, before.as_ref(), now);
                if let Verdict::Accepted { count, is_late } = &verdict {
                    taken.insert(key, count.clone());
                    rows.count(key, who, count, *is_late, now);
                }
                verdict
            }
        };
        if let Verdict::Quarantined(aside) = &verdict {
            let tenant = subject.map(|subject| subject.tenant).unwrap_or_default();
            let digest = digest(received);
            if put_aside.insert((tenant, digest.clone()))
                && !is_aside(transaction, tenant, who, &digest).await?
            {
                rows.put_aside(tenant, who, digest, received, aside, now);
            }
        }
        verdicts.push(verdict);
    }
    Ok((verdicts, rows))
}

/// What was counted under a key.
async fn counted(transaction: &mut AnyConnection, key: Key<'_>) -> Result<Option<Count>, BooksError> {
    let (tenant, reporter, source, id) = key;
    let row = sqlx::query(
        "SELECT meter, unit, happened, quantity FROM usage_event \
         WHERE tenant = $1 AND reporter = $2 AND source = $3 AND event_id = $4",
    );
    let row = row.bind(tenant.to_owned()).bind(reporter.name()).bind(source.to_owned()).bind(id.to_owned());
    let Some(row) = row.fetch_optional(transaction).await? else { return Ok(None) };
    let happened: String = row.try_get("happened")?;
    let at = happened.parse().map_err(|error: jiff::Error| sqlx::Error::Decode(error.into()))?;
    Ok(Some(Count {
        meter: row.try_get("meter")?,
        unit: row.try_get("unit")?,
        at,
        quantity: row.try_get("quantity")?,
    }))
}

async fn is_aside(
    transaction: &mut AnyConnection,
    tenant: &str,
    who: Who<'_>,
    digest: &str,
) -> Result<bool, sqlx::Error> {
    let sql = "SELECT COUNT(*) FROM usage_quarantine WHERE tenant = $1 AND reporter = $2 AND digest = $3";
    let query =
        sqlx::query_scalar(sql).bind(tenant.to_owned()).bind(who.reporter.name()).bind(digest.to_owned());
    let count: i64 = query.fetch_one(transaction).await?;
    Ok(count > 0)
}

impl Rows {
    fn count(&mut self, key: Key<'_>, who: Who<'_>, count: &Count, is_late: bool, now: Timestamp) {
        let (tenant, reporter, source, id) = key;
        let hour = hour_of(count.at).as_second();
        self.events.push([
            tenant.into(),
            reporter.name().into(),
            source.into(),
            id.into(),
            count.meter.as_str().into(),
            count.unit.as_str().into(),
            hour.into(),
            count.at.to_string().into(),
            count.quantity.into(),
            i64::from(is_late).into(),
            now.as_second().into(),
            who.name.into(),
        ]);
        let due = later(end_of(count.at).max(now), WAIT).as_second();
        let pending = self.pending.entry((tenant.to_owned(), count.meter.clone(), hour)).or_insert(due);
        *pending = due.min(*pending);
    }

    fn put_aside(
        &mut self,
        tenant: &str,
        who: Who<'_>,
        digest: String,
        received: &Received,
        aside: &Aside,
        now: Timestamp,
    ) {
        let event: Option<&CloudEvent> = received.event.as_ref().ok();
        let Aside { cause, refusal } = aside;
        self.aside.push([
            tenant.into(),
            who.reporter.name().into(),
            digest.into(),
            event.map_or("", |event| event.source.as_str()).into(),
            event.map_or("", |event| event.id.as_str()).into(),
            event.and_then(|event| event.subject.as_deref()).unwrap_or_default().into(),
            cause.name().into(),
            refusal.field.as_str().into(),
            refusal.reason.as_str().into(),
            refusal.remedy.as_str().into(),
            received.text.as_str().into(),
            now.as_second().into(),
            who.name.into(),
        ]);
    }

    async fn write(self, transaction: &mut AnyConnection) -> Result<(), sqlx::Error> {
        let columns = [
            "tenant",
            "reporter",
            "source",
            "event_id",
            "meter",
            "unit",
            "hour_at",
            "happened",
            "quantity",
            "is_late",
            "received_at",
            "told_by",
        ];
        insert(transaction, "usage_event", columns, self.events).await?;
        let columns = [
            "tenant",
            "reporter",
            "digest",
            "source",
            "event_id",
            "subject",
            "cause",
            "field",
            "reason",
            "remedy",
            "body",
            "received_at",
            "told_by",
        ];
        insert(transaction, "usage_quarantine", columns, self.aside).await?;
        // In the order of the keys: two who write at once wait for each other and not in a circle.
        for ((tenant, meter, hour), due) in self.pending {
            let query = sqlx::query(
                "INSERT INTO usage_pending (tenant, meter, hour_at, due_at) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (tenant, meter, hour_at) DO UPDATE SET due_at = \
                 CASE WHEN excluded.due_at < usage_pending.due_at THEN excluded.due_at ELSE usage_pending.due_at END",
            );
            query.bind(tenant).bind(meter).bind(hour).bind(due).execute(&mut *transaction).await?;
        }
        Ok(())
    }
}

/// A sum that was read in two parts, so that no database overflows.
pub(crate) fn sum(high: i64, low: i64) -> i128 {
    i128::from(high) * 1_000_000_000 + i128::from(low)
}

pub(crate) fn later(at: Timestamp, wait: SignedDuration) -> Timestamp {
    at.saturating_add(wait).unwrap_or(Timestamp::MAX)
}
