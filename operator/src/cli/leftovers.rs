//! `tenantry leftovers`: what could not be removed when its tenant ended, and is not gone yet. Needs the database.

use super::Outcome;
use super::database::Location;
use super::output::Format;
use super::table::table;
use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use tenantry_checklist::exit::Leftover;
use tenantry_checklist::time;
use tenantry_journal::Entry;

/// Arguments of `tenantry leftovers`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    location: Location,
    /// How to print it; wide shows the UIDs.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// One of them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    subscription: String,
    tenant: String,
    #[serde(flatten)]
    leftover: Leftover,
    /// When the tenant ended without it.
    since: String,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let database = arguments.location.open().await?;
    let entries = database.leftovers().await?;
    database.close().await;
    let lines = entries.iter().map(line).collect::<anyhow::Result<Vec<_>>>()?;
    arguments.output.print(&lines, |wide| text(&lines, wide))?;
    Ok(if lines.is_empty() { Outcome::Good } else { Outcome::Bad })
}

fn line(entry: &Entry) -> anyhow::Result<Line> {
    let leftover = serde_json::from_str(&entry.evidence)
        .with_context(|| format!("{} cannot be read in the journal", entry.id))?;
    let since = Timestamp::from_second(entry.ended_at).map(time::readable).unwrap_or_default();
    Ok(Line { subscription: entry.subscription.clone(), tenant: entry.tenant.clone(), leftover, since })
}

fn text(lines: &[Line], wide: bool) -> String {
    let uid = if wide { "UID" } else { "" };
    let header = ["SINCE", "SUBSCRIPTION", "TENANT", "KIND", "NAMESPACE", "NAME", uid].map(str::to_owned);
    let rows: Vec<[String; 7]> = lines
        .iter()
        .map(|line| {
            let Leftover { kind, namespace, name, uid } = line.leftover.clone();
            let uid = if wide { uid } else { String::new() };
            let (subscription, tenant) = (line.subscription.clone(), line.tenant.clone());
            [line.since.clone(), subscription, tenant, kind, namespace.unwrap_or_default(), name, uid]
        })
        .collect();
    table(&header, &rows)
}
