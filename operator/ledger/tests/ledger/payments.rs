//! Payments: what they pay, what is left of them, and that neither order nor repetition of their telling matters.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use serde_json::json;
use tenantry_ledger::history::Fact;
use tenantry_ledger::money::Currency;
use tenantry_ledger::payment::{Claim, Payment, PaymentKind, ToldPayment, allocate};

use crate::book::Book;
use crate::shop::{list, monthly};

pub(crate) fn told(id: &str, amount: &str, received: &str) -> ToldPayment {
    ToldPayment {
        account: "acme".to_owned(),
        amount: amount.to_owned(),
        currency: "EUR".to_owned(),
        provider: "bank".to_owned(),
        id: id.to_owned(),
        received: Some(received.to_owned()),
        ..ToldPayment::default()
    }
}

fn read(told: &ToldPayment) -> Payment {
    let zone = TimeZone::get("Europe/Zurich").unwrap();
    told.read(Currency::parse("currency", "EUR").unwrap(), &zone, at("2030-01-01T00:00:00Z")).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

impl Book {
    pub(crate) fn pays(&mut self, told: &ToldPayment) {
        self.tell(Fact::Paid(read(told)));
    }

    fn open(&self) -> Vec<i64> {
        self.history.allocation().invoices.iter().map(|invoice| invoice.open).collect()
    }
}

/// 120.00 a month with tax, from January on.
fn silver() -> Book {
    let mut book = Book::new(&[list("silver", &[monthly("base", "100.00")])]);
    book.starts("2025-01-01", "silver");
    book
}

#[test]
fn the_named_invoice_is_paid_first_then_the_one_that_is_due_first_and_the_rest_is_drawn() {
    let mut book = silver();
    book.catch_up("2025-03-31");
    assert_eq!(book.open(), [12_000, 12_000, 12_000]);
    let second = ToldPayment {
        invoice: Some("INV-003-002".to_owned()),
        ..told("1", "150.00", "2025-03-05T00:00:00Z")
    };
    book.pays(&second);
    assert_eq!(book.open(), [9_000, 0, 12_000]);
    book.pays(&told("2", "250", "2025-03-06"));
    assert_eq!((book.open(), book.history.balance()), (vec![0, 0, 0], 4_000));
    assert_eq!(book.catch_up("2025-04-30"), ["2025-04-01: INV-003-004 120.00 80.00"]);
    assert_eq!((book.last_document().drawn.as_str(), book.history.balance()), ("40.00", 0));
    assert_eq!(book.open(), [0, 0, 0, 8_000]);
    // Some is taken back: what is due first stays paid, what was drawn stays drawn, and nothing that was closed changes.
    let back = ToldPayment { kind: PaymentKind::Chargeback, ..told("3", "60.00", "2025-04-10") };
    book.pays(&back);
    assert_eq!((book.open(), book.history.balance()), (vec![0, 0, 6_000, 8_000], 0));
    assert_eq!(book.catch_up("2025-05-31"), ["2025-05-01: INV-003-005 120.00 120.00"]);
}

#[test]
fn a_run_that_is_late_draws_what_it_would_have_drawn_in_time() {
    let paid = told("1", "300.00", "2025-02-15T12:00:00Z");
    let mut in_time = silver();
    in_time.catch_up("2025-02-14");
    in_time.pays(&paid);
    in_time.catch_up("2025-03-31");
    let mut late = silver();
    late.pays(&paid);
    late.catch_up("2025-03-31");
    assert_eq!(late.last_document(), in_time.last_document());
    assert_eq!((late.open(), late.history.balance()), (in_time.open(), in_time.history.balance()));
    assert_eq!((late.last_document().drawn.as_str(), late.open()), ("60.00", vec![0, 0, 6_000]));
}

#[test]
fn credits_stay_in_hand_until_they_are_drawn_or_paid_out() {
    let mut book = silver();
    book.catch_up("2025-01-31");
    book.happens("2025-01-16", json!({"type": "Cancel"}));
    book.catch_up("2025-01-31");
    assert_eq!((book.open(), book.history.balance()), (vec![12_000], 6_193));
    book.pays(&told("1", "120.00", "2025-01-20"));
    assert_eq!((book.open(), book.history.balance()), (vec![0], 6_193));
    book.pays(&ToldPayment { kind: PaymentKind::Refund, ..told("2", "61.93", "2025-01-21") });
    assert_eq!((book.open(), book.history.balance()), (vec![0], 0));
}

#[test]
fn what_cannot_be_a_payment_is_refused_with_its_field() {
    let zone = TimeZone::get("Europe/Zurich").unwrap();
    let euro = Currency::parse("currency", "EUR").unwrap();
    let now = at("2025-01-31T12:00:00Z");
    let good = told("1", "1.00", "2025-01-31");
    assert_eq!(good.read(euro, &zone, now).unwrap().received, at("2025-01-30T23:00:00Z"));
    let cases = [
        (ToldPayment { amount: "1.005".to_owned(), ..good.clone() }, "amount"),
        (ToldPayment { amount: "0.00".to_owned(), ..good.clone() }, "amount"),
        (ToldPayment { amount: "-1.00".to_owned(), ..good.clone() }, "amount"),
        (ToldPayment { amount: "1,00".to_owned(), ..good.clone() }, "amount"),
        (ToldPayment { currency: "CHF".to_owned(), ..good.clone() }, "currency"),
        (ToldPayment { id: String::new(), ..good.clone() }, "id"),
        (ToldPayment { provider: "a\nb".to_owned(), ..good.clone() }, "provider"),
        (ToldPayment { received: Some("yesterday".to_owned()), ..good.clone() }, "received"),
        (ToldPayment { received: Some("2025-02-02".to_owned()), ..good.clone() }, "received"),
    ];
    for (wrong, field) in cases {
        assert_eq!(wrong.read(euro, &zone, now).unwrap_err().field, field, "{wrong:?}");
    }
    let first = read(&good);
    assert_eq!(first.repeats("acme", &good, &first), Ok(()));
    let unsaid = ToldPayment { received: None, ..good.clone() };
    assert_eq!(first.repeats("acme", &unsaid, &read(&unsaid)), Ok(()));
    let other = ToldPayment { amount: "2.00".to_owned(), ..good.clone() };
    let refusal = first.repeats("acme", &other, &read(&other)).unwrap_err();
    assert_eq!(refusal.field, "amount");
    assert!(refusal.reason.contains("told of payment \"1\" before, with 1.00 EUR"), "{refusal}");
}

fn payments() -> impl Strategy<Value = Vec<Payment>> {
    let one = (1_i64..30_000, 0_i64..100, 0_u8..10, prop::option::of(0_usize..5));
    prop::collection::vec(one, 0..12).prop_map(|all| {
        let payment = |(place, (minor, day, kind, invoice)): (usize, (i64, i64, u8, Option<usize>))| {
            let mut payment = read(&told(&format!("p{place}"), "1.00", "2025-01-01T00:00:00Z"));
            payment.amount.minor = minor;
            payment.received = Timestamp::from_second(1_735_689_600 + day * 86_400).unwrap();
            payment.kind = match kind {
                0 => PaymentKind::Refund,
                1 => PaymentKind::Chargeback,
                _ => PaymentKind::Payment,
            };
            payment.invoice = invoice.map(|number| format!("INV-{number}"));
            payment
        };
        all.into_iter().enumerate().map(payment).collect()
    })
}

fn claims() -> impl Strategy<Value = Vec<Claim>> {
    prop::collection::vec((0_i64..20_000, 0_i64..5_000, 1_i8..28), 0..5).prop_map(|all| {
        let claim = |(place, (payable, drawn, due)): (usize, (i64, i64, i8))| Claim {
            number: format!("INV-{place}"),
            due: jiff::civil::date(2025, 2, due),
            payable,
            drawn,
        };
        all.into_iter().enumerate().map(claim).collect()
    })
}

fn came_in(payments: &[Payment]) -> i64 {
    let signed = |payment: &Payment| match payment.kind {
        PaymentKind::Payment => payment.amount.minor,
        PaymentKind::Refund | PaymentKind::Chargeback => -payment.amount.minor,
    };
    payments.iter().map(signed).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// No cent is lost, nothing is paid twice, and nothing is in hand while something is open.
    #[test]
    fn what_came_in_is_what_is_paid_and_what_is_left(claims in claims(), payments in payments(), credits in 0_i64..9_000) {
        let all = allocate(&claims, credits, payments.iter());
        let paid: i64 = all.invoices.iter().map(|invoice| invoice.claimed - invoice.open).sum();
        prop_assert_eq!(paid + all.balance, came_in(&payments) + credits);
        for invoice in &all.invoices {
            prop_assert!(0 <= invoice.open && invoice.open <= invoice.claimed, "{invoice:?}");
        }
        prop_assert!(all.balance <= credits || all.invoices.iter().all(|invoice| invoice.open == 0));
        prop_assert!(all.balance >= 0 || paid == 0);
    }

    /// One more payment opens nothing.
    #[test]
    fn more_money_leaves_no_more_open(claims in claims(), payments in payments(), minor in 1_i64..10_000) {
        let open = |payments: &[Payment]| -> i64 {
            allocate(&claims, 0, payments.iter()).invoices.iter().map(|invoice| invoice.open).sum()
        };
        let mut more = payments.clone();
        let mut one = read(&told("more", "1.00", "2025-01-01T00:00:00Z"));
        one.amount.minor = minor;
        more.push(one);
        prop_assert!(open(&more) <= open(&payments));
    }

    /// Told in any order and any number of times, between the same runs, an account stands the same.
    #[test]
    fn told_in_any_order_and_repeated_an_account_stands_the_same(
        payments in payments(),
        order in prop::collection::vec(0_u32..1_000, 12),
        again in prop::collection::vec(0_usize..12, 0..12),
    ) {
        let base = silver();
        let tell = |payments: &[&Payment]| {
            let mut history = base.history.clone();
            for payment in payments {
                history.apply(Fact::Paid((*payment).clone()));
            }
            history
        };
        let in_order = tell(&payments.iter().collect::<Vec<_>>());
        let mut shuffled: Vec<(&u32, &Payment)> = order.iter().zip(&payments).collect();
        shuffled.sort_by_key(|(key, _)| **key);
        let mut told: Vec<&Payment> = shuffled.into_iter().map(|(_, payment)| payment).collect();
        told.extend(again.iter().filter_map(|place| payments.get(*place)));
        prop_assert_eq!(tell(&told), in_order);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whoever bills in time while payments come in, and whoever was away until the end, make the same documents.
    #[test]
    fn documents_are_the_same_in_time_and_late(mut payments in payments()) {
        for payment in &mut payments {
            let number = |name: &String| name.replace("INV-", "INV-003-00");
            payment.invoice = payment.invoice.as_ref().map(number);
        }
        let mut late = silver();
        for payment in &payments {
            late.tell(Fact::Paid(payment.clone()));
        }
        late.catch_up("2025-04-30");
        payments.sort_by_key(|payment| payment.received);
        let mut in_time = silver();
        for payment in &payments {
            in_time.catch_up(&TimeZone::UTC.to_datetime(payment.received).date().to_string());
            in_time.tell(Fact::Paid(payment.clone()));
        }
        in_time.catch_up("2025-04-30");
        prop_assert_eq!(documents(&late), documents(&in_time));
        prop_assert_eq!(late.history.allocation(), in_time.history.allocation());
    }
}

/// What each run closed.
fn documents(book: &Book) -> Vec<(String, i64)> {
    let closed = book.facts.iter().filter_map(|fact| match fact {
        Fact::Closed(closing) => Some(closing),
        _ => None,
    });
    closed.map(|closing| (serde_json::to_string(&closing.document).unwrap(), closing.balance)).collect()
}
