//! Writing facts: what was agreed, priced, what happened, and a person's word. Needs a connection.

use jiff::Timestamp;
use sqlx::AnyConnection;
use tenantry_journal::{DatabaseError, Epoch, in_time};
use tenantry_ledger::agreement::Agreement;
use tenantry_ledger::catalogue::PriceList;
use tenantry_ledger::history::{Acceptance, Fact, Happening, History, chained};
use tenantry_ledger::refusal::Refusal;
use tenantry_ledger::run::{self, check};

use crate::batch::{Value, insert};
use crate::books::{Head, Loaded};
use crate::{Books, BooksError};

/// How often something is computed anew because somebody was faster. Whoever writes is one process, so twice is rare.
pub(crate) const ATTEMPTS: usize = 16;

/// Something that happened, and the id by which it is known to have been told. Told again, it changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Telling {
    /// Unique in the account, such as `k7w3q9m2/start`.
    pub id: String,
    /// What happened. Its number in the account is given when it is kept.
    pub happening: Happening,
}

/// A fact with everything that its row holds.
pub(crate) struct Row {
    pub(crate) account: String,
    pub(crate) id: String,
    pub(crate) kind: &'static str,
    pub(crate) body: String,
    pub(crate) head: Head,
    pub(crate) usage_until: i64,
}

impl Books {
    /// Opens an account, or takes in what changed in its agreement; whether anything did.
    ///
    /// # Errors
    /// An agreement that nothing can be billed by, or one that would make another account of it.
    pub async fn open(
        &self,
        epoch: Epoch,
        agreement: &Agreement,
        now: Timestamp,
    ) -> Result<bool, BooksError> {
        agreement.check()?;
        let account = agreement.account.id.as_str();
        if self.load(account).await?.is_none() {
            self.place(epoch, account, &agreement.series.invoice).await?;
        }
        let told = self.append(epoch, account, now, |loaded| {
            match loaded.history.agreement() {
                Ok(before) if before == agreement => return Ok(Vec::new()),
                Ok(before) => agreement.follows(before)?,
                Err(_) => {}
            }
            let id = format!("agreed/{}", loaded.head.sequence + 1);
            Ok(vec![(id, Fact::Agreed(Box::new(agreement.clone())))])
        });
        Ok(told.await? > 0)
    }

    /// Gives an account its place among those whose numbers begin alike.
    async fn place(&self, epoch: Epoch, account: &str, prefix: &str) -> Result<(), BooksError> {
        let place = async |transaction: &mut AnyConnection| {
            let known: Option<String> = sqlx::query_scalar("SELECT id FROM ledger_account WHERE id = $1")
                .bind(account.to_owned())
                .fetch_optional(&mut *transaction)
                .await?;
            if known.is_none() {
                let place = next_of(transaction, &format!("accounts of {prefix}")).await?;
                let row = [account.into(), prefix.into(), place.into()];
                insert(transaction, "ledger_account", ["id", "prefix", "place"], vec![row]).await?;
                let row: [Value; 5] = [account.into(), 0.into(), "".into(), None.into(), "".into()];
                let columns = ["account", "sequence", "hash", "next_due", "parked"];
                insert(transaction, "ledger_state", columns, vec![row]).await?;
            }
            Ok(())
        };
        self.database.write(epoch, place).await
    }

    /// Keeps price lists and what happened, all of it or nothing, and says how many facts were new.
    ///
    /// # Errors
    /// What cannot be charged, with its field and remedy; a price list that differs from the one of its name.
    pub async fn tell(
        &self,
        epoch: Epoch,
        account: &str,
        lists: &[PriceList],
        tellings: &[Telling],
        now: Timestamp,
    ) -> Result<usize, BooksError> {
        let told = self.append(epoch, account, now, |loaded| {
            let is_known = |id: &String| loaded.ids.contains(id);
            let mut facts: Vec<(String, Fact)> = Vec::new();
            for list in lists {
                let id = format!("priced/{}", list.id);
                if !is_known(&id) && !facts.iter().any(|(known, _)| *known == id) {
                    facts.push((id, Fact::Priced(list.clone())));
                }
            }
            let mut next = loaded.history.next_event();
            for Telling { id, happening } in tellings {
                if !is_known(id) && !facts.iter().any(|(known, _)| known == id) {
                    let mut happening = happening.clone();
                    happening.event.id = next;
                    next += 1;
                    facts.push((id.clone(), Fact::Happened(happening)));
                }
            }
            Ok(facts)
        });
        told.await
    }

    /// Lets an account that is parked go on: its next run posts what it finds.
    ///
    /// # Errors
    /// When it is not parked.
    pub async fn accept(
        &self,
        epoch: Epoch,
        account: &str,
        acceptance: &Acceptance,
        now: Timestamp,
    ) -> Result<(), BooksError> {
        let told = self.append(epoch, account, now, |loaded| {
            if loaded.standing.parked.is_none() {
                return Err(Refusal::new(
                    format!("accounts[{account}]"),
                    "it waits for nobody",
                    "accept only what an account is parked for",
                ));
            }
            let id = format!("accepted/{}", loaded.head.sequence + 1);
            Ok(vec![(id, Fact::Accepted(acceptance.clone()))])
        });
        told.await.map(drop)
    }

    /// Parks an account until something is told or a person accepts what was found.
    pub(crate) async fn park(&self, epoch: Epoch, loaded: &Loaded, reason: &str) -> Result<(), BooksError> {
        let park = async |transaction: &mut AnyConnection| {
            sqlx::query("UPDATE ledger_state SET parked = $1 WHERE account = $2 AND sequence = $3")
                .bind(reason.replace('\0', "\u{fffd}"))
                .bind(loaded.account.clone())
                .bind(loaded.head.sequence)
                .execute(transaction)
                .await?;
            Ok(())
        };
        self.database.write(epoch, park).await
    }

    /// Keeps the facts that `what` makes of an account, and says how many.
    async fn append(
        &self,
        epoch: Epoch,
        account: &str,
        now: Timestamp,
        what: impl Fn(&Loaded) -> Result<Vec<(String, Fact)>, Refusal>,
    ) -> Result<usize, BooksError> {
        for _ in 0..ATTEMPTS {
            let unknown = || BooksError::Unknown { what: format!("account {account:?}") };
            let loaded = self.load(account).await?.ok_or_else(unknown)?;
            let facts = what(&loaded)?;
            if facts.is_empty() {
                return Ok(0);
            }
            let mut history = loaded.history.clone();
            let mut head = loaded.head.clone();
            let mut rows = Vec::with_capacity(facts.len());
            for (id, fact) in facts {
                let row = Row::new(account, id, &fact, &head, 0)?;
                head = row.head.clone();
                rows.push(row);
                history.apply(fact);
            }
            // What could never be charged is not kept for ever.
            check(&history)?;
            let next = next_due(&history)?;
            if self.keep(epoch, &loaded.head, &rows, next, now).await? {
                return Ok(rows.len());
            }
        }
        Err(BooksError::Contended { account: account.to_owned() })
    }

    async fn keep(
        &self,
        epoch: Epoch,
        from: &Head,
        rows: &[Row],
        next: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, BooksError> {
        let Some(last) = rows.last() else { return Ok(true) };
        let mut connection = self.database.writer().await?;
        let kept = in_time(async {
            let mut transaction = connection.begin_held(epoch).await?;
            if !moved_on(&mut transaction, &last.account, from, &last.head, next).await? {
                return Ok(false);
            }
            log(&mut transaction, &rows.iter().collect::<Vec<_>>(), now).await?;
            transaction.commit().await?;
            Ok::<_, DatabaseError>(true)
        })
        .await?;
        if kept {
            connection.give_back();
        }
        Ok(kept)
    }
}

impl Row {
    pub(crate) fn new(
        account: &str,
        id: String,
        fact: &Fact,
        before: &Head,
        usage_until: i64,
    ) -> Result<Self, BooksError> {
        let body = fact.text().map_err(|error| BooksError::Damaged {
            account: account.to_owned(),
            reason: format!("a fact cannot be written: {error}"),
        })?;
        // What PostgreSQL cannot hold must not be in what is hashed.
        let body = body.replace("\\u0000", "\u{fffd}");
        let hash = chained(&before.hash, fact.kind(), &body);
        let head = Head { sequence: before.sequence + 1, hash };
        Ok(Self { account: account.to_owned(), id, kind: fact.kind(), body, head, usage_until })
    }
}

/// Moves the end of an account's log on, from where it was read; whether it was there still.
pub(crate) async fn moved_on(
    transaction: &mut AnyConnection,
    account: &str,
    from: &Head,
    to: &Head,
    next: Option<Timestamp>,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query(
        "UPDATE ledger_state SET sequence = $1, hash = $2, next_due = $3, parked = '' \
         WHERE account = $4 AND sequence = $5 AND hash = $6",
    );
    let moved = moved
        .bind(to.sequence)
        .bind(to.hash.clone())
        .bind(next.map(Timestamp::as_second))
        .bind(account.to_owned())
        .bind(from.sequence)
        .bind(from.hash.clone());
    Ok(moved.execute(transaction).await?.rows_affected() == 1)
}

/// Moves the end of an account's log on where nothing falls due by it and nothing is put right that the account is parked for;
/// whether it was there still.
pub(crate) async fn grown(
    transaction: &mut AnyConnection,
    account: &str,
    from: &Head,
    to: &Head,
) -> Result<bool, sqlx::Error> {
    let grown = sqlx::query(
        "UPDATE ledger_state SET sequence = $1, hash = $2 WHERE account = $3 AND sequence = $4 AND hash = $5",
    );
    let grown = grown.bind(to.sequence).bind(to.hash.clone()).bind(account.to_owned());
    let grown = grown.bind(from.sequence).bind(from.hash.clone());
    Ok(grown.execute(transaction).await?.rows_affected() == 1)
}

/// Inserts facts.
pub(crate) async fn log(
    transaction: &mut AnyConnection,
    rows: &[&Row],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let values = rows.iter().map(|row| {
        let Row { account, id, kind, body, head, usage_until } = row;
        [
            account.as_str().into(),
            head.sequence.into(),
            id.as_str().into(),
            (*kind).into(),
            body.as_str().into(),
            head.hash.as_str().into(),
            (*usage_until).into(),
            now.as_second().into(),
        ]
    });
    let columns = ["account", "sequence", "id", "kind", "body", "hash", "usage_until", "written_at"];
    insert(transaction, "ledger_log", columns, values.collect()).await
}

/// The next number of a series, under the fence.
pub(crate) async fn next_of(transaction: &mut AnyConnection, series: &str) -> Result<i64, sqlx::Error> {
    let count: Option<i64> = sqlx::query_scalar("SELECT count FROM ledger_series WHERE series = $1")
        .bind(series.to_owned())
        .fetch_optional(&mut *transaction)
        .await?;
    let next = count.unwrap_or(0) + 1;
    let sql = match count {
        Some(_) => "UPDATE ledger_series SET count = $2 WHERE series = $1",
        None => "INSERT INTO ledger_series (series, count) VALUES ($1, $2)",
    };
    sqlx::query(sql).bind(series.to_owned()).bind(next).execute(transaction).await?;
    Ok(next)
}

/// When an account is looked at next.
pub(crate) fn next_due(history: &History) -> Result<Option<Timestamp>, Refusal> {
    Ok(run::next_due(history)?.map(|due| due.at))
}
