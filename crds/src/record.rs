//! `BillingRecord`: what a tenant has on an invoice or credit note.

use crate::common::DNS_LABEL;
use crate::prices::CURRENCY;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Pattern of a day.
const DAY: &str = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$";
/// Pattern of a moment by the account's clock.
const MOMENT: &str = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}$";
/// Pattern of an amount of money, which is negative where it is given back.
const AMOUNT: &str = r"^-?[0-9]{1,19}(\.[0-9]{1,9})?$";

// The lint takes equal words of two print columns for one attribute written twice.
#[allow(clippy::duplicated_attributes, reason = "each print column has a type of its own")]
/// What a tenant has on an invoice or credit note, for its people to read. The document itself is in the ledger, with everything that
/// the account has on it.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "tenantry.io",
    version = "v1alpha1",
    kind = "BillingRecord",
    namespaced,
    doc = "What a tenant has on an invoice or credit note, in the tenant's namespace.",
    plural = "billingrecords",
    shortname = "brec",
    category = "tenantry",
    derive = "Default",
    derive = "PartialEq",
    cel,
    printcolumn(name = "Number", type_ = "string", json_path = ".spec.number"),
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.kind"),
    printcolumn(name = "Issued", type_ = "string", json_path = ".spec.issued"),
    printcolumn(name = "Net", type_ = "string", json_path = ".spec.net"),
    printcolumn(name = "Currency", type_ = "string", json_path = ".spec.currency"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    cel,
    validation = Rule::new("self == oldSelf").message("what was billed does not change; a correction is another document"),
)]
pub struct BillingRecordSpec {
    /// Number of the document.
    #[schemars(length(min = 1, max = 64))]
    pub number: String,
    /// Whether it is an invoice or a credit note.
    pub kind: RecordKind,
    /// Date of the document.
    #[schemars(length(min = 10, max = 10), regex(pattern = DAY))]
    pub issued: String,
    /// Day by which the document is to be paid, if there is anything to pay on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 10, max = 10), regex(pattern = DAY))]
    pub due: Option<String>,
    /// Account that pays.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub account: String,
    /// Name of who sends it.
    #[schemars(length(min = 1, max = 128))]
    pub seller: String,
    /// Currency of all amounts, as a code of ISO 4217.
    #[schemars(length(min = 3, max = 3), regex(pattern = CURRENCY))]
    pub currency: String,
    /// The tenant's lines.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub lines: Vec<RecordLine>,
    /// Sum of the tenant's lines, without tax: tax is computed and rounded once for the document.
    #[schemars(length(min = 1, max = 30), regex(pattern = AMOUNT))]
    pub net: String,
}

/// A line of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordLine {
    /// Name of the charge.
    #[schemars(length(min = 1, max = 128))]
    pub charge: String,
    /// Whether it charges or gives back.
    pub effect: RecordEffect,
    /// First moment that it is for, by the account's clock.
    #[schemars(length(min = 19, max = 19), regex(pattern = MOMENT))]
    pub from: String,
    /// First moment after.
    #[schemars(length(min = 19, max = 19), regex(pattern = MOMENT))]
    pub to: String,
    /// How many, negative where they are given back.
    #[schemars(length(min = 1, max = 64))]
    pub quantity: String,
    /// Price list, phase, quantity and discounts.
    #[schemars(length(min = 1, max = 512))]
    pub terms: String,
    /// Amount before coupons.
    #[schemars(length(min = 1, max = 30), regex(pattern = AMOUNT))]
    pub amount: String,
    /// What coupons took off.
    #[schemars(length(min = 1, max = 30), regex(pattern = AMOUNT))]
    pub reduction: String,
    /// What is left, without tax.
    #[schemars(length(min = 1, max = 30), regex(pattern = AMOUNT))]
    pub net: String,
    /// Tax category, after EN 16931.
    #[schemars(length(min = 1, max = 3))]
    pub tax_category: String,
    /// Tax rate in percent.
    #[schemars(length(min = 1, max = 16))]
    pub tax_percent: String,
    /// Number of the document whose line it corrects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub corrects: Option<String>,
}

/// Kind of a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RecordKind {
    /// It charges.
    #[default]
    Invoice,
    /// It gives back more than it charges.
    CreditNote,
}

/// What a line does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RecordEffect {
    /// It charges.
    #[default]
    Charge,
    /// It gives back what is not owed.
    Credit,
    /// It gives back by a person's decision.
    Adjustment,
}
