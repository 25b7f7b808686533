//! Reading: accounts, logs, documents. Needs a connection.

use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use tenantry_journal::{Database, DatabaseError, in_time};
use tenantry_ledger::document::Document;
use tenantry_ledger::event::Usage;
use tenantry_ledger::history::{Fact, History};
use tenantry_ledger::run::Counted;

use crate::{BooksError, usage};

/// The books: everything that the database holds of accounts. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Books {
    pub(crate) database: Database,
}

/// An account as it was read.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Its name.
    pub account: String,
    /// Its folded log.
    pub history: History,
    /// How things stand with it.
    pub standing: Standing,
    pub(crate) head: Head,
    pub(crate) usage: Vec<Usage>,
    pub(crate) known: usize,
    pub(crate) usage_until: i64,
    pub(crate) ids: Vec<String>,
}

/// How things stand with an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// When it is looked at next; never as things are without one.
    pub next_due: Option<Timestamp>,
    /// Why a person has to look at it, if one has.
    pub parked: Option<String>,
}

/// Where a log ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) sequence: i64,
    pub(crate) hash: String,
}

/// A fact as it is kept.
pub(crate) struct Kept {
    pub(crate) sequence: i64,
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) body: String,
    pub(crate) hash: String,
    pub(crate) usage_until: i64,
}

impl Books {
    /// The books in a database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Every account, by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn accounts(&self) -> Result<Vec<String>, BooksError> {
        let mut connection = self.database.reader().await?;
        let query = sqlx::query_scalar("SELECT id FROM ledger_account ORDER BY id");
        let ids = in_time(query.fetch_all(connection.raw())).await?;
        connection.give_back();
        Ok(ids)
    }

    /// Reads an account; none where there is none.
    ///
    /// # Errors
    /// When the database cannot be read, or what is in it was not written by this program.
    pub async fn load(&self, account: &str) -> Result<Option<Loaded>, BooksError> {
        let mut connection = self.database.reader().await?;
        let read = in_time(read(connection.raw(), account)).await?;
        connection.give_back();
        read.map(|read| read.fold(account)).transpose()
    }

    /// When something falls due next in any account that is not parked.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, BooksError> {
        let mut connection = self.database.reader().await?;
        let sql = "SELECT MIN(next_due) FROM ledger_state WHERE parked = '' AND next_due IS NOT NULL";
        let next: Option<i64> = in_time(sqlx::query_scalar(sql).fetch_one(connection.raw())).await?;
        connection.give_back();
        Ok(next.and_then(|second| Timestamp::from_second(second).ok()))
    }

    /// Accounts in which something is due, the longest due first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) async fn due(&self, as_of: Timestamp) -> Result<Vec<String>, BooksError> {
        let mut connection = self.database.reader().await?;
        let sql = "SELECT account FROM ledger_state WHERE parked = '' AND next_due <= $1 ORDER BY next_due, account";
        let query = sqlx::query_scalar(sql).bind(as_of.as_second());
        let due = in_time(query.fetch_all(connection.raw())).await?;
        connection.give_back();
        Ok(due)
    }

    /// Accounts that wait for a person, each with the reason.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn parked(&self) -> Result<Vec<(String, String)>, BooksError> {
        let mut connection = self.database.reader().await?;
        let query =
            sqlx::query("SELECT account, parked FROM ledger_state WHERE parked <> '' ORDER BY account");
        let rows = in_time(query.fetch_all(connection.raw())).await?;
        connection.give_back();
        rows.iter().map(|row| Ok((row.try_get("account")?, row.try_get("parked")?))).collect()
    }

    /// The document of a number.
    ///
    /// # Errors
    /// When there is none, or the database cannot be read.
    pub async fn document(&self, number: &str) -> Result<Document, BooksError> {
        let mut connection = self.database.reader().await?;
        let query = sqlx::query("SELECT account, body FROM ledger_document WHERE number = $1");
        let row = in_time(query.bind(number.to_owned()).fetch_optional(connection.raw())).await?;
        connection.give_back();
        match row {
            Some(row) => document(&row),
            None => Err(BooksError::Unknown { what: format!("document {number:?}") }),
        }
    }

    /// The documents of an account, in the order in which they were made.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn documents_for(&self, account: &str) -> Result<Vec<Document>, BooksError> {
        let mut connection = self.database.reader().await?;
        let query = sqlx::query(
            "SELECT account, body FROM ledger_document WHERE account = $1 ORDER BY issued, sequence",
        );
        let rows = in_time(query.bind(account.to_owned()).fetch_all(connection.raw())).await?;
        connection.give_back();
        rows.iter().map(document).collect()
    }

    /// The documents that a subscription has lines on, in the order in which they were made.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn documents_of(&self, subscription: &str) -> Result<Vec<Document>, BooksError> {
        let mut connection = self.database.reader().await?;
        let query = sqlx::query(
            "SELECT account, body FROM ledger_document JOIN ledger_share USING (number) WHERE subscription = $1 \
             ORDER BY issued, account, sequence",
        );
        let rows = in_time(query.bind(subscription.to_owned()).fetch_all(connection.raw())).await?;
        connection.give_back();
        rows.iter().map(document).collect()
    }
}

impl Loaded {
    /// What meters counted.
    #[must_use]
    pub fn counted(&self) -> Counted<'_> {
        Counted { usage: &self.usage, known: self.known }
    }

    /// Takes in a fact that was kept, with which the log ends here.
    pub(crate) fn take(&mut self, fact: Fact, head: Head) {
        if matches!(fact, Fact::Closed(_)) {
            self.known = self.usage.len();
        }
        self.history.apply(fact);
        self.head = head;
    }
}

/// How many records there are up to each row, by the row's number.
pub(crate) type Ends = Vec<(i64, usize)>;

/// The rows of an account.
pub(crate) struct Rows {
    place: i64,
    pub(crate) standing: Standing,
    pub(crate) head: Head,
    pub(crate) facts: Vec<Kept>,
    usage: Vec<AnyRow>,
}

/// Reads the rows of an account. Its end is read first: what comes after it is of others, and left for the next look.
pub(crate) async fn read(
    connection: &mut AnyConnection,
    account: &str,
) -> Result<Option<Rows>, DatabaseError> {
    let query = sqlx::query(
        "SELECT place, sequence, hash, next_due, parked FROM ledger_account \
         JOIN ledger_state ON ledger_state.account = ledger_account.id WHERE id = $1",
    );
    let Some(row) = query.bind(account.to_owned()).fetch_optional(&mut *connection).await? else {
        return Ok(None);
    };
    let head = Head { sequence: row.try_get("sequence")?, hash: row.try_get("hash")? };
    let next_due: Option<i64> = row.try_get("next_due")?;
    let parked: String = row.try_get("parked")?;
    let facts = sqlx::query(
        "SELECT sequence, id, kind, body, hash, usage_until FROM ledger_log \
         WHERE account = $1 AND sequence <= $2 ORDER BY sequence",
    );
    let facts = facts.bind(account.to_owned()).bind(head.sequence).fetch_all(&mut *connection).await?;
    let usage = sqlx::query(
        "SELECT sequence, subscription, meter, from_at, revision, quantities, received_at FROM ledger_usage \
         WHERE account = $1 ORDER BY sequence",
    );
    Ok(Some(Rows {
        place: row.try_get("place")?,
        standing: Standing {
            next_due: next_due.and_then(|second| Timestamp::from_second(second).ok()),
            parked: Some(parked).filter(|reason| !reason.is_empty()),
        },
        head,
        facts: facts.iter().map(Kept::read).collect::<Result<_, _>>()?,
        usage: usage.bind(account.to_owned()).fetch_all(connection).await?,
    }))
}

impl Kept {
    fn read(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            sequence: row.try_get("sequence")?,
            id: row.try_get("id")?,
            kind: row.try_get("kind")?,
            body: row.try_get("body")?,
            hash: row.try_get("hash")?,
            usage_until: row.try_get("usage_until")?,
        })
    }
}

impl Rows {
    /// An account without facts, at its place.
    pub(crate) fn blank(&self) -> History {
        History::new(u32::try_from(self.place).unwrap_or(u32::MAX))
    }

    /// What meters counted, each row's records behind its number.
    pub(crate) fn usage(&self) -> Result<(Vec<Usage>, Ends), BooksError> {
        let mut records = Vec::new();
        let mut ends = Vec::with_capacity(self.usage.len());
        for row in &self.usage {
            let sequence = usage::read(row, &mut records)?;
            ends.push((sequence, records.len()));
        }
        Ok((records, ends))
    }

    fn fold(self, account: &str) -> Result<Loaded, BooksError> {
        let mut history = self.blank();
        let (usage, ends) = self.usage()?;
        let mut until = 0;
        let mut ids = Vec::with_capacity(self.facts.len());
        for kept in self.facts {
            let fact = Fact::read(&kept.kind, &kept.body).map_err(|refusal| BooksError::Damaged {
                account: account.to_owned(),
                reason: refusal.to_string(),
            })?;
            if matches!(fact, Fact::Closed(_)) {
                until = kept.usage_until;
            }
            history.apply(fact);
            ids.push(kept.id);
        }
        Ok(Loaded {
            account: account.to_owned(),
            history,
            standing: self.standing,
            head: self.head,
            known: known(&ends, until),
            usage_until: ends.last().map_or(0, |(sequence, _)| *sequence),
            usage,
            ids,
        })
    }
}

/// How many records belong to rows up to a number.
pub(crate) fn known(ends: &[(i64, usize)], until: i64) -> usize {
    let rows = ends.partition_point(|(sequence, _)| *sequence <= until);
    rows.checked_sub(1).and_then(|last| ends.get(last)).map_or(0, |(_, records)| *records)
}

fn document(row: &AnyRow) -> Result<Document, BooksError> {
    let body: String = row.try_get("body")?;
    let damaged = |error: serde_json::Error| BooksError::Damaged {
        account: row.try_get("account").unwrap_or_default(),
        reason: error.to_string(),
    };
    serde_json::from_str(&body).map_err(damaged)
}
