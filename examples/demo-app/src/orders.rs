//! Orders, which the web page takes and the worker confirms. Needs nothing.

use serde::{Deserialize, Serialize};

/// Bucket of orders that wait for the worker.
pub(crate) const WAITING: &str = "work";
/// Bucket of orders that the worker has looked at.
pub(crate) const LOOKED_AT: &str = "orders";
/// Longest name of an article, in characters.
const LONGEST_ARTICLE: usize = 200;
/// Most pieces of one order.
const MOST_PIECES: u32 = 1_000_000;

/// What somebody wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    pub(crate) article: String,
    pub(crate) quantity: u32,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status")]
pub(crate) enum Decision {
    /// It will be delivered.
    Confirmed {
        /// Who sells.
        seller: String,
        /// What was ordered.
        order: Order,
    },
    /// It cannot be read or fulfilled.
    Refused {
        /// Why, and what to do.
        reason: String,
    },
}

// === impl Order ===

impl Order {
    /// What is wrong with the order, with the field and the remedy.
    pub(crate) fn problem(&self) -> Option<String> {
        let article = self.article.trim();
        if article.is_empty() || article.chars().count() > LONGEST_ARTICLE {
            return Some(format!("article: write 1 to {LONGEST_ARTICLE} characters"));
        }
        if !(1..=MOST_PIECES).contains(&self.quantity) {
            return Some(format!("quantity: order 1 to {MOST_PIECES} pieces"));
        }
        None
    }
}

// === impl Decision ===

impl Decision {
    /// What a seller makes of the bytes of an order.
    pub(crate) fn on(bytes: &[u8], seller: &str) -> Self {
        match serde_json::from_slice::<Order>(bytes) {
            Err(error) => Self::Refused { reason: format!("the order cannot be read: {error}") },
            Ok(order) => match order.problem() {
                Some(reason) => Self::Refused { reason },
                None => Self::Confirmed { seller: seller.to_owned(), order },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_confirmed_or_refused_with_the_field() {
        let long = format!(r#"{{"article": "{}", "quantity": 1}}"#, "ü".repeat(201));
        let cases: [(&str, Option<&str>); 7] = [
            (r#"{"article": "Çivi", "quantity": 3}"#, None),
            (r#"{"article": " ", "quantity": 3}"#, Some("article: write")),
            (&long, Some("article: write")),
            (r#"{"article": "nail", "quantity": 0}"#, Some("quantity: order 1")),
            (r#"{"article": "nail", "quantity": 1000001}"#, Some("quantity: order 1")),
            (r#"{"article": "nail", "quantity": 1, "price": 0}"#, Some("unknown field `price`")),
            ("nails", Some("cannot be read")),
        ];
        for (text, refused) in cases {
            match (Decision::on(text.as_bytes(), "Acme"), refused) {
                (Decision::Confirmed { seller, .. }, None) => assert_eq!(seller, "Acme"),
                (Decision::Refused { reason }, Some(part)) => assert!(reason.contains(part), "{reason}"),
                (decision, _) => panic!("{text}: {decision:?}"),
            }
        }
    }
}
