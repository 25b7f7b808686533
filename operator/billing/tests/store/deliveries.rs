//! Deliveries: opened with their document, settled once, made again in the place of those before.

use std::time::Duration;

use serde_json::json;
use tenantry_billing::{Books, Delivery, Settled, State};
use tenantry_journal::Epoch;

use crate::place::Place;
use crate::town::{at, edited, list, opened, start};

/// Opens an account whose documents go to two sinks, and has its first document made.
async fn billed(books: &Books, epoch: Epoch) -> String {
    let now = at("2025-01-01T00:00:00Z");
    let agreement = edited("acme", |value| value["sinks"] = json!(["orderly/erp", "orderly/pay"]));
    books.open(epoch, &agreement, now).await.unwrap();
    let begin = start("t1", "2025-01-01T09:00:00Z", "silver@1");
    books.tell(epoch, "acme", &[list("silver@1", "99.00")], &[begin], now).await.unwrap();
    let then = at("2025-01-01T12:00:00Z");
    let summary = books.run(epoch, then, then).await.unwrap();
    summary.documents[0].number.clone()
}

fn said(deliveries: &[Delivery]) -> Vec<String> {
    deliveries
        .iter()
        .map(|one| {
            let Delivery { sink, attempt, state, tries, answered, foreign, reason, .. } = one;
            format!(
                "{sink} {attempt} {state:?} {tries} {answered} {} {reason}",
                foreign.as_deref().unwrap_or("-")
            )
        })
        .collect()
}

pub(crate) async fn a_delivery_begins_with_its_document_and_ends_once(place: Place) {
    let (books, epoch) = opened(&place.url).await;
    assert_eq!(books.next_delivery().await.unwrap(), None);
    let number = billed(&books, epoch).await;
    let begun = at("2025-01-01T12:00:00Z");
    assert_eq!(books.next_delivery().await.unwrap(), Some(begun));
    let due = books.deliveries_due(begun, 10).await.unwrap();
    assert_eq!(said(&due), ["orderly/erp 1 Pending 0 0 - ", "orderly/pay 1 Pending 0 0 - "]);
    assert_eq!(books.deliveries_due(begun, 1).await.unwrap(), due[..1]);

    // One is tried again later, the other is there.
    let later = begun + Duration::from_secs(60);
    let again = |was_answered| Settled::Again { at: later, reason: "it broke".to_owned(), was_answered };
    let sent = Settled::Sent(Some("in_1".to_owned()));
    books.settle(epoch, &[(due[0].clone(), again(true)), (due[1].clone(), sent)]).await.unwrap();
    assert_eq!(books.deliveries_due(begun, 10).await.unwrap(), []);
    assert_eq!(books.next_delivery().await.unwrap(), Some(later));
    let due_later = books.deliveries_due(later, 10).await.unwrap();
    assert_eq!(said(&due_later), ["orderly/erp 1 Pending 1 1 - it broke"]);
    books.settle(epoch, &[(due_later[0].clone(), again(false))]).await.unwrap();
    books
        .settle(epoch, &[(due_later[0].clone(), Settled::Failed("no such place".to_owned()))])
        .await
        .unwrap();
    assert_eq!(books.next_delivery().await.unwrap(), None);
    let open = books.deliveries(None).await.unwrap();
    assert_eq!(said(&open), ["orderly/erp 1 Failed 3 2 - no such place"], "what is there is not asked after");

    // What was settled stays so, whoever comes late.
    books.settle(epoch, &[(due[1].clone(), Settled::Failed("late".to_owned()))]).await.unwrap();
    let asked = books.resend(epoch, "orderly/erp", &number, "oskar", later).await.unwrap();
    assert_eq!((asked.attempt, asked.state), (2, State::Resend));
    books.settle(epoch, &[(due[0].clone(), Settled::Sent(None))]).await.unwrap();
    let all = books.deliveries(Some(&number)).await.unwrap();
    assert_eq!(
        said(&all),
        [
            "orderly/erp 1 Superseded 3 2 - no such place",
            "orderly/erp 2 Resend 0 0 - asked for by oskar",
            "orderly/pay 1 Sent 1 0 in_1 ",
        ]
    );
    books.settle(epoch, &[(asked, Settled::Sent(Some("7".to_owned())))]).await.unwrap();
    assert_eq!(said(&books.deliveries(Some(&number)).await.unwrap())[1], "orderly/erp 2 Sent 1 0 7 ");
    assert!(books.resend(epoch, "orderly/erp", "INV-999-001", "oskar", later).await.is_err());
    assert!(books.verify().await.unwrap().is_sound());
}
