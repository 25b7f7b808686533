//! Who leads, and for how long.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testing::Script;

fn candidate() -> Candidate {
    Candidate {
        namespace: "tenantry".into(),
        name: "controller".into(),
        identity: "me-1".into(),
        timing: Timing::default(),
    }
}

fn holder(identity: &str, seconds: u64) -> Holder {
    Holder { identity: identity.into(), duration: Duration::from_secs(seconds), resource_version: "1".into() }
}

#[test]
fn the_decision() {
    let wait = Decision::Wait(Timing::default().look);
    let cases = [
        (None, 0, Decision::Take),
        (Some(holder("", 15)), 0, Decision::Take),
        (Some(holder("me-1", 15)), 0, Decision::Take),
        (Some(holder("other", 15)), 0, wait),
        (Some(holder("other", 15)), 14, wait),
        (Some(holder("other", 15)), 15, Decision::Take),
        (Some(holder("other", 60)), 15, wait),
        (Some(holder("other", 60)), 60, Decision::Take),
        // A word shorter than our own is not believed.
        (Some(holder("other", 1)), 14, wait),
        (Some(holder("me-0", 15)), 3, wait),
    ];
    for (holder, seconds, expected) in cases {
        assert_eq!(
            decide(&candidate(), holder.as_ref(), Duration::from_secs(seconds)),
            expected,
            "{holder:?} {seconds}"
        );
    }
    let almost = Duration::from_millis(14_900);
    let rest = Decision::Wait(Duration::from_millis(100));
    assert_eq!(decide(&candidate(), Some(&holder("other", 15)), almost), rest, "no longer than it lasts");
}

proptest! {
    /// Whoever holds a lease stops writing before anybody who saw its last renewal may take it.
    #[test]
    fn two_never_write_at_once(landed in 0_u64..10_000, seen in 0_u64..10_000, at in 0_u64..40_000) {
        let timing = Timing::default();
        // Sent at 0, landed later, seen later still; the other looks at `at`.
        let seen_at = landed + seen;
        prop_assume!(at >= seen_at);
        let unchanged = Duration::from_millis(at - seen_at);
        let taken = decide(&candidate(), Some(&holder("other", 15)), unchanged) == Decision::Take;
        let holder_writes = Duration::from_millis(at) < timing.duration - MARGIN;
        prop_assert!(!(taken && holder_writes));
    }
}

fn lease(identity: &str, version: &str) -> Value {
    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
           "metadata": {"name": "controller", "namespace": "tenantry", "uid": "l", "resourceVersion": version},
           "spec": {"holderIdentity": identity, "leaseDurationSeconds": 15, "leaseTransitions": 4}})
}

fn missing(script: &Script) {
    script.refuse(404, "NotFound", r#"leases "controller" not found"#);
}

fn elector(script: &Script) -> Elector {
    Elector::new(script.client(), candidate(), Arc::default())
}

#[tokio::test(start_paused = true)]
async fn a_new_lease_is_created_and_opens_the_gate() {
    let script = Script::default();
    missing(&script);
    script.answer(201, lease("me-1", "1"));
    let elector = elector(&script);
    assert!(!elector.gate.may_write());
    elector.acquire().await;
    assert_eq!(elector.gate.remaining(), Duration::from_secs(14));
    assert!(elector.gate.is_fresh());
    let path = "/apis/coordination.k8s.io/v1/namespaces/tenantry/leases";
    assert_eq!(script.lines(), [format!("GET {path}/controller"), format!("POST {path}")]);
    assert_eq!(script.asked()[1].body["spec"]["holderIdentity"], json!("me-1"));
    tokio::time::advance(Duration::from_secs(14)).await;
    assert!(!elector.gate.may_write());
}

#[tokio::test(start_paused = true)]
async fn anothers_lease_is_taken_fifteen_seconds_after_it_last_changed() {
    let script = Script::default();
    // Seen, renewed before the second look, then never again.
    script.answer(200, lease("other", "1"));
    for _ in 0..=60 {
        script.answer(200, lease("other", "2"));
    }
    script.answer(200, lease("me-1", "3"));
    let elector = elector(&script);
    let started = Instant::now();
    elector.acquire().await;
    assert_eq!(started.elapsed(), Duration::from_millis(15_250));
    let put = script.asked().last().cloned().unwrap();
    assert_eq!(put.method, "PUT");
    assert_eq!(put.body["metadata"]["resourceVersion"], json!("2"));
    assert_eq!(put.body["spec"]["leaseTransitions"], json!(5));
}

#[tokio::test(start_paused = true)]
async fn of_two_candidates_the_refused_one_goes_on_waiting() {
    let script = Script::default();
    script.answer(200, lease("", "1"));
    script.refuse(409, "Conflict", "the object has been modified");
    script.answer(200, lease("other", "2"));
    script.answer(200, lease("", "3"));
    script.answer(200, lease("me-1", "4"));
    let elector = elector(&script);
    elector.acquire().await;
    let methods: Vec<String> = script.asked().into_iter().map(|asked| asked.method).collect();
    assert_eq!(methods, ["GET", "PUT", "GET", "GET", "PUT"]);
}

async fn held(script: &Script) -> (Elector, Held) {
    script.answer(200, lease("", "1"));
    script.answer(200, lease("me-1", "2"));
    let elector = elector(script);
    let held = elector.acquire().await;
    (elector, held)
}

#[tokio::test(start_paused = true)]
async fn it_is_renewed_every_two_seconds_and_released_at_the_end() {
    let script = Script::default();
    let (elector, held) = held(&script).await;
    for version in 3..6 {
        script.answer(200, lease("me-1", &version.to_string()));
    }
    let started = Instant::now();
    let stop = tokio::time::sleep(Duration::from_secs(5));
    elector.hold(held, stop, |_| {}).await.unwrap();
    assert_eq!(started.elapsed(), Duration::from_secs(5));
    assert!(!elector.gate.may_write());
    let asked = script.asked();
    let renewals = &asked[2..];
    assert_eq!(renewals.len(), 3);
    assert_eq!(renewals[0].body["metadata"]["resourceVersion"], json!("2"));
    assert_eq!(renewals[0].body["spec"]["leaseTransitions"], json!(4));
    assert_eq!(renewals[1].body["metadata"]["resourceVersion"], json!("3"));
    assert_eq!(renewals[2].body["spec"]["holderIdentity"], json!(""), "released");
    // The lease as it was answered has none.
    assert!(renewals[2].body["spec"]["renewTime"].is_string(), "it says when it was released");
}

#[tokio::test(start_paused = true)]
async fn a_lease_taken_by_another_is_lost_at_once() {
    let script = Script::default();
    let (elector, held) = held(&script).await;
    script.refuse(409, "Conflict", "the object has been modified");
    script.answer(200, lease("other", "9"));
    let lost = elector.hold(held, std::future::pending(), |_| {}).await.unwrap_err();
    assert!(matches!(lost, LeaseError::Taken { holder } if holder == "other"));
    assert!(!elector.gate.may_write());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_older_than_it_was_ends_the_process() {
    let script = Script::default();
    let (elector, held) = held(&script).await;
    script.answer(200, lease("me-1", "30"));
    script.refuse(409, "Conflict", "the object has been modified");
    script.answer(200, lease("me-1", "9"));
    let lost = elector.hold(held, std::future::pending(), |_| {}).await.unwrap_err();
    assert!(matches!(lost, LeaseError::WentBack), "{lost}");
    assert!(!elector.gate.may_write());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_whose_answer_was_lost_is_found_and_continued() {
    let script = Script::default();
    let (elector, held) = held(&script).await;
    script.silence();
    script.answer(200, lease("me-1", "3"));
    script.answer(200, lease("me-1", "4"));
    script.answer(200, lease("", "5"));
    let stop = tokio::time::sleep(Duration::from_secs(8));
    elector.hold(held, stop, |_| {}).await.unwrap();
    assert_eq!(script.asked()[4].body["metadata"]["resourceVersion"], json!("3"));
}

/// What a holder was told, in words.
#[derive(Default)]
struct Told(std::sync::Mutex<Vec<&'static str>>);

impl Told {
    fn hear(&self, standing: Standing) {
        let word = match standing {
            Standing::Interrupted { error: Some(_), .. } => "interrupted",
            Standing::Interrupted { error: None, .. } => "interrupted without an answer",
            Standing::Resumed => "resumed",
        };
        self.0.lock().unwrap().push(word);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_renewed_closes_the_gate_before_it_expires_and_opens_it_again() {
    let script = Script::default();
    let (elector, held) = held(&script).await;
    let gate = Arc::clone(&elector.gate);
    // Every request beyond the script is answered with an error of the server.
    let back = async {
        tokio::time::sleep(Duration::from_secs(14)).await;
        assert!(!gate.may_write(), "nobody else may start before 15 s");
        tokio::time::sleep(Duration::from_secs(40)).await;
        script.answer(200, lease("me-1", "2"));
        for version in 3..40 {
            script.answer(200, lease("me-1", &version.to_string()));
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(gate.may_write());
    };
    let told = Told::default();
    elector.hold(held, back, |standing| told.hear(standing)).await.unwrap();
    assert_eq!(*told.0.lock().unwrap(), ["interrupted", "resumed"]);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_another_took_while_the_server_was_away_ends_the_process() {
    let script = Script::default();
    let (elector, held) = held(&script).await;
    let back = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        for _ in 0..4 {
            script.refuse(409, "Conflict", "the object has been modified");
            script.answer(200, lease("other", "9"));
        }
        std::future::pending().await
    };
    let lost = elector.hold(held, back, |_| {}).await.unwrap_err();
    assert!(matches!(&lost, LeaseError::Taken { holder } if holder == "other"), "{lost}");
    assert!(!elector.gate.may_write());
}

/// Found by the fault harness (a leader that is asked to end at work): a renewal that was cut off had landed, so the lease that
/// was to be given back was an older one, and the next leader had to wait for it to expire.
#[tokio::test(start_paused = true)]
async fn a_renewal_under_way_is_waited_for_before_the_lease_is_given_back() {
    let script = Script::default();
    let (elector, held) = held(&script).await;
    script.answer_after(Duration::from_millis(500), 200, lease("me-1", "3"));
    script.answer(200, lease("", "4"));
    let stop = tokio::time::sleep(Duration::from_millis(2_100));
    elector.hold(held, stop, |_| {}).await.unwrap();
    let released = script.asked().last().cloned().unwrap();
    assert_eq!(released.body["metadata"]["resourceVersion"], json!("3"));
    assert_eq!(released.body["spec"]["holderIdentity"], json!(""));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_shall_end_does_not_wait_for_the_server() {
    let script = Script::default();
    let (elector, held) = held(&script).await;
    let started = Instant::now();
    elector.hold(held, tokio::time::sleep(Duration::from_secs(20)), |_| {}).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(26), "{:?}", started.elapsed());
}
