//! Payments: kept once, whoever tells of them how often and in whatever order, and proven like everything else.

use serde_json::json;
use tenantry_billing::{Books, BooksError, Recorded, Settled, State};
use tenantry_journal::{Database, Epoch};
use tenantry_ledger::ladder::Stage;
use tenantry_ledger::payment::{PaymentKind, ToldPayment};

use crate::place::Place;
use crate::town::{agreement, at, edited, leader, list, opened, start};

/// Opens an account and has its first two invoices made: 269.17 and 128.53.
async fn billed(books: &Books, epoch: Epoch, account: &str) {
    let now = at("2025-01-01T00:00:00Z");
    books.open(epoch, &agreement(account), now).await.unwrap();
    let begin = start(account, "2025-01-01T09:00:00Z", "silver@1");
    books.tell(epoch, account, &[list("silver@1", "99.00")], &[begin], now).await.unwrap();
    let then = at("2025-02-15T12:00:00Z");
    books.run(epoch, then, then).await.unwrap();
}

pub(crate) fn told(account: &str, id: &str, amount: &str) -> ToldPayment {
    ToldPayment {
        account: account.to_owned(),
        amount: amount.to_owned(),
        currency: "EUR".to_owned(),
        provider: "bank".to_owned(),
        id: id.to_owned(),
        received: Some("2025-02-10T12:00:00Z".to_owned()),
        ..ToldPayment::default()
    }
}

fn new(recorded: &[Recorded]) -> Vec<bool> {
    recorded.iter().map(|one| one.is_new).collect()
}

/// What is open of each invoice, and what is in hand.
async fn stands(books: &Books, account: &str) -> (Vec<i64>, i64) {
    let allocation = books.load(account).await.unwrap().unwrap().history.allocation();
    (allocation.invoices.iter().map(|invoice| invoice.open).collect(), allocation.balance)
}

pub(crate) async fn a_payment_is_kept_once(place: Place) {
    let (books, epoch) = opened(&place.url).await;
    billed(&books, epoch, "acme").await;
    billed(&books, epoch, "other").await;
    let now = at("2025-02-16T00:00:00Z");
    let named = ToldPayment { invoice: Some("INV-001-002".to_owned()), ..told("acme", "1", "128.53") };
    let more = told("acme", "2", "300.00");
    let back = ToldPayment { kind: PaymentKind::Chargeback, ..told("acme", "3", "30.00") };
    let before = books.verify().await.unwrap();
    let batch = [named.clone(), more.clone(), named.clone()];
    assert_eq!(new(&books.pay(epoch, &batch, now).await.unwrap()), [true, true, false]);
    assert_eq!(stands(&books, "acme").await, (vec![0, 0], 3_083));
    let again = [back.clone(), more, named.clone()];
    assert_eq!(new(&books.pay(epoch, &again, now).await.unwrap()), [true, false, false]);
    assert_eq!(stands(&books, "acme").await, (vec![0, 0], 83));
    assert_eq!(new(&books.pay(epoch, &again, now).await.unwrap()), [false; 3]);
    let verdict = books.verify().await.unwrap();
    assert_eq!((verdict.payments, verdict.facts), (3, before.facts + 3));
    assert_eq!(verdict.faults, []);

    // What is in hand is drawn by the next invoice, and the proof holds.
    let then = at("2025-03-15T00:00:00Z");
    let summary = books.run(epoch, then, then).await.unwrap();
    assert_eq!(summary.documents[0].drawn, "0.83");
    assert_eq!(stands(&books, "acme").await, (vec![0, 0, 12_770], 0));
    assert_eq!(books.verify().await.unwrap().faults, []);

    // Refused is another payment under the same id, of whichever account, and nothing of its batch is kept.
    let refused = async |told: ToldPayment, field: &str| {
        let good = self::told("acme", "good", "1.00");
        match books.pay(epoch, &[good, told], now).await.unwrap_err() {
            BooksError::Refused(refusal) => assert_eq!(refusal.field, format!("payments[1].{field}")),
            other => panic!("{other}"),
        }
    };
    refused(ToldPayment { amount: "128.54".to_owned(), ..named.clone() }, "amount").await;
    refused(ToldPayment { account: "other".to_owned(), ..named.clone() }, "account").await;
    refused(ToldPayment { invoice: None, ..named.clone() }, "invoice").await;
    refused(ToldPayment { kind: PaymentKind::Refund, ..named.clone() }, "kind").await;
    refused(ToldPayment { amount: "2.00".to_owned(), ..told("acme", "good", "1.00") }, "amount").await;
    refused(told("nobody", "4", "1.00"), "account").await;
    let theirs = ToldPayment { invoice: Some("INV-002-001".to_owned()), ..told("acme", "4", "1.00") };
    refused(theirs, "invoice").await;
    let unknown = ToldPayment { invoice: Some("INV-009-001".to_owned()), ..told("acme", "4", "1.00") };
    refused(unknown, "invoice").await;
    assert_eq!(books.verify().await.unwrap().payments, 3);

    // Whoever does not lead any more writes nothing.
    let database = Database::open(&place.url).await.unwrap();
    database.take_over(&leader("b", 1)).await.unwrap();
    let late = books.pay(epoch, &[told("acme", "late", "1.00")], now).await.unwrap_err();
    assert!(late.is_superseded(), "{late}");
}

/// The same payments in any order, by several at once, each of them twice: every account stands the same.
pub(crate) async fn payments_told_in_any_order_and_at_once_stand_the_same(place: Place) {
    let (books, epoch) = opened(&place.url).await;
    let now = at("2025-02-16T00:00:00Z");
    let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]];
    for (number, order) in (1..).zip(orders) {
        let account = format!("account-{number}");
        billed(&books, epoch, &account).await;
        let id = |one: &str| format!("{account}/{one}");
        let payments = [
            ToldPayment {
                invoice: Some(format!("INV-{number:03}-002")),
                ..told(&account, &id("a"), "100.00")
            },
            told(&account, &id("b"), "300.00"),
            ToldPayment { kind: PaymentKind::Refund, ..told(&account, &id("c"), "20.00") },
            ToldPayment { kind: PaymentKind::Chargeback, ..told(&account, &id("d"), "50.00") },
        ];
        let all = order.iter().chain(&order).map(|place| {
            let (books, payment) = (books.clone(), payments[*place].clone());
            async move { books.pay(epoch, &[payment], now).await.unwrap() }
        });
        let mut told = tokio::task::JoinSet::new();
        for one in all {
            told.spawn(one);
        }
        let recorded = told.join_all().await;
        assert_eq!(recorded.iter().flatten().filter(|one| one.is_new).count(), 4);
        assert_eq!(stands(&books, &account).await, (vec![3_917, 2_853], 0), "{account}");
    }
    let verdict = books.verify().await.unwrap();
    assert_eq!((verdict.payments, verdict.faults), (12, Vec::new()));
}

/// Notices are kept and delivered once, beside their document, and the proof covers them.
pub(crate) async fn a_notice_is_made_once_and_goes_to_every_sink(place: Place) {
    let (books, epoch) = opened(&place.url).await;
    billed(&books, epoch, "acme").await;
    let now = at("2025-02-20T12:00:00Z");
    assert_eq!(books.dun(epoch, "acme", now).await.unwrap().stage, None, "nobody tells of payments");
    let agreement = edited("acme", |value| {
        value["sinks"] = json!(["orderly/erp", "orderly/pay"]);
        value["paymentSources"] = json!(["bank"]);
        value["dunning"] = json!([{"state": "Reminder", "days": 3}, {"state": "Suspended", "days": 10}]);
    });
    books.open(epoch, &agreement, now).await.unwrap();
    let other = ToldPayment { provider: "Bank".to_owned(), ..told("acme", "1", "1.00") };
    let refused = books.pay(epoch, &[other], now).await.unwrap_err().to_string();
    assert!(
        refused.contains("payments[0].provider: \"Bank\" does not tell of payments; bank does"),
        "{refused}"
    );

    // Due on the last of January: the first look reminds, and only on another day something else follows.
    let (one, two) = tokio::join!(books.dun(epoch, "acme", now), books.dun(epoch, "acme", now));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.notices.len() + two.notices.len(), 1);
    assert_eq!((one.stage, one.next), (Some(Stage::Reminder), Some(at("2025-02-20T23:00:00Z"))));
    assert_eq!(one.open, "397.70 EUR");
    let notice = books.notice("INV-001-001", Stage::Reminder).await.unwrap();
    assert_eq!((notice.open.as_str(), notice.days, notice.buyer.as_str()), ("269.17", 20, "acme Ltd"));
    assert!(books.notice("INV-001-001", Stage::Warning).await.is_err());
    let due = books.deliveries_due(now, 10).await.unwrap();
    let said: Vec<_> = due.iter().map(|one| (one.sink.as_str(), one.stage, one.number.as_str())).collect();
    let reminder = Some(Stage::Reminder);
    assert_eq!(said, [("orderly/erp", reminder, "INV-001-001"), ("orderly/pay", reminder, "INV-001-001")]);
    let skipped = Settled::Skipped("it takes no notices".to_owned());
    books.settle(epoch, &[(due[0].clone(), Settled::Sent(None)), (due[1].clone(), skipped)]).await.unwrap();
    let states: Vec<State> =
        books.deliveries(Some("INV-001-001")).await.unwrap().iter().map(|one| one.state).collect();
    assert_eq!(states, [State::Sent, State::Skipped]);
    // The document itself is asked for beside it.
    books.resend(epoch, "orderly/erp", "INV-001-001", "oskar", now).await.unwrap();
    let states: Vec<State> =
        books.deliveries(Some("INV-001-001")).await.unwrap().iter().map(|one| one.state).collect();
    assert_eq!(states, [State::Resend, State::Sent, State::Skipped]);
    let next = books.dun(epoch, "acme", at("2025-02-21T00:00:00Z")).await.unwrap();
    assert_eq!((next.stage, next.notices.len()), (Some(Stage::Suspended), 0));
    books.pay(epoch, &[told("acme", "1", "269.17")], now).await.unwrap();
    let paid = books.dun(epoch, "acme", at("2025-02-21T00:00:00Z")).await.unwrap();
    // The second invoice is due on the third of March.
    assert_eq!((paid.stage, paid.next), (None, Some(at("2025-03-03T23:00:00Z"))));
    assert_eq!(books.verify().await.unwrap().faults, []);
}
