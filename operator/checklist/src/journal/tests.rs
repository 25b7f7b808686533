use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tenantry_crds::blueprint::{Category, Party};
use tenantry_crds::subscription::{
    Conclusion, ItemState, JobResult, JobRun, OperationKind, Promise, SignOffRequest, Signature, TenantStatus,
};
use tenantry_crds::subscription::{SuspensionHold, SuspensionStatus};
use tenantry_crds::suspension::{LiftAuthority, SuspensionReason, SuspensionScope};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn entry(name: &str, number: i32, outcome: Outcome) -> ChecklistEntry {
    ChecklistEntry {
        name: name.to_owned(),
        category: Category::Testing,
        owner: Party::Provider,
        state: ItemState::Done,
        reason: "ObjectsObserved".to_owned(),
        message: String::new(),
        since: time::time(at(9)),
        started_at: Some(time::time(at(2))),
        attempts: 0,
        next_retry_at: None,
        input_digest: Some("d1".to_owned()),
        objects: 3,
        sign_off: None,
        job: None,
        due: None,
        overdue: false,
        estimated_seconds: None,
        conclusion: Some(Conclusion {
            number,
            outcome,
            started_at: Some(time::time(at(2))),
            worked_at: time::time(at(5)),
            at: time::time(at(9)),
            reopened: false,
        }),
    }
}

fn status(checklist: Vec<ChecklistEntry>) -> TenantSubscriptionStatus {
    let promise =
        Promise { machine_seconds: 5, people_seconds: 60, completion: time::time(at(65)), nine_of_ten: None };
    TenantSubscriptionStatus {
        tenant: Some(TenantStatus { id: "k7".to_owned(), ..TenantStatus::default() }),
        accepted: Some(AcceptedRevisions { plan: "gold@1".to_owned(), ..AcceptedRevisions::default() }),
        operation: Some(OperationStatus {
            number: 1,
            kind: OperationKind::Provision,
            started_at: time::time(at(0)),
            cause: String::new(),
            promise: Some(promise),
            estimated_completion: None,
            completed_at: None,
            took: None,
        }),
        checklist,
        ..TenantSubscriptionStatus::default()
    }
}

fn ids(facts: &[JournalFact]) -> Vec<&str> {
    facts.iter().map(|fact| fact.id.as_str()).collect()
}

#[test]
fn a_status_tells_what_happened_and_what_proves_it() {
    let mut tested = entry("testing", 2, Outcome::Done);
    tested.job = Some(JobRun {
        name: "testing-3-abc".to_owned(),
        attempt: 3,
        digest: "d1".to_owned(),
        state: JobState::Succeeded,
        ended_at: Some(time::time(at(8))),
        result: Some(JobResult { message: "12 checks".to_owned(), ..JobResult::default() }),
        refusals: 0,
        let_go: false,
    });
    tested.sign_off = Some(SignOffRequest {
        party: Party::Customer,
        order_digest: "o1".to_owned(),
        evidence_required: false,
        signature: Some(Signature {
            name: "acme-testing-x".to_owned(),
            by: "ada@acme.example".to_owned(),
            via: None,
            at: time::time(at(9)),
        }),
    });
    let mut status = status(vec![tested]);
    if let Some(operation) = &mut status.operation {
        operation.completed_at = Some(time::time(at(20)));
    }
    let facts = facts(&status);
    assert_eq!(
        ids(&facts),
        [
            "k7/operation/1/began",
            "k7/operation/1/ended",
            "k7/item/testing/2",
            "k7/run/testing/3",
            "k7/signature/testing/acme-testing-x"
        ]
    );
    let outcomes: Vec<&str> = facts.iter().map(|fact| fact.outcome.as_str()).collect();
    assert_eq!(outcomes, ["Began", COMPLETED, DONE, "Succeeded", "Signed"]);
    let [_, _, item, run, signature] = &facts[..] else { panic!("five facts") };
    assert_eq!((item.machine_seconds, item.people_seconds, item.at.clone()), (3, 4, time::time(at(9))));
    assert_eq!((run.attempts, signature.actor.as_str()), (3, "ada@acme.example"));
    assert!(run.evidence.contains("12 checks") && item.evidence.contains(r#""run":"testing-3-abc""#));
    assert!(!item.evidence.contains("null"), "{}", item.evidence);
}

#[test]
fn nothing_is_told_before_there_is_a_tenant() {
    assert_eq!(facts(&TenantSubscriptionStatus::default()), []);
    assert_eq!(ending(&TenantSubscriptionStatus::default(), &end(DeletionPolicy::Delete), at(0)), []);
}

fn end(policy: DeletionPolicy) -> End<'static> {
    End { policy, requested: at(30), leftovers: &[] }
}

#[test]
fn an_end_tells_of_what_was_under_way() {
    let told = ending(&status(Vec::new()), &end(DeletionPolicy::Retain), at(50));
    assert_eq!(
        ids(&told),
        ["k7/operation/1/ended", "k7/operation/2/began", "k7/operation/2/ended", "k7/ended"]
    );
    assert_eq!((told[0].outcome.as_str(), told[2].outcome.as_str()), ("Abandoned", COMPLETED));
    assert_eq!((told[1].at.clone(), told[2].machine_seconds), (time::time(at(30)), 20));
    assert!(told[3].evidence.contains("Retain"));
    let mut done = status(Vec::new());
    if let Some(operation) = &mut done.operation {
        operation.completed_at = Some(time::time(at(20)));
    }
    let delete = end(DeletionPolicy::Delete);
    let whole = ["k7/operation/2/began", "k7/operation/2/ended", "k7/ended"];
    assert_eq!(ids(&ending(&done, &delete, at(50))), whole);
    // An end that is in the status already is the same operation.
    done.operation = Some(report::begun(&done, OperationKind::Offboard, "Delete", at(30)));
    assert_eq!(ids(&ending(&done, &delete, at(50))), whole);
    assert!(ids(&facts(&done)).contains(&"k7/operation/2/began"));
}

#[test]
fn what_is_left_and_what_is_handed_over_have_each_one_id() {
    let leftover = Leftover {
        kind: "v1/ConfigMap".to_owned(),
        namespace: Some("tenant-acme".to_owned()),
        name: "web".to_owned(),
        uid: "u1".to_owned(),
    };
    let end = End { leftovers: std::slice::from_ref(&leftover), ..end(DeletionPolicy::Delete) };
    let told = ending(&status(Vec::new()), &end, at(50));
    let left = told.iter().find(|fact| fact.subject == JournalSubject::Leftover).unwrap();
    assert_eq!((left.id.as_str(), left.outcome.as_str()), ("k7/leftover/u1", LEFT));
    assert_eq!(serde_json::from_str::<Leftover>(&left.evidence).unwrap(), leftover);
    let content = json!({"content": "{}"});
    let kept = |name, version| document(&status(Vec::new()), name, version, &content, at(50)).unwrap();
    assert_eq!(kept("a.json", Some("0123456789abcdef0123")).id, "k7/document/a.json/0123456789abcdef");
    assert_eq!(kept("b.jws", None).id, "k7/document/b.jws");
    assert_eq!(document(&TenantSubscriptionStatus::default(), "a.json", None, &content, at(0)), None);
}

#[test]
fn what_would_be_overwritten_is_carried_until_it_is_recorded() {
    let failed = status(vec![entry("a", 1, Outcome::Failed)]);
    let done = status(vec![entry("a", 2, Outcome::Done)]);
    assert_eq!(carry(&failed, done.clone(), at(9), |_| true).unrecorded, []);
    let carried = carry(&failed, done.clone(), at(9), |_| false);
    assert_eq!(ids(&carried.unrecorded), ["k7/item/a/1"], "what the new status tells itself is not carried");
    let later = carry(&carried, done.clone(), at(9), |_| false);
    assert_eq!(later.unrecorded, carried.unrecorded);
    assert_eq!(carry(&later, done, at(9), |fact| fact.id == "k7/item/a/1").unrecorded, []);
}

#[test]
fn a_status_that_carries_much_keeps_new_things_from_beginning() {
    let mut status = status(Vec::new());
    assert!(!is_full(&status));
    let fact = facts(&status).remove(0);
    status.unrecorded = vec![fact; BOUND];
    assert!(is_full(&status));
}

/// What happens to one tenant next.
#[derive(Clone, Debug)]
enum Step {
    /// An item ends, and the status is written.
    Ends { item: usize, outcome: Outcome },
    /// The database is away, or back.
    Away(bool),
    /// The process is killed: what it knows of the database is lost.
    Killed,
    /// What waits is written to the database, which may be before or after the process knows of it.
    Written { known: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_usize..3, any::<bool>()).prop_map(|(item, done)| Step::Ends {
            item,
            outcome: if done { Outcome::Done } else { Outcome::Failed }
        }),
        1 => any::<bool>().prop_map(Step::Away),
        1 => Just(Step::Killed),
        3 => any::<bool>().prop_map(|known| Step::Written { known }),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    /// Whatever happens when: once the database is back, everything that a status ever told is there, and nothing else, and no
    /// status has more on it than its room.
    #[test]
    fn nothing_is_lost_and_nothing_doubled(steps in steps()) {
        let mut now = status(Vec::new());
        let mut numbers = [0_i32; 3];
        let mut told: BTreeMap<String, JournalFact> = BTreeMap::new();
        let mut database: BTreeMap<String, JournalFact> = BTreeMap::new();
        // What this process knows that the database has.
        let mut known: BTreeSet<String> = BTreeSet::new();
        let mut away = false;
        for step in steps.into_iter().chain([Step::Away(false), Step::Killed, Step::Written { known: true }]) {
            match step {
                Step::Ends { item, outcome } => {
                    numbers[item] += 1;
                    let name = ["a", "b", "c"][item];
                    let mut next = now.clone();
                    next.checklist.retain(|entry| entry.name != name);
                    next.checklist.push(entry(name, numbers[item], outcome));
                    now = carry(&now, next, at(9), |fact| known.contains(&fact.id));
                    prop_assert!(now.unrecorded.len() <= ROOM);
                    for fact in facts(&now) {
                        told.entry(fact.id.clone()).or_insert(fact);
                    }
                }
                Step::Away(is_away) => away = is_away,
                Step::Killed => known = if away { BTreeSet::new() } else { database.keys().cloned().collect() },
                Step::Written { .. } if away => {}
                Step::Written { known: is_known } => {
                    for fact in facts(&now) {
                        if is_known {
                            known.insert(fact.id.clone());
                        }
                        database.entry(fact.id.clone()).or_insert(fact);
                    }
                }
            }
        }
        let all: Vec<JournalFact> = facts(&now);
        let unique: BTreeSet<&str> = all.iter().map(|fact| fact.id.as_str()).collect();
        prop_assert_eq!(unique.len(), all.len());
        // `facts` of the first status are told by the next one as well.
        told.extend(all.into_iter().map(|fact| (fact.id.clone(), fact)));
        let ids = |facts: &BTreeMap<String, JournalFact>| facts.keys().cloned().collect::<Vec<_>>();
        prop_assert_eq!(ids(&database), ids(&told));
        for (id, fact) in &told {
            prop_assert_eq!(&database[id].outcome, &fact.outcome);
        }
    }
}

fn hold(name: &str, uid: &str) -> SuspensionHold {
    SuspensionHold {
        name: name.to_owned(),
        uid: uid.to_owned(),
        reason: SuspensionReason::Billing,
        lift_authority: LiftAuthority::Operator,
        scope: SuspensionScope::All,
        message: "pay".to_owned(),
        requested_by: "otto".to_owned(),
        at: time::time(at(1)),
    }
}

fn held(holds: Vec<SuspensionHold>) -> TenantSubscriptionStatus {
    let suspension = Some(SuspensionStatus { holds, remembered: Vec::new() });
    TenantSubscriptionStatus { suspension, ..status(Vec::new()) }
}

/// Who suspended is told as long as it holds, that it was lifted once and for all, and an operation in whose place another one
/// began has an end.
#[test]
fn suspensions_and_operations_have_an_end_on_record() {
    let held = held(vec![hold("acme-x", "u1")]);
    let told = facts(&held);
    let fact = told.iter().find(|fact| fact.id == "k7/suspension/acme-x/u1/began").unwrap();
    assert_eq!((fact.actor.as_str(), fact.outcome.as_str()), ("otto", "Suspended"));

    let mut lifted = status(Vec::new());
    lifted.operation = lifted.operation.map(|operation| OperationStatus { number: 2, ..operation });
    let after = carry(&held, lifted.clone(), at(9), |_| false);
    let carried = ids(&after.unrecorded);
    for id in ["k7/suspension/acme-x/u1/began", "k7/suspension/acme-x/u1/ended", "k7/operation/1/ended"] {
        assert!(carried.contains(&id), "{id} is not in {carried:?}");
    }
    let later = carry(&after, lifted, at(12), |_| false);
    assert_eq!(later.unrecorded, after.unrecorded, "the same, also when it is told again");
}

/// A name that was used before is another suspension: whatever the journal has of the first, it gets the second.
#[test]
fn a_second_suspension_of_one_name_is_on_record_as_well() {
    let (first, second) = (held(vec![hold("acme-x", "u1")]), held(vec![hold("acme-x", "u2")]));
    let known: Vec<String> = [&first, &carry(&first, status(Vec::new()), at(5), |_| false)]
        .into_iter()
        .flat_map(facts)
        .map(|fact| fact.id)
        .collect();
    let told = facts(&second);
    let news: Vec<&str> = ids(&told).into_iter().filter(|id| !known.iter().any(|old| old == id)).collect();
    assert_eq!(news, ["k7/suspension/acme-x/u2/began"]);
    // One takes the place of the other between two statuses.
    let carried = carry(&first, second, at(7), |_| false).unrecorded;
    assert_eq!(ids(&carried), ["k7/suspension/acme-x/u1/began", "k7/suspension/acme-x/u1/ended"]);
}

/// What a status has no room to name is carried until it is recorded, once, and is no second fact when there is room.
#[test]
fn what_waits_beside_a_status_is_carried_until_it_is_recorded() {
    let named = held(vec![hold("acme-x", "u1")]);
    let more = super::suspended(&named, &hold("acme-y", "u2")).unwrap();
    let next = TenantSubscriptionStatus { unrecorded: vec![more.clone()], ..named.clone() };
    let carried = carry(&named, next.clone(), at(5), |_| false);
    assert_eq!(ids(&carried.unrecorded), ["k7/suspension/acme-y/u2/began"]);
    assert_eq!(carry(&carried, next.clone(), at(6), |_| false), carried);
    assert_eq!(carry(&carried, next.clone(), at(6), |fact| fact.id == more.id).unrecorded, []);
    let both = held(vec![hold("acme-x", "u1"), hold("acme-y", "u2")]);
    assert_eq!(carry(&carried, both, at(7), |_| false).unrecorded, []);
}
