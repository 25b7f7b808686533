//! Jobs from the source's rows to the export, and what they find.

use crate::process::{Process, Tenant, name, tool};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const CSV: &str = "id,name,city\nC-2,\"Çelik, \"\"A\"\"\",İzmir\nC-1,Bo,\nC-3,鴉,Kyōto\n";

fn source(tenant: &Tenant, text: &str) -> String {
    fs::write(tenant.path("customers.csv"), text).unwrap();
    tenant.path("customers.csv")
}

fn convert(tenant: &Tenant, attempt: &str, store: &Process, source: &str, more: &[&str]) -> (bool, Value) {
    let arguments = [&["--source", source, "--table", "customers", "--key-column", "id"], more].concat();
    tenant.job("convert", attempt, store, &arguments)
}

fn sha256sum(path: &str) -> String {
    let output = tool(Path::new("/"), "sha256sum", &[path]);
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_conversion_is_tried_declared_compared_and_cut_over() {
    let tenant = Tenant::new();
    let store = tenant.store();
    let file = source(&tenant, CSV);
    let sum = sha256sum(&file);

    let declared = ["--trial", "--expect-rows", "4", "--expect-sha256", &"0".repeat(64)];
    let (succeeded, result) = convert(&tenant, "t1", &store, &file, &declared);
    assert!(!succeeded);
    let wanted = json!([
        "rows: 3 usable in the source, 4 declared (-1)",
        format!("sha256: {sum} of the source, {} declared", "0".repeat(64))
    ]);
    assert_eq!(result["differences"], wanted);
    assert_eq!(store.store().buckets().await.unwrap(), [], "nothing was written");

    let declared = ["--expect-rows", "3", "--expect-sha256", &sum];
    let (succeeded, trial) = convert(&tenant, "t2", &store, &file, &[&["--trial"], &declared[..]].concat());
    assert!(succeeded, "{trial:#}");
    assert_eq!(store.store().buckets().await.unwrap(), [], "the trial left nothing behind");

    let (succeeded, result) = convert(&tenant, "c1", &store, &file, &declared);
    assert!(succeeded, "{result:#}");
    assert_eq!((&result["rows"], &result["checksum"]), (&json!(3), &trial["checksum"]));
    let table = store.store().get(&name("tables"), &name("customers")).await.unwrap().unwrap();
    let table: Value = serde_json::from_slice(&table).unwrap();
    assert_eq!(table["columns"], json!(["id", "name", "city"]));
    let bucket = name(table["bucket"].as_str().unwrap());
    let row = store.store().get(&bucket, &name("C-1")).await.unwrap().unwrap();
    assert_eq!(row, r#"{"city":"","id":"C-1","name":"Bo"}"#);

    // The same attempt again writes nothing.
    let before = store.metric("erp_store_writes_total").await;
    let (succeeded, again) = convert(&tenant, "c1", &store, &file, &declared);
    assert!(succeeded && again["message"].as_str().unwrap().contains("earlier"), "{again:#}");
    assert_eq!(store.metric("erp_store_writes_total").await, before);

    // A source in the store itself, larger: the table then names other rows, and the old ones are still there.
    store.store().put(&name("inbox"), &name("more.csv"), format!("{CSV}C-4,Dee,Rome\n")).await.unwrap();
    let (succeeded, result) = convert(&tenant, "c2", &store, "store:inbox/more.csv", &["--expect-rows", "4"]);
    assert!(succeeded, "{result:#}");
    assert_eq!(store.store().keys(&bucket).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_conversion_that_cannot_succeed_says_why() {
    let tenant = Tenant::new();
    let mut store = tenant.store();
    let rows: String = (0..2000).map(|at| format!("C-{at},{}\n", "long,".repeat(30))).collect();
    let file = source(&tenant, &format!("id,name\n{rows}"));
    let report = tenant.path("report.json");
    let (succeeded, result) = convert(&tenant, "c1", &store, &file, &["--report", &report]);
    assert!(!succeeded);
    assert_eq!(result["differencesTotal"], 2000);
    let told = result["differences"].as_array().unwrap();
    assert!(!told.is_empty() && told.len() < 2000);
    let full: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    assert_eq!(full["differences"].as_array().unwrap().len(), 2000);
    assert_eq!(result["reportSha256"], json!(sha256sum(&report)));

    let (succeeded, result) = convert(&tenant, "c2", &store, &tenant.path("missing.csv"), &[]);
    assert!(!succeeded && result["differences"][0].as_str().unwrap().contains("--source"), "{result:#}");
    let file = source(&tenant, CSV);
    store.kill();
    let (succeeded, result) = convert(&tenant, "c3", &store, &file, &[]);
    assert!(
        !succeeded && result["differences"][0].as_str().unwrap().contains(&store.address()),
        "{result:#}"
    );
    let (mut command, _) = tenant.job_command(
        "convert",
        "c4",
        &store,
        &["--source", &file, "--table", "../x", "--key-column", "id"],
    );
    assert_eq!(command.output().unwrap().status.code(), Some(2), "no name of a table");
}

#[tokio::test]
async fn the_acceptance_test_finds_what_is_broken() {
    let tenant = Tenant::new();
    let store = tenant.store();
    let (web, _worker) = (tenant.web(&store), tenant.worker(&store));
    let file = source(&tenant, CSV);
    assert!(convert(&tenant, "c1", &store, &file, &[]).0);
    let (settings, address) = (tenant.path("erp.json"), web.address());
    let arguments = ["--web", &address, "--settings", &settings, "--expect-table", "customers=3"];
    let (succeeded, result) = tenant.job("verify", "v1", &store, &arguments);
    assert!(succeeded, "{result:#}");
    assert_eq!(result["passed"], json!(["store", "page", "order", "stranger", "tables"]));

    web.fault("error");
    let (succeeded, result) = tenant.job("verify", "v2", &store, &arguments);
    assert!(!succeeded);
    assert_eq!(result["passed"], json!(["store", "tables"]), "{result:#}");
    web.fault("none");

    let bucket = store.store().get(&name("tables"), &name("customers")).await.unwrap().unwrap();
    let bucket: Value = serde_json::from_slice(&bucket).unwrap();
    store.store().put(&name(bucket["bucket"].as_str().unwrap()), &name("C-1"), "{}").await.unwrap();
    let (succeeded, result) = tenant.job("verify", "v3", &store, &arguments);
    assert!(!succeeded);
    assert_eq!(result["differences"], json!(["tables: customers has other rows than at its cut-over"]));
    let others = ["--web", &address, "--settings", &settings, "--expect-table", "customers=4"];
    let (_, result) = tenant.job("verify", "v4", &store, &others);
    assert_eq!(result["differences"], json!(["tables: customers has 3 rows, 4 expected"]));
}

#[tokio::test]
async fn a_backup_comes_back_as_it_was() {
    let tenant = Tenant::new();
    let store = tenant.store();
    let file = source(&tenant, CSV);
    assert!(convert(&tenant, "c1", &store, &file, &[]).0);
    store.store().put(&name("odd"), &name("bytes"), vec![0, 255]).await.unwrap();
    let to = tenant.path("backups");
    let (succeeded, backup) = tenant.job("backup", "b1", &store, &["--to", &to]);
    assert!(succeeded, "{backup:#}");
    assert_eq!(backup["keys"], 5);
    let folder = tenant.folder.path().join("backups/b1");
    let checked = tool(&folder, "sha256sum", &["--check", "--strict", "SHA256SUMS"]);
    assert!(checked.status.success(), "{checked:?}");
    let (succeeded, again) = tenant.job("backup", "b1", &store, &["--to", &to]);
    assert!(succeeded && again["checksum"] == backup["checksum"], "{again:#}");

    let from = folder.to_str().unwrap();
    let other = tenant.store_at("127.0.0.1:0", "other");
    for attempt in ["r1", "r2"] {
        let (succeeded, restored) = tenant.job("restore", attempt, &other, &["--from", from]);
        assert!(succeeded, "{restored:#}");
        assert_eq!((&restored["keys"], &restored["checksum"]), (&json!(5), &backup["checksum"]));
    }
    let (succeeded, second) = tenant.job("backup", "b2", &other, &["--to", &to]);
    assert!(succeeded && second["checksum"] == backup["checksum"], "{second:#}");

    other.store().put(&name("new"), &name("k"), "later").await.unwrap();
    let (succeeded, refused) = tenant.job("restore", "r3", &other, &["--from", from]);
    assert!(!succeeded);
    assert!(refused["differences"][0].as_str().unwrap().contains("new/k"), "{refused:#}");
    fs::write(folder.join("data/odd/bytes"), "other").unwrap();
    let (succeeded, refused) = tenant.job("restore", "r4", &other, &["--from", from]);
    assert!(
        !succeeded && refused["differences"][0].as_str().unwrap().contains("data/odd/bytes"),
        "{refused:#}"
    );
}

#[tokio::test]
async fn an_export_is_what_was_converted() {
    let tenant = Tenant::new();
    let store = tenant.store();
    let file = source(&tenant, CSV);
    let (_, converted) = convert(&tenant, "c1", &store, &file, &[]);
    store.store().put(&name("orders"), &name("o-1"), r#"{"n":1}"#).await.unwrap();
    store.store().put(&name("orders"), &name("o-2"), vec![0, 255]).await.unwrap();
    let to = tenant.path("exports");
    let (succeeded, result) = tenant.job("export", "e1", &store, &["--to", &to]);
    assert!(succeeded, "{result:#}");
    let folder = tenant.folder.path().join("exports/e1");
    let checked = tool(&folder, "sha256sum", &["--check", "--strict", "SHA256SUMS"]);
    assert!(checked.status.success(), "{checked:?}");
    let read = |path: &str| fs::read_to_string(folder.join(path)).unwrap();
    let rows = "id,name,city\nC-1,Bo,\nC-2,\"Çelik, \"\"A\"\"\",İzmir\nC-3,鴉,Kyōto\n";
    assert_eq!(read("tables/customers.csv"), rows);
    assert_eq!(
        read("records/orders.jsonl"),
        "{\"key\":\"o-1\",\"value\":{\"n\":1}}\n{\"key\":\"o-2\",\"base64\":\"AP8=\"}\n"
    );
    let manifest: Value = serde_json::from_str(&read("manifest.json")).unwrap();
    assert_eq!((&manifest["format"], &manifest["attempt"]), (&json!("erp-export/1"), &json!("e1")));
    let files: Vec<_> =
        manifest["files"].as_array().unwrap().iter().map(|file| (&file["path"], &file["records"])).collect();
    let wanted = [("tables/customers.csv", 3), ("records/orders.jsonl", 2), ("records/tables.jsonl", 1)];
    assert_eq!(
        format!("{files:?}"),
        format!(
            "{:?}",
            wanted
                .map(|(path, records)| (json!(path), json!(records)))
                .iter()
                .map(|(path, records)| (path, records))
                .collect::<Vec<_>>()
        )
    );
    assert_eq!(manifest["files"][0]["tableChecksum"], converted["checksum"]);

    // What was exported can be converted again, and is the same table.
    let exported = folder.join("tables/customers.csv");
    let (succeeded, again) = convert(&tenant, "c2", &store, exported.to_str().unwrap(), &["--trial"]);
    assert!(succeeded && again["checksum"] == converted["checksum"], "{again:#}");
}
