//! Requests for labels, annotations and objects by which tenants are isolated from each other; data only.

use serde_json::{Value, json};

use crate::attempts::{
    Attempt, CORE, RBAC, Request, Who, attempt, delete, group, namespace, patch, post, quota,
};

const KEYS: &str = "tenantry-reserved-keys";
const LABELS: &str = "labels that start with tenantry.io/ are set by Tenantry only";
const ANNOTATIONS: &str = "annotations that start with tenantry.io/ are set by Tenantry only";
const POD_SECURITY: &str = "the Pod Security Standard of a tenant comes from its plan";
const MANAGER: &str = "the label app.kubernetes.io/managed-by=tenantry is set by Tenantry only";
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const VERSION: &str = "pod-security.kubernetes.io/enforce-version";
const ID: &str = "tenantry.io/tenant-id";

/// Objects that carry reserved keys, subresources included: each is a way of its own to the same labels.
const PLACES: [&str; 7] = [
    "/api/v1/namespaces/tenant-acme",
    "/api/v1/namespaces/tenant-acme/status",
    "/api/v1/namespaces/tenant-acme/resourcequotas/tenantry",
    "/api/v1/namespaces/tenant-acme/resourcequotas/tenantry/status",
    "/api/v1/namespaces/tenant-acme/limitranges/tenantry",
    "/apis/networking.k8s.io/v1/namespaces/tenant-acme/networkpolicies/tenantry",
    "/apis/rbac.authorization.k8s.io/v1/namespaces/tenant-acme/rolebindings/tenantry-viewer",
];

/// Attempts at reserved keys.
pub(crate) fn reserved_keys() -> Vec<Attempt> {
    let mut all = Vec::new();
    for who in [Who::Person, Who::Staff] {
        all.extend(PLACES.into_iter().flat_map(|place| keys_of(place, who)));
        all.extend(keys_of_namespaces(who));
        all.extend(keys_of_new_objects(who));
    }
    let acme = || format!("{CORE}/tenant-acme");
    for who in [Who::Controller, Who::Admin] {
        all.push(attempt(KEYS, "standard", who, label(acme(), ENFORCE, json!("baseline"))));
        all.push(attempt(KEYS, "marker", who, label(acme(), "tenantry.io/subscription", json!("acme"))));
    }
    all
}

fn label(path: impl Into<String>, key: &str, value: Value) -> Request {
    patch(path, json!({"metadata": {"labels": {key: value}}}))
}

fn keys_of(place: &str, who: Who) -> Vec<Attempt> {
    let by = |what, request| attempt(KEYS, what, who, request);
    let annotation = json!({"metadata": {"annotations": {"tenantry.io/anything": "x"}}});
    vec![
        by("id changed", label(place, ID, json!("p4t5x6y7"))).refused(LABELS),
        by("id dropped", label(place, ID, Value::Null)).refused(LABELS),
        by("all labels dropped", patch(place, json!({"metadata": {"labels": null}}))).refused(LABELS),
        by("marker dropped", label(place, "app.kubernetes.io/managed-by", Value::Null)).refused(MANAGER),
        by("annotation", patch(place, annotation)).refused(ANNOTATIONS),
        by("foreign label", label(place, "example.org/team", json!("a"))),
    ]
}

fn keys_of_namespaces(who: Who) -> Vec<Attempt> {
    let by = |what, request| attempt(KEYS, what, who, request);
    let acme = || format!("{CORE}/tenant-acme");
    let kitchen = || format!("{CORE}/kitchen");
    vec![
        by("weaker standard", label(acme(), ENFORCE, json!("privileged"))).refused(POD_SECURITY),
        by("no standard", label(acme(), ENFORCE, Value::Null)).refused(POD_SECURITY),
        by("exempting version", label(acme(), VERSION, json!("v1.0"))).refused(POD_SECURITY),
        by("adoption", label(kitchen(), ID, json!("k7w3q9m2"))).refused(LABELS),
        by("standard of another namespace", label(kitchen(), ENFORCE, json!("baseline"))),
    ]
}

fn keys_of_new_objects(who: Who) -> Vec<Attempt> {
    let by = |what, request| attempt(KEYS, what, who, request);
    let managed = |manager: &str| json!({"app.kubernetes.io/managed-by": manager});
    vec![
        by("forged namespace", post(namespace("tenant-evil", json!({ID: "e"})))).refused(LABELS),
        by("other namespace", post(namespace("pantry", json!({ENFORCE: "baseline"})))),
        by("forged quota", post(quota("tenant-acme", "forged", managed("tenantry")))).refused(MANAGER),
        by("other quota", post(quota("tenant-acme", "another", managed("helm")))),
    ]
}

/// Attempts at what isolates tenants.
pub(crate) fn managed_objects() -> Vec<Attempt> {
    const POLICY: &str = "tenantry-managed-objects";
    const DELETED: &str = "isolates a tenant and is deleted by Tenantry only";
    const PLAN: &str = "come from its plan; change the ServicePlan or order another plan";
    const USERS: &str = "change spec.users of the TenantSubscription";
    let core = |rest: &str| format!("{CORE}/tenant-acme{rest}");
    let policy = || "/apis/networking.k8s.io/v1/namespaces/tenant-acme/networkpolicies/tenantry".to_owned();
    let access = || format!("{RBAC}/tenant-acme/rolebindings/tenantry-viewer");
    let more = json!({"spec": {"hard": {"pods": "4000"}}});
    let limits = json!({"spec": {"limits": [{"type": "Container", "default": {"cpu": "64"}}]}});
    let open = json!({"spec": {"egress": [{}]}});
    let guests = json!({"subjects": [group("k7w3q9m2", "viewer"), group("guest", "viewer")]});
    let note = json!({"metadata": {"annotations": {"example.org/note": "x"}}});
    let mut all = Vec::new();
    for who in [Who::Person, Who::Staff] {
        let by = |what, request| attempt(POLICY, what, who, request);
        all.extend([
            by("namespace", delete(core(""))).refused(DELETED),
            by("quota", delete(core("/resourcequotas/tenantry"))).refused(DELETED),
            by("all quotas", delete(core("/resourcequotas"))).refused(DELETED),
            by("limits", delete(core("/limitranges/tenantry"))).refused(DELETED),
            by("network policy", delete(policy())).refused(DELETED),
            by("access", delete(access())).refused(DELETED),
            by("more pods", patch(core("/resourcequotas/tenantry"), more.clone())).refused(PLAN),
            by("larger limits", patch(core("/limitranges/tenantry"), limits.clone())).refused(PLAN),
            by("open network", patch(policy(), open.clone())).refused(PLAN),
            by("guests", patch(access(), guests.clone())).refused(USERS),
            by("nobody", patch(access(), json!({"subjects": null}))).refused(USERS),
            by("note", patch(policy(), note.clone())),
            by("note on access", patch(access(), note.clone())),
            by("own quota changed", patch(core("/resourcequotas/own"), more.clone())),
            by("own quota deleted", delete(core("/resourcequotas/own"))),
            by("foreign namespace", delete(format!("{CORE}/kitchen"))),
        ]);
    }
    for who in [Who::Controller, Who::Admin] {
        let by = |what, request| attempt(POLICY, what, who, request);
        all.extend([
            by("more pods", patch(core("/resourcequotas/tenantry"), more.clone())),
            by("open network", patch(policy(), open.clone())),
            by("access", delete(access())),
            by("namespace", delete(core(""))),
        ]);
    }
    all
}

/// Attempts at the class that quotas leave out.
pub(crate) fn job_class() -> Vec<Attempt> {
    const POLICY: &str = "tenantry-job-class";
    const REASON: &str = "the priority class tenantry-job is for jobs of the checklist only";
    let pod = |class: &str| {
        json!({
            "metadata": {"labels": {"app": "a"}},
            "spec": {"priorityClassName": class, "restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]},
        })
    };
    let always = |class: &str| {
        let mut pod = pod(class);
        pod["spec"]["restartPolicy"] = json!("Always");
        pod
    };
    let object = |version: &str, kind: &str, spec: Value| json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a", "namespace": "tenant-acme"}, "spec": spec});
    let job = |class: &str| object("batch/v1", "Job", json!({"template": pod(class)}));
    let cron = json!({"schedule": "0 2 * * *", "jobTemplate": {"spec": {"template": pod("tenantry-job")}}});
    let web = json!({"selector": {"matchLabels": {"app": "a"}}, "template": always("tenantry-job")});
    vec![
        attempt(POLICY, "a job", Who::Staff, post(job("tenantry-job"))).refused(REASON),
        attempt(POLICY, "a cron job", Who::Staff, post(object("batch/v1", "CronJob", cron))).refused(REASON),
        attempt(POLICY, "a deployment", Who::Staff, post(object("apps/v1", "Deployment", web)))
            .refused(REASON),
        attempt(POLICY, "another class", Who::Staff, post(job("tenantry-assured"))),
        attempt(POLICY, "a job of the checklist", Who::Controller, post(job("tenantry-job"))),
    ]
}
