//! `tenantry print`, `tenantry statement` and `tenantry focus`: documents for people, tax offices and other programs. Needs the
//! database.

use super::Outcome;
use super::database::Location;
use super::table::table;
use anyhow::bail;
use clap::{Args, ValueEnum};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tenantry_billing::{Books, BooksError};
use tenantry_documents::focus::{self, Service};
use tenantry_documents::language::Language;
use tenantry_documents::page::page;
use tenantry_documents::standard::{Syntax, xml};
use tenantry_documents::statement::{self, Statement, statement};
use tenantry_ledger::event::Change;
use tenantry_ledger::history::History;

/// Arguments of `tenantry print`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Number of the invoice or credit note.
    number: String,
    /// What to write.
    #[arg(long = "as", value_enum, default_value_t = Form::Html)]
    form: Form,
    /// Language of the page; the account's own without it.
    #[arg(long)]
    language: Option<Language>,
    #[command(flatten)]
    location: Location,
}

/// What a document is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A page to read and print.
    Html,
    /// EN 16931 in UBL 2.1.
    Ubl,
    /// EN 16931 in UN/CEFACT CII.
    Cii,
}

/// Arguments of `tenantry statement`.
#[derive(Args, Debug)]
pub(crate) struct OfAccount {
    /// Name of the billing account.
    account: String,
    #[command(flatten)]
    time: Time,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = StatementForm::Table)]
    output: StatementForm,
    /// Language of the page; the account's own without it.
    #[arg(long)]
    language: Option<Language>,
    #[command(flatten)]
    location: Location,
}

/// How a statement is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StatementForm {
    /// Aligned columns.
    Table,
    /// JSON.
    Json,
    /// A page to read and print.
    Html,
}

/// Arguments of `tenantry focus`.
#[derive(Args, Debug)]
pub(crate) struct OfTime {
    /// Only this billing account.
    account: Option<String>,
    #[command(flatten)]
    time: Time,
    #[command(flatten)]
    location: Location,
}

/// From which day to which.
#[derive(Args, Clone, Copy, Debug)]
struct Time {
    /// First day of documents, such as 2026-11-01.
    #[arg(long)]
    from: Date,
    /// First day after, such as 2026-12-01.
    #[arg(long)]
    to: Date,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let database = arguments.location.open().await?;
    let document = Books::new(database.clone()).document(&arguments.number).await?;
    database.close().await;
    let text = match arguments.form {
        Form::Html => page(&document, language(arguments.language, document.language.as_deref())?)?,
        Form::Ubl => xml(&document, Syntax::Ubl)?,
        Form::Cii => xml(&document, Syntax::Cii)?,
    };
    println!("{}", text.trim_end());
    Ok(Outcome::Good)
}

pub(crate) async fn of_account(arguments: &OfAccount) -> anyhow::Result<Outcome> {
    let OfAccount { account, time, output, language: asked, location } = arguments;
    let database = location.open().await?;
    let documents = Books::new(database.clone()).documents_for(account).await?;
    database.close().await;
    let statement = statement(&documents, time.from, time.to)?;
    let agreed = documents.last().and_then(|document| document.language.as_deref());
    match output {
        StatementForm::Table => print!("{}", shown(&statement)),
        StatementForm::Json => println!("{}", serde_json::to_string_pretty(&statement)?),
        StatementForm::Html => {
            println!("{}", statement::page(&statement, language(*asked, agreed)?)?.trim_end())
        }
    }
    Ok(Outcome::Good)
}

/// Rows of every document of the time. One account after the other, so that no more than one is held.
pub(crate) async fn of_time(arguments: &OfTime) -> anyhow::Result<Outcome> {
    let OfTime { account, time, location } = arguments;
    if time.to < time.from {
        bail!("--to: {} is before {}; write a later day", time.to, time.from);
    }
    let database = location.open().await?;
    let books = Books::new(database.clone());
    let accounts = match account {
        Some(account) => vec![account.clone()],
        None => books.accounts().await?,
    };
    let mut rows = Vec::new();
    for account in accounts {
        let unknown = || BooksError::Unknown { what: format!("account {account:?}") };
        let loaded = books.load(&account).await?.ok_or_else(unknown)?;
        let zone = TimeZone::get(&loaded.history.agreement()?.account.time_zone)?;
        for document in books.documents_for(&account).await? {
            if document.issued < time.from || document.issued >= time.to {
                continue;
            }
            let service = |tenant: &str| service(&loaded.history, tenant, document.issued, &zone);
            rows.extend(focus::rows(&document, &zone, service)?);
        }
    }
    database.close().await;
    print!("{}", focus::csv(&rows)?);
    if rows.is_empty() {
        eprintln!("no document is of this time");
        return Ok(Outcome::Bad);
    }
    Ok(Outcome::Good)
}

/// What a tenant was charged for on a day: its application, and the price list that was in effect last.
fn service(history: &History, tenant: &str, day: Date, zone: &TimeZone) -> Service {
    let mut service = Service { name: tenant.to_owned(), plan: String::new() };
    let until = |at| zone.to_datetime(at).date() <= day;
    for event in history.events().iter().filter(|event| event.subscription == tenant) {
        match &event.change {
            Change::Start { application, price_list, .. } => {
                service = Service { name: application.clone(), plan: price_list.clone() };
            }
            Change::ChangePlan { price_list } if until(event.at) => service.plan.clone_from(price_list),
            _ => {}
        }
    }
    service
}

/// The language that was asked for, else the one that was agreed, else English.
fn language(asked: Option<Language>, agreed: Option<&str>) -> anyhow::Result<Language> {
    Ok(match (asked, agreed) {
        (Some(asked), _) => asked,
        (None, Some(agreed)) => agreed.parse()?,
        (None, None) => Language::default(),
    })
}

fn shown(statement: &Statement) -> String {
    let Statement { account, buyer, currency, from, to, before, documents, tenants, billed, after } =
        statement;
    let header = ["DATE", "NUMBER", "KIND", "NET", "TAX", "GROSS", "TO PAY"].map(str::to_owned);
    let rows: Vec<[String; 7]> = documents
        .iter()
        .map(|entry| {
            let amounts = [&entry.net, &entry.tax, &entry.gross, &entry.payable].map(Clone::clone);
            let [net, tax, gross, payable] = amounts;
            [
                entry.issued.to_string(),
                entry.number.clone(),
                format!("{:?}", entry.kind),
                net,
                tax,
                gross,
                payable,
            ]
        })
        .collect();
    let shares: Vec<[String; 2]> =
        tenants.iter().map(|share| [share.name.clone(), share.net.clone()]).collect();
    format!(
        "{account}, {buyer}, from {from} to before {to}, in {currency}\n\n{}\n{}\nbilled before {before}, in this time {billed}, \
         together {after}\n",
        table(&header, &rows),
        table(&["TENANT", "NET"].map(str::to_owned), &shares),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tenantry_ledger::event::Event;
    use tenantry_ledger::history::{Fact, Happening};

    #[test]
    fn a_tenant_is_charged_for_the_plan_that_it_had_on_the_day() {
        let mut history = History::new(1);
        for (id, at, change) in [
            (
                1,
                "2026-01-01T00:00:00Z",
                json!({"type": "Start", "application": "erp", "priceList": "silver"}),
            ),
            (2, "2026-02-10T23:30:00Z", json!({"type": "ChangePlan", "priceList": "gold"})),
        ] {
            let change = serde_json::from_value(change).unwrap();
            let event = Event { id, subscription: "t1".to_owned(), at: at.parse().unwrap(), change };
            history.apply(Fact::Happened(Happening { name: "acme".to_owned(), event }));
        }
        let zone = TimeZone::get("Europe/Zurich").unwrap();
        let plan = |day: &str| service(&history, "t1", day.parse().unwrap(), &zone).plan;
        assert_eq!((plan("2026-02-10"), plan("2026-02-11")), ("silver".to_owned(), "gold".to_owned()));
        assert_eq!(service(&history, "other", "2026-02-10".parse().unwrap(), &zone).name, "other");
    }

    #[test]
    fn the_language_is_the_one_asked_for_then_the_one_agreed() {
        assert_eq!(language(Some(Language::En), Some("de")).unwrap(), Language::En);
        assert_eq!(language(None, Some("de")).unwrap(), Language::De);
        assert_eq!(language(None, None).unwrap(), Language::En);
        assert!(language(None, Some("xx")).unwrap_err().to_string().contains("use one of en, de"));
    }
}
