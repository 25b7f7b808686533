//! What the index and the inventory prove about each checklist item; no client or clock.

use crate::controller::foreign::Sight;
use std::collections::{BTreeMap, HashMap};
use tenantry_apply::classify::{Failure, Verdict};
use tenantry_apply::executor::Outcome;
use tenantry_apply::health::Health;
use tenantry_apply::index::Seen;
use tenantry_apply::object::Owner;
use tenantry_apply::object::{Desired, HealthRule, ObjectId, Policy};
use tenantry_apply::plan::{View, Wait, Waiting};
use tenantry_apply::record::{Ledger, identities};
use tenantry_apply::scope::Scopes;
use tenantry_blueprint::expression::Expression;
use tenantry_checklist::item::{self, Evidence, ItemFailure, Unhealthy};
use tenantry_crds::inventory::{EntryState, Inventory};

/// What is observed of the desired objects.
pub(crate) struct Observations<'a> {
    /// What exists.
    pub(crate) view: &'a dyn View,
    /// What was recorded, after the last answers.
    pub(crate) ledger: &'a Ledger,
    /// Compiled readiness expressions by their text.
    pub(crate) ready_when: &'a HashMap<String, Expression>,
    /// Who brings the volume of a claim, by mounting it.
    pub(crate) consumer: &'a dyn Fn(&Desired) -> Consumer<'a>,
}

/// Whose pod a volume comes with. Volumes of some storage classes come only with the first pod that mounts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consumer<'a> {
    /// Nobody's: it comes by itself.
    None,
    /// One of the pods of this item, which is not done before.
    Item(&'a str),
    /// That of a job. Nothing waits for it: the job does not begin before what the claim belongs to is done.
    Job,
}

/// State of one desired object.
enum Standing {
    /// Not there, or not as it shall be.
    Absent,
    /// There as it shall be, and how it does.
    Present(Health),
}

/// Evidence by item. An item whose pods a volume comes with answers for it, whichever item asked for it.
#[must_use]
pub(crate) fn evidence(
    desired: &[Desired],
    observations: &Observations<'_>,
    waits: &[Waiting],
    outcomes: &[Outcome],
    now: jiff::Timestamp,
) -> BTreeMap<String, Evidence> {
    let mut all: BTreeMap<String, Evidence> = BTreeMap::new();
    let waits: HashMap<&ObjectId, &Wait> = waits.iter().map(|waiting| (&waiting.id, &waiting.wait)).collect();
    for object in desired {
        let entry = all.entry(object.item.clone()).or_default();
        match waits.get(&object.id) {
            Some(Wait::Kind { optional: true }) => {
                push_new(&mut entry.missing_kinds, object.id.kind.name());
                continue;
            }
            Some(wait) => entry.waiting = entry.waiting.take().or_else(|| waiting(object, wait)),
            None => {}
        }
        entry.desired += 1;
        if let Standing::Present(health) = standing(object, observations) {
            entry.live += 1;
            let consumer = if is_claim(object) { (observations.consumer)(object) } else { Consumer::None };
            match (unhealthy(&object.id, &health), consumer) {
                (Some(found), Consumer::None) => entry.unhealthy.push(found),
                (Some(found), Consumer::Item(item)) => {
                    all.entry(item.to_owned()).or_default().unhealthy.push(found);
                }
                (Some(_), Consumer::Job) | (None, _) => {}
            }
        }
    }
    for outcome in outcomes {
        if let (Some(item), Err(failure)) = (&outcome.item, &outcome.result)
            && failure.verdict != Verdict::Skipped
        {
            let entry = all.entry(item.clone()).or_default();
            // Of several failures the definite one counts, since it does not go away by waiting.
            if entry.failure.as_ref().is_none_or(|known| !known.definitive) {
                entry.failure = Some(item_failure(outcome, failure, now));
            }
        }
    }
    all
}

/// Evidence of an item that waits for somebody else's object. `kind` is how people know it.
#[must_use]
pub(crate) fn external(id: &ObjectId, until: &Expression, sight: Option<Sight>) -> Evidence {
    let (kind, name) = (id.kind.name(), &id.name);
    let waits = |reason: &str, message: String| {
        let waiting = Some(item::Waiting { reason: reason.to_owned(), message });
        Evidence { desired: 1, waiting, ..Evidence::default() }
    };
    let object = match sight {
        None => {
            let message = format!("{kind} {name} needs the kind {} to be installed in this cluster", id.kind);
            return waits("KindNotInstalled", message);
        }
        Some(Sight::NotSynced) => {
            return waits("NotObserved", format!("{kind} {name} has not been looked at yet"));
        }
        Some(Sight::Absent) => {
            return waits("ExternalMissing", format!("{kind} {name} is not there; somebody else makes it"));
        }
        Some(Sight::There(object)) => object,
    };
    match until.ready(&object) {
        Ok(true) => Evidence { desired: 1, live: 1, ..Evidence::default() },
        Ok(false) => {
            waits("ExternalPending", format!("{kind} {name} is there; waiting until {}", until.source()))
        }
        Err(error) => waits(
            "ExternalUnreadable",
            format!("{kind} {name} does not fit what is asked of it, {}: {error}", until.source()),
        ),
    }
}

/// Evidence of one item by the record alone, for a tenant nothing can be rendered for.
#[must_use]
pub(crate) fn recorded(
    inventory: &Inventory,
    owner: &Owner,
    view: &dyn View,
    scopes: &dyn Scopes,
    item: &str,
) -> Evidence {
    let mut evidence = Evidence::default();
    for entry in
        inventory.objects.iter().filter(|entry| entry.item == item && entry.state != EntryState::Kept)
    {
        let only = Inventory { order: String::new(), objects: vec![entry.clone()] };
        let Some(id) = identities(&only, owner, scopes).pop() else { continue };
        evidence.desired += 1;
        let health = match (view.see(&id), &entry.uid) {
            (Seen::Unwatched, Some(_)) => Health::Current,
            (Seen::Present(observed, _), Some(uid)) if *observed.uid == **uid && !observed.deleting => {
                // What readyWhen said cannot be asked again without the order.
                if observed.retained.is_some() { Health::Current } else { observed.health }
            }
            _ => continue,
        };
        evidence.live += 1;
        evidence.unhealthy.extend(unhealthy(&id, &health));
    }
    evidence
}

fn item_failure(outcome: &Outcome, failure: &Failure, at: jiff::Timestamp) -> ItemFailure {
    ItemFailure {
        definitive: failure.verdict.is_definitive(),
        reason: failure.verdict.as_str().to_owned(),
        message: format!("{} {}: {}", outcome.id.kind.name(), outcome.id.name, failure.message),
        at,
    }
}

fn push_new(list: &mut Vec<String>, word: &str) {
    if !list.iter().any(|known| known == word) {
        list.push(word.to_owned());
    }
}

fn waiting(object: &Desired, wait: &Wait) -> Option<item::Waiting> {
    let kind = object.id.kind.name();
    let name = &object.id.name;
    let (reason, message) = match wait {
        Wait::Kind { .. } => (
            "KindNotInstalled",
            format!("{kind} {name} needs the kind {} to be installed in this cluster", object.id.kind),
        ),
        Wait::NameConflict => (
            "NameConflict",
            format!("{kind} {name} exists and was not created for this subscription; remove or rename it"),
        ),
        Wait::InventoryFull => (
            "InventoryFull",
            "the tenant has more objects than can be recorded; split the application".to_owned(),
        ),
        Wait::Terminating => {
            ("Terminating", format!("{kind} {name} is being deleted and will be made again"))
        }
        Wait::Release | Wait::Stage(_) | Wait::Sync | Wait::LateKind => return None,
    };
    Some(item::Waiting { reason: reason.to_owned(), message })
}

fn standing(object: &Desired, observations: &Observations<'_>) -> Standing {
    let Some(entry) = observations.ledger.entry(&object.id) else { return Standing::Absent };
    let Some(uid) = entry.uid.as_deref() else { return Standing::Absent };
    // An object that is created once is left as it was made.
    let as_intended = object.policy != Policy::Manage || entry.digest.as_deref() == Some(&*object.digest);
    match observations.view.see(&object.id) {
        Seen::Unwatched if as_intended => Standing::Present(Health::Current),
        Seen::Present(observed, _) if as_intended && *observed.uid == *uid && !observed.deleting => {
            let health = match &object.health {
                HealthRule::Builtin => observed.health.clone(),
                HealthRule::ReadyWhen(expression) => {
                    ready(observations.ready_when.get(expression), observed.retained.as_deref())
                }
            };
            Standing::Present(health)
        }
        _ => Standing::Absent,
    }
}

fn ready(expression: Option<&Expression>, retained: Option<&serde_json::Value>) -> Health {
    let (Some(expression), Some(object)) = (expression, retained) else {
        return Health::InProgress("its status has not been observed".into());
    };
    match expression.ready(object) {
        Ok(true) => Health::Current,
        Ok(false) => Health::InProgress("its readyWhen does not hold yet".into()),
        // A status that is not written yet has none of the fields.
        Err(_) => Health::InProgress("its status lacks what readyWhen asks for".into()),
    }
}

fn unhealthy(id: &ObjectId, health: &Health) -> Option<Unhealthy> {
    let (reason, failed) = match health {
        Health::Current => return None,
        Health::InProgress(reason) => (reason.to_string(), false),
        Health::Failed(reason) => (reason.to_string(), true),
        Health::Unknown => ("its status has not been observed".to_owned(), false),
    };
    Some(Unhealthy { object: format!("{} {}", id.kind.name(), id.name), reason, failed })
}

/// Whether an object is a claim of a volume.
#[must_use]
pub(crate) fn is_claim(object: &Desired) -> bool {
    object.id.kind.is("", "PersistentVolumeClaim")
}
