//! Taking away what is recorded: who and what lets people in first, everything at last. Needs clients.

use super::{Ending, Found};
use crate::controller::reconcile::jobs;
use crate::controller::reconcile::write::WriteError;
use tenantry_apply::classify::Verdict as Refusal;
use tenantry_apply::executor::Execution;
use tenantry_apply::index::Seen;
use tenantry_apply::object::Kind;
use tenantry_apply::plan::{Action, Plan, Removal, Wait, is_removed, plan_removal};
use tenantry_apply::wave::lets_in;
use tenantry_blueprint::baseline::manager_binding_name;
use tenantry_checklist::exit::{Left, Observed};
use tenantry_crds::inventory::{EntryState, Inventory, InventoryEntry};
use tenantry_crds::subscription::DeletionPolicy;

/// Which entries stay.
type Keep<'a> = dyn Fn(&InventoryEntry) -> bool + Sync + 'a;

// === impl Ending ===

impl Ending<'_> {
    /// Takes away what lets people and traffic in. Where the rest of the tenant stays for good, it is recorded as kept, and our own
    /// access goes last, once the record says that everything else is gone: without it the API server would not even say any more
    /// whether a route is there.
    pub(super) async fn access(&mut self) -> Result<Found, WriteError> {
        let for_good = self.terms.policy == DeletionPolicy::Retain;
        let recorded = self.snapshot.status.inventory.as_ref();
        let is_last = for_good && recorded.is_some_and(is_removed);
        let keep = move |entry: &InventoryEntry| stays(entry) || (!is_last && is_own_access(entry));
        let plan = self.planned(&keep, for_good);
        if !plan.steps.is_empty() {
            self.confirm().await?;
        }
        if for_good && let Some(found) = self.let_go().await {
            return Ok(found);
        }
        let (plan, done) = self.take(&keep, for_good).await;
        let is_gone = match for_good {
            true => is_removed(&self.inventory) && !self.inventory.objects.iter().any(is_own_access),
            false => !self.inventory.objects.iter().any(|entry| !keep(entry)),
        };
        if is_gone {
            return Ok(Found::default());
        }
        let mut found = found(&plan, &done);
        if for_good && is_removed(&self.inventory) {
            // Everything but our own access is gone; that goes once this is on record.
            found.next = Some(self.snapshot.instant);
        }
        if found.observed.left.is_empty() {
            found.observed.left = left_of(&self.inventory, &keep);
        }
        Ok(found)
    }

    /// Takes everything away.
    pub(super) async fn removal(&mut self) -> Result<Found, WriteError> {
        let keep = |_: &InventoryEntry| false;
        if !self.planned(&keep, true).steps.is_empty() {
            self.confirm().await?;
        }
        if let Some(found) = self.let_go().await {
            return Ok(found);
        }
        let (plan, done) = self.take(&keep, true).await;
        if self.inventory.objects.is_empty() {
            return Ok(Found::default());
        }
        let mut found = found(&plan, &done);
        if found.observed.left.is_empty() {
            found.observed.left = left_of(&self.inventory, &keep);
        }
        Ok(found)
    }

    /// Lets go of pods that are kept for the results of jobs. While a Job is there it may start a pod that is kept, and without the
    /// tenant's own access nobody could let it go; so where everything goes the Jobs go first.
    async fn let_go(&mut self) -> Option<Found> {
        let (context, owner) = (self.context, self.owner.clone());
        if !jobs::keeps_pods(&self.snapshot.status) || !has_access(&self.inventory) {
            return None;
        }
        let everything = self.terms.policy != DeletionPolicy::Retain;
        if everything {
            // Nothing is marked as kept here: what is has no access in it any more, and there would be no second try.
            self.take(&|entry| !jobs::is_job(entry), false).await;
        }
        let let_go = jobs::let_go_all(context, &owner).await;
        let is_over = !everything || !self.inventory.objects.iter().any(jobs::is_job);
        let why = match &let_go {
            // With the namespace our access to it goes, and what it still holds was let go before it was deleted.
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) && self.namespace_ends() => {
                return None;
            }
            Err(error) => {
                let subscription = &self.snapshot.root.name;
                tracing::warn!(%subscription, %error, "pods of jobs cannot be let go; trying again");
                "the pods that are kept for their results cannot be let go"
            }
            Ok(()) if !is_over => "waits for the jobs to be gone",
            Ok(()) => return None,
        };
        let left = vec![Left { object: "jobs".to_owned(), why: why.to_owned() }];
        Some(Found { observed: Observed { left, ..Observed::default() }, failed: true, ..Found::default() })
    }

    /// Whether the tenant's namespace is gone, or on its way out.
    fn namespace_ends(&self) -> bool {
        let ids = tenantry_apply::record::identities(&self.inventory, &self.owner, &*self.context.discovery);
        let namespace = ids.into_iter().find(|id| id.kind.is_namespace());
        namespace.is_none_or(|id| match self.context.index.see(&id) {
            Seen::Present(observed, _) => observed.deleting,
            Seen::Absent => true,
            Seen::NotSynced | Seen::Unwatched => false,
        })
    }

    /// What can be done now. With `marks`, what stays is recorded as kept.
    fn planned(&self, keep: &Keep<'_>, marks: bool) -> Plan {
        let (context, owner, inventory) = (self.context, &self.owner, &self.inventory);
        let ids = tenantry_apply::record::identities(inventory, owner, &*context.discovery);
        let view = context.index.snapshot(ids);
        let mut plan =
            plan_removal(&Removal { owner, inventory, view: &view, scopes: &*context.discovery, keep });
        plan.steps.retain(|step| marks || step.action != Action::Keep);
        plan
    }

    /// Plans and executes until nothing can be done at once.
    async fn take(&mut self, keep: &Keep<'_>, marks: bool) -> (Plan, Execution) {
        self.rounds(&[], |ending| ending.planned(keep, marks)).await
    }
}

/// What a look found that could not be brought to its end.
fn found(plan: &Plan, done: &Execution) -> Found {
    let failed = done
        .outcomes
        .iter()
        .any(|outcome| outcome.result.as_ref().is_err_and(|failure| failure.verdict != Refusal::Skipped));
    Found { observed: Observed { left: left(plan, done), ..Observed::default() }, failed, ..Found::default() }
}

/// Whether an object stays when only the doors go: everything but what lets people and traffic in.
pub(super) fn stays(entry: &InventoryEntry) -> bool {
    Kind::parse(&entry.kind).is_none_or(|kind| !lets_in(&kind))
}

/// Whether an object is the binding that gives the controller its rights in the tenant's namespace.
fn is_own_access(entry: &InventoryEntry) -> bool {
    let is_binding = |kind: Kind| kind.is("rbac.authorization.k8s.io", "RoleBinding");
    entry.name == manager_binding_name() && Kind::parse(&entry.kind).is_some_and(is_binding)
}

/// Whether the controller has its rights in the tenant's namespace still, so that it may ask for something there.
fn has_access(inventory: &Inventory) -> bool {
    let is_live = |entry: &&InventoryEntry| entry.state == EntryState::Live;
    let is_namespace =
        |entry: &InventoryEntry| Kind::parse(&entry.kind).is_some_and(|kind| kind.is_namespace());
    let mut live = inventory.objects.iter().filter(is_live);
    live.clone().any(is_own_access) && live.any(is_namespace)
}

/// What is not gone yet and why, in a fixed order.
fn left(plan: &Plan, done: &Execution) -> Vec<Left> {
    let waiting = plan.waits.iter().filter_map(|waiting| {
        let why = match waiting.wait {
            Wait::Terminating => "its deletion was accepted and is not finished",
            Wait::LateKind => "its kind is defined and the API server does not serve it",
            Wait::NameConflict => "an object of that name exists that is not this tenant's; it is left alone",
            _ => return None,
        };
        Some((&waiting.id, why.to_owned()))
    });
    let failed = done.outcomes.iter().filter_map(|outcome| {
        let failure = outcome.result.as_ref().err()?;
        Some((&outcome.id, failure.message.clone()))
    });
    let mut left: Vec<(String, String)> =
        waiting.chain(failed).map(|(id, why)| (format!("{} {}", id.kind.name(), id.name), why)).collect();
    left.sort();
    left.dedup();
    left.into_iter().map(|(object, why)| Left { object, why }).collect()
}

/// That something shall go and has not, when nobody says why.
fn left_of(inventory: &Inventory, keep: &Keep<'_>) -> Vec<Left> {
    let going = inventory.objects.iter().filter(|entry| !keep(entry) && entry.state != EntryState::Kept);
    let object = match going.count() {
        1 => "1 object".to_owned(),
        count => format!("{count} objects"),
    };
    vec![Left { object, why: "not looked at yet".to_owned() }]
}
