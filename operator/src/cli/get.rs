//! `tenantry get`: subscriptions as a table. Needs a client.

use super::{Outcome, client, explain};
use clap::Args;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, ListParams};
use tenantry_checklist::time;
use tenantry_crds::TenantSubscription;

/// Arguments of `tenantry get`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Only this subscription.
    name: Option<String>,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let api: Api<TenantSubscription> = Api::all(client().await?);
    let mut subscriptions = match &arguments.name {
        Some(name) => vec![api.get(name).await.map_err(|e| explain(e, "cannot read the subscription"))?],
        None => {
            api.list(&ListParams::default()).await.map_err(|e| explain(e, "cannot list subscriptions"))?.items
        }
    };
    if subscriptions.is_empty() {
        eprintln!("there are no subscriptions");
        return Ok(Outcome::Good);
    }
    subscriptions.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    print!("{}", table(&subscriptions, Timestamp::now()));
    Ok(Outcome::Good)
}

const HEADER: [&str; 8] =
    ["NAME", "PLAN", "APPLICATION", "VERSION", "PHASE", "PROGRESS", "WAITING FOR", "AGE"];

/// The subscriptions as lines of aligned columns.
fn table(subscriptions: &[TenantSubscription], now: Timestamp) -> String {
    let rows: Vec<_> = subscriptions.iter().map(|subscription| row(subscription, now)).collect();
    super::table::table(&HEADER.map(str::to_owned), &rows)
}

fn row(subscription: &TenantSubscription, now: Timestamp) -> [String; 8] {
    let status = subscription.status.clone().unwrap_or_default();
    let created = subscription.metadata.creation_timestamp.as_ref();
    [
        subscription.metadata.name.clone().unwrap_or_default(),
        subscription.spec.plan_ref.name.clone(),
        subscription.spec.application_ref.name.clone(),
        subscription.spec.application_ref.version.clone(),
        status.phase.map(|phase| format!("{phase:?}")).unwrap_or_default(),
        status.progress,
        status.waiting_for,
        created.map(|time| age(time, now)).unwrap_or_default(),
    ]
}

/// An age in the unit that fits, as kubectl prints it.
pub(super) fn age(since: &Time, now: Timestamp) -> String {
    time::length(now.duration_since(time::instant(since)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenantry_crds::{TenantSubscriptionSpec, TenantSubscriptionStatus};

    #[test]
    fn columns_are_aligned_and_names_in_any_script_fit() {
        let mut first = TenantSubscription::new("acme", TenantSubscriptionSpec::default());
        first.spec.plan_ref.name = "gold".to_owned();
        first.status = Some(TenantSubscriptionStatus {
            progress: "9/12".to_owned(),
            waiting_for: "Customer: schöne-übung".to_owned(),
            ..TenantSubscriptionStatus::default()
        });
        let second = TenantSubscription::new("a-much-longer-name", TenantSubscriptionSpec::default());
        let text = table(&[first, second], Timestamp::UNIX_EPOCH);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].find("PLAN"), lines[1].find("gold"));
        assert_eq!(lines.len(), 3);
        assert!(lines[1].contains("9/12"));
    }

    #[test]
    fn ages_are_read_at_a_glance() {
        let at =
            |seconds: i64| age(&time::time(Timestamp::UNIX_EPOCH), Timestamp::from_second(seconds).unwrap());
        assert_eq!([at(5), at(119), at(120), at(7200), at(172_800)], ["5s", "119s", "2m", "2h", "2d"]);
        assert_eq!(
            age(&time::time(Timestamp::from_second(9).unwrap()), Timestamp::UNIX_EPOCH),
            "0s",
            "clocks differ"
        );
    }
}
