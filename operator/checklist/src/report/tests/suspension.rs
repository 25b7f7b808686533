//! Suspensions and changes of the plan, as conditions and operations tell of them.

use super::*;
use tenantry_crds::subscription::{OperationKind, RememberedScale, SuspensionHold};
use tenantry_crds::suspension::{LiftAuthority, SuspensionReason, SuspensionScope};

/// One report of a tenant while suspensions hold, or after they held.
fn suspended(
    previous: &TenantSubscriptionStatus,
    order: &Order,
    evaluation: &Evaluation,
    suspension: Suspension<'_>,
    seconds: i64,
) -> TenantSubscriptionStatus {
    let accepted = Verdict::Accepted(order);
    report(&ReportInput {
        suspension: Some(suspension),
        ..input(previous, accepted, Some(evaluation), seconds)
    })
}

fn effect(names: &[&str]) -> Effect {
    let hold = |name: &&str| SuspensionHold {
        name: (*name).to_owned(),
        uid: format!("u-{name}"),
        reason: SuspensionReason::Billing,
        lift_authority: LiftAuthority::Operator,
        scope: SuspensionScope::All,
        message: "pay invoice 7".to_owned(),
        requested_by: "otto".to_owned(),
        at: time::time(at(0)),
    };
    Effect::of_holds(&names.iter().map(hold).collect::<Vec<_>>())
}

/// The way of a live tenant into a suspension, into a second one, and out of both.
#[test]
fn a_suspension_is_an_operation_and_says_what_evidence_shows() {
    let order = fixtures::order();
    let all_done = evaluation([Done; 4]);
    let is = |effect, in_effect, left, remembered| Suspension { effect, in_effect, left, remembered };
    let (none, one, both) = (effect(&[]), effect(&["late"]), effect(&["abuse", "late"]));
    let scale = [RememberedScale {
        kind: "apps/v1/Deployment".to_owned(),
        name: "web".to_owned(),
        uid: "u".to_owned(),
        replicas: 7,
    }];
    let told_of = |status: &TenantSubscriptionStatus| {
        let operation = status.operation.clone().unwrap();
        let done = operation.completed_at.is_some();
        (operation.number, operation.kind, operation.cause, done)
    };

    let live =
        suspended(&TenantSubscriptionStatus::default(), &order, &all_done, is(&none, true, "", &[]), 0);
    assert_eq!(
        (told(&live, "Live"), told(&live, "Suspended")),
        ("True RouteOpen".to_owned(), "-".to_owned())
    );
    assert_eq!(told_of(&live), (1, OperationKind::Provision, String::new(), true));

    let going = suspended(&live, &order, &all_done, is(&one, false, "2 pods still run", &scale), 10);
    assert_eq!(told(&going, "Suspended"), "False Suspending");
    assert!(find(&going, "Suspended").unwrap().message.starts_with("2 pods still run; late (Billing, All"));
    assert_eq!(
        (told(&going, "Ready"), told(&going, "Live")),
        ("False Suspended".into(), "False Suspended".into())
    );
    assert_eq!(
        (told(&going, "Reconciling"), going.phase),
        ("True Suspending".into(), Some(Phase::Suspended))
    );
    assert_eq!(told_of(&going), (2, OperationKind::Suspend, "late (Billing)".to_owned(), false));
    assert_eq!(going.operation.as_ref().unwrap().promise, None);
    assert_eq!(going.suspension.as_ref().unwrap().remembered, scale, "recorded before anything is scaled");
    assert_eq!(going.go_live, live.go_live, "when it was opened stays on record");

    let gone = suspended(&going, &order, &all_done, is(&one, true, "", &scale), 20);
    assert_eq!((told(&gone, "Suspended"), told(&gone, "Reconciling")), ("True InEffect".into(), "-".into()));
    assert_eq!(told_of(&gone), (2, OperationKind::Suspend, "late (Billing)".to_owned(), true));
    assert_eq!(gone.operation.as_ref().unwrap().took.unwrap().machine_seconds, 10);

    let twice = suspended(&gone, &order, &all_done, is(&both, true, "", &scale), 30);
    assert_eq!(told_of(&twice), (3, OperationKind::Suspend, "abuse (Billing)".to_owned(), true));
    let less = suspended(&twice, &order, &all_done, is(&one, true, "", &scale), 40);
    assert_eq!(told_of(&less), (4, OperationKind::Resume, "abuse (Billing)".to_owned(), true));
    assert_eq!(told(&less, "Suspended"), "True InEffect", "the other one holds still");

    let back = suspended(&less, &order, &all_done, is(&none, false, "", &scale), 50);
    assert_eq!(told_of(&back), (5, OperationKind::Resume, "late (Billing)".to_owned(), false));
    assert_eq!(
        (told(&back, "Suspended"), told(&back, "Ready")),
        ("False Resuming".into(), "True ProvisionedAndHealthy".into())
    );
    let served = suspended(&back, &order, &all_done, is(&none, true, "", &[]), 60);
    assert_eq!(told_of(&served), (5, OperationKind::Resume, "late (Billing)".to_owned(), true));
    assert_eq!(
        (served.suspension.clone(), served.phase, told(&served, "Suspended")),
        (None, Some(Phase::Live), "-".into())
    );
    let again = suspended(&served, &order, &all_done, is(&none, true, "", &[]), 70);
    assert!(!changed(&served, &again), "at rest nothing is written");
}

/// What was begun before goes on after a suspension, and was not done meanwhile.
#[test]
fn a_suspension_interrupts_an_operation_and_does_not_end_it() {
    let order = fixtures::order();
    let none = effect(&[]);
    let is = |effect, in_effect| Suspension { effect, in_effect, left: "", remembered: &[] };
    let begun = evaluation([Done, Running, Pending, Pending]);
    let before = suspended(&TenantSubscriptionStatus::default(), &order, &begun, is(&none, true), 0);
    let late = effect(&["late"]);
    let held = suspended(&before, &order, &evaluation([Done; 4]), is(&late, true), 10);
    let operation = held.operation.clone().unwrap();
    assert_eq!((operation.number, operation.kind), (1, OperationKind::Provision));
    assert_eq!((operation.completed_at, held.go_live.clone()), (None, None), "who is not let in is not live");
    let after = suspended(&held, &order, &evaluation([Done; 4]), is(&none, true), 20);
    let operation = after.operation.unwrap();
    assert_eq!((operation.number, operation.kind), (1, OperationKind::Provision));
    assert!(operation.completed_at.is_some() && after.go_live.is_some());
}

#[test]
fn another_plan_is_an_operation_of_its_own() {
    let gold = fixtures::order();
    let live = step(
        &TenantSubscriptionStatus::default(),
        Verdict::Accepted(&gold),
        Some(&evaluation([Done; 4])),
        &[],
        0,
    );
    let mut definitions = fixtures::definitions();
    definitions.plan = fixtures::selected("platinum", fixtures::plan());
    let mut spec = fixtures::subscription();
    spec.plan_ref.name = "platinum".to_owned();
    let platinum = fixtures::resolved(&spec, &definitions).unwrap();
    let moving =
        step(&live, Verdict::Accepted(&platinum), Some(&evaluation([Done, Done, Running, Done])), &[], 10);
    let operation = moving.operation.clone().unwrap();
    assert_eq!(
        (operation.number, operation.kind, operation.cause.as_str()),
        (2, OperationKind::ChangePlan, "gold to platinum")
    );
    assert_eq!(operation.completed_at, None);
    let moved = step(&moving, Verdict::Accepted(&platinum), Some(&evaluation([Done; 4])), &[], 40);
    let operation = moved.operation.unwrap();
    assert_eq!((operation.number, operation.took.unwrap().machine_seconds), (2, 30));
}
