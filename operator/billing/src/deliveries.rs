//! What becomes of documents at the systems that are told of them. Needs a connection.
//!
//! A delivery is written in the transaction of its document, so none is forgotten, and settled after the other side has it, so one
//! that was cut off between is delivered again: whoever delivers looks there first.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use tenantry_journal::{Epoch, in_time};
use tenantry_ledger::ladder::{Notice, Stage};

use crate::batch::{Value, insert};
use crate::{Books, BooksError};

/// How a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// It is to be made.
    Pending,
    /// It is to be made again, because a person asked for it.
    Resend,
    /// The other side has the document.
    Sent,
    /// Trying on is no use until a person has acted.
    Failed,
    /// Another delivery of the document stands in its place.
    Superseded,
    /// The other side takes no such thing.
    Skipped,
}

/// A delivery of a document to a sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// Where to.
    pub sink: String,
    /// Of which document.
    pub number: String,
    /// The stage of the notice that is delivered; the document itself without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// Which delivery of it there, from one on.
    pub attempt: i64,
    /// How it stands.
    pub state: State,
    /// How often it was tried.
    pub tries: u32,
    /// How often the other side answered that it failed.
    pub answered: u32,
    /// When it is tried next, while it is open.
    pub next_at: Timestamp,
    /// The id that the document has there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<String>,
    /// What came of the last try, or who asked for it again.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The document is there, under this id if it has one.
    Sent(Option<String>),
    /// It is tried again.
    Again {
        /// When.
        at: Timestamp,
        /// Why not now.
        reason: String,
        /// Whether the other side answered that it failed.
        was_answered: bool,
    },
    /// It is tried no more.
    Failed(String),
    /// The other side takes no such thing, and why.
    Skipped(String),
}

// === impl State ===

impl State {
    const ALL: [Self; 6] =
        [Self::Pending, Self::Resend, Self::Sent, Self::Failed, Self::Superseded, Self::Skipped];

    /// As the database has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Resend => "Resend",
            Self::Sent => "Sent",
            Self::Failed => "Failed",
            Self::Superseded => "Superseded",
            Self::Skipped => "Skipped",
        }
    }

    fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

const COLUMNS: [&str; 10] =
    ["sink", "number", "stage", "attempt", "state", "tries", "answered", "next_at", "foreign_id", "reason"];

/// Opens a delivery of each of these documents to each of its sinks, under the fence.
pub(crate) async fn open(
    transaction: &mut AnyConnection,
    documents: impl Iterator<Item = (&str, &[String])>,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let rows = documents.flat_map(|(number, sinks)| {
        sinks.iter().map(move |sink| row(sink, number, "", 1, State::Pending, now, ""))
    });
    insert(transaction, "ledger_delivery", COLUMNS, rows.collect()).await
}

/// Opens a delivery of each of these notices to each sink, under the fence.
pub(crate) async fn open_notices(
    transaction: &mut AnyConnection,
    notices: &[Notice],
    sinks: &[String],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let rows = notices.iter().flat_map(|notice| {
        let Notice { number, stage, .. } = notice;
        sinks.iter().map(move |sink| row(sink, number, stage.as_str(), 1, State::Pending, now, ""))
    });
    insert(transaction, "ledger_delivery", COLUMNS, rows.collect()).await
}

fn row(
    sink: &str,
    number: &str,
    stage: &str,
    attempt: i64,
    state: State,
    now: Timestamp,
    reason: &str,
) -> [Value; 10] {
    [
        sink.into(),
        number.into(),
        stage.into(),
        attempt.into(),
        state.as_str().into(),
        0.into(),
        0.into(),
        now.as_second().into(),
        "".into(),
        reason.into(),
    ]
}

impl Books {
    /// Deliveries that are to be tried by `now`, those first that wait longest.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn deliveries_due(&self, now: Timestamp, most: i64) -> Result<Vec<Delivery>, BooksError> {
        let mut connection = self.database.reader().await?;
        let query = sqlx::query(
            "SELECT sink, number, stage, attempt, state, tries, answered, next_at, foreign_id, reason FROM ledger_delivery \
             WHERE state IN ('Pending', 'Resend') AND next_at <= $1 ORDER BY next_at, number, sink LIMIT $2",
        );
        let rows = in_time(query.bind(now.as_second()).bind(most).fetch_all(connection.raw())).await?;
        connection.give_back();
        rows.iter().map(read).collect()
    }

    /// When a delivery is to be tried next; never as things are without one.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn next_delivery(&self) -> Result<Option<Timestamp>, BooksError> {
        let mut connection = self.database.reader().await?;
        let query = sqlx::query_scalar(
            "SELECT MIN(next_at) FROM ledger_delivery WHERE state IN ('Pending', 'Resend')",
        );
        let next: Option<i64> = in_time(query.fetch_one(connection.raw())).await?;
        connection.give_back();
        Ok(next.and_then(|second| Timestamp::from_second(second).ok()))
    }

    /// Every delivery of a document, or every one that is not there yet.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn deliveries(&self, number: Option<&str>) -> Result<Vec<Delivery>, BooksError> {
        let mut connection = self.database.reader().await?;
        let sql = match number {
            Some(_) => {
                "SELECT sink, number, stage, attempt, state, tries, answered, next_at, foreign_id, reason FROM ledger_delivery \
                 WHERE number = $1 ORDER BY sink, stage, attempt"
            }
            None => {
                "SELECT sink, number, stage, attempt, state, tries, answered, next_at, foreign_id, reason FROM ledger_delivery \
                 WHERE state IN ('Pending', 'Resend', 'Failed') AND $1 = '' ORDER BY number, sink, stage, attempt"
            }
        };
        let query = sqlx::query(sql).bind(number.unwrap_or_default().to_owned());
        let rows = in_time(query.fetch_all(connection.raw())).await?;
        connection.give_back();
        rows.iter().map(read).collect()
    }

    /// Keeps what came of tries. One that was superseded meanwhile stays so.
    ///
    /// # Errors
    /// When the database cannot be written, or somebody else writes now.
    pub async fn settle(&self, epoch: Epoch, settled: &[(Delivery, Settled)]) -> Result<(), BooksError> {
        let settle = async |transaction: &mut AnyConnection| {
            for (delivery, what) in settled {
                let Delivery { sink, number, stage, attempt, state, next_at, .. } = delivery;
                let (state, next_at, foreign, reason, answered) = match what {
                    Settled::Sent(foreign) => {
                        (State::Sent, *next_at, foreign.as_deref().unwrap_or_default(), "", 0)
                    }
                    Settled::Again { at, reason, was_answered } => {
                        (*state, *at, "", reason.as_str(), i64::from(*was_answered))
                    }
                    Settled::Failed(reason) => (State::Failed, *next_at, "", reason.as_str(), 1),
                    Settled::Skipped(reason) => (State::Skipped, *next_at, "", reason.as_str(), 0),
                };
                sqlx::query(
                    "UPDATE ledger_delivery SET state = $1, tries = tries + 1, answered = answered + $2, next_at = $3, \
                     foreign_id = $4, reason = $5 \
                     WHERE sink = $6 AND number = $7 AND attempt = $8 AND stage = $9 AND state IN ('Pending', 'Resend')",
                )
                .bind(state.as_str())
                .bind(answered)
                .bind(next_at.as_second())
                .bind(foreign.replace('\0', ""))
                .bind(reason.replace('\0', "\u{fffd}"))
                .bind(sink.clone())
                .bind(number.clone())
                .bind(*attempt)
                .bind(stage.map_or("", Stage::as_str))
                .execute(&mut *transaction)
                .await?;
            }
            Ok(())
        };
        self.database.write(epoch, settle).await
    }

    /// Has a document delivered to a sink once more, in the place of every delivery of it there before. `by` asks for it.
    ///
    /// # Errors
    /// When there is no such document, the database cannot be written, or somebody else writes now.
    pub async fn resend(
        &self,
        epoch: Epoch,
        sink: &str,
        number: &str,
        by: &str,
        now: Timestamp,
    ) -> Result<Delivery, BooksError> {
        self.document(number).await?;
        let ask = async |transaction: &mut AnyConnection| {
            let last: Option<i64> = sqlx::query_scalar(
                "SELECT MAX(attempt) FROM ledger_delivery WHERE sink = $1 AND number = $2 AND stage = ''",
            )
            .bind(sink.to_owned())
            .bind(number.to_owned())
            .fetch_one(&mut *transaction)
            .await?;
            sqlx::query("UPDATE ledger_delivery SET state = 'Superseded' WHERE sink = $1 AND number = $2 AND stage = ''")
                .bind(sink.to_owned())
                .bind(number.to_owned())
                .execute(&mut *transaction)
                .await?;
            let attempt = last.unwrap_or(0) + 1;
            let asked = row(sink, number, "", attempt, State::Resend, now, &asked_by(by));
            insert(transaction, "ledger_delivery", COLUMNS, vec![asked]).await?;
            Ok::<_, BooksError>(attempt)
        };
        let attempt = self.database.write(epoch, ask).await?;
        Ok(Delivery {
            sink: sink.to_owned(),
            number: number.to_owned(),
            stage: None,
            attempt,
            state: State::Resend,
            tries: 0,
            answered: 0,
            next_at: now,
            foreign: None,
            reason: asked_by(by),
        })
    }
}

fn asked_by(who: &str) -> String {
    format!("asked for by {who}")
}

fn read(row: &AnyRow) -> Result<Delivery, BooksError> {
    let state: String = row.try_get("state")?;
    let number: String = row.try_get("number")?;
    let damaged =
        |reason: String| BooksError::Damaged { account: format!("the deliveries of {number}"), reason };
    let count = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
    let foreign: String = row.try_get("foreign_id")?;
    let next_at =
        Timestamp::from_second(row.try_get("next_at")?).map_err(|error| damaged(error.to_string()))?;
    let stage: String = row.try_get("stage")?;
    Ok(Delivery {
        sink: row.try_get("sink")?,
        stage: Stage::of(&stage),
        attempt: row.try_get("attempt")?,
        state: State::read(&state).ok_or_else(|| damaged(format!("{state:?} is no state")))?,
        tries: count(row.try_get("tries")?),
        answered: count(row.try_get("answered")?),
        next_at,
        foreign: Some(foreign).filter(|id| !id.is_empty()),
        reason: row.try_get("reason")?,
        number,
    })
}
