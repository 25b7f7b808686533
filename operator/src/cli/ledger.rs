//! `tenantry ledger`: the proof that the books are right, and a person's word on an account that is parked. Needs the database or
//! the billing address.

use super::Outcome;
use super::books::{Access, Way};
use super::leading::lead;
use super::output::Format;
use super::table::table;
use super::{client, who_am_i};
use crate::bills::{self, Found};
use crate::controller::billing::endpoint::AcceptRequest;
use crate::manifests::DEFAULT_NAMESPACE;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use tenantry_billing::Books;
use tenantry_journal::Database;
use tenantry_ledger::history::Acceptance;

/// Arguments of `tenantry ledger`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Recompute every hash, run, sum and number of the ledger.
    Verify(Verify),
    /// Let an account that is parked go on: its next run posts what it finds.
    Accept(Accept),
}

#[derive(Args, Debug)]
struct Verify {
    #[command(flatten)]
    access: Access,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Args, Debug)]
struct Accept {
    /// Name of the account; ledger verify lists those that are parked, and why.
    account: String,
    /// Why what was found is right, for those who come later; it stays in the ledger with your name.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
    #[command(flatten)]
    access: Access,
    /// Namespace of the controller, whose lease is taken where no controller leads.
    #[arg(long, env = "TENANTRY_NAMESPACE", default_value = DEFAULT_NAMESPACE)]
    namespace: String,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    match &arguments.command {
        Command::Verify(arguments) => verify(arguments).await,
        Command::Accept(arguments) => accept(arguments).await,
    }
}

async fn verify(arguments: &Verify) -> anyhow::Result<Outcome> {
    let here = async |database: &Database| Ok(bills::verify(database).await?);
    let found: Found = arguments.access.ask("/v1/ledger/verification", here).await?;
    arguments.output.print(&found, |_| text(&found))?;
    Ok(if found.is_good() { Outcome::Good } else { Outcome::Bad })
}

async fn accept(arguments: &Accept) -> anyhow::Result<Outcome> {
    let Accept { account, reason, access, namespace } = arguments;
    match access.way().await? {
        Way::Server(server) => {
            let path = format!("/v1/accounts/{account}/acceptances");
            let _said: Acceptance = server.post(&path, &AcceptRequest { reason: reason.clone() }).await?;
        }
        Way::Database(url) => {
            let acceptance = Acceptance { by: who_am_i(client().await?).await?, reason: reason.clone() };
            lead(namespace, &url, async |database, epoch| {
                let books = Books::new(database.clone());
                Ok(books.accept(epoch, account, &acceptance, Timestamp::now()).await?)
            })
            .await?;
        }
    }
    println!("account {account} goes on; its next run posts what it finds");
    Ok(Outcome::Good)
}

fn text(found: &Found) -> String {
    let Found {
        accounts,
        facts,
        runs_recomputed,
        runs_not_recomputed,
        postings,
        documents,
        payments,
        hash,
        faults,
        parked,
        untold,
    } = found;
    let mut text = format!(
        "{accounts} accounts, {facts} facts with their hashes, {runs_recomputed} runs recomputed, {runs_not_recomputed} not \
         (other rules), {postings} postings, {documents} documents, {payments} payments\nhash {hash}\n"
    );
    if faults.is_empty() {
        text.push_str("everything is as it must be\n");
    } else {
        text.push_str(&table(&["OF", "FAULT"].map(str::to_owned), faults));
    }
    if *untold > 0 {
        text.push_str(&format!("{untold} records are still to be written for tenants\n"));
    }
    if !parked.is_empty() {
        text.push_str(&table(&["PARKED", "WHY"].map(str::to_owned), parked));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenantry_billing::{Fault, Verdict};

    #[test]
    fn what_is_wrong_is_said_and_so_is_that_nothing_is() {
        let sound = Verdict { accounts: 2, recomputed: 7, not_recomputed: 1, ..Verdict::default() };
        let said = text(&Found::new(sound.clone(), Vec::new(), 0));
        assert!(said.contains("7 runs recomputed, 1 not"), "{said}");
        assert!(said.contains("everything is as it must be") && !said.contains("records"), "{said}");
        let fault = Fault { of: "acme".to_owned(), what: "the log does not end where it should".to_owned() };
        let damaged = Verdict { faults: vec![fault], ..sound };
        let said = text(&Found::new(damaged, vec![("other".to_owned(), "a breaker".to_owned())], 3));
        assert!(said.contains("3 records are still to be written"), "{said}");
        assert!(
            said.contains("acme   the log does not end") && said.contains("other    a breaker"),
            "{said}"
        );
    }
}
