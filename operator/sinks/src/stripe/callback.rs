//! What Stripe tells of payments of its invoices. Needs the network for money that goes back.
//!
//! An invoice there is known by our number in its metadata, which is in what it tells. Charges and disputes have none: the charge is asked
//! for its invoice. Of a refund the charge says how much was given back in all, so each is known by what it is after that one; of a
//! dispute the money moves when it is withdrawn, and comes back when it is reinstated.

use http::Method;
use jiff::{SignedDuration, Timestamp};
use ring::hmac;
use serde_json::Value;
use tenantry_ledger::money::Money;
use tenantry_ledger::payment::PaymentKind;

use super::{METADATA, Stripe};
use crate::callback::{Call, Meaning, Moved, Of, Refused, currency, json, text};
use crate::caller::Ask;

/// How old a signature may be, and how far ahead: what Stripe's own libraries take.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// Refuses what Stripe did not sign with this secret within the last minutes.
///
/// # Errors
/// No signature of the form `t=SECONDS,v1=HEX`, another one, or an old one.
pub fn signed(call: Call<'_>, secret: &str) -> Result<(), Refused> {
    let Call { proof, body, at } = call;
    let forged = |why: &str| Refused::Forged(why.to_owned());
    let parts = || proof.split(',').filter_map(|part| part.trim().split_once('='));
    let time = parts().find(|(name, _)| *name == "t").map(|(_, time)| time);
    let time = time.ok_or_else(|| forged("the signature says no time"))?;
    let told = time.parse().ok().and_then(|second| Timestamp::from_second(second).ok());
    let told = told.ok_or_else(|| forged("the time of the signature is none"))?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.trim().as_bytes());
    let content = [time.as_bytes(), b".", body].concat();
    // There are several while a secret is being replaced.
    let is_ours =
        |signature: &str| unhexed(signature).is_some_and(|tag| hmac::verify(&key, &content, &tag).is_ok());
    if !parts().any(|(name, signature)| name == "v1" && is_ours(signature)) {
        return Err(forged("no signature is of the secret that is shared"));
    }
    if told.duration_since(at).abs() > TOLERANCE {
        return Err(forged("the signature is older, or newer, than five minutes"));
    }
    Ok(())
}

fn unhexed(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    });
    pairs.collect()
}

impl Stripe {
    /// What an event means that Stripe signed with this secret.
    ///
    /// # Errors
    /// It is not Stripe's, or cannot be read; or Stripe has to be asked and does not answer.
    pub async fn called(&self, call: Call<'_>, secret: &str) -> Result<Meaning, Refused> {
        signed(call, secret)?;
        let event = json(call.body)?;
        let object = event.pointer("/data/object").unwrap_or(&Value::Null);
        let at = event.get("created").and_then(Value::as_i64);
        let at = at.and_then(|second| Timestamp::from_second(second).ok());
        match text(&event, "/type")? {
            "invoice.paid" => paid(object, at),
            "charge.refunded" => {
                let given_back = minor(object, "/amount_refunded")?;
                let before =
                    event.pointer("/data/previous_attributes/amount_refunded").and_then(Value::as_i64);
                let id = format!("{}/refunded/{given_back}", text(object, "/id")?);
                let amount = given_back - before.unwrap_or(0);
                self.went(id, PaymentKind::Refund, amount, object, object, at).await
            }
            kind @ ("charge.dispute.funds_withdrawn" | "charge.dispute.funds_reinstated") => {
                let (word, kind) = match kind {
                    "charge.dispute.funds_withdrawn" => ("withdrawn", PaymentKind::Chargeback),
                    _ => ("reinstated", PaymentKind::Payment),
                };
                let charge = text(object, "/charge")?;
                let charge =
                    self.caller.json(Method::GET, &format!("/v1/charges/{charge}"), Ask::default()).await?;
                let id = format!("{}/{word}", text(object, "/id")?);
                self.went(id, kind, minor(object, "/amount")?, object, &charge, at).await
            }
            other => Ok(Meaning::Nothing(format!("{other} moves no money that the ledger has"))),
        }
    }

    /// Money of a charge, which knows its invoice.
    async fn went(
        &self,
        id: String,
        kind: PaymentKind,
        amount: i64,
        object: &Value,
        charge: &Value,
        at: Option<Timestamp>,
    ) -> Result<Meaning, Refused> {
        let Some(invoice) = charge.get("invoice").and_then(Value::as_str) else {
            return Ok(Meaning::Nothing("the charge is of no invoice".to_owned()));
        };
        let invoice =
            self.caller.json(Method::GET, &format!("/v1/invoices/{invoice}"), Ask::default()).await?;
        let Some(number) = number(&invoice) else { return Ok(of_others()) };
        if amount <= 0 {
            return Ok(Meaning::Nothing("no more money went than before".to_owned()));
        }
        let amount = Money { minor: amount, currency: currency(object)? };
        Ok(Meaning::Moved(vec![Moved { id, kind, amount, at, of: Of::Document(number) }]))
    }
}

/// What was paid of an invoice: an invoice is paid once.
fn paid(invoice: &Value, at: Option<Timestamp>) -> Result<Meaning, Refused> {
    let Some(number) = number(invoice) else { return Ok(of_others()) };
    if invoice.get("paid_out_of_band") == Some(&Value::Bool(true)) {
        return Ok(Meaning::Nothing("it was paid elsewhere, and is told from there".to_owned()));
    }
    let amount = Money { minor: minor(invoice, "/amount_paid")?, currency: currency(invoice)? };
    if amount.minor == 0 {
        return Ok(Meaning::Nothing("nothing was paid".to_owned()));
    }
    let id = text(invoice, "/id")?.to_owned();
    Ok(Meaning::Moved(vec![Moved { id, kind: PaymentKind::Payment, amount, at, of: Of::Document(number) }]))
}

fn of_others() -> Meaning {
    Meaning::Nothing("the invoice is none of ours".to_owned())
}

/// Our number of an invoice there.
fn number(invoice: &Value) -> Option<String> {
    invoice.pointer(&format!("/metadata/{METADATA}"))?.as_str().map(str::to_owned)
}

fn minor(object: &Value, pointer: &str) -> Result<i64, Refused> {
    let minor = object.pointer(pointer).and_then(Value::as_i64);
    minor.ok_or_else(|| Refused::Unreadable(format!("it has no {}", pointer.trim_start_matches('/'))))
}
