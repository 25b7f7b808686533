use super::*;
use crate::journal::{carry, facts};
use jiff::SignedDuration;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tenantry_crds::subscription::{AcceptedRevisions, TenantStatus};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn pending(plan: &str, generation: i64) -> Pending {
    Pending {
        plan: plan.to_owned(),
        effective_at: at(1000),
        requested_at: at(1),
        generation,
        waits_for: PlanChangeWait::default(),
    }
}

/// A tenant of a plan, with a change that waits, as written for a generation of its order.
fn status(plan: &str, pending: Option<&Pending>, generation: i64) -> TenantSubscriptionStatus {
    let accepted = AcceptedRevisions { plan: format!("{plan}@1-a"), ..AcceptedRevisions::default() };
    TenantSubscriptionStatus {
        observed_generation: Some(generation),
        tenant: Some(TenantStatus { id: "k7".to_owned(), ..TenantStatus::default() }),
        plan: Some(plan_change::status(&accepted, pending, &[])),
        accepted: Some(accepted),
        ..TenantSubscriptionStatus::default()
    }
}

fn refused(mut status: TenantSubscriptionStatus, reason: &str) -> TenantSubscriptionStatus {
    status.conditions.push(Condition {
        type_: "Accepted".to_owned(),
        status: ConditionStatus::False,
        reason: reason.to_owned(),
        message: "pods: 19 in use".to_owned(),
        last_transition_time: time::time(at(0)),
        observed_generation: status.observed_generation.unwrap_or_default(),
    });
    status
}

/// Ids and outcomes of what a status tells that comes after another one.
fn told(previous: &TenantSubscriptionStatus, next: &TenantSubscriptionStatus) -> BTreeSet<(String, String)> {
    let next = carry(previous, next.clone(), at(50), |_| false);
    let of_plans = facts(&next).into_iter().filter(|fact| fact.subject == JournalSubject::PlanChange);
    of_plans.map(|fact| (fact.id, fact.outcome)).collect()
}

#[test]
fn what_was_asked_for_and_what_came_of_it_is_told() {
    let (silver, bronze) = (pending("silver", 3), pending("bronze", 4));
    let gold = || status("gold", None, 2);
    let waits = status("gold", Some(&silver), 3);
    type Case<'a> = (&'a str, TenantSubscriptionStatus, TenantSubscriptionStatus, &'a [(&'a str, &'a str)]);
    let put_off = Pending { effective_at: at(2000), ..pending("silver", 3) };
    let cases: [Case<'_>; 9] = [
        ("nothing", gold(), status("gold", None, 3), &[]),
        (
            "at once",
            gold(),
            status("platinum", None, 3),
            &[("3/requested", "Requested"), ("3/ended", "TookEffect")],
        ),
        ("it waits", gold(), waits.clone(), &[("3/requested", "Requested")]),
        (
            "it goes on waiting",
            waits.clone(),
            status("gold", Some(&silver), 5),
            &[("3/requested", "Requested")],
        ),
        (
            "it is put off to another window",
            waits.clone(),
            status("gold", Some(&put_off), 3),
            &[("3/requested", "Requested"), ("3/put-off/1700002000", "PutOff")],
        ),
        (
            "taken back",
            waits.clone(),
            status("gold", None, 4),
            &[("3/requested", "Requested"), ("3/ended", "Cancelled")],
        ),
        (
            "its time came",
            waits.clone(),
            status("silver", None, 3),
            &[("3/requested", "Requested"), ("3/ended", "TookEffect")],
        ),
        (
            "another one in its place",
            waits.clone(),
            status("gold", Some(&bronze), 4),
            &[("3/requested", "Requested"), ("3/ended", "Replaced"), ("4/requested", "Requested")],
        ),
        (
            "another one at once",
            waits,
            status("platinum", None, 4),
            &[
                ("3/requested", "Requested"),
                ("3/ended", "Replaced"),
                ("4/requested", "Requested"),
                ("4/ended", "TookEffect"),
            ],
        ),
    ];
    for (what, previous, next, expected) in cases {
        let expected: BTreeSet<(String, String)> = expected
            .iter()
            .map(|(id, outcome)| (format!("k7/plan-change/{id}"), (*outcome).to_owned()))
            .collect();
        assert_eq!(told(&previous, &next), expected, "{what}");
    }
}

#[test]
fn a_refusal_is_told_once_for_each_edit() {
    let gold = status("gold", None, 2);
    let misfit = refused(status("gold", None, 3), plan_change::DOES_NOT_FIT);
    let once = BTreeSet::from([("k7/plan-change/3/refused".to_owned(), "Refused".to_owned())]);
    assert_eq!(told(&gold, &misfit), once);
    assert_eq!(told(&gold, &refused(status("gold", None, 3), plan_change::NOT_OFFERED)), once);
    assert_eq!(told(&gold, &refused(status("gold", None, 3), "HostTaken")), BTreeSet::new());
    assert_eq!(told(&misfit, &misfit), BTreeSet::new(), "it is on record already");
    // Not yet recorded, away for a look, and back.
    let first = carry(&gold, misfit.clone(), at(1), |_| false);
    let away = carry(&first, refused(status("gold", None, 3), "LiveUseUnknown"), at(2), |_| false);
    let back = carry(&away, misfit, at(3), |_| false);
    assert_eq!(back.unrecorded, first.unrecorded);
    let next = refused(status("gold", None, 4), plan_change::DOES_NOT_FIT);
    assert!(told(&back, &next).contains(&("k7/plan-change/4/refused".to_owned(), "Refused".to_owned())));
}

#[test]
fn evidence_says_from_where_to_where_and_when() {
    let next = carry(&status("gold", None, 2), status("platinum", None, 3), at(50), |_| false);
    let [requested, ended] = &next.unrecorded[..] else { panic!("two facts: {:?}", next.unrecorded) };
    for fact in [requested, ended] {
        assert!(fact.evidence.contains(r#""from":"gold""#) && fact.evidence.contains(r#""to":"platinum""#));
        assert_eq!(time::instant(&fact.at), at(50));
    }
    assert_eq!(ended.started_at.as_ref().map(time::instant), Some(at(50)));
}

proptest! {
    /// Statuses follow each other in any way, and any of them may be recorded before the next: no fact is told with two outcomes,
    /// and whatever began and does not wait any more has an end.
    #[test]
    fn what_was_asked_for_has_one_end(
        steps in prop::collection::vec((0_usize..3, prop::option::of(0_usize..3), any::<bool>()), 1..30),
    ) {
        let plans = ["silver", "gold", "platinum"];
        let mut journal: BTreeMap<String, String> = BTreeMap::new();
        let mut now = status("gold", None, 1);
        for (at_step, (plan, waits, is_recorded)) in (2_i64..).zip(steps) {
            // One edit asks for one plan: where that has come nothing waits.
            let has_come = now.accepted.as_ref().map(|accepted| name_of(&accepted.plan)) != Some(plans[plan]);
            let waits = waits.filter(|waits| !has_come && *waits != plan).map(|plan| pending(plans[plan], at_step));
            let next = status(plans[plan], waits.as_ref(), at_step);
            let later = at(0) + SignedDuration::from_secs(at_step);
            now = carry(&now, next, later, |fact| journal.contains_key(&fact.id));
            let all = facts(&now);
            let ids: BTreeSet<&str> = all.iter().map(|fact| fact.id.as_str()).collect();
            prop_assert_eq!(ids.len(), all.len());
            if is_recorded {
                for fact in all.iter().filter(|fact| fact.subject == JournalSubject::PlanChange) {
                    let known = journal.entry(fact.id.clone()).or_insert_with(|| fact.outcome.clone());
                    prop_assert_eq!(&*known, &fact.outcome);
                }
            }
        }
        journal.extend(facts(&now).into_iter().map(|fact| (fact.id, fact.outcome)));
        let open = plan_change::pending(now.plan.as_ref()).map(|pending| pending.generation);
        for id in journal.keys().filter_map(|id| id.strip_suffix("/requested")) {
            let is_open = open.is_some_and(|generation| id == format!("k7/plan-change/{generation}"));
            prop_assert_eq!(journal.contains_key(&format!("{id}/ended")), !is_open, "{}", id);
        }
    }
}
