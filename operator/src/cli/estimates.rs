//! `tenantry estimates`: how good the promises were. Needs the database.

use super::Outcome;
use super::database::Location;
use super::output::Format;
use super::table::table;
use clap::Args;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tenantry_checklist::learned::{ENOUGH, MOST, Similar, percentile};
use tenantry_checklist::time;
use tenantry_journal::{Entry, Sample};

/// Operations that are looked at.
const OPERATIONS: i64 = 5_000;

/// Arguments of `tenantry estimates`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    location: Location,
    /// How to print it; wide shows each item besides.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// What was promised to similar orders, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    #[serde(flatten)]
    similar: Similar,
    /// Orders that were carried to their end.
    orders: usize,
    /// Seconds of the machines' work that were promised, in the middle.
    promised_machine_seconds: i64,
    /// Seconds that it took, in the middle.
    machine_seconds: i64,
    /// Seconds that nine of ten did not exceed.
    machine_seconds_nine_of_ten: i64,
    /// Seconds for which people were expected to be waited for, in the middle.
    promised_people_seconds: i64,
    /// Seconds for which they were.
    people_seconds: i64,
    /// Percent of the orders whose machines' work took no longer than promised.
    kept_percent: usize,
    items: Vec<Item>,
}

/// How long one item takes in similar orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    name: String,
    samples: usize,
    machine_seconds: i64,
    machine_seconds_nine_of_ten: i64,
    people_seconds: i64,
    people_seconds_nine_of_ten: i64,
    /// Whether there are enough of them to be promised.
    counts: bool,
}

/// What an operation's evidence says of its promise.
#[derive(Debug, Default, Deserialize)]
struct Evidence {
    promise: Promised,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Promised {
    machine_seconds: i64,
    people_seconds: i64,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let database = arguments.location.open().await?;
    let operations = database.ended_operations(OPERATIONS).await?;
    let samples = database.samples(i64::try_from(MOST)?).await?;
    database.close().await;
    let rows = rows(&operations, &samples);
    arguments.output.print(&rows, |wide| estimates(&rows, wide))?;
    if rows.is_empty() {
        eprintln!("no order has been carried to its end yet");
    }
    Ok(Outcome::Good)
}

/// One row for similar orders, by their names.
fn rows(operations: &[Entry], samples: &[Sample]) -> Vec<Row> {
    let mut by: BTreeMap<Similar, Vec<(&Entry, Promised)>> = BTreeMap::new();
    for entry in operations {
        // What another version wrote otherwise says nothing of a promise.
        let Ok(Evidence { promise }) = serde_json::from_str(&entry.evidence) else { continue };
        let similar = Similar {
            application: entry.application.clone(),
            version: entry.version.clone(),
            plan: entry.plan.clone(),
        };
        by.entry(similar).or_default().push((entry, promise));
    }
    by.into_iter().map(|(similar, orders)| row(similar, &orders, samples)).collect()
}

fn row(similar: Similar, orders: &[(&Entry, Promised)], samples: &[Sample]) -> Row {
    let middle = |of: &dyn Fn(&(&Entry, Promised)) -> i64| percentile(orders.iter().map(of), 50);
    let kept = orders.iter().filter(|(entry, promised)| entry.machine_seconds <= promised.machine_seconds);
    let items = items(&similar, samples);
    Row {
        similar,
        orders: orders.len(),
        promised_machine_seconds: middle(&|(_, promised)| promised.machine_seconds),
        machine_seconds: middle(&|(entry, _)| entry.machine_seconds),
        machine_seconds_nine_of_ten: percentile(orders.iter().map(|(entry, _)| entry.machine_seconds), 90),
        promised_people_seconds: middle(&|(_, promised)| promised.people_seconds),
        people_seconds: middle(&|(entry, _)| entry.people_seconds),
        kept_percent: kept.count() * 100 / orders.len().max(1),
        items,
    }
}

fn items(similar: &Similar, samples: &[Sample]) -> Vec<Item> {
    let is_similar = |sample: &&Sample| {
        (&sample.application, &sample.version, &sample.plan)
            == (&similar.application, &similar.version, &similar.plan)
    };
    let mut by: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
    for sample in samples.iter().filter(is_similar) {
        by.entry(&sample.item).or_default().push(sample);
    }
    let item = |(name, samples): (&str, Vec<&Sample>)| {
        let machine = |percent| percentile(samples.iter().map(|sample| sample.machine_seconds), percent);
        let people = |percent| percentile(samples.iter().map(|sample| sample.people_seconds), percent);
        Item {
            name: name.to_owned(),
            samples: samples.len(),
            machine_seconds: machine(50),
            machine_seconds_nine_of_ten: machine(90),
            people_seconds: people(50),
            people_seconds_nine_of_ten: people(90),
            counts: samples.len() >= ENOUGH,
        }
    };
    by.into_iter().map(item).collect()
}

const HEADER: [&str; 10] =
    ["APPLICATION", "VERSION", "PLAN", "ITEM", "ORDERS", "PROMISED", "TOOK", "9 OF 10", "WAITED", "KEPT"];

/// The rows as lines of aligned columns; each item below its orders if it is asked for.
fn estimates(rows: &[Row], with_items: bool) -> String {
    let length = |seconds: i64| time::length(SignedDuration::from_secs(seconds));
    let mut lines: Vec<[String; 10]> = Vec::new();
    for row in rows {
        let Similar { application, version, plan } = &row.similar;
        lines.push([
            application.clone(),
            version.clone(),
            plan.clone(),
            String::new(),
            row.orders.to_string(),
            length(row.promised_machine_seconds),
            length(row.machine_seconds),
            length(row.machine_seconds_nine_of_ten),
            length(row.people_seconds),
            format!("{} %", row.kept_percent),
        ]);
        for item in row.items.iter().filter(|_| with_items) {
            let mut line = <[String; 10]>::default();
            let [_, _, _, name, samples, promised, took, nine_of_ten, waited, _] = &mut line;
            *name = item.name.clone();
            *samples = item.samples.to_string();
            *promised = if item.counts { length(item.machine_seconds) } else { String::new() };
            *took = length(item.machine_seconds);
            *nine_of_ten = length(item.machine_seconds_nine_of_ten);
            *waited = length(item.people_seconds);
            lines.push(line);
        }
    }
    table(&HEADER.map(str::to_owned), &lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(plan: &str, promised: i64, took: i64) -> Entry {
        Entry {
            id: String::new(),
            tenant: String::new(),
            subscription: String::new(),
            uid: String::new(),
            operation: 1,
            subject: "Operation".to_owned(),
            item: String::new(),
            outcome: "Completed".to_owned(),
            plan: plan.to_owned(),
            application: "erp".to_owned(),
            version: "erp-4".to_owned(),
            blueprint: "standard".to_owned(),
            started_at: None,
            ended_at: 0,
            machine_seconds: took,
            people_seconds: 0,
            attempts: 0,
            actor: String::new(),
            evidence: format!(
                r#"{{"promise":{{"machineSeconds":{promised},"peopleSeconds":60,"completion":"x"}}}}"#
            ),
        }
    }

    fn sample(item: &str, machine_seconds: i64) -> Sample {
        Sample {
            application: "erp".to_owned(),
            version: "erp-4".to_owned(),
            plan: "gold".to_owned(),
            item: item.to_owned(),
            machine_seconds,
            people_seconds: 0,
        }
    }

    #[test]
    fn promises_are_compared_with_what_came_of_them() {
        let unreadable = Entry { evidence: "{}".to_owned(), ..operation("gold", 1, 1) };
        let operations = [
            operation("gold", 10, 8),
            operation("gold", 10, 12),
            operation("gold", 10, 9),
            operation("silver", 5, 5),
            unreadable,
        ];
        let found = rows(&operations, &[sample("network", 2), sample("network", 4)]);
        assert_eq!(found.iter().map(|row| row.orders).collect::<Vec<_>>(), [3, 1]);
        let gold = &found[0];
        assert_eq!(
            (gold.promised_machine_seconds, gold.machine_seconds, gold.machine_seconds_nine_of_ten),
            (10, 9, 12)
        );
        assert_eq!((gold.kept_percent, gold.promised_people_seconds, found[1].kept_percent), (66, 60, 100));
        assert_eq!((gold.items.len(), gold.items[0].samples, gold.items[0].counts), (1, 2, false));
        let text = estimates(&found, true);
        assert!(text.contains("66 %") && text.contains("network"), "{text}");
        assert!(!estimates(&found, false).contains("network"));
    }
}
