//! The page of what templates read says what the schema says. Needs the file system, neither client nor clock.
#![allow(clippy::expect_used, reason = "a test may fail loudly")]

use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use tenantry_blueprint::schema::{ContextSchema, OUTPUTS, PathEntry};

const HEAD: &str = "# What templates and expressions read

<!-- Generated from the types; change these and run: make generate -->

Templates of blueprints and versions, `when` of an item, and nothing else read these paths. Every path always has a value: where
the order says nothing it is empty. `parameters` is what the application's `parametersSchema` says, with its defaults filled in.
`readyWhen` reads `object`, the object as the cluster has it, and only that.

A text that is not *restricted* may hold anything a customer writes. It is safe as a value of its own; inside a longer text it
needs a filter that names the language which reads it: `text`, `json`, `yaml`, `html`, `promql` or `shell`. Restricted ones hold only
`A-Z a-z 0-9 . _ : @ / -` and may stand anywhere. `[]` stands for each entry of a list or map.

| path | holds | restricted |
|---|---|---|
";

const JOBS: &str = "
## Templates of jobs

They read two things more: what their run is (`job`; for others than conversions it is empty), and what the jobs before it found
(`outputs`). Of these a template reads only what every item that runs it waits for, directly or through others; `tenantry check`
says so where it does not. What did not run for an order, or found no such thing, is 0 or empty.

| path | holds | restricted |
|---|---|---|
";

fn rows<'a>(paths: impl Iterator<Item = &'a PathEntry>) -> String {
    let mut rows = String::new();
    for entry in paths {
        let restricted = if entry.kind == "text" && entry.restricted { "yes" } else { "" };
        writeln!(rows, "| `{}` | {} | {restricted} |", entry.path, entry.kind).expect("a text grows");
    }
    rows
}

#[test]
fn the_page_of_the_context_is_current() {
    let everywhere = ContextSchema::new(None).paths();
    let of_job = ContextSchema::of_job(&Value::Null, &BTreeSet::from(OUTPUTS)).paths();
    let only_there = of_job.iter().filter(|entry| !everywhere.contains(entry));
    let page = [HEAD, &rows(everywhere.iter()), JOBS, &rows(only_there)].concat();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/templates.md");
    if std::env::var_os("TENANTRY_UPDATE").is_some_and(|value| value == "1") {
        fs::write(&file, &page).expect("the file can be written");
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == page, "docs/templates.md is stale; run `make generate`");
}
