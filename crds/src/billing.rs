//! `InvoiceIssuer` and `BillingAccount`: who sells and who pays.

use crate::common::{DECIMAL, DNS_LABEL, DURATION, Reference};
use crate::cost::IssuerCost;
use crate::prices::{AMOUNT, CURRENCY};
use crate::sink::Sink;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Pattern of a country, as two letters of ISO 3166-1.
const COUNTRY: &str = r"^[A-Z]{2}$";
/// Pattern of what document numbers begin with.
const PREFIX: &str = r"^[A-Z0-9][A-Z0-9/]*$";

// The lint takes equal words of two print columns for one attribute written twice.
#[allow(clippy::duplicated_attributes, reason = "each print column has a type of its own")]
/// Somebody who sends invoices.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "tenantry.io",
    version = "v1alpha1",
    kind = "InvoiceIssuer",
    doc = "Somebody who sends invoices: what they say about the seller, their numbers and their taxes.",
    plural = "invoiceissuers",
    category = "tenantry",
    derive = "Default",
    derive = "PartialEq",
    cel,
    printcolumn(name = "Name", type_ = "string", json_path = ".spec.legalName"),
    printcolumn(name = "Country", type_ = "string", json_path = ".spec.country"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(cel, validation = Rule::new("!has(self.dunning) || has(self.paymentSources)").message("who is not told of payments cannot say what is unpaid; name who tells of them in paymentSources").field_path(".dunning"))]
pub struct InvoiceIssuerSpec {
    /// Name by which the seller is registered.
    #[schemars(length(min = 1, max = 128))]
    pub legal_name: String,
    /// Lines of the address, without the country.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 6), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub address: Vec<String>,
    /// Country, as two letters of ISO 3166-1.
    #[schemars(length(min = 2, max = 2), regex(pattern = COUNTRY))]
    pub country: String,
    /// Number by which the seller is registered for value added tax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub vat_id: Option<String>,
    /// Number under which the seller stands in a register of companies, which documents have to say where there is no `vatId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub registration: Option<String>,
    /// Mail address for questions about invoices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 254), regex(pattern = r"^[^@\s]+@[^@\s]+$"))]
    pub email: Option<String>,
    /// What the numbers of documents begin with. Each account has numbers of its own behind it, from one on, without gaps.
    #[x_kube(validation = Rule::new("self == oldSelf").message("numbers that were given cannot be taken back, so series never change; make another issuer"))]
    pub series: Series,
    /// Tax rates that charges may name.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub tax_rates: Vec<TaxRate>,
    /// Systems that are told of documents. A document goes to those that there are when it is made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub sinks: Vec<Sink>,
    /// Discounts for holding applications together, counted over the subscriptions of an account.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub bundles: Vec<IssuerBundle>,
    /// Who tells of payments, such as `bank`: no other provider is listened to. Without one, whoever may tell of payments chooses a
    /// name, and nothing follows from unpaid invoices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 63), regex(pattern = DNS_LABEL)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub payment_sources: Vec<String>,
    /// What follows from unpaid invoices, from the mildest rung to the hardest. An account comes to at most one rung a day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub dunning: Vec<DunningRung>,
    /// How long after the end of a period with usage it is waited before its documents are made, so that the last hours of it are on
    /// them: from nothing, `0s`, to `24h`.
    #[serde(default = "an_hour")]
    #[schemars(length(min = 2, max = 16), regex(pattern = DURATION))]
    #[x_kube(validation = Rule::new("duration(self) <= duration('24h')").message("documents would wait for more than a day; write 24h or less"))]
    pub collection_delay: String,
    /// What units cost the seller, so that it can be seen what is left of what was sold. Of no effect on what anybody is billed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub costs: Vec<IssuerCost>,
    /// Where and how invoices are paid, for people, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 6), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub payment: Vec<String>,
}

/// What an account comes to that does not pay. Every condition that is written must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.days) || has(self.invoices) || has(self.total)").message("everybody would stand on a rung without a condition; write days, invoices or total"))]
pub struct DunningRung {
    /// What it comes to.
    pub stage: DunningStage,
    /// Days since the oldest unpaid invoice was due, at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 365))]
    pub days: Option<i32>,
    /// Invoices that are overdue, at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub invoices: Option<i32>,
    /// What is overdue of all of them, at least, in the currency of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), regex(pattern = AMOUNT))]
    pub total: Option<String>,
}

/// How far an account is taken that does not pay. What is beyond is a person's act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DunningStage {
    /// Sinks get a reminder of each overdue invoice.
    #[default]
    Reminder,
    /// Sinks get a warning of each overdue invoice.
    Warning,
    /// Every subscription of the account is suspended until nothing follows any more.
    Suspended,
}

/// Whether anything follows from unpaid invoices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AccountDunning {
    /// What the issuer says follows.
    #[default]
    On,
    /// Nothing follows, as while something is argued about.
    Off,
}

/// A discount for holding applications together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuerBundle {
    /// Name of the bundle.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub name: String,
    /// Applications that an account must be charged for, all of them.
    #[schemars(length(min = 2, max = 16), inner(length(min = 1, max = 63), regex(pattern = DNS_LABEL)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub applications: Vec<String>,
    /// By how many percent less what recurs costs of these applications, such as `10`.
    #[schemars(length(min = 1, max = 16), regex(pattern = DECIMAL))]
    pub percent: String,
}

/// What the numbers of documents begin with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.invoices != self.creditNotes").message("credit notes need numbers of their own; write another prefix than that of invoices").field_path(".creditNotes"))]
pub struct Series {
    /// Of invoices, such as `INV`.
    #[schemars(length(min = 1, max = 16), regex(pattern = PREFIX))]
    pub invoices: String,
    /// Of credit notes, such as `CN`.
    #[schemars(length(min = 1, max = 16), regex(pattern = PREFIX))]
    pub credit_notes: String,
}

/// A tax rate and from when on it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaxRate {
    /// Name that charges use, such as `standard`.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub name: String,
    /// Category of EN 16931.
    pub category: TaxCategory,
    /// The rate in percent, such as `8.1`.
    #[schemars(length(min = 1, max = 16), regex(pattern = DECIMAL))]
    pub percent: String,
    /// Why nothing is taxed, as the law wants it written on documents; needed for the category E.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub exemption_reason: Option<String>,
    /// First day on which it holds, such as `2027-01-01`; from ever without one. Of several rates of a name the latest that
    /// holds on the day of an invoice counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 10, max = 10),
        regex(pattern = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$")
    )]
    pub valid_from: Option<String>,
}

/// Category of a tax rate, after EN 16931 (UNCL 5305).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaxCategory {
    /// Standard rate, reduced ones included.
    #[default]
    S,
    /// Zero rate.
    Z,
    /// Exempt.
    E,
    /// Reverse charge: the buyer owes the tax.
    AE,
    /// Supply within the European Union.
    K,
    /// Export.
    G,
    /// Outside the scope of tax.
    O,
}

// === BillingAccount ===

// The lint takes equal words of two print columns for one attribute written twice.
#[allow(clippy::duplicated_attributes, reason = "each print column has a type of its own")]
/// Somebody who pays invoices.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "tenantry.io",
    version = "v1alpha1",
    kind = "BillingAccount",
    doc = "Somebody who pays invoices, for one subscription or for many.",
    plural = "billingaccounts",
    shortname = "bacc",
    category = "tenantry",
    derive = "Default",
    derive = "PartialEq",
    cel,
    validation = Rule::new("self.metadata.name.size() <= 63").message("metadata.name must be at most 63 characters, because documents and records carry it; choose a shorter name"),
    printcolumn(name = "Company", type_ = "string", json_path = ".spec.company"),
    printcolumn(name = "Currency", type_ = "string", json_path = ".spec.currency"),
    printcolumn(name = "Time zone", type_ = "string", json_path = ".spec.timeZone"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(cel)]
pub struct BillingAccountSpec {
    /// Who sends the invoices.
    #[x_kube(validation = Rule::new("self.name == oldSelf.name").message("an account stays with its issuer, whose numbers its documents have; make another account"))]
    pub issuer_ref: Reference,
    /// Company that pays.
    #[schemars(length(min = 1, max = 128))]
    pub company: String,
    /// Lines of the address, without the country.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 6), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub address: Vec<String>,
    /// Country, as two letters of ISO 3166-1.
    #[schemars(length(min = 2, max = 2), regex(pattern = COUNTRY))]
    pub country: String,
    /// Number by which the company is registered for value added tax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub vat_id: Option<String>,
    /// Number under which the company stands in a register of companies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub registration: Option<String>,
    /// Mail address that invoices are meant for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 254), regex(pattern = r"^[^@\s]+@[^@\s]+$"))]
    pub email: Option<String>,
    /// The one currency of its invoices, as a code of ISO 4217; plans have to be priced in it.
    #[schemars(length(min = 3, max = 3), regex(pattern = CURRENCY))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("the currency of an account cannot change, because its balance is in it; make another account"))]
    pub currency: String,
    /// Language of its documents as people read them.
    #[serde(default)]
    pub language: Language,
    /// Time zone of the IANA database, such as `Europe/Zurich`, by which it is decided on which day something happened.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9_+/-]+$"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("the time zone of an account cannot change, because closed periods have their borders from it; make another account"))]
    pub time_zone: String,
    /// Reductions that the account holds, the oldest first, on each of its invoices for as long as they stand here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub coupons: Vec<AccountCoupon>,
    /// Whether what its issuer says follows from unpaid invoices.
    #[serde(default)]
    pub dunning: AccountDunning,
    /// Days after its date in which an invoice is to be paid.
    #[serde(default = "thirty")]
    #[schemars(range(min = 0, max = 365))]
    pub payment_days: i32,
}

/// A language that documents are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// German.
    De,
}

impl Language {
    /// Its code of ISO 639-1.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
        }
    }
}

/// A reduction of invoices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.percent) != has(self.amount)").message("a coupon takes off a percentage or an amount; give one of percent and amount").field_path(".percent"))]
pub struct AccountCoupon {
    /// Name of the coupon.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub name: String,
    /// How many percent it takes off, such as `15`. Percentages come before amounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), regex(pattern = DECIMAL))]
    pub percent: Option<String>,
    /// Which amount it takes off each invoice, without tax, in the currency of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), regex(pattern = AMOUNT))]
    pub amount: Option<String>,
    /// Charges that it is for, by name; all of them where nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63), regex(pattern = DNS_LABEL)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub charges: Vec<String>,
}

/// Who pays for a subscription, and from when on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.startOn == 'GoLive' || !has(self.startNoLaterThan)").message("charges that begin with the sign-up need no latest time; remove startNoLaterThan, or use startOn GoLive").field_path(".startNoLaterThan"))]
pub struct OrderBilling {
    /// The account that pays.
    #[x_kube(validation = Rule::new("self.name == oldSelf.name").message("a subscription stays with the account that pays for it; order anew for another account"))]
    pub account_ref: Reference,
    /// With what charges begin, and a trial.
    #[serde(default)]
    pub start_on: StartOn,
    /// Time at which charges begin although the customer is not live yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_no_later_than: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>,
}

/// With what charges begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StartOn {
    /// When the tenant was opened to its customer.
    #[default]
    GoLive,
    /// When the subscription was made.
    SignUp,
}

fn an_hour() -> String {
    "1h".to_owned()
}

fn thirty() -> i32 {
    30
}
