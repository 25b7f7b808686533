//! `TenantSignOff`: one person's signature under one item of a tenant's checklist.

use crate::blueprint::Party;
use crate::common::DNS_LABEL;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

// The lint takes equal words of two print columns for one attribute written twice.
#[allow(clippy::duplicated_attributes, reason = "each print column has a type of its own")]
/// One signature. It is never changed; who wants to say something else signs again.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "tenantry.io",
    version = "v1alpha1",
    kind = "TenantSignOff",
    doc = "One person's signature under one item of a tenant's checklist.",
    plural = "tenantsignoffs",
    shortname = "tso",
    category = "tenantry",
    derive = "Default",
    derive = "PartialEq",
    cel,
    printcolumn(name = "Subscription", type_ = "string", json_path = ".spec.subscriptionRef.name"),
    printcolumn(name = "Item", type_ = "string", json_path = ".spec.item"),
    printcolumn(name = "As", type_ = "string", json_path = ".spec.as"),
    printcolumn(name = "By", type_ = "string", json_path = ".spec.by"),
    printcolumn(name = "Carried by", type_ = "string", json_path = ".spec.via"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    cel,
    validation = Rule::new("self == oldSelf").message("a sign-off cannot be changed; sign again, and the latest one counts"),
    validation = Rule::new("!has(self.via) || (has(self.evidence) && self.evidence.size() > 0)").message("who carries another person's sign-off states how that person was recognised; add evidence, such as the identity or the commit").field_path(".evidence"),
)]
pub struct TenantSignOffSpec {
    /// Subscription whose checklist the item is on.
    pub subscription_ref: SubscriptionReference,
    /// Item that is signed.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub item: String,
    /// For whom the person signs. It must be whom the item asks for.
    #[serde(rename = "as")]
    pub party: Party,
    /// Digest of what is signed, as the item's entry in the subscription's status has it. When what is signed changes,
    /// the signature lapses.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[0-9a-f]+$"))]
    pub order_digest: String,
    /// Name of the person who signs, as the API server knows it; with `via`, as the carrier knows it.
    #[schemars(length(min = 1, max = 253))]
    pub by: String,
    /// Name of who carries the signature, such as a portal or a deployment pipeline, as the API server knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub via: Option<String>,
    /// What proves that the person signed, or what the signature is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub evidence: Vec<SignOffEvidence>,
    /// What the person wants to add, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub note: String,
}

/// A subscription and the identity of the object, so that a later one of the same name is not signed for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionReference {
    /// Name of the subscription.
    #[schemars(length(min = 1, max = 50), regex(pattern = DNS_LABEL))]
    pub name: String,
    /// UID of the subscription.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
}

/// One proof.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.kind != 'Document' || has(self.sha256)").message("a document is named with its digest; add sha256, such as sha256sum prints it").field_path(".sha256"),
    validation = Rule::new("self.kind != 'Identity' || has(self.issuer)").message("an identity is named with who vouches for it; add issuer, the address of the identity provider").field_path(".issuer"),
)]
pub struct SignOffEvidence {
    /// What kind of proof it is.
    pub kind: EvidenceKind,
    /// Name of the document, subject of the identity, or the commit.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Digest of the document, as 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 64, max = 64), regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
    /// Who vouches for the identity: the issuer of its token (OpenID Connect).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub issuer: Option<String>,
}

/// What kind of proof a sign-off has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EvidenceKind {
    /// A document, such as a list of attendance.
    #[default]
    Document,
    /// The identity with which the person signed in at the carrier.
    Identity,
    /// The commit that brought the signature.
    Commit,
}
