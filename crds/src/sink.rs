//! Systems that documents are delivered to.

use crate::common::DNS_LABEL;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A system that is told of documents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.webhook), has(self.folder), has(self.stripe), has(self.killBill)].filter(is, is).size() == 1").message("a sink is of one kind; write one of webhook, folder, stripe and killBill"))]
pub struct Sink {
    /// Name of the sink, and what its keys in the Secret `tenantry-sinks` begin with.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub name: String,
    /// A POST of each document, signed after Standard Webhooks. The Secret holds the key `NAME.secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<SinkAddress>,
    /// Files in a folder that is mounted into the controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<SinkFolder>,
    /// What is left to pay, as an invoice of Stripe. The Secret holds the key `NAME.key`, and `NAME.callback` where Stripe calls back: the
    /// secret by which it signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stripe: Option<SinkAddress>,
    /// What is left to pay, as an external charge of Kill Bill. The Secret holds the keys `NAME.apiKey`, `NAME.apiSecret`,
    /// `NAME.user` and `NAME.password`, and `NAME.callback` where Kill Bill calls back: the word that is in the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill_bill: Option<SinkAddress>,
}

/// Where a system is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SinkAddress {
    /// Address, with TLS unless it is this machine.
    #[schemars(length(min = 8, max = 512), regex(pattern = r"^https?://[^\s/?#]+(/[^\s?#]*)?$"))]
    pub url: String,
}

/// Files of each document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SinkFolder {
    /// Folder in the controller's file system.
    #[schemars(length(min = 2, max = 256), regex(pattern = r"^/[^\s]*$"))]
    pub path: String,
    /// What is written of each document.
    #[serde(default = "json_and_html")]
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub forms: Vec<DocumentForm>,
}

/// What a document is written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DocumentForm {
    /// JSON.
    #[default]
    Json,
    /// A page to read and print.
    Html,
    /// EN 16931 in UBL 2.1.
    Ubl,
    /// EN 16931 in UN/CEFACT CII.
    Cii,
}

fn json_and_html() -> Vec<DocumentForm> {
    vec![DocumentForm::Json, DocumentForm::Html]
}
