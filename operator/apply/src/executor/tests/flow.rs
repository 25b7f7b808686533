//! What stops, what is retried, and what is not.

use futures::FutureExt as _;

use super::*;

fn namespace() -> Desired {
    desired("v1", "Namespace", "tenant-acme", Stage::Foundation)
}

#[tokio::test]
async fn a_foreign_namespace_stops_everything_that_would_go_into_it() {
    let script = Script::default();
    script.refuse(409, "AlreadyExists", r#"namespaces "tenant-acme" already exists"#);
    script.answer(200, json!({"metadata": {"name": "tenant-acme", "uid": "f"}}));
    script.answer(200, answer("u1", "9", &[]));
    let executor = executor(&script, Arc::new(Open));
    let binding = desired("rbac.authorization.k8s.io/v1", "RoleBinding", "manager", Stage::Foundation);
    let quota = desired("v1", "ResourceQuota", "quota", Stage::Quota);
    let tended = Action::Apply { uid: "u1".into(), why: Cause::Drifted };
    let steps = [
        (namespace(), Action::Create),
        (binding, Action::Create),
        (settings(), tended),
        (quota, Action::Create),
    ];
    let execution = run_all(&executor, &steps, None).await;
    assert_eq!(
        verdicts(&execution),
        [Err(Verdict::NameConflict), Err(Verdict::Skipped), Ok(Done::Applied), Err(Verdict::Skipped)]
    );
    assert_eq!(script.asked().len(), 3);
}

#[tokio::test]
async fn what_is_not_recorded_is_not_written() {
    let script = Script::default();
    let executor = executor(&script, Arc::new(Open));
    let plan = Plan { steps: vec![step(&settings(), Action::Create)], ..Plan::default() };
    let execution = executor.execute(&owner(), &plan, &[settings()], &Inventory::default()).await;
    assert_eq!(result(&execution), Err(Verdict::Skipped));
    assert_eq!(script.asked(), []);
}

#[tokio::test]
async fn a_kind_that_is_not_served_costs_no_request() {
    let script = Script::default();
    let executor = executor(&script, Arc::new(Open));
    let monitor = desired("monitoring.coreos.com/v1", "ServiceMonitor", "m", Stage::Ordinary);
    let execution = run(&executor, &monitor, Action::Create, None).await;
    assert_eq!(result(&execution), Err(Verdict::KindMissing));
    assert_eq!(script.asked(), []);
}

#[tokio::test(start_paused = true)]
async fn a_closed_gate_lets_nothing_through_not_even_a_second_try() {
    let script = Script::default();
    let gate = Arc::new(Clock::default());
    let executor = executor(&script, gate.clone());
    let execution = run(&executor, &settings(), Action::Create, None).await;
    assert_eq!(result(&execution), Err(Verdict::NotLeader));
    assert_eq!(script.asked(), []);

    gate.0.store(30, Ordering::SeqCst);
    script.refuse(429, "TooManyRequests", "later");
    let desired = settings();
    let first = run(&executor, &desired, Action::Create, None);
    let closing = async {
        while script.asked().is_empty() {
            tokio::task::yield_now().await;
        }
        gate.0.store(0, Ordering::SeqCst);
    };
    let (execution, ()) = tokio::join!(first, closing);
    assert_eq!(result(&execution), Err(Verdict::NotLeader));
    assert_eq!(script.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_gets_ten_seconds_and_no_more_than_the_lease_has_left() {
    for (left, expected) in [(3600, 10), (4, 4)] {
        let script = Script::default();
        script.silence();
        let gate = Arc::new(Clock(AtomicU64::new(left)));
        let started = Instant::now();
        let execution = run(&executor(&script, gate), &settings(), Action::Create, None).await;
        assert_eq!(result(&execution), Err(Verdict::Unknown));
        assert_eq!(started.elapsed(), Duration::from_secs(expected));
        assert_eq!(script.asked().len(), 1, "a request whose outcome is unknown is not repeated");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_right_after_our_own_binding_is_the_authorizers_lag() {
    let script = Script::default();
    let executor = executor(&script, Arc::new(Open));
    script.answer(201, answer("b", "1", &[]));
    let binding = desired("rbac.authorization.k8s.io/v1", "RoleBinding", "manager", Stage::Foundation);
    run(&executor, &binding, Action::Create, None).await;
    for _ in 0..3 {
        script.refuse(403, "Forbidden", "configmaps is forbidden");
    }
    script.answer(201, answer("u1", "7", &[]));
    let started = Instant::now();
    let execution = run(&executor, &settings(), Action::Create, None).await;
    assert_eq!(result(&execution), Ok(Done::Created));
    assert_eq!(started.elapsed(), Duration::from_millis(5 + 10 + 20));

    // It does not go on for ever, and later on a refusal is a refusal.
    for _ in 0..20 {
        script.refuse(403, "Forbidden", "configmaps is forbidden");
    }
    let started = Instant::now();
    let execution = run(&executor, &settings(), Action::Create, None).await;
    assert_eq!(result(&execution), Err(Verdict::Forbidden));
    assert!(started.elapsed() < Duration::from_secs(4));
    tokio::time::advance(Duration::from_secs(10)).await;
    let before = script.asked().len();
    run(&executor, &settings(), Action::Create, None).await;
    assert_eq!(script.asked().len(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_an_api_server_that_has_just_come_back_is_no_attempt() {
    for (seconds, verdict) in [(11, Verdict::Forbidden), (10, Verdict::RolesUnread)] {
        let script = Script::default();
        let gate = Arc::new(Clock::default());
        gate.0.store(seconds, Ordering::SeqCst);
        let executor = executor(&script, gate);
        script.refuse(403, "Forbidden", "secrets is forbidden");
        let execution = run(&executor, &settings(), Action::Create, None).await;
        assert_eq!(result(&execution), Err(verdict));
        assert_eq!(verdict.is_definitive(), seconds == 11);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_race_is_run_again_five_times() {
    let script = Script::default();
    for _ in 0..9 {
        script.refuse(
            409,
            "Conflict",
            "the object has been modified; please apply your changes to the latest version",
        );
    }
    let executor = executor(&script, Arc::new(Open));
    let started = Instant::now();
    let execution = run(&executor, &settings(), Action::Create, None).await;
    assert_eq!(result(&execution), Err(Verdict::Contention));
    assert_eq!(script.asked().len(), 5);
    let pauses = started.elapsed();
    assert!(pauses >= Duration::from_millis(200) && pauses <= Duration::from_millis(2000), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_busy_server_is_asked_once_more_if_it_asks_for_little_patience() {
    for (seconds, expected) in [(1, 2), (30, 1)] {
        let script = Script::default();
        for _ in 0..3 {
            let mut busy = status(429, "TooManyRequests", "later");
            busy["details"] = json!({"retryAfterSeconds": seconds});
            script.answer(429, busy);
        }
        let execution = run(&executor(&script, Arc::new(Open)), &settings(), Action::Create, None).await;
        let failure = execution.outcomes[0].result.clone().unwrap_err();
        assert_eq!(
            (failure.verdict, failure.retry_after),
            (Verdict::Throttled, Some(Duration::from_secs(seconds)))
        );
        assert_eq!(script.asked().len(), expected);
    }
}

#[tokio::test]
async fn steps_of_a_wave_run_side_by_side_within_the_bound() {
    let script = Script::default();
    let mut executor = executor(&script, Arc::new(Open));
    executor.permits = Permits::new(2);
    let steps: Vec<_> = (0..6)
        .map(|number| (desired("v1", "ConfigMap", &format!("c{number}"), Stage::Ordinary), Action::Create))
        .collect();
    for _ in 0..6 {
        script.answer(201, answer("u", "1", &[]));
    }
    let execution = run_all(&executor, &steps, None).await;
    assert_eq!(verdicts(&execution), [Ok(Done::Created); 6]);
    let left = join_all([executor.permits.acquire(), executor.permits.acquire()]);
    assert!(left.now_or_never().is_some(), "every place was given back");
}

#[tokio::test(start_paused = true)]
async fn a_new_namespace_is_awaited_and_not_for_ever() {
    let script = Script::default();
    script.answer(201, answer("n1", "1", &[]));
    let executor = executor(&script, Arc::new(Open));
    let started = Instant::now();
    let execution = run(&executor, &namespace(), Action::Create, None).await;
    assert_eq!(result(&execution), Ok(Done::Created));
    assert_eq!(started.elapsed(), Duration::from_secs(1));

    script.answer(201, answer("n2", "2", &[]));
    let started = Instant::now();
    let create = namespace();
    let delivered = async {
        while script.asked().len() < 2 {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
        let metadata = serde_json::from_value(json!({"uid": "n2", "resourceVersion": "2"})).unwrap();
        executor.index.deliver(&create.id, crate::observed::Observed::of(&create.id.kind, &metadata));
    };
    let (execution, ()) = tokio::join!(run(&executor, &create, Action::Create, None), delivered);
    assert_eq!(result(&execution), Ok(Done::Created));
    assert!(started.elapsed() < Duration::from_millis(10));
}
