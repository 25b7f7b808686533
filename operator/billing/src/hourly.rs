//! What meters of a tenant counted, hour by hour, whether anybody pays for it or not. Needs a connection.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sqlx::Row;
use tenantry_journal::in_time;

use crate::intake::sum;
use crate::{Books, BooksError};

/// What hours came to, by the begin of each, and whether it was told by events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hourly {
    /// Each hour that has a number.
    pub hours: BTreeMap<Timestamp, i128>,
    /// Whether these are numbers of events, and not what the ledger alone has.
    pub is_told: bool,
}

impl Books {
    /// What was told of each meter of a tenant in a stretch of time, whole hours of UTC, or, of meters that no events are told of, what
    /// the ledger has of them in the account that pays.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn hourly(
        &self,
        tenant: &str,
        account: Option<&str>,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<BTreeMap<String, Hourly>, BooksError> {
        let mut connection = self.database.reader().await?;
        let query = sqlx::query(
            "SELECT meter, hour_at, CAST(SUM(quantity / 1000000000) AS BIGINT) AS high, \
             CAST(SUM(quantity % 1000000000) AS BIGINT) AS low FROM usage_event \
             WHERE tenant = $1 AND hour_at >= $2 AND hour_at < $3 GROUP BY meter, hour_at",
        );
        let query = query.bind(tenant.to_owned()).bind(from.as_second()).bind(to.as_second());
        let rows = in_time(query.fetch_all(connection.raw())).await?;
        let kept = crate::usage::kept(connection.raw(), account, tenant, from, to).await?;
        connection.give_back();
        let mut meters: BTreeMap<String, Hourly> = BTreeMap::new();
        for row in &rows {
            let one = meters.entry(row.try_get("meter")?).or_default();
            let hour = Timestamp::from_second(row.try_get("hour_at")?);
            let hour = hour.map_err(|error| sqlx::Error::Decode(error.into()))?;
            one.is_told = true;
            one.hours.insert(hour, sum(row.try_get("high")?, row.try_get("low")?));
        }
        for record in kept {
            let one = meters.entry(record.meter).or_default();
            if !one.is_told {
                *one.hours.entry(record.at).or_default() += i128::from(record.quantity);
            }
        }
        Ok(meters)
    }
}
