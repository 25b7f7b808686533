//! `ServerPool`: servers of one class, and who has a share of them.

use crate::application::free_object;
use crate::common::{Condition, DNS_LABEL, DNS_SUBDOMAIN, QUANTITY, is_zero};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Tenants that one pool can hold. With the bookkeeping of the API server each takes about 500 bytes of the object, and an
/// object may have 1.5 MB.
pub const MAX_RESERVATIONS: usize = 2048;
/// Tenants that can wait for one pool.
pub const MAX_WAITING: usize = 512;

/// Pattern of the key of a label (Kubernetes, qualified names).
const LABEL_KEY: &str = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$";
/// Pattern of the value of a label.
const LABEL_VALUE: &str = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";
/// Pattern of a ratio of at least one.
const RATIO: &str = r"^([1-9][0-9]?)(\.[0-9]{1,2})?$";

// The lint takes equal words of two print columns for one attribute written twice.
#[allow(clippy::duplicated_attributes, reason = "each print column has a type of its own")]
/// Servers of one class. Its status is the record of who has a share of them.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "tenantry.io",
    version = "v1alpha1",
    kind = "ServerPool",
    doc = "Servers of one class, and who has a share of them.",
    plural = "serverpools",
    shortname = "spool",
    category = "tenantry",
    status = "ServerPoolStatus",
    derive = "Default",
    derive = "PartialEq",
    cel,
    validation = Rule::new("self.metadata.name.size() <= 63").message("metadata.name must be at most 63 characters; choose a shorter name"),
    printcolumn(name = "Class", type_ = "string", json_path = ".spec.class"),
    printcolumn(name = "Tenancy", type_ = "string", json_path = ".spec.tenancy"),
    printcolumn(name = "Nodes", type_ = "integer", json_path = ".status.nodes"),
    printcolumn(name = "Free nodes", type_ = "integer", json_path = ".status.freeNodes"),
    printcolumn(name = "Tenants", type_ = "integer", json_path = ".status.tenants"),
    printcolumn(name = "Waiting", type_ = "integer", json_path = ".status.queue"),
    printcolumn(name = "Available", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    cel,
    validation = Rule::new("self.class == oldSelf.class && self.tenancy == oldSelf.tenancy").message("class and tenancy of a pool cannot be changed, because tenants have it by them; make another pool").field_path(".tenancy"),
    validation = Rule::new("!has(self.overcommit) || self.tenancy == 'Shared'").message("whole servers are not overcommitted; remove overcommit, or make a pool whose tenancy is Shared").field_path(".overcommit"),
    validation = Rule::new("!has(self.template) || self.tenancy == 'Dedicated'").message("nodes are made for tenants that have whole ones; remove template, or make a pool whose tenancy is Dedicated").field_path(".template"),
)]
pub struct ServerPoolSpec {
    /// Class of its servers. Plans name it, and its nodes carry it as the label `tenantry.io/server-class`.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub class: String,
    /// Whether tenants share its servers or have whole ones. Of a class and a tenancy one pool is in use.
    pub tenancy: Tenancy,
    /// Labels that its nodes carry besides that of their class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["key".into()]))]
    pub node_labels: Vec<NodeLabel>,
    /// What each of its nodes has at least. One that has less is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerDescription>,
    /// How far the limits of all tenants together may exceed what the servers have. What tenants request never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overcommit: Option<PoolOvercommit>,
    /// Nodes whose room is not given to new tenants, so that it is there when as many fail.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0, max = 1000))]
    pub reserve_nodes: i32,
    /// Power of one of its cores beside that of the provider's usual one, such as `1.25`. Tenants are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 5), regex(pattern = r"^[0-9]{1,2}(\.[0-9]{1,2})?$"))]
    pub chip_power: Option<String>,
    /// What the provider's price lists call a share of this pool. Whatever a tenant has of it is told to the journal with this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub price_key: Option<String>,
    /// How nodes are made for tenants that wait for whole ones, where none is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<NodeTemplate>,
    /// Nodes that somebody cleaned after a tenant had them: they go back to the pool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["node".into()]))]
    pub cleaned: Vec<CleanedNode>,
    /// Nodes that do not work, or are cordoned, and in whose place their tenant shall have another one. A word about a node that
    /// works has no effect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["node".into()]))]
    pub exchange: Vec<ExchangedNode>,
}

/// Whether tenants share servers.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Tenancy {
    /// Pods of many tenants run side by side.
    #[default]
    Shared,
    /// A server is one tenant's alone.
    Dedicated,
}

/// One label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeLabel {
    /// Key of the label.
    #[schemars(length(min = 1, max = 317), regex(pattern = LABEL_KEY))]
    pub key: String,
    /// Value of the label.
    #[serde(default)]
    #[schemars(length(max = 63), regex(pattern = LABEL_VALUE))]
    pub value: String,
}

/// What a server has at least.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerDescription {
    /// Architecture of its processors, as the label `kubernetes.io/arch` says it, such as `amd64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub architecture: Option<String>,
    /// Cores that pods may have of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), regex(pattern = QUANTITY))]
    pub cpu: Option<String>,
    /// Memory that pods may have of it, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), regex(pattern = QUANTITY))]
    pub memory: Option<String>,
    /// Local disk that pods may have of it, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), regex(pattern = QUANTITY))]
    pub disk: Option<String>,
    /// Resource of an accelerator that it has, such as `nvidia.com/gpu`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317), regex(pattern = LABEL_KEY))]
    pub accelerator: Option<String>,
}

/// How nodes are made: each by an object of its own, so that each can be given back by itself. What is changed here counts for
/// nodes that are made from then on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    cel,
    validation = Rule::new("has(self.nodePool) != has(self.machineDeployment)").message("a node is made in one way; set nodePool or machineDeployment, and not both"),
)]
pub struct NodeTemplate {
    /// Nodes that are there at the most by this template.
    #[schemars(range(min = 1, max = 100))]
    pub max_nodes: i32,
    /// The spec of a `NodePool` of Karpenter (karpenter.sh/v1). Tenantry sets `replicas` to 1, adds labels and the taint of a
    /// dedicated node, and lets no node expire or be disrupted where nothing is said about that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "free_object")]
    pub node_pool: Option<Value>,
    /// A `MachineDeployment` of Cluster API (cluster.x-k8s.io/v1beta2) in the same cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_deployment: Option<MachineDeploymentTemplate>,
}

/// A `MachineDeployment`, of which one is made for each node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MachineDeploymentTemplate {
    /// Namespace in which it is made: that of the Cluster object.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub namespace: String,
    /// Its spec. Tenantry sets `replicas` to 1 and the selector, and adds labels.
    #[schemars(schema_with = "free_object")]
    pub spec: Value,
}

/// How far limits may exceed what there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolOvercommit {
    /// Of processors, such as `2`.
    #[schemars(length(min = 1, max = 5), regex(pattern = RATIO))]
    pub cpu: String,
    /// Of memory, such as `1.2`.
    #[schemars(length(min = 1, max = 5), regex(pattern = RATIO))]
    pub memory: String,
}

/// Somebody's word that nothing of a tenant is left on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CleanedNode {
    /// Name of the node.
    #[schemars(length(min = 1, max = 253), regex(pattern = DNS_SUBDOMAIN))]
    pub node: String,
    /// Identity of the tenant whose it was, as `status.quarantined` names it. What is said about one says nothing about the
    /// next.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 32))]
    pub tenant: String,
    /// Who cleaned it.
    #[schemars(length(min = 1, max = 253))]
    pub by: String,
}

/// Somebody's word that a tenant shall have another node in the place of one that does not work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExchangedNode {
    /// Name of the node.
    #[schemars(length(min = 1, max = 253), regex(pattern = DNS_SUBDOMAIN))]
    pub node: String,
    /// Identity of the tenant whose it is, as `status.reservations` names it.
    #[schemars(length(min = 1, max = 32), regex(pattern = DNS_LABEL))]
    pub tenant: String,
    /// Who wants it.
    #[schemars(length(min = 1, max = 253))]
    pub by: String,
}

/// What is recorded of a pool, and seen of its nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerPoolStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// Nodes that can take pods.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub nodes: i32,
    /// Nodes of a dedicated pool that are nobody's and were seen empty.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub free_nodes: i32,
    /// Nodes that are being made and cannot be given yet.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0))]
    pub coming: i32,
    /// Tenants that have a share.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub tenants: i32,
    /// Tenants that wait for one, or for a larger one.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub queue: i32,
    /// What pods of tenants may request, without what is held back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<PoolAmounts>,
    /// What tenants are promised of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<PoolAmounts>,
    /// Who has a share.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2048))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["tenant".into()]))]
    pub reservations: Vec<PoolReservation>,
    /// Who waits, with what he asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["tenant".into()]))]
    pub waiting: Vec<PoolWish>,
    /// Nodes that were a tenant's and are not cleaned yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["node".into()]))]
    pub quarantined: Vec<QuarantinedNode>,
    /// Objects that were made by the template, each for one node. They are recorded before they are made, and until they are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub made: Vec<MadeNode>,
    /// Observations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// An amount of everything that is accounted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolAmounts {
    /// Cores that pods request.
    #[schemars(length(max = 32))]
    pub cpu: String,
    /// Memory that pods request, in bytes.
    #[schemars(length(max = 32))]
    pub memory: String,
    /// Local scratch disk that pods request, in bytes.
    #[schemars(length(max = 32))]
    pub disk: String,
    /// Pods that run at the same time.
    #[schemars(length(max = 32))]
    pub pods: String,
    /// Cores that pods may use at most.
    #[schemars(length(max = 32))]
    pub cpu_limits: String,
    /// Memory that pods may use at most, in bytes.
    #[schemars(length(max = 32))]
    pub memory_limits: String,
}

/// A share that a tenant has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolReservation {
    /// Identity of the tenant.
    #[schemars(length(min = 1, max = 32), regex(pattern = DNS_LABEL))]
    pub tenant: String,
    /// Name of its subscription.
    #[schemars(length(max = 63))]
    pub subscription: String,
    /// UID of its subscription.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// What it is promised.
    pub amounts: PoolAmounts,
    /// Nodes that are its alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub nodes: Vec<PoolNode>,
    /// Since when.
    pub since: Time,
}

/// A node of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolNode {
    /// Name of the node.
    #[schemars(length(max = 253))]
    pub name: String,
    /// UID of the node.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Whether the tenant leaves it: nothing new of it gets there, and when nothing is left there it is quarantined.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
}

/// What a tenant waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolWish {
    /// Identity of the tenant.
    #[schemars(length(min = 1, max = 32), regex(pattern = DNS_LABEL))]
    pub tenant: String,
    /// Name of its subscription.
    #[schemars(length(max = 63))]
    pub subscription: String,
    /// UID of its subscription.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// What it is promised.
    pub amounts: PoolAmounts,
    /// What the largest of its pods requests.
    pub largest: PoolAmounts,
    /// Whole nodes that it is promised.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0, max = 100))]
    pub nodes: i32,
    /// Since when. Who came first is served first.
    pub since: Time,
}

/// A node that was a tenant's and may still hold something of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuarantinedNode {
    /// Name of the node.
    #[schemars(length(max = 253))]
    pub node: String,
    /// UID of the node.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Identity of the tenant whose it was; empty where only the node says that it is quarantined.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 32))]
    pub tenant: String,
    /// Since when.
    pub since: Time,
}

/// An object by which a node is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MadeNode {
    /// Name of the object. Its node carries it as the label `node-restriction.kubernetes.io/tenantry-made`.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Kind of the object.
    pub kind: NodeMaker,
    /// Namespace of the object, where its kind has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
    /// UID of the object; none until it is known to be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub uid: Option<String>,
    /// Since when it is wanted.
    pub since: Time,
    /// Whether it is being given back.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub removing: bool,
}

/// What makes nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum NodeMaker {
    /// Karpenter.
    NodePool,
    /// Cluster API.
    MachineDeployment,
}
