//! `tenantry billing`: closes what is due, and tells of payments. Needs the billing address, or the database and a cluster in which
//! nobody leads.

use super::Outcome;
use super::books::{Access, Way, reading};
use super::leading::lead;
use super::output::Format;
use super::payments;
use super::table::table;
use crate::bills;
use crate::controller::billing::endpoint::RunRequest;
use crate::manifests::DEFAULT_NAMESPACE;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use tenantry_billing::{Books, Summary};

/// Arguments of `tenantry billing`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Close every period that is due and make its documents, as the controller does by itself in time.
    Run(Run),
    /// Tell of a payment. Told again it changes nothing.
    Payment(payments::Pay),
    /// Show what an account owes, what it paid, and what it has in hand.
    Balance(payments::OfAccount),
}

#[derive(Args, Debug)]
struct Run {
    /// Up to when: the end of a day by each account's clock, such as 2027-01-31, or an instant, such as 2027-01-31T12:00:00Z.
    #[arg(long)]
    as_of: String,
    /// Compute and print the drafts, and write nothing; then it may look ahead.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    access: Access,
    /// Namespace of the controller, whose lease is taken where no controller leads.
    #[arg(long, env = "TENANTRY_NAMESPACE", default_value = DEFAULT_NAMESPACE)]
    namespace: String,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    match &arguments.command {
        Command::Run(arguments) => close(arguments).await,
        Command::Payment(arguments) => payments::pay(arguments).await,
        Command::Balance(arguments) => payments::balance(arguments).await,
    }
}

async fn close(arguments: &Run) -> anyhow::Result<Outcome> {
    let Run { as_of, dry_run, access, namespace, output } = arguments;
    let until = bills::as_of(as_of)?;
    let summary: Summary = match access.way().await? {
        Way::Server(server) => {
            let request = RunRequest { as_of: as_of.clone(), dry_run: *dry_run };
            server.post("/v1/billing-runs", &request).await?
        }
        Way::Database(url) if *dry_run => {
            reading(&url, async |database| Ok(Books::new(database.clone()).dry_run(until).await?)).await?
        }
        Way::Database(url) => {
            lead(namespace, &url, async |database, epoch| {
                Ok(bills::close(database, epoch, until, Timestamp::now()).await?)
            })
            .await?
        }
    };
    output.print(&summary, |_| text(&summary, *dry_run))?;
    Ok(if summary.parked.is_empty() { Outcome::Good } else { Outcome::Bad })
}

fn text(summary: &Summary, dry_run: bool) -> String {
    let Summary { closed, documents, parked } = summary;
    let header = ["DATE", "NUMBER", "KIND", "ACCOUNT", "NET", "TAX", "GROSS"].map(str::to_owned);
    let rows: Vec<[String; 7]> = documents
        .iter()
        .map(|document| {
            let money = |amount: &String| format!("{amount} {}", document.currency);
            [
                document.issued.to_string(),
                // A number is given when it is kept.
                if dry_run { "draft".to_owned() } else { document.number.clone() },
                format!("{:?}", document.kind),
                document.account.clone(),
                money(&document.net),
                money(&document.tax),
                money(&document.gross),
            ]
        })
        .collect();
    let mut text = table(&header, &rows);
    let would = if dry_run { "would be " } else { "" };
    text.push_str(&format!("{closed} periods {would}closed, {} documents {would}made\n", documents.len()));
    if !parked.is_empty() {
        let parked: Vec<[String; 2]> =
            parked.iter().map(|(account, reason)| [account.clone(), reason.clone()]).collect();
        text.push_str(&table(&["PARKED", "WHY"].map(str::to_owned), &parked));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_says_what_it_did_and_a_dry_one_what_it_would_do() {
        let parked = vec![("acme".to_owned(), "a breaker".to_owned())];
        let summary = Summary { closed: 2, documents: Vec::new(), parked };
        let said = text(&summary, false);
        assert!(said.contains("2 periods closed, 0 documents made"), "{said}");
        assert!(said.contains("acme     a breaker"), "{said}");
        assert!(text(&summary, true).contains("2 periods would be closed"));
    }
}
