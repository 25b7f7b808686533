//! O6: one leader at a time, and after another leads, nothing that a replica sends changes the store.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use super::Finding;
use crate::history::{Change, Key, Record, Sort, uid};
use crate::site::{NAME, Verb};
use crate::wire::Exchange;

/// The resource that says who leads.
pub const LEASES: &str = "leases.coordination.k8s.io";

/// What the lease said at one revision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Word {
    /// Since which revision.
    pub revision: u64,
    /// Whether there is a lease at all.
    pub exists: bool,
    /// Identity of the holder; empty when nobody holds it.
    pub holder: String,
    /// When the holder took it, by its own clock.
    pub acquired: Option<Timestamp>,
    /// When it was last written, by the writer's clock.
    pub renewed: Option<Timestamp>,
    /// How long it lasts without being renewed.
    pub lasts: SignedDuration,
}

/// A change of the leader.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Takeover {
    /// Identity of the one before.
    pub from: String,
    /// Identity of the one after.
    pub to: String,
    /// Whether the one before had let go.
    pub released: bool,
    /// How long after the last word of the one before; unknown when somebody deleted the lease.
    pub after: Option<SignedDuration>,
}

// === impl Word ===

impl Word {
    /// From a change of the lease.
    #[must_use]
    pub fn of(change: &Change) -> Self {
        let spec = change.object.get("spec").unwrap_or(&Value::Null);
        let time = |field: &str| spec.get(field)?.as_str()?.parse().ok();
        let exists = change.sort != Sort::Deleted;
        let holder = spec.get("holderIdentity").and_then(Value::as_str).filter(|_| exists);
        Self {
            revision: change.revision,
            exists,
            holder: holder.unwrap_or_default().to_owned(),
            acquired: time("acquireTime"),
            renewed: time("renewTime").filter(|_| exists),
            lasts: SignedDuration::from_secs(
                spec.get("leaseDurationSeconds").and_then(Value::as_i64).unwrap_or_default(),
            ),
        }
    }
}

/// Name of the replica that has an identity: a controller makes the name it is given unique for each start.
#[must_use]
pub fn replica(identity: &str) -> &str {
    identity.rsplit_once('-').map_or(identity, |(name, _)| name)
}

/// Every change of the leader, from the words of the lease in their order.
#[must_use]
pub fn takeovers(words: &[Word]) -> Vec<Takeover> {
    let mut found = Vec::new();
    let mut leader = String::new();
    for (before, word) in words.iter().zip(words.iter().skip(1)) {
        if !before.holder.is_empty() {
            leader.clone_from(&before.holder);
        }
        if !word.holder.is_empty() && word.holder != leader {
            found.push(Takeover {
                from: leader.clone(),
                to: word.holder.clone(),
                released: before.holder.is_empty(),
                after: word.acquired.zip(before.renewed).map(|(then, last)| then.duration_since(last)),
            });
        }
    }
    found
}

/// Nobody takes a lease that is held, before it has expired.
#[must_use]
pub fn one_leader(words: &[Word]) -> Vec<Finding> {
    let lasts = words.iter().map(|word| word.lasts).max().unwrap_or_default();
    let early = |takeover: &&Takeover| !takeover.released && takeover.after.is_none_or(|after| after < lasts);
    let what = |takeover: &Takeover| {
        let Takeover { from, to, after, .. } = takeover;
        Finding::new("O6", format!("{to} took the lease of {from} after {after:?}, and it lasts {lasts:?}"))
    };
    takeovers(words).iter().filter(early).map(what).collect()
}

/// What changed the store was sent by whoever led at that revision.
#[must_use]
pub fn only_the_leader_writes(record: &Record, words: &[Word]) -> Vec<Finding> {
    let effects = Effects::of(record);
    let writes = record.exchanges.iter().filter(|e| e.is_effect() && e.place.site.is_essential());
    let made = writes.filter_map(|exchange| Some((exchange, effects.revision(exchange)?)));
    made.filter_map(|(exchange, at)| {
        let word = words.get(words.partition_point(|word| word.revision <= at).checked_sub(1)?)?;
        let is_fine = !word.exists || replica(&word.holder) == exchange.replica;
        (!is_fine).then(|| {
            let (sender, place) = (&exchange.replica, &exchange.place);
            let tenant = exchange.tenant.as_deref().unwrap_or("none");
            let leader = if word.holder.is_empty() { "nobody" } else { &word.holder };
            let what =
                format!("{place} of {sender} (tenant {tenant}) took effect at {at}, when {leader} led");
            Finding::new("O6", what)
        })
    })
    .collect()
}

/// Who does not lead sends no writes, whatever would come of them. What was kept back on its way was sent before.
#[must_use]
pub fn only_the_leader_sends(record: &Record, words: &[Word]) -> Vec<Finding> {
    let holders: HashMap<u64, &str> =
        words.iter().map(|word| (word.revision, replica(&word.holder))).collect();
    let mut leader = words.first().map(|word| replica(&word.holder)).unwrap_or_default();
    let mut findings = Vec::new();
    for exchange in &record.exchanges {
        let site = &exchange.place.site;
        if site.resource == LEASES {
            // A word that ends the rule of one replica was sent by that replica, or by its successor.
            let told = exchange.revision.filter(|_| exchange.is_effect());
            leader = told.and_then(|at| holders.get(&at).copied()).unwrap_or(leader);
        } else if site.verb.is_write()
            && site.is_essential()
            && !exchange.kept_back
            && exchange.replica != leader
        {
            let (sender, place) = (&exchange.replica, &exchange.place);
            let tenant = exchange.tenant.as_deref().unwrap_or("none");
            let leader = if leader.is_empty() { "nobody" } else { leader };
            let what = format!("{sender} sent {place} (tenant {tenant}) when {leader} led");
            findings.push(Finding::new("O6", what));
        }
    }
    findings
}

/// Which change a write made.
struct Effects<'a> {
    changes: BTreeMap<u64, &'a Key>,
    deletions: HashMap<&'a str, u64>,
}

// === impl Effects ===

impl<'a> Effects<'a> {
    fn of(record: &'a Record) -> Self {
        let deleted = record.changes.iter().filter(|change| change.sort == Sort::Deleted);
        Self {
            changes: record.changes.iter().map(|change| (change.revision, &change.key)).collect(),
            deletions: deleted.map(|change| (uid(&change.object), change.revision)).collect(),
        }
    }

    /// The revision that a write made, if it changed anything. What is there already is told with its own revision, and
    /// that was known before.
    fn revision(&self, exchange: &Exchange) -> Option<u64> {
        let at = match exchange.revision {
            Some(at) => self.changes.get(&at).filter(|known| ***known == key(exchange)).map(|_| at),
            // An object that goes at once is answered without a revision.
            None if exchange.place.site.verb == Verb::Delete => {
                self.deletions.get(exchange.uid.as_deref()?).copied()
            }
            None => None,
        };
        at.filter(|at| *at > exchange.known)
    }
}

/// The object that a request is about.
fn key(exchange: &Exchange) -> Key {
    let tenant = exchange.tenant.as_deref().unwrap_or_default();
    let site = &exchange.place.site;
    Key::new(&site.resource, &site.namespace.replace(NAME, tenant), &site.name.replace(NAME, tenant))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::oracle::testing::{Story, exchange};

    /// A word of the lease: revision, holder, and seconds at which it was acquired and renewed.
    fn word(revision: u64, holder: &str, acquired: f64, renewed: f64) -> Word {
        let time = |seconds: f64| {
            let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
            (start + SignedDuration::from_secs_f64(seconds)).to_string()
        };
        let object = json!({"spec": {
            "holderIdentity": holder, "leaseDurationSeconds": if holder.is_empty() { 1 } else { 15 },
            "acquireTime": time(acquired), "renewTime": time(renewed),
        }});
        let key = Key::new("leases.coordination.k8s.io", "tenantry-system", "tenantry-controller");
        Word::of(&Change { revision, sort: Sort::Changed, key, object: Arc::new(object) })
    }

    fn gone(revision: u64) -> Word {
        let last = word(revision, "a-1", 0.0, 0.0);
        Word { exists: false, holder: String::new(), renewed: None, ..last }
    }

    #[test]
    fn a_deleted_lease_has_no_holder() {
        let object =
            Arc::new(json!({"spec": {"holderIdentity": "a-1", "renewTime": "2026-01-01T00:00:00Z"}}));
        let key = Key::new("leases.coordination.k8s.io", "tenantry-system", "tenantry-controller");
        let word = Word::of(&Change { revision: 1, sort: Sort::Deleted, key, object });
        assert_eq!((word.exists, word.holder.as_str(), word.renewed), (false, "", None));
    }

    #[test]
    fn two_leaders_at_once_are_found() {
        let first = || vec![word(1, "a-1", 0.0, 0.0), word(2, "a-1", 0.0, 4.0)];
        let cases = [
            ("it renews", word(3, "a-1", 0.0, 6.0), 0),
            ("it had expired", word(3, "b-1", 19.1, 19.1), 0),
            ("it had not expired", word(3, "b-1", 18.9, 18.9), 1),
            ("another start of the same replica is another", word(3, "a-2", 5.0, 5.0), 1),
        ];
        for (what, next, found) in cases {
            let words = [first(), vec![next]].concat();
            assert_eq!(one_leader(&words).len(), found, "{what}");
        }
        let released = [first(), vec![word(3, "", 0.0, 5.0), word(4, "b-1", 5.2, 5.2)]].concat();
        assert_eq!(one_leader(&released), []);
        let deleted = [first(), vec![gone(3), word(4, "b-1", 5.2, 5.2)]].concat();
        assert_eq!(one_leader(&deleted), []);
    }

    #[test]
    fn a_takeover_tells_how_long_nobody_led() {
        let words = [
            word(1, "a-1", 0.0, 4.0),
            word(2, "b-1", 19.5, 19.5),
            word(3, "b-1", 19.5, 21.5),
            word(4, "", 19.5, 22.0),
            word(5, "a-2", 22.25, 22.25),
            gone(6),
            word(7, "b-2", 30.0, 30.0),
        ];
        let told = |takeover: &Takeover| {
            let after = takeover.after.map(|after| after.as_secs_f64());
            (takeover.from.clone(), takeover.to.clone(), takeover.released, after)
        };
        let expected =
            [("a-1", "b-1", false, Some(15.5)), ("b-1", "a-2", true, Some(0.25)), ("a-2", "b-2", true, None)];
        let expected =
            expected.map(|(from, to, released, after)| (from.to_owned(), to.to_owned(), released, after));
        assert_eq!(takeovers(&words).iter().map(told).collect::<Vec<_>>(), expected);
    }

    /// `settings` is made at revision 100 and changed at 101. Replica a leads from 50, the lease is what `next` says from
    /// 101 on.
    fn judged(next: Word, exchange: Exchange) -> usize {
        let story = Story::of("acme").created("configmaps", "settings", "u1");
        let story = story.content("configmaps", "settings", "other").asked(exchange);
        only_the_leader_writes(&story.record(), &[word(50, "a-1", 0.0, 0.0), next]).len()
    }

    #[test]
    fn a_write_after_another_leads_is_found() {
        let write = |replica: &str, code, revision, known| Exchange {
            replica: replica.to_owned(),
            revision,
            known,
            ..exchange("apply configmaps tenant-{name}/settings #1", Some("u1"), code)
        };
        let event = Exchange { revision: Some(101), ..exchange("create events default/* #1", None, 201) };
        let another =
            Exchange { revision: Some(101), ..exchange("apply configmaps tenant-{name}/b #1", None, 200) };
        let cases = [
            ("before the other leads", write("a", 201, Some(100), 90), 0),
            ("after the other leads", write("a", 200, Some(101), 100), 1),
            ("of the one who leads", write("b", 200, Some(101), 100), 0),
            ("of the one who does not lead yet", write("b", 200, Some(100), 99), 1),
            ("rejected", write("a", 409, Some(101), 100), 0),
            ("never answered", Exchange { code: None, ..write("a", 200, Some(101), 100) }, 0),
            ("of what is there already", write("a", 200, Some(101), 101), 0),
            ("an event", event, 0),
            ("of another object", another, 0),
        ];
        for (what, exchange, found) in cases {
            assert_eq!(judged(word(101, "b-1", 15.0, 15.0), exchange), found, "{what}");
        }
        let late = || write("a", 200, Some(101), 100);
        assert_eq!(judged(word(101, "", 0.0, 2.0), late()), 1, "it had let go");
        assert_eq!(judged(gone(101), late()), 0, "nobody says who leads");
    }

    #[test]
    fn a_write_that_is_sent_after_another_leads_is_found() {
        let words = [
            word(50, "a-1", 0.0, 0.0),
            word(60, "b-1", 15.0, 15.0),
            word(61, "", 15.0, 16.0),
            word(62, "a-2", 16.5, 16.5),
        ];
        let of = |replica: &str, place: &str, code, revision| Exchange {
            replica: replica.to_owned(),
            revision,
            ..exchange(place, None, code)
        };
        let lease = |replica: &str, code, revision| {
            let place = "update leases.coordination.k8s.io tenantry-system/tenantry-controller #1";
            of(replica, place, code, Some(revision))
        };
        let write = |replica: &str| of(replica, "create configmaps tenant-{name}/a #1", 409, None);
        let b_leads = || lease("b", 200, 60);
        let cases = [
            ("by the first leader", vec![write("a")], 0),
            ("by who waits", vec![write("b")], 1),
            ("before the other leads", vec![write("a"), b_leads()], 0),
            ("after the other leads", vec![b_leads(), write("a")], 1),
            ("by the one who leads", vec![b_leads(), write("b")], 0),
            ("the other did not get it", vec![lease("b", 409, 60), write("a")], 0),
            ("after it let go", vec![b_leads(), lease("b", 200, 61), write("b")], 1),
            ("it leads again", vec![b_leads(), lease("b", 200, 61), lease("a", 200, 62), write("a")], 0),
            ("sent before", vec![b_leads(), Exchange { kept_back: true, ..write("a") }], 0),
            ("a look", vec![b_leads(), of("a", "get secrets tenant-{name}/a #1", 200, None)], 0),
            ("an event", vec![b_leads(), of("a", "create events default/* #1", 201, None)], 0),
        ];
        for (what, exchanges, found) in cases {
            let record = Record { exchanges, ..Record::default() };
            assert_eq!(only_the_leader_sends(&record, &words).len(), found, "{what}");
        }
    }

    #[test]
    fn a_deletion_after_another_leads_is_found() {
        let story =
            Story::of("acme").created("configmaps", "settings", "u1").deleted("configmaps", "settings");
        let delete = |uid, known| Exchange {
            known,
            ..exchange("delete configmaps tenant-{name}/settings #1", Some(uid), 200)
        };
        let words = [word(50, "a-1", 0.0, 0.0), word(101, "b-1", 15.0, 15.0)];
        let found = |exchange| only_the_leader_writes(&story.clone().asked(exchange).record(), &words).len();
        assert_eq!(found(delete("u1", 100)), 1);
        assert_eq!(found(delete("u1", 101)), 0, "it was gone already");
        assert_eq!(found(delete("u2", 100)), 0, "that one never went");
    }
}
