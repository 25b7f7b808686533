//! A cluster in memory that behaves as the executor and the API server do together.

use super::*;

/// An object in the cluster.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Thing {
    pub(super) uid: String,
    pub(super) tenant_id: Option<&'static str>,
    pub(super) token: Token,
    resource_version: u64,
    ours: bool,
}

/// A creation, and what stood at that moment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Created {
    pub(super) id: ObjectId,
    pub(super) standing: Vec<ObjectId>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cluster {
    pub(super) scopes: BTreeMap<Kind, Scope>,
    things: BTreeMap<ObjectId, Thing>,
    /// Creations by plans.
    pub(super) created: Vec<Created>,
    counter: u64,
}

impl Thing {
    pub(super) fn foreign(tenant_id: Option<&'static str>) -> Self {
        let token = Token { ours: 0, foreign: 9, revision: 1 };
        Self { uid: "foreign".into(), tenant_id, token, resource_version: 1, ours: false }
    }
}

impl Cluster {
    pub(super) fn new(scopes: BTreeMap<Kind, Scope>) -> Self {
        Self { scopes, things: BTreeMap::new(), created: Vec::new(), counter: 1 }
    }

    pub(super) fn insert(&mut self, id: &ObjectId, thing: Thing) {
        self.things.insert(id.clone(), thing);
    }

    pub(super) fn thing(&mut self, id: &ObjectId) -> &mut Thing {
        self.things.get_mut(id).unwrap()
    }

    pub(super) fn holds(&self, id: &ObjectId) -> bool {
        self.things.contains_key(id)
    }

    pub(super) fn vanish(&mut self, id: &ObjectId) {
        self.things.remove(id);
    }

    pub(super) fn foreign(&self) -> BTreeMap<ObjectId, Thing> {
        self.things
            .iter()
            .filter(|(_, thing)| !thing.ours)
            .map(|(id, thing)| (id.clone(), thing.clone()))
            .collect()
    }

    pub(super) fn create(&mut self, desired: &Desired) -> (String, Baseline) {
        self.counter += 1;
        let token = intended(desired);
        let uid = format!("uid-{}", self.counter);
        let resource_version = self.counter;
        let thing = Thing { uid: uid.clone(), tenant_id: Some("t-77"), token, resource_version, ours: true };
        self.things.insert(desired.id.clone(), thing);
        (uid, Baseline { token, leftover: 0, resource_version })
    }

    /// Performs a plan as the executor does: gated steps stop behind a failure they depend on.
    pub(super) fn execute(&mut self, plan: &Plan, desired: &[Desired], inventory: &mut Inventory) {
        let mut ledger = Ledger::new(inventory.clone());
        let mut failed: Vec<Wave> = Vec::new();
        for step in &plan.steps {
            let blocked = match step.action {
                Action::Delete { .. } => !failed.is_empty(),
                _ => failed.iter().any(|wave| must_stand(*wave, step.wave)),
            };
            if step.gated && blocked {
                failed.push(step.wave);
                continue;
            }
            let wanted = desired.iter().find(|one| one.id == step.id);
            let written = match (&step.action, wanted) {
                (Action::Keep, _) => {
                    ledger.keep(&step.id);
                    continue;
                }
                (Action::Forget, _) => {
                    ledger.forget(&step.id);
                    continue;
                }
                (Action::Delete { uid }, _) => {
                    self.delete(&step.id, uid, &mut ledger);
                    continue;
                }
                (Action::Create, Some(wanted)) => self.post(wanted),
                (Action::Apply { uid, .. } | Action::Compare { uid }, Some(wanted)) => {
                    self.apply(wanted, uid)
                }
                (_, None) => panic!("a step for something that is not desired: {step:?}"),
            };
            match (written, wanted) {
                (Some((uid, baseline)), Some(wanted)) => {
                    ledger.live(&step.id, &wanted.item, &uid, &wanted.digest, &baseline);
                }
                _ => failed.push(step.wave),
            }
        }
        *inventory = ledger.into_inventory();
    }

    fn post(&mut self, desired: &Desired) -> Option<(String, Baseline)> {
        match self.things.get(&desired.id) {
            None => {
                let standing = self.things.iter().filter(|(_, t)| t.ours).map(|(id, _)| id.clone()).collect();
                self.created.push(Created { id: desired.id.clone(), standing });
                Some(self.create(desired))
            }
            Some(thing) if thing.tenant_id == Some("t-77") => {
                let uid = thing.uid.clone();
                self.apply(desired, &uid)
            }
            Some(_) => None,
        }
    }

    fn apply(&mut self, desired: &Desired, uid: &str) -> Option<(String, Baseline)> {
        match self.things.get_mut(&desired.id) {
            None => self.post(desired),
            Some(thing) if thing.uid == uid => {
                self.counter += 1;
                thing.tenant_id = Some("t-77");
                thing.token = intended(desired);
                thing.resource_version = self.counter;
                let baseline =
                    Baseline { token: thing.token, leftover: 0, resource_version: thing.resource_version };
                Some((uid.to_owned(), baseline))
            }
            Some(_) => None,
        }
    }

    fn delete(&mut self, id: &ObjectId, uid: &str, ledger: &mut Ledger) {
        if self.things.get(id).is_none_or(|thing| thing.uid != uid) {
            ledger.forget(id);
            return;
        }
        self.things.remove(id);
        if id.kind.is_namespace() {
            self.things.retain(|other, _| other.namespace.as_deref() != Some(&*id.name));
        }
        ledger.deleting(id, uid);
    }
}

/// The token of an object that is as desired.
fn intended(desired: &Desired) -> Token {
    let ours = u64::from_str_radix(&desired.digest[..16], 16).unwrap();
    Token { ours, foreign: 0, revision: 1 }
}

impl View for Cluster {
    fn see(&self, id: &ObjectId) -> Seen {
        if id.kind.is_secret() {
            return Seen::Unwatched;
        }
        let Some(thing) = self.things.get(id).filter(|thing| thing.tenant_id.is_some()) else {
            return Seen::Absent;
        };
        let observed = Observed {
            uid: thing.uid.as_str().into(),
            resource_version: thing.resource_version,
            token: thing.token,
            deleting: false,
            health: Health::Current,
            tenant_id: thing.tenant_id.map(Into::into),
            subscription: None,
            retained: None,
        };
        Seen::Present(Box::new(observed), None)
    }
}
