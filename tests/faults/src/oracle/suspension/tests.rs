use serde_json::json;

use super::*;
use crate::oracle::testing::Story;

const NAMESPACE: &str = "tenant-acme";

/// The subscription with this number of pods on record and these true conditions.
fn status(story: Story, replicas: Option<i64>, conditions: &[&str]) -> Story {
    let condition = |name: &&str| json!({"type": name, "status": "True", "observedGeneration": 1});
    let conditions: Vec<Value> = conditions.iter().map(condition).collect();
    let mut object = json!({
        "metadata": {"uid": "s1", "generation": 1},
        "status": {"tenant": {"id": "t-acme"}, "conditions": conditions},
    });
    if let Some(replicas) = replicas {
        let entry = json!({"kind": "apps/v1/Deployment", "name": "web", "uid": "w", "replicas": replicas});
        object["status"]["suspension"] = json!({"remembered": [entry]});
    }
    story.with(Sort::Changed, Key::new(SUBSCRIPTIONS, "", "acme"), object)
}

/// An object of the tenant.
fn ours(story: Story, resource: &str, name: &str, mut object: Value) -> Story {
    let key = Key::new(resource, NAMESPACE, name);
    let sort = if story.clone().record().after().contains_key(&key) { Sort::Changed } else { Sort::Created };
    if object["metadata"]["uid"].is_null() {
        object["metadata"]["uid"] = json!("w");
    }
    object["metadata"]["labels"] = json!({"tenantry.io/tenant-id": "t-acme"});
    story.with(sort, key, object)
}

fn web(story: Story, replicas: i64) -> Story {
    ours(story, WORKLOADS, "web", json!({"spec": {"replicas": replicas}}))
}

/// A tenant with three web servers whose suspension begins.
fn running() -> Story {
    let story = web(Story::of("acme"), 3);
    let before = story.clone().record().after();
    let record = Record { before, changes: Vec::new(), ..story.record() };
    Story::from(record).with(Sort::Created, Key::new(SUSPENSIONS, "", "acme-invoice"), json!({}))
}

/// The parts of a tenant that nobody gets into and that runs nothing, but for one.
fn closed(story: Story, without: &str) -> Story {
    let group = json!([{"kind": "Group", "name": "g"}]);
    let own = json!([{"kind": "ServiceAccount", "name": "s"}]);
    let subjects = if without == "people" { group } else { own };
    let leads = if without == "route" { "backendRefs" } else { "filters" };
    let pods = if without == "quota" { "10" } else { "0" };
    let mut story = ours(story, ROUTES, "public", json!({"spec": {"rules": [{leads: []}]}}));
    story = ours(story, BINDINGS, "people", json!({ "subjects": subjects }));
    story = ours(story, QUOTAS, "quota", json!({"spec": {"hard": {"pods": pods}}}));
    story = web(story, i64::from(without == "workload"));
    let phase = if without == "pods" { "Pending" } else { "Failed" };
    let pod = json!({"status": {"phase": phase}});
    story.with(Sort::Created, Key::new("pods", NAMESPACE, "web-abcde"), pod)
}

fn told(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.what.as_str()).collect()
}

#[test]
fn who_is_stopped_before_it_is_on_record_what_ran_is_found() {
    let stopped = |story: Story| recorded_before_stopped(&web(story, 0).record());
    assert_eq!(stopped(status(running(), Some(3), &[])), []);
    let late = ["deployments.apps tenant-acme/web was given no pods before it was on record that it had 3"];
    assert_eq!(told(&stopped(running())), late);
    assert_eq!(told(&stopped(status(running(), Some(1), &[]))), late, "another number");
    let after = status(web(running(), 0), Some(3), &[]).record();
    assert_eq!(told(&recorded_before_stopped(&after)), late, "recorded late");
    assert_eq!(recorded_before_stopped(&web(running(), 1).record()), [], "it is not stopped");
    let never = web(web(Story::of("acme"), 0), 0).record();
    assert_eq!(recorded_before_stopped(&never), [], "it never had any");
}

#[test]
fn what_is_forgotten_before_it_is_given_back_is_found() {
    let suspended = || web(status(running(), Some(3), &[]), 0);
    let forgotten = |story: Story| forgotten_after_given_back(&status(story, None, &[]).record());
    assert_eq!(forgotten(web(suspended(), 3)), []);
    let found = ["web had 3 pods, which was forgotten when it has 1"];
    assert_eq!(told(&forgotten(web(suspended(), 1))), found);
    assert_eq!(forgotten(suspended().deleted(WORKLOADS, "web")), [], "nobody is left to be given them");
    assert_eq!(forgotten_after_given_back(&suspended().record()), []);
    // What was remembered before the record began is not forgotten either.
    let record = suspended().record();
    let later = Record { before: record.after(), changes: Vec::new(), ..record };
    assert_eq!(forgotten(Story::from(later)).len(), 1);
}

#[test]
fn who_is_told_to_be_suspended_is() {
    let said = |without: &str| {
        suspended_is_honest(&status(closed(running(), without), Some(3), &["Suspended"]).record())
    };
    assert_eq!(said("nothing"), []);
    for (without, what) in [
        ("route", "httproutes.gateway.networking.k8s.io tenant-acme/public leads in"),
        ("people", "rolebindings.rbac.authorization.k8s.io tenant-acme/people binds people"),
        ("quota", "no quota keeps pods from starting"),
        ("workload", "deployments.apps tenant-acme/web is not stopped"),
        ("pods", "1 of its pods have not ended"),
    ] {
        assert_eq!(told(&said(without)), [format!("told to be suspended when {what}")]);
    }
    let way = status(closed(running(), "pods"), Some(3), &["Ready"]);
    assert_eq!(suspended_is_honest(&way.record()), [], "it is on its way");
    let lifted = running().with(Sort::Deleted, Key::new(SUSPENSIONS, "", "acme-invoice"), json!({}));
    let back = status(closed(lifted, "route"), Some(3), &["Suspended"]);
    assert_eq!(suspended_is_honest(&back.record()), [], "it is on its way back");
}

#[test]
fn what_a_suspension_leaves_at_its_end_is_found() {
    let end =
        |without: &str, replicas| taken_away(&status(closed(running(), without), replicas, &[]).record());
    assert_eq!(end("nothing", Some(3)), []);
    for without in ["route", "people", "quota", "workload", "pods"] {
        assert_eq!(end(without, Some(3)).len(), 1, "{without}");
    }
    let lost = "deployments.apps tenant-acme/web had 3 pods, and on record is None";
    assert_eq!(told(&end("nothing", None)), [lost]);
    assert_eq!(end("nothing", Some(1)).len(), 1);
    let open = status(running(), Some(3), &[]).record();
    assert_eq!(told(&taken_away(&open))[0], "no route says why");
}

/// A tenant that was suspended and is back, with what it had earlier.
fn back(end: impl Fn(Story) -> Story) -> Vec<String> {
    let earlier = ours(running(), "configmaps", "settings", json!({"data": {"a": "b"}}));
    let suspended = ours(web(earlier.clone(), 0), "configmaps", "notice", json!({}));
    let again = end(status(web(suspended, 3), None, &["Ready"]));
    let record = Record { earlier: earlier.record().after(), ..again.record() };
    given_back(&record).into_iter().map(|finding| finding.what).collect()
}

#[test]
fn what_is_not_given_back_as_it_was_is_found() {
    let cleaned = |story: Story| story.deleted("configmaps", "notice");
    assert_eq!(back(cleaned), Vec::<String>::new());
    assert_eq!(back(|story| story), ["configmaps tenant-acme/notice: was not there before"]);
    let other = "deployments.apps tenant-acme/web: .spec.replicas: 1 and not 3";
    assert_eq!(back(|story| web(cleaned(story), 1)), [other]);
    let settings = |story: Story, object: Value| ours(cleaned(story), "configmaps", "settings", object);
    assert_eq!(
        back(|story| settings(story, json!({"data": {"a": "c"}}))),
        [r#"configmaps tenant-acme/settings: .data.a: "c" and not "b""#]
    );
    let anew = json!({"metadata": {"uid": "w2"}, "data": {"a": "b"}});
    assert_eq!(
        back(|story| settings(story, anew.clone())),
        ["configmaps tenant-acme/settings: was made anew"]
    );
    let edited = json!({"metadata": {"generation": 7}, "data": {"a": "b"}, "status": {"told": true}});
    assert_eq!(back(|story| settings(story, edited.clone())), Vec::<String>::new());
    assert_eq!(
        back(|story| cleaned(story).deleted("configmaps", "settings")),
        ["configmaps tenant-acme/settings: did not come back"]
    );
    let still = "the status still tells of a suspension";
    assert_eq!(back(|story| status(cleaned(story), Some(3), &[])), [still]);
    let unknown = given_back(&running().record());
    assert_eq!(told(&unknown), ["nothing is known of what the tenant had before"]);
}
