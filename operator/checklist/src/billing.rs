//! Who pays for a tenant, from when on, and what of its life the ledger has to know; pure.
//!
//! The ledger learns of a tenant from the journal alone: that charges began, changes of plan that took effect, suspensions and the
//! end, each with the instant at which it really happened. The journal has each fact once, whoever crashes when, and what
//! the ledger keeps of it carries the fact's id, so the ledger has each once as well.

use crate::item::{Evidence, Waiting};
use crate::order::Order;
use crate::select::Definitions;
use crate::time;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tenantry_crds::application::{ApplicationMeter, MeterResource, MeterSource};
use tenantry_crds::billing::{DunningStage, OrderBilling, StartOn};
use tenantry_crds::prices::ChargeUnit;
use tenantry_crds::quantity::Quantity;
use tenantry_crds::subscription::{BilledQuantities, BillingStatus, BusinessInputs, User};
use tenantry_crds::{TenantSubscriptionSpec, TenantSubscriptionStatus};

/// Key of the fact that charges began.
pub const BEGAN: &str = "charges/began";
/// Outcome of the fact that something was counted.
pub const COUNTED: &str = "Counted";
/// Why an order of a plan without prices is not billed.
pub const FREE: &str = "the plan has no prices";
/// Reason of a billing item whose order names nobody who pays.
pub const ACCOUNT_NOT_NAMED: &str = "AccountNotNamed";
/// Reason of a billing item whose account the ledger does not have yet.
pub const LEDGER_PENDING: &str = "LedgerPending";

/// Who pays for an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payer<'a> {
    /// Nobody: there is nothing to pay.
    Free,
    /// Nobody, although the plan has prices.
    Missing,
    /// An account, at pinned prices.
    Account {
        /// Its name.
        account: &'a str,
        /// The name of the price list.
        price_list: &'a str,
    },
}

/// Who pays for an order.
#[must_use]
pub fn payer(order: &Order) -> Payer<'_> {
    match (&order.definitions.price_list, &order.billing) {
        (None, _) => Payer::Free,
        (Some(_), None) => Payer::Missing,
        (Some(price_list), Some(billing)) => {
            Payer::Account { account: &billing.account_ref.name, price_list }
        }
    }
}

/// What the ledger knows of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The account that it has, with the prices of the order.
    pub account: String,
    /// The day of the next invoice with something of the tenant on it.
    pub next_invoice: Option<String>,
    /// What of the tenant is on it, without tax.
    pub committed: Option<String>,
    /// What is open of the account's invoices, where anything is.
    pub open: Option<String>,
    /// When the oldest of these was or is to be paid.
    pub oldest_due: Option<String>,
    /// How far the account is taken because it does not pay.
    pub dunning: Option<DunningStage>,
}

/// Evidence of a billing item. What the ledger has it keeps, so what a status says of it is still true while the ledger cannot be
/// asked; `trouble` says why it is not there yet.
#[must_use]
pub fn evidence(
    payer: &Payer<'_>,
    status: &TenantSubscriptionStatus,
    known: Option<&Known>,
    trouble: Option<String>,
) -> Evidence {
    let waits = |reason: &str, message: String| Evidence {
        desired: 1,
        waiting: Some(Waiting { reason: reason.to_owned(), message }),
        ..Evidence::default()
    };
    match payer {
        Payer::Free => Evidence::default(),
        Payer::Missing => waits(
            ACCOUNT_NOT_NAMED,
            "the plan has prices and the order names nobody who pays; name a BillingAccount in spec.billing.accountRef"
                .to_owned(),
        ),
        Payer::Account { account, .. } => {
            let told = status.billing.as_ref().is_some_and(|billing| billing.account == *account);
            match told || known.is_some_and(|known| known.account == *account) {
                true => Evidence { desired: 1, live: 1, ..Evidence::default() },
                false => waits(
                    LEDGER_PENDING,
                    trouble.unwrap_or_else(|| format!("the ledger is told of account {account}")),
                ),
            }
        }
    }
}

/// Evidence of a billing item for which nothing can be rendered: what the ledger has it keeps.
#[must_use]
pub fn kept(status: &TenantSubscriptionStatus) -> Evidence {
    Evidence { desired: 1, live: usize::from(status.billing.is_some()), ..Evidence::default() }
}

/// The status of billing. What began stays begun.
#[must_use]
pub fn status(
    order: &Order,
    previous: &TenantSubscriptionStatus,
    live: Option<&Time>,
    known: Option<&Known>,
    ordered: Timestamp,
    now: Timestamp,
) -> Option<BillingStatus> {
    let Payer::Account { account, .. } = payer(order) else { return previous.billing.clone() };
    let before = previous.billing.as_ref().filter(|before| before.account == account);
    if before.is_none() && known.is_none_or(|known| known.account != account) {
        return previous.billing.clone();
    }
    let since = before.and_then(|before| before.since.clone());
    let since = since.or_else(|| {
        let billing = order.billing.as_ref()?;
        began(billing, live.map(time::instant), ordered, now).map(time::time)
    });
    let quantities = since.as_ref().map(|since| {
        let known = before.and_then(|before| before.quantities.as_ref());
        counted(&order.users, order.inputs.as_ref(), storage(order), known, time::instant(since), now)
    });
    let shown = match known {
        Some(known) => BillingStatus {
            next_invoice_date: known.next_invoice.clone(),
            committed_amount: known.committed.clone(),
            open_amount: known.open.clone(),
            oldest_due_date: known.oldest_due.clone(),
            dunning: known.dunning,
            ..BillingStatus::default()
        },
        None => before.cloned().unwrap_or_default(),
    };
    Some(BillingStatus { account: account.to_owned(), since, quantities, ..shown })
}

/// What the plan's storage classes let a tenant claim together, in MiB, where its application counts that. Who does not count it is
/// not counted anew when a plan changes it.
fn storage(order: &Order) -> Option<i64> {
    let Definitions { plan, application, .. } = &order.definitions;
    let is_counted = |meter: &ApplicationMeter| {
        meter.source == MeterSource::Reserved && meter.of == Some(MeterResource::Storage)
    };
    application.spec.meters.iter().any(is_counted).then_some(())?;
    let classes = plan.spec.storage.classes.iter();
    // The plan's schema lets quantities alone through.
    let sizes = classes.filter_map(|class| class.total_capacity.parse::<Quantity>().ok());
    Some(sizes.fold(Quantity::default(), Quantity::plus).mebibytes())
}

/// When charges began, if they did.
fn began(
    billing: &OrderBilling,
    live: Option<Timestamp>,
    ordered: Timestamp,
    now: Timestamp,
) -> Option<Timestamp> {
    match billing.start_on {
        StartOn::SignUp => Some(ordered),
        StartOn::GoLive => {
            let latest = latest(billing).filter(|latest| *latest <= now);
            [live, latest].into_iter().flatten().min()
        }
    }
}

/// What of an order is counted: as it was, where it is still the same, or anew from now on.
fn counted(
    users: &[User],
    inputs: Option<&BusinessInputs>,
    storage_mib: Option<i64>,
    before: Option<&BilledQuantities>,
    since: Timestamp,
    now: Timestamp,
) -> BilledQuantities {
    let from = |revision: i32, since: Time| BilledQuantities {
        revision,
        since,
        seats: i64::try_from(users.len()).unwrap_or(i64::MAX),
        named_users: inputs.map_or(0, |inputs| inputs.named_users),
        concurrent_users: inputs.map_or(0, |inputs| inputs.concurrent_users),
        storage_mib,
    };
    match before {
        // What was counted first holds since charges began, however late that is known.
        None => from(1, time::time(since)),
        Some(before) => match from(before.revision, before.since.clone()) {
            same if same == *before => same,
            _ => from(before.revision.saturating_add(1), time::time(now)),
        },
    }
}

/// How many of each unit there are, by the unit's name in price lists.
#[must_use]
pub fn by_unit(counted: &BilledQuantities) -> BTreeMap<String, i64> {
    let BilledQuantities { revision: _, since: _, seats, named_users, concurrent_users, storage_mib: _ } =
        counted;
    let all = [
        (ChargeUnit::Seat, seats),
        (ChargeUnit::NamedUser, named_users),
        (ChargeUnit::ConcurrentUser, concurrent_users),
    ];
    all.into_iter().map(|(unit, count)| (unit_name(unit), *count)).collect()
}

/// How many of each unit an order would have from now on.
#[must_use]
pub fn ordered_quantities(spec: &TenantSubscriptionSpec) -> BTreeMap<String, i64> {
    by_unit(&counted(
        &spec.users,
        spec.inputs.as_ref(),
        None,
        None,
        Timestamp::UNIX_EPOCH,
        Timestamp::UNIX_EPOCH,
    ))
}

/// The name of a unit in price lists.
#[must_use]
pub fn unit_name(unit: ChargeUnit) -> String {
    format!("{unit:?}")
}

/// What of [`counted_evidence`] is no unit that prices count: what may be claimed of storage, in MiB.
pub const STORAGE: &str = "storageMiB";

/// What the fact says that something was counted anew, with its key.
#[must_use]
pub fn counted_evidence(status: &TenantSubscriptionStatus) -> Option<(String, Value, Timestamp)> {
    let counted = status.billing.as_ref()?.quantities.as_ref()?;
    let key = format!("charges/quantities/{}", counted.revision);
    let storage = counted.storage_mib.map(|size| (STORAGE.to_owned(), size));
    let counts: BTreeMap<String, i64> = by_unit(counted).into_iter().chain(storage).collect();
    Some((key, json!(counts), time::instant(&counted.since)))
}

/// The time at which charges begin although the customer is not live yet.
#[must_use]
pub fn latest(billing: &OrderBilling) -> Option<Timestamp> {
    billing.start_no_later_than.as_ref().map(time::instant)
}

/// What charges begin with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terms {
    /// The account that pays.
    pub account: String,
    /// The name of the price list.
    pub price_list: String,
    /// The application.
    pub application: String,
}

/// What charges begin with, or began with, by a status; none where the ledger does not have the account.
#[must_use]
pub fn terms(status: &TenantSubscriptionStatus) -> Option<Terms> {
    let billing = status.billing.as_ref()?;
    let accepted = status.accepted.as_ref()?;
    Some(Terms {
        account: billing.account.clone(),
        price_list: accepted.price_list.clone()?,
        application: crate::revision::name_of(&accepted.application).to_owned(),
    })
}

/// What the fact that charges began says.
#[must_use]
pub fn began_evidence(status: &TenantSubscriptionStatus) -> Option<(Value, Timestamp)> {
    let since = time::instant(status.billing.as_ref()?.since.as_ref()?);
    Some((json!(terms(status)?), since))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use crate::journal::facts;
    use std::sync::Arc;
    use tenantry_crds::common::Reference;
    use tenantry_crds::subscription::{AcceptedRevisions, TenantStatus};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// An order of a plan with prices, which this account pays.
    fn order(start_on: StartOn, latest: Option<i64>) -> Order {
        let billing = OrderBilling {
            account_ref: Reference { name: "books".to_owned() },
            start_on,
            start_no_later_than: latest.map(|second| time::time(at(second))),
        };
        let mut order = fixtures::order();
        order.definitions.price_list = Some("gold@0123456789".to_owned());
        order.billing = Some(billing);
        order
    }

    fn known() -> Known {
        Known {
            account: "books".to_owned(),
            next_invoice: Some("2026-12-24".to_owned()),
            committed: Some("249.00 EUR".to_owned()),
            open: Some("269.17 EUR".to_owned()),
            oldest_due: Some("2026-12-01".to_owned()),
            dunning: Some(DunningStage::Warning),
        }
    }

    #[test]
    fn who_pays_is_said_by_plan_and_order_together() {
        let mut order = order(StartOn::GoLive, None);
        assert_eq!(payer(&order), Payer::Account { account: "books", price_list: "gold@0123456789" });
        order.billing = None;
        assert_eq!(payer(&order), Payer::Missing);
        order.definitions.price_list = None;
        assert_eq!(payer(&order), Payer::Free);
        assert!(evidence(&Payer::Free, &TenantSubscriptionStatus::default(), None, None).is_complete());
    }

    #[test]
    fn an_item_waits_until_the_ledger_has_the_account_and_then_never_again() {
        let order = order(StartOn::GoLive, None);
        let mut status = TenantSubscriptionStatus::default();
        let reason = |evidence: Evidence| evidence.waiting.map(|waiting| (waiting.reason, waiting.message));
        let (missing, message) = reason(evidence(&Payer::Missing, &status, None, None)).unwrap();
        assert_eq!(missing, ACCOUNT_NOT_NAMED);
        assert!(message.contains("spec.billing.accountRef"), "{message}");
        let payer = payer(&order);
        let trouble = Some("the ledger cannot be used now".to_owned());
        let (pending, message) = reason(evidence(&payer, &status, None, trouble.clone())).unwrap();
        assert_eq!((pending.as_str(), message.as_str()), (LEDGER_PENDING, "the ledger cannot be used now"));
        assert!(evidence(&payer, &status, Some(&known()), None).is_complete());
        let other = Known { account: "other".to_owned(), ..known() };
        assert!(!evidence(&payer, &status, Some(&other), None).is_complete());
        assert!(!kept(&status).is_complete());
        status.billing = Some(BillingStatus { account: "books".to_owned(), ..BillingStatus::default() });
        assert!(evidence(&payer, &status, None, trouble).is_complete(), "what the ledger has it keeps");
        assert!(kept(&status).is_complete());
    }

    /// Since when charges run, for a customer who is live since `live`, at `now`.
    fn since(order: &Order, live: Option<i64>, now: i64) -> Option<i64> {
        let previous = TenantSubscriptionStatus::default();
        let live = live.map(|second| time::time(at(second)));
        let status = status(order, &previous, live.as_ref(), Some(&known()), at(10), at(now)).unwrap();
        status.since.map(|since| time::instant(&since).as_second())
    }

    #[test]
    fn charges_begin_with_what_was_agreed() {
        assert_eq!(since(&order(StartOn::SignUp, None), None, 50), Some(10));
        let live = order(StartOn::GoLive, None);
        assert_eq!((since(&live, None, 50), since(&live, Some(40), 50)), (None, Some(40)));
        let latest = order(StartOn::GoLive, Some(45));
        assert_eq!((since(&latest, None, 44), since(&latest, None, 50)), (None, Some(45)));
        assert_eq!((since(&latest, Some(40), 50), since(&latest, Some(48), 50)), (Some(40), Some(45)));
    }

    #[test]
    fn what_is_counted_is_counted_since_charges_began_and_anew_when_it_changes() {
        let mut order = order(StartOn::SignUp, None);
        let before = TenantSubscriptionStatus::default();
        let told = |order: &Order, before: &TenantSubscriptionStatus, now: i64| {
            let billing = status(order, before, None, Some(&known()), at(10), at(now));
            let next = TenantSubscriptionStatus { billing, ..before.clone() };
            let fact = counted_evidence(&next)
                .map(|(key, proof, since)| (key, proof["Seat"].clone(), since.as_second()));
            (next, fact.unwrap())
        };
        let seats = order.users.len();
        let (first, fact) = told(&order, &before, 50);
        assert_eq!(fact, ("charges/quantities/1".to_owned(), json!(seats), 10));
        let (same, again) = told(&order, &first, 90);
        assert_eq!((same, again), (first.clone(), fact));
        order.users.pop();
        let (_, fact) = told(&order, &first, 90);
        assert_eq!(fact, ("charges/quantities/2".to_owned(), json!(seats - 1), 90));
        // Where the application counts it, what the plan lets be claimed is a part of it.
        let mut application = (*order.definitions.application.spec).clone();
        let meter = json!({"name": "disk", "source": "Reserved", "of": "Storage", "unit": "MebibyteSecond"});
        application.meters = vec![serde_json::from_value(meter).unwrap()];
        order.definitions.application.spec = Arc::new(application);
        let size = |size: &str| {
            let mut plan = (*order.definitions.plan.spec).clone();
            plan.storage.classes[0].total_capacity = size.to_owned();
            let rest: i64 = plan.storage.classes[1..]
                .iter()
                .map(|class| class.total_capacity.parse::<Quantity>().unwrap().mebibytes())
                .sum();
            (Arc::new(plan), rest)
        };
        let (plan, rest) = size("10Gi");
        order.definitions.plan.spec = plan;
        let (third, fact) = told(&order, &first, 95);
        assert_eq!(fact.0, "charges/quantities/2");
        let proof = |status| counted_evidence(status).unwrap().1;
        assert_eq!(proof(&third)[STORAGE], json!(10 * 1024 + rest));
        assert_eq!(proof(&first)[STORAGE], Value::Null, "who does not count it says nothing of it");
        // Who is not charged yet is not counted.
        let waits = self::order(StartOn::GoLive, None);
        assert_eq!(status(&waits, &before, None, Some(&known()), at(10), at(50)).unwrap().quantities, None);
    }

    #[test]
    fn a_status_waits_for_the_ledger_and_keeps_what_it_said() {
        let order = order(StartOn::SignUp, None);
        let nothing = TenantSubscriptionStatus::default();
        assert_eq!(status(&order, &nothing, None, None, at(10), at(50)), None);
        let told = status(&order, &nothing, None, Some(&known()), at(10), at(50));
        let before = TenantSubscriptionStatus { billing: told.clone(), ..nothing };
        assert_eq!(status(&order, &before, None, None, at(10), at(90)), told, "while the ledger is away");
        let later = Known { next_invoice: None, committed: None, ..known() };
        let later = status(&order, &before, None, Some(&later), at(99), at(90)).unwrap();
        assert_eq!((later.since, later.next_invoice_date), (told.unwrap().since, None));
    }

    #[test]
    fn that_charges_began_is_one_fact_with_what_the_ledger_needs() {
        let mut status = TenantSubscriptionStatus {
            tenant: Some(TenantStatus { id: "t1".to_owned(), ..TenantStatus::default() }),
            accepted: Some(AcceptedRevisions {
                plan: "gold@1".to_owned(),
                application: "erp@2".to_owned(),
                price_list: Some("gold@0123456789".to_owned()),
                ..AcceptedRevisions::default()
            }),
            ..TenantSubscriptionStatus::default()
        };
        assert!(facts(&status).is_empty());
        status.billing = Some(BillingStatus {
            account: "books".to_owned(),
            since: Some(time::time(at(40))),
            ..BillingStatus::default()
        });
        let facts = facts(&status);
        assert_eq!(facts.len(), 1);
        assert_eq!((facts[0].id.as_str(), facts[0].outcome.as_str()), ("t1/charges/began", "Began"));
        assert_eq!(time::instant(&facts[0].at), at(40));
        let proof: Value = serde_json::from_str(&facts[0].evidence).unwrap();
        assert_eq!(proof, json!({"account": "books", "priceList": "gold@0123456789", "application": "erp"}));
    }
}
