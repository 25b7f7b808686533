//! `tenantry history`: what the journal has of a subscription, its end included. Needs the database.

use super::Outcome;
use super::database::History;
use super::output::Format;
use super::table::table;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tenantry_checklist::time;
use tenantry_journal::Entry;

/// Arguments of `tenantry history`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    history: History,
    /// How to print it; wide shows the evidence.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let entries = without_contents(&arguments.history.read().await?);
    arguments.output.print(&entries, |wide| history(&entries, wide))?;
    if entries.is_empty() {
        eprintln!("the journal has nothing under this name");
        return Ok(Outcome::Bad);
    }
    Ok(Outcome::Good)
}

/// The entries without what stands in documents, which `tenantry handover` writes.
pub(super) fn without_contents(entries: &[Entry]) -> Vec<Entry> {
    let mut entries = entries.to_vec();
    for entry in &mut entries {
        let Ok(Value::Object(mut evidence)) = serde_json::from_str(&entry.evidence) else { continue };
        if evidence.remove("content").is_some() {
            entry.evidence = Value::Object(evidence).to_string();
        }
    }
    entries
}

const HEADER: [&str; 9] =
    ["WHEN", "TENANT", "WHAT", "OUTCOME", "WORKED", "WAITED", "ATTEMPTS", "BY", "EVIDENCE"];

/// The entries as lines of aligned columns; the evidence only if it is asked for.
fn history(entries: &[Entry], with_evidence: bool) -> String {
    let mut header = HEADER.map(str::to_owned);
    let mut rows: Vec<[String; 9]> = entries.iter().map(row).collect();
    if !with_evidence {
        let [.., evidence] = &mut header;
        evidence.clear();
        for [.., evidence] in &mut rows {
            evidence.clear();
        }
    }
    table(&header, &rows)
}

fn row(entry: &Entry) -> [String; 9] {
    let lasted = |seconds: i64| match seconds {
        0 => String::new(),
        seconds => time::length(SignedDuration::from_secs(seconds)),
    };
    let what = match (entry.subject.as_str(), entry.item.as_str()) {
        (subject, "") => subject.to_owned(),
        ("Item", item) => item.to_owned(),
        (subject, item) => format!("{item} ({})", subject.to_lowercase()),
    };
    [
        Timestamp::from_second(entry.ended_at).map(time::readable).unwrap_or_default(),
        entry.tenant.clone(),
        what,
        entry.outcome.clone(),
        lasted(entry.machine_seconds),
        lasted(entry.people_seconds),
        if entry.attempts == 0 { String::new() } else { entry.attempts.to_string() },
        entry.actor.clone(),
        entry.evidence.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(subject: &str, item: &str, outcome: &str) -> Entry {
        Entry {
            id: String::new(),
            tenant: "k7w3q9m2".to_owned(),
            subscription: "acme".to_owned(),
            uid: "u".to_owned(),
            operation: 1,
            subject: subject.to_owned(),
            item: item.to_owned(),
            outcome: outcome.to_owned(),
            plan: "gold".to_owned(),
            application: "erp".to_owned(),
            version: "erp-4.2.1".to_owned(),
            blueprint: "standard".to_owned(),
            started_at: Some(0),
            ended_at: 90,
            machine_seconds: 3,
            people_seconds: 7_200,
            attempts: 0,
            actor: "ada@acme.example".to_owned(),
            evidence: r#"{"objects":3}"#.to_owned(),
        }
    }

    #[test]
    fn a_history_reads_in_order_and_shows_evidence_when_asked() {
        let entries = [
            entry("Operation", "", "Began"),
            entry("Item", "training", "Done"),
            entry("Run", "data-trial", "Failed"),
        ];
        let text = history(&entries, false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[1].contains("Operation") && lines[2].contains("training   "), "{text}");
        assert!(lines[3].contains("data-trial (run)") && lines[3].contains("1970-01-01T00:01:30Z"), "{text}");
        assert!(lines[2].contains("3s") && lines[2].contains("2h") && !text.contains("objects"), "{text}");
        assert!(history(&entries, true).contains(r#"{"objects":3}"#));
    }
}
