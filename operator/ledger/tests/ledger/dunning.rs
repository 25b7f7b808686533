//! What unpaid invoices lead to, day by day.

use jiff::civil::Date;
use serde_json::{Value, json};
use tenantry_ledger::dunning::{Decision, decide};
use tenantry_ledger::history::Fact;
use tenantry_ledger::ladder::Stage;
use tenantry_ledger::payment::{PaymentKind, ToldPayment};

use crate::book::{Book, agreement, read_agreement};
use crate::payments::told;
use crate::shop::{list, monthly};

fn dunned() -> Value {
    let mut agreement = agreement();
    agreement["paymentSources"] = json!(["bank"]);
    agreement["dunning"] = json!([
        {"state": "Reminder", "days": 3}, {"state": "Warning", "days": 10}, {"state": "Suspended", "days": 20},
    ]);
    agreement
}

/// 120.00 a month with tax, each to be paid within thirty days.
fn book() -> Book {
    let mut book = Book::under(dunned(), &[list("silver", &[monthly("base", "100.00")])]);
    book.starts("2025-01-01", "silver");
    book.catch_up("2025-01-15");
    book
}

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

/// What follows on a day, and is told.
fn follows(book: &mut Book, on: &str) -> Decision {
    let decision = decide(&book.history, day(on)).unwrap();
    for notice in &decision.notices {
        book.tell(Fact::Noticed(Box::new(notice.clone())));
    }
    decision
}

fn said(decision: &Decision) -> Vec<String> {
    let one = |notice: &tenantry_ledger::ladder::Notice| {
        format!("{:?} {} {} {}", notice.stage, notice.number, notice.open, notice.days)
    };
    decision.notices.iter().map(one).collect()
}

#[test]
fn an_invoice_is_reminded_warned_and_suspended_for_in_its_time_and_paying_it_ends_all() {
    let mut book = book();
    let early = follows(&mut book, "2025-01-20");
    assert_eq!(early, Decision { next: Some(day("2025-02-01")), ..Decision::default() });
    assert_eq!(follows(&mut book, "2025-02-02").stage, None);
    let first = follows(&mut book, "2025-02-03");
    assert_eq!((first.stage, first.next), (Some(Stage::Reminder), Some(day("2025-02-10"))));
    assert_eq!(said(&first), ["Reminder INV-003-001 120.00 3"]);
    assert_eq!(said(&follows(&mut book, "2025-02-03")), Vec::<String>::new(), "once");
    assert_eq!(said(&follows(&mut book, "2025-02-10")), ["Warning INV-003-001 120.00 10"]);
    let last = follows(&mut book, "2025-02-20");
    assert_eq!((last.stage, last.notices.len(), last.next), (Some(Stage::Suspended), 0, None));
    book.pays(&told("1", "120.00", "2025-02-21"));
    assert_eq!(follows(&mut book, "2025-02-21"), Decision::default());
    // A bank that takes it back opens it again, and who was warned of it is not warned again.
    let back = ToldPayment { kind: PaymentKind::Chargeback, ..told("2", "120.00", "2025-02-25") };
    book.pays(&back);
    let again = follows(&mut book, "2025-02-26");
    assert_eq!((again.stage, again.notices.len()), (Some(Stage::Suspended), 0));
}

#[test]
fn nobody_is_taken_further_than_one_rung_a_day() {
    let mut book = book();
    // Nobody looked for months.
    let stages: Vec<_> = ["2025-06-01", "2025-06-01", "2025-06-02", "2025-06-03", "2025-06-04"]
        .into_iter()
        .map(|on| follows(&mut book, on))
        .map(|decision| (decision.stage, decision.notices.len(), decision.next))
        .collect();
    assert_eq!(
        stages,
        [
            (Some(Stage::Reminder), 1, Some(day("2025-06-02"))),
            (Some(Stage::Reminder), 0, Some(day("2025-06-02"))),
            (Some(Stage::Warning), 1, Some(day("2025-06-03"))),
            (Some(Stage::Suspended), 0, None),
            (Some(Stage::Suspended), 0, None),
        ]
    );
}

#[test]
fn what_is_in_hand_is_not_asked_for_and_what_is_not_due_neither() {
    let mut book = book();
    book.catch_up("2025-02-15");
    book.pays(&told("1", "119.99", "2025-02-01"));
    let little = follows(&mut book, "2025-02-04");
    assert_eq!(said(&little), ["Reminder INV-003-001 0.01 4"]);
    assert_eq!(little.next, Some(day("2025-02-10")));
    // Who ends has a credit in hand that is more than that.
    book.happens("2025-02-10", json!({"type": "Cancel"}));
    book.catch_up("2025-02-15");
    assert!(book.history.balance() > 1);
    assert_eq!(follows(&mut book, "2025-02-25").stage, None);
    // The rest of the second invoice is overdue in March.
    assert_eq!(follows(&mut book, "2025-03-10").stage, Some(Stage::Reminder));
}

#[test]
fn nothing_follows_where_nobody_tells_of_payments_and_a_ladder_has_its_order() {
    let mut silent = dunned();
    silent["paymentSources"] = json!([]);
    let mut book = Book::under(silent, &[list("silver", &[monthly("base", "100.00")])]);
    book.starts("2025-01-01", "silver");
    book.catch_up("2025-01-15");
    assert_eq!(follows(&mut book, "2025-06-01"), Decision::default());
    for (wrong, field) in [
        (json!([{"state": "Reminder"}]), "dunning[0]"),
        (json!([{"state": "Offboarded", "days": 3}]), "dunning[0].stage"),
        (json!([{"state": "Warning", "days": 3}, {"state": "Reminder", "days": 4}]), "dunning[1].stage"),
        (json!([{"state": "Reminder", "days": 3}, {"state": "Warning", "days": 3}]), "dunning[1].days"),
    ] {
        let mut agreement = dunned();
        agreement["dunning"] = wrong;
        assert_eq!(read_agreement(agreement).check().unwrap_err().field, field);
    }
    let agreement = read_agreement(dunned());
    assert_eq!(agreement.is_told_by("bank"), Ok(()));
    assert_eq!(agreement.is_told_by("Bank").unwrap_err().field, "provider");
}
