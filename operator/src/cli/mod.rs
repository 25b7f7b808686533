//! The command line: arguments in, one module a command. Commands need a client only where they say so.

mod billing;
mod board;
mod books;
mod build;
mod capacity;
mod check;
mod database;
mod deliveries;
mod describe;
mod estimates;
mod exit;
mod files;
mod get;
mod handover;
mod history;
mod invoices;
mod leading;
mod ledger;
mod leftovers;
mod manifests;
mod orders;
mod output;
mod pause;
mod payments;
mod plurals;
mod preview;
mod print;
mod progress;
mod quarantined;
mod quote;
mod receipt;
mod render;
mod retry;
mod sign_off;
mod suspend;
mod table;
mod usage;
mod watch;

use crate::controller;
use anyhow::Context;
use clap::{Parser, Subcommand};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{Api, PostParams};
use std::process::ExitCode;

/// Carries customers of hosted applications from sign-up to go-live on Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "tenantry", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the operator.
    Controller(controller::Config),
    /// Check definitions and subscriptions in files, without a cluster.
    Check(check::Arguments),
    /// Print the objects that a subscription would have, without a cluster.
    Render(render::Arguments),
    /// Print what a cluster needs installed: custom resources, rights, admission policies.
    Manifests(manifests::Arguments),
    /// Pack a folder of templates into the object that is applied to a cluster.
    Build(build::Arguments),
    /// List subscriptions.
    Get(get::Arguments),
    /// Show everything about one subscription.
    Describe(describe::Arguments),
    /// Follow the checklists of subscriptions.
    Watch(watch::Arguments),
    /// Try a failed item of a subscription again.
    Retry(retry::Arguments),
    /// Show every subscription, what is late and who is waited for.
    Board(board::Arguments),
    /// Show what the journal has of a subscription, also when it is gone.
    History(history::Arguments),
    /// Show how long orders were promised to take, and how long they took.
    Estimates(estimates::Arguments),
    /// Show what an order, or a changed definition, would do to tenants, before anything is done.
    Preview(preview::Arguments),
    /// Say how long an order will take before it is placed.
    Quote(quote::Arguments),
    /// Sign an item of a subscription's checklist.
    SignOff(sign_off::Arguments),
    /// Let nothing new begin for a subscription.
    Pause(pause::Arguments),
    /// Let a paused subscription go on.
    Unpause(pause::Unpause),
    /// Take a tenant's service away, for a reason that its customer is told.
    Suspend(suspend::Arguments),
    /// Lift suspensions: give back what they took.
    Resume(suspend::Resume),
    /// Show how a subscription ends and how far that is, or cut it short.
    Exit(exit::Arguments),
    /// Write what the customer of a subscription that ended is given besides his data.
    Handover(handover::Arguments),
    /// Check the signature of a receipt and show what it says.
    Receipt(receipt::Arguments),
    /// Show what pools of servers have, who waits for them, and what is ordered for later.
    Capacity(capacity::Arguments),
    /// List what could not be removed when its tenant ended.
    Leftovers(leftovers::Arguments),
    /// List the invoices and credit notes of a subscription, also when it is gone.
    Invoices(invoices::Arguments),
    /// Show one invoice or credit note.
    Invoice(invoices::One),
    /// Show what the next invoice of a subscription would be by what is known now.
    PreviewInvoice(invoices::Next),
    /// Show what a subscription, or everybody with a plan, reserved and used, what was sold and what is left of it; or what was told and does
    /// not count.
    Usage(usage::Arguments),
    /// Write an invoice or credit note as a page, or as XML after EN 16931.
    Print(print::Arguments),
    /// Show what a billing account was billed, document by document and tenant by tenant.
    Statement(print::OfAccount),
    /// Write what was billed as rows of FOCUS 1.2, in CSV.
    Focus(print::OfTime),
    /// Show which documents other systems have, or send one again.
    Deliveries(deliveries::Arguments),
    /// Close what is due and make its invoices.
    Billing(billing::Arguments),
    /// Prove that the ledger is right, or let an account that is parked go on.
    Ledger(ledger::Arguments),
}

/// What a command that ran to its end has to say by its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Exit code 0.
    Good,
    /// Exit code 1: the command worked and what it looked at is not right.
    Bad,
}

/// Runs the program: reads the arguments, does what they say, prints an error for people.
#[must_use]
pub fn main() -> ExitCode {
    // Several libraries bring a TLS implementation of their own; the choice is made once, here.
    let _already_chosen = rustls::crypto::ring::default_provider().install_default();
    match run(Arguments::parse().command) {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::Bad) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Check(arguments) => check::run(&arguments),
        Command::Render(arguments) => render::run(&arguments),
        Command::Manifests(arguments) => manifests::run(&arguments),
        Command::Build(arguments) => build::run(&arguments),
        Command::Controller(config) => runtime()?.block_on(controller::run(config)).map(|()| Outcome::Good),
        Command::Get(arguments) => runtime()?.block_on(get::run(&arguments)),
        Command::Describe(arguments) => runtime()?.block_on(describe::run(&arguments)),
        Command::Watch(arguments) => runtime()?.block_on(watch::run(&arguments)),
        Command::Retry(arguments) => runtime()?.block_on(retry::run(&arguments)),
        Command::Board(arguments) => runtime()?.block_on(board::run(&arguments)),
        Command::History(arguments) => runtime()?.block_on(history::run(&arguments)),
        Command::Preview(arguments) => runtime()?.block_on(preview::run(&arguments)),
        Command::Quote(arguments) => runtime()?.block_on(quote::run(&arguments)),
        Command::Estimates(arguments) => runtime()?.block_on(estimates::run(&arguments)),
        Command::SignOff(arguments) => runtime()?.block_on(sign_off::run(&arguments)),
        Command::Pause(arguments) => runtime()?.block_on(pause::run(&arguments)),
        Command::Unpause(arguments) => runtime()?.block_on(pause::end(&arguments)),
        Command::Suspend(arguments) => runtime()?.block_on(suspend::run(&arguments)),
        Command::Resume(arguments) => runtime()?.block_on(suspend::end(&arguments)),
        Command::Exit(arguments) => runtime()?.block_on(exit::run(&arguments)),
        Command::Handover(arguments) => runtime()?.block_on(handover::run(&arguments)),
        Command::Receipt(arguments) => receipt::run(&arguments),
        Command::Capacity(arguments) => runtime()?.block_on(capacity::run(&arguments)),
        Command::Leftovers(arguments) => runtime()?.block_on(leftovers::run(&arguments)),
        Command::Invoices(arguments) => runtime()?.block_on(invoices::run(&arguments)),
        Command::Invoice(arguments) => runtime()?.block_on(invoices::one(&arguments)),
        Command::PreviewInvoice(arguments) => runtime()?.block_on(invoices::next(&arguments)),
        Command::Usage(arguments) => runtime()?.block_on(usage::run(&arguments)),
        Command::Print(arguments) => runtime()?.block_on(print::run(&arguments)),
        Command::Statement(arguments) => runtime()?.block_on(print::of_account(&arguments)),
        Command::Focus(arguments) => runtime()?.block_on(print::of_time(&arguments)),
        Command::Deliveries(arguments) => runtime()?.block_on(deliveries::run(&arguments)),
        Command::Billing(arguments) => runtime()?.block_on(billing::run(&arguments)),
        Command::Ledger(arguments) => runtime()?.block_on(ledger::run(&arguments)),
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    // Two threads: the controller waits for the API server nearly all the time.
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// A client by the usual rules: kubeconfig of the environment, else the service account of the pod.
async fn client() -> anyhow::Result<kube::Client> {
    kube::Client::try_default().await.map_err(|error| {
        anyhow::anyhow!("cannot find a cluster: {error}; set KUBECONFIG or run inside a cluster")
    })
}

/// Text for people about a failed request.
fn explain(error: kube::Error, what: &str) -> anyhow::Error {
    match error {
        kube::Error::Api(status) => anyhow::anyhow!("{what}: {}", status.message),
        other => anyhow::anyhow!("{what}: {other}"),
    }
}

/// The caller's name, as the API server knows it.
async fn who_am_i(client: kube::Client) -> anyhow::Result<String> {
    let api: Api<SelfSubjectReview> = Api::all(client);
    let review = api
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await
        .map_err(|e| explain(e, "cannot ask who you are"))?;
    let user = review.status.and_then(|status| status.user_info).and_then(|user| user.username);
    user.context("the API server does not say who you are")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// Two flags of one name show only when somebody runs the command.
    #[test]
    fn no_command_contradicts_itself() {
        Arguments::command().debug_assert();
    }
}
