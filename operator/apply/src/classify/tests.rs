//! The table of verdicts, with texts as the API server writes them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn error(code: u16, reason: &str, message: &str, details: Value) -> kube::Error {
    let status =
        json!({"status": "Failure", "code": code, "reason": reason, "message": message, "details": details});
    kube::Error::Api(Box::new(serde_json::from_value(status).unwrap()))
}

fn cause(reason: &str, field: &str) -> Value {
    json!({"name": "a", "kind": "things", "causes": [{"reason": reason, "field": field, "message": "m"}]})
}

#[test]
fn verdicts() {
    use Verdict::*;
    let named = json!({"name": "a", "kind": "configmaps"});
    let cases = [
        (409, "AlreadyExists", r#"configmaps "a" already exists"#, named.clone(), AlreadyExists),
        (
            403,
            "Forbidden",
            r#"namespaces is forbidden: User "u" cannot create resource "namespaces" in API group "" at the cluster scope: rbac: RBAC: [clusterrole.rbac.authorization.k8s.io "tenantry-controller" not found]"#,
            json!({"kind": "namespaces"}),
            RolesUnread,
        ),
        (
            403,
            "Forbidden",
            r#"rolebindings is forbidden: user "u" is attempting to grant RBAC permissions not currently held:; resolution errors: [clusterroles.rbac.authorization.k8s.io "tenantry-manager" not found]"#,
            json!({"kind": "rolebindings"}),
            RolesUnread,
        ),
        (
            403,
            "Forbidden",
            r#"namespaces is forbidden: User "u" cannot create resource "namespaces" in API group "" at the cluster scope"#,
            json!({"kind": "namespaces"}),
            Forbidden,
        ),
        (
            409,
            "Conflict",
            "Apply failed with 1 conflict",
            cause("FieldManagerConflict", ".data.a"),
            FieldConflict,
        ),
        (
            409,
            "Conflict",
            r#"Operation cannot be fulfilled on resourcequotas "q": the object has been modified; please apply your changes to the latest version and try again"#,
            named.clone(),
            Contention,
        ),
        (
            409,
            "Conflict",
            "Precondition failed: UID in precondition: u, UID in object meta: v",
            named.clone(),
            Precondition,
        ),
        (
            409,
            "Conflict",
            "uid mismatch: the provided object specified uid u, and no existing object was found",
            named.clone(),
            Precondition,
        ),
        (
            422,
            "Invalid",
            r#"ConfigMap "a" is invalid: metadata.uid: Invalid value: "u": field is immutable"#,
            cause("FieldValueInvalid", "metadata.uid"),
            Precondition,
        ),
        (
            422,
            "Invalid",
            r#"Deployment.apps "a" is invalid: spec.selector: Invalid value: {}: field is immutable"#,
            cause("FieldValueInvalid", "spec.selector"),
            Immutable,
        ),
        (
            422,
            "Invalid",
            r#"StatefulSet.apps "a" is invalid: spec: Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden"#,
            cause("FieldValueForbidden", "spec"),
            Immutable,
        ),
        (
            422,
            "Invalid",
            r#"PersistentVolumeClaim "a" is invalid: spec: Forbidden: spec is immutable after creation except resources.requests"#,
            cause("FieldValueForbidden", "spec"),
            Immutable,
        ),
        (
            422,
            "Invalid",
            r#"RoleBinding.rbac.authorization.k8s.io "a" is invalid: roleRef: Invalid value: {}: cannot change roleRef"#,
            cause("FieldValueInvalid", "roleRef"),
            Immutable,
        ),
        (
            422,
            "Invalid",
            r#"Service "a" is invalid: spec.ports: Required value"#,
            cause("FieldValueRequired", "spec.ports"),
            Invalid,
        ),
        (400, "BadRequest", "strict decoding error: unknown field", Value::Null, Invalid),
        (413, "RequestEntityTooLarge", "limit is 3145728", Value::Null, Invalid),
        (
            403,
            "Forbidden",
            r#"pods "a" is forbidden: exceeded quota: q, requested: pods=1"#,
            named.clone(),
            QuotaExceeded,
        ),
        (
            403,
            "Forbidden",
            r#"configmaps "a" is forbidden: status unknown for quota: q"#,
            named.clone(),
            QuotaExceeded,
        ),
        (
            403,
            "Forbidden",
            r#"configmaps "a" is forbidden: unable to create new content in namespace n because it is being terminated"#,
            cause("NamespaceTerminating", "metadata.namespace"),
            NamespaceTerminating,
        ),
        (
            403,
            "Forbidden",
            r#"roles is forbidden: User "x" cannot create resource "roles""#,
            named.clone(),
            Forbidden,
        ),
        (
            404,
            "NotFound",
            r#"namespaces "n" not found"#,
            json!({"name": "n", "kind": "namespaces"}),
            NamespaceMissing,
        ),
        (404, "NotFound", r#"configmaps "a" not found"#, named.clone(), NotFound),
        (404, "NotFound", "the server could not find the requested resource", json!({}), KindMissing),
        (404, "", "404 page not found", Value::Null, KindMissing),
        (429, "TooManyRequests", "please try again later", Value::Null, Throttled),
        (401, "Unauthorized", "Unauthorized", Value::Null, Unauthorized),
        (500, "InternalError", "failed calling webhook", Value::Null, Unknown),
        (504, "Timeout", "request did not complete within the allotted timeout", Value::Null, Unknown),
        (503, "", "<html>upstream gone</html>", Value::Null, Unknown),
        (502, "Failed to parse error data", "<html>", Value::Null, Unknown),
        (409, "Failed to parse error data", "<html>", Value::Null, Contention),
    ];
    for (code, reason, message, details, expected) in cases {
        assert_eq!(
            classify(&error(code, reason, message, details), true).verdict,
            expected,
            "{code} {reason} {message}"
        );
    }
}

#[test]
fn no_answer_is_unknown_and_no_attempt() {
    let broken = kube::Error::Service("connection reset".into());
    let failure = classify(&broken, true);
    assert_eq!(failure.verdict, Verdict::Unknown);
    assert!(!failure.verdict.is_definitive());
    assert!(failure.message.contains("connection reset"));
}

#[test]
fn refusals_a_person_can_end_name_the_remedy_and_count_as_attempts() {
    let refused = classify(&error(403, "Forbidden", "User cannot create roles", Value::Null), true);
    assert_eq!(
        refused.message,
        "User cannot create roles: grant Tenantry the right named here, or change the policy that refuses it"
    );
    assert!(refused.verdict.is_definitive());
    for (code, reason) in [(429, "TooManyRequests"), (503, "ServiceUnavailable"), (409, "Conflict")] {
        assert!(
            !classify(&error(code, reason, "later", Value::Null), true).verdict.is_definitive(),
            "{reason}"
        );
    }
}

#[test]
fn the_server_may_ask_to_wait() {
    let busy = error(429, "TooManyRequests", "later", json!({"retryAfterSeconds": 7}));
    assert_eq!(classify(&busy, true).retry_after, Some(Duration::from_secs(7)));
    assert_eq!(classify(&error(429, "TooManyRequests", "later", Value::Null), true).retry_after, None);
}

proptest! {
    #[test]
    fn messages_fit_and_end_with_their_remedy(text in "(\u{e4}|[a-z ]){0,700}", code in 400_u16..600) {
        let failure = classify(&error(code, "", &text, Value::Null), true);
        prop_assert!(failure.message.len() <= MAX_MESSAGE);
        prop_assert!(failure.message.ends_with(failure.verdict.remedy()));
    }
}
