//! What unpaid invoices lead to, and what is told of it, each once. Needs a connection.

use jiff::Timestamp;
use jiff::civil::Date;
use sqlx::AnyConnection;
use tenantry_journal::{DatabaseError, Epoch, in_time};
use tenantry_ledger::dunning::{Decision, decide};
use tenantry_ledger::history::Fact;
use tenantry_ledger::ladder::{Notice, Stage};
use tenantry_ledger::refusal::Refusal;

use crate::deliveries;
use crate::tell::{ATTEMPTS, Row, grown, log};
use crate::{Books, BooksError};

/// What follows for an account, and when to look again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dunned {
    /// How far it is taken; none in good standing.
    pub stage: Option<Stage>,
    /// What was told now.
    pub notices: Vec<Notice>,
    /// When something else may follow although nothing happens.
    pub next: Option<Timestamp>,
    /// What is open, for people.
    pub open: String,
}

impl Books {
    /// Looks at what an account owes: keeps the notices that follow from it, with a delivery of each to the sinks of its issuer, and
    /// says how far it is taken. Notices that were made before are not made again.
    ///
    /// # Errors
    /// When the database cannot be written, or somebody else writes now.
    pub async fn dun(&self, epoch: Epoch, account: &str, now: Timestamp) -> Result<Dunned, BooksError> {
        for _ in 0..ATTEMPTS {
            let Some(loaded) = self.load(account).await? else { return Ok(Dunned::default()) };
            let agreement = loaded.history.agreement()?;
            let catalogue = loaded.history.catalogue()?;
            let begin = |day: Date| {
                catalogue.zone().to_timestamp(day.at(0, 0, 0, 0)).map_err(|_| {
                    Refusal::new("date", format!("{day} is outside the calendar"), "check the clock")
                })
            };
            let today = catalogue.zone().to_datetime(now).date();
            let Decision { stage, notices, next } = decide(&loaded.history, today)?;
            let next = next.map(begin).transpose()?;
            let mut rows: Vec<Row> = Vec::with_capacity(notices.len());
            for notice in &notices {
                let head = rows.last().map_or(&loaded.head, |row| &row.head);
                let id = id(&notice.number, notice.stage);
                rows.push(Row::new(account, id, &Fact::Noticed(Box::new(notice.clone())), head, 0)?);
            }
            let keep = async |transaction: &mut AnyConnection| {
                let Some(last) = rows.last() else { return Ok(true) };
                if !grown(transaction, account, &loaded.head, &last.head).await? {
                    return Ok(false);
                }
                log(transaction, &rows.iter().collect::<Vec<_>>(), now).await?;
                deliveries::open_notices(transaction, &notices, &agreement.sinks, now).await?;
                Ok::<_, DatabaseError>(true)
            };
            if rows.is_empty() || self.database.write(epoch, keep).await? {
                let open = loaded.history.allocation().open();
                let currency = agreement.account.currency;
                let open = tenantry_ledger::money::Money { minor: open, currency }.to_string();
                return Ok(Dunned { stage, notices, next, open });
            }
        }
        Err(BooksError::Contended { account: account.to_owned() })
    }

    /// The notice of a stage that was made of an invoice.
    ///
    /// # Errors
    /// When there is none, or the database cannot be read.
    pub async fn notice(&self, number: &str, stage: Stage) -> Result<Notice, BooksError> {
        let mut connection = self.database.reader().await?;
        let query = sqlx::query_scalar(
            "SELECT ledger_log.body FROM ledger_document JOIN ledger_log ON ledger_log.account = ledger_document.account \
             WHERE number = $1 AND ledger_log.id = $2",
        );
        let query = query.bind(number.to_owned()).bind(id(number, stage));
        let body: Option<String> = in_time(query.fetch_optional(connection.raw())).await?;
        connection.give_back();
        let what = || BooksError::Unknown { what: format!("{} of {number:?}", stage.as_str()) };
        match Fact::read("Noticed", &body.ok_or_else(what)?)? {
            Fact::Noticed(notice) => Ok(*notice),
            _ => Err(what()),
        }
    }
}

fn id(number: &str, stage: Stage) -> String {
    format!("noticed/{number}/{}", stage.as_str())
}
