//! `TenantSubscription`: one customer's order, the only object an order creates.

use crate::application::{empty_object, free_object, is_empty_object};
use crate::blueprint::{Category, Party};
use crate::common::{Condition, DNS_LABEL, Reference};
use crate::inventory::Inventory;
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
    /// People who use the application.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub users: Vec<User>,
    /// Where the application is reached and from where.
    #[serde(default)]
    pub network: NetworkWishes,
    /// When the customer wants to go live.
    #[serde(default)]
    pub go_live: GoLive,
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

/// When the customer wants to go live.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GoLive {
    /// Time before which the route stays closed; without it the route opens as soon as everything else is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
}

/// What happens to the tenant's objects when the subscription is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Everything is deleted, the customer's data included.
    Delete,
    /// Routes and people's access are removed; workloads and data stay in the namespace until the provider deletes it.
    #[default]
    Retain,
}

fn yes() -> bool {
    true
}

/// What Tenantry observed of a subscription.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantSubscriptionStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// Where the subscription is, for people. Programs read the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Revisions of definitions that the tenant runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<AcceptedRevisions>,
    /// The spec that was last accepted, as JSON. The tenant keeps running on it while an edited spec is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 393216))]
    pub accepted_order: Option<String>,
    /// The running thing behind the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantStatus>,
    /// Host names claimed for the tenant, in lower case ASCII, kept until its end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub hosts: Vec<String>,
    /// Items that are done or skipped, of all items, such as `9/12`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 16))]
    pub progress: String,
    /// Who is waited for and in which item, such as `Customer: training`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 128))]
    pub waiting_for: String,
    /// The checklist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub checklist: Vec<ChecklistEntry>,
    /// Observations; `Ready` and `Live` are the summary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 24))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Value of the annotation `tenantry.io/retry` that was last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub observed_retry: Option<String>,
    /// Everything that exists, or may exist, for the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<Inventory>,
}

/// Where a subscription is, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// The order was not accepted; the condition Accepted says why.
    Rejected,
    /// The checklist is being worked on.
    Provisioning,
    /// Everything is there and the route is not open.
    Ready,
    /// The customer uses the application.
    Live,
    /// The customer has been live and something is not as it shall be.
    Degraded,
    /// Something failed for good and a person has to act.
    Failed,
    /// The tenant is being removed.
    Terminating,
}

/// Revisions of definitions that a tenant runs, each as name and digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AcceptedRevisions {
    /// Revision of the plan.
    #[schemars(length(max = 300))]
    pub plan: String,
    /// Revision of the application.
    #[schemars(length(max = 300))]
    pub application: String,
    /// Revision of the application version.
    #[schemars(length(max = 300))]
    pub version: String,
    /// Revision of the blueprint.
    #[schemars(length(max = 300))]
    pub blueprint: String,
}

/// The running thing behind an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantStatus {
    /// Random identity of the tenant. A later tenant of the same name has another.
    #[schemars(length(min = 1, max = 32), regex(pattern = DNS_LABEL))]
    pub id: String,
    /// Namespace of everything the tenant has.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Where the application answers once the tenant is live.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub endpoints: Vec<EndpointStatus>,
}

/// Where the application answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointStatus {
    /// Name of the endpoint.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Address for a browser.
    #[schemars(length(max = 300))]
    pub url: String,
}

/// One line of the checklist, as observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChecklistEntry {
    /// Name of the item.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Part of the service it belongs to.
    pub category: Category,
    /// Who has to act when the item waits for somebody.
    pub owner: Party,
    /// How far the item is.
    pub state: ItemState,
    /// Why, in one word for programs.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// Why, for people, with what to do where something can be done.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub message: String,
    /// When `state` last changed.
    pub since: Time,
    /// When the item first had an effect for what is ordered now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// Definite refusals since the item's input last changed.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0))]
    pub attempts: i32,
    /// When a refused step is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_retry_at: Option<Time>,
    /// Digest of everything the item is made of; a change re-arms it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub input_digest: Option<String>,
    /// Objects that prove the item done.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0))]
    pub objects: i32,
}

/// How far a checklist item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ItemState {
    /// Items it depends on are not done.
    Pending,
    /// It is being worked on.
    Running,
    /// Something or somebody outside has to act first.
    Waiting,
    /// Evidence shows that it is done.
    Done,
    /// It was refused too often or took too long; the message says what to do.
    Failed,
    /// It does not apply; the message says why.
    Skipped,
}

fn is_zero(value: &i32) -> bool {
    *value == 0
}
