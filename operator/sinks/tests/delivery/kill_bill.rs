//! Kill Bill: one charge for each document, on the account of our account's name.

use http::StatusCode;
use serde_json::{Value, json};
use tenantry_sinks::kill_bill::{Credentials, KillBill};

use crate::documents::{DEADLINE, invoice, until_there};
use crate::peer::{Asked, Mischief, Peer, System};

/// As much of Kill Bill as matters: accounts with unique keys, and charges, each on an invoice of its own.
#[derive(Default)]
struct Bill {
    accounts: Vec<Value>,
    invoices: Vec<(String, Value)>,
}

impl System for Bill {
    fn serve(&mut self, asked: &Asked) -> (StatusCode, Value) {
        assert_eq!(asked.headers["x-killbill-apikey"], "bob");
        assert_eq!(asked.headers["x-killbill-createdby"], "tenantry");
        assert_eq!(asked.headers["authorization"], "Basic YWRtaW46cGFzcw==");
        if asked.is("GET", "/1.0/kb/accounts") {
            let found = self.accounts.iter().find(|one| one["externalKey"] == asked.query["externalKey"]);
            return found.map_or((StatusCode::NOT_FOUND, json!({"message": "none"})), |one| {
                (StatusCode::OK, one.clone())
            });
        }
        if asked.is("POST", "/1.0/kb/accounts") {
            let mut account: Value = serde_json::from_slice(&asked.body).unwrap();
            if self.accounts.iter().any(|one| one["externalKey"] == account["externalKey"]) {
                return (StatusCode::CONFLICT, json!({"message": "exists"}));
            }
            account["accountId"] = json!(format!("account-{}", self.accounts.len()));
            self.accounts.push(account);
            return (StatusCode::CREATED, json!(null));
        }
        if let Some(account) = asked.path.strip_prefix("/1.0/kb/accounts/") {
            let account = account.trim_end_matches("/invoices");
            let of = self.invoices.iter().filter(|(owner, _)| owner == account);
            return (StatusCode::OK, of.map(|(_, invoice)| invoice.clone()).collect());
        }
        let account = asked.path.strip_prefix("/1.0/kb/invoices/charges/").unwrap();
        assert_eq!(asked.query["autoCommit"], "true");
        let mut items: Value = serde_json::from_slice(&asked.body).unwrap();
        let invoice = format!("invoice-{}", self.invoices.len());
        items[0]["invoiceId"] = json!(invoice);
        self.invoices.push((account.to_owned(), json!({"invoiceId": invoice, "items": items})));
        (StatusCode::CREATED, items)
    }
}

fn sink(url: &str) -> KillBill {
    let credentials = Credentials {
        api_key: "bob".to_owned(),
        api_secret: "lazar".to_owned(),
        user: "admin".to_owned(),
        password: "pass".to_owned(),
    };
    KillBill::new(url, &credentials, DEADLINE).unwrap()
}

#[tokio::test]
async fn whatever_happens_on_the_way_there_is_one_charge_in_the_end() {
    const REQUESTS: usize = 6;
    // One that is served twice by a proxy is charged twice there: Kill Bill knows no keys. Nobody who waits for the answer sends
    // a request twice.
    let all =
        [Mischief::Fails, Mischief::Hangs, Mischief::HangsAfter, Mischief::CutsAfter, Mischief::Throttles];
    for mischief in all {
        for at in 0..REQUESTS {
            for length in [1, 2] {
                let path =
                    std::iter::repeat_n(Mischief::None, at).chain(std::iter::repeat_n(mischief, length));
                let peer = Peer::start(Bill::default(), path).await;
                let case = format!("{mischief:?} at {at}, {length} times");
                let (_, first) =
                    until_there(&sink(&peer.url), &invoice("INV-001-001", "acme", "1234.50")).await;
                let (_, other) = until_there(&sink(&peer.url), &invoice("INV-001-002", "acme", "0.10")).await;
                let (_, again) =
                    until_there(&sink(&peer.url), &invoice("INV-001-001", "acme", "1234.50")).await;
                assert_eq!(again.expect(&case), first.expect(&case), "{case}");
                other.expect(&case);
                peer.look(|bill| {
                    let charged: Vec<_> =
                        bill.invoices.iter().map(|(_, one)| one["items"][0]["amount"].clone()).collect();
                    assert_eq!(charged, [json!(1234.5), json!(0.1)], "{case}");
                    assert_eq!(bill.accounts.len(), 1, "{case}");
                });
            }
        }
    }
}

#[tokio::test]
async fn another_charge_of_that_number_is_told() {
    let peer = Peer::start(Bill::default(), []).await;
    until_there(&sink(&peer.url), &invoice("INV-001-001", "acme", "10.00")).await.1.unwrap();
    let (_, refused) = until_there(&sink(&peer.url), &invoice("INV-001-001", "acme", "11.00")).await;
    let refused = refused.unwrap_err();
    assert!(refused.is_final && refused.reason.contains("instead of 11.00"), "{refused}");
}
