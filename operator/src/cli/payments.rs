//! `tenantry billing payment` and `tenantry billing balance`: what was paid. Needs the billing address or the database; to tell of a
//! payment, with the database, a cluster in which nobody leads.

use super::Outcome;
use super::books::{Access, Way};
use super::leading::lead;
use super::output::Format;
use super::table::table;
use crate::controller::billing::endpoint::PayRequest;
use crate::manifests::DEFAULT_NAMESPACE;
use crate::payments::{self, Balance, paid};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use tenantry_billing::{Books, Recorded};
use tenantry_journal::Database;
use tenantry_ledger::payment::{PaymentKind, ToldPayment};

/// Arguments of `tenantry billing payment`.
#[derive(Args, Debug)]
pub(super) struct Pay {
    /// Name of the billing account.
    #[arg(long)]
    account: String,
    /// How much, such as 119.00; above zero whichever way it went.
    #[arg(long)]
    amount: String,
    /// Currency, as a code of ISO 4217.
    #[arg(long)]
    currency: String,
    /// By which the provider knows the payment; told again, it changes nothing.
    #[arg(long)]
    id: String,
    /// Who tells of it, such as bank.
    #[arg(long)]
    provider: String,
    /// Which way it went.
    #[arg(long, value_enum, default_value_t = Kind::Payment)]
    kind: Kind,
    /// Invoice that it was meant for; the one that is due first without it.
    #[arg(long)]
    invoice: Option<String>,
    /// When it was received: a day by the account's clock, such as 2027-01-31, or an instant; now without it.
    #[arg(long)]
    received: Option<String>,
    #[command(flatten)]
    access: Access,
    /// Namespace of the controller, whose lease is taken where no controller leads.
    #[arg(long, env = "TENANTRY_NAMESPACE", default_value = DEFAULT_NAMESPACE)]
    namespace: String,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Which way money went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// It came in.
    Payment,
    /// It was given back by the seller.
    Refund,
    /// It was taken back by who paid, or by a bank.
    Chargeback,
}

/// Arguments of `tenantry billing balance`.
#[derive(Args, Debug)]
pub(super) struct OfAccount {
    /// Name of the billing account.
    account: String,
    #[command(flatten)]
    access: Access,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

pub(super) async fn pay(arguments: &Pay) -> anyhow::Result<Outcome> {
    let payments = vec![told(arguments)];
    let recorded: Vec<Recorded> = match arguments.access.way().await? {
        Way::Server(server) => server.post("/v1/payments", &PayRequest { payments }).await?,
        Way::Database(url) => {
            lead(&arguments.namespace, &url, async |database, epoch| {
                Ok(Books::new(database.clone()).pay(epoch, &payments, Timestamp::now()).await?)
            })
            .await?
        }
    };
    arguments.output.print(&recorded, |_| said(&recorded))?;
    Ok(Outcome::Good)
}

pub(super) async fn balance(arguments: &OfAccount) -> anyhow::Result<Outcome> {
    let OfAccount { account, access, output } = arguments;
    let here = async |database: &Database| Ok(payments::balance(database, account).await?);
    let balance: Balance = access.ask(&format!("/v1/accounts/{account}/balance"), here).await?;
    output.print(&balance, |_| shown(&balance))?;
    Ok(Outcome::Good)
}

fn told(arguments: &Pay) -> ToldPayment {
    let Pay { account, amount, currency, id, provider, kind, invoice, received, .. } = arguments;
    ToldPayment {
        account: account.clone(),
        amount: amount.clone(),
        currency: currency.clone(),
        provider: provider.clone(),
        id: id.clone(),
        kind: match kind {
            Kind::Payment => PaymentKind::Payment,
            Kind::Refund => PaymentKind::Refund,
            Kind::Chargeback => PaymentKind::Chargeback,
        },
        invoice: invoice.clone(),
        received: received.clone(),
    }
}

fn said(recorded: &[Recorded]) -> String {
    let line = |one: &Recorded| {
        let payment = paid(&one.payment);
        let was = if one.is_new { "is recorded" } else { "was recorded before" };
        let currency = one.payment.amount.currency;
        format!(
            "{} {} of {} {} {currency} {was}\n",
            payment.provider, payment.id, one.account, payment.amount
        )
    };
    recorded.iter().map(line).collect()
}

fn shown(balance: &Balance) -> String {
    let Balance { account, currency, open, balance, oldest_due, invoices, payments } = balance;
    let mut text = format!("{account} owes {open} {currency} and has {balance} {currency} in hand\n");
    if let Some(due) = oldest_due {
        text.push_str(&format!("the oldest open invoice is due on {due}\n"));
    }
    if !invoices.is_empty() {
        let rows: Vec<[String; 4]> = invoices
            .iter()
            .map(|one| [one.number.clone(), one.due.clone(), one.paid.clone(), one.open.clone()])
            .collect();
        text.push_str(&table(&["INVOICE", "DUE", "PAID", "OPEN"].map(str::to_owned), &rows));
    }
    if !payments.is_empty() {
        let rows: Vec<[String; 6]> = payments
            .iter()
            .map(|one| {
                [
                    one.received.clone(),
                    format!("{:?}", one.kind),
                    one.amount.clone(),
                    one.provider.clone(),
                    one.id.clone(),
                    one.invoice.clone().unwrap_or_default(),
                ]
            })
            .collect();
        let header = ["RECEIVED", "KIND", "AMOUNT", "PROVIDER", "ID", "FOR"].map(str::to_owned);
        text.push_str(&table(&header, &rows));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_owed_and_what_was_paid_is_shown() {
        let balance: Balance = serde_json::from_value(json!({
            "account": "acme", "currency": "EUR", "open": "20.00", "balance": "0.00", "oldestDue": "2027-02-28",
            "invoices": [{"number": "INV-001-001", "due": "2027-02-28", "paid": "99.00", "open": "20.00"}],
            "payments": [{"received": "2027-02-01T00:00:00Z", "kind": "Payment", "amount": "99.00", "provider": "bank", "id": "7"}],
        }))
        .unwrap();
        let said = shown(&balance);
        assert!(said.starts_with("acme owes 20.00 EUR and has 0.00 EUR in hand\nthe oldest"), "{said}");
        assert!(said.contains("INV-001-001   2027-02-28   99.00   20.00"), "{said}");
        assert!(said.contains("Payment   99.00    bank       7"), "{said}");
    }

    #[test]
    fn a_repeat_is_said_to_be_one() {
        let recorded: Vec<Recorded> = serde_json::from_value(json!([{
            "account": "acme", "isNew": false, "provider": "bank", "id": "7", "kind": "Chargeback",
            "amount": {"minor": 9900, "currency": "EUR"}, "received": "2027-02-01T00:00:00Z",
        }]))
        .unwrap();
        assert_eq!(said(&recorded), "bank 7 of acme -99.00 EUR was recorded before\n");
    }
}
