//! What is still to be told to others, written in the transaction of what it tells of. Needs a connection.

use sqlx::{AnyConnection, Row};
use tenantry_journal::{Epoch, in_time};
use tenantry_ledger::document::Document;

use crate::batch::insert;
use crate::{Books, BooksError};

/// The sink that projects documents into tenants' namespaces.
pub const RECORDS: &str = "records";

/// Something that is still to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// By which it is known to have been told.
    pub id: String,
    /// Its place in the outbox.
    pub sequence: i64,
    /// Whose part of the document.
    pub subscription: String,
    /// The document.
    pub number: String,
}

/// A subscription's part of a document that was just made.
pub(crate) struct Letter<'a> {
    subscription: &'a str,
    number: &'a str,
}

impl<'a> Letter<'a> {
    /// One for each subscription that a document has lines of, in order.
    pub(crate) fn of(document: &'a Document) -> Vec<Self> {
        let mut subscriptions: Vec<&str> =
            document.lines.iter().map(|line| line.subscription.as_str()).collect();
        subscriptions.sort_unstable();
        subscriptions.dedup();
        let number = document.number.as_str();
        subscriptions.into_iter().map(|subscription| Letter { subscription, number }).collect()
    }
}

/// Posts what the finished documents are to be told of, under the fence.
pub(crate) async fn post(transaction: &mut AnyConnection, letters: &[Letter<'_>]) -> Result<(), sqlx::Error> {
    if letters.is_empty() {
        return Ok(());
    }
    let last: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(sequence), 0) FROM ledger_outbox")
        .fetch_one(&mut *transaction)
        .await?;
    let shares = letters.iter().map(|letter| [letter.subscription.into(), letter.number.into()]);
    insert(transaction, "ledger_share", ["subscription", "number"], shares.collect()).await?;
    let rows = (last + 1..).zip(letters).map(|(sequence, Letter { subscription, number })| {
        [
            format!("{RECORDS}/{subscription}/{number}").into(),
            sequence.into(),
            RECORDS.into(),
            (*subscription).into(),
            (*number).into(),
            0.into(),
        ]
    });
    let columns = ["id", "sequence", "sink", "subscription", "number", "is_done"];
    insert(transaction, "ledger_outbox", columns, rows.collect()).await
}

impl Books {
    /// What a sink is still to be told, the oldest first, from a place on: nothing that cannot be told holds up what comes after it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn to_tell(&self, sink: &str, after: i64, most: i64) -> Result<Vec<Told>, BooksError> {
        let mut connection = self.database.reader().await?;
        let query = sqlx::query(
            "SELECT id, sequence, subscription, number FROM ledger_outbox \
             WHERE sink = $1 AND is_done = 0 AND sequence > $2 ORDER BY sequence LIMIT $3",
        );
        let query = query.bind(sink.to_owned()).bind(after).bind(most);
        let rows = in_time(query.fetch_all(connection.raw())).await?;
        connection.give_back();
        let read = |row: &sqlx::any::AnyRow| {
            Ok(Told {
                id: row.try_get("id")?,
                sequence: row.try_get("sequence")?,
                subscription: row.try_get("subscription")?,
                number: row.try_get("number")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// How much of a sink is still to be told.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn untold(&self, sink: &str) -> Result<i64, BooksError> {
        let mut connection = self.database.reader().await?;
        let query = sqlx::query_scalar("SELECT COUNT(*) FROM ledger_outbox WHERE sink = $1 AND is_done = 0");
        let count = in_time(query.bind(sink.to_owned()).fetch_one(connection.raw())).await?;
        connection.give_back();
        Ok(count)
    }

    /// These were told.
    ///
    /// # Errors
    /// When the database cannot be written, or somebody else writes now.
    pub async fn told(&self, epoch: Epoch, ids: &[String]) -> Result<(), BooksError> {
        let mark = async |transaction: &mut AnyConnection| {
            for id in ids {
                sqlx::query("UPDATE ledger_outbox SET is_done = 1 WHERE id = $1")
                    .bind(id.clone())
                    .execute(&mut *transaction)
                    .await?;
            }
            Ok(())
        };
        self.database.write(epoch, mark).await
    }
}
