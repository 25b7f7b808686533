//! What an account is billed by besides its prices and events: who sells, who pays, in what time, with which taxes. Pure.
//!
//! It is written down in full whenever it changes, so that a document says for ever who its parties were when it was made.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::catalogue::{Account, Bundle, Catalogue, percentage};
use crate::coupon::{Coupon, Off};
use crate::ladder::{self, Rung};
use crate::profile::TENANTRY;
use crate::refusal::Refusal;
use crate::tax::{Rate, Rates};

/// What holds between an account and its seller.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agreement {
    /// Whose bill it is, in which currency and by which calendar.
    pub account: Account,
    /// Who sends it.
    pub seller: Party,
    /// Who pays it.
    pub buyer: Party,
    /// How numbers of documents begin.
    pub series: Prefixes,
    /// Days after its date in which a document is to be paid.
    pub payment_days: u16,
    /// Seconds after the end of a period with usage before which it is not closed; nothing in accounts of versions before.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub collection_delay: u32,
    /// The language that documents are written in for people, such as `de`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Where and how it is paid, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payment: Vec<String>,
    /// Systems that its documents are delivered to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sinks: Vec<String>,
    /// Who tells of payments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payment_sources: Vec<String>,
    /// What unpaid invoices lead to, from the mildest rung to the hardest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dunning: Vec<Rung>,
    /// Every tax rate that charges may name, with the date from which it holds.
    pub rates: Vec<DatedRate>,
    /// Discounts for holding applications together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bundles: Vec<Bundle>,
    /// Reductions that the account holds, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coupons: Vec<Coupon>,
}

/// Somebody who sells or pays.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Party {
    /// Legal name.
    pub name: String,
    /// Lines of the address, without the country.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub address: Vec<String>,
    /// Country, as two letters of ISO 3166-1.
    pub country: String,
    /// Number by which it is registered for value added tax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vat_id: Option<String>,
    /// Number under which it stands in a register of companies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration: Option<String>,
    /// Mail address for invoices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// What numbers begin with. Accounts of sellers with the same prefix are counted together, so no number is given twice.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prefixes {
    /// Of invoices.
    pub invoice: String,
    /// Of credit notes.
    pub credit_note: String,
}

/// A tax rate and from when on it holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatedRate {
    /// The name that charges use.
    pub name: String,
    /// The first date on which it holds; from ever without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Date>,
    /// Category and percentage.
    #[serde(flatten)]
    pub rate: Rate,
}

fn is_nothing(seconds: &u32) -> bool {
    *seconds == 0
}

impl Agreement {
    /// Refuses what no account can be billed by.
    ///
    /// # Errors
    /// The first thing wrong with it.
    pub fn check(&self) -> Result<(), Refusal> {
        Catalogue::new(self.account.clone(), Vec::new(), self.bundles.clone(), TENANTRY)?;
        for (field, prefix) in
            [("series.invoice", &self.series.invoice), ("series.creditNote", &self.series.credit_note)]
        {
            if prefix.is_empty() {
                return Err(Refusal::new(
                    field,
                    "numbers would begin with nothing",
                    "write a prefix, like INV",
                ));
            }
        }
        if self.series.invoice == self.series.credit_note {
            return Err(Refusal::new(
                "series.creditNote",
                "credit notes would take the numbers of invoices",
                "write another prefix than that of invoices",
            ));
        }
        ladder::check(&self.dunning)?;
        for (index, rate) in self.rates.iter().enumerate() {
            percentage(&format!("rates[{}].percent", rate.name), &rate.rate.percent)?;
            let before = self.rates.iter().take(index);
            if before.clone().any(|other| other.name == rate.name && other.from == rate.from) {
                return Err(Refusal::new(
                    format!("rates[{}].from", rate.name),
                    "two rates of that name hold from the same date on",
                    "keep one, or give the later one its date",
                ));
            }
        }
        for coupon in &self.coupons {
            let field = format!("coupons[{}]", coupon.name);
            match &coupon.off {
                Off::Percent(percent) => percentage(&format!("{field}.percent"), percent)?,
                Off::Amount(amount) if *amount < 0 => {
                    return Err(Refusal::new(
                        format!("{field}.amount"),
                        format!("{amount} is negative"),
                        "write zero or more",
                    ));
                }
                Off::Amount(_) => {}
            }
        }
        Ok(())
    }

    /// Whether unpaid invoices lead to anything: only where somebody tells of payments.
    #[must_use]
    pub fn is_dunned(&self) -> bool {
        !self.payment_sources.is_empty() && !self.dunning.is_empty()
    }

    /// Refuses a payment that somebody tells of who is not known to.
    ///
    /// # Errors
    /// Somebody else is known to; under another name the same payment would count twice.
    pub fn is_told_by(&self, provider: &str) -> Result<(), Refusal> {
        let sources = &self.payment_sources;
        if sources.is_empty() || sources.iter().any(|source| source == provider) {
            return Ok(());
        }
        Err(Refusal::new(
            "provider",
            format!("{provider:?} does not tell of payments; {} does", sources.join(", ")),
            "write one of them, or add it to paymentSources of the InvoiceIssuer",
        ))
    }

    /// The rates of a day, by name.
    #[must_use]
    pub fn rates_on(&self, day: Date) -> Rates {
        let mut dated: Vec<&DatedRate> =
            self.rates.iter().filter(|rate| rate.from.is_none_or(|from| from <= day)).collect();
        dated.sort_by_key(|rate| rate.from);
        dated.into_iter().map(|rate| (rate.name.clone(), rate.rate.clone())).collect()
    }

    /// Refuses a change that would make two accounts of one: what was billed before could not be compared any more.
    ///
    /// # Errors
    /// Which field has to stay as it was.
    pub fn follows(&self, before: &Self) -> Result<(), Refusal> {
        let stays = |field: &str, is_same: bool| match is_same {
            true => Ok(()),
            false => {
                Err(Refusal::new(field, "it cannot change once the account exists", "make another account"))
            }
        };
        stays("account.currency", self.account.currency == before.account.currency)?;
        stays("account.timeZone", self.account.time_zone == before.account.time_zone)?;
        stays("account.alignment", self.account.alignment == before.account.alignment)?;
        stays("account.anchor", self.account.anchor == before.account.anchor)?;
        stays("series", self.series == before.series)
    }
}
