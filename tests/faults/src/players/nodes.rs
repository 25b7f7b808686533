//! What scheduler and nodes do about pods of the hall, and who cleans its servers; pure.
//!
//! A pod is bound to the first node that it fits and then runs. One that is on its way out stays for as long as it was given,
//! as pods do that are busy: what it is on must not be somebody else's meanwhile.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::acts::{Act, of_kind};
use crate::hall::{CLASS, CLASS_LABEL, NODES, POOLS, QUARANTINED, all, entries, tainted};
use crate::history::{Key, State, is_ending};

/// What is to be done now, by nodes and by a person of this name.
pub(super) fn acts(state: &State, by: &str, now: Timestamp) -> Vec<Act> {
    let pods = of_kind(state, "pods").filter(|(_, pod)| is_of_the_hall(pod));
    let pods = pods.filter_map(|(key, pod)| {
        goes(key, pod, now).or_else(|| runs(key, pod)).or_else(|| is_bound(state, key, pod))
    });
    let cleaned = all(state, POOLS).filter_map(|(key, pool)| cleans(state, &key.name, pool, by));
    pods.chain(cleaned).collect()
}

fn is_of_the_hall(pod: &Value) -> bool {
    pod.pointer("/spec/nodeSelector").is_some_and(|selector| selector[CLASS_LABEL] == CLASS)
}

/// The end of a pod whose time is over.
fn goes(key: &Key, pod: &Value, now: Timestamp) -> Option<Act> {
    let due: Timestamp = pod.pointer("/metadata/deletionTimestamp")?.as_str()?.parse().ok()?;
    (due <= now).then(|| Act {
        method: "DELETE",
        path: format!("/api/v1/namespaces/{}/pods/{}", key.namespace, key.name),
        body: json!({"gracePeriodSeconds": 0, "preconditions": {"uid": pod.pointer("/metadata/uid")}}),
    })
}

/// The start of a pod that has its node.
fn runs(key: &Key, pod: &Value) -> Option<Act> {
    let phase = pod.pointer("/status/phase").and_then(Value::as_str).unwrap_or("Pending");
    pod.pointer("/spec/nodeName").filter(|_| phase == "Pending" && !is_ending(pod))?;
    let container = json!({
        "name": pod.pointer("/spec/containers/0/name"),
        "image": pod.pointer("/spec/containers/0/image"),
        "imageID": "",
        "ready": true,
        "restartCount": 0,
        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
    });
    Some(Act {
        method: "PATCH",
        path: format!("/api/v1/namespaces/{}/pods/{}/status", key.namespace, key.name),
        body: json!({"status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [container],
        }}),
    })
}

/// The node that a pod is put on, where there is one.
fn is_bound(state: &State, key: &Key, pod: &Value) -> Option<Act> {
    if pod.pointer("/spec/nodeName").is_some() || is_ending(pod) {
        return None;
    }
    let (node, _) = all(state, NODES).find(|(_, node)| fits(pod, node))?;
    Some(Act {
        method: "POST",
        path: format!("/api/v1/namespaces/{}/pods/{}/binding", key.namespace, key.name),
        body: json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": key.name},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node.name}}),
    })
}

/// Whether a node has the labels that a pod asks for and no taint that it does not tolerate.
fn fits(pod: &Value, node: &Value) -> bool {
    let labels = node.pointer("/metadata/labels");
    let selector = pod.pointer("/spec/nodeSelector").and_then(Value::as_object);
    let has = |(key, value): (&String, &Value)| labels.and_then(|labels| labels.get(key)) == Some(value);
    let tolerations = pod.pointer("/spec/tolerations").and_then(Value::as_array);
    let tolerates = |taint: &Value| {
        tolerations
            .into_iter()
            .flatten()
            .any(|one| one["key"] == taint["key"] && one["value"] == taint["value"])
    };
    let mut taints = node.pointer("/spec/taints").and_then(Value::as_array).into_iter().flatten();
    selector.into_iter().flatten().all(has)
        && taints.all(tolerates)
        && node.pointer("/spec/unschedulable").is_none_or(|cordoned| cordoned != true)
}

/// The word that the servers of a pool are cleaned that are in quarantine, once they say so themselves.
fn cleans(state: &State, name: &str, pool: &Value, by: &str) -> Option<Act> {
    let said = pool.pointer("/spec/cleaned").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_quarantined = |entry: &&Value| {
        let node = entry["node"].as_str().and_then(|node| state.get(&Key::new(NODES, "", node)));
        node.and_then(|node| tainted(node)) == Some(QUARANTINED)
    };
    let word = |entry: &Value| json!({"node": entry["node"], "tenant": entry["tenant"].as_str().unwrap_or_default(), "by": by});
    let new: Vec<Value> = entries(pool, "quarantined")
        .filter(is_quarantined)
        .map(word)
        .filter(|word| !said.contains(word))
        .collect();
    if new.is_empty() {
        return None;
    }
    let kept = said.into_iter().filter(|known| new.iter().all(|word| word["node"] != known["node"]));
    let cleaned: Vec<Value> = kept.chain(new.iter().cloned()).collect();
    Some(Act {
        method: "PATCH",
        path: format!("/apis/tenantry.io/v1alpha1/serverpools/{name}"),
        body: json!({"spec": {"cleaned": cleaned}}),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::hall::tests::marked;
    use crate::hall::{TAINT, TENANT};

    const NOW: &str = "2026-12-01T06:00:00Z";

    fn told(objects: &[(Key, Value)]) -> Vec<String> {
        let state = objects.iter().map(|(key, object)| (key.clone(), Arc::new(object.clone()))).collect();
        let text = |act: Act| format!("{} {}", act.method, act.path);
        acts(&state, "ada", NOW.parse().unwrap()).into_iter().map(text).collect()
    }

    fn pod(change: impl Fn(&mut Value)) -> (Key, Value) {
        let mut pod = json!({"metadata": {"uid": "p1"}, "spec": {
            "nodeSelector": {CLASS_LABEL: CLASS, TENANT: "t1"}, "containers": [{"name": "web", "image": "i"}],
            "tolerations": [{"key": TAINT, "operator": "Equal", "value": "t1", "effect": "NoSchedule"}]}});
        change(&mut pod);
        (Key::new("pods", "tenant-acme", "web-1"), pod)
    }

    fn node(name: &str, label: Option<&str>, taint: &str) -> (Key, Value) {
        (Key::new(NODES, "", name), marked("u", label, Some(taint)))
    }

    #[test]
    fn a_pod_gets_to_its_tenants_node_alone_runs_and_goes_when_its_time_is_over() {
        let path = "/api/v1/namespaces/tenant-acme/pods/web-1";
        assert_eq!(
            told(&[pod(|_| {}), node("a", Some("t2"), "t2"), node("b", None, "free")]),
            Vec::<String>::new()
        );
        assert_eq!(told(&[pod(|_| {}), node("a", Some("t1"), "t1")]), [format!("POST {path}/binding")]);
        assert_eq!(told(&[pod(|_| {}), node("a", Some("t1"), "quarantined")]), Vec::<String>::new());
        let on_a = |pod: &mut Value| pod["spec"]["nodeName"] = json!("a");
        assert_eq!(told(&[pod(on_a)]), [format!("PATCH {path}/status")]);
        let until = |at: &str| {
            let at = at.to_owned();
            told(&[pod(move |pod| {
                on_a(pod);
                pod["metadata"]["deletionTimestamp"] = json!(at);
            })])
        };
        assert_eq!(until("2026-12-01T06:00:01Z"), Vec::<String>::new());
        assert_eq!(until(NOW), [format!("DELETE {path}")]);
        let of_others = |pod: &mut Value| pod["spec"]["nodeSelector"][CLASS_LABEL] = json!("standard");
        assert_eq!(told(&[pod(of_others), node("a", Some("t1"), "t1")]), Vec::<String>::new());
    }

    #[test]
    fn what_is_in_quarantine_is_cleaned_once_and_of_each_tenant() {
        let pool = |said: Value| {
            let object = json!({"spec": {"cleaned": said}, "status": {"quarantined": [{"node": "a", "uid": "u", "tenant": "t1"}]}});
            (Key::new(POOLS, "", "hall-own"), object)
        };
        let (done, others) = (
            json!([{"node": "a", "tenant": "t1", "by": "ada"}]),
            json!([{"node": "a", "tenant": "t0", "by": "ada"}]),
        );
        let patch = ["PATCH /apis/tenantry.io/v1alpha1/serverpools/hall-own".to_owned()];
        assert_eq!(told(&[pool(json!([])), node("a", None, "quarantined")]), patch);
        assert_eq!(told(&[pool(others), node("a", None, "quarantined")]), patch, "that was about another");
        assert_eq!(told(&[pool(done), node("a", None, "quarantined")]), Vec::<String>::new());
        assert_eq!(
            told(&[pool(json!([])), node("a", Some("t1"), "t1")]),
            Vec::<String>::new(),
            "it does not say so yet"
        );
    }
}
