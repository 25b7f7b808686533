use super::*;
use crate::fixtures;
use crate::order::Order;
use proptest::prelude::*;
use std::collections::BTreeSet;
use tenantry_crds::blueprint::{Category, Party};
use tenantry_crds::inventory::Inventory;

mod ending;
mod plan_change;
mod suspension;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn entry(name: &str, category: Category, state: ItemState) -> ChecklistEntry {
    let (reason, message) = match state {
        ItemState::Pending => ("DependenciesOpen", "waits for network"),
        ItemState::Running => ("ObjectsMissing", "1 of 3 objects are there"),
        ItemState::Waiting => ("KindNotInstalled", "install the kind Route"),
        ItemState::Done => ("ObjectsObserved", ""),
        ItemState::Failed => ("QuotaExceeded", "too much"),
        ItemState::Skipped => ("NotNeeded", "not ordered"),
    };
    ChecklistEntry {
        name: name.to_owned(),
        category,
        owner: Party::Customer,
        state,
        reason: reason.to_owned(),
        message: message.to_owned(),
        since: time::time(at(0)),
        started_at: None,
        attempts: 0,
        next_retry_at: None,
        input_digest: None,
        objects: 0,
        sign_off: None,
        job: None,
        due: None,
        overdue: false,
        estimated_seconds: None,
        conclusion: None,
    }
}

/// Security, network, application and go-live in these states.
fn evaluation(states: [ItemState; 4]) -> Evaluation {
    let [security, network, application, go_live] = states;
    let entries = vec![
        entry("security", Category::Security, security),
        entry("network", Category::Network, network),
        entry("application", Category::Application, application),
        entry("go-live", Category::GoLive, go_live),
    ];
    Evaluation { entries, ..Evaluation::default() }
}

fn accepted(order: &Order, evaluation: &Evaluation) -> TenantSubscriptionStatus {
    step(&TenantSubscriptionStatus::default(), Verdict::Accepted(order), Some(evaluation), &[], 0)
}

fn step(
    previous: &TenantSubscriptionStatus,
    verdict: Verdict<'_>,
    evaluation: Option<&Evaluation>,
    obstacles: &[Obstacle],
    seconds: i64,
) -> TenantSubscriptionStatus {
    report(&ReportInput { obstacles, ..input(previous, verdict, evaluation, seconds) })
}

/// What a report is made from where nothing else is of interest.
fn input<'a>(
    previous: &'a TenantSubscriptionStatus,
    verdict: Verdict<'a>,
    evaluation: Option<&'a Evaluation>,
    seconds: i64,
) -> ReportInput<'a> {
    ReportInput {
        generation: 7,
        previous,
        verdict,
        obstacles: &[],
        evaluation,
        sizing: None,
        pause: None,
        plan: None,
        suspension: None,
        billing: None,
        inventory: None,
        now: at(seconds),
    }
}

fn find<'a>(status: &'a TenantSubscriptionStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == type_)
}

/// Status and reason of a condition, such as `True ItemsDone`; `-` where it is absent.
fn told(status: &TenantSubscriptionStatus, type_: &str) -> String {
    find(status, type_).map_or_else(|| "-".to_owned(), |c| format!("{:?} {}", c.status, c.reason))
}

use ItemState::{Done, Failed, Pending, Running, Skipped, Waiting};

#[test]
fn conditions_and_phase_follow_the_checklist() {
    let order = fixtures::order();
    for (states, ready, live, motion, phase, progress, waiting) in [
        (
            [Done, Running, Pending, Pending],
            "False ItemsOpen",
            "False ItemsOpen",
            "Reconciling Progressing",
            Phase::Provisioning,
            "1/4",
            "",
        ),
        (
            [Done, Done, Skipped, Running],
            "True ProvisionedAndHealthy",
            "False ItemsOpen",
            "Reconciling Progressing",
            Phase::Ready,
            "3/4",
            "",
        ),
        (
            [Done, Done, Done, Done],
            "True ProvisionedAndHealthy",
            "True RouteOpen",
            "-",
            Phase::Live,
            "4/4",
            "",
        ),
        (
            [Done, Done, Done, Skipped],
            "True ProvisionedAndHealthy",
            "False GoLiveSkipped",
            "-",
            Phase::Ready,
            "4/4",
            "",
        ),
        (
            [Done, Waiting, Pending, Pending],
            "False WaitingForPeople",
            "False ItemsOpen",
            "-",
            Phase::Provisioning,
            "1/4",
            "Customer: network",
        ),
        (
            [Done, Waiting, Running, Pending],
            "False WaitingForPeople",
            "False ItemsOpen",
            "Reconciling Progressing",
            Phase::Provisioning,
            "1/4",
            "Customer: network",
        ),
        (
            [Done, Waiting, Failed, Pending],
            "False QuotaExceeded",
            "False ItemsOpen",
            "Stalled QuotaExceeded",
            Phase::Failed,
            "1/4",
            "Customer: application",
        ),
        (
            [Running, Failed, Pending, Pending],
            "False QuotaExceeded",
            "False ItemsOpen",
            "Stalled QuotaExceeded",
            Phase::Failed,
            "0/4",
            "Customer: network",
        ),
        (
            [Done, Done, Done, Failed],
            "True ProvisionedAndHealthy",
            "False QuotaExceeded",
            "Stalled QuotaExceeded",
            Phase::Ready,
            "3/4",
            "Customer: go-live",
        ),
        (
            [Done, Running, Done, Done],
            "False ItemsOpen",
            "True RouteOpen",
            "Reconciling Progressing",
            Phase::Degraded,
            "3/4",
            "",
        ),
    ] {
        let status = accepted(&order, &evaluation(states));
        assert_eq!(told(&status, "Ready"), ready, "{states:?}");
        assert_eq!(told(&status, "Live"), live, "{states:?}");
        let moving: Vec<String> = ["Reconciling", "Stalled"]
            .iter()
            .filter_map(|type_| find(&status, type_).map(|c| format!("{type_} {}", c.reason)))
            .collect();
        assert_eq!(moving.first().map_or("-", String::as_str), motion, "{states:?}");
        assert!(moving.len() <= 1, "{states:?}");
        assert_eq!((status.phase, status.progress.as_str()), (Some(phase), progress), "{states:?}");
        assert_eq!(status.waiting_for, waiting, "{states:?}");
    }
}

#[test]
fn the_order_of_conditions_is_fixed_and_categories_are_those_of_the_checklist() {
    let status = accepted(&fixtures::order(), &evaluation([Done, Running, Pending, Pending]));
    let types: Vec<&str> = status.conditions.iter().map(|c| c.type_.as_str()).collect();
    assert_eq!(
        types,
        ["Accepted", "SecurityReady", "NetworkReady", "ApplicationReady", "Ready", "Live", "Reconciling"]
    );
    assert_eq!(told(&status, "SecurityReady"), "True ItemsDone");
    assert_eq!(told(&status, "NetworkReady"), "False ItemsOpen");
}

#[test]
fn an_accepted_order_records_what_it_runs() {
    let order = fixtures::order();
    let status = accepted(&order, &evaluation([Done; 4]));
    assert_eq!(status.accepted, Some(order.definitions.accepted()));
    let tenant = status.tenant.unwrap();
    assert_eq!((tenant.id.as_str(), tenant.namespace.as_str()), (order.tenant_id.as_str(), "tenant-acme"));
    assert_eq!(tenant.endpoints[0].url, "https://erp.acme.example");
    assert_eq!(status.hosts, order.recorded_hosts);
    assert_eq!(status.observed_generation, Some(7));
}

#[test]
fn warnings_are_in_the_condition() {
    let mut definitions = fixtures::definitions();
    definitions.warnings = vec!["service plan gold is deprecated".to_owned()];
    let order = fixtures::resolved(&fixtures::subscription(), &definitions).unwrap();
    let status = accepted(&order, &evaluation([Done; 4]));
    assert!(find(&status, "Accepted").unwrap().message.contains("gold is deprecated"));
}

#[test]
fn waiting_for_the_agreed_time_is_neither_work_nor_somebodys_turn() {
    let mut evaluation = evaluation([Done, Done, Done, Waiting]);
    evaluation.entries[3].reason = NOT_BEFORE.to_owned();
    evaluation.entries[3].message = "opens at 2026-12-01T06:00:00Z".to_owned();
    let status = accepted(&fixtures::order(), &evaluation);
    assert_eq!(told(&status, "Live"), "False NotBefore");
    assert!(find(&status, "Live").unwrap().message.contains("2026-12-01T06:00:00Z"));
    assert_eq!((told(&status, "Reconciling"), told(&status, "Stalled")), ("-".to_owned(), "-".to_owned()));
    assert_eq!((status.phase, status.waiting_for.as_str()), (Some(Phase::Ready), ""));
}

fn problems() -> Vec<Problem> {
    vec![
        Problem::new("spec.users[0].email", "UserRepeated", "is there twice; remove one"),
        Problem::new("spec.planRef.name", "PlanNotFound", "there is no plan; create it"),
    ]
}

#[test]
fn a_refused_new_order_says_everything_and_makes_nothing() {
    let problems = problems();
    let status = step(&TenantSubscriptionStatus::default(), Verdict::Refused(&problems), None, &[], 0);
    assert_eq!(told(&status, "Accepted"), "False UserRepeated");
    let message = &find(&status, "Accepted").unwrap().message;
    assert!(problems.iter().all(|p| message.contains(&p.to_string())), "{message}");
    assert_eq!(
        (told(&status, "Ready"), told(&status, "Live")),
        ("False OrderRefused".to_owned(), "False NotStarted".to_owned())
    );
    assert_eq!(told(&status, "Stalled"), "True UserRepeated");
    assert_eq!((status.phase, status.tenant, status.accepted), (Some(Phase::Rejected), None, None));
}

/// Objects of one commit arrive in any order, so a definition that is not there yet is no failure.
#[test]
fn an_order_that_only_waits_for_definitions_is_not_stalled() {
    let status = step(&TenantSubscriptionStatus::default(), Verdict::Refused(&problems()[1..]), None, &[], 0);
    assert_eq!(told(&status, "Stalled"), "-");
    assert_eq!(told(&status, "Reconciling"), "True PlanNotFound");
    assert_eq!(told(&status, "Accepted"), "False PlanNotFound");
}

#[test]
fn long_lists_of_problems_are_cut_to_what_a_condition_holds() {
    let many: Vec<Problem> =
        (0..200).map(|n| Problem::new(format!("spec.x[{n}]"), "Bad", "ü ä ö; correct it")).collect();
    let status = step(&TenantSubscriptionStatus::default(), Verdict::Refused(&many), None, &[], 0);
    let message = &find(&status, "Accepted").unwrap().message;
    assert!(message.len() <= 1024 && message.len() > 1000, "{}", message.len());
}

#[test]
fn a_refused_edit_leaves_a_running_tenant_as_evidence_shows_it() {
    let live = accepted(&fixtures::order(), &evaluation([Done; 4]));
    let refused = step(&live, Verdict::Refused(&problems()), Some(&evaluation([Done; 4])), &[], 60);
    assert_eq!(told(&refused, "Accepted"), "False UserRepeated");
    assert_eq!(told(&refused, "Ready"), "True ProvisionedAndHealthy");
    assert_eq!(told(&refused, "Stalled"), "True UserRepeated");
    assert_eq!(refused.phase, Some(Phase::Live));
    assert_eq!(
        (&refused.accepted, &refused.tenant, &refused.hosts),
        (&live.accepted, &live.tenant, &live.hosts)
    );
    let broken =
        step(&live, Verdict::Refused(&problems()), Some(&evaluation([Done, Running, Done, Done])), &[], 60);
    assert_eq!((told(&broken, "Ready").as_str(), broken.phase), ("False ItemsOpen", Some(Phase::Degraded)));
}

#[test]
fn what_was_not_looked_at_is_unknown() {
    let live = accepted(&fixtures::order(), &evaluation([Done; 4]));
    let status = step(&live, Verdict::Refused(&problems()), None, &[], 60);
    assert_eq!(told(&status, "Ready"), "Unknown NotObserved");
    assert_eq!(told(&status, "NetworkReady"), "Unknown NotObserved");
    assert_eq!(status.checklist, live.checklist);
}

#[test]
fn obstacles_come_before_everything_else() {
    let order = fixtures::order();
    for (obstacle, motion, phase) in [
        (Obstacle::name_conflict("tenant-acme"), "Stalled", Phase::Failed),
        (Obstacle::object_conflict("web", "ConfigMap web exists; rename it"), "Stalled", Phase::Failed),
        (Obstacle::secret_lost("database", "restore it"), "Stalled", Phase::Failed),
        (Obstacle::predecessor_terminating("tenant-acme"), "Reconciling", Phase::Provisioning),
        (Obstacle::not_removed("ConfigMap old: no answer", false), "Reconciling", Phase::Provisioning),
        (Obstacle::not_removed("ConfigMap old: a policy refuses it", true), "Stalled", Phase::Failed),
        (
            Obstacle::other("RightsMissing", "apply this; then it goes on".to_owned(), true),
            "Stalled",
            Phase::Failed,
        ),
    ] {
        let status = step(
            &TenantSubscriptionStatus::default(),
            Verdict::Accepted(&order),
            Some(&evaluation([Done; 4])),
            std::slice::from_ref(&obstacle),
            0,
        );
        assert_eq!(told(&status, "Ready"), format!("False {}", obstacle.reason));
        assert_eq!(told(&status, motion), format!("True {}", obstacle.reason));
        assert_eq!(told(&status, "Accepted"), "True OrderValid");
        // Live by evidence, so the customer has it, degraded.
        assert_eq!(status.phase, Some(Phase::Degraded));
        let fresh = step(
            &TenantSubscriptionStatus::default(),
            Verdict::Accepted(&order),
            Some(&Evaluation::default()),
            std::slice::from_ref(&obstacle),
            0,
        );
        assert_eq!(fresh.phase, Some(phase));
    }
}

#[test]
fn a_lasting_obstacle_is_named_before_a_passing_one() {
    let obstacles =
        [Obstacle::predecessor_terminating("tenant-acme"), Obstacle::secret_lost("database", "restore it")];
    let order = fixtures::order();
    let status = step(&TenantSubscriptionStatus::default(), Verdict::Accepted(&order), None, &obstacles, 0);
    assert_eq!(told(&status, "Ready"), "False SecretLost");
}

#[test]
fn a_tenant_that_was_live_is_degraded_until_it_is_live_again() {
    let order = fixtures::order();
    let mut status = accepted(&order, &evaluation([Done; 4]));
    for (states, phase) in [
        ([Done, Done, Done, Running], Phase::Degraded),
        ([Done, Failed, Done, Running], Phase::Degraded),
        ([Done, Done, Done, Done], Phase::Live),
    ] {
        status = step(&status, Verdict::Accepted(&order), Some(&evaluation(states)), &[], 1);
        assert_eq!(status.phase, Some(phase));
    }
}

#[test]
fn the_inventory_and_the_retry_pass_through() {
    let inventory = Inventory { order: "o1".to_owned(), objects: Vec::new() };
    let order = fixtures::order();
    let evaluation = Evaluation { observed_retry: Some("@1".to_owned()), ..evaluation([Done; 4]) };
    let input = ReportInput {
        generation: 1,
        previous: &TenantSubscriptionStatus::default(),
        verdict: Verdict::Accepted(&order),
        obstacles: &[],
        evaluation: Some(&evaluation),
        sizing: None,
        pause: None,
        plan: None,
        suspension: None,
        billing: None,
        inventory: Some(inventory.clone()),
        now: at(0),
    };
    let status = report(&input);
    assert_eq!((status.inventory, status.observed_retry.as_deref()), (Some(inventory), Some("@1")));
}

fn any_state() -> impl Strategy<Value = ItemState> {
    prop_oneof![
        1 => Just(Pending),
        1 => Just(Running),
        1 => Just(Waiting),
        4 => Just(Done),
        1 => Just(Failed),
        1 => Just(Skipped),
    ]
}

fn any_states() -> impl Strategy<Value = [ItemState; 4]> {
    [any_state(), any_state(), any_state(), any_state()]
}

/// What the API server checks of a status.
fn fits(status: &TenantSubscriptionStatus) -> Result<(), TestCaseError> {
    let types: BTreeSet<&str> = status.conditions.iter().map(|c| c.type_.as_str()).collect();
    prop_assert_eq!(types.len(), status.conditions.len());
    prop_assert!(status.conditions.len() <= 24);
    for condition in &status.conditions {
        prop_assert!(condition.message.len() <= 1024);
        prop_assert!(
            !condition.reason.is_empty() && condition.reason.bytes().all(|b| b.is_ascii_alphabetic())
        );
        prop_assert!(condition.type_.bytes().all(|b| b.is_ascii_alphabetic()));
        prop_assert_eq!(condition.observed_generation, 7);
    }
    prop_assert!(!(types.contains("Stalled") && types.contains("Reconciling")));
    Ok(())
}

proptest! {
    /// Ready and Live follow the entries of this pass and nothing else; transitions are dated when they happen; an
    /// unchanged world gives an unchanged status.
    #[test]
    fn the_summary_is_true(passes in proptest::collection::vec((any_states(), 0_u8..4, 1_i64..100), 1..8)) {
        let (order, problems) = (fixtures::order(), problems());
        let mut status = TenantSubscriptionStatus::default();
        let mut now = 0;
        for (states, verdict, later) in passes {
            now += later;
            let obstacle = [Obstacle::predecessor_terminating("tenant-acme")];
            let obstacles: &[Obstacle] = if verdict == 2 { &obstacle } else { &[] };
            let verdict = if verdict == 1 { Verdict::Refused(&problems) } else { Verdict::Accepted(&order) };
            let evaluation = evaluation(states);
            let next = step(&status, verdict, Some(&evaluation), obstacles, now);
            fits(&next)?;
            let done = |state: &ItemState| matches!(state, Done | Skipped);
            let refused_new = matches!(verdict, Verdict::Refused(_)) && status.accepted.is_none();
            let ready = states[..3].iter().all(done) && obstacles.is_empty() && !refused_new;
            prop_assert_eq!(told(&next, "Ready").starts_with("True"), ready);
            prop_assert_eq!(told(&next, "Live").starts_with("True"), states[3] == Done);
            for condition in &next.conditions {
                let before = find(&status, &condition.type_).filter(|old| old.status == condition.status);
                let wanted = before.map_or_else(|| at(now), |old| time::instant(&old.last_transition_time));
                prop_assert_eq!(time::instant(&condition.last_transition_time), wanted);
            }
            let again = step(&next, verdict, Some(&evaluation), obstacles, now + 50);
            prop_assert!(!changed(&next, &again));
            status = next;
        }
    }
}

/// An evaluation in these states whose forecast is this.
fn forecast(states: [ItemState; 4], completion: Option<i64>) -> Evaluation {
    let length = crate::forecast::Length {
        machine: jiff::SignedDuration::from_secs(70),
        people: jiff::SignedDuration::from_secs(30),
    };
    let double = crate::forecast::Length { machine: length.machine * 2, people: length.people * 2 };
    let forecast = crate::item::Forecast {
        length,
        nine_of_ten: Some(double),
        took: Some(length),
        not_before: None,
        completion: completion.map(at),
    };
    Evaluation { forecast, ..evaluation(states) }
}

#[test]
fn a_promise_stays_and_what_came_of_it_stands_beside_it() {
    let order = fixtures::order();
    let verdict = Verdict::Accepted(&order);
    let begun = step(
        &TenantSubscriptionStatus::default(),
        verdict,
        Some(&forecast([Running, Pending, Pending, Pending], Some(100))),
        &[],
        0,
    );
    let operation = begun.operation.clone().unwrap();
    assert_eq!(operation.started_at, time::time(at(0)));
    let promise = operation.promise.clone().unwrap();
    assert_eq!((promise.machine_seconds, promise.people_seconds), (70, 30));
    assert_eq!(promise.completion, time::time(at(100)));
    let nine_of_ten = promise.nine_of_ten.unwrap();
    assert_eq!((nine_of_ten.machine_seconds, nine_of_ten.people_seconds), (140, 60));
    assert_eq!((operation.number, operation.took), (1, None), "it has only begun");
    assert_eq!(operation.estimated_completion, Some(time::time(at(100))));

    let late = step(&begun, verdict, Some(&forecast([Done, Running, Pending, Pending], Some(400))), &[], 300);
    let operation = late.operation.clone().unwrap();
    assert_eq!(operation.promise, begun.operation.unwrap().promise);
    assert_eq!(operation.estimated_completion, Some(time::time(at(400))));

    let failed = step(&late, verdict, Some(&forecast([Done, Failed, Pending, Pending], None)), &[], 310);
    assert_eq!(failed.operation.clone().unwrap().estimated_completion, None, "nobody can say");

    let done = step(&failed, verdict, Some(&forecast([Done, Done, Done, Done], Some(500))), &[], 500);
    let operation = done.operation.clone().unwrap();
    assert_eq!((operation.completed_at, operation.estimated_completion), (Some(time::time(at(500))), None));
    let took = operation.took.unwrap();
    assert_eq!((took.machine_seconds, took.people_seconds), (70, 30));

    let broken = step(&done, verdict, Some(&forecast([Done, Running, Done, Done], Some(700))), &[], 600);
    assert_eq!(broken.operation, done.operation, "what was done stays done");
    assert_eq!(broken.go_live, done.go_live);
}

#[test]
fn an_estimate_that_moves_is_no_reason_to_write() {
    let order = fixtures::order();
    let verdict = Verdict::Accepted(&order);
    let states = [Done, Running, Pending, Pending];
    let first =
        step(&TenantSubscriptionStatus::default(), verdict, Some(&forecast(states, Some(100))), &[], 0);
    let same = step(&first, verdict, Some(&forecast(states, Some(160))), &[], 60);
    assert!(!changed(&first, &same));
    let news = step(&first, verdict, Some(&forecast([Done, Done, Running, Pending], Some(160))), &[], 60);
    assert_eq!(
        news.operation.unwrap().estimated_completion,
        Some(time::time(at(160))),
        "it goes with what is new"
    );
}

#[test]
fn a_tenant_from_before_there_were_operations_gets_none() {
    let order = fixtures::order();
    let verdict = Verdict::Accepted(&order);
    let mut before =
        step(&TenantSubscriptionStatus::default(), verdict, Some(&forecast([Done; 4], Some(0))), &[], 0);
    before.operation = None;
    let after = step(&before, verdict, Some(&forecast([Done; 4], Some(60))), &[], 60);
    assert!(!changed(&before, &after));
}

#[test]
fn the_hand_over_is_recorded_once_with_who_signed_and_how_long_the_customer_is_looked_after() {
    let mut order = fixtures::order();
    let mut blueprint = (*order.definitions.blueprint.spec).clone();
    let item = tenantry_crds::blueprint::Item {
        name: "go-live".to_owned(),
        go_live: Some(tenantry_crds::blueprint::GoLiveAction {
            hypercare: Some("336h".to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    };
    blueprint.items = vec![item];
    order.definitions.blueprint.spec = std::sync::Arc::new(blueprint);
    let verdict = Verdict::Accepted(&order);
    let mut evaluated = evaluation([Done, Done, Done, Running]);
    let signature = tenantry_crds::subscription::Signature {
        name: "s1".to_owned(),
        by: "ada@customer.example".to_owned(),
        via: None,
        at: time::time(at(10)),
    };
    evaluated.entries[2].sign_off = Some(tenantry_crds::subscription::SignOffRequest {
        party: Party::Customer,
        order_digest: "d".to_owned(),
        evidence_required: false,
        signature: Some(signature),
    });
    let before = step(&TenantSubscriptionStatus::default(), verdict, Some(&evaluated), &[], 20);
    assert_eq!(before.go_live, None);
    evaluated.entries[3].state = Done;
    let live = step(&before, verdict, Some(&evaluated), &[], 30);
    let go_live = live.go_live.clone().unwrap();
    assert_eq!(go_live.at, time::time(at(30)));
    assert_eq!(go_live.signed_by, ["application: ada@customer.example"]);
    assert_eq!(go_live.hypercare_until, Some(time::time(at(30 + 336 * 3_600))));
    let later = step(&live, verdict, Some(&evaluation([Done, Running, Done, Done])), &[], 90);
    assert_eq!(later.go_live, Some(go_live));
}
