//! Documents as rows of FOCUS 1.2, the FinOps Open Cost and Usage Specification, in CSV. Pure.
//!
//! One row for each line and one for each tax, so that `BilledCost` of all rows with an `InvoiceId` adds up to the document's total
//! with tax. What the account's balance paid is a payment and no row. All 57 columns are written, in the order of the
//! specification; what does not apply to hosted applications, such as commitments of a cloud, is null, which CSV writes as
//! nothing.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::json;
use tenantry_ledger::document::{Document, Item, Tax};
use tenantry_ledger::ledger::Effect;
use tenantry_ledger::line::Kind;
use tenantry_ledger::refusal::Refusal;

use crate::page::last_day;

/// Decimals of a price of one, where it does not come out even.
const UNIT_PRICE_DECIMALS: u32 = 12;

/// What a document does not say of what is charged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// The application, which is what a customer calls the service.
    pub name: String,
    /// The plan.
    pub plan: String,
}

/// A row. Its members are in the order of the columns.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "each is the column of its name, which the specification describes")]
pub struct Row {
    pub availability_zone: Option<String>,
    pub billed_cost: Decimal,
    pub billing_account_id: String,
    pub billing_account_name: Option<String>,
    pub billing_account_type: Option<&'static str>,
    pub billing_currency: String,
    pub billing_period_end: String,
    pub billing_period_start: String,
    pub capacity_reservation_id: Option<String>,
    pub capacity_reservation_status: Option<String>,
    pub charge_category: &'static str,
    pub charge_class: Option<&'static str>,
    pub charge_description: Option<String>,
    pub charge_frequency: &'static str,
    pub charge_period_end: String,
    pub charge_period_start: String,
    pub commitment_discount_category: Option<String>,
    pub commitment_discount_id: Option<String>,
    pub commitment_discount_name: Option<String>,
    pub commitment_discount_quantity: Option<Decimal>,
    pub commitment_discount_status: Option<String>,
    pub commitment_discount_type: Option<String>,
    pub commitment_discount_unit: Option<String>,
    pub consumed_quantity: Option<Decimal>,
    pub consumed_unit: Option<String>,
    pub contracted_cost: Decimal,
    pub contracted_unit_price: Option<Decimal>,
    pub effective_cost: Decimal,
    pub invoice_id: Option<String>,
    pub invoice_issuer_name: String,
    pub list_cost: Decimal,
    pub list_unit_price: Option<Decimal>,
    pub pricing_category: Option<&'static str>,
    pub pricing_currency: Option<String>,
    pub pricing_currency_contracted_unit_price: Option<Decimal>,
    pub pricing_currency_effective_cost: Option<Decimal>,
    pub pricing_currency_list_unit_price: Option<Decimal>,
    pub pricing_quantity: Option<Decimal>,
    pub pricing_unit: Option<String>,
    pub provider_name: String,
    pub publisher_name: String,
    pub region_id: Option<String>,
    pub region_name: Option<String>,
    pub resource_id: Option<String>,
    pub resource_name: Option<String>,
    pub resource_type: Option<&'static str>,
    pub service_category: &'static str,
    pub service_name: String,
    pub service_subcategory: &'static str,
    pub sku_id: Option<String>,
    pub sku_meter: Option<String>,
    pub sku_price_details: Option<String>,
    pub sku_price_id: Option<String>,
    pub sub_account_id: Option<String>,
    pub sub_account_name: Option<String>,
    pub sub_account_type: Option<&'static str>,
    pub tags: Option<String>,
}

/// The rows of a document. `service` says of a tenant what it is charged for; `zone` is the account's, by whose clock periods are.
///
/// # Errors
/// An amount that is no decimal, or a moment outside the calendar.
pub fn rows(
    document: &Document,
    zone: &TimeZone,
    service: impl Fn(&str) -> Service,
) -> Result<Vec<Row>, Refusal> {
    let writing = Writing { document, zone };
    let lines = document.lines.iter().map(|line| writing.line(line, &service(&line.subscription)));
    let taxes = document.taxes.iter().map(|tax| writing.tax(tax));
    lines.chain(taxes).collect()
}

/// Rows as CSV, with a header.
///
/// # Errors
/// A row that cannot be written, which is an error of this program.
pub fn csv(rows: &[Row]) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row)?;
    }
    let bytes = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

struct Writing<'d> {
    document: &'d Document,
    zone: &'d TimeZone,
}

impl Writing<'_> {
    fn refuse(&self, reason: &dyn std::fmt::Display) -> Refusal {
        Refusal::new(
            format!("documents[{}]", self.document.number),
            reason.to_string(),
            "report this: a document says only decimals and moments of the calendar",
        )
    }

    fn decimal(&self, text: &str) -> Result<Decimal, Refusal> {
        text.parse().map_err(|error: rust_decimal::Error| self.refuse(&error))
    }

    /// An instant, as FOCUS writes it: by UTC.
    fn instant(&self, moment: DateTime) -> Result<String, Refusal> {
        let instant = self.zone.to_timestamp(moment).map_err(|error| self.refuse(&error))?;
        Ok(instant.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
    }

    /// What every row of the document has.
    fn frame(&self) -> Result<Row, Refusal> {
        let Document { currency, account, seller, buyer, number, issued, .. } = self.document;
        // The billing period is the calendar month in which the document is issued.
        let first = issued.first_of_month();
        let after = issued.last_of_month().tomorrow().map_err(|error| self.refuse(&error))?;
        let is_final = !number.ends_with("-DRAFT");
        Ok(Row {
            billing_account_id: account.clone(),
            billing_account_name: Some(buyer.name.clone()),
            billing_account_type: Some("BillingAccount"),
            billing_currency: currency.code().to_owned(),
            billing_period_start: self.midnight(first)?,
            billing_period_end: self.midnight(after)?,
            invoice_id: is_final.then(|| number.clone()),
            invoice_issuer_name: seller.name.clone(),
            provider_name: seller.name.clone(),
            publisher_name: seller.name.clone(),
            pricing_currency: Some(currency.code().to_owned()),
            service_category: "Business Applications",
            service_subcategory: "Other (Business Applications)",
            ..Row::default()
        })
    }

    fn midnight(&self, day: Date) -> Result<String, Refusal> {
        self.instant(day.into())
    }

    fn line(&self, line: &Item, service: &Service) -> Result<Row, Refusal> {
        let (net, listed) = (self.decimal(&line.net)?, self.decimal(&line.amount)?);
        let quantity = self.decimal(&line.quantity)?;
        let quantity = if quantity.is_zero() { signum(net) } else { quantity };
        let is_usage = line.kind == Kind::Usage;
        let is_priced = line.effect != Effect::Adjustment;
        let each = |cost: Decimal| {
            let price = cost.checked_div(quantity).unwrap_or(cost);
            is_priced.then(|| price.round_dp(UNIT_PRICE_DECIMALS).normalize())
        };
        let unit = if is_usage { line.charge.as_str() } else { "Unit" };
        let (from, to) = match last_day(line) {
            Some(_) => (line.from, line.to),
            // Sold once: FOCUS wants a stretch of time, which is the day of it.
            None => {
                let day = line.from.date();
                (day.into(), day.tomorrow().map_err(|error| self.refuse(&error))?.into())
            }
        };
        let corrects = line.corrects.as_deref().filter(|number| *number != self.document.number);
        let about = if line.terms.is_empty() { &line.charge } else { &line.terms };
        Ok(Row {
            billed_cost: net,
            effective_cost: net,
            contracted_cost: net,
            list_cost: listed,
            contracted_unit_price: each(net),
            list_unit_price: each(listed),
            pricing_currency_contracted_unit_price: each(net),
            pricing_currency_effective_cost: Some(net),
            pricing_currency_list_unit_price: each(listed),
            pricing_category: is_priced.then_some("Standard"),
            pricing_quantity: is_priced.then_some(quantity),
            pricing_unit: is_priced.then(|| unit.to_owned()),
            consumed_quantity: (is_usage && corrects.is_none()).then_some(quantity),
            consumed_unit: (is_usage && corrects.is_none()).then(|| unit.to_owned()),
            charge_category: match (line.effect, line.kind) {
                (Effect::Adjustment, _) => "Credit",
                (_, Kind::Usage) => "Usage",
                _ => "Purchase",
            },
            charge_class: corrects.map(|_| "Correction"),
            charge_description: Some(format!("{}: {about}", line.charge)),
            charge_frequency: match (line.effect, line.kind) {
                (Effect::Adjustment, _) | (_, Kind::OneTime | Kind::TrueUp | Kind::ClawBack) => "One-Time",
                (_, Kind::Usage) => "Usage-Based",
                (_, Kind::Recurring) => "Recurring",
            },
            charge_period_start: self.instant(from)?,
            charge_period_end: self.instant(to)?,
            resource_id: Some(line.subscription.clone()),
            resource_name: Some(line.name.clone()),
            resource_type: Some("TenantSubscription"),
            service_name: service.name.clone(),
            sku_id: Some(format!("{}/{}", service.plan, line.charge)),
            sku_meter: Some(line.charge.clone()),
            sku_price_id: is_priced.then(|| format!("{}/{}", service.plan, line.charge)),
            sub_account_id: Some(line.subscription.clone()),
            sub_account_name: Some(line.name.clone()),
            sub_account_type: Some("Tenant"),
            tags: Some(json!({"plan": service.plan}).to_string()),
            ..self.frame()?
        })
    }

    /// Tax is the account's: it is rounded once for all tenants.
    fn tax(&self, tax: &Tax) -> Result<Row, Refusal> {
        let amount = self.decimal(&tax.tax)?;
        let frame = self.frame()?;
        Ok(Row {
            billed_cost: amount,
            effective_cost: amount,
            contracted_cost: amount,
            list_cost: amount,
            pricing_currency_effective_cost: Some(amount),
            charge_category: "Tax",
            charge_description: Some(format!("{} {} % of {}", tax.category, tax.percent, tax.base)),
            charge_frequency: "One-Time",
            charge_period_start: frame.billing_period_start.clone(),
            charge_period_end: frame.billing_period_end.clone(),
            service_name: "Tax".to_owned(),
            ..frame
        })
    }
}

/// One with the sign of a number.
fn signum(value: Decimal) -> Decimal {
    if value.is_sign_negative() { Decimal::NEGATIVE_ONE } else { Decimal::ONE }
}
