//! What Kill Bill tells of payments. Needs the network.
//!
//! A push notification names a payment and says nothing of it, nor is it signed: whoever calls knows a word, and what happened is asked
//! for there. All that came of the payment is told each time, by the ids of its transactions; so one that never came is made up for
//! by the next.

use http::Method;
use serde_json::Value;
use tenantry_ledger::exact::Decimal;
use tenantry_ledger::money::Money;
use tenantry_ledger::payment::PaymentKind;

use super::KillBill;
use crate::callback::{Call, Meaning, Moved, Of, Refused, currency, is_shared, json, text};
use crate::caller::Ask;

impl KillBill {
    /// What a notification means of who knows this word.
    ///
    /// # Errors
    /// Whoever calls does not know it, or cannot be read; or Kill Bill does not answer.
    pub async fn called(&self, call: Call<'_>, word: &str) -> Result<Meaning, Refused> {
        is_shared(call.proof, word)?;
        let told = json(call.body)?;
        if told.get("objectType").and_then(Value::as_str) != Some("PAYMENT") {
            let kind = text(&told, "/eventType")?;
            return Ok(Meaning::Nothing(format!("{kind} is about no payment")));
        }
        let payment = name(text(&told, "/objectId")?)?;
        let payment =
            self.caller.json(Method::GET, &format!("/1.0/kb/payments/{payment}"), Ask::default()).await?;
        let account = name(text(&payment, "/accountId")?)?;
        let account =
            self.caller.json(Method::GET, &format!("/1.0/kb/accounts/{account}"), Ask::default()).await?;
        let account = text(&account, "/externalKey")?;
        let transactions = payment.get("transactions").and_then(Value::as_array).into_iter().flatten();
        let moved = transactions.filter_map(|one| moved(one, account).transpose());
        let moved = moved.collect::<Result<Vec<Moved>, Refused>>()?;
        Ok(match moved.is_empty() {
            true => Meaning::Nothing("nothing of the payment was carried out".to_owned()),
            false => Meaning::Moved(moved),
        })
    }
}

/// An id that is put into a path.
fn name(id: &str) -> Result<&str, Refused> {
    let is_name = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_name.then_some(id).ok_or_else(|| Refused::Unreadable(format!("{id:?} is no id")))
}

/// What a transaction moved; nothing where it was not carried out, or moves nothing.
fn moved(transaction: &Value, account: &str) -> Result<Option<Moved>, Refused> {
    let kind = match text(transaction, "/transactionType")? {
        // What is authorised is captured later, and a credit was never paid.
        "PURCHASE" | "CAPTURE" => PaymentKind::Payment,
        "REFUND" => PaymentKind::Refund,
        "CHARGEBACK" => PaymentKind::Chargeback,
        _ => return Ok(None),
    };
    if text(transaction, "/status")? != "SUCCESS" {
        return Ok(None);
    }
    let currency = currency(transaction)?;
    let amount = transaction.get("amount").map(Value::to_string).unwrap_or_default();
    let minor = currency.round(Decimal::parse("amount", &amount)?.value())?;
    let at = transaction.get("effectiveDate").and_then(Value::as_str);
    let id = text(transaction, "/transactionId")?.to_owned();
    Ok((minor != 0).then(|| Moved {
        id,
        kind,
        amount: Money { minor, currency },
        at: at.and_then(|at| at.parse().ok()),
        of: Of::Account(account.to_owned()),
    }))
}
