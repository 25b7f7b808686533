//! What a rendered object must be before it may reach the API server; pure.
//!
//! Templates describe objects of one tenant and nothing else: they set neither namespace nor owner, carry no label
//! that Tenantry or the cluster acts on, and give nobody rights. What is checked here is checked again for every
//! order, because names and labels may come from its values.

use crate::kinds::GroupKind;
use serde_json::{Map, Value};

/// Largest object, in bytes of compact JSON. etcd holds 1.5 MiB; managed fields and status need room as well.
const SIZE_LIMIT: usize = 768 * 1024;
/// Longest name of an object (RFC 1123 subdomain).
const NAME_LIMIT: usize = 253;
/// Names with this prefix belong to the objects Tenantry builds itself.
pub(crate) const RESERVED_NAME: &str = "tenantry-";
/// Fields of `metadata` that a template may set. Everything else is the engine's or the API server's.
const METADATA: [&str; 3] = ["annotations", "labels", "name"];
/// Fields every object may have at its top beside those of its kind.
const SERVER_FIELDS: [&str; 2] = ["status", "managedFields"];
/// Cluster roles a role binding of a blueprint may give.
pub(crate) const ROLES: [&str; 3] = ["tenantry-administrator", "tenantry-user", "tenantry-viewer"];

/// Group of the role-based access control API.
pub(crate) const RBAC: &str = "rbac.authorization.k8s.io";

/// Who wrote a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Author {
    /// The provider, in a blueprint.
    Blueprint,
    /// The maker of an application, in a version.
    Application,
}

/// Whose object it is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner<'a> {
    pub(crate) namespace: &'a str,
    /// Beginning of the names of the tenant's groups.
    pub(crate) groups: &'a str,
    pub(crate) author: Author,
}

/// What is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Word to look for in the template; empty for the whole.
    pub(crate) field: &'static str,
    pub(crate) message: String,
    pub(crate) hint: &'static str,
}

/// Identity of a good object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) api_version: String,
    pub(crate) kind: GroupKind,
    pub(crate) name: String,
}

fn fault<T>(field: &'static str, message: impl Into<String>, hint: &'static str) -> Result<T, Fault> {
    Err(Fault { field, message: message.into(), hint })
}

/// Reads what an object is, without judging the rest.
pub(crate) fn identity(object: &Value) -> Result<Identity, Fault> {
    let text = |field: &str| object.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    let Some(api_version) = text("apiVersion") else {
        return fault("apiVersion", "the object has no apiVersion", "begin it with apiVersion and kind");
    };
    let Some(kind) = text("kind") else {
        return fault("kind", "the object has no kind", "begin it with apiVersion and kind");
    };
    let name = object.get("metadata").and_then(|metadata| metadata.get("name"));
    let Some(name) = name.and_then(Value::as_str).filter(|name| !name.is_empty()) else {
        return fault("metadata", "the object has no metadata.name", "name it; names are not generated");
    };
    Ok(Identity {
        api_version: api_version.to_owned(),
        kind: GroupKind::new(api_version, kind),
        name: name.to_owned(),
    })
}

/// Holds an object to all rules but that of allowed kinds, and puts it into the tenant's namespace.
pub(crate) fn admit(object: &mut Value, owner: Owner<'_>) -> Result<Identity, Fault> {
    let identity = identity(object)?;
    if !is_subdomain(&identity.name) {
        return fault(
            "name",
            "metadata.name is not a DNS name",
            "use lower case letters, digits, dashes and dots, at most 253",
        );
    }
    if identity.name.starts_with(RESERVED_NAME) {
        return fault(
            "name",
            "metadata.name begins with `tenantry-`",
            "that prefix is kept for what tenantry builds itself; choose another name",
        );
    }
    if let Some(field) = SERVER_FIELDS.into_iter().find(|field| object.get(field).is_some()) {
        return fault(field, format!("the object sets `{field}`"), "the API server owns it; remove it");
    }
    let metadata = object.get("metadata").and_then(Value::as_object);
    if let Some(field) =
        metadata.into_iter().flatten().map(|(name, _)| name).find(|name| !METADATA.contains(&name.as_str()))
    {
        return fault(
            "metadata",
            format!("the object sets `metadata.{}`", crate::problem::cut(field)),
            "a template sets only name, labels and annotations; remove it",
        );
    }
    reserved_keys(object)?;
    texts(object)?;
    if identity.kind.group == RBAC {
        access(object, &identity, owner)?;
    }
    if serde_json::to_vec(object).map_or(usize::MAX, |json| json.len()) > SIZE_LIMIT {
        return fault("", format!("the object is larger than {SIZE_LIMIT} bytes"), "split it");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("namespace".to_owned(), Value::String(owner.namespace.to_owned()));
    }
    if identity.kind.is(RBAC, "RoleBinding") {
        place_accounts(object, owner.namespace);
    }
    Ok(identity)
}

/// Labels and annotations are texts, and labels are short ones of few characters (Kubernetes, label syntax).
fn texts(object: &Value) -> Result<(), Fault> {
    let values = |part: &str| {
        let part = object.pointer(&format!("/metadata/{part}")).and_then(Value::as_object);
        part.into_iter().flatten().map(|(_, value)| value.as_str())
    };
    if values("annotations").any(|value| value.is_none()) {
        return fault(
            "annotations",
            "an annotation is not a text",
            "quote it, or print its value with `| text`",
        );
    }
    let good = |value: &str| {
        let end = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
        value.len() <= 63
            && value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
            && end(value.chars().next())
            && end(value.chars().next_back())
    };
    if values("labels").any(|value| !value.is_some_and(good)) {
        return fault(
            "labels",
            "a label is not a text of at most 63 letters, digits, dashes, dots and underscores",
            "put free text into an annotation; quote numbers",
        );
    }
    Ok(())
}

/// Labels and annotations that Tenantry or the admission of the cluster act on, in the object and in every template
/// inside it.
fn reserved_keys(value: &Value) -> Result<(), Fault> {
    match value {
        Value::Array(items) => items.iter().try_for_each(reserved_keys),
        Value::Object(fields) => {
            if let Some(Value::Object(metadata)) = fields.get("metadata") {
                for (part, field) in [("labels", "labels"), ("annotations", "annotations")] {
                    keys_of(metadata, part).try_for_each(|key| reserved_key(key, field))?;
                }
            }
            fields.values().try_for_each(reserved_keys)
        }
        _ => Ok(()),
    }
}

fn keys_of<'a>(metadata: &'a Map<String, Value>, part: &str) -> impl Iterator<Item = &'a String> {
    metadata.get(part).and_then(Value::as_object).into_iter().flatten().map(|(key, _)| key)
}

fn reserved_key(key: &str, field: &'static str) -> Result<(), Fault> {
    let Some((prefix, _)) = key.split_once('/') else { return Ok(()) };
    let reserved = ["tenantry.io", "pod-security.kubernetes.io"].into_iter().any(|domain| {
        prefix == domain || prefix.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
    });
    if reserved {
        return fault(
            field,
            format!("the key `{}` is reserved", crate::problem::cut(key)),
            "remove it; tenantry sets its own labels, and pod security comes from the plan",
        );
    }
    Ok(())
}

/// Role bindings and roles. A blueprint may bind the shipped roles; an application may let its own service accounts
/// use the API in the tenant's namespace, without wildcards and without rights over rights.
fn access(object: &Value, identity: &Identity, owner: Owner<'_>) -> Result<(), Fault> {
    match (owner.author, identity.kind.kind.as_str()) {
        (_, "RoleBinding") => binding(object, owner),
        (Author::Application, "Role") => role(object),
        _ => fault(
            "kind",
            "a blueprint cannot define roles",
            "bind one of the shipped roles: tenantry-administrator, tenantry-user or tenantry-viewer",
        ),
    }
}

fn binding(object: &Value, owner: Owner<'_>) -> Result<(), Fault> {
    let text =
        |value: &Value, field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let role_ref = object.get("roleRef").cloned().unwrap_or_default();
    let allowed = match text(&role_ref, "kind").as_str() {
        "ClusterRole" => {
            owner.author == Author::Blueprint && ROLES.contains(&text(&role_ref, "name").as_str())
        }
        "Role" => owner.author == Author::Application,
        _ => false,
    };
    if !allowed {
        return fault(
            "roleRef",
            "the role binding gives a role that it must not give",
            "a blueprint binds tenantry-administrator, tenantry-user or tenantry-viewer; an application binds its own roles",
        );
    }
    let people =
        text(&role_ref, "name").strip_prefix(RESERVED_NAME).map(|role| format!("{}{role}", owner.groups));
    for subject in object.get("subjects").and_then(Value::as_array).into_iter().flatten() {
        let namespace = text(subject, "namespace");
        let good = match (owner.author, text(subject, "kind").as_str()) {
            (Author::Application, "ServiceAccount") => namespace.is_empty() || namespace == owner.namespace,
            (Author::Blueprint, "Group") => people.as_ref() == Some(&text(subject, "name")),
            _ => false,
        };
        if !good {
            return fault(
                "subjects",
                "the role binding has a subject that is not the tenant's own",
                "in an application name its own service accounts, in a blueprint the tenant's group of the same role",
            );
        }
    }
    Ok(())
}

/// The API server wants the namespace of every service account, which a template need not know.
fn place_accounts(binding: &mut Value, namespace: &str) {
    let subjects = binding.get_mut("subjects").and_then(Value::as_array_mut);
    for subject in subjects.into_iter().flatten().filter_map(Value::as_object_mut) {
        if subject.get("kind").and_then(Value::as_str) == Some("ServiceAccount") {
            subject.insert("namespace".to_owned(), Value::String(namespace.to_owned()));
        }
    }
}

fn role(object: &Value) -> Result<(), Fault> {
    let rules = object.get("rules").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for rule in rules {
        let has = |field: &str, words: &[&str]| {
            rule.get(field).and_then(Value::as_array).is_some_and(|values| {
                values.iter().filter_map(Value::as_str).any(|value| words.contains(&value))
            })
        };
        let wide = has("verbs", &["*", "escalate", "bind", "impersonate"])
            || has("apiGroups", &["*", RBAC, "tenantry.io"])
            || has("resources", &["*"]);
        if wide {
            return fault(
                "rules",
                "the role gives wildcards, or rights over rights",
                "list the API groups, resources and verbs the application uses",
            );
        }
    }
    Ok(())
}

fn is_subdomain(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= NAME_LIMIT && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn admit_as(author: Author, mut object: Value) -> Result<Value, Fault> {
        let owner = Owner { namespace: "tenant-acme", groups: "oidc:tenantry:k7:", author };
        admit(&mut object, owner).map(|_| object)
    }

    fn config(metadata: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    }

    #[test]
    fn the_namespace_is_always_the_tenants() {
        let object = admit_as(Author::Application, config(json!({"name": "a"}))).unwrap();
        assert_eq!(object["metadata"]["namespace"], json!("tenant-acme"));
        assert!(
            admit_as(Author::Application, config(json!({"name": "a", "namespace": "kube-system"}))).is_err()
        );
    }

    #[test]
    fn what_a_template_may_not_set_is_refused() {
        for (object, word) in [
            (json!({"kind": "ConfigMap", "metadata": {"name": "a"}}), "apiVersion"),
            (json!({"apiVersion": "v1", "metadata": {"name": "a"}}), "kind"),
            (config(json!({})), "name"),
            (config(json!({"generateName": "a-"})), "name"),
            (config(json!({"name": "A"})), "DNS"),
            (config(json!({"name": "a..b"})), "DNS"),
            (config(json!({"name": "x".repeat(254)})), "DNS"),
            (config(json!({"name": "tenantry-quota"})), "tenantry-"),
            (config(json!({"name": "a", "ownerReferences": []})), "ownerReferences"),
            (config(json!({"name": "a", "finalizers": ["x/y"]})), "finalizers"),
            (config(json!({"name": "a", "labels": {"tenantry.io/tenant-id": "other"}})), "reserved"),
            (config(json!({"name": "a", "labels": {"sub.tenantry.io/x": "1"}})), "reserved"),
            (
                config(
                    json!({"name": "a", "annotations": {"pod-security.kubernetes.io/enforce": "privileged"}}),
                ),
                "reserved",
            ),
            (config(json!({"name": "a", "labels": {"a": 1}})), "label"),
            (config(json!({"name": "a", "labels": {"a": "no spaces"}})), "label"),
            (config(json!({"name": "a", "labels": {"a": "-x"}})), "label"),
            (config(json!({"name": "a", "annotations": {"a": true}})), "annotation"),
            (json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}, "status": {}}), "status"),
            (
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
                    "spec": {"template": {"metadata": {"labels": {"tenantry.io/x": "1"}}}}}),
                "reserved",
            ),
            (
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "x".repeat(SIZE_LIMIT)}}),
                "larger",
            ),
        ] {
            let fault = admit_as(Author::Application, object).unwrap_err();
            assert!(fault.message.contains(word), "{word}: {fault:?}");
            assert!(!fault.hint.is_empty());
        }
        assert!(
            admit_as(Author::Application, config(json!({"name": "a", "labels": {"nottenantry.io/x": "1"}})))
                .is_ok()
        );
    }

    #[test]
    fn nobody_gains_rights_through_a_template() {
        let binding = |role: Value, subject: Value| {
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": "a"}, "roleRef": role, "subjects": [subject]})
        };
        let shipped = json!({"kind": "ClusterRole", "name": "tenantry-viewer"});
        let local = json!({"kind": "Role", "name": "worker"});
        let account = json!({"kind": "ServiceAccount", "name": "worker"});
        let foreign = json!({"kind": "ServiceAccount", "name": "worker", "namespace": "tenant-other"});
        let group = json!({"kind": "Group", "name": "oidc:tenantry:k7:viewer"});
        for (author, object, good) in [
            (Author::Blueprint, binding(shipped.clone(), group.clone()), true),
            (Author::Blueprint, binding(shipped.clone(), account.clone()), false),
            (
                Author::Blueprint,
                binding(
                    json!({"kind": "ClusterRole", "name": "tenantry-administrator"}),
                    json!({"kind": "Group", "name": "oidc:tenantry:k7:viewer"}),
                ),
                false,
            ),
            (Author::Application, binding(local.clone(), account.clone()), true),
            (Author::Application, binding(shipped.clone(), account.clone()), false),
            (Author::Blueprint, binding(local.clone(), account.clone()), false),
            (
                Author::Blueprint,
                binding(json!({"kind": "ClusterRole", "name": "cluster-admin"}), group.clone()),
                false,
            ),
            (
                Author::Blueprint,
                binding(shipped.clone(), json!({"kind": "Group", "name": "system:masters"})),
                false,
            ),
            (Author::Blueprint, binding(shipped.clone(), json!({"kind": "User", "name": "eve"})), false),
            (Author::Application, binding(local.clone(), group), false),
            (Author::Application, binding(local, foreign), false),
        ] {
            assert_eq!(admit_as(author, object.clone()).is_ok(), good, "{author:?} {object}");
        }
        let bound = admit_as(
            Author::Application,
            binding(
                json!({"kind": "Role", "name": "worker"}),
                json!({"kind": "ServiceAccount", "name": "worker"}),
            ),
        );
        assert_eq!(bound.unwrap()["subjects"][0]["namespace"], json!("tenant-acme"));
        let role = |rule: Value| json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "a"}, "rules": [rule]});
        let leases = json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "update"]});
        assert!(admit_as(Author::Application, role(leases.clone())).is_ok());
        assert!(admit_as(Author::Blueprint, role(leases)).is_err());
        assert!(
            admit_as(
                Author::Application,
                role(json!({"apiGroups": [""], "resources": ["*"], "verbs": ["get"]}))
            )
            .is_err()
        );
        assert!(
            admit_as(
                Author::Application,
                role(json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["escalate"]}))
            )
            .is_err()
        );
    }
}
