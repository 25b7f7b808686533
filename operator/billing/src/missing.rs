//! Hours of meters that a Prometheus measures: which the ledger has, and which could not be told. Needs a connection.
//!
//! The ledger alone says what was told. What is noted here is for people, who would otherwise see a number and not what it lacks.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use sqlx::{AnyConnection, Row};
use tenantry_journal::{Epoch, in_time};

use crate::batch::insert;
use crate::{Books, BooksError};

/// An hour of a meter that could not be told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingHour {
    /// The application.
    pub application: String,
    /// Its meter.
    pub meter: String,
    /// The begin of the hour.
    pub hour: Timestamp,
    /// Of whom it is missing; none where of everybody who lacks it.
    pub tenant: Option<String>,
}

/// Meters that are measured, by application and name, with what they count.
pub type Measured = BTreeMap<(String, String), String>;

impl Books {
    /// The hours that the ledger has of each meter of a tenant, from an instant on.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn hours_told(
        &self,
        account: &str,
        tenant: &str,
        from: Timestamp,
    ) -> Result<BTreeMap<String, BTreeSet<Timestamp>>, BooksError> {
        let mut connection = self.database.reader().await?;
        let query = sqlx::query(
            "SELECT meter, from_at, hours FROM ledger_usage \
             WHERE account = $1 AND subscription = $2 AND from_at + hours * 3600 > $3",
        );
        let query = query.bind(account.to_owned()).bind(tenant.to_owned()).bind(from.as_second());
        let rows = in_time(query.fetch_all(connection.raw())).await?;
        connection.give_back();
        let mut told: BTreeMap<String, BTreeSet<Timestamp>> = BTreeMap::new();
        for row in &rows {
            let first = Timestamp::from_second(row.try_get("from_at")?);
            let first = first.map_err(|error| sqlx::Error::Decode(error.into()))?;
            let of_meter = told.entry(row.try_get("meter")?).or_default();
            let hours = 0..row.try_get::<i64, _>("hours")?;
            of_meter
                .extend(hours.filter_map(|hour| first.checked_add(SignedDuration::from_hours(hour)).ok()));
        }
        Ok(told)
    }

    /// Every hour that could not be told, with the reason.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn missing(&self) -> Result<BTreeMap<MissingHour, String>, BooksError> {
        let mut connection = self.database.reader().await?;
        let sql = "SELECT application, meter, hour_at, tenant, reason FROM usage_missing";
        let rows = in_time(sqlx::query(sql).fetch_all(connection.raw())).await?;
        connection.give_back();
        let mut missing = BTreeMap::new();
        for row in &rows {
            let hour = Timestamp::from_second(row.try_get("hour_at")?);
            let tenant: String = row.try_get("tenant")?;
            let key = MissingHour {
                application: row.try_get("application")?,
                meter: row.try_get("meter")?,
                hour: hour.map_err(|error| sqlx::Error::Decode(error.into()))?,
                tenant: (!tenant.is_empty()).then_some(tenant),
            };
            missing.insert(key, row.try_get("reason")?);
        }
        Ok(missing)
    }

    /// Notes hours that could not be told, with the reason, and forgets those that were told or have another one.
    ///
    /// # Errors
    /// When the database cannot be written, or somebody else writes now.
    pub async fn note_missing(
        &self,
        epoch: Epoch,
        gone: &[MissingHour],
        new: &BTreeMap<MissingHour, String>,
    ) -> Result<(), BooksError> {
        let note = async |transaction: &mut AnyConnection| {
            for MissingHour { application, meter, hour, tenant } in gone.iter().chain(new.keys()) {
                let sql = "DELETE FROM usage_missing \
                           WHERE application = $1 AND meter = $2 AND hour_at = $3 AND tenant = $4";
                let query = sqlx::query(sql).bind(application.clone()).bind(meter.clone());
                let query = query.bind(hour.as_second()).bind(tenant.clone().unwrap_or_default());
                query.execute(&mut *transaction).await?;
            }
            let rows = new.iter().map(|(key, reason)| {
                [
                    key.application.as_str().into(),
                    key.meter.as_str().into(),
                    key.hour.as_second().into(),
                    key.tenant.as_deref().unwrap_or_default().into(),
                    reason.as_str().into(),
                ]
            });
            let columns = ["application", "meter", "hour_at", "tenant", "reason"];
            insert(transaction, "usage_missing", columns, rows.collect()).await?;
            Ok(())
        };
        self.database.write(epoch, note).await
    }

    /// Meters that are measured, as they were noted.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn measured(&self) -> Result<Measured, BooksError> {
        let mut connection = self.database.reader().await?;
        let sql = "SELECT application, meter, unit FROM usage_measured";
        let rows = in_time(sqlx::query(sql).fetch_all(connection.raw())).await?;
        connection.give_back();
        let meter = |row: &sqlx::any::AnyRow| {
            Ok(((row.try_get("application")?, row.try_get("meter")?), row.try_get("unit")?))
        };
        rows.iter().map(meter).collect()
    }

    /// Notes meters that are measured. Those that applications had before stay: their hours are in the ledger.
    ///
    /// # Errors
    /// When the database cannot be written, or somebody else writes now.
    pub async fn note_measured(&self, epoch: Epoch, meters: &Measured) -> Result<(), BooksError> {
        let note = async |transaction: &mut AnyConnection| {
            for ((application, meter), unit) in meters {
                let query = sqlx::query(
                    "INSERT INTO usage_measured (application, meter, unit) VALUES ($1, $2, $3) \
                     ON CONFLICT (application, meter) DO UPDATE SET unit = excluded.unit",
                );
                let query = query.bind(application.clone()).bind(meter.clone()).bind(unit.clone());
                query.execute(&mut *transaction).await?;
            }
            Ok(())
        };
        self.database.write(epoch, note).await
    }
}
