//! Pages for people, and statements.

use jiff::civil::date;
use proptest::prelude::*;
use serde_json::{Value, json};
use tenantry_documents::language::Language;
use tenantry_documents::page::page;
use tenantry_documents::statement::{self, statement};
use tenantry_ledger::document::Document;

use crate::made::life;

fn document(change: impl Fn(&mut Value)) -> Document {
    let line = |tenant: &str, net: &str| {
        json!({
            "entry": 1, "subscription": tenant, "name": format!("{tenant}-name"), "charge": "base", "kind": "Recurring", "effect": "Charge",
            "from": "2026-11-01T00:00:00", "to": "2026-12-01T00:00:00", "quantity": "1", "terms": "gold-3", "amount": net,
            "reduction": "0.00", "net": net, "taxCategory": "AE", "taxPercent": "0",
        })
    };
    let mut value = json!({
        "number": "INV-001-002", "kind": "Invoice", "typeCode": 380, "issued": "2026-12-01", "due": "2026-12-31", "currency": "EUR",
        "account": "acme", "seller": {"name": "Orderly <b>Hosting</b>", "country": "CH", "vatId": "CHE123456789"},
        "buyer": {"name": "Acme & Söhne", "country": "DE"}, "payment": ["IBAN CH93"],
        "lines": [line("t1", "1234.50"), line("t2", "765.50"), line("t1", "0.50")],
        "taxes": [{"category": "AE", "percent": "0", "base": "2000.50", "tax": "0.00"}],
        "net": "2000.50", "tax": "0.00", "gross": "2000.50", "drawn": "0.50", "surplus": "0.00", "payable": "2000.00",
    });
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

#[test]
fn a_page_says_everything_in_the_language_of_its_reader_and_nothing_else_gets_into_it() {
    let german = page(&document(|_| {}), Language::De).unwrap();
    for said in [
        "<html lang=\"de\">",
        "<h1>Rechnung</h1>INV-001-002",
        "01.12.2026",
        "1.234,50",
        "01.11.2026 bis 30.11.2026",
        "2.000,00 EUR",
        "Aus Guthaben bezahlt",
        "Steuerschuldnerschaft des Leistungsempfängers.",
        "Zahlbar bis 31.12.2026.",
        "t1-name",
        "t2-name",
        "IBAN CH93",
        "USt-IdNr. CHE123456789",
    ] {
        assert!(german.contains(said), "{said}\n{german}");
    }
    assert_eq!(german.matches("<h2>").count(), 2, "one part for each tenant");
    assert!(!german.contains("<b>") && german.contains("Acme &amp; Söhne"), "{german}");
    assert!(!german.contains("Nachlass"), "nothing was reduced");
    let english =
        page(&document(|value| value["lines"][0]["reduction"] = json!("10.00")), Language::En).unwrap();
    assert!(english.contains("1,234.50") && english.contains("<th class=\"n\">Reduction</th>"), "{english}");
    let draft = page(&document(|value| value["number"] = json!("INV-DRAFT")), Language::En).unwrap();
    assert!(draft.contains("</h1>Draft</div>"), "{draft}");
}

#[test]
fn an_issuer_says_its_own_reason_where_it_has_one() {
    let page =
        page(&document(|value| value["taxes"][0]["reason"] = json!("Art. 196 VAT directive")), Language::De)
            .unwrap();
    assert!(page.contains("Art. 196 VAT directive") && !page.contains("Steuerschuldnerschaft"), "{page}");
}

#[test]
fn a_statement_is_by_document_and_by_tenant() {
    let earlier = document(|value| {
        value["number"] = json!("INV-001-001");
        value["issued"] = json!("2026-11-01");
        value["gross"] = json!("100.00");
    });
    let credit = document(|value| {
        value["number"] = json!("CN-001-001");
        value["kind"] = json!("CreditNote");
        value["issued"] = json!("2026-12-31");
        value["lines"] = json!([{
            "entry": 9, "subscription": "t2", "name": "t2-name", "charge": "base", "kind": "Recurring", "effect": "Credit",
            "from": "2026-12-01T00:00:00", "to": "2026-12-16T00:00:00", "quantity": "-1", "terms": "gold-3", "amount": "-400.00",
            "reduction": "0.00", "net": "-400.00", "taxCategory": "AE", "taxPercent": "0", "corrects": "INV-001-002",
        }]);
        value["gross"] = json!("-400.00");
    });
    let documents = [credit, document(|_| {}), earlier];
    let said = statement(&documents, date(2026, 12, 1), date(2027, 1, 1)).unwrap();
    let numbers: Vec<&str> = said.documents.iter().map(|entry| entry.number.as_str()).collect();
    assert_eq!(numbers, ["INV-001-002", "CN-001-001"]);
    assert_eq!(
        (said.before.as_str(), said.billed.as_str(), said.after.as_str()),
        ("100.00", "1600.50", "1700.50")
    );
    let shares: Vec<(&str, &str)> =
        said.tenants.iter().map(|share| (share.name.as_str(), share.net.as_str())).collect();
    assert_eq!(shares, [("t1-name", "1235.00"), ("t2-name", "365.50")]);
    let page = statement::page(&said, Language::De).unwrap();
    assert!(
        page.contains("Kontoauszug")
            && page.contains("1.600,50 EUR")
            && page.contains("Gutschrift CN-001-001"),
        "{page}"
    );
    let empty = statement(&documents, date(2027, 2, 1), date(2027, 3, 1)).unwrap();
    let page = statement::page(&empty, Language::En).unwrap();
    assert!(page.contains("Nothing was billed in this time."), "{page}");
    assert_eq!(statement(&[], date(2026, 1, 1), date(2026, 2, 1)).unwrap_err().field, "account");
    assert_eq!(statement(&documents, date(2026, 2, 1), date(2026, 1, 1)).unwrap_err().field, "to");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn shares_of_tenants_add_up_to_the_net_of_all_documents(life in life()) {
        let documents = life.documents();
        if documents.is_empty() {
            return Ok(());
        }
        let said = statement(&documents, date(2026, 1, 1), date(2027, 1, 1)).unwrap();
        let sum = |texts: Vec<&String>| texts.iter().map(|text| text.parse::<rust_decimal::Decimal>().unwrap()).sum::<rust_decimal::Decimal>();
        prop_assert_eq!(
            sum(said.tenants.iter().map(|share| &share.net).collect()),
            sum(documents.iter().map(|document| &document.net).collect())
        );
        prop_assert_eq!(
            said.billed.parse::<rust_decimal::Decimal>().unwrap(),
            sum(documents.iter().map(|document| &document.gross).collect())
        );
        for document in &documents {
            for language in Language::ALL {
                prop_assert!(page(document, language).unwrap().contains(&document.number));
            }
        }
    }
}
