//! `tenantry exit`: how a subscription ends, how far it is, and a person's word on how it goes on. Needs a client.

use super::progress::mark;
use super::{Outcome, client, explain};
use crate::controller::roots::EXIT_ANNOTATION;
use anyhow::bail;
use clap::Args;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use std::fmt::Write;
use tenantry_checklist::exit::Wish;
use tenantry_checklist::time;
use tenantry_crds::TenantSubscription;
use tenantry_crds::blueprint::Category;
use tenantry_crds::subscription::DeletionPolicy;

/// Arguments of `tenantry exit`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Name of the subscription.
    name: String,
    /// Let the end go on without an export, or without waiting for one.
    #[arg(long)]
    skip_export: bool,
    /// Delete the data now that is kept for a while.
    #[arg(long)]
    end_keeping: bool,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let api: Api<TenantSubscription> = Api::all(client().await?);
    let name = &arguments.name;
    let subscription = api.get(name).await.map_err(|e| explain(e, "cannot read the subscription"))?;
    if !arguments.skip_export && !arguments.end_keeping {
        print!("{}", text(&subscription)?);
        return Ok(Outcome::Good);
    }
    if subscription.metadata.deletion_timestamp.is_none() {
        bail!("{name} is not being deleted, so nothing of its end can be cut short; {}", how(&subscription));
    }
    let said = subscription.metadata.annotations.as_ref().and_then(|all| all.get(EXIT_ANNOTATION));
    let said = Wish::parse(said.map(String::as_str));
    let wish = Wish {
        skip_export: said.skip_export || arguments.skip_export,
        end_keeping: said.end_keeping || arguments.end_keeping,
    };
    // The UID: a subscription that came after this one under its name is another one.
    let metadata =
        json!({"uid": subscription.metadata.uid, "annotations": {EXIT_ANNOTATION: wish.annotation()}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(json!({"metadata": metadata})))
        .await
        .map_err(|e| explain(e, "cannot annotate the subscription"))?;
    if arguments.skip_export {
        println!("{name} ends without an export of its data");
    }
    if arguments.end_keeping {
        println!("the data of {name} is not kept any longer");
    }
    Ok(Outcome::Good)
}

fn text(subscription: &TenantSubscription) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let name = subscription.metadata.name.as_deref().unwrap_or_default();
    let status = subscription.status.clone().unwrap_or_default();
    let policy = subscription.spec.deletion_policy;
    let Some(requested) = &subscription.metadata.deletion_timestamp else {
        writeln!(out, "{name} is not being deleted. {policy:?}: {}.", what(policy))?;
        writeln!(out, "{}", how(subscription))?;
        return Ok(out);
    };
    writeln!(out, "Policy:     {policy:?}: {}", what(policy))?;
    writeln!(out, "Requested:  {}", time::readable(time::instant(requested)))?;
    if let Some(purge_at) = &status.purge_at {
        writeln!(out, "Kept until: {}", time::readable(time::instant(purge_at)))?;
    }
    let steps: Vec<_> = status.checklist.iter().filter(|entry| entry.category == Category::Exit).collect();
    if steps.is_empty() {
        writeln!(out, "Everything is deleted; how far that is: kubectl tenantry describe {name}")?;
    }
    for step in steps {
        let state = format!("{:?}", step.state);
        writeln!(out, "  {} {:<13} {state:<8} {}", mark(step.state), step.name, step.message)?;
    }
    Ok(out)
}

/// What becomes of a customer's data.
fn what(policy: DeletionPolicy) -> &'static str {
    match policy {
        DeletionPolicy::ExportThenDelete => {
            "the data is exported, kept for the plan's grace period, and deleted"
        }
        DeletionPolicy::Archive => "nothing runs, the data is kept for the plan's retention, and deleted",
        DeletionPolicy::Delete => "everything is deleted at once",
        DeletionPolicy::Retain => "nobody gets in any more, and everything else stays",
    }
}

/// How its end is asked for.
fn how(subscription: &TenantSubscription) -> String {
    let name = subscription.metadata.name.as_deref().unwrap_or_default();
    let delete = format!("kubectl delete tenantsubscription {name}");
    match subscription.spec.deletion_protection {
        true => format!(
            "It is protected; to end it: kubectl patch tenantsubscription {name} --type=merge -p \
             '{{\"spec\":{{\"deletionProtection\":false}}}}' && {delete}"
        ),
        false => format!("To end it: {delete}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn subscription(metadata: Value, status: Value) -> TenantSubscription {
        let order = json!({
            "organization": {"name": "Acme", "country": "DE"}, "contacts": [],
            "planRef": {"name": "gold"}, "applicationRef": {"name": "erp", "version": "1"},
            "deletionPolicy": "Archive",
        });
        let all = json!({
            "apiVersion": "tenantry.io/v1alpha1", "kind": "TenantSubscription", "metadata": metadata,
            "spec": order, "status": status,
        });
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn who_is_not_being_deleted_is_told_what_would_happen_and_how_to_ask_for_it() {
        let text = text(&subscription(json!({"name": "acme"}), json!({}))).unwrap();
        assert!(text.contains("Archive: nothing runs") && text.contains("kubectl patch"), "{text}");
        assert!(text.contains("kubectl delete tenantsubscription acme"), "{text}");
    }

    #[test]
    fn an_end_shows_its_steps_and_until_when_the_data_is_kept() {
        let metadata = json!({"name": "acme", "deletionTimestamp": "2026-11-01T00:00:00Z"});
        let step = json!({
            "name": "exit-keep", "category": "Exit", "owner": "Provider", "state": "Waiting", "reason": "DataKept",
            "message": "the data is kept", "since": "2026-11-01T00:00:00Z", "attempts": 0,
        });
        let status = json!({"purgeAt": "2027-11-01T00:00:00Z", "checklist": [step]});
        let text = text(&subscription(metadata, status)).unwrap();
        assert!(text.contains("Kept until: 2027-11-01") && text.contains("exit-keep"), "{text}");
        assert!(text.contains("Waiting") && text.contains("the data is kept"), "{text}");
    }
}
