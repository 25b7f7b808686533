//! What was observed of the tenant behind an order.

use super::BusinessInputs;
use super::journal::{Conclusion, JournalFact};
use super::plan_change::PlanStatus;
use super::revisions::AcceptedRevisions;
use super::suspension::SuspensionStatus;
use crate::billing::DunningStage;
use crate::blueprint::{Category, Party};
use crate::common::{Condition, DNS_LABEL, is_zero};
use crate::inventory::Inventory;
use crate::pool::{PoolAmounts, Tenancy};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Plan that the tenant runs, and the one that it changes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
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
    #[schemars(length(max = 40))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub checklist: Vec<ChecklistEntry>,
    /// What is being done for the order as a whole, or was done last, with what was promised and what came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationStatus>,
    /// The hand-over to the customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub go_live: Option<GoLiveStatus>,
    /// Who pays, and since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing: Option<BillingStatus>,
    /// What the tenant is suspended for, and what it had before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspension: Option<SuspensionStatus>,
    /// What the tenant has of the provider's servers, where a pool of their class accounts for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers: Option<ServersStatus>,
    /// When the data is deleted, once the subscription is and its policy keeps the data for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purge_at: Option<Time>,
    /// What happened and is not in the journal yet, because its database was away. It is there once the database is back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 192))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub unrecorded: Vec<JournalFact>,
    /// What the customer's business needs, and whether the plan has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sizing: Option<SizingStatus>,
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

/// Who pays for a tenant, and since when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BillingStatus {
    /// Account in the ledger, which has it from here on.
    #[schemars(length(min = 1, max = 253))]
    pub account: String,
    /// When charges began, or the trial before them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// What of the order is counted, since charges began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantities: Option<BilledQuantities>,
    /// Day of the next invoice with something of this subscription on it, as things are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10))]
    pub next_invoice_date: Option<String>,
    /// What this subscription has on it, without tax, such as `249.00 EUR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub committed_amount: Option<String>,
    /// What is open of the account's invoices, such as `119.00 EUR`; payments of all its subscriptions are one sum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub open_amount: Option<String>,
    /// Day on which the oldest open invoice was or is to be paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10))]
    pub oldest_due_date: Option<String>,
    /// How far the account is taken because it does not pay; in good standing without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dunning: Option<DunningStage>,
}

/// What of an order is counted, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BilledQuantities {
    /// How often it was counted; what is counted anew has the next number.
    #[schemars(range(min = 1))]
    pub revision: i32,
    /// Since when it is so.
    pub since: Time,
    /// People in `spec.users` of the order.
    #[schemars(range(min = 0))]
    pub seats: i64,
    /// People with a name of their own, as `spec.inputs.namedUsers` says.
    #[schemars(range(min = 0))]
    pub named_users: i64,
    /// People at the same time, as `spec.inputs.concurrentUsers` says.
    #[schemars(range(min = 0))]
    pub concurrent_users: i64,
    /// What the plan's storage classes let it claim together, in MiB, where the application counts that.
    #[serde(default, rename = "storageMiB", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub storage_mib: Option<i64>,
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
    /// The tenant is not served on purpose; the condition Suspended says why.
    Suspended,
    /// Something failed for good and a person has to act.
    Failed,
    /// The subscription is being brought to its end.
    Terminating,
    /// Nothing of the tenant runs, and its data is kept until the time of `purgeAt`.
    Archived,
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

/// What a tenant has of the provider's servers. The pool's record is the truth; this tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServersStatus {
    /// Name of the pool.
    #[schemars(length(min = 1, max = 63))]
    pub pool: String,
    /// Class of the servers.
    #[schemars(length(min = 1, max = 63))]
    pub class: String,
    /// Whether they are shared with others.
    pub tenancy: Tenancy,
    /// Power of one core beside that of the provider's usual one, where the pool says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 5))]
    pub chip_power: Option<String>,
    /// What is reserved.
    pub amounts: PoolAmounts,
    /// Nodes that are the tenant's alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub nodes: Vec<String>,
    /// What the provider's price lists call a share of the pool, where the pool says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub price_key: Option<String>,
    /// Since when the tenant has just this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// How often what it has became something else, the first time included.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0))]
    pub number: i32,
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

/// What a customer's business needs, and whether the plan has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SizingStatus {
    /// The business it was computed from.
    pub inputs: BusinessInputs,
    /// Plan it was compared with.
    #[schemars(length(max = 253))]
    pub plan: String,
    /// Whether the plan has what is needed.
    pub verdict: SizingVerdict,
    /// Months after which the plan is too small, at the stated growth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60))]
    pub months: Option<i32>,
    /// The smallest plan that has what is needed, where the ordered one does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub smallest_plan: Option<String>,
    /// What each formula gave.
    #[schemars(length(max = 5))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["resource".into()]))]
    pub results: Vec<SizingResult>,
}

/// Whether a plan has what is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SizingVerdict {
    /// It has, for the next five years.
    Fits,
    /// It has now, and will not at some time in the next five years.
    FitsForMonths,
    /// It has not.
    DoesNotFit,
}

/// What one formula gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SizingResult {
    /// What is sized.
    pub resource: SizedResource,
    /// The formula.
    #[schemars(length(max = 1024))]
    pub formula: String,
    /// What is needed, as a quantity.
    #[schemars(length(max = 32))]
    pub needed: String,
    /// What the plan has, as a quantity; absent where it sets no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub entitled: Option<String>,
}

/// What is sized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum SizedResource {
    /// Cores that all pods request together.
    Cpu,
    /// Memory that all pods request together.
    Memory,
    /// Size of all volumes together.
    Storage,
    /// Traffic out of one pod, in bits per second.
    Bandwidth,
    /// Pods that run at the same time.
    Instances,
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
    /// Definite refusals since the item's input last changed, or since the item was last done and is no more.
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
    /// Signature that the item asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_off: Option<SignOffRequest>,
    /// The last run of the item's job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobRun>,
    /// When the item should be done, while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Time>,
    /// Whether it should have been done already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overdue: bool,
    /// Seconds that it usually takes, waiting for people included, once everything it depends on is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub estimated_seconds: Option<i64>,
    /// How the item last came to an end. It stays while the item is repaired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conclusion: Option<Conclusion>,
}

/// One run over the checklist, with what was promised when it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationStatus {
    /// Number among the operations of the tenant's life.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub number: i32,
    /// What is done.
    pub kind: OperationKind,
    /// Why, for people: the plans, or the suspensions, that it is about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub cause: String,
    /// When it began.
    pub started_at: Time,
    /// What was promised then, where anything was. It stays as it was, whatever happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promise: Option<Promise>,
    /// When it will be done, as far as can be said; absent once it is done, and while something failed or is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_completion: Option<Time>,
    /// When it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// How long it took then, for comparison with what was promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took: Option<Length>,
}

/// The longest way through a checklist, in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Length {
    /// Seconds of work of the machines, as if everybody who was waited for had acted at once.
    #[schemars(range(min = 0))]
    pub machine_seconds: i64,
    /// Seconds more that people and partners let pass.
    #[schemars(range(min = 0))]
    pub people_seconds: i64,
}

/// What is done for an order as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OperationKind {
    /// From the order to the customer's first use.
    Provision,
    /// From another plan in the order to what it entitles to.
    ChangePlan,
    /// From a suspension to a tenant that is not served.
    Suspend,
    /// From the end of a suspension to what the others leave, or to a tenant as it was.
    Resume,
    /// From the deletion of the subscription to the end of everything that shall go.
    Offboard,
}

/// How long an operation was said to take when it began: the longest way through the checklist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Promise {
    /// Seconds of work of the machines, if everybody who is waited for acts at once.
    #[schemars(range(min = 0))]
    pub machine_seconds: i64,
    /// Seconds more that people and partners usually let pass.
    #[schemars(range(min = 0))]
    pub people_seconds: i64,
    /// When it should be done: not before the agreed time.
    pub completion: Time,
    /// What nine of ten such orders keep, once enough of them are in the journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nine_of_ten: Option<Length>,
}

/// The hand-over to the customer. Charges and service level count from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GoLiveStatus {
    /// When the tenant was opened first.
    pub at: Time,
    /// Who had signed by then, each as item and person, such as `training: ada@customer.example`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 320)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub signed_by: Vec<String>,
    /// Until when the customer is looked after more closely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hypercare_until: Option<Time>,
}

/// One run of an item's job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobRun {
    /// Name of the Job, and the token of the attempt that it is given.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Number of the attempt, over the whole life of the tenant.
    #[schemars(range(min = 1))]
    pub attempt: i32,
    /// Digest of what the run is about: a run about something else proves nothing.
    #[schemars(length(min = 1, max = 64))]
    pub digest: String,
    /// How far the run is.
    pub state: JobState,
    /// How often its Job was refused, until it was made. A refusal is no run, and uses up none of the item's attempts.
    #[serde(default, skip_serializing_if = "is_none")]
    #[schemars(range(min = 0))]
    pub refusals: i32,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// What it found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<JobResult>,
    /// Whether its pods, which were kept for their result, are let go.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub let_go: bool,
}

fn is_none(count: &i32) -> bool {
    *count == 0
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum JobState {
    /// It was recorded, and its Job is made or will be.
    Running,
    /// It did what it was asked for.
    Succeeded,
    /// It did not.
    Failed,
}

/// What a run found, as the Job's container said when it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobResult {
    /// One sentence for people.
    #[schemars(length(max = 300))]
    pub message: String,
    /// Rows of all tables together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub rows: Option<i64>,
    /// SHA-256 of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub source_sha256: Option<String>,
    /// Checksum over what was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub checksum: Option<String>,
    /// SHA-256 of the full report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub report_sha256: Option<String>,
    /// The first things that are not as they should be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5), inner(length(max = 200)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub differences: Vec<String>,
    /// How many there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0))]
    pub differences_total: i64,
}

/// Signature that an item asks for, and the one that was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignOffRequest {
    /// Who signs.
    #[serde(rename = "as")]
    pub party: Party,
    /// Digest of what is to be signed.
    #[schemars(length(min = 1, max = 64))]
    pub order_digest: String,
    /// Whether proof has to come with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub evidence_required: bool,
    /// The signature that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

/// A signature that was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Signature {
    /// Name of the TenantSignOff.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Who signed.
    #[schemars(length(min = 1, max = 253))]
    pub by: String,
    /// Who carried it, where the person did not sign at the API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub via: Option<String>,
    /// When the API server took it in.
    pub at: Time,
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

fn one() -> i32 {
    1
}
