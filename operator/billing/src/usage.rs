//! What meters counted, hour by hour, kept in rows of many hours. Needs a connection.

use jiff::{SignedDuration, Timestamp};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use tenantry_journal::{Epoch, in_time};
use tenantry_ledger::event::Usage;
use tenantry_ledger::refusal::Refusal;

use crate::batch::insert;
use crate::{Books, BooksError};

/// Seconds of an hour.
const HOUR: i64 = 3600;

/// Hours in a row of one meter. Told again as it was, it changes nothing; a correction is another one, with the next revision and
/// the differences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The subscription.
    pub subscription: String,
    /// The meter.
    pub meter: String,
    /// The begin of the first hour.
    pub from: Timestamp,
    /// 0 for what was counted, more for corrections.
    pub revision: u32,
    /// What was counted in each hour, in the meter's base unit.
    pub quantities: Vec<i64>,
    /// When it was told.
    pub received: Timestamp,
}

impl Books {
    /// Keeps what meters counted for an account, all of it or none, and says how many batches were new.
    ///
    /// # Errors
    /// A batch of nothing, one that does not begin with an hour, one whose hours were told in part before, or a negative count
    /// that corrects nothing.
    pub async fn record_usage(
        &self,
        epoch: Epoch,
        account: &str,
        batches: &[Batch],
    ) -> Result<usize, BooksError> {
        for (index, batch) in batches.iter().enumerate() {
            batch.check().map_err(|refusal| refusal.within(&format!("usage[{index}]")))?;
        }
        let record = async |transaction: &mut AnyConnection| record(transaction, account, batches).await;
        self.database.write(epoch, record).await
    }
}

/// Keeps what meters counted, under the fence, and says how many batches were new.
pub(crate) async fn record(
    transaction: &mut AnyConnection,
    account: &str,
    batches: &[Batch],
) -> Result<usize, BooksError> {
    let known: Option<String> = sqlx::query_scalar("SELECT account FROM ledger_state WHERE account = $1")
        .bind(account.to_owned())
        .fetch_optional(&mut *transaction)
        .await?;
    if known.is_none() {
        return Err(BooksError::Unknown { what: format!("account {account:?}") });
    }
    let last: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(sequence), 0) FROM ledger_usage")
        .fetch_one(&mut *transaction)
        .await?;
    let mut rows = Vec::new();
    for batch in batches {
        let from = batch.from.as_second();
        let to = from + batch.hours() * HOUR;
        let before = sqlx::query(
            "SELECT from_at, hours, quantities FROM ledger_usage WHERE account = $1 AND subscription = $2 \
                     AND meter = $3 AND revision = $4 AND from_at < $5 AND from_at + hours * 3600 > $6",
        )
        .bind(account.to_owned())
        .bind(batch.subscription.clone())
        .bind(batch.meter.clone())
        .bind(i64::from(batch.revision))
        .bind(to)
        .bind(from)
        .fetch_optional(&mut *transaction)
        .await?;
        let bytes = batch.bytes();
        match before {
            None => rows.push([
                (last + 1 + i64::try_from(rows.len()).unwrap_or(i64::MAX - last)).into(),
                account.into(),
                batch.subscription.as_str().into(),
                batch.meter.as_str().into(),
                from.into(),
                batch.hours().into(),
                i64::from(batch.revision).into(),
                bytes.into(),
                batch.received.as_second().into(),
            ]),
            Some(row)
                if row.try_get::<i64, _>("from_at")? == from
                    && row.try_get::<Vec<u8>, _>("quantities")? == bytes => {}
            Some(_) => {
                return Err(BooksError::from(Refusal::new(
                    format!("usage[{} at {}]", batch.meter, batch.from),
                    "some of its hours were told before, otherwise",
                    "tell a correction: the next revision, with the differences",
                )));
            }
        }
    }
    let new = rows.len();
    let columns = [
        "sequence",
        "account",
        "subscription",
        "meter",
        "from_at",
        "hours",
        "revision",
        "quantities",
        "received_at",
    ];
    insert(transaction, "ledger_usage", columns, rows).await?;
    Ok(new)
}

impl Batch {
    fn check(&self) -> Result<(), Refusal> {
        if self.quantities.is_empty() {
            return Err(Refusal::new("quantities", "there are none", "tell at least one hour"));
        }
        if self.from.as_second().rem_euclid(HOUR) != 0 || self.from.subsec_nanosecond() != 0 {
            return Err(Refusal::new(
                "from",
                format!("{} is not the begin of an hour", self.from),
                "tell whole hours of UTC",
            ));
        }
        if let Some(negative) = self.quantities.iter().find(|count| **count < 0 && self.revision == 0) {
            return Err(Refusal::new(
                "quantities",
                format!("{negative} of {} is negative", self.meter),
                "send zero or more; only a correction, revision 1 or later, may be negative",
            ));
        }
        Ok(())
    }

    pub(crate) fn hours(&self) -> i64 {
        i64::try_from(self.quantities.len()).unwrap_or(i64::MAX)
    }

    fn bytes(&self) -> Vec<u8> {
        self.quantities.iter().flat_map(|quantity| quantity.to_le_bytes()).collect()
    }
}

/// What the ledger has of a subscription in a stretch of time, whole hours of UTC, in the account that pays; nothing without one.
pub(crate) async fn kept(
    connection: &mut AnyConnection,
    account: Option<&str>,
    subscription: &str,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Usage>, BooksError> {
    let query = sqlx::query(
        "SELECT sequence, subscription, meter, from_at, revision, quantities, received_at FROM ledger_usage \
         WHERE account = $1 AND subscription = $2 AND from_at + hours * 3600 > $3 AND from_at < $4",
    );
    let query = query.bind(account.unwrap_or_default().to_owned()).bind(subscription.to_owned());
    let query = query.bind(from.as_second()).bind(to.as_second());
    let mut records = Vec::new();
    for row in &in_time(query.fetch_all(connection)).await? {
        read(row, &mut records)?;
    }
    records.retain(|record| from <= record.at && record.at < to);
    Ok(records)
}

/// The records of a row, and its number.
pub(crate) fn read(row: &AnyRow, into: &mut Vec<Usage>) -> Result<i64, sqlx::Error> {
    let subscription: String = row.try_get("subscription")?;
    let meter: String = row.try_get("meter")?;
    let bytes: Vec<u8> = row.try_get("quantities")?;
    let time =
        |seconds: i64| Timestamp::from_second(seconds).map_err(|error| sqlx::Error::Decode(error.into()));
    let received = time(row.try_get("received_at")?)?;
    let revision = u32::try_from(row.try_get::<i64, _>("revision")?).unwrap_or(u32::MAX);
    let mut at = time(row.try_get("from_at")?)?;
    for quantity in bytes.as_chunks::<8>().0 {
        into.push(Usage {
            subscription: subscription.clone(),
            meter: meter.clone(),
            at,
            quantity: i64::from_le_bytes(*quantity),
            revision,
            received,
        });
        at = at.saturating_add(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MAX);
    }
    row.try_get("sequence")
}
