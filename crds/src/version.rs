//! `HostedApplicationVersion`: one immutable version of an application.

use crate::common::{DNS_LABEL, Lifecycle, Manifest, Reference};
use crate::definition::DefinitionStatus;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One version of an application. Once published only its lifecycle may change, and that only forward.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "tenantry.io",
    version = "v1alpha1",
    kind = "HostedApplicationVersion",
    doc = "One version of an application that can be ordered.",
    plural = "hostedapplicationversions",
    shortname = "hav",
    category = "tenantry",
    status = "DefinitionStatus",
    derive = "Default",
    derive = "PartialEq",
    cel,
    validation = Rule::new("self.metadata.name.size() <= 127").message("metadata.name must be at most 127 characters; choose a shorter name"),
    validation = Rule::new("self.metadata.name == self.spec.applicationRef.name + '-' + self.spec.version").message("metadata.name must be the application's name, a dash and the version, such as erp-4.2.1; rename the object or correct spec.applicationRef.name or spec.version"),
    printcolumn(name = "Application", type_ = "string", json_path = ".spec.applicationRef.name"),
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.version"),
    printcolumn(name = "Lifecycle", type_ = "string", json_path = ".spec.lifecycle"),
    printcolumn(name = "Accepted", type_ = "string", json_path = ".status.conditions[?(@.type=='Accepted')].status"),
    printcolumn(name = "In use", type_ = "boolean", json_path = ".status.inUse"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    cel,
    validation = Rule::new("self.lifecycle == oldSelf.lifecycle || oldSelf.lifecycle == 'Draft' || (oldSelf.lifecycle == 'Published' && self.lifecycle != 'Draft') || self.lifecycle == 'Retired'").message("spec.lifecycle only moves forward (Draft, Published, Deprecated, Retired); make a new version instead").field_path(".lifecycle"),
    validation = Rule::new("oldSelf.lifecycle == 'Draft' || (self.applicationRef == oldSelf.applicationRef && self.version == oldSelf.version)").message("a published version cannot be changed; make a new version").field_path(".version"),
    validation = Rule::new("oldSelf.lifecycle == 'Draft' || self.manifests == oldSelf.manifests").message("manifests of a published version cannot be changed; make a new version").field_path(".manifests"),
    validation = Rule::new("oldSelf.lifecycle == 'Draft' || (has(self.secrets) ? has(oldSelf.secrets) && self.secrets == oldSelf.secrets : !has(oldSelf.secrets))").message("secrets of a published version cannot be changed; make a new version").field_path(".secrets"),
    validation = Rule::new("oldSelf.lifecycle == 'Draft' || (has(self.jobs) ? has(oldSelf.jobs) && self.jobs == oldSelf.jobs : !has(oldSelf.jobs))").message("jobs of a published version cannot be changed; make a new version").field_path(".jobs"),
    validation = Rule::new("oldSelf.lifecycle == 'Draft' || (has(self.endpoints) ? has(oldSelf.endpoints) && self.endpoints == oldSelf.endpoints : !has(oldSelf.endpoints))").message("endpoints of a published version cannot be changed; make a new version").field_path(".endpoints"),
)]
pub struct HostedApplicationVersionSpec {
    /// Application this is a version of.
    pub application_ref: Reference,
    /// Version, such as `4.2.1`.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub version: String,
    /// How far the version is in its life.
    pub lifecycle: Lifecycle,
    /// Templates of the objects the application consists of.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub manifests: Vec<Manifest>,
    /// Work on the tenant's data that items of the checklist ask for, as jobs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["role".into()]))]
    pub jobs: Vec<VersionJob>,
    /// Secrets that are generated once for each tenant. Templates hold only their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub secrets: Vec<GeneratedSecret>,
    /// Where the application answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub endpoints: Vec<Endpoint>,
}

/// Work on the tenant's data, as a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionJob {
    /// What the job is for.
    pub role: JobRole,
    /// Template of the Job. Its one container ends with a result as its termination message, and Tenantry names the Job and
    /// decides how often it runs.
    #[schemars(length(min = 1, max = 65536))]
    pub template: String,
}

/// What a job is for.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum JobRole {
    /// Brings the customer's data from the system before.
    Convert,
    /// Tests whether the application does what was ordered.
    #[default]
    Verify,
    /// Copies the tenant's data to where it can be restored from.
    Backup,
    /// Puts the tenant's data into formats that others read.
    Export,
}

/// A secret that is generated once for each tenant and never changed afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GeneratedSecret {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub name: String,
    /// What it holds.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub keys: Vec<SecretKey>,
}

/// One generated value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// Key in the Secret.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub name: String,
    /// Length of the value in characters of `[A-Za-z0-9]`, about six bits of randomness each.
    #[schemars(range(min = 16, max = 256))]
    pub length: i32,
}

/// Where the application answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Name of the endpoint, such as `web`.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub name: String,
    /// Service that answers.
    pub service_ref: ServiceReference,
}

/// A Service of the tenant and one of its ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceReference {
    /// Name of the Service.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub name: String,
    /// Port of the Service.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
}
