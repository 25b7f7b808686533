//! Stripe: one finalised invoice for each document, over what is left to pay.

use http::StatusCode;
use serde_json::{Value, json};
use tenantry_sinks::stripe::Stripe;
use tenantry_sinks::{Letter, Reminder, Sink};

use crate::documents::{DEADLINE, invoice, notice, now, until_there};
use crate::peer::{Asked, Mischief, Peer, System};

/// As much of Stripe as matters: customers, invoices and their items.
#[derive(Default)]
struct Shop {
    customers: Vec<Value>,
    invoices: Vec<Value>,
    items: Vec<Value>,
}

fn newest_first(objects: &[Value], asked: &Asked, keep: impl Fn(&&Value) -> bool) -> Value {
    let kept: Vec<&Value> = objects.iter().rev().filter(keep).collect();
    let start = asked.query.get("starting_after");
    let from = start.map_or(0, |id| kept.iter().position(|object| object["id"] == *id).unwrap() + 1);
    // Pages of one, so that whoever reads only the first is found out.
    json!({"data": kept.iter().skip(from).take(1).collect::<Vec<_>>(), "has_more": kept.len() > from + 1})
}

impl System for Shop {
    fn serve(&mut self, asked: &Asked) -> (StatusCode, Value) {
        let form = asked.form();
        let field = |name: &str| form.get(name).cloned().unwrap_or_default();
        if asked.is("GET", "/v1/customers") {
            let email = asked.query.get("email");
            return (
                StatusCode::OK,
                newest_first(&self.customers, asked, |one| email.is_none_or(|email| one["email"] == *email)),
            );
        }
        if asked.is("GET", "/v1/invoices") {
            let customer = &asked.query["customer"];
            return (StatusCode::OK, newest_first(&self.invoices, asked, |one| one["customer"] == *customer));
        }
        if asked.is("POST", "/v1/customers") {
            let customer = json!({
                "id": format!("cus_{}", self.customers.len()), "email": field("email"),
                "metadata": {"tenantry": field("metadata[tenantry]")},
            });
            self.customers.push(customer.clone());
            return (StatusCode::OK, customer);
        }
        if asked.is("POST", "/v1/invoices") {
            assert_eq!(field("auto_advance"), "false");
            assert_eq!(field("pending_invoice_items_behavior"), "exclude");
            let invoice = json!({
                "id": format!("in_{}", self.invoices.len()), "customer": field("customer"), "status": "draft", "total": 0,
                "currency": field("currency"), "due_date": field("due_date").parse::<i64>().unwrap(),
                "metadata": {"tenantry": field("metadata[tenantry]")},
            });
            self.invoices.push(invoice.clone());
            return (StatusCode::OK, invoice);
        }
        if asked.is("POST", "/v1/invoiceitems") {
            let amount: i64 = field("amount").parse().unwrap();
            let of = self.invoices.iter_mut().find(|one| one["id"] == field("invoice")).unwrap();
            assert_eq!(of["status"], "draft", "nothing is added to what is final");
            of["total"] = json!(of["total"].as_i64().unwrap() + amount);
            self.items.push(json!({"id": format!("ii_{}", self.items.len()), "amount": amount}));
            return (StatusCode::OK, self.items.last().unwrap().clone());
        }
        let id = asked.path.trim_start_matches("/v1/invoices/").trim_end_matches("/finalize");
        let of = self.invoices.iter_mut().find(|one| one["id"] == id).unwrap();
        if of["status"] != "draft" {
            return (
                StatusCode::BAD_REQUEST,
                json!({"error": {"message": "This invoice is already finalized"}}),
            );
        }
        of["status"] = json!("open");
        (StatusCode::OK, of.clone())
    }

    fn remembers(&self) -> bool {
        true
    }
}

/// Every single mischief at every single request, and each of them at two requests in a row.
#[tokio::test]
async fn whatever_happens_on_the_way_there_is_one_invoice_in_the_end() {
    const REQUESTS: usize = 8;
    let all = [
        Mischief::Fails,
        Mischief::Hangs,
        Mischief::HangsAfter,
        Mischief::CutsAfter,
        Mischief::Throttles,
        Mischief::Twice,
    ];
    for mischief in all {
        for at in 0..REQUESTS {
            for length in [1, 2] {
                let path =
                    std::iter::repeat_n(Mischief::None, at).chain(std::iter::repeat_n(mischief, length));
                let peer = Peer::start(Shop::default(), path).await;
                let sink = Stripe::new(&peer.url, "sk_test", DEADLINE).unwrap();
                let other = invoice("INV-001-001", "acme", "10.00");
                let document = invoice("INV-001-002", "acme", "1234.50");
                let case = format!("{mischief:?} at {at}, {length} times");
                let (_, first) = until_there(&sink, &document).await;
                let (_, second) = until_there(&sink, &other).await;
                let (first, second) = (first.expect(&case).foreign, second.expect(&case).foreign);
                assert_ne!(first, second, "{case}");
                let (_, again) = until_there(&sink, &document).await;
                assert_eq!(again.unwrap().foreign, first, "{case}: it is found again");
                peer.look(|shop| {
                    let totals: Vec<_> = shop
                        .invoices
                        .iter()
                        .map(|one| (one["status"].clone(), one["total"].clone()))
                        .collect();
                    assert_eq!(
                        totals,
                        [(json!("open"), json!(123_450)), (json!("open"), json!(1_000))],
                        "{case}"
                    );
                    assert_eq!((shop.customers.len(), shop.items.len()), (1, 2), "{case}");
                });
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_sent_of_what_nobody_has_to_pay() {
    let peer = Peer::start(Shop::default(), []).await;
    let sink = Stripe::new(&peer.url, "sk_test", DEADLINE).unwrap();
    let (tries, delivered) = until_there(&sink, &invoice("INV-001-001", "acme", "0.00")).await;
    assert_eq!((tries, delivered.unwrap().foreign, peer.asked().len()), (1, None, 0));
    let notice = notice("INV-001-001");
    assert!(sink.remind(Reminder { notice: &notice, at: now() }).is_none(), "Stripe reminds by itself");
}

#[tokio::test]
async fn another_total_there_is_told_and_not_made_worse() {
    let shop = Shop {
        customers: vec![
            json!({"id": "cus_0", "email": "billing@acme.example", "metadata": {"tenantry": "acme"}}),
        ],
        invoices: vec![json!({
            "id": "in_0", "customer": "cus_0", "status": "draft", "total": 99, "metadata": {"tenantry": "INV-001-001"},
        })],
        items: Vec::new(),
    };
    let peer = Peer::start(shop, []).await;
    let sink = Stripe::new(&peer.url, "sk_test", DEADLINE).unwrap();
    let (tries, refused) = until_there(&sink, &invoice("INV-001-001", "acme", "10.00")).await;
    let refused = refused.unwrap_err();
    assert_eq!(tries, 1);
    assert!(refused.is_final && refused.reason.contains("comes to 99 instead of 1000"), "{refused}");
    peer.look(|shop| assert_eq!(shop.invoices[0]["status"], "draft"));
}

#[tokio::test]
async fn who_is_asked_to_wait_says_for_how_long_and_a_late_invoice_is_due_in_the_future() {
    let peer = Peer::start(Shop::default(), [Mischief::Throttles]).await;
    let sink = Stripe::new(&peer.url, "sk_test", DEADLINE).unwrap();
    let document = invoice("INV-001-001", "acme", "10.00");
    let late = "2027-06-01T00:00:00Z".parse().unwrap();
    let letter = Letter { document: &document, answered: 0, at: late };
    let trouble = sink.find(letter).await.unwrap_err();
    assert_eq!((trouble.is_final, trouble.after.map(|after| after.as_secs())), (false, Some(7)));
    sink.send(letter).await.unwrap();
    peer.look(|shop| assert!(shop.invoices[0]["due_date"].as_i64().unwrap() > late.as_second()));
    let in_time = Letter { at: now(), ..letter };
    assert!(sink.find(in_time).await.unwrap().is_some());
}
