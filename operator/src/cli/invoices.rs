//! `tenantry invoices`, `tenantry invoice` and `tenantry preview-invoice`: what was billed, and what comes next. Needs the database.

use super::Outcome;
use super::database::{History, Location};
use super::output::Format;
use super::table::table;
use crate::controller::billing::feed::feed;
use clap::Args;
use std::collections::BTreeMap;
use tenantry_billing::{Books, BooksError};
use tenantry_journal::Entry;
use tenantry_ledger::document::{Document, Item};
use tenantry_ledger::run::preview;

/// Arguments of `tenantry invoices` and `tenantry preview-invoice`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    history: History,
    /// How to print it; wide shows the account.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Arguments of `tenantry invoice`.
#[derive(Args, Debug)]
pub(crate) struct One {
    /// Number of the invoice or credit note.
    number: String,
    #[command(flatten)]
    location: Location,
    /// How to print it; wide shows the terms of each line.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let documents =
        of_each(arguments, async |books, tenant, _| Ok(books.documents_of(tenant).await?)).await?;
    arguments.output.print(&documents, |wide| list(&documents, wide))?;
    Ok(outcome(&documents, "nothing was billed under this name"))
}

pub(crate) async fn one(arguments: &One) -> anyhow::Result<Outcome> {
    let database = arguments.location.open().await?;
    let document = Books::new(database.clone()).document(&arguments.number).await?;
    database.close().await;
    arguments.output.print(&document, |wide| page(&document, wide))?;
    Ok(Outcome::Good)
}

/// What the account's next document would be, if it were made of what the ledger knows now.
pub(crate) async fn next(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let documents =
        of_each(arguments, async |books, tenant, own| Ok(coming(books, tenant, own).await?)).await?;
    arguments.output.print(&documents, |wide| {
        documents.iter().map(|document| page(document, wide)).collect::<Vec<_>>().join("\n")
    })?;
    Ok(outcome(&documents, "nothing will be billed under this name by what is known now"))
}

/// The next document of whoever pays for a tenant, if the tenant has something on it.
async fn coming(books: &Books, tenant: &str, own: &[Entry]) -> Result<Option<Document>, BooksError> {
    let Some(feed) = feed(own) else { return Ok(None) };
    let Some(loaded) = books.load(&feed.account).await? else { return Ok(None) };
    if let Some(parked) = &loaded.standing.parked {
        eprintln!("account {} waits for a person: {parked}", feed.account);
    }
    let next = preview(&loaded.history, loaded.counted(), Vec::new())?;
    Ok(next.filter(|next| next.lines.iter().any(|line| line.subscription == tenant)))
}

/// What `look` finds for each tenant of the name, of which it is given what the journal has.
async fn of_each<D: IntoIterator<Item = Document>>(
    arguments: &Arguments,
    look: impl AsyncFn(&Books, &str, &[Entry]) -> anyhow::Result<D>,
) -> anyhow::Result<Vec<Document>> {
    let mut by_tenant: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for entry in arguments.history.read().await? {
        by_tenant.entry(entry.tenant.clone()).or_default().push(entry);
    }
    let database = arguments.history.location().open().await?;
    let books = Books::new(database.clone());
    let mut documents = Vec::new();
    for (tenant, own) in &by_tenant {
        documents.extend(look(&books, tenant, own).await?);
    }
    database.close().await;
    Ok(documents)
}

/// Says where there is nothing.
fn outcome(documents: &[Document], nothing: &str) -> Outcome {
    if documents.is_empty() {
        eprintln!("{nothing}");
        return Outcome::Bad;
    }
    Outcome::Good
}

fn list(documents: &[Document], wide: bool) -> String {
    let account = if wide { "ACCOUNT" } else { "" };
    let header =
        ["DATE", "NUMBER", "KIND", "NET", "TAX", "GROSS", "TO PAY", "DUE", account].map(str::to_owned);
    let rows: Vec<[String; 9]> = documents
        .iter()
        .map(|document| {
            let money = |amount: &String| format!("{amount} {}", document.currency);
            [
                document.issued.to_string(),
                document.number.clone(),
                format!("{:?}", document.kind),
                money(&document.net),
                money(&document.tax),
                money(&document.gross),
                money(&document.payable),
                document.due.map_or_else(String::new, |due| due.to_string()),
                if wide { document.account.clone() } else { String::new() },
            ]
        })
        .collect();
    table(&header, &rows)
}

fn page(document: &Document, wide: bool) -> String {
    let Document { number, kind, issued, due, currency, seller, buyer, net, tax, gross, payable, .. } =
        document;
    let mut text = format!("{kind:?} {number} of {issued}\n{} to {}\n\n", seller.name, buyer.name);
    let terms = if wide { "TERMS" } else { "" };
    let header =
        ["FOR", "CHARGE", "FROM", "TO", "QUANTITY", "NET", "TAX", "CORRECTS", terms].map(str::to_owned);
    let rows: Vec<[String; 9]> = document.lines.iter().map(|line| row(line, wide)).collect();
    text.push_str(&table(&header, &rows));
    text.push_str(&format!("\nnet {net}, tax {tax}, total {gross} {currency}\n"));
    match due {
        Some(due) => text.push_str(&format!("to pay {payable} {currency} by {due}\n")),
        None => text.push_str("nothing to pay\n"),
    }
    text
}

fn row(line: &Item, wide: bool) -> [String; 9] {
    [
        line.name.clone(),
        line.charge.clone(),
        line.from.date().to_string(),
        line.to.date().to_string(),
        line.quantity.clone(),
        line.net.clone(),
        format!("{} {}%", line.tax_category, line.tax_percent),
        line.corrects.clone().unwrap_or_default(),
        if wide { line.terms.clone() } else { String::new() },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_reads_as_a_list_and_as_a_page() {
        let document: Document = serde_json::from_value(json!({
            "number": "INV-001-002", "kind": "Invoice", "typeCode": 380, "issued": "2026-12-01", "due": "2026-12-31",
            "currency": "EUR", "account": "books", "seller": {"name": "Orderly AG", "country": "CH"},
            "buyer": {"name": "Acme Ltd", "country": "DE"},
            "lines": [{
                "entry": 3, "subscription": "t1", "name": "acme", "charge": "base", "kind": "Recurring", "effect": "Charge",
                "from": "2026-12-01T00:00:00", "to": "2027-01-01T00:00:00", "quantity": "1", "terms": "gold@1 × 1",
                "amount": "249.00", "reduction": "0.00", "net": "249.00", "taxCategory": "S", "taxPercent": "8.1",
            }],
            "taxes": [{"category": "S", "percent": "8.1", "base": "249.00", "tax": "20.17"}],
            "net": "249.00", "tax": "20.17", "gross": "269.17", "drawn": "0.00", "surplus": "0.00", "payable": "269.17",
        }))
        .unwrap();
        let list = list(std::slice::from_ref(&document), true);
        assert!(list.contains("INV-001-002   Invoice   249.00 EUR   20.17 EUR   269.17 EUR"), "{list}");
        assert!(list.contains("2026-12-31   books"), "{list}");
        let page = page(&document, false);
        assert!(page.contains("Invoice INV-001-002 of 2026-12-01\nOrderly AG to Acme Ltd"), "{page}");
        assert!(
            page.contains("acme   base     2026-12-01   2027-01-01   1          249.00   S 8.1%"),
            "{page}"
        );
        assert!(page.contains("to pay 269.17 EUR by 2026-12-31") && !page.contains("gold@1"), "{page}");
    }
}
