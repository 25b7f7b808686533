//! A document as an invoice after EN 16931, what its rules find, and its XML. Pure.
//!
//! The rules are those of the crate `en16931`, which knows nothing of how we add up: our sums are given to it as they are, never
//! computed by it, so it is an independent check of them. Business terms (BT, BG) and rules (BR) are those of EN 16931-1:2017.

use en16931::invoice::{
    Code, Delivery, DocumentKind as Kind, Item as Goods, LineAllowanceCharge, Party as EnParty, Period,
    PostalAddress, PrecedingInvoice, PriceDetails, VatBreakdown,
};
use en16931::prelude::En16931;
use en16931::{
    Date, DocumentReference, Identifier, Invoice, InvoiceAmount, InvoiceLine, Percentage, Quantity,
    UnitPriceAmount, Validated,
};
use en16931_formats::Syntax as Written;
use rust_decimal::Decimal;
use tenantry_ledger::agreement::{Agreement, Party};
use tenantry_ledger::document::{Document, Item, Tax};
use tenantry_ledger::invoice::DocumentKind;
use tenantry_ledger::refusal::Refusal;

use crate::page::last_day;

/// BT-24 of the core invoice.
const SPECIFICATION: &str = "urn:cen.eu:en16931:2017";
/// BT-130 "one": pieces, months and seats alike.
const ONE: &str = "C62";
/// BT-140 "discount", of UNCL 5189.
const DISCOUNT: &str = "95";

/// What an invoice is written as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Syntax {
    /// OASIS UBL 2.1.
    Ubl,
    /// UN/CEFACT Cross Industry Invoice D16B.
    Cii,
}

/// What a rule of EN 16931 finds wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The rule, such as `BR-CO-26`.
    pub rule: String,
    /// Where, in business terms, such as `BG-4/BT-31`.
    pub place: String,
    /// What is wrong, and how it is put right where that is known.
    pub message: String,
}

/// What the rules find in a document; nothing in one that tax offices accept.
///
/// # Errors
/// A document that cannot be written after EN 16931 at all, such as one with three decimals.
pub fn findings(document: &Document) -> Result<Vec<Finding>, Refusal> {
    let invoice = invoice(document)?;
    let report = en16931::validate(&invoice);
    Ok(report.findings().iter().map(finding).collect())
}

/// A document as XML.
///
/// # Errors
/// A document that the rules find something in: nobody would accept it.
pub fn xml(document: &Document, syntax: Syntax) -> Result<String, Refusal> {
    let proof: Validated<En16931> = Validated::new(invoice(document)?).map_err(|rejected| {
        let found: Vec<String> =
            rejected.report().findings().iter().map(|one| finding(one).to_string()).collect();
        Refusal::new(
            format!("documents[{}]", document.number),
            format!("EN 16931 does not admit it: {}", found.join("; ")),
            "complete the InvoiceIssuer or the BillingAccount; documents made from then on are complete",
        )
    })?;
    let syntax = match syntax {
        Syntax::Ubl => Written::Ubl,
        Syntax::Cii => Written::Cii,
    };
    Ok(en16931_formats::write(&proof, syntax).xml)
}

/// Refuses an agreement whose documents nobody would accept, before there is one: a document with a charge for each of its rates
/// is made up and judged.
///
/// # Errors
/// The first thing that is missing, and where it is written.
pub fn check(agreement: &Agreement, day: jiff::civil::Date) -> Result<(), Refusal> {
    let rates = agreement.rates_on(day);
    for (name, rate) in &rates {
        let specimen = specimen(agreement, rate, day);
        if let Some(found) = findings(&specimen)?.into_iter().next() {
            let field = match found.place.split('/').next() {
                Some("BG-4") => "issuer".to_owned(),
                Some("BG-7") => "account".to_owned(),
                _ => format!("taxRates[{name}]"),
            };
            return Err(Refusal::new(
                field,
                format!("EN 16931 does not admit its documents: {found}"),
                remedy(&found),
            ));
        }
    }
    Ok(())
}

/// A document with one charge of a rate, as the account would get it.
fn specimen(agreement: &Agreement, rate: &tenantry_ledger::tax::Rate, day: jiff::civil::Date) -> Document {
    use tenantry_ledger::ledger::Effect;
    use tenantry_ledger::line::Kind;

    let currency = agreement.account.currency;
    let amount = |minor: i64| tenantry_ledger::exact::to_text(&currency.major(minor), currency.decimals());
    // A hundred times the smallest amount is taxed by whole percents exactly.
    let (base, percent) = (10_000, rate.percent.value().clone());
    let tax = tenantry_ledger::money::round_minor(&(percent * tenantry_ledger::exact::whole(base / 100)))
        .unwrap_or_default();
    Document {
        number: "1".to_owned(),
        kind: DocumentKind::Invoice,
        type_code: DocumentKind::Invoice.code(),
        issued: day,
        due: Some(day),
        currency,
        account: agreement.account.id.clone(),
        seller: agreement.seller.clone(),
        buyer: agreement.buyer.clone(),
        language: agreement.language.clone(),
        payment: agreement.payment.clone(),
        lines: vec![Item {
            entry: 1,
            subscription: "1".to_owned(),
            name: "1".to_owned(),
            charge: "base".to_owned(),
            kind: Kind::Recurring,
            effect: Effect::Charge,
            from: day.into(),
            to: day.into(),
            quantity: "1".to_owned(),
            terms: String::new(),
            amount: amount(base),
            reduction: amount(0),
            net: amount(base),
            tax_category: rate.category.clone(),
            tax_percent: rate.percent.to_string(),
            corrects: None,
        }],
        taxes: vec![Tax {
            category: rate.category.clone(),
            percent: rate.percent.to_string(),
            reason: rate.reason.clone(),
            base: amount(base),
            tax: amount(tax),
        }],
        net: amount(base),
        tax: amount(tax),
        gross: amount(base + tax),
        drawn: amount(0),
        surplus: amount(0),
        payable: amount(base + tax),
    }
}

/// Where what a rule asks for is written.
fn remedy(found: &Finding) -> String {
    let remedy = match found.rule.as_str() {
        "BR-CO-26" => "write the issuer's vatId or registration",
        rule if rule.ends_with("-10") => "write exemptionReason at the tax rate",
        rule if rule.starts_with("BR-S-") || rule.starts_with("BR-Z-") || rule.starts_with("BR-E-") => {
            "write the issuer's vatId"
        }
        rule if rule.starts_with("BR-AE-") || rule.starts_with("BR-IC-") => {
            "write vatId of the issuer and of the account"
        }
        rule if rule.starts_with("BR-G-") => "write the issuer's vatId",
        rule if rule.starts_with("BR-O-") => {
            "leave out vatId of issuer and account, or name another category"
        }
        "BR-CO-09" => "begin the vatId with the two letters of its country",
        _ => "correct what is named",
    };
    remedy.to_owned()
}

fn finding(found: &en16931::Finding) -> Finding {
    let mut message = found.message.to_string();
    if let Some(hint) = &found.hint {
        message = format!("{message} ({hint})");
    }
    Finding { rule: found.rule.as_str().to_owned(), place: found.path.to_string(), message }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} at {}: {}", self.rule, self.place, self.message)
    }
}

/// A document in business terms, with our own sums.
fn invoice(document: &Document) -> Result<Invoice, Refusal> {
    let is_credit = document.kind == DocumentKind::CreditNote;
    let reading = Reading { sign: if is_credit { Decimal::NEGATIVE_ONE } else { Decimal::ONE }, document };
    let mut invoice = Invoice::default();
    invoice.kind = if is_credit { Kind::CreditNote } else { Kind::Invoice };
    invoice.specification_id = Some(SPECIFICATION.to_owned());
    invoice.number = Some(document.number.clone());
    invoice.issue_date = Some(reading.date(document.issued)?);
    invoice.type_code = Some(Code::new(document.type_code.to_string()));
    invoice.currency = Some(Code::new(document.currency.code()));
    invoice.due_date = document.due.map(|due| reading.date(due)).transpose()?;
    invoice.payment_terms = (!document.payment.is_empty()).then(|| document.payment.join("\n"));
    invoice.seller = party(&document.seller);
    invoice.buyer = party(&document.buyer);
    invoice.preceding_invoices = preceding(&document.lines);
    invoice.invoicing_period = reading.whole_period()?;
    if document.taxes.iter().any(|tax| tax.category == "K") {
        let address =
            PostalAddress { country: Some(Code::new(&document.buyer.country)), ..PostalAddress::default() };
        invoice.delivery = Some(Delivery { address: Some(address), ..Delivery::default() });
    }
    invoice.vat_breakdown = document.taxes.iter().map(|tax| reading.tax(tax)).collect::<Result<_, _>>()?;
    invoice.lines = (1_usize..)
        .zip(&document.lines)
        .map(|(number, line)| reading.line(number, line))
        .collect::<Result<_, _>>()?;
    let gross = reading.amount("gross", &document.gross)?;
    let due = reading.amount("payable", &document.payable)?;
    let totals = &mut invoice.totals;
    totals.line_total = reading.amount("net", &document.net)?;
    totals.taxable_total = totals.line_total;
    totals.vat_total = Some(reading.amount("tax", &document.tax)?);
    totals.gross_total = gross;
    // What the account's balance paid, or took in, is paid: what is left is due.
    let paid = gross.checked_sub(due).map_err(|error| reading.refuse("gross", &error))?;
    totals.paid = (!paid.is_zero()).then_some(paid);
    totals.due = due;
    Ok(invoice)
}

/// A document that is read into business terms. A credit note states positively what it gives back.
struct Reading<'d> {
    document: &'d Document,
    sign: Decimal,
}

impl Reading<'_> {
    fn refuse(&self, field: &str, reason: &dyn std::fmt::Display) -> Refusal {
        Refusal::new(
            format!("documents[{}].{field}", self.document.number),
            reason.to_string(),
            "bill the account in a currency with at most two decimals",
        )
    }

    fn decimal(&self, field: &str, text: &str) -> Result<Decimal, Refusal> {
        text.parse().map_err(|error: rust_decimal::Error| self.refuse(field, &error))
    }

    fn signed(&self, field: &str, text: &str) -> Result<Decimal, Refusal> {
        Ok(self.decimal(field, text)? * self.sign)
    }

    fn amount(&self, field: &str, text: &str) -> Result<InvoiceAmount, Refusal> {
        self.exactly(field, self.signed(field, text)?)
    }

    fn exactly(&self, field: &str, value: Decimal) -> Result<InvoiceAmount, Refusal> {
        InvoiceAmount::from_decimal_exact(value).map_err(|error| self.refuse(field, &error))
    }

    fn date(&self, day: jiff::civil::Date) -> Result<Date, Refusal> {
        let (month, number) = (day.month().unsigned_abs(), day.day().unsigned_abs());
        Date::new(i32::from(day.year()), month, number).map_err(|error| self.refuse("issued", &error))
    }

    fn tax(&self, tax: &Tax) -> Result<VatBreakdown, Refusal> {
        let code = match tax.category.as_str() {
            "AE" => Some("VATEX-EU-AE"),
            "G" => Some("VATEX-EU-G"),
            "K" => Some("VATEX-EU-IC"),
            "O" => Some("VATEX-EU-O"),
            _ => None,
        };
        Ok(VatBreakdown {
            taxable_amount: self.amount("taxes.base", &tax.base)?,
            tax_amount: self.amount("taxes.tax", &tax.tax)?,
            category: Code::new(&tax.category),
            rate: self.rate(&tax.category, &tax.percent)?,
            exemption_reason: tax.reason.clone(),
            exemption_reason_code: code.map(Code::new),
        })
    }

    /// What is outside the scope of tax has no rate (BR-O-05).
    fn rate(&self, category: &str, percent: &str) -> Result<Option<Percentage>, Refusal> {
        if category == "O" {
            return Ok(None);
        }
        Ok(Some(Percentage::new(self.decimal("taxes.percent", percent)?)))
    }

    fn line(&self, number: usize, line: &Item) -> Result<InvoiceLine, Refusal> {
        let net = self.signed("lines.net", &line.net)?;
        let reduction = self.signed("lines.reduction", &line.reduction)?;
        // A reduction is shown where something is charged; what is given back is less by it, and that is all to say.
        let is_reduced = reduction > Decimal::ZERO && net >= Decimal::ZERO;
        let priced = if is_reduced { net + reduction } else { net };
        let mut quantity = self.signed("lines.quantity", &line.quantity)?;
        if quantity.is_zero() || quantity.is_sign_negative() != priced.is_sign_negative() {
            quantity = if priced.is_sign_negative() { Decimal::NEGATIVE_ONE } else { Decimal::ONE };
        }
        // The price of all of it, so that no price has to be rounded (BT-149).
        let price = PriceDetails {
            net_price: UnitPriceAmount::new(priced.abs()),
            base_quantity: Some(Quantity::new(quantity.abs())),
            base_quantity_code: Some(Code::new(ONE)),
            ..PriceDetails::default()
        };
        let percentage = self.rate(&line.tax_category, &line.tax_percent)?;
        let item = Goods {
            name: Some(format!("{}: {}", line.name, line.charge)),
            description: (!line.terms.is_empty()).then(|| line.terms.clone()),
            ..Goods::default()
        };
        let mut written = InvoiceLine::new(
            number.to_string(),
            "",
            Quantity::new(quantity),
            ONE,
            self.exactly("lines.net", net)?,
            line.tax_category.as_str(),
            percentage,
        )
        .with_price(price)
        .with_item(item);
        if is_reduced {
            written.allowances.push(LineAllowanceCharge {
                amount: self.exactly("lines.reduction", reduction)?,
                base_amount: None,
                percentage: None,
                reason: None,
                reason_code: Some(Code::new(DISCOUNT)),
            });
        }
        if let Some(last) = last_day(line) {
            let period = Period { start: Some(self.date(line.from.date())?), end: Some(self.date(last)?) };
            written = written.with_period(period);
        }
        Ok(written)
    }

    /// From the first to the last day of all lines.
    fn whole_period(&self) -> Result<Option<Period>, Refusal> {
        let first = self.document.lines.iter().map(|line| line.from.date()).min();
        let last = self.document.lines.iter().map(|line| last_day(line).unwrap_or(line.from.date())).max();
        let (Some(first), Some(last)) = (first, last) else { return Ok(None) };
        Ok(Some(Period { start: Some(self.date(first)?), end: Some(self.date(last)?) }))
    }
}

fn party(party: &Party) -> EnParty {
    let Party { name, address, country, vat_id, registration, email } = party;
    let mut lines = address.iter().filter(|line| !line.trim().is_empty()).cloned();
    let address = PostalAddress {
        line1: lines.next(),
        line2: lines.next(),
        line3: Some(lines.collect::<Vec<_>>().join(", ")).filter(|rest| !rest.is_empty()),
        country: Some(Code::new(country)),
        ..PostalAddress::default()
    };
    EnParty {
        name: Some(name.clone()),
        vat_identifier: vat_id.clone(),
        legal_registration: registration.as_deref().map(Identifier::new),
        electronic_address: email.as_deref().and_then(|email| Identifier::eas(email, "EM").ok()),
        address,
        ..EnParty::default()
    }
}

/// The documents that lines correct, each once.
fn preceding(lines: &[Item]) -> Vec<PrecedingInvoice> {
    let mut numbers: Vec<&String> = lines.iter().filter_map(|line| line.corrects.as_ref()).collect();
    numbers.sort();
    numbers.dedup();
    numbers
        .into_iter()
        .map(|number| PrecedingInvoice { reference: DocumentReference::new(number), issue_date: None })
        .collect()
}
