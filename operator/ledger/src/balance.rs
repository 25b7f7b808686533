//! What an account has in hand: surplus that is drawn on later, money paid back, and who pays what of an invoice. Pure.

use crate::exact::{Exact, whole};
use crate::money::round_minor;
use crate::refusal::Refusal;

/// What happened to the gross total of a document. All in minor units.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Settlement {
    /// Drawn from the account's balance; a payment, not a line.
    pub drawn: i64,
    /// Drawn from a prepaid wallet.
    pub wallet: i64,
    /// Put on the account's balance, because the document gives back more than it charges.
    pub surplus: i64,
    /// What is left to pay; never negative.
    pub payable: i64,
}

impl Settlement {
    /// Settles a gross total against a balance and a wallet, in this order.
    #[must_use]
    pub fn of(gross: i64, balance: i64, wallet: i64) -> Self {
        let owed = gross.max(0);
        let drawn = balance.clamp(0, owed);
        let wallet = wallet.clamp(0, owed - drawn);
        Self { drawn, wallet, surplus: (-gross).max(0), payable: owed - drawn - wallet }
    }

    /// What the account's balance changes by.
    #[must_use]
    pub fn change(&self) -> i64 {
        self.surplus - self.drawn
    }
}

/// What is given back for unused time, net and tax, each rounded for itself, so that the total is their sum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CreditNote {
    /// Without tax.
    pub net: i64,
    /// The tax.
    pub tax: i64,
}

impl CreditNote {
    /// Gives back a share of a net amount in minor units, with its tax.
    ///
    /// # Errors
    /// An amount has more than 64 bits.
    pub fn of(net: i64, share: &Exact, tax_share: &Exact) -> Result<Self, Refusal> {
        let exact = whole(net) * share;
        Ok(Self { net: round_minor(&exact)?, tax: round_minor(&(exact * tax_share))? })
    }

    /// Net and tax.
    #[must_use]
    pub fn total(&self) -> i64 {
        self.net + self.tax
    }
}

/// The tax that an adjustment of a taxed line gives back: the line's own tax in the same share.
///
/// # Errors
/// The amount has more than 64 bits.
pub fn tax_of_adjustment(net: i64, tax: i64, adjustment: i64) -> Result<i64, Refusal> {
    round_minor(&(whole(tax) * crate::exact::fraction(adjustment, net)))
}

/// Splits the value of unused time into money paid back and credit: only what was paid beyond what was used is paid back.
#[must_use]
pub fn refund(paid: i64, used: i64, unused: i64) -> (i64, i64) {
    let refund = (paid - used).clamp(0, unused.max(0));
    (refund, unused - refund)
}
