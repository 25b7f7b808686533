//! Requests that the admission policies refuse and let through; data, but for making what the requests need.

use http::Method;
use serde_json::{Value, json};

use crate::objects::{base, with};
use crate::server::{Speaker, path};

/// Group of the administrators of the tenant in `tenant-acme`.
pub(crate) const PEOPLE: &str = "oidc:tenantry:k7w3q9m2:administrator";

/// Who makes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// A member of system:masters.
    Admin,
    /// The controller's ServiceAccount.
    Controller,
    /// A person of the tenant.
    Person,
    /// A person of the provider, with every right but not in system:masters.
    Staff,
    /// A person who may sign for the customer of one subscription.
    Customer,
    /// A portal that may carry signatures for one subscription.
    Portal,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// The policy that refuses it, or would if it were wrong.
    pub(crate) policy: &'static str,
    pub(crate) what: &'static str,
    pub(crate) who: Who,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
    /// Part of the message it is refused with; absent where it is let through.
    pub(crate) refused: Option<&'static str>,
}

/// Method, path and body.
pub(crate) type Request = (Method, String, Option<Value>);

pub(crate) const CORE: &str = "/api/v1/namespaces";
pub(crate) const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces";
const OWN: &str = "/apis/tenantry.io/v1alpha1";

/// Makes two tenants' namespaces with what isolates them, a foreign namespace, and objects of our kinds.
pub(crate) async fn prepare(admin: &Speaker) {
    for (name, id) in [("tenant-acme", "k7w3q9m2"), ("tenant-bolt", "p4t5x6y7")] {
        admin.create(&namespace(name, ours(id))).await;
        for object in isolation(name, id) {
            admin.create(&object).await;
        }
        admin.create(&quota(name, "own", json!({}))).await;
    }
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "worker", "namespace": "tenant-acme"}, "rules": []});
    admin.create(&role).await;
    admin.create(&namespace("kitchen", json!({}))).await;
    for (kind, used) in [
        ("ServicePlan", true),
        ("Blueprint", true),
        ("HostedApplication", true),
        ("HostedApplicationVersion", true),
    ] {
        let object = base(kind);
        admin.create(&object).await;
        let status = json!({"status": {"inUse": used}});
        admin.call(&Method::PATCH, &format!("{}/status", path(&object)), Some(&status)).await.good();
    }
    admin.create(&with(base("ServicePlan"), "/metadata/name", json!("unused"))).await;
    let mut doomed = with(base("ServicePlan"), "/metadata/name", json!("doomed"));
    doomed["metadata"]["annotations"] = json!({"tenantry.io/allow-delete": "true"});
    admin.create(&doomed).await;
    let doomed = format!("{OWN}/serviceplans/doomed/status");
    admin.call(&Method::PATCH, &doomed, Some(&json!({"status": {"inUse": true}}))).await.good();
    admin.create(&base("TenantSubscription")).await;
    admin.create(&with(base("TenantSignOff"), "/spec/by", json!("admin"))).await;
    let suspension = with(base("TenantSuspension"), "/spec/requestedBy", json!("admin"));
    admin.create(&suspension).await;
    let own = with(suspension, "/spec/liftAuthority", json!("Consumer"));
    admin.create(&with(own, "/metadata/name", json!("acme-own"))).await;
    let open = with(base("TenantSubscription"), "/spec/deletionProtection", json!(false));
    admin.create(&with(open.clone(), "/metadata/name", json!("bolt"))).await;
    crate::servers::prepare(admin).await;
    let mut ending = with(open, "/metadata/name", json!("corvus"));
    ending["metadata"]["finalizers"] = json!(["tenantry.io/tenant"]);
    admin.create(&ending).await;
    admin.call(&Method::DELETE, &path(&ending), None).await.good();
}

fn ours(id: &str) -> Value {
    json!({
        "app.kubernetes.io/managed-by": "tenantry",
        "tenantry.io/tenant-id": id,
        "pod-security.kubernetes.io/enforce": "restricted",
    })
}

pub(crate) fn namespace(name: &str, labels: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

pub(crate) fn quota(namespace: &str, name: &str, labels: Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"hard": {"pods": "40"}},
    })
}

fn isolation(namespace: &str, id: &str) -> Vec<Value> {
    let object = |version: &str, kind: &str, spec: Value| {
        let metadata = json!({"name": "tenantry", "namespace": namespace, "labels": ours(id)});
        json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})
    };
    let mut people = role_binding(namespace, "tenantry-viewer", json!([group(id, "viewer")]));
    people["metadata"]["labels"] = ours(id);
    let limits = json!({"limits": [{"type": "Container", "default": {"cpu": "1"}}]});
    vec![
        object(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}),
        ),
        object("v1", "LimitRange", limits),
        quota(namespace, "tenantry", ours(id)),
        people,
    ]
}

/// A binding that is named after its role.
pub(crate) fn role_binding(namespace: &str, role: &str, subjects: Value) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": role, "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": subjects,
    })
}

/// The controller as the only subject.
pub(crate) fn controller_subject() -> Value {
    json!([{"kind": "ServiceAccount", "name": "tenantry-controller", "namespace": "tenantry-system"}])
}

pub(crate) fn group(id: &str, role: &str) -> Value {
    json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": format!("oidc:tenantry:{id}:{role}")})
}

/// Every attempt.
pub(crate) fn attempts() -> Vec<Attempt> {
    let mut all = definitions();
    all.extend(subscriptions());
    all.extend(sign_offs());
    all.extend(suspensions());
    all.extend(role_bindings());
    all.extend(namespaces());
    all.extend(crate::isolation::reserved_keys());
    all.extend(crate::isolation::managed_objects());
    all.extend(crate::isolation::job_class());
    all.extend(crate::servers::servers());
    all
}

pub(crate) fn attempt(policy: &'static str, what: &'static str, who: Who, request: Request) -> Attempt {
    let (method, path, body) = request;
    Attempt { policy, what, who, method, path, body, refused: None }
}

impl Attempt {
    pub(crate) fn refused(self, message: &'static str) -> Self {
        Self { refused: Some(message), ..self }
    }
}

pub(crate) fn delete(path: impl Into<String>) -> Request {
    (Method::DELETE, path.into(), None)
}

pub(crate) fn patch(path: impl Into<String>, body: Value) -> Request {
    (Method::PATCH, path.into(), Some(body))
}

pub(crate) fn post(body: Value) -> Request {
    (Method::POST, crate::server::collection(&body), Some(body))
}

fn definitions() -> Vec<Attempt> {
    const POLICY: &str = "tenantry-definitions-in-use";
    let mut all = Vec::new();
    for (kind, remedy) in [
        ("ServicePlan", "kubectl annotate serviceplans.tenantry.io gold tenantry.io/allow-delete=true"),
        ("Blueprint", "kubectl annotate blueprints.tenantry.io standard tenantry.io/allow-delete=true"),
        (
            "HostedApplication",
            "kubectl annotate hostedapplications.tenantry.io erp tenantry.io/allow-delete=true",
        ),
        (
            "HostedApplicationVersion",
            "kubectl annotate hostedapplicationversions.tenantry.io erp-4.2.1 tenantry.io/allow-delete=true",
        ),
    ] {
        all.push(attempt(POLICY, kind, Who::Staff, delete(path(&base(kind)))).refused(remedy));
    }
    all.push(
        attempt(POLICY, "even by an administrator", Who::Admin, delete(format!("{OWN}/serviceplans/gold")))
            .refused("tenants run serviceplans/gold"),
    );
    all.push(
        attempt(POLICY, "all plans at once", Who::Staff, delete(format!("{OWN}/serviceplans")))
            .refused("tenants run serviceplans/gold"),
    );
    all.push(attempt(POLICY, "not in use", Who::Staff, delete(format!("{OWN}/serviceplans/unused"))));
    all.push(attempt(POLICY, "annotated", Who::Staff, delete(format!("{OWN}/serviceplans/doomed"))));
    all
}

fn subscriptions() -> Vec<Attempt> {
    const PROTECTION: &str = "tenantry-deletion-protection";
    const TERMINATING: &str = "tenantry-terminating";
    const SEATBELT: &str = "tenantry-controller-subscriptions";
    const LIFT: &str =
        r#"kubectl patch tenantsubscription acme --type=merge -p '{"spec":{"deletionProtection":false}}'"#;
    let at = |name: &str| format!("{OWN}/tenantsubscriptions/{name}");
    let lift = json!({"spec": {"deletionProtection": false}});
    let plan = json!({"spec": {"planRef": {"name": "silver"}}});
    let finalizer = json!({"metadata": {"finalizers": ["tenantry.io/tenant"]}});
    let gone = json!({"metadata": {"finalizers": null}});
    vec![
        attempt(PROTECTION, "protected by default", Who::Staff, delete(at("acme"))).refused(LIFT),
        attempt(PROTECTION, "even from administrators", Who::Admin, delete(at("acme"))).refused(LIFT),
        attempt(PROTECTION, "all at once", Who::Staff, delete(format!("{OWN}/tenantsubscriptions")))
            .refused(LIFT),
        attempt(PROTECTION, "what the message says", Who::Staff, patch(at("acme"), lift)),
        attempt(PROTECTION, "lifted", Who::Staff, delete(at("bolt"))),
        attempt(TERMINATING, "other plan while it ends", Who::Staff, patch(at("corvus"), plan.clone()))
            .refused("kubectl wait --for=delete tenantsubscription/corvus"),
        attempt(TERMINATING, "finalizer removed by hand", Who::Staff, patch(at("corvus"), gone.clone())),
        attempt(
            TERMINATING,
            "finalizer removed by the controller",
            Who::Controller,
            patch(at("corvus"), gone),
        ),
        attempt(
            TERMINATING,
            "label while it ends",
            Who::Staff,
            patch(at("corvus"), json!({"metadata": {"labels": {"a": "b"}}})),
        ),
        attempt(
            TERMINATING,
            "status while it ends",
            Who::Controller,
            patch(format!("{}/status", at("corvus")), json!({"status": {"phase": "Terminating"}})),
        ),
        attempt(TERMINATING, "other plan", Who::Staff, patch(at("bolt"), plan.clone())),
        attempt(SEATBELT, "other plan", Who::Controller, patch(at("acme"), plan))
            .refused("the controller never changes what was ordered"),
        attempt(SEATBELT, "finalizer", Who::Controller, patch(at("acme"), finalizer)),
        attempt(
            SEATBELT,
            "status",
            Who::Controller,
            patch(format!("{}/status", at("acme")), json!({"status": {"phase": "Live"}})),
        ),
    ]
}

/// A role that may make sign-offs and suspensions and has some verbs on one subscription, and its binding to a person.
pub(crate) fn signer(user: &str, verbs: &[&str]) -> [Value; 2] {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": user},
        "rules": [
            {"apiGroups": ["tenantry.io"], "resources": ["tenantsubscriptions"], "resourceNames": ["acme"], "verbs": verbs},
            {"apiGroups": ["tenantry.io"], "resources": ["tenantsignoffs"], "verbs": ["create"]},
            {"apiGroups": ["tenantry.io"], "resources": ["tenantsuspensions"], "verbs": ["create", "delete"]},
        ],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    [role, binding]
}

fn sign_offs() -> Vec<Attempt> {
    const POLICY: &str = "tenantry-sign-offs";
    const ELSE: &str = "nobody signs as somebody else";
    const CARRY: &str = "you may not carry what other people sign";
    let named = |name: &str| with(base("TenantSignOff"), "/metadata/name", json!(name));
    let by = |user: &str| with(named("new"), "/spec/by", json!(user));
    let for_party = |object: Value, party: &str| with(object, "/spec/as", json!(party));
    let of =
        |object: Value, subscription: &str| with(object, "/spec/subscriptionRef/name", json!(subscription));
    let carried = |via: &str| {
        let identity = json!([{"kind": "Identity", "name": "cora", "issuer": "https://id.acme.example"}]);
        with(with(by("cora"), "/spec/via", json!(via)), "/spec/evidence", identity)
    };
    let existing = path(&base("TenantSignOff"));
    let sign = |what, who, object: Value| attempt(POLICY, what, who, post(object));
    vec![
        sign("for oneself", Who::Customer, by("cora")),
        sign("as somebody else", Who::Customer, by("ada")).refused(ELSE),
        sign("even with every right", Who::Staff, by("cora")).refused(ELSE),
        sign("for another party", Who::Customer, for_party(by("cora"), "Provider"))
            .refused("ask the provider for the verb signoff-provider on tenantsubscriptions/acme"),
        sign("for another party, a partner", Who::Customer, for_party(by("cora"), "Partner"))
            .refused("signoff-partner"),
        sign("of another subscription", Who::Customer, of(by("cora"), "bolt"))
            .refused("signoff-customer on tenantsubscriptions/bolt"),
        sign("by the provider", Who::Staff, for_party(by("oskar"), "Provider")),
        sign("carried", Who::Portal, carried("portal")),
        sign(
            "carried for a party it could not sign for",
            Who::Portal,
            for_party(carried("portal"), "Provider"),
        ),
        sign("carried in another carrier's name", Who::Portal, carried("pipeline")).refused(ELSE),
        sign("carried of another subscription", Who::Portal, of(carried("portal"), "bolt")).refused(CARRY),
        sign("carried by who may only sign", Who::Customer, carried("cora")).refused(CARRY),
        sign("a carrier's own signature", Who::Portal, by("portal"))
            .refused("you may not sign for the Customer"),
        attempt(POLICY, "removed", Who::Staff, delete(existing.clone())).refused("kept as a record"),
        attempt(POLICY, "removed by an administrator", Who::Admin, delete(existing.clone()))
            .refused("kept as a record"),
        attempt(POLICY, "labelled", Who::Staff, patch(existing, json!({"metadata": {"labels": {"a": "b"}}}))),
    ]
}

fn suspensions() -> Vec<Attempt> {
    const POLICY: &str = "tenantry-suspensions";
    const ELSE: &str = "nobody suspends in another's name";
    let named = |name: &str| with(base("TenantSuspension"), "/metadata/name", json!(name));
    let by = |user: &str| with(named("new"), "/spec/requestedBy", json!(user));
    let asked = |user: &str| {
        with(with(by(user), "/spec/reason", json!("Customer")), "/spec/liftAuthority", json!("Consumer"))
    };
    let suspend = |what, who, object: Value| attempt(POLICY, what, who, post(object));
    let lift = |what, who, name: &str| attempt(POLICY, what, who, delete(path(&named(name))));
    vec![
        suspend("by the provider", Who::Staff, by("oskar")),
        suspend("in another's name", Who::Staff, by("ada")).refused(ELSE),
        suspend("by a customer, of himself", Who::Customer, asked("cora")),
        suspend("by a customer, as the provider", Who::Customer, by("cora"))
            .refused("that is the provider's, with the verb suspend on tenantsubscriptions/acme"),
        suspend(
            "by a customer, for a reason of the provider's",
            Who::Customer,
            with(asked("cora"), "/spec/reason", json!("Abuse")),
        )
        .refused("with the verb suspend on tenantsubscriptions/acme"),
        suspend(
            "by a customer, of another subscription",
            Who::Customer,
            with(asked("cora"), "/spec/subscriptionRef/name", json!("bolt")),
        )
        .refused("ask the provider for the verb suspend-own on tenantsubscriptions/bolt"),
        lift("lifted by the provider", Who::Staff, "acme-8fj2k"),
        lift("lifted by the customer, who may not", Who::Customer, "acme-8fj2k")
            .refused("you may not lift this suspension of acme"),
        lift("lifted by the customer, who may", Who::Customer, "acme-own"),
        lift("lifted at the end of the tenant", Who::Controller, "acme-8fj2k"),
    ]
}

fn role_bindings() -> Vec<Attempt> {
    const POLICY: &str = "tenantry-controller-rolebindings";
    const ROLES: &str = "binds only the shipped ClusterRoles";
    const GROUPS: &str = "groups <prefix>tenantry:<tenant id>:<role>";
    const PLACE: &str = "binds roles only in the namespaces of tenants";
    const ACCOUNTS: &str = "bound only to ServiceAccounts of the same namespace";
    let make = |namespace: &str, role: &str, subjects: Value| post(role_binding(namespace, role, subjects));
    let person = json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "oidc:tenantry:k7w3q9m2:viewer"}]);
    let robot = json!([{"kind": "ServiceAccount", "name": "web", "namespace": "tenant-acme"}]);
    let homonym =
        json!([{"kind": "ServiceAccount", "name": "tenantry-controller", "namespace": "tenant-acme"}]);
    let plain =
        json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "tenantry:k7w3q9m2:user"}]);
    let both = json!([group("k7w3q9m2", "user"), group("p4t5x6y7", "user")]);
    let mut namesake = role_binding("tenant-acme", "tenantry-user", json!([group("k7w3q9m2", "user")]));
    namesake["roleRef"]["kind"] = json!("Role");
    let of_namespace = |namespace: &str, name: &str| {
        let subjects = json!([{"kind": "ServiceAccount", "name": name, "namespace": namespace}]);
        let mut binding = role_binding("tenant-acme", "worker", subjects);
        binding["roleRef"]["kind"] = json!("Role");
        binding
    };
    let by = |what, request| attempt(POLICY, what, Who::Controller, request);
    let existing = format!("{RBAC}/tenant-acme/rolebindings/tenantry-viewer");
    let elsewhere = format!("{RBAC}/tenantry-system/rolebindings/tenantry-controller");
    vec![
        by("itself", make("tenant-bolt", "tenantry-tenant-manager", controller_subject())),
        by("nobody any more", patch(existing.clone(), json!({"subjects": []}))),
        by(
            "people",
            make("tenant-acme", "tenantry-administrator", json!([group("k7w3q9m2", "administrator")])),
        ),
        by("people without a prefix", make("tenant-acme", "tenantry-user", plain)),
        by("nobody", make("tenant-acme", "tenantry-user", json!([]))),
        by("change", patch(existing.clone(), json!({"subjects": [group("k7w3q9m2", "viewer")]}))),
        by("end", delete(existing.clone())),
        by("foreign namespace", make("kitchen", "tenantry-viewer", json!([group("k7w3q9m2", "viewer")])))
            .refused(PLACE),
        by("own namespace", make("tenantry-system", "tenantry-tenant-manager", controller_subject()))
            .refused(PLACE),
        by("foreign binding deleted", delete(elsewhere)).refused(PLACE),
        by("foreign role", make("tenant-acme", "cluster-admin", controller_subject())).refused(ROLES),
        by("built-in role", make("tenant-acme", "edit", json!([group("k7w3q9m2", "edit")]))).refused(ROLES),
        by("people in a role of the namespace", post(namesake)).refused(ACCOUNTS),
        by("own account", post(of_namespace("tenant-acme", "web"))),
        by("account of another tenant", post(of_namespace("tenant-bolt", "web"))).refused(ACCOUNTS),
        by("manager for a robot", make("tenant-bolt", "tenantry-tenant-manager", robot.clone()))
            .refused("own ServiceAccount"),
        by("manager for a namesake", make("tenant-bolt", "tenantry-tenant-manager", homonym))
            .refused("own ServiceAccount"),
        by(
            "manager for people",
            make("tenant-bolt", "tenantry-tenant-manager", json!([group("p4t5x6y7", "tenant-manager")])),
        )
        .refused("own ServiceAccount"),
        by("other tenant", make("tenant-acme", "tenantry-user", json!([group("p4t5x6y7", "user")])))
            .refused(GROUPS),
        by("other tenant beside the own", make("tenant-acme", "tenantry-user", both)).refused(GROUPS),
        by("other role", make("tenant-acme", "tenantry-administrator", json!([group("k7w3q9m2", "viewer")])))
            .refused(GROUPS),
        by("one person", make("tenant-acme", "tenantry-user", person)).refused(GROUPS),
        by("robot", make("tenant-acme", "tenantry-user", robot)).refused(GROUPS),
        by("change to another tenant", patch(existing, json!({"subjects": [group("p4t5x6y7", "viewer")]})))
            .refused(GROUPS),
    ]
}

fn namespaces() -> Vec<Attempt> {
    const POLICY: &str = "tenantry-controller-namespaces";
    const CREATE: &str = "creates only namespaces that are named tenant-<subscription>";
    const CHANGE: &str = "changes and deletes only namespaces that carry the label";
    let by = |what, request| attempt(POLICY, what, Who::Controller, request);
    let label = |id: Value| json!({"metadata": {"labels": {"tenantry.io/tenant-id": id}}});
    vec![
        by("tenant", post(namespace("tenant-corvus", ours("c0rvus")))),
        by(
            "repair",
            patch(
                format!("{CORE}/tenant-acme"),
                json!({"metadata": {"labels": {"pod-security.kubernetes.io/warn": "restricted"}}}),
            ),
        ),
        by("end", delete(format!("{CORE}/tenant-acme"))),
        by("without the label", post(namespace("tenant-corvus", json!({})))).refused(CREATE),
        by("other name", post(namespace("corvus", ours("c0rvus")))).refused(CREATE),
        by("adoption", patch(format!("{CORE}/kitchen"), label(json!("k7w3q9m2")))).refused(CHANGE),
        by(
            "annotation elsewhere",
            patch(format!("{CORE}/kube-system"), json!({"metadata": {"annotations": {"a": "b"}}})),
        )
        .refused(CHANGE),
        by("adoption by status", patch(format!("{CORE}/kitchen/status"), label(json!("k7w3q9m2"))))
            .refused(CHANGE),
        by("end of a foreign one", delete(format!("{CORE}/kitchen"))).refused(CHANGE),
        by("other tenant", patch(format!("{CORE}/tenant-acme"), label(json!("p4t5x6y7"))))
            .refused("the tenant of a namespace never changes"),
        by("label dropped", patch(format!("{CORE}/tenant-acme"), label(Value::Null)))
            .refused("the tenant of a namespace never changes"),
    ]
}
