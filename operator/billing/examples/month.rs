//! Measures the close of a month: a thousand tenants, each with 24 lines, 10 meters and 720 hours of each, in an SQLite file;
//! and how long the preview of an invoice takes.
//!
//! ```sh
//! cargo run --release -q -p tenantry-billing --example month -- [TENANTS]
//! ```

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};
use tenantry_billing::{Batch, Books, Telling};
use tenantry_journal::{Database, Epoch, Leader};
use tenantry_ledger::agreement::Agreement;
use tenantry_ledger::catalogue::PriceList;
use tenantry_ledger::event::Event;
use tenantry_ledger::history::Happening;
use tenantry_ledger::run::preview;

const METERS: usize = 10;
const LINES: usize = 24;
const HOURS: usize = 720;
const PREVIEWS: u32 = 200;

#[tokio::main]
async fn main() -> Result<()> {
    let tenants: usize = match std::env::args().nth(1) {
        Some(text) => text.parse().context("write a number of tenants, like 1000")?,
        None => 1_000,
    };
    let directory = tempfile::tempdir()?;
    let database = Database::open(&format!("sqlite:{}/month.db", directory.path().display())).await?;
    let leader = Leader { holder: "month".to_owned(), lease_uid: "lease".to_owned(), transitions: 0 };
    let epoch = database.take_over(&leader).await?;
    let books = Books::new(database);
    let begun = Instant::now();
    for tenant in 0..tenants {
        settle(&books, epoch, tenant).await?;
    }
    let now = at("2025-11-01T12:00:00Z")?;
    let first = books.run(epoch, now, now).await?;
    ensure!(first.documents.len() == tenants, "{} first invoices", first.documents.len());
    println!(
        "{tenants} tenants with {METERS} meters and {HOURS} hours of each were told in {:.1} s",
        begun.elapsed().as_secs_f64()
    );

    let loaded = books.load("account-00000").await?.context("the first account is missing")?;
    let begun = Instant::now();
    for _ in 0..PREVIEWS {
        let document = preview(&loaded.history, loaded.counted(), Vec::new())?;
        ensure!(
            document.is_some_and(|document| document.lines.len() == LINES),
            "the preview has other lines"
        );
    }
    let each = begun.elapsed() / PREVIEWS;

    let now = at("2025-12-01T12:00:00Z")?;
    let begun = Instant::now();
    let rated = books.dry_run(now).await?;
    println!(
        "read and rated {} tenants' month in {:.2} s",
        rated.documents.len(),
        begun.elapsed().as_secs_f64()
    );
    let begun = Instant::now();
    let month = books.run(epoch, now, now).await?;
    let took = begun.elapsed();
    ensure!(month.documents.len() == tenants && month == rated, "{:?}", month.parked);
    let lines: usize = month.documents.iter().map(|document| document.lines.len()).sum();
    ensure!(lines == tenants * LINES, "{lines} lines");
    println!(
        "rated, numbered and kept {} invoices with {lines} lines in {:.2} s on {} processors",
        month.documents.len(),
        took.as_secs_f64(),
        std::thread::available_parallelism()?
    );
    println!(
        "a preview of an invoice with {LINES} lines from {} records of usage took {}",
        METERS * HOURS,
        shown(each)
    );
    let begun = Instant::now();
    let verdict = books.verify().await?;
    ensure!(verdict.is_sound(), "{:?}", verdict.faults);
    println!("verified {} runs in {:.2} s", verdict.recomputed, begun.elapsed().as_secs_f64());
    Ok(())
}

fn shown(took: Duration) -> String {
    format!("{:.3} ms", took.as_secs_f64() * 1_000.0)
}

/// One tenant with an account of its own, from the first of November on.
async fn settle(books: &Books, epoch: Epoch, tenant: usize) -> Result<()> {
    let (account, subscription) = (format!("account-{tenant:05}"), format!("t{tenant:05}"));
    let begin = at("2025-10-31T23:00:00Z")?;
    books.open(epoch, &agreement(&account)?, begin).await?;
    let start = json!({"type": "Start", "application": "erp", "priceList": "platinum@1"});
    let event = Event {
        id: 0,
        subscription: subscription.clone(),
        at: begin,
        change: serde_json::from_value(start)?,
    };
    let happening = Happening { name: format!("tenant-{tenant}"), event };
    let telling = Telling { id: format!("{subscription}/start"), happening };
    books.tell(epoch, &account, &[prices()?], &[telling], begin).await?;
    let batches = (0..METERS).map(|meter| Batch {
        subscription: subscription.clone(),
        meter: format!("meter-{meter}"),
        from: begin,
        revision: 0,
        quantities: (0..HOURS)
            .map(|hour| i64::try_from((hour * 37 + meter * 11 + tenant) % 5_000).unwrap_or(0))
            .collect(),
        received: begin,
    });
    books.record_usage(epoch, &account, &batches.collect::<Vec<_>>()).await?;
    Ok(())
}

fn agreement(account: &str) -> Result<Agreement> {
    Ok(serde_json::from_value(json!({
        "account": {"id": account, "currency": "EUR", "timeZone": "Europe/Zurich"},
        "seller": {"name": "Orderly Hosting AG", "country": "CH"},
        "buyer": {"name": format!("{account} Ltd"), "country": "DE"},
        "series": {"invoice": "INV", "creditNote": "CN"},
        "paymentDays": 30,
        "rates": [{"name": "", "category": "S", "percent": "8.1"}],
    }))?)
}

fn prices() -> Result<PriceList> {
    let month = json!({"unit": "Month", "count": 1});
    let recurring = (METERS..LINES).map(|number| {
        json!({"name": format!("part-{number}"), "type": "Recurring", "interval": month, "timing": "Advance",
            "price": {"model": "Flat", "price": format!("{number}.90")}})
    });
    let usage = (0..METERS).map(|number| {
        json!({"name": format!("usage-{number}"), "type": "Usage", "meter": format!("meter-{number}"), "interval": month,
            "aggregation": "Sum", "per": "3600", "price": {"model": "Graduated", "tiers": [
                {"upTo": "100", "price": "0.05"}, {"price": "0.0125"}]}})
    });
    let charges: Vec<Value> = recurring.chain(usage).collect();
    Ok(serde_json::from_value(json!({"id": "platinum@1", "currency": "EUR", "charges": charges}))?)
}

fn at(text: &str) -> Result<Timestamp> {
    Ok(text.parse()?)
}
