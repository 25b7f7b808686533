//! What `tenantry check` finds in files.

use super::*;
use std::fs;
use std::path::Path;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// A copy of the examples without what is packed, with one text put in place of another in one file.
fn changed(file: &str, from: &str, to: &str) -> tempfile::TempDir {
    fn copy(source: &Path, target: &Path) {
        fs::create_dir_all(target).unwrap();
        for entry in fs::read_dir(source).unwrap().map(Result::unwrap) {
            let target = target.join(entry.file_name());
            match entry.path().is_dir() {
                true if entry.file_name() == "packed" => {}
                true => copy(&entry.path(), &target),
                false => drop(fs::copy(entry.path(), target).unwrap()),
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    copy(&examples(), folder.path());
    let path = folder.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} has no {from:?}");
    fs::write(&path, text.replacen(from, to, 1)).unwrap();
    folder
}

fn found(paths: &[PathBuf]) -> Vec<String> {
    let library = Library::read(paths).unwrap();
    check(&library).unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn the_examples_are_right() {
    assert_eq!(found(&[examples()]), Vec::<String>::new());
}

#[test]
fn every_fault_is_found_where_it_stands() {
    let cases = [
        // (file, from, to, place, part of the message)
        (
            "applications/erp/4.2.1/web.yaml.tera",
            "{{ ",
            "{{ order.nowhere }}{{ ",
            "applications/erp/4.2.1/web.yaml.tera:",
            "nowhere",
        ),
        (
            "applications/erp/4.2.1/version.yaml",
            "file: web.yaml.tera",
            "file: gone.yaml.tera",
            "applications/erp/4.2.1/version.yaml:15:30: ",
            "gone.yaml.tera",
        ),
        (
            "tenants/acme.yaml",
            "planRef: {name: gold}",
            "planRef: {name: tin}",
            "tenants/acme.yaml:10:19: ",
            "there is no service plan tin",
        ),
        (
            "tenants/acme.yaml",
            "country: DE",
            "country: Germany",
            "tenants/acme.yaml:6:43: ",
            "organization.country",
        ),
        ("tenants/acme.yaml", "erp.acme.example]", "erp.corvus.example]", "tenants/", "host"),
        ("tenants/acme.yaml", "v1alpha1", "v1", "tenants/acme.yaml:1:13: ", "write tenantry.io/v1alpha1"),
        ("plans/gold.yaml", "cpu: \"8\"", "cpu: eight", "plans/gold.yaml:", "cpu"),
        ("plans/gold.yaml", "cpu: \"8\"", "cpu: 500m", "tenants/acme.yaml:1:1: ", "cpu"),
        ("plans/gold.yaml", "currency: EUR", "currency: XYZ", "plans/gold.yaml:", "ISO 4217"),
        (
            "plans/gold.yaml",
            "price: \"249.00\"",
            "price: \"249.005\"",
            "plans/gold.yaml:",
            "at most 2 decimals",
        ),
        ("plans/gold.yaml", "included: \"25\"", "included: \"-25\"", "plans/gold.yaml:", "included"),
        (
            "plans/gold.yaml",
            "unit: NamedUser, ",
            "",
            "plans/gold.yaml:",
            "units that cost nothing are units of",
        ),
        (
            "plans/platinum.yaml",
            "upTo: \"250\"",
            "upTo: \"50\"",
            "plans/platinum.yaml:",
            "overlaps the tier before",
        ),
        (
            "plans/gold.yaml",
            "meter: documents",
            "meter: documnts",
            "plans/gold.yaml:",
            "no application declares a meter documnts",
        ),
        (
            "applications/erp/application.yaml",
            "  meters:\n",
            "  meters:\n    - {name: documents, source: Events, unit: Byte}\n",
            "applications/erp/application.yaml:",
            "is listed twice",
        ),
        (
            "applications/erp/application.yaml",
            "source: Events",
            "source: Guesses",
            "applications/erp/application.yaml:",
            "Guesses",
        ),
        ("plans/gold.yaml", "per: \"100\"", "per: \"0\"", "plans/gold.yaml:", "write a number above zero"),
        ("billing/acme.yaml", "currency: EUR", "currency: XYZ", "billing/acme.yaml:11:13: ", "ISO 4217"),
        ("billing/acme.yaml", "Europe/Berlin", "Europe/Bern", "billing/acme.yaml:12:13: ", "no time zone"),
        ("billing/acme.yaml", "email:", "mail:", "billing/acme.yaml:10:", "email"),
        (
            "billing/orderly.yaml",
            "percent: \"19\"",
            "percent: \"119\"",
            "billing/acme.yaml:6:",
            "write 0 to 100",
        ),
        (
            "applications/erp/application.yaml",
            "name: erp",
            "name: other",
            "applications/erp/4.2.1/version.yaml:6:",
            "no application `erp`",
        ),
    ];
    let mut missed = Vec::new();
    for (file, from, to, place, part) in cases {
        let folder = changed(file, from, to);
        let found = found(&[folder.path().to_owned()]);
        let start = folder.path().join(place).to_string_lossy().into_owned();
        let fits =
            |line: &String| line.starts_with(&start) && line.contains(": error: ") && line.contains(part);
        if !found.iter().any(fits) {
            missed.push((file, to, found));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn a_business_that_does_not_fit_its_plan_is_a_warning() {
    let folder = changed("tenants/acme.yaml", "concurrentUsers: 40", "concurrentUsers: 300");
    let found = found(&[folder.path().to_owned()]);
    let [line] = found.as_slice() else { panic!("{found:#?}") };
    assert!(
        line.contains("tenants/acme.yaml:13:") && line.contains(": warning: plan gold is too small"),
        "{line}"
    );
    assert!(line.contains("12500m CPU of 8") && line.contains("is platinum"), "{line}");
    let folder =
        changed("applications/erp/application.yaml", "inputs.dataGiB * 1.6", "inputs.dataGiB * plan.tier");
    let found = super::tests::found(&[folder.path().to_owned()]);
    assert!(found.iter().any(|line| line.contains("sizing.storageGiB")), "{found:#?}");
}

#[test]
fn a_rule_of_a_kind_is_checked_as_on_an_api_server() {
    let folder = changed("applications/erp/4.2.1/version.yaml", "name: erp-4.2.1", "name: erp-4");
    let found = found(&[folder.path().join("applications"), folder.path().join("blueprints")]);
    assert!(
        found.iter().any(|line| line.contains("metadata.name must be the application's name")),
        "{found:#?}"
    );
}

#[test]
fn fields_become_pointers() {
    assert_eq!(pointer("spec.network.hosts[1]"), "/spec/network/hosts/1");
    assert_eq!(pointer("spec"), "/spec");
}
