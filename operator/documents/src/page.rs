//! A document as a page for people: HTML that needs nothing else and prints on A4. Pure.
//!
//! Every text goes through the template's escaping: a company may call itself `<script>`.

use serde::Serialize;
use tenantry_ledger::agreement::Party;
use tenantry_ledger::document::{Document, Item};
use tenantry_ledger::invoice::DocumentKind;
use tenantry_ledger::ledger::Effect;
use tenantry_ledger::line::Kind;
use thiserror::Error;

use crate::language::{Language, Words};

/// The name of the template: what ends with `.html` is escaped.
const TEMPLATE: &str = "page.html";

/// A page could not be written, which is an error of this program.
#[derive(Debug, Error)]
pub enum PageError {
    /// The texts of the language cannot be read.
    #[error("the texts of the language {0} cannot be read: {1}")]
    Texts(Language, serde_json::Error),
    /// The template does not fit what it is given.
    #[error("the page cannot be written: {0}")]
    Template(#[from] tera::Error),
}

#[derive(Serialize)]
struct Page {
    lang: &'static str,
    title: String,
    number: String,
    seller: Address,
    buyer: Address,
    words: Headings,
    facts: Vec<[String; 2]>,
    groups: Vec<Group>,
    has_reductions: bool,
    sums: Vec<Sum>,
    notes: Vec<String>,
    footer: String,
}

#[derive(Serialize)]
struct Address {
    name: String,
    lines: String,
}

#[derive(Serialize)]
struct Headings {
    buyer: String,
    charge: String,
    period: String,
    quantity: String,
    reduction: String,
    tax_rate: String,
    net: String,
}

/// The lines of one tenant.
#[derive(Serialize)]
struct Group {
    name: String,
    lines: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    charge: String,
    about: String,
    period: String,
    quantity: String,
    reduction: String,
    tax: String,
    net: String,
}

#[derive(Serialize)]
struct Sum {
    name: String,
    amount: String,
    is_total: bool,
}

/// Writes a document as a page, in a language that need not be the one it was agreed in.
///
/// # Errors
/// An error of this program.
pub fn page(document: &Document, language: Language) -> Result<String, PageError> {
    let words = language.words().map_err(|error| PageError::Texts(language, error))?;
    let mut engine = tera::Tera::new();
    engine.add_raw_template(TEMPLATE, include_str!("page.html"))?;
    let context = tera::Context::from_serialize(&Page::new(document, language, &words))?;
    Ok(engine.render(TEMPLATE, &context)?)
}

/// Whether a decimal is nothing.
pub(crate) fn is_zero(decimal: &str) -> bool {
    decimal.bytes().all(|byte| matches!(byte, b'0' | b'.' | b'-'))
}

// === impl Page ===

impl Page {
    fn new(document: &Document, language: Language, words: &Words) -> Self {
        let title = match document.kind {
            DocumentKind::Invoice => &words.invoice,
            DocumentKind::CreditNote => &words.credit_note,
        };
        let is_draft = document.number.ends_with("-DRAFT");
        Self {
            lang: language.code(),
            title: title.clone(),
            number: if is_draft { words.draft.clone() } else { document.number.clone() },
            seller: Address::new(&document.seller, words),
            buyer: Address::new(&document.buyer, words),
            words: Headings::new(words),
            facts: facts(document, words),
            groups: groups(&document.lines, words),
            has_reductions: document.lines.iter().any(|line| !is_zero(&line.reduction)),
            sums: sums(document, words),
            notes: notes(document, words),
            footer: document.payment.join("\n"),
        }
    }
}

impl Address {
    fn new(party: &Party, words: &Words) -> Self {
        let Party { name, address, country, vat_id, registration, email } = party;
        let mut lines = address.clone();
        lines.push(country.clone());
        lines.extend(registration.iter().map(|number| format!("{} {number}", words.registration)));
        lines.extend(vat_id.iter().map(|number| format!("{} {number}", words.vat_id)));
        lines.extend(email.clone());
        Self { name: name.clone(), lines: lines.join("\n") }
    }
}

impl Headings {
    fn new(words: &Words) -> Self {
        Self {
            buyer: words.buyer.clone(),
            charge: words.charge.clone(),
            period: words.period.clone(),
            quantity: words.quantity.clone(),
            reduction: words.reduction.clone(),
            tax_rate: words.tax_rate.clone(),
            net: words.net.clone(),
        }
    }
}

fn facts(document: &Document, words: &Words) -> Vec<[String; 2]> {
    let mut facts = vec![
        [words.issued.clone(), words.day(document.issued)],
        [words.account.clone(), document.account.clone()],
    ];
    facts.extend(document.due.map(|due| [words.due.clone(), words.day(due)]));
    facts
}

/// The lines by tenant, in the order in which tenants first come.
fn groups(lines: &[Item], words: &Words) -> Vec<Group> {
    let mut groups: Vec<(&str, Group)> = Vec::new();
    for line in lines {
        let row = row(line, words);
        match groups.iter_mut().find(|(tenant, _)| *tenant == line.subscription) {
            Some((_, group)) => group.lines.push(row),
            None => groups.push((&line.subscription, Group { name: line.name.clone(), lines: vec![row] })),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

fn row(line: &Item, words: &Words) -> Row {
    let kind = match line.kind {
        Kind::Recurring => &words.recurring,
        Kind::OneTime => &words.one_time,
        Kind::Usage => &words.usage,
        Kind::TrueUp => &words.true_up,
        Kind::ClawBack => &words.claw_back,
    };
    let effect = match line.effect {
        Effect::Charge => "",
        Effect::Credit => &words.credit,
        Effect::Adjustment => &words.adjustment,
    };
    let corrects = line.corrects.as_ref().map(|number| format!("{} {number}", words.corrects));
    let about = [kind.as_str(), effect, corrects.as_deref().unwrap_or_default()];
    Row {
        charge: line.charge.clone(),
        about: about.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", "),
        period: period(line, words),
        quantity: words.amount(&line.quantity),
        reduction: if is_zero(&line.reduction) { String::new() } else { words.amount(&line.reduction) },
        tax: format!("{} %", words.amount(&line.tax_percent)),
        net: words.amount(&line.net),
    }
}

/// First and last day, as people read them: what ends at midnight ends on the day before.
fn period(line: &Item, words: &Words) -> String {
    let first = line.from.date();
    match last_day(line) {
        Some(last) if last > first => {
            format!("{} {} {}", words.day(first), words.to_day, words.day(last))
        }
        _ => words.day(first),
    }
}

/// The last day on which something of a line's period is; none where the period is empty.
pub(crate) fn last_day(line: &Item) -> Option<jiff::civil::Date> {
    if line.to <= line.from {
        return None;
    }
    let is_midnight = line.to.time() == jiff::civil::Time::midnight();
    if is_midnight { line.to.date().yesterday().ok() } else { Some(line.to.date()) }
}

fn sums(document: &Document, words: &Words) -> Vec<Sum> {
    let money = |amount: &str| format!("{} {}", words.amount(amount), document.currency);
    let mut sums = vec![Sum::part(&words.sum, money(&document.net))];
    for tax in &document.taxes {
        let name =
            format!("{} {} % {} {}", words.tax, words.amount(&tax.percent), words.of, money(&tax.base));
        sums.push(Sum::part(&name, money(&tax.tax)));
    }
    sums.push(Sum::total(&words.gross, money(&document.gross)));
    for (name, amount) in [(&words.drawn, &document.drawn), (&words.surplus, &document.surplus)] {
        if !is_zero(amount) {
            sums.push(Sum::part(name, money(amount)));
        }
    }
    sums.push(Sum::total(&words.payable, money(&document.payable)));
    sums
}

impl Sum {
    fn part(name: &str, amount: String) -> Self {
        Self { name: name.to_owned(), amount, is_total: false }
    }

    fn total(name: &str, amount: String) -> Self {
        Self { is_total: true, ..Self::part(name, amount) }
    }
}

fn notes(document: &Document, words: &Words) -> Vec<String> {
    let mut notes: Vec<String> = document
        .taxes
        .iter()
        .filter_map(|tax| tax.reason.clone().or_else(|| words.reason(&tax.category).map(str::to_owned)))
        .collect();
    notes.dedup();
    notes.push(match document.due {
        Some(due) => format!("{} {}.", words.pay_by, words.day(due)),
        None => words.nothing_to_pay.clone(),
    });
    notes
}
