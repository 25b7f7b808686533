//! Runs: account by account, boundary by boundary. Needs a connection and threads to compute on.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};
use tenantry_journal::{DatabaseError, Epoch, in_time};
use tenantry_ledger::document::Document;
use tenantry_ledger::history::{Closing, Fact};
use tenantry_ledger::refusal::Refusal;
use tenantry_ledger::run::{Due, next_due as due_next, run};
use tokio::task::JoinSet;

use crate::batch::insert;
use crate::books::{Head, Loaded};
use crate::deliveries;
use crate::outbox::{self, Letter};
use crate::tell::{ATTEMPTS, Row, log, moved_on, next_due, next_of};
use crate::{Books, BooksError};

/// Accounts that are closed in one transaction: what one costs besides its rows is shared, and what is lost when it fails stays small.
const TOGETHER: usize = 64;

/// The hour of UTC by which a day has ended everywhere: it does last where clocks are twelve hours behind.
const LAST_HOUR: i8 = 12;

/// Up to when something counts as due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsOf {
    instant: Timestamp,
    day: Option<Date>,
}

/// What a run did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Boundaries that were closed.
    pub closed: usize,
    /// Documents that were made.
    pub documents: Vec<Document>,
    /// Accounts that were parked, each with the reason.
    pub parked: Vec<(String, String)>,
}

/// What closing one boundary of one account comes to.
struct Finished {
    loaded: Loaded,
    closing: Closing,
    row: Row,
    next: Option<Timestamp>,
}

/// What became of one account's next boundary.
enum Turn {
    /// There is something to close.
    Close(Box<Finished>),
    /// Nothing is due any more.
    Rest,
    /// It cannot be charged.
    Park(Box<Loaded>, Box<Refusal>),
}

impl From<Timestamp> for AsOf {
    fn from(instant: Timestamp) -> Self {
        Self { instant, day: None }
    }
}

impl AsOf {
    /// The end of a day, by each account's own clock.
    ///
    /// # Errors
    /// The day is the calendar's last.
    pub fn end_of(day: Date) -> Result<Self, Refusal> {
        let end = day.tomorrow().and_then(|next| Offset::UTC.to_timestamp(next.at(LAST_HOUR, 0, 0, 0)));
        let instant = end.map_err(|_| {
            Refusal::new("asOf", format!("{day} is the end of the calendar"), "write an earlier day")
        })?;
        Ok(Self { instant, day: Some(day) })
    }

    /// The same, but not after `now`: what has not come yet is closed by nobody.
    #[must_use]
    pub fn no_later_than(self, now: Timestamp) -> Self {
        Self { instant: self.instant.min(now), ..self }
    }

    /// Whether all of it lies ahead of `now`, wherever the account is.
    #[must_use]
    pub fn is_ahead_of(&self, now: Timestamp) -> bool {
        // A day begins first where clocks are fourteen hours ahead.
        let begin = |day: Date| Offset::constant(14).to_timestamp(day.at(0, 0, 0, 0)).ok();
        self.day.and_then(begin).unwrap_or(self.instant) > now
    }
}

impl Books {
    /// Closes everything that is due by `as_of`, and says what came of it. Whoever is stopped amid it goes on where it was.
    ///
    /// # Errors
    /// When the database cannot be used, or somebody else writes now. What was closed before stays closed.
    pub async fn run(
        &self,
        epoch: Epoch,
        as_of: impl Into<AsOf>,
        now: Timestamp,
    ) -> Result<Summary, BooksError> {
        let as_of = as_of.into();
        let mut summary = Summary::default();
        let due = self.due(as_of.instant).await?;
        for accounts in due.chunks(TOGETHER) {
            let mut loaded = self.load_all(accounts).await?;
            let mut lost = 0;
            while !loaded.is_empty() {
                let mut finished = Vec::new();
                for turn in turns(loaded, as_of).await? {
                    match turn {
                        Turn::Rest => {}
                        Turn::Close(one) => finished.push(*one),
                        Turn::Park(loaded, refusal) => {
                            self.park(epoch, &loaded, &refusal.to_string()).await?;
                            summary.parked.push((loaded.account, refusal.to_string()));
                        }
                    }
                }
                if self.commit(epoch, &finished, now).await? {
                    lost = 0;
                    loaded = finished.into_iter().map(|one| one.taken(&mut summary)).collect();
                    continue;
                }
                lost += 1;
                let names: Vec<String> = finished.into_iter().map(|one| one.loaded.account).collect();
                if lost == ATTEMPTS {
                    return Err(BooksError::Contended { account: names.join(", ") });
                }
                loaded = self.load_all(&names).await?;
            }
        }
        Ok(summary)
    }

    /// What a run would do. Nothing is written.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn dry_run(&self, as_of: impl Into<AsOf>) -> Result<Summary, BooksError> {
        let as_of = as_of.into();
        let mut summary = Summary::default();
        let due = self.due(as_of.instant).await?;
        for accounts in due.chunks(TOGETHER) {
            let mut loaded = self.load_all(accounts).await?;
            while !loaded.is_empty() {
                let mut next = Vec::new();
                for turn in turns(loaded, as_of).await? {
                    match turn {
                        Turn::Rest => {}
                        Turn::Close(one) => next.push(one.taken(&mut summary)),
                        Turn::Park(loaded, refusal) => {
                            summary.parked.push((loaded.account, refusal.to_string()));
                        }
                    }
                }
                loaded = next;
            }
        }
        Ok(summary)
    }

    async fn load_all(&self, accounts: &[String]) -> Result<Vec<Loaded>, BooksError> {
        let mut reading = JoinSet::new();
        let mut all: Vec<Option<Loaded>> = Vec::new();
        for (place, account) in accounts.iter().cloned().enumerate() {
            all.push(None);
            let books = self.clone();
            reading.spawn(async move { (place, books.load(&account).await) });
        }
        while let Some(read) = reading.join_next().await {
            let Ok((place, loaded)) = read else { continue };
            if let Some(one) = all.get_mut(place) {
                *one = loaded?;
            }
        }
        Ok(all.into_iter().flatten().collect())
    }

    /// Writes what closing boundaries comes to, all of it or nothing; whether every log was still as it was read.
    async fn commit(&self, epoch: Epoch, finished: &[Finished], now: Timestamp) -> Result<bool, BooksError> {
        if finished.is_empty() {
            return Ok(true);
        }
        let mut connection = self.database.writer().await?;
        let committed = in_time(async {
            let mut transaction = connection.begin_held(epoch).await?;
            for one in finished {
                let Finished { loaded, row, next, .. } = one;
                if !moved_on(&mut transaction, &loaded.account, &loaded.head, &row.head, *next).await? {
                    return Ok(false);
                }
            }
            let rows: Vec<&Row> = finished.iter().map(|one| &one.row).collect();
            log(&mut transaction, &rows, now).await?;
            insert(&mut transaction, "ledger_posting", POSTING, postings(finished)).await?;
            for document in finished.iter().filter_map(|one| one.closing.document.as_ref()) {
                let (series, place) = series_of(document);
                if next_of(&mut transaction, series).await? != place {
                    return Ok(false);
                }
            }
            insert(&mut transaction, "ledger_document", DOCUMENT, documents(finished)).await?;
            let letters: Vec<Letter<'_>> = finished
                .iter()
                .filter_map(|one| one.closing.document.as_ref())
                .flat_map(Letter::of)
                .collect();
            outbox::post(&mut transaction, &letters).await?;
            deliveries::open(&mut transaction, finished.iter().filter_map(Finished::delivered), now).await?;
            transaction.commit().await?;
            Ok::<_, DatabaseError>(true)
        })
        .await?;
        if committed {
            connection.give_back();
        }
        Ok(committed)
    }
}

const POSTING: [&str; 6] = ["account", "entry", "id", "subscription", "minor", "sequence"];
const DOCUMENT: [&str; 7] = ["number", "series", "place", "account", "sequence", "issued", "body"];

fn postings(finished: &[Finished]) -> Vec<[crate::batch::Value; 6]> {
    let rows = finished.iter().flat_map(|one| {
        one.closing.entries.iter().map(|entry| {
            [
                one.row.account.as_str().into(),
                i64::try_from(entry.id).unwrap_or(i64::MAX).into(),
                entry.posting.natural_key().into(),
                entry.posting.key.subscription.as_str().into(),
                entry.posting.amount.minor.into(),
                one.row.head.sequence.into(),
            ]
        })
    });
    rows.collect()
}

fn documents(finished: &[Finished]) -> Vec<[crate::batch::Value; 7]> {
    let rows = finished.iter().filter_map(|one| {
        let document = one.closing.document.as_ref()?;
        let (series, place) = series_of(document);
        Some([
            document.number.as_str().into(),
            series.into(),
            place.into(),
            one.row.account.as_str().into(),
            one.row.head.sequence.into(),
            document.issued.to_string().into(),
            serde_json::to_string(document).unwrap_or_default().into(),
        ])
    });
    rows.collect()
}

/// The series of a numbered document, and its place there.
pub(crate) fn series_of(document: &Document) -> (&str, i64) {
    let (series, place) = document.number.rsplit_once('-').unwrap_or((&document.number, ""));
    (series, place.parse().unwrap_or_default())
}

/// Computes the next boundary of every account, on as many threads as there are processors.
async fn turns(loaded: Vec<Loaded>, as_of: AsOf) -> Result<Vec<Turn>, BooksError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = loaded.len().div_ceil(threads).max(1);
    let mut computing = Vec::new();
    let mut loaded = loaded.into_iter().peekable();
    while loaded.peek().is_some() {
        let part: Vec<Loaded> = loaded.by_ref().take(share).collect();
        computing.push(tokio::task::spawn_blocking(move || {
            part.into_iter().map(|loaded| turn(loaded, as_of)).collect::<Result<Vec<_>, _>>()
        }));
    }
    let mut turns = Vec::new();
    for part in computing {
        let part = part.await.map_err(|error| DatabaseError::Query { source: error.into() })?;
        turns.extend(part?);
    }
    Ok(turns)
}

fn turn(loaded: Loaded, as_of: AsOf) -> Result<Turn, BooksError> {
    let computed = compute(&loaded, as_of);
    Ok(match computed {
        Ok(None) => Turn::Rest,
        Ok(Some((closing, next))) => {
            let id = format!("closed/{}", loaded.head.sequence + 1);
            let fact = Fact::Closed(Box::new(closing));
            let row = Row::new(&loaded.account, id, &fact, &loaded.head, loaded.usage_until)?;
            let Fact::Closed(closing) = fact else { return Ok(Turn::Rest) };
            Turn::Close(Box::new(Finished { loaded, closing: *closing, row, next }))
        }
        Err(refusal) => Turn::Park(Box::new(loaded), Box::new(refusal)),
    })
}

/// What closing the next boundary comes to, and when the one after it is due.
fn compute(loaded: &Loaded, as_of: AsOf) -> Result<Option<(Closing, Option<Timestamp>)>, Refusal> {
    let Some(Due { boundary, at }) = due_next(&loaded.history)? else { return Ok(None) };
    let is_after = as_of.day.is_some_and(|day| boundary.date() > day);
    if is_after || at > as_of.instant {
        return Ok(None);
    }
    let closing = run(&loaded.history, loaded.counted(), boundary)?;
    let mut after = loaded.history.clone();
    after.apply(Fact::Closed(Box::new(closing.clone())));
    Ok(Some((closing, next_due(&after)?)))
}

impl Finished {
    /// The document that was made, and the sinks that it goes to.
    fn delivered(&self) -> Option<(&str, &[String])> {
        let document = self.closing.document.as_ref()?;
        let agreement = self.loaded.history.agreement().ok()?;
        Some((&document.number, &agreement.sinks))
    }

    /// The account as it is once this is kept.
    fn taken(self, summary: &mut Summary) -> Loaded {
        let Self { mut loaded, closing, row, next } = self;
        summary.closed += 1;
        summary.documents.extend(closing.document.clone());
        loaded.take(Fact::Closed(Box::new(closing)), Head { ..row.head });
        loaded.standing.next_due = next;
        loaded
    }
}
