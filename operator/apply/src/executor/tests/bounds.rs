//! What bounds a tenant: written over the version that is known, and before everything that it has to have room for.

use super::*;

const QUOTA: &str = "/api/v1/namespaces/tenant-acme/resourcequotas/settings";

fn quota() -> Desired {
    desired("v1", "ResourceQuota", "settings", Stage::Foundation)
}

/// An executor that has seen the quota at version 7.
fn watching(script: &Script) -> Executor {
    let executor = executor(script, Arc::new(Open));
    let metadata = serde_json::from_value(answer("u1", "7", &[])["metadata"].clone()).unwrap();
    let observed = Observed::of(&quota().id.kind, &metadata);
    executor.index.record(&quota().id, observed, Baseline::default());
    executor
}

fn changed() -> Action {
    Action::Apply { uid: "u1".into(), why: Cause::Changed }
}

fn versions(script: &Script) -> Vec<Option<String>> {
    let version = |body: &Value| Some(body.pointer("/metadata/resourceVersion")?.as_str()?.to_owned());
    script.asked().iter().map(|asked| version(&asked.body)).collect()
}

#[tokio::test]
async fn a_bound_is_applied_over_the_version_that_is_known() {
    let script = Script::default();
    script.answer(200, answer("u1", "8", &[]));
    let execution = run(&watching(&script), &quota(), changed(), Some(("u1", 0))).await;
    assert_eq!(result(&execution), Ok(Done::Applied));
    assert_eq!(versions(&script), [Some("7".to_owned())], "one that arrives late changes nothing");
}

#[tokio::test]
async fn a_bound_whose_status_was_written_meanwhile_is_looked_at_and_applied_again() {
    let script = Script::default();
    let modified = "the object has been modified; please apply your changes to the latest version";
    script.refuse(409, "Conflict", modified);
    script.answer(200, answer("u1", "9", &[]));
    script.answer(200, answer("u1", "10", &[]));
    let execution = run(&watching(&script), &quota(), changed(), Some(("u1", 0))).await;
    assert_eq!(result(&execution), Ok(Done::Applied));
    assert_eq!(script.lines(), [format!("PATCH {QUOTA}"), format!("GET {QUOTA}"), format!("PATCH {QUOTA}")]);
    assert_eq!(versions(&script)[2], Some("9".to_owned()));

    script.refuse(409, "Conflict", modified);
    script.answer(200, answer("u2", "11", &[]));
    let execution = run(&watching(&script), &quota(), changed(), Some(("u1", 0))).await;
    assert_eq!(result(&execution), Err(Verdict::Precondition), "another object of that name");
}

#[tokio::test]
async fn nothing_gets_another_content_when_the_room_for_it_could_not_be_made() {
    let gated = |desired: Desired, why: Cause| {
        let action = Action::Apply { uid: "u1".into(), why };
        let mut step = step(&desired, action);
        step.gated = why == Cause::Changed;
        (desired, step)
    };
    for (why, expected) in [(Cause::Changed, Err(Verdict::Skipped)), (Cause::Drifted, Ok(Done::Applied))] {
        let script = Script::default();
        script.refuse(503, "ServiceUnavailable", "later");
        script.answer(200, answer("u1", "8", &[]));
        let steps = [gated(quota(), Cause::Changed), gated(settings(), why)];
        let mut ledger = Ledger::default();
        for (desired, _) in &steps {
            ledger.add(desired);
            ledger.live(&desired.id, "item", "u1", "old", &Baseline::default());
        }
        let plan = Plan { steps: steps.iter().map(|(_, step)| step.clone()).collect(), ..Plan::default() };
        let desired = steps.map(|(desired, _)| desired);
        let execution = watching(&script).execute(&owner(), &plan, &desired, ledger.inventory()).await;
        assert_eq!(verdicts(&execution), [Err(Verdict::Unknown), expected]);
    }
}
