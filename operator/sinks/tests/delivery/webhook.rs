//! The webhook: signed so that a receiver can check it, known again by its id.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use ring::hmac;
use serde_json::{Value, json};
use tenantry_sinks::webhook::Webhook;
use tenantry_sinks::{Reminder, Sink as _};

use crate::documents::{DEADLINE, invoice, notice, now, until_there};
use crate::peer::{Asked, Mischief, Peer, System};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A receiver that checks signatures and keeps what it did not have.
#[derive(Default)]
struct Receiver {
    kept: Vec<(String, Value)>,
    received: usize,
}

impl System for Receiver {
    fn serve(&mut self, asked: &Asked) -> (StatusCode, Value) {
        let [id, at, signature] =
            ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| &asked.headers[name]);
        let key =
            hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(SECRET.trim_start_matches("whsec_")).unwrap());
        let body = std::str::from_utf8(&asked.body).unwrap();
        let tag = STANDARD.decode(signature.strip_prefix("v1,").unwrap()).unwrap();
        hmac::verify(&key, format!("{id}.{at}.{body}").as_bytes(), &tag).unwrap();
        assert_eq!(*at, now().as_second().to_string());
        self.received += 1;
        if self.kept.iter().all(|(known, _)| known != id) {
            self.kept.push((id.clone(), serde_json::from_str(body).unwrap()));
        }
        (StatusCode::NO_CONTENT, json!(null))
    }
}

#[tokio::test]
async fn a_receiver_gets_each_document_until_it_says_so_and_can_tell_it_from_others() {
    let all = [
        Mischief::Fails,
        Mischief::Hangs,
        Mischief::HangsAfter,
        Mischief::CutsAfter,
        Mischief::Throttles,
        Mischief::Twice,
    ];
    let peer = Peer::start(Receiver::default(), all).await;
    let sink = Webhook::new(&format!("{}/in", peer.url), SECRET, DEADLINE).unwrap();
    let (tries, delivered) = until_there(&sink, &invoice("INV-001-001", "acme", "10.00")).await;
    assert_eq!((tries, delivered.unwrap().foreign.as_deref()), (6, Some("INV-001-001")));
    until_there(&sink, &invoice("INV-001-002", "acme", "20.00")).await.1.unwrap();
    peer.look(|receiver| {
        let kept: Vec<_> =
            receiver.kept.iter().map(|(id, body)| (id.as_str(), body["data"]["gross"].clone())).collect();
        assert_eq!(kept, [("INV-001-001", json!("10.00")), ("INV-001-002", json!("20.00"))]);
        assert_eq!((receiver.received, &receiver.kept[0].1["type"]), (5, &json!("invoice.finalized")));
    });
    assert!(peer.asked().iter().all(|asked| asked.is("POST", "/in")));
}

#[tokio::test]
async fn a_notice_has_an_id_of_its_own_beside_its_document() {
    let peer = Peer::start(Receiver::default(), []).await;
    let sink = Webhook::new(&format!("{}/in", peer.url), SECRET, DEADLINE).unwrap();
    until_there(&sink, &invoice("INV-001-001", "acme", "10.00")).await.1.unwrap();
    let notice = notice("INV-001-001");
    for _ in 0..2 {
        sink.remind(Reminder { notice: &notice, at: now() }).unwrap().await.unwrap();
    }
    peer.look(|receiver| {
        let kept: Vec<_> =
            receiver.kept.iter().map(|(id, body)| (id.as_str(), body["type"].clone())).collect();
        let told = ("INV-001-001/Reminder", json!("invoice.reminder"));
        assert_eq!(kept, [("INV-001-001", json!("invoice.finalized")), told]);
        assert_eq!((receiver.received, &receiver.kept[1].1["data"]["open"]), (3, &json!("10.00")));
    });
}

#[test]
fn what_is_configured_wrongly_is_refused_with_its_field() {
    let refused = |url: &str, secret: &str| Webhook::new(url, secret, DEADLINE).err().unwrap().reason;
    assert!(
        refused("http://billing.example.org/in", SECRET)
            .contains("url: \"http://billing.example.org/in\" would be called without TLS")
    );
    assert!(refused("not an address", SECRET).starts_with("url: "));
    assert!(
        refused("https://billing.example.org/in", "whsec_c2hvcnQ=")
            .starts_with("secret: it is no key of 24 to 64 bytes")
    );
    assert!(Webhook::new("https://billing.example.org/in", SECRET, DEADLINE).is_ok());
}
