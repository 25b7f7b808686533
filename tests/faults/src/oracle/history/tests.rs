use serde_json::json;

use super::*;
use crate::oracle::testing::Story;

const CONFIG: (&str, &str, &str, &str) = ("v1/ConfigMap", "settings", "Live", "u1");

/// A tenant's namespace, and what isolates it but for one part.
fn isolated(without: &str) -> Story {
    let labels =
        json!({"tenantry.io/tenant-id": "t-acme", "pod-security.kubernetes.io/enforce": "restricted"});
    let bare = json!({"tenantry.io/tenant-id": "t-acme"});
    let labels = if without == "pod security" { bare } else { labels };
    let namespace = json!({"kind": "Namespace", "metadata": {"uid": "n1", "labels": labels}});
    let mut story =
        Story::of("acme").with(Sort::Created, Key::new("namespaces", "", "tenant-acme"), namespace);
    let deny =
        json!({"metadata": {"uid": "d"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}});
    let parts = [
        ("limits", "limitranges", json!({"metadata": {"uid": "l"}})),
        ("quota", "resourcequotas", json!({"metadata": {"uid": "q"}})),
        ("default deny", "networkpolicies.networking.k8s.io", deny),
    ];
    for (part, resource, object) in parts {
        if part != without {
            story = story.with(Sort::Created, Key::new(resource, "tenant-acme", "part"), object);
        }
    }
    story
}

fn opened(story: Story, resource: &str, object: Value) -> Vec<Finding> {
    let key = Key::new(resource, "tenant-acme", "opening");
    isolation_before_access(&story.with(Sort::Created, key, object).record())
}

#[test]
fn access_before_isolation_is_found_whatever_part_is_missing() {
    let people = json!({"metadata": {"uid": "b"}, "subjects": [{"kind": "Group", "name": "g"}]});
    let ours = json!({"metadata": {"uid": "b"}, "subjects": [{"kind": "ServiceAccount", "name": "s"}]});
    let bindings = "rolebindings.rbac.authorization.k8s.io";
    assert_eq!(opened(isolated("nothing"), bindings, people.clone()), []);
    for part in ["limits", "quota", "default deny", "pod security"] {
        assert_eq!(opened(isolated(part), bindings, people.clone()).len(), 1, "people without {part}");
        assert_eq!(opened(isolated(part), bindings, ours.clone()), [], "our own binding comes first");
        let route = json!({"metadata": {"uid": "r"}});
        assert_eq!(opened(isolated(part), "httproutes.gateway.networking.k8s.io", route.clone()).len(), 1);
        let found = opened(isolated(part), "deployments.apps", route);
        assert_eq!(found.len(), usize::from(part != "quota"), "the quota comes after what it counts");
    }
}

#[test]
fn a_policy_that_lets_something_through_is_no_default_deny() {
    let deny = json!({"spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}});
    let open = json!({"spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": [{}]}});
    let half = json!({"spec": {"podSelector": {}, "policyTypes": ["Ingress"]}});
    let some =
        json!({"spec": {"podSelector": {"matchLabels": {"a": "b"}}, "policyTypes": ["Ingress", "Egress"]}});
    assert_eq!(
        [deny, open, half, some].map(|policy| denies_everything(&policy)),
        [true, false, false, false]
    );
}

#[test]
fn a_namespace_that_changes_its_tenant_is_found() {
    let story = Story::of("acme").placed("namespaces", "", "tenant-acme", "n1");
    assert_eq!(one_tenant_a_namespace(&story.clone().record()), []);
    let taken = json!({"metadata": {"uid": "n1", "labels": {"tenantry.io/tenant-id": "t-other"}}});
    let taken = story.with(Sort::Changed, Key::new("namespaces", "", "tenant-acme"), taken).record();
    assert_eq!(one_tenant_a_namespace(&taken).len(), 1);
}

#[test]
fn a_creation_that_is_not_recorded_is_found() {
    let pending = ("v1/ConfigMap", "settings", "Pending", "");
    let recorded =
        Story::of("acme").subscription("s1", &[pending], false).created("configmaps", "settings", "u1");
    assert_eq!(recorded_before_created(&recorded.record()), []);
    let late = Story::of("acme").created("configmaps", "settings", "u1").subscription("s1", &[CONFIG], false);
    assert_eq!(recorded_before_created(&late.record()).len(), 1);
    let other_kind = ("v1/Service", "settings", "Pending", "");
    let other =
        Story::of("acme").subscription("s1", &[other_kind], false).created("configmaps", "settings", "u1");
    assert_eq!(recorded_before_created(&other.record()).len(), 1);
    let bare = json!({"metadata": {"uid": "s1"}, "status": {"tenant": {"id": "t-acme"},
        "inventory": {"objects": [{"kind": "v1/ConfigMap", "name": "settings", "state": "Pending"}]}}});
    let unfinalized = Story::of("acme").with(Sort::Changed, Key::new(SUBSCRIPTIONS, "", "acme"), bare);
    assert_eq!(
        recorded_before_created(&unfinalized.created("configmaps", "settings", "u1").record()).len(),
        1
    );
}

#[test]
fn forgetting_what_exists_is_found() {
    let live = Story::of("acme").created("configmaps", "settings", "u1").subscription("s1", &[CONFIG], true);
    let forgotten = live.clone().subscription("s1", &[], true);
    assert_eq!(forgotten_after_gone(&forgotten.record()).len(), 1);
    assert_eq!(forgotten_after_gone(&live.clone().ended().record()).len(), 1, "the end forgets everything");
    let gone = live.deleted("configmaps", "settings");
    assert_eq!(forgotten_after_gone(&gone.clone().subscription("s1", &[], true).record()), []);
    assert_eq!(forgotten_after_gone(&gone.ended().record()), []);
}

#[test]
fn ready_without_its_objects_is_found() {
    let made = Story::of("acme").created("configmaps", "settings", "u1");
    assert_eq!(ready_is_honest(&made.clone().subscription("s1", &[CONFIG], true).record()), []);
    assert_eq!(ready_is_honest(&made.clone().subscription("s1", &[], true).record()).len(), 1);
    let early = Story::of("acme").subscription("s1", &[CONFIG], true);
    assert_eq!(ready_is_honest(&early.clone().record()).len(), 1);
    let pending = ("v1/ConfigMap", "other", "Pending", "");
    assert_eq!(ready_is_honest(&made.clone().subscription("s1", &[CONFIG, pending], true).record()).len(), 1);
    let going = ("v1/ConfigMap", "other", "Deleting", "u9");
    assert_eq!(ready_is_honest(&made.clone().subscription("s1", &[CONFIG, going], true).record()), []);
    assert_eq!(ready_is_honest(&made.subscription("s1", &[CONFIG, pending], false).record()), []);
}

#[test]
fn what_comes_with_the_hand_over_is_promised_by_live_alone() {
    let tells = |live: &str| {
        let condition =
            |type_: &str, status: &str| json!({"type": type_, "status": status, "observedGeneration": 1});
        let route = json!({"kind": "gateway.networking.k8s.io/v1/HTTPRoute", "name": "public", "state": "Pending", "item": "go-live"});
        let object = json!({"metadata": {"uid": "s1", "generation": 1}, "status": {
            "conditions": [condition("Ready", "True"), condition("Live", live)],
            "checklist": [{"name": "go-live", "category": "GoLive"}],
            "inventory": {"objects": [route]}}});
        let story = Story::of("acme").with(Sort::Changed, Key::new(SUBSCRIPTIONS, "", "acme"), object);
        ready_is_honest(&story.record()).len()
    };
    assert_eq!([tells("False"), tells("True")], [0, 1]);
}

#[test]
fn a_secret_value_elsewhere_is_found() {
    let secret = json!({"metadata": {"uid": "k"}, "data": {"key": STANDARD.encode("0123456789abcdef")}});
    let story = Story::of("acme").with(Sort::Created, Key::new("secrets", "tenant-acme", "session"), secret);
    let story = story.created("configmaps", "settings", "u1");
    assert_eq!(secrets_stay_secret(&story.clone().record()), []);
    let told = story.content("configmaps", "settings", "key=0123456789abcdef").record();
    assert_eq!(secrets_stay_secret(&told).len(), 1);
}

#[test]
fn an_item_that_does_not_wait_for_another_is_found() {
    let entry = |kind: &str, name: &str, item: &str, state: &str| json!({"kind": kind, "name": name, "item": item, "state": state});
    let story = |state: &str| {
        let entries = [
            entry("v1/Namespace", "tenant-acme", "first", "Live"),
            entry("networking.k8s.io/v1/NetworkPolicy", "allow", "first", state),
            entry("v1/ConfigMap", "settings", "second", "Pending"),
            entry("v1/LimitRange", "tenantry-limits", "second", "Pending"),
        ];
        let status = json!({"tenant": {"id": "t-acme"}, "inventory": {"objects": entries}});
        let subscription =
            json!({"metadata": {"uid": "s1", "finalizers": ["tenantry.io/tenant"]}, "status": status});
        let mut record = Story::of("acme").record();
        let blueprint =
            json!({"spec": {"items": [{"name": "first"}, {"name": "second", "dependsOn": ["first"]}]}});
        record.before.insert(Key::new(BLUEPRINTS, "", "probe"), Arc::new(blueprint));
        let story =
            Story::from(record).with(Sort::Changed, Key::new(SUBSCRIPTIONS, "", "acme"), subscription);
        story.placed("namespaces", "", "tenant-acme", "n1")
    };
    let policy = "networkpolicies.networking.k8s.io";
    let in_order = story("Pending").created(policy, "allow", "p1").created("configmaps", "settings", "u1");
    assert_eq!(items_wait_for_items(&in_order.record()), []);
    let early = story("Pending").created("configmaps", "settings", "u1");
    assert_eq!(items_wait_for_items(&early.clone().created(policy, "allow", "p1").record()).len(), 1);
    let unwanted = story("Kept").created("configmaps", "settings", "u1");
    assert_eq!(items_wait_for_items(&unwanted.record()), [], "nobody waits for what is only kept");
    let foundation = story("Pending").created("limitranges", "tenantry-limits", "l1");
    assert_eq!(items_wait_for_items(&foundation.record()), [], "the namespace is closed first of all");
    assert_eq!(items_wait_for_items(&Story::of("acme").created("configmaps", "other", "u").record()), []);
}
