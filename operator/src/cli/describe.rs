//! `tenantry describe`: one subscription for people. Needs a client.

use super::progress::mark;
use super::{Outcome, client, explain, get::age, progress};
use clap::Args;
use jiff::Timestamp;
use kube::api::Api;
use std::fmt::Write;
use tenantry_checklist::{sizing, time};
use tenantry_crds::subscription::ChecklistEntry;
use tenantry_crds::{TenantSubscription, TenantSubscriptionStatus};

/// Arguments of `tenantry describe`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Name of the subscription.
    name: String,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let api: Api<TenantSubscription> = Api::all(client().await?);
    let subscription =
        api.get(&arguments.name).await.map_err(|e| explain(e, "cannot read the subscription"))?;
    print!("{}", text(&subscription, Timestamp::now())?);
    Ok(Outcome::Good)
}

fn text(subscription: &TenantSubscription, now: Timestamp) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let spec = &subscription.spec;
    let status = subscription.status.clone().unwrap_or_default();
    writeln!(out, "Name:          {}", subscription.metadata.name.as_deref().unwrap_or_default())?;
    writeln!(out, "Organization:  {} ({})", spec.organization.name, spec.organization.country)?;
    for contact in &spec.contacts {
        writeln!(out, "Contact:       {:?}: {} <{}>", contact.role, contact.name, contact.email)?;
    }
    let current = status.plan.as_ref().map(|plan| plan.current.as_str());
    writeln!(out, "Plan:          {}", current.unwrap_or(&spec.plan_ref.name))?;
    if let Some(change) = progress::plan_change(&status, now) {
        writeln!(out, "Plan changes:  {change}")?;
    }
    writeln!(out, "Application:   {} {}", spec.application_ref.name, spec.application_ref.version)?;
    for user in &spec.users {
        let roles: Vec<String> = user.roles.iter().map(|role| format!("{role:?}").to_lowercase()).collect();
        let person = if user.display_name.is_empty() { &user.name } else { &user.display_name };
        writeln!(out, "User:          {}: {person} <{}>, {}", user.name, user.email, roles.join(", "))?;
    }
    if let Some(phase) = status.phase {
        writeln!(out, "Phase:         {phase:?}, {} items", status.progress)?;
    }
    if !status.waiting_for.is_empty() {
        writeln!(out, "Waiting for:   {}", status.waiting_for)?;
    }
    if let Some(operation) = &status.operation {
        writeln!(out, "Operation:     {}", progress::operation(operation, &status.checklist, now))?;
    }
    if let Some(go_live) = &status.go_live {
        writeln!(out, "Live since:    {}", progress::go_live(go_live, now))?;
    }
    if let Some(sizing) = &status.sizing {
        writeln!(out, "Size:          {}", sizing::told(sizing))?;
    }
    tenant(&mut out, &status)?;
    checklist(&mut out, &status.checklist, now)?;
    conditions(&mut out, &status)?;
    Ok(out)
}

fn tenant(out: &mut String, status: &TenantSubscriptionStatus) -> std::fmt::Result {
    if let Some(tenant) = &status.tenant {
        writeln!(out, "Tenant:        {} in namespace {}", tenant.id, tenant.namespace)?;
        for endpoint in &tenant.endpoints {
            writeln!(out, "Endpoint:      {}: {}", endpoint.name, endpoint.url)?;
        }
    }
    if let Some(has) = &status.servers {
        let nodes = if has.nodes.is_empty() { String::new() } else { format!(": {}", has.nodes.join(", ")) };
        let power = has.chip_power.as_ref().map(|power| format!(" of power {power}")).unwrap_or_default();
        let (cpu, memory) = (&has.amounts.cpu, &has.amounts.memory);
        writeln!(out, "Servers:       {cpu} cores{power} and {memory} in pool {}{nodes}", has.pool)?;
    }
    if let Some(accepted) = &status.accepted {
        writeln!(
            out,
            "Runs:          {}, {}, {}, {}",
            accepted.plan, accepted.application, accepted.version, accepted.blueprint
        )?;
    }
    if let Some(inventory) = &status.inventory {
        writeln!(out, "Objects:       {}", inventory.objects.len())?;
    }
    Ok(())
}

fn checklist(out: &mut String, entries: &[ChecklistEntry], now: Timestamp) -> std::fmt::Result {
    if entries.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nChecklist:")?;
    for entry in entries {
        let mark = mark(entry.state);
        let since = age(&entry.since, now);
        writeln!(
            out,
            "  {mark} {:<14} {:<8} {:<8} {since:>5}  {}",
            entry.name,
            format!("{:?}", entry.state),
            format!("{:?}", entry.owner),
            entry.message
        )?;
        if let Some(due) = &entry.due {
            let due = time::instant(due);
            let late = if entry.overdue { "overdue: " } else { "" };
            writeln!(out, "      {late}due {} ({})", time::readable(due), time::distance(due, now))?;
        }
        let elapsed = progress::elapsed(entry, now);
        if !elapsed.is_empty() {
            writeln!(out, "      time: {elapsed}")?;
        }
        if entry.attempts > 0 {
            let next =
                entry.next_retry_at.as_ref().map(|at| format!(", next at {}", at.0)).unwrap_or_default();
            writeln!(out, "      attempts: {}{next}", entry.attempts)?;
        }
    }
    Ok(())
}

fn conditions(out: &mut String, status: &TenantSubscriptionStatus) -> std::fmt::Result {
    if status.conditions.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nConditions:")?;
    for condition in &status.conditions {
        writeln!(
            out,
            "  {:<18} {:<7} {}: {}",
            condition.type_,
            format!("{:?}", condition.status),
            condition.reason,
            condition.message
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenantry_crds::TenantSubscriptionSpec;
    use tenantry_crds::blueprint::{Category, Party};
    use tenantry_crds::subscription::ItemState;

    #[test]
    fn a_failed_item_shows_its_message_and_attempts() {
        let mut subscription = TenantSubscription::new("acme", TenantSubscriptionSpec::default());
        let entry = ChecklistEntry {
            name: "network".to_owned(),
            category: Category::Network,
            owner: Party::Provider,
            state: ItemState::Failed,
            reason: "Refused".to_owned(),
            message: "run kubectl tenantry retry acme network".to_owned(),
            since: tenantry_checklist::time::time(Timestamp::UNIX_EPOCH),
            started_at: None,
            attempts: 5,
            next_retry_at: None,
            input_digest: None,
            objects: 0,
            sign_off: None,
            job: None,
            due: Some(time::time(Timestamp::from_second(30).unwrap())),
            overdue: true,
            estimated_seconds: None,
            conclusion: None,
        };
        subscription.status =
            Some(TenantSubscriptionStatus { checklist: vec![entry], ..TenantSubscriptionStatus::default() });
        let text = text(&subscription, Timestamp::from_second(60).unwrap()).unwrap();
        assert!(
            text.contains(
                "✘ network        Failed   Provider   60s  run kubectl tenantry retry acme network"
            ),
            "{text}"
        );
        assert!(text.contains("      overdue: due 1970-01-01T00:00:30Z (30s ago)\n"), "{text}");
        assert!(text.contains("attempts: 5\n"), "{text}");
    }
}
