//! `ServicePlan`: what a customer of this plan is entitled to.

use crate::common::{DECIMAL, DNS_LABEL, DURATION, Lifecycle, QUANTITY};
use crate::definition::DefinitionStatus;
use crate::exit::PlanExit;
use crate::plan_change::{Downgrade, Term};
use crate::prices::{CURRENCY, Introduction, PlanCharge, PlanMinimum, Trial};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a customer of this plan is entitled to. An accepted change reaches running tenants a few at a time.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "tenantry.io",
    version = "v1alpha1",
    kind = "ServicePlan",
    doc = "A service plan: what a customer who orders it is entitled to.",
    plural = "serviceplans",
    shortname = "splan",
    category = "tenantry",
    status = "DefinitionStatus",
    derive = "Default",
    derive = "PartialEq",
    cel,
    validation = Rule::new("self.metadata.name.size() <= 63").message("metadata.name must be at most 63 characters; choose a shorter name"),
    validation = Rule::new("!(has(self.spec.upgradableTo) && self.metadata.name in self.spec.upgradableTo) && !(has(self.spec.downgradableTo) && self.metadata.name in self.spec.downgradableTo)").message("the plan names itself in spec.upgradableTo or spec.downgradableTo; name the plans that its customers may change to"),
    printcolumn(name = "Tier", type_ = "string", json_path = ".spec.tier"),
    printcolumn(name = "Lifecycle", type_ = "string", json_path = ".spec.lifecycle"),
    printcolumn(name = "Accepted", type_ = "string", json_path = ".status.conditions[?(@.type=='Accepted')].status"),
    printcolumn(name = "In use", type_ = "boolean", json_path = ".status.inUse"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    cel,
    validation = Rule::new("self.lifecycle == oldSelf.lifecycle || oldSelf.lifecycle == 'Draft' || (oldSelf.lifecycle == 'Published' && self.lifecycle != 'Draft') || self.lifecycle == 'Retired'").message("spec.lifecycle only moves forward (Draft, Published, Deprecated, Retired); make a new plan instead").field_path(".lifecycle"),
    validation = Rule::new("has(self.currency) == (has(self.charges) && self.charges.size() > 0)").message("prices have one currency and a currency has prices; give currency and charges together, or neither").field_path(".currency"),
    validation = Rule::new("!has(self.trial) || (has(self.charges) && self.charges.exists(charge, charge.type == 'Recurring'))").message("a trial is a time without charges; remove it, or give a charge of the type Recurring").field_path(".trial"),
    validation = Rule::new("!has(self.introduction) || (has(self.charges) && self.charges.exists(charge, charge.type == 'Recurring'))").message("an introduction is a discount on what recurs; remove it, or give a charge of the type Recurring").field_path(".introduction"),
    validation = Rule::new("!has(self.minimum) || has(self.currency)").message("a minimum is an amount of money; remove it, or give currency and charges").field_path(".minimum"),
    validation = Rule::new("!has(self.upgradableTo) || !has(self.downgradableTo) || !self.upgradableTo.exists(plan, plan in self.downgradableTo)").message("a plan is in upgradableTo and in downgradableTo; leave it in the one that says whether the customer gets more or less").field_path(".downgradableTo"),
)]
pub struct ServicePlanSpec {
    /// Name people see.
    #[schemars(length(min = 1, max = 64))]
    pub display_name: String,
    /// What the plan offers, in a few sentences.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub description: String,
    /// Name of the tier the plan belongs to, such as Gold.
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[A-Za-z][A-Za-z0-9-]*$"))]
    pub tier: String,
    /// How far the plan is in its life.
    pub lifecycle: Lifecycle,
    /// Currency of the prices, as a code of ISO 4217.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 3), regex(pattern = CURRENCY))]
    pub currency: Option<String>,
    /// What the plan costs. A tenant keeps the prices it was ordered at, until its customer changes to another plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub charges: Vec<PlanCharge>,
    /// Time at the begin in which nothing that recurs is charged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
    /// Time after the trial in which what recurs costs less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introduction: Option<Introduction>,
    /// The least that a period comes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<PlanMinimum>,
    /// Network capacity and quality of service.
    pub network: PlanNetwork,
    /// What the customer has of the provider's servers.
    pub servers: PlanServers,
    /// Persistent storage and its backup.
    pub storage: PlanStorage,
    /// People who may use the application.
    pub accounts: PlanAccounts,
    /// Security policy for everything the tenant runs.
    pub security: PlanSecurity,
    /// What is measured and how.
    pub monitoring: PlanMonitoring,
    /// What is promised.
    pub service_level: ServiceLevel,
    /// How long data is kept after the end of a subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<PlanExit>,
    /// Plans that its customers may change to and get more. Such a change acts at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63), regex(pattern = DNS_LABEL)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub upgradable_to: Vec<String>,
    /// Plans that its customers may change to and get less.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63), regex(pattern = DNS_LABEL)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub downgradable_to: Vec<String>,
    /// For how long it is ordered at a time; a month where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<Term>,
    /// How its customers go down to a smaller plan: at the end of the term where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downgrade: Option<Downgrade>,
}

/// Network capacity and quality of service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanNetwork {
    /// Bandwidth limits; whether bursts are cut tightly depends on the cluster's network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bandwidth>,
    /// Which workloads win when a server is short of resources.
    pub quality_of_service: QualityOfService,
    /// Services of type LoadBalancer the tenant may have.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100))]
    pub load_balancers: i32,
    /// Node ports the tenant may use.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100))]
    pub node_ports: i32,
}

/// Bandwidth limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bandwidth {
    /// Limits of each pod.
    pub per_pod: PodBandwidth,
}

/// Bandwidth limits of one pod, in bits per second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodBandwidth {
    /// Traffic into the pod, such as `200M`.
    #[schemars(length(min = 1, max = 16), regex(pattern = r"^[1-9][0-9]*(k|M|G)?$"))]
    pub ingress: String,
    /// Traffic out of the pod, such as `200M`.
    #[schemars(length(min = 1, max = 16), regex(pattern = r"^[1-9][0-9]*(k|M|G)?$"))]
    pub egress: String,
}

/// Which workloads win when a server is short of resources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum QualityOfService {
    /// Yields to every other tenant.
    #[default]
    BestEffort,
    /// Yields to Premium only.
    Assured,
    /// Yields to nobody.
    Premium,
}

/// What the customer has of the provider's servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanServers {
    /// Class of servers, the value of the node label `tenantry.io/server-class`.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub class: String,
    /// CPU that all pods of the tenant may request together, in cores.
    #[schemars(length(min = 1, max = 16), regex(pattern = QUANTITY))]
    pub cpu: String,
    /// Memory that all pods of the tenant may request together, in bytes.
    #[schemars(length(min = 1, max = 16), regex(pattern = QUANTITY))]
    pub memory: String,
    /// How far limits may exceed requests, such as `2`.
    #[schemars(length(min = 1, max = 8), regex(pattern = r"^([1-9][0-9]?)(\.[0-9]{1,2})?$"))]
    pub limit_ratio: String,
    /// Local scratch disk that all pods of the tenant may request together, in bytes.
    #[schemars(length(min = 1, max = 16), regex(pattern = QUANTITY))]
    pub disk: String,
    /// Pods the tenant may run at the same time.
    #[schemars(range(min = 1, max = 5000))]
    pub pods: i32,
    /// Whole servers of the class that are the tenant's alone. Without a number it shares servers with others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub dedicated_nodes: Option<i32>,
    /// How long a tenant that is suspended and runs nothing keeps its share, such as `720h`. Then others may have it, and the
    /// tenant asks for it again when it is resumed. Without it the share is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 16), regex(pattern = DURATION))]
    pub suspended_grace: Option<String>,
}

/// Persistent storage and its backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStorage {
    /// Storage by class. Classes that are not listed cannot be used.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub classes: Vec<StorageClassShare>,
    /// Backup of the volumes; without it there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupPolicy>,
}

/// Storage of one class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageClassShare {
    /// Name of the StorageClass.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub name: String,
    /// Size of all volumes of the class together, in bytes.
    #[schemars(length(min = 1, max = 16), regex(pattern = QUANTITY))]
    pub total_capacity: String,
    /// Number of volumes of the class.
    #[schemars(range(min = 0, max = 1000))]
    pub max_volumes: i32,
}

/// When volumes are backed up and for how long backups are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupPolicy {
    /// Cron schedule, in UTC.
    #[schemars(length(min = 9, max = 64), regex(pattern = r"^[0-9*/, -]+( [0-9A-Za-z*/,-]+){4}$"))]
    pub schedule: String,
    /// Number of backups kept.
    #[schemars(range(min = 1, max = 400))]
    pub retain: i32,
}

/// People who may use the application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanAccounts {
    /// People the plan covers.
    #[schemars(range(min = 1, max = 1000))]
    pub seats: i32,
    /// Roles that may be given to people.
    #[schemars(length(min = 1, max = 3))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub roles: Vec<Role>,
}

/// What a person may do in the tenant's namespace.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads everything but secrets, restarts and scales workloads, opens shells.
    Administrator,
    /// Reads workloads and their logs.
    User,
    /// Reads workloads.
    #[default]
    Viewer,
}

/// Security policy for everything the tenant runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanSecurity {
    /// Pod Security Standard that is enforced.
    pub profile: SecurityProfile,
}

/// Pod Security Standard (kubernetes.io, Pod Security Standards).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecurityProfile {
    /// Follows current hardening practice.
    #[default]
    Restricted,
    /// Prevents known privilege escalations.
    Baseline,
}

/// What is measured and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanMonitoring {
    /// Whether measurements are shown as they come or as history.
    pub mode: MonitoringMode,
    /// What is measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub metrics: Vec<MonitoringMetric>,
    /// For how long measurements are kept.
    #[schemars(length(min = 2, max = 16), regex(pattern = DURATION))]
    pub retention: String,
}

/// Whether measurements are shown as they come or as history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MonitoringMode {
    /// Scraped every 30 seconds, with alerts.
    RealTime,
    /// Scraped every five minutes.
    #[default]
    Historical,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MonitoringMetric {
    /// Share of time the application answers.
    Availability,
    /// How long answers take.
    Latency,
    /// Share of answers that are errors.
    Errors,
    /// How full the tenant's share is.
    Saturation,
}

/// What is promised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceLevel {
    /// Availability in percent, such as `99.9`.
    #[schemars(length(min = 1, max = 16), regex(pattern = DECIMAL))]
    pub availability: String,
    /// How fast support answers.
    pub support: Support,
}

/// How fast support answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Support {
    /// Time to the first answer.
    #[schemars(length(min = 2, max = 16), regex(pattern = DURATION))]
    pub first_response: String,
}
