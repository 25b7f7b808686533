//! EN 16931: nothing is found in what the ledger makes, and something in what is incomplete.

use jiff::civil::date;
use proptest::prelude::*;
use serde_json::{Value, json};
use tenantry_documents::standard::{Syntax, check, findings, xml};
use tenantry_ledger::agreement::Agreement;
use tenantry_ledger::invoice::DocumentKind;

use crate::made::{agreement, life};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_rule_finds_anything_in_what_the_ledger_makes(life in life()) {
        for document in life.documents() {
            let found = findings(&document).unwrap();
            prop_assert!(found.is_empty(), "{}: {found:?}\n{document:#?}", document.number);
            for syntax in [Syntax::Ubl, Syntax::Cii] {
                let text = xml(&document, syntax).unwrap();
                let read = en16931_formats::read(text.as_bytes()).unwrap();
                let back = read.invoice;
                let sign = if document.kind == DocumentKind::CreditNote { "-" } else { "" };
                let gross: rust_decimal::Decimal = document.gross.parse().unwrap();
                let stated: rust_decimal::Decimal = format!("{sign}{}", back.totals.gross_total).replace("--", "").parse().unwrap();
                prop_assert_eq!(stated, gross, "{}", text);
                prop_assert_eq!(back.lines.len(), document.lines.len());
                prop_assert_eq!(back.number.as_deref(), Some(document.number.as_str()));
            }
        }
    }
}

fn agreed(change: impl Fn(&mut Value)) -> Agreement {
    let mut value = agreement("EUR", "S");
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

#[test]
fn who_sends_incomplete_documents_is_told_before_there_is_one() {
    let day = date(2026, 1, 1);
    for category in ["S", "Z", "E", "AE", "K", "G", "O"] {
        let agreement: Agreement = serde_json::from_value(agreement("EUR", category)).unwrap();
        assert_eq!(check(&agreement, day), Ok(()), "{category}");
    }
    type Change = fn(&mut Value);
    let cases: [(Change, &str, &str, &str); 6] = [
        (|a| a["seller"]["vatId"] = Value::Null, "issuer", "BR-S-02", "write the issuer's vatId"),
        (
            |a| a["seller"]["vatId"] = json!("123456"),
            "issuer",
            "BR-CO-09",
            "begin the vatId with the two letters of its country",
        ),
        (
            |a| {
                a["rates"] = json!([{"name": "free", "category": "E", "percent": "0"}]);
            },
            "taxRates[free]",
            "BR-E-10",
            "write exemptionReason at the tax rate",
        ),
        (
            |a| {
                a["rates"] = json!([{"name": "reverse", "category": "AE", "percent": "0"}]);
                a["buyer"]["vatId"] = Value::Null;
            },
            "issuer",
            "BR-AE-02",
            "write vatId of the issuer and of the account",
        ),
        (|a| a["buyer"]["country"] = json!("XX"), "account", "BR-CL-14", "correct what is named"),
        (
            |a| {
                a["seller"]["vatId"] = Value::Null;
                a["seller"]["registration"] = Value::Null;
                a["rates"] = json!([{"name": "none", "category": "O", "percent": "0"}]);
                a["buyer"]["vatId"] = Value::Null;
            },
            "issuer",
            "BR-CO-26",
            "write the issuer's vatId or registration",
        ),
    ];
    for (change, field, rule, remedy) in cases {
        let refusal = check(&agreed(change), day).unwrap_err();
        assert!(refusal.to_string().contains(rule), "{rule}: {refusal}");
        assert_eq!((refusal.field.as_str(), refusal.remedy.as_str()), (field, remedy), "{rule}: {refusal}");
    }
}

#[test]
fn a_currency_with_three_decimals_is_refused() {
    let mut value = agreement("KWD", "S");
    value["account"]["currency"] = json!("KWD");
    let agreement: Agreement = serde_json::from_value(value).unwrap();
    // A whole amount has no third decimal that would have to be written.
    let refused = check(&agreement, date(2026, 1, 1));
    assert!(refused.is_ok() || refused.unwrap_err().remedy.contains("two decimals"));
}
