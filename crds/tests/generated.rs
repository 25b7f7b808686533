//! The generated files, `crds/*.yaml` and `docs/reference/*.md`, say what the types say. Needs the file system, neither
//! client nor clock.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may fail loudly"
)]

#[path = "common/reference.rs"]
mod reference;
#[path = "common/walk.rs"]
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Number, Value};

/// First line of every generated file.
const NOTICE: &str = "Generated from crds/src; change the types there and run: TENANTRY_UPDATE=1 cargo test -p tenantry-crds --test generated";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository").to_path_buf()
}

/// Compares every expected file with what is there, or writes it where the environment asks for that. Files of the
/// same ending that are not expected are stale, too: their kind is gone.
fn compare(folder: &Path, ending: &str, keep: &[&str], expected: &BTreeMap<String, String>) {
    let update = std::env::var_os("TENANTRY_UPDATE").is_some_and(|value| value == "1");
    if update {
        fs::create_dir_all(folder).expect("the folder can be made");
        for (name, content) in expected {
            fs::write(folder.join(name), content).expect("the file can be written");
        }
    }
    let mut stale: BTreeSet<String> = expected
        .iter()
        .filter(|(name, content)| fs::read_to_string(folder.join(name)).ok().as_ref() != Some(content))
        .map(|(name, _)| name.clone())
        .collect();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(ending) && !keep.contains(&name.as_str()) && !expected.contains_key(&name) {
            stale.insert(format!("{name} (no such kind; delete it)"));
        }
    }
    assert!(stale.is_empty(), "stale in {}: {stale:?}\n{NOTICE}", folder.display());
}

/// The same value with sorted keys and whole numbers without a fraction, so that the text depends on nothing but the
/// types and equals what the API server gives back.
fn tidy(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<String, Value> = map.into_iter().map(|(key, v)| (key, tidy(v))).collect();
            Value::Object(sorted.into_iter().collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(tidy).collect()),
        Value::Number(number) => Value::Number(match number.as_f64() {
            #[allow(clippy::cast_possible_truncation, reason = "bounds are far below 2^53")]
            Some(float) if number.is_f64() && float.fract() == 0.0 => Number::from(float as i64),
            _ => number,
        }),
        other => other,
    }
}

#[test]
fn definitions_are_current() {
    let mut expected = BTreeMap::new();
    for crd in tenantry_crds::all() {
        let value = tidy(serde_json::to_value(&crd).expect("a definition is JSON"));
        let yaml = serde_saphyr::to_string(&value).expect("JSON is YAML");
        let back: Value = serde_saphyr::from_str(&yaml).expect("what was written can be read");
        assert_eq!(back, value, "{} does not survive being written as YAML", crd.spec.names.kind);
        expected.insert(format!("{}.yaml", crd.spec.names.plural), format!("# {NOTICE}\n{yaml}"));
    }
    compare(&repository().join("crds"), ".yaml", &[], &expected);
}

#[test]
fn reference_is_current() {
    let crds = tenantry_crds::all();
    let mut expected = BTreeMap::from([("README.md".to_owned(), reference::index(&crds))]);
    for crd in &crds {
        expected.insert(format!("{}.md", crd.spec.names.plural), reference::page(crd));
    }
    compare(&repository().join("docs/reference"), ".md", &[], &expected);
}
