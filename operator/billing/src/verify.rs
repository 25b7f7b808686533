//! The proof that the books are right: hashes, recomputed runs, sums and numbers. Needs a connection.

use std::collections::BTreeMap;

use sqlx::Row as _;
use tenantry_journal::in_time;
use tenantry_ledger::document::Document;
use tenantry_ledger::exact::{Decimal, Exact};
use tenantry_ledger::history::{Closing, Fact, History, chained};
use tenantry_ledger::refusal::Refusal;
use tenantry_ledger::run::{Counted, RULES, run};

use crate::books::{Kept, Rows, known, read};
use crate::runner::series_of;
use crate::{Books, BooksError};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Accounts that were looked at.
    pub accounts: usize,
    /// Facts in their logs, each with its hash.
    pub facts: usize,
    /// Runs that were computed again.
    pub recomputed: usize,
    /// Runs of other rules than those of this version: of these hashes, sums and numbers are proven.
    pub not_recomputed: usize,
    /// Postings.
    pub postings: usize,
    /// Documents.
    pub documents: usize,
    /// Payments.
    pub payments: usize,
    /// What is not as it must be.
    pub faults: Vec<Fault>,
    /// The hash of all logs: equal where the same happened.
    pub hash: String,
}

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The account, or the series.
    pub of: String,
    /// What is the matter.
    pub what: String,
}

/// What is kept of an account beside its log.
struct Beside {
    /// Entry, natural key, minor units.
    postings: Vec<(i64, String, i64)>,
    /// Number and text.
    documents: BTreeMap<String, String>,
    /// The fact of each, what its provider calls it, minor units.
    payments: Vec<(i64, String, String, i64)>,
}

impl Books {
    /// Recomputes everything that is kept, account by account.
    ///
    /// # Errors
    /// When the database cannot be read. What is not as it must be is in the verdict.
    pub async fn verify(&self) -> Result<Verdict, BooksError> {
        let mut verdict = Verdict::default();
        let mut hasher = blake3::Hasher::new();
        for account in self.accounts().await? {
            let mut connection = self.database.reader().await?;
            let rows = in_time(read(connection.raw(), &account)).await?;
            connection.give_back();
            let Some(rows) = rows else { continue };
            let beside = self.beside(&account).await?;
            hasher.update(format!("{account}\n{}\n", rows.head.hash).as_bytes());
            verdict.accounts += 1;
            verdict.look(&account, &rows, &beside)?;
        }
        self.numbers(&mut verdict).await?;
        verdict.hash = hasher.finalize().to_hex().to_string();
        Ok(verdict)
    }

    async fn beside(&self, account: &str) -> Result<Beside, BooksError> {
        let mut connection = self.database.reader().await?;
        let postings =
            sqlx::query("SELECT entry, id, minor FROM ledger_posting WHERE account = $1 ORDER BY entry")
                .bind(account.to_owned());
        let postings = in_time(postings.fetch_all(connection.raw())).await?;
        let documents = sqlx::query("SELECT number, body FROM ledger_document WHERE account = $1")
            .bind(account.to_owned());
        let documents = in_time(documents.fetch_all(connection.raw())).await?;
        let payments = sqlx::query(
            "SELECT sequence, provider, id, minor FROM ledger_payment WHERE account = $1 ORDER BY sequence",
        )
        .bind(account.to_owned());
        let payments = in_time(payments.fetch_all(connection.raw())).await?;
        connection.give_back();
        let payment = |row: &sqlx::any::AnyRow| {
            let (provider, id) = (row.try_get("provider")?, row.try_get("id")?);
            Ok((row.try_get("sequence")?, provider, id, row.try_get("minor")?))
        };
        let posting =
            |row: &sqlx::any::AnyRow| Ok((row.try_get("entry")?, row.try_get("id")?, row.try_get("minor")?));
        let document = |row: &sqlx::any::AnyRow| Ok((row.try_get("number")?, row.try_get("body")?));
        Ok(Beside {
            postings: postings.iter().map(posting).collect::<Result<_, sqlx::Error>>()?,
            documents: documents.iter().map(document).collect::<Result<_, sqlx::Error>>()?,
            payments: payments.iter().map(payment).collect::<Result<_, sqlx::Error>>()?,
        })
    }

    /// That every series counts from one on without a gap, and no further than its counter says.
    async fn numbers(&self, verdict: &mut Verdict) -> Result<(), BooksError> {
        let mut connection = self.database.reader().await?;
        let documents = sqlx::query("SELECT series, place FROM ledger_document ORDER BY series, place");
        let documents = in_time(documents.fetch_all(connection.raw())).await?;
        let counters =
            in_time(sqlx::query("SELECT series, count FROM ledger_series").fetch_all(connection.raw()))
                .await?;
        let places = sqlx::query("SELECT prefix AS series, place FROM ledger_account ORDER BY prefix, place");
        let places = in_time(places.fetch_all(connection.raw())).await?;
        connection.give_back();
        let mut counted: BTreeMap<String, i64> = BTreeMap::new();
        let numbered =
            documents.iter().map(|row| (row, "")).chain(places.iter().map(|row| (row, "accounts of ")));
        for (row, before) in numbered {
            let series = format!("{before}{}", row.try_get::<String, _>("series")?);
            let place: i64 = row.try_get("place")?;
            let count = counted.entry(series.clone()).or_default();
            if place != *count + 1 {
                verdict.fault(&series, format!("after number {count} comes number {place}"));
            }
            *count = place;
        }
        for row in &counters {
            let series: String = row.try_get("series")?;
            let count: i64 = row.try_get("count")?;
            let last = counted.remove(&series).unwrap_or(0);
            if last != count {
                verdict.fault(&series, format!("its counter says {count}, the last number is {last}"));
            }
        }
        for series in counted.into_keys() {
            verdict.fault(&series, "it has no counter".to_owned());
        }
        Ok(())
    }
}

impl Verdict {
    /// Whether everything is as it must be.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }

    fn fault(&mut self, of: &str, what: String) {
        self.faults.push(Fault { of: of.to_owned(), what });
    }

    fn look(&mut self, account: &str, rows: &Rows, beside: &Beside) -> Result<(), BooksError> {
        let (usage, ends) = rows.usage()?;
        let mut history = rows.blank();
        let mut hash = String::new();
        let mut knew = 0;
        let mut entries = Vec::new();
        let mut documents = BTreeMap::new();
        let mut payments = Vec::new();
        for (place, kept) in (1..).zip(&rows.facts) {
            self.facts += 1;
            let Kept { sequence, kind, body, usage_until, .. } = kept;
            if *sequence != place {
                self.fault(account, format!("fact {place} is missing"));
                return Ok(());
            }
            hash = chained(&hash, kind, body);
            if hash != kept.hash {
                self.fault(account, format!("the hash of fact {sequence} is not that of its text"));
                return Ok(());
            }
            let fact = match Fact::read(kind, body) {
                Ok(fact) => fact,
                Err(refusal) => {
                    self.fault(account, format!("fact {sequence} cannot be read: {refusal}"));
                    return Ok(());
                }
            };
            if let Fact::Closed(closing) = &fact {
                let until = known(&ends, *usage_until);
                let counted = Counted { usage: usage.get(..until).unwrap_or_default(), known: knew };
                knew = until;
                self.recompute(account, *sequence, &history, counted, closing);
                if let Err(what) = adds_up(&history, closing) {
                    self.fault(account, format!("fact {sequence}: {what}"));
                }
                entries.extend(closing.entries.clone());
                if let Some(document) = &closing.document {
                    documents
                        .insert(document.number.clone(), serde_json::to_string(document).unwrap_or_default());
                }
            }
            if let Fact::Paid(payment) = &fact {
                let (provider, id) = (payment.provider.clone(), payment.id.clone());
                payments.push((*sequence, provider, id, payment.signed()));
            }
            history.apply(fact);
        }
        if (i64::try_from(rows.facts.len()).ok(), &hash) != (Some(rows.head.sequence), &rows.head.hash) {
            self.fault(account, "the log does not end where it should".to_owned());
        }
        self.postings += entries.len();
        self.documents += documents.len();
        self.payments += payments.len();
        let posted: Vec<(i64, String, i64)> = entries
            .iter()
            .map(|entry| {
                let id = i64::try_from(entry.id).unwrap_or(i64::MAX);
                (id, entry.posting.natural_key(), entry.posting.amount.minor)
            })
            .collect();
        if posted != beside.postings {
            self.fault(account, "its postings are not those of its log".to_owned());
        }
        if documents != beside.documents {
            self.fault(account, "its documents are not those of its log".to_owned());
        }
        if payments != beside.payments {
            self.fault(account, "its payments are not those of its log".to_owned());
        }
        Ok(())
    }

    fn recompute(
        &mut self,
        account: &str,
        sequence: i64,
        history: &History,
        counted: Counted<'_>,
        closing: &Closing,
    ) {
        if closing.rules != RULES {
            self.not_recomputed += 1;
            return;
        }
        self.recomputed += 1;
        match run(history, counted, closing.boundary) {
            Ok(again) if again == *closing => {}
            Ok(_) => self
                .fault(account, format!("run {sequence} comes to something else when it is computed again")),
            Err(refusal) => {
                self.fault(account, format!("run {sequence} cannot be computed again: {refusal}"))
            }
        }
    }
}

/// That a document is the sum of its lines and taxes, that these are what was posted, and that the balance is what it was and
/// what the document did to it.
fn adds_up(history: &History, closing: &Closing) -> Result<(), String> {
    let Some(document) = &closing.document else {
        let nothing = closing.entries.iter().all(|entry| entry.posting.amount.minor == 0);
        return match nothing && closing.balance == history.balance_at(closing.at) {
            true => Ok(()),
            false => Err("something was posted without a document".to_owned()),
        };
    };
    let said = |error: Refusal| error.to_string();
    let number = |text: &str| Decimal::parse("amount", text).map(|read| read.value().clone()).map_err(said);
    let sum = |texts: Vec<&str>| -> Result<Exact, String> {
        texts.into_iter().map(number).sum::<Result<Exact, String>>()
    };
    let Document { number: name, lines, taxes, net, tax, gross, drawn, surplus, payable, currency, .. } =
        document;
    let equal = |what: &str, one: Exact, other: Exact| match one == other {
        true => Ok(()),
        false => Err(format!("{what} of {name} does not add up")),
    };
    for line in lines {
        let entry = closing.entries.iter().find(|entry| entry.id == line.entry);
        let posted = entry.map(|entry| currency.major(entry.posting.amount.minor)).unwrap_or_default();
        equal("a line", number(&line.amount)?, posted)?;
        equal("a line", number(&line.amount)? - number(&line.reduction)?, number(&line.net)?)?;
    }
    equal("the net", sum(lines.iter().map(|line| line.net.as_str()).collect())?, number(net)?)?;
    equal("the net", sum(taxes.iter().map(|tax| tax.base.as_str()).collect())?, number(net)?)?;
    equal("the tax", sum(taxes.iter().map(|tax| tax.tax.as_str()).collect())?, number(tax)?)?;
    equal("the gross", number(net)? + number(tax)?, number(gross)?)?;
    equal("the payment", number(payable)? + number(drawn)? - number(surplus)?, number(gross)?)?;
    let before = currency.major(history.balance_at(closing.at));
    equal("the balance", before + number(surplus)? - number(drawn)?, currency.major(closing.balance))?;
    let (_, place) = series_of(document);
    match i64::from(history.next_number(document.kind)) == place {
        true => Ok(()),
        false => Err(format!("{name} is not the next number of its series")),
    }
}
