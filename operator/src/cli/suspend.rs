//! `tenantry suspend` and `tenantry resume`: takes a tenant's service away, and gives it back. Needs a client.

use super::{Outcome, client, explain, who_am_i};
use anyhow::bail;
use clap::{Args, ValueEnum};
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams, Preconditions};
use tenantry_crds::sign_off::SubscriptionReference;
use tenantry_crds::suspension::{LiftAuthority, SuspensionReason, SuspensionScope, TenantSuspensionSpec};
use tenantry_crds::{TenantSubscription, TenantSuspension};

/// Arguments of `tenantry suspend`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Name of the subscription.
    name: String,
    /// Why.
    #[arg(long)]
    reason: Reason,
    /// How much is taken away.
    #[arg(long, default_value = "all")]
    scope: Scope,
    /// What happened and what to do about it, for the customer.
    #[arg(long)]
    message: String,
    /// Who may lift it [default: the customer what the customer asks for, else the provider].
    #[arg(long)]
    lift: Option<Lift>,
}

/// Arguments of `tenantry resume`.
#[derive(Args, Debug)]
pub(crate) struct Resume {
    /// Name of the subscription.
    name: String,
    /// Suspensions to lift, by name; without any, the only one there is.
    suspensions: Vec<String>,
    /// Lift every suspension.
    #[arg(long, conflicts_with = "suspensions")]
    all: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Reason {
    Billing,
    Abuse,
    Fraud,
    Compliance,
    Administrative,
    Customer,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Scope {
    /// Nobody gets in; everything goes on running.
    Network,
    /// Nothing runs.
    Compute,
    /// Both.
    All,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Lift {
    /// The provider.
    Operator,
    /// The customer, and the provider.
    Consumer,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let client = client().await?;
    let subscription = subscription(client.clone(), &arguments.name).await?;
    let spec = spec(arguments, subscription, who_am_i(client.clone()).await?);
    let metadata =
        ObjectMeta { generate_name: Some(format!("{}-", arguments.name)), ..ObjectMeta::default() };
    let api: Api<TenantSuspension> = Api::all(client);
    let made = api
        .create(&PostParams::default(), &TenantSuspension { metadata, spec })
        .await
        .map_err(|e| explain(e, "the suspension is refused"))?;
    let name = made.metadata.name.unwrap_or_default();
    println!(
        "{} is suspended by {name}; lift it with: kubectl tenantry resume {} {name}",
        arguments.name, arguments.name
    );
    Ok(Outcome::Good)
}

fn spec(arguments: &Arguments, subscription_ref: SubscriptionReference, by: String) -> TenantSuspensionSpec {
    let reason = match arguments.reason {
        Reason::Billing => SuspensionReason::Billing,
        Reason::Abuse => SuspensionReason::Abuse,
        Reason::Fraud => SuspensionReason::Fraud,
        Reason::Compliance => SuspensionReason::Compliance,
        Reason::Administrative => SuspensionReason::Administrative,
        Reason::Customer => SuspensionReason::Customer,
    };
    let lift_authority = match (arguments.lift, reason) {
        (Some(Lift::Consumer), _) | (None, SuspensionReason::Customer) => LiftAuthority::Consumer,
        (Some(Lift::Operator) | None, _) => LiftAuthority::Operator,
    };
    let scope = match arguments.scope {
        Scope::Network => SuspensionScope::Network,
        Scope::Compute => SuspensionScope::Compute,
        Scope::All => SuspensionScope::All,
    };
    let message = arguments.message.clone();
    TenantSuspensionSpec { subscription_ref, reason, lift_authority, scope, message, requested_by: by }
}

pub(crate) async fn end(arguments: &Resume) -> anyhow::Result<Outcome> {
    let client = client().await?;
    let subscription = subscription(client.clone(), &arguments.name).await?;
    let api: Api<TenantSuspension> = Api::all(client);
    let all = api.list(&Default::default()).await.map_err(|e| explain(e, "cannot list suspensions"))?;
    let mut held: Vec<TenantSuspension> =
        all.items.into_iter().filter(|one| one.spec.subscription_ref == subscription).collect();
    held.sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
    for name in chosen(arguments, &held)? {
        let uid = held.iter().find(|one| one.metadata.name.as_deref() == Some(&name));
        let uid = uid.and_then(|one| one.metadata.uid.clone());
        let only = Preconditions { uid, resource_version: None };
        let parameters = DeleteParams { preconditions: Some(only), ..DeleteParams::default() };
        api.delete(&name, &parameters).await.map_err(|e| explain(e, &format!("{name} cannot be lifted")))?;
        held.retain(|one| one.metadata.name.as_deref() != Some(&name));
        println!("{name} is lifted");
    }
    match held.as_slice() {
        [] => println!("{} is served again", arguments.name),
        left => println!("{} stays suspended by {}", arguments.name, told(left)),
    }
    Ok(Outcome::Good)
}

/// The suspensions that shall be lifted.
fn chosen(arguments: &Resume, held: &[TenantSuspension]) -> anyhow::Result<Vec<String>> {
    let name = &arguments.name;
    let names: Vec<String> = held.iter().filter_map(|one| one.metadata.name.clone()).collect();
    if arguments.all {
        return Ok(names);
    }
    if let Some(unknown) = arguments.suspensions.iter().find(|asked| !names.contains(asked)) {
        bail!("{name} is not suspended by {unknown}; it is by: {}", told(held));
    }
    match (arguments.suspensions.as_slice(), names.as_slice()) {
        ([], []) => bail!("{name} is not suspended"),
        ([], [only]) => Ok(vec![only.clone()]),
        ([], _) => bail!("{name} is suspended by several; name those to lift, or use --all: {}", told(held)),
        (asked, _) => Ok(asked.to_vec()),
    }
}

fn told(held: &[TenantSuspension]) -> String {
    let one = |one: &TenantSuspension| {
        let name = one.metadata.name.as_deref().unwrap_or_default();
        format!("{name} ({:?}: {})", one.spec.reason, one.spec.message)
    };
    match held {
        [] => "nothing".to_owned(),
        held => held.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}

async fn subscription(client: kube::Client, name: &str) -> anyhow::Result<SubscriptionReference> {
    let api: Api<TenantSubscription> = Api::all(client);
    let found = api.get(name).await.map_err(|e| explain(e, "cannot read the subscription"))?;
    Ok(SubscriptionReference { name: name.to_owned(), uid: found.metadata.uid.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(name: &str) -> TenantSuspension {
        let spec = TenantSuspensionSpec { message: "pay".to_owned(), ..TenantSuspensionSpec::default() };
        TenantSuspension {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            spec,
        }
    }

    #[test]
    fn what_shall_be_lifted_is_said_or_clear() {
        let asks = |suspensions: &[&str], all| Resume {
            name: "acme".to_owned(),
            suspensions: suspensions.iter().map(|name| (*name).to_owned()).collect(),
            all,
        };
        let two = [held("acme-a"), held("acme-b")];
        let (none, one) = (&two[..0], &two[..1]);
        let several = "acme is suspended by several; name those to lift, or use --all: acme-a (";
        let cases = [
            (asks(&[], false), none, Err("acme is not suspended")),
            (asks(&[], true), none, Ok(&[][..])),
            (asks(&[], false), one, Ok(&["acme-a"][..])),
            (asks(&[], false), &two, Err(several)),
            (asks(&[], true), &two, Ok(&["acme-a", "acme-b"][..])),
            (asks(&["acme-b"], false), &two, Ok(&["acme-b"][..])),
            (asks(&["acme-c"], false), &two, Err("acme is not suspended by acme-c; it is by: acme-a (")),
        ];
        for (arguments, held, expected) in cases {
            match (chosen(&arguments, held), expected) {
                (Ok(names), Ok(expected)) => assert_eq!(names, expected),
                (Err(error), Err(told)) => assert!(error.to_string().starts_with(told), "{error}"),
                (found, _) => panic!("{found:?} instead of {expected:?}"),
            }
        }
    }

    #[test]
    fn what_a_customer_asks_for_the_customer_can_lift() {
        let lifts = |reason, lift| {
            let (name, message) = ("acme".to_owned(), "m".to_owned());
            let arguments = Arguments { name, reason, scope: Scope::All, message, lift };
            spec(&arguments, SubscriptionReference::default(), "ada".to_owned()).lift_authority
        };
        assert_eq!(lifts(Reason::Customer, None), LiftAuthority::Consumer);
        assert_eq!(lifts(Reason::Billing, None), LiftAuthority::Operator);
        assert_eq!(lifts(Reason::Billing, Some(Lift::Consumer)), LiftAuthority::Consumer);
    }
}
