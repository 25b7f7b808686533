//! Dunning: what follows from unpaid invoices. Needs the database, a client and a clock.
//!
//! One task of the leader, with a timer; at rest it asks nothing. What follows is decided by `tenantry_ledger::dunning` from the log
//! alone, so whoever takes over decides alike. Notices are kept with their deliveries, and whoever stands at Suspended has a suspension
//! for each of his subscriptions, whose name says whose it is, so a retry makes no second. Only suspensions that the controller itself
//! asked for are lifted again: those of people are theirs.

use super::worker::{WAIT, until};
use crate::controller::context::Context;
use crate::controller::patience::doubled;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, PostParams, Preconditions};
use kube::{Client, Resource};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tenantry_apply::object::{FIELD_MANAGER, MANAGED_BY, MANAGED_BY_LABEL};
use tenantry_billing::{Books, BooksError, Dunned};
use tenantry_crds::sign_off::SubscriptionReference;
use tenantry_crds::suspension::{LiftAuthority, SuspensionReason, SuspensionScope, TenantSuspensionSpec};
use tenantry_crds::{TenantSubscription, TenantSuspension};
use tenantry_journal::Epoch;
use tenantry_ledger::ladder::Stage;
use tokio::time::{sleep, timeout};

/// Label of suspensions that were made for debt; its value is the account.
const DEBT_LABEL: &str = "tenantry.io/debt-of";
/// Deadline of one request to the API server.
const DEADLINE: Duration = Duration::from_secs(10);

/// Duns, until another process writes.
///
/// # Errors
/// When another process took over: this one must end.
pub(crate) async fn run(context: &Context) -> Result<(), BooksError> {
    let (database, epoch) = context.billing.writer(&context.billing.owing).await;
    let books = Books::new(database);
    let mut dunner = Dunner { context, books, epoch, next: BTreeMap::new(), name: None, holds: true };
    let mut tries = 0;
    loop {
        let news = context.billing.owing.notified();
        // The fences of database and client hold as well; this keeps who has lost the lease from trying.
        if !context.executor.gate.may_write() {
            sleep(WAIT[0]).await;
            continue;
        }
        let trouble = match dunner.pass().await {
            Ok(trouble) => trouble,
            Err(error) if error.is_superseded() => return Err(error),
            Err(error) => Some(error.to_string()),
        };
        if let Some(trouble) = trouble {
            if tries == 0 {
                tracing::warn!(trouble, "what follows from unpaid invoices is not done; it is tried again");
            }
            sleep(doubled(WAIT, tries)).await;
            tries = tries.saturating_add(1);
            continue;
        }
        tries = 0;
        match dunner.next.values().min() {
            Some(next) => {
                let _news = timeout(until(*next), news).await;
            }
            None => news.await,
        }
    }
}

struct Dunner<'a> {
    context: &'a Context,
    books: Books,
    epoch: Epoch,
    /// When something else may follow for an account.
    next: BTreeMap<String, Timestamp>,
    /// The controller's name, as the API server knows it.
    name: Option<String>,
    /// Whether there may be suspensions for debt.
    holds: bool,
}

/// A tenant whose account is looked at.
struct Debtor {
    tenant: String,
    subscription: String,
}

impl Dunner<'_> {
    /// Looks at every account of which something may follow now, and says what is in the way of any of it.
    async fn pass(&mut self) -> Result<Option<String>, BooksError> {
        let now = Timestamp::now();
        let mut accounts = std::mem::take(&mut self.context.billing.lock().owing);
        accounts.extend(self.next.iter().filter(|(_, at)| **at <= now).map(|(account, _)| account.clone()));
        let debtors = self.debtors(&accounts);
        // Who has no subscription any more is not looked at again.
        self.next.retain(|account, _| !accounts.contains(account) || debtors.contains_key(account));
        if debtors.is_empty() {
            return Ok(None);
        }
        // Where nothing follows and nothing is to be lifted nobody is asked.
        self.holds |= debtors.values().any(|(is_dunned, _)| *is_dunned);
        let held = match self.holds {
            true => self.held().await,
            false => Ok(BTreeMap::new()),
        };
        let done = match held {
            Ok(held) => self.look_at(&accounts, &debtors, &held, now).await,
            Err(trouble) => Ok(Some(trouble)),
        };
        if !matches!(done, Ok(None)) {
            self.context.billing.lock().owing.extend(accounts);
        }
        done
    }

    /// The tenants of these accounts, and whether anything follows for them from unpaid invoices.
    fn debtors(&self, accounts: &BTreeSet<String>) -> BTreeMap<String, (bool, Vec<Debtor>)> {
        let state = self.context.billing.lock();
        let mut debtors: BTreeMap<String, (bool, Vec<Debtor>)> = BTreeMap::new();
        for (tenant, want) in &state.wants {
            let account = &want.agreement.account.id;
            if accounts.contains(account) {
                let (is_dunned, of_account) = debtors.entry(account.clone()).or_default();
                *is_dunned |= want.agreement.is_dunned();
                of_account.push(Debtor { tenant: tenant.clone(), subscription: want.subscription.clone() });
            }
        }
        debtors
    }

    async fn look_at(
        &mut self,
        accounts: &BTreeSet<String>,
        debtors: &BTreeMap<String, (bool, Vec<Debtor>)>,
        held: &BTreeMap<String, TenantSuspension>,
        now: Timestamp,
    ) -> Result<Option<String>, BooksError> {
        let mut trouble = None;
        for account in accounts {
            self.next.remove(account);
            let Some((is_dunned, of_account)) = debtors.get(account) else { continue };
            let dunned = match is_dunned {
                true => match self.books.dun(self.epoch, account, now).await {
                    Ok(dunned) => dunned,
                    Err(error) if error.is_outage() || error.is_superseded() => return Err(error),
                    // It is of one account, and as it is nothing would come of trying again.
                    Err(error) => {
                        tracing::error!(account, %error, "nobody knows what follows from what it owes");
                        continue;
                    }
                },
                false => Dunned::default(),
            };
            for notice in &dunned.notices {
                tracing::info!(
                    account,
                    number = notice.number,
                    stage = notice.stage.as_str(),
                    "an invoice is not paid"
                );
            }
            if !dunned.notices.is_empty() {
                self.context.billing.deliverable.notify_one();
            }
            if let Some(next) = dunned.next {
                self.next.insert(account.clone(), next);
            }
            for debtor in of_account {
                if let Err(why) = self.settle(account, debtor, &dunned, held).await {
                    trouble = Some(format!("{}: {why}", debtor.subscription));
                }
            }
            self.context.billing.is_at(account, dunned.stage);
        }
        Ok(trouble)
    }

    /// Suspends a subscription, or lifts what was made for debt, as the account stands.
    async fn settle(
        &self,
        account: &str,
        debtor: &Debtor,
        dunned: &Dunned,
        held: &BTreeMap<String, TenantSuspension>,
    ) -> Result<(), String> {
        let name = name(&debtor.tenant);
        let api: Api<TenantSuspension> = Api::all(self.context.client.clone());
        match (dunned.stage == Some(Stage::Suspended), held.get(&name)) {
            (true, None) => {
                let Some(by) = &self.name else { return Ok(()) };
                let Some(root) = self.context.roots.get(&debtor.subscription) else { return Ok(()) };
                if root.deleting_since.is_some() {
                    return Ok(());
                }
                let reference = SubscriptionReference { name: root.name.clone(), uid: root.uid.clone() };
                let suspension = suspension(account, &name, reference, &dunned.open, by);
                let parameters =
                    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
                match answer(api.create(&parameters, &suspension)).await {
                    Ok(_) => {
                        let subscription = &debtor.subscription;
                        tracing::warn!(account, subscription, "suspended for debt");
                        Ok(())
                    }
                    // Somebody gave his own the same name: whoever is suspended already is not suspended twice.
                    Err(Refused::Exists) => {
                        tracing::warn!(
                            name,
                            "a suspension of this name is there that is not the controller's"
                        );
                        Ok(())
                    }
                    Err(Refused::Other(why)) => Err(why),
                }
            }
            (false, Some(suspension)) => {
                let uid = suspension.metadata.uid.clone();
                let only = Preconditions { uid, resource_version: None };
                let parameters = DeleteParams { preconditions: Some(only), ..DeleteParams::default() };
                match answer(async { api.delete(&name, &parameters).await.map(drop) }).await {
                    Ok(()) | Err(Refused::Exists) => {
                        let subscription = &debtor.subscription;
                        tracing::info!(account, subscription, "no longer suspended for debt");
                        Ok(())
                    }
                    Err(Refused::Other(why)) => Err(why),
                }
            }
            (true, Some(_)) | (false, None) => Ok(()),
        }
    }

    /// Suspensions that the controller asked for, by name.
    async fn held(&mut self) -> Result<BTreeMap<String, TenantSuspension>, String> {
        let client = &self.context.client;
        if self.name.is_none() {
            self.name = Some(who_am_i(client).await?);
        }
        let api: Api<TenantSuspension> = Api::all(client.clone());
        let parameters = ListParams::default().labels(DEBT_LABEL);
        let all = answer(api.list(&parameters)).await.map_err(Refused::into_reason)?;
        self.holds = !all.items.is_empty();
        let ours = all.items.into_iter().filter(|one| Some(&one.spec.requested_by) == self.name.as_ref());
        Ok(ours.filter_map(|one| Some((one.metadata.name.clone()?, one))).collect())
    }
}

/// The name of the suspension of a tenant for debt.
fn name(tenant: &str) -> String {
    format!("unpaid-{tenant}")
}

fn suspension(
    account: &str,
    name: &str,
    subscription_ref: SubscriptionReference,
    open: &str,
    by: &str,
) -> TenantSuspension {
    let owner = OwnerReference {
        api_version: TenantSubscription::api_version(&()).into_owned(),
        kind: TenantSubscription::kind(&()).into_owned(),
        name: subscription_ref.name.clone(),
        uid: subscription_ref.uid.clone(),
        ..OwnerReference::default()
    };
    let labels = [(MANAGED_BY_LABEL, MANAGED_BY), (DEBT_LABEL, account)];
    TenantSuspension {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: TenantSuspensionSpec {
            subscription_ref,
            reason: SuspensionReason::Billing,
            lift_authority: LiftAuthority::Operator,
            scope: SuspensionScope::All,
            message: format!(
                "{open} of invoices to the account {account} are not paid; the service is given back when they are"
            ),
            requested_by: by.to_owned(),
        },
    }
}

/// Why a request was not done.
enum Refused {
    /// What was to be made is there, or what was to be removed is not.
    Exists,
    /// Anything else.
    Other(String),
}

impl Refused {
    fn into_reason(self) -> String {
        match self {
            Self::Exists => "the API server contradicts itself".to_owned(),
            Self::Other(why) => why,
        }
    }
}

async fn answer<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Refused> {
    match timeout(DEADLINE, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) if status.is_already_exists() || status.is_not_found() => {
            Err(Refused::Exists)
        }
        Ok(Err(error)) => Err(Refused::Other(format!("the API server refuses: {error}"))),
        Err(_) => Err(Refused::Other("the API server does not answer".to_owned())),
    }
}

/// The controller's name, as the API server knows it.
async fn who_am_i(client: &Client) -> Result<String, String> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let parameters = PostParams::default();
    let review = answer(api.create(&parameters, &SelfSubjectReview::default())).await;
    let status = review.map_err(Refused::into_reason)?.status;
    let user = status.and_then(|status| status.user_info).and_then(|user| user.username);
    user.ok_or_else(|| "the API server does not say who the controller is".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspension_for_debt_says_whose_it_is_and_goes_with_its_subscription() {
        let reference = SubscriptionReference { name: "acme".to_owned(), uid: "u1".to_owned() };
        let made = suspension("books", &name("k7w3q9m2"), reference, "120.00 EUR", "controller");
        assert_eq!(made.metadata.name.as_deref(), Some("unpaid-k7w3q9m2"));
        assert_eq!(made.metadata.labels.unwrap()[DEBT_LABEL], "books");
        let owner = &made.metadata.owner_references.unwrap()[0];
        assert_eq!((owner.kind.as_str(), owner.uid.as_str()), ("TenantSubscription", "u1"));
        assert_eq!(
            (made.spec.reason, made.spec.requested_by.as_str()),
            (SuspensionReason::Billing, "controller")
        );
        assert!(made.spec.message.starts_with("120.00 EUR of invoices"), "{}", made.spec.message);
    }
}
