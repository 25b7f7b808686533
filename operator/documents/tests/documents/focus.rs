//! FOCUS 1.2: every row keeps what the specification says of each of its 57 columns, and all rows of an invoice add up to it.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde::Deserialize;
use tenantry_documents::focus::{Row, Service, csv, rows};
use tenantry_ledger::document::Document;

use crate::made::life;

#[derive(Deserialize)]
struct Specification {
    columns: Vec<Column>,
}

/// What the specification says of a column.
#[derive(Deserialize)]
struct Column {
    column: String,
    nullable: bool,
    r#type: String,
    allowed: Vec<String>,
    #[serde(default)]
    allowed_by_category: BTreeMap<String, Vec<String>>,
}

fn specification() -> Vec<Column> {
    let text = include_str!("../data/focus_columns_1_2.json");
    let Specification { columns } = serde_json::from_str(text).unwrap();
    assert_eq!(columns.len(), 57);
    columns
}

fn service(_: &str) -> Service {
    Service { name: "erp".to_owned(), plan: "silver".to_owned() }
}

fn rows_of(document: &Document) -> Vec<Row> {
    rows(document, &TimeZone::get("Europe/Zurich").unwrap(), service).unwrap()
}

/// What is wrong with a file, by column.
fn conform(text: &str) -> Vec<String> {
    let columns = specification();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let wanted: Vec<&str> = columns.iter().map(|column| column.column.as_str()).collect();
    let mut wrong = Vec::new();
    if header != wanted {
        wrong.push(format!("the columns are {header:?}"));
    }
    for record in reader.records() {
        let record = record.unwrap();
        let row: BTreeMap<&str, &str> = header.iter().map(String::as_str).zip(record.iter()).collect();
        for column in &columns {
            let value = row[column.column.as_str()];
            let name = &column.column;
            if value.is_empty() {
                if !column.nullable {
                    wrong.push(format!("{name} is null"));
                }
                continue;
            }
            let is_read = match column.r#type.as_str() {
                "Decimal" => value.parse::<Decimal>().is_ok(),
                "Date/Time" => value.ends_with('Z') && value.parse::<jiff::Timestamp>().is_ok(),
                "JSON" => serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(value).is_ok(),
                "String" => true,
                other => panic!("{name} has the type {other}"),
            };
            if !is_read {
                wrong.push(format!("{name} is no {}: {value}", column.r#type));
            }
            if !column.allowed.is_empty() && !column.allowed.iter().any(|allowed| allowed == value) {
                wrong.push(format!("{name} may not be {value}"));
            }
            if let Some(allowed) = column.allowed_by_category.get(row["ServiceCategory"])
                && !allowed.iter().any(|allowed| allowed == value)
            {
                wrong.push(format!("{name} may not be {value}"));
            }
        }
        wrong.extend(between_columns(&row));
    }
    wrong
}

/// What the specification says of several columns together, in the words of its column descriptions.
fn between_columns(row: &BTreeMap<&str, &str>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut must = |is_so: bool, what: &str| {
        if !is_so {
            wrong.push(format!("{what}: {row:?}"));
        }
    };
    let (category, class) = (row["ChargeCategory"], row["ChargeClass"]);
    let decimal = |name: &str| row[name].parse::<Decimal>().ok();
    must(row["ChargePeriodStart"] < row["ChargePeriodEnd"], "a charge period ends after its begin");
    must(row["BillingPeriodStart"] < row["BillingPeriodEnd"], "a billing period ends after its begin");
    must(
        (row["PricingQuantity"].is_empty()) == (row["PricingUnit"].is_empty()),
        "quantity and unit go together",
    );
    must(
        (row["ConsumedQuantity"].is_empty()) == (row["ConsumedUnit"].is_empty()),
        "quantity and unit go together",
    );
    must((row["SubAccountId"].is_empty()) == (row["SubAccountName"].is_empty()), "a sub account has a name");
    must((row["SubAccountId"].is_empty()) == (row["SubAccountType"].is_empty()), "a sub account has a type");
    must((row["ResourceId"].is_empty()) == (row["ResourceType"].is_empty()), "a resource has a type");
    if category == "Tax" {
        for name in [
            "PricingQuantity",
            "PricingUnit",
            "ListUnitPrice",
            "ContractedUnitPrice",
            "SkuPriceId",
            "PricingCategory",
        ] {
            must(row[name].is_empty(), "tax has no price");
        }
        must(row["ContractedCost"] == row["BilledCost"], "the cost of tax is the tax");
    }
    if matches!(category, "Usage" | "Purchase") && class.is_empty() {
        for name in [
            "PricingQuantity",
            "ListUnitPrice",
            "ContractedUnitPrice",
            "SkuPriceId",
            "PricingCategory",
            "SkuId",
        ] {
            must(!row[name].is_empty(), "what is used or bought has a price");
        }
    }
    must(
        (category == "Usage" && class.is_empty()) != row["ConsumedQuantity"].is_empty(),
        "only what is used is consumed",
    );
    must(row["ChargeFrequency"] != "Usage-Based" || category == "Usage", "only usage is usage-based");
    for (cost, price) in [("ListCost", "ListUnitPrice"), ("ContractedCost", "ContractedUnitPrice")] {
        if let (Some(cost), Some(price), Some(quantity)) =
            (decimal(cost), decimal(price), decimal("PricingQuantity"))
        {
            let off = (price * quantity - cost).abs();
            must(off < Decimal::new(1, 6), "cost is price times quantity");
        }
    }
    wrong
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn rows_keep_every_rule_and_add_up_to_their_invoice(life in life()) {
        let documents = life.documents();
        let all: Vec<Row> = documents.iter().flat_map(rows_of).collect();
        if all.is_empty() {
            return Ok(());
        }
        let wrong = conform(&csv(&all).unwrap());
        prop_assert!(wrong.is_empty(), "{wrong:#?}");
        for document in &documents {
            let own = all.iter().filter(|row| row.invoice_id.as_deref() == Some(document.number.as_str()));
            let billed: Decimal = own.map(|row| row.billed_cost).sum();
            prop_assert_eq!(billed, document.gross.parse::<Decimal>().unwrap(), "{}", document.number);
        }
    }
}

#[test]
fn the_check_finds_what_is_wrong() {
    let life = proptest::strategy::ValueTree::current(
        &life().new_tree(&mut proptest::test_runner::TestRunner::deterministic()).unwrap(),
    );
    let good = rows_of(&life.documents()[0]);
    let worse = |change: fn(&mut Row)| {
        let mut row = good[0].clone();
        change(&mut row);
        conform(&csv(&[row]).unwrap()).join("\n")
    };
    assert_eq!(worse(|_| {}), "");
    assert!(worse(|row| row.charge_category = "Gift").contains("ChargeCategory may not be Gift"));
    assert!(worse(|row| row.billing_account_id = String::new()).contains("BillingAccountId is null"));
    assert!(
        worse(|row| row.charge_period_end = "2026-01-01".to_owned())
            .contains("ChargePeriodEnd is no Date/Time")
    );
    assert!(worse(|row| row.tags = Some("[]".to_owned())).contains("Tags is no JSON"));
    assert!(
        worse(|row| row.service_subcategory = "Caching").contains("ServiceSubcategory may not be Caching")
    );
    assert!(worse(|row| row.list_cost += Decimal::ONE).contains("cost is price times quantity"));
    assert!(worse(|row| row.pricing_unit = None).contains("quantity and unit go together"));
}
