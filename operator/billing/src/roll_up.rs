//! From events to what the ledger counts: the hours that are over, told under the fence. Needs a connection.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sqlx::{AnyConnection, Row};
use tenantry_journal::{Epoch, in_time};
use tenantry_metering::hours::{HOUR, revisions};

use crate::intake::sum;
use crate::usage::{Batch, record};
use crate::{Books, BooksError};

/// Hours told later than this are told together with those of the same time alone: a batch has one time at which it was told.
const TOGETHER: SignedDuration = SignedDuration::from_hours(24);

/// What one hour comes to.
struct Hour {
    told: i128,
    received: Timestamp,
}

/// Hours of a meter, by the second of their begin.
type Hours = BTreeMap<i64, Hour>;

impl Books {
    /// Tenants of whom the ledger is to be told usage by an instant.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn usage_due(&self, by: Timestamp) -> Result<Vec<String>, BooksError> {
        let mut connection = self.database.reader().await?;
        let sql = "SELECT DISTINCT tenant FROM usage_pending WHERE due_at <= $1 ORDER BY tenant";
        let due = in_time(sqlx::query_scalar(sql).bind(by.as_second()).fetch_all(connection.raw())).await?;
        connection.give_back();
        Ok(due)
    }

    /// When the ledger is to be told of usage next; never while it was told everything.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn next_usage(&self) -> Result<Option<Timestamp>, BooksError> {
        let mut connection = self.database.reader().await?;
        let sql = "SELECT MIN(due_at) FROM usage_pending";
        let next: Option<i64> = in_time(sqlx::query_scalar(sql).fetch_one(connection.raw())).await?;
        connection.give_back();
        Ok(next.and_then(|second| Timestamp::from_second(second).ok()))
    }

    /// Tells the ledger what it does not have of a tenant's hours that are due by an instant, and says of how many. What was told late
    /// is a further revision with the difference.
    ///
    /// # Errors
    /// When there is no such account, the database cannot be used, or somebody else writes now. Nothing was told then.
    pub async fn roll_up(
        &self,
        epoch: Epoch,
        tenant: &str,
        account: &str,
        by: Timestamp,
    ) -> Result<usize, BooksError> {
        let roll_up = async |transaction: &mut AnyConnection| {
            // Taken away first: what is told from here on comes after, and puts it there again.
            let query = sqlx::query(
                "DELETE FROM usage_pending WHERE tenant = $1 AND due_at <= $2 RETURNING meter, hour_at",
            );
            let query = query.bind(tenant.to_owned()).bind(by.as_second());
            let rows = query.fetch_all(&mut *transaction).await?;
            let mut keys = Vec::with_capacity(rows.len());
            for row in &rows {
                keys.push((row.try_get::<String, _>("meter")?, row.try_get::<i64, _>("hour_at")?));
            }
            keys.sort();
            let mut meters: BTreeMap<String, Hours> = BTreeMap::new();
            for (meter, at) in keys {
                let hour = hour(transaction, tenant, &meter, at).await?;
                meters.entry(meter).or_default().insert(at, hour);
            }
            tell(transaction, account, tenant, &meters).await
        };
        self.database.write(epoch, roll_up).await
    }

    /// Tells the ledger what hours of a tenant's meters come to, by meter and hour, as far as it does not have it, and says of how many
    /// that was. Told again, it changes nothing; what is another number now is a further revision with the difference.
    ///
    /// # Errors
    /// When there is no such account, the database cannot be used, or somebody else writes now. Nothing was told then.
    pub async fn tell_hours(
        &self,
        epoch: Epoch,
        tenant: &str,
        account: &str,
        meters: &BTreeMap<String, BTreeMap<Timestamp, i128>>,
        now: Timestamp,
    ) -> Result<usize, BooksError> {
        let hours = |hours: &BTreeMap<Timestamp, i128>| -> Hours {
            hours.iter().map(|(at, told)| (at.as_second(), Hour { told: *told, received: now })).collect()
        };
        let meters = meters.iter().map(|(meter, all)| (meter.clone(), hours(all))).collect();
        let told = async |transaction: &mut AnyConnection| tell(transaction, account, tenant, &meters).await;
        self.database.write(epoch, told).await
    }

    /// Nobody pays for a tenant: the ledger is told of its usage later, if then somebody does.
    ///
    /// # Errors
    /// When the database cannot be written, or somebody else writes now.
    pub async fn put_off(&self, epoch: Epoch, tenant: &str, until: Timestamp) -> Result<(), BooksError> {
        let put_off = async |transaction: &mut AnyConnection| {
            sqlx::query("UPDATE usage_pending SET due_at = $2 WHERE tenant = $1 AND due_at < $2")
                .bind(tenant.to_owned())
                .bind(until.as_second())
                .execute(transaction)
                .await?;
            Ok(())
        };
        self.database.write(epoch, put_off).await
    }
}

/// Tells the ledger what it does not have of these hours, and says of how many.
async fn tell(
    transaction: &mut AnyConnection,
    account: &str,
    tenant: &str,
    meters: &BTreeMap<String, Hours>,
) -> Result<usize, BooksError> {
    let mut records = BTreeMap::new();
    for (meter, hours) in meters {
        let known = known(transaction, account, tenant, meter, hours).await?;
        for (at, hour) in hours {
            let told = match known.get(at) {
                // That there is nothing is a count as well: the last hour of a period may be one.
                None if hour.told == 0 => vec![(0, 0)],
                known => {
                    let (known, next) = known.copied().unwrap_or_default();
                    revisions(hour.told, known, next)
                }
            };
            for (revision, quantity) in told {
                records.insert((meter.clone(), revision, *at), (quantity, hour.received));
            }
        }
    }
    let count = records.len();
    record(transaction, account, &batches(tenant, records)).await?;
    Ok(count)
}

/// What events say of an hour.
async fn hour(
    transaction: &mut AnyConnection,
    tenant: &str,
    meter: &str,
    at: i64,
) -> Result<Hour, BooksError> {
    let query = sqlx::query(
        "SELECT CAST(SUM(quantity / 1000000000) AS BIGINT) AS high, CAST(SUM(quantity % 1000000000) AS BIGINT) AS low, \
         MAX(received_at) AS received FROM usage_event WHERE tenant = $1 AND meter = $2 AND hour_at = $3",
    );
    let row = query.bind(tenant.to_owned()).bind(meter.to_owned()).bind(at).fetch_one(transaction).await?;
    let told = sum(row.try_get("high")?, row.try_get("low")?);
    let received = Timestamp::from_second(row.try_get("received")?);
    let received = received.map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Hour { told, received })
}

/// What the ledger was told of hours in all, and by which revision it is told next.
async fn known(
    transaction: &mut AnyConnection,
    account: &str,
    tenant: &str,
    meter: &str,
    hours: &Hours,
) -> Result<BTreeMap<i64, (i128, u32)>, BooksError> {
    let (Some(first), Some(last)) = (hours.keys().next(), hours.keys().next_back()) else {
        return Ok(BTreeMap::new());
    };
    let query = sqlx::query(
        "SELECT sequence, subscription, meter, from_at, revision, quantities, received_at FROM ledger_usage \
         WHERE account = $1 AND subscription = $2 AND meter = $3 AND from_at <= $4 AND from_at + hours * 3600 > $5",
    );
    let query = query.bind(account.to_owned()).bind(tenant.to_owned()).bind(meter.to_owned());
    let mut records = Vec::new();
    for row in &query.bind(*last).bind(*first).fetch_all(transaction).await? {
        crate::usage::read(row, &mut records)?;
    }
    let mut known: BTreeMap<i64, (i128, u32)> = BTreeMap::new();
    for record in records {
        let (told, next) = known.entry(record.at.as_second()).or_default();
        *told += i128::from(record.quantity);
        *next = record.revision.saturating_add(1).max(*next);
    }
    Ok(known)
}

/// Hours in a row of one meter and revision as one batch.
fn batches(tenant: &str, records: BTreeMap<(String, u32, i64), (i64, Timestamp)>) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    for ((meter, revision, at), (quantity, received)) in records {
        let from = Timestamp::from_second(at).unwrap_or(Timestamp::MIN);
        let is_soon = |batch: &Batch| {
            received == batch.received || received.max(batch.received).duration_since(batch.from) <= TOGETHER
        };
        match batches.last_mut() {
            Some(last)
                if last.meter == meter
                    && last.revision == revision
                    && last.from.as_second() + last.hours() * HOUR == at
                    && is_soon(last) =>
            {
                last.quantities.push(quantity);
                last.received = last.received.max(received);
            }
            _ => batches.push(Batch {
                subscription: tenant.to_owned(),
                meter,
                from,
                revision,
                quantities: vec![quantity],
                received,
            }),
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_in_a_row_that_were_told_soon_are_told_together() {
        let at = |hour: i64| hour * HOUR;
        let told = |hour: i64| Timestamp::from_second(at(hour)).unwrap();
        let records = BTreeMap::from([
            (("a".to_owned(), 0, at(10)), (1, told(11))),
            (("a".to_owned(), 0, at(11)), (2, told(12))),
            // A hole, then one that was told much later, and one that corrects.
            (("a".to_owned(), 0, at(13)), (3, told(14))),
            (("a".to_owned(), 0, at(14)), (4, told(200))),
            (("a".to_owned(), 1, at(15)), (5, told(16))),
            (("b".to_owned(), 1, at(16)), (6, told(17))),
        ]);
        let batches = batches("t1", records);
        let said: Vec<_> =
            batches.iter().map(|batch| (&*batch.meter, batch.revision, &*batch.quantities)).collect();
        assert_eq!(
            said,
            [
                ("a", 0, &[1, 2][..]),
                ("a", 0, &[3][..]),
                ("a", 0, &[4][..]),
                ("a", 1, &[5][..]),
                ("b", 1, &[6][..])
            ]
        );
        assert_eq!(batches[0].received, told(12));
    }
}
