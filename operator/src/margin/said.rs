//! What is left of what was sold, as commands and the endpoint say it; pure.

use super::{CORE_HOUR, GIBIBYTE_HOUR};
use serde::{Deserialize, Serialize};
use tenantry_ledger::exact::{fraction, shown, to_text, whole};
use tenantry_ledger::margin::{Resource, Share, Total, totals};
use tenantry_ledger::money::{Currency, Money};
use tenantry_ledger::refusal::Refusal;

/// What a tenant, or all tenants, had, used and were sold of one plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfPlan {
    /// The plan.
    pub(crate) plan: String,
    /// What was reserved and used.
    pub(crate) used: Vec<OfResource>,
    /// What was sold, currency by currency, before tax.
    pub(crate) sold: Vec<Sold>,
    /// What it cost and what is left; for the seller alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) left: Option<Left>,
}

/// How much there was of something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfResource {
    /// Of servers, or of a meter.
    pub(crate) of: String,
    /// How many.
    pub(crate) quantity: String,
    /// Of what; the meter's own unit where it is empty.
    pub(crate) unit: String,
    /// What it cost, currency by currency; for the seller alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) costs: Vec<Sold>,
}

/// An amount of money.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sold {
    /// The currency.
    pub(crate) currency: String,
    /// In major units.
    pub(crate) amount: String,
}

/// What is left of what was sold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Left {
    /// Currency by currency.
    pub(crate) totals: Vec<OfCurrency>,
    /// Of what nobody says what it costs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) without_cost: Vec<String>,
}

/// What is left in one currency, in major units.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfCurrency {
    /// The currency.
    pub(crate) currency: String,
    /// What was sold.
    pub(crate) sold: String,
    /// What it cost.
    pub(crate) cost: String,
    /// What is left.
    pub(crate) margin: String,
    /// What is left of a hundred that were sold, with one decimal; none where nothing was sold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) percent: Option<String>,
}

/// A share in words; with its costs for who may see them.
///
/// # Errors
/// Amounts that no ledger holds.
pub(crate) fn said(share: &Share, with_costs: bool) -> Result<OfPlan, Refusal> {
    let used = share.used.iter().map(|(resource, quantity)| {
        let (of, unit, per) = words(resource);
        let costs = share.costs.iter().filter(|((of, _), _)| with_costs && of == resource);
        OfResource {
            of,
            quantity: shown(&(whole(*quantity) * fraction(1, per))),
            unit: unit.to_owned(),
            costs: costs.map(|((_, currency), minor)| amount(*currency, *minor)).collect(),
        }
    });
    let left = || {
        let totals = totals([share])?.into_iter().map(of_currency).collect();
        Ok::<_, Refusal>(Left {
            totals,
            without_cost: share.unpriced.iter().map(|one| words(one).0).collect(),
        })
    };
    Ok(OfPlan {
        plan: share.plan.clone(),
        used: used.collect(),
        sold: share.sold.iter().map(|(currency, minor)| amount(*currency, *minor)).collect(),
        left: with_costs.then(left).transpose()?,
    })
}

/// What something is called, in which unit it is shown, and how many of what is counted make one of these.
fn words(resource: &Resource) -> (String, &'static str, i64) {
    match resource {
        Resource::Cpu { servers } => (format!("cores of {servers}"), "core hours", CORE_HOUR),
        Resource::Memory { servers } => (format!("memory of {servers}"), "GiB hours", GIBIBYTE_HOUR),
        Resource::Meter { application, meter } => (format!("{meter} of {application}"), "", 1),
    }
}

fn amount(currency: Currency, minor: i64) -> Sold {
    Sold { currency: currency.to_string(), amount: Money { minor, currency }.decimal() }
}

fn of_currency(total: Total) -> OfCurrency {
    let Total { currency, sold, cost, margin } = total;
    let decimal = |minor: i64| Money { minor, currency }.decimal();
    let percent = || to_text(&(whole(margin) * whole(100) * fraction(1, sold)), 1);
    OfCurrency {
        currency: currency.to_string(),
        sold: decimal(sold),
        cost: decimal(cost),
        margin: decimal(margin),
        percent: (sold > 0).then(percent),
    }
}

// === impl Left ===

impl Left {
    /// Each currency's totals, as a line for people.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |total: &OfCurrency| {
            let OfCurrency { currency, sold, cost, margin, percent } = total;
            let percent = percent.as_ref().map(|percent| format!(" ({percent} %)")).unwrap_or_default();
            format!("sold {sold}, cost {cost}, left {margin} {currency}{percent}")
        };
        let mut lines: Vec<String> = self.totals.iter().map(line).collect();
        if !self.without_cost.is_empty() {
            lines.push(format!(
                "nobody says what it costs: {}; add it to costs of the InvoiceIssuer",
                self.without_cost.join(", ")
            ));
        }
        lines
    }
}

/// Sums of money as people read them.
pub(crate) fn money(sums: &[Sold]) -> String {
    let each: Vec<String> = sums.iter().map(|one| format!("{} {}", one.amount, one.currency)).collect();
    each.join(", ")
}
