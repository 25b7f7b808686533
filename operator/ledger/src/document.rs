//! An invoice or credit note as it is kept, sent and shown: everything it says is in it, in words and decimals. Pure.

use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime};
use serde::{Deserialize, Serialize};

use crate::agreement::{Agreement, Party};
use crate::exact::{Decimal, Exact, to_text};
use crate::history::History;
use crate::invoice::{DocumentKind, DocumentLine, Draft, Source};
use crate::ledger::{Effect, Entry, Posting};
use crate::line::Kind;
use crate::money::{Currency, round_minor};
use crate::refusal::Refusal;
use crate::series::Series;

/// A document. Amounts are decimals in major units of its currency.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// Its number, or what stands in its place while it is a draft.
    pub number: String,
    /// Invoice or credit note.
    pub kind: DocumentKind,
    /// The code of its kind in UNTDID 1001: 380 or 381.
    pub type_code: u16,
    /// Its date, which is that of the boundary it bills.
    pub issued: Date,
    /// When it is to be paid, if there is anything to pay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Date>,
    /// In what it is written.
    pub currency: Currency,
    /// The account.
    pub account: String,
    /// Who sends it.
    pub seller: Party,
    /// Who pays it.
    pub buyer: Party,
    /// The language that it is written in for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Where and how it is paid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payment: Vec<String>,
    /// What it charges and gives back.
    pub lines: Vec<Item>,
    /// The tax of each category and rate.
    pub taxes: Vec<Tax>,
    /// The sum of the lines.
    pub net: String,
    /// The sum of the taxes.
    pub tax: String,
    /// Both.
    pub gross: String,
    /// What the account's balance paid of it.
    pub drawn: String,
    /// What was put on the account's balance.
    pub surplus: String,
    /// What is left to pay.
    pub payable: String,
}

/// A line of a document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// The entry of the account's ledger that it shows.
    pub entry: u64,
    /// The tenant.
    pub subscription: String,
    /// The subscription's name.
    pub name: String,
    /// What is charged.
    pub charge: String,
    /// Of what kind it is.
    pub kind: Kind,
    /// Whether it charges or gives back.
    pub effect: Effect,
    /// The first moment that it is for, by the account's clock.
    pub from: DateTime,
    /// The first moment after.
    pub to: DateTime,
    /// How many; negative where they are given back.
    pub quantity: String,
    /// Price list, phase, quantity and discounts.
    pub terms: String,
    /// Before coupons.
    pub amount: String,
    /// What coupons took off, or took off what is given back.
    pub reduction: String,
    /// What is left, before tax.
    pub net: String,
    /// The tax category.
    pub tax_category: String,
    /// The tax rate, in percent.
    pub tax_percent: String,
    /// The number of the document whose line it corrects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrects: Option<String>,
}

/// The tax of one category and rate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tax {
    /// The category's code.
    pub category: String,
    /// Percent.
    pub percent: String,
    /// Why nothing is taxed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is taxed.
    pub base: String,
    /// The tax.
    pub tax: String,
}

/// What a document of a draft is made with.
pub(crate) struct Making<'a> {
    pub(crate) history: &'a History,
    pub(crate) agreement: &'a Agreement,
    pub(crate) entries: &'a [Entry],
    pub(crate) boundary: DateTime,
    /// Whether it gets a number.
    pub(crate) is_final: bool,
}

impl Document {
    /// What is left to pay, in minor units.
    ///
    /// # Errors
    /// It is no amount.
    pub fn left_to_pay(&self) -> Result<i64, Refusal> {
        self.currency.round(Decimal::parse("payable", &self.payable)?.value())
    }
}

impl DocumentKind {
    /// The code of UNTDID 1001.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Invoice => 380,
            Self::CreditNote => 381,
        }
    }
}

impl Making<'_> {
    /// The document that a draft amounts to; none where nothing is on it.
    pub(crate) fn document(&self, draft: &Draft) -> Result<Option<Document>, Refusal> {
        if draft.lines.is_empty() {
            return Ok(None);
        }
        let Self { history, agreement, boundary, .. } = *self;
        let currency = agreement.account.currency;
        let money = |minor: i64| to_text(&currency.major(minor), currency.decimals());
        let issued = boundary.date();
        let due = issued.checked_add(i64::from(agreement.payment_days).days()).map_err(|_| {
            Refusal::new("paymentDays", "the document would be due after the calendar", "write fewer days")
        })?;
        let series = series(history, agreement, draft.kind);
        let lines = draft.lines.iter().map(|line| self.item(line, currency)).collect::<Result<_, _>>()?;
        Ok(Some(Document {
            number: match self.is_final {
                true => series.number(history.next_number(draft.kind)),
                false => series.draft(),
            },
            kind: draft.kind,
            type_code: draft.kind.code(),
            issued,
            due: (draft.settlement.payable > 0).then_some(due),
            currency,
            account: agreement.account.id.clone(),
            seller: agreement.seller.clone(),
            buyer: agreement.buyer.clone(),
            language: agreement.language.clone(),
            payment: agreement.payment.clone(),
            lines,
            taxes: draft
                .taxes
                .iter()
                .map(|total| Tax {
                    category: total.rate.category.clone(),
                    percent: total.rate.percent.to_string(),
                    reason: total.rate.reason.clone(),
                    base: money(total.base),
                    tax: money(total.tax),
                })
                .collect(),
            net: money(draft.net),
            tax: money(draft.tax),
            gross: money(draft.gross),
            drawn: money(draft.settlement.drawn),
            surplus: money(draft.settlement.surplus),
            payable: money(draft.settlement.payable),
        }))
    }

    fn item(&self, line: &DocumentLine, currency: Currency) -> Result<Item, Refusal> {
        let Source::Posting(posting) = &line.source else {
            return Err(Refusal::new(
                "serviceCredits",
                "it is on no ledger",
                "post what is given back before it is put on a document",
            ));
        };
        let gives_back = posting.effect != Effect::Charge;
        let amount = crate::exact::whole(posting.amount.minor);
        let shown = |minor: &Exact| {
            Ok::<_, Refusal>(to_text(&currency.major(round_minor(minor)?), currency.decimals()))
        };
        let sign = if gives_back && posting.quantity != "0" { "-" } else { "" };
        Ok(Item {
            entry: self.entry(posting).unwrap_or_default(),
            subscription: posting.key.subscription.clone(),
            name: self.history.name_of(&posting.key.subscription).to_owned(),
            charge: posting.key.charge.clone(),
            kind: posting.key.kind,
            effect: posting.effect,
            from: posting.key.period.from,
            to: posting.key.period.to,
            quantity: format!("{sign}{}", posting.quantity),
            terms: posting.key.terms.clone(),
            amount: shown(&amount)?,
            reduction: shown(&(&amount - &line.net))?,
            net: shown(&line.net)?,
            tax_category: line.rate.category.clone(),
            tax_percent: line.rate.percent.to_string(),
            corrects: posting.refers_to.and_then(|id| self.history.document_of(id)).map(str::to_owned),
        })
    }

    fn entry(&self, posting: &Posting) -> Option<u64> {
        self.entries.iter().find(|entry| entry.posting == *posting).map(|entry| entry.id)
    }
}

/// The series in which a document of a kind is numbered.
fn series(history: &History, agreement: &Agreement, kind: DocumentKind) -> Series {
    let prefix = match kind {
        DocumentKind::Invoice => &agreement.series.invoice,
        DocumentKind::CreditNote => &agreement.series.credit_note,
    };
    Series { prefix: prefix.clone(), account: history.place() }
}
