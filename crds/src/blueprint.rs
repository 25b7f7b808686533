//! `Blueprint`: the checklist as data.

use crate::common::{DNS_LABEL, DURATION, Manifest};
use crate::definition::DefinitionStatus;
use crate::exit::BlueprintExit;
use crate::version::JobRole;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The checklist from sign-up to go-live: items, what each does, and what it waits for.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "tenantry.io",
    version = "v1alpha1",
    kind = "Blueprint",
    doc = "A checklist from sign-up to go-live, as data.",
    plural = "blueprints",
    category = "tenantry",
    status = "DefinitionStatus",
    derive = "Default",
    derive = "PartialEq",
    cel,
    validation = Rule::new("self.metadata.name.size() <= 63").message("metadata.name must be at most 63 characters; choose a shorter name"),
    printcolumn(name = "Accepted", type_ = "string", json_path = ".status.conditions[?(@.type=='Accepted')].status"),
    printcolumn(name = "In use", type_ = "boolean", json_path = ".status.inUse"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct BlueprintSpec {
    /// Kinds that manifests of application versions may render.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["group".into()]))]
    pub allowed_kinds: Vec<AllowedKinds>,
    /// The provider's constants.
    pub settings: Settings,
    /// The checklist.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub items: Vec<Item>,
    /// How a subscription is brought to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<BlueprintExit>,
}

/// Kinds of one API group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AllowedKinds {
    /// API group; empty for the core group.
    #[schemars(length(max = 253))]
    pub group: String,
    /// Kinds, such as `ConfigMap`.
    #[schemars(
        length(min = 1, max = 32),
        inner(length(min = 1, max = 63), regex(pattern = r"^[A-Z][A-Za-z0-9]*$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub kinds: Vec<String>,
}

/// The provider's constants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Gateway that carries customers' traffic into the cluster.
    pub gateway: GatewaySettings,
    /// Prefix that the API server puts before the names of groups from the identity provider.
    #[serde(default)]
    #[schemars(length(max = 63), regex(pattern = r"^[A-Za-z0-9._:@/-]*$"))]
    pub group_prefix: String,
    /// Namespace of the cluster's name service.
    #[serde(default = "kube_system")]
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub dns_namespace: String,
    /// Namespace that metrics are scraped from.
    #[serde(default = "monitoring")]
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub monitoring_namespace: String,
}

/// Gateway that carries customers' traffic into the cluster (Gateway API).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySettings {
    /// Name of the Gateway.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub name: String,
    /// Namespace of the Gateway and of the pods behind it.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub namespace: String,
    /// How a customer's allow-list of addresses is enforced.
    #[serde(default)]
    pub allow_list: AllowList,
}

/// How a customer's allow-list of addresses is enforced. A route has no source filter of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AllowList {
    /// By a SecurityPolicy of Envoy Gateway beside the route.
    EnvoySecurityPolicy,
    /// By the source ranges of the tenant's load balancers.
    LoadBalancerSourceRanges,
    /// Not at all; orders with an allow-list are refused.
    #[default]
    None,
}

/// One line of the checklist.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.check), has(self.manifests), has(self.application), has(self.job), has(self.signOff), has(self.external), has(self.servers), has(self.billing), has(self.goLive)].filter(x, x).size() == 1").message("an item has exactly one action: check, manifests, application, job, signOff, external, servers, billing or goLive"),
    validation = Rule::new("self.category != 'Exit' && !self.name.startsWith('exit-')").message("the end of a subscription is no item of the checklist; use another category and a name that does not begin with exit-, and say in spec.exit how it ends"),
    validation = Rule::new("!has(self.dependsOn) || !(self.name in self.dependsOn)").message("an item cannot depend on itself; remove its own name from dependsOn"),
    validation = Rule::new("!has(self.confirm) || !(has(self.signOff) || has(self.goLive))").message("a sign-off needs no confirmation, and going live waits for an item of its own; use an item with the action signOff").field_path(".confirm"),
    validation = Rule::new("!has(self.runs) || has(self.signOff) || has(self.confirm) || has(self.job)").message("runs says when somebody has to sign again or a job runs again; remove it, or add signOff, confirm or job").field_path(".runs"),
    validation = Rule::new("!has(self.baseline) || self.baseline.size() == 0 || !(has(self.signOff) || has(self.job) || has(self.external) || has(self.billing))").message("a sign-off and billing make no objects, a job none but itself, and what is external is made by others; move the baseline to another item").field_path(".baseline"),
)]
pub struct Item {
    /// Name of the item, unique in the blueprint.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub name: String,
    /// What the item is about, for people.
    #[schemars(length(min = 1, max = 128))]
    pub title: String,
    /// Part of the service it belongs to; conditions such as `NetworkReady` come from it.
    pub category: Category,
    /// Who has to act when the item waits for somebody.
    #[serde(default)]
    pub owner: Party,
    /// Items that must be done or skipped before this one has any effect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub depends_on: Vec<String>,
    /// CEL expression over the order that says whether the item applies; without it the item always does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub when: Option<String>,
    /// Objects that Tenantry builds itself from the plan and that this item answers for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub baseline: Vec<Baseline>,
    /// Action: a check that needs nothing but the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckAction>,
    /// Action: the objects of these templates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub manifests: Option<Vec<Manifest>>,
    /// Action: the objects of the application version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationAction>,
    /// Action: a job of the application version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobAction>,
    /// Action: somebody's signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_off: Option<SignOffAction>,
    /// Action: waits for an object that somebody else makes and keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalAction>,
    /// Action: sees to it that the ledger knows who pays, and at which prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing: Option<BillingAction>,
    /// Action: a share of the servers that the plan names, in the pool of their class. No pod of the tenant is started before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers: Option<ServersAction>,
    /// Action: the objects that open the tenant to its customers, once the agreed time has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub go_live: Option<GoLiveAction>,
    /// Signature that the item needs besides its action. Until it is there the tenant is not opened; everything else goes
    /// on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<Confirmation>,
    /// When somebody has to sign again, or the job runs again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<Runs>,
    /// When the item should be done; it is overdue after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Due>,
    /// What becomes of the items behind this one if it fails.
    #[serde(default, skip_serializing_if = "OnFailure::is_stop")]
    pub on_failure: OnFailure,
    /// How long the item may take to become done once it started; it fails then, and recovers when it becomes done.
    #[serde(default = "ten_minutes")]
    #[schemars(length(min = 2, max = 16), regex(pattern = DURATION))]
    pub timeout: String,
    /// How often and how fast a refused step is tried again.
    #[serde(default)]
    pub retry: Retry,
    /// How long the item usually takes once everything it depends on is done: its work, or, where somebody signs, until he
    /// does. What is promised to a customer comes from it. Without one the item is taken to need no time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 16), regex(pattern = DURATION))]
    pub estimate: Option<String>,
}

/// A check that needs nothing but the order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckAction {
    /// What is checked.
    #[serde(default, skip_serializing_if = "CheckSubject::is_order")]
    pub of: CheckSubject,
}

/// What a check looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CheckSubject {
    /// That the order is valid.
    #[default]
    Order,
    /// That what the customer's business needs, by the application's formulas, fits the plan. Where it does not, the
    /// provider has to approve it with a sign-off.
    Sizing,
}

/// Installs the application version that was ordered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationAction {}

/// Reserves what the plan promises of servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServersAction {}

/// Runs a job of the application version, once for each attempt, and takes its result as evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.load) == (self.role == 'Convert')").message("load says how a conversion runs, Trial or CutOver; give it for the role Convert and for no other").field_path(".load"))]
pub struct JobAction {
    /// Which job.
    pub role: JobRole,
    /// How a conversion runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
}

/// Waits until an object that somebody else makes and keeps is as it should be. Tenantry only reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.kind != 'Secret'").message("Secrets are not read; wait for an object that says that the Secret is there").field_path(".kind"))]
pub struct ExternalAction {
    /// Group and version of its kind, such as `cert-manager.io/v1`.
    #[schemars(length(min = 1, max = 317), regex(pattern = r"^([a-z0-9.-]+/)?v[0-9][a-z0-9]*$"))]
    pub api_version: String,
    /// Its kind, such as `Certificate`.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Z][A-Za-z0-9]*$"))]
    pub kind: String,
    /// Its name: in the tenant's namespace, or in none where the kind has none. Without one that of the subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub name: Option<String>,
    /// CEL expression over `object` that says whether it is as it should be, such as `object.status.ready`. The item is open
    /// again as soon as it is not.
    #[schemars(length(min = 1, max = 1024))]
    pub until: String,
}

/// Sees to it that the ledger has the order's account and the prices that were pinned. A plan without prices skips it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BillingAction {}

/// How a conversion runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Load {
    /// To see whether the data fits: nothing of it is used.
    Trial,
    /// For good: from here on the application works with the data.
    CutOver,
}

/// Opens the tenant to its customers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GoLiveAction {
    /// Templates of the objects that open the route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub manifests: Vec<Manifest>,
    /// Templates of the objects that stand in the place of these while nobody is let in: a route of the same name, with a page
    /// that says why (`suspension.message`). Without any the route is taken away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub suspended: Vec<Manifest>,
    /// How long the customer is looked after more closely once the tenant is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 16), regex(pattern = DURATION))]
    pub hypercare: Option<String>,
}

/// Asks somebody for a signature, as a `TenantSignOff`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignOffAction {
    /// Who signs.
    pub by: Party,
    /// Whether the signature needs proof.
    #[serde(default, skip_serializing_if = "EvidenceRequirement::is_optional")]
    pub evidence: EvidenceRequirement,
}

/// Asks somebody to confirm, by a `TenantSignOff`, what the item's action did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Confirmation {
    /// Who confirms.
    pub by: Party,
    /// Whether the confirmation needs proof.
    #[serde(default, skip_serializing_if = "EvidenceRequirement::is_optional")]
    pub evidence: EvidenceRequirement,
    /// CEL expression over the order that says whether a confirmation is asked for; without it one always is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub when: Option<String>,
    /// How long it usually takes until somebody confirms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 16), regex(pattern = DURATION))]
    pub estimate: Option<String>,
}

/// Whether a signature needs proof.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EvidenceRequirement {
    /// The signature alone is enough.
    #[default]
    Optional,
    /// At least one proof comes with it, such as a document with its digest.
    Required,
}

/// When somebody has to sign again, or a job runs again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Runs {
    /// Never: a signature, or a result, holds for the life of the tenant.
    Once,
    /// When the order changes: organization, plan, application, version, parameters, inputs, network, training or data
    /// conversion.
    #[default]
    OnChange,
    /// When the tenant moves to another version of the application.
    EveryUpgrade,
}

/// When an item should be done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.before) != has(self.after)").message("an item is due before or after something; use either before with lead, or after with lag"),
    validation = Rule::new("has(self.before) == has(self.lead) && has(self.after) == has(self.lag)").message("lead goes with before and lag with after; give the one that fits"),
)]
pub struct Due {
    /// What the item should be done before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<DueBefore>,
    /// How long before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 16), regex(pattern = DURATION))]
    pub lead: Option<String>,
    /// What the time is counted from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<DueAfter>,
    /// How long after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 16), regex(pattern = DURATION))]
    pub lag: Option<String>,
}

/// What an item should be done before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DueBefore {
    /// The day for which going live is planned; an order without one has no due time here.
    #[default]
    GoLive,
}

/// What a due time is counted from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DueAfter {
    /// When the subscription was made.
    #[default]
    Order,
}

/// What becomes of the items behind one that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnFailure {
    /// They wait.
    #[default]
    Stop,
    /// They go on, and so does going live.
    Continue,
}

/// Part of the service an item belongs to.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Category {
    /// Plan, application and terms.
    #[default]
    Contract,
    /// What the customer's business needs of servers and storage.
    Sizing,
    /// Policies and identities.
    Security,
    /// Isolation, capacity and addresses.
    Network,
    /// Compute share.
    Servers,
    /// Storage and its backup.
    Platform,
    /// The application itself.
    Application,
    /// People and their roles.
    Accounts,
    /// Measurements and alerts.
    Monitoring,
    /// Who pays, and at which prices.
    Billing,
    /// The customer's data from before.
    DataConversion,
    /// What was agreed beyond the plan.
    Customization,
    /// Proof that the application does what was ordered.
    Testing,
    /// The customer's people and what they learn.
    Training,
    /// The hand-over to the customer.
    GoLive,
    /// The end of the subscription.
    Exit,
}

/// Who acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Party {
    /// The company that runs Tenantry.
    #[default]
    Provider,
    /// The company that ordered.
    Customer,
    /// A third company, such as a consultant.
    Partner,
}

/// Objects that Tenantry builds itself, because its safety rules depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Baseline {
    /// The namespace with its pod security labels.
    Namespace,
    /// The network policy that denies everything that nothing else allows.
    DefaultDeny,
    /// Defaults and bounds of each container.
    LimitRange,
    /// The tenant's share of servers, storage and network.
    ResourceQuota,
    /// Role bindings of the customer's people.
    AccessBindings,
}

/// How often and how fast a refused step is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// Definite refusals after which the item fails; for a job, runs that fail, beside which making one of its Jobs may be refused
    /// at least five times. Outages are not counted.
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 100))]
    pub attempts: i32,
    /// Wait after the first refusal; it doubles with each, up to one hour.
    #[serde(default = "five_seconds")]
    #[schemars(length(min = 2, max = 16), regex(pattern = DURATION))]
    pub backoff: String,
}

// === impl Category ===

impl Category {
    /// Whether the tenant is ready without the items of this category: they belong to the hand-over, and only going live
    /// waits for them.
    #[must_use]
    pub fn is_hand_over(self) -> bool {
        matches!(
            self,
            Self::DataConversion | Self::Customization | Self::Testing | Self::Training | Self::GoLive
        )
    }
}

// === impl CheckSubject ===

impl CheckSubject {
    fn is_order(&self) -> bool {
        *self == Self::Order
    }
}

// === impl EvidenceRequirement ===

impl EvidenceRequirement {
    fn is_optional(&self) -> bool {
        *self == Self::Optional
    }
}

// === impl OnFailure ===

impl OnFailure {
    pub(crate) fn is_stop(&self) -> bool {
        *self == Self::Stop
    }
}

// === defaults ===

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: five(), backoff: five_seconds() }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            gateway: GatewaySettings::default(),
            group_prefix: String::new(),
            dns_namespace: kube_system(),
            monitoring_namespace: monitoring(),
        }
    }
}

fn five() -> i32 {
    5
}

fn five_seconds() -> String {
    "5s".to_owned()
}

fn ten_minutes() -> String {
    "10m".to_owned()
}

fn kube_system() -> String {
    "kube-system".to_owned()
}

fn monitoring() -> String {
    "monitoring".to_owned()
}
