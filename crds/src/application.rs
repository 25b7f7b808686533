//! `HostedApplication`: what a provider hosts, and what a customer may choose about it.

use crate::common::{DNS_LABEL, Reference};
use crate::definition::DefinitionStatus;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An application that can be ordered. Its versions are objects of their own.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "tenantry.io",
    version = "v1alpha1",
    kind = "HostedApplication",
    doc = "An application that can be ordered.",
    plural = "hostedapplications",
    shortname = "happ",
    category = "tenantry",
    status = "DefinitionStatus",
    derive = "Default",
    derive = "PartialEq",
    cel,
    validation = Rule::new("self.metadata.name.size() <= 63").message("metadata.name must be at most 63 characters; choose a shorter name"),
    printcolumn(name = "Title", type_ = "string", json_path = ".spec.displayName"),
    printcolumn(name = "Blueprint", type_ = "string", json_path = ".spec.blueprintRef.name"),
    printcolumn(name = "Accepted", type_ = "string", json_path = ".status.conditions[?(@.type=='Accepted')].status"),
    printcolumn(name = "In use", type_ = "boolean", json_path = ".status.inUse"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct HostedApplicationSpec {
    /// Name people see.
    #[schemars(length(min = 1, max = 64))]
    pub display_name: String,
    /// What the application does, in a few sentences.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub description: String,
    /// JSON Schema of the parameters a customer chooses. Its defaults are filled in.
    #[serde(default = "empty_object", skip_serializing_if = "is_empty_object")]
    #[schemars(schema_with = "free_object")]
    pub parameters_schema: Value,
    /// How much the application needs for a customer's business; without it nothing is sized.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sizing: Option<SizingFormulas>,
    /// What is counted while the application runs. A plan may price any of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub meters: Vec<ApplicationMeter>,
    /// Checklist that carries a customer of this application to go-live.
    #[serde(default = "standard_blueprint")]
    pub blueprint_ref: Reference,
}

/// Formulas in CEL over `inputs` (the customer's business, as doubles), `plan` and `parameters`. Each gives a number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SizingFormulas {
    /// Cores that all pods request together, such as `0.5 + 0.04 * inputs.concurrentUsers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub cpu: Option<String>,
    /// Memory that all pods request together, in GiB.
    #[serde(default, rename = "memoryGiB", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub memory_gib: Option<String>,
    /// Size of all volumes together, in GiB.
    #[serde(default, rename = "storageGiB", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub storage_gib: Option<String>,
    /// Traffic out of one pod, in Mbit/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub bandwidth_mbit: Option<String>,
    /// Pods that run at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub instances: Option<String>,
}

/// Something that is counted while the application runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.source == oldSelf.source && has(self.of) == has(oldSelf.of) && (!has(self.of) || self.of == oldSelf.of)").message("a meter goes on counting what it counted; give another source to another meter, with a name of its own").field_path(".source"),
    validation = Rule::new("(self.source in ['Reserved', 'Used']) == has(self.of)").message("of says what was ordered, reserved or used; give it for the sources Reserved and Used and for no other").field_path(".of"),
    validation = Rule::new("!has(self.of) || self.source != 'Reserved' || self.of in ['Cpu', 'Memory', 'Storage', 'Seats']").message("Cpu, Memory, Storage and Seats can be reserved; give another of, or the source Used").field_path(".of"),
    validation = Rule::new("!has(self.of) || self.source != 'Used' || self.of in ['Cpu', 'Memory', 'Storage', 'Egress']").message("Cpu, Memory, Storage and Egress are measured while they are used; give another of, or the source Reserved").field_path(".of"),
    validation = Rule::new("!has(self.of) || self.unit == (self.of == 'Cpu' ? 'MillicoreSecond' : self.of in ['Memory', 'Storage'] ? 'MebibyteSecond' : self.of == 'Egress' ? 'Byte' : 'Seat')").message("Cpu is counted in MillicoreSecond, Memory and Storage in MebibyteSecond, Egress in Byte and Seats in Seat; correct unit").field_path(".unit"),
    validation = Rule::new("self.unit == oldSelf.unit").message("what was counted stays what it was; give another unit to another meter, with a name of its own").field_path(".unit"),
)]
pub struct ApplicationMeter {
    /// Name of the meter, which prices and events refer to.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub name: String,
    /// Where its numbers come from; another source never stands in for this one.
    pub source: MeterSource,
    /// What the sources Reserved and Used count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<MeterResource>,
    /// What its whole numbers count.
    pub unit: MeterUnit,
}

/// Where the numbers of a meter come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MeterSource {
    /// Events that the application, or a gateway of the provider's, sends to the billing address. Those of one hour add up.
    #[default]
    Events,
    /// What was ordered or reserved, as the journal has it, whether it was used or not.
    Reserved,
    /// What the pods in the tenant's namespace used, as the Prometheus measured it that the controller is told by
    /// `--prometheus-url`. An hour that it did not measure is missing until it can be read, and nothing stands in for it.
    Used,
}

/// What was ordered, reserved or used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MeterResource {
    /// Reserved: cores that the tenant's share of a pool of servers lets it request. Used: the time that its containers ran on
    /// cores.
    Cpu,
    /// Reserved: memory that the tenant's share of a pool of servers lets it request. Used: the working set of its containers.
    Memory,
    /// Reserved: what the storage classes of the plan let it claim together, since charges began. Used: what its volume claims ask
    /// for, mounted or not.
    Storage,
    /// Used: what its pods sent over their network, also to other pods of the cluster.
    Egress,
    /// People in `spec.users`, since charges began: the most of each hour.
    Seats,
}

/// What a meter counts, in whole numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum MeterUnit {
    /// Thousandths of a core, for a second.
    MillicoreSecond,
    /// MiB of memory or storage, for a second.
    MebibyteSecond,
    /// Bytes, of traffic for example.
    Byte,
    /// Requests that were answered.
    #[default]
    Request,
    /// People who have a seat.
    Seat,
    /// Anything else of which there are so many: documents, messages, jobs.
    Item,
}

impl MeterUnit {
    /// Its name, as definitions and events write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MillicoreSecond => "MillicoreSecond",
            Self::MebibyteSecond => "MebibyteSecond",
            Self::Byte => "Byte",
            Self::Request => "Request",
            Self::Seat => "Seat",
            Self::Item => "Item",
        }
    }
}

fn standard_blueprint() -> Reference {
    Reference { name: "standard".to_owned() }
}

pub(crate) fn empty_object() -> Value {
    Value::Object(serde_json::Map::new())
}

pub(crate) fn is_empty_object(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// An object of any shape: its own schema is data that the API server does not know.
pub(crate) fn free_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true, "maxProperties": 64 })
}
