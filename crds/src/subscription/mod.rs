//! `TenantSubscription`: one customer's order, the only object an order creates.

mod journal;
mod maintenance;
mod plan_change;
mod revisions;
mod status;
mod suspension;

pub use journal::*;
pub use maintenance::*;
pub use plan_change::*;
pub use revisions::*;
pub use status::*;
pub use suspension::*;

use crate::application::{empty_object, free_object, is_empty_object};
use crate::billing::OrderBilling;
use crate::common::{DNS_LABEL, Reference};
use crate::plan::Role;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One customer's order of an application under a plan. Tenantry turns it into everything the customer needs.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "tenantry.io",
    version = "v1alpha1",
    kind = "TenantSubscription",
    doc = "One customer's order, and what was observed of the tenant behind it.",
    plural = "tenantsubscriptions",
    shortname = "tsub",
    category = "tenantry",
    status = "TenantSubscriptionStatus",
    derive = "Default",
    derive = "PartialEq",
    cel,
    validation = Rule::new("self.metadata.name.size() <= 50").message("metadata.name must be at most 50 characters, because the tenant's namespace is named after it; choose a shorter name"),
    validation = Rule::new("!self.metadata.name.contains('.')").message("metadata.name must not contain a dot, because the tenant's namespace is named after it; use dashes"),
    printcolumn(name = "Plan", type_ = "string", json_path = ".spec.planRef.name"),
    printcolumn(name = "Application", type_ = "string", json_path = ".spec.applicationRef.name"),
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.applicationRef.version"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Progress", type_ = "string", json_path = ".status.progress"),
    printcolumn(name = "Waiting for", type_ = "string", json_path = ".status.waitingFor"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(cel)]
pub struct TenantSubscriptionSpec {
    /// Company that ordered.
    pub organization: Organization,
    /// People to speak to, by what about.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["role".into(), "email".into()]))]
    pub contacts: Vec<Contact>,
    /// Plan that was ordered.
    pub plan_ref: Reference,
    /// Application that was ordered.
    #[x_kube(validation = Rule::new("self.name == oldSelf.name").message("a subscription cannot change to another application; order the other application as a new subscription"))]
    pub application_ref: ApplicationReference,
    /// What the customer chose, by the application's schema.
    #[serde(default = "empty_object", skip_serializing_if = "is_empty_object")]
    #[schemars(schema_with = "free_object")]
    pub parameters: Value,
    /// The customer's business, by which the application is sized; without it the plan's size is taken as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<BusinessInputs>,
    /// People who use the application.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub users: Vec<User>,
    /// Where the application is reached and from where.
    #[serde(default)]
    pub network: NetworkWishes,
    /// Who is trained.
    #[serde(default, skip_serializing_if = "Training::is_empty")]
    pub training: Training,
    /// Data that is brought along from the system before; without it none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_conversion: Option<DataConversion>,
    /// When what interrupts the service of a tenant that is live, or may do so, begins. Without one of kind `Allow` it may at any
    /// time that none of kind `Deny` covers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub maintenance_windows: Vec<MaintenanceWindow>,
    /// When the customer wants to go live.
    #[serde(default)]
    pub go_live: GoLive,
    /// Who pays, and from when on. A plan without prices needs nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing: Option<OrderBilling>,
    /// Items of the checklist that wait for a person's word: what they have is kept, and nothing new begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["item".into()]))]
    pub holds: Vec<Hold>,
    /// What happens to the tenant's objects when the subscription is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Whether deleting the subscription is refused. Set it to false first to delete it.
    #[serde(default = "yes")]
    pub deletion_protection: bool,
}

/// Company that ordered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Organization {
    /// Name of the company.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// Country, as two letters of ISO 3166-1.
    #[schemars(length(min = 2, max = 2), regex(pattern = r"^[A-Z]{2}$"))]
    pub country: String,
}

/// A person to speak to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    /// What this person is asked about.
    pub role: ContactRole,
    /// Name of the person.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// Mail address of the person.
    #[schemars(length(min = 3, max = 254), regex(pattern = r"^[^@\s]+@[^@\s]+$"))]
    pub email: String,
}

/// What a contact is asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ContactRole {
    /// How the application runs; alerts go here.
    #[default]
    Technical,
    /// Invoices and payments.
    Billing,
    /// Security incidents.
    Security,
    /// Decisions.
    Executive,
}

/// Application and version that were ordered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationReference {
    /// Name of the application.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub name: String,
    /// Exact version.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub version: String,
}

/// The customer's business, in numbers that the customer knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BusinessInputs {
    /// People who have an account.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub named_users: i64,
    /// People who work at the same time.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub concurrent_users: i64,
    /// Business transactions in the busiest hour.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub transactions_per_hour: i64,
    /// Data that is brought along, in GiB.
    #[serde(default, rename = "dataGiB")]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub data_gib: i64,
    /// Documents and pictures beside the data, in GiB.
    #[serde(default, rename = "attachmentsGiB")]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub attachments_gib: i64,
    /// By how much data and attachments grow in a year, in percent.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub yearly_growth_percent: i64,
}

/// A person who uses the application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Stable key of the person; the mail address may change.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-._a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Name of the person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 128))]
    pub display_name: String,
    /// Mail address of the person.
    #[schemars(length(min = 3, max = 254), regex(pattern = r"^[^@\s]+@[^@\s]+$"))]
    pub email: String,
    /// Roles of the person; the plan says which there are.
    #[schemars(length(min = 1, max = 3))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub roles: Vec<Role>,
}

/// Where the application is reached and from where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkWishes {
    /// Host names, the first being the main one. A name belongs to one tenant at a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 253), regex(pattern = r"^(\*\.)?[^\s.*]+(\.[^\s.*]+)+$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub hosts: Vec<String>,
    /// Address ranges that may reach the application; none means everybody may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(min = 3, max = 43), regex(pattern = r"^[0-9A-Fa-f.:]+/[0-9]{1,3}$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[x_kube(validation = Rule::new("self.all(x, isCIDR(x))").message("every entry must be an address range in CIDR form, such as 203.0.113.0/24"))]
    pub allow_from: Vec<String>,
}

/// Who is trained.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Training {
    /// People who take part, by their names in `users`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub participants: Vec<String>,
}

/// Data that is brought along from the system before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataConversion {
    /// Where the data comes from.
    pub source: ConversionSource,
    /// What the customer says the trial run has to find.
    pub trial: DeclaredData,
    /// What the customer says the final run has to find, once the system before was frozen; until it is stated the final run
    /// waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_over: Option<DeclaredData>,
}

/// Where data comes from. Credentials, and files that are handed over, are in the Secret `conversion-source` of the tenant's
/// namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConversionSource {
    /// The system before, for people.
    #[schemars(length(min = 1, max = 128))]
    pub system: String,
    /// Form of the data, by the words of the application, such as `csv`.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub format: String,
}

/// What the customer says a run has to find.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeclaredData {
    /// Rows of all tables together.
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub rows: i64,
    /// SHA-256 of the source, as 64 hexadecimal digits; without it only rows are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 64, max = 64), regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
}

/// One item that waits for a person's word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// Name of the item.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub item: String,
    /// Why it waits, for people.
    #[schemars(length(min = 1, max = 256))]
    pub reason: String,
}

/// When the customer wants to go live.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GoLive {
    /// Day for which going live is planned, such as `2026-12-01`; due times are counted back from its beginning (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 10, max = 10),
        regex(pattern = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$")
    )]
    pub target_date: Option<String>,
    /// Time before which the route stays closed; without it the route opens as soon as everything else is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
}

/// What happens to the tenant's objects when the subscription is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// The data is exported by the application's own job, kept for the plan's grace period, and then everything is deleted.
    ExportThenDelete,
    /// Nothing runs any more; the data is kept for the plan's retention, and then everything is deleted.
    Archive,
    /// Everything is deleted at once, the customer's data included.
    Delete,
    /// Routes and people's access are removed; workloads and data stay in the namespace until the provider deletes it.
    #[default]
    Retain,
}

fn yes() -> bool {
    true
}

// === impl Training ===

impl Training {
    fn is_empty(&self) -> bool {
        self.participants.is_empty()
    }
}
