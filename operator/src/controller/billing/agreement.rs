//! From an account and its issuer to what the ledger bills by; pure.

use jiff::civil::Date;
use tenantry_crds::billing::TaxRate;
use tenantry_crds::{BillingAccountSpec, InvoiceIssuerSpec};
use tenantry_ledger::agreement::{Agreement, DatedRate, Party, Prefixes};
use tenantry_ledger::catalogue::{Account, Alignment};
use tenantry_ledger::exact::Decimal;
use tenantry_ledger::money::Currency;
use tenantry_ledger::refusal::Refusal;
use tenantry_ledger::tax::Rate;

/// What an account is billed by.
///
/// # Errors
/// What nothing can be billed by, with its field and remedy.
pub(crate) fn agreement(
    name: &str,
    account: &BillingAccountSpec,
    issuer: &InvoiceIssuerSpec,
) -> Result<Agreement, Refusal> {
    let BillingAccountSpec {
        issuer_ref,
        company,
        address,
        country,
        vat_id,
        registration,
        email,
        currency,
        language,
        time_zone,
        payment_days,
    } = account.clone();
    let agreement = Agreement {
        account: Account {
            id: name.to_owned(),
            currency: Currency::parse("account.currency", &currency)?,
            time_zone,
            anchor: None,
            alignment: Alignment::Account,
        },
        seller: Party {
            name: issuer.legal_name.clone(),
            address: issuer.address.clone(),
            country: issuer.country.clone(),
            vat_id: issuer.vat_id.clone(),
            registration: issuer.registration.clone(),
            email: issuer.email.clone(),
        },
        buyer: Party { name: company, address, country, vat_id, registration, email },
        language: Some(language.code().to_owned()),
        series: Prefixes {
            invoice: issuer.series.invoices.clone(),
            credit_note: issuer.series.credit_notes.clone(),
        },
        // The schema admits only what fits.
        payment_days: u16::try_from(payment_days).unwrap_or_default(),
        payment: issuer.payment.clone(),
        sinks: issuer.sinks.iter().map(|sink| format!("{}/{}", issuer_ref.name, sink.name)).collect(),
        rates: issuer.tax_rates.iter().map(rate).collect::<Result<_, _>>()?,
        bundles: Vec::new(),
        coupons: Vec::new(),
    };
    agreement.check()?;
    Ok(agreement)
}

fn rate(rate: &TaxRate) -> Result<DatedRate, Refusal> {
    let TaxRate { name, category, percent, exemption_reason, valid_from } = rate;
    let field = format!("taxRates[{name}]");
    let from = valid_from.as_deref().map(str::parse::<Date>).transpose().map_err(|_| {
        Refusal::new(
            format!("{field}.validFrom"),
            format!("{} is no day of the calendar", valid_from.as_deref().unwrap_or_default()),
            "write an existing day, such as 2027-01-01",
        )
    })?;
    let percent = Decimal::parse(&format!("{field}.percent"), percent)?;
    Ok(DatedRate {
        name: name.clone(),
        from,
        rate: Rate { category: format!("{category:?}"), percent, reason: exemption_reason.clone() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn issuer(rates: serde_json::Value) -> InvoiceIssuerSpec {
        serde_json::from_value(json!({
            "legalName": "Orderly Hosting AG", "country": "CH", "taxRates": rates,
            "series": {"invoices": "INV", "creditNotes": "CN"},
        }))
        .unwrap()
    }

    fn account(currency: &str, time_zone: &str) -> BillingAccountSpec {
        serde_json::from_value(json!({
            "issuerRef": {"name": "orderly"}, "company": "Acme Ltd", "country": "DE", "currency": currency,
            "timeZone": time_zone,
        }))
        .unwrap()
    }

    #[test]
    fn account_and_issuer_make_an_agreement() {
        let rates = json!([
            {"name": "standard", "category": "S", "percent": "7.7"},
            {"name": "standard", "category": "S", "percent": "8.1", "validFrom": "2024-01-01"},
        ]);
        let agreement = agreement("acme", &account("EUR", "Europe/Berlin"), &issuer(rates)).unwrap();
        assert_eq!(agreement.account.id, "acme");
        assert_eq!((agreement.seller.country.as_str(), agreement.buyer.country.as_str()), ("CH", "DE"));
        assert_eq!((agreement.payment_days, agreement.series.credit_note.as_str()), (30, "CN"));
        let day = |text: &str| agreement.rates_on(text.parse().unwrap())["standard"].percent.to_string();
        assert_eq!((day("2023-12-31").as_str(), day("2024-01-01").as_str()), ("7.7", "8.1"));
    }

    #[test]
    fn what_nothing_can_be_billed_by_is_refused_with_its_field() {
        let good = || json!([{"name": "standard", "category": "S", "percent": "8.1"}]);
        let cases = [
            (account("XYZ", "UTC"), good(), "account.currency"),
            (account("EUR", "Europe/Zuerich"), good(), "account.timeZone"),
            (
                account("EUR", "UTC"),
                json!([{"name": "standard", "category": "S", "percent": "8.1", "validFrom": "2027-02-30"}]),
                "taxRates[standard].validFrom",
            ),
            (
                account("EUR", "UTC"),
                json!([{"name": "standard", "category": "S", "percent": "108"}]),
                "rates[standard].percent",
            ),
        ];
        for (account, rates, field) in cases {
            let refusal = agreement("acme", &account, &issuer(rates)).unwrap_err();
            assert_eq!(refusal.field, field, "{refusal}");
        }
    }
}
