//! The export of the customer's data, by the application's own job. Needs clients.
//!
//! What the job needs runs meanwhile, also where the tenant was suspended: who has not paid gets his data all the same.

use super::{Ending, Found};
use crate::controller::reconcile::prepare::{Prepared, PreparedItem};
use crate::controller::reconcile::write::WriteError;
use crate::controller::reconcile::{dereference, jobs, suspension};
use std::time::Duration;
use tenantry_apply::index::Seen;
use tenantry_apply::record::{Ledger, identities};
use tenantry_apply::wave::may_hold_data;
use tenantry_checklist::exit::{EXPORT, Export, Left, Observed};
use tenantry_checklist::suspension::Effect;
use tenantry_crds::subscription::{JobState, RememberedScale};

/// How long watches may take to say what there is. Without their word the data is exported.
const FIRST_SETS: Duration = Duration::from_secs(10);

// === impl Ending ===

impl Ending<'_> {
    /// Runs the export until it succeeded, or failed too often.
    pub(super) async fn export(&mut self) -> Result<Found, WriteError> {
        if self.wish.skip_export {
            return Ok(Found::default());
        }
        let mut prepared = match self.export_prepared() {
            Ok(prepared) => prepared,
            Err(why) => return Ok(impossible(why)),
        };
        self.confirm().await?;
        // Only the export's own runs are looked at.
        let exports = |item: &PreparedItem| item.item.name == EXPORT;
        prepared.items.retain(exports);
        jobs::watch(self.context, &prepared);
        let woken = self.converge(&prepared, &[]).await;
        if woken.failed || !woken.observed.left.is_empty() {
            let export = self.exporting(&prepared, jobs::Observed::default());
            return Ok(Found { observed: Observed { export, ..woken.observed }, endures: true, ..woken });
        }
        if self.holds_no_data().await {
            return Ok(needless("nothing that could hold data was ever made for the tenant".to_owned()));
        }
        if let Some(found) = self.woken(&prepared).await {
            return Ok(found);
        }
        let ledger = Ledger::new(self.inventory.clone());
        let observed = jobs::observe(self.context, &self.snapshot, &prepared, &ledger).await;
        let has_ended = observed.has_ended();
        let is_incomplete = observed.is_incomplete;
        let export = self.exporting(&prepared, observed);
        let observed = Observed { export, ..Observed::default() };
        let mut found = Found { observed, endures: true, failed: is_incomplete, ..Found::default() };
        if has_ended || is_incomplete {
            // The result is on record before its pod is let go.
            found.next = has_ended.then_some(self.snapshot.instant);
            return Ok(found);
        }
        self.run_job(&prepared, &mut found).await?;
        Ok(found)
    }

    /// Makes the Job of the run that the checklist names, once it is on record.
    async fn run_job(&mut self, prepared: &Prepared, found: &mut Found) -> Result<(), WriteError> {
        let evaluation = self.evaluated(&found.observed);
        self.checklist.clone_from(&evaluation.entries);
        let wanted = jobs::desired(prepared, &evaluation, &self.inventory);
        let run = evaluation.entries.iter().find(|entry| entry.name == EXPORT);
        let runs = run.and_then(|entry| entry.job.as_ref()).is_some_and(|run| run.state == JobState::Running);
        if !runs || !evaluation.released.contains(EXPORT) {
            return Ok(());
        }
        let mut ledger = Ledger::new(self.inventory.clone());
        if wanted.iter().any(|object| !ledger.holds(&object.id)) {
            wanted.iter().for_each(|object| ledger.add(object));
            self.inventory = ledger.into_inventory();
        }
        self.tell(&evaluation, &[], false, false).await?;
        let made = self.converge(prepared, &wanted).await;
        found.failed |= made.failed;
        // Its end may have been told before the Job was known to be this run's, as after an answer that was lost.
        let ledger = Ledger::new(self.inventory.clone());
        if jobs::Observed::default().misses_an_end(self.context, &self.owner, &self.checklist, &ledger) {
            found.next = Some(self.snapshot.instant);
        }
        let export = self.exporting(prepared, jobs::Observed::default());
        found.observed = Observed { export, ..Observed::default() };
        Ok(())
    }

    /// Workloads that were given no pods by a suspension have what they had, and are ready; nothing once they are.
    async fn woken(&mut self, prepared: &Prepared) -> Option<Found> {
        let remembered: Vec<RememberedScale> = suspension::remembered(&self.snapshot).to_vec();
        let (left, _) = suspension::restored(self.context, prepared, remembered).await;
        if left.is_empty() {
            return None;
        }
        let left =
            left.iter().map(|one| Left { object: one.name.clone(), why: "has no pods yet".to_owned() });
        let export = self.exporting(prepared, jobs::Observed::default());
        Some(Found {
            observed: Observed { left: left.collect(), export, ..Observed::default() },
            endures: true,
            failed: true,
            ..Found::default()
        })
    }

    /// What is rendered while the data is exported: everything as without any suspension, and the export's job.
    fn export_prepared(&mut self) -> Result<Prepared, String> {
        let mut prepared = self.rendered(Effect::default())?;
        let item = self.terms.export.clone();
        let job = dereference::render_job(self.context, &prepared, &item)?;
        prepared.items.push(PreparedItem {
            item,
            skipped: None,
            wanted: None,
            is_sign_off: false,
            job: Some(job),
            external: None,
            note: None,
        });
        Ok(prepared)
    }

    fn exporting(&self, prepared: &Prepared, observed: jobs::Observed) -> Export {
        let Some(item) = prepared.items.iter().find(|item| item.item.name == EXPORT) else {
            return Export::default();
        };
        let ledger = Ledger::new(self.inventory.clone());
        let digest = item.job.as_ref().map(|job| job.digest.clone()).unwrap_or_default();
        let job = jobs::input(
            self.context,
            &self.snapshot.root.name,
            &self.checklist,
            prepared,
            item,
            &observed,
            &ledger,
        );
        Export { digest, job: job.unwrap_or_default(), ..Export::default() }
    }

    /// Whether nothing was ever made that could hold data, as far as record and watches say: an order that never got as far as its
    /// application has nothing to export. A record has what is yet to be made as well, and what was made last may be there only.
    async fn holds_no_data(&self) -> bool {
        let ledger = Ledger::new(self.inventory.clone());
        let mut ids = identities(&self.inventory, &self.owner, &*self.context.discovery);
        // Of a kind that is not served there are no objects.
        ids.retain(|id| may_hold_data(&id.kind) && self.context.discovery.resolve(&id.kind).is_some());
        if ids.iter().any(|id| ledger.entry(id).is_none_or(|entry| entry.uid.is_some())) {
            return false;
        }
        let index = &self.context.index;
        index.synced(ids.iter().map(|id| &id.kind), FIRST_SETS).await
            && ids.iter().all(|id| matches!(index.see(id), Seen::Absent))
    }
}

fn impossible(why: String) -> Found {
    only(Export { impossible: Some(why), ..Export::default() })
}

fn needless(why: String) -> Found {
    only(Export { needless: Some(why), ..Export::default() })
}

fn only(export: Export) -> Found {
    Found { observed: Observed { export, ..Observed::default() }, endures: true, ..Found::default() }
}
