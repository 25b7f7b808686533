//! Payments: what came in and what went out again, and which invoices that pays. Pure.
//!
//! What is open and what is in hand are functions of the *set* of payments and of the documents, so it does not matter in which order
//! payments are told, nor how often. Money goes first where documents drew on it when they were made, then to the invoices that
//! payments name, then to the one that is due first. What is left over is in hand, beside credits.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::exact::Decimal;
use crate::money::{Currency, Money};
use crate::refusal::Refusal;

/// Longest id that a provider may give, in characters.
const LONGEST_ID: usize = 200;
/// Longest name of a provider.
const LONGEST_PROVIDER: usize = 63;
/// How far clocks of others may be ahead.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// Which way money went.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub enum PaymentKind {
    /// It came in.
    #[default]
    Payment,
    /// It was given back by the seller.
    Refund,
    /// It was taken back by who paid, or by a bank.
    Chargeback,
}

/// A payment as somebody tells of it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ToldPayment {
    /// The account.
    pub account: String,
    /// How much, in major units, such as `119.00`; above zero whichever way it went.
    pub amount: String,
    /// Of what.
    pub currency: String,
    /// Who tells of it, as the issuer names its payment sources.
    pub provider: String,
    /// By which the provider knows it; told again, it changes nothing.
    pub id: String,
    /// Which way it went.
    #[serde(default)]
    pub kind: PaymentKind,
    /// The invoice that it was meant for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice: Option<String>,
    /// When it was received: an instant, or a day by the account's clock; now without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<String>,
}

/// A payment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    /// Who tells of it.
    pub provider: String,
    /// By which the provider knows it.
    pub id: String,
    /// Which way it went.
    pub kind: PaymentKind,
    /// How much; above zero whichever way it went.
    pub amount: Money,
    /// When it was received.
    pub received: Timestamp,
    /// The invoice that it was meant for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice: Option<String>,
}

/// What an invoice asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    /// Its number.
    pub number: String,
    /// When it is to be paid.
    pub due: Date,
    /// What it left to pay, in minor units.
    pub payable: i64,
    /// What it drew of payments that were in hand when it was made.
    pub drawn: i64,
}

/// What is paid of an invoice and what is not, in minor units.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Its number.
    pub number: String,
    /// When it is to be paid.
    pub due: Date,
    /// What payments had to cover of it.
    pub claimed: i64,
    /// What they did not cover yet.
    pub open: i64,
}

/// Where the money of an account is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Allocation {
    /// Every invoice, in the order in which they were made.
    pub invoices: Vec<Standing>,
    /// What is in hand, credits and what is left over of payments; negative where more was given back than there was.
    pub balance: i64,
}

// === impl Allocation ===

impl Allocation {
    /// What is open of all invoices, in minor units.
    #[must_use]
    pub fn open(&self) -> i64 {
        minor(self.invoices.iter().map(|invoice| i128::from(invoice.open)).sum())
    }

    /// When the oldest open invoice was or is to be paid.
    #[must_use]
    pub fn oldest_due(&self) -> Option<Date> {
        self.invoices.iter().filter(|invoice| invoice.open > 0).map(|invoice| invoice.due).min()
    }
}

// === impl ToldPayment ===

impl ToldPayment {
    /// Reads it, for an account in this currency and time zone.
    ///
    /// # Errors
    /// What is wrong with it, with its field.
    pub fn read(&self, currency: Currency, zone: &TimeZone, now: Timestamp) -> Result<Payment, Refusal> {
        let named = |field: &str, text: &str, longest: usize| {
            let length = text.chars().count();
            let is_name = length > 0 && length <= longest && !text.chars().any(char::is_control);
            let remedy = format!("write 1 to {longest} characters that can be seen");
            is_name.then_some(()).ok_or_else(|| Refusal::new(field, format!("{text:?} is no name"), remedy))
        };
        named("provider", &self.provider, LONGEST_PROVIDER)?;
        named("id", &self.id, LONGEST_ID)?;
        if self.currency != currency.code() {
            return Err(Refusal::new(
                "currency",
                format!("account {} is billed in {currency}", self.account),
                format!("write what was received in {currency}"),
            ));
        }
        let amount = Decimal::parse("amount", &self.amount)?;
        currency.price("amount", &amount)?;
        let minor = currency.round(amount.value())?;
        if minor == 0 {
            let remedy = "write what was received or given back, above zero; kind says which way it went";
            return Err(Refusal::new("amount", "it is nothing", remedy));
        }
        let received = self.received.as_deref().map_or(Ok(now), |text| moment(text, zone))?;
        // To the second, like every other instant that is kept.
        let received = Timestamp::from_second(received.as_second()).unwrap_or(received);
        if received.duration_since(now) > AHEAD {
            let remedy = "write when it was received, such as 2027-01-31 or 2027-01-31T12:00:00Z";
            return Err(Refusal::new("received", format!("{received} has not come yet"), remedy));
        }
        Ok(Payment {
            provider: self.provider.clone(),
            id: self.id.clone(),
            kind: self.kind,
            amount: Money { minor, currency },
            received,
            invoice: self.invoice.clone(),
        })
    }
}

fn moment(text: &str, zone: &TimeZone) -> Result<Timestamp, Refusal> {
    let day = || zone.to_timestamp(text.parse::<Date>().ok()?.at(0, 0, 0, 0)).ok();
    let is_day = text.len() == "2027-01-31".len();
    let read = if is_day { day() } else { text.parse::<Timestamp>().ok() };
    read.ok_or_else(|| {
        Refusal::new(
            "received",
            format!("{text:?} is neither a day nor an instant"),
            "write for example 2027-01-31, or 2027-01-31T12:00:00Z",
        )
    })
}

// === impl Payment ===

impl Payment {
    /// Refuses another payment under the same id of a provider: one of both would be lost.
    ///
    /// # Errors
    /// They differ in something; when it was received does not count where nobody said so.
    pub fn repeats(&self, account: &str, told: &ToldPayment, again: &Self) -> Result<(), Refusal> {
        let differs = [
            ("account", account != told.account),
            ("amount", self.amount != again.amount),
            ("kind", self.kind != again.kind),
            ("invoice", self.invoice != again.invoice),
            ("received", told.received.is_some() && self.received != again.received),
        ];
        match differs.iter().find(|(_, differs)| *differs) {
            None => Ok(()),
            Some((field, _)) => Err(Refusal::new(
                *field,
                format!(
                    "{} told of payment {:?} before, with {} for account {account} received at {}",
                    self.provider, self.id, self.amount, self.received
                ),
                "tell again what was told, or tell of another payment under its own id",
            )),
        }
    }

    /// What it adds to what came in, in minor units; negative where it went out.
    #[must_use]
    pub fn signed(&self) -> i64 {
        match self.kind {
            PaymentKind::Payment => self.amount.minor,
            PaymentKind::Refund | PaymentKind::Chargeback => -self.amount.minor,
        }
    }
}

/// Which invoices these payments pay, of an account that has so many credits. What the seller gives back is taken from credits
/// first.
#[must_use]
pub fn allocate<'a>(
    claims: &[Claim],
    credits: i64,
    payments: impl Iterator<Item = &'a Payment>,
) -> Allocation {
    let (mut left, mut refunded) = (0_i128, 0_i128);
    let mut named: BTreeMap<&str, i128> = BTreeMap::new();
    for payment in payments {
        let signed = i128::from(payment.signed());
        if payment.kind == PaymentKind::Refund {
            refunded -= signed;
        }
        left += signed;
        if let Some(invoice) = &payment.invoice {
            *named.entry(invoice).or_default() += signed;
        }
    }
    let paid_out = refunded.min(credits.into());
    left += paid_out;
    let mut parts: Vec<(&Claim, i128)> =
        claims.iter().map(|claim| (claim, i128::from(claim.payable) + i128::from(claim.drawn))).collect();
    let mut take = |open: &mut i128, most: i128| {
        let taken = most.min(*open).min(left).max(0);
        *open -= taken;
        left -= taken;
    };
    for (claim, open) in &mut parts {
        take(open, claim.drawn.into());
    }
    let mut by_due: Vec<&mut (&Claim, i128)> = parts.iter_mut().collect();
    by_due.sort_by(|one, other| (one.0.due, &one.0.number).cmp(&(other.0.due, &other.0.number)));
    for (claim, open) in by_due.iter_mut().map(|part| (part.0, &mut part.1)) {
        take(open, named.get(claim.number.as_str()).copied().unwrap_or(0));
    }
    for (_, open) in by_due.iter_mut().map(|part| (part.0, &mut part.1)) {
        take(open, i128::MAX);
    }
    Allocation {
        balance: minor(left + i128::from(credits) - paid_out),
        invoices: parts
            .into_iter()
            .map(|(claim, open)| Standing {
                number: claim.number.clone(),
                due: claim.due,
                claimed: minor(i128::from(claim.payable) + i128::from(claim.drawn)),
                open: minor(open),
            })
            .collect(),
    }
}

/// Sums of amounts that have 64 bits each leave them only where nobody's money goes.
fn minor(sum: i128) -> i64 {
    i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX })
}
