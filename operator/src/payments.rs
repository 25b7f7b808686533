//! What accounts paid and what they owe, as commands and the endpoint answer it. Needs the database.

use serde::{Deserialize, Serialize};
use tenantry_billing::{Books, BooksError};
use tenantry_journal::Database;
use tenantry_ledger::history::History;
use tenantry_ledger::money::{Currency, Money};
use tenantry_ledger::payment::{Payment, PaymentKind};
use tenantry_ledger::refusal::Refusal;

/// What an account owes and has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Balance {
    /// Its name.
    pub(crate) account: String,
    /// In what everything is.
    pub(crate) currency: String,
    /// What is open of all invoices.
    pub(crate) open: String,
    /// What is in hand; negative where more was given back than there was.
    pub(crate) balance: String,
    /// When the oldest open invoice was or is to be paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) oldest_due: Option<String>,
    /// Every invoice that left something to pay.
    pub(crate) invoices: Vec<Invoice>,
    /// What came in and went out again, in the order in which it was received.
    pub(crate) payments: Vec<Paid>,
}

/// What is paid of an invoice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Invoice {
    pub(crate) number: String,
    pub(crate) due: String,
    pub(crate) paid: String,
    pub(crate) open: String,
}

/// A payment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Paid {
    pub(crate) received: String,
    pub(crate) kind: PaymentKind,
    pub(crate) amount: String,
    pub(crate) provider: String,
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) invoice: Option<String>,
}

/// What an account owes and has.
///
/// # Errors
/// When there is no such account, or the database cannot be read.
pub(crate) async fn balance(database: &Database, account: &str) -> Result<Balance, BooksError> {
    let unknown = || BooksError::Unknown { what: format!("account {account:?}") };
    let loaded = Books::new(database.clone()).load(account).await?.ok_or_else(unknown)?;
    Ok(of(account, &loaded.history)?)
}

fn of(account: &str, history: &History) -> Result<Balance, Refusal> {
    let currency = history.agreement()?.account.currency;
    let allocation = history.allocation();
    Ok(Balance {
        account: account.to_owned(),
        currency: currency.to_string(),
        open: money(allocation.open(), currency),
        balance: money(allocation.balance, currency),
        oldest_due: allocation.oldest_due().map(|due| due.to_string()),
        invoices: allocation
            .invoices
            .iter()
            .map(|invoice| Invoice {
                number: invoice.number.clone(),
                due: invoice.due.to_string(),
                paid: money(invoice.claimed - invoice.open, currency),
                open: money(invoice.open, currency),
            })
            .collect(),
        payments: history.payments().map(paid).collect(),
    })
}

/// A payment as it is shown; what went out is negative.
pub(crate) fn paid(payment: &Payment) -> Paid {
    Paid {
        received: payment.received.to_string(),
        kind: payment.kind,
        amount: money(payment.signed(), payment.amount.currency),
        provider: payment.provider.clone(),
        id: payment.id.clone(),
        invoice: payment.invoice.clone(),
    }
}

fn money(minor: i64, currency: Currency) -> String {
    Money { minor, currency }.decimal()
}
