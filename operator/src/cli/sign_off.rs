//! `tenantry sign-off`: a person's signature under one item. Needs a client.

use super::{Outcome, client, explain, who_am_i};
use crate::handover::sha256;
use anyhow::{Context, bail};
use clap::Args;
use kube::api::{Api, ObjectMeta, PostParams};
use std::path::{Path, PathBuf};
use tenantry_crds::sign_off::{EvidenceKind, SignOffEvidence, SubscriptionReference, TenantSignOffSpec};
use tenantry_crds::subscription::{ChecklistEntry, SignOffRequest};
use tenantry_crds::{TenantSignOff, TenantSubscription};

/// Arguments of `tenantry sign-off`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Name of the subscription.
    name: String,
    /// Item to sign.
    item: String,
    /// What you want to add, for people.
    #[arg(long, default_value = "")]
    note: String,
    /// Document that proves what is signed. Its name and digest are recorded, not its content. Can be given several times.
    #[arg(long, value_name = "FILE")]
    document: Vec<PathBuf>,
    /// Commit that brings the signature. Can be given several times.
    #[arg(long, value_name = "HASH")]
    commit: Vec<String>,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let client = client().await?;
    let subscriptions: Api<TenantSubscription> = Api::all(client.clone());
    let subscription =
        subscriptions.get(&arguments.name).await.map_err(|e| explain(e, "cannot read the subscription"))?;
    let evidence = evidence(arguments)?;
    let request = asked(&subscription, &arguments.item, &evidence)?.clone();
    let by = who_am_i(client.clone()).await?;
    let spec = TenantSignOffSpec {
        subscription_ref: SubscriptionReference {
            name: arguments.name.clone(),
            uid: subscription.metadata.uid.clone().unwrap_or_default(),
        },
        item: arguments.item.clone(),
        party: request.party,
        order_digest: request.order_digest,
        by: by.clone(),
        via: None,
        evidence,
        note: arguments.note.clone(),
    };
    let metadata = ObjectMeta {
        generate_name: Some(format!("{}-{}-", arguments.name, arguments.item)),
        ..ObjectMeta::default()
    };
    let object = TenantSignOff { metadata, spec };
    let api: Api<TenantSignOff> = Api::all(client);
    let made = api
        .create(&PostParams::default(), &object)
        .await
        .map_err(|e| explain(e, "the sign-off is refused"))?;
    let name = made.metadata.name.unwrap_or_default();
    println!("{} of {} signed by {by} as {:?}: {name}", arguments.item, arguments.name, request.party);
    Ok(Outcome::Good)
}

/// What is asked of whom, when it is asked and was not given.
fn asked<'a>(
    subscription: &'a TenantSubscription,
    item: &str,
    evidence: &[SignOffEvidence],
) -> anyhow::Result<&'a SignOffRequest> {
    let name = subscription.metadata.name.as_deref().unwrap_or_default();
    let checklist =
        subscription.status.as_ref().map(|status| status.checklist.as_slice()).unwrap_or_default();
    let Some(entry) = checklist.iter().find(|entry| entry.name == item) else {
        bail!("subscription {name} has no item {item:?}; to be signed: {}", signable(checklist));
    };
    let Some(request) = &entry.sign_off else {
        bail!("item {item} of {name} asks for no signature; to be signed: {}", signable(checklist));
    };
    if let Some(signature) = &request.signature {
        bail!("item {item} of {name} is signed already, by {}: {}", signature.by, signature.name);
    }
    if request.evidence_required && evidence.is_empty() {
        bail!("item {item} of {name} asks for proof; add --document FILE or --commit HASH");
    }
    Ok(request)
}

/// Items that ask for a signature and have none.
fn signable(checklist: &[ChecklistEntry]) -> String {
    let open = |entry: &&ChecklistEntry| entry.sign_off.as_ref().is_some_and(|r| r.signature.is_none());
    let names: Vec<&str> = checklist.iter().filter(open).map(|entry| entry.name.as_str()).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

fn evidence(arguments: &Arguments) -> anyhow::Result<Vec<SignOffEvidence>> {
    let documents = arguments.document.iter().map(|path| document(path));
    let commits = arguments.commit.iter().map(|commit| {
        Ok(SignOffEvidence { kind: EvidenceKind::Commit, name: commit.clone(), sha256: None, issuer: None })
    });
    documents.chain(commits).collect()
}

fn document(path: &Path) -> anyhow::Result<SignOffEvidence> {
    let content = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let sha256 = Some(sha256(&content));
    Ok(SignOffEvidence { kind: EvidenceKind::Document, name, sha256, issuer: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn acme() -> TenantSubscription {
        let at = "2026-12-01T06:00:00Z";
        let entry = |name: &str, sign_off: serde_json::Value| {
            json!({"name": name, "category": "Training", "owner": "Customer", "state": "Waiting", "reason": "SignOffMissing",
                "since": at, "signOff": sign_off})
        };
        serde_json::from_value(json!({
            "apiVersion": "tenantry.io/v1alpha1", "kind": "TenantSubscription", "metadata": {"name": "acme"},
            "spec": {"organization": {"name": "A", "country": "DE"}, "contacts": [], "planRef": {"name": "gold"},
                "applicationRef": {"name": "erp", "version": "1"}},
            "status": {"checklist": [
                entry("training", json!({"as": "Customer", "orderDigest": "d1", "evidenceRequired": true})),
                entry("contract", json!({"as": "Provider", "orderDigest": "d2",
                    "signature": {"name": "acme-contract-x", "by": "otto", "at": at}})),
                entry("network", json!(null)),
            ]},
        }))
        .unwrap()
    }

    #[test]
    fn what_cannot_be_signed_is_said_before_anything_is_sent() {
        let acme = acme();
        let proof = [SignOffEvidence::default()];
        for (item, evidence, expected) in [
            ("training", &proof[..], None),
            ("training", &[], Some("asks for proof; add --document FILE")),
            ("contract", &proof[..], Some("is signed already, by otto: acme-contract-x")),
            ("network", &proof[..], Some("asks for no signature; to be signed: training")),
            ("nonsense", &proof[..], Some("has no item \"nonsense\"; to be signed: training")),
        ] {
            let found = asked(&acme, item, evidence).map(|request| request.order_digest.as_str());
            match expected {
                None => assert_eq!(found.unwrap(), "d1"),
                Some(part) => assert!(found.unwrap_err().to_string().contains(part), "{item}"),
            }
        }
    }
}
