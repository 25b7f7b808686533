//! `tenantry ledger verify`: the proof that the books are right. Needs the database.

use super::Outcome;
use super::database::Location;
use super::output::Format;
use super::table::table;
use clap::{Args, Subcommand};
use serde::Serialize;
use tenantry_billing::{Books, RECORDS, Verdict};

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
}

#[derive(Args, Debug)]
struct Verify {
    #[command(flatten)]
    location: Location,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// What was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    accounts: usize,
    facts: usize,
    runs_recomputed: usize,
    runs_not_recomputed: usize,
    postings: usize,
    documents: usize,
    hash: String,
    /// What is not as it must be, each with whose it is.
    faults: Vec<[String; 2]>,
    /// Accounts that wait for a person, each with the reason.
    parked: Vec<[String; 2]>,
    /// Records that are still to be written for tenants.
    untold: i64,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let Command::Verify(Verify { location, output }) = &arguments.command;
    let database = location.open().await?;
    let books = Books::new(database.clone());
    let verdict = books.verify().await?;
    let parked = books.parked().await?;
    let untold = books.untold(RECORDS).await?;
    database.close().await;
    let is_good = verdict.is_sound() && parked.is_empty();
    let found = Found::new(verdict, parked, untold);
    output.print(&found, |_| text(&found))?;
    Ok(if is_good { Outcome::Good } else { Outcome::Bad })
}

impl Found {
    fn new(verdict: Verdict, parked: Vec<(String, String)>, untold: i64) -> Self {
        let Verdict { accounts, facts, recomputed, not_recomputed, postings, documents, faults, hash } =
            verdict;
        Self {
            accounts,
            facts,
            runs_recomputed: recomputed,
            runs_not_recomputed: not_recomputed,
            postings,
            documents,
            hash,
            faults: faults.into_iter().map(|fault| [fault.of, fault.what]).collect(),
            parked: parked.into_iter().map(|(account, reason)| [account, reason]).collect(),
            untold,
        }
    }
}

fn text(found: &Found) -> String {
    let Found {
        accounts,
        facts,
        runs_recomputed,
        runs_not_recomputed,
        postings,
        documents,
        hash,
        faults,
        parked,
        untold,
    } = found;
    let mut text = format!(
        "{accounts} accounts, {facts} facts with their hashes, {runs_recomputed} runs recomputed, {runs_not_recomputed} not \
         (other rules), {postings} postings, {documents} documents\nhash {hash}\n"
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
    use tenantry_billing::Fault;

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
