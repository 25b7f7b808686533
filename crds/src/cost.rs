//! What units cost who sells them.

use crate::common::{DECIMAL, DNS_LABEL};
use crate::prices::{AMOUNT, CURRENCY};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What something costs the seller. Nobody is billed by it: it is compared with what was sold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.servers) != has(self.meter)").message("a cost is that of servers or of what a meter counts; give one of servers and meter").field_path(".servers"))]
pub struct IssuerCost {
    /// A share of servers, whether it is used or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers: Option<ServersCost>,
    /// What a meter counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meter: Option<MeterCost>,
    /// In what it is paid, as a code of ISO 4217. It is compared with what was sold in this currency and in no other.
    #[schemars(length(min = 3, max = 3), regex(pattern = CURRENCY))]
    pub currency: String,
    /// First day on which it holds, such as `2027-01-01`; from ever without one. Of several costs of one thing in one currency the
    /// latest that holds on a day counts, so that what is over keeps what it cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 10, max = 10),
        regex(pattern = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$")
    )]
    pub valid_from: Option<String>,
}

/// What a share of servers costs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.coreHour) || has(self.gibibyteHour)").message("a share of servers costs by its cores or by its memory; give coreHour, gibibyteHour or both").field_path(".coreHour"))]
pub struct ServersCost {
    /// What price lists call the share: `priceKey` of the pool, or its name where it has none.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub key: String,
    /// Cost of a core for an hour, with up to twelve decimals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 28), regex(pattern = AMOUNT))]
    pub core_hour: Option<String>,
    /// Cost of a GiB of memory for an hour, with up to twelve decimals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 28), regex(pattern = AMOUNT))]
    pub gibibyte_hour: Option<String>,
}

/// What costs by a meter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeterCost {
    /// Application that declares the meter.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub application: String,
    /// Name of the meter.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub name: String,
    /// How many of the meter's units have the cost together; one where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 19), regex(pattern = DECIMAL))]
    pub per: Option<String>,
    /// The cost, with up to twelve decimals.
    #[schemars(length(min = 1, max = 28), regex(pattern = AMOUNT))]
    pub cost: String,
}
