//! `tenantry deliveries`: which documents other systems have, and sending one again. Needs the billing address, or the database; to
//! send again, with the database, a cluster in which nobody leads.

use super::Outcome;
use super::books::{Access, Way};
use super::leading::lead;
use super::output::Format;
use super::table::table;
use super::{client, who_am_i};
use crate::controller::billing::endpoint::ResendRequest;
use crate::manifests::DEFAULT_NAMESPACE;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use tenantry_billing::{Books, Delivery, State};
use tenantry_journal::Database;

/// Arguments of `tenantry deliveries`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List what is not delivered yet, or every delivery of one document.
    List(List),
    /// Send a document to a sink once more, in the place of earlier deliveries there.
    Resend(Resend),
}

#[derive(Args, Debug)]
struct List {
    /// Number of an invoice or credit note; without it, everything that is open or failed.
    number: Option<String>,
    #[command(flatten)]
    access: Access,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Args, Debug)]
struct Resend {
    /// Number of the invoice or credit note.
    number: String,
    /// Sink, as ISSUER/NAME.
    #[arg(long)]
    sink: String,
    #[command(flatten)]
    access: Access,
    /// Namespace of the controller, whose lease is taken where no controller leads.
    #[arg(long, env = "TENANTRY_NAMESPACE", default_value = DEFAULT_NAMESPACE)]
    namespace: String,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    match &arguments.command {
        Command::List(list) => listed(list).await,
        Command::Resend(resend) => resent(resend).await,
    }
}

async fn listed(arguments: &List) -> anyhow::Result<Outcome> {
    let List { number, access, output } = arguments;
    let of = number.as_ref().map(|number| format!("?number={number}")).unwrap_or_default();
    let here =
        async |database: &Database| Ok(Books::new(database.clone()).deliveries(number.as_deref()).await?);
    let deliveries: Vec<Delivery> = access.ask(&format!("/v1/deliveries{of}"), here).await?;
    output.print(&deliveries, |_| text(&deliveries))?;
    let has_failed = deliveries.iter().any(|delivery| delivery.state == State::Failed);
    Ok(if has_failed { Outcome::Bad } else { Outcome::Good })
}

async fn resent(arguments: &Resend) -> anyhow::Result<Outcome> {
    let Resend { number, sink, access, namespace } = arguments;
    let delivery: Delivery = match access.way().await? {
        Way::Server(server) => {
            let request = ResendRequest { sink: sink.clone(), number: number.clone() };
            server.post("/v1/deliveries", &request).await?
        }
        Way::Database(url) => {
            let by = who_am_i(client().await?).await?;
            lead(namespace, &url, async |database, epoch| {
                Ok(Books::new(database.clone()).resend(epoch, sink, number, &by, Timestamp::now()).await?)
            })
            .await?
        }
    };
    println!("{number} goes to {sink} once more, as delivery {}", delivery.attempt);
    Ok(Outcome::Good)
}

fn text(deliveries: &[Delivery]) -> String {
    let header =
        ["NUMBER", "NOTICE", "SINK", "DELIVERY", "STATE", "TRIES", "NEXT", "THERE", "WHY"].map(str::to_owned);
    let rows: Vec<[String; 9]> = deliveries
        .iter()
        .map(|delivery| {
            let is_open = matches!(delivery.state, State::Pending | State::Resend);
            [
                delivery.number.clone(),
                delivery.stage.map(|stage| stage.as_str().to_owned()).unwrap_or_default(),
                delivery.sink.clone(),
                delivery.attempt.to_string(),
                delivery.state.as_str().to_owned(),
                delivery.tries.to_string(),
                if is_open { delivery.next_at.to_string() } else { String::new() },
                delivery.foreign.clone().unwrap_or_default(),
                delivery.reason.clone(),
            ]
        })
        .collect();
    if rows.is_empty() {
        return "every document is where it should be\n".to_owned();
    }
    table(&header, &rows)
}
