//! From an account and its issuer to what the ledger bills by; pure.

use jiff::civil::Date;
use tenantry_checklist::duration;
use tenantry_crds::billing::{
    AccountCoupon, AccountDunning, DunningRung, DunningStage, IssuerBundle, TaxRate,
};
use tenantry_crds::{BillingAccountSpec, InvoiceIssuerSpec};
use tenantry_ledger::agreement::{Agreement, DatedRate, Party, Prefixes};
use tenantry_ledger::catalogue::{Account, Alignment, Bundle};
use tenantry_ledger::coupon::{Coupon, Off, Target};
use tenantry_ledger::exact::Decimal;
use tenantry_ledger::ladder::{Rung, Stage};
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
        coupons,
        dunning,
    } = account.clone();
    let currency = Currency::parse("account.currency", &currency)?;
    let agreement = Agreement {
        account: Account {
            id: name.to_owned(),
            currency,
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
        collection_delay: seconds(&issuer.collection_delay)?,
        payment: issuer.payment.clone(),
        sinks: issuer.sinks.iter().map(|sink| format!("{}/{}", issuer_ref.name, sink.name)).collect(),
        payment_sources: issuer.payment_sources.clone(),
        dunning: match dunning {
            AccountDunning::Off => Vec::new(),
            AccountDunning::On => {
                issuer.dunning.iter().map(|one| rung(one, currency)).collect::<Result<_, _>>()?
            }
        },
        rates: issuer.tax_rates.iter().map(rate).collect::<Result<_, _>>()?,
        bundles: issuer.bundles.iter().map(bundle).collect::<Result<_, _>>()?,
        coupons: coupons.iter().map(|one| coupon(one, currency)).collect::<Result<_, _>>()?,
    };
    agreement.check()?;
    Ok(agreement)
}

fn seconds(text: &str) -> Result<u32, Refusal> {
    let read = duration::parse(text).ok().and_then(|delay| u32::try_from(delay.as_secs()).ok());
    read.ok_or_else(|| {
        Refusal::new("collectionDelay", format!("{text:?} is no time to wait"), "write a duration such as 1h")
    })
}

fn bundle(bundle: &IssuerBundle) -> Result<Bundle, Refusal> {
    let IssuerBundle { name, applications, percent } = bundle;
    Ok(Bundle {
        name: name.clone(),
        applications: applications.iter().cloned().collect(),
        percent: Decimal::parse(&format!("bundles[{name}].percent"), percent)?,
    })
}

fn coupon(coupon: &AccountCoupon, currency: Currency) -> Result<Coupon, Refusal> {
    let AccountCoupon { name, percent, amount, charges } = coupon;
    let field = |part: &str| format!("coupons[{name}].{part}");
    // The schema admits one of both.
    let off = match (percent, amount) {
        (Some(percent), _) => Off::Percent(Decimal::parse(&field("percent"), percent)?),
        (None, amount) => {
            let amount = Decimal::parse(&field("amount"), amount.as_deref().unwrap_or("0"))?;
            currency.price(&field("amount"), &amount)?;
            Off::Amount(currency.round(amount.value())?)
        }
    };
    let target = match charges.is_empty() {
        true => Target::All,
        false => Target::Charges(charges.iter().cloned().collect()),
    };
    Ok(Coupon { name: name.clone(), off, target })
}

fn rung(rung: &DunningRung, currency: Currency) -> Result<Rung, Refusal> {
    let DunningRung { stage, days, invoices, total } = rung;
    let state = match stage {
        DunningStage::Reminder => Stage::Reminder,
        DunningStage::Warning => Stage::Warning,
        DunningStage::Suspended => Stage::Suspended,
    };
    let field = format!("dunning[{}].total", state.as_str());
    // Accounts of one issuer have several currencies, with more decimals and with fewer.
    let total = total.as_deref().map(|total| currency.round(Decimal::parse(&field, total)?.value()));
    Ok(Rung {
        state: state.as_str().to_owned(),
        days: *days,
        // The schema admits only what fits.
        invoices: invoices.and_then(|count| usize::try_from(count).ok()),
        total: total.transpose()?,
    })
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
    use serde_json::{Value, json};

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
        assert_eq!(agreement.collection_delay, 3_600, "an hour where nothing is said");
        assert_eq!((agreement.payment_days, agreement.series.credit_note.as_str()), (30, "CN"));
        let day = |text: &str| agreement.rates_on(text.parse().unwrap())["standard"].percent.to_string();
        assert_eq!((day("2023-12-31").as_str(), day("2024-01-01").as_str()), ("7.7", "8.1"));
    }

    #[test]
    fn bundles_and_coupons_are_part_of_it_in_their_order() {
        let mut issuer = issuer(json!([{"name": "standard", "category": "S", "percent": "8.1"}]));
        issuer.bundles = serde_json::from_value(json!([
            {"name": "office", "applications": ["erp", "mail"], "percent": "10"},
        ]))
        .unwrap();
        let mut account = account("JPY", "Asia/Tokyo");
        account.coupons = serde_json::from_value(json!([
            {"name": "welcome", "amount": "5000"}, {"name": "partner", "percent": "15", "charges": ["seats"]},
        ]))
        .unwrap();
        let agreement = agreement("acme", &account, &issuer).unwrap();
        assert_eq!(agreement.bundles[0].applications.len(), 2);
        assert_eq!(agreement.coupons[0].off, Off::Amount(5000));
        assert_eq!(agreement.coupons[0].target, Target::All);
        assert_eq!(agreement.coupons[1].target, Target::Charges(["seats".to_owned()].into()));
        // Yen have no decimals, and nothing takes more than there is.
        let refused = |coupon: Value, field: &str| {
            let mut account = account.clone();
            account.coupons = serde_json::from_value(json!([coupon])).unwrap();
            let refusal = super::agreement("acme", &account, &issuer).unwrap_err();
            assert_eq!(refusal.field, field, "{refusal}");
        };
        refused(json!({"name": "a", "amount": "0.5"}), "coupons[a].amount");
        refused(json!({"name": "a", "percent": "101"}), "coupons[a].percent");
        issuer_refused(&issuer, &account);
    }

    #[test]
    fn what_follows_from_unpaid_invoices_is_in_the_account_s_currency_and_can_be_off() {
        let mut issuer = issuer(json!([{"name": "standard", "category": "S", "percent": "8.1"}]));
        issuer.payment_sources = vec!["bank".to_owned()];
        issuer.dunning = serde_json::from_value(json!([
            {"stage": "Reminder", "days": 7}, {"stage": "Suspended", "days": 30, "total": "50.00"},
        ]))
        .unwrap();
        let mut account = account("EUR", "Europe/Berlin");
        let agreed = agreement("acme", &account, &issuer).unwrap();
        assert!(agreed.is_dunned());
        assert_eq!((agreed.dunning[1].state.as_str(), agreed.dunning[1].total), ("Suspended", Some(5_000)));
        account.dunning = AccountDunning::Off;
        assert!(!agreement("acme", &account, &issuer).unwrap().is_dunned());
        account.dunning = AccountDunning::On;
        issuer.dunning.reverse();
        assert_eq!(agreement("acme", &account, &issuer).unwrap_err().field, "dunning[1].days");
        issuer.dunning.reverse();
        let yen = self::account("JPY", "Asia/Tokyo");
        assert_eq!(agreement("acme", &yen, &issuer).unwrap().dunning[1].total, Some(50));
    }

    fn issuer_refused(issuer: &InvoiceIssuerSpec, account: &BillingAccountSpec) {
        let mut issuer = issuer.clone();
        issuer.bundles[0].percent = "101".to_owned();
        let refusal = agreement("acme", account, &issuer).unwrap_err();
        assert_eq!(refusal.field, "bundles[office].percent", "{refusal}");
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
