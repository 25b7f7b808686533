//! Changes of the plan, as statuses, conditions and operations tell of them.

use super::*;
use crate::plan_change::{DOES_NOT_FIT, FIELD, Pending as Waiting, pending};
use tenantry_crds::subscription::OperationKind;

/// One report of a tenant and what became of the wish for another plan.
fn with_plan(
    previous: &TenantSubscriptionStatus,
    order: &Order,
    evaluation: &Evaluation,
    plan: Plan<'_>,
    seconds: i64,
) -> TenantSubscriptionStatus {
    let accepted = Verdict::Accepted(order);
    report(&ReportInput { plan: Some(plan), ..input(previous, accepted, Some(evaluation), seconds) })
}

fn order_of(plan: &str) -> Order {
    let mut definitions = fixtures::definitions();
    definitions.plan = fixtures::selected(plan, fixtures::plan());
    let mut spec = fixtures::subscription();
    plan.clone_into(&mut spec.plan_ref.name);
    fixtures::resolved(&spec, &definitions).unwrap()
}

const NOTHING: Plan<'_> = Plan { pending: None, refused: &[], leaving: &[] };

#[test]
fn what_waits_is_in_the_status_and_in_the_condition_and_the_order_is_accepted() {
    let order = order_of("gold");
    let all_done = evaluation([Done; 4]);
    let live = with_plan(&TenantSubscriptionStatus::default(), &order, &all_done, NOTHING, 0);
    assert_eq!(live.plan.as_ref().unwrap().current, "gold");
    let waits = Waiting {
        plan: "silver".to_owned(),
        effective_at: at(86_400),
        requested_at: at(10),
        generation: 7,
        waits_for: Default::default(),
    };
    let asked = with_plan(&live, &order, &all_done, Plan { pending: Some(&waits), ..NOTHING }, 10);
    assert_eq!(pending(asked.plan.as_ref()), Some(waits));
    assert_eq!(told(&asked, "Accepted"), "True OrderValid");
    let message = &find(&asked, "Accepted").unwrap().message;
    assert!(message.contains("the change to plan silver takes effect on 2023-11-15"), "{message}");
    assert_eq!(asked.operation, live.operation, "nothing changes yet");
    assert_eq!(asked.phase, Some(Phase::Live));

    // Whoever knows nothing of the wish, as at an end, leaves it as it is; taken back, it is gone.
    let kept = step(&asked, Verdict::Accepted(&order), Some(&all_done), &[], 20);
    assert_eq!(kept.plan, asked.plan);
    assert_eq!(with_plan(&asked, &order, &all_done, NOTHING, 20).plan, live.plan);
}

#[test]
fn a_refused_change_is_told_while_everything_else_of_the_order_holds() {
    let order = order_of("gold");
    let all_done = evaluation([Done; 4]);
    let live = with_plan(&TenantSubscriptionStatus::default(), &order, &all_done, NOTHING, 0);
    let problems = [Problem::new(FIELD, DOES_NOT_FIT, "pods: 19 in use; end some")];
    let refused = with_plan(&live, &order, &all_done, Plan { refused: &problems, ..NOTHING }, 10);
    assert_eq!(told(&refused, "Accepted"), "False DowngradeDoesNotFit");
    let message = &find(&refused, "Accepted").unwrap().message;
    for part in ["everything else of the order holds, under plan gold", "spec.planRef.name", "19 in use"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!((refused.phase, refused.operation), (Some(Phase::Live), live.operation));
    assert_eq!(refused.accepted, live.accepted);
}

#[test]
fn a_change_is_over_when_nothing_of_the_other_plan_stands_any_more() {
    let all_done = evaluation([Done; 4]);
    let (gold, platinum) = (order_of("gold"), order_of("platinum"));
    let live = with_plan(&TenantSubscriptionStatus::default(), &gold, &all_done, NOTHING, 0);
    let gone_from = [live.accepted.as_ref().unwrap().plan.clone()];
    let leaving = Plan { leaving: &gone_from, ..NOTHING };
    let moving = with_plan(&live, &platinum, &evaluation([Done, Done, Running, Done]), leaving, 10);
    let plan = moving.plan.clone().unwrap();
    assert_eq!((plan.current.as_str(), plan.leaving.as_slice()), ("platinum", &gone_from[..]));
    let is_open = |status: &TenantSubscriptionStatus| {
        let operation = status.operation.clone().unwrap();
        assert_eq!((operation.number, operation.kind), (2, OperationKind::ChangePlan));
        operation.completed_at.is_none()
    };
    assert!(is_open(&moving));
    let standing = with_plan(&moving, &platinum, &all_done, leaving, 20);
    assert!(is_open(&standing), "there is still room for both");
    let moved = with_plan(&standing, &platinum, &all_done, NOTHING, 30);
    assert!(!is_open(&moved));
    assert_eq!(moved.plan.unwrap().leaving, Vec::<String>::new());

    // Another one in its place is an operation of its own.
    let back = with_plan(&moving, &gold, &all_done, leaving, 20);
    let operation = back.operation.unwrap();
    assert_eq!((operation.number, operation.cause.as_str()), (3, "platinum to gold"));
}
