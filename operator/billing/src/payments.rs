//! Payments, as they are told. Needs a connection.
//!
//! Who tells of a payment tells of it as often as he likes and in any order: it is kept once, as a fact of its account's log and in a
//! table that finds it by what its provider calls it, both in one transaction.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;
use tenantry_journal::{DatabaseError, Epoch};
use tenantry_ledger::document::Document;
use tenantry_ledger::history::Fact;
use tenantry_ledger::invoice::DocumentKind;
use tenantry_ledger::payment::{Payment, ToldPayment};
use tenantry_ledger::refusal::Refusal;

use crate::batch::insert;
use crate::books::{Head, Loaded};
use crate::tell::{ATTEMPTS, Row, grown, log};
use crate::{Books, BooksError};

/// What became of a payment that was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recorded {
    /// The account that it is for.
    pub account: String,
    /// Whether it was not known before.
    pub is_new: bool,
    /// The payment as it is kept.
    #[serde(flatten)]
    pub payment: Payment,
}

/// Facts that are to be kept of one account.
struct Written {
    account: String,
    from: Head,
    rows: Vec<(Row, Payment)>,
}

impl Books {
    /// Keeps payments, all of them or none, and says of each what became of it. What was kept before changes nothing.
    ///
    /// # Errors
    /// What cannot be a payment, with its field and remedy, and another payment under an id that its provider used before; when
    /// the database cannot be written, or somebody else writes now.
    pub async fn pay(
        &self,
        epoch: Epoch,
        told: &[ToldPayment],
        now: Timestamp,
    ) -> Result<Vec<Recorded>, BooksError> {
        for _ in 0..ATTEMPTS {
            let (recorded, written) = self.read_payments(told, now).await?;
            if written.is_empty()
                || self.database.write(epoch, async |it| keep(it, &written, now).await).await?
            {
                return Ok(recorded);
            }
        }
        let accounts: Vec<&str> = told.iter().map(|one| one.account.as_str()).collect();
        Err(BooksError::Contended { account: accounts.join(", ") })
    }

    async fn read_payments(
        &self,
        told: &[ToldPayment],
        now: Timestamp,
    ) -> Result<(Vec<Recorded>, Vec<Written>), BooksError> {
        let mut accounts: BTreeMap<String, Loaded> = BTreeMap::new();
        let mut recorded: Vec<Recorded> = Vec::with_capacity(told.len());
        let mut written: BTreeMap<String, Written> = BTreeMap::new();
        for (index, one) in told.iter().enumerate() {
            let within = |refusal: Refusal| BooksError::from(refusal.within(&format!("payments[{index}]")));
            let known = self.payment_of(&one.provider, &one.id).await?;
            for account in known.iter().chain([&one.account]) {
                if accounts.contains_key(account) {
                    continue;
                }
                let unknown = || {
                    let remedy =
                        "name an account that was billed; list them with kubectl get billingaccounts";
                    within(Refusal::new("account", format!("the ledger has no account {account:?}"), remedy))
                };
                let loaded = self.load(account).await?.ok_or_else(unknown)?;
                accounts.insert(account.clone(), loaded);
            }
            let before = recorded.iter().find(|it| it.is_new && is_of(&it.payment, one));
            let before = before.map(|it| (it.account.as_str(), &it.payment)).or_else(|| {
                let account = known.as_ref()?;
                Some((account.as_str(), accounts.get(account)?.history.payment(&one.provider, &one.id)?))
            });
            let Some(loaded) = accounts.get(&one.account) else { continue };
            let agreement = loaded.history.agreement()?;
            let zone = loaded.history.catalogue()?.zone().clone();
            let payment = one.read(agreement.account.currency, &zone, now).map_err(within)?;
            let (payment, is_new) = match before {
                Some((account, before)) => {
                    before.repeats(account, one, &payment).map_err(within)?;
                    (before.clone(), false)
                }
                None => {
                    agreement.is_told_by(&one.provider).map_err(within)?;
                    self.is_invoice_of(one).await.map_err(|error| match error {
                        BooksError::Refused(refusal) => within(*refusal),
                        error => error,
                    })?;
                    (payment, true)
                }
            };
            if is_new {
                let written = written.entry(one.account.clone()).or_insert_with(|| Written {
                    account: one.account.clone(),
                    from: loaded.head.clone(),
                    rows: Vec::new(),
                });
                let head = written.rows.last().map_or(&written.from, |(row, _)| &row.head);
                let id = format!("paid/{}/{}", payment.provider, payment.id);
                let row = Row::new(&one.account, id, &Fact::Paid(payment.clone()), head, 0)?;
                written.rows.push((row, payment.clone()));
            }
            recorded.push(Recorded { account: one.account.clone(), is_new, payment });
        }
        Ok((recorded, written.into_values().collect()))
    }

    /// The account that has a payment.
    async fn payment_of(&self, provider: &str, id: &str) -> Result<Option<String>, BooksError> {
        let mut connection = self.database.reader().await?;
        let account = tenantry_journal::in_time(account_of(connection.raw(), provider, id)).await?;
        connection.give_back();
        Ok(account)
    }

    /// Refuses a payment of an invoice that the account does not have.
    async fn is_invoice_of(&self, told: &ToldPayment) -> Result<(), BooksError> {
        let Some(number) = &told.invoice else { return Ok(()) };
        let refused = |reason: String| {
            let remedy = "name an invoice of the account, or none: then the one that is due first is paid";
            Err(Refusal::new("invoice", reason, remedy).into())
        };
        match self.document(number).await {
            Ok(Document { account, kind: DocumentKind::Invoice, .. }) if account == told.account => Ok(()),
            Ok(Document { account, .. }) if account != told.account => {
                refused(format!("{number} is not of account {}", told.account))
            }
            Ok(_) => refused(format!("{number} is a credit note")),
            Err(BooksError::Unknown { .. }) => refused(format!("there is no invoice {number}")),
            Err(error) => Err(error),
        }
    }
}

fn is_of(payment: &Payment, told: &ToldPayment) -> bool {
    payment.provider == told.provider && payment.id == told.id
}

async fn account_of(
    connection: &mut AnyConnection,
    provider: &str,
    id: &str,
) -> Result<Option<String>, DatabaseError> {
    let query = sqlx::query_scalar("SELECT account FROM ledger_payment WHERE provider = $1 AND id = $2");
    let query = query.bind(provider.replace('\0', "\u{fffd}")).bind(id.replace('\0', "\u{fffd}"));
    Ok(query.fetch_optional(connection).await?)
}

/// Writes payments under the fence; whether every log was still as it was read, and nobody had told of them meanwhile. Nothing was
/// written otherwise.
async fn keep(
    transaction: &mut AnyConnection,
    written: &[Written],
    now: Timestamp,
) -> Result<bool, DatabaseError> {
    for payment in written.iter().flat_map(|one| &one.rows).map(|(_, payment)| payment) {
        if account_of(transaction, &payment.provider, &payment.id).await?.is_some() {
            return Ok(false);
        }
    }
    for Written { account, from, .. } in written {
        let is_there = sqlx::query_scalar::<_, i64>(
            "SELECT COUNT(*) FROM ledger_state WHERE account = $1 AND sequence = $2 AND hash = $3",
        );
        let is_there = is_there.bind(account.clone()).bind(from.sequence).bind(from.hash.clone());
        if is_there.fetch_one(&mut *transaction).await? != 1 {
            return Ok(false);
        }
    }
    for Written { account, from, rows } in written {
        let Some((last, _)) = rows.last() else { continue };
        grown(transaction, account, from, &last.head).await?;
    }
    let all = || written.iter().flat_map(|one| &one.rows);
    log(transaction, &all().map(|(row, _)| row).collect::<Vec<_>>(), now).await?;
    let rows = all().map(|(row, payment)| {
        [
            payment.provider.as_str().into(),
            payment.id.as_str().into(),
            row.account.as_str().into(),
            row.head.sequence.into(),
            payment.signed().into(),
        ]
    });
    let columns = ["provider", "id", "account", "sequence", "minor"];
    insert(transaction, "ledger_payment", columns, rows.collect()).await?;
    Ok(true)
}
