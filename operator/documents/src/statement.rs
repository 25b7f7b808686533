//! What an account was billed in a stretch of time, document by document and tenant by tenant. Pure.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tenantry_ledger::document::Document;
use tenantry_ledger::exact::{Decimal, Exact, to_text};
use tenantry_ledger::invoice::DocumentKind;
use tenantry_ledger::money::Currency;
use tenantry_ledger::refusal::Refusal;

use crate::language::Language;
use crate::page::PageError;

/// A statement. Amounts are decimals in major units.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// The account.
    pub account: String,
    /// The company that pays.
    pub buyer: String,
    /// In what it is billed.
    pub currency: Currency,
    /// The language that was agreed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The first day.
    pub from: Date,
    /// The first day after.
    pub to: Date,
    /// What was billed before, with tax.
    pub before: String,
    /// What was billed in this time, the earliest first.
    pub documents: Vec<Entry>,
    /// What each tenant has on them, before tax, which is rounded once for a document.
    pub tenants: Vec<Share>,
    /// Billed in this time, with tax.
    pub billed: String,
    /// Billed up to the end of it, with tax.
    pub after: String,
}

/// A document of a statement.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its date.
    pub issued: Date,
    /// Its number.
    pub number: String,
    /// Invoice or credit note.
    pub kind: DocumentKind,
    /// Before tax.
    pub net: String,
    /// Tax.
    pub tax: String,
    /// Both.
    pub gross: String,
    /// What is to be paid of it.
    pub payable: String,
}

/// What a tenant has on an account's documents.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// The tenant.
    pub tenant: String,
    /// The subscription's name.
    pub name: String,
    /// Before tax.
    pub net: String,
}

/// Makes a statement of an account's final documents, in whatever order they come. What is not from `from` to `to`, that day
/// excluded, is only added up.
///
/// # Errors
/// No documents at all, so that nothing is known of the account; documents of several accounts; `to` before `from`.
pub fn statement(documents: &[Document], from: Date, to: Date) -> Result<Statement, Refusal> {
    let refuse = |field: &str, reason: String, remedy: &str| Err(Refusal::new(field, reason, remedy));
    let Some(newest) = documents.iter().max_by_key(|document| document.issued) else {
        return refuse("account", "nothing was billed to it".to_owned(), "ask when there is an invoice");
    };
    if to < from {
        return refuse("to", format!("{to} is before {from}"), "write a later day");
    }
    if let Some(other) = documents.iter().find(|document| document.account != newest.account) {
        return refuse("account", format!("{} and {}", newest.account, other.account), "ask for one account");
    }
    let currency = newest.currency;
    let money = |amount: &Exact| to_text(amount, currency.decimals());
    let mut sums = [Exact::default(), Exact::default()];
    let mut tenants: BTreeMap<(&str, &str), Exact> = BTreeMap::new();
    let mut within: Vec<&Document> = Vec::new();
    for document in documents.iter().filter(|document| document.issued < to) {
        let is_before = document.issued < from;
        let [before, billed] = &mut sums;
        *(if is_before { before } else { billed }) += Decimal::parse("gross", &document.gross)?.value();
        if is_before {
            continue;
        }
        within.push(document);
        for line in &document.lines {
            let share = tenants.entry((&line.name, &line.subscription)).or_default();
            *share += Decimal::parse("net", &line.net)?.value();
        }
    }
    within.sort_by(|one, other| (one.issued, &one.number).cmp(&(other.issued, &other.number)));
    let [before, billed] = &sums;
    Ok(Statement {
        account: newest.account.clone(),
        buyer: newest.buyer.name.clone(),
        currency,
        language: newest.language.clone(),
        from,
        to,
        before: money(before),
        documents: within.into_iter().map(Entry::of).collect(),
        tenants: tenants
            .into_iter()
            .map(|((name, tenant), net)| Share {
                tenant: tenant.to_owned(),
                name: name.to_owned(),
                net: money(&net),
            })
            .collect(),
        billed: money(billed),
        after: money(&(before + billed)),
    })
}

impl Entry {
    fn of(document: &Document) -> Self {
        let Document { issued, number, kind, net, tax, gross, payable, .. } = document;
        Self {
            issued: *issued,
            number: number.clone(),
            kind: *kind,
            net: net.clone(),
            tax: tax.clone(),
            gross: gross.clone(),
            payable: payable.clone(),
        }
    }
}

/// Writes a statement as a page.
///
/// # Errors
/// An error of this program.
pub fn page(statement: &Statement, language: Language) -> Result<String, PageError> {
    #[derive(Serialize)]
    struct Page<'a> {
        lang: &'static str,
        title: &'a str,
        account: [&'a str; 2],
        buyer: &'a str,
        time: [[&'a str; 2]; 2],
        headings: [&'a str; 6],
        rows: Vec<[String; 6]>,
        tenants: &'a str,
        tenant_headings: [&'a str; 2],
        shares: Vec<[String; 2]>,
        sums: Vec<[String; 2]>,
        empty: &'a str,
    }

    let words = language.words().map_err(|error| PageError::Texts(language, error))?;
    let money = |amount: &str| format!("{} {}", words.amount(amount), statement.currency);
    let kind = |kind| match kind {
        DocumentKind::Invoice => words.invoice.clone(),
        DocumentKind::CreditNote => words.credit_note.clone(),
    };
    let (from, to) = (words.day(statement.from), words.day(statement.to.yesterday().unwrap_or(statement.to)));
    let row = |entry: &Entry| {
        [
            words.day(entry.issued),
            format!("{} {}", kind(entry.kind), entry.number),
            words.amount(&entry.net),
            words.amount(&entry.tax),
            words.amount(&entry.gross),
            words.amount(&entry.payable),
        ]
    };
    let page = Page {
        lang: language.code(),
        title: &words.statement,
        account: [&words.account, &statement.account],
        buyer: &statement.buyer,
        time: [[&words.from, &from], [&words.until, &to]],
        headings: [&words.issued, &words.document, &words.sum, &words.tax, &words.gross, &words.payable],
        rows: statement.documents.iter().map(row).collect(),
        tenants: &words.tenants,
        tenant_headings: [&words.tenant, &words.sum],
        shares: statement.tenants.iter().map(|share| [share.name.clone(), money(&share.net)]).collect(),
        sums: vec![
            [format!("{} {}", words.until, from), money(&statement.before)],
            [format!("{from} {} {to}", words.to_day), money(&statement.billed)],
            [words.gross.clone(), money(&statement.after)],
        ],
        empty: &words.empty,
    };
    let mut engine = tera::Tera::new();
    engine.add_raw_template("statement.html", include_str!("statement.html"))?;
    Ok(engine.render("statement.html", &tera::Context::from_serialize(&page)?)?)
}
