//! What customers and nodes do about what they see; pure.
//!
//! What they do depends on nothing but the item, the attempt and the status, so that it is the same in every run, and it is
//! done only while it is not done yet.

use serde_json::{Value, json};

use crate::history::{Key, SUBSCRIPTIONS, State, is_ending};
use crate::runs::{self, Run};
use crate::workload::{DECLARED_FIRST, ROWS};

/// Where signatures are.
pub(super) const SIGN_OFFS: &str = "tenantsignoffs.tenantry.io";
/// Annotation that says how the end of a subscription goes on.
pub(crate) const EXIT: &str = "tenantry.io/exit";
/// Word of it that ends the keeping of data.
const END_KEEPING: &str = "EndKeeping";
/// Secret with what the customer brings.
const SOURCE: &str = "conversion-source";
/// What it brings.
const CUSTOMERS: &str = "number,name\n1,Anvil\n2,Bolt\n3,Cork\n";

/// A request to the API server.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Act {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) body: Value,
}

/// What is to be done now, by customers, who are known by this name, and by nodes.
pub(super) fn acts(state: &State, by: &str) -> Vec<Act> {
    let customers =
        of_kind(state, SUBSCRIPTIONS).flat_map(|(key, found)| customer(state, &key.name, found, by));
    let nodes = of_kind(state, "pods").filter_map(|(_, pod)| node(pod));
    customers.chain(nodes).collect()
}

pub(super) fn of_kind<'a>(state: &'a State, resource: &'a str) -> impl Iterator<Item = (&'a Key, &'a Value)> {
    let range = state.range(Key::new(resource, "", "")..);
    range.take_while(move |(key, _)| key.resource == resource).map(|(key, object)| (key, &**object))
}

/// What the customer of a subscription does: who ends looks at what is kept for him and needs it no longer, and who brings data
/// hands it over.
fn customer(state: &State, name: &str, subscription: &Value, by: &str) -> Vec<Act> {
    let is_kept = subscription.pointer("/status/phase").is_some_and(|phase| phase == "Archived");
    if is_kept && subscription.pointer("/metadata/annotations").and_then(|all| all.get(EXIT)).is_none() {
        return vec![Act {
            method: "PATCH",
            path: format!("/apis/tenantry.io/v1alpha1/tenantsubscriptions/{name}"),
            body: json!({"metadata": {"annotations": {EXIT: END_KEEPING}}}),
        }];
    }
    let Some(data) = subscription.pointer("/spec/dataConversion").filter(|_| !is_ending(subscription)) else {
        return Vec::new();
    };
    let namespace = format!("tenant-{name}");
    let has_namespace =
        state.get(&Key::new("namespaces", "", &namespace)).is_some_and(|found| !is_ending(found));
    let secret =
        (has_namespace && !state.contains_key(&Key::new("secrets", &namespace, SOURCE))).then(|| Act {
            method: "POST",
            path: format!("/api/v1/namespaces/{namespace}/secrets"),
            body: json!({"metadata": {"name": SOURCE}, "stringData": {"customers.csv": CUSTOMERS}}),
        });
    let item = |name: &str| {
        let checklist = subscription.pointer("/status/checklist").and_then(Value::as_array);
        checklist.into_iter().flatten().find(|entry| entry["name"] == name)
    };
    let declare = |declared: Value| Act {
        method: "PATCH",
        path: format!("/apis/tenantry.io/v1alpha1/tenantsubscriptions/{name}"),
        body: json!({"spec": {"dataConversion": declared}}),
    };
    let has_failed = item("data-trial").is_some_and(|entry| entry["state"] == "Failed");
    let is_wrong = data.pointer("/trial/rows") == Some(&json!(DECLARED_FIRST));
    let corrected = (has_failed && is_wrong).then(|| declare(json!({"trial": {"rows": ROWS}})));
    let is_asked = item("data-cutover").is_some_and(|entry| entry["reason"] == "NotDeclared");
    let declared =
        (is_asked && data["cutOver"].is_null()).then(|| declare(json!({"cutOver": {"rows": ROWS}})));
    let signed = item("training").and_then(|entry| {
        let made = signature(name, subscription, entry, by)?;
        let key = Key::new(SIGN_OFFS, "", made.body.pointer("/metadata/name")?.as_str()?);
        (!state.contains_key(&key)).then_some(made)
    });
    [secret, corrected, declared, signed].into_iter().flatten().collect()
}

/// The signature that an item waits for.
fn signature(name: &str, subscription: &Value, entry: &Value, by: &str) -> Option<Act> {
    let item = entry["name"].as_str()?;
    let request = entry.get("signOff").filter(|request| request["signature"].is_null())?;
    (entry["state"] == "Waiting").then(|| Act {
        method: "POST",
        path: "/apis/tenantry.io/v1alpha1/tenantsignoffs".to_owned(),
        body: json!({
            "apiVersion": "tenantry.io/v1alpha1",
            "kind": "TenantSignOff",
            "metadata": {"name": format!("{name}-{item}")},
            "spec": {
                "subscriptionRef": {"name": name, "uid": subscription.pointer("/metadata/uid")},
                "item": item,
                "as": request["as"],
                "orderDigest": request["orderDigest"],
                "by": by,
            },
        }),
    })
}

/// The end of a pod of a run. One that is on its way out is not waited for by anybody.
fn node(pod: &Value) -> Option<Act> {
    let run = Run::of(pod)?;
    let phase = pod.pointer("/status/phase");
    if is_ending(pod) || phase.is_some_and(|phase| phase == "Succeeded" || phase == "Failed") {
        return None;
    }
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str);
    let (namespace, name) = (text("/metadata/namespace")?, text("/metadata/name")?);
    let result = result(&run);
    let is_good = result.get("outcome").is_some_and(|outcome| outcome == "Succeeded");
    let ended = json!({
        "exitCode": i32::from(!is_good),
        "reason": if is_good { "Completed" } else { "Error" },
        "message": result.to_string(),
    });
    let container = json!({
        "name": text("/spec/containers/0/name")?,
        "image": text("/spec/containers/0/image")?,
        "imageID": "",
        "ready": false,
        "restartCount": 0,
        "state": {"terminated": ended},
    });
    let phase = if is_good { "Succeeded" } else { "Failed" };
    Some(Act {
        method: "PATCH",
        path: format!("/api/v1/namespaces/{namespace}/pods/{name}/status"),
        body: json!({"status": {"phase": phase, "containerStatuses": [container]}}),
    })
}

/// What a run finds: conversions all rows there are, whatever was declared; tests something the first time.
fn result(run: &Run) -> Value {
    match (run.item.as_str(), run.attempt) {
        ("testing", 1) => json!({
            "outcome": "Failed",
            "message": "an order is lost on its way",
            "differences": ["order 7 is missing"],
            "differencesTotal": 1,
        }),
        ("testing", _) => json!({"outcome": "Succeeded", "message": "every check passed"}),
        _ => json!({"outcome": "Succeeded", "message": "loaded", "rows": ROWS}),
    }
}

/// Whether a pod of a run is at rest: it has an end, nobody keeps it, and its Job is there.
pub(crate) fn is_at_rest(state: &State, pod: &Value) -> bool {
    let namespace = pod.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
    let Some(run) = runs::name_of(pod) else { return true };
    !runs::is_kept(pod) && !is_ending(pod) && state.contains_key(&Key::new("jobs.batch", namespace, run))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::plan::Workload;

    /// The subscription of a hand-over with this checklist, in a namespace of its own.
    fn state(change: impl Fn(&mut Value), checklist: Value) -> State {
        let mut subscription = Workload::HandOver.order("acme");
        subscription["metadata"]["uid"] = json!("s1");
        subscription["status"] = json!({ "checklist": checklist });
        change(&mut subscription);
        [
            (Key::new(SUBSCRIPTIONS, "", "acme"), subscription),
            (Key::new("namespaces", "", "tenant-acme"), json!({})),
            (Key::new("secrets", "tenant-acme", SOURCE), json!({})),
        ]
        .map(|(key, object)| (key, Arc::new(object)))
        .into()
    }

    fn told(state: &State) -> Vec<String> {
        let text = |act: Act| format!("{} {} {}", act.method, act.path, act.body["spec"]);
        acts(state, "ada").into_iter().map(text).collect()
    }

    #[test]
    fn data_is_handed_over_once_the_namespace_is_there() {
        let mut state = state(|_| {}, json!([]));
        assert_eq!(told(&state), Vec::<String>::new());
        state.remove(&Key::new("secrets", "tenant-acme", SOURCE));
        assert_eq!(told(&state), ["POST /api/v1/namespaces/tenant-acme/secrets null"]);
        state.remove(&Key::new("namespaces", "", "tenant-acme"));
        assert_eq!(told(&state), Vec::<String>::new());
        let probe = Workload::Provision.order("bolt");
        let probe = State::from([(Key::new(SUBSCRIPTIONS, "", "bolt"), Arc::new(probe))]);
        assert_eq!(told(&probe), Vec::<String>::new(), "others bring no data");
    }

    #[test]
    fn what_is_declared_is_corrected_and_completed_when_it_is_asked_for() {
        let path = "PATCH /apis/tenantry.io/v1alpha1/tenantsubscriptions/acme";
        let failed = json!([{"name": "data-trial", "state": "Failed"}]);
        let corrected = format!(r#"{path} {{"dataConversion":{{"trial":{{"rows":3}}}}}}"#);
        assert_eq!(told(&state(|_| {}, failed.clone())), [corrected]);
        let known = |order: &mut Value| order["spec"]["dataConversion"]["trial"]["rows"] = json!(ROWS);
        assert_eq!(told(&state(known, failed)), Vec::<String>::new());
        let asked = json!([{"name": "data-cutover", "state": "Waiting", "reason": "NotDeclared"}]);
        let declared = format!(r#"{path} {{"dataConversion":{{"cutOver":{{"rows":3}}}}}}"#);
        assert_eq!(told(&state(|_| {}, asked.clone())), [declared]);
        let known = |order: &mut Value| order["spec"]["dataConversion"]["cutOver"] = json!({"rows": ROWS});
        assert_eq!(told(&state(known, asked)), Vec::<String>::new());
    }

    #[test]
    fn who_is_kept_is_not_kept_any_longer() {
        let kept = |order: &mut Value| order["status"]["phase"] = json!("Archived");
        let found = acts(&state(kept, json!([])), "ada");
        let path = "/apis/tenantry.io/v1alpha1/tenantsubscriptions/acme";
        assert_eq!(
            found.iter().map(|act| (act.method, act.path.as_str())).collect::<Vec<_>>(),
            [("PATCH", path)]
        );
        let said = |order: &mut Value| {
            kept(order);
            order["metadata"]["annotations"] = json!({EXIT: END_KEEPING});
        };
        assert_eq!(acts(&state(said, json!([])), "ada"), []);
    }

    #[test]
    fn what_is_to_be_signed_is_signed_once_and_as_it_was_shown() {
        let training = |signature: Value| {
            json!([{"name": "training", "state": "Waiting",
                "signOff": {"as": "Customer", "orderDigest": "d1", "signature": signature}}])
        };
        let mut open = state(|_| {}, training(Value::Null));
        let found = acts(&open, "ada");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].body["metadata"]["name"], "acme-training");
        assert_eq!(
            found[0].body["spec"],
            json!({"subscriptionRef": {"name": "acme", "uid": "s1"}, "item": "training", "as": "Customer",
                "orderDigest": "d1", "by": "ada"})
        );
        open.insert(Key::new(SIGN_OFFS, "", "acme-training"), Arc::new(json!({})));
        assert_eq!(acts(&open, "ada"), []);
        assert_eq!(acts(&state(|_| {}, training(json!({"name": "acme-training"}))), "ada"), []);
    }

    fn pod(run: &str, phase: &str) -> Value {
        json!({
            "metadata": {"name": format!("{run}-abcde"), "namespace": "tenant-acme", "labels": {"tenantry.io/run": run}},
            "spec": {"containers": [{"name": "it", "image": "registry.example/it"}]},
            "status": {"phase": phase},
        })
    }

    #[test]
    fn a_pod_ends_once_with_what_its_item_and_attempt_say() {
        let ends = |pod: &Value| {
            let act = node(pod)?;
            let message =
                act.body.pointer("/status/containerStatuses/0/state/terminated/message")?.as_str()?;
            let message: Value = serde_json::from_str(message).ok()?;
            Some((act.body["status"]["phase"].clone(), message["outcome"].clone(), message["rows"].clone()))
        };
        let is = |phase: &str, rows: Value| Some((json!(phase), json!(phase), rows));
        assert_eq!(ends(&pod("testing-1-0123456789", "Pending")), is("Failed", Value::Null));
        assert_eq!(ends(&pod("testing-2-0123456789", "Pending")), is("Succeeded", Value::Null));
        assert_eq!(ends(&pod("data-trial-1-0123456789", "Pending")), is("Succeeded", json!(ROWS)));
        assert_eq!(ends(&pod("data-trial-1-0123456789", "Succeeded")), None);
        assert_eq!(ends(&pod("web", "Pending")), None);
        let mut going = pod("testing-1-0123456789", "Running");
        going["metadata"]["deletionTimestamp"] = json!("2026-12-01T06:00:00Z");
        assert_eq!(ends(&going), None);
    }

    #[test]
    fn a_pod_is_at_rest_when_nobody_keeps_it_and_its_job_is_there() {
        let run = "testing-1-0123456789";
        let job = Key::new("jobs.batch", "tenant-acme", run);
        let with_job = State::from([(job, Arc::new(json!({})))]);
        assert!(is_at_rest(&with_job, &pod(run, "Failed")));
        assert!(!is_at_rest(&State::new(), &pod(run, "Failed")));
        let mut kept = pod(run, "Failed");
        kept["metadata"]["finalizers"] = json!([runs::RESULT_FINALIZER]);
        assert!(!is_at_rest(&with_job, &kept));
    }
}
