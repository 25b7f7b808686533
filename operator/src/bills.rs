//! What was billed and what comes next, as commands and the endpoint answer it. Needs the database.
//!
//! Both answer alike: a command that has the database at hand calls these functions, one that has not asks the endpoint, which
//! calls them.

use crate::controller::billing::feed::feed;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tenantry_billing::{AsOf, Books, BooksError, RECORDS, Summary, Verdict};
use tenantry_checklist::billing::{Terms, ordered_quantities, terms};
use tenantry_checklist::plan_change::{Input, Step, pending, step};
use tenantry_checklist::revision::name_of;
use tenantry_checklist::{prices, time};
use tenantry_crds::{ServicePlanSpec, TenantSubscriptionSpec, TenantSubscriptionStatus};
use tenantry_journal::{Database, Entry, Epoch, HistoryOf};
use tenantry_ledger::document::Document;
use tenantry_ledger::event::{Change, Event};
use tenantry_ledger::exact::Decimal;
use tenantry_ledger::history::Happening;
use tenantry_ledger::refusal::Refusal;
use tenantry_ledger::run::{Supposed, foresee};

/// The next documents of whoever pays for a subscription.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Coming {
    /// The documents, the next one first.
    pub(crate) documents: Vec<Document>,
    /// What people should know besides.
    #[serde(default)]
    pub(crate) notes: Vec<String>,
}

/// A subscription as it is now, for what did not happen yet.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// Its name.
    pub(crate) name: String,
    /// What was ordered.
    pub(crate) spec: TenantSubscriptionSpec,
    /// Its status.
    pub(crate) status: TenantSubscriptionStatus,
}

/// Another plan, to see what it would come to.
#[derive(Clone, Debug)]
pub(crate) struct OtherPlan {
    /// Its name.
    pub(crate) name: String,
    /// What it is.
    pub(crate) spec: ServicePlanSpec,
    /// The plan that the tenant has now, which says whether it offers the change.
    pub(crate) present: Option<ServicePlanSpec>,
}

/// What the proof of the ledger found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Found {
    pub(crate) accounts: usize,
    pub(crate) facts: usize,
    pub(crate) runs_recomputed: usize,
    pub(crate) runs_not_recomputed: usize,
    pub(crate) postings: usize,
    pub(crate) documents: usize,
    #[serde(default)]
    pub(crate) payments: usize,
    pub(crate) hash: String,
    /// What is not as it must be, each with whose it is.
    pub(crate) faults: Vec<[String; 2]>,
    /// Accounts that wait for a person, each with the reason.
    pub(crate) parked: Vec<[String; 2]>,
    /// Records that are still to be written for tenants.
    pub(crate) untold: i64,
}

/// What was billed to every tenant that is meant.
///
/// # Errors
/// When the database cannot be read.
pub(crate) async fn invoices(database: &Database, of: &HistoryOf) -> Result<Vec<Document>, BooksError> {
    let books = Books::new(database.clone());
    let mut documents = Vec::new();
    for tenant in by_tenant(database.history(of).await?).keys() {
        documents.extend(books.documents_of(tenant).await?);
    }
    Ok(documents)
}

/// What comes next for every tenant that is meant: by what is known, or if it had another plan, or, where charges did not begin
/// yet, if they began now.
///
/// # Errors
/// When the database cannot be read, or what is supposed cannot be charged.
pub(crate) async fn coming(
    database: &Database,
    of: &HistoryOf,
    standing: Option<&Standing>,
    other: Option<&OtherPlan>,
    now: Timestamp,
) -> Result<Coming, BooksError> {
    let books = Books::new(database.clone());
    let mut tenants = by_tenant(database.history(of).await?);
    if let Some(tenant) = standing.and_then(|standing| standing.status.tenant.as_ref()) {
        tenants.entry(tenant.id.clone()).or_default();
    }
    let mut coming = Coming::default();
    for (tenant, own) in &tenants {
        let present = standing
            .filter(|standing| standing.status.tenant.as_ref().is_some_and(|present| present.id == *tenant));
        // A tenant that is gone changes no plan.
        let other = other.filter(|_| present.is_some());
        let (account, mut supposed) = match (feed(own), present) {
            (Some(feed), _) => (feed.account, Supposed::default()),
            (None, Some(present)) => match terms(&present.status) {
                Some(terms) => (terms.account.clone(), begun(tenant, present, terms, now)),
                None => continue,
            },
            (None, None) => continue,
        };
        let Some(loaded) = books.load(&account).await? else { continue };
        if let Some(parked) = &loaded.standing.parked {
            coming.notes.push(format!("account {account} waits for a person: {parked}"));
        }
        if let (Some(other), Some(present)) = (other, present) {
            coming.notes.extend(other.suppose(tenant, present, now, &mut supposed)?);
        }
        let documents = foresee(&loaded.history, loaded.counted(), supposed)?;
        let has_lines = |document: &Document| document.lines.iter().any(|line| line.subscription == *tenant);
        coming.documents.extend(documents.into_iter().filter(has_lines));
    }
    Ok(coming)
}

/// Closes what is due, as the one who writes.
///
/// # Errors
/// A day that has not come; when the database cannot be used, or somebody else writes now.
pub(crate) async fn close(
    database: &Database,
    epoch: Epoch,
    as_of: AsOf,
    now: Timestamp,
) -> Result<Summary, BooksError> {
    if as_of.is_ahead_of(now) {
        let remedy = "write today or an earlier day; a dry run may look ahead";
        return Err(Refusal::new("asOf", "nobody knows yet what will happen by then", remedy).into());
    }
    Books::new(database.clone()).run(epoch, as_of.no_later_than(now), now).await
}

/// Proves that the ledger is right.
///
/// # Errors
/// When the database cannot be read.
pub(crate) async fn verify(database: &Database) -> Result<Found, BooksError> {
    let books = Books::new(database.clone());
    let verdict = books.verify().await?;
    let parked = books.parked().await?;
    Ok(Found::new(verdict, parked, books.untold(RECORDS).await?))
}

/// Reads up to when something is due: a day, or an instant.
///
/// # Errors
/// It is neither.
pub(crate) fn as_of(text: &str) -> Result<AsOf, Refusal> {
    if let Ok(day) = text.parse::<Date>()
        && text.len() == "2027-01-31".len()
    {
        return AsOf::end_of(day);
    }
    text.parse::<Timestamp>().map(AsOf::from).map_err(|_| {
        Refusal::new(
            "asOf",
            format!("{text:?} is neither a day nor an instant"),
            "write for example 2027-01-31, or 2027-01-31T00:00:00Z",
        )
    })
}

fn by_tenant(entries: Vec<Entry>) -> BTreeMap<String, Vec<Entry>> {
    let mut by_tenant: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for entry in entries {
        by_tenant.entry(entry.tenant.clone()).or_default().push(entry);
    }
    by_tenant
}

fn happening(tenant: &str, standing: &Standing, at: Timestamp, change: Change) -> Happening {
    let event = Event { id: 0, subscription: tenant.to_owned(), at, change };
    Happening { name: standing.name.clone(), event }
}

/// That charges begin now.
fn begun(tenant: &str, standing: &Standing, terms: Terms, now: Timestamp) -> Supposed {
    let Terms { price_list, application, .. } = terms;
    let counted = ordered_quantities(&standing.spec).into_iter();
    let quantities = counted.map(|(unit, count)| (unit, Decimal::integer(count))).collect();
    let start = Change::Start { application, price_list, quantities };
    Supposed { happenings: vec![happening(tenant, standing, now, start)], ..Supposed::default() }
}

// === impl OtherPlan ===

impl OtherPlan {
    /// Supposes the change to it, at the instant at which it would take effect, and says when that is.
    fn suppose(
        &self,
        tenant: &str,
        standing: &Standing,
        now: Timestamp,
        supposed: &mut Supposed,
    ) -> Result<Option<String>, Refusal> {
        let Standing { status, .. } = standing;
        let present = status.accepted.as_ref().map(|accepted| name_of(&accepted.plan));
        let live = status.go_live.as_ref().map(|live| time::instant(&live.at));
        let step = step(&Input {
            wished: &self.name,
            current: present,
            offer: self.present.as_ref(),
            pending: pending(status.plan.as_ref()),
            live_since: live,
            generation: 0,
            now,
        });
        let at = match step {
            Step::Same => return Ok(Some(format!("{} is the plan that it has", self.name))),
            Step::Now(_) => now,
            Step::Later(pending) | Step::Waits(pending) | Step::Due(pending) => pending.effective_at.max(now),
            Step::NotOffered(problem) => {
                return Err(Refusal::new("plan", problem.message, "ask for one that is offered"));
            }
        };
        let list = prices::list(&self.name, &self.spec)?;
        let mut changes = vec![match &list {
            Some(list) => Change::ChangePlan { price_list: list.id.clone() },
            None => Change::Pause,
        }];
        // Who has a plan without prices is not charged until he has one with.
        if list.is_some() && self.present.as_ref().is_some_and(|present| present.currency.is_none()) {
            changes.push(Change::Resume);
        }
        supposed.lists.extend(list);
        supposed.happenings.extend(changes.into_iter().map(|change| happening(tenant, standing, at, change)));
        supposed.until = Some(at);
        Ok((at > now).then(|| format!("plan {} would take effect on {}", self.name, time::readable(at))))
    }
}

// === impl Found ===

impl Found {
    pub(crate) fn new(verdict: Verdict, parked: Vec<(String, String)>, untold: i64) -> Self {
        let Verdict {
            accounts,
            facts,
            recomputed,
            not_recomputed,
            postings,
            documents,
            payments,
            faults,
            hash,
        } = verdict;
        Self {
            accounts,
            facts,
            runs_recomputed: recomputed,
            runs_not_recomputed: not_recomputed,
            postings,
            documents,
            payments,
            hash,
            faults: faults.into_iter().map(|fault| [fault.of, fault.what]).collect(),
            parked: parked.into_iter().map(|(account, reason)| [account, reason]).collect(),
            untold,
        }
    }

    /// Whether everything is as it must be and nobody waits.
    pub(crate) fn is_good(&self) -> bool {
        self.faults.is_empty() && self.parked.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_day_or_an_instant_says_up_to_when() {
        let now = "2027-01-31T12:00:00Z".parse::<Timestamp>().unwrap();
        assert_eq!(as_of("2027-01-31T12:00:00Z").unwrap(), AsOf::from(now));
        assert_eq!(as_of("2027-01-31").unwrap(), AsOf::end_of("2027-01-31".parse().unwrap()).unwrap());
        assert!(
            as_of("2027-02-02").unwrap().is_ahead_of(now) && !as_of("2027-02-01").unwrap().is_ahead_of(now)
        );
        for wrong in ["", "tomorrow", "2027-02-30", "20270131", "2027-01-31T12:00:00"] {
            let refusal = as_of(wrong).unwrap_err();
            assert_eq!(refusal.field, "asOf", "{wrong:?}: {refusal}");
        }
    }

    fn plan(currency: Option<&str>, price: &str) -> ServicePlanSpec {
        let charges = json!([{"name": "base", "type": "Recurring", "interval": "Month", "price": price}]);
        let mut spec = json!({
            "displayName": "Gold", "tier": "Gold", "lifecycle": "Published", "upgradableTo": ["gold"],
            "network": {"qualityOfService": "Assured"},
            "servers": {"class": "standard", "cpu": "8", "memory": "16Gi", "limitRatio": "2", "disk": "40Gi", "pods": 50},
            "storage": {"classes": [{"name": "fast", "totalCapacity": "200Gi", "maxVolumes": 10}]},
            "accounts": {"seats": 3, "roles": ["administrator"]}, "security": {"profile": "restricted"},
            "monitoring": {"mode": "RealTime", "retention": "720h"},
            "serviceLevel": {"availability": "99.9", "support": {"firstResponse": "30m"}},
        });
        if let Some(currency) = currency {
            spec["currency"] = json!(currency);
            spec["charges"] = charges;
        }
        serde_json::from_value(spec).unwrap()
    }

    /// What supposing a change to a plan comes to, for a tenant of a plan that offers it.
    fn supposed(present: ServicePlanSpec, other: ServicePlanSpec) -> Result<Vec<&'static str>, Refusal> {
        let status = json!({"accepted": {
            "plan": "silver@0123456789", "application": "erp@1", "version": "erp-1@1", "blueprint": "standard@1",
        }});
        let standing = Standing {
            name: "acme".to_owned(),
            spec: TenantSubscriptionSpec::default(),
            status: serde_json::from_value(status).unwrap(),
        };
        let other = OtherPlan { name: "gold".to_owned(), spec: other, present: Some(present) };
        let mut supposed = Supposed::default();
        other.suppose("t1", &standing, Timestamp::UNIX_EPOCH, &mut supposed)?;
        let word = |happening: &Happening| match happening.event.change {
            Change::ChangePlan { .. } => "change",
            Change::Pause => "pause",
            Change::Resume => "resume",
            _ => "other",
        };
        Ok(supposed.happenings.iter().map(word).collect())
    }

    #[test]
    fn another_plan_is_supposed_as_it_would_happen() {
        let (free, priced) = (|| plan(None, ""), |price: &str| plan(Some("EUR"), price));
        assert_eq!(supposed(priced("1.00"), priced("2.00")).unwrap(), ["change"]);
        assert_eq!(supposed(priced("1.00"), free()).unwrap(), ["pause"]);
        assert_eq!(supposed(free(), priced("2.00")).unwrap(), ["change", "resume"]);
        let closed = ServicePlanSpec { upgradable_to: Vec::new(), ..priced("1.00") };
        assert_eq!(supposed(closed, priced("2.00")).unwrap_err().field, "plan");
        assert_eq!(supposed(priced("1.00"), priced("0.001")).unwrap_err().field, "charges[base].price");
    }
}
