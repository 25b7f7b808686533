//! What the journal keeps of a subscription, in the form in which a status carries it.

use super::revisions::AcceptedRevisions;
use crate::common::is_zero;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How an item came to an end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Conclusion {
    /// Number among the item's ends over the whole life of the tenant.
    #[schemars(range(min = 1))]
    pub number: i32,
    /// How it ended.
    pub outcome: Outcome,
    /// When the item had begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When its work was done; after that somebody was waited for.
    pub worked_at: Time,
    /// When it ended.
    pub at: Time,
    /// Whether the item began anew since, so that its next end is another one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reopened: bool,
}

/// How an item ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Outcome {
    /// Evidence showed that it is done.
    Done,
    /// It was refused too often or took too long.
    Failed,
    /// It did not apply.
    Skipped,
}

/// Something that happened, as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JournalFact {
    /// What makes it one fact, however often it is told.
    #[schemars(length(min = 1, max = 400))]
    pub id: String,
    /// Number of the operation it belongs to.
    #[schemars(range(min = 1))]
    pub operation: i32,
    /// What it is about.
    pub subject: JournalSubject,
    /// Item it is about; empty for what is about the whole tenant.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub item: String,
    /// What came of it, in one word.
    #[schemars(length(min = 1, max = 32))]
    pub outcome: String,
    /// Revisions of definitions that the tenant ran.
    pub accepted: AcceptedRevisions,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it happened, or ended.
    pub at: Time,
    /// Seconds of work of the machines.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0))]
    pub machine_seconds: i64,
    /// Seconds in which somebody was waited for.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0))]
    pub people_seconds: i64,
    /// Definite refusals, or the number of the run.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0))]
    pub attempts: i32,
    /// Who did it.
    #[schemars(length(max = 253))]
    pub actor: String,
    /// What proves it, as JSON.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 4096))]
    pub evidence: String,
}

/// What a fact of the journal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum JournalSubject {
    /// One run over the checklist.
    Operation,
    /// One item of it.
    Item,
    /// One run of an item's job.
    Run,
    /// One signature.
    Signature,
    /// One suspension.
    Suspension,
    /// One change to another plan.
    PlanChange,
    /// The charges for the tenant.
    Charges,
    /// What the tenant has of the provider's servers.
    Servers,
    /// The tenant as a whole.
    Tenant,
    /// One document that the customer is given at the end; the evidence holds it.
    Document,
    /// One object that could not be removed at the end, or could be later.
    Leftover,
}
