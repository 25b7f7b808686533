//! The page for people: tables and charts in one file that needs nothing from elsewhere. Pure.

use super::svg::{Bar, chart, escape, number};
use super::{Figure, Report, summary};
use crate::measure::statistics::{Summary, median};
use crate::session::Record;
use crate::workload::Workload;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#222}\
table{border-collapse:collapse;margin:1rem 0;font-size:13px}th,td{border-bottom:1px solid #ddd;padding:.3rem .6rem;\
text-align:right;white-space:nowrap}th:first-child,td:first-child{text-align:left}small{color:#666}\
svg{width:100%;max-width:720px;margin:1rem 0}svg text{font:12px system-ui,sans-serif}svg .title{font-weight:bold}";

/// Columns of the table of workloads.
const COLUMNS: [(&str, Figure); 7] = [
    ("objects/s", Figure::ObjectsPerSecond),
    ("of blast", Figure::RatioToBlast),
    ("p50 ms", Figure::P50),
    ("p99 ms", Figure::P99),
    ("CPU s", Figure::Cpu),
    ("CPU s, control plane", Figure::ControlPlaneCpu),
    ("peak RSS MiB", Figure::Memory),
];

/// Charts by workload.
const CHARTS: [(&str, Figure, &str); 4] = [
    ("W1", Figure::P99, "ms"),
    ("W2", Figure::ObjectsPerSecond, "objects/s"),
    ("W2", Figure::Cpu, "CPU s"),
    ("W2", Figure::Memory, "MiB"),
];

pub(super) fn page(report: &Report, record: &Record) -> String {
    let machine = &report.machine;
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Tenantry benchmark</title>\
         <style>{STYLE}</style></head><body>\n<h1>Tenantry benchmark</h1>\n\
         <p>{}, {} cores, {} MiB, Linux {}. Kubernetes {}, etcd {}. Began {}, load {}.</p>\n\
         <p>Numbers are medians, with smallest and largest run and the 95 % interval of the median (bootstrap) below them. \
         <em>of blast</em> is the share of what the same bytes reached without any logic in the same turn. What lies between \
         a contender and its second run of a turn (<em>again</em>) is noise.</p>\n",
        escape(&machine.processor),
        machine.cores,
        machine.memory_mib,
        escape(&machine.kernel),
        machine.kubernetes,
        machine.etcd,
        escape(&machine.began),
        machine.load_at_start,
    );
    blast(&mut page, report);
    for workload in workloads(report) {
        section(&mut page, report, record, &workload);
    }
    page.push_str("</body></html>\n");
    page
}

fn blast(page: &mut String, report: &Report) {
    page.push_str(
        "<h2>Blast: the raw limit</h2>\n<table><tr><th>profile, mode</th><th>objects/s</th>\
                   <th>in flight</th><th>p50 ms</th><th>p99 ms</th><th>series</th></tr>\n",
    );
    let mut bars = Vec::new();
    for ((profile, modes), series) in report.blast.iter().zip(0..) {
        for (mode, limit) in modes {
            let label = format!("{profile} {mode}");
            let cells = [
                number(limit.objects_per_second),
                limit.in_flight.to_string(),
                number(limit.p50_ms),
                number(limit.p99_ms),
                limit.repetitions.to_string(),
            ];
            row(page, &label, &cells);
            bars.push(Bar { label, series, value: limit.objects_per_second, spread: None });
        }
    }
    page.push_str("</table>\n");
    page.push_str(&chart("Raw limit", "objects/s", &bars));
}

fn section(page: &mut String, report: &Report, record: &Record, workload: &str) {
    let plain = workload.split('-').next().unwrap_or_default();
    let title = Workload::ALL.iter().find(|one| one.to_string() == plain).map_or("", |one| one.title());
    let heads: String = COLUMNS.iter().map(|(name, _)| format!("<th>{name}</th>")).collect();
    // Writing to a String cannot fail.
    let _ = writeln!(
        page,
        "<h2>{}: {title}</h2>\n<table><tr><th>contender</th>{heads}<th>requests counted</th><th>besides</th><th>runs</th></tr>",
        escape(workload)
    );
    let contenders: Vec<&String> = report.contenders.keys().collect();
    for contender in &contenders {
        let Some(outcome) = report.contenders.get(*contender).and_then(|all| all.get(workload)) else {
            continue;
        };
        let mut cells: Vec<String> =
            COLUMNS.iter().map(|(_, figure)| cell(summary(record, contender, workload, *figure))).collect();
        let requests = outcome.requests_by_verb.iter().map(|(verb, count)| format!("{verb} {count}"));
        let counted = record.counts.get(*contender).and_then(|counts| counts.get(workload));
        let tenants = counted.map(|count| format!("<br><small>{} tenants</small>", count.tenants));
        cells.push(format!(
            "{}{}",
            escape(&requests.collect::<Vec<_>>().join(", ")),
            tenants.unwrap_or_default()
        ));
        cells.push(besides(record, contender, workload));
        cells.push(outcome.repetitions.to_string());
        row(page, contender, &cells);
    }
    page.push_str("</table>\n");
    for (_, figure, unit) in CHARTS.iter().filter(|(of, ..)| *of == workload) {
        let bar = |(contender, series): (&&String, usize)| {
            let summary = summary(record, contender, workload, *figure)?;
            let spread = Some((summary.min, summary.max));
            Some(Bar { label: (*contender).clone(), series, value: summary.median, spread })
        };
        let bars: Vec<Bar> = contenders.iter().zip(0..).filter_map(bar).collect();
        let name = COLUMNS.iter().find(|(_, of)| of == figure).map_or("", |(name, _)| *name);
        page.push_str(&chart(&format!("{workload}: {name}"), unit, &bars));
    }
}

/// Medians of the figures that only this workload has.
fn besides(record: &Record, contender: &str, workload: &str) -> String {
    let mut samples: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for run in super::runs(record, contender, workload) {
        for (name, value) in &run.figures.further {
            samples.entry(name).or_default().push(*value);
        }
    }
    let medians =
        samples.iter().filter_map(|(name, values)| Some(format!("{name} {}", number(median(values)?))));
    medians.collect::<Vec<_>>().join("<br>")
}

fn cell(summary: Option<Summary>) -> String {
    let Some(Summary { count, median, min, max, interval: (low, high) }) = summary else {
        return "&ndash;".to_owned();
    };
    if count < 2 {
        return number(median);
    }
    let [median, min, max, low, high] = [median, min, max, low, high].map(number);
    format!("{median}<br><small>{min} to {max}<br>[{low}, {high}]</small>")
}

/// `cells` are markup already.
fn row(page: &mut String, label: &str, cells: &[String]) {
    let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
    let _ = writeln!(page, "<tr><td>{}</td>{cells}</tr>", escape(label));
}

fn workloads(report: &Report) -> BTreeSet<String> {
    report.contenders.values().flat_map(|workloads| workloads.keys().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::machine::Machine;
    use super::*;

    #[test]
    fn the_page_shows_every_contender_and_needs_nothing_from_elsewhere() {
        let record = super::super::tests::record();
        let page = page(&Report::of(&record, Machine::read(&|_| None)), &record);
        for part in [
            "<h2>W1: one order at a time</h2>",
            "a&lt;b",
            "other",
            "create 25",
            "200 to 360",
            "0.75",
            "storm 7.00<br>",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("<script") && !page.contains("a<b"));
        let foreign = page.matches("http").count() - page.matches("http://www.w3.org/2000/svg").count();
        assert_eq!(foreign, 0, "the only address is the name of the SVG language");
    }
}
