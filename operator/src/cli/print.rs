//! `tenantry print`, `tenantry statement` and `tenantry focus`: documents for people, tax offices and other programs. Needs the
//! database or the billing address.

use super::Outcome;
use super::books::{Access, Way, reading};
use super::table::table;
use crate::printed;
use clap::{Args, ValueEnum};
use jiff::civil::Date;
use tenantry_documents::focus;
use tenantry_documents::language::Language;
use tenantry_documents::page::page;
use tenantry_documents::standard::{Syntax, xml};
use tenantry_documents::statement::{self, Statement};
use tenantry_journal::Database;

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
    access: Access,
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
    access: Access,
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
    access: Access,
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
    let document = arguments.access.document(&arguments.number).await?;
    let text = match arguments.form {
        Form::Html => page(&document, language(arguments.language, document.language.as_deref())?)?,
        Form::Ubl => xml(&document, Syntax::Ubl)?,
        Form::Cii => xml(&document, Syntax::Cii)?,
    };
    println!("{}", text.trim_end());
    Ok(Outcome::Good)
}

pub(crate) async fn of_account(arguments: &OfAccount) -> anyhow::Result<Outcome> {
    let OfAccount { account, time, output, language: asked, access } = arguments;
    let path = format!("/v1/accounts/{account}/statement?{}", time.query());
    let here = async |database: &Database| Ok(printed::billed(database, account, time.meant()).await?);
    let statement: Statement = access.ask(&path, here).await?;
    match output {
        StatementForm::Table => print!("{}", shown(&statement)),
        StatementForm::Json => println!("{}", serde_json::to_string_pretty(&statement)?),
        StatementForm::Html => {
            let language = language(*asked, statement.language.as_deref())?;
            println!("{}", statement::page(&statement, language)?.trim_end());
        }
    }
    Ok(Outcome::Good)
}

pub(crate) async fn of_time(arguments: &OfTime) -> anyhow::Result<Outcome> {
    let OfTime { account, time, access } = arguments;
    let csv = match access.way().await? {
        Way::Database(url) => {
            let here = async |database: &Database| {
                Ok(printed::focus(database, account.as_deref(), time.meant()).await?)
            };
            focus::csv(&reading(&url, here).await?)?
        }
        Way::Server(server) => {
            let of = account.as_ref().map(|account| format!("&account={account}")).unwrap_or_default();
            server.text(&format!("/v1/focus?{}{of}", time.query())).await?
        }
    };
    print!("{csv}");
    if csv.is_empty() {
        eprintln!("no document is of this time");
        return Ok(Outcome::Bad);
    }
    Ok(Outcome::Good)
}

impl Time {
    fn meant(self) -> printed::Time {
        printed::Time { from: self.from, to: self.to }
    }

    fn query(self) -> String {
        format!("from={}&to={}", self.from, self.to)
    }
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
    let Statement {
        account,
        buyer,
        currency,
        language: _,
        from,
        to,
        before,
        documents,
        tenants,
        billed,
        after,
    } = statement;
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

    #[test]
    fn the_language_is_the_one_asked_for_then_the_one_agreed() {
        assert_eq!(language(Some(Language::En), Some("de")).unwrap(), Language::En);
        assert_eq!(language(None, Some("de")).unwrap(), Language::De);
        assert_eq!(language(None, None).unwrap(), Language::En);
        assert!(language(None, Some("xx")).unwrap_err().to_string().contains("use one of en, de"));
    }
}
