//! What shall run, or rest, while a tenant ends: rendered from the order that was accepted last, over what is recorded. Needs
//! clients.

use super::{Ending, Found};
use crate::controller::reconcile::prepare::Prepared;
use crate::controller::reconcile::write::WriteError;
use crate::controller::reconcile::{dereference, suspension, work};
use std::time::Duration;
use tenantry_apply::executor::Execution;
use tenantry_apply::object::{Desired, Kind};
use tenantry_apply::plan::{self, Plan, Wait};
use tenantry_apply::record::{Ledger, identities};
use tenantry_apply::wave::lets_in;
use tenantry_checklist::Problem;
use tenantry_checklist::exit::{Left, Observed};
use tenantry_checklist::suspension::Effect;

/// Between two looks at pods that still run.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

// === impl Ending ===

impl Ending<'_> {
    /// Nothing of the tenant runs any more. Its data, its settings and what bounds it stay.
    pub(super) async fn stop(&mut self) -> Result<Found, WriteError> {
        if let Some(found) = self.documents().await {
            return Ok(found);
        }
        let effect = Effect { network: true, compute: true, ..Effect::default() };
        let prepared = match self.rendered(effect) {
            Ok(prepared) => prepared,
            Err(why) => {
                // Nobody can say how to stop it; it goes with the data.
                let note = format!("what runs was not told to stop, because {why}");
                return Ok(Found {
                    observed: Observed { note: Some(note), ..Observed::default() },
                    ..Found::default()
                });
            }
        };
        self.confirm().await?;
        let mut found = self.converge(&prepared, &[]).await;
        if !found.observed.left.is_empty() || found.failed {
            return Ok(found);
        }
        let why = match suspension::running(self.context, &self.owner.namespace).await {
            Ok(0) => return Ok(found),
            Ok(1) => "1 still runs".to_owned(),
            Ok(count) => format!("{count} still run"),
            Err(error) => {
                let subscription = &self.snapshot.root.name;
                tracing::warn!(%subscription, %error, "the pods of a tenant that ends cannot be seen");
                "cannot be looked at".to_owned()
            }
        };
        found.observed.left.push(Left { object: "pods".to_owned(), why });
        found.next = Some(self.snapshot.instant + LOOK_AGAIN);
        Ok(found)
    }

    /// Everything that would exist for the tenant under `effect`, by the order and the revisions that were accepted last.
    ///
    /// # Errors
    /// Why it cannot be rendered any more, for people.
    pub(super) fn rendered(&mut self, effect: Effect) -> Result<Prepared, String> {
        let accepted = dereference::accepted_order(self.context, &self.snapshot, self.session);
        let rendered = accepted.and_then(|(order, outputs)| {
            let left = dereference::left_of(self.context, &self.snapshot, &order);
            dereference::render(self.context, order, outputs, effect, &left)
        });
        rendered.map_err(|problems| Problem::list(&problems))
    }

    /// Brings what exists to what is rendered, and makes what is asked for besides and is on record. What lets people in is left as
    /// it is, and nothing else begins.
    pub(super) async fn converge(&mut self, prepared: &Prepared, besides: &[Desired]) -> Found {
        let exists = Ledger::new(self.inventory.clone());
        let is_recorded =
            |object: &&Desired| exists.entry(&object.id).is_some_and(|entry| entry.uid.is_some());
        let mut desired: Vec<Desired> = prepared
            .desired
            .iter()
            .filter(|object| !lets_in(&object.id.kind))
            .filter(is_recorded)
            .chain(besides)
            .cloned()
            .collect();
        desired.iter_mut().for_each(|object| object.released = true);
        work::watch_kinds(self.context, &desired);
        work::await_watches(self.context, self.session, prepared).await;
        let (plan, done) = self.rounds(&desired, |ending| ending.plan(prepared, &desired)).await;
        found(&plan, &done)
    }

    fn plan(&self, prepared: &Prepared, desired: &[Desired]) -> Plan {
        let context = self.context;
        let ids = desired.iter().map(|object| object.id.clone());
        let recorded = identities(&self.inventory, &self.owner, &*context.discovery);
        let view = context.index.snapshot(ids.chain(recorded));
        plan::plan(&plan::Input {
            owner: &self.owner,
            order: &prepared.order.digest,
            desired,
            complete: false,
            leaving: &[],
            inventory: &self.inventory,
            view: &view,
            scopes: &*context.discovery,
        })
    }
}

/// What is not as it shall be, and why.
fn found(plan: &Plan, done: &Execution) -> Found {
    let named = |kind: &Kind, name: &str| format!("{} {name}", kind.name());
    let failed = done.outcomes.iter().filter_map(|outcome| {
        let failure = outcome.result.as_ref().err()?;
        let object = named(&outcome.id.kind, &outcome.id.name);
        Some(Left { object, why: failure.message.clone() })
    });
    let waiting = plan.waits.iter().filter(|waiting| !matches!(waiting.wait, Wait::Kind { .. }));
    let waiting = waiting.map(|waiting| Left {
        object: named(&waiting.id.kind, &waiting.id.name),
        why: "is not as it shall be yet".to_owned(),
    });
    let left: Vec<Left> = failed.chain(waiting).collect();
    let failed = done.outcomes.iter().any(|outcome| outcome.result.is_err());
    Found { observed: Observed { left, ..Observed::default() }, failed, ..Found::default() }
}
